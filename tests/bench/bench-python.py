#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""multiprocessing_gi beside multiprocessing: one JSON line a figure.

Each try is an interpreter of its own, so that neither side runs beside the
threads and the memory of the other; the two take turns, and what is reported is
the median of the tries. tests/bench/README.md tells what the lines mean.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time

from rounds import rounds

WORKERS = 2
LIBMP = 'multiprocessing_gi'
STDLIB = 'multiprocessing'
EXECUTOR = 'concurrent.futures'
JOBLIB = 'joblib'
LESS_IS_BETTER = ('ns', 'us', 'ms')


def same(value):
    """Do nothing: what is measured is the way there and back."""
    return value


def nothing():
    """Do nothing."""


def produce(queue, number):
    """Put small messages; the first one says when it began, by the clock of all processes."""
    queue.put(time.perf_counter())
    message = b'x' * 100
    for _ in range(number):
        queue.put(message)


def produce_tuples(queue, number):
    """Put small tuples."""
    queue.put(time.perf_counter())
    for _ in range(number):
        queue.put((1, 'abc', 2.5))


def produce_together(queue, number):
    """Put small tuples, a hundred at a time where that can be done."""
    queue.put(time.perf_counter())
    items = [(1, 'abc', 2.5)] * 100
    for _ in range(number // 100):
        if hasattr(queue, 'put_many'):
            queue.put_many(items)
        else:
            for item in items:
                queue.put(item)


def echo(incoming, outgoing, number):
    """Send every message back."""
    for _ in range(number):
        outgoing.put(incoming.get())


def pool_rate(module, number, run):
    """Tasks a second of run(pool, range(number)), in a pool that is warm."""
    with module.Pool(WORKERS) as pool:
        pool.map(same, range(1000))
        start = time.perf_counter()
        result = run(pool, range(number))
        seconds = time.perf_counter() - start
    if sum(result) != number * (number - 1) // 2:
        raise AssertionError('a task was lost or done twice')
    return number / seconds


def pool_map_single(module, number):
    """Tasks a second, each sent by itself."""
    return pool_rate(module, number, lambda pool, items: pool.map(same, items, chunksize=1))


def pool_map_default(module, number):
    """Tasks a second, in chunks as the pool sees fit."""
    return pool_rate(module, number, lambda pool, items: pool.map(same, items))


def pool_imap_unordered(module, number):
    """Tasks a second, results as they come."""
    return pool_rate(module, number, lambda pool, items: list(pool.imap_unordered(same, items)))


def pool_apply(module, number):
    """Median microseconds of one call that waits for its result."""
    with module.Pool(WORKERS) as pool:
        pool.map(same, range(100))
        times = []
        for i in range(number):
            start = time.perf_counter()
            pool.apply(same, (i,))
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def long_rate(module, number, run):
    """Tasks a second of run(pool, items), whose items and results have a mebibyte."""
    items = [b'x' * 2**20] * number
    with module.Pool(WORKERS) as pool:
        run(pool, items[:50])
        start = time.perf_counter()
        lengths = [len(result) for result in run(pool, items)]
        seconds = time.perf_counter() - start
    if lengths != [2**20] * number:
        raise AssertionError('a result is not what was sent')
    return number / seconds


def pool_long_apply(module, number):
    """Of apply(), one after the other."""
    return long_rate(module, number, lambda pool, items: (
        pool.apply(same, (item,)) for item in items))


def pool_long_map(module, number):
    """Of map()."""
    return long_rate(module, number, lambda pool, items: pool.map(same, items, chunksize=1))


def pool_long_imap(module, number):
    """Of imap()."""
    return long_rate(module, number, lambda pool, items: pool.imap(same, items))


def total(array):
    """What a worker is to do with an array."""
    return float(array.sum())


def make_ones(mebibytes):
    """An array that a worker makes."""
    import numpy
    return numpy.ones(mebibytes * 2**20 // 8)


def pool_array_times(module, mebibytes, back=False):
    """Milliseconds of each of six calls with a long argument, or a long result."""
    import numpy
    times = []
    array = None if back else make_ones(mebibytes)
    with module.Pool(1) as pool:
        pool.apply(total, (numpy.ones(1),))
        for _ in range(6):
            start = time.perf_counter()
            result = pool.apply(make_ones, (mebibytes,)) if back else pool.apply(total, (array,))
            times.append((time.perf_counter() - start) * 1e3)
            result = None
    return times


def pool_array_first(module, mebibytes):
    """The first array that a pool's worker ever gets."""
    return pool_array_times(module, mebibytes)[0]


def pool_array_warm(module, mebibytes):
    """One of those that follow."""
    return statistics.median(pool_array_times(module, mebibytes)[3:])


def pool_result_first(module, mebibytes):
    """The first array that it makes."""
    return pool_array_times(module, mebibytes, True)[0]


def pool_result_warm(module, mebibytes):
    """One of those that follow."""
    return statistics.median(pool_array_times(module, mebibytes, True)[3:])


def map_as_it_can(module, number):
    """Tasks a second, one by one, by whatever a package has for that."""
    if module.__name__ == JOBLIB:
        with module.Parallel(n_jobs=WORKERS, batch_size=1) as parallel:
            parallel(module.delayed(same)(item) for item in range(100))
            start = time.perf_counter()
            parallel(module.delayed(same)(item) for item in range(number))
            return number / (time.perf_counter() - start)
    if module.__name__ == EXECUTOR:
        return executor_map(module, number)
    return pool_map_single(module, number)


def executor_map(module, number):
    """Calls a second through an executor's map(), each sent by itself."""
    if module.__name__ == LIBMP:
        module = importlib.import_module(LIBMP + '.futures')
    with module.ProcessPoolExecutor(WORKERS) as executor:
        list(executor.map(same, range(1000)))
        start = time.perf_counter()
        result = list(executor.map(same, range(number)))
        seconds = time.perf_counter() - start
    if sum(result) != number * (number - 1) // 2:
        raise AssertionError('a call was lost or done twice')
    return number / seconds


def work(_item):
    """Take a millisecond of processor time."""
    end = time.thread_time() + 0.001
    while time.thread_time() < end:
        pass


def pool_milliseconds(module, number):
    """How much of the processors' time goes into tasks of a millisecond, in percent."""
    with module.Pool(WORKERS) as pool:
        pool.map(same, range(1000))
        start = time.perf_counter()
        pool.map(work, range(number), chunksize=1)
        seconds = time.perf_counter() - start
    return 100 * 0.001 * number / WORKERS / seconds


def pool_start(context, n_workers, number):
    """Milliseconds to make a pool and have one task for each worker done: the best of some.

    Whatever else the machine does makes it longer, never shorter.
    """
    times = []
    for _ in range(number + 1):
        start = time.perf_counter()
        pool = context.Pool(n_workers)
        pool.map(same, range(n_workers), chunksize=1)
        times.append(time.perf_counter() - start)
        pool.close()
        pool.join()
    return min(times[1:]) * 1e3


def pool_start_8(module, number):
    """A pool of 8 workers, start method forkserver."""
    return pool_start(module.get_context('forkserver'), 8, number)


def pool_start_64(module, number):
    """A pool of 64 workers, start method forkserver."""
    return pool_start(module.get_context('forkserver'), 64, number)


def pool_start_fork_8(module, number):
    """A pool of 8 workers; the peer forks."""
    method = 'fork' if module.__name__ == STDLIB else 'forkserver'
    return pool_start(module.get_context(method), 8, number)


def pool_start_fork_64(module, number):
    """A pool of 64 workers; the peer forks."""
    method = 'fork' if module.__name__ == STDLIB else 'forkserver'
    return pool_start(module.get_context(method), 64, number)


def pool_life(module, number):
    """Median milliseconds to make a pool, use it once and join it."""
    times = []
    for _ in range(number + 1):
        start = time.perf_counter()
        pool = module.Pool(WORKERS)
        pool.map(same, range(WORKERS))
        pool.close()
        pool.join()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) * 1e3


def queue_rate(module, queue, number, produce=produce):
    """Messages a second from one process to another, of 100 bytes if not said otherwise."""
    process = module.Process(target=produce, args=(queue, number))
    process.start()
    start = queue.get()
    for _ in range(number):
        queue.get()
    seconds = time.perf_counter() - start
    process.join()
    return number / seconds


def queue_stream(module, number):
    """Messages a second through a Queue."""
    return queue_rate(module, module.Queue(), number)


def simple_queue_stream(module, number):
    """Messages a second through a SimpleQueue."""
    return queue_rate(module, module.SimpleQueue(), number)


def tuple_stream(module, number):
    """Small tuples a second through a SimpleQueue."""
    return queue_rate(module, module.SimpleQueue(), number, produce_tuples)


def together_stream(module, number):
    """Small tuples a second, put and got a hundred at a time where that can be done."""
    if not hasattr(module.Queue, 'get_many'):
        return queue_rate(module, module.SimpleQueue(), number, produce_together)
    queue = module.Queue()
    process = module.Process(target=produce_together, args=(queue, number))
    process.start()
    start, got = queue.get(), 0
    while got < number:
        got += len(queue.get_many(100))
    seconds = time.perf_counter() - start
    process.join()
    return number / seconds


def queue_round_trip(module, number):
    """Median microseconds to another process and back, through two SimpleQueues."""
    there, back = module.SimpleQueue(), module.SimpleQueue()
    process = module.Process(target=echo, args=(there, back, number + 10))
    process.start()
    times = []
    for i in range(number + 10):
        start = time.perf_counter()
        there.put(i)
        back.get()
        times.append(time.perf_counter() - start)
    process.join()
    return statistics.median(times[10:]) * 1e6


def connection_turn(module, number, send, receive, message):
    """Nanoseconds of processor time to send a message into a pipe and receive it."""
    one, other = module.Pipe()
    with one, other:
        sending, receiving = getattr(one, send), getattr(other, receive)

        def turn(count):
            for _ in range(count):
                sending(message)
                receiving()

        return per_turn(turn, number)


def connection_objects(module, number):
    """A small object, sent and received."""
    return connection_turn(module, number, 'send', 'recv', b'x' * 100)


def connection_bytes(module, number):
    """100 bytes, sent and received."""
    return connection_turn(module, number, 'send_bytes', 'recv_bytes', b'x' * 100)


def send_back(connection, number):
    """Send every message back."""
    for _ in range(number):
        connection.send(connection.recv())


def connection_round_trip(module, number):
    """Median microseconds to another process and back, through a Pipe."""
    one, other = module.Pipe()
    process = module.Process(target=send_back, args=(other, number + 10))
    process.start()
    times = []
    for i in range(number + 10):
        start = time.perf_counter()
        one.send(i)
        one.recv()
        times.append(time.perf_counter() - start)
    process.join()
    return statistics.median(times[10:]) * 1e6


def look_at_arrays(get, put):
    """Say what each array ends with."""
    while (array := get()) is not None:
        put(float(array[-1]))


def look_through_queues(there, back):
    """The same, for queues."""
    look_at_arrays(there.get, back.put)


def look_through_pipe(connection):
    """The same, for a pipe."""
    look_at_arrays(connection.recv, connection.send)


def array_times(process, put, get, mebibytes):
    """Milliseconds until the other process has seen an array, for each of six."""
    import numpy
    array, times = numpy.ones(mebibytes * 2**20 // 8), []
    process.start()
    put(numpy.ones(1))
    get()
    for _ in range(6):
        start = time.perf_counter()
        put(array)
        get()
        times.append((time.perf_counter() - start) * 1e3)
    put(None)
    process.join()
    return times


def array_through_queue(module, mebibytes):
    """All of them, through a Queue."""
    there, back = module.Queue(), module.Queue()
    process = module.Process(target=look_through_queues, args=(there, back))
    return array_times(process, there.put, back.get, mebibytes)


def array_through_pipe(module, mebibytes):
    """All of them, through a Pipe."""
    one, other = module.Pipe()
    process = module.Process(target=look_through_pipe, args=(other,))
    return array_times(process, one.send, one.recv, mebibytes)


def queue_array_first(module, mebibytes):
    """Milliseconds for the first array that a queue ever has."""
    return array_through_queue(module, mebibytes)[0]


def queue_array_warm(module, mebibytes):
    """Median milliseconds for one of those that follow."""
    return statistics.median(array_through_queue(module, mebibytes)[3:])


def pipe_array_first(module, mebibytes):
    """Milliseconds for the first array that a pipe ever has."""
    return array_through_pipe(module, mebibytes)[0]


def pipe_array_warm(module, mebibytes):
    """Median milliseconds for one of those that follow."""
    return statistics.median(array_through_pipe(module, mebibytes)[3:])


def process_life(context, number):
    """Median milliseconds to start a process that does nothing and join it."""
    times = []
    for _ in range(number + 2):  # the first ones warm the zygote or the server
        start = time.perf_counter()
        process = context.Process(target=nothing)
        process.start()
        process.join()
        times.append(time.perf_counter() - start)
        if process.exitcode != 0:
            raise AssertionError(f'exit code {process.exitcode}')
    return statistics.median(times[2:]) * 1e3


def process_start(module, number):
    """A process from a small parent, start method forkserver."""
    return process_life(module.get_context('forkserver'), number)


def process_start_big(module, number):
    """A process from a parent of 1 GiB, start method forkserver."""
    ballast = bytearray(b'\1') * (1 << 30)
    value = process_life(module.get_context('forkserver'), number)
    del ballast
    return value


def process_start_fork(module, number):
    """A process from a small parent; the peer forks."""
    method = 'fork' if module.__name__ == STDLIB else 'forkserver'
    return process_life(module.get_context(method), number)


def process_start_fork_big(module, number):
    """A process from a parent of 1 GiB; the peer forks."""
    ballast = bytearray(b'\1') * (1 << 30)
    value = process_start_fork(module, number)
    del ballast
    return value


def per_turn(call, number):
    """Nanoseconds of processor time that call(number) takes a turn: the median of five parts."""
    call(number // 10)
    times = []
    for _ in range(5):
        start = time.process_time()
        call(number // 5)
        times.append(time.process_time() - start)
    return statistics.median(times) * 1e9 / (number // 5)


def lock_pair(module, number, kind='Lock'):
    """Nanoseconds to acquire and release a free lock."""
    lock = getattr(module, kind)()

    def turn(count):
        acquire, release = lock.acquire, lock.release
        for _ in range(count):
            acquire()
            release()

    return per_turn(turn, number)


def rlock_pair(module, number):
    """Nanoseconds to acquire and release a free recursive lock."""
    return lock_pair(module, number, 'RLock')


def semaphore_pair(module, number):
    """Nanoseconds to acquire and release a semaphore."""
    return lock_pair(module, number, 'Semaphore')


def value_read(module, number):
    """Nanoseconds to read a value under its lock."""
    value = module.Value('i', 3)

    def turn(count):
        for _ in range(count):
            value.value

    return per_turn(turn, number)


def value_add(module, number):
    """Nanoseconds to add one to a value under its lock."""
    value = module.Value('q', 0)

    def turn(count):
        for _ in range(count):
            with value.get_lock():
                value.value += 1

    return per_turn(turn, number)


def answer_events(there, back, number):
    """Set one event whenever the other one is set."""
    for _ in range(number):
        there.wait()
        there.clear()
        back.set()


def event_round_trip(module, number):
    """Median microseconds to wake another process by an event and be woken by it."""
    there, back = module.Event(), module.Event()
    process = module.Process(target=answer_events, args=(there, back, number + 10))
    process.start()
    times = []
    for _ in range(number + 10):
        start = time.perf_counter()
        there.set()
        back.wait()
        times.append(time.perf_counter() - start)
        back.clear()
    process.join()
    return statistics.median(times[10:]) * 1e6


def meet(barrier, number):
    """Meet the others at a barrier."""
    for _ in range(number):
        barrier.wait()


def barrier_rate(module, number):
    """How often a second eight processes meet."""
    barrier = module.Barrier(8)
    processes = [module.Process(target=meet, args=(barrier, number + 1)) for _ in range(7)]
    for process in processes:
        process.start()
    barrier.wait()
    start = time.perf_counter()
    meet(barrier, number)
    seconds = time.perf_counter() - start
    for process in processes:
        process.join()
    return number / seconds


# function, what it is called, unit, how many, how many with --quick, peer, target ratio
BENCHES = (
    (lock_pair, 'Python Lock, acquire+release', 'ns', 1_000_000, 200_000, STDLIB, 1.0),
    (rlock_pair, 'Python RLock, acquire+release', 'ns', 1_000_000, 200_000, STDLIB, 1.0),
    (semaphore_pair, 'Python Semaphore, acquire+release', 'ns', 1_000_000, 200_000, STDLIB, 1.0),
    (value_read, 'Python Value, read under its lock', 'ns', 500_000, 100_000, STDLIB, 1.0),
    (value_add, 'Python Value += 1 under its lock', 'ns', 200_000, 50_000, STDLIB, 1.0),
    (event_round_trip, 'Python Event, there and back', 'us', 3_000, 500, STDLIB, 1.0),
    (barrier_rate, 'Python Barrier(8)', 'meetings/s', 2_000, 300, STDLIB, 3.0),
    (pool_map_single, 'Python Pool.map, chunksize=1', 'tasks/s', 100_000, 20_000, STDLIB, 6.0),
    (pool_map_single, 'Python Pool.map, chunksize=1, no accelerator', 'tasks/s', 100_000, 20_000,
     STDLIB, 4.0),
    (map_as_it_can, 'Python Pool.map, chunksize=1', 'tasks/s', 20_000, 5_000, EXECUTOR, None),
    (map_as_it_can, 'Python Pool.map, chunksize=1', 'tasks/s', 5_000, 1_000, JOBLIB, None),
    (executor_map, 'Python executor.map', 'tasks/s', 20_000, 5_000, EXECUTOR, None),
    (pool_milliseconds, 'Python Pool.map, tasks of 1 ms, of the ideal', '%', 2_000, 500, STDLIB,
     1.15),
    (pool_map_default, 'Python Pool.map, default chunksize', 'tasks/s', 1_000_000, 200_000,
     STDLIB, 1.0),
    (pool_imap_unordered, 'Python Pool.imap_unordered', 'tasks/s', 50_000, 10_000, STDLIB, None),
    (pool_apply, 'Python Pool.apply, latency', 'us', 2_000, 500, STDLIB, 1.67),
    (pool_long_apply, 'Python Pool.apply, 1 MiB there and back', 'tasks/s', 1_000, 200, STDLIB,
     5.0),
    (pool_long_map, 'Python Pool.map, chunksize=1, 1 MiB there and back', 'tasks/s', 1_000, 200,
     STDLIB, 5.0),
    (pool_long_imap, 'Python Pool.imap, 1 MiB there and back', 'tasks/s', 1_000, 200, STDLIB, 5.0),
    (pool_long_imap, 'Python Pool.imap, 1 MiB there and back, no accelerator', 'tasks/s', 1_000,
     200, STDLIB, None),
    (pool_array_first, 'Python Pool.apply, array of 256 MiB, the first', 'ms', 256, 64, STDLIB,
     5.0),
    (pool_array_warm, 'Python Pool.apply, array of 256 MiB, warm', 'ms', 256, 64, STDLIB, 10.0),
    (pool_result_first, 'Python Pool.apply, result of 256 MiB, the first', 'ms', 256, 64, STDLIB,
     5.0),
    (pool_result_warm, 'Python Pool.apply, result of 256 MiB, warm', 'ms', 256, 64, STDLIB, 10.0),
    (pool_start_8, 'Python Pool(8), made and used once', 'ms', 5, 3, STDLIB + ' forkserver', 4.0),
    (pool_start_64, 'Python Pool(64), made and used once', 'ms', 3, 2, STDLIB + ' forkserver', 4.0),
    (pool_start_fork_8, 'Python Pool(8), made and used once', 'ms', 5, 3, STDLIB + ' fork', 1.0),
    (pool_start_fork_64, 'Python Pool(64), made and used once', 'ms', 3, 2, STDLIB + ' fork', 1.0),
    (pool_life, 'Python Pool(2), made, used once, joined', 'ms', 10, 3, STDLIB, None),
    (queue_stream, 'Python Queue, 100 bytes, 1 to 1', 'messages/s', 100_000, 20_000, STDLIB, None),
    (simple_queue_stream, 'Python SimpleQueue, 100 bytes, 1 to 1', 'messages/s',
     100_000, 20_000, STDLIB, None),
    (tuple_stream, 'Python SimpleQueue, small tuples, 1 to 1', 'messages/s',
     100_000, 20_000, STDLIB, 5.0),
    (tuple_stream, 'Python SimpleQueue, small tuples, 1 to 1, no accelerator', 'messages/s',
     100_000, 20_000, STDLIB, 2.0),
    (together_stream, 'Python put_many and get_many, 100 tuples at a time, 1 to 1', 'messages/s',
     100_000, 20_000, STDLIB + ', one by one', 8.0),
    (queue_round_trip, 'Python SimpleQueue, round trip', 'us', 5_000, 1_000, STDLIB, None),
    (connection_objects, 'Python Pipe, send+recv', 'ns', 100_000, 20_000, STDLIB, 1.0),
    (connection_bytes, 'Python Pipe, send_bytes+recv_bytes, 100 bytes', 'ns', 100_000, 20_000,
     STDLIB, 1.0),
    (connection_round_trip, 'Python Pipe, round trip', 'us', 5_000, 1_000, STDLIB, 1.0),
    (queue_array_first, 'Python Queue, array of 256 MiB, the first', 'ms', 256, 64, STDLIB, 4.0),
    (queue_array_warm, 'Python Queue, array of 256 MiB, warm', 'ms', 256, 64, STDLIB, 8.0),
    (pipe_array_first, 'Python Pipe, array of 256 MiB, the first', 'ms', 256, 64, STDLIB, 4.0),
    (pipe_array_warm, 'Python Pipe, array of 256 MiB, warm', 'ms', 256, 64, STDLIB, 8.0),
    (process_start, 'Python Process start+join, small parent', 'ms', 20, 5,
     STDLIB + ' forkserver', 6.0),
    (process_start_big, 'Python Process start+join, 1 GiB parent', 'ms', 20, 5,
     STDLIB + ' forkserver', 4.0),
    (process_start_fork, 'Python Process start+join, small parent', 'ms', 20, 5,
     STDLIB + ' fork', None),
    (process_start_fork_big, 'Python Process start+join, 1 GiB parent', 'ms', 20, 5,
     STDLIB + ' fork', None),
)


def one_try(function, name, module, number):
    """Run one benchmark of one side in an interpreter of its own."""
    command = [sys.executable, __file__, '--try', function.__name__, module, str(number)]
    environment = dict(os.environ)
    if name.endswith('no accelerator'):
        environment['MP_ACCELERATOR'] = '0'
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, text=True,
                          timeout=600, check=True)
    return float(done.stdout)


def module_of(peer):
    """The package that a peer's name begins with; None if it is not there."""
    module = peer.partition(' ')[0].rstrip(',')
    try:
        importlib.import_module(module)
    except ImportError:
        return None
    return module


def main():
    """Run all benchmarks, or one try of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help='smaller numbers, fewer tries')
    parser.add_argument('--only', metavar='WORD', default='',
                        help='only benchmarks with this in their function or name')
    parser.add_argument('--tries', type=int, help='how many tries a side (default: 5, quick 3)')
    parser.add_argument('--try', nargs=3, metavar=('FUNCTION', 'MODULE', 'NUMBER'), dest='attempt',
                        help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    if arguments.attempt:
        function, module, number = arguments.attempt
        print(globals()[function](importlib.import_module(module), int(number)))
        return

    tries = arguments.tries or (3 if arguments.quick else 5)
    for function, name, unit, full, quick, peer, target in BENCHES:
        if arguments.only not in function.__name__ + ' ' + name:
            continue
        number = quick if arguments.quick else full
        module = module_of(peer)
        if module is None:
            print(f'{peer} is not installed: {name!r} is left out', file=sys.stderr)
            continue
        ours, theirs = map(statistics.median, zip(*rounds(tries, lambda: [
            one_try(function, name, side, number) for side in (LIBMP, module)])))
        line = {'name': name, 'value': ours, 'unit': unit, 'peer': peer, 'peer_value': theirs,
                'ratio': theirs / ours if unit in LESS_IS_BETTER else ours / theirs,
                'tries': tries}
        if target:
            line['target_ratio'] = target
        print(json.dumps(line), flush=True)


if __name__ == '__main__':
    main()
