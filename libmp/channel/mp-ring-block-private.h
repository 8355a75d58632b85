/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-ring-private.h"
#include "mp-store-private.h"

G_BEGIN_DECLS

/* A message, or one that is being made, in memory that this process has for itself
 * as long as there is this object: filled before it is put, read after it was taken,
 * or lent. Thread-safe, but for what its memory is used for. */

/* To be filled. */
MpRingBlock *mp_ring_block_new (MpRing *ring, guint64 length, MpRingStatus *status);
/* Filled already; it is mapped when its data are first asked for. */
MpRingBlock *mp_ring_block_new_filled (MpRing *ring,
                                       const GOutputVector *parts,
                                       gsize n_parts,
                                       MpRingStatus *status);
MpRingBlock *mp_ring_block_ref (MpRingBlock *self);
/* The last one frees the memory, and what was lent goes back. */
void mp_ring_block_unref (MpRingBlock *self);

/* Whether it was put, or went back. */
gboolean mp_ring_block_is_spent (MpRingBlock *self);
/* Whether this process still has it. */
gboolean mp_ring_block_is_ours (MpRingBlock *self);
/* NULL: it was filled here, and there is no memory to map it, see mp_ring_block_new_filled(). */
guint8 *mp_ring_block_get_data (MpRingBlock *self);
/* The same for the program: a child of fork() has it, too. What was taken becomes a copy then, for
 * the block is used again when we give it back, and the child still has it. */
guint8 *mp_ring_block_show_data (MpRingBlock *self);
guint64 mp_ring_block_get_length (MpRingBlock *self);
MpCodec mp_ring_block_get_codec (MpRingBlock *self);
/* How often it was delivered, this time included. */
guint32 mp_ring_block_get_deliveries (MpRingBlock *self);

/* A message can also be passed on beside the ring: the block stays with who has made it until
 * somebody who was told its @ref takes it over; that is done once. MP_RING_REFUSED: it was put or
 * passed on already; MP_RING_NO_BLOCKS: it is not one of @ring that was filled here. */
MpRingStatus mp_ring_block_pass_on (MpRingBlock *self, MpRing *ring, MpBlockRef *ref);
/* NULL with @status set. MP_RING_REFUSED: it is there no more. */
MpRingBlock *mp_ring_block_take_over (MpRing *ring, const MpBlockRef *ref, MpRingStatus *status);

/* Without a copy, if @ring is the one that it was made for. MP_RING_REFUSED: another thread puts
 * it, or has. */
MpRingStatus mp_ring_put_block (MpRing *ring,
                                MpRingBlock *block,
                                MpCodec codec,
                                gint64 deadline,
                                GCancellable *cancellable);
/* Takes one message. If it lies in a block, @block is set and @take is asked without data. */
MpRingStatus mp_ring_borrow (MpRing *ring,
                             MpRingTake take,
                             gpointer user_data,
                             gint64 deadline,
                             GCancellable *cancellable,
                             MpRingBlock **block);
/* As mp_ring_take(), but what lies in a block stays there: @take is asked without data, and
 * the blocks are appended to @blocks, an array of MpRingBlock. If it ends with an error, what
 * could not be mapped goes back. */
MpRingStatus mp_ring_take_keeping (MpRing *ring,
                                   gsize max_items,
                                   gsize max_bytes,
                                   MpRingTake take,
                                   gpointer user_data,
                                   gint64 deadline,
                                   GPtrArray *blocks,
                                   gsize *n_taken);
/* Borrows one message that comes back if we die before it is acknowledged. */
MpRingStatus mp_ring_lease (MpRing *ring,
                            gint64 deadline,
                            GCancellable *cancellable,
                            MpRingBlock **block);
/* The message is dealt with, or goes back. FALSE: it is not lent to us any more. */
gboolean mp_ring_block_ack (MpRingBlock *self);
gboolean mp_ring_block_nack (MpRingBlock *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpRingBlock, mp_ring_block_unref)

G_END_DECLS
