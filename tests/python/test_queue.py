# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Queue and SimpleQueue."""

import pickle
import queue
import threading
import time
import unittest

from gi.repository import GLib, Mp

import multiprocessing_gi as mp

import tasks


class TestQueue(unittest.TestCase):
    """Queue, in one process and in two."""

    def test_order(self):
        q = mp.Queue()
        for number in range(1000):
            q.put(number)
        self.assertEqual([q.get() for _ in range(1000)], list(range(1000)))

    def test_objects(self):
        q = mp.Queue()
        for item in (None, b'', 'x', [1, (2,)], {'a': {1}}, tasks.square, b'x' * 3_000_000):
            q.put(item)
            self.assertEqual(q.get(), item)

    def test_bounds(self):
        q = mp.Queue(2)
        self.assertFalse(q.full())
        q.put(1)
        q.put(2, timeout=-1)
        self.assertTrue(q.full())
        for arguments in ((False,), (True, 0), (True, -1), (True, 0.05)):
            with self.assertRaises(queue.Full):
                q.put(3, *arguments)
        with self.assertRaises(queue.Full):
            q.put_nowait(3)
        self.assertEqual(q.qsize(), 2)
        self.assertEqual(q.get(timeout=-1), 1)
        self.assertEqual(q.get(False), 2)
        for arguments in ((False,), (True, 0), (True, -1), (True, 0.05)):
            with self.assertRaises(queue.Empty):
                q.get(*arguments)
        with self.assertRaises(queue.Empty):
            q.get_nowait()
        self.assertTrue(q.empty())

    def test_timeout_is_kept(self):
        q = mp.Queue()
        start = time.monotonic()
        with self.assertRaises(queue.Empty):
            q.get(timeout=0.7)
        tasks.check_timeout(self, start, 0.7)

    def test_wakes_a_waiter(self):
        q = mp.Queue(1)
        got = []
        thread = threading.Thread(target=lambda: got.append(q.get()))
        thread.start()
        q.put('x')
        thread.join(10)
        self.assertEqual(got, ['x'])
        q.put(1)
        thread = threading.Thread(target=q.put, args=(2,))
        thread.start()
        self.assertEqual(q.get(), 1)
        self.assertEqual(q.get(), 2)
        thread.join(10)

    def test_close_is_local(self):
        q = mp.Queue()
        q.put(1)
        with self.assertRaises(AssertionError):
            q.join_thread()
        q.close()
        q.close()
        q.join_thread()
        q.cancel_join_thread()
        for call in (lambda: q.put(1), q.get, q.get_nowait):
            with self.assertRaisesRegex(ValueError, 'is closed'):
                call()
        with self.assertRaises(OSError):
            q.empty()
        self.assertFalse(q.gobject.get_closed())

    def test_what_cannot_be_pickled(self):
        q = mp.Queue(1)
        with self.assertRaisesRegex(RuntimeError, 'not to be pickled'):
            q.put(tasks.Unpicklable())
        q.put(1, False)
        self.assertEqual(q.get(), 1)

    def test_only_through_inheritance(self):
        for q in (mp.Queue(), mp.SimpleQueue()):
            with self.assertRaisesRegex(RuntimeError, f'{type(q).__name__} objects should only'):
                pickle.dumps(q)
            carrier = mp.Queue()
            with self.assertRaises(RuntimeError):
                carrier.put(q)

    def test_with_c(self):
        q = mp.Queue()
        raw = q.gobject
        self.assertIsInstance(raw, Mp.raw.Queue)
        raw.put(GLib.Variant('(sx)', ('a', 1)), -1, None)
        raw.put_payload(b'bytes', Mp.Codec.RAW, -1, None)
        raw.put_payload(b'[1, {"a": null}]', Mp.Codec.JSON, -1, None)
        self.assertEqual(q.get(), ('a', 1))
        self.assertEqual(q.get(), b'bytes')
        self.assertEqual(q.get(), [1, {'a': None}])
        raw.close()
        with self.assertRaises(ValueError):
            q.put(1)
        with self.assertRaises(ValueError):
            q.get()

    def test_in_children(self):
        for method in mp.get_all_start_methods():
            with self.subTest(method):
                context = mp.get_context(method)
                there, back = context.Queue(), context.SimpleQueue()
                process = context.Process(target=tasks.echo, args=(there, back))
                process.start()
                for item in (1, 'x', None):
                    there.put(item)
                self.assertEqual(back.get(), (1, 1))
                self.assertEqual(back.get(), ('x', 'x'))
                process.join()
                self.assertEqual(process.exitcode, 0)

    def test_outlives_a_killed_user(self):
        q = mp.Queue()
        process = mp.Process(target=tasks.echo, args=(q, q))
        process.start()
        process.kill()
        process.join()
        q.put('x')
        self.assertEqual(q.get(timeout=10), 'x')

    def test_subclass(self):
        q = Labelled('name')
        q.put(1)
        process = mp.Process(target=use_labelled, args=(q,))
        process.start()
        process.join()
        self.assertEqual(q.get(timeout=10), ('name', 1))
        self.assertEqual(q.label, 'name')

    def test_many_producers_and_consumers(self):
        q, results = mp.Queue(50), mp.Queue()
        producers = [mp.Process(target=tasks.put, args=(q, *range(at, at + 200)))
                     for at in range(0, 800, 200)]
        consumers = [mp.Process(target=tasks.echo, args=(q, results)) for _ in range(3)]
        for process in producers + consumers:
            process.start()
        for process in producers:
            process.join()
        got = sorted(results.get(timeout=10)[0] for _ in range(800))
        self.assertEqual(got, list(range(800)))
        for _ in consumers:
            q.put(None)
        for process in consumers:
            process.join()

    def test_generic(self):
        self.assertEqual(mp.Queue[int].__origin__, mp.Queue)


class TestMany(unittest.TestCase):
    """put_many() and get_many()."""

    def test_room_for_many(self):
        """Who waits for more room than one item needs sleeps, and has its turn."""
        q = mp.Queue(10)
        q.put_many(range(5))
        start = time.thread_time()
        with self.assertRaises(queue.Full):
            q.put_many(range(8), timeout=0.5)
        self.assertLess(time.thread_time() - start, 0.25)
        thread = threading.Thread(target=q.put_many, args=(range(10, 20),))
        thread.start()
        end = time.monotonic() + 20
        with self.assertRaises(queue.Full):
            while time.monotonic() < end:
                q.put(0, False)
                q.get()
        self.assertEqual(len(q.get_many(5)), 5)
        thread.join()
        self.assertEqual(q.get_many(10), list(range(10, 20)))

    def test_order(self):
        q = mp.Queue()
        q.put_many(range(1000))
        q.put_many([])
        q.put_many(iter('ab'))
        self.assertEqual(q.qsize(), 1002)
        self.assertEqual(q.get_many(10), list(range(10)))
        self.assertEqual(q.get(), 10)
        self.assertEqual(q.get_many(10_000), [*range(11, 1000), 'a', 'b'])

    def test_all_or_none(self):
        q = mp.Queue(3)
        q.put(0)
        for arguments in ((False,), (True, 0), (True, 0.05)):
            with self.assertRaises(queue.Full):
                q.put_many([1, 2, 3], *arguments)
        self.assertEqual(q.qsize(), 1)
        q.put_many([1, 2])
        with self.assertRaisesRegex(MemoryError, '4 messages can never fit .* 3 messages'):
            q.put_many(range(4))
        with self.assertRaisesRegex(RuntimeError, 'not to be pickled'):
            q.put_many([tasks.Unpicklable()])
        self.assertEqual(q.get_many(3), [0, 1, 2])

    def test_too_long(self):
        try:
            pickles = [b'', bytes(2**32)]
        except MemoryError:
            self.skipTest('no room for a number with 32 bits')
        q = mp.Queue()
        with self.assertRaisesRegex(OverflowError, 'an item of 4294967296 bytes is too long'):
            q._try_put_many(pickles)
        self.assertTrue(q.empty())

    def test_waiting(self):
        q = mp.Queue(2)
        with self.assertRaises(queue.Empty):
            q.get_many(1, False)
        with self.assertRaises(queue.Empty):
            q.get_many(1, timeout=0.05)
        for number in (0, -1):
            with self.assertRaisesRegex(ValueError, f'not {number}'):
                q.get_many(number)
        q.put(1)
        thread = threading.Thread(target=q.put_many, args=([2, 3],))
        thread.start()
        self.assertEqual(q.get_many(5), [1])
        thread.join(10)
        self.assertEqual(q.get_many(5), [2, 3])
        thread = threading.Thread(target=lambda: q.put_many(q.get_many(2)))
        thread.start()
        q.put_many(['x', 'y'])
        thread.join(10)
        self.assertEqual(q.qsize(), 2)

    def test_other_codecs(self):
        q = mp.Queue()
        q.put_many([1, 'x' * 100])
        q.gobject.put(GLib.Variant('(sx)', ('a', 1)), -1, None)
        q.gobject.put_payload(b'', Mp.Codec.RAW, -1, None)
        self.assertEqual(q.get_many(9), [1, 'x' * 100, ('a', 1), b''])

    def test_one_that_is_broken(self):
        q = mp.Queue()
        q.put_many([1, tasks.NotToBeRead(), 2])
        with self.assertRaises(ValueError) as caught:
            q.get_many(9)
        self.assertEqual(caught.exception.objects, [1, 2])
        self.assertEqual(q.qsize(), 0)

    def test_closed(self):
        q = mp.Queue()
        q.put_many('ab')
        q.gobject.close()
        self.assertEqual(q.get_many(5), ['a', 'b'])
        for call in (lambda: q.get_many(1), lambda: q.put_many([1])):
            with self.assertRaisesRegex(ValueError, 'closed'):
                call()
        q = mp.Queue()
        q.close()
        for call in (lambda: q.get_many(1), lambda: q.put_many([1])):
            with self.assertRaisesRegex(ValueError, 'is closed'):
                call()

    def test_in_children(self):
        there, back = mp.Queue(10), mp.Queue()
        process = mp.Process(target=tasks.echo, args=(there, back))
        process.start()
        sent = list(range(500))
        for at in range(0, 500, 10):
            there.put_many(sent[at:at + 10])
        there.put(None)
        got = []
        while len(got) < 500:
            got += back.get_many(100, timeout=10)
        self.assertEqual([item for item, _ in got], sent)
        process.join()


class TestJoinableQueue(unittest.TestCase):
    """JoinableQueue."""

    def test_count(self):
        q = mp.JoinableQueue()
        q.join()
        with self.assertRaisesRegex(ValueError, 'too many'):
            q.task_done()
        q.put_many([1, 2])
        q.put(3)
        for number in (1, 2, 3):
            with self.assertRaisesRegex(mp.TimeoutError, f'{4 - number} items'):
                q.join(0)
            self.assertEqual(q.get(), number)
            q.task_done()
        q.join()
        with self.assertRaises(ValueError):
            q.task_done()

    def test_in_children(self):
        for method in mp.get_all_start_methods():
            with self.subTest(method):
                context = mp.get_context(method)
                q = context.JoinableQueue(10)
                processes = [context.Process(target=tasks.finish, args=(q, 50))
                             for _ in range(2)]
                for process in processes:
                    process.start()
                for number in range(100):
                    q.put(number)
                q.join()
                self.assertEqual(q.qsize(), 0)
                for process in processes:
                    process.join()

    def test_join_wakes(self):
        q = mp.JoinableQueue()
        q.put(1)
        threads = [threading.Thread(target=q.join) for _ in range(3)]
        for thread in threads:
            thread.start()
        q.task_done()
        for thread in threads:
            thread.join(10)
            self.assertFalse(thread.is_alive())

    def test_join_ends_with_ctrl_c(self):
        _code, out, err = tasks.run_script("""
            import multiprocessing_gi as mp, os, signal, threading
            q = mp.JoinableQueue()
            q.put(1)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                q.join()
            except KeyboardInterrupt:
                print('interrupted')
        """)
        self.assertEqual(out, 'interrupted\n', err)


class Labelled(mp.Queue):
    """A queue with an attribute."""

    def __init__(self, label):
        super().__init__(10)
        self.label = label


def use_labelled(q):
    """What a child does with it."""
    q.put((q.label, q.get()))


class TestSimpleQueue(unittest.TestCase):
    """SimpleQueue."""

    def test_simple(self):
        q = mp.SimpleQueue()
        self.assertTrue(q.empty())
        for number in range(100_000):
            q.put(number)
        self.assertFalse(q.empty())
        self.assertEqual(sum(q.get() for _ in range(100_000)), 4999950000)
        q.close()
        q.close()
        for call in (q.get, q.empty, lambda: q.put(1)):
            with self.assertRaises(OSError):
                call()


if __name__ == '__main__':
    unittest.main()
