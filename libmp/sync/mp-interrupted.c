/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-interrupted-private.h"

#include <stdatomic.h>
#include <string.h>

typedef struct _Wait Wait;

struct _Wait
{
  Wait *next;
  guint64 serial;
  gsize size;
  guint64 data[];
};

static void
free_all (gpointer data)
{
  Wait *next;

  for (Wait *self = data; self != NULL; self = next)
    {
      next = self->next;
      g_free (self);
    }
}

/* The last one first. */
static GPrivate waits = G_PRIVATE_INIT (free_all);

guint64
mp_interrupted_new_serial (void)
{
  static _Atomic guint64 last;

  return atomic_fetch_add (&last, 1) + 1;
}

void
mp_interrupted_put (guint64 serial, gconstpointer data, gsize size)
{
  Wait *self = g_malloc (sizeof *self + size);

  self->next = g_private_get (&waits);
  self->serial = serial;
  self->size = size;
  memcpy (self->data, data, size);
  g_private_set (&waits, self);
}

gboolean
mp_interrupted_take (guint64 serial, gpointer data, gsize size)
{
  Wait *first = g_private_get (&waits), **link = &first, *self;

  while (*link != NULL && (*link)->serial != serial)
    link = &(*link)->next;
  self = *link;
  if (self == NULL)
    return FALSE;
  g_assert_cmpuint (self->size, ==, size);
  memcpy (data, self->data, size);
  *link = self->next;
  g_private_set (&waits, first);
  g_free (self);
  return TRUE;
}
