/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "libmp.h"
#include "base/mp-fd-private.h"
#include "memory/mp-registry-private.h"
#include "memory/mp-segment-private.h"
#include "test-util.h"

/* Names of this program, among those of others. */
static const char *
get_name (const char *what)
{
  static char name[64];

  g_snprintf (name, sizeof name, "test-%d-%s", getpid (), what);
  return name;
}

static guint8 *
get_data (MpSharedMemory *memory)
{
  return (guint8 *) mp_shared_memory_get_address (memory);
}

static void
assert_absent (const char *name)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_shared_memory_open (name, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
}

static void
test_new (void)
{
  g_autoptr (GError) error = NULL;
  static const gsize sizes[] = { 1, 7, 4095, 4096, 4097, 1000003 };

  g_test_summary ("It is exactly as long as was asked for, and zeroed");
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (MpSharedMemory) memory = mp_shared_memory_new (sizes[i], &error);
      guint64 size;
      gboolean read_only;

      g_assert_no_error (error);
      g_assert_cmpuint (mp_shared_memory_get_size (memory), ==, sizes[i]);
      g_assert_null (mp_shared_memory_get_name (memory));
      g_object_get (memory, "size", &size, "read-only", &read_only, NULL);
      g_assert_cmpuint (size, ==, sizes[i]);
      g_assert_false (read_only);
      g_assert_cmpuint (mp_shared_memory_get_address (memory) % mp_segment_get_page_size (), ==, 0);
      for (gsize j = 0; j < sizes[i]; j++)
        g_assert_cmpuint (get_data (memory)[j], ==, 0);
      memset (get_data (memory), 0xff, sizes[i]);
    }
  g_assert_null (mp_shared_memory_new (0, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
}

static void
test_bytes (void)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new (5000, NULL);
  guint8 *data = get_data (memory);
  guint n_fds = test_count_fds ();
  g_autoptr (GBytes) bytes = mp_shared_memory_get_bytes (memory);

  g_test_summary ("Bytes are the memory itself, and keep it");
  g_assert_true (g_bytes_get_data (bytes, NULL) == data);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 5000);
  data[4999] = 7;
  g_clear_object (&memory);
  g_assert_cmpuint (((const guint8 *) g_bytes_get_data (bytes, NULL))[4999], ==, 7);
  g_assert_cmpuint (test_count_fds (), ==, n_fds - 1);
}

static void
test_limit (void)
{
  g_autoptr (GError) error = NULL;
  struct rlimit old, limit;
  guint n_fds = test_count_fds ();
  struct stat status;
  g_autoptr (MpSharedMemory) memory = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  static const gsize sizes[] = { G_MAXSIZE, G_MAXSIZE / 2, (gsize) 1 << 44, (gsize) 1 << 41 };

  g_test_summary ("Memory that there is not is an error, and what there is was taken");
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_assert_null (mp_shared_memory_new (sizes[i], &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_clear_error (&error);
    }
  g_assert_no_errno (getrlimit (RLIMIT_FSIZE, &old));
  limit = old;
  limit.rlim_cur = 1024 * 1024;
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &limit));
  g_assert_null (mp_shared_memory_new (1024 * 1024, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_clear_error (&error);
  g_assert_no_errno (setrlimit (RLIMIT_FSIZE, &old));
  g_assert_cmpuint (test_count_fds (), ==, n_fds);

  memory = mp_shared_memory_new (20 * 1024 * 1024, &error);
  g_assert_no_error (error);
  handle = mp_shareable_to_handle (MP_SHAREABLE (memory), fd_list, NULL);
  g_assert_no_errno (fstat (g_unix_fd_list_peek_fds (fd_list, NULL)[0], &status));
  g_assert_cmpuint ((guint64) status.st_blocks * 512, >=, 20 * 1024 * 1024);
}

static void
test_view (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new (100, NULL);
  g_autoptr (MpSharedMemory) view = mp_shared_memory_new_view (memory, &error);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpShareable) other = NULL;
  GPid pid;

  g_test_summary ("A view sees what is written, and cannot write; nor can its handle");
  g_assert_no_error (error);
  g_assert_true (mp_shared_memory_get_read_only (view));
  get_data (memory)[99] = 3;
  g_assert_cmpuint (get_data (view)[99], ==, 3);
  handle = mp_shareable_to_handle (MP_SHAREABLE (view), fd_list, &error);
  g_assert_no_error (error);
  other = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_true (mp_shared_memory_get_read_only (MP_SHARED_MEMORY (other)));
  g_assert_cmpuint (get_data (MP_SHARED_MEMORY (other))[99], ==, 3);
  g_assert_true (mmap (NULL,
                       4096,
                       PROT_READ | PROT_WRITE,
                       MAP_SHARED,
                       g_unix_fd_list_peek_fds (fd_list, NULL)[0],
                       0) == MAP_FAILED);
  g_clear_pointer (&handle, g_variant_unref);
  handle = mp_shareable_to_handle (MP_SHAREABLE (view), NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&other);
  other = mp_shareable_new_from_handle (handle, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (mp_shared_memory_get_read_only (MP_SHARED_MEMORY (other)));
  pid = fork ();
  if (pid == 0)
    {
      signal (SIGSEGV, SIG_DFL);
      setrlimit (RLIMIT_CORE, &(struct rlimit){ 0 });
      get_data (view)[0] = 1;
      _exit (0);
    }
  g_assert_cmpint (test_join (pid), !=, 0);
  g_assert_cmpuint (get_data (memory)[0], ==, 0);
}

static int
write_there (gpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_open (data, NULL);

  if (memory == NULL || mp_shared_memory_get_size (memory) != 1000)
    return 1;
  get_data (memory)[999]++;
  return 0;
}

static void
test_named (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *name = g_strdup (get_name ("named"));
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (name, 1000, &error);
  g_autoptr (MpSharedMemory) second = NULL;
  guint n_fds;

  g_test_summary ("Another process opens it by its name, until the last one has gone");
  g_assert_no_error (error);
  g_assert_cmpstr (mp_shared_memory_get_name (memory), ==, name);
  g_assert_cmpint (test_join (test_fork (write_there, name)), ==, 0);
  g_assert_cmpuint (get_data (memory)[999], ==, 1);
  g_assert_null (mp_shared_memory_new_named (name, 10, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EXISTS);
  g_assert_nonnull (strstr (error->message, name));
  g_clear_error (&error);

  n_fds = test_count_fds ();
  second = mp_shared_memory_open (name, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (test_count_fds (), ==, n_fds + 1);
  g_clear_object (&memory);
  g_assert_cmpint (test_join (test_fork (write_there, name)), ==, 0);
  g_assert_cmpuint (get_data (second)[999], ==, 2);
  g_clear_object (&second);
  assert_absent (name);
}

static void
test_unlink (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *name = g_strdup (get_name ("unlink"));
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (name, 1000, &error);
  g_autoptr (MpSharedMemory) other = mp_shared_memory_open (name, NULL);
  g_autoptr (MpSharedMemory) anonymous = mp_shared_memory_new (1, NULL);
  g_autoptr (MpSharedMemory) next = NULL;

  g_test_summary ("Unlinking frees the name and leaves the memory");
  g_assert_true (mp_shared_memory_unlink (other, &error));
  g_assert_no_error (error);
  assert_absent (name);
  get_data (memory)[0] = 4;
  g_assert_cmpuint (get_data (other)[0], ==, 4);
  g_assert_false (mp_shared_memory_unlink (memory, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  g_clear_error (&error);

  next = mp_shared_memory_new_named (name, 2000, &error);
  g_assert_no_error (error);
  g_assert_false (mp_shared_memory_unlink (memory, NULL));
  g_clear_object (&memory);
  g_clear_object (&other);
  memory = mp_shared_memory_open (name, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (mp_shared_memory_get_size (memory), ==, 2000);
  g_assert_false (mp_shared_memory_unlink (anonymous, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
}

static int
open_and_unlink (gpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_open (data, NULL);

  return memory != NULL && mp_shared_memory_unlink (memory, NULL) ? 0 : 1;
}

static void
test_keep (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *name = g_strdup (get_name ("keep"));
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (name, 1000, &error);
  guint n_fds = test_count_fds ();

  g_test_summary ("A kept name stays without an object, until it is unlinked");
  mp_shared_memory_keep (memory);
  mp_shared_memory_keep (memory);
  get_data (memory)[999] = 8;
  g_clear_object (&memory);
  g_assert_cmpint (test_join (test_fork (write_there, name)), ==, 0);
  memory = mp_shared_memory_open (name, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (get_data (memory)[999], ==, 9);
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
  g_assert_true (mp_shared_memory_unlink (memory, &error));
  g_clear_object (&memory);
  assert_absent (name);
  g_assert_cmpuint (test_count_fds (), ==, n_fds - 2);

  memory = mp_shared_memory_new_named (name, 1000, &error);
  mp_shared_memory_keep (memory);
  g_clear_object (&memory);
  g_assert_cmpint (test_join (test_fork (open_and_unlink, name)), ==, 0);
  assert_absent (name);
  g_assert_cmpuint (test_count_fds (), ==, n_fds - 2);
}

static int
keep_and_end (gpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (data, 1000, NULL);

  mp_shared_memory_keep (memory);
  g_clear_object (&memory);
  memory = mp_shared_memory_open (data, NULL);
  return memory != NULL ? 0 : 1;
}

static void
test_keep_ends (void)
{
  g_autofree char *name = g_strdup (get_name ("keep-ends"));

  g_test_summary ("A kept name ends with its process");
  g_assert_cmpint (test_join (test_fork (keep_and_end, name)), ==, 0);
  assert_absent (name);
}

static void
test_handle (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *name = g_strdup (get_name ("handle"));
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (name, 1000, &error);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpShareable) other = NULL;
  g_autoptr (MpShareable) late = NULL;

  g_test_summary ("Memory that came by a handle has the name, too, and holds it");
  handle = mp_shareable_to_handle (MP_SHAREABLE (memory), fd_list, &error);
  g_assert_no_error (error);
  other = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (mp_shared_memory_get_name (MP_SHARED_MEMORY (other)), ==, name);
  g_clear_object (&memory);
  memory = mp_shared_memory_open (name, &error);
  g_assert_no_error (error);
  g_assert_true (mp_shared_memory_unlink (MP_SHARED_MEMORY (other), &error));
  assert_absent (name);
  /* It lives in the descriptor, but has no name any more. */
  late = mp_shareable_new_from_handle (handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_false (mp_shared_memory_unlink (MP_SHARED_MEMORY (late), &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
}

static void
assert_handle_refused (const char *text, GUnixFDList *fd_list, int code)
{
  g_autoptr (GVariant) handle = g_variant_ref_sink (g_variant_new_parsed (text));
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_shareable_new_from_handle (handle, fd_list, &error));
  g_assert_error (error, MP_ERROR, code);
}

static void
test_hostile (void)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new (1000, NULL);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (memory), fd_list, NULL);
  guint8 header[128];

  g_test_summary ("Handles and headers that are not what they should be");
  assert_handle_refused ("('memory', uint32 2, @a{sv} {}, [handle 0])",
                         fd_list,
                         MP_ERROR_NOT_SUPPORTED);
  assert_handle_refused ("('memory', uint32 1, @a{sv} {}, [handle 0])",
                         fd_list,
                         MP_ERROR_NOT_SUPPORTED);
  assert_handle_refused ("('memory', uint32 1, {'pidns': <uint64 1>}, [handle 0])",
                         fd_list,
                         MP_ERROR_NOT_SUPPORTED);
  g_assert_cmpint (pread (g_unix_fd_list_peek_fds (fd_list, NULL)[0], header, sizeof header, 0),
                   ==,
                   sizeof header);
  for (gsize at = 0; at < sizeof header; at++)
    {
      g_auto (MpFd) fd = memfd_create ("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      g_autoptr (GUnixFDList) forged = g_unix_fd_list_new ();
      g_autoptr (MpShareable) other = NULL;
      guint8 copy[sizeof header];

      memcpy (copy, header, sizeof header);
      copy[at] = (guint8) g_test_rand_int ();
      g_assert_no_errno (ftruncate (fd, 4096 + 1000));
      g_assert_cmpint (pwrite (fd, copy, sizeof copy, 0), ==, sizeof copy);
      g_assert_no_errno (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK));
      g_unix_fd_list_append (forged, fd, NULL);
      other = mp_shareable_new_from_handle (handle, forged, NULL);
      if (other != NULL)
        {
          MpSharedMemory *seen = MP_SHARED_MEMORY (other);

          g_assert_cmpuint (mp_shared_memory_get_size (seen), <=, 4096 + 1000);
          get_data (seen)[mp_shared_memory_get_size (seen) - 1] = 1;
        }
    }
}

static int
hold_until_killed (gpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (data, 1024 * 1024, NULL);

  return memory != NULL && raise (SIGKILL) == 0 ? 0 : 1;
}

static void
test_killed (void)
{
  g_autofree char *name = g_strdup (get_name ("killed"));
  g_autoptr (MpSharedMemory) memory = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Nothing is left of one who was killed");
  for (int i = 0; i < 20; i++)
    g_assert_cmpint (test_join (test_fork (hold_until_killed, name)), ==, -SIGKILL);
  assert_absent (name);
  g_assert_cmpint (test_join (test_fork (hold_until_killed, name)), ==, -SIGKILL);
  memory = mp_shared_memory_new_named (name, 10, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (mp_shared_memory_get_size (memory), ==, 10);
}

int
main (int argc, char **argv)
{
  g_autofree char *folder = g_dir_make_tmp ("mp-XXXXXX", NULL);
  int result;

  g_test_init (&argc, &argv, NULL);
  g_setenv ("XDG_RUNTIME_DIR", folder, TRUE);
  g_test_add_func ("/mp/shared-memory/new", test_new);
  g_test_add_func ("/mp/shared-memory/bytes", test_bytes);
  g_test_add_func ("/mp/shared-memory/limit", test_limit);
  g_test_add_func ("/mp/shared-memory/view", test_view);
  g_test_add_func ("/mp/shared-memory/named", test_named);
  g_test_add_func ("/mp/shared-memory/unlink", test_unlink);
  g_test_add_func ("/mp/shared-memory/keep", test_keep);
  g_test_add_func ("/mp/shared-memory/keep-ends", test_keep_ends);
  g_test_add_func ("/mp/shared-memory/handle", test_handle);
  g_test_add_func ("/mp/shared-memory/hostile", test_hostile);
  g_test_add_func ("/mp/shared-memory/killed", test_killed);
  result = g_test_run ();
  test_remove_tree (folder);
  return result;
}
