/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-barrier.h"

#include "mp-barrier-cycle-private.h"
#include "mp-error.h"
#include "mp-interrupted-private.h"
#include "mp-sync-dump-private.h"

#include "../base/mp-clock-private.h"
#include "../memory/mp-shareable-private.h"

#define KIND_NAME "barrier"
#define VERSION 1

/* What to do when all have come. */
typedef struct
{
  MpBarrierFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
} Action;

/**
 * MpBarrier:
 *
 * A point at which a fixed number of threads or processes wait for each other.
 *
 * Each of the [property@Mp.Barrier:parties] calls [method@Mp.Barrier.wait]; when the
 * last one has come, all go on, each with an index of its own. Then the barrier can
 * be used again. Before they go on, the last one runs the action, if the object with
 * which it waits has one, see [method@Mp.Barrier.set_action].
 *
 * # Breaking
 *
 * If one of those who wait runs out of time, is cancelled, or dies, or if the action
 * fails, then the others would wait in vain: the barrier is *broken*. All that wait
 * get [error@Mp.Error.BROKEN_BARRIER], and so does everybody who comes later, until
 * [method@Mp.Barrier.reset] is called. [method@Mp.Barrier.abort] breaks it on purpose.
 *
 * The death of a process is noticed within a moment if it was in the middle of a wait,
 * whether or not the others had already come: those who wait for it the next time
 * are told. The barrier does not know of a process that has not come yet.
 *
 * # Threads
 *
 * All functions can be called from any thread. An action belongs to an object; it
 * does not travel to other processes.
 *
 * Since: 0.1
 */
struct _MpBarrier
{
  GObject parent_instance;

  MpBarrierSite site;
  guint parties;
  guint64 serial; /* for waits that are interrupted */

  GMutex lock;
  Action *action; /* under @lock; counted */
};

enum
{
  PROP_0,
  PROP_PARTIES,
  PROP_N_WAITING,
  PROP_BROKEN,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_barrier_initable_iface_init (GInitableIface *iface);
static void mp_barrier_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpBarrier,
                               mp_barrier,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE,
                                                      mp_barrier_initable_iface_init)
                                 G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                        mp_barrier_shareable_iface_init))

#define MP_IS_READY_BARRIER(object)                                                                \
  (MP_IS_BARRIER (object) && MP_BARRIER (object)->site.shared != NULL)

static void
action_clear (gpointer data)
{
  Action *self = data;

  if (self->destroy != NULL)
    self->destroy (self->user_data);
}

static void
action_unref (Action *self)
{
  g_atomic_rc_box_release_full (self, action_clear);
}

static void
mp_barrier_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpBarrier *self = MP_BARRIER (object);

  switch (prop_id)
    {
    case PROP_PARTIES:
      g_value_set_uint (value, mp_barrier_get_parties (self));
      break;
    case PROP_N_WAITING:
      g_value_set_uint (value, mp_barrier_get_n_waiting (self));
      break;
    case PROP_BROKEN:
      g_value_set_boolean (value, mp_barrier_get_broken (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_barrier_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpBarrier *self = MP_BARRIER (object);

  switch (prop_id)
    {
    case PROP_PARTIES:
      self->parties = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_barrier_finalize (GObject *object)
{
  MpBarrier *self = MP_BARRIER (object);

  g_clear_pointer (&self->action, action_unref);
  mp_barrier_site_clear (&self->site);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (mp_barrier_parent_class)->finalize (object);
}

static void
mp_barrier_class_init (MpBarrierClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_barrier_get_property;
  object_class->set_property = mp_barrier_set_property;
  object_class->finalize = mp_barrier_finalize;

  /**
   * MpBarrier:parties: (getter get_parties)
   *
   * How many have to come.
   *
   * Since: 0.1
   */
  properties[PROP_PARTIES] =
    g_param_spec_uint ("parties",
                       NULL,
                       NULL,
                       0,
                       G_MAXUINT,
                       0,
                       G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  /**
   * MpBarrier:n-waiting: (getter get_n_waiting)
   *
   * How many have come and wait; 0 if it is broken. Other processes change it: there
   * is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_N_WAITING] = g_param_spec_uint ("n-waiting",
                                                  NULL,
                                                  NULL,
                                                  0,
                                                  G_MAXUINT,
                                                  0,
                                                  G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpBarrier:broken: (getter get_broken)
   *
   * Whether it is broken. Other processes change it: there is no notification.
   *
   * Since: 0.1
   */
  properties[PROP_BROKEN] =
    g_param_spec_boolean ("broken", NULL, NULL, FALSE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_barrier_init (MpBarrier *self)
{
  self->serial = mp_interrupted_new_serial ();
  g_mutex_init (&self->lock);
}

static gboolean
mp_barrier_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  MpBarrier *self = MP_BARRIER (initable);

  return self->site.shared != NULL || mp_barrier_site_init (&self->site, self->parties, error);
}

static void
mp_barrier_initable_iface_init (GInitableIface *iface)
{
  iface->init = mp_barrier_initable_init;
}

static GVariant *
mp_barrier_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpBarrier *self = MP_BARRIER (shareable);

  g_return_val_if_fail (self->site.shared != NULL, NULL);
  return mp_block_to_handle (&self->site.block, KIND_NAME, VERSION, NULL, fd_list, error);
}

static void
mp_barrier_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_barrier_to_handle;
}

static MpShareable *
mp_barrier_import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpBarrier) self = g_object_new (MP_TYPE_BARRIER, NULL);

  if (!mp_barrier_site_import (&self->site, KIND_NAME, VERSION, handle, fd_list, error))
    return NULL;
  self->parties = self->site.parties;
  return MP_SHAREABLE (g_steal_pointer (&self));
}

static const MpSyncKind dump_kind = { .kind = MP_BARRIER_KIND,
                                      .name = KIND_NAME,
                                      .min_size = sizeof (MpBarrierShared),
                                      .describe = mp_barrier_shared_describe };

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, mp_barrier_import);
  mp_sync_register_kind (&dump_kind);
}

/**
 * mp_barrier_new:
 * @parties: how many have to come, 1 to 65536
 * @error: return location for an error
 *
 * Makes a barrier to which nobody has come.
 *
 * Returns: (transfer full) (nullable): the barrier, or `NULL` with @error set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if @parties is out of its range,
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpBarrier *
mp_barrier_new (guint parties, GError **error)
{
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return g_initable_new (MP_TYPE_BARRIER, NULL, error, "parties", parties, NULL);
}

/* The action */

/**
 * mp_barrier_set_action:
 * @self: a barrier
 * @func: (nullable) (scope notified) (closure user_data) (destroy destroy): what to do
 * @user_data: data for @func
 * @destroy: called when @func is not needed any more
 *
 * Sets what is done each time that all have come, before any of them goes on. It is
 * done by the last one, in its thread, if it waits with this object; so each process
 * that wants it to be done has to set it.
 *
 * If @func fails, the barrier breaks, and the one that ran it gets
 * [error@Mp.Error.CALLBACK_FAILED].
 *
 * Since: 0.1
 */
void
mp_barrier_set_action (MpBarrier *self,
                       MpBarrierFunc func,
                       gpointer user_data,
                       GDestroyNotify destroy)
{
  Action *action = NULL, *old;

  g_return_if_fail (MP_IS_BARRIER (self));

  if (func != NULL)
    {
      action = g_atomic_rc_box_new (Action);
      *action = (Action){ .func = func, .user_data = user_data, .destroy = destroy };
    }
  g_mutex_lock (&self->lock);
  old = self->action;
  self->action = action;
  g_mutex_unlock (&self->lock);
  g_clear_pointer (&old, action_unref);
}

static gboolean
run_action (MpBarrier *self)
{
  Action *action = NULL;
  gboolean success;

  g_mutex_lock (&self->lock);
  if (self->action != NULL)
    action = g_atomic_rc_box_acquire (self->action);
  g_mutex_unlock (&self->lock);
  if (action == NULL)
    return TRUE;
  success = action->func (self, action->user_data);
  action_unref (action);
  return success;
}

/* Waiting */

/* Whether this thread comes back; a child of its process does not. */
static gboolean
has_arrived (MpBarrier *self, MpBarrierArrival *arrival)
{
  MpParticipants *participants = mp_arena_get_participants (self->site.block.arena);

  return mp_interrupted_take (self->serial, arrival, sizeof *arrival) &&
         arrival->me == mp_participants_get_self (participants, NULL);
}

/* FAILED: the action failed, or this process cannot take part, and then
 * @arrival->me is MP_PARTICIPANT_NONE. */
static MpWaitResult
go_through (MpBarrier *self, MpBarrierArrival *arrival, const MpBarrierPatience *patience)
{
  MpWaitResult result;

  if (!mp_barrier_site_is_last (&self->site, arrival))
    result = mp_barrier_site_wait (&self->site, arrival, patience);
  else if (run_action (self))
    result = mp_barrier_site_release (&self->site, arrival);
  else
    {
      mp_barrier_site_break (&self->site, arrival);
      return MP_WAIT_RESULT_FAILED;
    }
  if (result == MP_WAIT_RESULT_DONE)
    mp_barrier_site_leave (&self->site, arrival);
  return result;
}

static void
set_error (MpBarrier *self, MpWaitResult result, const MpBarrierArrival *arrival, GError **error)
{
  const char *why = "The barrier is broken";
  MpError code = MP_ERROR_BROKEN_BARRIER;
  g_autofree char *text = NULL;

  if (result == MP_WAIT_RESULT_TIMED_OUT)
    {
      text = g_strdup_printf ("The barrier broke: not all %u parties came in time", self->parties);
      why = text;
    }
  else if (result == MP_WAIT_RESULT_FAILED)
    {
      why = "The barrier broke: its action failed";
      code = MP_ERROR_CALLBACK_FAILED;
    }
  if (arrival->me != MP_PARTICIPANT_NONE ||
      mp_participants_get_self (mp_arena_get_participants (self->site.block.arena), error) !=
        MP_PARTICIPANT_NONE)
    g_set_error_literal (error, MP_ERROR, (gint) code, why);
}

/**
 * mp_barrier_wait:
 * @self: a barrier
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @index: (out) (optional): a number from 0 to parties − 1, another one for each
 * @error: return location for an error
 *
 * Waits until all have come. Who runs out of time, or is cancelled, breaks the barrier
 * for all; with a timeout of 0 everybody does but the last one.
 *
 * Returns: whether all have come; if not, @error is set:
 *   [error@Mp.Error.BROKEN_BARRIER], also if it was this call that broke it;
 *   `G_IO_ERROR_CANCELLED`; [error@Mp.Error.CALLBACK_FAILED] if the action failed that
 *   was run by this call
 *
 * Since: 0.1
 */
gboolean
mp_barrier_wait (MpBarrier *self,
                 gint64 timeout_us,
                 GCancellable *cancellable,
                 guint *index,
                 GError **error)
{
  MpBarrierPatience patience = { .deadline = mp_deadline_new (timeout_us),
                                 .cancellable = cancellable };
  MpBarrierArrival arrival;
  MpWaitResult result;

  g_return_val_if_fail (MP_IS_READY_BARRIER (self), FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (index != NULL)
    *index = 0;
  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  result = mp_barrier_site_arrive (&self->site, &arrival, &patience);
  if (result == MP_WAIT_RESULT_DONE)
    result = go_through (self, &arrival, &patience);
  if (result == MP_WAIT_RESULT_DONE && index != NULL)
    *index = arrival.index;
  if (result == MP_WAIT_RESULT_INTERRUPTED)
    g_cancellable_set_error_if_cancelled (cancellable, error);
  else if (result != MP_WAIT_RESULT_DONE)
    set_error (self, result, &arrival, error);
  return result == MP_WAIT_RESULT_DONE;
}

/**
 * mp_barrier_wait_interruptible:
 * @self: a barrier
 * @timeout_us: how long to wait: microseconds, -1 for ever, 0 not at all
 * @index: (out): a number from 0 to parties − 1, another one for each
 *
 * Like [method@Mp.Barrier.wait], but returns early when a signal handler ran in this
 * thread, or at least twice a second, so that no signal is missed: for bindings whose
 * language then wants to act on the signal. The thread still counts as one that has
 * come. It has to call this function again, with what is left of the time, or
 * [method@Mp.Barrier.abort].
 *
 * Returns: an [enum@Mp.WaitResult]; %MP_WAIT_RESULT_TIMED_OUT means that this call
 *   broke the barrier, %MP_WAIT_RESULT_FAILED that the action failed
 *
 * Since: 0.1
 */
int
mp_barrier_wait_interruptible (MpBarrier *self, gint64 timeout_us, guint *index)
{
  MpBarrierPatience patience = { .deadline = mp_deadline_new (timeout_us), .interruptible = TRUE };
  MpBarrierArrival arrival;
  MpWaitResult result = MP_WAIT_RESULT_DONE;

  g_return_val_if_fail (MP_IS_READY_BARRIER (self), MP_WAIT_RESULT_FAILED);
  g_return_val_if_fail (index != NULL, MP_WAIT_RESULT_FAILED);

  *index = 0;
  if (!has_arrived (self, &arrival))
    result = mp_barrier_site_arrive (&self->site, &arrival, &patience);
  if (result == MP_WAIT_RESULT_DONE)
    {
      result = go_through (self, &arrival, &patience);
      if (result == MP_WAIT_RESULT_INTERRUPTED)
        mp_interrupted_put (self->serial, &arrival, sizeof arrival);
    }
  if (result == MP_WAIT_RESULT_DONE)
    *index = arrival.index;
  return (int) result;
}

/**
 * mp_barrier_abort:
 * @self: a barrier
 *
 * Breaks the barrier, for all that wait and all that come, until it is reset.
 *
 * Since: 0.1
 */
void
mp_barrier_abort (MpBarrier *self)
{
  MpBarrierArrival arrival;

  g_return_if_fail (MP_IS_READY_BARRIER (self));

  mp_interrupted_take (self->serial, &arrival, sizeof arrival);
  mp_barrier_site_abort (&self->site);
}

/**
 * mp_barrier_reset:
 * @self: a barrier
 *
 * Makes the barrier as it was in the beginning. Those who wait get
 * [error@Mp.Error.BROKEN_BARRIER].
 *
 * Since: 0.1
 */
void
mp_barrier_reset (MpBarrier *self)
{
  g_return_if_fail (MP_IS_READY_BARRIER (self));

  mp_barrier_site_reset (&self->site);
}

/* Properties */

/**
 * mp_barrier_get_parties: (get-property parties)
 * @self: a barrier
 *
 * How many have to come.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
guint
mp_barrier_get_parties (MpBarrier *self)
{
  g_return_val_if_fail (MP_IS_BARRIER (self), 0);

  return self->parties;
}

/**
 * mp_barrier_get_n_waiting: (get-property n-waiting)
 * @self: a barrier
 *
 * How many have come and wait.
 *
 * Returns: the number, 0 if it is broken
 *
 * Since: 0.1
 */
guint
mp_barrier_get_n_waiting (MpBarrier *self)
{
  g_return_val_if_fail (MP_IS_BARRIER (self), 0);

  return self->site.shared != NULL ? mp_barrier_site_count (&self->site) : 0;
}

/**
 * mp_barrier_get_broken: (get-property broken)
 * @self: a barrier
 *
 * Whether it is broken.
 *
 * Returns: whether it is
 *
 * Since: 0.1
 */
gboolean
mp_barrier_get_broken (MpBarrier *self)
{
  g_return_val_if_fail (MP_IS_BARRIER (self), FALSE);

  return self->site.shared != NULL && mp_barrier_site_is_broken (&self->site);
}
