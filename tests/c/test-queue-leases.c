/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"
#include "test-util.h"

#define FAR (30 * G_USEC_PER_SEC)
#define LONG 100000

static void
put (MpQueue *queue, guint32 number)
{
  g_autoptr (GError) error = NULL;

  mp_queue_put (queue, g_variant_new_uint32 (number), FAR, NULL, &error);
  g_assert_no_error (error);
}

static MpLease *
lease (MpQueue *queue, guint32 number, guint deliveries)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  MpLease *result = mp_queue_get_leased (queue, FAR, NULL, &error);

  g_assert_no_error (error);
  value = mp_lease_get_value (result, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, number);
  g_assert_cmpuint (mp_lease_get_deliveries (result), ==, deliveries);
  return result;
}

static void
assert_number (MpQueue *queue, guint32 number)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = mp_queue_get (queue, FAR, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, number);
}

static void
test_ack (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) first = NULL;
  g_autoptr (GError) error = NULL;

  put (queue, 1);
  first = lease (queue, 1, 1);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 1);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 1);
  g_assert_true (mp_lease_ack (first, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
  g_assert_true (mp_queue_join (queue, 0, NULL, NULL));
  g_assert_false (mp_lease_ack (first, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
  g_assert_nonnull (g_strstr_len (error->message, -1, "acknowledged already"));
  g_clear_error (&error);
  g_assert_false (mp_lease_nack (first, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
}

static void
test_nack (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) first = NULL, second = NULL, third = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What goes back comes first, also to those who do not lease");
  put (queue, 1);
  put (queue, 2);
  first = lease (queue, 1, 1);
  g_assert_true (mp_lease_nack (first, NULL));
  g_assert_false (mp_lease_ack (first, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
  g_assert_nonnull (g_strstr_len (error->message, -1, "gone back"));
  second = lease (queue, 1, 2);
  /* It means another delivery. */
  g_clear_error (&error);
  g_assert_false (mp_lease_ack (first, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_OWNER);
  g_clear_object (&second);
  third = lease (queue, 1, 3);
  g_clear_object (&third);
  assert_number (queue, 1);
  assert_number (queue, 2);
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 2);
}

static void
test_long (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autofree guint8 *data = g_malloc0 (LONG);
  g_autoptr (MpLease) first = NULL;
  g_autoptr (GBytes) bytes = NULL;

  data[LONG - 1] = 42;
  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (mp_queue_put_payload (queue, data, LONG, MP_CODEC_RAW, FAR, NULL, NULL));
      g_clear_object (&first);
      first = mp_queue_get_leased (queue, FAR, NULL, NULL);
      g_assert_cmpuint (mp_lease_get_deliveries (first), ==, 1);
      g_assert_true (mp_lease_nack (first, NULL));
      g_clear_object (&first);
      first = mp_queue_get_leased (queue, FAR, NULL, NULL);
      g_assert_cmpuint (mp_lease_get_deliveries (first), ==, 2);
      g_clear_pointer (&bytes, g_bytes_unref);
      bytes = mp_lease_get_bytes (first);
      g_assert_true (mp_lease_ack (first, NULL));
      g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), data, LONG);
    }
}

static int
lease_and_wait (gpointer data)
{
  g_autoptr (MpLease) first = mp_queue_get_leased (data, FAR, NULL, NULL);
  g_autoptr (MpLease) second = mp_queue_get_leased (data, FAR, NULL, NULL);

  if (first == NULL || second == NULL || !mp_lease_ack (first, NULL))
    return 1;
  pause ();
  return 0;
}

static void
test_killed (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  gint64 start;

  g_test_summary ("What a killed process owes comes back, without anybody's help");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (MpLease) back = NULL;
      GPid pid;

      put (queue, 10);
      put (queue, 11);
      pid = test_fork (lease_and_wait, queue);
      while (mp_queue_get_unfinished (queue) > 1 || mp_queue_get_n_leased (queue) != 1)
        g_thread_yield ();
      kill (pid, SIGKILL);
      test_join (pid);
      start = g_get_monotonic_time ();
      back = lease (queue, 11, 2);
      g_assert_cmpint (g_get_monotonic_time () - start, <, 3 * G_USEC_PER_SEC);
      g_assert_true (mp_lease_ack (back, NULL));
      g_assert_true (mp_queue_join (queue, 0, NULL, NULL));
    }
}

static int
ack_inherited (gpointer data)
{
  g_autoptr (GError) error = NULL;

  return !mp_lease_ack (data, &error) && g_error_matches (error, MP_ERROR, MP_ERROR_NOT_OWNER) &&
             !mp_lease_nack (data, NULL)
           ? 0
           : 1;
}

static void
test_forked (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) mine = NULL;

  put (queue, 5);
  mine = lease (queue, 5, 1);
  g_assert_cmpint (test_join (test_fork (ack_inherited, mine)), ==, 0);
  g_assert_true (mp_lease_ack (mine, NULL));
}

static void
test_dead_letters (void)
{
  g_autoptr (MpQueue) dead = mp_queue_new (0, 0, NULL);
  g_autoptr (MpQueue) queue = mp_queue_new_full (0, 0, 2, dead, NULL);
  g_autoptr (MpQueue) other = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What is delivered too often goes to the dead letters, also elsewhere");
  handle = mp_shareable_to_handle (MP_SHAREABLE (queue), fd_list, &error);
  g_assert_no_error (error);
  other = MP_QUEUE (mp_shareable_new_from_handle (handle, fd_list, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (mp_queue_get_max_deliveries (other), ==, 2);
  g_assert_nonnull (mp_queue_get_dead_letters (other));

  put (queue, 1);
  put (queue, 2);
  for (guint i = 1; i <= 2; i++)
    g_object_unref (lease (other, 1, i));
  g_object_unref (lease (other, 2, 1));
  assert_number (mp_queue_get_dead_letters (other), 1);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 1);
  assert_number (queue, 2);
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 0);
}

static void
test_dropped (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new_full (0, 0, 1, NULL, NULL);

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, 0);
      g_test_trap_assert_passed ();
      g_test_trap_assert_stderr ("*delivered 1 times*dropped*");
      return;
    }
  g_log_set_always_fatal (G_LOG_FATAL_MASK);
  put (queue, 1);
  g_object_unref (lease (queue, 1, 1));
  g_assert_null (mp_queue_get_leased (queue, 0, NULL, NULL));
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
}

static gpointer
take_last (gpointer data)
{
  return mp_queue_get_leased (data, FAR, NULL, NULL);
}

static void
test_closed (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) mine = NULL, again = NULL;
  g_autoptr (GError) error = NULL;
  GThread *thread;

  g_test_summary ("A closed queue is at its end only when nothing can come back");
  put (queue, 1);
  mine = lease (queue, 1, 1);
  mp_queue_close (queue);
  g_assert_null (mp_queue_get_leased (queue, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
  g_clear_error (&error);
  thread = g_thread_new ("last", take_last, queue);
  g_assert_true (mp_lease_nack (mine, NULL));
  again = g_thread_join (thread);
  g_assert_cmpuint (mp_lease_get_deliveries (again), ==, 2);
  thread = g_thread_new ("last", take_last, queue);
  g_assert_true (mp_lease_ack (again, NULL));
  g_assert_null (g_thread_join (thread));
  g_assert_null (mp_queue_get_leased (queue, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static void
test_given_up (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) mine = NULL;

  g_test_summary ("When the consumers have given up, nothing comes back");
  put (queue, 1);
  put (queue, 2);
  mine = lease (queue, 1, 1);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 1);
  g_assert_true (mp_lease_nack (mine, NULL));
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 0);
}

static void
test_drain (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  put (queue, 1);
  put (queue, 2);
  g_object_unref (lease (queue, 1, 1));
  g_assert_cmpuint (mp_queue_drain (queue), ==, 2);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 0);
}

static void
on_leased (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
test_async (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (MpLease) mine = NULL, again = NULL;

  mp_queue_get_leased_async (queue, NULL, on_leased, &result);
  put (queue, 1);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  mine = mp_queue_get_leased_finish (queue, result, NULL);
  g_assert_cmpuint (mp_lease_get_deliveries (mine), ==, 1);
  g_clear_object (&result);

  /* It comes back to who waits in a main loop; and nobody fetches it. */
  mp_queue_get_leased_async (queue, NULL, on_leased, &result);
  g_assert_true (mp_lease_nack (mine, NULL));
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_clear_object (&result);
  again = lease (queue, 1, 3);
  g_assert_true (mp_lease_ack (again, NULL));
}

static void
test_many (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GPtrArray) leases = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) error = NULL;
  MpLease *last;

  g_test_summary ("There is a limit, and it is no loss");
  for (guint i = 0; i < 5000; i++)
    put (queue, i);
  while ((last = mp_queue_get_leased (queue, 0, NULL, &error)) != NULL)
    g_ptr_array_add (leases, last);
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_assert_cmpuint (leases->len, ==, 4096);
  for (guint i = 0; i < leases->len; i++)
    g_assert_true (mp_lease_ack (leases->pdata[i], NULL));
  g_ptr_array_set_size (leases, 0);
  for (guint i = 4096; i < 5000; i++)
    g_ptr_array_add (leases, lease (queue, i, 1));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/queue-leases/ack", test_ack);
  g_test_add_func ("/queue-leases/nack", test_nack);
  g_test_add_func ("/queue-leases/long", test_long);
  g_test_add_func ("/queue-leases/killed", test_killed);
  g_test_add_func ("/queue-leases/forked", test_forked);
  g_test_add_func ("/queue-leases/dead-letters", test_dead_letters);
  g_test_add_func ("/queue-leases/dropped", test_dropped);
  g_test_add_func ("/queue-leases/closed", test_closed);
  g_test_add_func ("/queue-leases/given-up", test_given_up);
  g_test_add_func ("/queue-leases/drain", test_drain);
  g_test_add_func ("/queue-leases/async", test_async);
  g_test_add_func ("/queue-leases/many", test_many);

  return g_test_run ();
}
