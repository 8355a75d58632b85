/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-lock.h"
#include "mp-rlock.h"

#include "mp-lock-word-private.h"

G_BEGIN_DECLS

#define MP_LOCK_KIND MP_BLOCK_KIND ('l', 'o', 'c', 'k')
#define MP_RLOCK_KIND MP_BLOCK_KIND ('r', 'l', 'c', 'k')

/* The floor's own waits, on an absolute deadline. INTERRUPTED: cancelled, or, if
 * @interruptible, a signal handler ran. FAILED: no place for this process. */
MpWaitResult mp_lock_acquire_until (MpLock *self,
                                    gint64 deadline,
                                    GCancellable *cancellable,
                                    gboolean interruptible);
MpWaitResult mp_rlock_acquire_until (MpRLock *self,
                                     gint64 deadline,
                                     GCancellable *cancellable,
                                     gboolean interruptible);

/* For conditions. Whether this thread holds it. */
gboolean mp_lock_is_held_here (MpLock *self);
gboolean mp_rlock_is_held_here (MpRLock *self);
/* Releases what is held here, however deep; returns how deep, for resuming. */
guint mp_lock_suspend (MpLock *self);
guint mp_rlock_suspend (MpRLock *self);
/* Takes it again, however long that lasts: nothing interrupts it. FALSE with @error
 * set only if this process cannot take part any more (a forked child). */
gboolean mp_lock_resume (MpLock *self, guint depth, GError **error);
gboolean mp_rlock_resume (MpRLock *self, guint depth, GError **error);

G_END_DECLS
