/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* queue-chaos [KILLS]
 *
 * Producers and consumers on one queue, killed with SIGKILL at random instants.
 * What must hold whatever happens:
 *
 * - what a finished put has put arrives, whole and only once, unless a killed
 *   consumer had it in its hands;
 * - what one process puts arrives in that order;
 * - a batch whose producer was killed arrives completely or not at all, which is
 *   proved where no consumer is killed;
 * - the queue never hangs, can be drained and used afterwards, and has then
 *   given back its memory. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "libmp.h"
#include "chaos.h"

#define N_PRODUCERS 3
#define N_CONSUMERS 3
#define N_PROCESSES (N_PRODUCERS + N_CONSUMERS)
#define MAX_BATCH 8
#define MAX_DATA (100u * 1024)
/* Lives of producers, and messages in each. */
#define MAX_LIVES 20000
#define MAX_MESSAGES 16384
/* An unbounded queue is kept in the range where it grows and shrinks. */
#define MAX_LENGTH 3000
/* What a queue keeps of the memory of long messages, and the rest of a block. */
#define KEPT_BYTES (65u * 1024 * 1024)

typedef struct
{
  guint32 life;
  guint32 number;
  guint32 length;
  guint32 checksum;
  guint8 data[];
} Message;

typedef struct
{
  _Atomic guint32 started; /* puts that were begun, and that are finished */
  _Atomic guint32 done;
} Life;

/* Seen by all processes. */
typedef struct
{
  Life lives[MAX_LIVES];
  _Atomic guint64 n_received;
  _Atomic guint64 n_twice;
  _Atomic guint64 n_corrupt;
  _Atomic guint64 n_disordered;
  _Atomic guint64 n_errors;
  _Atomic guint32 stop;
  _Atomic guint8 received[MAX_LIVES][MAX_MESSAGES];
} Ledger;

static Ledger *ledger;
static int n_kills;

static guint32
checksum (const guint8 *data, guint32 length)
{
  guint32 sum = 2166136261u;

  for (guint32 i = 0; i < length; i++)
    sum = (sum ^ data[i]) * 16777619u;
  return sum;
}

/* Writes a message behind @buffer; returns its size. */
static gsize
make_message (guint8 *buffer, guint32 life, guint32 number, guint32 *random)
{
  Message *message = (Message *) (gpointer) buffer;

  message->life = life;
  message->number = number;
  message->length = next_random (random) % (next_random (random) % 40 == 0 ? MAX_DATA : 200u);
  for (guint32 i = 0; i < message->length; i++)
    message->data[i] = (guint8) (number + i * 7);
  message->checksum = checksum (message->data, message->length);
  return sizeof *message + message->length;
}

static gint64
random_timeout (guint32 *random)
{
  return (next_random (random) & 1) != 0 ? -1 : (gint64) (next_random (random) % 3000);
}

/* Messages in random batches, until it is told to stop. */
static void
produce (MpQueue *queue, guint32 life)
{
  static guint8 buffer[MAX_BATCH * (sizeof (Message) + MAX_DATA)];
  guint32 lengths[MAX_BATCH], random = life * 2654435761u + 1, number = 0;

  while (number < MAX_MESSAGES - MAX_BATCH && atomic_load (&ledger->stop) == 0)
    {
      g_autoptr (GError) error = NULL;
      guint32 n = (next_random (&random) & 1) != 0 ? 1 : 1 + next_random (&random) % MAX_BATCH;
      gsize used = 0;
      gboolean put;

      for (guint32 i = 0; i < n; i++)
        {
          lengths[i] = (guint32) make_message (buffer + used, life, number + i, &random);
          lengths[i] = (lengths[i] + 3u) & ~3u;
          used += lengths[i];
        }
      atomic_store (&ledger->lives[life].started, number + n);
      if (n == 1)
        put = mp_queue_put_payload (queue,
                                    buffer,
                                    used,
                                    MP_CODEC_RAW,
                                    random_timeout (&random),
                                    NULL,
                                    &error);
      else
        put = mp_queue_put_packed (queue,
                                   buffer,
                                   used,
                                   (const guint8 *) lengths,
                                   n * sizeof (guint32),
                                   MP_CODEC_RAW,
                                   random_timeout (&random),
                                   NULL,
                                   &error);
      if (put)
        {
          number += n;
          atomic_store (&ledger->lives[life].done, number);
        }
      else
        {
          atomic_store (&ledger->lives[life].started, number);
          if (!g_error_matches (error, MP_ERROR, MP_ERROR_FULL))
            atomic_fetch_add (&ledger->n_errors, 1);
        }
      while (mp_queue_get_max_bytes (queue) == 0 && mp_queue_get_length (queue) > MAX_LENGTH &&
             atomic_load (&ledger->stop) == 0)
        poll (NULL, 0, 1);
    }
}

static void
receive (const guint8 *data, gsize size)
{
  static guint32 last[MAX_LIVES];
  const Message *message = (const Message *) (gconstpointer) data;

  if (size < sizeof *message || message->life >= MAX_LIVES || message->number >= MAX_MESSAGES ||
      message->length > size - sizeof *message ||
      message->checksum != checksum (message->data, message->length))
    {
      atomic_fetch_add (&ledger->n_corrupt, 1);
      return;
    }
  if (message->number < last[message->life])
    atomic_fetch_add (&ledger->n_disordered, 1);
  last[message->life] = message->number + 1;
  if (atomic_fetch_add (&ledger->received[message->life][message->number], 1) != 0)
    atomic_fetch_add (&ledger->n_twice, 1);
  atomic_fetch_add (&ledger->n_received, 1);
}

/* Returns FALSE when there was nothing. */
static gboolean
consume_once (MpQueue *queue, gint64 timeout, guint32 max_items)
{
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  gsize length;
  guint codec;

  if (max_items == 1)
    {
      data = mp_queue_get_payload (queue, timeout, &length, &codec, NULL, &error);
      if (data != NULL)
        receive (data, length);
    }
  else
    {
      data = mp_queue_get_packed (queue, max_items, timeout, &length, NULL, &error);
      if (data != NULL)
        {
          g_autofree guint32 *copy = g_memdup2 (data, length);
          guint32 n = copy[0];
          const guint8 *bytes = (const guint8 *) &copy[1 + 2 * n];

          for (guint32 i = 0; i < n; i++)
            {
              receive (bytes, copy[1 + i]);
              bytes += copy[1 + i];
            }
        }
    }
  if (data == NULL && !g_error_matches (error, MP_ERROR, MP_ERROR_EMPTY))
    atomic_fetch_add (&ledger->n_errors, 1);
  return data != NULL;
}

static gboolean
on_ready (MpQueue *queue, gpointer user_data)
{
  guint32 *random = user_data;

  consume_once (queue, 0, 1 + next_random (random) % MAX_BATCH);
  return G_SOURCE_CONTINUE;
}

static void G_GNUC_NORETURN
consume (MpQueue *queue, guint32 seed)
{
  guint32 random = seed * 2654435761u + 1;

  /* One of three is asleep in a main loop. */
  if (seed % 3 == 0)
    mp_queue_add_watch (queue, on_ready, &random, NULL);
  for (;;)
    {
      if (seed % 3 == 0)
        g_main_context_iteration (NULL, TRUE);
      else if (seed % 3 == 1 || (next_random (&random) & 3) != 0)
        consume_once (queue,
                      random_timeout (&random),
                      (next_random (&random) & 1) != 0 ? 1 : 1 + next_random (&random) % MAX_BATCH);
      else if (mp_queue_wait_ready (queue, G_IO_IN, random_timeout (&random)))
        consume_once (queue, 0, 1);
    }
}

/* The run */

typedef struct
{
  MpQueue *queue;
  GVariant *handle;
  GUnixFDList *fd_list;
  pid_t pids[N_PROCESSES];
  guint32 n_lives;
  guint32 n_started;
  int n_producers_killed;
  int n_consumers_killed;
  int n_victims; /* producers only, or all */
  Progress progress;
} Run;

static gboolean
is_producer (int which)
{
  return which < N_PRODUCERS;
}

static void
start (Run *self, int which)
{
  guint32 life = is_producer (which) ? self->n_lives++ : 0;
  guint32 seed = self->n_started++;
  pid_t parent = getpid ();

  fflush (NULL);
  self->pids[which] = fork ();
  if (self->pids[which] == 0)
    {
      g_autoptr (MpShareable) queue = NULL;

      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (1);
      /* Every second one comes by the handle, as a stranger would. */
      if (seed % 2 == 0)
        queue = mp_shareable_new_from_handle (self->handle, self->fd_list, NULL);
      else
        queue = g_object_ref (MP_SHAREABLE (self->queue));
      if (queue == NULL)
        _exit (1);
      if (is_producer (which))
        produce (MP_QUEUE (queue), life);
      else
        consume (MP_QUEUE (queue), seed);
      _exit (0);
    }
  g_assert_cmpint (self->pids[which], >, 0);
}

static void
kill_one (Run *self, int which)
{
  g_assert_no_errno (kill (self->pids[which], SIGKILL));
  g_assert_cmpint (waitpid (self->pids[which], NULL, 0), ==, self->pids[which]);
  if (is_producer (which))
    self->n_producers_killed++;
  else
    self->n_consumers_killed++;
}

/* Fails when nothing has moved for long. */
static void
kill_at_random (Run *self, int n)
{
  guint32 random = g_test_rand_int () | 1;

  for (int i = 0; i < n && self->n_lives < MAX_LIVES - 1; i++)
    {
      int which = (int) (next_random (&random) % (guint32) self->n_victims);
      struct timespec instant = { .tv_nsec = next_random (&random) % 8000000 };

      ppoll (NULL, 0, &instant, NULL);
      kill_one (self, which);
      start (self, which);
      /* Producers that ran out of numbers. */
      for (int j = 0; j < N_PRODUCERS; j++)
        {
          if (waitpid (self->pids[j], NULL, WNOHANG) == self->pids[j])
            start (self, j);
        }
      progress_watch (&self->progress, atomic_load (&ledger->n_received));
    }
}

static void
drain (Run *self)
{
  guint64 last;

  atomic_store (&ledger->stop, 1);
  for (int i = 0; i < N_PRODUCERS; i++)
    {
      while (waitpid (self->pids[i], NULL, WNOHANG) == 0)
        {
          poll (NULL, 0, 1);
          progress_watch (&self->progress, atomic_load (&ledger->n_received));
        }
    }
  while (mp_queue_get_length (self->queue) > 0)
    {
      poll (NULL, 0, 1);
      progress_watch (&self->progress, atomic_load (&ledger->n_received));
    }
  /* Let them finish what they have in hand: idle consumers have counted all. */
  do
    {
      last = atomic_load (&ledger->n_received);
      poll (NULL, 0, 200);
    }
  while (last != atomic_load (&ledger->n_received));
  for (int i = N_PRODUCERS; i < N_PROCESSES; i++)
    {
      kill (self->pids[i], SIGKILL);
      waitpid (self->pids[i], NULL, 0);
    }
}

/* Nobody killed a consumer: then there is no doubt about anything. */
static void
check_batch (guint32 life, guint32 done, guint32 started)
{
  guint32 n_there = 0;

  for (guint32 i = done; i < started; i++)
    n_there += atomic_load (&ledger->received[life][i]);
  g_assert_true (n_there == 0 || n_there == started - done);
}

static void
check_ledger (Run *self)
{
  guint64 acknowledged = 0, lost = 0, in_doubt = 0, impossible = 0;

  for (guint32 life = 0; life < self->n_lives; life++)
    {
      guint32 done = atomic_load (&ledger->lives[life].done);
      guint32 started = atomic_load (&ledger->lives[life].started);

      acknowledged += done;
      if (self->n_consumers_killed == 0)
        check_batch (life, done, started);
      for (guint32 i = 0; i < MAX_MESSAGES; i++)
        {
          gboolean received = atomic_load (&ledger->received[life][i]) != 0;

          if (i < done)
            lost += !received;
          else if (received && i < started)
            in_doubt++;
          else if (received)
            impossible++;
        }
    }
  g_test_message ("killed %d producers and %d consumers; of %" G_GUINT64_FORMAT
                  " acknowledged messages %" G_GUINT64_FORMAT
                  " were lost (at most %d), and %" G_GUINT64_FORMAT
                  " that were not acknowledged arrived; longest pause %" G_GINT64_FORMAT " ms",
                  self->n_producers_killed,
                  self->n_consumers_killed,
                  acknowledged,
                  lost,
                  self->n_consumers_killed * MAX_BATCH,
                  in_doubt,
                  self->progress.worst / 1000);
  g_assert_cmpuint (impossible, ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_twice), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_corrupt), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_disordered), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
  g_assert_cmpuint (lost, <=, (guint64) self->n_consumers_killed * MAX_BATCH);
  g_assert_cmpuint (acknowledged, >, 0);
}

static guint64
get_memory (Run *self)
{
  const int *fds = g_unix_fd_list_peek_fds (self->fd_list, NULL);
  struct stat status;

  g_assert_no_errno (fstat (fds[0], &status));
  return (guint64) status.st_blocks * 512;
}

/* Every block came back. */
static void
check_blocks (Run *self)
{
  MpStore *store = mp_ring_get_store (self->queue->ring, FALSE);

  mp_queue_poke (self->queue);
  for (int state = MP_BLOCK_OWNED; store != NULL && state <= MP_BLOCK_ACKING; state++)
    {
      g_assert_cmpuint (mp_store_count (store, (MpBlockState) state, FALSE), ==, 0);
      g_assert_cmpuint (mp_store_count (store, (MpBlockState) state, TRUE), ==, 0);
    }
}

/* The queue works as if nothing had happened. */
static void
check_usable (Run *self)
{
  gint64 end = g_get_monotonic_time () + 5 * G_USEC_PER_SEC;
  /* The smallest segment is kept, and some blocks. */
  guint64 enough = 1024 * 1024 + (mp_queue_get_max_bytes (self->queue) != 0
                                    ? 2 * mp_queue_get_max_bytes (self->queue)
                                    : KEPT_BYTES);
  g_autoptr (GError) error = NULL;

  do
    {
      g_autoptr (GVariant) value = NULL;

      mp_queue_put (self->queue, g_variant_new_string ("still here"), 0, NULL, &error);
      g_assert_no_error (error);
      value = mp_queue_get (self->queue, 0, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "still here");
      g_assert_cmpuint (mp_queue_get_length (self->queue), ==, 0);
    }
  while (get_memory (self) > enough && g_get_monotonic_time () < end);
  g_assert_cmpuint (get_memory (self), <=, enough);
  check_blocks (self);
}

static guint
count_fds (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
run (guint max_items, guint64 max_bytes, int n_victims)
{
  Run self = { .n_victims = n_victims, .progress = progress_new () };
  guint n_fds = count_fds ();
  g_autoptr (GError) error = NULL;

  ledger = chaos_ledger_new (sizeof *ledger);
  self.queue = mp_queue_new (max_items, max_bytes, &error);
  g_assert_no_error (error);
  self.fd_list = g_unix_fd_list_new ();
  self.handle = mp_shareable_to_handle (MP_SHAREABLE (self.queue), self.fd_list, &error);
  g_assert_no_error (error);

  for (int i = 0; i < N_PROCESSES; i++)
    start (&self, i);
  kill_at_random (&self, n_kills / 3);
  drain (&self);
  check_ledger (&self);
  check_usable (&self);

  g_object_unref (self.queue);
  g_object_unref (self.fd_list);
  g_variant_unref (self.handle);
  munmap (ledger, sizeof *ledger);
  g_assert_cmpuint (count_fds (), ==, n_fds);
}

static void
test_bounded (void)
{
  g_test_summary (
    "A third of the kills, on a queue of 1 MiB that is full or empty most of the time");
  run (4096, 1024 * 1024, N_PROCESSES);
}

static void
test_unbounded (void)
{
  g_test_summary ("A third of the kills, on a queue that grows and shrinks");
  run (0, 0, N_PROCESSES);
}

static void
test_producers (void)
{
  g_test_summary ("A third of the kills, on producers only: nothing is lost, no batch is cut");
  run (0, 512 * 1024, N_PRODUCERS);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = chaos_count_kills (argc, argv, 600, 6000);
  g_test_add_func ("/mp/queue/chaos/bounded", test_bounded);
  g_test_add_func ("/mp/queue/chaos/unbounded", test_unbounded);
  g_test_add_func ("/mp/queue/chaos/producers", test_producers);
  return g_test_run ();
}
