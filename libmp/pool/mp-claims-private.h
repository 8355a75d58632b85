/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* The memory that a pool shares with its workers besides the two rings: which
 * task each worker took out of the task ring, how far each task is, and how many
 * workers are one too many.
 * The algorithm is described in mp-claims.c. */
typedef struct _MpClaims MpClaims;

/* What a worker says it took; only meaningful together with the ring's count. */
typedef struct
{
  guint32 seq;
  guint32 slot;
  guint64 task_id;
  gint64 began; /* when it was taken, on the monotonic clock; 0: not told */
} MpClaim;

typedef enum
{
  MP_CLAIMS_CANCEL_DROPPED, /* no worker will run it */
  MP_CLAIMS_CANCEL_ASKED,   /* a worker runs it, which is asked to let it be */
  MP_CLAIMS_CANCEL_LATE     /* it is done, or nobody's */
} MpClaimsCancel;

/* There is memory for @n_workers, and room for @max_workers. */
MpClaims *mp_claims_new (guint n_workers, guint max_workers, guint n_slots, GError **error);
MpClaims *mp_claims_new_from_fd (int fd, GError **error);
void mp_claims_free (MpClaims *self);
int mp_claims_get_fd (MpClaims *self);
guint mp_claims_get_max_workers (MpClaims *self);
guint mp_claims_get_n_slots (MpClaims *self);

/* The pool's side. */
gboolean mp_claims_allocate (MpClaims *self, guint n_workers, GError **error);
void mp_claims_queue (MpClaims *self, guint slot);
/* If it is still queued, no worker will run it. */
gboolean mp_claims_withdraw (MpClaims *self, guint slot);
MpClaimsCancel mp_claims_cancel (MpClaims *self, guint slot, guint *worker);
/* After MP_CLAIMS_CANCEL_ASKED, for a worker that the pool knows. */
void mp_claims_tell_asked (MpClaims *self, guint worker);
/* For what was asked to end: its worker takes nothing else, and has to be killed.
 * FALSE if it ended meanwhile. */
gboolean mp_claims_doom (MpClaims *self, guint slot, guint worker);
gboolean mp_claims_is_running (MpClaims *self, guint slot);
gboolean mp_claims_read (MpClaims *self, guint worker, MpClaim *claim);
/* 0: nobody yet */
guint32 mp_claims_get_attached (MpClaims *self, guint worker);
void mp_claims_reset (MpClaims *self, guint worker);
/* As many workers leave, each after the task that it has. */
void mp_claims_dismiss (MpClaims *self, guint n_workers);

/* A worker's side. */
/* FALSE if the place is another process's. */
gboolean mp_claims_attach (MpClaims *self, guint worker, guint32 process);
void mp_claims_take (MpClaims *self, guint worker, const MpClaim *claim);
void mp_claims_release (MpClaims *self, guint worker);
gboolean mp_claims_begin (MpClaims *self, guint worker, guint slot);
gboolean mp_claims_finish (MpClaims *self, guint worker, guint slot);
/* TRUE for one of those that are to leave. */
gboolean mp_claims_take_leave (MpClaims *self);
gboolean mp_claims_is_asked (MpClaims *self, guint slot);
/* Changes when a task of @worker is asked to end, and wakes whoever sleeps on it. */
_Atomic uint32_t *mp_claims_get_asked_word (MpClaims *self, guint worker);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpClaims, mp_claims_free)

G_END_DECLS
