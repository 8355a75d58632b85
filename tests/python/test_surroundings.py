# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What processes that run Python get besides their task: limits, streams, and who they
are bound to; through the library as a C program would use it."""

import os
import select
import signal
import tempfile
import textwrap
import time
import unittest

import tasks
from multiprocessing_gi._raw import Gio, GLib, Mp

LIMIT_US = 30_000_000
METHODS = (Mp.StartMethod.FORKSERVER, Mp.StartMethod.SPAWN)
MIB = 1 << 20

MODULE = """
    import os, resource, sys, time

    def report():
        mask = os.umask(0)
        print(f"{mask:03o}", os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE)[0],
              sorted(os.sched_getaffinity(0)) == [0])

    def copy():
        sys.stdout.write(sys.__stdin__.read() if sys.stdin is None else open(0).read())
        print("problem", file=sys.stderr)

    def talk(number):
        print("out", number)
        print("err", number, file=sys.stderr)
        print("end", number, end="")

    def eat():
        pieces = []
        while True:
            pieces.append(b"x" * (2 << 20))

    def spin():
        while True:
            pass

    def sleep(path):
        with open(path + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(path + ".new", path)
        time.sleep(1000)
"""


class SurroundingsTest(unittest.TestCase):
    """The functions are in a module of their own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        with open(f"{self.directory}/mp_test_there.py", "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(MODULE))

    def context(self, method):
        """A context that finds the module."""
        context = Mp.Context.new(method, Mp.Runtime.PYTHON)
        path = self.directory + os.pathsep + os.environ.get("PYTHONPATH", "")
        context.set_environment([f"{name}={value}" for name, value
                                 in {**os.environ, "PYTHONPATH": path}.items()])
        return context

    def run_task(self, context, function, text=b""):
        """The exit code, what it wrote, and its process."""
        process = Mp.Process.new_task(context, function, None)
        for stream in range(3):
            process.set_stdio(stream, Mp.Stdio.PIPE)
        process.start(None)
        process.get_stdin_stream().write_all(text, None)
        process.get_stdin_stream().close(None)
        written = []
        for stream in (process.get_stdout_stream(), process.get_stderr_stream()):
            memory = Gio.MemoryOutputStream.new_resizable()
            memory.splice(stream, Gio.OutputStreamSpliceFlags.CLOSE_TARGET, None)
            written.append(memory.steal_as_bytes().get_data().decode())
        self.assertTrue(process.join(LIMIT_US, None))
        return process.get_exit_code(), *written, process

    def test_surroundings(self):
        """Mask, niceness, limits and processors."""
        for method in METHODS:
            with self.subTest(method=method):
                context = self.context(method)
                context.set_umask(0o37)
                context.set_nice(2)
                context.set_limit(Mp.Limit.FILES, 99)
                context.set_cpus([0])
                code, out, err, _ = self.run_task(context, "mp_test_there:report")
                self.assertEqual((code, err), (0, ""))
                self.assertEqual(out.split(), ["037", str(os.nice(0) + 2), "99", "True"])

    def test_streams(self):
        """Pipes to and from a task."""
        for method in METHODS:
            with self.subTest(method=method):
                context = self.context(method)
                code, out, err, _ = self.run_task(context, "mp_test_there:copy", b"abc")
                self.assertEqual((code, out, err), (0, "abc", "problem\n"))

    def test_limits(self):
        """One that has too much, of memory and of time, ends by that limit."""
        for function, limit, most in (("eat", Mp.Limit.MEMORY, 200 * MIB),
                                      ("spin", Mp.Limit.CPU_TIME, 1)):
            with self.subTest(function=function):
                context = self.context(Mp.StartMethod.FORKSERVER)
                context.set_limit(limit, most)
                *_, process = self.run_task(context, f"mp_test_there:{function}")
                self.assertEqual(process.get_limit_hit(), limit)
                with self.assertRaises(GLib.Error) as caught:
                    process.check_exit()
                self.assertTrue(caught.exception.matches(Mp.error_quark(), Mp.Error.LIMIT))

    def test_pool_output(self):
        """What the workers of a pool write comes line by line, with the job it is of."""
        heard = {}
        pool = Mp.Pool(context=self.context(Mp.StartMethod.FORKSERVER), n_workers=2,
                       capture_output=True)
        pool.init(None)
        pool.connect("output", lambda _, job, pid, stream, text:
                     heard.setdefault(job, []).append((stream, text)))
        jobs = [pool.submit("mp_test_there:talk", GLib.Variant("x", number), None)
                for number in range(20)]
        deadline = time.monotonic() + 30
        while sum(map(len, heard.values())) < 60 and time.monotonic() < deadline:
            GLib.MainContext.default().iteration(False)
            time.sleep(0.002)
        for number, job in enumerate(jobs):
            self.assertEqual(sorted(heard[job.get_id()]),
                             [(1, f"end {number}"), (1, f"out {number}"), (2, f"err {number}")])
        pool.close()
        self.assertTrue(pool.join(LIMIT_US, None))

    def test_missing(self):
        """A module or a function that is not there: both are named."""
        for method in METHODS:
            for function in ("mp_test_gone:function", "mp_test_there:gone"):
                with self.subTest(method=method, function=function):
                    code, _, err, _ = self.run_task(self.context(method), function)
                    self.assertEqual(code, 1)
                    for name in function.split(":"):
                        self.assertIn(name, err)

    def test_missing_in_pool(self):
        """The same of a task: the error of its job names both."""
        pool = Mp.Pool(context=self.context(Mp.StartMethod.FORKSERVER), n_workers=1)
        pool.init(None)
        for function in ("mp_test_gone:function", "mp_test_there:gone"):
            with self.subTest(function=function):
                with self.assertRaises(GLib.Error) as caught:
                    pool.apply(function, None, LIMIT_US, None)
                self.assertTrue(caught.exception.matches(Mp.error_quark(), Mp.Error.NOT_FOUND))
                for name in function.split(":"):
                    self.assertIn(repr(name), caught.exception.message)
        pool.close()
        self.assertTrue(pool.join(LIMIT_US, None))

    def test_outlives(self):
        """Neither the end of its zygote nor that of its parent ends it."""
        for method in METHODS:
            with self.subTest(method=method):
                context = self.context(method)
                context.set_outlive_parent(True)
                path = f"{self.directory}/pid-{int(method)}"
                process = Mp.Process.new_task(context, "mp_test_there:sleep",
                                              GLib.Variant("s", path))
                process.start(None)
                self.addCleanup(process.kill)
                while not os.path.exists(path):
                    self.assertTrue(process.get_alive())
                    time.sleep(0.002)
                zygote = os.pidfd_open(context.get_zygote_pid())
                os.kill(context.get_zygote_pid(), signal.SIGKILL)
                self.assertTrue(select.select([zygote], [], [], 30)[0])
                os.close(zygote)
                with self.assertRaises(GLib.Error):
                    process.join(20000, None)
                self.assertTrue(process.get_alive())
                process.kill()
                self.assertTrue(process.join(LIMIT_US, None))

    def test_all_that_outlive_begin(self):
        """Their parent may end as soon as it has started them."""
        for _ in range(5):
            code, out, err = tasks.run_script("""
                import multiprocessing_gi as mp, os, threading

                def say():
                    os.write(1, b".")

                if __name__ == "__main__":
                    context = mp.get_context("forkserver")
                    first, *processes = [context.Process(target=say, outlive_parent=True)
                                         for _ in range(21)]
                    first.start()
                    first.join()
                    threads = [threading.Thread(target=process.start) for process in processes]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                    os._exit(7)
            """)
            self.assertEqual((code, out), (7, 21 * "."), err)


if __name__ == "__main__":
    unittest.main()
