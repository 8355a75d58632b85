# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pool and its results."""

import gc
import itertools
import os
import pickle
import struct
import threading
import time
import unittest
import warnings

import multiprocessing_gi as mp
from multiprocessing_gi._imap import Feeder
from multiprocessing_gi.pool import AsyncResult, MaybeEncodingError, RemoteTraceback

import tasks

METHODS = ('forkserver', 'spawn')


def in_main(number):
    """A function of the main module."""
    return number + 1


class PoolTest(unittest.TestCase):
    """With one pool for all."""

    @classmethod
    def setUpClass(cls):
        cls.pool = mp.Pool(2)

    @classmethod
    def tearDownClass(cls):
        cls.pool.terminate()
        cls.pool.join()


class TestCalls(PoolTest):
    """What returns values."""

    def test_apply(self):
        self.assertEqual(self.pool.apply(tasks.square, (5,)), 25)
        self.assertEqual(self.pool.apply(tasks.add, (5,), {'right': 6}), 11)
        self.assertEqual(self.pool.apply(tasks.add, [5]), 1005)
        self.assertEqual(self.pool.apply(in_main, (5,)), 6)
        self.assertIsNone(self.pool.apply(tasks.nothing))

    def test_apply_async(self):
        results = [self.pool.apply_async(tasks.square, (number,)) for number in range(1000)]
        self.assertEqual([result.get() for result in results],
                         [number * number for number in range(1000)])
        result = results[0]
        self.assertTrue(result.ready() and result.successful())
        self.assertEqual(result.get(), 0)
        self.assertEqual(result.get(0), 0)

    def test_map(self):
        for chunksize in (None, 1, 2, 7, 1000):
            self.assertEqual(self.pool.map(tasks.square, range(100), chunksize),
                             [number * number for number in range(100)])
        self.assertEqual(self.pool.map(tasks.square, iter(range(10))),
                         [number * number for number in range(10)])
        self.assertEqual(self.pool.map(tasks.square, []), [])
        self.assertEqual(self.pool.map(in_main, (1, 2)), [2, 3])
        self.assertEqual(self.pool.map_async(tasks.square, [3]).get(), [9])

    def test_starmap(self):
        pairs = list(zip(range(50), range(50, 100)))
        for chunksize in (None, 1, 7):
            self.assertEqual(self.pool.starmap(tasks.add, pairs, chunksize),
                             list(itertools.starmap(tasks.add, pairs)))
        self.assertEqual(self.pool.starmap_async(tasks.add, [(1,), (2, 3)]).get(), [1001, 5])

    def test_many_big_items(self):
        """More bytes than are sent, or taken, with one call: none is missing, and each in place."""
        items = [bytes([number]) * (1 << 20 if number % 3 else 10) for number in range(20)]
        for options in ({'chunksize': 1}, {'chunksize': 4}, {}):
            with self.subTest(options):
                self.assertEqual(self.pool.map(bytes, items, **options), items)
        self.assertEqual(list(self.pool.imap(bytes, items)), items)
        self.assertEqual(self.pool.apply(bytes, (items[1] * 9,)), items[1] * 9)

    def test_big_items(self):
        items = [bytes([number]) * 2_000_000 for number in range(5)]
        self.assertEqual(self.pool.map(bytes.upper, items, chunksize=1),
                         [item.upper() for item in items])
        self.assertEqual(len(self.pool.apply(bytes, (50_000_000,))), 50_000_000)

    def test_many_small_items(self):
        self.assertEqual(sum(self.pool.map(tasks.square, range(50_000), chunksize=1)),
                         sum(number * number for number in range(50_000)))

    def test_state_of_a_function(self):
        """As with multiprocessing, each task starts with the function as it was given."""
        counter = tasks.Counter()
        self.assertEqual(self.pool.map(counter, range(6), chunksize=1), [1] * 6)
        self.assertEqual(self.pool.map(counter, range(6), chunksize=3), [1, 2, 3] * 2)
        self.assertEqual(counter.calls, 0)

    def test_timeout(self):
        result = self.pool.apply_async(time.sleep, (1,))
        for timeout in (0, -1, 0.1):
            with self.assertRaises(mp.TimeoutError):
                result.get(timeout)
        self.assertIsNone(result.wait(0.1))
        self.assertFalse(result.ready())
        with self.assertRaises(ValueError):
            result.successful()
        self.assertIsNone(result.get(10))

    def test_arguments(self):
        for call in (lambda: mp.Pool(0), lambda: mp.Pool(-1), lambda: mp.Pool(1, None, (), 0),
                     lambda: mp.Pool(1, None, (), 'x'), lambda: mp.Pool(1, max_attempts=0),
                     lambda: self.pool.map(tasks.square, [1], 0),
                     lambda: self.pool.map_async(tasks.square, [1], -1),
                     lambda: self.pool.imap(tasks.square, [1], 0),
                     lambda: self.pool.imap_unordered(tasks.square, [1], -1)):
            with self.assertRaises(ValueError):
                call()
        with self.assertRaises(TypeError):
            mp.Pool(1, 'not callable')
        with self.assertRaises(TypeError):
            self.pool.map(tasks.square, 5)
        for call in (lambda: next(self.pool.imap(tasks.square, 5)),
                     lambda: mp.Pool(1.5), lambda: self.pool.resize(1.5),
                     lambda: self.pool.map(tasks.square, [1], 1.5),
                     lambda: self.pool.imap(tasks.square, [1, 2], 2.0)):
            with self.assertRaises(TypeError):
                call()

    def test_many_threads(self):
        sums = []

        def use():
            sums.append(sum(self.pool.map(tasks.square, range(500), chunksize=1)))

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(sums, [sum(number * number for number in range(500))] * 8)

    def test_looks(self):
        self.assertRegex(repr(self.pool), r'Pool state=RUN pool_size=2>')
        with self.assertRaises(NotImplementedError):
            pickle.dumps(self.pool)
        self.assertEqual(self.pool.props.n_workers, 2)
        self.assertEqual(self.pool.gobject.get_n_workers(), 2)
        self.assertIsInstance(self.pool.apply_async(tasks.nothing), AsyncResult)


class TestErrors(PoolTest):
    """What does not return a value."""

    def test_interrupted_get_loses_nothing(self):
        result = self.pool.map_async(Interrupting, range(6), 1)
        with self.assertRaises(KeyboardInterrupt):
            result.get(30)
        self.assertEqual(result.get(30), ['here'] * 6)

    def test_exception(self):
        with self.assertRaisesRegex(ValueError, '^what happened$') as caught:
            self.pool.apply(tasks.fail, ('what happened',))
        cause = caught.exception.__cause__
        self.assertIsInstance(cause, RemoteTraceback)
        self.assertIn('raise ValueError(message)', str(cause))
        self.assertIn('Traceback (most recent call last)', cause.tb)
        self.assertNotIn('_worker.py', cause.tb)
        result = self.pool.apply_async(tasks.fail, ('x',))
        result.wait()
        self.assertFalse(result.successful())

    def test_map_waits_for_all(self):
        start = time.monotonic()
        with self.assertRaisesRegex(ValueError, 'it is 3'):
            self.pool.map(tasks.fail_at_three, range(10), chunksize=1)
        with self.assertRaises(ValueError):
            self.pool.starmap(sleep_or_fail, [(0.5, False), (0, True)], chunksize=1)
        self.assertGreater(time.monotonic() - start, 0.45)

    def test_what_cannot_be_pickled(self):
        with self.assertRaisesRegex(RuntimeError, 'not to be pickled'):
            self.pool.apply(tasks.square, (tasks.Unpicklable(),))
        with self.assertRaisesRegex(RuntimeError, 'not to be pickled'):
            self.pool.map(tasks.square, [tasks.Unpicklable()] * 3)
        result = self.pool.apply_async(lambda: None)
        with self.assertRaises((AttributeError, pickle.PicklingError)):
            result.get()
        for call in (tasks.unpicklable_result, tasks.fail_unpicklable):
            with self.assertRaises(MaybeEncodingError) as caught:
                self.pool.apply(call)
            self.assertIsInstance(caught.exception.exc, str)
            self.assertIsInstance(caught.exception.value, str)
        with self.assertRaisesRegex(mp.TaskError, 'OneWayError: first.*cannot be unpickled'):
            self.pool.apply(tasks.fail_one_way)
        self.assertEqual(self.pool.apply(tasks.square, (2,)), 4)

    def test_exits(self):
        for code in (0, 3, 'text'):
            with self.assertRaisesRegex(mp.TaskError, r'sys\.exit\(%r\)' % code):
                self.pool.apply(tasks.leave, (code,))
        with self.assertRaisesRegex(mp.TaskError, 'KeyboardInterrupt'):
            self.pool.apply(tasks.interrupt)
        with self.assertRaisesRegex(mp.WorkerDiedError, '3'):
            self.pool.apply(tasks.leave_at_once, (3,))
        self.assertEqual(self.pool.apply(tasks.square, (2,)), 4)

    def test_input_fails(self):
        def items():
            yield 1
            raise KeyError('input')

        with self.assertRaises(KeyError) as caught:
            self.pool.map(tasks.square, items())
        self.assertIsNone(caught.exception.__cause__)

    def test_killed_worker(self):
        with self.assertRaisesRegex(mp.WorkerDiedError, r'\d+.*signal 9'):
            self.pool.apply(tasks.die)
        results = [self.pool.apply_async(tasks.die_at_three, (number,)) for number in range(20)]
        for number, result in enumerate(results):
            if number == 3:
                with self.assertRaises(mp.ProcessError):
                    result.get(30)
            else:
                self.assertEqual(result.get(30), number)
        self.assertEqual(self.pool.map(tasks.square, range(10)),
                         [number * number for number in range(10)])

    def test_module_that_cannot_be_imported(self):
        with self.assertRaisesRegex(Exception, 'vanished') as caught:
            self.pool.apply(Vanished())
        self.assertIn('find_vanished', str(caught.exception.__cause__))

    def test_cancel(self):
        blockers = [self.pool.apply_async(tasks.wait_for_ever) for _ in range(2)]
        queued = self.pool.apply_async(tasks.square, (2,))
        self.assertTrue(queued.cancel())
        with self.assertRaises(mp.CancelledError):
            queued.get(10)
        for blocker in blockers:
            blocker.cancel()
            with self.assertRaises(mp.CancelledError):
                blocker.get(10)
        self.assertEqual(self.pool.apply(tasks.square, (2,)), 4)


def sleep_or_fail(seconds, fail):
    """Sleep, or raise."""
    time.sleep(seconds)
    if fail:
        raise ValueError('as told')


def find_vanished():
    """What unpickling a Vanished calls."""
    raise ImportError('the module has vanished')


class Vanished:
    """Pickled as something that cannot be imported in the worker."""

    def __reduce__(self):
        return find_vanished, ()

    def __call__(self):
        pass


_INTERRUPTIONS = []


def interrupt_once():
    """Unpickled in the place of Interrupting."""
    if not _INTERRUPTIONS:
        _INTERRUPTIONS.append(1)
        raise KeyboardInterrupt
    return 'here'


class Interrupting:
    """Has Ctrl-C happen when it is unpickled for the first time."""

    def __init__(self, _number):
        pass

    def __reduce__(self):
        return interrupt_once, ()


class TestCallbacks(PoolTest):
    """Callbacks run before the result is ready, in a thread of their own."""

    def test_callbacks(self):
        seen = []

        def callback(value):
            time.sleep(0.1)
            seen.append((value, threading.current_thread() is threading.main_thread()))

        result = self.pool.apply_async(tasks.square, (3,), callback=callback)
        result.wait()
        self.assertEqual(seen, [(9, False)])
        self.assertEqual(result.get(), 9)
        del seen[:]
        self.pool.map_async(tasks.square, [1, 2], callback=callback).get()
        self.assertEqual(seen, [([1, 4], False)])
        del seen[:]
        result = self.pool.apply_async(tasks.fail, ('x',), callback=callback,
                                       error_callback=callback)
        with self.assertRaises(ValueError):
            result.get()
        self.assertIsInstance(seen[0][0], ValueError)

    def test_of_what_was_never_sent(self):
        seen = []
        result = self.pool.map_async(tasks.square, [tasks.Unpicklable()],
                                     error_callback=seen.append)
        with self.assertRaises(RuntimeError):
            result.get()
        self.assertIsInstance(seen[0], RuntimeError)
        self.pool.map_async(tasks.square, [], callback=seen.append).get()
        self.assertEqual(len(seen), 1)

    def test_that_raise(self):
        caught = []
        hook, threading.excepthook = threading.excepthook, lambda args: caught.append(args[1])
        try:
            result = self.pool.apply_async(tasks.square, (3,), callback=tasks.fail)
            self.assertEqual(result.get(), 9)
        finally:
            threading.excepthook = hook
        self.assertIsInstance(caught[0], ValueError)
        result = self.pool.apply_async(tasks.square, (3,), callback=caught.append)
        self.assertEqual(result.get(), 9)
        self.assertEqual(caught[1:], [9])

    def test_that_use_the_pool(self):
        results = []
        first = self.pool.apply_async(
            tasks.square, (3,),
            callback=lambda value: results.append(self.pool.apply_async(tasks.square, (value,))))
        first.wait()
        self.assertEqual(results[0].get(10), 81)

    def test_in_order_of_completion(self):
        seen = []
        results = [self.pool.apply_async(time.sleep, (seconds,),
                                         callback=lambda _, n=seconds: seen.append(n))
                   for seconds in (0.6, 0.1)]
        for result in results:
            result.wait()
        self.assertEqual(seen, [0.1, 0.6])

    def test_join_waits_for_them(self):
        seen = []
        with mp.Pool(1) as pool:
            for number in range(20):
                pool.apply_async(tasks.square, (number,),
                                 callback=lambda value: (time.sleep(0.01), seen.append(value)))
            pool.close()
            pool.join()
            self.assertEqual(len(seen), 20)

    def test_that_end_the_pool(self):
        for name in ('close', 'terminate'):
            pool = mp.Pool(1)

            def end(_value, pool=pool, name=name):
                getattr(pool, name)()
                pool.join()

            pool.apply_async(tasks.square, (3,), callback=end).wait(30)
            pool.join()


class Unwilling:
    """Cannot be iterated."""

    def __iter__(self):
        raise KeyError('unwilling')


class TestImap(PoolTest):
    """imap() and imap_unordered()."""

    def test_results(self):
        for items in (range(3000), list(range(10)), iter(range(3000)), []):
            for chunksize in (1, 7):
                items = list(items)
                expected = [item * item for item in items]
                self.assertEqual(list(self.pool.imap(tasks.square, items, chunksize)), expected)
                iterator = self.pool.imap(tasks.square, iter(items), chunksize)
                self.assertEqual(list(iterator), expected)
                self.assertEqual(
                    sorted(self.pool.imap_unordered(tasks.square, items, chunksize)), expected)

    def test_next(self):
        iterator = self.pool.imap(time.sleep, [0.5])
        for timeout in (0, -1, 0.05):
            with self.assertRaises(mp.TimeoutError):
                iterator.next(timeout)
        self.assertIsNone(iterator.next(10))
        for _ in range(2):
            with self.assertRaises(StopIteration):
                iterator.next()

    def test_next_beside_a_thread_that_waits(self):
        iterator = self.pool.imap(time.sleep, [2])
        thread = threading.Thread(target=iterator.next)
        thread.start()
        time.sleep(0.2)  # into the wait
        begun = time.monotonic()
        with self.assertRaises(mp.TimeoutError):
            iterator.next(0.1)
        self.assertLess(time.monotonic() - begun, 1)
        thread.join()

    def test_exceptions_have_their_place(self):
        iterator = self.pool.imap(tasks.fail_at_three, range(6))
        out = []
        while True:
            try:
                out.append(next(iterator))
            except ValueError as error:
                out.append(str(error))
            except StopIteration:
                break
        self.assertEqual(out, [0, 1, 2, 'it is 3', 4, 5])

    def test_unpicklable_items_have_their_place(self):
        items = [1, tasks.Unpicklable(), 3]
        for given in (items, iter(items)):
            iterator = self.pool.imap(tasks.square, given)
            self.assertEqual(next(iterator), 1)
            with self.assertRaises(RuntimeError):
                next(iterator)
            self.assertEqual(list(iterator), [9])
        with self.assertRaises((AttributeError, pickle.PicklingError)):
            next(self.pool.imap(lambda item: item, items))

    def test_input_fails(self):
        def items(when):
            for number in range(20):
                if number == when:
                    raise KeyError('input')
                yield number

        for chunksize, before in ((1, 7), (2, 6), (4, 4)):
            iterator = self.pool.imap(tasks.square, items(7), chunksize)
            self.assertEqual([next(iterator) for _ in range(before)],
                             [number * number for number in range(before)])
            with self.assertRaises(KeyError):
                next(iterator)
            self.assertEqual(list(iterator), [])
        with self.assertRaises(KeyError):
            list(self.pool.imap_unordered(tasks.square, items(0)))
        # One that cannot even be iterated: the same.
        for chunksize in (1, 2):
            for call in (self.pool.imap, self.pool.imap_unordered):
                iterator = call(tasks.square, Unwilling(), chunksize)
                with self.assertRaisesRegex(KeyError, 'unwilling'):
                    next(iterator)
                self.assertEqual(list(iterator), [])

    def test_input_that_waits_for_results(self):
        results = []

        def items():
            yield 2
            while len(results) < 5:
                tasks.wait_until(lambda: results, 20)
                yield results[-1]

        for result in self.pool.imap(tasks.square, items()):
            results.append(result)
            if len(results) >= 5:
                break
        self.assertEqual(results[0], 4)

    def test_reads_ahead_within_bounds(self):
        read = []

        def items():
            for number in itertools.count():
                read.append(number)
                yield number

        with mp.Pool(2) as pool:
            iterator = pool.imap(tasks.square, items())
            self.assertEqual(next(iterator), 0)
            tasks.wait_until(lambda: len(read) > 1000)
            time.sleep(0.2)
            self.assertLess(len(read), 1100)
            self.assertEqual([next(iterator) for _ in range(3000)],
                             [number * number for number in range(1, 3001)])
            del iterator

    def test_all_of_the_input_is_run(self):
        for given in (lambda: range(5000), lambda: iter(range(5000))):
            q = mp.Queue()
            pool = mp.Pool(2, remember_queue, (q,))
            kept = pool.imap(put_in_queue, given())
            pool.close()
            pool.join()
            self.assertEqual(q.qsize(), 5000)
            self.assertEqual(sum(1 for _ in kept), 5000)
            pool = mp.Pool(2, remember_queue, (q,))
            pool.imap_unordered(put_in_queue, given())
            pool.close()
            pool.join()
            self.assertEqual(q.qsize(), 10000)

    def test_last_results_come_while_they_are_looked_for(self):
        class Job:
            """One whose result comes when it was just looked for."""

            finished = False
            results = [b'', struct.pack('=5I', 1, 0, 0, 2, 4) + b'done']

            def push_packed(self, data, lengths):
                pass

            def end_input(self):
                pass

            def take_packed(self, limit):
                self.finished = True
                return self.results.pop(0)

            def take_buffer(self, index):
                pass

            def get_finished(self):
                return self.finished

        feeder = Feeder(Job(), [1], 1, True, 1024)
        feeder.start()
        self.assertEqual(feeder.fetch(), [])
        self.assertEqual(feeder.fetch(), [(0, 2, b'done')])
        self.assertTrue(feeder.exhausted())

    def test_terminated(self):
        with mp.Pool(1) as pool:
            iterator = pool.imap(tasks.wait_for_ever, range(5))
        with self.assertRaises(mp.CancelledError):
            next(iterator)

    def test_killed_worker(self):
        out, errors = [], []
        iterator = self.pool.imap(tasks.die_at_three, range(20))
        while True:
            try:
                out.append(next(iterator))
            except mp.WorkerDiedError as error:
                errors.append(error)
            except StopIteration:
                break
        self.assertEqual(out, [number for number in range(20) if number != 3])
        self.assertEqual(len(errors), 1)
        self.assertRegex(str(errors[0]), r'^Worker \d+ .* while it had a task$')


_QUEUE = []


def remember_queue(q):
    """An initializer that gets a queue."""
    _QUEUE.append(q)


def put_in_queue(item):
    """Put into the queue that the initializer got."""
    _QUEUE[0].put(item)


class TestLife(unittest.TestCase):
    """From the first worker to the last."""

    def test_progress_beside_results(self):
        """What one thread reports costs no result of another its wake."""
        with mp.Pool(1) as pool:
            pool.apply(tasks.report_from_a_thread)
            longest, end = 0, time.monotonic() + 3
            while time.monotonic() < end:
                for _ in range(6):
                    pool.apply(tasks.nothing)
                done = threading.Event()
                start = time.monotonic()
                pool.apply_async(tasks.nothing, callback=lambda _: done.set())
                done.wait()
                longest = max(longest, time.monotonic() - start)
        # After a second, those who wait look for themselves.
        self.assertLess(longest, 0.7)

    def test_many_workers(self):
        """Each begins, also of those that the zygote lets wait for a moment."""
        barrier = mp.Barrier(24)
        with mp.Pool(24, tasks.remember_pair, ('barrier', barrier)) as pool:
            places = pool.map(tasks.meet_at, ['barrier'] * 24, chunksize=1)
            self.assertEqual(sorted(places), list(range(24)))

    def test_initializer(self):
        for method in METHODS:
            q = mp.Queue()
            with mp.get_context(method).Pool(1, initialize, ('told', q)) as pool:
                self.assertEqual(pool.apply(tasks.recall, ('name',)), 'told')
                self.assertEqual(q.get(timeout=10), 'ready')

    def test_initializer_fails(self):
        for method in METHODS:
            with mp.get_context(method).Pool(2, tasks.fail, ('not today',)) as pool:
                with self.assertRaisesRegex(Exception, 'not today'):
                    pool.map(tasks.square, range(100))

    def test_main_functions_by_both_methods(self):
        for method in METHODS:
            with mp.get_context(method).Pool(2) as pool:
                self.assertEqual(pool.map(in_main, range(10)), list(range(1, 11)))

    def test_max_tasks(self):
        with mp.Pool(1, maxtasksperchild=2) as pool:
            pids = pool.map(tasks.own_pid, range(6), chunksize=1)
            self.assertEqual(len(set(pids)), 3)
            self.assertEqual(pids[0::2], pids[1::2])

    def test_max_attempts(self):
        with mp.Pool(2, max_attempts=2) as pool:
            path = f'/tmp/mp-test-attempts-{os.getpid()}'
            try:
                self.assertEqual(pool.apply(die_once, (path,)), 'second time')
            finally:
                os.unlink(path)

    def test_close(self):
        pool = mp.Pool(2)
        with self.assertRaises(ValueError):
            pool.join()
        results = [pool.apply_async(tasks.slow_square, (number,)) for number in range(8)]
        pids = [worker.pid for worker in pool._pool]
        self.assertEqual(len(pids), 2)
        pool.close()
        pool.close()
        for call in (pool.apply, pool.map, pool.imap, pool.imap_unordered, pool.starmap_async):
            with self.assertRaises(ValueError):
                call(tasks.square, (1,))
        pool.join()
        self.assertTrue(all(result.ready() for result in results))
        self.assertEqual([result.get() for result in results], [n * n for n in range(8)])
        self.assertFalse([pid for pid in pids if tasks.is_alive(pid)])
        with self.assertRaises(ValueError):
            with pool:
                pass

    def test_terminate(self):
        pool = mp.Pool(2)
        results = pool.map_async(time.sleep, [0.1] * 10000, chunksize=1)
        running = pool.apply_async(tasks.wait_for_ever)
        start = time.monotonic()
        pool.terminate()
        pool.terminate()
        pool.join()
        self.assertLess(time.monotonic() - start, 3)
        for result in (results, running):
            with self.assertRaises(mp.CancelledError):
                result.get(10)
        with self.assertRaises(ValueError):
            pool.map(tasks.square, [1])

    def test_terminate_by_sigterm(self):
        for method in ('forkserver', 'spawn', 'fork'):
            # One that leaves, and one that does not.
            for grace, ignore in ((60, False), (0.1, True)):
                path = tasks.temporary_file(self)
                code, _, err = tasks.run_script('''
                    import sys
                    method, grace, path, ignore, folder = sys.argv[1:]
                    sys.path.insert(0, folder)
                    import tasks
                    import multiprocessing_gi as mp

                    if __name__ == '__main__':
                        pool = mp.get_context(method).Pool(1, kill_grace=float(grace))
                        pool.apply_async(tasks.wait_for_sigterm, (path, ignore == 'True'))
                        assert tasks.wait_until(lambda: tasks.text_of(path) == 'ready', 50)
                        pool.terminate()
                        pool.join()
                ''', method, str(grace), path, str(ignore), os.path.dirname(tasks.__file__))
                self.assertEqual(code, 0, err)
                if not ignore:
                    self.assertEqual(tasks.text_of(path), 'handled', method)

    def test_with(self):
        with mp.Pool(1) as pool:
            result = pool.apply_async(tasks.wait_for_ever)
        with self.assertRaises(mp.CancelledError):
            result.get(10)
        pool.join()

    def test_dropped(self):
        pool = mp.Pool(1)
        pid = pool.apply(tasks.own_pid)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            del pool
            gc.collect()
        self.assertTrue(any(issubclass(entry.category, ResourceWarning) for entry in caught))
        del caught  # the warnings hold the pool
        self.assertTrue(tasks.wait_until(lambda: not tasks.is_alive(pid)))

    def test_worker_killed_from_outside(self):
        killed = set()

        def fresh():
            return [worker.pid for worker in pool._pool if worker.pid not in killed]

        with mp.Pool(2) as pool:
            for _ in range(5):
                # The pool may not have seen yet that the last one is gone.
                self.assertTrue(tasks.wait_until(fresh))
                pid = fresh()[0]
                os.kill(pid, 9)
                killed.add(pid)
                self.assertEqual(len(pool.map(tasks.own_pid, range(100))), 100)
            self.assertTrue(tasks.wait_until(lambda: len(pool._pool) == 2))

    def test_in_a_child(self):
        for method in METHODS:
            q = mp.Queue()
            process = mp.get_context(method).Process(target=use_pool, args=(q,))
            process.start()
            self.assertEqual(q.get(timeout=30), [0, 1, 4])
            process.join()
            self.assertEqual(process.exitcode, 0)

    def test_workers_are_daemons(self):
        with mp.Pool(1) as pool:
            with self.assertRaisesRegex(AssertionError, 'daemonic'):
                pool.apply(use_pool, (None,))

    def test_what_a_worker_is(self):
        for method, name in (('forkserver', 'ForkServer'), ('spawn', 'Spawn'), ('fork', 'Fork')):
            with mp.get_context(method).Pool(1) as pool:
                self.assertEqual(pool.apply(tell_about_worker),
                                 (True, f'{name}PoolWorker-1', f'{name}Process'))

    def test_subclass(self):
        class Loud(mp.Pool):
            def map(self, *args):
                return ['loud'] + super().map(*args)

        with Loud(1) as pool:
            self.assertEqual(pool.map(tasks.square, [2]), ['loud', 4])


def initialize(name, q):
    """An initializer with two arguments."""
    tasks.remember(name=name)
    q.put('ready')


def tell_about_worker():
    """What a worker knows of itself."""
    current = mp.current_process()
    return current.daemon, current.name, type(current).__name__


def use_pool(q):
    """Make a pool of its own."""
    with mp.Pool(2) as pool:
        q.put(pool.map(tasks.square, range(3)))


def die_once(path):
    """Be killed the first time."""
    if not os.path.exists(path):
        with open(path, 'w', encoding='utf-8'):
            pass
        tasks.die()
    return 'second time'


if __name__ == '__main__':
    unittest.main()
