/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <libmp.h>

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_STORE (mp_service_store_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceStore, mp_service_store, MP, SERVICE_STORE, GObject)

/* Takes items out of a queue for answers on the bus, without losing those
 * that an answer cannot carry. */
MpServiceStore *mp_service_store_new (MpQueue *queue);

/* The next item, or an av of at least one and up to @max; never waits:
 * MP_ERROR_EMPTY. An item that cannot be carried is that error, and goes to
 * the end of the queue. */
GVariant *mp_service_store_take (MpServiceStore *self, GError **error);
GVariant *mp_service_store_take_many (MpServiceStore *self, guint max, GError **error);

/* How many items are taken out of the queue and not answered with. */
guint mp_service_store_get_n_kept (MpServiceStore *self);

G_END_DECLS
