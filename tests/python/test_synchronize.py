# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event and Barrier."""

import os
import pickle
import signal
import threading
import time
import unittest

from gi.repository import Mp

import multiprocessing
import multiprocessing_gi as mp

import tasks

METHODS = ('forkserver', 'spawn', 'fork')
DEADLINE = 20


def run(context, target, *args):
    """A process that was started."""
    process = context.Process(target=target, args=args)
    process.start()
    return process


class TestLock(unittest.TestCase):
    """Lock and RLock."""

    def test_as_in_multiprocessing(self):
        for module in (mp, multiprocessing):
            lock = module.Lock()
            self.assertIs(lock.acquire(), True)
            for arguments in ((False,), (True, 0), (True, -1), (True, 0.02), (False, 3)):
                self.assertIs(lock.acquire(*arguments), False)
            self.assertIs(lock.acquire(block=True, timeout=0.01), False)
            self.assertIsNone(lock.release())
            with self.assertRaisesRegex(ValueError, 'released too many times'):
                lock.release()
            with self.assertRaises(TypeError):
                lock.acquire(blocking=True)
            with self.assertRaises(TypeError):
                lock.acquire(True, 'x')
            with self.assertRaises(TypeError):
                lock.acquire(True, 1, 2)
            self.assertIs(lock.acquire(timeout=1e30), True)
            lock.release()
            with lock as entered:
                self.assertIs(entered, True)
                self.assertIs(lock.acquire(False), False)
            with self.assertRaisesRegex(RuntimeError, 'Lock objects should only be shared'):
                pickle.dumps(lock)

    def test_a_wrong_argument_acquires_nothing(self):
        lock = mp.Lock()
        for arguments in ((True, 'x'), (True, float('nan'))):
            with self.assertRaises((TypeError, ValueError)):
                lock.acquire(*arguments)
        self.assertTrue(lock.acquire(False))

    def test_rlock_as_in_multiprocessing(self):
        for module in (mp, multiprocessing):
            lock = module.RLock()
            for _ in range(3):
                self.assertIs(lock.acquire(), True)
            result = []

            def from_elsewhere():
                result.append(lock.acquire(False))
                try:
                    lock.release()
                except AssertionError as error:
                    result.append(str(error))

            thread = threading.Thread(target=from_elsewhere)
            thread.start()
            thread.join()
            self.assertEqual(result,
                             [False, 'attempt to release recursive lock not owned by thread'])
            for _ in range(3):
                lock.release()
            with self.assertRaises(AssertionError):
                lock.release()

    def test_repr(self):
        lock, rlock = mp.Lock(), mp.RLock()
        self.assertEqual(repr(lock), '<Lock(owner=None)>')
        self.assertEqual(repr(rlock), '<RLock(None, 0)>')
        with lock, rlock, rlock:
            self.assertEqual(repr(lock), '<Lock(owner=MainProcess)>')
            self.assertEqual(repr(rlock), '<RLock(MainProcess, 2)>')
            texts = []
            thread = threading.Thread(target=lambda: texts.extend((repr(lock), repr(rlock))))
            thread.start()
            thread.join()
            self.assertEqual(texts, ['<Lock(owner=SomeOtherThread)>',
                                     '<RLock(SomeOtherThread, nonzero)>'])
            q = mp.SimpleQueue()
            run(mp, tasks.put_reprs, q, lock, rlock).join()
            self.assertEqual(q.get(), ['<Lock(owner=SomeOtherProcess)>',
                                       '<RLock(SomeOtherProcess, nonzero)>'])

    def test_released_by_another_process(self):
        for method in METHODS:
            context = mp.get_context(method)
            lock = context.Lock()
            lock.acquire()
            process = run(context, tasks.release, lock)
            self.assertTrue(lock.acquire(timeout=DEADLINE), method)
            process.join()
            self.assertEqual(process.exitcode, 0)

    def test_exclusion(self):
        for method in METHODS:
            context = mp.get_context(method)
            lock, value = context.Lock(), context.Value('q', 0, lock=False)
            processes = [run(context, tasks.add_slowly, lock, value, 500) for _ in range(4)]
            for process in processes:
                process.join()
            self.assertEqual(value.value, 2000, method)

    def test_a_dead_holder_keeps_nobody_waiting(self):
        for kind in ('Lock', 'RLock'):
            lock, ready = getattr(mp, kind)(), mp.Event()
            process = run(mp, tasks.hold_for_ever, lock, ready)
            self.assertTrue(ready.wait(DEADLINE))
            self.assertFalse(lock.acquire(timeout=0.05))
            self.assertFalse(lock.abandoned)
            process.kill()
            process.join()
            start = time.monotonic()
            self.assertTrue(lock.acquire(timeout=DEADLINE))
            self.assertLess(time.monotonic() - start, 1)
            self.assertTrue(lock.abandoned)
            lock.release()
            self.assertFalse(lock.abandoned)
            with lock:
                self.assertFalse(lock.abandoned)

    def test_a_child_of_fork_does_not_hold_what_its_parent_holds(self):
        context = mp.get_context('fork')
        lock, q = context.RLock(), context.SimpleQueue()
        with lock:
            run(context, tasks.try_acquire_and_release, lock, q).join()
            self.assertEqual(q.get(), (False, 'AssertionError'))

    def test_a_signal_handler_ends_the_wait(self):
        def stop(_signal, _frame):
            raise InterruptedError('stop')

        before = signal.signal(signal.SIGUSR1, stop)
        try:
            for waiting in (mp.Lock(), mp.RLock(), mp.Semaphore(0), mp.Event(), mp.Condition(),
                            mp.Barrier(2)):
                main = threading.get_ident()
                call = getattr(waiting, 'acquire', None) or waiting.wait
                held = None
                if isinstance(waiting, (type(mp.Lock()), type(mp.RLock()))):
                    held = threading.Thread(target=waiting.acquire)
                    held.start()
                    held.join()
                elif hasattr(waiting, 'notify'):
                    waiting.acquire()
                    call = waiting.wait
                timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGUSR1))
                timer.start()
                start = time.monotonic()
                with self.assertRaisesRegex(InterruptedError, 'stop'):
                    call()
                self.assertLess(time.monotonic() - start, 5)
                timer.join()
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_a_handler_that_returns_does_not_end_the_wait(self):
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            for make in (lambda: mp.Semaphore(0), mp.Event):
                waiting = make()
                finish = getattr(waiting, 'set', None) or waiting.release
                timers = [threading.Timer(0.1 * n, signal.pthread_kill,
                                          (threading.get_ident(), signal.SIGUSR1))
                          for n in range(1, 4)] + [threading.Timer(0.5, finish)]
                for timer in timers:
                    timer.start()
                self.assertTrue((getattr(waiting, 'acquire', None) or waiting.wait)())
                for timer in timers:
                    timer.join()
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_override(self):
        self.assertIs(Mp.Lock, mp.Lock)
        self.assertIsInstance(mp.Lock().gobject, Mp.raw.Lock)
        lock = mp.Lock()
        self.assertFalse(lock.props.locked)
        with lock:
            self.assertTrue(lock.props.locked)
            self.assertTrue(lock.locked())
            self.assertEqual(lock.props.holder_pid, os.getpid())


class TestSemaphore(unittest.TestCase):
    """Semaphore and BoundedSemaphore."""

    def test_as_in_multiprocessing(self):
        for module in (mp, multiprocessing):
            semaphore = module.Semaphore(2)
            self.assertEqual(repr(semaphore), '<Semaphore(value=2)>')
            self.assertTrue(semaphore.acquire())
            self.assertTrue(semaphore.acquire())
            self.assertFalse(semaphore.acquire(False))
            self.assertEqual(semaphore.get_value(), 0)
            for _ in range(3):
                semaphore.release()
            self.assertEqual(semaphore.get_value(), 3)
            with self.assertRaises(TypeError):
                semaphore.release(2)
            with self.assertRaises(OSError):
                module.Semaphore(-1)
            bounded = module.BoundedSemaphore(1)
            with self.assertRaisesRegex(ValueError, 'released too many times'):
                bounded.release()
            self.assertEqual(repr(bounded), '<BoundedSemaphore(value=1, maxvalue=1)>')
            big = module.Semaphore(2**31 - 1)
            with self.assertRaises(ValueError):
                big.release()

    def test_units_of_a_dead_process_come_back(self):
        semaphore, ready = mp.BoundedSemaphore(2, recover=True), mp.Event()
        process = run(mp, tasks.hold_for_ever, semaphore, ready)
        self.assertTrue(ready.wait(DEADLINE))
        self.assertTrue(semaphore.acquire())
        self.assertFalse(semaphore.acquire(timeout=0.05))
        process.kill()
        process.join()
        self.assertTrue(semaphore.acquire(timeout=1))
        semaphore.release()
        semaphore.release()
        self.assertEqual(semaphore.get_value(), 2)


class TestCondition(unittest.TestCase):
    """Condition."""

    def test_misuse(self):
        for module in (mp, multiprocessing):
            condition = module.Condition()
            for call in (condition.wait, condition.notify, condition.notify_all):
                with self.assertRaises(AssertionError):
                    call()
            with condition:
                self.assertFalse(condition.wait(0.02))
                self.assertFalse(condition.wait(0))
                self.assertFalse(condition.wait(-1))
                condition.notify()
                condition.notify_all()
        with self.assertRaises(TypeError):
            mp.Condition(mp.Semaphore())

    def test_the_lock_is_the_threads(self):
        for module in (mp, multiprocessing):
            for make in (module.Lock, module.RLock):
                condition = module.Condition(make())
                errors = []

                def try_all(condition=condition, errors=errors):
                    for call in (condition.wait, condition.notify, condition.notify_all):
                        try:
                            call()
                        except AssertionError:
                            errors.append(call)

                with condition:
                    thread = threading.Thread(target=try_all)
                    thread.start()
                    thread.join(DEADLINE)
                    condition.notify()
                self.assertEqual(len(errors), 3)

    def test_depth_is_restored(self):
        lock = mp.RLock()
        condition = mp.Condition(lock)
        with lock, lock, lock:
            self.assertFalse(condition.wait(0.01))
            self.assertEqual(repr(lock), '<RLock(MainProcess, 3)>')

    def test_wakes_others(self):
        for method in METHODS:
            context = mp.get_context(method)
            condition, value = context.Condition(), context.Value('i', 0)
            ready = context.Semaphore(0)
            processes = [run(context, tasks.wait_for_number, condition, value, ready, 3)
                         for _ in range(3)]
            for _ in range(3):
                self.assertTrue(ready.acquire(timeout=DEADLINE))
            for number in (1, 2, 3):
                with condition:
                    value.value = number
                    condition.notify_all()
            for process in processes:
                process.join(DEADLINE)
                self.assertEqual(process.exitcode, 0, method)

    def test_never_waits_for_dead_sleepers(self):
        condition, ready = mp.Condition(), mp.Semaphore(0)
        processes = [run(mp, tasks.wait_on, condition, ready) for _ in range(3)]
        for _ in range(3):
            self.assertTrue(ready.acquire(timeout=DEADLINE))
        with condition:
            pass
        for process in processes[:2]:
            process.kill()
            process.join()
        with condition:
            condition.notify()
        processes[2].join(DEADLINE)
        self.assertEqual(processes[2].exitcode, 0)


class TestEvent(unittest.TestCase):
    """Event."""

    def test_as_in_multiprocessing(self):
        for module in (mp, multiprocessing):
            event = module.Event()
            self.assertFalse(event.is_set())
            self.assertFalse(event.wait(0))
            self.assertFalse(event.wait(-1))
            self.assertFalse(event.wait(timeout=0.02))
            self.assertTrue(bool(event))
            self.assertRegex(repr(event), r'<Event at 0x[0-9a-f]+ unset>')
            event.set()
            event.set()
            self.assertTrue(event.wait())
            self.assertRegex(repr(event), r'<Event at 0x[0-9a-f]+ set>')
            event.clear()
            self.assertFalse(event.is_set())

    def test_a_pulse_during_a_handler_ends_the_wait(self):
        event, done = mp.Event(), []

        def pulse(_signal, _frame):
            event.set()
            event.clear()
            done.append(True)

        before = signal.signal(signal.SIGUSR1, pulse)
        try:
            for _ in range(20):
                timer = threading.Timer(0.02, signal.pthread_kill,
                                        (threading.get_ident(), signal.SIGUSR1))
                timer.start()
                self.assertIs(event.wait(DEADLINE), True)
                self.assertTrue(done.pop())
                timer.join()
            self.assertIs(event.wait(0), False)
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_no_pulse_is_lost_however_long_it_is_waited_for(self):
        for _ in range(3):
            event = mp.Event()
            # It returns to Python several times meanwhile.
            timer = threading.Timer(1.2, lambda e=event: (e.set(), e.clear()))
            timer.start()
            self.assertIs(event.wait(DEADLINE), True)
            timer.join()

    def test_a_wait_that_an_exception_ended_is_over(self):
        event = mp.Event()

        def stop(_signal, _frame):
            event.set()
            event.clear()
            raise InterruptedError('stop')

        before = signal.signal(signal.SIGUSR1, stop)
        try:
            timer = threading.Timer(0.1, signal.pthread_kill,
                                    (threading.get_ident(), signal.SIGUSR1))
            timer.start()
            with self.assertRaisesRegex(InterruptedError, 'stop'):
                event.wait()
            timer.join()
        finally:
            signal.signal(signal.SIGUSR1, before)
        start = time.monotonic()
        self.assertIs(event.wait(0.1), False)
        self.assertGreaterEqual(time.monotonic() - start, 0.1)

    def test_between_processes(self):
        for method in METHODS:
            context = mp.get_context(method)
            there, back = context.Event(), context.Event()
            process = run(context, tasks.answer, there, back)
            there.set()
            self.assertTrue(back.wait(DEADLINE), method)
            process.join()


class TestBarrier(unittest.TestCase):
    """Barrier."""

    def test_all_meet(self):
        for method in METHODS:
            context = mp.get_context(method)
            barrier, q = context.Barrier(3), context.SimpleQueue()
            processes = [run(context, tasks.meet, barrier, q, 5) for _ in range(2)]
            mine = [barrier.wait(DEADLINE) for _ in range(5)]
            theirs = [q.get() for _ in range(10)]
            for process in processes:
                process.join()
            self.assertEqual(sorted(mine + theirs), sorted([0, 1, 2] * 5), method)

    def test_a_dead_party_breaks_it(self):
        barrier, ready = mp.Barrier(3), mp.Event()
        process = run(mp, tasks.hold_at_barrier, barrier, ready)
        self.assertTrue(ready.wait(DEADLINE))
        result = []

        def wait():
            try:
                barrier.wait(DEADLINE)
            except threading.BrokenBarrierError:
                result.append('broken')

        thread = threading.Thread(target=wait)
        thread.start()
        while barrier.n_waiting < 2:
            time.sleep(0.01)
        process.kill()
        process.join()
        thread.join(2)
        self.assertEqual(result, ['broken'])
        self.assertTrue(barrier.broken)
        barrier.reset()
        self.assertFalse(barrier.broken)

    def test_action(self):
        calls = []
        barrier = mp.Barrier(2, lambda: calls.append(threading.get_ident()))
        threads = [threading.Thread(target=barrier.wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(len(calls), 1)

        def fail():
            raise LookupError('no')

        barrier = mp.Barrier(2, fail)
        errors = []

        def wait():
            try:
                barrier.wait(DEADLINE)
            except (LookupError, threading.BrokenBarrierError) as error:
                errors.append(type(error).__name__)

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(sorted(errors), ['BrokenBarrierError', 'LookupError'])
        self.assertTrue(barrier.broken)

    def test_time(self):
        for timeout in (0, -1, 0.05):
            barrier = mp.Barrier(2)
            with self.assertRaises(threading.BrokenBarrierError):
                barrier.wait(timeout)
            self.assertTrue(barrier.broken)
        with self.assertRaises(threading.BrokenBarrierError):
            mp.Barrier(2, timeout=0.05).wait()
        with self.assertRaisesRegex(ValueError, '0'):
            mp.Barrier(0)
        self.assertEqual(mp.Barrier(1).wait(0), 0)


if __name__ == '__main__':
    unittest.main()
