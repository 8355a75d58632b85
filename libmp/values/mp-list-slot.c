/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-list-slot-private.h"

#include <string.h>

#include "../memory/mp-available-private.h"

typedef struct
{
  guint32 type;
  guint32 padding;
  guint64 length;
  guint8 data[];
} Value;

guint64
mp_list_slot_get_size (guint64 capacity)
{
  return sizeof (MpListSlot) + 2 * (sizeof (Value) + capacity);
}

static Value *
get_value (MpListSlot *self, guint64 capacity, guint64 number)
{
  return (Value *) (gpointer) (self->values + (number & 1) * (sizeof (Value) + capacity));
}

void
mp_list_slot_write (MpListSlot *self, guint64 capacity, const MpListItem *item)
{
  guint64 number = atomic_load_explicit (&self->number, memory_order_relaxed) + 1;
  Value *value = get_value (self, capacity, number);

  /* Whoever sees something of this sees that the value before has ceased to count. */
  atomic_thread_fence (memory_order_release);
  value->type = item->type;
  value->length = item->length;
  if (item->length > 0)
    memcpy (value->data, item->data, item->length);
  atomic_store_explicit (&self->number, number, memory_order_release);
}

/* The length is anybody's, and its memory may take nothing as long as nobody looks. */
static gboolean
make_room (MpListCopy *copy, guint64 length)
{
  guint8 *data;

  if (length <= copy->size)
    return TRUE;
  data = mp_available_is_enough (length) ? g_try_realloc (copy->data, length) : NULL;
  if (data == NULL)
    return FALSE;
  copy->data = data;
  copy->size = length;
  return TRUE;
}

MpListCopyStatus
mp_list_slot_copy (MpListSlot *self, guint64 capacity, MpListCopy *copy)
{
  guint64 number = atomic_load_explicit (&self->number, memory_order_acquire);
  const Value *value = get_value (self, capacity, number);
  /* Once: it may be changed by whomever. */
  guint64 length = *(const volatile guint64 *) &value->length;
  gboolean good = length <= capacity;

  copy->type = *(const volatile guint32 *) &value->type;
  copy->length = length;
  if (good && !make_room (copy, length))
    return MP_LIST_COPY_NO_MEMORY;
  if (good && length > 0)
    memcpy (copy->data, value->data, length);
  atomic_thread_fence (memory_order_acquire);
  if (atomic_load_explicit (&self->number, memory_order_relaxed) != number)
    return MP_LIST_COPY_CHANGED;
  return good ? MP_LIST_COPY_DONE : MP_LIST_COPY_CORRUPT;
}
