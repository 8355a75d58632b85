/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The files that mp-registry.c describes: how they are found, locked, replaced
 * and swept. */

#include "mp-registry-files-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mp-clock-private.h"
#include "mp-error-private.h"
#include "mp-fd-private.h"

#define N_FOLDERS 3
#define FORKS_NAME "forks"

/* The first letters of what is in a folder. */
#define NAME_PREFIX '='
#define TEMPORARY_PREFIX '~'

/* Of names and of temporary files. */
#define PATH_SIZE 256
#define MAX_FILE (1024 * 1024)
#define MAX_HOLDERS 4096

/* Folders */

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW)

/* Opens @name in @parent_fd, and makes it before if need be. Nothing but a
 * folder that only this user can enter will do: whoever can write there can
 * make a name stand for anything. */
static int
open_private_folder (int parent_fd, const char *name, const char *path, GError **error)
{
  g_auto (MpFd) fd = openat (parent_fd, name, FOLDER_FLAGS | O_CLOEXEC);
  struct stat status;

  if (fd < 0 && errno == ENOENT)
    {
      if (mkdirat (parent_fd, name, 0700) == 0 || errno == EEXIST)
        fd = openat (parent_fd, name, FOLDER_FLAGS | O_CLOEXEC);
    }
  if (fd < 0 || fstat (fd, &status) != 0)
    {
      int saved = errno;

      g_set_error (error,
                   MP_ERROR,
                   saved == ENOTDIR || saved == ELOOP ? MP_ERROR_FAILED
                                                      : mp_error_from_errno (saved),
                   "Opening the folder of names %s/%s: %s",
                   path,
                   name,
                   g_strerror (saved));
      return -1;
    }
  if (status.st_uid != geteuid () || (status.st_mode & 077) != 0)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_FAILED,
                   "The folder of names %s/%s is not this user's alone",
                   path,
                   name);
      return -1;
    }
  return g_steal_fd (&fd);
}

/* -1 if there is no such folder, or it is another user's, as in a shell of sudo. */
static int
open_runtime_folder (const char *path)
{
  g_auto (MpFd) fd = -1;
  struct stat status;

  if (path == NULL || !g_path_is_absolute (path))
    return -1;
  fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &status) != 0 || status.st_uid != geteuid ())
    return -1;
  return g_steal_fd (&fd);
}

static int
open_base_anew (char **path, GError **error)
{
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");
  g_auto (MpFd) outer = open_runtime_folder (runtime);
  g_auto (MpFd) inner = -1;
  g_autofree char *name = NULL;

  if (outer >= 0)
    {
      inner = open_private_folder (outer, "libmp", runtime, error);
      *path = g_build_filename (runtime, "libmp", "names", NULL);
      return inner < 0 ? -1 : open_private_folder (inner, "names", runtime, error);
    }
  outer = open ("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (outer < 0)
    {
      mp_set_error_from_errno (error, errno, "Opening /tmp");
      return -1;
    }
  name = g_strdup_printf ("libmp-%lu", (gulong) geteuid ());
  *path = g_build_filename ("/tmp", name, NULL);
  return open_private_folder (outer, name, "/tmp", error);
}

/* The folder of all these, which stays open: the fork handler needs it. Under the
 * registry's lock, as all that is static here. */
static struct
{
  int fd;
  dev_t device;
  ino_t inode;
  char *runtime; /* what the environment said */
  char *path;
} base = { .fd = -1 };

/* The program may have closed it, and somebody may have removed it. */
static gboolean
is_base_open (void)
{
  struct stat status;

  return base.fd >= 0 && fstat (base.fd, &status) == 0 && status.st_dev == base.device &&
         status.st_ino == base.inode && status.st_nlink > 0 && (status.st_mode & 077) == 0;
}

static gboolean
open_base (GError **error)
{
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");
  g_autofree char *path = NULL;
  g_auto (MpFd) fd = -1;
  struct stat status;

  if (is_base_open ())
    {
      if (g_strcmp0 (runtime, base.runtime) == 0)
        return TRUE;
      mp_fd_close (base.fd);
    }
  base.fd = -1;
  fd = open_base_anew (&path, error);
  if (fd < 0)
    return FALSE;
  if (fstat (fd, &status) != 0)
    return mp_set_error_from_errno (error, errno, "Opening the folder of names");
  base.device = status.st_dev;
  base.inode = status.st_ino;
  g_free (base.runtime);
  base.runtime = g_strdup (runtime);
  g_free (base.path);
  base.path = g_steal_pointer (&path);
  base.fd = g_steal_fd (&fd);
  return TRUE;
}

int
mp_registry_open_folder (guint folder, GError **error)
{
  static const char *const names[N_FOLDERS] = { "memory", "objects", FORKS_NAME };

  return open_base (error) ? open_private_folder (base.fd, names[folder], base.path, error) : -1;
}

/* Forks */

static void
format_fork (char *text, gsize size, const MpProcessId *parent, const MpProcessId *child)
{
  g_snprintf (text,
              size,
              "%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT
              ".%" G_GUINT64_FORMAT,
              parent->namespace,
              parent->pid,
              parent->start,
              child->pid,
              child->start);
}

/* Digits with points in between. */
static gboolean
parse_numbers (const char *text, guint64 *numbers, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      char *end = NULL;

      if (!g_ascii_isdigit (*text))
        return FALSE;
      numbers[i] = g_ascii_strtoull (text, &end, 10);
      if (*end != (i + 1 < n ? '.' : '\0'))
        return FALSE;
      text = end + 1;
    }
  return TRUE;
}

static gboolean
parse_fork (const char *text, MpProcessId *parent, MpProcessId *child)
{
  guint64 numbers[5];

  if (!parse_numbers (text, numbers, G_N_ELEMENTS (numbers)))
    return FALSE;
  *parent = (MpProcessId){ .namespace = numbers[0], .pid = numbers[1], .start = numbers[2] };
  *child = (MpProcessId){ .namespace = numbers[0], .pid = numbers[3], .start = numbers[4] };
  return TRUE;
}

void
mp_registry_note_fork (const MpProcessId *parent, const MpProcessId *child)
{
  static const char prefix[] = FORKS_NAME "/";
  char path[PATH_SIZE] = FORKS_NAME "/";
  gsize length = sizeof prefix - 1;

  if (!is_base_open ())
    return;
  format_fork (path + length, sizeof path - length, parent, child);
  mp_fd_close (
    openat (base.fd, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
}

typedef struct
{
  MpProcessId parent;
  MpProcessId child;
} Fork;

GArray *
mp_registry_list_forks (void)
{
  g_autoptr (GArray) forks = g_array_new (FALSE, FALSE, sizeof (Fork));
  int fd = mp_registry_open_folder (MP_REGISTRY_FORKS, NULL);
  DIR *dir = fd < 0 ? NULL : fdopendir (fd);
  const struct dirent *entry;

  if (dir == NULL)
    {
      mp_fd_close (fd);
      return g_steal_pointer (&forks);
    }
  while ((entry = readdir (dir)) != NULL)
    {
      Fork one;

      if (!parse_fork (entry->d_name, &one.parent, &one.child))
        continue;
      if (mp_process_id_get_state (&one.child) == MP_PROCESS_GONE)
        unlinkat (fd, entry->d_name, 0);
      else
        g_array_append_val (forks, one);
    }
  closedir (dir);
  return g_steal_pointer (&forks);
}

/* Records */

MpNameHolder *
mp_name_holder_new (const MpProcessId *process, const MpFdName *fds, guint n_fds)
{
  MpNameHolder *self = g_malloc (sizeof *self + n_fds * sizeof *fds);

  self->process = *process;
  self->n_fds = n_fds;
  for (guint i = 0; i < n_fds; i++)
    self->fds[i] = fds[i];
  return self;
}

MpNameRecord *
mp_name_record_new (guint64 id, GVariant *handle)
{
  MpNameRecord *self = g_new (MpNameRecord, 1);

  self->id = id;
  self->handle = handle != NULL ? g_variant_ref_sink (handle) : NULL;
  self->holders = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
mp_name_record_free (MpNameRecord *self)
{
  g_clear_pointer (&self->handle, g_variant_unref);
  g_ptr_array_unref (self->holders);
  g_free (self);
}

static MpNameHolder *
find_holder (GPtrArray *holders, const MpProcessId *process)
{
  for (guint i = 0; i < holders->len; i++)
    {
      MpNameHolder *holder = g_ptr_array_index (holders, i);

      if (mp_process_id_equal (&holder->process, process))
        return holder;
    }
  return NULL;
}

MpNameHolder *
mp_name_record_find (MpNameRecord *self, const MpProcessId *process)
{
  return find_holder (self->holders, process);
}

static gboolean
is_held_by (const MpNameHolder *holder, const MpProcessId *process)
{
  MpProcessState state = mp_process_id_get_state (process);

  if (state != MP_PROCESS_ALIVE)
    return state != MP_PROCESS_GONE;
  for (guint i = 0; i < holder->n_fds; i++)
    {
      if (!mp_fd_name_is_there (&holder->fds[i], process))
        return FALSE;
    }
  return TRUE;
}

/* Those forked by @holder that still have what it had. */
static void
add_children (MpNameRecord *self, const MpNameHolder *holder, GArray *forks, GPtrArray *there)
{
  for (guint i = 0; i < forks->len; i++)
    {
      const Fork *one = &g_array_index (forks, Fork, i);

      if (mp_process_id_equal (&one->parent, &holder->process) &&
          find_holder (there, &one->child) == NULL &&
          find_holder (self->holders, &one->child) == NULL && is_held_by (holder, &one->child))
        g_ptr_array_add (there, mp_name_holder_new (&one->child, holder->fds, holder->n_fds));
    }
}

gboolean
mp_name_record_prune (MpNameRecord *self)
{
  g_autoptr (GPtrArray) there = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) forks = NULL;
  guint n_same = 0, n_before = self->holders->len;
  gboolean changed;

  if (n_before > 0)
    forks = mp_registry_list_forks ();
  for (guint i = 0; i < n_before; i++)
    {
      MpNameHolder *holder = g_ptr_array_index (self->holders, i);

      if (forks->len > 0)
        add_children (self, holder, forks, there);
      if (!is_held_by (holder, &holder->process))
        continue;
      g_ptr_array_add (there, mp_name_holder_new (&holder->process, holder->fds, holder->n_fds));
      n_same++;
    }
  changed = n_same != n_before || there->len != n_before;
  g_ptr_array_unref (self->holders);
  self->holders = g_steal_pointer (&there);
  return changed;
}

/* What a file holds */

#define FILE_TYPE "(su(sua{sv}ah)ta(ttta" MP_FD_NAME_TYPE "))"
#define FILE_MAGIC "libmp-name"
#define FILE_VERSION 1

static GVariant *
record_to_variant (MpNameRecord *self)
{
  g_auto (GVariantBuilder) holders =
    G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("a(ttta" MP_FD_NAME_TYPE ")"));

  for (guint i = 0; i < self->holders->len; i++)
    {
      const MpNameHolder *holder = g_ptr_array_index (self->holders, i);

      g_variant_builder_open (&holders, G_VARIANT_TYPE ("(ttta" MP_FD_NAME_TYPE ")"));
      g_variant_builder_add (&holders, "t", holder->process.namespace);
      g_variant_builder_add (&holders, "t", holder->process.pid);
      g_variant_builder_add (&holders, "t", holder->process.start);
      g_variant_builder_open (&holders, G_VARIANT_TYPE ("a" MP_FD_NAME_TYPE));
      for (guint j = 0; j < holder->n_fds; j++)
        g_variant_builder_add_value (&holders, mp_fd_name_to_variant (&holder->fds[j]));
      g_variant_builder_close (&holders);
      g_variant_builder_close (&holders);
    }
  return g_variant_ref_sink (g_variant_new ("(su@(sua{sv}ah)t@a(ttta" MP_FD_NAME_TYPE "))",
                                            FILE_MAGIC,
                                            FILE_VERSION,
                                            self->handle,
                                            self->id,
                                            g_variant_builder_end (&holders)));
}

static MpNameHolder *
holder_from_variant (GVariant *variant)
{
  g_autoptr (GVariant) fds = NULL;
  MpFdName names[MP_FD_NAME_MAX];
  MpProcessId process;
  gsize n;

  g_variant_get (variant,
                 "(ttt@a" MP_FD_NAME_TYPE ")",
                 &process.namespace,
                 &process.pid,
                 &process.start,
                 &fds);
  n = g_variant_n_children (fds);
  if (n > MP_FD_NAME_MAX)
    return NULL;
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) fd = g_variant_get_child_value (fds, i);

      mp_fd_name_from_variant (&names[i], fd);
    }
  return mp_name_holder_new (&process, names, (guint) n);
}

static MpNameRecord *
record_from_variant (GVariant *variant)
{
  g_autoptr (MpNameRecord) self = NULL;
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GVariant) holders = NULL;
  const char *magic = NULL;
  guint32 version;
  guint64 id;

  g_variant_get (variant, "(&su@(sua{sv}ah)t@*)", &magic, &version, &handle, &id, &holders);
  if (!g_str_equal (magic, FILE_MAGIC) || version != FILE_VERSION)
    return NULL;
  self = mp_name_record_new (id, handle);
  if (g_variant_n_children (holders) > MAX_HOLDERS)
    return NULL;
  for (gsize i = 0; i < g_variant_n_children (holders); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (holders, i);
      MpNameHolder *holder = holder_from_variant (child);

      if (holder == NULL)
        return NULL;
      g_ptr_array_add (self->holders, holder);
    }
  return g_steal_pointer (&self);
}

/* Files */

static void
format_name (char *path, const char *name)
{
  g_snprintf (path, PATH_SIZE, "%c%s", NAME_PREFIX, name);
}

static void
wait_a_moment (guint attempt)
{
  struct timespec moment = { .tv_nsec = 100000L << MIN (attempt, 6u) };

  ppoll (NULL, 0, &moment, NULL);
}

/* FALSE with errno set: EWOULDBLOCK when the time is over. */
static gboolean
lock_file (int fd, gint64 deadline)
{
  for (guint attempt = 0;; attempt++)
    {
      if (flock (fd, LOCK_EX | LOCK_NB) == 0)
        return TRUE;
      if (errno == EINTR)
        continue;
      if (errno != EWOULDBLOCK || mp_deadline_left (deadline) == 0)
        return FALSE;
      wait_a_moment (attempt);
    }
}

static MpNameFileStatus
fail (const char *name, int err, GError **error)
{
  if (err == EWOULDBLOCK)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_BUSY,
                 "The name “%s” is being changed by a process that does not go on",
                 name);
  else
    g_set_error (error,
                 MP_ERROR,
                 err == ELOOP || err == EISDIR || err == ENXIO ? MP_ERROR_CORRUPT
                                                               : mp_error_from_errno (err),
                 "Opening the file of the name “%s”: %s",
                 name,
                 g_strerror (err));
  return MP_NAME_FILE_FAILED;
}

MpNameFileStatus
mp_name_file_lock (MpNameFile *self,
                   int folder_fd,
                   const char *name,
                   gint64 timeout_us,
                   GError **error)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  char path[PATH_SIZE];

  format_name (path, name);
  for (;;)
    {
      g_auto (MpFd) fd =
        openat (folder_fd, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
      struct stat status, now;

      if (fd < 0 && errno == ENOENT)
        return MP_NAME_FILE_ABSENT;
      if (fd < 0 || fstat (fd, &status) != 0)
        return fail (name, errno, error);
      if (!S_ISREG (status.st_mode) || status.st_uid != geteuid ())
        {
          g_set_error (error,
                       MP_ERROR,
                       MP_ERROR_CORRUPT,
                       "The file of the name “%s” is no file of this user",
                       name);
          return MP_NAME_FILE_FAILED;
        }
      if (!lock_file (fd, deadline))
        return fail (name, errno, error);
      /* It may have been replaced or removed while it was waited for. */
      if (fstatat (folder_fd, path, &now, AT_SYMLINK_NOFOLLOW) != 0)
        {
          if (errno == ENOENT)
            return MP_NAME_FILE_ABSENT;
          return fail (name, errno, error);
        }
      if (now.st_dev != status.st_dev || now.st_ino != status.st_ino)
        continue;
      *self = (MpNameFile){ .folder_fd = folder_fd, .name = name, .fd = g_steal_fd (&fd) };
      return MP_NAME_FILE_LOCKED;
    }
}

void
mp_name_file_clear (MpNameFile *self)
{
  mp_clear_fd (&self->fd);
}

static GBytes *
read_all (int fd)
{
  g_autofree guint8 *buffer = NULL;
  struct stat status;
  gsize length = 0, size;

  if (fstat (fd, &status) != 0 || status.st_size > MAX_FILE)
    return NULL;
  size = (gsize) status.st_size;
  buffer = g_malloc (size + 1);
  while (length < size)
    {
      gssize got = pread (fd, buffer + length, size - length, (off_t) length);

      if (got == 0)
        break;
      if (got < 0 && errno != EINTR)
        return NULL;
      length += got > 0 ? (gsize) got : 0;
    }
  return g_bytes_new_take (g_steal_pointer (&buffer), length);
}

MpNameRecord *
mp_name_file_read (MpNameFile *self, GError **error)
{
  g_autoptr (GBytes) bytes = read_all (self->fd);
  g_autoptr (GVariant) variant = NULL;
  MpNameRecord *record = NULL;

  if (bytes != NULL && g_bytes_get_size (bytes) == 0)
    return mp_name_record_new (0, NULL);
  if (bytes != NULL)
    variant =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (FILE_TYPE), bytes, FALSE));
  if (variant != NULL && g_variant_is_normal_form (variant))
    record = record_from_variant (variant);
  if (record == NULL)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_CORRUPT,
                 "The file of the name “%s” is damaged, or of another version of libmp",
                 self->name);
  return record;
}

static gboolean
write_all (int fd, const guint8 *data, gsize length)
{
  struct rlimit limit;

  /* Beyond this limit the kernel sends SIGXFSZ. */
  if (getrlimit (RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      length > limit.rlim_cur)
    {
      errno = ENOSPC;
      return FALSE;
    }
  while (length > 0)
    {
      gssize written = write (fd, data, length);

      if (written < 0 && errno != EINTR)
        return FALSE;
      data += MAX (written, 0);
      length -= (gsize) MAX (written, 0);
    }
  return TRUE;
}

/* A whole new file under a name of its own, in @path, for one to be put in the
 * place of another. Its name tells whose it is, lest it be left behind. */
static gboolean
write_temporary (int folder_fd,
                 const char *name,
                 MpNameRecord *record,
                 char path[PATH_SIZE],
                 GError **error)
{
  static _Atomic guint serial;
  MpProcessId self = mp_process_id_get_self ();
  g_autoptr (GVariant) variant = record_to_variant (record);
  g_auto (MpFd) fd = -1;

  if (record->holders->len > MAX_HOLDERS || g_variant_get_size (variant) > MAX_FILE)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "The name “%s” has too many holders (%u)",
                   name,
                   record->holders->len);
      return FALSE;
    }
  g_snprintf (path,
              PATH_SIZE,
              "%c%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ".%u",
              TEMPORARY_PREFIX,
              self.namespace,
              self.pid,
              self.start,
              atomic_fetch_add (&serial, 1));
  fd = openat (folder_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  /* Whatever the umask. */
  if (fd < 0 || fchmod (fd, 0600) != 0 ||
      !write_all (fd, g_variant_get_data (variant), g_variant_get_size (variant)))
    {
      int saved = errno;

      if (fd >= 0)
        unlinkat (folder_fd, path, 0);
      g_set_error (error,
                   MP_ERROR,
                   mp_error_from_errno (saved),
                   "Writing the file of the name “%s”: %s",
                   name,
                   g_strerror (saved));
      return FALSE;
    }
  return TRUE;
}

gboolean
mp_name_file_create (int folder_fd, const char *name, MpNameRecord *record, GError **error)
{
  char temporary[PATH_SIZE], path[PATH_SIZE];
  int result, saved;

  format_name (path, name);
  if (!write_temporary (folder_fd, name, record, temporary, error))
    return FALSE;
  /* A link, unlike a renaming, replaces nothing. */
  result = linkat (folder_fd, temporary, folder_fd, path, 0);
  saved = errno;
  unlinkat (folder_fd, temporary, 0);
  if (result == 0)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               mp_error_from_errno (saved),
               "Making the name “%s”: %s",
               name,
               g_strerror (saved));
  return FALSE;
}

gboolean
mp_name_file_replace (MpNameFile *self, MpNameRecord *record, GError **error)
{
  char temporary[PATH_SIZE], path[PATH_SIZE];
  gboolean good;

  format_name (path, self->name);
  good = write_temporary (self->folder_fd, self->name, record, temporary, error);
  if (good && renameat (self->folder_fd, temporary, self->folder_fd, path) != 0)
    {
      fail (self->name, errno, error);
      unlinkat (self->folder_fd, temporary, 0);
      good = FALSE;
    }
  mp_name_file_clear (self);
  return good;
}

gboolean
mp_name_file_unlink (MpNameFile *self, GError **error)
{
  char path[PATH_SIZE];
  gboolean good;

  format_name (path, self->name);
  good = unlinkat (self->folder_fd, path, 0) == 0;
  if (!good)
    fail (self->name, errno, error);
  mp_name_file_clear (self);
  return good;
}

/* Sweeping */

static gboolean
is_left_behind (const char *entry)
{
  guint64 numbers[4];
  MpProcessId process;

  if (!parse_numbers (entry + 1, numbers, G_N_ELEMENTS (numbers)))
    return FALSE;
  process = (MpProcessId){ .namespace = numbers[0], .pid = numbers[1], .start = numbers[2] };
  return mp_process_id_get_state (&process) == MP_PROCESS_GONE;
}

guint
mp_registry_sweep_folder (guint folder, guint max, MpNameFunc func)
{
  static long cursors[N_FOLDERS];
  int fd = mp_registry_open_folder (folder, NULL);
  DIR *dir = fd < 0 ? NULL : fdopendir (fd);
  const struct dirent *entry = NULL;
  guint n_removed = 0;

  if (dir == NULL)
    {
      mp_fd_close (fd);
      return 0;
    }
  /* A place that the folder does not know any more is as good as another. */
  seekdir (dir, cursors[folder]);
  for (guint i = 0; i < max; i++)
    {
      entry = readdir (dir);
      if (entry == NULL)
        break;
      if (entry->d_name[0] == NAME_PREFIX && entry->d_name[1] != '\0')
        n_removed += func (fd, entry->d_name + 1);
      else if (entry->d_name[0] == TEMPORARY_PREFIX && is_left_behind (entry->d_name))
        n_removed += unlinkat (fd, entry->d_name, 0) == 0;
    }
  cursors[folder] = entry != NULL ? telldir (dir) : 0;
  closedir (dir);
  return n_removed;
}
