/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-available-private.h"

#include <string.h>

/* Not worth a look. */
#define SMALL (16u * 1024 * 1024)

/* The number behind @key in the lines of @text. */
static gboolean
find_number (const char *text, const char *key, guint64 *number)
{
  const char *at = strstr (text, key);

  if (at == NULL)
    return FALSE;
  *number = g_ascii_strtoull (at + strlen (key), NULL, 10);
  return TRUE;
}

static gboolean
read_number (const char *folder, const char *name, guint64 *number)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL) || !g_ascii_isdigit (*text))
    return FALSE;
  *number = g_ascii_strtoull (text, NULL, 10);
  return TRUE;
}

static guint64
get_of_system (void)
{
  g_autofree char *text = NULL;
  guint64 available, swap = 0;

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL) ||
      !find_number (text, "\nMemAvailable:", &available))
    return G_MAXUINT64;
  find_number (text, "\nSwapFree:", &swap);
  return (available + swap) * 1024;
}

/* What the limit of a group leaves; what is only cached there can be dropped. */
static guint64
get_of_group (const char *folder, const char *limit_name, const char *used_name)
{
  g_autofree char *path = g_build_filename (folder, "memory.stat", NULL);
  g_autofree char *stat = NULL;
  guint64 limit, used, cached = 0;

  if (!read_number (folder, limit_name, &limit) || !read_number (folder, used_name, &used))
    return G_MAXUINT64;
  if (g_file_get_contents (path, &stat, NULL, NULL) &&
      !find_number (stat, "\ntotal_inactive_file ", &cached))
    find_number (stat, "\ninactive_file ", &cached);
  used -= MIN (used, cached);
  return limit - MIN (limit, used);
}

/* A group, and those that it is in: each may have a limit. */
static guint64
get_of_branch (const char *root, const char *path, const char *limit_name, const char *used_name)
{
  g_autofree char *folder = g_build_filename (root, path, NULL);
  guint64 least = G_MAXUINT64;

  for (;;)
    {
      least = MIN (least, get_of_group (folder, limit_name, used_name));
      if (strlen (folder) <= strlen (root))
        return least;
      *strrchr (folder, '/') = '\0';
    }
}

static guint64
get_of_groups (void)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint64 least = G_MAXUINT64;

  if (!g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL))
    return least;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      const char *controllers = strchr (lines[i], ':');
      const char *path = controllers != NULL ? strchr (controllers + 1, ':') : NULL;
      guint64 left = G_MAXUINT64;

      if (path == NULL)
        continue;
      if (g_str_has_prefix (controllers, "::"))
        left = get_of_branch ("/sys/fs/cgroup", path + 1, "memory.max", "memory.current");
      else if (g_str_has_prefix (controllers, ":memory:"))
        left = get_of_branch ("/sys/fs/cgroup/memory",
                              path + 1,
                              "memory.limit_in_bytes",
                              "memory.usage_in_bytes");
      least = MIN (least, left);
    }
  return least;
}

gboolean
mp_available_is_enough (guint64 size)
{
  return size < SMALL || (size <= get_of_system () && size <= get_of_groups ());
}
