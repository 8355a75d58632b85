# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the classes of synchronize.py and others stand on, over introspection alone.

The accelerator has the same classes in C; _primitives.py chooses.
"""

import threading

from ._raw import MP_ERROR, GLib, Mp, deadline_after, is_mp_error

__all__ = ["Lock", "RLock", "Semaphore", "Condition", "Event", "Barrier", "Queue",
           "Synchronized", "locked_attribute"]

_DONE, _TIMED_OUT, _INTERRUPTED, _FAILED = (
    int(Mp.WaitResult.DONE), int(Mp.WaitResult.TIMED_OUT), int(Mp.WaitResult.INTERRUPTED),
    int(Mp.WaitResult.FAILED))

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
        self._try_get = gobject.try_get_payload
        self._put_payload = gobject.put_payload

    def _try_put(self, data, codec):
        """Puts a message; False if there is no room."""
        try:
            return self._put_payload(data, codec, 0, None)
        except GLib.Error as error:
            if is_mp_error(error, Mp.Error.FULL):
                return False
            if is_mp_error(error, Mp.Error.CLOSED):
                raise ValueError(error.message) from None
            kind = MemoryError if is_mp_error(error, Mp.Error.LIMIT) else OSError
            raise kind(error.message) from None


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
