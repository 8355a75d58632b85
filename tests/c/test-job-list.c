/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "pool-tasks.h"

/* The jobs of a pool as a list, and how a main loop fares with many of them. */

#define N_JOBS 2000

typedef struct
{
  GListModel *model;
  guint n_items; /* by what the list said */
  guint n_added;
} Mirror;

static void
follow (GListModel *model, guint position, guint removed, guint added, gpointer user_data)
{
  Mirror *self = user_data;

  g_assert_cmpuint (position + removed, <=, self->n_items);
  self->n_items = self->n_items - removed + added;
  self->n_added += added;
  g_assert_cmpuint (self->n_items, ==, g_list_model_get_n_items (model));
  for (guint i = position; i < position + added; i++)
    {
      g_autoptr (GObject) item = g_list_model_get_item (model, i);

      g_assert_true (MP_IS_JOB (item));
    }
}

static void
mirror_init (Mirror *self, MpPool *pool)
{
  self->model = G_LIST_MODEL (mp_pool_get_jobs (pool));
  g_assert_true (g_list_model_get_item_type (self->model) == MP_TYPE_JOB);
  g_signal_connect (self->model, "items-changed", G_CALLBACK (follow), self);
}

static gboolean
has_three (gpointer user_data)
{
  return ((Mirror *) user_data)->n_items == 3;
}

static gboolean
has_two (gpointer user_data)
{
  return ((Mirror *) user_data)->n_items == 2;
}

static gboolean
has_none (gpointer user_data)
{
  return ((Mirror *) user_data)->n_items == 0;
}

static void
assert_item (Mirror *self, guint position, MpJob *job)
{
  g_autoptr (MpJob) item = g_list_model_get_item (self->model, position);

  g_assert_true (item == job);
}

static void
test_list (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (PoolGate) gate = pool_gate_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) first = mp_pool_submit (pool, "gate", pool_gate_argument (gate), NULL, &error);
  g_autoptr (MpJob) second = mp_pool_submit (pool, "picky", g_variant_new_int64 (1), NULL, &error);
  g_autoptr (MpJob) third = NULL;
  Mirror mirror = { 0 };

  g_test_summary ("Jobs come and go; some that are finished stay, if they are to.");
  mirror_init (&mirror, pool);
  g_assert_true (G_LIST_MODEL (mp_pool_get_jobs (pool)) == mirror.model);
  mp_job_list_set_max_finished (mp_pool_get_jobs (pool), 2);
  third = mp_pool_submit (pool, "square", g_variant_new_int64 (1), NULL, &error);
  pool_wait (has_three, &mirror);
  assert_item (&mirror, 0, first);
  assert_item (&mirror, 1, second);
  assert_item (&mirror, 2, third);
  g_assert_null (g_list_model_get_item (mirror.model, 3));

  pool_gate_open (gate);
  pool_wait (has_two, &mirror);
  assert_item (&mirror, 0, second);
  assert_item (&mirror, 1, third);
  g_assert_cmpint (mp_job_get_state (second), ==, MP_JOB_STATE_FAILED);
  mp_job_list_set_max_finished (mp_pool_get_jobs (pool), 1);
  assert_item (&mirror, 0, third);
  mp_job_list_set_max_finished (mp_pool_get_jobs (pool), 0);
  g_assert_cmpuint (mirror.n_items, ==, 0);
  pool_close (pool);
}

static void
test_list_many (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) last = NULL;
  Mirror mirror = { 0 };

  g_test_summary ("Of many jobs each comes once, and none stays.");
  mirror_init (&mirror, pool);
  mp_job_list_set_max_finished (mp_pool_get_jobs (pool), N_JOBS);
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_clear_object (&last);
      last = mp_pool_submit (pool, "square", g_variant_new_int64 (i), NULL, &error);
      g_assert_no_error (error);
    }
  g_assert_true (mp_job_wait (last, -1, NULL, &error));
  mp_pool_close (pool);
  g_assert_true (mp_pool_join (pool, -1, NULL, &error));
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (mirror.n_added, ==, N_JOBS);
  mp_job_list_set_max_finished (mp_pool_get_jobs (pool), 0);
  pool_wait (has_none, &mirror);
  g_object_unref (pool);
}

static void
test_list_of_ended_pool (void)
{
  MpPool *pool = pool_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (MpJob) job = mp_pool_submit (pool, "hang", NULL, NULL, &error);
  g_autoptr (GListModel) model = g_object_ref (G_LIST_MODEL (mp_pool_get_jobs (pool)));

  g_test_summary ("A list that outlives its pool changes no more.");
  g_object_unref (pool);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, 0);
  g_assert_cmpint (mp_job_get_state (job), ==, MP_JOB_STATE_CANCELLED);
}

static void
count_slowly (GObject *source, GAsyncResult *result, gpointer user_data)
{
  gint64 until = g_get_monotonic_time () + 100;

  g_assert_true (mp_job_wait_finish (MP_JOB (source), result, NULL));
  while (g_get_monotonic_time () < until)
    ;
  ++*(guint *) user_data;
}

/* All are done before the loop turns: as much as can come at a time. */
static void
test_turns (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  guint n_done = 0;
  guint most = 0;

  g_test_summary ("One turn of a main loop does not deliver everything.");
  for (guint i = 0; i < N_JOBS; i++)
    {
      g_autoptr (MpJob) job =
        mp_pool_submit (pool, "square", g_variant_new_int64 (i), NULL, &error);

      g_assert_no_error (error);
      mp_job_wait_async (job, NULL, count_slowly, &n_done);
    }
  mp_pool_close (pool);
  g_assert_true (mp_pool_join (pool, -1, NULL, &error));
  g_main_context_iteration (NULL, FALSE);
  while (n_done < N_JOBS)
    {
      guint before = n_done;

      g_main_context_iteration (NULL, TRUE);
      most = MAX (most, n_done - before);
    }
  g_assert_cmpuint (most, <, N_JOBS / 10);
  g_object_unref (pool);
}

static void
wait_inside (GObject *source, GAsyncResult *result, gpointer user_data)
{
  guint *n_done = user_data;

  g_assert_true (mp_job_wait_finish (MP_JOB (source), result, NULL));
  ++*n_done;
  while (*n_done < 3)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_nested (void)
{
  MpPool *pool = pool_new (2);
  g_autoptr (GError) error = NULL;
  guint n_done = 0;

  g_test_summary ("A callback may turn the loop, for the callbacks of others.");
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (MpJob) job =
        mp_pool_submit (pool, "square", g_variant_new_int64 (i), NULL, &error);

      mp_job_wait_async (job, NULL, wait_inside, &n_done);
    }
  while (n_done < 3)
    g_main_context_iteration (NULL, TRUE);
  pool_close (pool);
}

int
main (int argc, char **argv)
{
  pool_tasks_init (&argc, &argv);
  g_test_add_func ("/mp/job-list/list", test_list);
  g_test_add_func ("/mp/job-list/many", test_list_many);
  g_test_add_func ("/mp/job-list/of-ended-pool", test_list_of_ended_pool);
  g_test_add_func ("/mp/job-list/turns", test_turns);
  g_test_add_func ("/mp/job-list/nested", test_nested);
  return g_test_run ();
}
