/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Frames through a transport that does not block: what both the calls that wait and
 * the asynchronous ones are made of. */

#include "mp-connection-private.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "../base/mp-micro-lock-private.h"

/* Up to here, header and bytes are put together, which is cheaper than to name two
 * places to the system. */
#define JOIN_LIMIT 1024

/* Who waits for an answer looks so often before it sleeps: some microseconds. If the
 * answer did not come meanwhile, several times in a row, that is left out for a while. */
#define MAX_LOOKS MP_CONNECTION_MAX_LOOKS
#define MIN_LOOKS 3
#define PAUSE 64

/* For those who could not get a descriptor to be woken by. */
#define SLICE_US (G_USEC_PER_SEC / 20)

/* Who may use it */

gboolean
mp_connection_set_closed_error (GError **error)
{
  g_set_error_literal (error, MP_ERROR, MP_ERROR_CLOSED, "The connection is closed");
  return FALSE;
}

static gboolean
set_direction_error (MpConnection *self, GIOCondition condition, GError **error)
{
  if (condition == G_IO_OUT && self->torn)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_CLOSED,
                         "An earlier message was sent in part only: nothing can follow it");
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_NOT_SUPPORTED,
                 "Nothing can be %s over this connection",
                 condition == G_IO_IN ? "received" : "sent");
  return FALSE;
}

gboolean
mp_connection_enter (MpConnection *self, GIOCondition condition, GError **error)
{
  if (!mp_users_enter (&self->users))
    return mp_connection_set_closed_error (error);
  if (G_LIKELY (condition == G_IO_IN ? self->readable : self->writable))
    return TRUE;
  mp_connection_leave (self);
  return set_direction_error (self, condition, error);
}

void
mp_connection_leave (MpConnection *self)
{
  if (mp_users_leave (&self->users))
    mp_transport_clear (&self->transport);
}

static MpTurn *
turn_of (MpConnection *self, GIOCondition condition)
{
  return condition == G_IO_IN ? &self->receive_turn : &self->send_turn;
}

/* Waiting */

static gboolean
set_waited_error (GIOCondition condition, GCancellable *cancellable, GError **error)
{
  if (!g_cancellable_set_error_if_cancelled (cancellable, error))
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_TIMED_OUT,
                 condition == G_IO_IN ? "Nothing was received in time" : "Not sent in time");
  return FALSE;
}

static guint64
wake_of (int fd)
{
  return (guint64) mp_turn_get_generation () << 32 | (guint32) fd;
}

/* -1 if there is none. */
static int
wake_fd_of (guint64 wake)
{
  return wake >> 32 == mp_turn_get_generation () ? (int) (guint32) wake : -1;
}

int
mp_connection_get_wake_fd (MpConnection *self)
{
  guint64 wake = self->wake;
  int fd = wake_fd_of (wake);

  if (fd >= 0)
    return fd;
  fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0)
    return -1;
  if (!atomic_compare_exchange_strong (&self->wake, &wake, wake_of (fd)))
    {
      mp_fd_close (fd);
      return wake_fd_of (wake);
    }
  /* That of the parent. */
  if (wake != 0)
    mp_fd_close ((int) (guint32) wake);
  /* Who closed it meanwhile did not see this one. */
  if (mp_users_is_ending (&self->users))
    eventfd_write (fd, 1);
  return fd;
}

void
mp_connection_drop_wake_fd (MpConnection *self)
{
  if (self->wake != 0)
    mp_fd_close ((int) (guint32) self->wake);
}

void
mp_connection_wake (MpConnection *self)
{
  int fd = wake_fd_of (self->wake);

  if (fd >= 0)
    eventfd_write (fd, 1);
  mp_turn_wake_all ();
}

/* A moment of it, if nobody could wake us. */
static int
poll_until (struct pollfd *polls, nfds_t n, gint64 deadline)
{
  gint64 left = mp_deadline_left (deadline);
  struct timespec time;

  if (polls[1].fd < 0)
    left = left < 0 ? SLICE_US : MIN (left, SLICE_US);
  time.tv_sec = left / G_USEC_PER_SEC;
  time.tv_nsec = left % G_USEC_PER_SEC * 1000;
  return ppoll (polls, n, left < 0 ? NULL : &time, NULL);
}

/* TRUE if the descriptor is ready. */
static gboolean
sleep_for (MpConnection *self, GIOCondition condition, gint64 deadline, GCancellable *cancellable)
{
  struct pollfd polls[3] = { { .fd = self->transport.fd, .events = (short) condition },
                             { .fd = mp_connection_get_wake_fd (self), .events = POLLIN },
                             { .fd = -1, .events = POLLIN } };
  GPollFD cancelled = { .fd = -1 };
  int n;

  if (cancellable != NULL && g_cancellable_make_pollfd (cancellable, &cancelled))
    polls[2].fd = cancelled.fd;
  do
    n = poll_until (polls, G_N_ELEMENTS (polls), deadline);
  while (n <= 0 && mp_deadline_left (deadline) != 0 && !mp_users_is_ending (&self->users));
  if (polls[2].fd >= 0)
    g_cancellable_release_fd (cancellable);
  return n > 0 && polls[0].revents != 0;
}

gboolean
mp_connection_wait (MpConnection *self,
                    GIOCondition condition,
                    gint64 deadline,
                    GCancellable *cancellable,
                    GError **error)
{
  gboolean ready =
    mp_deadline_left (deadline) != 0 && sleep_for (self, condition, deadline, cancellable);

  if (mp_users_is_ending (&self->users))
    return mp_connection_set_closed_error (error);
  if (ready && !g_cancellable_is_cancelled (cancellable))
    return TRUE;
  return set_waited_error (condition, cancellable, error);
}

static gboolean
is_ending (gpointer data)
{
  MpConnection *self = data;

  return mp_users_is_ending (&self->users);
}

gboolean
mp_connection_begin (MpConnection *self,
                     GIOCondition condition,
                     gint64 deadline,
                     GCancellable *cancellable,
                     GError **error)
{
  MpTurn *turn = turn_of (self, condition);

  if (cancellable != NULL && g_cancellable_set_error_if_cancelled (cancellable, error))
    return FALSE;
  if (!mp_connection_enter (self, condition, error))
    return FALSE;
  if (G_UNLIKELY (!mp_turn_try (turn)) &&
      !mp_turn_wait (turn, deadline, cancellable, is_ending, self))
    {
      if (mp_users_is_ending (&self->users))
        mp_connection_set_closed_error (error);
      else
        set_waited_error (condition, cancellable, error);
      mp_connection_leave (self);
      return FALSE;
    }
  /* Whoever had the turn may have come to an end. */
  if (G_LIKELY (condition == G_IO_IN ? self->readable : self->writable))
    return TRUE;
  set_direction_error (self, condition, error);
  mp_connection_end (self, condition);
  return FALSE;
}

void
mp_connection_end (MpConnection *self, GIOCondition condition)
{
  mp_turn_release (turn_of (self, condition));
  mp_connection_leave (self);
}

/* Sending */

void
mp_outgoing_init (MpOutgoing *self, const void *data, gsize length)
{
  gsize n_header = mp_frame_write_header (self->header, length);

  self->parts[0] = (struct iovec){ .iov_base = self->header, .iov_len = n_header };
  self->parts[1] = (struct iovec){ .iov_base = (void *) data, .iov_len = length };
  self->n_parts = 2;
  self->fds = NULL;
  self->n_fds = 0;
  self->length = n_header + length;
  self->sent = 0;
  self->looked = length < MP_CONNECTION_LONG || length > MP_CONNECTION_TOO_LONG;
  self->in_ring = FALSE;
}

static void
skip (MpOutgoing *self, gsize n)
{
  self->sent += n;
  /* They went with the first byte. */
  self->n_fds = 0;
  for (gsize i = 0; i < self->n_parts; i++)
    {
      gsize some = MIN (n, self->parts[i].iov_len);

      self->parts[i].iov_base = (guint8 *) self->parts[i].iov_base + some;
      self->parts[i].iov_len -= some;
      n -= some;
    }
}

MpFlow
mp_connection_send_some (MpConnection *self, MpOutgoing *outgoing, GError **error)
{
  if (G_UNLIKELY (!outgoing->looked))
    {
      outgoing->looked = TRUE;
      mp_connection_refer (self, outgoing);
    }
  for (;;)
    {
      gssize n = mp_transport_write (&self->transport,
                                     outgoing->parts,
                                     outgoing->n_parts,
                                     outgoing->fds,
                                     outgoing->n_fds);

      if (n < 0 && errno == EAGAIN)
        {
          /* What TLS was given, it will send. */
          if (self->transport.tls != NULL && outgoing->sent == 0)
            outgoing->sent = 1;
          return MP_FLOW_AGAIN;
        }
      if (n < 0)
        {
          mp_transport_set_error (&self->transport, errno, "Not sent", error);
          return MP_FLOW_FAILED;
        }
      skip (outgoing, (gsize) n);
      if (outgoing->parts[0].iov_len + outgoing->parts[1].iov_len == 0)
        return MP_FLOW_DONE;
    }
}

void
mp_connection_abandon (MpConnection *self, MpOutgoing *outgoing, GError **error)
{
  if (outgoing->in_ring)
    mp_connection_drop_side (self);
  if (outgoing->sent == 0)
    return;
  self->torn = TRUE;
  self->writable = FALSE;
  mp_transport_end_writing (&self->transport);
  g_prefix_error (error,
                  "After %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                  " bytes, so that nothing can follow: ",
                  outgoing->sent,
                  outgoing->length);
  /* A pipe has no other way to tell the other end. */
  if (!self->transport.is_socket)
    mp_connection_close (self);
}

/* The rest of a frame that was not sent at once. */
static gboolean
send_rest (MpConnection *self,
           MpOutgoing *outgoing,
           gint64 deadline,
           GCancellable *cancellable,
           GError **error)
{
  MpFlow flow;

  do
    {
      if (!mp_connection_wait (self, G_IO_OUT, deadline, cancellable, error))
        {
          mp_connection_abandon (self, outgoing, error);
          return FALSE;
        }
      flow = mp_connection_send_some (self, outgoing, error);
    }
  while (flow == MP_FLOW_AGAIN);
  if (flow == MP_FLOW_FAILED)
    mp_connection_abandon (self, outgoing, error);
  return flow == MP_FLOW_DONE;
}

gboolean
mp_connection_send_outgoing (MpConnection *self,
                             MpOutgoing *outgoing,
                             gint64 timeout_us,
                             GCancellable *cancellable,
                             GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  guint8 joined[MP_FRAME_SHORT_HEADER + JOIN_LIMIT];
  MpFlow flow;
  gboolean sent;

  if (!mp_connection_begin (self, G_IO_OUT, deadline, cancellable, error))
    return FALSE;
  if (outgoing->length <= sizeof joined && outgoing->n_fds == 0)
    {
      gsize n_header = outgoing->parts[0].iov_len, length = outgoing->parts[1].iov_len;

      memcpy (joined, outgoing->header, MP_FRAME_SHORT_HEADER);
      if (length > 0)
        memcpy (joined + n_header, outgoing->parts[1].iov_base, length);
      outgoing->parts[0] = (struct iovec){ .iov_base = joined, .iov_len = n_header + length };
      outgoing->parts[1].iov_len = 0;
      outgoing->n_parts = 1;
    }
  flow = mp_connection_send_some (self, outgoing, error);
  sent = flow == MP_FLOW_DONE;
  if (flow == MP_FLOW_FAILED)
    mp_connection_abandon (self, outgoing, error);
  else if (flow == MP_FLOW_AGAIN)
    sent = send_rest (self, outgoing, deadline, cancellable, error);
  mp_connection_end (self, G_IO_OUT);
  return sent;
}

/* Receiving */

void
mp_connection_drop_fds (MpConnection *self)
{
  MpFrame frame = { .fds = g_steal_pointer (&self->fds) };

  mp_frame_clear (&frame);
}

void
mp_connection_poison (MpConnection *self)
{
  self->readable = FALSE;
  mp_frame_reader_clear (&self->reader);
  mp_connection_drop_fds (self);
  if (!self->writable)
    mp_connection_close (self);
}

static MpFlow
fail_to_read (MpConnection *self, gssize n, GError **error)
{
  if (n < 0 && errno == EAGAIN)
    return MP_FLOW_AGAIN;
  /* TLS may end in the middle of a record of its own. */
  if (n == 0 || errno == ECONNRESET ||
      (errno == EPROTO && mp_frame_reader_has_begun (&self->reader)))
    mp_frame_reader_set_end (&self->reader, error);
  else
    mp_transport_set_error (&self->transport, errno, "Not received", error);
  return MP_FLOW_FAILED;
}

/* Directly to where it is wanted, as long as all of it is there. */
static MpFlow
read_into_sink (MpConnection *self, MpReceiveSink *sink, GError **error)
{
  gsize size = (gsize) self->reader.size, n_read = 0;
  gssize n = 1;

  while (n_read < size && n > 0)
    {
      n = mp_transport_read (&self->transport, sink->data + n_read, size - n_read, NULL);
      if (n > 0)
        n_read += (gsize) n;
    }
  if (n_read == size)
    {
      mp_frame_reader_clear (&self->reader);
      sink->length = size;
      sink->used = TRUE;
      return MP_FLOW_DONE;
    }
  {
    int saved = errno;

    if (!mp_frame_reader_adopt (&self->reader, sink->data, n_read, error))
      {
        mp_connection_poison (self);
        return MP_FLOW_FAILED;
      }
    errno = saved;
  }
  return fail_to_read (self, n, error);
}

static gboolean
fits (MpConnection *self, const MpReceiveSink *sink)
{
  return sink != NULL && self->reader.sized && !self->reader.in_ring && self->reader.n_data == 0 &&
         self->fds == NULL && self->reader.size <= sink->size;
}

static MpFlow
read_frame (MpConnection *self, MpReceiveSink *sink, GError **error)
{
  while (!mp_frame_reader_is_whole (&self->reader))
    {
      gsize room = 0;
      guint8 *data;
      gssize n;

      if (fits (self, sink))
        return read_into_sink (self, sink, error);
      data = mp_frame_reader_get_room (&self->reader, &room, error);
      if (data == NULL)
        return MP_FLOW_FAILED;
      n = mp_transport_read (&self->transport,
                             data,
                             room,
                             mp_frame_reader_has_begun (&self->reader) ? NULL : &self->fds);
      if (n <= 0)
        return fail_to_read (self, n, error);
      if (!mp_frame_reader_advance (&self->reader, (gsize) n, self->max_frame, error))
        {
          mp_connection_poison (self);
          return MP_FLOW_FAILED;
        }
    }
  return MP_FLOW_DONE;
}

static gboolean
take_returned (MpConnection *self, MpFrame *frame)
{
  g_autofree MpFrame *first = NULL;

  if (G_LIKELY (self->n_returned == 0))
    return FALSE;
  mp_turn_lock ();
  first = g_queue_pop_head (&self->returned);
  self->n_returned = self->returned.length;
  mp_turn_unlock ();
  if (first != NULL)
    *frame = *first;
  return first != NULL;
}

void
mp_connection_give_back (MpConnection *self, MpFrame *frame)
{
  mp_turn_lock ();
  g_queue_push_head (&self->returned, g_memdup2 (frame, sizeof *frame));
  self->n_returned = self->returned.length;
  mp_turn_unlock ();
  *frame = (MpFrame){ .bytes = NULL };
}

MpFlow
mp_connection_receive_some (MpConnection *self, MpReceiveSink *sink, MpFrame *frame, GError **error)
{
  MpFlow flow = MP_FLOW_DONE;

  if (!take_returned (self, frame))
    {
      if (G_UNLIKELY (!self->announced))
        mp_connection_announce (self);
      flow = read_frame (self, sink, error);
      /* The length of an empty one. */
      mp_transport_pass (&self->transport);
      if (flow != MP_FLOW_DONE || (sink != NULL && sink->used))
        return flow;
      frame->in_ring = self->reader.in_ring;
      frame->bytes = mp_frame_reader_take (&self->reader);
      frame->fds = g_steal_pointer (&self->fds);
    }
  return frame->in_ring ? mp_connection_fetch (self, frame, error) : flow;
}

typedef struct
{
  MpConnection *connection;
  MpReceiveSink *sink;
  MpFrame *frame;
  GError **error;
  MpFlow flow;
} Looking;

static gboolean
look (gpointer data)
{
  Looking *self = data;

  self->flow = mp_connection_receive_some (self->connection, self->sink, self->frame, self->error);
  return self->flow != MP_FLOW_AGAIN;
}

/* As long as it pays. */
static gboolean
look_for_a_while (MpConnection *self, Looking *looking)
{
  gboolean over = FALSE;
  guint looks = 0;

  if (!mp_micro_lock_may_spin ())
    return FALSE;
  if (self->spin_pause > 0)
    {
      self->spin_pause--;
      return FALSE;
    }
  while (!over && looks++ < self->spin_budget)
    over = look (looking);
  if (looking->flow == MP_FLOW_DONE)
    self->spin_budget = MIN (MAX (self->spin_budget, 2 * looks) + MIN_LOOKS, MAX_LOOKS);
  else
    {
      self->spin_budget -= self->spin_budget / 4;
      if (self->spin_budget <= MIN_LOOKS)
        {
          self->spin_budget = MAX_LOOKS;
          self->spin_pause = PAUSE;
        }
    }
  return over;
}

/* Before one sleeps. Where both ends have one processor, the other one has to be given it. */
static MpFlow
look_again (MpConnection *self, MpReceiveSink *sink, MpFrame *frame, GError **error)
{
  Looking looking = { .connection = self,
                      .sink = sink,
                      .frame = frame,
                      .error = error,
                      .flow = MP_FLOW_AGAIN };

  if (!look_for_a_while (self, &looking))
    mp_spin_yielding (&self->yielding, look, &looking);
  return looking.flow;
}

gboolean
mp_connection_receive_frame (MpConnection *self,
                             MpReceiveSink *sink,
                             MpFrame *frame,
                             gint64 timeout_us,
                             GCancellable *cancellable,
                             GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpFlow flow;

  if (!mp_connection_begin (self, G_IO_IN, deadline, cancellable, error))
    return FALSE;
  flow = mp_connection_receive_some (self, sink, frame, error);
  if (flow == MP_FLOW_AGAIN && timeout_us != 0)
    flow = look_again (self, sink, frame, error);
  while (flow == MP_FLOW_AGAIN)
    {
      if (!mp_connection_wait (self, G_IO_IN, deadline, cancellable, error))
        break;
      flow = mp_connection_receive_some (self, sink, frame, error);
    }
  mp_connection_end (self, G_IO_IN);
  return flow == MP_FLOW_DONE;
}

/* The socket does not tell what TLS has already read from it. */
static gboolean
is_tls_ready (MpConnection *self)
{
  g_auto (MpFrame) frame = { .bytes = NULL };
  MpFlow flow;

  if (!mp_users_enter (&self->users))
    return TRUE;
  flow = mp_connection_receive_some (self, NULL, &frame, NULL);
  if (flow == MP_FLOW_DONE)
    mp_connection_give_back (self, &frame);
  mp_connection_leave (self);
  return flow != MP_FLOW_AGAIN;
}

gboolean
mp_connection_is_ready (MpConnection *self)
{
  struct pollfd poll_fd = { .fd = self->transport.fd, .events = POLLIN };

  if (self->n_returned > 0 || !self->readable || mp_users_is_ending (&self->users))
    return TRUE;
  if (self->transport.tls == NULL)
    return poll (&poll_fd, 1, 0) > 0;
  return is_tls_ready (self);
}

gboolean
mp_connection_look (MpConnection *self)
{
  gboolean ready;

  if (self->transport.tls == NULL)
    return mp_connection_is_ready (self);
  /* Who has it will see it. */
  if (!mp_turn_try (&self->receive_turn))
    return FALSE;
  ready = mp_connection_is_ready (self);
  mp_turn_release (&self->receive_turn);
  return ready;
}
