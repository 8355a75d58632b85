/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The lock whose word names its holder by a participant, as in libmp/sync.
 *
 * N processes take and release it ROUNDS times; KILLS of them are killed, at
 * any step. With HANDOVER a section may be handed to one more process, which
 * releases the lock in the acquirer's stead. With GIVE_UP a waiter may lose
 * patience when its slice ends.
 *
 * When a slice of waiting may end:
 *   SLICES_ANYTIME   whenever it likes, for what must hold in any case
 *   SLICES_LATE      not before nothing else can happen, for what must not
 *                    be left to the slices, and that one slice is enough
 *   (neither)        never, for what holds without slices
 *
 * KILL_RELEASING: killed is only who has freed the word and not woken yet.
 * The mistakes that can be made on purpose are the ones named MISTAKE_…. */

#ifndef N
#define N 3
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define HOLDER 7
#define ABANDONED 8
#define WAITERS 16

#define RUNNING 0
#define ASLEEP 1
#define DONE 2
#define DEAD 3

/* The shared word: the holder's number plus one, and two flags. */
byte word;

/* What the kernel knows. The last process is the one that releases for others. */
byte state[N + 1];
bool alive[N + 1] = true;
bool pending[N + 1]; /* list_op_pending is the word */
byte dying = 255;    /* past its last instruction, still counted as living */
byte n_kills;

/* What only the model knows. */
bool inside[N];  /* is in the guarded section */
bool torn;       /* a holder died in it, and nobody was told yet */
byte slices;     /* that ended since anything good happened */
byte handed;     /* whose section the last process has, plus one */
bool released[N + 1]; /* is between the exchange and the end of its wake */

#if N == 2
#define NOBODY_RUNS (state[0] != RUNNING && state[1] != RUNNING)
#define SOMEBODY_SLEEPS (state[0] == ASLEEP || state[1] == ASLEEP)
#define LIVING_INSIDE (inside[0] + inside[1])
#else
#define NOBODY_RUNS (state[0] != RUNNING && state[1] != RUNNING && state[2] != RUNNING)
#define SOMEBODY_SLEEPS (state[0] == ASLEEP || state[1] == ASLEEP || state[2] == ASLEEP)
#define LIVING_INSIDE (inside[0] + inside[1] + inside[2])
#endif
#define QUIET (NOBODY_RUNS && state[N] != RUNNING && dying == 255 && handed == 0)

#if defined(SLICES_ANYTIME)
#define MAY_EXPIRE true
#elif defined(SLICES_LATE)
#define MAY_EXPIRE QUIET
#else
#define MAY_EXPIRE false
#endif

/* FUTEX_WAKE of one: any of them, since nothing may depend on the order. */
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
inline entered(stole)
{
  assert(LIVING_INSIDE == 0);
  /* Whoever gets what a dead one left is told, and nobody else is. */
  assert(torn == stole);
  torn = false;
  inside[me] = true;
  slices = 0
}

inline release_word(who, section)
{
#ifndef MISTAKE_NO_PENDING
  pending[who] = true;
#endif
  atomic
  {
    old = word;
    word = 0;
    /* Nobody else has taken or released it meanwhile. */
    assert((old & HOLDER) == section + 1);
    inside[section] = false;
    released[who] = true;
    handed = 0
  };
  if
  :: (old & WAITERS) != 0 -> wake_one()
  :: else
  fi;
  atomic
  {
    pending[who] = false;
    released[who] = false;
    old = 0
  }
}

active [N] proctype process()
{
  byte me = _pid;
  byte mine, seen, old, round;
  bool timed_out;

  {
again:
    do
    :: round == ROUNDS -> break
    :: else ->
       round++;
       mine = me + 1;
       atomic
       {
         if
         :: word == 0 -> word = mine; entered(false); goto have
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
       :: seen == 0 ->
          atomic
          {
            if
            :: word == 0 -> word = mine; entered(false); goto have
            :: else -> goto look
            fi
          }
       :: seen != 0 && (seen & WAITERS) == 0 ->
          atomic
          {
            if
            :: word == seen -> word = seen | WAITERS; seen = word
            :: else -> goto look
            fi
          }
       :: seen != 0 && (seen & WAITERS) != 0
       fi;
       /* FUTEX_WAIT: compares and queues in one step. */
       atomic
       {
#ifdef MISTAKE_NO_COMPARE
         state[me] = ASLEEP
#else
         if
         :: word == seen -> state[me] = ASLEEP
         :: else
         fi
#endif
       };
       if
       :: state[me] == RUNNING -> timed_out = false
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
       seen = 0;
       /* Others may sleep as well, and this one may be the only one that knows. */
#ifndef MISTAKE_FORGETS_WAITERS
       mine = (me + 1) | WAITERS;
#endif
#ifdef GIVE_UP
       if
       :: timed_out -> slices = 0; goto again
       :: true
       fi;
#endif
#ifdef MISTAKE_GIVES_UP_WOKEN
       if
       :: !timed_out -> goto again
       :: true
       fi;
#endif
       if
       :: timed_out ->
          seen = word;
          if
#ifdef MISTAKE_NO_PROBE
          :: seen != 0 ->
#else
          :: seen != 0 && !alive[(seen & HOLDER) - 1] ->
#endif
             atomic
             {
#ifdef MISTAKE_NO_CAS
               word = (me + 1) | ABANDONED | WAITERS; entered(true); goto have
#else
               if
               :: word == seen ->
                  word = (me + 1) | ABANDONED | WAITERS; entered(true); goto have
               :: else -> goto look
               fi
#endif
             }
          :: else -> goto look
          fi
       :: else -> goto look
       fi;
have:
       atomic
       {
         mine = 0;
         seen = 0;
         timed_out = false
       };
       if
       :: release_word(me, me)
#ifdef HANDOVER
       :: handed = me + 1
#endif
       fi
    od;
    state[me] = DONE
  }
  unless
  {
    atomic { state[me] == DEAD -> mine = 0; seen = 0; old = 0; round = 0; timed_out = false }
  }
}

/* Has no lock of its own. */
active proctype releaser()
{
  byte old, section;

  {
    state[N] = ASLEEP;
end:
    do
    :: atomic { handed != 0 -> section = handed - 1; state[N] = RUNNING };
       release_word(N, section);
       section = 0;
       state[N] = ASLEEP
    od
  }
  unless { state[N] == DEAD }
}

/* A process gets no further. What it had pending is done by the kernel before
 * anybody can see that it is dead. */
inline kill(who)
{
  n_kills++;
  state[who] = DEAD;
  dying = who;
  slices = 0;
  if
  :: pending[who] && (word & HOLDER) == 0 -> wake_one()
  :: else
  fi;
  pending[who] = false
}

#ifdef KILL_RELEASING
#define AT_ITS_TIME(who) released[who]
#else
#define AT_ITS_TIME(who) true
#endif
/* Who hands a section over has to live until it is released. */
#ifdef MISTAKE_DIES_AFTER_HANDOVER
#define MAY_DIE(who) (AT_ITS_TIME (who))
#else
#define MAY_DIE(who) (AT_ITS_TIME (who) && handed != who + 1)
#endif

active proctype killer()
{
end:
  do
  :: atomic { n_kills < KILLS && dying == 255 && state[0] < DONE && MAY_DIE (0) -> kill(0) }
  :: atomic { n_kills < KILLS && dying == 255 && state[1] < DONE && MAY_DIE (1) -> kill(1) }
#if N > 2
  :: atomic { n_kills < KILLS && dying == 255 && state[2] < DONE && MAY_DIE (2) -> kill(2) }
#endif
#ifdef HANDOVER
  :: atomic { n_kills < KILLS && dying == 255 && released[N] -> kill(N) }
#endif
  :: atomic
     {
       dying != 255 ->
       alive[dying] = false;
       if
       :: dying < N && inside[dying] && handed != dying + 1 ->
          inside[dying] = false;
          torn = true
       :: else
       fi;
       dying = 255
     }
  od
}

/* Only runs where it must not get to: somebody sleeps, and nothing will ever
 * wake it. */
active proctype monitor()
{
end:
  atomic { QUIET && SOMEBODY_SLEEPS && !MAY_EXPIRE -> assert(false) }
}
