/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "libmp.h"
#include "base/mp-fd-private.h"
#include "memory/mp-segment-private.h"
#include "test-util.h"

static MpShareableList *
make (const char *items)
{
  g_autoptr (GError) error = NULL;
  MpShareableList *list = mp_shareable_list_new (g_variant_new_parsed (items), &error);

  g_assert_no_error (error);
  return list;
}

static void
assert_item (MpShareableList *list, gint64 index, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) wanted = g_variant_ref_sink (g_variant_new_parsed (text));
  g_autoptr (GVariant) value = mp_shareable_list_get_item (list, index, &error);

  g_assert_no_error (error);
  g_assert_false (g_variant_is_floating (value));
  g_assert_true (g_variant_equal (value, wanted));
}

static void
set (MpShareableList *list, gint64 index, const char *text)
{
  g_autoptr (GError) error = NULL;

  mp_shareable_list_set_item (list, index, g_variant_new_parsed (text), &error);
  g_assert_no_error (error);
}

static void
assert_not_set (MpShareableList *list, gint64 index, const char *text, int code, const char *hint)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_shareable_list_set_item (list, index, g_variant_new_parsed (text), &error));
  g_assert_error (error, MP_ERROR, code);
  if (strstr (error->message, hint) == NULL)
    g_error ("“%s” does not say “%s”", error->message, hint);
}

static void
test_types (void)
{
  g_autoptr (MpShareableList) list =
    make ("[<int64 -5>, <2.5>, <true>, <'text'>, <b'bytes'>, <@mv nothing>, <()>, <byte 7>, "
          "<uint64 9223372036854775807>, <<int32 3>>]");

  g_test_summary ("Every type comes out as what it is");
  g_assert_cmpint (mp_shareable_list_get_length (list), ==, 10);
  assert_item (list, 0, "int64 -5");
  assert_item (list, 1, "2.5");
  assert_item (list, 2, "true");
  assert_item (list, 3, "'text'");
  /* What is written with a zero at its end has it. */
  assert_item (list, 4, "b'bytes'");
  assert_item (list, 5, "@mv nothing");
  assert_item (list, 6, "@mv nothing");
  assert_item (list, 7, "int64 7");
  assert_item (list, 8, "int64 9223372036854775807");
  assert_item (list, -1, "int64 3");
  assert_item (list, -10, "int64 -5");
}

static void
test_empty (void)
{
  g_autoptr (MpShareableList) list = make ("@av []");
  g_autoptr (MpShareableList) numbers = make ("[1, 2, 3]");
  g_autoptr (GError) error = NULL;

  g_test_summary ("Lists without items, and of items of one type");
  g_assert_cmpint (mp_shareable_list_get_length (list), ==, 0);
  g_assert_null (mp_shareable_list_get_item (list, 0, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  assert_item (numbers, 2, "int64 3");
}

static void
test_bad_items (void)
{
  static const struct
  {
    const char *items;
    int code;
    const char *hint;
  } cases[] = {
    { "1", MP_ERROR_TYPE, "type i" },
    { "[<1>, <[1, 2]>]", MP_ERROR_TYPE, "Item 1: A value of type ai" },
    { "[<{'a': 1}>]", MP_ERROR_TYPE, "a{si}" },
    { "[<(1, 2)>]", MP_ERROR_TYPE, "(ii)" },
    { "[<@mi 1>]", MP_ERROR_TYPE, "mi" },
    { "[<(b'\\377',)>]", MP_ERROR_TYPE, "(ay)" },
    { "[<uint64 9223372036854775808>]", MP_ERROR_INVALID_ARGUMENT, "9223372036854775808" },
  };

  g_test_summary ("What cannot be in a list is named");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (mp_shareable_list_new (g_variant_new_parsed (cases[i].items), &error));
      g_assert_error (error, MP_ERROR, cases[i].code);
      if (strstr (error->message, cases[i].hint) == NULL)
        g_error ("“%s” does not say “%s”", error->message, cases[i].hint);
    }
}

static void
test_room (void)
{
  g_autoptr (MpShareableList) list =
    make ("[<1>, <''>, <'1234567'>, <'12345678'>, <'äöüß'>, <@ay []>]");

  g_test_summary ("Room is one more than there is, in steps of eight, and enough");
  set (list, 0, "'12345678'");
  assert_item (list, 0, "'12345678'");
  assert_not_set (list, 0, "'123456789'", MP_ERROR_LIMIT, "room for 8");
  assert_item (list, 0, "'12345678'");
  set (list, 1, "'12345678'");
  assert_not_set (list, 1, "'123456789'", MP_ERROR_LIMIT, "9 bytes does not fit in item 1");
  set (list, 2, "'12345678'");
  set (list, 3, "'1234567890123456'");
  assert_not_set (list, 3, "'12345678901234567'", MP_ERROR_LIMIT, "room for 16");
  set (list, 4, "'ääüü'");
  assert_item (list, 4, "'ääüü'");
  assert_not_set (list, 4, "'äääää'", MP_ERROR_LIMIT, "10 bytes");
  set (list, 5, "2.5");
  assert_item (list, 5, "2.5");
  set (list, 5, "@mv nothing");
  assert_item (list, 5, "@mv nothing");
  set (list, -6, "true");
  assert_item (list, 0, "true");
  assert_item (list, 1, "'12345678'");
}

static void
test_zeroes (void)
{
  g_autoptr (MpShareableList) list =
    make ("[<@ay [1, 0, 0]>, <@ay [0]>, <(@ay [97, 0, 0],)>, <'a'>, <(@ay [97],)>]");

  g_test_summary ("Zeroes at the end are not lost, in bytes or in text");
  assert_item (list, 0, "@ay [1, 0, 0]");
  assert_item (list, 1, "@ay [0]");
  assert_item (list, 2, "(@ay [97, 0, 0],)");
  assert_item (list, 3, "'a'");
  assert_item (list, 4, "'a'");
  set (list, 0, "@ay [0, 0, 0, 0, 0, 0, 0, 0]");
  assert_item (list, 0, "@ay [0, 0, 0, 0, 0, 0, 0, 0]");
  set (list, 0, "@ay []");
  assert_item (list, 0, "@ay []");
  set (list, 3, "(b'\\303\\244',)");
  assert_item (list, 3, "(@ay [195, 164, 0],)");
}

static void
test_index (void)
{
  g_autoptr (MpShareableList) list = make ("[<1>, <2>, <3>]");
  static const gint64 bad[] = { 3, -4, G_MAXINT64, G_MININT64, 1 << 20 };

  g_test_summary ("Indexes that are out of the list");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, bad[i]);

      g_assert_null (mp_shareable_list_get_item (list, bad[i], &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, text));
      g_assert_nonnull (strstr (error->message, "length 3"));
      assert_not_set (list, bad[i], "1", MP_ERROR_INVALID_ARGUMENT, text);
    }
  assert_not_set (list, 0, "[1]", MP_ERROR_TYPE, "ai");
}

static gint64
count (MpShareableList *list, const char *text)
{
  return mp_shareable_list_count (list, g_variant_new_parsed (text), NULL);
}

static gint64
find (MpShareableList *list, const char *text)
{
  return mp_shareable_list_index (list, g_variant_new_parsed (text), NULL);
}

static void
test_search (void)
{
  g_autoptr (MpShareableList) list =
    make ("[<1>, <'a'>, <1>, <1.0>, <true>, <0.0>, <@mv nothing>, <@ay [97]>, <'b'>]");
  g_autoptr (GError) error = NULL;

  g_test_summary ("Counting and finding go by type and value");
  g_assert_cmpint (count (list, "1"), ==, 2);
  g_assert_cmpint (count (list, "uint16 1"), ==, 2);
  g_assert_cmpint (count (list, "1.0"), ==, 1);
  g_assert_cmpint (count (list, "-0.0"), ==, 1);
  g_assert_cmpint (count (list, "'a'"), ==, 1);
  g_assert_cmpint (count (list, "()"), ==, 1);
  g_assert_cmpint (count (list, "17"), ==, 0);
  g_assert_cmpint (find (list, "1"), ==, 0);
  g_assert_cmpint (find (list, "true"), ==, 4);
  g_assert_cmpint (find (list, "'b'"), ==, 8);
  set (list, 0, "2");
  g_assert_cmpint (find (list, "1"), ==, 2);
  g_assert_cmpint (mp_shareable_list_index (list, g_variant_new_int32 (17), &error), ==, -1);
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_clear_error (&error);
  mp_shareable_list_set_item (list, 0, g_variant_new_double (NAN), NULL);
  g_assert_cmpint (mp_shareable_list_count (list, g_variant_new_double (NAN), NULL), ==, 0);
  g_assert_cmpint (mp_shareable_list_count (list, g_variant_new_strv (NULL, 0), &error), ==, -1);
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
}

static int
answer (gpointer data)
{
  g_autoptr (MpShareable) list = mp_shareable_new_from_handle (data, NULL, NULL);

  return MP_IS_SHAREABLE_LIST (list) && mp_shareable_list_set_item (MP_SHAREABLE_LIST (list),
                                                                    1,
                                                                    g_variant_new_string ("there"),
                                                                    NULL)
           ? 0
           : 1;
}

static int
answer_by_name (gpointer data)
{
  g_autoptr (MpShareableList) list = mp_shareable_list_open (data, NULL);

  return list != NULL && mp_shareable_list_set_item (list, 0, g_variant_new_string ("named"), NULL)
           ? 0
           : 1;
}

static void
test_shared (void)
{
  g_autofree char *name = g_strdup_printf ("list-%d", getpid ());
  g_autoptr (GError) error = NULL;
  g_autoptr (MpShareableList) list = NULL;
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpSharedMemory) memory = NULL;

  g_test_summary ("Another process has the same list, by a handle and by its name");
  list = mp_shareable_list_new_named (name, g_variant_new_parsed ("[<1>, <'here.'>]"), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (mp_shared_memory_get_name (mp_shareable_list_get_memory (list)), ==, name);
  handle = mp_shareable_to_handle (MP_SHAREABLE (list), NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (test_join (test_fork (answer, handle)), ==, 0);
  assert_item (list, 1, "'there'");
  g_assert_cmpint (test_join (test_fork (answer_by_name, name)), ==, 0);
  assert_item (list, 0, "'named'");
  g_assert_true (mp_shared_memory_unlink (mp_shareable_list_get_memory (list), &error));
  g_assert_null (mp_shareable_list_open (name, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_clear_error (&error);

  memory = mp_shared_memory_new_named (name, 100, NULL);
  g_assert_null (mp_shareable_list_open (name, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
}

/* Damaged memory gives errors or wrong values. */
static void
test_hostile (void)
{
  g_autoptr (MpShareableList) list = make ("[<1>, <'text'>, <b'bytes'>, <2.5>, <true>, <()>]");
  g_autoptr (GBytes) good = NULL;
  MpSharedMemory *memory = mp_shareable_list_get_memory (list);
  guint8 *data = (guint8 *) mp_shared_memory_get_address (memory);
  gsize size = mp_shared_memory_get_size (memory);

  g_test_summary ("Damaged memory does no harm");
  good = g_bytes_new (data, size);
  for (gsize i = 0; i < 8 * size; i++)
    {
      memcpy (data, g_bytes_get_data (good, NULL), size);
      /* Not the lock, which would only be waited for. */
      data[8 + i % (size - 8)] = (guint8) g_test_rand_int ();
      data[8 + (gsize) g_test_rand_int () % (size - 8)] = 0xff;
      for (gint64 j = 0; j < 6; j++)
        {
          g_autoptr (GVariant) value = mp_shareable_list_get_item (list, j, NULL);

          g_assert_true (value == NULL || !g_variant_is_floating (value));
          mp_shareable_list_set_item (list, j, g_variant_new_string ("text"), NULL);
        }
      mp_shareable_list_count (list, g_variant_new_string ("text"), NULL);
    }
}

static void
test_header (void)
{
  g_autoptr (MpShareableList) list = make ("[<1>, <2>]");
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (list), fd_list, NULL);
  MpSharedMemory *memory = mp_shareable_list_get_memory (list);
  guint64 *length = (guint64 *) (mp_shared_memory_get_address (memory) + 8);
  static const guint64 bad[] = { 1000, G_MAXUINT64, (guint64) 1 << 60, G_MAXINT64 };

  g_test_summary ("A list that is longer than its memory is refused");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      *length = bad[i];
      g_assert_null (mp_shareable_new_from_handle (handle, fd_list, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
    }
  assert_item (list, 1, "int64 2");
}

/* A file of terabytes that takes no memory, and in it one item that has them all. */
static int
make_huge (int fd)
{
  const guint64 size = G_GUINT64_CONSTANT (1) << 43, capacity = size / 4;
  /* Where it begins, its room; the number of the value that counts, and that value. */
  const guint64 entry[] = { 64, capacity }, slot[] = { 0, 4, capacity };
  int huge = memfd_create ("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  gsize page = mp_segment_get_page_size ();
  MpSegmentHeader header;

  g_assert_cmpint (pread (fd, &header, sizeof header, 0), ==, sizeof header);
  header.size = page + size;
  header.parameters[1] = size;
  g_assert_no_errno (ftruncate (huge, (off_t) (page + size)));
  g_assert_cmpint (pwrite (huge, &header, sizeof header, 0), ==, sizeof header);
  g_assert_cmpint (pwrite (huge, (guint64[]){ 1 }, 8, (off_t) page + 8), ==, 8);
  g_assert_cmpint (pwrite (huge, entry, sizeof entry, (off_t) page + 16), ==, sizeof entry);
  g_assert_cmpint (pwrite (huge, slot, sizeof slot, (off_t) page + 64), ==, sizeof slot);
  g_assert_no_errno (fcntl (huge, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  return huge;
}

static void
test_huge (void)
{
  g_autoptr (MpShareableList) list = make ("[<1>]");
  g_autoptr (MpShareableList) huge = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (list), fd_list, NULL);
  g_autoptr (GUnixFDList) huge_list = NULL;
  g_autoptr (GError) error = NULL;
  int fd = make_huge (g_unix_fd_list_peek_fds (fd_list, NULL)[0]);

  g_test_summary ("An item of which no copy can be made does no harm");
  huge_list = g_unix_fd_list_new_from_array (&fd, 1);
  huge = (MpShareableList *) mp_shareable_new_from_handle (handle, huge_list, &error);
  g_assert_no_error (error);
  g_assert_null (mp_shareable_list_get_item (huge, 0, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
}

static void
test_stopped (void)
{
  g_autoptr (MpShareableList) list = make ("[<1>, <2>]");
  g_autoptr (GError) error = NULL;
  _Atomic guint32 *lock =
    (_Atomic guint32 *) mp_shared_memory_get_address (mp_shareable_list_get_memory (list));

  g_test_summary ("Who is stopped while it writes stops writers for a second, readers never");
  *lock = 1;
  assert_item (list, 0, "int64 1");
  g_assert_false (mp_shareable_list_set_item (list, 0, g_variant_new_int32 (3), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  *lock = 0;
  set (list, 0, "3");
}

#define N_ROUNDS 20000

static int
write_often (gpointer data)
{
  static char text[201];

  for (int i = 0; i < N_ROUNDS; i++)
    {
      gsize length = (gsize) i % 200;

      memset (text, 'a' + i % 26, length);
      text[length] = '\0';
      if (!mp_shareable_list_set_item (data, 0, g_variant_new_string (text), NULL))
        return 1;
    }
  return 0;
}

static void
test_torn (void)
{
  g_autofree char *first = g_strnfill (200, 'a');
  GVariant *items[] = { g_variant_new_variant (g_variant_new_string (first)) };
  g_autoptr (MpShareableList) list =
    mp_shareable_list_new (g_variant_new_array (NULL, items, 1), NULL);
  GPid pids[2];
  int status;

  g_test_summary ("Readers beside writers see whole values only");
  for (int i = 0; i < 2; i++)
    pids[i] = test_fork (write_often, list);
  while (waitpid (pids[0], &status, WNOHANG) == 0)
    {
      g_autoptr (GVariant) value = mp_shareable_list_get_item (list, 0, NULL);
      gsize length;
      const char *text = g_variant_get_string (value, &length);

      for (gsize i = 0; i < length; i++)
        g_assert_cmpint (text[i], ==, text[0]);
    }
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpint (test_join (pids[1]), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autofree char *folder = g_dir_make_tmp ("mp-XXXXXX", NULL);
  int result;

  g_test_init (&argc, &argv, NULL);
  g_setenv ("XDG_RUNTIME_DIR", folder, TRUE);
  g_test_add_func ("/mp/shareable-list/types", test_types);
  g_test_add_func ("/mp/shareable-list/empty", test_empty);
  g_test_add_func ("/mp/shareable-list/bad-items", test_bad_items);
  g_test_add_func ("/mp/shareable-list/room", test_room);
  g_test_add_func ("/mp/shareable-list/zeroes", test_zeroes);
  g_test_add_func ("/mp/shareable-list/index", test_index);
  g_test_add_func ("/mp/shareable-list/search", test_search);
  g_test_add_func ("/mp/shareable-list/shared", test_shared);
  g_test_add_func ("/mp/shareable-list/hostile", test_hostile);
  g_test_add_func ("/mp/shareable-list/huge", test_huge);
  g_test_add_func ("/mp/shareable-list/header", test_header);
  g_test_add_func ("/mp/shareable-list/stopped", test_stopped);
  g_test_add_func ("/mp/shareable-list/torn", test_torn);
  result = g_test_run ();
  test_remove_tree (folder);
  return result;
}
