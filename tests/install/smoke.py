# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The installed library from Python, by both of its names."""

import math

import gi

gi.require_version('Mp', '1')
from gi.repository import Mp  # noqa: E402

import multiprocessing_gi  # noqa: E402


def main():
    """Run a little of each."""
    assert Mp.Pool is multiprocessing_gi.Pool
    with Mp.Pool(1) as pool:
        assert pool.map(math.factorial, [3, 4]) == [6, 24]
    queue = Mp.Queue()
    queue.put('hello')
    assert queue.get() == 'hello'


if __name__ == '__main__':
    main()
