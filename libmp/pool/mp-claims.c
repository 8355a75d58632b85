/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-claims-private.h"

#include "../base/mp-error-private.h"
#include "../base/mp-futex-private.h"
#include "../memory/mp-segment-private.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* Who had what, when a worker dies at any instruction.
 *
 * A worker takes a task out of the task ring under the ring's consumer lock;
 * while it holds that lock, and before the ring's commit, it writes its claim:
 * the number of the message, the slot and the task in it. It withdraws the
 * claim after the task's result was committed to the result ring. So, when a
 * worker is dead, its claim and the ring's count of taken messages say:
 *
 *   no claim                     it had nothing, or its result is in the ring
 *   claim, message not taken     it died before the commit: the message is
 *                                still in the ring, somebody else gets it
 *   claim, message taken         it had the task, unless the result arrived, or
 *                                another worker's claim names the same message
 *                                (that one took it after the dead one wrote its
 *                                claim and before it could commit)
 *
 * A slot stands for one task between the feeding of it and its result. Its word
 * has a state in the low byte and, while it runs, the worker above:
 *
 *   QUEUED -> RUNNING -> DONE      by the worker, by compare-and-exchange
 *   QUEUED -> CANCELLED            by the pool: the worker skips the task
 *   RUNNING -> ASKED               by the pool: the worker is told, see the word
 *                                  in its record, and may still reach DONE
 *   ASKED -> DOOMED                by the pool, which then kills the worker. A
 *                                  worker that reaches the end of a doomed task
 *                                  goes no further, so that the kill cannot hit
 *                                  the next task.
 *
 * A place is for one process. When a zygote dies just after it forked a worker, the
 * same one is started once more by the next zygote; the first may have come as far as
 * taking a task before it was killed, too. So the first that asks for a task has the
 * place, and the other one leaves, whose end makes the pool look at the claim.
 *
 * The records stand at the end, room for more workers than there is memory yet:
 * a pool can grow. */

#define MP_CLAIMS_KIND MP_SEGMENT_KIND ('c', 'l', 'a', 'm')
#define MP_CLAIMS_VERSION 2
#define MP_CLAIMS_MAX_WORKERS 65536
#define MP_CLAIMS_MAX_SLOTS (1 << 20)
#define MP_CACHE_LINE 64
#define MP_CLAIMS_LEAVE_OFFSET 128
#define MP_CLAIMS_SLOTS_OFFSET 192

enum
{
  SLOT_FREE,
  SLOT_QUEUED,
  SLOT_RUNNING,
  SLOT_DONE,
  SLOT_CANCELLED,
  SLOT_ASKED,
  SLOT_DOOMED
};

#define SLOT_WORD(state, worker) (((guint32) (worker) << 8) | (state))
#define SLOT_STATE(word) ((word) &0xff)
#define SLOT_WORKER(word) ((word) >> 8)

G_STATIC_ASSERT (sizeof (MpSegmentHeader) <= MP_CLAIMS_LEAVE_OFFSET);

typedef struct
{
  _Alignas(MP_CACHE_LINE) _Atomic uint32_t n;
  _Atomic uint32_t seq;
  _Atomic uint64_t task_id;
  _Atomic uint32_t slot;
  _Atomic uint32_t attached;
  _Atomic int64_t began;
  _Atomic uint32_t asked;
} MpClaimRecord;

struct _MpClaims
{
  MpSegment segment;
  gsize size;
  void *memory;
  /* Copies: what the shared header says later is not looked at. */
  guint max_workers;
  guint n_slots;
  MpClaimRecord *records;
  _Atomic uint32_t *slots;
  _Atomic uint32_t *leave;
};

static gsize
mp_claims_compute_records_offset (guint n_slots)
{
  gsize end = MP_CLAIMS_SLOTS_OFFSET + (gsize) n_slots * sizeof (uint32_t);

  return (end + MP_CACHE_LINE - 1) / MP_CACHE_LINE * MP_CACHE_LINE;
}

static gsize
mp_claims_compute_size (guint n_workers, guint n_slots)
{
  return mp_claims_compute_records_offset (n_slots) + (gsize) n_workers * sizeof (MpClaimRecord);
}

static gboolean
mp_claims_map (MpClaims *self, guint max_workers, guint n_slots, GError **error)
{
  guint8 *memory;

  self->max_workers = max_workers;
  self->n_slots = n_slots;
  self->size = mp_claims_compute_size (max_workers, n_slots);
  self->memory = mp_segment_map (&self->segment, 0, self->size);
  if (self->memory == NULL)
    return mp_set_error_from_errno (error, errno, "Mapping the claims of a pool");
  memory = self->memory;
  self->leave = (_Atomic uint32_t *) (gpointer) (memory + MP_CLAIMS_LEAVE_OFFSET);
  self->slots = (_Atomic uint32_t *) (gpointer) (memory + MP_CLAIMS_SLOTS_OFFSET);
  self->records =
    (MpClaimRecord *) (gpointer) (memory + mp_claims_compute_records_offset (n_slots));
  return TRUE;
}

/* Now: a lack of memory is an error here, not a signal later. */
gboolean
mp_claims_allocate (MpClaims *self, guint n_workers, GError **error)
{
  if (mp_segment_allocate (&self->segment, 0, mp_claims_compute_size (n_workers, self->n_slots)))
    return TRUE;
  return mp_set_error_from_errno (error, errno, "Taking memory for the claims of a pool");
}

MpClaims *
mp_claims_new (guint n_workers, guint max_workers, guint n_slots, GError **error)
{
  g_autoptr (MpClaims) self = g_new0 (MpClaims, 1);
  guint64 parameters[MP_SEGMENT_N_PARAMETERS] = { max_workers, n_slots };

  g_assert_cmpuint (n_workers - 1, <, max_workers);
  g_assert_cmpuint (max_workers, <=, MP_CLAIMS_MAX_WORKERS);
  g_assert_cmpuint (n_slots - 1, <, MP_CLAIMS_MAX_SLOTS);

  self->segment.fd = -1;
  if (!mp_segment_create (&self->segment,
                          "mp-claims",
                          MP_CLAIMS_KIND,
                          MP_CLAIMS_VERSION,
                          mp_claims_compute_size (max_workers, n_slots),
                          FALSE,
                          parameters,
                          error))
    return NULL;
  self->n_slots = n_slots;
  if (!mp_claims_allocate (self, n_workers, error))
    return NULL;
  return mp_claims_map (self, max_workers, n_slots, error) ? g_steal_pointer (&self) : NULL;
}

/* Does not take over @fd. */
MpClaims *
mp_claims_new_from_fd (int fd, GError **error)
{
  g_autoptr (MpClaims) self = g_new0 (MpClaims, 1);
  guint64 max_workers;
  guint64 n_slots;

  self->segment.fd = -1;
  if (!mp_segment_attach (&self->segment, fd, MP_CLAIMS_KIND, MP_CLAIMS_VERSION, error))
    return NULL;
  max_workers = self->segment.header.parameters[0];
  n_slots = self->segment.header.parameters[1];
  if (max_workers == 0 || max_workers > MP_CLAIMS_MAX_WORKERS || n_slots == 0 ||
      n_slots > MP_CLAIMS_MAX_SLOTS ||
      mp_segment_get_size (&self->segment) <
        mp_claims_compute_size ((guint) max_workers, (guint) n_slots))
    {
      g_set_error_literal (error,
                           MP_ERROR,
                           MP_ERROR_CORRUPT,
                           "The claims of a pool have an impossible size");
      return NULL;
    }
  return mp_claims_map (self, (guint) max_workers, (guint) n_slots, error) ? g_steal_pointer (&self)
                                                                           : NULL;
}

void
mp_claims_free (MpClaims *self)
{
  if (self->memory != NULL)
    munmap (self->memory, self->size);
  mp_segment_clear (&self->segment);
  g_free (self);
}

int
mp_claims_get_fd (MpClaims *self)
{
  return self->segment.fd;
}

guint
mp_claims_get_max_workers (MpClaims *self)
{
  return self->max_workers;
}

guint
mp_claims_get_n_slots (MpClaims *self)
{
  return self->n_slots;
}

void
mp_claims_queue (MpClaims *self, guint slot)
{
  atomic_store_explicit (&self->slots[slot], SLOT_WORD (SLOT_QUEUED, 0), memory_order_release);
}

gboolean
mp_claims_withdraw (MpClaims *self, guint slot)
{
  uint32_t word = SLOT_WORD (SLOT_QUEUED, 0);

  return atomic_compare_exchange_strong (&self->slots[slot], &word, SLOT_WORD (SLOT_CANCELLED, 0));
}

/* What @slot holds must not run, or must not go on. */
MpClaimsCancel
mp_claims_cancel (MpClaims *self, guint slot, guint *worker)
{
  uint32_t word;

  if (mp_claims_withdraw (self, slot))
    return MP_CLAIMS_CANCEL_DROPPED;
  word = atomic_load (&self->slots[slot]);
  if (SLOT_STATE (word) != SLOT_RUNNING || SLOT_WORKER (word) >= self->max_workers)
    return MP_CLAIMS_CANCEL_LATE;
  if (!atomic_compare_exchange_strong (&self->slots[slot],
                                       &word,
                                       SLOT_WORD (SLOT_ASKED, SLOT_WORKER (word))))
    return MP_CLAIMS_CANCEL_LATE;
  *worker = SLOT_WORKER (word);
  return MP_CLAIMS_CANCEL_ASKED;
}

/* The worker's record has to be there. */
void
mp_claims_tell_asked (MpClaims *self, guint worker)
{
  atomic_fetch_add (&self->records[worker].asked, 1);
  mp_futex_wake (&self->records[worker].asked, G_MAXINT, TRUE);
}

gboolean
mp_claims_doom (MpClaims *self, guint slot, guint worker)
{
  uint32_t word = SLOT_WORD (SLOT_ASKED, worker);

  return atomic_compare_exchange_strong (&self->slots[slot],
                                         &word,
                                         SLOT_WORD (SLOT_DOOMED, worker));
}

gboolean
mp_claims_is_running (MpClaims *self, guint slot)
{
  uint32_t state = SLOT_STATE (atomic_load (&self->slots[slot]));

  return state == SLOT_RUNNING || state == SLOT_ASKED || state == SLOT_DONE;
}

/* FALSE if @worker claims nothing. */
gboolean
mp_claims_read (MpClaims *self, guint worker, MpClaim *claim)
{
  MpClaimRecord *record = &self->records[worker];

  if (atomic_load_explicit (&record->n, memory_order_acquire) == 0)
    return FALSE;
  claim->seq = atomic_load_explicit (&record->seq, memory_order_relaxed);
  claim->task_id = atomic_load_explicit (&record->task_id, memory_order_relaxed);
  claim->slot = atomic_load_explicit (&record->slot, memory_order_relaxed);
  claim->began = atomic_load_explicit (&record->began, memory_order_relaxed);
  return TRUE;
}

/* Who came as far as asking for a task. */
guint32
mp_claims_get_attached (MpClaims *self, guint worker)
{
  return atomic_load (&self->records[worker].attached);
}

/* For the successor of a dead worker. */
void
mp_claims_reset (MpClaims *self, guint worker)
{
  atomic_store (&self->records[worker].n, 0);
  atomic_store (&self->records[worker].attached, 0);
}

gboolean
mp_claims_attach (MpClaims *self, guint worker, guint32 process)
{
  uint32_t nobody = 0;

  return atomic_compare_exchange_strong (&self->records[worker].attached, &nobody, process);
}

/* Under the task ring's consumer lock, before its commit. */
void
mp_claims_take (MpClaims *self, guint worker, const MpClaim *claim)
{
  MpClaimRecord *record = &self->records[worker];

  atomic_store_explicit (&record->seq, claim->seq, memory_order_relaxed);
  atomic_store_explicit (&record->task_id, claim->task_id, memory_order_relaxed);
  atomic_store_explicit (&record->slot, claim->slot, memory_order_relaxed);
  atomic_store_explicit (&record->began, claim->began, memory_order_relaxed);
  atomic_store_explicit (&record->n, 1, memory_order_release);
}

void
mp_claims_release (MpClaims *self, guint worker)
{
  atomic_store_explicit (&self->records[worker].n, 0, memory_order_release);
}

/* FALSE if the task was cancelled while it was queued. */
gboolean
mp_claims_begin (MpClaims *self, guint worker, guint slot)
{
  uint32_t word = SLOT_WORD (SLOT_QUEUED, 0);

  return atomic_compare_exchange_strong (&self->slots[slot],
                                         &word,
                                         SLOT_WORD (SLOT_RUNNING, worker));
}

/* FALSE if this worker is about to be killed. */
gboolean
mp_claims_finish (MpClaims *self, guint worker, guint slot)
{
  uint32_t word = SLOT_WORD (SLOT_RUNNING, worker);

  if (atomic_compare_exchange_strong (&self->slots[slot], &word, SLOT_WORD (SLOT_DONE, worker)))
    return TRUE;
  word = SLOT_WORD (SLOT_ASKED, worker);
  return atomic_compare_exchange_strong (&self->slots[slot], &word, SLOT_WORD (SLOT_DONE, worker));
}

gboolean
mp_claims_is_asked (MpClaims *self, guint slot)
{
  uint32_t state = SLOT_STATE (atomic_load (&self->slots[slot]));

  return state == SLOT_ASKED || state == SLOT_DOOMED;
}

_Atomic uint32_t *
mp_claims_get_asked_word (MpClaims *self, guint worker)
{
  return &self->records[worker].asked;
}

void
mp_claims_dismiss (MpClaims *self, guint n_workers)
{
  atomic_store (self->leave, n_workers);
}

gboolean
mp_claims_take_leave (MpClaims *self)
{
  uint32_t n = atomic_load_explicit (self->leave, memory_order_relaxed);

  while (n > 0)
    if (atomic_compare_exchange_weak (self->leave, &n, n - 1))
      return TRUE;
  return FALSE;
}
