/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Locks, semaphores, conditions, events and barriers, while a hostile process
 * writes into their memory, also while somebody sleeps. */

#include "fuzz-hostile.h"

#include <string.h>

#include "../../libmp/libmp.h"
#include "../../libmp/sync/mp-barrier-cycle-private.h"
#include "../../libmp/sync/mp-condition-queue-private.h"
#include "../../libmp/sync/mp-lock-private.h"
#include "../../libmp/sync/mp-semaphore-units-private.h"

#define MAX_OPERATIONS 200

const char *const fuzz_name = "fuzz-sync";

typedef enum
{
  LOCK,
  RLOCK,
  COUNTER,
  BOUNDED,
  RECOVERING,
  BOTH,
  CONDITION,
  RCONDITION,
  EVENT,
  BARRIER,
  LONELY_BARRIER,
  N_OBJECTS
} Which;

static GObject *objects[N_OBJECTS];
static gpointer memories[N_OBJECTS]; /* of those that are there */

void
fuzz_setup (void)
{
}

/* --- Objects, when they are first needed ------------------------------------ */

static GObject *get_object (Which which);

static GObject *
make_object (Which which, GError **error)
{
  GObject *lock;

  switch (which)
    {
    case LOCK:
      return (GObject *) mp_lock_new (error);
    case RLOCK:
      return (GObject *) mp_rlock_new (error);
    case COUNTER:
      return (GObject *) mp_semaphore_new (2, MP_SEMAPHORE_NONE, error);
    case BOUNDED:
      return (GObject *) mp_semaphore_new (1, MP_SEMAPHORE_BOUNDED, error);
    case RECOVERING:
      return (GObject *) mp_semaphore_new (2, MP_SEMAPHORE_RECOVER, error);
    case BOTH:
      return (GObject *) mp_semaphore_new (2, MP_SEMAPHORE_RECOVER | MP_SEMAPHORE_BOUNDED, error);
    case CONDITION:
      lock = get_object (LOCK);
      return lock != NULL ? (GObject *) mp_condition_new (MP_LOCK (lock), error) : NULL;
    case RCONDITION:
      lock = get_object (RLOCK);
      return lock != NULL ? (GObject *) mp_condition_new_with_rlock (MP_RLOCK (lock), error) : NULL;
    case EVENT:
      return (GObject *) mp_event_new (error);
    case BARRIER:
      return (GObject *) mp_barrier_new (3, error);
    case LONELY_BARRIER:
      return (GObject *) mp_barrier_new (1, error);
    case N_OBJECTS:
    default:
      return NULL;
    }
}

/* Who has one of these words lets others wait. */
static void
note_stalls (Which which, gpointer memory)
{
  if (which == LOCK || which == RLOCK)
    fuzz_may_stall (&((MpLockShared *) memory)->word, 0);
  else if (which == RECOVERING || which == BOTH)
    fuzz_may_stall (&((MpUnitsShared *) memory)->lock, FUTEX_OWNER_DIED);
}

static GObject *
get_object (Which which)
{
  GError *error = NULL;
  gpointer memory;

  if (objects[which] != NULL)
    return objects[which];
  objects[which] = make_object (which, &error);
  fuzz_check_error (error);
  if (objects[which] == NULL)
    return NULL;
  memory = fuzz_hostile_add_object (objects[which]);
  memories[which] = memory;
  if (memory != NULL)
    note_stalls (which, memory);
  return objects[which];
}

/* --- What others do, or seem to do ------------------------------------------ */

/* One more has come to a condition, or was notified, or gives up. */
static void
poke_condition (FuzzInput *input, MpConditionShared *shared)
{
  static const guint32 states[] = { 0x40000000u, 0x80000000u, 0xc0000000u, 0 };
  guint8 how = fuzz_u8 (input);
  guint i = how & 7;

  shared->slots[i].ticket = shared->next_ticket++ + ((how & 0x80) != 0 ? fuzz_u32 (input) : 0);
  shared->slots[i].state = fuzz_hostile_participant (input) | states[how >> 3 & 3];
  shared->slots[i].limit = shared->next_ticket;
  shared->n_used = MAX (shared->n_used, i + 1);
}

/* One more has come to a barrier in this cycle, the one before, or the next. */
static void
poke_barrier (FuzzInput *input, MpBarrierShared *shared, guint parties)
{
  guint8 how = fuzz_u8 (input);
  guint32 cycle = ((guint32) shared->state >> 2) + (how & 3) - 1;
  guint place = (how >> 2 & 3) % parties + ((cycle & 1) != 0 ? parties : 0);

  shared->places[place] = (guint64) cycle << 32 | fuzz_hostile_participant (input) |
                          ((how & 0x80) != 0 ? 0x80000000u : 0);
}

/* Somebody has some units. */
static void
poke_units (FuzzInput *input, MpUnitsShared *shared)
{
  guint32 participant = fuzz_hostile_participant (input);
  guint8 n = fuzz_u8 (input);

  shared->ledger[(participant & 0xfff) - 1] =
    (guint64) participant << 32 | ((n & 0x80) != 0 ? fuzz_hostile_word (input) : n);
}

static void
poke (FuzzInput *input)
{
  Which which = fuzz_choose (input, 2 * N_OBJECTS);

  if (which >= N_OBJECTS || memories[which] == NULL)
    fuzz_hostile_poke (input);
  else if (which == CONDITION || which == RCONDITION)
    poke_condition (input, memories[which]);
  else if (which == BARRIER)
    poke_barrier (input, memories[which], 3);
  else if (which == RECOVERING || which == BOTH)
    poke_units (input, memories[which]);
  else
    fuzz_hostile_poke (input);
}

/* --- What is done with them ------------------------------------------------- */

static void
use_lock (FuzzInput *input, MpLock *lock, gint64 timeout)
{
  GError *error = NULL;

  switch (fuzz_choose (input, 5))
    {
    case 0:
      fuzz_operation ("mp_lock_acquire", timeout);
      mp_lock_acquire (lock, timeout, NULL, &error);
      break;
    case 1:
      fuzz_operation ("mp_lock_acquire_interruptible", timeout);
      mp_lock_acquire_interruptible (lock, timeout);
      break;
    case 2:
      fuzz_operation ("mp_lock_try_acquire", 0);
      mp_lock_try_acquire (lock);
      break;
    default:
      fuzz_operation ("mp_lock_release", 0);
      mp_lock_release (lock, &error);
      break;
    }
  fuzz_check_error (error);
}

static void
use_rlock (FuzzInput *input, MpRLock *lock, gint64 timeout)
{
  GError *error = NULL;

  switch (fuzz_choose (input, 5))
    {
    case 0:
      fuzz_operation ("mp_rlock_acquire", timeout);
      mp_rlock_acquire (lock, timeout, NULL, &error);
      break;
    case 1:
      fuzz_operation ("mp_rlock_acquire_interruptible", timeout);
      mp_rlock_acquire_interruptible (lock, timeout);
      break;
    case 2:
      fuzz_operation ("mp_rlock_try_acquire", 0);
      mp_rlock_try_acquire (lock);
      break;
    default:
      fuzz_operation ("mp_rlock_release", 0);
      mp_rlock_release (lock, &error);
      break;
    }
  fuzz_check_error (error);
}

static void
use_semaphore (FuzzInput *input, MpSemaphore *semaphore, gint64 timeout)
{
  GError *error = NULL;

  switch (fuzz_choose (input, 6))
    {
    case 0:
    case 1:
      fuzz_operation ("mp_semaphore_acquire", timeout);
      mp_semaphore_acquire (semaphore, timeout, NULL, &error);
      break;
    case 2:
      fuzz_operation ("mp_semaphore_acquire_interruptible", timeout);
      mp_semaphore_acquire_interruptible (semaphore, timeout);
      break;
    case 3:
      fuzz_operation ("mp_semaphore_try_acquire", 0);
      mp_semaphore_try_acquire (semaphore);
      break;
    default:
      fuzz_operation ("mp_semaphore_release", 0);
      mp_semaphore_release (semaphore, fuzz_u8 (input), &error);
      break;
    }
  fuzz_check_error (error);
}

static void
use_condition (FuzzInput *input, MpCondition *condition, gint64 timeout)
{
  GError *error = NULL;

  switch (fuzz_choose (input, 6))
    {
    case 0:
    case 1:
      fuzz_operation ("mp_condition_wait", timeout);
      mp_condition_wait (condition, timeout, NULL, &error);
      break;
    case 2:
      fuzz_operation ("mp_condition_wait_interruptible", timeout);
      mp_condition_wait_interruptible (condition, timeout);
      break;
    case 3:
      fuzz_operation ("mp_condition_notify_one", 0);
      mp_condition_notify_one (condition, &error);
      break;
    case 4:
      fuzz_operation ("mp_condition_notify_many", 0);
      mp_condition_notify_many (condition, fuzz_u8 (input), &error);
      break;
    default:
      fuzz_operation ("mp_condition_notify_all", 0);
      mp_condition_notify_all (condition, &error);
      break;
    }
  fuzz_check_error (error);
}

static void
use_event (FuzzInput *input, MpEvent *event, gint64 timeout)
{
  GError *error = NULL;

  switch (fuzz_choose (input, 5))
    {
    case 0:
    case 1:
      fuzz_operation ("mp_event_wait", timeout);
      mp_event_wait (event, timeout, NULL, &error);
      break;
    case 2:
      fuzz_operation ("mp_event_wait_interruptible", timeout);
      mp_event_wait_interruptible (event, timeout);
      break;
    case 3:
      fuzz_operation ("mp_event_set", 0);
      mp_event_set (event);
      break;
    default:
      fuzz_operation ("mp_event_clear", 0);
      mp_event_clear (event);
      break;
    }
  fuzz_check_error (error);
}

static void
use_barrier (FuzzInput *input, MpBarrier *barrier, gint64 timeout)
{
  GError *error = NULL;
  guint index = 0;

  switch (fuzz_choose (input, 5))
    {
    case 0:
    case 1:
      fuzz_operation ("mp_barrier_wait", timeout);
      mp_barrier_wait (barrier, timeout, NULL, &index, &error);
      break;
    case 2:
      fuzz_operation ("mp_barrier_wait_interruptible", timeout);
      mp_barrier_wait_interruptible (barrier, timeout, &index);
      break;
    case 3:
      fuzz_operation ("mp_barrier_abort", 0);
      mp_barrier_abort (barrier);
      break;
    default:
      fuzz_operation ("mp_barrier_reset", 0);
      mp_barrier_reset (barrier);
      break;
    }
  if (index >= mp_barrier_get_parties (barrier))
    fuzz_fail ("index %u", index);
  fuzz_check_error (error);
}

/* What the thread for asynchronous operations does. */
static void
arm (GObject *object)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle = mp_shareable_to_handle (MP_SHAREABLE (object), fd_list, NULL);
  GError *error = NULL;
  MpLockSite site = { .block = MP_BLOCK_INIT };
  MpUnits units = { .block = MP_BLOCK_INIT };

  fuzz_operation ("arming", 0);
  if (handle == NULL)
    return;
  if (MP_IS_SEMAPHORE (object))
    {
      if (mp_units_import (&units, "semaphore", handle, fd_list, &error))
        mp_units_try_or_arm (&units);
      mp_units_clear (&units);
    }
  else if (MP_IS_LOCK (object))
    {
      if (mp_lock_site_import (&site, "lock", MP_LOCK_KIND, handle, fd_list, &error))
        mp_lock_site_try_or_arm (&site);
      mp_lock_site_clear (&site);
    }
  fuzz_check_error (error);
}

/* The same thing, but as the memory says now. */
static void
import_again (Which which)
{
  g_autoptr (GUnixFDList) fd_list = g_unix_fd_list_new ();
  g_autoptr (GVariant) handle =
    mp_shareable_to_handle (MP_SHAREABLE (objects[which]), fd_list, NULL);
  GError *error = NULL;
  GObject *imported;

  fuzz_operation ("importing", 0);
  if (handle == NULL)
    return;
  imported = (GObject *) mp_shareable_new_from_handle (handle, fd_list, &error);
  fuzz_check_error (error);
  if (imported == NULL)
    return;
  g_object_unref (objects[which]);
  objects[which] = imported;
}

static void
use (FuzzInput *input, Which which, gint64 timeout)
{
  GObject *object = get_object (which);

  if (object == NULL)
    return;
  if (MP_IS_LOCK (object))
    use_lock (input, MP_LOCK (object), timeout);
  else if (MP_IS_RLOCK (object))
    use_rlock (input, MP_RLOCK (object), timeout);
  else if (MP_IS_SEMAPHORE (object))
    use_semaphore (input, MP_SEMAPHORE (object), timeout);
  else if (MP_IS_CONDITION (object))
    use_condition (input, MP_CONDITION (object), timeout);
  else if (MP_IS_EVENT (object))
    use_event (input, MP_EVENT (object), timeout);
  else
    use_barrier (input, MP_BARRIER (object), timeout);
}

static void
operate (FuzzInput *input)
{
  guint8 choice = fuzz_u8 (input);
  Which which = (choice >> 3) % N_OBJECTS;
  g_autofree char *text = NULL;

  switch (choice & 7)
    {
    case 0:
    case 1:
    case 2:
      use (input, which, fuzz_timeout (input));
      break;
    case 3:
      fuzz_operation ("properties", 0);
      if (get_object (which) != NULL)
        fuzz_read_properties (objects[which]);
      break;
    case 4:
      if (get_object (which) == NULL)
        break;
      if (fuzz_choose (input, 2) == 0)
        arm (objects[which]);
      else
        import_again (which);
      break;
    case 5:
      fuzz_operation ("mp_sync_dump", 0);
      if (which == 0)
        fuzz_hostile_toggle_peer ();
      text = which < N_OBJECTS / 2 ? mp_sync_dump () : NULL;
      if (text == NULL)
        mp_sync_find_deadlock (&text);
      break;
    default:
      poke (input);
      break;
    }
}

void
fuzz_run (FuzzInput *input)
{
  fuzz_hostile_begin ();
  fuzz_begin (input, poke);
  memset (memories, 0, sizeof memories);
  for (guint i = 0; i < MAX_OPERATIONS && fuzz_has_more (input); i++)
    operate (input);
  fuzz_operation ("dropping everything", 0);
  for (guint i = 0; i < N_OBJECTS; i++)
    g_clear_object (&objects[i]);
  fuzz_hostile_end ();
  fuzz_end ();
}
