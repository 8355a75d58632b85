/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <float.h>
#include <math.h>
#include <string.h>

#include "libmp.h"
#include "memory/mp-arena-private.h"
#include "test-util.h"

#define FAR (20 * G_USEC_PER_SEC)
#define N_PROCESSES 8
#define N_ADDS 20000

static MpValue *
value_new (MpValueType type, gboolean with_lock)
{
  g_autoptr (GError) error = NULL;
  MpValue *value = mp_value_new (type, NULL, with_lock, &error);

  g_assert_no_error (error);
  return value;
}

static void
assert_is (MpValue *value, const char *text)
{
  g_autoptr (GVariant) expected = g_variant_ref_sink (g_variant_new_parsed (text));
  g_autoptr (GVariant) found = mp_value_get (value);

  g_assert_cmpvariant (found, expected);
  g_assert_false (g_variant_is_floating (found));
}

static void
assert_takes (MpValue *value, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (mp_value_set (value, g_variant_new_parsed (text), &error));
  g_assert_no_error (error);
}

static void
assert_refuses (MpValue *value, const char *text, int code, const char *message)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) before = mp_value_get (value);
  g_autoptr (GVariant) after = NULL;

  g_assert_false (mp_value_set (value, g_variant_new_parsed (text), &error));
  g_assert_error (error, MP_ERROR, code);
  g_assert_cmpstr (error->message, ==, message);
  after = mp_value_get (value);
  g_assert_cmpvariant (after, before);
}

static const struct
{
  MpValueType type;
  const char *format;
  gsize size;
  const char *zero;
  const char *min;
  const char *max;
  const char *below; /* NULL: no variant is */
  const char *below_message;
  const char *above;
  const char *above_message;
} types[] = {
  { MP_VALUE_TYPE_BOOLEAN, "?", 1, "false", "false", "true", NULL, NULL, NULL, NULL },
  { MP_VALUE_TYPE_INT8,
    "b",
    1,
    "int16 0",
    "int16 -128",
    "int16 127",
    "int16 -129",
    "-129 does not fit an int8",
    "300",
    "300 does not fit an int8" },
  { MP_VALUE_TYPE_UINT8,
    "B",
    1,
    "byte 0",
    "byte 0",
    "byte 255",
    "int16 -1",
    "-1 does not fit a uint8",
    "uint64 256",
    "256 does not fit a uint8" },
  { MP_VALUE_TYPE_INT16,
    "h",
    2,
    "int16 0",
    "int16 -32768",
    "int16 32767",
    "-32769",
    "-32769 does not fit an int16",
    "uint16 32768",
    "32768 does not fit an int16" },
  { MP_VALUE_TYPE_UINT16,
    "H",
    2,
    "uint16 0",
    "uint16 0",
    "uint16 65535",
    "int16 -1",
    "-1 does not fit a uint16",
    "65536",
    "65536 does not fit a uint16" },
  { MP_VALUE_TYPE_INT32,
    "i",
    4,
    "0",
    "-2147483648",
    "2147483647",
    "int64 -2147483649",
    "-2147483649 does not fit an int32",
    "uint32 2147483648",
    "2147483648 does not fit an int32" },
  { MP_VALUE_TYPE_UINT32,
    "I",
    4,
    "uint32 0",
    "uint32 0",
    "uint32 4294967295",
    "int64 -1",
    "-1 does not fit a uint32",
    "int64 4294967296",
    "4294967296 does not fit a uint32" },
  { MP_VALUE_TYPE_INT64,
    "q",
    8,
    "int64 0",
    "int64 -9223372036854775808",
    "int64 9223372036854775807",
    NULL,
    NULL,
    "uint64 9223372036854775808",
    "9223372036854775808 does not fit an int64" },
  { MP_VALUE_TYPE_UINT64,
    "Q",
    8,
    "uint64 0",
    "uint64 0",
    "uint64 18446744073709551615",
    "int64 -1",
    "-1 does not fit a uint64",
    NULL,
    NULL },
  { MP_VALUE_TYPE_FLOAT,
    "f",
    4,
    "0.0",
    "-3.4028234663852886e+38",
    "3.4028234663852886e+38",
    "-1e39",
    "-9.9999999999999994e+38 does not fit a float",
    "16777217",
    "16777217 does not fit a float" },
  { MP_VALUE_TYPE_DOUBLE,
    "d",
    8,
    "0.0",
    "-1.7976931348623157e+308",
    "1.7976931348623157e+308",
    "int64 -9007199254740993",
    "-9007199254740993 does not fit a double",
    "uint64 18446744073709551615",
    "18446744073709551615 does not fit a double" },
  { MP_VALUE_TYPE_CHAR,
    "c",
    1,
    "byte 0",
    "byte 0",
    "byte 255",
    "-1",
    "-1 does not fit a char",
    "256",
    "256 does not fit a char" },
  { MP_VALUE_TYPE_WCHAR,
    "u",
    4,
    "uint32 0",
    "uint32 0",
    "uint32 4294967295",
    "-1",
    "-1 does not fit a wchar",
    "int64 4294967296",
    "4294967296 does not fit a wchar" },
};

static void
test_types (void)
{
  g_test_summary ("Every type: its format, its size, its variants and what it can hold");
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) zero = g_variant_ref_sink (g_variant_new_parsed (types[i].zero));
      g_autoptr (MpValue) value = value_new (types[i].type, FALSE);

      g_assert_cmpint (mp_value_type_from_format (types[i].format, &error), ==, types[i].type);
      g_assert_no_error (error);
      g_assert_cmpuint (mp_value_type_get_size (types[i].type), ==, types[i].size);
      g_assert_true (g_variant_is_of_type (zero, mp_value_type_to_variant_type (types[i].type)));
      g_assert_cmpint (mp_value_get_value_type (value), ==, types[i].type);
      assert_is (value, types[i].zero);
      assert_takes (value, types[i].min);
      assert_is (value, types[i].min);
      assert_takes (value, types[i].max);
      assert_is (value, types[i].max);
      if (types[i].below != NULL)
        assert_refuses (value, types[i].below, MP_ERROR_INVALID_ARGUMENT, types[i].below_message);
      if (types[i].above != NULL)
        assert_refuses (value, types[i].above, MP_ERROR_INVALID_ARGUMENT, types[i].above_message);
    }
}

static void
test_type_names (void)
{
  static const char *const good = "bynqiuxtd";
  static const char *const bad[] = { "s", "h", "o", "ai", "(i)", "v", "()", "?", "*", "mi" };
  static const char *const bad_formats[] = { "", "x", "ii", "\1", "l " };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Types by the names that others have for them");
  for (const char *code = good; *code != '\0'; code++)
    {
      const char type[] = { *code, '\0' };
      MpValueType found = mp_value_type_from_variant_type (G_VARIANT_TYPE (type), &error);

      g_assert_no_error (error);
      g_assert_true (g_variant_type_equal (mp_value_type_to_variant_type (found), type));
      g_assert_true (found != MP_VALUE_TYPE_INT8 && found != MP_VALUE_TYPE_FLOAT);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      mp_value_type_from_variant_type (G_VARIANT_TYPE (bad[i]), &error);
      g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
      g_assert_nonnull (strstr (error->message, bad[i]));
      g_clear_error (&error);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad_formats); i++)
    {
      mp_value_type_from_format (bad_formats[i], &error);
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
    }
  g_assert_cmpuint (mp_value_type_get_size (mp_value_type_from_format ("l", NULL)),
                    ==,
                    sizeof (long));
  g_assert_cmpint (mp_value_type_from_format ("L", NULL),
                   ==,
                   sizeof (long) == 8 ? MP_VALUE_TYPE_UINT64 : MP_VALUE_TYPE_UINT32);
}

static void
test_wrong_types (void)
{
  g_autoptr (MpValue) integer = value_new (MP_VALUE_TYPE_INT32, FALSE);
  g_autoptr (MpValue) boolean = value_new (MP_VALUE_TYPE_BOOLEAN, FALSE);
  g_autoptr (MpValue) fraction = value_new (MP_VALUE_TYPE_DOUBLE, FALSE);
  g_autoptr (MpValue) wide = value_new (MP_VALUE_TYPE_WCHAR, FALSE);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Variants of other types, and a text for a wide character");
  assert_refuses (integer, "1.0", MP_ERROR_TYPE, "A variant of type d cannot be an int32");
  assert_refuses (integer, "true", MP_ERROR_TYPE, "A variant of type b cannot be an int32");
  assert_refuses (integer, "'1'", MP_ERROR_TYPE, "A variant of type s cannot be an int32");
  assert_refuses (integer, "(1,)", MP_ERROR_TYPE, "A variant of type (i) cannot be an int32");
  assert_refuses (integer, "<1>", MP_ERROR_TYPE, "A variant of type v cannot be an int32");
  assert_refuses (integer, "handle 1", MP_ERROR_TYPE, "A variant of type h cannot be an int32");
  assert_refuses (boolean, "1", MP_ERROR_TYPE, "A variant of type i cannot be a boolean");
  assert_refuses (boolean, "1.0", MP_ERROR_TYPE, "A variant of type d cannot be a boolean");
  assert_refuses (fraction, "true", MP_ERROR_TYPE, "A variant of type b cannot be a double");
  assert_takes (fraction, "byte 7");
  assert_is (fraction, "7.0");
  assert_takes (fraction, "uint64 9007199254740992");
  assert_is (fraction, "9007199254740992.0");
  assert_takes (wide, "'ä'");
  assert_is (wide, "uint32 0xe4");
  assert_takes (wide, "'😀'");
  assert_is (wide, "uint32 0x1f600");
  assert_refuses (wide, "'ab'", MP_ERROR_INVALID_ARGUMENT, "“ab” is not one character");
  assert_refuses (wide, "''", MP_ERROR_INVALID_ARGUMENT, "“” is not one character");
  g_assert_null (mp_value_new (MP_VALUE_TYPE_INT8, g_variant_new_int32 (300), TRUE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
}

static void
test_doubles (void)
{
  g_autoptr (MpValue) single = value_new (MP_VALUE_TYPE_FLOAT, FALSE);
  g_autoptr (MpValue) fraction =
    mp_value_new (MP_VALUE_TYPE_DOUBLE, g_variant_new_double (0.1), FALSE, NULL);
  g_autoptr (MpValue) integer = value_new (MP_VALUE_TYPE_INT64, FALSE);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Numbers with a fraction");
  g_assert_true (mp_value_get_double (fraction, &error) == 0.1);
  g_assert_true (mp_value_set_double (fraction, -0.0, &error));
  g_assert_true (signbit (mp_value_get_double (fraction, &error)));
  g_assert_true (mp_value_set_double (single, 0.1, &error));
  g_assert_true (mp_value_get_double (single, &error) == (double) 0.1f);
  g_assert_true (mp_value_set_double (single, HUGE_VAL, &error));
  g_assert_true (isinf (mp_value_get_double (single, &error)));
  g_assert_true (mp_value_set_double (single, (double) NAN, &error));
  g_assert_true (isnan (mp_value_get_double (single, &error)));
  g_assert_no_error (error);
  g_assert_false (mp_value_set_double (single, DBL_MAX, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  mp_value_get_double (integer, &error);
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
  g_clear_error (&error);
  g_assert_false (mp_value_set_double (integer, 1, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
  g_clear_error (&error);
  mp_value_add (fraction, 1, &error);
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
  g_clear_error (&error);
  g_assert_false (mp_value_compare_exchange (fraction, 0, 1, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
}

static void
test_wrap (void)
{
  static const struct
  {
    MpValueType type;
    gint64 from;
    gint64 delta;
    gint64 sum;
  } sums[] = {
    { MP_VALUE_TYPE_INT8, 127, 1, -128 },
    { MP_VALUE_TYPE_INT8, -128, -1, 127 },
    { MP_VALUE_TYPE_INT8, 0, 300, 44 },
    { MP_VALUE_TYPE_UINT8, 255, 1, 0 },
    { MP_VALUE_TYPE_UINT8, 0, -1, 255 },
    { MP_VALUE_TYPE_CHAR, 1, 2, 3 },
    { MP_VALUE_TYPE_INT16, 32767, 1, -32768 },
    { MP_VALUE_TYPE_UINT16, 65535, 2, 1 },
    { MP_VALUE_TYPE_INT32, G_MAXINT32, 1, G_MININT32 },
    { MP_VALUE_TYPE_UINT32, G_MAXUINT32, 1, 0 },
    { MP_VALUE_TYPE_WCHAR, 0, -1, G_MAXUINT32 },
    { MP_VALUE_TYPE_INT64, G_MAXINT64, 1, G_MININT64 },
    { MP_VALUE_TYPE_UINT64, -1, 1, 0 },
    { MP_VALUE_TYPE_UINT64, G_MAXINT64, 1, G_MININT64 },
  };

  g_test_summary ("Sums wrap around within the width of the type");
  for (gsize i = 0; i < G_N_ELEMENTS (sums); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpValue) value = value_new (sums[i].type, FALSE);

      g_assert_true (mp_value_set_int (value, sums[i].from, &error));
      g_assert_cmpint (mp_value_get_int (value, &error), ==, sums[i].from);
      g_assert_cmpint (mp_value_add (value, sums[i].delta, &error), ==, sums[i].sum);
      g_assert_cmpint (mp_value_get_int (value, &error), ==, sums[i].sum);
      g_assert_no_error (error);
    }
}

static void
test_integers (void)
{
  static const MpValueType widths[] = { MP_VALUE_TYPE_INT8,
                                        MP_VALUE_TYPE_INT16,
                                        MP_VALUE_TYPE_INT32,
                                        MP_VALUE_TYPE_INT64 };

  g_test_summary ("Exchanging, comparing and masking, on every width");
  for (gsize i = 0; i < G_N_ELEMENTS (widths); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpValue) value = value_new (widths[i], FALSE);
      gint64 found = 99;

      g_assert_cmpint (mp_value_exchange (value, -5, &error), ==, 0);
      g_assert_cmpint (mp_value_exchange (value, 7, &error), ==, -5);
      g_assert_false (mp_value_compare_exchange (value, 6, 1, &found, &error));
      g_assert_cmpint (found, ==, 7);
      g_assert_true (mp_value_compare_exchange (value, 7, -7, &found, &error));
      g_assert_cmpint (found, ==, 7);
      g_assert_true (mp_value_compare_exchange (value, -7, 0x55, NULL, &error));
      g_assert_cmpint (mp_value_fetch_and (value, 0x0f, &error), ==, 0x55);
      g_assert_cmpint (mp_value_fetch_or (value, 0x70, &error), ==, 0x05);
      g_assert_cmpint (mp_value_fetch_xor (value, -1, &error), ==, 0x75);
      g_assert_cmpint (mp_value_get_int (value, &error), ==, ~0x75);
      g_assert_no_error (error);
      if (widths[i] == MP_VALUE_TYPE_INT64)
        continue;
      mp_value_exchange (value, G_MAXINT64, &error);
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
      mp_value_fetch_or (value, G_MAXINT64, &error);
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
      g_assert_false (mp_value_compare_exchange (value, G_MAXINT64, 0, &found, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
      g_assert_false (mp_value_set_int (value, G_MININT64, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_assert_cmpint (mp_value_get_int (value, NULL), ==, ~0x75);
    }
}

static void
test_masks (void)
{
  g_autoptr (MpValue) value = value_new (MP_VALUE_TYPE_INT8, FALSE);
  g_autoptr (MpValue) big = value_new (MP_VALUE_TYPE_UINT64, FALSE);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Masks with and without a sign, and 64 bits as two's complement");
  g_assert_cmpint (mp_value_fetch_or (value, 0x80, &error), ==, 0);
  g_assert_cmpint (mp_value_fetch_or (value, 1, &error), ==, -128);
  g_assert_cmpint (mp_value_fetch_and (value, -128, &error), ==, -127);
  g_assert_cmpint (mp_value_get_int (value, &error), ==, -128);
  g_assert_true (mp_value_set_int (big, -1, &error));
  g_assert_cmpint (mp_value_get_int (big, &error), ==, -1);
  assert_is (big, "uint64 18446744073709551615");
  assert_takes (big, "uint64 9223372036854775808");
  g_assert_cmpint (mp_value_get_int (big, &error), ==, G_MININT64);
  g_assert_true (mp_value_compare_exchange (big, G_MININT64, -2, NULL, &error));
  assert_is (big, "uint64 18446744073709551614");
  g_assert_no_error (error);
}

static void
test_booleans (void)
{
  g_autoptr (MpValue) value = value_new (MP_VALUE_TYPE_BOOLEAN, FALSE);
  guint8 *byte = (guint8 *) mp_value_get_address (value);
  g_autoptr (GError) error = NULL;
  gint64 found;

  g_test_summary ("Booleans are 0 and 1, whatever others write");
  g_assert_true (mp_value_compare_exchange (value, 0, 1, NULL, &error));
  assert_is (value, "true");
  g_assert_cmpint (mp_value_fetch_xor (value, 1, &error), ==, 1);
  assert_is (value, "false");
  *byte = 0x14;
  assert_is (value, "true");
  g_assert_cmpint (mp_value_get_int (value, &error), ==, 1);
  g_assert_cmpint (mp_value_fetch_and (value, 1, &error), ==, 1);
  g_assert_cmpuint (*byte, ==, 1);
  *byte = 0x14;
  g_assert_cmpint (mp_value_fetch_xor (value, 1, &error), ==, 1);
  assert_is (value, "false");
  *byte = 0x14;
  g_assert_false (mp_value_compare_exchange (value, 0, 1, &found, &error));
  g_assert_cmpint (found, ==, 1);
  g_assert_true (mp_value_compare_exchange (value, 1, 0, &found, &error));
  g_assert_cmpint (found, ==, 1);
  g_assert_cmpint (mp_value_exchange (value, 1, &error), ==, 0);
  g_assert_no_error (error);
  g_assert_false (mp_value_set_int (value, 2, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==, "2 does not fit a boolean");
  g_clear_error (&error);
  mp_value_fetch_or (value, 2, &error);
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  mp_value_add (value, 1, &error);
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
}

static void
test_properties (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpValue) value = value_new (MP_VALUE_TYPE_UINT16, TRUE);
  g_autoptr (MpValue) bare = value_new (MP_VALUE_TYPE_UINT16, FALSE);
  g_autoptr (MpRLock) lock = NULL;
  g_autoptr (MpValue) made = NULL;
  MpValueType type;

  g_test_summary ("Properties and their getters agree, and the lock is whose it is");
  g_object_get (value, "value-type", &type, "lock", &lock, NULL);
  g_assert_cmpint (type, ==, MP_VALUE_TYPE_UINT16);
  g_assert_true (MP_IS_RLOCK (lock));
  g_assert_true (lock == mp_value_get_lock (value));
  g_assert_null (mp_value_get_lock (bare));
  made = g_initable_new (MP_TYPE_VALUE, NULL, &error, "value-type", type, "lock", lock, NULL);
  g_assert_no_error (error);
  g_assert_true (mp_value_get_lock (made) == lock);
  g_assert_cmpint (mp_value_add (made, 2, NULL), ==, 2);
  g_assert_cmpint (mp_value_get_int (value, NULL), ==, 0);
  g_assert_cmpuint (mp_value_get_address (value) % 8, ==, 0);
}

/* Other processes */

typedef struct
{
  MpValue *value;
  GVariant *handle;
  GUnixFDList *fd_list;
  int number;
} Shared;

static void
shared_init (Shared *self, MpValueType type, gboolean with_lock)
{
  g_autoptr (GError) error = NULL;

  self->value = value_new (type, with_lock);
  self->fd_list = g_unix_fd_list_new ();
  self->handle = mp_shareable_to_handle (MP_SHAREABLE (self->value), self->fd_list, &error);
  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (self->handle));
}

static void
shared_clear (Shared *self)
{
  g_clear_object (&self->value);
  g_clear_object (&self->fd_list);
  g_clear_pointer (&self->handle, g_variant_unref);
}

/* Every second one comes by the handle, as a stranger would. */
static MpValue *
shared_open (Shared *self)
{
  if (self->number % 2 == 0)
    return g_object_ref (self->value);
  return (MpValue *) mp_shareable_new_from_handle (self->handle, self->fd_list, NULL);
}

static int
add_often (gpointer data)
{
  g_autoptr (MpValue) value = shared_open (data);

  if (value == NULL)
    return 1;
  for (int i = 0; i < N_ADDS; i++)
    mp_value_add (value, 1, NULL);
  return 0;
}

static int
add_under_lock (gpointer data)
{
  g_autoptr (MpValue) value = shared_open (data);

  if (value == NULL)
    return 1;
  for (int i = 0; i < N_ADDS / 20; i++)
    {
      gint64 before;

      if (!mp_rlock_acquire (mp_value_get_lock (value), FAR, NULL, NULL))
        return 1;
      before = mp_value_get_int (value, NULL);
      if (i % 8 == 0)
        g_thread_yield ();
      mp_value_set_int (value, before + 1, NULL);
      if (!mp_rlock_release (mp_value_get_lock (value), NULL))
        return 1;
    }
  return 0;
}

static gint64
run_processes (Shared *self, int (*body) (gpointer data))
{
  GPid pids[N_PROCESSES];

  for (int i = 0; i < N_PROCESSES; i++)
    {
      self->number = i;
      pids[i] = test_fork (body, self);
    }
  for (int i = 0; i < N_PROCESSES; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  return mp_value_get_int (self->value, NULL);
}

static void
test_sum (void)
{
  g_test_summary ("Eight processes add at once: nothing is lost, on any width");
  for (MpValueType type = MP_VALUE_TYPE_INT8; type <= MP_VALUE_TYPE_UINT64; type++)
    {
      Shared self = { NULL };
      gsize bits = 8 * mp_value_type_get_size (type);
      gint64 mask = bits == 64 ? -1 : (G_GINT64_CONSTANT (1) << bits) - 1;

      shared_init (&self, type, FALSE);
      g_assert_cmpint (run_processes (&self, add_often) & mask,
                       ==,
                       (gint64) N_PROCESSES * N_ADDS & mask);
      shared_clear (&self);
    }
}

static void
test_lock (void)
{
  Shared self = { NULL };

  g_test_summary ("The lock travels with its value, and keeps its steps together");
  shared_init (&self, MP_VALUE_TYPE_INT32, TRUE);
  g_assert_cmpint (run_processes (&self, add_under_lock), ==, N_PROCESSES * (N_ADDS / 20));
  shared_clear (&self);
}

static int
add_for_ever (gpointer data)
{
  g_autoptr (MpValue) value = shared_open (data);

  while (value != NULL)
    mp_value_add (value, 1, NULL);
  return 1;
}

static void
test_killed (void)
{
  Shared self = { .number = 1 };
  gint64 end = g_get_monotonic_time () + FAR, last;
  GPid pid;

  g_test_summary ("A process that adds is killed: the value is as it left it, and usable");
  shared_init (&self, MP_VALUE_TYPE_INT64, FALSE);
  pid = test_fork (add_for_ever, &self);
  while (mp_value_get_int (self.value, NULL) < 1000)
    g_assert_cmpint (g_get_monotonic_time (), <, end);
  test_kill (pid);
  last = mp_value_get_int (self.value, NULL);
  g_assert_cmpint (last, >=, 1000);
  g_assert_cmpint (mp_value_add (self.value, 5, NULL), ==, last + 5);
  shared_clear (&self);
}

static int
set_one (gpointer data)
{
  g_autoptr (MpValue) value = shared_open (data);

  return value == NULL || !mp_value_set (value, g_variant_new_double (2.5), NULL);
}

static void
test_handle (void)
{
  Shared self = { .number = 1 };
  g_autoptr (MpShareable) other = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What comes out of a handle is the same, in this process and another");
  shared_init (&self, MP_VALUE_TYPE_DOUBLE, TRUE);
  g_assert_cmpstr (g_variant_get_type_string (self.handle), ==, "(sua{sv}ah)");
  g_assert_cmpint (g_unix_fd_list_get_length (self.fd_list), ==, 1);
  other = mp_shareable_new_from_handle (self.handle, self.fd_list, &error);
  g_assert_no_error (error);
  g_assert_true (MP_IS_VALUE (other));
  g_assert_cmpint (test_join (test_fork (set_one, &self)), ==, 0);
  assert_is (MP_VALUE (other), "2.5");
  assert_is (self.value, "2.5");
  g_assert_cmpint (mp_value_get_value_type (MP_VALUE (other)), ==, MP_VALUE_TYPE_DOUBLE);
  g_assert_true (mp_rlock_acquire (mp_value_get_lock (self.value), 0, NULL, &error));
  g_assert_true (mp_rlock_get_locked (mp_value_get_lock (MP_VALUE (other))));
  g_assert_true (mp_rlock_release (mp_value_get_lock (self.value), &error));
  g_assert_no_error (error);
  /* It lives on in whoever still has it. */
  g_clear_object (&self.value);
  assert_is (MP_VALUE (other), "2.5");
  shared_clear (&self);
}

/* Hostile handles */

/* The handle with one thing of its layout changed, or taken out. */
static GVariant *
change_layout (GVariant *handle, const char *key, GVariant *value)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) fds = g_variant_get_child_value (handle, 3);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (layout);
  const char *name;
  guint32 version;

  g_variant_get_child (handle, 0, "&s", &name);
  g_variant_get_child (handle, 1, "u", &version);
  g_variant_dict_remove (&dict, key);
  if (value != NULL)
    g_variant_dict_insert_value (&dict, key, value);
  return g_variant_ref_sink (
    g_variant_new ("(su@a{sv}@ah)", name, version, g_variant_dict_end (&dict), fds));
}

static void
assert_changed_is_refused (Shared *self, const char *key, GVariant *value)
{
  g_autoptr (GVariant) handle = change_layout (self->handle, key, value);
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_shareable_new_from_handle (handle, self->fd_list, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
}

static void
test_hostile (void)
{
  Shared self = { NULL }, other = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) handle = NULL;
  guint n_fds = test_count_fds ();

  g_test_summary ("A handle that says what is not so is refused, and nothing is left behind");
  shared_init (&self, MP_VALUE_TYPE_INT32, TRUE);
  shared_init (&other, MP_VALUE_TYPE_INT32, FALSE);
  assert_changed_is_refused (&self, "Type", NULL);
  assert_changed_is_refused (&self, "Type", g_variant_new_string ("int32"));
  assert_changed_is_refused (&self, "Type", g_variant_new_uint32 (13));
  assert_changed_is_refused (&self, "Type", g_variant_new_uint32 (G_MAXUINT32));
  assert_changed_is_refused (&self, "Type", g_variant_new_uint32 (MP_VALUE_TYPE_INT64));
  assert_changed_is_refused (&self, "Type", g_variant_new_uint32 (MP_VALUE_TYPE_FLOAT));
  assert_changed_is_refused (&self, "Length", NULL);
  assert_changed_is_refused (&self, "Length", g_variant_new_uint32 (1));
  assert_changed_is_refused (&self, "Length", g_variant_new_uint64 (0));
  assert_changed_is_refused (&self, "Length", g_variant_new_uint64 (2));
  assert_changed_is_refused (&self, "Length", g_variant_new_uint64 (3));
  assert_changed_is_refused (&self, "Length", g_variant_new_uint64 (G_MAXUINT64));
  assert_changed_is_refused (&self, "Length", g_variant_new_uint64 (G_MAXUINT64 / 4 + 2));
  assert_changed_is_refused (&self, "Lock", g_variant_new_uint32 (1));
  assert_changed_is_refused (&self, "Lock", self.handle);
  assert_changed_is_refused (&self, "Lock", other.handle);
  /* Without the lock it is a value without a lock. */
  handle = change_layout (self.handle, "Lock", NULL);
  g_object_unref (mp_shareable_new_from_handle (handle, self.fd_list, &error));
  g_assert_no_error (error);
  shared_clear (&self);
  shared_clear (&other);
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 2);
}

static void
test_many (void)
{
  g_autoptr (MpArena) arena = mp_arena_ref_default (NULL);
  guint64 n_blocks = mp_arena_get_n_blocks (arena);
  guint n_fds = test_count_fds ();
  g_autoptr (GPtrArray) values = g_ptr_array_new_with_free_func (g_object_unref);

  g_test_summary ("Many values cost no descriptors, and all of their memory comes back");
  for (int i = 0; i < 5000; i++)
    g_ptr_array_add (values, value_new (MP_VALUE_TYPE_INT64, i % 2 == 0));
  for (guint i = 0; i < values->len; i++)
    g_assert_cmpint (mp_value_add (values->pdata[i], i, NULL), ==, i);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, n_blocks + 7500);
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 2);
  g_ptr_array_set_size (values, 0);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, n_blocks);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/value/types", test_types);
  g_test_add_func ("/mp/value/type-names", test_type_names);
  g_test_add_func ("/mp/value/wrong-types", test_wrong_types);
  g_test_add_func ("/mp/value/doubles", test_doubles);
  g_test_add_func ("/mp/value/wrap", test_wrap);
  g_test_add_func ("/mp/value/integers", test_integers);
  g_test_add_func ("/mp/value/masks", test_masks);
  g_test_add_func ("/mp/value/booleans", test_booleans);
  g_test_add_func ("/mp/value/properties", test_properties);
  g_test_add_func ("/mp/value/sum", test_sum);
  g_test_add_func ("/mp/value/lock", test_lock);
  g_test_add_func ("/mp/value/kill", test_killed);
  g_test_add_func ("/mp/value/handle", test_handle);
  g_test_add_func ("/mp/value/hostile", test_hostile);
  g_test_add_func ("/mp/value/many", test_many);
  return g_test_run ();
}
