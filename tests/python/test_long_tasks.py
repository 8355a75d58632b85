# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pools with long arguments and results, which lie in shared memory."""

import array
import gc
import itertools
import mmap
import os
import pickle
import resource
import signal
import threading
import unittest
import warnings

import numpy

import multiprocessing_gi as mp
import tasks
from multiprocessing_gi._payloads import Supply
from multiprocessing_gi._primitives import ACCELERATED
from multiprocessing_gi.futures import ProcessPoolExecutor
from multiprocessing_gi.pool import MapResult

LONG = 1 << 20
KEPT = []
# With these the allocator touches what it gives.
MALLOC_VARIABLES = "MALLOC_PERTURB_", "MALLOC_CHECK_"


def echo(*args, **kwds):
    """What it got, or all of it."""
    return args[0] if len(args) == 1 and not kwds else (args, kwds)


def is_same(one, other):
    """Whether they are one object."""
    return one is other


def is_inside(one, other):
    """Whether one of them is what the other one has as its first."""
    return one is other[0] if type(other) in (list, dict) else one[0] is other


def as_buffer(data):
    """A PickleBuffer of its argument."""
    return pickle.PickleBuffer(data)


def pair(data):
    """What it got, twice."""
    return data, data


def add_one(numbers):
    """The same array, changed in place."""
    numbers += 1
    return numbers


def keep(numbers):
    """Has the argument in this process from now on."""
    KEPT.append(numbers)
    return len(KEPT)


def sum_of_kept():
    """Of what was kept."""
    return [float(numbers.sum()) for numbers in KEPT]


def spoil_and_die(numbers):
    """Writes over its argument, and is killed unless it is the last attempt."""
    before = float(numbers.sum())
    numbers[:] = -1
    if mp.current_task().attempt < 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return before


def die(_data):
    """Is killed with its argument in its hands."""
    os.kill(os.getpid(), signal.SIGKILL)


def fork_and_write(numbers):
    """The sum of its argument, after a child has written it."""
    pid = os.fork()
    if pid == 0:
        numbers += 1
        os._exit(0)
    os.waitpid(pid, 0)
    return numbers.sum()


def read_or_measure(item):
    """A byte from a descriptor, or the length of anything else."""
    return os.read(item, 1) if isinstance(item, int) else len(item)


def fail(data):
    """Raises what it got."""
    raise ValueError(data)


def limit_files(length):
    """Lets this process write files of that length only."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (length << 20, hard))


def open_all():
    """Leaves no descriptor."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            KEPT.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return len(KEPT)


def count_faults():
    """How many pages this process has had to be given."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def has_huge_pages():
    """Whether the system gives them to who asks."""
    size = 16 * LONG
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        try:
            memory.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            return False
        before = count_faults()
        for place in range(0, size, mmap.PAGESIZE):
            memory[place] = 1
        return count_faults() - before < size // mmap.PAGESIZE // 2


def memory_in_files():
    """The bytes of all the memory files that this process has open."""
    seen = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.stat(f"/proc/self/fd/{name}")
            if os.readlink(f"/proc/self/fd/{name}").startswith("/memfd:"):
                seen[status.st_dev, status.st_ino] = status.st_blocks * 512
        except OSError:
            pass
    return sum(seen.values())


class TestForked(unittest.TestCase):
    """What arrived, in a child of fork(): a copy, as it is of everything else."""

    def arrivals(self, pool):
        """Arrays that arrived in each way, and how to have more of them."""
        numbers, queue = numpy.arange(LONG // 8, dtype="f8"), mp.Queue()
        reader, writer = mp.Pipe(False)

        def by_queue():
            queue.put(numbers)
            return queue.get()

        def by_pipe():
            threading.Thread(target=writer.send, args=(numbers,)).start()
            return reader.recv()

        return {"apply": lambda: pool.apply(echo, (numbers,)),
                "map": lambda: pool.map(echo, [numbers], chunksize=1)[0],
                "queue": by_queue, "pipe": by_pipe,
                "bytearray": lambda: numpy.frombuffer(pool.apply(echo, (bytearray(numbers),)))}

    def check(self, arrive, fork):
        """What child and parent see when each writes, and the parent has more of them."""
        numbers, expected = arrive(), numpy.arange(LONG // 8)
        here, there = mp.Pipe()

        def child():
            numbers[:1000] = -1
            there.send(None)
            there.recv()
            there.send(((numbers[:1000] == -1).all(), (numbers == expected)[1000:].all()))

        join = fork(child)
        try:
            here.recv()
            self.assertTrue((numbers == expected).all())
            numbers[:] = -2
            del numbers
            for _ in range(3):
                arrive()[:] = -3
        finally:
            here.send(None)
            seen = here.recv()
            self.assertEqual(join(), 0)
        self.assertEqual(seen, (True, True))
        self.assertTrue((arrive() == expected).all())

    def test_fork(self):
        def fork(child):
            pid = os.fork()
            if pid == 0:
                try:
                    child()
                    os._exit(0)
                finally:
                    os._exit(1)
            return lambda: os.waitpid(pid, 0)[1]

        with mp.Pool(1) as pool:
            for way, arrive in self.arrivals(pool).items():
                with self.subTest(way=way):
                    self.check(arrive, fork)

    def test_process(self):
        def fork(child):
            process = mp.get_context("fork").Process(target=child)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            return lambda: process.join() or process.exitcode

        with mp.Pool(1) as pool:
            for way, arrive in self.arrivals(pool).items():
                with self.subTest(way=way):
                    self.check(arrive, fork)

    def test_in_worker(self):
        numbers = numpy.zeros(LONG // 8)
        with mp.Pool(1) as pool:
            self.assertEqual(pool.apply(fork_and_write, (numbers,)), 0)

    def test_memory(self):
        with mp.Pool(1) as pool:
            numbers = pool.apply(echo, (numpy.ones(LONG),))
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            # It is the one of the argument that is kept for the next.
            self.assertLess(memory_in_files(), 2 * numbers.nbytes)
            self.assertEqual(numbers.sum(), LONG)


class TestLongTasks(unittest.TestCase):
    """Long arguments and results of one pool."""

    def setUp(self):
        self.pool = mp.Pool(2)
        self.addCleanup(lambda: self.pool.terminate())

    def test_same_object_twice(self):
        """What is there twice in a call is one object in the worker, and in the result."""
        for data in (bytearray(LONG), array.array("d", bytes(LONG)), numpy.zeros(LONG)):
            with self.subTest(kind=type(data)):
                self.assertTrue(self.pool.apply(is_same, (data, data)))
                one, other = self.pool.apply(pair, (data,))
                self.assertIs(one, other)

    def test_same_object_elsewhere(self):
        """So it is where the object is one of several in a call, and in another one of these."""
        for data in (b"b" * LONG, bytearray(LONG), array.array("d", bytes(LONG)),
                     numpy.zeros(LONG // 8)):
            with self.subTest(kind=type(data)):
                self.assertTrue(self.pool.apply(is_same, (data,), {"other": data}))
                self.assertTrue(self.pool.apply(is_inside, (data, [data])))
                self.assertTrue(self.pool.apply(is_inside, ([data], data)))
                self.assertTrue(self.pool.apply(is_inside, (data,), {"other": {0: data}}))
                self.assertEqual(self.pool.starmap(is_inside, [(data, [data])] * 2), [True] * 2)
                for value in ([data, {0: data}], ({0: data}, 1, data)):
                    got = self.pool.apply(echo, (value,))
                    self.assertTrue(is_inside(*got[:2]) if type(value) is list
                                    else is_inside(got[0], got[2]))
        value = [bytearray(LONG), None, "last"]
        value[1] = value
        got = self.pool.apply(echo, (value,))
        self.assertTrue(got[1] is got)
        self.assertEqual([got[0], got[2]], [value[0], value[2]])

    def test_pickle_buffers(self):
        """A PickleBuffer arrives as what it is in a pickle."""
        for length in 10, LONG:
            for data in b"p" * length, bytearray(b"p" * length):
                with self.subTest(length=length, kind=type(data)):
                    buffer = pickle.PickleBuffer(data)
                    for got in (self.pool.apply(echo, (buffer,)),
                                *self.pool.map(echo, [buffer] * 2, chunksize=1),
                                *self.pool.map(echo, [buffer] * 2, chunksize=2),
                                self.pool.apply(echo, (1, buffer))[0][1]):
                        self.assertEqual(got, data)
                        self.assertIs(type(got), type(data))
                    self.assertEqual(self.pool.apply(as_buffer, (data,)), data)

    def test_kinds(self):
        items = [b"x" * LONG, bytearray(b"y" * LONG), "z" * LONG, [b"a" * LONG, 1, b""],
                 list(range(LONG // 8)), (bytearray(b"q" * 32768), b"q" * 32767),
                 array.array("d", [1.5]) * LONG, {"a": b"b" * LONG}, b"", None]
        for got in (list(map(echo, items)), self.pool.map(echo, items, chunksize=1),
                    self.pool.map(echo, items, chunksize=3), list(self.pool.imap(echo, items)),
                    list(self.pool.imap(echo, iter(items))),
                    list(self.pool.imap(echo, items, chunksize=4)),
                    self.pool.starmap(echo, [(item,) for item in items]),
                    [self.pool.apply(echo, (item,)) for item in items],
                    [self.pool.apply(echo, [item]) for item in items],
                    [self.pool.apply(echo, (), {"item": item})[1]["item"] for item in items]):
            self.assertEqual(got, items)
            self.assertEqual(list(map(type, got)), list(map(type, items)))
        self.assertCountEqual(self.pool.imap_unordered(echo, [items[0], items[2]] * 50),
                              [items[0], items[2]] * 50)

    def test_many_in_one_call(self):
        args, kwds = (b"1" * LONG, 2, b"3" * LONG), {"four": bytearray(b"4" * LONG), "five": 5}
        self.assertEqual(self.pool.apply(echo, args, kwds), (args, kwds))

    def test_arrays(self):
        numbers = numpy.arange(LONG, dtype="f8")
        got = self.pool.apply(add_one, (numbers,))
        self.assertTrue((got == numbers + 1).all())
        self.assertEqual(numbers[0], 0)
        got += 1
        self.assertTrue((got == numbers + 2).all())
        for got in self.pool.imap(add_one, [numbers] * 20):
            self.assertEqual(got[-1], LONG)
        for got in self.pool.map(add_one, [(numbers)] * 5):
            self.assertEqual(got[-1], LONG)
        turned = self.pool.apply(echo, ({"turned": numbers.reshape(4, -1).T},))["turned"]
        self.assertTrue((turned == numbers.reshape(4, -1).T).all())

    def test_errors(self):
        with self.assertRaises(ValueError) as caught:
            self.pool.apply(fail, (b"e" * LONG,))
        self.assertEqual(caught.exception.args, (b"e" * LONG,))
        outcomes = []
        self.pool.apply_async(echo, (b"c" * LONG,), callback=outcomes.append).wait()
        self.assertEqual(outcomes, [b"c" * LONG])
        with self.assertRaises(Exception):
            self.pool.apply(echo, (b"c" * LONG, lambda: None))

    def test_what_a_worker_keeps(self):
        with mp.Pool(1) as pool:
            for number in range(5):
                pool.apply(keep, (numpy.full(LONG, number),))
            for _ in range(5):
                pool.apply(echo, (numpy.full(LONG, 100),))
            self.assertEqual(pool.apply(sum_of_kept), [number * LONG for number in range(5)])

    def test_results_live_on(self):
        results = [self.pool.apply(add_one, (numpy.full(LONG, number),)) for number in range(10)]
        results[3][:] = 333
        self.pool.terminate()
        self.pool.join()
        del self.pool
        gc.collect()
        for number, got in enumerate(results):
            self.assertTrue((got == (333 if number == 3 else number + 1)).all())
        self.pool = mp.Pool(1)

    def test_attempts(self):
        numbers = numpy.full(LONG, 1)
        with mp.Pool(2, max_attempts=3) as pool:
            self.assertEqual(pool.apply(spoil_and_die, (numbers,)), LONG)
            self.assertEqual(pool.map(spoil_and_die, [numbers] * 3, chunksize=1), [LONG] * 3)
            self.assertEqual(pool.apply(echo, (b"x" * LONG,)), b"x" * LONG)

    def test_killed(self):
        data = numpy.ones(LONG)
        for _ in range(10):
            with self.assertRaises(mp.WorkerDiedError):
                self.pool.apply(die, (data,))
            self.assertEqual(self.pool.apply(echo, (data,)).sum(), LONG)
        self.assertLess(memory_in_files(), 12 * data.nbytes)

    def test_memory_is_used_again(self):
        data = b"m" * LONG
        for call in (lambda: self.pool.apply(echo, (data,)),
                     lambda: [len(got) for got in self.pool.imap(echo, [data] * 3)]):
            for _ in range(200):
                call()
            self.assertLess(memory_in_files(), 32 * LONG)
        for got in self.pool.imap(echo, [data] * 200):
            self.assertEqual(got, data)
        self.assertLess(memory_in_files(), 128 * LONG)

    @unittest.skipUnless(ACCELERATED, "without the accelerator, what is sent stays mapped")
    def test_memory_stays_mapped(self):
        """What a task was sent in is at hand for the next one while the worker still has it."""
        items = [b"m" * LONG] * 100
        for _ in self.pool.imap(echo, items):
            pass
        before = count_faults()
        for got in self.pool.imap(echo, items):
            self.assertEqual(len(got), LONG)
        # A mebibyte has 256 pages.
        self.assertLess(count_faults() - before, 20 * len(items))

    @unittest.skipUnless(ACCELERATED and has_huge_pages(), "there are no huge pages to be had")
    def test_very_long_results_may_have_huge_pages(self):
        """Both kinds of pages are tried: which of them is cheaper differs."""
        code, out, err = tasks.run_script('''
            import sys
            sys.path.insert(0, sys.argv[1])
            from test_long_tasks import LONG, echo, mp

            if __name__ == '__main__':
                items = [b"h" * (8 * LONG)] * 12
                with mp.Pool(2) as pool:
                    kept = pool.map(echo, items, chunksize=1)
                    assert kept == items
                    with open('/proc/self/smaps_rollup', encoding='ascii') as file:
                        print(*(line.split()[1] for line in file if 'AnonHuge' in line))
        ''', os.path.dirname(__file__), without=MALLOC_VARIABLES)
        self.assertEqual(code, 0, err)
        self.assertGreater(int(out), 0)

    def test_closed_before_all_was_sent(self):
        """All of the input runs, whoever reads it, and little of it is under way at a time."""
        data, n = b"c" * LONG, 150
        for kind, fetches in (list, False), (iter, False), (iter, True):
            with self.subTest(kind=kind, fetches=fetches), mp.Pool(2) as pool:
                iterator, most, got = pool.imap(len, kind([data] * n)), 0, []
                pool.close()
                while iterator.gobject.get_n_done() < n:
                    most = max(most, memory_in_files())
                    if fetches:
                        got.extend(itertools.islice(iterator, 1))
                pool.join()
                self.assertEqual(got + list(iterator), [LONG] * n)
                self.assertLess(most, 48 * LONG)

    def test_closed_behind_a_slow_task(self):
        """What comes after a task that takes long runs, though no result can be fetched."""
        reader, writer = os.pipe()
        try:
            with mp.get_context("fork").Pool(2) as pool:
                iterator = pool.imap(read_or_measure, [reader] + [b"s" * LONG] * 100)
                pool.close()
                while iterator.gobject.get_n_done() < 100:
                    self.assertLess(memory_in_files(), 64 * LONG)
                os.write(writer, b"!")
                pool.join()
                self.assertEqual(list(iterator), [b"!"] + [LONG] * 100)
        finally:
            os.close(reader)
            os.close(writer)

    def test_terminated(self):
        results = [self.pool.apply_async(echo, (b"t" * LONG,)) for _ in range(50)]
        iterator = self.pool.imap(echo, [b"i" * LONG] * 100)
        next(iterator)
        self.pool.terminate()
        self.pool.join()
        for result in results:
            try:
                self.assertEqual(result.get(10), b"t" * LONG)
            except mp.CancelledError:
                pass
        with self.assertRaises(mp.CancelledError):
            for got in iterator:
                self.assertEqual(got, b"i" * LONG)
        del results, result, iterator, self.pool
        gc.collect()
        self.assertLess(memory_in_files(), LONG)
        self.pool = mp.Pool(1)

    def test_input_that_is_sent_later(self):
        data = b"l" * LONG
        result = self.pool.map_async(echo, [data] * 100, chunksize=1)
        self.assertFalse(result.ready())
        self.assertEqual(result.get(60), [data] * 100)
        seen = []
        self.pool.map_async(len, [data] * 100, chunksize=3, callback=seen.append).wait(60)
        self.assertEqual(seen, [[LONG] * 100])
        self.assertLess(memory_in_files(), 100 * LONG)
        with self.assertRaisesRegex(AttributeError, "lambda"):
            self.pool.map(echo, [data] * 50 + [lambda: None, data], chunksize=1)
        with self.assertRaises(mp.WorkerDiedError):
            self.pool.map(die, [data] * 60, chunksize=1)
        cancelled = self.pool.map_async(echo, [data] * 200, chunksize=1)
        self.assertTrue(cancelled.cancel())
        with mp.Pool(1) as pool:
            last = pool.map_async(len, [data] * 60, chunksize=1)
            pool.close()
            pool.join()
            self.assertEqual(last.get(0), [LONG] * 60)
        terminated = self.pool.map_async(echo, [data] * 1000, chunksize=1)
        self.pool.terminate()
        for result in cancelled, terminated:
            with self.assertRaises(mp.CancelledError):
                result.get(60)

    def test_cancelled_before_all_was_sent(self):
        class Job:
            """One that has the results of all that was sent, and was cancelled then."""

            take_buffer = staticmethod(lambda index: None)
            take_packed = staticmethod(lambda limit: b"")
            wait_result = wait_ready = staticmethod(lambda microseconds: True)
            get_finished = staticmethod(lambda: True)
            get_n_total = staticmethod(lambda: 0)
            get_result = end_input = staticmethod(lambda: None)

        with self.assertRaises(mp.TaskError):
            MapResult(None, Job(), 1, 0, supply=Supply([[b"n" * LONG]], 1)).get(60)

    def test_executor(self):
        with ProcessPoolExecutor(1) as executor:
            numbers = numpy.ones(LONG)
            self.assertEqual(executor.submit(add_one, numbers).result().sum(), 2 * LONG)
            self.assertEqual(executor.submit(echo, b"f" * LONG).result(), b"f" * LONG)

    def test_worker_without_room_for_files(self):
        """What it cannot give back is an error of that task alone."""
        self.check_without_room(self.pool, lambda: self.pool.map(limit_files, [1] * 8))

    def test_no_room_for_files(self):
        """So is what cannot be sent; the pool is usable then, and afterwards."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            with mp.Pool(2) as pool:
                self.check_without_room(pool, lambda: limit_files(1))
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
                self.assertEqual(pool.apply(echo, (b"r" * LONG,)), b"r" * LONG)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def check_without_room(self, pool, limit):
        """Each task is done, or fails for want of memory."""
        self.assertEqual(pool.map(abs, range(-9, 0)), list(range(9, 0, -1)))
        limit()
        for data in b"l" * LONG, numpy.zeros(LONG // 8), [b"l" * LONG, 1]:
            results = [pool.apply_async(echo, (data,)) for _ in range(5)]
            for result in results:
                try:
                    self.assertEqual(len(result.get()), len(data))
                except mp.LimitError as error:
                    self.assertIn("memory", str(error))
        self.assertEqual(pool.map(abs, range(-9, 0)), list(range(9, 0, -1)))

    def test_worker_without_descriptors(self):
        with mp.Pool(1) as pool:
            self.assertGreater(pool.apply(open_all), 0)
            try:
                self.assertEqual(pool.apply(echo, (b"d" * LONG,)), b"d" * LONG)
            except mp.ProcessError as error:
                self.assertIn("argument", str(error))
            self.assertEqual(pool.apply(echo, (1,)), 1)


if __name__ == "__main__":
    unittest.main()
