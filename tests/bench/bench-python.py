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
import statistics
import subprocess
import sys
import time

WORKERS = 2
LIBMP = 'multiprocessing_gi'
STDLIB = 'multiprocessing'
LESS_IS_BETTER = ('ns', 'us', 'ms')


def same(value):
    """Do nothing: what is measured is the way there and back."""
    return value


def nothing():
    """Do nothing."""


def produce(queue, number):
    """Put small messages; the first one only says that the process runs."""
    queue.put(None)
    message = b'x' * 100
    for _ in range(number):
        queue.put(message)


def produce_tuples(queue, number):
    """Put small tuples."""
    queue.put(None)
    for _ in range(number):
        queue.put((1, 'abc', 2.5))


def produce_together(queue, number):
    """Put small tuples, a hundred at a time where that can be done."""
    queue.put(None)
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
    queue.get()
    start = time.perf_counter()
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
    queue.get()
    start, got = time.perf_counter(), 0
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
    """A process from a parent of 512 MiB, start method forkserver."""
    ballast = bytearray(b'\1') * (512 << 20)
    value = process_life(module.get_context('forkserver'), number)
    del ballast
    return value


def process_start_fork(module, number):
    """A process from a small parent; the peer forks."""
    method = 'fork' if module.__name__ == STDLIB else 'forkserver'
    return process_life(module.get_context(method), number)


def process_start_fork_big(module, number):
    """A process from a parent of 512 MiB; the peer forks."""
    ballast = bytearray(b'\1') * (512 << 20)
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
    (pool_map_single, 'Python Pool.map, chunksize=1', 'tasks/s', 100_000, 20_000, STDLIB, 3.0),
    (pool_map_default, 'Python Pool.map, default chunksize', 'tasks/s', 1_000_000, 200_000,
     STDLIB, 1.0),
    (pool_imap_unordered, 'Python Pool.imap_unordered', 'tasks/s', 50_000, 10_000, STDLIB, None),
    (pool_apply, 'Python Pool.apply, latency', 'us', 2_000, 500, STDLIB, None),
    (pool_life, 'Python Pool(2), made, used once, joined', 'ms', 10, 3, STDLIB, None),
    (queue_stream, 'Python Queue, 100 bytes, 1 to 1', 'messages/s', 100_000, 20_000, STDLIB, None),
    (simple_queue_stream, 'Python SimpleQueue, 100 bytes, 1 to 1', 'messages/s',
     100_000, 20_000, STDLIB, None),
    (tuple_stream, 'Python SimpleQueue, small tuples, 1 to 1', 'messages/s',
     100_000, 20_000, STDLIB, 5.0),
    (together_stream, 'Python put_many and get_many, 100 tuples at a time, 1 to 1', 'messages/s',
     100_000, 20_000, STDLIB + ', one by one', 8.0),
    (queue_round_trip, 'Python SimpleQueue, round trip', 'us', 5_000, 1_000, STDLIB, None),
    (connection_objects, 'Python Pipe, send+recv', 'ns', 100_000, 20_000, STDLIB, 1.0),
    (connection_bytes, 'Python Pipe, send_bytes+recv_bytes, 100 bytes', 'ns', 100_000, 20_000,
     STDLIB, 1.0),
    (connection_round_trip, 'Python Pipe, round trip', 'us', 5_000, 1_000, STDLIB, 1.0),
    (process_start, 'Python Process start+join, small parent', 'ms', 20, 5,
     STDLIB + ' forkserver', 4.0),
    (process_start_big, 'Python Process start+join, 512 MiB parent', 'ms', 20, 5,
     STDLIB + ' forkserver', 4.0),
    (process_start_fork, 'Python Process start+join, small parent', 'ms', 20, 5,
     STDLIB + ' fork', None),
    (process_start_fork_big, 'Python Process start+join, 512 MiB parent', 'ms', 20, 5,
     STDLIB + ' fork', None),
)


def one_try(function, module, number):
    """Run one benchmark of one side in an interpreter of its own."""
    command = [sys.executable, __file__, '--try', function.__name__, module, str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    return float(done.stdout)


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
        pairs = [(one_try(function, LIBMP, number), one_try(function, STDLIB, number))
                 for _ in range(tries)]
        ours, theirs = (statistics.median(side) for side in zip(*pairs))
        line = {'name': name, 'value': ours, 'unit': unit, 'peer': peer, 'peer_value': theirs,
                'ratio': theirs / ours if unit in LESS_IS_BETTER else ours / theirs,
                'tries': tries}
        if target:
            line['target_ratio'] = target
        print(json.dumps(line), flush=True)


if __name__ == '__main__':
    main()
