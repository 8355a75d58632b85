/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <gio/gio.h>

#include "mp-version-macros.h"

G_BEGIN_DECLS

#define MP_TYPE_WAITABLE (mp_waitable_get_type ())

MP_AVAILABLE_IN_ALL
G_DECLARE_INTERFACE (MpWaitable, mp_waitable, MP, WAITABLE, GObject)

/**
 * MpWaitableInterface:
 * @prepare: whether it is ready; if not, which descriptor tells that it may be, and
 *   by which events. May be called again at any time, from any thread.
 *
 * What can be waited for together with others.
 *
 * Since: 0.1
 */
struct _MpWaitableInterface
{
  GTypeInterface parent_iface;

  /*< public >*/
  gboolean (*prepare) (MpWaitable *self, GPollFD *poll);
};

MP_AVAILABLE_IN_ALL
gboolean mp_waitable_prepare (MpWaitable *self, GPollFD *poll);
MP_AVAILABLE_IN_ALL
MpWaitable *mp_waitable_new_for_fd (int fd, GIOCondition condition) G_GNUC_WARN_UNUSED_RESULT;

MP_AVAILABLE_IN_ALL
GPtrArray *mp_wait (MpWaitable **waitables,
                    gsize n_waitables,
                    gint64 timeout_us,
                    GCancellable *cancellable,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
MP_AVAILABLE_IN_ALL
GPtrArray *mp_wait_once (MpWaitable **waitables,
                         gsize n_waitables,
                         gint64 timeout_us) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
