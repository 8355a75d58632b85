/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Descriptors inside of messages of queues. */

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "libmp.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "test-queue-fds.h"

#define LONG 100000

static void
assert_error (GError **error, MpError code, const char *text)
{
  g_assert_error (*error, MP_ERROR, (int) code);
  g_assert_nonnull (g_strstr_len ((*error)->message, -1, text));
  g_clear_error (error);
}

static void
test_travel (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GUnixFDList) received = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  guint n_before = test_count_fds ();
  int first = pipe_into (fd_list), second = pipe_into (fd_list);
  const int *fds;
  int n_fds;

  g_test_summary ("A message with two descriptors, which are closed in the meantime");
  mp_queue_put_with_fds (queue, g_variant_new ("(hh)", 0, 1), fd_list, 0, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&fd_list);
  g_assert_false (is_closed (first));
  value = mp_queue_get_with_fds (queue, 0, &received, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE ("(hh)")));
  fds = g_unix_fd_list_peek_fds (received, &n_fds);
  g_assert_cmpint (n_fds, ==, 2);
  g_assert_cmpint (fcntl (fds[0], F_GETFD), ==, FD_CLOEXEC);
  assert_joined (fds[0], first);
  assert_joined (fds[1], second);
  g_clear_object (&received);
  assert_closed (first);
  assert_closed (second);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

static void
test_mixed (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GError) error = NULL;
  int first, second;

  g_test_summary ("Messages with and without descriptors, in their order");
  put_number (queue, 1);
  first = put_pipe (queue, 2);
  put_number (queue, 3);
  second = put_pipe (queue, 4);
  g_assert_cmpint (get_number (queue, 1), ==, -1);
  assert_got (queue, 2, first);
  g_assert_cmpint (get_number (queue, 3), ==, -1);
  assert_got (queue, 4, second);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
  g_assert_null (mp_queue_get (queue, 0, NULL, &error));
  assert_error (&error, MP_ERROR_EMPTY, "empty");
}

static void
test_refused (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GError) error = NULL;
  GVariant **values;
  gsize length = 0, n = 0;
  int codec = 0, fd;

  g_test_summary ("Calls that give no descriptors leave the message");
  put_number (queue, 1);
  fd = put_pipe (queue, 2);
  put_number (queue, 3);
  values = mp_queue_get_many (queue, 3, 0, &n, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 1);
  g_variant_unref (values[0]);
  g_free (values);
  g_assert_null (mp_queue_get (queue, -1, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "has descriptors");
  g_assert_null (mp_queue_get_payload (queue, -1, &length, NULL, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "has descriptors");
  g_assert_null (mp_queue_get_buffer (queue, -1, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "has descriptors");
  g_assert_null (mp_queue_get_packed (queue, 3, -1, &length, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "has descriptors");
  g_assert_null (mp_queue_get_leased (queue, -1, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "has descriptors");
  g_assert_null (mp_queue_try_get_payload (queue, &length, &codec));
  g_assert_cmpint (codec, ==, -5);
  g_assert_true (mp_queue_peek_length (queue, &length, &error));
  g_assert_cmpuint (length, ==, sizeof (guint32) + sizeof "u");
  assert_got (queue, 2, fd);
  g_assert_cmpint (get_number (queue, 3), ==, -1);
}

static void
test_without (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;

  g_test_summary ("A queue that was not made for it");
  g_assert_false (mp_queue_get_carries_fds (queue));
  mp_queue_put_with_fds (queue, g_variant_new_uint32 (1), fd_list, 0, NULL, &error);
  g_assert_no_error (error);
  mp_queue_put_with_fds (queue, g_variant_new_uint32 (2), NULL, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (get_number (queue, 1), ==, -1);
  g_assert_cmpint (get_number (queue, 2), ==, -1);
  g_assert_cmpint (g_unix_fd_list_append (fd_list, 0, NULL), ==, 0);
  g_assert_false (
    mp_queue_put_with_fds (queue, g_variant_new_uint32 (3), fd_list, -1, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "not made to carry");
  g_assert_false (mp_queue_put_shareable (queue, MP_SHAREABLE (queue), -1, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "not made to carry");
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
}

static void
test_many (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GUnixFDList) received = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  guint n_before = test_count_fds ();

  g_test_summary ("As many descriptors as a message can have, and one more");
  for (int i = 0; i < 253; i++)
    g_assert_cmpint (g_unix_fd_list_append (fd_list, 0, NULL), ==, i);
  mp_queue_put_with_fds (queue, g_variant_new_int32 (1), fd_list, 0, NULL, &error);
  g_assert_no_error (error);
  value = mp_queue_get_with_fds (queue, 0, &received, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_unix_fd_list_get_length (received), ==, 253);
  g_assert_cmpint (g_unix_fd_list_append (fd_list, 0, NULL), ==, 253);
  g_assert_false (
    mp_queue_put_with_fds (queue, g_variant_new_int32 (1), fd_list, -1, NULL, &error));
  assert_error (&error, MP_ERROR_LIMIT, "254");
  g_clear_object (&fd_list);
  g_clear_object (&received);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

static void
test_long (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autofree guint8 *data = g_malloc0 (LONG);
  g_autoptr (GUnixFDList) received = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  int fd = pipe_into (fd_list);
  guint codec = 0;

  g_test_summary ("A message that lies in a block");
  data[LONG - 1] = 7;
  mp_queue_put_payload_with_fds (queue, data, LONG, MP_CODEC_PICKLE, fd_list, 0, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&fd_list);
  g_assert_null (mp_queue_get_buffer (queue, -1, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "has descriptors");
  g_assert_null (mp_queue_get_with_fds (queue, -1, &received, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "not readable");
  g_assert_null (received);
  bytes = mp_queue_get_bytes_with_fds (queue, 0, &codec, &received, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (codec, ==, MP_CODEC_PICKLE);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), data, LONG);
  assert_joined (g_unix_fd_list_peek_fds (received, NULL)[0], fd);
  g_clear_object (&received);
  assert_closed (fd);
}

static void
test_bound (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 24);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  const guint8 data[24] = { 0 };
  int fd = pipe_into (fd_list);

  g_test_summary ("Descriptors take eight bytes of what a queue may hold");
  g_assert_false (
    mp_queue_put_payload_with_fds (queue, data, 17, MP_CODEC_RAW, fd_list, -1, NULL, &error));
  assert_error (&error, MP_ERROR_LIMIT, "25 bytes");
  mp_queue_put_payload_with_fds (queue, data, 16, MP_CODEC_RAW, fd_list, -1, NULL, &error);
  g_assert_no_error (error);
  g_clear_object (&fd_list);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 1);
  assert_closed (fd);
}

static void
test_ends (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (MpQueue) other = queue_new (0, 0);
  guint n_before = test_count_fds ();
  int drained = put_pipe (queue, 1), closed = -1, dropped = put_pipe (other, 2);

  g_test_summary ("What nobody takes is closed with the messages");
  put_number (queue, 2);
  g_assert_false (is_closed (drained));
  g_assert_cmpuint (mp_queue_drain (queue), ==, 2);
  assert_closed (drained);
  closed = put_pipe (queue, 3);
  mp_queue_close_sides (queue, MP_QUEUE_SIDES_GET);
  assert_closed (closed);
  g_assert_cmpuint (mp_queue_get_unfinished (queue), ==, 0);
  g_assert_cmpuint (test_count_fds (), ==, n_before + 1);
  g_clear_object (&other);
  assert_closed (dropped);
}

/* What another process has, which got the handle. */
static MpQueue *
import (MpQueue *queue)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (queue), fd_list, NULL);
  g_autoptr (GError) error = NULL;
  MpShareable *object = mp_shareable_new_from_handle (handle, fd_list, &error);

  g_assert_no_error (error);
  return MP_QUEUE (object);
}

static int
echo (gpointer data)
{
  MpQueue **queues = data;
  g_autoptr (MpQueue) in = import (queues[0]);
  g_autoptr (MpQueue) out = import (queues[1]);

  for (guint i = 0; i < 500; i++)
    {
      g_autoptr (GUnixFDList) fd_list = NULL;
      g_autoptr (GVariant) value = mp_queue_get_with_fds (in, FAR, &fd_list, NULL, NULL);

      if (value == NULL || !mp_queue_get_carries_fds (in) ||
          !mp_queue_put_with_fds (out, value, fd_list, FAR, NULL, NULL))
        return 1;
    }
  return 0;
}

static void
test_processes (void)
{
  g_autoptr (MpQueue) in = queue_new (0, 0);
  g_autoptr (MpQueue) out = queue_new (0, 0);
  MpQueue *queues[2] = { in, out };
  guint n_before = test_count_fds ();
  GPid pid = test_fork (echo, queues);
  int fds[10];

  g_test_summary ("There and back again through another process, which has the handles");
  for (guint i = 0; i < 50; i++)
    {
      for (guint j = 0; j < G_N_ELEMENTS (fds); j++)
        fds[j] = put_pipe (in, i + j);
      for (guint j = 0; j < G_N_ELEMENTS (fds); j++)
        assert_got (out, i + j, fds[j]);
    }
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

#define N_EACH 300

static gpointer
put_many (gpointer queue)
{
  for (guint i = 1; i <= N_EACH; i++)
    {
      g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
      int fd = eventfd (i, EFD_CLOEXEC | EFD_NONBLOCK);

      g_unix_fd_list_append (fd_list, fd, NULL);
      close (fd);
      mp_queue_put_with_fds (queue, g_variant_new_uint32 (i), fd_list, FAR, NULL, NULL);
    }
  return NULL;
}

/* Returns the sum of the numbers. */
static gpointer
get_many (gpointer queue)
{
  gsize sum = 0;

  for (guint i = 0; i < N_EACH; i++)
    {
      g_autoptr (GUnixFDList) fd_list = NULL;
      g_autoptr (GVariant) value = mp_queue_get_with_fds (queue, FAR, &fd_list, NULL, NULL);
      eventfd_t number = 0;

      g_assert_nonnull (value);
      g_assert_no_errno (eventfd_read (g_unix_fd_list_peek_fds (fd_list, NULL)[0], &number));
      g_assert_cmpuint (number, ==, g_variant_get_uint32 (value));
      sum += number;
    }
  return GSIZE_TO_POINTER (sum);
}

static void
test_threads (void)
{
  g_autoptr (MpQueue) queue = queue_new (20, 0);
  guint n_before = test_count_fds ();
  GThread *putters[2], *getters[2];
  gsize sum = 0;

  g_test_summary ("Each message comes with its own, whichever threads put and get");
  for (guint i = 0; i < 2; i++)
    {
      putters[i] = g_thread_new ("put", put_many, queue);
      getters[i] = g_thread_new ("get", get_many, queue);
    }
  for (guint i = 0; i < 2; i++)
    {
      g_thread_join (putters[i]);
      sum += GPOINTER_TO_SIZE (g_thread_join (getters[i]));
    }
  g_assert_cmpuint (sum, ==, N_EACH * (N_EACH + 1));
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

static gboolean
try_put (MpQueue *queue, GUnixFDList *fd_list, gint64 timeout, GError **error)
{
  return mp_queue_put_with_fds (queue, g_variant_new_int32 (0), fd_list, timeout, NULL, error);
}

static int
put_ten (gpointer data)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();

  g_assert_cmpint (g_unix_fd_list_append (fd_list, 0, NULL), ==, 0);
  for (guint i = 0; i < 10; i++)
    {
      if (!try_put (data, fd_list, -1, NULL))
        return 1;
    }
  return 0;
}

static void
test_full (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  guint n = 0;
  GPid pid;

  g_test_summary ("As many as the system holds; who waits for room gets it from who takes one");
  g_assert_cmpint (g_unix_fd_list_append (fd_list, 0, NULL), ==, 0);
  while (try_put (queue, fd_list, 0, &error))
    n++;
  assert_error (&error, MP_ERROR_FULL, "no room");
  g_assert_cmpuint (n, >, 50);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, n);
  g_assert_false (try_put (queue, fd_list, 20000, &error));
  assert_error (&error, MP_ERROR_FULL, "no room");
  g_cancellable_cancel (cancellable);
  g_assert_false (
    mp_queue_put_with_fds (queue, g_variant_new_int32 (0), fd_list, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  /* Others have room. */
  mp_queue_put (queue, g_variant_new_int32 (1), 0, NULL, &error);
  g_assert_no_error (error);
  pid = test_fork (put_ten, queue);
  test_wait_state (pid, 'S');
  for (guint i = 0; i < n + 11; i++)
    {
      g_autoptr (GUnixFDList) received = NULL;
      g_autoptr (GVariant) value = mp_queue_get_with_fds (queue, FAR, &received, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpint (g_unix_fd_list_get_length (received),
                       ==,
                       g_variant_get_int32 (value) == 0 ? 1 : 0);
    }
  g_assert_cmpint (test_join (pid), ==, 0);
}

static gpointer
cancel_when_asleep (gpointer data)
{
  MpQueue *queue = g_object_get_data (data, "queue");

  while ((guint32) atomic_load (&queue->ring->shared->putters.waiters) == 0)
    g_thread_yield ();
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_full_cancelled (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread;
  guint n;

  g_test_summary ("Cancelled, and closed, while it waits for room for descriptors");
  g_assert_cmpint (g_unix_fd_list_append (fd_list, 0, NULL), ==, 0);
  while (try_put (queue, fd_list, 0, NULL))
    ;
  n = mp_queue_get_length (queue);
  g_object_set_data (G_OBJECT (cancellable), "queue", queue);
  thread = g_thread_new ("cancel", cancel_when_asleep, cancellable);
  g_assert_false (
    mp_queue_put_with_fds (queue, g_variant_new_int32 (0), fd_list, -1, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_thread_join (thread);
  g_assert_cmpuint (mp_queue_get_length (queue), ==, n);
  mp_queue_close (queue);
  g_assert_false (try_put (queue, fd_list, -1, &error));
  assert_error (&error, MP_ERROR_CLOSED, "closed");
}

/* As whoever has the queue can do. */
static void
send_packet (MpQueue *queue, const void *data, gsize length)
{
  g_assert_cmpint (send (queue->ring->fd_sender, data, length, 0), ==, length);
}

static void
assert_corrupt (MpQueue *queue)
{
  g_autoptr (GUnixFDList) received = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_queue_get_with_fds (queue, -1, &received, NULL, &error));
  assert_error (&error, MP_ERROR_CORRUPT, "corrupt");
}

static void
test_hostile_packets (void)
{
  const MpFdTicket tickets[] = { { 1, 2 }, { 1, 0 }, { 1, 1 }, { 2, 1 }, { 900, 1 } };
  guint n_before = test_count_fds ();

  g_test_summary ("Packets that belong to no message, or say something else");
  for (guint i = 0; i < G_N_ELEMENTS (tickets); i++)
    {
      g_autoptr (MpQueue) queue = queue_new (0, 0);

      send_packet (queue, &tickets[i], sizeof tickets[i]);
      close (put_pipe (queue, 1));
      if (i == 2)
        {
          g_autoptr (GUnixFDList) received = NULL;
          g_autoptr (GError) error = NULL;

          g_assert_null (mp_queue_get_with_fds (queue, -1, &received, NULL, &error));
          assert_error (&error, MP_ERROR_CORRUPT, "were not sent");
        }
      else
        assert_corrupt (queue);
    }
  for (gsize length = 1; length < 20; length += 3)
    {
      g_autoptr (MpQueue) queue = queue_new (0, 0);
      guint8 data[20] = { 0 };

      if (length == sizeof (MpFdTicket))
        continue;
      send_packet (queue, data, length);
      close (put_pipe (queue, 1));
      assert_corrupt (queue);
    }
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

static void
test_hostile_memory (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (MpQueue) plain = mp_queue_new (0, 0, NULL);
  MpQueue *queues[] = { queue, plain };

  g_test_summary ("Messages that say that they have descriptors, and have none");
  for (guint i = 0; i < G_N_ELEMENTS (queues); i++)
    {
      _Atomic uint32_t *words = (gpointer) atomic_load (&queues[i]->ring->maps[0]);
      g_autoptr (GError) error = NULL;

      mp_queue_put_payload (queues[i], (const guint8 *) "12345678", 8, MP_CODEC_RAW, 0, NULL, NULL);
      atomic_store (&words[1], MP_RING_WITH_FDS);
      assert_corrupt (queues[i]);
      g_assert_null (mp_queue_get (queues[i], -1, NULL, &error));
      assert_error (&error, MP_ERROR_NOT_SUPPORTED, "has descriptors");
      atomic_store (&words[0], 7);
      assert_corrupt (queues[i]);
      atomic_store (&words[0], 8);
      atomic_store (&words[1], MP_RING_WITH_FDS | MP_RING_IN_BLOCK);
      g_assert_cmpuint (mp_queue_drain (queues[i]), ==, 0);
      assert_corrupt (queues[i]);
    }
}

static void
test_stale (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  MpFdTicket ticket;
  MpRecord record = { .n_fds = 1 };
  int first = -1, second, third, pipe_fds[2];

  g_test_summary ("Packets of those who were killed before their message was there");
  for (guint i = 0; i < 3; i++)
    {
      g_assert_no_errno (pipe (pipe_fds));
      record.fds = &pipe_fds[1];
      g_assert_cmpint (mp_ring_send_fds (queue->ring, &record, &ticket), ==, MP_RING_DONE);
      close (pipe_fds[1]);
      if (i == 0)
        first = pipe_fds[0];
      else if (i == 1)
        close (pipe_fds[0]);
    }
  third = pipe_fds[0];
  second = put_pipe (queue, 1);
  mp_queue_poke (queue);
  g_assert_false (is_closed (first));
  assert_got (queue, 1, second);
  assert_closed (first);
  assert_closed (third);
  g_assert_no_errno (pipe (pipe_fds));
  record.fds = &pipe_fds[1];
  g_assert_cmpint (mp_ring_send_fds (queue->ring, &record, &ticket), ==, MP_RING_DONE);
  close (pipe_fds[1]);
  g_assert_false (is_closed (pipe_fds[0]));
  mp_queue_poke (queue);
  assert_closed (pipe_fds[0]);
}

static void
test_hostile_handles (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (queue), fd_list, NULL);
  guint n_before = test_count_fds ();
  int streams[2];

  g_test_summary ("Handles whose sockets are none, or are missing");
  g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 6);
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, streams));
  for (int i = 4; i <= 6; i++)
    {
      g_autoptr (GUnixFDList) changed = g_unix_fd_list_new ();
      g_autoptr (GVariant) odd = NULL;
      g_autoptr (GError) error = NULL;
      const int *fds = g_unix_fd_list_peek_fds (fd_list, NULL);

      for (int j = 0; j < 6; j++)
        g_unix_fd_list_append (changed, i != j ? fds[j] : (i == 4 ? streams[0] : fds[1]), NULL);
      if (i == 6)
        {
          g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
          const gint32 indexes[] = { 0, 1, 2, 3, 4 };

          odd = g_variant_ref_sink (g_variant_new ("(su@a{sv}@ah)",
                                                   "queue",
                                                   MP_RING_VERSION,
                                                   layout,
                                                   g_variant_new_fixed_array (G_VARIANT_TYPE_HANDLE,
                                                                              indexes,
                                                                              5,
                                                                              sizeof indexes[0])));
        }
      g_assert_null (mp_shareable_new_from_handle (odd != NULL ? odd : handle, changed, &error));
      assert_error (&error, MP_ERROR_CORRUPT, i == 6 ? "names 5 descriptors" : "no unix socket");
    }
  close (streams[0]);
  close (streams[1]);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

static int
use_objects (gpointer data)
{
  g_autoptr (MpQueue) queue = import (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpShareable) semaphore = mp_queue_get_shareable (queue, FAR, NULL, &error);
  g_autoptr (MpShareable) itself = mp_queue_get_shareable (queue, FAR, NULL, &error);

  g_assert_no_error (error);
  mp_semaphore_release (MP_SEMAPHORE (semaphore), 3, &error);
  g_assert_no_error (error);
  put_number (MP_QUEUE (itself), 5);
  return 0;
}

static void
test_shareable (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (MpSemaphore) semaphore = mp_semaphore_new (0, 0, NULL);
  g_autoptr (GError) error = NULL;
  guint n_before = test_count_fds ();
  GPid pid;

  g_test_summary ("Objects, and a queue through itself");
  g_assert_true (mp_queue_put_shareable (queue, MP_SHAREABLE (semaphore), 0, NULL, &error));
  g_assert_true (mp_queue_put_shareable (queue, MP_SHAREABLE (queue), 0, NULL, &error));
  g_assert_no_error (error);
  pid = test_fork (use_objects, queue);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpint (get_number (queue, 5), ==, -1);
  g_assert_cmpuint (mp_semaphore_get_value (semaphore), ==, 3);
  g_assert_cmpuint (test_count_fds (), ==, n_before);
}

#define N_OBJECTS 60

static int
release_all (gpointer data)
{
  g_autoptr (MpQueue) queue = import (data);
  g_autoptr (GError) error = NULL;

  for (;;)
    {
      g_autoptr (MpShareable) object = mp_queue_get_shareable (queue, FAR, NULL, &error);

      if (object == NULL)
        break;
      mp_semaphore_release (MP_SEMAPHORE (object), 1, &error);
      g_assert_no_error (error);
    }
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  return 0;
}

static void
test_shareable_once (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  MpSemaphore *semaphores[N_OBJECTS];
  g_autoptr (GError) error = NULL;
  GPid pids[3];

  g_test_summary ("Each object is got once, however many look for one at a time");
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    pids[i] = test_fork (release_all, queue);
  for (guint i = 0; i < N_OBJECTS; i++)
    {
      semaphores[i] = mp_semaphore_new (0, 0, NULL);
      mp_queue_put_shareable (queue, MP_SHAREABLE (semaphores[i]), FAR, NULL, &error);
      g_assert_no_error (error);
    }
  mp_queue_close (queue);
  for (guint i = 0; i < G_N_ELEMENTS (pids); i++)
    g_assert_cmpint (test_join (pids[i]), ==, 0);
  for (guint i = 0; i < N_OBJECTS; i++)
    {
      g_assert_cmpuint (mp_semaphore_get_value (semaphores[i]), ==, 1);
      g_object_unref (semaphores[i]);
    }
}

static void
test_shareable_refused (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (MpQueue) plain = mp_queue_new (0, 0, NULL);
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (queue), NULL, NULL);
  g_autoptr (MpShareable) object = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("What is no object stays; a handle that was lent is one");
  mp_queue_put (queue, g_variant_new_string ("(sua{sv}ah)"), 0, NULL, NULL);
  g_assert_null (mp_queue_get_shareable (queue, -1, NULL, &error));
  assert_error (&error, MP_ERROR_TYPE, "not a handle");
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 1);
  mp_queue_put (plain, handle, 0, NULL, NULL);
  object = mp_queue_get_shareable (plain, 0, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (mp_queue_get_length (MP_QUEUE (object)), ==, 1);
  mp_queue_put (plain, g_variant_new ("(sua{sv}ah)", "x", 1, NULL, NULL), 0, NULL, NULL);
  g_assert_null (mp_queue_get_shareable (plain, 0, NULL, &error));
  assert_error (&error, MP_ERROR_NOT_SUPPORTED, "“x”");
  g_assert_null (mp_queue_get_shareable (plain, 0, NULL, &error));
  assert_error (&error, MP_ERROR_EMPTY, "empty");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/queue-fds/travel", test_travel);
  g_test_add_func ("/mp/queue-fds/mixed", test_mixed);
  g_test_add_func ("/mp/queue-fds/refused", test_refused);
  g_test_add_func ("/mp/queue-fds/without", test_without);
  g_test_add_func ("/mp/queue-fds/many", test_many);
  g_test_add_func ("/mp/queue-fds/long", test_long);
  g_test_add_func ("/mp/queue-fds/bound", test_bound);
  g_test_add_func ("/mp/queue-fds/ends", test_ends);
  g_test_add_func ("/mp/queue-fds/processes", test_processes);
  g_test_add_func ("/mp/queue-fds/threads", test_threads);
  g_test_add_func ("/mp/queue-fds/full", test_full);
  g_test_add_func ("/mp/queue-fds/full-cancelled", test_full_cancelled);
  g_test_add_func ("/mp/queue-fds/hostile-packets", test_hostile_packets);
  g_test_add_func ("/mp/queue-fds/hostile-memory", test_hostile_memory);
  g_test_add_func ("/mp/queue-fds/stale", test_stale);
  g_test_add_func ("/mp/queue-fds/hostile-handles", test_hostile_handles);
  g_test_add_func ("/mp/queue-fds/shareable", test_shareable);
  g_test_add_func ("/mp/queue-fds/shareable-once", test_shareable_once);
  g_test_add_func ("/mp/queue-fds/shareable-refused", test_shareable_refused);
  return g_test_run ();
}
