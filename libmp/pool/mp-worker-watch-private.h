/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-claims-private.h"
#include "mp-worker.h"

G_BEGIN_DECLS

/* A thread of a worker that sleeps until a task is asked to end, and then cancels
 * the task's cancellable. */
typedef struct _MpWorkerWatch MpWorkerWatch;

/* @claims: outlives it */
MpWorkerWatch *mp_worker_watch_new (MpClaims *claims, guint worker);
void mp_worker_watch_free (MpWorkerWatch *self);
/* @cancellable: (nullable): of the task in @slot, from now on */
void mp_worker_watch_set (MpWorkerWatch *self, guint slot, GCancellable *cancellable);

/* mp-worker.c */
void mp_worker_watch_task (MpWorker *self, GCancellable *cancellable);

G_END_DECLS
