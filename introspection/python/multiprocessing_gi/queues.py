# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Queues between processes, over MpQueue."""

import errno
import types
from queue import Empty, Full
from sys import modules as _modules

from . import _primitives, util
from ._buffers import size_of
from ._lease import LeasingQueue
from ._queue_async import AsyncQueue
from ._raw import (GLib, Mp, TimeoutError, deadline_after, is_mp_error, remaining_us,
                   wait_until)
from ._serialize import (MAY_BE_LONG, PICKLE, carrying, decode, dump_all, dump_item, dumps,
                         inheriting, loads, share, unshare)

__all__ = ["CarryingQueue", "JoinableQueue", "Queue", "SimpleQueue", "Empty", "Full"]

_IN = GLib.IOCondition.IN
_EMPTY, _CLOSED, _CORRUPT, _HAS_FDS = -1, -2, -3, -5
# As many messages as are taken at once.
_MAX_BATCH = 65536
# How long what was taken in vain waits for room.
_PUT_BACK_US = 1000000


class _QueueBase(_primitives.Queue):
    """An MpQueue with Python objects in it.

    Between Python processes items are pickles; an item that C or another language
    put as a GVariant comes out as the Python object it stands for.
    """

    def __init__(self, max_items, max_deliveries=0, dead_letters=None):
        try:
            self._attach(Mp.Queue.new_full(max_items, 0, max_deliveries, dead_letters))
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
        """Puts an item; False when there is no room in time."""
        return self._send_when_room(lambda: self._try_put(data, PICKLE), deadline, size_of(data))

    def _send_when_room(self, attempt, deadline, length, n_items=1, with_fds=False):
        """Calls attempt() until it has put the items; False when there is no room in time."""
        waited = False
        try:
            while not attempt():
                left = remaining_us(deadline)
                if left == 0:
                    return False
                self.gobject.wait_room(length, n_items, with_fds, left)
                waited = True
            return True
        finally:
            if waited:
                self.gobject.unclaim()

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

        def attempt():
            try:
                return self._try_put_many(data)
            except GLib.Error as error:
                raise _exception_of(error) from None

        return not data or attempt() or \
            self._send_when_room(attempt, deadline, sum(map(len, data)), len(data))

    def _receive_all(self, max_items, deadline):
        """A list of the next items, empty when there is none in time."""
        while True:
            try:
                data, codecs = self._try_get_many(max_items)
            except GLib.Error as error:
                raise _exception_of(error) from None
            if data:
                return _load_all(data, codecs)
            left = remaining_us(deadline)
            if left == 0:
                return data
            self.gobject.wait_ready(_IN, left)


def _raise_for(codec):
    """Raises what a failed _try_get() stands for, unless the queue was just empty."""
    if codec == _CLOSED:
        raise ValueError("the queue is closed, and empty")
    if codec == _CORRUPT:
        raise OSError("the queue's memory is corrupt")
    if codec == _HAS_FDS:
        raise _HasDescriptors("the next item has descriptors, with which it cannot be taken here")


class _HasDescriptors(OSError):
    """The next item is none for a call that takes no descriptors."""


def _exception_of(error):
    if is_mp_error(error, Mp.Error.CLOSED):
        return ValueError(error.message)
    if is_mp_error(error, Mp.Error.NOT_SUPPORTED):
        return _HasDescriptors(error.message)
    return (MemoryError if is_mp_error(error, Mp.Error.LIMIT) else OSError)(error.message)


def _load_all(data, codecs):
    """The objects of what _try_get_many() gave."""
    try:
        if codecs.count(PICKLE) == len(codecs):
            return list(map(loads, data))
        return list(map(decode, data, codecs))
    except Exception as error:
        # They are taken already: one that is broken must not cost the others.
        error.objects = list(_readable(data, codecs))
        raise


def _readable(data, codecs):
    for item in zip(data, codecs):
        try:
            yield decode(*item)
        except Exception:
            pass


class Queue(AsyncQueue, LeasingQueue, _QueueBase):
    """A queue for many producers and consumers in many processes.

    put() pickles the object at once, in the caller: what cannot be pickled is the
    caller's exception, and later changes of the object do not travel.

    Long bytes and the buffers of arrays of numpy are copied once, into shared memory. An
    array that get() gives is there still, and writable; it belongs to this process alone
    until nothing refers to it any more. A child that is forked meanwhile shares it, and may
    keep it no longer than its parent does: it has to copy what it needs.
    """

    def __init__(self, maxsize=0, *, ctx=None, max_deliveries=0, dead_letters=None):
        """A queue of maxsize items at most; 0: without a bound.

        What was lent max_deliveries times, see get_leased(), and never acknowledged goes to
        the queue dead_letters, or is dropped with a warning.
        """
        super().__init__(maxsize if maxsize > 0 else 0, max_deliveries,
                         getattr(dead_letters, "gobject", dead_letters))
        self._maxsize = maxsize

    def __getstate__(self):
        state = self.__dict__.copy()
        for name in ("_gobject", "_try_get_payload", "_put_payload", "_closed", "_async_waiters",
                     "_async_lines"):
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
        # The call that is saved is a tenth of the time that most items take.
        data = dump_item(obj) if type(obj) in MAY_BE_LONG or "numpy" in _modules else dumps(obj)
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

    _dump = staticmethod(dump_item)

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

    async def ajoin(self):
        """Waits as join() does, in the running loop of asyncio."""
        await self._await_joined()


class _Carried:
    """A pickled item and its descriptors."""

    def __init__(self, data, fd_list):
        self.data, self.fd_list = data, fd_list

    def __len__(self):
        # As long as it is in the queue, with what says which descriptors are its own.
        return len(self.data) + 8


class CarryingQueue(Queue):
    """A Queue with which descriptors go: sockets, connections, and what is shared by such.

    The system keeps them until the item is taken, whatever becomes of the process that has
    put it. So locks, values, other queues and the like can be put, too, which otherwise only
    the start of a process passes on. The queue has two descriptors more than others. Some
    hundred items with descriptors can be in it at a time; none of them can be leased, and
    put_many() puts none. An item for whose object there are no descriptors left stays, or is
    put back, at the end: OSError.
    """

    def __init__(self, maxsize=0, *, ctx=None):
        try:
            self._attach(Mp.Queue.new_carrying_fds(max(maxsize, 0), 0))
        except GLib.Error as error:
            raise OSError(error.message) from error
        self._maxsize = maxsize

    @staticmethod
    def _dump(obj):
        with carrying() as fd_list:
            data = dump_item(obj)
        if fd_list.get_length() == 0:
            return data
        if type(data) is not bytes:
            # Its long buffers go with the rest.
            with carrying() as fd_list:
                data = dumps(obj)
        return _Carried(data, fd_list)

    def _put_carried(self, item, timeout_us):
        try:
            return self.gobject.put_payload_with_fds(item.data, PICKLE, item.fd_list, timeout_us,
                                                     None)
        except GLib.Error as error:
            if is_mp_error(error, Mp.Error.FULL):
                return False
            raise _carried_exception_of(error) from None

    def _try_send(self, data):
        if type(data) is _Carried:
            return self._put_carried(data, 0)
        return super()._try_send(data)

    def put(self, obj, block=True, timeout=None):
        """Puts obj and its descriptors; waits for room as that of a Queue does."""
        self._check_open()
        deadline = deadline_after(timeout if block else 0)
        data = self._dump(obj)
        if not self._send_when_room(lambda: self._try_send(data), deadline, size_of(data),
                                    with_fds=type(data) is _Carried):
            raise Full

    def _take(self, at_end=None):
        while True:
            try:
                return super()._take(at_end)
            except _HasDescriptors:
                found, obj = self._take_carried()
            if found:
                return True, obj

    def _take_carried(self):
        """(True, object), or (False, None) if others were faster."""
        try:
            data, codec, fd_list = self.gobject.get_bytes_with_fds(0, None)
        except GLib.Error as error:
            if is_mp_error(error, Mp.Error.EMPTY) or is_mp_error(error, Mp.Error.CLOSED):
                return False, None
            raise _carried_exception_of(error) from None
        with inheriting(fd_list.steal_fds()) as carried:
            try:
                return True, decode(data.get_data(), codec)
            except (GLib.Error, OSError) as error:
                if not _lacks_room(error):
                    raise
                fate = self._put_back(data, codec, carried.get_fd_list())
                raise OSError(f"the next item {fate}: {_text_of(error)}") from error

    def _put_back(self, data, codec, fd_list):
        """What has become of it then."""
        # It counts as another one, and will be done once.
        self.gobject.task_done()
        try:
            self.gobject.put_payload_with_fds(data.get_data(), codec, fd_list, _PUT_BACK_US, None)
        except GLib.Error as error:
            return f"is lost, because it could not be put back ({error.message})"
        return "was put back, at the end of the queue"

    def get(self, block=True, timeout=None):
        """Takes the next object; waits for one as that of a Queue does."""
        self._check_open()
        deadline = deadline_after(timeout if block else 0)
        while True:
            found, obj = self._take()
            if found:
                return obj
            left = remaining_us(deadline)
            if left == 0:
                raise Empty
            self.gobject.wait_ready(_IN, left)

    def _receive_all(self, max_items, deadline):
        while True:
            try:
                return super()._receive_all(max_items, deadline)
            except _HasDescriptors:
                found, obj = self._take_carried()
            if found:
                return [obj]


def _lacks_room(error):
    """Whether there may be room for the same object at another time."""
    if isinstance(error, OSError):
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return is_mp_error(error, Mp.Error.LIMIT)


def _text_of(error):
    return error.message if isinstance(error, GLib.Error) else error.strerror


def _carried_exception_of(error):
    # It is not the memory that is limited.
    return OSError(error.message) if is_mp_error(error, Mp.Error.LIMIT) else _exception_of(error)


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
        data = dump_item(obj) if type(obj) in MAY_BE_LONG or "numpy" in _modules else dumps(obj)
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
