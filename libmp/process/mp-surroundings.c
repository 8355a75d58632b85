/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-surroundings-private.h"

#include "../base/mp-error.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* What setrlimit() is asked for; -1: it is libmp that watches. */
static const struct
{
  int resource;
  const char *text;
} limit_table[] = {
  [MP_LIMIT_NONE] = { -1, "nothing" },
  [MP_LIMIT_MEMORY] = { -1, "memory" },
  [MP_LIMIT_ADDRESS_SPACE] = { RLIMIT_AS, "address space" },
  [MP_LIMIT_CPU_TIME] = { RLIMIT_CPU, "processor time" },
  [MP_LIMIT_FILES] = { RLIMIT_NOFILE, "open files" },
  [MP_LIMIT_PROCESSES] = { RLIMIT_NPROC, "processes" },
  [MP_LIMIT_FILE_SIZE] = { RLIMIT_FSIZE, "the size of files" },
  [MP_LIMIT_CORE] = { RLIMIT_CORE, "the size of core files" },
  [MP_LIMIT_STACK] = { RLIMIT_STACK, "stack" },
};
G_STATIC_ASSERT (G_N_ELEMENTS (limit_table) == MP_LIMIT_LAST + 1);

void
mp_surroundings_init (MpSurroundings *self)
{
  self->umask = MP_UMASK_INHERIT;
  self->nice = 0;
  self->cpus = NULL;
  self->n_cpus = 0;
  for (guint i = 0; i < G_N_ELEMENTS (self->limits); i++)
    self->limits[i] = MP_LIMIT_UNSET;
}

void
mp_surroundings_copy (const MpSurroundings *self, MpSurroundings *copy)
{
  *copy = *self;
  copy->cpus = g_memdup2 (self->cpus, self->n_cpus * sizeof *self->cpus);
}

void
mp_surroundings_clear (MpSurroundings *self)
{
  g_clear_pointer (&self->cpus, g_free);
  self->n_cpus = 0;
}

/* A soft limit on processor time sends a signal, the hard one kills. */
static struct rlimit
get_rlimit (MpLimit limit, gint64 value)
{
  struct rlimit wanted = { value, value };

  if (limit == MP_LIMIT_CPU_TIME)
    wanted.rlim_max = value + 1;
  return wanted;
}

char **
mp_surroundings_to_strings (const MpSurroundings *self)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) strings = NULL;
  g_autofree char *umask_text = g_strdup_printf ("umask %d", self->umask);
  g_autofree char *nice_text = g_strdup_printf ("nice %d", self->nice);

  if (self->umask != MP_UMASK_INHERIT)
    g_strv_builder_add (builder, umask_text);
  if (self->nice != 0)
    g_strv_builder_add (builder, nice_text);
  if (self->n_cpus > 0)
    {
      g_autoptr (GString) text = g_string_new ("cpus");

      for (gsize i = 0; i < self->n_cpus; i++)
        g_string_append_printf (text, " %u", self->cpus[i]);
      g_strv_builder_add (builder, text->str);
    }
  for (guint i = 0; i < G_N_ELEMENTS (limit_table); i++)
    if (self->limits[i] != MP_LIMIT_UNSET && limit_table[i].resource >= 0)
      {
        struct rlimit wanted = get_rlimit (i, self->limits[i]);
        g_autofree char *text =
          g_strdup_printf ("limit %d %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                           limit_table[i].resource,
                           (guint64) wanted.rlim_cur,
                           (guint64) wanted.rlim_max);

        g_strv_builder_add (builder, text);
      }
  strings = g_strv_builder_end (builder);
  return strings[0] != NULL ? g_steal_pointer (&strings) : NULL;
}

char *
mp_surroundings_describe_limits (const MpSurroundings *self)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (limit_table); i++)
    if (self->limits[i] != MP_LIMIT_UNSET)
      g_string_append_printf (text,
                              " %s a limit on %s of %" G_GINT64_FORMAT,
                              text->len == 0 ? "with" : "and",
                              limit_table[i].text,
                              self->limits[i]);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static gboolean
refuse (GError **error, const char *what, gint64 value, int err)
{
  g_set_error (error,
               MP_ERROR,
               MP_ERROR_LIMIT,
               "The system refuses %s of %" G_GINT64_FORMAT ": %s",
               what,
               value,
               g_strerror (err));
  return FALSE;
}

/* One within the present hard limit is always granted. For one beyond it, that is
 * raised for a moment, which changes nothing for anybody. */
static gboolean
check_limit (MpLimit limit, gint64 value, GError **error)
{
  __rlimit_resource_t resource = limit_table[limit].resource;
  struct rlimit wanted = get_rlimit (limit, value);
  struct rlimit old, trial;
  g_autofree char *what = NULL;
  int err = 0;

  if (getrlimit (resource, &old) == 0)
    {
      if (old.rlim_max == RLIM_INFINITY || wanted.rlim_cur <= old.rlim_max)
        return TRUE;
      trial.rlim_cur = old.rlim_cur;
      trial.rlim_max = wanted.rlim_max;
      if (setrlimit (resource, &trial) == 0 && setrlimit (resource, &old) == 0)
        return TRUE;
    }
  err = errno;
  what = g_strdup_printf ("a limit on %s", limit_table[limit].text);
  return refuse (error, what, value, err);
}

/* -1 with errno set. */
static int
set_cpus (pid_t thread, const guint *cpus, gsize n_cpus)
{
  guint n = 1;
  cpu_set_t *set;
  gsize size;
  int result;

  for (gsize i = 0; i < n_cpus; i++)
    n = MAX (n, cpus[i] + 1);
  set = CPU_ALLOC (n);
  size = CPU_ALLOC_SIZE (n);
  CPU_ZERO_S (size, set);
  for (gsize i = 0; i < n_cpus; i++)
    CPU_SET_S (cpus[i], size, set);
  result = sched_setaffinity (thread, size, set);
  CPU_FREE (set);
  return result;
}

static gboolean
check_cpus (const MpSurroundings *self, GError **error)
{
  cpu_set_t old;

  if (self->n_cpus == 0 || sched_getaffinity (0, sizeof old, &old) < 0)
    return TRUE;
  if (set_cpus (0, self->cpus, self->n_cpus) < 0)
    return refuse (error, "processors, the first one that", self->cpus[0], errno);
  sched_setaffinity (0, sizeof old, &old);
  return TRUE;
}

static gboolean
check_nice (const MpSurroundings *self, GError **error)
{
  int old = getpriority (PRIO_PROCESS, 0);

  /* Up is always possible, and may not be taken back. */
  if (self->nice >= 0)
    return TRUE;
  if (setpriority (PRIO_PROCESS, 0, old + self->nice) < 0)
    return refuse (error, "a change of the niceness", self->nice, errno);
  setpriority (PRIO_PROCESS, 0, old);
  return TRUE;
}

gboolean
mp_surroundings_check (const MpSurroundings *self, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (limit_table); i++)
    if (self->limits[i] != MP_LIMIT_UNSET && limit_table[i].resource >= 0 &&
        !check_limit (i, self->limits[i], error))
      return FALSE;
  return check_nice (self, error) && check_cpus (self, error);
}

typedef struct
{
  int nice;
  guint cpus[CPU_SETSIZE];
  gsize n_cpus;
} OfThreads;

/* In Linux these belong to a thread, and an interpreter has more than one. */
static gboolean
apply_to_threads (const OfThreads *wanted, GError **error)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/task", 0, error);
  const char *name;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      pid_t thread = (pid_t) g_ascii_strtoll (name, NULL, 10);

      if (wanted->nice != 0 &&
          setpriority (PRIO_PROCESS, thread, getpriority (PRIO_PROCESS, thread) + wanted->nice) <
            0 &&
          errno != ESRCH)
        return refuse (error, "a change of the niceness", wanted->nice, errno);
      if (wanted->n_cpus > 0 && set_cpus (thread, wanted->cpus, wanted->n_cpus) < 0 &&
          errno != ESRCH)
        return refuse (error, "processors, the first one that", wanted->cpus[0], errno);
    }
  return TRUE;
}

gboolean
mp_surroundings_apply (char *const *strings, GError **error)
{
  g_autofree OfThreads *of_threads = g_new0 (OfThreads, 1);

  for (guint i = 0; strings != NULL && strings[i] != NULL; i++)
    {
      g_auto (GStrv) words = g_strsplit (strings[i], " ", -1);
      guint n = g_strv_length (words);

      if (n == 2 && g_str_equal (words[0], "umask"))
        umask (g_ascii_strtoull (words[1], NULL, 10));
      else if (n == 2 && g_str_equal (words[0], "nice"))
        of_threads->nice = (int) g_ascii_strtoll (words[1], NULL, 10);
      else if (n == 4 && g_str_equal (words[0], "limit"))
        {
          __rlimit_resource_t resource = g_ascii_strtoull (words[1], NULL, 10);
          struct rlimit limit = { g_ascii_strtoull (words[2], NULL, 10),
                                  g_ascii_strtoull (words[3], NULL, 10) };

          if (setrlimit (resource, &limit) < 0)
            return refuse (error, "a limit", (gint64) limit.rlim_cur, errno);
        }
      else if (g_str_equal (words[0], "cpus"))
        for (guint j = 1; j < n && of_threads->n_cpus < CPU_SETSIZE; j++)
          of_threads->cpus[of_threads->n_cpus++] = g_ascii_strtoull (words[j], NULL, 10);
    }
  return (of_threads->nice == 0 && of_threads->n_cpus == 0) || apply_to_threads (of_threads, error);
}
