/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "../base/mp-version-macros.h"

G_BEGIN_DECLS

#define MP_TYPE_SHAREABLE (mp_shareable_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_INTERFACE (MpShareable, mp_shareable, MP, SHAREABLE, GObject)

struct _MpShareableInterface
{
  GTypeInterface parent_iface;

  /*< public >*/
  GVariant *(*to_handle) (MpShareable *self, GUnixFDList *fd_list, GError **error);
};

MP_AVAILABLE_IN_ALL
GVariant *mp_shareable_to_handle (MpShareable *self,
                                  GUnixFDList *fd_list,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
MpShareable *mp_shareable_new_from_handle (GVariant *handle,
                                           GUnixFDList *fd_list,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
gboolean mp_shareable_publish (MpShareable *self, const char *name, GError **error);
MP_AVAILABLE_IN_ALL
MpShareable *mp_shareable_open (const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
gboolean mp_shareable_unpublish (const char *name, GError **error);

G_END_DECLS
