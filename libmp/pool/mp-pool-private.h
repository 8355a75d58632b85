/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../channel/mp-buffer-private.h"
#include "../channel/mp-ring-private.h"
#include "../process/mp-process-private.h"
#include "../sync/mp-spin-private.h"
#include "mp-batch-private.h"
#include "mp-claims-private.h"
#include "mp-job-list.h"
#include "mp-job-options-private.h"
#include "mp-job.h"
#include "mp-pool-output-private.h"
#include "mp-pool-settings-private.h"
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

/* Before a task's function and payload. What follows @slot and @job is what
 * mp_worker_next() hands out. */
typedef struct
{
  guint64 task_id;
  guint32 slot;
  guint32 job; /* the low half of its number */
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
  MP_TASK_STAR = 1 << 1,
  MP_TASK_TIMED = 1 << 2,   /* the worker notes when it began */
  MP_TASK_IN_BLOCK = 1 << 3 /* the payload is the MpBlockRef of where it is */
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
  guint32 padding; /* so many bytes before the payload */
} MpReplyHeader;

#define MP_POOL_HANDLE_KIND "pool-worker"
#define MP_POOL_WORKER_TASK "mp.pool-worker"
#define MP_POOL_COMMAND_TASK "mp.command"
/* Who waits for one task only, and a worker that waits for the next one, try for so long whether to
 * look pays: the one for whom they wait may sleep, and to be woken takes long on virtual machines.
 * It sees that somebody looks, and looks as well. */
#define MP_POOL_TRIAL_US 100

/* --- the structures; everything is under the core's lock ------------------- */

/* A task between being fed and its result. */
typedef struct
{
  MpJobCore *job; /* NULL once nobody wants the result */
  MpBatch *batch; /* NULL without a job */
  guint index;    /* in the batch */
  guint64 task_id;
  guint64 job_index;
  gsize bytes;
  guint n_items;
  guint attempt;
  gint64 timeout; /* 0: none */
  double progress;
  gboolean used;
} MpSlot;

/* A task to be fed once more. */
typedef struct
{
  gint64 when; /* not before */
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
  MP_ANNOUNCE_BROKEN = 1 << 3,
  MP_ANNOUNCE_RESIZED = 1 << 4
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
  guint64 n_fed;   /* tasks, each counted once */
  guint64 n_taken; /* results that were taken */

  /* What it was submitted with, see MpJobOptions. */
  int priority;
  gint64 timeout; /* 0: none */
  guint max_attempts;
  gint64 retry_delay;
  guint read_ahead; /* 0: no bound */

  /* Jobs that wait for this one, and how many this one waits for. */
  GPtrArray *dependents; /* of MpJobCore; NULL: none */
  guint n_awaited;

  MpResults results;
  MpJobState state; /* final ones only, else QUEUED */
  GError *error;    /* the first one that came */
  MpJobState fate;  /* what that one makes of the job */
  char *traceback;
  guint attempts; /* the most that one of its tasks had */
  int worker_pid; /* of the first that died with a task of it, 0: none */
  int worker_exit_code;
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
  guint retry_failed : 1;
  guint orphaned : 1; /* what it waited for, or what that waited for, did not succeed */
  guint in_list : 1;
  guint iterated : 1; /* it ends with the object: nobody else takes its results */
  guint patient : 1;  /* somebody waits for all of it, and nobody has waited for one result */
  guint hasty : 1;    /* somebody has */
};

/* How far a worker is on its way to be stopped. */
typedef enum
{
  MP_STOP_NONE,
  MP_STOP_ASKED,
  MP_STOP_TERMINATED,
  MP_STOP_KILLED
} MpStop;

/* One worker process; its successor in the same place is another struct. */
struct _MpPoolWorker
{
  MpPoolCore *core;
  MpProcess *process;
  guint index;
  int pid;
  gboolean doomed; /* to be killed as soon as it is known to run */

  /* What it was asked to let be, and when the next step is due; -1: never. */
  MpStop stop;
  guint stop_slot;
  guint64 stop_task_id;
  gint64 stop_at;
  guint64 stop_job_id;
  char *stop_function;

  const char *limit; /* that it hit, or NULL */

  guint32 output_jobs[3]; /* whose lines come now, by stream */
};

/* Jobs of one priority that have tasks to feed. */
typedef struct
{
  int priority;
  GQueue jobs;
} MpLane;

struct _MpPoolCore
{
  gatomicrefcount ref_count;
  GMutex lock;

  /* Fixed. */
  guint generation; /* of the process it belongs to, see mp_pump_get_generation() */
  int owner;
  MpContext *context;
  MpPoolSettings settings; /* but for the number of workers */

  /* NULL once the pool has ended. */
  MpRing *tasks;
  MpRing *results;
  MpClaims *claims;

  /* Jobs. */
  GQueue jobs;      /* all that are not finished */
  GArray *lanes;    /* of MpLane *, the most urgent one last: jobs with tasks to feed */
  GQueue retries;   /* of MpRetry, the most urgent one first */
  GQueue delayed;   /* of MpRetry, by time */
  GQueue released;  /* of MpJobCore: finished, their dependents look */
  int least_urgent; /* of the priorities since the pool was last idle */
  guint64 n_unfed;
  guint64 last_task_id;

  /* Tasks in the ring or in the hands of workers. */
  MpSlot *slots;
  guint *free_slots;
  guint n_slots;
  guint n_free_slots;
  gsize bytes_in_flight;
  guint most_in_flight; /* since the last look for idle workers */
  guint n_timed;        /* tasks in flight with a timeout */
  gint64 least_timeout; /* of those since there was none */

  /* Workers. */
  MpPoolWorker **workers; /* n_places of them, NULL: empty */
  guint n_places;
  guint n_workers;       /* how many there are to be at most */
  guint n_wanted;        /* how many there are to be now */
  guint n_processes;     /* started or being started, until reaped */
  guint n_scheduled;     /* to be started at some time */
  guint n_nudges;        /* to be fed: messages that make idle workers look */
  guint n_stopping;      /* workers that are asked to end */
  guint n_early_deaths;  /* in a row */
  guint n_early_exits;   /* of them, of their own accord, while none works */
  guint n_failed_starts; /* in a row */
  gint64 failing_since;

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
  GQueue finished;           /* jobs for mp_pool_take_finished() */
  MpSpin spins[2];           /* of those who wait for one task */
  gboolean worker_is_coming; /* when tasks were last put */
  GQueue ended_waiters;

  /* The main contexts that hear of it. */
  GWeakRef object;
  GPtrArray *announcers;  /* of MpAnnouncer, weak */
  MpAnnouncer *announcer; /* the pool's own; NULL once the object is gone */
  GArray *exits;          /* of MpPoolExit */
  GArray *outputs;        /* of MpPoolOutput */
  guint64 last_job_id;    /* that was fed */
  GQueue news;            /* of MpJobNews: for the list of jobs */
  guint announce;

  /* The pump's. */
  GSource *source;
  GSource *timer;
  guint timer_pause; /* milliseconds */
  guint n_drained;
  guint n_patient;     /* of the jobs */
  gint64 steady_since; /* all jobs are patient, and none has come; 0: that is not so */
  guint64 n_since;     /* results since then */
  GSource *alarm;
  gint64 alarm_at; /* 0: off */
  gint64 look_for_idle_at;

  GError *broken;
  guint corrupt : 1; /* no result will come any more */
  guint closed : 1;
  guint terminated : 1;
  guint tasks_closed : 1;
  guint ended : 1;
  guint abandoned : 1; /* the MpPool is gone */
  guint tick_scheduled : 1;
  guint releasing : 1;
  guint listed : 1; /* there is a list of jobs */
};

/* One job came, or is finished. */
typedef struct
{
  MpJob *added;
  MpJobCore *finished;
} MpJobNews;

typedef struct
{
  int pid;
  int exit_code;
  const char *limit; /* that it hit, or NULL */
  guint64 job_id;    /* whose task it had, 0: none */
  char *function;    /* of that job */
} MpPoolExit;

/* One result for mp_job_next(). */
typedef struct
{
  GVariant *value;
  GError *error;
} MpJobItem;

/* --- mp-pool-core.c -------------------------------------------------------- */

MpPoolCore *mp_pool_core_new (MpContext *context, const MpPoolSettings *settings, GError **error);
GArray *mp_pool_exits_new (void);
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
/* Somebody new waits for something: the pump does not let results come together. */
void mp_pool_core_hurry (MpPoolCore *self);
void mp_pool_core_drain (MpPoolCore *self);
/* FALSE with the reason why there can be no new job. */
gboolean mp_pool_core_check_open (MpPoolCore *self, GError **error);
void mp_pool_core_close (MpPoolCore *self);
/* Ends every job with @reason in @state. */
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
/* Nobody wants what becomes of the task. */
void mp_pool_core_detach_slot (MpPoolCore *self, MpSlot *slot);
/* The attempt of @slot is over, without a result: it is detached, and there will be
 * another one, or that was the task's end. Takes over @error. */
void mp_pool_core_lose_attempt (MpPoolCore *self, MpSlot *slot, MpJobState fate, GError *error);
gboolean mp_pool_core_may_retry (MpSlot *slot, MpJobState fate);
void mp_pool_core_drop_retries (MpPoolCore *self, MpJobCore *job);
/* Tasks of less urgent jobs that no worker has taken yet make room for those of @job. */
void mp_pool_core_preempt (MpPoolCore *self, MpJobCore *job);
/* Gives a retry whose time has come to the feeder. */
void mp_pool_core_feed_delayed (MpPoolCore *self, gint64 now);

/* --- mp-pool-workers.c ----------------------------------------------------- */

gboolean mp_pool_core_start_workers (MpPoolCore *self, GCancellable *cancellable, GError **error);
void mp_pool_core_kill_worker (MpPoolCore *self, guint worker);
void mp_pool_core_kill_workers (MpPoolCore *self);
/* Starts what is missing; on the pump. */
void mp_pool_core_staff (MpPoolCore *self);
gboolean mp_pool_core_resize (MpPoolCore *self, guint n_workers, GError **error);
void mp_pool_core_want (MpPoolCore *self, guint n_workers);
char *mp_pool_worker_describe_task (MpJobCore *job);
MpSlot *mp_pool_core_get_worker_slot (MpPoolCore *self, guint worker, MpClaim *claim);

/* --- mp-pool-time.c: what happens at some time ------------------------------ */

void mp_pool_core_request_alarm (MpPoolCore *self, gint64 when);
void mp_pool_core_staff_fully (MpPoolCore *self);
void mp_pool_core_note_in_flight (MpPoolCore *self);
/* Whoever runs the task of @slot is asked to end it, then made to. */
void mp_pool_core_stop_task (MpPoolCore *self, guint slot);
void mp_pool_core_kill_task (MpPoolCore *self, guint slot);
/* A worker is made to end, whether it has a task or not: by SIGTERM, then by SIGKILL. */
void mp_pool_worker_make_end (MpPoolWorker *self);
/* All that are known to run: those that start have their turn then. */
void mp_pool_core_stop_workers (MpPoolCore *self);

/* --- mp-job-core.c --------------------------------------------------------- */

MpJobCore *mp_job_core_new (MpPoolCore *pool,
                            const guint8 *function,
                            gsize function_length,
                            MpTaskFlags flags,
                            gboolean ordered,
                            gboolean more,
                            const MpJobOptions *options);
/* Waits for those in the options; after that it may be finished. */
void mp_job_core_await (MpJobCore *self, const MpJobOptions *options);
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
/* The same for a result that stays where it is; takes over @buffer. */
void mp_job_core_resolve_buffer (MpJobCore *self, guint64 index, guint n_items, MpBuffer *buffer);
void mp_job_core_resolve_error (MpJobCore *self,
                                guint64 index,
                                guint n_items,
                                MpJobState fate,
                                const GError *error);
gboolean mp_job_core_can_feed (MpJobCore *self);
void mp_job_core_count_taken (MpJobCore *self, guint n);
/* Somebody waits for all of it: nobody takes its results first. */
void mp_job_core_wait_for_all (MpJobCore *self);
/* Somebody waits for its next result. */
void mp_job_core_wait_for_next (MpJobCore *self);
/* What is not running yet will not run, and then it is cancelled. */
void mp_job_core_stop_feeding (MpJobCore *self);
void mp_job_core_maybe_finish (MpJobCore *self);
/* Ends it now; its queued tasks will not run, the running ones are stopped. */
void mp_job_core_abort (MpJobCore *self, MpJobState state, const GError *reason);
gboolean mp_job_core_has_result (MpJobCore *self);
gboolean mp_job_core_take_item (MpJobCore *self, MpJobItem *item);
GVariant *mp_job_core_get_result (MpJobCore *self, GError **error);
/* Without the lock: */
gboolean mp_job_core_wait (MpJobCore *self,
                           gint64 timeout_us,
                           GCancellable *cancellable,
                           GError **error);
void mp_job_core_look_for_result (MpJobCore *self, gint64 timeout_us);
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
const MpPoolSettings *mp_pool_get_settings (MpPool *self);
void mp_pool_announce (MpPool *self, guint flags, const MpPoolExit *exits, guint n_exits);
void mp_pool_announce_output (MpPool *self, const MpPoolOutput *output);
MpJobList *mp_pool_peek_jobs (MpPool *self);

/* --- mp-job-list.c: in the pool's context ----------------------------------- */

void mp_job_list_add (MpJobList *self, MpJob *job);
void mp_job_list_finish (MpJobList *self, MpJobCore *job);

/* --- mp-announcer.c: signals in the contexts of their objects --------------- */

/* With the lock. Adds a user, an object that is about to be told things. */
MpAnnouncer *mp_announcer_acquire (MpPoolCore *core, GMainContext *context);
/* Without the lock. */
void mp_announcer_release (MpAnnouncer *self);
/* With the lock: */
void mp_announcer_add_job (MpJobCore *job, guint flags);
void mp_announcer_forget_job (MpJobCore *job);
void mp_announcer_add_pool (MpPoolCore *core, guint flags);
void mp_announcer_list_job (MpPoolCore *core, MpJob *job);
void mp_announcer_unlist_job (MpJobCore *job);
/* Without it, frees what mp_pool_core's news hold. */
void mp_job_news_free (gpointer data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpPoolCore, mp_pool_core_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpJobCore, mp_job_core_unref)

G_END_DECLS
