/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether processes may be started from here: not in a second copy of a program
 * that was to become a zygote or a worker but has not called mp_bootstrap(),
 * and, with @by_reexecution, only if this program has called it. */
gboolean mp_bootstrap_check (gboolean by_reexecution, GError **error);

/* "one:two:three" as numbers; FALSE if there are not exactly @n. */
gboolean mp_bootstrap_parse_numbers (const char *text, gint64 *numbers, guint n);

G_END_DECLS
