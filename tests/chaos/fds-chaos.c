/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* fds-chaos [KILLS]
 *
 * Producers and consumers of messages with descriptors, killed with SIGKILL at random
 * instants. What must hold whatever happens:
 *
 * - each message has the descriptors that it was put with, and no other ones;
 * - none is delivered twice, and none is lost but what a consumer had when it was killed;
 * - in the end, nothing has any of the descriptors open. */

#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "chaos.h"
#include "libmp.h"
#include "test-queue-fds.h"

#define N_PRODUCERS 2
#define N_CONSUMERS 3
#define N_PROCESSES (N_PRODUCERS + N_CONSUMERS)
#define MAX_LIVES 2000
#define MAX_MESSAGES 16384
#define MAX_ITEMS 400 /* more than there is room for descriptors */
#define LONG (50u * 1024)

typedef struct
{
  guint32 life;
  guint32 number;
} Message;

typedef struct
{
  _Atomic guint32 done[MAX_LIVES]; /* finished puts */
  _Atomic guint64 n_got;
  _Atomic guint64 n_wrong;
  _Atomic guint64 n_errors;
  _Atomic guint32 stop; /* 1: who puts, 2: who takes */
  _Atomic guint8 got[MAX_LIVES][MAX_MESSAGES];
} Ledger;

typedef struct
{
  MpQueue *queue;
  int alive; /* goes with all messages */
  pid_t pids[N_PROCESSES];
  guint32 n_lives;
  guint32 life; /* of the one that is being started */
  int n_killed;
  guint n_consumers_killed;
} Run;

static Ledger *ledger;
static int n_kills;

static gboolean
has_fds (guint32 number)
{
  return number % 4 != 3;
}

static void
produce_one (const Run *run, Message *message)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  gsize length = message->number % 16 == 0 ? LONG : sizeof *message;

  if (has_fds (message->number))
    {
      int fd = eventfd (message->number + 1, EFD_CLOEXEC | EFD_NONBLOCK);

      g_unix_fd_list_append (fd_list, fd, NULL);
      g_unix_fd_list_append (fd_list, run->alive, NULL);
      close (fd);
    }
  if (mp_queue_put_payload_with_fds (run->queue,
                                     (const guint8 *) message,
                                     length,
                                     MP_CODEC_RAW,
                                     fd_list,
                                     -1,
                                     NULL,
                                     NULL))
    atomic_store (&ledger->done[message->life], message->number + 1);
  else
    atomic_fetch_add (&ledger->n_errors, 1);
}

static int
produce (gpointer data)
{
  static guint64 buffer[LONG / sizeof (guint64)];
  Message *message = (Message *) (gpointer) buffer;

  message->life = ((Run *) data)->life;
  while (message->number < MAX_MESSAGES && atomic_load (&ledger->stop) == 0)
    {
      produce_one (data, message);
      message->number++;
    }
  return 0;
}

static gboolean
is_right (const Message *message, gsize length, GUnixFDList *fd_list)
{
  const int *fds = g_unix_fd_list_peek_fds (fd_list, NULL);
  eventfd_t value = 0;

  if (length < sizeof *message || message->life >= MAX_LIVES || message->number >= MAX_MESSAGES ||
      length != (message->number % 16 == 0 ? LONG : sizeof *message) ||
      g_unix_fd_list_get_length (fd_list) != (has_fds (message->number) ? 2 : 0))
    return FALSE;
  return !has_fds (message->number) ||
         (eventfd_read (fds[0], &value) == 0 && value == message->number + 1);
}

/* FALSE if there was none in time. */
static gboolean
consume_one (MpQueue *queue, gint64 timeout)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes =
    mp_queue_get_bytes_with_fds (queue, timeout, NULL, &fd_list, NULL, &error);
  const Message *message;
  gsize length;

  if (bytes == NULL)
    {
      if (!g_error_matches (error, MP_ERROR, MP_ERROR_EMPTY))
        atomic_fetch_add (&ledger->n_errors, 1);
      return FALSE;
    }
  message = g_bytes_get_data (bytes, &length);
  if (!is_right (message, length, fd_list) ||
      atomic_fetch_add (&ledger->got[message->life][message->number], 1) != 0)
    atomic_fetch_add (&ledger->n_wrong, 1);
  atomic_fetch_add (&ledger->n_got, 1);
  return TRUE;
}

static int
consume (gpointer data)
{
  while (atomic_load (&ledger->stop) < 2)
    consume_one (((Run *) data)->queue, 100000);
  return 0;
}

static void
start (Run *self, int which)
{
  if (which < N_PRODUCERS)
    self->life = self->n_lives++;
  self->pids[which] = test_fork (which < N_PRODUCERS ? produce : consume, self);
}

static void
kill_at_random (Run *self)
{
  Progress progress = progress_new ();

  for (; self->n_killed < n_kills && self->n_lives < MAX_LIVES - N_PRODUCERS; self->n_killed++)
    {
      int which = g_test_rand_int_range (0, N_PROCESSES);
      struct timespec instant = { .tv_nsec = g_test_rand_int_range (0, 8000000) };

      ppoll (NULL, 0, &instant, NULL);
      kill (self->pids[which], SIGKILL);
      test_join (self->pids[which]);
      self->n_consumers_killed += which >= N_PRODUCERS;
      start (self, which);
      for (int i = 0; i < N_PRODUCERS; i++)
        {
          if (waitpid (self->pids[i], NULL, WNOHANG) == self->pids[i])
            start (self, i);
        }
      progress_watch (&progress, atomic_load (&ledger->n_got));
    }
}

static void
finish (Run *self)
{
  atomic_store (&ledger->stop, 1);
  for (int i = 0; i < N_PRODUCERS; i++)
    g_assert_cmpint (test_join (self->pids[i]), ==, 0);
  atomic_store (&ledger->stop, 2);
  for (int i = N_PRODUCERS; i < N_PROCESSES; i++)
    g_assert_cmpint (test_join (self->pids[i]), ==, 0);
  while (consume_one (self->queue, 0))
    ;
}

static void
check (Run *self)
{
  guint64 n_done = 0, n_lost = 0;

  for (guint32 life = 0; life < self->n_lives; life++)
    {
      guint32 done = atomic_load (&ledger->done[life]);

      n_done += done;
      for (guint32 i = 0; i < done; i++)
        n_lost += atomic_load (&ledger->got[life][i]) == 0;
    }
  g_test_message ("killed %d; of %" G_GUINT64_FORMAT " messages %" G_GUINT64_FORMAT
                  " were with a consumer when it was killed",
                  self->n_killed,
                  n_done,
                  n_lost);
  g_assert_cmpuint (n_done, >, 0);
  g_assert_cmpuint (n_lost, <=, self->n_consumers_killed);
  g_assert_cmpuint (atomic_load (&ledger->n_wrong), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
}

static void
try_queue (guint max_items)
{
  Run self = { .queue = queue_new (max_items, 0) };
  guint n_before = test_count_fds ();
  int fds[2];

  ledger = chaos_ledger_new (sizeof *ledger);
  g_assert_no_errno (pipe (fds));
  self.alive = fds[1];
  for (int i = 0; i < N_PROCESSES; i++)
    start (&self, i);
  kill_at_random (&self);
  finish (&self);
  check (&self);
  close (fds[1]);
  mp_queue_poke (self.queue);
  assert_closed (fds[0]);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
  g_object_unref (self.queue);
  munmap (ledger, sizeof *ledger);
}

static void
test_bounded (void)
{
  try_queue (5);
}

static void
test_many (void)
{
  try_queue (MAX_ITEMS);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = chaos_count_kills (argc, argv, 300, 900);
  g_test_add_func ("/mp/fds/chaos/bounded", test_bounded);
  g_test_add_func ("/mp/fds/chaos/many", test_many);
  return g_test_run ();
}
