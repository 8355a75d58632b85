/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Which memory long messages lie in, one after the other. */

#include "base/mp-micro-lock-private.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "channel/mp-store-private.h"
#include "libmp.h"
#include "test-util.h"

#define FAR (30 * G_USEC_PER_SEC)
#define LONG (256 * 1024)
/* See TURN_BYTES in mp-store.c. */
#define N_TURNS ((4 << 20) / LONG)

static void
put (MpQueue *queue, gsize length)
{
  g_autoptr (MpBuffer) buffer = mp_queue_loan (queue, length, NULL);
  gsize size;

  memset (mp_buffer_get_memory (buffer, &size), 1, length);
  g_assert_true (mp_queue_put_buffer (queue, buffer, MP_CODEC_RAW, FAR, NULL, NULL));
}

static gconstpointer
get_leased (MpQueue *queue)
{
  g_autoptr (MpLease) lease = mp_queue_get_leased (queue, FAR, NULL, NULL);
  g_autoptr (GBytes) bytes = mp_lease_get_bytes (lease);
  gconstpointer place = g_bytes_get_data (bytes, NULL);

  g_assert_true (mp_lease_ack (lease, NULL));
  return place;
}

/* Puts and gets @n_messages, so many at a time; in how many places they were. */
static guint
count_places (MpQueue *queue, guint n_messages, guint n_together, gsize length, gboolean leased)
{
  g_autoptr (GHashTable) places = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < n_messages; i += n_together)
    {
      MpBuffer *kept[N_TURNS] = { NULL };
      gsize size;

      for (guint j = 0; j < n_together; j++)
        put (queue, length);
      for (guint j = 0; j < n_together && leased; j++)
        g_hash_table_add (places, (gpointer) get_leased (queue));
      for (guint j = 0; j < n_together && !leased; j++)
        {
          kept[j] = mp_queue_get_buffer (queue, FAR, NULL, NULL);
          g_hash_table_add (places, (gpointer) mp_buffer_get_memory (kept[j], &size));
        }
      for (guint j = 0; j < n_together && !leased; j++)
        mp_buffer_unref (kept[j]);
    }
  return g_hash_table_size (places);
}

static void
assert_turns (MpQueue *queue, guint n_together, gboolean leased)
{
  MpStore *store = mp_ring_get_store (queue->ring, TRUE);
  guint n;

  count_places (queue, 40 * N_TURNS, n_together, LONG, leased);
  n = count_places (queue, 4 * N_TURNS, n_together, LONG, leased);
  g_test_message ("%u together: %u places", n_together, n);
  g_assert_cmpuint (n, >=, mp_micro_lock_may_spin () ? N_TURNS / 2 : 1);
  g_assert_cmpuint (mp_store_get_memory (store), <=, 9 << 20);
}

static void
test_together (void)
{
  g_test_summary ("Blocks take turns, however many messages are on their way");
  for (guint n_together = 1; n_together <= N_TURNS / 2; n_together *= 2)
    {
      g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

      assert_turns (queue, n_together, FALSE);
    }
}

static void
test_leased (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("Also those that are lent");
  assert_turns (queue, 1, TRUE);
}

static void
test_after_shorter_ones (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("Also after shorter ones");
  count_places (queue, 2000, 1, LONG / 8, FALSE);
  assert_turns (queue, 1, FALSE);
}

static void
test_again (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("Memory is used again: of the longest there is no more than is on its way");
  g_assert_cmpuint (count_places (queue, 20, 1, 32 * LONG, FALSE), ==, 1);
  g_assert_cmpuint (count_places (queue, 200, 1, LONG, FALSE), <=, N_TURNS);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/block-turns/together", test_together);
  g_test_add_func ("/block-turns/leased", test_leased);
  g_test_add_func ("/block-turns/after-shorter-ones", test_after_shorter_ones);
  g_test_add_func ("/block-turns/again", test_again);
  return g_test_run ();
}
