/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One buffer per thread, for what is handed out until the next call: it saves
 * an allocation, and the page faults of a big one, for every message. It goes
 * with its thread. */
typedef struct
{
  guint8 *data;
  gsize size;
  guint n_small; /* how often in a row it was much too big */
} MpScratch;

extern _Thread_local MpScratch mp_scratch
  __attribute__ ((tls_model ("initial-exec"), visibility ("hidden")));

guint8 *mp_scratch_resize (gsize size);

/* At least @size bytes, with what was in it before up to there; never NULL but
 * when there is no memory. */
static inline guint8 *
mp_scratch_reserve (gsize size)
{
  MpScratch *self = &mp_scratch;

  /* Nothing at all has no place yet. */
  if (G_LIKELY (size <= self->size && self->size - 1 < 256 * 1024))
    return self->data;
  return mp_scratch_resize (size);
}

G_END_DECLS
