# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""SharedMemory and ShareableList."""

import gc
import multiprocessing.shared_memory
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import unittest

from gi.repository import Mp

import multiprocessing_gi as mp
from multiprocessing_gi import shared_memory


METHODS = ('forkserver', 'spawn', 'fork')
STDLIB = multiprocessing.shared_memory


def fill(memory, byte):
    """Write to all of it."""
    memory.buf[:] = bytes([byte]) * memory.size


def change(shared_list):
    """Change some items."""
    shared_list[0] = 'changed'
    shared_list[-1] = None


class TestSharedMemory(unittest.TestCase):
    """SharedMemory."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.environ.__setitem__, 'XDG_RUNTIME_DIR',
                        os.environ.get('XDG_RUNTIME_DIR', ''))
        os.environ['XDG_RUNTIME_DIR'] = folder.name

    def test_as_in_multiprocessing(self):
        for module in (shared_memory, STDLIB):
            memory = module.SharedMemory(create=True, size=100)
            self.assertRegex(memory.name, '^psm_[0-9a-f]{8}$')
            self.assertEqual(memory.size, 100)
            self.assertEqual(bytes(memory.buf), bytes(100))
            self.assertFalse(memory.buf.readonly)
            memory.buf[3] = 7
            other = module.SharedMemory(memory.name, size=5000)
            self.assertEqual(other.size, 100)
            self.assertEqual(other.buf[3], 7)
            with self.assertRaises(FileExistsError):
                module.SharedMemory(memory.name, create=True, size=1)
            self.assertNotEqual(memory, other)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                third = pickle.loads(pickle.dumps(memory, protocol))
                self.assertEqual(third.buf[3], 7)
                third.close()
            part = memory.buf[1:9]
            with self.assertRaises(BufferError):
                memory.close()
            del part
            memory.close()
            memory.close()
            self.assertIsNone(memory.buf)
            self.assertEqual(memory.size, 100)
            self.assertEqual(other.buf[3], 7)
            other.unlink()
            with self.assertRaises(FileNotFoundError):
                other.unlink()
            with self.assertRaises(FileNotFoundError):
                module.SharedMemory(other.name)
            self.assertEqual(other.buf[3], 7)
            other.close()

    def test_wrong_arguments(self):
        for module in (shared_memory, STDLIB):
            for arguments in ({'create': True, 'size': -1}, {'create': True}, {}):
                with self.assertRaises(ValueError):
                    module.SharedMemory(**arguments)
            with self.assertRaises(OSError):
                module.SharedMemory('a/b', create=True, size=1)
            with self.assertRaises(FileNotFoundError):
                module.SharedMemory('no-such-memory')
        with self.assertRaisesRegex(ValueError, 'null character'):
            shared_memory.SharedMemory('a\0b', create=True, size=1)
        with self.assertRaisesRegex(OSError, 'a/b'):
            shared_memory.SharedMemory('a/b', create=True, size=1)

    def test_override(self):
        self.assertIs(Mp.SharedMemory, shared_memory.SharedMemory)
        self.assertIs(Mp.ShareableList, shared_memory.ShareableList)
        memory = Mp.SharedMemory(create=True, size=3)
        self.assertIsInstance(memory.gobject, Mp.raw.SharedMemory)
        memory.unlink()

    def test_name_outlives_close(self):
        memory = shared_memory.SharedMemory('kept', create=True, size=10)
        memory.buf[0] = 9
        memory.close()
        again = shared_memory.SharedMemory('kept')
        self.assertEqual(again.buf[0], 9)
        again.close()
        memory.unlink()

    def test_in_other_processes(self):
        for method in METHODS:
            memory = shared_memory.SharedMemory(create=True, size=70_000)
            process = mp.get_context(method).Process(target=fill, args=(memory, 8))
            process.start()
            process.join()
            self.assertEqual(process.exitcode, 0, method)
            self.assertEqual(bytes(memory.buf), b'\x08' * 70_000)
            memory.close()
            memory.unlink()

    def test_gone_with_a_killed_process(self):
        text = ("from multiprocessing_gi import shared_memory; import sys, time; "
                "m = shared_memory.SharedMemory('victim', create=True, size=10); "
                "print(1, flush=True); time.sleep(60)")
        with subprocess.Popen([sys.executable, '-c', text], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            memory = shared_memory.SharedMemory('victim')
            process.kill()
        # It is there while this process has it, and then gone.
        shared_memory.SharedMemory('victim').close()
        memory.close()
        del memory
        gc.collect()
        with self.assertRaises(FileNotFoundError):
            shared_memory.SharedMemory('victim')

    def test_numpy_sees_it_without_a_copy(self):
        try:
            import numpy
        except ImportError:
            self.skipTest('numpy is not installed')
        memory = shared_memory.SharedMemory(create=True, size=800)
        array = numpy.ndarray(100, dtype=numpy.float64, buffer=memory.buf)
        array[5] = 1.5
        self.assertEqual(struct.unpack_from('d', memory.buf, 40), (1.5,))
        with self.assertRaises(BufferError):
            memory.close()
        # The memory stays as long as a view of it.
        memory.unlink()
        del memory
        gc.collect()
        self.assertEqual(array[5], 1.5)
        shared = mp.Array('d', 10)
        view = numpy.frombuffer(shared.get_obj())
        shared[3] = 2.5
        self.assertEqual(view[3], 2.5)


class TestShareableList(unittest.TestCase):
    """ShareableList."""

    ITEMS = ['howdy', b'HoWdY', -273.154, 100, None, True, 42]

    def test_as_in_multiprocessing(self):
        for module in (shared_memory, STDLIB):
            shared = module.ShareableList(self.ITEMS)
            self.addCleanup(shared.shm.unlink)
            self.assertEqual(list(shared), self.ITEMS)
            self.assertEqual(len(shared), 7)
            self.assertEqual(shared.format, '8s8sdqxxxxxx?xxxxxxxx?q')
            texts = module.ShareableList(['', 'encodés', 'encoded ', '12345678é'])
            self.addCleanup(texts.shm.unlink)
            self.assertEqual(texts.format, '8s8s16s16s')
            self.assertEqual(list(texts), ['', 'encodés', 'encoded ', '12345678é'])
            shared[3] = 42
            shared[4] = 'some'
            shared[-2] = False
            self.assertEqual(list(shared), ['howdy', b'HoWdY', -273.154, 42, 'some', False, 42])
            self.assertEqual(shared.count(42), 2)
            self.assertEqual(shared.index(42), 3)
            for index in (7, 1000):
                with self.assertRaises(IndexError):
                    shared[index]
                with self.assertRaises(IndexError):
                    shared[index] = 1
            with self.assertRaises(TypeError):
                shared[1:3]
            with self.assertRaises(ValueError):
                shared.index('nowhere')
            for text in ('far too long', 'encod\u00e9es'):
                with self.assertRaisesRegex(ValueError, 'exceeds available storage'):
                    shared[0] = text
            for bad in ([1], object(), 1j):
                with self.assertRaises(KeyError):
                    module.ShareableList([bad])
            with self.assertRaises(struct.error):
                module.ShareableList([2**63])
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                other = pickle.loads(pickle.dumps(shared, protocol))
                other[0] = f'p{protocol}'
                self.assertEqual(shared[0], f'p{protocol}')
                other.shm.close()
            copied = module.ShareableList(shared)
            self.assertEqual(list(copied), list(shared))
            copied.shm.unlink()
            self.assertIn(shared.shm.name, repr(shared))

    def test_better_than_multiprocessing(self):
        shared = shared_memory.ShareableList(['nul\0\0', b'\0\0', 'ä\u20ac\U0001f600' * 3, ''])
        self.assertEqual(list(shared), ['nul\0\0', b'\0\0', 'ä\u20ac\U0001f600' * 3, ''])
        for index in (-5, -1000, 4):
            with self.assertRaises(IndexError):
                shared[index]
        shared.shm.close()
        with self.assertRaisesRegex(ValueError, 'closed'):
            shared[0]
        shared.shm.unlink()

    def test_in_other_processes(self):
        for method in METHODS:
            shared = shared_memory.ShareableList(self.ITEMS)
            process = mp.get_context(method).Process(target=change, args=(shared,))
            process.start()
            process.join()
            self.assertEqual(process.exitcode, 0, method)
            self.assertEqual((shared[0], shared[-1]), ('changed', None))
            shared.shm.unlink()

    def test_empty(self):
        shared = shared_memory.ShareableList()
        self.assertEqual((len(shared), shared.format, list(shared)), (0, '', []))
        shared.shm.unlink()


if __name__ == '__main__':
    unittest.main()
