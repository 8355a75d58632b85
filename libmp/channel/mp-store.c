/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The life of a block is one word: generation, state, and whose it is. It changes
 * by compare-and-exchange only, so that a block is in one state whoever dies when.
 *
 *   free → owned → queueing → queued → taking → taken → free
 *                                    → leasing → leased ⇄ returned
 *                                                leased → acking → taken → free
 *                 → taken, by whoever was told of it → free
 *
 * Owned, taken, leased and acking blocks have an owner, and if that is dead, anybody
 * may take them away from it: what was being filled or read becomes free, what was
 * lent is returned. Queueing, taking and leasing are the states of the one
 * who has the lock of the ring's side, before and after its one-store commit; who
 * inherits the lock from a dead process looks at the number of the message whether
 * the commit came, and settles the block accordingly (mp_store_sweep_put() and
 * _get()). Nobody else has to know of these states; but after the last message nobody
 * may come to inherit the lock, unless who looks after the dead does (mp_ring_tend()).
 *
 * Memory is reused: fresh pages are much dearer than the copy. But what another processor has
 * just read is in the cache that it has for itself, and to write there means to get line by line
 * out of that, four times dearer than from the cache that both share. So some blocks take turns,
 * and these are the most recently used. Nobody has to keep count of free blocks; a ring of hints
 * says where to look first. */

#include "mp-store-layout-private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/mp-clock-private.h"
#include "../base/mp-micro-lock-private.h"

/* So many blocks are looked at before another one is opened. */
#define MAX_LOOKS 256u
/* Not longer than so many times what is needed, if others can be had. */
#define MAX_WASTE 8u
/* Beyond this, free memory is given back after some time. */
#define KEPT_BYTES ((guint64) 64 << 20)
#define KEPT_US (2 * G_USEC_PER_SEC)
#define TRIM_INTERVAL_US (G_USEC_PER_SEC / 2)
/* What is kept where nobody may come to look again: so many times the last message, if that is
 * more; and all of it where this happens again and again, unless it is very much. */
#define KEPT_MESSAGES 4u
#define MUCH_BYTES ((guint64) 1 << 30)
/* Of free blocks that take turns: more than a processor has for itself of its cache, less than all
 * have together. One is added when so many were given back, but where there were enough, nobody
 * looks for a while. Of all lengths together, blocks are not added beyond twice as much. */
#define TURN_BYTES ((guint64) 4 << 20)
#define TURN_GROWTH 8
/* What is lent may be shorter; it takes no turns. */
#define LEAST_TURN_LENGTH ((guint64) 16 << 10)
#define TURN_PAUSE 120
#define MAX_OLDER 3u
/* After all were found in use. */
#define FULL_US (10 * 1000)

/* Words */

MpStoreEntry *
mp_store_get_entry (MpStore *self, guint32 index)
{
  return &self->entries[index % MP_STORE_MAX_BLOCKS];
}

static guint64
word_for (guint32 generation, MpBlockState state, guint32 owner)
{
  return (guint64) (generation & MP_STORE_GENERATION_MASK) << MP_STORE_GENERATION_SHIFT |
         (guint64) state << MP_STORE_STATE_SHIFT | owner;
}

static gboolean
has_owner (MpBlockState state)
{
  return state != MP_BLOCK_FREE && state != MP_BLOCK_QUEUED;
}

static gboolean
change_word (MpStore *self, guint32 index, guint64 *from, guint64 to)
{
  return atomic_compare_exchange_strong (&mp_store_get_entry (self, index)->word, from, to);
}

/* In a child of fork() there may not have been a place at first. */
static guint32
get_us (MpStore *self)
{
  MpParticipants *participants = mp_store_join (self);

  return participants != NULL ? mp_participants_get_self (participants, NULL) : MP_PARTICIPANT_NONE;
}

gboolean
mp_store_is_joined (MpStore *self)
{
  return get_us (self) != MP_PARTICIPANT_NONE;
}

static guint32
get_used (MpStore *self)
{
  return MIN (atomic_load_explicit (self->used, memory_order_acquire), MP_STORE_MAX_BLOCKS);
}

gboolean
mp_store_change (MpStore *self, const MpBlockRef *ref, MpBlockState from, MpBlockState to)
{
  guint32 us = get_us (self);
  guint64 word = word_for (ref->generation, from, has_owner (from) ? us : 0);

  return us != MP_PARTICIPANT_NONE &&
         change_word (self,
                      ref->index,
                      &word,
                      word_for (ref->generation, to, has_owner (to) ? us : 0));
}

gboolean
mp_store_take_queued (MpStore *self, const MpBlockRef *ref, MpBlockState to)
{
  guint64 word = atomic_load (&mp_store_get_entry (self, ref->index)->word);
  guint32 us = get_us (self);

  /* Its owner may not have come to say that it is in the ring. */
  while (us != MP_PARTICIPANT_NONE && mp_store_word_generation (word) == ref->generation &&
         (mp_store_word_state (word) == MP_BLOCK_QUEUED ||
          mp_store_word_state (word) == MP_BLOCK_QUEUEING))
    {
      if (change_word (self, ref->index, &word, word_for (ref->generation, to, us)))
        return TRUE;
    }
  return FALSE;
}

gboolean
mp_store_take_over (MpStore *self, MpBlockRef *ref)
{
  guint64 word = atomic_load (&mp_store_get_entry (self, ref->index)->word);
  /* Another one, so that who has had it before cannot mean it. */
  guint32 generation = (mp_store_word_generation (word) + 1) & MP_STORE_GENERATION_MASK;
  guint32 us = get_us (self);

  if (us == MP_PARTICIPANT_NONE || mp_store_word_generation (word) != ref->generation ||
      mp_store_word_state (word) != MP_BLOCK_OWNED ||
      !change_word (self, ref->index, &word, word_for (generation, MP_BLOCK_TAKEN, us)))
    return FALSE;
  ref->generation = generation;
  return TRUE;
}

MpBlockState
mp_store_get_state (MpStore *self, const MpBlockRef *ref, gboolean *ours)
{
  guint64 word = atomic_load (&mp_store_get_entry (self, ref->index)->word);
  MpParticipants *participants = atomic_load (&self->participants);

  *ours = participants != NULL && mp_store_word_generation (word) == ref->generation &&
          mp_store_word_owner (word) != 0 &&
          mp_store_word_owner (word) == mp_participants_get_self_word (participants);
  return mp_store_word_state (word);
}

void
mp_store_set_seq (MpStore *self, const MpBlockRef *ref, guint32 seq)
{
  atomic_store_explicit (&mp_store_get_entry (self, ref->index)->seq, seq, memory_order_relaxed);
}

guint32
mp_store_get_seq (MpStore *self, const MpBlockRef *ref)
{
  return atomic_load_explicit (&mp_store_get_entry (self, ref->index)->seq, memory_order_relaxed);
}

/* Finding a free one */

static _Atomic uint32_t *
get_place (MpStore *self, guint32 at)
{
  return &self->shared->recent[at % MP_STORE_N_RECENT];
}

static void
push_recent (MpStore *self, guint32 index)
{
  guint32 top = atomic_fetch_add_explicit (&self->shared->recent_top, 1, memory_order_relaxed);

  atomic_store_explicit (get_place (self, top), index + 1, memory_order_relaxed);
}

static gboolean
take_index (MpStore *self, guint32 index, guint64 length, MpBlockRef *ref)
{
  guint32 us = get_us (self);
  guint64 word = atomic_load (&mp_store_get_entry (self, index)->word);
  guint32 generation = (mp_store_word_generation (word) + 1) & MP_STORE_GENERATION_MASK;

  if (mp_store_word_state (word) != MP_BLOCK_FREE ||
      !change_word (self, index, &word, word_for (generation, MP_BLOCK_OWNED, us)))
    return FALSE;
  *ref = (MpBlockRef){ .index = index, .generation = generation, .length = length };
  return TRUE;
}

static guint64
get_backed (MpStore *self, guint32 index)
{
  return atomic_load_explicit (&mp_store_get_entry (self, index)->backed, memory_order_relaxed);
}

static gboolean
is_fit (MpStore *self, guint32 index, guint64 length)
{
  guint64 backed = get_backed (self, index);

  return backed >= length && backed / MAX_WASTE <= MAX (length, MP_STORE_SMALL_BYTES);
}

static gboolean
take_another (MpStore *self, guint64 length, MpBlockRef *ref)
{
  uint32_t used = atomic_load (self->used);

  while (used < MP_STORE_MAX_BLOCKS)
    {
      if (atomic_compare_exchange_weak (self->used, &used, used + 1) &&
          take_index (self, used, length, ref))
        return TRUE;
      used = atomic_load (self->used);
    }
  return FALSE;
}

/* What was given back then; no index if it was taken since. */
static guint32
get_hint (MpStore *self, guint32 at)
{
  return atomic_load_explicit (get_place (self, at), memory_order_relaxed) - 1;
}

static gboolean
take_hinted (MpStore *self, guint32 at, guint64 length, MpBlockRef *ref)
{
  guint32 index = get_hint (self, at);

  if (index >= MP_STORE_MAX_BLOCKS || !is_fit (self, index, length))
    return FALSE;
  atomic_store_explicit (get_place (self, at), 0, memory_order_relaxed);
  return take_index (self, index, length, ref);
}

/* How many free blocks take turns. */
static guint32
get_turns (guint64 length)
{
  if (length < LEAST_TURN_LENGTH || !mp_micro_lock_may_spin ())
    return 1;
  return (guint32) CLAMP (TURN_BYTES / length, 1, MP_STORE_N_RECENT / 2);
}

/* Whether one more is to take turns. Those that are being filled or read come back. */
static gboolean
wants_more (MpStore *self, guint32 top, guint32 turns, guint64 length)
{
  MpStoreShared *shared = self->shared;
  guint32 looked_at = atomic_load_explicit (&shared->turns_looked_at, memory_order_relaxed);
  gboolean enough;
  guint32 n = 0;

  if (turns == 1 || (gint32) (top - looked_at) < TURN_GROWTH ||
      atomic_load_explicit (&shared->backed, memory_order_relaxed) + length > 2 * TURN_BYTES)
    return FALSE;
  for (guint32 i = 1; i <= turns; i++)
    {
      guint32 index = get_hint (self, top - i);

      n += index < MP_STORE_MAX_BLOCKS && is_fit (self, index, length);
    }
  enough = n >= turns - turns / 4;
  atomic_store_explicit (&shared->turns_looked_at,
                         enough ? top + TURN_PAUSE : top,
                         memory_order_relaxed);
  return !enough;
}

/* What was given back the longest ago of those that take turns, or else a bit before. */
static gboolean
take_recent (MpStore *self, guint64 length, MpBlockRef *ref)
{
  guint32 top = atomic_load_explicit (&self->shared->recent_top, memory_order_relaxed);
  guint32 turns = get_turns (length);

  if (wants_more (self, top, turns, length) && take_another (self, length, ref))
    return TRUE;
  for (guint32 i = turns; i > 0; i--)
    {
      if (take_hinted (self, top - i, length, ref))
        return TRUE;
    }
  for (guint32 i = 1; i <= MAX_OLDER; i++)
    {
      if (take_hinted (self, top - turns - i, length, ref))
        return TRUE;
    }
  return FALSE;
}

/* @looks: how many to look at. What fits, or else the biggest of those that are too small. */
static gboolean
take_by_looking (MpStore *self, guint64 length, guint32 looks, MpBlockRef *ref)
{
  MpStoreShared *shared = self->shared;
  guint32 used = get_used (self), best = MP_STORE_MAX_BLOCKS;
  guint32 start = atomic_load_explicit (&shared->look_at, memory_order_relaxed);

  for (guint32 i = 0; i < MIN (used, looks); i++)
    {
      guint32 index = (start + i) % used;
      guint64 word = atomic_load_explicit (&self->entries[index].word, memory_order_relaxed);

      if (mp_store_word_state (word) != MP_BLOCK_FREE)
        continue;
      if (is_fit (self, index, length) && take_index (self, index, length, ref))
        {
          atomic_store_explicit (&shared->look_at, index + 1, memory_order_relaxed);
          return TRUE;
        }
      if (get_backed (self, index) < length &&
          (best == MP_STORE_MAX_BLOCKS || get_backed (self, best) < get_backed (self, index)))
        best = index;
    }
  return best != MP_STORE_MAX_BLOCKS && take_index (self, best, length, ref);
}

/* Whatever there is. */
static gboolean
take_any (MpStore *self, guint64 length, MpBlockRef *ref)
{
  for (guint32 index = 0; index < get_used (self); index++)
    {
      if (take_index (self, index, length, ref))
        return TRUE;
    }
  return FALSE;
}

MpRingStatus
mp_store_take_free (MpStore *self, guint64 length, MpBlockRef *ref)
{
  if (length > MP_STORE_MAX_LENGTH)
    return MP_RING_NO_MEMORY;
  if (G_UNLIKELY (get_us (self) == MP_PARTICIPANT_NONE))
    return MP_RING_TIMED_OUT;
  if (take_recent (self, length, ref) || take_by_looking (self, length, MAX_LOOKS, ref) ||
      take_another (self, length, ref) ||
      take_by_looking (self, length, MP_STORE_MAX_BLOCKS, ref) || take_any (self, length, ref))
    return MP_RING_DONE;
  /* What was lent and comes back this way is seen by whoever looks for it. */
  mp_store_sweep_dead (self, NULL, NULL);
  return take_any (self, length, ref) ? MP_RING_DONE : MP_RING_TIMED_OUT;
}

MpRingStatus
mp_store_take_free_soon (MpStore *self, guint64 length, MpBlockRef *ref)
{
  gint64 full_until = atomic_load_explicit (&self->full_until, memory_order_relaxed);
  MpRingStatus status;

  if (full_until != 0 && g_get_monotonic_time () < full_until)
    return MP_RING_TIMED_OUT;
  status = mp_store_take_free (self, length, ref);
  if (status == MP_RING_TIMED_OUT)
    atomic_store_explicit (&self->full_until,
                           g_get_monotonic_time () + FULL_US,
                           memory_order_relaxed);
  return status;
}

void
mp_store_give_free (MpStore *self, const MpBlockRef *ref)
{
  gint64 now = g_get_monotonic_time ();
  gboolean ours;
  MpBlockState state = mp_store_get_state (self, ref, &ours);

  if (!ours)
    return;
  atomic_store_explicit (&mp_store_get_entry (self, ref->index)->freed_at,
                         (guint64) now,
                         memory_order_relaxed);
  if (!mp_store_change (self, ref, state, MP_BLOCK_FREE))
    return;
  push_recent (self, ref->index);
  atomic_store_explicit (&self->full_until, 0, memory_order_relaxed);
  if (now - atomic_load_explicit (&self->trimmed_at, memory_order_relaxed) >= TRIM_INTERVAL_US)
    mp_store_trim (self);
}

/* What is lent */

void
mp_store_set_message (MpStore *self,
                      const MpBlockRef *ref,
                      const MpBlockMessage *message,
                      gboolean copied)
{
  MpStoreEntry *entry = mp_store_get_entry (self, ref->index);

  atomic_store_explicit (&entry->length, ref->length, memory_order_relaxed);
  atomic_store_explicit (&entry->codec, (uint32_t) message->codec, memory_order_relaxed);
  atomic_store_explicit (&entry->deliveries, message->deliveries, memory_order_relaxed);
  atomic_store_explicit (&entry->copied, copied, memory_order_relaxed);
}

void
mp_store_get_message (MpStore *self, const MpBlockRef *ref, MpBlockMessage *message)
{
  MpStoreEntry *entry = mp_store_get_entry (self, ref->index);

  message->codec = (MpCodec) atomic_load_explicit (&entry->codec, memory_order_relaxed);
  message->deliveries = atomic_load_explicit (&entry->deliveries, memory_order_relaxed);
}

static gboolean
take_returned_at (MpStore *self, guint32 index, MpBlockState to, MpBlockRef *ref)
{
  MpStoreEntry *entry = mp_store_get_entry (self, index);
  guint32 us = get_us (self);
  guint64 word = atomic_load (&entry->word);
  /* Another one, so that who has had it before cannot mean it. */
  guint32 generation = (mp_store_word_generation (word) + 1) & MP_STORE_GENERATION_MASK;

  if (mp_store_word_state (word) != MP_BLOCK_LEASED || mp_store_word_owner (word) != 0 ||
      us == MP_PARTICIPANT_NONE || !change_word (self, index, &word, word_for (generation, to, us)))
    return FALSE;
  *ref = (MpBlockRef){ .index = index,
                       .generation = generation,
                       .length = atomic_load_explicit (&entry->length, memory_order_relaxed) };
  atomic_fetch_add_explicit (&entry->deliveries, 1, memory_order_relaxed);
  return TRUE;
}

gboolean
mp_store_take_returned (MpStore *self, MpBlockState to, MpBlockRef *ref)
{
  guint32 used = get_used (self);

  for (guint32 index = 0; index < used; index++)
    {
      if (take_returned_at (self, index, to, ref))
        return TRUE;
    }
  return FALSE;
}

gboolean
mp_store_return (MpStore *self, const MpBlockRef *ref)
{
  guint32 us = get_us (self);
  guint64 word = word_for (ref->generation, MP_BLOCK_LEASED, us);

  return us != MP_PARTICIPANT_NONE &&
         change_word (self, ref->index, &word, word_for (ref->generation, MP_BLOCK_LEASED, 0));
}

void
mp_store_give_back (MpStore *self, const MpBlockRef *ref)
{
  atomic_fetch_sub_explicit (&mp_store_get_entry (self, ref->index)->deliveries,
                             1,
                             memory_order_relaxed);
  mp_store_return (self, ref);
}

guint32
mp_store_count (MpStore *self, MpBlockState state, gboolean of_nobody)
{
  guint32 used = get_used (self), n = 0;

  for (guint32 index = 0; index < used; index++)
    {
      guint64 word = atomic_load (&self->entries[index].word);

      n += mp_store_word_state (word) == state && (mp_store_word_owner (word) == 0) == of_nobody;
    }
  return n;
}

guint32
mp_store_get_token (const MpBlockRef *ref)
{
  return ref->generation << MP_STORE_TOKEN_INDEX_BITS | (ref->index + 1);
}

void
mp_store_settle_token (MpStore *self, guint32 token)
{
  guint32 index = (token & ((1u << MP_STORE_TOKEN_INDEX_BITS) - 1)) - 1;
  guint64 word;
  MpBlockRef ref;

  if (index >= MP_STORE_MAX_BLOCKS)
    return;
  word = atomic_load (&mp_store_get_entry (self, index)->word);
  ref = (MpBlockRef){ .index = index, .generation = mp_store_word_generation (word) };
  /* Whoever owns it goes on owning it, and that may change meanwhile. */
  while (mp_store_word_state (word) == MP_BLOCK_ACKING &&
         mp_store_word_generation (word) == ref.generation && mp_store_get_token (&ref) == token &&
         !change_word (self,
                       index,
                       &word,
                       word_for (ref.generation, MP_BLOCK_TAKEN, mp_store_word_owner (word))))
    ;
}

/* After deaths */

void
mp_store_sweep_put (MpStore *self, guint32 head_items)
{
  guint32 used = get_used (self);

  for (guint32 index = 0; index < used; index++)
    {
      MpStoreEntry *entry = &self->entries[index];
      guint64 word = atomic_load (&entry->word);
      guint32 seq = atomic_load_explicit (&entry->seq, memory_order_relaxed);
      gboolean came = (gint32) (head_items - seq) > 0;

      if (mp_store_word_state (word) == MP_BLOCK_QUEUEING)
        change_word (self,
                     index,
                     &word,
                     word_for (mp_store_word_generation (word),
                               came ? MP_BLOCK_QUEUED : MP_BLOCK_FREE,
                               0));
    }
}

/* Where a block goes that was being taken by one who died with the lock. */
static guint64
settle_getting (MpStoreEntry *entry, guint64 word, guint32 tail_items)
{
  guint32 seq = atomic_load_explicit (&entry->seq, memory_order_relaxed);
  gboolean came = (gint32) (tail_items - seq) > 0;
  guint32 generation = mp_store_word_generation (word);

  if (came && mp_store_word_state (word) == MP_BLOCK_LEASING)
    return word_for (generation, MP_BLOCK_LEASED, mp_store_word_owner (word));
  if (came)
    return word_for (generation, MP_BLOCK_TAKEN, mp_store_word_owner (word));
  if (mp_store_word_state (word) == MP_BLOCK_LEASING &&
      atomic_load_explicit (&entry->copied, memory_order_relaxed) != 0)
    return word_for (generation, MP_BLOCK_FREE, 0);
  return word_for (generation, MP_BLOCK_QUEUED, 0);
}

void
mp_store_sweep_get (MpStore *self, guint32 tail_items)
{
  guint32 used = get_used (self);

  for (guint32 index = 0; index < used; index++)
    {
      MpStoreEntry *entry = &self->entries[index];
      guint64 word = atomic_load (&entry->word);
      MpBlockState state = mp_store_word_state (word);

      if (state == MP_BLOCK_TAKING || state == MP_BLOCK_LEASING)
        change_word (self, index, &word, settle_getting (entry, word, tail_items));
    }
}

static gboolean
is_dead (MpStore *self, guint32 owner, guint32 *last, gboolean *last_alive)
{
  MpParticipants *participants = mp_store_join (self);

  /* Many blocks have the same owner. */
  if (owner != *last)
    {
      *last = owner;
      *last_alive = participants == NULL || mp_participants_is_alive (participants, owner);
    }
  return !*last_alive;
}

static MpStoreFinds
sweep_word (MpStore *self, guint32 index, guint64 word, MpStoreAcking acking, gpointer user_data)
{
  guint32 us = get_us (self);
  guint32 generation = mp_store_word_generation (word);
  MpBlockRef ref = { .index = index, .generation = generation };

  switch (mp_store_word_state (word))
    {
    case MP_BLOCK_OWNED:
      /* It may have died while it filled it, or gave its memory back. */
      if (us != MP_PARTICIPANT_NONE &&
          change_word (self, index, &word, word_for (generation, MP_BLOCK_OWNED, us)))
        {
          mp_store_drop_rest (self, index);
          mp_store_give_free (self, &ref);
        }
      return 0;
    case MP_BLOCK_TAKEN:
      if (change_word (self, index, &word, word_for (generation, MP_BLOCK_FREE, 0)))
        push_recent (self, index);
      return 0;
    case MP_BLOCK_LEASED:
      change_word (self, index, &word, word_for (generation, MP_BLOCK_LEASED, 0));
      return MP_STORE_RETURNED;
    case MP_BLOCK_ACKING:
      if (acking != NULL && us != MP_PARTICIPANT_NONE &&
          change_word (self, index, &word, word_for (generation, MP_BLOCK_ACKING, us)))
        acking (user_data, &ref);
      return 0;
    /* The one who inherits the lock does it. */
    case MP_BLOCK_QUEUEING:
      return MP_STORE_PUTTING;
    case MP_BLOCK_TAKING:
    case MP_BLOCK_LEASING:
      return MP_STORE_GETTING;
    case MP_BLOCK_FREE:
    case MP_BLOCK_QUEUED:
    default:
      return 0;
    }
}

MpStoreFinds
mp_store_sweep_dead (MpStore *self, MpStoreAcking acking, gpointer user_data)
{
  guint32 used = get_used (self), last = MP_PARTICIPANT_NONE;
  MpStoreFinds finds = 0;
  gboolean alive = TRUE;

  for (guint32 index = 0; index < used; index++)
    {
      guint64 word = atomic_load (&self->entries[index].word);
      guint32 owner = mp_store_word_owner (word);

      if (mp_store_word_state (word) == MP_BLOCK_LEASED && owner == 0)
        finds |= MP_STORE_RETURNED;
      else if (owner != 0 && is_dead (self, owner, &last, &alive))
        finds |= sweep_word (self, index, word, acking, user_data);
    }
  return finds;
}

/* Memory that is not used */

static void
punch (MpStore *self, guint32 index)
{
  MpBlockRef ref;

  if (!take_index (self, index, 0, &ref))
    return;
  mp_store_unmap (self, index);
  mp_store_drop_memory (self, index);
  mp_store_change (self, &ref, MP_BLOCK_OWNED, MP_BLOCK_FREE);
}

void
mp_store_trim (MpStore *self)
{
  guint64 now = (guint64) g_get_monotonic_time (), kept = 0;
  guint32 used = get_used (self);

  atomic_store_explicit (&self->trimmed_at, (gint64) now, memory_order_relaxed);

  for (guint32 index = 0; index < used; index++)
    {
      MpStoreEntry *entry = &self->entries[index];
      guint64 word = atomic_load_explicit (&entry->word, memory_order_relaxed);

      if (mp_store_word_state (word) != MP_BLOCK_FREE || get_backed (self, index) == 0)
        continue;
      kept += MIN (get_backed (self, index), MP_STORE_MAX_LENGTH);
      if (kept > KEPT_BYTES &&
          now - atomic_load_explicit (&entry->freed_at, memory_order_relaxed) >= KEPT_US)
        punch (self, index);
    }
}

void
mp_store_trim_emptied (MpStore *self, guint64 length)
{
  MpStoreShared *shared = self->shared;
  guint64 limit = MAX (KEPT_BYTES, KEPT_MESSAGES * MIN (length, MP_STORE_MAX_LENGTH));
  guint64 backed = atomic_load_explicit (&shared->backed, memory_order_relaxed), kept = 0;
  gint64 before = atomic_load_explicit (&shared->emptied_at, memory_order_relaxed);
  gint64 now;

  if (G_LIKELY (backed <= limit))
    return;
  now = g_get_monotonic_time ();
  if ((now - before < KEPT_US && backed <= MUCH_BYTES) ||
      !atomic_compare_exchange_strong (&shared->emptied_at, &before, now))
    return;
  for (guint32 index = 0; index < get_used (self); index++)
    {
      guint64 word = atomic_load_explicit (&self->entries[index].word, memory_order_relaxed);

      if (mp_store_word_state (word) == MP_BLOCK_FREE && get_backed (self, index) != 0 &&
          kept + get_backed (self, index) > limit)
        punch (self, index);
      else
        kept += get_backed (self, index);
    }
  atomic_store_explicit (&shared->backed, kept, memory_order_relaxed);
}

guint64
mp_store_get_memory (MpStore *self)
{
  guint32 used = get_used (self);
  guint64 memory = 0;

  for (guint32 index = 0; index < used; index++)
    memory += get_backed (self, index);
  return memory;
}

void
mp_store_age (MpStore *self, guint32 index, gint64 time_us)
{
  atomic_fetch_sub (&mp_store_get_entry (self, index)->freed_at, (uint64_t) time_us);
}
