/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Frames, as multiprocessing.connection of Python has them: the length, signed, in
 * 32 bits, big-endian, and the bytes; or -1, the length in 64 bits, and the bytes. */
#define MP_FRAME_SHORT_HEADER ((gsize) 4)
#define MP_FRAME_LONG_HEADER ((gsize) 12)
#define MP_FRAME_MAX_SHORT ((guint64) G_MAXINT32)
/* In place of the length: the length of what is there in place of the bytes follows, in 32 bits,
 * see mp-connection-blocks.c. */
#define MP_FRAME_IN_RING (-3)
#define MP_FRAME_RING_HEADER ((gsize) 8)
/* The same between two ends of a pipe that are Python's, see _pipe.py. */
#define MP_FRAME_OF_PYTHON (-2)

/* Writes the header of a frame of @size bytes, and returns its length. */
gsize mp_frame_write_header (guint8 *header, guint64 size);

/* A whole frame, with the descriptors that came along. */
typedef struct
{
  GBytes *bytes;
  GArray *fds;      /* of int, owned; NULL if there are none */
  gboolean in_ring; /* the bytes say where the message is */
} MpFrame;

void mp_frame_clear (MpFrame *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpFrame, mp_frame_clear)

/* A frame that comes in pieces. All zeroes: none has begun. */
typedef struct
{
  guint8 header[12];
  guint n_header;
  gboolean may_refer;     /* stays */
  gboolean was_of_python; /* stays; only for what an error says */
  gboolean in_ring;
  gboolean sized;
  guint64 size;
  guint8 *data;
  gsize capacity;
  gsize n_data;
} MpFrameReader;

void mp_frame_reader_clear (MpFrameReader *self);

static inline gboolean
mp_frame_reader_has_begun (const MpFrameReader *self)
{
  return self->n_header > 0;
}

static inline gboolean
mp_frame_reader_is_whole (const MpFrameReader *self)
{
  return self->sized && self->n_data == self->size;
}

/* Where the next bytes go, and how many at most: never beyond the end of the frame,
 * nor many more than have come, so that a length that is a lie costs no memory.
 * NULL with @error set if there is no memory; what has come stays. */
guint8 *mp_frame_reader_get_room (MpFrameReader *self, gsize *length, GError **error);
/* @n of them have come. FALSE with @error set if no frame begins like this, or one of
 * more than @max bytes (0: any). */
gboolean mp_frame_reader_advance (MpFrameReader *self, gsize n, guint64 max, GError **error);
/* The same for @n bytes that are elsewhere: the first of the frame. */
gboolean mp_frame_reader_adopt (MpFrameReader *self, const guint8 *data, gsize n, GError **error);
/* The bytes of a whole frame; the next can begin. */
GBytes *mp_frame_reader_take (MpFrameReader *self);

/* FALSE with @error set if no frame can have @size bytes, or none may of more than @max (0: any).
 */
gboolean mp_frame_check_size (guint64 size, guint64 max, GError **error);

/* Sets @error for a stream that ends here, or was torn off. */
void mp_frame_reader_set_end (MpFrameReader *self, GError **error);

G_END_DECLS
