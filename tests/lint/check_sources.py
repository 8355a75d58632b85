#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The rules that every source file keeps; CONTRIBUTING.md gives the reasons."""

import os
import re

import tree

SPDX = ('SPDX-License-Identifier: LGPL-2.1-or-later', 'SPDX-FileCopyrightText: ')
LICENSED = ('.c', '.h', '.py', '.build', '.xml', '.sh', '.in', '.vala', '.js', 'meson_options.txt')
UNLICENSED = {'po/POTFILES.in'}
SCRIPTS = ('dev', '.ci/run')

MAX_LINES = 800
MAX_FUNCTION_LINES = 80
MAX_COLUMNS = 100

BANNED = re.compile(r'\b(goto|strcpy|strcat|sprintf|vsprintf|gets|alloca|system|popen|atoi|'
                    r'g_alloca|g_spawn_sync|g_spawn_command_line_sync|g_assert|pipe|accept|dup|'
                    r'creat|epoll_create|sleep|usleep|nanosleep|g_usleep)\s*(?=[(;]|\w+\s*;)')
# In the tests, a few of these are the point.
BANNED_IN_LIBRARY_ONLY = {'system', 'popen', 'atoi', 'pipe', 'dup', 'g_spawn_sync', 'sleep',
                          'usleep', 'nanosleep', 'g_usleep'}
NEEDS_CLOEXEC = re.compile(r'\b(open|openat|socket|socketpair|pipe2|memfd_create|accept4|'
                           r'epoll_create1|eventfd|timerfd_create|signalfd|dup3|fopen)\s*\(')
UNFINISHED = re.compile(r'\b(TODO|FIXME|XXX)\s*[:(]|\b(FIXME|XXX)\b')
DEFINE_TYPE = re.compile(r'^G_DEFINE_(?:FINAL_TYPE|TYPE|ABSTRACT_TYPE|INTERFACE)\w*\s*\(\s*\w+\s*,'
                         r'\s*(\w+)', re.M)
TRANSLATED = re.compile(r'(?<!\w)(N?_|C_|NC_|g_dngettext|ngettext)\s*\(')
UNSET_ERROR = re.compile(r'\bg_autoptr\s*\(GError\)\s+\w+\s*;|\bGError\s*\*\s*\w+\s*;')


def check_text(path, text):
    """What holds for every file."""
    head = '\n'.join(text.split('\n')[:5])
    if path not in UNLICENSED:
        for wanted in SPDX:
            if wanted not in head:
                yield f'{path}:1: no "{wanted}" in the first five lines'
    for number, line in enumerate(text.split('\n'), 1):
        if '\t' in line and not path.startswith('.ci'):
            yield f'{path}:{number}: a tab'
        if line != line.rstrip():
            yield f'{path}:{number}: space at the end of the line'
        if UNFINISHED.search(line) and path != 'tests/lint/check_sources.py':
            yield f'{path}:{number}: unfinished: {line.strip()}'
    lines = text.count('\n')
    if lines > MAX_LINES and path.endswith(('.c', '.h', '.py', '.js', '.vala')):
        yield f'{path}: {lines} lines (at most {MAX_LINES})'


def check_columns(path, text):
    """How long a line may be."""
    for number, line in enumerate(text.split('\n'), 1):
        if len(line) > MAX_COLUMNS and 'http' not in line:
            yield f'{path}:{number}: {len(line)} columns (at most {MAX_COLUMNS})'


def function_lengths(code):
    """(line, name, length) of each function: what is between braces in the first column."""
    lines = code.split('\n')
    start = None
    for index, line in enumerate(lines):
        if line.startswith('{'):
            start = index
        elif line.startswith('}') and start is not None:
            name = next((match.group(1) for match in
                         (re.match(r'(\w+)\s*\(', lines[above])
                          for above in range(start - 1, max(start - 12, -1), -1)) if match), None)
            if name and not line.startswith(('};', '} ')):
                yield start + 1, name, index - start - 1
            start = None


def statement_at(code, offset):
    """The text from an offset to the end of its statement."""
    end = code.find(';', offset)
    return code[offset:end if end >= 0 else len(code)]


def check_c(path, text):
    """What holds for C."""
    code = tree.code(text)
    in_library = path.startswith(('libmp/', 'mpservice/'))
    for match in BANNED.finditer(code):
        name = match.group(1)
        if in_library or name not in BANNED_IN_LIBRARY_ONLY:
            yield f'{path}:{tree.line_of(code, match.start())}: {name} is not used here'
    for line, name, length in function_lengths(code):
        if length > MAX_FUNCTION_LINES and not name.endswith('_class_init'):
            yield f'{path}:{line}: {name}() has {length} lines (at most {MAX_FUNCTION_LINES})'
    for match in UNSET_ERROR.finditer(code):
        if path.endswith('.c') and match.group().startswith('g_autoptr'):
            yield f'{path}:{tree.line_of(code, match.start())}: a GError that is not set to NULL'
    if not in_library:
        return
    for match in NEEDS_CLOEXEC.finditer(code):
        statement = statement_at(text if match.group(1) == 'fopen' else code, match.start())
        flag = 'e"' if match.group(1) == 'fopen' else 'CLOEXEC'
        if match.group(1) != 'fopen' and flag not in statement:
            yield (f'{path}:{tree.line_of(code, match.start())}: '
                   f'{match.group(1)} () without CLOEXEC')
    for match in DEFINE_TYPE.finditer(code):
        wanted = match.group(1).replace('_', '-') + '.c'
        if os.path.basename(path) != wanted:
            yield f'{path}:{tree.line_of(code, match.start())}: this type belongs to {wanted}'


def check_service_texts():
    """What goes over the bus is not translated: peers may speak other languages."""
    for path in tree.files('.c', '.h', under='mpservice'):
        if os.path.basename(path) in ('main.c', 'mpctl.c'):
            continue
        code = tree.code(tree.read(path))
        for match in TRANSLATED.finditer(code):
            yield f'{path}:{tree.line_of(code, match.start())}: a translated text on the bus'


def check_potfiles():
    """po/POTFILES.in lists exactly the files with texts to translate, sorted."""
    listed = [line for line in tree.read('po/POTFILES.in').split('\n')
              if line and not line.startswith('#')]
    if listed != sorted(listed):
        yield 'po/POTFILES.in: not sorted'
    marked = set()
    for path in tree.files('.c', '.h', under='libmp') + tree.files('.c', '.h', under='mpservice'):
        if TRANSLATED.search(tree.code(tree.read(path))):
            marked.add(path)
    for path in sorted(marked - set(listed)):
        yield f'po/POTFILES.in: does not list {path}'
    for path in sorted(set(listed) - marked):
        yield f'po/POTFILES.in: lists {path}, which has no text to translate'
    linguas = [word for line in tree.read('po/LINGUAS').split('\n')
               if not line.startswith('#') for word in line.split()]
    there = sorted(os.path.basename(path)[:-3] for path in tree.files('.po', under='po'))
    if linguas != there:
        yield f'po/LINGUAS: lists {linguas}, there are {there}'


def main():
    """All files, all rules."""
    problems = []
    for path in tree.files(*LICENSED) + list(SCRIPTS):
        text = tree.read(path)
        problems += check_text(path, text)
        if path.endswith(('.c', '.py', '.js', '.vala')):
            problems += check_columns(path, text)
        if path.endswith(('.c', '.h')):
            problems += check_c(path, text)
    problems += check_service_texts()
    problems += check_potfiles()
    tree.report(problems)


if __name__ == '__main__':
    main()
