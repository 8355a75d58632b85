/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "libmp.h"

/* What the tests of pools share: the functions that their workers run, and what
 * is asked again and again. */

/* Registers the functions, runs workers, and sets GTest up. */
void pool_tasks_init (int *argc, char ***argv);

/* A native pool. */
MpPool *pool_new (guint n_workers);
/* With the properties that are named, whose context is the default one. */
MpPool *pool_new_with (const char *property, ...) G_GNUC_NULL_TERMINATED;
MpPool *pool_new_full (guint n_workers, guint max_tasks_per_worker, guint max_attempts);

/* Closes or terminates, joins, drops. */
void pool_close (MpPool *pool);
void pool_terminate (MpPool *pool);

/* The numbers from 0 as an av of x. */
GVariant *pool_numbers (guint n);

/* That @results are the squares of the numbers from 0. */
void pool_assert_squares (GVariant *results, guint n);

/* Turns the default main context until @condition gives TRUE. */
void pool_wait (gboolean (*condition) (gpointer user_data), gpointer user_data);

/* A pair of words that the tests and their tasks wait on: a task "gate" counts
 * itself in, and stays until the gate is opened. */
typedef struct _PoolGate PoolGate;

PoolGate *pool_gate_new (void);
void pool_gate_free (PoolGate *gate);
GVariant *pool_gate_argument (PoolGate *gate);
/* Waits until @n tasks in all have come. */
void pool_gate_wait (PoolGate *gate, guint n);
void pool_gate_open (PoolGate *gate);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PoolGate, pool_gate_free)

/* Descriptors of this process; memfds among them. */
guint pool_count_fds (void);
guint pool_count_memfds (void);
/* That there are no more than these; the library's thread may need a moment to
 * let go of the last. */
void pool_assert_fds (guint n_fds, guint n_memfds);
/* Whether there is a process @pid. */
gboolean pool_process_exists (int pid);
