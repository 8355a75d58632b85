/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A process has ended: what it alone held in shared memory is freed soon, on the
 * pump. Cheap; many calls are one sweep. */
void mp_sweep_soon (void);

G_END_DECLS
