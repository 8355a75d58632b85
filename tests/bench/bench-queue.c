/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include "bench-rounds.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Queues of messages: put and get in one thread, streams between processes, and
 * there and back. The peers are what programs use instead: a pipe and a pair of
 * packet sockets, measured in turns. */

#define MAX_TRIES 7
#define MAX_SIZE 1024
#define MAX_SIDE 4

static guint n_tries = MAX_TRIES;
static guint scale = 1; /* what the numbers of messages are divided by */

static double
now (void)
{
  return (double) g_get_monotonic_time () / G_USEC_PER_SEC;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a;
  const double y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
take_median (double *values, guint n)
{
  qsort (values, n, sizeof *values, compare_doubles);
  return values[n / 2];
}

static void
print_figure (const char *name, double value, const char *unit, const char *more)
{
  printf ("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"%s}\n", name, value, unit, more);
  fflush (stdout);
}

static MpQueue *
make_queue (guint64 max_bytes)
{
  g_autoptr (GError) error = NULL;
  MpQueue *queue = mp_queue_new (0, max_bytes, &error);

  if (queue == NULL)
    g_error ("No queue: %s", error->message);
  return queue;
}

/* One message through whatever is measured. */
typedef struct
{
  MpQueue *queue;
  int in;
  int out;
  gsize size;
} Way;

static void
send_to_queue (const Way *way, guint8 *buffer)
{
  if (!mp_queue_put_payload (way->queue, buffer, way->size, MP_CODEC_RAW, -1, NULL, NULL))
    g_error ("The put failed");
}

static void
receive_from_queue (const Way *way, guint8 *buffer)
{
  gsize length;
  guint codec;

  if (mp_queue_get_payload (way->queue, -1, &length, &codec, NULL, NULL) == NULL)
    g_error ("The get failed");
}

static void
send_variant (const Way *way, guint8 *buffer)
{
  GVariant *value =
    g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, buffer, way->size, sizeof *buffer);

  if (!mp_queue_put (way->queue, value, -1, NULL, NULL))
    g_error ("The put failed");
}

static void
receive_variant (const Way *way, guint8 *buffer)
{
  g_autoptr (GVariant) value = mp_queue_get (way->queue, -1, NULL, NULL);

  if (value == NULL)
    g_error ("The get failed");
}

static void
send_to_fd (const Way *way, guint8 *buffer)
{
  if (write (way->out, buffer, way->size) != (gssize) way->size)
    g_error ("The write failed");
}

/* Messages up to PIPE_BUF come out of a pipe in one piece if all are of one size. */
static void
receive_from_fd (const Way *way, guint8 *buffer)
{
  if (read (way->in, buffer, way->size) != (gssize) way->size)
    g_error ("The read failed");
}

typedef struct
{
  void (*send) (const Way *way, guint8 *buffer);
  void (*receive) (const Way *way, guint8 *buffer);
} Kind;

static const Kind queue_kind = { send_to_queue, receive_from_queue };
static const Kind variant_kind = { send_variant, receive_variant };
static const Kind fd_kind = { send_to_fd, receive_from_fd };

typedef enum
{
  QUEUE,
  PIPE,
  SOCKETPAIR
} Peer;

static Way
open_way (Peer peer, gsize size, guint64 max_bytes)
{
  Way way = { .in = -1, .out = -1, .size = size };
  int fds[2] = { -1, -1 };

  if (peer == QUEUE)
    way.queue = make_queue (max_bytes);
  else if ((peer == PIPE ? pipe2 (fds, O_CLOEXEC)
                         : socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) != 0)
    g_error ("No peer");
  way.in = fds[0];
  way.out = fds[1];
  return way;
}

static void
close_way (Way *way)
{
  g_clear_object (&way->queue);
  if (way->in >= 0)
    close (way->in);
  if (way->out >= 0)
    close (way->out);
}

/* Nanoseconds for a put and a get in this thread. Inlined, so that no call through a
 * pointer is measured with them. */
__attribute__ ((always_inline)) static inline double
time_pair (const Kind *kind, const Way *way, guint n)
{
  guint8 buffer[MAX_SIZE] = { 0 };
  double start = now ();

  for (guint i = 0; i < n; i++)
    {
      kind->send (way, buffer);
      kind->receive (way, buffer);
    }
  return (now () - start) / n * 1e9;
}

static void
bench_pair (gsize size, const char *more)
{
  double ours[MAX_TRIES], variants[MAX_TRIES], pipes[MAX_TRIES];
  Way queue = open_way (QUEUE, size, 0), pipe = open_way (PIPE, size, 0);
  g_autofree char *name = g_strdup_printf ("queue put + get, %zu B, one thread", size);
  g_autofree char *variant = g_strdup_printf ("queue put + get, %zu B as a variant", size);
  g_autofree char *text = NULL;

  time_pair (&queue_kind, &queue, 300000 / scale);
  BENCH_ROUNDS (i, n_tries)
    {
      ours[i] = time_pair (&queue_kind, &queue, 1000000 / scale);
      variants[i] = time_pair (&variant_kind, &queue, 200000 / scale);
      pipes[i] = time_pair (&fd_kind, &pipe, 100000 / scale);
    }
  text = g_strdup_printf (", \"peer\": \"pipe\", \"peer_value\": %.6g%s",
                          take_median (pipes, n_tries),
                          more);
  print_figure (name, take_median (ours, n_tries), "ns", text);
  print_figure (variant, take_median (variants, n_tries), "ns", "");
  close_way (&queue);
  close_way (&pipe);
}

static pid_t
start (void (*body) (const Kind *kind, const Way *ways, guint n),
       const Kind *kind,
       const Way *ways,
       guint n)
{
  pid_t parent = getpid (), pid;

  fflush (NULL);
  pid = fork ();
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        body (kind, ways, n);
      _exit (0);
    }
  if (pid < 0)
    g_error ("No process");
  return pid;
}

static void
join (const pid_t *pids, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      int status;

      if (waitpid (pids[i], &status, 0) != pids[i] || status != 0)
        g_error ("A process failed");
    }
}

static void
send_many (const Kind *kind, const Way *ways, guint n)
{
  guint8 buffer[MAX_SIZE] = { 0 };

  for (guint i = 0; i < n; i++)
    kind->send (ways, buffer);
}

static void
receive_many (const Kind *kind, const Way *ways, guint n)
{
  guint8 buffer[MAX_SIZE];

  for (guint i = 0; i < n; i++)
    kind->receive (ways, buffer);
}

/* Messages a second from so many processes to as many others. */
static double
stream (Peer peer, gsize size, guint n_side, guint n)
{
  Way way = open_way (peer, size, 1024 * 1024);
  const Kind *kind = peer == QUEUE ? &queue_kind : &fd_kind;
  pid_t pids[2 * MAX_SIDE];
  double start_time = now (), seconds;

  for (guint i = 0; i < n_side; i++)
    {
      pids[2 * i] = start (receive_many, kind, &way, n / n_side);
      pids[2 * i + 1] = start (send_many, kind, &way, n / n_side);
    }
  join (pids, 2 * n_side);
  seconds = now () - start_time;
  close_way (&way);
  return n / n_side * n_side / seconds;
}

static void
bench_stream (gsize size, guint n_side, guint n)
{
  double ours[MAX_TRIES], pipes[MAX_TRIES], sockets[MAX_TRIES];
  g_autofree char *name =
    g_strdup_printf ("queue stream, %zu B, %u to %u processes", size, n_side, n_side);
  g_autofree char *other = g_strconcat (name, " (socketpair)", NULL);
  g_autofree char *text = NULL;

  BENCH_ROUNDS (i, n_tries)
    {
      ours[i] = stream (QUEUE, size, n_side, n / scale);
      pipes[i] = stream (PIPE, size, n_side, n / 8 / scale);
      sockets[i] = stream (SOCKETPAIR, size, n_side, n / 8 / scale);
    }
  text =
    g_strdup_printf (", \"peer\": \"pipe\", \"peer_value\": %.6g", take_median (pipes, n_tries));
  print_figure (name, take_median (ours, n_tries), "messages/s", text);
  print_figure (other, take_median (sockets, n_tries), "messages/s", "");
}

static void
echo (const Kind *kind, const Way *ways, guint n)
{
  guint8 buffer[MAX_SIZE] = { 0 };

  for (guint i = 0; i < n; i++)
    {
      kind->receive (&ways[0], buffer);
      kind->send (&ways[1], buffer);
    }
}

/* Microseconds there and back. */
static double
ping (Peer peer, guint n)
{
  Way ways[2] = { open_way (peer, 16, 0), open_way (peer, 16, 0) };
  const Kind *kind = peer == QUEUE ? &queue_kind : &fd_kind;
  pid_t pid = start (echo, kind, ways, n);
  guint8 buffer[MAX_SIZE] = { 0 };
  double start_time = now (), seconds;

  for (guint i = 0; i < n; i++)
    {
      kind->send (&ways[0], buffer);
      kind->receive (&ways[1], buffer);
    }
  seconds = now () - start_time;
  join (&pid, 1);
  close_way (&ways[0]);
  close_way (&ways[1]);
  return seconds / n * 1e6;
}

static void
bench_ping (void)
{
  double ours[MAX_TRIES], pipes[MAX_TRIES], sockets[MAX_TRIES];
  g_autofree char *text = NULL;

  BENCH_ROUNDS (i, n_tries)
    {
      ours[i] = ping (QUEUE, 20000 / scale);
      pipes[i] = ping (PIPE, 5000 / scale);
      sockets[i] = ping (SOCKETPAIR, 5000 / scale);
    }
  text =
    g_strdup_printf (", \"peer\": \"pipe\", \"peer_value\": %.6g", take_median (pipes, n_tries));
  print_figure ("queue there and back, 16 B", take_median (ours, n_tries), "us", text);
  print_figure ("queue there and back, 16 B (socketpair)",
                take_median (sockets, n_tries),
                "us",
                "");
}

int
main (int argc, char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], "--quick"))
    {
      n_tries = 3;
      scale = 8;
    }
  bench_pair (16, ", \"target\": 60");
  bench_pair (100, "");
  bench_pair (MAX_SIZE, "");
  bench_stream (16, 1, 1000000);
  bench_stream (MAX_SIZE, 1, 400000);
  bench_stream (16, MAX_SIDE, 1000000);
  bench_stream (MAX_SIZE, MAX_SIDE, 400000);
  bench_ping ();
  return 0;
}
