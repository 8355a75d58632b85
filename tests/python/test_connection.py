# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pipe, Connection and wait."""

import array
import ctypes
import fcntl
import gc
import itertools
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import unittest
from multiprocessing import connection as standard
from unittest import mock

import multiprocessing_gi as mp
from multiprocessing_gi import connection
from multiprocessing_gi.connection import Connection, wait

import tasks

DEADLINE = 20
SIZES = (0, 1, 2, 3, 4, 4092, 4096, 16383, 16384, 16385, 65536, 1_000_000, 16 * 2**20)


def in_thread(function, *args):
    """A thread that runs this; its result is in the list it has."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*args)), daemon=True)
    thread.result = result
    thread.start()
    return thread


def joined(thread):
    """What it has returned."""
    thread.join(DEADLINE)
    return thread.result[0]


def n_fds():
    """How many descriptors this process has."""
    gc.collect()
    return len(os.listdir('/proc/self/fd'))


def announce(*ends):
    """Lets each end of a pipe know what the other one is."""
    for end in ends:
        end.poll()


def receive_all(reader):
    """All objects until the other end is closed, maybe within one."""
    got = []
    try:
        while True:
            got.append(reader.recv())
    except (EOFError, OSError):
        return got


class Interrupted(Exception):
    """What the handler raises."""


class Interrupting:
    """While this is entered, SIGUSR1 raises Interrupted, or is counted."""

    def __init__(self, raising):
        self.raising = raising
        self.count = 0

    def __enter__(self):
        self._before = signal.signal(signal.SIGUSR1, self._handle)
        return self

    def __exit__(self, *_exc):
        signal.signal(signal.SIGUSR1, self._before)

    def _handle(self, _number, _frame):
        self.count += 1
        if self.raising:
            raise Interrupted


def interrupt_when_asleep(then=lambda: None):
    """A thread that sends SIGUSR1 to the main one when that waits for a file."""
    main = threading.main_thread()

    def work():
        tasks.wait_until(lambda: waits_for_a_file(main.native_id), DEADLINE)
        signal.pthread_kill(main.ident, signal.SIGUSR1)
        then()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def waits_for_a_file(thread_id):
    """Whether a thread of this process is in such a system call."""
    with open(f'/proc/self/task/{thread_id}/wchan', encoding='ascii') as file:
        where = file.read()
    return any(word in where for word in ('pipe', 'unix', 'sock', 'poll'))


class TestPipe(unittest.TestCase):
    """What both kinds of pipes are."""

    def test_kinds(self):
        for pipe in (mp.Pipe, mp.get_context('spawn').Pipe, connection.Pipe):
            one, other = pipe()
            with one, other:
                for end in (one, other):
                    self.assertTrue(end.readable and end.writable and not end.closed)
                    sock = socket.socket(fileno=os.dup(end.fileno()))
                    with sock:
                        self.assertEqual((sock.family, sock.type),
                                         (socket.AF_UNIX, socket.SOCK_STREAM))
                    self.assertFalse(os.get_inheritable(end.fileno()))
                    self.assertTrue(os.get_blocking(end.fileno()))
            reader, writer = pipe(duplex=False)
            with reader, writer:
                self.assertEqual((reader.readable, reader.writable), (True, False))
                self.assertEqual((writer.readable, writer.writable), (False, True))
                self.assertFalse(os.get_inheritable(writer.fileno()))
                self.assertRaises(OSError, writer.recv)
                self.assertRaises(OSError, writer.recv_bytes)
                self.assertRaises(OSError, writer.poll)
                self.assertRaises(OSError, reader.send, 1)
                self.assertRaises(OSError, reader.send_bytes, b'')

    def test_default_timeout_of_sockets(self):
        socket.setdefaulttimeout(0.01)
        try:
            one, other = mp.Pipe()
        finally:
            socket.setdefaulttimeout(None)
        with one, other:
            self.assertTrue(os.get_blocking(one.fileno()))

    def test_arguments(self):
        for module in (connection, standard):
            self.assertRaises(ValueError, module.Connection, -1)
            self.assertRaises(ValueError, module.Connection, 0, readable=False, writable=False)
        self.assertRaises(TypeError, Connection, 'x')
        self.assertRaises(TypeError, Connection, 1.0)

    def test_close(self):
        before = n_fds()
        one, other = mp.Pipe()
        one.close()
        one.close()
        self.assertTrue(one.closed)
        for call in (one.fileno, one.recv, one.recv_bytes, one.poll, lambda: one.send(1),
                     lambda: one.send_bytes(b''), lambda: one.recv_bytes_into(bytearray(1)),
                     lambda: pickle.dumps(one)):
            self.assertRaisesRegex(OSError, 'closed', call)
        with other as entered:
            self.assertIs(entered, other)
        self.assertTrue(other.closed)
        self.assertEqual(n_fds(), before)
        mp.Pipe()
        mp.Pipe(False)
        self.assertEqual(n_fds(), before)

    def test_is_in_the_override(self):
        from gi.repository import Mp
        self.assertIs(Mp.Pipe, mp.Pipe)


class TestMessages(unittest.TestCase):
    """Sending and receiving."""

    def pipes(self):
        """A reading and a writing end, of both kinds."""
        for duplex in (True, False):
            with self.subTest(duplex=duplex):
                reader, writer = mp.Pipe(duplex)
                with reader, writer:
                    yield reader, writer

    def test_objects(self):
        for reader, writer in self.pipes():
            for obj in (None, 1, 'x', [1, (2,)], tasks.square, b'x' * 3_000_000, range(5)):
                thread = in_thread(reader.recv)
                writer.send(obj)
                self.assertEqual(joined(thread), obj)

    def test_the_bytes_are_those_of_the_standard_library(self):
        for size in SIZES:
            data = os.urandom(min(size, 1000)) * (size // min(size, 1000) if size else 0)
            written = []
            for module in (connection, standard):
                reader, writer = os.pipe()
                with open(reader, 'rb') as file:
                    thread = in_thread(file.read)
                    with module.Connection(writer, readable=False) as conn:
                        conn.send_bytes(data)
                    written.append(joined(thread))
            self.assertEqual(written[0], written[1])
            self.assertEqual(written[0], struct.pack('!i', len(data)) + data)

    def test_a_peer_of_the_standard_library(self):
        one, other = mp.Pipe()
        with one, standard.Connection(os.dup(other.fileno())) as peer:
            other.close()
            for sender, receiver in ((one, peer), (peer, one)):
                for size in SIZES:
                    data = bytes(size)
                    thread = in_thread(receiver.recv_bytes)
                    sender.send_bytes(data)
                    self.assertEqual(joined(thread), data)
                    thread = in_thread(receiver.recv)
                    sender.send({'data': data})
                    self.assertEqual(joined(thread), {'data': data})
            peer.close()
            self.assertRaises(EOFError, one.recv)

    def test_long_header(self):
        # What follows the header is no message of 2 GiB, but says how long it would be.
        class Long(bytes):
            """Bytes that say of themselves that they are many."""

            def __len__(self):
                return 2**31

        written = []

        def writev(_fd, pieces):
            written.extend(bytes(piece[:12]) for piece in pieces)
            return sum(map(len, pieces))

        reader, writer = os.pipe()
        with Connection(reader, writable=False), Connection(writer, readable=False) as conn:
            with mock.patch('os.writev', writev):
                conn._send(Long(b'data'))
        self.assertEqual(written, [struct.pack('!iQ', -1, 2**31), b'data'])

    def test_long_header_is_read(self):
        for reader, writer in self.pipes():
            os.write(writer.fileno(), struct.pack('!iQ', -1, 5) + b'hello')
            self.assertEqual(reader.recv_bytes(), b'hello')
            # A message of more than 2 GiB as it begins, in pieces.
            whole = 2**31 + 5
            stream = itertools.chain([b'\xff\xff', b'\xff\xff', struct.pack('!Q', whole)[:3],
                                      struct.pack('!Q', whole)[3:]])
            asked = []

            def read(_fd, size):
                asked.append(size)
                return next(stream, b'')

            with mock.patch('os.read', read):
                self.assertRaisesRegex(OSError, 'end of file', reader.recv_bytes)
            self.assertEqual(asked[:4], [4, 2, 8, 5])
            # A length that is a lie does not cost its memory.
            self.assertLess(max(asked), 2**20)

    def test_lengths_that_cannot_be(self):
        for head, message in ((struct.pack('!i', -2**31), 'bad message length'),
                              (struct.pack('!iQ', -1, 2**63), 'bad message length'),
                              (struct.pack('!iQ', -1, 2**64 - 1), 'bad message length'),
                              (struct.pack('!i', -3), 'lies in memory'),
                              (struct.pack('!iI', -2, 2**31), 'bad message length|lies in memory')):
            for reader, writer in self.pipes():
                os.write(writer.fileno(), head)
                self.assertRaisesRegex(OSError, message, reader.recv_bytes)
                self.assertEqual(reader.closed, not reader.writable)
                self.assertRaises(OSError, reader.recv)

    def test_send_bytes(self):
        numbers = array.array('i', range(4))
        text = (ctypes.c_char * 4)(*b'abcd')
        structs = (ctypes.c_int32 * 2)(1, 2)
        for reader, writer in self.pipes():
            for buf, arguments, expected in (
                    (b'abcd', (), b'abcd'), (b'abcd', (1,), b'bcd'), (b'abcd', (1, 2), b'bc'),
                    (b'abcd', (4,), b''), (b'abcd', (2, 0), b''), (b'', (), b''),
                    (bytearray(b'ab'), (), b'ab'), (memoryview(b'abc')[1:], (), b'bc'),
                    (numbers, (), numbers.tobytes()), (numbers, (2, 3), numbers.tobytes()[2:5]),
                    (text, (1,), b'bcd'), (structs, (), bytes(structs))):
                writer.send_bytes(buf, *arguments)
                self.assertEqual(reader.recv_bytes(), expected)
            for arguments in ((-1,), (5,), (0, -1), (0, 5), (3, 2), (5, 0)):
                self.assertRaises(ValueError, writer.send_bytes, b'abcd', *arguments)
            self.assertRaises(TypeError, writer.send_bytes, 'text')
            self.assertRaises(BufferError, writer.send_bytes, memoryview(b'abcd')[::2])
            self.assertFalse(reader.poll())

    def test_recv_bytes_into(self):
        for reader, writer in self.pipes():
            buf = bytearray(10)
            writer.send_bytes(b'abc')
            self.assertEqual(reader.recv_bytes_into(buf), 3)
            writer.send_bytes(b'xy')
            self.assertEqual(reader.recv_bytes_into(buf, 8), 2)
            self.assertEqual(buf, b'abc\0\0\0\0\0xy')
            numbers = array.array('i', [0] * 4)
            writer.send_bytes(array.array('i', [7, 8]))
            self.assertEqual(reader.recv_bytes_into(numbers, 4), 8)
            self.assertEqual(numbers.tolist(), [0, 7, 8, 0])
            structs = (ctypes.c_int32 * 2)()
            writer.send_bytes(structs)
            self.assertEqual(reader.recv_bytes_into(structs), 8)
            writer.send_bytes(b'')
            self.assertEqual(reader.recv_bytes_into(buf, 10), 0)
            writer.send_bytes(b'0123456789')
            with self.assertRaises(mp.BufferTooShort) as caught:
                reader.recv_bytes_into(buf, 1)
            self.assertEqual(caught.exception.args, (b'0123456789',))
            writer.send_bytes(b'next')
            self.assertRaises(ValueError, reader.recv_bytes_into, buf, -1)
            self.assertRaises(ValueError, reader.recv_bytes_into, buf, 11)
            self.assertRaises(TypeError, reader.recv_bytes_into, b'constant')
            self.assertEqual(reader.recv_bytes(), b'next')

    def test_maxlength(self):
        for reader, writer in self.pipes():
            writer.send_bytes(b'1234')
            self.assertRaises(ValueError, reader.recv_bytes, -1)
            self.assertEqual(reader.recv_bytes(4), b'1234')
            writer.send_bytes(b'12345')
            self.assertRaisesRegex(OSError, 'bad message length', reader.recv_bytes, 4)
            self.assertFalse(reader.readable and not reader.closed)
            if reader.writable:
                self.assertFalse(reader.closed)
                reader.send(1)
                self.assertEqual(writer.recv(), 1)
            else:
                self.assertTrue(reader.closed)
            self.assertRaises(OSError, reader.recv_bytes)

    def test_ends(self):
        for reader, writer in self.pipes():
            writer.send(1)
            writer.close()
            self.assertTrue(reader.poll())
            self.assertEqual(reader.recv(), 1)
            self.assertTrue(reader.poll())
            self.assertRaises(EOFError, reader.recv)
            self.assertRaises(EOFError, reader.recv_bytes)
        for part in (b'\0', b'\0\0\0', b'\0\0\0\5', b'\0\0\0\5hell', b'\xff\xff\xff\xff\0'):
            for reader, writer in self.pipes():
                os.write(writer.fileno(), part)
                writer.close()
                with self.assertRaisesRegex(OSError, 'end of file'):
                    reader.recv()
                self.assertRaises(EOFError, reader.recv)

    def test_reset(self):
        for package in (mp, standard):
            for part in (b'', b'\0\0', b'\0\0\0\5', b'\0\0\0\5x'):
                one, other = package.Pipe()
                with one:
                    one.send('never read')
                    os.write(other.fileno(), part)
                    other.close()
                    self.assertRaises(ConnectionResetError, one.recv)
                    if not part:
                        self.assertRaises(EOFError, one.recv)

    def test_in_pieces(self):
        message = struct.pack('!i', 7) + b'payload'
        for reader, writer in self.pipes():
            for cut in range(len(message) * 20):
                cut %= len(message)
                os.write(writer.fileno(), message[:cut])
                thread = in_thread(os.write, writer.fileno(), message[cut:] + message)
                self.assertEqual(reader.recv_bytes(), b'payload')
                self.assertEqual(reader.recv_bytes(), b'payload')
                joined(thread)
            self.assertFalse(reader.poll())

    def test_what_cannot_be_pickled(self):
        for reader, writer in self.pipes():
            self.assertRaisesRegex(RuntimeError, 'not to be pickled', writer.send,
                                   tasks.Unpicklable())
            self.assertFalse(reader.poll())
            writer.send_bytes(b'no pickle')
            writer.send(1)
            self.assertRaises(pickle.UnpicklingError, reader.recv)
            self.assertEqual(reader.recv(), 1)

    def test_broken_pipe(self):
        for reader, writer in self.pipes():
            reader.close()
            for data in (b'', b'x', b'x' * 20000, b'x' * 1_000_000):
                self.assertRaises(BrokenPipeError, writer.send_bytes, data)

    def test_no_sigpipe(self):
        program = textwrap.dedent('''
            import signal
            import multiprocessing_gi as mp
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            for duplex in (True, False):
                for data in (b'x', b'x' * 20000, b'x' * 1000000):
                    reader, writer = mp.Pipe(duplex)
                    writer.send_bytes(b'before')
                    reader.close()
                    try:
                        writer.send_bytes(data)
                    except OSError as error:
                        print(type(error).__name__)
            assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
            assert not signal.sigpending()
            signal.raise_signal(signal.SIGPIPE)
        ''')
        done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True,
                              check=False)
        self.assertEqual(set(done.stdout.split()), {'BrokenPipeError'})
        self.assertEqual(len(done.stdout.split()), 6)
        self.assertEqual(done.returncode, -signal.SIGPIPE)

    def test_nonblocking(self):
        for reader, writer in self.pipes():
            os.set_blocking(reader.fileno(), False)
            self.assertRaises(BlockingIOError, reader.recv)
            os.write(writer.fileno(), b'\0\0\0\5he')
            self.assertRaises(BlockingIOError, reader.recv_bytes)
            self.assertTrue(reader.poll())
            os.write(writer.fileno(), b'llo')
            self.assertEqual(reader.recv_bytes(), b'hello')
            self.assertFalse(reader.poll())
            os.set_blocking(writer.fileno(), False)
            self.assertRaises(BlockingIOError, writer.send_bytes, bytes(10_000_000))
            self.assertRaisesRegex(OSError, 'sent in part', writer.send, 1)

    def test_poll(self):
        for reader, writer in self.pipes():
            self.assertIs(reader.poll(), False)
            self.assertIs(reader.poll(-1), False)
            start = time.monotonic()
            self.assertIs(reader.poll(0.2), False)
            tasks.check_timeout(self, start, 0.2)
            thread = in_thread(reader.poll, None)
            other = in_thread(reader.poll, float('inf'))
            writer.send_bytes(b'one')
            self.assertIs(joined(thread), True)
            self.assertIs(joined(other), True)
            writer.send_bytes(b'two')
            for _ in range(10):
                self.assertIs(reader.poll(), True)
                self.assertIs(reader.poll(1e20), True)
            self.assertEqual(reader.recv_bytes(), b'one')
            self.assertEqual(reader.recv_bytes(), b'two')
            os.write(writer.fileno(), b'\0')
            self.assertIs(reader.poll(None), True)

    def test_small_messages_of_many_threads(self):
        for reader, writer in self.pipes():
            threads = [in_thread(lambda: [writer.send(number) for number in range(500)])
                       for _ in range(4)]
            got = sorted(reader.recv() for _ in range(2000))
            self.assertEqual(got, sorted(list(range(500)) * 4))
            for thread in threads:
                joined(thread)


class TestSignals(unittest.TestCase):
    """A handler runs while this process waits."""

    def test_handlers_that_return(self):
        for duplex in (True, False):
            reader, writer = mp.Pipe(duplex)
            with Interrupting(False) as handler, reader, writer:
                thread = interrupt_when_asleep(lambda: writer.send('x'))
                self.assertEqual(reader.recv(), 'x')
                thread.join()
                thread = interrupt_when_asleep(lambda: writer.send('y'))
                self.assertIs(reader.poll(None), True)
                thread.join()
                self.assertEqual(reader.recv(), 'y')
                thread = interrupt_when_asleep(lambda: writer.send('z'))
                self.assertEqual(wait([reader]), [reader])
                thread.join()
                self.assertEqual(reader.recv(), 'z')
                data = os.urandom(1000) * 5000
                received = []
                thread = interrupt_when_asleep(lambda: received.append(reader.recv_bytes()))
                writer.send_bytes(data)
                thread.join()
                self.assertEqual(received, [data])
                self.assertEqual(handler.count, 4)

    def test_handlers_that_raise(self):
        for duplex in (True, False):
            reader, writer = mp.Pipe(duplex)
            with Interrupting(True), reader, writer:
                # Before a message, in its header, and in its payload: nothing is lost.
                short, long = struct.pack('!i', 7) + b'payload', struct.pack('!iQ', -1, 1) + b'x'
                for message, at in ((short, 0), (short, 2), (short, 4), (short, 7), (long, 3),
                                    (long, 4), (long, 6)):
                    os.write(writer.fileno(), message[:at])
                    thread = interrupt_when_asleep()
                    with self.assertRaises(Interrupted):
                        reader.recv_bytes()
                    thread.join()
                    self.assertIs(reader.poll(), at > 0)
                    os.write(writer.fileno(), message[at:])
                    self.assertIn(reader.recv_bytes(), (b'payload', b'x'))
                for call in (lambda: reader.poll(None), lambda: wait([reader])):
                    thread = interrupt_when_asleep()
                    with self.assertRaises(Interrupted):
                        call()
                    thread.join()
                thread = interrupt_when_asleep()
                with self.assertRaises(Interrupted):
                    writer.send_bytes(bytes(10_000_000))
                thread.join()
                self.assertRaisesRegex(OSError, 'sent in part', writer.send, 1)

    def test_handlers_that_raise_while_there_is_room_for_a_part(self):
        for room, size in ((0, 10), (0, 10_000), (4096, 10_000), (8192, 16_000), (4096, 100_000)):
            reader, writer = mp.Pipe(False)
            filled = fcntl.fcntl(writer.fileno(), fcntl.F_GETPIPE_SZ) - room
            with Interrupting(True), reader, writer:
                os.write(writer.fileno(), bytes(filled))
                thread = interrupt_when_asleep()
                with self.assertRaises(Interrupted):
                    writer.send_bytes(bytes(size))
                thread.join()
                self.assertEqual(len(os.read(reader.fileno(), 2**20)), filled + room)
                if room > 0:
                    self.assertRaisesRegex(OSError, 'sent in part', writer.send, 1)
                else:
                    writer.send(1)
                    self.assertEqual(reader.recv(), 1)

    def test_handlers_that_raise_right_before_a_message(self):
        main, n = threading.main_thread(), 300
        one, other = mp.Pipe()

        def answer():
            for i in range(n):
                other.recv_bytes()
                signal.pthread_kill(main.ident, signal.SIGUSR1)
                other.send_bytes(b'%d' % i)

        with one, other, Interrupting(True):
            thread = in_thread(answer)
            for i in range(n):
                with self.assertRaises(Interrupted):
                    one.send_bytes(b'x')
                    one.recv_bytes()
                    self.fail('the handler did not run')
                self.assertEqual(one.recv_bytes(), b'%d' % i)
            joined(thread)


class TestInterruptedAnywhere(unittest.TestCase):
    """A handler may raise whenever a call into C returns: nothing is mistaken for something else.

    A function for sys.setprofile() stands for it, which raises when the n-th of these returns.
    """

    def interrupted(self, n, call):
        """What call() gives, or None if it was interrupted; and whether it was."""
        left = n

        def look(_frame, event, _arg):
            nonlocal left
            if event == 'c_return':
                left -= 1
                if left == 0:
                    raise Interrupted

        sys.setprofile(look)
        try:
            return call(), left <= 0
        except Interrupted:
            return None, True
        finally:
            sys.setprofile(None)

    def check_receiving(self, duplex, messages, write, receive):
        """Both messages are received in this order; the first may go with its interruption."""
        for n in itertools.count(1):
            reader, writer = mp.Pipe(duplex)
            with reader, writer:
                if duplex:
                    announce(reader, writer)
                thread = in_thread(write, writer)
                got, interrupted = self.interrupted(n, lambda: receive(reader))
                interruptions = interrupted and got is None
                got = [receive(reader)] if interruptions else [got]
                if got != messages[1:]:
                    got.append(receive(reader))
                self.assertIn(got, (messages, messages[1:]) if interruptions else (messages,))
                joined(thread)
                self.assertFalse(reader.poll())
            if not interrupted:
                break
        return n

    def test_receiving(self):
        pairs = ([b'first', b'second'], [bytes(100_000), b'second'], [b'x', bytes(300_000)])
        for duplex, messages in itertools.product((True, False), pairs):
            def write(writer, messages=messages):
                for message in messages:
                    writer.send_bytes(message)

            self.check_receiving(duplex, messages, write, lambda reader: reader.recv_bytes())

    def test_receiving_in_parts(self):
        main, messages = threading.main_thread(), [b'first', b'second']
        packed = b''.join(struct.pack('!i', len(message)) + message for message in messages)
        for duplex, at in itertools.product((True, False), (2, 4, 6)):
            def write(writer, at=at):
                os.write(writer.fileno(), packed[:at])
                tasks.wait_until(lambda: waits_for_a_file(main.native_id), DEADLINE)
                os.write(writer.fileno(), packed[at:])

            self.check_receiving(duplex, messages, write, lambda reader: reader.recv_bytes())

    def test_receiving_objects_in_memory(self):
        messages = [b'first' * 100_000, b'second' * 100_000]

        def write(writer):
            for message in messages:
                writer.send(message)

        n = self.check_receiving(True, messages, write, lambda reader: reader.recv())
        self.assertGreater(n, 10)

    def test_sending(self):
        for first in (b'first', b'first' * 10_000, b'first' * 100_000):
            for n in itertools.count(1):
                reader, writer = mp.Pipe()
                with reader, writer:
                    announce(reader, writer)
                    thread = in_thread(receive_all, reader)
                    _nothing, interrupted = self.interrupted(n, lambda: writer.send(first))
                    sent = []
                    try:
                        for message in (b'second', b'third' * 100_000):
                            writer.send(message)
                            sent.append(message)
                    except OSError as error:
                        self.assertTrue(interrupted)
                        self.assertIn('sent in part', str(error))
                        self.assertEqual(sent, [])
                    # close() ends nothing if a copy of the descriptor was lost with a call.
                    with socket.socket(fileno=os.dup(writer.fileno())) as sock:
                        sock.shutdown(socket.SHUT_WR)
                    self.assertIn(joined(thread), ([first] + sent, sent))
                if not interrupted:
                    break


class TestWait(unittest.TestCase):
    """wait()."""

    def test_objects(self):
        one, other = mp.Pipe()
        reader, writer = mp.Pipe(False)
        left, right = socket.socketpair()
        process = mp.Process(target=tasks.wait_for_ever)
        process.start()
        with one, other, reader, writer, left, right:
            objects = [one, reader.fileno(), left, process.sentinel]
            self.assertEqual(wait(objects, 0), [])
            self.assertEqual(wait(objects, -1), [])
            start = time.monotonic()
            self.assertEqual(wait(objects, 0.2), [])
            tasks.check_timeout(self, start, 0.2)
            other.send(1)
            self.assertEqual(wait(objects), [one])
            right.send(b'x')
            self.assertEqual(wait(objects, 1e20), [one, left])
            writer.close()
            self.assertEqual(wait(tuple(objects), 0), [one, reader.fileno(), left])
            process.kill()
            self.assertEqual(wait([process.sentinel], DEADLINE), [process.sentinel])
            self.assertEqual(wait(iter(objects), 0), objects)
            self.assertRaises(KeyError, wait, [one, one])
        self.assertEqual(wait([], 0.01), [])
        self.assertRaises(ValueError, wait, ['x'], 0)
        self.assertRaises((ValueError, OSError), wait, [one], 0)
        process.join()

    def test_many_writers(self):
        for method in ('forkserver', 'spawn'):
            context = mp.get_context(method)
            readers, processes = [], []
            for number in range(4):
                reader, writer = context.Pipe(False)
                process = context.Process(target=write_numbers, args=(writer, number))
                process.start()
                writer.close()
                readers.append(reader)
                processes.append(process)
            got = []
            while readers:
                for reader in wait(readers):
                    try:
                        got.append(reader.recv())
                    except EOFError:
                        readers.remove(reader)
                        reader.close()
            self.assertEqual(sorted(got), [(number, index) for number in range(4)
                                           for index in range(50)])
            for process in processes:
                process.join()


def write_numbers(writer, number):
    """Fifty messages, and the end."""
    with writer:
        for index in range(50):
            writer.send((number, index))


if __name__ == '__main__':
    unittest.main()
