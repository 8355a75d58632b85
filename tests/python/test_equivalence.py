# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The same scenarios with multiprocessing and with multiprocessing_gi."""

import queue
import signal
import unittest

import multiprocessing
import multiprocessing_gi

import tasks


def outcome(call, *args, **kwargs):
    """What a call gives or raises, in a form that can be compared."""
    try:
        return call(*args, **kwargs)
    except BaseException as error:
        return type(error), str(error) if not isinstance(error, AssertionError) else ''


def pool_values(mp, method):
    """Results of every kind of call."""
    out = []
    with mp.get_context(method).Pool(2) as pool:
        out.append(pool.apply(tasks.add, (1,), {'right': 2}))
        out.append(pool.map(tasks.square, range(20)))
        out.append(pool.map(tasks.square, range(20), 3))
        out.append(pool.starmap(tasks.add, [(1, 2), (3,)]))
        out.append(list(pool.imap(tasks.square, range(20), 6)))
        out.append(sorted(pool.imap_unordered(tasks.square, range(20))))
        out.append(pool.apply_async(tasks.square, (7,)).get(10))
        out.append(pool.map_async(tasks.square, []).get())
        out.append(pool.map(tasks.Counter(), range(6), 2))
    return out


def pool_errors(mp, method):
    """Errors of every kind of call."""
    out = []
    with mp.get_context(method).Pool(2) as pool:
        out.append(outcome(pool.apply, tasks.fail, ('x',)))
        out.append(outcome(pool.apply, tasks.add))
        out.append(outcome(pool.map, tasks.fail_at_three, range(9), 1))
        out.append(outcome(pool.map, tasks.square, 5))
        out.append(outcome(pool.imap, tasks.square, [1], 0))
        out.append(outcome(pool.apply_async(tasks.wait_for_ever).get, 0.05)[0] is mp.TimeoutError)
        out.append(outcome(pool.apply, tasks.unpicklable_result)[0].__name__)
        out.append(outcome(pool.join))
        out.append(outcome(pool.apply, tasks.square, (tasks.Unpicklable(),)))
    out.append(outcome(pool.map, tasks.square, [1]))
    out.append(outcome(pool.__enter__))
    for arguments in ((0,), (1, 'x'), (1, None, (), 0)):
        out.append(outcome(mp.Pool, *arguments)[0])
    return out


def queue_values(mp, method):
    """What a queue does."""
    context = mp.get_context(method)
    q = context.Queue(2)
    out = [q.empty(), q.full()]
    q.put('a')
    q.put('b')
    out += [q.full(), q.qsize(), outcome(q.put, 'c', False), outcome(q.put, 'c', timeout=0.01)]
    out += [q.get(timeout=10), q.get(timeout=10), outcome(q.get, False)[0] is queue.Empty]
    process = context.Process(target=tasks.put, args=(q, 1))
    process.start()
    out.append(q.get(timeout=20))
    process.join()
    out.append(outcome(q.join_thread)[0])
    q.close()
    out += [outcome(q.put, 1)[0], outcome(q.get)[0]]
    return out


def process_values(mp, method):
    """What a process object shows."""
    context = mp.get_context(method)
    out = []
    for target, args in ((tasks.nothing, ()), (tasks.leave, (3,)), (tasks.leave, (-1,)),
                         (tasks.die, ()), (tasks.die, (signal.SIGTERM,)),
                         (tasks.leave_at_once, (4,))):
        process = context.Process(target=target, args=args, daemon=True)
        out += [process.daemon, process.exitcode, process.pid, process.is_alive()]
        process.start()
        process.join(20)
        out += [process.exitcode, process.is_alive(), outcome(process.start)[0]]
        process.close()
        out += [outcome(process.join)[0], outcome(lambda p=process: p.exitcode)[0]]
    process = context.Process(target=tasks.wait_for_ever)
    process.start()
    out += [process in mp.active_children(), outcome(process.close)[0]]
    process.terminate()
    process.join()
    out += [process.exitcode, process in mp.active_children()]
    out += [outcome(mp.Process, 1)[0], outcome(mp.Process, args=5)[0]]
    out += [outcome(mp.get_context, 'nonsense'), mp.current_process().name]
    return out


class TestEquivalence(unittest.TestCase):
    """One test a scenario, under both start methods."""

    maxDiff = None

    def compare(self, scenario):
        for method in ('forkserver', 'spawn'):
            with self.subTest(method):
                self.assertEqual(scenario(multiprocessing_gi, method),
                                 scenario(multiprocessing, method))

    def test_pool_values(self):
        self.compare(pool_values)

    def test_pool_errors(self):
        self.compare(pool_errors)

    def test_queue(self):
        self.compare(queue_values)

    def test_process(self):
        self.compare(process_values)


if __name__ == '__main__':
    unittest.main()
