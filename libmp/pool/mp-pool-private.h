/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../channel/mp-ring-private.h"
#include "../process/mp-process-private.h"
#include "mp-batch-private.h"
#include "mp-claims-private.h"
#include "mp-job.h"
#include "mp-pool.h"
#include "mp-results-private.h"
#include "mp-waiter-private.h"

G_BEGIN_DECLS

/* A pool is two objects: the MpPool that programs hold, and the core, which
 * lives as long as anything of it does and never holds the MpPool. A job is two
 * objects in the same way. The pump only ever touches cores: so it never drops
 * the last reference of an object that a program or a binding may watch. */
typedef struct _MpPoolCore MpPoolCore;
typedef struct _MpJobCore MpJobCore;
typedef struct _MpPoolWorker MpPoolWorker;
typedef struct _MpAnnouncer MpAnnouncer;

/* --- what travels in the rings, native endian ------------------------------ */

/* Before a task's function and payload. What follows @slot and @reserved is what
 * mp_worker_next() hands out. */
typedef struct
{
  guint64 task_id;
  guint32 slot;
  guint32 reserved;
  guint32 codec;
  guint32 flags; /* MpTaskFlags */
  guint32 function_length;
  guint32 attempt;
} MpTaskHeader;

#define MP_TASK_HEADER_PRIVATE G_STRUCT_OFFSET (MpTaskHeader, codec)

typedef enum
{
  MP_TASK_NONE = 0,
  MP_TASK_CHUNK = 1 << 0,
  MP_TASK_STAR = 1 << 1
} MpTaskFlags;

typedef enum
{
  MP_REPLY_OK,
  MP_REPLY_ERROR,
  MP_REPLY_PROGRESS,    /* the payload is a double */
  MP_REPLY_INIT_FAILED, /* the worker cannot work at all: an error payload */
  MP_REPLY_SKIPPED      /* cancelled while it was queued */
} MpReplyStatus;

typedef struct
{
  guint64 task_id;
  guint32 slot;
  guint32 status;
  guint32 worker;
  guint32 reserved;
} MpReplyHeader;

#define MP_POOL_HANDLE_KIND "pool-worker"
#define MP_POOL_WORKER_TASK "mp.pool-worker"
#define MP_POOL_COMMAND_TASK "mp.command"

/* --- the structures; everything is under the core's lock ------------------- */

/* A task between being fed and its result. */
typedef struct
{
  MpJobCore *job; /* NULL once nobody wants the result */
  MpBatch *batch; /* NULL unless the task may be tried again */
  guint index;    /* in the batch */
  guint64 task_id;
  guint64 job_index;
  gsize bytes;
  guint n_items;
  guint attempt;
  double progress;
  gboolean used;
} MpSlot;

/* A task to be fed once more. */
typedef struct
{
  MpJobCore *job;
  MpBatch *batch;
  guint index;
  guint attempt;
  guint64 task_id;
} MpRetry;

typedef enum
{
  MP_ANNOUNCE_PROGRESS = 1 << 0,
  MP_ANNOUNCE_COMPLETED = 1 << 1,
  MP_ANNOUNCE_CLOSED = 1 << 2,
  MP_ANNOUNCE_BROKEN = 1 << 3
} MpAnnounceFlags;

struct _MpJobCore
{
  gatomicrefcount ref_count;
  MpPoolCore *pool;
  guint64 id;
  char *name; /* NULL if the function is no text */

  /* What every task of it begins with. */
  guint8 *function; /* padded to 8 bytes */
  guint32 function_length;
  MpTaskFlags flags;
  MpCodec codec; /* of what is pushed */

  /* Input: the batches that are not wholly fed, the position in the first. */
  GQueue batches;
  guint next_index;
  guint64 n_tasks; /* so far */
  guint64 n_resolved;
  guint64 n_items;
  guint64 n_items_done;
  guint n_in_flight;
  guint n_retries;

  MpResults results;
  MpJobState state; /* final ones only, else QUEUED */
  GError *error;    /* the first one that came */
  char *traceback;
  GVariant *chunk; /* mp_job_next(): what is left of it is next */
  gsize chunk_position;
  GQueue returned;           /* of MpJobItem: taken, and given back */
  double progress_in_flight; /* the sum over its slots, in tasks */

  /* Who waits. */
  MpSleepWord finished_word;
  MpSleepWord result_word;
  GQueue finished_waiters;
  GQueue result_waiters;

  /* The public object: weak, except while it is kept for mp_pool_take_finished(). */
  GWeakRef object;
  MpJob *kept;
  MpAnnouncer *announcer; /* NULL once the object is gone */
  guint announce;         /* MpAnnounceFlags that wait in the announcer */

  GList jobs_link;
  GList feed_link;
  GList announce_link;
  GList finished_link;

  guint more : 1;       /* input may follow */
  guint feeding : 1;    /* in the pool's feedable queue */
  guint unfinished : 1; /* in the pool's jobs */
  guint single : 1;     /* its result is the value itself, not an array */
  guint aborted : 1;    /* ended before its tasks did; they have no results */
  guint taken : 1;      /* some results were taken one by one */
  guint wanted : 1;     /* somebody can still take results */
  guint notify : 1;
  guint touched : 1; /* in the pool's touched list */
};

/* One worker process; its successor in the same place is another struct. */
struct _MpPoolWorker
{
  MpPoolCore *core;
  MpProcess *process;
  guint index;
  int pid;
  gboolean doomed; /* to be killed as soon as it is known to run */
};

struct _MpPoolCore
{
  gatomicrefcount ref_count;
  GMutex lock;

  /* Fixed. */
  guint generation; /* of the process it belongs to, see mp_pump_get_generation() */
  int owner;
  MpContext *context;
  guint n_workers;
  guint max_tasks_per_worker;
  guint max_attempts;
  GBytes *worker_data;
  GUnixFDList *worker_fd_list; /* nullable */

  /* NULL once the pool has ended. */
  MpRing *tasks;
  MpRing *results;
  MpClaims *claims;

  /* Jobs. */
  GQueue jobs;     /* all that are not finished */
  GQueue feedable; /* those with tasks to feed */
  GQueue retries;  /* of MpRetry */
  guint64 n_unfed;
  guint64 last_task_id;

  /* Tasks in the ring or in the hands of workers. */
  MpSlot *slots;
  guint *free_slots;
  guint n_slots;
  guint n_free_slots;
  gsize bytes_in_flight;

  /* Workers. */
  MpPoolWorker **workers; /* n_workers places, NULL: empty */
  guint n_processes;      /* started or being started, until reaped */
  guint n_early_deaths;   /* in a row */
  guint n_failed_starts;  /* in a row */

  /* What happened under the lock and is acted on after it, see
   * mp_pool_core_unlock(). */
  GQueue ready;       /* of MpWaiter */
  GPtrArray *touched; /* of MpJobCore: sleepers to wake */
  guint wake_finished : 1;
  guint wake_ended : 1;
  guint tick : 1;

  /* Who waits. */
  MpSleepWord finished_word;
  MpSleepWord ended_word;
  GQueue finished; /* jobs for mp_pool_take_finished() */
  GQueue ended_waiters;

  /* The main contexts that hear of it. */
  GWeakRef object;
  GPtrArray *announcers;  /* of MpAnnouncer, weak */
  MpAnnouncer *announcer; /* the pool's own; NULL once the object is gone */
  GArray *exits;          /* of MpPoolExit */
  guint announce;

  /* The pump's. */
  GSource *source;
  GSource *timer;
  guint n_drained;

  GError *broken;
  guint corrupt : 1; /* no result will come any more */
  guint closed : 1;
  guint terminated : 1;
  guint tasks_closed : 1;
  guint ended : 1;
  guint abandoned : 1; /* the MpPool is gone */
  guint tick_scheduled : 1;
};

typedef struct
{
  int pid;
  int exit_code;
} MpPoolExit;

/* One result for mp_job_next(). */
typedef struct
{
  GVariant *value;
  GError *error;
} MpJobItem;

/* --- mp-pool-core.c -------------------------------------------------------- */

MpPoolCore *mp_pool_core_new (MpContext *context,
                              guint n_workers,
                              guint max_tasks_per_worker,
                              guint max_attempts,
                              GBytes *worker_data,
                              GUnixFDList *worker_fd_list,
                              GError **error);
MpPoolCore *mp_pool_core_ref (MpPoolCore *self);
void mp_pool_core_unref (MpPoolCore *self);
/* Without the lock: FALSE in a process that was forked by the one that made the
 * pool. There nothing of it may be touched: it would be done to the other's. */
gboolean mp_pool_core_is_ours (MpPoolCore *self);
gboolean mp_pool_core_check_ours (MpPoolCore *self, GError **error);

void mp_pool_core_lock (MpPoolCore *self);
/* Unlocks, then acts: wakes, posts, schedules. */
void mp_pool_core_unlock (MpPoolCore *self);
/* Asks for a turn of the pump's after the unlock. */
void mp_pool_core_request_tick (MpPoolCore *self);
void mp_pool_core_touch (MpPoolCore *self, MpJobCore *job);
void mp_pool_core_drain (MpPoolCore *self);
/* FALSE with the reason why there can be no new job. */
gboolean mp_pool_core_check_open (MpPoolCore *self, GError **error);
void mp_pool_core_close (MpPoolCore *self);
/* Ends every job with @reason in @state, and every worker. */
void mp_pool_core_abort (MpPoolCore *self, MpJobState state, const GError *reason);
void mp_pool_core_terminate (MpPoolCore *self);
/* The pool cannot work any more. */
void mp_pool_core_break (MpPoolCore *self, const GError *reason);
guint mp_pool_core_count_busy (MpPoolCore *self);
/* On the pump: ends the pool if nothing is left of it. */
void mp_pool_core_maybe_end (MpPoolCore *self);

/* --- mp-pool-feed.c -------------------------------------------------------- */

void mp_pool_core_feed (MpPoolCore *self);
MpSlot *mp_pool_core_get_slot (MpPoolCore *self, guint32 slot, guint64 task_id);
void mp_pool_core_free_slot (MpPoolCore *self, guint32 slot);
void mp_pool_core_add_feedable (MpPoolCore *self, MpJobCore *job);
void mp_pool_core_remove_feedable (MpPoolCore *self, MpJobCore *job);
void mp_pool_core_retry (MpPoolCore *self, MpSlot *slot, guint attempt);
void mp_pool_core_drop_retries (MpPoolCore *self, MpJobCore *job);

/* --- mp-pool-workers.c ----------------------------------------------------- */

gboolean mp_pool_core_start_workers (MpPoolCore *self, GCancellable *cancellable, GError **error);
void mp_pool_core_kill_worker (MpPoolCore *self, guint worker);
void mp_pool_core_kill_workers (MpPoolCore *self);

/* --- mp-job-core.c --------------------------------------------------------- */

MpJobCore *mp_job_core_new (MpPoolCore *pool,
                            const guint8 *function,
                            gsize function_length,
                            MpTaskFlags flags,
                            gboolean ordered,
                            gboolean more);
MpJobCore *mp_job_core_ref (MpJobCore *self);
void mp_job_core_unref (MpJobCore *self);
/* With the lock: */
void mp_job_core_add_batch (MpJobCore *self, MpBatch *batch);
void mp_job_core_resolve (MpJobCore *self,
                          guint64 index,
                          guint n_items,
                          MpResultStatus status,
                          MpCodec codec,
                          const guint8 *data,
                          gsize length);
void mp_job_core_resolve_error (MpJobCore *self, guint64 index, guint n_items, const GError *error);
void mp_job_core_maybe_finish (MpJobCore *self);
/* Ends it now; its queued tasks will not run, the running ones are killed. */
void mp_job_core_abort (MpJobCore *self, MpJobState state, const GError *reason);
gboolean mp_job_core_has_result (MpJobCore *self);
gboolean mp_job_core_take_item (MpJobCore *self, MpJobItem *item);
GVariant *mp_job_core_get_result (MpJobCore *self, GError **error);
/* Without the lock: */
gboolean mp_job_core_wait (MpJobCore *self,
                           gint64 timeout_us,
                           GCancellable *cancellable,
                           GError **error);
void mp_job_item_clear (MpJobItem *item);

/* --- mp-job.c -------------------------------------------------------------- */

/* Takes over @core. */
MpJob *mp_job_new_for_core (MpJobCore *core);
MpJobCore *mp_job_get_core (MpJob *self);
/* Not retried when a signal handler ran. */
gboolean mp_job_wait_once (MpJob *self,
                           MpSleepWord *word,
                           MpSleepPredicate predicate,
                           gint64 timeout_us);
/* From the announcer, in the job's context. */
void mp_job_announce (MpJob *self, guint flags);

/* --- mp-pool.c ------------------------------------------------------------- */

MpPoolCore *mp_pool_get_core (MpPool *self);
void mp_pool_announce (MpPool *self, guint flags, const MpPoolExit *exits, guint n_exits);

/* --- mp-announcer.c: signals in the contexts of their objects --------------- */

/* With the lock. Adds a user, an object that is about to be told things. */
MpAnnouncer *mp_announcer_acquire (MpPoolCore *core, GMainContext *context);
/* Without the lock. */
void mp_announcer_release (MpAnnouncer *self);
/* With the lock: */
void mp_announcer_add_job (MpJobCore *job, guint flags);
void mp_announcer_forget_job (MpJobCore *job);
void mp_announcer_add_pool (MpPoolCore *core, guint flags);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpPoolCore, mp_pool_core_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpJobCore, mp_job_core_unref)

G_END_DECLS
