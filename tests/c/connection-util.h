/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <string.h>
#include <sys/socket.h>

#include "libmp.h"
#include "test-util.h"

G_BEGIN_DECLS

#define FAR (20 * G_USEC_PER_SEC)

/* Both ends of a pipe. */
typedef struct
{
  MpConnection *a, *b;
} Ends;

static inline void
ends_clear (Ends *self)
{
  g_clear_object (&self->a);
  g_clear_object (&self->b);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Ends, ends_clear)

static inline Ends
ends_new (gboolean duplex)
{
  g_autoptr (GError) error = NULL;
  Ends self;

  mp_pipe_new (duplex, &self.a, &self.b, &error);
  g_assert_no_error (error);
  return self;
}

/* A connection, and the descriptor of its other end. */
static inline MpConnection *
connection_new (int *other)
{
  g_autoptr (GError) error = NULL;
  MpConnection *self;
  int fds[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
  self = mp_connection_new_for_fd (fds[0], TRUE, TRUE, &error);
  g_assert_no_error (error);
  *other = fds[1];
  return self;
}

static inline void
write_all (int fd, const void *data, gsize length)
{
  while (length > 0)
    {
      gssize n = write (fd, data, length);

      g_assert_cmpint (n, >, 0);
      data = (const guint8 *) data + n;
      length -= (gsize) n;
    }
}

static inline void
read_all (int fd, void *data, gsize length)
{
  while (length > 0)
    {
      gssize n = read (fd, data, length);

      g_assert_cmpint (n, >, 0);
      data = (guint8 *) data + n;
      length -= (gsize) n;
    }
}

static inline void
send_text (MpConnection *self, const char *text)
{
  g_autoptr (GError) error = NULL;

  mp_connection_send_data (self, (const guint8 *) text, strlen (text), FAR, NULL, &error);
  g_assert_no_error (error);
}

static inline void
assert_bytes (GBytes *bytes, const char *text)
{
  gsize length;
  const guint8 *data;

  g_assert_nonnull (bytes);
  data = g_bytes_get_data (bytes, &length);
  g_assert_cmpmem (data, length, text, strlen (text));
}

static inline void
assert_receives (MpConnection *self, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = mp_connection_recv_bytes (self, FAR, NULL, &error);

  g_assert_no_error (error);
  assert_bytes (bytes, text);
}

static inline void
assert_receives_error (MpConnection *self, gint64 timeout_us, int code, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_connection_recv_bytes (self, timeout_us, NULL, &error));
  g_assert_error (error, MP_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

static inline void
assert_sends_error (MpConnection *self, int code, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_connection_send_data (self, (const guint8 *) "x", 1, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

/* What an asynchronous operation gave. */
typedef struct
{
  GAsyncResult *result;
} Waiting;

static inline void
on_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  ((Waiting *) user_data)->result = g_object_ref (result);
}

static inline GAsyncResult *
await (Waiting *self)
{
  while (self->result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return self->result;
}

static inline void
waiting_clear (Waiting *self)
{
  g_clear_object (&self->result);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Waiting, waiting_clear)

static inline void
turn (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

G_END_DECLS
