# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the tasks of a pool are applied to: how it is pickled, and given to a job.

What is long is written into shared memory as it is pickled, and its worker reads it there.
"""

import pickle
from array import array
from sys import modules as _modules

from . import _tasks
from ._buffers import LIMIT, PICKLE, Parts
from ._primitives import push_parts
from ._serialize import dump_all, dump_item, dumps_beside

# How many bytes are sent at once, unless one payload is longer: they are copied.
_BATCH_BYTES = 4 << 20
# So many bytes of long payloads are under way at most, if that keeps the workers busy: more would
# need memory that has to be cleared first.
_AHEAD_BYTES = 8 << 20
# What is pickled whole, wherever it is: its bytes go beside the pickle if they are long.
_WHOLE = frozenset((bytes, bytearray, array))
# Of these there is nothing long that is not in the pickle.
_SHORT = frozenset((int, float, bool, str, type(None)))


class _Beside:
    """Stands for an object of bytes in the pickle, whose bytes go beside it."""

    def __init__(self, obj):
        self._obj = obj

    def __reduce__(self):
        obj = self._obj
        if type(obj) is array:
            return _make_array, (obj.typecode, pickle.PickleBuffer(obj))
        return type(obj), (pickle.PickleBuffer(obj),)


def _make_array(typecode, data):
    made = array(typecode)
    made.frombytes(data)
    return made


def _set_beside(obj):
    """What is pickled in place of an object, and whether it is another one."""
    if type(obj) in _WHOLE and memoryview(obj).nbytes >= LIMIT:
        return _Beside(obj), True
    return obj, False


def _set_all_beside(objs):
    """The same for the objects in a list or tuple."""
    if _WHOLE.isdisjoint(map(type, objs)):
        return objs, False
    # What is there twice is one object at the other end, too.
    pairs = {id(obj): _set_beside(obj) for obj in objs}
    return (type(objs)(pairs[id(obj)][0] for obj in objs),
            any(is_other for _, is_other in pairs.values()))


def dump_call(args, kwds):
    """The payload of one call."""
    args, has_long = _set_all_beside(args if type(args) in (tuple, list) else tuple(args))
    if kwds:
        values, more = _set_all_beside(tuple(kwds.values()))
        kwds, has_long = dict(zip(kwds, values)), has_long or more
    if has_long:
        return dumps_beside((args, kwds))
    return dump_item((args, kwds))


def dump_result(value):
    """What a worker answers with."""
    if type(value) is list or type(value) is tuple:
        value, has_long = _set_all_beside(value)
    else:
        value, has_long = _set_beside(value) if type(value) is array else (value, False)
    return dumps_beside(value) if has_long else dump_item(value)


def dump_payloads(objs):
    """The payloads of tasks: those that may be long are pickled one by one, as they are sent."""
    kinds = set(map(type, objs))
    if kinds.isdisjoint(_WHOLE) and kinds.isdisjoint((list, tuple)) and \
            ("numpy" not in _modules or kinds <= _SHORT):
        return dump_all(objs)
    return map(dump_result, objs)


def is_long(payload):
    """Whether a payload is sent by itself."""
    return type(payload) is Parts or len(payload) >= LIMIT


def split(payloads):
    """What is sent with one call each: lists of payloads, or a long payload."""
    portion, size = [], 0
    for payload in payloads:
        long = is_long(payload)
        if portion and (long or size + len(payload) > _BATCH_BYTES):
            yield portion
            portion, size = [], 0
        if long:
            yield payload
        else:
            portion.append(payload)
            size += len(payload)
    if portion:
        yield portion


def length_of(payload):
    """How many bytes a payload has."""
    if type(payload) is Parts:
        return sum(memoryview(part).nbytes for part in payload)
    return len(payload)


class LongOnes:
    """The long tasks of a job that have no result yet."""

    def __init__(self, busy):
        """So many of them keep the workers busy."""
        self._busy = busy
        self._n_tasks = 0  # that were ever pushed
        self._sizes = {}   # by the index of the task
        self._size = 0

    def add(self, portion):
        """What split() gave is pushed."""
        if type(portion) is list:
            self._n_tasks += len(portion)
            return
        self._sizes[self._n_tasks] = length_of(portion)
        self._size += self._sizes[self._n_tasks]
        self._n_tasks += 1

    def forget(self, index):
        """A task has its result."""
        if self._sizes:
            self._size -= self._sizes.pop(index, 0)

    def are_enough(self):
        """Whether no more should be pushed now."""
        return self._size >= _AHEAD_BYTES and len(self._sizes) >= self._busy


class Supply:
    """The tasks of a map() on their way to its job: all at once, unless they are long."""

    def __init__(self, batches, busy):
        self._portions = (portion for batch in batches for portion in split(dump_payloads(batch)))
        self._long_ones = LongOnes(busy)
        self.forget = self._long_ones.forget
        self._next = None

    def take_first(self):
        """The payloads with which the job begins, of which there may be none."""
        self._next = next(self._portions)
        if type(self._next) is not list:
            return ()
        first, self._next = self._next, None
        self._long_ones.add(first)
        return first

    def feed(self, job):
        """Pushes as much as may be under way; True if nothing is left. May raise GLib.Error."""
        while not self._long_ones.are_enough():
            portion = self._next if self._next is not None else next(self._portions, None)
            if portion is None:
                return True
            push(job, portion)
            self._next = None
            self._long_ones.add(portion)
        return False


def push(job, portion):
    """Adds what split() gave to a job. May raise GLib.Error."""
    if type(portion) is list:
        job.push_packed(b"".join(portion), _tasks.pack_lengths(portion))
        return
    if type(portion) is not Parts:
        portion = Parts([portion], PICKLE)
    push_parts(job, portion)
