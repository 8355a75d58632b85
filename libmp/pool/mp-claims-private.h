/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The memory that a pool shares with its workers besides the two rings: which
 * task each worker took out of the task ring, and how far each task is.
 * The algorithm is described in mp-claims.c. */
typedef struct _MpClaims MpClaims;

/* What a worker says it took; only meaningful together with the ring's count. */
typedef struct
{
  guint32 seq;
  guint32 slot;
  guint64 task_id;
} MpClaim;

typedef enum
{
  MP_CLAIMS_CANCEL_DROPPED, /* no worker will run it */
  MP_CLAIMS_CANCEL_DOOMED,  /* a worker runs it, which has to be killed and takes nothing else */
  MP_CLAIMS_CANCEL_LATE     /* it is done, or nobody's */
} MpClaimsCancel;

MpClaims *mp_claims_new (guint n_workers, guint n_slots, GError **error);
MpClaims *mp_claims_new_from_fd (int fd, GError **error);
void mp_claims_free (MpClaims *self);
int mp_claims_get_fd (MpClaims *self);
guint mp_claims_get_n_workers (MpClaims *self);
guint mp_claims_get_n_slots (MpClaims *self);

/* The pool's side. */
void mp_claims_queue (MpClaims *self, guint slot);
MpClaimsCancel mp_claims_cancel (MpClaims *self, guint slot, guint *worker);
gboolean mp_claims_is_running (MpClaims *self, guint slot);
gboolean mp_claims_read (MpClaims *self, guint worker, MpClaim *claim);
gboolean mp_claims_is_attached (MpClaims *self, guint worker);
void mp_claims_reset (MpClaims *self, guint worker);

/* A worker's side. */
void mp_claims_attach (MpClaims *self, guint worker);
void mp_claims_take (MpClaims *self, guint worker, const MpClaim *claim);
void mp_claims_release (MpClaims *self, guint worker);
gboolean mp_claims_begin (MpClaims *self, guint worker, guint slot);
gboolean mp_claims_finish (MpClaims *self, guint worker, guint slot);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (MpClaims, mp_claims_free)

G_END_DECLS
