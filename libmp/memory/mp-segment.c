/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-segment-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mp-error-private.h"
#include "mp-fd-private.h"

/* Memory is taken in pieces: the kernel gives back a whole call's worth when a
 * signal interrupts it, so a big one might never come to its end. */
#define ALLOCATION_STEP (8 * 1024 * 1024)

gsize
mp_segment_get_page_size (void)
{
  return (gsize) sysconf (_SC_PAGESIZE);
}

static gboolean
write_header (MpSegment *self)
{
  gssize written;

  do
    written = pwrite (self->fd, &self->header, sizeof self->header, 0);
  while (written < 0 && errno == EINTR);
  return written == (gssize) sizeof self->header;
}

gboolean
mp_segment_create (MpSegment *self,
                   const char *name,
                   guint32 kind,
                   guint32 version,
                   guint64 size,
                   gboolean growable,
                   const guint64 *parameters,
                   GError **error)
{
  int seals = F_SEAL_SHRINK | F_SEAL_SEAL | (growable ? 0 : F_SEAL_GROW);

  g_assert_cmpuint (size, >=, sizeof (MpSegmentHeader));

  self->fd = memfd_create (name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (self->fd < 0)
    return mp_set_error_from_errno (error, errno, "Making shared memory");
  self->header = (MpSegmentHeader){
    .magic = MP_SEGMENT_MAGIC,
    .kind = kind,
    .version = version,
    .size = size,
  };
  memcpy (self->header.parameters, parameters, sizeof self->header.parameters);
  if (!mp_segment_grow (self, size) || !write_header (self) ||
      fcntl (self->fd, F_ADD_SEALS, seals) != 0)
    {
      mp_set_error_from_errno (error, errno, "Setting up shared memory");
      mp_segment_clear (self);
      return FALSE;
    }
  return TRUE;
}

/* Why @fd cannot be a segment at all, or NULL. A page fault in anything but a
 * memfd on tmpfs that cannot shrink might hang or raise SIGBUS. */
static const char *
find_fault (int fd, guint64 *size, int *access)
{
  struct statfs filesystem;
  struct stat status;
  int seals = fcntl (fd, F_GET_SEALS);

  if (seals < 0)
    return "it is no memfd";
  if ((seals & F_SEAL_SHRINK) == 0)
    return "it is not sealed against shrinking";
  if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
    return "it is sealed against writing";
  if (fstatfs (fd, &filesystem) != 0 || filesystem.f_type != TMPFS_MAGIC)
    return "it is not ordinary memory";
  *access = fcntl (fd, F_GETFL) & O_ACCMODE;
  if (*access != O_RDWR && *access != O_RDONLY)
    return "it is not open for reading";
  if (fstat (fd, &status) != 0 || status.st_size < (off_t) sizeof (MpSegmentHeader))
    return "it is too short";
  *size = (guint64) status.st_size;
  return NULL;
}

static gboolean
read_header (MpSegment *self)
{
  gssize got;

  do
    got = pread (self->fd, &self->header, sizeof self->header, 0);
  while (got < 0 && errno == EINTR);
  return got == (gssize) sizeof self->header;
}

gboolean
mp_segment_attach_any (MpSegment *self, int fd, guint32 kind, guint32 version, GError **error)
{
  g_auto (MpSegment) segment = MP_SEGMENT_INIT;
  const char *fault = NULL;
  guint64 size = 0;
  int access = O_RDWR;

  segment.fd = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  if (segment.fd < 0)
    /* It is invalid where not even the third descriptor may be had. */
    return mp_set_error_from_errno (error,
                                    errno == EINVAL ? EMFILE : errno,
                                    "Attaching to shared memory");
  fault = find_fault (segment.fd, &size, &access);
  if (fault == NULL && !read_header (&segment))
    fault = "it cannot be read";
  if (fault == NULL && (segment.header.magic != MP_SEGMENT_MAGIC || segment.header.kind != kind))
    fault = "it holds something else";
  if (fault == NULL && segment.header.version != version)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_SUPPORTED,
                   "Shared memory of layout version %u, this library knows version %u",
                   segment.header.version,
                   version);
      return FALSE;
    }
  if (fault == NULL &&
      (segment.header.size > size || segment.header.size < sizeof (MpSegmentHeader)))
    fault = "it is shorter than it says";
  if (fault != NULL)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_CORRUPT,
                   "This is not shared memory of libmp: %s",
                   fault);
      return FALSE;
    }
  *self = segment;
  self->read_only = access == O_RDONLY;
  segment.fd = -1;
  return TRUE;
}

gboolean
mp_segment_attach (MpSegment *self, int fd, guint32 kind, guint32 version, GError **error)
{
  if (!mp_segment_attach_any (self, fd, kind, version, error))
    return FALSE;
  if (!self->read_only)
    return TRUE;
  mp_segment_clear (self);
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_CORRUPT,
                       "This is not shared memory of libmp: it is not open for reading and "
                       "writing");
  return FALSE;
}

void
mp_segment_clear (MpSegment *self)
{
  mp_clear_fd (&self->fd);
}

guint64
mp_segment_get_size (MpSegment *self)
{
  struct stat status;

  return fstat (self->fd, &status) == 0 ? (guint64) status.st_size : 0;
}

gboolean
mp_segment_grow (MpSegment *self, guint64 size)
{
  struct rlimit limit;
  int result;

  if (mp_segment_get_size (self) >= size)
    return TRUE;
  /* Beyond this limit the kernel sends SIGXFSZ. */
  if (getrlimit (RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      size > limit.rlim_cur)
    {
      errno = EFBIG;
      return FALSE;
    }
  do
    result = ftruncate (self->fd, (off_t) size);
  while (result != 0 && errno == EINTR);
  /* Somebody else may have made it longer meanwhile, and then this would make it shorter. */
  return result == 0 || (errno == EPERM && mp_segment_get_size (self) >= size);
}

gboolean
mp_segment_allocate (MpSegment *self, guint64 offset, guint64 length)
{
  while (length > 0)
    {
      guint64 step = MIN (length, ALLOCATION_STEP);

      if (fallocate (self->fd, FALLOC_FL_KEEP_SIZE, (off_t) offset, (off_t) step) == 0)
        {
          offset += step;
          length -= step;
        }
      else if (errno != EINTR)
        return FALSE;
    }
  return TRUE;
}

void
mp_segment_punch (MpSegment *self, guint64 offset, guint64 length)
{
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

  while (fallocate (self->fd, mode, (off_t) offset, (off_t) length) != 0 && errno == EINTR)
    ;
}

static gboolean
check_range (MpSegment *self, guint64 offset, guint64 length)
{
  guint64 size = mp_segment_get_size (self);

  if (length > 0 && offset <= size && length <= size - offset)
    return TRUE;
  errno = EFAULT;
  return FALSE;
}

gpointer
mp_segment_map (MpSegment *self, guint64 offset, gsize length)
{
  int protection = self->read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  gpointer memory;

  if (!check_range (self, offset, length))
    return NULL;
  memory = mmap (NULL, length, protection, MAP_SHARED, self->fd, (off_t) offset);
  return memory == MAP_FAILED ? NULL : memory;
}

gpointer
mp_segment_map_twice (MpSegment *self, guint64 offset, gsize length)
{
  int protection = PROT_READ | PROT_WRITE;
  guint8 *memory;

  if (!check_range (self, offset, length))
    return NULL;
  if (length > G_MAXSIZE / 2)
    {
      errno = ENOMEM;
      return NULL;
    }
  /* Reserve the whole first: the two halves must be neighbours. */
  memory = mmap (NULL, 2 * length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return NULL;
  for (int i = 0; i < 2; i++)
    {
      if (mmap (memory + i * length,
                length,
                protection,
                MAP_SHARED | MAP_FIXED,
                self->fd,
                (off_t) offset) == MAP_FAILED)
        {
          int saved = errno;

          munmap (memory, 2 * length);
          errno = saved;
          return NULL;
        }
    }
  return memory;
}
