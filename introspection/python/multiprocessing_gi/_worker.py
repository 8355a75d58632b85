# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The worker of a pool: takes tasks, runs them, gives results, until the pool ends."""

import itertools
import os
import struct
import traceback
import types
from pickle import dumps as dumps_plain

from . import _child, _gvariant, _raw, _tasks, context, process, util
from ._buffers import Parts
from ._payloads import SHORT, dump_result
from ._primitives import ACCELERATED, Worker
from ._raw import GLib, Mp
from ._serialize import GVARIANT, PICKLE, PROTOCOL, decode, dumps, inheriting, loads
from ._tasks import FLAG_CHUNK, FLAG_LONG, FLAG_STAR, PYTHON_DOMAIN

__all__ = ["main"]

_head_of = struct.Struct("=IIII").unpack_from
_HEAD_SIZE = 16
# Payloads above this are unpickled in place, not copied.
_COPY_LIMIT = 1 << 16
# Functions that have no state of their own: one copy serves every task.
_STATELESS = (types.FunctionType, types.BuiltinFunctionType, type)
_MAX_CACHED = 256
# What a task is: a pickle, or one that is long or has buffers, or a variant.
_PLAIN, _BIG, _FROM_C = range(3)


class _NoVariantError(TypeError):
    """A result has no GVariant form."""


class _CurrentTask:
    """See pool.current_task()."""

    def __init__(self, worker):
        self._worker = worker

    @property
    def id(self):
        """The number of the task in its pool, from 1."""
        return self._worker.get_task_id()

    @property
    def attempt(self):
        """How often it was started before."""
        return self._worker.get_attempt()

    @property
    def cancelled(self):
        """Whether nobody wants its result any more."""
        return self._worker.get_cancelled()

    def report_progress(self, fraction):
        """Says how much of it is done, from 0 to 1."""
        self._worker.report_progress(fraction)


_current = None


def current_task():
    """See pool.current_task()."""
    return _current if _current is not None and _current.id else None


class Inherited:
    """What a worker has from the process that made the pool, when it was forked from it."""

    def __init__(self, name, identity, parent, daemon, initializer, arguments):
        self.name = name
        self.identity = identity
        self.parent = parent
        self.daemon = daemon
        self.initializer = initializer
        self.arguments = arguments


def main(handle, fds, preparation, inherited=None):
    """Works for the pool behind the handle; gives the exit code of the process.

    The handle is its bytes, and the descriptors are owned here.
    """
    try:
        worker = Worker(handle, fds)
    except GLib.Error as error:
        # The pool cannot be told; it sees this process end.
        _child.complain(f"A worker of a pool cannot begin: {error.message}\n")
        return 1
    number = 1 + worker.get_index()
    try:
        if inherited is not None:
            _start_inherited(inherited, number, fds)
        else:
            _start(worker, number, fds, preparation)
    except BaseException as error:
        _report(worker, error, Exception, "a worker cannot begin: "
                if isinstance(error, _child.MainModuleError)
                else "the worker's initializer failed: ")
        error = None
        util.leave_child()
        return 1
    global _current
    _current = _CurrentTask(worker)
    try:
        _work(worker)
    except GLib.Error as error:
        # The pool has gone, or its memory is corrupt: nobody is left to be told.
        util.info("the worker leaves: %s", error.message)
    util.leave_child()
    return 0


# The process object of each worker to be forked from this process.
_blank = None


def rehearse():
    """In the zygote: does once what the first call of a function makes each worker do.

    PyGObject then looks at how a function is called, and that costs a forked process the
    copying of many pages.
    """
    global _blank
    _blank = context.Process(name="worker")
    handle = GLib.Variant("v", GLib.Variant("(sua{sv}ah)", ("", 0, {
        "worker": GLib.Variant("u", 0)}, [])))
    try:
        Worker(handle.get_data_as_bytes().get_data(), [])
    except GLib.Error:
        pass
    if ACCELERATED:
        return
    for method in (Mp.Worker.get_start_data, Mp.Worker.next, Mp.Worker.succeed_and_next,
                   Mp.Worker.fail):
        try:
            method()
        except TypeError:
            pass


def _start(worker, number, fds, preparation):
    """Prepares the process, and runs the initializer of a Python pool."""
    data = worker.get_start_data()
    if not data:
        with inheriting(fds):
            _child.prepare_like(preparation, {})
        _become_worker("PoolWorker", number)
        return
    changes, (name, identity, parent, daemon), start = loads(data)
    _child.prepare_like(preparation, changes)
    initializer = None
    if start is None:
        for fd in fds:
            os.close(fd)
    else:
        current = process.current_process()
        current._inheriting = True
        try:
            with inheriting(fds):
                initializer, arguments = loads(start)
        finally:
            del current._inheriting
    _become_worker(name, number, identity, parent, daemon)
    if initializer is not None:
        initializer(*arguments)


def _start_inherited(inherited, number, fds):
    """The same, for what need not be unpickled."""
    with inheriting(fds):
        pass
    _become_worker(inherited.name, number, inherited.identity, inherited.parent,
                   inherited.daemon)
    if inherited.initializer is not None:
        inherited.initializer(*inherited.arguments)


def _become_worker(name, number, identity=(), parent=None, daemon=True):
    obj = _blank or context.Process(name="worker")
    # A ForkServerPoolWorker is a ForkServerProcess.
    obj.__class__ = getattr(context, name.replace("PoolWorker", "Process"))
    obj._name = f"{name}-{number}"
    obj._identity = (*identity, number)
    obj._config = {**process.current_process()._config, "daemon": daemon}
    parent = parent or (os.getppid(), "parent")
    obj._parent_pid, obj._parent_name = parent
    process.become(obj, *parent)


def _work(worker):
    """The loop: one call into the library for each task."""
    succeed_and_next = worker.succeed_and_next
    captured = worker.get_captured()
    cache = {}
    head, size, apply, function, kind = b"\0", 0, None, None, _PLAIN
    record = worker.next()
    while record:
        try:
            if not record.startswith(head):
                head, size, apply, function, kind = _look_up(record, cache)
            if kind == _FROM_C:
                data, codec = _run_for_c(apply, function, _read(worker, record, size)), GVARIANT
            else:
                value = apply(function, loads(record[size:]) if kind == _PLAIN and
                              len(record) < _COPY_LIMIT else _load(worker, record, size))
                # Nothing but the pickle comes out of these.
                data, codec = (dumps_plain(value, PROTOCOL) if type(value) in SHORT
                               else _dump_result(value, record)), PICKLE
        except BaseException as error:
            carried = _carried_of(record)
            value = record = data = None
            if captured:
                util.flush_std_streams()
            _report(worker, error, carried)
            error = None
            record = worker.next()
            continue
        if head not in cache:
            # What a task has left in its function must not reach the next one.
            head, function = b"\0", None
        # Nothing of the task is kept while the next one is waited for.
        value = record = None
        if captured:
            # What the task has written is its own, not that of the next one.
            util.flush_std_streams()
        try:
            if type(data) is Parts:
                worker.succeed_parts(data)
                data = None
                record = worker.next()
            else:
                record = succeed_and_next(data, codec)
        except GLib.Error as error:
            if not _raw.is_mp_error(error, Mp.Error.LIMIT):
                raise
            _report(worker, error, ())
            record = worker.next()


def _load(worker, record, size):
    """What a task is applied to, when it is long or has long buffers."""
    memory, codec = (worker.take_argument() if _head_of(record)[1] & FLAG_LONG
                     else (memoryview(record)[size:], _head_of(record)[0]))
    return decode(memory, codec)


def _read(worker, record, size):
    """The payload of a task from C."""
    if _head_of(record)[1] & FLAG_LONG:
        return bytes(worker.take_argument()[0])
    return record[size:]


def _run_for_c(apply, function, payload):
    # No bytes are no argument.
    value = apply(function, _gvariant.decode(payload)) if payload else function()
    try:
        return _gvariant.encode(value)
    except TypeError as error:
        raise _NoVariantError(str(error)) from error


def _dump_result(value, record):
    try:
        return dump_result(value)
    except Exception as error:
        if _carried_of(record) is BaseException:
            raise
        raise _tasks.MaybeEncodingError(error, value) from None


def _look_up(record, cache):
    """(head, its size, how to apply, function, what kind it is) of the task in a record."""
    codec, flags, length, _attempt = _head_of(record)
    size = _HEAD_SIZE + length + -length % 8
    head = record[:size]
    found = cache.get(head)
    if found is not None:
        return (head, size, *found)
    name = record[_HEAD_SIZE:_HEAD_SIZE + length]
    if codec == GVARIANT:
        found = (_C_CALLS[flags & (FLAG_CHUNK | FLAG_STAR)],
                 _child.find_function(name.decode()), _FROM_C)
    else:
        found = (_CALLS[name[:1]], loads(name[1:]),
                 _PLAIN if codec == PICKLE and not flags & FLAG_LONG else _BIG)
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


_CALLS = {_tasks.CALL: _call, _tasks.EXECUTE: _call, _tasks.ITEM: _call_item,
          _tasks.ITEMS: _call_items, _tasks.STAR_ITEMS: _call_star_items}
_C_CALLS = {0: _call_item, FLAG_CHUNK: _call_items, FLAG_STAR: _call_spread,
            FLAG_CHUNK | FLAG_STAR: _call_spread_items}


def _text_of(error):
    try:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    except Exception:
        return f"{type(error).__name__}: <its text cannot be made>"


def _carried_of(record):
    """Which exceptions of a task its caller is to get as they are; others are told of."""
    if _head_of(record)[0] == GVARIANT:
        return ()
    return BaseException if record[_HEAD_SIZE:].startswith(_tasks.EXECUTE) else Exception


def _report(worker, error, carried, prefix=""):
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
    if isinstance(error, GLib.Error):
        domain, code, message = error.domain, error.code, error.message
    elif isinstance(error, _child.FunctionNotFoundError):
        domain, code, message = _raw.MP_ERROR, int(Mp.Error.NOT_FOUND), str(error)
    elif isinstance(error, _NoVariantError):
        domain, code, message = _raw.MP_ERROR, int(Mp.Error.TYPE), str(error)
    elif isinstance(error, carried):
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
