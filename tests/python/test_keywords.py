# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The keywords by which a process gets limits, processors and streams of its own."""

import os
import resource
import subprocess
import sys
import tempfile
import unittest

import multiprocessing_gi as mp
from multiprocessing_gi._raw import GLib, Mp

METHODS = ("forkserver", "spawn")
MIB = 1 << 20
UNPRIVILEGED = 65534


def tell():
    """Print what the process has."""
    mask = os.umask(0)
    print(f"{mask:03o} {os.nice(0)} {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}",
          sorted(os.sched_getaffinity(0)))
    print("problem", file=sys.stderr)


def tell_parent(_nothing=None):
    """Give what the process has, and who forked it."""
    return os.getppid(), os.nice(0), resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def send_parent(queue):
    """The same, through a queue."""
    queue.put(tell_parent())


def echo():
    """Print the standard input twice."""
    with open(0, closefd=False) as file:
        text = file.read()
    print(text + text, end="")


def eat():
    """Take more and more memory."""
    pieces = []
    while True:
        pieces.append(b"x" * (2 * MIB))


def spin():
    """Take processor time."""
    while True:
        pass


def start_beyond_limit():
    """As somebody who may not raise a limit: start a process with a greater one."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))
    os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    try:
        mp.Process(target=tell, limits={"file_size": 2 * MIB}).start()
    except mp.LimitError as error:
        os.write(2, str(error).encode())
        return
    os._exit(7)


class KeywordsTest(unittest.TestCase):
    """Of processes and of pools."""

    def run_process(self, target, method="forkserver", **keywords):
        """The exit code, and what it wrote into the pipes."""
        process = mp.get_context(method).Process(target=target, **keywords)
        process.start()
        written = []
        for file in (process.stdout, process.stderr):
            if file is not None:
                with file:
                    written.append(file.read().decode())
        process.join()
        return process.exitcode, *written

    def test_surroundings(self):
        """Mask, niceness, limits and processors."""
        for method in METHODS:
            with self.subTest(method=method):
                result = self.run_process(tell, method, umask=0o37, nice=2, cpus=[0],
                                          limits={"files": 99}, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE)
                self.assertEqual(result, (0, f"037 {os.nice(0) + 2} 99 [0]\n", "problem\n"))

    def test_same_zygote(self):
        """What is another's own costs no second zygote."""
        queue = mp.Queue()
        parents = []
        for nice in (0, 1, 2):
            process = mp.Process(target=send_parent, args=(queue,), nice=nice)
            process.start()
            parent, got, _ = queue.get()
            parents.append(parent)
            self.assertEqual(got, os.nice(0) + nice)
            process.join()
        self.assertEqual(set(parents), {mp.get_context("forkserver").gobject.get_zygote_pid()})

    def test_streams(self):
        """Pipes, files, descriptors, nothing."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "file")
            for how in (path, os.fsencode(path), None):
                with self.subTest(how=how), open(path, "wb+") as file:
                    self.assertEqual(self.run_process(tell, stdout=how or file,
                                                      stderr=subprocess.STDOUT), (0,))
                    file.seek(0)
                    self.assertTrue(file.read().endswith(b"problem\n"))
        self.assertEqual(self.run_process(tell, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.PIPE), (0, "problem\n"))

    def test_input(self):
        """A pipe to the standard input."""
        for method in METHODS:
            with self.subTest(method=method):
                process = mp.get_context(method).Process(
                    target=echo, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertIsNone(process.stdin)
                process.start()
                with process.stdin as file:
                    file.write(b"text ")
                with process.stdout as file:
                    self.assertEqual(file.read(), b"text text ")
                process.join()

    def test_lines(self):
        """A function is called with each line, by the main loop."""
        lines = []
        process = mp.Process(target=tell, stdout=lines.append,
                             stderr=lambda line: lines.append(("error", line)))
        process.start()
        context = GLib.MainContext.default()
        timer = GLib.timeout_add_seconds(30, lambda: GLib.SOURCE_CONTINUE)
        self.addCleanup(GLib.source_remove, timer)
        deadline = GLib.get_monotonic_time() + 30_000_000
        while len(lines) < 2 and GLib.get_monotonic_time() < deadline:
            context.iteration(True)
        process.join()
        self.assertIn(("error", "problem"), lines)
        self.assertEqual(len(lines), 2)

    def test_limits(self):
        """One that has too much, of memory and of time, ends by that limit."""
        for target, limits, hit in ((eat, {"memory": 200 * MIB}, Mp.Limit.MEMORY),
                                    (spin, {"cpu_time": 1}, Mp.Limit.CPU_TIME)):
            with self.subTest(target=target):
                process = mp.Process(target=target, limits=limits)
                process.start()
                process.join()
                self.assertLess(process.exitcode, 0)
                self.assertEqual(process.props.limit_hit, hit)

    @unittest.skipUnless(os.getuid() == 0, "it takes root to become nobody")
    def test_refused(self):
        """A limit that the system refuses is an error of start(), which names it."""
        process = mp.Process(target=start_beyond_limit, stderr=subprocess.PIPE)
        process.start()
        with process.stderr as file:
            text = file.read().decode()
        process.join()
        self.assertEqual(process.exitcode, 0, text)
        self.assertRegex(text, f"refuses a limit on .* of {2 * MIB}")

    def test_pool(self):
        """Workers have them, too."""
        with mp.Pool(2, nice=3, limits={"files": 99}) as pool:
            for _, nice, files in pool.map(tell_parent, range(4), chunksize=1):
                self.assertEqual((nice, files), (os.nice(0) + 3, 99))

    def test_pool_with_too_little(self):
        """Workers that cannot begin: the error names the limits, and each of them says why."""
        for method in METHODS:
            with self.subTest(method=method), tempfile.TemporaryFile("w+") as file:
                kept = os.dup(2)
                os.dup2(file.fileno(), 2)
                try:
                    with mp.get_context(method).Pool(2, limits={"files": 8}) as pool, \
                            self.assertRaisesRegex(mp.WorkerDiedError, "files of 8 .*with code 1"):
                        pool.apply(tell_parent)
                finally:
                    os.dup2(kept, 2)
                    os.close(kept)
                file.seek(0)
                lines = file.readlines()
                self.assertGreater(len(lines), 1)
                for line in lines:
                    self.assertRegex(line, "^A worker of a pool cannot begin: .*: "
                                           "Too many open files$")

    def test_misuse(self):
        """What is no keyword, or no value of it."""
        for keywords, kind, text in (
                ({"colour": 1}, TypeError, "'colour'"),
                ({"limits": {"memry": 1}}, ValueError, "'memry'.*memory"),
                ({"limits": {"memory": -1}}, ValueError, "memory"),
                ({"nice": "much"}, TypeError, "nice"),
                ({"cpus": []}, ValueError, "cpus"),
                ({"cpus": [8192]}, ValueError, "a processor .*8192"),
                ({"umask": 0o1000}, ValueError, "umask"),
                ({"nice": 41}, ValueError, "nice"),
                ({"limits": ["files"]}, TypeError, "limits"),
                ({"limits": {"files": 1 << 63}}, ValueError, "'files'"),
                ({"stdin": -4}, ValueError, "stdin"),
                ({"stdout": 1.5}, TypeError, "stdout"),
                ({"stderr": True}, TypeError, "stderr"),
                ({"stdin": print}, TypeError, "stdin"),
                ({"stdout": subprocess.STDOUT}, ValueError, "stdout")):
            with self.subTest(keywords=keywords), self.assertRaisesRegex(kind, text):
                mp.Process(target=tell, **keywords)
        with self.assertRaisesRegex(TypeError, "'stdout'"):
            mp.Pool(1, stdout=subprocess.PIPE)
        process = mp.get_context("fork").Process(target=tell, nice=1)
        with self.assertRaisesRegex(NotImplementedError, "fork"):
            process.start()


if __name__ == "__main__":
    unittest.main()
