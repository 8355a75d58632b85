/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* shm-chaos [KILLS]
 *
 * Processes make, open, hand on, unlink and drop named memory and published
 * objects, fork, and are killed with SIGKILL at random instants. What must hold
 * whatever happens:
 *
 * - a name resolves to what it was made for, or to nothing, and no call fails in
 *   any other way, or hangs;
 * - a name that somebody holds all the time always resolves, whoever made it;
 * - a name whose maker ends and whose forked child lives resolves;
 * - when all are dead, one sweep leaves no file, and the memory is gone. */

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libmp.h"
#include "memory/mp-registry-private.h"
#include "chaos.h"

#define N_WORKERS 5
#define N_NAMES 4
#define MEMORY_SIZE (64u * 1024)
#define FIXED_NAME "fixed"

/* Seen by all processes. */
typedef struct
{
  _Atomic guint64 n_done;
  _Atomic guint64 n_opened;
  _Atomic guint64 n_errors;
  char first_error[512];
} Ledger;

static Ledger *ledger;
static int n_kills;
/* Its writing end is open in workers and in what they forked. */
static int lives[2];

static void
complain (const char *what, const char *why)
{
  if (atomic_fetch_add (&ledger->n_errors, 1) == 0)
    g_snprintf (ledger->first_error, sizeof ledger->first_error, "%s: %s", what, why);
}

/* @a and @b: the errors that are to be expected. */
static void
check_error (const char *what, const GError *error, int a, int b)
{
  if (!g_error_matches (error, MP_ERROR, a) && !g_error_matches (error, MP_ERROR, b))
    complain (what, error != NULL ? error->message : "no error");
}

static gsize
size_of (guint which)
{
  return MEMORY_SIZE + which;
}

/* The memory of name @which says so, once who made it got that far. */
static void
check_memory (MpSharedMemory *memory, guint which)
{
  _Atomic guint32 *stamp = (_Atomic guint32 *) mp_shared_memory_get_address (memory);
  guint32 seen = atomic_load (stamp);

  if (mp_shared_memory_get_size (memory) != size_of (which) || (seen != 0 && seen != which + 1))
    complain ("content", mp_shared_memory_get_name (memory));
  atomic_store (stamp, which + 1);
}

static MpSharedMemory *
make_or_open (guint which, guint32 *random)
{
  g_autofree char *name = g_strdup_printf ("name-%u", which);
  g_autoptr (GError) error = NULL;
  MpSharedMemory *memory = NULL;

  if ((next_random (random) & 1) != 0)
    {
      memory = mp_shared_memory_new_named (name, size_of (which), &error);
      if (memory == NULL)
        check_error ("make", error, MP_ERROR_EXISTS, MP_ERROR_EXISTS);
    }
  else
    {
      memory = mp_shared_memory_open (name, &error);
      if (memory == NULL)
        check_error ("open", error, MP_ERROR_NOT_FOUND, MP_ERROR_NOT_FOUND);
      else
        atomic_fetch_add (&ledger->n_opened, 1);
    }
  if (memory != NULL)
    check_memory (memory, which);
  return memory;
}

static void
open_fixed (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_open (FIXED_NAME, &error);

  if (memory == NULL)
    complain ("a name that is held all the time", error->message);
}

/* A handle without descriptors, made and imported here; by another process it
 * would be good as long as nobody is killed. */
static void
hand_on (MpSharedMemory *memory)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (memory), NULL, &error);
  g_autoptr (MpShareable) other = NULL;

  if (handle != NULL)
    other = mp_shareable_new_from_handle (handle, NULL, &error);
  if (other == NULL)
    complain ("hand on", error->message);
}

static void
publish (guint which, guint32 *random)
{
  g_autofree char *name = g_strdup_printf ("object-%u", which);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpShareable) object = NULL;

  if ((next_random (random) & 1) != 0)
    {
      object = MP_SHAREABLE (mp_queue_new (0, 4096, NULL));
      if (!mp_shareable_publish (object, name, &error))
        check_error ("publish", error, MP_ERROR_EXISTS, MP_ERROR_EXISTS);
    }
  else
    {
      object = mp_shareable_open (name, &error);
      if (object == NULL)
        check_error ("open published", error, MP_ERROR_NOT_FOUND, MP_ERROR_NOT_FOUND);
      else if (!MP_IS_QUEUE (object))
        complain ("open published", G_OBJECT_TYPE_NAME (object));
    }
  if (next_random (random) % 8 == 0)
    mp_shareable_unpublish (name, NULL);
}

/* Ends and leaves the memory to a child, which gives it to the next one. */
static void
leave_to_child (guint32 random)
{
  if (fork () != 0)
    return;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (next_random (&random) % 2 == 0)
    open_fixed ();
  poll (NULL, 0, (int) (next_random (&random) % 4));
  _exit (0);
}

static int
work (gpointer data)
{
  guint32 random = GPOINTER_TO_UINT (data) * 2654435761u + 1;
  MpSharedMemory *held[N_NAMES] = { NULL };

  signal (SIGCHLD, SIG_IGN);
  for (guint64 i = 0; i < G_MAXUINT64; i++)
    {
      guint which = next_random (&random) % N_NAMES;

      if (held[which] == NULL)
        held[which] = make_or_open (which, &random);
      else
        {
          switch (next_random (&random) % 8)
            {
            case 0:
              mp_shared_memory_unlink (held[which], NULL);
              break;
            case 1:
              hand_on (held[which]);
              break;
            case 2:
              leave_to_child (random);
              break;
            case 3:
              mp_shared_memory_keep (held[which]);
              break;
            case 4:
              publish (which, &random);
              break;
            case 5:
              open_fixed ();
              break;
            default:
              g_clear_object (&held[which]);
            }
        }
      atomic_fetch_add (&ledger->n_done, 1);
    }
  return 0;
}

/* Holds the fixed name until the next one has it. */
static int
guard (gpointer data)
{
  int *ready = data;
  g_autoptr (MpSharedMemory) memory = mp_shared_memory_open (FIXED_NAME, NULL);

  close (lives[1]);
  if (memory == NULL)
    memory = mp_shared_memory_new_named (FIXED_NAME, 100, NULL);
  if (memory == NULL || write (ready[1], "x", 1) != 1)
    return 1;
  for (;;)
    pause ();
}

static GPid
start_guard (void)
{
  int ready[2];
  GPid pid;
  char byte;

  g_assert_no_errno (pipe (ready));
  pid = test_fork (guard, ready);
  close (ready[1]);
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  close (ready[0]);
  return pid;
}

static guint
count_files (const char *base)
{
  static const char *const folders[] = { "memory", "objects", "forks" };
  guint n = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *path = g_build_filename (base, folders[i], NULL);
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);

      while (dir != NULL && g_dir_read_name (dir) != NULL)
        n++;
    }
  return n;
}

static void
check_progress (guint64 *last, gint64 *since)
{
  guint64 now = atomic_load (&ledger->n_done);

  if (now != *last)
    {
      *last = now;
      *since = g_get_monotonic_time ();
    }
  g_assert_cmpint (g_get_monotonic_time () - *since, <, HANG_US);
}

/* A worker that was killed while it forked has left a child that looks for the fixed
 * name once more. */
static void
wait_for_children_of_workers (void)
{
  struct pollfd end = { .fd = lives[0] };

  close (lives[1]);
  g_assert_cmpint (poll (&end, 1, HANG_US / 1000), ==, 1);
  close (lives[0]);
}

static void
kill_at_random (void)
{
  guint32 random = g_test_rand_int () | 1, seed = 0;
  GPid pids[N_WORKERS], guardian;
  gint64 since = g_get_monotonic_time ();
  guint64 last = 0;

  g_assert_no_errno (pipe (lives));
  guardian = start_guard ();
  for (int i = 0; i < N_WORKERS; i++)
    pids[i] = test_fork (work, GUINT_TO_POINTER (seed++));
  for (int i = 0; i < n_kills; i++)
    {
      int which = (int) (next_random (&random) % N_WORKERS);
      struct timespec instant = { .tv_nsec = next_random (&random) % 8000000 };

      ppoll (NULL, 0, &instant, NULL);
      test_kill (pids[which]);
      pids[which] = test_fork (work, GUINT_TO_POINTER (seed++));
      if (i % 8 == 0)
        {
          GPid next = start_guard ();

          test_kill (guardian);
          guardian = next;
        }
      check_progress (&last, &since);
    }
  for (int i = 0; i < N_WORKERS; i++)
    test_kill (pids[i]);
  wait_for_children_of_workers ();
  test_kill (guardian);
}

static void
sweep (void)
{
  g_autoptr (MpSharedMemory) memory = NULL;

  mp_registry_sweep (MP_REGISTRY_MEMORY, G_MAXUINT);
  mp_registry_sweep (MP_REGISTRY_OBJECTS, G_MAXUINT);
  /* Notes of forks go when a name is looked at. */
  memory = mp_shared_memory_new_named (FIXED_NAME, 1, NULL);
  g_object_unref (mp_shared_memory_open (FIXED_NAME, NULL));
}

/* Memfds that this machine has for libmp's memory. */
static guint64
get_shared_memory (void)
{
  g_autofree char *text = NULL;
  const char *at;

  g_assert_true (g_file_get_contents ("/proc/meminfo", &text, NULL, NULL));
  at = strstr (text, "\nShmem:");
  return at != NULL ? g_ascii_strtoull (at + strlen ("\nShmem:"), NULL, 10) : 0;
}

static void
run (const char *base)
{
  guint n_fds = test_count_fds ();
  guint64 before = get_shared_memory ();
  guint n_before = count_files (base);
  gint64 end;

  ledger = chaos_ledger_new (sizeof *ledger);
  kill_at_random ();
  /* Grandchildren die by a signal when their parents do, after these. */
  end = g_get_monotonic_time () + HANG_US;
  do
    sweep ();
  while (count_files (base) > n_before && g_get_monotonic_time () < end);
  g_test_message ("killed %d of %d processes; %" G_GUINT64_FORMAT " operations, %" G_GUINT64_FORMAT
                  " of them opened somebody's memory; shared "
                  "memory before %" G_GUINT64_FORMAT " KiB, after %" G_GUINT64_FORMAT " KiB",
                  n_kills + n_kills / 8,
                  n_kills + n_kills / 8 + N_WORKERS + 1,
                  atomic_load (&ledger->n_done),
                  atomic_load (&ledger->n_opened),
                  before,
                  get_shared_memory ());
  g_assert_cmpstr (ledger->first_error, ==, "");
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_opened), >, 0);
  g_assert_cmpuint (count_files (base), <=, n_before);
  munmap (ledger, sizeof *ledger);
  g_assert_cmpuint (test_count_fds (), <=, n_fds + 1);
}

static void
test_runtime (void)
{
  g_autofree char *folder = g_dir_make_tmp ("mp-XXXXXX", NULL);
  g_autofree char *base = g_build_filename (folder, "libmp", "names", NULL);

  g_test_summary ("In XDG_RUNTIME_DIR");
  g_setenv ("XDG_RUNTIME_DIR", folder, TRUE);
  run (base);
  g_assert_cmpuint (count_files (base), ==, 0);
  test_remove_tree (folder);
}

static void
test_tmp (void)
{
  g_autofree char *base = g_strdup_printf ("/tmp/libmp-%u", geteuid ());

  g_test_summary ("Without it, in /tmp");
  g_unsetenv ("XDG_RUNTIME_DIR");
  run (base);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0 ? 1200 : 150;
  if (argc > 1)
    n_kills = (int) g_ascii_strtoll (argv[1], NULL, 10);
  g_test_add_func ("/mp/shared-memory/chaos/runtime", test_runtime);
  g_test_add_func ("/mp/shared-memory/chaos/tmp", test_tmp);
  return g_test_run ();
}
