/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mp-fd-private.h"
#include "libmp.h"
#include "memory/mp-arena-layout-private.h"
#include "process/mp-sweep-private.h"
#include "test-util.h"

#define KIND MP_BLOCK_KIND ('t', 'e', 's', 't')
#define NAME "test"
#define MIB (1024u * 1024)

static MpArena *
new_arena (void)
{
  g_autoptr (GError) error = NULL;
  MpArena *arena = mp_arena_new (&error);

  g_assert_no_error (error);
  return arena;
}

static MpBlock
new_block (MpArena *arena, gsize size)
{
  g_autoptr (GError) error = NULL;
  MpBlock block = MP_BLOCK_INIT;

  mp_block_new (&block, arena, KIND, size, &error);
  g_assert_no_error (error);
  return block;
}

/* Nothing lingers any more. */
static void
end_lingers (MpArena *arena)
{
  for (gsize i = arena->linger_begin; i < arena->linger_end; i++)
    arena->lingers[i].until = 0;
  while (arena->linger_ref)
    mp_arena_sweep (arena);
}

/* A process and a socket to it. */
typedef struct
{
  GPid pid;
  int socket;
} Peer;

typedef void (*PeerFunc) (int socket, MpArena *arena);

static Peer
peer_start (PeerFunc func, MpArena *arena)
{
  Peer peer;
  int sockets[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
  peer.pid = fork ();
  if (peer.pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      close (sockets[0]);
      func (sockets[1], arena);
      _exit (0);
    }
  close (sockets[1]);
  peer.socket = sockets[0];
  return peer;
}

static void
peer_kill (Peer *peer)
{
  test_kill (peer->pid);
  close (peer->socket);
}

static void
say (int socket, guint32 word)
{
  g_assert_cmpint (send (socket, &word, sizeof word, MSG_NOSIGNAL), ==, sizeof word);
}

/* G_MAXUINT32 at the end. */
static guint32
hear (int socket)
{
  guint32 word = 0;

  return recv (socket, &word, sizeof word, 0) == sizeof word ? word : G_MAXUINT32;
}

static void
send_block (int socket, MpBlock *block)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) handle = mp_block_to_handle (block, NAME, 1, NULL, fd_list, &error);
  int n = 0;
  const int *fds = g_unix_fd_list_peek_fds (fd_list, &n);

  g_assert_no_error (error);
  g_assert_true (mp_fd_send_message (socket,
                                     g_variant_get_data (handle),
                                     g_variant_get_size (handle),
                                     fds,
                                     (guint) n));
}

static gboolean
receive_block (int socket, MpBlock *block, GError **error)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  g_autoptr (GUnixFDList) fd_list = NULL;
  g_autoptr (GVariant) handle = NULL;
  gpointer data = g_malloc (4096);
  gssize size = mp_fd_receive_message (socket, data, 4096, fds);

  g_assert_cmpint (size, >, 0);
  handle = g_variant_ref_sink (g_variant_new_from_data (G_VARIANT_TYPE ("(sua{sv}ah)"),
                                                        data,
                                                        (gsize) size,
                                                        FALSE,
                                                        g_free,
                                                        data));
  fd_list = g_unix_fd_list_new_from_array ((const int *) (gpointer) fds->data, (int) fds->len);
  return mp_block_from_handle (block, NAME, 1, KIND, 0, handle, fd_list, error);
}

/* Takes one block, and says what is in it each time that it is asked; 0 drops it. */
static void
stranger (int socket, MpArena *arena)
{
  MpBlock block = MP_BLOCK_INIT;
  guint32 word;

  g_assert_true (receive_block (socket, &block, NULL));
  for (;;)
    {
      say (socket, *(guint32 *) block.memory);
      word = hear (socket);
      if (word == G_MAXUINT32)
        _exit (0);
      if (word == 0)
        mp_block_clear (&block);
      if (word == 0)
        break;
    }
  say (socket, 0);
  hear (socket);
}

static void
test_import (void)
{
  Peer peer = peer_start (stranger, NULL), other = peer_start (stranger, NULL);
  g_autoptr (MpArena) arena = new_arena ();
  MpBlock block = new_block (arena, 8);

  g_test_summary ("A block is there until the last process that holds it drops it");
  *(guint32 *) block.memory = 77;
  send_block (peer.socket, &block);
  send_block (other.socket, &block);
  g_assert_cmpuint (hear (peer.socket), ==, 77);
  g_assert_cmpuint (hear (other.socket), ==, 77);
  *(guint32 *) block.memory = 78;
  mp_block_clear (&block);
  end_lingers (arena);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  say (peer.socket, 1);
  g_assert_cmpuint (hear (peer.socket), ==, 78);
  say (peer.socket, 0);
  g_assert_cmpuint (hear (peer.socket), ==, 0);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  peer_kill (&peer);
  g_assert_cmpuint (mp_arena_sweep (arena), ==, 0);
  say (other.socket, 1);
  g_assert_cmpuint (hear (other.socket), ==, 78);
  peer_kill (&other);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  g_assert_cmpuint (mp_arena_sweep (arena), ==, 1);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

static void
create_and_send (int socket, MpArena *unused)
{
  g_autoptr (MpArena) arena = new_arena ();
  MpBlock block = new_block (arena, 3 * MIB);

  *(guint32 *) block.memory = 5;
  send_block (socket, &block);
  hear (socket);
}

static void
test_creator (void)
{
  Peer peer = peer_start (create_and_send, NULL);
  MpBlock block = MP_BLOCK_INIT;
  g_autoptr (MpArena) arena = NULL;
  g_autoptr (GError) error = NULL;

  g_test_summary ("A block outlives the process that made it, and its arena");
  g_assert_true (receive_block (peer.socket, &block, &error));
  g_assert_no_error (error);
  arena = mp_arena_ref (block.arena);
  peer_kill (&peer);
  g_assert_cmpuint (mp_arena_sweep (arena), ==, 0);
  g_assert_cmpuint (*(guint32 *) block.memory, ==, 5);
  mp_block_clear (&block);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

/* Has a block of its own, and a child with whom it shares it. */
static void G_GNUC_NORETURN
share_with_child (int socket, MpArena *arena)
{
  MpBlock block = new_block (arena, 64);
  GPid pid;

  *(guint32 *) block.memory = 6;
  pid = fork ();
  if (pid == 0)
    {
      say (socket, *(guint32 *) block.memory);
      hear (socket);
      say (socket, *(guint32 *) block.memory);
      hear (socket);
      mp_block_clear (&block);
      say (socket, 99);
      _exit (0);
    }
  for (;;)
    pause ();
}

static void
test_inherited (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  MpBlock mine = new_block (arena, 64);
  Peer peer = peer_start (share_with_child, arena);

  g_test_summary ("A child holds what its parent held, even when the parent is dead");
  g_assert_cmpuint (hear (peer.socket), ==, 6);
  test_kill (peer.pid);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 2);
  g_assert_cmpuint (mp_arena_sweep (arena), ==, 0);
  say (peer.socket, 1);
  g_assert_cmpuint (hear (peer.socket), ==, 6);
  g_assert_cmpuint (mp_arena_sweep (arena), ==, 0);
  say (peer.socket, 1);
  g_assert_cmpuint (hear (peer.socket), ==, 99);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  /* What was there at the fork lingers. */
  mp_block_clear (&mine);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  end_lingers (arena);
  close (peer.socket);
  while (mp_arena_get_n_blocks (arena) > 0)
    mp_arena_sweep (arena);
}

static void
test_forks (void)
{
  const guint n = 20000;
  g_autoptr (MpArena) arena = new_arena ();
  g_autofree MpBlock *blocks = g_new0 (MpBlock, n);
  gint64 start;
  GPid pid;

  g_test_summary ("A child takes over many blocks");
  for (guint i = 0; i < n; i++)
    blocks[i] = new_block (arena, 64);
  start = g_get_monotonic_time ();
  pid = fork ();
  if (pid == 0)
    {
      for (guint i = 0; i < n; i++)
        mp_block_clear (&blocks[i]);
      _exit (0);
    }
  g_assert_cmpint (test_join (pid), ==, 0);
  g_test_message ("fork, taking over and dropping %u blocks: %" G_GINT64_FORMAT " us",
                  n,
                  g_get_monotonic_time () - start);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, n);
  for (guint i = 0; i < n; i++)
    mp_block_clear (&blocks[i]);
  end_lingers (arena);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

static void
hoard (int socket, MpArena *arena)
{
  for (guint i = 0; i < 1000; i++)
    memset (new_block (arena, 100).memory, 1, 100);
  for (guint i = 0; i < 5; i++)
    memset (new_block (arena, MIB).memory, 1, MIB);
  say (socket, 1);
  hear (socket);
}

static void
test_sweep (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  guint64 size = 0;

  g_test_summary ("What the dead leave behind is found when somebody needs memory, or looks");
  for (int i = 0; i < 10; i++)
    {
      Peer peer = peer_start (hoard, arena);

      g_assert_cmpuint (hear (peer.socket), ==, 1);
      peer_kill (&peer);
      if (i % 2 == 0)
        g_assert_cmpuint (mp_arena_sweep (arena), ==, 1005);
      else
        mp_arena_sweep_all ();
      g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
      g_assert_true (i == 0 || mp_arena_get_file_size (arena) == size);
      size = mp_arena_get_file_size (arena);
    }
  /* All by itself. */
  for (int i = 0; i < 30; i++)
    {
      Peer peer = peer_start (hoard, arena);

      g_assert_cmpuint (hear (peer.socket), ==, 1);
      peer_kill (&peer);
      arena->shared->swept_at = 0;
    }
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), <=, 5 * 1005);
  mp_arena_sweep (arena);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

static void
test_swept_soon (void)
{
  gint64 end = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  g_autoptr (MpArena) arena = new_arena ();

  g_test_summary ("The library frees what a process held that it saw end");
  for (int i = 0; i < 3; i++)
    {
      Peer peer = peer_start (hoard, arena);

      g_assert_cmpuint (hear (peer.socket), ==, 1);
      peer_kill (&peer);
      g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1005);
      mp_sweep_soon ();
      mp_sweep_soon ();
      while (mp_arena_get_n_blocks (arena) > 0)
        {
          g_assert_cmpint (g_get_monotonic_time (), <, end);
          g_thread_yield ();
        }
    }
}

static void
close_descriptors (int socket, MpArena *arena)
{
  MpBlock block = new_block (arena, 64), big = new_block (arena, MIB), more[3000];
  g_autoptr (GError) error = NULL;
  guint n = 0;

  for (int fd = 3; fd < 100; fd++)
    {
      if (fd != socket)
        close (fd);
    }
  g_assert_cmpint (open ("/dev/null", O_RDWR | O_CLOEXEC), ==, 3);
  memset (big.memory, 1, big.size);
  mp_block_clear (&block);
  block = new_block (arena, 64);
  mp_block_clear (&big);
  while (n < G_N_ELEMENTS (more) && mp_block_new (&more[n], arena, KIND, 64, &error))
    n++;
  g_assert_cmpuint (n, <, G_N_ELEMENTS (more));
  g_assert_error (error, MP_ERROR, MP_ERROR_FAILED);
  say (socket, n);
  hear (socket);
}

static void
test_closed (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  Peer peer = peer_start (close_descriptors, arena);
  guint32 n = hear (peer.socket);

  g_test_summary ("A process that closed the arena's descriptor goes on with what it has");
  g_assert_cmpuint (n, >, 0);
  g_assert_cmpuint (n, <, 3000);
  g_assert_cmpuint (mp_arena_sweep (arena), ==, 0);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, n + 1);
  peer_kill (&peer);
  g_assert_cmpuint (mp_arena_sweep (arena), ==, n + 1);
}

static void
test_corrupt (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  MpArenaShared *shared = arena->shared;
  MpBlock block = new_block (arena, 64), other = MP_BLOCK_INIT;
  guint32 class_ = 2, slot = block.slot, number = mp_arena_chunk_of (slot);
  const guint32 nonsense[] = { 1, slot, slot + 1, G_MAXUINT32, 77u << 21, number << 21 | 0x1fffff };

  g_test_summary ("Nonsense in the arena is an error");
  for (guint i = 0; i < G_N_ELEMENTS (nonsense); i++)
    {
      g_autoptr (GError) error = NULL;

      shared->free[class_] = nonsense[i];
      g_assert_false (mp_block_new (&other, arena, KIND, 64, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
      g_assert_nonnull (strstr (error->message, "corrupt"));
    }
  shared->free[class_] = 0;
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;

      shared->changes[0].chunk = i == 1 ? 2000 : i == 2 ? number : 0;
      shared->changes[0].offset = i == 2 ? 0x7ffffffc : 4;
      shared->n_changes = i == 0 ? MP_ARENA_MAX_CHANGES + 1 : 1;
      g_assert_false (mp_block_new (&other, arena, KIND, 64, &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_CORRUPT);
    }
  shared->n_changes = 0;
  g_assert_cmpuint (shared->header.magic, ==, MP_SEGMENT_MAGIC);
  mp_block_clear (&block);
  block = new_block (arena, 64);
  mp_block_clear (&block);
}

/* A change that somebody wrote down before he died is made. */
static void
test_redo (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  MpArenaShared *shared = arena->shared;
  MpBlock block = new_block (arena, 64);

  g_test_summary ("What a dead process had committed is done");
  shared->changes[0].chunk = 0;
  shared->changes[0].offset = G_STRUCT_OFFSET (MpArenaShared, n_blocks);
  shared->changes[0].value = 55;
  shared->n_changes = 1;
  mp_block_clear (&block);
  g_assert_cmpuint (shared->n_changes, ==, 0);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 54);
}

static void
ignore_block (guint32 kind,
              guint32 slot,
              guint32 generation,
              gpointer memory,
              gsize size,
              gpointer user_data)
{
  *(guint64 *) user_data += *(guint8 *) memory + size;
}

/* Works on an arena in which anything may be written at any time. */
static void
use_nonsense (int socket, MpArena *arena)
{
  MpBlock blocks[20] = { { NULL } }, again = MP_BLOCK_INIT;
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  guint64 sum = 0;
  guint32 random;

  alarm (20);
  while ((random = hear (socket)) != G_MAXUINT32)
    {
      for (guint i = 0; i < 60; i++)
        {
          MpBlock *block;

          random = random * 1664525u + 1013904223u;
          block = &blocks[(random >> 8) % G_N_ELEMENTS (blocks)];
          if (block->arena != NULL && (random >> 30) == 0)
            {
              g_autoptr (GVariant) handle =
                mp_block_to_handle (block, NAME, 1, NULL, fd_list, NULL);

              g_assert_nonnull (handle);
              mp_block_from_handle (&again, NAME, 1, KIND, 0, handle, fd_list, NULL);
              mp_block_clear (&again);
            }
          mp_block_clear (block);
          if (mp_block_new (block, arena, KIND, 1 + (random >> 16) % 9000, NULL))
            memset (block->memory, 3, block->size);
        }
      mp_arena_sweep (arena);
      mp_arena_foreach_block (arena, ignore_block, &sum);
      say (socket, 1);
    }
}

static guint32
random_word (void)
{
  switch (g_test_rand_int_range (0, 4))
    {
    case 0:
      return (guint32) g_test_rand_int_range (0, 100);
    case 1:
      return (guint32) g_test_rand_int_range (0, 12) << 21 |
             (guint32) g_test_rand_int_range (0, 70);
    case 2:
      return G_MAXUINT32;
    default:
      return (guint32) g_test_rand_int ();
    }
}

/* Changes some words of what arenas are made of, but not the lock. */
static void
scribble (MpArena *arena)
{
  guint n = (guint) g_test_rand_int_range (1, 8);

  for (guint i = 0; i < n; i++)
    {
      guint32 number = (guint32) g_test_rand_int_range (0, 9);
      MpArenaChunk *chunk = number > 0 ? mp_arena_get_chunk (arena, number) : NULL;
      guint8 *base = (guint8 *) arena->shared;
      gsize begin = G_STRUCT_OFFSET (MpArenaShared, n_changes);
      gsize end = G_STRUCT_OFFSET (MpArenaShared, chunks) + 9 * sizeof (MpArenaChunkEntry);

      if (chunk != NULL)
        {
          base = chunk->map;
          begin = 0;
          end = MIN (chunk->metadata_length, 4096);
        }
      ((volatile guint32 *) (gpointer) (base +
                                        begin))[(guint) g_test_rand_int () % ((end - begin) / 4)] =
        random_word ();
    }
}

static void
test_nonsense (void)
{
  g_test_summary ("Whatever is written into an arena, nobody crashes");
  for (int i = 0; i < 60; i++)
    {
      g_autoptr (MpArena) arena = new_arena ();
      MpBlock block = new_block (arena, 64);
      Peer peer = peer_start (use_nonsense, arena);

      say (peer.socket, (guint32) g_test_rand_int () >> 1);
      g_assert_cmpuint (hear (peer.socket), ==, 1);
      for (int j = 0; j < 20; j++)
        {
          say (peer.socket, (guint32) g_test_rand_int () >> 1);
          scribble (arena);
          g_assert_cmpuint (hear (peer.socket), ==, 1);
        }
      close (peer.socket);
      g_assert_cmpint (test_join (peer.pid), ==, 0);
      mp_block_clear (&block);
    }
}

static int
stop_with_lock (gpointer data)
{
  MpArena *arena = data;

  mp_arena_lock (arena);
  raise (SIGSTOP);
  return 0;
}

static void
count_block (guint32 kind,
             guint32 slot,
             guint32 generation,
             gpointer memory,
             gsize size,
             gpointer user_data)
{
  guint *n = user_data;

  (*n)++;
}

static void
test_stopped (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  MpBlock block = new_block (arena, 64);
  GPid pid = test_fork (stop_with_lock, arena);
  guint n = 0;

  g_test_summary ("Whoever only looks does not wait for a process that stands still");
  test_wait_state (pid, 'T');
  mp_arena_foreach_block (arena, count_block, &n);
  g_assert_cmpuint (n, ==, 0);
  test_kill (pid);
  mp_arena_foreach_block (arena, count_block, &n);
  g_assert_cmpuint (n, ==, 1);
  mp_block_clear (&block);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/arena/import", test_import);
  g_test_add_func ("/mp/arena/creator", test_creator);
  g_test_add_func ("/mp/arena/inherited", test_inherited);
  g_test_add_func ("/mp/arena/forks", test_forks);
  g_test_add_func ("/mp/arena/sweep", test_sweep);
  g_test_add_func ("/mp/arena/soon", test_swept_soon);
  g_test_add_func ("/mp/arena/closed", test_closed);
  g_test_add_func ("/mp/arena/corrupt", test_corrupt);
  g_test_add_func ("/mp/arena/redo", test_redo);
  g_test_add_func ("/mp/arena/nonsense", test_nonsense);
  g_test_add_func ("/mp/arena/stopped", test_stopped);
  return g_test_run ();
}
