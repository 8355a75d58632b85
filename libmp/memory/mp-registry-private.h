/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gunixfdlist.h>
#include <glib.h>

G_BEGIN_DECLS

/* Names for what processes share, without anybody who would keep them: a name
 * resolves while any process holds it. How it works is described in
 * mp-registry.c. Thread-safe; a forked child holds what its parent held. */

typedef enum
{
  MP_REGISTRY_MEMORY, /* of MpSharedMemory */
  MP_REGISTRY_OBJECTS /* of mp_shareable_publish() */
} MpRegistryFolder;

/* That this process holds a name; counted. */
typedef struct _MpRegistryHold MpRegistryHold;

#define MP_REGISTRY_MAX_NAME 200

/* MP_ERROR_INVALID_ARGUMENT if @name cannot be one. */
gboolean mp_registry_check_name (const char *name, GError **error);

/* MP_ERROR_EXISTS if @name resolves; before what it shall name is made at some cost. */
gboolean mp_registry_check_free (MpRegistryFolder folder, const char *name, GError **error);

/* @handle: its descriptors are in @fd_list, and are kept open by the hold. */
MpRegistryHold *mp_registry_create (MpRegistryFolder folder,
                                    const char *name,
                                    GVariant *handle,
                                    GUnixFDList *fd_list,
                                    GError **error);
/* What was given to mp_registry_create(), by whomever. */
MpRegistryHold *mp_registry_open (MpRegistryFolder folder,
                                  const char *name,
                                  GVariant **handle,
                                  GUnixFDList **fd_list,
                                  GError **error);
/* Holds the name for somebody who has its files already. NULL if it does not
 * name these any more. */
MpRegistryHold *mp_registry_join (MpRegistryFolder folder,
                                  const char *name,
                                  guint64 id,
                                  GUnixFDList *fd_list);
/* A number that this name had never before and will never have again. */
guint64 mp_registry_hold_get_id (MpRegistryHold *self);
MpRegistryHold *mp_registry_hold_ref (MpRegistryHold *self);
void mp_registry_hold_unref (MpRegistryHold *self);

/* Until this process ends or somebody unlinks the name. */
void mp_registry_hold_keep (MpRegistryHold *self);

/* The name is free now; what it named stays with those who have it. @id: 0
 * for whatever it names. MP_ERROR_NOT_FOUND if it does not resolve. */
gboolean mp_registry_unlink (MpRegistryFolder folder, const char *name, guint64 id, GError **error);

/* Looks at up to @max entries, going on where it ended, and removes what
 * nobody holds. Returns how many it removed. */
guint mp_registry_sweep (MpRegistryFolder folder, guint max);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpRegistryHold, mp_registry_hold_unref)

G_END_DECLS
