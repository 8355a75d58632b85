/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Waits of this thread that a signal handler interrupted and that it will go on with.
 * There may be several: a handler, or what a language runs for it, may wait for
 * something else meanwhile. */

/* A name for an object, which no other in this process ever has. */
guint64 mp_interrupted_new_serial (void);

/* Keeps @size bytes of what is known of the wait for @serial, of which there is none yet. */
void mp_interrupted_put (guint64 serial, gconstpointer data, gsize size);
/* Takes them back. FALSE if there are none. */
gboolean mp_interrupted_take (guint64 serial, gpointer data, gsize size);

G_END_DECLS
