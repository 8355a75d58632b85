/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-service-idle.h"

G_BEGIN_DECLS

/* Whose an exported interface is. */
typedef enum
{
  MP_SERVICE_SHARING_PUBLIC,  /* the service's own */
  MP_SERVICE_SHARING_NAMED,   /* everybody's */
  MP_SERVICE_SHARING_OWNED,   /* everybody may use it, its owner may end it */
  MP_SERVICE_SHARING_PRIVATE, /* its owner's */
} MpServiceSharing;

/* To be called by the class_init of each implementation, which must be a
 * direct and final subclass of a generated skeleton: from then on every method
 * call is checked against the table in mp-service-access.c before it gets to
 * its handler. */
void mp_service_access_install (GDBusInterfaceSkeletonClass *klass);

/* Without it, every method of @skeleton is refused. Calls that are let through
 * touch @idle. */
void mp_service_access_guard (GDBusInterfaceSkeleton *skeleton,
                              MpServiceIdle *idle,
                              const char *owner,
                              MpServiceSharing sharing);

/* For the set_property of implementations that override properties: these are
 * looked up when they are asked for. */
void mp_service_access_refuse_to_set (GObject *object,
                                      guint prop_id,
                                      const GValue *value,
                                      GParamSpec *pspec);

/* The rule by itself, for tests. */
gboolean mp_service_access_check (const char *interface,
                                  const char *method,
                                  const char *sender,
                                  const char *owner,
                                  MpServiceSharing sharing);

G_END_DECLS
