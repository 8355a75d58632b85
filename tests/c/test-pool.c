/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

/* What a pool is asked, and what it answers. */

static void
test_apply (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GVariant) nothing = NULL;

  g_test_summary ("A function is applied in another process, with an argument and without.");
  result = mp_pool_apply (pool, "square", g_variant_new_int64 (12), -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (result), ==, 144);
  nothing = mp_pool_apply (pool, "echo", NULL, -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (nothing, NULL), ==, "nothing");
  pool_close (pool);
}

static void
test_map (void)
{
  static const guint chunks[] = { 0, 1, 2, 7, 100, 5000 };
  MpPool *pool = pool_new (2);

  g_test_summary ("A map gives the results in order, whatever the chunks.");
  for (guint i = 0; i < G_N_ELEMENTS (chunks); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) results =
        mp_pool_map (pool, "square", pool_numbers (1000), chunks[i], -1, NULL, &error);

      g_assert_no_error (error);
      pool_assert_squares (results, 1000);
      g_assert_true (g_variant_is_normal_form (results));
    }
  pool_close (pool);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/pool/apply", test_apply);
  g_test_add_func ("/mp/pool/map", test_map);
  return g_test_run ();
}
