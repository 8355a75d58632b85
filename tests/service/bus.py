# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""A private session bus on which the built service is activated, and what its tests need."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import unittest

import gi
from gi.repository import Gio, GLib

gi.require_version("Gio", "2.0")

NAME = "org.libmp.Mp1"
PATH = "/org/libmp/Mp1"
BUILD = os.environ["MP_BUILDDIR"]
SOURCE = os.environ["MP_SRCDIR"]
PROGRAM = os.path.join(BUILD, "mpservice", "mpservice")
SECONDS = 30


def wait_until(condition, what, seconds=SECONDS):
    """Looks at a condition until it holds; what it gives then."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(0.005)


class Bus:
    """A dbus-daemon of its own, that finds the service of the build tree only."""

    def __init__(self):
        self.environment = dict(os.environ, XDG_DATA_DIRS=os.path.join(BUILD, "data"))
        self.environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
        self.environment.pop("DBUS_STARTER_ADDRESS", None)
        self.daemon = subprocess.Popen(
            ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"],
            env=self.environment, stdout=subprocess.PIPE, text=True)
        self.address = self.daemon.stdout.readline().strip()
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = self.address

    def connect(self):
        """A connection of its own."""
        flags = (Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT
                 | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION)
        return Gio.DBusConnection.new_for_address_sync(self.address, flags, None, None)

    def start_service(self, *options):
        """Starts the service by hand."""
        return subprocess.Popen([*runner(), PROGRAM, *options], env=self.environment,
                                stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, **options):
        """Runs a program on this bus."""
        return subprocess.run(arguments, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False,
                              **options)

    def stop(self):
        """Ends the bus, and with it whoever is on it."""
        self.daemon.terminate()
        self.daemon.wait()
        self.daemon.stdout.close()


def runner():
    """What the service is run by: a command in MP_TEST_SERVICE_RUNNER, such as valgrind."""
    return os.environ.get("MP_TEST_SERVICE_RUNNER", "").split()


class Peer:
    """A connection to the bus and the calls it makes."""

    def __init__(self, bus):
        self.connection = bus.connect()
        self.name = self.connection.get_unique_name()
        self.sender = self.name[1:].replace(".", "_")

    def call(self, path, method, signature="()", *values, timeout=25, name=NAME):
        """Calls INTERFACE.METHOD of a path below the service's; the answer, unpacked."""
        answer = self.call_raw(path, method, GLib.Variant(signature, values), timeout, name)
        values = answer.unpack()
        return values[0] if len(values) == 1 else values or None

    def call_raw(self, path, method, arguments, timeout=25, name=NAME):
        """The same, with variants."""
        interface, member = f"org.libmp.Mp1.{method}".rsplit(".", 1)
        return self.connection.call_sync(name, PATH + path, interface, member, arguments, None,
                                         Gio.DBusCallFlags.NONE, timeout * 1000, None)

    def begin(self, path, method, signature="()", *values):
        """Starts a call; gives what tells its outcome."""
        call = Call(self)
        interface, member = f"org.libmp.Mp1.{method}".rsplit(".", 1)
        self.connection.call(NAME, PATH + path, interface, member,
                             GLib.Variant(signature, values), None, Gio.DBusCallFlags.NONE,
                             60000, None, call.done)
        return call

    def get(self, path, interface, member):
        """A property."""
        answer = self.connection.call_sync(
            NAME, PATH + path, "org.freedesktop.DBus.Properties", "Get",
            GLib.Variant("(ss)", ("org.libmp.Mp1." + interface, member)), None,
            Gio.DBusCallFlags.NONE, 25000, None)
        return answer.unpack()[0]

    def service_pid(self):
        """The process that has the service's name."""
        answer = self.connection.call_sync(
            "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetConnectionUnixProcessID",
            GLib.Variant("(s)", (NAME,)), None, Gio.DBusCallFlags.NONE, 25000, None)
        return answer.unpack()[0]

    def has_service(self):
        """Whether somebody has the service's name."""
        answer = self.connection.call_sync(
            "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner",
            GLib.Variant("(s)", (NAME,)), None, Gio.DBusCallFlags.NONE, 25000, None)
        return answer.unpack()[0]

    def listen(self, interface, member):
        """Collects the arguments of a signal, with the path in front."""
        heard = []

        def collect(_connection, _sender, path, _interface, _member, arguments):
            heard.append((path[len(PATH):], *arguments.unpack()))

        # From whoever has the name, and had it: who was replaced still has something to say.
        self.connection.signal_subscribe(None, "org.libmp.Mp1." + interface, member, None, None,
                                         Gio.DBusSignalFlags.NONE, collect)
        return heard

    def close(self):
        """Leaves the bus."""
        if not self.connection.is_closed():
            self.connection.close_sync(None)


class Call:
    """A call under way."""

    def __init__(self, peer):
        self.peer = peer
        self.finished = False
        self.value = self.error = None

    def done(self, connection, result):
        """It was answered."""
        self.finished = True
        try:
            values = connection.call_finish(result).unpack()
            self.value = values[0] if len(values) == 1 else values or None
        except GLib.Error as error:
            self.error = error

    def result(self):
        """What it was answered with."""
        iterate_until(lambda: self.finished, "an answer")
        if self.error is not None:
            raise self.error
        return self.value


def iterate_until(condition, what, seconds=SECONDS):
    """Turns the main loop, and looks at a condition until it holds."""
    end = time.monotonic() + seconds
    source = GLib.timeout_add(5, lambda: GLib.SOURCE_CONTINUE)
    try:
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not in {seconds} s: {what}")
            GLib.MainContext.default().iteration(True)
    finally:
        GLib.source_remove(source)


class ServiceCase(unittest.TestCase):
    """A bus for the tests of a class; a connection for each test."""

    @classmethod
    def setUpClass(cls):
        cls.bus = Bus()
        cls.addClassCleanup(cls.bus.stop)
        if runner():
            service = cls.bus.start_service()
            service.stderr.close()
            cls.addClassCleanup(cls.end, service)
            peer = Peer(cls.bus)
            wait_until(peer.has_service, "the service's name")
            peer.close()

    @classmethod
    def end(cls, service):
        """Ends a service that was started by hand: its runner must find nothing to say."""
        service.send_signal(signal.SIGTERM)
        status = service.wait()
        if status != 0:
            raise AssertionError(f"the service, run by {runner()[0]}, ended with {status}")

    def setUp(self):
        self.peer = self.connect()

    def connect(self):
        """One more connection, until the end of the test."""
        peer = Peer(self.bus)
        self.addCleanup(peer.close)
        return peer

    @contextlib.contextmanager
    def assert_error(self, name, text=""):
        """The block must raise the error of this name, with this in its message."""
        with self.assertRaises(GLib.Error) as caught:
            yield caught
        remote = Gio.dbus_error_get_remote_error(caught.exception)
        full = name if "." in name else "org.libmp.Mp1.Error." + name
        self.assertEqual(remote, full, caught.exception.message)
        self.assertIn(text, caught.exception.message)

    def make_queue(self, peer=None, **options):
        """Makes a queue; its path below the service's."""
        path = (peer or self.peer).call("", "Manager.CreateQueue", "(a{sv})", options)
        return path[len(PATH):]

    def spawn(self, *arguments):
        """Starts a program on the bus; killed at the end of the test."""
        process = subprocess.Popen(arguments, env=self.bus.environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)

        def end():
            process.kill()
            process.wait()
            process.stdout.close()

        self.addCleanup(end)
        return process

    def spawn_call(self, path, method, *arguments):
        """Starts a gdbus call, whose process can be killed."""
        return self.spawn("gdbus", "call", "-e", "-d", NAME, "-o", PATH + path, "-m",
                          "org.libmp.Mp1." + method, *arguments)

    def spawn_python(self, code, *arguments):
        """Starts this Python with some code."""
        return self.spawn(sys.executable, "-c", code, *arguments)


def v(signature, value):
    """A variant."""
    return GLib.Variant(signature, value)
