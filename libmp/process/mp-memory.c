/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-memory-private.h"

#include "../base/mp-error.h"
#include "../base/mp-memory-use-private.h"

#include <string.h>

/* How deep a tree of processes is followed. */
#define MAX_GENERATIONS 16

/* "Name:   number kB" */
static guint64
get_kilobytes (const char *text, const char *name)
{
  const char *line = strstr (text, name);

  return line != NULL ? 1024 * g_ascii_strtoull (line + strlen (name), NULL, 10) : 0;
}

gboolean
mp_memory_measure (int pid, MpMemoryUse *use, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps_rollup", pid);
  g_autofree char *text = NULL;
  g_autoptr (GError) own_error = NULL;

  if (!g_file_get_contents (path, &text, NULL, &own_error) || *text == '\0')
    {
      g_set_error (error,
                   MP_ERROR,
                   MP_ERROR_NOT_FOUND,
                   "The memory of process %d cannot be measured: %s",
                   pid,
                   own_error != NULL ? own_error->message : "it has ended");
      return FALSE;
    }
  use->resident = get_kilobytes (text, "\nRss:");
  use->proportional = get_kilobytes (text, "\nPss:");
  use->unshared =
    get_kilobytes (text, "\nPrivate_Clean:") + get_kilobytes (text, "\nPrivate_Dirty:");
  return TRUE;
}

static guint64 get_of_tree (int pid, guint generations);

/* Children belong to the thread that started them. */
static guint64
get_of_children (int pid, const char *thread, guint generations)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%s/children", pid, thread);
  g_autofree char *text = NULL;
  g_auto (GStrv) children = NULL;
  guint64 sum = 0;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  children = g_strsplit (g_strchomp (text), " ", -1);
  for (guint i = 0; children[i] != NULL; i++)
    if (*children[i] != '\0')
      sum += get_of_tree ((int) g_ascii_strtoll (children[i], NULL, 10), generations);
  return sum;
}

static guint64
get_of_tree (int pid, guint generations)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", pid);
  g_autoptr (GDir) dir = NULL;
  guint64 sum = mp_memory_use_read (pid);
  const char *thread;

  if (generations > 0)
    dir = g_dir_open (path, 0, NULL);
  while (dir != NULL && (thread = g_dir_read_name (dir)) != NULL)
    sum += get_of_children (pid, thread, generations - 1);
  return sum;
}

guint64
mp_memory_get_anonymous (int pid, gboolean tree)
{
  return tree ? get_of_tree (pid, MAX_GENERATIONS) : mp_memory_use_read (pid);
}
