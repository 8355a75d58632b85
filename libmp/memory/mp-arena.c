/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The arena: many small objects in one growable file.
 *
 * The file begins with what is known about the whole, a table of participants
 * (mp-participants.c), and one of who waits for what. The rest are chunks, each
 * an array of slots of one class, a power of two (mp-arena-chunks.c). A block is
 * a slot in use. What is known about slots lies apart from their memory: who
 * holds the block, of what kind and how long it is, and a generation, which
 * tells the blocks apart that were in one slot one after the other
 * (mp-arena-slots.c).
 *
 * All this is changed under one micro-lock, several words at a time, of which
 * all change or none, whoever is killed at whatever instruction
 * (mp-arena-changes.c). So there is no state in between that anybody would
 * have to repair. What dead processes hold is found by looking at all slots
 * (mp-arena-sweep.c).
 *
 * A process holds a block once, however many MpBlocks it has of it: they are
 * counted in its own memory (mp-block.c). A child of fork() holds what its
 * parent held from the moment in which fork() returns; until then the parent
 * counts as alive, even if it is killed meanwhile (mp-participants.c), and if the
 * parent drops the block it lingers.
 *
 * Locks: the registry's, then the arena's mutex, then the participants', then
 * the micro-lock. The handlers of fork() take them in that order. */

#include "mp-arena-layout-private.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#define PARTICIPANTS_OFFSET mp_arena_round_up (sizeof (MpArenaShared), MP_ARENA_LINE)
#define WAITS_OFFSET                                                                               \
  mp_arena_round_up (PARTICIPANTS_OFFSET +                                                         \
                       mp_participants_get_table_size (MP_ARENA_MAX_PARTICIPANTS),                 \
                     MP_ARENA_LINE)
#define CHUNKS_OFFSET                                                                              \
  mp_arena_round_up (WAITS_OFFSET + MP_ARENA_N_WAITS * sizeof (MpArenaWait), MP_ARENA_UNIT)

/* The arenas of this process. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static MpArena *_Atomic registry; /* read elsewhere, too */
static MpArena *default_arena;

static void
before_fork (void)
{
  pthread_mutex_lock (&registry_lock);
  for (MpArena *self = registry; self != NULL; self = self->next)
    pthread_mutex_lock (&self->mutex);
}

static void
unlock_all (void)
{
  for (MpArena *self = registry; self != NULL; self = self->next)
    pthread_mutex_unlock (&self->mutex);
  pthread_mutex_unlock (&registry_lock);
}

static void
after_fork_in_parent (void)
{
  for (MpArena *self = registry; self != NULL; self = self->next)
    self->n_forks++;
  unlock_all ();
}

/* After that of the participants: what was held is held again. */
static void
after_fork_in_child (void)
{
  unlock_all ();
}

/* Before the constructors of those who use arenas, see mp-participants.c. */
__attribute__ ((constructor (201))) static void
watch_forks (void)
{
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}

/* In the forked child, while the parent counts as alive. */
static void
forked_cb (gpointer user_data)
{
  MpArena *self = user_data;

  mp_arena_forget_lingers (self);
  mp_arena_inherit_blocks (self);
}

static void
arena_free (MpArena *self)
{
  if (self->participants != NULL)
    mp_participants_free (self->participants);
  mp_arena_unmap_chunks (self);
  if (self->shared != NULL)
    munmap (self->shared, CHUNKS_OFFSET);
  /* If the program has closed it, it is not ours to close any more. */
  if (self->inode == 0 || mp_fd_is_file (self->segment.fd, self->device, self->inode))
    mp_segment_clear (&self->segment);
  pthread_mutex_destroy (&self->mutex);
  g_free (self->lingers);
  g_free (self);
}

/* Under the registry's lock: takes what is in @segment. */
static MpArena *
arena_new_take (MpSegment *segment, GError **error)
{
  MpArena *self = g_new0 (MpArena, 1);
  struct stat status;

  pthread_mutex_init (&self->mutex, NULL);
  self->first_big_class = g_bit_storage (mp_segment_get_page_size ()) - 1 - MP_ARENA_MIN_SHIFT;
  self->ref_count = 1;
  self->segment = *segment;
  segment->fd = -1;
  if (!mp_micro_lock_check (error))
    {
      arena_free (self);
      return NULL;
    }
  if (self->segment.header.size != CHUNKS_OFFSET)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "The header of an arena is corrupt");
      arena_free (self);
      return NULL;
    }
  self->shared = mp_segment_map (&self->segment, 0, CHUNKS_OFFSET);
  if (self->shared == NULL || fstat (self->segment.fd, &status) != 0)
    {
      mp_set_error_from_errno (error, errno, "Mapping an arena");
      arena_free (self);
      return NULL;
    }
  self->device = status.st_dev;
  self->inode = status.st_ino;
  self->waits = (gpointer) ((guint8 *) self->shared + WAITS_OFFSET);
  self->participants =
    mp_participants_new_in (&self->segment, PARTICIPANTS_OFFSET, MP_ARENA_MAX_PARTICIPANTS, error);
  if (self->participants == NULL)
    {
      arena_free (self);
      return NULL;
    }
  mp_participants_set_forked_func (self->participants, forked_cb, self);
  self->next = registry;
  registry = self;
  return self;
}

/* Under the registry's lock. */
static MpArena *
arena_new (GError **error)
{
  guint64 parameters[MP_SEGMENT_N_PARAMETERS] = { 0 };
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;

  if (getrandom (&parameters[MP_ARENA_PARAMETER_ID], 2 * sizeof (guint64), 0) !=
      2 * sizeof (guint64))
    {
      mp_set_error_from_errno (error, errno, "Naming an arena");
      return NULL;
    }
  if (!mp_segment_create (&segment,
                          "mp-arena",
                          MP_ARENA_KIND,
                          MP_ARENA_VERSION,
                          CHUNKS_OFFSET,
                          TRUE,
                          parameters,
                          error))
    return NULL;
  if (!mp_segment_allocate (&segment, 0, CHUNKS_OFFSET))
    {
      mp_set_error_from_errno (error, errno, "Making an arena");
      return NULL;
    }
  return arena_new_take (&segment, error);
}

MpArena *
mp_arena_new (GError **error)
{
  MpArena *self;

  pthread_mutex_lock (&registry_lock);
  self = arena_new (error);
  pthread_mutex_unlock (&registry_lock);
  return self;
}

MpArena *
mp_arena_ref_default (GError **error)
{
  MpArena *self;

  pthread_mutex_lock (&registry_lock);
  if (default_arena == NULL)
    default_arena = arena_new (error);
  self = default_arena != NULL ? mp_arena_ref (default_arena) : NULL;
  pthread_mutex_unlock (&registry_lock);
  return self;
}

void
mp_arena_drop_default (void)
{
  MpArena *self;

  pthread_mutex_lock (&registry_lock);
  self = g_steal_pointer (&default_arena);
  pthread_mutex_unlock (&registry_lock);
  g_clear_pointer (&self, mp_arena_unref);
}

MpArena *
mp_arena_attach (int fd, GError **error)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  MpArena *self, *found = NULL;
  struct stat status;

  if (fstat (fd, &status) != 0)
    {
      mp_set_error_from_errno (error, errno, "Attaching to an arena");
      return NULL;
    }
  pthread_mutex_lock (&registry_lock);
  for (self = registry; self != NULL && found == NULL; self = self->next)
    {
      if (self->inode == status.st_ino && self->device == status.st_dev)
        found = mp_arena_ref (self);
    }
  if (found == NULL && mp_segment_attach (&segment, fd, MP_ARENA_KIND, MP_ARENA_VERSION, error))
    found = arena_new_take (&segment, error);
  pthread_mutex_unlock (&registry_lock);
  return found;
}

MpArena *
mp_arena_find_by_id (guint64 high, guint64 low)
{
  MpArena *found = NULL;

  pthread_mutex_lock (&registry_lock);
  for (MpArena *self = registry; self != NULL && found == NULL; self = self->next)
    {
      const guint64 *id = &self->segment.header.parameters[MP_ARENA_PARAMETER_ID];

      if (id[0] == high && id[1] == low)
        found = mp_arena_ref (self);
    }
  pthread_mutex_unlock (&registry_lock);
  return found;
}

MpArena *
mp_arena_ref (MpArena *self)
{
  atomic_fetch_add_explicit (&self->ref_count, 1, memory_order_relaxed);
  return self;
}

static void
remove_from_registry (MpArena *self)
{
  MpArena *before = registry;

  if (before == self)
    {
      registry = self->next;
      return;
    }
  while (before->next != self)
    before = before->next;
  before->next = self->next;
}

static void
unref_last (MpArena *self)
{
  gboolean last;

  pthread_mutex_lock (&registry_lock);
  last = atomic_fetch_sub (&self->ref_count, 1) == 1;
  if (last)
    remove_from_registry (self);
  pthread_mutex_unlock (&registry_lock);
  if (last)
    arena_free (self);
}

void
mp_arena_unref (MpArena *self)
{
  guint count = atomic_load_explicit (&self->ref_count, memory_order_relaxed);

  while (count > 1)
    {
      if (atomic_compare_exchange_weak_explicit (&self->ref_count,
                                                 &count,
                                                 count - 1,
                                                 memory_order_release,
                                                 memory_order_relaxed))
        return;
    }
  unref_last (self);
}

gboolean
mp_arena_is_any (void)
{
  return atomic_load_explicit (&registry, memory_order_relaxed) != NULL;
}

void
mp_arena_foreach (MpArenaFunc func, gpointer user_data)
{
  g_autoptr (GPtrArray) arenas = NULL;

  pthread_mutex_lock (&registry_lock);
  if (registry != NULL)
    arenas = g_ptr_array_new_with_free_func ((GDestroyNotify) mp_arena_unref);
  for (MpArena *self = registry; self != NULL; self = self->next)
    g_ptr_array_add (arenas, mp_arena_ref (self));
  pthread_mutex_unlock (&registry_lock);
  for (guint i = 0; arenas != NULL && i < arenas->len; i++)
    func (g_ptr_array_index (arenas, i), user_data);
}

MpParticipants *
mp_arena_get_participants (MpArena *self)
{
  return self->participants;
}

MpArenaWait *
mp_arena_get_waits (MpArena *self)
{
  return self->waits;
}

_Atomic uint32_t *
mp_arena_get_doorbell (MpArena *self)
{
  return &self->shared->doorbell;
}

guint64
mp_arena_get_n_blocks (MpArena *self)
{
  return mp_arena_load (&self->shared->n_blocks);
}

guint64
mp_arena_get_file_size (MpArena *self)
{
  return mp_fd_is_file (self->segment.fd, self->device, self->inode)
           ? mp_segment_get_size (&self->segment)
           : 0;
}
