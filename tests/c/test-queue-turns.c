/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <sys/resource.h>

#include "libmp.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "test-util.h"

#define FAR (30 * G_USEC_PER_SEC)
#define BOUND 65536
#define BIG (BOUND - 1024)
#define SMALL 100
#define N_BIG 20
/* What may lie between two looks of those who wait, several times over. */
#define VOID_AFTER (G_USEC_PER_SEC / 4)

static gboolean
put (MpQueue *queue, gsize length, gint64 timeout)
{
  static const guint8 zeroes[BIG];

  return mp_queue_put_payload (queue, zeroes, length, MP_CODEC_RAW, timeout, NULL, NULL);
}

static int
put_small (gpointer data)
{
  while (put (data, SMALL, FAR))
    ;
  return 0;
}

static int
put_big (gpointer data)
{
  for (int i = 0; i < N_BIG; i++)
    if (!put (data, BIG, FAR))
      return 1;
  return 0;
}

static void
note_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
start_big (MpQueue *queue, GCancellable *cancellable, GAsyncResult **result)
{
  g_autofree guint8 *zeroes = g_malloc0 (BIG);

  mp_queue_put_async (queue,
                      g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, zeroes, BIG - 16, 1),
                      cancellable,
                      note_result,
                      result);
}

/* In a loop. */
static int
put_big_async (gpointer data)
{
  for (int i = 0; i < N_BIG; i++)
    {
      g_autoptr (GAsyncResult) result = NULL;

      start_big (data, NULL, &result);
      while (result == NULL)
        g_main_context_iteration (NULL, TRUE);
      if (!mp_queue_put_finish (data, result, NULL))
        return 1;
    }
  return 0;
}

static int
put_many (gpointer data)
{
  GVariant *values[90];

  for (int i = 0; i < N_BIG; i++)
    {
      for (gsize j = 0; j < G_N_ELEMENTS (values); j++)
        values[j] = g_variant_new_int32 (-1);
      if (!mp_queue_put_many (data, values, G_N_ELEMENTS (values), FAR, NULL, NULL))
        return 1;
    }
  return 0;
}

static int
put_numbers (gpointer data)
{
  while (mp_queue_put (data, g_variant_new_int32 (1), FAR, NULL, NULL))
    ;
  return 0;
}

static void
try_big (int (*put_them) (gpointer data))
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, BOUND, NULL);
  GPid small[3], big;
  gint64 start = g_get_monotonic_time ();
  guint n_big = 0, n = 0;

  for (int i = 0; i < 3; i++)
    small[i] = test_fork (put_small, queue);
  while (mp_queue_get_length (queue) < 10)
    g_thread_yield ();
  big = test_fork (put_them, queue);
  while (n_big < N_BIG)
    {
      gsize length;

      g_assert_nonnull (mp_queue_get_payload (queue, FAR, &length, NULL, NULL, NULL));
      n_big += length > BIG - 16;
      /* Those with small ones fill it up again. */
      if (++n % 8 == 0)
        g_usleep (50);
      g_assert_cmpint (g_get_monotonic_time () - start, <, FAR);
    }
  g_assert_cmpint (test_join (big), ==, 0);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (test_join (small[i]), ==, 0);
}

static void
test_big (void)
{
  g_test_summary ("A big message has its turn among small ones that fill the queue");
  try_big (put_big);
}

static void
test_big_async (void)
{
  g_test_summary ("So has one that is put asynchronously");
  try_big (put_big_async);
}

static void
test_many (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (100, 0, NULL);
  GPid single[3], many;
  gint64 start = g_get_monotonic_time ();
  guint n_many = 0;

  g_test_summary ("So have many that are put together, where messages are counted");
  for (int i = 0; i < 3; i++)
    single[i] = test_fork (put_numbers, queue);
  while (mp_queue_get_length (queue) < 100)
    g_thread_yield ();
  many = test_fork (put_many, queue);
  while (n_many < 90 * N_BIG)
    {
      g_autoptr (GVariant) value = mp_queue_get (queue, FAR, NULL, NULL);

      n_many += g_variant_get_int32 (value) < 0;
      g_assert_cmpint (g_get_monotonic_time () - start, <, FAR);
    }
  g_assert_cmpint (test_join (many), ==, 0);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (test_join (single[i]), ==, 0);
}

/* Fills the queue, lets a process wait for more room than there will be, and makes
 * room for small ones. */
static GPid
start_claiming (MpQueue *queue)
{
  GPid big;

  while (put (queue, SMALL, 0))
    ;
  big = test_fork (put_big, queue);
  for (int i = 0; i < 20; i++)
    {
      gsize length;

      g_assert_nonnull (mp_queue_get_payload (queue, 0, &length, NULL, NULL, NULL));
    }
  /* Until it has claimed the room, small ones are put. */
  while (put (queue, SMALL, 0))
    {
      gsize length;

      g_assert_nonnull (mp_queue_get_payload (queue, 0, &length, NULL, NULL, NULL));
    }
  return big;
}

static void
test_claim (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, BOUND, NULL);
  GPid big = start_claiming (queue);
  gint64 start = g_get_monotonic_time ();

  g_test_summary ("While one waits for its turn, others do not take the room; a killed one "
                  "is not waited for");
  g_assert_false (put (queue, SMALL, 20000));
  test_kill (big);
  start = g_get_monotonic_time ();
  g_assert_true (put (queue, SMALL, FAR));
  g_assert_cmpint (g_get_monotonic_time () - start, <, VOID_AFTER + test_soon ());
  g_assert_true (put (queue, SMALL, 0));
}

static void
test_stopped (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, BOUND, NULL);
  GPid big = start_claiming (queue);
  gint64 start;

  g_test_summary ("Nor is one that was stopped");
  g_assert_no_errno (kill (big, SIGSTOP));
  test_wait_state (big, 'T');
  start = g_get_monotonic_time ();
  g_assert_true (put (queue, SMALL, FAR));
  g_assert_cmpint (g_get_monotonic_time () - start, <, VOID_AFTER + test_soon ());
  test_kill (big);
}

static void
test_given_up (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, BOUND, NULL);

  g_test_summary ("Who gives up waiting for its turn leaves the room to others at once");
  while (put (queue, SMALL, 0))
    ;
  for (int i = 0; i < 20; i++)
    {
      gsize length;

      g_assert_nonnull (mp_queue_get_payload (queue, 0, &length, NULL, NULL, NULL));
    }
  g_assert_false (put (queue, BIG, 50000));
  g_assert_true (put (queue, SMALL, 0));
}

static void
test_given_up_async (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, BOUND, NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("So does one that waits in a loop, when it is cancelled");
  while (put (queue, SMALL, 0))
    ;
  start_big (queue, cancellable, &result);
  while (atomic_load (&queue->ring->shared->claim_units) == 0)
    g_main_context_iteration (NULL, TRUE);
  for (int i = 0; i < 20; i++)
    {
      gsize length;

      g_assert_nonnull (mp_queue_get_payload (queue, 0, &length, NULL, NULL, NULL));
    }
  g_assert_false (put (queue, SMALL, 0));
  g_cancellable_cancel (cancellable);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_false (mp_queue_put_finish (queue, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_true (put (queue, SMALL, 0));
}

static gpointer
put_one (gpointer data)
{
  return GINT_TO_POINTER (put (data, SMALL, 0));
}

static gboolean
another_puts (MpQueue *queue)
{
  return GPOINTER_TO_INT (g_thread_join (g_thread_new ("another", put_one, queue)));
}

static gboolean
claim_for_one (MpQueue *queue)
{
  return mp_queue_claim (queue, SMALL);
}

static gboolean
claim_for_many (MpQueue *queue)
{
  return !mp_queue_wait_room (queue, 4 * SMALL, 4, FALSE, 20000);
}

/* A claim is soon void, and it may take long until another thread runs. */
static void
assert_held_up (gboolean (*claim) (MpQueue *queue), MpQueue *queue)
{
  guint n = mp_queue_get_length (queue);

  for (int i = 0; i < 100; i++)
    {
      g_assert_true (claim (queue));
      if (!another_puts (queue))
        return;
      while (mp_queue_get_length (queue) > n)
        {
          g_autoptr (GBytes) bytes = mp_queue_get_bytes (queue, 0, NULL, NULL, NULL);

          g_assert_nonnull (bytes);
        }
    }
  g_assert_not_reached ();
}

static void
test_loops_of_others (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (4, 0, NULL);
  g_autoptr (MpQueue) carrying = mp_queue_new_carrying_fds (0, 0, NULL);

  g_test_summary ("Who waits with a loop of its own, or for many, claims room for its thread");
  for (int i = 0; i < 3; i++)
    g_assert_true (put (queue, SMALL, 0));
  assert_held_up (claim_for_one, queue);
  g_assert_true (mp_queue_arm (queue, G_IO_OUT));
  mp_queue_unclaim (queue);
  g_assert_true (mp_queue_claim (queue, SMALL));
  g_assert_true (put (queue, SMALL, 0));
  g_assert_cmpuint (mp_queue_drain (queue), ==, 4);
  /* That was the end of the claim. */
  g_assert_true (another_puts (queue));

  assert_held_up (claim_for_many, queue);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 1);
  g_assert_true (mp_queue_wait_room (queue, 4 * SMALL, 4, FALSE, 0));
  mp_queue_unclaim (queue);
  g_assert_true (another_puts (queue));
  /* What there will never be is not waited for. */
  g_assert_true (mp_queue_wait_room (queue, 5 * SMALL, 5, FALSE, -1));
  mp_queue_close (queue);
  g_assert_true (mp_queue_wait_room (queue, 4 * SMALL, 4, FALSE, -1));
  g_assert_true (mp_queue_wait_room (carrying, SMALL, 1, TRUE, 0));
}

/* A claim that nobody withdraws, and that is void if @until is over. */
static void
leave_claim (MpQueue *queue, gint64 until)
{
  MpRingShared *shared = queue->ring->shared;

  atomic_store (&shared->claim_token, 1);
  atomic_store (&shared->claim_until, until);
  atomic_store (&shared->claim_units, G_MAXUINT32);
}

static int
get_blocking (gpointer data)
{
  G_GNUC_UNUSED g_autoptr (GVariant) value = mp_queue_get (data, 6 * VOID_AFTER, NULL, NULL);
  struct rusage usage;

  g_assert_no_errno (getrusage (RUSAGE_SELF, &usage));
  return (int) MIN (usage.ru_nvcsw, 100);
}

static int
wait_for_room (gpointer data)
{
  struct rusage usage;

  g_assert_false (mp_queue_wait_ready (data, G_IO_OUT, 6 * VOID_AFTER));
  g_assert_no_errno (getrusage (RUSAGE_SELF, &usage));
  return (int) MIN (usage.ru_nvcsw, 100);
}

static gboolean
give_up (gpointer user_data)
{
  g_cancellable_cancel (user_data);
  return G_SOURCE_REMOVE;
}

static int
get_in_loop (gpointer data)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GSource) end = g_timeout_source_new (6 * VOID_AFTER / 1000);
  int n = 0;

  g_main_context_push_thread_default (context);
  g_source_set_callback (end, give_up, cancellable, NULL);
  g_source_attach (end, context);
  mp_queue_get_async (data, cancellable, note_result, &result);
  while (result == NULL)
    {
      g_main_context_iteration (context, TRUE);
      n++;
    }
  g_main_context_pop_thread_default (context);
  return MIN (n, 100);
}

static void
test_void (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, BOUND, NULL);
  g_autoptr (MpQueue) full = mp_queue_new (1, 0, NULL);
  GPid pids[3];

  g_test_summary ("A void claim keeps nobody awake");
  leave_claim (queue, 1);
  pids[0] = test_fork (get_blocking, queue);
  pids[1] = test_fork (get_in_loop, queue);
  g_assert_true (put (full, SMALL, 0));
  leave_claim (full, 1);
  pids[2] = test_fork (wait_for_room, full);
  /* They look once a second: with 20 times it were 30. */
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (test_join (pids[i]), <, 15);
}

static void
test_nonsense (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary (
    "A claim where there is no bound, as only somebody hostile makes, holds up nobody");
  for (int i = 0; i < 10; i++)
    {
      leave_claim (queue, g_get_monotonic_time () + VOID_AFTER);
      g_assert_true (mp_queue_wait_ready (queue, G_IO_OUT, 0));
      g_assert_true (put (queue, BIG, 0));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue-turns/big", test_big);
  g_test_add_func ("/mp/queue-turns/big-async", test_big_async);
  g_test_add_func ("/mp/queue-turns/many", test_many);
  g_test_add_func ("/mp/queue-turns/claim", test_claim);
  g_test_add_func ("/mp/queue-turns/stopped", test_stopped);
  g_test_add_func ("/mp/queue-turns/given-up", test_given_up);
  g_test_add_func ("/mp/queue-turns/loops-of-others", test_loops_of_others);
  g_test_add_func ("/mp/queue-turns/given-up-async", test_given_up_async);
  g_test_add_func ("/mp/queue-turns/void", test_void);
  g_test_add_func ("/mp/queue-turns/nonsense", test_nonsense);
  return g_test_run ();
}
