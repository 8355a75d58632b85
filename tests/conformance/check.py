#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""check.py START-METHOD [--update [--area AREAS]] [--jobs N]: CPython's tests that have to pass.

Prints TAP. With --update it runs every test of the delivered areas instead, and
adds to expected.json those that pass.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(HERE, "expected.json")
MODULE = "multiprocessing_gi"
AREAS = ("process|pool|queue|main|context|logging|sync|sharedctypes|shared_memory|connection|"
         "misc|dummy")
KINDS = "public,protocol"


def load(name):
    """Read one of the folder's JSON files."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return json.load(file)


def run_suite(method, jobs, arguments):
    """Run run.py; return its report, or None with what it said."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.json")
        done = subprocess.run(
            [sys.executable, os.path.join(HERE, "run.py"), "--module", MODULE,
             "--start-method", method, "--kind", KINDS, "--jobs", str(jobs), "--json", out,
             "--retry-limit", "6", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        for line in done.stdout.splitlines():
            print("#", line)
        if not os.path.exists(out):
            return None
        with open(out, encoding="utf-8") as file:
            return json.load(file)


def find_unaccounted(method, expected, classes):
    """What passes with CPython, and is neither expected nor listed with a reason."""
    baseline = load(f"baseline-3.11-{method}.json")["tests"]
    reasons = re.compile("|".join(f"(?:{pattern})" for pattern in load("exceptions.json")))
    return [name for name, entry in sorted(classes.items())
            if entry["area"] in AREAS.split("|") and entry["kind"] in KINDS.split(",")
            and baseline.get(name, {}).get("status") == "pass"
            and name not in expected and not reasons.match(name)]


def check(method, jobs):
    """Run the expected tests; return the exit status."""
    expected = load("expected.json")[method]
    classes = load("classify.json")["tests"]
    with tempfile.NamedTemporaryFile("w", suffix=".ids") as ids:
        ids.write("\n".join(expected))
        ids.flush()
        report = run_suite(method, jobs, ["--ids", ids.name])
    if report is None:
        print("Bail out! the suite cannot be run")
        return 1
    print(f"1..{len(expected) + 1}")
    bad = 0
    for number, name in enumerate(expected, start=1):
        outcome = report["tests"].get(name, {"status": "not run", "detail": ""})
        status = outcome["status"]
        if status == "pass":
            print(f"ok {number} - {name}")
        elif classes.get(name, {}).get("adapted") and not report["adapted_tests"]:
            print(f"ok {number} - {name} # SKIP uses private names, and the suite is as it is")
        else:
            bad += 1
            print(f"not ok {number} - {name}")
            for line in f"{status}: {outcome['detail']}".splitlines()[-30:]:
                print("#  ", line)
    unaccounted = find_unaccounted(method, set(expected), classes)
    print("not ok" if unaccounted else "ok", len(expected) + 1, "- what need not pass has a reason")
    for name in unaccounted:
        print("#  ", name)
    return 1 if bad or unaccounted else 0


def update(method, jobs, areas):
    """Add what passes to the expected tests."""
    report = run_suite(method, jobs, ["--area", areas])
    if report is None:
        return 1
    expected = load("expected.json")
    passing = {name for name, outcome in report["tests"].items()
               if outcome["status"] == "pass" and name not in report["flaky"]}
    expected[method] = sorted(passing | set(expected.get(method, ())))
    with open(EXPECTED, "w", encoding="utf-8") as file:
        json.dump(expected, file, indent=1, sort_keys=True)
        file.write("\n")
    return 0


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[2])
    parser.add_argument("method", choices=("forkserver", "spawn", "fork"))
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--jobs", type=int, default=max(2, os.cpu_count() or 2))
    parser.add_argument("--area", default=AREAS, help="with --update, only these areas")
    arguments = parser.parse_args()
    if arguments.update:
        return update(arguments.method, arguments.jobs, arguments.area)
    return check(arguments.method, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
