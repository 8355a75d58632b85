/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-store.h"

#include "mp-service-value.h"

typedef struct
{
  GBytes *bytes;
  guint codec;
} Item;

struct _MpServiceStore
{
  GObject parent_instance;

  MpQueue *queue;
  GQueue next; /* of Item: taken, and before all that is in the queue */
  GQueue last; /* of Item: taken, after all that is in the queue, which has no room for them */
};

G_DEFINE_FINAL_TYPE (MpServiceStore, mp_service_store, G_TYPE_OBJECT)

static void
item_free (Item *item)
{
  g_bytes_unref (item->bytes);
  g_free (item);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Item, item_free)

static Item *
take_item (MpServiceStore *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  guint codec = 0;
  GBytes *bytes;
  Item *item;

  if (!g_queue_is_empty (&self->next))
    return g_queue_pop_head (&self->next);

  bytes = mp_queue_get_bytes (self->queue, 0, &codec, NULL, &local_error);
  if (bytes == NULL && !g_queue_is_empty (&self->last))
    return g_queue_pop_head (&self->last);
  if (bytes == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  item = g_new0 (Item, 1);
  item->bytes = bytes;
  item->codec = codec;
  return item;
}

static void
put_last (MpServiceStore *self, Item *item)
{
  gsize length;
  const guint8 *data = g_bytes_get_data (item->bytes, &length);

  if (mp_queue_put_payload (self->queue, data, length, item->codec, 0, NULL, NULL))
    item_free (item);
  else
    g_queue_push_tail (&self->last, item);
}

static GVariant *
open_item (const Item *item, GError **error)
{
  g_autoptr (GVariant) value = mp_service_value_from_payload (item->bytes, item->codec, error);

  if (value == NULL || !mp_service_value_check (value, error))
    return NULL;
  return g_steal_pointer (&value);
}

GVariant *
mp_service_store_take (MpServiceStore *self, GError **error)
{
  g_autoptr (Item) item = take_item (self, error);
  GVariant *value;

  if (item == NULL)
    return NULL;

  value = open_item (item, error);
  if (value == NULL)
    put_last (self, g_steal_pointer (&item));
  return value;
}

GVariant *
mp_service_store_take_many (MpServiceStore *self, guint max, GError **error)
{
  g_autoptr (GVariant) first = mp_service_store_take (self, error);
  GVariantBuilder builder;
  gsize size;

  if (first == NULL)
    return NULL;

  size = g_variant_get_size (first);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  g_variant_builder_add (&builder, "v", first);
  for (guint i = 1; i < max; i++)
    {
      g_autoptr (Item) item = take_item (self, NULL);
      g_autoptr (GVariant) value = NULL;

      if (item == NULL)
        break;
      /* 300 bytes for its signature and padding. */
      size += g_bytes_get_size (item->bytes) + 300;
      if (size <= MP_SERVICE_VALUE_MAX)
        value = open_item (item, NULL);
      if (value == NULL)
        {
          g_queue_push_head (&self->next, g_steal_pointer (&item));
          break;
        }
      g_variant_builder_add (&builder, "v", value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

guint
mp_service_store_get_n_kept (MpServiceStore *self)
{
  return self->next.length + self->last.length;
}

static void
mp_service_store_finalize (GObject *object)
{
  MpServiceStore *self = MP_SERVICE_STORE (object);

  g_queue_clear_full (&self->next, (GDestroyNotify) item_free);
  g_queue_clear_full (&self->last, (GDestroyNotify) item_free);
  g_clear_object (&self->queue);

  G_OBJECT_CLASS (mp_service_store_parent_class)->finalize (object);
}

static void
mp_service_store_class_init (MpServiceStoreClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_service_store_finalize;
}

static void
mp_service_store_init (MpServiceStore *self)
{
  g_queue_init (&self->next);
  g_queue_init (&self->last);
}

MpServiceStore *
mp_service_store_new (MpQueue *queue)
{
  MpServiceStore *self = g_object_new (MP_TYPE_SERVICE_STORE, NULL);

  self->queue = g_object_ref (queue);
  return self;
}
