# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""org.libmp.Mp1.Queue: values through the bus, and nothing lost."""

import signal
import unittest

import gi
from gi.repository import Gio, GLib

from bus import PATH, ServiceCase, iterate_until, v, wait_until

gi.require_version("Mp", "1")
from gi.repository import Mp  # noqa: E402

NOW = {"timeout": v("d", 0.0)}
SOON = {"timeout": v("d", 0.2)}

OPEN = """
import sys
import gi
gi.require_version("Mp", "1")
from gi.repository import Gio, GLib, Mp

def open_queue(path):
    bus = Gio.bus_get_sync(Gio.BusType.SESSION, None)
    handle, fds = bus.call_with_unix_fd_list_sync(
        "org.libmp.Mp1", path, "org.libmp.Mp1.Queue", "Open", GLib.Variant("(a{sv})", ({},)),
        None, Gio.DBusCallFlags.NONE, -1, None, None)
    return Mp.raw.Shareable.new_from_handle(handle, fds)

there, back = map(open_queue, sys.argv[1:])
while True:
    text = there.get(-1, None).unpack() + " and back"
    back.put(GLib.Variant("s", text), -1, None)
"""


class QueueTest(ServiceCase):
    """One queue, many connections."""

    def put(self, queue, signature, value, options=None, peer=None):
        """Puts one value."""
        (peer or self.peer).call(queue, "Queue.Put", "(va{sv})", v(signature, value), options or {})

    def take(self, queue, options=None, peer=None):
        """Takes one value."""
        return (peer or self.peer).call(queue, "Queue.Get", "(a{sv})", options or {})

    def waiters(self, queue):
        """How many calls wait."""
        return self.peer.get(queue, "Queue", "Waiters")

    def wait_for_waiters(self, queue, number):
        """Until so many calls wait."""
        wait_until(lambda: self.waiters(queue) == number, f"{number} waiting calls")

    def test_values(self):
        """What is put is got, in order, whatever it is."""
        queue = self.make_queue()
        values = [("x", -1), ("s", "hällo"), ("a{sv}", {"k": v("ad", [1.0])}), ("ay", b"\0\1"),
                  ("(ib)", (1, True)), ("v", v("v", v("u", 7)))]
        for signature, value in values:
            self.put(queue, signature, value)
        self.assertEqual(self.peer.get(queue, "Queue", "Size"), len(values))
        for signature, value in values:
            answer = self.peer.call_raw(queue, "Queue.Get", GLib.Variant("(a{sv})", ({},)))
            got = answer.get_child_value(0).get_variant()
            self.assertTrue(got.equal(v(signature, value)), f"{got} for {value}")
        self.assertEqual(self.peer.get(queue, "Queue", "Size"), 0)

    def test_many(self):
        """Many at a time."""
        queue = self.make_queue()
        items = [v("i", number) for number in range(1000)]
        self.assertEqual(self.peer.call(queue, "Queue.PutMany", "(ava{sv})", items, {}), 1000)
        self.assertEqual(self.peer.call(queue, "Queue.GetMany", "(ua{sv})", 10, {}),
                         list(range(10)))
        self.assertEqual(self.peer.call(queue, "Queue.GetMany", "(ua{sv})", 100000, {}),
                         list(range(10, 1000)))
        with self.assert_error("Empty"):
            self.peer.call(queue, "Queue.GetMany", "(ua{sv})", 1, NOW)
        with self.assert_error("InvalidArgument", "max"):
            self.peer.call(queue, "Queue.GetMany", "(ua{sv})", 0, NOW)

    def test_bounded_in_time(self):
        """A wait ends in time, and takes nothing."""
        queue = self.make_queue(**{"max-size": v("u", 1)})
        with self.assert_error("Empty"):
            self.take(queue, NOW)
        with self.assert_error("TimedOut", "0.2 seconds"):
            self.take(queue, SOON)
        self.put(queue, "s", "first")
        with self.assert_error("Full"):
            self.put(queue, "s", "second", NOW)
        with self.assert_error("TimedOut"):
            self.put(queue, "s", "second", SOON)
        self.assertEqual(self.take(queue, NOW), "first")
        with self.assert_error("Empty"):
            self.take(queue, NOW)

    def test_waiting_get(self):
        """An item that comes while calls wait goes to the oldest."""
        queue = self.make_queue(name=v("s", "waiting-get"))
        others = [self.connect() for _ in range(3)]
        calls = []
        for number, other in enumerate(others):
            calls.append(other.begin(queue, "Queue.Get", "(a{sv})", {}))
            iterate_until(lambda: self.waiters(queue) == number + 1, "one more waiter")
        with self.assert_error("Empty"):
            self.take(queue, NOW)
        for number in range(3):
            self.put(queue, "i", number)
        self.assertEqual([call.result() for call in calls], [0, 1, 2])

    def test_waiting_put(self):
        """Room that comes while calls wait goes to the oldest."""
        queue = self.make_queue(name=v("s", "waiting-put"), **{"max-size": v("u", 1)})
        self.put(queue, "i", 0)
        others = [self.connect() for _ in range(3)]
        calls = []
        for number, other in enumerate(others, 1):
            calls.append(other.begin(queue, "Queue.Put", "(va{sv})", v("i", number), {}))
            iterate_until(lambda: self.waiters(queue) == number, "one more waiter")
        self.assertEqual([self.take(queue) for _ in range(4)], [0, 1, 2, 3])
        for call in calls:
            self.assertIsNone(call.result())

    def test_put_many_partly(self):
        """What fits in time is put, and its number told."""
        queue = self.make_queue(**{"max-size": v("u", 3)})
        items = [v("i", number) for number in range(5)]
        self.assertEqual(self.peer.call(queue, "Queue.PutMany", "(ava{sv})", items, SOON), 3)
        with self.assert_error("TimedOut"):
            self.peer.call(queue, "Queue.PutMany", "(ava{sv})", items, SOON)
        call = self.peer.begin(queue, "Queue.PutMany", "(ava{sv})", items, {})
        got = [self.take(queue) for _ in range(8)]
        self.assertEqual(got, [0, 1, 2, 0, 1, 2, 3, 4])
        self.assertEqual(call.result(), 5)

    def test_killed_getter(self):
        """Who is killed while it waits takes nothing."""
        queue = self.make_queue(name=v("s", "killed-getter"))
        for number in range(20):
            process = self.spawn_call(queue, "Queue.Get", "{}")
            self.wait_for_waiters(queue, 1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.put(queue, "i", number)
            self.assertEqual(self.take(queue), number)
            self.wait_for_waiters(queue, 0)

    def test_killed_first_getter(self):
        """The next in line gets what the dead one would have got."""
        queue = self.make_queue(name=v("s", "killed-first"))
        process = self.spawn_call(queue, "Queue.Get", "{}")
        self.wait_for_waiters(queue, 1)
        call = self.peer.begin(queue, "Queue.Get", "(a{sv})", {})
        iterate_until(lambda: self.waiters(queue) == 2, "both wait")
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.put(queue, "s", "for the living")
        self.assertEqual(call.result(), "for the living")

    def test_killed_putter(self):
        """Who is killed while it waits for room puts nothing."""
        queue = self.make_queue(name=v("s", "killed-putter"), **{"max-size": v("u", 1)})
        self.put(queue, "i", 1)
        process = self.spawn_call(queue, "Queue.Put", "<2>", "{}")
        self.wait_for_waiters(queue, 1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.wait_for_waiters(queue, 0)
        self.assertEqual(self.take(queue), 1)
        with self.assert_error("Empty"):
            self.take(queue, NOW)

    def test_client_gives_up(self):
        """A client that waits less long than the service loses nothing by leaving."""
        queue = self.make_queue(name=v("s", "gives-up"))
        process = self.bus.run("gdbus", "call", "-e", "-t", "1", "-d", "org.libmp.Mp1", "-o",
                               PATH + queue, "-m", "org.libmp.Mp1.Queue.Get", "{}")
        self.assertIn("Timeout", process.stderr)
        self.wait_for_waiters(queue, 0)
        self.put(queue, "s", "still here")
        self.assertEqual(self.take(queue, NOW), "still here")

    def test_cancel(self):
        """A request ends the wait of its own caller, and is nobody else's."""
        queue = self.make_queue(name=v("s", "cancel"))
        call = self.peer.begin(queue, "Queue.Get", "(a{sv})", {"handle-token": v("s", "t-1")})
        iterate_until(lambda: self.waiters(queue) == 1, "the wait")
        request = f"/request/{self.peer.sender}/t_2d1"
        with self.assert_error("Exists"):
            self.take(queue, {"handle-token": v("s", "t-1")})
        with self.assert_error("org.freedesktop.DBus.Error.AccessDenied"):
            self.connect().call(request, "Request.Cancel")
        self.assertEqual(self.waiters(queue), 1)
        self.peer.call(request, "Request.Cancel")
        with self.assert_error("Cancelled"):
            call.result()
        with self.assert_error("org.freedesktop.DBus.Error.UnknownMethod"):
            self.peer.call(request, "Request.Cancel")
        self.put(queue, "i", 1)
        self.assertEqual(self.take(queue, NOW), 1)

    def test_close_intake(self):
        """A queue that takes no more can be emptied, then says so, and ends waits."""
        queue = self.make_queue(name=v("s", "intake"))
        self.put(queue, "i", 1)
        self.assertFalse(self.peer.get(queue, "Queue", "IntakeClosed"))
        self.peer.call(queue, "Queue.CloseIntake", "(a{sv})", {})
        self.assertTrue(self.peer.get(queue, "Queue", "IntakeClosed"))
        with self.assert_error("Closed"):
            self.put(queue, "i", 2)
        self.assertEqual(self.take(queue), 1)
        with self.assert_error("Closed"):
            self.take(queue)

    def test_close_intake_while_waiting(self):
        """Those who wait learn that nothing will come."""
        queue = self.make_queue()
        call = self.peer.begin(queue, "Queue.Get", "(a{sv})", {})
        iterate_until(lambda: self.waiters(queue) == 1, "the wait")
        self.peer.call(queue, "Queue.CloseIntake", "(a{sv})", {})
        with self.assert_error("Closed"):
            call.result()

    def test_close_while_waiting(self):
        """The end of the object ends its waits."""
        queue = self.make_queue(**{"max-size": v("u", 1)})
        getter = self.peer.begin(queue, "Queue.Get", "(a{sv})", {})
        iterate_until(lambda: self.waiters(queue) == 1, "the wait")
        self.peer.call(queue, "Object.Close", "(a{sv})", {})
        with self.assert_error("Closed"):
            getter.result()
        queue = self.make_queue(**{"max-size": v("u", 1)})
        self.put(queue, "i", 1)
        putter = self.peer.begin(queue, "Queue.Put", "(va{sv})", v("i", 2), {})
        iterate_until(lambda: self.waiters(queue) == 1, "the wait")
        self.peer.call(queue, "Object.Close", "(a{sv})", {})
        with self.assert_error("Closed"):
            putter.result()

    def test_too_large(self):
        """An item above the bound is refused with both sizes."""
        queue = self.make_queue(**{"max-bytes": v("t", 4096)})
        with self.assert_error("Limit"):
            self.put(queue, "ay", bytes(100000))
        self.put(queue, "ay", bytes(100))
        self.assertEqual(len(self.take(queue)), 100)

    def test_wrong_types(self):
        """Arguments and options of the wrong type are named."""
        queue = self.make_queue()
        with self.assert_error("org.freedesktop.DBus.Error.InvalidArgs"):
            self.peer.call(queue, "Queue.Put", "(sa{sv})", "not a variant", {})
        with self.assert_error("InvalidArgument", '"timeout" must have the type d'):
            self.take(queue, {"timeout": v("i", 1)})
        with self.assert_error("InvalidArgument", "timeout"):
            self.take(queue, {"timeout": v("d", -3.0)})
        with self.assert_error("InvalidArgument", "max-size"):
            self.make_queue(**{"max-size": v("s", "many")})

    def test_descriptors(self):
        """Descriptors are no values."""
        queue = self.make_queue()
        fds = Gio.UnixFDList.new()
        fds.append(0)
        with self.assert_error("NotSupported"):
            self.peer.connection.call_with_unix_fd_list_sync(
                "org.libmp.Mp1", PATH + queue, "org.libmp.Mp1.Queue", "Put",
                GLib.Variant("(va{sv})", (v("h", 0), {})), None, Gio.DBusCallFlags.NONE, -1, fds,
                None)

    def test_private(self):
        """An anonymous queue is its maker's alone, and ends with it."""
        other = self.connect()
        queue = self.make_queue(other, **{"handle-token": v("s", "mine")})
        self.assertEqual(queue, f"/queue/{other.sender}/mine")
        with self.assert_error("org.freedesktop.DBus.Error.AccessDenied"):
            self.take(queue, NOW)
        self.put(queue, "i", 1, peer=other)
        before = self.peer.get("", "Manager", "NObjects")
        other.close()
        wait_until(lambda: self.peer.get("", "Manager", "NObjects") < before, "its end")
        with self.assert_error("org.freedesktop.DBus.Error.UnknownMethod"):
            self.take(queue, NOW)

    def open(self, queue):
        """The queue in this process's memory."""
        handle, fds = self.peer.connection.call_with_unix_fd_list_sync(
            "org.libmp.Mp1", PATH + queue, "org.libmp.Mp1.Queue", "Open",
            GLib.Variant("(a{sv})", ({},)), None, Gio.DBusCallFlags.NONE, -1, None, None)
        return Mp.raw.Shareable.new_from_handle(handle, fds)

    def test_open(self):
        """The queue works in the memory of other processes, and wakes the bus's callers."""
        there = self.make_queue(name=v("s", "there"))
        back = self.make_queue(name=v("s", "back"))
        self.spawn_python(OPEN, PATH + there, PATH + back)
        for number in range(100):
            self.put(there, "s", f"item {number}")
            self.assertEqual(self.take(back), f"item {number} and back")

    def test_open_killed(self):
        """Who works in the shared memory may be killed at any time."""
        there = self.make_queue(name=v("s", "there-killed"))
        back = self.make_queue(name=v("s", "back-killed"))
        for number in range(5):
            process = self.spawn_python(OPEN, PATH + there, PATH + back)
            self.put(there, "s", str(number))
            self.assertEqual(self.take(back), f"{number} and back")
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.put(there, "s", "left")
            self.assertEqual(self.take(there, NOW), "left")

    def test_open_outlives(self):
        """The end of the queue's object is told in the shared memory."""
        queue = self.make_queue()
        opened = self.open(queue)
        opened.put(v("i", 1), 0, None)
        self.assertEqual(self.take(queue), 1)
        self.peer.call(queue, "Object.Close", "(a{sv})", {})
        self.assertTrue(opened.get_closed())

    def test_foreign_items(self):
        """What the bus cannot carry is refused, and stays in the queue."""
        queue = self.make_queue()
        opened = self.open(queue)
        opened.put_payload(b"\x80\x05N.", Mp.raw.Codec.PICKLE, 0, None)
        opened.put_payload(b"raw", Mp.raw.Codec.RAW, 0, None)
        with self.assert_error("NotSupported", "pickle"):
            self.take(queue, NOW)
        self.assertEqual(self.take(queue, NOW), list(b"raw"))
        self.assertEqual(self.peer.get(queue, "Queue", "Size"), 1)
        opened.put(v("mi", 1), 0, None)
        opened.put(v("i", 1), 0, None)
        with self.assert_error("NotSupported", "pickle"):
            self.take(queue, NOW)
        with self.assert_error("Type", "maybe"):
            self.take(queue, NOW)
        self.assertEqual(self.take(queue, NOW), 1)
        self.assertEqual(opened.get_length(), 2)

    def test_foreign_items_among_many(self):
        """What can be carried is; what cannot is next."""
        queue = self.make_queue()
        opened = self.open(queue)
        opened.put(v("i", 1), 0, None)
        opened.put(v("()", ()), 0, None)
        opened.put(v("i", 2), 0, None)
        self.assertEqual(self.peer.call(queue, "Queue.GetMany", "(ua{sv})", 10, NOW), [1])
        self.assertEqual(self.peer.get(queue, "Queue", "Size"), 2)
        with self.assert_error("Type", "empty"):
            self.take(queue, NOW)
        self.assertEqual(self.take(queue, NOW), 2)

    def test_foreign_item_in_full_queue(self):
        """Even when there is no room to put it back, it is not lost."""
        queue = self.make_queue(**{"max-size": v("u", 1)})
        opened = self.open(queue)
        opened.put(v("mi", 1), 0, None)
        opened.close()
        for _ in range(3):
            with self.assert_error("Type", "maybe"):
                self.take(queue, NOW)
        self.assertEqual(self.peer.get(queue, "Queue", "Size"), 1)


if __name__ == "__main__":
    unittest.main()
