/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <libmp.h>

static GVariant *
square (MpTask *task, GVariant *argument, gpointer user_data, GError **error)
{
  gint64 x = g_variant_get_int64 (argument);

  return g_variant_new_int64 (x * x);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpPool) pool = NULL;
  g_autoptr (GVariant) result = NULL;

  mp_task_register ("square", square, NULL, NULL);
  mp_bootstrap (&argc, &argv);
  g_assert_true (MP_CHECK_VERSION (0, 1, 0));
  pool = mp_pool_new (NULL, 1, &error);
  g_assert_no_error (error);
  result = mp_pool_apply (pool, "square", g_variant_new_int64 (7), -1, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (result), ==, 49);
  return 0;
}
