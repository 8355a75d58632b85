#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Print `N passed, N failed` for one or more of meson's testlog.json files.

A program that reports its cases (TAP, or Python's unittest) counts by cases,
any other one as one. What failed is told before, once more, with the end of
what it printed. The exit status is 1 if anything failed.

Of a test that is in several of the files the last one counts; what it did in
those before is told. With --failed, only the names of what failed are printed,
without those of what hung: no busy machine makes that.
"""

import argparse
import json
import re
import sys

TAP_PLAN = re.compile(r'^1\.\.\d+', re.M)
TAP_LINE = re.compile(r'^(not )?ok\b[^\n#]*(#\s*(SKIP|TODO))?', re.M | re.I)
UNITTEST_RAN = re.compile(r'^Ran (\d+) tests? in ', re.M)
UNITTEST_COUNT = re.compile(r'\b(failures|errors|unexpected successes|skipped)=(\d+)')
GOOD = {'OK', 'EXPECTEDFAIL'}
TAP_BAD = re.compile(r'^not ok\b(?!.*# *TODO).*', re.M | re.I)
UNITTEST_BAD = re.compile(r'^(?:ERROR|FAIL): .*', re.M)
LAST_LINES = 15


def count_tap(output):
    """Cases (passed, failed, skipped) of TAP, or None if it is none."""
    if not TAP_PLAN.search(output):
        return None
    passed = failed = skipped = 0
    for bad, directive, kind in TAP_LINE.findall(output):
        kind = kind.upper()
        if kind == 'SKIP':
            skipped += 1
        elif bad and kind != 'TODO':
            failed += 1
        else:
            passed += 1
    return passed, failed, skipped


def count_unittest(output):
    """Cases (passed, failed, skipped) of unittest's report, or None if it is none."""
    runs = UNITTEST_RAN.findall(output)
    if len(runs) != 1:
        return None
    tail = output[output.rindex('Ran ' + runs[0]):]
    counts = {}
    for word, number in UNITTEST_COUNT.findall(tail):
        counts[word] = int(number)
    skipped = counts.pop('skipped', 0)
    failed = sum(counts.values())
    return int(runs[0]) - failed - skipped, failed, skipped


def count_test(entry):
    """Cases (passed, failed, skipped) of one program."""
    result = entry['result']
    if result == 'SKIP':
        return 0, 0, 1
    counts = count_tap(entry.get('stdout') or '') or count_unittest(entry.get('stderr') or '')
    if result in GOOD:
        return counts if counts and sum(counts) and not counts[1] else (1, 0, 0)
    passed, failed, skipped = counts or (0, 0, 0)
    return passed, max(failed, 1), skipped


def tell_failure(entry, word):
    """Print which of a program's cases failed, and the end of its output."""
    stdout, stderr = entry.get('stdout') or '', entry.get('stderr') or ''
    print(f"{word}: {entry['name']} ({entry['result']}, {entry.get('duration', 0):.0f} s)")
    for case in TAP_BAD.findall(stdout) + UNITTEST_BAD.findall(stderr):
        print(f'{word}:   {case}')
    lines = stderr.rstrip().splitlines() or stdout.rstrip().splitlines()
    for line in lines[-LAST_LINES:]:
        print(f'{word}:     {line[:200]}')


def read_logs(paths):
    """Return the last entry of each test, and those that failed before it."""
    last = {}
    before = []
    for path in paths:
        with open(path, encoding='utf-8') as log:
            for line in log:
                entry = json.loads(line)
                former = last.get(entry['name'])
                if former and count_test(former)[1]:
                    before.append(former)
                last[entry['name']] = entry
    return list(last.values()), before


def main(arguments):
    """Sum up the logs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--failed', action='store_true', help='only print the names of what failed')
    parser.add_argument('logs', nargs='+', metavar='LOG', help="one of meson's testlog.json files")
    options = parser.parse_args(arguments)
    entries, before = read_logs(options.logs)
    failures = [entry for entry in entries if count_test(entry)[1]]
    if options.failed:
        for entry in failures:
            if entry['result'] != 'TIMEOUT':
                print(entry['name'].rpartition(' / ')[2])
        return 0
    for entry in before:
        tell_failure(entry, 'failed at first')
    for entry in failures:
        tell_failure(entry, 'failed')
    counts = [count_test(entry) for entry in entries]
    passed, failed, skipped = (sum(count[kind] for count in counts) for kind in range(3))
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
