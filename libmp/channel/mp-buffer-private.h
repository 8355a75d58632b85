/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-buffer.h"
#include "mp-ring-block-private.h"

G_BEGIN_DECLS

struct _MpBuffer
{
  gatomicrefcount ref_count;
  MpCodec codec;
  MpRingBlock *block; /* nullable; else */
  GBytes *bytes;      /* nullable; what was taken, or */
  guint8 *memory;     /* nullable; what is being made */
  gsize length;
  gsize offset; /* of the message in the block */
};

/* Each takes what it is given. */
MpBuffer *mp_buffer_new_for_block (MpRingBlock *block);
MpBuffer *mp_buffer_new_for_bytes (GBytes *bytes, MpCodec codec);
MpBuffer *mp_buffer_new_for_memory (guint8 *memory, gsize length);

/* To be filled: lent by @ring (nullable), or else memory of this process. */
MpBuffer *mp_buffer_new_loan (MpRing *ring, gsize length, GError **error);
/* The same, but filled; mp_buffer_get_memory() maps it, and gives NULL if there is no memory. */
MpBuffer *mp_buffer_new_filled (MpRing *ring,
                                const GOutputVector *parts,
                                gsize n_parts,
                                GError **error);

/* Bytes on the memory of a block, which they keep. */
GBytes *mp_ring_block_to_bytes (MpRingBlock *block);

G_END_DECLS
