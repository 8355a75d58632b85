/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

#include "../base/mp-enums.h"
#include "../sync/mp-spin-private.h"

G_BEGIN_DECLS

/* The byte ring under MpQueue and MpPool: many producers and consumers in many
 * processes, one-store commit, growing by segments unless bounded by bytes.
 * The algorithm is described in mp-ring.c. Thread-safe. */
typedef struct _MpRing MpRing;
/* A message outside of it, see mp-ring-block-private.h. */
typedef struct _MpRingBlock MpRingBlock;

typedef enum
{
  MP_RING_DONE,
  MP_RING_TIMED_OUT,   /* empty, or no room, until the deadline */
  MP_RING_INTERRUPTED, /* a signal handler ran in this thread */
  MP_RING_CLOSED,
  MP_RING_TOO_BIG, /* can never fit the bound */
  MP_RING_NO_MEMORY,
  MP_RING_NO_BLOCKS, /* all are lent */
  MP_RING_CORRUPT,
  MP_RING_REFUSED,     /* its function did not want the next message; or the block is put already */
  MP_RING_HAS_FDS,     /* the next message has descriptors, and who asks wants none */
  MP_RING_NO_FDS,      /* the next message has descriptors, and this process too many already */
  MP_RING_FDS_MISSING, /* the next message has descriptors, with which its packet did not come */
  MP_RING_FDS_REFUSED  /* by the kernel, when they were put */
} MpRingStatus;

/* There are no codecs beyond. */
#define MP_CODEC_LAST MP_CODEC_PICKLE_BUFFERS

/* One message, gathered from parts. */
typedef struct
{
  const GOutputVector *parts;
  guint n_parts;
  MpCodec codec;
  const struct _MpBlockRef *block; /* nullable; the message lies there instead */
  const int *fds;                  /* borrowed; a message that has some is put alone */
  guint n_fds;
} MpRecord;

typedef enum
{
  MP_RING_PUT_NONE = 0,
  /* Over the bounds, and after close: what was taken is put back. MP_RING_CLOSED
   * only if nobody can take it any more. */
  MP_RING_PUT_FORCE = 1 << 0,
  /* Wakes no getter: mp_ring_pass_on() does that soon, if it is still to be done. */
  MP_RING_PUT_QUIETLY = 1 << 1
} MpRingPutFlags;

/* Called under the consumers' lock for each message before the commit, so what
 * it writes elsewhere in shared memory is there if and only if (crash aside)
 * the message is gone. @seq: the number of the message, modulo 2^32; it is
 * taken once (gint32) (mp_ring_get_taken () - seq) > 0. Must be short, must
 * not call back into the ring. */
typedef void (
  *MpRingSink) (gpointer user_data, guint32 seq, MpCodec codec, const guint8 *data, gsize length);

/* The same for mp_ring_take(): FALSE leaves this message and what follows where
 * it is. @n_ready: how many there are for sure, this one included. */
typedef gboolean (*MpRingTake) (gpointer user_data,
                                guint32 seq,
                                guint32 n_ready,
                                MpCodec codec,
                                const guint8 *data,
                                gsize length);

/* 0: no bound. */
MpRing *mp_ring_new (guint32 max_items, guint64 max_bytes, GError **error);
MpRing *mp_ring_new_full (guint32 max_items,
                          guint64 max_bytes,
                          guint32 max_deliveries,
                          GError **error);
/* Before it is used: makes it one that carries descriptors, which costs two. */
gboolean mp_ring_carry_fds (MpRing *self, GError **error);
gboolean mp_ring_carries_fds (MpRing *self);
MpRing *mp_ring_new_from_handle (GVariant *handle, GUnixFDList *fd_list, GError **error);
GVariant *mp_ring_to_handle (MpRing *self, GUnixFDList *fd_list, GError **error);
/* The same with another kind than "ring", for what is a ring and little else. */
MpRing *mp_ring_new_from_handle_of_kind (const char *kind,
                                         GVariant *handle,
                                         GUnixFDList *fd_list,
                                         GError **error);
GVariant *mp_ring_to_handle_of_kind (MpRing *self,
                                     const char *kind,
                                     GUnixFDList *fd_list,
                                     GError **error);
MpRing *mp_ring_ref (MpRing *self);
void mp_ring_unref (MpRing *self);

/* All or nothing: one commit. */
MpRingStatus mp_ring_put (MpRing *self,
                          const MpRecord *records,
                          gsize n_records,
                          MpRingPutFlags flags,
                          gint64 deadline);
/* Up to @max_items messages, as many as there are, and at most @max_bytes
 * together unless the first alone is bigger (0: no limit): one commit. */
MpRingStatus mp_ring_get (MpRing *self,
                          gsize max_items,
                          gsize max_bytes,
                          MpRingSink sink,
                          gpointer user_data,
                          gint64 deadline,
                          gsize *n_taken);
/* One message, if nothing stands in the way: FALSE means that nothing happened
 * and one of the others has to be asked. @size: of @buffer. @codec: may be NULL. */
gboolean mp_ring_put_quickly (MpRing *self, const guint8 *data, gsize length, MpCodec codec);
gboolean mp_ring_get_quickly (MpRing *self,
                              guint8 *buffer,
                              gsize size,
                              gsize *length,
                              guint *codec);
/* As mp_ring_put() and mp_ring_get(); MP_RING_INTERRUPTED also when
 * @cancellable is cancelled while waiting. */
MpRingStatus mp_ring_put_full (MpRing *self,
                               const MpRecord *records,
                               gsize n_records,
                               MpRingPutFlags flags,
                               gint64 deadline,
                               GCancellable *cancellable);
MpRingStatus mp_ring_take (MpRing *self,
                           gsize max_items,
                           gsize max_bytes,
                           MpRingTake take,
                           gpointer user_data,
                           gint64 deadline,
                           GCancellable *cancellable,
                           gsize *n_taken);
/* One message, and its descriptors, if it has any: they are appended to @fds, which is empty,
 * and are the caller's. The message is not left in a block. */
MpRingStatus mp_ring_take_with_fds (MpRing *self,
                                    MpRingTake take,
                                    gpointer user_data,
                                    GArray *fds,
                                    gint64 deadline,
                                    GCancellable *cancellable);
/* Until a get (G_IO_IN) or a put (G_IO_OUT) of something small would find what
 * it needs, or the ring is closed; only a hint. Who returns from here has been
 * woken in the place of others, and should then try. */
MpRingStatus mp_ring_wait (MpRing *self, GIOCondition condition, gint64 deadline);

guint32 mp_ring_get_length (MpRing *self);
guint64 mp_ring_get_used_bytes (MpRing *self);
guint32 mp_ring_get_taken (MpRing *self); /* messages taken so far, modulo 2^32 */
guint32 mp_ring_get_max_items (MpRing *self);
guint64 mp_ring_get_max_bytes (MpRing *self);
guint32 mp_ring_get_max_deliveries (MpRing *self);
/* Where those go that were lent too often; nullable. It is to be set before @self is used. */
void mp_ring_set_dead_letters (MpRing *self, MpRing *dead_letters);
MpRing *mp_ring_get_dead_letters (MpRing *self);

/* For who takes messages out beside those who wait for them: spins and gives the processor away for
 * a while, and nobody is woken meanwhile. @spins: for the one and for the other.
 * TRUE if it is over, or there are messages: to be taken by the caller. */
gboolean mp_ring_look_before_others (MpRing *self, MpSpin spins[2], MpSpinFunc came, gpointer data);

/* Whether some getter looks now, or was woken and is on its way. */
gboolean mp_ring_is_getter_coming (MpRing *self);
/* Those who put the next message are known to be awake, so that the next getter of this process
 * does not sleep at once. */
void mp_ring_expect (MpRing *self);
/* How many microseconds a getter looks that tries whether it pays again. Before @self is used. */
void mp_ring_set_trial (MpRing *self, guint32 trial);
/* Who was woken and leaves without that which it was woken for, perhaps; or who put quietly. */
void mp_ring_pass_on (MpRing *self, GIOCondition condition);
/* The same for who put quietly because a getter was coming: that has a moment to take it first. It
 * may be so quick that afterwards it is not coming any more, and another would be woken. */
void mp_ring_pass_on_later (MpRing *self);
/* Looks for a message as a getter does before it sleeps, but only that: who takes none then passes
 * on. */
void mp_ring_look (MpRing *self);

/* Wakes every sleeper so that it looks again: for whoever saw a peer die,
 * which may have been between its commit and its wake. */
void mp_ring_poke (MpRing *self);

/* For every process. MP_QUEUE_SIDES_PUT: no more puts; gets go on until it is
 * empty, then MP_RING_CLOSED. MP_QUEUE_SIDES_GET: no more gets either; what is in
 * it is dropped. */
void mp_ring_close (MpRing *self, MpQueueSides sides);
gboolean mp_ring_is_closed (MpRing *self);

/* Takes what is there away, and counts it as done: @n_rounds times as much as one may take at
 * once, or all. */
MpRingStatus mp_ring_drain (MpRing *self, guint32 n_rounds, guint32 *n_taken);
/* Of the first message. */
MpRingStatus mp_ring_peek_length (MpRing *self, gsize *length);

/* How many messages were put and not yet counted as done. */
guint32 mp_ring_get_unfinished (MpRing *self);
/* FALSE: there are not so many, and none was counted. */
gboolean mp_ring_count_done (MpRing *self, guint32 n);
/* Until none is unfinished. MP_RING_INTERRUPTED also when @cancellable is cancelled. */
MpRingStatus mp_ring_join (MpRing *self, gint64 deadline, GCancellable *cancellable);

/* Ready while there is something to take (G_IO_IN), or room (G_IO_OUT), or it
 * is closed; or while none is unfinished (G_IO_PRI). The callback is a GSourceFunc. */
GSource *mp_ring_source_new (MpRing *self, GIOCondition condition);
/* Ready while there is room for @records, which it claims as @token when that takes long. */
GSource *mp_ring_source_new_for_put (MpRing *self,
                                     const MpRecord *records,
                                     gsize n_records,
                                     guint32 token);
/* A new one, never 0. */
guint32 mp_ring_claim_token (void);
/* As which this thread claims that waits by itself. */
guint32 mp_ring_thread_token (void);
/* Puts now, or not at all; that room was claimed as @token is not in the way. */
MpRingStatus mp_ring_put_claimed (MpRing *self,
                                  const MpRecord *records,
                                  gsize n_records,
                                  guint32 token);

/* For @status other than MP_RING_DONE; always returns FALSE. */
gboolean mp_ring_set_error (GError **error, MpRing *self, MpRingStatus status, gboolean putting);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpRing, mp_ring_unref)

G_END_DECLS
