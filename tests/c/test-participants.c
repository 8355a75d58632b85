/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libmp.h"
#include "memory/mp-participants-private.h"
#include "memory/mp-segment-private.h"
#include "test-util.h"

#define OFFSET 4096u
static const char *program;

typedef struct
{
  MpSegment segment;
  guint max;
} Table;

static void
table_init (Table *self, guint max)
{
  guint64 parameters[MP_SEGMENT_N_PARAMETERS] = { 0 };
  g_autoptr (GError) error = NULL;

  self->segment = (MpSegment) MP_SEGMENT_INIT;
  self->max = max;
  mp_segment_create (&self->segment,
                     "test",
                     MP_SEGMENT_KIND ('t', 'e', 's', 't'),
                     1,
                     OFFSET + mp_participants_get_table_size (max),
                     TRUE,
                     parameters,
                     &error);
  g_assert_no_error (error);
}

static void
table_clear (Table *self)
{
  mp_segment_clear (&self->segment);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Table, table_clear)

static MpParticipants *
take_part (Table *table)
{
  g_autoptr (GError) error = NULL;
  MpParticipants *self = mp_participants_new_in (&table->segment, OFFSET, table->max, &error);

  g_assert_no_error (error);
  return self;
}

/* A process, what it says, and what it is told. */
typedef struct
{
  GPid pid;
  int from;
  int to;
} Child;

typedef void (*ChildFunc) (MpParticipants *self, gpointer data);

static void
tell (int fd, guint32 word)
{
  if (write (fd, &word, sizeof word) != sizeof word)
    _exit (1);
}

static guint32
hear (int fd)
{
  guint32 word = 0;

  g_assert_cmpint (read (fd, &word, sizeof word), ==, sizeof word);
  return word;
}

/* In the child, 0 is what it is told and 1 what it says. */
static Child
child_start (ChildFunc func, MpParticipants *self, gpointer data)
{
  int from[2], to[2];
  Child child;

  g_assert_no_errno (pipe2 (from, O_CLOEXEC));
  g_assert_no_errno (pipe2 (to, O_CLOEXEC));
  child.pid = fork ();
  if (child.pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      dup2 (to[0], 0);
      dup2 (from[1], 1);
      close (to[1]);
      close (from[0]);
      func (self, data);
      for (;;)
        pause ();
    }
  close (from[1]);
  close (to[0]);
  child.from = from[0];
  child.to = to[1];
  return child;
}

static void
child_end (Child *child)
{
  close (child->from);
  close (child->to);
}

static void
child_kill (Child *child)
{
  test_kill (child->pid);
  child_end (child);
}

static void
tell_word (MpParticipants *self, gpointer data)
{
  tell (1, mp_participants_get_self_word (self));
}

static void
test_self (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  guint32 word;

  g_test_summary ("A process is alive for itself; nobody and nonsense are not");
  table_init (&table, 10);
  self = take_part (&table);
  word = mp_participants_get_self_word (self);
  g_assert_cmpuint (word, ==, mp_participants_get_self (self, NULL));
  g_assert_true (mp_participants_is_alive (self, word));
  g_assert_true (mp_participants_is_alive (self, word | ~MP_PARTICIPANT_MASK));
  g_assert_cmpuint (mp_participants_get_pid (self, word), ==, getpid ());
  g_assert_false (mp_participants_is_alive (self, MP_PARTICIPANT_NONE));
  g_assert_false (mp_participants_is_alive (self, word + (1 << 12)));
  g_assert_false (mp_participants_is_alive (self, word + 1));
  g_assert_false (mp_participants_is_alive (self, 0xfff));
  g_assert_false (mp_participants_is_alive (self, 0xffffffff));
  g_assert_cmpuint (mp_participants_get_pid (self, word + 1), ==, 0);
}

static void
test_words (void)
{
  g_auto (Table) table;
  guint n_fds;
  guint32 last = 0;

  g_test_summary ("No word is a thread id, none is given twice in a row, and none costs anything");
  table_init (&table, 1);
  n_fds = test_count_fds ();
  for (int i = 0; i < 3000; i++)
    {
      g_autoptr (MpParticipants) self = take_part (&table);
      guint32 word = mp_participants_get_self_word (self);

      g_assert_cmpuint (word, >=, 1u << 22);
      g_assert_cmpuint (word, <, 1u << 30);
      g_assert_cmpuint (word, !=, last);
      g_assert_false (last != 0 && mp_participants_is_alive (self, last));
      g_assert_cmpuint (test_count_fds (), ==, n_fds);
      last = word;
    }
}

static void
test_wrap (void)
{
  g_auto (Table) table;
  _Atomic uint32_t *generation;
  guint8 *memory;

  g_test_summary ("Generations begin again, and nonsense in the table does no harm");
  table_init (&table, 1);
  memory = mp_segment_map (&table.segment, 0, OFFSET + mp_participants_get_table_size (1));
  generation = (gpointer) (memory + OFFSET + 64);
  for (guint i = 0; i < 3; i++)
    {
      const guint32 before[] = { (1u << 18) - 1, 0xffffffff, 77 };
      g_autoptr (MpParticipants) self = NULL;

      atomic_store (generation, before[i]);
      self = take_part (&table);
      g_assert_cmpuint (mp_participants_get_self_word (self), ==, 1024u << 12 | 1);
    }
  munmap (memory, OFFSET + mp_participants_get_table_size (1));
}

static void
test_killed (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;

  g_test_summary (
    "A forked child has a word of its own, which dies with it and is not given again");
  table_init (&table, 3);
  self = take_part (&table);
  for (int i = 0; i < 30; i++)
    {
      Child first = child_start (tell_word, self, NULL);
      Child second = child_start (tell_word, self, NULL);
      guint32 word = hear (first.from), other = hear (second.from);
      siginfo_t info;

      g_assert_cmpuint (word, !=, MP_PARTICIPANT_NONE);
      g_assert_cmpuint (word, !=, mp_participants_get_self_word (self));
      g_assert_cmpuint (word, !=, other);
      g_assert_true (mp_participants_is_alive (self, word));
      g_assert_cmpuint (mp_participants_get_pid (self, word), ==, first.pid);
      g_assert_no_errno (kill (first.pid, SIGKILL));
      /* A zombie is dead. */
      g_assert_no_errno (waitid (P_PID, (id_t) first.pid, &info, WEXITED | WNOWAIT));
      g_assert_false (mp_participants_is_alive (self, word));
      child_kill (&first);
      g_assert_true (mp_participants_is_alive (self, other));
      /* Somebody else has its index now: the generation tells them apart. */
      first = child_start (tell_word, self, NULL);
      g_assert_cmpuint (hear (first.from) & 0xfff, ==, word & 0xfff);
      g_assert_false (mp_participants_is_alive (self, word));
      g_assert_cmpuint (mp_participants_get_pid (self, word), ==, 0);
      child_kill (&first);
      child_kill (&second);
      g_assert_false (mp_participants_is_alive (self, other));
    }
  g_assert_true (mp_participants_is_alive (self, mp_participants_get_self_word (self)));
}

static void
test_full (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  g_autoptr (MpParticipants) none = NULL;
  g_autoptr (GError) error = NULL;
  Child first, second;
  guint32 word;

  g_test_summary ("More processes than places");
  table_init (&table, 2);
  self = take_part (&table);
  first = child_start (tell_word, self, NULL);
  word = hear (first.from);
  second = child_start (tell_word, self, NULL);
  g_assert_cmpuint (hear (second.from), ==, MP_PARTICIPANT_NONE);
  none = mp_participants_new_in (&table.segment, OFFSET, 2, &error);
  g_assert_error (error, MP_ERROR, MP_ERROR_LIMIT);
  g_assert_nonnull (strstr (error->message, "2 places"));
  g_assert_true (mp_participants_is_alive (self, word));
  child_kill (&second);
  child_kill (&first);
  g_assert_false (mp_participants_is_alive (self, word));
}

/* Says what its word was, becomes another program, and says so. */
static void G_GNUC_NORETURN
tell_word_and_exec (MpParticipants *self, gpointer data)
{
  tell_word (self, NULL);
  execl (program, program, "--say-and-wait", NULL);
  _exit (1);
}

static void
test_exec (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  Child child;
  guint32 word;

  g_test_summary ("Who executes another program takes part no more");
  table_init (&table, 10);
  self = take_part (&table);
  child = child_start (tell_word_and_exec, self, NULL);
  word = hear (child.from);
  g_assert_cmpuint (word, !=, 0);
  g_assert_cmpuint (hear (child.from), ==, 42);
  g_assert_false (mp_participants_is_alive (self, word));
  g_assert_no_errno (kill (child.pid, 0));
  child_kill (&child);
}

static void
tell_word_and_spawn (MpParticipants *self, gpointer data)
{
  char *arguments[] = { (char *) program, (char *) "--say-and-wait", NULL };
  pid_t pid;

  tell_word (self, NULL);
  if (posix_spawn (&pid, program, NULL, NULL, arguments, environ) != 0)
    _exit (1);
}

static void
test_spawn (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  Child child;
  guint32 word, byte;

  g_test_summary ("What a process has started in any way does not keep it alive");
  table_init (&table, 10);
  self = take_part (&table);
  child = child_start (tell_word_and_spawn, self, NULL);
  word = hear (child.from);
  g_assert_cmpuint (hear (child.from), ==, 42);
  g_assert_true (mp_participants_is_alive (self, word));
  test_kill (child.pid);
  g_assert_false (mp_participants_is_alive (self, word));
  /* The other one ends when nobody talks to it any more. */
  close (child.to);
  g_assert_cmpint (read (child.from, &byte, sizeof byte), ==, 0);
  close (child.from);
}

static void
tell_word_fork_and_die (MpParticipants *self, gpointer data)
{
  tell_word (self, NULL);
  if (fork () == 0)
    {
      tell (1, mp_participants_get_self_word (self));
      hear (0);
      _exit (0);
    }
}

static void
test_orphan (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  Child child;
  guint32 word, orphan;

  g_test_summary ("A child that outlives its parent does not keep it alive");
  table_init (&table, 10);
  self = take_part (&table);
  child = child_start (tell_word_fork_and_die, self, NULL);
  word = hear (child.from);
  orphan = hear (child.from);
  test_kill (child.pid);
  g_assert_false (mp_participants_is_alive (self, word));
  g_assert_true (mp_participants_is_alive (self, orphan));
  tell (child.to, 1);
  g_assert_cmpint (read (child.from, &word, sizeof word), ==, 0);
  child_end (&child);
}

/* In the fork handler of the child: the parent is killed now. */
static void
forked_cb (gpointer user_data)
{
  hear (0);
  tell (1, 7);
  hear (0);
}

static void
fork_slowly (MpParticipants *self, gpointer data)
{
  tell_word (self, NULL);
  mp_participants_set_forked_func (self, forked_cb, NULL);
  if (fork () == 0)
    {
      tell (1, mp_participants_get_self_word (self));
      hear (0);
      _exit (0);
    }
}

static void
test_handover (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  guint32 word, orphan;
  Child child;

  g_test_summary ("A parent counts as alive until its child has taken over");
  table_init (&table, 10);
  self = take_part (&table);
  child = child_start (fork_slowly, self, NULL);
  word = hear (child.from);
  tell (child.to, 1);
  g_assert_cmpuint (hear (child.from), ==, 7);
  test_kill (child.pid);
  g_assert_true (mp_participants_is_alive (self, word));
  tell (child.to, 1);
  orphan = hear (child.from);
  g_assert_false (mp_participants_is_alive (self, word));
  g_assert_true (mp_participants_is_alive (self, orphan));
  tell (child.to, 1);
  g_assert_cmpint (read (child.from, &word, sizeof word), ==, 0);
  child_end (&child);
}

/* Closes what is not its own, and puts something else there; then answers
 * about each word that it is told. */
static void G_GNUC_NORETURN
answer_without_descriptors (MpParticipants *self, gpointer data)
{
  tell_word (self, NULL);
  for (int fd = 3; fd < 4096; fd++)
    close (fd);
  for (int fd = 3; fd < 64; fd++)
    {
      if (open ("/dev/null", O_RDWR | O_CLOEXEC) != fd)
        _exit (1);
    }
  for (;;)
    tell (1, (guint32) mp_participants_is_alive (self, hear (0)));
}

static guint32
ask (Child *child, guint32 word)
{
  tell (child->to, word);
  return hear (child->from);
}

static void
test_closed (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  Child child, other;
  guint32 word, others;

  g_test_summary ("A process that closed all its descriptors is alive, and knows who is");
  table_init (&table, 10);
  self = take_part (&table);
  child = child_start (answer_without_descriptors, self, NULL);
  word = hear (child.from);
  other = child_start (tell_word, self, NULL);
  others = hear (other.from);
  g_assert_cmpuint (ask (&child, word), ==, TRUE);
  g_assert_cmpuint (ask (&child, others), ==, TRUE);
  g_assert_cmpuint (ask (&child, mp_participants_get_self_word (self)), ==, TRUE);
  g_assert_cmpuint (ask (&child, others + (1u << 12)), ==, FALSE);
  g_assert_true (mp_participants_is_alive (self, word));
  g_assert_no_errno (kill (other.pid, SIGKILL));
  test_wait_state (other.pid, 'Z');
  g_assert_cmpuint (ask (&child, others), ==, FALSE);
  child_kill (&other);
  g_assert_cmpuint (ask (&child, others), ==, FALSE);
  g_assert_true (mp_participants_is_alive (self, word));
  child_kill (&child);
  g_assert_false (mp_participants_is_alive (self, word));
}

/* Replaced while it is asked, once, as by a thread that closes all descriptors. */
static gboolean is_replaced_next;

/* In front of that of the C library. */
int
fcntl64 (int fd, int command, ...)
{
  va_list arguments;
  gpointer argument;

  va_start (arguments, command);
  argument = va_arg (arguments, gpointer);
  va_end (arguments);
  if (command == F_OFD_GETLK && is_replaced_next)
    {
      is_replaced_next = FALSE;
      g_assert_cmpint (dup2 (STDIN_FILENO, fd), ==, fd);
    }
  return (int) syscall (SYS_fcntl, fd, command, argument);
}

static void
test_replaced (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  Child child;
  guint32 word;

  g_test_summary ("Nobody is taken for dead whose lock was looked for in another file");
  table_init (&table, 10);
  self = take_part (&table);
  child = child_start (tell_word, self, NULL);
  word = hear (child.from);
  is_replaced_next = TRUE;
  g_assert_true (mp_participants_is_alive (self, word));
  g_assert_false (is_replaced_next);
  child_kill (&child);
  g_assert_false (mp_participants_is_alive (self, word));
}

/* Takes part and leaves, again and again. */
static gpointer
come_and_go (gpointer data)
{
  Table *table = data;

  while (table->max != 0)
    {
      g_autoptr (MpParticipants) self = mp_participants_new_in (&table->segment, OFFSET, 50, NULL);

      g_assert_nonnull (self);
      g_assert_true (mp_participants_is_alive (self, mp_participants_get_self_word (self)));
    }
  return NULL;
}

static void
test_threads (void)
{
  g_auto (Table) table;
  g_autoptr (MpParticipants) self = NULL;
  gint64 end = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;
  GThread *thread;

  g_test_summary ("One thread forks while another one takes part");
  table_init (&table, 50);
  self = take_part (&table);
  thread = g_thread_new ("importer", come_and_go, &table);
  for (int i = 0; i < 200; i++)
    {
      Child child = child_start (tell_word, self, NULL);
      guint32 word = hear (child.from);

      g_assert_cmpuint (word, !=, MP_PARTICIPANT_NONE);
      g_assert_true (mp_participants_is_alive (self, word));
      child_kill (&child);
      /* The thread may be about to take its index over. */
      while (mp_participants_is_alive (self, word))
        {
          g_assert_cmpint (g_get_monotonic_time (), <, end);
          g_thread_yield ();
        }
    }
  table.max = 0;
  g_thread_join (thread);
}

static int
say_and_wait (void)
{
  guint32 word;

  tell (1, 42);
  return read (0, &word, sizeof word) == 0 ? 0 : 1;
}

int
main (int argc, char **argv)
{
  if (argc > 1 && g_str_equal (argv[1], "--say-and-wait"))
    return say_and_wait ();
  program = argv[0];
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/participants/self", test_self);
  g_test_add_func ("/mp/participants/words", test_words);
  g_test_add_func ("/mp/participants/wrap", test_wrap);
  g_test_add_func ("/mp/participants/killed", test_killed);
  g_test_add_func ("/mp/participants/full", test_full);
  g_test_add_func ("/mp/participants/exec", test_exec);
  g_test_add_func ("/mp/participants/spawn", test_spawn);
  g_test_add_func ("/mp/participants/orphan", test_orphan);
  g_test_add_func ("/mp/participants/handover", test_handover);
  g_test_add_func ("/mp/participants/closed", test_closed);
  g_test_add_func ("/mp/participants/replaced", test_replaced);
  g_test_add_func ("/mp/participants/threads", test_threads);
  return g_test_run ();
}
