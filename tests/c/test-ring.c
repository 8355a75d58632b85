/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "libmp.h"
#include "base/mp-clock-private.h"
#include "channel/mp-ring-layout-private.h"
#include "test-util.h"

#define FAR (20 * G_USEC_PER_SEC)

static MpRing *
ring_new (guint max_items, guint64 max_bytes)
{
  g_autoptr (GError) error = NULL;
  MpRing *ring = mp_ring_new (max_items, max_bytes, &error);

  g_assert_no_error (error);
  return ring;
}

static MpRingStatus
put (MpRing *ring, const void *data, gsize length, MpRingPutFlags flags, gint64 timeout)
{
  const GOutputVector part = { .buffer = data, .size = length };
  const MpRecord record = { .parts = &part, .n_parts = 1, .codec = MP_CODEC_RAW };

  return mp_ring_put (ring, &record, 1, flags, mp_deadline_new (timeout));
}

static MpRingStatus
put_number (MpRing *ring, guint32 number)
{
  return put (ring, &number, sizeof number, 0, 0);
}

static void
collect (gpointer user_data, guint32 seq, MpCodec codec, const guint8 *data, gsize length)
{
  g_ptr_array_add (user_data, g_bytes_new (data, length));
}

static GPtrArray *
get (MpRing *ring, gsize max_items, gsize max_bytes, MpRingStatus *status)
{
  GPtrArray *messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  gsize n = 0;

  *status = mp_ring_get (ring, max_items, max_bytes, collect, messages, 0, &n);
  g_assert_cmpuint (n, ==, messages->len);
  return messages;
}

static guint32
get_number (MpRing *ring)
{
  MpRingStatus status;
  g_autoptr (GPtrArray) messages = get (ring, 1, 0, &status);
  guint32 number;

  g_assert_cmpint (status, ==, MP_RING_DONE);
  g_assert_cmpuint (g_bytes_get_size (messages->pdata[0]), ==, sizeof number);
  memcpy (&number, g_bytes_get_data (messages->pdata[0], NULL), sizeof number);
  return number;
}

static guint64
get_memory (MpRing *ring)
{
  struct stat status;

  g_assert_no_errno (fstat (ring->segment.fd, &status));
  return (guint64) status.st_blocks * 512;
}

static void
test_parts (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  const GOutputVector parts[] = {
    { .buffer = "one ", .size = 4 },
    { .buffer = NULL, .size = 0 },
    { .buffer = "message", .size = 8 },
  };
  const MpRecord records[] = {
    { .parts = parts, .n_parts = 3, .codec = MP_CODEC_JSON },
    { .parts = NULL, .n_parts = 0, .codec = MP_CODEC_RAW },
    { .parts = parts, .n_parts = 1, .codec = MP_CODEC_RAW },
  };
  g_autoptr (GPtrArray) messages = NULL;
  MpRingStatus status;

  g_test_summary ("Messages are gathered from parts, or empty, and keep their limits");
  g_assert_cmpint (mp_ring_put (ring, records, 3, 0, 0), ==, MP_RING_DONE);
  g_assert_cmpuint (mp_ring_get_length (ring), ==, 3);
  g_assert_cmpuint (mp_ring_get_used_bytes (ring), ==, (8 + 16) + 8 + (8 + 8));
  messages = get (ring, 10, 0, &status);
  g_assert_cmpint (status, ==, MP_RING_DONE);
  g_assert_cmpuint (messages->len, ==, 3);
  g_assert_cmpstr (g_bytes_get_data (messages->pdata[0], NULL), ==, "one message");
  g_assert_cmpuint (g_bytes_get_size (messages->pdata[1]), ==, 0);
  g_assert_cmpuint (g_bytes_get_size (messages->pdata[2]), ==, 4);
}

static void
note_seq (gpointer user_data, guint32 seq, MpCodec codec, const guint8 *data, gsize length)
{
  g_array_append_val ((GArray *) user_data, seq);
}

static void
test_seq (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  g_autoptr (GArray) seqs = g_array_new (FALSE, FALSE, sizeof (guint32));
  gsize n;

  g_test_summary ("The sink learns the number of each message, which tells if it is taken");
  for (guint32 i = 0; i < 5; i++)
    put_number (ring, i);
  get_number (ring);
  g_assert_cmpint (mp_ring_get (ring, 3, 0, note_seq, seqs, 0, &n), ==, MP_RING_DONE);
  for (guint i = 0; i < 3; i++)
    {
      guint32 seq = g_array_index (seqs, guint32, i);

      g_assert_cmpuint (seq, ==, 1 + i);
      g_assert_cmpint ((gint32) (mp_ring_get_taken (ring) - seq), >, 0);
    }
  /* The fifth is not. */
  g_assert_cmpint ((gint32) (mp_ring_get_taken (ring) - 4), <=, 0);
}

static void
test_bounds (void)
{
  g_autoptr (MpRing) ring = ring_new (3, 100);
  g_autofree char *big = g_malloc0 (101);
  const GOutputVector part = { .buffer = big, .size = 4 };
  const MpRecord records[4] = {
    { .parts = &part, .n_parts = 1 },
    { .parts = &part, .n_parts = 1 },
    { .parts = &part, .n_parts = 1 },
    { .parts = &part, .n_parts = 1 },
  };
  g_autoptr (GError) error = NULL;

  g_test_summary ("One of exactly the bound fits, one byte more never");
  g_assert_cmpint (put (ring, big, 100, 0, 0), ==, MP_RING_DONE);
  g_assert_cmpint (put (ring, big, 0, 0, 0), ==, MP_RING_TIMED_OUT);
  g_assert_cmpint (put (ring, big, 0, 0, 2000), ==, MP_RING_TIMED_OUT);
  g_assert_cmpint (put (ring, big, 105, 0, -1), ==, MP_RING_TOO_BIG);
  mp_ring_set_error (&error, ring, MP_RING_TOO_BIG, TRUE);
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_assert_nonnull (strstr (error->message, "105"));
  g_assert_nonnull (strstr (error->message, "100"));
  g_assert_cmpint (mp_ring_put (ring, records, 4, 0, 0), ==, MP_RING_TOO_BIG);
  g_assert_cmpuint (mp_ring_get_length (ring), ==, 1);
  g_ptr_array_unref (get (ring, 1, 0, &(MpRingStatus){ 0 }));
  g_assert_cmpint (mp_ring_put (ring, records, 3, 0, 0), ==, MP_RING_DONE);
  g_assert_cmpint (mp_ring_put (ring, records, 1, 0, 0), ==, MP_RING_TIMED_OUT);
}

static void
test_force (void)
{
  g_autoptr (MpRing) ring = ring_new (2, 64);
  g_autofree char *big = g_malloc0 (5000);
  MpRingStatus status;

  g_test_summary ("What was taken is put back over all bounds, and after close");
  put_number (ring, 0);
  put_number (ring, 1);
  g_assert_cmpint (put_number (ring, 2), ==, MP_RING_TIMED_OUT);
  for (guint32 i = 2; i < 10000; i++)
    g_assert_cmpint (put (ring, &i, sizeof i, MP_RING_PUT_FORCE, 0), ==, MP_RING_DONE);
  mp_ring_close (ring, MP_QUEUE_SIDES_PUT);
  g_assert_cmpint (put_number (ring, 3), ==, MP_RING_CLOSED);
  g_assert_cmpint (put (ring, big, 5000, MP_RING_PUT_FORCE, 0), ==, MP_RING_DONE);
  for (guint32 i = 0; i < 10000; i++)
    g_assert_cmpuint (get_number (ring), ==, i);
  g_ptr_array_unref (get (ring, 1, 0, &status));
  g_assert_cmpint (status, ==, MP_RING_DONE);
  g_ptr_array_unref (get (ring, 1, 0, &status));
  g_assert_cmpint (status, ==, MP_RING_CLOSED);
}

static void
test_batch (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  g_autofree char *data = g_malloc0 (1000);
  MpRingStatus status;
  g_autoptr (GPtrArray) first = NULL;
  g_autoptr (GPtrArray) second = NULL;
  g_autoptr (GPtrArray) third = NULL;
  g_autoptr (GPtrArray) fourth = NULL;

  g_test_summary ("A get takes at most so many messages, and so many bytes but for the first");
  for (int i = 0; i < 10; i++)
    put (ring, data, 100, 0, 0);
  first = get (ring, 3, 0, &status);
  g_assert_cmpuint (first->len, ==, 3);
  second = get (ring, 100, 250, &status);
  g_assert_cmpuint (second->len, ==, 2);
  third = get (ring, 100, 10, &status);
  g_assert_cmpuint (third->len, ==, 1);
  fourth = get (ring, 100, 0, &status);
  g_assert_cmpuint (fourth->len, ==, 4);
}

/* Puts and gets so that the ring is never empty for long, in messages of all sizes. */
static void
shuffle (MpRing *ring, guint32 n_bytes)
{
  g_autofree guint8 *data = g_malloc (n_bytes);
  GQueue sizes = G_QUEUE_INIT;
  guint64 put_bytes = 0;

  for (guint32 i = 0; i < n_bytes; i++)
    data[i] = (guint8) (i * 31);
  while (put_bytes < 20 * (guint64) n_bytes)
    {
      guint32 size = (guint32) g_test_rand_int_range (0, (gint32) n_bytes);
      MpRingStatus status;

      g_assert_cmpint (put (ring, data, size, 0, 0), ==, MP_RING_DONE);
      g_queue_push_tail (&sizes, GUINT_TO_POINTER (size));
      put_bytes += size;
      while (g_queue_get_length (&sizes) > 0 && g_test_rand_int_range (0, 9) < 5)
        {
          g_autoptr (GPtrArray) messages = get (ring, 1, 0, &status);

          g_assert_cmpint (status, ==, MP_RING_DONE);
          size = GPOINTER_TO_UINT (g_queue_pop_head (&sizes));
          g_assert_cmpmem (g_bytes_get_data (messages->pdata[0], NULL),
                           g_bytes_get_size (messages->pdata[0]),
                           data,
                           size);
        }
    }
  while (!g_queue_is_empty (&sizes))
    {
      MpRingStatus status;
      g_autoptr (GPtrArray) messages = get (ring, 7, 0, &status);

      g_assert_cmpint (status, ==, MP_RING_DONE);
      for (guint i = 0; i < messages->len; i++)
        {
          guint32 size = GPOINTER_TO_UINT (g_queue_pop_head (&sizes));

          g_assert_cmpmem (g_bytes_get_data (messages->pdata[i], NULL),
                           g_bytes_get_size (messages->pdata[i]),
                           data,
                           size);
        }
    }
  g_assert_cmpuint (mp_ring_get_length (ring), ==, 0);
}

static void
test_chain (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  g_autoptr (MpRing) near_wrap = ring_new (0, 0);
  guint64 word = mp_ring_word (G_MAXUINT32 - 100, G_MAXUINT32 - 30000);

  g_test_summary ("Messages of all sizes through a chain of segments, and around 2^32");
  shuffle (ring, 100);
  shuffle (ring, 100 * 1000);
  shuffle (ring, 3 * 1000 * 1000);
  atomic_store (&near_wrap->shared->head, word);
  atomic_store (&near_wrap->shared->tail, word);
  atomic_store (&near_wrap->shared->head_cache, word);
  atomic_store (&near_wrap->shared->tail_cache, word);
  atomic_store (&near_wrap->shared->put_limit, mp_ring_position (word));
  atomic_store (&near_wrap->shared->classes[0].start, G_MAXUINT32 - 30000);
  shuffle (near_wrap, 100 * 1000);
}

static void
test_million (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  guint64 full;

  g_test_summary ("A million in, a million out, and the memory is given back");
  for (guint32 i = 0; i < 1000000; i++)
    g_assert_cmpint (put_number (ring, i), ==, MP_RING_DONE);
  g_assert_cmpuint (mp_ring_get_length (ring), ==, 1000000);
  full = get_memory (ring);
  g_assert_cmpuint (full, >=, 16 * 1000000);
  for (guint32 i = 0; i < 1000000; i++)
    g_assert_cmpuint (get_number (ring), ==, i);
  g_assert_cmpuint (mp_ring_get_length (ring), ==, 0);
  g_assert_cmpuint (get_memory (ring), <, 1024 * 1024);
  /* Soon after that some is kept, until somebody waits. */
  for (guint32 i = 0; i <= 50000; i++)
    g_assert_cmpint (put_number (ring, i), ==, MP_RING_DONE);
  for (guint32 i = 0; i < 50000; i++)
    g_assert_cmpuint (get_number (ring), ==, i);
  atomic_store (&ring->shared->trimmed_at, (guint64) g_get_monotonic_time ());
  g_assert_cmpuint (get_number (ring), ==, 50000);
  full = get_memory (ring);
  atomic_store (&ring->shared->trimmed_at, 0);
  mp_ring_tend (ring, FALSE);
  g_assert_cmpuint (get_memory (ring) + 100 * 1024, <, full);
}

static void
test_big (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  gsize size = 80 * 1000 * 1000;
  g_autofree guint8 *data = g_malloc0 (size);

  g_test_summary ("A message far bigger than any segment so far");
  data[size - 1] = 42;
  for (int i = 0; i < 3; i++)
    {
      MpRingStatus status;
      g_autoptr (GPtrArray) messages = NULL;

      put_number (ring, 1);
      g_assert_cmpint (put (ring, data, size, 0, 0), ==, MP_RING_DONE);
      g_assert_cmpuint (get_number (ring), ==, 1);
      messages = get (ring, 1, 0, &status);
      g_assert_cmpint (status, ==, MP_RING_DONE);
      g_assert_cmpuint (g_bytes_get_size (messages->pdata[0]), ==, size);
      g_assert_cmpint (((const guint8 *) g_bytes_get_data (messages->pdata[0], NULL))[size - 1],
                       ==,
                       42);
    }
}

/* Waiting */

static void
on_signal (int number)
{
}

static int
wait_interrupted (gpointer data)
{
  struct sigaction action = { .sa_handler = on_signal };

  sigaction (SIGUSR1, &action, NULL);
  return mp_ring_wait (data, G_IO_IN, MP_DEADLINE_NEVER) == MP_RING_INTERRUPTED ? 0 : 1;
}

static void
test_interrupted (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  GPid pid = test_fork (wait_interrupted, ring);

  g_test_summary ("A signal handler ends the wait");
  while ((guint32) atomic_load (&ring->shared->getters.waiters) == 0)
    g_thread_yield ();
  test_wait_state (pid, 'S');
  g_assert_no_errno (kill (pid, SIGUSR1));
  g_assert_cmpint (test_join (pid), ==, 0);
  g_assert_cmpuint (atomic_load (&ring->shared->getters.waiters), ==, 0);
}

static void
test_wait (void)
{
  g_autoptr (MpRing) ring = ring_new (1, 0);
  gint64 start = g_get_monotonic_time ();

  g_test_summary ("Waiting for a message and for room");
  g_assert_cmpint (mp_ring_wait (ring, G_IO_OUT, 0), ==, MP_RING_DONE);
  g_assert_cmpint (mp_ring_wait (ring, G_IO_IN, 0), ==, MP_RING_TIMED_OUT);
  g_assert_cmpint (mp_ring_wait (ring, G_IO_IN, mp_deadline_new (20000)), ==, MP_RING_TIMED_OUT);
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 20000);
  put_number (ring, 1);
  g_assert_cmpint (mp_ring_wait (ring, G_IO_IN, MP_DEADLINE_NEVER), ==, MP_RING_DONE);
  g_assert_cmpint (mp_ring_wait (ring, G_IO_OUT, mp_deadline_new (20000)), ==, MP_RING_TIMED_OUT);
  mp_ring_close (ring, MP_QUEUE_SIDES_PUT);
  g_assert_cmpint (mp_ring_wait (ring, G_IO_OUT, MP_DEADLINE_NEVER), ==, MP_RING_CLOSED);
  g_assert_cmpint (mp_ring_wait (ring, G_IO_IN, MP_DEADLINE_NEVER), ==, MP_RING_DONE);
  get_number (ring);
  g_assert_cmpint (mp_ring_wait (ring, G_IO_IN, MP_DEADLINE_NEVER), ==, MP_RING_CLOSED);
}

static int
sleep_in_get (gpointer data)
{
  return mp_ring_wait (data, G_IO_IN, MP_DEADLINE_NEVER) == MP_RING_DONE ? 0 : 1;
}

static gboolean
refuse (gpointer user_data,
        guint32 seq,
        guint32 n_ready,
        MpCodec codec,
        const guint8 *data,
        gsize length)
{
  return FALSE;
}

static int
refuse_one (gpointer data)
{
  MpRingStatus status = mp_ring_take (data, 1, 0, refuse, NULL, mp_deadline_new (FAR), NULL, NULL);

  return status == MP_RING_REFUSED ? 0 : 1;
}

static int
only_wait (gpointer data)
{
  return mp_ring_wait (data, G_IO_IN, mp_deadline_new (FAR)) == MP_RING_DONE ? 0 : 1;
}

static int
take_one (gpointer data)
{
  g_autoptr (GPtrArray) messages = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  MpRingStatus status = mp_ring_get (data, 1, 0, collect, messages, mp_deadline_new (FAR), NULL);

  return status == MP_RING_DONE ? 0 : 1;
}

typedef int (*Body) (gpointer data);

static const Body refuse_one_func = refuse_one;
static const Body only_wait_func = only_wait;

static void
test_pass_on (gconstpointer data)
{
  const Body *first = data;
  g_autoptr (MpRing) ring = ring_new (0, 0);
  GPid leaver, taker;
  gint64 start;

  g_test_summary ("Who is woken and takes nothing leaves the wake to the next one");
  /* The kernel wakes them in the order in which they fell asleep. */
  leaver = test_fork (*first, ring);
  test_wait_state (leaver, 'S');
  taker = test_fork (take_one, ring);
  test_wait_state (taker, 'S');
  start = g_get_monotonic_time ();
  g_assert_cmpint (put_number (ring, 1), ==, MP_RING_DONE);
  g_assert_cmpint (test_join (leaver), ==, 0);
  g_assert_cmpint (test_join (taker), ==, 0);
  g_assert_cmpint (g_get_monotonic_time () - start, <, test_soon ());
}

static void
test_dead_sleepers (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  GPid pid;

  g_test_summary ("Killed sleepers stay in the count for a while, and do no harm");
  for (int i = 0; i < 10; i++)
    {
      guint32 before = (guint32) atomic_load (&ring->shared->getters.waiters);

      pid = test_fork (sleep_in_get, ring);
      while ((guint32) atomic_load (&ring->shared->getters.waiters) == before)
        g_thread_yield ();
      test_wait_state (pid, 'S');
      test_kill (pid);
    }
  g_assert_cmpuint ((guint32) atomic_load (&ring->shared->getters.waiters), ==, 10);
  for (guint32 i = 0; i < 100; i++)
    put_number (ring, i);
  g_assert_cmpuint ((guint32) atomic_load (&ring->shared->getters.waiters), ==, 0);
  for (guint32 i = 0; i < 100; i++)
    g_assert_cmpuint (get_number (ring), ==, i);
  pid = test_fork (sleep_in_get, ring);
  test_wait_state (pid, 'S');
  put_number (ring, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
}

/* Hostile memory */

static void
assert_stays_sane (MpRing *ring)
{
  g_autofree guint8 *data = g_malloc0 (3000);

  /* Whatever the answer is: no crash, no endless loop. */
  for (int i = 0; i < 3; i++)
    {
      MpRingStatus status;
      gsize length;
      guint codec;

      put (ring, data, (gsize) i * 1000, 0, 0);
      mp_ring_put_quickly (ring, data, 16, MP_CODEC_RAW);
      mp_ring_get_quickly (ring, data, 3000, &length, &codec);
      g_ptr_array_unref (get (ring, 3, 1000000, &status));
      mp_ring_get_length (ring);
      mp_ring_get_used_bytes (ring);
      mp_ring_wait (ring, G_IO_OUT, 0);
    }
  mp_ring_poke (ring);
}

static void
test_corrupt (void)
{
  gsize begin = G_STRUCT_OFFSET (MpRingShared, put_lock), end = sizeof (MpRingShared);

  g_test_summary ("Any nonsense in the shared words is an error at most");
  for (int round = 0; round < 3000; round++)
    {
      g_autoptr (MpRing) ring = ring_new (round % 2 == 0 ? 0 : 100, round % 3 == 0 ? 5000 : 0);
      guint32 *words = (guint32 *) (gpointer) ring->shared;

      for (guint32 i = 0; i < 20; i++)
        put_number (ring, i);
      for (int i = 0; i < g_test_rand_int_range (1, 6); i++)
        {
          gsize at = (gsize) g_test_rand_int_range ((gint32) begin / 4, (gint32) end / 4);

          words[at] = (guint32) g_test_rand_int () % (g_test_rand_bit () ? G_MAXUINT32 : 20u);
        }
      /* Who holds the lock of a hostile peer waits: that is not the point here. */
      atomic_store (&ring->shared->put_lock, 0);
      atomic_store (&ring->shared->get_lock, 0);
      assert_stays_sane (ring);
    }
}

static void
test_corrupt_message (void)
{
  static const guint32 lengths[] = { 5, 1000, 100000, 0x7fffffff, 0xfffffff8, 0xffffffff };

  g_test_summary ("A message that says to be longer than what was put");
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (MpRing) ring = ring_new (0, 0);
      guint32 *header = (guint32 *) (gpointer) atomic_load (&ring->maps[0]);
      MpRingStatus status;

      put (ring, "abc", 4, 0, 0);
      header[0] = lengths[i] == 5 ? 9 : lengths[i];
      g_ptr_array_unref (get (ring, 1, 0, &status));
      g_assert_cmpint (status, ==, MP_RING_CORRUPT);
      header[0] = 4;
      header[1] = 1000;
      g_ptr_array_unref (get (ring, 1, 0, &status));
      g_assert_cmpint (status, ==, MP_RING_CORRUPT);
      header[1] = MP_CODEC_RAW;
      g_ptr_array_unref (get (ring, 1, 0, &status));
      g_assert_cmpint (status, ==, MP_RING_DONE);
    }
}

static void
test_punched (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 0);
  MpRingStatus status;

  g_test_summary ("Memory that a peer punched away reads as empty messages, and does not trap");
  put_number (ring, 1);
  mp_segment_punch (&ring->segment, MP_RING_DATA_OFFSET, 256 * 1024);
  g_ptr_array_unref (get (ring, 1, 0, &status));
  g_assert_cmpint (status, ==, MP_RING_DONE);
}

/* Sources */

typedef struct
{
  MpRing *ring;
  GMainLoop *loop;
  guint n_wanted;
  guint n_got;
} Reader;

static gboolean
read_one (gpointer user_data)
{
  Reader *self = user_data;
  MpRingStatus status;

  g_ptr_array_unref (get (self->ring, 1, 0, &status));
  if (status == MP_RING_DONE)
    self->n_got++;
  if (self->n_got < self->n_wanted && status != MP_RING_CLOSED)
    return G_SOURCE_CONTINUE;
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static guint
read_in_loop (MpRing *ring, guint n_wanted)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GMainLoop) loop = g_main_loop_new (context, FALSE);
  g_autoptr (GSource) source = mp_ring_source_new (ring, G_IO_IN);
  Reader reader = { .ring = ring, .loop = loop, .n_wanted = n_wanted };

  g_source_set_callback (source, read_one, &reader, NULL);
  g_source_attach (source, context);
  g_main_loop_run (loop);
  return reader.n_got;
}

static int
read_many (gpointer data)
{
  return read_in_loop (data, 10000) == 10000 ? 0 : 1;
}

static void
test_source (void)
{
  g_autoptr (MpRing) ring = ring_new (10, 0);
  GPid pid = test_fork (read_many, ring);

  g_test_summary ("A main loop in another process reads what a small ring gets");
  for (guint32 i = 0; i < 10000; i++)
    g_assert_cmpint (put (ring, &i, sizeof i, 0, FAR), ==, MP_RING_DONE);
  g_assert_cmpint (test_join (pid), ==, 0);
}

static int
read_one_of_many (gpointer data)
{
  return read_in_loop (data, 1) == 1 ? 0 : 1;
}

static int
read_then_stay_away (gpointer data)
{
  MpRing **rings = data;

  if (read_in_loop (rings[0], 1) != 1)
    return 1;
  /* A long handler: busy until it is told that the other one was not left asleep. */
  return mp_ring_wait (rings[1], G_IO_IN, mp_deadline_new (FAR)) == MP_RING_CLOSED ? 0 : 1;
}

/* Loops look for themselves after a second: a wake that is lost costs that. One
 * such round may be a slow machine, several are not. */
#define MAX_LATE 2

static void
test_two_sources (void)
{
  guint n_late = 0;

  g_test_summary ("While one loop is busy with a message, another one gets the next at once");
  for (int round = 0; round < 50; round++)
    {
      g_autoptr (MpRing) ring = ring_new (0, 0);
      g_autoptr (MpRing) end = ring_new (0, 0);
      MpRing *rings[] = { ring, end };
      GPid busy = test_fork (read_then_stay_away, rings), other;
      gint64 start;

      test_wait_state (busy, 'S');
      put_number (ring, 1);
      while (mp_ring_get_length (ring) > 0)
        g_thread_yield ();
      /* The first is in its handler. Whether the second is asleep already or
       * not, it must get what comes now, without the fallback of a second. */
      other = test_fork (read_one_of_many, ring);
      if (round % 2 == 0)
        test_wait_state (other, 'S');
      start = g_get_monotonic_time ();
      put_number (ring, 2);
      g_assert_cmpint (test_join (other), ==, 0);
      n_late += g_get_monotonic_time () - start >= test_soon ();
      mp_ring_close (end, MP_QUEUE_SIDES_PUT);
      g_assert_cmpint (test_join (busy), ==, 0);
    }
  g_assert_cmpuint (n_late, <=, MAX_LATE);
}

static void
test_two_sources_one_batch (void)
{
  const GOutputVector part = { .buffer = "x", .size = 1 };
  const MpRecord records[] = { { .parts = &part, .n_parts = 1 }, { .parts = &part, .n_parts = 1 } };
  guint n_late = 0;

  g_test_summary ("Two messages in one commit reach two loops that slept");
  for (int round = 0; round < 50; round++)
    {
      g_autoptr (MpRing) ring = ring_new (0, 0);
      g_autoptr (MpRing) end = ring_new (0, 0);
      MpRing *rings[] = { ring, end };
      GPid pids[2];
      gint64 start;

      for (int i = 0; i < 2; i++)
        {
          pids[i] = test_fork (read_then_stay_away, rings);
          test_wait_state (pids[i], 'S');
        }
      start = g_get_monotonic_time ();
      g_assert_cmpint (mp_ring_put (ring, records, 2, 0, 0), ==, MP_RING_DONE);
      while (mp_ring_get_length (ring) > 0)
        g_thread_yield ();
      n_late += g_get_monotonic_time () - start >= test_soon ();
      mp_ring_close (end, MP_QUEUE_SIDES_PUT);
      for (int i = 0; i < 2; i++)
        g_assert_cmpint (test_join (pids[i]), ==, 0);
    }
  g_assert_cmpuint (n_late, <=, MAX_LATE);
}

static gboolean
note_room (gpointer user_data)
{
  Reader *self = user_data;

  self->n_got++;
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static int
take_all_slowly (gpointer data)
{
  MpRing *ring = data;

  for (guint32 i = 0; i < 4; i++)
    get_number (ring);
  return 0;
}

static void
test_room (void)
{
  g_autoptr (MpRing) ring = ring_new (0, 64);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autofree char *big = g_malloc0 (56);
  const GOutputVector part = { .buffer = big, .size = 56 };
  const MpRecord record = { .parts = &part, .n_parts = 1 };
  g_autoptr (GSource) source = NULL;
  Reader reader = { .ring = ring, .loop = loop };
  GPid pid;

  g_test_summary ("A source for room is ready when there is enough for what is to be put");
  for (guint32 i = 0; i < 4; i++)
    g_assert_cmpint (put_number (ring, i), ==, MP_RING_DONE);
  source = mp_ring_source_new_for_put (ring, &record, 1, 0);
  g_source_set_callback (source, note_room, &reader, NULL);
  g_source_attach (source, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (reader.n_got, ==, 0);
  pid = test_fork (take_all_slowly, ring);
  g_main_loop_run (loop);
  g_assert_cmpuint (reader.n_got, ==, 1);
  g_assert_cmpint (put (ring, big, 56, 0, 0), ==, MP_RING_DONE);
  g_assert_cmpint (test_join (pid), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/ring/parts", test_parts);
  g_test_add_func ("/mp/ring/seq", test_seq);
  g_test_add_func ("/mp/ring/bounds", test_bounds);
  g_test_add_func ("/mp/ring/force", test_force);
  g_test_add_func ("/mp/ring/batch", test_batch);
  g_test_add_func ("/mp/ring/chain", test_chain);
  g_test_add_func ("/mp/ring/million", test_million);
  g_test_add_func ("/mp/ring/big", test_big);
  g_test_add_func ("/mp/ring/interrupted", test_interrupted);
  g_test_add_func ("/mp/ring/wait", test_wait);
  g_test_add_data_func ("/mp/ring/pass-on/refused", &refuse_one_func, test_pass_on);
  g_test_add_data_func ("/mp/ring/pass-on/only-waited", &only_wait_func, test_pass_on);
  g_test_add_func ("/mp/ring/dead-sleepers", test_dead_sleepers);
  g_test_add_func ("/mp/ring/corrupt", test_corrupt);
  g_test_add_func ("/mp/ring/corrupt-message", test_corrupt_message);
  g_test_add_func ("/mp/ring/punched", test_punched);
  g_test_add_func ("/mp/ring/source", test_source);
  g_test_add_func ("/mp/ring/two-sources", test_two_sources);
  g_test_add_func ("/mp/ring/two-sources-one-batch", test_two_sources_one_batch);
  g_test_add_func ("/mp/ring/room", test_room);
  return g_test_run ();
}
