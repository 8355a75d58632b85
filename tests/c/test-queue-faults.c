/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Blocks and leases when a process dies at a bad instant, has no descriptors or no
 * memory left, or writes nonsense into what is shared. */

#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/mp-clock-private.h"
#include "channel/mp-queue-private.h"
#include "channel/mp-ring-layout-private.h"
#include "channel/mp-store-layout-private.h"
#include "libmp.h"
#include "test-util.h"

#define FAR (30 * G_USEC_PER_SEC)
#define LONG 100000
#define VERY_LONG (2 << 20)
#define BIG (16 << 20)

/* The first block that a queue ever has, the first time. */
static const MpBlockRef first_block = { .index = 0, .generation = 1, .length = LONG };

static void
put (MpQueue *queue, gsize length, guint8 fill)
{
  g_autofree guint8 *data = g_malloc (MAX (length, 1));
  g_autoptr (GError) error = NULL;

  memset (data, fill, length);
  mp_queue_put_payload (queue, data, length, MP_CODEC_RAW, FAR, NULL, &error);
  g_assert_no_error (error);
}

static gboolean
is_filled (const guint8 *data, gsize length, guint8 fill)
{
  for (gsize i = 0; i < length; i++)
    {
      if (data[i] != fill)
        return FALSE;
    }
  return TRUE;
}

static MpLease *
lease (MpQueue *queue, gint64 timeout, guint deliveries)
{
  g_autoptr (GError) error = NULL;
  MpLease *result = mp_queue_get_leased (queue, timeout, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (mp_lease_get_deliveries (result), ==, deliveries);
  return result;
}

/* Borrows the first block as far as the commit, and not further. */
static void
begin_lease (MpQueue *queue)
{
  const MpBlockMessage message = { .codec = MP_CODEC_RAW, .deliveries = 1 };
  MpRing *ring = queue->ring;
  MpStore *store = mp_ring_get_store (ring, FALSE);

  g_assert_cmpint (mp_ring_lock_get (ring, MP_DEADLINE_NEVER), ==, MP_RING_DONE);
  mp_store_set_message (store, &first_block, &message, FALSE);
  mp_store_set_seq (store, &first_block, mp_ring_get_taken (ring));
  g_assert_true (mp_store_take_queued (store, &first_block, MP_BLOCK_LEASING));
  atomic_store (&ring->shared->tail, atomic_load (&ring->shared->head));
}

static int
die_leasing (gpointer data)
{
  begin_lease (data);
  return 0;
}

static void
test_last_message (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) again = NULL;

  g_test_summary ("Who dies between the commit and the end of a lease owes it, also the last one");
  put (queue, LONG, 1);
  g_assert_cmpint (test_join (test_fork (die_leasing, queue)), ==, 0);
  again = lease (queue, FAR, 2);
  g_assert_true (mp_lease_ack (again, NULL));
  g_assert_true (mp_queue_join (queue, 0, NULL, NULL));
}

static MpQueue *ready;
static int started[2];

/* Runs @body until it calls stop(), which takes no lock: a thread can have one of a ring only. */
static GPid
start (int (*body) (gpointer data), gpointer data)
{
  GPid pid;
  char byte;

  g_assert_no_errno (pipe (started));
  pid = test_fork (body, data);
  g_assert_cmpint (read (started[0], &byte, 1), ==, 1);
  close (started[0]);
  close (started[1]);
  return pid;
}

static void G_GNUC_NORETURN
stop (void)
{
  if (write (started[1], "", 1) != 1)
    _exit (1);
  for (;;)
    pause ();
}

static int
stop_leasing (gpointer data)
{
  begin_lease (data);
  stop ();
}

static void
test_closed (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) again = NULL;
  g_autoptr (GError) error = NULL;
  GPid pid;

  g_test_summary ("A queue does not end while somebody is about to borrow its last message");
  put (queue, LONG, 1);
  mp_queue_close (queue);
  pid = start (stop_leasing, queue);
  g_assert_null (mp_queue_get_leased (queue, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
  test_kill (pid);
  again = lease (queue, FAR, 2);
  g_assert_true (mp_lease_ack (again, NULL));
  g_clear_error (&error);
  g_assert_null (mp_queue_get_leased (queue, FAR, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
}

static int
lease_and_die (gpointer data)
{
  return mp_queue_get_leased (data, FAR, NULL, NULL) != NULL ? 0 : 1;
}

static void
test_polling (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  gint64 end = g_get_monotonic_time () + FAR;
  MpLease *again = NULL;

  g_test_summary ("What the dead had comes back to those who never wait, too");
  put (queue, 10, 1);
  g_assert_cmpint (test_join (test_fork (lease_and_die, queue)), ==, 0);
  while (again == NULL && g_get_monotonic_time () < end)
    {
      again = mp_queue_get_leased (queue, 0, NULL, NULL);
      g_thread_yield ();
    }
  g_assert_nonnull (again);
  g_object_unref (again);
}

static int
die_acking (gpointer data)
{
  MpQueue *queue = data;
  MpLease *mine = mp_queue_get_leased (queue, FAR, NULL, NULL);

  return mine != NULL && mp_store_change (mp_ring_get_store (queue->ring, FALSE),
                                          &first_block,
                                          MP_BLOCK_LEASED,
                                          MP_BLOCK_ACKING)
           ? 0
           : 1;
}

static void
test_join_alone (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("Nobody but who joins is left to count what was acknowledged");
  put (queue, LONG, 1);
  g_assert_cmpint (test_join (test_fork (die_acking, queue)), ==, 0);
  g_assert_true (mp_queue_join (queue, FAR, NULL, NULL));
}

static void
test_closed_for_all (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (GError) error = NULL;
  MpQueueSides all = MP_QUEUE_SIDES_PUT | MP_QUEUE_SIDES_GET;

  g_test_summary ("What comes back when nobody may get anything any more is dropped");
  for (guint i = 0; i < 2; i++)
    {
      put (queue, 10, 1);
      g_assert_cmpint (test_join (test_fork (lease_and_die, queue)), ==, 0);
    }
  mp_queue_close_sides (queue, all);
  g_assert_null (mp_queue_get_buffer (queue, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CLOSED);
  g_assert_true (mp_queue_join (queue, FAR, NULL, NULL));
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 0);
}

static gboolean
die_taking (gpointer user_data,
            guint32 seq,
            guint32 n_ready,
            MpCodec codec,
            const guint8 *data,
            gsize length)
{
  _exit (0);
}

static int
die_looking (gpointer data)
{
  mp_ring_take (((MpQueue *) data)->ring, 1, 0, die_taking, NULL, MP_DEADLINE_NOW, NULL, NULL);
  return 1;
}

static void
test_returned (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpLease) first = NULL, again = NULL;

  g_test_summary ("Who dies while it looks at what came back takes nothing away");
  put (queue, 10, 1);
  first = lease (queue, FAR, 1);
  g_assert_true (mp_lease_nack (first, NULL));
  g_assert_cmpint (test_join (test_fork (die_looking, queue)), ==, 0);
  again = lease (queue, FAR, 3);
}

static void
test_empty (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpBuffer) loan = mp_queue_loan (queue, 0, NULL);
  g_autoptr (MpBuffer) buffer = NULL;
  gsize length = 1;
  int codec = 0;

  g_test_summary ("An empty message in a block is no corrupt one");
  g_assert_true (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, FAR, NULL, NULL));
  g_assert_null (mp_queue_try_get_payload (queue, &length, &codec));
  g_assert_cmpint (codec, ==, -4);
  buffer = mp_queue_get_buffer (queue, 0, NULL, NULL);
  g_assert_cmpuint (mp_buffer_get_size (buffer), ==, 0);
}

static int
use_after_parent (gpointer data)
{
  MpQueue *queue = ((gpointer *) data)[0];
  MpBuffer *inherited = ((gpointer *) data)[1];
  /* Its parent has let go of it. */
  g_autoptr (MpBuffer) gone = mp_queue_get_buffer (ready, FAR, NULL, NULL);
  g_autoptr (MpBuffer) loan = mp_queue_loan (queue, VERY_LONG, NULL);
  gsize length;
  const guint8 *old = mp_buffer_get_memory (inherited, &length);

  /* The first block was free when this was lent. */
  memset (mp_buffer_get_memory (loan, &length), 2, VERY_LONG);
  return gone != NULL && is_filled (old, LONG, 2) ? 0 : 1;
}

static void
test_inherited (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  gpointer data[2] = { queue, NULL };
  GPid pid;

  g_test_summary ("What a child inherited can be read, even if its block is used for more");
  ready = mp_queue_new (0, 0, NULL);
  put (queue, LONG, 1);
  data[1] = mp_queue_get_buffer (queue, 0, NULL, NULL);
  pid = test_fork (use_after_parent, data);
  mp_buffer_unref (data[1]);
  put (ready, 1, 1);
  g_assert_cmpint (test_join (pid), ==, 0);
  g_clear_object (&ready);
}

static int
put_inherited (gpointer data)
{
  g_autoptr (GError) error = NULL;
  gboolean done = mp_queue_put_buffer (((gpointer *) data)[0],
                                       ((gpointer *) data)[1],
                                       MP_CODEC_RAW,
                                       FAR,
                                       NULL,
                                       &error);

  if (!done)
    g_test_message ("%s", error->message);
  return done ? 0 : 1;
}

static void
test_inherited_loan (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpBuffer) loan = mp_queue_loan (queue, LONG, NULL);
  g_autoptr (MpBuffer) buffer = NULL;
  gpointer data[2] = { queue, loan };
  gsize length;

  g_test_summary ("A child puts a copy of what its parent borrowed");
  memset (mp_buffer_get_memory (loan, &length), 3, LONG);
  g_assert_cmpint (test_join (test_fork (put_inherited, data)), ==, 0);
  buffer = mp_queue_get_buffer (queue, 0, NULL, NULL);
  g_assert_true (is_filled (mp_buffer_get_memory (buffer, &length), LONG, 3));
  g_assert_true (mp_queue_put_buffer (queue, loan, MP_CODEC_RAW, FAR, NULL, NULL));
}

static int
get_without_memory (gpointer data)
{
  const struct rlimit none = { 1 << 20, RLIM_INFINITY };
  g_autoptr (MpBuffer) buffer = NULL;
  g_autoptr (GError) error = NULL;

  setrlimit (RLIMIT_AS, &none);
  buffer = mp_queue_get_buffer (data, 0, NULL, &error);
  return buffer == NULL && g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT) ? 0 : 1;
}

static void
test_no_memory (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autoptr (MpBuffer) buffer = NULL;
  gsize length;

  g_test_summary ("Who has no memory to take a message takes none");
  put (queue, LONG, 4);
  g_assert_cmpint (test_join (test_fork (get_without_memory, queue)), ==, 0);
  buffer = mp_queue_get_buffer (queue, 0, NULL, NULL);
  g_assert_nonnull (buffer);
  g_assert_true (is_filled (mp_buffer_get_memory (buffer, &length), LONG, 4));
}

static void
limit_files (rlim_t n)
{
  struct rlimit limit;

  g_assert_no_errno (getrlimit (RLIMIT_NOFILE, &limit));
  limit.rlim_cur = n;
  g_assert_no_errno (setrlimit (RLIMIT_NOFILE, &limit));
}

static int
get_without_files (gpointer data)
{
  g_autoptr (MpBuffer) buffer = NULL;
  g_autoptr (GError) error = NULL;

  buffer = mp_queue_get_buffer (data, 0, NULL, &error);
  if (buffer != NULL || !g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT))
    return 1;
  limit_files (256);
  buffer = mp_queue_get_buffer (data, 0, NULL, NULL);
  return buffer != NULL ? 0 : 2;
}

static void
test_no_files (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  GPid pid;

  g_test_summary ("A child without descriptors is told so, and takes nothing");
  put (queue, LONG, 5);
  limit_files (1);
  pid = test_fork (get_without_files, queue);
  limit_files (256);
  g_assert_cmpint (test_join (pid), ==, 0);
}

/* Copies the first message to lend it, and dies before the commit. */
static int
die_copying (gpointer data)
{
  const MpBlockMessage message = { .codec = MP_CODEC_RAW, .deliveries = 1 };
  MpRing *ring = ((MpQueue *) data)->ring;
  MpStore *store = mp_ring_get_store (ring, TRUE);
  MpBlockRef spare;

  if (mp_store_take_free (store, 10, &spare) != MP_RING_DONE ||
      mp_ring_lock_get (ring, MP_DEADLINE_NEVER) != MP_RING_DONE)
    return 1;
  mp_store_set_message (store, &spare, &message, TRUE);
  mp_store_set_seq (store, &spare, mp_ring_get_taken (ring));
  return mp_store_change (store, &spare, MP_BLOCK_OWNED, MP_BLOCK_LEASING) ? 0 : 1;
}

static void
test_heir_without_files (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL), other = NULL;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (MpBuffer) buffer = NULL;

  g_test_summary ("Who inherits a lock without having a descriptor settles all the same");
  handle = mp_shareable_to_handle (MP_SHAREABLE (queue), fd_list, NULL);
  other = MP_QUEUE (mp_shareable_new_from_handle (handle, fd_list, NULL));
  put (queue, 10, 6);
  g_assert_cmpint (test_join (test_fork (die_copying, queue)), ==, 0);
  limit_files (1);
  buffer = mp_queue_get_buffer (other, 0, NULL, NULL);
  limit_files (256);
  g_assert_nonnull (buffer);
  g_clear_pointer (&buffer, mp_buffer_unref);
  put (queue, 11, 6);
  buffer = mp_queue_get_buffer (queue, 0, NULL, NULL);
  g_assert_cmpuint (mp_buffer_get_size (buffer), ==, 11);
  mp_queue_poke (queue);
  g_assert_cmpuint (mp_queue_get_n_leased (queue), ==, 0);
  g_assert_null (mp_queue_get_buffer (queue, 0, NULL, NULL));
}

static int
hold_put_lock (gpointer data)
{
  if (mp_ring_lock_put (((MpQueue *) data)->ring, MP_DEADLINE_NEVER) != MP_RING_DONE)
    return 1;
  stop ();
}

static void
test_dead_letters_held (void)
{
  g_autoptr (MpQueue) letters = mp_queue_new (0, 0, NULL);
  g_autoptr (MpQueue) queue = mp_queue_new_full (0, 0, 1, letters, NULL);
  g_autoptr (MpLease) first = NULL;
  g_autoptr (GError) error = NULL;
  GPid pid;

  g_test_summary ("Who holds up the dead letters holds up nobody who does not wait, and they stay");
  put (queue, 10, 1);
  first = lease (queue, FAR, 1);
  g_assert_true (mp_lease_nack (first, NULL));
  pid = start (hold_put_lock, letters);
  g_assert_null (mp_queue_get_leased (queue, 0, NULL, NULL));
  test_kill (pid);
  g_assert_null (mp_queue_get_leased (queue, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_EMPTY);
  g_assert_cmpuint (mp_queue_get_length (letters), ==, 1);
  g_assert_true (mp_queue_join (queue, 0, NULL, NULL));
}

/* Fills a block in part, as whoever is killed in the middle of a write. */
static int
die_filling (gpointer data)
{
  MpRing *ring = ((MpQueue *) data)->ring;
  g_autofree guint8 *bytes = g_malloc0 (BIG);
  MpBlockRef ref;

  return mp_store_take_free (mp_ring_get_store (ring, TRUE), BIG, &ref) == MP_RING_DONE &&
             pwrite (ring->segment.fd, bytes, BIG, (off_t) mp_store_get_offset (ref.index)) == BIG
           ? 0
           : 1;
}

static guint64
get_memory (MpQueue *queue)
{
  struct stat status;

  g_assert_no_errno (fstat (queue->ring->segment.fd, &status));
  return (guint64) status.st_blocks * 512;
}

static void
test_half_filled (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("The memory of a message that was never whole is not kept");
  put (queue, LONG, 1);
  g_assert_cmpint (test_join (test_fork (die_filling, queue)), ==, 0);
  g_assert_cmpuint (get_memory (queue), >, BIG);
  mp_queue_poke (queue);
  g_assert_cmpuint (get_memory (queue), <, BIG);
}

static void
test_burst (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  MpStore *store;

  g_test_summary ("What many messages needed is given back while others come and go");
  for (guint i = 0; i < 128; i++)
    put (queue, 1000000, 1);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 128);
  store = mp_ring_get_store (queue->ring, FALSE);
  for (guint i = 0; i < 128; i++)
    mp_store_age (store, i, 3 * G_USEC_PER_SEC);
  atomic_store (&store->trimmed_at, 0);
  put (queue, LONG, 1);
  g_assert_cmpuint (mp_queue_drain (queue), ==, 1);
  g_assert_cmpuint (get_memory (queue), <, 80 << 20);
}

/* Hostile */

static int
take_away (gpointer data)
{
  MpQueue *queue = data;
  g_autoptr (MpBuffer) mine = mp_queue_get_buffer (queue, 0, NULL, NULL);
  g_autoptr (MpBuffer) other = NULL;
  MpStoreEntry *entry = mp_store_get_entry (mp_ring_get_store (queue->ring, FALSE), 0);
  gsize length;
  guint8 *memory = mp_buffer_get_memory (mine, &length);

  atomic_store (&entry->word, (guint64) 1 << MP_STORE_GENERATION_SHIFT);
  other = mp_queue_loan (queue, VERY_LONG, NULL);
  g_assert_nonnull (other);
  memset (mp_buffer_get_memory (other, &length), 1, VERY_LONG);
  memset (memory, 2, LONG);
  return 0;
}

static void
test_taken_away (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);

  g_test_summary ("Somebody writes that a block is free: its memory stays where it is");
  put (queue, LONG, 1);
  g_assert_cmpint (test_join (test_fork (take_away, queue)), ==, 0);
}

static void
test_changed (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  g_autofree char *text = g_strnfill (LONG, 'a');
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GError) error = NULL;
  guint8 *memory;

  g_test_summary ("Somebody writes into a message that was checked");
  mp_queue_put (queue, g_variant_new_string (text), 0, NULL, &error);
  g_assert_no_error (error);
  value = mp_queue_get (queue, 0, NULL, &error);
  g_assert_no_error (error);
  memory = mmap (NULL,
                 LONG,
                 PROT_READ | PROT_WRITE,
                 MAP_SHARED,
                 queue->ring->segment.fd,
                 (off_t) mp_store_get_offset (0));
  g_assert_true (memory != MAP_FAILED && memory[0] == 'a');
  memset (memory, 'b', LONG);
  g_assert_true (g_str_equal (g_variant_get_string (value, NULL), text));
  munmap (memory, LONG);
}

static void
test_too_long (void)
{
  g_autoptr (MpQueue) queue = mp_queue_new (0, 0, NULL);
  MpStore *store = mp_ring_get_store (queue->ring, TRUE);
  g_autoptr (GError) error = NULL;
  struct stat status;
  MpBlockRef ref;

  g_test_summary ("A message that is longer than the memory there is gets none");
  put (queue, 1, 1);
  mp_buffer_unref (mp_queue_get_buffer (queue, 0, NULL, NULL));
  g_assert_cmpint (mp_store_take_free (store, LONG, &ref), ==, MP_RING_DONE);
  g_assert_true (mp_store_change (store, &ref, MP_BLOCK_OWNED, MP_BLOCK_QUEUEING));
  g_assert_true (mp_store_change (store, &ref, MP_BLOCK_QUEUEING, MP_BLOCK_QUEUED));
  ref.length = (guint64) 256 << 20;
  g_assert_true (mp_ring_put_quickly (queue->ring,
                                      (const guint8 *) &ref,
                                      sizeof ref,
                                      (MpCodec) (MP_CODEC_RAW | MP_RING_IN_BLOCK)));
  g_assert_null (mp_queue_get_buffer (queue, 0, NULL, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
  g_assert_no_errno (fstat (queue->ring->segment.fd, &status));
  g_assert_cmpint (status.st_blocks * 512, <, 16 << 20);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/queue-faults/last-message", test_last_message);
  g_test_add_func ("/queue-faults/closed", test_closed);
  g_test_add_func ("/queue-faults/polling", test_polling);
  g_test_add_func ("/queue-faults/join-alone", test_join_alone);
  g_test_add_func ("/queue-faults/closed-for-all", test_closed_for_all);
  g_test_add_func ("/queue-faults/returned", test_returned);
  g_test_add_func ("/queue-faults/empty", test_empty);
  g_test_add_func ("/queue-faults/inherited", test_inherited);
  g_test_add_func ("/queue-faults/inherited-loan", test_inherited_loan);
  g_test_add_func ("/queue-faults/no-memory", test_no_memory);
  g_test_add_func ("/queue-faults/no-files", test_no_files);
  g_test_add_func ("/queue-faults/heir-without-files", test_heir_without_files);
  g_test_add_func ("/queue-faults/dead-letters-held", test_dead_letters_held);
  g_test_add_func ("/queue-faults/half-filled", test_half_filled);
  g_test_add_func ("/queue-faults/burst", test_burst);
  g_test_add_func ("/queue-faults/taken-away", test_taken_away);
  g_test_add_func ("/queue-faults/changed", test_changed);
  g_test_add_func ("/queue-faults/too-long", test_too_long);

  return g_test_run ();
}
