/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-lender-private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mp-error-private.h"
#include "mp-fd-private.h"

#define LINGER_US (60 * G_USEC_PER_SEC)
/* Descriptors, and how often they were lent. */
#define MAX_LINGERING 256
#define MAX_LINGERINGS 65536

#define PATH_SIZE 80

/* Names of descriptors */

/* @owner: NULL for this process. */
static void
make_path (char *path, const MpProcessId *owner, const char *what, int fd)
{
  if (owner == NULL)
    g_snprintf (path, PATH_SIZE, "/proc/self/%s/%d", what, fd);
  else
    g_snprintf (path, PATH_SIZE, "/proc/%" G_GUINT64_FORMAT "/%s/%d", owner->pid, what, fd);
}

/* Eventfds share one inode, but have a number that nobody else has. 0: none. FALSE with
 * errno set. */
static gboolean
read_eventfd_id (const MpProcessId *owner, int fd, guint64 *id)
{
  static const char key[] = "\neventfd-id:";
  char path[PATH_SIZE], text[1024];
  g_auto (MpFd) info = -1;
  const char *at;
  gssize got;

  make_path (path, owner, "fdinfo", fd);
  info = open (path, O_RDONLY | O_CLOEXEC);
  if (info < 0)
    return FALSE;
  do
    got = read (info, text, sizeof text - 1);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return FALSE;
  text[got] = '\0';
  at = strstr (text, key);
  *id = at != NULL ? g_ascii_strtoull (at + strlen (key), NULL, 10) : 0;
  return TRUE;
}

typedef enum
{
  FILE_NONE,     /* no such descriptor, or nobody may see it */
  FILE_UNKNOWN,  /* no look was to be had, with errno set */
  FILE_ORDINARY, /* can be opened by its path in /proc */
  FILE_SPECIAL,  /* cannot */
  FILE_NAMELESS  /* like others, as far as can be told */
} FileKind;

static FileKind
look_at (MpFdName *self, const MpProcessId *owner, int fd)
{
  char path[PATH_SIZE], target[32] = "";
  struct stat status;

  if (fd < 0)
    return FILE_NONE;
  make_path (path, owner, "fd", fd);
  /* A look is harmless; opening might not be, if it is a device. */
  if ((owner != NULL ? stat (path, &status) : fstat (fd, &status)) != 0)
    return FILE_NONE;
  self->fd = fd;
  self->device = status.st_dev;
  self->inode = status.st_ino;
  self->id = 0;
  if (S_ISREG (status.st_mode))
    return FILE_ORDINARY;
  if (readlink (path, target, sizeof target - 1) < 0)
    return FILE_NONE;
  if (!g_str_has_prefix (target, "anon_inode:"))
    return FILE_SPECIAL;
  if (!read_eventfd_id (owner, fd, &self->id))
    return errno == ENOENT || errno == ESRCH ? FILE_NONE : FILE_UNKNOWN;
  return self->id != 0 ? FILE_SPECIAL : FILE_NAMELESS;
}

gboolean
mp_fd_name_init (MpFdName *self, int fd, GError **error)
{
  int flags = fcntl (fd, F_GETFL);

  switch (flags < 0 ? FILE_NONE : look_at (self, NULL, fd))
    {
    case FILE_ORDINARY:
    case FILE_SPECIAL:
      self->access = (guint32) flags & O_ACCMODE;
      return TRUE;
    case FILE_NAMELESS:
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_SUPPORTED,
                   "Descriptor %d is of a kind that cannot be lent to other processes",
                   fd);
      return FALSE;
    case FILE_NONE:
    case FILE_UNKNOWN:
    default:
      return mp_set_error_from_errno (error, errno, "Lending a descriptor");
    }
}

gboolean
mp_fd_name_is_same_file (const MpFdName *a, const MpFdName *b)
{
  return a->device == b->device && a->inode == b->inode && a->id == b->id;
}

gboolean
mp_fd_name_is_there (const MpFdName *self, const MpProcessId *owner)
{
  MpFdName found;
  FileKind kind = look_at (&found, owner, self->fd);

  /* In doubt another one still has it, and this process does not close it. */
  if (kind == FILE_UNKNOWN)
    return owner != NULL;
  return (kind == FILE_ORDINARY || kind == FILE_SPECIAL) && mp_fd_name_is_same_file (self, &found);
}

/* Takes a copy of the descriptor itself. */
static int
take_copy (const MpFdName *self, const MpProcessId *owner)
{
  g_auto (MpFd) process = (int) syscall (SYS_pidfd_open, (pid_t) owner->pid, 0);

  if (process < 0)
    return -1;
  return (int) syscall (SYS_pidfd_getfd, process, self->fd, 0);
}

static int
open_anew (const MpFdName *self, const MpProcessId *owner)
{
  char path[PATH_SIZE];
  int access = (int) (self->access & O_ACCMODE);

  make_path (path, owner, "fd", self->fd);
  return open (path, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static gboolean
check_owner (const MpProcessId *owner, GError **error)
{
  MpProcessId self = mp_process_id_get_self ();

  switch (mp_process_id_get_state (owner))
    {
    case MP_PROCESS_ALIVE:
      return TRUE;
    case MP_PROCESS_HIDDEN:
      if (owner->namespace != self.namespace)
        g_set_error (error,
                     MP_ERROR,
                     MP_ERROR_NOT_SUPPORTED,
                     "The process that has it is in another process id namespace "
                     "(%" G_GUINT64_FORMAT ", here it is %" G_GUINT64_FORMAT ")",
                     owner->namespace,
                     self.namespace);
      else
        g_set_error (error,
                     MP_ERROR,
                     MP_ERROR_NOT_SUPPORTED,
                     "Process %" G_GUINT64_FORMAT
                     ", which has it, is another user's or hides its descriptors",
                     owner->pid);
      return FALSE;
    case MP_PROCESS_UNKNOWN:
      return mp_set_error_from_errno (error, errno, "Looking for the process that has it");
    case MP_PROCESS_GONE:
    default:
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_FOUND,
                   "Process %" G_GUINT64_FORMAT ", which had it, is gone",
                   owner->pid);
      return FALSE;
    }
}

static int
set_gone (const MpFdName *self, const MpProcessId *owner, GError **error)
{
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_NOT_FOUND,
               "Process %" G_GUINT64_FORMAT " has it no longer: descriptor %d was closed",
               owner->pid,
               self->fd);
  return -1;
}

static int
set_unknown (GError **error)
{
  mp_set_error_from_errno (error, errno, "Looking at a descriptor of another process");
  return -1;
}

int
mp_fd_name_open (const MpFdName *self, const MpProcessId *owner, GError **error)
{
  MpProcessId own = mp_process_id_get_self ();
  g_auto (MpFd) fd = -1;
  MpFdName found;
  FileKind kind;

  if (!check_owner (owner, error))
    return -1;
  kind = look_at (&found, owner, self->fd);
  if (kind == FILE_UNKNOWN)
    return set_unknown (error);
  if ((kind != FILE_ORDINARY && kind != FILE_SPECIAL) || !mp_fd_name_is_same_file (self, &found))
    return set_gone (self, owner, error);
  if (mp_process_id_equal (owner, &own))
    fd = fcntl (self->fd, F_DUPFD_CLOEXEC, 3);
  else
    fd = kind == FILE_ORDINARY ? open_anew (self, owner) : take_copy (self, owner);
  if (fd < 0 && (errno == EPERM || errno == ENOSYS))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_SUPPORTED,
                   "This system does not let processes take descriptors from each other, here "
                   "from process %" G_GUINT64_FORMAT ": %s",
                   owner->pid,
                   g_strerror (errno));
      return -1;
    }
  if (fd < 0 && (errno == ENOENT || errno == ESRCH || errno == EBADF))
    return set_gone (self, owner, error);
  if (fd < 0)
    {
      mp_set_error_from_errno (error, errno, "Taking a descriptor from another process");
      return -1;
    }
  /* Between the look and the taking anything may have happened. */
  kind = look_at (&found, NULL, fd);
  if (kind == FILE_UNKNOWN)
    return set_unknown (error);
  if (kind == FILE_NONE || !mp_fd_name_is_same_file (self, &found))
    return set_gone (self, owner, error);
  return g_steal_fd (&fd);
}

GVariant *
mp_fd_name_to_variant (const MpFdName *self)
{
  return g_variant_new (MP_FD_NAME_TYPE,
                        self->fd,
                        self->access,
                        self->device,
                        self->inode,
                        self->id);
}

void
mp_fd_name_from_variant (MpFdName *self, GVariant *variant)
{
  g_variant_get (variant,
                 MP_FD_NAME_TYPE,
                 &self->fd,
                 &self->access,
                 &self->device,
                 &self->inode,
                 &self->id);
}

/* Lending */

struct _MpLent
{
  /* All under the lock. */
  guint ref_count;
  guint n_lingerings;
  MpFdName name;
};

typedef struct
{
  gint64 until;
  GPtrArray *lent;
} Lingering;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *table;               /* a set of MpLent */
static GQueue lingering = G_QUEUE_INIT; /* of Lingering, the oldest first */
static guint n_lingering;               /* different MpLent in there */

static guint
lent_hash (gconstpointer key)
{
  const MpLent *self = key;

  return g_int64_hash (&self->name.inode) ^ (guint) self->name.id << 8 ^ self->name.access;
}

static gboolean
lent_equal (gconstpointer a, gconstpointer b)
{
  const MpLent *one = a, *other = b;

  return one->name.access == other->name.access &&
         mp_fd_name_is_same_file (&one->name, &other->name);
}

static MpLent *
lend_locked (const MpFdName *name, GError **error)
{
  MpLent wanted = { .name = *name };
  MpLent *self;
  int fd;

  if (table == NULL)
    table = g_hash_table_new (lent_hash, lent_equal);
  self = g_hash_table_lookup (table, &wanted);
  /* The program may have closed it, as a daemon does with all it does not know. */
  if (self != NULL && mp_fd_name_is_there (&self->name, NULL))
    {
      self->ref_count++;
      return self;
    }
  fd = fcntl (name->fd, F_DUPFD_CLOEXEC, 3);
  if (fd < 0)
    {
      mp_set_error_from_errno (error, errno, "Lending a descriptor");
      return NULL;
    }
  if (self != NULL)
    {
      self->ref_count++;
      self->name.fd = fd;
      return self;
    }
  self = g_new0 (MpLent, 1);
  self->ref_count = 1;
  self->name = *name;
  self->name.fd = fd;
  g_hash_table_add (table, self);
  return self;
}

MpLent *
mp_lender_lend (int fd, GError **error)
{
  MpFdName name;
  MpLent *self;

  if (!mp_fd_name_init (&name, fd, error))
    return NULL;
  pthread_mutex_lock (&lock);
  self = lend_locked (&name, error);
  pthread_mutex_unlock (&lock);
  return self;
}

void
mp_lent_unref (MpLent *self)
{
  gboolean last;

  pthread_mutex_lock (&lock);
  last = --self->ref_count == 0;
  if (last)
    g_hash_table_remove (table, self);
  pthread_mutex_unlock (&lock);
  if (!last)
    return;
  /* If it is not ours any more, closing it would hit somebody else's. */
  if (mp_fd_name_is_there (&self->name, NULL))
    mp_fd_close (self->name.fd);
  g_free (self);
}

GPtrArray *
mp_lender_lend_all (GUnixFDList *fd_list, GError **error)
{
  g_autoptr (GPtrArray) lent = g_ptr_array_new_with_free_func ((GDestroyNotify) mp_lent_unref);
  int n_fds;
  const int *fds = g_unix_fd_list_peek_fds (fd_list, &n_fds);

  mp_lender_purge (FALSE);
  for (int i = 0; i < n_fds; i++)
    {
      MpLent *one = mp_lender_lend (fds[i], error);

      if (one == NULL)
        return NULL;
      g_ptr_array_add (lent, one);
    }
  return g_steal_pointer (&lent);
}

MpFdName
mp_lent_get_name (MpLent *self)
{
  MpFdName name;

  pthread_mutex_lock (&lock);
  name = self->name;
  pthread_mutex_unlock (&lock);
  return name;
}

MpLent *
mp_lent_ref (MpLent *self)
{
  pthread_mutex_lock (&lock);
  self->ref_count++;
  pthread_mutex_unlock (&lock);
  return self;
}

static void
count_lingering (GPtrArray *lent, gboolean added)
{
  for (guint i = 0; i < lent->len; i++)
    {
      MpLent *one = g_ptr_array_index (lent, i);

      if (added)
        n_lingering += one->n_lingerings++ == 0;
      else
        n_lingering -= --one->n_lingerings == 0;
    }
}

/* Those whose time is over, the oldest if there are too many, or all. */
static Lingering *
pop_lingering (gboolean all)
{
  Lingering *oldest;

  pthread_mutex_lock (&lock);
  oldest = g_queue_peek_head (&lingering);
  if (oldest != NULL &&
      (all || n_lingering > MAX_LINGERING || g_queue_get_length (&lingering) > MAX_LINGERINGS ||
       oldest->until <= g_get_monotonic_time ()))
    {
      g_queue_pop_head (&lingering);
      count_lingering (oldest->lent, FALSE);
    }
  else
    oldest = NULL;
  pthread_mutex_unlock (&lock);
  return oldest;
}

guint
mp_lender_purge (gboolean all)
{
  Lingering *over;
  guint n = 0;

  while ((over = pop_lingering (all)) != NULL)
    {
      n += over->lent->len;
      g_ptr_array_unref (over->lent);
      g_free (over);
    }
  return n;
}

void
mp_lender_linger (GPtrArray *lent)
{
  Lingering *entry = g_new (Lingering, 1);

  entry->until = g_get_monotonic_time () + LINGER_US;
  entry->lent = lent;
  pthread_mutex_lock (&lock);
  g_queue_push_tail (&lingering, entry);
  count_lingering (lent, TRUE);
  pthread_mutex_unlock (&lock);
  mp_lender_purge (FALSE);
}

void
mp_lender_before_fork (void)
{
  pthread_mutex_lock (&lock);
}

void
mp_lender_after_fork (void)
{
  pthread_mutex_unlock (&lock);
}
