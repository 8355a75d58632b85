/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What an item of an MpShareableList is, in memory. The numbers are part of the layout. */
typedef enum
{
  MP_LIST_ITEM_NONE = 0,
  MP_LIST_ITEM_BOOLEAN = 1, /* a byte */
  MP_LIST_ITEM_INT64 = 2,
  MP_LIST_ITEM_DOUBLE = 3,
  MP_LIST_ITEM_STRING = 4, /* UTF-8 without an end, in which zeroes may be */
  MP_LIST_ITEM_BYTES = 5
} MpListItemType;

typedef struct
{
  guint32 type;
  guint64 length;
  const guint8 *data; /* of @owner, or @number */
  GVariant *owner;
  union
  {
    guint8 boolean;
    gint64 int64;
    gdouble dbl;
  } number;
} MpListItem;

#define MP_LIST_ITEM_INIT                                                                          \
  {                                                                                                \
    .owner = NULL                                                                                  \
  }

/* Borrows from @value. Stays where it is. MP_ERROR_TYPE, or
 * MP_ERROR_INVALID_ARGUMENT, if @value cannot be an item. */
gboolean mp_list_item_init (MpListItem *self, GVariant *value, GError **error);
void mp_list_item_clear (MpListItem *self);

/* How many bytes a slot has that is made for it. */
guint64 mp_list_item_get_capacity (const MpListItem *self);

/* What was found in shared memory, copied from there. Floating; NULL if it is nonsense. */
GVariant *mp_list_item_to_variant (guint32 type, const guint8 *data, guint64 length);
gboolean mp_list_item_is (const MpListItem *self, guint32 type, const guint8 *data, guint64 length);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpListItem, mp_list_item_clear)

G_END_DECLS
