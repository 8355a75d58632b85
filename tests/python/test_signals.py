# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Ctrl-C in every wait, and ends that are not orderly."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import unittest

import tasks

HERE = os.path.dirname(os.path.abspath(__file__))

# What waits for ever, after `children` has the processes that must not survive.
WAITS = {
    'Process.join': '''
        q = mp.SimpleQueue()
        process = mp.Process(target=tasks.tell_and_wait, args=(q,))
        process.start()
        q.get()
        tell(process.pid)
        process.join()
    ''',
    'Process.join, spawn': '''
        q = mp.SimpleQueue()
        process = mp.get_context('spawn').Process(target=tasks.tell_and_wait, args=(q,))
        process.start()
        q.get()
        tell(process.pid)
        process.join()
    ''',
    'Process.join, daemon': '''
        process = mp.Process(target=tasks.wait_for_ever, daemon=True)
        process.start()
        tell(process.pid)
        process.join(1000)
    ''',
    'Queue.get': '''
        tell()
        mp.Queue().get()
    ''',
    'Queue.put': '''
        q = mp.Queue(1)
        q.put(1)
        tell()
        q.put(1, timeout=1000)
    ''',
    'SimpleQueue.get': '''
        tell()
        mp.SimpleQueue().get()
    ''',
    'AsyncResult.get': '''
        pool = mp.Pool(2)
        tell(*pool.map(tasks.own_pid, range(10)))
        pool.apply(tasks.wait_for_ever)
    ''',
    'AsyncResult.get with a callback': '''
        pool = mp.Pool(1)
        tell(pool.apply(tasks.own_pid))
        pool.apply_async(tasks.wait_for_ever, callback=print).get()
    ''',
    'AsyncResult.wait': '''
        with mp.Pool(1) as pool:
            tell(pool.apply(tasks.own_pid))
            pool.apply_async(tasks.wait_for_ever).wait(1000)
    ''',
    'Pool.map': '''
        with mp.Pool(1) as pool:
            tell(pool.apply(tasks.own_pid))
            pool.map(tasks.wait_for_ever, range(100))
    ''',
    'IMapIterator.next': '''
        with mp.Pool(1) as pool:
            tell(pool.apply(tasks.own_pid))
            next(pool.imap(tasks.wait_for_ever, [1]))
    ''',
    'IMapIterator.next, nothing to read': '''
        import queue
        with mp.Pool(1) as pool:
            tell(pool.apply(tasks.own_pid))
            next(pool.imap(tasks.square, iter(queue.Queue().get, None)))
    ''',
    'Pool.join': '''
        pool = mp.Pool(1)
        tell(pool.apply(tasks.own_pid))
        pool.apply_async(tasks.wait_for_ever)
        pool.close()
        pool.join()
    ''',
}

PROGRAM = '''\
import os
import sys
sys.path.insert(0, {here!r})
import multiprocessing_gi as mp
import tasks

def tell(*pids):
    print(os.getpid(), *pids, flush=True)

if __name__ == '__main__':
{body}
'''


def start(body):
    """Start a program with this body; return it and its processes, once they run."""
    program = PROGRAM.format(here=HERE, body=textwrap.indent(textwrap.dedent(body), '    '))
    process = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', program], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    return process, [int(word) for word in process.stdout.readline().split()]


class TestCtrlC(unittest.TestCase):
    """A real SIGINT to a real process."""

    def interrupt(self, body, group):
        process, pids = start(body)
        try:
            self.assertTrue(pids, process.stderr.read() if not pids else '')
            time.sleep(0.2)  # into the wait
            begun = time.monotonic()
            (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
            _out, err = process.communicate(timeout=20)
            seconds = time.monotonic() - begun
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        self.assertEqual(process.returncode, -signal.SIGINT, err)
        # The child that was passed the signal on may say so, after its name.
        own = err.partition('\nProcess ')[0]
        self.assertEqual(own.count('KeyboardInterrupt'), 1, err)
        self.assertLess(seconds, 1.5, err)
        self.assertTrue(tasks.wait_until(lambda: not any(map(tasks.is_alive, pids))))

    def test_waits(self):
        for name, body in WAITS.items():
            with self.subTest(name):
                self.interrupt(body, group=False)

    def test_of_a_terminal(self):
        for name in ('Process.join', 'AsyncResult.get', 'Pool.map'):
            with self.subTest(name):
                self.interrupt(WAITS[name], group=True)

    def test_handler_runs_and_the_wait_goes_on(self):
        process, _pids = start('''
            import signal
            seen = []
            signal.signal(signal.SIGUSR1, lambda *_: (seen.append(1), q.put('from the handler')))
            q = mp.Queue()
            tell()
            print(q.get(), len(seen))
        ''')
        time.sleep(0.2)
        process.send_signal(signal.SIGUSR1)
        out, err = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out, err), (0, 'from the handler 1\n', ''))


class TestKilled(unittest.TestCase):
    """kill -9."""

    def test_parent(self):
        for name in ('Process.join', 'Process.join, spawn', 'Process.join, daemon', 'Pool.map'):
            with self.subTest(name):
                process, pids = start(WAITS[name])
                process.kill()
                process.communicate()
                self.assertTrue(
                    tasks.wait_until(lambda pids=pids: not any(map(tasks.is_alive, pids))))

    def test_middle_of_three(self):
        process, pids = start('''
            q = mp.SimpleQueue()
            middle = mp.Process(target=tasks.start_another, args=(q,))
            middle.start()
            tell(middle.pid, q.get())
            middle.join()
        ''')
        try:
            os.kill(pids[1], signal.SIGKILL)
            self.assertTrue(tasks.wait_until(lambda: not tasks.is_alive(pids[2])))
            process.communicate(timeout=20)
            self.assertEqual(process.returncode, 0)
        finally:
            process.kill()
            process.communicate()

    def test_zygote(self):
        import multiprocessing_gi as mp
        context = mp.get_context('forkserver')
        process = context.Process(target=tasks.wait_for_ever)
        process.start()
        os.kill(context.gobject.get_zygote_pid(), signal.SIGKILL)
        process.join(20)
        self.assertIn(process.exitcode, (-9, 255))
        process = context.Process(target=tasks.nothing)
        process.start()
        process.join(20)
        self.assertEqual(process.exitcode, 0)


if __name__ == '__main__':
    unittest.main()
