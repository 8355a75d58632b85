# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the word count does in one process: plain functions that know nothing of libmp.

wordcount.py calls them in its own workers, wordcount.sh over D-Bus in those of
the service.
"""

import os
from collections import Counter

HEAD = 8192  # a file with a NUL in its first bytes is not text

# ASCII letters in lower case, every other byte a space.
_LETTERS = bytes(byte | 0x20 if chr(byte).isalpha() and byte < 128 else 0x20 for byte in range(256))


def count_files(paths):
    """Count the words of the files: a Counter of words, and one of what was met."""
    words = Counter()
    found = Counter()
    for path in paths:
        try:
            with open(path, 'rb') as stream:
                head = stream.read(HEAD)
                text = None if b'\0' in head else head + stream.read()
        except OSError:
            found['unreadable'] += 1
            continue
        if text is None:
            found['binary'] += 1
            continue
        found['files'] += 1
        found['bytes'] += len(text)
        words.update(text.translate(_LETTERS).split())
    return words, found


def parts(paths, n_parts):
    """Cut the list: every n-th file is a part, so that big and small ones are well mixed."""
    return [paths[first::n_parts] for first in range(min(n_parts, len(paths)))]


def read_file_list(path):
    """Return the names in a list that "find … -print0" wrote."""
    with open(path, 'rb') as stream:
        return stream.read().split(b'\0')[:-1]


def count_part(part):
    """Count one part of a listed set of files, for a caller that can only read text.

    The argument is (path of the list, which part, number of parts). The result
    is a string of "word=number" with spaces between and around them; what was
    met has the keys "#files", "#bytes", "#binary" and "#unreadable".
    """
    path, which, n_parts = part
    words, found = count_files(read_file_list(path)[which::n_parts])
    counted = [f'{word.decode("ascii")}={number}' for word, number in words.items()]
    counted += [f'#{what}={number}' for what, number in found.items()]
    return ' ' + ' '.join(counted) + ' '
