/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-service.h"

#include "mp-dbus.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_MANAGER (mp_service_manager_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceManager,
                      mp_service_manager,
                      MP,
                      SERVICE_MANAGER,
                      MpDBusManagerSkeleton)

/* The interface of the object at /org/libmp/Mp1; exports it. */
MpServiceManager *mp_service_manager_new (MpService *service, GError **error);

G_END_DECLS
