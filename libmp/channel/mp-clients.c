/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Those who have come to a listener, until they are connections. */

#include "mp-listener-private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "mp-connection-private.h"

/* So many may be on their way; the oldest gives way to the next. */
#define MAX_PENDING 128
/* Who has a key to show is taken in at once, but so many at a time. */
#define MAX_AT_ONCE 32
#define TICK_US ((gint64) G_USEC_PER_SEC)
#define MIN_TICK_US ((gint64) 1000)

/* The type of the first record of TLS, and how long it may be. */
#define TLS_HANDSHAKE 22
#define MAX_HELLO 16384

#define ID_LISTEN 0
#define ID_TIMER 1
#define ID_EVENT 2
#define ID_DOOR 3
#define FIRST_ID 4

typedef struct
{
  guint64 id;
  MpTransport transport;
  MpHandshake *handshake; /* NULL: it is to begin with TLS */
  GIOCondition condition;
  gint64 deadline;
} Client;

void
mp_found_free (MpFound *self)
{
  g_clear_object (&self->connection);
  g_clear_error (&self->error);
  g_free (self);
}

static gboolean
watch_fd (MpClients *self, int operation, int fd, guint64 id, guint32 events)
{
  struct epoll_event event = { .events = events, .data = { .u64 = id } };

  return epoll_ctl (self->epoll_fd, operation, fd, &event) == 0;
}

static gboolean
open_fds (MpClients *self, GError **error)
{
  self->generation = mp_turn_get_generation ();
  self->ticking = FALSE;
  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  self->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  self->event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->door_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->epoll_fd >= 0 && self->timer_fd >= 0 && self->event_fd >= 0 && self->door_fd >= 0 &&
      watch_fd (self, EPOLL_CTL_ADD, self->listen_fd, ID_LISTEN, EPOLLIN) &&
      watch_fd (self, EPOLL_CTL_ADD, self->timer_fd, ID_TIMER, EPOLLIN) &&
      watch_fd (self, EPOLL_CTL_ADD, self->event_fd, ID_EVENT, EPOLLIN) &&
      watch_fd (self, EPOLL_CTL_ADD, self->door_fd, ID_DOOR, EPOLLIN))
    {
      if (self->certificate != NULL)
        self->door = mp_tls_door_new (self->certificate, self->client_database, self->door_fd);
      return TRUE;
    }
  return mp_set_error_from_errno (error, errno, "A listener");
}

gboolean
mp_clients_init (MpClients *self, int listen_fd, GError **error)
{
  self->listen_fd = listen_fd;
  return open_fds (self, error);
}

static void
client_free (gpointer data)
{
  Client *self = data;

  mp_transport_clear (&self->transport);
  g_clear_pointer (&self->handshake, mp_handshake_free);
  g_free (self);
}

/* Not taken from the epoll set: in a child, that is the parent's. */
static void
drop_all (MpClients *self)
{
  g_queue_clear_full (&self->pending, client_free);
  g_queue_clear_full (&self->found, (GDestroyNotify) mp_found_free);
  mp_clear_fd (&self->epoll_fd);
  mp_clear_fd (&self->timer_fd);
  mp_clear_fd (&self->event_fd);
  mp_clear_fd (&self->door_fd);
}

void
mp_clients_clear (MpClients *self)
{
  if (self->door != NULL && self->generation != mp_turn_get_generation ())
    g_clear_pointer (&self->door, mp_tls_door_forget);
  g_clear_pointer (&self->door, mp_tls_door_free);
  drop_all (self);
  mp_clear_fd (&self->listen_fd);
  g_clear_pointer (&self->authkey, g_bytes_unref);
  g_clear_object (&self->certificate);
  g_clear_object (&self->client_database);
}

/* While somebody is on the way. */
static void
set_ticking (MpClients *self, gboolean on)
{
  gint64 tick = on ? CLAMP (self->timeout_us, MIN_TICK_US, TICK_US) : 0;
  struct timespec time = { .tv_sec = tick / G_USEC_PER_SEC,
                           .tv_nsec = tick % G_USEC_PER_SEC * 1000 };
  struct itimerspec spec = { .it_interval = time, .it_value = time };

  if (on != self->ticking)
    timerfd_settime (self->timer_fd, 0, &spec, NULL);
  self->ticking = on;
}

static void
remove_client (MpClients *self, Client *client)
{
  /* Before it is closed: others may have the same socket. */
  epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, client->transport.fd, NULL);
  g_queue_remove (&self->pending, client);
}

static void
add_found (MpClients *self, MpConnection *connection, GError *error)
{
  MpFound *found = g_new (MpFound, 1);

  *found = (MpFound){ .connection = connection, .error = error };
  g_queue_push_tail (&self->found, found);
}

static gint64
new_deadline (MpClients *self)
{
  gint64 deadline = mp_deadline_new (self->timeout_us);

  return deadline == MP_DEADLINE_NEVER ? G_MAXINT64 : deadline;
}

/* What of TLS has come is looked at, and stays: it is news only once. */
static guint32
events_of (const Client *client)
{
  if (client->handshake == NULL)
    return EPOLLIN | EPOLLET;
  return client->condition == G_IO_OUT ? EPOLLOUT : EPOLLIN;
}

/* Whether the first record of TLS is there, or something else that TLS will refuse. */
static gboolean
has_hello (int fd, gboolean *gone)
{
  guint8 start[5];
  gssize n = recv (fd, start, sizeof start, MSG_PEEK | MSG_DONTWAIT);
  int there = 0, length;

  *gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
  if (n > 0 && start[0] != TLS_HANDSHAKE)
    return TRUE;
  if (n < (gssize) sizeof start || ioctl (fd, FIONREAD, &there) != 0)
    return FALSE;
  length = start[3] << 8 | start[4];
  return length > MAX_HELLO || there >= length + (int) sizeof start;
}

static void
advance_to_door (MpClients *self, Client *client, gint64 now)
{
  gboolean gone = FALSE, ready = has_hello (client->transport.fd, &gone);

  if (!gone && !ready)
    return;
  if (!gone && !mp_tls_door_has_room (self->door, now))
    {
      /* That it waits from here on is not its fault. */
      client->deadline = G_MAXINT64;
      return;
    }
  remove_client (self, client);
  if (!gone)
    mp_tls_door_enter (self->door, g_steal_fd (&client->transport.fd), now, new_deadline (self));
  client_free (client);
}

/* There may be room for those who wait. */
static void
look_at_door (MpClients *self, gint64 now)
{
  for (GList *each = self->pending.head, *next; each != NULL; each = next)
    {
      Client *client = each->data;

      next = each->next;
      if (client->handshake == NULL)
        advance_to_door (self, client, now);
    }
}

/* Goes on with one. */
static void
advance (MpClients *self, Client *client)
{
  GIOCondition condition = client->condition;
  GError *error = NULL;
  MpFlow flow =
    mp_handshake_advance (client->handshake, &client->transport, &client->condition, &error);

  if (flow == MP_FLOW_AGAIN)
    {
      if (client->condition != condition)
        watch_fd (self, EPOLL_CTL_MOD, client->transport.fd, client->id, events_of (client));
      return;
    }
  remove_client (self, client);
  if (flow == MP_FLOW_DONE)
    add_found (self, mp_connection_new_for_transport (&client->transport), NULL);
  else if (g_error_matches (error, MP_ERROR, MP_ERROR_AUTHENTICATION))
    add_found (self, NULL, g_steal_pointer (&error));
  /* Who just left is nobody's business. */
  g_clear_error (&error);
  client_free (client);
}

static void
add_client (MpClients *self, MpTransport *transport, gboolean to_door)
{
  Client *client = g_new0 (Client, 1);

  if (self->pending.length == MAX_PENDING)
    {
      Client *oldest = g_queue_peek_head (&self->pending);

      remove_client (self, oldest);
      client_free (oldest);
    }
  client->id = FIRST_ID + self->last_id++;
  client->transport = *transport;
  client->handshake = to_door ? NULL : mp_handshake_new (self->authkey, TRUE);
  client->condition = G_IO_IN;
  client->deadline = new_deadline (self);
  if (!watch_fd (self, EPOLL_CTL_ADD, transport->fd, client->id, events_of (client)))
    {
      client_free (client);
      return;
    }
  g_queue_push_tail (&self->pending, client);
  if (to_door)
    advance_to_door (self, client, g_get_monotonic_time ());
  else
    advance (self, client);
}

/* Who can speak, and perhaps has a key to show. Takes @transport. */
static void
welcome (MpClients *self, MpTransport *transport)
{
  if (self->authkey != NULL)
    add_client (self, transport, FALSE);
  else
    add_found (self, mp_connection_new_for_transport (transport), NULL);
}

static void
welcome_those_through (MpClients *self)
{
  MpTransport transport = { .fd = -1 };
  GError *error = NULL;

  while (mp_tls_door_take (self->door, &transport, &error))
    {
      if (error != NULL)
        add_found (self, NULL, g_steal_pointer (&error));
      else
        welcome (self, &transport);
    }
}

/* FALSE if nobody waits to be let in. */
static gboolean
accept_one (MpClients *self, GError **error)
{
  MpTransport transport;
  int on = 1, fd = accept4 (self->listen_fd, NULL, NULL, SOCK_CLOEXEC);

  if (fd < 0)
    {
      /* These are over before they began. */
      if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
        return TRUE;
      if (errno != EAGAIN)
        mp_set_error_from_errno (error, errno, "A client cannot be let in");
      return FALSE;
    }
  /* Fails where it is no TCP. */
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!mp_transport_init (&transport, fd, error))
    return FALSE;
  if (self->door != NULL)
    add_client (self, &transport, TRUE);
  else
    welcome (self, &transport);
  return TRUE;
}

/* Where no key is to be shown, one at a time: other processes may accept, too. */
static gboolean
accept_some (MpClients *self, GError **error)
{
  guint n = self->authkey != NULL || self->door != NULL ? MAX_AT_ONCE : 1;
  GError *local_error = NULL;

  while (n-- > 0 && accept_one (self, &local_error))
    ;
  if (local_error == NULL)
    return TRUE;
  g_propagate_error (error, local_error);
  return FALSE;
}

static Client *
find_client (MpClients *self, guint64 id)
{
  for (GList *each = self->pending.head; each != NULL; each = each->next)
    if (((Client *) each->data)->id == id)
      return each->data;
  return NULL;
}

/* The time in which nobody looked is nobody's fault. */
static void
forgive (MpClients *self, gint64 now)
{
  gint64 idle = self->looked_at == 0 ? 0 : now - self->looked_at - 2 * TICK_US;

  self->looked_at = now;
  if (idle <= 0)
    return;
  for (GList *each = self->pending.head; each != NULL; each = each->next)
    {
      Client *client = each->data;

      if (client->deadline < G_MAXINT64 - idle)
        client->deadline += idle;
    }
}

static void
drop_late (MpClients *self, gint64 now)
{
  for (GList *each = self->pending.head, *next; each != NULL; each = next)
    {
      Client *client = each->data;

      next = each->next;
      if (client->deadline > now)
        continue;
      remove_client (self, client);
      client_free (client);
    }
}

static gboolean
handle_event (MpClients *self, const struct epoll_event *event, gint64 now, GError **error)
{
  guint64 ticks;
  Client *client;

  switch (event->data.u64)
    {
    case ID_LISTEN:
      return self->found.length > 0 || accept_some (self, error);
    case ID_TIMER:
      if (read (self->timer_fd, &ticks, sizeof ticks) == sizeof ticks)
        drop_late (self, now);
      look_at_door (self, now);
      return TRUE;
    case ID_EVENT:
      return TRUE;
    case ID_DOOR:
      welcome_those_through (self);
      look_at_door (self, now);
      return TRUE;
    default:
      /* It may have given way to another one in this round. */
      client = find_client (self, event->data.u64);
      if (client != NULL && client->handshake != NULL)
        advance (self, client);
      else if (client != NULL)
        advance_to_door (self, client, now);
      return TRUE;
    }
}

/* In a child of fork(). */
static gboolean
renew (MpClients *self, GError **error)
{
  if (self->generation == mp_turn_get_generation ())
    return TRUE;
  /* What TLS needs of GLib does not outlive a fork. */
  if (self->certificate != NULL)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_NOT_SUPPORTED,
                           "A child of fork() cannot accept what speaks TLS");
      return FALSE;
    }
  drop_all (self);
  return open_fds (self, error);
}

static gboolean
look (MpClients *self, GError **error)
{
  struct epoll_event events[MAX_AT_ONCE];
  gint64 now = g_get_monotonic_time ();
  gboolean good = TRUE, waited_for;
  int n;

  if (!renew (self, error))
    return FALSE;
  if (self->ending)
    return TRUE;
  forgive (self, now);
  n = epoll_wait (self->epoll_fd, events, G_N_ELEMENTS (events), 0);
  for (int i = 0; i < n && good; i++)
    good = handle_event (self, &events[i], now, error);
  waited_for = self->pending.length > 0;
  if (self->door != NULL && mp_tls_door_drop_late (self->door, now))
    waited_for = TRUE;
  set_ticking (self, waited_for && self->timeout_us >= 0);
  return good;
}

/* Whoever waits besides this one is woken as long as there is more. */
static void
tell (MpClients *self)
{
  guint64 count;

  if (self->event_fd < 0)
    return;
  if (self->found.length > 0 || self->ending)
    eventfd_write (self->event_fd, 1);
  else if (read (self->event_fd, &count, sizeof count) < 0)
    g_return_if_fail (errno == EAGAIN);
}

MpFound *
mp_clients_take (MpClients *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  MpFound *found;

  look (self, &local_error);
  found = g_queue_pop_head (&self->found);
  tell (self);
  /* Who is there already comes first. */
  if (found == NULL && local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return found;
}

void
mp_clients_give_back (MpClients *self, MpFound *found)
{
  /* In a child of fork(), it is the parent's. */
  if (self->ending || self->generation != mp_turn_get_generation ())
    mp_found_free (found);
  else
    {
      g_queue_push_head (&self->found, found);
      tell (self);
    }
}

gboolean
mp_clients_look (MpClients *self)
{
  gboolean good = look (self, NULL);

  tell (self);
  return !good || self->ending || self->found.length > 0;
}

void
mp_clients_end (MpClients *self)
{
  self->ending = TRUE;
  if (!renew (self, NULL))
    return;
  for (GList *each = self->pending.head; each != NULL; each = each->next)
    epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, ((Client *) each->data)->transport.fd, NULL);
  g_queue_clear_full (&self->pending, client_free);
  g_queue_clear_full (&self->found, (GDestroyNotify) mp_found_free);
  g_clear_pointer (&self->door, mp_tls_door_free);
  /* Others may have the same socket: it would stay in the set. */
  epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, self->listen_fd, NULL);
  mp_clear_fd (&self->listen_fd);
  tell (self);
}
