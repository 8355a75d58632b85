/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-context-private.h"

#include "mp-spawn-private.h"
#include "../base/mp-error.h"

#include <string.h>

/**
 * MpContext:
 *
 * How processes are started: the start method, the runtime, and the
 * surroundings that they get.
 *
 * A context holds a *zygote*: a single-threaded process that is executed once,
 * when it is first needed, loads what its children will need, and forks them
 * in about a millisecond, however big the calling process is and whatever
 * threads it has. When the zygote dies, the processes that it forked die with
 * it, and the next start makes a new one. When the calling process ends, in
 * whatever way, the zygote and all the processes that it asked for are killed.
 * Contexts that want the same zygote share it.
 *
 * - With the runtime %MP_RUNTIME_NATIVE the zygote is this program, executed
 *   again: see [func@Mp.bootstrap].
 * - With %MP_RUNTIME_PYTHON it is a Python interpreter, which imports the
 *   modules of [property@Mp.Context:preload] once. With
 *   %MP_START_METHOD_SPAWN each task gets a new interpreter instead.
 * - With %MP_RUNTIME_COMMAND it is a small helper program, as with
 *   %MP_RUNTIME_MODULE, whose tasks are in shared libraries: the way for native
 *   code where the program itself is an interpreter.
 * - With %MP_RUNTIME_GJS it is that helper, too, which has an interpreter executed
 *   ahead of each start: GJS has threads, and cannot be forked.
 *
 * What is set on a context holds for the processes that are started later.
 *
 * # Threads
 *
 * A context can be used from any thread.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (MpContext, mp_context, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_START_METHOD,
  PROP_RUNTIME,
  PROP_INTERPRETER,
  PROP_PRELOAD,
  PROP_PREPARATION,
  PROP_ENVIRONMENT,
  PROP_WORKING_DIRECTORY,
  PROP_UMASK,
  PROP_NICE,
  PROP_OUTLIVE_PARENT,
  PROP_ZYGOTE_PID,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

void
mp_context_config_clear (MpContextConfig *config)
{
  g_clear_pointer (&config->interpreter, g_strfreev);
  g_clear_pointer (&config->preload, g_strfreev);
  g_clear_pointer (&config->preparation, g_bytes_unref);
  g_clear_pointer (&config->environment, g_strfreev);
  g_clear_pointer (&config->working_directory, g_free);
  mp_surroundings_clear (&config->surroundings);
  g_clear_pointer (&config->adopted, mp_zygote_link_unref);
}

void
mp_context_set_adopted (MpContext *self, MpZygoteLink *link)
{
  self->config.adopted = link;
}

void
mp_context_get_config (MpContext *self, MpContextConfig *config)
{
  g_mutex_lock (&self->mutex);
  *config = self->config;
  config->interpreter = g_strdupv (self->config.interpreter);
  config->preload = g_strdupv (self->config.preload);
  config->preparation =
    self->config.preparation != NULL ? g_bytes_ref (self->config.preparation) : NULL;
  config->environment = g_strdupv (self->config.environment);
  config->working_directory = g_strdup (self->config.working_directory);
  mp_surroundings_copy (&self->config.surroundings, &config->surroundings);
  if (self->config.adopted != NULL)
    config->adopted = mp_zygote_link_ref (self->config.adopted);
  g_mutex_unlock (&self->mutex);
}

MpZygoteLink *
mp_context_ref_link (MpContext *self,
                     const MpContextConfig *config,
                     MpZygoteKind kind,
                     GError **error)
{
  MpZygoteConfig wanted = { .kind = kind };
  MpZygoteLink *link;
  MpZygoteLink *old;

  if (config->adopted != NULL && mp_zygote_link_is_ours (config->adopted))
    return mp_zygote_link_ref (config->adopted);
  if (config->adopted != NULL)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_OWNER,
                           "The context belongs to the parent of this process");
      return NULL;
    }
  if (kind == MP_ZYGOTE_PYTHON || kind == MP_ZYGOTE_GJS)
    {
      wanted.interpreter = (const char *const *) config->interpreter;
      wanted.preload = (const char *const *) config->preload;
      wanted.env = (const char *const *) config->environment;
      wanted.preparation = config->preparation;
    }
  link = mp_zygote_link_get (&wanted, error);
  if (link == NULL)
    return NULL;

  g_mutex_lock (&self->mutex);
  old = self->links[kind];
  self->links[kind] = mp_zygote_link_ref (link);
  g_mutex_unlock (&self->mutex);
  g_clear_pointer (&old, mp_zygote_link_unref);
  return link;
}

static void
mp_context_finalize (GObject *object)
{
  MpContext *self = MP_CONTEXT (object);

  for (guint i = 0; i < G_N_ELEMENTS (self->links); i++)
    g_clear_pointer (&self->links[i], mp_zygote_link_unref);
  mp_context_config_clear (&self->config);
  g_mutex_clear (&self->mutex);

  G_OBJECT_CLASS (mp_context_parent_class)->finalize (object);
}

static void
mp_context_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpContext *self = MP_CONTEXT (object);

  switch (prop_id)
    {
    case PROP_START_METHOD:
      g_value_set_enum (value, mp_context_get_start_method (self));
      break;
    case PROP_RUNTIME:
      g_value_set_enum (value, mp_context_get_runtime (self));
      break;
    case PROP_INTERPRETER:
      g_value_set_boxed (value, mp_context_get_interpreter (self));
      break;
    case PROP_PRELOAD:
      g_value_set_boxed (value, mp_context_get_preload (self));
      break;
    case PROP_PREPARATION:
      g_value_set_boxed (value, mp_context_get_preparation (self));
      break;
    case PROP_ENVIRONMENT:
      g_value_set_boxed (value, mp_context_get_environment (self));
      break;
    case PROP_WORKING_DIRECTORY:
      g_value_set_string (value, mp_context_get_working_directory (self));
      break;
    case PROP_UMASK:
      g_value_set_int (value, mp_context_get_umask (self));
      break;
    case PROP_NICE:
      g_value_set_int (value, mp_context_get_nice (self));
      break;
    case PROP_OUTLIVE_PARENT:
      g_value_set_boolean (value, mp_context_get_outlive_parent (self));
      break;
    case PROP_ZYGOTE_PID:
      g_value_set_int (value, mp_context_get_zygote_pid (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_context_set_property (GObject *object, guint prop_id, const GValue *value, GParamSpec *pspec)
{
  MpContext *self = MP_CONTEXT (object);

  switch (prop_id)
    {
    case PROP_START_METHOD:
      self->config.start_method = g_value_get_enum (value);
      break;
    case PROP_RUNTIME:
      self->config.runtime = g_value_get_enum (value);
      break;
    case PROP_INTERPRETER:
      mp_context_set_interpreter (self, g_value_get_boxed (value));
      break;
    case PROP_PRELOAD:
      mp_context_set_preload (self, g_value_get_boxed (value));
      break;
    case PROP_PREPARATION:
      mp_context_set_preparation (self, g_value_get_boxed (value));
      break;
    case PROP_ENVIRONMENT:
      mp_context_set_environment (self, g_value_get_boxed (value));
      break;
    case PROP_WORKING_DIRECTORY:
      mp_context_set_working_directory (self, g_value_get_string (value));
      break;
    case PROP_UMASK:
      mp_context_set_umask (self, g_value_get_int (value));
      break;
    case PROP_NICE:
      mp_context_set_nice (self, g_value_get_int (value));
      break;
    case PROP_OUTLIVE_PARENT:
      mp_context_set_outlive_parent (self, g_value_get_boolean (value));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_context_constructed (GObject *object)
{
  MpContext *self = MP_CONTEXT (object);

  if (self->config.interpreter == NULL)
    self->config.interpreter = mp_spawn_get_default_interpreter (self->config.runtime);

  G_OBJECT_CLASS (mp_context_parent_class)->constructed (object);
}

static void
mp_context_class_init (MpContextClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags common = G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;
  const GParamFlags construct = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | common;
  const GParamFlags settable = G_PARAM_READWRITE | common;

  object_class->constructed = mp_context_constructed;
  object_class->finalize = mp_context_finalize;
  object_class->get_property = mp_context_get_property;
  object_class->set_property = mp_context_set_property;

  /**
   * MpContext:start-method: (getter get_start_method)
   *
   * How processes are started.
   *
   * Since: 0.1
   */
  properties[PROP_START_METHOD] = g_param_spec_enum ("start-method",
                                                     NULL,
                                                     NULL,
                                                     MP_TYPE_START_METHOD,
                                                     MP_START_METHOD_FORKSERVER,
                                                     construct);

  /**
   * MpContext:runtime: (getter get_runtime)
   *
   * What runs in the processes.
   *
   * Since: 0.1
   */
  properties[PROP_RUNTIME] =
    g_param_spec_enum ("runtime", NULL, NULL, MP_TYPE_RUNTIME, MP_RUNTIME_NATIVE, construct);

  /**
   * MpContext:interpreter: (getter get_interpreter) (setter set_interpreter)
   *
   * How the interpreter of the runtime is called: its path and its options.
   *
   * Since: 0.1
   */
  properties[PROP_INTERPRETER] =
    g_param_spec_boxed ("interpreter", NULL, NULL, G_TYPE_STRV, settable);

  /**
   * MpContext:preload: (getter get_preload) (setter set_preload)
   *
   * The modules that the zygote of an interpreter imports.
   *
   * Since: 0.1
   */
  properties[PROP_PRELOAD] = g_param_spec_boxed ("preload", NULL, NULL, G_TYPE_STRV, settable);

  /**
   * MpContext:preparation: (getter get_preparation) (setter set_preparation)
   *
   * What a binding wants its processes to know; opaque here.
   *
   * Since: 0.1
   */
  properties[PROP_PREPARATION] =
    g_param_spec_boxed ("preparation", NULL, NULL, G_TYPE_BYTES, settable);

  /**
   * MpContext:environment: (getter get_environment) (setter set_environment)
   *
   * The environment of the processes; %NULL for that of the calling process
   * at the time of a start.
   *
   * Since: 0.1
   */
  properties[PROP_ENVIRONMENT] =
    g_param_spec_boxed ("environment", NULL, NULL, G_TYPE_STRV, settable);

  /**
   * MpContext:working-directory: (getter get_working_directory) (setter set_working_directory)
   *
   * The working directory of the processes; %NULL for that of the calling
   * process at the time of a start.
   *
   * Since: 0.1
   */
  properties[PROP_WORKING_DIRECTORY] =
    g_param_spec_string ("working-directory", NULL, NULL, NULL, settable);

  /**
   * MpContext:umask: (getter get_umask) (setter set_umask)
   *
   * The mask for the permissions of files that the processes make; −1 to inherit it.
   *
   * Since: 0.1
   */
  properties[PROP_UMASK] = g_param_spec_int ("umask", NULL, NULL, -1, 0777, -1, settable);

  /**
   * MpContext:nice: (getter get_nice) (setter set_nice)
   *
   * How much the niceness of the processes is above the caller's.
   *
   * Since: 0.1
   */
  properties[PROP_NICE] = g_param_spec_int ("nice", NULL, NULL, -40, 40, 0, settable);

  /**
   * MpContext:outlive-parent: (getter get_outlive_parent) (setter set_outlive_parent)
   *
   * Whether the processes live on when the process that started them ends.
   *
   * Since: 0.1
   */
  properties[PROP_OUTLIVE_PARENT] =
    g_param_spec_boolean ("outlive-parent", NULL, NULL, FALSE, settable);

  /**
   * MpContext:zygote-pid: (getter get_zygote_pid)
   *
   * The number of the zygote's process, 0 when none runs; does not notify.
   *
   * Since: 0.1
   */
  properties[PROP_ZYGOTE_PID] =
    g_param_spec_int ("zygote-pid", NULL, NULL, 0, G_MAXINT, 0, G_PARAM_READABLE | common);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_context_init (MpContext *self)
{
  g_mutex_init (&self->mutex);
  mp_surroundings_init (&self->config.surroundings);
}

/**
 * mp_context_new:
 * @start_method: how processes are started
 * @runtime: what runs in them
 *
 * Makes a context. Nothing is started yet.
 *
 * Returns: (transfer full): a new context
 *
 * Since: 0.1
 */
MpContext *
mp_context_new (MpStartMethod start_method, MpRuntime runtime)
{
  return g_object_new (MP_TYPE_CONTEXT, "start-method", start_method, "runtime", runtime, NULL);
}

/**
 * mp_context_get_default:
 *
 * The context that is used where none is given: %MP_START_METHOD_FORKSERVER
 * and %MP_RUNTIME_NATIVE.
 *
 * Returns: (transfer none): the context, which lives as long as the program
 *
 * Since: 0.1
 */
MpContext *
mp_context_get_default (void)
{
  static gsize context = 0;

  if (g_once_init_enter (&context))
    g_once_init_leave (&context,
                       (gsize) mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE));
  return (MpContext *) context;
}

/**
 * mp_context_get_start_method: (get-property start-method)
 * @self: a context
 *
 * How processes are started.
 *
 * Returns: the start method
 *
 * Since: 0.1
 */
MpStartMethod
mp_context_get_start_method (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), MP_START_METHOD_FORKSERVER);

  return self->config.start_method;
}

/**
 * mp_context_get_runtime: (get-property runtime)
 * @self: a context
 *
 * What runs in the processes.
 *
 * Returns: the runtime
 *
 * Since: 0.1
 */
MpRuntime
mp_context_get_runtime (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), MP_RUNTIME_NATIVE);

  return self->config.runtime;
}

void
mp_context_set_number (MpContext *self, int *place, int value, const char *property)
{
  gboolean changed;

  g_mutex_lock (&self->mutex);
  changed = *place != value;
  *place = value;
  g_mutex_unlock (&self->mutex);
  if (changed)
    g_object_notify (G_OBJECT (self), property);
}

static void
set_strv (MpContext *self, char ***place, const char *const *value, guint prop_id)
{
  char **old = NULL;
  gboolean changed;

  g_mutex_lock (&self->mutex);
  changed = *place == NULL || value == NULL ? (gpointer) *place != (gpointer) value
                                            : !g_strv_equal ((const char *const *) *place, value);
  if (changed)
    {
      old = *place;
      *place = g_strdupv ((char **) value);
    }
  g_mutex_unlock (&self->mutex);
  g_strfreev (old);
  if (changed)
    g_object_notify_by_pspec (G_OBJECT (self), properties[prop_id]);
}

/**
 * mp_context_get_interpreter: (get-property interpreter)
 * @self: a context
 *
 * How the interpreter is called, for %MP_RUNTIME_PYTHON and %MP_RUNTIME_GJS. By
 * default that is what the environment variable `MP_PYTHON` or `MP_GJS` says, else
 * the Python that libmp was built for, or `gjs`.
 *
 * Returns: (transfer none) (array zero-terminated=1): path and options, valid
 *   until they are set again
 *
 * Since: 0.1
 */
const char *const *
mp_context_get_interpreter (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), NULL);

  return (const char *const *) self->config.interpreter;
}

/**
 * mp_context_set_interpreter: (set-property interpreter)
 * @self: a context
 * @interpreter: (nullable) (array zero-terminated=1): path, or name to be
 *   searched in `PATH`, and options; %NULL for the default
 *
 * Sets how the interpreter is called.
 *
 * Since: 0.1
 */
void
mp_context_set_interpreter (MpContext *self, const char *const *interpreter)
{
  g_auto (GStrv) fallback = NULL;

  g_return_if_fail (MP_IS_CONTEXT (self));

  if (interpreter == NULL || interpreter[0] == NULL)
    {
      fallback = mp_spawn_get_default_interpreter (self->config.runtime);
      interpreter = (const char *const *) fallback;
    }
  set_strv (self, &self->config.interpreter, interpreter, PROP_INTERPRETER);
}

/**
 * mp_context_get_preload: (get-property preload)
 * @self: a context
 *
 * The modules that the zygote of an interpreter imports.
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): names of
 *   modules, valid until they are set again
 *
 * Since: 0.1
 */
const char *const *
mp_context_get_preload (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), NULL);

  return (const char *const *) self->config.preload;
}

/**
 * mp_context_set_preload: (set-property preload)
 * @self: a context
 * @preload: (nullable) (array zero-terminated=1): names of modules, or files
 *
 * Sets which modules the zygote of an interpreter imports, so that its
 * children need not. With %MP_RUNTIME_GJS these are files, which the interpreter
 * imports that waits for the next start. A module that cannot be imported, or that starts a thread
 * and thereby makes forking unsafe, is left out; a warning on the standard
 * error names it.
 *
 * Since: 0.1
 */
void
mp_context_set_preload (MpContext *self, const char *const *preload)
{
  g_return_if_fail (MP_IS_CONTEXT (self));

  set_strv (self, &self->config.preload, preload, PROP_PRELOAD);
}

/**
 * mp_context_get_preparation: (get-property preparation)
 * @self: a context
 *
 * What a binding wants its processes to know.
 *
 * Returns: (transfer none) (nullable): the bytes, valid until they are set again
 *
 * Since: 0.1
 */
GBytes *
mp_context_get_preparation (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), NULL);

  return self->config.preparation;
}

/**
 * mp_context_set_preparation: (set-property preparation)
 * @self: a context
 * @preparation: (nullable): the bytes
 *
 * Sets what a binding wants its processes to know. Python's gets a pickle of
 * what a new interpreter needs to be like the calling one.
 *
 * The zygote is prepared with what is set when it starts; each process gets
 * what is set at its own start.
 *
 * Since: 0.1
 */
void
mp_context_set_preparation (MpContext *self, GBytes *preparation)
{
  GBytes *old;

  g_return_if_fail (MP_IS_CONTEXT (self));

  g_mutex_lock (&self->mutex);
  old = self->config.preparation;
  self->config.preparation = preparation != NULL ? g_bytes_ref (preparation) : NULL;
  g_mutex_unlock (&self->mutex);
  if (old != preparation)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_PREPARATION]);
  g_clear_pointer (&old, g_bytes_unref);
}

/**
 * mp_context_get_environment: (get-property environment)
 * @self: a context
 *
 * The environment of the processes.
 *
 * Returns: (transfer none) (nullable) (array zero-terminated=1): `NAME=VALUE`
 *   strings, valid until they are set again; %NULL for that of the calling process
 *
 * Since: 0.1
 */
const char *const *
mp_context_get_environment (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), NULL);

  return (const char *const *) self->config.environment;
}

/**
 * mp_context_set_environment: (set-property environment)
 * @self: a context
 * @environment: (nullable) (array zero-terminated=1): `NAME=VALUE` strings;
 *   %NULL for the environment of the calling process at the time of a start
 *
 * Sets the whole environment of the processes, as [func@GLib.environ_setenv]
 * makes it from [func@GLib.get_environ].
 *
 * Since: 0.1
 */
void
mp_context_set_environment (MpContext *self, const char *const *environment)
{
  g_return_if_fail (MP_IS_CONTEXT (self));

  set_strv (self, &self->config.environment, environment, PROP_ENVIRONMENT);
}

/**
 * mp_context_get_working_directory: (get-property working-directory)
 * @self: a context
 *
 * The working directory of the processes.
 *
 * Returns: (transfer none) (nullable) (type filename): the directory, valid
 *   until it is set again; %NULL for that of the calling process
 *
 * Since: 0.1
 */
const char *
mp_context_get_working_directory (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), NULL);

  return self->config.working_directory;
}

/**
 * mp_context_set_working_directory: (set-property working-directory)
 * @self: a context
 * @directory: (nullable) (type filename): a directory; %NULL for that of the
 *   calling process at the time of a start
 *
 * Sets the working directory of the processes. That it exists is checked by
 * [method@Mp.Process.start].
 *
 * Since: 0.1
 */
void
mp_context_set_working_directory (MpContext *self, const char *directory)
{
  g_autofree char *old = NULL;

  g_return_if_fail (MP_IS_CONTEXT (self));

  g_mutex_lock (&self->mutex);
  old = self->config.working_directory;
  self->config.working_directory = g_strdup (directory);
  g_mutex_unlock (&self->mutex);
  if (g_strcmp0 (old, directory) != 0)
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_WORKING_DIRECTORY]);
}

/**
 * mp_context_get_zygote_pid: (get-property zygote-pid)
 * @self: a context
 *
 * The number of the zygote's process.
 *
 * Returns: the process id, 0 when no zygote runs
 *
 * Since: 0.1
 */
int
mp_context_get_zygote_pid (MpContext *self)
{
  g_auto (MpContextConfig) config = { 0 };
  g_autoptr (MpZygoteLink) link = NULL;
  MpZygoteKind kind;

  g_return_val_if_fail (MP_IS_CONTEXT (self), 0);

  mp_context_get_config (self, &config);
  if (!mp_context_config_get_task_kind (&config, &kind, NULL))
    return 0;
  g_mutex_lock (&self->mutex);
  if (self->links[kind] != NULL && mp_zygote_link_is_ours (self->links[kind]))
    link = mp_zygote_link_ref (self->links[kind]);
  g_mutex_unlock (&self->mutex);
  return link != NULL ? mp_zygote_link_get_pid (link) : 0;
}
