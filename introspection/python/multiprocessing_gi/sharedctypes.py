# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""ctypes objects in shared memory, alone or together with a lock."""

import ctypes
import weakref

from . import _primitives
from ._serialize import assert_spawning, reduce_elsewhere, register_own
from .heap import BufferWrapper
from .synchronize import RLock

__all__ = ["RawValue", "RawArray", "Value", "Array", "copy", "synchronized"]

typecode_to_type = {
    "c": ctypes.c_char, "u": ctypes.c_wchar,
    "b": ctypes.c_byte, "B": ctypes.c_ubyte,
    "h": ctypes.c_short, "H": ctypes.c_ushort,
    "i": ctypes.c_int, "I": ctypes.c_uint,
    "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float, "d": ctypes.c_double,
}

_DATA = ctypes._SimpleCData.__mro__[1]
_registered = weakref.WeakSet()


def _type_of(typecode_or_type):
    kind = typecode_to_type.get(typecode_or_type, typecode_or_type)
    if not (isinstance(kind, type) and issubclass(kind, _DATA)):
        raise TypeError(f"{typecode_or_type!r} is neither a type code "
                        f"({' '.join(typecode_to_type)}) nor a ctypes type")
    return kind


def _place(kind, block):
    """The object of a ctypes type that lives in a block."""
    if kind not in _registered:
        register_own(kind, _reduce)
        _registered.add(kind)
    obj = kind.from_buffer(block.create_memoryview())
    obj._wrapper = block
    return obj


def _new(kind):
    return _place(kind, BufferWrapper(ctypes.sizeof(kind)))


def _reduce(obj):
    if not isinstance(getattr(obj, "_wrapper", None), BufferWrapper):
        return reduce_elsewhere(obj) or obj.__reduce__()
    assert_spawning(obj)
    if isinstance(obj, ctypes.Array):
        return _rebuild_array, (obj._type_, obj._length_, obj._wrapper)
    return _place, (type(obj), obj._wrapper)


def _rebuild_array(kind, length, block):
    return _place(kind * length, block)


def RawValue(typecode_or_type, *args):
    """A ctypes object in shared memory, zeroed and then initialized with args."""
    obj = _new(_type_of(typecode_or_type))
    obj.__init__(*args)
    return obj


def RawArray(typecode_or_type, size_or_initializer):
    """A ctypes array in shared memory: zeroed, of that many elements; or of those given."""
    kind = _type_of(typecode_or_type)
    if isinstance(size_or_initializer, int):
        if size_or_initializer < 0:
            raise ValueError(f"an array cannot have {size_or_initializer} elements")
        return _new(kind * size_or_initializer)
    obj = _new(kind * len(size_or_initializer))
    obj.__init__(*size_or_initializer)
    return obj


def _with_lock(obj, lock, ctx):
    if lock is False:
        return obj
    if lock in (True, None):
        lock = RLock(ctx=ctx)
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return synchronized(obj, lock, ctx=ctx)


# These two are classes, of which there are no instances: in the place of an introspected
# class PyGObject cannot do with a function.


class Value:
    """RawValue() together with a lock; lock is one, or True for a new one, or False for none."""

    def __new__(cls, typecode_or_type, *args, lock=True, ctx=None):
        return _with_lock(RawValue(typecode_or_type, *args), lock, ctx)


class Array:
    """RawArray() together with a lock; lock is one, or True for a new one, or False for none."""

    def __new__(cls, typecode_or_type, size_or_initializer, *, lock=True, ctx=None):
        return _with_lock(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def copy(obj):
    """A copy of a ctypes object in shared memory of its own, without a lock."""
    new = _new(type(obj))
    ctypes.memmove(ctypes.addressof(new), ctypes.addressof(obj), ctypes.sizeof(obj))
    return new


def synchronized(obj, lock=None, ctx=None):
    """obj together with a lock, a new one if None is given."""
    if isinstance(obj, SynchronizedBase):
        raise AssertionError("object already synchronized")
    return _class_for(type(obj))(obj, lock, ctx)


_classes = weakref.WeakKeyDictionary()


def _class_for(kind):
    """The class for synchronized objects of a ctypes type."""
    if issubclass(kind, ctypes._SimpleCData):
        return Synchronized
    if issubclass(kind, ctypes.Array):
        return SynchronizedString if kind._type_ is ctypes.c_char else SynchronizedArray
    try:
        return _classes[kind]
    except KeyError:
        fields = [field[0] for base in reversed(kind.__mro__)
                  for field in vars(base).get("_fields_", ())]
        members = {name: _primitives.locked_attribute(name) for name in fields}
        made = type("Synchronized" + kind.__name__, (SynchronizedBase,), members)
        _classes[kind] = made
        return made


class SynchronizedBase(_primitives.Synchronized):
    """A ctypes object in shared memory, and a lock."""

    def __init__(self, obj, lock=None, ctx=None):
        super().__init__(obj, RLock(ctx=ctx) if lock is None else lock)
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)

    def __reduce__(self):
        assert_spawning(self)
        return synchronized, (self._obj, self._lock)

    def get_obj(self):
        """The object itself."""
        return self._obj

    def get_lock(self):
        """The lock."""
        return self._lock

    def __repr__(self):
        return f"<{type(self).__name__} wrapper for {self._obj}>"


class Synchronized(SynchronizedBase):
    """A simple ctypes object and a lock."""

    value = _primitives.locked_attribute("value")


class SynchronizedArray(SynchronizedBase):
    """A ctypes array and a lock."""

    def __len__(self):
        return len(self._obj)

    def __getitem__(self, index):
        with self:
            return self._obj[index]

    def __setitem__(self, index, value):
        with self:
            self._obj[index] = value


class SynchronizedString(SynchronizedArray):
    """A ctypes array of char and a lock."""

    value = _primitives.locked_attribute("value")
    raw = _primitives.locked_attribute("raw")
