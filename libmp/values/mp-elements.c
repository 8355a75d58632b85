/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-elements-private.h"

#include <string.h>

#include "../base/mp-copy-private.h"
#include "../base/mp-error.h"
#include "../memory/mp-available-private.h"
#include "../memory/mp-shareable-private.h"

#define VERSION 1
#define LOCK_KIND_NAME "rlock"

/* Every block is at least as big as the biggest number. */
#define MIN_SIZE 8

/* The type is in the kind, so that nobody can be made to take floats for integers. */
static guint32
block_kind (MpValueType type)
{
  return MP_BLOCK_KIND ('v', 'a', 'l', 'A' + (guint) type);
}

/* FALSE if that is more than there can be. */
static gboolean
get_block_size (gsize size, gsize length, gsize *block_size)
{
  gboolean fits = g_size_checked_mul (block_size, length, size) && *block_size <= G_MAXSSIZE;

  *block_size = MAX (*block_size, MIN_SIZE);
  return fits;
}

gboolean
mp_elements_init (MpElements *self, gsize length, GError **error)
{
  gsize size = mp_value_type_get_size (self->type), block_size;
  g_autoptr (MpArena) arena = NULL;

  if (!get_block_size (size, length, &block_size))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "There is no memory for %" G_GSIZE_FORMAT " elements of %" G_GSIZE_FORMAT
                   " bytes",
                   length,
                   size);
      return FALSE;
    }
  arena = mp_arena_ref_default (error);
  if (arena == NULL ||
      !mp_block_new (&self->block, arena, block_kind (self->type), block_size, error))
    return FALSE;
  self->size = size;
  self->length = length;
  return TRUE;
}

void
mp_elements_clear (MpElements *self)
{
  mp_block_clear (&self->block);
  g_clear_object (&self->lock);
}

/* Handles */

GVariant *
mp_elements_to_handle (MpElements *self, const char *name, GUnixFDList *fd_list, GError **error)
{
  g_auto (GVariantBuilder) layout = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);

  g_variant_builder_add (&layout, "{sv}", "Type", g_variant_new_uint32 (self->type));
  g_variant_builder_add (&layout, "{sv}", "Length", g_variant_new_uint64 (self->length));
  if (self->lock != NULL)
    {
      g_autoptr (GVariant) lock =
        mp_shareable_to_handle (MP_SHAREABLE (self->lock), fd_list, error);

      if (lock == NULL)
        return NULL;
      g_variant_builder_add (&layout, "{sv}", "Lock", lock);
    }
  return mp_block_to_handle (&self->block,
                             name,
                             VERSION,
                             g_variant_builder_end (&layout),
                             fd_list,
                             error);
}

static gboolean
refuse_handle (const char *name, GError **error)
{
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_CORRUPT,
               "The layout in the handle of a %s is corrupt",
               name);
  return FALSE;
}

/* Nothing else is made of a handle that stands for the lock. */
static gboolean
import_lock (MpElements *self,
             const char *name,
             GVariant *handle,
             GUnixFDList *fd_list,
             GError **error)
{
  g_autoptr (MpShareable) lock = NULL;
  const char *kind;

  if (!g_variant_is_of_type (handle, G_VARIANT_TYPE (MP_HANDLE_TYPE)))
    return refuse_handle (name, error);
  g_variant_get_child (handle, 0, "&s", &kind);
  if (!g_str_equal (kind, LOCK_KIND_NAME))
    return refuse_handle (name, error);
  lock = mp_shareable_new_from_handle (handle, fd_list, error);
  if (lock == NULL)
    return FALSE;
  self->lock = MP_RLOCK (g_steal_pointer (&lock));
  return TRUE;
}

gboolean
mp_elements_from_handle (MpElements *self,
                         const char *name,
                         GVariant *handle,
                         GUnixFDList *fd_list,
                         GError **error)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) lock = g_variant_lookup_value (layout, "Lock", NULL);
  gsize block_size;
  guint64 length;
  guint32 type;

  if (!g_variant_lookup (layout, "Type", "u", &type) || type > MP_VALUE_TYPE_WCHAR ||
      !g_variant_lookup (layout, "Length", "t", &length) || length > G_MAXSIZE)
    return refuse_handle (name, error);
  self->type = (MpValueType) type;
  self->size = mp_value_type_get_size (self->type);
  self->length = (gsize) length;
  if (!get_block_size (self->size, self->length, &block_size))
    return refuse_handle (name, error);
  if (!mp_block_from_handle (&self->block,
                             name,
                             VERSION,
                             block_kind (self->type),
                             block_size,
                             handle,
                             fd_list,
                             error))
    return FALSE;
  if (self->block.size != block_size || (gsize) self->block.memory % self->size != 0)
    return refuse_handle (name, error);
  return lock == NULL || import_lock (self, name, lock, fd_list, error);
}

/* Many at once */

gboolean
mp_elements_check_range (MpElements *self, gsize start, gsize n, GError **error)
{
  if (G_LIKELY (start <= self->length && n <= self->length - start))
    return TRUE;
  if (n == 1)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_INVALID_ARGUMENT,
                 "Index %" G_GSIZE_FORMAT " is out of range, the length is %" G_GSIZE_FORMAT,
                 start,
                 self->length);
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_INVALID_ARGUMENT,
                 "%" G_GSIZE_FORMAT " elements from index %" G_GSIZE_FORMAT
                 " on are out of range, the length is %" G_GSIZE_FORMAT,
                 n,
                 start,
                 self->length);
  return FALSE;
}

/* Not g_malloc(), which ends the program; and where the system would rather end it
 * than say no, it is not asked. */
static gpointer
try_alloc (gsize n, gsize size, GError **error)
{
  gpointer memory = mp_available_is_enough (n * size) ? g_try_malloc_n (MAX (n, 1), size) : NULL;

  if (memory == NULL)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_LIMIT,
                 "There is no memory for a copy of %" G_GSIZE_FORMAT " elements",
                 n);
  return memory;
}

/* The size of one in an array of variants. */
static gsize
get_variant_size (char code)
{
  switch (code)
    {
    case 'b':
    case 'y':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

/* Whether any bytes mean the same here and in an array of variants. */
static gboolean
is_copied (MpValueType type, char code)
{
  return type != MP_VALUE_TYPE_BOOLEAN && type != MP_VALUE_TYPE_INT8 &&
         type != MP_VALUE_TYPE_FLOAT &&
         code == *g_variant_type_peek_string (mp_value_type_to_variant_type (type));
}

/* Those that are something else as variants. */
static void
convert (MpValueType type, gconstpointer source, gsize n, gpointer target)
{
  const guint8 *bytes = source;
  const float *floats = source;

  for (gsize i = 0; i < n; i++)
    {
      if (type == MP_VALUE_TYPE_BOOLEAN)
        ((guint8 *) target)[i] = bytes[i] != 0;
      else if (type == MP_VALUE_TYPE_INT8)
        ((gint16 *) target)[i] = (gint8) bytes[i];
      else
        ((double *) target)[i] = (double) floats[i];
    }
}

GVariant *
mp_elements_read (MpElements *self, gsize start, gsize n, GError **error)
{
  const GVariantType *element_type = mp_value_type_to_variant_type (self->type);
  char code = *g_variant_type_peek_string (element_type);
  g_autoptr (GVariantType) type = g_variant_type_new_array (element_type);
  gsize size = get_variant_size (code);
  gpointer data;

  if (!mp_elements_check_range (self, start, n, error))
    return NULL;
  data = try_alloc (n, size, error);
  if (data == NULL)
    return NULL;
  if (is_copied (self->type, code))
    memcpy (data, mp_elements_peek (self, start), n * size);
  else
    convert (self->type, mp_elements_peek (self, start), n, data);
  return g_variant_ref_sink (g_variant_new_from_data (type, data, n * size, TRUE, g_free, data));
}

GBytes *
mp_elements_read_bytes (MpElements *self, gsize start, gsize n, GError **error)
{
  gpointer data;

  if (!mp_elements_check_range (self, start, n, error))
    return NULL;
  data = try_alloc (n, self->size, error);
  if (data == NULL)
    return NULL;
  memcpy (data, mp_elements_peek (self, start), n * self->size);
  return g_bytes_new_take (data, n * self->size);
}

/* All that @values has, checked, as it is to be in memory; NULL with @error set. */
static gpointer
convert_variants (MpElements *self, char code, const guint8 *values, gsize n, GError **error)
{
  gsize variant_size = get_variant_size (code);
  g_autofree guint8 *data = try_alloc (n, self->size, error);

  for (gsize i = 0; data != NULL && i < n; i++)
    {
      guint64 bits;
      guint8 *to = data + i * self->size;

      if (!mp_element_bits_from_memory (self->type, code, values + i * variant_size, &bits, error))
        {
          g_prefix_error (error, "Element %" G_GSIZE_FORMAT ": ", i);
          return NULL;
        }
      switch (self->size)
        {
        case 1:
          *to = (guint8) bits;
          break;
        case 2:
          *(guint16 *) (gpointer) to = (guint16) bits;
          break;
        case 4:
          *(guint32 *) (gpointer) to = (guint32) bits;
          break;
        default:
          *(guint64 *) (gpointer) to = bits;
        }
    }
  return g_steal_pointer (&data);
}

gboolean
mp_elements_write (MpElements *self, gsize start, GVariant *values, GError **error)
{
  const char *type = g_variant_get_type_string (values);
  char code = type[0] == 'a' && type[1] != '\0' && type[2] == '\0' ? type[1] : '\0';
  gsize size = get_variant_size (code), n = 0;
  g_autofree gpointer converted = NULL;
  gconstpointer data;

  if (size == 0)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "A variant of type %s is no array of numbers",
                   type);
      return FALSE;
    }
  data = g_variant_get_fixed_array (values, &n, size);
  if (!mp_elements_check_range (self, start, n, error))
    return FALSE;
  if (!is_copied (self->type, code))
    {
      converted = convert_variants (self, code, data, n, error);
      if (converted == NULL)
        return FALSE;
      data = converted;
    }
  mp_copy (mp_elements_peek (self, start), data, n * self->size);
  return TRUE;
}

gboolean
mp_elements_write_bytes (MpElements *self, gsize start, GBytes *bytes, GError **error)
{
  gsize length;
  gconstpointer data = g_bytes_get_data (bytes, &length);

  if (length % self->size != 0)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "%" G_GSIZE_FORMAT " bytes are no whole number of elements of %" G_GSIZE_FORMAT
                   " bytes",
                   length,
                   self->size);
      return FALSE;
    }
  if (!mp_elements_check_range (self, start, length / self->size, error))
    return FALSE;
  mp_copy (mp_elements_peek (self, start), data, length);
  return TRUE;
}
