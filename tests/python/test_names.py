# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What is there besides processes, pools and what they share: names, logging, frozen programs."""

import importlib
import inspect
import multiprocessing
import multiprocessing.dummy
import multiprocessing.pool
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

import multiprocessing_gi as mp
from multiprocessing_gi import context, pool, process, util

import tasks

FROZEN = textwrap.dedent('''\
    import sys
    import threading
    import multiprocessing_gi as mp

    sys.frozen = True
    sys.executable = {executable!r}

    def double(number):
        return 2 * number

    def put(q):
        q.put((__name__, double(4)))

    if __name__ == '__main__':
        mp.freeze_support()
        assert mp.get_start_method(allow_none=True) is None
        print('once', flush=True)
        for method in ('forkserver', 'spawn'):
            context = mp.get_context(method)
            with context.Pool(2) as pool:
                assert pool.map(double, range(10)) == list(range(0, 20, 2))
            q = context.Queue()
            process = context.Process(target=put, args=(q,))
            process.start()
            assert q.get(timeout=30) == ('__main__', 8)
            process.join()
            assert process.exitcode == 0
        print('fine')
''')


class TestNames(unittest.TestCase):
    """The interface, compared with that of the standard library."""

    def test_all_of_them(self):
        missing = set(multiprocessing.__all__) - set(dir(mp))
        self.assertEqual(missing, {'Manager'})
        self.assertLessEqual(set(multiprocessing.__all__) - missing, set(mp.__all__))
        public = {name for name in dir(multiprocessing.get_context('spawn'))
                  if not name.startswith('_')}
        for method in ('forkserver', 'spawn', 'fork'):
            self.assertEqual(public - set(dir(mp.get_context(method))) - missing, set())

    def test_of_submodules(self):
        for name in ('connection', 'context', 'pool', 'process', 'queues', 'shared_memory',
                     'sharedctypes', 'synchronize', 'util'):
            theirs = importlib.import_module('multiprocessing.' + name)
            ours = importlib.import_module('multiprocessing_gi.' + name)
            # What it does for its own child processes is no business of others.
            for public in set(getattr(theirs, '__all__', ())) - {'close_all_fds_except'}:
                self.assertTrue(hasattr(ours, public), f'{name}.{public}')

    def test_signatures(self):
        for theirs, ours in ((multiprocessing.pool.Pool, pool.Pool),
                             (multiprocessing.Process, mp.Process)):
            for name, function in inspect.getmembers(theirs, inspect.isfunction):
                if (name.startswith('_') and name != '__init__') or name == 'Process':
                    continue
                self.assertEqual(self.parameters(getattr(ours, name))[:len(
                    self.parameters(function))], self.parameters(function), name)

    @staticmethod
    def parameters(function):
        return [(parameter.name, parameter.default) for parameter in
                inspect.signature(function).parameters.values()
                if parameter.kind != parameter.KEYWORD_ONLY or parameter.name == 'daemon']

    def test_exceptions(self):
        for name in ('ProcessError', 'TimeoutError', 'AuthenticationError', 'BufferTooShort'):
            self.assertIs(getattr(mp, name), getattr(multiprocessing, name))
            self.assertIs(getattr(mp.get_context('spawn'), name), getattr(multiprocessing, name))
        for name in ('MaybeEncodingError', 'RemoteTraceback'):
            self.assertIs(getattr(pool, name), getattr(multiprocessing.pool, name))
        for name in ('TaskError', 'WorkerDiedError', 'CancelledError'):
            self.assertTrue(issubclass(getattr(mp, name), multiprocessing.ProcessError))

    def test_cpu_count(self):
        self.assertEqual(mp.cpu_count(), os.cpu_count())

    def test_contexts(self):
        self.assertIsInstance(mp.get_context('fork'), context.ForkContext)
        self.assertIs(mp.get_context().get_context(), mp.get_context())
        self.assertIs(mp.current_process, process.current_process)


class TestImport(unittest.TestCase):
    """What may be missing."""

    def test_without_pygobject(self):
        # -S: without the directories of packages, where it is.
        done = subprocess.run([sys.executable, '-S', '-c', 'import multiprocessing_gi'],
                              stderr=subprocess.PIPE, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r'ImportError: .*python3-gi.*does not have')


class TestDummy(unittest.TestCase):
    """Threads in the place of processes."""

    def test_is_the_standard_one(self):
        import multiprocessing_gi.dummy
        from multiprocessing_gi.dummy.connection import Listener
        self.assertIs(multiprocessing_gi.dummy, multiprocessing.dummy)
        self.assertIs(Listener, multiprocessing.dummy.connection.Listener)

    def test_thread_pool(self):
        self.assertIs(pool.ThreadPool, multiprocessing.pool.ThreadPool)
        with pool.ThreadPool(2, tasks.remember, ()) as threads:
            self.assertEqual(threads.map(tasks.square, range(5)), [0, 1, 4, 9, 16])
            self.assertEqual(threads.apply(lambda: os.getpid()), os.getpid())


class TestFinalizers(unittest.TestCase):
    """util.Finalize and what else programs use of util."""

    def test_priorities(self):
        program = textwrap.dedent('''\
            from multiprocessing_gi import util
            for priority in (3, -1, 10, None):
                util.Finalize(None if priority is not None else util, print, (priority,),
                              exitpriority=priority)
            cancelled = util.Finalize(None, print, ('cancelled',), exitpriority=1)
            cancelled.cancel()
            assert not cancelled.still_active()
            once = util.Finalize(None, print, ('once',), exitpriority=1)
            once()
            once()
        ''')
        done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True,
                              check=True)
        self.assertEqual(done.stdout.split(), ['once', '10', '3', '-1'])

    def test_of_an_object(self):
        class Owner:
            pass

        seen = []
        owner = Owner()
        finalizer = util.Finalize(owner, seen.append, (1,))
        self.assertTrue(finalizer.still_active())
        del owner
        self.assertEqual(seen, [1])
        for arguments in ((None, print), (None, print, (), None, 'high')):
            with self.assertRaises((ValueError, TypeError)):
                util.Finalize(*arguments)


class TestFrozen(unittest.TestCase):
    """A program that is its own interpreter."""

    def test_program(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'program.py')
            executable = os.path.join(folder, 'program')
            with open(path, 'w', encoding='utf-8') as file:
                file.write(FROZEN.format(executable=executable))
            with open(executable, 'w', encoding='utf-8') as file:
                file.write(f'#!/bin/sh\nexec {sys.executable} {path} "$@"\n')
            os.chmod(executable, 0o755)
            done = subprocess.run([executable], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr, done.stdout), (0, '', 'once\nfine\n'))

    def test_elsewhere_it_does_nothing(self):
        self.assertIsNone(mp.freeze_support())


if __name__ == '__main__':
    unittest.main()
