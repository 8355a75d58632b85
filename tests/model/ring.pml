/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How the ring's two sides sleep and wake, libmp/channel/mp-ring-wait.c and
 * mp-ring-source.c. The micro-locks have a model of their own: here a commit,
 * of a put as of a get, is one step.
 *
 * Two producers put PUTS messages each into a ring of CAPACITY. SLEEPERS
 * consumers sleep in a futex, LOOPS ones are main loops on the eventfd. KILLS
 * of all of them are killed, at any step. With GIVE_UP, a consumer that found
 * something may go without it, because a signal or its deadline came while it
 * waited for the consumers' lock, or because it cannot read the message.
 * With LEAVES, a main loop may have something else to do after a message.
 *
 * Slices end only when nothing else can happen, and then each at most once
 * until something is committed.
 *
 * What must hold whenever nothing else can happen:
 *   - no consumer sleeps while there is a message, and no producer that wants
 *     to be woken sleeps while there is room;
 *   - except after the death of one that owed somebody a wake: then the slices
 *     have to find it.
 *
 * The mistakes that can be made on purpose are the ones named MISTAKE_…. */

#ifndef PUTS
#define PUTS 2
#endif
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef SLEEPERS
#define SLEEPERS 1
#endif
#ifndef LOOPS
#define LOOPS 1
#endif
#ifndef KILLS
#define KILLS 0
#endif
/* Those before it are not killed. */
#ifndef FIRST_VICTIM
#define FIRST_VICTIM 0
#endif
/* Of either side, counted and killed before all this begins. */
#ifndef KILLED_SLEEPERS
#define KILLED_SLEEPERS 0
#endif
#ifndef MAX_IDLE_WAKES
#define MAX_IDLE_WAKES 1
#endif

#define PRODUCERS 2
#define N (PRODUCERS + SLEEPERS + LOOPS)
/* The sides. */
#define GETTERS 0
#define PUTTERS 1

#define RUNNING 0
#define ON_GETTERS 1
#define ON_PUTTERS 2
#define POLLING 3
#define DONE 4
#define DEAD 5

byte items;

/* MpRingSide; count and epoch are one word, so each step has both. */
byte count[2] = KILLED_SLEEPERS;
byte epoch[2];
byte sequence[2];
byte idle_wakes[2];
bool armed;
bool event;
bool eager;

byte state[N];
byte n_kills;

bool owes[N];    /* somebody may sleep until this one has got further */
bool hurt;       /* one that owed died */
bool expired[N]; /* its slice ended since the last commit */
bool lazy[N];    /* sleeps for a moment only, whatever happens */

#define ASLEEP(who) (state[who] == ON_GETTERS || state[who] == ON_PUTTERS || state[who] == POLLING)
#define STILL(who) (state[who] != RUNNING && !(state[who] == POLLING && event))
#if SLEEPERS + LOOPS == 3
#define QUIET (STILL (0) && STILL (1) && STILL (2) && STILL (3) && STILL (4))
#define WANTS_MESSAGE(x) (x (2) || x (3) || x (4))
#elif SLEEPERS + LOOPS == 1
#define QUIET (STILL (0) && STILL (1) && STILL (2))
#define WANTS_MESSAGE(x) (x (2))
#else
#define QUIET (STILL (0) && STILL (1) && STILL (2) && STILL (3))
#define WANTS_MESSAGE(x) (x (2) || x (3))
#endif

inline committed()
{
  d_step
  {
    expired[0] = false;
    expired[1] = false;
    expired[2] = false;
#if N > 3
    expired[3] = false;
#endif
#if N > 4
    expired[4] = false;
#endif
  }
}

inline wake_if(who, side)
{
  if
  :: state[who] == side + 1 -> state[who] = RUNNING; owes[who] = true; woke++
  :: else
  fi
}

/* FUTEX_WAKE: any one, or all. */
inline futex_wake(side, everybody)
{
  atomic
  {
    woke = 0;
    if
    :: everybody ->
       wake_if(0, side);
       wake_if(1, side);
       wake_if(2, side);
#if N > 3
       wake_if(3, side);
#endif
#if N > 4
       wake_if(4, side);
#endif
       skip
    :: !everybody && state[0] == side + 1 -> wake_if(0, side)
    :: !everybody && state[1] == side + 1 -> wake_if(1, side)
    :: !everybody && state[2] == side + 1 -> wake_if(2, side)
#if N > 3
    :: !everybody && state[3] == side + 1 -> wake_if(3, side)
#endif
#if N > 4
    :: !everybody && state[4] == side + 1 -> wake_if(4, side)
#endif
    :: else
    fi
  }
}

/* leave(): a part of a step. */
inline leave(side, of_epoch, n)
{
  if
#ifdef MISTAKE_NO_EPOCH
  :: true ->
#else
  :: epoch[side] == of_epoch ->
#endif
     count[side] = (count[side] > n -> count[side] - n : 0)
  :: else
  fi
}

/* The look at the count. That the sequence changes is part of the same step,
 * because nobody could do anything in between that it could not do before; the
 * second look of the library is left out. */
inline look_for_sleepers(side)
{
  seen_count = count[side];
  seen_epoch = epoch[side];
  woke = 0;
  if
#ifndef MISTAKE_SAME_SEQUENCE
  :: seen_count != 0 -> sequence[side]++
#endif
  :: else
  fi
}

/* wake_sleepers(), after that look. */
inline wake_sleepers(side, everybody)
{
  futex_wake(side, everybody);
  if
  :: atomic
     {
       woke > 0 ->
       leave(side, seen_epoch, woke);
       idle_wakes[side] = 0;
       woke = 0
     }
  :: atomic
     {
       woke == 0 ->
       idle_wakes[side]++;
       if
       :: idle_wakes[side] > MAX_IDLE_WAKES ->
          idle_wakes[side] = 0;
          woke = (count[side] == seen_count && epoch[side] == seen_epoch);
          if
          :: woke -> epoch[side]++; count[side] = 0
          :: else
          fi
       :: else
       fi
     };
     if
     :: woke ->
#ifndef MISTAKE_QUIET_RESET
        sequence[side]++;
        futex_wake(side, true)
#endif
     :: !woke
     fi
  fi
}

inline forget_sleepers()
{
  seen_count = 0;
  seen_epoch = 0;
  woke = 0
}

/* disarm() */
inline disarm()
{
  atomic
  {
    woke = armed;
    armed = false
  };
  if
  :: atomic { woke -> woke = 0; event = true }
  :: !woke
  fi
}

/* mp_ring_wake_getters() */
inline wake_getters()
{
  atomic { look_for_sleepers(GETTERS) };
  if
  :: seen_count != 0 -> wake_sleepers(GETTERS, false)
  :: seen_count == 0
  fi;
#if LOOPS > 0
  disarm();
#endif
  atomic
  {
    forget_sleepers();
    owes[me] = false
  }
}

/* mp_ring_wake_putters(); no main loop waits for room here. */
inline wake_putters()
{
#if CAPACITY < PRODUCERS * PUTS
  atomic { look_for_sleepers(PUTTERS) };
  if
  :: seen_count == 0
  :: seen_count != 0 ->
     atomic
     {
       woke = eager;
       eager = false
     };
     if
     :: woke -> wake_sleepers(PUTTERS, true)
     :: !woke && items <= CAPACITY / 2 -> wake_sleepers(PUTTERS, false)
     :: !woke && items > CAPACITY / 2
     fi
  fi;
#endif
  atomic
  {
    forget_sleepers();
    owes[me] = false
  }
}

inline forget_sleep()
{
  my_sequence = 0;
  my_epoch = 0;
  result = 0
}

/* One round of sleep_until_ready(). @ready is an expression. */
inline sleep_a_slice(side, ready)
{
  my_sequence = sequence[side];
  atomic
  {
    my_epoch = epoch[side];
    count[side]++
  };
  if
  :: side == PUTTERS && !lazy[me] -> eager = true
  :: else
  fi;
  if
#ifndef MISTAKE_NO_RECHECK
  :: atomic { ready -> leave(side, my_epoch, 1); forget_sleep() }
#endif
  :: else ->
     atomic
     {
       if
       :: sequence[side] == my_sequence -> state[me] = side + 1; owes[me] = false
       :: else -> leave(side, my_epoch, 1); lazy[me] = false; result = 1
       fi
     };
     if
     :: atomic { state[me] == RUNNING -> forget_sleep() }
     :: atomic
        {
          state[me] == side + 1 && QUIET && !expired[me] ->
          state[me] = RUNNING;
          expired[me] = !lazy[me];
          lazy[me] = false;
          leave(side, my_epoch, 1);
          forget_sleep()
        }
     fi
  fi
}

active [PRODUCERS] proctype producer()
{
  byte me = _pid;
  byte puts, my_sequence, my_epoch, seen_count, seen_epoch, woke;
  bit result;

  {
    do
    :: puts < PUTS ->
#ifdef MISTAKE_WAKES_FIRST
       wake_getters();
#endif
       if
       :: atomic
          {
            items < CAPACITY ->
            items++;
            puts++;
            owes[me] = true;
            lazy[me] = false;
            committed()
          };
#ifndef MISTAKE_WAKES_FIRST
          wake_getters()
#else
          owes[me] = false
#endif
       :: atomic { items == CAPACITY -> lazy[me] = true; owes[me] = false };
          /* mp_ring_wait_for() ends when it is ready. */
          do
          :: items < CAPACITY -> break
          :: items == CAPACITY -> sleep_a_slice(PUTTERS, items < CAPACITY)
          od
       fi
    :: atomic { puts == PUTS -> state[me] = DONE; break }
    od
  }
#if KILLS > 0
  unless { atomic { state[me] == DEAD -> puts = 0; forget_sleep(); forget_sleepers() } }
#endif
}

#if SLEEPERS > 0
active [SLEEPERS] proctype consumer()
{
  byte me = _pid;
  byte my_sequence, my_epoch, seen_count, seen_epoch, woke;
  bit result;

  {
    do
    :: atomic
       {
         items > 0 -> items--; owes[me] = true; committed()
       };
       wake_putters()
#ifdef GIVE_UP
    :: items > 0 && owes[me] ->
#ifndef MISTAKE_KEEPS_THE_WAKE
       /* What it was woken for is somebody else's now. */
       if
       :: items > 0 -> wake_getters()
       :: else
       fi;
#endif
       break
#endif
    :: items == 0 -> sleep_a_slice(GETTERS, items > 0)
    od;
    atomic
    {
      owes[me] = false;
      state[me] = DONE
    }
  }
#if KILLS > 0
  unless { atomic { state[me] == DEAD -> forget_sleep(); forget_sleepers() } }
#endif
}
#endif

#if LOOPS > 0
/* mp_ring_arm(), and what its caller does then: it looks again, or sleeps. */
inline arm()
{
#ifdef MISTAKE_ARMS_FIRST
  armed = true;
  atomic
  {
    event = false;
    owes[me] = true
  };
#else
  atomic
  {
    event = false;
    owes[me] = true
  };
  armed = true;
#endif
  if
#ifndef MISTAKE_NO_RECHECK
  :: items > 0 ->
#ifndef MISTAKE_NO_REARM
     disarm();
#endif
     goto next
#endif
  :: else
  fi
}

active [LOOPS] proctype loop()
{
  byte me = _pid;
  byte seen_count, seen_epoch, woke;
  bool signalled;

  {
next:
    do
    :: atomic { items > 0 -> items--; owes[me] = true; signalled = false; committed() };
       wake_putters()
#ifdef LEAVES
       ;
       if
       :: atomic { state[me] = DONE; break }
       :: true
       fi
#endif
    :: items == 0 ->
       /* ring_source_look(), as prepare and as check. */
       if
       :: !signalled && armed
       :: signalled || !armed -> arm()
       fi;
       atomic
       {
         owes[me] = false;
         signalled = false;
         state[me] = POLLING
       };
       if
       :: atomic { event -> signalled = true; state[me] = RUNNING }
       :: atomic
          {
            state[me] == POLLING && QUIET && !expired[me] ->
            expired[me] = true;
            state[me] = RUNNING
          }
       fi
    od
  }
#if KILLS > 0
  unless { atomic { state[me] == DEAD -> signalled = false; forget_sleepers() } }
#endif
}
#endif

inline kill(who)
{
  n_kills++;
  hurt = hurt || owes[who];
  owes[who] = false;
  lazy[who] = false;
  expired[who] = false;
  state[who] = DEAD
}

active proctype killer()
{
end:
  do
#if FIRST_VICTIM == 0
  :: atomic { n_kills < KILLS && state[0] < DONE -> kill(0) }
  :: atomic { n_kills < KILLS && state[1] < DONE -> kill(1) }
#endif
#if FIRST_VICTIM <= 2
  :: atomic { n_kills < KILLS && state[2] < DONE -> kill(2) }
#endif
#if N > 3
  :: atomic { n_kills < KILLS && state[3] < DONE -> kill(3) }
#endif
#if N > 4
  :: atomic { n_kills < KILLS && state[4] < DONE -> kill(4) }
#endif
  od
}

#define WAITS_IN_VAIN(who) (ASLEEP (who) && (!hurt || expired[who]))
#define PUTS_IN_VAIN(who) (state[who] == ON_PUTTERS && !lazy[who] && (!hurt || expired[who]))

/* Only runs where it must not get to. */
active proctype monitor()
{
end:
  if
  :: atomic { QUIET && items > 0 && WANTS_MESSAGE (WAITS_IN_VAIN) -> assert(false) }
  :: atomic
     {
       QUIET && items < CAPACITY && (PUTS_IN_VAIN (0) || PUTS_IN_VAIN (1)) -> assert(false)
     }
  fi
}
