/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-service.h"

G_BEGIN_DECLS

#define MP_TYPE_SERVICE_WAIT (mp_service_wait_get_type ())

G_DECLARE_FINAL_TYPE (MpServiceWait, mp_service_wait, MP, SERVICE_WAIT, GObject)

/* Why a wait ends without what it waited for. */
typedef enum
{
  MP_SERVICE_STOP_NONE,
  MP_SERVICE_STOP_TIMED_OUT,
  MP_SERVICE_STOP_CANCELLED,
  MP_SERVICE_STOP_PEER_GONE,
  MP_SERVICE_STOP_CLOSED,
} MpServiceStop;

/* A method call that waits for @target (an exported object, only compared):
 * bounded in time, cancellable by its Request, stopped when its caller leaves
 * the bus or @target ends. @options are filtered and know "timeout" and
 * "handle-token". On failure @invocation stays the caller's; otherwise it is
 * the wait's, to be answered by exactly one of mp_service_wait_answer(),
 * mp_service_wait_fail() and mp_service_wait_fail_with(). */
MpServiceWait *mp_service_wait_new (MpService *service,
                                    GDBusMethodInvocation *invocation,
                                    gpointer target,
                                    GVariantDict *options,
                                    GError **error);

/* Cancelled when the wait stops, synchronously. */
GCancellable *mp_service_wait_get_cancellable (MpServiceWait *self);

/* Whether the caller does not want to wait at all. */
gboolean mp_service_wait_is_instant (MpServiceWait *self);

const char *mp_service_wait_get_sender (MpServiceWait *self);
gpointer mp_service_wait_get_target (MpServiceWait *self);
MpServiceStop mp_service_wait_get_stop (MpServiceWait *self);

/* The first reason counts. */
void mp_service_wait_stop (MpServiceWait *self, MpServiceStop stop);

/* @answer is the tuple of the out arguments; floating is consumed. */
void mp_service_wait_answer (MpServiceWait *self, GVariant *answer, GUnixFDList *fd_list);

/* Answers with why the wait was stopped, or else with @error. */
void mp_service_wait_fail (MpServiceWait *self, const GError *error);

/* Answers with @error, whatever else happened; what is not of libmp is called
 * @other. */
void mp_service_wait_fail_with (MpServiceWait *self, const GError *error, const char *other);

G_END_DECLS
