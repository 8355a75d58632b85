/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include <glib-object.h>

#include "../base/mp-version-macros.h"

G_BEGIN_DECLS

MP_AVAILABLE_IN_ALL
gboolean mp_fork_check_threads (char ***threads, GError **error);

MP_AVAILABLE_IN_ALL
void mp_fork_begin (void);

MP_AVAILABLE_IN_ALL
void mp_fork_end (void);

MP_AVAILABLE_IN_ALL
gboolean mp_fork_bind_to_parent (int parent, GError **error);

MP_AVAILABLE_IN_ALL
gboolean mp_fork_bid_farewell (GError **error);

G_END_DECLS
