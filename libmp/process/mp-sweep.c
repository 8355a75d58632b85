/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-sweep-private.h"

#include "../memory/mp-arena-private.h"
#include "mp-pump-private.h"

/* A sweep looks at every block, so deaths are collected. */
#define DELAY_MS 100

/* The number of the pump that has a sweep before it, plus one. */
static int planned;

static gboolean
sweep_cb (gpointer user_data)
{
  /* First: who dies from now on needs another one. */
  g_atomic_int_set (&planned, 0);
  mp_arena_sweep_all ();
  return G_SOURCE_REMOVE;
}

void
mp_sweep_soon (void)
{
  int number = (int) mp_pump_get_generation () + 1;
  g_autoptr (GSource) source = NULL;

  if (!mp_arena_is_any () || g_atomic_int_get (&planned) == number)
    return;
  g_atomic_int_set (&planned, number);
  source = g_timeout_source_new (DELAY_MS);
  g_source_set_static_name (source, "mp_sweep_soon");
  g_source_set_callback (source, sweep_cb, NULL, NULL);
  mp_pump_attach (source);
}
