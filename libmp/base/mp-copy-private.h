/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <string.h>

G_BEGIN_DECLS

/* No more than the second-level cache of most processors. */
#define MP_COPY_PIECE ((gsize) 256 * 1024)

/* What does not fit the second-level cache, glibc copies on AMD's processors in a way that fetches
 * each line before it is written. That takes several times as long where another processor has
 * the line, as it has in memory that is shared, and in memory of a process that was moved to this
 * one. Pieces are written without. */
static inline void
mp_copy (guint8 *place, const guint8 *data, gsize length)
{
  for (; length > MP_COPY_PIECE; length -= MP_COPY_PIECE)
    {
      memcpy (place, data, MP_COPY_PIECE);
      place += MP_COPY_PIECE;
      data += MP_COPY_PIECE;
    }
  if (length > 0)
    memcpy (place, data, length);
}

/* One after the other. */
static inline void
mp_copy_parts (guint8 *place, const GOutputVector *parts, gsize n_parts)
{
  for (gsize i = 0; i < n_parts; i++)
    {
      mp_copy (place, parts[i].buffer, parts[i].size);
      place += parts[i].size;
    }
}

G_END_DECLS
