/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef enum
{
  MP_FUTEX_WOKEN,       /* by mp_futex_wake(), which counted this sleeper */
  MP_FUTEX_TIMED_OUT,   /* the deadline is over */
  MP_FUTEX_INTERRUPTED, /* a signal handler ran in this thread */
  MP_FUTEX_CHANGED      /* the word was not @expected: never slept */
} MpFutexResult;

/* @shared: the word lies in memory that other processes see.
 * @deadline: see mp-clock-private.h */
MpFutexResult mp_futex_wait (_Atomic uint32_t *word,
                             uint32_t expected,
                             gint64 deadline,
                             gboolean shared);
/* Returns how many were woken. */
int mp_futex_wake (_Atomic uint32_t *word, int n, gboolean shared);

G_END_DECLS
