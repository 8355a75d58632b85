/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* Looking again and again for some microseconds before one sleeps, for as long as
 * that has paid lately. Zeroes are a good start. Thread-safe. */
typedef struct
{
  _Atomic uint32_t budget;
  _Atomic uint32_t naps;
} MpSpin;

typedef gboolean (*MpSpinFunc) (gpointer data);

/* Whether @is_over was TRUE in time. */
gboolean mp_spin (MpSpin *self, MpSpinFunc is_over, gpointer data);
/* The same where those for whom one waits need this processor: they get it each
 * time before one looks again. Not to be mixed with the other on one object. */
gboolean mp_spin_yielding (MpSpin *self, MpSpinFunc is_over, gpointer data);

G_END_DECLS
