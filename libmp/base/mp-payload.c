/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-payload-private.h"

#include <string.h>

#include "mp-error.h"

GBytes *
mp_payload_from_variant (GVariant *value)
{
  g_autoptr (GVariant) boxed = g_variant_ref_sink (g_variant_new_variant (value));

  return g_variant_get_data_as_bytes (boxed);
}

static GVariant *
variant_from_gvariant (const guint8 *data, gsize length, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, length);
  g_autoptr (GVariant) boxed = NULL;

  boxed = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARIANT, bytes, FALSE));
  if (!g_variant_is_normal_form (boxed))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_CORRUPT,
                   "A payload of %" G_GSIZE_FORMAT " bytes is not a serialised variant",
                   length);
      return NULL;
    }
  return g_variant_get_variant (boxed);
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
  text = g_strndup ((const char *) data, length);
  return g_variant_ref_sink (g_variant_new_take_string (g_steal_pointer (&text)));
}

GVariant *
mp_payload_to_variant (const guint8 *data, gsize length, MpCodec codec, GError **error)
{
  switch (codec)
    {
    case MP_CODEC_GVARIANT:
      return variant_from_gvariant (data, length, error);
    case MP_CODEC_RAW:
      return g_variant_ref_sink (
        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, length, sizeof (guint8)));
    case MP_CODEC_JSON:
      return variant_from_json (data, length, error);
    case MP_CODEC_PICKLE:
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
