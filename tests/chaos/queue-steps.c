/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Who wakes another one on a queue, who is woken, and who spins beside others that sleep,
 * each killed after every number of instructions. Once somebody saw that and said so,
 * nobody sleeps beside a message; if nobody says so, not for longer than a second. */

#include <sched.h>

#include "libmp.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "test-steps.h"

#define POKED_US (test_soon () / 2)
#define UNPOKED_US (3 * test_soon ())

static guint32
count_waiters (MpQueue *queue)
{
  return (guint32) atomic_load (&queue->ring->shared->getters.waiters);
}

static void
put (gpointer object)
{
  g_assert_true (
    mp_queue_put_payload (object, (const guint8 *) "a", 1, MP_CODEC_RAW, -1, NULL, NULL));
}

static void
get (gpointer object)
{
  gsize length;
  guint codec;

  g_assert_nonnull (mp_queue_get_payload (object, -1, &length, &codec, NULL, NULL));
}

static int
get_one (gpointer data)
{
  get (data);
  return 0;
}

static GPid
start_getter (MpQueue *queue)
{
  guint32 before = count_waiters (queue);
  GPid pid = test_fork (get_one, queue);

  while (count_waiters (queue) == before)
    g_thread_yield ();
  test_wait_state (pid, 'S');
  return pid;
}

/* Returns how long the process takes to end, or @longest. */
static gint64
time_end (GPid pid, gint64 limit, gint64 longest)
{
  gint64 start = g_get_monotonic_time (), took;

  g_assert_cmpint (test_join (pid), ==, 0);
  took = g_get_monotonic_time () - start;
  g_assert_cmpint (took, <, limit);
  return MAX (took, longest);
}

static void
report (guint n, gint64 longest)
{
  g_test_message ("killed after each of %u instructions; the others waited %.1f ms at most",
                  n,
                  (double) longest / 1000);
}

static void
test_waker (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  Deed deed = { .act = put, .object = queue };
  gboolean killed = TRUE;
  gint64 longest = 0;
  guint n = get_first ();

  g_test_summary ("One that puts beside two that sleep");
  for (; killed; n += stride)
    {
      GPid first = start_getter (queue), second = start_getter (queue);

      killed = kill_after (&deed, n);
      put (queue);
      mp_queue_poke (queue);
      if (mp_queue_get_unfinished (queue) == 1)
        put (queue);
      longest = time_end (first, POKED_US, longest);
      longest = time_end (second, POKED_US, longest);
      g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 2);
      mp_queue_task_done (queue, NULL);
      mp_queue_task_done (queue, NULL);
    }
  report (n, longest);
}

static void
test_waker_alone (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  MpRingSide *side = &queue->ring->shared->getters;
  GPid getter = start_getter (queue);
  uint64_t waiters = atomic_load (&side->waiters);

  g_test_summary ("One that was killed between its commit and the wake, and nobody saw it");
  /* It sees nobody, as if it did not come to look. */
  atomic_store (&side->waiters, 0);
  put (queue);
  atomic_store (&side->waiters, waiters);
  time_end (getter, UNPOKED_US, 0);
}

/* So that it gets the processor only when we leave it. */
static void
become_idle_on (GPid pid, int cpu)
{
  const struct sched_param parameter = { 0 };
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET (cpu, &set);
  g_assert_no_errno (sched_setaffinity (pid, sizeof set, &set));
  g_assert_no_errno (sched_setscheduler (pid, SCHED_IDLE, &parameter));
}

/* Kills @pid, which sleeps in a get, *@n instructions after it was woken for one of two
 * messages. FALSE if it came to its end. */
static gboolean
kill_woken (MpQueue *queue, GPid pid, guint *n, guint step)
{
  int status;

  g_assert_no_errno ((int) ptrace (PTRACE_SEIZE, pid, NULL, NULL));
  put (queue);
  g_assert_no_errno ((int) ptrace (PTRACE_INTERRUPT, pid, NULL, NULL));
  put (queue);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  /* Somebody else wanted the processor, and it got away. */
  if (WIFEXITED (status))
    return TRUE;
  for (guint i = 0; i < *n && WIFSTOPPED (status); i++)
    {
      g_assert_no_errno ((int) ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL));
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
    }
  if (WIFEXITED (status))
    return FALSE;
  test_kill (pid);
  *n += step;
  return TRUE;
}

static void
try_woken (gboolean poked, guint first, guint step, guint last)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  gboolean killed = TRUE;
  gint64 longest = 0;
  cpu_set_t before;
  guint n = first;

  g_assert_no_errno (sched_getaffinity (0, sizeof before, &before));
  while (killed && n < last)
    {
      GPid victim = start_getter (queue), other = start_getter (queue);
      int cpu = sched_getcpu ();
      cpu_set_t here;

      CPU_ZERO (&here);
      CPU_SET (cpu, &here);
      g_assert_no_errno (sched_setaffinity (0, sizeof here, &here));
      become_idle_on (victim, cpu);
      killed = kill_woken (queue, victim, &n, step);
      g_assert_no_errno (sched_setaffinity (0, sizeof before, &before));
      if (poked)
        mp_queue_poke (queue);
      longest = time_end (other, poked ? POKED_US : UNPOKED_US, longest);
      g_assert_cmpuint (mp_queue_drain (queue), <=, 1);
    }
  report (n, longest);
}

static void
test_woken (void)
{
  g_test_summary ("One that was woken, while another one sleeps");
  try_woken (TRUE, get_first (), stride, G_MAXUINT);
}

static void
test_woken_alone (void)
{
  g_test_summary ("One that was woken, and nobody saw it die");
  try_woken (FALSE, 0, 40, 100);
}

static void
test_spinner (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  Deed deed = { .act = get, .object = queue };
  gint64 longest = 0;
  guint n = get_first ();

  g_test_summary ("One that spins beside one that sleeps");
  for (; n < 700; n += stride)
    {
      GPid other = start_getter (queue);

      g_assert_true (kill_after (&deed, n));
      put (queue);
      mp_queue_poke (queue);
      longest = time_end (other, POKED_US, longest);
    }
  report (n, longest);
}

/* One that we took, two short ones, one that was lent and came back, and, last, a long one. */
static MpQueue *
make_filled (void)
{
  MpQueue *queue = mp_queue_new (0, 0, NULL);
  g_autofree guint8 *data = g_malloc0 (2 * MP_RING_BLOCK_LENGTH);
  g_autoptr (MpLease) lease = NULL;

  for (int i = 0; i < 4; i++)
    put (queue);
  get (queue);
  lease = mp_queue_get_leased (queue, -1, NULL, NULL);
  g_assert_true (mp_lease_nack (lease, NULL));
  g_assert_true (
    mp_queue_put_payload (queue, data, 2 * MP_RING_BLOCK_LENGTH, MP_CODEC_RAW, -1, NULL, NULL));
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 5);
  return queue;
}

static void
drain (gpointer object)
{
  mp_queue_drain (object);
}

static void
test_drainer (void)
{
  gboolean killed = TRUE;
  guint n = get_first ();

  g_test_summary ("One that drains: what it took is done, and nothing else is");
  for (; killed; n += stride)
    {
      g_autoptr (MpQueue) queue = make_filled ();
      Deed deed = { .act = drain, .object = queue };

      killed = kill_after (&deed, n);
      /* Some count before anybody knows, others after. */
      if (n / stride % 2 == 0)
        g_assert_true (mp_queue_task_done (queue, NULL));
      mp_queue_poke (queue);
      if (n / stride % 2 != 0)
        g_assert_true (mp_queue_task_done (queue, NULL));
      while (mp_queue_get_payload (queue, 0, &(gsize){ 0 }, &(guint){ 0 }, NULL, NULL) != NULL)
        g_assert_true (mp_queue_task_done (queue, NULL));
      g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
    }
  report (n, 0);
}

static void
close_for_all (gpointer object)
{
  mp_queue_close_sides (object, MP_QUEUE_SIDES_GET);
}

static void
test_closer (void)
{
  gboolean killed = TRUE;
  guint n = get_first ();
  gint64 longest = 0;

  g_test_summary ("One that closes for all: what is left is done, for whoever joins");
  for (; killed; n += stride)
    {
      g_autoptr (MpQueue) queue = make_filled ();
      Deed deed = { .act = close_for_all, .object = queue };
      gint64 start;

      killed = kill_after (&deed, n);
      if (!mp_queue_get_closed (queue))
        close_for_all (queue);
      g_assert_true (mp_queue_task_done (queue, NULL));
      start = g_get_monotonic_time ();
      g_assert_true (mp_queue_join (queue, UNPOKED_US, NULL, NULL));
      longest = MAX (longest, g_get_monotonic_time () - start);
      g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
    }
  report (n, longest);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  steps_init ();
  /* These are long ways. */
  if (stride > 1)
    stride *= 4;
  g_test_add_func ("/mp/chaos/queue-steps/waker", test_waker);
  g_test_add_func ("/mp/chaos/queue-steps/waker-alone", test_waker_alone);
  g_test_add_func ("/mp/chaos/queue-steps/woken", test_woken);
  g_test_add_func ("/mp/chaos/queue-steps/woken-alone", test_woken_alone);
  g_test_add_func ("/mp/chaos/queue-steps/spinner", test_spinner);
  g_test_add_func ("/mp/chaos/queue-steps/drainer", test_drainer);
  g_test_add_func ("/mp/chaos/queue-steps/closer", test_closer);
  return g_test_run ();
}
