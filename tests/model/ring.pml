/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* How the ring's two sides sleep and wake, libmp/channel/mp-ring-wait.c,
 * mp-ring-claim.c and mp-ring-source.c. The micro-locks have a model of their own: here a commit,
 * of a put as of a get, is one step.
 *
 * Two producers put PUTS messages each into a ring of CAPACITY. SLEEPERS
 * consumers sleep in a futex, LOOPS ones are main loops on the eventfd. KILLS
 * of all of them are killed, at any step. With GIVE_UP, a consumer that found
 * something may go without it, because a signal or its deadline came while it
 * waited for the consumers' lock, or because it cannot read the message.
 * With LEAVES, a consumer may have something else to do after a message. With
 * SPINS, one may look for a while, and say so, before it sleeps.
 *
 * The first ROOM_LOOPS of the producers wait for room in main loops, and each put has a source of
 * its own.
 *
 * With CLAIMS, who finds no room may claim what it needs, BIG for the first of the
 * producers and 1 for the other, and may give up then. A claim is void when the one who
 * has it was killed and nothing else can happen.
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
/* What the first producer needs at a time. */
#ifndef BIG
#define BIG 1
#endif
#ifndef SLEEPERS
#define SLEEPERS 1
#endif
#ifndef LOOPS
#define LOOPS 1
#endif
#ifndef ROOM_LOOPS
#define ROOM_LOOPS 0
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
/* With NO_RESETS there are so many idle wakes that the count never starts afresh. */
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
bool unchanged[N]; /* the sequence of its side, since this one read it */
byte idle_wakes[2];
bool armed;
bool event;
bool eager;
/* The same of those who wait for room. */
bool room_armed;
bool room_event;
bool room_changes[PRODUCERS]; /* it was made readable since this one looked */
bool stands_back[PRODUCERS];  /* watches only that */

byte state[N];
byte n_kills;

/* mp-ring-claim.c: who claims room, and one more; 0 if nobody does. */
byte claim;
#define NEED(who) (who == 0 -> BIG : 1)
#define IS_BESIDE(who) (claim != 0 && claim != who + 1)
#define ROOM(who) (items + NEED (who) + (IS_BESIDE (who) -> NEED (claim - 1) : 0) <= CAPACITY)
/* Whether others could put, while this one cannot. */
#define IS_FOR_ANOTHER(who) \
  (claim == 0 -> items < CAPACITY : claim != who + 1 && items + NEED (claim - 1) <= CAPACITY)
#define READY(side) (side == GETTERS -> (items > 0) : ROOM (me))
/* Only of one that is still there to use it, or that was killed and has it for a moment. */
#define MAY_PUT(who) (ROOM (who) || (items + NEED (who) <= CAPACITY && state[claim - 1] == DONE))

bool owes[N];    /* somebody may sleep until this one has got further */
bool hurt;       /* one that owed died */
bool expired[N]; /* its slice ended since the last commit */
bool lazy[N];    /* sleeps for a moment only, whatever happens */
bool waited[N];  /* has to pass on what it does not take */

/* Somebody comes. That it is forgotten after a while is left out, since it only makes
 * more wakes. */
bool coming;

#define ASLEEP(who) (state[who] == ON_GETTERS || state[who] == ON_PUTTERS || state[who] == POLLING)
/* A descriptor of changes is not readable when what changed is not. */
#define POLLS_ROOM(who) (room_event && (!stands_back[who] || room_changes[who]))
#define STILL(who) (state[who] != RUNNING && !(state[who] == POLLING && event))
#define PUTTER_STILL(who) (state[who] != RUNNING && !(state[who] == POLLING && POLLS_ROOM (who)))
#if SLEEPERS + LOOPS == 3
#define QUIET (PUTTER_STILL (0) && PUTTER_STILL (1) && STILL (2) && STILL (3) && STILL (4))
#define WANTS_MESSAGE(x) (x (2) || x (3) || x (4))
#elif SLEEPERS + LOOPS == 1
#define QUIET (PUTTER_STILL (0) && PUTTER_STILL (1) && STILL (2))
#define WANTS_MESSAGE(x) (x (2))
#else
#define QUIET (PUTTER_STILL (0) && PUTTER_STILL (1) && STILL (2) && STILL (3))
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

inline arrive()
{
#ifndef MISTAKE_NO_ARRIVAL
  coming = false
#else
  skip
#endif
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

inline change_sequence(side)
{
  if
  :: side == PUTTERS -> unchanged[0] = false; unchanged[1] = false
  :: else ->
#if N > 3
     unchanged[3] = false;
#endif
#if N > 4
     unchanged[4] = false;
#endif
     unchanged[2] = false
  fi
}

/* The look at the count. That the sequence changes is part of the same step,
 * because nobody could do anything in between that it could not do before; the
 * second look of the library is left out. */
inline look_for_sleepers(side)
{
#ifdef NO_RESETS
  seen_count = (count[side] != 0);
#else
  seen_count = count[side];
#endif
  seen_epoch = epoch[side];
  woke = 0;
  if
#ifndef MISTAKE_SAME_SEQUENCE
  :: seen_count != 0 -> change_sequence(side)
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
       awoke = true;
       woke = 0
     }
#ifdef NO_RESETS
  :: woke == 0
#else
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
        atomic { change_sequence(side) };
        futex_wake(side, true)
#endif
     :: !woke
     fi
#endif
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

inline signal_room()
{
  room_event = true;
  room_changes[0] = true;
  room_changes[1] = true
}

inline disarm_room()
{
  atomic
  {
    woke = room_armed;
    room_armed = false
  };
  if
  :: atomic { woke -> woke = 0; signal_room() }
  :: !woke
  fi
}

/* mp_ring_wake_getters() */
inline wake_getters()
{
  if
  :: atomic
     {
       (count[GETTERS] == 0 && !armed) || coming ->
       waited[me] = false;
       owes[me] = false
     }
  :: (count[GETTERS] != 0 || armed) && !coming ->
     atomic { said = (count[GETTERS] > 1); look_for_sleepers(GETTERS) };
     if
     :: seen_count != 0 ->
#ifdef MISTAKE_LATE_ANNOUNCEMENT
        wake_sleepers(GETTERS, false);
        coming = said
#else
        if
        :: said -> coming = true
        :: !said
        fi;
        wake_sleepers(GETTERS, false);
        if
        :: said && !awoke ->
#ifndef MISTAKE_STAYS_ANNOUNCED
           coming = false;
#endif
#ifndef MISTAKE_NO_SECOND_LOOK
           if
           :: items > 0 ->
              atomic { look_for_sleepers(GETTERS) };
              if
              :: seen_count != 0 -> wake_sleepers(GETTERS, false)
              :: seen_count == 0
              fi
           :: else
           fi
#else
           skip
#endif
        :: else
        fi
#endif
     :: seen_count == 0
     fi;
#if LOOPS > 0
     disarm();
#endif
     atomic
     {
       awoke = false;
       said = false;
       forget_sleepers();
       waited[me] = false;
       owes[me] = false
     }
  fi
}

/* mp_ring_pass_on() */
inline pass_on()
{
  if
#ifndef MISTAKE_KEEPS_THE_WAKE
  :: items > 0 -> wake_getters()
  :: atomic { items == 0 -> waited[me] = false; owes[me] = false }
#else
  :: atomic { waited[me] = false; owes[me] = false }
#endif
  fi
}

/* Who spins comes. While it does, it looks as often as it likes, and once more after. */
inline spin()
{
#ifdef SPINS
  if
  :: atomic { items == 0 -> owes[me] = true; waited[me] = true; coming = true };
#ifndef MISTAKE_SPINNER_STAYS
     arrive()
#endif
  :: true
  fi
#else
  skip
#endif
}

/* mp_ring_wake_putters(); @more: what else it has to do. */
inline wake_putters(more)
{
#if CAPACITY < PRODUCERS * PUTS + BIG - 1
  if
  :: count[PUTTERS] == 0 && !room_armed
  :: count[PUTTERS] != 0 || room_armed ->
     /* Before the sequence changes, so that who has just said that it is eager sees that. */
     atomic
     {
       all = eager;
       eager = false
#ifdef CLAIMS
       ;
       if
       :: claim != 0 && items + NEED (claim - 1) <= CAPACITY -> eager = all; all = true
       :: else
       fi
#endif
     };
     if
     :: all || items <= CAPACITY / 2 ->
        atomic { look_for_sleepers(PUTTERS) };
        if
        :: seen_count != 0 && all -> wake_sleepers(PUTTERS, true)
        :: seen_count != 0 && !all -> wake_sleepers(PUTTERS, false)
        :: seen_count == 0
        fi
     :: else
     fi;
#if ROOM_LOOPS > 0
     disarm_room()
#else
     skip
#endif
  fi;
#endif
  atomic
  {
    awoke = false;
    all = false;
    forget_sleepers();
    owes[me] = more
  }
}

/* mp_ring_unclaim(): those who waited for that look again. */
inline unclaim()
{
#ifdef CLAIMS
  if
  :: claimed ->
#ifndef MISTAKE_QUIET_UNCLAIM
     atomic { change_sequence(PUTTERS); look_for_sleepers(PUTTERS) };
     if
     :: seen_count != 0 -> wake_sleepers(PUTTERS, true)
     :: seen_count == 0
     fi;
#if ROOM_LOOPS > 0
     atomic { room_armed = false };
     atomic { signal_room() };
#endif
#endif
     atomic
     {
       claimed = false;
       awoke = false;
       forget_sleepers();
       owes[me] = false
     }
  :: !claimed
  fi
#else
  skip
#endif
}

inline forget_sleep()
{
  unchanged[me] = false;
  my_epoch = 0;
  result = 0
}

/* One round of sleep_until_ready(). */
inline sleep_a_slice(side)
{
  unchanged[me] = true;
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
  :: atomic { READY (side) -> leave(side, my_epoch, 1); forget_sleep() }
#endif
  :: else ->
     atomic
     {
       if
       :: unchanged[me] -> state[me] = side + 1; owes[me] = false
       :: else -> leave(side, my_epoch, 1); lazy[me] = false; result = 1
       fi
     };
     if
     :: atomic { state[me] == RUNNING -> waited[me] = true; forget_sleep() }
     :: atomic
        {
          state[me] == side + 1 && QUIET && !expired[me] ->
          state[me] = RUNNING;
          expired[me] = !lazy[me];
          lazy[me] = false;
          waited[me] = true;
          leave(side, my_epoch, 1);
          forget_sleep()
        }
     fi;
     if
     :: side == GETTERS -> arrive()
     :: else
     fi
  fi
}

/* ring_source_look(), when it was not ready, and the poll after it. */
inline poll_room()
{
  atomic { stands_back[me] = stands_back[me] || IS_FOR_ANOTHER (me) };
  if
  :: stands_back[me] ->
     atomic { room_changes[me] = false; owes[me] = true };
     room_armed = true
  :: !stands_back[me] && !signalled && room_armed
  :: !stands_back[me] && (signalled || !room_armed) ->
     atomic { room_event = false; owes[me] = true };
     room_armed = true;
     /* mp_ring_arm() */
     if
#ifdef MISTAKE_SWALLOWS
     :: ROOM (me) -> disarm_room()
#else
     :: ROOM (me) || IS_FOR_ANOTHER (me) -> disarm_room()
#endif
     :: else
     fi
  fi;
  if
  :: ROOM (me)
  :: else ->
     atomic
     {
       owes[me] = false;
       signalled = false;
       state[me] = POLLING
     };
     if
     :: atomic { POLLS_ROOM (me) -> signalled = !stands_back[me]; state[me] = RUNNING }
     :: atomic
        {
          state[me] == POLLING && QUIET && !expired[me] ->
          expired[me] = true;
          state[me] = RUNNING
        }
     fi
  fi
}

inline wait_for_room()
{
#if ROOM_LOOPS > 0
  if
  :: me < ROOM_LOOPS -> poll_room()
  :: else -> sleep_a_slice(PUTTERS)
  fi
#else
  sleep_a_slice(PUTTERS)
#endif
}

active [PRODUCERS] proctype producer()
{
  byte me = _pid;
  bool claimed;
  byte puts, my_epoch, seen_count, seen_epoch, woke, awoke, all;
  bool said;
  bool signalled;
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
            ROOM (me) ->
            items = items + NEED (me);
            puts++;
            owes[me] = true;
            lazy[me] = false;
            stands_back[me] = false;
            signalled = false;
#ifndef MISTAKE_CLAIM_STAYS
            claimed = (claim == me + 1);
            claim = (claimed -> 0 : claim);
#endif
            committed()
          };
#ifndef MISTAKE_WAKES_FIRST
          wake_getters();
#else
          owes[me] = false;
#endif
          unclaim()
       :: atomic { !ROOM (me) -> lazy[me] = (me >= ROOM_LOOPS); owes[me] = (claim == me + 1) };
          /* mp_ring_wait_for() ends when it is ready. */
          do
          :: ROOM (me) -> break
          :: !ROOM (me) ->
             wait_for_room()
#ifdef CLAIMS
          :: atomic { !ROOM (me) && claim == 0 -> claim = me + 1; owes[me] = true }
          :: atomic { !ROOM (me) && claim == me + 1 -> claim = 0; claimed = true };
             /* Its deadline came. */
             unclaim();
             goto gone
#endif
          od
       fi
    :: puts == PUTS -> break
    od;
gone:
    atomic { owes[me] = false; state[me] = DONE }
  }
#if KILLS > 0
  unless { atomic { state[me] == DEAD -> puts = 0; claimed = false; signalled = false; forget_sleep(); forget_sleepers(); awoke = false; said = false; all = false } }
#endif
}

#if SLEEPERS > 0
active [SLEEPERS] proctype consumer()
{
  byte me = _pid;
  byte my_epoch, seen_count, seen_epoch, woke, awoke, all;
  bool said;
  bit result;

  {
    do
    :: atomic
       {
         items > 0 -> items--; owes[me] = true; committed()
       };
       wake_putters(waited[me]);
       if
#ifndef MISTAKE_NO_CHAIN
       :: waited[me] -> pass_on()
#endif
       :: else -> waited[me] = false
       fi
#ifdef LEAVES
       ;
       if
       :: break
       :: true
       fi
#endif
#ifdef GIVE_UP
       /* What it was woken for is somebody else's now. */
    :: items > 0 && waited[me] -> pass_on(); break
#endif
    :: items == 0 ->
       spin();
       sleep_a_slice(GETTERS)
    od;
    atomic
    {
      owes[me] = false;
      waited[me] = false;
      state[me] = DONE
    }
  }
#if KILLS > 0
  unless { atomic { state[me] == DEAD -> forget_sleep(); forget_sleepers(); awoke = false; said = false; all = false } }
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
  byte seen_count, seen_epoch, woke, awoke, all;
  bool said;
  bool signalled;

  {
next:
    do
    :: atomic { items > 0 -> items--; owes[me] = true; signalled = false; committed() };
       wake_putters(false)
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
  unless { atomic { state[me] == DEAD -> signalled = false; forget_sleepers(); awoke = false; said = false; all = false } }
#endif
}
#endif

inline kill(who)
{
  n_kills++;
  hurt = hurt || owes[who] || claim == who + 1;
  owes[who] = false;
  lazy[who] = false;
  waited[who] = false;
  expired[who] = false;
  if
  :: who < PRODUCERS -> stands_back[who] = false; room_changes[who] = false
  :: else
  fi;
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

#ifdef CLAIMS
/* A claim that is not refreshed. */
active proctype clock()
{
end:
  do
  :: atomic { QUIET && claim != 0 && state[claim - 1] == DEAD -> claim = 0; committed() }
  od
}
#endif

#define WAITS_IN_VAIN(who) (ASLEEP (who) && (!hurt || expired[who]))
#define PUTS_IN_VAIN(who) \
  ((state[who] == ON_PUTTERS || state[who] == POLLING) && !lazy[who] && (!hurt || expired[who]))

/* Only runs where it must not get to. */
active proctype monitor()
{
end:
  if
  :: atomic { QUIET && items > 0 && WANTS_MESSAGE (WAITS_IN_VAIN) -> assert(false) }
  :: atomic
     {
       QUIET && (MAY_PUT (0) && PUTS_IN_VAIN (0) || MAY_PUT (1) && PUTS_IN_VAIN (1)) -> assert(false)
     }
  fi
}
