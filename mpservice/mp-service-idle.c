/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-idle.h"

struct _MpServiceIdle
{
  GObject parent_instance;

  guint timeout_seconds;
  guint n_holds;
  guint timer; /* runs exactly while nothing holds and there is a timeout */
};

enum
{
  SIGNAL_IDLE,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (MpServiceIdle, mp_service_idle, G_TYPE_OBJECT)

static gboolean
timer_ran_out (gpointer user_data)
{
  MpServiceIdle *self = MP_SERVICE_IDLE (user_data);

  self->timer = 0;
  g_signal_emit (self, signals[SIGNAL_IDLE], 0);
  return G_SOURCE_REMOVE;
}

static void
restart_timer (MpServiceIdle *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->n_holds == 0 && self->timeout_seconds > 0)
    self->timer = g_timeout_add_seconds (self->timeout_seconds, timer_ran_out, self);
}

void
mp_service_idle_hold (MpServiceIdle *self, const char *reason)
{
  self->n_holds++;
  g_debug ("Held for %s (%u)", reason, self->n_holds);
  g_clear_handle_id (&self->timer, g_source_remove);
}

void
mp_service_idle_release (MpServiceIdle *self, const char *reason)
{
  g_return_if_fail (self->n_holds > 0);

  self->n_holds--;
  g_debug ("Released for %s (%u)", reason, self->n_holds);
  restart_timer (self);
}

void
mp_service_idle_touch (MpServiceIdle *self)
{
  restart_timer (self);
}

guint
mp_service_idle_get_holds (MpServiceIdle *self)
{
  return self->n_holds;
}

static void
mp_service_idle_finalize (GObject *object)
{
  MpServiceIdle *self = MP_SERVICE_IDLE (object);

  g_clear_handle_id (&self->timer, g_source_remove);

  G_OBJECT_CLASS (mp_service_idle_parent_class)->finalize (object);
}

static void
mp_service_idle_class_init (MpServiceIdleClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_service_idle_finalize;

  signals[SIGNAL_IDLE] = g_signal_new ("idle",
                                       G_TYPE_FROM_CLASS (klass),
                                       G_SIGNAL_RUN_LAST,
                                       0,
                                       NULL,
                                       NULL,
                                       NULL,
                                       G_TYPE_NONE,
                                       0);
}

static void
mp_service_idle_init (MpServiceIdle *self)
{
}

MpServiceIdle *
mp_service_idle_new (guint timeout_seconds)
{
  MpServiceIdle *self = g_object_new (MP_TYPE_SERVICE_IDLE, NULL);

  self->timeout_seconds = timeout_seconds;
  restart_timer (self);
  return self;
}
