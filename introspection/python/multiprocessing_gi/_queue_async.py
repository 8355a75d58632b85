# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Queues in asyncio: no thread waits, however many coroutines do."""

import asyncio
import weakref

from ._raw import GLib

_IN, _OUT = GLib.IOCondition.IN, GLib.IOCondition.OUT
# A process may have died when it was about to wake this one, in seconds.
_LOOK_AGAIN = 1.0


class Waiters:
    """The coroutines that wait for one side of a queue, in each loop of this process."""

    def __init__(self, gobject, condition):
        self._gobject = gobject
        self._condition = condition
        self._futures = weakref.WeakKeyDictionary()

    async def wait(self):
        """Returns when it is worth to try."""
        loop = asyncio.get_running_loop()
        if self._gobject.arm(self._condition):
            return
        futures = self._futures.setdefault(loop, set())
        if not futures:
            # One reader for all of them: a loop has one for a descriptor.
            loop.add_reader(self._gobject.get_fd(self._condition), _wake, futures)
        future = loop.create_future()
        futures.add(future)
        timer = loop.call_later(_LOOK_AGAIN, _wake, futures)
        try:
            await future
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
        """Puts an object, see put(); waits for room in the running loop of asyncio."""
        self._check_open()
        data = self._dump(obj)
        while not self._try_send(data):
            await self._waiters(_OUT).wait()
            self._check_open()

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
