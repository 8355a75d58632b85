# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The results of a pool in asyncio."""

import queue
import threading
import weakref

from ._raw import SLICE_US

__all__ = ["wait_for_result", "Arrivals"]


def _wake(future):
    if not future.done():
        future.set_result(None)


def _wake_from_thread(loop, future):
    try:
        loop.call_soon_threadsafe(_wake, future)
    except RuntimeError:
        # The loop was closed: nobody waits in it any more.
        pass


def wait_for_result(register):
    """Waits in the running loop until what was given to register() is called."""
    # Here, where somebody has it already: every zygote and its workers would have it else.
    import asyncio
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    register(lambda: _wake_from_thread(loop, future))
    yield from future


class Arrivals:
    """Lets coroutines wait for the results of an imap(): a thread of its own waits for them.

    The thread is there from the first result that was not yet there to the end of the owner.
    """

    def __init__(self, owner, feeder):
        self._asked = queue.SimpleQueue()
        threading.Thread(target=_wait_for_arrivals, args=(self._asked, feeder), daemon=True,
                         name="PoolArrivalsThread").start()
        weakref.finalize(owner, self._asked.put, None).atexit = False

    async def wait(self):
        """Returns when it is worth to look for results."""
        import asyncio
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._asked.put((loop, future))
        await future


def _wait_for_arrivals(asked, feeder):
    for loop, future in iter(asked.get, None):
        feeder.wait(SLICE_US)
        _wake_from_thread(loop, future)
