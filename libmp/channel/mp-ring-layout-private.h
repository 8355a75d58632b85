/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include "../base/mp-micro-lock-private.h"
#include "../memory/mp-segment-private.h"
#include "../sync/mp-spin-private.h"
#include "mp-ring-private.h"
#include "mp-store-private.h"

G_BEGIN_DECLS

/* What the files of the ring share among themselves, and with the calls of the
 * queue into which a part of it is inlined. */

#define MP_RING_KIND MP_SEGMENT_KIND ('r', 'i', 'n', 'g')
#define MP_RING_VERSION 4

/* The immutable part, in the header of the segment. */
enum
{
  MP_RING_PARAMETER_BASE_UNITS, /* capacity of class 0 */
  MP_RING_PARAMETER_N_CLASSES,
  MP_RING_PARAMETER_MAX_ITEMS,     /* 0: no bound */
  MP_RING_PARAMETER_MAX_BYTES,     /* 0: no bound */
  MP_RING_PARAMETER_MAX_DELIVERIES /* 0: no bound */
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

/* From this length on a message goes into a block, unless the ring is bounded by
 * bytes: that is, all that it holds is in its segment. */
#define MP_RING_BLOCK_LENGTH 32768u
/* Beside the codec of a message: its bytes are an MpBlockRef. */
#define MP_RING_IN_BLOCK 256u
/* And it begins with an MpFdTicket. */
#define MP_RING_WITH_FDS 512u

/* Says which packet of the socket belongs to a message; all that is in that packet, too. */
typedef struct
{
  guint32 number;
  guint32 n_fds;
} MpFdTicket;

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

  /* A hint of mp-ring-wait.c, not in the line that whoever commits looks at. */
  _Alignas(MP_RING_LINE) _Atomic uint32_t coming; /* since when, in milliseconds; 0: nobody */
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
  _Atomic uint32_t returned; /* 1: some block may wait to be lent again */

  _Alignas(MP_RING_LINE) _Atomic uint64_t tail; /* under get_lock: the commit of a get */

  MpRingSide getters;
  MpRingSide putters;
  MpRingSide joiners; /* until none is unfinished */

  _Alignas(MP_RING_LINE) _Atomic uint32_t closed; /* MpQueueSides */
  _Atomic uint64_t trimmed_at;                    /* monotonic microseconds */

  _Alignas(MP_RING_LINE) MpRingClass classes[MP_RING_MAX_CLASSES];

  /* Of the messages that head counts, how many are dealt with; see mp-ring-ends.c. */
  _Alignas(MP_RING_LINE) _Atomic uint64_t done; /* {token of the last one:32 | messages:32} */
  /* Under get_lock: what was drained, and may not yet be counted there. */
  _Atomic uint64_t drained;       /* {token:32 | messages:32}; no messages: nothing */
  _Atomic uint32_t drained_until; /* messages taken, once that was committed */

  _Atomic uint32_t blocks_used; /* how many blocks there ever were */
  _Atomic uint32_t sweep_due;   /* 1: of what was about to be put; 2: taken */

  /* Numbers of tickets, see mp-ring-fds.c. */
  _Atomic uint32_t fd_ticket; /* under put_lock: the last one that there was */
  _Atomic uint32_t fd_gone;   /* under get_lock: up to this one the socket has none any more */
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
  _Atomic (MpStore *) store; /* when it is first needed */
  guint32 max_deliveries;    /* no bound: 0 */
  MpRing *dead_letters;      /* nullable; where those go that had too many */
  _Atomic int64_t tended_at; /* monotonic microseconds */
  int get_event;
  int put_event;
  int join_event; /* where nobody waits for room, it is @put_event */
  int fd_sender;  /* -1: it carries no descriptors */
  int fd_receiver;

  gatomicrefcount ref_count;
  MpSpin get_spins[2];
  MpSpin put_spin;
  _Atomic uint32_t linger_left; /* how many getters still take the first message at once */
  _Atomic uint32_t linger_naps; /* how many will the next time that no more come with it */
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
  atomic_fetch_add (&self->put_spin.naps, 0);
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

/* mp-ring-blocks.c */

/* NULL with errno set. @make: if there is none in the shared memory yet. */
MpStore *mp_ring_get_store (MpRing *self, gboolean make);
/* Also settle what somebody was about to do who died with the lock. */
MpRingStatus mp_ring_lock_put (MpRing *self, gint64 deadline);
MpRingStatus mp_ring_lock_get (MpRing *self, gint64 deadline);
MpRingStatus mp_ring_status_of_errno (void);
/* Whether some of what was taken may come back. */
gboolean mp_ring_is_lent (MpRing *self);
/* Under no lock, now and then, and when somebody was seen to die: what the dead had comes back.
 * TRUE if something did that can be taken. */
gboolean mp_ring_tend (MpRing *self, gboolean now);

/* Under put_lock, before and after the commit of @records at @head. FALSE: nothing
 * was done, since one of the blocks is not ours. */
gboolean mp_ring_queue_blocks (MpRing *self,
                               const MpRecord *records,
                               gsize n_records,
                               guint64 head);
void mp_ring_settle_queued (MpRing *self, const MpRecord *records, gsize n_records);
/* Puts what is long into blocks of its own: @blocks, and @big in place of @records. */
MpRingStatus mp_ring_put_in_blocks (MpRing *self,
                                    const MpRecord *records,
                                    gsize n_records,
                                    MpRecord *big,
                                    MpBlockRef *blocks);
void mp_ring_give_up_blocks (MpRing *self, const MpRecord *records, gsize n_records);

static inline gboolean
mp_ring_wants_block (MpRing *self, guint64 length)
{
  return length >= MP_RING_BLOCK_LENGTH && self->max_bytes == 0;
}

/* mp-ring-ends.c */

/* As mp_ring_count_done() for one that lies in an acking block of ours, which is taken then: once,
 * whoever dies when. */
void mp_ring_count_acked (MpRing *self, const MpBlockRef *ref);
/* Under get_lock, around the commit of @n messages that are drained, after which @taken are
 * taken: they are counted once, whoever dies when. The last also for one who died between. */
void mp_ring_begin_drain (MpRing *self, guint32 n, guint32 taken);
void mp_ring_count_drained (MpRing *self);
/* Under no lock: what those began who died with it. */
void mp_ring_finish_draining (MpRing *self);

/* mp-ring-take.c */

/* One get in the making. */
typedef struct
{
  gsize max_items;
  gsize max_bytes;
  MpRingTake take;
  gpointer user_data;
  gboolean draining;     /* nobody else may take */
  gboolean without_data; /* of what lies in blocks */
  gboolean keep;         /* the blocks stay ours */
  gboolean lease;        /* everything is lent, in blocks */
  MpBlockRef spare;      /* what is copied into if it is not in one */
  GArray *fds;           /* nullable; of the only message, and empty at first */
  gboolean skip_fds;     /* or they are left */

  guint32 taken;
  guint64 bytes;
  guint32 last_units; /* of the last one taken */
  MpFdTicket ticket;  /* if it has any; n_fds: as many are in @fds */
  GArray *blocks;     /* of MpBlockRef; nullable */
} MpRingGetting;

/* What mp_ring_take() does, and the others. */
MpRingStatus mp_ring_take_as (MpRing *self,
                              MpRingGetting *getting,
                              gint64 deadline,
                              GCancellable *cancellable);

/* mp-ring-fds.c */

/* FALSE if @fd is no socket as is needed. */
gboolean mp_ring_check_socket (int fd);
gboolean mp_ring_has_fd_room (MpRing *self);
/* Under put_lock, directly before the commit. MP_RING_TIMED_OUT: there is no room. */
MpRingStatus mp_ring_send_fds (MpRing *self, const MpRecord *record, MpFdTicket *ticket);
/* Under get_lock, before and after the commit. */
MpRingStatus mp_ring_peek_fds (MpRing *self, const MpFdTicket *ticket, GArray *fds);
void mp_ring_consume_fds (MpRing *self, const MpFdTicket *ticket);
/* Under no lock: closes those that are left after the messages are gone, if it can be told. */
void mp_ring_drop_stale_fds (MpRing *self, gint64 deadline);
void mp_ring_close_fds (GArray *fds);
/* After some were taken. */
void mp_ring_wake_fd_putters (MpRing *self);
void mp_ring_set_fd_error (GError **error, MpRingStatus status);

/* mp-ring-lend.c */

/* Under get_lock: one message that lies in a block, or is to be lent. */
MpRingStatus mp_ring_take_block (MpRing *self,
                                 MpRingGetting *getting,
                                 guint32 seq,
                                 guint32 n_ready,
                                 guint32 codec,
                                 const guint8 *data,
                                 gsize length);
/* Under get_lock, after the commit. */
void mp_ring_settle_taken (MpRing *self, MpRingGetting *getting);
/* Under no lock: what does not stay ours. @emptied: nothing was left. */
void mp_ring_free_taken (MpRing *self, MpRingGetting *getting, gboolean emptied);
/* Nobody will ever take what was returned: it is done. */
void mp_ring_drop_returned (MpRing *self);
/* Takes all that was returned away, and counts it as done; how much that was. */
guint32 mp_ring_drain_returned (MpRing *self);
/* Under no lock: what was returned comes first. */
MpRingStatus mp_ring_take_returned (MpRing *self, MpRingGetting *getting);

/* mp-ring-wait.c */

/* What somebody waits for. */
typedef struct
{
  GIOCondition condition; /* G_IO_PRI: that none is unfinished */
  guint32 units;          /* of room */
  guint32 items;          /* of room */
  guint32 token;          /* whose claim is not in the way; 0: nobody's */
  gboolean blocks;        /* some of it lies in blocks */
  gboolean fds;           /* it has some */
} MpRingNeed;

static inline MpRingSide *
mp_ring_get_side (MpRing *self, GIOCondition condition)
{
  if ((condition & G_IO_PRI) != 0)
    return &self->shared->joiners;
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
/* The eventfd of a side. */
int mp_ring_get_event (MpRing *self, GIOCondition condition);
/* For a loop that found nothing. TRUE if there is something after all; else it may sleep on the
 * eventfd, which stays readable while another has to be woken. */
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

/* Makes others leave room for @need, or goes on with that; FALSE if another claim
 * stands. To be repeated every MP_RING_CLAIM_REFRESH_US. */
gboolean mp_ring_claim (MpRing *self, const MpRingNeed *need);
/* Ends it, if it is the one of @need. */
void mp_ring_unclaim (MpRing *self, const MpRingNeed *need);
gboolean mp_ring_is_claimed_slow (MpRing *self, const MpRingNeed *need, MpRingNeed *together);

/* Who has waited for so long for room claims it. */
#define MP_RING_CLAIM_AFTER_US 5000
#define MP_RING_CLAIM_REFRESH_US (50 * 1000)

/* mp_ring_claim(), and in how many microseconds it is to be done again. There may be no room for
 * descriptors for long, and nobody is to look for that all the time. */
static inline gint64
mp_ring_claim_again (MpRing *self, const MpRingNeed *need)
{
  return mp_ring_claim (self, need) || need->fds ? MP_RING_CLAIM_REFRESH_US
                                                 : MP_RING_CLAIM_AFTER_US;
}

static inline gboolean
mp_ring_has_claim (MpRing *self)
{
  return atomic_load_explicit (&self->shared->claim_units, memory_order_relaxed) != 0;
}

/* Whether there is room for those whose turn it is, although @need has to wait: for the claim, or
 * without one for something small. A claim of @need, which never is one that only descriptors
 * keep from it, leaves none to others. */
gboolean mp_ring_is_for_another (MpRing *self, const MpRingNeed *need);

/* Nobody tells when a claim becomes void: those for whom that matters look. */
gboolean mp_ring_is_held_up (MpRing *self, GIOCondition condition);

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

/* One of @length bytes went through a block: who waits for the next one, or for room for it, waits
 * for somebody who fills or reads as much. */
static inline void
mp_ring_note_long (MpSpin *spin, guint64 length)
{
  const guint64 bytes_per_us = 8192, most_us = 200;
  uint32_t more = (uint32_t) MIN (length / bytes_per_us, most_us);

  if (atomic_load_explicit (&spin->more, memory_order_relaxed) != more)
    atomic_store_explicit (&spin->more, more, memory_order_relaxed);
}

G_END_DECLS
