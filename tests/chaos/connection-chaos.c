/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Ends of connections, killed at random instants. What must hold whatever happens:
 *
 * - what was received is whole, and in order;
 * - then comes one of two ends: there is no message left, or the last one came in part;
 * - who sends to somebody dead is told that the other end is closed;
 * - nobody hangs, and no descriptor is left behind, of which some go along;
 * - a listener goes on with the next client. */

#include "connection-util.h"

#define MAX_SIZE (300u * 1024)
/* Until one is killed, in microseconds. */
#define MAX_LIFE 3000

typedef struct
{
  guint32 number;
  guint32 length;
} Head;

static guint n_rounds = 100;

static GRand *
rand_new (guint seed)
{
  return g_rand_new_with_seed (seed);
}

/* Mostly small ones. */
static guint
draw_size (GRand *rand)
{
  guint limit = g_rand_boolean (rand) ? 100 : MAX_SIZE;

  return sizeof (Head) + (guint) g_rand_int_range (rand, 0, (gint32) limit);
}

static guint8
byte_of (guint32 number)
{
  return (guint8) (number * 37 + 1);
}

static gboolean
send_numbered (MpConnection *self, GRand *rand, guint32 number, GError **error)
{
  Head head = { .number = number, .length = draw_size (rand) };
  g_autofree guint8 *data = NULL;

  if (number % 16 == 15)
    return mp_connection_send_fd (self, 0, FAR, NULL, error);
  data = g_malloc (head.length);
  memset (data, byte_of (number), head.length);
  memcpy (data, &head, sizeof head);
  return mp_connection_send_data (self, data, head.length, FAR, NULL, error);
}

static void
check_numbered (const guint8 *data, gsize length, guint32 number)
{
  Head head;

  g_assert_cmpuint (length, >=, sizeof head);
  memcpy (&head, data, sizeof head);
  g_assert_cmpuint (head.number, ==, number);
  g_assert_cmpuint (head.length, ==, length);
  for (gsize i = sizeof head; i < length; i++)
    if (data[i] != byte_of (number))
      g_error ("Message %u is not what was sent", number);
}

static GBytes *
receive_in_loop (MpConnection *self, GError **error)
{
  g_auto (Waiting) waiting = { NULL };

  mp_connection_recv_bytes_async (self, NULL, on_result, &waiting);
  return mp_connection_recv_bytes_finish (self, await (&waiting), error);
}

/* In one of several ways. */
static gboolean
receive_numbered (MpConnection *self, GRand *rand, guint32 number, GError **error)
{
  static guint8 place[sizeof (Head) + MAX_SIZE];
  g_autoptr (GBytes) bytes = NULL;
  gsize length;

  if (number % 16 == 15)
    {
      int fd = mp_connection_recv_fd (self, FAR, NULL, error);

      return fd >= 0 && close (fd) == 0;
    }
  if (g_rand_int_range (rand, 0, 3) == 0)
    {
      if (!mp_connection_recv_bytes_into (self, place, sizeof place, &length, FAR, NULL, error))
        return FALSE;
      check_numbered (place, length, number);
      return TRUE;
    }
  bytes = g_rand_boolean (rand) ? receive_in_loop (self, error)
                                : mp_connection_recv_bytes (self, FAR, NULL, error);
  if (bytes == NULL)
    return FALSE;
  check_numbered (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), number);
  return TRUE;
}

/* A process of its own, so that everybody else may be asleep. */
typedef struct
{
  GPid victim;
  guint life;
} Killing;

static int
kill_later (gpointer data)
{
  const Killing *killing = data;
  gint64 end = g_get_monotonic_time () + killing->life;

  while (g_get_monotonic_time () < end)
    g_thread_yield ();
  return kill (killing->victim, SIGKILL);
}

static GPid
start_killer (GPid victim, GRand *rand)
{
  Killing killing = { .victim = victim, .life = (guint) g_rand_int_range (rand, 0, MAX_LIFE) };

  return test_fork (kill_later, &killing);
}

static void
await_killed (GPid victim, GPid killer)
{
  g_assert_cmpint (test_join (killer), ==, 0);
  g_assert_cmpint (test_join (victim), ==, -SIGKILL);
}

typedef struct
{
  Ends ends;
  guint seed;
} Life;

/* It should have been killed before. */
static int
tell_end (const GError *error)
{
  g_printerr ("It ended by itself: %s\n", error->message);
  return 1;
}

static int
send_until_killed (gpointer data)
{
  Life *life = data;
  g_autoptr (GRand) rand = rand_new (life->seed);
  g_autoptr (GError) error = NULL;

  mp_connection_close (life->ends.a);
  for (guint32 number = 0; send_numbered (life->ends.b, rand, number, &error); number++)
    ;
  return tell_end (error);
}

static int
receive_until_killed (gpointer data)
{
  Life *life = data;
  g_autoptr (GRand) rand = rand_new (life->seed);
  g_autoptr (GError) error = NULL;

  mp_connection_close (life->ends.b);
  for (guint32 number = 0; receive_numbered (life->ends.a, rand, number, &error); number++)
    ;
  return tell_end (error);
}

static int
answer_until_killed (gpointer data)
{
  Life *life = data;
  g_autoptr (GRand) rand = rand_new (life->seed);
  g_autoptr (GError) error = NULL;

  mp_connection_close (life->ends.b);
  for (guint32 number = 0; receive_numbered (life->ends.a, rand, number, &error) &&
                           send_numbered (life->ends.a, rand, number, &error);
       number++)
    ;
  return tell_end (error);
}

/* Whether it is the one that a message came in part. */
static gboolean
check_end (const GError *error)
{
  gboolean torn = g_error_matches (error, MP_ERROR, MP_ERROR_CORRUPT);

  if (!torn)
    g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_assert_nonnull (strstr (error->message, torn ? "middle" : "other end"));
  return torn;
}

static void
test_sender (void)
{
  guint before = test_count_fds (), n_torn = 0, n_messages = 0;

  g_test_summary ("One that sends");
  for (guint i = 0; i < n_rounds; i++)
    {
      g_autoptr (GRand) rand = rand_new (g_test_rand_int ());
      Life life = { .ends = ends_new (g_rand_boolean (rand)), .seed = g_rand_int (rand) };
      GPid victim = test_fork (send_until_killed, &life), killer = start_killer (victim, rand);
      g_autoptr (GError) error = NULL, again = NULL;
      guint32 number = 0;

      mp_connection_close (life.ends.b);
      while (receive_numbered (life.ends.a, rand, number, &error))
        number++;
      n_messages += number;
      n_torn += check_end (error);
      /* It is the same for whoever asks again. */
      g_assert_false (receive_numbered (life.ends.a, rand, 0, &again));
      g_assert_cmpint (again->code, ==, error->code);
      await_killed (victim, killer);
      ends_clear (&life.ends);
    }
  g_test_message ("%u messages, %u of %u ends in the middle of one", n_messages, n_torn, n_rounds);
  g_assert_cmpuint (test_count_fds (), <=, before + 2);
}

static void
test_receiver (void)
{
  guint before = test_count_fds (), n_messages = 0;

  g_test_summary ("One that receives");
  for (guint i = 0; i < n_rounds; i++)
    {
      g_autoptr (GRand) rand = rand_new (g_test_rand_int ());
      Life life = { .ends = ends_new (g_rand_boolean (rand)), .seed = g_rand_int (rand) };
      GPid victim = test_fork (receive_until_killed, &life), killer = start_killer (victim, rand);
      g_autoptr (GError) error = NULL;
      guint32 number = 0;

      mp_connection_close (life.ends.a);
      while (send_numbered (life.ends.b, rand, number, &error))
        number++;
      n_messages += number;
      g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
      await_killed (victim, killer);
      ends_clear (&life.ends);
    }
  g_test_message ("%u messages", n_messages);
  g_assert_cmpuint (test_count_fds (), <=, before + 2);
}

static void
test_answerer (void)
{
  guint n_messages = 0;

  g_test_summary ("One that answers");
  for (guint i = 0; i < n_rounds; i++)
    {
      g_autoptr (GRand) rand = rand_new (g_test_rand_int ());
      Life life = { .ends = ends_new (TRUE), .seed = g_rand_int (rand) };
      GPid victim = test_fork (answer_until_killed, &life), killer = start_killer (victim, rand);
      g_autoptr (GError) error = NULL;
      guint32 number = 0;

      mp_connection_close (life.ends.a);
      while (send_numbered (life.ends.b, rand, number, &error) &&
             receive_numbered (life.ends.b, rand, number, &error))
        number++;
      n_messages += number;
      if (!g_error_matches (error, MP_ERROR, MP_ERROR_CORRUPT))
        g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
      await_killed (victim, killer);
      ends_clear (&life.ends);
    }
  g_test_message ("%u answers", n_messages);
}

/* Clients */

static GBytes *
key_new (void)
{
  return g_bytes_new_static ("secret", 6);
}

static gboolean
greet (const char *address, const char *text)
{
  g_autoptr (GBytes) key = key_new ();
  g_autoptr (MpConnection) connection = mp_connection_open (address, key, FAR, NULL, NULL);

  return connection != NULL && mp_connection_send_data (connection,
                                                        (const guint8 *) text,
                                                        strlen (text),
                                                        FAR,
                                                        NULL,
                                                        NULL);
}

static int
greet_until_killed (gpointer data)
{
  while (greet (data, "doomed"))
    ;
  return 1;
}

static int
greet_once (gpointer data)
{
  return greet (data, "good") ? 0 : 1;
}

/* Whether it is the one that lives. */
static gboolean
is_good (MpConnection *connection)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = mp_connection_recv_bytes (connection, FAR, NULL, &error);

  if (bytes == NULL)
    {
      check_end (error);
      return FALSE;
    }
  if (g_bytes_get_size (bytes) == 4)
    {
      assert_bytes (bytes, "good");
      return TRUE;
    }
  assert_bytes (bytes, "doomed");
  return FALSE;
}

static void
test_clients (void)
{
  g_autofree char *address = g_strdup_printf ("unix-abstract:mp-chaos-%d", getpid ());
  g_autoptr (GBytes) key = key_new ();
  g_autoptr (MpListener) listener = mp_listener_new (address, key, NULL);
  guint before = test_count_fds (), n_accepted = 0;

  g_test_summary ("Clients, some of them in the middle of the handshake");
  g_assert_nonnull (listener);
  for (guint i = 0; i < n_rounds / 4; i++)
    {
      g_autoptr (GRand) rand = rand_new (g_test_rand_int ());
      GPid victim = test_fork (greet_until_killed, address), killer = start_killer (victim, rand);
      GPid good;
      gboolean greeted = FALSE;

      await_killed (victim, killer);
      /* Those whose client is dead come first. */
      good = test_fork (greet_once, address);
      while (!greeted)
        {
          g_autoptr (GError) error = NULL;
          g_autoptr (MpConnection) connection = mp_listener_accept (listener, FAR, NULL, &error);

          if (connection == NULL)
            {
              g_assert_false (g_error_matches (error, MP_ERROR, MP_ERROR_TIMED_OUT));
              continue;
            }
          n_accepted++;
          greeted = is_good (connection);
        }
      g_assert_cmpint (test_join (good), ==, 0);
    }
  g_test_message ("%u clients were met", n_accepted);
  g_clear_object (&listener);
  g_assert_cmpuint (test_count_fds (), <=, before + 2);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0)
    n_rounds = 5000;
  g_test_add_func ("/mp/chaos/connection/sender", test_sender);
  g_test_add_func ("/mp/chaos/connection/receiver", test_receiver);
  g_test_add_func ("/mp/chaos/connection/answerer", test_answerer);
  g_test_add_func ("/mp/chaos/connection/clients", test_clients);
  return g_test_run ();
}
