/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-frame-private.h"

#include <string.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#define FIRST_ROOM ((gsize) 64 * 1024)
/* More than a handle has. */
#define MAX_REFERENCE 4096

gsize
mp_frame_write_header (guint8 *header, guint64 size)
{
  guint32 length = GUINT32_TO_BE (size <= MP_FRAME_MAX_SHORT ? (guint32) size : G_MAXUINT32);
  guint64 long_length = GUINT64_TO_BE (size);

  memcpy (header, &length, sizeof length);
  if (size <= MP_FRAME_MAX_SHORT)
    return MP_FRAME_SHORT_HEADER;
  memcpy (header + sizeof length, &long_length, sizeof long_length);
  return MP_FRAME_LONG_HEADER;
}

void
mp_frame_clear (MpFrame *self)
{
  for (guint i = 0; self->fds != NULL && i < self->fds->len; i++)
    mp_fd_close (g_array_index (self->fds, int, i));
  g_clear_pointer (&self->fds, g_array_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
}

void
mp_frame_reader_clear (MpFrameReader *self)
{
  g_free (self->data);
  *self = (MpFrameReader){ .may_refer = self->may_refer, .was_of_python = self->was_of_python };
}

static gboolean
is_long (const MpFrameReader *self)
{
  return self->n_header >= MP_FRAME_SHORT_HEADER &&
         memcmp (self->header, "\377\377\377\377", 4) == 0;
}

static gsize
get_header_length (const MpFrameReader *self)
{
  static const guint8 in_ring[4] = { 0xff, 0xff, 0xff, 0xfd };

  if (is_long (self))
    return MP_FRAME_LONG_HEADER;
  return self->may_refer && self->n_header >= MP_FRAME_SHORT_HEADER &&
             memcmp (self->header, in_ring, sizeof in_ring) == 0
           ? MP_FRAME_RING_HEADER
           : MP_FRAME_SHORT_HEADER;
}

static gboolean
reserve (MpFrameReader *self, gsize room, GError **error)
{
  guint8 *data;

  if (room <= self->capacity && self->data != NULL)
    return TRUE;
  data = g_try_realloc (self->data, MAX (room, 1));
  if (data == NULL)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "There is no memory for a message of %" G_GUINT64_FORMAT " bytes",
                   self->size);
      return FALSE;
    }
  self->data = data;
  self->capacity = room;
  return TRUE;
}

guint8 *
mp_frame_reader_get_room (MpFrameReader *self, gsize *length, GError **error)
{
  if (!self->sized)
    {
      *length = get_header_length (self) - self->n_header;
      return self->header + self->n_header;
    }
  if (self->n_data == self->capacity || self->data == NULL)
    {
      gsize room = MAX (FIRST_ROOM, 2 * self->capacity);

      if (!reserve (self, (gsize) MIN (room, self->size), error))
        return NULL;
    }
  *length = self->capacity - self->n_data;
  return self->data + self->n_data;
}

gboolean
mp_frame_check_size (guint64 size, guint64 max, GError **error)
{
  if (size > G_MAXSSIZE / 2)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_CORRUPT,
                   "A message cannot have %" G_GUINT64_FORMAT " bytes",
                   size);
      return FALSE;
    }
  if (max != 0 && size > max)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "A message of %" G_GUINT64_FORMAT " bytes, where %" G_GUINT64_FORMAT
                   " are allowed",
                   size,
                   max);
      return FALSE;
    }
  return TRUE;
}

/* How long it is stands in another place. */
static gboolean
read_reference (MpFrameReader *self, GError **error)
{
  guint32 length;

  if (self->n_header < MP_FRAME_RING_HEADER)
    return TRUE;
  memcpy (&length, self->header + 4, sizeof length);
  self->size = GUINT32_FROM_BE (length);
  self->sized = self->in_ring = TRUE;
  if (self->size <= MAX_REFERENCE)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_CORRUPT,
               "A message cannot need %" G_GUINT64_FORMAT " bytes to say where it is",
               self->size);
  return FALSE;
}

static gboolean
set_length_error (const MpFrameReader *self, gint32 length, GError **error)
{
  if (length == MP_FRAME_OF_PYTHON && self->was_of_python)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_NOT_SUPPORTED,
                         "The next message lies in memory that only Python can read, which "
                         "received from this end of the pipe before: receive it there, or hand "
                         "the end over before anything is received");
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_CORRUPT,
                 "A message cannot have the length %" G_GINT32_FORMAT,
                 length);
  return FALSE;
}

static gboolean
read_header (MpFrameReader *self, guint64 max, GError **error)
{
  gint32 length;
  guint64 long_length;

  if (self->n_header < MP_FRAME_SHORT_HEADER)
    return TRUE;
  memcpy (&length, self->header, sizeof length);
  length = GINT32_FROM_BE (length);
  if (length == MP_FRAME_IN_RING && self->may_refer)
    return read_reference (self, error);
  if (length < -1)
    return set_length_error (self, length, error);
  self->size = (guint64) length;
  if (length < 0)
    {
      if (self->n_header < MP_FRAME_LONG_HEADER)
        return TRUE;
      memcpy (&long_length, self->header + 4, sizeof long_length);
      self->size = GUINT64_FROM_BE (long_length);
    }
  self->sized = TRUE;
  return mp_frame_check_size (self->size, max, error);
}

gboolean
mp_frame_reader_advance (MpFrameReader *self, gsize n, guint64 max, GError **error)
{
  if (self->sized)
    {
      self->n_data += n;
      return TRUE;
    }
  self->n_header += n;
  return read_header (self, max, error);
}

gboolean
mp_frame_reader_adopt (MpFrameReader *self, const guint8 *data, gsize n, GError **error)
{
  if (!reserve (self, n, error))
    return FALSE;
  memcpy (self->data, data, n);
  self->n_data = n;
  return TRUE;
}

GBytes *
mp_frame_reader_take (MpFrameReader *self)
{
  GBytes *bytes = g_bytes_new_take (g_steal_pointer (&self->data), (gsize) self->size);

  mp_frame_reader_clear (self);
  return bytes;
}

void
mp_frame_reader_set_end (MpFrameReader *self, GError **error)
{
  if (!mp_frame_reader_has_begun (self))
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_CLOSED,
                         "The other end of the connection is closed");
  else if (!self->sized)
    g_set_error_literal (error,
                         MP_ERROR,
                         MP_ERROR_CORRUPT,
                         "The stream ended in the middle of the length of a message");
  else
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_CORRUPT,
                 "The stream ended in the middle of a message: %" G_GSIZE_FORMAT
                 " of %" G_GUINT64_FORMAT " bytes came",
                 self->n_data,
                 self->size);
}
