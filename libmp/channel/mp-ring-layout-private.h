/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "../base/mp-micro-lock-private.h"
#include "../memory/mp-segment-private.h"
#include "mp-ring-private.h"

G_BEGIN_DECLS

/* What the files of the ring share among themselves, and with the calls of the
 * queue into which a part of it is inlined. */

#define MP_RING_KIND MP_SEGMENT_KIND ('r', 'i', 'n', 'g')
#define MP_RING_VERSION 2

/* The immutable part, in the header of the segment. */
enum
{
  MP_RING_PARAMETER_BASE_UNITS, /* capacity of class 0 */
  MP_RING_PARAMETER_N_CLASSES,
  MP_RING_PARAMETER_MAX_ITEMS, /* 0: no bound */
  MP_RING_PARAMETER_MAX_BYTES  /* 0: no bound */
};

#define MP_RING_UNIT 8u
#define MP_RING_MAX_CLASSES 20
/* Of one class: sixteen gigabytes. All of them together stay below 2^32 units. */
#define MP_RING_MAX_CLASS_UNITS (1u << 31)
/* A bound on what one bound can be. */
#define MP_RING_MAX_MAX_BYTES ((guint64) (MP_RING_MAX_CLASS_UNITS - 1) * MP_RING_UNIT)
/* Where class 0 begins: a multiple of every page size there is. */
#define MP_RING_DATA_OFFSET 65536u
/* Below this a ring does not bother to give memory back. */
#define MP_RING_BIG_CLASS_UNITS (16u * 1024 * 1024 / MP_RING_UNIT)

#define MP_RING_LINE 64

/* One segment of the chain. Written under the producers' lock; all but @closed
 * are settled before the chain leads to them. */
typedef struct
{
  _Atomic uint32_t closed; /* 1: nothing more is put in here */
  _Atomic uint32_t end;    /* if closed, the position after its last message */
  _Atomic uint32_t next;   /* if closed, the class that comes after it */
  _Atomic uint32_t start;  /* the position of its first message */
} MpRingClass;

/* One kind of sleeper. */
typedef struct
{
  _Alignas(MP_RING_LINE) _Atomic uint64_t waiters; /* {epoch:32 | count:32} */
  _Atomic uint32_t sequence;                       /* the futex */
  _Atomic uint32_t armed;                          /* 1: a main loop sleeps on the eventfd */
  _Atomic uint32_t eager;                          /* 1: wake for any room at all */
  _Atomic uint32_t idle_wakes;
} MpRingSide;

/* What lies in shared memory. A word of positions is {messages:32 | units:32},
 * both counted from the beginning of time and wrapping around. */
typedef struct
{
  MpSegmentHeader header;

  _Alignas(MP_RING_LINE) MpMicroLock put_lock;
  _Atomic uint32_t put_class;
  _Atomic uint32_t put_backed; /* units of put_class that surely have memory */
  _Atomic uint32_t put_single; /* 1: the consumers are in put_class as well */
  _Atomic uint64_t tail_cache;
  _Atomic uint32_t put_limit; /* up to this position there surely is room */

  /* Written under put_lock, see mp-ring-claim.c; @claim_units 0: none. */
  _Alignas(MP_RING_LINE) _Atomic uint32_t claim_units;
  _Atomic uint32_t claim_items;
  _Atomic uint32_t claim_token;
  _Atomic int64_t claim_until; /* monotonic microseconds */

  _Alignas(MP_RING_LINE) _Atomic uint64_t head; /* under put_lock: the commit of a put */

  _Alignas(MP_RING_LINE) MpMicroLock get_lock;
  _Atomic uint32_t get_class;
  _Atomic uint64_t head_cache;

  _Alignas(MP_RING_LINE) _Atomic uint64_t tail; /* under get_lock: the commit of a get */

  MpRingSide getters;
  MpRingSide putters;

  _Alignas(MP_RING_LINE) _Atomic uint32_t closed; /* MpQueueSides */
  _Atomic uint64_t trimmed_at;                    /* monotonic microseconds */

  _Alignas(MP_RING_LINE) MpRingClass classes[MP_RING_MAX_CLASSES];

  /* Of the messages that head counts, how many are dealt with; see mp-ring-ends.c. */
  _Alignas(MP_RING_LINE) _Atomic uint32_t done;
  _Atomic uint32_t joiners;       /* who sleep until all are */
  _Atomic uint32_t join_sequence; /* the futex */
} MpRingShared;

G_STATIC_ASSERT (sizeof (MpRingShared) <= 4096);
G_STATIC_ASSERT (ATOMIC_LLONG_LOCK_FREE == 2);

struct _MpRing
{
  /* Private copies of what never changes. */
  guint32 base_units;
  guint32 n_classes;
  guint32 max_items;   /* no bound: G_MAXUINT32 */
  guint32 max_units;   /* no bound: more than ever fits */
  guint64 max_bytes;   /* no bound: 0 */
  gboolean bounded;    /* somebody may have to wait for room */
  gsize mapped_length; /* of @shared */

  MpRingShared *shared;
  /* Mapped when first needed, by whoever is first. */
  _Atomic (guint8 *) maps[MP_RING_MAX_CLASSES];
  guint32 masks[MP_RING_MAX_CLASSES]; /* the units of each class, less one */
  MpSegment segment;
  int get_event;
  int put_event;

  gatomicrefcount ref_count;
  _Atomic uint32_t spins[2]; /* how long it has paid to spin: getters, putters */
  _Atomic uint32_t naps[2];  /* how often it has not */
};

static inline guint32
mp_ring_position (guint64 word)
{
  return (guint32) word;
}

static inline guint32
mp_ring_items (guint64 word)
{
  return (guint32) (word >> 32);
}

static inline guint64
mp_ring_word (guint32 items, guint32 position)
{
  return (guint64) items << 32 | position;
}

static inline guint32
mp_ring_class_units (MpRing *self, guint32 class_)
{
  return self->base_units << class_;
}

/* Where in its segment a position lies: the segments begin with their start,
 * so that only as much of a big one is ever touched as was put into it. */
static inline guint32
mp_ring_offset (MpRing *self, guint32 class_, guint32 position)
{
  guint32 start = atomic_load_explicit (&self->shared->classes[class_].start, memory_order_relaxed);

  return (position - start) & self->masks[class_];
}

static inline guint64
mp_ring_class_offset (MpRing *self, guint32 class_)
{
  return MP_RING_DATA_OFFSET +
         (guint64) self->base_units * MP_RING_UNIT * (((guint64) 1 << class_) - 1);
}

#if defined(__has_feature)
#define MP_RING_HAS_FEATURE(x) __has_feature (x)
#else
#define MP_RING_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || MP_RING_HAS_FEATURE(thread_sanitizer)
#define MP_RING_WITHOUT_FENCES 1
#else
#define MP_RING_WITHOUT_FENCES 0
#endif

/* Orders a commit before the look at who sleeps, and the announcement of a
 * sleeper before its last look: one of the two sees the other. */
static inline void
mp_ring_fence (MpRing *self)
{
#if MP_RING_WITHOUT_FENCES
  /* The thread sanitizer does not know fences. */
  atomic_fetch_add (&self->naps[0], 0);
#else
  atomic_thread_fence (memory_order_seq_cst);
#endif
}

/* mp-ring-segments.c */

guint8 *mp_ring_map_class (MpRing *self, guint32 class_);

/* NULL with errno set. */
static inline guint8 *
mp_ring_get_memory (MpRing *self, guint32 class_)
{
  guint8 *memory = atomic_load_explicit (&self->maps[class_], memory_order_acquire);

  return G_LIKELY (memory != NULL) ? memory : mp_ring_map_class (self, class_);
}

/* Under put_lock: there is no sure room. Before put_class changes, and after
 * any put that has not gone by put_limit. */
static inline void
mp_ring_forget_room (MpRing *self)
{
  guint64 head = atomic_load_explicit (&self->shared->head, memory_order_relaxed);

  atomic_store_explicit (&self->shared->put_limit, mp_ring_position (head), memory_order_relaxed);
}

/* Under put_lock: where @need units can be written at @head, opening another
 * segment if the current one has no room. */
MpRingStatus mp_ring_make_room (MpRing *self, guint64 head, guint32 need, guint8 **place);
/* Under get_lock: leaves the segments that are used up at @position. */
MpRingStatus mp_ring_advance (MpRing *self, guint32 position, guint32 *class_);
void mp_ring_trim_slow (MpRing *self, guint32 units);

/* Under no lock: after the ring was emptied by a message of @units, gives
 * memory back if that is due. */
static inline void
mp_ring_trim (MpRing *self, guint32 units)
{
  if (G_UNLIKELY (atomic_load_explicit (&self->shared->get_class, memory_order_relaxed) != 0))
    mp_ring_trim_slow (self, units);
}

/* mp-ring-wait.c */

/* What somebody waits for. */
typedef struct
{
  GIOCondition condition;
  guint32 units; /* of room */
  guint32 items; /* of room */
  guint32 token; /* whose claim is not in the way; 0: nobody's */
} MpRingNeed;

static inline MpRingSide *
mp_ring_get_side (MpRing *self, GIOCondition condition)
{
  return (condition & G_IO_OUT) != 0 ? &self->shared->putters : &self->shared->getters;
}

gboolean mp_ring_is_ready (MpRing *self, const MpRingNeed *need);
/* Something small. */
MpRingNeed mp_ring_need (GIOCondition condition);
/* MP_RING_INTERRUPTED also when @cancellable is cancelled; the caller has
 * connected it to mp_ring_wake_all(). */
MpRingStatus mp_ring_wait_for (MpRing *self,
                               const MpRingNeed *need,
                               gint64 deadline,
                               GCancellable *cancellable);
void mp_ring_wake_getters_slow (MpRing *self, guint32 n);
void mp_ring_wake_putters_slow (MpRing *self, guint32 n);
void mp_ring_wake_side (MpRing *self, GIOCondition condition);
/* Who was woken and leaves without that which it was woken for, perhaps. */
void mp_ring_pass_on (MpRing *self, GIOCondition condition);
/* The eventfd of a side. */
int mp_ring_get_event (MpRing *self, GIOCondition condition);
/* For a loop that found nothing. TRUE if there is something after all; else
 * it may sleep on the eventfd. */
gboolean mp_ring_arm (MpRing *self, const MpRingNeed *need);

/* Between the release of a lock and the look at who sleeps. */
static inline void
mp_ring_fence_after_release (MpRing *self)
{
#if MP_RING_WITHOUT_FENCES
  mp_ring_fence (self);
#else
  mp_micro_lock_fence_after_release ();
#endif
}

/* After that fence. */
static inline gboolean
mp_ring_is_awaited (MpRingSide *side)
{
  return ((guint32) atomic_load_explicit (&side->waiters, memory_order_relaxed) |
          atomic_load_explicit (&side->armed, memory_order_relaxed)) != 0;
}

/* After a commit of @n messages. */
static inline void
mp_ring_wake_getters (MpRing *self, guint32 n)
{
  MpRingSide *side = &self->shared->getters;

  mp_ring_fence_after_release (self);
  if (G_UNLIKELY (mp_ring_is_awaited (side)))
    mp_ring_wake_getters_slow (self, n);
}

/* After @n messages were taken. */
static inline void
mp_ring_wake_putters (MpRing *self, guint32 n)
{
  MpRingSide *side = &self->shared->putters;

  if (!self->bounded)
    return;
  mp_ring_fence_after_release (self);
  if (G_UNLIKELY (mp_ring_is_awaited (side)))
    mp_ring_wake_putters_slow (self, n);
}

/* mp-ring-claim.c */

/* A new one, never 0. */
guint32 mp_ring_claim_token (void);
/* Makes others leave room for @need, or goes on with that; FALSE if another claim
 * stands. To be repeated every MP_RING_CLAIM_REFRESH_US. */
gboolean mp_ring_claim (MpRing *self, const MpRingNeed *need);
/* Ends it, if it is the one of @need. */
void mp_ring_unclaim (MpRing *self, const MpRingNeed *need);
gboolean mp_ring_is_claimed_slow (MpRing *self, const MpRingNeed *need, MpRingNeed *together);

#define MP_RING_CLAIM_REFRESH_US (50 * 1000)

static inline gboolean
mp_ring_has_claim (MpRing *self)
{
  return atomic_load_explicit (&self->shared->claim_units, memory_order_relaxed) != 0;
}

/* Whether another claim than that of @need stands; @together: how much room there
 * has to be for both. */
static inline gboolean
mp_ring_is_claimed (MpRing *self, const MpRingNeed *need, MpRingNeed *together)
{
  return G_UNLIKELY (mp_ring_has_claim (self)) && mp_ring_is_claimed_slow (self, need, together);
}

/* Under put_lock, when room for @need was found: ends its claim, or one that is void. */
void mp_ring_settle_claim_slow (MpRing *self, const MpRingNeed *need);

static inline void
mp_ring_settle_claim (MpRing *self, const MpRingNeed *need)
{
  if (G_UNLIKELY (mp_ring_has_claim (self)))
    mp_ring_settle_claim_slow (self, need);
}

/* mp-ring.c */

/* The room that @records need; FALSE if they fit no ring at all. */
gboolean mp_ring_measure (const MpRecord *records, gsize n_records, MpRingNeed *need);

/* mp-ring-source.c */

GSource *mp_ring_source_new_full (MpRing *self, const MpRingNeed *need);

G_END_DECLS
