/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* A word that is bumped at each change, and waiting until something holds. */

typedef gboolean (*MpWaitFunc) (gpointer data);

typedef enum
{
  MP_WAIT_DONE,
  MP_WAIT_TIMED_OUT,
  MP_WAIT_CANCELLED,
  MP_WAIT_INTERRUPTED /* a signal handler ran in this thread */
} MpWordWaitResult;

/* Waits until @done gives TRUE, which is asked at first and after each bump. */
MpWordWaitResult mp_wait_word (_Atomic uint32_t *word,
                               MpWaitFunc done,
                               gpointer data,
                               gint64 deadline,
                               gboolean interruptible,
                               GCancellable *cancellable);

void mp_wait_word_bump (_Atomic uint32_t *word);

G_END_DECLS
