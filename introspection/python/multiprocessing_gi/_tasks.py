# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What pools and their workers tell each other: task modes, packed arrays, failures."""

import struct
from array import array

from . import _buffers, _gvariant, _raw
from ._raw import Mp
from ._serialize import loads

# The first byte of the function of a pickled task says how the payload is applied;
# the pickle of the callable follows.
CALL = b"c"          # payload (args, kwds)
EXECUTE = b"x"       # the same; SystemExit and KeyboardInterrupt are the caller's, too
ITEM = b"i"          # payload one argument
ITEMS = b"m"         # payload a tuple of arguments, result a list
STAR_ITEMS = b"s"    # payload a tuple of argument tuples, result a list

# Flags of a task from C or D-Bus, whose function is "package.module:function".
FLAG_CHUNK, FLAG_STAR = 1, 2
# Of any task: what it is applied to is in a buffer of its own.
FLAG_LONG = 8

# The domain of failures that began as a Python exception.
PYTHON_DOMAIN = "python"

OK, ERROR = 0, 1
_LONG = 2
# Results above this are unpickled in place, not copied.
_COPY_LIMIT = 1 << 16
_count_of = struct.Struct("=I").unpack_from
_HEAD = struct.Struct("=IIII")


def pack_lengths(payloads):
    """The lengths of payloads as the packed calls of libmp want them."""
    return array("I", map(len, payloads)).tobytes()


def iterate_packed(data, take):
    """The (index, status, codec, bytes) of each result of Mp.Job.take_packed().

    Long results are views of the data, or what take(), _primitives.taker_of(job), gives: None if
    that gives nothing.
    """
    if not data:
        return
    view = memoryview(data)
    position = 4 + _HEAD.size * _count_of(data)[0]
    for index, status, codec, length in _HEAD.iter_unpack(view[4:position]):
        if status == _LONG:
            taken = take(index)
            if isinstance(taken, Mp.Buffer):
                taken = _buffers.memory_of(taken), codec
            yield index, OK, *(reversed(taken) if taken else (codec, None))
            taken = None
            continue
        end = position + length
        yield index, status, codec, (view if length > _COPY_LIMIT and status == OK
                                     else data)[position:end]
        position = end


def __getattr__(name):
    # The standard library's own, for the except clauses of existing programs; late,
    # because it takes all of its connections with it.
    if name in ("MaybeEncodingError", "RemoteTraceback"):
        import multiprocessing.pool
        return getattr(multiprocessing.pool, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def failure_from(data):
    """The exception behind the payload of a failed task."""
    try:
        domain, code, message, details = _gvariant.decode(data)
    except Exception as error:
        return _raw.TaskError(f"the failure of a task cannot be read: {error}")
    return failure(domain, code, message, details.get("traceback"), details.get("exception"))


def failure(domain, code, message, traceback=None, pickled=None):
    """The exception of a failed task: the task's own when it can be rebuilt."""
    exception = None
    if pickled:
        try:
            exception = loads(pickled)
        except BaseException as error:
            exception = _raw.TaskError(f"{message} (the exception cannot be unpickled: {error!r})")
        else:
            if not isinstance(exception, BaseException):
                exception = _raw.TaskError(message)
    if exception is None:
        exception = _raw.convert_failure(domain, code, message)
    if traceback:
        from multiprocessing.pool import RemoteTraceback
        exception.__cause__ = RemoteTraceback(f'\n"""\n{traceback}"""')
    return exception
