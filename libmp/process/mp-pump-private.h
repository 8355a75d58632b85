/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The one library thread of a process: started with the first call, all signals
 * blocked, its own main context. Zygote links, exits, and pools live on it, so
 * that they advance whether or not the program turns a main loop. Nothing that
 * can block for long, and no user code, runs there. */
GMainContext *mp_pump_get_context (void);

/* Has the pump look at @source from now on. */
void mp_pump_attach (GSource *source);

/* Runs @func on the pump thread soon (at once when called on it). */
void mp_pump_invoke (GSourceFunc func, gpointer user_data, GDestroyNotify destroy);

gboolean mp_pump_is_current_thread (void);

/* Grows with each fork of the program that made this process: what was made under
 * another number belongs to another process, and its locks may be held for ever. */
guint mp_pump_get_generation (void);

/* The kernel's id of the pump thread, 0 when there is none. */
int mp_pump_get_thread_id (void);

/* Between these two the pump thread rests at a point where it holds no lock,
 * so that the calling thread can fork. Not from the pump itself, and from one
 * thread at a time. */
void mp_pump_park (void);
void mp_pump_unpark (void);

G_END_DECLS
