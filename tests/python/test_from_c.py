# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The Python worker as programs in other languages use it: through the plain library."""

import os
import tempfile
import textwrap
import unittest

from gi.repository import GLib, Mp

raw = Mp.raw


def variant(text):
    """A GVariant from its text."""
    return GLib.Variant.parse(None, text, None, None)


MODULES = {
    'mp_test_tasks.py': '''
        import sys

        number = 5

        def add(left, right=10):
            return left + right

        def fail(text):
            raise ValueError(text)

        def leave(code):
            sys.exit(code)

        def kind(value):
            return type(value).__name__

        def give(value):
            return {"none": None, "big": 2 ** 64, "object": object()}[value]

        class Class:
            @staticmethod
            def method(value):
                return [value]
    ''',
    'mp_test_broken.py': '''
        import mp_test_tasks
        raise OSError("half way through")
    ''',
}


class TestFromC(unittest.TestCase):
    """GVariants in, GVariants out."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        for name, text in MODULES.items():
            path = os.path.join(cls.folder.name, name)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(textwrap.dedent(text))
        cls.context = raw.Context.new(raw.StartMethod.FORKSERVER, raw.Runtime.PYTHON)
        environ = GLib.environ_setenv(
            GLib.get_environ(), 'PYTHONPATH',
            cls.folder.name + os.pathsep + os.environ.get('PYTHONPATH', ''), True)
        cls.context.set_environment(environ)
        cls.pool = raw.Pool.new(cls.context, 2)

    @classmethod
    def tearDownClass(cls):
        cls.pool.terminate()
        cls.pool.join(-1, None)
        cls.folder.cleanup()

    def apply(self, function, text):
        """Apply to a GVariant text; return the text of the result."""
        return self.pool.apply(function, variant(text), 20_000_000, None).print_(True)

    def fails(self, function, text):
        """Apply what has to fail; return the error."""
        with self.assertRaises(GLib.Error) as caught:
            self.apply(function, text)
        return caught.exception

    def test_values(self):
        self.assertEqual(self.apply('math:factorial', 'int32 20'), 'int64 2432902008176640000')
        self.assertEqual(self.apply('math:factorial', 'byte 0x03'), 'int64 6')
        self.assertEqual(self.apply('mp_test_tasks:Class.method', "'a'"), "[<'a'>]")
        self.assertEqual(self.apply('mp_test_tasks:give', "'none'"), "signature ''")
        self.assertEqual(self.apply('mp_test_tasks:kind', "b'abc'"), "'bytes'")
        self.assertEqual(self.apply('collections:Counter', "'aab'"),
                         "{'a': <int64 2>, 'b': <int64 1>}")

    def test_map(self):
        result = self.pool.map('math:factorial', variant('[1, 2, 3, 4, 5]'), 2, 20_000_000, None)
        self.assertEqual(result.unpack(), [1, 2, 6, 24, 120])
        for chunk in (1, 2):
            result = self.pool.starmap('mp_test_tasks:add', variant('[(1, 2), (3, 4)]'), chunk,
                                       20_000_000, None)
            self.assertEqual(result.unpack(), [3, 7])
        result = self.pool.starmap(
            'mp_test_tasks:add',
            variant("@a(ava{sv}) [([<1>], {'right': <5>}), ([<1>, <2>], {}), ([<1>], {})]"), 1,
            20_000_000, None)
        self.assertEqual(result.unpack(), [6, 3, 11])

    def test_errors(self):
        error = self.fails('mp_test_tasks:fail', "'oh'")
        self.assertIn('ValueError: oh', error.message)
        error = self.fails('mp_test_tasks:leave', '3')
        self.assertIn('sys.exit(3)', error.message)
        error = self.fails('mp_test_absent:function', '1')
        self.assertTrue(error.matches(raw.error_quark(), raw.Error.NOT_FOUND), error)
        self.assertIn('mp_test_absent', error.message)
        error = self.fails('math:absent', '1')
        self.assertTrue(error.matches(raw.error_quark(), raw.Error.NOT_FOUND), error)
        self.assertIn('absent', error.message)
        for name in ('math', ':x', 'math:', 'mp_test_tasks:number'):
            self.fails(name, '1')
        error = self.fails('mp_test_broken:function', '1')
        self.assertIn('half way through', error.message)

    def test_traceback(self):
        job = self.pool.submit('mp_test_broken:function', variant('1'))
        with self.assertRaises(GLib.Error):
            job.wait(20_000_000, None)
            job.get_result()
        self.assertIn('mp_test_broken.py', job.dup_traceback())

    def test_types(self):
        for name in ('big', 'object'):
            error = self.fails('mp_test_tasks:give', f"'{name}'")
            self.assertTrue(error.matches(raw.error_quark(), raw.Error.TYPE), error)

    def test_process(self):
        for arguments, code in ((('mp_test_tasks:leave', variant('3')), 3),
                                (('mp_test_tasks:kind', variant('3')), 0),
                                (('sys:exit', None), 0)):
            process = raw.Process.new_task(self.context, *arguments)
            process.start(None)
            self.assertTrue(process.join(20_000_000, None))
            self.assertEqual(process.get_exit_code(), code)


if __name__ == '__main__':
    unittest.main()
