/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-fork-guard.h"

#include "mp-fork-private.h"
#include "mp-pump-private.h"
#include "mp-zygote-protocol-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../sync/mp-sync-waiter-private.h"

#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>

/* Who is about to fork: a thread between mp_fork_begin() and mp_fork_end(). */
static GMutex guard_mutex;
static GCond guard_cond;
static int guard_owner;
static guint guard_depth;

/* Of the last fork that was announced: the child asks whom it comes from. */
static int forking_pid;
static gboolean forking_thread_is_main;

/* How this process is bound to its parent, if it is the one that was bound: a fork of it is not. */
static struct
{
  int pid;
  int parent;
  int bound_thread; /* the kernel takes it for the process */
  int watcher;      /* its thread id; 0: the kernel watches */
  int has_farewell;
  sem_t is_watched;
} bond;

/* Where the parent cannot be waited for, it is looked for so often. */
#define LOOK_MS 50

/* --- Threads ------------------------------------------------------------ */

static char *
get_thread_name (int tid)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/task/%d/comm", tid);
  g_autofree char *name = NULL;

  if (!g_file_get_contents (path, &name, NULL, NULL))
    return NULL;
  return g_strdup (g_strchomp (name));
}

/* Their locks are GLib's own, which every program that uses GLib needs. */
static gboolean
is_thread_of_glib (const char *name)
{
  return g_str_equal (name, "gmain") || g_str_equal (name, "gdbus") || g_str_equal (name, "pool") ||
         g_str_has_prefix (name, "pool-");
}

gboolean
mp_fork_list_threads (char ***of_glib, char ***others, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, error);
  g_autoptr (GStrvBuilder) glib_builder = g_strv_builder_new ();
  g_autoptr (GStrvBuilder) other_builder = g_strv_builder_new ();
  /* They rest during the fork, and start again in the child when they are needed. */
  int pump = mp_pump_get_thread_id ();
  int waiter = mp_sync_waiter_get_thread_id ();
  /* It has nothing that a fork could spoil. */
  int watcher = bond.pid == getpid () ? bond.watcher : 0;
  const char *entry;

  if (dir == NULL)
    return FALSE;
  while ((entry = g_dir_read_name (dir)) != NULL)
    {
      int tid = (int) g_ascii_strtoll (entry, NULL, 10);
      g_autofree char *name = NULL;
      g_autofree char *label = NULL;

      if (tid == gettid () || tid == pump || tid == waiter || tid == watcher)
        continue;
      name = get_thread_name (tid);
      if (name == NULL)
        continue;
      label = g_strdup_printf ("%s (%d)", name, tid);
      g_strv_builder_add (is_thread_of_glib (name) ? glib_builder : other_builder, label);
    }
  *of_glib = g_strv_builder_end (glib_builder);
  *others = g_strv_builder_end (other_builder);
  return TRUE;
}

/**
 * mp_fork_check_threads:
 * @threads: (out) (transfer full) (array zero-terminated=1): the other threads
 *   of this process, each as "name (thread id)"
 * @error: return location for an error
 *
 * Looks whether this process can be forked by other means than
 * [method@Mp.Process.start]: by a language's own fork, which runs what the
 * language needs before and after.
 *
 * The child has a copy of every lock, but only the thread that forked. A lock
 * that another thread held at that moment is never released there. GLib's own threads,
 * which are named gmain, gdbus and pool, are reason enough not to fork. Others
 * are the program's to judge, and are named: no thread is the best answer.
 * Threads of libmp do not count: they rest during the fork if
 * [func@Mp.fork_begin] is called, and start again in the child when they are needed.
 *
 * Returns: FALSE with %MP_ERROR_UNSAFE_FORK, which names the threads, when there
 *   are threads of GLib's; TRUE otherwise
 *
 * Since: 0.1
 */
gboolean
mp_fork_check_threads (char ***threads, GError **error)
{
  g_auto (GStrv) of_glib = NULL;
  g_auto (GStrv) others = NULL;
  g_autofree char *names = NULL;

  g_return_val_if_fail (threads != NULL, FALSE);

  if (!mp_fork_list_threads (&of_glib, &others, error))
    return FALSE;
  if (of_glib[0] == NULL)
    {
      *threads = g_steal_pointer (&others);
      return TRUE;
    }
  names = g_strjoinv (", ", of_glib);
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_UNSAFE_FORK,
               "Forking this process is not safe, because GLib runs threads in it: %s. "
               "Use the start method forkserver",
               names);
  return FALSE;
}

/* --- The moment of the fork --------------------------------------------- */

/* The thread that forked is the only one, and its id is another. */
static void
after_fork_in_child (void)
{
  guard_owner = 0;
  guard_depth = 0;
  g_mutex_init (&guard_mutex);
  g_cond_init (&guard_cond);
}

/**
 * mp_fork_begin:
 *
 * Announces that the calling thread is going to fork this process: libmp's own
 * threads rest from now on at a point where they hold no lock. Each call needs
 * one of [func@Mp.fork_end] in the parent, by the same thread, and whatever the fork's
 * outcome; the child needs none. Between the two, no process can be started and
 * nothing that a process reports arrives.
 *
 * Waits while another thread forks. Must not be called on one of libmp's threads,
 * nor with a lock (as Python's) that a finalizer of an object could need.
 *
 * Since: 0.1
 */
void
mp_fork_begin (void)
{
  static gsize atfork = 0;
  gboolean first;

  g_return_if_fail (!mp_pump_is_current_thread ());

  if (g_once_init_enter (&atfork))
    {
      pthread_atfork (NULL, NULL, after_fork_in_child);
      g_once_init_leave (&atfork, 1);
    }
  g_mutex_lock (&guard_mutex);
  while (guard_owner != 0 && guard_owner != gettid ())
    g_cond_wait (&guard_cond, &guard_mutex);
  guard_owner = gettid ();
  first = guard_depth++ == 0;
  g_mutex_unlock (&guard_mutex);

  forking_pid = getpid ();
  forking_thread_is_main = gettid () == getpid ();
  if (!first)
    return;
  mp_pump_park ();
  mp_sync_waiter_park ();
}

/**
 * mp_fork_end:
 *
 * Ends [func@Mp.fork_begin]: libmp's threads go on. Does nothing in the child.
 *
 * Since: 0.1
 */
void
mp_fork_end (void)
{
  gboolean ours;
  gboolean last;

  g_mutex_lock (&guard_mutex);
  ours = guard_owner == gettid ();
  last = ours && --guard_depth == 0;
  g_mutex_unlock (&guard_mutex);
  if (!last)
    return;

  mp_sync_waiter_unpark ();
  mp_pump_unpark ();
  g_mutex_lock (&guard_mutex);
  guard_owner = 0;
  g_cond_signal (&guard_cond);
  g_mutex_unlock (&guard_mutex);
}

/* --- The child's life --------------------------------------------------- */

static void
leave_if_orphaned (int parent)
{
  if (getppid () != parent)
    kill (getpid (), SIGKILL);
}

/* Makes system calls only, so that a fork can be at any time. The table of descriptors is its
 * own, with one in it: whoever has none left, or closes all there are, has no part in that. */
static gpointer
watch_main (gpointer data)
{
  struct pollfd parent = { .fd = -1, .events = POLLIN };
  int pid = bond.parent;

  bond.watcher = gettid ();
  sem_post (&bond.is_watched);

  if (close_range (0, ~0u, CLOSE_RANGE_UNSHARE) == 0)
    parent.fd = pidfd_open (pid, 0);
  while (getppid () == pid)
    /* A limit on descriptors may forbid to poll even one. */
    if (parent.fd < 0 || poll (&parent, 1, -1) < 0)
      poll (NULL, 0, LOOK_MS);
  if (g_atomic_int_get (&bond.has_farewell))
    poll (NULL, 0, MP_FAREWELL_MS);
  kill (getpid (), SIGKILL);
  return NULL;
}

static gboolean
watch_parent (GError **error)
{
  GThread *thread;
  sigset_t all;
  sigset_t old;

  sem_init (&bond.is_watched, 0, 0);
  /* No signal of the program is ever delivered there. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  thread = g_thread_try_new ("mp-parent", watch_main, NULL, error);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  if (thread == NULL)
    return FALSE;
  g_thread_unref (thread);
  while (sem_wait (&bond.is_watched) < 0)
    ;
  return TRUE;
}

/**
 * mp_fork_bind_to_parent:
 * @parent: the process id of the parent
 * @error: return location for an error
 *
 * In a child that was forked by other means than [method@Mp.Process.start]:
 * binds it to its parent, so that it is killed by %SIGKILL when the parent has
 * ended, however that ended. When the parent has ended already, this call does
 * not return.
 *
 * If the parent's main thread forked, after [func@Mp.fork_begin], the kernel
 * does it: the child need not run, and no thread is needed; then the child also
 * ends when the parent's main thread alone ends, by pthread_exit(), and is free once it
 * has changed its user or group. The kernel takes the end of a thread for that of the
 * process, so that after a fork by any other thread one of libmp's in the child watches
 * the parent: such a child has a second thread, is not killed while it is stopped, and
 * not once it has executed another program.
 *
 * Returns: FALSE when the parent cannot be watched
 *
 * Since: 0.1
 */
gboolean
mp_fork_bind_to_parent (int parent, GError **error)
{
  g_return_val_if_fail (parent > 0, FALSE);

  bond.pid = getpid ();
  bond.parent = parent;
  bond.bound_thread = gettid ();
  bond.watcher = 0;
  bond.has_farewell = FALSE;
  if (parent != forking_pid || !forking_thread_is_main)
    {
      leave_if_orphaned (parent);
      return watch_parent (error);
    }
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    return mp_set_error_from_errno (error, errno, "Cannot bind a process to its parent");
  leave_if_orphaned (parent);
  return TRUE;
}

/**
 * mp_fork_bid_farewell:
 * @error: return location for an error
 *
 * Lets a child that is bound by [func@Mp.fork_bind_to_parent] see its parent's end:
 * from now on it is killed a quarter of a second after it, no longer at once.
 * A thread of libmp's watches the parent then, instead of the kernel, with
 * what [func@Mp.fork_bind_to_parent] says of that.
 *
 * Must be called by the thread that bound the process: in another one it does nothing
 * if the kernel watches, nor in a process that is not bound. Once is enough.
 *
 * Returns: FALSE when the parent cannot be watched; the process is bound as it was then
 *
 * Since: 0.1
 */
gboolean
mp_fork_bid_farewell (GError **error)
{
  if (bond.pid != getpid ())
    return TRUE;
  if (bond.watcher == 0)
    {
      if (bond.bound_thread != gettid ())
        return TRUE;
      if (!watch_parent (error))
        return FALSE;
      prctl (PR_SET_PDEATHSIG, 0);
    }
  g_atomic_int_set (&bond.has_farewell, TRUE);
  return TRUE;
}
