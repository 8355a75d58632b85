/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-enums.h"

#include "../memory/mp-arena-private.h"

G_BEGIN_DECLS

/* Sleeping on words in an arena, and who does so.
 *
 * No sleep is longer than a slice: who should have woken us may have been killed
 * just before, and whom we wait for may have died. What a sleeper has to do after
 * a slice is to look whether those are alive on whom it depends. */
#define MP_WAITS_SLICE_US (40 * 1000)
/* An interruptible wait is left after so long even if nothing interrupted it: the
 * handler may have run just before the sleep. With the last slice this is less than
 * half a second. */
#define MP_WAITS_TURN_US (10 * MP_WAITS_SLICE_US)

/* In MpArenaWait.thread: no thread, but so many asynchronous operations. */
#define MP_WAITS_ASYNC 0x80000000u

/* Puts the calling thread down as a sleeper on @block. The table is for those
 * who debug: when it is full, this is NULL, and nothing else is different. */
MpArenaWait *mp_waits_enter (const MpBlock *block);
/* The same for the asynchronous operations of this process, of which there is
 * one entry for a block. */
MpArenaWait *mp_waits_enter_async (const MpBlock *block);
void mp_waits_set_async (MpArenaWait *wait, guint n);
/* @wait: may be NULL. */
void mp_waits_leave (MpArenaWait *wait);
/* Live sleepers on @block, and asynchronous operations of other processes that
 * live; this process's own are @n_async, exactly. */
guint mp_waits_count (const MpBlock *block, guint n_async);

/* Whether the participant has died. If this thread saw it alive lately it counts as
 * alive, unless @again: for those who only try, or who try very often. */
gboolean mp_waits_has_died (MpArena *arena, uint32_t participant, gboolean again);

/* A thread on its way to sleep. */
typedef struct
{
  const MpBlock *block;
  _Atomic uint32_t *word;
  gint64 deadline;
  GCancellable *cancellable;
  gboolean interruptible; /* signal handlers end it, and so does the end of its turn */
  gboolean brief;         /* most sleeps are: it is only put down after the first slice */

  gboolean slept;
  gboolean woken; /* the last time, by somebody who thinks that we act on it */
  gboolean idle;  /* the last slice passed, and nothing happened */
  gint64 turn_end;
  MpArenaWait *wait;
  gulong handler;
} MpSyncSleep;

/* Sleeps for a slice at most while *@word is @expected. MP_WAIT_RESULT_DONE: look
 * again; MP_WAIT_RESULT_TIMED_OUT: the deadline is over; MP_WAIT_RESULT_INTERRUPTED:
 * cancelled, or it is interruptible and a signal handler ran, or may have run; then
 * nobody woke it.
 *
 * Sets its fields from the first sleep on; the caller sets those above the gap. */
MpWaitResult mp_sync_sleep (MpSyncSleep *self, uint32_t expected);
/* Always, also if it never slept. */
void mp_sync_sleep_end (MpSyncSleep *self);

/* The error for how a wait of a public call ended, if not well: @what is for
 * instance "The lock was not free". Always returns FALSE. */
gboolean mp_sync_set_error (GError **error,
                            MpWaitResult result,
                            GCancellable *cancellable,
                            const MpBlock *block,
                            const char *what);

G_END_DECLS
