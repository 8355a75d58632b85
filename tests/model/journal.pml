/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* The redo journal of the arena: several words that are changed as one,
 * whoever is killed when.
 *
 * Under a micro-lock (which has a model of its own: the kernel frees it), a
 * transaction writes the new values into the journal, commits by one store of
 * their number, applies them, and clears the number. Whoever gets the lock and
 * finds a number applies what is there again, and clears it. The writers here
 * add one to both words, TRANSACTIONS times each; any of them is killed at any
 * step, while it replays too, and only the last one lives for certain.
 *
 * The mistakes that can be made on purpose are the ones named MISTAKE_…. */

#ifndef TRANSACTIONS
#define TRANSACTIONS 2
#endif

#define N 3

byte memory[2];
byte journal[2]; /* the new values */
byte number;     /* of values that are committed */

byte holder = 255;
bool dead[N];

byte committed; /* what the model knows: transactions, ever */

inline apply()
{
#ifdef MISTAKE_INCREMENTS
  memory[0] = memory[0] + 1;
  memory[1] = memory[1] + 1
#else
  memory[0] = journal[0];
  memory[1] = journal[1]
#endif
}

inline commit()
{
  atomic
  {
    number = 2;
    committed++
  }
}

inline check()
{
  assert(memory[0] == committed && memory[1] == committed)
}

inline transaction()
{
#ifdef MISTAKE_COMMITS_FIRST
  commit();
  journal[0] = memory[0] + 1;
  journal[1] = memory[1] + 1;
#else
  journal[0] = memory[0] + 1;
  journal[1] = memory[1] + 1;
#ifdef MISTAKE_APPLIES_FIRST
  apply();
#endif
  commit();
#endif
#ifdef MISTAKE_CLEARS_FIRST
  number = 0;
#endif
#ifndef MISTAKE_APPLIES_FIRST
  apply();
#endif
  number = 0
}

active [N] proctype writer()
{
  byte me = _pid;
  byte done;

  {
    do
    :: done == TRANSACTIONS -> break
    :: done < TRANSACTIONS ->
       atomic
       {
         holder == 255 ->
         holder = me;
         done++
       };
#ifndef MISTAKE_NO_REPLAY
       if
       :: number != 0 ->
#ifdef MISTAKE_CLEARS_FIRST
          number = 0;
          apply()
#else
          apply();
          number = 0
#endif
       :: number == 0
       fi;
#endif
       check();
       transaction();
       check();
       holder = 255
    od
  }
  unless { atomic { dead[me] -> done = 0 } }
}

inline kill(who)
{
  dead[who] = true;
  if
  :: holder == who -> holder = 255
  :: else
  fi
}

active proctype killer()
{
end:
  do
  :: atomic { !dead[0] -> kill(0) }
  :: atomic { !dead[1] -> kill(1) }
  od
}
