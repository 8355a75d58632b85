/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

/* Who of the processes that share something is alive.
 *
 * A participant has an index, a lock on the byte of that number in a liveness
 * memfd, and a generation, which its index gets anew with each owner. Index and
 * generation make a word that can stand in shared memory as the name of the
 * process. The kernel drops the lock when the process dies, before anybody can
 * reap it, so neither zombies nor reused process ids nor namespaces deceive.
 *
 * The lock is an open file description lock on a description of the process's
 * own, reopened and close-on-exec: a classic record lock would go as soon as
 * any descriptor of the file is closed, and the description behind the
 * descriptor that travelled is everybody's. A forked child becomes a
 * participant of its own.
 *
 * A process is one participant of one liveness memfd however often it imports
 * it. Thread-safe. */
typedef struct _MpParticipants MpParticipants;

#define MP_PARTICIPANT_NONE 0u
/* The index plus one, and the generation; the top bit is the user's. */
#define MP_PARTICIPANT_MASK 0x7fffffffu
#define MP_PARTICIPANTS_MAX 4094u

MpParticipants *mp_participants_new (guint max, GError **error);
/* Borrows @fd. */
MpParticipants *mp_participants_new_from_fd (int fd, GError **error);
MpParticipants *mp_participants_ref (MpParticipants *self);
void mp_participants_unref (MpParticipants *self);

/* The descriptor to hand on; stays @self's. */
int mp_participants_get_fd (MpParticipants *self);

/* The word of this process, never MP_PARTICIPANT_NONE; the same for its whole
 * life. MP_PARTICIPANT_NONE with @error set only in a forked child for which
 * there was no place (MP_ERROR_LIMIT). */
guint32 mp_participants_get_self (MpParticipants *self, GError **error);

/* Whether the process that @word names lives. TRUE may be late by the moment
 * in which somebody takes over the index; FALSE is never wrong. */
gboolean mp_participants_is_alive (MpParticipants *self, guint32 word);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpParticipants, mp_participants_unref)

G_END_DECLS
