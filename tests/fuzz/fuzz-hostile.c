/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "fuzz-hostile.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../libmp/memory/mp-shareable.h"

#define MAX_TARGETS 32
/* As in mp-participants.c. */
#define TABLE_HEAD 64
#define ENTRY_SIZE 16
#define PEER_INDEX 1u
#define PEER_GENERATION 1024u
#define INDEX_BITS 12
/* The file is not made longer than that. */
#define MAX_FILE (64 * 1024 * 1024)

typedef struct
{
  guint32 slot;
  guint32 generation;
  guint8 *memory;
  gsize size;
} Target;

static MpArena *arena;
static Target targets[MAX_TARGETS];
static guint n_targets;
static int peer_fd = -1;

static void
write_at (guint64 offset, gconstpointer data, gsize length)
{
  if (offset + length <= MAX_FILE && pwrite (arena->segment.fd, data, length, (off_t) offset) < 0)
    fuzz_fail ("a write of %zu bytes at %" G_GUINT64_FORMAT " failed", length, offset);
}

/* --- The peer --------------------------------------------------------------- */

static guint64
get_entry (guint index)
{
  return arena->participants->offset + TABLE_HEAD + (guint64) index * ENTRY_SIZE;
}

void
fuzz_hostile_toggle_peer (void)
{
  struct flock range = { .l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t) (arena->participants->offset + PEER_INDEX),
                         .l_len = 1 };
  guint32 entry[2] = { PEER_GENERATION, 1 };
  char path[32];

  if (peer_fd >= 0)
    {
      close (peer_fd);
      peer_fd = -1;
      return;
    }
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", arena->segment.fd);
  peer_fd = open (path, O_RDWR | O_CLOEXEC);
  if (peer_fd < 0 || fcntl (peer_fd, F_OFD_SETLK, &range) != 0)
    fuzz_fail ("no peer");
  write_at (get_entry (PEER_INDEX), entry, sizeof entry);
}

static guint32
get_self (void)
{
  return mp_participants_get_self_word (arena->participants);
}

static guint32
get_peer (void)
{
  return PEER_GENERATION << INDEX_BITS | (PEER_INDEX + 1);
}

/* What we held is held by the peer. */
static void
hand_over (guint32 number)
{
  MpArenaChunk *chunk = &arena->chunks[number];

  for (guint32 i = 0; i < chunk->n_locals; i++)
    {
      MpArenaSlot *slot = &mp_arena_slots (chunk)[i];

      if (chunk->locals[i].generation != 0 && slot->holder == get_self ())
        slot->holder = get_peer ();
    }
}

void
fuzz_hostile_fork (void)
{
  pthread_mutex_lock (&arena->mutex);
  arena->n_forks++;
  for (guint32 i = 1; i < MP_ARENA_N_CHUNKS; i++)
    {
      if (arena->chunks[i].locals != NULL)
        hand_over (i);
    }
  mp_arena_forget_lingers (arena);
  mp_arena_inherit_blocks (arena);
  pthread_mutex_unlock (&arena->mutex);
}

/* --- Beginning and end ------------------------------------------------------ */

MpArena *
fuzz_hostile_begin (void)
{
  mp_arena_drop_default ();
  arena = mp_arena_ref_default (NULL);
  if (arena == NULL)
    fuzz_fail ("no arena");
  fuzz_may_stall (&arena->shared->lock, FUTEX_OWNER_DIED);
  fuzz_hostile_toggle_peer ();
  return arena;
}

void
fuzz_hostile_end_lingers (void)
{
  pthread_mutex_lock (&arena->mutex);
  while (arena->linger_ref)
    {
      for (gsize i = arena->linger_begin; i < arena->linger_end; i++)
        arena->lingers[i].until = 0;
      mp_arena_work_off_lingers (arena);
    }
  pthread_mutex_unlock (&arena->mutex);
}

void
fuzz_hostile_end (void)
{
  fuzz_hostile_end_lingers ();
  if (peer_fd >= 0)
    fuzz_hostile_toggle_peer ();
  fuzz_forget_stalls ();
  n_targets = 0;
  mp_arena_drop_default ();
  g_clear_pointer (&arena, mp_arena_unref);
  if (mp_arena_is_any ())
    fuzz_fail ("an arena is left");
}

/* --- Targets ---------------------------------------------------------------- */

void
fuzz_hostile_add_block (guint32 slot, guint32 generation, gpointer memory, gsize size)
{
  targets[n_targets % MAX_TARGETS] =
    (Target){ .slot = slot, .generation = generation, .memory = memory, .size = size };
  n_targets++;
}

gpointer
fuzz_hostile_add_object (gpointer object)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = mp_shareable_to_handle (object, fd_list, NULL);
  g_autoptr (GVariant) layout = handle != NULL ? g_variant_get_child_value (handle, 2) : NULL;
  guint32 slot, generation;
  MpArenaChunk *chunk;
  gpointer memory;

  if (layout == NULL || !g_variant_lookup (layout, "slot", "u", &slot) ||
      !g_variant_lookup (layout, "generation", "u", &generation))
    return NULL;
  chunk = &arena->chunks[mp_arena_chunk_of (slot)];
  memory = mp_arena_memory (chunk, mp_arena_index_of (slot));
  fuzz_hostile_add_block (slot,
                          generation,
                          memory,
                          (gsize) 1 << mp_arena_class_shift (chunk->class_));
  return memory;
}

static const Target *
choose_target (FuzzInput *input)
{
  static const Target none = { .slot = 0 };

  return n_targets > 0 ? &targets[fuzz_choose (input, MIN (n_targets, MAX_TARGETS))] : &none;
}

guint32
fuzz_hostile_slot (FuzzInput *input, guint32 *generation)
{
  guint8 choice = fuzz_u8 (input);
  const Target *target;

  *generation = 1;
  if ((choice & 3) == 0)
    return mp_arena_slot_number (choice >> 2 & 15, fuzz_u8 (input));
  if ((choice & 3) == 1)
    return fuzz_u32 (input);
  target = choose_target (input);
  *generation = target->generation + ((choice & 4) != 0 ? fuzz_u8 (input) : 0);
  return target->slot;
}

/* --- What is written -------------------------------------------------------- */

guint32
fuzz_hostile_participant (FuzzInput *input)
{
  switch (fuzz_choose (input, 3))
    {
    case 0:
      return get_self ();
    case 1:
      return get_peer ();
    default:
      return PEER_GENERATION << INDEX_BITS | (fuzz_u8 (input) + 3u);
    }
}

guint32
fuzz_hostile_word (FuzzInput *input)
{
  guint32 generation;

  switch (fuzz_choose (input, 16))
    {
    case 0:
      return 0;
    case 1:
      return fuzz_u8 (input);
    case 2:
      return G_MAXUINT32 - fuzz_u8 (input);
    case 3:
      return get_self ();
    case 4:
      return get_self () | (guint32) fuzz_u8 (input) << 24;
    case 5:
      return get_peer ();
    case 6:
      return get_peer () | (guint32) fuzz_u8 (input) << 24;
    case 7: /* Dead. */
      return PEER_GENERATION << INDEX_BITS | (fuzz_u8 (input) + 3u);
    case 8:
      return (guint32) fuzz_u8 (input) << 24;
    case 9:
      return fuzz_hostile_slot (input, &generation);
    case 10:
      return (guint32) syscall (SYS_gettid) | (guint32) (fuzz_u8 (input) & 0xc0) << 24;
    case 11:
      return 1u << (fuzz_u8 (input) & 31);
    case 12:
      return (1u << (fuzz_u8 (input) & 31)) - 1;
    case 13:
      return choose_target (input)->generation + fuzz_u8 (input);
    case 14:
      return fuzz_u16 (input);
    default:
      return fuzz_u32 (input);
    }
}

/* Writes a word at @offset, or some of its bytes, or as many as there are. */
static void
poke_at (FuzzInput *input, guint64 offset)
{
  guint8 how = fuzz_u8 (input);
  guint32 words[2];
  const guint8 *bytes;
  gsize length;

  switch (how & 3)
    {
    case 0:
    case 1:
      words[0] = fuzz_hostile_word (input);
      write_at (offset, words, sizeof words[0]);
      break;
    case 2:
      words[0] = fuzz_hostile_word (input);
      words[1] = fuzz_hostile_word (input);
      write_at (offset, words, sizeof words);
      break;
    default:
      bytes = fuzz_bytes (input, how >> 2, &length);
      write_at (offset, bytes, length);
      break;
    }
}

/* As if somebody had died in the middle of changes. */
static void
poke_journal (FuzzInput *input)
{
  guint32 n = fuzz_choose (input, 16);
  MpArenaShared *shared = arena->shared;

  for (guint32 i = 0; i < MIN (n, MP_ARENA_MAX_CHANGES); i++)
    {
      guint8 chunk = fuzz_u8 (input);
      guint32 offset = (chunk & 0x80) != 0 ? fuzz_u32 (input) : fuzz_u16 (input) * 4u;

      shared->changes[i].chunk = chunk & 0x1f;
      shared->changes[i].offset = offset;
      shared->changes[i].value = fuzz_hostile_word (input);
    }
  shared->n_changes = n == 15 ? fuzz_hostile_word (input) : n;
}

/* Somebody sleeps on something, or so it seems. */
static void
poke_wait (FuzzInput *input)
{
  MpArenaWait *wait = &arena->waits[fuzz_u8 (input)];
  guint32 generation = 0;

  wait->slot = fuzz_hostile_slot (input, &generation);
  wait->participant = fuzz_hostile_word (input);
  wait->thread = fuzz_hostile_word (input);
  wait->generation = generation;
  wait->since = (gint64) fuzz_u64 (input);
}

/* What is known about a slot, of a chunk that exists or not. */
static guint64
find_metadata (FuzzInput *input)
{
  guint32 number = fuzz_u8 (input) & 15;
  guint64 offset = arena->shared->chunks[number].offset;

  return arena->segment.header.size + offset % 1024 * MP_ARENA_UNIT + 4u * fuzz_u8 (input);
}

/* The number of a slot or a hold that may be there; of a hold rather. */
static guint32
choose_number (FuzzInput *input)
{
  guint8 choice = fuzz_u8 (input);
  guint32 number = 1;

  while (number < 15 && (choice & 0x80) == 0 &&
         arena->shared->chunks[number].class_ != MP_ARENA_CLASS_HOLDS)
    number++;
  if (number == 15 || (choice & 0x80) != 0)
    number = choice & 7;
  return mp_arena_slot_number (number, choice >> 3 & 15);
}

/* A chain or a list of free ones that leads elsewhere, or round and round. */
static void
poke_link (FuzzInput *input)
{
  guint32 number = choose_number (input), link = choose_number (input);
  MpArenaChunk *chunk = &arena->chunks[mp_arena_chunk_of (number)];
  guint32 index = mp_arena_index_of (number);
  guint32 generation, slot = fuzz_hostile_slot (input, &generation);
  MpArenaChunk *held = &arena->chunks[MIN (mp_arena_chunk_of (slot), MP_ARENA_N_CHUNKS - 1)];

  if (held->map != NULL && held->class_ != MP_ARENA_CLASS_HOLDS &&
      mp_arena_index_of (slot) < held->n_slots)
    mp_arena_slots (held)[mp_arena_index_of (slot)].next = number;
  if (chunk->map == NULL || index >= chunk->n_slots)
    return;
  if (chunk->class_ == MP_ARENA_CLASS_HOLDS)
    {
      mp_arena_holds (chunk)[index].holder = fuzz_hostile_participant (input);
      mp_arena_holds (chunk)[index].next = link;
      arena->shared->chunks[mp_arena_chunk_of (number)].used |= index + 1;
    }
  else
    mp_arena_slots (chunk)[index].next = link;
}

static guint64
find_state (FuzzInput *input)
{
  gsize begin = G_STRUCT_OFFSET (MpArenaShared, n_blocks);
  gsize n = (G_STRUCT_OFFSET (MpArenaShared, chunks) - begin) / 4;

  return begin + 4 * (fuzz_u8 (input) % n);
}

static void
poke_object (FuzzInput *input)
{
  const Target *target = choose_target (input);
  guint32 offset = fuzz_u8 (input) * 4u, value = fuzz_hostile_word (input);

  if ((offset & 0x200) != 0)
    offset += 4u * fuzz_u16 (input);
  if (target->memory != NULL && offset + sizeof value <= target->size)
    memcpy (target->memory + offset, &value, sizeof value);
}

void
fuzz_hostile_poke (FuzzInput *input)
{
  switch (fuzz_choose (input, 13))
    {
    case 12:
      poke_link (input);
      break;
    case 0:
      poke_at (input, fuzz_u32 (input) % MAX (mp_segment_get_size (&arena->segment), 1));
      break;
    case 1:
      poke_journal (input);
      break;
    case 2:
      poke_at (input, find_state (input));
      break;
    case 3:
      poke_at (input, G_STRUCT_OFFSET (MpArenaShared, chunks) + 4u * fuzz_u8 (input));
      break;
    case 4:
      poke_at (input, arena->participants->offset + 4u * fuzz_u8 (input));
      break;
    case 5:
      poke_wait (input);
      break;
    case 6:
    case 7:
      poke_at (input, find_metadata (input));
      break;
    case 8:
      poke_at (input, G_STRUCT_OFFSET (MpArenaShared, lock));
      break;
    default:
      poke_object (input);
      break;
    }
}
