/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_IDLE (mp_service_idle_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceIdle, mp_service_idle, MP, SERVICE_IDLE, GObject)

/* Emits the signal "idle" when nothing held the service for @timeout_seconds;
 * 0 means never. */
MpServiceIdle *mp_service_idle_new (guint timeout_seconds);

/* Counted; @reason must be a string that stays, and is for the log. */
void mp_service_idle_hold (MpServiceIdle *self, const char *reason);
void mp_service_idle_release (MpServiceIdle *self, const char *reason);

/* Something happened: the time starts again. */
void mp_service_idle_touch (MpServiceIdle *self);

guint mp_service_idle_get_holds (MpServiceIdle *self);

G_END_DECLS
