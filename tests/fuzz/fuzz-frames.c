/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Connections, while the other end writes whatever it likes into the stream. What is
 * received must be what was written, as frames. */

#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../libmp/channel/mp-frame-private.h"
#include "../../libmp/libmp.h"

#define MAX_OPERATIONS 200
#define MAX_FDS 4

const char *const fuzz_name = "fuzz-frames";

static MpConnection *connection;
static int other; /* the end of the hostile process */
static GByteArray *stream;
static gsize taken;
static gboolean known; /* where in the stream the next frame begins */

void
fuzz_setup (void)
{
}

/* --- The hostile process ---------------------------------------------------- */

/* What is not taken by the system was not written. */
static void
put (const guint8 *data, gsize length, guint n_fds)
{
  union
  {
    struct cmsghdr header;
    char bytes[CMSG_SPACE (MAX_FDS * sizeof (int))];
  } control;
  struct iovec part = { .iov_base = (void *) data, .iov_len = length };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  gssize n;

  if (n_fds > 0)
    {
      memset (&control, 0, sizeof control);
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      for (guint i = 0; i < n_fds; i++)
        memcpy (CMSG_DATA (&control.header) + i * sizeof (int), &other, sizeof (int));
      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
    }
  n = sendmsg (other, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0)
    g_byte_array_append (stream, data, (guint) n);
}

static void
be_hostile (FuzzInput *input)
{
  g_autoptr (GVariant) value = NULL;
  guint8 header[12];
  guint n_fds = fuzz_choose (input, 2 * MAX_FDS + 1);
  const guint8 *bytes;
  gsize length;

  n_fds = n_fds > MAX_FDS ? 0 : n_fds;
  switch (fuzz_choose (input, 5))
    {
    case 0:
      bytes = fuzz_bytes (input, fuzz_u8 (input), &length);
      put (bytes, length, n_fds);
      break;
    case 1:
      bytes = fuzz_bytes (input, fuzz_u8 (input), &length);
      put (header, mp_frame_write_header (header, length), n_fds);
      put (bytes, length, 0);
      break;
    case 2:
      put (header, mp_frame_write_header (header, fuzz_u64 (input) >> fuzz_u8 (input) % 64), n_fds);
      break;
    case 3:
      value = g_variant_ref_sink (
        g_variant_new_variant (g_variant_new ("(sua{sv}ah)",
                                              fuzz_u8 (input) & 1 ? "queue" : "segment",
                                              fuzz_u8 (input),
                                              NULL,
                                              NULL)));
      put (header, mp_frame_write_header (header, g_variant_get_size (value)), n_fds);
      put (g_variant_get_data (value), g_variant_get_size (value), 0);
      break;
    default:
      put ((const guint8 *) "\1", 1, n_fds);
      break;
    }
}

/* --- The honest one --------------------------------------------------------- */

/* The next frame of what was written is @data, if it is not NULL. */
static void
check_frame (const guint8 *data, gsize length)
{
  guint8 header[12];
  gsize n_header = MP_FRAME_SHORT_HEADER;
  guint32 size;

  if (!known)
    return;
  if (stream->len - taken < MP_FRAME_SHORT_HEADER)
    fuzz_fail ("a frame came of nothing");
  memcpy (&size, stream->data + taken, sizeof size);
  size = GUINT32_FROM_BE (size);
  if (size == G_MAXUINT32)
    {
      guint64 long_size;

      n_header = MP_FRAME_LONG_HEADER;
      memcpy (&long_size, stream->data + taken + 4, sizeof long_size);
      size = (guint32) GUINT64_FROM_BE (long_size);
    }
  else if (data != NULL && (mp_frame_write_header (header, length) != n_header ||
                            memcmp (header, stream->data + taken, n_header) != 0))
    fuzz_fail ("the length is not that which was written");
  if (stream->len - taken < n_header + size || (data != NULL && size != length) ||
      (length > 0 && data != NULL && memcmp (data, stream->data + taken + n_header, length) != 0))
    fuzz_fail ("what was received is not what was written");
  taken += n_header + size;
}

static void
receive (FuzzInput *input)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (MpShareable) shareable = NULL;
  GVariant *value = NULL;
  GError *error = NULL;
  guint8 buffer[64];
  gsize length = 0;
  int fd;

  switch (fuzz_choose (input, 6))
    {
    case 0:
      fuzz_operation ("mp_connection_recv_bytes", 0);
      bytes = mp_connection_recv_bytes (connection, 0, NULL, &error);
      if (bytes != NULL)
        check_frame (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      break;
    case 1:
      fuzz_operation ("mp_connection_recv_bytes_into", 0);
      if (mp_connection_recv_bytes_into (connection,
                                         buffer,
                                         fuzz_choose (input, sizeof buffer + 1),
                                         &length,
                                         0,
                                         NULL,
                                         &error))
        check_frame (buffer, length);
      break;
    case 2:
      fuzz_operation ("mp_connection_recv", 0);
      value = mp_connection_recv (connection, 0, NULL, &error);
      if (value != NULL)
        check_frame (NULL, 0);
      fuzz_consume_variant (value);
      break;
    case 3:
      fuzz_operation ("mp_connection_recv_fd", 0);
      fd = mp_connection_recv_fd (connection, 0, NULL, &error);
      if (fd >= 0 && known && stream->data[taken++] != 1)
        fuzz_fail ("a descriptor came of nothing");
      if (fd >= 0)
        close (fd);
      break;
    case 4:
      fuzz_operation ("mp_connection_recv_shareable", 0);
      shareable = mp_connection_recv_shareable (connection, 0, NULL, &error);
      if (shareable != NULL)
        fuzz_fail ("an object came of nothing");
      /* A handle of nothing was taken, other messages were not. */
      known = FALSE;
      break;
    default:
      fuzz_operation ("mp_connection_poll", 0);
      mp_connection_poll (connection, 0, NULL, &error);
      break;
    }
  fuzz_check_error (error);
}

static void
send_something (FuzzInput *input)
{
  GError *error = NULL;
  guint8 discarded[256];

  fuzz_operation ("mp_connection_send", 0);
  mp_connection_send (connection, g_variant_new_uint32 (fuzz_u8 (input)), 0, NULL, &error);
  fuzz_check_error (error);
  while (recv (other, discarded, sizeof discarded, MSG_DONTWAIT) > 0)
    ;
}

static void
do_something (FuzzInput *input)
{
  switch (fuzz_choose (input, 16))
    {
    case 0:
      mp_connection_set_max_frame (connection, fuzz_u8 (input));
      break;
    case 1:
      send_something (input);
      break;
    case 2:
      if (fuzz_choose (input, 8) == 0)
        shutdown (other, SHUT_WR);
      break;
    case 3:
      if (fuzz_choose (input, 8) == 0)
        mp_connection_close (connection);
      break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
      be_hostile (input);
      break;
    default:
      receive (input);
    }
}

void
fuzz_run (FuzzInput *input)
{
  int before = dup (0), fds[2];

  close (before);
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    fuzz_fail ("no socket");
  other = fds[1];
  connection = mp_connection_new_for_fd (fds[0], TRUE, TRUE, NULL);
  stream = g_byte_array_new ();
  taken = 0;
  known = TRUE;
  fuzz_begin (input, NULL);
  for (guint i = 0; i < MAX_OPERATIONS && fuzz_has_more (input); i++)
    do_something (input);
  fuzz_read_properties (connection);
  fuzz_end ();
  g_object_unref (connection);
  close (other);
  g_byte_array_unref (stream);
  /* The lowest number that is free. */
  fds[0] = dup (0);
  if (fds[0] != before)
    fuzz_fail ("a descriptor was lost");
  close (fds[0]);
}
