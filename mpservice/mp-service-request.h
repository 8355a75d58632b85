/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-service.h"

#include "mp-dbus.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_REQUEST (mp_service_request_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceRequest,
                      mp_service_request,
                      MP,
                      SERVICE_REQUEST,
                      MpDBusRequestSkeleton)

/* Exports the request @token of @sender, until it is withdrawn. Emits the
 * signal "cancel-requested". MP_ERROR_EXISTS when there is one. */
MpServiceRequest *mp_service_request_new (MpService *service,
                                          const char *sender,
                                          const char *token,
                                          GError **error);
void mp_service_request_withdraw (MpServiceRequest *self);

G_END_DECLS
