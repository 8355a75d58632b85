/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-semaphore.h"

#include "mp-semaphore-units-private.h"
#include "mp-sync-dump-private.h"
#include "mp-sync-waiter-private.h"
#include "mp-waits-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "semaphore"

/**
 * MpSemaphore:
 *
 * A number of units that threads and processes take and add.
 *
 * Acquiring takes one unit, and waits while there is none; releasing adds some.
 * Anybody may release. Neither needs a system call unless somebody waits.
 *
 * A semaphore reaches another process as a [iface@Mp.Shareable], for instance in
 * the arguments of a process that is started. All ends are equal: it exists until
 * nobody has it any more.
 *
 * # Kinds
 *
 * With [flags@Mp.SemaphoreFlags.BOUNDED] there are never more free units than at
 * the start: releasing more is [error@Mp.Error.LIMIT].
 *
 * With [flags@Mp.SemaphoreFlags.RECOVER] it knows which process has how many units,
 * and those of one that dies come back as soon as somebody waits for a unit, or
 * asks for their number. That is right when units stand for a resource, and wrong
 * when they are signals, acquired by one process and released by others. Units
 * that a process releases are first those that it has itself; if it has too few,
 * the rest is added to the total or, when bounded, taken off what others have.
 *
 * Without, the units that a process has when it dies are gone.
 *
 * # Waiting
 *
 * Timeouts are in microseconds: -1 waits for ever, 0 not at all. A call that ran
 * out of time or was cancelled took nothing. The order in which those who wait get
 * a unit is not defined. An asynchronous acquisition whose result nobody fetched
 * gives the unit back.
 *
 * # Threads
 *
 * All functions can be called from any thread. A child of fork() can use the
 * semaphores of its parent, and has none of its units.
 *
 * Since: 0.1
 */
struct _MpSemaphore
{
  GObject parent_instance;

  MpUnits units;
  _Atomic (MpSyncOps *) ops;

  /* As it was asked for. */
  guint initial_value;
  MpSemaphoreFlags flags;
};

enum
{
  PROP_0,
  PROP_VALUE,
  PROP_INITIAL_VALUE,
  PROP_FLAGS,
  PROP_N_WAITERS,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];
static GType semaphore_type;

static void mp_semaphore_initable_iface_init (GInitableIface *iface);
static void mp_semaphore_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpSemaphore,
                               mp_semaphore,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE,
                                                      mp_semaphore_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_semaphore_shareable_iface_init))

/* What MP_IS_SEMAPHORE() says, since the type is final, in a fraction of the time. */
static inline gboolean
is_ready (MpSemaphore *self)
{
  const GTypeInstance *instance = (const GTypeInstance *) self;

  return G_LIKELY (instance != NULL && instance->g_class != NULL &&
                   instance->g_class->g_type == semaphore_type && self->units.shared != NULL);
}

static void
mp_semaphore_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpSemaphore *self = MP_SEMAPHORE (object);

  switch (prop_id)
    {
    case PROP_VALUE:
      g_value_set_uint (value, mp_semaphore_get_value (self));
      break;
    case PROP_INITIAL_VALUE:
      g_value_set_uint (value, mp_semaphore_get_initial_value (self));
      break;
    case PROP_FLAGS:
      g_value_set_flags (value, mp_semaphore_get_flags (self));
      break;
    case PROP_N_WAITERS:
      g_value_set_uint (value, mp_semaphore_get_n_waiters (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_semaphore_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpSemaphore *self = MP_SEMAPHORE (object);

  switch (prop_id)
    {
    case PROP_INITIAL_VALUE:
      self->initial_value = g_value_get_uint (value);
      break;
    case PROP_FLAGS:
      self->flags = g_value_get_flags (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_semaphore_finalize (GObject *object)
{
  MpSemaphore *self = MP_SEMAPHORE (object);
  MpSyncOps *ops = atomic_load (&self->ops);

  if (ops != NULL)
    mp_sync_ops_free (ops);
  mp_units_clear (&self->units);
  G_OBJECT_CLASS (mp_semaphore_parent_class)->finalize (object);
}

static void
mp_semaphore_class_init (MpSemaphoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  semaphore_type = G_TYPE_FROM_CLASS (klass);
  object_class->get_property = mp_semaphore_get_property;
  object_class->set_property = mp_semaphore_set_property;
  object_class->finalize = mp_semaphore_finalize;

  /**
   * MpSemaphore:value: (getter get_value)
   *
   * How many units are free. Other processes change it: there is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_VALUE] = g_param_spec_uint ("value",
                                              NULL,
                                              NULL,
                                              0,
                                              MP_SEMAPHORE_MAX_VALUE,
                                              0,
                                              G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpSemaphore:initial-value: (getter get_initial_value)
   *
   * How many units were free when it was made; the bound if it is bounded.
   *
   * Since: 0.1
   */
  properties[PROP_INITIAL_VALUE] =
    g_param_spec_uint ("initial-value",
                       NULL,
                       NULL,
                       0,
                       G_MAXUINT,
                       1,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpSemaphore:flags: (getter get_flags)
   *
   * What kind it is.
   *
   * Since: 0.1
   */
  properties[PROP_FLAGS] =
    g_param_spec_flags ("flags",
                        NULL,
                        NULL,
                        MP_TYPE_SEMAPHORE_FLAGS,
                        MP_SEMAPHORE_NONE,
                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpSemaphore:n-waiters: (getter get_n_waiters)
   *
   * How many threads sleep until there is a unit, and how many asynchronous
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
mp_semaphore_init (MpSemaphore *self)
{
}

static gboolean
mp_semaphore_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpSemaphore *self = MP_SEMAPHORE (initable);

  if (self->units.shared != NULL)
    return TRUE;
  if (self->initial_value > MP_SEMAPHORE_MAX_VALUE)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "A semaphore has at most %u units, not %u",
                   MP_UNITS_MAX,
                   self->initial_value);
      return FALSE;
    }
  return mp_units_init (&self->units, self->initial_value, self->flags, error);
}

static void
mp_semaphore_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_semaphore_initable_init;
}

static GVariant *
mp_semaphore_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpSemaphore *self = MP_SEMAPHORE (shareable);

  g_return_val_if_fail (self->units.shared != NULL, NULL);
  return mp_units_to_handle (&self->units, KIND_NAME, fd_list, error);
}

static void
mp_semaphore_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_semaphore_to_handle;
}

static MpShareable *
mp_semaphore_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpSemaphore) self = g_object_new (MP_TYPE_SEMAPHORE, NULL);

  if (!mp_units_import (&self->units, KIND_NAME, handle, fd_list, error))
    return NULL;
  self->initial_value = self->units.initial;
  self->flags = self->units.flags;
  return MP_SHAREABLE (g_steal_pointer (&self));
}

static void
describe (gpointer memory, gsize size, GString *text)
{
  MpUnitsShared *shared = memory;

  g_string_append_printf (text, "%u units free", atomic_load (&shared->units) & MP_UNITS_MAX);
}

static const MpSyncKind dump_kind = { .kind = MP_SEMAPHORE_KIND,
                                      .name = KIND_NAME,
                                      .min_size = sizeof (MpUnitsShared),
                                      .describe = describe };

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_semaphore_import);
  mp_sync_register_kind (&dump_kind);
}

/**
 * mp_semaphore_new:
 * @value: how many units are free at first, up to [const@Mp.SEMAPHORE_MAX_VALUE]
 * @flags: what kind it is
 * @error: return location for an error
 *
 * Makes a semaphore.
 *
 * Returns: (transfer full) (nullable): the semaphore, or `NULL` with @error set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if @value is too big,
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpSemaphore *
mp_semaphore_new (guint value, MpSemaphoreFlags flags, GError **error)
{
  g_return_val_if_fail ((flags & ~(MP_SEMAPHORE_BOUNDED | MP_SEMAPHORE_RECOVER)) == 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_SEMAPHORE,
                         NULL,
                         error,
                         "initial-value",
                         value,
                         "flags",
                         flags,
                         NULL);
}

/**
 * mp_semaphore_acquire:
 * @self: a semaphore
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes a unit when there is one.
 *
 * Returns: whether one was taken; if not, nothing happened, and @error is set:
 *   [error@Mp.Error.TIMED_OUT], `G_IO_ERROR_CANCELLED`, or [error@Mp.Error.LIMIT] if
 *   there are too many processes
 *
 * Since: 0.1
 */
gboolean
mp_semaphore_acquire (MpSemaphore *self,
                      gint64 timeout_us,
                      GCancellable *cancellable,
                      GError **error)
{
  MpWaitResult result;

  g_return_val_if_fail (is_ready (self), FALSE);

  if (cancellable != NULL && g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (G_LIKELY (mp_units_try_quickly (&self->units)))
    return TRUE;
  result = mp_units_acquire_slow (&self->units, mp_deadline_new (timeout_us), cancellable, FALSE);
  return result == MP_WAIT_RESULT_DONE || mp_sync_set_error (error,
                                                             result,
                                                             cancellable,
                                                             &self->units.block,
                                                             "The semaphore had no unit");
}

/**
 * mp_semaphore_acquire_interruptible:
 * @self: a semaphore
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 *
 * Takes a unit when there is one, and returns early when a signal handler ran in
 * this thread, or at least twice a second, so that no signal is missed: for bindings
 * whose language then wants to act on the signal.
 *
 * Returns: an [enum@Mp.WaitResult]; [enum@Mp.WaitResult.DONE] if one was taken, else
 *   nothing happened
 *
 * Since: 0.1
 */
int
mp_semaphore_acquire_interruptible (MpSemaphore *self, gint64 timeout_us)
{
  g_return_val_if_fail (is_ready (self), MP_WAIT_RESULT_FAILED);

  if (mp_units_try_quickly (&self->units))
    return MP_WAIT_RESULT_DONE;
  return mp_units_acquire_slow (&self->units, mp_deadline_new (timeout_us), NULL, TRUE);
}

/**
 * mp_semaphore_try_acquire:
 * @self: a semaphore
 *
 * Takes a unit if there is one.
 *
 * Returns: whether one was taken
 *
 * Since: 0.1
 */
gboolean
mp_semaphore_try_acquire (MpSemaphore *self)
{
  g_return_val_if_fail (is_ready (self), FALSE);

  return mp_units_try_quickly (&self->units) ||
         mp_units_acquire_slow (&self->units, MP_DEADLINE_NOW, NULL, FALSE) == MP_WAIT_RESULT_DONE;
}

static MpSyncTried
try_take (gpointer object)
{
  MpSemaphore *self = object;

  switch (mp_units_try_or_arm (&self->units))
    {
    case MP_WAIT_RESULT_DONE:
      return MP_SYNC_DONE;
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
  MpSemaphore *self = object;
  g_autoptr (GError) error = NULL;

  if (!mp_units_release (&self->units, 1, &error))
    g_warning ("A unit that nobody fetched is lost: %s", error->message);
}

static const MpSyncOpsFuncs ops_funcs = { .try_take = try_take, .give_back = give_back };

/**
 * mp_semaphore_acquire_async:
 * @self: a semaphore
 * @cancellable: (nullable): cancels the waiting
 * @callback: (scope async) (nullable): called when it is done
 * @user_data: data for @callback
 *
 * Takes a unit when there is one, see [method@Mp.Semaphore.acquire]. All
 * asynchronous waits of a process share one thread.
 *
 * If nobody calls [method@Mp.Semaphore.acquire_finish], the unit is released again.
 *
 * Since: 0.1
 */
void
mp_semaphore_acquire_async (MpSemaphore *self,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  GTask *task;

  g_return_if_fail (is_ready (self));
  g_return_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, mp_semaphore_acquire_async);
  g_task_set_name (task, "mp_semaphore_acquire_async");
  mp_sync_ops_start (mp_sync_ops_get (&self->ops, self, &self->units.block, &ops_funcs), task);
}

/**
 * mp_semaphore_acquire_finish:
 * @self: a semaphore
 * @result: what the callback was given
 * @error: return location for an error
 *
 * Ends [method@Mp.Semaphore.acquire_async].
 *
 * Returns: whether a unit was taken; if not, @error is set as by
 *   [method@Mp.Semaphore.acquire]
 *
 * Since: 0.1
 */
gboolean
mp_semaphore_acquire_finish (MpSemaphore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (is_ready (self), FALSE);
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return mp_sync_ops_finish (G_TASK (result), NULL, error);
}

/**
 * mp_semaphore_release:
 * @self: a semaphore
 * @n: how many units
 * @error: return location for an error
 *
 * Adds units, all or none, and wakes as many of those who wait.
 *
 * Returns: whether they were added; if not, @error is set: [error@Mp.Error.LIMIT] if
 *   it is bounded and would have more units than at the start, or more than
 *   [const@Mp.SEMAPHORE_MAX_VALUE], [error@Mp.Error.INVALID_ARGUMENT] if @n is 0
 *
 * Since: 0.1
 */
gboolean
mp_semaphore_release (MpSemaphore *self, guint n, GError **error)
{
  g_return_val_if_fail (is_ready (self), FALSE);

  if (G_LIKELY (n > 0))
    return mp_units_release (&self->units, n, error);
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_INVALID_ARGUMENT,
                       "A semaphore is released by at least 1 unit, not 0");
  return FALSE;
}

/**
 * mp_semaphore_get_value: (get-property value)
 * @self: a semaphore
 *
 * How many units are free: exact, but others may take some meanwhile.
 *
 * Returns: the number of units
 *
 * Since: 0.1
 */
guint
mp_semaphore_get_value (MpSemaphore *self)
{
  g_return_val_if_fail (MP_IS_SEMAPHORE (self), 0);

  return self->units.shared != NULL ? mp_units_get_free (&self->units) : 0;
}

/**
 * mp_semaphore_get_initial_value: (get-property initial-value)
 * @self: a semaphore
 *
 * How many units were free when it was made.
 *
 * Returns: the number of units
 *
 * Since: 0.1
 */
guint
mp_semaphore_get_initial_value (MpSemaphore *self)
{
  g_return_val_if_fail (MP_IS_SEMAPHORE (self), 0);

  return self->initial_value;
}

/**
 * mp_semaphore_get_flags: (get-property flags)
 * @self: a semaphore
 *
 * What kind it is.
 *
 * Returns: the flags
 *
 * Since: 0.1
 */
MpSemaphoreFlags
mp_semaphore_get_flags (MpSemaphore *self)
{
  g_return_val_if_fail (MP_IS_SEMAPHORE (self), MP_SEMAPHORE_NONE);

  return self->flags;
}

/**
 * mp_semaphore_get_n_waiters: (get-property n-waiters)
 * @self: a semaphore
 *
 * How many wait for a unit. At most 1024 sleepers are counted in all the objects
 * that one process made.
 *
 * Returns: the number of sleeping threads and of asynchronous acquisitions
 *
 * Since: 0.1
 */
guint
mp_semaphore_get_n_waiters (MpSemaphore *self)
{
  g_return_val_if_fail (MP_IS_SEMAPHORE (self), 0);

  if (self->units.shared == NULL)
    return 0;
  return mp_waits_count (&self->units.block, mp_sync_ops_get_n_pending (atomic_load (&self->ops)));
}
