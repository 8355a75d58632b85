/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

static void
test_numbers (void)
{
  g_test_summary ("The headers and the shared library are of one version");
  g_assert_cmpuint (mp_get_major_version (), ==, MP_MAJOR_VERSION);
  g_assert_cmpuint (mp_get_minor_version (), ==, MP_MINOR_VERSION);
  g_assert_cmpuint (mp_get_micro_version (), ==, MP_MICRO_VERSION);
}

static void
test_check (void)
{
  g_autofree char *text =
    g_strdup_printf ("%d.%d.%d", MP_MAJOR_VERSION, MP_MINOR_VERSION, MP_MICRO_VERSION);

  g_test_summary ("MP_CHECK_VERSION compares, MP_VERSION_S spells");
  g_assert_cmpstr (MP_VERSION_S, ==, text);
  g_assert_true (MP_CHECK_VERSION (MP_MAJOR_VERSION, MP_MINOR_VERSION, MP_MICRO_VERSION));
  g_assert_true (MP_CHECK_VERSION (0, 0, 0));
  g_assert_false (MP_CHECK_VERSION (MP_MAJOR_VERSION + 1, 0, 0));
  g_assert_false (MP_CHECK_VERSION (MP_MAJOR_VERSION, MP_MINOR_VERSION + 1, 0));
  g_assert_false (MP_CHECK_VERSION (MP_MAJOR_VERSION, MP_MINOR_VERSION, MP_MICRO_VERSION + 1));
}

static void
test_use (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GVariant) value = NULL;

  g_test_summary ("The shared library works");
  g_assert_true (mp_queue_put (queue, g_variant_new_int32 (1), 0, NULL, NULL));
  value = mp_queue_get (queue, 0, NULL, NULL);
  g_assert_cmpint (g_variant_get_int32 (value), ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/version/numbers", test_numbers);
  g_test_add_func ("/mp/version/check", test_check);
  g_test_add_func ("/mp/version/use", test_use);
  return g_test_run ();
}
