/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The thread sleeps in one system call on the doorbells of all arenas in which
 * something is pending, and on a word of its own that is changed when there is one
 * more. It reads them before it looks at what is pending, so that nothing that
 * happens meanwhile is missed. Once in a slice it looks at everything in any case:
 * who should have rung may have been killed, and so may a holder.
 *
 * While a thread forks it sleeps on, since what it does otherwise takes locks of
 * GLib's and of arenas. */

#include "mp-sync-waiter-private.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-futex-private.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define WAITV_MAX 128
#define WAITV_32_BIT 2

#define SLICE_US MP_WAITS_SLICE_US
/* Where not all of them can be slept on. */
#define SHORT_SLICE_US (5 * 1000)

/* As the kernel has it. */
typedef struct
{
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
} WaitVector;

/* An arena in which something is pending. Made by anybody, ended by the thread. */
typedef struct
{
  MpArena *arena;
  uint32_t seen; /* the doorbell, before what is pending was looked at */
  GQueue ops;    /* of MpSyncOps */
  GList link;
} Bell;

struct _MpSyncOps
{
  gpointer object;
  const MpBlock *block;
  const MpSyncOpsFuncs *funcs;

  /* Under the lock. */
  GQueue pending; /* of Op */
  Bell *bell;
  GList link;
  MpArenaWait *wait;
};

typedef struct
{
  MpSyncOps *ops;
  GTask *task;
  GSource *cancel_source;
  GList link;
  guint n_forks;    /* when it began */
  gboolean pending; /* under the lock */
  MpSyncTried outcome;
} Op;

/* What a task brings to whoever finishes it. It keeps the object. */
typedef struct
{
  GObject *object;
  const MpSyncOpsFuncs *funcs;
  guint n_forks; /* when it was taken */
  gboolean abandoned;
} Taken;

/* All that follows is protected by it, as far as it is not atomic. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GQueue bells = G_QUEUE_INIT;
static gboolean started;
static _Atomic uint32_t kick;
/* Of this process's forefathers. What was begun before it was born is the business of
 * the process that began it: here it never ends, and its memory is never freed. */
static guint n_forks;

/* The thread at rest. */
static pthread_cond_t rest_changed = PTHREAD_COND_INITIALIZER;
static guint n_parkers;
static gboolean awake; /* it does something, and may hold any lock of others */
static _Atomic int thread_id;

static gpointer run (gpointer data);

/* With the lock held. */
static void
park (void)
{
  n_parkers++;
  while (awake)
    pthread_cond_wait (&rest_changed, &lock);
}

static void
unpark (void)
{
  n_parkers--;
  pthread_cond_broadcast (&rest_changed);
}

void
mp_sync_waiter_park (void)
{
  pthread_mutex_lock (&lock);
  park ();
  pthread_mutex_unlock (&lock);
}

void
mp_sync_waiter_unpark (void)
{
  pthread_mutex_lock (&lock);
  unpark ();
  pthread_mutex_unlock (&lock);
}

int
mp_sync_waiter_get_thread_id (void)
{
  gboolean there;

  pthread_mutex_lock (&lock);
  there = started;
  pthread_mutex_unlock (&lock);
  /* It may have been made, and not have said so yet. */
  while (there && atomic_load (&thread_id) == 0)
    sched_yield ();
  return atomic_load (&thread_id);
}

/* A child has neither the thread nor what was pending in its parent. */
static void
before_fork (void)
{
  pthread_mutex_lock (&lock);
  park ();
}

static void
after_fork_in_parent (void)
{
  unpark ();
  pthread_mutex_unlock (&lock);
}

/* A source for its cancellation may be there still, and must find that it is over. */
static void
forget_ops (MpSyncOps *self)
{
  for (GList *i = self->pending.head; i != NULL; i = i->next)
    ((Op *) i->data)->pending = FALSE;
  g_queue_init (&self->pending);
  self->bell = NULL;
  self->wait = NULL;
}

static void
after_fork_in_child (void)
{
  for (GList *i = bells.head; i != NULL; i = i->next)
    {
      Bell *bell = i->data;

      for (GList *j = bell->ops.head; j != NULL; j = j->next)
        forget_ops (j->data);
    }
  g_queue_init (&bells);
  started = FALSE;
  atomic_store (&thread_id, 0);
  n_parkers = 0;
  rest_changed = (pthread_cond_t) PTHREAD_COND_INITIALIZER;
  n_forks++;
  pthread_mutex_unlock (&lock);
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}

void
mp_sync_ring (MpArena *arena)
{
  _Atomic uint32_t *doorbell = mp_arena_get_doorbell (arena);

  atomic_fetch_add (doorbell, 1);
  mp_futex_wake (doorbell, INT_MAX, TRUE);
}

/* What was taken, on its way */

static void
taken_free (Taken *self)
{
  g_object_unref (self->object);
  g_free (self);
}

/* Nobody fetched it. */
static void
taken_give_back (gpointer data)
{
  Taken *self = data;

  /* A child has nothing that its parent took. */
  if (self->n_forks == n_forks && self->funcs->give_back != NULL)
    self->funcs->give_back (self->object);
  taken_free (self);
}

static void
deliver (MpSyncOps *ops, GTask *task, MpSyncTried outcome)
{
  GError *error = NULL;
  Taken *taken;

  if (outcome == MP_SYNC_FAILED)
    {
      mp_sync_set_error (&error, MP_WAIT_RESULT_FAILED, NULL, ops->block, "Waiting is impossible");
      g_task_return_error (task, error);
      return;
    }
  taken = g_new (Taken, 1);
  *taken = (Taken){ .object = g_object_ref (ops->object),
                    .funcs = ops->funcs,
                    .n_forks = n_forks,
                    .abandoned = outcome == MP_SYNC_DONE_ABANDONED };
  g_task_return_pointer (task, taken, taken_give_back);
}

gboolean
mp_sync_ops_finish (GTask *task, gboolean *abandoned, GError **error)
{
  Taken *taken = g_task_propagate_pointer (task, error);

  if (taken == NULL)
    return FALSE;
  if (taken->n_forks != n_forks)
    {
      taken_free (taken);
      g_set_error_literal (error,
                           G_IO_ERROR,
                           G_IO_ERROR_CANCELLED,
                           "The parent process waited, and this is its child");
      return FALSE;
    }
  if (abandoned != NULL)
    *abandoned = taken->abandoned;
  taken_free (taken);
  return TRUE;
}

/* Operations */

static void
op_free (gpointer data)
{
  Op *self = data;

  /* A task that never returned complains when it is freed. */
  if (self->n_forks != n_forks)
    return;
  if (self->cancel_source != NULL)
    g_source_destroy (self->cancel_source);
  g_clear_pointer (&self->cancel_source, g_source_unref);
  g_object_unref (self->task);
  g_free (self);
}

/* In the context of the task, as everything is that drops it. */
static gboolean
op_complete (gpointer data)
{
  Op *self = data;

  if (self->n_forks != n_forks)
    return G_SOURCE_REMOVE;
  if (self->outcome == MP_SYNC_NOT_YET)
    g_task_return_new_error (self->task, G_IO_ERROR, G_IO_ERROR_CANCELLED, "Waiting was cancelled");
  else
    deliver (self->ops, self->task, self->outcome);
  return G_SOURCE_REMOVE;
}

static void
op_post (gpointer data)
{
  Op *self = data;
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, g_task_get_priority (self->task));
  g_source_set_callback (source, op_complete, self, op_free);
  g_source_set_static_name (source, "mp_sync_waiter");
  g_source_attach (source, g_task_get_context (self->task));
}

/* With the lock held. */
static void
op_remove (Op *self)
{
  MpSyncOps *ops = self->ops;

  self->pending = FALSE;
  g_queue_unlink (&ops->pending, &self->link);
  mp_waits_set_async (ops->wait, ops->pending.length);
  if (ops->pending.length > 0)
    return;
  mp_waits_leave (g_steal_pointer (&ops->wait));
  g_queue_unlink (&ops->bell->ops, &ops->link);
  ops->bell = NULL;
}

static gboolean
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  Op *self = user_data;
  gboolean mine;

  pthread_mutex_lock (&lock);
  mine = self->pending;
  if (mine)
    op_remove (self);
  pthread_mutex_unlock (&lock);
  if (mine)
    {
      op_complete (self);
      op_free (self);
    }
  return G_SOURCE_REMOVE;
}

/* With the lock held. @bell: taken if the arena has none yet, and then it is NULL. */
static void
op_enqueue (Op *self, Bell **bell)
{
  MpSyncOps *ops = self->ops;

  self->pending = TRUE;
  g_queue_push_tail_link (&ops->pending, &self->link);
  if (ops->bell == NULL)
    {
      for (GList *i = bells.head; i != NULL && ops->bell == NULL; i = i->next)
        {
          if (((Bell *) i->data)->arena == ops->block->arena)
            ops->bell = i->data;
        }
      if (ops->bell == NULL)
        {
          ops->bell = g_steal_pointer (bell);
          g_queue_push_tail_link (&bells, &ops->bell->link);
        }
      g_queue_push_tail_link (&ops->bell->ops, &ops->link);
      ops->wait = mp_waits_enter_async (ops->block);
    }
  mp_waits_set_async (ops->wait, ops->pending.length);
  /* When it is cancelled from now on, it is found in the queue. */
  if (self->cancel_source != NULL)
    g_source_attach (self->cancel_source, g_task_get_context (self->task));
}

static Op *
op_new (MpSyncOps *ops, GTask *task)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  Op *self = g_new0 (Op, 1);

  self->ops = ops;
  self->task = task;
  self->n_forks = n_forks;
  self->link.data = self;
  if (cancellable != NULL)
    {
      self->cancel_source = g_cancellable_source_new (cancellable);
      g_source_set_callback (self->cancel_source, G_SOURCE_FUNC (on_cancelled), self, NULL);
      g_source_set_priority (self->cancel_source, g_task_get_priority (task));
    }
  return self;
}

/* With the lock held. */
static gboolean
start_thread (GError **error)
{
  g_autoptr (GError) local_error = NULL;
  sigset_t all, old;
  GThread *thread;

  if (started)
    return TRUE;
  /* No handler of the program is to run in it. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  thread = g_thread_try_new ("mp-waiter", run, NULL, &local_error);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  if (thread == NULL)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "Starting the thread that waits: %s",
                   local_error->message);
      return FALSE;
    }
  g_thread_unref (thread);
  started = TRUE;
  return TRUE;
}

static Bell *
bell_new (MpArena *arena)
{
  Bell *self = g_new0 (Bell, 1);

  self->arena = mp_arena_ref (arena);
  self->link.data = self;
  /* Not what it is: then it is looked at. */
  self->seen = atomic_load (mp_arena_get_doorbell (arena)) - 1;
  return self;
}

static void
bell_free (gpointer data)
{
  Bell *self = data;

  mp_arena_unref (self->arena);
  g_free (self);
}

/* With the lock held. */
static MpSyncTried
try_to_take (MpSyncOps *ops, GTask *task)
{
  return ops->funcs->try_task != NULL ? ops->funcs->try_task (ops->object, task)
                                      : ops->funcs->try_take (ops->object);
}

void
mp_sync_ops_start (MpSyncOps *self, GTask *task)
{
  GError *error = NULL;
  Bell *bell;
  Op *op;

  g_task_set_check_cancellable (task, FALSE);
  op = op_new (self, task);
  if (g_task_return_error_if_cancelled (task))
    {
      op_free (op);
      return;
    }
  /* What has locks of its own: the arena's reference, and, in a forked child for
   * which there was no place, looking for one. */
  bell = bell_new (self->block->arena);
  mp_participants_get_self (mp_arena_get_participants (self->block->arena), NULL);
  pthread_mutex_lock (&lock);
  if (g_queue_is_empty (&self->pending))
    op->outcome = try_to_take (self, task);
  if (op->outcome == MP_SYNC_NOT_YET && start_thread (&error))
    op_enqueue (g_steal_pointer (&op), &bell);
  pthread_mutex_unlock (&lock);
  if (bell == NULL)
    {
      atomic_fetch_add (&kick, 1);
      mp_futex_wake (&kick, 1, FALSE);
    }
  g_clear_pointer (&bell, bell_free);
  if (op == NULL)
    return;
  if (error != NULL)
    g_task_return_error (task, error);
  else
    op_complete (op);
  op_free (op);
}

/* The thread */

static void
look_at_ops (MpSyncOps *ops, GQueue *ready)
{
  while (!g_queue_is_empty (&ops->pending))
    {
      Op *op = g_queue_peek_head (&ops->pending);

      /* Before anything is taken; later it does not count. */
      if (!g_cancellable_is_cancelled (g_task_get_cancellable (op->task)))
        {
          op->outcome = try_to_take (ops, op->task);
          if (op->outcome == MP_SYNC_NOT_YET)
            return;
        }
      op_remove (op);
      g_queue_push_tail_link (ready, &op->link);
    }
}

/* With the lock held. @all: look at everything, rung or not. */
static void
look (gboolean all, GQueue *ready, GQueue *ended)
{
  GList *next;

  for (GList *i = bells.head; i != NULL; i = next)
    {
      Bell *bell = i->data;
      uint32_t rung = atomic_load (mp_arena_get_doorbell (bell->arena));

      next = i->next;
      if (all || rung != bell->seen)
        {
          GList *next_ops;

          bell->seen = rung;
          for (GList *j = bell->ops.head; j != NULL; j = next_ops)
            {
              next_ops = j->next;
              look_at_ops (j->data, ready);
            }
        }
      if (g_queue_is_empty (&bell->ops))
        {
          g_queue_unlink (&bells, i);
          g_queue_push_tail_link (ended, i);
        }
    }
}

/* With the lock held; returns how many words there are to sleep on. */
static guint
collect (WaitVector *words, uint32_t kicked)
{
  guint n = 0;

  words[n++] = (WaitVector){ .value = kicked,
                             .address = (uint64_t) (uintptr_t) &kick,
                             .flags = WAITV_32_BIT | FUTEX_PRIVATE_FLAG };
  for (GList *i = bells.head; i != NULL && n < WAITV_MAX; i = i->next)
    {
      Bell *bell = i->data;

      words[n++] =
        (WaitVector){ .value = bell->seen,
                      .address = (uint64_t) (uintptr_t) mp_arena_get_doorbell (bell->arena),
                      .flags = WAITV_32_BIT };
    }
  return n;
}

/* Only this thread ends bells, so the words stay. */
static void
sleep_on (const WaitVector *words, guint n, gint64 end)
{
  struct timespec until = { .tv_sec = end / G_USEC_PER_SEC,
                            .tv_nsec = (end % G_USEC_PER_SEC) * 1000 };

  if (n == 1)
    {
      mp_futex_wait (&kick, (uint32_t) words[0].value, MP_DEADLINE_NEVER, FALSE);
      return;
    }
  if (syscall (SYS_futex_waitv, words, n, 0, &until, CLOCK_MONOTONIC) >= 0 || errno == EAGAIN ||
      errno == ETIMEDOUT)
    return;
  /* A kernel or a sandbox without it. */
  mp_futex_wait (&kick, (uint32_t) words[0].value, g_get_monotonic_time () + SHORT_SLICE_US, FALSE);
}

static void
set_awake (gboolean value)
{
  pthread_mutex_lock (&lock);
  while (value && n_parkers > 0)
    pthread_cond_wait (&rest_changed, &lock);
  awake = value;
  if (!value && n_parkers > 0)
    pthread_cond_broadcast (&rest_changed);
  pthread_mutex_unlock (&lock);
}

static gpointer
run (gpointer data)
{
  gint64 next = 0; /* when everything is looked at again */

  atomic_store (&thread_id, (int) gettid ());
  for (;;)
    {
      WaitVector words[WAITV_MAX];
      GQueue ready = G_QUEUE_INIT, ended = G_QUEUE_INIT;
      uint32_t kicked = atomic_load (&kick);
      gint64 now = g_get_monotonic_time ();
      gboolean complete;
      GList *link;
      guint n;

      set_awake (TRUE);
      pthread_mutex_lock (&lock);
      /* However often something rings that others wait for. */
      look (now >= next, &ready, &ended);
      n = collect (words, kicked);
      complete = n == bells.length + 1;
      if (now >= next)
        next = now + (complete ? SLICE_US : SHORT_SLICE_US);
      pthread_mutex_unlock (&lock);
      while ((link = g_queue_pop_head_link (&ready)) != NULL)
        op_post (link->data);
      while ((link = g_queue_pop_head_link (&ended)) != NULL)
        bell_free (link->data);
      set_awake (FALSE);
      sleep_on (words, n, next);
    }
  return NULL;
}

/* Beginning and end */

MpSyncOps *
mp_sync_ops_new (gpointer object, const MpBlock *block, const MpSyncOpsFuncs *funcs)
{
  MpSyncOps *self = g_new0 (MpSyncOps, 1);

  self->object = object;
  self->block = block;
  self->funcs = funcs;
  self->link.data = self;
  return self;
}

void
mp_sync_ops_free (MpSyncOps *self)
{
  g_assert_null (self->bell);
  g_free (self);
}

MpSyncOps *
mp_sync_ops_get (_Atomic (MpSyncOps *) *ops,
                 gpointer object,
                 const MpBlock *block,
                 const MpSyncOpsFuncs *funcs)
{
  MpSyncOps *self = atomic_load (ops), *made;

  if (self != NULL)
    return self;
  made = mp_sync_ops_new (object, block, funcs);
  if (atomic_compare_exchange_strong (ops, &self, made))
    return made;
  mp_sync_ops_free (made);
  return self;
}

guint
mp_sync_ops_get_n_pending (MpSyncOps *self)
{
  guint n;

  if (self == NULL)
    return 0;
  pthread_mutex_lock (&lock);
  n = self->pending.length;
  pthread_mutex_unlock (&lock);
  return n;
}
