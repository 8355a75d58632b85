# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Long items: what they are made of is written into shared memory, and read there.

An object with buffers, such as an array of numpy, becomes a pickle and the buffers that
it refers to (PEP 574): the number of buffers, the length of the pickle and of each buffer,
the pickle, and the buffers, each aligned.
"""

import ctypes
import pickle
import struct

from ._raw import GLib, Mp, is_mp_error

PICKLE, PICKLE_BUFFERS = int(Mp.Codec.PICKLE), int(Mp.Codec.PICKLE_BUFFERS)

# What is shorter goes into the pickle: as long as a message that is copied, in bytes.
LIMIT = 32768
_ALIGN = 64
_COUNT = struct.Struct("=QQ")
# Up to here bytes are pickled like anything else.
_BYTES_HEADER = {bytes: b"\x80\x05\x8e", bytearray: b"\x80\x05\x96"}
_BYTES_END = b"\x94."
_EMPTY = -1


class Parts(list):
    """The parts of one message, and what they are together."""

    def __init__(self, parts, codec):
        super().__init__(parts)
        self.codec = codec


def size_of(data):
    """How many bytes there are in a pickle, or in Parts."""
    return sum(memoryview(part).nbytes for part in data) if type(data) is Parts else len(data)


def pack_bytes(obj):
    """The pickle of bytes, a bytearray or a PickleBuffer, around the bytes themselves."""
    kind = type(obj)
    if kind is pickle.PickleBuffer:
        obj = obj.raw()
        kind = kind_of(obj)
    return Parts([_BYTES_HEADER[kind] + len(obj).to_bytes(8, "little"), obj, _BYTES_END],
                 PICKLE)


def kind_of(view):
    """What a PickleBuffer with this view arrives as."""
    return bytes if view.readonly else bytearray


class Collector:
    """Takes the longer buffers of an object that is pickled."""

    def __init__(self, limit=LIMIT):
        self.views = []
        self._limit = limit

    def __call__(self, buffer):
        """Whether a buffer shall be part of the pickle."""
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < self._limit:
            return True
        self.views.append(view)
        return False

    def pack(self, data):
        """The pickle data, together with its buffers if there are any."""
        if not self.views:
            return data
        views = self.views
        header = _COUNT.pack(len(views), len(data)) + struct.pack(
            f"={len(views)}Q", *(view.nbytes for view in views))
        parts, end = [header, data], len(header) + len(data)
        for view in views:
            parts += bytes(-end % _ALIGN), view
            end += -end % _ALIGN + view.nbytes
        return Parts(parts, PICKLE_BUFFERS)


def unpack(memory):
    """The object that was packed with its buffers, which stay where they are."""
    view = memoryview(memory).cast("B")
    if view.readonly:
        # Arrays are to be writable.
        view = memoryview(bytearray(view))
    n, length = _COUNT.unpack_from(view)
    start = _COUNT.size + 8 * n
    if start + length > len(view):
        raise pickle.UnpicklingError("the item is cut")
    lengths = struct.unpack_from(f"={n}Q", view, _COUNT.size)
    data, end = view[start:start + length], start + length
    views = []
    for size in lengths:
        end += -end % _ALIGN
        if end + size > len(view):
            raise pickle.UnpicklingError("a buffer of the item is cut")
        views.append(view[end:end + size])
        end += size
    return pickle.loads(data, buffers=views)


def memory_of(buffer):
    """A view of the memory of an MpBuffer, which it keeps."""
    memory = (ctypes.c_ubyte * buffer.get_size()).from_address(buffer.get_address())
    memory.buffer = buffer
    return memoryview(memory).cast("B")


def take(gobject):
    """(memory, codec) of the next message of an MpQueue; the codec is negative if there is none."""
    try:
        buffer = gobject.get_buffer(0, None)
    except GLib.Error as error:
        if not is_mp_error(error, Mp.Error.EMPTY):
            raise OSError(error.message) from None
        return b"", _EMPTY
    return memory_of(buffer), int(buffer.get_codec())


def put(gobject, parts):
    """Puts the parts of a message; False if there is no room now. May raise GLib.Error."""
    if not gobject.wait_ready(GLib.IOCondition.OUT, 0):
        return False
    return gobject.put_buffer(fill(gobject, parts), parts.codec, 0, None)


def fill(gobject, parts):
    """An MpBuffer of an MpQueue or an MpJob, with a message of parts. May raise GLib.Error."""
    buffer = gobject.loan(size_of(parts))
    memory, end = memory_of(buffer), 0
    for part in parts:
        view = memoryview(part).cast("B")
        memory[end:end + len(view)] = view
        end += len(view)
    return buffer
