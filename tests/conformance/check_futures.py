#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""check_futures.py START-METHOD [NAME…]: CPython's tests of ProcessPoolExecutor, on ours.

Prints TAP. futures.json names the tests that do not apply, with the reason; all others have
to pass.
"""

import json
import os
import re
import sys
import unittest

import multiprocessing_gi
from multiprocessing_gi.futures import ProcessPoolExecutor
from test import test_concurrent_futures as suite

HERE = os.path.dirname(os.path.abspath(__file__))
MIXINS = {"fork": suite.ProcessPoolForkMixin, "spawn": suite.ProcessPoolSpawnMixin,
          "forkserver": suite.ProcessPoolForkserverMixin}


class Result(unittest.TestResult):
    """Writes TAP as the tests go."""

    def __init__(self):
        super().__init__()
        self.problems = []

    def addError(self, test, err):
        super().addError(test, err)
        self.problems = [self.errors[-1][1]]

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.problems = [self.failures[-1][1]]

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.problems = [f"skipped: {reason}"]

    def stopTest(self, test):
        super().stopTest(test)
        print("not ok" if self.problems else "ok", self.testsRun, "-", name_of(test), flush=True)
        for problem in self.problems:
            for line in problem.splitlines()[-20:]:
                print("#  ", line, flush=True)
        self.problems = []


def name_of(test):
    """The class, without the start method, and the method."""
    return re.sub("^ProcessPool(Forkserver|Fork|Spawn)", "", ".".join(test.id().split(".")[-2:]))


def tests_of(case):
    """The tests in a suite, however nested."""
    if isinstance(case, unittest.TestCase):
        yield case
    else:
        for inner in case:
            yield from tests_of(inner)


def main():
    """Run the tests that apply."""
    method, *names = sys.argv[1:]
    with open(os.path.join(HERE, "futures.json"), encoding="utf-8") as file:
        reasons = json.load(file)
    suite.support.verbose = False
    suite.mp = multiprocessing_gi
    suite.futures.ProcessPoolExecutor = ProcessPoolExecutor
    mixin = MIXINS[method]
    mixin.executor_type = ProcessPoolExecutor
    todo = [test for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(suite))
            if isinstance(test, mixin) and name_of(test) not in reasons
            and (not names or any(name in name_of(test) for name in names))]
    print(f"1..{len(todo)}")
    result = Result()
    unittest.TestSuite(todo).run(result)
    return 0 if result.wasSuccessful() and not result.skipped else 1


if __name__ == "__main__":
    sys.exit(main())
