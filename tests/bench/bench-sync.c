/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include "bench-rounds.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sync/mp-lock-word-private.h"

/* Locks and semaphores: a pair in one thread, and with several processes that want
 * nothing else. Barriers, to which several processes come. The peers are what programs use instead,
 * shared between processes, and the least that there can be: a futex without any promise. Measured
 * in turns. */

#define MAX_TRIES 9
#define MAX_PROCESSES 8
#define N_MANY 1000000
#define BATCH 100

/* Of processes that contend. */
#define WAITING 0
#define RUNNING 1
#define STOPPED 2

static guint n_tries = MAX_TRIES;
static guint scale = 1; /* what the numbers of rounds are divided by */

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

/* In memory that all processes have, each on a cache line of its own. */
typedef struct
{
  _Alignas(64) _Atomic uint32_t word; /* of the library's core */
  _Alignas(64) _Atomic uint32_t bare;
  _Alignas(64) pthread_mutex_t plain;
  _Alignas(64) pthread_mutex_t robust;
  _Alignas(64) sem_t semaphore;
  _Alignas(64) _Atomic uint32_t state;
  _Alignas(64) _Atomic uint64_t n_pairs;
  _Alignas(64) volatile guint64 counter; /* what the lock protects */
} Shared;

typedef struct
{
  MpLock *lock;
  MpRLock *rlock;
  MpSemaphore *counted;
  MpSemaphore *recovering;
  Shared *shared;
} Things;

static void
init_mutex (pthread_mutex_t *mutex, int robust)
{
  pthread_mutexattr_t attributes;

  pthread_mutexattr_init (&attributes);
  pthread_mutexattr_setpshared (&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust (&attributes, robust);
  if (pthread_mutex_init (mutex, &attributes) != 0)
    g_error ("No mutex");
  pthread_mutexattr_destroy (&attributes);
}

static Things
make_things (void)
{
  Things things = {
    .lock = mp_lock_new (NULL),
    .rlock = mp_rlock_new (NULL),
    .counted = mp_semaphore_new (1, MP_SEMAPHORE_NONE, NULL),
    .recovering = mp_semaphore_new (1, MP_SEMAPHORE_RECOVER, NULL),
    .shared =
      mmap (NULL, sizeof (Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
  };

  if (things.lock == NULL || things.rlock == NULL || things.counted == NULL ||
      things.recovering == NULL || things.shared == MAP_FAILED)
    g_error ("No locks");
  init_mutex (&things.shared->plain, PTHREAD_MUTEX_STALLED);
  init_mutex (&things.shared->robust, PTHREAD_MUTEX_ROBUST);
  sem_init (&things.shared->semaphore, 1, 1);
  return things;
}

static void
clear_things (Things *things)
{
  g_clear_object (&things->lock);
  g_clear_object (&things->rlock);
  g_clear_object (&things->counted);
  g_clear_object (&things->recovering);
  munmap (things->shared, sizeof (Shared));
}

/* What is measured */

static inline void
core_pair (const Things *things)
{
  /* Any word that is no thread's id. */
  if (!mp_lock_word_try (&things->shared->word, 0x00401001))
    g_error ("It is taken");
  things->shared->counter++;
  mp_lock_word_free (&things->shared->word);
  mp_micro_lock_forget ();
}

static inline void
bare_pair (const Things *things)
{
  _Atomic uint32_t *word = &things->shared->bare;
  uint32_t seen = 0;

  if (!atomic_compare_exchange_strong_explicit (word,
                                                &seen,
                                                1,
                                                memory_order_acquire,
                                                memory_order_relaxed))
    {
      if (seen != 2)
        seen = atomic_exchange (word, 2);
      while (seen != 0)
        {
          syscall (SYS_futex, word, FUTEX_WAIT, 2, NULL, NULL, 0);
          seen = atomic_exchange (word, 2);
        }
    }
  things->shared->counter++;
  if (atomic_exchange (word, 0) == 2)
    syscall (SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static inline void
lock_pair (const Things *things)
{
  if (!mp_lock_acquire (things->lock, -1, NULL, NULL))
    g_error ("Not acquired");
  things->shared->counter++;
  mp_lock_release (things->lock, NULL);
}

static inline void
rlock_pair (const Things *things)
{
  mp_rlock_acquire (things->rlock, -1, NULL, NULL);
  things->shared->counter++;
  mp_rlock_release (things->rlock, NULL);
}

static inline void
plain_pair (const Things *things)
{
  pthread_mutex_lock (&things->shared->plain);
  things->shared->counter++;
  pthread_mutex_unlock (&things->shared->plain);
}

static inline void
robust_pair (const Things *things)
{
  pthread_mutex_lock (&things->shared->robust);
  things->shared->counter++;
  pthread_mutex_unlock (&things->shared->robust);
}

static inline void
counted_pair (const Things *things)
{
  mp_semaphore_acquire (things->counted, -1, NULL, NULL);
  things->shared->counter++;
  mp_semaphore_release (things->counted, 1, NULL);
}

static inline void
recovering_pair (const Things *things)
{
  mp_semaphore_acquire (things->recovering, -1, NULL, NULL);
  things->shared->counter++;
  mp_semaphore_release (things->recovering, 1, NULL);
}

static inline void
sem_pair (const Things *things)
{
  while (sem_wait (&things->shared->semaphore) != 0 && errno == EINTR)
    ;
  things->shared->counter++;
  sem_post (&things->shared->semaphore);
}

/* Each loop is a function of its own, so that no call through a pointer is
 * measured with it. */
#define DEFINE_LOOP(name)                                                                          \
  static void name##_loop (const Things *things, guint n)                                          \
  {                                                                                                \
    for (guint i = 0; i < n; i++)                                                                  \
      name##_pair (things);                                                                        \
  }

DEFINE_LOOP (core)
DEFINE_LOOP (bare)
DEFINE_LOOP (lock)
DEFINE_LOOP (rlock)
DEFINE_LOOP (plain)
DEFINE_LOOP (robust)
DEFINE_LOOP (counted)
DEFINE_LOOP (recovering)
DEFINE_LOOP (sem)

typedef void (*Loop) (const Things *things, guint n);

typedef enum
{
  CORE,
  BARE,
  LOCK,
  RLOCK,
  PLAIN,
  ROBUST,
  COUNTED,
  RECOVERING,
  SEM,
  N_LOOPS
} Which;

static const Loop loops[N_LOOPS] = {
  [CORE] = core_loop,       [BARE] = bare_loop,   [LOCK] = lock_loop,
  [RLOCK] = rlock_loop,     [PLAIN] = plain_loop, [ROBUST] = robust_loop,
  [COUNTED] = counted_loop, [SEM] = sem_loop,     [RECOVERING] = recovering_loop,
};

static double
get_processor_time (void)
{
  struct timespec time;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
  return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

/* Nanoseconds of processor time for a pair in this thread: others that run on the
 * machine are not measured with it. */
static double
time_loop (Which which, const Things *things, guint n)
{
  double start = get_processor_time ();

  loops[which](things, n);
  return (get_processor_time () - start) / n * 1e9;
}

static void G_GNUC_NORETURN
contend (Which which, const Things *things)
{
  while (atomic_load (&things->shared->state) == WAITING)
    syscall (SYS_futex, &things->shared->state, FUTEX_WAIT, WAITING, NULL, NULL, 0);
  while (atomic_load_explicit (&things->shared->state, memory_order_relaxed) == RUNNING)
    {
      loops[which](things, BATCH);
      atomic_fetch_add_explicit (&things->shared->n_pairs, BATCH, memory_order_relaxed);
    }
  _exit (0);
}

/* Pairs a second of so many processes together, in so many seconds. */
static double
time_contended (Which which, const Things *things, guint n_processes, double seconds)
{
  pid_t pids[MAX_PROCESSES], parent = getpid ();
  double start, took, n;

  fflush (NULL);
  atomic_store (&things->shared->state, WAITING);
  atomic_store (&things->shared->n_pairs, 0);
  for (guint i = 0; i < n_processes; i++)
    {
      pids[i] = fork ();
      if (pids[i] < 0)
        g_error ("No process");
      if (pids[i] == 0)
        {
          prctl (PR_SET_PDEATHSIG, SIGKILL);
          if (getppid () == parent)
            contend (which, things);
          _exit (1);
        }
    }
  start = now ();
  atomic_store (&things->shared->state, RUNNING);
  syscall (SYS_futex, &things->shared->state, FUTEX_WAKE, MAX_PROCESSES, NULL, NULL, 0);
  g_usleep ((gulong) (seconds * G_USEC_PER_SEC));
  n = (double) atomic_load (&things->shared->n_pairs);
  took = now () - start;
  atomic_store (&things->shared->state, STOPPED);
  for (guint i = 0; i < n_processes; i++)
    {
      int status;

      if (waitpid (pids[i], &status, 0) != pids[i] || status != 0)
        g_error ("A process failed");
    }
  return n / took;
}

static void
print_beside (const char *name,
              double value,
              const char *unit,
              const char *peer,
              double peer_value,
              double target_ratio)
{
  g_autofree char *target =
    target_ratio > 0 ? g_strdup_printf (", \"target_ratio\": %g", target_ratio) : g_strdup ("");
  g_autofree char *more =
    g_strdup_printf (", \"peer\": \"%s\", \"peer_value\": %.6g%s", peer, peer_value, target);

  print_figure (name, value, unit, more);
}

static void
bench_pairs (const Things *things)
{
  double times[N_LOOPS][MAX_TRIES], medians[N_LOOPS];

  BENCH_ROUNDS (i, n_tries)
    {
      for (Which which = 0; which < N_LOOPS; which++)
        times[which][i] = time_loop (which, things, 3000000 / scale);
    }
  for (Which which = 0; which < N_LOOPS; which++)
    medians[which] = take_median (times[which], n_tries);
  print_beside ("lock, core of acquire + release",
                medians[CORE],
                "ns",
                "bare futex",
                medians[BARE],
                1 / 1.3);
  print_beside ("lock acquire + release",
                medians[LOCK],
                "ns",
                "bare futex",
                medians[BARE],
                1 / 2.5);
  print_beside ("lock acquire + release (robust mutex)",
                medians[LOCK],
                "ns",
                "robust pthread mutex",
                medians[ROBUST],
                1);
  print_beside ("lock acquire + release (plain mutex)",
                medians[LOCK],
                "ns",
                "plain pthread mutex",
                medians[PLAIN],
                0);
  print_beside ("recursive lock acquire + release",
                medians[RLOCK],
                "ns",
                "robust pthread mutex",
                medians[ROBUST],
                0);
  print_beside ("semaphore acquire + release", medians[COUNTED], "ns", "sem_t", medians[SEM], 0);
  print_beside ("semaphore that recovers, acquire + release",
                medians[RECOVERING],
                "ns",
                "sem_t",
                medians[SEM],
                0);
}

static void
bench_nested (const Things *things)
{
  double times[MAX_TRIES];

  mp_rlock_acquire (things->rlock, -1, NULL, NULL);
  BENCH_ROUNDS (i, n_tries)
    times[i] = time_loop (RLOCK, things, 3000000 / scale);
  mp_rlock_release (things->rlock, NULL);
  print_figure ("recursive lock acquire + release, nested", take_median (times, n_tries), "ns", "");
}

static void
print_contended (const char *what,
                 guint n_processes,
                 const char *note,
                 double value,
                 const char *peer,
                 double peer_value,
                 double target_ratio)
{
  g_autofree char *name = g_strdup_printf ("%s, %u processes%s", what, n_processes, note);

  print_beside (name, value, "pairs/s", peer, peer_value, target_ratio);
}

static void
bench_contended (const Things *things, guint n_processes, double seconds)
{
  static const Which contenders[] = { LOCK, ROBUST, PLAIN, BARE, COUNTED, SEM };
  double rates[N_LOOPS][MAX_TRIES], medians[N_LOOPS] = { 0 };

  BENCH_ROUNDS (i, n_tries)
    {
      for (gsize j = 0; j < G_N_ELEMENTS (contenders); j++)
        rates[contenders[j]][i] =
          time_contended (contenders[j], things, n_processes, seconds / scale);
    }
  for (gsize j = 0; j < G_N_ELEMENTS (contenders); j++)
    medians[contenders[j]] = take_median (rates[contenders[j]], n_tries);
  print_contended ("contended lock",
                   n_processes,
                   "",
                   medians[LOCK],
                   "robust pthread mutex",
                   medians[ROBUST],
                   1);
  print_contended ("contended lock",
                   n_processes,
                   " (plain mutex)",
                   medians[LOCK],
                   "plain pthread mutex",
                   medians[PLAIN],
                   0.7);
  print_contended ("contended lock",
                   n_processes,
                   " (bare futex)",
                   medians[LOCK],
                   "bare futex",
                   medians[BARE],
                   0);
  print_contended ("contended semaphore",
                   n_processes,
                   "",
                   medians[COUNTED],
                   "sem_t",
                   medians[SEM],
                   0);
}

/* Cycles a second of so many processes that do nothing else; @barrier is the
 * library's, or NULL for that of the C library. */
static double
time_barrier (MpBarrier *barrier, pthread_barrier_t *peer, guint n_processes, guint n)
{
  pid_t pids[MAX_PROCESSES], parent = getpid ();
  double start = now ();

  fflush (NULL);
  for (guint i = 0; i < n_processes; i++)
    {
      pids[i] = fork ();
      if (pids[i] < 0)
        g_error ("No process");
      if (pids[i] > 0)
        continue;
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (1);
      for (guint j = 0; j < n; j++)
        {
          if (peer != NULL)
            pthread_barrier_wait (peer);
          else if (!mp_barrier_wait (barrier, -1, NULL, NULL, NULL))
            _exit (1);
        }
      _exit (0);
    }
  for (guint i = 0; i < n_processes; i++)
    {
      int status;

      if (waitpid (pids[i], &status, 0) != pids[i] || status != 0)
        g_error ("A process failed");
    }
  return n / (now () - start);
}

static void
bench_barrier (guint n_processes, guint n)
{
  double ours[MAX_TRIES], peers[MAX_TRIES];
  g_autoptr (MpBarrier) barrier = mp_barrier_new (n_processes, NULL);
  g_autofree char *name = g_strdup_printf ("barrier, %u processes", n_processes);
  pthread_barrierattr_t attributes;
  pthread_barrier_t *peer =
    mmap (NULL, sizeof *peer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  if (barrier == NULL || peer == MAP_FAILED)
    g_error ("No barrier");
  pthread_barrierattr_init (&attributes);
  pthread_barrierattr_setpshared (&attributes, PTHREAD_PROCESS_SHARED);
  if (pthread_barrier_init (peer, &attributes, n_processes) != 0)
    g_error ("No barrier");
  pthread_barrierattr_destroy (&attributes);
  BENCH_ROUNDS (i, n_tries)
    {
      ours[i] = time_barrier (barrier, NULL, n_processes, n / scale);
      peers[i] = time_barrier (NULL, peer, n_processes, n / scale);
    }
  print_beside (name,
                take_median (ours, n_tries),
                "cycles/s",
                "pthread_barrier",
                take_median (peers, n_tries),
                n_processes == MAX_PROCESSES ? 0.9 : 0);
  munmap (peer, sizeof *peer);
}

/* Of this process, the memory that it shares included. */
static double
get_resident_bytes (void)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) fields = NULL;

  if (!g_file_get_contents ("/proc/self/statm", &text, NULL, NULL))
    return 0;
  fields = g_strsplit (text, " ", 3);
  return (double) g_ascii_strtoull (fields[1], NULL, 10) * (double) sysconf (_SC_PAGESIZE);
}

static void
bench_many (void)
{
  guint n = N_MANY / scale;
  g_autofree MpLock **locks = g_new0 (MpLock *, n);
  double before, start, made, used, after;

  for (guint i = 0; i < n; i++)
    locks[i] = NULL;
  before = get_resident_bytes ();
  start = now ();
  for (guint i = 0; i < n; i++)
    {
      locks[i] = mp_lock_new (NULL);
      if (locks[i] == NULL)
        g_error ("No lock");
    }
  made = now ();
  for (guint i = 0; i < n; i++)
    {
      mp_lock_acquire (locks[i], -1, NULL, NULL);
      mp_lock_release (locks[i], NULL);
    }
  used = now ();
  after = get_resident_bytes ();
  print_figure ("a million locks, memory each", (after - before) / n, "bytes", "");
  print_figure ("a million locks, making each", (made - start) / n * 1e9, "ns", "");
  print_figure ("a million locks, acquire + release each", (used - made) / n * 1e9, "ns", "");
  start = now ();
  for (guint i = 0; i < n; i++)
    g_object_unref (locks[i]);
  print_figure ("a million locks, freeing each", (now () - start) / n * 1e9, "ns", "");
}

int
main (int argc, char **argv)
{
  Things things;

  if (argc > 1 && g_str_equal (argv[1], "--quick"))
    {
      n_tries = 3;
      scale = 4;
    }
  things = make_things ();
  bench_pairs (&things);
  bench_nested (&things);
  bench_contended (&things, 2, 0.4);
  bench_contended (&things, MAX_PROCESSES, 0.4);
  bench_barrier (2, 40000);
  bench_barrier (MAX_PROCESSES, 10000);
  bench_many ();
  clear_things (&things);
  return 0;
}
