/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-list-item-private.h"

#include <string.h>

#include "../base/mp-error-private.h"

#define MIN_CAPACITY 8

/* Zeroes are allowed, for which GLib has no function. */
static gboolean
is_text (const guint8 *data, gsize length)
{
  const char *at = (const char *) data, *end = at + length;

  while (at < end && !g_utf8_validate (at, end - at, &at))
    {
      if (*at != '\0')
        return FALSE;
      at++;
    }
  return TRUE;
}

static gboolean
take_integer (MpListItem *self, GVariant *value)
{
  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BYTE:
      self->number.int64 = g_variant_get_byte (value);
      return TRUE;
    case G_VARIANT_CLASS_INT16:
      self->number.int64 = g_variant_get_int16 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT16:
      self->number.int64 = g_variant_get_uint16 (value);
      return TRUE;
    case G_VARIANT_CLASS_INT32:
      self->number.int64 = g_variant_get_int32 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT32:
      self->number.int64 = g_variant_get_uint32 (value);
      return TRUE;
    case G_VARIANT_CLASS_INT64:
      self->number.int64 = g_variant_get_int64 (value);
      return TRUE;
    case G_VARIANT_CLASS_UINT64:
      self->number.int64 = (gint64) g_variant_get_uint64 (value);
      return self->number.int64 >= 0;
    case G_VARIANT_CLASS_BOOLEAN:
    case G_VARIANT_CLASS_HANDLE:
    case G_VARIANT_CLASS_DOUBLE:
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
    case G_VARIANT_CLASS_VARIANT:
    case G_VARIANT_CLASS_MAYBE:
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY:
    default:
      return FALSE;
    }
}

static gboolean
take_bytes (MpListItem *self, guint32 type, GVariant *bytes)
{
  gsize length;

  self->type = type;
  self->data = g_variant_get_fixed_array (bytes, &length, 1);
  self->length = length;
  return type == MP_LIST_ITEM_BYTES || is_text (self->data, length);
}

static gboolean
take_number (MpListItem *self, guint32 type, guint64 length)
{
  self->type = type;
  self->data = (const guint8 *) &self->number;
  self->length = length;
  return TRUE;
}

/* FALSE if it is none of those. */
static gboolean
take (MpListItem *self, GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BOOLEAN))
    {
      self->number.boolean = g_variant_get_boolean (value);
      return take_number (self, MP_LIST_ITEM_BOOLEAN, sizeof self->number.boolean);
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    {
      self->number.dbl = g_variant_get_double (value);
      return take_number (self, MP_LIST_ITEM_DOUBLE, sizeof self->number.dbl);
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      gsize length;

      self->type = MP_LIST_ITEM_STRING;
      self->data = (const guint8 *) g_variant_get_string (value, &length);
      self->length = length;
      return TRUE;
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    return take_bytes (self, MP_LIST_ITEM_BYTES, value);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE ("(ay)")))
    {
      /* The data of the array are those of the tuple, which is kept. */
      g_autoptr (GVariant) bytes = g_variant_get_child_value (value, 0);

      self->owner = g_variant_ref (bytes);
      return take_bytes (self, MP_LIST_ITEM_STRING, bytes);
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_UNIT) ||
      (g_variant_is_of_type (value, G_VARIANT_TYPE_MAYBE) && g_variant_n_children (value) == 0))
    return TRUE;
  return take_integer (self, value) && take_number (self, MP_LIST_ITEM_INT64, sizeof (gint64));
}

gboolean
mp_list_item_init (MpListItem *self, GVariant *value, GError **error)
{
  g_autoptr (GVariant) inner = g_variant_ref (value);

  *self = (MpListItem) MP_LIST_ITEM_INIT;
  while (g_variant_is_of_type (inner, G_VARIANT_TYPE_VARIANT))
    {
      GVariant *next = g_variant_get_variant (inner);

      g_variant_unref (inner);
      inner = next;
    }
  if (take (self, inner))
    {
      if (self->owner == NULL)
        self->owner = g_steal_pointer (&inner);
      return TRUE;
    }
  mp_list_item_clear (self);
  if (g_variant_is_of_type (inner, G_VARIANT_TYPE_UINT64))
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_INVALID_ARGUMENT,
                 "%" G_GUINT64_FORMAT " is too big for a number of 64 bits with a sign",
                 g_variant_get_uint64 (inner));
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_TYPE,
                 "A value of type %s cannot be in a list of shared memory",
                 g_variant_get_type_string (inner));
  return FALSE;
}

void
mp_list_item_clear (MpListItem *self)
{
  g_clear_pointer (&self->owner, g_variant_unref);
}

guint64
mp_list_item_get_capacity (const MpListItem *self)
{
  guint64 n_characters = self->length;

  if (self->type != MP_LIST_ITEM_STRING && self->type != MP_LIST_ITEM_BYTES)
    return MIN_CAPACITY;
  if (self->type == MP_LIST_ITEM_STRING)
    for (guint64 i = 0; i < self->length; i++)
      n_characters -= (self->data[i] & 0xc0) == 0x80;
  /* One more than there are, rounded up, as the standard ShareableList has it; but the
   * text, whose characters may be of several bytes, has to fit. */
  return MAX (8 * (n_characters / 8 + 1), (self->length + 7) / 8 * 8);
}

static GVariant *
text_to_variant (const guint8 *data, guint64 length)
{
  g_autofree char *text = NULL;

  if (length == 0)
    return g_variant_new_string ("");
  if (!is_text (data, length))
    return NULL;
  if (memchr (data, '\0', length) != NULL)
    {
      GVariant *bytes = g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, length, 1);

      return g_variant_new_tuple (&bytes, 1);
    }
  text = g_strndup ((const char *) data, length);
  return g_variant_new_take_string (g_steal_pointer (&text));
}

GVariant *
mp_list_item_to_variant (guint32 type, const guint8 *data, guint64 length)
{
  gint64 integer;
  gdouble number;

  switch (type)
    {
    case MP_LIST_ITEM_NONE:
      return length == 0 ? g_variant_new_maybe (G_VARIANT_TYPE_VARIANT, NULL) : NULL;
    case MP_LIST_ITEM_BOOLEAN:
      return length == 1 ? g_variant_new_boolean (data[0] != 0) : NULL;
    case MP_LIST_ITEM_INT64:
      if (length != sizeof integer)
        return NULL;
      memcpy (&integer, data, sizeof integer);
      return g_variant_new_int64 (integer);
    case MP_LIST_ITEM_DOUBLE:
      if (length != sizeof number)
        return NULL;
      memcpy (&number, data, sizeof number);
      return g_variant_new_double (number);
    case MP_LIST_ITEM_STRING:
      return text_to_variant (data, length);
    case MP_LIST_ITEM_BYTES:
      return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, length, 1);
    default:
      return NULL;
    }
}

gboolean
mp_list_item_is (const MpListItem *self, guint32 type, const guint8 *data, guint64 length)
{
  gdouble number;

  if (self->type != type || self->length != length)
    return FALSE;
  /* Not by its bytes: there are two zeroes, and what is no number is not equal to itself. */
  if (type == MP_LIST_ITEM_DOUBLE && length == sizeof number)
    {
      memcpy (&number, data, sizeof number);
      return number >= self->number.dbl && number <= self->number.dbl;
    }
  return length == 0 || memcmp (self->data, data, length) == 0;
}
