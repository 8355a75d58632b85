/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-zygote-private.h"

#include "mp-child-private.h"
#include "mp-pidfd-private.h"
#include "mp-task-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The zygote is one loop in one thread. It never waits for anybody: sockets do
 * not block, answers that do not fit are kept, the exec of a task is reported by a
 * pipe that the loop watches. (It waits for the exec of a command, as posix_spawn()
 * does: half of what a start costs is saved so.) One event is taken at a time, so that nothing that
 * an event frees is still in hand. */

typedef struct _Zygote Zygote;
typedef struct _Requester Requester;
typedef struct _Child Child;

typedef enum
{
  WATCH_SOCKET, /* of a Requester */
  WATCH_DEATH,  /* of the first requester */
  WATCH_CHILD,  /* pidfd of a Child */
  WATCH_STATUS  /* exec pipe of a Child */
} WatchType;

typedef struct
{
  WatchType type;
  gpointer owner;
} Watch;

/* Who may ask for processes: the process that started the zygote, and each
 * task process that the zygote forked. */
struct _Requester
{
  int socket_fd;
  Watch watch;
  GQueue answers; /* Answer: not sent yet, in order */
};

typedef struct
{
  int fd;
  gsize length;
  guint8 data[];
} Answer;

struct _Child
{
  Requester *owner; /* NULL: nobody wants to hear of it */
  Requester *link;  /* NULL: it cannot ask for processes */
  guint64 id;
  pid_t pid;
  int pidfd;
  int status_fd; /* -1: executed, or nothing to execute */
  gboolean group;
  gboolean outlives; /* its owner, and this process */
  gint64 doomed_at;  /* when it is killed, for its owner is gone; 0: it is not */
  Watch exit_watch;
  Watch status_watch;
};

struct _Zygote
{
  MpZygoteKind kind;
  pid_t pid;
  char **environment;
  int epoll_fd;
  int requester_pidfd;
  Watch death_watch;
  Requester *first;
  GPtrArray *children;
  guint n_doomed;
  char **spare_argv; /* NULL: nothing is executed ahead */
  Child *spare;      /* waits for a task; NULL: none does */
};

static void
watch_fd (Zygote *zygote, int fd, Watch *watch, WatchType type, gpointer owner, guint32 events)
{
  struct epoll_event event = { .events = events, .data.ptr = watch };

  watch->type = type;
  watch->owner = owner;
  if (epoll_ctl (zygote->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
    g_error ("Cannot watch a descriptor: %s", g_strerror (errno));
}

/* Closing is not enough: a child that is about to execute still holds a copy,
 * and with it the watch would live on. */
static void
unwatch_and_close (Zygote *zygote, int *fd)
{
  if (*fd < 0)
    return;
  epoll_ctl (zygote->epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
  mp_clear_fd (fd);
}

static void
answer_free (Answer *answer)
{
  mp_fd_close (answer->fd);
  g_free (answer);
}

static Requester *
requester_new (Zygote *zygote, int socket_fd)
{
  Requester *requester = g_new0 (Requester, 1);

  requester->socket_fd = socket_fd;
  g_queue_init (&requester->answers);
  fcntl (socket_fd, F_SETFL, fcntl (socket_fd, F_GETFL) | O_NONBLOCK);
  watch_fd (zygote, socket_fd, &requester->watch, WATCH_SOCKET, requester, EPOLLIN);
  return requester;
}

/* It hung up; what it asked for lives as long as its process does. */
static void
requester_hang_up (Zygote *zygote, Requester *requester)
{
  unwatch_and_close (zygote, &requester->socket_fd);
  g_queue_clear_full (&requester->answers, (GDestroyNotify) answer_free);
}

static gboolean
answer_try (Requester *requester, const void *data, gsize length, int fd)
{
  if (mp_fd_send_message (requester->socket_fd, data, length, &fd, fd >= 0 ? 1 : 0))
    return TRUE;
  /* Anything but a full socket means that nobody reads it any more, which the
   * loop is told of in its own time. */
  return errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS && errno != ENOMEM;
}

static void
want_output (Zygote *zygote, Requester *requester, gboolean want)
{
  struct epoll_event event = { .events = EPOLLIN | (want ? EPOLLOUT : 0),
                               .data.ptr = &requester->watch };

  epoll_ctl (zygote->epoll_fd, EPOLL_CTL_MOD, requester->socket_fd, &event);
}

static void
send_answer (Zygote *zygote,
             Requester *requester,
             MpZygoteMessage *message,
             const char *text,
             int fd)
{
  g_autofree guint8 *data = NULL;
  gsize text_length = text != NULL ? MIN (strlen (text), MP_ZYGOTE_MAX_TEXT) : 0;
  gsize length = sizeof *message + text_length;
  Answer *answer;

  if (requester == NULL || requester->socket_fd < 0)
    return;
  message->magic = MP_ZYGOTE_MAGIC;
  message->text_length = text_length;
  data = g_malloc (length);
  memcpy (data, message, sizeof *message);
  if (text_length > 0)
    memcpy (data + sizeof *message, text, text_length);

  if (g_queue_is_empty (&requester->answers) && answer_try (requester, data, length, fd))
    return;
  answer = g_malloc (sizeof *answer + length);
  answer->fd = fd >= 0 ? fcntl (fd, F_DUPFD_CLOEXEC, 3) : -1;
  answer->length = length;
  memcpy (answer->data, data, length);
  g_queue_push_tail (&requester->answers, answer);
  want_output (zygote, requester, TRUE);
}

static void
send_kept_answers (Zygote *zygote, Requester *requester)
{
  Answer *answer;

  while ((answer = g_queue_peek_head (&requester->answers)) != NULL)
    {
      if (!answer_try (requester, answer->data, answer->length, answer->fd))
        return;
      answer_free (g_queue_pop_head (&requester->answers));
    }
  want_output (zygote, requester, FALSE);
}

static void
send_simple (Zygote *zygote, Requester *requester, MpZygoteMessageType type, int code)
{
  MpZygoteMessage message = { .type = type, .code = code, .value = zygote->pid };

  send_answer (zygote, requester, &message, NULL, -1);
}

static void
send_failed (Zygote *zygote, Requester *requester, guint64 id, MpError code, const char *text)
{
  MpZygoteMessage message = { .type = MP_ZYGOTE_FAILED, .id = id, .code = code };

  send_answer (zygote, requester, &message, text, -1);
}

static void
send_started (Zygote *zygote, Child *child)
{
  MpZygoteMessage message = { .type = MP_ZYGOTE_STARTED, .id = child->id, .value = child->pid };

  send_answer (zygote, child->owner, &message, NULL, child->pidfd);
}

static void
child_signal (Child *child, int signal_number)
{
  /* Not reaped yet, so the number is still its own. */
  if (child->group)
    kill (-child->pid, signal_number);
  pidfd_send_signal (child->pidfd, signal_number, NULL, 0);
}

static void
child_free (Zygote *zygote, Child *child)
{
  unwatch_and_close (zygote, &child->pidfd);
  unwatch_and_close (zygote, &child->status_fd);
  g_free (child);
}

/* @owner is gone: so is what it asked for, after a moment in which it can see that its
 * parent has ended. A command does not look. */
static void
kill_children_of (Zygote *zygote, Requester *owner)
{
  gint64 doomed_at = g_get_monotonic_time () + MP_FAREWELL_MS * 1000;

  for (guint i = 0; i < zygote->children->len; i++)
    {
      Child *child = g_ptr_array_index (zygote->children, i);

      if (child->owner != owner)
        continue;
      child->owner = NULL;
      if (child->outlives)
        continue;
      if (child->group)
        {
          child_signal (child, SIGKILL);
          continue;
        }
      child->doomed_at = doomed_at;
      zygote->n_doomed++;
    }
}

/* Gives how many milliseconds there are until there is something to do, -1 for ever. */
static int
kill_doomed (Zygote *zygote)
{
  gint64 now;
  gint64 next = G_MAXINT64;

  if (zygote->n_doomed == 0)
    return -1;
  now = g_get_monotonic_time ();
  for (guint i = 0; i < zygote->children->len; i++)
    {
      Child *child = g_ptr_array_index (zygote->children, i);

      if (child->doomed_at == 0)
        continue;
      if (child->doomed_at > now)
        {
          next = MIN (next, child->doomed_at);
          continue;
        }
      child_signal (child, SIGKILL);
      child->doomed_at = 0;
      zygote->n_doomed--;
    }
  return next == G_MAXINT64 ? -1 : (int) ((next - now) / 1000) + 1;
}

static G_NORETURN void
zygote_leave (Zygote *zygote)
{
  for (guint i = 0; i < zygote->children->len; i++)
    {
      Child *child = g_ptr_array_index (zygote->children, i);

      if (!child->outlives)
        child_signal (child, SIGKILL);
    }
  _exit (EXIT_SUCCESS);
}

static void
tell_status (Zygote *zygote, Child *child, const MpChildStatus *status)
{
  if (status->code < 0)
    {
      send_started (zygote, child);
      return;
    }
  send_failed (zygote, child->owner, child->id, status->code, status->text);
  child->owner = NULL;
}

/* The exec pipe had an end: at a successful exec, or with why there was none. */
static void
child_executed (Zygote *zygote, Child *child)
{
  MpChildStatus status;
  gssize length = TEMP_FAILURE_RETRY (read (child->status_fd, &status, sizeof status));

  if (length < 0 && errno == EAGAIN)
    return;
  unwatch_and_close (zygote, &child->status_fd);
  if (length != sizeof status)
    status.code = -1;
  status.text[sizeof status.text - 1] = '\0';
  tell_status (zygote, child, &status);
}

static void
child_exited (Zygote *zygote, Child *child)
{
  MpZygoteMessage message = { .type = MP_ZYGOTE_EXITED, .id = child->id };
  siginfo_t info = { 0 };

  if (child->status_fd >= 0)
    child_executed (zygote, child);
  if (TEMP_FAILURE_RETRY (waitid (P_PIDFD, child->pidfd, &info, WEXITED | WNOHANG)) < 0 ||
      info.si_pid == 0)
    return;
  message.code = info.si_code;
  message.value = info.si_status;
  send_answer (zygote, child->owner, &message, NULL, -1);

  if (child->link != NULL)
    {
      kill_children_of (zygote, child->link);
      requester_hang_up (zygote, child->link);
      g_free (child->link);
    }
  if (zygote->spare == child)
    zygote->spare = NULL;
  if (child->doomed_at != 0)
    zygote->n_doomed--;
  g_ptr_array_remove_fast (zygote->children, child);
  child_free (zygote, child);
}

/* What can be told about @start before a fork; NULL if nothing speaks against it. */
static GError *
check_start (Zygote *zygote, const MpStart *start)
{
  GError *error = NULL;

  if (start->kind == MP_START_TASK && !mp_task_is_registered (start->task) &&
      !mp_task_is_in_module (start->task))
    mp_task_set_error_unknown (start->task, &error);
  else if (start->kind != MP_START_TASK && start->argv[0] == NULL)
    error = g_error_new_literal (MP_ERROR, MP_ERROR_INVALID_ARGUMENT, "The command has no name");
  return error;
}

/* Forking is only safe from one thread. A constructor or a module may have left
 * another one behind: then tasks are executed afresh instead. */
static gboolean
has_one_thread (void)
{
  struct stat st;

  return stat ("/proc/self/task", &st) < 0 || st.st_nlink <= 3;
}

static const char *const self_argv[] = { "/proc/self/exe", NULL };

/* In a function of its own, which has no variables that a child of vfork() could
 * leave changed. */
static G_NO_INLINE pid_t
fork_child (const Zygote *zygote, const MpChild *setup, gboolean only_executed)
{
  sigset_t all, old;
  pid_t pid;
  int err;

  /* A blocked signal waits even while it is ignored: none that is sent to the
   * child before it has its own dispositions is lost. */
  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, &old);
  /* For what is only to be executed, nothing is copied. */
  pid = only_executed ? vfork () : fork ();
  if (pid == 0)
    mp_child_main (setup);
  err = errno;
  environ = zygote->environment;
  sigprocmask (SIG_SETMASK, &old, NULL);
  errno = err;
  return pid;
}

static gboolean
zygote_fork (Zygote *zygote, Child *child, MpChild *setup, GError **error)
{
  g_auto (MpFd) link_fd = -1;
  g_auto (MpFd) link_peer = -1;
  g_auto (MpFd) status_fd = -1;
  int pair[2];

  if (setup->start->kind != MP_START_COMMAND)
    {
      if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return mp_set_error_from_errno (error,
                                        errno,
                                        "Cannot make the process's link to its zygote");
      link_fd = pair[0];
      link_peer = pair[1];
    }
  if (setup->start->kind == MP_START_EXEC_TASK)
    {
      if (pipe2 (pair, O_CLOEXEC | O_NONBLOCK) < 0)
        return mp_set_error_from_errno (error, errno, "Cannot make a pipe");
      child->status_fd = pair[0];
      status_fd = pair[1];
    }
  setup->link_fd = link_peer;
  setup->status_fd = status_fd;

  child->pid = fork_child (zygote, setup, child->group);
  if (child->pid < 0)
    return mp_set_error_from_errno (error, errno, "Cannot fork");
  child->pidfd = pidfd_open (child->pid, 0);
  if (child->pidfd < 0)
    {
      int err = errno;

      kill (child->pid, SIGKILL);
      waitpid (child->pid, NULL, 0);
      return mp_set_error_from_errno (error, err, "Cannot watch the new process");
    }
  if (link_fd >= 0)
    child->link = requester_new (zygote, g_steal_fd (&link_fd));
  return TRUE;
}

static Child *
child_new (Requester *owner, guint64 id, const MpStart *start)
{
  Child *child = g_new0 (Child, 1);

  child->owner = owner;
  child->id = id;
  child->pidfd = -1;
  child->status_fd = -1;
  child->group = start->kind == MP_START_COMMAND;
  child->outlives = start->outlives;
  return child;
}

/* @status: what is known of its program; what a pipe will tell otherwise */
static void
watch_child (Zygote *zygote, Child *child, const MpChildStatus *status)
{
  g_ptr_array_add (zygote->children, child);
  watch_fd (zygote, child->pidfd, &child->exit_watch, WATCH_CHILD, child, EPOLLIN);
  if (child->status_fd < 0)
    tell_status (zygote, child, status);
  else
    watch_fd (zygote, child->status_fd, &child->status_watch, WATCH_STATUS, child, EPOLLIN);
}

/* An interpreter that cannot be forked is executed ahead, so that a start does not
 * wait for it. One that fails is not tried again before the next start, which
 * tells why. */
static void
execute_spare (Zygote *zygote)
{
  const MpStart start = { .kind = MP_START_EXEC_TASK, .argv = zygote->spare_argv };
  MpChild setup = {
    .parent = zygote->pid,
    .kind = MP_ZYGOTE_HELPER,
    .start = &start,
    .body_fd = -1,
    .cwd_fd = -1,
    .std_fds = { -1, -1, -1 },
  };
  Child *child;

  if (zygote->spare_argv == NULL || zygote->spare != NULL)
    return;
  child = child_new (NULL, 0, &start);
  if (!zygote_fork (zygote, child, &setup, NULL))
    {
      child_free (zygote, child);
      return;
    }
  zygote->spare = child;
  watch_child (zygote, child, NULL);
}

/* Gives a task to the process that waits for one. It has the environment of the
 * zygote and ends with it: a task that is to have another, or to outlive it, gets a
 * new process. */
static gboolean
start_spare (Zygote *zygote,
             Requester *requester,
             guint64 id,
             const MpStart *start,
             const GArray *fds)
{
  const MpZygoteMessage message = { .magic = MP_ZYGOTE_MAGIC, .type = MP_ZYGOTE_START };
  Child *child = zygote->spare;

  if (child == NULL || start->kind != MP_START_EXEC_TASK || start->env != NULL || start->outlives)
    return FALSE;
  zygote->spare = NULL;
  if (mp_pidfd_has_ended (child->pidfd) || !mp_fd_send_message (child->link->socket_fd,
                                                                &message,
                                                                sizeof message,
                                                                (const int *) (gpointer) fds->data,
                                                                fds->len))
    return FALSE;
  child->owner = requester;
  child->id = id;
  /* Otherwise that is said when it is executed. */
  if (child->status_fd < 0)
    send_started (zygote, child);
  return TRUE;
}

static void
start_child (Zygote *zygote, Requester *requester, guint64 id, MpStart *start, const GArray *fds)
{
  g_autoptr (GError) error = check_start (zygote, start);
  const int *fd = (const int *) (gpointer) fds->data;
  MpChildStatus status = { .code = -1 };
  MpChild setup = {
    .parent = zygote->pid,
    /* As a helper it can start commands for its children. */
    .kind = zygote->kind == MP_ZYGOTE_GJS ? MP_ZYGOTE_HELPER : zygote->kind,
    .start = start,
    .body_fd = fd[0],
    .cwd_fd = fd[1],
    .std_fds = { fd[2], fd[3], fd[4] },
    .fds = fd + MP_START_N_FDS,
    .n_fds = fds->len - MP_START_N_FDS,
  };
  Child *child = child_new (requester, id, start);

  if (child->group)
    setup.status = &status;

  if (error == NULL && start->kind == MP_START_TASK && !has_one_thread ())
    {
      start->kind = MP_START_EXEC_TASK;
      g_free (start->argv);
      start->argv = g_memdup2 (self_argv, sizeof self_argv);
    }
  if (error != NULL || !zygote_fork (zygote, child, &setup, &error))
    {
      send_failed (zygote,
                   requester,
                   id,
                   error->domain == MP_ERROR ? error->code : MP_ERROR_FAILED,
                   error->message);
      child_free (zygote, child);
      return;
    }

  watch_child (zygote, child, &status);
}

static void
handle_start (Zygote *zygote, Requester *requester, guint64 id, const GArray *fds)
{
  g_auto (MpStart) start = { 0 };
  g_autoptr (GError) error = NULL;

  if (fds->len < MP_START_N_FDS)
    send_failed (zygote, requester, id, MP_ERROR_LIMIT, "Too many open files in the zygote");
  else if (!mp_start_from_memfd (&start, g_array_index (fds, int, 0), &error))
    send_failed (zygote, requester, id, error->code, error->message);
  else
    {
      if (!start_spare (zygote, requester, id, &start, fds))
        start_child (zygote, requester, id, &start, fds);
      execute_spare (zygote);
    }
}

static void
handle_signal (Zygote *zygote, Requester *requester, guint64 id, int signal_number)
{
  for (guint i = 0; i < zygote->children->len; i++)
    {
      Child *child = g_ptr_array_index (zygote->children, i);

      if (child->owner == requester && child->id == id)
        child_signal (child, signal_number);
    }
}

static void
handle_message (Zygote *zygote, Requester *requester)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  guint8 data[sizeof (MpZygoteMessage)];
  MpZygoteMessage message;
  gssize length = mp_fd_receive_message (requester->socket_fd, data, sizeof data, fds);

  if (length < 0 && errno == EAGAIN)
    return;
  if (length > 0 && mp_zygote_message_check (data, length, &message, NULL))
    {
      if (message.type == MP_ZYGOTE_START)
        handle_start (zygote, requester, message.id, fds);
      else if (message.type == MP_ZYGOTE_SIGNAL)
        handle_signal (zygote, requester, message.id, message.value);
    }
  else if (requester == zygote->first)
    zygote_leave (zygote);
  else
    requester_hang_up (zygote, requester);
  for (guint i = 0; i < fds->len; i++)
    close (g_array_index (fds, int, i));
}

static void
handle_event (Zygote *zygote, const struct epoll_event *event)
{
  const Watch *watch = event->data.ptr;

  switch (watch->type)
    {
    case WATCH_SOCKET:
      if (event->events & EPOLLOUT)
        send_kept_answers (zygote, watch->owner);
      if (event->events & ~(guint32) EPOLLOUT)
        handle_message (zygote, watch->owner);
      break;
    case WATCH_DEATH:
      zygote_leave (zygote);
    case WATCH_CHILD:
      child_exited (zygote, watch->owner);
      break;
    case WATCH_STATUS:
      child_executed (zygote, watch->owner);
      break;
    default:
      g_assert_not_reached ();
    }
}

/* Not by PR_SET_PDEATHSIG: the zygote has to outlive its requester for the moment
 * in which it kills the groups of the commands. The requester must have been
 * there when its number was looked at. */
static void
bind_to_requester (Zygote *zygote, pid_t requester)
{
  zygote->requester_pidfd = pidfd_open (requester, 0);
  if (zygote->requester_pidfd < 0 || getppid () != requester)
    _exit (EXIT_FAILURE);
  watch_fd (zygote, zygote->requester_pidfd, &zygote->death_watch, WATCH_DEATH, NULL, EPOLLIN);
}

void
mp_zygote_run (MpZygoteKind kind, int socket_fd, pid_t requester, char **spare_argv)
{
  Zygote zygote = { .kind = kind, .pid = getpid (), .spare_argv = spare_argv };

  signal (SIGINT, SIG_IGN);
  signal (SIGHUP, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  prctl (PR_SET_NAME, "mp-zygote");
  mp_child_note_signals ();
  fcntl (socket_fd, F_SETFD, FD_CLOEXEC);

  zygote.environment = environ;
  zygote.epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  if (zygote.epoll_fd < 0)
    g_error ("Cannot make an epoll instance: %s", g_strerror (errno));
  zygote.children = g_ptr_array_new ();
  bind_to_requester (&zygote, requester);
  zygote.first = requester_new (&zygote, socket_fd);
  send_simple (&zygote, zygote.first, MP_ZYGOTE_HELLO, MP_ZYGOTE_VERSION);
  send_simple (&zygote, zygote.first, MP_ZYGOTE_READY, 0);
  execute_spare (&zygote);

  while (TRUE)
    {
      struct epoll_event event;

      if (epoll_wait (zygote.epoll_fd, &event, 1, kill_doomed (&zygote)) == 1)
        handle_event (&zygote, &event);
    }
}
