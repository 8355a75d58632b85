# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Python's queue with which descriptors go."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import unittest

import multiprocessing_gi as mp
from multiprocessing_gi import resource_sharer
from multiprocessing_gi.process import AuthenticationString
from multiprocessing_gi.queues import CarryingQueue, Empty, Full

DEADLINE = 60


def n_fds():
    """How many descriptors this process has."""
    gc.collect()
    return len(os.listdir('/proc/self/fd'))


@contextlib.contextmanager
def few_left(n):
    """This process can have n more descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_fds() + 32, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open('/dev/null', os.O_RDONLY | os.O_CLOEXEC))
        for _ in range(n):
            os.close(taken.pop())
        yield
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def put_sockets_and_die(queue):
    """Put one end of a pair, whose other end has something to say."""
    here, there = socket.socketpair()
    here.sendall(b'from the dead')
    queue.put({'socket': there, 'rest': [1, 2]})
    os.kill(os.getpid(), signal.SIGKILL)


def serve(queue):
    """Do what is asked, in objects that come through the queue."""
    while True:
        request = queue.get(timeout=DEADLINE)
        if request is None:
            return
        lock, value, answers = request
        with lock:
            value.value += 1
        answers.put(os.getpid())


def take_later(queue, n):
    """Take so many items."""
    for _ in range(n):
        queue.get(timeout=DEADLINE)


class TestCarryingQueue(unittest.TestCase):
    """Between processes that were started before there was what is sent."""

    def setUp(self):
        self.queue = CarryingQueue()

    def start(self, target, *args):
        """A process that is joined in the end."""
        process = mp.Process(target=target, args=args)
        process.start()
        self.addCleanup(process.join, DEADLINE)
        return process

    def test_socket_of_the_dead(self):
        self.start(put_sockets_and_die, self.queue).join(DEADLINE)
        before = n_fds()
        item = self.queue.get(timeout=DEADLINE)
        self.assertEqual(item['rest'], [1, 2])
        with item['socket'] as sock:
            self.assertFalse(sock.get_inheritable())
            self.assertEqual(sock.recv(100), b'from the dead')
            self.assertEqual(sock.recv(100), b'')
        self.assertEqual(n_fds(), before)

    def test_connection(self):
        here, there = mp.Pipe()
        self.queue.put(there)
        there.close()
        with self.queue.get(timeout=DEADLINE) as conn:
            conn.send('hello')
            self.assertEqual(here.recv(), 'hello')
        with self.assertRaises(EOFError):
            here.recv()
        self.assertIsNone(resource_sharer._sharer._server)

    def test_shared_objects(self):
        self.start(serve, self.queue)
        lock, value, answers = mp.Lock(), mp.Value('i', 0), mp.Queue()
        for _ in range(3):
            self.queue.put((lock, value, answers))
        pids = {answers.get(timeout=DEADLINE) for _ in range(3)}
        self.assertNotIn(os.getpid(), pids)
        self.assertEqual(value.value, 3)
        self.queue.put(None)

    def test_itself(self):
        self.queue.put([self.queue, 'more'])
        other, more = self.queue.get(timeout=DEADLINE)
        self.assertEqual(more, 'more')
        self.assertIs(type(other), CarryingQueue)
        other.put(5)
        self.assertEqual(self.queue.get(timeout=DEADLINE), 5)

    def test_plain_items(self):
        items = [1, 'text', b'x' * 100000, {'a': None}]
        for item in items:
            self.queue.put(item)
        self.assertEqual(self.queue.qsize(), 4)
        self.assertEqual([self.queue.get() for _ in items], items)
        with self.assertRaises(Empty):
            self.queue.get(timeout=0.001)

    def test_many(self):
        here, there = socket.socketpair()
        with here:
            self.queue.put_many([1, 2])
            with there:
                self.queue.put((there, b'y' * 100000))
            self.queue.put(3)
            self.assertEqual(self.queue.get_many(10), [1, 2])
            (sock, data), = self.queue.get_many(10)
            self.assertEqual(data, b'y' * 100000)
            sock.close()
            self.assertEqual(here.recv(1), b'')
            self.assertEqual(self.queue.get_many(10), [3])

    def test_not_pickled(self):
        before = n_fds()
        here, there = socket.socketpair()
        with here, there:
            with self.assertRaises(TypeError):
                self.queue.put((here, AuthenticationString(b'key')))
            with self.assertRaises(Exception):
                self.queue.put((here, lambda: None))
        self.assertTrue(self.queue.empty())
        self.assertEqual(n_fds(), before)
        with self.assertRaises(RuntimeError):
            mp.Queue().put(self.queue)

    def test_full(self):
        here, there = socket.socketpair()
        n = 0
        with here, there:
            with self.assertRaises(Full):
                while True:
                    self.queue.put(here, block=False)
                    n += 1
            with self.assertRaises(Full):
                self.queue.put(here, timeout=0.01)
            self.queue.put('this is no descriptor')
            self.start(take_later, self.queue, n + 11)
            for _ in range(10):
                self.queue.put(here, timeout=DEADLINE)

    def test_interrupted(self):
        class Stop(Exception):
            pass

        def stop(*_args):
            raise Stop

        here, there = socket.socketpair()
        queue = CarryingQueue(1)
        queue.put(1)
        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, stop))
        with here, there:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with self.assertRaises(Stop):
                queue.put(here, timeout=DEADLINE)

    def test_too_many_open(self):
        here, there = socket.socketpair()
        self.queue.put(there)
        there.close()
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            with self.assertRaisesRegex(OSError, 'too many open'):
                self.queue.get(timeout=DEADLINE)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        with here, self.queue.get(timeout=DEADLINE) as sock:
            sock.sendall(b'!')
            self.assertEqual(here.recv(1), b'!')

    def test_no_number_left_for_the_object(self):
        """What was taken for nothing is there still, whatever it failed at."""
        here, there = socket.socketpair()
        with here, there, mp.Pipe()[0] as connection:
            for obj in (here, connection, mp.Queue()):
                for n in range(8):
                    self.queue.put(obj)
                    with few_left(n):
                        try:
                            got = self.queue.get(timeout=DEADLINE)
                        except OSError as error:
                            got = str(error)
                    if type(got) is str:
                        self.assertRegex(got, 'too many open|put back.* Too many open')
                        got = self.queue.get(timeout=DEADLINE)
                    self.assertIs(type(got), type(obj))
                    got.close()
                    self.assertTrue(self.queue.empty())

    def test_bounded(self):
        queue = CarryingQueue(1)
        queue.put(1)
        here, there = socket.socketpair()
        with here, there:
            for obj in (2, here):
                with self.assertRaises(Full):
                    queue.put(obj, timeout=0.01)
            self.start(take_later, queue, 2)
            queue.put(here, timeout=DEADLINE)
            queue.put(2, timeout=DEADLINE)

    def test_asyncio(self):
        here, there = socket.socketpair()

        async def exchange():
            taker = asyncio.create_task(self.queue.aget())
            await asyncio.sleep(0)
            with there:
                await self.queue.aput(there)
            return await asyncio.wait_for(taker, DEADLINE)

        with here, asyncio.run(exchange()) as sock:
            sock.sendall(b'!')
            self.assertEqual(here.recv(1), b'!')

    def test_asyncio_to_the_end(self):
        async def collect():
            return [item async for item in self.queue]

        here, there = socket.socketpair()
        with here, there:
            self.queue.put(1)
            self.queue.put(there)
        self.queue.gobject.close()
        first, second = asyncio.run(asyncio.wait_for(collect(), DEADLINE))
        self.assertEqual(first, 1)
        second.close()

    def test_other_queues_refuse(self):
        here, there = socket.socketpair()
        plain = mp.Queue()
        plain._attach(self.queue.gobject)
        with here, there:
            self.queue.put(here)
            with self.assertRaisesRegex(OSError, 'has descriptors'):
                plain.get()
            with self.assertRaisesRegex(OSError, 'has descriptors'):
                plain.get_many(5)
            with self.assertRaisesRegex(OSError, 'has descriptors'):
                self.queue.get_leased(timeout=1)
        self.queue.get(timeout=DEADLINE).close()


if __name__ == '__main__':
    unittest.main()
