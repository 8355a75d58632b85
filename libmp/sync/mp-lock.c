/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-lock-private.h"

#include "mp-sync-dump-private.h"
#include "mp-sync-waiter-private.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "lock"

/**
 * MpLock:
 *
 * A lock between any number of threads and processes.
 *
 * Only one can have it at a time. Taking it when it is free, and releasing it when
 * nobody waits, takes some nanoseconds and no system call.
 *
 * A lock reaches another process as a [iface@Mp.Shareable], for instance in the
 * arguments of a process that is started. All ends are equal: it exists until
 * nobody has it any more. Many locks share one piece of memory and one file
 * descriptor.
 *
 * It is held by a process, not by a thread: anybody may release it, also another
 * thread or process than the one that acquired it. It is not recursive: who
 * acquires it again waits for ever; see [class@Mp.RLock].
 *
 * # Waiting
 *
 * Timeouts are in microseconds: -1 waits for ever, 0 not at all. A call that ran
 * out of time or was cancelled did nothing. The order in which those who wait get
 * it is not defined. An asynchronous acquisition whose result nobody fetched gives
 * the lock back.
 *
 * # When processes die
 *
 * When a process dies that holds the lock, the next to acquire it gets it, within
 * a fraction of a second, and is told so, because what the lock protects may be
 * half changed: [property@Mp.Lock:abandoned] is `TRUE` until the lock is released,
 * and [signal@Mp.Lock::holder-died] is emitted. Who hands over the lock, to be
 * released by another process, has to outlive that.
 *
 * # Threads
 *
 * All functions can be called from any thread. A child of fork() can use the locks
 * of its parent, and does not hold what its parent holds.
 *
 * Since: 0.1
 */
struct _MpLock
{
  GObject parent_instance;

  MpLockSite site;
  _Atomic (MpSyncOps *) ops;
};

enum
{
  PROP_0,
  PROP_LOCKED,
  PROP_ABANDONED,
  PROP_HOLDER_PID,
  PROP_HOLDER_THREAD,
  PROP_N_WAITERS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];
static guint holder_died_signal;
static GType lock_type;

static void mp_lock_initable_iface_init (GInitableIface *iface);
static void mp_lock_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpLock,
                               mp_lock,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mp_lock_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_lock_shareable_iface_init))

/* What MP_IS_LOCK() says, since the type is final, in a fraction of the time. */
static inline gboolean
is_ready (MpLock *self)
{
  const GTypeInstance *instance = (const GTypeInstance *) self;

  return G_LIKELY (instance != NULL && instance->g_class != NULL &&
                   instance->g_class->g_type == lock_type && self->site.shared != NULL);
}

static void
mp_lock_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpLock *self = MP_LOCK (object);

  switch (prop_id)
    {
    case PROP_LOCKED:
      g_value_set_boolean (value, mp_lock_get_locked (self));
      break;
    case PROP_ABANDONED:
      g_value_set_boolean (value, mp_lock_get_abandoned (self));
      break;
    case PROP_HOLDER_PID:
      g_value_set_uint (value, mp_lock_get_holder_pid (self));
      break;
    case PROP_HOLDER_THREAD:
      g_value_set_uint (value, mp_lock_get_holder_thread (self));
      break;
    case PROP_N_WAITERS:
      g_value_set_uint (value, mp_lock_get_n_waiters (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_lock_finalize (GObject *object)
{
  MpLock *self = MP_LOCK (object);
  MpSyncOps *ops = atomic_load (&self->ops);

  if (ops != NULL)
    mp_sync_ops_free (ops);
  mp_lock_site_clear (&self->site);
  G_OBJECT_CLASS (mp_lock_parent_class)->finalize (object);
}

static void
install_properties (GObjectClass *object_class)
{
  /**
   * MpLock:locked: (getter get_locked)
   *
   * Whether somebody holds it. Other processes change this and what is below:
   * there are no notifications.
   *
   * Since: 0.1
   */
  properties[PROP_LOCKED] =
    g_param_spec_boolean ("locked", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpLock:abandoned: (getter get_abandoned)
   *
   * Whether it is held by somebody who got it because its holder had died.
   *
   * Since: 0.1
   */
  properties[PROP_ABANDONED] = g_param_spec_boolean ("abandoned",
                                                     NULL,
                                                     NULL,
                                                     FALSE,
                                                     G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpLock:holder-pid: (getter get_holder_pid)
   *
   * The process that acquired it; 0: nobody.
   *
   * Since: 0.1
   */
  properties[PROP_HOLDER_PID] = g_param_spec_uint ("holder-pid",
                                                   NULL,
                                                   NULL,
                                                   0,
                                                   G_MAXUINT,
                                                   0,
                                                   G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpLock:holder-thread: (getter get_holder_thread)
   *
   * The thread that acquired it, as the kernel numbers them; 0: none, or it was
   * acquired asynchronously and not fetched yet.
   *
   * Since: 0.1
   */
  properties[PROP_HOLDER_THREAD] = g_param_spec_uint ("holder-thread",
                                                      NULL,
                                                      NULL,
                                                      0,
                                                      G_MAXUINT,
                                                      0,
                                                      G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpLock:n-waiters: (getter get_n_waiters)
   *
   * How many threads sleep until they get it, and how many asynchronous
   * acquisitions wait, in all processes.
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
mp_lock_class_init (MpLockClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  lock_type = G_TYPE_FROM_CLASS (klass);
  object_class->get_property = mp_lock_get_property;
  object_class->finalize = mp_lock_finalize;
  install_properties (object_class);

  /**
   * MpLock::holder-died:
   * @self: the lock
   *
   * Emitted when this object acquired the lock and its holder had died. It is
   * emitted before the call that acquired it returns, or in the call to
   * [method@Mp.Lock.acquire_finish].
   *
   * Since: 0.1
   */
  holder_died_signal = g_signal_new ("holder-died",
                                     G_TYPE_FROM_CLASS (klass),
                                     G_SIGNAL_RUN_LAST,
                                     0,
                                     NULL,
                                     NULL,
                                     NULL,
                                     G_TYPE_NONE,
                                     0);
}

static void
mp_lock_init (MpLock *self)
{
}

static gboolean
mp_lock_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpLock *self = MP_LOCK (initable);

  return self->site.shared != NULL || mp_lock_site_init (&self->site, MP_LOCK_KIND, error);
}

static void
mp_lock_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_lock_initable_init;
}

static GVariant *
mp_lock_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpLock *self = MP_LOCK (shareable);

  g_return_val_if_fail (self->site.shared != NULL, NULL);
  return mp_lock_site_to_handle (&self->site, KIND_NAME, fd_list, error);
}

static void
mp_lock_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_lock_to_handle;
}

static MpShareable *
mp_lock_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpLock) self = g_object_new (MP_TYPE_LOCK, NULL);

  if (!mp_lock_site_import (&self->site, KIND_NAME, MP_LOCK_KIND, handle, fd_list, error))
    return NULL;
  return MP_SHAREABLE (g_steal_pointer (&self));
}

static const MpSyncKind dump_kind = { .kind = MP_LOCK_KIND,
                                      .name = KIND_NAME,
                                      .min_size = sizeof (MpLockShared),
                                      .describe = mp_lock_describe,
                                      .get_holder = mp_lock_get_holder };

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_lock_import);
  mp_sync_register_kind (&dump_kind);
}

/**
 * mp_lock_new:
 * @error: return location for an error
 *
 * Makes a lock that is free.
 *
 * Returns: (transfer full) (nullable): the lock, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpLock *
mp_lock_new (GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_LOCK, NULL, error, NULL);
}

/* Acquiring */

static void
tell_if_abandoned (MpLock *self)
{
  if (G_UNLIKELY (mp_lock_site_is_abandoned (&self->site)))
    g_signal_emit (self, holder_died_signal, 0);
}

MpWaitResult
mp_lock_acquire_until (MpLock *self,
                       gint64 deadline,
                       GCancellable *cancellable,
                       gboolean interruptible)
{
  MpWaitResult result;

  if (mp_lock_site_try (&self->site))
    return MP_WAIT_RESULT_DONE;
  result = mp_lock_site_acquire_slow (&self->site, deadline, cancellable, interruptible);
  if (result == MP_WAIT_RESULT_DONE)
    tell_if_abandoned (self);
  return result;
}

static G_GNUC_NO_INLINE gboolean
acquire_slow (MpLock *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpWaitResult result;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  result = mp_lock_acquire_until (self, mp_deadline_new (timeout_us), cancellable, FALSE);
  return result == MP_WAIT_RESULT_DONE ||
         mp_sync_set_error (error, result, cancellable, &self->site.block, "The lock was not free");
}

/**
 * mp_lock_acquire:
 * @self: a lock
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the lock when it is free.
 *
 * Returns: whether it was acquired; if not, nothing happened, and @error is set:
 *   [error@Mp.Error.TIMED_OUT], `G_IO_ERROR_CANCELLED`, or [error@Mp.Error.LIMIT] if
 *   there are too many processes
 *
 * Since: 0.1
 */
gboolean
mp_lock_acquire (MpLock *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (is_ready (self), FALSE);

  if (G_LIKELY (cancellable == NULL && mp_lock_site_try (&self->site)))
    return TRUE;
  return acquire_slow (self, timeout_us, cancellable, error);
}

/**
 * mp_lock_acquire_interruptible:
 * @self: a lock
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * Takes the lock when it is free, and returns early when a signal handler ran in
 * this thread, or at least twice a second, so that no signal is missed: for bindings
 * whose language then wants to act on the signal.
 *
 * Returns: an [enum@Mp.WaitResult]; [enum@Mp.WaitResult.DONE] if it was acquired,
 *   else nothing happened
 *
 * Since: 0.1
 */
int
mp_lock_acquire_interruptible (MpLock *self, gint64 timeout_us)
{
  g_return_val_if_fail (is_ready (self), MP_WAIT_RESULT_FAILED);

  if (mp_lock_site_try (&self->site))
    return MP_WAIT_RESULT_DONE;
  return mp_lock_acquire_until (self, mp_deadline_new (timeout_us), NULL, TRUE);
}

/**
 * mp_lock_try_acquire:
 * @self: a lock
 *
 * Takes the lock if it is free.
 *
 * Returns: whether it was acquired
 *
 * Since: 0.1
 */
gboolean
mp_lock_try_acquire (MpLock *self)
{
  g_return_val_if_fail (is_ready (self), FALSE);

  return mp_lock_acquire_until (self, MP_DEADLINE_NOW, NULL, FALSE) == MP_WAIT_RESULT_DONE;
}

static MpSyncTried
try_take (gpointer object)
{
  MpLock *self = object;

  switch (mp_lock_site_try_or_arm (&self->site))
    {
    case MP_WAIT_RESULT_DONE:
      return mp_lock_site_is_abandoned (&self->site) ? MP_SYNC_DONE_ABANDONED : MP_SYNC_DONE;
    case MP_WAIT_RESULT_FAILED:
      return MP_SYNC_FAILED;
    case MP_WAIT_RESULT_TIMED_OUT:
    case MP_WAIT_RESULT_INTERRUPTED:
    case MP_WAIT_RESULT_BROKEN:
    default:
      return MP_SYNC_NOT_YET;
    }
}

static void
give_back (gpointer object)
{
  MpLock *self = object;

  mp_lock_site_release (&self->site);
}

static const MpSyncOpsFuncs ops_funcs = { .try_take = try_take, .give_back = give_back };

/**
 * mp_lock_acquire_async:
 * @self: a lock
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Takes the lock when it is free, see [method@Mp.Lock.acquire]. All asynchronous
 * waits of a process share one thread.
 *
 * If nobody calls [method@Mp.Lock.acquire_finish], the lock is released again.
 *
 * Since: 0.1
 */
void
mp_lock_acquire_async (MpLock *self,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer user_data)
{
  GTask *task;

  g_return_if_fail (is_ready (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_lock_acquire_async);
  g_task_set_name (task, "mp_lock_acquire_async");
  mp_sync_ops_start (mp_sync_ops_get (&self->ops, self, &self->site.block, &ops_funcs), task);
}

/**
 * mp_lock_acquire_finish:
 * @self: a lock
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Lock.acquire_async]. From now on the calling thread counts as the
 * one that holds the lock, as an [class@Mp.Condition] wants it.
 *
 * Returns: whether it was acquired; if not, @error is set as by
 *   [method@Mp.Lock.acquire]
 *
 * Since: 0.1
 */
gboolean
mp_lock_acquire_finish (MpLock *self, GAsyncResult *result, GError **error)
{
  gboolean abandoned = FALSE;

  g_return_val_if_fail (is_ready (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  if (!mp_sync_ops_finish (G_TASK (result), &abandoned, error))
    return FALSE;
  mp_lock_site_claim_thread (&self->site);
  if (abandoned)
    g_signal_emit (self, holder_died_signal, 0);
  return TRUE;
}

/**
 * mp_lock_release:
 * @self: a lock
 * @error: return location for an error
 *
 * Releases the lock, whoever acquired it.
 *
 * Returns: `FALSE` with @error set if it was not locked:
 *   [error@Mp.Error.NOT_OWNER]
 *
 * Since: 0.1
 */
gboolean
mp_lock_release (MpLock *self, GError **error)
{
  g_return_val_if_fail (is_ready (self), FALSE);

  if (G_LIKELY (mp_lock_site_release (&self->site)))
    return TRUE;
  g_set_error_literal (error, MP_ERROR, MP_ERROR_NOT_OWNER, "The lock is not locked");
  return FALSE;
}

/* For conditions */

gboolean
mp_lock_is_held_here (MpLock *self)
{
  uint32_t me = mp_participants_get_self_word (self->site.participants);

  return me != MP_PARTICIPANT_NONE && mp_lock_shared_get_holder (self->site.shared) == me &&
         mp_lock_site_is_noted_thread (&self->site);
}

guint
mp_lock_suspend (MpLock *self)
{
  mp_lock_site_release (&self->site);
  return 1;
}

gboolean
mp_lock_resume (MpLock *self, guint depth, GError **error)
{
  MpWaitResult result = mp_lock_acquire_until (self, MP_DEADLINE_NEVER, NULL, FALSE);

  return result == MP_WAIT_RESULT_DONE ||
         mp_sync_set_error (error, result, NULL, &self->site.block, "The lock was not free");
}

/* The rest */

/**
 * mp_lock_get_locked: (get-property locked)
 * @self: a lock
 *
 * Whether somebody holds it.
 *
 * Returns: whether it is locked
 *
 * Since: 0.1
 */
gboolean
mp_lock_get_locked (MpLock *self)
{
  g_return_val_if_fail (MP_IS_LOCK (self), FALSE);

  return self->site.shared != NULL &&
         mp_lock_shared_get_holder (self->site.shared) != MP_PARTICIPANT_NONE;
}

/**
 * mp_lock_get_abandoned: (get-property abandoned)
 * @self: a lock
 *
 * Whether whoever holds it got it because the one before died with it.
 *
 * Returns: whether it was abandoned
 *
 * Since: 0.1
 */
gboolean
mp_lock_get_abandoned (MpLock *self)
{
  g_return_val_if_fail (MP_IS_LOCK (self), FALSE);

  return self->site.shared != NULL && mp_lock_site_is_abandoned (&self->site);
}

/**
 * mp_lock_get_holder_pid: (get-property holder-pid)
 * @self: a lock
 *
 * Which process acquired it.
 *
 * Returns: the process id, 0 if it is free
 *
 * Since: 0.1
 */
guint
mp_lock_get_holder_pid (MpLock *self)
{
  g_return_val_if_fail (MP_IS_LOCK (self), 0);

  return self->site.shared != NULL ? mp_lock_site_get_holder_pid (&self->site) : 0;
}

/**
 * mp_lock_get_holder_thread: (get-property holder-thread)
 * @self: a lock
 *
 * Which thread acquired it: a hint for whoever debugs.
 *
 * Returns: the kernel's number of the thread, 0 if it is free, or was acquired
 *   asynchronously and nobody has called [method@Mp.Lock.acquire_finish] yet
 *
 * Since: 0.1
 */
guint
mp_lock_get_holder_thread (MpLock *self)
{
  g_return_val_if_fail (MP_IS_LOCK (self), 0);

  return self->site.shared != NULL ? mp_lock_site_get_holder_thread (&self->site) : 0;
}

/**
 * mp_lock_get_n_waiters: (get-property n-waiters)
 * @self: a lock
 *
 * How many wait for it. At most 1024 sleepers are counted in all the objects that
 * one process made.
 *
 * Returns: the number of sleeping threads and of asynchronous acquisitions
 *
 * Since: 0.1
 */
guint
mp_lock_get_n_waiters (MpLock *self)
{
  g_return_val_if_fail (MP_IS_LOCK (self), 0);

  if (self->site.shared == NULL)
    return 0;
  return mp_waits_count (&self->site.block, mp_sync_ops_get_n_pending (atomic_load (&self->ops)));
}
