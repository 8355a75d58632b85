# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pipes with two ends of our own: long objects go through shared memory beside the socket.

For such an object the length in the header is -2, and what follows is the handle of an
MpQueue, with its descriptors, in which the object lies. Each sender has a queue of its own,
so that whatever order messages of several senders come in, each is found.

Nobody knows to whom an end may be given that is a mere descriptor: to the standard library, or to
MpConnection, which know nothing of it. So who receives for the first time gives its socket, which
has no name, one that the other end sees. Until then long objects go through the socket.
"""

import errno
import os
import select
import socket
import struct

from . import _buffers, _primitives
from ._raw import Gio, GLib, Mp, is_mp_error
from ._serialize import HANDLE_TYPE, PICKLE, decode, dump_item, dumps, loads
from .connection import Connection

_IN_QUEUE = -2
_HEADER = struct.Struct("!iI")
_LENGTH = struct.Struct("!I")
# What is shorter is copied through the socket, in bytes.
_LIMIT = 256 * 1024
# So many long objects are on their way at most; then send() waits.
_MAX_ITEMS = 4
_LOOK_US = 100_000
# The queues of so many senders are kept open; those of the others are opened anew each time.
_MAX_SENDERS = 8
_FD_SIZE = 4
_MAX_FDS = 8
# More than any handle has, in bytes.
_MAX_HANDLE = 4096


class _Side(_primitives.Queue):
    """The queue beside a connection."""

    def __init__(self, gobject):
        self._attach(gobject)


class _Item:
    """A message that lay in a queue: an MpBuffer, or why there is none."""

    def __init__(self, buffer):
        self._buffer = buffer

    def take(self):
        """The object."""
        buffer = self._buffer
        if isinstance(buffer, GLib.Error):
            raise OSError("the message is no more: another process has taken it"
                          if is_mp_error(buffer, Mp.Error.EMPTY) else buffer.message)
        return decode(_buffers.memory_of(buffer), int(buffer.get_codec()))


def _mark():
    """How the name begins, with the namespace within which queues can be shared."""
    return f"\0mp-pipe-python-1-{os.stat('/proc/self/ns/pid').st_ino}-".encode()


def _open_socket(handle):
    """A socket object on a copy of a descriptor, which neither closes it nor makes it block."""
    blocking = os.get_blocking(handle)
    sock = socket.socket(fileno=os.dup(handle))
    # The default timeout of sockets is none of ours.
    sock.setblocking(blocking)
    return sock


class PipeConnection(Connection):
    """One end of Pipe()."""

    # Whether the other end can know what this one is, and whether it is known of that.
    _announced = _peer_announced = False
    # For what is sent: whose it is, the queue, its handle, and the descriptors of that.
    _out = None
    # For what is received: the queues of the last senders, by their memory.
    _in = None
    # Of the handle that comes next, and what lay in its queue.
    _length = None
    _taken = ()

    def send(self, obj):
        """Sends an object; waits while the other end has no room.

        Long bytes, and the buffers of arrays of numpy, are copied once, into shared memory.
        """
        self._check_writable()
        data = dump_item(obj, _LIMIT)
        if type(data) is bytes:
            self._send(data)
        elif self._peer_announced or self._find_peer():
            self._send_in_queue(data)
        else:
            self._send(b"".join(data) if data.codec == PICKLE else dumps(obj))

    def recv(self):
        """The next object; waits for one. EOFError when the other end is closed."""
        self._check_readable()
        if not self._announced:
            self._announce()
        data = super()._receive()
        return data.take() if type(data) is _Item else loads(data)

    def poll(self, timeout=0.0):
        """Whether there is something to receive, or the other end is closed.

        Waits for it, for timeout seconds at most; None: for ever.
        """
        if not self._announced and not self.closed:
            self._announce()
        return super().poll(timeout)

    def _announce(self):
        self._announced = True
        try:
            with _open_socket(self._handle) as sock:
                sock.bind(_mark() + os.urandom(8))
        except OSError:
            # It has a name, or gets none: what is long comes through the socket then.
            pass

    def _find_peer(self):
        try:
            with _open_socket(self._handle) as sock:
                name = sock.getpeername()
            self._peer_announced = type(name) is bytes and name.startswith(_mark())
        except OSError:
            pass
        return self._peer_announced

    def _receive(self, maxlength=None):
        if not self._announced:
            self._announce()
        data = super()._receive(maxlength)
        if type(data) is _Item:
            # Somebody wants the bytes that the object would have been.
            data = dumps(data.take())
            if maxlength is not None and len(data) > maxlength:
                self._refuse()
        return data

    def _send_in_queue(self, parts):
        # That of a parent is its own.
        if self._out is None or self._out[0] != os.getpid():
            gobject, fd_list = Mp.Queue.new(_MAX_ITEMS, 0), Gio.UnixFDList.new()
            handle = gobject.to_handle(fd_list).get_data_as_bytes().get_data()
            self._out = os.getpid(), _Side(gobject), handle, fd_list
        _pid, side, handle, fd_list = self._out
        begun = False
        try:
            while not side._try_put(parts, parts.codec):
                self._check_peer()
                side.gobject.wait_ready(GLib.IOCondition.OUT, _LOOK_US)
            with _open_socket(self._handle) as sock:
                begun = True
                self._write_all([_HEADER.pack(_IN_QUEUE, len(handle))], [])
                self._torn = True
                sock.sendmsg([handle], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                         struct.pack(f"{fd_list.get_length()}i",
                                                     *fd_list.peek_fds()))],
                             socket.MSG_NOSIGNAL)
                self._torn = begun = False
        except BaseException as error:
            # Nobody is told of what lies there.
            self._out = None
            if isinstance(error, BrokenPipeError):
                self._torn = False
            elif not isinstance(error, OSError):
                # A signal handler's: the header may have gone.
                self._torn = begun
            raise

    def _check_peer(self):
        poll = select.poll()
        poll.register(self._handle, 0)
        if poll.poll(0):
            raise BrokenPipeError("the other end of the pipe is closed")

    def _receive_special(self, size):
        if size != _IN_QUEUE:
            super()._receive_special(size)
        if self._length is None:
            length, = _LENGTH.unpack(self._read(_LENGTH.size))
            self._length, self._begun, self._fresh = length, b"", ()
        if not 0 < self._length <= _MAX_HANDLE:
            self._refuse()
        if not self._taken:
            side = self._peek_side()
            taken = self._taken = []
            try:
                taken.extend(map(side.gobject.get_buffer, (0,), (None,)))
            except GLib.Error as error:
                taken.append(error)
        # Only now: an object that nobody takes would be found in the place of the next one.
        self._read_once(self._length)
        item = _Item(self._taken[0])
        self._size, self._length, self._taken, self._fresh = None, None, (), ()
        return item

    def _peek_side(self):
        """The queue whose handle comes next."""
        with _open_socket(self._handle) as sock:
            handle, ancillary, flags, _address = sock.recvmsg(
                self._length, socket.CMSG_SPACE(_MAX_FDS * _FD_SIZE),
                socket.MSG_CMSG_CLOEXEC | socket.MSG_PEEK)
            fds = [fd for _level, _kind, data in ancillary
                   for fd, in struct.iter_unpack("i", data[:len(data) // _FD_SIZE * _FD_SIZE])]
            try:
                if not handle:
                    self._length = None
                    self._end()
                if flags & socket.MSG_CTRUNC and len(fds) < _MAX_FDS:
                    raise OSError(errno.EMFILE, "a message came with descriptors, for which this "
                                                "process has too many open")
                if len(handle) != self._length or not fds:
                    self._refuse()
                return self._side_of(handle, fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def _side_of(self, handle, fds):
        status = os.fstat(fds[0])
        key = status.st_dev, status.st_ino
        if self._in is None:
            self._in = {}
        side = self._in.pop(key, None)
        if side is None:
            fd_list = Gio.UnixFDList.new_from_array(fds)
            variant = GLib.Variant.new_from_bytes(GLib.VariantType(HANDLE_TYPE),
                                                  GLib.Bytes.new(handle), False)
            try:
                side = _Side(Mp.Shareable.new_from_handle(variant, fd_list))
            except GLib.Error as error:
                if not is_mp_error(error, Mp.Error.LIMIT):
                    self._refuse()
                raise OSError(errno.EMFILE, error.message) from None
            finally:
                fd_list.steal_fds()
            # Nobody tells that a sender is dead, and its memory would be kept.
            if len(self._in) == _MAX_SENDERS:
                del self._in[next(iter(self._in))]
        self._in[key] = side
        return side
