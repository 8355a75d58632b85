# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Descriptors and shared objects inside of messages of the plain library's queues."""

import os
import signal
import subprocess
import sys
import textwrap
import unittest

from gi.repository import Gio, GLib, Mp

raw = Mp.raw
FAR = 60 * 1000 * 1000


def run(code, name):
    """A process that has nothing of ours but the name of a queue."""
    prelude = """
        import os, signal, sys
        from gi.repository import Gio, GLib, Mp
        raw = Mp.raw
        queue = raw.Shareable.open(sys.argv[1])
    """
    return subprocess.Popen([sys.executable, "-c",
                             textwrap.dedent(prelude) + textwrap.dedent(code), name])


class TestQueueFds(unittest.TestCase):
    """Between programs that know each other by a name only."""

    def setUp(self):
        self.queue = raw.Queue.new_carrying_fds(0, 0)
        self.name = f"test-queue-fds-{os.getpid()}"
        self.queue.publish(self.name)
        self.n_before = len(os.listdir("/proc/self/fd"))

    def tearDown(self):
        raw.Shareable.unpublish(self.name)

    def test_from_the_dead(self):
        process = run("""
            read, write = os.pipe()
            os.write(write, b"from the dead")
            queue.put_with_fds(GLib.Variant("(sh)", ("pipe", 0)),
                               Gio.UnixFDList.new_from_array([read]), -1, None)
            os.kill(os.getpid(), signal.SIGKILL)
        """, self.name)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        value, fd_list = self.queue.get_with_fds(0, None)
        self.assertEqual(value.unpack(), ("pipe", 0))
        fd, = fd_list.steal_fds()
        with open(fd, "rb") as file:
            self.assertEqual(file.read(), b"from the dead")
        self.assertEqual(len(os.listdir("/proc/self/fd")), self.n_before)

    def test_both_ways(self):
        answers = raw.Queue.new_carrying_fds(0, 0)
        self.queue.put_shareable(answers, 0, None)
        process = run("""
            answers = queue.get_shareable(-1, None)
            lock = raw.Lock.new()
            lock.acquire(-1, None)
            answers.put_shareable(lock, -1, None)
            queue.get_with_fds(-1, None)
        """, self.name)
        lock = answers.get_shareable(FAR, None)
        self.assertEqual(lock.get_holder_pid(), process.pid)
        self.queue.put_with_fds(GLib.Variant("s", "end"), None, 0, None)
        self.assertEqual(process.wait(), 0)

    def test_refused(self):
        read, write = os.pipe()
        with open(read, "rb") as file:
            self.queue.put_payload_with_fds(b"bytes", raw.Codec.RAW,
                                            Gio.UnixFDList.new_from_array([write]), 0, None)
            with self.assertRaises(GLib.Error) as caught:
                self.queue.get(0, None)
            self.assertTrue(caught.exception.matches(raw.error_quark(),
                                                     raw.Error.NOT_SUPPORTED))
            data, codec, fd_list = self.queue.get_bytes_with_fds(0, None)
            self.assertEqual((data.get_data(), codec), (b"bytes", int(raw.Codec.RAW)))
            os.write(fd_list.peek_fds()[0], b"!")
            del fd_list
            self.assertEqual(file.read(), b"!")

    def test_async(self):
        loop, results = GLib.MainLoop(), []

        def on_got(queue, result):
            results.append(queue.get_with_fds_finish(result))
            loop.quit()

        self.queue.get_with_fds_async(None, on_got)
        read, write = os.pipe()
        fd_list = Gio.UnixFDList.new_from_array([write])
        self.queue.put_with_fds_async(GLib.Variant("i", 5), fd_list, None,
                                      lambda queue, result: queue.put_with_fds_finish(result))
        del fd_list
        loop.run()
        (value, fd_list), = results
        self.assertEqual((value.unpack(), fd_list.get_length()), (5, 1))
        results.clear()
        del fd_list
        with open(read, "rb") as file:
            self.assertEqual(file.read(), b"")


if __name__ == "__main__":
    unittest.main()
