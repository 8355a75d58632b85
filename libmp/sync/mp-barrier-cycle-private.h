/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-enums.h"
#include "mp-spin-private.h"

#include "../memory/mp-arena-private.h"

G_BEGIN_DECLS

/* The cycles of a barrier, in shared memory. How they work is described in
 * mp-barrier-cycle.c. */
#define MP_BARRIER_KIND MP_BLOCK_KIND ('b', 'a', 'r', 'r')
#define MP_BARRIER_MAX_PARTIES (1u << 16)
#define MP_BARRIER_N_BROKEN 32u
/* Where the number of the cycle is in the lower half of the state. */
#define MP_BARRIER_CYCLE_SHIFT 3

/* Zeroes, but for the number of parties, are a barrier that nobody has come to. */
typedef struct
{
  _Atomic uint64_t state;
  _Atomic uint32_t parties; /* for who imports it */
  uint32_t unused[13];
  _Atomic uint32_t broken[MP_BARRIER_N_BROKEN]; /* the last cycles that were reset */
  _Atomic uint64_t places[];                    /* of the even cycles, and of the odd ones */
} MpBarrierShared;

/* A barrier as this process sees it. */
typedef struct
{
  MpBlock block;
  MpBarrierShared *shared;
  guint parties;
  gboolean crowded; /* there are more parties than processors */
  MpSpin spin;
} MpBarrierSite;

/* A thread that has arrived. */
typedef struct
{
  uint32_t me;
  uint32_t cycle;
  guint index;
  guint next_probe;
} MpBarrierArrival;

/* How somebody waits. */
typedef struct
{
  gint64 deadline;
  GCancellable *cancellable;
  gboolean interruptible; /* by signal handlers; not with a cancellable */
} MpBarrierPatience;

gboolean mp_barrier_site_init (MpBarrierSite *self, guint parties, GError **error);
gboolean mp_barrier_site_import (MpBarrierSite *self,
                                 const char *name,
                                 guint32 version,
                                 GVariant *handle,
                                 GUnixFDList *fd_list,
                                 GError **error);
void mp_barrier_site_clear (MpBarrierSite *self);

/* Waits only while all places of a cycle are taken that is not over. DONE: arrived;
 * BROKEN; INTERRUPTED by a signal; FAILED: this process cannot take part. Who was
 * not patient enough has broken the barrier: TIMED_OUT, or INTERRUPTED if cancelled. */
MpWaitResult mp_barrier_site_arrive (MpBarrierSite *self,
                                     MpBarrierArrival *arrival,
                                     const MpBarrierPatience *patience);
static inline gboolean
mp_barrier_site_is_last (MpBarrierSite *self, const MpBarrierArrival *arrival)
{
  return arrival->index == self->parties - 1;
}
/* For all but the last one, until it lets them go. Results as above. */
MpWaitResult mp_barrier_site_wait (MpBarrierSite *self,
                                   MpBarrierArrival *arrival,
                                   const MpBarrierPatience *patience);
/* By the last one. DONE or BROKEN. */
MpWaitResult mp_barrier_site_release (MpBarrierSite *self, const MpBarrierArrival *arrival);
/* By all, when it was DONE: they are safe. */
void mp_barrier_site_leave (MpBarrierSite *self, const MpBarrierArrival *arrival);

/* By one that arrived. Whether it was this that broke it. */
gboolean mp_barrier_site_break (MpBarrierSite *self, const MpBarrierArrival *arrival);
void mp_barrier_site_abort (MpBarrierSite *self);
void mp_barrier_site_reset (MpBarrierSite *self);

gboolean mp_barrier_site_is_broken (MpBarrierSite *self);
guint mp_barrier_site_count (MpBarrierSite *self);
/* For those who debug. */
void mp_barrier_shared_describe (gpointer memory, gsize size, GString *text);

G_END_DECLS
