# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""How the service starts, is replaced, and ends."""

import os
import signal
import unittest

from bus import NAME, PROGRAM, Bus, ServiceCase, iterate_until, v, wait_until


def is_running(pid):
    """Whether the process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class LifeTest(ServiceCase):
    """Each test has a bus of its own."""

    def setUp(self):
        self.bus = Bus()
        self.addCleanup(self.bus.stop)
        super().setUp()

    def start(self, *options):
        """A service that was started by hand and has the name."""
        service = self.bus.start_service(*options)
        self.addCleanup(service.stderr.close)
        self.addCleanup(service.wait)
        self.addCleanup(service.kill)
        wait_until(self.peer.has_service, "the service's name")
        return service

    def test_activation(self):
        """Nobody started it: the first call does, and others find it."""
        self.assertFalse(self.peer.has_service())
        self.assertEqual(self.peer.get("", "Manager", "ApiVersion"), 1)
        pid = self.peer.service_pid()
        self.assertEqual(os.readlink(f"/proc/{pid}/exe"), os.path.realpath(PROGRAM))
        self.make_queue(name=v("s", "jobs"))
        self.assertEqual(self.connect().call("", "Manager.Lookup", "(ss)", "queue", "jobs"),
                         "/org/libmp/Mp1/queue/jobs")

    def test_texts(self):
        """--version and --help need no bus; what is wrong is said."""
        self.bus.environment["DBUS_SESSION_BUS_ADDRESS"] = "disabled:"
        version = self.bus.run(PROGRAM, "--version")
        self.assertRegex(version.stdout, r"^mpservice \d+\.\d+\.\d+\n$")
        self.assertEqual(version.returncode, 0)
        usage = self.bus.run(PROGRAM, "--help")
        for option in ("--replace", "--version", "--verbose", "--no-idle-exit", "--idle-timeout"):
            self.assertIn(option, usage.stdout)
        self.assertEqual(usage.returncode, 0)
        for arguments, text in ((("--idle-timeout=0",), "at least 1"), (("extra",), "extra"),
                                (("--nonsense",), "--nonsense"), ((), "session bus")):
            failed = self.bus.run(PROGRAM, *arguments)
            self.assertEqual(failed.returncode, 1)
            self.assertRegex(failed.stderr, rf"(?s)^mpservice: .*{text}")

    def test_second(self):
        """A second one says so and leaves the first alone."""
        first = self.start()
        second = self.bus.run(PROGRAM)
        self.assertEqual(second.returncode, 1)
        self.assertIn("--replace", second.stderr)
        self.assertEqual(self.peer.service_pid(), first.pid)

    def test_replace(self):
        """The one that replaces serves; the other one ends its objects and itself."""
        first = self.start()
        queue = self.make_queue(name=v("s", "old"))
        call = self.peer.begin(queue, "Queue.Get", "(a{sv})", {})
        iterate_until(lambda: self.peer.get(queue, "Queue", "Waiters") == 1, "the wait")
        closed = self.peer.listen("Object", "Closed")
        second = self.bus.start_service("--replace")
        self.addCleanup(second.stderr.close)
        self.addCleanup(second.wait)
        self.addCleanup(second.kill)
        with self.assert_error("Closed"):
            call.result()
        self.assertEqual(first.wait(30), 0)
        wait_until(lambda: self.peer.service_pid() == second.pid, "the second one")
        iterate_until(lambda: closed, "the signal")
        self.assertEqual(closed, [(queue, "shutdown")])
        self.assertEqual(self.peer.call("", "Manager.ListNames", "(s)", ""), [])

    def test_terminated(self):
        """SIGTERM and SIGINT end it in an orderly way: waits are answered, workers gone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            service = self.start()
            queue = self.make_queue()
            pool = self.peer.call("", "Manager.CreatePool", "(ua{sv})", 2, {})[14:]
            self.peer.call(pool, "Pool.Apply", "(sava{sv})", "os:getpid", [], {})
            pids = self.peer.get(pool, "Pool", "WorkerPids")
            self.assertEqual(len(pids), 2)
            call = self.peer.begin(queue, "Queue.Get", "(a{sv})", {})
            iterate_until(lambda: self.peer.get(queue, "Queue", "Waiters") == 1, "the wait")
            service.send_signal(number)
            with self.assert_error("Closed"):
                call.result()
            self.assertEqual(service.wait(30), 0)
            wait_until(lambda: not any(map(is_running, pids)), "the end of the workers")

    def test_killed(self):
        """When it is killed its workers go, too, and the next call starts a new one."""
        service = self.start()
        pool = self.peer.call("", "Manager.CreatePool", "(ua{sv})", 2, {})[14:]
        worker = self.peer.call(pool, "Pool.Apply", "(sava{sv})", "os:getpid", [], {})
        service.kill()
        service.wait()
        wait_until(lambda: not is_running(worker), "the end of the worker")
        self.assertEqual(self.peer.get("", "Manager", "NObjects"), 0)
        self.assertNotEqual(self.peer.service_pid(), service.pid)

    def test_bus_gone(self):
        """Without a bus there is nothing to do."""
        service = self.start()
        self.bus.daemon.kill()
        self.assertEqual(service.wait(30), 0)

    def test_idle(self):
        """Unused, it ends; what is used keeps it."""
        service = self.start("--idle-timeout=1")
        queue = self.make_queue()
        call = self.peer.begin(queue, "Queue.Get", "(a{sv})", {"timeout": v("d", 2.5)})
        with self.assert_error("TimedOut"):
            call.result()
        self.assertIsNone(service.poll())
        self.peer.call(queue, "Object.Close", "(a{sv})", {})
        self.assertEqual(service.wait(30), 0)

    def test_named_is_use(self):
        """A named object keeps the service after its maker has left."""
        service = self.start("--idle-timeout=1")
        other = self.connect()
        self.make_queue(other, name=v("s", "kept"))
        other.close()
        call = self.peer.begin("/queue/kept", "Queue.Get", "(a{sv})", {"timeout": v("d", 2.5)})
        with self.assert_error("TimedOut"):
            call.result()
        self.assertIsNone(service.poll())
        self.peer.call("/queue/kept", "Object.Unlink")
        self.assertEqual(service.wait(30), 0)

    def owner(self):
        """The unique name of the service."""
        return self.peer.connection.call_sync(
            "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetNameOwner",
            v("(s)", (NAME,)), None, 0, -1, None).unpack()[0]

    def test_drain(self):
        """What was sent to it before it gave up its name is answered; then a new one is."""
        service = self.start("--idle-timeout=1")
        owner = self.owner()
        wait_until(lambda: not self.peer.has_service(), "the end of the name")
        self.assertEqual(self.peer.call("", "Manager.ListNames", "(s)", "", name=owner), [])
        self.assertEqual(self.peer.call("", "Manager.ListNames", "(s)", ""), [])
        self.assertNotEqual(self.owner(), owner)
        self.assertEqual(service.wait(30), 0)

    def test_drain_revives(self):
        """What is made at the last moment keeps it."""
        service = self.start("--idle-timeout=1")
        owner = self.owner()
        wait_until(lambda: not self.peer.has_service(), "the end of the name")
        self.peer.call("", "Manager.CreateQueue", "(a{sv})", {"name": v("s", "late")}, name=owner)
        wait_until(self.peer.has_service, "the name")
        self.assertEqual(self.owner(), owner)
        self.peer.call("/queue/late", "Object.Unlink")
        self.assertEqual(service.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
