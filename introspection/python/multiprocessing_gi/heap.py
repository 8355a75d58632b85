# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Blocks of shared memory in which ctypes objects live."""

import ctypes
import sys

from ._raw import GLib, Mp
from ._serialize import share, unshare

__all__ = ["BufferWrapper"]

_BYTE = Mp.ValueType.UINT8


class BufferWrapper:
    """A block of zeroed shared memory, of size bytes; it goes with its last user.

    It can be passed on to a process when that is started.
    """

    def __init__(self, size):
        if size < 0:
            raise ValueError(f"Size {size} out of range")
        if size > sys.maxsize:
            raise OverflowError(f"Size {size} too large")
        try:
            self._attach(Mp.Array.new(_BYTE, size, False))
        except GLib.Error as error:
            raise MemoryError(error.message) from error

    def _attach(self, gobject):
        self._gobject = gobject

    @property
    def gobject(self):
        """The Mp.raw.Array behind it."""
        return self._gobject

    def __getstate__(self):
        return share(self, self._gobject)

    def __setstate__(self, handle):
        self._attach(unshare(handle))

    def create_memoryview(self):
        """The memory, without a copy; it keeps the block."""
        size = self._gobject.get_length()
        view = (ctypes.c_char * size).from_address(self._gobject.get_address())
        view._owner = self._gobject
        return memoryview(view).cast("B")
