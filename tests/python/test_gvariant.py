# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Python objects as GVariants and back, by the rules of docs/python-gvariant.md."""

import enum
import random
import unittest

from gi.repository import GLib

from multiprocessing_gi import _gvariant

# Python object, GVariant text
BOTH_WAYS = (
    (None, "signature ''"),
    (True, 'true'),
    (False, 'false'),
    (0, 'int64 0'),
    (-2**63, 'int64 -9223372036854775808'),
    (2**63 - 1, 'int64 9223372036854775807'),
    (2**63, 'uint64 9223372036854775808'),
    (2**64 - 1, 'uint64 18446744073709551615'),
    (1.5, '1.5'),
    ('', "''"),
    ('grün', "'grün'"),
    ([], '@av []'),
    ([1, 'a'], "[<int64 1>, <'a'>]"),
    ([[], [None]], "[<@av []>, <[<signature ''>]>]"),
    ((1, 'a'), "(int64 1, 'a')"),
    (('a', 'b', True), "('a', 'b', true)"),
    ((True, 2, False), '(true, int64 2, false)'),
    ({}, '@a{sv} {}'),
    ({'a': 1, 'bc': [2.5]}, "{'a': <int64 1>, 'bc': <[<2.5>]>}"),
    ({1: 'a', -2: None}, "{int64 1: <'a'>, -2: <signature ''>}"),
)

# GVariant text, Python object: types that Python does not make itself
FROM_OTHERS = (
    ('byte 0x07', 7),
    ('int16 -3', -3),
    ('uint16 3', 3),
    ('int32 -70000', -70000),
    ('uint32 70000', 70000),
    ("objectpath '/a/b'", '/a/b'),
    ("signature 'a{sv}'", 'a{sv}'),
    ('@mi 3', 3),
    ('@ms nothing', None),
    ("@as ['a', 'b', '']", ['a', 'b', '']),
    ('@ai [1, 2]', [1, 2]),
    ('@a(xd) [(1, 2.5), (2, 3.5)]', [(1, 2.5), (2, 3.5)]),
    ("@a{si} {'a': 1}", {'a': 1}),
    ("@a{ii} {1: 2, 3: 4}", {1: 2, 3: 4}),
    ("(byte 1, 'x', @ai [], (true, byte 2))", (1, 'x', [], (True, 2))),
    ("<<'x'>>", 'x'),
    ("[{'a': 1}, {}]", [{'a': 1}, {}]),
    ('@() ()', ()),
)


def random_object(depth=0):
    """An object of the types that travel."""
    if depth > 4 or random.random() < 0.5:
        return random.choice((
            None, True, False, random.randrange(-2**63, 2**64), random.random(),
            'x' * random.randrange(300), bytes(random.randrange(300))))
    items = [random_object(depth + 1) for _ in range(random.randrange(6))]
    kind = random.randrange(4)
    if kind == 0:
        return items
    if kind == 1:
        return tuple(items) or []
    if kind == 2:
        return {str(random.random()) * random.randrange(1, 9): item for item in items}
    return {random.randrange(-9, 9): item for item in items}


class TestGVariant(unittest.TestCase):
    """The mapping."""

    def test_both_ways(self):
        for value, text in BOTH_WAYS:
            with self.subTest(text):
                variant = GLib.Variant.parse(None, text, None, None)
                made = _gvariant.to_variant(value)
                self.assertEqual(made.print_(True), variant.print_(True))
                self.assertTrue(made.is_normal_form())
                back = _gvariant.from_variant(variant)
                self.assertEqual(back, value)
                self.assertIs(type(back), type(value))

    def test_bytes(self):
        for value in (b'', b'\0', b'abc\0', bytearray(b'abc'), memoryview(b'abc')):
            made = _gvariant.to_variant(value)
            self.assertEqual(made.get_type_string(), 'ay')
            self.assertEqual(_gvariant.from_variant(made), bytes(value))

    def test_from_others(self):
        for text, value in FROM_OTHERS:
            with self.subTest(text):
                variant = GLib.Variant.parse(None, text, None, None)
                self.assertEqual(_gvariant.from_variant(variant), value)

    def test_relatives(self):
        class Colour(enum.IntEnum):
            RED = 3

        class Name(str):
            pass

        class Index:
            def __index__(self):
                return 7

        for value, plain in ((Colour.RED, 3), (Name('n'), 'n'), (Index(), 7), ({1, 2}, [1, 2]),
                             (frozenset([1]), [1]), ((), []),
                             (GLib.Variant('as', ['a']), ['a'])):
            self.assertEqual(_gvariant.decode(_gvariant.encode(value)), plain)

    def test_no_form(self):
        loop = []
        loop.append(loop)
        for value in (2**64, -2**63 - 1, [2**100], object(), 1j, {1: 2, 'a': 3}, {1.5: 2},
                      {2**63: 1}, 'a\0b', '\ud800', {'a\0': 1}, loop):
            with self.subTest(type(value)), self.assertRaises(TypeError) as caught:
                _gvariant.encode(value)
            self.assertTrue(str(caught.exception))

    def test_any_object(self):
        for _ in range(500):
            value = random_object()
            data = _gvariant.encode(value)
            boxed = GLib.Variant.new_from_bytes(GLib.VariantType('v'), GLib.Bytes.new(data), False)
            self.assertTrue(boxed.is_normal_form(), value)
            self.assertEqual(_gvariant.decode(data), value)
            self.assertEqual(_gvariant._unpack_slowly(boxed), value)

    def test_big_containers(self):
        for value in ({f'key {number}': number for number in range(10_000)},
                      ['x' * 70_000, 'y'], ('a' * 300, 'b' * 70_000, 'c')):
            self.assertEqual(_gvariant.decode(_gvariant.encode(value)), value)

    def test_damaged(self):
        """Bytes that are no GVariant give something, and never an exception."""
        data = bytearray(_gvariant.encode({'a': [1, 'b', (2.5, 'c')], 'd': {1: b'e'}}))
        for _ in range(2000):
            damaged = bytearray(data)
            for _ in range(random.randrange(1, 4)):
                damaged[random.randrange(len(damaged))] = random.randrange(256)
            _gvariant.decode(damaged[:random.randrange(len(damaged) + 1)])


if __name__ == '__main__':
    unittest.main()
