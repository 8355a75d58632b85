/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-zygote-link-types-private.h"

#include "mp-pidfd-private.h"
#include "mp-pump-private.h"
#include "mp-spawn-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* A program that calls mp_bootstrap() says hello within milliseconds. An
 * interpreter says it before it imports anything big. */
#define HELLO_LIMIT_NATIVE_MS 5000
#define HELLO_LIMIT_PYTHON_MS 30000

/* How long the kernel is asked for the exit code of a process whose zygote died:
 * it knows it when the new parent has reaped it. */
#define ORPHAN_TRIES 50
#define ORPHAN_INTERVAL_MS 2

/* --- The zygote that died ---------------------------------------------- */

static void
clear_source (GSource **source)
{
  if (*source != NULL)
    g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
attach_source (GSource **place, GSource *source, gpointer callback, MpZygoteLink *self)
{
  g_source_set_callback (source, G_SOURCE_FUNC (callback), self, NULL);
  mp_pump_attach (source);
  *place = source;
}

void
mp_zygote_link_forget (MpZygoteLink *self)
{
  clear_source (&self->socket_source);
  clear_source (&self->output_source);
  clear_source (&self->death_source);
  clear_source (&self->hello_source);
  mp_clear_fd (&self->socket_fd);
  mp_clear_fd (&self->pidfd);
  self->pid = 0;
  self->said_hello = FALSE;
  self->state = MP_ZYGOTE_LINK_IDLE;
}

static gboolean orphan_cb (gpointer user_data);

/* The number outlives the entry, the pointer may not. */
typedef struct
{
  MpZygoteLink *link;
  guint64 id;
} Orphan;

static void
orphan_free (gpointer data)
{
  Orphan *orphan = data;

  mp_zygote_link_unref (orphan->link);
  g_free (orphan);
}

static gboolean
orphan_ended_cb (int fd, GIOCondition condition, gpointer user_data)
{
  return orphan_cb (user_data);
}

/* For the end, or when that is known already for the next try. */
static void
orphan_watch (Orphan *orphan, int pidfd)
{
  g_autoptr (GSource) source = NULL;

  if (pidfd >= 0)
    {
      source = g_unix_fd_source_new (pidfd, G_IO_IN);
      g_source_set_callback (source, G_SOURCE_FUNC (orphan_ended_cb), orphan, NULL);
    }
  else
    {
      source = g_timeout_source_new (ORPHAN_INTERVAL_MS);
      g_source_set_callback (source, orphan_cb, orphan, NULL);
    }
  mp_pump_attach (source);
}

static gboolean
orphan_cb (gpointer user_data)
{
  Orphan *orphan = user_data;
  GQueue *calls = g_queue_new ();
  int exit_code = MP_EXIT_CODE_UNKNOWN;
  MpZygoteEntry *entry;

  g_mutex_lock (&mp_zygote_links_mutex);
  entry = g_hash_table_lookup (orphan->link->entries, &orphan->id);
  if (entry != NULL && !mp_pidfd_get_exit_code (entry->pidfd, &exit_code) &&
      ++entry->orphan_tries < ORPHAN_TRIES)
    {
      orphan_watch (orphan, -1);
      mp_zygote_unlock_and_run (calls);
      return G_SOURCE_REMOVE;
    }
  if (entry != NULL)
    mp_zygote_entry_exit (entry, exit_code, calls);
  mp_zygote_unlock_and_run (calls);
  orphan_free (orphan);
  return G_SOURCE_REMOVE;
}

/* A process whose zygote died is killed by the kernel, unless it is to outlive it.
 * The kernel also has to say how it ends: the only one that could wait for it is gone. */
static void
entry_orphan_locked (MpZygoteEntry *entry)
{
  Orphan *orphan = g_new (Orphan, 1);

  orphan->link = entry->link;
  entry->link->ref_count++;
  orphan->id = entry->id;
  if (!entry->request.outlives)
    mp_zygote_entry_kill (entry);
  orphan_watch (orphan, entry->pidfd);
}

static void
link_fail_unsent_locked (MpZygoteLink *self, const GError *error, GQueue *calls)
{
  MpZygoteEntry *entry;
  MpZygoteCall *waiter;

  while ((entry = g_queue_pop_head (&self->unsent)) != NULL)
    mp_zygote_entry_fail (entry, error, calls);
  while ((waiter = g_queue_pop_head (&self->waiters)) != NULL)
    {
      waiter->error = g_error_copy (error);
      g_queue_push_tail (calls, waiter);
    }
}

static void
entry_fail_refused_locked (MpZygoteEntry *entry, GQueue *calls)
{
  g_autoptr (GError) error = NULL;

  mp_set_error_from_errno (&error, EMFILE, "Cannot watch the new process");
  mp_zygote_entry_fail (entry, error, calls);
}

/* Everything that was asked of the dead zygote: what runs is lost, what was on
 * its way gets a second chance, what did not go yet still can. */
static void
link_sort_out_entries_locked (MpZygoteLink *self, GQueue *calls)
{
  g_autoptr (GList) all = g_hash_table_get_values (self->entries);
  g_autoptr (GError) error = NULL;

  g_set_error (&error,
               MP_ERROR,
               MP_ERROR_PROCESS_DIED,
               "The zygote died twice while it was to start the process");
  for (GList *l = all; l != NULL; l = l->next)
    {
      MpZygoteEntry *entry = l->data;

      if (entry->refused)
        {
          entry_fail_refused_locked (entry, calls);
        }
      else if (entry->state == MP_ZYGOTE_ENTRY_RUNNING && entry->orphan_tries == 0)
        {
          entry->orphan_tries = 1;
          entry_orphan_locked (entry);
        }
      else if (entry->state == MP_ZYGOTE_ENTRY_SENT && (entry->retried || entry->abandoned))
        {
          mp_zygote_entry_fail (entry, error, calls);
        }
      else if (entry->state == MP_ZYGOTE_ENTRY_SENT)
        {
          entry->retried = TRUE;
          entry->state = MP_ZYGOTE_ENTRY_UNSENT;
          g_queue_push_head (&self->unsent, entry);
        }
    }
}

/* Says how the zygote ended. Somebody else's waitpid() may have taken it. */
static char *
link_describe_end (MpZygoteLink *self)
{
  siginfo_t info = { 0 };
  int exit_code;

  self->killed = FALSE;
  if (TEMP_FAILURE_RETRY (waitid (P_PIDFD, self->pidfd, &info, WEXITED | WNOHANG)) == 0 &&
      info.si_pid != 0)
    exit_code = mp_exit_code_from_siginfo (info.si_code, info.si_status);
  else if (!mp_pidfd_get_exit_code (self->pidfd, &exit_code))
    return g_strdup ("ended");
  self->killed = exit_code < 0;
  return self->killed ? g_strdup_printf ("was killed by signal %d", -exit_code)
                      : g_strdup_printf ("ended with exit code %d", exit_code);
}

static GError *
link_early_death_error (MpZygoteLink *self, const char *end)
{
  if (self->start_error != NULL)
    return g_steal_pointer (&self->start_error);
  if (self->kind == MP_ZYGOTE_SELF && !self->said_hello && !self->killed)
    return g_error_new (MP_ERROR,
                        MP_ERROR_NOT_BOOTSTRAPPED,
                        "“%s”, executed again to start processes, %s before it called "
                        "mp_bootstrap(), "
                        "which must come first in main()",
                        self->argv[0],
                        end);
  if (self->kind == MP_ZYGOTE_PYTHON && !self->said_hello && !self->killed)
    return g_error_new (MP_ERROR,
                        MP_ERROR_FAILED,
                        "“%s” %s before it was ready to start processes: it needs PyGObject (the "
                        "package python3-gi), the typelib of libmp, and multiprocessing_gi",
                        self->argv[0],
                        end);
  return g_error_new (MP_ERROR,
                      self->killed ? MP_ERROR_PROCESS_DIED : MP_ERROR_FAILED,
                      "“%s” %s before it was ready to start processes",
                      self->argv[0],
                      end);
}

static GError *
link_gone_error (MpZygoteLink *self)
{
  return g_error_new_literal (MP_ERROR,
                              MP_ERROR_PROCESS_DIED,
                              self->adopted ? "The process from which others were to be forked died"
                                            : "The zygote that started this process died");
}

static void
link_died_locked (MpZygoteLink *self, const char *end, GQueue *calls)
{
  gboolean was_ready = self->state == MP_ZYGOTE_LINK_READY;
  /* Who was killed before it was ready is no reason to give up, but only once. */
  gboolean again = self->killed && self->start_error == NULL && !self->respawned;
  g_autoptr (GError) error = was_ready || again ? NULL : link_early_death_error (self, end);

  self->respawned = !was_ready && again;
  mp_zygote_link_forget (self);
  link_sort_out_entries_locked (self, calls);
  if (self->inherited)
    {
      /* With it this process was to die, too. There will not be another one. */
      g_clear_error (&error);
      error = link_gone_error (self);
    }
  if (error != NULL)
    link_fail_unsent_locked (self, error, calls);
  else if (!g_queue_is_empty (&self->unsent) || !g_queue_is_empty (&self->waiters))
    mp_zygote_link_spawn (self, calls);
}

/* --- What the zygote says ---------------------------------------------- */

static void
link_ready_locked (MpZygoteLink *self, GQueue *calls)
{
  MpZygoteCall *waiter;

  self->state = MP_ZYGOTE_LINK_READY;
  while ((waiter = g_queue_pop_head (&self->waiters)) != NULL)
    g_queue_push_tail (calls, waiter);
  mp_zygote_link_flush (self, calls);
}

/* It runs, but there is no descriptor left to watch it with: it is ended again. It
 * has failed to start when it has ended, and does nothing any more. */
static void
link_refuse_locked (MpZygoteEntry *entry)
{
  MpZygoteMessage message = {
    .magic = MP_ZYGOTE_MAGIC,
    .type = MP_ZYGOTE_SIGNAL,
    .id = entry->id,
    .value = SIGKILL,
  };

  entry->refused = TRUE;
  mp_fd_send_message (entry->link->socket_fd, &message, sizeof message, NULL, 0);
}

static void
link_started_locked (MpZygoteEntry *entry, int pid, const GArray *fds, GQueue *calls)
{
  mp_zygote_request_clear (&entry->request);
  entry->state = MP_ZYGOTE_ENTRY_RUNNING;
  entry->pid = pid;
  entry->pidfd = fds->len > 0 ? fcntl (g_array_index (fds, int, 0), F_DUPFD_CLOEXEC, 3) : -1;
  if (entry->pidfd < 0)
    link_refuse_locked (entry);
  else if (entry->abandoned)
    mp_zygote_entry_kill (entry);
  else
    mp_zygote_call_entry (entry, MP_ZYGOTE_CALL_STARTED, pid, entry->pidfd, NULL, calls);
}
static void
link_handle_locked (MpZygoteLink *self,
                    const MpZygoteMessage *message,
                    const char *text,
                    const GArray *fds,
                    GQueue *calls)
{
  MpZygoteEntry *entry = g_hash_table_lookup (self->entries, &message->id);
  g_autoptr (GError) error = NULL;

  switch ((MpZygoteMessageType) message->type)
    {
    case MP_ZYGOTE_HELLO:
      self->said_hello = TRUE;
      clear_source (&self->hello_source);
      break;
    case MP_ZYGOTE_READY:
      link_ready_locked (self, calls);
      break;
    case MP_ZYGOTE_STARTED:
      if (entry != NULL && entry->state == MP_ZYGOTE_ENTRY_SENT)
        link_started_locked (entry, message->value, fds, calls);
      break;
    case MP_ZYGOTE_FAILED:
      error = g_error_new (MP_ERROR, message->code, "%.*s", (int) message->text_length, text);
      if (entry != NULL)
        mp_zygote_entry_fail (entry, error, calls);
      break;
    case MP_ZYGOTE_EXITED:
      if (entry != NULL && entry->refused)
        entry_fail_refused_locked (entry, calls);
      else if (entry != NULL && entry->state == MP_ZYGOTE_ENTRY_RUNNING)
        mp_zygote_entry_exit (entry,
                              mp_exit_code_from_siginfo (message->code, message->value),
                              calls);
      break;
    case MP_ZYGOTE_CONFIGURE:
    case MP_ZYGOTE_START:
    case MP_ZYGOTE_SIGNAL:
    default:
      break;
    }
}

/* Takes what is there. FALSE when the other end is gone. */
static gboolean
link_receive_locked (MpZygoteLink *self, GQueue *calls)
{
  guint8 data[sizeof (MpZygoteMessage) + MP_ZYGOTE_MAX_TEXT];

  while (self->socket_fd >= 0)
    {
      g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
      MpZygoteMessage message;
      const char *text;
      gssize length = mp_fd_receive_message (self->socket_fd, data, sizeof data, fds);

      if (length < 0 && errno == EAGAIN)
        return TRUE;
      if (length <= 0 || !mp_zygote_message_check (data, length, &message, &text))
        return FALSE;
      link_handle_locked (self, &message, text, fds, calls);
      for (guint i = 0; i < fds->len; i++)
        close (g_array_index (fds, int, i));
    }
  return TRUE;
}

static gboolean
socket_cb (int fd, GIOCondition condition, gpointer user_data)
{
  MpZygoteLink *self = user_data;
  GQueue *calls = g_queue_new ();

  g_mutex_lock (&mp_zygote_links_mutex);
  if (self->socket_fd == fd && !link_receive_locked (self, calls))
    {
      if (self->pidfd < 0)
        {
          link_died_locked (self, "ended", calls);
        }
      else
        {
          /* Without its socket it is of no use. Its death is the next event. */
          pidfd_send_signal (self->pidfd, SIGKILL, NULL, 0);
          clear_source (&self->socket_source);
        }
    }
  mp_zygote_unlock_and_run (calls);
  return G_SOURCE_CONTINUE;
}

static gboolean
death_cb (int fd, GIOCondition condition, gpointer user_data)
{
  MpZygoteLink *self = user_data;
  GQueue *calls = g_queue_new ();
  g_autofree char *end = NULL;

  g_mutex_lock (&mp_zygote_links_mutex);
  if (self->pidfd == fd)
    {
      end = link_describe_end (self);
      /* What it said before it died still counts. */
      link_receive_locked (self, calls);
      link_died_locked (self, end, calls);
    }
  mp_zygote_unlock_and_run (calls);
  return G_SOURCE_CONTINUE;
}

static gboolean
hello_cb (gpointer user_data)
{
  MpZygoteLink *self = user_data;

  g_mutex_lock (&mp_zygote_links_mutex);
  if (self->hello_source != NULL && self->pidfd >= 0)
    {
      g_clear_error (&self->start_error);
      if (self->kind == MP_ZYGOTE_SELF)
        g_set_error (&self->start_error,
                     MP_ERROR,
                     MP_ERROR_NOT_BOOTSTRAPPED,
                     "“%s”, executed again to start processes, did not call mp_bootstrap() within "
                     "%d seconds; "
                     "it must come first in main()",
                     self->argv[0],
                     HELLO_LIMIT_NATIVE_MS / 1000);
      else
        g_set_error (&self->start_error,
                     MP_ERROR,
                     MP_ERROR_TIMED_OUT,
                     "“%s” did not answer within the time for its start",
                     self->argv[0]);
      pidfd_send_signal (self->pidfd, SIGKILL, NULL, 0);
      clear_source (&self->hello_source);
    }
  g_mutex_unlock (&mp_zygote_links_mutex);
  return G_SOURCE_REMOVE;
}

/* --- Starting the zygote and asking it --------------------------------- */

static gboolean
output_cb (gpointer user_data)
{
  MpZygoteLink *self = user_data;
  GQueue *calls = g_queue_new ();

  g_mutex_lock (&mp_zygote_links_mutex);
  clear_source (&self->output_source);
  mp_zygote_link_flush (self, calls);
  mp_zygote_unlock_and_run (calls);
  return G_SOURCE_REMOVE;
}

void
mp_zygote_link_flush (MpZygoteLink *self, GQueue *calls)
{
  MpZygoteEntry *entry;

  while (self->state == MP_ZYGOTE_LINK_READY && (entry = g_queue_peek_head (&self->unsent)) != NULL)
    {
      int sent = mp_zygote_entry_send (entry);

      if (sent == 0)
        {
          /* Not by G_IO_OUT: it may also be the number of descriptors in
           * flight that is too high. */
          if (self->output_source == NULL)
            attach_source (&self->output_source, g_timeout_source_new (1), output_cb, self);
          return;
        }
      g_queue_pop_head (&self->unsent);
      entry->state = MP_ZYGOTE_ENTRY_SENT;
      if (sent < 0)
        {
          g_autoptr (GError) error = NULL;

          mp_set_error_from_errno (&error, errno, "Cannot ask for the process");
          mp_zygote_entry_fail (entry, error, calls);
        }
    }
}

static gboolean
link_send_configuration (MpZygoteLink *self, GError **error)
{
  MpZygoteMessage message = { .magic = MP_ZYGOTE_MAGIC, .type = MP_ZYGOTE_CONFIGURE };
  MpStart body = { .kind = MP_START_CONFIGURE,
                   .argv = self->preload,
                   .fingerprint = self->fingerprint };
  g_auto (MpFd) fd = -1;

  if (self->preparation != NULL)
    body.preparation = g_bytes_get_data (self->preparation, &body.preparation_length);
  fd = mp_start_to_memfd (&body, error);
  if (fd < 0)
    return FALSE;
  if (!mp_fd_send_message (self->socket_fd, &message, sizeof message, &fd, 1))
    return mp_set_error_from_errno (error, errno, "Cannot configure the zygote");
  return TRUE;
}

void
mp_zygote_link_watch_socket (MpZygoteLink *self)
{
  fcntl (self->socket_fd, F_SETFL, fcntl (self->socket_fd, F_GETFL) | O_NONBLOCK);
  attach_source (&self->socket_source,
                 g_unix_fd_source_new (self->socket_fd, G_IO_IN),
                 socket_cb,
                 self);
}

void
mp_zygote_link_watch_death (MpZygoteLink *self)
{
  attach_source (&self->death_source, g_unix_fd_source_new (self->pidfd, G_IO_IN), death_cb, self);
}

static gboolean
link_try_spawn (MpZygoteLink *self, GError **error)
{
  g_auto (MpFd) theirs = -1;
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return mp_set_error_from_errno (error, errno, "Cannot make the link to a zygote");
  self->socket_fd = pair[0];
  theirs = pair[1];
  if (self->kind == MP_ZYGOTE_PYTHON && !link_send_configuration (self, error))
    return FALSE;
  self->pid = mp_spawn_zygote (self->kind,
                               (const char *const *) self->argv,
                               (const char *const *) self->env,
                               theirs,
                               error);
  if (self->pid < 0)
    return FALSE;
  self->pidfd = pidfd_open (self->pid, 0);
  if (self->pidfd < 0)
    {
      int err = errno;

      /* Nobody else would wait for it. */
      kill (self->pid, SIGKILL);
      TEMP_FAILURE_RETRY (waitpid (self->pid, NULL, 0));
      return mp_set_error_from_errno (error, err, "Cannot watch the new zygote");
    }
  return TRUE;
}

static gboolean
spawn_cb (gpointer user_data)
{
  MpZygoteLink *self = user_data;
  GQueue *calls = g_queue_new ();
  g_autoptr (GError) error = NULL;

  g_mutex_lock (&mp_zygote_links_mutex);
  g_clear_error (&self->start_error);
  if (link_try_spawn (self, &error))
    {
      int limit = self->kind == MP_ZYGOTE_PYTHON ? HELLO_LIMIT_PYTHON_MS : HELLO_LIMIT_NATIVE_MS;

      mp_zygote_link_watch_socket (self);
      mp_zygote_link_watch_death (self);
      attach_source (&self->hello_source, g_timeout_source_new (limit), hello_cb, self);
    }
  else
    {
      mp_zygote_link_forget (self);
      link_fail_unsent_locked (self, error, calls);
    }
  mp_zygote_unlock_and_run (calls);
  mp_zygote_link_unref (self);
  return G_SOURCE_REMOVE;
}

/* On the pump, whose thread lives as long as the process: the kernel kills the
 * zygote when the thread that executed it ends. */
void
mp_zygote_link_spawn (MpZygoteLink *self, GQueue *calls)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  if (self->inherited)
    {
      g_autoptr (GError) error = link_gone_error (self);

      link_fail_unsent_locked (self, error, calls);
      return;
    }
  self->state = MP_ZYGOTE_LINK_STARTING;
  self->ref_count++;
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, spawn_cb, self, NULL);
  mp_pump_attach (source);
}
