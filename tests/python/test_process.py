# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Process, contexts, and the helpers around them."""

import gc
import logging
import os
import pickle
import resource
import select
import signal
import sys
import threading
import unittest
import weakref

from gi.repository import GLib

import multiprocessing
import multiprocessing_gi as mp

import tasks

METHODS = ('forkserver', 'spawn')


def report_self(q):
    """Tell who runs this."""
    current, parent = mp.current_process(), mp.parent_process()
    q.put((current.name, current.pid, os.getpid(), current.daemon, bytes(current.authkey),
           current._identity, parent.name, parent.pid, parent.is_alive(),
           mp.get_start_method(allow_none=True), sys.stdin.read(), os.getcwd(),
           len(mp.active_children()), threading.current_thread().name))


def start_another(q, depth):
    """Go deeper."""
    q.put(mp.current_process().name)
    if depth:
        process = mp.Process(target=start_another, args=(q, depth - 1))
        process.start()
        process.join()


def start_a_child():
    """Not allowed to daemons."""
    mp.Process(target=tasks.nothing).start()


def wait_in_thread(q):
    """End with a thread that still has to do something."""
    def later():
        threading.main_thread().join()
        q.put('done')

    threading.Thread(target=later).start()


def pass_on_environment(q):
    """Tell what is in the environment."""
    q.put((os.environ.get('MP_TEST_SET'), 'MP_TEST_UNSET' in os.environ))


def report_log_name(q):
    """Tell what %(processName)s is."""
    record = logging.LogRecord('any', logging.INFO, 'path', 1, 'text', (), None)
    q.put(record.processName)


def log_something():
    """Write to the package's log."""
    mp.get_logger().info('hello from the child')


class Subclass(mp.Process):
    """Overrides run()."""

    def __init__(self, q, value):
        super().__init__(name='sub')
        self.q, self.value = q, value

    def run(self):
        self.q.put((self.name, self.value))


class TestProcess(unittest.TestCase):
    """Process."""

    def run_one(self, target, *args, method='forkserver', **kwargs):
        """Start, join, and return the process."""
        process = mp.get_context(method).Process(target=target, args=args, **kwargs)
        process.start()
        process.join(30)
        return process

    def test_constructor(self):
        with self.assertRaises(AssertionError):
            mp.Process(1)
        with self.assertRaises(TypeError):
            mp.Process(args=5)
        with self.assertRaises(TypeError):
            mp.Process(None, None, None, (), {}, True)
        process = mp.Process(target=tasks.nothing, args=iter([1, 2]), kwargs={'a': 1})
        self.assertEqual(process._args, (1, 2))
        self.assertRegex(process.name, r'^Process-\d+$')
        self.assertIsNone(process.pid)
        self.assertIsNone(process.exitcode)
        self.assertFalse(process.is_alive())
        self.assertFalse(process.daemon)
        self.assertIn('initial', repr(process))
        self.assertTrue(mp.Process(daemon=True).daemon)
        with self.assertRaises(AssertionError):
            process.name = 5
        for call in (process.terminate, process.kill, process.interrupt,
                     lambda: process.sentinel):
            with self.assertRaises(ValueError):
                call()
        with self.assertRaises(AssertionError):
            process.join()

    def test_run_here(self):
        q = mp.Queue()
        mp.Process(target=q.put, args=(7,)).run()
        self.assertEqual(q.get(), 7)

    def test_life(self):
        for method in METHODS:
            with self.subTest(method):
                q = mp.Queue()
                process = mp.get_context(method).Process(target=q.get)
                process.start()
                self.assertTrue(process.is_alive())
                self.assertIn(process, mp.active_children())
                self.assertIsNone(process.exitcode)
                self.assertIsNone(process.join(0))
                self.assertIsNone(process.join(-5))
                self.assertIsNone(process.join(0.05))
                self.assertEqual(select.select([process.sentinel], [], [], 0)[0], [])
                self.assertIn(f'pid={process.pid}', repr(process))
                self.assertIn('started', repr(process))
                with self.assertRaises(AssertionError):
                    process.start()
                with self.assertRaises(AssertionError):
                    process.daemon = True
                with self.assertRaises(ValueError):
                    process.close()
                q.put(None)
                self.assertEqual(select.select([process.sentinel], [], [], 30)[0],
                                 [process.sentinel])
                process.join()
                process.join()
                self.assertEqual(process.exitcode, 0)
                self.assertFalse(process.is_alive())
                self.assertNotIn(process, mp.active_children())
                process.terminate()
                process.kill()
                self.assertIn('stopped exitcode=0', repr(process))
                process.close()
                process.close()
                for call in (process.start, process.join, process.terminate, process.is_alive,
                             lambda: process.pid, lambda: process.exitcode,
                             lambda: process.sentinel):
                    with self.assertRaises(ValueError):
                        call()
                self.assertIn('closed', repr(process))
                self.assertFalse(process.daemon)

    def test_in_the_child(self):
        for method in METHODS:
            with self.subTest(method):
                q = mp.Queue()
                process = self.run_one(report_self, q, method=method, name='known', daemon=True)
                (name, pid, getpid, daemon, key, identity, parent, parent_pid, parent_alive,
                 start_method, stdin, cwd, children, thread) = q.get(timeout=10)
                self.assertEqual((name, pid, getpid), ('known', process.pid, process.pid))
                self.assertTrue(daemon)
                self.assertEqual(key, mp.current_process().authkey)
                self.assertEqual(identity, process._identity)
                self.assertEqual((parent, parent_pid, parent_alive),
                                 ('MainProcess', os.getpid(), True))
                self.assertEqual(start_method, method)
                self.assertEqual((stdin, cwd, children), ('', os.getcwd(), 0))
                self.assertEqual(thread, 'MainThread')

    def test_memory_of_its_own(self):
        own = {}
        for method in METHODS:
            q = mp.SimpleQueue()
            process = mp.get_context(method).Process(target=tasks.tell_and_wait, args=(q,))
            process.start()
            q.get()
            own[method] = process.gobject.measure_memory()[-1]
            process.kill()
            process.join()
        self.assertGreater(own['forkserver'], 0)
        self.assertLess(2 * own['forkserver'], own['spawn'])

    def test_exit_codes(self):
        cases = (
            (tasks.nothing, (), 0),
            (tasks.leave, (None,), 0),
            (tasks.leave, (0,), 0),
            (tasks.leave, (False,), 0),
            (tasks.leave, (True,), 1),
            (tasks.leave, (7,), 7),
            (tasks.leave, (256,), 0),
            (tasks.leave, (-1,), 255),
            (tasks.leave, ('a text that is printed',), 1),
            (tasks.leave, ([1, 2],), 1),
            (tasks.fail, ('the traceback is printed',), 1),
            (tasks.interrupt, (), 1),
            (tasks.leave_at_once, (3,), 3),
            (tasks.die, (), -9),
            (tasks.die, (signal.SIGTERM,), -15),
        )
        with open(os.devnull, 'w', encoding='utf-8') as null:
            saved = os.dup(2)
            os.dup2(null.fileno(), 2)
            try:
                for target, args, code in cases:
                    with self.subTest(f'{target.__name__}{args}'):
                        self.assertEqual(self.run_one(target, *args).exitcode, code)
                self.assertEqual(self.run_one(tasks.leave, 'x', method='spawn').exitcode, 1)
                self.assertEqual(self.run_one(tasks.die, method='spawn').exitcode, -9)
            finally:
                os.dup2(saved, 2)
                os.close(saved)

    def test_signals(self):
        for name, code in (('terminate', -15), ('kill', -9)):
            process = mp.Process(target=tasks.wait_for_ever)
            process.start()
            getattr(process, name)()
            process.join(30)
            self.assertEqual(process.exitcode, code)
            self.assertIn(f'exitcode=-{signal.Signals(-code).name}', repr(process))

    def test_failures_of_start(self):
        process = mp.Process(target=lambda: None)
        with self.assertRaises((AttributeError, pickle.PicklingError)):
            process.start()
        self.assertEqual([child for child in mp.active_children() if child is process], [])
        # A failed start leaves this thread able to notice what is not inherited.
        with self.assertRaises(RuntimeError):
            pickle.dumps(mp.Queue())

    def test_daemons_have_no_children(self):
        with open(os.devnull, 'w', encoding='utf-8') as null:
            saved = os.dup(2)
            os.dup2(null.fileno(), 2)
            try:
                self.assertEqual(self.run_one(start_a_child, daemon=True).exitcode, 1)
            finally:
                os.dup2(saved, 2)
                os.close(saved)

    def test_depth(self):
        for method in METHODS:
            with self.subTest(method):
                q = mp.Queue()
                process = self.run_one(start_another, q, 3, method=method)
                names = [q.get(timeout=10) for _ in range(4)]
                number = process._identity[0]
                self.assertEqual(names[1:], [f'Process-{number}' + ':1' * depth
                                             for depth in (1, 2, 3)])

    def test_sees_its_parent_end(self):
        for method in ('forkserver', 'spawn', 'fork'):
            with self.subTest(method):
                q = mp.Queue()
                middle = mp.get_context(method).Process(target=tasks.start_watcher,
                                                        args=(method, q))
                middle.start()
                pid, parent_is_alive = q.get(timeout=30)
                self.assertIs(parent_is_alive, True)
                middle.kill()
                self.assertIs(q.get(timeout=30), False)
                self.assertTrue(tasks.wait_until(lambda pid=pid: not tasks.is_alive(pid)))
                middle.join()

    def test_parent_that_cannot_be_watched(self):
        """It is not taken for one that has ended."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        try:
            parent = mp.process._ParentProcess('parent', os.getpid(), False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        self.assertRaisesRegex(OSError, 'Too many open files', parent.is_alive)
        self.assertRaisesRegex(OSError, 'Too many open files', parent.join)
        self.assertIn('unknown', repr(parent))

    def test_references_are_dropped(self):
        reference = weakref.ref(target := PicklableTarget())
        process = mp.Process(target=target, args=(target,))
        del target
        process.start()
        process.join()
        gc.collect()
        self.assertIsNone(reference())

    def test_subclass(self):
        for method in METHODS:
            q = mp.Queue()
            mp.set_start_method(method, force=True)
            try:
                process = Subclass(q, [1, 2])
                process.start()
                process.join()
            finally:
                mp.set_start_method(None, force=True)
            self.assertEqual(q.get(timeout=10), ('sub', [1, 2]))

    def test_waits_for_threads(self):
        q = mp.Queue()
        process = self.run_one(wait_in_thread, q)
        self.assertEqual(process.exitcode, 0)
        self.assertEqual(q.get_nowait(), 'done')

    def test_environment(self):
        os.environ['MP_TEST_SET'] = 'now'
        os.environ.pop('MP_TEST_UNSET', None)
        try:
            for method in METHODS:
                q = mp.Queue()
                self.run_one(pass_on_environment, q, method=method)
                self.assertEqual(q.get(timeout=10), ('now', False))
        finally:
            del os.environ['MP_TEST_SET']

    def test_gobject(self):
        loop, seen = GLib.MainLoop(), []
        process = mp.Process(target=tasks.leave, args=(5,))
        self.assertIsNone(process.gobject)
        process.connect('exited', lambda *args: (seen.append(args), loop.quit()))
        process.start()
        GLib.timeout_add_seconds(20, loop.quit)
        loop.run()
        self.assertEqual(seen, [(process, 5)])
        self.assertEqual(process.props.pid, process.pid)

    def test_started_from_a_thread(self):
        q = mp.Queue()
        thread = threading.Thread(target=self.run_one, args=(tasks.put, q, 1))
        thread.start()
        thread.join()
        self.assertEqual(q.get(timeout=10), 1)

    def test_joined_by_many_threads(self):
        process = mp.Process(target=tasks.nothing)
        process.start()
        threads = [threading.Thread(target=process.join) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            self.assertFalse(thread.is_alive())
        self.assertEqual(process.exitcode, 0)


class PicklableTarget:
    """Something whose life can be watched."""

    def __call__(self, _other):
        pass


class TestContexts(unittest.TestCase):
    """Start methods, and the functions of the package."""

    def tearDown(self):
        mp.set_start_method(None, force=True)

    def test_default(self):
        self.assertEqual(mp.get_all_start_methods(), ['forkserver', 'fork', 'spawn'])
        self.assertIsNone(mp.get_start_method(allow_none=True))
        self.assertEqual(mp.get_start_method(), 'forkserver')
        self.assertEqual(mp.get_start_method(allow_none=True), 'forkserver')
        with self.assertRaises(RuntimeError):
            mp.set_start_method('forkserver')
        mp.set_start_method('spawn', force=True)
        self.assertEqual(mp.get_start_method(), 'spawn')

    def test_concrete(self):
        for method in METHODS:
            context = mp.get_context(method)
            self.assertIs(context.get_context(), context)
            self.assertEqual(context.get_start_method(), method)
            self.assertIs(context.get_context('spawn'), mp.get_context('spawn'))
            with self.assertRaises(ValueError):
                context.set_start_method(method)
            self.assertTrue(issubclass(context.TimeoutError, context.ProcessError))

    def test_names_of_the_log(self):
        for method in METHODS:
            q = mp.Queue()
            process = mp.get_context(method).Process(target=report_log_name, args=(q,))
            process.start()
            self.assertEqual(q.get(timeout=30), process.name)
            process.join()

    def test_unknown(self):
        with self.assertRaisesRegex(ValueError, 'nonsense'):
            mp.get_context('nonsense')
        with self.assertRaisesRegex(ValueError, 'nonsense'):
            mp.set_start_method('nonsense')

    def test_settings(self):
        mp.set_executable(os.fsencode(sys.executable))
        with self.assertRaises(TypeError):
            mp.set_forkserver_preload('math')
        with self.assertRaises(TypeError):
            mp.set_forkserver_preload([1])
        self.assertIsNone(mp.freeze_support())
        self.assertEqual(mp.cpu_count(), os.cpu_count())

    def test_exceptions_are_the_standard_ones(self):
        for name in ('ProcessError', 'TimeoutError', 'BufferTooShort', 'AuthenticationError'):
            self.assertIs(getattr(mp, name), getattr(multiprocessing, name))
        self.assertTrue(issubclass(mp.WorkerDiedError, mp.ProcessError))

    def test_main_process(self):
        main = mp.current_process()
        self.assertEqual((main.name, main.pid, main._identity), ('MainProcess', os.getpid(), ()))
        self.assertTrue(main.is_alive())
        self.assertIsNone(mp.parent_process())
        main.close()
        with self.assertRaises(TypeError):
            pickle.dumps(main.authkey)

    def test_names(self):
        for name in mp.__all__:
            self.assertTrue(hasattr(mp, name), name)

    def test_override(self):
        from gi.repository import Mp
        self.assertIs(Mp.Pool, mp.Pool)
        self.assertIs(Mp.Process, mp.Process)
        self.assertIs(Mp.Queue, mp.Queue)
        self.assertIsNot(Mp.raw.Pool, mp.Pool)
        self.assertIs(Mp.Context, Mp.raw.Context)

    def test_logging(self):
        logger = mp.get_logger()
        self.assertIs(logger, mp.get_logger())
        self.assertEqual(logger.name, 'multiprocessing')
        self.assertFalse(logger.propagate)
        self.assertEqual(logging.getLevelName(5), 'SUBDEBUG')


if __name__ == '__main__':
    unittest.main()
