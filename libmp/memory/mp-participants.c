/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-participants-private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mp-error-private.h"
#include "mp-fd-private.h"
#include "mp-segment-private.h"

#define KIND MP_SEGMENT_KIND ('l', 'i', 'v', 'e')
#define VERSION 1
#define PARAMETER_MAX 0

#define INDEX_BITS 12
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
#define GENERATION_MASK (MP_PARTICIPANT_MASK >> INDEX_BITS)

/* The whole file. */
typedef struct
{
  MpSegmentHeader header;
  _Atomic uint32_t hint; /* where to look for a free index */
  _Atomic uint32_t generations[];
} Table;

struct _MpParticipants
{
  /* Both under the registry's lock. */
  guint ref_count;
  MpParticipants *next;

  MpSegment segment;
  dev_t device;
  ino_t inode;
  guint max;
  gsize length;
  Table *table;

  /* Changed only at birth and by the fork handlers. */
  int own_fd; /* the description that carries our lock */
  _Atomic uint32_t word;
};

/* The participants of this process, one for each liveness memfd. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static MpParticipants *registry;

static gboolean
lock_byte (int fd, guint index)
{
  struct flock range = { .l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t) index,
                         .l_len = 1 };

  return fcntl (fd, F_OFD_SETLK, &range) == 0;
}

/* Nothing here may allocate or lock: the fork handler runs it too. FALSE with errno set. */
static gboolean
enlist (MpParticipants *self)
{
  guint start = atomic_load_explicit (&self->table->hint, memory_order_relaxed) % self->max;
  char path[32];

  snprintf (path, sizeof path, "/proc/self/fd/%d", self->segment.fd);
  self->own_fd = open (path, O_RDWR | O_CLOEXEC);
  if (self->own_fd < 0)
    return FALSE;
  for (guint i = 0; i < self->max; i++)
    {
      guint index = (start + i) % self->max;
      uint32_t generation;

      if (!lock_byte (self->own_fd, index))
        {
          if (errno == EAGAIN || errno == EACCES)
            continue;
          break;
        }
      /* Only after the lock is ours: until then the word of the one before
       * must not look alive because of us for longer than this moment. */
      generation = atomic_fetch_add (&self->table->generations[index], 1) + 1;
      atomic_store (&self->word, (generation & GENERATION_MASK) << INDEX_BITS | (index + 1));
      atomic_store_explicit (&self->table->hint, (index + 1) % self->max, memory_order_relaxed);
      return TRUE;
    }
  if (errno == EAGAIN || errno == EACCES)
    errno = EMFILE;
  mp_clear_fd (&self->own_fd);
  return FALSE;
}

static void
before_fork (void)
{
  pthread_mutex_lock (&registry_lock);
}

static void
after_fork_in_parent (void)
{
  pthread_mutex_unlock (&registry_lock);
}

/* The child has the parent's description, and would keep the parent alive. */
static void
after_fork_in_child (void)
{
  for (MpParticipants *self = registry; self != NULL; self = self->next)
    {
      mp_clear_fd (&self->own_fd);
      atomic_store (&self->word, MP_PARTICIPANT_NONE);
      enlist (self);
    }
  pthread_mutex_unlock (&registry_lock);
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}

static void
participants_free (MpParticipants *self)
{
  mp_clear_fd (&self->own_fd);
  if (self->table != NULL)
    munmap (self->table, self->length);
  mp_segment_clear (&self->segment);
  g_free (self);
}

static MpParticipants *
find_registered (dev_t device, ino_t inode)
{
  for (MpParticipants *self = registry; self != NULL; self = self->next)
    {
      if (self->inode == inode && self->device == device)
        {
          self->ref_count++;
          return self;
        }
    }
  return NULL;
}

static gboolean
join (MpParticipants *self, GError **error)
{
  struct stat status;
  guint64 max = self->segment.header.parameters[PARAMETER_MAX];

  self->length = sizeof (Table) + max * sizeof (uint32_t);
  if (max == 0 || max > MP_PARTICIPANTS_MAX || self->segment.header.size < self->length)
    {
      g_set_error_literal (error, MP_ERROR, MP_ERROR_CORRUPT, "A table of participants is corrupt");
      return FALSE;
    }
  self->max = (guint) max;
  if (fstat (self->segment.fd, &status) != 0)
    return mp_set_error_from_errno (error, errno, "Reading a table of participants");
  self->device = status.st_dev;
  self->inode = status.st_ino;
  self->table = mp_segment_map (&self->segment, 0, self->length);
  if (self->table == NULL)
    return mp_set_error_from_errno (error, errno, "Mapping a table of participants");
  if (!enlist (self))
    return mp_set_error_from_errno (error, errno, "Taking part in shared memory");
  return TRUE;
}

/* Takes what is in @segment. */
static MpParticipants *
participants_new_take (MpSegment *segment, GError **error)
{
  MpParticipants *self = g_new0 (MpParticipants, 1);

  self->ref_count = 1;
  self->own_fd = -1;
  self->segment = *segment;
  segment->fd = -1;
  if (!join (self, error))
    {
      participants_free (self);
      return NULL;
    }
  self->next = registry;
  registry = self;
  return self;
}

MpParticipants *
mp_participants_new (guint max, GError **error)
{
  guint64 parameters[MP_SEGMENT_N_PARAMETERS] = { [PARAMETER_MAX] = max };
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  MpParticipants *self;

  g_assert_cmpuint (max - 1, <, MP_PARTICIPANTS_MAX);

  if (!mp_segment_create (&segment,
                          "mp-participants",
                          KIND,
                          VERSION,
                          sizeof (Table) + max * sizeof (uint32_t),
                          FALSE,
                          parameters,
                          error))
    return NULL;
  pthread_mutex_lock (&registry_lock);
  self = participants_new_take (&segment, error);
  pthread_mutex_unlock (&registry_lock);
  return self;
}

MpParticipants *
mp_participants_new_from_fd (int fd, GError **error)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  MpParticipants *self;
  struct stat status;

  if (!mp_segment_attach (&segment, fd, KIND, VERSION, error))
    return NULL;
  if (fstat (segment.fd, &status) != 0)
    {
      mp_set_error_from_errno (error, errno, "Reading a table of participants");
      return NULL;
    }
  pthread_mutex_lock (&registry_lock);
  self = find_registered (status.st_dev, status.st_ino);
  if (self == NULL)
    self = participants_new_take (&segment, error);
  pthread_mutex_unlock (&registry_lock);
  return self;
}

MpParticipants *
mp_participants_ref (MpParticipants *self)
{
  pthread_mutex_lock (&registry_lock);
  self->ref_count++;
  pthread_mutex_unlock (&registry_lock);
  return self;
}

void
mp_participants_unref (MpParticipants *self)
{
  gboolean last;

  pthread_mutex_lock (&registry_lock);
  last = --self->ref_count == 0;
  if (last)
    {
      MpParticipants **link = &registry;

      while (*link != self)
        link = &(*link)->next;
      *link = self->next;
    }
  pthread_mutex_unlock (&registry_lock);
  if (last)
    participants_free (self);
}

int
mp_participants_get_fd (MpParticipants *self)
{
  return self->segment.fd;
}

guint32
mp_participants_get_self (MpParticipants *self, GError **error)
{
  guint32 word = atomic_load_explicit (&self->word, memory_order_acquire);

  if (G_LIKELY (word != MP_PARTICIPANT_NONE))
    return word;
  pthread_mutex_lock (&registry_lock);
  if (atomic_load (&self->word) == MP_PARTICIPANT_NONE && !enlist (self))
    mp_set_error_from_errno (error, errno, "Taking part in shared memory");
  word = atomic_load (&self->word);
  pthread_mutex_unlock (&registry_lock);
  return word;
}

gboolean
mp_participants_is_alive (MpParticipants *self, guint32 word)
{
  guint index = (word & INDEX_MASK) - 1;
  guint32 generation = (word & MP_PARTICIPANT_MASK) >> INDEX_BITS;
  struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

  if ((word & INDEX_MASK) == 0 || index >= self->max)
    return FALSE;
  if ((word & MP_PARTICIPANT_MASK) == atomic_load_explicit (&self->word, memory_order_acquire))
    return TRUE;
  if ((atomic_load (&self->table->generations[index]) & GENERATION_MASK) != generation)
    return FALSE;
  range.l_start = (off_t) index;
  /* Through the travelling description, which never carries a lock, so that
   * the answer is right whatever this process holds itself. When the kernel
   * cannot tell, the process counts as alive. */
  return fcntl (self->segment.fd, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}
