/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-scratch-private.h"

#include <string.h>

#define MIN_SIZE 4096
/* A buffer that was sixteen times too big so many times in a row is given back. */
#define MAX_SMALL 64

_Thread_local MpScratch mp_scratch;

static void
scratch_free (gpointer data)
{
  g_free (mp_scratch.data);
  memset (&mp_scratch, 0, sizeof mp_scratch);
}

static GPrivate owner = G_PRIVATE_INIT (scratch_free);

guint8 *
mp_scratch_resize (gsize size)
{
  MpScratch *self = &mp_scratch;
  gsize wanted = MIN_SIZE;
  guint8 *data;

  self->n_small = size <= self->size / 16 ? self->n_small + 1 : 0;
  if (self->data != NULL && size <= self->size && self->n_small < MAX_SMALL)
    return self->data;
  while (wanted < size && wanted <= G_MAXSIZE / 2)
    wanted *= 2;
  data = g_try_realloc (self->data, MAX (wanted, size));
  if (data == NULL)
    return size <= self->size ? self->data : NULL;
  self->data = data;
  self->size = MAX (wanted, size);
  self->n_small = 0;
  g_private_set (&owner, self);
  return data;
}
