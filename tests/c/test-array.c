/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <string.h>

#include "libmp.h"
#include "memory/mp-arena-private.h"
#include "test-limited.h"
#include "test-util.h"

#define FAR (20 * G_USEC_PER_SEC)
#define N_PROCESSES 8
#define N_ADDS 20000
#define N_ITEMS 5
#define GIB ((gsize) 1 << 30)

static MpArray *
array_new (MpValueType type, gsize length, gboolean with_lock)
{
  g_autoptr (GError) error = NULL;
  MpArray *array = mp_array_new (type, length, with_lock, &error);

  g_assert_no_error (error);
  return array;
}

static GVariant *
parse (const char *text)
{
  return g_variant_ref_sink (g_variant_new_parsed (text));
}

static void
assert_reads (MpArray *array, gsize start, gsize n, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) expected = parse (text);
  g_autoptr (GVariant) found = mp_array_read (array, start, n, &error);

  g_assert_no_error (error);
  g_assert_cmpvariant (found, expected);
  g_assert_false (g_variant_is_floating (found));
  g_assert_true (g_variant_is_normal_form (found));
}

static void
assert_writes (MpArray *array, gsize start, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (mp_array_write (array, start, g_variant_new_parsed (text), &error));
  g_assert_no_error (error);
}

/* And changes nothing. */
static void
assert_write_fails (MpArray *array, gsize start, const char *text, int code, const char *message)
{
  g_autoptr (GError) error = NULL;
  gsize length = mp_array_get_length (array);
  g_autoptr (GBytes) before = mp_array_get_bytes (array, 0, length, NULL);
  g_autoptr (GBytes) after = NULL;

  g_assert_false (mp_array_write (array, start, g_variant_new_parsed (text), &error));
  g_assert_error (error, MP_ERROR, code);
  g_assert_cmpstr (error->message, ==, message);
  after = mp_array_get_bytes (array, 0, length, NULL);
  g_assert_true (g_bytes_equal (before, after));
}

static const struct
{
  MpValueType type;
  const char *zeroes;
  const char *some; /* three, the extremes among them */
  const char *wider;
  const char *first;
} types[] = {
  { MP_VALUE_TYPE_BOOLEAN, "[false, false, false]", "[true, false, true]", NULL, "true" },
  { MP_VALUE_TYPE_INT8, "@an [0, 0, 0]", "@an [-128, 127, 5]", "[-128, 127, 5]", "int16 -128" },
  { MP_VALUE_TYPE_UINT8, "@ay [0, 0, 0]", "@ay [0xff, 0, 5]", "@at [255, 0, 5]", "byte 255" },
  { MP_VALUE_TYPE_INT16,
    "@an [0, 0, 0]",
    "@an [-32768, 32767, 5]",
    "@ax [-32768, 32767, 5]",
    "int16 -32768" },
  { MP_VALUE_TYPE_UINT16,
    "@aq [0, 0, 0]",
    "@aq [65535, 0, 5]",
    "@au [65535, 0, 5]",
    "uint16 65535" },
  { MP_VALUE_TYPE_INT32,
    "[0, 0, 0]",
    "[-2147483648, 2147483647, 5]",
    "@ax [-2147483648, 2147483647, 5]",
    "-2147483648" },
  { MP_VALUE_TYPE_UINT32,
    "@au [0, 0, 0]",
    "@au [4294967295, 0, 5]",
    "@ax [4294967295, 0, 5]",
    "uint32 4294967295" },
  { MP_VALUE_TYPE_INT64,
    "@ax [0, 0, 0]",
    "@ax [-9223372036854775808, 9223372036854775807, 5]",
    NULL,
    "int64 -9223372036854775808" },
  { MP_VALUE_TYPE_UINT64,
    "@at [0, 0, 0]",
    "@at [18446744073709551615, 0, 5]",
    NULL,
    "uint64 18446744073709551615" },
  { MP_VALUE_TYPE_FLOAT, "[0.0, 0.0, 0.0]", "[-1.5, 3.25, 5.0]", NULL, "-1.5" },
  { MP_VALUE_TYPE_DOUBLE, "[0.0, 0.0, 0.0]", "[-7.0, 3.0, 5.0]", "@an [-7, 3, 5]", "-7.0" },
  { MP_VALUE_TYPE_CHAR, "@ay [0, 0, 0]", "@ay [0xff, 0, 5]", "@aq [255, 0, 5]", "byte 255" },
  { MP_VALUE_TYPE_WCHAR,
    "@au [0, 0, 0]",
    "@au [0x10ffff, 0, 5]",
    "@ai [0x10ffff, 0, 5]",
    "uint32 0x10ffff" },
};

static void
test_types (void)
{
  g_test_summary ("Every type: many at once, one, and the bytes of them");
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpArray) array = array_new (types[i].type, 3, FALSE);
      gsize size = mp_value_type_get_size (types[i].type);
      g_autoptr (GVariant) first = parse (types[i].first);
      g_autoptr (GVariant) found = NULL;
      g_autoptr (GBytes) bytes = NULL;

      g_assert_cmpint (mp_array_get_value_type (array), ==, types[i].type);
      g_assert_cmpuint (mp_array_get_length (array), ==, 3);
      assert_reads (array, 0, 3, types[i].zeroes);
      assert_writes (array, 0, types[i].some);
      assert_reads (array, 0, 3, types[i].some);
      found = mp_array_get_item (array, 0, &error);
      g_assert_cmpvariant (found, first);
      bytes = mp_array_get_bytes (array, 0, 3, &error);
      g_assert_cmpuint (g_bytes_get_size (bytes), ==, 3 * size);
      assert_writes (array, 0, types[i].zeroes);
      g_assert_true (mp_array_set_bytes (array, 0, bytes, &error));
      assert_reads (array, 0, 3, types[i].some);
      g_assert_true (mp_array_set_item (array, 2, first, &error));
      g_clear_pointer (&found, g_variant_unref);
      found = mp_array_get_item (array, 2, &error);
      g_assert_cmpvariant (found, first);
      g_assert_no_error (error);
      if (types[i].wider == NULL)
        continue;
      assert_writes (array, 0, types[i].zeroes);
      assert_writes (array, 0, types[i].wider);
      assert_reads (array, 0, 3, types[i].some);
    }
}

static void
test_slices (void)
{
  g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_INT32, 6, FALSE);

  g_test_summary ("Some of the items, and none");
  assert_writes (array, 0, "[1, 2, 3, 4, 5, 6]");
  assert_writes (array, 2, "[30, 40]");
  assert_writes (array, 6, "@ai []");
  assert_writes (array, 4, "@ai []");
  assert_reads (array, 0, 6, "[1, 2, 30, 40, 5, 6]");
  assert_reads (array, 1, 3, "[2, 30, 40]");
  assert_reads (array, 6, 0, "@ai []");
  assert_write_fails (array,
                      5,
                      "[7, 8]",
                      MP_ERROR_INVALID_ARGUMENT,
                      "2 elements from index 5 on are out of range, the length is 6");
  assert_write_fails (array,
                      6,
                      "[7]",
                      MP_ERROR_INVALID_ARGUMENT,
                      "Index 6 is out of range, the length is 6");
  assert_write_fails (array,
                      0,
                      "@ax [7, 8, 3000000000]",
                      MP_ERROR_INVALID_ARGUMENT,
                      "Element 2: 3000000000 does not fit an int32");
  assert_write_fails (array,
                      0,
                      "[1.0]",
                      MP_ERROR_TYPE,
                      "Element 0: A variant of type d cannot be an int32");
  assert_write_fails (array,
                      0,
                      "['a']",
                      MP_ERROR_TYPE,
                      "A variant of type as is no array of numbers");
  assert_write_fails (array, 0, "5", MP_ERROR_TYPE, "A variant of type i is no array of numbers");
  assert_write_fails (array,
                      0,
                      "[[1]]",
                      MP_ERROR_TYPE,
                      "A variant of type aai is no array of numbers");
}

static void
test_range (void)
{
  g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_INT64, 10, FALSE);
  g_autoptr (MpArray) fractions = array_new (MP_VALUE_TYPE_FLOAT, 10, FALSE);
  const gsize bad[] = { 10, 11, G_MAXSIZE, G_MAXSIZE / 8 + 1 };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Whatever takes an index refuses one beyond the end, and names both");
  g_assert_null (mp_array_get_item (array, 10, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==, "Index 10 is out of range, the length is 10");
  g_clear_error (&error);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_static ("12345678", 8);
      gint64 found = 0;

#define ASSERT_FAILS(call)                                                                         \
  g_assert_true ((call) == 0);                                                                     \
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);                                     \
  g_clear_error (&error)

      ASSERT_FAILS (mp_array_get_item (array, bad[i], &error));
      ASSERT_FAILS (mp_array_set_item (array, bad[i], g_variant_new_int32 (1), &error));
      ASSERT_FAILS (mp_array_get_int (array, bad[i], &error));
      ASSERT_FAILS (mp_array_set_int (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_add (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_exchange (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_compare_exchange (array, bad[i], 0, 1, &found, &error));
      ASSERT_FAILS (mp_array_fetch_and (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_fetch_or (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_fetch_xor (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_set_double (fractions, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_get_double (fractions, bad[i], &error));
      ASSERT_FAILS (mp_array_read (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_read (array, 1, bad[i], &error));
      ASSERT_FAILS (mp_array_get_bytes (array, bad[i], 1, &error));
      ASSERT_FAILS (mp_array_get_bytes (array, 1, bad[i], &error));
      ASSERT_FAILS (mp_array_set_bytes (array, bad[i], bytes, &error));
    }
}

static void
test_bytes (void)
{
  g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_UINT16, 4, FALSE);
  const guint16 numbers[] = { 1, 2 };
  g_autoptr (GBytes) bytes = g_bytes_new (numbers, sizeof numbers);
  g_autoptr (GBytes) odd = g_bytes_new (numbers, 3);
  g_autoptr (GBytes) empty = g_bytes_new (NULL, 0);
  g_autoptr (GBytes) none = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Bytes are copied in and out, in whole items");
  g_assert_true (mp_array_set_bytes (array, 1, bytes, &error));
  g_assert_true (mp_array_set_bytes (array, 4, empty, &error));
  assert_reads (array, 0, 4, "@aq [0, 1, 2, 0]");
  none = mp_array_get_bytes (array, 4, 0, &error);
  g_assert_cmpuint (g_bytes_get_size (none), ==, 0);
  g_assert_no_error (error);
  g_assert_false (mp_array_set_bytes (array, 0, odd, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (mp_array_set_bytes (array, 3, bytes, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  assert_reads (array, 0, 4, "@aq [0, 1, 2, 0]");
}

static void
test_items (void)
{
  g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_INT8, 3, FALSE);
  g_autoptr (MpArray) fractions = array_new (MP_VALUE_TYPE_DOUBLE, 3, FALSE);
  g_autoptr (GError) error = NULL;
  gint64 found;

  g_test_summary ("Operations on one item leave its neighbours alone");
  g_assert_cmpint (mp_array_add (array, 1, 127, &error), ==, 127);
  g_assert_cmpint (mp_array_add (array, 1, 1, &error), ==, -128);
  g_assert_cmpint (mp_array_add (array, 1, -1, &error), ==, 127);
  g_assert_cmpint (mp_array_exchange (array, 1, -1, &error), ==, 127);
  g_assert_cmpint (mp_array_fetch_and (array, 1, 0xf0, &error), ==, -1);
  g_assert_cmpint (mp_array_fetch_or (array, 1, 3, &error), ==, -16);
  g_assert_cmpint (mp_array_fetch_xor (array, 1, 0xff, &error), ==, -13);
  g_assert_cmpint (mp_array_get_int (array, 1, &error), ==, 12);
  g_assert_false (mp_array_compare_exchange (array, 1, 11, 1, &found, &error));
  g_assert_cmpint (found, ==, 12);
  g_assert_true (mp_array_compare_exchange (array, 1, 12, 1, &found, &error));
  g_assert_true (mp_array_set_int (array, 2, -9, &error));
  assert_reads (array, 0, 3, "@an [0, 1, -9]");
  g_assert_true (mp_array_set_double (fractions, 2, 0.5, &error));
  g_assert_true (mp_array_get_double (fractions, 2, &error) == 0.5);
  assert_reads (fractions, 0, 3, "[0.0, 0.0, 0.5]");
  g_assert_no_error (error);
  g_assert_false (mp_array_set_int (array, 0, 300, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  g_assert_cmpstr (error->message, ==, "300 does not fit an int8");
  g_clear_error (&error);
  g_assert_false (mp_array_set_item (array, 0, g_variant_new_double (1), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
}

static void
test_empty (void)
{
  g_autoptr (GError) error = NULL;

  g_test_summary ("An array of nothing is one, and can be shared");
  for (MpValueType type = MP_VALUE_TYPE_BOOLEAN; type <= MP_VALUE_TYPE_WCHAR; type++)
    {
      g_autoptr (MpArray) array = array_new (type, 0, FALSE);
      g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
      g_autoptr (GVariant) nothing = mp_array_read (array, 0, 0, &error);
      g_autoptr (GVariant) handle = NULL;
      g_autoptr (MpShareable) other = NULL;

      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_n_children (nothing), ==, 0);
      g_assert_cmpuint (mp_array_get_length (array), ==, 0);
      g_assert_cmpuint (mp_array_get_address (array), !=, 0);
      g_assert_null (mp_array_get_item (array, 0, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_clear_error (&error);
      handle = mp_shareable_to_handle (MP_SHAREABLE (array), fd_list, &error);
      other = mp_shareable_new_from_handle (handle, fd_list, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (mp_array_get_length (MP_ARRAY (other)), ==, 0);
    }
}

static void
test_address (void)
{
  static const gsize lengths[] = { 1, 7, 8, 12, 33, 64, 100, 4096, 10000 };

  g_test_summary ("Memory for whatever a program wants: as aligned as it needs");
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_UINT8, lengths[i], FALSE);
      guint8 *memory = (guint8 *) mp_array_get_address (array);
      gsize alignment = 1;

      while (alignment < lengths[i] && alignment < 64)
        alignment *= 2;
      g_assert_cmpuint ((gsize) memory % alignment, ==, 0);
      memset (memory, 7, lengths[i]);
      g_assert_cmpint (mp_array_add (array, lengths[i] - 1, 1, &error), ==, 8);
      g_assert_cmpint (memory[lengths[i] - 1], ==, 8);
      g_assert_no_error (error);
    }
}

static void
test_limits (void)
{
  g_autoptr (GError) error = NULL;
  const gsize lengths[] = { G_MAXSIZE, G_MAXSIZE / 8, G_MAXSIZE / 8 + 2, G_MAXSSIZE / 8 };

  g_test_summary ("What no memory can hold is an error");
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_assert_null (mp_array_new (MP_VALUE_TYPE_INT64, lengths[i], TRUE, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_clear_error (&error);
    }
}

static void
test_big (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpArray) array = mp_array_new (MP_VALUE_TYPE_INT64, GIB / 8, FALSE, &error);

  g_test_summary ("A gibibyte, of which only the ends are touched");
  if (array == NULL)
    {
      /* Where there is not so much, that is what it says. */
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_test_skip (error->message);
      return;
    }
  g_assert_cmpint (mp_array_add (array, 0, 1, &error), ==, 1);
  g_assert_cmpint (mp_array_add (array, GIB / 8 - 1, 2, &error), ==, 2);
  assert_reads (array, GIB / 8 - 2, 2, "@ax [0, 2]");
  g_assert_no_error (error);
}

static void
test_properties (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_UINT16, 7, TRUE);
  g_autoptr (MpArray) made = NULL;
  g_autoptr (MpRLock) lock = NULL;
  MpValueType type;
  guint64 length;

  g_test_summary ("Properties and their getters agree");
  g_object_get (array, "value-type", &type, "length", &length, "lock", &lock, NULL);
  g_assert_cmpint (type, ==, MP_VALUE_TYPE_UINT16);
  g_assert_cmpuint (length, ==, 7);
  g_assert_true (MP_IS_RLOCK (lock) && lock == mp_array_get_lock (array));
  made = g_initable_new (MP_TYPE_ARRAY,
                         NULL,
                         &error,
                         "value-type",
                         MP_VALUE_TYPE_FLOAT,
                         "length",
                         (guint64) 3,
                         NULL);
  g_assert_no_error (error);
  assert_reads (made, 0, 3, "[0.0, 0.0, 0.0]");
  g_assert_null (mp_array_get_lock (made));
}

static void
test_hostile_memory (void)
{
  g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_BOOLEAN, 3, FALSE);

  g_test_summary ("Booleans that others wrote as any byte are read as booleans");
  memcpy ((gpointer) mp_array_get_address (array), "\0\x80\x02", 3);
  assert_reads (array, 0, 3, "[false, true, true]");
}

/* Other processes */

typedef struct
{
  MpArray *array;
  GVariant *handle;
  GUnixFDList *fd_list;
  int number;
} Shared;

static void
shared_init (Shared *self, MpValueType type, gsize length, gboolean with_lock)
{
  g_autoptr (GError) error = NULL;

  self->array = array_new (type, length, with_lock);
  self->fd_list = g_unix_fd_list_new ();
  self->handle = mp_shareable_to_handle (MP_SHAREABLE (self->array), self->fd_list, &error);
  g_assert_no_error (error);
}

static void
shared_clear (Shared *self)
{
  g_clear_object (&self->array);
  g_clear_object (&self->fd_list);
  g_clear_pointer (&self->handle, g_variant_unref);
}

static MpArray *
shared_open (Shared *self)
{
  if (self->number % 2 == 0)
    return g_object_ref (self->array);
  return (MpArray *) mp_shareable_new_from_handle (self->handle, self->fd_list, NULL);
}

static int
add_often (gpointer data)
{
  g_autoptr (MpArray) array = shared_open (data);

  if (array == NULL)
    return 1;
  for (gsize i = 0; i < N_ADDS; i++)
    mp_array_add (array, i % N_ITEMS, 1, NULL);
  return 0;
}

static void
test_sum (void)
{
  g_test_summary ("Eight processes add to items beside each other: nothing is lost");
  for (MpValueType type = MP_VALUE_TYPE_INT32; type <= MP_VALUE_TYPE_UINT64; type++)
    {
      Shared self = { NULL };
      GPid pids[N_PROCESSES];

      shared_init (&self, type, N_ITEMS, FALSE);
      for (int i = 0; i < N_PROCESSES; i++)
        {
          self.number = i;
          pids[i] = test_fork (add_often, &self);
        }
      for (int i = 0; i < N_PROCESSES; i++)
        g_assert_cmpint (test_join (pids[i]), ==, 0);
      for (gsize i = 0; i < N_ITEMS; i++)
        g_assert_cmpint (mp_array_get_int (self.array, i, NULL),
                         ==,
                         N_PROCESSES * N_ADDS / N_ITEMS);
      shared_clear (&self);
    }
}

/* All items of one number, under the lock. */
static int
fill_for_ever (gpointer data)
{
  g_autoptr (MpArray) array = shared_open (data);
  gsize n = array != NULL ? mp_array_get_length (array) : 0;
  g_autofree gint32 *numbers = g_new (gint32, n + 1);

  for (gint32 round = 1; n > 0; round++)
    {
      if (!mp_rlock_acquire (mp_array_get_lock (array), FAR, NULL, NULL))
        return 1;
      for (gsize i = 0; i < n; i++)
        numbers[i] = round;
      mp_array_write (array,
                      0,
                      g_variant_new_fixed_array (G_VARIANT_TYPE_INT32, numbers, n, 4),
                      NULL);
      mp_rlock_release (mp_array_get_lock (array), NULL);
    }
  return 1;
}

static void
test_lock (void)
{
  Shared self = { .number = 1 };
  gint32 last = 0;
  GPid pid;

  g_test_summary ("The lock travels with its array; its holder is killed, and it is usable");
  shared_init (&self, MP_VALUE_TYPE_INT32, 1000, TRUE);
  pid = test_fork (fill_for_ever, &self);
  for (gint64 end = g_get_monotonic_time () + FAR; last < 50;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) values = NULL;
      const gint32 *numbers;
      gsize n;

      g_assert_cmpint (g_get_monotonic_time (), <, end);
      g_assert_true (mp_rlock_acquire (mp_array_get_lock (self.array), FAR, NULL, &error));
      values = mp_array_read (self.array, 0, 1000, &error);
      g_assert_true (mp_rlock_release (mp_array_get_lock (self.array), &error));
      g_assert_no_error (error);
      numbers = g_variant_get_fixed_array (values, &n, 4);
      last = numbers[0];
      for (gsize i = 0; i < n; i++)
        g_assert_cmpint (numbers[i], ==, last);
      g_thread_yield ();
    }
  test_kill (pid);
  g_assert_true (mp_rlock_acquire (mp_array_get_lock (self.array), FAR, NULL, NULL));
  g_assert_true (mp_rlock_release (mp_array_get_lock (self.array), NULL));
  g_assert_cmpint (mp_array_exchange (self.array, 999, 0, NULL), >=, 50);
  shared_clear (&self);
}

static int
set_last (gpointer data)
{
  g_autoptr (MpArray) array = shared_open (data);

  return array == NULL || mp_array_get_length (array) != 100 ||
         !mp_array_set_int (array, 99, 77, NULL);
}

static void
test_handle (void)
{
  Shared self = { .number = 1 };
  g_autoptr (MpShareable) other = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What comes out of a handle is the same, in this process and another");
  shared_init (&self, MP_VALUE_TYPE_UINT16, 100, TRUE);
  g_assert_cmpint (g_unix_fd_list_get_length (self.fd_list), ==, 1);
  other = mp_shareable_new_from_handle (self.handle, self.fd_list, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (mp_array_get_length (MP_ARRAY (other)), ==, 100);
  g_assert_cmpint (mp_array_get_value_type (MP_ARRAY (other)), ==, MP_VALUE_TYPE_UINT16);
  g_assert_nonnull (mp_array_get_lock (MP_ARRAY (other)));
  g_assert_cmpint (test_join (test_fork (set_last, &self)), ==, 0);
  g_clear_object (&self.array);
  g_assert_cmpint (mp_array_get_int (MP_ARRAY (other), 99, NULL), ==, 77);
  shared_clear (&self);
}

static void
assert_length_is_refused (Shared *self, guint64 length)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (self->handle, 2);
  g_autoptr (GVariant) fds = g_variant_get_child_value (self->handle, 3);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (layout);
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GError) error = NULL;
  guint32 version;

  g_variant_get_child (self->handle, 1, "u", &version);
  g_variant_dict_insert (&dict, "Length", "t", length);
  handle = g_variant_ref_sink (
    g_variant_new ("(su@a{sv}@ah)", "array", version, g_variant_dict_end (&dict), fds));
  g_assert_null (mp_shareable_new_from_handle (handle, self->fd_list, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
}

static void
test_hostile (void)
{
  static const guint64 lengths[] = { 0,          1,           99,         101,
                                     128,        G_MAXUINT32, G_MAXINT64, G_MAXUINT64 / 4 + 101,
                                     G_MAXUINT64 };
  Shared self = { NULL };

  g_test_summary ("A handle with another length than the memory's is refused");
  shared_init (&self, MP_VALUE_TYPE_INT32, 100, FALSE);
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    assert_length_is_refused (&self, lengths[i]);
  shared_clear (&self);
}

static void
test_many (void)
{
  g_autoptr (MpArena) arena = mp_arena_ref_default (NULL);
  guint64 n_blocks = mp_arena_get_n_blocks (arena);
  guint n_fds = test_count_fds ();

  g_test_summary ("Arrays of many sizes come and go, and nothing stays");
  for (gsize i = 0; i < 2000; i++)
    {
      gsize length = 1 + i * i % 70001;
      g_autoptr (MpArray) array = array_new (MP_VALUE_TYPE_INT16, length, i % 3 == 0);

      g_assert_cmpint (mp_array_exchange (array, length - 1, 3, NULL), ==, 0);
    }
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, n_blocks);
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 2);
}

static void
test_limited (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpArray) array = mp_array_new (MP_VALUE_TYPE_UINT8, 32 * 1024 * 1024, FALSE, &error);

  g_test_summary ("A copy for which there is no memory is an error, and nobody is killed");
  g_assert_no_error (error);
  test_group_limit = 1024 * 1024;
  g_assert_null (mp_array_get_bytes (array, 0, mp_array_get_length (array), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_clear_error (&error);
  g_assert_null (mp_array_read (array, 0, mp_array_get_length (array), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  test_group_limit = 0;
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/array/types", test_types);
  g_test_add_func ("/mp/array/slices", test_slices);
  g_test_add_func ("/mp/array/range", test_range);
  g_test_add_func ("/mp/array/bytes", test_bytes);
  g_test_add_func ("/mp/array/items", test_items);
  g_test_add_func ("/mp/array/empty", test_empty);
  g_test_add_func ("/mp/array/address", test_address);
  g_test_add_func ("/mp/array/limits", test_limits);
  g_test_add_func ("/mp/array/big", test_big);
  g_test_add_func ("/mp/array/properties", test_properties);
  g_test_add_func ("/mp/array/hostile-memory", test_hostile_memory);
  g_test_add_func ("/mp/array/sum", test_sum);
  g_test_add_func ("/mp/array/lock", test_lock);
  g_test_add_func ("/mp/array/handle", test_handle);
  g_test_add_func ("/mp/array/hostile", test_hostile);
  g_test_add_func ("/mp/array/many", test_many);
  g_test_add_func ("/mp/array/limited", test_limited);
  return g_test_run ();
}
