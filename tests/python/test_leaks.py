# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Nothing is left of what is over: descriptors, processes, threads, objects."""

import gc
import os
import pickle
import threading
import unittest
import weakref

import multiprocessing_gi as mp

import tasks

POOLS = 300
PENDING = 200_000


def state():
    """What could leak."""
    gc.collect()
    return tasks.open_fds(), threading.active_count(), len(mp.active_children())


def resident():
    """How many bytes of this process are in memory."""
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


class Value:
    """A result whose life can be watched."""


def identity(value):
    """Send it back."""
    return value


class TestLeaks(unittest.TestCase):
    """Before and after."""

    def check(self, work, times):
        for _ in range(3):
            work()
        tasks.wait_until(lambda: not mp.active_children())
        before = state()
        for _ in range(times):
            work()
        # A callback thread looks after its pool for a moment longer.
        tasks.wait_until(lambda: state()[:2] <= before[:2], 3)
        self.assertLessEqual(state(), before)

    def test_pools(self):
        def work():
            with mp.Pool(1) as pool:
                pool.map(tasks.square, range(3))
                pool.apply_async(tasks.square, (1,), callback=id).get()
                next(pool.imap(tasks.square, iter(range(5))))
            pool.join()

        self.check(work, POOLS)

    def test_closed_pools(self):
        def work():
            pool = mp.Pool(2)
            pool.close()
            pool.join()

        self.check(work, 30)

    def test_processes(self):
        def work():
            process = mp.Process(target=tasks.nothing)
            process.start()
            process.join()

        self.check(work, 100)

    def test_one_descriptor_for_each_process(self):
        release = tasks.temporary_file(self)
        for method in ('forkserver', 'spawn', 'fork'):
            context = mp.get_context(method)
            processes = [context.Process(target=tasks.wait_while_exists, args=(release,))
                         for _ in range(6)]
            processes[0].start()
            before = tasks.open_fds()
            for process in processes[1:]:
                process.start()
            self.assertTrue(tasks.wait_until(lambda before=before: tasks.open_fds() <= before + 5))
            for process in processes:
                process.kill()
                process.join()

    def test_queues(self):
        def work():
            q = mp.Queue()
            q.put('x' * 100_000)
            q.get()

        self.check(work, 300)

    def test_pending_items(self):
        """What waits in a map takes its pickle and 64 bytes at most."""
        items = range(10**6, 10**6 + PENDING)
        length = len(pickle.dumps(items[-1], 5))
        with mp.Pool(1) as pool:
            busy = pool.apply_async(tasks.wait_for_ever)
            before = resident()
            result = pool.map_async(tasks.square, items, chunksize=1)
            self.assertLess(resident() - before, PENDING * (64 + length))
            self.assertFalse(result.ready() or busy.ready())

    def test_values(self):
        with mp.Pool(1) as pool:
            values = [Value() for _ in range(10)]
            references = [weakref.ref(value) for value in values]
            copies = pool.map(identity, values)
            references += [weakref.ref(copy) for copy in copies]
            del values, copies
            self.assertTrue(tasks.wait_until(
                lambda: gc.collect() >= 0 and not any(ref() for ref in references)))


if __name__ == '__main__':
    unittest.main()
