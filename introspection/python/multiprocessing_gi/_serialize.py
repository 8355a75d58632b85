# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pickling, and what travels beside the bytes: file descriptors at a start."""

import copyreg
import functools
import io
import os
import pickle
import socket
import threading
import types
from sys import modules as _modules

from multiprocessing.reduction import ForkingPickler

from . import _buffers, _gvariant
from ._raw import Gio, GLib, Mp

# PyGObject makes a class when it is first used: here, so that the zygote has it and its
# children need not.
_FDList, _Bytes, _Variant, _VariantType = (Gio.UnixFDList, GLib.Bytes, GLib.Variant,
                                           GLib.VariantType)

PROTOCOL = 5
RAW, GVARIANT, PICKLE, JSON = (int(Mp.Codec.RAW), int(Mp.Codec.GVARIANT),
                               int(Mp.Codec.PICKLE), int(Mp.Codec.JSON))
HANDLE_TYPE = "(sua{sv}ah)"

loads = pickle.loads
_pickle_dumps = pickle.dumps

# The types for which a plain pickle does what the standard library's reducer does, or
# is an error, upon which the reducers are tried.
_PLAIN_TYPES = {types.MethodType, type(list.append), type(int.__add__), functools.partial,
                socket.socket}
_reducers = getattr(ForkingPickler, "_extra_reducers", {})
# Ours come first: for a ctypes type the standard library registers one of its own.
_own_reducers = {}


class _Pickler(pickle.Pickler):
    """A pickler with the reducers that were registered with ForkingPickler."""

    dispatch_table = copyreg.dispatch_table


class FromPickler(functools.partial):
    """What dumps() pickles is what this gives when called with the pickler."""


# How many reducers there were when they were last looked at: none is ever removed.
_seen = None
_plain = False
_copyreg_table = copyreg.dispatch_table


def _look_at_reducers():
    """Takes over what was registered in the meantime."""
    global _seen, _plain
    _seen = len(_reducers) + len(_own_reducers) + len(_copyreg_table)
    _plain = _PLAIN_TYPES.issuperset(_own_reducers) and _PLAIN_TYPES.issuperset(_reducers)
    _Pickler.dispatch_table = {**copyreg.dispatch_table, **_reducers, **_own_reducers}


def register_own(kind, reduce):
    """Makes reduce(obj) the way in which this package pickles what is of a type."""
    _own_reducers[kind] = reduce


def reduce_elsewhere(obj):
    """What others have registered for an object with a reducer of ours, or None."""
    reduce = _reducers.get(type(obj))
    return None if reduce is None else reduce(obj)


def dumps(obj, collector=None):
    """Pickles with the reducers that were registered with ForkingPickler.

    The collector is called for each buffer, as a buffer_callback of pickle.
    """
    if _seen != len(_reducers) + len(_own_reducers) + len(_copyreg_table):
        _look_at_reducers()
    before = _offers
    try:
        if _plain and type(obj) is not FromPickler:
            try:
                if collector is None:
                    return _pickle_dumps(obj, PROTOCOL)
                return _pickle_dumps(obj, PROTOCOL, buffer_callback=collector)
            except TypeError:
                # It may be a socket.
                _withdraw_offers(before)
                if collector is not None:
                    collector.views.clear()
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, PROTOCOL, buffer_callback=collector)
        pickler.dump(obj(pickler) if type(obj) is FromPickler else obj)
        return buffer.getvalue()
    except BaseException:
        _withdraw_offers(before)
        raise


# The types for which dump_item() may give Parts, beside those of numpy.
MAY_BE_LONG = frozenset((bytes, bytearray, pickle.PickleBuffer))


def dump_item(obj, limit=_buffers.LIMIT):
    """Pickles as dumps() does, but long buffers stay where they are: bytes, or the Parts."""
    kind = type(obj)
    if kind is bytes or kind is bytearray:
        return _buffers.pack_bytes(obj) if len(obj) >= limit else dumps(obj)
    # What has buffers nearly always comes from there; to look for them costs time.
    if "numpy" not in _modules and kind not in MAY_BE_LONG:
        return dumps(obj)
    if kind is pickle.PickleBuffer and memoryview(obj).nbytes >= limit:
        return _buffers.pack_bytes(obj)
    return dumps_beside(obj, limit)


def dumps_beside(obj, limit=_buffers.LIMIT):
    """dump_item() for an object that has long buffers."""
    collector = _buffers.Collector(limit)
    return collector.pack(dumps(obj, collector))


def dump_all(objs):
    """The pickles of a sequence of objects."""
    if _seen != len(_reducers) + len(_own_reducers) + len(_copyreg_table):
        _look_at_reducers()
    if _plain:
        before = _offers
        try:
            return [_pickle_dumps(obj, PROTOCOL) for obj in objs]
        except TypeError:
            _withdraw_offers(before)
        except BaseException:
            _withdraw_offers(before)
            raise
    return list(map(dumps, objs))


# How many descriptors were offered to whoever unpickles what has been pickled.
_offers = 0


def count_offer():
    """The number of a new offer."""
    global _offers
    _offers += 1
    return _offers


def _withdraw_offers(after):
    """Takes back what was offered in a pickle that nobody will get."""
    if _offers != after:
        from . import resource_sharer
        resource_sharer.withdraw(after)


def decode(data, codec):
    """The object behind a payload of any codec."""
    if codec == PICKLE:
        return loads(data)
    if codec == _buffers.PICKLE_BUFFERS:
        return _buffers.unpack(data)
    data = bytes(data)
    if codec == GVARIANT:
        return _gvariant.decode(data)
    if codec == JSON:
        import json
        return json.loads(data)
    return data


class _Passing(threading.local):
    """The descriptors that go with what this thread pickles or unpickles."""

    outgoing = None
    starting = False
    incoming = None


_passing = _Passing()


class spawning:
    """While a process is being started: shared objects may be pickled by this thread.

    Its value is the Gio.UnixFDList that the start has to pass on.
    """

    _starting = True

    def __enter__(self):
        self._before = _passing.outgoing, _passing.starting
        _passing.outgoing, _passing.starting = _FDList(), self._starting
        return _passing.outgoing

    def __exit__(self, *_exc):
        _passing.outgoing, _passing.starting = self._before


class carrying(spawning):
    """The same while something is pickled to go with its descriptors at any time."""

    _starting = False


class inheriting:
    """While a child unpickles what it was started with: shared objects are rebuilt.

    It owns the descriptors that came with the start, or with an item of a queue.
    """

    def __init__(self, fds):
        self._fds = fds
        self._fd_list = None

    def __enter__(self):
        self._before = _passing.incoming
        _passing.incoming = self
        return self

    def __exit__(self, *_exc):
        _passing.incoming = self._before
        if self._fd_list is not None:
            self._fd_list.steal_fds()
        # A copy that stays open would hide from the other end that this one is closed.
        for fd in self._fds:
            os.close(fd)

    def get_fd_list(self):
        """The descriptors as a Gio.UnixFDList, which few starts need."""
        if self._fd_list is None:
            self._fd_list = _FDList.new_from_array(self._fds)
        return self._fd_list

    def take(self, index):
        """A copy of a descriptor."""
        return os.dup(self._fds[index])


def is_spawning():
    """Whether this thread is starting a process."""
    return _passing.starting


def is_passing():
    """Whether descriptors go with what this thread pickles."""
    return _passing.outgoing is not None


def assert_spawning(obj):
    """Shared objects are passed on when a process starts, and not later."""
    if _passing.outgoing is None:
        raise RuntimeError(f"{type(obj).__name__} objects should only be shared between "
                           "processes through inheritance")


def share(obj, gobject):
    """The picklable handle of a shared object, for the process being started."""
    assert_spawning(obj)
    handle = gobject.to_handle(_passing.outgoing)
    return handle.get_data_as_bytes().get_data()


def unshare(handle):
    """The shared object behind a handle, in the process that was started."""
    if _passing.incoming is None:
        raise RuntimeError("a handle can only be opened by the process it was made for")
    variant = _Variant.new_from_bytes(_VariantType(HANDLE_TYPE), _Bytes.new(handle), False)
    return Mp.Shareable.new_from_handle(variant, _passing.incoming.get_fd_list())


def pass_fd(fd):
    """What stands for a descriptor in the pickle for the process being started."""
    return _passing.outgoing.append(fd)


def take_fd(index):
    """A new descriptor for what pass_fd() gave, in the process that was started."""
    if _passing.incoming is None:
        raise RuntimeError("a descriptor can only be taken over by the process it was made for")
    return _passing.incoming.take(index)


def _reduce_socket(sock):
    from .resource_sharer import DupFd
    return _rebuild_socket, (DupFd(sock.fileno()), sock.family, sock.type, sock.proto)


def _rebuild_socket(descriptor, family, kind, proto):
    return socket.socket(family, kind, proto, descriptor.detach())


# The standard library's own would ask for a key that is not passed on here.
register_own(socket.socket, _reduce_socket)
