/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* arena-chaos [KILLS]
 *
 * Processes that make blocks in one arena, fill them, pass them on, take those
 * of others, fork, and drop blocks; killed with SIGKILL at random instants. What
 * must hold whatever happens:
 *
 * - a new block is zeroed, and nobody but its holders ever changes it: no memory
 *   is given to two;
 * - in the end there are exactly the blocks that living processes hold;
 * - when these are gone, each slot and each hold is free, once;
 * - the file stays small, and gives its memory back. */

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmp.h"
#include "memory/mp-arena-layout-private.h"

#define KIND MP_BLOCK_KIND ('c', 'h', 'a', 'o')
#define NAME "chaos"
#define N_PROCESSES 5
#define MAX_BLOCKS 120
#define N_MAILS 32
#define LINGER_US (20 * 1000)
#define HANG_US (30 * G_USEC_PER_SEC)
#define MAX_FILE (256u * 1024 * 1024)
#define MAX_MEMORY (16u * 1024 * 1024)

/* Seen by all processes. */
typedef struct
{
  _Atomic guint64 mails[N_MAILS]; /* generation, slot */
  _Atomic guint32 stop;
  _Atomic guint32 n_stopped;
  _Atomic guint64 held[N_PROCESSES][MAX_BLOCKS];
  _Atomic guint64 n_made;
  _Atomic guint64 n_taken;
  _Atomic guint64 n_gone;
  _Atomic guint64 n_dropped;
  _Atomic guint64 n_forks;
  _Atomic guint64 n_not_zero;
  _Atomic guint64 n_changed;
  _Atomic guint64 n_errors;
} Ledger;

static Ledger *ledger;
static int n_kills;
static guint32 onlooker; /* the word of the test itself */

/* A process that is to be killed. */
typedef struct
{
  MpArena *arena;
  GVariant *handle; /* of any block: where the arena is */
  GUnixFDList *fd_list;
  MpBlock blocks[MAX_BLOCKS];
  guint32 random;
} Worker;

static guint32
next_random (Worker *self)
{
  self->random ^= self->random << 13;
  self->random ^= self->random >> 17;
  self->random ^= self->random << 5;
  return self->random;
}

static guint64
name_of (const MpBlock *block)
{
  return (guint64) block->generation << 32 | block->slot;
}

static guint8
pattern_of (const MpBlock *block)
{
  return (guint8) ((block->slot * 31 + block->generation * 7 + (guint32) block->size) % 255 + 1);
}

static gboolean
is_filled (const MpBlock *block, guint8 byte)
{
  const guint8 *memory = block->memory;

  return memory[0] == byte && memcmp (memory, memory + 1, block->size - 1) == 0;
}

static void
check (const MpBlock *block)
{
  if (!is_filled (block, pattern_of (block)))
    atomic_fetch_add (&ledger->n_changed, 1);
}

static gsize
random_size (Worker *self)
{
  switch (next_random (self) % 64)
    {
    case 0:
      return 1 + next_random (self) % 300000;
    case 1:
    case 2:
      return 1 + next_random (self) % 10000;
    default:
      return 1 + next_random (self) % 200;
    }
}

static void
make (Worker *self, MpBlock *block)
{
  g_autoptr (GError) error = NULL;

  if (!mp_block_new (block, self->arena, KIND, random_size (self), &error))
    {
      g_printerr ("making: %s\n", error->message);
      atomic_fetch_add (&ledger->n_errors, 1);
      return;
    }
  if (!is_filled (block, 0))
    atomic_fetch_add (&ledger->n_not_zero, 1);
  memset (block->memory, pattern_of (block), block->size);
  atomic_fetch_add (&ledger->n_made, 1);
}

static void
drop (MpBlock *block)
{
  check (block);
  mp_block_clear (block);
  atomic_fetch_add (&ledger->n_dropped, 1);
}

static void
pass_on (Worker *self, MpBlock *block)
{
  g_autoptr (GVariant) handle = mp_block_to_handle (block, NAME, 1, NULL, NULL, NULL);

  if (handle == NULL)
    atomic_fetch_add (&ledger->n_errors, 1);
  atomic_store (&ledger->mails[next_random (self) % N_MAILS], name_of (block));
}

/* The handle of the block that @name names. */
static GVariant *
make_handle (Worker *self, guint64 name)
{
  g_autoptr (GVariant) layout = g_variant_get_child_value (self->handle, 2);
  g_autoptr (GVariant) indexes = g_variant_get_child_value (self->handle, 3);
  g_autoptr (GVariant) arena = g_variant_lookup_value (layout, "arena", NULL);
  g_autoptr (GVariant) pidns = g_variant_lookup_value (layout, "pidns", NULL);
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);

  g_variant_builder_add (&builder, "{sv}", "arena", arena);
  g_variant_builder_add (&builder, "{sv}", "pidns", pidns);
  g_variant_builder_add (&builder, "{sv}", "slot", g_variant_new_uint32 ((guint32) name));
  g_variant_builder_add (&builder,
                         "{sv}",
                         "generation",
                         g_variant_new_uint32 ((guint32) (name >> 32)));
  return g_variant_ref_sink (
    g_variant_new ("(su@a{sv}@ah)", NAME, 1, g_variant_builder_end (&builder), indexes));
}

static void
take (Worker *self, MpBlock *block)
{
  guint64 name = atomic_exchange (&ledger->mails[next_random (self) % N_MAILS], 0);
  g_autoptr (GVariant) handle = NULL;
  g_autoptr (GError) error = NULL;

  if (name == 0)
    return;
  handle = make_handle (self, name);
  if (mp_block_from_handle (block, NAME, 1, KIND, 1, handle, self->fd_list, &error))
    {
      check (block);
      atomic_fetch_add (&ledger->n_taken, 1);
    }
  else if (g_error_matches (error, MP_ERROR, MP_ERROR_NOT_FOUND))
    atomic_fetch_add (&ledger->n_gone, 1);
  else
    {
      g_printerr ("taking: %s\n", error->message);
      atomic_fetch_add (&ledger->n_errors, 1);
    }
}

/* Time passes faster here. */
static void
end_lingers (MpArena *arena, gint64 age)
{
  gint64 end = g_get_monotonic_time () + MP_ARENA_LINGER_US - age;

  pthread_mutex_lock (&arena->mutex);
  for (gsize i = arena->linger_begin; i < arena->linger_end; i++)
    {
      if (arena->lingers[i].until > end)
        break;
      arena->lingers[i].until = 0;
    }
  pthread_mutex_unlock (&arena->mutex);
}

static void
step (Worker *self)
{
  MpBlock *block = &self->blocks[next_random (self) % MAX_BLOCKS];

  if (block->arena != NULL)
    {
      check (block);
      if (next_random (self) % 4 == 0)
        pass_on (self, block);
      else
        drop (block);
    }
  else if (next_random (self) % 3 == 0)
    take (self, block);
  else
    make (self, block);
  if (next_random (self) % 64 == 0)
    end_lingers (self->arena, LINGER_US);
  if (next_random (self) % 1024 == 0)
    mp_arena_sweep (self->arena);
}

/* A child that has the same blocks, for a while. */
static void
fork_child (Worker *self)
{
  pid_t parent = getpid (), pid = fork ();

  if (pid == 0)
    {
      guint n = next_random (self) % 200;

      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (0);
      for (guint i = 0; i < n; i++)
        step (self);
      for (guint i = 0; i < MAX_BLOCKS; i++)
        {
          if (self->blocks[i].arena != NULL)
            drop (&self->blocks[i]);
        }
      _exit (0);
    }
  atomic_fetch_add (&ledger->n_forks, 1);
  if (next_random (self) % 2 == 0)
    kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
}

static void G_GNUC_NORETURN
work (Worker *self, int which)
{
  while (atomic_load (&ledger->stop) == 0)
    {
      step (self);
      if (next_random (self) % 2048 == 0)
        fork_child (self);
    }
  end_lingers (self->arena, 0);
  while (self->arena->linger_ref)
    {
      end_lingers (self->arena, 0);
      mp_arena_sweep (self->arena);
    }
  for (guint i = 0; i < MAX_BLOCKS; i++)
    {
      if (self->blocks[i].arena != NULL)
        {
          check (&self->blocks[i]);
          atomic_store (&ledger->held[which][i], name_of (&self->blocks[i]));
        }
    }
  atomic_fetch_add (&ledger->n_stopped, 1);
  for (;;)
    pause ();
}

/* The run */

typedef struct
{
  MpArena *arena;
  MpBlock first;
  GVariant *handle;
  GUnixFDList *fd_list;
  pid_t pids[N_PROCESSES];
  guint32 n_started;
  guint n_killed;
} Run;

static void
start (Run *self, int which)
{
  guint32 seed = ++self->n_started;
  pid_t parent = getpid ();

  fflush (NULL);
  self->pids[which] = fork ();
  if (self->pids[which] == 0)
    {
      Worker *worker = g_new0 (Worker, 1);

      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (1);
      worker->random = seed * 2654435761u + 1;
      worker->handle = self->handle;
      worker->fd_list = self->fd_list;
      /* Every second one comes by the handle, as a stranger would. */
      if (seed % 2 == 0)
        {
          mp_block_clear (&self->first);
          end_lingers (self->arena, 0);
          mp_arena_sweep (self->arena);
          mp_arena_unref (self->arena);
          if (!mp_block_from_handle (&self->first,
                                     NAME,
                                     1,
                                     KIND,
                                     1,
                                     self->handle,
                                     self->fd_list,
                                     NULL))
            _exit (1);
          self->arena = self->first.arena;
        }
      worker->arena = mp_arena_ref (self->arena);
      mp_block_clear (&self->first);
      work (worker, which);
    }
  g_assert_cmpint (self->pids[which], >, 0);
}

static guint64
get_progress (void)
{
  return atomic_load (&ledger->n_made) + atomic_load (&ledger->n_taken) +
         atomic_load (&ledger->n_dropped);
}

static void
kill_at_random (Run *self)
{
  guint32 random = g_test_rand_int () | 1;
  guint64 last = 0;
  gint64 last_time = g_get_monotonic_time ();

  for (int i = 0; i < n_kills; i++)
    {
      int which;
      struct timespec instant;

      random = random * 1664525u + 1013904223u;
      which = (int) ((random >> 8) % N_PROCESSES);
      instant = (struct timespec){ .tv_nsec = (random >> 4) % 6000000 };
      ppoll (NULL, 0, &instant, NULL);
      g_assert_no_errno (kill (self->pids[which], SIGKILL));
      g_assert_cmpint (waitpid (self->pids[which], NULL, 0), ==, self->pids[which]);
      self->n_killed++;
      start (self, which);
      if (get_progress () != last)
        {
          last = get_progress ();
          last_time = g_get_monotonic_time ();
        }
      g_assert_cmpint (g_get_monotonic_time () - last_time, <, HANG_US);
    }
}

static void
stop_all (Run *self)
{
  gint64 end = g_get_monotonic_time () + HANG_US;

  atomic_store (&ledger->stop, 1);
  while (atomic_load (&ledger->n_stopped) < N_PROCESSES)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, end);
      poll (NULL, 0, 1);
    }
}

static void
note_block (guint32 kind,
            guint32 slot,
            guint32 generation,
            gpointer memory,
            gsize size,
            gpointer user_data)
{
  guint64 name = (guint64) generation << 32 | slot;

  g_assert_true (g_hash_table_add (user_data, g_memdup2 (&name, sizeof name)));
}

/* Exactly what living processes hold is there. */
static void
check_holders (Run *self)
{
  g_autoptr (GHashTable) there = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_autoptr (GHashTable) held = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  guint64 first = name_of (&self->first);
  GHashTableIter iter;
  gpointer name;

  mp_arena_sweep (self->arena);
  mp_arena_foreach_block (self->arena, note_block, there);
  g_hash_table_add (held, g_memdup2 (&first, sizeof first));
  for (guint i = 0; i < N_PROCESSES; i++)
    {
      for (guint j = 0; j < MAX_BLOCKS; j++)
        {
          guint64 one = atomic_load (&ledger->held[i][j]);

          if (one != 0)
            g_hash_table_add (held, g_memdup2 (&one, sizeof one));
        }
    }
  g_test_message ("%u blocks are held", g_hash_table_size (held));
  g_assert_cmpuint (g_hash_table_size (there), ==, g_hash_table_size (held));
  g_assert_cmpuint (mp_arena_get_n_blocks (self->arena), ==, g_hash_table_size (held));
  g_hash_table_iter_init (&iter, held);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_assert_true (g_hash_table_contains (there, name));
}

static guint32 *
next_of (MpArena *arena, guint32 slot)
{
  MpArenaChunk *chunk = mp_arena_get_chunk (arena, mp_arena_chunk_of (slot));
  guint32 index = mp_arena_index_of (slot);

  g_assert_nonnull (chunk);
  g_assert_cmpuint (index, <, mp_arena_get_used (arena, mp_arena_chunk_of (slot)));
  if (chunk->class_ == MP_ARENA_CLASS_HOLDS)
    {
      g_assert_cmpuint (atomic_load (&mp_arena_holds (chunk)[index].holder), ==, 0);
      return (guint32 *) &mp_arena_holds (chunk)[index].next;
    }
  g_assert_cmpuint (atomic_load (&mp_arena_slots (chunk)[index].holder), ==, 0);
  g_assert_cmpuint (atomic_load (&mp_arena_slots (chunk)[index].generation) % 2, ==, 0);
  return (guint32 *) &mp_arena_slots (chunk)[index].next;
}

/* With no block there, all that was ever used is in the list of what is free, once. */
static void
check_lists (MpArena *arena)
{
  guint64 n_used[MP_ARENA_N_CLASSES] = { 0 };

  for (guint32 i = 1; i <= atomic_load (&arena->shared->n_chunks); i++)
    {
      MpArenaChunk *chunk = mp_arena_get_chunk (arena, i);

      if (chunk == NULL)
        g_error ("There is no chunk %u", i);
      n_used[chunk->class_] += mp_arena_get_used (arena, i);
    }
  for (guint32 class_ = 0; class_ < MP_ARENA_N_CLASSES; class_++)
    {
      guint32 slot = atomic_load (&arena->shared->free[class_]);
      guint64 n = 0;

      for (; slot != 0 && n <= n_used[class_]; n++)
        slot = *next_of (arena, slot);
      g_assert_cmpuint (n, ==, n_used[class_]);
    }
}

static void
check_ledger (Run *self)
{
  struct stat status;

  g_assert_no_errno (fstat (self->arena->segment.fd, &status));
  g_test_message ("killed %u, %u of them in the middle of a change; made %" G_GUINT64_FORMAT
                  ", taken from others %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT
                  " were gone), dropped %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
                  " forks; the file has %" G_GUINT64_FORMAT " KiB, and %" G_GUINT64_FORMAT
                  " KiB of memory",
                  self->n_killed,
                  atomic_load (&self->arena->shared->n_redone),
                  atomic_load (&ledger->n_made),
                  atomic_load (&ledger->n_taken),
                  atomic_load (&ledger->n_gone),
                  atomic_load (&ledger->n_dropped),
                  atomic_load (&ledger->n_forks),
                  (guint64) status.st_size / 1024,
                  (guint64) status.st_blocks / 2);
  g_assert_cmpuint (atomic_load (&ledger->n_not_zero), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_changed), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_errors), ==, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_made), >, 0);
  g_assert_cmpuint (atomic_load (&ledger->n_taken), >, 0);
  g_assert_cmpuint ((guint64) status.st_size, <, MAX_FILE);
  g_assert_cmpuint ((guint64) status.st_blocks * 512, <, MAX_MEMORY);
}

static void
test_chaos (void)
{
  Run self = { .n_killed = 0 };
  g_autoptr (GError) error = NULL;

  g_test_summary ("Makers, takers and forkers of blocks, killed all the time");
  ledger = mmap (NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true (ledger != MAP_FAILED);
  self.arena = mp_arena_new (&error);
  g_assert_no_error (error);
  mp_block_new (&self.first, self.arena, KIND, 8, &error);
  g_assert_no_error (error);
  self.fd_list = g_unix_fd_list_new ();
  self.handle = mp_block_to_handle (&self.first, NAME, 1, NULL, self.fd_list, &error);
  g_assert_no_error (error);

  for (int i = 0; i < N_PROCESSES; i++)
    start (&self, i);
  kill_at_random (&self);
  stop_all (&self);
  check_holders (&self);
  for (int i = 0; i < N_PROCESSES; i++)
    {
      kill (self.pids[i], SIGKILL);
      waitpid (self.pids[i], NULL, 0);
    }
  mp_arena_sweep (self.arena);
  g_assert_cmpuint (mp_arena_get_n_blocks (self.arena), ==, 1);
  mp_block_clear (&self.first);
  while (self.arena->linger_ref)
    {
      end_lingers (self.arena, 0);
      mp_arena_sweep (self.arena);
    }
  g_assert_cmpuint (mp_arena_get_n_blocks (self.arena), ==, 0);
  check_lists (self.arena);
  check_ledger (&self);
  mp_arena_unref (self.arena);
  g_object_unref (self.fd_list);
  g_variant_unref (self.handle);
  munmap (ledger, sizeof *ledger);
}

/* Every instruction */

#define N_PARTS 6

/* One more thing that changes an arena; all parts together are a life. */
static void
do_part (MpArena *arena, int part, MpBlock *blocks)
{
  guint32 word = mp_participants_get_self_word (arena->participants), nobody = word ^ 0x1000;
  MpBlock *first = &blocks[0], *second = &blocks[1], *big = &blocks[2];
  gboolean done = TRUE;

  switch (part)
    {
    case 0:
      done = mp_block_new (first, arena, KIND, 64, NULL);
      mp_block_clear (first);
      break;
    case 1:
      done =
        mp_block_new (second, arena, KIND, 64, NULL) && mp_block_new (big, arena, KIND, 8192, NULL);
      break;
    case 2:
      /* The program that looks on holds it, too. */
      pthread_mutex_lock (&arena->mutex);
      done = mp_arena_lock (arena) == MP_ARENA_DONE;
      mp_arena_add_hold (arena, second->slot, second->generation, nobody);
      mp_arena_add_hold (arena, second->slot, second->generation, onlooker);
      mp_arena_drop_hold (arena, second->slot, second->generation, nobody, word);
      mp_arena_unlock (arena);
      pthread_mutex_unlock (&arena->mutex);
      break;
    case 3:
      mp_block_clear (second);
      break;
    case 4:
      mp_block_clear (big);
      break;
    default:
      /* What the one before has left. */
      mp_arena_sweep (arena);
      break;
    }
  if (!done)
    _exit (1);
}

/* Runs all parts up to @part in a process that is killed after @n_steps
 * instructions of that one. Returns how many there were; -1 if processes may
 * not be watched here. */
static int
run_steps (MpArena *arena, int part, int n_steps)
{
  int status = 0, n = 0;
  pid_t pid = fork ();

  if (pid == 0)
    {
      MpBlock blocks[3] = { { NULL } };

      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit (2);
      for (int i = 0; i < part; i++)
        do_part (arena, i, blocks);
      raise (SIGSTOP);
      do_part (arena, part, blocks);
      _exit (0);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (!WIFSTOPPED (status))
    return -1;
  for (; n < n_steps; n++)
    {
      g_assert_no_errno ((int) ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL));
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      if (!WIFSTOPPED (status))
        {
          g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
          return n;
        }
    }
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  return n;
}

typedef struct
{
  MpArena *arena;
} Leftover;

/* What the one that was killed had made the onlooker a holder of. */
static void
drop_leftover (guint32 kind,
               guint32 slot,
               guint32 generation,
               gpointer memory,
               gsize size,
               gpointer user_data)
{
  Leftover *leftover = user_data;
  MpArena *arena = leftover->arena;

  if (size != 64)
    return;
  g_assert_cmpint (mp_arena_lock (arena), ==, MP_ARENA_DONE);
  g_assert_cmpint (mp_arena_drop_hold (arena, slot, generation, onlooker, onlooker),
                   ==,
                   MP_ARENA_DONE);
  mp_arena_unlock (arena);
}

/* One instruction after the other of one part. */
static int
kill_at_steps (MpArena *arena, int part, const MpBlock *bystander)
{
  int all = run_steps (arena, part, G_MAXINT), n = 0;
  /* With a sanitizer there are many more, and each one has to be gone through again. */
  int n_points = n_kills >= 3000 ? 5000 : all > 5000 ? 5 : 50;
  int step = MAX (all / n_points, 1);

  for (int at = 1; at < all; at += step, n++)
    {
      Leftover leftover = { .arena = arena };

      run_steps (arena, part, at);
      if (n % 3 == 0)
        continue; /* The next one finds what this one left. */
      mp_arena_sweep (arena);
      mp_arena_foreach_block (arena, drop_leftover, &leftover);
      g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
      g_assert_true (is_filled (bystander, pattern_of (bystander)));
    }
  mp_arena_sweep (arena);
  mp_arena_foreach_block (arena, drop_leftover, &(Leftover){ .arena = arena });
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 1);
  return n;
}

static void
test_steps (void)
{
  g_autoptr (MpArena) arena = mp_arena_new (NULL);
  MpBlock bystander = MP_BLOCK_INIT;
  int n = 0;

  g_test_summary ("One process after the other is killed, each an instruction later");
  onlooker = mp_participants_get_self_word (arena->participants);
  g_assert_true (mp_block_new (&bystander, arena, KIND, 48, NULL));
  memset (bystander.memory, pattern_of (&bystander), bystander.size);
  if (run_steps (arena, N_PARTS - 1, G_MAXINT) < 0)
    {
      g_test_skip ("Processes may not be watched here");
      mp_block_clear (&bystander);
      return;
    }
  mp_arena_foreach_block (arena, drop_leftover, &(Leftover){ .arena = arena });
  for (int part = 0; part < N_PARTS; part++)
    n += kill_at_steps (arena, part, &bystander);
  mp_block_clear (&bystander);
  while (arena->linger_ref)
    {
      end_lingers (arena, 0);
      mp_arena_sweep (arena);
    }
  g_assert_cmpuint (mp_arena_get_n_blocks (arena), ==, 0);
  check_lists (arena);
  g_test_message ("killed %d, each some instructions later, %u of them in the middle of a change",
                  n,
                  atomic_load (&arena->shared->n_redone));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  n_kills = g_strcmp0 (g_getenv ("MP_CHAOS"), "full") == 0 ? 3000 : 300;
  if (argc > 1)
    n_kills = (int) g_ascii_strtoll (argv[1], NULL, 10);
  g_test_add_func ("/mp/arena/chaos/random", test_chaos);
  g_test_add_func ("/mp/arena/chaos/every-instruction", test_steps);
  return g_test_run ();
}
