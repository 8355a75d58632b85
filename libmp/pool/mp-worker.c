/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-worker-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"
#include "../base/mp-memory-use-private.h"
#include "../base/mp-payload-private.h"
#include "../channel/mp-queue-private.h"

#include <signal.h>
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
 * the arguments by position and by name. Flag 8: the payload is not there, but in the buffer that
 * [method@Mp.Worker.take_argument] gives. Other flags mean nothing to the loop. An empty payload
 * with the codec %MP_CODEC_GVARIANT is no argument at all.
 *
 * # Threads
 *
 * One thread takes tasks and answers; [method@Mp.Worker.report_progress] can be
 * called from others while a task runs.
 *
 * Since: 0.1
 */
G_DEFINE_FINAL_TYPE (MpWorker, mp_worker, G_TYPE_OBJECT)

/* A buffer above this is given back with its task. */
#define MP_WORKER_KEEP_BUFFER (4 * 1024 * 1024)
/* What fits a job's table of results. */
#define MP_WORKER_MAX_RESULT G_MAXINT32
/* A longer result lies in a block, where its own buffers are to be aligned. */
#define MP_WORKER_LONG_RESULT 32768
#define MP_WORKER_ALIGNMENT 64
#define MP_WORKER_MEMORY_PERIOD (10 * 1000)

static void
mp_worker_finalize (GObject *object)
{
  MpWorker *self = MP_WORKER (object);

  g_clear_pointer (&self->watch, mp_worker_watch_free);
  g_clear_pointer (&self->argument, mp_ring_block_unref);
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
 * mp_worker_get_captured:
 * @self: a worker
 *
 * Whether the pool reads what this process writes, see
 * [property@Mp.Pool:capture-output]: then a binding whose streams have buffers of their own
 * writes them out before it answers a task.
 *
 * Returns: TRUE if it does
 *
 * Since: 0.1
 */
gboolean
mp_worker_get_captured (MpWorker *self)
{
  g_return_val_if_fail (MP_IS_WORKER (self), FALSE);

  return self->capture;
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
  claim.began = (self->task.flags & MP_TASK_TIMED) != 0 ? g_get_monotonic_time () : 0;
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

/* Who looks for a result may soon have the next task. And who looked for the last one is perhaps
 * about to look for this one: to wake another for it takes longer than to see whether that is so.
 */
static MpRingPutFlags
mp_worker_watch_getter (MpWorker *self)
{
  gboolean coming = mp_ring_is_getter_coming (self->results);

  self->untold = coming || (self->watched && self->hurried);
  self->watched = coming;
  if (self->untold)
    mp_ring_expect (self->tasks);
  return self->untold ? MP_RING_PUT_QUIETLY : MP_RING_PUT_NONE;
}

/* Wakes somebody for a result for which that was not done yet, unless it was taken meanwhile. */
static void
mp_worker_tell_getter (MpWorker *self)
{
  if (!self->untold)
    return;
  self->untold = FALSE;
  if (self->watched)
    {
      mp_ring_pass_on_later (self->results);
      return;
    }
  mp_ring_look (self->tasks);
  self->watched = mp_ring_get_length (self->results) == 0;
  mp_ring_pass_on (self->results, G_IO_IN);
}

/* @parts: the first one is for the header. */
static gboolean
mp_worker_put_parts (MpWorker *self,
                     MpReplyStatus status,
                     GOutputVector *parts,
                     gsize n_parts,
                     MpCodec codec,
                     GError **error)
{
  struct
  {
    MpReplyHeader header;
    guint8 padding[MP_WORKER_ALIGNMENT - sizeof (MpReplyHeader)];
  } head = { .header = { self->task.task_id, self->task.slot, status, self->index, 0 } };
  const MpRecord record = { .parts = parts, .n_parts = (guint) n_parts, .codec = codec };
  MpRingPutFlags flags = MP_RING_PUT_NONE;
  MpRingStatus put;
  gsize length = 0;

  for (gsize i = 1; i < n_parts; i++)
    length += parts[i].size;
  if (length >= MP_WORKER_LONG_RESULT)
    head.header.padding = sizeof head.padding;
  parts[0] = (GOutputVector){ &head, sizeof head.header + head.header.padding };
  if (length > MP_WORKER_MAX_RESULT && mp_queue_is_readable (codec))
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_LIMIT,
                   "The result has %" G_GSIZE_FORMAT " bytes, and can have %d",
                   length,
                   MP_WORKER_MAX_RESULT);
      return FALSE;
    }
  /* Progress may be reported by another thread. */
  if (status != MP_REPLY_PROGRESS)
    flags = mp_worker_watch_getter (self);
  do
    put = mp_ring_put (self->results, &record, 1, flags, MP_DEADLINE_NEVER);
  while (put == MP_RING_INTERRUPTED);
  if (status != MP_REPLY_PROGRESS && !self->hurried)
    mp_worker_tell_getter (self);
  return put == MP_RING_DONE || mp_ring_set_error (error, self->results, put, TRUE);
}

static gboolean
mp_worker_put (MpWorker *self,
               MpReplyStatus status,
               const guint8 *data,
               gsize length,
               MpCodec codec,
               GError **error)
{
  GOutputVector parts[] = { { NULL, 0 }, { data, length } };

  return mp_worker_put_parts (self, status, parts, length > 0 ? 2 : 1, codec, error);
}

/* The pool has given up on this worker: another one is started. */
G_NORETURN static void
mp_worker_die (void)
{
  while (TRUE)
    kill (getpid (), SIGKILL);
}

static void
mp_worker_end_task (MpWorker *self)
{
  self->busy = FALSE;
  if (self->watch != NULL)
    mp_worker_watch_set (self->watch, 0, NULL);
  mp_claims_release (self->claims, self->index);
  g_clear_pointer (&self->argument, mp_ring_block_unref);
  if (self->buffer_size > MP_WORKER_KEEP_BUFFER)
    {
      g_clear_pointer (&self->buffer, g_free);
      self->buffer_size = 0;
    }
}

/* A result that cannot be put leaves the task at hand, for another answer. */
static gboolean
mp_worker_answer_parts (MpWorker *self,
                        MpReplyStatus status,
                        GOutputVector *parts,
                        gsize n_parts,
                        MpCodec codec,
                        GError **error)
{
  if (!self->finishing)
    {
      if (!mp_claims_finish (self->claims, self->index, self->task.slot))
        mp_worker_die ();
      self->finishing = TRUE;
    }
  /* What the task wrote is there when its result is, and ends with it. */
  if (self->capture)
    mp_pool_output_mark (0);
  if (!mp_worker_put_parts (self, status, parts, n_parts, codec, error))
    return FALSE;
  mp_worker_end_task (self);
  return TRUE;
}

static gboolean
mp_worker_answer (MpWorker *self,
                  MpReplyStatus status,
                  const guint8 *data,
                  gsize length,
                  MpCodec codec,
                  GError **error)
{
  GOutputVector parts[] = { { NULL, 0 }, { data, length } };

  return mp_worker_answer_parts (self, status, parts, length > 0 ? 2 : 1, codec, error);
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
  gsize needed = MP_FRAMING_ALIGN ((gsize) self->task.function_length);

  if ((self->task.flags & MP_TASK_IN_BLOCK) != 0)
    needed += sizeof (MpBlockRef);
  return !self->malformed && self->task.slot < mp_claims_get_n_slots (self->claims) &&
         needed <= self->length - (sizeof self->task - MP_TASK_HEADER_PRIVATE);
}

/* Takes the payload of the task at hand over, if it lies in a block. */
static MpRingStatus
mp_worker_open_argument (MpWorker *self)
{
  MpRingStatus status = MP_RING_DONE;
  MpBlockRef ref;

  if ((self->task.flags & MP_TASK_IN_BLOCK) == 0)
    return MP_RING_DONE;
  self->length -= sizeof ref;
  memcpy (&ref, self->buffer + self->length, sizeof ref);
  self->argument = mp_ring_block_take_over (self->tasks, &ref, &status);
  return status;
}

/* The task at hand cannot be run. */
static gboolean
mp_worker_lack_argument (MpWorker *self, MpRingStatus status, GError **error)
{
  g_autoptr (GError) reason = NULL;

  /* It was cancelled at this moment. */
  if (status == MP_RING_REFUSED)
    reason = g_error_new_literal (MP_ERROR, MP_ERROR_NOT_FOUND, "The task's argument has gone");
  else
    mp_ring_set_error (&reason, self->tasks, status, FALSE);
  g_prefix_error (&reason, "The task's argument cannot be read: ");
  return mp_worker_fail (self,
                         g_quark_to_string (reason->domain),
                         reason->code,
                         reason->message,
                         NULL,
                         NULL,
                         0,
                         error);
}

static void
mp_worker_begin_task (MpWorker *self)
{
  if (self->capture)
    mp_pool_output_mark (self->task.job);
  self->busy = TRUE;
  self->finishing = FALSE;
  self->n_taken++;
}

static gboolean
mp_worker_is_too_big (MpWorker *self, gint64 now)
{
  if (self->max_memory == 0 || now - self->memory_read_at < MP_WORKER_MEMORY_PERIOD)
    return FALSE;
  self->memory_read_at = now;
  return mp_memory_use_read (getpid ()) > self->max_memory;
}

/* Whether it has done its share, or is one too many. */
static gboolean
mp_worker_has_to_leave (MpWorker *self)
{
  if (self->max_tasks > 0 && self->n_taken >= self->max_tasks)
    return TRUE;
  if (self->n_taken > 0 && (self->leave_at != MP_DEADLINE_NEVER || self->max_memory > 0))
    {
      gint64 now = g_get_monotonic_time ();

      if (self->leave_at != MP_DEADLINE_NEVER && now >= self->leave_at)
        return TRUE;
      if (mp_worker_is_too_big (self, now))
        return TRUE;
    }
  return mp_claims_take_leave (self->claims);
}

static const guint8 *
mp_worker_take (MpWorker *self, gsize *length, GError **error)
{
  *length = 0;
  if (!self->attached && !mp_claims_attach (self->claims, self->index, (guint32) getpid ()))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_EXISTS,
                           "Another process has the place of this worker");
      return NULL;
    }
  self->attached = TRUE;
  mp_worker_tell_getter (self);
  while (!mp_worker_has_to_leave (self))
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
          mp_worker_begin_task (self);
          status = mp_worker_open_argument (self);
          if (status == MP_RING_DONE)
            {
              *length = self->length;
              return self->buffer;
            }
          if (status == MP_RING_CORRUPT)
            mp_ring_set_error (error, self->tasks, status, FALSE);
          else if (mp_worker_lack_argument (self, status, error))
            continue;
          return NULL;
        }
      /* Cancelled in the meantime. */
      if (!mp_worker_put (self, MP_REPLY_SKIPPED, NULL, 0, MP_CODEC_RAW, error))
        return NULL;
      mp_worker_end_task (self);
    }
  /* Nobody was woken for a task that came while this one looked. */
  mp_ring_pass_on (self->tasks, G_IO_IN);
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
  gboolean answered;

  g_return_val_if_fail (MP_IS_READY_WORKER (self), NULL);
  g_return_val_if_fail (length != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  *length = 0;
  if (!mp_worker_check_busy (self, TRUE, error))
    return NULL;
  self->hurried = TRUE;
  answered = mp_worker_answer (self, MP_REPLY_OK, result, result_length, codec, error);
  self->hurried = FALSE;
  return answered ? mp_worker_take (self, length, error) : NULL;
}

/**
 * mp_worker_succeed_vectors: (skip)
 * @self: a worker
 * @vectors: (array length=n_vectors): where the parts of the result are
 * @n_vectors: how many parts it has
 * @codec: what they are together
 * @error: return location for an error
 *
 * [method@Mp.Worker.succeed] for a result that is gathered from several places, with one copy.
 *
 * Returns: %TRUE if the result was sent
 *
 * Since: 0.1
 */
gboolean
mp_worker_succeed_vectors (MpWorker *self,
                           const GOutputVector *vectors,
                           gsize n_vectors,
                           MpCodec codec,
                           GError **error)
{
  g_autofree GOutputVector *parts = NULL;

  g_return_val_if_fail (MP_IS_READY_WORKER (self), FALSE);
  g_return_val_if_fail (codec <= MP_CODEC_LAST, FALSE);
  g_return_val_if_fail (vectors != NULL || n_vectors == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  parts = g_new0 (GOutputVector, n_vectors + 1);
  for (gsize i = 0; i < n_vectors; i++)
    parts[i + 1] = vectors[i];
  return mp_worker_check_busy (self, TRUE, error) &&
         mp_worker_answer_parts (self, MP_REPLY_OK, parts, n_vectors + 1, codec, error);
}

/**
 * mp_worker_take_argument:
 * @self: a worker
 *
 * Takes the payload of the task at hand, if it is long and lies in shared memory, see the
 * description of the class. It is this process's alone, can be written, and stays as long as the
 * buffer does, also when the task is answered.
 *
 * Returns: (transfer full) (nullable): the payload; %NULL if it is in the task itself,
 *   or was taken already
 *
 * Since: 0.1
 */
MpBuffer *
mp_worker_take_argument (MpWorker *self)
{
  MpBuffer *buffer;

  g_return_val_if_fail (MP_IS_READY_WORKER (self), NULL);

  if (self->argument == NULL)
    return NULL;
  buffer = mp_buffer_new_for_block (g_steal_pointer (&self->argument));
  buffer->codec = self->task.codec;
  return buffer;
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
  if (!self->busy && !self->attached)
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

/**
 * mp_worker_get_cancelled:
 * @self: a worker
 *
 * Whether the task at hand should end soon, because its job was cancelled or it
 * took too long: after a while the worker is killed, see
 * [property@Mp.Pool:cancel-grace]. Costs next to nothing, so that a long loop can
 * look often.
 *
 * Returns: %TRUE if nobody wants its result any more
 *
 * Since: 0.1
 */
gboolean
mp_worker_get_cancelled (MpWorker *self)
{
  g_return_val_if_fail (MP_IS_READY_WORKER (self), FALSE);

  return self->busy && mp_claims_is_asked (self->claims, self->task.slot);
}

/* @cancellable is cancelled when the task at hand is. */
void
mp_worker_watch_task (MpWorker *self, GCancellable *cancellable)
{
  if (!self->busy)
    return;
  if (self->watch == NULL)
    self->watch = mp_worker_watch_new (self->claims, self->index);
  mp_worker_watch_set (self->watch, self->task.slot, cancellable);
}
