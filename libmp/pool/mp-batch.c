/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-batch-private.h"

#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"

#include <string.h>

/* A map over a million items makes no million objects: the tasks are slices of
 * the one serialised array, found through its framing offsets (the format is
 * that of the GVariant specification, and of every message on the bus). */

struct _MpBatch
{
  guint ref_count;
  guint n_tasks;
  guint64 first;
  MpCodec codec;

  /* Of an array of items. */
  GVariant *items;
  MpFraming framing;
  guint chunk_size;

  /* Of packed tasks: where each ends; the bytes follow the struct. */
  guint64 *ends;
  guint8 *bytes;

  /* Of a single long one. */
  MpBuffer *buffer;
  const guint8 *memory; /* NULL: it is only passed on */
  MpBlockRef ref;
  gboolean passed_on;
};

guint
mp_framing_compute_width (gsize body, gsize n)
{
  if (body + n <= G_MAXUINT8)
    return 1;
  if (body + 2 * n <= G_MAXUINT16)
    return 2;
  if (body + 4 * n <= G_MAXUINT32)
    return 4;
  return 8;
}

static gsize
mp_framing_read (const guint8 *at, guint width)
{
  guint64 value = 0;

  memcpy (&value, at, width);
  return GUINT64_FROM_LE (value);
}

void
mp_framing_write (guint8 *table, gsize index, guint width, gsize end)
{
  guint64 value = GUINT64_TO_LE ((guint64) end);

  memcpy (table + index * width, &value, width);
}

/* FALSE if this cannot be an array. */
gboolean
mp_framing_init (MpFraming *self, const guint8 *data, gsize size)
{
  gsize left;

  self->data = data;
  self->size = size;
  self->offset_size = size <= G_MAXUINT8    ? 1
                      : size <= G_MAXUINT16 ? 2
                      : size <= G_MAXUINT32 ? 4
                                            : 8;
  self->table = 0;
  self->n = 0;
  if (size == 0)
    return TRUE;
  self->table = mp_framing_read (data + size - self->offset_size, self->offset_size);
  if (self->table >= size)
    return FALSE;
  left = size - self->table;
  self->n = left / self->offset_size;
  return left % self->offset_size == 0;
}

gsize
mp_framing_get_end (const MpFraming *self, gsize index)
{
  return mp_framing_read (self->data + self->table + index * self->offset_size, self->offset_size);
}

static gsize
mp_framing_get_start (const MpFraming *self, gsize index)
{
  return index == 0 ? 0 : MP_FRAMING_ALIGN (mp_framing_get_end (self, index - 1));
}

static MpBatch *
mp_batch_new_sized (guint n_tasks, gsize length)
{
  /* One block, with the bytes aligned for a variant. */
  gsize head = MP_FRAMING_ALIGN (sizeof (MpBatch));
  MpBatch *self = g_malloc (head + n_tasks * sizeof (guint64) + length);

  memset (self, 0, sizeof *self);
  self->ref_count = 1;
  self->n_tasks = n_tasks;
  self->ends = (guint64 *) (gpointer) ((guint8 *) self + head);
  self->bytes = (guint8 *) (self->ends + n_tasks);
  return self;
}

MpBatch *
mp_batch_new_single (GVariant *argument)
{
  g_autoptr (GVariant) own = argument != NULL ? g_variant_ref_sink (argument) : NULL;
  gsize size = own != NULL ? mp_payload_measure (own) : 0;
  MpBatch *self;

  self = mp_batch_new_sized (1, size);
  self->codec = MP_CODEC_GVARIANT;
  self->ends[0] = size;
  if (own != NULL)
    mp_payload_store (own, self->bytes);
  return self;
}

MpBatch *
mp_batch_new_items (GVariant *items, guint chunk_size)
{
  MpBatch *self = g_new0 (MpBatch, 1);
  gsize size = g_variant_get_size (items);

  self->ref_count = 1;
  self->codec = MP_CODEC_GVARIANT;
  self->items = g_variant_ref (items);
  self->chunk_size = chunk_size;
  if (!mp_framing_init (&self->framing, g_variant_get_data (items), size))
    g_assert_not_reached ();
  g_assert_cmpuint (self->framing.n, ==, g_variant_n_children (items));
  self->n_tasks = (guint) ((self->framing.n + chunk_size - 1) / chunk_size);
  return self;
}

/* @lengths: guint32 after guint32, native endian, not necessarily aligned */
MpBatch *
mp_batch_new_packed (const guint8 *data,
                     gsize length,
                     const guint8 *lengths,
                     gsize n_lengths,
                     MpCodec codec,
                     GError **error)
{
  gsize n = n_lengths / sizeof (guint32);
  guint64 end = 0;
  MpBatch *self;

  if (n_lengths % sizeof (guint32) != 0 || n > G_MAXUINT32)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "lengths: %" G_GSIZE_FORMAT " bytes are no array of 32-bit numbers",
                   n_lengths);
      return NULL;
    }
  self = mp_batch_new_sized ((guint) n, length);
  self->codec = codec;
  for (gsize i = 0; i < n; i++)
    {
      guint32 one;

      memcpy (&one, lengths + i * sizeof one, sizeof one);
      end += one;
      self->ends[i] = end;
    }
  if (end != length)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_INVALID_ARGUMENT,
                   "lengths: they add up to %" G_GUINT64_FORMAT ", but there are %" G_GSIZE_FORMAT
                   " bytes",
                   end,
                   length);
      mp_batch_unref (self);
      return NULL;
    }
  if (length > 0)
    memcpy (self->bytes, data, length);
  return self;
}

MpBatch *
mp_batch_new_buffer (MpBuffer *buffer, MpRing *ring, MpCodec codec, gboolean copied, GError **error)
{
  MpRingStatus status = MP_RING_NO_BLOCKS;
  const guint8 *memory = NULL;
  MpBatch *self;
  MpBlockRef ref = { 0 };
  gsize length;

  if (buffer->block != NULL && buffer->offset == 0)
    status = mp_ring_block_pass_on (buffer->block, ring, &ref);
  if (status == MP_RING_REFUSED)
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_INVALID_ARGUMENT,
                           "buffer: it was put or pushed already");
      return NULL;
    }
  if (copied || status != MP_RING_DONE)
    {
      memory = mp_buffer_get_memory (buffer, &length);
      if (memory == NULL && length > 0)
        {
          g_set_error_literal (error, MP_ERROR, MP_ERROR_LIMIT, "There is no memory to map a task");
          return NULL;
        }
    }
  self = g_new0 (MpBatch, 1);
  self->ref_count = 1;
  self->n_tasks = 1;
  self->codec = codec;
  self->buffer = mp_buffer_ref (buffer);
  self->memory = memory;
  self->ref = ref;
  self->passed_on = status == MP_RING_DONE;
  return self;
}

MpBatch *
mp_batch_ref (MpBatch *self)
{
  self->ref_count++;
  return self;
}

void
mp_batch_unref (MpBatch *self)
{
  if (--self->ref_count > 0)
    return;
  g_clear_pointer (&self->items, g_variant_unref);
  g_clear_pointer (&self->buffer, mp_buffer_unref);
  g_free (self);
}

guint
mp_batch_get_n_tasks (MpBatch *self)
{
  return self->n_tasks;
}

guint64
mp_batch_get_n_items (MpBatch *self)
{
  return self->items != NULL ? self->framing.n : self->n_tasks;
}

guint64
mp_batch_get_first (MpBatch *self)
{
  return self->first;
}

void
mp_batch_set_first (MpBatch *self, guint64 first)
{
  self->first = first;
}

static void
mp_batch_get_packed (MpBatch *self, guint index, MpBatchTask *task)
{
  guint64 start = index == 0 ? 0 : self->ends[index - 1];

  task->n_items = 1;
  task->n_parts = 1;
  task->parts[0].buffer = self->bytes + start;
  task->parts[0].size = self->ends[index] - start;
}

static void
mp_batch_get_buffer (MpBatch *self, MpBatchTask *task)
{
  task->n_items = 1;
  task->n_parts = 1;
  task->parts[0].buffer = self->memory;
  task->parts[0].size = mp_buffer_get_size (self->buffer);
  task->ref = self->passed_on ? &self->ref : NULL;
}

/* The elements as they stand, with offsets of their own and the type at the
 * end: the serialised form of a v that holds an av. */
static void
mp_batch_get_chunk (MpBatch *self, guint index, GPtrArray *scratch, MpBatchTask *task)
{
  const MpFraming *framing = &self->framing;
  gsize from = (gsize) index * self->chunk_size;
  gsize n = MIN (self->chunk_size, framing->n - from);
  gsize start = mp_framing_get_start (framing, from);
  gsize body = mp_framing_get_end (framing, from + n - 1) - start;
  guint width = mp_framing_compute_width (body, n);
  guint8 *tail = g_malloc (n * width + 3);

  for (gsize i = 0; i < n; i++)
    mp_framing_write (tail, i, width, mp_framing_get_end (framing, from + i) - start);
  memcpy (tail + n * width, "\0av", 3);
  g_ptr_array_add (scratch, tail);

  task->n_items = (guint) n;
  task->n_parts = 2;
  task->parts[0].buffer = framing->data + start;
  task->parts[0].size = body;
  task->parts[1].buffer = tail;
  task->parts[1].size = n * width + 3;
}

void
mp_batch_get_task (MpBatch *self, guint index, GPtrArray *scratch, MpBatchTask *task)
{
  task->codec = self->codec;
  task->ref = NULL;
  if (self->buffer != NULL)
    mp_batch_get_buffer (self, task);
  else if (self->items == NULL)
    mp_batch_get_packed (self, index, task);
  else if (self->chunk_size > 1)
    mp_batch_get_chunk (self, index, scratch, task);
  else
    {
      gsize start = mp_framing_get_start (&self->framing, index);

      task->n_items = 1;
      task->n_parts = 1;
      task->parts[0].buffer = self->framing.data + start;
      task->parts[0].size = mp_framing_get_end (&self->framing, index) - start;
    }
  task->length = task->parts[0].size + (task->n_parts > 1 ? task->parts[1].size : 0);
}

GVariant *
mp_batch_normalize_items (GVariant *items, GError **error)
{
  g_autoptr (GVariant) own = g_variant_ref_sink (items);
  GVariantBuilder builder;
  GVariantIter iter;
  GVariant *child;

  if (!g_variant_is_of_type (own, G_VARIANT_TYPE_ARRAY))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_TYPE,
                   "items: an array is needed, not a value of type %s",
                   g_variant_get_type_string (own));
      return NULL;
    }
  if (g_variant_is_of_type (own, G_VARIANT_TYPE ("av")))
    return g_variant_get_normal_form (own);

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  g_variant_iter_init (&iter, own);
  while ((child = g_variant_iter_next_value (&iter)) != NULL)
    {
      g_variant_builder_add (&builder, "v", child);
      g_variant_unref (child);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
