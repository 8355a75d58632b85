/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <sys/uio.h>

G_BEGIN_DECLS

/* No more is read together with descriptors. */
#define MP_TRANSPORT_MAX_PEEKED 16

typedef enum
{
  MP_FLOW_DONE,
  MP_FLOW_AGAIN, /* when the descriptor is ready */
  MP_FLOW_FAILED /* with an error set */
} MpFlow;

/* What bytes go over: a socket, a pipe, or TLS on a socket. It never blocks. */
typedef struct
{
  int fd;
  gboolean is_socket;
  gboolean carries_fds;
  /* So many bytes were looked at and are still there: the next reading passes over them. */
  gsize peeked;
  /* In TLS, a read may have taken more from the socket than it gave, and what a write
   * that would have blocked was given has to be written. */
  GIOStream *tls;
  char *tls_error;
} MpTransport;

/* Takes @fd, also when it fails: then with @error set. */
gboolean mp_transport_init (MpTransport *self, int fd, GError **error);
/* Takes @tls, a GTlsConnection after its handshake over a socket of GLib's, which is @fd. */
void mp_transport_init_tls (MpTransport *self, int fd, GIOStream *tls);
void mp_transport_clear (MpTransport *self);

/* How many bytes of the parts were written, with the descriptors if it is at least one;
 * -1 with errno set: EAGAIN if it would have to wait. */
gssize mp_transport_write (MpTransport *self,
                           const struct iovec *parts,
                           gsize n_parts,
                           const int *fds,
                           guint n_fds);
/* How many bytes were read; 0 at the end of the stream; -1 as above. Descriptors that
 * came along are put into @fds, which is made when there are any; without it, they are
 * closed. With it, these bytes are still there for whoever reads in another way, until
 * the next reading or mp_transport_pass(). EMFILE: there are no numbers for the descriptors,
 * and nothing happened. */
gssize mp_transport_read (MpTransport *self, gpointer data, gsize size, GArray **fds);
/* Takes what was read with descriptors away. */
void mp_transport_pass (MpTransport *self);

/* Nothing can be sent over it any more, and the other end is told. */
void mp_transport_end_writing (MpTransport *self);

/* Sets what @err means, and was found when doing @what; always FALSE. */
gboolean mp_transport_set_error (MpTransport *self, int err, const char *what, GError **error);

G_END_DECLS
