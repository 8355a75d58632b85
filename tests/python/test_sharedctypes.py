# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Value, Array, RawValue, RawArray and the rest of sharedctypes."""

import ctypes
import gc
import os
import pickle
import struct
import unittest

import multiprocessing
import multiprocessing.sharedctypes
import multiprocessing_gi as mp
from multiprocessing_gi import sharedctypes


METHODS = ('forkserver', 'spawn', 'fork')


class Point(ctypes.Structure):
    """A structure with two fields."""

    _fields_ = [('x', ctypes.c_int), ('y', ctypes.c_double)]


class Point3(Point):
    """A structure with inherited fields."""

    _fields_ = [('z', ctypes.c_short)]


def bump(value, array, point, number):
    """Change everything that was passed on."""
    for _ in range(number):
        with value.get_lock():
            value.value += 1
    for i, item in enumerate(array):
        array[i] = item * 2
    point.x, point.y, point.z = 7, 2.5, 3


class TestValues(unittest.TestCase):
    """What is as in multiprocessing, and what is not."""

    def test_codes(self):
        for code in 'bBhHiIlLqQfd':
            for module in (mp, multiprocessing):
                value = module.Value(code, 5)
                self.assertEqual(value.value, 5)
                value.value = 7
                self.assertEqual(value.value, 7)
                self.assertEqual(module.RawValue(code).value, 0)
                self.assertEqual(list(module.Array(code, [1, 2, 3])), [1, 2, 3])
        self.assertEqual(mp.Value('c', b'x').value, b'x')
        self.assertEqual(mp.Value('u', 'ä').value, 'ä')
        for module in (mp, multiprocessing):
            # As ctypes does it.
            self.assertEqual(module.Value('b', 300).value, 44)
            for bad in ('x', 'y', None, int):
                with self.assertRaises(TypeError):
                    module.Value(bad, 1)

    def test_locks(self):
        for module in (mp, multiprocessing):
            lock = module.Lock()
            value = module.Value('i', 1, lock=lock)
            self.assertIs(value.get_lock(), lock)
            self.assertEqual(value.get_obj().value, 1)
            self.assertTrue(value.acquire(False))
            self.assertFalse(value.acquire(False))
            value.release()
            with value:
                self.assertFalse(value.acquire(False))
            self.assertFalse(hasattr(module.Value('i', 1, lock=False), 'get_lock'))
            with self.assertRaises(AttributeError):
                module.Value('i', 1, lock='nolock')
            # The default is recursive.
            value = module.Value('i', 1)
            with value:
                value.value += 1
            self.assertEqual(value.value, 2)
            self.assertRegex(repr(value), '<Synchronized wrapper for c_int')

    def test_the_lock_is_released_when_it_goes_wrong(self):
        value = mp.Value('i', 1)
        with self.assertRaises(TypeError):
            value.value = 'x'
        self.assertEqual(repr(value.get_lock()), '<RLock(None, 0)>')
        with self.assertRaises((AttributeError, TypeError)):
            del value.value
        self.assertEqual(repr(value.get_lock()), '<RLock(None, 0)>')

    def test_arrays(self):
        for module in (mp, multiprocessing):
            array = module.Array('i', 4)
            self.assertEqual(array[:], [0, 0, 0, 0])
            array[1:3] = [5, 6]
            self.assertEqual(array[-2], 6)
            self.assertEqual(len(array), 4)
            with self.assertRaises(ValueError):
                array[0:2] = [1]
            with self.assertRaises(IndexError):
                array[4]
            with self.assertRaises(ValueError):
                module.Array('i', -1)
            with self.assertRaises(TypeError):
                module.Array('i', (n for n in range(3)))
            with self.assertRaises(TypeError):
                module.Array('i', 3, None)
            text = module.Array('c', b'hello')
            self.assertEqual(text.value, b'hello')
            text.value = b'hi'
            self.assertEqual(text.raw, b'hi\0lo')
            with self.assertRaises(ValueError):
                text.value = b'longer than that'
            self.assertEqual(len(module.Array('i', 0)), 0)

    def test_structures(self):
        point = mp.Value(Point3, 1, 2, 3)
        self.assertEqual((point.x, point.y, point.z), (1, 2, 3))
        point.x = 9
        copied = sharedctypes.copy(point.get_obj())
        point.x = 10
        self.assertEqual(copied.x, 9)
        both = sharedctypes.synchronized(copied, mp.RLock())
        self.assertEqual(both.x, 9)
        with self.assertRaises(AssertionError):
            sharedctypes.synchronized(both)

    def test_in_other_processes(self):
        for method in METHODS:
            context = mp.get_context(method)
            value, array = context.Value('q', 0), context.Array('d', [1, 2, 3])
            point = context.Value(Point3, 1, 2, 3)
            other = context.Array('i', 2)
            processes = [context.Process(target=bump, args=(value, other, point, 300))
                         for _ in range(3)]
            processes.append(context.Process(target=bump, args=(value, array, point, 100)))
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            self.assertEqual(value.value, 1000, method)
            self.assertEqual(array[:], [2, 4, 6], method)
            self.assertEqual((point.x, point.y, point.z), (7, 2.5, 3), method)

    def test_memory_goes_with_its_last_user(self):
        before = len(os.listdir('/proc/self/fd'))
        for _ in range(50):
            array = mp.RawArray('b', 1 << 20)
            array[0] = array[-1] = 1
        view = memoryview(array).cast('B')
        del array
        gc.collect()
        self.assertEqual(view[len(view) - 1], 1)
        self.assertLessEqual(len(os.listdir('/proc/self/fd')), before + 4)

    def test_views_see_the_memory(self):
        array = mp.RawArray('i', 4)
        view = memoryview(array).cast('B').cast('i')
        array[2] = 77
        self.assertEqual(view[2], 77)
        view[3] = 5
        self.assertEqual(array[3], 5)
        self.assertEqual(struct.unpack('4i', bytes(view)), (0, 0, 77, 5))

    def test_not_passed_on_later(self):
        for obj in (mp.Value('i', 1), mp.Array('i', 3), mp.RawArray('i', 3), mp.RawValue('i', 3)):
            with self.assertRaisesRegex(RuntimeError, 'inheritance'):
                mp.reducer.dumps(obj)
        with self.assertRaises(RuntimeError):
            pickle.dumps(mp.Value('i', 1))


if __name__ == '__main__':
    unittest.main()
