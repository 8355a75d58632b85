# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pools of the start method fork: their workers have what their parent had."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest
import warnings

import multiprocessing_gi as mp

import tasks

fork = mp.get_context('fork')
INHERITED = {}


def recall_inherited(name):
    """What a worker has that its parent had."""
    return INHERITED[name](), os.getpid()


def pid_and_parents(_item=None):
    """Who works here, and for whom."""
    return os.getpid(), os.getppid(), mp.parent_process().pid, mp.current_process().name


def children_of(pid):
    """The processes that a process has started."""
    with open(f'/proc/{pid}/task/{pid}/children', encoding='utf-8') as file:
        return [int(word) for word in file.read().split()]


class TestPool(unittest.TestCase):
    """Pools of forked workers."""

    def setUp(self):
        self.catch = warnings.catch_warnings()
        self.catch.__enter__()
        warnings.simplefilter('ignore', DeprecationWarning)

    def tearDown(self):
        INHERITED.pop('function', None)
        self.catch.__exit__(None, None, None)

    def test_inherited(self):
        q, lock = mp.Queue(), threading.Lock()
        INHERITED['function'] = lambda: 'a closure'

        def initialize(number, function):
            q.put((number, function(number), lock.acquire(False), mp.get_start_method(),
                   sys.stdin.read()))

        with fork.Pool(2, initialize, (5, lambda number: number + 1)) as pool:
            # Later changes are not seen, by a replacement neither.
            INHERITED['function'] = lambda: 'something else'
            for expected in (2, 3, 4):
                text, pid = pool.apply(recall_inherited, ('function',))
                self.assertEqual(text, 'a closure')
                os.kill(pid, signal.SIGKILL)
                items = [q.get(timeout=30) for _ in range(2 if expected == 2 else 1)]
                self.assertEqual(items, [(5, 6, True, 'fork', '')] * len(items))
            self.assertEqual(sorted(pool.map(tasks.square, range(100))),
                             [number * number for number in range(100)])
        pool.join()

    def test_who_is_who(self):
        with fork.Pool(1) as pool:
            pid, template, parent, name = pool.apply(pid_and_parents)
            self.assertEqual(parent, os.getpid())
            self.assertIn(template, children_of(os.getpid()))
            self.assertEqual(children_of(template), [pid])
            self.assertEqual(name, 'ForkPoolWorker-1')
            self.assertEqual(pool.gobject.get_worker_pids(), [pid])
            self.assertEqual(mp.active_children(), [])
            # A terminal's Ctrl-C is the parent's.
            self.assertNotEqual(os.getpgid(pid), os.getpgid(0))
        pool.join()

    def test_nothing_is_left(self):
        def once():
            with fork.Pool(1) as pool:
                template = pool.apply(pid_and_parents)[1]
            pool.join()
            return template

        once()
        gc.collect()
        tasks.wait_until(lambda: not children_of(os.getpid()))
        before = tasks.open_fds()
        templates = [once() for _ in range(10)]
        gc.collect()
        self.assertTrue(tasks.wait_until(
            lambda: not set(templates) & set(children_of(os.getpid()))))
        self.assertTrue(tasks.wait_until(lambda: tasks.open_fds() <= before))

    def test_max_tasks(self):
        with fork.Pool(1, maxtasksperchild=2) as pool:
            pids = [pool.apply(tasks.own_pid) for _ in range(6)]
            self.assertEqual(len(set(pids)), 3)
        pool.join()

    def test_failing_initializer(self):
        with fork.Pool(2, tasks.fail, ('not today',)) as pool:
            with self.assertRaisesRegex(mp.TaskError, 'not today'):
                pool.apply(tasks.nothing)
        pool.join()

    def test_template_killed(self):
        with fork.Pool(2) as pool:
            template = pool.apply(pid_and_parents)[1]
            os.kill(template, signal.SIGKILL)
            with self.assertRaises(mp.ProcessError):
                for _ in range(1000):
                    pool.apply(pid_and_parents)
                    time.sleep(0.01)
        pool.join()

    def test_made_in_a_thread(self):
        pools = []
        thread = threading.Thread(target=lambda: pools.append(fork.Pool(1)))
        thread.start()
        thread.join()
        tasks.wait_until(lambda: not os.path.exists(f'/proc/self/task/{thread.native_id}'))
        self.assertEqual(pools[0].map(tasks.square, range(5)), [0, 1, 4, 9, 16])
        pools[0].terminate()
        pools[0].join()

    def test_in_a_child(self):
        q = mp.Queue()

        def make_pool():
            with fork.Pool(1) as pool:
                q.put((os.getpid(), *pool.apply(pid_and_parents)))
            pool.join()

        process = fork.Process(target=make_pool)
        process.start()
        process.join(30)
        self.assertEqual(process.exitcode, 0)
        child, _, _, parent, _ = q.get(timeout=10)
        self.assertEqual((child, parent), (process.pid, process.pid))

    def test_signals_are_inherited(self):
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            with fork.Pool(1) as pool:
                self.assertEqual(pool.apply(signal.getsignal, (signal.SIGTERM,)), signal.SIG_IGN)
                self.assertEqual(pool.apply(signal.getsignal, (signal.SIGPIPE,)),
                                 signal.getsignal(signal.SIGPIPE))
            pool.join()
        finally:
            signal.signal(signal.SIGTERM, before)


class TestPrograms(unittest.TestCase):
    """What can only be seen of a whole program."""

    def test_pool_parent_killed(self):
        for made in ('pool = make()', 'thread = threading.Thread(target=lambda: pools.append(make'
                                      '()))\nthread.start()\nthread.join()\npool = pools[0]'):
            script = textwrap.dedent('''
                import os, threading, time, warnings
                import multiprocessing_gi as mp
                warnings.simplefilter('ignore')
                def pids(_): return os.getpid(), os.getppid()
                def make(): return mp.get_context('fork').Pool(1)
                pools = []
            ''') + made + '\nprint(*pool.map(pids, [1])[0], flush=True)\ntime.sleep(60)\n'
            with subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE,
                                  text=True) as parent:
                pids = [int(word) for word in parent.stdout.readline().split()]
                self.assertTrue(len(pids) == 2 and all(map(tasks.is_alive, pids)))
                parent.kill()
                self.assertTrue(tasks.wait_until(lambda p=pids: not any(map(tasks.is_alive, p))))

    def test_no_warning(self):
        """libmp's own thread, which the first one started, is no reason for one."""
        code, out, err = tasks.run_script('''
            import threading
            import multiprocessing_gi as mp
            fork = mp.get_context('fork')
            pool = fork.Pool(1)
            print(pool.apply(abs, (-4,)))
            pool.terminate()
            second = fork.Pool(1)
            second.terminate()
        ''')
        self.assertEqual((code, out), (0, '4\n'))
        self.assertNotIn('DeprecationWarning', err)

    def test_warning(self):
        code, out, err = tasks.run_script('''
            import threading
            import multiprocessing_gi as mp
            done = threading.Event()
            threading.Thread(target=done.wait, name='the-waiting-one').start()
            pool = mp.get_context('fork').Pool(1)  # a line
            pool.terminate()
            done.set()
        ''')
        self.assertEqual((code, out), (0, ''))
        warned = [line for line in err.splitlines() if 'DeprecationWarning' in line]
        self.assertEqual(len(warned), 1)
        self.assertRegex(warned[0], r'the-waiting-one \(\d+\)')
        self.assertIn('Pool(1)  # a line', err)


if __name__ == '__main__':
    unittest.main()
