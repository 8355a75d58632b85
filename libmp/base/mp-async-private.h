/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A task of the asynchronous function @func, with its name. Its cancellable is looked at where it
 * may be: what was taken is never dropped for it. */
#define mp_async_new(source, func, cancellable, callback, user_data)                               \
  mp_async_new_named ((source), (gpointer) (func), #func, (cancellable), (callback), (user_data))

static inline GTask *
mp_async_new_named (gpointer source,
                    gpointer tag,
                    const char *name,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  GTask *task = g_task_new (source, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  g_task_set_name (task, name);
  g_task_set_check_cancellable (task, FALSE);
  return task;
}

/* Makes @source ready, too, when @cancellable (nullable) is cancelled. */
static inline void
mp_async_add_cancellable (GSource *source, GCancellable *cancellable)
{
  GSource *child;

  if (cancellable == NULL)
    return;
  child = g_cancellable_source_new (cancellable);
  g_source_set_dummy_callback (child);
  g_source_add_child_source (source, child);
  g_source_unref (child);
}

/* Calls @callback with @task, in its context, when @source is ready, until that gives
 * G_SOURCE_REMOVE. */
static inline void
mp_async_attach (GTask *task, GSource *source, GSourceFunc callback)
{
  mp_async_add_cancellable (source, g_task_get_cancellable (task));
  g_source_set_callback (source, callback, g_object_ref (task), g_object_unref);
  g_source_set_priority (source, g_task_get_priority (task));
  g_source_attach (source, g_task_get_context (task));
}

G_END_DECLS
