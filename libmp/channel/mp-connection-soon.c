/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* For connections of bindings: what comes soon. */

#include "mp-connection.h"

#include <errno.h>
#include <sys/socket.h>

#include "../sync/mp-spin-private.h"

/* Of descriptors. */
#define N_SPINS 256

typedef struct
{
  int fd;
  gpointer data;
  gsize length;
  gssize seen;
} Peeking;

static gboolean
peek (gpointer data)
{
  Peeking *self = data;

  self->seen = recv (self->fd, self->data, self->length, MSG_PEEK | MSG_DONTWAIT);
  return self->seen >= 0 || (errno != EAGAIN && errno != EINTR);
}

/**
 * mp_connection_peek_soon: (skip)
 * @fd: a socket
 * @data: where to put a copy of what comes
 * @length: how many bytes there is room for
 *
 * Looks at what is there to be received, or comes within some microseconds where it did so
 * lately. Never sleeps. For bindings that have connections of their own.
 *
 * Returns: how many bytes; 0 at the end; or -1 with `errno` set, to `EAGAIN` if nothing
 *   came, and to `ENOTSOCK` for what is not a socket
 *
 * Since: 0.1
 */
gssize
mp_connection_peek_soon (int fd, gpointer data, gsize length)
{
  /* Who has the same number later soon learns what is so with it. */
  static MpSpin spins[N_SPINS];
  Peeking peeking = { .fd = fd, .data = data, .length = length, .seen = -1 };

  g_return_val_if_fail (fd >= 0 && (data != NULL || length == 0), -1);

  if (!peek (&peeking))
    {
      errno = EAGAIN;
      mp_spin (&spins[(guint) fd % N_SPINS], peek, &peeking);
    }
  return peeking.seen;
}
