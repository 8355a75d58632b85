/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "libmp.h"
#include "memory/mp-arena-layout-private.h"
#include "test-limited.h"
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
  g_assert_true (block.arena == arena);
  g_assert_cmpuint (block.size, ==, size);
  g_assert_cmpuint (block.generation, !=, 0);
  return block;
}

static GVariant *
to_handle (MpBlock *block, GUnixFDList *fd_list)
{
  g_autoptr (GError) error = NULL;
  GVariant *handle = mp_block_to_handle (block, NAME, 1, NULL, fd_list, &error);

  g_assert_no_error (error);
  return handle;
}

static MpBlock
from_handle (GVariant *handle, GUnixFDList *fd_list)
{
  g_autoptr (GError) error = NULL;
  MpBlock block = MP_BLOCK_INIT;

  mp_block_from_handle (&block, NAME, 1, KIND, 0, handle, fd_list, &error);
  g_assert_no_error (error);
  return block;
}

/* What the arena's file takes. */
static guint64
get_memory (MpArena *arena)
{
  struct stat status;

  g_assert_no_errno (fstat (arena->segment.fd, &status));
  return (guint64) status.st_blocks * 512;
}

static gboolean
is_filled (const MpBlock *block, guint8 byte)
{
  const guint8 *memory = block->memory;

  return memory[0] == byte && memcmp (memory, memory + 1, block->size - 1) == 0;
}

static void
test_blocks (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  MpBlock first = new_block (arena, 64), second;
  guint32 slot = first.slot, generation = first.generation;

  g_test_summary ("A block is zeroed and aligned, and its place is used again, under another name");
  g_assert_true (is_filled (&first, 0));
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  memset (first.memory, 7, first.size);
  mp_block_clear (&first);
  g_assert_null (first.arena);
  mp_block_clear (&first);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
  second = new_block (arena, 50);
  g_assert_cmpuint (second.slot, ==, slot);
  g_assert_cmpuint (second.generation, !=, generation);
  g_assert_true (is_filled (&second, 0));
  mp_block_clear (&second);
}

#define N_MANY 3000

static void
test_sizes (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autofree MpBlock *blocks = g_new0 (MpBlock, N_MANY);

  g_test_summary ("Blocks of all sizes keep out of each other's way");
  for (guint i = 0; i < 8 * N_MANY; i++)
    {
      guint place = (guint) g_test_rand_int_range (0, N_MANY);
      MpBlock *block = &blocks[place];

      if (block->arena != NULL)
        {
          g_assert_true (is_filled (block, (guint8) place));
          mp_block_clear (block);
        }
      *block =
        new_block (arena, (gsize) g_test_rand_int_range (1, 1 << g_test_rand_int_range (1, 17)));
      g_assert_cmpuint ((guintptr) block->memory % MIN (block->size >= 33 ? 64 : 16, 64), ==, 0);
      g_assert_true (is_filled (block, 0));
      memset (block->memory, (guint8) place, block->size);
    }
  for (guint i = 0; i < N_MANY; i++)
    {
      g_assert_true (blocks[i].arena == NULL || is_filled (&blocks[i], (guint8) i));
      mp_block_clear (&blocks[i]);
    }
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

static void
test_big (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  guint64 before = get_memory (arena);

  g_test_summary ("A big block takes its memory when it is made, and gives it back");
  for (int i = 0; i < 3; i++)
    {
      MpBlock block = new_block (arena, 40 * MIB);

      g_assert_cmpuint (get_memory (arena), >=, before + 40 * MIB);
      g_assert_cmpuint (get_memory (arena), <, before + 41 * MIB);
      g_assert_true (is_filled (&block, 0));
      memset (block.memory, 1, block.size);
      mp_block_clear (&block);
      g_assert_cmpuint (get_memory (arena), <, before + MIB);
    }
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

static void
test_too_big (void)
{
  const gsize sizes[] = { (gsize) 1 << 39, (gsize) 1 << 40, ((gsize) 1 << 40) + 1, G_MAXSIZE };
  g_autoptr (MpArena) arena = new_arena ();

  g_test_summary ("More than there is");
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError) error = NULL;
      MpBlock block = MP_BLOCK_INIT;

      g_assert_false (mp_block_new (&block, arena, KIND, sizes[i], &error));
      g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
      g_assert_null (block.arena);
    }
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

/* @n, but fewer under valgrind. */
static guint
many (guint n)
{
  return g_getenv ("MP_TEST_SLOW") != NULL ? n / 20 : n;
}

/* Processor time in nanoseconds: the machine may have other things to do. */
static gint64
get_time (void)
{
  struct timespec now;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

static void
test_limited (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (GError) error = NULL;
  MpBlock block = MP_BLOCK_INIT;

  g_test_summary ("More than the control group has, with which the kernel would kill us");
  test_group_limit = 100 * MIB;
  g_assert_false (mp_block_new (&block, arena, KIND, 101 * MIB, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  block = new_block (arena, 20 * MIB);
  test_group_limit = 0;
  mp_block_clear (&block);
}

static void
test_million (void)
{
  const guint n = many (1000000);
  g_autoptr (MpArena) arena = new_arena ();
  g_autofree MpBlock *blocks = g_new0 (MpBlock, n);
  guint n_fds = test_count_fds ();
  gint64 start = get_time (), made, paired, cleared;

  g_test_summary ("A million blocks cost one descriptor");
  for (guint i = 0; i < n; i++)
    {
      blocks[i] = new_block (arena, 64);
      *(guint32 *) blocks[i].memory = i;
    }
  made = get_time ();
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, n);
  for (guint i = 0; i < n; i++)
    {
      MpBlock block = new_block (arena, 64);

      mp_block_clear (&block);
    }
  paired = get_time ();
  g_assert_cmpuint (mp_arena_sweep (arena), ==, 0);
  g_test_message ("64 bytes: new %.0f ns, new and clear %.0f ns, sweep %.1f ns, "
                  "%.1f bytes of memory and %.1f of the file each",
                  (double) (made - start) / n,
                  (double) (paired - made) / n,
                  (double) (get_time () - paired) / n,
                  (double) get_memory (arena) / n,
                  (double) mp_arena_get_file_size (arena) / n);
  cleared = get_time ();
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpuint (*(guint32 *) blocks[i].memory, ==, i);
      mp_block_clear (&blocks[i]);
    }
  g_test_message ("clear %.0f ns", (double) (get_time () - cleared) / n);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

static void
test_handles (void)
{
  const guint n = many (100000);
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autofree MpBlock *blocks = g_new0 (MpBlock, n);
  g_autofree MpBlock *again = g_new0 (MpBlock, n);
  g_autoptr (GPtrArray) handles = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  guint n_fds = test_count_fds ();
  gint64 start, made;

  g_test_summary ("Handles of one arena share one descriptor, and imports of a block one hold");
  for (guint i = 0; i < n; i++)
    blocks[i] = new_block (arena, 64);
  start = get_time ();
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (handles, to_handle (&blocks[i], fd_list));
  made = get_time ();
  for (guint i = 0; i < n; i++)
    again[i] = from_handle (g_ptr_array_index (handles, i), fd_list);
  g_test_message ("handle %.0f ns, import %.0f ns",
                  (double) (made - start) / n,
                  (double) (get_time () - made) / n);
  g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 1);
  g_assert_cmpuint (test_count_fds (), ==, n_fds + 1);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, n);
  for (guint i = 0; i < n; i++)
    {
      g_assert_true (again[i].memory == blocks[i].memory);
      mp_block_clear (&blocks[i]);
      mp_block_clear (&again[i]);
    }
}

/* Of a list whose descriptors were taken out. */
static void
test_stolen (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (MpArena) other = new_arena ();
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  MpBlock block = new_block (arena, 8), others = new_block (other, 8), again;
  g_autoptr (GVariant) handle = NULL;

  g_test_summary ("A list of descriptors may change between two handles");
  for (int i = 0; i < 3; i++)
    {
      g_autofree int *fds = NULL;
      int n = 0;

      g_variant_unref (to_handle (&others, fd_list));
      g_variant_unref (to_handle (&block, fd_list));
      g_clear_pointer (&handle, g_variant_unref);
      handle = to_handle (&others, fd_list);
      g_assert_cmpint (g_unix_fd_list_get_length (fd_list), ==, 2);
      again = from_handle (handle, fd_list);
      g_assert_true (again.memory == others.memory);
      mp_block_clear (&again);
      fds = g_unix_fd_list_steal_fds (fd_list, &n);
      for (int j = 0; j < n; j++)
        close (fds[j]);
    }
  mp_block_clear (&block);
  mp_block_clear (&others);
}

static guint
count_holds (MpBlock *block)
{
  MpArena *arena = block->arena;
  MpArenaSlot *slot = &mp_arena_slots (
    &arena->chunks[mp_arena_chunk_of (block->slot)])[mp_arena_index_of (block->slot)];
  guint32 link = atomic_load (&slot->next);
  guint n = 1;

  for (; link != 0; n++)
    link = atomic_load (
      &mp_arena_holds (
         mp_arena_get_chunk (arena, mp_arena_chunk_of (link)))[mp_arena_index_of (link)]
         .next);
  return n;
}

static void
test_thousand (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  MpBlock block = new_block (arena, 8), blocks[1000];
  g_autoptr (GVariant) handle = to_handle (&block, fd_list);
  guint32 word = mp_participants_get_self_word (mp_arena_get_participants (arena));
  guint n_fds = test_count_fds ();

  g_test_summary ("However often it is imported, a process is one participant and one holder");
  *(guint32 *) block.memory = word;
  for (guint i = 0; i < 1000; i++)
    {
      blocks[i] = from_handle (handle, fd_list);
      g_assert_true (blocks[i].arena == arena);
    }
  g_assert_cmpuint (test_count_fds (), ==, n_fds);
  g_assert_cmpuint (count_holds (&block), ==, 1);
  g_assert_cmpuint (mp_participants_get_self_word (mp_arena_get_participants (arena)), ==, word);
  for (guint i = 0; i < 1000; i++)
    mp_block_clear (&blocks[i]);
  g_assert_true (mp_participants_is_alive (mp_arena_get_participants (arena), word));
  mp_block_clear (&block);
}

static void
test_linger (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  MpBlock block = new_block (arena, 8), other;
  g_autoptr (GVariant) handle = to_handle (&block, fd_list);
  g_autoptr (GVariant) bare = to_handle (&block, NULL);
  g_autoptr (GError) error = NULL;

  g_test_summary ("A block of which a handle was made is there for a while when it was dropped");
  mp_block_clear (&block);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  block = from_handle (handle, fd_list);
  mp_block_clear (&block);
  /* It came back once: the first place in the list counts no more. */
  arena->lingers[arena->linger_begin].until = 0;
  other = new_block (arena, 8);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 2);
  block = from_handle (bare, NULL);
  mp_block_clear (&block);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 2);
  for (gsize i = arena->linger_begin; i < arena->linger_end; i++)
    arena->lingers[i].until = 0;
  mp_block_clear (&other);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
  g_assert_false (arena->linger_ref);
  g_assert_false (mp_block_from_handle (&block, NAME, 1, KIND, 0, handle, fd_list, &error));
  g_assert_error (error, MP_ERROR, MP_ERROR_NOT_FOUND);
}

/* Called once, when memory of a block is given back: no lock is held then. */
static MpArena *arena_while_giving_back;

static gpointer
make_and_drop (gpointer data)
{
  MpBlock block = new_block (data, 64);

  mp_block_clear (&block);
  return NULL;
}

/* In front of that of the C library. */
int
madvise (void *address, size_t length, int advice)
{
  MpArena *arena = advice == MADV_REMOVE ? g_steal_pointer (&arena_while_giving_back) : NULL;

  if (arena != NULL)
    g_thread_join (g_thread_new ("other", make_and_drop, arena));
  return (int) syscall (SYS_madvise, address, length, advice);
}

static void
test_linger_threads (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  MpBlock block = new_block (arena, 16 * MIB);

  g_test_summary ("Two threads work off the last of those that linger");
  g_variant_unref (to_handle (&block, fd_list));
  mp_block_clear (&block);
  g_assert_true (arena->linger_ref);
  arena->lingers[arena->linger_begin].until = 0;
  arena_while_giving_back = arena;
  mp_arena_sweep (arena);
  g_assert_null (arena_while_giving_back);
  g_assert_false (arena->linger_ref);
  g_assert_cmpuint (arena->ref_count, ==, 1);
}

static void
check_refused (GVariant *handle, GUnixFDList *fd_list, guint32 kind, gsize min_size, MpError code)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (handle);
  g_autoptr (GError) error = NULL;
  MpBlock block = MP_BLOCK_INIT;

  g_assert_false (mp_block_from_handle (&block, NAME, 1, kind, min_size, owned, fd_list, &error));
  g_assert_error (error, MP_ERROR, (int) code);
  g_assert_null (block.arena);
}

static GVariant *
parse (const char *format, ...)
{
  GVariant *handle;
  va_list arguments;

  va_start (arguments, format);
  handle = g_variant_new_parsed_va (format, &arguments);
  va_end (arguments);
  return handle;
}

static void
test_refused (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GUnixFDList) wrong = g_unix_fd_list_new ();
  MpBlock block = new_block (arena, 100);
  g_autoptr (GVariant) handle = to_handle (&block, fd_list);
  g_autoptr (GVariant) layout = g_variant_get_child_value (handle, 2);
  guint64 pidns = 0;
  int fds[2];

  g_test_summary ("Handles that are not what they should be");
  g_assert_true (g_variant_lookup (layout, "pidns", "t", &pidns));
  g_assert_no_errno (pipe2 (fds, O_CLOEXEC));
  g_unix_fd_list_append (wrong, fds[0], NULL);
  close (fds[0]);
  close (fds[1]);
  check_refused (handle, wrong, KIND, 0, MP_ERROR_CORRUPT);
  check_refused (handle, fd_list, KIND + 1, 0, MP_ERROR_CORRUPT);
  check_refused (handle, fd_list, KIND, 101, MP_ERROR_CORRUPT);
  check_refused (parse ("(1, 2)"), fd_list, KIND, 0, MP_ERROR_TYPE);
  check_refused (parse ("('other', @u 1, @a{sv} {}, [@h 0])"), fd_list, KIND, 0, MP_ERROR_TYPE);
  check_refused (parse ("('test', @u 2, @a{sv} {}, [@h 0])"),
                 fd_list,
                 KIND,
                 0,
                 MP_ERROR_NOT_SUPPORTED);
  check_refused (parse ("('test', @u 1, {'pidns': <@t 1>}, [@h 0])"),
                 fd_list,
                 KIND,
                 0,
                 MP_ERROR_NOT_SUPPORTED);
  check_refused (parse ("('test', @u 1, {'pidns': <%t>}, [@h 0])", pidns),
                 fd_list,
                 KIND,
                 0,
                 MP_ERROR_CORRUPT);
  for (guint i = 0; i < 7; i++)
    {
      const guint32 slots[] = { block.slot, block.slot + 1, 0,         G_MAXUINT32,
                                block.slot, block.slot,     block.slot };
      const guint32 generations[] = { block.generation + 2, 1, 1, 1, 0, block.generation + 1,
                                      block.generation };
      const gint32 indexes[] = { 0, 0, 0, 0, 0, 0, 5 };

      check_refused (parse ("('test', @u 1, {'pidns': <%t>, 'arena': <(@t 1, @t 2)>, 'slot': <%u>, "
                            "'generation': <%u>}, [%h])",
                            pidns,
                            slots[i],
                            generations[i],
                            indexes[i]),
                     fd_list,
                     KIND,
                     0,
                     i == 0 || i > 3 ? (i == 6 ? MP_ERROR_CORRUPT : MP_ERROR_NOT_FOUND)
                                     : MP_ERROR_CORRUPT);
    }
  check_refused (parse ("('test', @u 1, {'pidns': <%t>, 'arena': <(@t 1, @t 2)>, 'slot': <@u 1>, "
                        "'generation': <@u 1>}, @ah [])",
                        pidns),
                 NULL,
                 KIND,
                 0,
                 MP_ERROR_NOT_FOUND);
  mp_block_clear (&block);
}

static void
note_block (guint32 kind,
            guint32 slot,
            guint32 generation,
            gpointer memory,
            gsize size,
            gpointer user_data)
{
  guint64 *sum = user_data;

  g_assert_cmpuint (kind, ==, KIND);
  *sum += size + *(guint8 *) memory;
}

static void
count_arena (MpArena *arena, gpointer user_data)
{
  ++*(guint *) user_data;
}

static void
test_foreach (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  g_autoptr (MpArena) first = mp_arena_ref_default (NULL);
  g_autoptr (MpArena) second = mp_arena_ref_default (NULL);
  MpBlock blocks[1000];
  guint64 sum = 0;
  guint n = 0;

  g_test_summary ("All blocks, and all arenas");
  g_assert_true (first == second);
  for (guint i = 0; i < 1000; i++)
    {
      blocks[i] = new_block (arena, 1 + i % 50);
      memset (blocks[i].memory, 2, blocks[i].size);
    }
  mp_arena_foreach_block (arena, note_block, &sum);
  g_assert_cmpuint (sum, ==, 20 * 51 * 25 + 2 * 1000);
  for (guint i = 0; i < 1000; i++)
    mp_block_clear (&blocks[i]);
  mp_arena_foreach (count_arena, &n);
  g_assert_cmpuint (n, >=, 2);
}

static gpointer
allocate_and_free (gpointer data)
{
  MpBlock blocks[50] = { { NULL } };
  guint32 random = GPOINTER_TO_UINT (g_thread_self ()) | 1;

  for (guint i = 0; i < 20000; i++)
    {
      MpBlock *block;

      random = random * 1664525u + 1013904223u;
      block = &blocks[(random >> 8) % G_N_ELEMENTS (blocks)];
      if (block->arena != NULL)
        {
          g_assert_true (is_filled (block, (guint8) block->size));
          mp_block_clear (block);
        }
      *block = new_block (data, 1 + (random >> 16) % ((random & 255) == 0 ? 20000 : 200));
      memset (block->memory, (guint8) block->size, block->size);
    }
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    mp_block_clear (&blocks[i]);
  return NULL;
}

static void
test_threads (void)
{
  g_autoptr (MpArena) arena = new_arena ();
  GThread *threads[4];

  g_test_summary ("Threads of one process, some of which fork");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("allocator", allocate_and_free, arena);
  for (int i = 0; i < 20; i++)
    {
      GPid pid = fork ();

      if (pid == 0)
        {
          MpBlock block = new_block (arena, 64);

          mp_block_clear (&block);
          _exit (0);
        }
      g_assert_cmpint (test_join (pid), ==, 0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  /* What was there when somebody forked lingers. */
  for (gsize i = arena->linger_begin; i < arena->linger_end; i++)
    arena->lingers[i].until = 0;
  while (arena->linger_ref)
    mp_arena_sweep (arena);
  mp_arena_sweep (arena);
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/arena/blocks", test_blocks);
  g_test_add_func ("/mp/arena/sizes", test_sizes);
  g_test_add_func ("/mp/arena/big", test_big);
  g_test_add_func ("/mp/arena/too-big", test_too_big);
  g_test_add_func ("/mp/arena/limited", test_limited);
  g_test_add_func ("/mp/arena/million", test_million);
  g_test_add_func ("/mp/arena/handles", test_handles);
  g_test_add_func ("/mp/arena/stolen", test_stolen);
  g_test_add_func ("/mp/arena/thousand", test_thousand);
  g_test_add_func ("/mp/arena/linger", test_linger);
  g_test_add_func ("/mp/arena/linger-threads", test_linger_threads);
  g_test_add_func ("/mp/arena/refused", test_refused);
  g_test_add_func ("/mp/arena/foreach", test_foreach);
  g_test_add_func ("/mp/arena/threads", test_threads);
  return g_test_run ();
}
