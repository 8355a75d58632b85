/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

/* Shared memory that nobody can pull from under our feet: a memfd that can not
 * shrink, whose size and header were checked, and whose header is never read a
 * second time. What lies behind the header is up to the kind; it starts
 * zeroed, and may change under us at any moment. */

#define MP_SEGMENT_MAGIC G_GUINT64_CONSTANT (0x314765537042694c)
#define MP_SEGMENT_N_PARAMETERS 8

#define MP_SEGMENT_KIND(a, b, c, d)                                                                \
  ((guint32) (a) | (guint32) (b) << 8 | (guint32) (c) << 16 | (guint32) (d) << 24)

/* The first bytes of the file. */
typedef struct
{
  guint64 magic;
  guint32 kind;
  guint32 version;
  guint64 size; /* of the file when it was made; it may have grown since */
  guint64 parameters[MP_SEGMENT_N_PARAMETERS];
} MpSegmentHeader;

typedef struct
{
  int fd; /* ours, -1: none */
  gboolean read_only;
  MpSegmentHeader header;
} MpSegment;

#define MP_SEGMENT_INIT                                                                            \
  {                                                                                                \
    .fd = -1                                                                                       \
  }

/* @name: for /proc. @size: at least the header's. @growable: or it keeps its size. */
gboolean mp_segment_create (MpSegment *self,
                            const char *name,
                            guint32 kind,
                            guint32 version,
                            guint64 size,
                            gboolean growable,
                            const guint64 *parameters,
                            GError **error);

/* Duplicates @fd. Anything that is not a segment of that kind is
 * MP_ERROR_CORRUPT, and one of another version MP_ERROR_NOT_SUPPORTED. */
gboolean mp_segment_attach (MpSegment *self, int fd, guint32 kind, guint32 version, GError **error);

/* Also if @fd is open for reading only; then that is how it is mapped. */
gboolean mp_segment_attach_any (MpSegment *self,
                                int fd,
                                guint32 kind,
                                guint32 version,
                                GError **error);

void mp_segment_clear (MpSegment *self);

/* What the file has now. 0 with errno set if that cannot be told. */
guint64 mp_segment_get_size (MpSegment *self);

/* Makes the file @size bytes long unless it is longer; one at a time. FALSE with errno set. */
gboolean mp_segment_grow (MpSegment *self, guint64 size);

/* Takes the memory for a range now, so that writing there cannot fail. FALSE with errno set. */
gboolean mp_segment_allocate (MpSegment *self, guint64 offset, guint64 length);

/* Gives the memory of a range back; it reads as zeroes. */
void mp_segment_punch (MpSegment *self, guint64 offset, guint64 length);

/* Maps a range, which must lie within the file: EFAULT if it does not.
 * NULL with errno set. */
gpointer mp_segment_map (MpSegment *self, guint64 offset, gsize length);

/* The same range twice in a row, so that what wraps around is contiguous.
 * Both must be multiples of the page size. Unmap 2 * @length. */
gpointer mp_segment_map_twice (MpSegment *self, guint64 offset, gsize length);

gsize mp_segment_get_page_size (void);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpSegment, mp_segment_clear)

G_END_DECLS
