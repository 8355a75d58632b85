/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-lock-private.h"

#include "mp-sync-dump-private.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "rlock"

/**
 * MpRLock:
 *
 * A recursive lock between any number of threads and processes.
 *
 * It is held by one thread of one process, which may acquire it again and has to
 * release it as often; nobody else can release it. Otherwise it is what
 * [class@Mp.Lock] is, and sharing, waiting and timeouts are as described there,
 * but it has no asynchronous functions, as those belong to no thread.
 *
 * # When processes die
 *
 * When a process dies that holds the lock, the next to acquire it gets it, within
 * a fraction of a second, and is told so, because what the lock protects may be
 * half changed: [property@Mp.RLock:abandoned] is `TRUE` until the lock is released
 * completely, and [signal@Mp.RLock::holder-died] is emitted. A thread that ends
 * while its process lives keeps the lock for ever.
 *
 * # Threads
 *
 * All functions can be called from any thread. A child of fork() can use the locks
 * of its parent, and does not hold what its parent holds.
 *
 * Since: 0.1
 */
struct _MpRLock
{
  GObject parent_instance;

  MpLockSite site;
};

enum
{
  PROP_0,
  PROP_LOCKED,
  PROP_ABANDONED,
  PROP_HOLDER_PID,
  PROP_HOLDER_THREAD,
  PROP_N_WAITERS,
  PROP_DEPTH,
  PROP_OWNED,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];
static guint holder_died_signal;
static GType rlock_type;

/* The number of a thread in this process, never 0 when it is known, and never used
 * again, other than the kernel's. */
static _Atomic uint32_t last_serial;
static _Thread_local uint32_t thread_serial __attribute__ ((tls_model ("initial-exec")));

static void mp_rlock_initable_iface_init (GInitableIface *iface);
static void mp_rlock_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpRLock,
                               mp_rlock,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, mp_rlock_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_rlock_shareable_iface_init))

/* What MP_IS_RLOCK() says, since the type is final, in a fraction of the time. */
static inline gboolean
is_ready (MpRLock *self)
{
  const GTypeInstance *instance = (const GTypeInstance *) self;

  return G_LIKELY (instance != NULL && instance->g_class != NULL &&
                   instance->g_class->g_type == rlock_type && self->site.shared != NULL);
}

static void
mp_rlock_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpRLock *self = MP_RLOCK (object);

  switch (prop_id)
    {
    case PROP_LOCKED:
      g_value_set_boolean (value, mp_rlock_get_locked (self));
      break;
    case PROP_ABANDONED:
      g_value_set_boolean (value, mp_rlock_get_abandoned (self));
      break;
    case PROP_HOLDER_PID:
      g_value_set_uint (value, mp_rlock_get_holder_pid (self));
      break;
    case PROP_HOLDER_THREAD:
      g_value_set_uint (value, mp_rlock_get_holder_thread (self));
      break;
    case PROP_N_WAITERS:
      g_value_set_uint (value, mp_rlock_get_n_waiters (self));
      break;
    case PROP_DEPTH:
      g_value_set_uint (value, mp_rlock_get_depth (self));
      break;
    case PROP_OWNED:
      g_value_set_boolean (value, mp_rlock_get_owned (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_rlock_finalize (GObject *object)
{
  MpRLock *self = MP_RLOCK (object);

  mp_lock_site_clear (&self->site);
  G_OBJECT_CLASS (mp_rlock_parent_class)->finalize (object);
}

static void
describe_own_properties (void)
{
  /**
   * MpRLock:depth: (getter get_depth)
   *
   * How often the calling thread has acquired it, and not released.
   *
   * Since: 0.1
   */
  properties[PROP_DEPTH] = g_param_spec_uint ("depth",
                                              NULL,
                                              NULL,
                                              0,
                                              G_MAXUINT,
                                              0,
                                              G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpRLock:owned: (getter get_owned)
   *
   * Whether the calling thread holds it.
   *
   * Since: 0.1
   */
  properties[PROP_OWNED] =
    g_param_spec_boolean ("owned", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
}

static void
install_properties (GObjectClass *object_class)
{
  /**
   * MpRLock:locked: (getter get_locked)
   *
   * Whether somebody holds it. Other processes change this and what is below:
   * there are no notifications.
   *
   * Since: 0.1
   */
  properties[PROP_LOCKED] =
    g_param_spec_boolean ("locked", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpRLock:abandoned: (getter get_abandoned)
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
   * MpRLock:holder-pid: (getter get_holder_pid)
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
   * MpRLock:holder-thread: (getter get_holder_thread)
   *
   * The thread that acquired it, as the kernel numbers them; 0: none.
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
   * MpRLock:n-waiters: (getter get_n_waiters)
   *
   * How many threads sleep until they get it, in all processes.
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
  describe_own_properties ();
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_rlock_class_init (MpRLockClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  rlock_type = G_TYPE_FROM_CLASS (klass);
  object_class->get_property = mp_rlock_get_property;
  object_class->finalize = mp_rlock_finalize;
  install_properties (object_class);

  /**
   * MpRLock::holder-died:
   * @self: the lock
   *
   * Emitted when this object acquired the lock and its holder had died. It is
   * emitted before the call that acquired it returns.
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
mp_rlock_init (MpRLock *self)
{
}

static gboolean
mp_rlock_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpRLock *self = MP_RLOCK (initable);

  return self->site.shared != NULL || mp_lock_site_init (&self->site, MP_RLOCK_KIND, error);
}

static void
mp_rlock_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_rlock_initable_init;
}

static GVariant *
mp_rlock_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpRLock *self = MP_RLOCK (shareable);

  g_return_val_if_fail (self->site.shared != NULL, NULL);
  return mp_lock_site_to_handle (&self->site, KIND_NAME, fd_list, error);
}

static void
mp_rlock_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_rlock_to_handle;
}

static MpShareable *
mp_rlock_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpRLock) self = g_object_new (MP_TYPE_RLOCK, NULL);

  if (!mp_lock_site_import (&self->site, KIND_NAME, MP_RLOCK_KIND, handle, fd_list, error))
    return NULL;
  return MP_SHAREABLE (g_steal_pointer (&self));
}

static const MpSyncKind dump_kind = { .kind = MP_RLOCK_KIND,
                                      .name = KIND_NAME,
                                      .min_size = sizeof (MpLockShared),
                                      .describe = mp_lock_describe,
                                      .get_holder = mp_lock_get_holder };

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_rlock_import);
  mp_sync_register_kind (&dump_kind);
}

/**
 * mp_rlock_new:
 * @error: return location for an error
 *
 * Makes a recursive lock that is free.
 *
 * Returns: (transfer full) (nullable): the lock, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpRLock *
mp_rlock_new (GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_RLOCK, NULL, error, NULL);
}

/* Acquiring */

static G_GNUC_NO_INLINE void
number_thread (void)
{
  do
    thread_serial = atomic_fetch_add (&last_serial, 1) + 1;
  while (thread_serial == 0);
}

/* The name of this thread among all processes; 0 if this one has no name. */
static inline uint64_t
get_token (MpRLock *self)
{
  uint32_t me = mp_participants_get_self_word (self->site.participants);

  if (G_UNLIKELY (thread_serial == 0))
    number_thread ();
  return me != MP_PARTICIPANT_NONE ? (uint64_t) me << 32 | thread_serial : 0;
}

/* Only this thread stores its own token, so that it reads nothing stale. */
static inline gboolean
is_owner (MpRLock *self, uint64_t token)
{
  return token != 0 &&
         atomic_load_explicit (&self->site.shared->owner, memory_order_relaxed) == token;
}

/* This thread has the word. */
static inline void
own (MpRLock *self, uint64_t token, guint32 depth)
{
  atomic_store_explicit (&self->site.shared->owner, token, memory_order_relaxed);
  atomic_store_explicit (&self->site.shared->depth, depth, memory_order_relaxed);
}

/* TRUE: it was acquired once more. */
static inline gboolean
go_deeper (MpRLock *self, guint32 depth)
{
  if (G_UNLIKELY (depth == G_MAXUINT32))
    return FALSE;
  atomic_store_explicit (&self->site.shared->depth, depth + 1, memory_order_relaxed);
  return TRUE;
}

static inline guint32
load_depth (MpRLock *self)
{
  return atomic_load_explicit (&self->site.shared->depth, memory_order_relaxed);
}

static inline gboolean
try_acquire (MpRLock *self)
{
  uint64_t token = get_token (self);

  if (is_owner (self, token))
    return go_deeper (self, load_depth (self));
  if (!mp_lock_site_try (&self->site))
    return FALSE;
  own (self, token, 1);
  return TRUE;
}

/* @depth: what it is to be then. */
static MpWaitResult
acquire_slow_until (MpRLock *self,
                    gint64 deadline,
                    GCancellable *cancellable,
                    gboolean interruptible,
                    guint32 depth)
{
  MpWaitResult result;

  /* As deep as can be. */
  if (is_owner (self, get_token (self)))
    return MP_WAIT_RESULT_FAILED;
  result = mp_lock_site_acquire_slow (&self->site, deadline, cancellable, interruptible);
  if (result != MP_WAIT_RESULT_DONE)
    return result;
  own (self, get_token (self), depth);
  if (G_UNLIKELY (mp_lock_site_is_abandoned (&self->site)))
    g_signal_emit (self, holder_died_signal, 0);
  return result;
}

MpWaitResult
mp_rlock_acquire_until (MpRLock *self,
                        gint64 deadline,
                        GCancellable *cancellable,
                        gboolean interruptible)
{
  if (try_acquire (self))
    return MP_WAIT_RESULT_DONE;
  return acquire_slow_until (self, deadline, cancellable, interruptible, 1);
}

static gboolean
set_error (GError **error, MpRLock *self, MpWaitResult result, GCancellable *cancellable)
{
  if (result != MP_WAIT_RESULT_FAILED || !mp_rlock_is_held_here (self))
    return mp_sync_set_error (error,
                              result,
                              cancellable,
                              &self->site.block,
                              "The recursive lock was not free");
  g_set_error_literal (error, MP_ERROR, MP_ERROR_LIMIT, "The recursive lock is as deep as can be");
  return FALSE;
}

static G_GNUC_NO_INLINE gboolean
acquire_slow (MpRLock *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpWaitResult result;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  result = mp_rlock_acquire_until (self, mp_deadline_new (timeout_us), cancellable, FALSE);
  return result == MP_WAIT_RESULT_DONE || set_error (error, self, result, cancellable);
}

/**
 * mp_rlock_acquire:
 * @self: a recursive lock
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the lock when it is free, or at once if this thread holds it.
 *
 * Returns: whether it was acquired; if not, nothing happened, and @error is set:
 *   [error@Mp.Error.TIMED_OUT], `G_IO_ERROR_CANCELLED`, or [error@Mp.Error.LIMIT] if
 *   there are too many processes, or it was acquired 4294967295 times
 *
 * Since: 0.1
 */
gboolean
mp_rlock_acquire (MpRLock *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (is_ready (self), FALSE);

  if (G_LIKELY (cancellable == NULL && try_acquire (self)))
    return TRUE;
  return acquire_slow (self, timeout_us, cancellable, error);
}

/**
 * mp_rlock_acquire_interruptible:
 * @self: a recursive lock
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
mp_rlock_acquire_interruptible (MpRLock *self, gint64 timeout_us)
{
  g_return_val_if_fail (is_ready (self), MP_WAIT_RESULT_FAILED);

  if (try_acquire (self))
    return MP_WAIT_RESULT_DONE;
  return mp_rlock_acquire_until (self, mp_deadline_new (timeout_us), NULL, TRUE);
}

/**
 * mp_rlock_try_acquire:
 * @self: a recursive lock
 *
 * Takes the lock if it is free, or if this thread holds it.
 *
 * Returns: whether it was acquired
 *
 * Since: 0.1
 */
gboolean
mp_rlock_try_acquire (MpRLock *self)
{
  g_return_val_if_fail (is_ready (self), FALSE);

  return mp_rlock_acquire_until (self, MP_DEADLINE_NOW, NULL, FALSE) == MP_WAIT_RESULT_DONE;
}

/* Completely. */
static inline void
let_go (MpRLock *self)
{
  own (self, 0, 0);
  mp_lock_site_release (&self->site);
}

/**
 * mp_rlock_release:
 * @self: a recursive lock
 * @error: return location for an error
 *
 * Releases the lock once. It is free when this thread released it as often as it
 * acquired it.
 *
 * Returns: `FALSE` with @error set if this thread does not hold it:
 *   [error@Mp.Error.NOT_OWNER]
 *
 * Since: 0.1
 */
gboolean
mp_rlock_release (MpRLock *self, GError **error)
{
  guint32 depth;

  g_return_val_if_fail (is_ready (self), FALSE);

  if (G_UNLIKELY (!is_owner (self, get_token (self))))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_OWNER,
                           "The recursive lock is not held by this thread");
      return FALSE;
    }
  depth = load_depth (self);
  if (depth > 1)
    atomic_store_explicit (&self->site.shared->depth, depth - 1, memory_order_relaxed);
  else
    let_go (self);
  return TRUE;
}

/* For conditions */

gboolean
mp_rlock_is_held_here (MpRLock *self)
{
  return is_owner (self, get_token (self));
}

guint
mp_rlock_suspend (MpRLock *self)
{
  guint depth = load_depth (self);

  let_go (self);
  return depth;
}

gboolean
mp_rlock_resume (MpRLock *self, guint depth, GError **error)
{
  MpWaitResult result = MP_WAIT_RESULT_DONE;

  if (mp_lock_site_try (&self->site))
    own (self, get_token (self), depth);
  else
    result = acquire_slow_until (self, MP_DEADLINE_NEVER, NULL, FALSE, depth);
  return result == MP_WAIT_RESULT_DONE || set_error (error, self, result, NULL);
}

/* The rest */

/**
 * mp_rlock_get_locked: (get-property locked)
 * @self: a recursive lock
 *
 * Whether somebody holds it.
 *
 * Returns: whether it is locked
 *
 * Since: 0.1
 */
gboolean
mp_rlock_get_locked (MpRLock *self)
{
  g_return_val_if_fail (MP_IS_RLOCK (self), FALSE);

  return self->site.shared != NULL &&
         mp_lock_shared_get_holder (self->site.shared) != MP_PARTICIPANT_NONE;
}

/**
 * mp_rlock_get_abandoned: (get-property abandoned)
 * @self: a recursive lock
 *
 * Whether whoever holds it got it because the one before died with it.
 *
 * Returns: whether it was abandoned
 *
 * Since: 0.1
 */
gboolean
mp_rlock_get_abandoned (MpRLock *self)
{
  g_return_val_if_fail (MP_IS_RLOCK (self), FALSE);

  return self->site.shared != NULL && mp_lock_site_is_abandoned (&self->site);
}

/**
 * mp_rlock_get_holder_pid: (get-property holder-pid)
 * @self: a recursive lock
 *
 * Which process acquired it.
 *
 * Returns: the process id, 0 if it is free
 *
 * Since: 0.1
 */
guint
mp_rlock_get_holder_pid (MpRLock *self)
{
  g_return_val_if_fail (MP_IS_RLOCK (self), 0);

  return self->site.shared != NULL ? mp_lock_site_get_holder_pid (&self->site) : 0;
}

/**
 * mp_rlock_get_holder_thread: (get-property holder-thread)
 * @self: a recursive lock
 *
 * Which thread acquired it: a hint for whoever debugs.
 *
 * Returns: the kernel's number of the thread, 0 if it is free
 *
 * Since: 0.1
 */
guint
mp_rlock_get_holder_thread (MpRLock *self)
{
  g_return_val_if_fail (MP_IS_RLOCK (self), 0);

  return self->site.shared != NULL ? mp_lock_site_get_holder_thread (&self->site) : 0;
}

/**
 * mp_rlock_get_n_waiters: (get-property n-waiters)
 * @self: a recursive lock
 *
 * How many wait for it. At most 1024 sleepers are counted in all the objects that
 * one process made.
 *
 * Returns: the number of sleeping threads
 *
 * Since: 0.1
 */
guint
mp_rlock_get_n_waiters (MpRLock *self)
{
  g_return_val_if_fail (MP_IS_RLOCK (self), 0);

  if (self->site.shared == NULL)
    return 0;
  return mp_waits_count (&self->site.block, 0);
}

/**
 * mp_rlock_get_depth: (get-property depth)
 * @self: a recursive lock
 *
 * How often the calling thread has acquired it, and not released.
 *
 * Returns: how deep it is, 0 if this thread does not hold it
 *
 * Since: 0.1
 */
guint
mp_rlock_get_depth (MpRLock *self)
{
  g_return_val_if_fail (MP_IS_RLOCK (self), 0);

  return self->site.shared != NULL && mp_rlock_is_held_here (self) ? load_depth (self) : 0;
}

/**
 * mp_rlock_get_owned: (get-property owned)
 * @self: a recursive lock
 *
 * Whether the calling thread holds it.
 *
 * Returns: whether it does
 *
 * Since: 0.1
 */
gboolean
mp_rlock_get_owned (MpRLock *self)
{
  g_return_val_if_fail (MP_IS_RLOCK (self), FALSE);

  return self->site.shared != NULL && mp_rlock_is_held_here (self);
}
