# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Connections: messages over a socket or a pipe, and waiting for several of them.

The bytes are those of multiprocessing.connection, so that a peer may be one of its
connections as well: the length as a signed 32-bit number, big-endian, and the payload;
from 2 GiB on −1, the length as an unsigned 64-bit number, and the payload.
"""

import math
import operator
import os
import select
import selectors
import signal
import socket
import struct
import time
# That of signal makes an enumeration's member of it, which takes as long as a system call.
from _signal import getsignal

from ._primitives import receive_soon
from ._raw import BufferTooShort
from ._serialize import dumps, loads

__all__ = ["Client", "Connection", "Listener", "Pipe", "answer_challenge",
           "deliver_challenge", "wait"]

_HEADER, _LONG_HEADER = struct.Struct("!i"), struct.Struct("!iQ")
_PACK = _HEADER.pack
_LENGTH, _LONG_LENGTH = _HEADER.unpack, struct.Struct("!Q").unpack
_MAX_SHORT, _LONG, _MAX_LONG = 2**31 - 1, -1, 2**63 - 1
# Of what the ends of pipes send that know each other: those of Python, see _pipe.py, and of C.
_IN_MEMORY = -2, -3
_SIGPIPE, _SIG_DFL = int(signal.SIGPIPE), int(signal.SIG_DFL)
# Up to here header and payload are one piece of memory.
_JOIN_LIMIT = 16384
# Up to here a pipe takes a message as a whole or not at all.
_WHOLE_LIMIT = select.PIPE_BUF - _HEADER.size
# No more is asked for at once: a length that is a lie costs no memory.
_CHUNK = 256 * 1024
# One call of poll() takes so many milliseconds at most.
_POLL_LIMIT = 10**9


class Connection:
    """One end of a pipe or a socket: objects and bytes, as whole messages.

    It owns the descriptor. Several threads or processes may send and receive at the same
    time only if they see to it that one does so after the other.
    """

    _handle = None
    # A message that recv() has begun with.
    _size = None
    _begun = b""
    _fresh = ()
    # Whether the peer was left with a part of a message.
    _torn = False
    # Whether it may be a socket, of which one can read without waiting.
    _is_socket = True

    def __init__(self, handle, readable=True, writable=True):
        handle = operator.index(handle)
        if handle < 0:
            raise ValueError(f"a descriptor cannot be {handle}")
        if not readable and not writable:
            raise ValueError("a connection has to be readable or writable, or both")
        self._handle = handle
        self._readable = readable
        self._writable = writable
        self._soon = []

    def __del__(self, close=os.close):
        if self._handle is not None:
            close(self._handle)

    def __reduce__(self):
        from .resource_sharer import DupFd
        return _rebuild, (type(self), DupFd(self.fileno()), self._readable, self._writable)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    @property
    def closed(self):
        """Whether this end is closed."""
        return self._handle is None

    @property
    def readable(self):
        """Whether messages can be received."""
        return self._readable

    @property
    def writable(self):
        """Whether messages can be sent."""
        return self._writable

    def fileno(self):
        """The descriptor."""
        if self._handle is None:
            raise OSError("the connection is closed")
        return self._handle

    def close(self):
        """Closes this end."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def send(self, obj):
        """Sends an object; waits while the other end has no room."""
        self._check_writable()
        self._send(dumps(obj))

    def recv(self):
        """The next object; waits for one. EOFError when the other end is closed."""
        self._check_readable()
        return loads(self._receive())

    def send_bytes(self, buf, offset=0, size=None):
        """Sends bytes, or size of them from offset on, as one message."""
        self._check_writable()
        if type(buf) is bytes and offset == 0 and size is None:
            self._send(buf)
            return
        view = _view_of(buf)
        if not 0 <= offset <= len(view):
            raise ValueError(f"the offset {offset} is not within the {len(view)} bytes")
        if size is None:
            size = len(view) - offset
        elif not 0 <= size <= len(view) - offset:
            raise ValueError(f"there are no {size} bytes from {offset} on, of {len(view)} bytes")
        self._send(view[offset:offset + size])

    def recv_bytes(self, maxlength=None):
        """The next message as bytes.

        One that is longer than maxlength is an OSError, after which this end receives
        nothing more.
        """
        self._check_readable()
        if maxlength is not None and maxlength < 0:
            raise ValueError(f"the greatest length cannot be {maxlength}")
        return bytes(self._receive(maxlength))

    def recv_bytes_into(self, buf, offset=0):
        """Puts the next message into buf, from offset on, and gives its length.

        When there is not enough room, BufferTooShort has the whole message.
        """
        self._check_readable()
        with memoryview(buf) as view:
            if view.readonly or not view.c_contiguous:
                raise TypeError("what is received into must be writable and contiguous")
            if not 0 <= offset <= view.nbytes:
                raise ValueError(f"the offset {offset} is not within the {view.nbytes} bytes")
            data = self._receive()
            if len(data) > view.nbytes - offset:
                raise BufferTooShort(bytes(data))
            struct.pack_into(f"{len(data)}s", view, offset, data)
            return len(data)

    def poll(self, timeout=0.0):
        """Whether there is something to receive, or the other end is closed.

        Waits for it, for timeout seconds at most; None: for ever.
        """
        self._check_readable()
        if self._size is not None or self._begun or self._fresh or self._soon:
            return True
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(_poll_until(poll.poll, timeout))

    def _check_readable(self):
        if self._handle is None:
            raise OSError("the connection is closed")
        if not self._readable:
            raise OSError("the connection is write-only")

    def _check_writable(self):
        if self._handle is None:
            raise OSError("the connection is closed")
        if not self._writable:
            raise OSError("the connection is read-only")
        if self._torn:
            raise OSError("an earlier message was sent in part only: nothing can follow it")

    # Sending.

    def _send(self, data):
        size = len(data)
        if size <= _JOIN_LIMIT:
            # Together: what is written at once is not interleaved, nor delayed by TCP.
            pieces = [_PACK(size) + data]
            if size <= _WHOLE_LIMIT and getsignal(_SIGPIPE) != _SIG_DFL:
                written = os.write(self._handle, pieces[0])
                if written != size + _HEADER.size:
                    self._write_all(pieces, [written])
                return
        elif size <= _MAX_SHORT:
            pieces = [_HEADER.pack(size), data]
        else:
            pieces = [_LONG_HEADER.pack(_LONG, size), data]
        self._write_all(pieces, [])

    def _write_all(self, pieces, written):
        """Writes what is left of the pieces; appends what each write took to the list written."""
        total = sum(map(len, pieces))
        try:
            while (done := sum(written)) < total:
                self._write(_after(pieces, done), written)
        except BrokenPipeError:
            raise
        except BaseException:
            # A signal handler's, maybe right after a write.
            self._torn = 0 < sum(written) < total
            raise

    def _write(self, pieces, written):
        if getsignal(_SIGPIPE) != _SIG_DFL:
            written.extend(map(os.writev, (self._handle,), (pieces,)))
            return
        # The end of the peer must be an error here, not the end of this process.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        try:
            written.extend(map(os.writev, (self._handle,), (pieces,)))
        except BrokenPipeError:
            if signal.SIGPIPE not in mask:
                signal.sigtimedwait({signal.SIGPIPE}, 0)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    # Receiving. What an exception from a signal handler interrupts is gone on with by the next
    # call: _size is the length that was read, _begun what came after that, _fresh what the last
    # read gave, and _soon the part that receive_soon() did. A handler may raise whenever a call
    # into C returns: so that stays there until what was made of it is stored, with no call between.

    def _receive(self, maxlength=None):
        """The payload of the next message, as bytes or a bytearray."""
        if self._size is None:
            if self._is_socket and maxlength is None and not self._begun and not self._fresh:
                data = True if self._soon else receive_soon(self._handle, self._soon)
                if type(data) is bytes:
                    return data
                self._is_socket = data
            if self._soon:
                self._go_on_from(*self._soon)
            if self._size is None:
                size, = _LENGTH(self._read(_HEADER.size))
                self._size, self._begun, self._fresh = size, b"", ()
        if self._size == _LONG:
            size, = _LONG_LENGTH(self._read(8))
            self._size, self._begun, self._fresh = size, b"", ()
        size = self._size
        if size < 0:
            return self._receive_special(size)
        if 0 < size <= _CHUNK and not self._begun and (maxlength is None or size <= maxlength):
            # Nearly every message is there as a whole.
            data = self._read_once(size)
            if len(data) == size:
                self._size, self._fresh = None, ()
                return data
        if size > (_MAX_LONG if maxlength is None else min(maxlength, _MAX_LONG)):
            self._refuse()
        data = self._read(size)
        self._size, self._begun, self._fresh = None, b"", ()
        return data

    def _go_on_from(self, header, begun):
        """Takes the part of a message that receive_soon() has read."""
        if len(header) == _HEADER.size:
            size, = _LENGTH(header)
        else:
            size, begun = None, header
        begun = bytearray(begun)
        self._size, self._begun, self._soon = size, begun, []

    def _receive_special(self, size):
        """The message whose length stands for something else."""
        if size in _IN_MEMORY:
            self._refuse("the next message lies in memory that this kind of connection cannot read")
        self._refuse()

    def _read(self, size):
        """Exactly so many bytes, which stay in _begun or _fresh."""
        begun = self._begun
        if not begun:
            data = self._read_once(min(size, _CHUNK)) if size else b""
            if len(data) == size:
                return data
            if not data:
                self._end()
            begun = bytearray(data)
            self._begun, self._fresh = begun, ()
        while len(begun) < size:
            data = self._read_once(min(size - len(begun), _CHUNK))
            if not data:
                self._end()
            begun += data
            self._fresh = ()
        return begun

    def _read_once(self, size):
        """What one read gives, at most so many bytes; it stays in _fresh."""
        fresh = self._fresh
        if not fresh:
            fresh = self._fresh = []
            fresh.extend(map(os.read, (self._handle,), (size,)))
        return fresh[0]

    def _end(self):
        between_messages = self._size is None and not self._begun
        self._size, self._begun, self._fresh = None, b"", ()
        if between_messages:
            raise EOFError
        raise OSError("got end of file during message")

    def _refuse(self, text="bad message length"):
        # Where the next message begins is not known any more.
        self._size = None
        if self._writable:
            self._readable = False
        else:
            self.close()
        raise OSError(text)


def _rebuild(kind, descriptor, readable, writable):
    return kind(descriptor.detach(), readable, writable)


def _view_of(buf):
    """A view of the bytes of any contiguous buffer."""
    view = memoryview(buf)
    if not view.c_contiguous:
        raise BufferError("what is sent must be contiguous")
    if view.itemsize == 1 and view.ndim == 1:
        return view
    # A format such as that of ctypes cannot be cast.
    return memoryview(view.tobytes())


def _after(pieces, written):
    """What is left of pieces when so many bytes of them are written."""
    if not written:
        return pieces
    left = []
    for piece in pieces:
        skipped = min(written, len(piece))
        written -= skipped
        if skipped < len(piece):
            left.append(memoryview(piece)[skipped:])
    return left


def _poll_until(poll, timeout):
    """Calls poll(milliseconds) until it gives something or timeout seconds are over."""
    if timeout is None:
        return poll(None)
    deadline = time.monotonic() + timeout
    left = timeout
    while True:
        ready = poll(max(0, math.ceil(min(_POLL_LIMIT, left * 1000))))
        if ready:
            return ready
        left = deadline - time.monotonic()
        if left <= 0:
            return ready


def Pipe(duplex=True):
    """Two connected ends; not duplex: (receives, sends).

    Between two that are duplex, long objects go through shared memory.
    """
    if duplex:
        from ._pipe import PipeConnection

        one, other = socket.socketpair()
        with one, other:
            # Whatever the default timeout of sockets is.
            one.setblocking(True)
            other.setblocking(True)
            return PipeConnection(one.detach()), PipeConnection(other.detach())
    reader, writer = os.pipe()
    return Connection(reader, writable=False), Connection(writer, readable=False)


def wait(object_list, timeout=None):
    """Which of the objects are ready to be received from, when at least one is.

    They may be connections, sockets, descriptors such as the sentinels of processes, and
    whatever has a fileno(). Waits for timeout seconds at most; None: for ever.
    """
    with selectors.PollSelector() as selector:
        for obj in object_list:
            selector.register(obj, selectors.EVENT_READ)
        ready = _poll_until(
            lambda left: selector.select(None if left is None else left / 1000), timeout)
        return [key.fileobj for key, _events in ready]


# They stand on the above.
from ._authentication import (CHALLENGE, FAILURE, WELCOME, answer_challenge,  # noqa: E402,F401
                              deliver_challenge)
from ._listener import (Client, ConnectionWrapper, Listener, XmlClient,  # noqa: E402,F401
                        XmlListener, address_type, arbitrary_address, families)
