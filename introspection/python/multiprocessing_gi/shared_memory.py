# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Memory and lists that processes share by a name.

There is no file behind a name, and no process that would have to clean up: a name is
there until it is unlinked, or until every process that created or has this memory is gone.
"""

import ctypes
import errno
import os
import secrets
import sys
import types
import weakref

from ._raw import GLib, Mp, is_mp_error
from . import _gvariant

__all__ = ["SharedMemory", "ShareableList"]

_USE_POSIX = True
_SHM_NAME_PREFIX = "/psm_"


def _make_filename():
    """A name that nobody has, with a slash before it."""
    return _SHM_NAME_PREFIX + secrets.token_hex(4)


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

    def __del__(self):
        try:
            self.close()
        except (BufferError, OSError, TypeError):
            pass

    def __reduce__(self):
        return type(self), (self.name, False, self.size)

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}, size={self.size})"
