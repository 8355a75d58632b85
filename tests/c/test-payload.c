/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"
#include "base/mp-payload-private.h"
#include "base/mp-scratch-private.h"

static void
test_gvariant (void)
{
  static const char *const texts[] = {
    "1",           "()", "'text'", "<@ay []>", "@a{sv} {}", "(1, 'two', [3.5, 4.0], {'five': <6>})",
    "@mi nothing",
  };

  g_test_summary ("Values survive, from bytes that are aligned or not");
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_parsed (texts[i]));
      g_autoptr (GBytes) bytes = mp_payload_from_variant (value);
      gsize length;
      const guint8 *data = g_bytes_get_data (bytes, &length);
      g_autofree guint8 *moved = g_malloc (length + 1);

      for (gsize shift = 0; shift < 2; shift++)
        {
          g_autoptr (GVariant) back = NULL;

          memcpy (moved + shift, data, length);
          back = mp_payload_to_variant (moved + shift, length, MP_CODEC_GVARIANT, NULL);
          g_assert_cmpvariant (back, value);
          g_assert_false (g_variant_is_floating (back));
        }
    }
}

static void
test_floating (void)
{
  GVariant *value = g_variant_new_string ("x");
  g_autoptr (GVariant) again = g_variant_ref_sink (value);
  g_autoptr (GBytes) first = mp_payload_from_variant (g_variant_new_string ("x"));
  g_autoptr (GBytes) second = mp_payload_from_variant (again);

  g_test_summary ("Floating values are consumed, others are not");
  g_assert_true (g_bytes_equal (first, second));
  g_assert_cmpstr (g_variant_get_string (again, NULL), ==, "x");
}

static void
test_others (void)
{
  g_autoptr (GBytes) empty = g_bytes_new (NULL, 0);
  g_autoptr (GVariant) nothing = NULL;
  g_autoptr (GVariant) raw = mp_payload_to_variant ((const guint8 *) "abc", 3, MP_CODEC_RAW, NULL);
  g_autoptr (GVariant) none = mp_payload_to_variant (NULL, 0, MP_CODEC_RAW, NULL);
  g_autoptr (GVariant) json =
    mp_payload_to_variant ((const guint8 *) "[1]", 3, MP_CODEC_JSON, NULL);
  g_autoptr (GVariant) no_json = mp_payload_to_variant (NULL, 0, MP_CODEC_JSON, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("Raw bytes become ay, JSON becomes s, a pickle nothing");
  nothing = mp_payload_bytes_to_variant (empty, MP_CODEC_JSON, NULL);
  g_assert_cmpstr (g_variant_get_string (nothing, NULL), ==, "");
  g_assert_cmpstr (g_variant_get_type_string (raw), ==, "ay");
  g_assert_cmpuint (g_variant_n_children (raw), ==, 3);
  g_assert_cmpstr (g_variant_get_type_string (none), ==, "ay");
  g_assert_cmpuint (g_variant_n_children (none), ==, 0);
  g_assert_cmpstr (g_variant_get_string (json, NULL), ==, "[1]");
  g_assert_cmpstr (g_variant_get_string (no_json, NULL), ==, "");
  g_assert_null (mp_payload_to_variant ((const guint8 *) "N.", 2, MP_CODEC_PICKLE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
}

static void
assert_corrupt (const void *data, gsize length, MpCodec codec)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_payload_to_variant (data, length, codec, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
}

static void
test_corrupt (void)
{
  guint8 big[10000];

  g_test_summary ("What is not what it says is an error");
  assert_corrupt ("", 0, MP_CODEC_GVARIANT);
  assert_corrupt ("\1\2\3\4\0(", 6, MP_CODEC_GVARIANT);
  assert_corrupt ("\377\377", 2, MP_CODEC_GVARIANT);
  assert_corrupt ("\1\2\3\0ai", 6, MP_CODEC_GVARIANT);
  memset (big, 0xff, sizeof big);
  assert_corrupt (big, sizeof big, MP_CODEC_GVARIANT);
  assert_corrupt ("\377", 1, MP_CODEC_JSON);
  assert_corrupt ("a\0b", 3, MP_CODEC_JSON);
  assert_corrupt ("a", 1, (MpCodec) 77);
}

static void
test_many (void)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autofree guint8 *data = NULL;
  GVariantBuilder builder;
  gsize length;

  g_test_summary ("Each of many elements is checked, and read in the time of one");
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("as"));
  for (int i = 0; i < 200000; i++)
    g_variant_builder_add (&builder, "s", "text");
  bytes = mp_payload_from_variant (g_variant_builder_end (&builder));
  data = g_memdup2 (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  length = g_bytes_get_size (bytes);

  /* The square of this many would take a minute, which is this test's limit. */
  value = mp_payload_to_variant (data, length, MP_CODEC_GVARIANT, NULL);
  for (gsize i = 0; i < 200000; i++)
    {
      const char *text = NULL;

      g_variant_get_child (value, i, "&s", &text);
      g_assert_cmpstr (text, ==, "text");
    }

  data[5 * 100000 + 4] = 'x'; /* instead of the NUL at the end of one */
  assert_corrupt (data, length, MP_CODEC_GVARIANT);
}

static void
test_big (void)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);
  g_autofree guint8 *data = g_malloc0 (5000);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GBytes) bytes = NULL;
  gsize length;

  g_test_summary ("A big value is what it was");
  for (int i = 0; i < 5; i++)
    {
      g_autofree char *key = g_strdup_printf ("key %d", i);

      g_variant_builder_add (&builder,
                             "{sv}",
                             key,
                             g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, 5000, 1));
    }
  value = g_variant_ref_sink (g_variant_builder_end (&builder));
  bytes = mp_payload_from_variant (value);
  data[0] = 1;
  back = mp_payload_to_variant (g_bytes_get_data (bytes, &length),
                                g_bytes_get_size (bytes),
                                MP_CODEC_GVARIANT,
                                NULL);
  g_assert_true (g_variant_equal (back, value));
}

static void
test_scratch (void)
{
  guint8 *data = mp_scratch_reserve (10);

  g_test_summary ("The scratch buffer keeps what is in it when it grows, and shrinks again");
  data[9] = 42;
  data = mp_scratch_reserve (10 * 1024 * 1024);
  g_assert_cmpint (data[9], ==, 42);
  data[10 * 1024 * 1024 - 1] = 1;
  for (int i = 0; i < 1000; i++)
    data = mp_scratch_reserve (10);
  g_assert_cmpint (data[9], ==, 42);
  g_assert_cmpuint (mp_scratch.size, <, 1024 * 1024);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/payload/gvariant", test_gvariant);
  g_test_add_func ("/mp/payload/floating", test_floating);
  g_test_add_func ("/mp/payload/others", test_others);
  g_test_add_func ("/mp/payload/corrupt", test_corrupt);
  g_test_add_func ("/mp/payload/many", test_many);
  g_test_add_func ("/mp/payload/big", test_big);
  g_test_add_func ("/mp/payload/scratch", test_scratch);
  return g_test_run ();
}
