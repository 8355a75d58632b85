/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../base/mp-enums.h"
#include "../channel/mp-buffer-private.h"

G_BEGIN_DECLS

/* Some tasks of a job in the order of submission, as the bytes that go into the
 * task ring. Not thread-safe; the job's pool has the lock. */
typedef struct _MpBatch MpBatch;

/* The payload of one task, in parts that stay valid as long as the batch does
 * and the scratch it was made with. */
typedef struct
{
  GOutputVector parts[2];
  guint n_parts;
  gsize length;
  const MpBlockRef *ref; /* nullable; where the payload can be taken over, once */
  MpCodec codec;
  guint n_items; /* more than one only for a chunk */
} MpBatchTask;

/* @argument: (nullable): consumed when floating; NULL is an empty payload */
MpBatch *mp_batch_new_single (GVariant *argument);
/* @items: an av in normal form */
MpBatch *mp_batch_new_items (GVariant *items, guint chunk_size);
MpBatch *mp_batch_new_packed (const guint8 *data,
                              gsize length,
                              const guint8 *lengths,
                              gsize n_lengths,
                              MpCodec codec,
                              GError **error);
/* One task, which is in @buffer; without a copy if that was lent by @ring, which is nullable.
 * @copied: some of its attempts get copies. MP_ERROR_INVALID_ARGUMENT if it was given away already;
 * MP_ERROR_LIMIT if there is no memory to read it. */
MpBatch *mp_batch_new_buffer (MpBuffer *buffer,
                              MpRing *ring,
                              MpCodec codec,
                              gboolean copied,
                              GError **error);
MpBatch *mp_batch_ref (MpBatch *self);
void mp_batch_unref (MpBatch *self);

guint mp_batch_get_n_tasks (MpBatch *self);
guint64 mp_batch_get_n_items (MpBatch *self);
/* Where the batch begins in its job. */
guint64 mp_batch_get_first (MpBatch *self);
void mp_batch_set_first (MpBatch *self, guint64 first);
/* @scratch: what had to be made for it, freed by the caller */
void mp_batch_get_task (MpBatch *self, guint index, GPtrArray *scratch, MpBatchTask *task);

/* Any array becomes an av in normal form; MP_ERROR_TYPE for anything else.
 * Consumes a floating @items. */
GVariant *mp_batch_normalize_items (GVariant *items, GError **error);

/* The serialised form of an av, element by element. */
typedef struct
{
  const guint8 *data;
  gsize size;
  gsize table; /* where the framing offsets begin: the end of the last element */
  gsize n;
  guint offset_size;
} MpFraming;

gboolean mp_framing_init (MpFraming *self, const guint8 *data, gsize size);
gsize mp_framing_get_end (const MpFraming *self, gsize index);
/* How wide an offset is when the elements take @body bytes. */
guint mp_framing_compute_width (gsize body, gsize n);
void mp_framing_write (guint8 *table, gsize index, guint width, gsize end);

#define MP_FRAMING_ALIGN(x) (((x) + 7) & ~(gsize) 7)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpBatch, mp_batch_unref)

G_END_DECLS
