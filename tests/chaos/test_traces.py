#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What programs that use pools leave behind, looked at from outside: nothing.

This process is a subreaper: whatever outlives the program that started it,
zygotes and workers alike, becomes a child of this one and is seen.
"""

import ctypes
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
FULL = os.environ.get('MP_CHAOS') == 'full'
KILLS = 50 if FULL else 16
POOLS = 1000 if FULL else 100
WAIT = 30.0  # seconds until a machine that is busy has ended everything

USES_POOLS = '''
import itertools, time
import multiprocessing_gi as mp

def work(number):
    time.sleep(number % 3 / 1000)
    return number

def nested(number):
    with mp.Pool(1) as pool:
        return pool.map(work, range(number))

if __name__ == '__main__':
    queue = mp.Queue()
    for turn in itertools.count():
        with mp.Pool(2) as pool:
            process = mp.Process(target=nested, args=(50,))
            process.start()
            queue.put(pool.map(work, range(50), chunksize=1))
            queue.get()
            print(turn, flush=True)
            process.join()
'''

MANY_POOLS = '''
import os, sys, time
import multiprocessing_gi as mp

def children():
    count = 0
    for thread in os.listdir('/proc/self/task'):
        with open(f'/proc/self/task/{thread}/children') as stream:
            count += len(stream.read().split())
    return count

def held():
    targets = []
    for name in os.listdir('/proc/self/fd'):
        try:
            targets.append(os.readlink(f'/proc/self/fd/{name}'))
        except FileNotFoundError:
            pass  # the descriptor of this very listing
    with open('/proc/self/maps') as stream:
        maps = sum('/memfd:' in line for line in stream)
    return {'descriptors': len(targets), 'memfds': sum('/memfd:' in target for target in targets),
            'mappings': maps, 'children': children(), 'threads': len(os.listdir('/proc/self/task'))}

def square(number):
    return number * number

if __name__ == '__main__':
    def once(turn):
        with mp.Pool(2) as pool:
            if turn % 2:
                assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
            else:
                pool.map_async(square, range(100), chunksize=1)
            if turn % 3 == 0:
                pool.close()
                pool.join()

    for turn in range(10):
        once(turn)
    # What a pool held goes when its workers have gone, which takes a moment.
    before, last = held(), None
    while before != last:
        time.sleep(0.5)
        before, last = held(), before
    for turn in range(int(sys.argv[1])):
        once(turn)
    deadline = time.monotonic() + 20
    after = held()
    while after != before and time.monotonic() < deadline:
        time.sleep(0.1)
        after = held()
    print(before, after)
    sys.exit(before != after)
'''


def children():
    """Return the processes below this one as {pid: command line}; reap those that ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass
    found = {}
    for pid in Path(f'/proc/self/task/{os.getpid()}/children').read_text().split():
        try:
            found[int(pid)] = Path(f'/proc/{pid}/cmdline').read_text().replace('\0', ' ').strip()
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


class TestTraces(unittest.TestCase):
    """Run programs, kill them or not, and look around."""

    def setUp(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ('runtime', 'tmp', 'programs', 'texts'):
            (self.folder / name).mkdir(mode=0o700)
        self.environment = {**os.environ, 'XDG_RUNTIME_DIR': str(self.folder / 'runtime'),
                            'TMPDIR': str(self.folder / 'tmp')}
        self.shm = set(os.listdir('/dev/shm'))

    def program(self, name, text):
        """Write a Python program; return the command that runs it."""
        path = self.folder / 'programs' / name
        path.write_text(text)
        return [sys.executable, str(path)]

    def start(self, command):
        """Start a program with folders of its own for what it might leave."""
        return subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def assert_nothing_left(self, what):
        """Fail if a process, a shared file or a temporary file remains."""
        deadline = time.monotonic() + WAIT
        while (left := children()) and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, {}, f'processes remain, {what}')
        for name in ('runtime', 'tmp'):
            self.assertEqual(os.listdir(self.folder / name), [], f'files remain in {name}, {what}')
        mine = {name for name in set(os.listdir('/dev/shm')) - self.shm if 'mp' in name.lower()}
        self.assertEqual(mine, set(), f'shared memory remains, {what}')

    def kill_at_random(self, command, times, span):
        """Kill the program so many times, at moments that differ. One that ends before its
        moment comes does not count, and the next moments are sooner."""
        seed = random.SystemRandom().getrandbits(32)
        moments = random.Random(seed)
        killed = turn = 0
        while killed < times:
            turn += 1
            self.assertLess(turn, 10 * times, 'it ends before it can be killed')
            start = time.monotonic()
            process = self.start(command)
            moment = moments.uniform(0, span)
            try:
                process.wait(moment)
                span = min(span, time.monotonic() - start)
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            _, errors = process.communicate()
            what = f'seed {seed}, turn {turn}, killed after {moment:.3f} s'
            self.assertNotIn('Traceback', errors, what)
            self.assert_nothing_left(what)

    def time_of(self, command):
        """Seconds until the program has printed its first line."""
        start = time.monotonic()
        process = self.start(command)
        line = process.stdout.readline()
        seconds = time.monotonic() - start
        process.kill()
        _, errors = process.communicate()
        self.assertTrue(line, errors)
        self.assert_nothing_left('after the first run')
        return seconds

    def test_python_killed(self):
        """A Python program with pools, a nested pool and a queue is killed."""
        command = self.program('uses_pools.py', USES_POOLS)
        self.kill_at_random(command, KILLS // 2, 2 * self.time_of(command))

    def test_c_killed(self):
        """A C program with a pool is killed."""
        text = ' '.join(f'word{number}' for number in range(100_000))
        for number in range(400):
            (self.folder / 'texts' / str(number)).write_text(text)
        command = [os.environ['MP_BUILDDIR'] + '/examples/wordcount', str(self.folder / 'texts')]
        self.kill_at_random(command, KILLS // 2, self.time_of(command))

    def test_many_pools(self):
        """A program that makes many pools holds afterwards what it held before."""
        process = self.start(self.program('many_pools.py', MANY_POOLS) + [str(POOLS)])
        output, errors = process.communicate()
        self.assertEqual((process.returncode, errors), (0, ''), output)
        self.assert_nothing_left('after many pools')


if __name__ == '__main__':
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    unittest.main(verbosity=2)
