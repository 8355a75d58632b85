#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Runs what the documentation prints.

In the pages listed below, a fenced block of C, Python or the like whose first
line is a comment with a file name becomes that file in an empty folder; the
lines after "$ " of the console blocks are run there by one shell for the page,
on a private bus, against the built tree, and must print exactly what is below
them.
"""

import os
import re
import shlex
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ['MP_SRCDIR'])
BUILD = Path(os.environ['MP_BUILDDIR'])
PAGES = ('README.md', 'docs/getting-started.md', 'docs/gjs.md')

FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r'^\W*([a-z_-]+\.(?:c|py|js|vala|build))\W*\n')
MARK = '\x01'
TIMEOUT = 120  # seconds for all commands of a page


def environment():
    """Return the environment of "./dev run"."""
    def before(name, *values):
        return ':'.join([*map(str, values), *filter(None, [os.environ.get(name)])])

    return {**os.environ,
            'PATH': before('PATH', BUILD / 'bin'),
            'PKG_CONFIG_PATH': before('PKG_CONFIG_PATH', BUILD / 'meson-uninstalled'),
            'XDG_DATA_DIRS': f'{BUILD}/data:/usr/local/share:/usr/share'}


def commands(block):
    """Cut a console block into commands and what each prints."""
    found = []
    for line in block.splitlines(keepends=True):
        if line.startswith('$ '):
            found.append([line[2:], ''])
        elif line.startswith('> ') and not found[-1][1]:
            found[-1][0] += line[2:]
        else:
            found[-1][1] += line
    return found


def run_all(folder, lines):
    """Run commands in one shell on a bus of its own; return what each printed."""
    script = ''.join(f'{line}printf "%s" {shlex.quote(MARK)}\n' for line in lines)
    tools = BUILD / 'tests' / 'tools'
    with subprocess.Popen([tools / 'private-bus', tools / 'session.conf', folder / 'bus.log',
                           'sh', '-c', script],
                          cwd=folder, env=environment(), text=True, start_new_session=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        try:
            return process.communicate(timeout=TIMEOUT)[0].split(MARK)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


class TestDocs(unittest.TestCase):
    """Each page is as good as what it prints."""

    maxDiff = None

    def run_page(self, page):
        """Write the files of a page, run its commands, compare."""
        expected = []
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for language, block in FENCE.findall((SOURCE / page).read_text()):
                file_name = FILE_NAME.match(block)
                if language == 'console':
                    expected += commands(block)
                elif file_name:
                    (folder / file_name.group(1)).write_text(block)
            printed = run_all(folder, [line for line, _ in expected])
        self.assertTrue(expected, f'{page} has nothing to run')
        self.assertEqual(''.join(f'$ {line}{text}' for line, text in expected),
                         ''.join(f'$ {line}{text}' for (line, _), text in zip(expected, printed)))
        self.assertEqual(printed[len(expected):], [''])

    def test_links(self):
        """Every link from a page to a file of the tree leads somewhere."""
        pages = [*SOURCE.glob('*.md'), *SOURCE.glob('docs/*.md'), *SOURCE.glob('tests/**/*.md')]
        for page in pages:
            for target in re.findall(r'\]\(([^)#]+)[^)]*\)', page.read_text()):
                if '://' not in target and not target.startswith('mailto:'):
                    with self.subTest(page=page.name, target=target):
                        self.assertTrue((page.parent / target).exists())


def _add(page):
    def test(self):
        self.run_page(page)
    test.__doc__ = f'{page} prints what it says.'
    setattr(TestDocs, 'test_' + re.sub(r'\W+', '_', page.lower()), test)


for _page in PAGES:
    _add(_page)

if __name__ == '__main__':
    unittest.main(verbosity=2)
