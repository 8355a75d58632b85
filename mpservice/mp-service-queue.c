/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-queue.h"

#include <libmp.h>

#include "mp-service-error.h"
#include "mp-service-store.h"
#include "mp-service-value.h"
#include "mp-service-wait.h"

struct _MpServiceQueue
{
  MpDBusQueueSkeleton parent_instance;

  MpServiceObject *object; /* owns this one until it ends */
  MpServiceStore *store;
  MpQueue *queue;
  GQueue getters;  /* of Getter, the oldest first */
  GQueue putters;  /* of Putter, the oldest first */
  GSource *source; /* while getters wait for an item */
  gpointer
    verified; /* the getter whose caller the bus is asked about; NULL when it stopped since */
  gboolean verifying;
  gboolean ended;
};

/* A Get or GetMany that waits. */
typedef struct
{
  MpServiceQueue *self; /* owned */
  MpServiceWait *wait;
  guint max; /* 0 for Get */
} Getter;

/* A Put or PutMany that waits. */
typedef struct
{
  MpServiceQueue *self; /* owned */
  MpServiceWait *wait;
  GVariant *items; /* av */
  guint n_put;
  gboolean many;
  gboolean in_flight; /* the first in line: its mp_queue_put_async() runs */
} Putter;

enum
{
  PROP_0,
  PROP_SIZE,
  PROP_WAITERS,
  PROP_INTAKE_CLOSED,
};

const MpServiceOption mp_service_queue_options[] = {
  MP_SERVICE_OPTIONS_IDENTITY,
  { "max-size", "u", NULL },
  { "max-bytes", "t", NULL },
  { NULL },
};

static void mp_service_queue_iface_init (MpDBusQueueIface *iface);
static void watch (MpServiceQueue *self);
static void advance_putters (MpServiceQueue *self);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpServiceQueue,
                               mp_service_queue,
                               MP_DBUS_TYPE_QUEUE_SKELETON,
                               G_IMPLEMENT_INTERFACE (MP_DBUS_TYPE_QUEUE,
                                                      mp_service_queue_iface_init))

/* --- getting ------------------------------------------------------------ */

static void
getter_free (Getter *getter)
{
  g_queue_remove (&getter->self->getters, getter);
  g_signal_handlers_disconnect_by_data (mp_service_wait_get_cancellable (getter->wait), getter);
  if (getter->self->verified == getter)
    getter->self->verified = NULL;
  g_object_unref (getter->wait);
  g_object_unref (getter->self);
  g_free (getter);
}

static void
getter_stopped (GCancellable *cancellable, gpointer user_data)
{
  Getter *getter = user_data;
  g_autoptr (MpServiceWait) wait = g_object_ref (getter->wait);

  getter_free (getter);
  mp_service_wait_fail (wait, NULL);
}

/* The answer of Get or GetMany, or NULL with an error. */
static GVariant *
take (MpServiceQueue *self, guint max, GError **error)
{
  g_autoptr (GVariant) items = NULL;

  if (max > 0)
    items = mp_service_store_take_many (self->store, max, error);
  else
    items = mp_service_store_take (self->store, error);
  if (items == NULL)
    return NULL;
  return g_variant_ref_sink (g_variant_new (max > 0 ? "(@av)" : "(v)", items));
}

/* Items go to callers in the order in which they came, and only to those that
 * are still on the bus: the bus told of a caller's end before it answers the
 * question that is asked here, so whoever died before an item was put does not
 * get it. The item is taken only then, in one go with the answer. */
static void
getter_verified (gboolean present, gpointer user_data)
{
  g_autoptr (MpServiceQueue) self = MP_SERVICE_QUEUE (user_data);
  Getter *getter = g_steal_pointer (&self->verified);
  g_autoptr (MpServiceWait) wait = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  self->verifying = FALSE;
  if (getter == NULL)
    {
      watch (self);
      return;
    }
  if (!present)
    {
      mp_service_wait_stop (getter->wait, MP_SERVICE_STOP_PEER_GONE);
      watch (self);
      return;
    }
  answer = take (self, getter->max, &error);
  if (answer != NULL || !g_error_matches (error, MP_ERROR, MP_ERROR_EMPTY))
    {
      wait = g_object_ref (getter->wait);
      getter_free (getter);
      if (answer != NULL)
        mp_service_wait_answer (wait, answer, NULL);
      else
        mp_service_wait_fail (wait, error);
    }
  watch (self);
}

static void
clear_source (MpServiceQueue *self)
{
  if (self->source != NULL)
    g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
}

static gboolean
something_to_take (gpointer user_data)
{
  MpServiceQueue *self = MP_SERVICE_QUEUE (user_data);
  Getter *getter = g_queue_peek_head (&self->getters);

  g_clear_pointer (&self->source, g_source_unref);
  if (getter == NULL)
    return G_SOURCE_REMOVE;

  self->verifying = TRUE;
  self->verified = getter;
  mp_service_peers_verify (mp_service_get_peers (
                             mp_service_object_get_identity (self->object)->service),
                           mp_service_wait_get_sender (getter->wait),
                           getter_verified,
                           g_object_ref (self));
  return G_SOURCE_REMOVE;
}

static gboolean
queue_ready (MpQueue *queue, gpointer user_data)
{
  return something_to_take (user_data);
}

/* Has the main loop look for an item exactly while a getter waits for one. */
static void
watch (MpServiceQueue *self)
{
  if (g_queue_is_empty (&self->getters) || self->ended)
    {
      clear_source (self);
      return;
    }
  if (self->source != NULL || self->verifying)
    return;

  if (mp_service_store_get_n_kept (self->store) > 0)
    {
      self->source = g_idle_source_new ();
      g_source_set_callback (self->source, something_to_take, self, NULL);
    }
  else
    {
      self->source = mp_queue_create_source (self->queue, NULL);
      g_source_set_callback (self->source, G_SOURCE_FUNC (queue_ready), self, NULL);
    }
  g_source_attach (self->source, NULL);
}

static void
park_getter (MpServiceQueue *self,
             GDBusMethodInvocation *invocation,
             guint max,
             GVariantDict *options)
{
  g_autoptr (GError) error = NULL;
  MpService *service = mp_service_object_get_identity (self->object)->service;
  MpServiceWait *wait = mp_service_wait_new (service, invocation, self->object, options, &error);
  Getter *getter;

  if (wait == NULL)
    {
      mp_service_return_error (invocation, error, "Failed");
      return;
    }
  getter = g_new0 (Getter, 1);
  getter->self = g_object_ref (self);
  getter->wait = wait;
  getter->max = max;
  g_queue_push_tail (&self->getters, getter);
  g_signal_connect (mp_service_wait_get_cancellable (wait),
                    "cancelled",
                    G_CALLBACK (getter_stopped),
                    getter);
  watch (self);
}

static gboolean
is_instant (GVariantDict *options)
{
  double timeout;

  return g_variant_dict_lookup (options, "timeout", "d", &timeout) && timeout == 0.0;
}

static gboolean
get (MpServiceQueue *self, GDBusMethodInvocation *invocation, guint max, GVariant *arg_options)
{
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  options = mp_service_options_filter (arg_options, mp_service_options_wait, &error);
  if (options != NULL)
    {
      /* Nobody overtakes those who wait. */
      if (g_queue_is_empty (&self->getters))
        answer = take (self, max, &error);
      else
        g_set_error_literal (&error, MP_ERROR, MP_ERROR_EMPTY, "others wait for the next item");
    }
  if (answer != NULL)
    g_dbus_method_invocation_return_value (invocation, answer);
  else if (options != NULL && g_error_matches (error, MP_ERROR, MP_ERROR_EMPTY) &&
           !is_instant (options))
    park_getter (self, invocation, max, options);
  else
    mp_service_return_error (invocation, error, "Failed");
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_get (MpDBusQueue *queue, GDBusMethodInvocation *invocation, GVariant *arg_options)
{
  return get (MP_SERVICE_QUEUE (queue), invocation, 0, arg_options);
}

static gboolean
handle_get_many (MpDBusQueue *queue,
                 GDBusMethodInvocation *invocation,
                 guint max,
                 GVariant *arg_options)
{
  if (max > 0)
    return get (MP_SERVICE_QUEUE (queue), invocation, max, arg_options);

  g_dbus_method_invocation_return_error_literal (invocation,
                                                 MP_ERROR,
                                                 MP_ERROR_INVALID_ARGUMENT,
                                                 "max must be at least 1");
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* --- putting ------------------------------------------------------------ */

static void
putter_free (Putter *putter)
{
  g_queue_remove (&putter->self->putters, putter);
  g_signal_handlers_disconnect_by_data (mp_service_wait_get_cancellable (putter->wait), putter);
  g_variant_unref (putter->items);
  g_object_unref (putter->wait);
  g_object_unref (putter->self);
  g_free (putter);
}

/* What was put stays put: whoever put some of many learns how many. */
static void
finish_putter (Putter *putter, const GError *error)
{
  g_autoptr (MpServiceWait) wait = g_object_ref (putter->wait);
  guint n_put = putter->n_put;
  gboolean many = putter->many;

  putter_free (putter);
  if (error != NULL && n_put == 0)
    mp_service_wait_fail (wait, error);
  else
    mp_service_wait_answer (wait, many ? g_variant_new ("(u)", n_put) : NULL, NULL);
}

static void
putter_stopped (GCancellable *cancellable, gpointer user_data)
{
  Putter *putter = user_data;

  /* The queue decides whether it was in time. */
  if (!putter->in_flight)
    {
      g_autoptr (GError) error = g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED, "stopped");

      finish_putter (putter, error);
    }
}

static GVariant *
get_item (GVariant *items, guint index)
{
  g_autoptr (GVariant) box = g_variant_get_child_value (items, index);

  return g_variant_get_variant (box);
}

/* How many went in without waiting; @error tells why not all. */
static guint
put_now (MpServiceQueue *self, GVariant *items, guint n_put, GError **error)
{
  while (n_put < g_variant_n_children (items))
    {
      g_autoptr (GVariant) item = get_item (items, n_put);

      if (!mp_service_value_check (item, error) ||
          !mp_queue_put (self->queue, item, 0, NULL, error))
        break;
      n_put++;
    }
  return n_put;
}

static void
put_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Putter *putter = user_data;
  g_autoptr (MpServiceQueue) self = g_object_ref (putter->self);
  g_autoptr (GError) error = NULL;

  putter->in_flight = FALSE;
  if (mp_queue_put_finish (MP_QUEUE (source), result, &error))
    putter->n_put++;
  else
    finish_putter (putter, error);
  advance_putters (self);
}

static void
advance_putters (MpServiceQueue *self)
{
  Putter *putter;

  while ((putter = g_queue_peek_head (&self->putters)) != NULL && !putter->in_flight)
    {
      g_autoptr (GVariant) item = NULL;
      g_autoptr (GError) error = NULL;

      putter->n_put = put_now (self, putter->items, putter->n_put, &error);
      if (!g_error_matches (error, MP_ERROR, MP_ERROR_FULL) ||
          mp_service_wait_get_stop (putter->wait) != MP_SERVICE_STOP_NONE)
        {
          finish_putter (putter, error);
          continue;
        }
      putter->in_flight = TRUE;
      item = get_item (putter->items, putter->n_put);
      mp_queue_put_async (self->queue,
                          item,
                          mp_service_wait_get_cancellable (putter->wait),
                          put_done,
                          putter);
    }
}

static void
park_putter (MpServiceQueue *self,
             GDBusMethodInvocation *invocation,
             GVariant *items,
             guint n_put,
             gboolean many,
             GVariantDict *options)
{
  g_autoptr (GError) error = NULL;
  MpService *service = mp_service_object_get_identity (self->object)->service;
  MpServiceWait *wait = mp_service_wait_new (service, invocation, self->object, options, &error);
  Putter *putter;

  if (wait == NULL)
    {
      if (n_put > 0)
        g_dbus_method_invocation_return_value (invocation, g_variant_new ("(u)", n_put));
      else
        mp_service_return_error (invocation, error, "Failed");
      return;
    }
  putter = g_new0 (Putter, 1);
  putter->self = g_object_ref (self);
  putter->wait = wait;
  putter->items = g_variant_ref (items);
  putter->n_put = n_put;
  putter->many = many;
  g_queue_push_tail (&self->putters, putter);
  g_signal_connect (mp_service_wait_get_cancellable (wait),
                    "cancelled",
                    G_CALLBACK (putter_stopped),
                    putter);
  advance_putters (self);
}

static gboolean
put (MpServiceQueue *self,
     GDBusMethodInvocation *invocation,
     GVariant *items,
     gboolean many,
     GVariant *arg_options)
{
  g_autoptr (GVariantDict) options = NULL;
  g_autoptr (GError) error = NULL;
  guint n_put = 0;

  if (mp_service_value_refuse_fds (invocation, &error))
    options = mp_service_options_filter (arg_options, mp_service_options_wait, &error);
  if (options != NULL)
    {
      if (g_queue_is_empty (&self->putters))
        n_put = put_now (self, items, 0, &error);
      else
        g_set_error_literal (&error, MP_ERROR, MP_ERROR_FULL, "others wait for room");
    }
  if (options != NULL && g_error_matches (error, MP_ERROR, MP_ERROR_FULL) && !is_instant (options))
    park_putter (self, invocation, items, n_put, many, options);
  else if (error != NULL && n_put == 0)
    mp_service_return_error (invocation, error, "Failed");
  else
    g_dbus_method_invocation_return_value (invocation, many ? g_variant_new ("(u)", n_put) : NULL);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_put (MpDBusQueue *queue,
            GDBusMethodInvocation *invocation,
            GVariant *arg_item,
            GVariant *arg_options)
{
  g_autoptr (GVariant) items =
    g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE_VARIANT, &arg_item, 1));

  return put (MP_SERVICE_QUEUE (queue), invocation, items, FALSE, arg_options);
}

static gboolean
handle_put_many (MpDBusQueue *queue,
                 GDBusMethodInvocation *invocation,
                 GVariant *arg_items,
                 GVariant *arg_options)
{
  return put (MP_SERVICE_QUEUE (queue), invocation, arg_items, TRUE, arg_options);
}

/* --- the rest ----------------------------------------------------------- */

static gboolean
handle_close_intake (MpDBusQueue *queue, GDBusMethodInvocation *invocation, GVariant *arg_options)
{
  MpServiceQueue *self = MP_SERVICE_QUEUE (queue);

  mp_queue_close (self->queue);
  mp_dbus_queue_complete_close_intake (queue, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
handle_open (MpDBusQueue *queue,
             GDBusMethodInvocation *invocation,
             GUnixFDList *fd_list,
             GVariant *arg_options)
{
  MpServiceQueue *self = MP_SERVICE_QUEUE (queue);
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GError) error = NULL;

  handle = mp_shareable_to_handle (MP_SHAREABLE (self->queue), fds, &error);
  if (handle != NULL)
    g_dbus_method_invocation_return_value_with_unix_fd_list (invocation, handle, fds);
  else
    mp_service_return_error (invocation, error, "Failed");
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* Its waits were stopped before this. */
static void
object_ended (MpServiceObject *object, const char *reason, gpointer user_data)
{
  MpServiceQueue *self = MP_SERVICE_QUEUE (user_data);

  self->ended = TRUE;
  self->object = NULL;
  clear_source (self);
  mp_queue_close (self->queue);
}

static void
mp_service_queue_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpServiceQueue *self = MP_SERVICE_QUEUE (object);

  switch (prop_id)
    {
    case PROP_SIZE:
      g_value_set_uint (value,
                        mp_queue_get_length (self->queue) +
                          mp_service_store_get_n_kept (self->store));
      break;
    case PROP_WAITERS:
      g_value_set_uint (value, self->getters.length + self->putters.length);
      break;
    case PROP_INTAKE_CLOSED:
      g_value_set_boolean (value, mp_queue_get_closed (self->queue));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
      break;
    }
}

static void
mp_service_queue_dispose (GObject *object)
{
  MpServiceQueue *self = MP_SERVICE_QUEUE (object);

  clear_source (self);
  g_clear_object (&self->store);
  g_clear_object (&self->queue);

  G_OBJECT_CLASS (mp_service_queue_parent_class)->dispose (object);
}

static void
mp_service_queue_class_init (MpServiceQueueClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_service_queue_get_property;
  object_class->set_property = mp_service_access_refuse_to_set;
  object_class->dispose = mp_service_queue_dispose;
  mp_service_access_install (G_DBUS_INTERFACE_SKELETON_CLASS (klass));

  /* The queue is shared memory that changes by itself: looked at when asked. */
  g_object_class_override_property (object_class, PROP_SIZE, "size");
  g_object_class_override_property (object_class, PROP_WAITERS, "waiters");
  g_object_class_override_property (object_class, PROP_INTAKE_CLOSED, "intake-closed");
}

static void
mp_service_queue_init (MpServiceQueue *self)
{
  g_queue_init (&self->getters);
  g_queue_init (&self->putters);
}

static void
mp_service_queue_iface_init (MpDBusQueueIface *iface)
{
  iface->handle_put = handle_put;
  iface->handle_get = handle_get;
  iface->handle_put_many = handle_put_many;
  iface->handle_get_many = handle_get_many;
  iface->handle_close_intake = handle_close_intake;
  iface->handle_open = handle_open;
}

MpServiceObject *
mp_service_queue_create (MpServiceIdentity *identity, GVariantDict *options, GError **error)
{
  g_autoptr (MpServiceIdentity) owned = identity;
  g_autoptr (MpServiceQueue) self = NULL;
  g_autoptr (MpQueue) queue = NULL;
  guint max_size = 0;
  guint64 max_bytes = 0;

  g_variant_dict_lookup (options, "max-size", "u", &max_size);
  g_variant_dict_lookup (options, "max-bytes", "t", &max_bytes);
  queue = mp_queue_new (max_size, max_bytes, error);
  if (queue == NULL)
    return NULL;

  self = g_object_new (MP_TYPE_SERVICE_QUEUE, "max-size", max_size, "max-bytes", max_bytes, NULL);
  self->queue = g_object_ref (queue);
  self->store = mp_service_store_new (queue);
  self->object = mp_service_object_new (g_steal_pointer (&owned), G_DBUS_INTERFACE_SKELETON (self));
  g_signal_connect_object (self->object, "ended", G_CALLBACK (object_ended), self, 0);
  return self->object;
}
