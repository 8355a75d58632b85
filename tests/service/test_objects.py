# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""org.libmp.Mp1.Manager and org.libmp.Mp1.Object: names, owners, references, caps."""

import unittest

from bus import NAME, PATH, ServiceCase, iterate_until, v, wait_until

NOW = {"timeout": v("d", 0.0)}
GONE = "org.freedesktop.DBus.Error.UnknownMethod"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"


class ObjectsTest(ServiceCase):
    """Whose things are, and how many."""

    def names(self, kind=""):
        """The named objects."""
        return self.peer.call("", "Manager.ListNames", "(s)", kind)

    def managed(self):
        """What the ObjectManager lists."""
        return self.peer.connection.call_sync(
            NAME, PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", None, None, 0,
            -1, None).unpack()[0]

    def test_properties(self):
        """The manager tells what there is."""
        self.assertRegex(self.peer.get("", "Manager", "Version"), r"^\d+\.\d+\.\d+$")
        self.assertEqual(self.peer.get("", "Manager", "StartMethods"), ["forkserver", "spawn"])
        self.assertLessEqual({"pool", "queue", "runtime-python", "runtime-command"},
                             set(self.peer.get("", "Manager", "Features")))

    def test_names(self):
        """A name leads to its object, from every connection, until it is unlinked."""
        other = self.connect()
        path = self.make_queue(other, name=v("s", "my-jobs.1"))
        self.assertEqual(path, "/queue/my_2djobs_2e1")
        other.close()
        self.assertEqual(self.peer.call("", "Manager.Lookup", "(ss)", "queue", "my-jobs.1"),
                         PATH + path)
        self.assertEqual(self.names("queue"), [("my-jobs.1", PATH + path)])
        self.assertEqual(self.names("pool"), [])
        self.assertEqual(list(self.managed()), [PATH + path])
        self.assertEqual(self.peer.get(path, "Object", "Name"), "my-jobs.1")
        self.assertEqual(self.peer.get(path, "Object", "Owner"), other.name)
        self.assertEqual(self.peer.get(path, "Object", "Kind"), "queue")
        self.assertGreater(self.peer.get(path, "Object", "Created"), 1_600_000_000_000_000)
        with self.assert_error("Exists", path):
            self.make_queue(name=v("s", "my-jobs.1"))
        self.peer.call(path, "Object.Unlink")
        with self.assert_error("NotFound", "my-jobs.1"):
            self.peer.call("", "Manager.Lookup", "(ss)", "queue", "my-jobs.1")
        with self.assert_error(GONE):
            self.peer.call(path, "Object.Unlink")
        self.assertEqual(self.managed(), {})
        self.peer.call(self.make_queue(name=v("s", "my-jobs.1")), "Object.Close", "(a{sv})", {})

    def test_references(self):
        """An unlinked object lives as long as somebody holds it."""
        other = self.connect()
        path = self.make_queue(name=v("s", "held"))
        self.peer.call(path, "Object.Ref")
        self.peer.call(path, "Object.Ref")
        other.call(path, "Object.Ref")
        self.peer.call(path, "Object.Unlink")
        self.assertEqual(self.names(), [])
        with self.assert_error("NotFound"):
            self.peer.call(path, "Object.Unlink")
        with self.assert_error("Exists"):
            self.make_queue(name=v("s", "held"))
        self.peer.call(path, "Object.Unref")
        self.peer.call(path, "Object.Unref")
        with self.assert_error("NotOwner"):
            self.peer.call(path, "Object.Unref")
        self.assertEqual(self.peer.get(path, "Queue", "Size"), 0)
        closed = self.peer.listen("Object", "Closed")
        other.close()
        iterate_until(lambda: closed, "the end")
        self.assertEqual(closed, [(path, "unlinked")])
        self.peer.call(self.make_queue(name=v("s", "held")), "Object.Unlink")

    def test_nameless(self):
        """What has no name cannot be held by reference."""
        path = self.make_queue()
        for method in ("Ref", "Unlink"):
            with self.assert_error("NotSupported", "no name"):
                self.peer.call(path, "Object." + method)
        with self.assert_error("NotOwner"):
            self.peer.call(path, "Object.Unref")
        self.assertNotIn(PATH + path, self.managed())

    def test_lifetime_owner(self):
        """A named object of a connection: used by all, ended by its owner, and with it."""
        owner = self.connect()
        path = self.make_queue(owner, name=v("s", "mine"), lifetime=v("s", "owner"))
        self.peer.call(path, "Queue.Put", "(va{sv})", v("i", 1), {})
        for method in ("Object.Close", "Queue.CloseIntake"):
            with self.assert_error(DENIED):
                self.peer.call(path, method, "(a{sv})", {})
        with self.assert_error(DENIED):
            self.peer.call(path, "Object.Unlink")
        self.peer.call(path, "Object.Ref")
        closed = self.peer.listen("Object", "Closed")
        owner.close()
        iterate_until(lambda: closed, "the end")
        self.assertEqual(closed, [(path, "owner-left")])
        self.assertEqual(self.names(), [])

    def test_bad_options(self):
        """A bad option is named; an unknown one is none."""
        cases = [({"name": v("s", "")}, "name"), ({"name": v("s", "a b")}, "name"),
                 ({"name": v("i", 1)}, "name"), ({"handle-token": v("s", "/")}, "handle-token"),
                 ({"lifetime": v("s", "forever")}, "lifetime"),
                 ({"lifetime": v("s", "named")}, "lifetime"), ({"max-size": v("i", 1)}, "max-size")]
        for options, key in cases:
            with self.assert_error("InvalidArgument", f'"{key}"'):
                self.make_queue(**options)
        self.make_queue(novelty=v("s", "of a later version"))

    def test_tokens(self):
        """A token tells the path, and can be used again when that is free."""
        path = self.make_queue(**{"handle-token": v("s", "t")})
        self.assertEqual(path, f"/queue/{self.peer.sender}/t")
        with self.assert_error("Exists"):
            self.make_queue(**{"handle-token": v("s", "t")})
        self.peer.call(path, "Object.Close", "(a{sv})", {})
        self.make_queue(**{"handle-token": v("s", "t")})

    def test_closed_is_private(self):
        """Signals about an anonymous object are for its owner only."""
        other = self.connect()
        overheard = other.listen("Object", "Closed")
        heard = self.peer.listen("Object", "Closed")
        path = self.make_queue()
        self.peer.call(path, "Object.Close", "(a{sv})", {})
        iterate_until(lambda: heard, "the signal")
        self.assertEqual(heard, [(path, "closed")])
        other.get("", "Manager", "Version")
        iterate_until(lambda: True, "")
        self.assertEqual(overheard, [])

    def test_objects_per_peer(self):
        """One connection cannot have everything; what it has goes with it."""
        other = self.connect()
        limit = self.peer.get("", "Manager", "ObjectsPerPeerMax")
        before = self.peer.get("", "Manager", "NObjects")
        for _ in range(limit):
            self.make_queue(other)
        with self.assert_error("Limit", f"{limit} objects"):
            self.make_queue(other)
        self.make_queue()
        self.assertEqual(self.peer.get("", "Manager", "NObjects"), before + limit + 1)
        other.close()
        wait_until(lambda: self.peer.get("", "Manager", "NObjects") == before + 1, "their end")

    def test_objects(self):
        """All together cannot have everything, either."""
        limit = self.peer.get("", "Manager", "ObjectsMax")
        others = [self.connect() for _ in range(8)]
        before = self.peer.get("", "Manager", "NObjects")
        for number in range(limit - before):
            self.make_queue(others[number % len(others)])
        with self.assert_error("Limit", f"{limit} objects"):
            self.make_queue()
        for other in others:
            other.close()
        wait_until(lambda: self.peer.get("", "Manager", "NObjects") == before, "their end")
        self.make_queue()

    def test_waits_per_peer(self):
        """One connection cannot wait any number of times."""
        other = self.connect()
        limit = self.peer.get("", "Manager", "WaitsPerPeerMax")
        path = self.make_queue(name=v("s", "waits"))
        for _ in range(limit):
            other.begin(path, "Queue.Get", "(a{sv})", {})
        iterate_until(lambda: self.peer.get("", "Manager", "NWaits") == limit, "the waits")
        with self.assert_error("Limit", f"{limit} waiting calls"):
            other.call(path, "Queue.Get", "(a{sv})", {})
        with self.assert_error("TimedOut"):
            self.peer.call(path, "Queue.Get", "(a{sv})", {"timeout": v("d", 0.1)})
        other.close()
        wait_until(lambda: self.peer.get("", "Manager", "NWaits") == 0, "their end")
        self.peer.call(path, "Object.Unlink")

    def test_many_peers(self):
        """A thousand connections come and go, each with an object and a wait."""
        before = self.peer.get("", "Manager", "NObjects")
        for _ in range(20):
            others = [self.connect() for _ in range(50)]
            for other in others:
                other.begin(self.make_queue(other), "Queue.Get", "(a{sv})", {})
            for other in others:
                other.close()
        wait_until(lambda: self.peer.get("", "Manager", "NObjects") == before, "their end")
        self.assertEqual(self.peer.get("", "Manager", "NWaits"), 0)


if __name__ == "__main__":
    unittest.main()
