# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Connections and sockets in pickles: with the start of a process, and at any other time."""

import gc
import os
import pickle
import socket
import threading
import unittest

import multiprocessing_gi as mp
from multiprocessing_gi import resource_sharer
from multiprocessing_gi.connection import Connection, wait

import tasks

DEADLINE = 20


def n_fds():
    """How many descriptors this process has."""
    gc.collect()
    return len(os.listdir('/proc/self/fd'))


def echo(conn, inherited=None):
    """Send back what comes, until the other end is closed."""
    if inherited is not None:
        inherited.close()
    with conn:
        try:
            while True:
                conn.send(conn.recv())
        except EOFError:
            pass


def describe(conn, back):
    """Tell how a connection has arrived, and what came over it."""
    value = conn.recv() if conn.readable else None
    back.send((conn.readable, conn.writable, type(conn).__name__, value))
    if conn.writable:
        conn.send('sent')


def pass_on(conn):
    """Receive a connection, and send over it."""
    with conn:
        with conn.recv() as other:
            other.send(('through', os.getpid()))
        conn.recv()


def use_socket(sock, conn):
    """Send over a socket that has arrived."""
    with sock:
        sock.sendall(b'hello')
    conn.recv()


def make_pipe(_item):
    """A connection as a result."""
    reader, writer = mp.Pipe(False)
    with writer:
        writer.send(os.getpid())
    return reader


def use_initial(conn):
    """An initializer that uses a connection."""
    conn.send_bytes(b'begun')


class Named(Connection):
    """A connection of another class."""


def close_and_wait(conn, goes):
    """Close one, and live on."""
    conn.close()
    goes.recv()


def sharing_threads():
    """The threads that hand out descriptors."""
    return [thread for thread in threading.enumerate() if thread.name == 'libmp-descriptors']


class TestTravel(unittest.TestCase):
    """Connections go to other processes."""

    @classmethod
    def setUpClass(cls):
        # What stays open from the first start on is not what is counted here.
        for method in mp.get_all_start_methods():
            process = mp.get_context(method).Process(target=tasks.nothing)
            process.start()
            process.join()
            process.close()

    def check_fds(self, before):
        """There are no more descriptors than before, and no thread that hands them out."""
        tasks.wait_until(lambda: not sharing_threads() and n_fds() <= before)
        self.assertFalse(sharing_threads())
        self.assertLessEqual(n_fds(), before)

    def test_with_a_start(self):
        before = n_fds()
        for method in mp.get_all_start_methods():
            with self.subTest(method):
                context = mp.get_context(method)
                conn, end = context.Pipe()
                # A forked child has a copy of the end that is not its own, too.
                args = (end, conn) if method == 'fork' else (end,)
                process = context.Process(target=echo, args=args)
                process.start()
                end.close()
                for obj in (1, None, 'x' * 1_000_000):
                    conn.send(obj)
                    self.assertEqual(conn.recv(), obj)
                self.assertEqual(wait([conn, process.sentinel], 0), [])
                conn.close()
                # No copy is left anywhere that would keep it from the end of the stream.
                process.join(DEADLINE)
                self.assertEqual(process.exitcode, 0)
                process.close()
        self.check_fds(before)

    def test_the_child_closes(self):
        for method in mp.get_all_start_methods():
            with self.subTest(method):
                context = mp.get_context(method)
                reader, writer = context.Pipe(False)
                goes, waits = context.Pipe(False)
                process = context.Process(target=close_and_wait, args=(writer, goes))
                process.start()
                writer.close()
                self.assertTrue(reader.poll(DEADLINE))
                self.assertRaises(EOFError, reader.recv)
                self.assertTrue(process.is_alive())
                waits.send(None)
                process.join()

    def test_directions(self):
        for method in mp.get_all_start_methods():
            context = mp.get_context(method)
            reader, writer = context.Pipe(False)
            other_reader, other_writer = context.Pipe(False)
            one, other = context.Pipe()
            named = Named(os.dup(other.fileno()))
            for theirs, ours, expected in (
                    (reader, writer, (True, False, 'Connection', 'value')),
                    (other_writer, other_reader, (False, True, 'Connection', None)),
                    (named, one, (True, True, 'Named', 'value'))):
                with self.subTest(method=method, expected=expected):
                    answers, back = context.Pipe(False)
                    process = context.Process(target=describe, args=(theirs, back))
                    process.start()
                    if ours.writable:
                        ours.send('value')
                    self.assertEqual(answers.recv(), expected)
                    if ours.readable:
                        self.assertEqual(ours.recv(), 'sent')
                    process.join()

    def test_at_any_time(self):
        before = n_fds()
        for method in ('forkserver', 'spawn'):
            with self.subTest(method):
                context = mp.get_context(method)
                conn, end = context.Pipe()
                process = context.Process(target=pass_on, args=(end,))
                process.start()
                end.close()
                reader, writer = context.Pipe(False)
                with reader, conn:
                    conn.send(writer)
                    writer.close()
                    self.assertEqual(reader.recv(), ('through', process.pid))
                    # The other process has closed it, and here is no copy.
                    self.assertRaises(EOFError, reader.recv)
                    conn.send(None)
                process.join()
                process.close()
        self.check_fds(before)

    def test_in_results_and_arguments(self):
        with mp.Pool(2) as pool:
            readers = pool.map(make_pipe, range(6))
            self.assertTrue({reader.recv() for reader in readers} <= set(
                pool.gobject.get_worker_pids()))
            conn, end = mp.Pipe()
            result = pool.apply_async(echo, (end,))
            conn.send('x')
            self.assertEqual(conn.recv(), 'x')
            conn.close()
            end.close()
            result.get(DEADLINE)

    def test_in_initargs(self):
        for method in mp.get_all_start_methods():
            with self.subTest(method):
                reader, writer = mp.Pipe(False)
                with mp.get_context(method).Pool(2, use_initial, (writer,)) as pool:
                    pool.map(tasks.square, range(2))
                    self.assertEqual([reader.recv_bytes() for _ in range(2)], [b'begun'] * 2)

    def test_sockets(self):
        for method in mp.get_all_start_methods():
            with self.subTest(method):
                context = mp.get_context(method)
                ours, theirs = socket.socketpair()
                conn, end = context.Pipe()
                process = context.Process(target=use_socket, args=(theirs, end))
                process.start()
                theirs.close()
                with ours, ours.makefile('rb') as file:
                    self.assertEqual(file.read(), b'hello')
                conn.send(None)
                process.join()
        ours, theirs = socket.socketpair()
        conn, end = mp.Pipe()
        with ours, theirs, conn, end:
            # Together with a connection, which a plain pickle can do and a socket not.
            conn.send((conn, theirs))
            copy, sock = end.recv()
            with copy, sock:
                sock.sendall(b'x')
                self.assertEqual(ours.recv(1), b'x')
        tasks.wait_until(lambda: not sharing_threads())

    def test_only_once(self):
        reader, writer = mp.Pipe(False)
        with reader, writer:
            data = pickle.dumps(writer)
            other = pickle.dumps(reader)
            with pickle.loads(data) as copy:
                copy.send(1)
            self.assertEqual(reader.recv(), 1)
            self.assertRaisesRegex(OSError, 'cannot be fetched', pickle.loads, data)
            pickle.loads(other).close()
            self.assertRaisesRegex(OSError, 'cannot be fetched', pickle.loads, other)

    def test_stop(self):
        before = n_fds()
        reader, writer = mp.Pipe(False)
        with reader:
            data = pickle.dumps(writer)
            writer.close()
            self.assertFalse(reader.poll())
            self.assertTrue(sharing_threads())
            resource_sharer.stop(DEADLINE)
            self.assertFalse(sharing_threads())
            self.assertRaises(EOFError, reader.recv)
            self.assertRaises(OSError, pickle.loads, data)
        resource_sharer.stop()
        self.assertEqual(n_fds(), before)

    def test_what_is_not_sent_is_not_kept(self):
        reader, writer = mp.Pipe(False)
        conn, end = mp.Pipe()
        queue = mp.SimpleQueue()
        with reader, conn, end, socket.socket() as sock:
            for send in (conn.send, queue.put):
                self.assertRaises(RuntimeError, send, (writer, tasks.Unpicklable()))
            self.assertRaises(RuntimeError, conn.send, (writer, sock, mp.Lock()))
            writer.close()
            self.assertRaises(EOFError, reader.recv)
        tasks.wait_until(lambda: not sharing_threads())
        self.assertFalse(sharing_threads())

    def test_who_says_nothing(self):
        reader, writer = mp.Pipe(False)
        with reader, writer:
            data = pickle.dumps(writer)
            address = resource_sharer._sharer._server.address
            socks = []
            for number in range(100):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                sock.connect(address)
                socks.append(sock)
                if number % 2:
                    sock.send(os.urandom(16))
            with pickle.loads(data) as copy:
                copy.send(1)
            self.assertEqual(reader.recv(), 1)
            for sock in socks:
                sock.close()
        tasks.wait_until(lambda: not sharing_threads())

    def test_forked_children_keep_nothing(self):
        reader, writer = mp.Pipe(False)
        data = pickle.dumps(writer)
        goes, waits = mp.Pipe(False)
        pid = os.fork()
        if pid == 0:
            writer.close()
            reader.close()
            waits.close()
            try:
                goes.recv()
            finally:
                os._exit(0)
        goes.close()
        pickle.loads(data).close()
        writer.close()
        self.assertRaises(EOFError, reader.recv)
        waits.send(None)
        os.waitpid(pid, 0)

    def test_an_index_is_only_for_the_child(self):
        from multiprocessing_gi._serialize import spawning
        one, other = mp.Pipe()
        with one, other:
            with spawning() as fd_list:
                data = pickle.dumps(one)
                self.assertEqual(fd_list.get_length(), 1)
            self.assertRaisesRegex(RuntimeError, 'the process it was made for', pickle.loads,
                                   data)


if __name__ == '__main__':
    unittest.main()
