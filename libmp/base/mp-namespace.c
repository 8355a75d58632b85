/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-namespace-private.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/stat.h>

/* A process stays in its namespace, but its children may be in another. */
static _Atomic uint64_t known;

static void
forget (void)
{
  atomic_store (&known, 0);
}

__attribute__ ((constructor)) static void
watch_forks (void)
{
  pthread_atfork (NULL, NULL, forget);
}

guint64
mp_get_pid_namespace (void)
{
  guint64 number = atomic_load_explicit (&known, memory_order_relaxed);
  struct stat status;

  if (G_LIKELY (number != 0))
    return number;
  if (stat ("/proc/self/ns/pid", &status) == 0)
    number = (guint64) status.st_ino;
  atomic_store_explicit (&known, number, memory_order_relaxed);
  return number;
}
