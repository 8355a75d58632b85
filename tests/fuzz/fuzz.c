/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The world of a fuzzing target: time, sleep, and mapped memory, which the
 * linker puts in the place of the real ones (--wrap), and a watchdog. */

#include "fuzz.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../libmp/base/mp-clock-private.h"
#include "../../libmp/base/mp-error.h"
#include "../../libmp/base/mp-futex-private.h"

/* How much longer than its timeout an operation may take. */
#define SLACK_US (2 * G_USEC_PER_SEC)
#define TICK_US (50 * 1000)
/* So often somebody may die in one operation before there is no end in sight. */
#define MAX_STALLS 10000
#define MAX_STALL_WORDS 256

static _Atomic gint64 now = 1000 * G_USEC_PER_SEC;

static void
sleep_until (gint64 end)
{
  now = MAX (now, end);
}

/* --- Operations ------------------------------------------------------------- */

typedef struct
{
  gpointer word;
  guint32 value;
} StallWord;

static FuzzInput *current_input;
static FuzzPoke current_poke;
static const char *_Atomic operation;
static _Atomic guint n_operations;
static gint64 operation_end;
static guint n_stalls;
static StallWord stall_words[MAX_STALL_WORDS];
static guint n_stall_words;
static gboolean poking;
static gboolean busy; /* there is another processor for the hostile process */

void
fuzz_fail (const char *what, ...)
{
  va_list arguments;

  fprintf (stderr, "%s: in “%s”: ", fuzz_name, operation != NULL ? operation : "nothing");
  va_start (arguments, what);
  vfprintf (stderr, what, arguments);
  va_end (arguments);
  fputc ('\n', stderr);
  fflush (stderr);
  abort ();
}

static void
end_operation (void)
{
  const char *name = operation;

  if (name != NULL && n_stalls == 0 && now > operation_end)
    fuzz_fail ("it took %.3f s more than its timeout",
               (double) (now - operation_end + SLACK_US) / G_USEC_PER_SEC);
  operation = NULL;
}

void
fuzz_operation (const char *name, gint64 timeout_us)
{
  end_operation ();
  n_stalls = 0;
  operation_end = now + timeout_us + SLACK_US;
  atomic_fetch_add (&n_operations, 1);
  operation = name;
}

void
fuzz_may_stall (gpointer word, guint32 value)
{
  if (n_stall_words < MAX_STALL_WORDS)
    stall_words[n_stall_words++] = (StallWord){ .word = word, .value = value };
}

void
fuzz_forget_stalls (void)
{
  n_stall_words = 0;
}

void
fuzz_begin (FuzzInput *input, FuzzPoke hostile)
{
  current_input = input;
  current_poke = hostile;
  /* So that it can be had or not without another meaning of what is before. */
  busy = hostile != NULL && input->size > 0 && input->data[input->size - 1] >= 0xa0;
  /* Nothing that was seen in another input is seen lately. */
  now += 60 * G_USEC_PER_SEC;
  fuzz_operation ("the beginning", 0);
}

void
fuzz_end (void)
{
  end_operation ();
  busy = FALSE;
  current_input = NULL;
  current_poke = NULL;
}

gint64
fuzz_timeout (FuzzInput *self)
{
  switch (fuzz_choose (self, 4))
    {
    case 0:
      return 0;
    case 1:
      return 1;
    case 2:
      return 1000 * (gint64) fuzz_u8 (self);
    default:
      return 10 * G_USEC_PER_SEC;
    }
}

/* --- Time, and other moments ------------------------------------------------ */

gint64 __wrap_g_get_monotonic_time (void);
gpointer __real_mp_segment_map (gpointer segment, guint64 offset, gsize length);
gpointer __wrap_mp_segment_map (gpointer segment, guint64 offset, gsize length);
gboolean __real_mp_segment_allocate (gpointer segment, guint64 offset, guint64 length);
gboolean __wrap_mp_segment_allocate (gpointer segment, guint64 offset, guint64 length);
gboolean __real_mp_participants_is_alive (gpointer participants, guint32 word);
gboolean __wrap_mp_participants_is_alive (gpointer participants, guint32 word);

static void
poke (void)
{
  if (current_poke == NULL)
    return;
  poking = TRUE;
  current_poke (current_input);
  poking = FALSE;
}

/* The honest process is in the middle of something, and the hostile one writes. */
static void
be_preempted (void)
{
  if (busy && !poking && operation != NULL && fuzz_has_more (current_input) &&
      (fuzz_u8 (current_input) & 3) == 0)
    poke ();
}

/* Whoever looks at the clock until it is late gets there. */
gint64
__wrap_g_get_monotonic_time (void)
{
  be_preempted ();
  return atomic_fetch_add (&now, 1);
}

gpointer
__wrap_mp_segment_map (gpointer segment, guint64 offset, gsize length)
{
  be_preempted ();
  return __real_mp_segment_map (segment, offset, length);
}

gboolean
__wrap_mp_segment_allocate (gpointer segment, guint64 offset, guint64 length)
{
  be_preempted ();
  return __real_mp_segment_allocate (segment, offset, length);
}

gboolean
__wrap_mp_participants_is_alive (gpointer participants, guint32 word)
{
  be_preempted ();
  return __real_mp_participants_is_alive (participants, word);
}

/* --- Sleeping --------------------------------------------------------------- */

MpFutexResult __real_mp_futex_wait (_Atomic uint32_t *word,
                                    uint32_t expected,
                                    gint64 deadline,
                                    gboolean shared);
MpFutexResult __wrap_mp_futex_wait (_Atomic uint32_t *word,
                                    uint32_t expected,
                                    gint64 deadline,
                                    gboolean shared);

static gboolean
is_thread (guint32 id)
{
  return id != 0 && (syscall (SYS_tkill, id, 0) == 0 || errno == EPERM);
}

/* The sleeper has slept for too long: if that is because somebody lives who has
 * the word, that one dies. */
static MpFutexResult
end_stall (_Atomic uint32_t *word)
{
  for (guint i = 0; i < n_stall_words; i++)
    {
      if (stall_words[i].word != (gpointer) word && stall_words[i].word != FUZZ_ANY_MICRO_LOCK)
        continue;
      if (stall_words[i].word == FUZZ_ANY_MICRO_LOCK && !is_thread (*word & FUTEX_TID_MASK))
        continue;
      if (++n_stalls > MAX_STALLS)
        fuzz_fail ("it sleeps without end");
      /* As the kernel does it. */
      *word = stall_words[i].value | (*word & FUTEX_WAITERS);
      if (stall_words[i].value == 0)
        *word = 0;
      operation_end = now + SLACK_US;
      return MP_FUTEX_WOKEN;
    }
  fuzz_fail ("it sleeps for longer than its timeout on a word that is %#x", *word);
}

MpFutexResult
__wrap_mp_futex_wait (_Atomic uint32_t *word, uint32_t expected, gint64 deadline, gboolean shared)
{
  guint8 choice = 0;

  if (operation == NULL)
    return __real_mp_futex_wait (word, expected, deadline, shared);
  if (deadline == MP_DEADLINE_NOW)
    return MP_FUTEX_TIMED_OUT;
  if (*word != expected)
    return MP_FUTEX_CHANGED;
  if (current_input != NULL && fuzz_has_more (current_input) && !poking)
    {
      choice = fuzz_u8 (current_input);
      if ((choice & 1) != 0)
        poke ();
    }
  now += 10;
  switch (choice >> 1 & 7)
    {
    case 1:
    case 2:
      return MP_FUTEX_WOKEN;
    case 3:
      return MP_FUTEX_INTERRUPTED;
    default:
      break;
    }
  if (*word != expected && (choice & 0x10) != 0)
    return MP_FUTEX_WOKEN;
  sleep_until (deadline == MP_DEADLINE_NEVER ? operation_end + 1 : deadline);
  return now > operation_end ? end_stall (word) : MP_FUTEX_TIMED_OUT;
}

/* --- Memory ----------------------------------------------------------------- */

/* Each mapping has a page before it and one behind it that nobody may touch. */

gpointer __real_mmap (gpointer address, size_t length, int prot, int flags, int fd, off_t offset);
gpointer __wrap_mmap (gpointer address, size_t length, int prot, int flags, int fd, off_t offset);
gpointer __wrap_mmap64 (gpointer address, size_t length, int prot, int flags, int fd, off_t offset);
int __real_munmap (gpointer address, size_t length);
int __wrap_munmap (gpointer address, size_t length);

static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *guards; /* of the addresses of mappings */

static gsize
round_to_pages (gsize length)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE);

  return (length + page - 1) / page * page;
}

gpointer
__wrap_mmap (gpointer address, size_t length, int prot, int flags, int fd, off_t offset)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE), room = round_to_pages (length);
  gpointer reserved, memory;

  if (address != NULL || length == 0)
    return __real_mmap (address, length, prot, flags, fd, offset);
  reserved = __real_mmap (NULL,
                          room + 2 * page,
                          PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                          -1,
                          0);
  if (reserved == MAP_FAILED)
    return reserved;
  memory = __real_mmap ((guint8 *) reserved + page, length, prot, flags | MAP_FIXED, fd, offset);
  if (memory == MAP_FAILED)
    {
      int saved = errno;

      __real_munmap (reserved, room + 2 * page);
      errno = saved;
      return memory;
    }
  pthread_mutex_lock (&guards_lock);
  if (guards == NULL)
    guards = g_hash_table_new (NULL, NULL);
  g_hash_table_add (guards, memory);
  pthread_mutex_unlock (&guards_lock);
  return memory;
}

/* What the compiler calls where off_t has 64 bits anyway. */
gpointer
__wrap_mmap64 (gpointer address, size_t length, int prot, int flags, int fd, off_t offset)
{
  return __wrap_mmap (address, length, prot, flags, fd, offset);
}

int
__wrap_munmap (gpointer address, size_t length)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  gboolean guarded;

  pthread_mutex_lock (&guards_lock);
  guarded = guards != NULL && g_hash_table_remove (guards, address);
  pthread_mutex_unlock (&guards_lock);
  return guarded ? __real_munmap ((guint8 *) address - page, round_to_pages (length) + 2 * page)
                 : __real_munmap (address, length);
}

/* --- Looking at results ----------------------------------------------------- */

void
fuzz_read_properties (gpointer object)
{
  guint n = 0;
  g_autofree GParamSpec **specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (object), &n);

  for (guint i = 0; i < n; i++)
    {
      g_auto (GValue) value = G_VALUE_INIT;

      if ((specs[i]->flags & G_PARAM_READABLE) == 0)
        continue;
      g_value_init (&value, specs[i]->value_type);
      g_object_get_property (object, specs[i]->name, &value);
    }
}

void
fuzz_check_error (GError *error)
{
  if (error == NULL)
    return;
  if (error->message == NULL || *error->message == '\0')
    fuzz_fail ("an error without a message");
  if (!g_utf8_validate (error->message, -1, NULL))
    fuzz_fail ("an error whose message is no text");
  g_error_free (error);
}

void
fuzz_consume_variant (GVariant *value)
{
  g_autoptr (GVariant) owned = value;

  if (owned == NULL)
    return;
  if (g_variant_get_size (owned) < 4096)
    {
      g_autofree char *text = g_variant_print (owned, TRUE);

      if (text == NULL)
        fuzz_fail ("a variant that cannot be printed");
    }
}

/* --- The watchdog ----------------------------------------------------------- */

/* Counts its own ticks, so that on a machine that is busy it gets late as well. */
static gpointer
watch (gpointer data)
{
  guint seen = 0, n_ticks = 0;

  for (;;)
    {
      guint n = atomic_load (&n_operations);

      g_usleep (TICK_US);
      n_ticks = n == seen && operation != NULL ? n_ticks + 1 : 0;
      seen = n;
      if (n_ticks * TICK_US > SLACK_US)
        fuzz_fail ("it does not come to an end");
    }
  return NULL;
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  fuzz_setup ();
  g_thread_unref (g_thread_new ("watchdog", watch, NULL));
  return 0;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  FuzzInput input = { .data = data, .size = size };

  fuzz_run (&input);
  return 0;
}
