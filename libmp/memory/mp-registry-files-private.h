/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "mp-lender-private.h"
#include "mp-process-id-private.h"
#include "mp-registry-private.h"

G_BEGIN_DECLS

/* The registry's files, for mp-registry.c only. */

/* Besides those of MpRegistryFolder. */
#define MP_REGISTRY_FORKS 2

/* The folder, opened; made if it is not there. -1 with @error set. */
int mp_registry_open_folder (guint folder, GError **error);

/* One process that holds a name. */
typedef struct
{
  MpProcessId process;
  guint n_fds;
  MpFdName fds[];
} MpNameHolder;

/* What the file of a name says. */
typedef struct
{
  guint64 id;
  GVariant *handle;
  GPtrArray *holders; /* of MpNameHolder */
} MpNameRecord;

MpNameHolder *mp_name_holder_new (const MpProcessId *process, const MpFdName *fds, guint n_fds);
MpNameRecord *mp_name_record_new (guint64 id, GVariant *handle);
void mp_name_record_free (MpNameRecord *self);
/* NULL if there is none. */
MpNameHolder *mp_name_record_find (MpNameRecord *self, const MpProcessId *process);
/* Replaces the holders by those that are there, forked children included. Returns
 * whether there was any change. */
gboolean mp_name_record_prune (MpNameRecord *self);

typedef enum
{
  MP_NAME_FILE_LOCKED,
  MP_NAME_FILE_ABSENT,
  MP_NAME_FILE_FAILED
} MpNameFileStatus;

typedef struct
{
  int folder_fd; /* borrowed */
  const char *name;
  int fd; /* with the lock; -1: not locked */
} MpNameFile;

#define MP_NAME_FILE_INIT                                                                          \
  {                                                                                                \
    .fd = -1                                                                                       \
  }

/* The file of @name, locked: nobody else changes it, or what the name stands for. */
MpNameFileStatus mp_name_file_lock (MpNameFile *self,
                                    int folder_fd,
                                    const char *name,
                                    gint64 timeout_us,
                                    GError **error);
/* An empty file, as the crash of a machine may leave it, says that nobody holds the name. */
MpNameRecord *mp_name_file_read (MpNameFile *self, GError **error);
/* Each ends the lock. FALSE with @error set. */
gboolean mp_name_file_replace (MpNameFile *self, MpNameRecord *record, GError **error);
gboolean mp_name_file_unlink (MpNameFile *self, GError **error);
void mp_name_file_clear (MpNameFile *self);

/* A new file. MP_ERROR_EXISTS if there is one, whoever holds it. */
gboolean mp_name_file_create (int folder_fd,
                              const char *name,
                              MpNameRecord *record,
                              GError **error);

/* Notes that @child has what @parent has. For fork handlers, after
 * mp_registry_open_folder (MP_REGISTRY_FORKS). */
void mp_registry_note_fork (const MpProcessId *parent, const MpProcessId *child);
/* All that are noted; those of dead children are removed. */
GArray *mp_registry_list_forks (void);

/* For each name that is found in a folder, going on where it ended; removes
 * what dead processes left. Returns how many it removed. */
typedef gboolean (*MpNameFunc) (int folder_fd, const char *name);
guint mp_registry_sweep_folder (guint folder, guint max, MpNameFunc func);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpNameRecord, mp_name_record_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpNameFile, mp_name_file_clear)

G_END_DECLS
