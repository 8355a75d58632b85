/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gunixfdlist.h>
#include <glib.h>

#include "mp-process-id-private.h"

G_BEGIN_DECLS

/* Descriptors without a socket to send them over: a process keeps one open and
 * tells its number; whoever is told takes it from that process, if the two are
 * of one user.
 *
 * What is taken is compared with what was meant: a number may have passed to
 * another file, or the process id to another process. Thread-safe. */

/* A descriptor of some process, and which file it is. */
typedef struct
{
  gint32 fd;
  guint32 access; /* O_RDONLY, O_WRONLY or O_RDWR */
  guint64 device;
  guint64 inode;
  guint64 id; /* of an eventfd, which has no inode of its own; else 0 */
} MpFdName;

#define MP_FD_NAME_TYPE "(iuttt)"
#define MP_FD_NAME_MAX 64

/* FALSE with @error set if it is a file that cannot be told from others. */
gboolean mp_fd_name_init (MpFdName *self, int fd, GError **error);
gboolean mp_fd_name_is_same_file (const MpFdName *a, const MpFdName *b);
/* Whether @owner, which lives, has it still. */
gboolean mp_fd_name_is_there (const MpFdName *self, const MpProcessId *owner);
/* A descriptor of this process for the same file; -1 with @error set:
 * MP_ERROR_NOT_FOUND if the owner, or the file in it, is gone. */
int mp_fd_name_open (const MpFdName *self, const MpProcessId *owner, GError **error);

GVariant *mp_fd_name_to_variant (const MpFdName *self);
void mp_fd_name_from_variant (MpFdName *self, GVariant *variant);

/* A descriptor that this process keeps open for others. One for each file,
 * however often it is lent. */
typedef struct _MpLent MpLent;

/* Duplicates @fd if need be. */
MpLent *mp_lender_lend (int fd, GError **error);
/* All of @fd_list: an array of MpLent that gives them back when it is freed. */
GPtrArray *mp_lender_lend_all (GUnixFDList *fd_list, GError **error);
MpFdName mp_lent_get_name (MpLent *self);
MpLent *mp_lent_ref (MpLent *self);
void mp_lent_unref (MpLent *self);

/* Keeps @lent (consumed) for a minute more, so that what was sent can arrive;
 * not so long when there are many. */
void mp_lender_linger (GPtrArray *lent);
/* Closes what has lingered for long enough, or all. Returns how many went. */
guint mp_lender_purge (gboolean all);

/* For the registry's fork handlers, which come first. */
void mp_lender_before_fork (void);
void mp_lender_after_fork (void);

G_END_DECLS
