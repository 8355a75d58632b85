# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Peers in processes of their own: newer handshakes, and messages of more than 2 GiB."""

import os
import subprocess
import sys
import unittest
import zlib

import multiprocessing_gi as mp
from multiprocessing_gi import connection

KEY = b'supadupasecretkey'
DEADLINE = 20
BIG = 2**31 + 4096
GIB = 2**30

# The handshake of Python 3.12 and later by itself, with sockets only: role, address, digest
# and key are its arguments. Afterwards it sends back what it gets.
MODERN = '''
import ast, hmac, os, socket, struct, sys
role, address, digest, key = map(ast.literal_eval, sys.argv[1:])
name = b"{" + digest.encode() + b"}"

def read():
    head = sock.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        sys.exit("end")
    return sock.recv(struct.unpack("!i", head)[0], socket.MSG_WAITALL)

def write(data):
    sock.sendall(struct.pack("!i", len(data)) + data)

def deliver():
    message = name + os.urandom(40)
    write(b"#CHALLENGE#" + message)
    good = read() == name + hmac.new(key, message, digest).digest()
    write(b"#WELCOME#" if good else b"#FAILURE#")
    if not good:
        sys.exit("wrong digest")

def answer():
    message = read()
    assert message[:11] == b"#CHALLENGE#", message
    theirs, _brace, _rest = message[12:].partition(b"}")
    mac = hmac.new(key, message[11:], theirs.decode()).digest()
    write(b"{" + theirs + b"}" + mac)
    if read() != b"#WELCOME#":
        sys.exit("rejected")

sock = socket.socket(socket.AF_UNIX)
if role == "client":
    sock.connect(address)
    answer()
    deliver()
else:
    sock.bind(address)
    sock.listen()
    print("listening", flush=True)
    sock, _address = sock.accept()
    deliver()
    answer()
write(read())
sys.exit("done")
'''

# The other end of a socketpair, with sockets only: takes a big message, says what was in
# it, and sends it back. The standard library's would take minutes.
BIG_PEER = '''
import socket, struct, sys, zlib
sock = socket.socket(fileno=int(sys.argv[1]))
header = sock.recv(12, socket.MSG_WAITALL)
mark, size = struct.unpack("!iQ", header)
data = bytearray(size)
view, at = memoryview(data), 0
while at < size:
    at += sock.recv_into(view[at:at + 2**20])
reply = b"%d %d %d" % (mark, size, zlib.crc32(data))
sock.sendall(struct.pack("!i", len(reply)) + reply + header)
sock.sendall(data)
'''


def modern_peer(role, address, digest, key):
    """The process that goes through a handshake of Python 3.12's."""
    return subprocess.Popen(
        [sys.executable, '-c', MODERN, *map(repr, (role, address, digest, key))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def available_memory():
    """How many bytes could be had without swapping."""
    with open('/proc/meminfo', encoding='ascii') as file:
        for line in file:
            if line.startswith('MemAvailable:'):
                return int(line.split()[1]) * 1024
    return 0


class TestModernHandshake(unittest.TestCase):
    """Python 3.12 and later at the other end."""

    def end_of(self, peer, text):
        """How it has ended."""
        _out, err = peer.communicate(timeout=DEADLINE)
        self.assertEqual(err.strip(), text)

    def test_client(self):
        for digest in ('md5', 'sha256', 'sha384', 'sha3_256', 'sha3_384'):
            with self.subTest(digest), connection.Listener(authkey=KEY) as listener:
                peer = modern_peer('client', listener.address, digest, KEY)
                with listener.accept(timeout=DEADLINE) as conn:
                    conn.send_bytes(b'hello')
                    self.assertEqual(conn.recv_bytes(), b'hello')
                self.end_of(peer, 'done')

    def test_listener(self):
        for digest in ('md5', 'sha256', 'sha384', 'sha3_256', 'sha3_384'):
            with self.subTest(digest):
                address = connection.arbitrary_address('AF_UNIX')
                peer = modern_peer('listener', address, digest, KEY)
                self.assertEqual(peer.stdout.readline(), 'listening\n')
                with connection.Client(address, authkey=KEY, timeout=DEADLINE) as conn:
                    conn.send_bytes(b'hello')
                    self.assertEqual(conn.recv_bytes(), b'hello')
                self.end_of(peer, 'done')
                os.unlink(address)

    def test_wrong_key(self):
        with connection.Listener(authkey=KEY) as listener:
            peer = modern_peer('client', listener.address, 'sha256', b'other')
            with self.assertRaises(mp.AuthenticationError):
                listener.accept(timeout=DEADLINE)
            self.end_of(peer, 'rejected')
        address = connection.arbitrary_address('AF_UNIX')
        peer = modern_peer('listener', address, 'sha256', b'other')
        self.assertEqual(peer.stdout.readline(), 'listening\n')
        with self.assertRaises(mp.AuthenticationError):
            connection.Client(address, authkey=KEY, timeout=DEADLINE)
        self.end_of(peer, 'wrong digest')
        os.unlink(address)


class TestBigMessages(unittest.TestCase):
    """More than a signed 32-bit length can say."""

    @unittest.skipIf(available_memory() < 8 * GIB, 'it takes 8 GiB of memory')
    def test_there_and_back(self):
        ours, theirs = mp.Pipe()
        with ours:
            with theirs:
                peer = subprocess.Popen(
                    [sys.executable, '-c', BIG_PEER, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()])
            data = os.urandom(4096) * (BIG // 4096)
            expected = zlib.crc32(data)
            ours.send_bytes(data)
            del data
            self.assertEqual(ours.recv_bytes(), b'-1 %d %d' % (BIG, expected))
            data = ours.recv_bytes()
            self.assertEqual((len(data), zlib.crc32(data)), (BIG, expected))
            self.assertEqual(peer.wait(DEADLINE), 0)


if __name__ == '__main__':
    unittest.main()
