/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-life.h"

#include <glib-unix.h>
#include <signal.h>

#include "mp-service-manager.h"
#include "mp-service-names.h"

/* After the name was given up, calls that were sent to it still arrive. */
#define DRAIN_MS 500

struct _MpServiceLife
{
  GObject parent_instance;

  GDBusConnection *connection;
  MpServiceLifeOptions options;
  GMainLoop *loop;
  MpServiceIdle *idle;
  MpService *service;
  MpServiceManager *manager;
  guint owner_id;
  guint drain_timer;
  guint signal_sources[2];
  MpServiceFate fate;
  gboolean named;    /* has the name */
  gboolean served;   /* had it at some time */
  gboolean stopping; /* will not come back */
};

G_DEFINE_FINAL_TYPE (MpServiceLife, mp_service_life, G_TYPE_OBJECT)

static void own_name (MpServiceLife *self, gboolean replace);

static void
give_up_name (MpServiceLife *self)
{
  self->named = FALSE;
  g_clear_handle_id (&self->owner_id, g_bus_unown_name);
}

static void
quit (MpServiceLife *self, MpServiceFate fate)
{
  self->fate = fate;
  self->stopping = TRUE;
  g_main_loop_quit (self->loop);
}

static gboolean
drained (gpointer user_data)
{
  MpServiceLife *self = MP_SERVICE_LIFE (user_data);

  self->drain_timer = 0;
  if (self->stopping || mp_service_idle_get_holds (self->idle) == 0)
    {
      quit (self, MP_SERVICE_FATE_ENDED);
      return G_SOURCE_REMOVE;
    }
  /* Somebody made something at the last moment: go on, unless another
   * instance was started meanwhile. */
  g_debug ("In use again");
  own_name (self, FALSE);
  return G_SOURCE_REMOVE;
}

/* In stages: the name first, so that new callers start a new instance, then
 * what is on its way, then the end. */
static void
drain (MpServiceLife *self)
{
  give_up_name (self);
  if (self->drain_timer == 0)
    self->drain_timer = g_timeout_add (DRAIN_MS, drained, self);
}

static void
became_idle (MpServiceIdle *idle, gpointer user_data)
{
  MpServiceLife *self = MP_SERVICE_LIFE (user_data);

  if (!self->named || self->drain_timer != 0)
    return;
  g_debug ("Idle");
  drain (self);
}

/* systemd sends SIGTERM as soon as a bus-activated service gives up its name:
 * that must not cut the drain short. */
static gboolean
told_to_end (gpointer user_data)
{
  MpServiceLife *self = MP_SERVICE_LIFE (user_data);

  if (self->stopping)
    return G_SOURCE_CONTINUE;
  self->stopping = TRUE;
  g_debug ("Told to end");
  mp_service_shut_down (self->service);
  drain (self);
  return G_SOURCE_CONTINUE;
}

static void
name_acquired (GDBusConnection *connection, const char *name, gpointer user_data)
{
  MpServiceLife *self = MP_SERVICE_LIFE (user_data);

  g_debug ("Has the name %s", name);
  self->named = TRUE;
  self->served = TRUE;
}

static void
name_lost (GDBusConnection *connection, const char *name, gpointer user_data)
{
  MpServiceLife *self = MP_SERVICE_LIFE (user_data);

  g_debug ("Does not have the name %s", name);
  self->named = FALSE;
  if (!self->stopping)
    quit (self, self->served ? MP_SERVICE_FATE_ENDED : MP_SERVICE_FATE_NAME_TAKEN);
}

static void
own_name (MpServiceLife *self, gboolean replace)
{
  GBusNameOwnerFlags flags =
    G_BUS_NAME_OWNER_FLAGS_ALLOW_REPLACEMENT | G_BUS_NAME_OWNER_FLAGS_DO_NOT_QUEUE;

  if (replace)
    flags |= G_BUS_NAME_OWNER_FLAGS_REPLACE;
  self->owner_id = g_bus_own_name_on_connection (self->connection,
                                                 MP_SERVICE_BUS_NAME,
                                                 flags,
                                                 name_acquired,
                                                 name_lost,
                                                 self,
                                                 NULL);
}

static void
connection_closed (GDBusConnection *connection,
                   gboolean vanished,
                   GError *error,
                   gpointer user_data)
{
  MpServiceLife *self = MP_SERVICE_LIFE (user_data);

  if (!self->stopping)
    quit (self, MP_SERVICE_FATE_ENDED);
}

static gboolean
start (MpServiceLife *self, GError **error)
{
  self->service = mp_service_new (self->connection, &self->options.limits, self->idle, error);
  if (self->service == NULL)
    return FALSE;
  self->manager = mp_service_manager_new (self->service, error);
  if (self->manager == NULL)
    return FALSE;

  g_signal_connect_object (self->idle, "idle", G_CALLBACK (became_idle), self, 0);
  g_signal_connect_object (self->connection, "closed", G_CALLBACK (connection_closed), self, 0);
  self->signal_sources[0] = g_unix_signal_add (SIGTERM, told_to_end, self);
  self->signal_sources[1] = g_unix_signal_add (SIGINT, told_to_end, self);
  own_name (self, self->options.replace);
  return TRUE;
}

/* What is exported goes before what it is exported of. */
static void
stop (MpServiceLife *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (self->signal_sources); i++)
    g_clear_handle_id (&self->signal_sources[i], g_source_remove);
  g_clear_handle_id (&self->drain_timer, g_source_remove);
  if (self->service != NULL)
    mp_service_shut_down (self->service);
  if (self->manager != NULL)
    g_dbus_interface_skeleton_unexport (G_DBUS_INTERFACE_SKELETON (self->manager));
  give_up_name (self);

  /* What was answered is on its way before the process ends; and whatever was
   * asked for completes, so that nothing is left behind. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_dbus_connection_flush_sync (self->connection, NULL, NULL);
  g_clear_object (&self->manager);
  g_clear_object (&self->service);
}

MpServiceFate
mp_service_life_run (MpServiceLife *self, GError **error)
{
  self->idle = mp_service_idle_new (self->options.idle_seconds);
  if (start (self, error))
    g_main_loop_run (self->loop);
  else
    self->fate = MP_SERVICE_FATE_FAILED;
  stop (self);
  g_clear_object (&self->idle);
  return self->fate;
}

static void
mp_service_life_finalize (GObject *object)
{
  MpServiceLife *self = MP_SERVICE_LIFE (object);

  g_clear_object (&self->connection);
  g_clear_pointer (&self->loop, g_main_loop_unref);

  G_OBJECT_CLASS (mp_service_life_parent_class)->finalize (object);
}

static void
mp_service_life_class_init (MpServiceLifeClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_service_life_finalize;
}

static void
mp_service_life_init (MpServiceLife *self)
{
  self->loop = g_main_loop_new (NULL, FALSE);
}

MpServiceLife *
mp_service_life_new (GDBusConnection *connection, const MpServiceLifeOptions *options)
{
  MpServiceLife *self = g_object_new (MP_TYPE_SERVICE_LIFE, NULL);

  self->connection = g_object_ref (connection);
  self->options = *options;
  return self;
}
