/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-job.h"

#include "mp-service-error.h"
#include "mp-service-value.h"
#include "mp-service-wait.h"

#define LINGER_MAX 3600.0
#define PROGRESS_INTERVAL_MS 100
#define START_INTERVAL_MS 100

struct _MpServiceJob
{
  MpDBusJobSkeleton parent_instance;

  MpServiceObject *object; /* owns this one until it ends */
  MpJob *job;
  MpServiceResult result;
  double linger;
  guint linger_timer;
  guint progress_timer; /* runs while news of progress must wait */
  guint start_timer;    /* runs until the job is seen to have started */
  guint64 made_at;
  gboolean owner_gone;
};

/* A Wait or GetResult that waits. */
typedef struct
{
  MpServiceJob *self; /* owned */
  MpServiceWait *wait;
  gboolean keep;
} Waiter;

enum
{
  PROP_0,
  PROP_DONE,
  PROP_TRACEBACK,
};

static const MpServiceOption result_options[] = {
  MP_SERVICE_OPTION_TIMEOUT,
  MP_SERVICE_OPTION_TOKEN,
  { "keep", "b", NULL },
  { NULL },
};

static void mp_service_job_iface_init (MpDBusJobIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpServiceJob,
                               mp_service_job,
                               MP_DBUS_TYPE_JOB_SKELETON,
                               G_IMPLEMENT_INTERFACE (MP_DBUS_TYPE_JOB, mp_service_job_iface_init))

gboolean
mp_service_job_check_linger (const char *key, GVariant *value, GError **error)
{
  double seconds = g_variant_get_double (value);

  if (seconds >= 0.0 && seconds <= LINGER_MAX)
    return TRUE;

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "option \"%s\" must be from 0 to %g seconds",
               key,
               LINGER_MAX);
  return FALSE;
}

static const char *
state_text (MpJobState state)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (MP_TYPE_JOB_STATE);
  const GEnumValue *value = g_enum_get_value (klass, (int) state);

  return value != NULL ? value->value_nick : "failed";
}

static void
waiter_free (Waiter *waiter)
{
  g_object_unref (waiter->wait);
  g_object_unref (waiter->self);
  g_free (waiter);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Waiter, waiter_free)

static Waiter *
waiter_new (MpServiceJob *self, GDBusMethodInvocation *invocation, GVariantDict *options)
{
  g_autoptr (GError) error = NULL;
  MpService *service = mp_service_object_get_identity (self->object)->service;
  MpServiceWait *wait = mp_service_wait_new (service, invocation, self->object, options, &error);
  Waiter *waiter;

  if (wait == NULL)
    {
      mp_service_return_error (invocation, error, "Failed");
      return NULL;
    }
  waiter = g_new0 (Waiter, 1);
  waiter->self = g_object_ref (self);
  waiter->wait = wait;
  return waiter;
}

/* --- Wait --------------------------------------------------------------- */

static void
wait_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Waiter) waiter = user_data;
  g_autoptr (GError) error = NULL;
  gboolean finished;

  finished = mp_job_wait_finish (MP_JOB (source), result, &error);
  if (finished || mp_service_wait_get_stop (waiter->wait) == MP_SERVICE_STOP_TIMED_OUT)
    mp_service_wait_answer (waiter->wait, g_variant_new ("(b)", finished), NULL);
  else
    mp_service_wait_fail (waiter->wait, error);
}

static gboolean
handle_wait (MpDBusJob *dbus_job, GDBusMethodInvocation *invocation, GVariant *arg_options)
{
  MpServiceJob *self = MP_SERVICE_JOB (dbus_job);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (GError) error = NULL;
  Waiter *waiter;

  options = mp_service_options_filter (arg_options, mp_service_options_wait, &error);
  if (options == NULL)
    {
      mp_service_return_error (invocation, error, "Failed");
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  waiter = waiter_new (self, invocation, options);
  if (waiter == NULL)
    return G_DBUS_METHOD_INVOCATION_HANDLED;

  if (mp_service_wait_is_instant (waiter->wait))
    {
      mp_service_wait_answer (waiter->wait,
                              g_variant_new ("(b)", mp_job_get_finished (self->job)),
                              NULL);
      waiter_free (waiter);
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  mp_job_wait_async (self->job, mp_service_wait_get_cancellable (waiter->wait), wait_done, waiter);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* --- GetResult ---------------------------------------------------------- */

GVariant *
mp_service_job_dup_value (MpJob *job, MpServiceResult result, GError **error)
{
  g_autoptr (GVariant) whole = mp_job_get_result (job, error);
  g_autoptr (GVariant) value = NULL;

  if (whole == NULL)
    return NULL;

  value = mp_service_value_trust (whole);
  if (result == MP_SERVICE_RESULT_ONLY_ITEM)
    {
      g_autoptr (GVariant) items = g_steal_pointer (&value);

      g_variant_get_child (items, 0, "v", &value);
    }
  if (!mp_service_value_check (value, error))
    return NULL;
  return g_steal_pointer (&value);
}

/* The result is given away, and with it the job, only when the caller is
 * still there to take it. */
static void
caller_verified (gboolean present, gpointer user_data)
{
  g_autoptr (Waiter) waiter = user_data;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  MpServiceStop stop;

  if (!present)
    mp_service_wait_stop (waiter->wait, MP_SERVICE_STOP_PEER_GONE);
  stop = mp_service_wait_get_stop (waiter->wait);
  if (stop != MP_SERVICE_STOP_NONE && stop != MP_SERVICE_STOP_TIMED_OUT)
    {
      mp_service_wait_fail (waiter->wait, NULL);
      return;
    }
  value = mp_service_job_dup_value (waiter->self->job, waiter->self->result, &error);
  if (value != NULL)
    mp_service_wait_answer (waiter->wait, g_variant_new ("(v)", value), NULL);
  else
    mp_service_wait_fail_with (waiter->wait, error, "CallbackFailed");
  if (!waiter->keep && waiter->self->object != NULL)
    mp_service_object_end (waiter->self->object, "fetched");
}

static void
verify_caller (Waiter *waiter)
{
  MpService *service = mp_service_object_get_identity (waiter->self->object)->service;

  mp_service_peers_verify (mp_service_get_peers (service),
                           mp_service_wait_get_sender (waiter->wait),
                           caller_verified,
                           waiter);
}

static void
result_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Waiter) waiter = user_data;
  g_autoptr (GError) error = NULL;

  if (!mp_job_wait_finish (MP_JOB (source), result, &error))
    mp_service_wait_fail (waiter->wait, error);
  else if (waiter->self->object != NULL)
    verify_caller (g_steal_pointer (&waiter));
  else
    mp_service_wait_fail (waiter->wait, NULL); /* stopped: its object has ended */
}

static gboolean
handle_get_result (MpDBusJob *dbus_job, GDBusMethodInvocation *invocation, GVariant *arg_options)
{
  MpServiceJob *self = MP_SERVICE_JOB (dbus_job);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (GError) error = NULL;
  Waiter *waiter;

  options = mp_service_options_filter (arg_options, result_options, &error);
  if (options == NULL)
    {
      mp_service_return_error (invocation, error, "Failed");
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  waiter = waiter_new (self, invocation, options);
  if (waiter == NULL)
    return G_DBUS_METHOD_INVOCATION_HANDLED;

  g_variant_dict_lookup (options, "keep", "b", &waiter->keep);
  if (mp_job_get_finished (self->job))
    {
      verify_caller (waiter);
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  mp_job_wait_async (self->job,
                     mp_service_wait_get_cancellable (waiter->wait),
                     result_done,
                     waiter);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* --- the rest ----------------------------------------------------------- */

static gboolean
handle_cancel (MpDBusJob *dbus_job, GDBusMethodInvocation *invocation, GVariant *arg_options)
{
  MpServiceJob *self = MP_SERVICE_JOB (dbus_job);

  mp_dbus_job_complete_cancel (dbus_job, invocation, mp_job_cancel (self->job));
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
linger_ran_out (gpointer user_data)
{
  MpServiceJob *self = MP_SERVICE_JOB (user_data);

  self->linger_timer = 0;
  mp_service_object_end (self->object, "expired");
  return G_SOURCE_REMOVE;
}

/* A job that nobody may ever fetch stays only so long. */
static void
linger (MpServiceJob *self)
{
  if (self->object != NULL && self->owner_gone && self->linger_timer == 0 &&
      mp_job_get_finished (self->job))
    self->linger_timer = g_timeout_add ((guint) (self->linger * 1000.0), linger_ran_out, self);
}

static void
peer_gone (MpServicePeers *peers, const char *name, gpointer user_data)
{
  MpServiceJob *self = MP_SERVICE_JOB (user_data);

  if (self->object == NULL || !g_str_equal (name, mp_dbus_job_get_owner (MP_DBUS_JOB (self))))
    return;
  self->owner_gone = TRUE;
  linger (self);
}

/* A single task that never said how far it is has nothing to show. */
static void
show_progress (MpServiceJob *self)
{
  double progress = mp_job_get_progress (self->job);

  mp_dbus_job_set_progress (MP_DBUS_JOB (self), progress);
  mp_dbus_job_set_progress_valid (MP_DBUS_JOB (self),
                                  progress > 0.0 || mp_job_get_n_total (self->job) > 1);
}

static gboolean
progress_interval_over (gpointer user_data)
{
  MpServiceJob *self = MP_SERVICE_JOB (user_data);

  self->progress_timer = 0;
  show_progress (self);
  return G_SOURCE_REMOVE;
}

static void
progress_changed (MpServiceJob *self)
{
  if (self->progress_timer == 0 && self->object != NULL)
    self->progress_timer = g_timeout_add (PROGRESS_INTERVAL_MS, progress_interval_over, self);
}

static void
show_state (MpServiceJob *self)
{
  MpDBusJob *dbus_job = MP_DBUS_JOB (self);
  MpJobState state = mp_job_get_state (self->job);

  if (state != MP_JOB_STATE_QUEUED && mp_dbus_job_get_start_time (dbus_job) == 0)
    {
      /* Finished between two looks: it started soon after it was made. */
      gboolean seen = state == MP_JOB_STATE_RUNNING;

      mp_dbus_job_set_start_time (dbus_job, seen ? (guint64) g_get_real_time () : self->made_at);
    }
  mp_dbus_job_set_state (dbus_job, state_text (state));
}

/* A worker takes up a task in shared memory and tells nobody: one has to look. */
static gboolean
look_for_start (gpointer user_data)
{
  MpServiceJob *self = MP_SERVICE_JOB (user_data);

  show_state (self);
  if (mp_dbus_job_get_start_time (MP_DBUS_JOB (self)) == 0)
    return G_SOURCE_CONTINUE;
  self->start_timer = 0;
  return G_SOURCE_REMOVE;
}

static void
show_outcome (MpServiceJob *self)
{
  MpDBusJob *dbus_job = MP_DBUS_JOB (self);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autofree char *name = NULL;
  g_autofree char *message = NULL;

  mp_dbus_job_set_end_time (dbus_job, (guint64) g_get_real_time ());
  show_progress (self);
  if (mp_job_get_state (self->job) == MP_JOB_STATE_SUCCEEDED)
    return;

  result = mp_job_get_result (self->job, &error);
  if (error == NULL)
    return;
  name = mp_service_error_dup_name (error, "CallbackFailed");
  message = g_utf8_make_valid (error->message, -1);
  mp_dbus_job_set_error_name (dbus_job, name);
  mp_dbus_job_set_error_message (dbus_job, message);
}

static void
job_finished (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (MpServiceJob) self = MP_SERVICE_JOB (user_data);

  mp_job_wait_finish (self->job, result, NULL);
  g_clear_handle_id (&self->start_timer, g_source_remove);
  show_state (self);
  show_outcome (self);
  if (self->object == NULL)
    return;

  g_dbus_interface_skeleton_flush (G_DBUS_INTERFACE_SKELETON (self));
  mp_service_object_tell (self->object,
                          "org.libmp.Mp1.Job",
                          "Completed",
                          g_variant_new ("(s)", mp_dbus_job_get_state (MP_DBUS_JOB (self))));
  linger (self);
}

static void
object_ended (MpServiceObject *object, const char *reason, gpointer user_data)
{
  MpServiceJob *self = MP_SERVICE_JOB (user_data);

  self->object = NULL;
  g_clear_handle_id (&self->linger_timer, g_source_remove);
  g_clear_handle_id (&self->progress_timer, g_source_remove);
  g_clear_handle_id (&self->start_timer, g_source_remove);
  mp_job_cancel (self->job);
}

static void
mp_service_job_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpServiceJob *self = MP_SERVICE_JOB (object);

  switch (prop_id)
    {
    case PROP_DONE:
      g_value_set_uint64 (value, mp_job_get_n_done (self->job));
      break;
    case PROP_TRACEBACK:
      {
        g_autofree char *traceback = mp_job_dup_traceback (self->job);

        g_value_take_string (value, g_utf8_make_valid (traceback != NULL ? traceback : "", -1));
        break;
      }
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
    }
}

static void
mp_service_job_dispose (GObject *object)
{
  MpServiceJob *self = MP_SERVICE_JOB (object);

  g_clear_handle_id (&self->linger_timer, g_source_remove);
  g_clear_handle_id (&self->progress_timer, g_source_remove);
  g_clear_handle_id (&self->start_timer, g_source_remove);
  g_clear_object (&self->job);

  G_OBJECT_CLASS (mp_service_job_parent_class)->dispose (object);
}

static void
mp_service_job_class_init (MpServiceJobClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_service_job_get_property;
  object_class->set_property = mp_service_access_refuse_to_set;
  object_class->dispose = mp_service_job_dispose;
  mp_service_access_install (G_DBUS_INTERFACE_SKELETON_CLASS (klass));

  g_object_class_override_property (object_class, PROP_DONE, "done");
  g_object_class_override_property (object_class, PROP_TRACEBACK, "traceback");
}

static void
mp_service_job_init (MpServiceJob *self)
{
}

static void
mp_service_job_iface_init (MpDBusJobIface *iface)
{
  iface->handle_wait = handle_wait;
  iface->handle_get_result = handle_get_result;
  iface->handle_cancel = handle_cancel;
}

MpServiceObject *
mp_service_job_create (MpServiceIdentity *identity,
                       MpJob *job,
                       MpServiceResult result,
                       const char *operation,
                       GVariantDict *options)
{
  g_autoptr (MpServiceJob) self = NULL;
  MpServicePeers *peers = mp_service_get_peers (identity->service);

  self = g_object_new (MP_TYPE_SERVICE_JOB,
                       "operation",
                       operation,
                       "total",
                       mp_job_get_n_total (job),
                       "owner",
                       identity->owner,
                       "cancelable",
                       TRUE,
                       "error-name",
                       "",
                       "error-message",
                       "",
                       NULL);
  self->job = g_object_ref (job);
  self->result = result;
  self->linger = MP_SERVICE_JOB_LINGER_DEFAULT;
  g_variant_dict_lookup (options, "linger", "d", &self->linger);
  self->object = mp_service_object_new (identity, G_DBUS_INTERFACE_SKELETON (self));
  self->made_at = (guint64) g_get_real_time ();
  self->start_timer = g_timeout_add (START_INTERVAL_MS, look_for_start, self);
  show_state (self);
  show_progress (self);

  g_signal_connect_object (peers, "peer-gone", G_CALLBACK (peer_gone), self, 0);
  g_signal_connect_object (self->object, "ended", G_CALLBACK (object_ended), self, 0);
  g_signal_connect_object (job,
                           "notify::progress",
                           G_CALLBACK (progress_changed),
                           self,
                           G_CONNECT_SWAPPED);
  mp_job_wait_async (job, NULL, job_finished, g_object_ref (self));
  return self->object;
}
