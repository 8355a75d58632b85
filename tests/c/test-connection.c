/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Messages over connections: what is on the wire, and what can go wrong. */

#include "connection-util.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <sys/mman.h>

#define BIG ((gsize) 8 * 1024 * 1024)

static void
test_wire (void)
{
  static const guint8 wire[] = "\0\0\0\5hello\0\0\0\0\0\0\0\1x";
  g_autoptr (MpConnection) connection = NULL;
  guint8 read_back[sizeof wire - 1];
  int other;

  g_test_summary ("The bytes are those of multiprocessing.connection");
  connection = connection_new (&other);
  send_text (connection, "hello");
  send_text (connection, "");
  send_text (connection, "x");
  read_all (other, read_back, sizeof read_back);
  g_assert_cmpmem (read_back, sizeof read_back, wire, sizeof wire - 1);
  write_all (other, wire, sizeof wire - 1);
  assert_receives (connection, "hello");
  assert_receives (connection, "");
  assert_receives (connection, "x");
  write_all (other, "\377\377\377\377\0\0\0\0\0\0\0\5hello", 17);
  assert_receives (connection, "hello");
  for (gsize i = 0; i < sizeof wire - 1; i++)
    {
      write_all (other, wire + i, 1);
      if (i == 8)
        assert_receives (connection, "hello");
      else if (i == 12)
        assert_receives (connection, "");
      else if (i == 17)
        assert_receives (connection, "x");
      else
        assert_receives_error (connection, 0, MP_ERROR_TIMED_OUT, "in time");
    }
  close (other);
}

static void
test_variants (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autofree char *big = g_strnfill (100000, 'x');
  const char *texts[] = { "'hello'", "(1, [@x 2, 3], {'a': <b'b'>})", "''", "@ai []" };
  g_autoptr (GVariant) last = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("Variants, small and big, come out as they went in");
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GVariant) value = g_variant_new_parsed (texts[i]);
      g_autoptr (GVariant) received = NULL;

      g_variant_ref_sink (value);
      g_assert_true (mp_connection_send (ends.a, value, FAR, NULL, NULL));
      received = mp_connection_recv (ends.b, FAR, NULL, NULL);
      g_assert_cmpvariant (value, received);
      g_assert_false (g_variant_is_floating (received));
    }
  g_assert_true (mp_connection_send (ends.b, g_variant_new_string (big), FAR, NULL, NULL));
  last = mp_connection_recv (ends.a, FAR, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (last, NULL), ==, big);
}

static void
test_others (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GError) error = NULL;

  g_test_summary ("What is no variant stays, and is received as bytes");
  send_text (ends.a, "\200\4N.");
  send_text (ends.a, "nonsense");
  g_assert_null (mp_connection_recv (ends.b, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_null (mp_connection_recv (ends.b, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_true (mp_connection_poll (ends.b, 0, NULL, NULL));
  assert_receives (ends.b, "\200\4N.");
  g_assert_null (mp_connection_recv (ends.b, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  assert_receives (ends.b, "nonsense");
  g_assert_false (mp_connection_poll (ends.b, 0, NULL, NULL));
}

static void
test_into (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GError) error = NULL;
  guint8 buffer[5];
  gsize length = 9;

  g_test_summary ("Into memory of the caller, if it fits");
  send_text (ends.a, "hello");
  send_text (ends.a, "");
  send_text (ends.a, "longer");
  g_assert_true (mp_connection_recv_bytes_into (ends.b, buffer, 5, &length, FAR, NULL, NULL));
  g_assert_cmpmem (buffer, length, "hello", 5);
  g_assert_true (mp_connection_recv_bytes_into (ends.b, NULL, 0, &length, FAR, NULL, NULL));
  g_assert_cmpuint (length, ==, 0);
  for (int i = 0; i < 2; i++)
    {
      g_assert_false (
        mp_connection_recv_bytes_into (ends.b, buffer, 5, &length, FAR, NULL, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_assert_nonnull (strstr (error->message, "A message of 6 bytes"));
      g_assert_cmpuint (length, ==, 6);
      g_clear_error (&error);
    }
  assert_receives (ends.b, "longer");
  g_assert_false (mp_connection_recv_bytes_into (ends.b, buffer, 5, &length, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
}

static void
test_in_parts (void)
{
  g_autoptr (MpConnection) connection = NULL;
  guint8 buffer[10];
  gsize length;
  int other;

  g_test_summary ("What came of a message is kept, whoever goes on with it");
  connection = connection_new (&other);
  for (int i = 0; i < 4; i++)
    {
      write_all (other, "\0\0\0\6he", 6);
      if (i < 2)
        assert_receives_error (connection, 1000, MP_ERROR_TIMED_OUT, "in time");
      else
        g_assert_false (
          mp_connection_recv_bytes_into (connection, buffer, 10, &length, 0, NULL, NULL));
      g_assert_false (mp_connection_poll (connection, 0, NULL, NULL));
      write_all (other, "ll", 2);
      g_assert_true (mp_connection_poll (connection, 0, NULL, NULL));
      g_assert_null (mp_connection_recv (connection, 0, NULL, NULL));
      write_all (other, "ow", 2);
      if (i % 2 == 0)
        assert_receives (connection, "hellow");
      else
        {
          g_assert_true (
            mp_connection_recv_bytes_into (connection, buffer, 10, &length, FAR, NULL, NULL));
          g_assert_cmpmem (buffer, length, "hellow", 6);
        }
    }
  close (other);
}

/* Errors */

static void
test_ends (void)
{
  static const struct
  {
    const char *bytes;
    gsize length;
    int code;
    const char *text;
  } cases[] = {
    { "", 0, MP_ERROR_CLOSED, "other end" },
    { "\0\0", 2, MP_ERROR_CORRUPT, "middle of the length" },
    { "\377\377\377\377\0\0", 6, MP_ERROR_CORRUPT, "middle of the length" },
    { "\0\0\0\5", 4, MP_ERROR_CORRUPT, "0 of 5 bytes came" },
    { "\0\0\0\5hel", 7, MP_ERROR_CORRUPT, "3 of 5 bytes came" },
    { "\377\377\377\377\0\1\0\0\0\0\0\0xx", 14, MP_ERROR_CORRUPT, "2 of 281474976710656" },
    { "\377\377\377\376", 4, MP_ERROR_CORRUPT, "the length -2" },
    { "\200\0\0\0", 4, MP_ERROR_CORRUPT, "the length -2147483648" },
    { "\377\377\377\377\377\377\377\377\377\377\377\377", 12, MP_ERROR_CORRUPT, "cannot have" },
  };

  g_test_summary ("The end between messages, and in the middle of one, and nonsense");
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (int early = 0; early < 2; early++)
      {
        g_autoptr (MpConnection) connection = NULL;
        int other;

        connection = connection_new (&other);
        write_all (other, cases[i].bytes, cases[i].length);
        if (early && i < 6)
          assert_receives_error (connection, 0, MP_ERROR_TIMED_OUT, "in time");
        close (other);
        g_assert_true (mp_connection_poll (connection, FAR, NULL, NULL) || i >= 6);
        assert_receives_error (connection, FAR, cases[i].code, cases[i].text);
        if (i < 6)
          assert_receives_error (connection, FAR, cases[i].code, cases[i].text);
        else
          assert_receives_error (connection, FAR, MP_ERROR_NOT_SUPPORTED, "received");
        assert_sends_error (connection, MP_ERROR_CLOSED, "other end");
      }
}

static void
test_last_messages (void)
{
  g_auto (Ends) ends = ends_new (TRUE);

  g_test_summary ("What was sent before the end is received; the sender need not wait");
  send_text (ends.a, "one");
  send_text (ends.a, "two");
  send_text (ends.b, "nobody reads this");
  mp_connection_close (ends.a);
  mp_connection_close (ends.a);
  g_assert_true (mp_connection_get_closed (ends.a));
  g_assert_cmpint (mp_connection_get_fd (ends.a), ==, -1);
  assert_receives_error (ends.a, FAR, MP_ERROR_CLOSED, "The connection is closed");
  assert_sends_error (ends.a, MP_ERROR_CLOSED, "The connection is closed");
  assert_sends_error (ends.b, MP_ERROR_CLOSED, "the other end");
  assert_receives (ends.b, "one");
  assert_receives (ends.b, "two");
  assert_receives_error (ends.b, FAR, MP_ERROR_CLOSED, "The other end");
}

static void
test_max_frame (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_auto (Ends) one_way = ends_new (FALSE);
  guint64 max_frame = 0;

  g_test_summary ("A message beyond the limit is named, and the end of receiving");
  g_object_set (ends.b, "max-frame", (guint64) 5, NULL);
  g_object_get (ends.b, "max-frame", &max_frame, NULL);
  g_assert_cmpuint (max_frame, ==, 5);
  send_text (ends.a, "hello");
  send_text (ends.a, "longer");
  assert_receives (ends.b, "hello");
  assert_receives_error (ends.b, FAR, MP_ERROR_LIMIT, "A message of 6 bytes, where 5 are allowed");
  g_assert_false (mp_connection_get_readable (ends.b));
  assert_receives_error (ends.b, FAR, MP_ERROR_NOT_SUPPORTED, "received");
  send_text (ends.b, "this way is as good as before");
  assert_receives (ends.a, "this way is as good as before");
  mp_connection_set_max_frame (one_way.a, 1);
  send_text (one_way.b, "xx");
  assert_receives_error (one_way.a, FAR, MP_ERROR_LIMIT, "2 bytes");
  g_assert_true (mp_connection_get_closed (one_way.a));
}

static void
test_one_way (void)
{
  g_auto (Ends) ends = ends_new (FALSE);
  g_autoptr (GError) error = NULL;
  gboolean readable = FALSE, writable = TRUE, closed = TRUE;

  g_test_summary ("One end only receives, the other only sends");
  g_object_get (ends.a, "readable", &readable, "writable", &writable, "closed", &closed, NULL);
  g_assert_true (readable && !writable && !closed);
  g_assert_true (!mp_connection_get_readable (ends.b) && mp_connection_get_writable (ends.b));
  send_text (ends.b, "x");
  assert_receives (ends.a, "x");
  assert_sends_error (ends.a, MP_ERROR_NOT_SUPPORTED, "sent");
  assert_receives_error (ends.b, FAR, MP_ERROR_NOT_SUPPORTED, "received");
  g_assert_false (mp_connection_poll (ends.b, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
}

static void
assert_no_connection (int fd, gboolean readable, gboolean writable, const char *text)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (mp_connection_new_for_fd (fd, readable, writable, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, text));
}

static void
test_bad_fds (void)
{
  guint before = test_count_fds ();
  int fds[2];

  g_test_summary ("What cannot be a connection is an error, and closed");
  assert_no_connection (-1, TRUE, TRUE, "cannot be -1");
  assert_no_connection (1000000, TRUE, TRUE, "open descriptor");
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds));
  assert_no_connection (fds[0], TRUE, TRUE, "a stream");
  assert_no_connection (fds[1], FALSE, FALSE, "readable or writable");
  g_assert_cmpuint (test_count_fds (), ==, before);
}

/* Waiting */

static gpointer
cancel_when_asleep (gpointer data)
{
  /* That the other thread sleeps already is likely, and all the same. */
  g_thread_yield ();
  g_cancellable_cancel (data);
  return NULL;
}

static void
test_cancel (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GThread) thread = NULL;

  g_test_summary ("Cancelled before and meanwhile: nothing happened");
  thread = g_thread_new (NULL, cancel_when_asleep, cancellable);
  g_assert_null (mp_connection_recv_bytes (ends.a, FAR, cancellable, &error));
  g_thread_join (g_steal_pointer (&thread));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  send_text (ends.b, "hello");
  g_assert_null (mp_connection_recv_bytes (ends.a, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (mp_connection_poll (ends.a, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (
    mp_connection_send_data (ends.a, (const guint8 *) "x", 1, FAR, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_receives (ends.a, "hello");
  assert_receives_error (ends.b, 0, MP_ERROR_TIMED_OUT, "in time");
}

static void
test_full (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  g_autoptr (GError) error = NULL;
  guint8 data[500] = { 0 };
  guint n = 0, received = 0;

  g_test_summary ("A small message for which there is no room was not sent at all");
  while (mp_connection_send_data (ends.a, data, sizeof data, n > 100 ? 2000 : 0, NULL, &error))
    n++;
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_true (mp_connection_get_writable (ends.a));
  mp_connection_set_max_frame (ends.b, sizeof data);
  while (received < n)
    {
      g_autoptr (GBytes) bytes = mp_connection_recv_bytes (ends.b, FAR, NULL, NULL);

      g_assert_cmpuint (g_bytes_get_size (bytes), ==, sizeof data);
      received++;
    }
  assert_receives_error (ends.b, 0, MP_ERROR_TIMED_OUT, "in time");
  send_text (ends.a, "last");
  assert_receives (ends.b, "last");
}

static void
test_torn (void)
{
  g_autofree guint8 *data = g_malloc0 (BIG);

  g_test_summary ("A big message that was sent in part is the end of sending, for both");
  for (int i = 0; i < 2; i++)
    {
      g_auto (Ends) ends = ends_new (TRUE);
      g_autoptr (GError) error = NULL;
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GThread) thread = NULL;

      if (i == 1)
        {
          thread = g_thread_new (NULL, cancel_when_asleep, cancellable);
          if (mp_connection_send_data (ends.a, data, BIG, FAR, cancellable, &error))
            g_assert_not_reached ();
          g_thread_join (g_steal_pointer (&thread));
          g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
          /* It may have been cancelled before it began. */
          if (mp_connection_get_writable (ends.a))
            continue;
        }
      else
        {
          g_assert_false (mp_connection_send_data (ends.a, data, BIG, 20000, NULL, &error));
          g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
          g_assert_nonnull (strstr (error->message, " of 8388612 bytes"));
        }
      g_assert_false (mp_connection_get_writable (ends.a));
      assert_sends_error (ends.a, MP_ERROR_CLOSED, "in part only");
      assert_receives_error (ends.b, FAR, MP_ERROR_CORRUPT, "of 8388608 bytes came");
      send_text (ends.b, "back");
      assert_receives (ends.a, "back");
    }
}

static void
test_pipes (void)
{
  g_autofree guint8 *data = g_malloc0 (BIG);
  g_autoptr (MpConnection) in = NULL;
  g_autoptr (MpConnection) out = NULL;
  g_autoptr (GError) error = NULL;
  int fds[2], plain;

  g_test_summary ("Pipes of the system: nobody else's flags change, no signal comes");
  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  plain = fcntl (fds[1], F_DUPFD_CLOEXEC, 0);
  in = mp_connection_new_for_fd (fds[0], TRUE, FALSE, &error);
  g_assert_no_error (error);
  out = mp_connection_new_for_fd (fds[1], FALSE, TRUE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fcntl (plain, F_GETFL) & O_NONBLOCK, ==, 0);
  assert_receives_error (in, 1000, MP_ERROR_TIMED_OUT, "in time");
  send_text (out, "hello");
  assert_receives (in, "hello");
  g_assert_false (mp_connection_send_fd (out, 1, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  close (plain);
  g_assert_false (mp_connection_send_data (out, data, BIG, 20000, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_TIMED_OUT);
  g_assert_true (mp_connection_get_closed (out));
  assert_receives_error (in, FAR, MP_ERROR_CORRUPT, "of 8388608 bytes came");
  g_clear_object (&in);
  g_clear_object (&out);

  g_assert_true (g_unix_open_pipe (fds, FD_CLOEXEC, NULL));
  out = mp_connection_new_for_fd (fds[1], FALSE, TRUE, NULL);
  close (fds[0]);
  assert_sends_error (out, MP_ERROR_CLOSED, "the other end");
}

typedef struct
{
  MpConnection *connection;
  GError *error;
  gboolean sends;
} Blocked;

static gpointer
be_blocked (gpointer user_data)
{
  Blocked *self = user_data;
  g_autofree guint8 *data = g_malloc0 (BIG);

  if (self->sends)
    mp_connection_send_data (self->connection, data, BIG, -1, NULL, &self->error);
  else
    g_assert_null (mp_connection_recv_bytes (self->connection, -1, NULL, &self->error));
  return NULL;
}

static void
test_close_wakes (void)
{
  g_test_summary ("Who waits for a connection that is closed is told at once, and its fd goes");
  for (int i = 0; i < 2; i++)
    for (int n = 1; n < 3; n++)
      {
        g_auto (Ends) ends = ends_new (TRUE);
        Blocked blocked[2] = { { ends.a, NULL, i == 1 }, { ends.a, NULL, i == 1 } };
        GThread *threads[2];
        gint64 start;

        for (int j = 0; j < n; j++)
          threads[j] = g_thread_new (NULL, be_blocked, &blocked[j]);
        g_thread_yield ();
        start = g_get_monotonic_time ();
        mp_connection_close (ends.a);
        for (int j = 0; j < n; j++)
          {
            g_thread_join (threads[j]);
            g_assert_error (blocked[j].error, MP_ERROR, MP_ERROR_CLOSED);
            g_clear_error (&blocked[j].error);
          }
        g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
        g_assert_null (mp_connection_recv_bytes (ends.b, FAR, NULL, NULL));
      }
}

/* Threads and processes */

#define N_THREADS 4
#define N_EACH 60
#define THREADED_SIZE 30000

static gpointer
send_many (gpointer user_data)
{
  g_autofree guint8 *data = g_malloc (THREADED_SIZE);

  for (int i = 0; i < N_EACH; i++)
    {
      memset (data, 'a' + i % 26, THREADED_SIZE);
      g_assert_true (mp_connection_send_data (user_data, data, THREADED_SIZE, FAR, NULL, NULL));
    }
  return NULL;
}

static gpointer
receive_many (gpointer user_data)
{
  for (int i = 0; i < N_EACH; i++)
    {
      g_autoptr (GBytes) bytes = mp_connection_recv_bytes (user_data, FAR, NULL, NULL);
      const guint8 *data = g_bytes_get_data (bytes, NULL);

      g_assert_cmpuint (g_bytes_get_size (bytes), ==, THREADED_SIZE);
      for (gsize j = 1; j < THREADED_SIZE; j++)
        if (data[j] != data[0])
          g_error ("Messages were mixed");
    }
  return NULL;
}

static void
test_threads (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  GThread *threads[2 * N_THREADS];

  g_test_summary ("Threads that send and receive at once do not mix their messages");
  for (int i = 0; i < N_THREADS; i++)
    {
      threads[2 * i] = g_thread_new (NULL, send_many, ends.a);
      threads[2 * i + 1] = g_thread_new (NULL, receive_many, ends.b);
    }
  for (int i = 0; i < 2 * N_THREADS; i++)
    g_thread_join (threads[i]);
  assert_receives_error (ends.b, 0, MP_ERROR_TIMED_OUT, "in time");
}

static int
use_after_fork (gpointer data)
{
  Ends *ends = data;
  int fd = mp_connection_get_fd (ends->a);

  /* In the parent, a thread waits for a message here. */
  send_text (ends->b, "from the child");
  mp_connection_close (ends->a);
  return fcntl (fd, F_GETFD) == -1 && errno == EBADF ? 0 : 1;
}

static gpointer
receive_in_thread (gpointer user_data)
{
  assert_receives (user_data, "from the child");
  return NULL;
}

static void
test_fork_beside_thread (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  GThread *thread = g_thread_new (NULL, receive_in_thread, ends.a);

  g_test_summary ("A child can use and close what a thread of its parent waits for");
  g_thread_yield ();
  g_assert_cmpint (test_join (test_fork (use_after_fork, &ends)), ==, 0);
  g_thread_join (thread);
}

static int
send_big (gpointer data)
{
  Ends *ends = data;
  g_autofree guint8 *bytes = g_malloc0 (BIG);

  mp_connection_close (ends->b);
  return mp_connection_send_data (ends->a, bytes, BIG, -1, NULL, NULL) ? 0 : 1;
}

static void
test_killed (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  GPid pid = test_fork (send_big, &ends);

  g_test_summary ("Who is killed in the middle of a message leaves no half one");
  mp_connection_close (ends.a);
  g_assert_true (mp_connection_poll (ends.b, FAR, NULL, NULL));
  /* Else it might send as fast as we receive, until all of it has come. */
  g_assert_no_errno (kill (pid, SIGSTOP));
  test_wait_state (pid, 'T');
  assert_receives_error (ends.b, 0, MP_ERROR_TIMED_OUT, "in time");
  test_kill (pid);
  assert_receives_error (ends.b, FAR, MP_ERROR_CORRUPT, "of 8388608 bytes came");
}

/* More than 2 GiB, all of whose pages are the same few. */
#define HUGE_SIZE (((gsize) 2 << 30) + 4096)
#define PIECE ((gsize) 16 << 20)

static guint8 *
map_huge (void)
{
  gsize size = HUGE_SIZE + PIECE;
  guint8 *start = mmap (NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  int fd = memfd_create ("huge", MFD_CLOEXEC);

  g_assert_true (start != MAP_FAILED);
  g_assert_no_errno (ftruncate (fd, (off_t) PIECE));
  for (gsize at = 0; at + PIECE <= size; at += PIECE)
    g_assert_true (
      mmap (start + at, PIECE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) !=
      MAP_FAILED);
  close (fd);
  return start;
}

/* Valgrind; and the thread sanitizer, which looks at all that is still to be sent each time
 * that some of it is. */
static gboolean
is_slow (void)
{
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
  return TRUE;
#endif
#endif
  return g_getenv ("MP_TEST_SLOW") != NULL;
}

static int
send_huge (gpointer data)
{
  MpConnection *connection = data;
  guint8 *bytes = map_huge ();

  memset (bytes, 'x', PIECE);
  return mp_connection_send_data (connection, bytes, HUGE_SIZE, -1, NULL, NULL) ? 0 : 1;
}

static void
test_huge (void)
{
  g_auto (Ends) ends = ends_new (TRUE);
  guint8 *bytes = map_huge ();
  gsize length = 0;
  GPid pid;

  g_test_summary ("A message of more than 2 GiB, with its longer header");
  if (is_slow ())
    {
      g_test_skip ("It would take minutes");
      return;
    }
  pid = test_fork (send_huge, ends.a);
  g_assert_true (
    mp_connection_recv_bytes_into (ends.b, bytes, HUGE_SIZE + PIECE, &length, -1, NULL, NULL));
  g_assert_cmpuint (length, ==, HUGE_SIZE);
  g_assert_cmpint (bytes[0], ==, 'x');
  g_assert_cmpint (test_join (pid), ==, 0);
  munmap (bytes, HUGE_SIZE + PIECE);
}

int
main (int argc, char **argv)
{
  guint before;
  int result;

  g_test_init (&argc, &argv, NULL);
  before = test_count_fds ();
  g_test_add_func ("/mp/connection/wire", test_wire);
  g_test_add_func ("/mp/connection/variants", test_variants);
  g_test_add_func ("/mp/connection/others", test_others);
  g_test_add_func ("/mp/connection/into", test_into);
  g_test_add_func ("/mp/connection/in-parts", test_in_parts);
  g_test_add_func ("/mp/connection/ends", test_ends);
  g_test_add_func ("/mp/connection/last-messages", test_last_messages);
  g_test_add_func ("/mp/connection/max-frame", test_max_frame);
  g_test_add_func ("/mp/connection/one-way", test_one_way);
  g_test_add_func ("/mp/connection/bad-fds", test_bad_fds);
  g_test_add_func ("/mp/connection/full", test_full);
  g_test_add_func ("/mp/connection/pipes", test_pipes);
  g_test_add_func ("/mp/connection/killed", test_killed);
  g_test_add_func ("/mp/connection/huge", test_huge);
  /* With threads. */
  g_test_add_func ("/mp/connection/cancel", test_cancel);
  g_test_add_func ("/mp/connection/torn", test_torn);
  g_test_add_func ("/mp/connection/close-wakes", test_close_wakes);
  g_test_add_func ("/mp/connection/threads", test_threads);
  g_test_add_func ("/mp/connection/fork-beside-thread", test_fork_beside_thread);
  result = g_test_run ();
  /* GLib, and sanitizers, may have made some of their own. */
  g_assert_cmpuint (test_count_fds (), <=, before + 3);
  return result;
}
