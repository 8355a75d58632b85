/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Values and arrays in shared memory: one operation in one thread, and big copies.
 * Nothing waits, so it is the processor's time that is measured: what else runs on
 * the machine does not count. */

#define MAX_TRIES 7
#define ARRAY_LENGTH (1u << 20)

static guint n_tries = MAX_TRIES;
static guint n_rounds = 2000000;

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *) a;
  const double y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
get_cpu_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

typedef void (*Operation) (gpointer object, guint n);

/* Prints the median of the nanoseconds that one of @n takes. */
static void
measure (const char *name, Operation operation, gpointer object, guint n)
{
  double values[MAX_TRIES];

  for (guint i = 0; i < n_tries; i++)
    {
      double start = get_cpu_time ();

      operation (object, n);
      values[i] = (get_cpu_time () - start) / n;
    }
  qsort (values, n_tries, sizeof *values, compare_doubles);
  printf ("{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"ns\"}\n", name, values[n_tries / 2]);
  fflush (stdout);
}

static void
value_add (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    mp_value_add (object, 1, NULL);
}

static void
value_get_int (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    mp_value_get_int (object, NULL);
}

static void
value_set_int (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    mp_value_set_int (object, i, NULL);
}

static void
value_get (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    g_variant_unref (mp_value_get (object));
}

static void
value_set (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    mp_value_set (object, g_variant_new_int64 (i), NULL);
}

static void
value_count (gpointer object, guint n)
{
  MpRLock *lock = mp_value_get_lock (object);

  for (guint i = 0; i < n; i++)
    {
      mp_rlock_acquire (lock, -1, NULL, NULL);
      mp_value_set_int (object, mp_value_get_int (object, NULL) + 1, NULL);
      mp_rlock_release (lock, NULL);
    }
}

static void
array_add (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    mp_array_add (object, i % ARRAY_LENGTH, 1, NULL);
}

static void
array_read (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    g_variant_unref (mp_array_read (object, 0, ARRAY_LENGTH, NULL));
}

static void
array_write (gpointer object, guint n)
{
  g_autoptr (GVariant) values = mp_array_read (object, 0, ARRAY_LENGTH, NULL);

  for (guint i = 0; i < n; i++)
    mp_array_write (object, 0, values, NULL);
}

static void
value_make (gpointer object, guint n)
{
  for (guint i = 0; i < n; i++)
    g_object_unref (mp_value_new (MP_VALUE_TYPE_INT64, NULL, FALSE, NULL));
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpValue) value = mp_value_new (MP_VALUE_TYPE_INT64, NULL, TRUE, &error);
  g_autoptr (MpArray) array = mp_array_new (MP_VALUE_TYPE_INT64, ARRAY_LENGTH, FALSE, NULL);

  if (value == NULL || array == NULL)
    g_error ("No value: %s", error != NULL ? error->message : "no memory");
  if (argc > 1 && strcmp (argv[1], "--quick") == 0)
    {
      n_tries = 3;
      n_rounds /= 10;
    }
  measure ("value: add", value_add, value, n_rounds);
  measure ("value: get an integer", value_get_int, value, n_rounds);
  measure ("value: set an integer", value_set_int, value, n_rounds);
  measure ("value: get a variant", value_get, value, n_rounds);
  measure ("value: set a variant", value_set, value, n_rounds);
  measure ("value: add under its lock", value_count, value, n_rounds);
  measure ("value: make and drop", value_make, NULL, n_rounds / 20);
  measure ("array: add to an item", array_add, array, n_rounds);
  measure ("array: read 8 MiB", array_read, array, 20);
  measure ("array: write 8 MiB", array_write, array, 20);
  return 0;
}
