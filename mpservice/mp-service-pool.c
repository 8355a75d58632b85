/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-pool.h"

#include <libmp.h>

#include "mp-service-context.h"
#include "mp-service-error.h"
#include "mp-service-job.h"
#include "mp-service-value.h"
#include "mp-service-wait.h"

struct _MpServicePool
{
  MpDBusPoolSkeleton parent_instance;

  MpServiceObject *object; /* owns this one until it ends */
  MpPool *pool;
  GCancellable *joining; /* of the join that tells when the pool is closed, NULL before */
};

/* An Apply or Join that waits. */
typedef struct
{
  MpServicePool *self; /* owned */
  MpServiceWait *wait;
} Waiter;

enum
{
  PROP_0,
  PROP_BUSY,
  PROP_PENDING,
  PROP_WORKER_PIDS,
};

const MpServiceOption mp_service_pool_options[] = {
  MP_SERVICE_OPTIONS_IDENTITY,
  MP_SERVICE_OPTIONS_CONTEXT,
  { "max-tasks", "u", NULL },
  { "max-attempts", "u", NULL },
  { NULL },
};

static const MpServiceOption apply_options[] = {
  MP_SERVICE_OPTION_TIMEOUT,
  MP_SERVICE_OPTION_TOKEN,
  { "kwargs", "a{sv}", NULL },
  { NULL },
};

static const MpServiceOption apply_async_options[] = {
  MP_SERVICE_OPTION_TOKEN,
  { "kwargs", "a{sv}", NULL },
  { "linger", "d", mp_service_job_check_linger },
  { NULL },
};

static const MpServiceOption map_options[] = {
  MP_SERVICE_OPTION_TOKEN,
  { "chunk-size", "u", NULL },
  { "linger", "d", mp_service_job_check_linger },
  { NULL },
};

static const MpServiceOption run_options[] = {
  MP_SERVICE_OPTION_TOKEN,
  { "working-directory", "s", mp_service_options_check_folder },
  { "environment", "a{ss}", mp_service_options_check_environment },
  { "linger", "d", mp_service_job_check_linger },
  { NULL },
};

static void mp_service_pool_iface_init (MpDBusPoolIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpServicePool,
                               mp_service_pool,
                               MP_DBUS_TYPE_POOL_SKELETON,
                               G_IMPLEMENT_INTERFACE (MP_DBUS_TYPE_POOL,
                                                      mp_service_pool_iface_init))

static void
waiter_free (Waiter *waiter)
{
  g_object_unref (waiter->wait);
  g_object_unref (waiter->self);
  g_free (waiter);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Waiter, waiter_free)

static Waiter *
waiter_new (MpServicePool *self,
            GDBusMethodInvocation *invocation,
            GVariantDict *options,
            GError **error)
{
  MpService *service = mp_service_object_get_identity (self->object)->service;
  MpServiceWait *wait = mp_service_wait_new (service, invocation, self->object, options, error);
  Waiter *waiter;

  if (wait == NULL)
    return NULL;

  waiter = g_new0 (Waiter, 1);
  waiter->self = g_object_ref (self);
  waiter->wait = wait;
  return waiter;
}

/* --- what a task is given ------------------------------------------------ */

static gboolean
check_runtime (MpServicePool *self, MpRuntime runtime, GError **error)
{
  MpContext *context = mp_pool_get_context (self->pool);

  if (mp_context_get_runtime (context) == runtime)
    return TRUE;

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_NOT_SUPPORTED,
               runtime == MP_RUNTIME_COMMAND ? "the pool runs %s: use Apply, ApplyAsync and Map"
                                             : "the pool runs %ss: use Run",
               mp_service_context_get_runtime_text (context));
  return FALSE;
}

/* "package.module:function"; what cannot be one need not bother a worker. */
static gboolean
check_function (const char *function, GError **error)
{
  const char *colon = strchr (function, ':');

  if (colon != NULL && colon != function && colon[1] != '\0')
    return TRUE;

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "function \"%s\" is not of the form \"package.module:function\"",
               function);
  return FALSE;
}

/* Arguments that are spread are what a starmap does: here, over one item. */
static MpJob *
submit_call (MpServicePool *self,
             const char *function,
             GVariant *args,
             GVariantDict *options,
             GError **error)
{
  g_autoptr (GVariant) kwargs =
    g_variant_dict_lookup_value (options, "kwargs", G_VARIANT_TYPE_VARDICT);
  GVariant *item;

  if (kwargs == NULL)
    kwargs = g_variant_ref_sink (g_variant_new ("a{sv}", NULL));
  item = g_variant_new_variant (g_variant_new ("(@av@a{sv})", args, kwargs));
  return mp_pool_submit_starmap (self->pool,
                                 function,
                                 g_variant_new_array (G_VARIANT_TYPE_VARIANT, &item, 1),
                                 1,
                                 NULL,
                                 error);
}

/* The checks of every method that calls functions, in one place: the filtered
 * options, or NULL. */
static GVariantDict *
check_call (MpServicePool *self,
            GDBusMethodInvocation *invocation,
            const char *function,
            GVariant *arg_options,
            const MpServiceOption *table,
            GError **error)
{
  if (!mp_service_value_refuse_fds (invocation, error) ||
      !check_runtime (self, MP_RUNTIME_PYTHON, error) || !check_function (function, error))
    return NULL;
  return mp_service_options_filter (arg_options, table, error);
}

/* --- Apply --------------------------------------------------------------- */

static void
apply_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  MpJob *job = MP_JOB (source);
  g_autoptr (Waiter) waiter = user_data;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;

  if (!mp_job_wait_finish (job, result, &error))
    {
      /* Nobody else knows of the job. */
      mp_job_cancel (job);
      mp_service_wait_fail (waiter->wait, error);
      return;
    }
  if (mp_service_wait_get_stop (waiter->wait) == MP_SERVICE_STOP_CLOSED)
    {
      mp_service_wait_fail (waiter->wait, NULL);
      return;
    }
  value = mp_service_job_dup_value (job, MP_SERVICE_RESULT_ONLY_ITEM, &error);
  if (value != NULL)
    mp_service_wait_answer (waiter->wait, g_variant_new ("(v)", value), NULL);
  else
    mp_service_wait_fail_with (waiter->wait, error, "CallbackFailed");
}

static gboolean
handle_apply (MpDBusPool *dbus_pool,
              GDBusMethodInvocation *invocation,
              const char *function,
              GVariant *args,
              GVariant *arg_options)
{
  MpServicePool *self = MP_SERVICE_POOL (dbus_pool);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (Waiter) waiter = NULL;
  g_autoptr (MpJob) job = NULL;
  g_autoptr (GError) error = NULL;
  GCancellable *cancellable;

  options = check_call (self, invocation, function, arg_options, apply_options, &error);
  if (options != NULL)
    waiter = waiter_new (self, invocation, options, &error);
  if (waiter == NULL)
    {
      mp_service_return_error (invocation, error, "Failed");
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  job = submit_call (self, function, args, options, &error);
  if (job == NULL)
    {
      mp_service_wait_fail (waiter->wait, error);
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  /* The job is kept by its asynchronous wait. */
  cancellable = mp_service_wait_get_cancellable (waiter->wait);
  mp_job_wait_async (job, cancellable, apply_done, g_steal_pointer (&waiter));
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* --- jobs ---------------------------------------------------------------- */

/* The place of a job is taken before the job is made, so that none is started
 * that nobody could find. */
static MpServiceIdentity *
reserve_job (MpServicePool *self,
             GDBusMethodInvocation *invocation,
             GVariantDict *options,
             GError **error)
{
  return mp_service_identity_new_job (mp_service_object_get_identity (self->object),
                                      g_dbus_method_invocation_get_sender (invocation),
                                      options,
                                      error);
}

/* Answers with the path of @job, or with @error. Consumes @identity and @job,
 * which may both be NULL. */
static gboolean
answer_with_job (MpServicePool *self,
                 GDBusMethodInvocation *invocation,
                 MpServiceIdentity *identity,
                 MpJob *job,
                 MpServiceResult result,
                 const char *operation,
                 GVariantDict *options,
                 GError *error)
{
  g_autoptr (MpServiceIdentity) owned_identity = identity;
  g_autoptr (MpJob) owned_job = job;
  g_autoptr (MpServiceObject) object = NULL;
  g_autoptr (GError) export_error = NULL;
  MpService *service = mp_service_object_get_identity (self->object)->service;

  if (owned_job == NULL)
    {
      mp_service_return_error (invocation, error, "Failed");
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  object = mp_service_job_create (g_steal_pointer (&owned_identity),
                                  owned_job,
                                  result,
                                  operation,
                                  options);
  if (mp_service_add_object (service, object, &export_error))
    g_dbus_method_invocation_return_value (invocation,
                                           g_variant_new ("(o)",
                                                          mp_service_object_get_path (object)));
  else
    {
      mp_service_object_end (object, "closed");
      mp_service_return_error (invocation, export_error, "Failed");
    }
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_apply_async (MpDBusPool *dbus_pool,
                    GDBusMethodInvocation *invocation,
                    const char *function,
                    GVariant *args,
                    GVariant *arg_options)
{
  MpServicePool *self = MP_SERVICE_POOL (dbus_pool);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (GError) error = NULL;
  MpServiceIdentity *identity = NULL;
  MpJob *job = NULL;

  options = check_call (self, invocation, function, arg_options, apply_async_options, &error);
  if (options != NULL)
    identity = reserve_job (self, invocation, options, &error);
  if (identity != NULL)
    job = submit_call (self, function, args, options, &error);
  return answer_with_job (self,
                          invocation,
                          identity,
                          job,
                          MP_SERVICE_RESULT_ONLY_ITEM,
                          function,
                          options,
                          error);
}

static gboolean
handle_map (MpDBusPool *dbus_pool,
            GDBusMethodInvocation *invocation,
            const char *function,
            GVariant *items,
            GVariant *arg_options)
{
  MpServicePool *self = MP_SERVICE_POOL (dbus_pool);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (GError) error = NULL;
  MpServiceIdentity *identity = NULL;
  MpJob *job = NULL;
  guint chunk_size = 0;

  options = check_call (self, invocation, function, arg_options, map_options, &error);
  if (options != NULL)
    identity = reserve_job (self, invocation, options, &error);
  if (identity != NULL)
    {
      g_variant_dict_lookup (options, "chunk-size", "u", &chunk_size);
      job = mp_pool_submit_map (self->pool, function, items, chunk_size, NULL, &error);
    }
  return answer_with_job (self,
                          invocation,
                          identity,
                          job,
                          MP_SERVICE_RESULT_WHOLE,
                          function,
                          options,
                          error);
}

/* a{ss} as "NAME=value" strings. */
static GVariant *
build_assignments (GVariant *environment)
{
  GVariantBuilder builder;
  GVariantIter iter;
  const char *name, *value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  g_variant_iter_init (&iter, environment);
  while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
    g_variant_builder_add_value (&builder,
                                 g_variant_new_take_string (
                                   g_strdup_printf ("%s=%s", name, value)));
  return g_variant_builder_end (&builder);
}

/* The argument of mp.command: as, or (asa{sv}) with options. */
static GVariant *
build_command (const char *const *argv, GVariantDict *options)
{
  g_autoptr (GVariant) environment = g_variant_dict_lookup_value (options, "environment", NULL);
  GVariantDict details;
  const char *folder = NULL;

  g_variant_dict_lookup (options, "working-directory", "&s", &folder);
  if (environment == NULL && folder == NULL)
    return g_variant_ref_sink (g_variant_new_strv (argv, -1));

  g_variant_dict_init (&details, NULL);
  if (folder != NULL)
    g_variant_dict_insert (&details, "cwd", "s", folder);
  if (environment != NULL)
    g_variant_dict_insert_value (&details, "env", build_assignments (environment));
  return g_variant_ref_sink (g_variant_new ("(^as@a{sv})", argv, g_variant_dict_end (&details)));
}

static char *
quote_command (const char *const *argv)
{
  GString *text = g_string_new (NULL);

  for (gsize i = 0; argv[i] != NULL; i++)
    {
      g_autofree char *quoted = g_shell_quote (argv[i]);

      /* Most words need no quotes. */
      if (argv[i][0] != '\0' &&
          argv[i][strspn (argv[i], G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_./:=+,@%-")] == '\0')
        g_string_append (text, argv[i]);
      else
        g_string_append (text, quoted);
      if (argv[i + 1] != NULL)
        g_string_append_c (text, ' ');
    }
  return g_string_free (text, FALSE);
}

static gboolean
check_command (MpServicePool *self,
               GDBusMethodInvocation *invocation,
               const char *const *argv,
               GError **error)
{
  if (!mp_service_value_refuse_fds (invocation, error) ||
      !check_runtime (self, MP_RUNTIME_COMMAND, error))
    return FALSE;
  if (argv[0] != NULL && argv[0][0] != '\0')
    return TRUE;

  g_set_error_literal (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "argv names no program");
  return FALSE;
}

static gboolean
handle_run (MpDBusPool *dbus_pool,
            GDBusMethodInvocation *invocation,
            const char *const *argv,
            GVariant *arg_options)
{
  MpServicePool *self = MP_SERVICE_POOL (dbus_pool);
  g_autoptr (GVariantDict) options = NULL;
  g_autofree char *operation = quote_command (argv);
  g_autoptr (GError) error = NULL;
  MpServiceIdentity *identity = NULL;
  MpJob *job = NULL;

  if (check_command (self, invocation, argv, &error))
    options = mp_service_options_filter (arg_options, run_options, &error);
  if (options != NULL)
    identity = reserve_job (self, invocation, options, &error);
  if (identity != NULL)
    {
      g_autoptr (GVariant) command = build_command (argv, options);

      job = mp_pool_submit (self->pool, "mp.command", command, NULL, &error);
    }
  return answer_with_job (self,
                          invocation,
                          identity,
                          job,
                          MP_SERVICE_RESULT_WHOLE,
                          operation,
                          options,
                          error);
}

/* --- the end ------------------------------------------------------------- */

static void
pool_joined (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (MpServicePool) self = MP_SERVICE_POOL (user_data);

  if (mp_pool_join_finish (MP_POOL (source), result, NULL))
    mp_dbus_pool_set_state (MP_DBUS_POOL (self), "closed");
}

static void
begin_end (MpServicePool *self, const char *state)
{
  mp_dbus_pool_set_state (MP_DBUS_POOL (self), state);
  if (self->joining != NULL)
    return;
  self->joining = g_cancellable_new ();
  mp_pool_join_async (self->pool, self->joining, pool_joined, g_object_ref (self));
}

static gboolean
handle_close_intake (MpDBusPool *dbus_pool,
                     GDBusMethodInvocation *invocation,
                     GVariant *arg_options)
{
  MpServicePool *self = MP_SERVICE_POOL (dbus_pool);

  if (g_str_equal (mp_dbus_pool_get_state (dbus_pool), "running"))
    {
      mp_pool_close (self->pool);
      begin_end (self, "closing");
    }
  mp_dbus_pool_complete_close_intake (dbus_pool, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_terminate (MpDBusPool *dbus_pool, GDBusMethodInvocation *invocation, GVariant *arg_options)
{
  MpServicePool *self = MP_SERVICE_POOL (dbus_pool);

  if (!g_str_equal (mp_dbus_pool_get_state (dbus_pool), "closed"))
    {
      mp_pool_terminate (self->pool);
      begin_end (self, "terminating");
    }
  mp_dbus_pool_complete_terminate (dbus_pool, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void
join_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Waiter) waiter = user_data;
  g_autoptr (GError) error = NULL;
  gboolean done = mp_pool_join_finish (MP_POOL (source), result, &error);

  if (done || mp_service_wait_get_stop (waiter->wait) == MP_SERVICE_STOP_TIMED_OUT)
    mp_service_wait_answer (waiter->wait, g_variant_new ("(b)", done), NULL);
  else
    mp_service_wait_fail (waiter->wait, error);
}

static gboolean
handle_join (MpDBusPool *dbus_pool, GDBusMethodInvocation *invocation, GVariant *arg_options)
{
  MpServicePool *self = MP_SERVICE_POOL (dbus_pool);
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (Waiter) waiter = NULL;
  g_autoptr (GError) error = NULL;
  GCancellable *cancellable;

  options = mp_service_options_filter (arg_options, mp_service_options_wait, &error);
  if (options != NULL && g_str_equal (mp_dbus_pool_get_state (dbus_pool), "running"))
    g_set_error_literal (&error,
                         MP_ERROR,
                         MP_ERROR_BUSY,
                         "the pool still takes tasks: call CloseIntake or Terminate first");
  else if (options != NULL)
    waiter = waiter_new (self, invocation, options, &error);
  if (waiter == NULL)
    {
      mp_service_return_error (invocation, error, "Failed");
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  cancellable = mp_service_wait_get_cancellable (waiter->wait);
  mp_pool_join_async (self->pool, cancellable, join_done, g_steal_pointer (&waiter));
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void
worker_exited (MpPool *pool,
               int pid,
               int exit_code,
               const char *limit,
               guint64 job_id,
               const char *function,
               gpointer user_data)
{
  MpServicePool *self = MP_SERVICE_POOL (user_data);

  if (self->object != NULL)
    mp_service_object_tell (self->object,
                            "org.libmp.Mp1.Pool",
                            "WorkerExited",
                            g_variant_new ("(ui)", (guint) pid, exit_code));
}

static void
object_ended (MpServiceObject *object, const char *reason, gpointer user_data)
{
  MpServicePool *self = MP_SERVICE_POOL (user_data);
  MpService *service = mp_service_object_get_identity (object)->service;

  self->object = NULL;
  if (self->joining != NULL)
    g_cancellable_cancel (self->joining);
  mp_pool_terminate (self->pool);
  mp_service_discharge_processes (service, mp_pool_get_n_workers (self->pool));
}

/* --- GObject ------------------------------------------------------------- */

static GVariant *
build_worker_pids (MpServicePool *self)
{
  gsize n_pids;
  g_autofree int *pids = mp_pool_get_worker_pids (self->pool, &n_pids);

  return g_variant_new_fixed_array (G_VARIANT_TYPE_UINT32, pids, n_pids, sizeof *pids);
}

static void
mp_service_pool_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpServicePool *self = MP_SERVICE_POOL (object);

  switch (prop_id)
    {
    case PROP_BUSY:
      g_value_set_uint (value, mp_pool_get_n_busy (self->pool));
      break;
    case PROP_PENDING:
      g_value_set_uint (value, mp_pool_get_n_pending (self->pool));
      break;
    case PROP_WORKER_PIDS:
      g_value_set_variant (value, build_worker_pids (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
    }
}

static void
mp_service_pool_dispose (GObject *object)
{
  MpServicePool *self = MP_SERVICE_POOL (object);

  g_clear_object (&self->joining);
  g_clear_object (&self->pool);

  G_OBJECT_CLASS (mp_service_pool_parent_class)->dispose (object);
}

static void
mp_service_pool_class_init (MpServicePoolClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_service_pool_get_property;
  object_class->set_property = mp_service_access_refuse_to_set;
  object_class->dispose = mp_service_pool_dispose;
  mp_service_access_install (G_DBUS_INTERFACE_SKELETON_CLASS (klass));

  g_object_class_override_property (object_class, PROP_BUSY, "busy");
  g_object_class_override_property (object_class, PROP_PENDING, "pending");
  g_object_class_override_property (object_class, PROP_WORKER_PIDS, "worker-pids");
}

static void
mp_service_pool_init (MpServicePool *self)
{
}

static void
mp_service_pool_iface_init (MpDBusPoolIface *iface)
{
  iface->handle_apply = handle_apply;
  iface->handle_apply_async = handle_apply_async;
  iface->handle_map = handle_map;
  iface->handle_run = handle_run;
  iface->handle_close_intake = handle_close_intake;
  iface->handle_terminate = handle_terminate;
  iface->handle_join = handle_join;
}

static MpPool *
make_pool (guint n_workers, GVariantDict *options, GError **error)
{
  g_autoptr (MpContext) context = mp_service_context_new (options);
  guint max_tasks = 0, max_attempts = 1;

  g_variant_dict_lookup (options, "max-tasks", "u", &max_tasks);
  g_variant_dict_lookup (options, "max-attempts", "u", &max_attempts);
  return g_initable_new (MP_TYPE_POOL,
                         NULL,
                         error,
                         "context",
                         context,
                         "n-workers",
                         n_workers,
                         "max-tasks-per-worker",
                         max_tasks,
                         "max-attempts",
                         max_attempts,
                         NULL);
}

MpServiceObject *
mp_service_pool_create (MpServiceIdentity *identity,
                        guint n_workers,
                        GVariantDict *options,
                        GError **error)
{
  g_autoptr (MpServiceIdentity) owned = identity;
  g_autoptr (MpServicePool) self = NULL;
  g_autoptr (MpPool) pool = NULL;

  if (!mp_service_charge_processes (identity->service, n_workers, error))
    return NULL;
  pool = make_pool (n_workers, options, error);
  if (pool == NULL)
    {
      mp_service_discharge_processes (identity->service, n_workers);
      return NULL;
    }
  self = g_object_new (MP_TYPE_SERVICE_POOL,
                       "runtime",
                       mp_service_context_get_runtime_text (mp_pool_get_context (pool)),
                       "workers",
                       mp_pool_get_n_workers (pool),
                       "state",
                       "running",
                       "max-tasks",
                       mp_pool_get_max_tasks_per_worker (pool),
                       "max-attempts",
                       mp_pool_get_max_attempts (pool),
                       NULL);
  self->pool = g_object_ref (pool);
  self->object = mp_service_object_new (g_steal_pointer (&owned), G_DBUS_INTERFACE_SKELETON (self));
  g_signal_connect_object (pool, "worker-exited", G_CALLBACK (worker_exited), self, 0);
  g_signal_connect_object (self->object, "ended", G_CALLBACK (object_ended), self, 0);
  return self->object;
}
