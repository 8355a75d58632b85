/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Connections, while the other end writes whatever it likes into the stream, and into the memory
 * to which it refers for long messages. What is received must be what was written, as frames. */

#include "fuzz.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../libmp/base/mp-clock-private.h"
#include "../../libmp/channel/mp-frame-private.h"
#include "../../libmp/channel/mp-ring-private.h"
#include "../../libmp/channel/mp-store-layout-private.h"
#include "../../libmp/libmp.h"

#define MAX_OPERATIONS 200
#define MAX_FDS 4

const char *const fuzz_name = "fuzz-frames";

static MpConnection *connection;
static int other; /* the end of the hostile process */
static GByteArray *stream;
static gsize taken;
static gboolean known; /* where in the stream the next frame begins */

/* Of the hostile process, with which long messages do not go through the stream. */
static MpRing *ring;
static GUnixFDList *ring_fds;
static GVariant *ring_handle;
static guint32 n_put;

static void
open_ring (void)
{
  ring = mp_ring_new (4, 0, NULL);
  ring_fds = g_unix_fd_list_new ();
  ring_handle = mp_ring_to_handle (ring, ring_fds, NULL);
  n_put = 0;
}

static void
close_ring (void)
{
  g_clear_pointer (&ring, mp_ring_unref);
  g_clear_object (&ring_fds);
  g_clear_pointer (&ring_handle, g_variant_unref);
}

void
fuzz_setup (void)
{
  /* What a process has once for all rings is not lost by the one that needs it first. */
  open_ring ();
  close_ring ();
}

/* --- The hostile process ---------------------------------------------------- */

/* What is not taken by the system was not written. */
static void
put_with_fds (const guint8 *data, gsize length, const int *fds, guint n_fds)
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
      memcpy (CMSG_DATA (&control.header), fds, n_fds * sizeof (int));
      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
    }
  n = sendmsg (other, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0)
    g_byte_array_append (stream, data, (guint) n);
}

static void
put (const guint8 *data, gsize length, guint n_fds)
{
  const int fds[MAX_FDS] = { other, other, other, other };

  put_with_fds (data, length, fds, n_fds);
}

/* Short, or so long that it lies in a block. */
static void
put_into_ring (FuzzInput *input)
{
  static const guint8 zeroes[512 * 1024];
  const GOutputVector part = { .buffer = zeroes, .size = (gsize) fuzz_u8 (input) * 2000 };
  const MpRecord record = { .parts = &part,
                            .n_parts = 1,
                            .codec = fuzz_choose (input, MP_CODEC_LAST + 1) };

  if (mp_ring_put (ring, &record, 1, 0, MP_DEADLINE_NOW) == MP_RING_DONE)
    n_put++;
}

/* Where the ring says what is in it, where its messages are, and where it has its blocks. */
static void
scribble (FuzzInput *input)
{
  static const goffset bases[] = {
    0, 64, 128, 4096, MP_STORE_OFFSET, MP_STORE_OFFSET + MP_STORE_HEADER_SIZE
  };
  goffset place = bases[fuzz_choose (input, G_N_ELEMENTS (bases))] + 4 * fuzz_u8 (input);
  guint32 word = fuzz_u8 (input) & 1 ? fuzz_u8 (input) : fuzz_u32 (input);
  int fd = g_unix_fd_list_peek_fds (ring_fds, NULL)[0];

  /* It grows only when there are blocks. */
  if (place + 4 <= lseek (fd, 0, SEEK_END) && pwrite (fd, &word, sizeof word, place) < 0)
    fuzz_fail ("a write failed");
}

/* A frame that says where the message is; half of them are right. */
static void
refer (FuzzInput *input)
{
  g_autoptr (GByteArray) frame = g_byte_array_new ();
  guint8 how = fuzz_u8 (input);
  guint32 head[2] = { GUINT32_TO_BE ((guint32) MP_FRAME_IN_RING), 0 };
  guint32 number = GUINT32_TO_BE (n_put - 1);
  int fds[MAX_FDS], n_fds;
  const int *all_fds;

  if (ring == NULL)
    open_ring ();
  if ((how & 1) != 0)
    put_into_ring (input);
  if ((how & 2) != 0)
    scribble (input);
  if ((how & 4) != 0)
    number = GUINT32_TO_BE (n_put + (guint32) (gint8) fuzz_u8 (input));
  g_byte_array_append (frame, (const guint8 *) head, sizeof head);
  g_byte_array_append (frame,
                       g_variant_get_data (ring_handle),
                       (guint) g_variant_get_size (ring_handle));
  g_byte_array_append (frame, (const guint8 *) &number, sizeof number);
  if ((how & 0x48) == 0x48)
    {
      guint place = fuzz_u8 (input) % frame->len;

      frame->data[place] = fuzz_u8 (input);
    }
  head[1] = GUINT32_TO_BE (frame->len - (guint) sizeof head);
  if ((how & 0x50) == 0x50)
    {
      guint shift = fuzz_u8 (input) % 32;

      head[1] = fuzz_u32 (input) >> shift;
    }
  memcpy (frame->data + sizeof head[0], &head[1], sizeof head[1]);
  all_fds = g_unix_fd_list_peek_fds (ring_fds, &n_fds);
  n_fds = MIN (n_fds, MAX_FDS);
  memcpy (fds, all_fds, (gsize) n_fds * sizeof *fds);
  if ((how & 0x60) == 0x60)
    {
      fds[fuzz_choose (input, MAX_FDS)] = other;
      n_fds = (int) fuzz_choose (input, MAX_FDS + 1);
    }
  put_with_fds (frame->data, frame->len, fds, (guint) n_fds);
  known = FALSE;
}

static void
be_hostile (FuzzInput *input)
{
  g_autoptr (GVariant) value = NULL;
  guint8 header[12];
  guint n_fds = fuzz_choose (input, 2 * MAX_FDS + 1);
  const guint8 *bytes;
  gsize length;

  if (n_fds == 2 * MAX_FDS)
    {
      refer (input);
      return;
    }
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
  fuzz_may_stall (FUZZ_ANY_MICRO_LOCK, 0);
  fuzz_begin (input, NULL);
  for (guint i = 0; i < MAX_OPERATIONS && fuzz_has_more (input); i++)
    do_something (input);
  fuzz_read_properties (connection);
  fuzz_operation ("dropping everything", 0);
  g_object_unref (connection);
  close_ring ();
  fuzz_forget_stalls ();
  fuzz_end ();
  close (other);
  g_byte_array_unref (stream);
  /* The lowest number that is free. */
  fds[0] = dup (0);
  if (fds[0] != before)
    fuzz_fail ("a descriptor was lost");
  close (fds[0]);
}
