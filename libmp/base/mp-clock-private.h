/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Timeouts are relative microseconds, -1 for ever; deadlines are absolute
 * microseconds of g_get_monotonic_time(), -1 never. */
#define MP_DEADLINE_NEVER ((gint64) -1)
#define MP_DEADLINE_NOW ((gint64) 0)

static inline gint64
mp_deadline_new (gint64 timeout_us)
{
  gint64 now;

  if (timeout_us < 0)
    return MP_DEADLINE_NEVER;
  if (timeout_us == 0)
    return MP_DEADLINE_NOW;
  now = g_get_monotonic_time ();
  return timeout_us > G_MAXINT64 - now ? MP_DEADLINE_NEVER : now + timeout_us;
}

/* What is left until @deadline: -1 for ever, 0 when it is over. */
static inline gint64
mp_deadline_left (gint64 deadline)
{
  gint64 now;

  if (deadline <= 0)
    return deadline;
  now = g_get_monotonic_time ();
  return deadline > now ? deadline - now : 0;
}

G_END_DECLS
