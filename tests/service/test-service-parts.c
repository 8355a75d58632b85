/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The parts of the service that need no bus: names, options, access, values, idling. */

#include <libmp.h>
#include <string.h>

#include "mp-service-access.h"
#include "mp-service-context.h"
#include "mp-service-error.h"
#include "mp-service-idle.h"
#include "mp-service-identity.h"
#include "mp-service-names.h"
#include "mp-service-options.h"
#include "mp-service-value.h"

static void
test_names_escape (void)
{
  static const struct
  {
    const char *text, *escaped;
  } cases[] = {
    { "jobs", "jobs" }, { "my-jobs", "my_2djobs" }, { "1st", "_31st" },       { "a1", "a1" },
    { "_", "_5f" },     { "a_2d", "a_5f2d" },       { "\xc3\xa4", "_c3_a4" },
  };

  g_test_summary ("Different names lead to different paths");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *escaped = mp_service_names_escape (cases[i].text);
      g_autofree char *path = g_strconcat ("/", escaped, NULL);

      g_assert_cmpstr (escaped, ==, cases[i].escaped);
      g_assert_true (g_variant_is_object_path (path));
    }
}

static void
test_names_check (void)
{
  g_autofree char *long_name = g_strnfill (256, 'a');

  g_test_summary ("Only harmless names are names");
  g_assert_true (mp_service_names_check ("a-Z_0.9", "name", NULL));
  g_assert_true (mp_service_names_check (long_name + 1, "name", NULL));
  g_assert_false (mp_service_names_check (long_name, "name", NULL));
  g_assert_false (mp_service_names_check ("", "name", NULL));
  g_assert_false (mp_service_names_check ("a/b", "name", NULL));
  g_assert_false (mp_service_names_check ("a b", "name", NULL));
  g_assert_false (mp_service_names_check ("\xc3\xa4", "name", NULL));
}

static void
test_names_paths (void)
{
  g_autofree char *anonymous = mp_service_names_anonymous_path ("queue", ":1.42", NULL, 7);
  g_autofree char *token = mp_service_names_anonymous_path ("queue", ":1.42", "7", 0);
  g_autofree char *job = mp_service_names_job_path ("/org/libmp/Mp1/pool/p", "j-1", 0);
  g_autofree char *request = mp_service_names_request_path (":1.42", "mine");

  g_test_summary ("Paths are as documented, and tokens never meet numbers");
  g_assert_cmpstr (anonymous, ==, "/org/libmp/Mp1/queue/1_42/7");
  g_assert_cmpstr (token, ==, "/org/libmp/Mp1/queue/1_42/_37");
  g_assert_cmpstr (job, ==, "/org/libmp/Mp1/pool/p/job/j_2d1");
  g_assert_cmpstr (request, ==, "/org/libmp/Mp1/request/1_42/mine");
}

static const MpServiceOption table[] = {
  MP_SERVICE_OPTIONS_IDENTITY,
  MP_SERVICE_OPTIONS_CONTEXT,
  MP_SERVICE_OPTION_TIMEOUT,
  { NULL },
};

static void
test_options_unknown (void)
{
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GVariantDict) known = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Unknown options are ignored");
  options = g_variant_ref_sink (g_variant_new_parsed ("{'name': <'n'>, 'novelty': <1>}"));
  known = mp_service_options_filter (options, table, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_dict_contains (known, "name"));
  g_assert_false (g_variant_dict_contains (known, "novelty"));
}

static void
test_options_bad (void)
{
  static const char *const cases[] = {
    "{'name': <1>}",
    "{'name': <''>}",
    "{'name': <'a/b'>}",
    "{'lifetime': <'long'>}",
    "{'handle-token': <'ü'>}",
    "{'timeout': <-0.5>}",
    "{'timeout': <-2.0>}",
    "{'timeout': <3>}",
    "{'timeout': <inf>}",
    "{'timeout': <nan>}",
    "{'runtime': <'cobol'>}",
    "{'start-method': <'fork'>}",
    "{'python-path': <'/a'>}",
    "{'python-path': <['a']>}",
    "{'python-path': <['/a:/b']>}",
    "{'environment': <{'': 'x'}>}",
    "{'environment': <{'A=B': 'x'}>}",
    "{'working-directory': <'here'>}",
  };

  g_test_summary ("A bad value is an error that names the key");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GVariant) options = NULL;
      g_autoptr (GVariantDict) known = NULL;
      g_autoptr (GError) error = NULL;
      g_auto (GStrv) words = g_strsplit (cases[i], "'", 3);

      options = g_variant_parse (G_VARIANT_TYPE_VARDICT, cases[i], NULL, NULL, &error);
      g_assert_no_error (error);
      known = mp_service_options_filter (options, table, &error);
      g_assert_null (known);
      g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, words[1]));
    }
}

static void
test_options_native (void)
{
  g_autoptr (GVariant) options = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A native pool is refused with the reason");
  options = g_variant_ref_sink (g_variant_new_parsed ("{'runtime': <'native'>}"));
  g_assert_null (mp_service_options_filter (options, table, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
}

static gboolean
may (const char *method, const char *sender, MpServiceSharing sharing)
{
  g_auto (GStrv) parts = g_strsplit (method, ".", 2);
  g_autofree char *interface = g_strconcat ("org.libmp.Mp1.", parts[0], NULL);

  return mp_service_access_check (interface, parts[1], sender, ":1.1", sharing);
}

static void
test_access (void)
{
  g_test_summary ("Who may call what");
  g_assert_true (may ("Manager.CreatePool", ":1.2", MP_SERVICE_SHARING_PUBLIC));
  g_assert_false (may ("Manager.Explode", ":1.1", MP_SERVICE_SHARING_PUBLIC));
  g_assert_false (may ("Novelty.Get", ":1.1", MP_SERVICE_SHARING_NAMED));

  g_assert_true (may ("Queue.Get", ":1.2", MP_SERVICE_SHARING_NAMED));
  g_assert_true (may ("Object.Close", ":1.2", MP_SERVICE_SHARING_NAMED));

  g_assert_true (may ("Queue.Get", ":1.2", MP_SERVICE_SHARING_OWNED));
  g_assert_false (may ("Object.Close", ":1.2", MP_SERVICE_SHARING_OWNED));
  g_assert_true (may ("Object.Close", ":1.1", MP_SERVICE_SHARING_OWNED));

  g_assert_false (may ("Queue.Get", ":1.2", MP_SERVICE_SHARING_PRIVATE));
  g_assert_true (may ("Queue.Get", ":1.1", MP_SERVICE_SHARING_PRIVATE));
  g_assert_false (may ("Request.Cancel", ":1.2", MP_SERVICE_SHARING_PRIVATE));
}

static GVariant *
nest (const char *format, guint depth)
{
  GVariant *value = g_variant_new_string ("x");

  for (guint i = 0; i < depth; i++)
    value = g_variant_new (format, value);
  return g_variant_ref_sink (value);
}

static void
check_unfit (GVariant *value, MpError code)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (value);
  g_autoptr (GError) error = NULL;

  g_assert_false (mp_service_value_check (owned, &error));
  g_assert_error (error, MP_ERROR, (int) code);
}

static void
check_fit (GVariant *value)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (value);
  g_autoptr (GError) error = NULL;

  mp_service_value_check (owned, &error);
  g_assert_no_error (error);
}

static void
test_value_check (void)
{
  g_autoptr (GVariant) deep = nest ("v", 80);
  g_autoptr (GVariant) wide = nest ("(v)", 29);
  g_autoptr (GVariant) too_wide = nest ("(v)", 31);
  GVariant *members[300];

  g_test_summary ("What would get the service off the bus is not sent");
  for (gsize i = 0; i < G_N_ELEMENTS (members); i++)
    members[i] = g_variant_new_byte (1);

  check_fit (g_variant_new_parsed ("{'a': <[<1>, <('x', 2.0)>]>}"));
  check_fit (g_variant_new_signature ("a{sv}"));
  check_fit (g_variant_new_array (G_VARIANT_TYPE_VARIANT, NULL, 0));
  check_fit (wide);
  check_unfit (g_variant_new_parsed ("@mi 1"), MP_ERROR_TYPE);
  check_unfit (g_variant_new_parsed ("[<1>, <()>]"), MP_ERROR_TYPE);
  check_unfit (g_variant_new_parsed ("{'a': <[<@ms nothing>]>}"), MP_ERROR_TYPE);
  check_unfit (g_variant_new_parsed ("(1, <signature '()'>)"), MP_ERROR_TYPE);
  check_unfit (g_variant_new_tuple (members, G_N_ELEMENTS (members)), MP_ERROR_TYPE);
  check_unfit (deep, MP_ERROR_TYPE);
  check_unfit (too_wide, MP_ERROR_TYPE);
}

static void
test_value_size (void)
{
  g_autoptr (GBytes) bytes =
    g_bytes_new_take (g_malloc0 (MP_SERVICE_VALUE_MAX + 1), MP_SERVICE_VALUE_MAX + 1);

  g_test_summary ("What is larger than a message is not sent");
  check_unfit (g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE), MP_ERROR_LIMIT);
}

static void
check_payload (const char *data, gsize length, guint codec, const char *expected, int code)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, length);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = mp_service_value_from_payload (bytes, codec, &error);
  g_autofree char *text = NULL;

  if (expected == NULL)
    {
      g_assert_null (value);
      g_assert_error (error, MP_ERROR, code);
      return;
    }
  g_assert_no_error (error);
  text = g_variant_print (value, FALSE);
  g_assert_cmpstr (text, ==, expected);
}

static void
test_value_payload (void)
{
  g_test_summary ("Items of other programs are read with suspicion");
  check_payload ("hi\0\0s", 5, MP_CODEC_GVARIANT, "'hi'", 0);
  check_payload ("hi", 2, MP_CODEC_RAW, "[0x68, 0x69]", 0);
  check_payload ("[1]", 3, MP_CODEC_JSON, "'[1]'", 0);
  check_payload ("\xff", 1, MP_CODEC_JSON, NULL, MP_ERROR_CORRUPT);
  check_payload ("a\0b", 3, MP_CODEC_JSON, NULL, MP_ERROR_CORRUPT);
  check_payload ("hi\0s", 4, MP_CODEC_GVARIANT, NULL, MP_ERROR_CORRUPT);
  check_payload ("", 0, MP_CODEC_GVARIANT, NULL, MP_ERROR_CORRUPT);
  check_payload ("\x80\x05N.", 4, MP_CODEC_PICKLE, NULL, MP_ERROR_NOT_SUPPORTED);
  check_payload ("", 0, 99, NULL, MP_ERROR_CORRUPT);
}

static void
test_error_names (void)
{
  g_autoptr (GError) mp = g_error_new (MP_ERROR, MP_ERROR_PROCESS_DIED, "x");
  g_autoptr (GError) cancelled = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "x");
  g_autoptr (GError) foreign = g_error_new (G_FILE_ERROR, G_FILE_ERROR_NOENT, "x");
  g_autofree char *mp_name = mp_service_error_dup_name (mp, "Failed");
  g_autofree char *cancelled_name = mp_service_error_dup_name (cancelled, "Failed");
  g_autofree char *foreign_name = mp_service_error_dup_name (foreign, "CallbackFailed");

  g_test_summary ("Every error has a name in the service's own name space");
  g_assert_cmpstr (mp_name, ==, "org.libmp.Mp1.Error.ProcessDied");
  g_assert_cmpstr (cancelled_name, ==, "org.libmp.Mp1.Error.Cancelled");
  g_assert_cmpstr (foreign_name, ==, "org.libmp.Mp1.Error.CallbackFailed");
}

static void
set_true (MpServiceIdle *idle, gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
}

static void
test_idle (void)
{
  g_autoptr (MpServiceIdle) idle = mp_service_idle_new (1);
  gboolean is_idle = FALSE;

  g_test_summary ("Idle only when nothing holds");
  g_signal_connect (idle, "idle", G_CALLBACK (set_true), &is_idle);
  mp_service_idle_hold (idle, "test");
  mp_service_idle_hold (idle, "test");
  mp_service_idle_release (idle, "test");
  g_assert_cmpuint (mp_service_idle_get_holds (idle), ==, 1);
  g_assert_false (g_main_context_pending (NULL));
  mp_service_idle_release (idle, "test");
  while (!is_idle)
    g_main_context_iteration (NULL, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/mp/service/names/escape", test_names_escape);
  g_test_add_func ("/mp/service/names/check", test_names_check);
  g_test_add_func ("/mp/service/names/paths", test_names_paths);
  g_test_add_func ("/mp/service/options/unknown", test_options_unknown);
  g_test_add_func ("/mp/service/options/bad", test_options_bad);
  g_test_add_func ("/mp/service/options/native", test_options_native);
  g_test_add_func ("/mp/service/access", test_access);
  g_test_add_func ("/mp/service/value/check", test_value_check);
  g_test_add_func ("/mp/service/value/size", test_value_size);
  g_test_add_func ("/mp/service/value/payload", test_value_payload);
  g_test_add_func ("/mp/service/error/names", test_error_names);
  g_test_add_func ("/mp/service/idle", test_idle);

  return g_test_run ();
}
