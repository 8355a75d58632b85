/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* What a name stands for lives as long as somebody has its files open, so a name
 * has to do no more than say who that is. For each name there is a small file in
 * a folder of the user,
 *
 *   $XDG_RUNTIME_DIR/libmp/names, or /tmp/libmp-UID if that variable does not name
 *   a folder of this user,
 *
 * which says what the name stands for (a handle, as of MpShareable) and who holds
 * it: process id, time of its start, and the numbers and inodes of the
 * descriptors it has. Whoever looks a name up takes the descriptors from one of
 * them, and adds itself.
 *
 * A holder whose process is gone, or whose descriptors are not these files any
 * more, is no holder: everybody who comes by strikes it out, and removes the file
 * with the last one. So killing a holder needs no cleaning up, and dropping a
 * name begins with closing the descriptors. Each visit also looks at a few
 * other names.
 *
 * A file is never changed. It is replaced by a new one, or removed, by whoever
 * has the lock of it and has seen, after that, that it is still the file of that
 * name. Being killed leaves the old or the new one, and perhaps a temporary file
 * whose name tells whose it was. Who finds a lock taken waits, and gives up after
 * a second.
 *
 * A forked child has the same descriptors under the same numbers. All that it
 * needs to be a holder is to be known as the child, for which its fork handler
 * makes an empty file with both names in a folder of its own: it can do that without
 * memory or locks. From there, whoever comes by adds it to what its parent
 * held. */

#include "mp-registry-files-private.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "mp-error-private.h"
#include "mp-fd-private.h"

#define LOCK_US G_USEC_PER_SEC
/* What need not be done now. */
#define LOCK_SHORT_US (50 * 1000)
/* Of others' entries, with each visit. */
#define N_SWEPT 4
#define FORKS_BETWEEN_SWEEPS 64
/* How deep forks of forks are told apart. */
#define MAX_LINEAGE 16

struct _MpRegistryHold
{
  /* All under the lock. */
  guint ref_count;
  gboolean linked; /* in the list: as far as is known, the name stands for this */
  gboolean kept;
  MpRegistryHold *next;

  MpRegistryFolder folder;
  char *name;
  guint64 id;
  GPtrArray *lent; /* what keeps the descriptors open */
};

/* Held over what is done with files, so that none is locked during a fork. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static MpRegistryHold *holds;

/* Under which names what this process holds may be noted: those of its parents
 * since one that was executed, and its own. */
static MpProcessId lineage[MAX_LINEAGE];
static guint n_lineage;

/* Forks */

static void
before_fork (void)
{
  pthread_mutex_lock (&lock);
  mp_lender_before_fork ();
}

static void
after_fork (void)
{
  mp_lender_after_fork ();
  pthread_mutex_unlock (&lock);
}

/* Who holds a name and forks again and again, but visits none, removes what its dead
 * children have left. */
static void
after_fork_in_parent (void)
{
  static guint n_forks;

  if (holds != NULL && ++n_forks % FORKS_BETWEEN_SWEEPS == 0)
    g_array_unref (mp_registry_list_forks ());
  after_fork ();
}

static void
after_fork_in_child (void)
{
  if (holds != NULL && n_lineage > 0)
    {
      MpProcessId self = mp_process_id_get_self ();

      for (guint i = 0; i < n_lineage; i++)
        mp_registry_note_fork (&lineage[i], &self);
      if (n_lineage == MAX_LINEAGE)
        memmove (lineage, lineage + 1, --n_lineage * sizeof *lineage);
      lineage[n_lineage++] = self;
    }
  else
    n_lineage = 0;
  after_fork ();
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}

/* From now on children matter. */
static gboolean
prepare_for_forks (GError **error)
{
  g_auto (MpFd) fd = mp_registry_open_folder (MP_REGISTRY_FORKS, error);

  if (fd < 0)
    return FALSE;
  if (n_lineage == 0)
    lineage[n_lineage++] = mp_process_id_get_self ();
  return TRUE;
}

/* Names */

gboolean
mp_registry_check_name (const char *name, GError **error)
{
  gsize length = strlen (name);
  const char *fault = NULL;

  if (length == 0)
    fault = "it is empty";
  else if (length > MP_REGISTRY_MAX_NAME)
    fault = "it is longer than 200 bytes";
  else if (strchr (name, '/') != NULL)
    fault = "it has a slash in it";
  else if (g_str_equal (name, ".") || g_str_equal (name, ".."))
    fault = "it is the name of a folder";
  else if (!g_utf8_validate (name, -1, NULL))
    fault = "it is not UTF-8";
  if (fault == NULL)
    return TRUE;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_INVALID_ARGUMENT,
               "“%.*s” cannot be the name of something shared: %s",
               g_utf8_validate (name, -1, NULL) ? (int) MIN (length, 400) : 0,
               name,
               fault);
  return FALSE;
}

/* Whether the file of @name was removed, as nobody holds it. */
static gboolean
sweep_name (int folder_fd, const char *name)
{
  g_auto (MpNameFile) file = MP_NAME_FILE_INIT;
  g_autoptr (MpNameRecord) record = NULL;

  if (mp_name_file_lock (&file, folder_fd, name, 0, NULL) != MP_NAME_FILE_LOCKED)
    return FALSE;
  record = mp_name_file_read (&file, NULL);
  if (record == NULL)
    return FALSE;
  mp_name_record_prune (record);
  return record->holders->len == 0 && mp_name_file_unlink (&file, NULL);
}

guint
mp_registry_sweep (MpRegistryFolder folder, guint max)
{
  guint n;

  pthread_mutex_lock (&lock);
  n = mp_registry_sweep_folder (folder, max, sweep_name);
  pthread_mutex_unlock (&lock);
  return n;
}

/* Holds */

static MpRegistryHold *
find_hold (MpRegistryFolder folder, const char *name)
{
  for (MpRegistryHold *self = holds; self != NULL; self = self->next)
    {
      if (self->folder == folder && g_str_equal (self->name, name))
        return self;
    }
  return NULL;
}

static void
unlink_hold (MpRegistryHold *self)
{
  MpRegistryHold **link = &holds;

  if (!self->linked)
    return;
  while (*link != self)
    link = &(*link)->next;
  *link = self->next;
  self->linked = FALSE;
}

static MpRegistryHold *
hold_new (MpRegistryFolder folder, const char *name, guint64 id, GPtrArray *lent)
{
  MpRegistryHold *self = g_new0 (MpRegistryHold, 1);

  self->ref_count = 1;
  self->folder = folder;
  self->name = g_strdup (name);
  self->id = id;
  self->lent = g_ptr_array_ref (lent);
  self->linked = TRUE;
  self->next = holds;
  holds = self;
  return self;
}

/* Strikes this process out. If that fails, the next one who comes by does it. */
static void
leave_file (MpRegistryHold *self)
{
  MpProcessId own = mp_process_id_get_self ();
  g_auto (MpFd) folder_fd = mp_registry_open_folder (self->folder, NULL);
  g_auto (MpNameFile) file = MP_NAME_FILE_INIT;
  g_autoptr (MpNameRecord) record = NULL;
  MpNameHolder *holder;
  gboolean changed;

  if (folder_fd < 0 ||
      mp_name_file_lock (&file, folder_fd, self->name, LOCK_SHORT_US, NULL) != MP_NAME_FILE_LOCKED)
    return;
  record = mp_name_file_read (&file, NULL);
  if (record == NULL || record->id != self->id)
    return;
  changed = mp_name_record_prune (record);
  holder = mp_name_record_find (record, &own);
  if (holder != NULL)
    changed = g_ptr_array_remove_fast (record->holders, holder);
  if (record->holders->len == 0)
    mp_name_file_unlink (&file, NULL);
  else if (changed)
    mp_name_file_replace (&file, record, NULL);
}

static void
hold_unref_locked (MpRegistryHold *self)
{
  gboolean linked = self->linked;

  if (--self->ref_count > 0)
    return;
  unlink_hold (self);
  /* First, so that nobody who comes by meanwhile thinks that it is held. */
  g_ptr_array_unref (self->lent);
  if (linked)
    leave_file (self);
  g_free (self->name);
  g_free (self);
}

MpRegistryHold *
mp_registry_hold_ref (MpRegistryHold *self)
{
  pthread_mutex_lock (&lock);
  self->ref_count++;
  pthread_mutex_unlock (&lock);
  return self;
}

void
mp_registry_hold_unref (MpRegistryHold *self)
{
  pthread_mutex_lock (&lock);
  hold_unref_locked (self);
  pthread_mutex_unlock (&lock);
}

guint64
mp_registry_hold_get_id (MpRegistryHold *self)
{
  return self->id;
}

/* The name stands for something else now, or for nothing. */
static void
forget_hold (MpRegistryHold *self)
{
  unlink_hold (self);
  if (self->kept)
    {
      self->kept = FALSE;
      hold_unref_locked (self);
    }
}

void
mp_registry_hold_keep (MpRegistryHold *self)
{
  pthread_mutex_lock (&lock);
  if (self->linked && !self->kept)
    {
      self->kept = TRUE;
      self->ref_count++;
    }
  pthread_mutex_unlock (&lock);
}

/* Whether the name of @self stands for something else now. */
static gboolean
is_overtaken (MpRegistryHold *self)
{
  g_auto (MpFd) folder_fd = mp_registry_open_folder (self->folder, NULL);
  g_auto (MpNameFile) file = MP_NAME_FILE_INIT;
  g_autoptr (MpNameRecord) record = NULL;

  if (folder_fd < 0)
    return FALSE;
  switch (mp_name_file_lock (&file, folder_fd, self->name, 0, NULL))
    {
    case MP_NAME_FILE_LOCKED:
      record = mp_name_file_read (&file, NULL);
      return record != NULL && record->id != self->id;
    case MP_NAME_FILE_ABSENT:
      return TRUE;
    case MP_NAME_FILE_FAILED:
    default:
      return FALSE;
    }
}

/* What is kept without an object goes when somebody else unlinked it; one is looked
 * at each time. */
static void
look_at_kept (void)
{
  static guint turn;
  MpRegistryHold *chosen = NULL;
  guint n_kept = 0;

  for (MpRegistryHold *self = holds; self != NULL; self = self->next)
    n_kept += self->kept;
  if (n_kept == 0)
    return;
  turn = (turn + 1) % n_kept;
  n_kept = 0;
  for (MpRegistryHold *self = holds; self != NULL && chosen == NULL; self = self->next)
    {
      if (self->kept && n_kept++ == turn)
        chosen = self;
    }
  if (chosen != NULL && is_overtaken (chosen))
    forget_hold (chosen);
}

/* Visits */

/* What every visit begins with: the folder, or -1 with @error set. */
static int
begin_visit (MpRegistryFolder folder, const char *name, GError **error)
{
  if (!mp_registry_check_name (name, error) || !prepare_for_forks (error))
    return -1;
  look_at_kept ();
  mp_registry_sweep_folder (folder, N_SWEPT, sweep_name);
  return mp_registry_open_folder (folder, error);
}

static void
add_self (MpNameRecord *record, GPtrArray *lent)
{
  MpProcessId self = mp_process_id_get_self ();
  MpFdName fds[MP_FD_NAME_MAX];

  for (guint i = 0; i < lent->len; i++)
    fds[i] = mp_lent_get_name (g_ptr_array_index (lent, i));
  g_ptr_array_add (record->holders, mp_name_holder_new (&self, fds, lent->len));
}

static gboolean
set_exists (const char *name, GError **error)
{
  g_set_error (error, MP_ERROR, MP_ERROR_EXISTS, "The name “%s” is taken", name);
  return FALSE;
}

static gboolean
set_not_found (const char *name, GError **error)
{
  g_set_error (error, MP_ERROR, MP_ERROR_NOT_FOUND, "Nothing has the name “%s”", name);
  return FALSE;
}

/* Puts @record in the place of a file that nobody holds any more. */
static gboolean
take_over (int folder_fd, const char *name, MpNameRecord *record, gboolean *again, GError **error)
{
  g_auto (MpNameFile) file = MP_NAME_FILE_INIT;
  g_autoptr (MpNameRecord) found = NULL;
  MpNameFileStatus status = mp_name_file_lock (&file, folder_fd, name, LOCK_US, error);

  *again = status == MP_NAME_FILE_ABSENT;
  if (status != MP_NAME_FILE_LOCKED)
    return FALSE;
  found = mp_name_file_read (&file, error);
  if (found == NULL)
    return FALSE;
  mp_name_record_prune (found);
  if (found->holders->len > 0)
    return set_exists (name, error);
  return record == NULL || mp_name_file_replace (&file, record, error);
}

static gboolean
create_file (int folder_fd, const char *name, MpNameRecord *record, GError **error)
{
  for (;;)
    {
      g_autoptr (GError) local_error = NULL;
      gboolean again;

      if (mp_name_file_create (folder_fd, name, record, &local_error))
        return TRUE;
      if (!g_error_matches (local_error, MP_ERROR, MP_ERROR_EXISTS))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      if (take_over (folder_fd, name, record, &again, error))
        return TRUE;
      if (!again)
        return FALSE;
    }
}

static guint64
new_id (void)
{
  return ((guint64) g_random_int () << 32 | g_random_int () | 1) ^ (guint64) g_get_real_time ()
                                                                     << 20;
}

static MpRegistryHold *
create_locked (MpRegistryFolder folder,
               const char *name,
               GVariant *handle,
               GPtrArray *lent,
               GError **error)
{
  g_auto (MpFd) folder_fd = begin_visit (folder, name, error);
  g_autoptr (MpNameRecord) record = NULL;
  MpRegistryHold *old;

  if (folder_fd < 0)
    return NULL;
  record = mp_name_record_new (new_id (), handle);
  add_self (record, lent);
  if (!create_file (folder_fd, name, record, error))
    return NULL;
  old = find_hold (folder, name);
  if (old != NULL)
    forget_hold (old);
  return hold_new (folder, name, record->id, lent);
}

MpRegistryHold *
mp_registry_create (MpRegistryFolder folder,
                    const char *name,
                    GVariant *handle,
                    GUnixFDList *fd_list,
                    GError **error)
{
  g_autoptr (GPtrArray) lent = NULL;
  MpRegistryHold *self;

  g_assert_cmpint (g_unix_fd_list_get_length (fd_list), <=, MP_FD_NAME_MAX);

  lent = mp_lender_lend_all (fd_list, error);
  if (lent == NULL)
    return NULL;
  pthread_mutex_lock (&lock);
  self = create_locked (folder, name, handle, lent, error);
  pthread_mutex_unlock (&lock);
  return self;
}

gboolean
mp_registry_check_free (MpRegistryFolder folder, const char *name, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_auto (MpFd) folder_fd = -1;
  gboolean absent = FALSE;

  pthread_mutex_lock (&lock);
  if (mp_registry_check_name (name, &local_error))
    folder_fd = mp_registry_open_folder (folder, &local_error);
  if (folder_fd >= 0)
    take_over (folder_fd, name, NULL, &absent, &local_error);
  pthread_mutex_unlock (&lock);
  if (local_error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* All descriptors of one holder; NULL with @error set. */
static GUnixFDList *
take_from (const MpNameHolder *holder, GError **error)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();

  for (guint i = 0; i < holder->n_fds; i++)
    {
      g_auto (MpFd) fd = mp_fd_name_open (&holder->fds[i], &holder->process, error);

      if (fd < 0)
        return NULL;
      if (g_unix_fd_list_append (fd_list, fd, NULL) < 0)
        {
          g_set_error_literal (error, MP_ERROR, MP_ERROR_LIMIT, "Too many open files");
          return NULL;
        }
    }
  return g_steal_pointer (&fd_list);
}

/* From this process if it has them, else from any. */
static GUnixFDList *
take_from_any (MpNameRecord *record, GError **error)
{
  MpProcessId self = mp_process_id_get_self ();
  MpNameHolder *own = mp_name_record_find (record, &self);
  g_autoptr (GError) first_error = NULL;
  GUnixFDList *fd_list = own != NULL ? take_from (own, &first_error) : NULL;

  for (guint i = 0; i < record->holders->len && fd_list == NULL; i++)
    {
      g_autoptr (GError) local_error = NULL;

      fd_list = take_from (g_ptr_array_index (record->holders, i), &local_error);
      if (fd_list == NULL && first_error == NULL)
        first_error = g_steal_pointer (&local_error);
    }
  if (fd_list == NULL)
    g_propagate_error (error, g_steal_pointer (&first_error));
  return fd_list;
}

/* Makes this process a holder, if it is none. */
static MpRegistryHold *
hold_name (MpNameFile *file,
           MpNameRecord *record,
           MpRegistryFolder folder,
           GUnixFDList *fd_list,
           gboolean changed,
           GError **error)
{
  MpProcessId self = mp_process_id_get_self ();
  MpRegistryHold *hold = find_hold (folder, file->name);
  g_autoptr (GPtrArray) lent = NULL;
  const char *name = file->name;

  if (hold != NULL && hold->id != record->id)
    {
      forget_hold (hold);
      hold = NULL;
    }
  lent = hold != NULL ? g_ptr_array_ref (hold->lent) : mp_lender_lend_all (fd_list, error);
  if (lent == NULL)
    return NULL;
  if (mp_name_record_find (record, &self) == NULL)
    {
      add_self (record, lent);
      changed = TRUE;
    }
  if (changed && !mp_name_file_replace (file, record, error))
    return NULL;
  if (hold == NULL)
    return hold_new (folder, name, record->id, lent);
  hold->ref_count++;
  return hold;
}

static MpRegistryHold *
open_locked (MpRegistryFolder folder,
             const char *name,
             GVariant **handle,
             GUnixFDList **fd_list,
             GError **error)
{
  g_auto (MpFd) folder_fd = begin_visit (folder, name, error);
  g_auto (MpNameFile) file = MP_NAME_FILE_INIT;
  g_autoptr (MpNameRecord) record = NULL;
  g_autoptr (GUnixFDList) found = NULL;
  MpNameFileStatus status;
  MpRegistryHold *hold;
  gboolean changed;

  if (folder_fd < 0)
    return NULL;
  status = mp_name_file_lock (&file, folder_fd, name, LOCK_US, error);
  if (status == MP_NAME_FILE_ABSENT)
    set_not_found (name, error);
  if (status != MP_NAME_FILE_LOCKED)
    return NULL;
  record = mp_name_file_read (&file, error);
  if (record == NULL)
    return NULL;
  changed = mp_name_record_prune (record);
  if (record->holders->len == 0)
    {
      mp_name_file_unlink (&file, NULL);
      set_not_found (name, error);
      return NULL;
    }
  found = take_from_any (record, error);
  if (found == NULL)
    {
      g_prefix_error (error, "The name “%s”: ", name);
      return NULL;
    }
  hold = hold_name (&file, record, folder, found, changed, error);
  if (hold == NULL)
    return NULL;
  *handle = g_variant_ref (record->handle);
  *fd_list = g_steal_pointer (&found);
  return hold;
}

MpRegistryHold *
mp_registry_open (MpRegistryFolder folder,
                  const char *name,
                  GVariant **handle,
                  GUnixFDList **fd_list,
                  GError **error)
{
  MpRegistryHold *self;

  pthread_mutex_lock (&lock);
  self = open_locked (folder, name, handle, fd_list, error);
  pthread_mutex_unlock (&lock);
  return self;
}

/* Whether some holder has exactly these files: a handle may say anything. */
static gboolean
has_files (MpNameRecord *record, GPtrArray *lent)
{
  for (guint i = 0; i < record->holders->len; i++)
    {
      const MpNameHolder *holder = g_ptr_array_index (record->holders, i);
      gboolean same = holder->n_fds == lent->len;

      for (guint j = 0; j < holder->n_fds && same; j++)
        {
          MpFdName own = mp_lent_get_name (g_ptr_array_index (lent, j));

          same = mp_fd_name_is_same_file (&holder->fds[j], &own);
        }
      if (same)
        return TRUE;
    }
  return FALSE;
}

static MpRegistryHold *
join_locked (MpRegistryFolder folder,
             const char *name,
             guint64 id,
             GUnixFDList *fd_list,
             GPtrArray *lent)
{
  g_auto (MpFd) folder_fd = begin_visit (folder, name, NULL);
  g_auto (MpNameFile) file = MP_NAME_FILE_INIT;
  g_autoptr (MpNameRecord) record = NULL;
  gboolean changed;

  if (folder_fd < 0 ||
      mp_name_file_lock (&file, folder_fd, name, LOCK_SHORT_US, NULL) != MP_NAME_FILE_LOCKED)
    return NULL;
  record = mp_name_file_read (&file, NULL);
  if (record == NULL || record->id != id)
    return NULL;
  changed = mp_name_record_prune (record);
  if (!has_files (record, lent))
    return NULL;
  return hold_name (&file, record, folder, fd_list, changed, NULL);
}

MpRegistryHold *
mp_registry_join (MpRegistryFolder folder, const char *name, guint64 id, GUnixFDList *fd_list)
{
  g_autoptr (GPtrArray) lent = mp_lender_lend_all (fd_list, NULL);
  MpRegistryHold *self;

  if (lent == NULL || lent->len > MP_FD_NAME_MAX)
    return NULL;
  pthread_mutex_lock (&lock);
  self = join_locked (folder, name, id, fd_list, lent);
  pthread_mutex_unlock (&lock);
  return self;
}

static gboolean
unlink_locked (MpRegistryFolder folder, const char *name, guint64 id, GError **error)
{
  g_auto (MpFd) folder_fd = begin_visit (folder, name, error);
  g_auto (MpNameFile) file = MP_NAME_FILE_INIT;
  g_autoptr (MpNameRecord) record = NULL;
  MpRegistryHold *hold;
  MpNameFileStatus status;
  gboolean held = TRUE;

  if (folder_fd < 0)
    return FALSE;
  status = mp_name_file_lock (&file, folder_fd, name, LOCK_US, error);
  if (status == MP_NAME_FILE_FAILED)
    return FALSE;
  if (status == MP_NAME_FILE_ABSENT)
    return set_not_found (name, error);
  record = mp_name_file_read (&file, NULL);
  if (id != 0 && (record == NULL || record->id != id))
    return set_not_found (name, error);
  /* A damaged file can be got rid of like any other. */
  if (record != NULL)
    {
      mp_name_record_prune (record);
      held = record->holders->len > 0;
    }
  if (!mp_name_file_unlink (&file, error))
    return FALSE;
  hold = find_hold (folder, name);
  if (hold != NULL)
    forget_hold (hold);
  return held || set_not_found (name, error);
}

gboolean
mp_registry_unlink (MpRegistryFolder folder, const char *name, guint64 id, GError **error)
{
  gboolean done;

  pthread_mutex_lock (&lock);
  done = unlink_locked (folder, name, id, error);
  pthread_mutex_unlock (&lock);
  return done;
}
