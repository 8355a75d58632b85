/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "mp-segment-private.h"

G_BEGIN_DECLS

/* Who of the processes that share something is alive.
 *
 * A participant has an index in a table that lies in a segment, a lock on the
 * byte of that number, and a generation, which its index gets anew with each
 * owner. Index and generation make a word that can stand in shared memory as
 * the name of the process. The kernel drops the lock when the process dies,
 * before anybody can reap it, so neither zombies nor reused process ids nor
 * namespaces deceive.
 *
 * The lock is an open file description lock, and what keeps that description
 * open is a page of it that is mapped and not inherited: no descriptor that a
 * program could close or hand on, and nothing that a child of the program has.
 * With exec() it is gone. A child of fork() becomes a participant of its own;
 * until it is one and has taken over what it inherited, its parent counts as
 * alive.
 *
 * Should the program have closed the segment's descriptor as well, then the
 * others still see it alive, and it judges them by their process ids and start
 * times, which the table has, too. Only its children find no place any more.
 *
 * Thread-safe. */
typedef struct _MpParticipants MpParticipants;

#define MP_PARTICIPANT_NONE 0u
/* The index plus one in the lower 12 bits and the generation in the 18 above.
 * The two top bits are the user's. A generation is never below 1024, so that no
 * word is a thread id (which has 22 bits): where a word stands in a lock, the
 * kernel compares it with the id of a dying thread. */
#define MP_PARTICIPANT_MASK 0x3fffffffu
#define MP_PARTICIPANTS_MAX 4094u

typedef struct _MpParticipantsTable MpParticipantsTable;
typedef void (*MpParticipantsForkedFunc) (gpointer user_data);

/* For the inline function below; else private. */
struct _MpParticipants
{
  _Atomic uint32_t word;

  MpParticipants *next;
  const MpSegment *segment;
  dev_t device;
  ino_t inode;
  guint64 offset;
  gsize length; /* of what is mapped from @map on */
  gpointer map;
  MpParticipantsTable *table;
  guint max;
  gpointer lock_page;   /* keeps our lock */
  gpointer parent_page; /* in a child of fork(), for a moment: that of the parent */
  MpParticipantsForkedFunc forked_func;
  gpointer forked_data;
};

/* How much room a table takes. */
gsize mp_participants_get_table_size (guint max);

/* Takes part in the table at @offset of @segment, which is borrowed and must outlive it. Zeroes
 * are an empty table. A process is a participant as often as it calls this: once for each segment
 * is enough. */
MpParticipants *mp_participants_new_in (const MpSegment *segment,
                                        guint64 offset,
                                        guint max,
                                        GError **error);
void mp_participants_free (MpParticipants *self);

/* @func is called in a child of fork() by the handler, when the child has its
 * word (or none) and the parent still counts as alive. It must not allocate. */
void mp_participants_set_forked_func (MpParticipants *self,
                                      MpParticipantsForkedFunc func,
                                      gpointer user_data);

/* The word of this process, the same for its whole life. MP_PARTICIPANT_NONE
 * only in a forked child for which there was no place. */
static inline guint32
mp_participants_get_self_word (MpParticipants *self)
{
  return atomic_load_explicit (&self->word, memory_order_relaxed);
}

/* The same, but if there was no place it looks again: MP_PARTICIPANT_NONE with
 * @error set (MP_ERROR_LIMIT) if there still is none. */
guint32 mp_participants_get_self (MpParticipants *self, GError **error);

/* Whether the process that @word names lives. TRUE may be late by the moment
 * in which somebody takes over the index; FALSE is never wrong. */
gboolean mp_participants_is_alive (MpParticipants *self, guint32 word);

/* The process id of whom @word names, dead or alive; 0 if that is not known any more. */
guint32 mp_participants_get_pid (MpParticipants *self, guint32 word);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpParticipants, mp_participants_free)

G_END_DECLS
