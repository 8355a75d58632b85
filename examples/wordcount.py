#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Count the words of every text file below some directories, in worker processes.

What libmp has to do with it is in count_in_pool(). What the workers run is in
wordcount_tasks.py.
"""

import argparse
import glob
import os
import sys
import time
from collections import Counter

from gi.repository import Mp

from wordcount_tasks import count_files, parts, read_file_list

PARTS_A_WORKER = 8  # small enough tasks that the workers end together


def count_in_pool(paths, n_workers):
    """Count the words of the files in worker processes."""
    words, found = Counter(), Counter()
    pieces = parts(paths, n_workers * PARTS_A_WORKER)
    # Should a worker be killed, its task is tried again in another one.
    with Mp.Pool(n_workers, max_attempts=3) as pool:
        for done, result in enumerate(pool.imap_unordered(count_files, pieces), start=1):
            words.update(result[0])
            found.update(result[1])
            show_progress(done / len(pieces))
    return words, found


def show_progress(fraction):
    """Keep one line about how far it is, where that is of use."""
    if sys.stdout.isatty():
        line = f'\rcounting {fraction:4.0%}' if fraction < 1 else '\r\033[K'
        print(line, end='', flush=True)


def find_files(directories):
    """Return all regular files below the directories; symbolic links are not followed."""
    def complain(error):
        print(f'wordcount: {error.filename}: {error.strerror}', file=sys.stderr)

    found = []
    for top in directories:
        if not os.path.isdir(top):
            os.stat(top)
            found.append(os.fsencode(top))
        for folder, _, names in os.walk(os.fsencode(top), onerror=complain):
            paths = (os.path.join(folder, name) for name in names)
            found += [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
    return found


def default_directories():
    """Return the default directories, those that exist."""
    patterns = ('/usr/share/doc', '/usr/share/perl', '/usr/include', '/usr/lib/python3*')
    return [path for pattern in patterns for path in sorted(glob.glob(pattern))]


def by_frequency(words):
    """Return the words with their numbers, frequent ones first."""
    return sorted(words.items(), key=lambda item: (-item[1], item[0]))


def positive(text):
    """Convert an argument to a number of workers."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError('must be at least 1')
    return number


def take_arguments():
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog='wordcount.py',
        description='Counts the words of all text files below the directories.')
    parser.add_argument('directories', nargs='*', metavar='DIRECTORY')
    parser.add_argument('-j', '--workers', type=positive, metavar='N', default=os.cpu_count(),
                        help='count in N processes (default: one a processor)')
    parser.add_argument('--no-baseline', action='store_true',
                        help='do not count again in one process')
    parser.add_argument('--files-from', metavar='FILE',
                        help='count the files named in FILE, a NUL after each')
    parser.add_argument('-o', '--output', metavar='FILE',
                        help='write all words with their numbers to FILE')
    return parser.parse_args()


def compare_with_one_process(counted, paths, seconds):
    """Do the same in this process alone, for the time it takes and as a check."""
    start = time.monotonic()
    alone = count_files(paths)
    alone_seconds = time.monotonic() - start
    print(f'one process: {alone_seconds:.2f} seconds, speed-up {alone_seconds / seconds:.2f}')
    if alone != counted:
        sys.exit('wordcount: one process counts something else')


def main():
    """Count, print, compare."""
    arguments = take_arguments()
    if arguments.files_from:
        paths = read_file_list(arguments.files_from)
    else:
        paths = find_files(arguments.directories or default_directories())

    start = time.monotonic()
    words, found = count_in_pool(paths, arguments.workers)
    seconds = time.monotonic() - start

    for word, number in by_frequency(words)[:20]:
        print(f'{number:10} {word.decode("ascii")}')
    print(f'{found["files"]} text files, {found["bytes"]} bytes, {len(words)} different words; '
          f'left out: {found["binary"]} binary files, {found["unreadable"]} unreadable ones')
    print(f'{arguments.workers} worker processes: {seconds:.2f} seconds')

    if not arguments.no_baseline:
        compare_with_one_process((words, found), paths, seconds)
    if arguments.output:
        with open(arguments.output, 'wb') as stream:
            stream.writelines(b'%d %s\n' % (number, word) for word, number in by_frequency(words))


if __name__ == '__main__':
    try:
        main()
    except OSError as error:
        print(f'wordcount: {error.filename}: {error.strerror}', file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit('wordcount: interrupted')
