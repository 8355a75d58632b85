/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Counts the words of every text file below some directories, in worker
 * processes. What libmp has to do with it is in main() and count_in_pool(): a
 * registered task, mp_bootstrap(), a pool, and results as they become ready. */

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <libmp.h>

#define HEAD 8192        /* a file with a NUL in its first bytes is not text */
#define PARTS_A_WORKER 8 /* small enough tasks that the workers end together */

typedef struct
{
  guint64 n;
  char word[];
} Count;

typedef struct
{
  guint64 files;
  guint64 bytes;
  guint64 binary;
  guint64 unreadable;
  GHashTable *words; /* word → Count, which the word is in */
} Counts;

static void
counts_init (Counts *counts)
{
  *counts = (Counts){ .words = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free) };
}

static void
counts_clear (Counts *counts)
{
  g_clear_pointer (&counts->words, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Counts, counts_clear)

static void
counts_add (Counts *counts, const char *word, guint64 n)
{
  Count *count = g_hash_table_lookup (counts->words, word);

  if (count == NULL)
    {
      gsize size = strlen (word) + 1;

      count = g_malloc (sizeof *count + size);
      count->n = 0;
      memcpy (count->word, word, size);
      g_hash_table_insert (counts->words, count->word, count);
    }
  count->n += n;
}

static void
counts_add_file (Counts *counts, const char *path)
{
  g_autofree char *text = NULL;
  gsize length = 0;

  if (!g_file_get_contents (path, &text, &length, NULL))
    {
      counts->unreadable++;
      return;
    }
  if (memchr (text, '\0', MIN (length, HEAD)) != NULL)
    {
      counts->binary++;
      return;
    }

  counts->files++;
  counts->bytes += length;
  /* There is always a NUL behind the last byte, which ends the last word. */
  for (char *p = text; p < text + length; p++)
    {
      char *word = p;

      for (; g_ascii_isalpha (*p); p++)
        *p = g_ascii_tolower (*p);
      if (p > word)
        {
          *p = '\0';
          counts_add (counts, word, 1);
        }
    }
}

/* The task: runs in a worker. A part of the file list comes in; what is found
 * in those files goes out, as two arrays that need no parsing: the words, a NUL
 * after each, and their numbers. */
static GVariant *
count_words (MpTask *task, GVariant *paths, gpointer user_data, GError **error)
{
  g_auto (Counts) counts = { 0 };
  g_autoptr (GString) words = g_string_new (NULL);
  g_autoptr (GArray) numbers = g_array_new (FALSE, FALSE, sizeof (guint64));
  GHashTableIter counted;
  GVariantIter iter;
  const char *path;
  Count *count;

  counts_init (&counts);
  g_variant_iter_init (&iter, paths);
  while (g_variant_iter_next (&iter, "^&ay", &path))
    counts_add_file (&counts, path);

  g_hash_table_iter_init (&counted, counts.words);
  while (g_hash_table_iter_next (&counted, NULL, (gpointer *) &count))
    {
      g_string_append_len (words, count->word, strlen (count->word) + 1);
      g_array_append_val (numbers, count->n);
    }

  return g_variant_new ("(tttt@ay@at)",
                        counts.files,
                        counts.bytes,
                        counts.binary,
                        counts.unreadable,
                        g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, words->str, words->len, 1),
                        g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64,
                                                   numbers->data,
                                                   numbers->len,
                                                   8));
}

/* The caller's side of it: adds the result of one task to the whole. */
static void
counts_merge (Counts *counts, GVariant *result)
{
  g_autoptr (GVariant) words = NULL;
  g_autoptr (GVariant) numbers = NULL;
  guint64 files, bytes, binary, unreadable;
  gsize n_bytes, n_words;
  const char *word;
  const guint64 *number;

  g_variant_get (result, "(tttt@ay@at)", &files, &bytes, &binary, &unreadable, &words, &numbers);
  counts->files += files;
  counts->bytes += bytes;
  counts->binary += binary;
  counts->unreadable += unreadable;

  word = g_variant_get_fixed_array (words, &n_bytes, 1);
  number = g_variant_get_fixed_array (numbers, &n_words, sizeof *number);
  for (gsize i = 0; i < n_words; i++, word += strlen (word) + 1)
    counts_add (counts, word, number[i]);
}

static void
show_progress (double fraction)
{
  if (isatty (STDOUT_FILENO) && fraction < 1.0)
    printf ("\rcounting %3.0f %%", fraction * 100.0);
  else if (isatty (STDOUT_FILENO))
    printf ("\r\033[K");
  fflush (stdout);
}

static gboolean
count_in_pool (Counts *counts, GPtrArray *files, guint n_workers, GError **error)
{
  guint n_parts = MIN (files->len, n_workers * PARTS_A_WORKER);
  g_autoptr (MpPool) pool = NULL;
  g_autoptr (MpJob) job = NULL;
  GVariantBuilder parts;

  /* mp_pool_new() with one more property: should a worker be killed, its task
   * is tried again in another one. */
  pool =
    g_initable_new (MP_TYPE_POOL, NULL, error, "n-workers", n_workers, "max-attempts", 3, NULL);
  if (pool == NULL)
    return FALSE;

  /* Every n-th file is a part: big and small ones are well mixed. */
  g_variant_builder_init (&parts, G_VARIANT_TYPE ("av"));
  for (guint first = 0; first < n_parts; first++)
    {
      GVariantBuilder paths;

      g_variant_builder_init (&paths, G_VARIANT_TYPE ("aay"));
      for (guint i = first; i < files->len; i += n_parts)
        g_variant_builder_add (&paths, "^ay", g_ptr_array_index (files, i));
      g_variant_builder_add (&parts, "v", g_variant_builder_end (&paths));
    }

  job =
    mp_pool_imap_unordered (pool, "count-words", g_variant_builder_end (&parts), 1, NULL, error);
  if (job == NULL)
    return FALSE;
  for (guint i = 1; i <= n_parts; i++)
    {
      g_autoptr (GVariant) result = mp_job_next (job, -1, NULL, error);

      if (result == NULL)
        return FALSE;
      counts_merge (counts, result);
      show_progress ((double) i / n_parts);
    }
  mp_pool_close (pool);
  return mp_pool_join (pool, -1, NULL, error);
}

/* Adds all regular files below @path, or @path itself; links are not followed. */
static gboolean
find_files (GPtrArray *files, const char *path)
{
  DIR *directory = opendir (path);
  struct dirent *entry;

  if (directory == NULL && errno == ENOTDIR)
    {
      g_ptr_array_add (files, g_strdup (path));
      return TRUE;
    }
  if (directory == NULL)
    {
      g_printerr ("wordcount: %s: %s\n", path, g_strerror (errno));
      return FALSE;
    }
  while ((entry = readdir (directory)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, entry->d_name, NULL);

      if (g_str_equal (entry->d_name, ".") || g_str_equal (entry->d_name, "..") ||
          g_file_test (child, G_FILE_TEST_IS_SYMLINK))
        continue;
      if (g_file_test (child, G_FILE_TEST_IS_DIR))
        find_files (files, child);
      else if (g_file_test (child, G_FILE_TEST_IS_REGULAR))
        g_ptr_array_add (files, g_steal_pointer (&child));
    }
  closedir (directory);
  return TRUE;
}

/* The default directories, those that exist. */
static char **
default_directories (void)
{
  glob_t found = { 0 };
  char **directories;

  glob ("/usr/share/doc", 0, NULL, &found);
  glob ("/usr/share/perl", GLOB_APPEND, NULL, &found);
  glob ("/usr/include", GLOB_APPEND, NULL, &found);
  glob ("/usr/lib/python3*", GLOB_APPEND, NULL, &found);
  directories = g_strdupv (found.gl_pathv);
  globfree (&found);
  return directories;
}

/* The list that "find … -print0" writes, where the caller has one. */
static gboolean
read_file_list (GPtrArray *files, const char *path, GError **error)
{
  g_autofree char *list = NULL;
  gsize length;

  if (!g_file_get_contents (path, &list, &length, error))
    return FALSE;
  for (const char *p = list; p < list + length; p += strlen (p) + 1)
    g_ptr_array_add (files, g_strdup (p));
  return TRUE;
}

static int
compare_counts (gconstpointer a, gconstpointer b)
{
  const Count *count_a = *(Count *const *) a;
  const Count *count_b = *(Count *const *) b;

  if (count_a->n != count_b->n)
    return count_a->n > count_b->n ? -1 : 1;
  return strcmp (count_a->word, count_b->word);
}

static void
print_words (const Counts *counts, FILE *stream, int width, guint most)
{
  g_autoptr (GPtrArray) sorted = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer count;

  g_hash_table_iter_init (&iter, counts->words);
  while (g_hash_table_iter_next (&iter, NULL, &count))
    g_ptr_array_add (sorted, count);
  g_ptr_array_sort (sorted, compare_counts);
  for (guint i = 0; i < MIN (sorted->len, most); i++)
    {
      const Count *next = g_ptr_array_index (sorted, i);

      fprintf (stream, "%*" G_GUINT64_FORMAT " %s\n", width, next->n, next->word);
    }
}

static gboolean
write_words (const Counts *counts, const char *path)
{
  FILE *stream = fopen (path, "we");

  if (stream != NULL)
    {
      print_words (counts, stream, 0, G_MAXUINT);
      if (fclose (stream) == 0)
        return TRUE;
    }
  g_printerr ("wordcount: %s: %s\n", path, g_strerror (errno));
  return FALSE;
}

static gboolean
counts_equal (const Counts *a, const Counts *b)
{
  GHashTableIter iter;
  gpointer word, count;

  if (a->files != b->files || a->bytes != b->bytes || a->binary != b->binary ||
      g_hash_table_size (a->words) != g_hash_table_size (b->words))
    return FALSE;
  g_hash_table_iter_init (&iter, a->words);
  while (g_hash_table_iter_next (&iter, &word, &count))
    {
      const Count *other = g_hash_table_lookup (b->words, word);

      if (other == NULL || other->n != ((Count *) count)->n)
        return FALSE;
    }
  return TRUE;
}

/* The same in this process alone, for the time it takes and as a check. */
static gboolean
compare_with_one_process (const Counts *counts, GPtrArray *files, double seconds)
{
  g_auto (Counts) alone = { 0 };
  gint64 start = g_get_monotonic_time ();
  double alone_seconds;

  counts_init (&alone);
  for (guint i = 0; i < files->len; i++)
    counts_add_file (&alone, g_ptr_array_index (files, i));
  alone_seconds = (g_get_monotonic_time () - start) / 1e6;
  printf ("one process: %.2f seconds, speed-up %.2f\n", alone_seconds, alone_seconds / seconds);
  if (counts_equal (counts, &alone))
    return TRUE;
  g_printerr ("wordcount: one process counts something else\n");
  return FALSE;
}

static int n_workers;
static gboolean no_baseline;
static char *file_list;
static char *output;
static char **directories;

static const GOptionEntry options[] = {
  { "workers",
    'j',
    0,
    G_OPTION_ARG_INT,
    &n_workers,
    "Count in N processes (default: one a processor)",
    "N" },
  { "no-baseline",
    0,
    0,
    G_OPTION_ARG_NONE,
    &no_baseline,
    "Do not count again in one process",
    NULL },
  { "files-from",
    0,
    0,
    G_OPTION_ARG_FILENAME,
    &file_list,
    "Count the files named in FILE, a NUL after each",
    "FILE" },
  { "output",
    'o',
    0,
    G_OPTION_ARG_FILENAME,
    &output,
    "Write all words with their numbers to FILE",
    "FILE" },
  { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &directories, NULL, "[DIRECTORY…]" },
  { NULL },
};

static gboolean
take_options (int *argc, char ***argv, GPtrArray *files, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_summary (context,
                                "Counts the words of all text files below the directories.");
  g_option_context_add_main_entries (context, options, NULL);
  n_workers = (int) g_get_num_processors ();
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (n_workers < 1)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--workers must be at least 1");
      return FALSE;
    }
  if (file_list != NULL)
    return read_file_list (files, file_list, error);
  if (directories == NULL)
    directories = default_directories ();
  for (guint i = 0; directories != NULL && directories[i] != NULL; i++)
    if (!find_files (files, directories[i]))
      {
        g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "nothing was counted");
        return FALSE;
      }
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_auto (Counts) counts = { 0 };
  double seconds;
  gint64 start;

  mp_task_register ("count-words", count_words, NULL, NULL);
  mp_bootstrap (&argc, &argv); /* in a worker this does not return */
  setlocale (LC_CTYPE, "");

  if (!take_options (&argc, &argv, files, &error))
    {
      g_printerr ("wordcount: %s\n", error->message);
      return 2;
    }

  counts_init (&counts);
  start = g_get_monotonic_time ();
  if (!count_in_pool (&counts, files, n_workers, &error))
    {
      show_progress (1.0);
      g_printerr ("wordcount: %s\n", error->message);
      return 1;
    }
  seconds = (g_get_monotonic_time () - start) / 1e6;

  print_words (&counts, stdout, 10, 20);
  printf ("%" G_GUINT64_FORMAT " text files, %" G_GUINT64_FORMAT " bytes, %u different words; "
          "left out: %" G_GUINT64_FORMAT " binary files, %" G_GUINT64_FORMAT " unreadable ones\n",
          counts.files,
          counts.bytes,
          g_hash_table_size (counts.words),
          counts.binary,
          counts.unreadable);
  printf ("%d worker processes: %.2f seconds\n", n_workers, seconds);

  if (!no_baseline && !compare_with_one_process (&counts, files, seconds))
    return 1;
  return output == NULL || write_words (&counts, output) ? 0 : 1;
}
