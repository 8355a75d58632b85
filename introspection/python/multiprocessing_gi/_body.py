# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What a zygote and its children are told in a memory file.

libmp/process/mp-zygote-protocol-private.h says how it is written.
"""

import fcntl
import os
import struct

__all__ = ["Body", "make_rehearsal", "parts_of"]

# magic, kind, codec, flags, length of data and of preparation, number of arguments and
# of environment variables, fingerprint, number of surroundings, reserved
_HEAD = struct.Struct("=IIIIQQIIQII")
_MAGIC = 0x3153504D
_HAS_DATA, _HAS_PREPARATION, _HAS_ENVIRONMENT = 1, 2, 4
# What is read at once.
_FIRST_PART = 1 << 16


def _pad(length):
    return (length + 7) & ~7


class Body:
    """What is to be started, out of the memory file that describes it."""

    def __init__(self, fd):
        self._fd, self._first = fd, os.pread(fd, _FIRST_PART, 0)
        (magic, self.kind, self.codec, flags, data_length, preparation_length,
         n_argv, n_env, self.fingerprint, n_surroundings, _) = _HEAD.unpack_from(self._first)
        if magic != _MAGIC:
            raise ValueError("not a request to start a process")
        offset = _HEAD.size
        self.data = self._read(data_length, offset) if flags & _HAS_DATA else None
        offset += _pad(data_length)
        self.preparation = None
        if flags & _HAS_PREPARATION:
            self.preparation = self._read(preparation_length, offset)
        offset += _pad(preparation_length)
        size = len(self._first)
        if size == _FIRST_PART:
            size = os.fstat(fd).st_size
        strings = self._read(size - offset, offset).split(b"\0")
        self.task = os.fsdecode(strings[0])
        self.argv = [os.fsdecode(text) for text in strings[1:1 + n_argv]]
        self.environment = None
        if flags & _HAS_ENVIRONMENT:
            self.environment = strings[1 + n_argv:1 + n_argv + n_env]
        at = 1 + n_argv + n_env
        self.surroundings = [text.decode() for text in strings[at:at + n_surroundings]]

    def _read(self, length, offset):
        """All of the bytes; one call of pread() gives two gibibytes at most."""
        if offset + length <= len(self._first):
            return self._first[offset:offset + length]
        parts = []
        while length > 0:
            part = os.pread(self._fd, length, offset)
            if not part:
                raise ValueError("a request to start a process that is cut")
            parts.append(part)
            length -= len(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def parts_of(fd):
    """What a child needs of a body. The accelerator does the same, as read_start().

    Gives codec, data, preparation, [task], arguments, environment, surroundings.
    """
    body = Body(fd)
    return [body.codec, body.data, body.preparation, [body.task], body.argv, body.environment,
            body.surroundings]


def make_rehearsal():
    """A memory file with a body that asks for nothing."""
    fd = os.memfd_create("mp-start", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, _HEAD.pack(_MAGIC, *[0] * 10) + b"rehearsal\0")
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    return fd
