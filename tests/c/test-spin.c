/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "libmp.h"

#include "base/mp-micro-lock-private.h"
#include "sync/mp-spin-private.h"

/* Whether one looks before one sleeps, by how often it asked. */

typedef struct
{
  guint n_asked;
  gboolean over;
} Counter;

static gboolean
ask (gpointer user_data)
{
  Counter *counter = user_data;

  counter->n_asked++;
  return counter->over;
}

/* One processor is given away, and how long others keep it is not up to this test. */
static gboolean
skips (void)
{
  if (!mp_micro_lock_may_spin ())
    g_test_skip ("There is one processor");
  return !mp_micro_lock_may_spin ();
}

/* Whether it looked at all. */
static gboolean
looks (MpSpin spins[2], gboolean over)
{
  Counter counter = { 0, over };
  gboolean spun;

  g_assert_true (mp_spin_or_yield (spins, ask, &counter, &spun) == (over && counter.n_asked > 0));
  return counter.n_asked > 0;
}

/* How many calls look, if every one is told that it pays. */
static guint
count_expected (MpSpin spins[2], guint n, gboolean over)
{
  guint n_looks = 0;

  for (guint i = 0; i < n; i++)
    {
      mp_spin_expect (spins);
      n_looks += looks (spins, over);
    }
  return n_looks;
}

static void
give_up (MpSpin spins[2])
{
  while (looks (spins, FALSE))
    ;
  while (spins[0].naps < 512)
    looks (spins, FALSE);
  while (looks (spins, FALSE))
    ;
}

static void
test_in_vain (void)
{
  MpSpin spins[2] = { { .trial = 30 } };
  guint n_looks = 0;

  g_test_summary ("What was in vain is tried ever more seldom, and again when it is not.");
  if (skips ())
    return;
  give_up (spins);
  for (guint i = 0; i < 4000; i++)
    n_looks += looks (spins, FALSE);
  g_assert_cmpuint (n_looks, >, 0);
  g_assert_cmpuint (n_looks, <, 80);

  while (!looks (spins, TRUE))
    ;
  for (guint i = 0; i < 100; i++)
    g_assert_true (looks (spins, TRUE));
}

static void
test_expected (void)
{
  MpSpin spins[2] = { { .trial = 30 } };
  guint n_looks;

  g_test_summary ("Who is told that it pays looks, and after it was in vain does not believe it.");
  if (skips ())
    return;
  give_up (spins);
  g_assert_false (looks (spins, TRUE));
  mp_spin_expect (spins);
  g_assert_true (looks (spins, TRUE));
  g_assert_cmpuint (count_expected (spins, 100, TRUE), ==, 100);

  give_up (spins);
  n_looks = count_expected (spins, 4000, FALSE);
  g_assert_cmpuint (n_looks, >, 0);
  g_assert_cmpuint (n_looks, <, 200);
  count_expected (spins, 2000, TRUE);
  g_assert_cmpuint (count_expected (spins, 100, TRUE), ==, 100);
}

static void
test_yields_after_trial (void)
{
  MpSpin spins[2] = { { .trial = 30 } };

  g_test_summary ("Who looked in vain gives the processor away, though it did not pay lately.");
  if (skips ())
    return;
  spins[0].left = spins[1].left = 5;
  looks (spins, FALSE);
  g_assert_cmpuint (spins[1].left, ==, 4);
  /* Others had the processor for long: no trial changes that. */
  spins[0].left = 0;
  spins[1].left = 100000;
  looks (spins, FALSE);
  g_assert_cmpuint (spins[1].left, ==, 99999);
  mp_spin_expect (spins);
  looks (spins, TRUE);
  g_assert_cmpuint (spins[1].left, ==, 99999);
  spins[0].left = 0;
  spins[1].left = 5;
  looks (spins, FALSE);
  g_assert_cmpuint (spins[1].left, !=, 4);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mp/spin/in-vain", test_in_vain);
  g_test_add_func ("/mp/spin/expected", test_expected);
  g_test_add_func ("/mp/spin/yields-after-trial", test_yields_after_trial);
  return g_test_run ();
}
