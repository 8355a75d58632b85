# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Listener, Client and the handshake, with the standard library's as the peer, too."""

import errno
import hashlib
import hmac
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import unittest
import unittest.mock

import multiprocessing_gi as mp
from multiprocessing_gi import _authentication, _listener, connection, reduction

import tasks

KEY = b'supadupasecretkey'
FAMILIES = ('AF_UNIX', 'AF_INET', 'AF_INET6')

# The standard library's, in a process of its own: address and key are its arguments.
PEER = '''
import ast, sys
from multiprocessing.connection import Client, Listener
from multiprocessing import AuthenticationError
what, address, key = sys.argv[1], ast.literal_eval(sys.argv[2]), ast.literal_eval(sys.argv[3])
try:
    if what == 'client':
        conn = Client(address, authkey=key)
    else:
        listener = Listener(address, authkey=key)
        print(repr(listener.address), flush=True)
        conn = listener.accept()
    while True:
        obj = conn.recv()
        conn.send(obj)
        conn.send_bytes(repr(obj).encode())
except (AuthenticationError, EOFError) as error:
    print(type(error).__name__)
'''


class Peer:
    """A process with the standard library's end of a connection."""

    def __init__(self, what, address, key=None):
        self._process = subprocess.Popen(
            [sys.executable, '-c', PEER, what, repr(address), repr(key)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._process.kill()
        self._process.communicate()

    def read_line(self):
        """The next line that it prints."""
        return self._process.stdout.readline().strip()


def exchange(test, conn):
    """Objects and bytes, there and back."""
    for obj in ('hello', {'a': [1, None]}, b'x' * 100_000, ''):
        conn.send(obj)
        test.assertEqual(conn.recv(), obj)
        test.assertEqual(conn.recv_bytes(), repr(obj).encode())


def in_thread(func, *args, **kwargs):
    """Starts it in a thread; gives a function that waits and returns what it returned."""
    result = []

    def run():
        try:
            result.append((True, func(*args, **kwargs)))
        except Exception as error:
            result.append((False, error))

    thread = threading.Thread(target=run)
    thread.start()

    def wait():
        thread.join(20)
        good, value = result[0]
        if not good:
            raise value
        return value

    return wait


class TestListener(unittest.TestCase):
    """The address and the life of a listener."""

    def test_families(self):
        for family in FAMILIES:
            with self.subTest(family), connection.Listener(family=family) as listener:
                client = connection.Client(listener.address, family)
                with client, listener.accept() as server:
                    client.send(1)
                    self.assertEqual(server.recv(), 1)
                    server.send_bytes(b'x')
                    self.assertEqual(client.recv_bytes(), b'x')
                    server.close()
                    self.assertRaises(EOFError, client.recv)
                if family == 'AF_UNIX':
                    self.assertEqual(listener.last_accepted, '')
                else:
                    self.assertEqual(listener.last_accepted[0], listener.address[0])

    def test_path_goes(self):
        listener = connection.Listener()
        path = listener.address
        self.assertTrue(stat.S_ISSOCK(os.stat(path).st_mode))
        self.assertEqual(os.stat(os.path.dirname(path)).st_mode & 0o777, 0o700)
        listener.close()
        listener.close()
        self.assertFalse(os.path.exists(path))
        listener = connection.Listener()
        path = listener.address
        with self.assertWarns(ResourceWarning):
            del listener
        self.assertFalse(os.path.exists(path))

    def test_path_goes_at_exit(self):
        code, out, _err = tasks.run_script('''
            import os
            from multiprocessing_gi.connection import Listener
            listener = Listener()
            print(listener.address)
            if os.fork() == 0:
                os._exit(0)
            os.wait()
            assert os.path.exists(listener.address)
        ''')
        self.assertEqual(code, 0)
        self.assertFalse(os.path.exists(out.strip()))
        self.assertFalse(os.path.exists(os.path.dirname(out.strip())))

    def test_abstract(self):
        name = f'\0libmp-test-{os.getpid()}'
        with connection.Listener(name) as listener:
            with connection.Client(name) as client, listener.accept() as server:
                server.send('x')
                self.assertEqual(client.recv(), 'x')

    def test_in_use(self):
        with connection.Listener() as listener:
            with self.assertRaises(OSError) as caught:
                connection.Listener(listener.address)
            self.assertEqual(caught.exception.errno, errno.EADDRINUSE)
            self.assertTrue(os.path.exists(listener.address))

    def test_bad_arguments(self):
        self.assertRaisesRegex(TypeError, 'bytes, not str', connection.Listener, authkey='x')
        self.assertRaisesRegex(TypeError, 'bytes, not str', connection.Client, 'x', authkey='x')
        self.assertRaisesRegex(ValueError, 'AF_PIPE', connection.Listener, r'\\.\pipe')
        self.assertRaisesRegex(ValueError, 'AF_NONE', connection.Listener, family='AF_NONE')
        self.assertRaisesRegex(ValueError, '17', connection.Client, 17)
        for call in (connection.deliver_challenge, connection.answer_challenge):
            self.assertRaisesRegex(ValueError, 'bytes, not int', call, None, 5)

    def test_nobody_there(self):
        self.assertRaises(FileNotFoundError, connection.Client, '/nowhere/to/be/found')
        with connection.Listener(family='AF_INET') as listener:
            address = listener.address
        self.assertRaises(ConnectionRefusedError, connection.Client, address)

    def test_after_close(self):
        listener = connection.Listener()
        listener.close()
        self.assertRaisesRegex(OSError, 'closed', listener.accept)

    def test_timeouts(self):
        for key in (None, KEY):
            with self.subTest(key), connection.Listener(authkey=key) as listener:
                for timeout in (0, 0.1):
                    start = time.monotonic()
                    with self.assertRaisesRegex(TimeoutError, f'{timeout} seconds'):
                        listener.accept(timeout=timeout)
                    tasks.check_timeout(self, start, timeout)
        # It is listened to, but nobody accepts.
        with connection.Listener() as listener:
            with self.assertRaisesRegex(TimeoutError, '0.1 seconds'):
                connection.Client(listener.address, authkey=KEY, timeout=0.1)

    def test_full_backlog(self):
        with connection.Listener(backlog=0) as listener:
            waiting = []
            while True:
                sock = socket.socket(socket.AF_UNIX)
                self.addCleanup(sock.close)
                sock.setblocking(False)
                try:
                    sock.connect(listener.address)
                except BlockingIOError:
                    break
                waiting.append(sock)
            for timeout in (0, 0.1):
                start = time.monotonic()
                with self.assertRaisesRegex(TimeoutError, f'connected in {timeout} seconds'):
                    connection.Client(listener.address, timeout=timeout)
                self.assertGreaterEqual(time.monotonic() - start, timeout)
            client = in_thread(connection.Client, listener.address, timeout=20)
            for _ in waiting:
                listener.accept().close()
            with listener.accept(timeout=20) as server, client() as conn:
                conn.send('x')
                self.assertEqual(server.recv(), 'x')

    def test_default_timeout_of_sockets(self):
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(0.01)
        try:
            for key in (None, KEY):
                with connection.Listener(authkey=key) as listener:
                    accept = in_thread(listener.accept)
                    client = connection.Client(listener.address, authkey=key)
                    with client, accept() as server:
                        self.assertTrue(os.get_blocking(client.fileno()))
                        self.assertTrue(os.get_blocking(server.fileno()))
        finally:
            socket.setdefaulttimeout(before)

    def test_ctrl_c(self):
        for key in ('None', repr(KEY)):
            _code, out, err = tasks.run_script(f'''
                import signal
                from multiprocessing_gi.connection import Listener
                signal.signal(signal.SIGALRM, signal.default_int_handler)
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with Listener(authkey={key}) as listener:
                    try:
                        listener.accept()
                    except KeyboardInterrupt:
                        print('interrupted')
            ''')
            self.assertEqual(out, 'interrupted\n', err)

    def test_xml(self):
        with connection.XmlListener() as listener:
            client = connection.XmlClient(listener.address)
            server = listener.accept()
            client.send([1, 'x', {'a': 2.5}])
            self.assertEqual(server.recv(), [1, 'x', {'a': 2.5}])
            client.close()
            server.close()


class TestHandshake(unittest.TestCase):
    """Who has the key gets in, and nobody waits for who has not."""

    def setUp(self):
        self.listener = connection.Listener(backlog=100, authkey=KEY)
        self.addCleanup(self.listener.close)

    def connect(self):
        """A client that does nothing by itself."""
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.connect(self.listener.address)
        return sock

    def assert_still_works(self):
        """Somebody with the key gets in."""
        accept = in_thread(self.listener.accept, timeout=10)
        client = connection.Client(self.listener.address, authkey=KEY, timeout=10)
        with client, accept() as server:
            client.send('x')
            self.assertEqual(server.recv(), 'x')

    def test_key(self):
        self.assert_still_works()
        for key in (b'', b'k' * 1000):
            with connection.Listener(authkey=key) as listener:
                accept = in_thread(listener.accept)
                client = connection.Client(listener.address, authkey=key)
                # What follows at once is not taken for a part of the handshake.
                client.send('first')
                with client, accept() as server:
                    self.assertEqual(server.recv(), 'first')

    def test_wrong_key(self):
        client = in_thread(connection.Client, self.listener.address, authkey=b'other')
        with self.assertRaisesRegex(mp.AuthenticationError, 'received is wrong'):
            self.listener.accept()
        with self.assertRaisesRegex(mp.AuthenticationError, 'rejected'):
            client()
        self.assert_still_works()

    def test_interrupted(self):
        # An exception in the midst of a handshake lets nobody in, whoever asks again.
        for name in ('_verify', '_mac'):
            with self.subTest(name):
                client = self.connect()
                accept = in_thread(self.listener.accept, timeout=10)
                self.assertEqual(len(client.recv(63, socket.MSG_WAITALL)), 63)
                with unittest.mock.patch.object(_authentication, name,
                                                side_effect=ZeroDivisionError):
                    client.sendall(struct.pack('!i', 40) + b'{sha256}' + bytes(32))
                    self.assertRaises(ZeroDivisionError, accept)
                try:
                    client.sendall(struct.pack('!i', 5) + b'hello')
                except BrokenPipeError:
                    pass
                with self.assertRaises(TimeoutError):
                    self.listener.accept(timeout=0.1)
                self.assert_still_works()

    def test_interrupted_steps(self):
        steps = _authentication.serve(KEY)
        handshake = _listener._Handshake(self.connect(), steps, None)
        self.assertRaises(ZeroDivisionError, steps.throw, ZeroDivisionError)
        handshake._outgoing = handshake._incoming = b''
        handshake._size = 0
        self.assertRaises(mp.AuthenticationError, handshake.advance)

    def test_silent_ones(self):
        silent = [self.connect() for _ in range(1)]
        accept = in_thread(self.listener.accept, timeout=10)
        silent += [self.connect() for _ in range(50)]
        client = connection.Client(self.listener.address, authkey=KEY, timeout=10)
        accept().close()
        client.close()
        self.assert_still_works()

    def test_slow_one(self):
        slow = self.connect()
        accept = in_thread(self.listener.accept, timeout=10)
        challenge = slow.recv(4 + 59, socket.MSG_WAITALL)[4 + 11:]
        reply = struct.pack('!i', 40) + b'{sha256}' + hmac.new(KEY, challenge, 'sha256').digest()
        for at in range(20):
            slow.send(reply[at:at + 1])
            if at == 10:
                client = connection.Client(self.listener.address, authkey=KEY, timeout=10)
                accept().close()
                client.close()
                accept = in_thread(self.listener.accept, timeout=10)
        slow.send(reply[20:])
        self.assertEqual(slow.recv(4 + 9, socket.MSG_WAITALL)[4:], b'#WELCOME#')
        slow.send(struct.pack('!i', 31) + b'#CHALLENGE#' + bytes(range(20)))
        self.assertEqual(slow.recv(4 + 16, socket.MSG_WAITALL)[4:].hex(),
                         '264a416e6bf8fbca704dd80d6acd61c2')
        slow.send(struct.pack('!i', 9) + b'#WELCOME#')
        accept().close()

    def test_many_threads(self):
        # Some of them take clients in whom others then go on with.
        def accept():
            for _ in range(25):
                with self.listener.accept(timeout=20) as server:
                    server.send(server.recv())

        def connect(number):
            for at in range(25):
                with connection.Client(self.listener.address, authkey=KEY, timeout=20) as conn:
                    conn.send((number, at))
                    self.assertEqual(conn.recv(), (number, at))

        waits = [in_thread(accept) for _ in range(4)]
        waits += [in_thread(connect, number) for number in range(4)]
        for wait in waits:
            wait()

    def test_threads_that_do_not_wait(self):
        accept = in_thread(self.listener.accept, timeout=20)
        self.connect().recv(1)
        for timeout in (0, 0.05):
            with self.assertRaisesRegex(TimeoutError, f'{timeout} seconds'):
                self.listener.accept(timeout=timeout)
        client = connection.Client(self.listener.address, authkey=KEY, timeout=20)
        accept().close()
        client.close()

    def test_forked_servers(self):
        def serve():
            with self.listener.accept(timeout=20) as server:
                server.send(os.getpid())

        # A handshake has begun, and a thread is accepting, when the children are made.
        served = in_thread(serve)
        self.connect().recv(1)
        pids = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                try:
                    while True:
                        serve()
                finally:
                    os._exit(1)
            pids.append(pid)
        seen = set()
        try:
            while not seen.issuperset(pids):
                with connection.Client(self.listener.address, authkey=KEY, timeout=20) as conn:
                    seen.add(conn.recv())
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        if os.getpid() not in seen:
            with connection.Client(self.listener.address, authkey=KEY, timeout=20) as conn:
                self.assertEqual(conn.recv(), os.getpid())
        served()

    def test_flooding_ones(self):
        for data in (b'\0\0\1\1', b'\xff\xff\xff\xff' + b'\x7f' * 8, b'\x80\0\0\0',
                     b'GET / HTTP/1.1\r\n\r\n'):
            with self.subTest(data):
                flood = self.connect()
                flood.sendall(data)
                flood.setblocking(False)
                try:
                    while flood.send(b'x' * 65536):
                        pass
                except BlockingIOError:
                    pass
                with self.assertRaisesRegex(mp.AuthenticationError, '256 are allowed'):
                    self.listener.accept()
        self.assert_still_works()

    def test_nonsense(self):
        for data in (b'', b'nonsense', b'{sha256}', b'{md4}' + bytes(32), b'{' * 256,
                     b'{sha256}' + bytes(32), bytes(16), b'\xff' * 40):
            with self.subTest(data):
                self.connect().sendall(struct.pack('!i', len(data)) + data)
                with self.assertRaises(mp.AuthenticationError):
                    self.listener.accept()
        self.assert_still_works()

    def test_one_that_leaves(self):
        for data in (b'', b'\0', struct.pack('!i', 40) + b'{sha'):
            sock = self.connect()
            sock.sendall(data)
            sock.close()
        with self.assertRaises(TimeoutError):
            self.listener.accept(timeout=0.1)
        self.assert_still_works()

    def test_one_that_is_late(self):
        with connection.Listener(authkey=KEY, handshake_timeout=0.1) as listener:
            silent = socket.socket(socket.AF_UNIX)
            self.addCleanup(silent.close)
            silent.connect(listener.address)
            with self.assertRaises(TimeoutError):
                listener.accept(timeout=0.5)
            while silent.recv(100):
                pass

    def test_without_a_key(self):
        # As in multiprocessing: who has no key gets the challenge as the first message.
        accept = in_thread(self.listener.accept)
        with connection.Client(self.listener.address) as client:
            self.assertEqual(client.recv_bytes()[:19], b'#CHALLENGE#{sha256}')
            client.send_bytes(b'x')
            with self.assertRaises(mp.AuthenticationError):
                accept()
            self.assertEqual(client.recv_bytes(), b'#FAILURE#')
            self.assertRaises(EOFError, client.recv)


class Scripted:
    """A connection that gives prepared messages and keeps what is sent."""

    def __init__(self, *messages):
        self.sent = []
        self._messages = list(messages)

    def recv_bytes(self, maxlength):
        """The next of them."""
        assert maxlength == 256
        return self._messages.pop(0)

    def send_bytes(self, data):
        """Keeps it."""
        self.sent.append(data)


class TestVectors(unittest.TestCase):
    """What the two generations of the handshake are made of, byte by byte."""

    def test_answer(self):
        modern = b'{sha256}' + bytes(range(40))
        for challenge, reply in (
                (modern, b'{sha256}' + bytes.fromhex(
                    '8d546a07722430e6e36d9a1e16a2b23c30b7f555678dc9d50321e882a89160fc')),
                (bytes(range(20)), bytes.fromhex('264a416e6bf8fbca704dd80d6acd61c2'))):
            conn = Scripted(b'#CHALLENGE#' + challenge, b'#WELCOME#')
            connection.answer_challenge(conn, KEY)
            self.assertEqual(conn.sent, [reply])

    def test_answer_every_digest(self):
        for name in ('md5', 'sha256', 'sha384', 'sha3_256', 'sha3_384'):
            challenge = f'{{{name}}}'.encode() + bytes(40)
            conn = Scripted(b'#CHALLENGE#' + challenge, b'#WELCOME#')
            connection.answer_challenge(conn, KEY)
            mac = hmac.new(KEY, challenge, getattr(hashlib, name)).digest()
            self.assertEqual(conn.sent, [f'{{{name}}}'.encode() + mac])

    def test_answer_to_nonsense(self):
        for message in (b'', b'#CHALLENGE#', b'#CHALLENGE#' + bytes(19), bytes(31),
                        b'#CHALLENGE#' + bytes(21), b'#CHALLENGE#{sha1}' + bytes(40),
                        b'#CHALLENGE#{\xff}' + bytes(40), b'#CHALLENGE#{' + bytes(40)):
            with self.subTest(message), self.assertRaises(mp.AuthenticationError):
                connection.answer_challenge(Scripted(message, b'#WELCOME#'), KEY)
        for verdict in (b'#FAILURE#', b'', b'#WELCOME#!'):
            conn = Scripted(b'#CHALLENGE#' + bytes(20), verdict)
            with self.subTest(verdict), self.assertRaises(mp.AuthenticationError):
                connection.answer_challenge(conn, KEY)

    def test_deliver(self):
        class Peer(Scripted):
            """One that answers as a generation does."""

            def __init__(self, answer):
                super().__init__()
                self._answer = answer

            def recv_bytes(self, maxlength):
                """The reply to the challenge that was sent."""
                return self._answer(self.sent[0][len(b'#CHALLENGE#'):])

        for name in ('sha256', 'sha384', 'md5', 'sha3_256', 'sha3_384'):
            def modern(message):
                mac = hmac.new(KEY, message, getattr(hashlib, name)).digest()
                return f'{{{name}}}'.encode() + mac

            def legacy(message):
                return hmac.new(KEY, message, 'md5').digest()

            for answer in (modern, legacy):
                peer = Peer(answer)
                connection.deliver_challenge(peer, KEY, name)
                self.assertEqual(peer.sent[1], b'#WELCOME#')
                self.assertEqual(len(peer.sent[0]), 11 + len(name) + 2 + 40)
            peer = Peer(lambda message: modern(message)[:-1] + b'\0\0')
            with self.assertRaises(mp.AuthenticationError):
                connection.deliver_challenge(peer, KEY, name)
            self.assertEqual(peer.sent[1], b'#FAILURE#')


class TestStandardLibrary(unittest.TestCase):
    """The standard library at the other end."""

    def test_client_of_theirs(self):
        for family in FAMILIES[:2]:
            for key in (None, KEY):
                with self.subTest((family, key)):
                    with connection.Listener(family=family, authkey=key) as listener:
                        with Peer('client', listener.address, key):
                            with listener.accept(timeout=20) as conn:
                                exchange(self, conn)

    def test_listener_of_theirs(self):
        for address in (None, ('localhost', 0)):
            for key in (None, KEY):
                with self.subTest((address, key)), Peer('listener', address, key) as peer:
                    found = eval(peer.read_line())
                    with connection.Client(found, authkey=key, timeout=20) as conn:
                        exchange(self, conn)

    def test_wrong_key(self):
        with connection.Listener(authkey=KEY) as listener:
            with Peer('client', listener.address, b'other') as peer:
                with self.assertRaises(mp.AuthenticationError):
                    listener.accept(timeout=20)
                self.assertEqual(peer.read_line(), 'AuthenticationError')
        with Peer('listener', None, b'other') as peer:
            with self.assertRaises(mp.AuthenticationError):
                connection.Client(eval(peer.read_line()), authkey=KEY, timeout=20)
            self.assertEqual(peer.read_line(), 'AuthenticationError')

    def test_descriptors(self):
        script = '''
            import os, socket, sys
            from multiprocessing import reduction
            from multiprocessing.connection import Connection
            conn = Connection(int(sys.argv[1]))
            fd = reduction.recv_handle(conn)
            os.write(fd, b'theirs')
            reduction.send_handle(conn, fd, 0)
        '''
        ours, theirs = mp.Pipe()
        with ours, theirs:
            reader, writer = os.pipe()
            wait = in_thread(tasks.run_script, script, str(theirs.fileno()),
                             pass_fds=[theirs.fileno()])
            reduction.send_handle(ours, writer, None)
            back = reduction.recv_handle(ours)
            self.assertEqual(wait()[0], 0)
            self.assertEqual(os.read(reader, 100), b'theirs')
            self.assertEqual(os.fstat(back), os.fstat(writer))
            for fd in (reader, writer, back):
                os.close(fd)


class TestInProcesses(unittest.TestCase):
    """Clients in children."""

    def test_many_clients(self):
        with connection.Listener(authkey=KEY, backlog=20) as listener:
            processes = [mp.Process(target=send_number, args=(listener.address, number))
                         for number in range(6)]
            for process in processes:
                process.start()
            got = []
            for _ in processes:
                with listener.accept(timeout=20) as conn:
                    got.append(conn.recv())
            self.assertEqual(sorted(got), list(range(6)))
            for process in processes:
                process.join()
                self.assertEqual(process.exitcode, 0)

    def test_killed_client(self):
        with connection.Listener(authkey=KEY) as listener:
            process = mp.Process(target=connect_and_wait, args=(listener.address,))
            process.start()
            with listener.accept(timeout=20) as conn:
                self.assertEqual(conn.recv(), 'here')
                os.kill(process.pid, signal.SIGKILL)
                self.assertRaises(EOFError, conn.recv)
            process.join()


def send_number(address, number):
    """What a client does."""
    with connection.Client(address, authkey=KEY, timeout=20) as conn:
        conn.send(number)


def connect_and_wait(address):
    """What one does that is to be killed."""
    with connection.Client(address, authkey=KEY, timeout=20) as conn:
        conn.send('here')
        tasks.wait_for_ever()


if __name__ == '__main__':
    unittest.main()
