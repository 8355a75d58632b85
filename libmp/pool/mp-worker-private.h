/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-pool-private.h"
#include "mp-worker-watch-private.h"
#include "mp-worker.h"

G_BEGIN_DECLS

struct _MpWorker
{
  GObject parent_instance;

  MpRing *tasks;
  MpRing *results;
  MpClaims *claims;
  guint index;
  gboolean capture;
  guint max_tasks;    /* 0: no limit */
  gint64 leave_at;    /* -1: never */
  guint64 max_memory; /* 0: no limit */
  gint64 memory_read_at;
  GBytes *start_data;

  /* The task at hand. */
  MpTaskHeader task;
  gboolean attached; /* it has asked for a task */
  gboolean busy;
  gboolean finishing; /* it is too late to cancel it */
  guint n_taken;
  /* Only of the thread that answers. */
  gboolean hurried;     /* the next task is asked for right after the answer */
  gboolean watched;     /* the last result was looked for, and nobody had to be woken */
  gboolean untold;      /* nobody was woken for it yet */
  MpWorkerWatch *watch; /* NULL: nobody asked for a cancellable */

  /* Its bytes, from the public part of the header on; 8-aligned. */
  guint8 *buffer;
  gsize buffer_size;
  gsize length;
  gboolean malformed;
  MpRingBlock *argument; /* nullable; its payload, unless that was taken */
};

/* One that g_object_new() made is of no use. */
#define MP_IS_READY_WORKER(self) (MP_IS_WORKER (self) && (self)->results != NULL)

G_END_DECLS
