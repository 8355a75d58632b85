/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The memory of blocks: where it lies, how it is filled and mapped.
 *
 * Fresh memory is written by a system call, which does not have to clear it first; memory
 * that was used before through a mapping, made with all of its pages and kept. */

#include "mp-store-layout-private.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../base/mp-copy-private.h"

#define MAX_VECTORS 64
/* So much is copied before the memory that it came from is given back. */
#define COPY_STEP ((guint64) 32 << 20)

static gsize
get_table_size (void)
{
  return MP_STORE_HEADER_SIZE + MP_STORE_MAX_BLOCKS * sizeof (MpStoreEntry);
}

static guint64
get_end (void)
{
  return MP_STORE_BLOCKS_OFFSET + MP_STORE_MAX_BLOCKS * MP_STORE_MAX_LENGTH;
}

MpStore *
mp_store_new (MpSegment *segment, _Atomic uint32_t *used, gboolean make)
{
  MpStore *self;
  guint8 *memory;

  /* The file gets all the room there will ever be; it takes memory as it is used. */
  if (make && !mp_segment_grow (segment, get_end ()))
    return NULL;
  if (mp_segment_get_size (segment) < get_end ())
    {
      errno = EFAULT;
      return NULL;
    }
  if (make && !mp_segment_allocate (segment, MP_STORE_OFFSET, get_table_size ()))
    return NULL;
  memory = mp_segment_map (segment, MP_STORE_OFFSET, get_table_size ());
  if (memory == NULL)
    return NULL;
  self = g_new0 (MpStore, 1);
  self->segment = segment;
  self->used = used;
  self->mapped_length = get_table_size ();
  self->shared = (MpStoreShared *) (gpointer) memory;
  self->entries = (MpStoreEntry *) (gpointer) (memory + MP_STORE_HEADER_SIZE);
  self->maps = g_malloc0_n (MP_STORE_MAX_BLOCKS, sizeof *self->maps);
  mp_store_join (self);
  return self;
}

MpParticipants *
mp_store_join (MpStore *self)
{
  MpParticipants *participants = atomic_load_explicit (&self->participants, memory_order_acquire);
  MpParticipants *expected = NULL;

  if (G_LIKELY (participants != NULL))
    return participants;
  participants = mp_participants_new_in (self->segment,
                                         MP_STORE_OFFSET + get_table_size (),
                                         MP_STORE_MAX_PARTICIPANTS,
                                         NULL);
  /* Two threads may have had the same idea. */
  if (participants == NULL ||
      atomic_compare_exchange_strong (&self->participants, &expected, participants))
    return participants;
  mp_participants_free (participants);
  return expected;
}

void
mp_store_free (MpStore *self)
{
  for (guint32 index = 0; index < MP_STORE_MAX_BLOCKS; index++)
    mp_store_unmap (self, index);
  if (self->participants != NULL)
    mp_participants_free (self->participants);
  munmap (self->shared, self->mapped_length);
  g_free (self->maps);
  g_free (self);
}

void
mp_store_map_free (MpStoreMap *map)
{
  if (map == NULL)
    return;
  munmap (map->data, map->length);
  g_free (map);
}

void
mp_store_unmap (MpStore *self, guint32 index)
{
  mp_store_map_free (atomic_exchange (&self->maps[index % MP_STORE_MAX_BLOCKS], NULL));
}

void
mp_store_give_map (MpStore *self, const MpBlockRef *ref, MpStoreMap *map)
{
  mp_store_map_free (atomic_exchange (&self->maps[ref->index % MP_STORE_MAX_BLOCKS], map));
}

static MpRingStatus
status_of_errno (void)
{
  return errno == EFAULT ? MP_RING_CORRUPT : MP_RING_NO_MEMORY;
}

static guint64
round_up (guint64 length)
{
  guint64 page = mp_segment_get_page_size ();

  return (MAX (length, 1) + page - 1) / page * page;
}

void
mp_store_drop_memory (MpStore *self, guint32 index)
{
  guint64 backed =
    atomic_exchange_explicit (&mp_store_get_entry (self, index)->backed, 0, memory_order_relaxed);

  atomic_fetch_sub_explicit (&self->shared->backed, backed, memory_order_relaxed);
  mp_segment_punch (self->segment, mp_store_get_offset (index), MIN (backed, MP_STORE_MAX_LENGTH));
}

void
mp_store_drop_rest (MpStore *self, guint32 index)
{
  guint64 backed =
    atomic_load_explicit (&mp_store_get_entry (self, index)->backed, memory_order_relaxed);

  if (backed < MP_STORE_MAX_LENGTH)
    mp_segment_punch (self->segment,
                      mp_store_get_offset (index) + backed,
                      MP_STORE_MAX_LENGTH - backed);
}

static void
note_backed (MpStore *self, guint32 index, guint64 backed)
{
  MpStoreEntry *entry = mp_store_get_entry (self, index);
  guint64 before = atomic_load_explicit (&entry->backed, memory_order_relaxed);

  if (before >= backed)
    return;
  atomic_store_explicit (&entry->backed, backed, memory_order_relaxed);
  atomic_fetch_add_explicit (&self->shared->backed, backed - before, memory_order_relaxed);
}

/* Whether somebody has put something there: whoever fills a block touches all of its pages. So
 * nobody gets us to take memory by saying that it is there. EFAULT if not. */
static gboolean
is_filled (MpStore *self, guint64 offset, guint64 length)
{
  off_t hole = lseek (self->segment->fd, (off_t) offset, SEEK_HOLE);

  if (hole >= 0 && (guint64) hole >= offset + length)
    return TRUE;
  errno = EFAULT;
  return FALSE;
}

/* Takes memory: the pages are there, or there is an error. */
static gboolean
back (MpStore *self, guint64 offset, guint64 length, MpStoreMap *map)
{
  if (!mp_segment_allocate (self->segment, offset, length))
    return FALSE;
  /* Those that were given back since they were mapped; see is_filled(). */
  for (gsize i = 0; map != NULL && i < length; i += mp_segment_get_page_size ())
    (void) *(volatile guint8 *) &map->data[i];
  return TRUE;
}

static MpStoreMap *
map_new (MpStore *self, guint64 offset, gsize length)
{
  MpStoreMap *map;
  gpointer memory = mmap (NULL,
                          length,
                          PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_POPULATE,
                          self->segment->fd,
                          (off_t) offset);

  if (memory == MAP_FAILED)
    return NULL;
  map = g_new (MpStoreMap, 1);
  *map = (MpStoreMap){ .data = memory, .length = length };
  return map;
}

MpStoreMap *
mp_store_map (MpStore *self, const MpBlockRef *ref, gboolean filled)
{
  guint32 index = ref->index % MP_STORE_MAX_BLOCKS;
  guint64 offset = mp_store_get_offset (index), length = round_up (ref->length);
  MpStoreMap *map;

  if (ref->length > MP_STORE_MAX_LENGTH)
    {
      errno = EFAULT;
      return NULL;
    }
  map = atomic_exchange (&self->maps[index], NULL);
  if (map != NULL && map->length < ref->length)
    {
      mp_store_map_free (map);
      map = NULL;
    }
  if (map != NULL &&
      atomic_load_explicit (&self->entries[index].backed, memory_order_relaxed) >= ref->length)
    return map;
  if (filled ? !is_filled (self, offset, length) : !back (self, offset, length, map))
    {
      int saved = errno;

      mp_store_map_free (map);
      errno = saved;
      return NULL;
    }
  note_backed (self, index, length);
  return map != NULL ? map : map_new (self, offset, length);
}

gboolean
mp_store_check_filled (MpStore *self, const MpBlockRef *ref)
{
  MpStoreMap *map = atomic_exchange (&self->maps[ref->index % MP_STORE_MAX_BLOCKS], NULL);
  gboolean mapped = map != NULL && map->length >= ref->length;

  if (map != NULL)
    mp_store_give_map (self, ref, map);
  return mapped || is_filled (self, mp_store_get_offset (ref->index), round_up (ref->length));
}

gboolean
mp_store_make_private (MpStore *self, const MpBlockRef *ref, MpStoreMap *map)
{
  gsize length = (gsize) round_up (ref->length);
  gpointer memory = mmap (NULL,
                          length,
                          PROT_READ | PROT_WRITE,
                          MAP_PRIVATE,
                          self->segment->fd,
                          (off_t) mp_store_get_offset (ref->index));
  int saved;

  if (memory == MAP_FAILED)
    return FALSE;
  /* Not there at once: if that failed, nothing might be mapped there. */
  if (mremap (memory, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, map->data) != MAP_FAILED)
    return TRUE;
  saved = errno;
  munmap (memory, length);
  errno = saved;
  return FALSE;
}

/* A private page is a copy once it is written. This writes what is there, whoever else writes at
 * the same time. */
static gboolean
copy_pages (guint8 *memory, gsize length)
{
#ifdef MADV_POPULATE_WRITE
  if (madvise (memory, length, MADV_POPULATE_WRITE) == 0)
    return TRUE;
  /* Else the kernel does not know it. */
  if (errno != EINVAL)
    return FALSE;
#endif
  for (gsize i = 0; i < length; i += mp_segment_get_page_size ())
    {
      _Atomic uint8_t *place = (_Atomic uint8_t *) &memory[i];
      uint8_t byte = atomic_load (place);

      while (!atomic_compare_exchange_weak (place, &byte, byte))
        ;
    }
  return TRUE;
}

gboolean
mp_store_copy_private (MpStore *self, const MpBlockRef *ref, MpStoreMap *map)
{
  guint64 length = round_up (ref->length);

  for (guint64 i = 0; i < length; i += COPY_STEP)
    {
      guint64 n = MIN (COPY_STEP, length - i);

      if (!copy_pages (map->data + i, n))
        return FALSE;
      mp_segment_punch (self->segment, mp_store_get_offset (ref->index) + i, n);
    }
  mp_store_drop_memory (self, ref->index);
  return TRUE;
}

/* Beyond this limit the kernel sends SIGXFSZ to who writes. */
static gboolean
may_write (guint64 end)
{
  struct rlimit limit;

  return getrlimit (RLIMIT_FSIZE, &limit) == 0 &&
         (limit.rlim_cur == RLIM_INFINITY || end <= limit.rlim_cur);
}

/* Moves @vectors on by @written bytes. */
static guint
skip (struct iovec *vectors, guint n, gsize written)
{
  guint done = 0;

  while (done < n && written >= vectors[done].iov_len)
    written -= vectors[done++].iov_len;
  if (done < n)
    {
      vectors[done].iov_base = (guint8 *) vectors[done].iov_base + written;
      vectors[done].iov_len -= written;
    }
  memmove (vectors, vectors + done, (n - done) * sizeof *vectors);
  return n - done;
}

static gboolean
write_vectors (MpStore *self, guint64 *offset, struct iovec *vectors, guint n)
{
  while (n > 0)
    {
      gssize written = pwritev (self->segment->fd, vectors, (int) n, (off_t) *offset);

      if (written < 0 && errno == EINTR)
        continue;
      if (written <= 0)
        return FALSE;
      *offset += (guint64) written;
      n = skip (vectors, n, (gsize) written);
    }
  return TRUE;
}

static gboolean
write_fresh (MpStore *self, const MpBlockRef *ref, const GOutputVector *parts, guint n_parts)
{
  guint64 offset = mp_store_get_offset (ref->index);
  struct iovec vectors[MAX_VECTORS];
  guint n = 0;

  for (guint i = 0; i < n_parts; i++)
    {
      if (parts[i].size > 0)
        vectors[n++] =
          (struct iovec){ .iov_base = (gpointer) parts[i].buffer, .iov_len = parts[i].size };
      if (n > 0 && (n == MAX_VECTORS || i + 1 == n_parts))
        {
          if (!write_vectors (self, &offset, vectors, n))
            return FALSE;
          n = 0;
        }
    }
  note_backed (self, ref->index, round_up (ref->length));
  return TRUE;
}

MpRingStatus
mp_store_fill (MpStore *self, const MpBlockRef *ref, const GOutputVector *parts, guint n_parts)
{
  guint64 end = mp_store_get_offset (ref->index) + ref->length;
  MpStoreMap *map;

  if (atomic_load_explicit (&mp_store_get_entry (self, ref->index)->backed, memory_order_relaxed) <
        ref->length &&
      may_write (end))
    {
      MpRingStatus status = MP_RING_DONE;

      if (!write_fresh (self, ref, parts, n_parts))
        {
          status = status_of_errno ();
          mp_store_drop_rest (self, ref->index);
        }
      return status;
    }
  map = mp_store_map (self, ref, FALSE);
  if (map == NULL)
    return status_of_errno ();
  mp_copy_parts (map->data, parts, n_parts);
  mp_store_give_map (self, ref, map);
  return MP_RING_DONE;
}
