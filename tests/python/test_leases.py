# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Leases: items that come back."""

import asyncio
import os
import queue
import signal
import unittest

import numpy

import multiprocessing_gi as mp


def work(source, fatal):
    """Works until there is nothing more; some items are the death of it."""
    while True:
        try:
            lease = source.get_leased()
        except ValueError:
            return
        with lease:
            if lease.item in fatal:
                os.kill(os.getpid(), signal.SIGKILL)


class TestLeases(unittest.TestCase):
    """get_leased() and what follows."""

    def test_ack_and_nack(self):
        q = mp.JoinableQueue()
        q.put({"a": 1})
        lease = q.get_leased()
        self.assertEqual((lease.item, lease.deliveries), ({"a": 1}, 1))
        self.assertTrue(q.empty())
        lease.nack()
        with self.assertRaises(ValueError):
            lease.ack()
        with q.get_leased() as again:
            self.assertEqual((again.item, again.deliveries), ({"a": 1}, 2))
        with self.assertRaises(ValueError):
            again.ack()
        q.join(0)

    def test_exception(self):
        q = mp.Queue()
        q.put(1)
        with self.assertRaises(ZeroDivisionError), q.get_leased() as lease:
            lease.item / 0
        self.assertEqual(q.get(), 1)
        with self.assertRaises(queue.Empty):
            q.get_leased(False)
        with self.assertRaises(queue.Empty):
            q.get_leased(timeout=0.01)

    def test_dropped_lease(self):
        q = mp.Queue()
        q.put(numpy.arange(100_000))
        lease = q.get_leased()
        self.assertEqual(lease.item[-1], 99_999)
        del lease
        self.assertEqual(q.get()[-1], 99_999)

    def test_async(self):
        async def main():
            q = mp.Queue()
            waiting = asyncio.ensure_future(q.aget_leased())
            await asyncio.sleep(0)
            q.put(3)
            with await waiting as lease:
                return lease.item

        self.assertEqual(asyncio.run(main()), 3)

    def test_poison(self):
        """A dead-letter queue gets what kills every worker, and all else is done."""
        dead = mp.Queue()
        q = mp.JoinableQueue(max_deliveries=2, dead_letters=dead)
        for number in range(200):
            q.put(number)
        q.gobject.close()
        fatal = {50, 100}
        for _ in range(2 * len(fatal) + 1):
            process = mp.Process(target=work, args=(q, fatal))
            process.start()
            process.join()
        self.assertEqual(process.exitcode, 0)
        q.join(0)
        self.assertEqual({dead.get(timeout=10), dead.get(timeout=10)}, fatal)
        self.assertTrue(dead.empty())


if __name__ == "__main__":
    unittest.main()
