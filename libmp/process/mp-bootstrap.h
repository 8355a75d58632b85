/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include "mp-task.h"

G_BEGIN_DECLS

MP_AVAILABLE_IN_ALL
void mp_bootstrap (int *argc, char ***argv);
MP_AVAILABLE_IN_ALL
MpTask *mp_bootstrap_take_task (GVariant **argument, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
