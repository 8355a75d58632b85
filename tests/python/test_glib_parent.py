# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""A parent like a GTK program: GLib's threads run and a bus connection is open.

Processes and pools work there. A child that the standard library forks there hangs
as soon as it uses GLib, which the test shows beside it.
"""

import os
import sys
import unittest

from gi.repository import Gio, GLib

import multiprocessing
import multiprocessing_gi as mp

import tasks

LIMIT = 20

_BUS = Gio.TestDBus.new(Gio.TestDBusFlags.NONE)


def thread_names():
    """The names of this process's threads."""
    names = []
    for thread in os.listdir('/proc/self/task'):
        with open(f'/proc/self/task/{thread}/comm', encoding='utf-8') as file:
            names.append(file.read().strip())
    return names


def use_glib(_item=None):
    """Use GLib's worker threads and the bus, as an application does."""
    contents = []
    loop = GLib.MainLoop()

    def loaded(file, result):
        contents.append(len(file.load_contents_finish(result)[1]))
        loop.quit()

    Gio.File.new_for_path('/proc/self/status').load_contents_async(None, loaded)
    loop.run()
    if os.environ.get('DBUS_SESSION_BUS_ADDRESS'):
        bus = Gio.bus_get_sync(Gio.BusType.SESSION)
        reply = bus.call_sync('org.freedesktop.DBus', '/org/freedesktop/DBus',
                              'org.freedesktop.DBus', 'GetId', None, None,
                              Gio.DBusCallFlags.NONE, 10_000, None)
        contents.append(reply.unpack()[0])
    return contents


def exit_after_use():
    """Use GLib and end."""
    if len(use_glib()) != 2:
        sys.exit(1)


class TestGLibParent(unittest.TestCase):
    """Both libraries in the same state."""

    @classmethod
    def setUpClass(cls):
        _BUS.up()
        # The C environment has it; Python's copy of it was made before.
        os.environ['DBUS_SESSION_BUS_ADDRESS'] = _BUS.get_bus_address()
        use_glib()
        # GSubprocess needs GLib's own main loop thread.
        Gio.Subprocess.new(['true'], Gio.SubprocessFlags.NONE).wait(None)
        cls.names = thread_names()

    @classmethod
    def tearDownClass(cls):
        del os.environ['DBUS_SESSION_BUS_ADDRESS']
        _BUS.stop()

    def test_state(self):
        self.assertIn('gmain', self.names)
        self.assertIn('gdbus', self.names)
        self.assertTrue([name for name in self.names if name.startswith('pool')])

    def test_process(self):
        for method in ('forkserver', 'spawn'):
            process = mp.get_context(method).Process(target=exit_after_use)
            process.start()
            process.join(LIMIT)
            self.assertEqual(process.exitcode, 0)

    def test_pool(self):
        with mp.Pool(2) as pool:
            self.assertEqual(pool.map(tasks.square, range(100)), [n * n for n in range(100)])
            uses = pool.map_async(use_glib, range(4), chunksize=1).get(LIMIT)
            self.assertEqual([len(use) for use in uses], [2] * 4)

    def test_main_loop_turns(self):
        """Results come while a main loop runs, and signals come through it."""
        loop, seen = GLib.MainLoop(), []
        with mp.Pool(1) as pool:
            result = pool.apply_async(tasks.square, (3,))
            result.gobject.connect('completed', lambda job: (seen.append(job), loop.quit()))
            GLib.timeout_add_seconds(LIMIT, loop.quit)
            loop.run()
            self.assertEqual(result.get(0), 9)
        self.assertEqual(len(seen), 1)

    def test_the_standard_library_hangs(self):
        process = multiprocessing.get_context('fork').Process(target=exit_after_use)
        process.start()
        process.join(3)
        try:
            self.assertIsNone(process.exitcode, 'forking under GLib has become safe')
        finally:
            process.kill()
            process.join()


if __name__ == '__main__':
    unittest.main()
