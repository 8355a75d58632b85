/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "../base/mp-error.h"
#include "../base/mp-payload-private.h"
#include "../process/mp-task-private.h"
#include "mp-pool-private.h"
#include "mp-worker-watch-private.h"

#include <string.h>

/* The loop of a native worker: the library's own task "mp.pool-worker". */

/* The task at hand, parsed. */
typedef struct
{
  MpWorker *worker;
  MpTask *task; /* made anew for each call, unless nobody kept it */
  char *name;
  guint32 attempt;
  guint32 flags;
  MpCodec codec;
  const guint8 *payload;
  MpBuffer *argument; /* nullable; where that is */
  gsize payload_length;

  guint8 *result;
  gsize result_size;
} MpWorkerLoop;

static void
mp_worker_loop_parse (MpWorkerLoop *self, const guint8 *data, gsize length)
{
  guint32 head[4];
  gsize payload_at;

  memcpy (head, data, sizeof head);
  payload_at = sizeof head + MP_FRAMING_ALIGN ((gsize) head[2]);
  self->codec = head[0];
  self->flags = head[1];
  self->attempt = head[3];
  self->payload = data + payload_at;
  self->payload_length = length - payload_at;
  self->argument = mp_worker_take_argument (self->worker);
  if (self->argument != NULL)
    self->payload = mp_buffer_get_memory (self->argument, &self->payload_length);

  /* Mostly the same as before. */
  if (self->name == NULL || strlen (self->name) != head[2] ||
      memcmp (self->name, data + sizeof head, head[2]) != 0)
    {
      g_free (self->name);
      self->name = g_strndup ((const char *) data + sizeof head, head[2]);
      g_clear_object (&self->task);
    }
}

static void
mp_worker_loop_progress (double fraction, gpointer user_data)
{
  mp_worker_report_progress (((MpWorkerLoop *) user_data)->worker, fraction);
}

static void
mp_worker_loop_watch (GCancellable *cancellable, gpointer user_data)
{
  mp_worker_watch_task (((MpWorkerLoop *) user_data)->worker, cancellable);
}

/* NULL with the error set. */
static GVariant *
mp_worker_loop_call (MpWorkerLoop *self, GVariant *argument, GError **error)
{
  g_autoptr (GError) own_error = NULL;
  guint64 id = mp_worker_get_task_id (self->worker);
  GVariant *result;

  /* One that the last function kept is its own. */
  if (self->task != NULL && !mp_task_renew (self->task, id, self->attempt))
    g_clear_object (&self->task);
  if (self->task == NULL)
    {
      self->task = mp_task_new (self->name, id, self->attempt, NULL, mp_worker_loop_progress, self);
      mp_task_set_watch_func (self->task, mp_worker_loop_watch);
    }

  result = mp_task_run (self->task, argument, &own_error);
  if (own_error != NULL)
    {
      g_clear_pointer (&result, g_variant_unref);
      g_propagate_error (error, g_steal_pointer (&own_error));
    }
  else if (result == NULL)
    g_set_error (error,
                 MP_ERROR,
                 MP_ERROR_CALLBACK_FAILED,
                 "The task “%s” returned neither a result nor an error",
                 self->name);
  return result;
}

static GVariant *
mp_worker_loop_call_each (MpWorkerLoop *self, GVariant *items, GError **error)
{
  GVariantBuilder results;
  gsize n;

  /* In an array that GLib has not seen to be normal, the way to an element is as
   * long as the array before it. */
  if (!g_variant_is_of_type (items, G_VARIANT_TYPE ("av")) || !g_variant_is_normal_form (items))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "A chunk is not an array of variants");
      return NULL;
    }
  n = g_variant_n_children (items);
  g_variant_builder_init (&results, G_VARIANT_TYPE ("av"));
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) boxed = g_variant_get_child_value (items, i);
      g_autoptr (GVariant) item = g_variant_get_variant (boxed);
      g_autoptr (GVariant) result = mp_worker_loop_call (self, item, error);

      if (result == NULL)
        {
          g_variant_builder_clear (&results);
          return NULL;
        }
      g_variant_builder_add (&results, "v", result);
    }
  return g_variant_ref_sink (g_variant_builder_end (&results));
}

static GVariant *
mp_worker_loop_run (MpWorkerLoop *self, GError **error)
{
  g_autoptr (GVariant) argument = NULL;

  if (self->payload_length > 0 || self->codec != MP_CODEC_GVARIANT)
    {
      argument = mp_payload_to_variant (self->payload, self->payload_length, self->codec, error);
      g_clear_pointer (&self->argument, mp_buffer_unref);
      if (argument == NULL)
        return NULL;
    }
  if ((self->flags & MP_TASK_CHUNK) != 0 && argument != NULL)
    return mp_worker_loop_call_each (self, argument, error);
  return mp_worker_loop_call (self, argument, error);
}

/* The bytes of a v that holds @result, in a buffer that is used again. */
static gsize
mp_worker_loop_serialize (MpWorkerLoop *self, GVariant *result)
{
  gsize size = mp_payload_measure (result);

  if (size > self->result_size || self->result_size > 1024 * 1024)
    {
      g_free (self->result);
      self->result_size = MAX (size, 4096);
      self->result = g_malloc (self->result_size);
    }
  mp_payload_store (result, self->result);
  return size;
}

static gboolean
mp_worker_loop_fail (MpWorkerLoop *self, const GError *error)
{
  g_autoptr (GError) lost = NULL;

  if (mp_worker_fail (self->worker,
                      g_quark_to_string (error->domain),
                      error->code,
                      error->message,
                      NULL,
                      NULL,
                      0,
                      &lost))
    return TRUE;
  g_warning ("A result is lost: %s", lost->message);
  return FALSE;
}

/* Answers the task at hand and takes the next: NULL at the end. */
static const guint8 *
mp_worker_loop_step (MpWorkerLoop *self, gsize *length, GError **error)
{
  g_autoptr (GError) task_error = NULL;
  g_autoptr (GVariant) result = mp_worker_loop_run (self, &task_error);
  const guint8 *next = NULL;

  if (result != NULL)
    {
      gsize size = mp_worker_loop_serialize (self, result);

      next = mp_worker_succeed_and_next (self->worker,
                                         self->result,
                                         size,
                                         MP_CODEC_GVARIANT,
                                         length,
                                         &task_error);
      /* Unless it is the result that could not be sent. */
      if (mp_worker_get_task_id (self->worker) == 0 || task_error == NULL)
        {
          if (task_error != NULL)
            g_propagate_error (error, g_steal_pointer (&task_error));
          return next;
        }
    }
  return mp_worker_loop_fail (self, task_error) ? mp_worker_next (self->worker, length, error)
                                                : NULL;
}

static GVariant *
mp_pool_worker_main (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  g_autoptr (MpWorker) worker = NULL;
  g_autoptr (GError) own_error = NULL;
  MpWorkerLoop loop = { 0 };
  const guint8 *data;
  gsize length;

  worker = mp_worker_new_from_handle (argument, mp_task_get_fd_list (task), error);
  if (worker == NULL)
    return NULL;
  loop.worker = worker;
  data = mp_worker_next (worker, &length, &own_error);
  while (data != NULL)
    {
      mp_worker_loop_parse (&loop, data, length);
      data = mp_worker_loop_step (&loop, &length, &own_error);
    }

  g_clear_object (&loop.task);
  g_clear_pointer (&loop.argument, mp_buffer_unref);
  g_free (loop.name);
  g_free (loop.result);
  if (own_error != NULL)
    g_propagate_error (error, g_steal_pointer (&own_error));
  return NULL;
}

__attribute__ ((constructor)) static void
mp_pool_worker_register (void)
{
  mp_task_register (MP_POOL_WORKER_TASK, mp_pool_worker_main, NULL, NULL);
}
