/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Messages in the form in which they travel, for bindings and whoever has an
 * encoding of their own. */

#include "mp-queue-private.h"
#include "mp-ring-block-private.h"
#include "mp-ring-quick-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-copy-private.h"
#include "../base/mp-error.h"
#include "../base/mp-scratch-private.h"

/* A bigger scratch buffer goes the long way, which sees to it that it shrinks again. */
#define QUICK_SCRATCH (256u * 1024)

static G_GNUC_NO_INLINE gboolean
put_one (MpQueue *self,
         const guint8 *data,
         gsize length,
         MpCodec codec,
         gint64 timeout_us,
         GCancellable *cancellable,
         GError **error)
{
  const GOutputVector part = { .buffer = data, .size = length };
  const MpRecord record = { .parts = &part, .n_parts = 1, .codec = codec };
  MpRingStatus status = mp_queue_put_records (self, &record, 1, timeout_us, cancellable);

  return status == MP_RING_DONE || mp_ring_set_error (error, self->ring, status, TRUE);
}

static G_GNUC_NO_INLINE gboolean
put_longer (MpQueue *self,
            const guint8 *data,
            gsize length,
            MpCodec codec,
            gint64 timeout_us,
            GCancellable *cancellable,
            GError **error)
{
  return mp_ring_put_quickly (self->ring, data, length, codec) ||
         put_one (self, data, length, codec, timeout_us, cancellable, error);
}

/* With the producers' lock of the ring. */
static G_GNUC_NO_INLINE gboolean
put_held (MpQueue *self,
          const guint8 *data,
          gsize length,
          MpCodec codec,
          gint64 timeout_us,
          GCancellable *cancellable,
          GError **error)
{
  return mp_ring_put_held (self->ring, data, length, codec) ||
         put_one (self, data, length, codec, timeout_us, cancellable, error);
}

/**
 * mp_queue_put_payload:
 * @self: a queue
 * @data: (array length=length) (element-type guint8): the bytes of the message
 * @length: how many there are
 * @codec: what they are
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Puts a message in the form in which it travels.
 *
 * Returns: whether it was put; if not, nothing happened, and @error is set:
 *   [error@Mp.Error.FULL] if there was no room in time,
 *   [error@Mp.Error.CLOSED], [error@Mp.Error.LIMIT] if it can never fit or there
 *   is no memory, [error@Mp.Error.CORRUPT], `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_payload (MpQueue *self,
                      const guint8 *data,
                      gsize length,
                      MpCodec codec,
                      gint64 timeout_us,
                      GCancellable *cancellable,
                      GError **error)
{
  MpRingQuick quick = MP_RING_QUICK_UNTRIED;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && codec <= MP_CODEC_LAST, FALSE);

  if (G_LIKELY (cancellable == NULL))
    quick = mp_ring_put_usual (self->ring, data, length, codec, MP_RING_SMALL_LENGTH);
  if (G_LIKELY (quick == MP_RING_QUICK_DONE))
    return TRUE;
  if (quick == MP_RING_QUICK_UNFIT)
    return put_longer (self, data, length, codec, timeout_us, cancellable, error);
  if (quick == MP_RING_QUICK_HELD)
    return put_held (self, data, length, codec, timeout_us, cancellable, error);
  if (quick == MP_RING_QUICK_UNTRIED)
    return put_one (self, data, length, codec, timeout_us, cancellable, error);
  mp_ring_finish_put (self->ring, quick);
  return TRUE;
}

/* Cuts @data at @lengths, which may not be aligned. */
static gboolean
cut (const guint8 *data, gsize length, const guint8 *lengths, gsize n, GOutputVector *parts)
{
  gsize used = 0;

  for (gsize i = 0; i < n; i++)
    {
      guint32 size;

      memcpy (&size, lengths + i * sizeof size, sizeof size);
      if (size > length - used)
        return FALSE;
      parts[i] = (GOutputVector){ .buffer = size > 0 ? data + used : NULL, .size = size };
      used += size;
    }
  return used == length;
}

/**
 * mp_queue_put_packed:
 * @self: a queue
 * @data: (array length=length) (element-type guint8): the messages, back to back
 * @length: how many bytes they have together
 * @lengths: (array length=n_lengths) (element-type guint8): the length of each, as
 *   32-bit numbers in the byte order of the machine
 * @n_lengths: the size of @lengths: four times the number of messages
 * @codec: what they are
 * @timeout_us: how long to wait for room: microseconds, -1 for ever, 0 not at all
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * The same as [method@Mp.Queue.put_many] for messages in the form in which they
 * travel: for bindings, to which two arrays of bytes are much cheaper than an
 * array of arrays.
 *
 * Returns: whether they were put; if not, nothing happened, and @error is set as
 *   by [method@Mp.Queue.put_payload], or to [error@Mp.Error.INVALID_ARGUMENT] if
 *   @lengths does not add up to @length
 *
 * Since: 0.1
 */
gboolean
mp_queue_put_packed (MpQueue *self,
                     const guint8 *data,
                     gsize length,
                     const guint8 *lengths,
                     gsize n_lengths,
                     MpCodec codec,
                     gint64 timeout_us,
                     GCancellable *cancellable,
                     GError **error)
{
  gsize n = n_lengths / sizeof (guint32);
  g_autofree MpRecord *records = NULL;
  g_autofree GOutputVector *parts = NULL;
  MpRingStatus status;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && codec <= MP_CODEC_LAST, FALSE);

  records = g_new (MpRecord, n);
  parts = g_new (GOutputVector, n);
  if (n_lengths % sizeof (guint32) != 0 || !cut (data, length, lengths, n, parts))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "The lengths of %" G_GSIZE_FORMAT " messages do not add up to %" G_GSIZE_FORMAT
                   " bytes",
                   n,
                   length);
      return FALSE;
    }
  for (gsize i = 0; i < n; i++)
    records[i] = (MpRecord){ .parts = &parts[i], .n_parts = 1, .codec = codec };
  status = mp_queue_put_records (self, records, n, timeout_us, cancellable);
  return status == MP_RING_DONE || mp_ring_set_error (error, self->ring, status, TRUE);
}

gboolean
mp_queue_take_to_scratch (gpointer user_data,
                          guint32 seq,
                          guint32 n_ready,
                          MpCodec codec,
                          const guint8 *data,
                          gsize length)
{
  MpQueueScratched *result = user_data;
  guint8 *copy = mp_scratch_reserve (length);

  if (G_UNLIKELY (copy == NULL))
    return FALSE;
  mp_copy (copy, data, length);
  *result = (MpQueueScratched){ .data = copy, .length = length, .codec = codec };
  return TRUE;
}

gboolean
mp_queue_take_readable (gpointer user_data,
                        guint32 seq,
                        guint32 n_ready,
                        MpCodec codec,
                        const guint8 *data,
                        gsize length)
{
  if (data == NULL)
    ((MpQueueScratched *) user_data)->codec = codec;
  return mp_queue_is_readable (codec) &&
         (data == NULL || mp_queue_take_to_scratch (user_data, seq, n_ready, codec, data, length));
}

/* The scratch buffer only refuses when there is no memory. */
static MpRingStatus
scratch_status (MpRingStatus status)
{
  return status == MP_RING_REFUSED ? MP_RING_NO_MEMORY : status;
}

/* What lies in a block is copied when nobody waits for it. */
static gboolean
take_or_reserve (gpointer user_data,
                 guint32 seq,
                 guint32 n_ready,
                 MpCodec codec,
                 const guint8 *data,
                 gsize length)
{
  MpQueueScratched *result = user_data;

  if (data != NULL)
    return mp_queue_take_to_scratch (user_data, seq, n_ready, codec, data, length);
  *result =
    (MpQueueScratched){ .data = mp_scratch_reserve (length), .length = length, .codec = codec };
  return result->data != NULL;
}

static G_GNUC_NO_INLINE const guint8 *
get_one (MpQueue *self,
         gint64 timeout_us,
         gsize *length,
         guint *codec,
         GCancellable *cancellable,
         GError **error)
{
  g_autoptr (MpRingBlock) block = NULL;
  MpQueueScratched result = { .data = NULL };
  MpRingStatus status = scratch_status (
    mp_queue_borrow (self, take_or_reserve, &result, timeout_us, cancellable, &block));

  if (block != NULL)
    mp_copy (mp_scratch.data, mp_ring_block_get_data (block), result.length);
  if (status != MP_RING_DONE)
    result.data = NULL;

  *length = result.length;
  if (codec != NULL)
    *codec = result.codec;
  if (status != MP_RING_DONE)
    mp_ring_set_error (error, self->ring, status, FALSE);
  return result.data;
}

/* Waits for a message, and takes it on the shortest way, since who was woken has little of
 * this in its caches. NULL if that was not enough: the long way follows. */
static const guint8 *
await_small (MpQueue *self, gint64 deadline, gsize *length, guint *codec)
{
  const MpRingNeed need = { .condition = G_IO_IN };
  MpRingQuick quick;
  gboolean done;

  if (mp_ring_wait_for (self->ring, &need, deadline, NULL) != MP_RING_DONE)
    return NULL;
  quick = mp_ring_get_small (self->ring, mp_scratch.data, length, codec);
  done = quick != MP_RING_QUICK_UNTRIED;
  if (quick == MP_RING_QUICK_HELD)
    done = mp_ring_get_held (self->ring, mp_scratch.data, mp_scratch.size, length, codec);
  else if (done && quick != MP_RING_QUICK_DONE)
    mp_ring_finish_get (self->ring, quick);
  mp_ring_pass_on (self->ring, G_IO_IN);
  return done ? mp_scratch.data : NULL;
}

static inline gboolean
is_quick (const MpScratch *scratch)
{
  return scratch->size - MP_RING_SMALL_LENGTH < QUICK_SCRATCH;
}

static G_GNUC_NO_INLINE const guint8 *
await_one (MpQueue *self,
           gint64 timeout_us,
           gsize *length,
           guint *codec,
           GCancellable *cancellable,
           GError **error)
{
  const guint8 *data;
  gint64 deadline;

  if (cancellable == NULL && timeout_us != 0 && is_quick (&mp_scratch))
    {
      deadline = mp_deadline_new (timeout_us);
      data = await_small (self, deadline, length, codec);
      if (data != NULL)
        return data;
      timeout_us = mp_deadline_left (deadline);
    }
  return get_one (self, timeout_us, length, codec, cancellable, error);
}

/* With the consumers' lock of the ring. */
static G_GNUC_NO_INLINE const guint8 *
get_held (MpQueue *self,
          gint64 timeout_us,
          gsize *length,
          guint *codec,
          GCancellable *cancellable,
          GError **error)
{
  if (!mp_ring_get_held (self->ring, mp_scratch.data, mp_scratch.size, length, codec))
    return get_one (self, timeout_us, length, codec, cancellable, error);
  return mp_scratch.data;
}

/* One message is in the scratch buffer. */
static G_GNUC_NO_INLINE const guint8 *
finish_get (MpQueue *self, MpRingQuick quick)
{
  mp_ring_finish_get (self->ring, quick);
  return mp_scratch.data;
}

/**
 * mp_queue_get_payload:
 * @self: a queue
 * @timeout_us: how long to wait for a message: microseconds, -1 for ever, 0 not at all
 * @length: (out): how many bytes it has
 * @codec: (out): what they are, a [enum@Mp.Codec]
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * Takes the first message, in the form in which it travelled. The bytes are this
 * thread's until it gets something from any queue again.
 *
 * Returns: (transfer none) (array length=length) (element-type guint8) (nullable):
 *   its bytes, not `NULL` even if there are none, or `NULL` with @error set and
 *   nothing taken: [error@Mp.Error.EMPTY] if there was none in time,
 *   [error@Mp.Error.CLOSED] if it is closed and empty, [error@Mp.Error.LIMIT] if
 *   there is no memory, [error@Mp.Error.CORRUPT], `G_IO_ERROR_CANCELLED`
 *
 * Since: 0.1
 */
const guint8 *
mp_queue_get_payload (MpQueue *self,
                      gint64 timeout_us,
                      gsize *length,
                      guint *codec,
                      GCancellable *cancellable,
                      GError **error)
{
  const MpScratch scratch = mp_scratch;
  MpRingQuick quick = MP_RING_QUICK_UNTRIED;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && length != NULL, NULL);

  if (G_LIKELY (cancellable == NULL && is_quick (&scratch)))
    quick = mp_ring_get_small (self->ring, scratch.data, length, codec);
  if (G_LIKELY (quick == MP_RING_QUICK_DONE))
    return scratch.data;
  if (quick == MP_RING_QUICK_HELD)
    return get_held (self, timeout_us, length, codec, cancellable, error);
  if (quick == MP_RING_QUICK_UNTRIED)
    return await_one (self, timeout_us, length, codec, cancellable, error);
  return finish_get (self, quick);
}

/* What lies in a block is left there. */
typedef struct
{
  MpQueueScratched scratched;
  gboolean left;
} Trying;

static gboolean
take_unless_long (gpointer user_data,
                  guint32 seq,
                  guint32 n_ready,
                  MpCodec codec,
                  const guint8 *data,
                  gsize length)
{
  Trying *self = user_data;

  self->left = data == NULL;
  if (!self->left)
    return mp_queue_take_to_scratch (&self->scratched, seq, n_ready, codec, data, length);
  self->scratched.length = length;
  return FALSE;
}

static G_GNUC_NO_INLINE const guint8 *
try_get_one (MpQueue *self, gsize *length, int *codec)
{
  g_autoptr (MpRingBlock) block = NULL;
  Trying trying = { .left = FALSE };
  MpRingStatus status =
    mp_ring_borrow (self->ring, take_unless_long, &trying, MP_DEADLINE_NOW, NULL, &block);

  *length = trying.scratched.length;
  /* If there is no block to be had, that call says why. */
  if ((status == MP_RING_REFUSED && trying.left) || status == MP_RING_NO_BLOCKS)
    {
      *codec = -4;
      return NULL;
    }
  if (status == MP_RING_DONE)
    *codec = (int) trying.scratched.codec;
  else if (status == MP_RING_TIMED_OUT || status == MP_RING_INTERRUPTED)
    *codec = -1;
  else if (status == MP_RING_HAS_FDS)
    *codec = -5;
  else
    *codec = status == MP_RING_CLOSED ? -2 : -3;
  return trying.scratched.data;
}

/* With the consumers' lock of the ring. */
static G_GNUC_NO_INLINE const guint8 *
try_get_held (MpQueue *self, gsize *length, int *codec)
{
  guint *found = (guint *) codec;

  if (!mp_ring_get_held (self->ring, mp_scratch.data, mp_scratch.size, length, found))
    return try_get_one (self, length, codec);
  return mp_scratch.data;
}

/**
 * mp_queue_try_get_payload:
 * @self: a queue
 * @length: (out): how many bytes it has
 * @codec: (out): what they are, a [enum@Mp.Codec]; -1 if the queue is empty, -2 if it
 *   is closed as well, -3 if its shared memory is corrupt or there is no memory, -4 if
 *   the message is long, and left for [method@Mp.Queue.get_buffer], -5 if it has
 *   descriptors, and is left for [method@Mp.Queue.get_bytes_with_fds]
 *
 * Takes the first message if there is one; never waits, never sets an error:
 * the cheapest way for bindings to poll. The bytes are this thread's until it
 * gets something from any queue again.
 *
 * Returns: (transfer none) (array length=length) (element-type guint8) (nullable):
 *   its bytes, or `NULL` if there is none
 *
 * Since: 0.1
 */
const guint8 *
mp_queue_try_get_payload (MpQueue *self, gsize *length, int *codec)
{
  const MpScratch scratch = mp_scratch;
  MpRingQuick quick = MP_RING_QUICK_UNTRIED;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && length != NULL && codec != NULL, NULL);

  if (G_LIKELY (is_quick (&scratch)))
    quick = mp_ring_get_small (self->ring, scratch.data, length, (guint *) codec);
  if (G_LIKELY (quick == MP_RING_QUICK_DONE))
    return scratch.data;
  if (quick == MP_RING_QUICK_HELD)
    return try_get_held (self, length, codec);
  if (quick == MP_RING_QUICK_UNTRIED)
    return try_get_one (self, length, codec);
  return finish_get (self, quick);
}

GBytes *
mp_queue_copy_bytes (const guint8 *data, gsize length)
{
  guint8 *copy = g_try_malloc (MAX (length, 1));

  if (copy == NULL)
    return NULL;
  mp_copy (copy, data, length);
  return g_bytes_new_take (copy, length);
}

/* A batch in the scratch buffer: the number of messages, a place for the length
 * and one for the codec of each that may come, and their bytes. */
typedef struct
{
  guint32 n_places;
  guint32 n;
  gsize length;
} Packing;

static gsize
packed_header (guint32 n_places)
{
  return (1 + 2 * (gsize) n_places) * sizeof (guint32);
}

static gboolean
take_packed (gpointer user_data,
             guint32 seq,
             guint32 n_ready,
             MpCodec codec,
             const guint8 *data,
             gsize length)
{
  Packing *self = user_data;
  guint32 *header;
  guint8 *buffer;

  if (self->n == 0)
    {
      self->n_places = MIN (self->n_places, n_ready);
      self->length = packed_header (self->n_places);
    }
  if (self->n == self->n_places)
    return FALSE;
  buffer = mp_scratch_reserve (self->length + length);
  if (buffer == NULL)
    return FALSE;
  header = (guint32 *) (gpointer) buffer;
  header[1 + self->n] = (guint32) length;
  header[1 + self->n_places + self->n] = codec;
  memcpy (buffer + self->length, data, length);
  self->length += length;
  self->n++;
  return TRUE;
}

/* Closes the gaps that places left which were not needed. */
static guint8 *
finish_packing (Packing *self)
{
  guint8 *buffer = mp_scratch_reserve (self->length);
  guint32 *header = (guint32 *) (gpointer) buffer;
  gsize old_size = packed_header (self->n_places), size = packed_header (self->n);

  header[0] = self->n;
  if (self->n < self->n_places)
    {
      memmove (&header[1 + self->n], &header[1 + self->n_places], self->n * sizeof (guint32));
      memmove (buffer + size, buffer + old_size, self->length - old_size);
      self->length -= old_size - size;
    }
  return buffer;
}

/**
 * mp_queue_get_packed:
 * @self: a queue
 * @max_items: how many messages to take at most, at least 1
 * @timeout_us: how long to wait for the first: microseconds, -1 for ever, 0 not at all
 * @length: (out): how many bytes are returned
 * @cancellable: (nullable): cancels the waiting
 * @error: return location for an error
 *
 * The same as [method@Mp.Queue.get_many] for messages in the form in which they
 * travelled, pickles included. The result has, in 32-bit numbers in the byte
 * order of the machine, how many they are, the length of each, and the
 * [enum@Mp.Codec] of each; then their bytes, back to back. It is this thread's
 * until it gets something from any queue again.
 *
 * Returns: (transfer none) (array length=length) (element-type guint8) (nullable):
 *   the messages, or `NULL` with @error set as by [method@Mp.Queue.get_payload]
 *   and nothing taken
 *
 * Since: 0.1
 */
const guint8 *
mp_queue_get_packed (MpQueue *self,
                     guint max_items,
                     gint64 timeout_us,
                     gsize *length,
                     GCancellable *cancellable,
                     GError **error)
{
  Packing packing = { .n_places = MIN (max_items, MP_QUEUE_MAX_BATCH_ITEMS) };
  MpRingStatus status;
  const guint8 *result;

  g_return_val_if_fail (MP_IS_READY_QUEUE (self) && length != NULL, NULL);
  g_return_val_if_fail (max_items > 0, NULL);

  *length = 0;
  status = scratch_status (
    mp_queue_take (self, max_items, take_packed, &packing, timeout_us, cancellable, NULL));
  if (status != MP_RING_DONE)
    {
      mp_ring_set_error (error, self->ring, status, FALSE);
      return NULL;
    }
  result = finish_packing (&packing);
  *length = packing.length;
  return result;
}
