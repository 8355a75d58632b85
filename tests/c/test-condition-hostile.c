/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

/* What is in @handle, but with @lock as its lock. */
static GVariant *
forge (GVariant *handle, GVariant *lock)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  g_autoptr (GVariant) fds = g_variant_get_child_value (handle, 3);
  g_auto (GVariantDict) dict = G_VARIANT_DICT_INIT (layout);

  if (lock != NULL)
    g_variant_dict_insert_value (&dict, "Lock", lock);
  else
    g_variant_dict_remove (&dict, "Lock");
  return g_variant_new ("(su@a{sv}@ah)", "condition", 1, g_variant_dict_end (&dict), fds);
}

static void
test_hostile (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GVariant) event_handle = NULL;
  g_autoptr (MpCondition) condition = NULL;
  g_autoptr (MpEvent) event = NULL;
  g_autoptr (MpLock) lock = NULL;

  g_test_summary ("What names no lock is no condition");
  lock = mp_lock_new (&error);
  g_assert_no_error (error);
  condition = mp_condition_new (lock, &error);
  g_assert_no_error (error);
  event = mp_event_new (&error);
  g_assert_no_error (error);
  handle = mp_shareable_to_handle (MP_SHAREABLE (condition), fd_list, &error);
  g_assert_no_error (error);
  event_handle = mp_shareable_to_handle (MP_SHAREABLE (event), fd_list, &error);
  g_assert_no_error (error);
  g_assert_null (mp_shareable_new_from_handle (forge (handle, NULL), fd_list, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_null (mp_shareable_new_from_handle (forge (handle, event_handle), fd_list, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_null (
    mp_shareable_new_from_handle (forge (handle, g_variant_new_string ("x")), fd_list, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/condition/hostile", test_hostile);
  return g_test_run ();
}
