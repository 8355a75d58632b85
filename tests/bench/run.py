#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Run the benchmarks: their JSON lines as they come, then all of it as one table.

`./dev bench` calls this. A benchmark is a program that is registered with
meson's benchmark(); README.md beside this file tells what it prints.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent.parent
LESS_IS_BETTER = {'ns', 'us', 'ms', 's'}


def registered(build):
    """Return the benchmarks of a build directory, as meson describes them."""
    text = subprocess.run(['meson', 'introspect', '--benchmarks', build],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(text)


def measure(bench, quick):
    """Run one benchmark; return its figures and its exit status."""
    command = bench['cmd'] + (['--quick'] if quick else [])
    lines = []
    with subprocess.Popen(command, env={**os.environ, **bench['env']}, cwd=bench['workdir'],
                          stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            print(text, end='', flush=True)
            if text.startswith('{'):
                lines.append(json.loads(text))
    return lines, process.returncode


def figure(value):
    """Write a number so that its size is seen at once."""
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'


def row(line):
    """Make the cells of one figure."""
    cells = [line['name'], f'{figure(line["value"])} {line["unit"]}', '', '', '']
    if line.get('peer_value') is not None:
        ratio = line.get('ratio')
        if ratio is None:
            ratio = line['value'] / line['peer_value']
            ratio = 1 / ratio if line['unit'] in LESS_IS_BETTER else ratio
        cells[2] = f'{figure(line["peer_value"])} ({line["peer"]})'
        cells[3] = f'{ratio:.1f}×'
        if line.get('target_ratio') is not None:
            cells[4] = verdict(ratio >= line['target_ratio'], f'≥ {line["target_ratio"]:g}×')
    elif line.get('target') is not None:
        worse = line['unit'] in LESS_IS_BETTER
        good = line['value'] <= line['target'] if worse else line['value'] >= line['target']
        cells[4] = verdict(good, f'{"≤" if worse else "≥"} {figure(line["target"])}')
    return cells


def verdict(good, target):
    """Tell a target and whether it was met."""
    return f'{target} {"met" if good else "MISSED"}'


def print_table(lines):
    """Print the figures as a Markdown table that is readable as it is."""
    rows = [['what', 'libmp', 'peer, same run', 'ratio', 'target']] + [row(line) for line in lines]
    widths = [max(len(cells[column]) for cells in rows) for column in range(5)]
    for number, cells in enumerate(rows):
        padded = (cell.ljust(width) if column in (0, 4) else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(cells, widths)))
        print(f'| {" | ".join(padded)} |')
        if number == 0:
            print('|' + '|'.join(f'{"-" * (width + 1)}{"-" if column in (0, 4) else ":"}'
                                 for column, width in enumerate(widths)) + '|')


def main():
    """Run them one after the other: together they would measure each other."""
    parser = argparse.ArgumentParser(prog='./dev bench', description='Runs the benchmarks.')
    parser.add_argument('--quick', action='store_true', help='a rough look: a fraction of the time')
    parser.add_argument('--build', metavar='DIR', help='where the tree was built',
                        default=os.environ.get('MP_BUILD', TREE / 'build'))
    parser.add_argument('names', nargs='*', metavar='NAME', help='run only these')
    arguments = parser.parse_args()

    benches = registered(arguments.build)
    known = [bench['name'] for bench in benches]
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f'unknown: {" ".join(unknown)} (there are: {" ".join(known)})')

    lines, failed = [], []
    for bench in benches:
        if not arguments.names or bench['name'] in arguments.names:
            some, status = measure(bench, arguments.quick)
            lines += some
            failed += [f'{bench["name"]} (exit status {status})'] if status else []
    print()
    print_table(lines)
    if failed:
        print('bench: failed:', ', '.join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
