/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "process-tasks.h"

#include <string.h>

/* Tasks in a shared library, for programs that cannot be executed again: this one
 * never calls mp_bootstrap(). */

static const char *
task_name (const char *symbol)
{
  static char *name;

  g_free (name);
  name = g_strconcat (MP_TEST_MODULE, ":", symbol, NULL);
  return name;
}

static void
test_process (gconstpointer data)
{
  g_autoptr (MpContext) context = mp_context_new (GPOINTER_TO_INT (data), MP_RUNTIME_MODULE);
  g_autoptr (GError) error = NULL;

  g_test_summary ("processes run a function of a module");

  for (int i = 0; i < 3; i++)
    {
      const char *const names[] = { "module_square", "module_fail", "none" };
      g_autoptr (MpProcess) process =
        mp_process_new_task (context, task_name (names[i]), g_variant_new_int64 (5));

      mp_process_start (process, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpint (test_join (process), ==, i == 0 ? 0 : 1);
    }
}

static void
assert_fails (MpPool *pool, const char *name, GQuark domain, int code, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result =
    mp_pool_apply (pool, name, g_variant_new_int64 (1), TEST_LIMIT_US, NULL, &error);

  g_assert_null (result);
  g_assert_error (error, domain, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, text));
}

static void
test_pool (gconstpointer data)
{
  g_autoptr (MpContext) context = mp_context_new (GPOINTER_TO_INT (data), MP_RUNTIME_MODULE);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpPool) pool = mp_pool_new (context, 2, &error);

  g_test_summary ("pools, too; what is missing is named, module and symbol");

  g_assert_no_error (error);
  for (int i = 0; i < 10; i++)
    {
      g_autoptr (GVariant) result = mp_pool_apply (pool,
                                                   task_name ("module_square"),
                                                   g_variant_new_int64 (i),
                                                   TEST_LIMIT_US,
                                                   NULL,
                                                   &error);

      g_assert_no_error (error);
      g_assert_cmpint (g_variant_get_int64 (result), ==, i * i);
    }
  assert_fails (pool, task_name ("module_fail"), G_IO_ERROR, G_IO_ERROR_BUSY, "is busy");
  assert_fails (pool, task_name ("none"), MP_ERROR, MP_ERROR_NOT_FOUND, MP_TEST_MODULE);
  assert_fails (pool, task_name ("none"), MP_ERROR, MP_ERROR_NOT_FOUND, "“none”");
  assert_fails (pool, "/no/lib.so:gone", MP_ERROR, MP_ERROR_NOT_FOUND, "“/no/lib.so”");
  assert_fails (pool, "/no/lib.so:gone", MP_ERROR, MP_ERROR_NOT_FOUND, "“gone”");
  assert_fails (pool, "square", MP_ERROR, MP_ERROR_NOT_FOUND, "“square”");
  mp_pool_terminate (pool);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_data_func ("/mp/module/process/forkserver",
                        GINT_TO_POINTER (MP_START_METHOD_FORKSERVER),
                        test_process);
  g_test_add_data_func ("/mp/module/process/spawn",
                        GINT_TO_POINTER (MP_START_METHOD_SPAWN),
                        test_process);
  g_test_add_data_func ("/mp/module/pool/forkserver",
                        GINT_TO_POINTER (MP_START_METHOD_FORKSERVER),
                        test_pool);
  g_test_add_data_func ("/mp/module/pool/spawn",
                        GINT_TO_POINTER (MP_START_METHOD_SPAWN),
                        test_pool);
  return g_test_run ();
}
