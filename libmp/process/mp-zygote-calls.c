/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-zygote-link-types-private.h"

#include "mp-pidfd-private.h"
#include "mp-pump-private.h"
#include "mp-spawn-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/pidfd.h>

static void
call_run (MpZygoteCall *call)
{
  switch (call->type)
    {
    case MP_ZYGOTE_CALL_STARTED:
      call->callbacks.started (call->owner, call->id, call->number, call->fd);
      break;
    case MP_ZYGOTE_CALL_FAILED:
      call->callbacks.failed (call->owner, call->id, call->error);
      break;
    case MP_ZYGOTE_CALL_EXITED:
      call->callbacks.exited (call->owner, call->id, call->number, g_steal_fd (&call->fd));
      break;
    case MP_ZYGOTE_CALL_READY:
      call->ready (call->error, call->user_data);
      break;
    case MP_ZYGOTE_CALL_RELEASE:
      break;
    default:
      g_assert_not_reached ();
    }
  if (call->destroy != NULL)
    call->destroy (call->user_data);
  g_clear_object (&call->owner);
  g_clear_pointer (&call->link, mp_zygote_link_unref);
  g_clear_error (&call->error);
  g_free (call);
}

static gboolean
calls_run_cb (gpointer user_data)
{
  GQueue *calls = user_data;
  MpZygoteCall *call;

  while ((call = g_queue_pop_head (calls)) != NULL)
    call_run (call);
  g_queue_free (calls);
  return G_SOURCE_REMOVE;
}

void
mp_zygote_unlock_and_post (GQueue *calls)
{
  g_mutex_unlock (&mp_zygote_links_mutex);
  if (g_queue_is_empty (calls))
    {
      g_queue_free (calls);
    }
  else
    {
      g_autoptr (GSource) source = g_idle_source_new ();

      g_source_set_priority (source, G_PRIORITY_DEFAULT);
      g_source_set_callback (source, calls_run_cb, calls, NULL);
      mp_pump_attach (source);
    }
}

void
mp_zygote_unlock_and_run (GQueue *calls)
{
  g_mutex_unlock (&mp_zygote_links_mutex);
  calls_run_cb (calls);
}

MpZygoteCall *
mp_zygote_call_new (MpZygoteCallType type, GQueue *calls)
{
  MpZygoteCall *call = g_new0 (MpZygoteCall, 1);

  call->type = type;
  call->fd = -1;
  g_queue_push_tail (calls, call);
  return call;
}

void
mp_zygote_call_entry (const MpZygoteEntry *entry,
                      MpZygoteCallType type,
                      int number,
                      int fd,
                      const GError *error,
                      GQueue *calls)
{
  MpZygoteCall *call = mp_zygote_call_new (type, calls);

  call->callbacks = entry->callbacks;
  call->id = entry->id;
  call->owner = g_object_ref (entry->owner);
  call->number = number;
  call->fd = fd;
  call->error = error != NULL ? g_error_copy (error) : NULL;
}

void
mp_zygote_request_clear (MpZygoteRequest *request)
{
  mp_clear_fd (&request->body_fd);
  mp_clear_fd (&request->cwd_fd);
  for (int i = 0; i < 3; i++)
    mp_clear_fd (&request->std_fds[i]);
  g_clear_object (&request->fd_list);
}

void
mp_zygote_entry_remove (MpZygoteEntry *entry, GQueue *calls)
{
  MpZygoteCall *call = mp_zygote_call_new (MP_ZYGOTE_CALL_RELEASE, calls);

  g_hash_table_remove (entry->link->entries, &entry->id);
  g_queue_remove (&entry->link->unsent, entry);
  mp_zygote_request_clear (&entry->request);
  mp_clear_fd (&entry->pidfd);
  call->owner = entry->owner;
  call->link = entry->link;
  g_free (entry);
}

void
mp_zygote_entry_fail (MpZygoteEntry *entry, const GError *error, GQueue *calls)
{
  if (!entry->abandoned)
    mp_zygote_call_entry (entry, MP_ZYGOTE_CALL_FAILED, 0, -1, error, calls);
  mp_zygote_entry_remove (entry, calls);
}

void
mp_zygote_entry_exit (MpZygoteEntry *entry, int exit_code, GQueue *calls)
{
  if (!entry->abandoned)
    mp_zygote_call_entry (entry,
                          MP_ZYGOTE_CALL_EXITED,
                          exit_code,
                          g_steal_fd (&entry->pidfd),
                          NULL,
                          calls);
  mp_zygote_entry_remove (entry, calls);
}

void
mp_zygote_entry_kill (MpZygoteEntry *entry)
{
  if (entry->request.group)
    mp_pidfd_kill_group (entry->pidfd, entry->pid);
  else
    pidfd_send_signal (entry->pidfd, SIGKILL, NULL, 0);
}

int
mp_zygote_entry_send (MpZygoteEntry *entry)
{
  MpZygoteMessage message = { .magic = MP_ZYGOTE_MAGIC, .type = MP_ZYGOTE_START, .id = entry->id };
  const MpZygoteRequest *request = &entry->request;
  g_auto (MpFd) null = -1;
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));

  message.code = request->outlives ? MP_ZYGOTE_START_OUTLIVES : MP_ZYGOTE_START_NONE;
  g_array_append_val (fds, request->body_fd);
  g_array_append_val (fds, request->cwd_fd);
  for (int i = 0; i < 3; i++)
    {
      int fd = request->std_fds[i];

      /* Tasks do not compete for the terminal's input. */
      if (fd < 0 && (i > 0 || request->group))
        fd = mp_spawn_get_std_fd (i);
      if (fd < 0 && null < 0)
        null = open ("/dev/null", O_RDWR | O_CLOEXEC);
      if (fd < 0)
        fd = null;
      if (fd < 0)
        return -1;
      g_array_append_val (fds, fd);
    }
  if (request->fd_list != NULL)
    {
      int n_fds = 0;
      const int *user_fds = g_unix_fd_list_peek_fds (request->fd_list, &n_fds);

      g_array_append_vals (fds, user_fds, n_fds);
    }
  if (mp_fd_send_message (entry->link->socket_fd,
                          &message,
                          sizeof message,
                          (const int *) (gpointer) fds->data,
                          fds->len))
    return 1;
  switch (errno)
    {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
    case ETOOMANYREFS:
    case EPIPE: /* the zygote died, which the pump is about to learn */
    case ECONNRESET:
    case ENOTCONN:
      return 0;
    default:
      return -1;
    }
}
