/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-sync-dump-private.h"

#include "mp-waits-private.h"

#define MAX_KINDS 16

/* A block that threads may hold or wait for. */
typedef struct
{
  const MpSyncKind *kind;
  guint32 slot;
  guint32 generation;
  guint32 holder;
  guint32 thread;
  char *state;
} Object;

/* One entry of the table of sleepers, as it was. */
typedef struct
{
  guint32 participant;
  guint32 thread;
  guint32 slot;
  guint32 generation;
  gint64 since;
  Object *object; /* NULL: not known */
  guint round;    /* of looking for cycles, in which it was come by */
} Waiter;

/* One arena at one time, or nearly so. */
typedef struct
{
  MpParticipants *participants;
  GHashTable *objects; /* by slot */
  GArray *waiters;
  gint64 now;
} Picture;

static const MpSyncKind *kinds[MAX_KINDS];
static guint n_kinds;

void
mp_sync_register_kind (const MpSyncKind *kind)
{
  g_assert_cmpuint (n_kinds, <, MAX_KINDS);
  kinds[n_kinds++] = kind;
}

/* Taking the picture */

static void
object_free (gpointer data)
{
  Object *self = data;

  g_free (self->state);
  g_free (self);
}

static void
add_block (guint32 kind,
           guint32 slot,
           guint32 generation,
           gpointer memory,
           gsize size,
           gpointer user_data)
{
  Picture *self = user_data;
  g_autoptr (GString) state = NULL;
  Object *object;
  guint i = 0;

  while (i < n_kinds && kinds[i]->kind != kind)
    i++;
  if (i == n_kinds || size < kinds[i]->min_size)
    return;
  state = g_string_new (NULL);
  kinds[i]->describe (memory, size, state);
  object = g_new0 (Object, 1);
  object->kind = kinds[i];
  object->slot = slot;
  object->generation = generation;
  object->state = g_string_free (g_steal_pointer (&state), FALSE);
  if (kinds[i]->get_holder != NULL)
    object->holder = kinds[i]->get_holder (memory, &object->thread);
  g_hash_table_replace (self->objects, GUINT_TO_POINTER (slot), object);
}

static void
add_waiters (Picture *self, MpArena *arena)
{
  MpArenaWait *waits = mp_arena_get_waits (arena);

  for (guint i = 0; i < MP_ARENA_N_WAITS; i++)
    {
      Waiter waiter = {
        .participant = atomic_load (&waits[i].participant),
        .generation = atomic_load (&waits[i].generation),
        .thread = atomic_load (&waits[i].thread),
        .slot = atomic_load (&waits[i].slot),
        .since = atomic_load (&waits[i].since),
      };

      if (waiter.participant == MP_PARTICIPANT_NONE || waiter.generation == 0 ||
          !mp_participants_is_alive (self->participants, waiter.participant))
        continue;
      waiter.object = g_hash_table_lookup (self->objects, GUINT_TO_POINTER (waiter.slot));
      if (waiter.object != NULL && waiter.object->generation != waiter.generation)
        waiter.object = NULL;
      g_array_append_val (self->waiters, waiter);
    }
}

static void
picture_take (Picture *self, MpArena *arena)
{
  self->participants = mp_arena_get_participants (arena);
  self->objects = g_hash_table_new_full (NULL, NULL, NULL, object_free);
  self->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  self->now = g_get_monotonic_time ();
  mp_arena_foreach_block (arena, add_block, self);
  add_waiters (self, arena);
}

static void
picture_clear (Picture *self)
{
  g_hash_table_unref (self->objects);
  g_array_unref (self->waiters);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Picture, picture_clear)

/* Writing it down */

static void
append_thread (Picture *self, GString *text, guint32 participant, guint32 thread)
{
  g_string_append_printf (text,
                          "process %u",
                          mp_participants_get_pid (self->participants, participant));
  if ((thread & MP_WAITS_ASYNC) != 0)
    g_string_append_printf (text, ", %u asynchronous", thread & ~MP_WAITS_ASYNC);
  else if (thread != 0)
    g_string_append_printf (text, ", thread %u", thread);
}

static void
append_name (GString *text, const Object *object)
{
  g_string_append_printf (text, "%s %u.%u", object->kind->name, object->slot, object->generation);
}

static void
append_since (Picture *self, GString *text, const Waiter *waiter)
{
  g_string_append_printf (text,
                          "for %.3f s",
                          (double) MAX (self->now - waiter->since, 0) / G_USEC_PER_SEC);
}

static void
append_object (Picture *self, GString *text, const Object *object)
{
  append_name (text, object);
  g_string_append_printf (text, ": %s", object->state);
  if (object->holder != MP_PARTICIPANT_NONE)
    {
      g_string_append (text, " by ");
      append_thread (self, text, object->holder, object->thread);
      if (!mp_participants_is_alive (self->participants, object->holder))
        g_string_append (text, ", which is dead");
    }
  g_string_append_c (text, '\n');
  for (guint i = 0; i < self->waiters->len; i++)
    {
      const Waiter *waiter = &g_array_index (self->waiters, Waiter, i);

      if (waiter->object != object)
        continue;
      g_string_append (text, "  ");
      append_thread (self, text, waiter->participant, waiter->thread);
      g_string_append (text, ": waits ");
      append_since (self, text, waiter);
      g_string_append_c (text, '\n');
    }
}

static int
compare_objects (gconstpointer a, gconstpointer b)
{
  const Object *first = a, *second = b;

  return first->slot < second->slot ? -1 : first->slot > second->slot;
}

static void
append_objects (Picture *self, GString *text)
{
  GList *objects = g_list_sort (g_hash_table_get_values (self->objects), compare_objects);

  for (GList *i = objects; i != NULL; i = i->next)
    append_object (self, text, i->data);
  g_list_free (objects);
}

/* Deadlocks */

/* What the thread that has what @waiter waits for waits for itself. */
static Waiter *
get_next (Picture *self, const Waiter *waiter)
{
  const Object *object = waiter->object;

  if (object == NULL || object->holder == MP_PARTICIPANT_NONE || object->thread == 0)
    return NULL;
  for (guint i = 0; i < self->waiters->len; i++)
    {
      Waiter *next = &g_array_index (self->waiters, Waiter, i);

      if (next->participant == object->holder && next->thread == object->thread)
        return next;
    }
  return NULL;
}

static void
append_cycle (Picture *self, GString *text, Waiter *first)
{
  Waiter *waiter = first;

  g_string_append (text, "deadlock: ");
  do
    {
      append_thread (self, text, waiter->participant, waiter->thread);
      g_string_append (text, " waits ");
      append_since (self, text, waiter);
      g_string_append (text, " for ");
      append_name (text, waiter->object);
      g_string_append (text, ", held by ");
      append_thread (self, text, waiter->object->holder, waiter->object->thread);
      waiter = get_next (self, waiter);
      g_string_append (text, waiter != first ? "; " : "\n");
    }
  while (waiter != first);
}

/* Everybody waits for one thing, so that each way ends, or comes back to where it
 * was, either in this round or in an earlier one. */
static gboolean
append_deadlocks (Picture *self, GString *text)
{
  gboolean found = FALSE;

  for (guint i = 0; i < self->waiters->len; i++)
    {
      Waiter *waiter = &g_array_index (self->waiters, Waiter, i);

      while (waiter != NULL && waiter->round == 0)
        {
          waiter->round = i + 1;
          waiter = get_next (self, waiter);
        }
      if (waiter == NULL || waiter->round != i + 1)
        continue;
      append_cycle (self, text, waiter);
      found = TRUE;
    }
  return found;
}

static void
dump_arena (MpArena *arena, gpointer user_data)
{
  GString *text = user_data;
  g_auto (Picture) picture = { 0 };

  picture_take (&picture, arena);
  append_objects (&picture, text);
  append_deadlocks (&picture, text);
}

static void
look_in_arena (MpArena *arena, gpointer user_data)
{
  GString *text = user_data;
  g_auto (Picture) picture = { 0 };

  picture_take (&picture, arena);
  append_deadlocks (&picture, text);
}

/**
 * mp_sync_dump:
 *
 * Describes all locks, semaphores and so on in the memory that this process shares
 * with others: one line for each, with its holder where there is one, and one for
 * each thread that waits for it, and how long it has done so. Where threads wait
 * for each other in a circle, a line says so that begins with `deadlock: `.
 *
 * It is for whoever debugs, changes nothing, and takes no lock for longer than a
 * moment; what it tells may be over already. If a process was stopped in the middle of
 * making or dropping one of them, the others of that memory may be left out. At most 1024 sleepers
 * are known in all that one process made.
 *
 * Returns: (transfer full): the text, for humans; empty if there is nothing
 *
 * Since: 0.1
 */
char *
mp_sync_dump (void)
{
  GString *text = g_string_new (NULL);

  mp_arena_foreach (dump_arena, text);
  return g_string_free (text, FALSE);
}

/**
 * mp_sync_find_deadlock:
 * @report: (out) (optional) (nullable) (transfer full): who waits for whom, a line for
 *   each circle; `NULL` if there is none
 *
 * Looks for threads, of any process, that hold locks and wait for each other's, or
 * for one that they hold themselves. As anybody can release an [class@Mp.Lock], it
 * may be that somebody will.
 *
 * Returns: whether there are any
 *
 * Since: 0.1
 */
gboolean
mp_sync_find_deadlock (char **report)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gboolean found;

  mp_arena_foreach (look_in_arena, text);
  found = text->len > 0;
  if (report != NULL)
    *report = found ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
  return found;
}
