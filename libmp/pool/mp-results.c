/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-results-private.h"

#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"
#include "mp-batch-private.h"

#include <string.h>

#define MP_RESULT_BLOCK_FIRST 64
#define MP_RESULT_BLOCK_MAX (256 * 1024)
/* A packed array ends here, if it has anything: the memory for one that is longer would be
 * fresh each time, which costs more than the copying. */
#define MP_RESULTS_PACK_MAX (4 * 1024 * 1024)
#define MP_ERROR_PAYLOAD_TYPE "(sisa{sv})"

struct _MpResultBlock
{
  guint ref_count; /* one for each result in it, one while it is filled */
  gsize used;
  gsize size;
};

static guint8 *
mp_result_block_get_bytes (MpResultBlock *self)
{
  return (guint8 *) self + MP_FRAMING_ALIGN (sizeof *self);
}

static void
mp_result_block_unref (MpResultBlock *self)
{
  if (--self->ref_count == 0)
    g_free (self);
}

void
mp_results_init (MpResults *self, gboolean ordered)
{
  memset (self, 0, sizeof *self);
  self->ordered = ordered;
  self->next_block = MP_RESULT_BLOCK_FIRST;
}

void
mp_result_clear (MpResult *result)
{
  g_clear_pointer (&result->block, mp_result_block_unref);
  g_clear_pointer (&result->buffer, mp_buffer_unref);
}

void
mp_results_clear (MpResults *self)
{
  if (self->entries != NULL)
    {
      for (guint i = self->head; i < self->entries->len; i++)
        mp_result_clear (&g_array_index (self->entries, MpResult, i));
      g_clear_pointer (&self->entries, g_array_unref);
    }
  self->head = 0;
  g_clear_pointer (&self->current, mp_result_block_unref);
  g_clear_pointer (&self->packed, g_hash_table_unref);
}

/* Room for @length bytes; blocks double, so a single small result takes little
 * and a million of them take few blocks. */
static guint8 *
mp_results_allocate (MpResults *self, gsize length, MpResultBlock **block)
{
  gsize need = MP_FRAMING_ALIGN (length);
  guint8 *at;

  if (self->current == NULL || self->current->size - self->current->used < need)
    {
      gsize size = MAX (self->next_block, need);

      g_clear_pointer (&self->current, mp_result_block_unref);
      self->current = g_malloc (MP_FRAMING_ALIGN (sizeof (MpResultBlock)) + size);
      self->current->ref_count = 1;
      self->current->used = 0;
      self->current->size = size;
      self->next_block = MIN (self->next_block * 2, MP_RESULT_BLOCK_MAX);
    }
  at = mp_result_block_get_bytes (self->current) + self->current->used;
  self->current->used += need;
  self->current->ref_count++;
  *block = self->current;
  return at;
}

static MpResult *
mp_results_place (MpResults *self, guint64 index)
{
  static const MpResult none = { .status = MP_RESULT_NONE };
  gsize at;

  if (self->entries == NULL)
    self->entries = g_array_sized_new (FALSE, FALSE, sizeof (MpResult), 1);
  at = self->ordered ? (gsize) (index - self->base) : self->entries->len;
  while (self->entries->len <= at)
    g_array_append_val (self->entries, none);
  return &g_array_index (self->entries, MpResult, at);
}

void
mp_results_add (MpResults *self,
                guint64 index,
                MpResultStatus status,
                MpCodec codec,
                const guint8 *data,
                gsize length)
{
  MpResult *result = mp_results_place (self, index);
  guint8 *bytes = mp_results_allocate (self, length, &result->block);

  if (length > 0)
    memcpy (bytes, data, length);
  result->data = bytes;
  result->length = (guint32) length;
  result->index = (guint32) index;
  result->codec = (guint8) codec;
  result->status = (guint8) status;
}

void
mp_results_add_buffer (MpResults *self, guint64 index, MpBuffer *buffer)
{
  MpResult *result = mp_results_place (self, index);

  result->buffer = buffer;
  result->index = (guint32) index;
  result->codec = (guint8) buffer->codec;
  result->status = MP_RESULT_OK;
}

gboolean
mp_results_is_ready (const MpResults *self)
{
  return self->entries != NULL && self->head < self->entries->len &&
         g_array_index (self->entries, MpResult, self->head).status != MP_RESULT_NONE;
}

gboolean
mp_results_take (MpResults *self, MpResult *result)
{
  if (!mp_results_is_ready (self))
    return FALSE;
  *result = g_array_index (self->entries, MpResult, self->head);
  self->head++;

  /* Moved down once half is taken, so that it costs little for each. */
  if (self->head == self->entries->len ||
      (self->head >= 64 && self->head * 2 >= self->entries->len))
    {
      g_array_remove_range (self->entries, 0, self->head);
      self->base += self->head;
      self->head = 0;
    }
  return TRUE;
}

static void
mp_results_keep_buffer (MpResults *self, MpResult *result)
{
  if (self->packed == NULL)
    self->packed = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) mp_buffer_unref);
  g_hash_table_insert (self->packed,
                       GUINT_TO_POINTER (result->index),
                       g_steal_pointer (&result->buffer));
}

MpBuffer *
mp_results_take_buffer (MpResults *self, guint32 index)
{
  gpointer buffer = NULL;

  if (self->packed != NULL)
    g_hash_table_steal_extended (self->packed, GUINT_TO_POINTER (index), NULL, &buffer);
  return buffer;
}

guint
mp_results_pack (MpResults *self, guint max, GByteArray *bytes)
{
  guint32 n = 0;
  gsize start = bytes->len;
  gsize body = 0;
  gsize at;

  if (self->entries == NULL)
    return 0;
  for (guint i = self->head; i < self->entries->len && (max == 0 || n < max); i++, n++)
    {
      const MpResult *result = &g_array_index (self->entries, MpResult, i);

      if (result->status == MP_RESULT_NONE ||
          (n > 0 && body + result->length > MP_RESULTS_PACK_MAX))
        break;
      body += result->length;
    }
  if (n == 0)
    return 0;

  at = start + sizeof n + n * 4 * sizeof (guint32);
  g_byte_array_set_size (bytes, (guint) (at + body));
  memcpy (bytes->data + start, &n, sizeof n);
  for (guint32 i = 0; i < n; i++)
    {
      MpResult result = { 0 };
      guint32 head[4];

      mp_results_take (self, &result);
      head[0] = result.index;
      head[1] = result.buffer != NULL ? MP_RESULT_BUFFER : result.status;
      head[2] = result.codec;
      head[3] = result.length;
      memcpy (bytes->data + start + sizeof n + i * sizeof head, head, sizeof head);
      if (result.length > 0)
        memcpy (bytes->data + at, result.data, result.length);
      at += result.length;
      if (result.buffer != NULL)
        mp_results_keep_buffer (self, &result);
      mp_result_clear (&result);
    }
  return n;
}

/* The serialised av inside a v, which is what a chunk's result has to be. */
static gboolean
mp_results_open_chunk (const MpResult *result, MpFraming *framing, GError **error)
{
  if (result->codec == MP_CODEC_GVARIANT && result->length >= 3 &&
      memcmp (result->data + result->length - 3, "\0av", 3) == 0 &&
      mp_framing_init (framing, result->data, result->length - 3))
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_TYPE,
                       "The worker's result for a chunk is not an array of variants");
  return FALSE;
}

static gboolean
mp_results_check_normal (const MpResult *result, GError **error)
{
  if (mp_payload_is_normal (result->data, result->length))
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_CORRUPT,
                       "The worker's result is not a serialised variant");
  return FALSE;
}

static gboolean
mp_results_check_single (const MpResult *result, GError **error)
{
  if (result->codec == MP_CODEC_GVARIANT)
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_NOT_SUPPORTED,
                       "The results are not variants: take them as bytes");
  return FALSE;
}

/* How many elements there are, and how many bytes they take. */
static gboolean
mp_results_measure (const MpResults *self, gboolean chunks, gsize *n, gsize *body, GError **error)
{
  *n = 0;
  *body = 0;
  for (guint i = self->head; self->entries != NULL && i < self->entries->len; i++)
    {
      const MpResult *result = &g_array_index (self->entries, MpResult, i);
      MpFraming framing;

      g_assert_cmpint (result->status, ==, MP_RESULT_OK);
      if (chunks ? !mp_results_open_chunk (result, &framing, error)
                 : !mp_results_check_single (result, error))
        return FALSE;
      if (!mp_results_check_normal (result, error))
        return FALSE;
      if (chunks && framing.n == 0)
        continue;
      *n += chunks ? framing.n : 1;
      *body = MP_FRAMING_ALIGN (*body) + (chunks ? framing.table : result->length);
    }
  return TRUE;
}

typedef struct
{
  guint8 *data;
  guint8 *table;
  gsize position;
  gsize n;
  guint width;
} MpResultsWriter;

static void
mp_results_write (MpResultsWriter *writer, const guint8 *data, gsize length)
{
  gsize start = MP_FRAMING_ALIGN (writer->position);

  memset (writer->data + writer->position, 0, start - writer->position);
  memcpy (writer->data + start, data, length);
  writer->position = start + length;
}

static void
mp_results_write_chunk (MpResultsWriter *writer, const MpFraming *framing)
{
  gsize start = MP_FRAMING_ALIGN (writer->position);

  if (framing->n == 0)
    return;
  mp_results_write (writer, framing->data, framing->table);
  for (gsize i = 0; i < framing->n; i++)
    mp_framing_write (writer->table,
                      writer->n++,
                      writer->width,
                      start + MIN (mp_framing_get_end (framing, i), framing->table));
}

GVariant *
mp_results_build (const MpResults *self, gboolean chunks, GError **error)
{
  MpResultsWriter writer = { 0 };
  g_autoptr (GBytes) bytes = NULL;
  gsize n;
  gsize body;
  gsize size;

  if (!mp_results_measure (self, chunks, &n, &body, error))
    return NULL;

  writer.width = mp_framing_compute_width (body, n);
  size = body + n * writer.width;
  writer.data = g_malloc (MAX (size, 1));
  writer.table = writer.data + body;
  for (guint i = self->head; self->entries != NULL && i < self->entries->len; i++)
    {
      const MpResult *result = &g_array_index (self->entries, MpResult, i);
      MpFraming framing;

      if (chunks && mp_results_open_chunk (result, &framing, NULL))
        mp_results_write_chunk (&writer, &framing);
      else
        {
          mp_results_write (&writer, result->data, result->length);
          mp_framing_write (writer.table, writer.n++, writer.width, writer.position);
        }
    }
  bytes = g_bytes_new_take (writer.data, size);
  /* Each was checked and the frame is ours: as trusted data, since in other data
   * the way to an element is as long as the array before it. */
  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("av"), bytes, TRUE));
}

GVariant *
mp_error_payload_new (const char *domain,
                      int code,
                      const char *message,
                      const char *traceback,
                      const guint8 *exception,
                      gsize exception_length)
{
  g_autofree char *valid = g_utf8_make_valid (message != NULL ? message : "", -1);
  GVariantBuilder details;

  g_variant_builder_init (&details, G_VARIANT_TYPE ("a{sv}"));
  if (traceback != NULL)
    {
      g_autofree char *text = g_utf8_make_valid (traceback, -1);

      g_variant_builder_add (&details, "{sv}", "traceback", g_variant_new_string (text));
    }
  if (exception_length > 0)
    g_variant_builder_add (&details,
                           "{sv}",
                           "exception",
                           g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE,
                                                      exception,
                                                      exception_length,
                                                      1));
  return g_variant_ref_sink (
    g_variant_new (MP_ERROR_PAYLOAD_TYPE, domain != NULL ? domain : "", code, valid, &details));
}

GVariant *
mp_error_payload_new_from_error (const GError *error)
{
  return mp_error_payload_new (g_quark_to_string (error->domain),
                               error->code,
                               error->message,
                               NULL,
                               NULL,
                               0);
}

GError *
mp_error_payload_parse (const guint8 *data, gsize length, char **traceback)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) payload = mp_payload_to_variant (data, length, MP_CODEC_GVARIANT, &error);
  g_autoptr (GVariant) details = NULL;
  const char *domain;
  const char *message;
  int code;

  if (traceback != NULL)
    *traceback = NULL;
  if (payload == NULL)
    return g_steal_pointer (&error);
  if (!g_variant_is_of_type (payload, G_VARIANT_TYPE (MP_ERROR_PAYLOAD_TYPE)))
    return g_error_new_literal (MP_ERROR, MP_ERROR_CORRUPT, "A worker reported a malformed error");

  g_variant_get (payload, "(&si&s@a{sv})", &domain, &code, &message, &details);
  if (traceback != NULL)
    g_variant_lookup (details, "traceback", "s", traceback);
  return g_error_new_literal (*domain != '\0' ? g_quark_from_string (domain) : MP_ERROR,
                              *domain != '\0' ? code : MP_ERROR_FAILED,
                              message);
}
