/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* mpservice: the objects of libmp on the session bus. */

#include <glib/gi18n.h>
#include <libmp.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "mp-service-life.h"
#include "mp-service-names.h"

#define IDLE_SECONDS_DEFAULT 60
#define DESCRIPTORS_WANTED 8192

static gboolean option_replace;
static gboolean option_verbose;
static gboolean option_version;
static gboolean option_no_idle_exit;
static int option_idle_timeout = IDLE_SECONDS_DEFAULT;

static const GOptionEntry entries[] = {
  { "replace",
    0,
    0,
    G_OPTION_ARG_NONE,
    &option_replace,
    N_ ("Take over from a running service"),
    NULL },
  { "verbose", 0, 0, G_OPTION_ARG_NONE, &option_verbose, N_ ("Log what happens"), NULL },
  { "version", 0, 0, G_OPTION_ARG_NONE, &option_version, N_ ("Show the version and exit"), NULL },
  { "no-idle-exit",
    0,
    0,
    G_OPTION_ARG_NONE,
    &option_no_idle_exit,
    N_ ("Stay when nothing is in use"),
    NULL },
  { "idle-timeout",
    0,
    0,
    G_OPTION_ARG_INT,
    &option_idle_timeout,
    N_ ("Exit after so many seconds without use (default: 60)"),
    N_ ("SECONDS") },
  { NULL },
};

static int
complain (const char *text)
{
  g_printerr ("mpservice: %s\n", text);
  return EXIT_FAILURE;
}

static gboolean
parse_options (int *argc, char ***argv, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_summary (context,
                                _ ("Offers pools and queues of libmp on the session bus."));
  g_option_context_add_main_entries (context, entries, GETTEXT_PACKAGE);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc <= 1 && option_idle_timeout > 0)
    return TRUE;

  if (*argc > 1)
    g_set_error (error,
                 G_OPTION_ERROR,
                 G_OPTION_ERROR_FAILED,
                 _ ("unexpected argument “%s”"),
                 (*argv)[1]);
  else
    g_set_error_literal (error,
                         G_OPTION_ERROR,
                         G_OPTION_ERROR_BAD_VALUE,
                         _ ("the idle timeout must be at least 1 second"));
  return FALSE;
}

/* Queues and workers are descriptors; the usual soft limit of 1024 is for
 * programs that call select(). */
static void
raise_descriptor_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
    return;
  limit.rlim_cur = MIN (limit.rlim_max, DESCRIPTORS_WANTED);
  if (setrlimit (RLIMIT_NOFILE, &limit) != 0)
    g_debug ("Cannot raise the limit of open files: %m");
}

static int
serve (GDBusConnection *connection)
{
  const MpServiceLifeOptions options = {
    .replace = option_replace,
    .idle_seconds = option_no_idle_exit ? 0 : (guint) option_idle_timeout,
    .limits = mp_service_limits_default,
  };
  g_autoptr (MpServiceLife) life = mp_service_life_new (connection, &options);
  g_autoptr (GError) error = NULL;

  switch (mp_service_life_run (life, &error))
    {
    case MP_SERVICE_FATE_ENDED:
      return EXIT_SUCCESS;
    case MP_SERVICE_FATE_NAME_TAKEN:
      return complain (_ ("the service is running already; --replace takes over from it"));
    case MP_SERVICE_FATE_FAILED:
    default:
      return complain (error != NULL ? error->message : _ ("cannot start"));
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (GDBusConnection) connection = NULL;
  g_autoptr (GError) error = NULL;

  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, MP_LOCALEDIR);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
  g_set_prgname ("mpservice");

  if (!parse_options (&argc, &argv, &error))
    return complain (error->message);
  if (option_version)
    {
      g_print ("mpservice %s\n", MP_VERSION_S);
      return EXIT_SUCCESS;
    }
  if (option_verbose)
    g_setenv ("G_MESSAGES_DEBUG", G_LOG_DOMAIN, FALSE);
  umask (0077);
  raise_descriptor_limit ();

  connection = g_bus_get_sync (G_BUS_TYPE_SESSION, NULL, &error);
  if (connection == NULL)
    {
      g_prefix_error_literal (&error, _ ("cannot reach the session bus: "));
      return complain (error->message);
    }
  g_dbus_connection_set_exit_on_close (connection, FALSE);
  return serve (connection);
}
