/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-context.h"

/* In the order of MpStartMethod. */
const char *const mp_service_context_start_methods[] = { "forkserver", "spawn", NULL };
const char *const mp_service_context_runtimes[] = { "python", "command", NULL };

gboolean
mp_service_context_check_runtime (const char *key, GVariant *value, GError **error)
{
  if (!g_str_equal (g_variant_get_string (value, NULL), "native"))
    return mp_service_options_check_choice (key, value, mp_service_context_runtimes, error);

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_NOT_SUPPORTED,
               "option \"%s\": the tasks of a \"native\" pool are C functions of the program that "
               "makes it; "
               "make the pool there, with libmp",
               key);
  return FALSE;
}

gboolean
mp_service_context_check_start_method (const char *key, GVariant *value, GError **error)
{
  return mp_service_options_check_choice (key, value, mp_service_context_start_methods, error);
}

/* The folders in @value, and behind them what the service's own environment
 * has: in a tree that is not installed, libmp's modules are found through it. */
static char *
join_python_path (GVariant *value, char **environment)
{
  g_autofree const char **folders = g_variant_get_strv (value, NULL);
  g_autofree char *joined = g_strjoinv (":", (char **) folders);
  const char *rest = g_environ_getenv (environment, "PYTHONPATH");

  if (rest == NULL || rest[0] == '\0')
    return g_steal_pointer (&joined);
  return g_strjoin (":", joined, rest, NULL);
}

static char **
build_environment (GVariantDict *options)
{
  g_autoptr (GVariant) variables = NULL;
  g_autoptr (GVariant) python_path = NULL;
  char **environment = g_get_environ ();

  variables = g_variant_dict_lookup_value (options, "environment", NULL);
  if (variables != NULL)
    {
      GVariantIter iter;
      const char *name, *value;

      g_variant_iter_init (&iter, variables);
      while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
        environment = g_environ_setenv (environment, name, value, TRUE);
    }
  python_path = g_variant_dict_lookup_value (options, "python-path", NULL);
  if (python_path != NULL && g_variant_n_children (python_path) > 0)
    {
      g_autofree char *joined = join_python_path (python_path, environment);

      environment = g_environ_setenv (environment, "PYTHONPATH", joined, TRUE);
    }
  return environment;
}

MpContext *
mp_service_context_new (GVariantDict *options)
{
  g_auto (GStrv) environment = build_environment (options);
  const char *runtime = "python", *start_method = "forkserver", *folder = NULL;
  MpContext *context;

  g_variant_dict_lookup (options, "runtime", "&s", &runtime);
  g_variant_dict_lookup (options, "start-method", "&s", &start_method);
  g_variant_dict_lookup (options, "working-directory", "&s", &folder);

  context =
    mp_context_new (g_str_equal (start_method, "spawn") ? MP_START_METHOD_SPAWN
                                                        : MP_START_METHOD_FORKSERVER,
                    g_str_equal (runtime, "command") ? MP_RUNTIME_COMMAND : MP_RUNTIME_PYTHON);
  mp_context_set_environment (context, (const char *const *) environment);
  if (folder != NULL)
    mp_context_set_working_directory (context, folder);
  return context;
}

const char *
mp_service_context_get_runtime_text (MpContext *context)
{
  return mp_context_get_runtime (context) == MP_RUNTIME_COMMAND ? "command" : "python";
}
