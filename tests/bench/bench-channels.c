/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* A queue beside whatever else carries messages between processes and can sleep
 * meanwhile, at many sizes and from one or several to one or several, in turns, with the
 * same bounds as far as the kernel allows that; how evenly those who put and those who get
 * have their turns; and what a put and a get cost when much or little is in the queue. */

#include "libmp.h"

#include "bench-rounds.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-peers.h"

#define MAX_SIDE 8
#define MAX_PEERS 8
#define MAX_ROUNDS 7
/* The bound of all of them: about so many bytes, as they stay in the caches of the
 * processors. */
#define CAPACITY (512 * 1024)
#define BLOCK_SIZE (64 * 1024)
#define MIN_MESSAGES 4
#define MAX_MESSAGES 4096
#define MQ_SIZE 8192
/* So many messages at least are carried before the clock runs, and so often is all of it used by
 * each of the greatest number of processes. */
#define MIN_BEFORE 512
#define N_LAPS 2

static guint n_rounds = 5;
static double seconds_per_try = 0.2;

static double
now (void)
{
  return (double) g_get_monotonic_time () / G_USEC_PER_SEC;
}

/* The queue */

static void *
queue_open (gsize size, guint n_messages)
{
  /* Long messages are not part of what a bound on bytes is for. */
  if (size >= BLOCK_SIZE)
    return mp_queue_new (n_messages, 0, NULL);
  return mp_queue_new (0, n_messages * (((guint64) size + 7) / 8 * 8 + 8), NULL);
}

static void
queue_put (void *self, const void *data, gsize size)
{
  if (!mp_queue_put_payload (self, data, size, MP_CODEC_RAW, -1, NULL, NULL))
    g_error ("The put failed");
}

static void
queue_get (void *self, void *data, gsize size)
{
  gsize length;
  guint codec;
  const guint8 *payload = mp_queue_get_payload (self, -1, &length, &codec, NULL, NULL);

  if (payload == NULL)
    g_error ("The get failed");
  /* It is a copy of its own already. */
  memcpy (data, payload, MIN (size, 8));
}

static const BenchPeer queue_peer = {
  "libmp", 0, queue_open, queue_put, queue_get, g_object_unref
};

/* The same, but long messages are read where they lie. */
static void *
borrow_open (gsize size, guint n_messages)
{
  return size >= BLOCK_SIZE ? queue_open (size, n_messages) : NULL;
}

static void
borrow_get (void *self, void *data, gsize size)
{
  MpBuffer *buffer = mp_queue_get_buffer (self, -1, NULL, NULL);
  gsize length;

  if (buffer == NULL || mp_buffer_get_memory (buffer, &length) == NULL || length != size)
    g_error ("The get failed");
  mp_buffer_unref (buffer);
}

static const BenchPeer borrow_peer = { "libmp, borrowing", 0,          borrow_open,
                                       queue_put,          borrow_get, g_object_unref };

/* Pipes and sockets */

typedef struct
{
  int in, out;
} Fds;

static void *
fds_open (int result, const int *fds)
{
  Fds *self;

  if (result != 0)
    return NULL;
  self = g_new (Fds, 1);
  *self = (Fds){ .in = fds[0], .out = fds[1] };
  return self;
}

static void *
pipe_open (gsize size, guint n_messages)
{
  int fds[2];
  void *self = fds_open (pipe2 (fds, O_CLOEXEC), fds);

  for (gsize bytes = n_messages * size; self != NULL && bytes > 4096; bytes /= 2)
    if (fcntl (fds[1], F_SETPIPE_SZ, (int) bytes) >= 0)
      break;
  return self;
}

/* A packet takes a little more than its bytes, for which the kernel doubles what it is told. */
static void *
packets_open (gsize size, guint n_messages)
{
  int fds[2], bytes = (int) (n_messages * size);
  void *self = fds_open (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), fds);

  if (self != NULL && setsockopt (fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
    setsockopt (fds[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return self;
}

static void
fds_put (void *self, const void *data, gsize size)
{
  if (write (((Fds *) self)->out, data, size) != (gssize) size)
    g_error ("The write failed: %s", g_strerror (errno));
}

static void
fds_get (void *self, void *data, gsize size)
{
  if (read (((Fds *) self)->in, data, size) != (gssize) size)
    g_error ("The read failed: %s", g_strerror (errno));
}

static void
fds_close (void *self)
{
  close (((Fds *) self)->in);
  close (((Fds *) self)->out);
  g_free (self);
}

/* Up to PIPE_BUF what several write comes out in one piece; packets have to fit the buffer
 * of a socket. */
static const BenchPeer pipe_peer = { "pipe", 4096, pipe_open, fds_put, fds_get, fds_close };
static const BenchPeer packets_peer = { "socketpair", 131072,  packets_open,
                                        fds_put,      fds_get, fds_close };

/* POSIX message queues */

static void *
mq_peer_open (gsize size, guint n_messages)
{
  g_autofree char *name = g_strdup_printf ("/libmp-bench-%d", getpid ());
  const struct rlimit limit = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };
  struct mq_attr attributes = { .mq_maxmsg = n_messages, .mq_msgsize = (long) size };
  mqd_t queue = (mqd_t) -1;

  /* Who has no privileges has ten messages. */
  setrlimit (RLIMIT_MSGQUEUE, &limit);
  for (; queue == (mqd_t) -1 && attributes.mq_maxmsg > 0; attributes.mq_maxmsg /= 2)
    queue = mq_open (name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  if (queue == (mqd_t) -1)
    return NULL;
  mq_unlink (name);
  return g_memdup2 (&queue, sizeof queue);
}

static void
mq_peer_put (void *self, const void *data, gsize size)
{
  if (mq_send (*(mqd_t *) self, data, size, 0) != 0)
    g_error ("mq_send failed: %s", g_strerror (errno));
}

static void
mq_peer_get (void *self, void *data, gsize size)
{
  if (mq_receive (*(mqd_t *) self, data, size, NULL) != (gssize) size)
    g_error ("mq_receive failed: %s", g_strerror (errno));
}

static void
mq_peer_close (void *self)
{
  mq_close (*(mqd_t *) self);
  g_free (self);
}

static const BenchPeer mq_peer = { "mq",        MQ_SIZE,     mq_peer_open,
                                   mq_peer_put, mq_peer_get, mq_peer_close };

static const BenchPeer *const peers[] = {
  &queue_peer,       &borrow_peer, &pipe_peer, &packets_peer, &mq_peer,
#ifdef HAVE_BOOST
  &bench_peer_boost,
#endif
};

/* Memory that is lent, filled, and read where it is */

#define LENT_MESSAGES 8

static void *
lent_open (gsize size, guint n_messages)
{
  return mp_queue_new (LENT_MESSAGES, 0, NULL);
}

static void
lent_put (void *self, const void *data, gsize size)
{
  g_autoptr (MpBuffer) buffer = mp_queue_loan (self, size, NULL);
  gsize length;

  memset (mp_buffer_get_memory (buffer, &length), 1, size);
  if (!mp_queue_put_buffer (self, buffer, MP_CODEC_RAW, -1, NULL, NULL))
    g_error ("The put failed");
}

static void
lent_get (void *self, void *data, gsize size)
{
  g_autoptr (MpBuffer) buffer = mp_queue_get_buffer (self, -1, NULL, NULL);
  volatile guint8 seen G_GNUC_UNUSED;
  const guint8 *memory;
  gsize length;

  if (buffer == NULL)
    g_error ("The get failed");
  memory = mp_buffer_get_memory (buffer, &length);
  for (gsize i = 0; i < length; i += 64)
    seen = memory[i];
}

static const BenchPeer lent_peer = { "libmp", 0, lent_open, lent_put, lent_get, g_object_unref };

/* Streams */

/* What the processes of a try share. */
typedef struct
{
  pthread_barrier_t ready;
  double first[2 * MAX_SIDE];
  double last[2 * MAX_SIDE];
} Clock;

typedef struct
{
  const BenchPeer *peer;
  void *way;
  gsize size;
  guint64 n_before; /* messages before the clock runs */
  guint64 n;
  Clock *clock;
  guint number;
} Job;

/* How long a process takes to start, and to have the memory that it shares mapped, is not what
 * a message costs: some are carried before, and then all start together. */
static void
run_timed (const Job *job, void (*carry) (const Job *job, void *data, guint64 n))
{
  g_autofree guint8 *data = g_malloc0 (job->size);

  carry (job, data, job->n_before);
  pthread_barrier_wait (&job->clock->ready);
  job->clock->first[job->number] = now ();
  carry (job, data, job->n);
  job->clock->last[job->number] = now ();
}

static void
put_some (const Job *job, void *data, guint64 n)
{
  for (guint64 i = 0; i < n; i++)
    job->peer->put (job->way, data, job->size);
}

static void
get_some (const Job *job, void *data, guint64 n)
{
  for (guint64 i = 0; i < n; i++)
    job->peer->get (job->way, data, job->size);
}

static void
run_putter (const Job *job)
{
  run_timed (job, put_some);
}

static void
run_getter (const Job *job)
{
  run_timed (job, get_some);
}

static pid_t
start (void (*body) (const Job *job), const Job *job)
{
  pid_t parent = getpid (), pid;

  fflush (NULL);
  pid = fork ();
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent)
        body (job);
      _exit (0);
    }
  if (pid < 0)
    g_error ("No process");
  return pid;
}

static void
join (pid_t pid)
{
  int status;

  if (waitpid (pid, &status, 0) != pid || status != 0)
    g_error ("A process failed");
}

static Clock *
open_clock (guint n_processes)
{
  Clock *clock =
    mmap (NULL, sizeof *clock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_barrierattr_t attributes;

  if (clock == MAP_FAILED)
    g_error ("No memory: %s", g_strerror (errno));
  pthread_barrierattr_init (&attributes);
  pthread_barrierattr_setpshared (&attributes, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init (&clock->ready, &attributes, n_processes);
  pthread_barrierattr_destroy (&attributes);
  return clock;
}

/* Seconds from when the first could start to when the last had ended. */
static double
close_clock (Clock *clock, guint n_processes)
{
  double first = clock->first[0], last = clock->last[0];

  for (guint i = 1; i < n_processes; i++)
    {
      first = MIN (first, clock->first[i]);
      last = MAX (last, clock->last[i]);
    }
  munmap (clock, sizeof *clock);
  return last - first;
}

/* Seconds for @n messages; 0 if the peer cannot carry them. */
static double
time_stream (const BenchPeer *peer, gsize size, guint n_putters, guint n_getters, guint64 n)
{
  const guint n_messages = (guint) CLAMP (CAPACITY / size, MIN_MESSAGES, MAX_MESSAGES);
  const guint n_processes = n_putters + n_getters;
  const guint n_before = MAX (N_LAPS * n_messages * MAX_SIDE, MIN_BEFORE);
  Job job = { .peer = peer, .size = size, .way = peer->open (size, n_messages) };
  pid_t pids[2 * MAX_SIDE];
  double seconds;

  if (job.way == NULL)
    return 0;
  job.clock = open_clock (n_processes);
  for (guint i = 0; i < n_processes; i++)
    {
      const guint n_side = i < n_getters ? n_getters : n_putters;

      job.number = i;
      /* The other runs from the first message on. */
      job.n_before = peer == &lent_peer ? 1 : n_before / n_side;
      job.n = n / n_side;
      pids[i] = start (i < n_getters ? run_getter : run_putter, &job);
    }
  for (guint i = 0; i < n_processes; i++)
    join (pids[i]);
  seconds = close_clock (job.clock, n_processes);
  peer->close (job.way);
  return seconds;
}

/* A multiple of what the numbers of processes divide, that takes about a try's time. */
static guint64
find_number (const BenchPeer *peer, gsize size, guint n_putters, guint n_getters)
{
  guint64 n = 64;

  for (;;)
    {
      double seconds = time_stream (peer, size, n_putters, n_getters, n);

      if (seconds == 0)
        return 0;
      if (seconds > seconds_per_try / 3)
        return MAX ((guint64) ((double) n * seconds_per_try / seconds) / 64 * 64, 64);
      n *= 4;
    }
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
bench_stream (const char *name, gsize size, guint n_putters, guint n_getters, double target)
{
  double rates[MAX_PEERS][MAX_ROUNDS], medians[MAX_PEERS] = { 0 };
  guint64 numbers[MAX_PEERS] = { 0 };
  gsize best = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (peers); i++)
    if (peers[i]->max_size == 0 || size <= peers[i]->max_size)
      numbers[i] = find_number (peers[i], size, n_putters, n_getters);
  BENCH_ROUNDS (round, n_rounds)
    for (gsize i = 0; i < G_N_ELEMENTS (peers); i++)
      if (numbers[i] != 0)
        rates[i][round] =
          (double) numbers[i] / time_stream (peers[i], size, n_putters, n_getters, numbers[i]);
  for (gsize i = 0; i < G_N_ELEMENTS (peers); i++)
    {
      if (numbers[i] == 0)
        continue;
      medians[i] = take_median (rates[i]);
      if (i > 0 && peers[i] != &borrow_peer && (best == 0 || medians[i] > medians[best]))
        best = i;
    }
  printf ("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"messages/s\"", name, medians[0]);
  if (best != 0)
    printf (", \"peer\": \"%s\", \"peer_value\": %.6g, \"target_ratio\": %g",
            peers[best]->name,
            medians[best],
            target);
  for (gsize i = 1; i < G_N_ELEMENTS (peers); i++)
    if (numbers[i] != 0)
      printf (", \"%s\": %.6g", peers[i]->name, medians[i]);
  printf ("}\n");
  fflush (stdout);
}

/* Memory that is lent, beside a peer */

#ifdef ICEORYX_PEER
/* It is a program of its own. Messages a second, 0 if it does not run. */
static double
run_iceoryx (gsize size, guint64 n)
{
  g_autofree char *command =
    g_strdup_printf ("%s %zu %" G_GUINT64_FORMAT " 2>/dev/null", ICEORYX_PEER, size, n);
  FILE *output = popen (command, "r");
  double seconds = 0;

  if (output == NULL || fscanf (output, "%lf", &seconds) != 1)
    seconds = 0;
  if (output != NULL && pclose (output) != 0)
    seconds = 0;
  return seconds > 0 ? (double) n / seconds : 0;
}
#endif

/* So many that what the first ones cost, for which there is no memory yet, matters little. */
static guint64
find_lent_number (gsize size)
{
  guint64 n = 64;
  double seconds;

  do
    {
      n *= 4;
      seconds = time_stream (&lent_peer, size, 1, 1, n);
    }
  while (seconds < seconds_per_try);
  return (guint64) ((double) n * 6 * seconds_per_try / seconds);
}

static void
bench_lent (gsize size)
{
  double rates[MAX_ROUNDS], others[MAX_ROUNDS] = { 0 };
  guint64 n;

  n = find_lent_number (size);
  BENCH_ROUNDS (round, n_rounds)
    {
      rates[round] = (double) n / time_stream (&lent_peer, size, 1, 1, n);
#ifdef ICEORYX_PEER
      others[round] = run_iceoryx (size, n);
#endif
    }
  printf ("{\"name\": \"channel, %zu B, 1 to 1, lent and read in place\", \"value\": %.6g, "
          "\"unit\": \"messages/s\"",
          size,
          take_median (rates));
  if (take_median (others) > 0)
    printf (", \"peer\": \"iceoryx\", \"peer_value\": %.6g, \"target_ratio\": 1.5",
            take_median (others));
  printf ("}\n");
  fflush (stdout);
}

/* Turns */

#define N_EACH 4

typedef struct
{
  _Atomic guint64 n_got;
  _Atomic guint64 by_putter[N_EACH];
  _Atomic guint64 by_getter[N_EACH];
} Turns;

/* Puts until it is killed. */
static void G_GNUC_NORETURN
put_number (const BenchPeer *peer, void *way, guint64 number)
{
  guint64 data[2] = { number };

  for (;;)
    peer->put (way, data, sizeof data);
}

static void
count_turns (const BenchPeer *peer, void *way, Turns *turns, guint number, guint64 n)
{
  guint64 data[2];

  while (atomic_fetch_add (&turns->n_got, 1) < n)
    {
      peer->get (way, data, sizeof data);
      atomic_fetch_add (&turns->by_putter[data[0] % N_EACH], 1);
      atomic_fetch_add (&turns->by_getter[number], 1);
    }
}

/* The least share beside the greatest. */
static double
compare_shares (_Atomic guint64 *shares)
{
  guint64 least = G_MAXUINT64, most = 1;

  for (guint i = 0; i < N_EACH; i++)
    {
      least = MIN (least, shares[i]);
      most = MAX (most, shares[i]);
    }
  return (double) least / (double) most;
}

static void
take_turns (const BenchPeer *peer, guint64 n, double *of_putters, double *of_getters)
{
  Turns *turns = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  void *way = peer->open (16, MAX_MESSAGES);
  pid_t parent = getpid (), pids[2 * N_EACH];

  for (guint i = 0; i < 2 * N_EACH; i++)
    {
      pids[i] = fork ();
      if (pids[i] < 0)
        g_error ("No process");
      if (pids[i] > 0)
        continue;
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () == parent && i < N_EACH)
        count_turns (peer, way, turns, i, n);
      else if (getppid () == parent)
        put_number (peer, way, i - N_EACH);
      _exit (0);
    }
  for (guint i = 0; i < N_EACH; i++)
    join (pids[i]);
  for (guint i = N_EACH; i < 2 * N_EACH; i++)
    {
      kill (pids[i], SIGKILL);
      waitpid (pids[i], NULL, 0);
    }
  *of_putters = compare_shares (turns->by_putter);
  *of_getters = compare_shares (turns->by_getter);
  peer->close (way);
  munmap (turns, 4096);
}

static void
bench_turns (void)
{
  /* Long enough that everybody has the processor several times. */
  const BenchPeer *const some[] = { &queue_peer, &pipe_peer };
  double shares[2][G_N_ELEMENTS (some)][MAX_ROUNDS];
  static const char *const sides[] = { "put", "get" };
  guint64 n[G_N_ELEMENTS (some)];

  for (gsize i = 0; i < G_N_ELEMENTS (some); i++)
    n[i] = 10 * find_number (some[i], 16, N_EACH, N_EACH);
  BENCH_ROUNDS (round, n_rounds)
    for (gsize i = 0; i < G_N_ELEMENTS (some); i++)
      take_turns (some[i], n[i], &shares[0][i][round], &shares[1][i][round]);
  for (gsize side = 0; side < 2; side++)
    printf ("{\"name\": \"least share beside the greatest of %d that %s, 16 B\", "
            "\"value\": %.3g, \"unit\": \"of 1\", \"peer\": \"%s\", \"peer_value\": %.3g}\n",
            N_EACH,
            sides[side],
            take_median (shares[side][0]),
            some[1]->name,
            take_median (shares[side][1]));
  fflush (stdout);
}

/* Nanoseconds for a put into a queue that grows to so many, and then for a put and a get at that
 * depth. That begins when each message that made it grow has gone: until then there is memory
 * that nobody had yet. */
static double
time_pair (guint depth, guint n, double *growing)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  guint8 data[16] = { 0 };
  double start_time = now ();

  for (guint i = 0; i < depth; i++)
    queue_put (queue, data, sizeof data);
  *growing = (now () - start_time) / depth * 1e9;
  for (guint i = 0; i < 2 * depth + n; i++)
    {
      if (i == 2 * depth)
        start_time = now ();
      queue_put (queue, data, sizeof data);
      queue_get (queue, data, sizeof data);
    }
  return (now () - start_time) / n * 1e9;
}

static void
bench_depth (guint n)
{
  const guint depths[] = { 10, 1000, 100000, 1000000 };
  double times[G_N_ELEMENTS (depths)][MAX_ROUNDS], growing[G_N_ELEMENTS (depths)][MAX_ROUNDS];

  BENCH_ROUNDS (round, n_rounds)
    for (gsize i = 0; i < G_N_ELEMENTS (depths); i++)
      times[i][round] = time_pair (depths[i], n, &growing[i][round]);
  for (gsize i = 0; i < G_N_ELEMENTS (depths); i++)
    {
      printf ("{\"name\": \"queue put + get, 16 B, %u kept in it\", \"value\": %.6g, \"unit\": "
              "\"ns\"",
              depths[i],
              take_median (times[i]));
      if (i > 0)
        printf (", \"peer\": \"%u kept in it\", \"peer_value\": %.6g, \"target_ratio\": 0.77",
                depths[0],
                times[0][n_rounds / 2]);
      printf ("}\n");
    }
  printf ("{\"name\": \"queue put, 16 B, until %u are in it\", \"value\": %.6g, "
          "\"unit\": \"ns\"}\n",
          depths[G_N_ELEMENTS (depths) - 1],
          take_median (growing[G_N_ELEMENTS (depths) - 1]));
  fflush (stdout);
}

static gboolean quick;
static char *only;

static const GOptionEntry options[] = {
  { "quick", 0, 0, G_OPTION_ARG_NONE, &quick, "Fewer and shorter tries", NULL },
  { "only",
    0,
    0,
    G_OPTION_ARG_STRING,
    &only,
    "Streams with WORDS in their name, or lent, turns or depth",
    "WORDS" },
  { NULL }
};

static gboolean
is_wanted (const char *name, gboolean *found)
{
  if (only != NULL && !g_str_equal (only, name))
    return FALSE;
  *found = TRUE;
  return TRUE;
}

/* FALSE if none was wanted. */
static gboolean
bench_streams (void)
{
  static const struct
  {
    gsize size;
    double target;
  } sizes[] = { { 16, 2 }, { 100, 2 }, { 1024, 1.5 }, { 65536, 1 }, { 1048576, 1 } };
  gboolean found = FALSE;
  static const guint shapes[][2] = { { 1, 1 }, { 4, 4 }, { 1, 8 } };

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (gsize j = 0; j < G_N_ELEMENTS (shapes); j++)
      {
        g_autofree char *name =
          g_strdup_printf ("channel, %zu B, %u to %u", sizes[i].size, shapes[j][0], shapes[j][1]);

        if (only != NULL && strstr (name, only) == NULL)
          continue;
        bench_stream (name, sizes[i].size, shapes[j][0], shapes[j][1], sizes[i].target);
        found = TRUE;
      }
  return found;
}

int
main (int argc, char **argv)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;
  gboolean found;

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      fprintf (stderr, "%s\n", error->message);
      return 2;
    }
  if (quick)
    {
      n_rounds = 3;
      seconds_per_try = 0.02;
    }
#ifndef HAVE_BOOST
  fprintf (stderr, "Without boost: it was not there when this was built\n");
#endif
#ifndef ICEORYX_PEER
  fprintf (stderr, "Without iceoryx: it was not there when this was built\n");
#endif
  found = bench_streams ();
  if (is_wanted ("lent", &found))
    {
      bench_lent (65536);
      bench_lent (1048576);
    }
  if (is_wanted ("turns", &found))
    bench_turns ();
  if (is_wanted ("depth", &found))
    bench_depth (quick ? 100000 : 1000000);
  if (!found)
    fprintf (stderr, "Nothing is called \"%s\"\n", only);
  return found ? 0 : 2;
}
