/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* Looking again and again for some microseconds before one sleeps, where that pays.
 * Zeroes are a good start. Thread-safe. */
typedef struct
{
  _Atomic uint32_t left; /* how many still sleep at once */
  _Atomic uint32_t naps; /* how many will the next time that it does not pay */
  _Atomic uint32_t slow; /* how often in a row it took so long that sleeping were better */
  /* By how many microseconds longer it pays, since those for whom one waits have that much to
   * do: until it was in vain. Only for mp_spin(). */
  _Atomic uint32_t more;
  _Atomic uint32_t expected;   /* mp_spin_expect() was called before this one */
  _Atomic uint32_t doubts;     /* how many of its calls are still ignored */
  _Atomic uint32_t max_doubts; /* how many were the last time */
  /* Only for mp_spin(), and set before: how many microseconds one looks that tries whether it pays
   * again; 0: the usual. */
  uint32_t trial;
  /* Only for mp_spin_yielding(), and set before: how many sleep at least for each
   * microsecond that the processor was away in vain. */
  uint32_t penalty;
} MpSpin;

/* Where others want the processor, giving it away costs as much as they take. */
#define MP_SPIN_YIELD_PENALTY 4

typedef gboolean (*MpSpinFunc) (gpointer data);

/* Whether @is_over was TRUE in time. */
gboolean mp_spin (MpSpin *self, MpSpinFunc is_over, gpointer data);
/* The same where those for whom one waits need this processor: they get it each
 * time before one looks again. Not to be mixed with the other on one object. */
gboolean mp_spin_yielding (MpSpin *self, MpSpinFunc is_over, gpointer data);
/* The one, and if that was in vain, the other; @spun: whether it was over before that. */
gboolean mp_spin_or_yield (MpSpin spins[2], MpSpinFunc is_over, gpointer data, gboolean *spun);
/* Those for whom the next one waits were just seen awake: it does not sleep at once, though that
 * would have been better the last times. */
void mp_spin_expect (MpSpin spins[2]);

G_END_DECLS
