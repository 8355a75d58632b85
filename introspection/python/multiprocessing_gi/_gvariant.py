# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Python objects as GVariants and back, as docs/python-gvariant.md says.

Works on the serialised form of a variant of type v (what MP_CODEC_GVARIANT
stands for), because building a GLib.Variant from Python costs ten times as much.
"""

import functools
import operator
import struct

from ._raw import GLib

__all__ = ["encode", "decode", "to_variant", "from_variant"]

# D-Bus messages end at a depth of 64 containers.
MAX_DEPTH = 60
INT64_MIN, INT64_MAX, UINT64_MAX = -2**63, 2**63 - 1, 2**64 - 1

_pack_x = struct.Struct("=q").pack
_pack_t = struct.Struct("=Q").pack
_pack_d = struct.Struct("=d").pack
_PADDING = tuple(bytes(-n % 8) for n in range(8))


def _offsets(ends, body_length):
    """The framing offsets of a container, each as wide as the whole needs."""
    count = len(ends)
    for width, limit in ((1, 0xff), (2, 0xffff), (4, 0xffffffff), (8, UINT64_MAX)):
        if body_length + width * count <= limit:
            break
    return struct.pack("=%d%s" % (count, "BHIQ"[(1, 2, 4, 8).index(width)]), *ends)


def _encode_str(value):
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise TypeError("a str with lone surrogates cannot be a GVariant string") from error
    if b"\0" in data:
        raise TypeError("a str with a NUL character cannot be a GVariant string")
    return data + b"\0"


def _encode_int(value):
    if INT64_MIN <= value <= INT64_MAX:
        return "x", 8, _pack_x(value), True
    if 0 <= value <= UINT64_MAX:
        return "t", 8, _pack_t(value), True
    raise TypeError(f"an int of {value.bit_length()} bits does not fit a GVariant, "
                    "which has 64")


def _encode_boxed(value, depth):
    """A value as the content of a v."""
    sig, _align, data, _fixed = _encode(value, depth)
    return data + b"\0" + sig.encode()


def _encode_list(value, depth):
    body, ends = bytearray(), []
    for item in value:
        body += _PADDING[len(body) & 7]
        body += _encode_boxed(item, depth + 1)
        ends.append(len(body))
    body += _offsets(ends, len(body))
    return "av", 8, bytes(body), False


def _encode_dict(value, depth):
    kinds = {int if isinstance(key, int) and not isinstance(key, bool) else type(key)
             for key in value}
    if all(issubclass(kind, str) for kind in kinds):
        sig = "a{sv}"
    elif kinds == {int}:
        sig = "a{xv}"
    else:
        raise TypeError("the keys of a dict must be all str or all int to be a GVariant, "
                        "not " + ", ".join(sorted(kind.__name__ for kind in kinds)))
    body, ends = bytearray(), []
    for key, item in value.items():
        body += _PADDING[len(body) & 7]
        boxed = _encode_boxed(item, depth + 1)
        if sig == "a{sv}":
            key = _encode_str(key)
            entry = key + _PADDING[len(key) & 7] + boxed
            entry += _offsets((len(key),), len(entry))
        else:
            key_sig, _align, key, _fixed = _encode_int(int(key))
            if key_sig != "x":
                raise TypeError("the int keys of a dict must fit 64 signed bits to be a GVariant")
            entry = key + boxed
        body += entry
        ends.append(len(body))
    body += _offsets(ends, len(body))
    return sig, 8, bytes(body), False


def _encode_tuple(value, depth):
    if not value:
        # D-Bus has no empty structure.
        return "av", 8, b"", False
    body, ends, sigs = bytearray(), [], []
    alignment, all_fixed = 1, True
    last = len(value) - 1
    for index, item in enumerate(value):
        sig, align, data, fixed = _encode(item, depth + 1)
        body += bytes(-len(body) % align)
        body += data
        sigs.append(sig)
        alignment = max(alignment, align)
        if not fixed:
            all_fixed = False
            if index != last:
                ends.append(len(body))
    if all_fixed:
        body += bytes(-len(body) % alignment)
    else:
        ends.reverse()
        body += _offsets(ends, len(body))
    return "(" + "".join(sigs) + ")", alignment, bytes(body), all_fixed


def _encode_variant(value):
    boxed = GLib.Variant("v", value)
    data = boxed.get_data_as_bytes().get_data() or b""
    return "v", 8, data, False


def _encode(value, depth):
    """(type string, alignment, bytes, whether the size is fixed) of a value."""
    if depth > MAX_DEPTH:
        raise TypeError(f"nested deeper than {MAX_DEPTH}: too deep for a GVariant")
    kind = type(value)
    if kind is str:
        return "s", 1, _encode_str(value), False
    if kind is int:
        return _encode_int(value)
    if kind is float:
        return "d", 8, _pack_d(value), True
    if kind is bool:
        return "b", 1, b"\1" if value else b"\0", True
    if value is None:
        return "g", 1, b"\0", False
    if kind is tuple:
        return _encode_tuple(value, depth)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "ay", 1, bytes(value), False
    if isinstance(value, dict):
        return _encode_dict(value, depth)
    if isinstance(value, (list, set, frozenset)):
        return _encode_list(value, depth)
    return _encode_other(value, depth)


def _encode_other(value, depth):
    """Subclasses of the simple types, GLib.Variant, and numbers of other packages."""
    if isinstance(value, GLib.Variant):
        return _encode_variant(value)
    if isinstance(value, str):
        return "s", 1, _encode_str(str.__str__(value)), False
    if isinstance(value, tuple):
        return _encode_tuple(value, depth)
    if isinstance(value, float):
        return "d", 8, _pack_d(value), True
    try:
        return _encode_int(operator.index(value))
    except TypeError:
        if isinstance(value, int) or hasattr(type(value), "__index__"):
            raise
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} has no GVariant "
                    "form; return None, bool, int, float, str, bytes, list, tuple or dict")


def encode(value):
    """The serialised form of the variant of type v that holds value.

    Raises TypeError for what has no GVariant form.
    """
    return _encode_boxed(value, 0)


def to_variant(value):
    """The GLib.Variant of a value, not wrapped in a v."""
    boxed = GLib.Variant.new_from_bytes(GLib.VariantType("v"),
                                        GLib.Bytes.new(encode(value)), True)
    return boxed.get_variant()


def from_variant(variant):
    """The Python object of a GLib.Variant."""
    boxed = GLib.Variant("v", variant)
    return decode(boxed.get_data_as_bytes().get_data())


# Reading: each type string is turned once into (alignment, fixed size or 0, reader).

_BASIC = {"b": "?", "y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "h": "i",
          "x": "q", "t": "Q", "d": "d"}
_UNPACK = {1: struct.Struct("=B"), 2: struct.Struct("=H"), 4: struct.Struct("=I"),
           8: struct.Struct("=Q")}


def _offset_width(size):
    return 1 if size <= 0xff else 2 if size <= 0xffff else 4 if size <= 0xffffffff else 8


def _up(position, alignment):
    return (position + alignment - 1) & -alignment


def _read_str(data, start, end):
    if data[end - 1]:
        raise ValueError("string without an end")
    return data[start:end - 1].decode()


def _read_signature(data, start, end):
    return _read_str(data, start, end) or None


def _read_variant(data, start, end):
    split = data.rindex(0, start, end)
    _align, size, read = _reader(data[split + 1:end].decode("ascii"))
    if size and split - start != size:
        raise ValueError("variant of a wrong size")
    return read(data, start, split)


def _array_reader(sig):
    if sig == "y":
        return lambda data, start, end: data[start:end]
    if sig in _BASIC:
        size = struct.calcsize("=" + _BASIC[sig])
        return lambda data, start, end: list(
            struct.unpack_from("=%d%s" % ((end - start) // size, _BASIC[sig]), data, start))
    align, size, read = _reader(sig)
    as_dict = sig[0] == "{"

    def fixed(data, start, end):
        items = [read(data, at, at + size) for at in range(start, end, size)]
        return dict(items) if as_dict else items

    def framed(data, start, end):
        if start == end:
            return {} if as_dict else []
        width = _offset_width(end - start)
        unpack = _UNPACK[width].unpack_from
        table = start + unpack(data, end - width)[0]
        items, position = [], start
        for at in range(table, end, width):
            stop = start + unpack(data, at)[0]
            position = _up(position, align)
            if not position <= stop <= table:
                raise ValueError("array with a wrong offset")
            items.append(read(data, position, stop))
            position = stop
        return dict(items) if as_dict else items

    return fixed if size else framed


def _struct_reader(members):
    """(alignment, fixed size or 0, reader) of a structure or dictionary entry."""
    readers = [_reader(member) for member in members]
    alignment = max((align for align, _size, _read in readers), default=1)
    if all(size for _align, size, _read in readers):
        total = 0
        for align, size, _read in readers:
            total = _up(total, align) + size
        total = _up(total, alignment) or 1
    else:
        total = 0
    last = len(readers) - 1

    def read_struct(data, start, end):
        width = _offset_width(end - start)
        unpack = _UNPACK[width].unpack_from
        frame, position, items = end, start, []
        for index, (align, size, read) in enumerate(readers):
            position = _up(position, align)
            if size:
                stop = position + size
            elif index == last:
                stop = frame
            else:
                frame -= width
                stop = start + unpack(data, frame)[0]
            if not position <= stop <= frame:
                raise ValueError("structure with a wrong offset")
            items.append(read(data, position, stop))
            position = stop
        return tuple(items)

    return alignment, total, read_struct


def _maybe_reader(sig):
    align, size, read = _reader(sig)

    def read_maybe(data, start, end):
        if start == end:
            return None
        return read(data, start, end if size else end - 1)

    return align, 0, read_maybe


def _split(sig):
    """The complete types that a type string consists of."""
    types, start = [], 0
    while start < len(sig):
        end = start
        while sig[end] in "am":
            end += 1
        if sig[end] in "({":
            depth = 0
            while True:
                depth += (sig[end] in "({") - (sig[end] in ")}")
                if depth == 0:
                    break
                end += 1
        types.append(sig[start:end + 1])
        start = end + 1
    return types


@functools.lru_cache(maxsize=512)
def _reader(sig):
    kind = sig[0]
    if kind in _BASIC:
        unpacker = struct.Struct("=" + _BASIC[kind])
        size = unpacker.size
        return size, size, lambda data, start, end: unpacker.unpack_from(data, start)[0]
    if kind in "so":
        return 1, 0, _read_str
    if kind == "g":
        return 1, 0, _read_signature
    if kind == "v":
        return 8, 0, _read_variant
    if kind == "a":
        return _reader(sig[1:])[0], 0, _array_reader(sig[1:])
    if kind == "m":
        return _maybe_reader(sig[1:])
    return _struct_reader(_split(sig[1:-1]))


def _unpack_slowly(variant):
    """For bytes that are not in normal form, by GLib's own rules."""
    kind = variant.get_type_string()
    if kind == "ay":
        return variant.get_data_as_bytes().get_data() or b""
    if kind == "g":
        return variant.get_string() or None
    if kind == "v":
        return _unpack_slowly(variant.get_variant())
    if not variant.is_container():
        return variant.unpack()
    items = [_unpack_slowly(variant.get_child_value(index))
             for index in range(variant.n_children())]
    if kind[0] == "m":
        return items[0] if items else None
    if kind.startswith("a{"):
        return dict(items)
    return items if kind[0] == "a" else tuple(items)


def decode(data):
    """The object behind the serialised form of a variant of type v."""
    data = bytes(data)
    try:
        return _read_variant(data, 0, len(data))
    except (ValueError, IndexError, KeyError, struct.error):
        boxed = GLib.Variant.new_from_bytes(GLib.VariantType("v"), GLib.Bytes.new(data), False)
        return _unpack_slowly(boxed.get_normal_form())
