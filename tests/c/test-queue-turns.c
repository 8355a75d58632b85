/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"
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
test_big (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, BOUND, NULL);
  GPid small[3], big;
  gint64 start = g_get_monotonic_time ();
  guint n_big = 0;

  g_test_summary ("A big message has its turn among small ones that fill the queue");
  for (int i = 0; i < 3; i++)
    small[i] = test_fork (put_small, queue);
  while (mp_queue_get_length (queue) < 10)
    g_thread_yield ();
  big = test_fork (put_big, queue);
  while (n_big < N_BIG)
    {
      gsize length;

      g_assert_nonnull (mp_queue_get_payload (queue, FAR, &length, NULL, NULL, NULL));
      n_big += length == BIG;
      g_assert_cmpint (g_get_monotonic_time () - start, <, FAR);
    }
  g_assert_cmpint (test_join (big), ==, 0);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  for (int i = 0; i < 3; i++)
    g_assert_cmpint (test_join (small[i]), ==, 0);
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

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue-turns/big", test_big);
  g_test_add_func ("/mp/queue-turns/many", test_many);
  g_test_add_func ("/mp/queue-turns/claim", test_claim);
  g_test_add_func ("/mp/queue-turns/stopped", test_stopped);
  g_test_add_func ("/mp/queue-turns/given-up", test_given_up);
  return g_test_run ();
}
