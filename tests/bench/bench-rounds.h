/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The rounds in which sides are measured in turns. A round counts if every processor was
 * as fast before and after it as it ever was: a virtual machine's can be half as fast for
 * seconds, because somebody else has the other half of the core. Rounds that do not count are
 * made anew, but only so often; then what there is must do. */
typedef struct
{
  guint index; /* of the round to be measured */
  guint n;
  guint n_spare;
  gboolean started;
  gboolean calm;
} BenchRounds;

BenchRounds bench_rounds (guint n);
/* Before each round: FALSE when there have been enough. */
gboolean bench_rounds_next (BenchRounds *self);

/* @index: of the round, counted from 0. */
#define BENCH_ROUNDS(index_, n_)                                                                   \
  for (BenchRounds rounds_ = bench_rounds (n_); bench_rounds_next (&rounds_);)                     \
    for (guint index_ = rounds_.index, once_ = 1; once_ != 0; once_ = 0)

G_END_DECLS
