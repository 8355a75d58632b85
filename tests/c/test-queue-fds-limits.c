/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Queues that carry descriptors, and the limits on these. */

#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "libmp.h"
#include "test-queue-fds.h"

static void
test_too_many_open (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) received = NULL;
  g_autoptr (GError) error = NULL;
  struct rlimit before, none;
  int fd = put_pipe (queue, 1);
  guint n_before = test_count_fds ();

  g_test_summary ("A process that has no number left for a descriptor leaves the message");
  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &before));
  none = (struct rlimit){ .rlim_cur = 3, .rlim_max = before.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &none));
  g_assert_null (mp_queue_get_with_fds (queue, -1, &received, NULL, &error));
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &before));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_assert_nonnull (g_strstr_len (error->message, -1, "too many open"));
  g_assert_cmpuint (test_count_fds (), ==, n_before);
  assert_got (queue, 1, fd);
}

static void
on_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* NULL with @error set if @limit descriptors are too few. */
static MpShareable *
get_with_limit (MpQueue *queue, rlim_t limit, gboolean async, GError **error)
{
  MpShareable *object;
  struct rlimit before, few;
  GAsyncResult *result = NULL;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &before));
  few = (struct rlimit){ .rlim_cur = limit, .rlim_max = before.rlim_max };
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &few));
  if (!async)
    object = mp_queue_get_shareable (queue, 0, NULL, error);
  else
    {
      mp_queue_get_shareable_async (queue, NULL, on_result, &result);
      while (result == NULL)
        g_main_context_iteration (NULL, TRUE);
      object = mp_queue_get_shareable_finish (queue, result, error);
      g_object_unref (result);
    }
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &before));
  return object;
}

/* Each limit, from one that does not suffice for anything. */
static void
test_too_many_open_for_object (gconstpointer async)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0), inner = mp_queue_new (0, 0, NULL);
  g_autoptr (MpShareable) object = NULL;
  g_autoptr (GError) error = NULL;
  guint n_refused = 0, n_before;

  g_test_summary ("A process that has no number left for an object's descriptors leaves it");
  mp_queue_put (inner, g_variant_new_uint32 (7), -1, NULL, NULL);
  g_assert_true (mp_queue_put_shareable (queue, MP_SHAREABLE (inner), -1, NULL, &error));
  /* What GLib makes once for all tasks and main loops is there. */
  g_object_unref (g_task_new (queue, NULL, NULL, NULL));
  g_main_context_iteration (NULL, FALSE);
  n_before = test_count_fds ();
  for (rlim_t limit = 3; object == NULL; limit++)
    {
      object = get_with_limit (queue, limit, async != NULL, &error);
      if (object == NULL)
        {
          g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
          g_clear_error (&error);
          g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
          g_assert_cmpuint (test_count_fds (), ==, n_before);
          n_refused++;
        }
    }
  /* Some had those of the message, and none for the object. */
  g_assert_cmpuint (n_refused, >, n_before);
  g_assert_no_error (error);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
  g_assert_cmpuint (mp_queue_get_length (MP_QUEUE (object)), ==, 1);
}

static int
put_until_refused (gpointer queue)
{
  const struct rlimit few = { .rlim_cur = 64, .rlim_max = 64 };
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  guint n = 0;

  /* The bound is not for root. */
  if ((geteuid () == 0 && setresuid (65534, 65534, 65534) != 0) ||
      setrlimit (RLIMIT_NOFILE, &few) != 0)
    return 2;
  g_unix_fd_list_append (fd_list, 0, NULL);
  while (n < 200 &&
         mp_queue_put_with_fds (queue, g_variant_new_int32 (0), fd_list, -1, NULL, &error))
    n++;
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_assert_nonnull (g_strstr_len (error->message, -1, "on their way"));
  return mp_queue_get_length (queue) == n ? 0 : 1;
}

static void
test_too_many_on_their_way (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);

  g_test_summary ("The system lets a user have so many descriptors in sockets");
  g_assert_cmpint (test_join (test_fork (put_until_refused, queue)), ==, 0);
  mp_queue_drain (queue);
  assert_got (queue, 1, put_pipe (queue, 1));
}

static gint64
get_processor_us (void)
{
  struct timespec time;

  g_assert_no_errno (clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time));
  return time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

static void
test_other_size (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  int least = 1;
  gint64 start;

  g_test_summary ("Who waits for room in the socket sleeps, whoever made that smaller");
  g_unix_fd_list_append (fd_list, 0, NULL);
  g_assert_no_errno (
    setsockopt (queue->ring->fd_sender, SOL_SOCKET, SO_SNDBUF, &least, sizeof least));
  while (mp_queue_put_with_fds (queue, g_variant_new_int32 (0), fd_list, 0, NULL, &error))
    ;
  g_assert_error (error, MP_ERROR, MP_ERROR_FULL);
  g_clear_error (&error);
  start = get_processor_us ();
  g_assert_false (
    mp_queue_put_with_fds (queue, g_variant_new_int32 (0), fd_list, 400000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_FULL);
  g_assert_cmpint (get_processor_us () - start, <, 100000);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue-fds-limits/too-many-open", test_too_many_open);
  g_test_add_data_func ("/mp/queue-fds-limits/too-many-open-for-object",
                        NULL,
                        test_too_many_open_for_object);
  g_test_add_data_func ("/mp/queue-fds-limits/too-many-open-for-object-async",
                        "async",
                        test_too_many_open_for_object);
  g_test_add_func ("/mp/queue-fds-limits/too-many-on-their-way", test_too_many_on_their_way);
  g_test_add_func ("/mp/queue-fds-limits/other-size", test_other_size);
  return g_test_run ();
}
