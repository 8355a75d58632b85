# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Locks, semaphores, conditions, events and barriers between processes.

Each is passed on to a process when that is started, and not later. None of them
ever waits for a process that is dead: who was waiting for it goes on.
"""

import errno
import os
import sys
import threading
import time

from . import _primitives, process
from ._raw import GLib, Mp
from ._serialize import share, unshare

__all__ = ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event", "Barrier"]

SEM_VALUE_MAX = 2147483647


def _make(constructor, *args):
    """A new GObject; OSError where there is no memory or no descriptor for it."""
    try:
        return constructor(*args)
    except GLib.Error as error:
        raise OSError(errno.ENOMEM, error.message) from error


class _Shared:
    """What a child gets is a handle of the same shared object."""

    def __getstate__(self):
        return share(self, self.gobject)

    def __setstate__(self, handle):
        self._attach(unshare(handle))

    @property
    def props(self):
        """The GObject's properties."""
        return self.gobject.props

    def connect(self, signal_name, callback, *args):
        """Connects to a signal of the GObject; the callback gets this object first."""
        return self.gobject.connect(
            signal_name, lambda _gobject, *values: callback(self, *values, *args))


def _owner_of(gobject):
    """Who holds a lock, in the words of multiprocessing."""
    pid = gobject.get_holder_pid()
    if pid == 0:
        return "None"
    if pid != os.getpid():
        return "SomeOtherProcess"
    if gobject.get_holder_thread() != threading.get_native_id():
        return "SomeOtherThread"
    name = process.current_process().name
    thread = threading.current_thread().name
    return name if thread == "MainThread" else f"{name}|{thread}"


class _LockFace(_Shared):
    """What Lock and RLock have in common."""

    def locked(self):
        """Whether anybody holds it."""
        return self.gobject.get_locked()

    @property
    def abandoned(self):
        """Whether the one who held it before died with it: until it is released."""
        return self.gobject.get_abandoned()


class Lock(_LockFace, _primitives.Lock):
    """A lock that any thread of any process may release."""

    def __init__(self, *, ctx=None):
        self._attach(_make(Mp.Lock.new))

    def __repr__(self):
        return f"<{type(self).__name__}(owner={_owner_of(self.gobject)})>"


class RLock(_LockFace, _primitives.RLock):
    """A lock that the thread which holds it may acquire again."""

    def __init__(self, *, ctx=None):
        self._attach(_make(Mp.RLock.new))

    def __repr__(self):
        owner = _owner_of(self.gobject)
        count = (0 if owner == "None" else "nonzero" if owner.startswith("SomeOther")
                 else self.gobject.get_depth())
        return f"<{type(self).__name__}({owner}, {count})>"


class Semaphore(_Shared, _primitives.Semaphore):
    """A number that acquire() takes one from, and waits while it is zero."""

    _flags = Mp.SemaphoreFlags.NONE

    def __init__(self, value=1, *, ctx=None, recover=False):
        if not 0 <= value <= SEM_VALUE_MAX:
            raise OSError(errno.EINVAL, f"a semaphore cannot begin with {value}")
        flags = self._flags | (Mp.SemaphoreFlags.RECOVER if recover else Mp.SemaphoreFlags.NONE)
        self._attach(_make(Mp.Semaphore.new, value, flags))

    def get_value(self):
        """How often it can be acquired now without waiting."""
        return self.gobject.get_value()

    def locked(self):
        """Whether acquire() would have to wait now."""
        return self.gobject.get_value() == 0

    def __repr__(self):
        return f"<{type(self).__name__}(value={self.gobject.get_value()})>"


class BoundedSemaphore(Semaphore):
    """A semaphore that cannot be released more often than it was acquired."""

    _flags = Mp.SemaphoreFlags.BOUNDED

    def __repr__(self):
        value, maximum = self.gobject.get_value(), self.gobject.get_initial_value()
        return f"<{type(self).__name__}(value={value}, maxvalue={maximum})>"


class Condition(_Shared, _primitives.Condition):
    """Threads that hold a lock wait, without it, until another one notifies them."""

    def __init__(self, lock=None, *, ctx=None):
        self._set_lock(RLock() if lock is None else lock)
        if isinstance(self._lock, RLock):
            make = Mp.Condition.new_with_rlock
        elif isinstance(self._lock, Lock):
            make = Mp.Condition.new
        else:
            raise TypeError("a condition needs a Lock or an RLock of this package, not a "
                            f"{type(lock).__name__}")
        self._attach(_make(make, self._lock.gobject))

    def _set_lock(self, lock):
        self._lock = lock
        self.acquire = lock.acquire
        self.release = lock.release

    def __getstate__(self):
        return super().__getstate__(), self._lock

    def __setstate__(self, state):
        handle, lock = state
        self._set_lock(lock)
        super().__setstate__(handle)

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)

    def wait_for(self, predicate, timeout=None):
        """Waits until predicate() is true, or timeout seconds are over; gives its last value."""
        result = predicate()
        end = None if timeout is None else time.monotonic() + timeout
        while not result:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify_all(self):
        """Wakes all that wait."""
        self.notify(sys.maxsize)

    def __repr__(self):
        return f"<{type(self).__name__}({self._lock}, {self.gobject.get_n_waiters()})>"


class Event(_Shared, _primitives.Event):
    """A flag that can be waited for."""

    def __init__(self, *, ctx=None):
        self._attach(_make(Mp.Event.new))

    def __repr__(self):
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


class Barrier(_Shared, _primitives.Barrier):
    """A place where a number of threads and processes wait for each other.

    action, if there is one, is called by one of them when all are there, before any
    goes on. It breaks when one of them dies, does not come in time, or says so.
    """

    def __init__(self, parties, action=None, timeout=None, *, ctx=None):
        if parties < 1:
            raise ValueError(f"a barrier needs at least one party, not {parties}")
        self._set_up(action, timeout)
        self._attach(_make(Mp.Barrier.new, parties))

    def _set_up(self, action, timeout):
        self._action = action
        self._timeout = timeout

    def __getstate__(self):
        return super().__getstate__(), self._action, self._timeout

    def __setstate__(self, state):
        handle, action, timeout = state
        self._set_up(action, timeout)
        super().__setstate__(handle)

    def reset(self):
        """Lets everybody start afresh; who waits now gets BrokenBarrierError."""
        self.gobject.reset()

    def abort(self):
        """Breaks it until it is reset: for everybody, now and later."""
        self.gobject.abort()

    @property
    def parties(self):
        """How many have to come."""
        return self.gobject.get_parties()

    @property
    def n_waiting(self):
        """How many are waiting."""
        return self.gobject.get_n_waiting()

    @property
    def broken(self):
        """Whether it is broken."""
        return self.gobject.get_broken()

    def __repr__(self):
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__qualname__} at {id(self):#x}: {state}>"
