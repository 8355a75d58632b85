/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#if !defined(MP_INSIDE) && !defined(MP_COMPILATION)
#error "Only <libmp.h> can be included directly."
#endif

#include "../base/mp-version-macros.h"

G_BEGIN_DECLS

MP_AVAILABLE_IN_ALL
void mp_bootstrap (int *argc, char ***argv);

G_END_DECLS
