/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-value-type.h"

#include <string.h>

#include "mp-error.h"

G_DEFINE_ENUM_TYPE (MpValueType,
                    mp_value_type,
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_BOOLEAN, "boolean"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_INT8, "int8"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_UINT8, "uint8"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_INT16, "int16"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_UINT16, "uint16"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_INT32, "int32"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_UINT32, "uint32"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_INT64, "int64"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_UINT64, "uint64"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_FLOAT, "float"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_DOUBLE, "double"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_CHAR, "char"),
                    G_DEFINE_ENUM_VALUE (MP_VALUE_TYPE_WCHAR, "wchar"))

typedef struct
{
  guint8 size;
  char variant[2];
} ValueType;

static const ValueType value_types[] = {
  [MP_VALUE_TYPE_BOOLEAN] = { 1, "b" }, [MP_VALUE_TYPE_INT8] = { 1, "n" },
  [MP_VALUE_TYPE_UINT8] = { 1, "y" },   [MP_VALUE_TYPE_INT16] = { 2, "n" },
  [MP_VALUE_TYPE_UINT16] = { 2, "q" },  [MP_VALUE_TYPE_INT32] = { 4, "i" },
  [MP_VALUE_TYPE_UINT32] = { 4, "u" },  [MP_VALUE_TYPE_INT64] = { 8, "x" },
  [MP_VALUE_TYPE_UINT64] = { 8, "t" },  [MP_VALUE_TYPE_FLOAT] = { 4, "d" },
  [MP_VALUE_TYPE_DOUBLE] = { 8, "d" },  [MP_VALUE_TYPE_CHAR] = { 1, "y" },
  [MP_VALUE_TYPE_WCHAR] = { 4, "u" },
};
G_STATIC_ASSERT (G_N_ELEMENTS (value_types) == MP_VALUE_TYPE_WCHAR + 1);
G_STATIC_ASSERT (sizeof (float) == 4 && sizeof (double) == 8 && sizeof (wchar_t) == 4);

#define IS_VALUE_TYPE(type) ((gsize) (type) < G_N_ELEMENTS (value_types))

/**
 * mp_value_type_from_format:
 * @format: a format character
 * @error: return location for an error
 *
 * The type for a format character of Python's `multiprocessing`, `array` and
 * `struct`: `?` a boolean, `b B h H i I l L q Q` integers as C has them on this
 * machine, `f d` numbers with a fraction, `c` a character, and `u` a wide one.
 *
 * Returns: the type; if @error is set, the first of them:
 *   [error@Mp.Error.INVALID_ARGUMENT] if there is no such format
 *
 * Since: 0.1
 */
MpValueType
mp_value_type_from_format (const char *format, GError **error)
{
  static const char formats[] = "?bBhHiIqQfdcu";
  const char *found;

  g_return_val_if_fail (format != NULL, MP_VALUE_TYPE_BOOLEAN);
  g_return_val_if_fail (error == NULL || *error == NULL, MP_VALUE_TYPE_BOOLEAN);

  if (g_str_equal (format, "l"))
    return sizeof (long) == 8 ? MP_VALUE_TYPE_INT64 : MP_VALUE_TYPE_INT32;
  if (g_str_equal (format, "L"))
    return sizeof (long) == 8 ? MP_VALUE_TYPE_UINT64 : MP_VALUE_TYPE_UINT32;
  found = format[0] != '\0' && format[1] == '\0' ? strchr (formats, format[0]) : NULL;
  if (found != NULL)
    return (MpValueType) (found - formats);
  g_set_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "“%s” is the format of no type", format);
  return MP_VALUE_TYPE_BOOLEAN;
}

/**
 * mp_value_type_from_variant_type:
 * @variant_type: the type of a variant
 * @error: return location for an error
 *
 * The type for what a variant of type @variant_type holds: one of `b y n q i u x t d`.
 *
 * Returns: the type; if @error is set, the first of them: [error@Mp.Error.TYPE] if
 *   there is none for such variants
 *
 * Since: 0.1
 */
MpValueType
mp_value_type_from_variant_type (const GVariantType *variant_type, GError **error)
{
  static const char codes[] = "b\1ynqiuxt\1d";
  const char *found = NULL;

  g_return_val_if_fail (variant_type != NULL, MP_VALUE_TYPE_BOOLEAN);
  g_return_val_if_fail (error == NULL || *error == NULL, MP_VALUE_TYPE_BOOLEAN);

  if (g_variant_type_is_basic (variant_type))
    found = strchr (codes, g_variant_type_peek_string (variant_type)[0]);
  if (found != NULL)
    return (MpValueType) (found - codes);
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_TYPE,
               "A variant of type %.*s is no number of a fixed size",
               (int) g_variant_type_get_string_length (variant_type),
               g_variant_type_peek_string (variant_type));
  return MP_VALUE_TYPE_BOOLEAN;
}

/**
 * mp_value_type_to_variant_type:
 * @type: a type
 *
 * The type of the variants that stand for what is of type @type, see
 * [enum@Mp.ValueType].
 *
 * Returns: (transfer none): the type of the variants
 *
 * Since: 0.1
 */
const GVariantType *
mp_value_type_to_variant_type (MpValueType type)
{
  g_return_val_if_fail (IS_VALUE_TYPE (type), G_VARIANT_TYPE_BOOLEAN);

  return G_VARIANT_TYPE (value_types[type].variant);
}

/**
 * mp_value_type_get_size:
 * @type: a type
 *
 * How many bytes one of that type takes: 1, 2, 4 or 8.
 *
 * Returns: the size in bytes
 *
 * Since: 0.1
 */
gsize
mp_value_type_get_size (MpValueType type)
{
  g_return_val_if_fail (IS_VALUE_TYPE (type), 1);

  return value_types[type].size;
}
