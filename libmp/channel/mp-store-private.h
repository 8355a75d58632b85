/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../memory/mp-participants-private.h"
#include "../memory/mp-segment-private.h"
#include "mp-ring-private.h"

G_BEGIN_DECLS

/* The blocks of a ring: what is too big to be copied into it, and what is lent to
 * consumers. They lie in the file of the ring, each at its own place, so that
 * none needs a descriptor, and each belongs to one process at a time. The life of
 * a block is described in mp-store.c. Thread-safe. */
typedef struct _MpStore MpStore;

#define MP_STORE_MAX_BLOCKS 4096u
/* What a block can hold. */
#define MP_STORE_MAX_LENGTH ((guint64) 64 << 30)

typedef enum
{
  MP_BLOCK_FREE,
  MP_BLOCK_OWNED,    /* somebody fills it */
  MP_BLOCK_QUEUEING, /* about to be in the ring, under put_lock */
  MP_BLOCK_QUEUED,   /* in the ring */
  MP_BLOCK_TAKING,   /* about to be taken out of it, under get_lock */
  MP_BLOCK_TAKEN,    /* somebody reads it */
  MP_BLOCK_LEASING,  /* about to be lent, under get_lock */
  MP_BLOCK_LEASED,   /* lent; by nobody: it waits to be lent again */
  MP_BLOCK_ACKING    /* done, but perhaps not yet counted */
} MpBlockState;

/* What stands in the ring in place of the message. */
typedef struct _MpBlockRef
{
  guint32 index;
  guint32 generation;
  guint64 length;
} MpBlockRef;

/* What this process has mapped of a block. */
typedef struct
{
  guint8 *data;
  gsize length;
} MpStoreMap;

/* What is known of a message that is lent. */
typedef struct
{
  MpCodec codec;
  guint32 deliveries;
} MpBlockMessage;

/* @segment is borrowed. @used: how many blocks there ever were, in the shared
 * memory of the ring. NULL with errno set, EFAULT if nobody has made a store yet
 * and @make is not set. */
MpStore *mp_store_new (MpSegment *segment, _Atomic uint32_t *used, gboolean make);
void mp_store_free (MpStore *self);

/* A block of our own for @length bytes. MP_RING_TIMED_OUT: all are in use. */
MpRingStatus mp_store_take_free (MpStore *self, guint64 length, MpBlockRef *ref);
/* The same for who can do without, and need not look through all of them every time. */
MpRingStatus mp_store_take_free_soon (MpStore *self, guint64 length, MpBlockRef *ref);
/* Writes what the message is made of, from the beginning. */
MpRingStatus mp_store_fill (MpStore *self,
                            const MpBlockRef *ref,
                            const GOutputVector *parts,
                            guint n_parts);
/* The bytes of a block that is ours, or that cannot change hands now. They stay where they are
 * until they are given back, whatever becomes of the block. @filled: by whoever had it before.
 * NULL with errno set. */
MpStoreMap *mp_store_map (MpStore *self, const MpBlockRef *ref, gboolean filled);
void mp_store_give_map (MpStore *self, const MpBlockRef *ref, MpStoreMap *map);
/* Whether it has the bytes that it is said to have, for who takes memory for them before it maps
 * the block. FALSE with errno set. */
gboolean mp_store_check_filled (MpStore *self, const MpBlockRef *ref);
/* For one that is not to be used for another block. */
void mp_store_map_free (MpStoreMap *map);
/* Where it is mapped, this process sees the block as it is, but what it writes is its own; other
 * threads may be using it. FALSE with errno set, and nothing was done. */
gboolean mp_store_make_private (MpStore *self, const MpBlockRef *ref, MpStoreMap *map);
/* What was made private becomes a copy, and the block, which is ours, has no memory any more.
 * FALSE with errno set: some of it may still be in the block. */
gboolean mp_store_copy_private (MpStore *self, const MpBlockRef *ref, MpStoreMap *map);
/* Whether this process can have blocks. */
gboolean mp_store_is_joined (MpStore *self);
/* Its memory may be used for something else. Nothing if it is not ours. */
void mp_store_give_free (MpStore *self, const MpBlockRef *ref);

/* From one state to another; FALSE if the block is not in the first. Those that are
 * somebody's are to be ours, or become ours. */
gboolean mp_store_change (MpStore *self, const MpBlockRef *ref, MpBlockState from, MpBlockState to);
/* One that is in the ring becomes ours. */
gboolean mp_store_take_queued (MpStore *self, const MpBlockRef *ref, MpBlockState to);
/* One that somebody fills becomes ours, as if we had taken it; @ref is then what we know it by, and
 * nobody else does. FALSE if it is not being filled any more. */
gboolean mp_store_take_over (MpStore *self, MpBlockRef *ref);
MpBlockState mp_store_get_state (MpStore *self, const MpBlockRef *ref, gboolean *ours);
/* Before it is queueing, taking or leasing: which message of the ring it is. */
void mp_store_set_seq (MpStore *self, const MpBlockRef *ref, guint32 seq);
guint32 mp_store_get_seq (MpStore *self, const MpBlockRef *ref);

/* What is lent. @copied: the ring has the message itself as well, until it is lent. */
void mp_store_set_message (MpStore *self,
                           const MpBlockRef *ref,
                           const MpBlockMessage *message,
                           gboolean copied);
void mp_store_get_message (MpStore *self, const MpBlockRef *ref, MpBlockMessage *message);
/* Makes one that waits to be lent ours, @to: leased or acking. FALSE if there is none. */
gboolean mp_store_take_returned (MpStore *self, MpBlockState to, MpBlockRef *ref);
/* Says that a lent block of ours is to be lent again. */
gboolean mp_store_return (MpStore *self, const MpBlockRef *ref);
/* The same, as if it had not been delivered. */
void mp_store_give_back (MpStore *self, const MpBlockRef *ref);
guint32 mp_store_count (MpStore *self, MpBlockState state, gboolean of_nobody);

/* Names a block that is acking; see mp_ring_count_acked(). Never 0, and never one whose lowest
 * bits are all set. */
#define MP_STORE_TOKEN_INDEX_BITS 13
guint32 mp_store_get_token (const MpBlockRef *ref);
/* The block of @token was counted. */
void mp_store_settle_token (MpStore *self, guint32 token);

/* Under the lock, after somebody died with it: what was about to happen happened,
 * or did not. */
void mp_store_sweep_put (MpStore *self, guint32 head_items);
void mp_store_sweep_get (MpStore *self, guint32 tail_items);
/* Called with an acking block that is ours now, after its owner died. */
typedef void (*MpStoreAcking) (gpointer user_data, const MpBlockRef *ref);
/* What was found. */
typedef enum
{
  MP_STORE_RETURNED = 1 << 0, /* something waits to be lent again */
  MP_STORE_PUTTING = 1 << 1,  /* somebody died with the lock of that side */
  MP_STORE_GETTING = 1 << 2
} MpStoreFinds;

/* Takes away from the dead what they had. */
MpStoreFinds mp_store_sweep_dead (MpStore *self, MpStoreAcking acking, gpointer user_data);
/* Gives memory back that was not used for a while. */
void mp_store_trim (MpStore *self);
/* The same at once, as far as it is much: nobody may come to look again after the last message,
 * which had @length bytes. */
void mp_store_trim_emptied (MpStore *self, guint64 length);
/* What the blocks have together, in bytes. */
guint64 mp_store_get_memory (MpStore *self);
/* For tests: as if the block had been free for so long. */
void mp_store_age (MpStore *self, guint32 index, gint64 time_us);

G_END_DECLS
