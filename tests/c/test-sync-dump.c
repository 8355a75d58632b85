/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "libmp.h"
#include "test-util.h"

typedef struct
{
  _Atomic int ready;
} Shared;

static MpLock *first;
static MpRLock *second;
static Shared *shared;

static void
setup (void)
{
  first = mp_lock_new (NULL);
  second = mp_rlock_new (NULL);
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (first != NULL && second != NULL && shared != MAP_FAILED);
}

static void
teardown (void)
{
  g_assert_finalize_object (first);
  g_assert_finalize_object (second);
  munmap (shared, sizeof *shared);
}

static void
wait_until_ready (int value)
{
  while (atomic_load (&shared->ready) != value)
    g_thread_yield ();
}

static void G_GNUC_PRINTF (2, 3) assert_contains (const char *text, const char *format, ...)
{
  g_autofree char *part = NULL;
  va_list arguments;

  va_start (arguments, format);
  part = g_strdup_vprintf (format, arguments);
  va_end (arguments);

  if (strstr (text, part) == NULL)
    g_error ("“%s” is not in:\n%s", part, text);
}

static int
take_first_then_second (gpointer data)
{
  mp_lock_acquire (first, -1, NULL, NULL);
  atomic_fetch_add (&shared->ready, 1);
  wait_until_ready (2);
  mp_rlock_acquire (second, -1, NULL, NULL);
  return 0;
}

static int
take_second_then_first (gpointer data)
{
  mp_rlock_acquire (second, -1, NULL, NULL);
  atomic_fetch_add (&shared->ready, 1);
  wait_until_ready (2);
  mp_lock_acquire (first, -1, NULL, NULL);
  return 0;
}

static void
wait_for_waiters (void)
{
  while (mp_lock_get_n_waiters (first) != 1 || mp_rlock_get_n_waiters (second) != 1)
    g_thread_yield ();
}

static void
test_dump (void)
{
  g_autoptr (MpSemaphore) semaphore = mp_semaphore_new (7, MP_SEMAPHORE_NONE, NULL);
  g_autofree char *text = NULL, *held = NULL;

  g_assert_nonnull (semaphore);
  g_test_summary ("It tells what is free and who holds what");
  setup ();
  text = mp_sync_dump ();
  assert_contains (text, "lock ");
  assert_contains (text, ": free\n");
  assert_contains (text, ": 7 units free\n");
  g_assert_true (mp_lock_acquire (first, 0, NULL, NULL));
  held = mp_sync_dump ();
  assert_contains (held, ": held by process %d, thread ", getpid ());
  g_assert_null (strstr (held, "deadlock"));
  g_assert_true (mp_lock_release (first, NULL));
  teardown ();
}

static void
test_deadlock (void)
{
  g_autofree char *text = NULL, *report = NULL, *none = NULL, *dead = NULL;
  GPid one, other;

  g_test_summary ("Two processes that wait for each other are found, also by a third");
  setup ();
  g_assert_false (mp_sync_find_deadlock (&none));
  g_assert_null (none);
  one = test_fork (take_first_then_second, NULL);
  other = test_fork (take_second_then_first, NULL);
  wait_for_waiters ();
  g_assert_true (mp_sync_find_deadlock (&report));
  g_assert_true (g_str_has_prefix (report, "deadlock: process "));
  assert_contains (report, "process %d, thread ", one);
  assert_contains (report, "process %d, thread ", other);
  g_assert_true (strchr (report, '\n') == report + strlen (report) - 1);
  g_assert_true (mp_sync_find_deadlock (NULL));
  text = mp_sync_dump ();
  assert_contains (text, "  process %d, thread ", one);
  assert_contains (text, ": waits for 0.");
  assert_contains (text, "deadlock: process ");

  g_assert_no_errno (kill (one, SIGKILL));
  g_assert_cmpint (test_join (one), ==, -SIGKILL);
  g_assert_cmpint (test_join (other), ==, 0);
  g_assert_false (mp_sync_find_deadlock (&none));
  dead = mp_sync_dump ();
  assert_contains (dead, "held (abandoned) by process %d, thread %d, which is dead", other, other);
  teardown ();
}

static int
take_twice (gpointer data)
{
  mp_lock_acquire (first, -1, NULL, NULL);
  mp_lock_acquire (first, -1, NULL, NULL);
  return 0;
}

static void
test_self (void)
{
  g_autofree char *report = NULL;
  GPid pid;

  g_test_summary ("So is a thread that waits for itself");
  setup ();
  pid = test_fork (take_twice, NULL);
  while (mp_lock_get_n_waiters (first) != 1)
    g_thread_yield ();
  g_assert_true (mp_sync_find_deadlock (&report));
  assert_contains (report, "deadlock: process %d, thread ", pid);
  g_assert_true (mp_lock_release (first, NULL));
  g_assert_cmpint (test_join (pid), ==, 0);
  teardown ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/sync-dump/dump", test_dump);
  g_test_add_func ("/mp/sync-dump/deadlock", test_deadlock);
  g_test_add_func ("/mp/sync-dump/self", test_self);
  return g_test_run ();
}
