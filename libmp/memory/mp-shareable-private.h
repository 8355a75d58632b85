/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-shareable.h"

G_BEGIN_DECLS

/* A handle is (s kind, u version, a{sv} layout, ah indexes into the fd list). */
#define MP_HANDLE_TYPE "(sua{sv}ah)"

typedef MpShareable *(*MpShareableImport) (GVariant *handle, GUnixFDList *fd_list, GError **error);

/* Called by each shareable type from a constructor function of its file, so
 * that a handle can be imported before the type was ever used. */
void mp_shareable_register_kind (const char *kind, MpShareableImport import);

G_END_DECLS
