# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The start method fork: what is inherited, what is not, and when it is refused."""

import atexit
import gc
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
import unittest
import warnings
import weakref

import multiprocessing_gi as mp
from multiprocessing_gi import util

import tasks

fork = mp.get_context('fork')
INHERITED = {'of': 'import'}


def run_one(target, *args, **kwargs):
    """Fork, join, and return the process."""
    process = fork.Process(target=target, args=args, **kwargs)
    process.start()
    process.join(30)
    return process


class TestThreads(unittest.TestCase):
    """The rule of when a process with threads is forked."""

    HEAD = '''
        import os, threading, warnings
        import multiprocessing_gi as mp
        from gi.repository import Gio, GLib
        fork = mp.get_context('fork')
        def wait_for(name):
            # A thread gives itself its name.
            while not [thread for thread in os.listdir('/proc/self/task')
                       if open(f'/proc/self/task/{thread}/comm').read().startswith(name)]:
                pass
        def go():
            process = fork.Process(target=int)
            process.start()
            process.join()
            print('code', process.exitcode)
    '''

    def run_it(self, text):
        code, out, err = tasks.run_script(textwrap.dedent(self.HEAD) + textwrap.dedent(text))
        return code, out, '\n'.join(line for line in err.splitlines()
                                    if 'ImportWarning' not in line)

    def test_alone(self):
        self.assertEqual(self.run_it('go(); go(); mp.Queue().put(1); go()'),
                         (0, 'code 0\n' * 3, ''))

    def test_threads_of_libmp(self):
        """They rest during a fork, so that a second one has no reason to warn."""
        code, out, err = self.run_it('''
            if __name__ == '__main__':
                pool = mp.get_context('forkserver').Pool(1)
                print(pool.apply(abs, (-4,)))
                wait_for('mp-pump')
                go()
                with fork.Pool(1) as second:
                    print(second.apply(abs, (-5,)))
                go()
                pool.terminate()
        ''')
        self.assertEqual((code, out), (0, '4\ncode 0\n5\ncode 0\n'))
        self.assertNotIn('DeprecationWarning', err)

    def test_own_threads(self):
        code, out, err = self.run_it('''
            done = threading.Event()
            threading.Thread(target=done.wait, name='the-waiting-one').start()
            mp.get_context('forkserver').Process(target=int).start()
            go()
            done.set()
        ''')
        self.assertEqual((code, out), (0, 'code 0\n'))
        self.assertRegex(err, r'DeprecationWarning: .*the-waiting-one \(\d+\)')
        self.assertNotIn('mp-', err)
        self.assertIn("'forkserver'", err)
        # It is the caller's line that is shown.
        self.assertIn('process.start()', err)

    def test_warning_as_error(self):
        code, out, err = self.run_it('''
            done = threading.Event()
            threading.Thread(target=done.wait).start()
            warnings.simplefilter('error')
            process = fork.Process(target=print, args=('must not run',))
            try:
                process.start()
            except DeprecationWarning:
                print(process, mp.active_children())
            done.set()
            warnings.simplefilter('ignore')
            process.start()
            process.join()
        ''')
        self.assertEqual((code, err), (0, ''))
        self.assertRegex(out, r'^<ForkProcess .* initial> \[\]\nmust not run\n$')

    def check_refused(self, text, name):
        """Another thread of GLib's: no fork, no process, and a clear error."""
        code, out, err = self.run_it('warnings.simplefilter("ignore")\n' + text + '''
if __name__ == '__main__':
    process = fork.Process(target=print, args=('must not run',))
    try:
        process.start()
    except RuntimeError as error:
        print(error)
        print(error.__cause__.domain)
    print(process.pid, mp.active_children())
    process = mp.get_context('forkserver').Process(target=int)
    process.start()
    process.join()
    print(process.exitcode)
    os._exit(0)
''')
        self.assertEqual(code, 0, err)
        self.assertNotIn('must not run', out)
        self.assertRegex(out, rf'not safe.*GLib.*\b{name}[-\w]* \(\d+\).*forkserver')
        self.assertTrue(out.endswith('mp-error-quark\nNone []\n0\n'), out)

    def test_gmain(self):
        self.check_refused("monitor = Gio.File.new_for_path('/tmp').monitor_directory(0, None)\n"
                           "wait_for('gmain')\n", 'gmain')

    def test_pool(self):
        self.check_refused('''
loop = GLib.MainLoop()
Gio.File.new_for_path('/tmp').query_info_async('*', 0, 0, None, lambda *_: loop.quit())
loop.run()
''', 'pool')

    def test_gdbus(self):
        self.check_refused('''
import socket
one, other = socket.socketpair()
stream = Gio.Socket.new_from_fd(one.detach()).connection_factory_create_connection()
Gio.DBusConnection.new(stream, None, 0, None, None, lambda *_: None)
wait_for('gdbus')
''', 'gdbus')


class TestProcess(unittest.TestCase):
    """Process, as far as fork makes a difference."""

    def setUp(self):
        # What other tests have started has threads; TestThreads is about that.
        self.catch = warnings.catch_warnings()
        self.catch.__enter__()
        warnings.simplefilter('ignore', DeprecationWarning)

    def tearDown(self):
        self.catch.__exit__(None, None, None)
        mp.set_start_method(None, force=True)

    def test_life(self):
        q = mp.Queue()
        process = fork.Process(target=q.get)
        self.assertIsInstance(process, mp.context.ForkProcess)
        process.start()
        self.assertTrue(process.is_alive())
        self.assertIn(process, mp.active_children())
        self.assertIsNone(process.exitcode)
        for timeout in (0, -5, 0.05):
            self.assertIsNone(process.join(timeout))
        self.assertEqual(select.select([process.sentinel], [], [], 0)[0], [])
        self.assertIn('started', repr(process))
        with self.assertRaises(AssertionError):
            process.start()
        with self.assertRaises(ValueError):
            process.close()
        q.put(None)
        self.assertEqual(select.select([process.sentinel], [], [], 30)[0], [process.sentinel])
        process.join()
        process.join()
        self.assertEqual(process.exitcode, 0)
        self.assertFalse(process.is_alive())
        self.assertNotIn(process, mp.active_children())
        for call in (process.terminate, process.kill, process.interrupt):
            call()
        self.assertIn('stopped exitcode=0', repr(process))
        process.close()
        with self.assertRaises(ValueError):
            process.join()

    def test_inherited(self):
        q, local, lock = mp.Queue(), ['a list'], threading.Lock()

        def target(number, *, word):
            local.append('changed in the child only')
            q.put((INHERITED, local, number, word, lock.locked()))

        INHERITED['of'] = 'later'
        with lock:
            process = run_one(target, 5, kwargs={'word': 'six'})
        self.assertEqual(process.exitcode, 0)
        self.assertEqual(q.get(timeout=10), ({'of': 'later'}, ['a list',
                                              'changed in the child only'], 5, 'six', True))
        self.assertEqual(local, ['a list'])

    def test_in_the_child(self):
        q = mp.Queue()

        def report():
            current, parent = mp.current_process(), mp.parent_process()
            q.put((current.name, current.pid == os.getpid(), current.daemon,
                   current._identity, parent.name, parent.pid, parent.is_alive(),
                   mp.get_start_method(), mp.active_children(), sys.stdin.read(),
                   os.read(0, 1), threading.current_thread() is threading.main_thread(),
                   threading.current_thread().name, threading.main_thread().native_id,
                   bytes(current.authkey)))

        other = fork.Process(target=tasks.wait_for_ever)
        other.start()
        process = run_one(report, name='known', daemon=True)
        self.assertEqual(q.get(timeout=10),
                         ('known', True, True, process._identity, 'MainProcess', os.getpid(),
                          True, 'fork', [], '', b'', True, 'MainThread', process.pid,
                          bytes(mp.current_process().authkey)))
        other.kill()
        other.join()
        self.assertEqual(other.exitcode, -9)

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
            (tasks.leave_at_once, (259,), 3),
            (tasks.die, (), -9),
            (tasks.die, (signal.SIGTERM,), -15),
            (tasks.die, (signal.SIGSEGV,), -11),
        )
        with open(os.devnull, 'w', encoding='utf-8') as null:
            saved = os.dup(2)
            os.dup2(null.fileno(), 2)
            try:
                for target, args, code in cases:
                    with self.subTest(f'{target.__name__}{args}'):
                        self.assertEqual(run_one(target, *args).exitcode, code)
            finally:
                os.dup2(saved, 2)
                os.close(saved)

    def test_signals(self):
        for name, code in (('terminate', -15), ('kill', -9)):
            process = fork.Process(target=tasks.wait_for_ever)
            process.start()
            getattr(process, name)()
            process.join(30)
            self.assertEqual(process.exitcode, code)

    def test_queue_both_ways(self):
        there, back = mp.Queue(3), mp.SimpleQueue()
        process = fork.Process(target=tasks.echo, args=(there, back))
        process.start()
        for number in range(200):
            there.put(number)
            self.assertEqual(back.get(), (number, number))
        there.put(None)
        process.join(30)
        self.assertEqual(process.exitcode, 0)

    def test_primitives_of_the_parent(self):
        """What the parent has used and holds: the child waits for it, and goes on with it."""
        lock, rlock, ready, event = fork.Lock(), fork.RLock(), fork.Event(), fork.Event()
        conditions = [fork.Condition(fork.Lock()), fork.Condition()]
        semaphores = [fork.Semaphore(2), fork.BoundedSemaphore(2)]
        barrier, value, array = fork.Barrier(2), fork.Value('i', 0), fork.Array('d', 3)

        def use():
            if lock.acquire(False) or rlock.acquire(False):
                sys.exit(1)
            try:
                rlock.release()
                sys.exit(2)
            except AssertionError:
                pass
            ready.set()
            if not event.wait(30):
                sys.exit(3)
            with lock, rlock, rlock, conditions[0], conditions[1]:
                for semaphore in semaphores:
                    if not (semaphore.acquire(timeout=30) and not semaphore.acquire(False)):
                        sys.exit(4)
                    semaphore.release()
                with value.get_lock():
                    value.value += 1
                array[1] += 0.5
            for condition in conditions:
                with condition:
                    ready.set()
                    if not condition.wait(30):
                        sys.exit(5)
            barrier.wait(30)

        for number in range(1, 4):
            with rlock, lock, semaphores[0], semaphores[1]:
                process = fork.Process(target=use)
                process.start()
                self.assertTrue(ready.wait(30))
                ready.clear()
                for condition in conditions:
                    with condition:
                        condition.notify_all()
                lock.release()
                rlock.release()
                event.set()
                for condition in conditions:
                    self.assertTrue(ready.wait(30))
                    with condition:
                        ready.clear()
                        condition.notify()
                barrier.wait(30)
                lock.acquire()
                rlock.acquire()
            event.clear()
            process.join(30)
            self.assertEqual((process.exitcode, value.value, array[:]),
                             (0, number, [0, number / 2, 0]))

    def test_queue_is_open_in_the_child(self):
        q = mp.Queue()
        keep = q.gobject
        q.close()
        self.assertEqual(run_one(tasks.put, q, 'from there').exitcode, 0)
        self.assertRaises(ValueError, q.get)
        self.assertEqual(keep.get_length(), 1)

    def test_queue_after_kills(self):
        q = mp.Queue()

        def put_for_ever():
            while True:
                q.put(b'x' * 1000)

        for _ in range(10):
            process = fork.Process(target=put_for_ever)
            process.start()
            q.get(timeout=30)
            process.kill()
            process.join(30)
            while not q.empty():
                q.get(timeout=30)

    def test_daemon(self):
        self.assertEqual(run_one(self.start_in_daemon, daemon=True).exitcode, 0)

    def start_in_daemon(self):
        """Daemons may not have children."""
        with self.assertRaises(AssertionError):
            fork.Process(target=tasks.nothing).start()

    def test_nested(self):
        q = mp.Queue()

        def descend(depth):
            q.put((mp.current_process()._identity[1:], len(mp.active_children()),
                   mp.parent_process().is_alive()))
            if depth:
                child = fork.Process(target=descend, args=(depth - 1,))
                child.start()
                child.join()
                sys.exit(child.exitcode)
            sys.exit(5)

        self.assertEqual(run_one(descend, 3).exitcode, 5)
        self.assertEqual([q.get(timeout=10) for _ in range(4)],
                         [((1,) * depth, 0, True) for depth in range(4)])

    def test_forkserver_from_the_child(self):
        q = mp.Queue()

        def start_other():
            process = mp.get_context('forkserver').Process(target=tasks.put, args=(q, 'deep'))
            process.start()
            process.join()
            sys.exit(process.exitcode)

        # With and without a zygote in the parent.
        for _ in range(2):
            self.assertEqual(run_one(start_other).exitcode, 0)
            self.assertEqual(q.get(timeout=10), 'deep')
            process = mp.get_context('forkserver').Process(target=tasks.nothing)
            process.start()
            process.join()
            self.assertEqual(process.exitcode, 0)

    def test_others_of_the_parent(self):
        """A pool and a process of the parent can be dropped in the child, and live on."""
        other = mp.get_context('forkserver').Process(target=tasks.wait_for_ever)
        other.start()
        holder = [mp.Pool(1)]
        self.assertEqual(holder[0].apply(tasks.add, (1,)), 1001)

        def drop():
            with self.assertRaises(mp.ProcessError):
                holder[0].apply(tasks.add, (1,))
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                holder.clear()
                gc.collect()
            with self.assertRaises(AssertionError):
                other.join()

        self.assertEqual(run_one(drop).exitcode, 0)
        self.assertTrue(other.is_alive())
        self.assertEqual(holder[0].apply(tasks.add, (2,)), 1002)
        other.kill()
        other.join()
        holder[0].terminate()
        holder[0].join()

    def test_default_method(self):
        mp.set_start_method('fork')
        self.assertEqual(mp.get_start_method(), 'fork')
        process = mp.Process(target=lambda: None)
        process.start()
        process.join()
        self.assertEqual(process.exitcode, 0)
        self.assertIsNone(process.gobject)
        self.assertIsNone(mp.get_context().gobject)
        with self.assertRaises(NotImplementedError):
            process.connect('exited', print)

    def test_from_a_thread(self):
        codes = []
        thread = threading.Thread(target=lambda: codes.append(
            run_one(tasks.leave, 4).exitcode))
        thread.start()
        thread.join()
        self.assertEqual(codes, [4])

    def test_outlives_the_thread(self):
        """The end of the thread that forked is not the end of the parent."""
        q, r = mp.Queue(), mp.Queue()
        process = fork.Process(target=tasks.echo, args=(q, r))
        thread = threading.Thread(target=process.start)
        thread.start()
        thread.join()
        # The thread is gone for the kernel, too.
        tasks.wait_until(lambda: not os.path.exists(f'/proc/self/task/{thread.native_id}'))
        for number in range(3):
            q.put(number)
            self.assertEqual(r.get(), (number, number))
        q.put(None)
        process.join(30)
        self.assertEqual(process.exitcode, 0)

    def test_references(self):
        class Target:
            """Something that can be watched."""

            def __call__(self):
                pass

        reference = weakref.ref(target := Target())
        process = fork.Process(target=target)
        del target
        process.start()
        process.join()
        gc.collect()
        self.assertIsNone(reference())

    def test_reaped_by_another(self):
        process = fork.Process(target=tasks.leave, args=(9,))
        process.start()
        os.waitpid(process.pid, 0)
        process.join(30)
        self.assertIn(process.exitcode, (9, 255))
        self.assertFalse(process.is_alive())

        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            for _ in range(20):
                process = fork.Process(target=tasks.leave_at_once, args=(9,))
                process.start()
                process.join(30)
                self.assertIn(process.exitcode, (9, 255))
        finally:
            signal.signal(signal.SIGCHLD, before)

    def test_asked_by_many_threads(self):
        for _ in range(10):
            process = fork.Process(target=tasks.leave, args=(6,))
            process.start()
            codes = []
            threads = [threading.Thread(target=lambda p=process: (p.join(),
                                                                  codes.append(p.exitcode)))
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            self.assertEqual(codes, [6] * 4)

    def test_join_is_interruptible(self):
        process = fork.Process(target=tasks.wait_for_ever)
        process.start()
        before = signal.signal(signal.SIGALRM, lambda *_: process.kill())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            process.join(30)
        finally:
            signal.signal(signal.SIGALRM, before)
        self.assertEqual(process.exitcode, -9)

    def test_no_descriptor_leaks(self):
        run_one(tasks.nothing)
        gc.collect()
        before = tasks.open_fds()
        for _ in range(100):
            self.assertEqual(run_one(tasks.nothing).exitcode, 0)
        gc.collect()
        self.assertEqual(tasks.open_fds(), before)

    def test_no_descriptor_leaks_downwards(self):
        q = mp.Queue()

        def descend(depth):
            gc.collect()
            q.put(tasks.open_fds())
            if depth:
                run_one(descend, depth - 1)

        run_one(descend, 4)
        numbers = [q.get(timeout=10) for _ in range(5)]
        self.assertEqual(numbers, numbers[:1] * 5)

    def test_failed_fork(self):
        """Too many processes: an OSError, nothing left, and it can be tried again."""
        process = fork.Process(target=tasks.nothing)
        original, before = os.pidfd_open, tasks.open_fds()
        os.pidfd_open = lambda *_: (_ for _ in ()).throw(OSError(24, 'none left'))
        try:
            with self.assertRaises(OSError):
                process.start()
        finally:
            os.pidfd_open = original
        self.assertEqual(mp.active_children(), [])
        self.assertEqual(tasks.open_fds(), before)
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG | getattr(os, '__WALL', 0x40000000))
        process.start()
        process.join()
        self.assertEqual(process.exitcode, 0)

    def test_hooks(self):
        q = mp.Queue()

        class Holder:
            """Something with a weak reference."""

        holder, gone = Holder(), Holder()
        util.register_after_fork(holder, lambda obj: q.put(('first', obj is holder)))
        util.register_after_fork(holder, lambda obj: q.put(('second', obj is holder)))
        util.register_after_fork(gone, lambda obj: q.put('never'))
        lock = util.ForkAwareThreadLock()
        local = util.ForkAwareLocal()
        local.value = 1
        finalizer = util.Finalize(None, q.put, ("the parent's",), exitpriority=5)
        del gone

        def target():
            q.put(('lock is free', lock.acquire(False), hasattr(local, 'value'),
                   finalizer.still_active()))
            util.Finalize(None, q.put, ("the child's",), exitpriority=5)
            atexit.register(q.put, 'at exit')

        with lock:
            self.assertEqual(run_one(target).exitcode, 0)
        finalizer.cancel()
        self.assertEqual([q.get(timeout=10) for _ in range(5)],
                         [('first', True), ('second', True),
                          ('lock is free', True, False, False), "the child's", 'at exit'])
        self.assertTrue(q.empty())


class TestPrograms(unittest.TestCase):
    """What can only be seen of a whole program."""

    def test_streams_and_exit(self):
        code, out, err = tasks.run_script('''
            import atexit, sys
            import multiprocessing_gi as mp
            class Unwound:
                def __enter__(self): return self
                def __exit__(self, *_): print('unwound', mp.current_process().name)
            def target():
                print('in the child')
                sys.exit(3)
            if __name__ == '__main__':
                atexit.register(print, 'at exit of the parent')
                sys.stdout.write('written before|')
                with Unwound():
                    process = mp.get_context('fork').Process(target=target)
                    process.start()
                    process.join()
                print(process.exitcode)
        ''')
        self.assertEqual((code, out), (0, 'written before|in the child\nunwound MainProcess\n3\n'
                                          'at exit of the parent\n'))

    def test_closed_streams(self):
        code, _, err = tasks.run_script('''
            import os, sys
            import multiprocessing_gi as mp
            os.close(0)
            sys.stdin = sys.stdout = None
            process = mp.get_context('fork').Process(target=lambda: sys.exit(len(sys.stdin.read())))
            process.start()
            process.join()
            sys.exit(process.exitcode)
        ''')
        self.assertEqual(code, 0, err)

    def test_exit_joins(self):
        code, out, _ = tasks.run_script('''
            import os, time
            import multiprocessing_gi as mp
            fork = mp.get_context('fork')
            def daemon(q):
                q.put(None)
                time.sleep(60)
            def slow():
                time.sleep(0.3)
                print('done', flush=True)
            q = mp.Queue()
            fork.Process(target=daemon, args=(q,), daemon=True).start()
            q.get()
            fork.Process(target=slow).start()
        ''')
        self.assertEqual((code, out), (0, 'done\n'))

    def check_killed(self, start):
        """kill -9 of the parent ends its forked children, and theirs."""
        script = textwrap.dedent('''
            import os, threading, time, warnings
            import multiprocessing_gi as mp
            warnings.simplefilter('ignore')
            fork = mp.get_context('fork')
            def deep():
                print(os.getpid(), flush=True)
                time.sleep(60)
            def target():
                print(os.getpid(), flush=True)
                fork.Process(target=deep).start()
                time.sleep(60)
            process = fork.Process(target=target)
        ''') + start + '\ntime.sleep(60)\n'
        with subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE,
                              text=True) as parent:
            pids = [int(parent.stdout.readline()) for _ in range(2)]
            self.assertTrue(all(map(tasks.is_alive, pids)))
            parent.kill()
            self.assertTrue(tasks.wait_until(lambda: not any(map(tasks.is_alive, pids))))

    def test_parent_killed(self):
        self.check_killed('process.start()')

    def test_parent_killed_after_fork_by_a_thread(self):
        self.check_killed('thread = threading.Thread(target=process.start)\n'
                          'thread.start()\nthread.join()')

    def test_ctrl_c(self):
        """Each forked child hears it once, from the terminal's group."""
        script = textwrap.dedent('''
            import os, signal, time
            import multiprocessing_gi as mp
            def target(q):
                try:
                    q.put(None)
                    time.sleep(60)
                except KeyboardInterrupt:
                    print('heard', flush=True)
                    time.sleep(0.3)
                    print('cleaned up', flush=True)
            q = mp.Queue()
            process = mp.get_context('fork').Process(target=target, args=(q,))
            process.start()
            q.get()
            print('ready', flush=True)
            process.join()
        ''')
        with subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True,
                              start_new_session=True) as parent:
            self.assertEqual(parent.stdout.readline(), 'ready\n')
            os.killpg(parent.pid, signal.SIGINT)
            self.assertEqual(parent.stdout.read(), 'heard\ncleaned up\n')


if __name__ == '__main__':
    unittest.main()
