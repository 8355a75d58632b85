# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Functions of __main__, however the program was started."""

import os
import subprocess
import sys
import tempfile
import textwrap
import unittest
import zipfile

METHODS = ('forkserver', 'spawn')

PROGRAM = textwrap.dedent('''\
    import sys
    import multiprocessing_gi as mp

    def double(number):
        return 2 * number

    class Pair:
        def __init__(self, left):
            self.left = left

        def __eq__(self, other):
            return self.left == other.left

    def pair(number):
        return Pair(number)

    def put(q):
        q.put(double(4))

    if __name__ == '__main__':
        mp.set_start_method(sys.argv[1])
        with mp.Pool(2) as pool:
            assert pool.map(double, range(10)) == list(range(0, 20, 2))
            assert pool.apply(pair, (3,)) == Pair(3)
        q = mp.Queue()
        process = mp.Process(target=put, args=(q,))
        process.start()
        assert q.get(timeout=30) == 8
        process.join()
        assert process.exitcode == 0
        print('fine')
''')

# A command, or the input of an interpreter, has functions nobody can import.
COMMAND = textwrap.dedent('''\
    import sys
    import multiprocessing_gi as mp
    import math
    mp.set_start_method(sys.argv[1])
    with mp.Pool(2) as pool:
        assert pool.map(math.factorial, range(5)) == [1, 1, 2, 6, 24]
    process = mp.Process(target=print, args=('from the child',))
    process.start()
    process.join()
    print('fine')
''')

UNGUARDED = textwrap.dedent('''\
    import sys
    import multiprocessing_gi as mp

    def nothing():
        print('never')

    mp.set_start_method(sys.argv[1], force=True)
    process = mp.Process(target=nothing)
    process.start()
    process.join()
    sys.exit(process.exitcode)
''')


class TestMain(unittest.TestCase):
    """Programs of several kinds."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, text=PROGRAM):
        """Write a file below the folder."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path

    def run_python(self, *arguments, **kwargs):
        """Run an interpreter; return what it did."""
        return subprocess.run([sys.executable, *arguments], cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              check=False, **kwargs)

    def check(self, *arguments, expected='fine\n', **kwargs):
        """Run a program that has to succeed, by both methods."""
        for method in METHODS:
            with self.subTest(method):
                done = self.run_python(*arguments, method, **kwargs)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, expected, ''))

    def test_script(self):
        self.check(self.write('program.py'))

    def test_script_by_relative_path(self):
        self.write('program.py')
        self.check('program.py')

    def test_script_without_suffix(self):
        self.check(self.write('program'))

    def test_module(self):
        self.write('program.py')
        self.check('-m', 'program')

    def test_module_of_a_package(self):
        self.write('package/__init__.py', '')
        self.write('package/program.py', 'from . import __name__ as own\n' + PROGRAM)
        self.check('-m', 'package.program')

    def test_folder_and_archive(self):
        # What is in such a __main__ cannot be imported, what others define can.
        program = PROGRAM
        for old, new in (('double', 'abs'), ('def abs', 'def unused'),
                         ('list(range(0, 20, 2))', 'list(range(10))'),
                         ('pool.apply(pair, (3,)) == Pair(3)', 'True'),
                         ('target=put, args=(q,)', 'target=q.put, args=(8,)')):
            program = program.replace(old, new)
        self.write('folder/__main__.py', program)
        self.check(os.path.join(self.folder, 'folder'))
        with zipfile.ZipFile(os.path.join(self.folder, 'archive.zip'), 'w') as archive:
            archive.writestr('__main__.py', program)
        self.check(os.path.join(self.folder, 'archive.zip'))

    def test_command(self):
        self.check('-c', COMMAND, expected='from the child\nfine\n')

    def test_standard_input(self):
        self.check('-', expected='from the child\nfine\n', input=COMMAND)

    def test_what_only_a_command_has(self):
        # One name that nobody has, and one that the zygote's own main module has.
        program = textwrap.dedent('''\
            import sys
            import multiprocessing_gi as mp

            def double(number):
                return 2 * number

            def take_start(*arguments):
                return arguments

            mp.set_start_method(sys.argv[1])
            with mp.Pool(1) as pool:
                for function in (double, take_start):
                    try:
                        print(pool.apply(function, (1,)))
                    except AttributeError as error:
                        print(error)
            process = mp.Process(target=double, args=(1,))
            process.start()
            process.join()
            print(process.exitcode)
            ''')
        for method in METHODS:
            with self.subTest(method):
                done = self.run_python('-c', program, method)
                self.assertEqual(done.returncode, 0, done.stderr)
                double, take_start, exit_code = done.stdout.splitlines()
                self.assertIn("attribute 'double' on <module '__main__' of a program that is no "
                              "file", double)
                self.assertIn("attribute 'take_start' on <module '__main__' of a", take_start)
                self.assertEqual(exit_code, '1')
                self.assertIn("attribute 'double' on <module '__main__' of a", done.stderr)

    def test_standard_input_closed(self):
        path = self.write('program.py')
        for method in METHODS:
            done = self.run_python('-c', 'import os, sys; os.close(0); os.execv(sys.executable, '
                                   '[sys.executable] + sys.argv[1:])', path, method)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, 'fine\n', ''))

    def test_all_standard_streams_closed(self):
        program = PROGRAM.replace("print('fine')", "open('witness', 'w').close()")
        path = self.write('program.py', program)
        for method in METHODS:
            self.run_python('-c', 'import os, sys; os.closerange(0, 3); os.execv(sys.executable, '
                            '[sys.executable] + sys.argv[1:])', path, method)
            os.unlink(os.path.join(self.folder, 'witness'))

    def test_unguarded(self):
        path = self.write('program.py', UNGUARDED)
        for method in METHODS:
            done = self.run_python(path, method)
            self.assertEqual((done.returncode, done.stdout), (1, ''))
            self.assertIn("if __name__ == '__main__':", done.stderr)

    def test_main_that_cannot_be_imported(self):
        guard = "if __name__ == '__main__':"
        program = PROGRAM.replace(
            guard, "if __name__ != '__main__': raise KeyError('only once')\nif True:")
        path = self.write('program.py', program)
        for method in METHODS:
            done = self.run_python(path, method)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('only once', done.stderr)

    def test_main_that_cannot_be_imported_by_workers(self):
        """A pool says which module it was, and why."""
        path = self.write('program.py', textwrap.dedent('''\
            import sys
            import multiprocessing_gi as mp
            if __name__ != '__main__':
                raise KeyError('only once')
            mp.set_start_method(sys.argv[1])
            with mp.Pool(2) as pool:
                try:
                    pool.map(abs, [-1])
                except mp.TaskError as error:
                    print(error)
            '''))
        for method in METHODS:
            done = self.run_python(path, method)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn('cannot begin', done.stdout)
            self.assertIn(f"main module '{path}'", done.stdout)
            self.assertIn('only once', done.stdout)

    def test_output_is_not_repeated(self):
        path = self.write('program.py', textwrap.dedent('''\
            import sys
            import multiprocessing_gi as mp
            if __name__ == '__main__':
                mp.set_start_method(sys.argv[1])
                print('parent', end=' ')
                process = mp.Process(target=print, args=('child',), kwargs={'end': ' '})
                process.start()
                process.join()
                print('parent')
            '''))
        self.check(path, expected='parent child parent\n')

    def test_exit_joins_children(self):
        path = self.write('program.py', textwrap.dedent('''\
            import sys, time
            import multiprocessing_gi as mp

            def later(text):
                time.sleep(0.3)
                print(text)

            if __name__ == '__main__':
                mp.set_start_method(sys.argv[1])
                mp.Process(target=later, args=('done',)).start()
                mp.Process(target=later, args=('never',), daemon=True).start()
                pool = mp.Pool(1)
                pool.map_async(time.sleep, [60])
            '''))
        for method in METHODS:
            done = self.run_python('-W', 'ignore', path, method)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, 'done\n', ''))

    def test_spawned_interpreter_has_the_flags(self):
        path = self.write('program.py', textwrap.dedent('''\
            import sys
            import multiprocessing_gi as mp

            def flags():
                return sys.flags.optimize, sys.warnoptions, sys.dont_write_bytecode

            if __name__ == '__main__':
                mp.set_start_method(sys.argv[1])
                with mp.Pool(1) as pool:
                    assert pool.apply(flags) == flags(), pool.apply(flags)
                print('fine')
            '''))
        self.check('-O', '-W', 'ignore::UserWarning', path)


if __name__ == '__main__':
    unittest.main()
