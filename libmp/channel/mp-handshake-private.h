/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-transport-private.h"

G_BEGIN_DECLS

/* How both ends of a connection show that they have the same key, as those of Python's
 * multiprocessing.connection do. */
typedef struct _MpHandshake MpHandshake;

/* No message of it is longer. */
#define MP_HANDSHAKE_MAX_LENGTH 256

/* @listens: the end that asks first. */
MpHandshake *mp_handshake_new (GBytes *authkey, gboolean listens);
void mp_handshake_free (MpHandshake *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpHandshake, mp_handshake_free)

/* Goes on as far as it can: done when both have shown it. For MP_FLOW_AGAIN, @condition
 * is what it waits for. Nothing behind the handshake is read. MP_ERROR_AUTHENTICATION
 * if the other end has another key, or does not speak like this; MP_ERROR_CLOSED if it
 * has gone. */
MpFlow mp_handshake_advance (MpHandshake *self,
                             MpTransport *transport,
                             GIOCondition *condition,
                             GError **error);

G_END_DECLS
