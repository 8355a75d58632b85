#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""check_symbols.py [--update] LIBRARY HEADER…

What the library exports is what its installed headers declare, and what
tests/libmp-1.symbols lists: a change of the ABI shows up as a change of that
file, which --update writes.
"""

import os
import re
import subprocess
import sys

import tree

SYMBOLS = 'tests/libmp-1.symbols'
DECLARED = re.compile(r'^[A-Za-z_][^;{}#()]*?\b(mp_\w+)\s*\(', re.M)
DECLARE_TYPE = re.compile(r'\bG_DECLARE_\w+\s*\(\s*\w+\s*,\s*(\w+)')
TYPEDEF = re.compile(r'\btypedef\b[^;{]*(\{[^}]*\})?[^;]*;|^struct\s+\w+\s*\{[^}]*\};', re.M)
MACRO = re.compile(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.M)
AVAILABLE = re.compile(r'\bMP_(AVAILABLE|DEPRECATED)_IN_\w+')
FORBIDDEN = {'mp_init', 'mp_clear', 'mp_set', 'mp_add', 'mp_error_to_string'}


def exported(library):
    """The symbols that the library defines for others."""
    lines = subprocess.run(['nm', '-D', '--defined-only', library], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.splitlines()
    fields = [line.split() for line in lines]
    return {name.split('@')[0] for *_, kind, name in fields if kind != 'A'}


def declared(header, problems):
    """The functions that a header declares; each needs its availability macro."""
    text = MACRO.sub(lambda match: '\n' * match.group().count('\n'), tree.code(tree.read(header)))
    text = TYPEDEF.sub(lambda match: '\n' * match.group().count('\n') + ';', text)
    names = set()
    for statement in text.split(';'):
        kind = DECLARE_TYPE.search(statement)
        # A G_DECLARE_ macro has no semicolon: what follows it is one statement with it.
        rest = statement[statement.index(')', kind.end()) + 1:] if kind else statement
        found = DECLARED.search(rest.replace('G_BEGIN_DECLS', '').strip())
        names.update([f'{kind.group(1)}_get_type'] if kind else [],
                     [found.group(1)] if found else [])
        missing = [part for part, there in ((statement[:kind.start()] if kind else '', kind),
                                            (rest, found)) if there and not AVAILABLE.search(part)]
        if missing:
            problems.append(f'{header}: without MP_AVAILABLE_IN_x: '
                            f'{found.group(1) if found else kind.group(1)}')
    return names


def main(arguments):
    """Compare the three lists."""
    update = '--update' in arguments
    library, *headers = [argument for argument in arguments if argument != '--update']
    problems = []
    in_headers = set()
    for header in headers:
        in_headers |= declared(os.path.relpath(os.path.abspath(header), tree.TOP), problems)
    in_library = exported(library)
    problems += [f'exported, but in no installed header: {name}'
                 for name in sorted(in_library - in_headers)]
    problems += [f'declared, but not exported: {name}' for name in sorted(in_headers - in_library)]
    problems += [f'exported, but other libraries export it too: {name}'
                 for name in sorted(in_library & FORBIDDEN)]
    if update:
        with open(os.path.join(tree.TOP, SYMBOLS), 'w', encoding='utf-8') as stream:
            stream.write(''.join(f'{name}\n' for name in sorted(in_library)))
    listed = set(tree.read(SYMBOLS).split())
    problems += [f'{SYMBOLS}: new symbol (check_symbols.py --update lists it): {name}'
                 for name in sorted(in_library - listed)]
    problems += [f'{SYMBOLS}: the library does not export it: {name}'
                 for name in sorted(listed - in_library)]
    tree.report(problems)


if __name__ == '__main__':
    main(sys.argv[1:])
