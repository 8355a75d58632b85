/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-service-idle.h"
#include "mp-service-peers.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE (mp_service_get_type ())

G_DECLARE_FINAL_TYPE (MpService, mp_service, MP, SERVICE, GObject)

typedef struct _MpServiceObject MpServiceObject;
typedef struct _MpServiceWait MpServiceWait;

/* What clients can have at most. */
typedef struct
{
  guint objects_max;
  guint objects_per_peer_max;
  guint processes_max;
  guint waits_max;
  guint waits_per_peer_max;
} MpServiceLimits;

extern const MpServiceLimits mp_service_limits_default;

/* What all parts of the service share: the connection, the objects, the
 * calls that wait, and what is counted. Everything runs in one thread.
 * @connection must not have the bus name yet. */
MpService *mp_service_new (GDBusConnection *connection,
                           const MpServiceLimits *limits,
                           MpServiceIdle *idle,
                           GError **error);

/* Ends every object and every wait, and takes nothing more. */
void mp_service_shut_down (MpService *self);

GDBusConnection *mp_service_get_connection (MpService *self);
MpServiceIdle *mp_service_get_idle (MpService *self);
MpServicePeers *mp_service_get_peers (MpService *self);
const MpServiceLimits *mp_service_get_limits (MpService *self);
guint mp_service_get_n_objects (MpService *self);
guint mp_service_get_n_processes (MpService *self);
guint mp_service_get_n_waits (MpService *self);

/* A number that was not given before. */
guint64 mp_service_take_serial (MpService *self);

/* FALSE when something has the path. */
gboolean mp_service_reserve_path (MpService *self, const char *path);
void mp_service_release_path (MpService *self, const char *path);

/* Counts an object of @owner, or some worker processes: MP_ERROR_LIMIT when
 * there are too many. */
gboolean mp_service_charge_object (MpService *self, const char *owner, GError **error);
void mp_service_discharge_object (MpService *self, const char *owner);
gboolean mp_service_charge_processes (MpService *self, guint n_processes, GError **error);
void mp_service_discharge_processes (MpService *self, guint n_processes);

gboolean mp_service_add_wait (MpService *self, MpServiceWait *wait, GError **error);
void mp_service_remove_wait (MpService *self, MpServiceWait *wait);
void mp_service_close_waits (MpService *self, gpointer target);

/* Exports @object, which the service keeps until it is removed. */
gboolean mp_service_add_object (MpService *self, MpServiceObject *object, GError **error);
void mp_service_remove_object (MpService *self, MpServiceObject *object);

/* (transfer none) (nullable) */
MpServiceObject *mp_service_find_named (MpService *self, const char *kind, const char *name);

/* An a(so) of name and path, sorted by path; @kind "" means all. */
GVariant *mp_service_list_named (MpService *self, const char *kind);

/* Ends every object below @path. */
void mp_service_end_children (MpService *self, const char *path, const char *reason);

G_END_DECLS
