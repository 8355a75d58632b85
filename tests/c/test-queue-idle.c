/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* A message does not wait while anybody is idle who could take it, nor does room
 * while somebody wants to put: whichever way each of them waits. */

#include "libmp.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "test-util.h"

#define FAR (30 * G_USEC_PER_SEC)
#define N_PROCESSES 4
#define N_MESSAGES 1000
#define P99_US 5000
/* The machine may have something else to do, but not most of the time. */
#define N_TRIES 3
#define MAX_LATE 1

typedef struct
{
  MpQueue *work, *times;
} Queues;

/* Takes one message, tells how long it lay there, and is busy for a while: without that nobody
 * ever had to wait. */
static gboolean
handle (Queues *queues)
{
  g_autoptr (GVariant) put_at = mp_queue_get (queues->work, 0, NULL, NULL);
  gint64 late;

  if (put_at == NULL)
    return !mp_queue_get_closed (queues->work);
  late = g_get_monotonic_time () - g_variant_get_int64 (put_at);
  mp_queue_put (queues->times, g_variant_new_int64 (late), FAR, NULL, NULL);
  g_usleep ((gulong) g_random_int_range (200, 4000));
  mp_queue_task_done (queues->work, NULL);
  return TRUE;
}

static int
block (gpointer data)
{
  Queues *queues = data;

  while (mp_queue_wait_ready (queues->work, G_IO_IN, FAR) && handle (queues))
    ;
  return 0;
}

static gboolean
on_message (MpQueue *queue, gpointer user_data)
{
  return handle (user_data);
}

static int
watch (gpointer data)
{
  Queues *queues = data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSource) source = NULL;

  g_main_context_push_thread_default (context);
  source = mp_queue_create_source (queues->work, NULL);
  g_source_set_callback (source, G_SOURCE_FUNC (on_message), queues, NULL);
  g_source_attach (source, context);
  while (!g_source_is_destroyed (source))
    g_main_context_iteration (context, TRUE);
  g_main_context_pop_thread_default (context);
  return 0;
}

static int
poll_together (gpointer data)
{
  Queues *queues = data;
  MpWaitable *waitable = MP_WAITABLE (queues->work);
  gboolean going = TRUE;

  while (going)
    {
      g_autoptr (GPtrArray) ready = mp_wait (&waitable, 1, FAR, NULL, NULL);

      going = ready != NULL && handle (queues);
    }
  return 0;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

static gint64
get_p99 (gint64 *times)
{
  qsort (times, N_MESSAGES, sizeof *times, compare);
  g_test_message ("half within %" G_GINT64_FORMAT " us, 99 %% within %" G_GINT64_FORMAT
                  " us, all within %" G_GINT64_FORMAT " us",
                  times[N_MESSAGES / 2],
                  times[N_MESSAGES * 99 / 100],
                  times[N_MESSAGES - 1]);
  return times[N_MESSAGES * 99 / 100];
}

/* Puts a message only when one of the processes has nothing to do. */
static gint64
measure (Queues *queues)
{
  gint64 times[N_MESSAGES];

  for (int i = 0; i < N_MESSAGES; i++)
    {
      while (mp_queue_get_unfinished (queues->work) >= N_PROCESSES)
        g_usleep (50);
      mp_queue_put (queues->work, g_variant_new_int64 (g_get_monotonic_time ()), FAR, NULL, NULL);
    }
  for (int i = 0; i < N_MESSAGES; i++)
    {
      g_autoptr (GVariant) late = mp_queue_get (queues->times, FAR, NULL, NULL);

      g_assert_nonnull (late);
      times[i] = g_variant_get_int64 (late);
    }
  return get_p99 (times);
}

static void
test_mixed (gconstpointer data)
{
  int (*const *bodies) (gpointer) = data;
  g_autoptr (MpQueue) work = mp_queue_new (0, 0, NULL), times = mp_queue_new (0, 0, NULL);
  Queues queues = { .work = work, .times = times };
  GPid pids[N_PROCESSES];
  guint n_late = 0;

  for (int i = 0; i < N_PROCESSES; i++)
    pids[i] = test_fork (bodies[i], &queues);
  for (int i = 0; i < N_TRIES; i++)
    n_late += measure (&queues) >= P99_US;
  g_assert_cmpuint (n_late, <=, MAX_LATE);
  mp_queue_close (work);
  for (int i = 0; i < N_PROCESSES; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
}

/* The other side: those who wait for room, in one way or another. */

static int
put_blocking (gpointer data)
{
  Queues *queues = data;

  while (mp_queue_put (queues->work, g_variant_new_int64 (0), FAR, NULL, NULL))
    ;
  return 0;
}

/* Is busy for a while after each message, and cannot use what room there is. */
static int
put_blocking_and_work (gpointer data)
{
  Queues *queues = data;

  while (mp_queue_put (queues->work, g_variant_new_int64 (0), FAR, NULL, NULL))
    g_usleep ((gulong) g_random_int_range (200, 4000));
  return 0;
}

typedef struct
{
  guint n_pending;
  gboolean works, ended;
} Loop;

static void
on_put (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Loop *self = user_data;

  self->n_pending--;
  if (!mp_queue_put_finish (MP_QUEUE (source), result, NULL))
    self->ended = TRUE;
  else if (self->works)
    g_usleep ((gulong) g_random_int_range (200, 4000));
}

static int
put_in_loop (Queues *queues, Loop *loop, guint n_at_once)
{
  g_autoptr (GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  while (!loop->ended || loop->n_pending > 0)
    {
      for (; !loop->ended && loop->n_pending < n_at_once; loop->n_pending++)
        mp_queue_put_async (queues->work, g_variant_new_int64 (0), NULL, on_put, loop);
      g_main_context_iteration (context, TRUE);
    }
  g_main_context_pop_thread_default (context);
  return 0;
}

static int
put_async (gpointer data)
{
  Loop loop = { .works = FALSE };

  return put_in_loop (data, &loop, 1);
}

static int
put_several_async (gpointer data)
{
  Loop loop = { .works = FALSE };

  return put_in_loop (data, &loop, 5);
}

/* Its loop is busy while others of its messages wait. */
static int
put_several_async_and_work (gpointer data)
{
  Loop loop = { .works = TRUE };

  return put_in_loop (data, &loop, 2);
}

static gint64
measure_room (MpQueue *work)
{
  gint64 times[N_MESSAGES];

  for (int i = 0; i < N_MESSAGES; i++)
    {
      gint64 start = g_get_monotonic_time ();

      /* What one put when the last was taken. */
      g_variant_unref (mp_queue_get (work, FAR, NULL, NULL));
      times[i] = g_get_monotonic_time () - start;
      /* Some find those awake that put, and some asleep. */
      if (i % 4 == 0)
        g_usleep (300);
    }
  return get_p99 (times);
}

static void
test_room (gconstpointer data)
{
  int (*const *bodies) (gpointer) = data;
  g_autoptr (MpQueue) work = mp_queue_new (1, 0, NULL);
  Queues queues = { .work = work };
  GPid pids[N_PROCESSES];
  guint n_late = 0;

  for (int i = 0; i < N_PROCESSES; i++)
    pids[i] = test_fork (bodies[i], &queues);
  for (int i = 0; i < N_TRIES; i++)
    n_late += measure_room (work) >= P99_US;
  g_assert_cmpuint (n_late, <=, MAX_LATE);
  mp_queue_close_sides (work, MP_QUEUE_SIDES_GET);
  for (int i = 0; i < N_PROCESSES; i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
}

static gboolean
is_signalled (MpQueue *queue, GIOCondition condition)
{
  GPollFD poll = { .fd = mp_queue_get_fd (queue, condition), .events = G_IO_IN };

  return g_poll (&poll, 1, 0) == 1;
}

static void
note_put (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(gboolean *) user_data = mp_queue_put_finish (MP_QUEUE (source), result, NULL);
}

static void
start_put (MpQueue *queue, GMainContext *context, gboolean *done)
{
  g_main_context_push_thread_default (context);
  mp_queue_put_async (queue, g_variant_new_int64 (0), NULL, note_put, done);
  g_main_context_pop_thread_default (context);
  while (g_main_context_iteration (context, FALSE))
    ;
}

static void
test_turn (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (1, 0, NULL);
  g_autoptr (GMainContext) first = g_main_context_new (), second = g_main_context_new ();
  gboolean first_done = FALSE, second_done = FALSE;

  g_test_summary ("A loop that has to wait leaves the wake to the one whose turn it is");
  mp_queue_put (queue, g_variant_new_int64 (0), 0, NULL, NULL);
  start_put (queue, first, &first_done);
  while (!mp_ring_has_claim (queue->ring))
    g_main_context_iteration (first, TRUE);
  start_put (queue, second, &second_done);
  g_assert_false (is_signalled (queue, G_IO_OUT));

  g_variant_unref (mp_queue_get (queue, 0, NULL, NULL));
  g_assert_true (is_signalled (queue, G_IO_OUT));
  for (int i = 0; i < 3; i++)
    g_main_context_iteration (second, FALSE);
  g_assert_false (second_done);
  g_assert_true (is_signalled (queue, G_IO_OUT));
  /* Nor does the loop of somebody else. */
  g_assert_false (mp_queue_arm (queue, G_IO_OUT));
  g_assert_true (is_signalled (queue, G_IO_OUT));
  while (!first_done)
    g_main_context_iteration (first, FALSE);

  g_variant_unref (mp_queue_get (queue, 0, NULL, NULL));
  while (!second_done)
    g_main_context_iteration (second, FALSE);
}

/* A message is there when it has been looked for so often; never if that is 0. */
typedef struct
{
  MpQueue *queue;
  guint n_looks, put_at;
} Looker;

static gboolean
put_in_time (gpointer user_data)
{
  Looker *self = user_data;

  if (++self->n_looks == self->put_at)
    mp_queue_put (self->queue, g_variant_new_int64 (0), 0, NULL, NULL);
  return mp_queue_get_length (self->queue) > 0;
}

static void
test_look (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  Looker looker = { .queue = queue };
  MpSpin spins[2] = { 0 };

  g_test_summary ("Who looks for a message before others do takes it; nobody else is woken");
  g_assert_false (mp_queue_arm (queue, G_IO_IN));
  g_assert_false (mp_ring_look_before_others (queue->ring, spins, put_in_time, &looker));
  g_assert_cmpuint (looker.n_looks, >, 0);

  memset (spins, 0, sizeof spins);
  looker = (Looker){ .queue = queue, .put_at = 2 };
  g_assert_true (mp_ring_look_before_others (queue->ring, spins, put_in_time, &looker));
  g_assert_false (is_signalled (queue, G_IO_IN));
  g_variant_unref (mp_queue_get (queue, 0, NULL, NULL));

  /* Nobody looks any more. */
  mp_queue_put (queue, g_variant_new_int64 (0), 0, NULL, NULL);
  g_assert_true (is_signalled (queue, G_IO_IN));
}

int
main (int argc, char **argv)
{
  static int (*const sources[]) (gpointer) = { watch, watch, watch, watch };
  static int (*const mixed[]) (gpointer) = { watch, block, watch, block };
  static int (*const all[]) (gpointer) = { watch, block, poll_together, poll_together };
  static int (*const loops[]) (gpointer) = { put_async, put_async, put_async, put_several_async };
  static int (*const both[]) (gpointer) = { put_blocking, put_async, put_blocking, put_async };
  static int (*const busy[]) (gpointer) = { put_several_async_and_work,
                                            put_blocking_and_work,
                                            put_several_async_and_work,
                                            put_blocking };

  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/mp/queue-idle/sources", sources, test_mixed);
  g_test_add_data_func ("/mp/queue-idle/mixed", mixed, test_mixed);
  g_test_add_data_func ("/mp/queue-idle/all-kinds", all, test_mixed);
  g_test_add_data_func ("/mp/queue-idle/room/loops", loops, test_room);
  g_test_add_data_func ("/mp/queue-idle/room/mixed", both, test_room);
  g_test_add_data_func ("/mp/queue-idle/room/busy", busy, test_room);
  g_test_add_func ("/mp/queue-idle/turn", test_turn);
  g_test_add_func ("/mp/queue-idle/look", test_look);
  return g_test_run ();
}
