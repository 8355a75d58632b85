/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-context-private.h"

/* What processes do not simply inherit: the rest of MpContext's setters. */

/* How many processors the system calls of the kernel know of. */
#define MAX_CPU 8191

/**
 * mp_context_get_umask: (get-property umask)
 * @self: a context
 *
 * The mask for the permissions of files that the processes make.
 *
 * Returns: the mask; −1 when it is inherited
 *
 * Since: 0.1
 */
int
mp_context_get_umask (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), MP_UMASK_INHERIT);

  return self->config.surroundings.umask;
}

/**
 * mp_context_set_umask: (set-property umask)
 * @self: a context
 * @umask: the permissions that are taken away, from 0 to 0777; −1 to inherit it
 *
 * Sets the mask for the permissions of files that the processes make.
 *
 * Since: 0.1
 */
void
mp_context_set_umask (MpContext *self, int umask)
{
  g_return_if_fail (MP_IS_CONTEXT (self));
  g_return_if_fail (umask >= MP_UMASK_INHERIT && umask <= 0777);

  mp_context_set_number (self, &self->config.surroundings.umask, umask, "umask");
}

/**
 * mp_context_get_nice: (get-property nice)
 * @self: a context
 *
 * How much the niceness of the processes is above the caller's.
 *
 * Returns: what is added
 *
 * Since: 0.1
 */
int
mp_context_get_nice (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), 0);

  return self->config.surroundings.nice;
}

/**
 * mp_context_set_nice: (set-property nice)
 * @self: a context
 * @nice: what is added, from −40 to 40; 0 to inherit it
 *
 * Sets how much the niceness of the processes is above the one that the zygote
 * has, which is the caller's at its start. That the system allows less than it is
 * checked by [method@Mp.Process.start].
 *
 * Since: 0.1
 */
void
mp_context_set_nice (MpContext *self, int nice)
{
  g_return_if_fail (MP_IS_CONTEXT (self));
  g_return_if_fail (nice >= -40 && nice <= 40);

  mp_context_set_number (self, &self->config.surroundings.nice, nice, "nice");
}

/**
 * mp_context_get_outlive_parent: (get-property outlive-parent)
 * @self: a context
 *
 * Whether the processes live on when the process that started them ends.
 *
 * Returns: TRUE if they do
 *
 * Since: 0.1
 */
gboolean
mp_context_get_outlive_parent (MpContext *self)
{
  g_return_val_if_fail (MP_IS_CONTEXT (self), FALSE);

  return self->config.outlive_parent;
}

/**
 * mp_context_set_outlive_parent: (set-property outlive-parent)
 * @self: a context
 * @outlive_parent: TRUE to let them live on
 *
 * Sets whether the processes live on when the process that started them ends, or
 * their zygote, in whatever way. Otherwise they are killed then.
 *
 * Pools do not look at it: a worker without a pool is of no use.
 *
 * Since: 0.1
 */
void
mp_context_set_outlive_parent (MpContext *self, gboolean outlive_parent)
{
  g_return_if_fail (MP_IS_CONTEXT (self));

  mp_context_set_number (self, &self->config.outlive_parent, !!outlive_parent, "outlive-parent");
}

/**
 * mp_context_set_cpus:
 * @self: a context
 * @cpus: (array length=n_cpus) (nullable): numbers of processors
 * @n_cpus: how many, 0 for those of the caller
 *
 * Sets on which processors the processes may run. That there are such is checked by
 * [method@Mp.Process.start].
 *
 * Since: 0.1
 */
void
mp_context_set_cpus (MpContext *self, const guint *cpus, gsize n_cpus)
{
  guint *copy;

  g_return_if_fail (MP_IS_CONTEXT (self));
  g_return_if_fail (cpus != NULL || n_cpus == 0);
  g_return_if_fail (n_cpus <= MAX_CPU);
  for (gsize i = 0; i < n_cpus; i++)
    g_return_if_fail (cpus[i] <= MAX_CPU);

  copy = g_memdup2 (cpus, n_cpus * sizeof *cpus);
  g_mutex_lock (&self->mutex);
  g_free (self->config.surroundings.cpus);
  self->config.surroundings.cpus = copy;
  self->config.surroundings.n_cpus = n_cpus;
  g_mutex_unlock (&self->mutex);
}

/**
 * mp_context_get_cpus:
 * @self: a context
 * @n_cpus: (out): how many
 *
 * On which processors the processes may run.
 *
 * Returns: (transfer full) (array length=n_cpus) (nullable): their numbers; %NULL
 *   for those of the caller
 *
 * Since: 0.1
 */
guint *
mp_context_get_cpus (MpContext *self, gsize *n_cpus)
{
  guint *cpus;

  g_return_val_if_fail (MP_IS_CONTEXT (self), NULL);
  g_return_val_if_fail (n_cpus != NULL, NULL);

  g_mutex_lock (&self->mutex);
  *n_cpus = self->config.surroundings.n_cpus;
  cpus = g_memdup2 (self->config.surroundings.cpus, *n_cpus * sizeof *cpus);
  g_mutex_unlock (&self->mutex);
  return cpus;
}

/**
 * mp_context_set_limit:
 * @self: a context
 * @limit: of what; not %MP_LIMIT_NONE
 * @value: how much, in the unit that [enum@Mp.Limit] tells; −1 for as much as the
 *   caller may have
 *
 * Sets what a process may have of something. A limit that the system does not grant
 * is %MP_ERROR_LIMIT of [method@Mp.Process.start], and the text names it.
 *
 * What happens to a process that wants more is told at [enum@Mp.Limit]; whether
 * that has happened, [property@Mp.Process:limit-hit] tells. No limit is one of a
 * cgroup: each is for one process, not for those that it starts in turn, unless
 * [enum@Mp.Limit] says so.
 *
 * Since: 0.1
 */
void
mp_context_set_limit (MpContext *self, MpLimit limit, gint64 value)
{
  g_return_if_fail (MP_IS_CONTEXT (self));
  g_return_if_fail (limit > MP_LIMIT_NONE && limit <= MP_LIMIT_LAST);
  g_return_if_fail (value >= MP_LIMIT_UNSET);

  g_mutex_lock (&self->mutex);
  self->config.surroundings.limits[limit] = value;
  g_mutex_unlock (&self->mutex);
}

/**
 * mp_context_get_limit:
 * @self: a context
 * @limit: of what; not %MP_LIMIT_NONE
 *
 * What a process may have of something.
 *
 * Returns: how much; −1 for as much as the caller may have
 *
 * Since: 0.1
 */
gint64
mp_context_get_limit (MpContext *self, MpLimit limit)
{
  gint64 value;

  g_return_val_if_fail (MP_IS_CONTEXT (self), MP_LIMIT_UNSET);
  g_return_val_if_fail (limit > MP_LIMIT_NONE && limit <= MP_LIMIT_LAST, MP_LIMIT_UNSET);

  g_mutex_lock (&self->mutex);
  value = self->config.surroundings.limits[limit];
  g_mutex_unlock (&self->mutex);
  return value;
}
