/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Where a listener listens: unix:/path, unix-abstract:name, tcp:host:port. */

/* What such a text stands for; NULL with @error set. */
GSocketConnectable *mp_address_parse (const char *text, GError **error);
/* The same for what can be bound; a name is looked up, which may take its time. */
GSocketAddress *mp_address_parse_local (const char *text, GError **error);
char *mp_address_to_text (GSocketAddress *address);

G_END_DECLS
