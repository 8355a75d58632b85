# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Every task has a fate, and one task's fate is nobody else's.

With multiprocessing, most of what is tried here makes a caller wait for ever.
"""

import ctypes
import os
import pickle
import signal
import unittest

import multiprocessing_gi as mp
from multiprocessing_gi.futures import ProcessPoolExecutor
from multiprocessing_gi.pool import MaybeEncodingError

import tasks

METHODS = ('forkserver', 'spawn', 'fork')
N_GOOD = 4
GOOD = [n * n for n in range(N_GOOD)]
MEMORY = 80 << 20


def segfault():
    """Read where nothing is."""
    ctypes.string_at(8)


def give_up():
    """Call abort()."""
    os.abort()


def raise_generator_exit():
    """Raise another exception that is no Exception."""
    raise GeneratorExit('odd')


def fail_with_cause():
    """Raise with a cause that cannot be pickled."""
    try:
        tasks.fail_unpicklable()
    except tasks.UnpicklableError as error:
        raise ValueError('with a cause') from error


class TextlessError(Exception):
    """Has no text."""

    def __str__(self):
        raise RuntimeError('no text')

    __repr__ = __str__


def fail_without_text():
    """Raise what cannot be shown."""
    raise TextlessError


class FailsWhenUnpickled:
    """Arrives nowhere."""

    def __reduce__(self):
        return tasks.fail, ('not to be unpickled',)


def give_what_fails_when_unpickled():
    """Return what arrives nowhere."""
    return FailsWhenUnpickled()


def eat():
    """Take more memory than a worker may have, and keep it."""
    eaten = bytearray(b'x' * 2 * MEMORY)
    tasks.wait_for_ever(eaten)


# Function, arguments; what get() raises, and what its text has; what the future of an
# executor raises, if it is something else.
FATES = (
    (tasks.fail, ('what happened',), ValueError, '^what happened$'),
    (fail_with_cause, (), ValueError, '^with a cause$'),
    (tasks.leave, (0,), mp.TaskError, r'sys\.exit\(0\)', SystemExit),
    (tasks.leave, (3,), mp.TaskError, r'sys\.exit\(3\)', SystemExit),
    (tasks.leave, ('text',), mp.TaskError, r"sys\.exit\('text'\)", SystemExit),
    (tasks.interrupt, (), mp.TaskError, 'KeyboardInterrupt', KeyboardInterrupt),
    (raise_generator_exit, (), mp.TaskError, 'GeneratorExit: odd', GeneratorExit),
    (tasks.leave_at_once, (0,), mp.WorkerDiedError, '(code|status) 0'),
    (tasks.leave_at_once, (7,), mp.WorkerDiedError, '(code|status) 7'),
    (tasks.die, (signal.SIGKILL,), mp.WorkerDiedError, 'signal 9'),
    (tasks.die, (signal.SIGTERM,), mp.WorkerDiedError, 'signal 15'),
    (segfault, (), mp.WorkerDiedError, 'signal 11'),
    (give_up, (), mp.WorkerDiedError, 'signal 6'),
    (tasks.square, (tasks.Unpicklable(),), RuntimeError, 'not to be pickled'),
    (tasks.square, (FailsWhenUnpickled(),), ValueError, 'not to be unpickled'),
    (tasks.square, (tasks.ExitsWhenUnpickled(),), mp.TaskError, r'sys\.exit\(1\)', SystemExit),
    (tasks.unpicklable_result, (), MaybeEncodingError, 'lambda',
     (AttributeError, pickle.PicklingError)),
    (give_what_fails_when_unpickled, (), ValueError, 'not to be unpickled'),
    (tasks.fail_unpicklable, (), MaybeEncodingError, 'not to be pickled'),
    (tasks.fail_one_way, (), mp.TaskError, 'OneWayError: first.*cannot be unpickled'),
    (fail_without_text, (), TextlessError, None),
    (eat, (), mp.LimitError, 'MiB that it may have'),
)


def call(function, arguments):
    """One of the above, out of a starmap()."""
    return function(*arguments)


def call_item(item):
    """One of the above, out of a map()."""
    return call(*item)


# How they are called: each gives a function that gives the results of all items but the
# last, and then raises what that one raises.

def by_apply(pool, items):
    results = [pool.apply_async(call, item) for item in items]
    return lambda: [result.get(60) for result in results]


def by_map(pool, items):
    result = pool.map_async(call_item, items, 1)
    return lambda: result.get(60)


def by_starmap(pool, items):
    result = pool.starmap_async(call, items, 1)
    return lambda: result.get(60)


def by_imap(pool, items):
    iterator = pool.imap(call_item, items)
    return lambda: [iterator.next(60) for _ in items]


def by_imap_unordered(pool, items):
    iterator = pool.imap_unordered(call_item, items)

    def get():
        values, caught = [], []
        for _ in items:
            try:
                values.append(iterator.next(60))
            except Exception as error:
                caught.append(error)
        if sorted(values) != GOOD or len(caught) != 1:
            raise AssertionError(f'{values}, {caught}')
        raise caught[0]
    return get


def by_submit(executor, items):
    futures = [executor.submit(call, *item) for item in items]
    return lambda: [future.result(60) for future in futures]


def by_executor_map(executor, items):
    iterator = executor.map(call, *zip(*items), timeout=60)
    return lambda: list(iterator)


POOL_CALLS = (by_apply, by_map, by_starmap, by_imap, by_imap_unordered)
EXECUTOR_CALLS = (by_submit, by_executor_map)


class TestFates(unittest.TestCase):
    """All of them, among tasks that do what they should."""

    def check(self, fate, get, kind=None):
        function, arguments, usual_kind, words = fate[:4]
        with self.subTest(function.__name__, arguments=arguments):
            with self.assertRaises(kind or usual_kind) as caught:
                get()
            if words is not None and not issubclass(type(caught.exception), kind or ()):
                self.assertRegex(str(caught.exception), words)

    def check_calls(self, calls, target, fates):
        """Each fate by each call, all at the same time."""
        good = [(tasks.square, (n,)) for n in range(N_GOOD)]
        begun = [(by, fate, by(target, [*good, fate[:2]])) for by in calls for fate in fates]
        for by, fate, get in begun:
            with self.subTest(by=by.__name__):
                self.check(fate, get, fate[4] if by in EXECUTOR_CALLS and fate[4:] else None)
        self.assertEqual(by_map(target, good)() if calls is POOL_CALLS
                         else by_executor_map(target, good)(), GOOD)

    def test_pool(self):
        for method in METHODS:
            with self.subTest(method=method), \
                    mp.get_context(method).Pool(3, worker_memory_limit=MEMORY) as pool:
                self.check_calls(POOL_CALLS, pool, FATES)
                self.assertTrue(tasks.wait_until(lambda pool=pool: len(pool._pool) == 3))
                pool.close()
                pool.join()

    def test_executor(self):
        """An executor has no limits to give; what its calls raise of themselves comes whole."""
        for method in METHODS:
            with self.subTest(method=method), \
                    ProcessPoolExecutor(3, mp.get_context(method)) as executor:
                self.check_calls(EXECUTOR_CALLS, executor,
                                 [fate for fate in FATES if fate[0] is not eat])

    def test_callbacks(self):
        with mp.Pool(2, worker_memory_limit=MEMORY) as pool:
            seen = {}
            results = []
            for number, (function, arguments, *_) in enumerate(FATES):
                results.append(pool.apply_async(
                    function, arguments,
                    error_callback=lambda error, number=number: seen.update({number: error})))
            for result in results:
                result.wait(60)
            pool.close()
            pool.join()
            self.assertEqual(sorted(seen), list(range(len(FATES))))
            for number, fate in enumerate(FATES):
                self.assertIsInstance(seen[number], fate[2])

    def test_map(self):
        """The rest of the map is done, and the error is the only outcome."""
        counter = mp.Value('i', 0)
        with mp.Pool(2, remember_counter, (counter,), worker_memory_limit=MEMORY) as pool:
            for fate in FATES:
                counter.value = 0
                items = [fate[:2], *[(count, ())] * N_GOOD]
                self.check(fate, lambda items=items: pool.starmap_async(call, items, 1).get(60))
                self.assertEqual(counter.value, N_GOOD if is_picklable(fate[:2]) else 0)

    def test_reaped_by_somebody_else(self):
        """Who ignores SIGCHLD, or waits for any child, changes no exit code."""
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            for method in METHODS[:2]:
                context = mp.get_context(method)
                processes = [context.Process(target=tasks.leave, args=(n,)) for n in (0, 7)]
                processes.append(context.Process(target=tasks.die))
                for process in processes:
                    process.start()
                try:
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
                except ChildProcessError:
                    pass
                for process, code in zip(processes, (0, 7, -9)):
                    process.join(60)
                    self.assertEqual(process.exitcode, code)
                with context.Pool(1) as pool:
                    self.check(FATES[9], lambda pool=pool: pool.apply(tasks.die))
        finally:
            signal.signal(signal.SIGCHLD, before)


def is_picklable(obj):
    """Whether it can be sent at all."""
    try:
        pickle.dumps(obj)
    except RuntimeError:
        return False
    return True


_COUNTER = []


def remember_counter(counter):
    """An initializer."""
    _COUNTER.append(counter)


def count():
    """Count one more."""
    with _COUNTER[0].get_lock():
        _COUNTER[0].value += 1


if __name__ == '__main__':
    unittest.main()
