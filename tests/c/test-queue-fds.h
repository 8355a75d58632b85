/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <poll.h>

#include "libmp.h"
#include "test-util.h"

G_BEGIN_DECLS

/* Pipes that go through queues: as long as anything has the end for writing, the one for
 * reading knows. */

#define FAR (30 * G_USEC_PER_SEC)

static inline MpQueue *
queue_new (guint max_items, guint64 max_bytes)
{
  g_autoptr (GError) error = NULL;
  MpQueue *queue = mp_queue_new_carrying_fds (max_items, max_bytes, &error);

  g_assert_no_error (error);
  return queue;
}

/* Appends the end for writing, and returns that for reading. */
static inline int
pipe_into (GUnixFDList *fd_list)
{
  int fds[2];

  g_assert_no_errno (pipe (fds));
  g_assert_cmpint (g_unix_fd_list_append (fd_list, fds[1], NULL), >=, 0);
  close (fds[1]);
  return fds[0];
}

static inline gboolean
is_closed (int fd)
{
  struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

  return poll (&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLHUP) != 0;
}

/* Nobody has the other end. The system may take a moment after somebody was killed. */
static inline void
assert_closed (int fd)
{
  struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

  g_assert_cmpint (poll (&poll_fd, 1, 20000), ==, 1);
  g_assert_true (is_closed (fd));
  close (fd);
}

static inline void
assert_joined (int write_fd, int read_fd)
{
  guint8 byte = 77;

  g_assert_false (is_closed (read_fd));
  g_assert_cmpint (write (write_fd, &byte, 1), ==, 1);
  byte = 0;
  g_assert_cmpint (read (read_fd, &byte, 1), ==, 1);
  g_assert_cmpint (byte, ==, 77);
}

static inline void
put_number (MpQueue *queue, guint32 number)
{
  g_autoptr (GError) error = NULL;

  mp_queue_put (queue, g_variant_new_uint32 (number), FAR, NULL, &error);
  g_assert_no_error (error);
}

/* The end for reading of what goes with @number. */
static inline int
put_pipe (MpQueue *queue, guint32 number)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  int fd = pipe_into (fd_list);

  mp_queue_put_with_fds (queue, g_variant_new_uint32 (number), fd_list, FAR, NULL, &error);
  g_assert_no_error (error);
  return fd;
}

/* The descriptor that came with @number, or -1. */
static inline int
get_number (MpQueue *queue, guint32 number)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = mp_queue_get_with_fds (queue, FAR, &fd_list, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, number);
  if (g_unix_fd_list_get_length (fd_list) == 0)
    return -1;
  g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 1);
  return g_unix_fd_list_get (fd_list, 0, NULL);
}

/* Gets what put_pipe() has put, and closes both ends. */
static inline void
assert_got (MpQueue *queue, guint32 number, int read_fd)
{
  int write_fd = get_number (queue, number);

  assert_joined (write_fd, read_fd);
  close (write_fd);
  assert_closed (read_fd);
}

G_END_DECLS
