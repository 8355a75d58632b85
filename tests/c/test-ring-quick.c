/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The short way of small messages, mixed with all other ways into and out of a ring. */

#include <string.h>

#include "libmp.h"
#include "base/mp-clock-private.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-quick-private.h"
#include "test-util.h"

#define MAX_LENGTH 200

/* A queue, and what has to be in it. */
typedef struct
{
  MpQueue *queue;
  guint max_items;
  guint64 max_bytes;

  GQueue lengths; /* of what is in it */
  guint64 units;
  guint64 n_put;
  guint64 n_got;
} Model;

static MpQueue *
queue_new (guint max_items, guint64 max_bytes)
{
  g_autoptr (GError) error = NULL;
  MpQueue *queue = mp_queue_new (max_items, max_bytes, &error);

  g_assert_no_error (error);
  return queue;
}

static void
fill (guint8 *data, gsize length, guint64 number)
{
  for (gsize i = 0; i < length; i++)
    data[i] = (guint8) (number * 37 + i);
}

static gboolean
model_fits (const Model *self, guint64 units, guint n)
{
  guint64 bound = (self->max_bytes + MP_RING_UNIT - 1) / MP_RING_UNIT + 1;

  return (self->max_bytes == 0 || self->units + units <= bound) &&
         (self->max_items == 0 ||
          g_queue_get_length ((GQueue *) &self->lengths) + n <= self->max_items);
}

static void
model_push (Model *self, gsize length)
{
  g_queue_push_tail (&self->lengths, GSIZE_TO_POINTER (length));
  self->units += mp_ring_units_for (length);
  self->n_put++;
}

static void
model_check (Model *self, const guint8 *data, gsize length)
{
  guint8 expected[MAX_LENGTH];

  g_assert_false (g_queue_is_empty (&self->lengths));
  g_assert_cmpuint (length, ==, GPOINTER_TO_SIZE (g_queue_pop_head (&self->lengths)));
  fill (expected, length, self->n_got++);
  g_assert_cmpmem (data, length, expected, length);
  self->units -= mp_ring_units_for (length);
}

static void
put_one (Model *self)
{
  gsize length = (gsize) g_test_rand_int_range (0, g_test_rand_bit () ? MAX_LENGTH : 20);
  gboolean fits = model_fits (self, mp_ring_units_for (length), 1);
  /* Of exactly that size, so that reading more would be seen. */
  g_autofree guint8 *data = g_malloc (length);
  g_autoptr (GError) error = NULL;

  fill (data, length, self->n_put);
  if (mp_queue_put_payload (self->queue, data, length, MP_CODEC_RAW, 0, NULL, &error))
    {
      g_assert_true (fits);
      model_push (self, length);
      return;
    }
  g_assert_error (error, MP_ERROR, MP_ERROR_FULL);
  g_assert_false (fits);
}

/* Over all bounds, and by the long way. */
static void
put_by_force (Model *self)
{
  gsize length = (gsize) g_test_rand_int_range (0, MAX_LENGTH);
  guint8 data[MAX_LENGTH];
  const GOutputVector part = { .buffer = data, .size = length };
  const MpRecord record = { .parts = &part, .n_parts = 1, .codec = MP_CODEC_RAW };

  fill (data, length, self->n_put);
  g_assert_cmpint (mp_ring_put (self->queue->ring, &record, 1, MP_RING_PUT_FORCE, 0),
                   ==,
                   MP_RING_DONE);
  model_push (self, length);
}

static void
get_one (Model *self)
{
  g_autoptr (GError) error = NULL;
  const guint8 *data;
  gsize length;
  guint codec;
  int tried;

  if (g_test_rand_bit ())
    {
      data = mp_queue_get_payload (self->queue, 0, &length, &codec, NULL, &error);
      if (data == NULL)
        g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
    }
  else
    {
      data = mp_queue_try_get_payload (self->queue, &length, &tried);
      codec = (guint) tried;
    }
  if (data == NULL)
    {
      g_assert_true (g_queue_is_empty (&self->lengths));
      return;
    }
  g_assert_cmpuint (codec, ==, MP_CODEC_RAW);
  model_check (self, data, length);
}

static void
get_many (Model *self)
{
  gsize length, used;
  const guint8 *data = mp_queue_get_packed (self->queue, 3, 0, &length, NULL, NULL);
  guint32 header[1 + 2 * 3] = { 0 };

  if (data == NULL)
    {
      g_assert_true (g_queue_is_empty (&self->lengths));
      return;
    }
  memcpy (header, data, sizeof *header);
  g_assert_cmpuint (header[0], <=, 3);
  used = (1 + 2 * header[0]) * sizeof *header;
  memcpy (header, data, used);
  for (guint32 i = 0; i < header[0]; i++)
    {
      model_check (self, data + used, header[1 + i]);
      used += header[1 + i];
    }
  g_assert_cmpuint (used, ==, length);
}

/* As if so much had gone through already that the numbers soon start again at 0. */
static void
wind_up (MpRing *ring)
{
  MpRingShared *shared = ring->shared;
  guint64 word = mp_ring_word (G_MAXUINT32 - 1000, G_MAXUINT32 - 5000);

  atomic_store (&shared->head, word);
  atomic_store (&shared->tail, word);
  atomic_store (&shared->head_cache, word);
  atomic_store (&shared->tail_cache, word);
  atomic_store (&shared->put_limit, mp_ring_position (word));
  atomic_store (&shared->classes[0].start, mp_ring_position (word));
}

static void
mix (guint max_items, guint64 max_bytes, gboolean near_end, guint n)
{
  g_autoptr (MpQueue) queue = queue_new (max_items, max_bytes);
  Model model = { .queue = queue,
                  .max_items = max_items,
                  .max_bytes = max_bytes,
                  .lengths = G_QUEUE_INIT };

  if (near_end)
    wind_up (queue->ring);
  for (guint i = 0; i < n; i++)
    {
      /* It fills for a while, then it is drained for a while. */
      int choice = g_test_rand_int_range (0, 100) + (i / (n / 7) % 2 == 0 ? 5 : -5);

      if (choice < 45)
        get_one (&model);
      else if (choice < 50)
        get_many (&model);
      else if (choice < 98)
        put_one (&model);
      else
        put_by_force (&model);
      g_assert_cmpuint (mp_queue_get_length (queue), ==, g_queue_get_length (&model.lengths));
    }
  while (!g_queue_is_empty (&model.lengths))
    get_one (&model);
  g_assert_cmpuint (model.n_got, ==, model.n_put);
}

static void
test_mix (void)
{
  g_test_summary ("Every way in and out keeps order, bounds and bytes, around 2^32 too");
  for (int near_end = 0; near_end < 2; near_end++)
    {
      mix (0, 0, near_end, 100000);
      mix (1, 0, near_end, 20000);
      mix (7, 0, near_end, 20000);
      mix (0, 300, near_end, 20000);
      mix (0, 100000, near_end, 100000);
      mix (5, 200, near_end, 20000);
      mix (1000, 10000, near_end, 100000);
    }
}

static void
test_growth (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  MpRingShared *shared = queue->ring->shared;
  Model model = { .queue = queue, .lengths = G_QUEUE_INIT };

  g_test_summary ("The ring leaves its smallest segment, and comes back to it");
  for (int round = 0; round < 3; round++)
    {
      while (atomic_load (&shared->put_class) == 0)
        put_one (&model);
      for (int i = 0; i < 1000; i++)
        put_one (&model);
      while (!g_queue_is_empty (&model.lengths))
        get_one (&model);
      /* It does so at most every tenth of a second. */
      while (atomic_load (&shared->put_class) != 0)
        {
          put_one (&model);
          get_one (&model);
        }
      g_assert_cmpuint (atomic_load (&shared->get_class), ==, 0);
    }
}

/* How many units of sure room there are. */
static gint32
get_sure_room (MpRing *ring)
{
  return (gint32) (atomic_load (&ring->shared->put_limit) -
                   mp_ring_position (atomic_load (&ring->shared->head)));
}

static void
test_left (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  MpRing *ring = queue->ring;
  Model model = { .queue = queue, .lengths = G_QUEUE_INIT };
  guint8 *place;

  g_test_summary ("A producer dies when it has left the smallest segment, which had some room");
  while (model.units + 1000 < mp_ring_class_units (ring, 0))
    put_one (&model);
  g_assert_cmpint (get_sure_room (ring), >, 0);
  /* The lock may have come to somebody who gave it back without a put. */
  g_assert_cmpint (mp_micro_lock_acquire (&ring->shared->put_lock, MP_DEADLINE_NEVER),
                   ==,
                   MP_MICRO_LOCK_ACQUIRED);
  g_assert_cmpint (mp_ring_make_room (ring, atomic_load (&ring->shared->head), 5000, &place),
                   ==,
                   MP_RING_DONE);
  mp_micro_lock_release (&ring->shared->put_lock);
  g_assert_cmpuint (atomic_load (&ring->shared->put_class), !=, 0);
  g_assert_cmpint (get_sure_room (ring), <=, 0);
  for (int i = 0; i < 100; i++)
    put_one (&model);
  while (!g_queue_is_empty (&model.lengths))
    get_one (&model);
  g_assert_cmpuint (model.n_got, ==, model.n_put);
}

static void
test_limit (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  MpRing *ring = queue->ring;
  Model model = { .queue = queue, .lengths = G_QUEUE_INIT };

  g_test_summary ("What goes the long way does not leave an old limit behind");
  for (int i = 0; i < 100; i++)
    put_one (&model);
  g_assert_cmpint (get_sure_room (ring), >, 0);
  atomic_store (&ring->shared->put_limit,
                mp_ring_position (atomic_load (&ring->shared->head)) - 1000);
  put_by_force (&model);
  g_assert_cmpint (get_sure_room (ring), >, 0);
  while (!g_queue_is_empty (&model.lengths))
    get_one (&model);
}

static void
test_close (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);
  g_autoptr (GError) error = NULL;
  Model model = { .queue = queue, .lengths = G_QUEUE_INIT };

  g_test_summary ("Nothing is put after a close, but what there is can be taken");
  for (int i = 0; i < 10; i++)
    put_one (&model);
  mp_queue_close (queue);
  g_assert_false (mp_queue_put_payload (queue, NULL, 0, MP_CODEC_RAW, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  for (int i = 0; i < 10; i++)
    get_one (&model);
  g_assert_cmpuint (model.n_got, ==, 10);
}

static gpointer
get_empty (gpointer queue)
{
  g_autoptr (GError) error = NULL;
  gsize length = 1;

  g_assert_nonnull (mp_queue_get_payload (queue, 0, &length, NULL, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (length, ==, 0);
  return NULL;
}

static void
test_empty (void)
{
  g_autoptr (MpQueue) queue = queue_new (0, 0);

  g_test_summary ("The first message that a thread gets may be an empty one");
  g_assert_true (mp_queue_put_payload (queue, NULL, 0, MP_CODEC_RAW, 0, NULL, NULL));
  g_thread_join (g_thread_new ("first", get_empty, queue));
  g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
}

/* Every length that is copied without a call, at every place in a unit, and not a byte more. */
static void
test_copy (void)
{
  guint8 from[MP_RING_SMALL_LENGTH + 16], to[MP_RING_SMALL_LENGTH + 16];

  g_test_summary ("A copy has the bytes it should have, and touches no others");
  fill (from, sizeof from, 1);
  for (gsize offset = 0; offset < 8; offset++)
    for (gsize length = 0; length <= MP_RING_SMALL_LENGTH; length++)
      {
        memset (to, 0xee, sizeof to);
        mp_ring_copy_small (to + offset, from + 3, length);
        g_assert_cmpmem (to + offset, length, from + 3, length);
        for (gsize i = 0; i < sizeof to; i++)
          if (i < offset || i >= offset + length)
            g_assert_cmpuint (to[i], ==, 0xee);
      }
}

#define N_MESSAGES 200000

static int
put_all (gpointer user_data)
{
  for (guint32 i = 0; i < N_MESSAGES; i++)
    if (!mp_queue_put_payload (user_data,
                               (const guint8 *) &i,
                               sizeof i,
                               MP_CODEC_RAW,
                               -1,
                               NULL,
                               NULL))
      return 1;
  return 0;
}

static int
get_half (gpointer user_data)
{
  for (guint i = 0; i < N_MESSAGES; i++)
    {
      gsize length;
      const guint8 *data =
        mp_queue_get_payload (user_data, 20 * G_USEC_PER_SEC, &length, NULL, NULL, NULL);

      if (data == NULL || length != sizeof (guint32))
        return 1;
    }
  return 0;
}

static void
test_crowd (void)
{
  const guint64 bounds[] = { 0, 100, 100000 };

  g_test_summary ("Two producers and two consumers; nobody who sleeps is forgotten");
  for (guint i = 0; i < G_N_ELEMENTS (bounds); i++)
    {
      g_autoptr (MpQueue) queue = queue_new (0, bounds[i]);
      pid_t pids[4];

      for (int j = 0; j < 4; j++)
        pids[j] = test_fork (j < 2 ? get_half : put_all, queue);
      for (int j = 0; j < 4; j++)
        g_assert_cmpint (test_join (pids[j]), ==, 0);
      g_assert_cmpuint (mp_queue_get_length (queue), ==, 0);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/ring-quick/mix", test_mix);
  g_test_add_func ("/mp/ring-quick/growth", test_growth);
  g_test_add_func ("/mp/ring-quick/left", test_left);
  g_test_add_func ("/mp/ring-quick/limit", test_limit);
  g_test_add_func ("/mp/ring-quick/close", test_close);
  g_test_add_func ("/mp/ring-quick/empty", test_empty);
  g_test_add_func ("/mp/ring-quick/copy", test_copy);
  g_test_add_func ("/mp/ring-quick/crowd", test_crowd);
  return g_test_run ();
}
