/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The lock with asynchronous operations: the thread that waits for many things sleeps
 * on the doorbell of the arena, and what it waits for has an armed flag beside the word.
 *
 * SYNCHRONOUS processes take and release the lock ROUNDS times, as in lock.pml, but
 * may lose patience before they sleep, and then leave WAITERS behind. One more
 * has an operation that is pending: it looks, arms, sets WAITERS, and sleeps on
 * the doorbell as it was before it looked. Nobody dies, and there are no slices.
 *
 * What must hold: it does not sleep for ever, and nobody else does.
 * The mistakes that can be made on purpose are the ones named MISTAKE_…. */

#ifndef SYNCHRONOUS
#define SYNCHRONOUS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define HOLDER 7
#define WAITERS 16
#define ASYNC 7

#define RUNNING 0
#define ASLEEP 1
#define DONE 2

byte word;
bool armed;
byte doorbell;
byte state[SYNCHRONOUS];
byte async = RUNNING;

inline wake_one()
{
  atomic
  {
    if
    :: state[0] == ASLEEP -> state[0] = RUNNING
    :: state[1] == ASLEEP -> state[1] = RUNNING
    :: else
    fi
  }
}

inline release(by)
{
  atomic
  {
    seen = word;
    word = 0;
    assert((seen & HOLDER) == by)
  };
  if
  :: (seen & WAITERS) != 0 ->
     wake_one();
     if
     :: atomic { armed -> armed = false };
        atomic
        {
          doorbell++;
          if
          :: async == ASLEEP -> async = RUNNING
          :: else
          fi
        }
     :: !armed
     fi
  :: else
  fi;
  seen = 0
}

active [SYNCHRONOUS] proctype process()
{
  byte me = _pid;
  byte seen, round;
  bool slept;

again:
  do
  :: round == ROUNDS -> break
  :: else ->
     round++;
look:
     seen = word;
     if
     :: seen == 0 ->
        atomic
        {
          if
          :: word == 0 -> word = (me + 1) | (slept -> WAITERS : 0)
          :: else -> goto look
          fi
        };
        slept = false;
        release(me + 1)
     :: seen != 0 ->
        atomic
        {
          if
          :: word == seen -> word = seen | WAITERS
          :: else -> goto look
          fi
        };
        if
        :: slept = false; goto again
        :: atomic
           {
             if
             :: word == (seen | WAITERS) -> state[me] = ASLEEP
             :: else
             fi
           };
           state[me] == RUNNING;
           slept = true;
           goto look
        fi
     fi
  od;
  state[me] = DONE
}

active proctype waiter()
{
  byte seen, rung;

  do
  :: rung = doorbell;
look:
     seen = word;
     if
     :: seen == 0 ->
        atomic
        {
          if
          :: word == 0 -> word = ASYNC
          :: else -> goto look
          fi
        };
        release(ASYNC);
        break
     :: seen != 0 ->
#ifdef MISTAKE_ANNOUNCES_FIRST
        atomic
        {
          if
          :: word == seen -> word = seen | WAITERS
          :: else -> goto look
          fi
        };
        armed = true;
#else
        armed = true;
        /* Even if WAITERS is there: the word has to be looked at after arming. */
        atomic
        {
          if
#ifdef MISTAKE_TRUSTS_WAITERS
          :: (seen & WAITERS) != 0
#endif
          :: word == seen -> word = seen | WAITERS
          :: word != seen -> goto look
          fi
        };
#endif
        atomic
        {
          if
          :: doorbell == rung -> async = ASLEEP
          :: else
          fi
        };
        async == RUNNING
     fi
  od;
  async = DONE
}

#define STILL(of) (of != RUNNING)

/* Only runs where it must not get to. */
active proctype monitor()
{
end:
  atomic
  {
    STILL (state[0]) && STILL (state[1]) && STILL (async) &&
    (state[0] == ASLEEP || state[1] == ASLEEP || async == ASLEEP) -> assert(false)
  }
}
