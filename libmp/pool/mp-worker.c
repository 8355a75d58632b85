/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-worker.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"
#include "mp-pool-private.h"

#include <string.h>
#include <unistd.h>

/**
 * MpWorker:
 *
 * The worker's end of an [class@Mp.Pool], for those who write the loop that runs
 * tasks in some language.
 *
 * A worker process gets a handle as its argument. It makes an [class@Mp.Worker] of
 * it, calls [method@Mp.Worker.next], runs the task, answers with
 * [method@Mp.Worker.succeed] or [method@Mp.Worker.fail], and so on until there is
 * no next task; then it exits. Programs in C need none of this: they register
 * functions.
 *
 * A task is, in native byte order, four 32-bit numbers: the [enum@Mp.Codec] of the
 * payload, flags, the length of the function, and how often the task was started
 * before; then the function, padded to a multiple of 8 bytes; then the payload. Flag 1: the
 * payload is an array (`av`), the function is to be applied to each element, and
 * the result is an array (`av`); the first element that fails ends it. Flag 2: the
 * argument is a tuple, which holds the arguments of the function, or `(ava{sv})`,
 * the arguments by position and by name. An empty payload with the codec
 * %MP_CODEC_GVARIANT is no argument at all.
 *
 * # Threads
 *
 * One thread takes tasks and answers; [method@Mp.Worker.report_progress] can be
 * called from others while a task runs.
 *
 * Since: 0.1
 */
struct _MpWorker
{
  GObject parent_instance;

  MpRing *tasks;
  MpRing *results;
  MpClaims *claims;
  guint index;
  guint max_tasks; /* 0: no limit */
  GBytes *start_data;

  /* The task at hand. */
  MpTaskHeader task;
  gboolean busy;
  gboolean finishing; /* it is too late to cancel it */
  guint n_taken;

  /* Its bytes, from the public part of the header on; 8-aligned. */
  guint8 *buffer;
  gsize buffer_size;
  gsize length;
  gboolean malformed;
};

G_DEFINE_FINAL_TYPE (MpWorker, mp_worker, G_TYPE_OBJECT)

/* A buffer above this is given back with its task. */
#define MP_WORKER_KEEP_BUFFER (64 * 1024)
/* What fits a job's table of results. */
#define MP_WORKER_MAX_RESULT G_MAXINT32

/* One that g_object_new() made is of no use. */
#define MP_IS_READY_WORKER(self) (MP_IS_WORKER (self) && (self)->results != NULL)

static void
mp_worker_finalize (GObject *object)
{
  MpWorker *self = MP_WORKER (object);

  g_clear_pointer (&self->tasks, mp_ring_unref);
  g_clear_pointer (&self->results, mp_ring_unref);
  g_clear_pointer (&self->claims, mp_claims_free);
  g_clear_pointer (&self->start_data, g_bytes_unref);
  g_clear_pointer (&self->buffer, g_free);

  G_OBJECT_CLASS (mp_worker_parent_class)->finalize (object);
}

static void
mp_worker_class_init (MpWorkerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = mp_worker_finalize;
}

static void
mp_worker_init (MpWorker *self)
{
}

static gboolean
mp_worker_set_corrupt (GError **error)
{
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_CORRUPT,
                       "The handle is not that of a pool's worker");
  return FALSE;
}

static gboolean
mp_worker_attach_claims (MpWorker *self, GVariant *fds, GUnixFDList *fd_list, GError **error)
{
  int n_fds;
  const int *all = g_unix_fd_list_peek_fds (fd_list, &n_fds);
  int index;

  if (g_variant_n_children (fds) != 1)
    return mp_worker_set_corrupt (error);
  g_variant_get_child (fds, 0, "h", &index);
  if (index < 0 || index >= n_fds)
    return mp_worker_set_corrupt (error);
  self->claims = mp_claims_new_from_fd (all[index], error);
  if (self->claims == NULL)
    return FALSE;
  return self->index < mp_claims_get_n_workers (self->claims) || mp_worker_set_corrupt (error);
}

static gboolean
mp_worker_attach (MpWorker *self, GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (GVariant) layout = NULL;
  g_autoptr (GVariant) fds = NULL;
  g_autoptr (GVariant) tasks = NULL;
  g_autoptr (GVariant) results = NULL;
  g_autoptr (GVariant) data = NULL;
  const char *kind;
  guint32 version;

  if (!g_variant_is_of_type (handle, G_VARIANT_TYPE ("(sua{sv}ah)")))
    return mp_worker_set_corrupt (error);
  g_variant_get (handle, "(&su@a{sv}@ah)", &kind, &version, &layout, &fds);
  tasks = g_variant_lookup_value (layout, "tasks", NULL);
  results = g_variant_lookup_value (layout, "results", NULL);
  data = g_variant_lookup_value (layout, "data", G_VARIANT_TYPE_BYTESTRING);
  if (strcmp (kind, MP_POOL_HANDLE_KIND) != 0 || version != 1 || tasks == NULL || results == NULL ||
      !g_variant_lookup (layout, "worker", "u", &self->index) ||
      !g_variant_lookup (layout, "max-tasks", "u", &self->max_tasks))
    return mp_worker_set_corrupt (error);
  if (data != NULL)
    self->start_data = g_variant_get_data_as_bytes (data);
  if (!mp_worker_attach_claims (self, fds, fd_list, error))
    return FALSE;
  self->tasks = mp_ring_new_from_handle (tasks, fd_list, error);
  if (self->tasks == NULL)
    return FALSE;
  self->results = mp_ring_new_from_handle (results, fd_list, error);
  return self->results != NULL;
}

/**
 * mp_worker_new_from_handle:
 * @handle: the argument of the worker process
 * @fd_list: the descriptors that came with it
 * @error: return location for an error
 *
 * Makes the worker's end of a pool. What is not the handle of a worker is
 * %MP_ERROR_CORRUPT.
 *
 * Returns: (transfer full): the worker
 *
 * Since: 0.1
 */
MpWorker *
mp_worker_new_from_handle (GVariant *handle, GUnixFDList *fd_list, GError **error)
{
  g_autoptr (MpWorker) self = NULL;
  g_autoptr (GVariant) own = NULL;

  g_return_val_if_fail (handle != NULL, NULL);
  g_return_val_if_fail (G_IS_UNIX_FD_LIST (fd_list), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  own = g_variant_ref_sink (handle);
  self = g_object_new (MP_TYPE_WORKER, NULL);
  return mp_worker_attach (self, own, fd_list, error) ? g_steal_pointer (&self) : NULL;
}

/**
 * mp_worker_get_start_data:
 * @self: a worker
 *
 * What the pool was given for its workers, see [property@Mp.Pool:worker-data].
 *
 * Returns: (transfer none) (nullable): the bytes
 *
 * Since: 0.1
 */
GBytes *
mp_worker_get_start_data (MpWorker *self)
{
  g_return_val_if_fail (MP_IS_WORKER (self), NULL);

  return self->start_data;
}

/**
 * mp_worker_get_task_id:
 * @self: a worker
 *
 * The number of the task at hand, in the order in which the pool fed its
 * workers, from 1.
 *
 * Returns: the number; 0 if there is no task
 *
 * Since: 0.1
 */
guint64
mp_worker_get_task_id (MpWorker *self)
{
  g_return_val_if_fail (MP_IS_READY_WORKER (self), 0);

  return self->busy ? self->task.task_id : 0;
}

/**
 * mp_worker_get_attempt:
 * @self: a worker
 *
 * How often the task at hand was started before.
 *
 * Returns: 0 for the first time
 *
 * Since: 0.1
 */
guint
mp_worker_get_attempt (MpWorker *self)
{
  g_return_val_if_fail (MP_IS_READY_WORKER (self), 0);

  return self->busy ? self->task.attempt : 0;
}

/* Under the consumers' lock of the ring: copies the task, and claims it. */
static void
mp_worker_task_sink (gpointer user_data,
                     guint32 seq,
                     MpCodec codec,
                     const guint8 *data,
                     gsize length)
{
  MpWorker *self = user_data;
  MpClaim claim;

  self->malformed = length < sizeof self->task;
  if (self->malformed)
    return;
  memcpy (&self->task, data, sizeof self->task);
  claim.seq = seq;
  claim.slot = self->task.slot;
  claim.task_id = self->task.task_id;
  mp_claims_take (self->claims, self->index, &claim);

  self->length = length - MP_TASK_HEADER_PRIVATE;
  if (self->buffer_size < self->length)
    {
      g_free (self->buffer);
      self->buffer_size = MAX (self->length, 4096);
      self->buffer = g_malloc (self->buffer_size);
    }
  memcpy (self->buffer, data + MP_TASK_HEADER_PRIVATE, self->length);
}

static gboolean
mp_worker_put (MpWorker *self,
               MpReplyStatus status,
               const guint8 *data,
               gsize length,
               MpCodec codec,
               GError **error)
{
  MpReplyHeader header = { self->task.task_id, self->task.slot, status, self->index, 0 };
  const GOutputVector parts[] = { { &header, sizeof header }, { data, length } };
  const MpRecord record = { parts, length > 0 ? 2 : 1, codec };
  MpRingStatus put;

  if (length > MP_WORKER_MAX_RESULT)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "The result has %" G_GSIZE_FORMAT " bytes, and can have %d",
                   length,
                   MP_WORKER_MAX_RESULT);
      return FALSE;
    }
  do
    put = mp_ring_put (self->results, &record, 1, MP_RING_PUT_NONE, MP_DEADLINE_NEVER);
  while (put == MP_RING_INTERRUPTED);
  return put == MP_RING_DONE || mp_ring_set_error (error, self->results, put, TRUE);
}

/* Until the kill that is on its way. */
G_NORETURN static void
mp_worker_stand_still (void)
{
  while (TRUE)
    pause ();
}

static void
mp_worker_end_task (MpWorker *self)
{
  self->busy = FALSE;
  mp_claims_release (self->claims, self->index);
  if (self->buffer_size > MP_WORKER_KEEP_BUFFER)
    {
      g_clear_pointer (&self->buffer, g_free);
      self->buffer_size = 0;
    }
}

/* A result that cannot be put leaves the task at hand, for another answer. */
static gboolean
mp_worker_answer (MpWorker *self,
                  MpReplyStatus status,
                  const guint8 *data,
                  gsize length,
                  MpCodec codec,
                  GError **error)
{
  if (!self->finishing)
    {
      if (!mp_claims_finish (self->claims, self->index, self->task.slot))
        mp_worker_stand_still ();
      self->finishing = TRUE;
    }
  if (!mp_worker_put (self, status, data, length, codec, error))
    return FALSE;
  mp_worker_end_task (self);
  return TRUE;
}

static gboolean
mp_worker_check_busy (MpWorker *self, gboolean busy, GError **error)
{
  if (self->busy == busy)
    return TRUE;
  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_BUSY,
                       busy ? "There is no task to answer" : "The task at hand has no answer yet");
  return FALSE;
}

/* Whether the parts of the task lie within it. */
static gboolean
mp_worker_check_task (MpWorker *self)
{
  return !self->malformed && self->task.slot < mp_claims_get_n_slots (self->claims) &&
         MP_FRAMING_ALIGN ((gsize) self->task.function_length) <=
           self->length - (sizeof self->task - MP_TASK_HEADER_PRIVATE);
}

static const guint8 *
mp_worker_take (MpWorker *self, gsize *length, GError **error)
{
  *length = 0;
  mp_claims_attach (self->claims, self->index);
  while (self->max_tasks == 0 || self->n_taken < self->max_tasks)
    {
      gsize n = 0;
      MpRingStatus status =
        mp_ring_get (self->tasks, 1, 0, mp_worker_task_sink, self, MP_DEADLINE_NEVER, &n);

      if (status == MP_RING_CLOSED)
        return NULL;
      if (status == MP_RING_INTERRUPTED || (status == MP_RING_DONE && n == 0))
        continue;
      if (status != MP_RING_DONE)
        {
          mp_ring_set_error (error, self->tasks, status, FALSE);
          return NULL;
        }
      if (!mp_worker_check_task (self))
        {
          mp_ring_set_error (error, self->tasks, MP_RING_CORRUPT, FALSE);
          return NULL;
        }
      if (mp_claims_begin (self->claims, self->index, self->task.slot))
        {
          self->busy = TRUE;
          self->finishing = FALSE;
          self->n_taken++;
          *length = self->length;
          return self->buffer;
        }
      /* Cancelled in the meantime. */
      if (!mp_worker_put (self, MP_REPLY_SKIPPED, NULL, 0, MP_CODEC_RAW, error))
        return NULL;
      mp_worker_end_task (self);
    }
  return NULL;
}

/**
 * mp_worker_next:
 * @self: a worker
 * @length: (out): how many bytes
 * @error: return location for an error
 *
 * Takes the next task, and waits for one if there is none. If the task before has
 * no answer yet, it is %MP_ERROR_BUSY.
 *
 * Returns: (transfer none) (array length=length) (element-type guint8) (nullable):
 *   the task, see the description of the class, until it is answered; %NULL
 *   without an error if there are no more: the pool is closed, or the worker has
 *   done its share
 *
 * Since: 0.1
 */
const guint8 *
mp_worker_next (MpWorker *self, gsize *length, GError **error)
{
  g_return_val_if_fail (MP_IS_READY_WORKER (self), NULL);
  g_return_val_if_fail (length != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  *length = 0;
  if (!mp_worker_check_busy (self, FALSE, error))
    return NULL;
  return mp_worker_take (self, length, error);
}

/**
 * mp_worker_succeed_and_next:
 * @self: a worker
 * @result: (array length=result_length) (element-type guint8): what the function
 *   returned
 * @result_length: how many bytes
 * @codec: what @result is
 * @length: (out): how many bytes the next task has
 * @error: return location for an error
 *
 * Answers the task at hand, see [method@Mp.Worker.succeed], and takes the next,
 * see [method@Mp.Worker.next]: two steps in one call.
 *
 * If the result cannot be sent (%MP_ERROR_LIMIT), the task is still at hand, and
 * wants another answer.
 *
 * Returns: (transfer none) (array length=length) (element-type guint8) (nullable):
 *   the next task, or %NULL without an error if there are no more
 *
 * Since: 0.1
 */
const guint8 *
mp_worker_succeed_and_next (MpWorker *self,
                            const guint8 *result,
                            gsize result_length,
                            MpCodec codec,
                            gsize *length,
                            GError **error)
{
  g_return_val_if_fail (MP_IS_READY_WORKER (self), NULL);
  g_return_val_if_fail (length != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  *length = 0;
  if (!mp_worker_check_busy (self, TRUE, error) ||
      !mp_worker_answer (self, MP_REPLY_OK, result, result_length, codec, error))
    return NULL;
  return mp_worker_take (self, length, error);
}

/**
 * mp_worker_succeed:
 * @self: a worker
 * @result: (array length=result_length) (element-type guint8): what the function
 *   returned
 * @result_length: how many bytes
 * @codec: what @result is
 * @error: return location for an error
 *
 * Answers the task at hand with its result.
 *
 * If it cannot be sent (%MP_ERROR_LIMIT: too big, or no memory), the task is still
 * at hand, and wants another answer. Without a task it is %MP_ERROR_BUSY.
 *
 * Returns: %TRUE if the result was sent
 *
 * Since: 0.1
 */
gboolean
mp_worker_succeed (MpWorker *self,
                   const guint8 *result,
                   gsize result_length,
                   MpCodec codec,
                   GError **error)
{
  g_return_val_if_fail (MP_IS_READY_WORKER (self), FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return mp_worker_check_busy (self, TRUE, error) &&
         mp_worker_answer (self, MP_REPLY_OK, result, result_length, codec, error);
}

/**
 * mp_worker_fail:
 * @self: a worker
 * @domain: (nullable): whose code it is: the name of a [type@GLib.Error] domain
 * @code: the error's code
 * @message: what went wrong
 * @traceback: (nullable): where, as text
 * @exception: (array length=exception_length) (element-type guint8) (nullable): the
 *   error in the language of the worker, for a reader in the same language
 * @exception_length: how many bytes
 * @error: return location for an error
 *
 * Answers the task at hand with an error.
 *
 * Before the first task was asked for, it says that the worker cannot work at
 * all: every job of the pool fails with this error, and the pool is broken.
 * Afterwards, without a task, it is %MP_ERROR_BUSY.
 *
 * Returns: %TRUE if the error was sent
 *
 * Since: 0.1
 */
gboolean
mp_worker_fail (MpWorker *self,
                const char *domain,
                int code,
                const char *message,
                const char *traceback,
                const guint8 *exception,
                gsize exception_length,
                GError **error)
{
  g_autoptr (GVariant) payload = NULL;
  g_autoptr (GBytes) bytes = NULL;
  const guint8 *data;
  gsize length;

  g_return_val_if_fail (MP_IS_READY_WORKER (self), FALSE);
  g_return_val_if_fail (message != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  payload = mp_error_payload_new (domain, code, message, traceback, exception, exception_length);
  bytes = mp_payload_from_variant (payload);
  data = g_bytes_get_data (bytes, &length);
  if (!self->busy && !mp_claims_is_attached (self->claims, self->index))
    return mp_worker_put (self, MP_REPLY_INIT_FAILED, data, length, MP_CODEC_GVARIANT, error);
  return mp_worker_check_busy (self, TRUE, error) &&
         mp_worker_answer (self, MP_REPLY_ERROR, data, length, MP_CODEC_GVARIANT, error);
}

/**
 * mp_worker_report_progress:
 * @self: a worker
 * @fraction: how much of the task at hand is done, from 0 to 1
 *
 * Reports progress, which becomes part of [property@Mp.Job:progress]. Does
 * nothing without a task.
 *
 * Since: 0.1
 */
void
mp_worker_report_progress (MpWorker *self, double fraction)
{
  g_return_if_fail (MP_IS_READY_WORKER (self));

  if (self->busy)
    mp_worker_put (self,
                   MP_REPLY_PROGRESS,
                   (const guint8 *) &fraction,
                   sizeof fraction,
                   MP_CODEC_RAW,
                   NULL);
}
