# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Queues between processes, over MpQueue."""

import types
from queue import Empty, Full

from . import _primitives, util
from ._raw import GLib, Mp, deadline_after, remaining_us
from ._serialize import PICKLE, decode, dumps, loads, share, unshare

__all__ = ["Queue", "SimpleQueue", "Empty", "Full"]

_IN, _OUT = GLib.IOCondition.IN, GLib.IOCondition.OUT
_EMPTY, _CLOSED, _CORRUPT = -1, -2, -3


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

    def _send(self, obj, deadline):
        """Puts the pickle of obj; False when there is no room in time."""
        data = dumps(obj)
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
            if codec == _CLOSED:
                raise ValueError("the queue is closed, and empty")
            if codec == _CORRUPT:
                raise OSError("the queue's memory is corrupt")
            left = remaining_us(deadline)
            if left == 0:
                return data, codec
            self.gobject.wait_ready(_IN, left)


class Queue(_QueueBase):
    """A queue for many producers and consumers in many processes.

    put() pickles the object at once, in the caller: what cannot be pickled is the
    caller's exception, and later changes of the object do not travel.
    """

    def __init__(self, maxsize=0, *, ctx=None):
        super().__init__(maxsize if maxsize > 0 else 0)
        self._maxsize = maxsize

    def __getstate__(self):
        state = self.__dict__.copy()
        for name in ("_gobject", "_try_get", "_put_payload", "_closed"):
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
        if not self._send(obj, deadline_after(timeout if block else 0)):
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

    def put_nowait(self, obj):
        """put() that does not wait."""
        self.put(obj, False)

    def get_nowait(self):
        """get() that does not wait."""
        return self.get(False)

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
        self._check_open()
        self._send(obj, None)

    def get(self):
        """Takes the next object; waits for one."""
        self._check_open()
        data, codec = self._receive(None)
        return decode(data, codec)

    def empty(self):
        """Whether there is no item now."""
        self._check_open()
        return self.gobject.get_length() == 0

    def close(self):
        """Ends the use of the queue by this object."""
        self._closed = True
