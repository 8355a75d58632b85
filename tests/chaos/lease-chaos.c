/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* lease-chaos [KILLS]
 *
 * Producers and consumers with leases on one queue, killed with SIGKILL at random
 * instants. What must hold whatever happens:
 *
 * - every message whose put finished is worked on by somebody who is not killed
 *   meanwhile, whole;
 * - none is acknowledged twice, and none is delivered after it was acknowledged;
 * - in the end, the queue counts every message as done, nothing is lent, and every
 *   block came back. */

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "libmp.h"
#include "chaos.h"

#define N_PRODUCERS 2
#define N_CONSUMERS 4
#define N_PROCESSES (N_PRODUCERS + N_CONSUMERS)
#define MAX_LIVES 4000
#define MAX_MESSAGES 16384
#define MAX_LENGTH 300
#define LONG (80u * 1024)

typedef struct
{
  guint32 life;
  guint32 number;
  guint32 checksum;
  guint32 n_words;
  guint32 words[];
} Message;

typedef struct
{
  _Atomic guint8 worked; /* it was dealt with, perhaps not for the last time */
  _Atomic guint8 acked;  /* 1: its ack succeeded */
} Fate;

typedef struct
{
  _Atomic guint32 done[MAX_LIVES]; /* finished puts */
  _Atomic guint64 n_acked;
  _Atomic guint64 n_again; /* deliveries after the first */
  _Atomic guint64 n_twice;
  _Atomic guint64 n_corrupt;
  _Atomic guint64 n_errors;
  _Atomic guint32 stop;
  Fate fates[MAX_LIVES][MAX_MESSAGES];
} Ledger;

static Ledger *ledger;
static int n_kills;

static guint32
checksum (const Message *message)
{
  guint32 sum = message->life * 31 + message->number;

  for (guint32 i = 0; i < message->n_words; i++)
    sum = (sum ^ message->words[i]) * 16777619u;
  return sum;
}

static void
produce (MpQueue *queue, guint32 life)
{
  static guint32 buffer[(sizeof (Message) + LONG) / sizeof (guint32)];
  Message *message = (Message *) (gpointer) buffer;
  guint32 random = life * 2654435761u + 1;

  for (guint32 number = 0; number < MAX_MESSAGES && atomic_load (&ledger->stop) == 0; number++)
    {
      gsize size;

      message->life = life;
      message->number = number;
      message->n_words =
        next_random (&random) % ((next_random (&random) & 7) == 0 ? LONG / sizeof (guint32) : 40);
      for (guint32 i = 0; i < message->n_words; i++)
        message->words[i] = number + i;
      message->checksum = checksum (message);
      size = sizeof *message + message->n_words * sizeof (guint32);
      if (mp_queue_put_payload (queue, (guint8 *) message, size, MP_CODEC_RAW, -1, NULL, NULL))
        atomic_store (&ledger->done[life], number + 1);
      else
        atomic_fetch_add (&ledger->n_errors, 1);
    }
}

static void
work (MpLease *lease, guint32 *random)
{
  g_autoptr (GBytes) bytes = mp_lease_get_bytes (lease);
  gsize size;
  const Message *message = g_bytes_get_data (bytes, &size);
  Fate *fate;

  if (size < sizeof *message || message->life >= MAX_LIVES || message->number >= MAX_MESSAGES ||
      size != sizeof *message + message->n_words * sizeof (guint32) ||
      message->checksum != checksum (message))
    {
      atomic_fetch_add (&ledger->n_corrupt, 1);
      return;
    }
  fate = &ledger->fates[message->life][message->number];
  if (atomic_load (&fate->acked) != 0)
    atomic_fetch_add (&ledger->n_twice, 1);
  if (mp_lease_get_deliveries (lease) > 1)
    atomic_fetch_add (&ledger->n_again, 1);
  if (next_random (random) % 16 == 0)
    {
      mp_lease_nack (lease, NULL);
      return;
    }
  atomic_store (&fate->worked, 1);
  if (!mp_lease_ack (lease, NULL) || atomic_fetch_add (&fate->acked, 1) != 0)
    atomic_fetch_add (&ledger->n_twice, 1);
  atomic_fetch_add (&ledger->n_acked, 1);
}

static void
on_leased (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (MpLease) lease = mp_queue_get_leased_finish (MP_QUEUE (source), result, NULL);
  gboolean *over = user_data;

  *over = TRUE;
  if (lease != NULL)
    {
      guint32 random = (guint32) g_get_monotonic_time () | 1;

      work (lease, &random);
    }
}

static void G_GNUC_NORETURN
consume (MpQueue *queue, guint32 seed)
{
  guint32 random = seed * 2654435761u + 1;

  for (;;)
    {
      g_autoptr (MpLease) lease = NULL, other = NULL;
      gboolean over = FALSE;

      if (seed % 4 == 0)
        {
          mp_queue_get_leased_async (queue, NULL, on_leased, &over);
          while (!over)
            g_main_context_iteration (NULL, TRUE);
          continue;
        }
      lease = mp_queue_get_leased (queue, 100000, NULL, NULL);
      /* Sometimes two at once. */
      if ((next_random (&random) & 3) == 0)
        other = mp_queue_get_leased (queue, 0, NULL, NULL);
      if (lease != NULL)
        work (lease, &random);
      if (other != NULL)
        work (other, &random);
    }
}

typedef struct
{
  MpQueue *queue;
  pid_t pids[N_PROCESSES];
  guint32 n_lives;
  guint32 n_started;
  int which; /* is being started */
  int n_killed;
} Run;

static int
live (gpointer data)
{
  Run *self = data;

  if (self->which >= N_PRODUCERS)
    consume (self->queue, self->n_started);
  produce (self->queue, self->n_lives - 1);
  return 0;
}

static void
start (Run *self, int which)
{
  self->n_lives += which < N_PRODUCERS;
  self->n_started++;
  self->which = which;
  self->pids[which] = test_fork (live, self);
}

static void
kill_at_random (Run *self)
{
  guint32 random = g_test_rand_int () | 1;
  Progress progress = progress_new ();

  for (; self->n_killed < n_kills && self->n_lives < MAX_LIVES - N_PRODUCERS; self->n_killed++)
    {
      int which = (int) (next_random (&random) % N_PROCESSES);
      struct timespec instant = { .tv_nsec = next_random (&random) % 8000000 };

      ppoll (NULL, 0, &instant, NULL);
      kill (self->pids[which], SIGKILL);
      waitpid (self->pids[which], NULL, 0);
      start (self, which);
      for (int i = 0; i < N_PRODUCERS; i++)
        {
          if (waitpid (self->pids[i], NULL, WNOHANG) == self->pids[i])
            start (self, i);
        }
      progress_watch (&progress, atomic_load (&ledger->n_acked));
    }
}

/* Until all is done: join() ends although so many died. */
static void
finish (Run *self)
{
  g_autoptr (GError) error = NULL;

  atomic_store (&ledger->stop, 1);
  for (int i = 0; i < N_PRODUCERS; i++)
    waitpid (self->pids[i], NULL, 0);
  mp_queue_join (self->queue, HANG_US, NULL, &error);
  g_assert_no_error (error);
  for (int i = N_PRODUCERS; i < N_PROCESSES; i++)
    {
      kill (self->pids[i], SIGKILL);
      waitpid (self->pids[i], NULL, 0);
    }
}

static void
check (Run *self)
{
  MpStore *store = mp_ring_get_store (self->queue->ring, FALSE);
  guint64 acknowledged = 0, lost = 0;

  for (guint32 life = 0; life < self->n_lives; life++)
    {
      guint32 done = atomic_load (&ledger->done[life]);

      acknowledged += done;
      for (guint32 i = 0; i < done; i++)
        lost += atomic_load (&ledger->fates[life][i].worked) == 0;
    }
  g_test_message ("killed %d; of %" G_GUINT64_FORMAT " messages %" G_GUINT64_FORMAT
                  " were lost; delivered again %" G_GUINT64_FORMAT " times",
                  self->n_killed,
                  acknowledged,
                  lost,
                  atomic_load (&ledger->n_again));
  g_assert_cmpuint (lost, ==, 0);
  g_assert_cmpuint (acknowledged, >, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_twice), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_corrupt), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
  g_assert_cmpuint (mp_queue_get_unfinished (self->queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_n_leased (self->queue), ==, 0);
  mp_queue_poke (self->queue);
  for (int state = MP_BLOCK_OWNED; state <= MP_BLOCK_ACKING; state++)
    {
      g_assert_cmpuint (mp_store_count (store, (MpBlockState) state, FALSE), ==, 0);
      g_assert_cmpuint (mp_store_count (store, (MpBlockState) state, TRUE), ==, 0);
    }
}

static void
test_leases (void)
{
  Run self = { .n_lives = 0 };

  ledger = chaos_ledger_new (sizeof *ledger);
  self.queue = mp_queue_new (MAX_LENGTH, 0, NULL);
  for (int i = 0; i < N_PROCESSES; i++)
    start (&self, i);
  kill_at_random (&self);
  finish (&self);
  check (&self);
  g_object_unref (self.queue);
  munmap (ledger, sizeof *ledger);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = chaos_count_kills (argc, argv, 400, 2000);
  g_test_add_func ("/mp/lease/chaos", test_leases);
  return g_test_run ();
}
