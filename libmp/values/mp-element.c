/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-element-private.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "../base/mp-error.h"

typedef enum
{
  CLASS_BOOLEAN,
  CLASS_SIGNED,
  CLASS_UNSIGNED,
  CLASS_FLOAT
} ElementClass;

typedef struct
{
  guint8 size;
  guint8 class;
  const char *name;
} Element;

static const Element elements[] = {
  [MP_VALUE_TYPE_BOOLEAN] = { 1, CLASS_BOOLEAN, "a boolean" },
  [MP_VALUE_TYPE_INT8] = { 1, CLASS_SIGNED, "an int8" },
  [MP_VALUE_TYPE_UINT8] = { 1, CLASS_UNSIGNED, "a uint8" },
  [MP_VALUE_TYPE_INT16] = { 2, CLASS_SIGNED, "an int16" },
  [MP_VALUE_TYPE_UINT16] = { 2, CLASS_UNSIGNED, "a uint16" },
  [MP_VALUE_TYPE_INT32] = { 4, CLASS_SIGNED, "an int32" },
  [MP_VALUE_TYPE_UINT32] = { 4, CLASS_UNSIGNED, "a uint32" },
  [MP_VALUE_TYPE_INT64] = { 8, CLASS_SIGNED, "an int64" },
  [MP_VALUE_TYPE_UINT64] = { 8, CLASS_UNSIGNED, "a uint64" },
  [MP_VALUE_TYPE_FLOAT] = { 4, CLASS_FLOAT, "a float" },
  [MP_VALUE_TYPE_DOUBLE] = { 8, CLASS_FLOAT, "a double" },
  [MP_VALUE_TYPE_CHAR] = { 1, CLASS_UNSIGNED, "a char" },
  [MP_VALUE_TYPE_WCHAR] = { 4, CLASS_UNSIGNED, "a wchar" },
};

const char *
mp_element_describe (MpValueType type)
{
  return elements[type].name;
}

/* Bits */

static inline guint64
load_bits (guint size, gpointer memory)
{
  switch (size)
    {
    case 1:
      return atomic_load ((_Atomic uint8_t *) memory);
    case 2:
      return atomic_load ((_Atomic uint16_t *) memory);
    case 4:
      return atomic_load ((_Atomic uint32_t *) memory);
    default:
      return atomic_load ((_Atomic uint64_t *) memory);
    }
}

static inline void
store_bits (guint size, gpointer memory, guint64 bits)
{
  switch (size)
    {
    case 1:
      atomic_store ((_Atomic uint8_t *) memory, (uint8_t) bits);
      break;
    case 2:
      atomic_store ((_Atomic uint16_t *) memory, (uint16_t) bits);
      break;
    case 4:
      atomic_store ((_Atomic uint32_t *) memory, (uint32_t) bits);
      break;
    default:
      atomic_store ((_Atomic uint64_t *) memory, bits);
    }
}

/* Returns the bits before. */
static inline guint64
add_bits (guint size, gpointer memory, guint64 delta)
{
  switch (size)
    {
    case 1:
      return atomic_fetch_add ((_Atomic uint8_t *) memory, (uint8_t) delta);
    case 2:
      return atomic_fetch_add ((_Atomic uint16_t *) memory, (uint16_t) delta);
    case 4:
      return atomic_fetch_add ((_Atomic uint32_t *) memory, (uint32_t) delta);
    default:
      return atomic_fetch_add ((_Atomic uint64_t *) memory, delta);
    }
}

/* Sets @expected to what was there. */
static inline gboolean
compare_exchange_bits (guint size, gpointer memory, guint64 *expected, guint64 desired)
{
  uint8_t expected8 = (uint8_t) *expected;
  uint16_t expected16 = (uint16_t) *expected;
  uint32_t expected32 = (uint32_t) *expected;
  gboolean done;

  switch (size)
    {
    case 1:
      done =
        atomic_compare_exchange_strong ((_Atomic uint8_t *) memory, &expected8, (uint8_t) desired);
      *expected = expected8;
      return done;
    case 2:
      done = atomic_compare_exchange_strong ((_Atomic uint16_t *) memory,
                                             &expected16,
                                             (uint16_t) desired);
      *expected = expected16;
      return done;
    case 4:
      done = atomic_compare_exchange_strong ((_Atomic uint32_t *) memory,
                                             &expected32,
                                             (uint32_t) desired);
      *expected = expected32;
      return done;
    default:
      return atomic_compare_exchange_strong ((_Atomic uint64_t *) memory, expected, desired);
    }
}

static inline guint64
max_bits (guint size)
{
  return G_MAXUINT64 >> (64 - 8 * size);
}

static inline gint64
sign_extend (guint size, guint64 bits)
{
  guint shift = 64 - 8 * size;

  /* A shift to the right of what is negative fills up with ones on every compiler we have. */
  return (gint64) (bits << shift) >> shift;
}

gint64
mp_element_bits_to_int (MpValueType type, guint64 bits)
{
  switch (elements[type].class)
    {
    case CLASS_BOOLEAN:
      return bits != 0;
    case CLASS_SIGNED:
      return sign_extend (elements[type].size, bits);
    default:
      return (gint64) bits;
    }
}

static guint64
bits_from_double (MpValueType type, double number)
{
  guint64 bits64;
  guint32 bits32;
  float single;

  if (type == MP_VALUE_TYPE_DOUBLE)
    {
      memcpy (&bits64, &number, sizeof bits64);
      return bits64;
    }
  single = (float) number;
  memcpy (&bits32, &single, sizeof bits32);
  return bits32;
}

gdouble
mp_element_bits_to_double (MpValueType type, guint64 bits)
{
  guint32 bits32 = (guint32) bits;
  double number;
  float single;

  if (type == MP_VALUE_TYPE_DOUBLE)
    {
      memcpy (&number, &bits, sizeof number);
      return number;
    }
  memcpy (&single, &bits32, sizeof single);
  return (double) single;
}

/* Checking */

static gboolean
refuse_int (MpValueType type, gint64 number, GError **error)
{
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "%" G_GINT64_FORMAT " does not fit %s",
               number,
               elements[type].name);
  return FALSE;
}

static gboolean
refuse_double (MpValueType type, double number, GError **error)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "%s does not fit %s",
               g_ascii_dtostr (text, sizeof text, number),
               elements[type].name);
  return FALSE;
}

static gboolean
refuse_type (MpValueType type, const char *what, GError **error)
{
  g_set_error (error, MP_ERROR, MP_ERROR_TYPE, "%s cannot be %s", what, elements[type].name);
  return FALSE;
}

/* For integers and booleans. */
static gboolean
bits_from_int (MpValueType type, gint64 number, guint64 *bits, GError **error)
{
  guint size = elements[type].size;
  guint64 max = elements[type].class == CLASS_BOOLEAN ? 1 : max_bits (size);
  gboolean fits;

  if (elements[type].class == CLASS_SIGNED)
    fits = sign_extend (size, (guint64) number) == number;
  else
    fits = number >= 0 && (guint64) number <= max;
  *bits = (guint64) number & max;
  return fits || refuse_int (type, number, error);
}

static gboolean
bits_from_uint (MpValueType type, guint64 number, guint64 *bits, GError **error)
{
  if (number <= G_MAXINT64)
    return bits_from_int (type, (gint64) number, bits, error);
  *bits = number;
  if (type == MP_VALUE_TYPE_UINT64)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "%" G_GUINT64_FORMAT " does not fit %s",
               number,
               elements[type].name);
  return FALSE;
}

/* What is not finite fits a float, and so does what only loses digits. */
static gboolean
check_double (MpValueType type, double number, GError **error)
{
  if (type == MP_VALUE_TYPE_FLOAT && isfinite (number) && !isfinite ((float) number))
    return refuse_double (type, number, error);
  return TRUE;
}

/* Into a number with a fraction; one that would be another number then is refused. */
static gboolean
double_from_int (MpValueType type, gint64 number, guint64 *bits, GError **error)
{
  gint64 max = G_GINT64_CONSTANT (1) << (type == MP_VALUE_TYPE_FLOAT ? FLT_MANT_DIG : DBL_MANT_DIG);

  if (number < -max || number > max)
    return refuse_int (type, number, error);
  *bits = bits_from_double (type, (double) number);
  return TRUE;
}

/* One number of a variant. */
typedef struct
{
  char code;
  gint64 signed_number;
  guint64 unsigned_number; /* of code t */
  double real_number;      /* of code d */
} Number;

static gboolean
bits_from_number (MpValueType type, const Number *number, guint64 *bits, GError **error)
{
  ElementClass class = elements[type].class;
  const char what[] = { number->code, '\0' };
  g_autofree char *text = NULL;

  if ((number->code == 'b') == (class == CLASS_BOOLEAN) &&
      (number->code != 'd' || class == CLASS_FLOAT))
    {
      if (number->code == 'd')
        {
          *bits = bits_from_double (type, number->real_number);
          return check_double (type, number->real_number, error);
        }
      if (number->code == 't' && (class != CLASS_FLOAT || number->unsigned_number > G_MAXINT64))
        return bits_from_uint (type, number->unsigned_number, bits, error);
      if (class == CLASS_FLOAT)
        return double_from_int (type, number->signed_number, bits, error);
      return bits_from_int (type, number->signed_number, bits, error);
    }
  text = g_strdup_printf ("A variant of type %s", what);
  return refuse_type (type, text, error);
}

static gboolean
read_number (char code, gconstpointer data, Number *number)
{
  union
  {
    gint16 n;
    guint16 q;
    gint32 i;
    guint32 u;
  } small;

  number->code = code;
  switch (code)
    {
    case 'b':
      number->signed_number = *(const guint8 *) data != 0;
      return TRUE;
    case 'y':
      number->signed_number = *(const guint8 *) data;
      return TRUE;
    case 'n':
      memcpy (&small, data, 2);
      number->signed_number = small.n;
      return TRUE;
    case 'q':
      memcpy (&small, data, 2);
      number->signed_number = small.q;
      return TRUE;
    case 'i':
      memcpy (&small, data, 4);
      number->signed_number = small.i;
      return TRUE;
    case 'u':
      memcpy (&small, data, 4);
      number->signed_number = small.u;
      return TRUE;
    case 'x':
    case 't':
      memcpy (&number->signed_number, data, 8);
      memcpy (&number->unsigned_number, data, 8);
      return TRUE;
    case 'd':
      memcpy (&number->real_number, data, 8);
      return TRUE;
    default:
      return FALSE;
    }
}

gboolean
mp_element_bits_from_memory (MpValueType type,
                             char code,
                             gconstpointer data,
                             guint64 *bits,
                             GError **error)
{
  Number number;

  g_return_val_if_fail (read_number (code, data, &number), FALSE);
  return bits_from_number (type, &number, bits, error);
}

/* A text of one character, for a wide one. */
static gboolean
bits_from_text (MpValueType type, const char *text, guint64 *bits, GError **error)
{
  *bits = g_utf8_get_char (text);
  if (text[0] != '\0' && *g_utf8_next_char (text) == '\0')
    return TRUE;
  g_set_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "“%s” is not one character", text);
  return FALSE;
}

gboolean
mp_element_bits_from_variant (MpValueType type, GVariant *value, guint64 *bits, GError **error)
{
  const char *code = g_variant_get_type_string (value);
  g_autofree char *text = NULL;
  Number number = { 0 };

  if (type == MP_VALUE_TYPE_WCHAR && g_str_equal (code, "s"))
    return bits_from_text (type, g_variant_get_string (value, NULL), bits, error);
  if (code[1] == '\0' && strchr ("bynqiuxtd", code[0]) != NULL)
    {
      /* It is not used where the variant is broken: GLib gives zeroes then. */
      guint8 data[8] = { 0 };

      g_variant_store (value, data);
      read_number (code[0], data, &number);
      return bits_from_number (type, &number, bits, error);
    }
  text = g_strdup_printf ("A variant of type %s", code);
  return refuse_type (type, text, error);
}

/* Variants */

static GVariant *
variant_from_bits (MpValueType type, guint64 bits)
{
  switch (type)
    {
    case MP_VALUE_TYPE_BOOLEAN:
      return g_variant_new_boolean (bits != 0);
    case MP_VALUE_TYPE_UINT8:
    case MP_VALUE_TYPE_CHAR:
      return g_variant_new_byte ((guint8) bits);
    case MP_VALUE_TYPE_INT8:
      return g_variant_new_int16 ((gint8) bits);
    case MP_VALUE_TYPE_INT16:
      return g_variant_new_int16 ((gint16) bits);
    case MP_VALUE_TYPE_UINT16:
      return g_variant_new_uint16 ((guint16) bits);
    case MP_VALUE_TYPE_INT32:
      return g_variant_new_int32 ((gint32) bits);
    case MP_VALUE_TYPE_UINT32:
    case MP_VALUE_TYPE_WCHAR:
      return g_variant_new_uint32 ((guint32) bits);
    case MP_VALUE_TYPE_INT64:
      return g_variant_new_int64 ((gint64) bits);
    case MP_VALUE_TYPE_UINT64:
      return g_variant_new_uint64 (bits);
    case MP_VALUE_TYPE_FLOAT:
    case MP_VALUE_TYPE_DOUBLE:
    default:
      return g_variant_new_double (mp_element_bits_to_double (type, bits));
    }
}

GVariant *
mp_element_get (MpValueType type, gpointer memory)
{
  return g_variant_ref_sink (variant_from_bits (type, load_bits (elements[type].size, memory)));
}

gboolean
mp_element_set (MpValueType type, gpointer memory, GVariant *value, GError **error)
{
  guint64 bits;

  if (!mp_element_bits_from_variant (type, value, &bits, error))
    return FALSE;
  store_bits (elements[type].size, memory, bits);
  return TRUE;
}

/* Integers */

static inline gboolean
check_integer (MpValueType type, GError **error)
{
  if (G_LIKELY (elements[type].class != CLASS_FLOAT))
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_TYPE,
               "There are atomic operations on integers only, this is %s",
               elements[type].name);
  return FALSE;
}

/* 64 bits are taken as they are. */
static inline gboolean
bits_from_operand (MpValueType type, gint64 number, guint64 *bits, GError **error)
{
  *bits = (guint64) number;
  return elements[type].size == 8 || bits_from_int (type, number, bits, error);
}

/* A mask may be meant as signed or not. */
static gboolean
bits_from_mask (MpValueType type, gint64 number, guint64 *bits, GError **error)
{
  guint size = elements[type].size;
  guint64 max = max_bits (size);

  *bits = (guint64) number & max;
  if (elements[type].class == CLASS_BOOLEAN || size == 8)
    return bits_from_operand (type, number, bits, error);
  if ((number >= 0 && (guint64) number <= max) || sign_extend (size, (guint64) number) == number)
    return TRUE;
  return refuse_int (type, number, error);
}

gint64
mp_element_get_int (MpValueType type, gpointer memory, GError **error)
{
  if (!check_integer (type, error))
    return 0;
  return mp_element_bits_to_int (type, load_bits (elements[type].size, memory));
}

gboolean
mp_element_set_int (MpValueType type, gpointer memory, gint64 value, GError **error)
{
  guint64 bits;

  if (!check_integer (type, error) || !bits_from_operand (type, value, &bits, error))
    return FALSE;
  store_bits (elements[type].size, memory, bits);
  return TRUE;
}

gint64
mp_element_add (MpValueType type, gpointer memory, gint64 delta, GError **error)
{
  guint size = elements[type].size;
  guint64 sum;

  if (!check_integer (type, error))
    return 0;
  if (G_UNLIKELY (type == MP_VALUE_TYPE_BOOLEAN))
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_TYPE, "There are no sums of booleans");
      return 0;
    }
  sum = add_bits (size, memory, (guint64) delta) + (guint64) delta;
  return mp_element_bits_to_int (type, sum & max_bits (size));
}

gboolean
mp_element_compare_exchange (MpValueType type,
                             gpointer memory,
                             gint64 expected,
                             gint64 desired,
                             gint64 *found,
                             GError **error)
{
  guint size = elements[type].size;
  guint64 expected_bits, desired_bits, bits;
  gboolean done;

  if (!check_integer (type, error) || !bits_from_operand (type, expected, &expected_bits, error) ||
      !bits_from_operand (type, desired, &desired_bits, error))
    return FALSE;
  bits = expected_bits;
  done = compare_exchange_bits (size, memory, &bits, desired_bits);
  /* Another byte that is TRUE, too. */
  while (G_UNLIKELY (!done && type == MP_VALUE_TYPE_BOOLEAN && expected_bits != 0 && bits > 1))
    done = compare_exchange_bits (size, memory, &bits, desired_bits);
  if (found != NULL)
    *found = mp_element_bits_to_int (type, bits);
  return done;
}

static inline guint64
combine (MpElementOperation operation, guint64 bits, guint64 operand)
{
  switch (operation)
    {
    case MP_ELEMENT_AND:
      return bits & operand;
    case MP_ELEMENT_OR:
      return bits | operand;
    case MP_ELEMENT_XOR:
      return bits ^ operand;
    case MP_ELEMENT_EXCHANGE:
    default:
      return operand;
    }
}

gint64
mp_element_fetch (MpValueType type,
                  gpointer memory,
                  MpElementOperation operation,
                  gint64 operand,
                  GError **error)
{
  guint size = elements[type].size;
  guint64 operand_bits, bits, after;

  if (!check_integer (type, error))
    return 0;
  if (operation == MP_ELEMENT_EXCHANGE ? !bits_from_operand (type, operand, &operand_bits, error)
                                       : !bits_from_mask (type, operand, &operand_bits, error))
    return 0;
  bits = load_bits (size, memory);
  do
    after = combine (operation, (guint64) mp_element_bits_to_int (type, bits), operand_bits);
  while (!compare_exchange_bits (size, memory, &bits, after));
  return mp_element_bits_to_int (type, bits);
}

/* Numbers with a fraction */

static gboolean
check_fraction (MpValueType type, GError **error)
{
  if (G_LIKELY (elements[type].class == CLASS_FLOAT))
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_TYPE,
               "This is %s, not a float or a double",
               elements[type].name);
  return FALSE;
}

gdouble
mp_element_get_double (MpValueType type, gpointer memory, GError **error)
{
  if (!check_fraction (type, error))
    return 0;
  return mp_element_bits_to_double (type, load_bits (elements[type].size, memory));
}

gboolean
mp_element_set_double (MpValueType type, gpointer memory, gdouble value, GError **error)
{
  if (!check_fraction (type, error) || !check_double (type, value, error))
    return FALSE;
  store_bits (elements[type].size, memory, bits_from_double (type, value));
  return TRUE;
}
