# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Memory and lists that processes share by a name.

There is no file behind a name, and no process that would have to clean up. A name is
there until it is unlinked, or until the process that created the memory has ended and no
other one has it attached.
"""

import ctypes
import errno
import os
import struct
import types
import weakref

from ._raw import GLib, Mp, is_mp_error

__all__ = ["SharedMemory", "ShareableList"]

_USE_POSIX = True
_SHM_NAME_PREFIX = "/psm_"


def _make_filename():
    """A name that nobody has, with a slash before it."""
    return _SHM_NAME_PREFIX + os.urandom(4).hex()


def _convert(error, name):
    """The exception for a GLib.Error about a name."""
    for code, number in ((Mp.Error.EXISTS, errno.EEXIST), (Mp.Error.NOT_FOUND, errno.ENOENT),
                         (Mp.Error.INVALID_ARGUMENT, errno.EINVAL),
                         (Mp.Error.LIMIT, errno.ENOMEM)):
        if is_mp_error(error, code):
            return OSError(number, os.strerror(number) + ": " + error.message, name)
    return OSError(error.message)


class SharedMemory:
    """A block of memory with a name.

    create=True makes one of size bytes, filled with zeroes, else the one with that name is
    attached. track is there for compatibility: nothing has to be tracked.
    """

    _name = None
    _gobject = None
    _memory = None
    _buf = None
    _flags = os.O_RDWR

    def __init__(self, name=None, create=False, size=0, *, track=True):
        if not size >= 0:
            raise ValueError("'size' must be a positive integer")
        if create:
            self._flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
            if size == 0:
                raise ValueError("'size' must be a positive number different from zero")
        if name is None:
            if not self._flags & os.O_EXCL:
                raise ValueError("'name' can only be None if create=True")
            self._attach(self._create_unnamed(size))
        else:
            if "\0" in name:
                raise ValueError(f"embedded null character in {name!r}")
            self._name = "/" + name
            self._attach(self._open_or_create(size))

    def _create_unnamed(self, size):
        while True:
            self._name = _make_filename()
            try:
                return self._create(size)
            except FileExistsError:
                continue

    def _open_or_create(self, size):
        if not self._flags & os.O_CREAT:
            return self._open()
        while True:
            try:
                return self._create(size)
            except FileExistsError:
                if self._flags & os.O_EXCL:
                    raise
            except OSError as error:
                if size != 0 or error.errno != errno.EINVAL:
                    raise
                return self._open()
            try:
                return self._open()
            except FileNotFoundError:
                continue

    def _create(self, size):
        try:
            gobject = Mp.SharedMemory.new_named(self.name, size)
        except GLib.Error as error:
            raise _convert(error, self._name) from None
        # Closing it does not yet give up the name.
        gobject.keep()
        return gobject

    def _open(self):
        try:
            return Mp.SharedMemory.open(self.name)
        except GLib.Error as error:
            raise _convert(error, self._name) from None

    @classmethod
    def _of(cls, gobject):
        """The object for memory that is there already, with its name."""
        self = cls.__new__(cls)
        self._name = "/" + gobject.get_name()
        self._attach(gobject)
        return self

    def _attach(self, gobject):
        self._gobject = gobject
        self._size = gobject.get_size()
        # What views of it keep: a part of memory that keeps the object.
        self._memory = (ctypes.c_ubyte * self._size).from_address(gobject.get_address())
        self._memory._owner = gobject
        self._buf = memoryview(self._memory).cast("B")

    @property
    def gobject(self):
        """The Mp.raw.SharedMemory behind it; None when it is closed."""
        return self._gobject

    @property
    def buf(self):
        """A memoryview of the memory, without a copy; None when it is closed."""
        return self._buf

    @property
    def name(self):
        """The name by which others attach it."""
        return self._name.lstrip("/")

    @property
    def size(self):
        """How many bytes it has."""
        return self._size

    def close(self):
        """Gives up this object's access; BufferError while views of buf are in use."""
        if self._memory is None:
            return
        if self._buf is not None:
            self._buf.release()
        # Slices of buf are views of their own, and keep the memory.
        reference, owner = weakref.ref(self._memory), self._gobject
        self._memory = self._buf = None
        memory = reference()
        if memory is not None:
            self._memory = memory
            self._buf = memoryview(memory).cast("B")
            raise BufferError(f"views of shared memory {self.name!r} are still in use")
        del owner
        self._gobject = None

    def unlink(self):
        """Frees the name; who has the memory keeps it. FileNotFoundError if it is gone."""
        gobject = self._gobject or self._open()
        try:
            gobject.unlink()
        except GLib.Error as error:
            raise _convert(error, self._name) from None

    def __reduce__(self):
        return type(self), (self.name, False, self.size)

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}, size={self.size})"


def _from_bytes(data):
    return GLib.Variant.new_from_bytes(GLib.VariantType("ay"), GLib.Bytes.new(data), True)


def _from_str(text):
    data = text.encode()
    # A variant of type s ends at the first zero byte.
    if b"\0" in data:
        return GLib.Variant.new_tuple(_from_bytes(data))
    return GLib.Variant.new_string(text)


def _from_int(number):
    if not -2**63 <= number < 2**63:
        raise struct.error(f"{number} does not fit an item of 64 bits")
    return GLib.Variant.new_int64(number)


_TO_VARIANT = {
    int: _from_int, float: GLib.Variant.new_double, bool: GLib.Variant.new_boolean,
    str: _from_str, bytes: _from_bytes,
    type(None): lambda _none: GLib.Variant.new_tuple(),
}
_FROM_VARIANT = {
    "x": GLib.Variant.get_int64, "d": GLib.Variant.get_double, "b": GLib.Variant.get_boolean,
    "s": GLib.Variant.get_string, "mv": lambda _variant: None,
    "ay": lambda variant: variant.get_data_as_bytes().get_data() or b"",
    "(ay)": lambda variant: _FROM_VARIANT["ay"](variant.get_child_value(0)).decode(),
}
_FORMATS = {int: "q", float: "d", bool: "xxxxxxx?", type(None): "xxxxxx?x"}


def _to_variant(value):
    try:
        convert = _TO_VARIANT[type(value)]
    except KeyError:
        raise KeyError(f"a list in shared memory cannot hold a {type(value).__name__}: only int, "
                       "float, bool, str, bytes and None") from None
    return convert(value)


class ShareableList:
    """A list of fixed length in shared memory, whose items can be replaced.

    Items are int (of 64 bits), float, bool, str, bytes or None. A bytes item has room
    for as many as it was made with, at least one more, up to a multiple of 8; a str item for the
    same number of its characters, and for all of its bytes.
    With a name and no sequence, the list of that name is attached.
    """

    def __init__(self, sequence=None, *, name=None):
        if name is not None and sequence is None:
            self._attach(self._call(Mp.ShareableList.open, name))
            return
        items = [_to_variant(item) for item in (() if sequence is None else sequence)]
        builder = GLib.VariantBuilder(GLib.VariantType("av"))
        for item in items:
            builder.add_value(GLib.Variant.new_variant(item))
        items = builder.end()
        self._attach(self._create(items, name))
        self._gobject.get_memory().keep()

    @staticmethod
    def _call(function, name, *args):
        try:
            return function(name, *args)
        except GLib.Error as error:
            raise _convert(error, "/" + name) from None

    def _create(self, items, name):
        if name is not None:
            return self._call(Mp.ShareableList.new_named, name, items)
        while True:
            try:
                return self._call(Mp.ShareableList.new_named, _make_filename()[1:], items)
            except FileExistsError:
                continue

    def _attach(self, gobject):
        self._gobject = gobject
        self.shm = SharedMemory._of(gobject.get_memory())

    @property
    def gobject(self):
        """The Mp.raw.ShareableList behind it; ValueError when its shm is closed."""
        if self.shm.gobject is None:
            self._gobject = None
            raise ValueError(f"the shared memory of list {self.shm.name!r} is closed")
        return self._gobject

    def __getitem__(self, index):
        try:
            variant = self.gobject.get_item(index)
        except GLib.Error as error:
            raise _list_error(error, "index out of range") from None
        return _FROM_VARIANT[variant.get_type_string()](variant)

    def __setitem__(self, index, value):
        try:
            self.gobject.set_item(index, _to_variant(value))
        except GLib.Error as error:
            raise _list_error(error, "assignment index out of range") from None

    def __len__(self):
        return self.gobject.get_length()

    def __reduce__(self):
        return _open_list, (type(self), self.shm.name)

    def __repr__(self):
        return f"{type(self).__name__}({list(self)}, name={self.shm.name!r})"

    def _get_packing_format(self, index):
        kind = type(self[index])
        return _FORMATS.get(kind) or f"{self.gobject.get_room(index)}s"

    @property
    def format(self):
        """The items' types, as the standard library writes them with struct."""
        return "".join(self._get_packing_format(index) for index in range(len(self)))

    def count(self, value):
        """How many items are equal to value."""
        return sum(value == item for item in self)

    def index(self, value):
        """The place of the first item that is equal to value; ValueError if none is."""
        for place, item in enumerate(self):
            if value == item:
                return place
        raise ValueError(f"{value!r} not in this container")

    __class_getitem__ = classmethod(types.GenericAlias)


def _open_list(kind, name):
    return kind(name=name)


def _list_error(error, text):
    """The exception for a GLib.Error of a list."""
    if is_mp_error(error, Mp.Error.INVALID_ARGUMENT):
        return IndexError(text)
    if is_mp_error(error, Mp.Error.LIMIT):
        return ValueError("bytes/str item exceeds available storage: " + error.message)
    return OSError(error.message)
