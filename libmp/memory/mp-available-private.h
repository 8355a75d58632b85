/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* FALSE if the system, or the control group of this process, has certainly not so
 * much memory: asked to take it nevertheless, the kernel kills somebody. */
gboolean mp_available_is_enough (guint64 size);

G_END_DECLS
