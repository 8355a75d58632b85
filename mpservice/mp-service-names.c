/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-names.h"

#include <string.h>

#include <libmp.h>

#define NAME_LENGTH_MAX 255

gboolean
mp_service_names_check (const char *text, const char *what, GError **error)
{
  gsize length = strspn (text, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_.-");

  if (length >= 1 && length <= NAME_LENGTH_MAX && text[length] == '\0')
    return TRUE;

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "%s must be 1 to %d of the characters A-Z a-z 0-9 _ . -",
               what,
               NAME_LENGTH_MAX);
  return FALSE;
}

char *
mp_service_names_escape (const char *text)
{
  GString *escaped = g_string_new (NULL);

  for (const char *p = text; *p != '\0'; p++)
    {
      if (g_ascii_isalpha (*p) || (g_ascii_isdigit (*p) && p != text))
        g_string_append_c (escaped, *p);
      else
        g_string_append_printf (escaped, "_%02x", (guint) (guchar) *p);
    }
  return g_string_free (escaped, FALSE);
}

/* ":1.42" becomes "1_42", as the portals do, so that clients can build the path. */
static char *
escape_sender (const char *sender)
{
  char *escaped = g_strdup (sender[0] == ':' ? sender + 1 : sender);

  return g_strcanon (escaped, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS, '_');
}

char *
mp_service_names_named_path (const char *kind, const char *name)
{
  g_autofree char *escaped = mp_service_names_escape (name);

  return g_strdup_printf (MP_SERVICE_PATH "/%s/%s", kind, escaped);
}

char *
mp_service_names_anonymous_path (const char *kind,
                                 const char *sender,
                                 const char *token,
                                 guint64 serial)
{
  g_autofree char *peer = escape_sender (sender);
  g_autofree char *last = NULL;

  if (token != NULL)
    last = mp_service_names_escape (token);
  else
    last = g_strdup_printf ("%" G_GUINT64_FORMAT, serial);
  return g_strdup_printf (MP_SERVICE_PATH "/%s/%s/%s", kind, peer, last);
}

char *
mp_service_names_job_path (const char *pool_path, const char *token, guint64 serial)
{
  g_autofree char *last = NULL;

  if (token != NULL)
    last = mp_service_names_escape (token);
  else
    last = g_strdup_printf ("%" G_GUINT64_FORMAT, serial);
  return g_strdup_printf ("%s/job/%s", pool_path, last);
}

char *
mp_service_names_request_path (const char *sender, const char *token)
{
  return mp_service_names_anonymous_path ("request", sender, token, 0);
}
