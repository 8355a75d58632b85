/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <glib-object.h>

#include "mp-version-macros.h"

G_BEGIN_DECLS

#define MP_TYPE_VALUE_TYPE (mp_value_type_get_type ())

/**
 * MpValueType:
 * @MP_VALUE_TYPE_BOOLEAN: one byte, 0 or 1; as a variant `b`
 * @MP_VALUE_TYPE_INT8: a signed byte; as a variant `n`, because there is no smaller one
 * @MP_VALUE_TYPE_UINT8: an unsigned byte; `y`
 * @MP_VALUE_TYPE_INT16: two bytes, signed; `n`
 * @MP_VALUE_TYPE_UINT16: two bytes, unsigned; `q`
 * @MP_VALUE_TYPE_INT32: four bytes, signed; `i`
 * @MP_VALUE_TYPE_UINT32: four bytes, unsigned; `u`
 * @MP_VALUE_TYPE_INT64: eight bytes, signed; `x`
 * @MP_VALUE_TYPE_UINT64: eight bytes, unsigned; `t`
 * @MP_VALUE_TYPE_FLOAT: C's float; as a variant `d`
 * @MP_VALUE_TYPE_DOUBLE: C's double; `d`
 * @MP_VALUE_TYPE_CHAR: a character of one byte, from 0 to 255; `y`
 * @MP_VALUE_TYPE_WCHAR: a character of four bytes, as C's wchar_t is: its number in Unicode; `u`
 *
 * What is in an [class@Mp.Value] or in each place of an [class@Mp.Array], in the
 * byte order of the machine, and the type of the variants that stand for it.
 *
 * Since: 0.1
 */
typedef enum
{
  MP_VALUE_TYPE_BOOLEAN,
  MP_VALUE_TYPE_INT8,
  MP_VALUE_TYPE_UINT8,
  MP_VALUE_TYPE_INT16,
  MP_VALUE_TYPE_UINT16,
  MP_VALUE_TYPE_INT32,
  MP_VALUE_TYPE_UINT32,
  MP_VALUE_TYPE_INT64,
  MP_VALUE_TYPE_UINT64,
  MP_VALUE_TYPE_FLOAT,
  MP_VALUE_TYPE_DOUBLE,
  MP_VALUE_TYPE_CHAR,
  MP_VALUE_TYPE_WCHAR
} MpValueType;

MP_AVAILABLE_IN_ALL
GType mp_value_type_get_type (void) G_GNUC_CONST;

MP_AVAILABLE_IN_ALL
MpValueType mp_value_type_from_format (const char *format, GError **error);
MP_AVAILABLE_IN_ALL
MpValueType mp_value_type_from_variant_type (const GVariantType *variant_type, GError **error);
MP_AVAILABLE_IN_ALL
const GVariantType *mp_value_type_to_variant_type (MpValueType type);
MP_AVAILABLE_IN_ALL
gsize mp_value_type_get_size (MpValueType type);

G_END_DECLS
