/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-transport-private.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#define TRIES 4

typedef union
{
  struct cmsghdr header;
  char bytes[CMSG_SPACE (MP_FD_MAX_IN_MESSAGE * sizeof (int))];
} FdControl;

/* That of a pipe says whether all who have it block. So this end gets one of its own. */
static gboolean
reopen (int fd, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);
  int flags = fcntl (fd, F_GETFL);
  g_auto (MpFd) own = -1;

  if (flags < 0)
    return mp_set_error_from_errno (error, errno, "A connection needs an open descriptor");
  own = open (path, (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (own < 0 || dup3 (own, fd, O_CLOEXEC) < 0)
    return mp_set_error_from_errno (error, errno, "The descriptor of a connection");
  return TRUE;
}

static gboolean
check_socket (MpTransport *self, int type, GError **error)
{
  int domain = 0;
  socklen_t length = sizeof domain;

  if (type != SOCK_STREAM)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_INVALID_ARGUMENT,
                           "A connection needs a socket that is a stream");
      return FALSE;
    }
  getsockopt (self->fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
  self->is_socket = TRUE;
  self->carries_fds = domain == AF_UNIX;
  return fcntl (self->fd, F_SETFD, FD_CLOEXEC) == 0 ||
         mp_set_error_from_errno (error, errno, "The descriptor of a connection");
}

gboolean
mp_transport_init (MpTransport *self, int fd, GError **error)
{
  int type = 0;
  socklen_t length = sizeof type;
  gboolean good;

  *self = (MpTransport){ .fd = fd };
  if (getsockopt (fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0)
    good = check_socket (self, type, error);
  else
    good = reopen (fd, error);
  if (!good)
    mp_transport_clear (self);
  return good;
}

void
mp_transport_init_tls (MpTransport *self, int fd, GIOStream *tls)
{
  *self = (MpTransport){ .fd = fd, .is_socket = TRUE, .tls = tls };
}

/* Its end says goodbye, and would wait for room. */
static void
close_tls (MpTransport *self)
{
  struct pollfd room = { .fd = self->fd, .events = POLLOUT };

  if (poll (&room, 1, 0) <= 0 || (room.revents & (POLLERR | POLLHUP)) != 0)
    shutdown (self->fd, SHUT_RDWR);
  /* The stream closes the socket. */
  g_object_unref (g_steal_pointer (&self->tls));
}

void
mp_transport_clear (MpTransport *self)
{
  if (self->tls != NULL)
    close_tls (self);
  else
    mp_fd_close (self->fd);
  self->fd = -1;
  g_clear_pointer (&self->tls_error, g_free);
}

/* TLS */

static int
tls_errno (MpTransport *self, const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return EAGAIN;
  /* Who was killed says no goodbye. */
  if (g_error_matches (error, G_TLS_ERROR, G_TLS_ERROR_EOF) ||
      g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED))
    return ECONNRESET;
  g_free (self->tls_error);
  self->tls_error = g_strdup (error->message);
  return EPROTO;
}

static gssize
tls_result (MpTransport *self, gssize n, const GError *error)
{
  if (error == NULL)
    return n;
  errno = tls_errno (self, error);
  return -1;
}

static gssize
tls_write (MpTransport *self, const struct iovec *parts, gsize n_parts)
{
  GOutputStream *out = g_io_stream_get_output_stream (self->tls);
  gssize total = 0;

  for (gsize i = 0; i < n_parts; i++)
    {
      g_autoptr (GError) error = NULL;
      gssize n;

      if (parts[i].iov_len == 0)
        continue;
      n = g_pollable_output_stream_write_nonblocking (G_POLLABLE_OUTPUT_STREAM (out),
                                                      parts[i].iov_base,
                                                      parts[i].iov_len,
                                                      NULL,
                                                      &error);
      if (tls_result (self, n, error) < 0)
        return total > 0 ? total : -1;
      total += n;
      if ((gsize) n < parts[i].iov_len)
        break;
    }
  return total;
}

static gssize
tls_read (MpTransport *self, gpointer data, gsize size)
{
  GInputStream *in = g_io_stream_get_input_stream (self->tls);
  g_autoptr (GError) error = NULL;
  gssize n = g_pollable_input_stream_read_nonblocking (G_POLLABLE_INPUT_STREAM (in),
                                                       data,
                                                       size,
                                                       NULL,
                                                       &error);

  return tls_result (self, n, error);
}

/* Pipes */

/* Sockets have a flag for it. */
static gssize
write_without_signal (int fd, const struct iovec *parts, int n_parts)
{
  const struct timespec now = { 0 };
  sigset_t pipe_only, old;
  gssize written;

  sigemptyset (&pipe_only);
  sigaddset (&pipe_only, SIGPIPE);
  pthread_sigmask (SIG_BLOCK, &pipe_only, &old);
  written = writev (fd, parts, n_parts);
  if (written < 0 && errno == EPIPE && !sigismember (&old, SIGPIPE))
    {
      sigtimedwait (&pipe_only, NULL, &now);
      errno = EPIPE;
    }
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  return written;
}

/* Sockets */

static void
attach_fds (struct msghdr *message, FdControl *control, const int *fds, guint n_fds)
{
  struct cmsghdr *header;

  memset (control, 0, sizeof *control);
  message->msg_control = control->bytes;
  message->msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
  header = CMSG_FIRSTHDR (message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
  memcpy (CMSG_DATA (header), fds, n_fds * sizeof (int));
}

static gssize
send_parts (int fd, const struct iovec *parts, gsize n_parts, const int *fds, guint n_fds)
{
  struct msghdr message = { .msg_iov = (struct iovec *) parts, .msg_iovlen = n_parts };
  FdControl control;

  if (n_fds > MP_FD_MAX_IN_MESSAGE)
    {
      errno = ETOOMANYREFS;
      return -1;
    }
  if (n_fds > 0)
    attach_fds (&message, &control, fds, n_fds);
  return sendmsg (fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

gssize
mp_transport_write (MpTransport *self,
                    const struct iovec *parts,
                    gsize n_parts,
                    const int *fds,
                    guint n_fds)
{
  gssize written;

  if (self->tls != NULL)
    return tls_write (self, parts, n_parts);
  do
    {
      if (!self->is_socket)
        written = write_without_signal (self->fd, parts, (int) n_parts);
      else if (n_parts == 1 && n_fds == 0)
        written = send (self->fd, parts->iov_base, parts->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
      else
        written = send_parts (self->fd, parts, n_parts, fds, n_fds);
    }
  while (written < 0 && errno == EINTR);
  return written;
}

static void
take_fds (struct msghdr *message, GArray **fds)
{
  struct cmsghdr *header;

  for (header = CMSG_FIRSTHDR (message); header != NULL; header = CMSG_NXTHDR (message, header))
    {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        continue;
      if (*fds == NULL)
        *fds = g_array_new (FALSE, FALSE, sizeof (int));
      g_array_append_vals (*fds,
                           CMSG_DATA (header),
                           (guint) ((header->cmsg_len - CMSG_LEN (0)) / sizeof (int)));
    }
}

static gboolean
has_free_number (int fd)
{
  int number = fcntl (fd, F_DUPFD_CLOEXEC, 0);

  mp_fd_close (number);
  return number >= 0 || errno != EMFILE;
}

static void
drop_fds (GArray *fds, guint first)
{
  while (fds != NULL && fds->len > first)
    {
      mp_fd_close (g_array_index (fds, int, fds->len - 1));
      g_array_set_size (fds, fds->len - 1);
    }
}

static gssize
peek_once (int fd, gpointer data, gsize size, GArray **fds, gboolean *cut)
{
  FdControl control;
  struct iovec part = { .iov_base = data, .iov_len = size };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes };
  gssize n = recvmsg (fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

  *cut = n >= 0 && (message.msg_flags & MSG_CTRUNC) != 0;
  if (n >= 0 && message.msg_controllen > 0)
    take_fds (&message, fds);
  return n;
}

/* The kernel gives as many descriptors as there are numbers for, and drops the others with
 * the first byte that is taken. So it is taken when all are here. */
static gssize
peek (MpTransport *self, gpointer data, gsize size, GArray **fds)
{
  guint n_before = *fds != NULL ? (*fds)->len : 0;
  gboolean cut = TRUE, full = FALSE;
  gssize n = 0;

  /* Somebody may free some meanwhile; a security module refuses them for ever. */
  for (int i = 0; i < TRIES && cut && !full; i++)
    {
      n = peek_once (self->fd, data, MIN (size, MP_TRANSPORT_MAX_PEEKED), fds, &cut);
      if (cut)
        {
          full = !has_free_number (self->fd);
          drop_fds (*fds, n_before);
        }
    }
  if (full)
    {
      errno = EMFILE;
      return -1;
    }
  self->peeked = (gsize) MAX (n, 0);
  return n;
}

/* After what was looked at. */
static gssize
receive_rest (MpTransport *self, gpointer data, gsize size)
{
  guint8 passed[MP_TRANSPORT_MAX_PEEKED];
  gsize n_passed = self->peeked;
  struct iovec parts[2] = { { .iov_base = passed, .iov_len = n_passed },
                            { .iov_base = data, .iov_len = size } };
  struct msghdr message = { .msg_iov = parts, .msg_iovlen = G_N_ELEMENTS (parts) };
  gssize n = recvmsg (self->fd, &message, MSG_DONTWAIT);

  if (n <= 0)
    return n;
  self->peeked = 0;
  if ((gsize) n > n_passed)
    return n - (gssize) n_passed;
  errno = EAGAIN;
  return -1;
}

gssize
mp_transport_read (MpTransport *self, gpointer data, gsize size, GArray **fds)
{
  gssize n;

  if (self->tls != NULL)
    return tls_read (self, data, size);
  do
    {
      if (!self->is_socket)
        n = read (self->fd, data, size);
      else if (self->peeked > 0)
        n = receive_rest (self, data, size);
      else if (fds != NULL && self->carries_fds)
        n = peek (self, data, size, fds);
      else
        n = recv (self->fd, data, size, MSG_DONTWAIT);
    }
  while (n < 0 && errno == EINTR);
  return n;
}

void
mp_transport_pass (MpTransport *self)
{
  while (self->peeked > 0 && receive_rest (self, NULL, 0) < 0 && errno == EINTR)
    ;
}

void
mp_transport_end_writing (MpTransport *self)
{
  if (self->is_socket)
    shutdown (self->fd, SHUT_WR);
}

gboolean
mp_transport_set_error (MpTransport *self, int err, const char *what, GError **error)
{
  if (err == EPIPE || err == ECONNRESET)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_CLOSED,
                 "%s: the other end of the connection is closed",
                 what);
  else if (err == EMFILE)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_LIMIT,
                 "%s: a message came with descriptors, and this process has too many open",
                 what);
  else if (err == EPROTO && self->tls_error != NULL)
    g_set_error (error, MP_ERROR, MP_ERROR_FAILED, "%s: %s", what, self->tls_error);
  else
    mp_set_error_from_errno (error, err, what);
  return FALSE;
}
