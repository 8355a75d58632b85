/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

G_BEGIN_DECLS

/* What a pool is made with; times are in microseconds. */
typedef struct
{
  guint n_workers;
  guint min_workers;
  gint64 idle_timeout; /* -1: never */
  guint max_tasks_per_worker;
  gint64 max_worker_age;     /* -1: any */
  guint64 max_worker_memory; /* 0: any */
  guint64 worker_memory_limit;
  gint64 task_timeout; /* -1: none */
  guint max_attempts;
  gint64 retry_delay;
  gint64 cancel_grace; /* -1: for ever */
  gint64 kill_grace;
  gboolean capture_output;
  GBytes *worker_data;         /* nullable */
  GUnixFDList *worker_fd_list; /* nullable */
} MpPoolSettings;

/* The properties of MpPool that are settings. */
enum
{
  MP_POOL_PROP_0,
  MP_POOL_PROP_N_WORKERS,
  MP_POOL_PROP_MIN_WORKERS,
  MP_POOL_PROP_IDLE_TIMEOUT,
  MP_POOL_PROP_MAX_TASKS_PER_WORKER,
  MP_POOL_PROP_MAX_WORKER_AGE,
  MP_POOL_PROP_MAX_WORKER_MEMORY,
  MP_POOL_PROP_WORKER_MEMORY_LIMIT,
  MP_POOL_PROP_TASK_TIMEOUT,
  MP_POOL_PROP_MAX_ATTEMPTS,
  MP_POOL_PROP_RETRY_DELAY,
  MP_POOL_PROP_CANCEL_GRACE,
  MP_POOL_PROP_KILL_GRACE,
  MP_POOL_PROP_CAPTURE_OUTPUT,
  MP_POOL_PROP_WORKER_DATA,
  MP_POOL_PROP_WORKER_FD_LIST,
  MP_POOL_N_SETTINGS
};

#define MP_POOL_MAX_WORKERS 4096

void mp_pool_settings_copy (MpPoolSettings *self, const MpPoolSettings *original);
void mp_pool_settings_clear (MpPoolSettings *self);
/* Fills in @properties. */
void mp_pool_settings_install (GParamSpec **properties);
gboolean mp_pool_settings_get (const MpPoolSettings *self, guint prop_id, GValue *value);
gboolean mp_pool_settings_set (MpPoolSettings *self, guint prop_id, const GValue *value);
gboolean mp_pool_settings_check (const MpPoolSettings *self, GError **error);
gboolean mp_pool_settings_check_n_workers (guint n_workers, GError **error);

G_END_DECLS
