# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the classes of synchronize.py and others stand on, over introspection alone.

The accelerator has the same classes in C; _primitives.py chooses.
"""

# The module signal makes an enumeration of each number, which takes longer than a fork.
import _signal
import contextlib
import ctypes
import itertools
import os
import select
import signal
import socket
import struct
import threading

from . import _buffers
from ._body import parts_of as read_start
from ._raw import MP_ERROR, Gio, GLib, Mp, deadline_after, is_mp_error

__all__ = ["Lock", "RLock", "Semaphore", "Condition", "Event", "Barrier", "Queue",
           "Synchronized", "Worker", "announce_link", "fork_child", "locked_attribute",
           "push_parts", "read_start", "receive_message", "receive_soon", "receive_start",
           "send_message", "set_name", "taker_of"]

_DONE, _TIMED_OUT, _INTERRUPTED, _FAILED = (
    int(Mp.WaitResult.DONE), int(Mp.WaitResult.TIMED_OUT), int(Mp.WaitResult.INTERRUPTED),
    int(Mp.WaitResult.FAILED))

# Instead of a codec: the message is left for get_buffer().
_LONG = -4
_NUMBER = struct.Struct("=I")
# Microseconds; a number that C has.
_LONGEST = 2**62


def _wait(call, deadline):
    """Calls call(timeout_us) until it has what it waits for, or until the deadline.

    It returns early when a signal handler has to run, which Python does between two turns.
    """
    result = _INTERRUPTED
    while result == _INTERRUPTED:
        result = call(_left_until(deadline))
    if result not in (_DONE, _TIMED_OUT):
        raise OSError("the shared memory of an object is corrupt")
    return result == _DONE


def _left_until(deadline):
    """The microseconds that are left; -1 for ever."""
    if deadline is None:
        return -1
    return min(_LONGEST, max(0, deadline - GLib.get_monotonic_time()))


def _misuse(error, kind, text):
    """The exception for the misuse of an object, of the type that multiprocessing raises."""
    if error.domain == MP_ERROR and error.code in (Mp.Error.NOT_OWNER, Mp.Error.LIMIT):
        return kind(text)
    return OSError(error.message)


class _Object:
    """Something with a GObject behind it."""

    _gobject = None

    def _attach(self, gobject):
        self._gobject = gobject

    @property
    def gobject(self):
        """The introspected object behind it."""
        return self._gobject


class _Lockable(_Object):
    """What Lock, RLock and Semaphore have in common."""

    def _attach(self, gobject):
        self._gobject = gobject
        self._try = gobject.try_acquire

    def acquire(self, block=True, timeout=None):
        """Acquires it, waiting for timeout seconds at most; gives whether it did."""
        # First of all: with a wrong argument, nothing is acquired.
        deadline = deadline_after(timeout if block else None)
        if self._try():
            return True
        return bool(block) and _wait(self._gobject.acquire_interruptible, deadline)

    def __enter__(self):
        return self._try() or _wait(self._gobject.acquire_interruptible, None)

    def __exit__(self, *_exc):
        self.release()


class Lock(_Lockable):
    """acquire() and release() of a lock."""

    def release(self):
        """Releases it, whoever holds it; ValueError if nobody does."""
        try:
            self._gobject.release()
        except GLib.Error as error:
            raise _misuse(error, ValueError,
                          "semaphore or lock released too many times") from None


class RLock(_Lockable):
    """acquire() and release() of a recursive lock."""

    def release(self):
        """Releases it once; AssertionError if this thread does not hold it."""
        try:
            self._gobject.release()
        except GLib.Error as error:
            raise _misuse(error, AssertionError,
                          "attempt to release recursive lock not owned by thread") from None


class Semaphore(_Lockable):
    """acquire() and release() of a semaphore."""

    def release(self):
        """Adds one; ValueError if that is more than there can be."""
        try:
            self._gobject.release(1)
        except GLib.Error as error:
            raise _misuse(error, ValueError,
                          "semaphore or lock released too many times") from None


class Condition(_Object):
    """wait() and notify() of a condition."""

    def wait(self, timeout=None):
        """Waits to be notified, without the lock; gives whether it was, in time."""
        deadline = deadline_after(timeout)
        result = _INTERRUPTED
        try:
            while result == _INTERRUPTED:
                result = self._gobject.wait_interruptible(_left_until(deadline))
        finally:
            if result == _INTERRUPTED:
                self._gobject.stop_waiting()
        if result == _FAILED:
            raise AssertionError("must acquire() condition before using wait()")
        return result == _DONE

    def notify(self, n=1):
        """Wakes n of those that wait, the longest waiting first."""
        try:
            self._gobject.notify_many(max(0, min(n, 2**32 - 1)))
        except GLib.Error as error:
            raise _misuse(error, AssertionError, "lock is not owned") from None


class Event(_Object):
    """All of an event."""

    def _attach(self, gobject):
        self._gobject = gobject
        self._get = gobject.get_is_set

    def is_set(self):
        """Whether it is set."""
        return self._get()

    def set(self):
        """Sets it: all that wait go on."""
        self._gobject.set()

    def clear(self):
        """Makes it not set."""
        self._gobject.clear()

    def wait(self, timeout=None):
        """Waits until it is set, for timeout seconds at most; gives whether it was."""
        deadline = deadline_after(timeout)
        if self._get():
            return True
        try:
            return _wait(self._gobject.wait_interruptible, deadline)
        except BaseException:
            # Else the next wait would be the rest of this one.
            self._gobject.stop_waiting()
            raise


class Barrier(_Object):
    """wait() of a barrier."""

    _action = _timeout = None

    def _attach(self, gobject):
        super()._attach(gobject)
        self._failure = None
        if self._action is not None:
            gobject.set_action(self._act)

    def _act(self, _gobject):
        """Calls the action; a false value breaks the barrier."""
        try:
            self._action()
            return True
        except BaseException as error:
            self._failure = error
            return False

    def wait(self, timeout=None):
        """Waits for the others; gives a number below parties, a different one to each."""
        deadline = deadline_after(self._timeout if timeout is None else timeout)
        result = _INTERRUPTED
        try:
            while result == _INTERRUPTED:
                result, index = self._gobject.wait_interruptible(_left_until(deadline))
        finally:
            if result == _INTERRUPTED:
                self._gobject.abort()
        if result == _DONE:
            return index
        if result == _FAILED:
            # Only the one that ran the action looks at what became of it.
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
        raise threading.BrokenBarrierError


class Queue(_Object):
    """Putting and taking of bytes, without waiting."""

    def _attach(self, gobject):
        self._gobject = gobject
        self._try_get_payload = gobject.try_get_payload
        self._put_payload = gobject.put_payload

    def _try_get(self):
        """(data, codec) of the next message; the codec is negative if there is none."""
        data, codec = self._try_get_payload()
        return _buffers.take(self._gobject) if codec == _LONG else (data, codec)

    def _try_put(self, data, codec):
        """Puts a message, bytes or the parts of it; False if there is no room."""
        try:
            if type(data) is _buffers.Parts:
                return _buffers.put(self._gobject, data)
            return self._put_payload(data, codec, 0, None)
        except GLib.Error as error:
            if is_mp_error(error, Mp.Error.FULL):
                return False
            if is_mp_error(error, Mp.Error.CLOSED):
                raise ValueError(error.message) from None
            kind = MemoryError if is_mp_error(error, Mp.Error.LIMIT) else OSError
            raise kind(error.message) from None

    def _try_put_many(self, data):
        """Puts all of a list of pickles, or none; False if there is no room."""
        longest = max(map(len, data))
        if longest >= 2**32:
            raise OverflowError(f"an item of {longest} bytes is too long to be put with others")
        lengths = struct.pack(f"={len(data)}I", *map(len, data))
        try:
            return self._gobject.put_packed(b"".join(data), lengths, Mp.Codec.PICKLE, 0, None)
        except GLib.Error as error:
            if is_mp_error(error, Mp.Error.FULL):
                return False
            raise

    def _try_get_many(self, max_items):
        """The lists of the data and of the codecs of the next messages."""
        try:
            view = memoryview(self._gobject.get_packed(max_items, 0, None))
        except GLib.Error as error:
            if is_mp_error(error, Mp.Error.EMPTY):
                return [], []
            raise
        n, = _NUMBER.unpack_from(view)
        numbers = struct.unpack_from(f"={2 * n}I", view, _NUMBER.size)
        ends = list(itertools.accumulate(numbers[:n], initial=(1 + 2 * n) * _NUMBER.size))
        return [view[start:end] for start, end in zip(ends, ends[1:])], numbers[n:]


class Synchronized:
    """A ctypes object and the lock under which it is used."""

    def __init__(self, obj, lock):
        self._obj = obj
        self._lock = lock


def locked_attribute(name):
    """A property that reads and writes an attribute of the ctypes object, with its lock."""

    def get(self):
        with self._lock:
            return getattr(self._obj, name)

    def set(self, value):
        with self._lock:
            setattr(self._obj, name, value)

    return property(get, set)


def push_parts(job, parts):
    """Adds a task that has several parts to a job. May raise GLib.Error."""
    job.push_buffer(_buffers.fill(job, parts), parts.codec)


def taker_of(job):
    """What gives an MpBuffer, the long result of an index, or None; no Python code."""
    return job.take_buffer


def receive_soon(_fd, _begun):
    """What is there of the next message of a socket: False, for nobody can tell."""
    return False


class Worker:
    """The worker's end of a pool; the descriptors stay the caller's."""

    def __init__(self, data, fds):
        boxed = GLib.Variant.new_from_bytes(GLib.VariantType("v"), GLib.Bytes.new(data), False)
        handle = boxed.get_variant()
        fd_list = Gio.UnixFDList.new_from_array(fds)
        try:
            worker = Mp.Worker.new_from_handle(handle, fd_list)
        finally:
            fd_list.steal_fds()
        self._worker = worker
        self._index = handle.get_child_value(2).lookup_value("worker", None).get_uint32()
        for name in ("next", "succeed_and_next", "fail", "report_progress", "get_task_id",
                     "get_attempt", "get_cancelled", "get_captured"):
            setattr(self, name, getattr(worker, name))

    def get_start_data(self):
        """What the pool gave its workers, as bytes."""
        data = self._worker.get_start_data()
        return data.get_data() if data is not None and data.get_size() > 0 else b""

    def succeed_parts(self, parts):
        """Answers the task at hand with what has several parts."""
        self._worker.succeed(b"".join(parts), parts.codec)

    def take_argument(self):
        """(memory, codec) of what the task is applied to, if that is long; else None."""
        buffer = self._worker.take_argument()
        return buffer and (_buffers.memory_of(buffer), int(buffer.get_codec()))

    def get_index(self):
        """Its place in the pool, from 0."""
        return self._index


# The first steps of a process that the zygote has forked.

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
START_FDS = 5
MAX_FDS = 253
# How long a gate keeps anybody; see _zygote.py.
GATE_MS = 100

libc = ctypes.CDLL(None)
_ALL_SIGNALS = _signal.valid_signals()


def set_name(name):
    """What process listings show."""
    libc.prctl(PR_SET_NAME, os.fsencode(name))


def die_with(parent):
    """Has the kernel kill this process when its parent is killed."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _wait_at(gate):
    poll = select.poll()
    poll.register(gate, select.POLLIN)
    poll.poll(GATE_MS)


def fork_child(name, bound, gate):
    """Gives (pid, link, pidfd), in the child (0, link, whether the start has come already).

    Unless the name is None, the child takes it, closes all descriptors but its link, and if it is
    bound dies with its parent; but first, unless the descriptor gate is -1, it waits until there
    is something in that, for 100 ms at most. Its signals are blocked.
    """
    parent = os.getpid()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Blocked signals wait: none that is sent to the child before it has its own
    # handlers is lost to those of the zygote.
    mask = _signal.pthread_sigmask(_signal.SIG_SETMASK, _ALL_SIGNALS)
    try:
        pid = os.fork()
    finally:
        if os.getpid() == parent:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    if pid > 0:
        theirs.close()
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            # Without its link, the child leaves.
            ours.close()
            os.waitpid(pid, 0)
            raise
        return pid, ours.detach(), pidfd
    link = theirs.detach()
    if name is None:
        ours.close()
    else:
        if bound:
            die_with(parent)
        if gate >= 0:
            _wait_at(gate)
        os.closerange(3, link)
        os.closerange(link + 1, os.sysconf("SC_OPEN_MAX"))
        ours.detach()
        set_name(name)
    return 0, link, False


def announce_link(kind, link, fingerprint):
    """Lets signals through, and tells libmp in this process from which zygote it comes.

    Only its own environment is changed, not what os.environ hands to other programs.
    """
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    os.putenv("MP_LINK", f"{os.getpid()}:{kind}:{link}:{os.fstat(link).st_ino}:{fingerprint}")


@contextlib.contextmanager
def _borrow(fd):
    """A socket for a descriptor that stays somebody else's."""
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def receive_message(fd, size):
    """Gives its bytes, and a list of descriptors."""
    with _borrow(fd) as sock:
        data, fds, _, _ = socket.recv_fds(sock, size, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        return data, fds


def send_message(fd, data, fds):
    """Sends data with a list of descriptors, without waiting."""
    with _borrow(fd) as sock:
        socket.send_fds(sock, [data], fds, socket.MSG_DONTWAIT)


def receive_start(link):
    """Waits for the start, and goes to its directory, with its standard streams.

    Gives the descriptor of what is to be done, and a list of those that came with it.
    """
    _, fds = receive_message(link, 16)
    if len(fds) < START_FDS:
        # The zygote goes, and no start will come.
        os._exit(0)
    body_fd, cwd_fd, *rest = fds
    for number in range(3):
        os.dup2(rest[number], number)
    os.fchdir(cwd_fd)
    for fd in (cwd_fd, *rest[:3]):
        os.close(fd)
    return body_fd, rest[3:]
