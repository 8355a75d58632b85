/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Runs a target once with each of the files that are named, or that are in the
 * folders that are named: the test that what was found once stays mended. */

#include "fuzz.h"

#include <stdio.h>

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return g_strcmp0 (*(const char *const *) a, *(const char *const *) b);
}

/* The names of files in @path, sorted, or @path itself. */
static GPtrArray *
list_files (const char *path)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  if (dir == NULL)
    g_ptr_array_add (files, g_strdup (path));
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (files, g_build_filename (path, name, NULL));
  g_ptr_array_sort (files, compare_names);
  return files;
}

static gboolean
run_file (const char *path, guint number)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *data = NULL, *name = g_path_get_basename (path);
  gsize size = 0;

  if (!g_file_get_contents (path, &data, &size, &error))
    {
      fprintf (stderr, "%s\n", error->message);
      return FALSE;
    }
  printf ("# %s\n", name);
  fflush (stdout);
  /* A copy of just that size, so that what reads behind it is seen. */
  {
    g_autofree guint8 *copy = g_memdup2 (data, size);

    LLVMFuzzerTestOneInput (copy, size);
  }
  printf ("ok %u %s\n", number, name);
  return TRUE;
}

int
main (int argc, char **argv)
{
  gboolean good = TRUE;
  guint n = 0;

  LLVMFuzzerInitialize (&argc, &argv);
  LLVMFuzzerTestOneInput ((const guint8 *) "", 0);
  for (int i = 1; i < argc; i++)
    {
      g_autoptr (GPtrArray) files = list_files (argv[i]);

      for (guint j = 0; j < files->len && good; j++)
        good = run_file (g_ptr_array_index (files, j), ++n);
    }
  printf ("1..%u\n", n);
  return good && n > 0 ? 0 : 1;
}
