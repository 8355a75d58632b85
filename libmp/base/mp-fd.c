/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-fd-private.h"

#include <string.h>
#include <sys/socket.h>

typedef union
{
  struct cmsghdr header;
  char bytes[CMSG_SPACE (MP_FD_MAX_IN_MESSAGE * sizeof (int))];
} FdControl;

static gboolean
send_message (int socket_fd, const void *data, gsize length, const int *fds, guint n_fds, int flags)
{
  FdControl control;
  struct iovec part = { .iov_base = (void *) data, .iov_len = length };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  gssize sent;

  if (n_fds > MP_FD_MAX_IN_MESSAGE)
    {
      errno = ETOOMANYREFS;
      return FALSE;
    }
  if (n_fds > 0)
    {
      struct cmsghdr *header;

      memset (&control, 0, sizeof control);
      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      memcpy (CMSG_DATA (header), fds, n_fds * sizeof (int));
    }
  do
    sent = sendmsg (socket_fd, &message, MSG_NOSIGNAL | flags);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

gboolean
mp_fd_send_message (int socket_fd, const void *data, gsize length, const int *fds, guint n_fds)
{
  return send_message (socket_fd, data, length, fds, n_fds, 0);
}

gboolean
mp_fd_try_send_message (int socket_fd, const void *data, gsize length, const int *fds, guint n_fds)
{
  return send_message (socket_fd, data, length, fds, n_fds, MSG_DONTWAIT);
}

static void
append_fds (struct msghdr *message, GArray *fds)
{
  struct cmsghdr *header;

  for (header = CMSG_FIRSTHDR (message); header != NULL; header = CMSG_NXTHDR (message, header))
    {
      guint n;

      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        continue;
      n = (header->cmsg_len - CMSG_LEN (0)) / sizeof (int);
      for (guint i = 0; i < n; i++)
        {
          int fd;

          memcpy (&fd, CMSG_DATA (header) + i * sizeof (int), sizeof fd);
          g_array_append_val (fds, fd);
        }
    }
}

static gssize
receive_message (int socket_fd, void *data, gsize size, GArray *fds, int flags)
{
  FdControl control;
  struct iovec part = { .iov_base = data, .iov_len = size };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes };
  guint n_before = fds->len;
  gssize received;

  do
    received = recvmsg (socket_fd, &message, MSG_CMSG_CLOEXEC | flags);
  while (received < 0 && errno == EINTR);
  if (received < 0)
    return -1;
  append_fds (&message, fds);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
    return received;

  /* What came is not all: do not leak it. Without its descriptors, for which
   * there were no free numbers, the message itself is whole. */
  for (guint i = n_before; i < fds->len; i++)
    mp_fd_close (g_array_index (fds, int, i));
  g_array_set_size (fds, n_before);
  errno = (message.msg_flags & MSG_TRUNC) != 0 ? EMSGSIZE : EMFILE;
  return errno == EMSGSIZE ? -1 : received;
}

gssize
mp_fd_receive_message (int socket_fd, void *data, gsize size, GArray *fds)
{
  return receive_message (socket_fd, data, size, fds, 0);
}

gssize
mp_fd_peek_message (int socket_fd, void *data, gsize size, GArray *fds)
{
  return receive_message (socket_fd, data, size, fds, MSG_PEEK | MSG_DONTWAIT);
}
