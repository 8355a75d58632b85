/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-service-identity.h"

#include "mp-dbus.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_OBJECT (mp_service_object_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceObject, mp_service_object, MP, SERVICE_OBJECT, MpDBusObjectSkeleton)

/* The object on the bus: org.libmp.Mp1.Object, and @face, which is the
 * interface of its kind, at the path of @identity (consumed). @face listens to
 * the signal "ended" (reason) to give up what it has, and is kept until then. */
MpServiceObject *mp_service_object_new (MpServiceIdentity *identity, GDBusInterfaceSkeleton *face);

/* For mp_service_add_object(). */
gboolean mp_service_object_export (MpServiceObject *self,
                                   GDBusObjectManagerServer *named,
                                   GError **error);

/* Unexports it, stops its waits and leaves the service. Only once. */
void mp_service_object_end (MpServiceObject *self, const char *reason);

/* The peer has left: ends the object if it was its owner's. */
void mp_service_object_forget_peer (MpServiceObject *self, const char *peer);

/* To its owner and those who hold references. @parameters may be floating. */
void mp_service_object_tell (MpServiceObject *self,
                             const char *interface,
                             const char *signal,
                             GVariant *parameters);

const MpServiceIdentity *mp_service_object_get_identity (MpServiceObject *self);
const char *mp_service_object_get_path (MpServiceObject *self);
const char *mp_service_object_get_kind (MpServiceObject *self);
const char *mp_service_object_get_name (MpServiceObject *self);

/* Whether its name leads to it. */
gboolean mp_service_object_get_linked (MpServiceObject *self);
gboolean mp_service_object_get_ended (MpServiceObject *self);

G_END_DECLS
