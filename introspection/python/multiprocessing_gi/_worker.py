# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The worker of a pool: takes tasks, runs them, gives results, until the pool ends."""

import io
import itertools
import os
import pickle
import struct
import traceback
import types

from . import _child, _gvariant, _raw, _tasks, process, util
from ._raw import GLib, Mp
from ._serialize import GVARIANT, PICKLE, dumps, inheriting, loads
from ._tasks import FLAG_CHUNK, FLAG_STAR, PYTHON_DOMAIN

__all__ = ["main"]

_head_of = struct.Struct("=IIII").unpack_from
_HEAD_SIZE = 16
# Payloads above this are unpickled in place, not copied.
_COPY_LIMIT = 1 << 16
# Functions that have no state of their own: one copy serves every task.
_STATELESS = (types.FunctionType, types.BuiltinFunctionType, type)
_MAX_CACHED = 256


class _NoVariantError(TypeError):
    """A result has no GVariant form."""


class Inherited:
    """What a worker has from the process that made the pool, when it was forked from it."""

    def __init__(self, name, identity, parent, initializer, arguments):
        self.name = name
        self.identity = identity
        self.parent = parent
        self.initializer = initializer
        self.arguments = arguments


def main(handle, fd_list, preparation, inherited=None):
    """Works for the pool behind the handle; gives the exit code of the process."""
    worker = Mp.Worker.new_from_handle(handle, fd_list)
    number = 1 + handle.get_child_value(2).lookup_value("worker", None).get_uint32()
    try:
        if inherited is not None:
            _start_inherited(inherited, number)
        else:
            _start(worker, number, fd_list, preparation)
    except BaseException as error:
        _report(worker, error, True, "the worker's initializer failed: ")
        error = None
        util.leave_child()
        return 1
    try:
        _work(worker)
    except GLib.Error as error:
        # The pool has gone, or its memory is corrupt: nobody is left to be told.
        util.info("the worker leaves: %s", error.message)
    util.leave_child()
    return 0


def _start(worker, number, fd_list, preparation):
    """Prepares the process, and runs the initializer of a Python pool."""
    start_data = worker.get_start_data()
    data = start_data.get_data() if start_data is not None else None
    if not data:
        _child.apply_preparation(preparation)
        _become_worker("PoolWorker", number)
        return
    stream = io.BytesIO(data)
    current = process.current_process()
    current._inheriting = True
    try:
        state = pickle.load(stream)
        _child.prepare(state)
        with inheriting(fd_list):
            initializer, arguments = pickle.load(stream)
    finally:
        del current._inheriting
    _become_worker(state["worker_name"], number, state["identity"], state["parent"])
    if initializer is not None:
        initializer(*arguments)


def _start_inherited(inherited, number):
    """The same, for what need not be unpickled."""
    _become_worker(inherited.name, number, inherited.identity, inherited.parent)
    if inherited.initializer is not None:
        inherited.initializer(*inherited.arguments)


def _become_worker(name, number, identity=(), parent=None):
    obj = process.BaseProcess(daemon=True)
    obj._identity = (*identity, number)
    obj._name = f"{name}-{number}"
    parent = parent or (os.getppid(), "parent")
    process.become(obj, *parent)


def _work(worker):
    """The loop: one call into the library for each task."""
    succeed_and_next = worker.succeed_and_next
    cache = {}
    head, size, apply, function, from_c = b"\0", 0, None, None, False
    record = worker.next()
    while record:
        try:
            if not record.startswith(head):
                head, size, apply, function, from_c = _look_up(record, cache)
            if from_c:
                data, codec = _run_for_c(apply, function, record[size:]), GVARIANT
            else:
                value = apply(function, loads(record[size:] if len(record) < _COPY_LIMIT
                                              else memoryview(record)[size:]))
                data, codec = _dump_result(value), PICKLE
        except BaseException as error:
            to_python = _head_of(record)[0] == PICKLE
            value = record = data = None
            _report(worker, error, to_python)
            error = None
            record = worker.next()
            continue
        if head not in cache:
            # What a task has left in its function must not reach the next one.
            head, function = b"\0", None
        # Nothing of the task is kept while the next one is waited for.
        value = record = None
        try:
            record = succeed_and_next(data, codec)
        except GLib.Error as error:
            if not _raw.is_mp_error(error, Mp.Error.LIMIT):
                raise
            _report(worker, error, False)
            record = worker.next()


def _run_for_c(apply, function, payload):
    # No bytes are no argument.
    value = apply(function, _gvariant.decode(payload)) if payload else function()
    try:
        return _gvariant.encode(value)
    except TypeError as error:
        raise _NoVariantError(str(error)) from error


def _dump_result(value):
    try:
        return dumps(value)
    except Exception as error:
        raise _tasks.MaybeEncodingError(error, value) from None


def _look_up(record, cache):
    """(head, its size, how to apply, function, whether from C) of the task in a record."""
    codec, flags, length, _attempt = _head_of(record)
    size = _HEAD_SIZE + length + -length % 8
    head = record[:size]
    found = cache.get(head)
    if found is not None:
        return (head, size, *found)
    name = record[_HEAD_SIZE:_HEAD_SIZE + length]
    if codec == GVARIANT:
        found = (_C_CALLS[flags & (FLAG_CHUNK | FLAG_STAR)],
                 _child.find_function(name.decode()), True)
    else:
        found = _CALLS[name[:1]], loads(name[1:]), False
    if isinstance(found[1], _STATELESS):
        if len(cache) >= _MAX_CACHED:
            cache.clear()
        cache[head] = found
    return (head, size, *found)


def _call(function, payload):
    args, kwds = payload
    return function(*args, **kwds)


def _call_item(function, item):
    return function(item)


def _call_items(function, items):
    return list(map(function, items))


def _call_star_items(function, items):
    return list(itertools.starmap(function, items))


def _call_spread(function, value):
    """A call whose arguments came as (ava{sv}), or as any other tuple."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], list) \
            and isinstance(value[1], dict):
        return function(*value[0], **value[1])
    if isinstance(value, (tuple, list)):
        return function(*value)
    raise TypeError(f"the arguments must be a tuple, not {type(value).__name__}")


def _call_spread_items(function, items):
    return [_call_spread(function, item) for item in items]


_CALLS = {_tasks.CALL: _call, _tasks.ITEM: _call_item, _tasks.ITEMS: _call_items,
          _tasks.STAR_ITEMS: _call_star_items}
_C_CALLS = {0: _call_item, FLAG_CHUNK: _call_items, FLAG_STAR: _call_spread,
            FLAG_CHUNK | FLAG_STAR: _call_spread_items}


def _text_of(error):
    try:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    except Exception:
        return f"{type(error).__name__}: <its text cannot be made>"


def _report(worker, error, to_python, prefix=""):
    """Tells the pool that the task failed."""
    try:
        text = "".join(traceback.format_exception(type(error), error, _own_part(error)))
    except Exception:
        text = _text_of(error) + "\n"
    domain, code, message, pickled = PYTHON_DOMAIN, 0, _text_of(error), b""
    if isinstance(error, SystemExit):
        message = f"the task called sys.exit({error.code!r})"
    elif isinstance(error, KeyboardInterrupt):
        message = "the task was interrupted: KeyboardInterrupt"
    elif isinstance(error, GLib.Error):
        domain, code, message = error.domain, error.code, error.message
    elif isinstance(error, _child.FunctionNotFoundError):
        domain, code, message = _raw.MP_ERROR, int(Mp.Error.NOT_FOUND), str(error)
    elif isinstance(error, _NoVariantError):
        domain, code, message = _raw.MP_ERROR, int(Mp.Error.TYPE), str(error)
    elif to_python and isinstance(error, Exception):
        pickled = _pickle_exception(error)
    error = None
    worker.fail(domain, code, _no_nul(prefix + message), _no_nul(text), pickled)


def _no_nul(text):
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _pickle_exception(error):
    error.__traceback__ = None
    try:
        return dumps(error)
    except Exception as reason:
        return dumps(_tasks.MaybeEncodingError(reason, error))


def _own_part(error):
    """The traceback without the frames of this module at its beginning."""
    entry = error.__traceback__
    while entry is not None and entry.tb_frame.f_code.co_filename == __file__:
        entry = entry.tb_next
    return entry or error.__traceback__
