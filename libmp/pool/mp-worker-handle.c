/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How a worker comes to its pool. */

#include "mp-worker-private.h"

#include "../base/mp-clock-private.h"
#include "../base/mp-error.h"

#include <string.h>

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
  return self->index < mp_claims_get_max_workers (self->claims) || mp_worker_set_corrupt (error);
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
  gint64 max_age;

  if (!g_variant_is_of_type (handle, G_VARIANT_TYPE ("(sua{sv}ah)")))
    return mp_worker_set_corrupt (error);
  g_variant_get (handle, "(&su@a{sv}@ah)", &kind, &version, &layout, &fds);
  tasks = g_variant_lookup_value (layout, "tasks", NULL);
  results = g_variant_lookup_value (layout, "results", NULL);
  data = g_variant_lookup_value (layout, "data", G_VARIANT_TYPE_BYTESTRING);
  if (strcmp (kind, MP_POOL_HANDLE_KIND) != 0 || version != 1 || tasks == NULL || results == NULL ||
      !g_variant_lookup (layout, "worker", "u", &self->index) ||
      !g_variant_lookup (layout, "max-tasks", "u", &self->max_tasks) ||
      !g_variant_lookup (layout, "max-age", "x", &max_age) ||
      !g_variant_lookup (layout, "max-memory", "t", &self->max_memory))
    return mp_worker_set_corrupt (error);
  self->leave_at = mp_deadline_new (max_age);
  g_variant_lookup (layout, "capture", "b", &self->capture);
  if (data != NULL)
    self->start_data = g_variant_get_data_as_bytes (data);
  if (!mp_worker_attach_claims (self, fds, fd_list, error))
    return FALSE;
  self->tasks = mp_ring_new_from_handle (tasks, fd_list, error);
  if (self->tasks == NULL)
    return FALSE;
  mp_ring_set_trial (self->tasks, MP_POOL_TRIAL_US);
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
