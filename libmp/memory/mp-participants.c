/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-participants-private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"
#include "mp-process-id-private.h"

#define INDEX_BITS 12
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
#define GENERATION_END ((MP_PARTICIPANT_MASK >> INDEX_BITS) + 1)
#define GENERATION_BEGIN 1024u

typedef struct
{
  _Atomic uint32_t generation;
  _Atomic uint32_t pid;
  _Atomic uint64_t start_time; /* as in /proc/PID/stat */
} Entry;

struct _MpParticipantsTable
{
  _Alignas(64) _Atomic uint32_t hint; /* where to look for a free index */
  _Alignas(64) Entry entries[];
};

/* The participants of this process. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static MpParticipants *registry;

/* Nothing from here to after_fork_in_child() may allocate: the fork handler runs it. */

static gboolean
has_segment (MpParticipants *self, int fd)
{
  return mp_fd_is_file (fd, self->device, self->inode);
}

static off_t
get_byte (MpParticipants *self, guint index)
{
  return (off_t) (self->offset + index);
}

static gboolean
lock_byte (MpParticipants *self, int fd, guint index)
{
  struct flock range = { .l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = get_byte (self, index),
                         .l_len = 1 };

  return fcntl (fd, F_OFD_SETLK, &range) == 0;
}

/* A description of our own: the one behind the segment's descriptor is everybody's. */
static int
reopen (MpParticipants *self)
{
  g_auto (MpFd) fd = -1;
  char path[32];

  snprintf (path, sizeof path, "/proc/self/fd/%d", self->segment->fd);
  fd = open (path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0 && !has_segment (self, fd))
    {
      errno = EBADF;
      return -1;
    }
  return g_steal_fd (&fd);
}

static void
drop_page (gpointer *page)
{
  if (*page != NULL)
    munmap (*page, mp_segment_get_page_size ());
  *page = NULL;
}

/* Keeps the description of @fd open until the process ends. */
static gboolean
keep_open (MpParticipants *self, int fd)
{
  gsize size = mp_segment_get_page_size ();
  gpointer page = mmap (NULL, size, PROT_READ, MAP_SHARED, fd, 0);

  if (page == MAP_FAILED)
    return FALSE;
  self->lock_page = page;
  if (madvise (page, size, MADV_DONTFORK) == 0)
    return TRUE;
  drop_page (&self->lock_page);
  return FALSE;
}

static uint32_t
next_generation (uint32_t generation)
{
  generation++;
  return generation < GENERATION_BEGIN || generation >= GENERATION_END ? GENERATION_BEGIN
                                                                       : generation;
}

/* The byte of @index is ours. */
static void
settle (MpParticipants *self, guint index)
{
  Entry *entry = &self->table->entries[index];
  MpProcessStatus status;
  uint32_t generation;

  if (!mp_process_status_read (0, &status))
    status.start = 0;
  atomic_store (&entry->pid, (uint32_t) getpid ());
  atomic_store (&entry->start_time, status.start);
  /* Last: whoever finds the new generation must find the rest, too. And only
   * after the lock is ours: until then the word of the one before must not
   * look alive because of us for longer than this moment. */
  generation = next_generation (atomic_load (&entry->generation));
  atomic_store (&entry->generation, generation);
  atomic_store (&self->word, generation << INDEX_BITS | (index + 1));
  atomic_store_explicit (&self->table->hint, (index + 1) % self->max, memory_order_relaxed);
}

/* FALSE with errno set, EUSERS if there is no place. */
static gboolean
enlist (MpParticipants *self)
{
  guint start = atomic_load_explicit (&self->table->hint, memory_order_relaxed) % self->max;
  g_auto (MpFd) fd = reopen (self);

  if (fd < 0 || !keep_open (self, fd))
    return FALSE;
  for (guint i = 0; i < self->max; i++)
    {
      guint index = (start + i) % self->max;

      if (lock_byte (self, fd, index))
        {
          settle (self, index);
          return TRUE;
        }
      if (errno != EAGAIN && errno != EACCES)
        break;
      errno = EUSERS;
    }
  drop_page (&self->lock_page);
  return FALSE;
}

/* For this one fork() our lock is inherited: a child that takes over what its
 * parent held can do so even if the parent dies meanwhile. */
static void
before_fork (void)
{
  pthread_mutex_lock (&registry_lock);
  for (MpParticipants *self = registry; self != NULL; self = self->next)
    {
      if (self->lock_page != NULL)
        madvise (self->lock_page, mp_segment_get_page_size (), MADV_DOFORK);
    }
}

static void
after_fork_in_parent (void)
{
  for (MpParticipants *self = registry; self != NULL; self = self->next)
    {
      if (self->lock_page != NULL)
        madvise (self->lock_page, mp_segment_get_page_size (), MADV_DONTFORK);
    }
  pthread_mutex_unlock (&registry_lock);
}

static void
after_fork_in_child (void)
{
  for (MpParticipants *self = registry; self != NULL; self = self->next)
    {
      self->parent_page = g_steal_pointer (&self->lock_page);
      atomic_store (&self->word, MP_PARTICIPANT_NONE);
      enlist (self);
      if (self->forked_func != NULL)
        self->forked_func (self->forked_data);
      drop_page (&self->parent_page);
    }
  pthread_mutex_unlock (&registry_lock);
}

/* Before the constructors of those who use participants: what is registered
 * first is called last before a fork, and first after it. */
__attribute__ ((constructor (200))) static void
watch_forks (void)
{
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}

static gboolean
set_enlist_error (MpParticipants *self, GError **error)
{
  if (errno != EUSERS)
    return mp_set_error_from_errno (error, errno, "Taking part in shared memory");
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               "All %u places for processes in this shared memory are taken",
               self->max);
  return FALSE;
}

gsize
mp_participants_get_table_size (guint max)
{
  return sizeof (MpParticipantsTable) + max * sizeof (Entry);
}

static gboolean
join (MpParticipants *self, GError **error)
{
  gsize size = mp_participants_get_table_size (self->max);
  gsize before = self->offset % mp_segment_get_page_size ();
  struct stat status;
  gboolean joined;

  if (fstat (self->segment->fd, &status) != 0)
    return mp_set_error_from_errno (error, errno, "Reading a table of participants");
  self->device = status.st_dev;
  self->inode = status.st_ino;
  self->map = mp_segment_map ((MpSegment *) self->segment, self->offset - before, before + size);
  if (self->map == NULL)
    return mp_set_error_from_errno (error, errno, "Mapping a table of participants");
  self->length = before + size;
  self->table = (gpointer) ((guint8 *) self->map + before);
  pthread_mutex_lock (&registry_lock);
  joined = enlist (self);
  if (joined)
    {
      self->next = registry;
      registry = self;
    }
  else
    set_enlist_error (self, error);
  pthread_mutex_unlock (&registry_lock);
  return joined;
}

MpParticipants *
mp_participants_new_in (const MpSegment *segment, guint64 offset, guint max, GError **error)
{
  MpParticipants *self = g_new0 (MpParticipants, 1);

  g_assert_cmpuint (max - 1, <, MP_PARTICIPANTS_MAX);
  g_assert_cmpuint (offset % _Alignof(MpParticipantsTable), ==, 0);

  self->segment = segment;
  self->offset = offset;
  self->max = max;
  if (join (self, error))
    return self;
  mp_participants_free (self);
  return NULL;
}

void
mp_participants_free (MpParticipants *self)
{
  MpParticipants **link = &registry;

  pthread_mutex_lock (&registry_lock);
  while (*link != NULL && *link != self)
    link = &(*link)->next;
  if (*link != NULL)
    *link = self->next;
  pthread_mutex_unlock (&registry_lock);
  drop_page (&self->lock_page);
  if (self->map != NULL)
    munmap (self->map, self->length);
  g_free (self);
}

void
mp_participants_set_forked_func (MpParticipants *self,
                                 MpParticipantsForkedFunc func,
                                 gpointer user_data)
{
  pthread_mutex_lock (&registry_lock);
  self->forked_func = func;
  self->forked_data = user_data;
  pthread_mutex_unlock (&registry_lock);
}

guint32
mp_participants_get_self (MpParticipants *self, GError **error)
{
  guint32 word = mp_participants_get_self_word (self);

  if (G_LIKELY (word != MP_PARTICIPANT_NONE))
    return word;
  pthread_mutex_lock (&registry_lock);
  if (atomic_load (&self->word) == MP_PARTICIPANT_NONE && !enlist (self))
    set_enlist_error (self, error);
  word = atomic_load (&self->word);
  pthread_mutex_unlock (&registry_lock);
  return word;
}

/* NULL if @word names nobody, or nobody any more. */
static Entry *
find_entry (MpParticipants *self, guint32 word)
{
  guint index = (word & INDEX_MASK) - 1;
  guint32 generation = (word & MP_PARTICIPANT_MASK) >> INDEX_BITS;

  if ((word & INDEX_MASK) == 0 || index >= self->max || generation < GENERATION_BEGIN ||
      atomic_load (&self->table->entries[index].generation) != generation)
    return NULL;
  return &self->table->entries[index];
}

/* What there is to go by when the descriptor is gone. */
static gboolean
is_running (const Entry *entry)
{
  guint32 pid = atomic_load (&entry->pid);
  guint64 start_time = atomic_load (&entry->start_time);
  MpProcessStatus status;

  if (pid == 0 || start_time == 0)
    return TRUE;
  if (!mp_process_status_read (pid, &status))
    return errno != ENOENT && errno != ESRCH;
  if (status.start != start_time)
    return FALSE;
  /* The first thread of a process may end long before the others. */
  return (status.state != 'Z' && status.state != 'X') || status.n_threads > 1;
}

gboolean
mp_participants_is_alive (MpParticipants *self, guint32 word)
{
  struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
  Entry *entry;

  if ((word & MP_PARTICIPANT_MASK) == 0)
    return FALSE;
  if ((word & MP_PARTICIPANT_MASK) == mp_participants_get_self_word (self))
    return TRUE;
  entry = find_entry (self, word);
  if (entry == NULL)
    return FALSE;
  range.l_start = get_byte (self, (word & INDEX_MASK) - 1);
  /* Through the travelling description, which never carries a lock, so that
   * the answer is right whatever this process holds itself. When the kernel
   * cannot tell, the process counts as alive. */
  if (has_segment (self, self->segment->fd) &&
      (fcntl (self->segment->fd, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK))
    return TRUE;
  /* It is dead, unless the program has closed the descriptor before the question. */
  return !has_segment (self, self->segment->fd) && is_running (entry) &&
         find_entry (self, word) != NULL;
}

guint32
mp_participants_get_pid (MpParticipants *self, guint32 word)
{
  Entry *entry = find_entry (self, word);
  guint32 pid = entry != NULL ? atomic_load (&entry->pid) : 0;

  return find_entry (self, word) != NULL ? pid : 0;
}
