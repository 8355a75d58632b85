/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-options.h"

#include <math.h>

#include <libmp.h>

#include "mp-service-names.h"

const MpServiceOption mp_service_options_none[] = {
  { NULL },
};

const MpServiceOption mp_service_options_wait[] = {
  MP_SERVICE_OPTION_TIMEOUT,
  MP_SERVICE_OPTION_TOKEN,
  { NULL },
};

static const MpServiceOption *
find_option (const MpServiceOption *table, const char *key)
{
  for (const MpServiceOption *option = table; option->key != NULL; option++)
    {
      if (g_str_equal (option->key, key))
        return option;
    }
  return NULL;
}

static gboolean
check_option (const MpServiceOption *option, GVariant *value, GError **error)
{
  if (!g_variant_is_of_type (value, G_VARIANT_TYPE (option->type)))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "option \"%s\" must have the type %s, not %s",
                   option->key,
                   option->type,
                   g_variant_get_type_string (value));
      return FALSE;
    }
  return option->check == NULL || option->check (option->key, value, error);
}

GVariantDict *
mp_service_options_filter (GVariant *options, const MpServiceOption *table, GError **error)
{
  g_autoptr (GVariantDict) known = g_variant_dict_new (NULL);
  GVariantIter iter;
  const char *key;
  GVariant *value;

  g_variant_iter_init (&iter, options);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      g_autoptr (GVariant) owned = value;
      const MpServiceOption *option = find_option (table, key);

      if (option == NULL)
        continue;
      if (!check_option (option, owned, error))
        return NULL;
      g_variant_dict_insert_value (known, key, owned);
    }
  return g_steal_pointer (&known);
}

gboolean
mp_service_options_check_name (const char *key, GVariant *value, GError **error)
{
  g_autofree char *what = g_strdup_printf ("option \"%s\"", key);

  return mp_service_names_check (g_variant_get_string (value, NULL), what, error);
}

gboolean
mp_service_options_check_timeout (const char *key, GVariant *value, GError **error)
{
  double seconds = g_variant_get_double (value);

  if (isfinite (seconds) && (seconds >= 0.0 || seconds == -1.0))
    return TRUE;

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "option \"%s\" must be a number of seconds, 0.0 to not wait, or -1.0 to wait until "
               "the caller leaves",
               key);
  return FALSE;
}

static gboolean
check_absolute (const char *key, const char *path, const char *forbidden, GError **error)
{
  if (g_path_is_absolute (path) && strpbrk (path, forbidden) == NULL)
    return TRUE;

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               forbidden[0] != '\0' ? "option \"%s\": \"%s\" is not an absolute path without colons"
                                    : "option \"%s\": \"%s\" is not an absolute path",
               key,
               path);
  return FALSE;
}

gboolean
mp_service_options_check_folder (const char *key, GVariant *value, GError **error)
{
  return check_absolute (key, g_variant_get_string (value, NULL), "", error);
}

gboolean
mp_service_options_check_folders (const char *key, GVariant *value, GError **error)
{
  g_autofree const char **folders = g_variant_get_strv (value, NULL);

  for (const char **folder = folders; *folder != NULL; folder++)
    {
      if (!check_absolute (key, *folder, ":", error))
        return FALSE;
    }
  return TRUE;
}

gboolean
mp_service_options_check_environment (const char *key, GVariant *value, GError **error)
{
  GVariantIter iter;
  const char *variable;

  g_variant_iter_init (&iter, value);
  while (g_variant_iter_next (&iter, "{&s&s}", &variable, NULL))
    {
      if (variable[0] != '\0' && strchr (variable, '=') == NULL)
        continue;
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "option \"%s\": \"%s\" cannot be the name of a variable",
                   key,
                   variable);
      return FALSE;
    }
  return TRUE;
}

gboolean
mp_service_options_check_choice (const char *key,
                                 GVariant *value,
                                 const char *const *choices,
                                 GError **error)
{
  const char *text = g_variant_get_string (value, NULL);
  g_autofree char *joined = NULL;

  if (g_strv_contains (choices, text))
    return TRUE;

  joined = g_strjoinv (", ", (char **) choices);
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "option \"%s\": \"%s\" is none of: %s",
               key,
               text,
               joined);
  return FALSE;
}
