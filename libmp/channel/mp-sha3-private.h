/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The longest that is asked for. */
#define MP_SHA3_MAX_LENGTH 64

/* HMAC by SHA3 of @length bytes (FIPS 202, which GLib does not have) into @mac. */
void mp_sha3_hmac (gsize length,
                   const guint8 *key,
                   gsize key_length,
                   const guint8 *data,
                   gsize data_length,
                   guint8 *mac);

G_END_DECLS
