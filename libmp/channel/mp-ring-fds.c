/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Descriptors that belong to messages.
 *
 * They travel beside the ring, through a pair of sockets of which everybody who has
 * the ring has both: the kernel keeps them there for as long as anybody does. A packet
 * has a number, which is used once and stands in the message, too, and the packets
 * are in the order of the messages.
 *
 * Who puts sends the packet under the producers' lock, and then commits. Killed in
 * between, it leaves a packet with a number that no message will ever have. Who gets
 * looks at the packet under the consumers' lock, by which the kernel gives it duplicates
 * of the descriptors, then commits, and then takes the packet away. Killed before the
 * commit, it has changed nothing; after it, it leaves a packet whose message is gone. So
 * what is older than the number that is looked for is stale, and is thrown away.
 *
 * But after the last message with descriptors nobody may come to look for one, and
 * whoever reads the other end of a pipe waits for its last writer to be gone. Therefore
 * it is noted up to which number the socket surely has none any more. If that is not the
 * last number, and all messages that were committed when it was given are gone, then
 * everything up to it is stale: this is looked at where the dead are looked after. */

#include "mp-ring-layout-private.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

/* More than ever fit into a socket: somebody else is sending all the time. */
#define MAX_STALE 65536

/* Why the kernel did not take the last ones, for the error message. */
static _Thread_local int refused_errno;

/* Making */

gboolean
mp_ring_check_socket (int fd)
{
  int domain = 0, type = 0;
  socklen_t length = sizeof domain;

  return getsockopt (fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX &&
         getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
}

gboolean
mp_ring_carry_fds (MpRing *self, GError **error)
{
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    return mp_set_error_from_errno (error, errno, "Making a ring that carries descriptors");
  self->fd_sender = fds[0];
  self->fd_receiver = fds[1];
  /* Bounded or not, one may wait for room for them. */
  if (self->join_event == self->put_event)
    self->join_event = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->join_event < 0)
    return mp_set_error_from_errno (error, errno, "Making a ring that carries descriptors");
  return TRUE;
}

gboolean
mp_ring_carries_fds (MpRing *self)
{
  return self->fd_sender >= 0;
}

/* Putting */

gboolean
mp_ring_has_fd_room (MpRing *self)
{
  int used = 0, size = 0;
  socklen_t length = sizeof size;

  /* Each time, since everybody who has the socket can change its size. */
  return ioctl (self->fd_sender, SIOCOUTQ, &used) != 0 ||
         getsockopt (self->fd_sender, SOL_SOCKET, SO_SNDBUF, &size, &length) != 0 || used < size;
}

MpRingStatus
mp_ring_send_fds (MpRing *self, const MpRecord *record, MpFdTicket *ticket)
{
  MpRingShared *shared = self->shared;

  *ticket = (MpFdTicket){
    .number = atomic_load_explicit (&shared->fd_ticket, memory_order_relaxed) + 1,
    .n_fds = record->n_fds,
  };
  /* Before it is used, so that it never is again. */
  atomic_store_explicit (&shared->fd_ticket, ticket->number, memory_order_release);
  if (mp_fd_try_send_message (self->fd_sender, ticket, sizeof *ticket, record->fds, record->n_fds))
    return MP_RING_DONE;
  if (errno == EAGAIN)
    return MP_RING_TIMED_OUT;
  if (errno == ENOMEM || errno == ENOBUFS)
    return MP_RING_NO_MEMORY;
  refused_errno = errno;
  return MP_RING_FDS_REFUSED;
}

/* Getting */

void
mp_ring_close_fds (GArray *fds)
{
  for (guint i = 0; i < fds->len; i++)
    mp_fd_close (g_array_index (fds, int, i));
  g_array_set_size (fds, 0);
}

static gboolean
is_after (guint32 number, guint32 other)
{
  return (gint32) (number - other) > 0;
}

/* Under get_lock: throws the first packet away. */
static void
drop_packet (MpRing *self)
{
  guint8 byte;

  while (recv (self->fd_receiver, &byte, sizeof byte, MSG_DONTWAIT) < 0 && errno == EINTR)
    ;
}

MpRingStatus
mp_ring_peek_fds (MpRing *self, const MpFdTicket *ticket, GArray *fds)
{
  for (guint i = 0; i < MAX_STALE; i++)
    {
      MpFdTicket found;
      gssize length;

      errno = 0;
      length = mp_fd_peek_message (self->fd_receiver, &found, sizeof found, fds);
      if (length < 0 && (errno == ENOMEM || errno == ENOBUFS))
        return MP_RING_NO_MEMORY;
      if (length == sizeof found && found.number == ticket->number)
        {
          if (found.n_fds != ticket->n_fds || found.n_fds == 0)
            return MP_RING_CORRUPT;
          if (fds->len == 0 && errno == EMFILE)
            return MP_RING_NO_FDS;
          return fds->len == found.n_fds ? MP_RING_DONE : MP_RING_FDS_MISSING;
        }
      mp_ring_close_fds (fds);
      if (length != sizeof found || is_after (found.number, ticket->number))
        return MP_RING_CORRUPT;
      drop_packet (self);
    }
  return MP_RING_CORRUPT;
}

/* Under get_lock: the socket has none any more up to this one. */
static void
note_gone (MpRing *self, guint32 number)
{
  if (is_after (number, atomic_load_explicit (&self->shared->fd_gone, memory_order_relaxed)))
    atomic_store_explicit (&self->shared->fd_gone, number, memory_order_relaxed);
}

void
mp_ring_consume_fds (MpRing *self, const MpFdTicket *ticket)
{
  drop_packet (self);
  note_gone (self, ticket->number);
}

/* Under get_lock: those up to this number. FALSE if there were none. */
static gboolean
drop_packets (MpRing *self, guint32 last)
{
  gboolean dropped = FALSE;

  for (guint i = 0; i < MAX_STALE; i++)
    {
      MpFdTicket found;
      gssize length =
        recv (self->fd_receiver, &found, sizeof found, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);

      if (length <= 0 || (length == sizeof found && is_after (found.number, last)))
        break;
      drop_packet (self);
      dropped = TRUE;
    }
  note_gone (self, last);
  return dropped;
}

void
mp_ring_drop_stale_fds (MpRing *self, gint64 deadline)
{
  MpRingShared *shared = self->shared;
  gboolean dropped = FALSE;
  guint32 last, items;

  if (G_LIKELY (!mp_ring_carries_fds (self) ||
                atomic_load_explicit (&shared->fd_ticket, memory_order_acquire) ==
                  atomic_load_explicit (&shared->fd_gone, memory_order_relaxed)) ||
      mp_ring_get_length (self) != 0)
    return;
  /* Nobody is between a packet and its message now. */
  if (mp_ring_lock_put (self, deadline) != MP_RING_DONE)
    return;
  last = atomic_load_explicit (&shared->fd_ticket, memory_order_relaxed);
  items = mp_ring_items (atomic_load_explicit (&shared->head, memory_order_relaxed));
  mp_micro_lock_release (&shared->put_lock);

  if (mp_ring_lock_get (self, deadline) != MP_RING_DONE)
    return;
  if (!is_after (items, mp_ring_get_taken (self)))
    dropped = drop_packets (self, last);
  mp_micro_lock_release (&shared->get_lock);
  if (dropped)
    mp_ring_wake_fd_putters (self);
}

void
mp_ring_wake_fd_putters (MpRing *self)
{
  mp_ring_fence_after_release (self);
  if (mp_ring_is_awaited (&self->shared->putters))
    mp_ring_wake_putters_slow (self, 1);
}

void
mp_ring_set_fd_error (GError **error, MpRingStatus status)
{
  if (status == MP_RING_HAS_FDS)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_NOT_SUPPORTED,
                         "The next message has descriptors, with which this call cannot take it");
  else if (status == MP_RING_FDS_MISSING)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_CORRUPT,
                         "The next message is corrupt: its descriptors were not sent with it");
  else if (status == MP_RING_NO_FDS)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_LIMIT,
                         "The next message has descriptors, and this process has too many open");
  else if (refused_errno == ETOOMANYREFS)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_LIMIT,
                         "Too many descriptors of this user are on their way");
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_INVALID_ARGUMENT,
                 "The descriptors cannot be sent: %s",
                 g_strerror (refused_errno));
}
