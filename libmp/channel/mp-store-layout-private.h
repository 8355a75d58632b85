/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "mp-store-private.h"

G_BEGIN_DECLS

/* What the two files of the store share. */

/* Behind the segments of the ring, which end before 32 GiB. */
#define MP_STORE_OFFSET ((guint64) 64 << 30)
#define MP_STORE_BLOCKS_OFFSET ((guint64) 128 << 30)
#define MP_STORE_N_RECENT 256u
#define MP_STORE_MAX_PARTICIPANTS 1024u
/* Below this, memory that is not used is no waste. */
#define MP_STORE_SMALL_BYTES ((guint64) 64 << 10)

/* The word of a block: generation:28 | state:4 | owner:32. */
#define MP_STORE_STATE_SHIFT 32
#define MP_STORE_STATE_MASK 15u
#define MP_STORE_GENERATION_SHIFT 36
#define MP_STORE_GENERATION_MASK 0xfffffffu

typedef struct
{
  _Alignas(64) _Atomic uint64_t word;
  _Atomic uint64_t length;   /* of a message that is lent */
  _Atomic uint64_t backed;   /* bytes that surely have memory; the owner writes it */
  _Atomic uint64_t freed_at; /* monotonic microseconds */
  _Atomic uint32_t seq;      /* the number of the message in the ring */
  _Atomic uint32_t codec;
  _Atomic uint32_t deliveries;
  _Atomic uint32_t copied; /* 1: the ring has the message itself */
} MpStoreEntry;

typedef struct
{
  _Atomic uint32_t recent_top;
  _Atomic uint32_t look_at;
  _Atomic uint32_t turns_looked_at; /* what recent_top was, or will be before the next look */
  _Atomic uint32_t recent[MP_STORE_N_RECENT]; /* index plus one; 0: nothing */
  _Atomic uint64_t backed;                    /* of all together; a hint */
  _Atomic int64_t emptied_at;                 /* when much was given back; monotonic microseconds */
} MpStoreShared;

#define MP_STORE_HEADER_SIZE 4096u

G_STATIC_ASSERT (sizeof (MpStoreShared) <= MP_STORE_HEADER_SIZE);
G_STATIC_ASSERT (sizeof (MpStoreEntry) == 64);

struct _MpStore
{
  MpSegment *segment;
  _Atomic uint32_t *used;
  MpStoreShared *shared;
  MpStoreEntry *entries;
  /* NULL as long as there is no place or no descriptor for this process. */
  _Atomic (MpParticipants *) participants;
  gsize mapped_length;
  _Atomic int64_t trimmed_at; /* monotonic microseconds */
  _Atomic int64_t full_until;
  /* Of each block, what this process has of it mapped and nobody uses. */
  _Atomic (MpStoreMap *) *maps;
};

static inline guint32
mp_store_word_owner (guint64 word)
{
  return (guint32) word;
}

static inline MpBlockState
mp_store_word_state (guint64 word)
{
  return (MpBlockState) (word >> MP_STORE_STATE_SHIFT & MP_STORE_STATE_MASK);
}

static inline guint32
mp_store_word_generation (guint64 word)
{
  return (guint32) (word >> MP_STORE_GENERATION_SHIFT);
}

static inline guint64
mp_store_get_offset (guint32 index)
{
  return MP_STORE_BLOCKS_OFFSET + index * MP_STORE_MAX_LENGTH;
}

MpStoreEntry *mp_store_get_entry (MpStore *self, guint32 index);
MpParticipants *mp_store_join (MpStore *self);
void mp_store_unmap (MpStore *self, guint32 index);
/* The block is ours: gives the memory back that it has, or what is beyond what it surely has. */
void mp_store_drop_memory (MpStore *self, guint32 index);
void mp_store_drop_rest (MpStore *self, guint32 index);

G_END_DECLS
