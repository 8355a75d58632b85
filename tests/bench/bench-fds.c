/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include "bench-rounds.h"

#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* What descriptors inside of messages cost: a message with one, put and got in one thread,
 * beside a bare pair of packet sockets; and what a queue costs that can carry them, and its
 * other messages, beside one that cannot. */

#define MAX_ROUNDS 15

static guint n_rounds = MAX_ROUNDS;
static guint scale = 1;
static int fd = -1;
static int sockets[2];
static GUnixFDList *fd_list;
static MpQueue *carrying, *plain;

static void
send_by_queue (void)
{
  g_autoptr (GUnixFDList) received = NULL;
  g_autoptr (GBytes) bytes = NULL;

  mp_queue_put_payload_with_fds (carrying,
                                 (const guint8 *) "12345678",
                                 8,
                                 MP_CODEC_RAW,
                                 fd_list,
                                 0,
                                 NULL,
                                 NULL);
  bytes = mp_queue_get_bytes_with_fds (carrying, 0, NULL, &received, NULL, NULL);
  if (bytes == NULL || g_unix_fd_list_get_length (received) != 1)
    g_error ("A descriptor was lost");
}

static void
send_by_sockets (void)
{
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { .bytes = { 0 } };
  char data[8] = "1234567";
  struct iovec part = { .iov_base = data, .iov_len = sizeof data };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control };
  int received;

  control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                     .cmsg_type = SCM_RIGHTS,
                                     .cmsg_len = CMSG_LEN (sizeof fd) };
  memcpy (CMSG_DATA (&control.header), &fd, sizeof fd);
  if (sendmsg (sockets[0], &message, MSG_NOSIGNAL) < 0 ||
      recvmsg (sockets[1], &message, MSG_CMSG_CLOEXEC) < 0)
    g_error ("A descriptor was lost");
  memcpy (&received, CMSG_DATA (&control.header), sizeof received);
  close (received);
}

static void
put_and_get (MpQueue *queue)
{
  gsize length;

  mp_queue_put_payload (queue, (const guint8 *) "12345678", 8, MP_CODEC_RAW, 0, NULL, NULL);
  if (mp_queue_get_payload (queue, 0, &length, NULL, NULL, NULL) == NULL)
    g_error ("A message was lost");
}

static void
use_carrying (void)
{
  put_and_get (carrying);
}

static void
use_plain (void)
{
  put_and_get (plain);
}

static void
make_carrying (void)
{
  g_object_unref (mp_queue_new_carrying_fds (0, 0, NULL));
}

static void
make_plain (void)
{
  g_object_unref (mp_queue_new (0, 0, NULL));
}

static double
time_one (void (*act) (void), guint n)
{
  gint64 start = g_get_monotonic_time ();

  for (guint i = 0; i < n; i++)
    act ();
  return (double) (g_get_monotonic_time () - start) / n;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
take_median (double *values)
{
  qsort (values, n_rounds, sizeof *values, compare_doubles);
  return values[n_rounds / 2];
}

static void
bench (const char *name, void (*own) (void), const char *peer, void (*other) (void), guint n)
{
  double values[MAX_ROUNDS], peer_values[MAX_ROUNDS], ratios[MAX_ROUNDS];

  BENCH_ROUNDS (round, n_rounds)
    {
      /* Who comes second finds the processor as the first left it. */
      if (round % 2 == 0)
        values[round] = time_one (own, n / scale);
      peer_values[round] = time_one (other, n / scale);
      if (round % 2 != 0)
        values[round] = time_one (own, n / scale);
      ratios[round] = peer_values[round] / values[round];
    }
  printf ("{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"us\", \"peer\": \"%s\", "
          "\"peer_value\": %.4g, \"ratio\": %.3g}\n",
          name,
          take_median (values),
          peer,
          take_median (peer_values),
          take_median (ratios));
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], "--quick"))
    {
      n_rounds = 3;
      scale = 10;
    }
  fd = eventfd (0, EFD_CLOEXEC);
  carrying = mp_queue_new_carrying_fds (0, 0, NULL);
  plain = mp_queue_new (0, 0, NULL);
  fd_list = g_unix_fd_list_new ();
  if (fd < 0 || carrying == NULL || plain == NULL ||
      g_unix_fd_list_append (fd_list, fd, NULL) != 0 ||
      socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    g_error ("No queues");
  bench ("a message with a descriptor, put and get",
         send_by_queue,
         "packet sockets",
         send_by_sockets,
         10000);
  bench ("8 B, put and get, where descriptors are carried",
         use_carrying,
         "other queues",
         use_plain,
         20000);
  bench ("making a queue that carries descriptors",
         make_carrying,
         "other queues",
         make_plain,
         1000);
  return 0;
}
