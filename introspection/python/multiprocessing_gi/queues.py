# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Queues between processes, over MpQueue."""

import itertools
import struct
import types
from queue import Empty, Full

from . import _primitives, util
from ._queue_async import AsyncQueue
from ._raw import (GLib, Mp, TimeoutError, deadline_after, is_mp_error, remaining_us,
                   wait_until)
from ._serialize import PICKLE, decode, dump_all, dumps, loads, share, unshare

__all__ = ["JoinableQueue", "Queue", "SimpleQueue", "Empty", "Full"]

_IN, _OUT = GLib.IOCondition.IN, GLib.IOCondition.OUT
_EMPTY, _CLOSED, _CORRUPT = -1, -2, -3
# As many messages as are taken at once.
_MAX_BATCH = 65536
_NUMBER = struct.Struct("=I")


class _QueueBase(_primitives.Queue):
    """An MpQueue with Python objects in it.

    Between Python processes items are pickles; an item that C or another language
    put as a GVariant comes out as the Python object it stands for.
    """

    def __init__(self, max_items):
        try:
            self._attach(Mp.Queue.new(max_items, 0))
        except GLib.Error as error:
            raise OSError(error.message) from error

    def _attach(self, gobject):
        super()._attach(gobject)
        self._closed = False

    @property
    def props(self):
        """The GObject's properties."""
        return self.gobject.props

    def connect(self, signal_name, callback, *args):
        """Connects to a signal of the GObject; the callback gets this object first."""
        return self.gobject.connect(
            signal_name, lambda _gobject, *values: callback(self, *values, *args))

    __class_getitem__ = classmethod(types.GenericAlias)

    def _send_data(self, data, deadline):
        """Puts a pickle; False when there is no room in time."""
        while not self._try_put(data, PICKLE):
            left = remaining_us(deadline)
            if left == 0:
                return False
            self.gobject.wait_ready(_OUT, left)
        return True

    def _receive(self, deadline):
        """(data, codec) of the next item; codec is _EMPTY when there is none in time."""
        while True:
            data, codec = self._try_get()
            if codec >= 0:
                return data, codec
            _raise_for(codec)
            left = remaining_us(deadline)
            if left == 0:
                return data, codec
            self.gobject.wait_ready(_IN, left)

    def _send_all(self, objs, deadline):
        """Puts the pickles of all objs or of none; False when there is no room in time."""
        data = dump_all(objs)
        if not data:
            return True
        packed, lengths = b"".join(data), struct.pack(f"={len(data)}I", *map(len, data))
        while True:
            try:
                return self.gobject.put_packed(packed, lengths, PICKLE, 0, None)
            except GLib.Error as error:
                if not is_mp_error(error, Mp.Error.FULL):
                    raise _exception_of(error) from None
            left = remaining_us(deadline)
            if left == 0:
                return False
            self.gobject.wait_ready(_OUT, left)

    def _receive_all(self, max_items, deadline):
        """A list of the next items, empty when there is none in time."""
        while True:
            try:
                return _unpack(self.gobject.get_packed(max_items, 0, None))
            except GLib.Error as error:
                if not is_mp_error(error, Mp.Error.EMPTY):
                    raise _exception_of(error) from None
            left = remaining_us(deadline)
            if left == 0:
                return []
            self.gobject.wait_ready(_IN, left)


def _raise_for(codec):
    """Raises what a failed _try_get() stands for, unless the queue was just empty."""
    if codec == _CLOSED:
        raise ValueError("the queue is closed, and empty")
    if codec == _CORRUPT:
        raise OSError("the queue's memory is corrupt")


def _exception_of(error):
    if is_mp_error(error, Mp.Error.CLOSED):
        return ValueError(error.message)
    return (MemoryError if is_mp_error(error, Mp.Error.LIMIT) else OSError)(error.message)


def _unpack(packed):
    """The objects of what get_packed() gave."""
    view = memoryview(packed)
    n, = _NUMBER.unpack_from(view)
    numbers = struct.unpack_from(f"={2 * n}I", view, _NUMBER.size)
    ends = list(itertools.accumulate(numbers[:n], initial=(1 + 2 * n) * _NUMBER.size))
    items = [(view[start:end], codec) for start, end, codec in zip(ends, ends[1:], numbers[n:])]
    try:
        return [loads(data) if codec == PICKLE else decode(bytes(data), codec)
                for data, codec in items]
    except Exception as error:
        # They are taken already: one that is broken must not cost the others.
        error.objects = list(_readable(items))
        raise


def _readable(items):
    for data, codec in items:
        try:
            yield decode(data if codec == PICKLE else bytes(data), codec)
        except Exception:
            pass


class Queue(AsyncQueue, _QueueBase):
    """A queue for many producers and consumers in many processes.

    put() pickles the object at once, in the caller: what cannot be pickled is the
    caller's exception, and later changes of the object do not travel.
    """

    def __init__(self, maxsize=0, *, ctx=None):
        super().__init__(maxsize if maxsize > 0 else 0)
        self._maxsize = maxsize

    def __getstate__(self):
        state = self.__dict__.copy()
        for name in ("_gobject", "_try_get", "_put_payload", "_closed", "_async_waiters"):
            state.pop(name, None)
        return share(self, self.gobject), state

    def __setstate__(self, state):
        handle, attributes = state
        self.__dict__.update(attributes)
        self._attach(unshare(handle))

    def _attach(self, gobject):
        super()._attach(gobject)
        util.register_after_fork(self, Queue._reopen)

    def _reopen(self):
        # In a child it is open, whatever its parent did before.
        self._closed = False

    def _check_open(self):
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")

    def put(self, obj, block=True, timeout=None):
        """Puts obj; waits for room, for timeout seconds at most, else raises queue.Full."""
        if self._closed:
            self._check_open()
        data = dumps(obj)
        if not self._try_put(data, PICKLE) and \
                not self._send_data(data, deadline_after(timeout if block else 0)):
            raise Full

    def get(self, block=True, timeout=None):
        """Takes the next object; waits for one as put() does, else raises queue.Empty."""
        if self._closed:
            self._check_open()
        data, codec = self._try_get()
        if codec < 0:
            data, codec = self._receive(deadline_after(timeout if block else 0))
            if codec < 0:
                raise Empty
        return loads(data) if codec == PICKLE else decode(data, codec)

    _dump = staticmethod(dumps)

    def _try_send(self, data):
        return self._try_put(data, PICKLE)

    def _take(self, at_end=None):
        """(True, object), or (False, None) when there is none now; at_end when none comes."""
        data, codec = self._try_get()
        if codec >= 0:
            return True, decode(data, codec)
        if codec == _CLOSED and at_end is not None:
            return at_end
        _raise_for(codec)
        return False, None

    def put_nowait(self, obj):
        """put() that does not wait."""
        self.put(obj, False)

    def get_nowait(self):
        """get() that does not wait."""
        return self.get(False)

    def put_many(self, objs, block=True, timeout=None):
        """Puts all objects of an iterable, one directly behind the other, or none of them.

        Waits for room for all of them, for timeout seconds at most, else raises queue.Full.
        """
        self._check_open()
        if not self._send_all(list(objs), deadline_after(timeout if block else 0)):
            raise Full

    def get_many(self, max_items, block=True, timeout=None):
        """A list of the next objects: as many as there are, but max_items at most.

        Waits for the first one as get() does, else raises queue.Empty. No more are taken at
        once than 65536, or as many as have 16 MiB together. When one cannot be unpickled, its
        exception is raised, whose attribute objects is a list of the others.
        """
        if max_items < 1:
            raise ValueError(f"max_items must be at least 1, not {max_items}")
        self._check_open()
        objs = self._receive_all(min(max_items, _MAX_BATCH),
                                 deadline_after(timeout if block else 0))
        if not objs:
            raise Empty
        return objs

    def qsize(self):
        """How many items are in the queue, exactly."""
        return self.gobject.get_length()

    def empty(self):
        """Whether there is no item now."""
        if self._closed:
            raise OSError("the queue is closed")
        return self.gobject.get_length() == 0

    def full(self):
        """Whether an item would have to wait now."""
        return 0 < self._maxsize <= self.gobject.get_length()

    def close(self):
        """Ends the use of the queue by this object; other processes are not concerned."""
        self._closed = True

    def join_thread(self):
        """Waits for nothing: put() has passed every item on. Only after close()."""
        if not self._closed:
            raise AssertionError(f"Queue {self!r} not closed")

    def cancel_join_thread(self):
        """Does nothing: no thread is joined at exit, and no item can be lost by that."""


class JoinableQueue(Queue):
    """A Queue that knows which of its items are dealt with."""

    def task_done(self):
        """Says that an item which was got is dealt with, in whichever process.

        ValueError when it was called more often than items were put.
        """
        try:
            self.gobject.task_done()
        except GLib.Error as error:
            raise ValueError("task_done() called too many times") from error

    def join(self, timeout=None):
        """Waits until task_done() was called for every item that was put.

        Raises TimeoutError when that has not happened after timeout seconds.
        """
        if not wait_until(self.gobject.wait_joined, timeout):
            raise TimeoutError(f"{self.gobject.get_unfinished()} items of the queue are not done")


class SimpleQueue(_QueueBase):
    """A queue with put, get, empty and close only, that never holds an item back."""

    def __init__(self, *, ctx=None):
        super().__init__(0)

    def __getstate__(self):
        return share(self, self.gobject)

    def __setstate__(self, handle):
        self._attach(unshare(handle))

    def _check_open(self):
        if self._closed:
            raise OSError("the queue is closed")

    def put(self, obj):
        """Puts obj."""
        if self._closed:
            self._check_open()
        data = dumps(obj)
        if not self._try_put(data, PICKLE):
            self._send_data(data, None)

    def get(self):
        """Takes the next object; waits for one."""
        if self._closed:
            self._check_open()
        data, codec = self._try_get()
        if codec < 0:
            data, codec = self._receive(None)
        return loads(data) if codec == PICKLE else decode(data, codec)

    def empty(self):
        """Whether there is no item now."""
        self._check_open()
        return self.gobject.get_length() == 0

    def close(self):
        """Ends the use of the queue by this object."""
        self._closed = True
