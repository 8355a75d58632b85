#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""check_format.py CLANG-FORMAT [--apply]: the C of the tree is formatted as .clang-format says."""

import os
import subprocess
import sys

import tree


def main(program, *options):
    """Check all files, or rewrite those that need it."""
    how = ['-i'] if '--apply' in options else ['--dry-run', '-Werror', '--ferror-limit=1']
    paths = [os.path.join(tree.TOP, path) for path in tree.files('.c', '.h')]
    return subprocess.run([program, '--style=file', *how, *paths], check=False).returncode


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
