/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-event.h"

#include <limits.h>

#include "mp-error.h"
#include "mp-interrupted-private.h"
#include "mp-spin-private.h"
#include "mp-sync-dump-private.h"
#include "mp-sync-waiter-private.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-futex-private.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "event"
#define KIND MP_BLOCK_KIND ('e', 'v', 'n', 't')
#define VERSION 1

/* The word: whether it is set, whether somebody sleeps on it, and how often it was
 * set. Setting and clearing are one exchange each, and there is no lock, so nobody
 * can be stopped or killed in the middle. */
#define SET 1u
#define WAITERS 2u
#define TURN 4u
#define TURN_MASK (~(SET | WAITERS))
/* In shared memory. Zeroes are an event that is not set. */
typedef struct
{
  _Atomic uint32_t word;
  _Atomic uint32_t armed; /* asynchronous operations wait */
  uint32_t unused[14];    /* a cache line of its own */
} Shared;

/**
 * MpEvent:
 *
 * Something that happens, and that any number of threads and processes can wait for.
 *
 * An event is set or not. [method@Mp.Event.wait] returns as soon as it is set.
 * [method@Mp.Event.set] lets everybody go that waits at that time, even if the event
 * is cleared again at once.
 *
 * There is no lock in it. It can be set in any situation, also in a signal handler, and
 * a process that is killed harms nobody: if it was killed between setting the event and
 * waking the others, they notice after a moment.
 *
 * # Threads
 *
 * All functions can be called from any thread.
 *
 * Since: 0.1
 */
struct _MpEvent
{
  GObject parent_instance;

  MpBlock block;
  Shared *shared;
  guint64 serial; /* of this object in this process */
  MpSpin spin;
  _Atomic (MpSyncOps *) ops;
};

enum
{
  PROP_0,
  PROP_IS_SET,
  PROP_N_WAITERS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_event_initable_iface_init (GInitableIface *iface);
static void mp_event_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpEvent,
                               mp_event,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mp_event_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_event_shareable_iface_init))

#define MP_IS_READY_EVENT(object) (MP_IS_EVENT (object) && MP_EVENT (object)->shared != NULL)

static void
mp_event_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpEvent *self = MP_EVENT (object);

  switch (prop_id)
    {
    case PROP_IS_SET:
      g_value_set_boolean (value, mp_event_get_is_set (self));
      break;
    case PROP_N_WAITERS:
      g_value_set_uint (value, mp_event_get_n_waiters (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_event_finalize (GObject *object)
{
  MpEvent *self = MP_EVENT (object);
  MpSyncOps *ops = atomic_load (&self->ops);

  if (ops != NULL)
    mp_sync_ops_free (ops);
  mp_block_clear (&self->block);
  G_OBJECT_CLASS (mp_event_parent_class)->finalize (object);
}

static void
mp_event_class_init (MpEventClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_event_get_property;
  object_class->finalize = mp_event_finalize;

  /**
   * MpEvent:is-set: (getter get_is_set)
   *
   * Whether it is set. Other processes change it: there is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_IS_SET] =
    g_param_spec_boolean ("is-set", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpEvent:n-waiters: (getter get_n_waiters)
   *
   * How many live threads and asynchronous operations of all processes wait for it.
   * Other processes change it: there is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_N_WAITERS] = g_param_spec_uint ("n-waiters",
                                                  NULL,
                                                  NULL,
                                                  0,
                                                  G_MAXUINT,
                                                  0,
                                                  G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_event_init (MpEvent *self)
{
  self->serial = mp_interrupted_new_serial ();
}

static gboolean
mp_event_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpEvent *self = MP_EVENT (initable);
  g_autoptr (MpArena) arena = NULL;

  if (self->shared != NULL)
    return TRUE;
  arena = mp_arena_ref_default (error);
  if (arena == NULL || !mp_block_new (&self->block, arena, KIND, sizeof (Shared), error))
    return FALSE;
  self->shared = self->block.memory;
  return TRUE;
}

static void
mp_event_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_event_initable_init;
}

static GVariant *
mp_event_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpEvent *self = MP_EVENT (shareable);

  g_return_val_if_fail (self->shared != NULL, NULL);
  return mp_block_to_handle (&self->block, KIND_NAME, VERSION, NULL, fd_list, error);
}

static void
mp_event_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_event_to_handle;
}

static MpShareable *
mp_event_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpEvent) self = g_object_new (MP_TYPE_EVENT, NULL);

  if (!mp_block_from_handle (&self->block,
                             KIND_NAME,
                             VERSION,
                             KIND,
                             sizeof (Shared),
                             handle,
                             fd_list,
                             error))
    return NULL;
  self->shared = self->block.memory;
  return MP_SHAREABLE (g_steal_pointer (&self));
}

static void
describe (gpointer memory, gsize size, GString *text)
{
  uint32_t word = atomic_load (&((Shared *) memory)->word);

  g_string_append (text, (word & SET) != 0 ? "set" : "not set");
}

static const MpSyncKind dump_kind = { .kind = KIND,
                                      .name = KIND_NAME,
                                      .min_size = sizeof (Shared),
                                      .describe = describe };

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_event_import);
  mp_sync_register_kind (&dump_kind);
}

/**
 * mp_event_new:
 * @error: return location for an error
 *
 * Makes an event that is not set.
 *
 * Returns: (transfer full) (nullable): the event, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpEvent *
mp_event_new (GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_EVENT, NULL, error, NULL);
}

/* Setting */

/**
 * mp_event_set:
 * @self: an event
 *
 * Sets the event, and lets everybody go that waits for it. If it is set already,
 * nothing happens. It can be called in a signal handler.
 *
 * Since: 0.1
 */
void
mp_event_set (MpEvent *self)
{
  uint32_t seen;

  g_return_if_fail (MP_IS_READY_EVENT (self));

  seen = atomic_load (&self->shared->word);
  do
    {
      if ((seen & SET) != 0)
        return;
    }
  while (
    !atomic_compare_exchange_weak (&self->shared->word, &seen, ((seen & TURN_MASK) + TURN) | SET));
  if ((seen & WAITERS) != 0)
    mp_futex_wake (&self->shared->word, INT_MAX, TRUE);
  if (atomic_load (&self->shared->armed) != 0 && atomic_exchange (&self->shared->armed, 0) != 0)
    mp_sync_ring (self->block.arena);
}

/**
 * mp_event_clear:
 * @self: an event
 *
 * Makes it unset. Who waited when it was set goes on all the same.
 *
 * Since: 0.1
 */
void
mp_event_clear (MpEvent *self)
{
  g_return_if_fail (MP_IS_READY_EVENT (self));

  atomic_fetch_and (&self->shared->word, ~SET);
}

/* Waiting */

/* Whether one may go who came when the word was @start. */
static gboolean
has_happened (MpEvent *self, uint32_t start, uint32_t *seen)
{
  *seen = atomic_load (&self->shared->word);
  return (*seen & SET) != 0 || ((*seen ^ start) & TURN_MASK) != 0;
}

typedef struct
{
  MpEvent *event;
  uint32_t start;
} Watch;

static gboolean
is_over (gpointer data)
{
  const Watch *watch = data;
  uint32_t seen;

  return has_happened (watch->event, watch->start, &seen);
}

/* For one who came when the word was @start. */
static MpWaitResult
wait_until (MpEvent *self,
            uint32_t start,
            gint64 deadline,
            GCancellable *cancellable,
            gboolean interruptible)
{
  Watch watch = { .event = self, .start = start };
  MpSyncSleep sleep = { .block = &self->block,
                        .word = &self->shared->word,
                        .deadline = deadline,
                        .cancellable = cancellable,
                        .interruptible = interruptible };
  MpWaitResult result = MP_WAIT_RESULT_DONE;
  uint32_t seen;

  if (deadline != MP_DEADLINE_NOW && (is_over (&watch) || mp_spin (&self->spin, is_over, &watch)))
    return MP_WAIT_RESULT_DONE;
  while (!has_happened (self, watch.start, &seen) && result == MP_WAIT_RESULT_DONE)
    {
      if ((seen & WAITERS) != 0 ||
          atomic_compare_exchange_strong (&self->shared->word, &seen, seen | WAITERS))
        result = mp_sync_sleep (&sleep, seen | WAITERS);
    }
  mp_sync_sleep_end (&sleep);
  return has_happened (self, watch.start, &seen) ? MP_WAIT_RESULT_DONE : result;
}

/* A wait of this thread that was interrupted, and will go on. */
typedef struct
{
  uint32_t process; /* a child of fork() has not begun it */
  uint32_t start;   /* the word when it began */
} Pending;

/* FALSE: it has not begun one. */
static gboolean
take_pending (MpEvent *self, Pending *begun)
{
  MpParticipants *participants = mp_arena_get_participants (self->block.arena);

  return mp_interrupted_take (self->serial, begun, sizeof *begun) &&
         begun->process == mp_participants_get_self_word (participants);
}

/**
 * mp_event_wait:
 * @self: an event
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Waits until the event is set, or was set since the call began.
 *
 * Returns: whether it was; if not, @error is set: [error@Mp.Error.TIMED_OUT],
 *   `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
gboolean
mp_event_wait (MpEvent *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpWaitResult result;

  g_return_val_if_fail (MP_IS_READY_EVENT (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  result = wait_until (self,
                       atomic_load (&self->shared->word),
                       mp_deadline_new (timeout_us),
                       cancellable,
                       FALSE);
  return result == MP_WAIT_RESULT_DONE ||
         mp_sync_set_error (error, result, cancellable, &self->block, "The event was not set");
}

/**
 * mp_event_wait_interruptible:
 * @self: an event
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * Like [method@Mp.Event.wait], but returns early when a signal handler ran in this
 * thread, or at least twice a second, so that no signal is missed: for bindings whose
 * language then wants to act on the signal. The thread still waits then: if the event is
 * set and cleared before it is back, the wait is over all the same. It has to call this
 * function again, with what is left of the time, or [method@Mp.Event.stop_waiting].
 *
 * Returns: an [enum@Mp.WaitResult]
 *
 * Since: 0.1
 */
int
mp_event_wait_interruptible (MpEvent *self, gint64 timeout_us)
{
  Pending begun;
  MpWaitResult result;

  g_return_val_if_fail (MP_IS_READY_EVENT (self), MP_WAIT_RESULT_FAILED);

  if (!take_pending (self, &begun))
    begun = (Pending){ .process = mp_participants_get_self_word (
                         mp_arena_get_participants (self->block.arena)),
                       .start = atomic_load (&self->shared->word) };
  result = wait_until (self, begun.start, mp_deadline_new (timeout_us), NULL, TRUE);
  if (result == MP_WAIT_RESULT_INTERRUPTED)
    mp_interrupted_put (self->serial, &begun, sizeof begun);
  return (int) result;
}

/**
 * mp_event_stop_waiting:
 * @self: an event
 *
 * Ends a wait of this thread that [method@Mp.Event.wait_interruptible] left early. Without
 * that, the next one would be its continuation. Does nothing if there is none.
 *
 * Returns: whether the event was set meanwhile
 *
 * Since: 0.1
 */
gboolean
mp_event_stop_waiting (MpEvent *self)
{
  Pending begun;
  uint32_t seen;

  g_return_val_if_fail (MP_IS_READY_EVENT (self), FALSE);

  return take_pending (self, &begun) && has_happened (self, begun.start, &seen);
}

/* Its task data is the word when it began. */
static MpSyncTried
try_task (gpointer object, GTask *task)
{
  MpEvent *self = object;
  uint32_t start = GPOINTER_TO_UINT (g_task_get_task_data (task));
  uint32_t seen;

  if (has_happened (self, start, &seen))
    return MP_SYNC_DONE;
  atomic_store (&self->shared->armed, 1);
  return has_happened (self, start, &seen) ? MP_SYNC_DONE : MP_SYNC_NOT_YET;
}

static const MpSyncOpsFuncs ops_funcs = { .try_task = try_task };

/**
 * mp_event_wait_async:
 * @self: an event
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Waits until the event is set, or was set since the call began. One thread waits for
 * all such operations of the process.
 *
 * Since: 0.1
 */
void
mp_event_wait_async (MpEvent *self,
                     GCancellable *cancellable,
                     GAsyncReadyCallback callback,
                     gpointer user_data)
{
  GTask *task;
  uint32_t start;

  g_return_if_fail (MP_IS_READY_EVENT (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  start = atomic_load (&self->shared->word);
  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_event_wait_async);
  g_task_set_name (task, "mp_event_wait_async");
  g_task_set_task_data (task, GUINT_TO_POINTER (start), NULL);
  mp_sync_ops_start (mp_sync_ops_get (&self->ops, self, &self->block, &ops_funcs), task);
}

/**
 * mp_event_wait_finish:
 * @self: an event
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Event.wait_async].
 *
 * Returns: whether the event was set; if not, @error is set: `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
gboolean
mp_event_wait_finish (MpEvent *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (MP_IS_EVENT (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return mp_sync_ops_finish (G_TASK (result), NULL, error);
}

/* Properties */

/**
 * mp_event_get_is_set: (get-property is-set)
 * @self: an event
 *
 * Whether it is set.
 *
 * Returns: whether it is
 *
 * Since: 0.1
 */
gboolean
mp_event_get_is_set (MpEvent *self)
{
  g_return_val_if_fail (MP_IS_EVENT (self), FALSE);

  return self->shared != NULL && (atomic_load (&self->shared->word) & SET) != 0;
}

/**
 * mp_event_get_n_waiters: (get-property n-waiters)
 * @self: an event
 *
 * How many live threads and asynchronous operations of all processes wait for it.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_event_get_n_waiters (MpEvent *self)
{
  g_return_val_if_fail (MP_IS_EVENT (self), 0);

  return self->shared != NULL
           ? mp_waits_count (&self->block, mp_sync_ops_get_n_pending (atomic_load (&self->ops)))
           : 0;
}
