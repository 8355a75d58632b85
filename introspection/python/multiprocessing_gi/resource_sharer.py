# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""File descriptors in pickles.

While a process is being started they go with its start, and with an item of a CarryingQueue
they go with that. At any other time the pickle says where to fetch them: from a thread of the
process that has pickled, which is there as long as there is something to be fetched. It listens
on a socket without a file, and gives a descriptor, once, to whoever knows the random key that
is in the pickle.
"""

import os
import selectors
import signal
import socket
import struct
import threading
import time

from ._serialize import count_offer, is_passing, pass_fd, take_fd

__all__ = ["DupFd", "stop"]

_KEY_SIZE = 16
_CREDENTIALS = struct.Struct("3i")
# Others may connect and say nothing.
_MAX_CLIENTS = 64


class DupFd:
    """A copy of a descriptor for the process that unpickles this, and calls detach()."""

    def __init__(self, fd):
        if is_passing():
            self._token = pass_fd(fd)
        else:
            self._token = _sharer.register(fd)

    def detach(self):
        """The descriptor, which is the caller's now: only once."""
        if isinstance(self._token, int):
            return take_fd(self._token)
        return _fetch(*self._token)


def _user_of_peer(sock):
    return _CREDENTIALS.unpack(sock.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]


def _fetch(address, user, key):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(None)
        fds = []
        try:
            sock.connect(address)
            # When the sender is gone, anybody could listen there.
            if _user_of_peer(sock) == user:
                sock.send(key, socket.MSG_NOSIGNAL)
                fds = socket.recv_fds(sock, 1, 1, socket.MSG_CMSG_CLOEXEC)[1]
        except (ConnectionError, FileNotFoundError):
            pass
    if not fds:
        raise OSError("the descriptor cannot be fetched: that was done already, or the process "
                      "that has pickled it is gone")
    return fds[0]


class _Sharer:
    """The descriptors that wait to be fetched, and the thread that hands them out."""

    def __init__(self):
        # A signal handler may pickle, too.
        self._lock = threading.RLock()
        self._waiting = {}
        self._server = None
        self._watches_forks = False

    def register(self, fd):
        """Keeps a copy; gives what the other side needs to fetch it."""
        if not self._watches_forks:
            # Here, so that forks of a process that has nothing to hand out do without.
            self._watches_forks = True
            os.register_at_fork(after_in_child=self.after_fork)
        fd = os.dup(fd)
        key = os.urandom(_KEY_SIZE)
        with self._lock:
            try:
                if self._server is None:
                    self._server = _Server(self)
            except BaseException:
                os.close(fd)
                raise
            self._waiting[key] = fd, count_offer(), threading.get_ident()
            return self._server.address, self._server.user, key

    def take(self, key):
        """The descriptor for a key; None if there is none."""
        with self._lock:
            return self._waiting.pop(key, (None,))[0]

    def withdraw(self, after):
        """Closes what this thread has registered after that offer of count_offer()."""
        with self._lock:
            for key, (fd, offer, thread) in list(self._waiting.items()):
                if offer > after and thread == threading.get_ident():
                    del self._waiting[key]
                    os.close(fd)
            if self._server is not None and not self._waiting:
                self._server.shut_down()
                self._server = None

    def is_over(self, server):
        """Whether a server has nothing left to do: then it is never asked again."""
        with self._lock:
            if self._server is server and not self._waiting:
                self._server = None
            return self._server is not server

    def stop(self, timeout=None):
        """Closes what was not fetched, and ends the thread."""
        with self._lock:
            server, self._server = self._server, None
            self._forget()
        if server is not None:
            server.shut_down()
            server.join(timeout)

    def after_fork(self):
        """In a forked child: the thread and what it hands out are the parent's."""
        self._lock = threading.RLock()
        if self._server is not None:
            self._server.close()
            self._server = None
        self._forget()

    def _forget(self):
        for entry in self._waiting.values():
            os.close(entry[0])
        self._waiting.clear()


class _Server:
    """A thread with a socket of its own."""

    def __init__(self, sharer):
        self._sharer = sharer
        self._clients = []
        self.address = b"\0libmp-" + os.urandom(16).hex().encode()
        self.user = os.geteuid()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._listener.bind(self.address)
            self._listener.listen()
            self._listener.setblocking(False)
            self._thread = threading.Thread(target=self._run, name="libmp-descriptors",
                                            daemon=True)
            self._thread.start()
        except BaseException:
            self._listener.close()
            raise

    def shut_down(self):
        """Ends the thread, as soon as it looks."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            # It has just ended by itself.
            pass

    def join(self, timeout):
        """Waits until it has ended."""
        self._thread.join(timeout)

    def close(self):
        """Closes what the thread has."""
        self._listener.close()
        for client in self._clients:
            client.close()

    def _run(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        # Unlike epoll it has no descriptor, which a forked child could not close.
        with selectors.PollSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._sharer.is_over(self):
                for key, _events in selector.select():
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.fileobj in self._clients:
                        self._answer(key.fileobj)
                        self._drop(selector, key.fileobj)
        self.close()

    def _accept(self, selector):
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # It was stopped, or there are too many descriptors, which may change.
            time.sleep(0.02)
            return
        # Who was root may have sent this to a process that is not, or the other way round.
        if os.geteuid() != 0 and _user_of_peer(client) not in (0, os.geteuid()):
            client.close()
            return
        client.setblocking(False)
        self._clients.append(client)
        selector.register(client, selectors.EVENT_READ)
        if len(self._clients) > _MAX_CLIENTS:
            self._drop(selector, self._clients[0])

    def _answer(self, client):
        try:
            fd = self._sharer.take(client.recv(_KEY_SIZE))
        except OSError:
            return
        if fd is None:
            return
        try:
            socket.send_fds(client, [b"!"], [fd], socket.MSG_NOSIGNAL)
        except OSError:
            # Who asked is gone already.
            pass
        finally:
            os.close(fd)

    def _drop(self, selector, client):
        selector.unregister(client)
        self._clients.remove(client)
        client.close()


_sharer = _Sharer()
stop, withdraw = _sharer.stop, _sharer.withdraw
