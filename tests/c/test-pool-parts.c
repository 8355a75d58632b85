/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include "base/mp-payload-private.h"
#include "pool/mp-batch-private.h"
#include "pool/mp-claims-private.h"
#include "pool/mp-results-private.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The parts that a pool is made of, in one process. */

static GVariant *
make_value (guint i)
{
  g_autofree char *text = g_strnfill (i * 37 % 301, 'a');

  switch (i % 4)
    {
    case 0:
      return g_variant_new_int64 (i);
    case 1:
      return g_variant_new_string (text);
    case 2:
      return g_variant_new ("(yas)", (guchar) i, NULL);
    default:
      return g_variant_new ("()");
    }
}

static GVariant *
make_items (guint n)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "v", make_value (i));
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static GBytes *
gather (const MpBatchTask *task)
{
  GByteArray *bytes = g_byte_array_new ();

  for (guint i = 0; i < task->n_parts; i++)
    g_byte_array_append (bytes, task->parts[i].buffer, (guint) task->parts[i].size);
  g_assert_cmpuint (bytes->len, ==, task->length);
  return g_byte_array_free_to_bytes (bytes);
}

/* Cut into tasks, and put together from them as if they came back. */
static void
check_items (guint n, guint chunk)
{
  g_autoptr (GVariant) items = make_items (n);
  g_autoptr (GVariant) normal = g_variant_get_normal_form (items);
  g_autoptr (MpBatch) batch = mp_batch_new_items (normal, chunk);
  g_autoptr (GPtrArray) scratch = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) built = NULL;
  g_autoptr (GBytes) built_bytes = NULL;
  g_autoptr (GVariant) untrusted = NULL;
  MpResults results;
  guint total = 0;

  mp_results_init (&results, TRUE);
  g_assert_cmpuint (mp_batch_get_n_tasks (batch), ==, (n + chunk - 1) / chunk);
  g_assert_cmpuint (mp_batch_get_n_items (batch), ==, n);
  /* Backwards: results come in any order. */
  for (guint i = mp_batch_get_n_tasks (batch); i > 0; i--)
    {
      MpBatchTask task;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GVariant) value = NULL;

      mp_batch_get_task (batch, i - 1, scratch, &task);
      g_assert_cmpint (task.codec, ==, MP_CODEC_GVARIANT);
      bytes = gather (&task);
      value = mp_payload_to_variant (g_bytes_get_data (bytes, NULL),
                                     g_bytes_get_size (bytes),
                                     task.codec,
                                     &error);
      g_assert_no_error (error);
      if (chunk > 1)
        g_assert_cmpuint (g_variant_n_children (value), ==, task.n_items);
      total += task.n_items;
      mp_results_add (&results,
                      i - 1,
                      MP_RESULT_OK,
                      task.codec,
                      g_bytes_get_data (bytes, NULL),
                      g_bytes_get_size (bytes));
    }
  g_assert_cmpuint (total, ==, n);
  built = mp_results_build (&results, chunk > 1, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (items, built));
  built_bytes = g_variant_get_data_as_bytes (built);
  untrusted =
    g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE ("av"), built_bytes, FALSE));
  g_assert_true (g_variant_is_normal_form (untrusted));
  mp_results_clear (&results);
}

static void
test_items (void)
{
  static const guint sizes[] = { 0, 1, 2, 3, 10, 31, 64, 400, 1500 };

  g_test_summary ("An array is cut and put together again, whatever its size and the chunks.");
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint chunk = 1; chunk < 40; chunk += 6)
      check_items (sizes[i], chunk);
}

static void
test_results_order (void)
{
  MpResults results;
  MpResult result;

  g_test_summary ("Ordered results stop at the first gap; memory goes as they are taken.");
  for (guint ordered = 0; ordered < 2; ordered++)
    {
      guint taken = 0;

      mp_results_init (&results, ordered);
      g_assert_false (mp_results_is_ready (&results));
      for (guint i = 0; i < 1000; i++)
        {
          /* Pairs the wrong way round. */
          guint32 value = i ^ 1;

          mp_results_add (&results,
                          value,
                          MP_RESULT_OK,
                          MP_CODEC_RAW,
                          (const guint8 *) &value,
                          sizeof value);
          g_assert_true (mp_results_is_ready (&results) == (!ordered || i % 2 == 1));
          while (mp_results_take (&results, &result))
            {
              guint32 got;

              memcpy (&got, result.data, sizeof got);
              g_assert_cmpuint (got, ==, result.index);
              g_assert_cmpuint (got, ==, ordered ? taken : taken ^ 1);
              mp_result_clear (&result);
              taken++;
            }
        }
      g_assert_cmpuint (taken, ==, 1000);
      mp_results_clear (&results);
    }
}

static void
test_results_type (void)
{
  MpResults results;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What is no array cannot be the result of a chunk, and a pickle no variant.");
  mp_results_init (&results, TRUE);
  mp_results_add (&results, 0, MP_RESULT_OK, MP_CODEC_PICKLE, (const guint8 *) "abc", 3);
  g_assert_null (mp_results_build (&results, FALSE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_null (mp_results_build (&results, TRUE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TYPE);
  g_clear_error (&error);
  mp_results_clear (&results);

  mp_results_init (&results, TRUE);
  mp_results_add (&results, 0, MP_RESULT_OK, MP_CODEC_GVARIANT, (const guint8 *) "abc\0s", 5);
  g_assert_null (mp_results_build (&results, FALSE, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  mp_results_clear (&results);
}

/* What the short cuts say is what GVariant says. */
static void
test_normal (void)
{
  GRand *rand = g_rand_new_with_seed (g_test_rand_int ());

  g_test_summary ("Whether bytes are a variant in normal form.");
  for (guint i = 0; i < 200000; i++)
    {
      static const char letters[] = "\0\0\0aaysxinudhbv()\xff";
      guint64 aligned[3];
      guint8 *data = (guint8 *) aligned;
      gsize length = (gsize) g_rand_int_range (rand, 0, sizeof aligned + 1);
      g_autoptr (GVariant) boxed = NULL;

      for (gsize k = 0; k < length; k++)
        data[k] = (guint8) letters[g_rand_int_range (rand, 0, sizeof letters - 1)];
      boxed = g_variant_ref_sink (
        g_variant_new_from_data (G_VARIANT_TYPE_VARIANT, data, length, FALSE, NULL, NULL));
      g_assert_true (mp_payload_is_normal (data, length) == g_variant_is_normal_form (boxed));
    }
  g_rand_free (rand);
}

static void
test_error_payload (void)
{
  g_autoptr (GError) error = g_error_new (G_IO_ERROR, G_IO_ERROR_BUSY, "so %s", "busy");
  g_autoptr (GVariant) payload = mp_error_payload_new_from_error (error);
  g_autoptr (GBytes) bytes = mp_payload_from_variant (payload);
  g_autoptr (GVariant) other = NULL;
  g_autoptr (GBytes) other_bytes = NULL;
  g_autoptr (GError) back = NULL;
  g_autoptr (GError) odd = NULL;
  g_autoptr (GError) corrupt = NULL;
  g_autofree char *traceback = NULL;

  g_test_summary ("An error goes to bytes and back; text that is no UTF-8 is made so.");
  back = mp_error_payload_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL);
  g_assert_error (back, G_IO_ERROR, G_IO_ERROR_BUSY);
  g_assert_cmpstr (back->message, ==, "so busy");

  other = mp_error_payload_new (NULL, 3, "\xff!", "\xfe", NULL, 0);
  other_bytes = mp_payload_from_variant (other);
  odd = mp_error_payload_parse (g_bytes_get_data (other_bytes, NULL),
                                g_bytes_get_size (other_bytes),
                                &traceback);
  g_assert_error (odd, MP_ERROR, MP_ERROR_FAILED);
  g_assert_true (g_utf8_validate (odd->message, -1, NULL));
  g_assert_nonnull (traceback);
  corrupt = mp_error_payload_parse ((const guint8 *) "nonsense", 8, NULL);
  g_assert_error (corrupt, MP_ERROR, MP_ERROR_CORRUPT);
}

static void
test_claims (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (MpClaims) pool = mp_claims_new (3, 8, 16, &error);
  g_autoptr (MpClaims) worker = NULL;
  MpClaim claim = { 7, 5, 99, 11 };
  MpClaim read;
  guint who = 100;

  g_test_summary ("Claims and slots as both sides see them.");
  g_assert_no_error (error);
  worker = mp_claims_new_from_fd (mp_claims_get_fd (pool), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (mp_claims_get_max_workers (worker), ==, 8);
  g_assert_cmpuint (mp_claims_get_n_slots (worker), ==, 16);

  g_assert_false (mp_claims_read (pool, 2, &read));
  mp_claims_take (worker, 2, &claim);
  g_assert_true (mp_claims_read (pool, 2, &read));
  g_assert_cmpuint (read.seq, ==, 7);
  g_assert_cmpuint (read.task_id, ==, 99);
  g_assert_cmpint (read.began, ==, 11);
  mp_claims_release (worker, 2);
  g_assert_false (mp_claims_read (pool, 2, &read));

  /* Cancelled while it waits: it does not begin. */
  mp_claims_queue (pool, 5);
  g_assert_cmpint (mp_claims_cancel (pool, 5, &who), ==, MP_CLAIMS_CANCEL_DROPPED);
  g_assert_false (mp_claims_begin (worker, 2, 5));
  g_assert_cmpint (mp_claims_cancel (pool, 5, &who), ==, MP_CLAIMS_CANCEL_LATE);

  /* While it runs: it is asked to end, and may. */
  mp_claims_queue (pool, 5);
  g_assert_true (mp_claims_begin (worker, 2, 5));
  g_assert_true (mp_claims_is_running (pool, 5));
  g_assert_false (mp_claims_is_asked (worker, 5));
  g_assert_cmpint (mp_claims_cancel (pool, 5, &who), ==, MP_CLAIMS_CANCEL_ASKED);
  g_assert_cmpuint (who, ==, 2);
  g_assert_true (mp_claims_is_asked (worker, 5));
  g_assert_true (mp_claims_finish (worker, 2, 5));
  g_assert_false (mp_claims_doom (pool, 5, 2));

  /* Or it does not, and does not go on after it either. */
  mp_claims_queue (pool, 5);
  g_assert_true (mp_claims_begin (worker, 2, 5));
  g_assert_cmpint (mp_claims_cancel (pool, 5, &who), ==, MP_CLAIMS_CANCEL_ASKED);
  g_assert_true (mp_claims_doom (pool, 5, 2));
  g_assert_false (mp_claims_finish (worker, 2, 5));

  /* When it is done it is too late. */
  mp_claims_queue (pool, 5);
  g_assert_true (mp_claims_begin (worker, 2, 5));
  g_assert_true (mp_claims_finish (worker, 2, 5));
  g_assert_cmpint (mp_claims_cancel (pool, 5, &who), ==, MP_CLAIMS_CANCEL_LATE);

  g_assert_cmpuint (mp_claims_get_attached (pool, 1), ==, 0);
  g_assert_true (mp_claims_attach (worker, 1, 17));
  g_assert_false (mp_claims_attach (worker, 1, 18));
  g_assert_cmpuint (mp_claims_get_attached (pool, 1), ==, 17);
  mp_claims_reset (pool, 1);
  g_assert_cmpuint (mp_claims_get_attached (pool, 1), ==, 0);

  /* There is room for more workers. */
  g_assert_true (mp_claims_allocate (pool, 8, &error));
  mp_claims_take (worker, 7, &claim);
  g_assert_true (mp_claims_read (pool, 7, &read));

  g_assert_false (mp_claims_take_leave (worker));
  mp_claims_dismiss (pool, 1);
  g_assert_true (mp_claims_take_leave (worker));
  g_assert_false (mp_claims_take_leave (worker));
}

static void
test_foreign_claims (void)
{
  g_autoptr (GError) error = NULL;
  int fd = memfd_create ("foreign", MFD_CLOEXEC);

  g_test_summary ("A foreign descriptor is refused.");
  g_assert_null (mp_claims_new_from_fd (fd, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  close (fd);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/pool-parts/items", test_items);
  g_test_add_func ("/mp/pool-parts/results-order", test_results_order);
  g_test_add_func ("/mp/pool-parts/results-type", test_results_type);
  g_test_add_func ("/mp/pool-parts/normal", test_normal);
  g_test_add_func ("/mp/pool-parts/error-payload", test_error_payload);
  g_test_add_func ("/mp/pool-parts/claims", test_claims);
  g_test_add_func ("/mp/pool-parts/foreign-claims", test_foreign_claims);
  return g_test_run ();
}
