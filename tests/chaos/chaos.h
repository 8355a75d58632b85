/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <sys/mman.h>

#include "test-util.h"

G_BEGIN_DECLS

/* Who does nothing for so long, hangs. */
#define HANG_US (20 * G_USEC_PER_SEC)

/* Memory that outlives who writes into it; all zero. */
static inline gpointer
chaos_ledger_new (gsize size)
{
  gpointer ledger =
    mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  g_assert_true (ledger != MAP_FAILED);
  return ledger;
}

/* Never of 0. */
static inline guint32
next_random (guint32 *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

/* A number that is to change all the time. */
typedef struct
{
  guint64 last;
  gint64 since;
  gint64 worst;
} Progress;

static inline Progress
progress_new (void)
{
  return (Progress){ .since = g_get_monotonic_time () };
}

static inline void
progress_watch (Progress *self, guint64 number)
{
  gint64 now = g_get_monotonic_time ();

  if (number != self->last)
    {
      self->last = number;
      self->since = now;
    }
  self->worst = MAX (self->worst, now - self->since);
  g_assert_cmpint (now - self->since, <, HANG_US);
}

/* What the command line says, or many for a long run. */
static inline int
chaos_count_kills (int argc, char **argv, int usual, int many)
{
  if (argc > 1)
    return (int) g_ascii_strtoll (argv[1], NULL, 10);
  return g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0 ? many : usual;
}

G_END_DECLS
