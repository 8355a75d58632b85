# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Mp.Connection and Mp.Listener as introspection gives them, with the standard library's
connections at the other end."""

import ast
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from gi.repository import GLib, Mp

import multiprocessing_gi
from multiprocessing_gi._pipe import PipeConnection
from multiprocessing_gi.connection import Connection

raw = Mp.raw

KEY = b'supadupasecretkey'
FAR = 20_000_000
FAMILIES = ('AF_UNIX', 'AF_INET', 'AF_INET6')

# The standard library's, in a process of its own: it sends back what it gets.
PEER = '''
import ast, os, sys
from multiprocessing import AuthenticationError, reduction
from multiprocessing.connection import Client, Listener
what, address, family, key = [ast.literal_eval(text) for text in sys.argv[1:]]
try:
    if what == 'client':
        conn = Client(address, family, authkey=key)
    else:
        listener = Listener(address, family, authkey=key)
        print(repr(listener.address), flush=True)
        conn = listener.accept()
    while True:
        data = conn.recv_bytes()
        if data == b'pickle':
            conn.send({'a': [1, None]})
        elif data == b'descriptor':
            fd = reduction.recv_handle(conn)
            os.write(fd, b'from the peer')
            reduction.send_handle(conn, fd, os.getppid())
        elif data == b'leave':
            os.write(conn.fileno(), b'\\0\\0\\0\\5abc')
            break
        else:
            conn.send_bytes(data)
    print('left')
except (AuthenticationError, EOFError) as error:
    print(type(error).__name__)
'''


def to_stdlib(address):
    """What the standard library calls an address."""
    kind, rest = address.split(':', 1)
    if kind == 'unix':
        return rest
    if kind == 'unix-abstract':
        return '\0' + rest
    host, port = rest.rsplit(':', 1)
    return host.strip('[]'), int(port)


def from_stdlib(address):
    """The other way round."""
    if isinstance(address, tuple):
        host = f'[{address[0]}]' if ':' in address[0] else address[0]
        return f'tcp:{host}:{address[1]}'
    if address[:1] in ('\0', b'\0'):
        return f'unix-abstract:{address[1:]}'
    return f'unix:{address}'


class Peer:
    """A process with the standard library's end of a connection."""

    def __init__(self, what, address, family=None, key=None):
        self._process = subprocess.Popen(
            [sys.executable, '-c', PEER, *map(repr, (what, address, family, key))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._process.kill()
        self._process.communicate()

    def read_line(self):
        """The next line that it prints."""
        return self._process.stdout.readline().strip()


def glib_bytes(data):
    """A key, or none."""
    return None if data is None else GLib.Bytes.new(data)


def own_address(family):
    """Where one of ours listens."""
    return {'AF_UNIX': None, 'AF_INET': 'tcp:127.0.0.1:0', 'AF_INET6': 'tcp:[::1]:0'}[family]


def receive(conn):
    """The next message."""
    return conn.recv_bytes(FAR, None).get_data() or b''


class Base(unittest.TestCase):
    """What the tests have in common."""

    def assert_error(self, code, func, *args):
        """That a call fails with an error of libmp."""
        with self.assertRaises(GLib.Error) as caught:
            func(*args)
        self.assertTrue(caught.exception.matches(raw.Error.quark(), code),
                        str(caught.exception))
        return caught.exception.message

    def exchange(self, conn, peer):
        """Messages of several sizes there and back, and what is none."""
        for data in (b'hello', b'', b'x' * 16384, b'y' * 16385, b'z' * 3_000_000):
            conn.send_bytes(GLib.Bytes.new(data), FAR, None)
            self.assertEqual(receive(conn), data)
        value = GLib.Variant('(sa{sv})', ('text', {'number': GLib.Variant('i', 5)}))
        conn.send(value, FAR, None)
        self.assertEqual(conn.recv(FAR, None).unpack(), value.unpack())
        conn.send_bytes(GLib.Bytes.new(b'pickle'), FAR, None)
        self.assert_error(raw.Error.NOT_SUPPORTED, conn.recv, FAR, None)
        self.assertEqual(pickle.loads(receive(conn)), {'a': [1, None]})
        conn.send_bytes(GLib.Bytes.new(b'leave'), FAR, None)
        message = self.assert_error(raw.Error.CORRUPT, conn.recv_bytes, FAR, None)
        self.assertIn('3 of 5 bytes', message)
        self.assertEqual(peer.read_line(), 'left')


class TestInterop(Base):
    """The standard library at the other end."""

    def test_its_client(self):
        # It knows no addresses of version 6, other than its Listener.
        for family in FAMILIES[:2]:
            for key in (None, KEY, b'k' * 1000):
                with self.subTest(family=family, key=key):
                    listener = raw.Listener.new(own_address(family), glib_bytes(key))
                    with Peer('client', to_stdlib(listener.get_address()), family, key) as peer:
                        conn = listener.accept(FAR, None)
                        self.exchange(conn, peer)
                    listener.close()

    def test_its_listener(self):
        for family in FAMILIES:
            for key in (None, KEY):
                with self.subTest(family=family, key=key), tempfile.TemporaryDirectory() as folder:
                    address = {'AF_UNIX': folder + '/socket', 'AF_INET': ('127.0.0.1', 0),
                               'AF_INET6': ('::1', 0)}[family]
                    with Peer('listener', address, family, key) as peer:
                        address = from_stdlib(ast.literal_eval(peer.read_line()))
                        conn = raw.Connection.open(address, glib_bytes(key), FAR, None)
                        self.exchange(conn, peer)

    def test_abstract(self):
        name = f'libmp-test-{os.getpid()}'
        listener = raw.Listener.new('unix-abstract:' + name, glib_bytes(KEY))
        self.addCleanup(listener.close)
        with Peer('client', '\0' + name, 'AF_UNIX', KEY) as peer:
            self.exchange(listener.accept(FAR, None), peer)

    def test_wrong_key(self):
        listener = raw.Listener.new(None, glib_bytes(KEY))
        self.addCleanup(listener.close)
        with Peer('client', to_stdlib(listener.get_address()), None, b'other') as peer:
            message = self.assert_error(raw.Error.AUTHENTICATION, listener.accept, FAR, None)
            self.assertIn('another key', message)
            self.assertEqual(peer.read_line(), 'AuthenticationError')
        with Peer('client', to_stdlib(listener.get_address()), None, KEY) as peer:
            self.exchange(listener.accept(FAR, None), peer)
        with Peer('listener', ('127.0.0.1', 0), None, KEY) as peer:
            address = from_stdlib(ast.literal_eval(peer.read_line()))
            message = self.assert_error(raw.Error.AUTHENTICATION, raw.Connection.open, address,
                                        glib_bytes(b'other'), FAR, None)
            self.assertIn('rejected', message)
            self.assertEqual(peer.read_line(), 'AuthenticationError')

    def test_one_has_no_key(self):
        listener = raw.Listener.new(None, glib_bytes(KEY))
        self.addCleanup(listener.close)
        # It takes the challenge for a message, and sends it back.
        with Peer('client', to_stdlib(listener.get_address())):
            self.assert_error(raw.Error.AUTHENTICATION, listener.accept, FAR, None)
        with Peer('listener', ('127.0.0.1', 0)) as peer:
            address = from_stdlib(ast.literal_eval(peer.read_line()))
            self.assert_error(raw.Error.TIMED_OUT, raw.Connection.open, address,
                              glib_bytes(KEY), 50_000, None)

    def test_descriptors(self):
        listener = raw.Listener.new(None, None)
        self.addCleanup(listener.close)
        with Peer('client', to_stdlib(listener.get_address())), \
                tempfile.TemporaryFile() as file:
            conn = listener.accept(FAR, None)
            conn.send_bytes(GLib.Bytes.new(b'descriptor'), FAR, None)
            conn.send_fd(file.fileno(), FAR, None)
            fd = conn.recv_fd(FAR, None)
            self.addCleanup(os.close, fd)
            self.assertTrue(os.path.samestat(os.fstat(fd), os.fstat(file.fileno())))
            self.assertEqual(os.pread(fd, 100, 0), b'from the peer')
            self.assertFalse(os.get_inheritable(fd))


class TestBinding(Base):
    """What Python makes of the introspected classes."""

    def test_pipe(self):
        good, a, b = raw.pipe_new(True)
        self.assertTrue(good)
        a.send_data(b'hello', FAR, None)
        self.assertTrue(b.poll(0, None))
        self.assertEqual(receive(b), b'hello')
        self.assertFalse(b.poll(0, None))
        self.assert_error(raw.Error.TIMED_OUT, b.recv_bytes, 0, None)
        b.props.max_frame = 3
        a.send_data(b'hello', FAR, None)
        message = self.assert_error(raw.Error.LIMIT, b.recv_bytes, FAR, None)
        self.assertIn('5 bytes, where 3', message)
        a.close()
        self.assertTrue(a.props.closed)
        self.assert_error(raw.Error.CLOSED, a.send_data, b'x', FAR, None)
        _good, a, b = raw.pipe_new(False)
        self.assert_error(raw.Error.NOT_SUPPORTED, a.send_data, b'x', FAR, None)
        self.assertEqual((a.props.readable, a.props.writable), (True, False))
        self.assertEqual((b.get_readable(), b.get_writable()), (False, True))

    def test_shareable(self):
        _good, a, b = raw.pipe_new(True)
        queue = raw.Queue.new(0, 0)
        a.send_shareable(queue, FAR, None)
        other = b.recv_shareable(FAR, None)
        other.put(GLib.Variant('i', 3), FAR, None)
        self.assertEqual(queue.get(FAR, None).unpack(), 3)

    def test_main_loop(self):
        loop = GLib.MainLoop()
        listener = raw.Listener.new('tcp:127.0.0.1:0', glib_bytes(KEY))
        found = {}

        def keep(name, finish):
            def done(_source, result, *_data):
                found[name] = finish(result)
                if len(found) == 2:
                    loop.quit()
            return done

        listener.accept_async(None, keep('server', listener.accept_finish))
        raw.Connection.open_async(listener.get_address(), glib_bytes(KEY), FAR, None,
                                  keep('client', raw.Connection.open_finish))
        loop.run()
        server, client = found['server'], found['client']
        found.clear()
        server.recv_async(None, keep('value', server.recv_finish))
        client.send_async(GLib.Variant('s', 'hello'), None, keep('sent', client.send_finish))
        loop.run()
        self.assertEqual(found['value'].unpack(), 'hello')
        client.close()
        self.assertEqual(raw.wait([server, listener], FAR, None), [server])

    def test_python_and_c(self):
        # The package's own, on a socket that is shared.
        one, other = socket.socketpair()
        conn = Connection(one.detach())
        c_conn = raw.Connection.new_for_fd(other.detach(), True, True)
        self.addCleanup(conn.close)
        c_conn.send_data(pickle.dumps([1, 2]), FAR, None)
        self.assertEqual(conn.recv(), [1, 2])
        conn.send_bytes(b'back')
        self.assertEqual(receive(c_conn), b'back')


class TestPipe(Base):
    """An end of Python's Pipe() in C, which knows nothing of how two of Python send."""

    def assert_exchanged(self, conn, c_conn, length):
        """An object of that length there and back."""
        data = bytes([length % 251]) * length
        thread = threading.Thread(target=conn.send, args=(data,))
        thread.start()
        got = receive(c_conn)
        thread.join()
        self.assertTrue(pickle.loads(got) == data)
        thread = threading.Thread(target=c_conn.send_data, args=(got, FAR, None))
        thread.start()
        self.assertTrue(conn.recv() == data)
        thread.join()

    def test_sizes(self):
        MIB = 2**20
        one, other = multiprocessing_gi.Pipe()
        c_conn = raw.Connection.new_for_fd(os.dup(other.fileno()), True, True)
        other.close()
        self.addCleanup(one.close)
        for length in (0, 1, 16384, 98304, 262143, 262144, MIB, 64 * MIB, 64 * MIB + 1, 200 * MIB):
            with self.subTest(length=length):
                self.assert_exchanged(one, c_conn, length)

    def test_bytes(self):
        one, other = multiprocessing_gi.Pipe()
        c_conn = raw.Connection.new_for_fd(os.dup(other.fileno()), True, True)
        other.close()
        for data in (b'', b'x', b'y' * 3_000_000):
            thread = threading.Thread(target=one.send_bytes, args=(data,))
            thread.start()
            self.assertEqual(receive(c_conn), data)
            thread.join()
            thread = threading.Thread(target=c_conn.send_data, args=(data, FAR, None))
            thread.start()
            self.assertEqual(one.recv_bytes(), data)
            thread.join()
        c_conn.close()
        with self.assertRaises(EOFError):
            one.recv()

    def test_handed_over_late(self):
        """To C: what the other end sends to Python only, is an error there."""
        one, other = multiprocessing_gi.Pipe()
        self.addCleanup(one.close)
        one.send(1)
        self.assertEqual(other.recv(), 1)
        c_conn = raw.Connection.new_for_fd(os.dup(other.fileno()), True, True)
        other.close()
        self.assert_exchanged(one, c_conn, 1000)
        one.send(bytes(2**20))
        with self.assertRaisesRegex(GLib.Error, 'only Python can read') as caught:
            c_conn.recv_bytes(FAR, None)
        self.assertTrue(caught.exception.matches(raw.Error.quark(), raw.Error.NOT_SUPPORTED))
        c_conn.send_data(pickle.dumps('still'), FAR, None)
        self.assertEqual(one.recv(), 'still')

    def test_handed_over_without_its_class(self):
        one, other = multiprocessing_gi.Pipe()
        self.addCleanup(one.close)
        one.send(1)
        self.assertEqual(other.recv(), 1)
        conn = Connection(os.dup(other.fileno()))
        self.addCleanup(conn.close)
        other.close()
        one.send(bytes(2**20))
        with self.assertRaisesRegex(OSError, 'lies in memory'):
            conn.recv()

    def test_c_pipe_handed_over_late(self):
        """To Python, the same."""
        _good, one, other = raw.pipe_new(True)
        one.send_data(b'x', FAR, None)
        self.assertEqual(receive(other), b'x')
        conn = PipeConnection(os.dup(other.get_fd()))
        self.addCleanup(conn.close)
        other.close()
        one.send_data(bytes(2**20), FAR, None)
        with self.assertRaisesRegex(OSError, 'lies in memory'):
            conn.recv_bytes()
        conn.send('still')
        self.assertEqual(pickle.loads(receive(one)), 'still')

    def test_c_pipe(self):
        """An end of mp_pipe_new() in Python: C does not send there what only C can read."""
        _good, one, other = raw.pipe_new(True)
        conn = PipeConnection(os.dup(other.get_fd()))
        other.close()
        self.addCleanup(conn.close)
        for length in (0, 300_000, 3_000_000):
            with self.subTest(length=length):
                self.assert_exchanged(conn, one, length)


if __name__ == '__main__':
    unittest.main()
