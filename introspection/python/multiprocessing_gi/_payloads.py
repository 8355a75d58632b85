# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the tasks of a pool are applied to: how it is pickled, and given to a job.

What is long is written into shared memory as it is pickled, and its worker reads it there.
"""

import pickle
from array import array
from sys import modules as _modules

from . import _tasks
from ._buffers import LIMIT, PICKLE, Parts, kind_of
from ._primitives import push_parts
from ._serialize import FromPickler, dump_all, dump_item, dumps_beside

# How many bytes are sent at once, unless one payload is longer: they are copied.
_BATCH_BYTES = 4 << 20
# So many bytes of long payloads are under way at most, if that keeps the workers busy: more would
# need memory that has to be cleared first.
_AHEAD_BYTES = 8 << 20
# What is pickled whole, wherever it is: its bytes go beside the pickle if they are long.
_WHOLE = frozenset((bytes, bytearray, array, pickle.PickleBuffer))
# Of these there is nothing long that is not in the pickle.
SHORT = frozenset((int, float, bool, str, type(None)))
# In none of these is there another object.
_FLAT = _WHOLE | SHORT


class _Beside:
    """Stands for an object of bytes in the pickle, whose bytes go beside it."""

    def __init__(self, obj):
        self.obj = obj

    def __reduce__(self):
        obj, kind = self.obj, type(self.obj)
        if kind is array:
            return _make_array, (obj.typecode, pickle.PickleBuffer(obj))
        if kind is pickle.PickleBuffer:
            return kind_of(memoryview(obj)), (obj,)
        return kind, (pickle.PickleBuffer(obj),)


class _Known:
    """Pickled after what stands for objects: to the pickler, these are the objects from then on."""

    def __init__(self, pickler, besides):
        self._pickler = pickler
        self._besides = besides

    def __reduce__(self):
        memo = self._pickler.memo.copy()
        for key, beside in self._besides.items():
            memo[key] = memo.pop(id(beside))[0], beside.obj
        self._pickler.memo = memo
        return bool, ()


class _Last:
    """A value, and what is pickled before it."""

    def __init__(self, *parts):
        self._parts = parts

    def __reduce__(self):
        return _give_last, self._parts


def _make_array(typecode, data):
    made = array(typecode)
    made.frombytes(data)
    return made


def _give_last(*parts):
    return parts[-1]


def _dump_known(value, besides, pickler):
    return _Last(*besides.values(), _Known(pickler, besides), value)


def _dump(value, objs, replace):
    """The payload of a value with these objects in it, which replace() exchanges for others."""
    kinds = set(map(type, objs))
    # What is there twice is one object at the other end, too.
    besides = {} if _WHOLE.isdisjoint(kinds) else {
        id(obj): _Beside(obj) for obj in objs
        if type(obj) in _WHOLE and memoryview(obj).nbytes >= LIMIT}
    if not besides:
        return dump_item(value)
    if kinds <= _FLAT:
        return dumps_beside(replace(lambda obj: besides.get(id(obj), obj)))
    # It may be in the others as well.
    return dumps_beside(FromPickler(_dump_known, value, besides))


def dump_call(args, kwds):
    """The payload of one call."""
    if type(args) not in (tuple, list):
        args = tuple(args)
    return _dump((args, kwds), (*args, *kwds.values()) if kwds else args, lambda other: (
        type(args)(map(other, args)), {key: other(obj) for key, obj in kwds.items()}))


def dump_result(value):
    """What a worker answers with."""
    kind = type(value)
    if kind is list or kind is tuple:
        return _dump(value, value, lambda other: kind(map(other, value)))
    if kind is array:
        return _dump(value, (value,), lambda other: other(value))
    return dump_item(value)


def dump_payloads(objs):
    """The payloads of tasks: those that may be long are pickled one by one, as they are sent."""
    kinds = set(map(type, objs))
    if kinds.isdisjoint(_WHOLE) and kinds.isdisjoint((list, tuple)) and \
            ("numpy" not in _modules or kinds <= SHORT):
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

    def forget_all_but(self, n):
        """So many tasks have no result, the last ones as a rule."""
        while len(self._sizes) > n:
            self.forget(next(iter(self._sizes)))

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
