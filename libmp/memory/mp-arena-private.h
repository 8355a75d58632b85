/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gunixfdlist.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>

#include "mp-participants-private.h"

G_BEGIN_DECLS

/* Many small objects in one file of shared memory: a million locks cost one
 * descriptor. How it works is described in mp-arena.c.
 *
 * A block is held by processes, not by their objects: it lives until the last
 * process that holds it drops it or dies. A process that makes a handle of a
 * block and then drops it keeps it for MP_ARENA_LINGER_US, so that the handle
 * can arrive. A child of fork() holds what its parent held.
 *
 * Any participant may be killed at any instruction. Thread-safe. */
typedef struct _MpArena MpArena;

#define MP_ARENA_MAX_PARTICIPANTS 1024
#define MP_ARENA_LINGER_US (60 * G_USEC_PER_SEC)

/* For bindings and tests: what a block is used for. */
#define MP_BLOCK_KIND(a, b, c, d)                                                                  \
  ((guint32) (a) | (guint32) (b) << 8 | (guint32) (c) << 16 | (guint32) (d) << 24)

/* One held block. @memory is aligned to the smaller of its size rounded up to a
 * power of two and 64, and stays where it is for as long as it is held. It is
 * zeroed when it is new, and may be changed by others at any moment. */
typedef struct
{
  MpArena *arena; /* a reference; NULL: no block */
  gpointer memory;
  gsize size; /* as asked for when it was made */
  guint32 kind;
  guint32 slot;       /* its place in the arena */
  guint32 generation; /* of the place, never 0 */
} MpBlock;

#define MP_BLOCK_INIT                                                                              \
  {                                                                                                \
    .arena = NULL                                                                                  \
  }

/* The arena in which this process makes its objects; made when first needed. */
MpArena *mp_arena_ref_default (GError **error);
MpArena *mp_arena_new (GError **error);
MpArena *mp_arena_ref (MpArena *self);
void mp_arena_unref (MpArena *self);

MpParticipants *mp_arena_get_participants (MpArena *self);

/* Frees what only dead processes hold. Done by itself when memory is looked
 * for; cheap enough to be called when a process was seen to die. Returns how
 * many blocks were freed. */
guint mp_arena_sweep (MpArena *self);
void mp_arena_sweep_all (void);  /* every arena that this process has */
gboolean mp_arena_is_any (void); /* whether it has one */

/* For tests: the next default is a new one. */
void mp_arena_drop_default (void);
/* For tests and debuggers. */
guint64 mp_arena_get_n_blocks (MpArena *self);
guint64 mp_arena_get_file_size (MpArena *self);

/* @self: empty. Held by this process. MP_ERROR_LIMIT if there is no memory. */
gboolean mp_block_new (MpBlock *self, MpArena *arena, guint32 kind, gsize size, GError **error);
/* Drops it; @self is empty then. */
void mp_block_clear (MpBlock *self);

/* A handle of kind @name: (sua{sv}ah) with the arena's descriptor, which is in
 * @fd_list once however many blocks of that arena go there. @layout, if not
 * NULL, is an a{sv} (consumed when floating) that is added; a user's keys begin
 * with a capital letter. */
GVariant *mp_block_to_handle (MpBlock *self,
                              const char *name,
                              guint32 version,
                              GVariant *layout,
                              GUnixFDList *fd_list,
                              GError **error);
/* @self: empty; held by this process afterwards. Checks kind, version, process id
 * namespace, descriptor, generation, and that its size is at least @min_size. */
gboolean mp_block_from_handle (MpBlock *self,
                               const char *name,
                               guint32 version,
                               guint32 kind,
                               gsize min_size,
                               GVariant *handle,
                               GUnixFDList *fd_list,
                               GError **error);

/* What mp-waits.c keeps in each arena: who sleeps on what, for whoever debugs.
 * @participant is claimed by compare-and-exchange from 0. */
typedef struct
{
  _Atomic uint32_t participant;
  _Atomic uint32_t thread; /* its id in the kernel */
  _Atomic uint32_t slot;
  _Atomic uint32_t generation;
  _Atomic int64_t since; /* monotonic microseconds */
} MpArenaWait;

#define MP_ARENA_N_WAITS 1024

MpArenaWait *mp_arena_get_waits (MpArena *self);
/* A futex word: changed and woken when something that others wait for without
 * a thread of their own may have come. */
_Atomic uint32_t *mp_arena_get_doorbell (MpArena *self);

/* Calls @func for each arena of this process, which it may keep by a reference. */
typedef void (*MpArenaFunc) (MpArena *arena, gpointer user_data);
void mp_arena_foreach (MpArenaFunc func, gpointer user_data);
/* Calls @func for each block in use, with no lock held: what it is told may be over. Ends early
 * if a process was stopped in the middle of a change. */
typedef void (*MpBlockFunc) (guint32 kind,
                             guint32 slot,
                             guint32 generation,
                             gpointer memory,
                             gsize size,
                             gpointer user_data);
void mp_arena_foreach_block (MpArena *self, MpBlockFunc func, gpointer user_data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpArena, mp_arena_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpBlock, mp_block_clear)

G_END_DECLS
