/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How long a message takes there and back between two processes: on two processors, where
 * the answer comes at once; to one that has gone to sleep; on one processor; and with more
 * processes than processors. Beside it, in turns, what the kernel has: a futex of which
 * nothing is asked but to wake, pipes and sockets. */

#include "libmp.h"

#include "bench-rounds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_ROUNDS 9
#define N_PAIRS 4
/* After that everybody sleeps. */
#define PAUSE_NS (300 * 1000)

typedef struct
{
  gint64 sent; /* nanoseconds */
  gint64 filler;
} Message;

/* One direction. */
typedef struct
{
  MpQueue *queue;
  int in, out;
  struct
  {
    _Atomic uint32_t word; /* 1: there is a message */
    Message message;
  } * shared;
} Way;

typedef struct
{
  const char *name;
  void (*open) (Way ways[2]);
  void (*put) (Way *way, const Message *message);
  void (*get) (Way *way, Message *message);
} Peer;

static guint n_rounds = 7;
static guint share = 1; /* of the usual numbers of messages */

static gint64
now (void)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000 + time.tv_nsec;
}

/* The peers */

static void
queue_open (Way ways[2])
{
  for (int i = 0; i < 2; i++)
    ways[i].queue = mp_queue_new (0, 65536, NULL);
}

static void
queue_put (Way *way, const Message *message)
{
  if (!mp_queue_put_payload (way->queue,
                             (const guint8 *) message,
                             sizeof *message,
                             MP_CODEC_RAW,
                             -1,
                             NULL,
                             NULL))
    g_error ("The put failed");
}

static void
queue_get (Way *way, Message *message)
{
  gsize length;
  guint codec;
  const guint8 *data = mp_queue_get_payload (way->queue, -1, &length, &codec, NULL, NULL);

  if (data == NULL)
    g_error ("The get failed");
  memcpy (message, data, sizeof *message);
}

static void
futex_open (Way ways[2])
{
  for (int i = 0; i < 2; i++)
    ways[i].shared = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void
futex_put (Way *way, const Message *message)
{
  way->shared->message = *message;
  atomic_store (&way->shared->word, 1);
  syscall (SYS_futex, &way->shared->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void
futex_get (Way *way, Message *message)
{
  while (atomic_load (&way->shared->word) == 0)
    syscall (SYS_futex, &way->shared->word, FUTEX_WAIT, 0, NULL, NULL, 0);
  *message = way->shared->message;
  atomic_store (&way->shared->word, 0);
}

static void
pipe_open (Way ways[2])
{
  for (int i = 0; i < 2; i++)
    {
      int fds[2];

      if (pipe2 (fds, O_CLOEXEC) != 0)
        g_error ("No pipe: %s", g_strerror (errno));
      ways[i].in = fds[0];
      ways[i].out = fds[1];
    }
}

static void
sockets_open (Way ways[2])
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    g_error ("No sockets: %s", g_strerror (errno));
  ways[0].out = ways[1].in = fds[0];
  ways[1].out = ways[0].in = fds[1];
}

static void
fds_put (Way *way, const Message *message)
{
  if (write (way->out, message, sizeof *message) != sizeof *message)
    g_error ("The write failed: %s", g_strerror (errno));
}

static void
fds_get (Way *way, Message *message)
{
  if (read (way->in, message, sizeof *message) != sizeof *message)
    g_error ("The read failed: %s", g_strerror (errno));
}

static const Peer peers[] = {
  { "libmp", queue_open, queue_put, queue_get },
  { "futex", futex_open, futex_put, futex_get },
  { "pipe", pipe_open, fds_put, fds_get },
  { "socketpair", sockets_open, fds_put, fds_get },
};

/* What is measured */

typedef struct
{
  const char *name;
  guint n_pairs;
  guint n;        /* messages each way */
  int cpus[2];    /* where the two ends are; -1: anywhere */
  gboolean pause; /* before each message, so that who gets it sleeps; then one way counts */
  double target;  /* microseconds; 0: none */
  double target_ratio;
} Case;

static const Case cases[] = {
  { "there and back, two processors", 1, 20000, { 0, 1 }, FALSE, 1.5, 0 },
  { "one way to a sleeper, two processors", 1, 300, { 0, 1 }, TRUE, 0, 0.9 },
  { "there and back, one processor", 1, 5000, { 0, 0 }, FALSE, 0, 0.9 },
  { "there and back, where the kernel likes", 1, 10000, { -1, -1 }, FALSE, 0, 1 },
  { "there and back, 4 pairs on two processors", N_PAIRS, 4000, { -1, -1 }, FALSE, 0, 1 },
};

static void
stay_on (int cpu)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  if (cpu >= 0)
    CPU_SET (cpu, &set);
  else
    for (int i = 0; i < 2; i++)
      CPU_SET (i, &set);
  if (sched_setaffinity (0, sizeof set, &set) != 0)
    g_error ("No processor %d: %s", cpu, g_strerror (errno));
}

static void
pause_before (const Case *what)
{
  const struct timespec time = { .tv_nsec = PAUSE_NS };

  if (what->pause)
    nanosleep (&time, NULL);
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

static void
echo (const Peer *peer, Way ways[2], const Case *what, guint n)
{
  Message message;

  stay_on (what->cpus[1]);
  for (guint i = 0; i < n; i++)
    {
      peer->get (&ways[0], &message);
      pause_before (what);
      message.sent = now ();
      peer->put (&ways[1], &message);
    }
}

/* Microseconds: the mean of all, or the median where each has its own. */
static double
call (const Peer *peer, Way ways[2], const Case *what, guint n)
{
  g_autofree gint64 *times = g_new (gint64, n);
  gint64 start;

  stay_on (what->cpus[0]);
  start = now ();
  for (guint i = 0; i < n; i++)
    {
      Message message = { 0 };

      pause_before (what);
      peer->put (&ways[0], &message);
      peer->get (&ways[1], &message);
      if (what->pause)
        times[i] = now () - message.sent;
    }
  if (!what->pause)
    return (double) (now () - start) / n / 1000;
  qsort (times, n, sizeof *times, compare_times);
  return (double) times[n / 2] / 1000;
}

static void
start (const Peer *peer, Way ways[2], const Case *what, guint n, double *result)
{
  pid_t parent = getpid (), pid;

  fflush (NULL);
  pid = fork ();
  if (pid < 0)
    g_error ("No process");
  if (pid > 0)
    return;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != parent)
    _exit (1);
  if (result != NULL)
    *result = call (peer, ways, what, n);
  else
    echo (peer, ways, what, n);
  _exit (0);
}

static void
close_ways (Way ways[2])
{
  for (int i = 0; i < 2; i++)
    {
      g_clear_object (&ways[i].queue);
      if (ways[i].shared != NULL)
        munmap (ways[i].shared, 4096);
      if (ways[i].in > 0)
        close (ways[i].in);
      if (ways[i].out > 0 && ways[i].out != ways[1 - i].in)
        close (ways[i].out);
    }
}

static double
measure (const Peer *peer, const Case *what)
{
  double *results = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Way ways[N_PAIRS][2] = { 0 };
  double sum = 0;
  int status;

  for (guint i = 0; i < what->n_pairs; i++)
    peer->open (ways[i]);
  for (guint i = 0; i < what->n_pairs; i++)
    {
      start (peer, ways[i], what, what->n / share, NULL);
      start (peer, ways[i], what, what->n / share, &results[i]);
    }
  for (guint i = 0; i < 2 * what->n_pairs; i++)
    if (wait (&status) < 0 || status != 0)
      g_error ("A process failed");
  for (guint i = 0; i < what->n_pairs; i++)
    {
      sum += results[i];
      close_ways (ways[i]);
    }
  munmap (results, 4096);
  return sum / what->n_pairs;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static void
bench (const Case *what)
{
  double times[G_N_ELEMENTS (peers)][MAX_ROUNDS], medians[G_N_ELEMENTS (peers)];

  BENCH_ROUNDS (round, n_rounds)
    for (gsize i = 0; i < G_N_ELEMENTS (peers); i++)
      times[i][round] = measure (&peers[i], what);
  for (gsize i = 0; i < G_N_ELEMENTS (peers); i++)
    {
      qsort (times[i], n_rounds, sizeof (double), compare_doubles);
      medians[i] = times[i][n_rounds / 2];
    }
  printf ("{\"name\": \"16 B %s\", \"value\": %.4g, \"unit\": \"us\"", what->name, medians[0]);
  if (what->target != 0)
    printf (", \"target\": %g", what->target);
  else
    printf (", \"peer\": \"%s\", \"peer_value\": %.4g, \"target_ratio\": %g",
            peers[1].name,
            medians[1],
            what->target_ratio);
  printf (", \"lowest\": %.4g, \"highest\": %.4g", times[0][0], times[0][n_rounds - 1]);
  for (gsize i = 1; i < G_N_ELEMENTS (peers); i++)
    printf (", \"%s\": %.4g", peers[i].name, medians[i]);
  printf ("}\n");
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], "--quick"))
    {
      n_rounds = 3;
      share = 10;
    }
  if (g_get_num_processors () < 2)
    {
      fprintf (stderr, "There is one processor, and this needs two\n");
      return 0;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    bench (&cases[i]);
  return 0;
}
