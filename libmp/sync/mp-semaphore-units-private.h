/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-enums.h"

#include "../base/mp-micro-lock-private.h"
#include "../memory/mp-arena-private.h"

G_BEGIN_DECLS

#define MP_SEMAPHORE_KIND MP_BLOCK_KIND ('s', 'e', 'm', 'a')

/* What is behind MpSemaphore: how it works is described in mp-semaphore-units.c. */

#define MP_UNITS_MAX 0x7fffffffu
#define MP_UNITS_WAITERS 0x80000000u /* whoever adds units has to wake */

typedef struct
{
  _Atomic uint32_t units; /* those that are free, and MP_UNITS_WAITERS */
  _Atomic uint32_t armed; /* asynchronous operations wait */
  /* Set before anybody else knows it. */
  _Atomic uint32_t initial;
  _Atomic uint32_t flags;
  /* The rest for those that recover, and under the lock. */
  MpMicroLock lock;
  uint32_t unused[3];
  _Atomic uint64_t total;
  uint64_t more_unused[3];
  /* {participant:32 | units that it has:32}, by the participant's index. */
  _Atomic uint64_t ledger[];
} MpUnitsShared;

G_STATIC_ASSERT (sizeof (MpUnitsShared) == 64);

typedef struct
{
  MpBlock block;
  MpUnitsShared *shared;
  MpParticipants *participants;
  guint32 initial;
  MpSemaphoreFlags flags;
} MpUnits;

gboolean mp_units_init (MpUnits *self, guint32 initial, MpSemaphoreFlags flags, GError **error);
gboolean mp_units_import (MpUnits *self,
                          const char *name,
                          GVariant *handle,
                          GUnixFDList *fd_list,
                          GError **error);
GVariant *mp_units_to_handle (MpUnits *self,
                              const char *name,
                              GUnixFDList *fd_list,
                              GError **error);
void mp_units_clear (MpUnits *self);

MpWaitResult mp_units_acquire_slow (MpUnits *self,
                                    gint64 deadline,
                                    GCancellable *cancellable,
                                    gboolean interruptible);
/* For the waiter thread: MP_WAIT_RESULT_DONE, or TIMED_OUT and armed, or FAILED. */
MpWaitResult mp_units_try_or_arm (MpUnits *self);
gboolean mp_units_release (MpUnits *self, guint n, GError **error);
/* Those that are free, after those of the dead came back. */
guint mp_units_get_free (MpUnits *self);

/* Takes one from a semaphore without a ledger. @mark: MP_UNITS_WAITERS or 0. */
static inline gboolean
mp_units_take_counted (MpUnits *self, uint32_t mark)
{
  uint32_t seen = atomic_load_explicit (&self->shared->units, memory_order_relaxed);

  while ((seen & MP_UNITS_MAX) > 0)
    {
      if (atomic_compare_exchange_weak_explicit (&self->shared->units,
                                                 &seen,
                                                 (seen - 1) | mark,
                                                 memory_order_acquire,
                                                 memory_order_relaxed))
        return TRUE;
    }
  return FALSE;
}

/* The same from one with a ledger, when there is nothing special about it. */
gboolean mp_units_take_quickly (MpUnits *self);

/* If not, mp_units_acquire_slow() looks at everything. */
static inline gboolean
mp_units_try_quickly (MpUnits *self)
{
  return G_LIKELY ((self->flags & MP_SEMAPHORE_RECOVER) == 0) ? mp_units_take_counted (self, 0)
                                                              : mp_units_take_quickly (self);
}

G_END_DECLS
