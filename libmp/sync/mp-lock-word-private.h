/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-enums.h"

#include "../base/mp-futex-private.h"
#include "../base/mp-micro-lock-private.h"
#include "../memory/mp-arena-private.h"

G_BEGIN_DECLS

/* The lock behind MpLock and MpRLock: a word that names the participant that
 * holds it, or 0. Anybody may release it; when the holder dies, whoever wants it
 * takes it over. How is described in mp-lock-word.c. */
#define MP_LOCK_WORD_ABANDONED 0x40000000u /* taken over from one who died with it */
#define MP_LOCK_WORD_WAITERS 0x80000000u   /* whoever releases it has to wake */

static inline gboolean
mp_lock_word_is_free (uint32_t value)
{
  /* Nobody writes a word with flags only, but then it must not be a trap. */
  return (value & ~(MP_LOCK_WORD_ABANDONED | MP_LOCK_WORD_WAITERS)) == MP_PARTICIPANT_NONE;
}

static inline gboolean
mp_lock_word_try (_Atomic uint32_t *word, uint32_t me)
{
  uint32_t expected = 0;

  return atomic_compare_exchange_strong_explicit (word,
                                                  &expected,
                                                  me,
                                                  memory_order_acquire,
                                                  memory_order_relaxed);
}

/* Frees the word and returns what it was. mp_micro_lock_forget() must follow, and
 * before it, if MP_LOCK_WORD_WAITERS was set, the wake. Who is killed in between
 * leaves that to the kernel, which wakes a sleeper on a free word that is pending
 * in a robust list. No word equals a thread id, so that it does nothing else. */
static inline uint32_t
mp_lock_word_free (_Atomic uint32_t *word)
{
  MpMicroLockThread *thread = &mp_micro_lock_thread;

  if (G_UNLIKELY (thread->tid == 0))
    mp_micro_lock_setup_thread ();
  thread->list->list_op_pending = (gpointer) ((char *) word - thread->list->futex_offset);
  atomic_signal_fence (memory_order_seq_cst);
  return atomic_exchange_explicit (word, 0, memory_order_seq_cst);
}

/* In shared memory: what a lock is. Zeroes are a free one. */
typedef struct
{
  _Atomic uint32_t word;
  _Atomic uint32_t thread; /* of the holder, its id in the kernel; a participant's own business */
  _Atomic uint32_t armed;  /* asynchronous operations wait */
  _Atomic uint32_t depth;  /* these for MpRLock, and only the owner's business */
  _Atomic uint64_t owner;
  uint64_t unused[5]; /* a cache line of its own */
} MpLockShared;

G_STATIC_ASSERT (sizeof (MpLockShared) == 64);

/* A lock as this process sees it. */
typedef struct
{
  MpBlock block;
  MpLockShared *shared;
  MpParticipants *participants;
} MpLockSite;

/* The calling thread has it. */
static inline void
mp_lock_site_note_thread (MpLockSite *self)
{
  if (G_UNLIKELY (mp_micro_lock_thread.tid == 0))
    mp_micro_lock_setup_thread ();
  atomic_store_explicit (&self->shared->thread, mp_micro_lock_thread.tid, memory_order_relaxed);
}

/* Whether that was so when it was taken, if this process holds it. */
static inline gboolean
mp_lock_site_is_noted_thread (MpLockSite *self)
{
  if (G_UNLIKELY (mp_micro_lock_thread.tid == 0))
    mp_micro_lock_setup_thread ();
  return atomic_load_explicit (&self->shared->thread, memory_order_relaxed) ==
         mp_micro_lock_thread.tid;
}

/* The calling thread has it if no thread has: it was taken asynchronously. */
static inline void
mp_lock_site_claim_thread (MpLockSite *self)
{
  uint32_t none = 0;

  if (G_UNLIKELY (mp_micro_lock_thread.tid == 0))
    mp_micro_lock_setup_thread ();
  atomic_compare_exchange_strong (&self->shared->thread, &none, mp_micro_lock_thread.tid);
}

static inline gboolean
mp_lock_site_try (MpLockSite *self)
{
  uint32_t me = mp_participants_get_self_word (self->participants);

  if (G_UNLIKELY (me == MP_PARTICIPANT_NONE || !mp_lock_word_try (&self->shared->word, me)))
    return FALSE;
  mp_lock_site_note_thread (self);
  return TRUE;
}

/* When mp_lock_site_try() failed; looks whether the holder lives, even if the
 * deadline is MP_DEADLINE_NOW. MP_WAIT_RESULT_FAILED: this process cannot take
 * part. */
MpWaitResult mp_lock_site_acquire_slow (MpLockSite *self,
                                        gint64 deadline,
                                        GCancellable *cancellable,
                                        gboolean interruptible);
/* Whether the holder took it over from one who died. */
gboolean mp_lock_site_is_abandoned (MpLockSite *self);
/* For the waiter thread: MP_WAIT_RESULT_DONE, or TIMED_OUT and armed, or FAILED. */
MpWaitResult mp_lock_site_try_or_arm (MpLockSite *self);
/* Between mp_lock_word_free() and mp_micro_lock_forget(), if somebody waits. */
void mp_lock_site_wake (MpLockSite *self);

/* Returns FALSE if it was free. */
static inline gboolean
mp_lock_site_release (MpLockSite *self)
{
  uint32_t old = mp_lock_word_free (&self->shared->word);

  if (G_UNLIKELY ((old & MP_LOCK_WORD_WAITERS) != 0))
    mp_lock_site_wake (self);
  mp_micro_lock_forget ();
  return !mp_lock_word_is_free (old);
}

/* The holder, MP_PARTICIPANT_NONE if it is free. */
static inline uint32_t
mp_lock_shared_get_holder (MpLockShared *self)
{
  return atomic_load_explicit (&self->word, memory_order_relaxed) &
         ~(MP_LOCK_WORD_ABANDONED | MP_LOCK_WORD_WAITERS);
}

/* For properties: 0 if it is free, or not known. */
guint mp_lock_site_get_holder_pid (MpLockSite *self);
guint mp_lock_site_get_holder_thread (MpLockSite *self);
/* For mp_sync_dump(). */
void mp_lock_describe (gpointer memory, gsize size, GString *text);
guint32 mp_lock_get_holder (gpointer memory, guint32 *thread);

gboolean mp_lock_site_init (MpLockSite *self, guint32 kind, GError **error);
gboolean mp_lock_site_import (MpLockSite *self,
                              const char *name,
                              guint32 kind,
                              GVariant *handle,
                              GUnixFDList *fd_list,
                              GError **error);
GVariant *mp_lock_site_to_handle (MpLockSite *self,
                                  const char *name,
                                  GUnixFDList *fd_list,
                                  GError **error);
void mp_lock_site_clear (MpLockSite *self);

G_END_DECLS
