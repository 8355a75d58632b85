/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* list-chaos [KILLS]
 *
 * Processes write and read the items of one list, and are killed with SIGKILL at
 * random instants. What must hold whatever happens:
 *
 * - every value that is read was written by somebody, and is whole;
 * - nobody hangs, and no call fails;
 * - what a process has written and told of is there, or something newer. */

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libmp.h"
#include "chaos.h"

#define N_WORKERS 4
#define N_ITEMS 8
#define ROOM 4000u

/* Seen by all processes. */
typedef struct
{
  _Atomic guint64 n_writes;
  _Atomic guint64 n_reads;
  _Atomic guint64 n_errors;
  _Atomic guint64 next; /* numbers of values */
  /* The last item is only written by one at a time, with growing numbers. */
  _Atomic guint64 told;
} Ledger;

static Ledger *ledger;
static int n_kills;

/* Number @n as bytes, from which everything in it can be told; or as a number. */
static GVariant *
make_value (guint64 n)
{
  g_autofree guint64 *data = NULL;
  gsize length = 1 + n * 7919 % (ROOM / 8 - 1);

  if (n % 5 == 0)
    return g_variant_new_int64 ((gint64) n);
  data = g_new (guint64, length);
  for (gsize i = 0; i < length; i++)
    data[i] = n * (i + 1);
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, length * sizeof *data, 1);
}

static gboolean
is_good (GVariant *value)
{
  g_autoptr (GVariant) wanted = NULL;
  guint64 n = 0;
  gsize length;

  if (value == NULL)
    return FALSE;
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_INT64))
    n = (guint64) g_variant_get_int64 (value);
  else
    {
      const void *data = g_variant_get_fixed_array (value, &length, 1);

      if (length < sizeof n)
        return FALSE;
      memcpy (&n, data, sizeof n);
    }
  wanted = g_variant_ref_sink (make_value (n));
  return n < atomic_load (&ledger->next) && g_variant_equal (value, wanted);
}

static int
work (gpointer data)
{
  MpShareableList *list = data;
  guint32 random = (guint32) getpid () * 2654435761u + 1;

  for (guint64 i = 0; i < G_MAXUINT64; i++)
    {
      gint64 index = next_random (&random) % N_ITEMS;

      if ((next_random (&random) & 1) != 0)
        {
          guint64 n = atomic_fetch_add (&ledger->next, 1);

          if (!mp_shareable_list_set_item (list, index, make_value (n), NULL))
            atomic_fetch_add (&ledger->n_errors, 1);
          atomic_fetch_add (&ledger->n_writes, 1);
        }
      else
        {
          g_autoptr (GVariant) value = mp_shareable_list_get_item (list, index, NULL);

          if (!is_good (value))
            atomic_fetch_add (&ledger->n_errors, 1);
          atomic_fetch_add (&ledger->n_reads, 1);
        }
    }
  return 0;
}

/* Writes rising numbers in the last item, and tells of each when it is there. */
static int
work_in_order (gpointer data)
{
  for (guint64 n = atomic_load (&ledger->told) + 2;; n++)
    {
      if (!mp_shareable_list_set_item (data, -1, g_variant_new_int64 ((gint64) n), NULL))
        return 1;
      atomic_store (&ledger->told, n);
    }
}

static void
check_order (MpShareableList *list)
{
  guint64 told = atomic_load (&ledger->told);
  g_autoptr (GVariant) value = mp_shareable_list_get_item (list, -1, NULL);

  g_assert_nonnull (value);
  g_assert_cmpint (g_variant_get_int64 (value), >=, (gint64) told);
}

static MpShareableList *
make_list (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *room = g_malloc0 (ROOM - 1);
  GVariantBuilder items = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("av"));
  MpShareableList *list;

  for (int i = 0; i <= N_ITEMS; i++)
    g_variant_builder_add (&items,
                           "v",
                           g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, room, ROOM - 1, 1));
  list = mp_shareable_list_new (g_variant_builder_end (&items), &error);
  g_assert_no_error (error);
  for (int i = 0; i <= N_ITEMS; i++)
    g_assert_true (mp_shareable_list_set_item (list, i, g_variant_new_int64 (0), NULL));
  return list;
}

static void
test_chaos (void)
{
  g_autoptr (MpShareableList) list = make_list ();
  guint32 random = g_test_rand_int () | 1;
  GPid pids[N_WORKERS + 1];
  guint64 last = 0;
  gint64 since = g_get_monotonic_time ();

  g_test_summary ("Writers and readers of one list");
  ledger = chaos_ledger_new (sizeof *ledger);
  atomic_store (&ledger->next, 1);
  for (int i = 0; i <= N_WORKERS; i++)
    pids[i] = test_fork (i < N_WORKERS ? work : work_in_order, list);
  for (int i = 0; i < n_kills; i++)
    {
      int which = (int) (next_random (&random) % (N_WORKERS + 1));
      struct timespec instant = { .tv_nsec = next_random (&random) % 4000000 };
      guint64 now;

      ppoll (NULL, 0, &instant, NULL);
      check_order (list);
      test_kill (pids[which]);
      check_order (list);
      pids[which] = test_fork (which < N_WORKERS ? work : work_in_order, list);
      now = atomic_load (&ledger->n_writes);
      if (now != last)
        since = g_get_monotonic_time ();
      last = now;
      g_assert_cmpint (g_get_monotonic_time () - since, <, HANG_US);
    }
  for (int i = 0; i <= N_WORKERS; i++)
    test_kill (pids[i]);
  for (int i = 0; i < N_ITEMS; i++)
    {
      g_autoptr (GVariant) value = mp_shareable_list_get_item (list, i, NULL);

      g_assert_true (is_good (value));
      g_assert_true (mp_shareable_list_set_item (list, i, g_variant_new_int32 (1), NULL));
    }
  g_test_message ("killed %d processes; %" G_GUINT64_FORMAT " writes, %" G_GUINT64_FORMAT " reads",
                  n_kills,
                  atomic_load (&ledger->n_writes),
                  atomic_load (&ledger->n_reads));
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_reads), >, 0);
  munmap (ledger, sizeof *ledger);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0 ? 2000 : 300;
  if (argc > 1)
    n_kills = (int) g_ascii_strtoll (argv[1], NULL, 10);
  g_test_add_func ("/mp/shareable-list/chaos", test_chaos);
  return g_test_run ();
}
