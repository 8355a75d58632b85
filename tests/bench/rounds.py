# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Rounds that count, as in bench-rounds.h."""

import os
import pickle
import time

# Rounds that may be made anew, for each that is wanted.
SPARE = 2
# What is slower than this beside the best is not calm.
SLOWEST = 1.15
N_LOOKS = 3

_best = float('inf')


def _time_loop():
    start = time.perf_counter()
    for _ in range(1000):
        pickle.dumps((1, 'abc', 2.5), 5)
    return time.perf_counter() - start


def is_calm():
    """Whether every processor is as fast now as it ever was in this run.

    A virtual machine's can be half as fast for seconds, because somebody else has the
    other half of the core.
    """
    global _best
    processors = os.sched_getaffinity(0)
    slowest = 0
    try:
        for processor in processors:
            os.sched_setaffinity(0, {processor})
            quickest = min(_time_loop() for _ in range(N_LOOKS))
            slowest = max(slowest, quickest)
            _best = min(_best, quickest)
    finally:
        os.sched_setaffinity(0, processors)
    return slowest <= SLOWEST * _best


def rounds(number, measure):
    """A list of what measure() gave in so many rounds.

    One before or after which the machine was not calm is made anew, but only so often;
    then what there is must do.
    """
    results, spare = [], SPARE * number
    before = is_calm()
    while len(results) < number:
        result, after = measure(), is_calm()
        if (before and after) or spare == 0:
            results.append(result)
        else:
            spare -= 1
        before = after
    return results
