#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Run all benchmarks and print what they measured as one table.

`./dev bench` calls this against the built tree. A benchmark is a program
bench-*, built from a .c or a .py of this folder; README.md beside it tells what
it prints.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HIGH_IS_BAD = {'ns', 'us', 'µs', 'ms', 's', 'seconds'}


def programs(build):
    """Return the command of each benchmark, those in C first."""
    compiled = [[str(path)] for path in sorted((build / 'tests' / 'bench').glob('bench-*'))
                if path.is_file() and os.access(path, os.X_OK)]
    scripts = [[sys.executable, str(path)] for path in sorted(HERE.glob('bench-*.py'))]
    return compiled + scripts


def measure(command, quick, raw):
    """Run one benchmark; return its lines and whether it succeeded."""
    lines = []
    with subprocess.Popen(command + (['--quick'] if quick else []), stdout=subprocess.PIPE,
                          text=True) as process:
        for text in process.stdout:
            if not text.startswith('{'):
                continue
            lines.append(json.loads(text))
            if raw:
                print(text, end='', flush=True)
            elif sys.stderr.isatty():
                print(f'\r\033[K{lines[-1]["name"]}', end='', file=sys.stderr, flush=True)
    if sys.stderr.isatty() and not raw:
        print('\r\033[K', end='', file=sys.stderr, flush=True)
    if process.returncode != 0:
        print(f'{command[-1]}: ended with {process.returncode}', file=sys.stderr)
    return lines, process.returncode == 0


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
            ratio = 1 / ratio if line['unit'] in HIGH_IS_BAD else ratio
        cells[2] = f'{figure(line["peer_value"])} ({line["peer"]})'
        cells[3] = f'{ratio:.1f}×'
        if line.get('target_ratio') is not None:
            cells[4] = verdict(ratio >= line['target_ratio'], f'≥ {line["target_ratio"]:g}×')
    elif line.get('target') is not None:
        worse = line['unit'] in HIGH_IS_BAD
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
    tree = HERE.parent.parent
    parser = argparse.ArgumentParser(description='Runs the benchmarks and prints a table.')
    parser.add_argument('--quick', action='store_true', help='a rough look: a fraction of the time')
    parser.add_argument('--json', action='store_true', help='print the lines as they come, no table')
    parser.add_argument('--build', type=Path, metavar='DIR',
                        default=Path(os.environ.get('MP_BUILD', tree / 'build')),
                        help='where the tree was built')
    parser.add_argument('only', nargs='*', metavar='WORD',
                        help='run the programs with one of these in their names')
    arguments = parser.parse_args()

    lines, succeeded = [], True
    for command in programs(arguments.build):
        name = Path(command[-1]).name
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        some, good = measure(command, arguments.quick, arguments.json)
        lines += some
        succeeded = succeeded and good
    if not arguments.json:
        print_table(lines)
    return 0 if succeeded and lines else 1


if __name__ == '__main__':
    sys.exit(main())
