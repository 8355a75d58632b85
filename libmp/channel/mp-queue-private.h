/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "mp-queue.h"
#include "mp-ring-private.h"

G_BEGIN_DECLS

/* One batch: bounds how long a consumer keeps the others out, and its memory. */
#define MP_QUEUE_MAX_BATCH_ITEMS 65536
#define MP_QUEUE_MAX_BATCH_BYTES (16 * 1024 * 1024)

struct _MpQueue
{
  GObject parent_instance;

  MpRing *ring;

  /* As it was asked for. */
  guint max_items;
  guint64 max_bytes;
  guint max_deliveries;
  MpQueue *dead_letters; /* nullable */
  gboolean carries_fds;
};

/* Set before there is any instance. */
extern GType mp_queue_type __attribute__ ((visibility ("hidden")));

/* MP_IS_QUEUE() without a call: a final type has no others under it. */
static inline gboolean
mp_queue_is_ready (const MpQueue *self)
{
  const GTypeClass *klass = self != NULL ? self->parent_instance.g_type_instance.g_class : NULL;

  return klass != NULL && klass->g_type == mp_queue_type && self->ring != NULL;
}

#define MP_IS_READY_QUEUE(self) mp_queue_is_ready (self)

/* Both go on when a signal handler ran: MP_RING_INTERRUPTED means cancelled. */
MpRingStatus mp_queue_put_records (MpQueue *self,
                                   const MpRecord *records,
                                   gsize n_records,
                                   gint64 timeout_us,
                                   GCancellable *cancellable);
MpRingStatus mp_queue_take (MpQueue *self,
                            gsize max_items,
                            MpRingTake take,
                            gpointer user_data,
                            gint64 timeout_us,
                            GCancellable *cancellable,
                            gsize *n_taken);

/* Or only Python can read it. */
static inline gboolean
mp_queue_is_readable (MpCodec codec)
{
  return codec != MP_CODEC_PICKLE && codec != MP_CODEC_PICKLE_BUFFERS;
}

/* As mp_ring_borrow(). */
MpRingStatus mp_queue_borrow (MpQueue *self,
                              MpRingTake take,
                              gpointer user_data,
                              gint64 timeout_us,
                              GCancellable *cancellable,
                              MpRingBlock **block);

/* One message in the scratch buffer of this thread. */
typedef struct
{
  const guint8 *data;
  gsize length;
  MpCodec codec;
} MpQueueScratched;

/* An MpRingTake that fills the MpQueueScratched @user_data; refuses when there
 * is no memory, or, the second, what only Python can read. */
gboolean mp_queue_take_to_scratch (gpointer user_data,
                                   guint32 seq,
                                   guint32 n_ready,
                                   MpCodec codec,
                                   const guint8 *data,
                                   gsize length);
gboolean mp_queue_take_readable (gpointer user_data,
                                 guint32 seq,
                                 guint32 n_ready,
                                 MpCodec codec,
                                 const guint8 *data,
                                 gsize length);

/* NULL if there is no memory. */
GBytes *mp_queue_copy_bytes (const guint8 *data, gsize length);

/* What was taken, and is not yet with its receiver. */
typedef struct
{
  MpCodec codec;
  GBytes *bytes;
} MpQueueItem;

/* An MpRingTake that fills the MpQueueItem @user_data, but for what lies in a block; refuses when
 * there is no memory, or what only Python can read. */
gboolean mp_queue_take_readable_item (gpointer user_data,
                                      guint32 seq,
                                      guint32 n_ready,
                                      MpCodec codec,
                                      const guint8 *data,
                                      gsize length);

/* Descriptors */

gboolean mp_queue_check_carries_fds (MpQueue *self, GError **error);
/* Whether @fd_list (nullable) can be put; sets those of @record, which borrows them. */
gboolean mp_queue_set_record_fds (MpQueue *self,
                                  MpRecord *record,
                                  GUnixFDList *fd_list,
                                  GError **error);
/* Takes one message by @take, an MpRingTake for @user_data; the list is never NULL then. */
MpRingStatus mp_queue_take_with_fds (MpQueue *self,
                                     MpRingTake take,
                                     gpointer user_data,
                                     GUnixFDList **fd_list,
                                     gint64 timeout_us,
                                     GCancellable *cancellable);

/* Asynchronous */

/* Calls @attempt with @task, and again when the queue may be ready for @condition, or the task is
 * cancelled, until it gives G_SOURCE_REMOVE. */
void mp_queue_attempt (GTask *task, GSourceFunc attempt, GIOCondition condition);

/* Puts @bytes, which it takes, as MP_CODEC_GVARIANT; @fd_list: nullable. */
void mp_queue_start_put (GTask *task, GBytes *bytes, GUnixFDList *fd_list);
/* Gets an MpQueueDelivery: by @take_with_fds also one with descriptors; NULL: only one without. */
void mp_queue_start_get (GTask *task, MpRingTake take_with_fds);

/* A message on its way to whoever fetches the result. */
typedef struct
{
  MpRing *ring;
  MpQueueItem item;
  GUnixFDList *fd_list; /* nullable */
  GObject *object;      /* that was made of it; nullable */
} MpQueueDelivery;

void mp_queue_delivery_free (MpQueueDelivery *self);
/* Frees it, too: nobody fetched it. */
void mp_queue_delivery_put_back (gpointer delivery);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpQueueDelivery, mp_queue_delivery_free)

G_END_DECLS
