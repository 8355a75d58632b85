/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-task-private.h"

#include "../base/mp-error.h"

#include <gmodule.h>
#include <string.h>

/**
 * MpTask:
 *
 * A task as its function sees it while it runs in a worker process.
 *
 * A [callback@Mp.TaskFunc] that was registered with [func@Mp.task_register]
 * gets one. It tells the function which task it is, how often it was tried,
 * which descriptors came with it, whether it should stop, and takes reports of
 * progress.
 *
 * # Threads
 *
 * A task can be used from any thread of the worker for as long as its function
 * has not returned.
 *
 * Since: 0.1
 */
struct _MpTask
{
  GObject parent_instance;

  char *name;
  guint64 id;
  guint attempt;
  GUnixFDList *fd_list;
  GCancellable *cancellable;

  /* Where progress goes; NULL when nobody is interested. */
  MpTaskProgressFunc progress;
  MpTaskWatchFunc watch;
  gpointer user_data;
  gint watched; /* in this run */
};

G_DEFINE_FINAL_TYPE (MpTask, mp_task, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_NAME,
  PROP_ID,
  PROP_ATTEMPT,
  PROP_CANCELLABLE,
  PROP_FD_LIST,
  N_PROPS
};

static GParamSpec *properties[N_PROPS];

typedef struct
{
  MpTaskFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
} Registration;

/* Name to Registration; entries are only ever added or replaced. */
static GMutex registry_mutex;
static GHashTable *registry;

static void
registration_free (gpointer data)
{
  Registration *registration = data;

  if (registration->destroy != NULL)
    registration->destroy (registration->user_data);
  g_free (registration);
}

static void
mp_task_finalize (GObject *object)
{
  MpTask *self = MP_TASK (object);

  g_clear_pointer (&self->name, g_free);
  g_clear_object (&self->fd_list);
  g_clear_object (&self->cancellable);

  G_OBJECT_CLASS (mp_task_parent_class)->finalize (object);
}

static void
mp_task_get_property (GObject *object, guint prop_id, GValue *value, GParamSpec *pspec)
{
  MpTask *self = MP_TASK (object);

  switch (prop_id)
    {
    case PROP_NAME:
      g_value_set_string (value, mp_task_get_name (self));
      break;
    case PROP_ID:
      g_value_set_uint64 (value, mp_task_get_id (self));
      break;
    case PROP_ATTEMPT:
      g_value_set_uint (value, mp_task_get_attempt (self));
      break;
    case PROP_CANCELLABLE:
      g_value_set_object (value, mp_task_get_cancellable (self));
      break;
    case PROP_FD_LIST:
      g_value_set_object (value, mp_task_get_fd_list (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop_id, pspec);
    }
}

static void
mp_task_class_init (MpTaskClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  object_class->finalize = mp_task_finalize;
  object_class->get_property = mp_task_get_property;

  /**
   * MpTask:name: (getter get_name)
   *
   * The name the function was registered under.
   *
   * Since: 0.1
   */
  properties[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);

  /**
   * MpTask:id: (getter get_id)
   *
   * The number of the task in its pool; 0 for a process of its own.
   *
   * Since: 0.1
   */
  properties[PROP_ID] = g_param_spec_uint64 ("id", NULL, NULL, 0, G_MAXUINT64, 0, flags);

  /**
   * MpTask:attempt: (getter get_attempt)
   *
   * How often the task was started before this time.
   *
   * Since: 0.1
   */
  properties[PROP_ATTEMPT] = g_param_spec_uint ("attempt", NULL, NULL, 0, G_MAXUINT, 0, flags);

  /**
   * MpTask:cancellable: (getter get_cancellable)
   *
   * Cancelled when the task should end soon.
   *
   * Since: 0.1
   */
  properties[PROP_CANCELLABLE] =
    g_param_spec_object ("cancellable", NULL, NULL, G_TYPE_CANCELLABLE, flags);

  /**
   * MpTask:fd-list: (getter get_fd_list)
   *
   * The descriptors that came with the task.
   *
   * Since: 0.1
   */
  properties[PROP_FD_LIST] =
    g_param_spec_object ("fd-list", NULL, NULL, G_TYPE_UNIX_FD_LIST, flags);

  g_object_class_install_properties (object_class, N_PROPS, properties);
}

static void
mp_task_init (MpTask *self)
{
  self->cancellable = g_cancellable_new ();
}

MpTask *
mp_task_new (const char *name,
             guint64 id,
             guint attempt,
             GUnixFDList *fd_list,
             MpTaskProgressFunc progress,
             gpointer user_data)
{
  MpTask *self = g_object_new (MP_TYPE_TASK, NULL);

  self->name = g_strdup (name);
  self->id = id;
  self->attempt = attempt;
  g_set_object (&self->fd_list, fd_list);
  self->progress = progress;
  self->user_data = user_data;
  return self;
}

void
mp_task_set_watch_func (MpTask *self, MpTaskWatchFunc watch)
{
  self->watch = watch;
}

gboolean
mp_task_renew (MpTask *self, guint64 id, guint attempt)
{
  if (G_OBJECT (self)->ref_count != 1 || G_OBJECT (self->cancellable)->ref_count != 1 ||
      g_cancellable_is_cancelled (self->cancellable))
    return FALSE;
  self->id = id;
  self->attempt = attempt;
  self->watched = FALSE;
  return TRUE;
}

/**
 * mp_task_register:
 * @name: what processes and pools call it
 * @func: (scope notified) (closure user_data) (destroy destroy): the function
 * @user_data: passed to @func
 * @destroy: (nullable): frees @user_data when the name is registered again
 *
 * Registers a function, so that [class@Mp.Process] and [class@Mp.Pool] can run
 * it in another process by its name.
 *
 * Worker processes are the same program run again, so they know what was
 * registered before [func@Mp.bootstrap]: register first, then call that. What
 * is registered later is known to this process only.
 *
 * Names that begin with `mp.` belong to the library. A name that is registered
 * again is replaced. This function can be called from any thread.
 *
 * Since: 0.1
 */
void
mp_task_register (const char *name, MpTaskFunc func, gpointer user_data, GDestroyNotify destroy)
{
  Registration *registration;
  gpointer old_name = NULL;
  gpointer old_registration = NULL;

  g_return_if_fail (name != NULL && *name != '\0');
  g_return_if_fail (func != NULL);

  registration = g_new (Registration, 1);
  registration->func = func;
  registration->user_data = user_data;
  registration->destroy = destroy;

  g_mutex_lock (&registry_mutex);
  if (registry == NULL)
    registry = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, registration_free);
  g_hash_table_steal_extended (registry, name, &old_name, &old_registration);
  g_hash_table_insert (registry, g_strdup (name), registration);
  g_mutex_unlock (&registry_mutex);

  /* The caller's destroy function runs without the lock. */
  g_free (old_name);
  g_clear_pointer (&old_registration, registration_free);
}

/* A copy, because a function may register others while it runs. */
static gboolean
mp_task_lookup (const char *name, Registration *registration)
{
  const Registration *found = NULL;

  g_mutex_lock (&registry_mutex);
  if (registry != NULL)
    found = g_hash_table_lookup (registry, name);
  if (found != NULL)
    *registration = *found;
  g_mutex_unlock (&registry_mutex);
  return found != NULL;
}

gboolean
mp_task_is_registered (const char *name)
{
  Registration registration;

  return mp_task_lookup (name, &registration);
}

gboolean
mp_task_is_in_module (const char *name)
{
  return strchr (name, ':') != NULL;
}

/* A module stays for good: what it has done to the process cannot be undone. */
static MpTaskFunc
mp_task_load (const char *name, GError **error)
{
  const char *symbol = strrchr (name, ':') + 1;
  g_autofree char *file = g_strndup (name, symbol - 1 - name);
  GModule *module = g_module_open (file, G_MODULE_BIND_LOCAL);
  gpointer func = NULL;

  if (module == NULL)
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_FOUND,
                   "The module “%s”, which should have the task “%s”, cannot be loaded: %s",
                   file,
                   symbol,
                   g_module_error ());
      return NULL;
    }
  g_module_make_resident (module);
  if (g_module_symbol (module, symbol, &func) && func != NULL)
    return (MpTaskFunc) func;
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_NOT_FOUND,
               "The module “%s” has no function “%s”",
               file,
               symbol);
  return NULL;
}

static int
mp_task_compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

void
mp_task_set_error_unknown (const char *name, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *list = NULL;
  GHashTableIter iter;
  gpointer key;

  g_mutex_lock (&registry_mutex);
  if (registry != NULL)
    {
      g_hash_table_iter_init (&iter, registry);
      while (g_hash_table_iter_next (&iter, &key, NULL))
        if (!g_str_has_prefix (key, "mp."))
          g_ptr_array_add (names, key);
    }
  g_ptr_array_sort (names, mp_task_compare_names);
  g_ptr_array_add (names, NULL);
  list = g_strjoinv (", ", (char **) names->pdata);
  g_mutex_unlock (&registry_mutex);

  g_set_error (error,
               MP_ERROR,
               MP_ERROR_NOT_FOUND,
               "No task is registered under the name “%s”; registered before mp_bootstrap(): %s",
               name,
               *list != '\0' ? list : "none");
}

GVariant *
mp_task_run (MpTask *self, GVariant *argument, GError **error)
{
  Registration registration;
  GVariant *result;

  if (!mp_task_lookup (self->name, &registration))
    {
      MpTaskFunc func = NULL;

      if (mp_task_is_in_module (self->name))
        func = mp_task_load (self->name, error);
      else
        mp_task_set_error_unknown (self->name, error);
      if (func == NULL)
        return NULL;
      /* The next task of the name does without the search. */
      mp_task_register (self->name, func, NULL, NULL);
      registration = (Registration){ .func = func };
    }

  result = registration.func (self, argument, registration.user_data, error);
  return result != NULL ? g_variant_take_ref (result) : NULL;
}

/**
 * mp_task_get_name: (get-property name)
 * @self: a task
 *
 * The name the function was registered under.
 *
 * Returns: (transfer none): the name
 *
 * Since: 0.1
 */
const char *
mp_task_get_name (MpTask *self)
{
  g_return_val_if_fail (MP_IS_TASK (self), NULL);

  return self->name;
}

/**
 * mp_task_get_id: (get-property id)
 * @self: a task
 *
 * The number of the task in its pool, in the order of submission from 1.
 *
 * Returns: the number; 0 for a process of its own
 *
 * Since: 0.1
 */
guint64
mp_task_get_id (MpTask *self)
{
  g_return_val_if_fail (MP_IS_TASK (self), 0);

  return self->id;
}

/**
 * mp_task_get_attempt: (get-property attempt)
 * @self: a task
 *
 * How often the task was started before: a worker that died while it ran the
 * task leaves it to another one.
 *
 * Returns: 0 for the first time
 *
 * Since: 0.1
 */
guint
mp_task_get_attempt (MpTask *self)
{
  g_return_val_if_fail (MP_IS_TASK (self), 0);

  return self->attempt;
}

/**
 * mp_task_get_cancellable: (get-property cancellable)
 * @self: a task
 *
 * What tells the function that it should end soon: because its job was cancelled,
 * or it took too long. See [method@Mp.Job.cancel].
 *
 * Returns: (transfer none): the cancellable
 *
 * Since: 0.1
 */
GCancellable *
mp_task_get_cancellable (MpTask *self)
{
  g_return_val_if_fail (MP_IS_TASK (self), NULL);

  if (self->watch != NULL && g_atomic_int_compare_and_exchange (&self->watched, FALSE, TRUE))
    self->watch (self->cancellable, self->user_data);
  return self->cancellable;
}

/**
 * mp_task_get_fd_list: (get-property fd-list)
 * @self: a task
 *
 * The descriptors that were sent along, see [method@Mp.Process.set_fd_list].
 * Handles in the task's argument are indices into it.
 *
 * Returns: (transfer none) (nullable): the descriptors
 *
 * Since: 0.1
 */
GUnixFDList *
mp_task_get_fd_list (MpTask *self)
{
  g_return_val_if_fail (MP_IS_TASK (self), NULL);

  return self->fd_list;
}

/**
 * mp_task_report_progress:
 * @self: a task
 * @fraction: how much is done, from 0 to 1
 *
 * Reports progress to whoever submitted the task. Without anybody interested
 * this does nothing.
 *
 * Since: 0.1
 */
void
mp_task_report_progress (MpTask *self, double fraction)
{
  g_return_if_fail (MP_IS_TASK (self));
  g_return_if_fail (fraction >= 0.0 && fraction <= 1.0);

  if (self->progress != NULL)
    self->progress (fraction, self->user_data);
}
