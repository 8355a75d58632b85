/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../base/mp-enums.h"
#include "../channel/mp-buffer-private.h"

G_BEGIN_DECLS

typedef enum
{
  MP_RESULT_OK,
  MP_RESULT_ERROR,  /* the payload is an error, see mp_error_payload_new() */
  MP_RESULT_BUFFER, /* as packed: the payload is in a buffer, see mp_results_take_buffer() */
  MP_RESULT_NONE    /* not there yet */
} MpResultStatus;

typedef struct _MpResultBlock MpResultBlock;

/* One result; its bytes live in a block that it shares with its neighbours. */
typedef struct
{
  MpResultBlock *block;
  MpBuffer *buffer; /* nullable; has the bytes instead, which only Python can read */
  const guint8 *data;
  guint32 length;
  guint32 index;
  guint8 codec;
  guint8 status;
} MpResult;

/* The results of a job until they are taken: copied once out of the ring into
 * blocks, and found by index (ordered) or in order of arrival. Not thread-safe;
 * the job's pool has the lock. */
typedef struct
{
  gboolean ordered;
  GArray *entries; /* of MpResult */
  guint head;      /* entries before are taken */
  guint64 base;    /* ordered: the index of entries[0] */
  MpResultBlock *current;
  gsize next_block;
  GHashTable *packed; /* nullable; the buffers of packed results, by index */
} MpResults;

void mp_results_init (MpResults *self, gboolean ordered);
void mp_results_clear (MpResults *self);
void mp_results_add (MpResults *self,
                     guint64 index,
                     MpResultStatus status,
                     MpCodec codec,
                     const guint8 *data,
                     gsize length);
/* Takes over @buffer. */
void mp_results_add_buffer (MpResults *self, guint64 index, MpBuffer *buffer);
/* Whether the next one can be taken. */
gboolean mp_results_is_ready (const MpResults *self);
/* The next one, FALSE if there is none; the bytes stay until mp_result_clear(). */
gboolean mp_results_take (MpResults *self, MpResult *result);
void mp_result_clear (MpResult *result);
/* Appends up to @max results (0: all that are ready) in the packed form that
 * mp_job_take_packed() documents; nothing if none is ready. Returns how many. */
guint mp_results_pack (MpResults *self, guint max, GByteArray *bytes);
/* The buffer of a packed result; NULL if it has none or that was taken. */
MpBuffer *mp_results_take_buffer (MpResults *self, guint32 index);
/* All of them as an av, straight from the bytes; @chunks: each one is an av
 * whose elements are meant. Nothing is taken. */
GVariant *mp_results_build (const MpResults *self, gboolean chunks, GError **error);

/* What a worker reports when a task fails, and back. */
GVariant *mp_error_payload_new (const char *domain,
                                int code,
                                const char *message,
                                const char *traceback,
                                const guint8 *exception,
                                gsize exception_length);
GVariant *mp_error_payload_new_from_error (const GError *error);
/* @traceback: (out) (optional): the worker's, or NULL */
GError *mp_error_payload_parse (const guint8 *data, gsize length, char **traceback);

G_END_DECLS
