/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-value.h"

#include <gio/gunixfdlist.h>
#include <string.h>

/* D-Bus allows 64 levels of containers in all, 32 of arrays and 32 of
 * structures, and libmp's own answers put up to three around a value. */
#define DEPTH_MAX 60
#define ARRAY_DEPTH_MAX 30
#define STRUCT_DEPTH_MAX 30
#define SIGNATURE_LENGTH_MAX 255

typedef struct
{
  guint arrays;
  guint structs;
  guint total;
} Depth;

static gboolean check_children (GVariant *value, Depth depth, GError **error);

static gboolean
refuse_type (GVariant *value, const char *why, GError **error)
{
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_TYPE,
               "a value of the type %.80s cannot travel over D-Bus: %s",
               g_variant_get_type_string (value),
               why);
  return FALSE;
}

/* Only what D-Bus allows in a signature: GVariant has maybes and the empty
 * structure besides, and no limit. */
static gboolean
is_dbus_signature (const char *signature)
{
  return strlen (signature) <= SIGNATURE_LENGTH_MAX && strchr (signature, 'm') == NULL &&
         strstr (signature, "()") == NULL;
}

static gboolean
check_type (GVariant *value, GError **error)
{
  const char *type = g_variant_get_type_string (value);

  if (strlen (type) > SIGNATURE_LENGTH_MAX)
    return refuse_type (value, "it has too many members", error);
  if (strchr (type, 'm') != NULL)
    return refuse_type (value, "D-Bus has no maybe types", error);
  if (strstr (type, "()") != NULL)
    return refuse_type (value, "D-Bus has no empty structures", error);
  return TRUE;
}

/* Whether the type alone does not tell what is inside. */
static gboolean
is_opaque (GVariant *value)
{
  return strpbrk (g_variant_get_type_string (value), "vg") != NULL;
}

/* Counts the levels that the type adds below this one, for values whose
 * children need not be looked at. */
static Depth
depth_of_type (const GVariantType *type)
{
  Depth deepest = { 0 };

  if (g_variant_type_is_basic (type) || g_variant_type_is_variant (type))
    return deepest;
  if (g_variant_type_is_array (type))
    {
      deepest = depth_of_type (g_variant_type_element (type));
      deepest.arrays++;
    }
  else
    {
      for (const GVariantType *item = g_variant_type_first (type); item != NULL;
           item = g_variant_type_next (item))
        {
          Depth depth = depth_of_type (item);

          deepest.arrays = MAX (deepest.arrays, depth.arrays);
          deepest.structs = MAX (deepest.structs, depth.structs);
          deepest.total = MAX (deepest.total, depth.total);
        }
      deepest.structs++;
    }
  deepest.total++;
  return deepest;
}

static gboolean
is_too_deep (Depth outer, Depth inner)
{
  return outer.arrays + inner.arrays > ARRAY_DEPTH_MAX ||
         outer.structs + inner.structs > STRUCT_DEPTH_MAX || outer.total + inner.total > DEPTH_MAX;
}

/* @depth is what stands around @value. */
static gboolean
check_value (GVariant *value, Depth depth, GError **error)
{
  if (!check_type (value, error))
    return FALSE;
  if (is_too_deep (depth, depth_of_type (g_variant_get_type (value))))
    return refuse_type (value, "it is nested too deeply", error);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_SIGNATURE) &&
      !is_dbus_signature (g_variant_get_string (value, NULL)))
    return refuse_type (value, "it holds a signature that D-Bus does not know", error);
  return !g_variant_is_container (value) || !is_opaque (value) ||
         check_children (value, depth, error);
}

static gboolean
check_children (GVariant *value, Depth depth, GError **error)
{
  GVariantIter iter;
  GVariant *child;

  depth.total++;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_ARRAY))
    depth.arrays++;
  else if (!g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
    depth.structs++;

  g_variant_iter_init (&iter, value);
  while ((child = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_autoptr (GVariant) owned = child;

      if (!check_value (owned, depth, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
mp_service_value_check (GVariant *value, GError **error)
{
  const Depth none = { 0 };
  gsize size = g_variant_get_size (value);

  if (size > MP_SERVICE_VALUE_MAX)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "a value of %" G_GSIZE_FORMAT
                   " bytes cannot travel over D-Bus, which carries %" G_GSIZE_FORMAT,
                   size,
                   MP_SERVICE_VALUE_MAX);
      return FALSE;
    }
  return check_value (value, none, error);
}

GVariant *
mp_service_value_trust (GVariant *value)
{
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);
  g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (normal);

  return g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, TRUE));
}

gboolean
mp_service_value_refuse_fds (GDBusMethodInvocation *invocation, GError **error)
{
  GDBusMessage *message = g_dbus_method_invocation_get_message (invocation);

  if (g_dbus_message_get_num_unix_fds (message) == 0)
    return TRUE;

  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_NOT_SUPPORTED,
                       "file descriptors cannot travel in values");
  return FALSE;
}

static GVariant *
from_variant_bytes (GBytes *bytes, GError **error)
{
  g_autoptr (GVariant) box = NULL;

  box = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARIANT, bytes, FALSE));
  if (g_variant_is_normal_form (box))
    {
      g_autoptr (GVariant) trusted = mp_service_value_trust (box);

      return g_variant_get_variant (trusted);
    }

  g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "the item is no serialised value");
  return NULL;
}

static GVariant *
from_json_bytes (GBytes *bytes, GError **error)
{
  gsize length;
  const char *text = g_bytes_get_data (bytes, &length);

  if (g_utf8_validate_len (text, length, NULL))
    return g_variant_ref_sink (g_variant_new_take_string (g_strndup (text, length)));

  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_CORRUPT,
                       "the item should be JSON and is not UTF-8");
  return NULL;
}

GVariant *
mp_service_value_from_payload (GBytes *bytes, guint codec, GError **error)
{
  switch (codec)
    {
    case MP_CODEC_GVARIANT:
      return from_variant_bytes (bytes, error);
    case MP_CODEC_RAW:
      return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
    case MP_CODEC_JSON:
      return from_json_bytes (bytes, error);
    case MP_CODEC_PICKLE:
    case MP_CODEC_PICKLE_BUFFERS:
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "the item is a Python pickle, which never crosses the bus");
      return NULL;
    default:
      g_set_error (error, MP_ERROR, MP_ERROR_CORRUPT, "the item has the unknown codec %u", codec);
      return NULL;
    }
}
