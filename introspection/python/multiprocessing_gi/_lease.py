# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Items that come back when the process dies that has them."""

from queue import Empty

from ._raw import GLib, Mp, deadline_after, is_mp_error, remaining_us
from ._serialize import decode

_IN = GLib.IOCondition.IN


class Lease:
    """An item that is owed until ack().

    It goes back to its queue by nack(), when the lease is no more, and when the process
    dies. As a context it is acknowledged at the end, or goes back if there is an exception.
    """

    def __init__(self, gobject):
        self.gobject = gobject

    @property
    def item(self):
        """The object; unpickled each time."""
        return decode(self.gobject.get_bytes().get_data(), int(self.gobject.get_codec()))

    @property
    def deliveries(self):
        """How often it was delivered, this time included."""
        return self.gobject.get_deliveries()

    def ack(self):
        """Says that it is dealt with. ValueError if it was, or has gone back."""
        self._call(self.gobject.ack)

    def nack(self):
        """Gives it back: it is the next that is taken. ValueError as for ack()."""
        self._call(self.gobject.nack)

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _traceback):
        if kind is None:
            self.ack()
        else:
            self.nack()

    @staticmethod
    def _call(method):
        try:
            method()
        except GLib.Error as error:
            raise ValueError(error.message) from None


class LeasingQueue:
    """What a queue has for leases."""

    @property
    def dead_letters(self):
        """The MpQueue of what was delivered too often, or None."""
        return self.gobject.get_dead_letters()

    def get_leased(self, block=True, timeout=None):
        """Borrows the next object as a Lease; waits as get() does, else raises queue.Empty.

        When the queue is closed for all, empty, and nothing is lent, ValueError is raised.
        """
        self._check_open()
        deadline = deadline_after(timeout if block else 0)
        while True:
            lease = self._try_lease()
            if lease is not None:
                return lease
            left = remaining_us(deadline)
            if left == 0:
                raise Empty
            self.gobject.wait_ready(_IN, left)

    async def aget_leased(self):
        """Borrows the next object as a Lease; waits for one in the running loop of asyncio."""
        while True:
            self._check_open()
            lease = self._try_lease()
            if lease is not None:
                return lease
            await self._waiters(_IN).wait()

    def _try_lease(self):
        try:
            return Lease(self.gobject.get_leased(0, None))
        except GLib.Error as error:
            if is_mp_error(error, Mp.Error.EMPTY):
                return None
            kind = ValueError if is_mp_error(error, Mp.Error.CLOSED) else OSError
            raise kind(error.message) from None
