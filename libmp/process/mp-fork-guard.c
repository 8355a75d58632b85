/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-fork-guard.h"

#include "mp-fork-private.h"
#include "mp-pump-private.h"
#include "mp-zygote-protocol-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../sync/mp-sync-waiter-private.h"

#include <glib-unix.h>
#include <pthread.h>
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
  const char *entry;

  if (dir == NULL)
    return FALSE;
  while ((entry = g_dir_read_name (dir)) != NULL)
    {
      int tid = (int) g_ascii_strtoll (entry, NULL, 10);
      g_autofree char *name = NULL;
      g_autofree char *label = NULL;

      if (tid == gettid () || tid == pump || tid == waiter)
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

/* Of this process, which is another one as soon as it forks. */
static struct
{
  int pid;
  int parent;
  gboolean by_kernel;
  int has_farewell;
} bond;

static gboolean
leave_if_orphaned (gpointer user_data)
{
  if (getppid () != GPOINTER_TO_INT (user_data))
    kill (getpid (), SIGKILL);
  return G_SOURCE_REMOVE;
}

static gboolean
parent_ended_cb (int pidfd, GIOCondition condition, gpointer user_data)
{
  close (pidfd);
  if (g_atomic_int_get (&bond.has_farewell))
    {
      g_autoptr (GSource) source = g_timeout_source_new (MP_FAREWELL_MS);

      g_source_set_callback (source, leave_if_orphaned, user_data, NULL);
      mp_pump_attach (source);
    }
  else
    leave_if_orphaned (user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
watch_parent (GError **error)
{
  gpointer parent = GINT_TO_POINTER (bond.parent);
  g_autoptr (GSource) source = NULL;
  int pidfd = pidfd_open (bond.parent, 0);

  if (pidfd < 0 && errno != ESRCH)
    return mp_set_error_from_errno (error, errno, "Cannot watch the parent");
  leave_if_orphaned (parent);
  source = g_unix_fd_source_new (pidfd, G_IO_IN);
  g_source_set_callback (source, G_SOURCE_FUNC (parent_ended_cb), parent, NULL);
  mp_pump_attach (source);
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
 * ends when the parent's main thread alone ends, by pthread_exit(). The kernel
 * takes the end of a thread for that of the process, so that after a fork by any other
 * thread libmp's own thread in the child watches the parent: such a child has a second
 * thread, is not killed while it is stopped, and not once it has executed
 * another program.
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
  bond.by_kernel = parent == forking_pid && forking_thread_is_main;
  bond.has_farewell = FALSE;
  if (!bond.by_kernel)
    return watch_parent (error);
  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    return mp_set_error_from_errno (error, errno, "Cannot bind a process to its parent");
  leave_if_orphaned (GINT_TO_POINTER (parent));
  return TRUE;
}

/**
 * mp_fork_bid_farewell:
 * @error: return location for an error
 *
 * Lets a child that is bound by [func@Mp.fork_bind_to_parent] see its parent's end:
 * from now on it is killed a quarter of a second after it, no longer at once.
 * Libmp's own thread watches the parent then, instead of the kernel.
 *
 * Must be called by the thread that bound the process: in another one it does nothing,
 * nor in a process that is not bound. Once is enough.
 *
 * Returns: FALSE when the parent cannot be watched; the process is bound as it was then
 *
 * Since: 0.1
 */
gboolean
mp_fork_bid_farewell (GError **error)
{
  int signal_number = 0;

  if (bond.pid != getpid ())
    return TRUE;
  if (bond.by_kernel)
    {
      /* Each thread has its own. */
      if (prctl (PR_GET_PDEATHSIG, &signal_number) < 0 || signal_number == 0)
        return TRUE;
      if (!watch_parent (error))
        return FALSE;
      bond.by_kernel = FALSE;
    }
  g_atomic_int_set (&bond.has_farewell, TRUE);
  if (signal_number != 0)
    prctl (PR_SET_PDEATHSIG, 0);
  return TRUE;
}
