/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static GVariant *
task_square (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gint64 x = g_variant_get_int64 (argument);

  return g_variant_new_int64 (x * x);
}

static GVariant *
task_echo (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return argument != NULL ? g_variant_ref (argument) : g_variant_new_string ("nothing");
}

static GVariant *
task_add (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gint64 a;
  gint64 b;

  g_variant_get (argument, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

static GVariant *
task_pid (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return g_variant_new_int32 (getpid ());
}

/* Fails for odd numbers. */
static GVariant *
task_picky (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gint64 x = g_variant_get_int64 (argument);

  if (x % 2 == 0)
    return g_variant_new_int64 (x);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%d is odd", (int) x);
  return NULL;
}

static GVariant *
task_silent (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return NULL;
}

static GVariant *
task_exit (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  exit (g_variant_get_int32 (argument));
}

static GVariant *
task_die (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  kill (getpid (), g_variant_get_int32 (argument));
  return g_variant_new_boolean (FALSE);
}

/* Writes nonsense over all memory that is shared with it, and ends. */
static GVariant *
task_scribble (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_autofree char *maps = NULL;
  g_auto (GStrv) lines = NULL;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &maps, NULL, NULL));
  lines = g_strsplit (maps, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      gulong start, end;
      char access[8];

      if (strstr (lines[i], "memfd:") != NULL &&
          sscanf (lines[i], "%lx-%lx %7s", &start, &end, access) == 3 &&
          g_str_equal (access, "rw-s"))
        memset ((gpointer) start, 0xff, MIN (end - start, 65536));
    }
  _exit (EXIT_FAILURE);
}

/* Dies at its first attempts, as many as the argument says. */
static GVariant *
task_stubborn (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  if (mp_task_get_attempt (task) < g_variant_get_uint32 (argument))
    kill (getpid (), SIGKILL);
  return g_variant_new_uint32 (mp_task_get_attempt (task));
}

static GVariant *
task_hang (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  while (pause () < 0)
    ;
  return NULL;
}

/* Makes the file that the argument names. */
static GVariant *
task_touch (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  int fd = open (g_variant_get_bytestring (argument), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  close (fd);
  return g_variant_new_boolean (TRUE);
}

static GVariant *
task_big (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gsize n = g_variant_get_uint64 (argument);
  guint8 *data = g_malloc (n);

  memset (data, 'b', n);
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, data, n, TRUE, g_free, data);
}

/* Says that it is there by a byte to one fifo, and leaves when a byte comes from
 * the other. */
static GVariant *
task_gate (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  const char *in;
  const char *out;
  int in_fd;
  int out_fd;
  char byte = 'x';

  g_variant_get (argument, "(^&ay^&ay)", &in, &out);
  out_fd = open (out, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  in_fd = open (in, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (out_fd, >=, 0);
  g_assert_cmpint (in_fd, >=, 0);
  mp_task_report_progress (task, 0.5);
  g_assert_cmpint (write (in_fd, &byte, 1), ==, 1);
  close (in_fd);
  while (read (out_fd, &byte, 1) != 1)
    {
      struct pollfd fds = { .fd = out_fd, .events = POLLIN };

      poll (&fds, 1, -1);
    }
  close (out_fd);
  return g_variant_new_string ("through");
}

static void
say (const char *fifo)
{
  int fd = open (fifo, O_WRONLY | O_CLOEXEC);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, "x", 1), ==, 1);
  close (fd);
}

/* Says that it is there, ends when it is asked to, and says so. */
static GVariant *
task_cooperate (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  GPollFD fd;
  const char *in;

  g_variant_get (argument, "(^&ay^&ay)", &in, NULL);
  g_assert_true (g_cancellable_make_pollfd (mp_task_get_cancellable (task), &fd));
  say (in);
  g_poll (&fd, 1, -1);
  g_cancellable_release_fd (mp_task_get_cancellable (task));
  say (in);
  g_cancellable_set_error_if_cancelled (mp_task_get_cancellable (task), error);
  return NULL;
}

/* Says that it is there, and does not heed SIGTERM. */
static GVariant *
task_deaf (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  const char *in;

  g_variant_get (argument, "(^&ay^&ay)", &in, NULL);
  signal (SIGTERM, SIG_IGN);
  say (in);
  return task_hang (task, argument, user_data, error);
}

/* Fails at its first attempts, as many as the argument says. */
static GVariant *
task_flaky (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  if (mp_task_get_attempt (task) < g_variant_get_uint32 (argument))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "Attempt %u", mp_task_get_attempt (task));
      return NULL;
    }
  return g_variant_new_uint32 (mp_task_get_attempt (task));
}

/* Hangs if the argument is not 0. */
static GVariant *
task_doze (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return g_variant_get_uint32 (argument) == 0 ? g_variant_new_boolean (TRUE)
                                              : task_hang (task, argument, user_data, error);
}

/* Takes a millisecond, or as many microseconds as the argument says before anything else. */
static GVariant *
task_nap (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  guint microseconds = 1000;

  if (g_variant_is_of_type (argument, G_VARIANT_TYPE ("(uay)")))
    g_variant_get_child (argument, 0, "u", &microseconds);
  if (microseconds > 0)
    g_usleep (microseconds);
  return g_variant_new_boolean (TRUE);
}

/* Appends a byte to a file. */
static GVariant *
task_append (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  const char *path;
  guint8 byte;
  int fd;

  g_variant_get (argument, "(^&ayy)", &path, &byte);
  fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, &byte, 1), ==, 1);
  close (fd);
  return g_variant_new_byte (byte);
}

/* Takes memory, as many MiB as the argument says, and keeps it; the second part
 * of the argument is whether to stay. */
static GVariant *
task_grab (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  static GSList *grabbed;
  guint mebibytes;
  gboolean stay;
  guint8 *memory;

  g_variant_get (argument, "(ub)", &mebibytes, &stay);
  memory = g_malloc (mebibytes * 1024 * 1024);
  memset (memory, 'g', mebibytes * 1024 * 1024);
  if (stay)
    return task_hang (task, argument, user_data, error);
  grabbed = g_slist_prepend (grabbed, memory);
  return g_variant_new_int32 (getpid ());
}

static GVariant *
task_burn (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  struct rlimit limit = { 1, 2 };

  g_assert_no_errno (setrlimit (RLIMIT_CPU, &limit));
  while (mp_task_get_name (task) != NULL)
    ;
  return NULL;
}

static GVariant *
task_progress (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  for (guint i = 1; i <= 4; i++)
    mp_task_report_progress (task, i / 4.0);
  return g_variant_new_boolean (TRUE);
}

static GVariant *
task_describe (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  return g_variant_new ("(stu)",
                        mp_task_get_name (task),
                        mp_task_get_id (task),
                        mp_task_get_attempt (task));
}

void
pool_tasks_init (int *argc, char ***argv)
{
  static const struct
  {
    const char *name;
    MpTaskFunc func;
  } tasks[] = {
    { "square", task_square },     { "echo", task_echo },           { "add", task_add },
    { "pid", task_pid },           { "picky", task_picky },         { "silent", task_silent },
    { "scribble", task_scribble }, { "exit", task_exit },           { "die", task_die },
    { "stubborn", task_stubborn }, { "hang", task_hang },           { "touch", task_touch },
    { "big", task_big },           { "gate", task_gate },           { "progress", task_progress },
    { "describe", task_describe }, { "cooperate", task_cooperate }, { "deaf", task_deaf },
    { "flaky", task_flaky },       { "append", task_append },       { "grab", task_grab },
    { "burn", task_burn },         { "doze", task_doze },           { "nap", task_nap },
  };

  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    mp_task_register (tasks[i].name, tasks[i].func, NULL, NULL);
  mp_bootstrap (argc, argv);
  g_test_init (argc, argv, NULL);
}

MpPool *
pool_new_full (guint n_workers, guint max_tasks_per_worker, guint max_attempts)
{
  g_autoptr (MpContext) context = mp_context_new (MP_START_METHOD_FORKSERVER, MP_RUNTIME_NATIVE);
  g_autoptr (GError) error = NULL;
  MpPool *pool = g_initable_new (MP_TYPE_POOL,
                                 NULL,
                                 &error,
                                 "context",
                                 context,
                                 "n-workers",
                                 n_workers,
                                 "max-tasks-per-worker",
                                 max_tasks_per_worker,
                                 "max-attempts",
                                 max_attempts,
                                 NULL);

  g_assert_no_error (error);
  return pool;
}

MpPool *
pool_new_with (const char *property, ...)
{
  g_autoptr (GError) error = NULL;
  MpPool *pool;
  va_list rest;

  va_start (rest, property);
  pool = MP_POOL (g_object_new_valist (MP_TYPE_POOL, property, rest));
  va_end (rest);
  g_initable_init (G_INITABLE (pool), NULL, &error);
  g_assert_no_error (error);
  return pool;
}

MpPool *
pool_new (guint n_workers)
{
  return pool_new_full (n_workers, 0, 1);
}

static void
pool_join (MpPool *pool)
{
  g_autoptr (GError) error = NULL;

  mp_pool_join (pool, 30 * G_USEC_PER_SEC, NULL, &error);
  g_assert_no_error (error);
  g_object_unref (pool);
}

void
pool_close (MpPool *pool)
{
  mp_pool_close (pool);
  pool_join (pool);
}

void
pool_terminate (MpPool *pool)
{
  mp_pool_terminate (pool);
  pool_join (pool);
}

GVariant *
pool_numbers (guint n)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "v", g_variant_new_int64 (i));
  return g_variant_builder_end (&builder);
}

void
pool_assert_squares (GVariant *results, guint n)
{
  g_assert_nonnull (results);
  g_assert_true (g_variant_is_of_type (results, G_VARIANT_TYPE ("av")));
  g_assert_cmpuint (g_variant_n_children (results), ==, n);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (results, i);
      g_autoptr (GVariant) value = g_variant_get_variant (boxed);

      g_assert_cmpint (g_variant_get_int64 (value), ==, (gint64) i * i);
    }
}

void
pool_wait (gboolean (*condition) (gpointer user_data), gpointer user_data)
{
  while (!condition (user_data))
    g_main_context_iteration (NULL, TRUE);
}

struct _PoolGate
{
  char *folder;
  char *in;
  char *out;
  int in_fd;
  int out_fd;
};

PoolGate *
pool_gate_new (void)
{
  PoolGate *self = g_new0 (PoolGate, 1);
  g_autoptr (GError) error = NULL;

  self->folder = g_dir_make_tmp ("mp-gate-XXXXXX", &error);
  g_assert_no_error (error);
  self->in = g_build_filename (self->folder, "in", NULL);
  self->out = g_build_filename (self->folder, "out", NULL);
  g_assert_no_errno (mkfifo (self->in, 0600));
  g_assert_no_errno (mkfifo (self->out, 0600));
  /* Both ways, so that no side waits for the other to open. */
  self->in_fd = open (self->in, O_RDWR | O_CLOEXEC);
  self->out_fd = open (self->out, O_RDWR | O_CLOEXEC);
  g_assert_cmpint (self->in_fd, >=, 0);
  g_assert_cmpint (self->out_fd, >=, 0);
  return self;
}

void
pool_gate_free (PoolGate *self)
{
  close (self->in_fd);
  close (self->out_fd);
  unlink (self->in);
  unlink (self->out);
  rmdir (self->folder);
  g_free (self->in);
  g_free (self->out);
  g_free (self->folder);
  g_free (self);
}

GVariant *
pool_gate_argument (PoolGate *self)
{
  return g_variant_new ("(^ay^ay)", self->in, self->out);
}

void
pool_gate_wait (PoolGate *self, guint n)
{
  char byte;

  for (guint i = 0; i < n; i++)
    g_assert_cmpint (read (self->in_fd, &byte, 1), ==, 1);
}

void
pool_gate_open (PoolGate *self)
{
  char bytes[4096];

  memset (bytes, 'x', sizeof bytes);
  g_assert_cmpint (write (self->out_fd, bytes, sizeof bytes), ==, sizeof bytes);
}

static guint
pool_count_links (const char *prefix)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename ("/proc/self/fd", name, NULL);
      g_autofree char *target = g_file_read_link (path, NULL);

      if (target != NULL && g_str_has_prefix (target, prefix))
        n++;
    }
  return n;
}

guint
pool_count_fds (void)
{
  return pool_count_links ("");
}

guint
pool_count_memfds (void)
{
  return pool_count_links ("/memfd:");
}

void
pool_assert_fds (guint n_fds, guint n_memfds)
{
  gint64 limit = g_get_monotonic_time () + 5 * G_USEC_PER_SEC;

  while ((pool_count_fds () > n_fds || pool_count_memfds () > n_memfds) &&
         g_get_monotonic_time () < limit)
    g_thread_yield ();
  g_assert_cmpuint (pool_count_fds (), <=, n_fds);
  g_assert_cmpuint (pool_count_memfds (), <=, n_memfds);
}

gboolean
pool_process_exists (int pid)
{
  return kill (pid, 0) == 0 || errno != ESRCH;
}
