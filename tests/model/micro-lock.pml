/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The micro-lock, libmp/base/mp-micro-lock.c: the word holds a thread id, and
 * the kernel marks it when that thread dies.
 *
 * N threads take and release it ROUNDS times; KILLS of them are killed, at any
 * step. A waiter may lose patience when its slice ends. The slices are those of
 * lock.pml: SLICES_ANYTIME, SLICES_LATE, or none.
 * The mistakes that can be made on purpose are the ones named MISTAKE_…. */

#ifndef N
#define N 3
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif

#define TID 7
#define OWNER_DIED 8
#define WAITERS 16

#define RUNNING 0
#define ASLEEP 1
#define DONE 2
#define DEAD 3

byte word; /* the holder's number plus one, and two flags */

byte state[N];
bool pending[N]; /* list_op_pending is the word */
byte n_kills;

bool inside[N];
bool torn;   /* a holder died in its section, and nobody was told yet */
byte slices; /* that ended since anything good happened */

#if N == 2
#define NOBODY_RUNS (state[0] != RUNNING && state[1] != RUNNING)
#define SOMEBODY_SLEEPS (state[0] == ASLEEP || state[1] == ASLEEP)
#define ANY_INSIDE (inside[0] || inside[1])
#else
#define NOBODY_RUNS (state[0] != RUNNING && state[1] != RUNNING && state[2] != RUNNING)
#define SOMEBODY_SLEEPS (state[0] == ASLEEP || state[1] == ASLEEP || state[2] == ASLEEP)
#define ANY_INSIDE (inside[0] || inside[1] || inside[2])
#endif

#if defined(SLICES_ANYTIME)
#define MAY_EXPIRE true
#elif defined(SLICES_LATE)
#define MAY_EXPIRE NOBODY_RUNS
#else
#define MAY_EXPIRE false
#endif

inline wake_one()
{
  atomic
  {
    if
    :: state[0] == ASLEEP -> state[0] = RUNNING
    :: state[1] == ASLEEP -> state[1] = RUNNING
#if N > 2
    :: state[2] == ASLEEP -> state[2] = RUNNING
#endif
    :: else
    fi
  }
}

/* Within the step that makes @me the holder. */
inline entered(owner_died)
{
  assert(!ANY_INSIDE);
  assert(torn == (owner_died));
  torn = false;
  inside[me] = true;
  slices = 0
}

active [N] proctype thread()
{
  byte me = _pid;
  byte seen, round;
  bool slept, timed_out;

  {
again:
    do
    :: round == ROUNDS -> break
    :: else ->
       round++;
       /* mp_micro_lock_try() */
#ifndef MISTAKE_NO_PENDING
       pending[me] = true;
#endif
       atomic
       {
         if
         :: word == 0 -> word = me + 1; entered(false); goto have
         :: else
         fi
       };
look:
       atomic
       {
         timed_out = false;
         seen = word
       };
       if
       :: (seen & TID) == 0 ->
          atomic
          {
            if
#ifdef MISTAKE_NO_CAS
            :: true ->
#else
            :: word == seen ->
#endif
               word = (me + 1) | (slept -> WAITERS : 0) | (seen & WAITERS);
               entered((seen & OWNER_DIED) != 0);
               goto have
#ifndef MISTAKE_NO_CAS
            :: else -> goto look
#endif
            fi
          }
       :: (seen & TID) != 0 && (seen & WAITERS) == 0 ->
          atomic
          {
            if
            :: word == seen -> word = seen | WAITERS; seen = word
            :: else -> goto look
            fi
          }
       :: (seen & TID) != 0 && (seen & WAITERS) != 0
       fi;
       atomic
       {
         if
         :: word == seen -> state[me] = ASLEEP
         :: else
         fi;
         seen = 0
       };
       if
       :: state[me] == RUNNING
       :: atomic
          {
            state[me] == ASLEEP && MAY_EXPIRE ->
            state[me] = RUNNING;
            timed_out = true;
#ifdef SLICES_LATE
            slices++;
            assert(slices <= 1)
#endif
          }
       fi;
#ifndef MISTAKE_FORGETS_WAITERS
       slept = true;
#endif
       if
#ifdef MISTAKE_GIVES_UP_WOKEN
       :: !timed_out -> pending[me] = false; goto again
#endif
       :: timed_out -> slices = 0; pending[me] = false; goto again
       :: goto look
       fi;
have:
       atomic
       {
         slept = false;
         timed_out = false
       };
       atomic
       {
         seen = word;
         word = 0;
         assert((seen & TID) == me + 1);
         inside[me] = false
       };
       if
       :: (seen & WAITERS) != 0 -> wake_one()
       :: else
       fi;
       atomic
       {
         seen = 0;
         pending[me] = false
       }
    od;
    state[me] = DONE
  }
  unless { atomic { state[me] == DEAD -> seen = 0; round = 0; slept = false; timed_out = false } }
}

/* handle_futex_death() of the pending entry, in the dying thread. */
inline kill(who)
{
  n_kills++;
  state[who] = DEAD;
  slices = 0;
  if
  :: inside[who] -> inside[who] = false; torn = true
  :: else
  fi;
  if
#ifndef MISTAKE_KERNEL_KEEPS_WAKES
  :: pending[who] && (word & TID) == 0 -> wake_one()
#endif
  :: pending[who] && (word & TID) == who + 1 ->
     if
     :: (word & WAITERS) != 0 -> word = OWNER_DIED | WAITERS; wake_one()
     :: else -> word = OWNER_DIED
     fi
  :: else
  fi;
  pending[who] = false
}

active proctype killer()
{
end:
  do
  :: atomic { n_kills < KILLS && state[0] < DONE -> kill(0) }
  :: atomic { n_kills < KILLS && state[1] < DONE -> kill(1) }
#if N > 2
  :: atomic { n_kills < KILLS && state[2] < DONE -> kill(2) }
#endif
  od
}

/* Only runs where it must not get to: somebody sleeps for ever. */
active proctype monitor()
{
end:
  atomic { NOBODY_RUNS && SOMEBODY_SLEEPS && !MAY_EXPIRE -> assert(false) }
}
