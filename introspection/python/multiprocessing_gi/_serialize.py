# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pickling, and what travels beside the bytes: file descriptors at a start."""

import copyreg
import functools
import io
import json
import pickle
import threading
import types

from multiprocessing.reduction import ForkingPickler

from . import _gvariant
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

# The types for which a plain pickle and the standard library's reducer agree.
_PLAIN_TYPES = {types.MethodType, type(list.append), type(int.__add__), functools.partial}
_reducers = getattr(ForkingPickler, "_extra_reducers", {})
_table = None
_table_length = -1


def _refresh_table():
    """Looks at the registered reducers anew; None when a plain pickle does the same."""
    global _table, _table_length
    _table_length = len(_reducers)
    extra = {kind: reduce for kind, reduce in _reducers.items() if kind not in _PLAIN_TYPES}
    _table = extra or None


def dumps(obj):
    """Pickles with the reducers that were registered with ForkingPickler."""
    if len(_reducers) != _table_length:
        _refresh_table()
    if _table is None:
        return _pickle_dumps(obj, PROTOCOL)
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, PROTOCOL)
    pickler.dispatch_table = {**copyreg.dispatch_table, **_table}
    pickler.dump(obj)
    return buffer.getvalue()


def decode(data, codec):
    """The object behind a payload of any codec."""
    if codec == PICKLE:
        return loads(data)
    if codec == GVARIANT:
        return _gvariant.decode(data)
    if codec == JSON:
        return json.loads(data)
    return bytes(data)


class _Passing(threading.local):
    """The descriptors that go with what this thread pickles or unpickles."""

    outgoing = None
    incoming = None


_passing = _Passing()


class spawning:
    """While a process is being started: shared objects may be pickled by this thread.

    Its value is the Gio.UnixFDList that the start has to pass on.
    """

    def __enter__(self):
        self._before = _passing.outgoing
        _passing.outgoing = _FDList()
        return _passing.outgoing

    def __exit__(self, *_exc):
        _passing.outgoing = self._before


class inheriting:
    """While a child unpickles what it was started with: shared objects are rebuilt."""

    def __init__(self, fd_list):
        self._fd_list = fd_list

    def __enter__(self):
        _passing.incoming = self._fd_list

    def __exit__(self, *_exc):
        _passing.incoming = None


def is_spawning():
    """Whether this thread is starting a process."""
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
    return Mp.Shareable.new_from_handle(variant, _passing.incoming)


def fd_list_from(fds):
    """A Gio.UnixFDList that owns these descriptors."""
    return _FDList.new_from_array(list(fds))
