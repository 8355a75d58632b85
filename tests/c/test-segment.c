/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "libmp.h"
#include "base/mp-fd-private.h"
#include "memory/mp-segment-private.h"
#include "test-util.h"

#define KIND MP_SEGMENT_KIND ('t', 'e', 's', 't')
#define SIZE 65536

static const guint64 parameters[MP_SEGMENT_N_PARAMETERS] = { 1, 2, 3 };

static void
create (MpSegment *segment, gboolean growable)
{
  g_autoptr (GError) error = NULL;

  mp_segment_create (segment, "test", KIND, 1, SIZE, growable, parameters, &error);
  g_assert_no_error (error);
}

static void
assert_refused (int fd, int code, const char *why)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_segment_attach (&segment, fd, KIND, 1, &error));
  g_assert_error (error, MP_ERROR, code);
  g_assert_nonnull (strstr (error->message, why));
  g_assert_cmpint (segment.fd, ==, -1);
}

static void
test_attach (void)
{
  g_auto (MpSegment) first = MP_SEGMENT_INIT;
  g_auto (MpSegment) second = MP_SEGMENT_INIT;
  guint8 *one, *other;

  g_test_summary ("Two maps of one segment show the same memory, which starts as zeroes");
  create (&first, FALSE);
  g_assert_true (mp_segment_attach (&second, first.fd, KIND, 1, NULL));
  g_assert_cmpint (second.fd, !=, first.fd);
  g_assert_cmpint (fcntl (second.fd, F_GETFD) & FD_CLOEXEC, !=, 0);
  g_assert_cmpmem (&second.header, sizeof second.header, &first.header, sizeof first.header);
  g_assert_cmpuint (second.header.parameters[2], ==, 3);
  one = mp_segment_map (&first, 4096, 4096);
  other = mp_segment_map (&second, 4096, 4096);
  g_assert_cmpint (other[5], ==, 0);
  one[5] = 42;
  g_assert_cmpint (other[5], ==, 42);
  munmap (one, 4096);
  munmap (other, 4096);
}

static void
test_twice (void)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  guint8 *memory;

  g_test_summary ("The second map of a range is the first again");
  create (&segment, FALSE);
  memory = mp_segment_map_twice (&segment, 8192, 16384);
  memcpy (memory + 16384 - 4, "around", 7);
  g_assert_cmpmem (memory, 3, "nd", 3);
  g_assert_cmpstr ((const char *) memory + 16384 - 4, ==, "around");
  munmap (memory, 2 * 16384);
}

static void
test_bounds (void)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;

  g_test_summary ("Nothing outside the file is mapped");
  create (&segment, FALSE);
  g_assert_null (mp_segment_map (&segment, SIZE, 4096));
  g_assert_cmpint (errno, ==, EFAULT);
  g_assert_null (mp_segment_map (&segment, 4096, SIZE));
  g_assert_null (mp_segment_map (&segment, G_MAXUINT64 - 4095, 8192));
  g_assert_null (mp_segment_map (&segment, 0, 0));
  g_assert_null (mp_segment_map_twice (&segment, SIZE - 4096, 8192));
  g_assert_cmpint (errno, ==, EFAULT);
}

static void
test_seals (void)
{
  g_auto (MpSegment) fixed = MP_SEGMENT_INIT;
  g_auto (MpSegment) growable = MP_SEGMENT_INIT;

  g_test_summary ("Nobody can cut a segment, or add seals, and only a growable one grows");
  create (&fixed, FALSE);
  create (&growable, TRUE);
  g_assert_cmpint (ftruncate (fixed.fd, 4096), ==, -1);
  g_assert_cmpint (errno, ==, EPERM);
  g_assert_cmpint (ftruncate (growable.fd, 4096), ==, -1);
  g_assert_cmpint (fcntl (growable.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), ==, -1);
  g_assert_false (mp_segment_grow (&fixed, 2 * SIZE));
  g_assert_true (mp_segment_grow (&growable, 2 * SIZE));
  g_assert_cmpuint (mp_segment_get_size (&growable), ==, 2 * SIZE);
  g_assert_true (mp_segment_grow (&growable, SIZE));
  g_assert_cmpuint (mp_segment_get_size (&growable), ==, 2 * SIZE);
}

static int
grow_beyond_limit (gpointer data)
{
  MpSegment *segment = data;
  struct rlimit limit = { .rlim_cur = 2 * SIZE, .rlim_max = 2 * SIZE };

  setrlimit (RLIMIT_FSIZE, &limit);
  return !mp_segment_grow (segment, 4 * SIZE) && errno == EFBIG ? 0 : 1;
}

static void
test_limit (void)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;

  g_test_summary ("A limit on the size of files is an error, not a signal");
  create (&segment, TRUE);
  g_assert_cmpint (test_join (test_fork (grow_beyond_limit, &segment)), ==, 0);
}

static void
test_memory (void)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  struct stat status;
  guint8 *memory;

  g_test_summary ("Memory is taken ahead, and given back");
  create (&segment, TRUE);
  g_assert_true (mp_segment_grow (&segment, 64 * 1024 * 1024));
  g_assert_true (mp_segment_allocate (&segment, 1024 * 1024, 20 * 1024 * 1024));
  g_assert_no_errno (fstat (segment.fd, &status));
  g_assert_cmpuint ((guint64) status.st_blocks * 512, >=, 20 * 1024 * 1024);
  memory = mp_segment_map (&segment, 1024 * 1024, 4096);
  memory[0] = 1;
  mp_segment_punch (&segment, 1024 * 1024, 20 * 1024 * 1024);
  g_assert_cmpint (memory[0], ==, 0);
  munmap (memory, 4096);
  g_assert_no_errno (fstat (segment.fd, &status));
  g_assert_cmpuint ((guint64) status.st_blocks * 512, <, 1024 * 1024);
}

/* A memfd with the header of a good segment. */
static int
forge (const MpSegment *model, gsize size, int seals)
{
  int fd = memfd_create ("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_no_errno (ftruncate (fd, (off_t) size));
  g_assert_cmpint (pwrite (fd, &model->header, MIN (size, sizeof model->header), 0), >=, 0);
  g_assert_no_errno (fcntl (fd, F_ADD_SEALS, seals));
  return fd;
}

static void
test_forged (void)
{
  g_auto (MpSegment) model = MP_SEGMENT_INIT;
  g_auto (MpFd) unsealed = -1;
  g_auto (MpFd) truncated = -1;
  g_auto (MpFd) empty = -1;
  g_auto (MpFd) sealed = -1;
  g_auto (MpFd) good = -1;
  g_auto (MpSegment) attached = MP_SEGMENT_INIT;

  g_test_summary ("Files that only look like a segment");
  create (&model, FALSE);
  unsealed = forge (&model, SIZE, F_SEAL_GROW);
  assert_refused (unsealed, MP_ERROR_CORRUPT, "not sealed");
  truncated = forge (&model, SIZE - 1, F_SEAL_SHRINK);
  assert_refused (truncated, MP_ERROR_CORRUPT, "shorter than it says");
  empty = forge (&model, 8, F_SEAL_SHRINK);
  assert_refused (empty, MP_ERROR_CORRUPT, "too short");
  sealed = forge (&model, SIZE, F_SEAL_SHRINK | F_SEAL_WRITE);
  assert_refused (sealed, MP_ERROR_CORRUPT, "sealed against writing");
  good = forge (&model, SIZE, F_SEAL_SHRINK);
  g_assert_true (mp_segment_attach (&attached, good, KIND, 1, NULL));
}

static void
test_foreign (void)
{
  g_auto (MpSegment) model = MP_SEGMENT_INIT;
  g_auto (MpSegment) other = MP_SEGMENT_INIT;
  g_auto (MpFd) event = eventfd (0, EFD_CLOEXEC);
  g_auto (MpFd) plain = -1;
  g_auto (MpFd) null = open ("/dev/null", O_RDWR | O_CLOEXEC);
  g_auto (MpFd) reading = -1;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Descriptors of something else");
  create (&model, FALSE);
  assert_refused (event, MP_ERROR_CORRUPT, "no memfd");
  assert_refused (null, MP_ERROR_CORRUPT, "no memfd");
  plain = g_file_open_tmp ("mp-XXXXXX", &path, NULL);
  assert_refused (plain, MP_ERROR_CORRUPT, "");
  g_unlink (path);
  g_free (path);
  path = g_strdup_printf ("/proc/self/fd/%d", model.fd);
  reading = open (path, O_RDONLY | O_CLOEXEC);
  assert_refused (reading, MP_ERROR_CORRUPT, "not open for reading and writing");
  assert_refused (-1, MP_ERROR_FAILED, "Attaching");

  g_assert_false (
    mp_segment_attach (&other, model.fd, MP_SEGMENT_KIND ('e', 'l', 's', 'e'), 1, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_false (mp_segment_attach (&other, model.fd, KIND, 2, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
}

static void
test_leaks (void)
{
  g_auto (MpSegment) model = MP_SEGMENT_INIT;
  guint n_fds;

  g_test_summary ("No descriptor is left, whether it worked or not");
  create (&model, FALSE);
  n_fds = test_count_fds ();
  for (int i = 0; i < 1000; i++)
    {
      g_auto (MpSegment) segment = MP_SEGMENT_INIT;

      g_assert_cmpint (mp_segment_attach (&segment, model.fd, KIND, i % 2 == 0 ? 1 : 2, NULL),
                       ==,
                       i % 2 == 0);
    }
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/segment/attach", test_attach);
  g_test_add_func ("/mp/segment/twice", test_twice);
  g_test_add_func ("/mp/segment/bounds", test_bounds);
  g_test_add_func ("/mp/segment/seals", test_seals);
  g_test_add_func ("/mp/segment/limit", test_limit);
  g_test_add_func ("/mp/segment/memory", test_memory);
  g_test_add_func ("/mp/segment/forged", test_forged);
  g_test_add_func ("/mp/segment/foreign", test_foreign);
  g_test_add_func ("/mp/segment/leaks", test_leaks);
  return g_test_run ();
}
