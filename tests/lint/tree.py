# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the checks of this folder share: the files of the tree, C without its text."""

import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What a lexer has to skip in C: comments, strings, characters.
_C_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def files(*suffixes, under=''):
    """The files of the tree with one of the suffixes, as sorted paths from its top."""
    found = []
    for folder, folders, names in os.walk(os.path.join(TOP, under)):
        folders[:] = [name for name in folders
                      if name not in ('__pycache__', '_build')
                      and (not name.startswith('.') or name == '.ci')
                      and not os.path.exists(os.path.join(folder, name, 'meson-private'))]
        found += [os.path.relpath(os.path.join(folder, name), TOP)
                  for name in names if name.endswith(suffixes)]
    return sorted(found)


def read(path):
    """The text of a file of the tree."""
    with open(os.path.join(TOP, path), encoding='utf-8') as stream:
        return stream.read()


def _blank(match):
    text = match.group()
    if text[0] in '"\'':
        return text[0] + '\n' * text.count('\n') + text[0]
    return '\n' * text.count('\n') or ' '


def code(text):
    """C without comments and the insides of strings, with the same line numbers."""
    return _C_TEXT.sub(_blank, text)


def line_of(text, offset):
    """The number of the line at an offset."""
    return text.count('\n', 0, offset) + 1


def report(problems):
    """Print the problems and end the program, well if there are none."""
    for problem in problems:
        print(problem)
    if problems:
        print(f'{len(problems)} problem(s)')
    sys.exit(1 if problems else 0)
