/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib-unix.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

G_BEGIN_DECLS

/* An owned descriptor for g_auto (MpFd): closed when it goes out of scope, -1 when empty. */
typedef int MpFd;

static inline void
mp_fd_close (int fd)
{
  int saved = errno;

  if (fd >= 0)
    close (fd);
  errno = saved;
}

G_DEFINE_AUTO_CLEANUP_FREE_FUNC (MpFd, mp_fd_close, -1)

static inline void
mp_clear_fd (int *fd)
{
  mp_fd_close (g_steal_fd (fd));
}

/* Whether @fd is still what it was: a program may close what is not its own, and
 * the number is soon somebody else's. */
static inline gboolean
mp_fd_is_file (int fd, dev_t device, ino_t inode)
{
  struct stat status;

  return fstat (fd, &status) == 0 && status.st_ino == inode && status.st_dev == device;
}

/* The kernel's own limit, SCM_MAX_FD. */
#define MP_FD_MAX_IN_MESSAGE 253

/* One message with descriptors on a SOCK_SEQPACKET socket; MSG_NOSIGNAL,
 * EINTR retried. FALSE with errno set. */
gboolean mp_fd_send_message (int socket_fd,
                             const void *data,
                             gsize length,
                             const int *fds,
                             guint n_fds);
/* The same, but EAGAIN when there is no room, whether the socket blocks or not. */
gboolean mp_fd_try_send_message (int socket_fd,
                                 const void *data,
                                 gsize length,
                                 const int *fds,
                                 guint n_fds);

/* Receives one message into @data (at most @size bytes); received descriptors
 * are close-on-exec and appended to @fds (a GArray of int). Returns its
 * length, 0 at the end of the stream, -1 with errno set (EAGAIN when the
 * socket does not block and nothing is there, EMSGSIZE when cut). When this
 * process has too many open files, the message comes without descriptors, and errno
 * is EMFILE; it is left alone when all is well. */
gssize mp_fd_receive_message (int socket_fd, void *data, gsize size, GArray *fds);
/* The same for a message that stays there, with duplicates of its descriptors; never waits. */
gssize mp_fd_peek_message (int socket_fd, void *data, gsize size, GArray *fds);

G_END_DECLS
