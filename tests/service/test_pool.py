# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""org.libmp.Mp1.Pool and org.libmp.Mp1.Job: functions and programs run for the bus."""

import os
import signal
import tempfile
import time
import unittest

from bus import PATH, ServiceCase, iterate_until, v, wait_until

GONE = "org.freedesktop.DBus.Error.UnknownMethod"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"

MODULE = '''
import os, signal, sys, time

def echo(*args, **kwargs):
    return (list(args), kwargs)

def same(value):
    return value

def touch(path):
    open(path, "w").close()

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)
    return os.getpid()

def die(_ignored=None):
    os.kill(os.getpid(), signal.SIGKILL)

def die_once(path):
    if os.path.exists(path):
        return "survived"
    touch(path)
    die()

def leave(code):
    sys.exit(code)

def fail(text):
    raise ValueError(text)

def deep(levels):
    value = 1
    for _ in range(levels):
        value = (value,)
    return value

def wide(members):
    return tuple(range(members))

def large(size):
    return bytes(size)

def unknown():
    return object()

def where():
    return (os.getcwd(), os.environ.get("MP_TEST_VARIABLE"))
'''


class PoolTest(ServiceCase):
    """Pools for the bus."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        with open(os.path.join(cls.folder, "bus_tasks.py"), "w", encoding="utf-8") as module:
            module.write(MODULE)

    def make_pool(self, workers=1, peer=None, **options):
        """Makes a pool that finds the test's module; its path below the service's."""
        options.setdefault("python-path", v("as", [self.folder]))
        path = (peer or self.peer).call("", "Manager.CreatePool", "(ua{sv})", workers, options)
        return path[len(PATH):]

    def apply(self, pool, function, *args, peer=None, **options):
        """Applies a function; its result."""
        return (peer or self.peer).call(pool, "Pool.Apply", "(sava{sv})", "bus_tasks:" + function,
                                        args, options)

    def job(self, pool, function, *args, peer=None, **options):
        """Starts a job; its path."""
        path = (peer or self.peer).call(pool, "Pool.ApplyAsync", "(sava{sv})",
                                        "bus_tasks:" + function, args, options)
        return path[len(PATH):]

    def result(self, job, peer=None, **options):
        """What a job gave."""
        return (peer or self.peer).call(job, "Job.GetResult", "(a{sv})", options)

    def test_values(self):
        """Values come to Python and back as documented."""
        pool = self.make_pool()
        for signature, value, answer in (
                ("i", -3, "x"), ("t", 2**64 - 1, "t"), ("x", -2**63, "x"), ("d", 0.5, "d"),
                ("b", True, "b"), ("s", "ä", "s"), ("ay", b"\0\xff\0", "ay"),
                ("ai", [1, 2], "av"), ("a{sv}", {"k": v("i", 1)}, "a{sv}"),
                ("a{is}", {1: "x"}, "a{xv}"), ("(is)", (1, "x"), "(xs)"), ("g", "", "g"),
                ("v", v("v", v("s", "x")), "s")):
            result = self.peer.call_raw(pool, "Pool.Apply", v("(sava{sv})", (
                "bus_tasks:same", [v(signature, value)], {}))).get_child_value(0).get_variant()
            self.assertEqual(result.get_type_string(), answer, f"{value} of type {signature}")
            expected = value.unpack() if signature == "v" else v(signature, value).unpack()
            self.assertEqual(result.unpack(), expected)

    def test_arguments(self):
        """Positional and keyword arguments."""
        pool = self.make_pool()
        self.assertEqual(self.apply(pool, "echo"), ([], {}))
        self.assertEqual(self.apply(pool, "echo", v("i", 1), v("(is)", (2, "b")),
                                    kwargs=v("a{sv}", {"k": v("s", "w")})),
                         ([1, (2, "b")], {"k": "w"}))

    def test_factorial(self):
        """The big integers of a small function."""
        pool = self.make_pool(2)
        self.assertEqual(self.peer.call(pool, "Pool.Apply", "(sava{sv})", "math:factorial",
                                        [v("i", 20)], {}), 2432902008176640000)
        with self.assert_error("Type", "66 bits"):
            self.peer.call(pool, "Pool.Apply", "(sava{sv})", "math:factorial", [v("i", 21)], {})

    def test_errors(self):
        """What a task fails with says what happened, and the pool goes on."""
        pool = self.make_pool()
        with self.assert_error("CallbackFailed", "ValueError: because"):
            self.apply(pool, "fail", v("s", "because"))
        with self.assert_error("NotFound", "no_such_function"):
            self.apply(pool, "no_such_function")
        with self.assert_error("NotFound", "no_such_module"):
            self.peer.call(pool, "Pool.Apply", "(sava{sv})", "no_such_module:f", [], {})
        with self.assert_error("InvalidArgument", "package.module:function"):
            self.peer.call(pool, "Pool.Apply", "(sava{sv})", "print", [], {})
        with self.assert_error("Type", "object"):
            self.apply(pool, "unknown")
        with self.assert_error("CallbackFailed", "sys.exit(3)"):
            self.apply(pool, "leave", v("i", 3))
        self.assertEqual(self.apply(pool, "same", v("i", 1)), 1)

    def test_unfit_results(self):
        """A result that would get the service off the bus is an error."""
        pool = self.make_pool()
        self.assertEqual(self.apply(pool, "deep", v("i", 20)), eval("(" * 20 + "1" + ",)" * 20))
        with self.assert_error("Type"):
            self.apply(pool, "deep", v("i", 40))
        self.assertEqual(len(self.apply(pool, "wide", v("i", 253))), 253)
        with self.assert_error("Type", "too many members"):
            self.apply(pool, "wide", v("i", 254))
        with self.assert_error("Limit", "bytes"):
            self.apply(pool, "large", v("i", 70_000_000))
        self.assertEqual(len(self.apply(pool, "large", v("i", 10_000))), 10_000)

    def test_worker_dies(self):
        """A killed worker fails its task, with pid and signal, and is replaced."""
        pool = self.make_pool(name=v("s", "dies"))
        exits = self.peer.listen("Pool", "WorkerExited")
        worker = self.peer.get(pool, "Pool", "WorkerPids")
        with self.assert_error("ProcessDied", "signal 9"):
            self.apply(pool, "die")
        self.assertEqual(self.apply(pool, "same", v("i", 1)), 1)
        iterate_until(lambda: exits, "the signal")
        self.assertEqual(exits[0][0], pool)
        self.assertEqual(exits[0][2], -signal.SIGKILL)
        self.assertNotEqual(self.peer.get(pool, "Pool", "WorkerPids"), worker)
        self.peer.call(pool, "Object.Unlink")

    def test_attempts(self):
        """A task whose worker died is tried again when that was asked for."""
        pool = self.make_pool(**{"max-attempts": v("u", 2)})
        self.assertEqual(self.peer.get(pool, "Pool", "MaxAttempts"), 2)
        path = os.path.join(self.folder, "once")
        self.assertEqual(self.apply(pool, "die_once", v("s", path)), "survived")

    def test_max_tasks(self):
        """Workers are replaced after their number of tasks."""
        pool = self.make_pool(**{"max-tasks": v("u", 1)})
        pids = {self.peer.call(pool, "Pool.Apply", "(sava{sv})", "os:getpid", [], {})
                for _ in range(3)}
        self.assertEqual(len(pids), 3)

    def check_context(self, method):
        """Folder and variables of workers that start in one way."""
        pool = self.make_pool(**{"working-directory": v("s", self.folder),
                                 "environment": v("a{ss}", {"MP_TEST_VARIABLE": "set"}),
                                 "start-method": v("s", method)})
        self.assertEqual(self.apply(pool, "where"), (os.path.realpath(self.folder), "set"))

    def test_forkserver(self):
        """Workers that are forked from a warm interpreter."""
        self.check_context("forkserver")

    def test_spawn(self):
        """Workers that are executed afresh."""
        self.check_context("spawn")

    def test_bad_options(self):
        """What a pool cannot be is said."""
        for options, key in (({"runtime": v("s", "cobol")}, "runtime"),
                             ({"start-method": v("s", "fork")}, "start-method"),
                             ({"python-path": v("as", ["here"])}, "python-path"),
                             ({"max-tasks": v("s", "1")}, "max-tasks"),
                             ({"working-directory": v("s", "here")}, "working-directory")):
            with self.assert_error("InvalidArgument", f'"{key}"'):
                self.make_pool(**options)
        with self.assert_error("InvalidArgument", "workers"):
            self.make_pool(0)
        with self.assert_error("NotSupported", "native"):
            self.make_pool(runtime=v("s", "native"))
        with self.assert_error("Limit", "worker processes"):
            self.make_pool(100000)
        with self.assert_error("Limit", "worker processes"):
            self.make_pool(2**32 - 1)
        pool = self.make_pool()
        with self.assert_error("InvalidArgument", '"kwargs"'):
            self.apply(pool, "echo", kwargs=v("as", []))
        with self.assert_error("InvalidArgument", '"linger"'):
            self.job(pool, "echo", linger=v("d", -1.0))
        with self.assert_error("NotSupported", "use Apply"):
            self.peer.call(pool, "Pool.Run", "(asa{sv})", ["true"], {})

    def test_bounded_apply(self):
        """An Apply that takes too long is given up, and its worker is free again."""
        pool = self.make_pool()
        never = v("s", os.path.join(self.folder, "never"))
        with self.assert_error("TimedOut", "0.3 seconds"):
            self.apply(pool, "wait_for", never, timeout=v("d", 0.3))
        self.assertEqual(self.apply(pool, "same", v("i", 1)), 1)

    def test_cancelled_apply(self):
        """A request ends an Apply, and the task."""
        pool = self.make_pool()
        never = v("s", os.path.join(self.folder, "never"))
        call = self.peer.begin(pool, "Pool.Apply", "(sava{sv})", "bus_tasks:wait_for", [never],
                               {"handle-token": v("s", "t"), "timeout": v("d", -1.0)})
        iterate_until(lambda: self.peer.get(pool, "Pool", "Busy") == 1, "the task")
        self.peer.call(f"/request/{self.peer.sender}/t", "Request.Cancel")
        with self.assert_error("Cancelled"):
            call.result()
        self.assertEqual(self.apply(pool, "same", v("i", 1)), 1)

    def test_killed_caller(self):
        """Who is killed during an Apply takes the task along."""
        pool = self.make_pool(name=v("s", "killed-caller"))
        never = os.path.join(self.folder, "never")
        process = self.spawn_call(pool, "Pool.Apply", "bus_tasks:wait_for", f"[<'{never}'>]", "{}")
        wait_until(lambda: self.peer.get(pool, "Pool", "Busy") == 1, "the task")
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: self.peer.get(pool, "Pool", "Pending") == 0, "its end")
        self.assertEqual(self.apply(pool, "same", v("i", 1)), 1)
        self.peer.call(pool, "Object.Unlink")

    def test_killed_owner(self):
        """Who is killed takes its pool, the jobs and the workers along."""
        pool = self.make_pool(name=v("s", "kept"))
        holder = self.spawn_python(
            "import gi\n"
            "from gi.repository import Gio, GLib\n"
            "bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)\n"
            "def call(path, method, arguments):\n"
            "    return bus.call_sync('org.libmp.Mp1', path, *method.rsplit('.', 1), arguments,"
            " None, 0, -1, None).unpack()[0]\n"
            "pool = call('/org/libmp/Mp1', 'org.libmp.Mp1.Manager.CreatePool',"
            " GLib.Variant('(ua{sv})', (2, {})))\n"
            "print(pool, flush=True)\n"
            "print(call(pool, 'org.libmp.Mp1.Pool.Apply',"
            " GLib.Variant('(sava{sv})', ('os:getpid', [], {}))), flush=True)\n"
            "call(pool, 'org.libmp.Mp1.Pool.Apply',"
            " GLib.Variant('(sava{sv})', ('time:sleep', [GLib.Variant('i', 1000)], {})))\n")
        private = holder.stdout.readline().strip()[len(PATH):]
        worker = int(holder.stdout.readline())
        wait_until(lambda: self.peer.get(private, "Pool", "Busy") == 1, "the task")
        with self.assert_error(DENIED):
            self.apply(private, "same", v("i", 1))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        wait_until(lambda: not os.path.exists(f"/proc/{worker}"), "the end of the worker")
        wait_until(lambda: self.peer.get("", "Manager", "NProcesses") == 1, "the end of the pool")
        with self.assert_error(GONE):
            self.peer.call(private, "Object.Close", "(a{sv})", {})
        self.peer.call(pool, "Object.Unlink")

    def test_map(self):
        """Results in the order of the items; an item's error is the job's."""
        pool = self.make_pool(2)
        items = [v("i", number) for number in range(100)]
        path = self.peer.call(pool, "Pool.Map", "(sava{sv})", "bus_tasks:same", items,
                              {"chunk-size": v("u", 7)})[len(PATH):]
        self.assertEqual(self.peer.get(path, "Job", "Total"), 100)
        self.assertEqual(self.peer.get(path, "Job", "Operation"), "bus_tasks:same")
        self.assertTrue(self.peer.call(path, "Job.Wait", "(a{sv})", {}))
        self.assertEqual(self.peer.get(path, "Job", "Done"), 100)
        self.assertEqual(self.peer.get(path, "Job", "Progress"), 1.0)
        self.assertEqual(self.result(path), list(range(100)))
        with self.assert_error(GONE):
            self.result(path)
        path = self.peer.call(pool, "Pool.Map", "(sava{sv})", "bus_tasks:same", [], {})
        self.assertEqual(self.result(path[len(PATH):]), [])
        path = self.peer.call(pool, "Pool.Map", "(sava{sv})", "bus_tasks:fail",
                              [v("s", "this")], {})
        with self.assert_error("CallbackFailed", "ValueError: this"):
            self.result(path[len(PATH):])

    def test_large_map(self):
        """Many items, in time that grows no faster than their number."""
        pool = self.make_pool(2)
        path = self.peer.call(pool, "Pool.Map", "(sava{sv})", "bus_tasks:same",
                              [v("i", number) for number in range(50000)], {})[len(PATH):]
        self.assertEqual(self.result(path), list(range(50000)))

    def test_job(self):
        """The life of a job, as its owner sees it."""
        pool = self.make_pool()
        completed = self.peer.listen("Job", "Completed")
        start = os.path.join(self.folder, "start")
        began = time.time() * 1e6
        job = self.job(pool, "wait_for", v("s", start), **{"handle-token": v("s", "j")})
        self.assertEqual(job, pool + "/job/j")
        with self.assert_error("Exists"):
            self.job(pool, "echo", **{"handle-token": v("s", "j")})
        wait_until(lambda: self.peer.get(job, "Job", "State") == "running", "the start")
        self.assertFalse(self.peer.call(job, "Job.Wait", "(a{sv})", {"timeout": v("d", 0.0)}))
        self.assertFalse(self.peer.call(job, "Job.Wait", "(a{sv})", {"timeout": v("d", 0.1)}))
        with self.assert_error("TimedOut"):
            self.result(job, timeout=v("d", 0.1))
        call = self.peer.begin(job, "Job.GetResult", "(a{sv})", {"keep": v("b", True)})
        with open(start, "w", encoding="utf-8"):
            pass
        self.assertIn(call.result(), self.peer.get(pool, "Pool", "WorkerPids"))
        iterate_until(lambda: completed, "the signal")
        self.assertEqual(completed, [(job, "succeeded")])
        self.assertEqual(self.peer.get(job, "Job", "State"), "succeeded")
        self.assertEqual(self.peer.get(job, "Job", "ErrorName"), "")
        self.assertLess(began, self.peer.get(job, "Job", "StartTime"))
        self.assertLessEqual(self.peer.get(job, "Job", "StartTime"),
                             self.peer.get(job, "Job", "EndTime"))
        self.assertFalse(self.peer.call(job, "Job.Cancel", "(a{sv})", {}))
        self.result(job)

    def test_failed_job(self):
        """A failed job tells why in its properties, and raises it."""
        pool = self.make_pool()
        job = self.job(pool, "fail", v("s", "because"))
        self.assertTrue(self.peer.call(job, "Job.Wait", "(a{sv})", {}))
        wait_until(lambda: self.peer.get(job, "Job", "ErrorName"), "the error")
        self.assertEqual(self.peer.get(job, "Job", "State"), "failed")
        self.assertEqual(self.peer.get(job, "Job", "ErrorName"),
                         "org.libmp.Mp1.Error.CallbackFailed")
        self.assertEqual(self.peer.get(job, "Job", "ErrorMessage"), "ValueError: because")
        self.assertIn("bus_tasks.py", self.peer.get(job, "Job", "Traceback"))
        with self.assert_error("CallbackFailed", "because"):
            self.result(job)

    def test_cancel(self):
        """A cancelled job ends, queued or running; the pool goes on."""
        pool = self.make_pool()
        never = v("s", os.path.join(self.folder, "never"))
        running = self.job(pool, "wait_for", never)
        wait_until(lambda: self.peer.get(running, "Job", "State") == "running", "the start")
        queued = self.job(pool, "wait_for", never)
        for job in (queued, running):
            call = self.peer.begin(job, "Job.GetResult", "(a{sv})", {"keep": v("b", True)})
            self.assertTrue(self.peer.call(job, "Job.Cancel", "(a{sv})", {}))
            with self.assert_error("Cancelled"):
                call.result()
            wait_until(lambda: self.peer.get(job, "Job", "State") == "cancelled", "the state")
        self.assertEqual(self.apply(pool, "same", v("i", 1)), 1)

    def test_linger(self):
        """A result waits for whoever comes, but not for ever."""
        pool = self.make_pool(name=v("s", "linger"))
        other = self.connect()
        kept = self.job(pool, "same", v("i", 1), peer=other)
        short = self.job(pool, "same", v("i", 2), peer=other, linger=v("d", 0.1))
        self.peer.call(short, "Job.Wait", "(a{sv})", {})
        other.close()
        before = 3
        wait_until(lambda: self.peer.get("", "Manager", "NObjects") < before, "its end")
        with self.assert_error(GONE):
            self.result(short)
        self.assertEqual(self.result(kept), 1)
        self.peer.call(pool, "Object.Unlink")

    def test_close(self):
        """A pool that takes no more finishes what it has."""
        pool = self.make_pool()
        with self.assert_error("Busy"):
            self.peer.call(pool, "Pool.Join", "(a{sv})", {})
        start = os.path.join(self.folder, "close")
        job = self.job(pool, "wait_for", v("s", start))
        self.peer.call(pool, "Pool.CloseIntake", "(a{sv})", {})
        self.assertEqual(self.peer.get(pool, "Pool", "State"), "closing")
        with self.assert_error("Closed"):
            self.apply(pool, "same", v("i", 1))
        with self.assert_error("Closed"):
            self.job(pool, "same", v("i", 1))
        self.assertFalse(self.peer.call(pool, "Pool.Join", "(a{sv})", {"timeout": v("d", 0.1)}))
        with open(start, "w", encoding="utf-8"):
            pass
        self.assertTrue(self.peer.call(pool, "Pool.Join", "(a{sv})", {}))
        wait_until(lambda: self.peer.get(pool, "Pool", "State") == "closed", "the state")
        self.assertEqual(self.peer.get(pool, "Pool", "WorkerPids"), [])
        self.assertGreater(self.result(job), 1)

    def test_terminate(self):
        """A terminated pool cancels what it has."""
        pool = self.make_pool()
        job = self.job(pool, "wait_for", v("s", os.path.join(self.folder, "never")))
        self.peer.call(pool, "Pool.Terminate", "(a{sv})", {})
        with self.assert_error("Cancelled"):
            self.result(job)
        self.assertTrue(self.peer.call(pool, "Pool.Join", "(a{sv})", {}))

    def test_close_object(self):
        """The end of a pool's object is the end of its jobs and waits."""
        pool = self.make_pool()
        never = v("s", os.path.join(self.folder, "never"))
        job = self.job(pool, "wait_for", never)
        closed = self.peer.listen("Object", "Closed")
        waiting = [self.peer.begin(job, "Job.GetResult", "(a{sv})", {}),
                   self.peer.begin(pool, "Pool.Apply", "(sava{sv})", "bus_tasks:same",
                                   [v("i", 1)], {})]
        iterate_until(lambda: self.peer.get("", "Manager", "NWaits") == 2, "the waits")
        self.peer.call(pool, "Object.Close", "(a{sv})", {})
        for call in waiting:
            with self.assert_error("Closed"):
                call.result()
        iterate_until(lambda: len(closed) == 2, "the signals")
        self.assertEqual(sorted(closed), [(pool, "closed"), (job, "pool-closed")])

    def test_commands(self):
        """Programs: their status, and what they wrote."""
        pool = self.make_pool(2, runtime=v("s", "command"))
        self.assertEqual(self.peer.get(pool, "Pool", "Runtime"), "command")

        def run(*argv, **options):
            path = self.peer.call(pool, "Pool.Run", "(asa{sv})", argv, options)[len(PATH):]
            status, out, err = self.result(path)
            return status, bytes(out), bytes(err)

        self.assertEqual(run("echo", "a b"), (0, b"a b\n", b""))
        self.assertEqual(run("sh", "-c", "echo x >&2; exit 3"), (3, b"", b"x\n"))
        self.assertEqual(run("sh", "-c", "kill -9 $$"), (-9, b"", b""))
        self.assertEqual(run("cat"), (0, b"", b""))
        self.assertEqual(run("pwd", **{"working-directory": v("s", "/")}), (0, b"/\n", b""))
        self.assertEqual(run("sh", "-c", "echo $MP_TEST_VARIABLE",
                             environment=v("a{ss}", {"MP_TEST_VARIABLE": "set"})),
                         (0, b"set\n", b""))
        with self.assert_error("NotFound", "no-such-program"):
            run("no-such-program")
        with self.assert_error("InvalidArgument"):
            run()
        with self.assert_error("NotSupported", "use Run"):
            self.apply(pool, "same", v("i", 1))

    def test_command_cancelled(self):
        """A cancelled program is killed, with those that it started."""
        pool = self.make_pool(runtime=v("s", "command"))
        path = self.peer.call(pool, "Pool.Run", "(asa{sv})", ["sh", "-c", "sleep 1000 & wait"],
                              {})[len(PATH):]
        self.assertEqual(self.peer.get(path, "Job", "Operation"), "sh -c 'sleep 1000 & wait'")
        wait_until(lambda: self.peer.get(path, "Job", "State") == "running", "the start")
        self.assertTrue(self.peer.call(path, "Job.Cancel", "(a{sv})", {}))
        with self.assert_error("Cancelled"):
            self.result(path)


if __name__ == "__main__":
    unittest.main()
