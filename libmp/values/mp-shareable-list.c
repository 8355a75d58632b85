/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-shareable-list.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-micro-lock-private.h"
#include "../memory/mp-segment-private.h"
#include "../memory/mp-shareable-private.h"
#include "../memory/mp-shared-memory-private.h"
#include "mp-list-slot-private.h"

#define KIND_NAME "list"

#define KIND MP_SEGMENT_KIND ('l', 'i', 's', 't')
#define VERSION 1

/* How often a reader tries before it keeps writers out. */
#define TRIES 100
/* Writers hold the lock while they copy one item. */
#define LOCK_US G_USEC_PER_SEC

/**
 * MpShareableList:
 *
 * A list in shared memory: of fixed length, of items that can be replaced.
 *
 * An item is a number (`x` or `d`), a `b`, a text (`s`), bytes (`ay`), or nothing (an
 * empty maybe, or the empty tuple). Integers of other types are taken if they fit,
 * and come out as `x`; nothing comes out as an empty `mv`. A text with zero bytes in
 * it, which a variant of type `s` cannot hold, goes in and comes out as an `(ay)` of
 * its UTF-8. Variants in variants are unpacked.
 *
 * Each item has the room of the value with which the list was made: 8 bytes for
 * numbers, booleans and nothing; for bytes as many as there are, and at least one
 * more, up to a multiple of eight; for texts the same of their characters, or the
 * bytes of these if that is more. Any value that fits can replace it, also of
 * another type.
 *
 * The list lies in [class@Mp.SharedMemory], which also gives it a name if it has
 * one, and travels as a [iface@Mp.Shareable]. It takes twice the room of its items.
 *
 * # When processes die
 *
 * An item is replaced at once: whoever reads it sees the old value or the new one,
 * whole, also when the writer is killed in the middle. Readers never wait for
 * writers that stand still.
 *
 * # Threads
 *
 * All functions can be called from any thread. A child of fork() can use the lists of
 * its parent.
 *
 * Since: 0.1
 */

typedef struct
{
  guint64 offset; /* of the slot, from the beginning of the memory */
  guint64 capacity;
} Entry;

/* The beginning of the memory. */
typedef struct
{
  MpMicroLock lock; /* of all writers */
  guint32 padding;
  guint64 length;
  Entry entries[];
} Shared;

struct _MpShareableList
{
  GObject parent_instance;

  MpSharedMemory *memory;
  Shared *shared;
  gsize size;
  guint64 length;
};

enum
{
  PROP_0,
  PROP_LENGTH,
  PROP_MEMORY,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

static void mp_shareable_list_shareable_iface_init (MpShareableInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (MpShareableList,
                               mp_shareable_list,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (MP_TYPE_SHAREABLE,
                                                      mp_shareable_list_shareable_iface_init))

#define MP_IS_READY_SHAREABLE_LIST(self) (MP_IS_SHAREABLE_LIST (self) && (self)->shared != NULL)

static void
mp_shareable_list_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpShareableList *self = MP_SHAREABLE_LIST (object);

  switch (prop_id)
    {
    case PROP_LENGTH:
      g_value_set_int64 (value, mp_shareable_list_get_length (self));
      break;
    case PROP_MEMORY:
      g_value_set_object (value, self->memory);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_shareable_list_finalize (GObject *object)
{
  MpShareableList *self = MP_SHAREABLE_LIST (object);

  g_clear_object (&self->memory);
  G_OBJECT_CLASS (mp_shareable_list_parent_class)->finalize (object);
}

static void
mp_shareable_list_class_init (MpShareableListClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = mp_shareable_list_get_property;
  object_class->finalize = mp_shareable_list_finalize;

  /**
   * MpShareableList:length: (getter get_length)
   *
   * How many items it has.
   *
   * Since: 0.1
   */
  properties[PROP_LENGTH] = g_param_spec_int64 ("length",
                                                NULL,
                                                NULL,
                                                0,
                                                G_MAXINT64,
                                                0,
                                                G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * MpShareableList:memory: (getter get_memory)
   *
   * The memory in which it lies, and which has its name.
   *
   * Since: 0.1
   */
  properties[PROP_MEMORY] = g_param_spec_object ("memory",
                                                 NULL,
                                                 NULL,
                                                 MP_TYPE_SHARED_MEMORY,
                                                 G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_shareable_list_init (MpShareableList *self)
{
}

/* Making it */

static void
fill (guint8 *data, gsize size, gpointer user_data)
{
  const GArray *items = user_data;
  Shared *shared = (Shared *) (gpointer) data;
  guint64 offset = sizeof *shared + items->len * sizeof (Entry);

  shared->length = items->len;
  for (guint i = 0; i < items->len; i++)
    {
      const MpListItem *item = &g_array_index (items, MpListItem, i);
      guint64 capacity = mp_list_item_get_capacity (item);
      MpListSlot *slot = (MpListSlot *) (gpointer) (data + offset);

      shared->entries[i] = (Entry){ .offset = offset, .capacity = capacity };
      mp_list_slot_write (slot, capacity, item);
      offset += mp_list_slot_get_size (capacity);
    }
}

static GArray *
parse_items (GVariant *values, gsize *size, GError **error)
{
  gsize n = g_variant_n_children (values);
  g_autoptr (GArray) items = NULL;

  if (n > G_MAXUINT / sizeof (MpListItem))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "%" G_GSIZE_FORMAT " items are more than a list can have",
                   n);
      return NULL;
    }
  items = g_array_sized_new (FALSE, TRUE, sizeof (MpListItem), (guint) n);
  g_array_set_clear_func (items, (GDestroyNotify) mp_list_item_clear);
  *size = sizeof (Shared) + n * sizeof (Entry);
  g_array_set_size (items, (guint) n);
  for (gsize i = 0; i < n; i++)
    {
      MpListItem *item = &g_array_index (items, MpListItem, i);
      g_autoptr (GVariant) value = g_variant_get_child_value (values, i);

      if (!mp_list_item_init (item, value, error))
        {
          g_prefix_error (error, "Item %" G_GSIZE_FORMAT ": ", i);
          return NULL;
        }
      *size += mp_list_slot_get_size (mp_list_item_get_capacity (item));
    }
  return g_steal_pointer (&items);
}

/* @memory: consumed. It may come from anybody. */
static MpShareableList *
new_from_memory (MpSharedMemory *memory, GError **error)
{
  g_autoptr (MpSharedMemory) owned = memory;
  guint32 version, kind = mp_shared_memory_get_kind (memory, &version);
  gsize size = mp_shared_memory_get_size (memory);
  Shared *shared = (Shared *) mp_shared_memory_get_address (memory);
  MpShareableList *self;
  guint64 length;

  if (!mp_micro_lock_check (error))
    return NULL;
  if (kind != KIND || version != VERSION)
    {
      g_set_error (error,
                   MP_ERROR,
                   kind != KIND ? MP_ERROR_TYPE : MP_ERROR_NOT_SUPPORTED,
                   kind != KIND ? "This memory holds no list"
                                : "A list of layout version %u, this library knows version %u",
                   version,
                   VERSION);
      return NULL;
    }
  if (mp_shared_memory_get_read_only (memory))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "A list cannot be used through a read-only view");
      return NULL;
    }
  length = size >= sizeof *shared ? *(volatile guint64 *) &shared->length : G_MAXUINT64;
  if (size < sizeof *shared || length > (size - sizeof *shared) / sizeof (Entry))
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "The header of a list is corrupt");
      return NULL;
    }
  self = g_object_new (MP_TYPE_SHAREABLE_LIST, NULL);
  self->memory = g_steal_pointer (&owned);
  self->shared = shared;
  self->size = size;
  self->length = length;
  return self;
}

static MpShareableList *
create (const char *name, GVariant *values, GError **error)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (values);
  g_autoptr (GArray) items = NULL;
  MpSharedMemory *memory;
  gsize size;

  if (!g_variant_is_of_type (owned, G_VARIANT_TYPE_ARRAY))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "A list is made from an array, not from a value of type %s",
                   g_variant_get_type_string (owned));
      return NULL;
    }
  items = parse_items (owned, &size, error);
  if (items == NULL)
    return NULL;
  memory = mp_shared_memory_new_for (name, size, KIND, VERSION, fill, items, error);
  return memory != NULL ? new_from_memory (memory, error) : NULL;
}

/**
 * mp_shareable_list_new:
 * @items: the items, of type `av` or an array of a type that items can have; if it is
 *   floating, it is consumed
 * @error: return location for an error
 *
 * Makes a list without a name.
 *
 * Returns: (transfer full) (nullable): the list, or `NULL` with @error set:
 *   [error@Mp.Error.TYPE] if one of @items cannot be in a list,
 *   [error@Mp.Error.INVALID_ARGUMENT] if a number is too big,
 *   [error@Mp.Error.LIMIT] if there is no memory or no file descriptor left
 *
 * Since: 0.1
 */
MpShareableList *
mp_shareable_list_new (GVariant *items, GError **error)
{
  g_return_val_if_fail (items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return create (NULL, items, error);
}

/**
 * mp_shareable_list_new_named:
 * @name: a name, as for [ctor@Mp.SharedMemory.new_named]
 * @items: the items, as for [ctor@Mp.ShareableList.new]
 * @error: return location for an error
 *
 * Makes a list that other processes of this user can open by @name. Nobody sees
 * it before it is filled.
 *
 * Returns: (transfer full) (nullable): the list, or `NULL` with @error set as by
 *   [ctor@Mp.SharedMemory.new_named] and [ctor@Mp.ShareableList.new]
 *
 * Since: 0.1
 */
MpShareableList *
mp_shareable_list_new_named (const char *name, GVariant *items, GError **error)
{
  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (items != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return create (name, items, error);
}

/**
 * mp_shareable_list_open:
 * @name: a name
 * @error: return location for an error
 *
 * Opens the list of that name.
 *
 * Returns: (transfer full) (nullable): the list, or `NULL` with @error set:
 *   [error@Mp.Error.TYPE] if @name is the name of other memory; otherwise as by
 *   [ctor@Mp.SharedMemory.open]
 *
 * Since: 0.1
 */
MpShareableList *
mp_shareable_list_open (const char *name, GError **error)
{
  MpSharedMemory *memory;

  g_return_val_if_fail (name != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  memory = mp_shared_memory_open (name, error);
  return memory != NULL ? new_from_memory (memory, error) : NULL;
}

/* Handles */

static GVariant *
mp_shareable_list_to_handle (MpShareable *shareable, GUnixFDList *fd_list, GError **error)
{
  MpShareableList *self = MP_SHAREABLE_LIST (shareable);

  g_return_val_if_fail (MP_IS_READY_SHAREABLE_LIST (self), NULL);
  return mp_shared_memory_to_handle_of_kind (self->memory, KIND_NAME, fd_list, error);
}

static void
mp_shareable_list_shareable_iface_init (MpShareableInterface *iface)
{
  iface->to_handle = mp_shareable_list_to_handle;
}

static MpShareable *
import (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  MpSharedMemory *memory = mp_shared_memory_import (handle, fd_list, error);

  return memory != NULL ? (MpShareable *) new_from_memory (memory, error) : NULL;
}

__attribute__ ((constructor)) static void
register_kind (void)
{
  mp_shareable_register_kind (KIND_NAME, import);
}

/* Items */

typedef struct
{
  MpListSlot *slot;
  guint64 capacity;
} Place;

static gboolean
set_corrupt (guint64 index, GError **error)
{
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_CORRUPT,
               "Item %" G_GUINT64_FORMAT " of a list is corrupt",
               index);
  return FALSE;
}

/* Reads what others may change, once. */
static gboolean
find_place (MpShareableList *self, guint64 index, Place *place, GError **error)
{
  volatile Entry *entry = &self->shared->entries[index];
  guint64 offset = entry->offset;
  guint64 capacity = entry->capacity;

  if (offset % 8 != 0 || capacity % 8 != 0 || offset > self->size || capacity > self->size / 2 ||
      mp_list_slot_get_size (capacity) > self->size - offset)
    return set_corrupt (index, error);
  place->slot = (MpListSlot *) (gpointer) ((guint8 *) self->shared + offset);
  place->capacity = capacity;
  return TRUE;
}

static gboolean
find_index (MpShareableList *self, gint64 index, guint64 *found, GError **error)
{
  gint64 length = (gint64) self->length;

  if (index >= -length && index < length)
    {
      *found = (guint64) (index < 0 ? index + length : index);
      return TRUE;
    }
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "The index %" G_GINT64_FORMAT " is out of a list of length %" G_GINT64_FORMAT,
               index,
               length);
  return FALSE;
}

static gboolean
lock (MpShareableList *self, GError **error)
{
  gint64 deadline = mp_deadline_new (LOCK_US);

  for (;;)
    {
      switch (mp_micro_lock_acquire (&self->shared->lock, deadline))
        {
        case MP_MICRO_LOCK_ACQUIRED:
        /* It changed nothing that counts. */
        case MP_MICRO_LOCK_OWNER_DIED:
          return TRUE;
        case MP_MICRO_LOCK_INTERRUPTED:
          break;
        case MP_MICRO_LOCK_TIMED_OUT:
        default:
          g_set_error_literal (error,
                               MP_ERROR,
                               MP_ERROR_BUSY,
                               "A list is being changed by a process that does not go on");
          return FALSE;
        }
    }
}

static gboolean
copy_item (MpShareableList *self, guint64 index, MpListCopy *copy, GError **error)
{
  MpListCopyStatus status = MP_LIST_COPY_CHANGED;
  Place place;

  if (!find_place (self, index, &place, error))
    return FALSE;
  for (int i = 0; i < TRIES && status == MP_LIST_COPY_CHANGED; i++)
    status = mp_list_slot_copy (place.slot, place.capacity, copy);
  if (status == MP_LIST_COPY_CHANGED)
    {
      if (!lock (self, error))
        return FALSE;
      status = mp_list_slot_copy (place.slot, place.capacity, copy);
      mp_micro_lock_release (&self->shared->lock);
    }
  if (status == MP_LIST_COPY_NO_MEMORY)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "There is no memory for a copy of item %" G_GUINT64_FORMAT
                   " of a list, of %" G_GUINT64_FORMAT " bytes",
                   index,
                   copy->length);
      return FALSE;
    }
  return status == MP_LIST_COPY_DONE || set_corrupt (index, error);
}

/**
 * mp_shareable_list_get_item:
 * @self: a list
 * @index: which item; negative from the end: -1 is the last one
 * @error: return location for an error
 *
 * Reads an item.
 *
 * Returns: (transfer full) (nullable): the item, or `NULL` with @error set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item,
 *   [error@Mp.Error.LIMIT] if there is no memory for a copy,
 *   [error@Mp.Error.CORRUPT], or [error@Mp.Error.BUSY], which only a peer that does
 *   not use this library can bring about
 *
 * Since: 0.1
 */
GVariant *
mp_shareable_list_get_item (MpShareableList *self, gint64 index, GError **error)
{
  g_auto (MpListCopy) copy = { 0 };
  GVariant *value;
  guint64 found;

  g_return_val_if_fail (MP_IS_READY_SHAREABLE_LIST (self), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!find_index (self, index, &found, error) || !copy_item (self, found, &copy, error))
    return NULL;
  value = mp_list_item_to_variant (copy.type, copy.data, copy.length);
  if (value != NULL)
    return g_variant_ref_sink (value);
  set_corrupt (found, error);
  return NULL;
}

/**
 * mp_shareable_list_set_item:
 * @self: a list
 * @index: which item; negative from the end: -1 is the last one
 * @value: what it is to be; if it is floating, it is consumed
 * @error: return location for an error
 *
 * Replaces an item.
 *
 * Returns: whether it was replaced; if not, nothing happened, and @error is set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item or @value is a number
 *   that is too big, [error@Mp.Error.TYPE] if @value cannot be in a list,
 *   [error@Mp.Error.LIMIT] if it is longer than the room of the item,
 *   [error@Mp.Error.BUSY] if another process was stopped in the middle of
 *   writing, [error@Mp.Error.CORRUPT]
 *
 * Since: 0.1
 */
gboolean
mp_shareable_list_set_item (MpShareableList *self, gint64 index, GVariant *value, GError **error)
{
  g_autoptr (GVariant) owned = NULL;
  g_auto (MpListItem) item = MP_LIST_ITEM_INIT;
  guint64 found;
  Place place;

  g_return_val_if_fail (MP_IS_READY_SHAREABLE_LIST (self), FALSE);
  g_return_val_if_fail (value != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  owned = g_variant_ref_sink (value);
  if (!mp_list_item_init (&item, owned, error) || !find_index (self, index, &found, error) ||
      !find_place (self, found, &place, error))
    return FALSE;
  if (item.length > place.capacity)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "A value of %" G_GUINT64_FORMAT " bytes does not fit in item %" G_GUINT64_FORMAT
                   ", which has room for %" G_GUINT64_FORMAT,
                   item.length,
                   found,
                   place.capacity);
      return FALSE;
    }
  if (!lock (self, error))
    return FALSE;
  mp_list_slot_write (place.slot, place.capacity, &item);
  mp_micro_lock_release (&self->shared->lock);
  return TRUE;
}

/**
 * mp_shareable_list_get_room:
 * @self: a list
 * @index: which item; negative from the end: -1 is the last one
 * @error: return location for an error
 *
 * How long a text or bytes can be that replace an item. It never changes.
 *
 * Returns: the room in bytes, or -1 with @error set:
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such item, [error@Mp.Error.CORRUPT]
 *
 * Since: 0.1
 */
gint64
mp_shareable_list_get_room (MpShareableList *self, gint64 index, GError **error)
{
  guint64 found;
  Place place;

  g_return_val_if_fail (MP_IS_READY_SHAREABLE_LIST (self), -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  if (!find_index (self, index, &found, error) || !find_place (self, found, &place, error))
    return -1;
  return (gint64) place.capacity;
}

/* The first item from @start on that is @value, or the length; -1 with @error set. */
static gint64
search (MpShareableList *self,
        const MpListItem *item,
        guint64 start,
        MpListCopy *copy,
        GError **error)
{
  for (guint64 i = start; i < self->length; i++)
    {
      if (!copy_item (self, i, copy, error))
        return -1;
      if (mp_list_item_is (item, copy->type, copy->data, copy->length))
        return (gint64) i;
    }
  return (gint64) self->length;
}

/**
 * mp_shareable_list_count:
 * @self: a list
 * @value: what is looked for; if it is floating, it is consumed
 * @error: return location for an error
 *
 * Counts the items that are equal to @value, of the same type and value. What others
 * write meanwhile may be counted or not.
 *
 * Returns: how many there are, or -1 with @error set as by
 *   [method@Mp.ShareableList.get_item] and, for @value, by
 *   [method@Mp.ShareableList.set_item]
 *
 * Since: 0.1
 */
gint64
mp_shareable_list_count (MpShareableList *self, GVariant *value, GError **error)
{
  g_autoptr (GVariant) owned = NULL;
  g_auto (MpListItem) item = MP_LIST_ITEM_INIT;
  g_auto (MpListCopy) copy = { 0 };
  gint64 at, n = 0;

  g_return_val_if_fail (MP_IS_READY_SHAREABLE_LIST (self), -1);
  g_return_val_if_fail (value != NULL, -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  owned = g_variant_ref_sink (value);
  if (!mp_list_item_init (&item, owned, error))
    return -1;
  for (at = search (self, &item, 0, &copy, error); at >= 0 && at < (gint64) self->length;
       at = search (self, &item, (guint64) at + 1, &copy, error))
    n++;
  return at < 0 ? -1 : n;
}

/**
 * mp_shareable_list_index:
 * @self: a list
 * @value: what is looked for; if it is floating, it is consumed
 * @error: return location for an error
 *
 * Finds the first item that is equal to @value, of the same type and value.
 *
 * Returns: where it is, or -1 with @error set: [error@Mp.Error.NOT_FOUND] if it is not
 *   there; otherwise as by [method@Mp.ShareableList.count]
 *
 * Since: 0.1
 */
gint64
mp_shareable_list_index (MpShareableList *self, GVariant *value, GError **error)
{
  g_autoptr (GVariant) owned = NULL;
  g_auto (MpListItem) item = MP_LIST_ITEM_INIT;
  g_auto (MpListCopy) copy = { 0 };
  gint64 at;

  g_return_val_if_fail (MP_IS_READY_SHAREABLE_LIST (self), -1);
  g_return_val_if_fail (value != NULL, -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  owned = g_variant_ref_sink (value);
  if (!mp_list_item_init (&item, owned, error))
    return -1;
  at = search (self, &item, 0, &copy, error);
  if (at < (gint64) self->length)
    return at;
  g_set_error_literal (error, MP_ERROR, MP_ERROR_NOT_FOUND, "The value is not in the list");
  return -1;
}

/**
 * mp_shareable_list_get_length: (get-property length)
 * @self: a list
 *
 * Gets the value of [property@Mp.ShareableList:length].
 *
 * Returns: the number of items
 *
 * Since: 0.1
 */
gint64
mp_shareable_list_get_length (MpShareableList *self)
{
  g_return_val_if_fail (MP_IS_SHAREABLE_LIST (self), 0);

  return (gint64) self->length;
}

/**
 * mp_shareable_list_get_memory: (get-property memory)
 * @self: a list
 *
 * Gets the value of [property@Mp.ShareableList:memory], for its name. What is in there is
 * the list's.
 *
 * Returns: (transfer none): the memory
 *
 * Since: 0.1
 */
MpSharedMemory *
mp_shareable_list_get_memory (MpShareableList *self)
{
  g_return_val_if_fail (MP_IS_READY_SHAREABLE_LIST (self), NULL);

  return self->memory;
}
