# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Queues in asyncio."""

import asyncio
import contextlib
import queue
import threading
import time
import unittest

import multiprocessing_gi as mp
from multiprocessing_gi._raw import Mp

import tasks


class TestAsyncQueue(unittest.IsolatedAsyncioTestCase):
    """aget(), aput() and async for."""

    async def test_there_already(self):
        q = mp.Queue(2)
        await q.aput(1)
        await q.aput('x')
        self.assertEqual([await q.aget(), await q.aget()], [1, 'x'])

    async def test_waiting(self):
        q = mp.Queue()
        getters = [asyncio.create_task(q.aget()) for _ in range(20)]
        await asyncio.sleep(0)
        self.assertFalse(any(getter.done() for getter in getters))
        q.put_many(range(20))
        self.assertEqual(sorted(await asyncio.gather(*getters)), list(range(20)))
        self.assertEqual(q.qsize(), 0)

    async def test_room(self):
        q = mp.Queue(1)
        putters = [asyncio.create_task(q.aput(number)) for number in range(20)]
        got = [await q.aget() for _ in range(20)]
        await asyncio.gather(*putters)
        self.assertEqual(sorted(got), list(range(20)))

    async def test_beside_a_claim(self):
        # Of a thread that has ended, so that it stands until it is void.
        q = mp.Queue(1)
        claimer = threading.Thread(target=q.gobject.claim, args=(1,))
        claimer.start()
        claimer.join()
        busy = -time.process_time()
        await q.aput(1)
        busy += time.process_time()
        self.assertLess(busy, 0.1)

    async def test_turn_beside_others(self):
        """Others, who put as soon as there is room, leave it to who has waited for a moment."""
        q = mp.Queue()
        q._attach(Mp.Queue.new(0, 65536))

        def has_room():
            """Whether another thread can put."""
            try:
                q.put(b'x' * 1000, False)
                return True
            except queue.Full:
                return False

        while has_room():
            pass
        big = asyncio.create_task(q.aput(b'b' * 40_000))
        # Those behind it wait for their turn, though they need less.
        small = asyncio.create_task(q.aput(b's'))
        # As long as others are first, it would wait for ever.
        end = time.monotonic() + 20
        q.get()
        while await asyncio.to_thread(has_room):
            q.get()
            self.assertLess(time.monotonic(), end)
            self.assertFalse(big.done())
            await asyncio.sleep(0.001)
        found = []
        while not found or found[-1] != b's':
            found.append(await q.aget())
        self.assertEqual(found[-2:], [b'b' * 40_000, b's'])
        await asyncio.gather(big, small)
        # Nothing is claimed any more.
        self.assertTrue(await asyncio.to_thread(has_room))

    async def test_big_one_lets_others_go_on(self):
        """Who waits for more room than a small one needs does not keep the loop to itself."""
        q = mp.Queue()
        q._attach(Mp.Queue.new(0, 65536))
        await q.aput(b'a' * 40_000)
        big = asyncio.create_task(q.aput(b'b' * 40_000))
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.001)
            turns += 1
        self.assertFalse(big.done())
        big.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await big
        # Nothing is kept for it, and nobody stands in the line.
        await asyncio.wait_for(q.aput(b's'), 5)
        self.assertEqual(len(await q.aget()), 40_000)
        self.assertEqual(await q.aget(), b's')

    async def test_order_of_those_who_wait(self):
        q = mp.Queue(1)
        await q.aput(-1)
        putters = []
        for number in range(20):
            putters.append(asyncio.create_task(q.aput(number)))
            await asyncio.sleep(0)
        self.assertEqual([await q.aget() for _ in range(21)], list(range(-1, 20)))
        await asyncio.gather(*putters)

    async def test_cancel(self):
        q = mp.Queue()
        getter = asyncio.create_task(q.aget())
        await asyncio.sleep(0)
        getter.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await getter
        # Cancelled when it was woken already: nothing is lost.
        for _ in range(100):
            getter = asyncio.create_task(q.aget())
            await asyncio.sleep(0)
            q.put('x')
            getter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                self.assertEqual(await getter, 'x')
                q.put('x')
            self.assertEqual(q.get_nowait(), 'x')
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(q.aget(), 0.05)
        q.put(1)
        self.assertEqual(await asyncio.wait_for(q.aget(), 5), 1)

    async def test_join(self):
        for q in mp.JoinableQueue(), mp.JoinableQueue(5):
            await q.ajoin()
            for item in range(3):
                q.put(item)
            joiners = [asyncio.create_task(q.ajoin()) for _ in range(3)]
            worker = mp.Process(target=tasks.finish, args=(q, 3))
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(q.ajoin(), 0.05)
            self.assertFalse(any(joiner.done() for joiner in joiners))
            worker.start()
            await asyncio.wait_for(asyncio.gather(*joiners), 20)
            self.assertEqual(q.gobject.get_unfinished(), 0)
            worker.join()

    async def test_iterate(self):
        q = mp.Queue()
        q.put_many('ab')
        q.gobject.close()
        self.assertEqual([item async for item in q], ['a', 'b'])
        self.assertEqual([item async for item in q], [])

    async def test_iterate_until_closed(self):
        q, got = mp.Queue(), []

        async def collect():
            async for item in q:
                got.append(item)

        task = asyncio.create_task(collect())
        q.put(1)
        while not got:
            await asyncio.sleep(0)
        q.gobject.close()
        start = time.monotonic()
        await task
        self.assertLess(time.monotonic() - start, 0.5)
        self.assertEqual(got, [1])

    async def test_closed(self):
        q = mp.Queue()
        q.gobject.close()
        with self.assertRaisesRegex(ValueError, 'closed, and empty'):
            await q.aget()
        with self.assertRaisesRegex(ValueError, 'closed'):
            await q.aput(1)
        q = mp.Queue()
        q.close()
        with self.assertRaisesRegex(ValueError, 'is closed'):
            await q.aget()
        with self.assertRaisesRegex(ValueError, 'is closed'):
            await q.aput(1)

    async def test_a_broken_item(self):
        q = mp.Queue()
        q.put(tasks.NotToBeRead())
        q.put(1)
        with self.assertRaisesRegex(ValueError, 'not a number'):
            await q.aget()
        self.assertEqual(await q.aget(), 1)

    async def test_with_a_child(self):
        there, back = mp.Queue(5), mp.Queue(5)
        process = mp.Process(target=tasks.echo, args=(there, back))
        process.start()

        async def send():
            for number in range(300):
                await there.aput(number)
            await there.aput(None)

        sender = asyncio.create_task(send())
        start = time.monotonic()
        for number in range(300):
            self.assertEqual(await back.aget(), (number, number))
        await sender
        # Nobody slept until it looked again by itself.
        self.assertLess(time.monotonic() - start, 10)
        process.join()


async def _pass_on(there, back):
    async for item in there:
        await back.aput(item)


def pass_on(there, back):
    """What a child with a loop of its own does."""
    asyncio.run(_pass_on(there, back))


class TestLoops(unittest.TestCase):
    """Several loops, in one process and in several."""

    def test_one_after_the_other(self):
        q = mp.Queue()
        for number in range(3):
            async def get():
                asyncio.get_running_loop().call_later(0.01, q.put, number)
                return await q.aget()

            self.assertEqual(asyncio.run(get()), number)

    def test_in_children(self):
        there, back = mp.Queue(10), mp.Queue()
        processes = [mp.Process(target=pass_on, args=(there, back)) for _ in range(3)]
        for process in processes:
            process.start()
        for number in range(1000):
            there.put(number)
        self.assertEqual(sorted(back.get(timeout=10) for _ in range(1000)), list(range(1000)))
        there.gobject.close()
        for process in processes:
            process.join()
            self.assertEqual(process.exitcode, 0)


if __name__ == '__main__':
    unittest.main()
