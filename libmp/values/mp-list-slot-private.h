/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <stdatomic.h>

#include "mp-list-item-private.h"

G_BEGIN_DECLS

/* A place in shared memory for one item, which is replaced at once.
 *
 * It has room for two values, and a number whose last bit says which one counts. A
 * writer, of whom there is one at a time, writes the other one and then adds one to
 * the number; so a killed writer changes nothing, and a reader knows, when the number
 * has not changed, that what it copied meanwhile is whole. */
typedef struct
{
  _Atomic guint64 number;
  guint8 values[]; /* two, each as long as the room that all agreed on */
} MpListSlot;

/* What was copied from a slot; may be used again for another one. */
typedef struct
{
  guint32 type;
  guint64 length;
  guint8 *data;
  guint64 size; /* of @data */
} MpListCopy;

typedef enum
{
  MP_LIST_COPY_DONE,
  MP_LIST_COPY_CHANGED, /* somebody wrote meanwhile */
  MP_LIST_COPY_CORRUPT,
  MP_LIST_COPY_NO_MEMORY
} MpListCopyStatus;

/* @capacity: the room in bytes, a multiple of 8. */
guint64 mp_list_slot_get_size (guint64 capacity);
/* One writer at a time. The item fits. */
void mp_list_slot_write (MpListSlot *self, guint64 capacity, const MpListItem *item);
MpListCopyStatus mp_list_slot_copy (MpListSlot *self, guint64 capacity, MpListCopy *copy);

static inline void
mp_list_copy_clear (MpListCopy *self)
{
  g_free (self->data);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpListCopy, mp_list_copy_clear)

G_END_DECLS
