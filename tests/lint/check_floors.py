#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Each floor of the library uses only itself and those before it."""

import os
import re

import tree

FLOORS = ['base', 'memory', 'sync', 'values', 'channel', 'process', 'pool', 'manager', 'engine']
GENERATED = {'mp-version.h': 'base'}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def homes():
    """The floor of each header, by the header's name (which is unique)."""
    result = dict(GENERATED)
    problems = []
    for path in tree.files('.h', '.h.in', under='libmp'):
        floor = os.path.dirname(os.path.relpath(path, 'libmp'))
        name = os.path.basename(path)
        if name == 'libmp.h' or name.endswith('.in'):
            continue
        if floor not in FLOORS:
            problems.append(f'{path}: not on a floor ({", ".join(FLOORS)})')
        elif name in result:
            problems.append(f'{path}: there is a {name} on floor {result[name]} too')
        result[name] = floor
    return result, problems


def main():
    """Check every include of a file on a floor."""
    floor_of, problems = homes()
    for path in tree.files('.c', '.h', under='libmp'):
        own = os.path.dirname(os.path.relpath(path, 'libmp'))
        if own not in FLOORS:
            continue
        for match in INCLUDE.finditer(tree.read(path)):
            name = os.path.basename(match.group(1))
            where = f'{path}:{tree.line_of(match.string, match.start(1))}'
            other = floor_of.get(name)
            if name == 'libmp.h':
                problems.append(f'{where}: libmp.h is for those who use the library')
            elif other is None:
                problems.append(f'{where}: no such header on any floor: {match.group(1)}')
            elif FLOORS.index(other) > FLOORS.index(own):
                problems.append(f'{where}: floor {own} includes {name} of the later floor {other}')
            elif not path.endswith('-private.h') and path.endswith('.h') \
                    and name.endswith('-private.h'):
                problems.append(f'{where}: a public header includes the private {name}')
    tree.report(problems)


if __name__ == '__main__':
    main()
