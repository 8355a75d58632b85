/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/mp-copy-private.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "channel/mp-store-layout-private.h"
#include "libmp.h"
#include "test-util.h"

#define FAR (30 * G_USEC_PER_SEC)
#define LONG (256 * 1024)

static guint8
byte_of (gsize i, guint seed)
{
  return (guint8) (i * 31 + (i >> 12) + seed);
}

static void
fill (guint8 *data, gsize length, guint seed)
{
  for (gsize i = 0; i < length; i++)
    data[i] = byte_of (i, seed);
}

static gboolean
is_filled (const guint8 *data, gsize length, guint seed)
{
  for (gsize i = 0; i < length; i++)
    {
      if (data[i] != byte_of (i, seed))
        return FALSE;
    }
  return TRUE;
}

static void
put (MpQueue *queue, gsize length, guint seed)
{
  g_autofree guint8 *data = g_malloc (length);
  g_autoptr (GError) error = NULL;

  fill (data, length, seed);
  mp_queue_put_payload (queue, data, length, MP_CODEC_RAW, FAR, NULL, &error);
  g_assert_no_error (error);
}

static MpBuffer *
get (MpQueue *queue, gsize length, guint seed)
{
  g_autoptr (GError) error = NULL;
  MpBuffer *buffer = mp_queue_get_buffer (queue, FAR, NULL, &error);
  gsize found;

  g_assert_no_error (error);
  g_assert_true (is_filled (mp_buffer_get_memory (buffer, &found), length, seed));
  g_assert_cmpuint (found, ==, length);
  return buffer;
}

static guint
count_blocks (MpQueue *queue)
{
  return atomic_load (&queue->ring->shared->blocks_used);
}

/* How many are not free, dead owners aside. */
static guint
count_busy (MpQueue *queue)
{
  MpStore *store = mp_ring_get_store (queue->ring, FALSE);
  guint n = 0;

  g_assert_nonnull (store);
  mp_queue_poke (queue);
  for (int state = MP_BLOCK_OWNED; state <= MP_BLOCK_ACKING; state++)
    n += mp_store_count (store, (MpBlockState) state, FALSE) +
         mp_store_count (store, (MpBlockState) state, TRUE);
  return n;
}

static void
test_sizes (void)
{
  static const gsize sizes[] = { 0,     1,          4096,        32767,          32768,
                                 65537, 256 * 1024, 1024 * 1024, 8 * 1024 * 1024 };
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  for (guint round = 0; round < 3; round++)
    {
      for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
        put (queue, sizes[i], (guint) i + round);
      g_assert_cmpuint (mp_queue_get_length (queue), ==, G_N_ELEMENTS (sizes));
      for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
        {
          gsize length = 0;
          g_autoptr (MpBuffer) buffer = NULL;

          g_assert_true (mp_queue_peek_length (queue, &length, NULL));
          g_assert_cmpuint (length, ==, sizes[i]);
          buffer = get (queue, sizes[i], (guint) i + round);
          g_assert_cmpint (mp_buffer_get_shared (buffer), ==, sizes[i] >= MP_RING_BLOCK_LENGTH);
        }
    }
  g_assert_cmpuint (count_blocks (queue), <=, 5);
  g_assert_cmpuint (count_busy (queue), ==, 0);
}

static void
test_pieces (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("What is copied into memory that was used before, and out of it, in pieces");
  for (gsize length = 3 * MP_COPY_PIECE + 1; length + 1 >= 3 * MP_COPY_PIECE; length--)
    {
      g_autoptr (GError) error = NULL;
      guint seed = (guint) (length % 251), codec;
      const guint8 *data;
      gsize found;

      put (queue, length, seed);
      data = mp_queue_get_payload (queue, FAR, &found, &codec, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (found, ==, length);
      g_assert_true (is_filled (data, length, seed));
    }
  g_assert_cmpuint (count_blocks (queue), ==, 1);
}

static void
test_kept (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GBytes) bytes = NULL;
  gsize length;
  const guint8 *data;

  g_test_summary ("The sender does not touch what somebody reads, also without the queue");
  put (queue, LONG, 1);
  bytes = mp_queue_get_bytes (queue, FAR, NULL, NULL, NULL);
  for (guint i = 2; i < 6; i++)
    {
      g_autoptr (MpBuffer) buffer = NULL;

      put (queue, LONG, i);
      buffer = get (queue, LONG, i);
    }
  g_assert_cmpuint (count_blocks (queue), ==, 2);
  g_assert_cmpuint (count_busy (queue), ==, 1);
  g_clear_object (&queue);
  data = g_bytes_get_data (bytes, &length);
  g_assert_true (is_filled (data, length, 1));
}

static void
test_loan (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL), other = mp_queue_new (0, 0, NULL);
  g_autoptr (MpBuffer) loan = mp_queue_loan (queue, LONG, NULL), taken = NULL, copy = NULL;
  g_autoptr (GError) error = NULL;
  guint8 *place, *data;
  gsize length;

  place = mp_buffer_get_memory (loan, &length);
  g_assert_cmpuint (length, ==, LONG);
  fill (place, length, 7);
  g_assert_true (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, FAR, NULL, NULL));
  g_assert_false (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT);
  /* Nobody but who has it uses a mapping; then it is used again. */
  g_clear_pointer (&loan, mp_buffer_unref);
  taken = get (queue, LONG, 7);
  data = mp_buffer_get_memory (taken, &length);
  g_assert_true (data == place);

  /* On to another queue, and still readable here. */
  g_assert_true (mp_queue_put_buffer (other, taken, MP_CODEC_RAW, FAR, NULL, NULL));
  data[0] ^= 1;
  copy = get (other, LONG, 7);
  g_assert_cmpuint (count_busy (queue), ==, 1);
  g_clear_pointer (&taken, mp_buffer_unref);
  g_assert_cmpuint (count_busy (queue), ==, 0);
}

typedef struct
{
  MpQueue *queue;
  MpBuffer *buffer;
  guint n_put, n_refused;
} Racing;

static gpointer
put_racing (gpointer data)
{
  Racing *self = data;
  g_autoptr (GError) error = NULL;

  if (mp_queue_put_buffer (self->queue, self->buffer, MP_CODEC_RAW, FAR, NULL, &error))
    g_atomic_int_inc (&self->n_put);
  else if (g_error_matches (error, MP_ERROR, MP_ERROR_INVALID_ARGUMENT))
    g_atomic_int_inc (&self->n_refused);
  return NULL;
}

static void
test_two_threads (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL), full = mp_queue_new (1, 0, NULL);
  g_autoptr (MpBuffer) waiting = mp_queue_loan (full, LONG, NULL), taken = NULL;
  Racing racing = { .queue = full, .buffer = waiting };
  GThread *thread;

  g_test_summary ("Two threads that put one buffer: one does, the other is told");
  for (guint i = 1; i <= 300; i++)
    {
      g_autoptr (MpBuffer) loan = mp_queue_loan (queue, LONG, NULL), got = NULL;
      Racing both = { .queue = queue, .buffer = loan };

      thread = g_thread_new ("put", put_racing, &both);
      put_racing (&both);
      g_thread_join (thread);
      g_assert_cmpuint (both.n_put, ==, 1);
      g_assert_cmpuint (both.n_refused, ==, 1);
      got = mp_queue_get_buffer (queue, 0, NULL, NULL);
      g_assert_nonnull (got);
    }
  put (full, LONG, 1);
  thread = g_thread_new ("put", put_racing, &racing);
  while ((guint32) atomic_load (&full->ring->shared->putters.waiters) == 0)
    g_thread_yield ();
  put_racing (&racing);
  g_assert_cmpuint (racing.n_refused, ==, 1);
  taken = get (full, LONG, 1);
  g_thread_join (thread);
  g_assert_cmpuint (racing.n_put, ==, 1);
}

static void
test_unused_loans (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (1, 0, NULL);
  g_autoptr (MpBuffer) loan = NULL;
  g_autoptr (GError) error = NULL;

  put (queue, LONG, 1);
  loan = mp_queue_loan (queue, LONG, NULL);
  g_assert_false (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_FULL);
  g_clear_error (&error);
  g_assert_false (
    mp_queue_put_payload (queue, (const guint8 *) "", 0, MP_CODEC_RAW, 1000, NULL, NULL));
  g_clear_pointer (&loan, mp_buffer_unref);
  g_assert_cmpuint (count_busy (queue), ==, 1);
  mp_queue_close (queue);
  loan = mp_queue_loan (queue, LONG, NULL);
  g_assert_false (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 1);
  g_clear_pointer (&loan, mp_buffer_unref);
  g_assert_cmpuint (count_busy (queue), ==, 0);
}

static void
test_bounded_by_bytes (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 2 * LONG, NULL);
  g_autoptr (MpBuffer) loan = mp_queue_loan (queue, LONG, NULL), taken = NULL;
  gsize length;

  g_test_summary ("What the bound counts is what the queue holds: long messages are copied");
  fill (mp_buffer_get_memory (loan, &length), LONG, 3);
  g_assert_false (mp_buffer_get_shared (loan));
  g_assert_true (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, FAR, NULL, NULL));
  taken = get (queue, LONG, 3);
  g_assert_false (mp_buffer_get_shared (taken));
  g_assert_cmpuint (count_blocks (queue), ==, 0);
}

static void
test_whole_pages (void)
{
  static const gsize lengths[] = { 1, 4000, 70000, 600001 };
  const guint32 page = (guint32) mp_segment_get_page_size () / MP_RING_UNIT;

  g_test_summary ("The memory of a ring grows by whole pages, which only can be mapped at once");
  for (gsize i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (MpQueue) queue = mp_queue_new (0, 4000000, NULL);
      MpRingShared *shared = queue->ring->shared;

      for (gsize n = 0; n < MIN (3900000 / (lengths[i] + 16), 20000); n++)
        {
          put (queue, lengths[i], 0);
          g_assert_cmpuint (atomic_load (&shared->put_backed) % page, ==, 0);
        }
      g_assert_cmpuint (atomic_load (&shared->put_backed), >, 0);
    }
}

static void
test_values (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autofree guint8 *data = g_malloc (LONG);
  g_autoptr (GVariant) first = NULL, second = NULL;
  GVariant *values[2];
  g_autofree GVariant **got = NULL;
  gsize n;

  g_test_summary ("Variants, one by one and many, of which some are long");
  fill (data, LONG, 9);
  first = g_variant_ref_sink (
    g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, data, LONG, sizeof (guint8)));
  g_assert_true (mp_queue_put (queue, first, FAR, NULL, NULL));
  second = mp_queue_get (queue, FAR, NULL, NULL);
  g_assert_true (g_variant_equal (first, second));
  g_clear_pointer (&second, g_variant_unref);
  g_assert_cmpuint (count_busy (queue), ==, 0);

  for (guint i = 0; i < 10; i++)
    {
      values[0] = g_variant_new_uint32 (i);
      values[1] = first;
      g_assert_true (mp_queue_put_many (queue, values, 2, FAR, NULL, NULL));
    }
  got = mp_queue_get_many (queue, 100, FAR, &n, NULL, NULL);
  g_assert_cmpuint (n, ==, 20);
  for (guint i = 0; i < n; i++)
    {
      if (i % 2 == 0)
        g_assert_cmpuint (g_variant_get_uint32 (got[i]), ==, i / 2);
      else
        g_assert_true (g_variant_equal (first, got[i]));
      g_variant_unref (got[i]);
    }
  g_assert_cmpuint (count_busy (queue), ==, 0);
}

static MpQueue *held;

static int
hold (gpointer data)
{
  g_autoptr (MpBuffer) buffer = get (data, LONG, 1), loan = mp_queue_loan (data, LONG, NULL);

  if (buffer == NULL || loan == NULL)
    return 1;
  put (held, 1, 0);
  pause ();
  return 0;
}

static void
test_killed_holder (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("What a killed process had taken or borrowed comes back, once");
  held = mp_queue_new (0, 0, NULL);
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr (MpBuffer) ready = NULL;
      GPid pid;

      put (queue, LONG, 1);
      pid = test_fork (hold, queue);
      ready = mp_queue_get_buffer (held, FAR, NULL, NULL);
      g_assert_cmpuint (count_busy (queue), ==, 2);
      kill (pid, SIGKILL);
      test_join (pid);
      g_assert_cmpuint (count_busy (queue), ==, 0);
    }
  /* Blocks take turns. */
  g_assert_cmpuint (count_blocks (queue), <=, (4 << 20) / LONG);
  g_clear_object (&held);
}

static void
test_killed_holder_beside_puts (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  gint64 end = g_get_monotonic_time () + FAR;
  g_autoptr (MpBuffer) ready = NULL;
  MpStore *store;
  GPid pid;

  g_test_summary ("What a killed process had comes back also where nobody ever waits");
  held = mp_queue_new (0, 0, NULL);
  put (queue, LONG, 1);
  pid = test_fork (hold, queue);
  ready = mp_queue_get_buffer (held, FAR, NULL, NULL);
  store = mp_ring_get_store (queue->ring, FALSE);
  g_assert_cmpuint (mp_store_count (store, MP_BLOCK_TAKEN, FALSE), ==, 1);
  kill (pid, SIGKILL);
  test_join (pid);
  while (mp_store_count (store, MP_BLOCK_TAKEN, FALSE) != 0)
    {
      g_autoptr (MpBuffer) buffer = NULL;

      g_assert_cmpint (g_get_monotonic_time (), <, end);
      put (queue, LONG, 2);
      buffer = get (queue, LONG, 2);
    }
  g_clear_object (&held);
}

static int
fork_holder (gpointer data)
{
  MpBuffer *buffer = data;

  /* This one's last reference, but not this one's block. */
  mp_buffer_unref (buffer);
  return 0;
}

static void
test_forked (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpBuffer) buffer = NULL;
  g_autoptr (GBytes) bytes = NULL;

  put (queue, LONG, 5);
  buffer = get (queue, LONG, 5);
  g_assert_cmpint (test_join (test_fork (fork_holder, buffer)), ==, 0);
  g_assert_cmpuint (count_busy (queue), ==, 1);
  put (queue, LONG, 6);
  bytes = mp_buffer_get_bytes (buffer);
  g_assert_true (is_filled (g_bytes_get_data (bytes, NULL), LONG, 5));
}

static void
test_memory_goes (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  MpStore *store;

  g_test_summary ("Of much memory, not more than some is kept for longer than some time");
  for (guint i = 0; i < 8; i++)
    {
      g_autoptr (MpBuffer) loan = mp_queue_loan (queue, 32 << 20, NULL);

      g_assert_true (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, FAR, NULL, NULL));
    }
  g_assert_cmpuint (mp_queue_drain (queue), ==, 8);
  store = mp_ring_get_store (queue->ring, FALSE);
  for (guint i = 0; i < 8; i++)
    mp_store_age (store, i, 3 * G_USEC_PER_SEC);
  mp_store_trim (store);
  g_assert_cmpuint (mp_store_get_memory (store), <=, 64 << 20);
  g_assert_cmpuint (mp_store_get_memory (store), >, 0);
}

#define BURST 8
#define EACH ((gsize) 32 << 20)

static guint64
get_file_memory (MpQueue *queue)
{
  struct stat status;

  g_assert_no_errno (fstat (queue->ring->segment.fd, &status));
  return (guint64) status.st_blocks * 512;
}

static void
burst (MpQueue *queue)
{
  for (guint i = 0; i < BURST; i++)
    {
      g_autoptr (MpBuffer) loan = mp_queue_loan (queue, EACH, NULL);

      g_assert_true (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, FAR, NULL, NULL));
    }
  g_assert_cmpuint (get_file_memory (queue), >=, BURST * EACH);
  for (guint i = 0; i < BURST; i++)
    {
      g_autoptr (MpBuffer) taken = mp_queue_get_buffer (queue, 0, NULL, NULL);

      g_assert_nonnull (taken);
    }
}

static void
test_burst (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  MpStore *store;

  g_test_summary ("What a burst has left is given back by whoever takes the last message, but "
                  "not each time");
  burst (queue);
  g_assert_cmpuint (get_file_memory (queue), <=, (BURST / 2 + 1) * EACH);
  burst (queue);
  g_assert_cmpuint (get_file_memory (queue), >=, BURST * EACH);
  store = mp_ring_get_store (queue->ring, FALSE);
  atomic_fetch_sub (&store->shared->emptied_at, 3 * G_USEC_PER_SEC);
  put (queue, EACH, 1);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 1);
  g_assert_cmpuint (get_file_memory (queue), <=, (BURST / 2 + 1) * EACH);
}

static int
use_limited (gpointer data)
{
  const struct rlimit limit = { 1 << 20, 1 << 20 };
  g_autoptr (MpQueue) late = NULL;
  g_autoptr (MpBuffer) buffer = NULL;
  MpQueue *queue = data;

  setrlimit (RLIMIT_FSIZE, &limit);
  put (queue, LONG, 4);
  buffer = get (queue, LONG, 4);
  g_clear_pointer (&buffer, mp_buffer_unref);
  /* Without blocks, the ring does it. */
  late = mp_queue_new (0, 0, NULL);
  put (late, LONG / 4, 4);
  buffer = get (late, LONG / 4, 4);
  return mp_buffer_get_shared (buffer) ? 1 : 0;
}

static void
test_file_size_limit (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpBuffer) buffer = NULL;

  put (queue, LONG, 1);
  buffer = get (queue, LONG, 1);
  g_assert_cmpint (test_join (test_fork (use_limited, queue)), ==, 0);
}

typedef struct
{
  MpBuffer *taken;
  MpBuffer *loan;
  int to_parent[2];
  int to_child[2];
} Split;

static void
pass (const int *pipe)
{
  g_assert_cmpint (write (pipe[1], "x", 1), ==, 1);
}

static void
await (const int *pipe)
{
  char byte;

  g_assert_cmpint (read (pipe[0], &byte, 1), ==, 1);
}

static int
write_as_child (gpointer data)
{
  Split *split = data;
  gsize length;
  guint8 *memory = mp_buffer_get_memory (split->taken, &length);

  memset (mp_buffer_get_memory (split->loan, &length), 0, 4096);
  memset (memory, 1, 4096);
  pass (split->to_parent);
  await (split->to_child);
  for (gsize i = 0; i < LONG; i++)
    {
      if (memory[i] != (i < 4096 ? 1 : byte_of (i, 5)))
        return 1;
    }
  /* It is private still, and not for what this process sends. */
  mp_buffer_unref (split->taken);
  return 0;
}

static void
test_forked_is_apart (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpBuffer) last = NULL;
  Split split = { 0 };
  gsize length;
  GPid pid;

  g_test_summary ("A child of fork() has what its parent has taken as it was then, and its own");
  g_assert_no_errno (pipe (split.to_parent));
  g_assert_no_errno (pipe (split.to_child));
  put (queue, LONG, 5);
  split.taken = get (queue, LONG, 5);
  split.loan = mp_queue_loan (queue, LONG, NULL);
  fill (mp_buffer_get_memory (split.loan, &length), LONG, 7);
  pid = test_fork (write_as_child, &split);
  await (split.to_parent);
  g_assert_true (is_filled (mp_buffer_get_memory (split.taken, &length), LONG, 5));
  memset (mp_buffer_get_memory (split.taken, &length), 2, LONG);
  g_assert_true (mp_queue_put_buffer (queue, split.loan, MP_CODEC_RAW, FAR, NULL, NULL));
  mp_buffer_unref (get (queue, LONG, 7));
  mp_buffer_unref (split.taken);
  mp_buffer_unref (split.loan);
  g_assert_cmpuint (count_busy (queue), ==, 0);
  for (guint i = 0; i < 10; i++)
    put (queue, LONG, i);
  for (guint i = 0; i < 10; i++)
    mp_buffer_unref (get (queue, LONG, i));
  pass (split.to_child);
  g_assert_cmpint (test_join (pid), ==, 0);
  /* What is copied once is as any other memory. */
  put (queue, LONG, 8);
  last = get (queue, LONG, 8);
  g_assert_cmpint (test_join (test_fork (fork_holder, last)), ==, 0);
  g_assert_true (mp_queue_put_buffer (queue, last, MP_CODEC_RAW, FAR, NULL, NULL));
  mp_buffer_unref (get (queue, LONG, 8));
  for (guint i = 0; i < 2; i++)
    {
      close (split.to_parent[i]);
      close (split.to_child[i]);
    }
}

static gpointer
count_up (gpointer data)
{
  guint8 *memory = data;
  guint64 n = 0;

  do
    {
      n++;
      for (gsize i = 0; i < LONG; i += 4096)
        *(volatile guint64 *) (gpointer) &memory[i] = n;
      for (gsize i = 0; i < LONG; i += 4096)
        g_assert_cmpuint (*(volatile guint64 *) (gpointer) &memory[i], ==, n);
    }
  while (*(volatile guint8 *) &memory[8] == 0);
  return NULL;
}

static int
do_nothing (gpointer data)
{
  return 0;
}

static void
test_forked_while_written (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  guint rounds = g_test_slow () ? 500 : 50;

  g_test_summary ("Nothing is lost of what another thread writes while the process forks");
  for (guint i = 0; i < rounds; i++)
    {
      g_autoptr (MpBuffer) buffer = NULL;
      GThread *thread;
      guint8 *memory;
      gsize length;

      put (queue, LONG, 0);
      buffer = get (queue, LONG, 0);
      memory = mp_buffer_get_memory (buffer, &length);
      memset (memory, 0, LONG);
      thread = g_thread_new ("writer", count_up, memory);
      while (*(volatile guint64 *) (gpointer) memory == 0)
        g_thread_yield ();
      g_assert_cmpint (test_join (test_fork (do_nothing, NULL)), ==, 0);
      *(volatile guint8 *) &memory[8] = 1;
      g_thread_join (thread);
    }
}

static void
test_hostile (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  const MpBlockRef bad[] = { { .index = MP_STORE_MAX_BLOCKS, .length = 10 },
                             { .index = 0, .generation = 77, .length = 10 },
                             { .index = 1, .length = G_MAXUINT64 },
                             { .index = 0, .length = 10 } };

  g_test_summary ("A message that names no block is corrupt, and no more");
  put (queue, LONG, 1);
  mp_buffer_unref (get (queue, LONG, 1));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (mp_ring_put_quickly (queue->ring,
                                          (const guint8 *) &bad[i],
                                          sizeof bad[i],
                                          (MpCodec) (MP_CODEC_RAW | MP_RING_IN_BLOCK)));
      g_assert_null (mp_queue_get_buffer (queue, 0, NULL, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
      g_clear_object (&queue);
      queue = mp_queue_new (0, 0, NULL);
      put (queue, LONG, 1);
      mp_buffer_unref (get (queue, LONG, 1));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/queue-buffers/sizes", test_sizes);
  g_test_add_func ("/queue-buffers/pieces", test_pieces);
  g_test_add_func ("/queue-buffers/kept", test_kept);
  g_test_add_func ("/queue-buffers/loan", test_loan);
  g_test_add_func ("/queue-buffers/two-threads", test_two_threads);
  g_test_add_func ("/queue-buffers/unused-loans", test_unused_loans);
  g_test_add_func ("/queue-buffers/bounded-by-bytes", test_bounded_by_bytes);
  g_test_add_func ("/queue-buffers/whole-pages", test_whole_pages);
  g_test_add_func ("/queue-buffers/values", test_values);
  g_test_add_func ("/queue-buffers/killed-holder", test_killed_holder);
  g_test_add_func ("/queue-buffers/killed-holder-beside-puts", test_killed_holder_beside_puts);
  g_test_add_func ("/queue-buffers/forked", test_forked);
  g_test_add_func ("/queue-buffers/forked-is-apart", test_forked_is_apart);
  g_test_add_func ("/queue-buffers/forked-while-written", test_forked_while_written);
  g_test_add_func ("/queue-buffers/memory-goes", test_memory_goes);
  g_test_add_func ("/queue-buffers/burst", test_burst);
  g_test_add_func ("/queue-buffers/file-size-limit", test_file_size_limit);
  g_test_add_func ("/queue-buffers/hostile", test_hostile);

  return g_test_run ();
}
