# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""ProcessPoolExecutor, and the results of pools in asyncio."""

import asyncio
import concurrent.futures
import gc
import itertools
import multiprocessing.pool
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import unittest

import multiprocessing_gi as mp
from multiprocessing_gi.futures import BrokenProcessPool, ProcessPoolExecutor, WorkerDiedError

import tasks

HERE = os.path.dirname(os.path.abspath(__file__))


class ExecutorTest(unittest.TestCase):
    """With one executor for all."""

    @classmethod
    def setUpClass(cls):
        cls.executor = ProcessPoolExecutor(2)

    @classmethod
    def tearDownClass(cls):
        cls.executor.shutdown()

    def start_blockers(self):
        """Keep both workers busy until the file that is returned is removed."""
        path = tasks.temporary_file(self)
        blockers = [self.executor.submit(tasks.wait_while_exists, path) for _ in range(2)]
        self.assertTrue(tasks.wait_until(lambda: all(each.running() for each in blockers)))
        return path, blockers


class TestCalls(ExecutorTest):
    """One call and many."""

    def test_submit(self):
        future = self.executor.submit(tasks.add, 5, right=6)
        self.assertIsInstance(future, concurrent.futures.Future)
        self.assertEqual(future.result(30), 11)
        self.assertIsNone(future.exception())
        self.assertTrue(future.done() and not future.running() and not future.cancelled())
        seen = []
        future.add_done_callback(seen.append)
        self.assertEqual(seen, [future])

    def test_map(self):
        for chunksize in (1, 3, 1000):
            self.assertEqual(list(self.executor.map(tasks.add, range(50), range(50, 100),
                                                    chunksize=chunksize)),
                             [left + left + 50 for left in range(50)])
        self.assertEqual(list(self.executor.map(tasks.square, [])), [])
        with self.assertRaises(ValueError):
            self.executor.map(tasks.square, [1], chunksize=0)
        with self.assertRaises(TimeoutError):
            list(self.executor.map(time.sleep, [0.5], timeout=0.1))
        with self.assertRaisesRegex(ValueError, 'it is 3'):
            list(self.executor.map(tasks.fail_at_three, range(10)))

    def test_map_reads_within_bounds(self):
        read = []

        def items():
            for number in itertools.count():
                read.append(number)
                yield number

        for chunksize in (1, 3):
            del read[:]
            results = self.executor.map(tasks.square, items(), chunksize=chunksize, buffersize=4)
            self.assertEqual(read[-1], 4 * chunksize - 1)
            self.assertEqual([next(results) for _ in range(30)], [n * n for n in range(30)])
            self.assertLess(read[-1], 30 + 5 * chunksize)
            results.close()
        self.assertEqual(list(self.executor.map(tasks.square, range(3), buffersize=9)), [0, 1, 4])
        with self.assertRaises(TimeoutError):
            list(self.executor.map(time.sleep, [0.5], timeout=0.1, buffersize=1))
        for size, kind in ((0, ValueError), (1.5, TypeError)):
            with self.assertRaises(kind):
                self.executor.map(tasks.square, [1], buffersize=size)

    def test_all_at_once(self):
        futures = [self.executor.submit(tasks.square, number) for number in range(1000)]
        done, not_done = concurrent.futures.wait(futures, 60)
        self.assertEqual((len(done), len(not_done)), (1000, 0))
        self.assertEqual(sorted(each.result() for each in
                                concurrent.futures.as_completed(futures)),
                         [number * number for number in range(1000)])

    def test_callbacks_can_submit(self):
        seen = []
        event = threading.Event()

        def again(future):
            second = self.executor.submit(tasks.square, future.result())
            second.add_done_callback(lambda last: (seen.append(last.result()), event.set()))

        self.executor.submit(tasks.square, 3).add_done_callback(again)
        self.assertTrue(event.wait(30))
        self.assertEqual(seen, [81])

    def test_cancel(self):
        path, blockers = self.start_blockers()
        queued = self.executor.submit(tasks.square, 2)
        self.assertFalse(queued.running() or queued.done())
        self.assertTrue(queued.cancel())
        self.assertTrue(queued.cancel() and queued.cancelled())
        with self.assertRaises(concurrent.futures.CancelledError):
            queued.result(0)
        self.assertFalse(blockers[0].cancel())
        self.assertRegex(repr(blockers[0]), '^<Future at 0x.* state=running>$')
        os.unlink(path)
        done, _ = concurrent.futures.wait([queued, *blockers], 30)
        self.assertEqual(len(done), 3)
        self.assertFalse(blockers[0].cancel())

    def test_timeout(self):
        path, blockers = self.start_blockers()
        with self.assertRaises(TimeoutError):
            blockers[0].result(0.05)
        os.unlink(path)
        self.assertIsNone(blockers[0].result(30))

    def test_workers_may_have_children(self):
        self.assertEqual(self.executor.submit(use_child).result(30), 0)

    def test_arguments(self):
        for call in (lambda: ProcessPoolExecutor(0), lambda: ProcessPoolExecutor(-1),
                     lambda: ProcessPoolExecutor(1, max_tasks_per_child=0)):
            with self.assertRaises(ValueError):
                call()
        for call in (lambda: ProcessPoolExecutor(1, initializer='x'),
                     lambda: ProcessPoolExecutor(1, max_tasks_per_child='x')):
            with self.assertRaises(TypeError):
                call()


class TestFates(ExecutorTest):
    """What does not return a value is the fate of one call."""

    def test_exception(self):
        error = self.executor.submit(tasks.fail, 'what happened').exception(30)
        self.assertEqual(repr(error), repr(ValueError('what happened')))
        self.assertIs(type(error.__cause__), concurrent.futures.process._RemoteTraceback)
        self.assertIn('raise ValueError(message)', str(error.__cause__))

    def test_exits(self):
        error = self.executor.submit(tasks.leave, 3).exception(30)
        self.assertIsInstance(error, SystemExit)
        self.assertEqual(error.code, 3)
        self.assertIsInstance(self.executor.submit(tasks.interrupt).exception(30),
                              KeyboardInterrupt)

    def test_deaths(self):
        before = self.executor.submit(tasks.own_pid).result(30)
        path, blockers = self.start_blockers()
        futures = [self.executor.submit(tasks.square, number) for number in range(20)]
        dying = [self.executor.submit(*call) for call in (
            (tasks.die,), (tasks.leave_at_once, 7), (tasks.die, 11))]
        os.unlink(path)
        for future, words in zip(dying, ('signal 9', '7', 'signal 11')):
            with self.assertRaisesRegex(WorkerDiedError, words) as caught:
                future.result(30)
            for kind in (BrokenProcessPool, mp.WorkerDiedError, RuntimeError, mp.ProcessError):
                self.assertIsInstance(caught.exception, kind)
        self.assertEqual([each.result(30) for each in futures],
                         [number * number for number in range(20)])
        self.assertEqual([each.result(30) for each in blockers], [None, None])
        self.assertTrue(before)
        self.assertEqual(self.executor.submit(tasks.square, 3).result(30), 9)

    def test_what_cannot_be_pickled(self):
        for call, kind, words in (
                ((tasks.square, tasks.Unpicklable()), RuntimeError, 'not to be pickled'),
                ((lambda: None,), (AttributeError, pickle.PicklingError), ''),
                ((tasks.unpicklable_result,), (AttributeError, pickle.PicklingError), ''),
                ((tasks.fail_unpicklable,), multiprocessing.pool.MaybeEncodingError, ''),
                ((tasks.fail_one_way,), mp.TaskError, 'OneWayError: first.*cannot be'),
                ((tasks.exits_when_unpickled,), SystemExit, '')):
            with self.assertRaisesRegex(kind, words):
                self.executor.submit(*call).result(30)
        self.assertEqual(self.executor.submit(tasks.square, 3).result(30), 9)


def use_child():
    """Start a process, in a worker."""
    process = mp.Process(target=tasks.nothing)
    process.start()
    process.join()
    return process.exitcode


class TestLife(unittest.TestCase):
    """From the first call to the last."""

    def test_shutdown(self):
        for method in ('forkserver', 'spawn', 'fork'):
            executor = ProcessPoolExecutor(2, mp.get_context(method))
            self.assertIsNone(executor.gobject)
            futures = [executor.submit(tasks.slow_square, number) for number in range(6)]
            pids = executor.gobject.get_worker_pids()
            executor.shutdown()
            executor.shutdown()
            self.assertEqual([each.result(0) for each in futures], [n * n for n in range(6)])
            self.assertFalse([pid for pid in pids if tasks.is_alive(pid)])
            with self.assertRaisesRegex(RuntimeError, 'after shutdown'):
                executor.submit(tasks.nothing)
        ProcessPoolExecutor(2).shutdown()

    def test_context_of_the_standard_library(self):
        with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as executor:
            self.assertEqual(executor.submit(tasks.start_method).result(30), 'spawn')

    def test_shutdown_without_waiting(self):
        executor = ProcessPoolExecutor(1)
        futures = [executor.submit(tasks.slow_square, number) for number in range(4)]
        executor.shutdown(wait=False)
        self.assertEqual([each.result(30) for each in futures], [0, 1, 4, 9])
        self.assertTrue(tasks.wait_until(lambda: not executor.gobject.get_worker_pids()))

    def test_shutdown_cancels(self):
        executor = ProcessPoolExecutor(1)
        path = tasks.temporary_file(self)
        first = executor.submit(tasks.wait_while_exists, path)
        self.assertTrue(tasks.wait_until(first.running))
        futures = [executor.submit(tasks.square, number) for number in range(100)]
        executor.shutdown(wait=False, cancel_futures=True)
        self.assertTrue(all(each.cancelled() for each in futures))
        os.unlink(path)
        executor.shutdown()
        self.assertIsNone(first.result(0))

    def test_dropped(self):
        executor = ProcessPoolExecutor(1)
        futures = [executor.submit(tasks.slow_square, number) for number in range(4)]
        pids = executor.gobject.get_worker_pids()
        del executor
        gc.collect()
        self.assertEqual([each.result(30) for each in futures], [0, 1, 4, 9])
        self.assertTrue(tasks.wait_until(lambda: not any(map(tasks.is_alive, pids))))

    def test_terminated(self):
        executor = ProcessPoolExecutor(1)
        running = executor.submit(tasks.wait_for_ever)
        self.assertTrue(tasks.wait_until(running.running))
        queued = executor.submit(tasks.nothing)
        executor.terminate_workers()
        with self.assertRaises(BrokenProcessPool):
            running.result(30)
        self.assertTrue(queued.cancelled())
        executor.shutdown()

    def test_how_workers_are_ended(self):
        for end, handled in (('terminate_workers', True), ('kill_workers', False)):
            path = tasks.temporary_file(self)
            executor = ProcessPoolExecutor(1)
            running = executor.submit(tasks.wait_for_sigterm, path)
            self.assertTrue(tasks.wait_until(lambda: tasks.text_of(path) == 'ready'))
            getattr(executor, end)()
            with self.assertRaises(BrokenProcessPool):
                running.result(30)
            executor.shutdown()
            self.assertEqual(tasks.text_of(path), 'handled' if handled else 'ready')

    def test_initializer(self):
        with ProcessPoolExecutor(1, initializer=tasks.remember_pair,
                                 initargs=('name', 'told')) as executor:
            self.assertEqual(executor.submit(tasks.recall, 'name').result(30), 'told')

    def test_initializer_fails(self):
        path = tasks.temporary_file(self)
        executor = ProcessPoolExecutor(2, initializer=fail_when_gone, initargs=(path,))
        futures = [executor.submit(tasks.nothing) for _ in range(10)]
        os.unlink(path)
        for future in futures:
            with self.assertRaisesRegex(BrokenProcessPool, 'not today') as caught:
                future.result(30)
            self.assertIsInstance(caught.exception.__cause__, mp.TaskError)
        with self.assertRaisesRegex(BrokenProcessPool, 'not today'):
            executor.submit(tasks.nothing)
        executor.shutdown()

    def test_max_tasks_per_child(self):
        with ProcessPoolExecutor(1, max_tasks_per_child=2) as executor:
            pids = list(executor.map(tasks.own_pid, range(6)))
        self.assertEqual(len(set(pids)), 3)

    def test_interpreter_exits(self):
        program = textwrap.dedent('''\
            import atexit
            import sys
            sys.path.insert(0, {here!r})
            import tasks
            from multiprocessing_gi.futures import ProcessPoolExecutor

            executor = ProcessPoolExecutor(1)
            futures = [executor.submit(tasks.slow_square, number) for number in range(3)]
            futures[2].add_done_callback(lambda future: print(future.result()))

            @atexit.register
            def submit():
                try:
                    executor.submit(tasks.nothing)
                except RuntimeError as error:
                    print(error)
        ''').format(here=HERE)
        done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertRegex(done.stdout, r'^4\ncannot schedule new futures after ')

    def test_in_a_child(self):
        for method in ('forkserver', 'spawn', 'fork'):
            process = mp.get_context(method).Process(target=use_executor)
            process.start()
            process.join(60)
            self.assertEqual(process.exitcode, 0)


def fail_when_gone(path):
    """An initializer that fails, but not yet."""
    tasks.wait_while_exists(path)
    tasks.fail('not today')


def use_executor():
    """Use an executor, and leave without shutting it down."""
    if ProcessPoolExecutor(1).submit(tasks.square, 4).result(30) != 16:
        raise ValueError


class TestAsyncio(unittest.IsolatedAsyncioTestCase):
    """An event loop that never stands still."""

    async def asyncSetUp(self):
        self.pool = mp.Pool(2)

    async def asyncTearDown(self):
        self.pool.terminate()
        self.pool.join()

    async def test_run_in_executor(self):
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(2) as executor:
            results = await asyncio.gather(*(loop.run_in_executor(executor, tasks.square, number)
                                             for number in range(50)))
            self.assertEqual(results, [number * number for number in range(50)])
            with self.assertRaises(ValueError):
                await loop.run_in_executor(executor, tasks.fail, 'x')
            path = tasks.temporary_file(self)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(
                    loop.run_in_executor(executor, tasks.wait_while_exists, path), 0.05)
            os.unlink(path)

    async def test_await(self):
        self.assertEqual(await self.pool.apply_async(tasks.square, (3,)), 9)
        self.assertEqual(await self.pool.map_async(tasks.square, range(50)),
                         [number * number for number in range(50)])
        results = [self.pool.apply_async(tasks.slow_square, (number,)) for number in range(20)]
        self.assertEqual(await asyncio.gather(*results), [number * number for number in range(20)])
        self.assertEqual(await results[3], 9)
        with self.assertRaises(ValueError):
            await self.pool.apply_async(tasks.fail, ('x',))
        with self.assertRaises(mp.WorkerDiedError):
            await self.pool.apply_async(tasks.die)
        with self.assertRaises(RuntimeError):
            await self.pool.apply_async(tasks.square, (tasks.Unpicklable(),))

    async def test_await_after_the_callback(self):
        seen = []
        self.assertEqual(await self.pool.apply_async(tasks.square, (3,), callback=seen.append), 9)
        self.assertEqual(seen, [9])

    async def test_many_waiters_for_one(self):
        path = tasks.temporary_file(self)
        result = self.pool.apply_async(tasks.wait_while_exists, (path,))

        async def wait():
            return await result

        waiters = [asyncio.create_task(wait()) for _ in range(5)]
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(wait(), 0.05)
        self.assertFalse(result.ready())
        os.unlink(path)
        self.assertEqual(await asyncio.gather(*waiters), [None] * 5)

    async def test_terminate_wakes(self):
        result = self.pool.apply_async(tasks.wait_for_ever)
        waiter = asyncio.ensure_future(self.wait_for(result))
        await asyncio.sleep(0)
        self.pool.terminate()
        with self.assertRaises(mp.CancelledError):
            await waiter

    @staticmethod
    async def wait_for(result):
        return await result

    async def test_async_for(self):
        expected = [number * number for number in range(500)]
        for items in (range(500), iter(range(500))):
            for chunksize in (1, 7):
                items = list(items)
                self.assertEqual([value async for value in
                                  self.pool.imap(tasks.square, iter(items), chunksize)], expected)
                self.assertEqual(sorted([value async for value in self.pool.imap_unordered(
                    tasks.square, items, chunksize)]), expected)
        self.assertEqual([value async for value in self.pool.imap(tasks.square, [])], [])

    async def test_async_for_with_failures(self):
        iterator = self.pool.imap(tasks.fail_at_three, range(6))
        seen = []
        while True:
            try:
                async for value in iterator:
                    seen.append(value)
                break
            except ValueError as error:
                seen.append(str(error))
        self.assertEqual(seen, [0, 1, 2, 'it is 3', 4, 5])

    async def test_the_loop_turns_meanwhile(self):
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.005)

        turning = asyncio.create_task(turn())
        async for _ in self.pool.imap_unordered(time.sleep, [0.1] * 6):
            pass
        await self.pool.apply_async(time.sleep, (0.2,))
        turning.cancel()
        self.assertGreater(turns, 20)


if __name__ == '__main__':
    unittest.main()
