/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "libmp.h"
#include "base/mp-fd-private.h"
#include "memory/mp-registry-private.h"
#include "test-util.h"

typedef struct
{
  char *runtime; /* what XDG_RUNTIME_DIR is, for this test */
  char *folder;  /* of names of memory */
  int ready[2];  /* pipes from and to the other process */
  int go[2];
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->runtime = g_dir_make_tmp ("mp-XXXXXX", NULL);
  self->folder = g_build_filename (self->runtime, "libmp", "names", "memory", NULL);
  g_setenv ("XDG_RUNTIME_DIR", self->runtime, TRUE);
  g_assert_no_errno (pipe2 (self->ready, O_CLOEXEC));
  g_assert_no_errno (pipe2 (self->go, O_CLOEXEC));
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  test_remove_tree (self->runtime);
  g_free (self->runtime);
  g_free (self->folder);
  for (int i = 0; i < 2; i++)
    {
      close (self->ready[i]);
      close (self->go[i]);
    }
}

static void
tell (int fd)
{
  g_assert_cmpint (write (fd, "x", 1), ==, 1);
}

/* FALSE if nobody can tell any more. */
static gboolean
hear (int fd)
{
  char byte;

  return read (fd, &byte, 1) == 1;
}

static guint
count_files (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static gboolean
resolves (const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_open (name, &error);

  if (memory == NULL)
    g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
  return memory != NULL;
}

static void
assert_refused (const char *name, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_shared_memory_open (name, &error));
  g_assert_error (error, MP_ERROR, code);
  g_clear_error (&error);
  g_assert_null (mp_shared_memory_new_named (name, 10, &error));
  g_assert_error (error, MP_ERROR, code);
}

static void
test_names (Fixture *self, gconstpointer data)
{
  g_autofree char *longest = g_strnfill (MP_REGISTRY_MAX_NAME, 'x');
  g_autofree char *too_long = g_strnfill (MP_REGISTRY_MAX_NAME + 1, 'x');
  const char *const bad[] = { "", ".", "..", "a/b", "/", "\xff", too_long };
  const char *const good[] = { "a", "...", ".x", "=", "~1.2.3.4", "ünï cödé", "a\nb", longest };

  g_test_summary ("What can be a name, and what cannot");
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_refused (bad[i], MP_ERROR_INVALID_ARGUMENT);
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (good[i], 1, &error);

      g_assert_no_error (error);
      g_assert_true (resolves (good[i]));
      g_clear_object (&memory);
      g_assert_false (resolves (good[i]));
    }
  g_assert_cmpuint (count_files (self->folder), ==, 0);
}

/* Holds a name until it is told to end. */
static int
hold (gpointer data)
{
  Fixture *self = data;
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_open ("name", NULL);

  close (self->go[1]);
  if (memory == NULL)
    memory = mp_shared_memory_new_named ("name", 100, NULL);
  if (memory == NULL)
    return 1;
  tell (self->ready[1]);
  hear (self->go[0]);
  return 0;
}

static void
test_others (Fixture *self, gconstpointer data)
{
  GPid first, second;

  g_test_summary ("A name outlives the process that made it, and goes with the last");
  first = test_fork (hold, self);
  g_assert_true (hear (self->ready[0]));
  second = test_fork (hold, self);
  g_assert_true (hear (self->ready[0]));
  test_kill (first);
  g_assert_true (resolves ("name"));
  test_kill (second);
  g_assert_cmpuint (count_files (self->folder), ==, 1);
  g_assert_cmpuint (mp_registry_sweep (MP_REGISTRY_MEMORY, G_MAXUINT), ==, 1);
  g_assert_cmpuint (count_files (self->folder), ==, 0);
  g_assert_false (resolves ("name"));
}

static void
test_visit (Fixture *self, gconstpointer data)
{
  GPid pid;

  g_test_summary ("Who makes other names takes away what the killed left");
  for (int i = 0; i < 3; i++)
    {
      g_autofree char *other = g_strdup_printf ("other-%d", i);

      pid = test_fork (hold, self);
      g_assert_true (hear (self->ready[0]));
      test_kill (pid);
      for (int j = 0; j < 3; j++)
        {
          g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (other, 1, NULL);

          g_assert_nonnull (memory);
        }
      g_assert_cmpuint (count_files (self->folder), ==, 0);
    }
}

typedef struct
{
  Fixture *fixture;
  int depth;
} Family;

/* A process that ends at once, and leaves the memory to its child; the last one
 * of them waits, without ever calling anything. */
static int
inherit (gpointer data)
{
  Family *family = data;

  if (--family->depth > 0)
    {
      if (fork () == 0)
        _exit (inherit (data));
      return 0;
    }
  tell (family->fixture->ready[1]);
  close (family->fixture->go[1]);
  hear (family->fixture->go[0]);
  tell (family->fixture->ready[1]);
  return 0;
}

static int
make_and_fork (gpointer data)
{
  MpSharedMemory *memory = mp_shared_memory_new_named ("name", 100, NULL);

  if (memory == NULL)
    return 1;
  ((guint8 *) mp_shared_memory_get_address (memory))[0] = 5;
  return inherit (data);
}

static void
test_fork_keeps (Fixture *self, gconstpointer data)
{
  g_test_summary ("A forked child keeps what it inherited, and so does its child");
  for (int depth = 2; depth < 5; depth++)
    {
      Family family = { .fixture = self, .depth = depth };
      g_autoptr (MpSharedMemory) memory = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (test_join (test_fork (make_and_fork, &family)), ==, 0);
      g_assert_true (hear (self->ready[0]));
      memory = mp_shared_memory_open ("name", &error);
      g_assert_no_error (error);
      g_assert_cmpuint (((guint8 *) mp_shared_memory_get_address (memory))[0], ==, 5);
      g_clear_object (&memory);
      tell (self->go[1]);
      g_assert_true (hear (self->ready[0]));
      /* The last of them says so before it ends; looking takes away what it leaves. */
      while (resolves ("name") || count_files (self->folder) > 0)
        g_thread_yield ();
    }
}

static int
drop_inherited (gpointer data)
{
  g_object_unref (data);
  return resolves ("name") ? 0 : 1;
}

static int
exec_something (gpointer data)
{
  execl ("/bin/sh", "sh", "-c", "read x", NULL);
  return 1;
}

static void
test_fork_drops (Fixture *self, gconstpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named ("name", 100, NULL);
  g_autofree char *forks = g_build_filename (self->runtime, "libmp", "names", "forks", NULL);
  int input[2];
  GPid pid;

  g_test_summary (
    "A child that drops or executes takes nothing from its parent, and keeps nothing");
  g_assert_cmpint (test_join (test_fork (drop_inherited, memory)), ==, 0);
  g_assert_true (resolves ("name"));
  g_assert_no_errno (pipe (input));
  dup2 (input[0], 0);
  pid = test_fork (exec_something, NULL);
  close (input[0]);
  for (;;)
    {
      g_autofree char *path = g_strdup_printf ("/proc/%d/exe", pid);
      g_autofree char *exe = g_file_read_link (path, NULL);
      g_autofree char *own = g_file_read_link ("/proc/self/exe", NULL);

      if (g_strcmp0 (exe, own) != 0)
        break;
      g_thread_yield ();
    }
  g_clear_object (&memory);
  g_assert_false (resolves ("name"));
  test_kill (pid);
  close (input[1]);
  memory = mp_shared_memory_new_named ("name", 100, NULL);
  g_assert_true (resolves ("name"));
  g_assert_cmpuint (count_files (forks), ==, 0);
}

static int
do_nothing (gpointer data)
{
  return 0;
}

static void
test_fork_often (Fixture *self, gconstpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named ("often", 10, NULL);
  g_autofree char *forks = g_build_filename (self->runtime, "libmp", "names", "forks", NULL);

  g_test_summary ("What dead children leave does not become more and more");
  g_assert_nonnull (memory);
  for (int i = 0; i < 300; i++)
    g_assert_cmpint (test_join (test_fork (do_nothing, NULL)), ==, 0);
  g_assert_cmpuint (count_files (forks), <, 100);
}

static int
lock_for_ever (gpointer data)
{
  Fixture *self = data;
  g_autofree char *path = g_build_filename (self->folder, "=name", NULL);
  int fd = open (path, O_RDWR | O_CLOEXEC);

  if (fd < 0 || flock (fd, LOCK_EX) != 0)
    return 1;
  tell (self->ready[1]);
  for (;;)
    pause ();
}

static void
test_busy (Fixture *self, gconstpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named ("name", 100, NULL);
  g_autoptr (GError) error = NULL;
  GPid pid = test_fork (lock_for_ever, self);
  gint64 start;

  g_test_summary ("A process that stands still with the lock does not stop others for ever");
  g_assert_true (hear (self->ready[0]));
  start = g_get_monotonic_time ();
  g_assert_null (mp_shared_memory_open ("name", &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "“name”"));
  g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * G_USEC_PER_SEC + test_soon ());
  g_assert_cmpint (g_get_monotonic_time () - start, >=, G_USEC_PER_SEC);
  g_clear_error (&error);
  g_assert_false (mp_shared_memory_unlink (memory, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_BUSY);
  g_clear_error (&error);
  /* Other names are free. */
  g_clear_object (&memory);
  memory = mp_shared_memory_new_named ("other", 1, &error);
  g_assert_no_error (error);
  test_kill (pid);
  g_assert_false (resolves ("name"));
}

static void
write_file (Fixture *self, const char *name, const void *data, gsize length)
{
  g_autofree char *path = g_build_filename (self->folder, name, NULL);

  g_assert_true (g_file_set_contents (path, data, (gssize) length, NULL));
}

static void
make_folder (Fixture *self)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named ("first", 1, NULL);

  g_assert_nonnull (memory);
}

static void
test_hostile_files (Fixture *self, gconstpointer data)
{
  g_autofree char *link = g_build_filename (self->folder, "=link", NULL);
  g_autofree char *folder = g_build_filename (self->folder, "=folder", NULL);
  g_autofree char *fifo = g_build_filename (self->folder, "=fifo", NULL);
  g_autofree char *huge = g_build_filename (self->folder, "=huge", NULL);
  g_autofree char *stale = g_build_filename (self->folder, "~1.2.3.4", NULL);

  g_test_summary ("Files in the folder that are none of libmp's");
  make_folder (self);
  write_file (self, "=garbage", "garbage", 7);
  write_file (self, "garbage", "garbage", 7);
  write_file (self, "=", "garbage", 7);
  write_file (self, "~garbage", "garbage", 7);
  g_assert_no_errno (symlink ("=garbage", link));
  g_assert_no_errno (mkdir (folder, 0700));
  g_assert_no_errno (mkfifo (fifo, 0600));
  write_file (self, "=huge", "x", 1);
  g_assert_no_errno (truncate (huge, (off_t) 1 << 40));
  write_file (self, "~1.2.3.4", "x", 1);
  assert_refused ("garbage", MP_ERROR_CORRUPT);
  assert_refused ("link", MP_ERROR_CORRUPT);
  assert_refused ("folder", MP_ERROR_CORRUPT);
  assert_refused ("fifo", MP_ERROR_CORRUPT);
  assert_refused ("huge", MP_ERROR_CORRUPT);
  g_assert_cmpuint (mp_registry_sweep (MP_REGISTRY_MEMORY, G_MAXUINT), ==, 0);
  g_assert_true (mp_registry_unlink (MP_REGISTRY_MEMORY, "garbage", 0, NULL));
  g_assert_false (resolves ("garbage"));
  /* What a crash of the machine may leave. */
  write_file (self, "=empty", "", 0);
  g_assert_false (resolves ("empty"));
  write_file (self, "=empty", "", 0);
  g_assert_nonnull ((g_object_unref (mp_shared_memory_new_named ("empty", 1, NULL)), self));
  g_assert_true (g_file_test (stale, G_FILE_TEST_EXISTS));
}

/* What a good file says, with a damaged byte here and there. */
static void
test_fuzz (Fixture *self, gconstpointer data)
{
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named ("name", 100, NULL);
  g_autofree char *path = g_build_filename (self->folder, "=name", NULL);
  g_autofree guint8 *good = NULL;
  gsize length;
  guint n_fds;

  g_test_summary ("Damaged files give an error, or are of no consequence");
  g_assert_nonnull (memory);
  g_assert_true (g_file_get_contents (path, (char **) &good, &length, NULL));
  n_fds = test_count_fds ();
  for (gsize i = 0; i < 4 * length; i++)
    {
      g_autofree guint8 *copy = g_memdup2 (good, length);
      g_autoptr (MpSharedMemory) seen = NULL;

      copy[i % length] ^= (guint8) (1u << g_test_rand_int_range (0, 8));
      write_file (self, "=fuzz", copy, i % 7 == 0 ? i % length : length);
      seen = mp_shared_memory_open ("fuzz", NULL);
      if (seen != NULL)
        g_assert_cmpuint (mp_shared_memory_get_size (seen), ==, 100);
    }
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 1);
}

/* Names a descriptor that is there, of a file that is something else. */
static void
test_foreign (Fixture *self, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (MpRegistryHold) name = NULL;
  g_auto (MpFd) fd = -1;
  g_autofree char *path = g_build_filename (self->runtime, "file", NULL);
  guint64 namespace;
  struct stat status;
  g_autoptr (GVariant) handle = NULL;

  g_test_summary ("A name of an ordinary file, and of a pipe");
  g_assert_no_errno (stat ("/proc/self/ns/pid", &status));
  namespace = status.st_ino;
  handle = g_variant_ref_sink (g_variant_new_parsed ("('memory', uint32 1, {'pidns': <%t>}, "
                                                     "[handle 0])",
                                                     namespace));
  fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  g_unix_fd_list_append (fd_list, fd, NULL);
  name = mp_registry_create (MP_REGISTRY_MEMORY, "file", handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_null (mp_shared_memory_open ("file", &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  g_clear_error (&error);
  g_clear_pointer (&name, mp_registry_hold_unref);
  g_clear_object (&fd_list);
  fd_list = g_unix_fd_list_new ();
  g_unix_fd_list_append (fd_list, self->ready[0], NULL);
  name = mp_registry_create (MP_REGISTRY_MEMORY, "pipe", handle, fd_list, &error);
  g_assert_no_error (error);
  g_assert_null (mp_shared_memory_open ("pipe", &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
}

static void
assert_folder_refused (const char *what)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_shared_memory_new_named ("name", 1, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, what));
}

static void
test_hostile_folder (Fixture *self, gconstpointer data)
{
  g_autofree char *libmp = g_build_filename (self->runtime, "libmp", NULL);
  g_autofree char *elsewhere = g_build_filename (self->runtime, "elsewhere", NULL);

  g_test_summary ("Folders that others can enter, or that are somewhere else");
  g_assert_no_errno (mkdir (elsewhere, 0700));
  g_assert_no_errno (symlink (elsewhere, libmp));
  assert_folder_refused ("/libmp");
  g_assert_no_errno (unlink (libmp));
  g_assert_no_errno (mkdir (libmp, 0700));
  g_assert_no_errno (chmod (libmp, 0750));
  assert_folder_refused ("/libmp");
  g_assert_no_errno (chmod (libmp, 0700));
  if (geteuid () == 0)
    {
      g_assert_no_errno (chown (libmp, 12345, 12345));
      assert_folder_refused ("/libmp");
      g_assert_no_errno (chown (libmp, 0, 0));
    }
  make_folder (self);
  g_assert_no_errno (chmod (self->folder, 0777));
  assert_folder_refused ("memory");
}

static void
test_without_runtime (Fixture *self, gconstpointer data)
{
  g_autofree char *missing = g_build_filename (self->runtime, "missing", NULL);
  const char *const values[] = { NULL, "", "relative", missing };
  g_autofree char *folder = g_strdup_printf ("/tmp/libmp-%u/memory", geteuid ());
  g_autofree char *name = g_strdup_printf ("test-%d", getpid ());
  g_autofree char *path = g_strdup_printf ("%s/=%s", folder, name);

  g_test_summary ("Where XDG_RUNTIME_DIR is of no use, names are in /tmp");
  for (gsize i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (MpSharedMemory) memory = NULL;
      struct stat status;

      if (values[i] != NULL)
        g_setenv ("XDG_RUNTIME_DIR", values[i], TRUE);
      else
        g_unsetenv ("XDG_RUNTIME_DIR");
      memory = mp_shared_memory_new_named (name, 10, &error);
      g_assert_no_error (error);
      g_assert_true (resolves (name));
      g_assert_no_errno (stat (folder, &status));
      g_assert_cmpuint (status.st_mode & 0777, ==, 0700);
      g_assert_true (g_file_test (path, G_FILE_TEST_EXISTS));
      g_clear_object (&memory);
      g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
    }
}

/* In a file system of one page, which holds the folders and no more. */
static int
fill_up (gpointer data)
{
  Fixture *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (MpSharedMemory) memory = NULL;
  g_autoptr (MpSharedMemory) second = NULL;
  g_autofree char *filler = g_build_filename (self->runtime, "filler", NULL);
  int fd;

  if (unshare (CLONE_NEWNS | (geteuid () == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
      mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount ("tmpfs", self->runtime, "tmpfs", 0, "size=8k,mode=0700") != 0)
    return 77;
  memory = mp_shared_memory_new_named ("first", 1, &error);
  g_assert_no_error (error);
  fd = open (filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  while (write (fd, filler, 1) == 1)
    ;
  second = mp_shared_memory_new_named ("second", 1, &error);
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_assert_nonnull (strstr (error->message, "second"));
  g_clear_error (&error);
  g_assert_cmpuint (count_files (self->folder), ==, 1);
  second = mp_shared_memory_open ("first", &error);
  g_assert_no_error (error);
  g_clear_object (&second);
  /* Another one cannot be noted, but nothing is spoilt. */
  if (fork () == 0)
    {
      g_object_unref (memory);
      _exit (mp_shared_memory_open ("first", &error) == NULL &&
                 g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT)
               ? 0
               : 1);
    }
  while (wait (&fd) < 0)
    ;
  if (fd != 0)
    return 1;
  g_clear_object (&memory);
  return count_files (self->folder) == 0 ? 0 : 2;
}

static void
test_full (Fixture *self, gconstpointer data)
{
  int result;

  g_test_summary ("A full file system is an error that names the name, and leaves the rest");
  result = test_join (test_fork (fill_up, self));
  if (result == 77)
    g_test_skip ("No file system can be mounted here");
  else
    g_assert_cmpint (result, ==, 0);
}

static int
make_without_room (gpointer data)
{
  g_autoptr (GError) error = NULL;
  struct rlimit limit = { .rlim_cur = 16, .rlim_max = RLIM_INFINITY };

  make_folder (data);
  setrlimit (RLIMIT_FSIZE, &limit);
  return !mp_registry_check_free (MP_REGISTRY_MEMORY, "name", &error) ||
         mp_shared_memory_new_named ("name", 1, &error) != NULL ||
         !g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT);
}

static void
test_file_limit (Fixture *self, gconstpointer data)
{
  g_test_summary ("A limit on files is an error, not a signal");
  g_assert_cmpint (test_join (test_fork (make_without_room, self)), ==, 0);
  g_assert_cmpuint (count_files (self->folder), ==, 0);
}

static int
open_without_descriptors (gpointer data)
{
  guint n_used = test_count_fds ();

  for (guint n_free = 0; n_free < 8; n_free++)
    {
      struct rlimit limit;
      int fds[128];
      guint n = 0;
      g_autoptr (GError) error = NULL;
      g_autoptr (MpSharedMemory) memory = NULL;

      getrlimit (RLIMIT_NOFILE, &limit);
      limit.rlim_cur = n_used + 64;
      setrlimit (RLIMIT_NOFILE, &limit);
      while (n < G_N_ELEMENTS (fds) && (fds[n] = dup (STDERR_FILENO)) >= 0)
        n++;
      for (guint i = 0; i < n_free; i++)
        close (fds[--n]);
      memory = mp_shared_memory_open ("name", &error);
      while (n > 0)
        close (fds[--n]);
      if (memory == NULL && !g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT))
        return 1;
      if (memory != NULL)
        return 0;
    }
  return 2;
}

static void
test_descriptors (Fixture *self, gconstpointer data)
{
  GPid pid = test_fork (hold, self);

  g_test_summary ("Who has no descriptors left does not think that holders are gone");
  g_assert_true (hear (self->ready[0]));
  g_assert_cmpint (test_join (test_fork (open_without_descriptors, NULL)), ==, 0);
  g_assert_true (resolves ("name"));
  test_kill (pid);
}

/* A process id namespace in which the same folder is seen. */
static int
open_from_elsewhere (gpointer data)
{
  pid_t pid;
  int status = 0;

  if (unshare (CLONE_NEWPID | CLONE_NEWNS | (geteuid () == 0 ? 0 : CLONE_NEWUSER)) != 0)
    return 77;
  pid = fork ();
  if (pid == 0)
    {
      g_autoptr (GError) error = NULL;

      if (mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
          mount ("proc", "/proc", "proc", 0, NULL) != 0)
        _exit (77);
      g_assert_null (mp_shared_memory_open ("name", &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
      g_assert_nonnull (strstr (error->message, "namespace"));
      g_clear_error (&error);
      g_assert_null (mp_shared_memory_new_named ("name", 1, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_EXISTS);
      g_assert_cmpuint (mp_registry_sweep (MP_REGISTRY_MEMORY, G_MAXUINT), ==, 0);
      _exit (0);
    }
  while (waitpid (pid, &status, 0) != pid)
    ;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 1;
}

static int
visit_elsewhere (gpointer data)
{
  GPid holder = test_fork (hold, data);
  Fixture *self = data;
  int result;

  hear (self->ready[0]);
  result = open_from_elsewhere (data);
  kill (holder, SIGKILL);
  return result;
}

static void
test_namespace (Fixture *self, gconstpointer data)
{
  int result = test_join (test_fork (visit_elsewhere, self));

  g_test_summary ("From another process id namespace, a name is taken and cannot be opened");
  if (result == 77)
    g_test_skip ("No process id namespace can be made here");
  else
    g_assert_cmpint (result, ==, 0);
}

static gpointer
use_names (gpointer data)
{
  for (int i = 0; i < 100; i++)
    {
      g_autofree char *name = g_strdup_printf ("name-%d", i % 5);
      g_autoptr (GError) error = NULL;
      g_autoptr (MpSharedMemory) memory = mp_shared_memory_new_named (name, 10, &error);

      if (memory == NULL)
        {
          g_assert_error (error, MP_ERROR, MP_ERROR_EXISTS);
          memory = mp_shared_memory_open (name, NULL);
        }
      if (memory != NULL && i % 3 == 0)
        mp_shared_memory_unlink (memory, NULL);
    }
  return NULL;
}

static int
use_names_too (gpointer data)
{
  use_names (NULL);
  return 0;
}

static void
test_threads (Fixture *self, gconstpointer data)
{
  GThread *threads[4];
  GPid pids[4];
  guint n_fds = test_count_fds ();

  g_test_summary ("Threads and processes at once");
  for (int i = 0; i < 4; i++)
    pids[i] = test_fork (use_names_too, NULL);
  for (int i = 0; i < 4; i++)
    threads[i] = g_thread_new ("names", use_names, NULL);
  for (int i = 0; i < 4; i++)
    {
      g_thread_join (threads[i]);
      g_assert_cmpint (test_join (pids[i]), ==, 0);
    }
  mp_registry_sweep (MP_REGISTRY_MEMORY, G_MAXUINT);
  g_assert_cmpuint (count_files (self->folder), ==, 0);
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 1);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Fixture *self, gconstpointer data);
  } tests[] = {
    { "/mp/registry/names", test_names },
    { "/mp/registry/others", test_others },
    { "/mp/registry/visit", test_visit },
    { "/mp/registry/fork-keeps", test_fork_keeps },
    { "/mp/registry/fork-drops", test_fork_drops },
    { "/mp/registry/fork-often", test_fork_often },
    { "/mp/registry/busy", test_busy },
    { "/mp/registry/hostile-files", test_hostile_files },
    { "/mp/registry/fuzz", test_fuzz },
    { "/mp/registry/foreign", test_foreign },
    { "/mp/registry/hostile-folder", test_hostile_folder },
    { "/mp/registry/without-runtime", test_without_runtime },
    { "/mp/registry/full", test_full },
    { "/mp/registry/file-limit", test_file_limit },
    { "/mp/registry/descriptors", test_descriptors },
    { "/mp/registry/namespace", test_namespace },
    { "/mp/registry/threads", test_threads },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
