# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Items that are long: bytes and arrays, written once into shared memory and read there."""

import asyncio
import errno
import gc
import multiprocessing.connection
import os
import pickle
import queue
import resource
import socket
import struct
import threading
import unittest
import unittest.mock

import numpy

from gi.repository import GLib, Mp

import multiprocessing_gi as mp
import multiprocessing_gi.connection  # noqa: F401
from multiprocessing_gi import _pipe

LONG = 300_000


class Sample:
    """An object with a buffer of its own."""

    def __init__(self, data):
        self.data = bytearray(data)

    def __reduce_ex__(self, protocol):
        return Sample, (pickle.PickleBuffer(self.data),)


def add_up(source, target):
    """What the other process does with arrays."""
    while (array := source.get()) is not None:
        target.put((float(array.sum()), array.flags.writeable, array * 2))


def send_back(connection):
    """Gives back one more."""
    while (array := connection.recv()) is not None:
        connection.send(array + 1)


def put_only(connection):
    """Puts an item where the receiver would look, and says nothing of it."""
    with unittest.mock.patch.object(connection, "_write_all", lambda _pieces: os._exit(0)):
        connection.send(b"never" * LONG)


def keep_one(source, target):
    """Takes an array and ends with it in its hands."""
    array = source.get()
    target.put(int(array[0]))
    source.get()


class TestLongItems(unittest.TestCase):
    """Through every class of queue."""

    def test_kinds(self):
        big = numpy.arange(LONG)
        items = [b"x" * LONG, bytearray(b"y" * LONG), "z" * LONG, [b"a" * LONG, 1],
                 list(range(LONG)), b"", b"q" * 32768, b"q" * 32767]
        for kind in (mp.Queue, mp.JoinableQueue, mp.SimpleQueue):
            q = kind()
            for item in items:
                q.put(item)
            for item in items:
                got = q.get()
                self.assertEqual(got, item)
                self.assertIs(type(got), type(item))
            q.put({"array": big, "short": numpy.ones(3), "turned": big.reshape(3, -1).T,
                   "every other": big[::2]})
            got = q.get()
            self.assertTrue((got["array"] == big).all())
            self.assertTrue((got["short"] == numpy.ones(3)).all())
            self.assertTrue((got["turned"] == big.reshape(3, -1).T).all())
            self.assertTrue((got["every other"] == big[::2]).all())

    def test_sample(self):
        q = mp.Queue()
        q.put(Sample(b"s" * LONG))
        self.assertEqual(q.get().data, b"s" * LONG)

    def test_arrays_live_on(self):
        q = mp.Queue()
        arrays = []
        for number in range(20):
            q.put(numpy.full(LONG, number))
            arrays.append(q.get())
        arrays[3][:] = 333
        del q
        gc.collect()
        for number, array in enumerate(arrays):
            self.assertTrue((array == (333 if number == 3 else number)).all())

    def test_two_processes(self):
        there, back = mp.Queue(), mp.Queue()
        process = mp.Process(target=add_up, args=(there, back))
        process.start()
        for number in range(10):
            array = numpy.full(LONG + number, number, dtype="i4")
            there.put(array)
            total, writable, double = back.get(timeout=30)
            self.assertEqual(total, number * (LONG + number))
            self.assertTrue(writable)
            self.assertTrue((double == 2 * array).all())
        there.put(None)
        process.join()
        self.assertEqual(process.exitcode, 0)

    def test_killed(self):
        there, back = mp.Queue(), mp.Queue()
        for number in range(5):
            process = mp.Process(target=keep_one, args=(there, back))
            process.start()
            there.put(numpy.full(LONG, number))
            self.assertEqual(back.get(timeout=30), number)
            process.kill()
            process.join()
        there.put(b"still" * LONG)
        self.assertEqual(there.get(), b"still" * LONG)

    def make_ends(self):
        """Two ends that know of each other."""
        one, other = mp.Pipe()
        self.assertFalse(one.poll() or other.poll())
        return one, other

    def test_pipe(self):
        one, other = self.make_ends()
        array = numpy.arange(LONG)
        items = [b"x" * LONG, array, 1, bytearray(b"y" * LONG), {"a": array, "b": [array[:9]]}, "z"]
        for item in items[:4] * 3:
            one.send(item)
            self.assertTrue(other.poll())
            got = other.recv()
            self.assertTrue(numpy.array_equal(got, item))
        for item in items:
            other.send(item)
        self.assertEqual(one.recv_bytes()[-5:], pickle.dumps(items[0], 5)[-5:])
        self.assertTrue((one.recv() == array).all())
        self.assertEqual(one.recv(), 1)
        buffer = bytearray(LONG + 1000)
        length = one.recv_bytes_into(buffer)
        self.assertEqual(pickle.loads(buffer[:length]), items[3])
        got = one.recv()
        self.assertTrue((got["a"] == array).all() and (got["b"][0] == array[:9]).all())
        self.assertEqual(one.recv(), "z")
        other.close()
        with self.assertRaises(EOFError):
            one.recv()
        with self.assertRaises(BrokenPipeError):
            one.send(array)

    def test_pipe_between_processes(self):
        one, other = mp.Pipe()
        process = mp.Process(target=send_back, args=(other,))
        process.start()
        other.close()
        for number in range(10):
            array = numpy.full(LONG, number)
            one.send(array)
            self.assertTrue((one.recv() == array + 1).all())
        one.send(None)
        process.join()
        self.assertEqual(process.exitcode, 0)

    def test_pipe_is_left(self):
        """Who sends more than there is room for, to nobody, gets an error."""
        one, other = self.make_ends()
        timer = threading.Timer(0.2, other.close)
        timer.start()
        with self.assertRaises(BrokenPipeError):
            while True:
                one.send(b"x" * LONG)
        timer.join()

    def test_pipe_to_anybody(self):
        """Until an end has received, it may be anybody's: it gets the bytes."""
        for item in (b"x" * LONG, bytearray(b"y" * LONG), numpy.arange(LONG)):
            one, other = mp.Pipe()
            with multiprocessing.connection.Connection(os.dup(other.fileno())) as of_stdlib:
                thread = threading.Thread(target=one.send, args=(item,))
                thread.start()
                self.assertTrue(numpy.array_equal(of_stdlib.recv(), item))
                thread.join()

    def test_pipe_to_another_namespace(self):
        one, other = mp.Pipe()
        with unittest.mock.patch.object(_pipe, "_mark", lambda: b"\0mp-pipe-python-1-1-"):
            self.assertFalse(other.poll())
        thread = threading.Thread(target=one.send, args=(b"x" * LONG,))
        thread.start()
        self.assertEqual(other.recv(), b"x" * LONG)
        thread.join()
        self.assertIsNone(one._out)

    def test_pipe_of_a_fork(self):
        """A child sends by memory of its own, whatever its parent has begun."""
        context = mp.get_context("fork")
        one, other = self.make_ends()
        one.send(b"a" * LONG)
        process = context.Process(target=one.send, args=(b"b" * LONG,))
        process.start()
        process.join()
        self.assertEqual(process.exitcode, 0)
        # Another one ends between the item and the word of it.
        process = context.Process(target=put_only, args=(one,))
        process.start()
        process.join()
        one.send(b"c" * LONG)
        for letter in (b"a", b"b", b"c"):
            self.assertEqual(other.recv(), letter * LONG)

    def test_pipe_without_descriptors(self):
        """A message stays until there are numbers for its descriptors."""
        one, other = self.make_ends()
        one.send(b"a" * LONG)
        one.send(b"b" * LONG)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        first_free = os.dup(0)
        os.close(first_free)
        # From none to what all takes: the last must do.
        for free in range(40):
            resource.setrlimit(resource.RLIMIT_NOFILE, (first_free + free, limits[1]))
            try:
                got = other.recv()
                break
            except OSError as error:
                self.assertEqual(error.errno, errno.EMFILE)
                self.assertTrue(other.poll())
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertGreater(free, 1)
        self.assertEqual(got, b"a" * LONG)
        self.assertEqual(other.recv(), b"b" * LONG)

    def test_stranger(self):
        """A plain connection is not asked to open what its peer names."""
        one, other = socket.socketpair()
        with mp.connection.Connection(one.detach()) as plain, other:
            other.sendall(struct.pack("!iI", -2, 10) + b"x" * 10)
            with self.assertRaises(OSError):
                plain.recv()

    def test_full(self):
        q = mp.Queue(1)
        q.put(numpy.ones(LONG))
        with self.assertRaises(queue.Full):
            q.put(numpy.ones(LONG), timeout=0.01)
        with self.assertRaises(queue.Full):
            q.put(b"b" * LONG, False)
        self.assertEqual(q.get().sum(), LONG)
        self.assertTrue(q.empty())

    def test_many(self):
        q = mp.Queue()
        q.put_many([numpy.ones(LONG), b"b" * LONG, 3])
        ones, data, three = q.get_many(10)
        self.assertTrue((ones == 1).all())
        self.assertEqual((data, three), (b"b" * LONG, 3))

    def test_async(self):
        async def main():
            q = mp.Queue()
            await q.aput(numpy.ones(LONG))
            return (await q.aget()).sum()

        self.assertEqual(asyncio.run(main()), LONG)

    def test_from_elsewhere(self):
        q = mp.Queue()
        q.gobject.put(GLib.Variant("s", "v" * LONG), 0, None)
        self.assertEqual(q.get(), "v" * LONG)
        q.put(numpy.ones(LONG))
        with self.assertRaises(GLib.Error) as caught:
            q.gobject.get(0, None)
        self.assertTrue(caught.exception.matches(Mp.Error.quark(), Mp.Error.NOT_SUPPORTED))
        self.assertEqual(q.get().sum(), LONG)

    def test_cut(self):
        q = mp.Queue()
        for data in (b"\xff" * 40, (1).to_bytes(8, "little") + (10**9).to_bytes(8, "little") * 2):
            q.gobject.put_payload(data, Mp.Codec.PICKLE_BUFFERS, 0, None)
            with self.assertRaises(Exception) as caught:
                q.get()
            self.assertNotIsInstance(caught.exception, queue.Empty)
        q.put(1)
        self.assertEqual(q.get(), 1)


if __name__ == "__main__":
    unittest.main()
