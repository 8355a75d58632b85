/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* What handles (MP_HANDLE_TYPE) have in common. */

/* Its layout, if it is one, of @kind (NULL: of any), of @version and of this process
 * id namespace; NULL with @error set. */
GVariant *mp_handle_check (GVariant *handle, const char *kind, guint32 version, GError **error);
/* A duplicate of one of those in @fd_list; -1 with @error set, MP_ERROR_LIMIT if there are too
 * many open. */
int mp_handle_get_fd (GUnixFDList *fd_list, gint32 index, GError **error);
/* A duplicate of the descriptor of a handle that has one; -1 with @error set. @what: for the error.
 */
int mp_handle_take_fd (GVariant *handle, GUnixFDList *fd_list, const char *what, GError **error);

G_END_DECLS
