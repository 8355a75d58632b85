/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* For connections of bindings: reading without sleeping. */

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
  gssize received;
} Reading;

static gboolean
read_once (gpointer data)
{
  Reading *self = data;

  self->received = recv (self->fd, self->data, self->length, MSG_DONTWAIT);
  return self->received >= 0 || (errno != EAGAIN && errno != EINTR);
}

/**
 * mp_connection_read_soon: (skip)
 * @fd: a socket
 * @data: where to put what comes
 * @length: how many bytes there is room for
 *
 * Reads what is there, or comes within some microseconds where it did so lately. Never
 * sleeps. For bindings that have connections of their own, and sleep if nothing came.
 *
 * Returns: how many bytes; 0 at the end; or -1 with `errno` set, to `EAGAIN` if nothing
 *   came, and to `ENOTSOCK` for what is not a socket
 *
 * Since: 0.1
 */
gssize
mp_connection_read_soon (int fd, gpointer data, gsize length)
{
  /* Who has the same number later soon learns what is so with it. */
  static MpSpin spins[N_SPINS];
  Reading reading = { .fd = fd, .data = data, .length = length, .received = -1 };

  g_return_val_if_fail (fd >= 0 && (data != NULL || length == 0), -1);

  if (!read_once (&reading))
    {
      errno = EAGAIN;
      mp_spin (&spins[(guint) fd % N_SPINS], read_once, &reading);
    }
  return reading.received;
}
