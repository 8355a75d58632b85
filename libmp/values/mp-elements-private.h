/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-element-private.h"

#include "../memory/mp-arena-private.h"
#include "../sync/mp-rlock.h"

G_BEGIN_DECLS

/* What values and arrays are made of: numbers of one type in a block of an
 * arena, and a lock for whoever wants one, which nothing here takes.
 *
 * The type and the length are in the handle, and nowhere in the memory that
 * others can write: the arena knows the type, too, as a part of the block's kind,
 * and the size. A handle that says otherwise is refused. */
typedef struct
{
  MpBlock block;
  MpValueType type;
  gsize size; /* of each */
  gsize length;
  MpRLock *lock; /* a reference; NULL: none */
} MpElements;

/* @self: zeroed, but for the type and the lock. MP_ERROR_LIMIT if there is no
 * memory for so many. */
gboolean mp_elements_init (MpElements *self, gsize length, GError **error);
void mp_elements_clear (MpElements *self);

GVariant *mp_elements_to_handle (MpElements *self,
                                 const char *name,
                                 GUnixFDList *fd_list,
                                 GError **error);
/* @self: without a block and a lock. */
gboolean mp_elements_from_handle (MpElements *self,
                                  const char *name,
                                  GVariant *handle,
                                  GUnixFDList *fd_list,
                                  GError **error);

/* The place of one, which was checked. */
static inline gpointer
mp_elements_peek (MpElements *self, gsize index)
{
  return (guint8 *) self->block.memory + index * self->size;
}

/* MP_ERROR_INVALID_ARGUMENT, unless there are @n from @start on. */
gboolean mp_elements_check_range (MpElements *self, gsize start, gsize n, GError **error);

/* Many at once, as memcpy() copies: not one after the other, nor at one moment.
 * The range is checked. */
GVariant *mp_elements_read (MpElements *self, gsize start, gsize n, GError **error);
GBytes *mp_elements_read_bytes (MpElements *self, gsize start, gsize n, GError **error);
/* All or none, unless the process is killed meanwhile. */
gboolean mp_elements_write (MpElements *self, gsize start, GVariant *values, GError **error);
gboolean mp_elements_write_bytes (MpElements *self, gsize start, GBytes *bytes, GError **error);

G_END_DECLS
