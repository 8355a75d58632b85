# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What a Pool can do beyond multiprocessing's: the keywords of pools and of their calls."""

import os
import time
import unittest

import multiprocessing_gi as mp

import tasks


def told_attempt(failures):
    """Fail so many times."""
    attempt = mp.current_task().attempt
    if attempt < failures:
        raise ValueError(f'attempt {attempt}')
    return attempt


def take_memory(size):
    """Have so much memory for a while."""
    memory = bytearray(b'x') * size
    tasks.wait_for_ever()
    return len(memory)


def grow(size):
    """Keep so much memory."""
    tasks.remember(memory=bytearray(b'x') * size)
    return os.getpid()


def report(path):
    """Be at one half until the file is gone."""
    mp.current_task().report_progress(0.5)
    tasks.wait_while_exists(path)


def end_when_asked(path):
    """Tell how it ended."""
    tasks.wait_until(lambda: mp.current_task().cancelled, 60)
    with open(path, 'w', encoding='utf-8') as file:
        file.write('asked')


def note(path, text):
    """Add to a file."""
    with open(path, 'a', encoding='utf-8') as file:
        file.write(text)


class TestJobs(unittest.TestCase):
    """The keywords of calls, with one worker."""

    @classmethod
    def setUpClass(cls):
        cls.pool = mp.Pool(1)

    @classmethod
    def tearDownClass(cls):
        cls.pool.terminate()
        cls.pool.join()

    def block(self):
        """Keep the worker busy until the file that is returned is removed."""
        path = tasks.temporary_file(self)
        blocker = self.pool.apply_async(tasks.wait_while_exists, (path,))
        self.assertTrue(tasks.wait_until(lambda: blocker.state == 'running'))
        return path

    def test_priority(self):
        gate = self.block()
        path = tasks.temporary_file(self)
        results = [self.pool.apply_async(note, (path, text), priority=priority)
                   for text, priority in (('a', 0), ('b', -5), ('c', 7), ('d', 7))]
        results.append(self.pool.starmap_async(note, [(path, 'm')] * 3, 1, priority=3))
        results.append(self.pool.imap(tasks.square, range(3), priority=9))
        self.assertEqual(results[0].state, 'queued')
        os.unlink(gate)
        for result in results[:-1]:
            result.get(30)
        self.assertEqual(list(results[-1]), [0, 1, 4])
        with open(path, encoding='utf-8') as file:
            self.assertEqual(file.read(), 'cdmmmab')

    def test_timeout(self):
        result = self.pool.apply_async(tasks.wait_for_ever, timeout=0.1)
        with self.assertRaisesRegex(mp.TimeoutError, 'took'):
            result.get(30)
        self.assertEqual(result.state, 'timed-out')
        with self.assertRaises(mp.TimeoutError):
            self.pool.map(tasks.wait_for_ever, [1], timeout=0.1)
        self.assertEqual(self.pool.apply(tasks.square, (3,), timeout=60), 9)
        iterator = self.pool.imap(wait_if_zero, range(3), timeout=0.1)
        self.assertRaises(mp.TimeoutError, iterator.next, 30)
        self.assertEqual(list(iterator), [1, 2])

    def test_attempts(self):
        path = tasks.temporary_file(self)
        os.unlink(path)
        result = self.pool.apply_async(die_once, (path,), max_attempts=2)
        self.assertEqual(result.get(30), 'second time')
        self.assertEqual(result.attempts, 2)
        result = self.pool.apply_async(tasks.die, max_attempts=3)
        self.assertRaises(mp.WorkerDiedError, result.get, 30)
        self.assertEqual((result.attempts, result.state), (3, 'worker-died'))

    def test_failed_ones_are_tried_again(self):
        result = self.pool.apply_async(told_attempt, (2,), max_attempts=3, retry_failed=True)
        self.assertEqual(result.get(30), 2)
        with self.assertRaisesRegex(ValueError, 'attempt 1'):
            self.pool.apply(told_attempt, (2,), max_attempts=2, retry_failed=True)
        with self.assertRaisesRegex(ValueError, 'attempt 0'):
            self.pool.apply(told_attempt, (2,), max_attempts=3)
        begun = time.monotonic()
        self.pool.apply(told_attempt, (2,), max_attempts=3, retry_failed=True, retry_delay=0.1)
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)

    def test_after(self):
        gate = self.block()
        path = tasks.temporary_file(self)
        first = self.pool.apply_async(note, (path, '1'))
        second = self.pool.apply_async(note, (path, '2'), after=first, priority=9)
        third = self.pool.apply_async(note, (path, '3'), priority=9,
                                      after=[first, second, self.pool.map_async(note, [])])
        os.unlink(gate)
        third.get(30)
        with open(path, encoding='utf-8') as file:
            self.assertEqual(file.read(), '123')
        failing = self.pool.apply_async(tasks.fail, ('first',))
        with self.assertRaisesRegex(mp.TaskError, 'first'):
            self.pool.apply(tasks.nothing, after=failing)
        with self.assertRaises(ValueError):
            self.pool.apply(tasks.nothing, after=self.pool.apply_async(lambda: None))
        with mp.Pool(1) as other, self.assertRaisesRegex(ValueError, 'not of this pool'):
            other.apply(tasks.nothing, after=first)

    def test_progress(self):
        path = tasks.temporary_file(self)
        result = self.pool.apply_async(report, (path,))
        self.assertTrue(tasks.wait_until(lambda: result.progress == 0.5))
        os.unlink(path)
        result.get(30)
        self.assertEqual((result.progress, result.state), (1, 'succeeded'))
        self.assertEqual(self.pool.map_async(tasks.square, []).progress, 1)
        iterator = self.pool.imap(tasks.square, range(10))
        self.assertEqual(len(list(iterator)), 10)
        self.assertEqual(iterator.progress, 1)

    def test_cancel_asks_first(self):
        path = tasks.temporary_file(self)
        pid = self.pool.apply(tasks.own_pid)
        with mp.Pool(1, cancel_grace=60) as pool:
            pid = pool.apply(tasks.own_pid)
            result = pool.apply_async(end_when_asked, (path,))
            self.assertTrue(tasks.wait_until(lambda: result.state == 'running'))
            self.assertTrue(result.cancel())
            self.assertRaises(mp.CancelledError, result.get, 30)
            self.assertEqual(pool.apply(tasks.own_pid), pid)
        with open(path, encoding='utf-8') as file:
            self.assertEqual(file.read(), 'asked')
        iterator = self.pool.imap(tasks.wait_for_ever, range(5))
        iterator.cancel()
        self.assertRaises(mp.CancelledError, iterator.next, 30)

    def test_current_task(self):
        self.assertIsNone(mp.current_task())
        self.assertEqual(self.pool.apply(tell_about_task), (0, False))

    def test_nonsense(self):
        for options, kind in (({'priority': 'high'}, TypeError), ({'max_attempts': 0}, ValueError),
                              ({'timeout': -1}, ValueError), ({'timeout': 'x'}, TypeError),
                              ({'retry_delay': float('nan')}, ValueError),
                              ({'unheard_of': 1}, TypeError), ({'after': 5}, TypeError)):
            for call in (self.pool.apply_async, self.pool.map, self.pool.imap):
                with self.assertRaises(kind):
                    call(tasks.square, (1,), **options)
        for options, kind in (({'max_attempts': 0}, ValueError), ({'unheard_of': 1}, TypeError),
                              ({'task_timeout': -1}, ValueError),
                              ({'min_workers': 1.5}, TypeError)):
            with self.assertRaises(kind):
                mp.Pool(1, **options)


def wait_if_zero(number):
    """Do not come back for zero."""
    if number == 0:
        tasks.wait_for_ever()
    return number


def die_once(path):
    """Be killed the first time."""
    if not os.path.exists(path):
        with open(path, 'w', encoding='utf-8'):
            pass
        tasks.die()
    return 'second time'


def tell_about_task():
    """What a task knows of itself."""
    task = mp.current_task()
    if not task.id > 0:
        raise ValueError(task.id)
    return task.attempt, task.cancelled


class TestPools(unittest.TestCase):
    """The keywords of pools, by every start method that matters."""

    def test_resize(self):
        for method in ('forkserver', 'fork'):
            with mp.get_context(method).Pool(1) as pool:
                pool.resize(3)
                self.assertTrue(tasks.wait_until(lambda pool=pool: len(pool._pool) == 3))
                self.assertEqual(pool.props.n_workers, 3)
                self.assertEqual(len(pool.map(tasks.own_pid, range(30), 1)), 30)
                pool.resize(1)
                self.assertTrue(tasks.wait_until(lambda pool=pool: len(pool._pool) == 1))
                self.assertEqual(pool.map(tasks.square, range(10)), [n * n for n in range(10)])
                self.assertRaises(ValueError, pool.resize, 0)

    def test_task_timeout(self):
        with mp.Pool(2, task_timeout=0.1) as pool:
            self.assertRaises(mp.TimeoutError, pool.apply, tasks.wait_for_ever)
            self.assertIsNone(pool.apply(time.sleep, (0.3,), timeout=60))

    def test_max_attempts(self):
        path = tasks.temporary_file(self)
        os.unlink(path)
        with mp.Pool(2, max_attempts=2) as pool:
            self.assertEqual(pool.apply(die_once, (path,)), 'second time')

    def test_memory_limit(self):
        with mp.Pool(1, worker_memory_limit=200 << 20) as pool:
            with self.assertRaises(mp.LimitError):
                pool.apply(take_memory, (400 << 20,))
            self.assertEqual(pool.apply(tasks.square, (3,)), 9)

    def test_replaced_for_memory(self):
        with mp.Pool(1, max_worker_memory=100 << 20) as pool:
            pid = pool.apply(grow, (200 << 20,))
            self.assertTrue(tasks.wait_until(lambda: pool.apply(tasks.own_pid) != pid))

    def test_replaced_for_age(self):
        with mp.Pool(1, max_worker_age=0.2) as pool:
            pid = pool.apply(tasks.own_pid)
            self.assertTrue(tasks.wait_until(lambda: pool.apply(tasks.own_pid) != pid))

    def test_idle_ones_leave(self):
        with mp.Pool(3, min_workers=1, idle_timeout=0.1) as pool:
            pool.map(time.sleep, [0.05] * 6, 1)
            self.assertTrue(tasks.wait_until(lambda: len(pool._pool) == 1))
            self.assertEqual(pool.map(tasks.square, range(100), 1), [n * n for n in range(100)])


if __name__ == '__main__':
    unittest.main()
