/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-payload-private.h"

#include <string.h>

#include "mp-error.h"

#define MAX_CHECKED 4096
#define MANY_ELEMENTS 64

gsize
mp_payload_measure (GVariant *value)
{
  return g_variant_get_size (value) + 1 + strlen (g_variant_get_type_string (value));
}

/* The format that GVariant has for a box: the value, a NUL, its type. */
void
mp_payload_store (GVariant *value, guint8 *payload)
{
  const char *type = g_variant_get_type_string (value);
  gsize size = g_variant_get_size (value);

  g_variant_store (value, payload);
  payload[size] = '\0';
  memcpy (payload + size + 1, type, strlen (type));
}

GBytes *
mp_payload_from_variant (GVariant *value)
{
  g_autoptr (GVariant) own = g_variant_ref_sink (value);
  gsize size = mp_payload_measure (own);
  guint8 *payload = g_malloc (size);

  mp_payload_store (own, payload);
  return g_bytes_new_take (payload, size);
}

/* The size of the elements of an array of numbers, whose every content is good; else 0. */
static gsize
get_number_size (const char *type)
{
  if (type[0] != 'a' || type[1] == '\0' || type[2] != '\0')
    return 0;
  switch (type[1])
    {
    case 'y':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

static GVariant *
new_trusted (GVariant *value)
{
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (value);

  return g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, TRUE));
}

/* GLib checks element by element, even bytes: some ten nanoseconds for each. So
 * an array of numbers is checked here, and what is big but has few elements is left to
 * GVariant, which checks again whatever it reads, and reads a default value where it is
 * broken. In an array of many elements that would take it the square of the time.
 * What was checked is given out as such, so that it is compared and read fast. */
static GVariant *
take_sound_value (GVariant *boxed)
{
  g_autoptr (GVariant) value = g_variant_get_variant (boxed);
  const char *type = g_variant_get_type_string (value);
  gsize number_size = get_number_size (type);

  if (number_size != 0)
    {
      g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (value);

      return g_bytes_get_size (bytes) % number_size == 0 ? new_trusted (value) : NULL;
    }
  if (g_variant_get_size (boxed) <= MAX_CHECKED ||
      (g_variant_is_container (value) && g_variant_n_children (value) > MANY_ELEMENTS))
    return g_variant_is_normal_form (boxed) ? new_trusted (value) : NULL;
  /* What a box without a usable type gives. */
  return g_str_equal (type, "()") ? NULL : g_steal_pointer (&value);
}

static GVariant *
variant_from_gvariant (GBytes *bytes, GError **error)
{
  g_autoptr (GVariant) boxed =
    g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARIANT, bytes, FALSE));
  GVariant *value = take_sound_value (boxed);

  if (value == NULL)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_CORRUPT,
                 "A payload of %" G_GSIZE_FORMAT " bytes is not a serialised variant",
                 g_bytes_get_size (bytes));
  return value;
}

static GVariant *
variant_from_json (const guint8 *data, gsize length, GError **error)
{
  g_autofree char *text = NULL;

  /* With a length given, this also refuses NUL bytes, which an s cannot hold. */
  if (length > G_MAXSSIZE || !g_utf8_validate_len ((const char *) data, length, NULL))
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "A JSON payload is not valid UTF-8");
      return NULL;
    }
  /* Of no bytes at all it would make NULL. */
  text = length > 0 ? g_strndup ((const char *) data, length) : g_strdup ("");
  return g_variant_ref_sink (g_variant_new_take_string (g_steal_pointer (&text)));
}

/* The most frequent kinds, which need no GVariant to be checked: a number, a text,
 * numbers in a row. FALSE may mean that it is something else. */
static gboolean
is_normal_and_simple (const guint8 *data, gsize length)
{
  const char type[] = { 'a', length > 0 ? (char) data[length - 1] : '\0', '\0' };
  gsize number_size = get_number_size (type);

  if (length >= 2 && data[length - 2] == '\0')
    {
      gsize size = length - 2;

      if (number_size != 0)
        return size == number_size;
      /* Fails at a NUL, too. */
      return type[1] == 's' && size > 0 && data[size - 1] == '\0' &&
             g_utf8_validate_len ((const char *) data, size - 1, NULL);
    }
  return length >= 3 && data[length - 3] == '\0' && data[length - 2] == 'a' && number_size != 0 &&
         (length - 3) % number_size == 0;
}

gboolean
mp_payload_is_normal (const guint8 *data, gsize length)
{
  g_autoptr (GVariant) boxed = NULL;

  if (is_normal_and_simple (data, length))
    return TRUE;
  boxed = g_variant_ref_sink (
    g_variant_new_from_data (G_VARIANT_TYPE_VARIANT, data, length, FALSE, NULL, NULL));
  return g_variant_is_normal_form (boxed);
}

/* Of what is normal and simple: the value without its box. */
static GVariant *
new_simple (const guint8 *data, gsize length)
{
  gsize n_type = data[length - 2] == '\0' ? 1 : 2;
  const char type[] = { (char) data[length - n_type],
                        n_type == 2 ? (char) data[length - 1] : '\0',
                        '\0' };
  g_autoptr (GBytes) bytes = g_bytes_new (data, length - n_type - 1);

  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, TRUE));
}

GVariant *
mp_payload_to_variant (const guint8 *data, gsize length, MpCodec codec, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;

  if (codec == MP_CODEC_GVARIANT && is_normal_and_simple (data, length))
    return new_simple (data, length);
  bytes = g_bytes_new (data, length);
  return mp_payload_bytes_to_variant (bytes, codec, error);
}

GVariant *
mp_payload_bytes_to_variant (GBytes *bytes, MpCodec codec, GError **error)
{
  switch (codec)
    {
    case MP_CODEC_GVARIANT:
      return variant_from_gvariant (bytes, error);
    case MP_CODEC_RAW:
      return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
    case MP_CODEC_JSON:
      return variant_from_json (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
    case MP_CODEC_PICKLE:
    case MP_CODEC_PICKLE_BUFFERS:
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "A payload is a Python pickle, which only Python can read");
      return NULL;
    default:
      g_set_error (error, MP_ERROR, MP_ERROR_CORRUPT, "A payload has the unknown codec %d", codec);
      return NULL;
    }
}

/* Numbers in a row, whatever they are; NULL if it is something else. */
static GVariant *
numbers_from_gvariant (GBytes *bytes)
{
  gsize length, size;
  const guint8 *data = g_bytes_get_data (bytes, &length);
  g_autoptr (GBytes) numbers = NULL;
  char type[] = "a?";

  if (length < 3 || data[length - 3] != '\0' || data[length - 2] != 'a')
    return NULL;
  type[1] = (char) data[length - 1];
  size = get_number_size (type);
  if (size == 0 || (length - 3) % size != 0)
    return NULL;
  numbers = g_bytes_new_from_bytes (bytes, 0, length - 3);
  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), numbers, TRUE));
}

GVariant *
mp_payload_shared_to_variant (GBytes *bytes, MpCodec codec, GError **error)
{
  GVariant *numbers = codec == MP_CODEC_GVARIANT ? numbers_from_gvariant (bytes) : NULL;
  gsize length;
  const guint8 *data = g_bytes_get_data (bytes, &length);

  if (numbers != NULL)
    return numbers;
  return codec == MP_CODEC_GVARIANT || codec == MP_CODEC_JSON
           ? mp_payload_to_variant (data, length, codec, error)
           : mp_payload_bytes_to_variant (bytes, codec, error);
}
