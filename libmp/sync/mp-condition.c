/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-condition.h"

#include "mp-condition-queue-private.h"
#include "mp-error.h"
#include "mp-interrupted-private.h"
#include "mp-lock-private.h"
#include "mp-sync-dump-private.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "condition"
#define KIND MP_BLOCK_KIND ('c', 'o', 'n', 'd')
#define VERSION 1
/* In a handle's layout: the lock's handle. */
#define LAYOUT_LOCK "Lock"

/**
 * MpCondition:
 *
 * Waiting until what a lock protects has changed.
 *
 * Who waits holds the lock, finds that something is not yet as it has to be, and
 * calls [method@Mp.Condition.wait], which releases the lock, waits, and takes it
 * again. Who changes things does so with the lock held, and then notifies one, some
 * or all of those who wait:
 *
 * ```c
 * mp_lock_acquire (lock, -1, NULL, NULL);
 * while (*n_jobs == 0)
 *   mp_condition_wait (condition, -1, NULL, NULL);
 * (*n_jobs)--;
 * mp_lock_release (lock, NULL);
 * ```
 *
 * Those who wait are notified in the order in which they came, each once, and as
 * many as were asked for. Still a loop as above is needed: somebody else may have
 * taken the lock first, and changed things again.
 *
 * The lock is an [class@Mp.Lock] or an [class@Mp.RLock], of which any number of
 * conditions can be made. It travels with the condition: the object that is made of a
 * handle has an object for the same lock. Who waits or notifies has to be the thread that
 * took it; if that was done asynchronously, it is the one that called
 * [method@Mp.Lock.acquire_finish].
 *
 * # When processes die
 *
 * The dead do not count: who notifies passes over them, and waits for nobody. If
 * somebody is killed after it was notified, but before it had the lock again, its
 * notification goes to the next of those who waited at that time, within a moment.
 * If the one before died with the lock, [property@Mp.Lock:abandoned] says so after a
 * wait as after any way to take it.
 *
 * # Threads
 *
 * All functions can be called from any thread. At most 1000 can wait for one condition.
 *
 * Since: 0.1
 */
struct _MpCondition
{
  GObject parent_instance;

  /* One of them. */
  MpLock *lock;
  MpRLock *rlock;
  MpBlock block;
  guint64 serial; /* for waits that are interrupted */
};

enum
{
  PROP_0,
  PROP_LOCK,
  PROP_RLOCK,
  PROP_N_WAITERS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_condition_initable_iface_init (GInitableIface *iface);
static void mp_condition_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpCondition,
                               mp_condition,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE,
                                                      mp_condition_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_condition_shareable_iface_init))

#define MP_IS_READY_CONDITION(object)                                                              \
  (MP_IS_CONDITION (object) && MP_CONDITION (object)->block.arena != NULL)

static void
mp_condition_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpCondition *self = MP_CONDITION (object);

  switch (prop_id)
    {
    case PROP_LOCK:
      g_value_set_object (value, self->lock);
      break;
    case PROP_RLOCK:
      g_value_set_object (value, self->rlock);
      break;
    case PROP_N_WAITERS:
      g_value_set_uint (value, mp_condition_get_n_waiters (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_condition_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpCondition *self = MP_CONDITION (object);

  switch (prop_id)
    {
    case PROP_LOCK:
      self->lock = g_value_dup_object (value);
      break;
    case PROP_RLOCK:
      self->rlock = g_value_dup_object (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_condition_finalize (GObject *object)
{
  MpCondition *self = MP_CONDITION (object);

  mp_block_clear (&self->block);
  g_clear_object (&self->lock);
  g_clear_object (&self->rlock);
  G_OBJECT_CLASS (mp_condition_parent_class)->finalize (object);
}

static void
mp_condition_class_init (MpConditionClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_condition_get_property;
  object_class->set_property = mp_condition_set_property;
  object_class->finalize = mp_condition_finalize;

  /**
   * MpCondition:lock: (getter get_lock)
   *
   * The lock that is released while somebody waits, if it is a simple one.
   *
   * Since: 0.1
   */
  properties[PROP_LOCK] =
    g_param_spec_object ("lock",
                         NULL,
                         NULL,
                         MP_TYPE_LOCK,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpCondition:rlock: (getter get_rlock)
   *
   * The lock that is released while somebody waits, if it is one that its owner can
   * take several times.
   *
   * Since: 0.1
   */
  properties[PROP_RLOCK] =
    g_param_spec_object ("rlock",
                         NULL,
                         NULL,
                         MP_TYPE_RLOCK,
                         G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpCondition:n-waiters: (getter get_n_waiters)
   *
   * How many live threads of all processes wait and were not yet notified. Other
   * processes change it: there is no notification.
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
mp_condition_init (MpCondition *self)
{
  self->serial = mp_interrupted_new_serial ();
}

static gboolean
mp_condition_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpCondition *self = MP_CONDITION (initable);
  g_autoptr (MpArena) arena = NULL;

  if (self->block.arena != NULL)
    return TRUE;
  if ((self->lock == NULL) == (self->rlock == NULL))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_INVALID_ARGUMENT,
                           "A condition has one lock: either “lock” or “rlock”");
      return FALSE;
    }
  arena = mp_arena_ref_default (error);
  return arena != NULL &&
         mp_block_new (&self->block, arena, KIND, sizeof (MpConditionShared), error);
}

static void
mp_condition_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_condition_initable_init;
}

static GVariant *
mp_condition_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpCondition *self = MP_CONDITION (shareable);
  g_auto (GVariantDict) layout = G_VARIANT_DICT_INIT (NULL);
  g_autoptr (GVariant) lock = NULL;
  MpShareable *inner;

  g_return_val_if_fail (self->block.arena != NULL, NULL);

  inner = self->lock != NULL ? MP_SHAREABLE (self->lock) : MP_SHAREABLE (self->rlock);
  lock = mp_shareable_to_handle (inner, fd_list, error);
  if (lock == NULL)
    return NULL;
  g_variant_dict_insert_value (&layout, LAYOUT_LOCK, lock);
  return mp_block_to_handle (&self->block,
                             KIND_NAME,
                             VERSION,
                             g_variant_dict_end (&layout),
                             fd_list,
                             error);
}

static void
mp_condition_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_condition_to_handle;
}

/* The lock that is named in @handle. */
static MpShareable *
import_lock (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) inner =
    g_variant_lookup_value (layout, LAYOUT_LOCK, G_VARIANT_TYPE (MP_HANDLE_TYPE));
  g_autoptr (MpShareable) lock = NULL;

  if (inner != NULL)
    {
      lock = mp_shareable_new_from_handle (inner, fd_list, error);
      if (lock == NULL)
        return NULL;
    }
  if (lock == NULL || !(MP_IS_LOCK (lock) || MP_IS_RLOCK (lock)))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "The handle of a condition names no lock");
      return NULL;
    }
  return g_steal_pointer (&lock);
}

static MpShareable *
mp_condition_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_auto (MpBlock) block = MP_BLOCK_INIT;
  g_autoptr (MpShareable) lock = NULL;
  MpCondition *self;

  if (!mp_block_from_handle (&block,
                             KIND_NAME,
                             VERSION,
                             KIND,
                             sizeof (MpConditionShared),
                             handle,
                             fd_list,
                             error))
    return NULL;
  lock = import_lock (handle, fd_list, error);
  if (lock == NULL)
    return NULL;
  self = g_object_new (MP_TYPE_CONDITION, MP_IS_LOCK (lock) ? "lock" : "rlock", lock, NULL);
  self->block = block;
  block = (MpBlock) MP_BLOCK_INIT;
  return MP_SHAREABLE (self);
}

static void
describe (gpointer memory, gsize size, GString *text)
{
  g_string_append_printf (text,
                          "%u have waited for it",
                          atomic_load (&((MpConditionShared *) memory)->next_ticket));
}

static const MpSyncKind dump_kind = { .kind = KIND,
                                      .name = KIND_NAME,
                                      .min_size = sizeof (MpConditionShared),
                                      .describe = describe };

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_condition_import);
  mp_sync_register_kind (&dump_kind);
}

/**
 * mp_condition_new:
 * @lock: the lock to release while somebody waits
 * @error: return location for an error
 *
 * Makes a condition.
 *
 * Returns: (transfer full) (nullable): the condition, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpCondition *
mp_condition_new (MpLock *lock, GError **error)
{
  g_return_val_if_fail (MP_IS_LOCK (lock), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_CONDITION, NULL, error, "lock", lock, NULL);
}

/**
 * mp_condition_new_with_rlock:
 * @rlock: the lock to release while somebody waits, however often its owner has it
 * @error: return location for an error
 *
 * Makes a condition.
 *
 * Returns: (transfer full) (nullable): the condition, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpCondition *
mp_condition_new_with_rlock (MpRLock *rlock, GError **error)
{
  g_return_val_if_fail (MP_IS_RLOCK (rlock), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_CONDITION, NULL, error, "rlock", rlock, NULL);
}

/* The lock */

static gboolean
check_held (MpCondition *self, GError **error)
{
  if (self->lock != NULL ? mp_lock_is_held_here (self->lock) : mp_rlock_is_held_here (self->rlock))
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_NOT_OWNER,
                       "The lock of the condition is not held by this thread");
  return FALSE;
}

static guint
suspend (MpCondition *self)
{
  return self->lock != NULL ? mp_lock_suspend (self->lock) : mp_rlock_suspend (self->rlock);
}

static gboolean
resume (MpCondition *self, guint depth, GError **error)
{
  return self->lock != NULL ? mp_lock_resume (self->lock, depth, error)
                            : mp_rlock_resume (self->rlock, depth, error);
}

/* A wait of this thread that a signal handler interrupted. */
typedef struct
{
  MpConditionWaiter waiter;
  guint depth;
} Pending;

/* A child of fork() has not begun it. */
static gboolean
is_waiting (MpCondition *self, Pending *pending)
{
  MpParticipants *participants = mp_arena_get_participants (self->block.arena);

  return mp_interrupted_take (self->serial, pending, sizeof *pending) &&
         pending->waiter.me == mp_participants_get_self_word (participants);
}

/* Takes the lock again after a wait that ended with @result. @error is set if that
 * becomes MP_WAIT_RESULT_FAILED. */
static MpWaitResult
end_wait (MpCondition *self,
          MpConditionWaiter *waiter,
          guint depth,
          MpWaitResult result,
          GError **error)
{
  gboolean resumed = resume (self, depth, error);

  if (result == MP_WAIT_RESULT_DONE)
    mp_condition_queue_leave (waiter);
  return resumed ? result : MP_WAIT_RESULT_FAILED;
}

/**
 * mp_condition_wait:
 * @self: a condition
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Releases the lock, waits to be notified, and takes the lock again. An
 * [class@Mp.RLock] is released completely and is then held as often as before.
 *
 * Taking the lock again is not limited by @timeout_us and cannot be cancelled: also
 * when the call fails, the lock is held. With a timeout of 0 others have a chance to
 * take it.
 *
 * Returns: whether it was notified; if not, @error is set:
 *   [error@Mp.Error.TIMED_OUT], `G_IO_ERROR_CANCELLED`, or, and then nothing happened,
 *   [error@Mp.Error.NOT_OWNER] if the lock is not held and [error@Mp.Error.LIMIT] if
 *   too many wait
 *
 * Since: 0.1
 */
gboolean
mp_condition_wait (MpCondition *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpConditionWaiter waiter;
  MpWaitResult result;
  guint depth;

  g_return_val_if_fail (MP_IS_READY_CONDITION (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (!check_held (self, error) || !mp_condition_queue_enter (&self->block, &waiter, error))
    return FALSE;
  depth = suspend (self);
  result = mp_condition_queue_sleep (&waiter, deadline, cancellable, FALSE);
  result = end_wait (self, &waiter, depth, result, error);
  if (result != MP_WAIT_RESULT_DONE && result != MP_WAIT_RESULT_FAILED)
    mp_sync_set_error (error, result, cancellable, &self->block, "The condition was not notified");
  return result == MP_WAIT_RESULT_DONE;
}

/**
 * mp_condition_wait_interruptible:
 * @self: a condition
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * Like [method@Mp.Condition.wait], but returns early when a signal handler ran in
 * this thread, or at least twice a second, so that no signal is missed: for bindings
 * whose language then wants to act on the signal. The lock is not held then, and the
 * thread still waits, so that no notification is lost. It has to call this function
 * again, with what is left of the time, or [method@Mp.Condition.stop_waiting].
 *
 * Returns: an [enum@Mp.WaitResult]; %MP_WAIT_RESULT_FAILED if the lock was not held or
 *   too many wait, and nothing happened
 *
 * Since: 0.1
 */
int
mp_condition_wait_interruptible (MpCondition *self, gint64 timeout_us)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpWaitResult result;
  Pending pending;

  g_return_val_if_fail (MP_IS_READY_CONDITION (self), MP_WAIT_RESULT_FAILED);

  if (!is_waiting (self, &pending))
    {
      if (!check_held (self, NULL) ||
          !mp_condition_queue_enter (&self->block, &pending.waiter, NULL))
        return MP_WAIT_RESULT_FAILED;
      pending.depth = suspend (self);
    }
  result = mp_condition_queue_sleep (&pending.waiter, deadline, NULL, TRUE);
  if (result != MP_WAIT_RESULT_INTERRUPTED)
    return (int) end_wait (self, &pending.waiter, pending.depth, result, NULL);
  mp_interrupted_put (self->serial, &pending, sizeof pending);
  return (int) result;
}

/**
 * mp_condition_stop_waiting:
 * @self: a condition
 *
 * Ends a wait of this thread that [method@Mp.Condition.wait_interruptible] left when a
 * signal handler ran, and takes the lock again. Does nothing if there is none.
 *
 * Returns: whether it was notified meanwhile
 *
 * Since: 0.1
 */
gboolean
mp_condition_stop_waiting (MpCondition *self)
{
  MpWaitResult result;
  Pending pending;

  g_return_val_if_fail (MP_IS_READY_CONDITION (self), FALSE);

  if (!is_waiting (self, &pending))
    return FALSE;
  result = mp_condition_queue_give_up (&pending.waiter, MP_WAIT_RESULT_TIMED_OUT);
  return end_wait (self, &pending.waiter, pending.depth, result, NULL) == MP_WAIT_RESULT_DONE;
}

/* Notifying */

/**
 * mp_condition_notify_one:
 * @self: a condition
 * @error: return location for an error
 *
 * Wakes the one that has waited longest. It goes on as soon as it has the lock.
 *
 * Returns: whether it was possible; it is not an error if nobody waits. If not,
 *   nothing happened, and @error is set: [error@Mp.Error.NOT_OWNER] if the lock is not
 *   held
 *
 * Since: 0.1
 */
gboolean
mp_condition_notify_one (MpCondition *self, GError **error)
{
  return mp_condition_notify_many (self, 1, error);
}

/**
 * mp_condition_notify_many:
 * @self: a condition
 * @n: how many
 * @error: return location for an error
 *
 * Wakes the @n that have waited longest, or all if fewer wait.
 *
 * Returns: whether it was possible, see [method@Mp.Condition.notify_one]
 *
 * Since: 0.1
 */
gboolean
mp_condition_notify_many (MpCondition *self, guint n, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_CONDITION (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!check_held (self, error))
    return FALSE;
  mp_condition_queue_notify (&self->block, n);
  return TRUE;
}

/**
 * mp_condition_notify_all:
 * @self: a condition
 * @error: return location for an error
 *
 * Wakes all that wait.
 *
 * Returns: whether it was possible, see [method@Mp.Condition.notify_one]
 *
 * Since: 0.1
 */
gboolean
mp_condition_notify_all (MpCondition *self, GError **error)
{
  return mp_condition_notify_many (self, G_MAXUINT, error);
}

/* Properties */

/**
 * mp_condition_get_lock: (get-property lock)
 * @self: a condition
 *
 * The lock that is released while somebody waits.
 *
 * Returns: (transfer none) (nullable): the lock, or `NULL` if it is an [class@Mp.RLock]
 *
 * Since: 0.1
 */
MpLock *
mp_condition_get_lock (MpCondition *self)
{
  g_return_val_if_fail (MP_IS_CONDITION (self), NULL);

  return self->lock;
}

/**
 * mp_condition_get_rlock: (get-property rlock)
 * @self: a condition
 *
 * The lock that is released while somebody waits.
 *
 * Returns: (transfer none) (nullable): the lock, or `NULL` if it is an [class@Mp.Lock]
 *
 * Since: 0.1
 */
MpRLock *
mp_condition_get_rlock (MpCondition *self)
{
  g_return_val_if_fail (MP_IS_CONDITION (self), NULL);

  return self->rlock;
}

/**
 * mp_condition_get_n_waiters: (get-property n-waiters)
 * @self: a condition
 *
 * How many live threads of all processes wait and were not yet notified.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_condition_get_n_waiters (MpCondition *self)
{
  g_return_val_if_fail (MP_IS_CONDITION (self), 0);

  return self->block.arena != NULL ? mp_condition_queue_count (&self->block) : 0;
}
