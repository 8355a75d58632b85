/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-buffer-private.h"

#include "../base/mp-copy-private.h"
#include "../base/mp-error.h"

/**
 * MpBuffer:
 *
 * The memory of one message, which this process has for itself: to be filled, see
 * [method@Mp.Queue.loan], or taken from a queue without a copy, see
 * [method@Mp.Queue.get_buffer].
 *
 * It can be written, also after it was taken. When the last reference goes, the memory is used
 * for other messages. That happens as well when the process is killed. A child of fork() has what
 * its parent had taken as it was then, as it has all other memory; that is why a process that
 * forks copies it, once. What the parent was filling is of no use to its child.
 *
 * Reference counting is thread-safe; who uses the memory when is up to the threads.
 *
 * Since: 0.1
 */

G_DEFINE_BOXED_TYPE (MpBuffer, mp_buffer, mp_buffer_ref, mp_buffer_unref)

static MpBuffer *
buffer_new (void)
{
  MpBuffer *self = g_new0 (MpBuffer, 1);

  g_atomic_ref_count_init (&self->ref_count);
  return self;
}

MpBuffer *
mp_buffer_new_for_block (MpRingBlock *block)
{
  MpBuffer *self = buffer_new ();

  self->block = block;
  self->codec = mp_ring_block_get_codec (block);
  return self;
}

MpBuffer *
mp_buffer_new_for_bytes (GBytes *bytes, MpCodec codec)
{
  MpBuffer *self = buffer_new ();

  self->bytes = bytes;
  self->codec = codec;
  return self;
}

MpBuffer *
mp_buffer_new_for_memory (guint8 *memory, gsize length)
{
  MpBuffer *self = buffer_new ();

  self->memory = memory;
  self->length = length;
  return self;
}

MpBuffer *
mp_buffer_new_loan (MpRing *ring, gsize length, GError **error)
{
  MpRingBlock *block = NULL;
  MpRingStatus status = MP_RING_NO_MEMORY;
  guint8 *memory;

  if (ring != NULL && mp_ring_get_max_bytes (ring) == 0)
    block = mp_ring_block_new (ring, length, &status);
  if (block != NULL)
    return mp_buffer_new_for_block (block);
  if (status == MP_RING_CORRUPT)
    {
      mp_ring_set_error (error, ring, status, TRUE);
      return NULL;
    }
  memory = g_try_malloc (MAX (length, 1));
  if (memory != NULL)
    return mp_buffer_new_for_memory (memory, length);
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               "There is no memory for a message of %" G_GSIZE_FORMAT " bytes",
               length);
  return NULL;
}

MpBuffer *
mp_buffer_new_filled (MpRing *ring, const GOutputVector *parts, gsize n_parts, GError **error)
{
  MpRingBlock *block = NULL;
  MpRingStatus status;
  MpBuffer *self;
  gsize length = 0;

  /* Fresh memory is filled faster by the kernel than through a mapping. */
  if (ring != NULL && mp_ring_get_max_bytes (ring) == 0)
    block = mp_ring_block_new_filled (ring, parts, n_parts, &status);
  if (block != NULL)
    return mp_buffer_new_for_block (block);
  for (gsize i = 0; i < n_parts; i++)
    length += parts[i].size;
  self = mp_buffer_new_loan (NULL, length, error);
  if (self == NULL)
    return NULL;
  mp_copy_parts (self->memory, parts, n_parts);
  return self;
}

/**
 * mp_buffer_ref:
 * @self: a buffer
 *
 * Takes a reference.
 *
 * Returns: (transfer full): @self
 *
 * Since: 0.1
 */
MpBuffer *
mp_buffer_ref (MpBuffer *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * mp_buffer_unref:
 * @self: (transfer full): a buffer
 *
 * Drops a reference; with the last one, the memory is free for other messages.
 *
 * Since: 0.1
 */
void
mp_buffer_unref (MpBuffer *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_clear_pointer (&self->block, mp_ring_block_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_free (self->memory);
  g_free (self);
}

/**
 * mp_buffer_get_memory: (skip)
 * @self: a buffer
 * @length: (out): how many bytes it has
 *
 * Where its bytes are. They begin at a page if the buffer is shared. What becomes of
 * them after it was put is for whoever takes it.
 *
 * Returns: (transfer none): the first byte
 *
 * Since: 0.1
 */
guint8 *
mp_buffer_get_memory (MpBuffer *self, gsize *length)
{
  g_return_val_if_fail (self != NULL && length != NULL, NULL);

  *length = mp_buffer_get_size (self);
  if (self->block != NULL)
    {
      guint8 *data = mp_ring_block_show_data (self->block);

      return data != NULL ? data + self->offset : NULL;
    }
  if (self->bytes != NULL)
    return (guint8 *) g_bytes_get_data (self->bytes, NULL);
  return self->memory;
}

/**
 * mp_buffer_get_address:
 * @self: a buffer
 *
 * Where its bytes are, as a number: for bindings that make a view of their own on
 * them. The view must keep the buffer.
 *
 * Returns: the address of the first byte
 *
 * Since: 0.1
 */
guint64
mp_buffer_get_address (MpBuffer *self)
{
  gsize length;

  g_return_val_if_fail (self != NULL, 0);

  return (guint64) (guintptr) mp_buffer_get_memory (self, &length);
}

/**
 * mp_buffer_get_size:
 * @self: a buffer
 *
 * How long the message is.
 *
 * Returns: the number of bytes
 *
 * Since: 0.1
 */
gsize
mp_buffer_get_size (MpBuffer *self)
{
  g_return_val_if_fail (self != NULL, 0);

  if (self->block != NULL)
    return mp_ring_block_get_length (self->block) - self->offset;
  return self->bytes != NULL ? g_bytes_get_size (self->bytes) : self->length;
}

/**
 * mp_buffer_get_codec:
 * @self: a buffer
 *
 * What its bytes are, if it was taken from a queue.
 *
 * Returns: the codec
 *
 * Since: 0.1
 */
MpCodec
mp_buffer_get_codec (MpBuffer *self)
{
  g_return_val_if_fail (self != NULL, MP_CODEC_RAW);

  return self->codec;
}

/**
 * mp_buffer_get_shared:
 * @self: a buffer
 *
 * Whether its memory is that of the queue. If not, because the message was short,
 * or the queue is bounded by bytes, it was or will be copied.
 *
 * Returns: whether there is no copy
 *
 * Since: 0.1
 */
gboolean
mp_buffer_get_shared (MpBuffer *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return self->block != NULL;
}

GBytes *
mp_ring_block_to_bytes (MpRingBlock *block)
{
  return g_bytes_new_with_free_func (mp_ring_block_show_data (block),
                                     mp_ring_block_get_length (block),
                                     (GDestroyNotify) mp_ring_block_unref,
                                     mp_ring_block_ref (block));
}

/**
 * mp_buffer_get_bytes:
 * @self: a buffer that was taken from a queue
 *
 * Its bytes, without a copy. They keep the memory; nobody should write it meanwhile.
 *
 * Returns: (transfer full): the bytes
 *
 * Since: 0.1
 */
GBytes *
mp_buffer_get_bytes (MpBuffer *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  if (self->block != NULL)
    {
      g_autoptr (GBytes) all = mp_ring_block_to_bytes (self->block);

      return g_bytes_new_from_bytes (all, self->offset, mp_buffer_get_size (self));
    }
  if (self->bytes != NULL)
    return g_bytes_ref (self->bytes);
  return g_bytes_new (self->memory, self->length);
}
