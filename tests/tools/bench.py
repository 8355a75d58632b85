#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""bench.py BUILD [--quick] [NAME…]

Run the benchmarks that are registered with meson in BUILD (those named, or all
of them). Each prints lines of JSON, which are shown as they come; at the end
they are shown again as a table.
"""

import json
import os
import subprocess
import sys


def registered(build):
    """The benchmarks of a build directory, as meson describes them."""
    text = subprocess.run(['meson', 'introspect', '--benchmarks', build],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(text)


def run(bench, quick):
    """Run one of them; its JSON lines as (texts, exit status)."""
    command = bench['cmd'] + (['--quick'] if quick else [])
    rows = []
    with subprocess.Popen(command, env={**os.environ, **bench['env']}, text=True,
                          stdout=subprocess.PIPE, cwd=bench['workdir']) as process:
        for line in process.stdout:
            line = line.rstrip('\n')
            print(line, flush=True)
            if line.startswith('{'):
                rows.append(json.loads(line))
    return rows, process.returncode


def cell(value):
    """A figure as people read it."""
    if isinstance(value, float):
        return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'
    if isinstance(value, int) and not isinstance(value, bool):
        return f'{value:,}'
    return str(value)


def table(rows):
    """Rows of JSON as aligned text: what names them first, then the rest."""
    lines = []
    for row in rows:
        row = dict(row)
        name = str(row.pop('name', row.pop('benchmark', '')))
        value = f"{cell(row.pop('value', ''))} {row.pop('unit', '')}".strip()
        rest = '  '.join(f'{key} {cell(item)}' for key, item in row.items())
        lines.append((name, value, rest))
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return '\n'.join(f'{name:<{widths[0]}}  {value:>{widths[1]}}  {rest}'.rstrip()
                     for name, value, rest in lines)


def main(build, *arguments):
    """Run them all."""
    quick = '--quick' in arguments
    names = [argument for argument in arguments if not argument.startswith('-')]
    unknown = [argument for argument in arguments
               if argument.startswith('-') and argument != '--quick']
    benches = registered(build)
    known = [bench['name'] for bench in benches]
    unknown += [name for name in names if name not in known]
    if unknown:
        print(f"bench: unknown: {' '.join(unknown)} (there are: {' '.join(known)})",
              file=sys.stderr)
        return 2
    rows, failed = [], []
    for bench in benches:
        if names and bench['name'] not in names:
            continue
        new_rows, status = run(bench, quick)
        rows += new_rows
        if status != 0:
            failed.append(f"{bench['name']} (exit status {status})")
    if rows:
        print('\n' + table(rows))
    if failed:
        print('bench: failed: ' + ', '.join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
