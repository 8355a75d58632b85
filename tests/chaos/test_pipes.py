#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Ends of Pipe(), killed at random moments, while long objects go through shared memory.

What was received is whole and in order; then comes one of two ends, and nobody hangs. When the
pipe is closed, nothing is left of it.
"""

import itertools
import os
import random
import threading
import time
import unittest

import multiprocessing_gi as mp

FULL = os.environ.get('MP_CHAOS') == 'full'
ROUNDS = 500 if FULL else 40
SENDERS = 60
# In seconds, from when a process has begun.
LIFE = 0.03
HANG = 30.0
SIZES = 100, 20_000, 300_000, 2_000_000


def make(number):
    """The object with this number: most are long enough for shared memory."""
    return bytes([number % 251]) * SIZES[number * 7 % 5 % len(SIZES)]


def send_for_ever(conn, begun):
    """Until it is killed."""
    begun.set()
    for number in itertools.count():
        conn.send(make(number))


def receive_for_ever(conn, begun):
    """Until it is killed; some objects are kept for a while."""
    begun.set()
    kept = []
    for number in itertools.count():
        kept.append(conn.recv())
        if kept[-1] != make(number):
            os._exit(1)
        del kept[:-3]


def send_one(conn, number):
    """A long one."""
    conn.send(bytes([number]) * 400_000)


def open_fds():
    """How many descriptors this process has."""
    return len(os.listdir('/proc/self/fd'))


class TestPipes(unittest.TestCase):
    """One of the ends is a process that dies."""

    def start(self, target, conn):
        """The process, and the thread that kills it."""
        begun = mp.Event()
        process = mp.Process(target=target, args=(conn, begun))
        process.start()
        conn.close()
        self.assertTrue(begun.wait(HANG))
        life = random.uniform(0, LIFE)

        def kill():
            time.sleep(life)
            process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        return process, killer

    def finish(self, process, killer):
        killer.join()
        process.join(HANG)
        self.assertEqual(process.exitcode, -9)

    def run_sender(self):
        receiver, sender = mp.Pipe()
        process, killer = self.start(send_for_ever, sender)
        number, start = 0, time.monotonic()
        with receiver:
            while True:
                try:
                    item = receiver.recv()
                except EOFError:
                    torn = False
                    break
                except OSError as error:
                    self.assertIn('end of file during message', str(error))
                    torn = True
                    break
                self.assertEqual(item, make(number))
                number += 1
        self.assertLess(time.monotonic() - start, HANG)
        self.finish(process, killer)
        return number, torn

    def run_receiver(self):
        receiver, sender = mp.Pipe()
        process, killer = self.start(receive_for_ever, receiver)
        start = time.monotonic()
        with sender:
            for number in itertools.count():
                try:
                    sender.send(make(number))
                except (BrokenPipeError, ConnectionResetError):
                    break
        self.assertLess(time.monotonic() - start, HANG)
        self.finish(process, killer)
        return number

    def test_sender(self):
        """One that sends."""
        self.run_sender()
        before = open_fds()
        runs = [self.run_sender() for _ in range(ROUNDS)]
        self.assertLessEqual(open_fds(), before + 2)
        self.assertGreater(sum(number for number, _torn in runs), 0)

    def test_receiver(self):
        """One that receives."""
        self.run_receiver()
        before = open_fds()
        numbers = [self.run_receiver() for _ in range(ROUNDS)]
        self.assertLessEqual(open_fds(), before + 2)
        self.assertGreater(sum(numbers), 0)

    def test_senders(self):
        """Many that send into one pipe, one after the other: what they had is not kept."""
        receiver, sender = mp.Pipe()
        with receiver, sender:
            most = before = open_fds()
            for number in range(SENDERS):
                process = mp.Process(target=send_one, args=(sender, number))
                process.start()
                self.assertEqual(receiver.recv(), bytes([number]) * 400_000)
                process.join()
                process.close()
                most = max(most, open_fds())
            self.assertLess(most - before, SENDERS)


if __name__ == '__main__':
    unittest.main()
