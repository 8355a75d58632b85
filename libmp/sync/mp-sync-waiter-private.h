/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../memory/mp-arena-private.h"

G_BEGIN_DECLS

/* Asynchronous waits for objects in arenas. One thread of the process, started
 * with the first that cannot be done at once, sleeps on the doorbells of all
 * arenas, and does them all, first come first served for each object.
 *
 * An object has an armed flag in shared memory. Trying an operation in vain sets
 * it, before a last look; who makes something available exchanges it for 0, and
 * if it was set calls mp_sync_ring(). */

typedef enum
{
  MP_SYNC_NOT_YET,
  MP_SYNC_DONE,
  MP_SYNC_DONE_ABANDONED, /* done, and the one before died with it */
  MP_SYNC_FAILED          /* this process cannot take part */
} MpSyncTried;

/* What an object needs that has asynchronous operations. All of it is called in
 * any thread, with a lock held that mp_sync_ops_start() takes: it never waits, and
 * touches no GObject. */
typedef struct
{
  /* Takes what is to be taken, or arms. */
  MpSyncTried (*try_take) (gpointer object);
  /* Or this one, where operations differ: in what is the data of their tasks. */
  MpSyncTried (*try_task) (gpointer object, GTask *task);
  /* Nobody fetched it: gives it back. May be NULL. Without that lock. */
  void (*give_back) (gpointer object);
} MpSyncOpsFuncs;

/* The operations of one object that wait, all of one kind. */
typedef struct _MpSyncOps MpSyncOps;

/* @object: a GObject, which has to live for as long as @self; @block: its. */
MpSyncOps *mp_sync_ops_new (gpointer object, const MpBlock *block, const MpSyncOpsFuncs *funcs);
/* There are none that wait: each keeps its object. */
void mp_sync_ops_free (MpSyncOps *self);
/* The one at *@ops, made if there is none yet. Thread-safe. */
MpSyncOps *mp_sync_ops_get (_Atomic (MpSyncOps *) *ops,
                            gpointer object,
                            const MpBlock *block,
                            const MpSyncOpsFuncs *funcs);
/* How many wait. @self: may be NULL. */
guint mp_sync_ops_get_n_pending (MpSyncOps *self);

/* Takes over @task, whose source object is @self's, and returns a result from it
 * when it is done or cancelled. Whether it is cancelled is decided in the moment
 * in which something is taken, and never later. */
void mp_sync_ops_start (MpSyncOps *self, GTask *task);
/* For the _finish: whether it was done. */
gboolean mp_sync_ops_finish (GTask *task, gboolean *abandoned, GError **error);

/* Between these two the thread rests where it holds no lock, so that a fork is safe; any
 * number of threads can ask for that at a time. Around each fork() it is done in any
 * case; a child has no such thread, and nothing that is pending. */
void mp_sync_waiter_park (void);
void mp_sync_waiter_unpark (void);
/* The kernel's id of the thread, 0 when there is none. */
int mp_sync_waiter_get_thread_id (void);

/* Makes the waiter threads of all processes look at what they wait for in @arena. */
void mp_sync_ring (MpArena *arena);

G_END_DECLS
