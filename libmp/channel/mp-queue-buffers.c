/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Long messages, which are made and read where they lie. */

#include "mp-buffer-private.h"
#include "mp-queue-private.h"
#include "mp-ring-layout-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

/**
 * mp_queue_loan:
 * @self: a queue
 * @length: how many bytes the message will have
 * @error: return location for an error
 *
 * Memory for a message, to be filled and then put with [method@Mp.Queue.put_buffer],
 * without a copy. What is in it at first is undefined.
 *
 * Returns: (transfer full) (nullable): a buffer, or `NULL` with @error set:
 *   [error@Mp.Error.LIMIT] if there is no memory
 *
 * Since: 0.1
 */
MpBuffer *
mp_queue_loan (MpQueue *self, gsize length, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);

  return mp_buffer_new_loan (self->ring, length, error);
}

static MpRingStatus
put_block (MpQueue *self,
           MpRingBlock *block,
           MpCodec codec,
           gint64 timeout_us,
           GCancellable *cancellable)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpRingStatus status;

  if (g_cancellable_is_cancelled (cancellable))
    return MP_RING_INTERRUPTED;
  do
    status = mp_ring_put_block (self->ring, block, codec, deadline, cancellable);
  while (status == MP_RING_INTERRUPTED && !g_cancellable_is_cancelled (cancellable));
  return status;
}

/**
 * mp_queue_put_buffer:
 * @self: a queue
 * @buffer: a filled buffer of [method@Mp.Queue.loan]; once put, it must not be used
 *   any more
 * @codec: what its bytes are
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts a message without copying it. The buffer of another queue, and one that was
 * taken from a queue, is copied.
 *
 * Returns: whether it was put; if not, the buffer is as it was, and @error is set as by
 *   [method@Mp.Queue.put_payload], or to [error@Mp.Error.INVALID_ARGUMENT] if @buffer
 *   was put before, or another thread is putting it
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_buffer (MpQueue *self,
                     MpBuffer *buffer,
                     MpCodec codec,
                     gint64 timeout_us,
                     GCancellable *cancellable,
                     GError **error)
{
  GOutputVector part = { .buffer = NULL };
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && codec <= MP_CODEC_LAST, FALSE);
  g_return_val_if_fail (buffer != NULL, FALSE);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), FALSE);

  if (buffer->block == NULL || buffer->offset != 0)
    {
      part.buffer = mp_buffer_get_memory (buffer, &part.size);
      return mp_queue_put_vectors (self, &part, 1, codec, timeout_us, cancellable, error);
    }
  status = mp_ring_block_is_spent (buffer->block)
             ? MP_RING_REFUSED
             : put_block (self, buffer->block, codec, timeout_us, cancellable);
  if (status == MP_RING_DONE)
    return TRUE;
  if (status != MP_RING_REFUSED)
    return mp_ring_set_error (error, self->ring, status, TRUE);
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_INVALID_ARGUMENT,
                       "The buffer was put already, or another thread is putting it");
  return FALSE;
}

/**
 * mp_queue_put_vectors: (skip)
 * @self: a queue
 * @vectors: (array length=n_vectors): where the parts of the message are
 * @n_vectors: how many parts it has
 * @codec: what they are together
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts one message that is gathered from several places, with one copy.
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set as by
 *   [method@Mp.Queue.put_payload]
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_vectors (MpQueue *self,
                      const GOutputVector *vectors,
                      gsize n_vectors,
                      MpCodec codec,
                      gint64 timeout_us,
                      GCancellable *cancellable,
                      GError **error)
{
  const MpRecord record = { .parts = vectors, .n_parts = (guint) n_vectors, .codec = codec };
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && codec <= MP_CODEC_LAST, FALSE);
  g_return_val_if_fail (vectors != NULL || n_vectors == 0, FALSE);
  g_return_val_if_fail (n_vectors <= G_MAXUINT, FALSE);

  status = mp_queue_put_records (self, &record, 1, timeout_us, cancellable);
  return status == MP_RING_DONE || mp_ring_set_error (error, self->ring, status, TRUE);
}

static gboolean
take_short (gpointer user_data,
            guint32 seq,
            guint32 n_ready,
            MpCodec codec,
            const guint8 *data,
            gsize length)
{
  MpQueueItem *item = user_data;

  item->codec = codec;
  /* The others stay where they are. */
  if (data == NULL)
    return TRUE;
  item->bytes = mp_queue_copy_bytes (data, length);
  return item->bytes != NULL;
}

MpRingStatus
mp_queue_borrow (MpQueue *self,
                 MpRingTake take,
                 gpointer user_data,
                 gint64 timeout_us,
                 GCancellable *cancellable,
                 MpRingBlock **block)
{
  gint64 deadline = mp_deadline_new (timeout_us);
  MpRingStatus status;

  *block = NULL;
  if (g_cancellable_is_cancelled (cancellable))
    return MP_RING_INTERRUPTED;
  do
    status = mp_ring_borrow (self->ring, take, user_data, deadline, cancellable, block);
  while (status == MP_RING_INTERRUPTED && !g_cancellable_is_cancelled (cancellable));
  return status;
}

/**
 * mp_queue_get_buffer:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the first message, in the form in which it travelled, and without copying
 * it if it is long.
 *
 * Returns: (transfer full) (nullable): the message, or `NULL` with @error set as by
 *   [method@Mp.Queue.get_payload] and nothing taken
 *
 * Since: 0.1
 */
MpBuffer *
mp_queue_get_buffer (MpQueue *self, gint64 timeout_us, GCancellable *cancellable, GError **error)
{
  MpQueueItem item = { .bytes = NULL };
  MpRingBlock *block = NULL;
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self), NULL);
  g_return_val_if_fail (cancellable == NULL || G_IS_CANCELLABLE (cancellable), NULL);

  status = mp_queue_borrow (self, take_short, &item, timeout_us, cancellable, &block);
  if (status == MP_RING_DONE)
    return block != NULL ? mp_buffer_new_for_block (block)
                         : mp_buffer_new_for_bytes (item.bytes, item.codec);
  if (status == MP_RING_REFUSED)
    status = MP_RING_NO_MEMORY;
  mp_ring_set_error (error, self->ring, status, FALSE);
  return NULL;
}

/**
 * mp_queue_get_bytes:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @codec: (out) (optional): what they are, a [enum@Mp.Codec]
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the first message, in the form in which it travelled. If it is long, it
 * stays where it is, in memory of the queue, as long as there are the bytes.
 *
 * Returns: (transfer full) (nullable): its bytes, or `NULL` with @error set as by
 *   [method@Mp.Queue.get_payload] and nothing taken
 *
 * Since: 0.1
 */
GBytes *
mp_queue_get_bytes (MpQueue *self,
                    gint64 timeout_us,
                    guint *codec,
                    GCancellable *cancellable,
                    GError **error)
{
  g_autoptr (MpBuffer) buffer = mp_queue_get_buffer (self, timeout_us, cancellable, error);

  if (codec != NULL)
    *codec = buffer != NULL ? buffer->codec : MP_CODEC_RAW;
  return buffer != NULL ? mp_buffer_get_bytes (buffer) : NULL;
}
