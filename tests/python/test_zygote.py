# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The Python zygote, through the library as a C program would use it."""

import os
import signal
import sys
import tempfile
import unittest

from multiprocessing_gi._raw import Gio, GLib, Mp

LIMIT_US = 30_000_000


class ZygoteTest(unittest.TestCase):
    """Each test has modules of its own in a directory of its own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.write("plain", """
            import os, threading

            def report(path):
                with open(path, "w") as file:
                    print(os.getpid(), os.getcwd(), threading.active_count(), file=file)

            def fail(argument):
                raise ValueError(argument)
        """)

    def write(self, name, text):
        """Makes a module."""
        lines = text.splitlines()
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        with open(os.path.join(self.directory, f"{name}.py"), "w", encoding="utf-8") as file:
            file.write("\n".join(line[indent:] for line in lines) + "\n")

    def context(self, preload=(), method=Mp.StartMethod.FORKSERVER, stderr=None):
        """A context that finds the test's modules; stderr is where its zygote complains."""
        context = Mp.Context.new(method, Mp.Runtime.PYTHON)
        path = self.directory + os.pathsep + os.environ.get("PYTHONPATH", "")
        context.set_environment([f"{name}={value}" for name, value
                                 in {**os.environ, "PYTHONPATH": path}.items()])
        context.set_preload(list(preload))
        if stderr is not None:
            saved = os.dup(2)
            os.dup2(stderr.fileno(), 2)
            try:
                context.warm_up(None)
            finally:
                os.dup2(saved, 2)
                os.close(saved)
        return context

    def run_task(self, context, task, argument=None):
        """Runs it to its end; gives its exit code."""
        process = Mp.Process.new_task(context, task, argument)
        process.start(None)
        self.assertTrue(process.join(LIMIT_US, None))
        return process.get_exit_code()

    def report(self, context):
        """What plain.report() says of its process."""
        path = os.path.join(self.directory, "report")
        self.assertEqual(self.run_task(context, "plain:report", GLib.Variant("s", path)), 0)
        with open(path, encoding="utf-8") as file:
            return file.read().split()

    def test_tasks(self):
        """Functions of modules, and those that are not there."""
        for method in (Mp.StartMethod.FORKSERVER, Mp.StartMethod.SPAWN):
            context = self.context(method=method)
            with self.subTest(method=method):
                self.assertEqual(self.run_task(context, "math:factorial", GLib.Variant("x", 5)), 0)
                pid, directory, threads = self.report(context)
                self.assertNotEqual(int(pid), os.getpid())
                self.assertEqual(directory, os.getcwd())
                self.assertEqual(threads, "1")
                argument = GLib.Variant("s", "as it should")
                self.assertEqual(self.run_task(context, "plain:fail", argument), 1)
                self.assertEqual(self.run_task(context, "plain:no_such_function"), 1)
                self.assertEqual(self.run_task(context, "no_such_module:function"), 1)

    def test_each_has_its_own_process(self):
        """A process that was forked ahead runs one task and no more."""
        context = self.context()
        pids = [self.report(context)[0] for _ in range(20)]
        self.assertEqual(len(set(pids)), len(pids))

    def test_fork_beside_a_thread(self):
        """A child of the zygote that forks while it has threads leaves them behind."""
        self.write("beside", """
            import os, threading

            def fork(path):
                wait = threading.Event()
                threading.Thread(target=wait.wait, daemon=True).start()
                pid = os.fork()
                if pid == 0:
                    with open(path, "w") as file:
                        print(threading.active_count(), file=file)
                    os._exit(0)
                os.waitpid(pid, 0)
                wait.set()
        """)
        path = os.path.join(self.directory, "threads")
        self.assertEqual(self.run_task(self.context(), "beside:fork", GLib.Variant("s", path)), 0)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "1\n")

    def test_preload_registers(self):
        """What the zygote registered for its own end is not done at the end of a child."""
        self.write("registers", """
            import atexit, os
            from multiprocessing_gi import util

            def leave(name):
                open(os.path.join(os.path.dirname(__file__), name), "w").close()

            atexit.register(leave, "exit")
            util.Finalize(None, leave, ("finalizer",), exitpriority=1)
        """)
        context = self.context(["registers"])
        self.assertEqual(self.run_task(context, "registers:leave", GLib.Variant("s", "task")), 0)
        self.assertLessEqual({"task"}, set(os.listdir(self.directory)))
        self.assertFalse({"exit", "finalizer"} & set(os.listdir(self.directory)))

    def test_preload_leaves_a_thread(self):
        """The zygote starts again without the culprit, and says which it was."""
        self.write("culprit", """
            import threading
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        """)
        with tempfile.TemporaryFile("w+") as stderr:
            context = self.context(["json", "culprit", "decimal"], stderr=stderr)
            pid = context.get_zygote_pid()
            stderr.seek(0)
            text = stderr.read()
        self.assertEqual(text.count("culprit"), 1, text)
        self.assertEqual(self.report(context)[2], "1")
        self.assertEqual(context.get_zygote_pid(), pid)
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            self.assertIn("Threads:\t1\n", file.read())

    def test_preload_fails(self):
        """What cannot be imported is named, and the rest works."""
        self.write("broken", "raise RuntimeError('broken as it should be')")
        with tempfile.TemporaryFile("w+") as stderr:
            context = self.context(["broken", "no_such_module"], stderr=stderr)
            stderr.seek(0)
            text = stderr.read()
        self.assertIn("broken as it should be", text)
        self.assertIn("no_such_module", text)
        self.assertEqual(self.run_task(context, "math:factorial", GLib.Variant("x", 5)), 0)

    def test_killed(self):
        """When the zygote is killed its children end, and the next start makes another."""
        context = self.context()
        sleeper = Mp.Process.new_task(context, "time:sleep", GLib.Variant("d", 1000.0))
        sleeper.start(None)
        old = context.get_zygote_pid()
        os.kill(old, signal.SIGKILL)
        self.assertTrue(sleeper.join(LIMIT_US, None))
        self.assertIn(sleeper.get_exit_code(), (-signal.SIGKILL, 255))
        self.report(context)
        self.assertNotIn(context.get_zygote_pid(), (0, old))

    def test_signals(self):
        """A signal that comes before the task has begun still counts."""
        # A signal right before one long sleep would wait for its end.
        self.write("sleeper", """
            import time

            def sleep_on():
                while True:
                    time.sleep(0.01)
        """)
        context = self.context()
        for _ in range(10):
            sleeper = Mp.Process.new_task(context, "sleeper:sleep_on", None)
            sleeper.start(None)
            sleeper.interrupt()
            self.assertTrue(sleeper.join(LIMIT_US, None))
            self.assertEqual(sleeper.get_exit_code(), 1)
        sleeper = Mp.Process.new_task(context, "sleeper:sleep_on", None)
        sleeper.start(None)
        sleeper.terminate()
        self.assertTrue(sleeper.join(LIMIT_US, None))
        self.assertEqual(sleeper.get_exit_code(), -signal.SIGTERM)

    def test_signal_that_there_is_not(self):
        """What a child asks for does not harm the other children."""
        self.write("asking", """
            import os, socket, stat, struct
            from multiprocessing_gi._raw import Mp

            def main():
                context = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.PYTHON)
                process = Mp.Process.new_task(context, "signal:pause", None)
                process.start(None)
                for fd in map(int, os.listdir("/proc/self/fd")):
                    try:
                        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
                    except OSError:
                        continue
                    if fd > 2 and is_socket:
                        link = socket.socket(fileno=fd)
                        for number in range(16):
                            link.send(struct.pack("=IIQiiII", 0x315A504D, 7, number, 0, 1000, 0, 0))
                        link.detach()
                process.terminate()
                if not process.join(30_000_000, None):
                    os._exit(2)
                os._exit(3 if process.get_exit_code() == -15 else 4)
        """)
        self.assertEqual(self.run_task(self.context(), "asking:main"), 3)

    def test_many_descriptors(self):
        """As many as one message carries."""
        context = self.context()
        fd_list = Gio.UnixFDList.new()
        for _ in range(248):
            fd_list.append(1)
        process = Mp.Process.new_task(context, "math:factorial", GLib.Variant("x", 5))
        process.set_fd_list(fd_list)
        process.start(None)
        self.assertTrue(process.join(LIMIT_US, None))
        self.assertEqual(process.get_exit_code(), 0)

    def test_gate(self):
        """A child waits until its gate is open, but not for ever."""
        # In a process that has no other threads.
        script = """if True:
            import os, socket, struct, sys, time
            from multiprocessing_gi._primitives import fork_child

            def begin_of_child(gate, opens):
                forked = time.monotonic()
                pid, link, _pidfd = fork_child("mp-gate", True, gate[0])
                link = socket.socket(fileno=link)
                if pid == 0:
                    link.send(struct.pack("d", time.monotonic()))
                    os._exit(0)
                opened = time.monotonic()
                if opens:
                    os.write(gate[1], b"x")
                begin = struct.unpack("d", link.recv(8))[0]
                assert os.waitpid(pid, 0)[1] == 0
                return forked, opened, begin

            gate = os.pipe()
            forked, opened, begin = begin_of_child(gate, False)
            assert begin - forked >= 0.1, begin - forked
            forked, opened, begin = begin_of_child(gate, True)
            assert begin >= min(opened, forked + 0.1), (forked, opened, begin)
            # Nobody has read what opened it.
            begin_of_child(gate, False)
            quickest = min(begin - opened for _, opened, begin
                           in [begin_of_child(gate, False) for _ in range(20)])
            assert quickest < 0.1, quickest
        """
        for accelerated in "10":
            environment = {**os.environ, "MP_ACCELERATOR": accelerated}
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(
                sys.executable, [sys.executable, "-c", script], environment), 0)[1]), 0)

    def test_called_by_hand(self):
        """Without the library, the module and spawn_main() only say what they are for."""
        for options in (["-m", "multiprocessing_gi._zygote"],
                        ["-c", "from multiprocessing_gi._child import spawn_main; spawn_main()"]):
            done = Gio.Subprocess.new([sys.executable, *options],
                                      Gio.SubprocessFlags.STDERR_PIPE)
            _, _, stderr = done.communicate_utf8(None, None)
            self.assertIn("libmp", stderr)
            self.assertNotEqual(done.get_exit_status(), 0)


if __name__ == "__main__":
    unittest.main()
