/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "../../libmp/memory/mp-arena-layout-private.h"
#include "fuzz.h"

G_BEGIN_DECLS

/* A hostile process with an arena's file, and a peer that is alive, or dead,
 * and does nothing. */

/* The arena in which objects are made from now on, a new one; borrowed. */
MpArena *fuzz_hostile_begin (void);
/* When all objects are gone. */
void fuzz_hostile_end (void);

/* The block of a shareable object, or NULL: what is written to preferably. */
gpointer fuzz_hostile_add_object (gpointer object);
void fuzz_hostile_add_block (guint32 slot, guint32 generation, gpointer memory, gsize size);

/* One write, or several that belong together. */
void fuzz_hostile_poke (FuzzInput *input);
void fuzz_hostile_toggle_peer (void);
/* This process goes on as the child of fork(), and the peer is its parent. */
void fuzz_hostile_fork (void);
/* The minute for which handles keep blocks alive is over. */
void fuzz_hostile_end_lingers (void);

/* The word of a participant, living or dead. */
guint32 fuzz_hostile_participant (FuzzInput *input);
/* A number that may well mean something where it is written. */
guint32 fuzz_hostile_word (FuzzInput *input);
/* A slot that may be in use. */
guint32 fuzz_hostile_slot (FuzzInput *input, guint32 *generation);

G_END_DECLS
