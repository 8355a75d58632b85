/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Who puts a message with a descriptor, and who takes it, each killed after every number of
 * instructions. The message is there with the descriptor, or both are not; and nothing
 * keeps the descriptor open for which there is no message. */

#include "libmp.h"
#include "test-queue-fds.h"
#include "test-steps.h"

typedef struct
{
  MpQueue *queue;
  GUnixFDList *fd_list;
} Case;

/* What is done for the first time takes many instructions that are of no interest. */
static void
warm_up (gpointer object)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);

  close (put_pipe (queue, 1));
  close (get_number (queue, 1));
}

static void
put (gpointer object)
{
  const Case *test = object;

  g_assert_true (mp_queue_put_payload_with_fds (test->queue,
                                                (const guint8 *) "a",
                                                1,
                                                MP_CODEC_RAW,
                                                test->fd_list,
                                                -1,
                                                NULL,
                                                NULL));
}

static void
get (gpointer object)
{
  const Case *test = object;
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GBytes) bytes =
    mp_queue_get_bytes_with_fds (test->queue, -1, NULL, &fd_list, NULL, NULL);

  g_assert_nonnull (bytes);
}

/* After the death of somebody: either the message is there as a whole, or it is not. */
static gboolean
settle (MpQueue *queue, int read_fd)
{
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  if (mp_queue_get_length (queue) == 0)
    {
      mp_queue_poke (queue);
      assert_closed (read_fd);
      return FALSE;
    }
  bytes = mp_queue_get_bytes_with_fds (queue, 0, NULL, &fd_list, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 1);
  assert_joined (g_unix_fd_list_peek_fds (fd_list, NULL)[0], read_fd);
  g_clear_object (&fd_list);
  assert_closed (read_fd);
  return TRUE;
}

static void
try_all (gboolean putting)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  Case test = { .queue = queue };
  const Deed deed = { .prepare = warm_up, .act = putting ? put : get, .object = &test };
  guint n_before = test_count_fds (), n_there = 0, n_gone = 0;
  gboolean killed = TRUE;

  for (guint n = get_first (); killed; n += stride)
    {
      int read_fd;

      test.fd_list = g_unix_fd_list_new ();
      read_fd = pipe_into (test.fd_list);
      if (!putting)
        put (&test);
      if (!putting)
        g_clear_object (&test.fd_list);
      killed = kill_after (&deed, n);
      g_clear_object (&test.fd_list);
      if (settle (queue, read_fd))
        n_there++;
      else
        n_gone++;
    }
  g_test_message ("the message was there %u times, and not %u times", n_there, n_gone);
  g_assert_cmpuint (n_there, >, 0);
  g_assert_cmpuint (n_gone, >, 0);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

static void
test_putter (void)
{
  g_test_summary ("One that puts");
  try_all (TRUE);
}

static void
test_getter (void)
{
  g_test_summary ("One that takes");
  try_all (FALSE);
}

/* The next one comes without anybody having looked after the dead one. */
static void
try_next (gboolean putting)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  Case test = { .queue = queue };
  const Deed deed = { .prepare = warm_up, .act = putting ? put : get, .object = &test };
  gboolean killed = TRUE;

  for (guint n = get_first (); killed; n += stride)
    {
      int first, second;
      guint n_left;

      test.fd_list = g_unix_fd_list_new ();
      first = pipe_into (test.fd_list);
      if (!putting)
        put (&test);
      if (!putting)
        g_clear_object (&test.fd_list);
      killed = kill_after (&deed, n);
      g_clear_object (&test.fd_list);
      n_left = mp_queue_get_length (queue);
      second = put_pipe (queue, 5);
      if (n_left > 0)
        g_assert_true (settle (queue, first));
      assert_got (queue, 5, second);
      if (n_left == 0)
        assert_closed (first);
      g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
    }
}

static void
test_next (void)
{
  g_test_summary ("Each of them, and then messages that have descriptors of their own");
  try_next (TRUE);
  try_next (FALSE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  steps_init ();
  /* These are long ways. */
  if (stride > 1)
    stride *= 3;
  g_test_add_func ("/mp/chaos/fds-steps/putter", test_putter);
  g_test_add_func ("/mp/chaos/fds-steps/getter", test_getter);
  g_test_add_func ("/mp/chaos/fds-steps/next", test_next);
  return g_test_run ();
}
