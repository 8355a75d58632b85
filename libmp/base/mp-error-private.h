/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-error.h"

G_BEGIN_DECLS

MpError mp_error_from_errno (int err);

/* Sets "@what: the system's text for @err"; always returns FALSE, so that it
 * can stand in a return statement. */
gboolean mp_set_error_from_errno (GError **error, int err, const char *what);

G_END_DECLS
