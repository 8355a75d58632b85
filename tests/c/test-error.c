/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <errno.h>

#include "libmp.h"
#include "base/mp-error-private.h"

static void
test_dbus (void)
{
  g_autoptr (GEnumClass) klass = g_type_class_ref (MP_TYPE_ERROR);

  g_test_summary ("Each code has its own name on the bus, and comes back as itself");
  for (guint i = 0; i < klass->n_values; i++)
    {
      g_autoptr (GError) error =
        g_error_new_literal (MP_ERROR, klass->values[i].value, "something");
      g_autofree char *name = g_dbus_error_encode_gerror (error);
      g_autoptr (GError) back = NULL;

      g_assert_true (g_str_has_prefix (name, "org.libmp.Mp1.Error."));
      back = g_dbus_error_new_for_dbus_error (name, "something");
      g_assert_error (back, MP_ERROR, klass->values[i].value);
    }
}

static void
test_enums (void)
{
  const GType types[] = {
    MP_TYPE_ERROR, MP_TYPE_CODEC, MP_TYPE_START_METHOD, MP_TYPE_RUNTIME, MP_TYPE_JOB_STATE,
  };

  g_test_summary ("The values of each enumeration count up from 0");
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    {
      g_autoptr (GEnumClass) klass = g_type_class_ref (types[i]);

      g_assert_cmpint (klass->minimum, ==, 0);
      g_assert_cmpint (klass->maximum, ==, (int) klass->n_values - 1);
      for (guint j = 0; j < klass->n_values; j++)
        g_assert_cmpint (klass->values[j].value, ==, (int) j);
    }
}

static void
test_errno (void)
{
  static const struct
  {
    int err;
    MpError code;
  } cases[] = {
    { EINVAL, MP_ERROR_INVALID_ARGUMENT },
    { ENOENT, MP_ERROR_NOT_FOUND },
    { ESRCH, MP_ERROR_NOT_FOUND },
    { EEXIST, MP_ERROR_EXISTS },
    { ENOMEM, MP_ERROR_LIMIT },
    { EMFILE, MP_ERROR_LIMIT },
    { ENOSYS, MP_ERROR_NOT_SUPPORTED },
    { ETIMEDOUT, MP_ERROR_TIMED_OUT },
    { EIO, MP_ERROR_FAILED },
  };

  g_test_summary ("Errors of the system get codes, and say what was tried");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (mp_set_error_from_errno (&error, cases[i].err, "Trying"));
      g_assert_error (error, MP_ERROR, (int) cases[i].code);
      g_assert_true (g_str_has_prefix (error->message, "Trying: "));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/error/dbus", test_dbus);
  g_test_add_func ("/mp/error/enums", test_enums);
  g_test_add_func ("/mp/error/errno", test_errno);
  return g_test_run ();
}
