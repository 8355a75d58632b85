# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Queues in asyncio: no thread waits, however many coroutines do."""

import time
import weakref

from ._buffers import size_of
from ._raw import GLib

_IN, _OUT, _PRI = GLib.IOCondition.IN, GLib.IOCondition.OUT, GLib.IOCondition.PRI
# A process may have died when it was about to wake this one, in seconds.
_LOOK_AGAIN = 1.0
# Who has waited for room for so long claims it, again and again, in seconds.
_CLAIM_AFTER, _CLAIM_AGAIN = 0.005, 0.05
# Where there is room for others only, nobody is told when there is enough, and who has claimed it
# is woken until it comes: who was woken so often in vain, each time at once, looks after so many
# seconds.
_MANY_TIMES = 16
_LOOK, _AT_ONCE = 0.005, 0.001


class Waiters:
    """The coroutines that wait for one side of a queue, in each loop of this process."""

    def __init__(self, gobject, condition):
        self._gobject = gobject
        self._condition = condition
        self._futures = weakref.WeakKeyDictionary()

    async def wait(self, timeout=_LOOK_AGAIN):
        """Returns when it is worth to try, or after timeout seconds: whether it has waited."""
        import asyncio
        loop = asyncio.get_running_loop()
        if self._gobject.arm(self._condition):
            return False
        futures = self._futures.setdefault(loop, set())
        if not futures:
            # One reader for all of them: a loop has one for a descriptor. Where that of PRI is
            # the one of OUT, nobody waits for room.
            loop.add_reader(self._gobject.get_fd(self._condition), _wake, futures)
        future = loop.create_future()
        futures.add(future)
        timer = loop.call_later(timeout, _wake, futures)
        try:
            await future
            return True
        finally:
            timer.cancel()
            futures.discard(future)
            if not futures:
                loop.remove_reader(self._gobject.get_fd(self._condition))


def _wake(futures):
    for future in futures:
        if not future.done():
            future.set_result(None)


class AsyncQueue:
    """What a queue has for coroutines, by _take() and _try_send() of the class it is mixed in.

    Nothing is awaited between the taking of an item and the return: one whose coroutine is
    cancelled has taken nothing.
    """

    async def aget(self):
        """Takes the next object, see get(); waits for one in the running loop of asyncio."""
        while True:
            self._check_open()
            found, obj = self._take()
            if found:
                return obj
            await self._waiters(_IN).wait()

    async def aput(self, obj):
        """Puts an object, see put(); waits for room in the running loop of asyncio.

        Those of one loop that wait have their turns in the order in which they came.
        """
        self._check_open()
        data = self._dump(obj)
        line = self._line()
        if (line is not None and line.locked()) or not self._try_send(data):
            line = self._line(True)
            async with line:
                await self._send_in_turn(data)

    async def _send_in_turn(self, data):
        """Puts what is pickled, and keeps others, in any process, from being first for ever."""
        import asyncio
        length = size_of(data)
        timeout, small_room, n_vain = _CLAIM_AFTER, False, 0
        claim_at = time.monotonic() + timeout
        try:
            while not self._try_send(data):
                now = time.monotonic()
                if now >= claim_at:
                    timeout = _CLAIM_AGAIN if self.gobject.claim(length) else _CLAIM_AFTER
                    claim_at = now + timeout
                if await self._waiters(_OUT).wait(timeout):
                    small_room = False
                    at_once = time.monotonic() - now < _AT_ONCE
                    n_vain = n_vain + 1 if at_once and self._has_place() else 0
                    # Not while others wait for this one.
                    if n_vain >= _MANY_TIMES and timeout != _CLAIM_AGAIN:
                        await asyncio.sleep(_LOOK)
                elif small_room:
                    await asyncio.sleep(_LOOK)
                else:
                    small_room = True
                self._check_open()
        finally:
            self.gobject.unclaim()

    def _has_place(self):
        """Whether another object may be put, if it is only those that are counted."""
        return self.gobject.get_length() < self.gobject.get_max_items()

    def _line(self, make=False):
        """Where the coroutines of the running loop stand that put, if there is one."""
        import asyncio
        loop = asyncio.get_running_loop()
        # While somebody stands there: a lock keeps its loop.
        lines = self.__dict__.setdefault("_async_lines", weakref.WeakValueDictionary())
        line = lines.get(loop)
        if line is None and make:
            line = lines[loop] = asyncio.Lock()
        return line

    async def _await_joined(self):
        while self.gobject.get_unfinished() != 0:
            await self._waiters(_PRI).wait()

    async def __aiter__(self):
        """The objects as they come; ends when the queue is closed for all, and empty."""
        while not self._closed:
            found, obj = self._take(at_end=(True, AsyncQueue))
            if obj is AsyncQueue:
                return
            if found:
                yield obj
            else:
                await self._waiters(_IN).wait()

    def _waiters(self, condition):
        # Not in __init__(): a subclass may have one that does not call it.
        waiters = self.__dict__.setdefault("_async_waiters", {})
        if condition not in waiters:
            waiters[condition] = Waiters(self.gobject, condition)
        return waiters[condition]
