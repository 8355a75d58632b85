# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Connections to other programs: Listener on the one side, Client on the other.

The peer may be multiprocessing.connection's of any version. A listener that has a key goes
through the handshakes of all clients at once: one that is silent, slow or sends nonsense
keeps nobody else waiting.
"""

import math
import os
import select
import socket
import struct
import threading
import time

from . import _authentication as authentication, util
from ._raw import AuthenticationError
from .connection import Connection

__all__ = ["Client", "ConnectionWrapper", "Listener", "XmlClient", "XmlListener",
           "address_type", "arbitrary_address", "families"]

families = ["AF_INET"]
default_family = "AF_INET"
if hasattr(socket, "AF_UNIX"):
    families.append("AF_UNIX")
    default_family = "AF_UNIX"

# How long a client may take to show that it has the key, in seconds.
HANDSHAKE_TIMEOUT = 20.0
# So many may be on their way to that; the oldest gives way.
_MAX_PENDING = 128

# A path whose backlog is full is tried again after so many seconds: the system does not say
# when there is room.
_BACKLOG_PAUSE = 0.005

_HEADER = struct.Struct("!i")


def arbitrary_address(family):
    """An address that is free."""
    if family == "AF_INET":
        return "localhost", 0
    if family == "AF_INET6":
        return "::1", 0
    if family == "AF_UNIX":
        import tempfile
        return tempfile.mktemp(prefix="listener-", dir=util.get_temp_dir())
    raise ValueError(f"unrecognized family {family!r}")


def address_type(address):
    """The family of an address: AF_INET, AF_UNIX or AF_PIPE."""
    if isinstance(address, tuple):
        return "AF_INET"
    if isinstance(address, str):
        return "AF_PIPE" if address.startswith("\\\\") else "AF_UNIX"
    if isinstance(address, bytes) and address[:1] == b"\0":
        return "AF_UNIX"
    raise ValueError(f"address type of {address!r} unrecognized")


def _family_of(address, family):
    family = family or address_type(address)
    if family == "AF_PIPE" or not hasattr(socket, family):
        raise ValueError(f"the family {family} is not there on this system")
    return family


def _deadline_of(timeout):
    return None if timeout is None else time.monotonic() + timeout


def _poll(poll, deadline):
    """What is ready until the deadline, with a moment more for what is ready already."""
    if deadline is None:
        return poll.poll()
    return poll.poll(max(0, math.ceil((deadline - time.monotonic()) * 1000)))


def _take(listening):
    """The socket and the address of a client that waits, or None."""
    try:
        return listening.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None


class _Handshake:
    """A handshake over a socket that does not block."""

    def __init__(self, sock, steps, deadline):
        self.sock = sock
        self.deadline = deadline
        self._steps = steps
        self._outgoing = self._incoming = b""
        self._size = None
        sock.setblocking(False)
        self._go_on(next(steps))

    def _go_on(self, step):
        while step is not None:
            self._outgoing += _HEADER.pack(len(step)) + step
            step = next(self._steps)

    @property
    def events(self):
        """What it waits for."""
        return select.POLLOUT if self._outgoing else select.POLLIN

    def advance(self):
        """Goes on as far as it can. True when both have shown that they have the key.

        Raises AuthenticationError, or EOFError or OSError when the other end has gone.
        """
        try:
            while not (finished := self._flush()):
                self._receive()
        except BlockingIOError:
            return False
        except StopIteration as end:
            # Steps that an exception has ended, such as a signal handler's, have no value.
            if end.value is not True:
                raise AuthenticationError("the handshake was interrupted") from None
            # The last step may still have to be sent.
            self._steps = None
            return self.advance()
        return finished

    def _flush(self):
        while self._outgoing:
            self._outgoing = self._outgoing[self.sock.send(self._outgoing, socket.MSG_NOSIGNAL):]
        return self._steps is None

    def _receive(self):
        message = self._read()
        try:
            self._go_on(self._steps.send(message))
        except AuthenticationError:
            self._tell()
            raise

    def _tell(self):
        # What the other end is to hear before it is left: a few bytes, and it has had few.
        try:
            self._flush()
        except OSError:
            pass

    def _read(self):
        """The next message. Nothing behind it is read: that is for the connection."""
        if self._size is None:
            self._fill(_HEADER.size)
            self._size, = _HEADER.unpack(self._incoming)
            self._incoming = b""
            if not 0 <= self._size <= authentication.MAX_LENGTH:
                raise AuthenticationError(
                    f"a message of {self._size} bytes before the key was shown: "
                    f"{authentication.MAX_LENGTH} are allowed")
        self._fill(self._size)
        message, self._incoming, self._size = self._incoming, b"", None
        return message

    def _fill(self, size):
        while len(self._incoming) < size:
            data = self.sock.recv(size - len(self._incoming))
            if not data:
                raise EOFError("the other end has gone during the handshake")
            self._incoming += data


class Listener:
    """Waits for clients at an address.

    address is a path, a name in the abstract namespace (beginning with a zero character),
    or (host, port); None: any that is free. family is AF_UNIX, AF_INET or AF_INET6. With an
    authkey, bytes, clients have to show that they have the same, within handshake_timeout
    seconds. Several threads, and the processes that are forked with a listener, may accept
    at the same time.
    """

    _socket = None

    def __init__(self, address=None, family=None, backlog=1, authkey=None, *,
                 handshake_timeout=HANDSHAKE_TIMEOUT):
        if authkey is not None:
            authentication.check_key(authkey)
        if address is None:
            family = family or default_family
            address = arbitrary_address(family)
        family = _family_of(address, family)
        self._authkey = authkey
        self._handshake_timeout = handshake_timeout
        self._pending = []
        # One thread goes through the handshakes of all; when it has a connection to give,
        # the next one finds the others where they are. A signal handler may accept, too.
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._last_accepted = None
        self._unlink = None
        self._socket = self._bind(address, family, backlog)
        self._address = self._socket.getsockname()
        if family == "AF_UNIX" and address[:1] not in ("\0", b"\0"):
            self._unlink = util.Finalize(self, os.unlink, args=(address,), exitpriority=0)

    @staticmethod
    def _bind(address, family, backlog):
        sock = socket.socket(getattr(socket, family))
        try:
            # Whatever the default timeout is. Who connects may be gone again when it is
            # accepted: that must not block.
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(backlog)
        except BaseException:
            sock.close()
            raise
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    @property
    def address(self):
        """Where it listens."""
        return self._address

    @property
    def last_accepted(self):
        """Where the last client came from; empty if it has no address, None before any."""
        return self._last_accepted

    def accept(self, *, timeout=None):
        """The connection to the next client; waits for one, for timeout seconds at most.

        A client that has another key is an AuthenticationError, and one that leaves, or
        does not show its key in time, is forgotten; the listener goes on in each case. When
        nobody has come in time, it is a TimeoutError, which is an OSError.
        """
        deadline = _deadline_of(timeout)
        if self._authkey is None:
            return self._accept(_take, deadline, timeout)
        self._leave_to_parent()
        if not self._lock.acquire(timeout=-1 if timeout is None else max(0, timeout)):
            raise TimeoutError(f"no client in {timeout} seconds")
        try:
            return self._accept(self._authenticate, deadline, timeout)
        finally:
            self._lock.release()

    def _accept(self, take, deadline, timeout):
        while True:
            listening = self._socket
            if listening is None:
                raise OSError("listener is closed")
            done = take(listening)
            if done is not None:
                sock, self._last_accepted = done
                sock.setblocking(True)
                return Connection(sock.detach())
            ready = self._wait(listening, deadline)
            if not ready and deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"no client in {timeout} seconds")

    def _leave_to_parent(self):
        """In a forked child: the handshakes that have begun, and the lock, are the parent's."""
        if self._pid != os.getpid():
            self._lock = threading.RLock()
            for pending in list(self._pending):
                self._drop(pending)
            self._pid = os.getpid()

    def _authenticate(self, listening):
        """The same as _take() for one that has the key."""
        while (client := _take(listening)) is not None:
            sock, address = client
            deadline = _deadline_of(self._handshake_timeout)
            self._pending.append(
                (_Handshake(sock, authentication.serve(self._authkey), deadline), address))
            if len(self._pending) > _MAX_PENDING:
                self._drop(self._pending[0])
        for pending in list(self._pending):
            handshake, address = pending
            try:
                if handshake.advance():
                    self._pending.remove(pending)
                    return handshake.sock, address
                if time.monotonic() > handshake.deadline:
                    self._drop(pending)
            except AuthenticationError:
                self._drop(pending)
                raise
            except (EOFError, OSError):
                self._drop(pending)
            except BaseException:
                # A signal handler's: where the handshake stands is not known any more.
                self._drop(pending)
                raise
        return None

    def _drop(self, pending):
        # Another thread may be closing the listener.
        if pending in self._pending:
            self._pending.remove(pending)
        pending[0].sock.close()

    def _wait(self, listening, deadline):
        poll = select.poll()
        poll.register(listening, select.POLLIN)
        for handshake, _address in self._pending:
            poll.register(handshake.sock, handshake.events)
            if deadline is None or handshake.deadline < deadline:
                deadline = handshake.deadline
        return _poll(poll, deadline)

    def close(self):
        """Ends listening; the path of its address is removed."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        listening.close()
        for pending in list(self._pending):
            self._drop(pending)
        if self._unlink is not None:
            self._unlink()


def Client(address, family=None, authkey=None, *, timeout=None):
    """A connection to the Listener at an address.

    authkey as there; TimeoutError, which is an OSError, when connecting and showing the key
    took longer than timeout seconds.
    """
    if authkey is not None:
        authentication.check_key(authkey)
    family = _family_of(address, family)
    deadline = _deadline_of(timeout)
    sock = socket.socket(getattr(socket, family))
    try:
        _connect_until(sock, address, deadline, timeout)
        if authkey is not None:
            _finish(_Handshake(sock, authentication.join(authkey), deadline), timeout)
        sock.setblocking(True)
    except BaseException:
        sock.close()
        raise
    return Connection(sock.detach())


def _connect_until(sock, address, deadline, timeout):
    # Without a deadline it is the system that waits for room in the backlog.
    sock.settimeout(None)
    if deadline is None:
        sock.connect(address)
        return
    while True:
        left = deadline - time.monotonic()
        try:
            # Zero would mean not to wait for the network at all.
            sock.settimeout(max(left, 0.001))
            sock.connect(address)
            return
        except BlockingIOError:
            if left <= 0:
                raise TimeoutError(f"not connected in {timeout} seconds") from None
            time.sleep(min(left, _BACKLOG_PAUSE))


def _finish(handshake, timeout):
    while not handshake.advance():
        poll = select.poll()
        poll.register(handshake.sock, handshake.events)
        if not _poll(poll, handshake.deadline):
            raise TimeoutError(f"no handshake in {timeout} seconds")


class ConnectionWrapper:
    """A connection whose objects are turned into bytes in another way than by pickling."""

    def __init__(self, conn, dumps, loads):
        self._conn = conn
        self._dumps = dumps
        self._loads = loads
        for name in ("fileno", "close", "poll", "recv_bytes", "send_bytes"):
            setattr(self, name, getattr(conn, name))

    def send(self, obj):
        """Sends an object."""
        self._conn.send_bytes(self._dumps(obj))

    def recv(self):
        """The next object."""
        return self._loads(self._conn.recv_bytes())


def _xml_dumps(obj):
    import xmlrpc.client
    return xmlrpc.client.dumps((obj,), None, None, None, True).encode("utf-8")


def _xml_loads(data):
    import xmlrpc.client
    (obj,), _method = xmlrpc.client.loads(data.decode("utf-8"))
    return obj


class XmlListener(Listener):
    """A Listener whose connections speak the XML of xmlrpc."""

    def accept(self, *, timeout=None):
        """The connection to the next client, see Listener.accept()."""
        return ConnectionWrapper(super().accept(timeout=timeout), _xml_dumps, _xml_loads)


def XmlClient(*args, **kwargs):
    """A connection to an XmlListener, see Client()."""
    return ConnectionWrapper(Client(*args, **kwargs), _xml_dumps, _xml_loads)
