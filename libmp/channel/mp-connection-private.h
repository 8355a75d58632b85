/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-connection.h"
#include "mp-frame-private.h"
#include "mp-transport-private.h"
#include "mp-turn-private.h"

#include "../sync/mp-spin-private.h"

G_BEGIN_DECLS

#define MP_CONNECTION_MAX_LOOKS 32
/* From this length on, a message is sooner there through shared memory. */
#define MP_CONNECTION_LONG ((gsize) 96 * 1024)
/* Beyond this, it would take too much of that. */
#define MP_CONNECTION_TOO_LONG ((gsize) 64 * 1024 * 1024)

typedef struct _MpPipeSide MpPipeSide;

struct _MpConnection
{
  GObject parent_instance;

  MpTransport transport;
  /* Those who use the transport: who leaves last after close() closes it. */
  MpUsers users;
  /* Written when it is closed, for those who sleep; made by the first who does. It is
   * one of the generation of the process above it: a child of fork() wakes nobody else. */
  _Atomic guint64 wake;
  _Atomic gboolean readable;
  _Atomic gboolean writable;
  _Atomic guint64 max_frame;

  /* With this turn: the frame that is being sent. */
  MpTurn send_turn;
  gboolean torn;

  /* With this turn: the frame that comes. */
  MpTurn receive_turn;
  MpFrameReader reader;
  GArray *fds;
  guint spin_budget;
  guint spin_pause;
  MpSpin yielding;

  /* See mp-connection-blocks.c. With the turns: */
  gboolean is_pipe;        /* of a pair of sockets without other names */
  gboolean announced;      /* that long messages may lie in rings */
  gboolean peer_announced; /* by the other end */
  MpPipeSide *side;        /* where those that are sent lie; nullable */
  GPtrArray *sides;        /* of MpPipeSide; where those lie that are received; nullable */

  /* With the lock of all turns: frames that were received and given back, the next ones. */
  GQueue returned;
  _Atomic guint n_returned;
};

/* A frame on its way out. */
typedef struct
{
  guint8 header[12];
  struct iovec parts[2];
  gsize n_parts;
  const int *fds;
  guint n_fds;
  guint64 length;
  guint64 sent;
  gboolean looked;  /* whether it can lie in a ring */
  gboolean in_ring; /* and it does */
} MpOutgoing;

/* Memory that a frame is to go into, if it fits and brings no descriptors. */
typedef struct
{
  guint8 *data;
  gsize size;
  gsize length;
  gboolean used;
} MpReceiveSink;

/* A connection that owns the transport, and both sends and receives. */
MpConnection *mp_connection_new_for_transport (MpTransport *transport);

void mp_outgoing_init (MpOutgoing *self, const void *data, gsize length);

/* Closing the transport if that was left to the caller. */
void mp_connection_leave (MpConnection *self);
/* Whether it can be used that way; enters. */
gboolean mp_connection_enter (MpConnection *self, GIOCondition condition, GError **error);

/* With the turn, and entered. */
MpFlow mp_connection_send_some (MpConnection *self, MpOutgoing *outgoing, GError **error);
MpFlow mp_connection_receive_some (MpConnection *self,
                                   MpReceiveSink *sink,
                                   MpFrame *frame,
                                   GError **error);
/* Gives up a frame: if it has begun, nothing can follow it. */
void mp_connection_abandon (MpConnection *self, MpOutgoing *outgoing, GError **error);

/* The whole of it. */
gboolean mp_connection_send_outgoing (MpConnection *self,
                                      MpOutgoing *outgoing,
                                      gint64 timeout_us,
                                      GCancellable *cancellable,
                                      GError **error);
gboolean mp_connection_receive_frame (MpConnection *self,
                                      MpReceiveSink *sink,
                                      MpFrame *frame,
                                      gint64 timeout_us,
                                      GCancellable *cancellable,
                                      GError **error);
/* The variant in it; what is none is given back. */
GVariant *mp_connection_decode (MpConnection *self, MpFrame *frame, GError **error);
/* Takes @frame, which was the last one that was received. */
void mp_connection_give_back (MpConnection *self, MpFrame *frame);

/* Enters, and waits for the turn; the other is to be called when done. */
gboolean mp_connection_begin (MpConnection *self,
                              GIOCondition condition,
                              gint64 deadline,
                              GCancellable *cancellable,
                              GError **error);
void mp_connection_end (MpConnection *self, GIOCondition condition);
/* Entered. FALSE with @error set: at the deadline, cancelled, or closed. */
gboolean mp_connection_wait (MpConnection *self,
                             GIOCondition condition,
                             gint64 deadline,
                             GCancellable *cancellable,
                             GError **error);
/* For those who sleep: readable once the connection is closed; -1 if there are too many. */
int mp_connection_get_wake_fd (MpConnection *self);
void mp_connection_drop_wake_fd (MpConnection *self);
/* After it was closed. */
void mp_connection_wake (MpConnection *self);
gboolean mp_connection_set_closed_error (GError **error);
/* What follows in the stream is not known any more. */
void mp_connection_poison (MpConnection *self);
void mp_connection_drop_fds (MpConnection *self);
/* Whether receiving would find something, or an end. With the turn; the other without. */
gboolean mp_connection_is_ready (MpConnection *self);
gboolean mp_connection_look (MpConnection *self);

/* mp-connection-blocks.c */

void mp_connection_set_up_blocks (MpConnection *self);
/* With the turn, before anything is received. */
void mp_connection_announce (MpConnection *self);
/* With the turn, before anything is sent: puts it where it need not be sent, if it can. */
void mp_connection_refer (MpConnection *self, MpOutgoing *outgoing);
/* The frame that said where is not sent, or nobody sends any more. */
void mp_connection_drop_side (MpConnection *self);
/* With the turn: puts what it says where to find in the place of @frame. */
MpFlow mp_connection_fetch (MpConnection *self, MpFrame *frame, GError **error);

G_END_DECLS
