# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The iterators of imap() and imap_unordered(), and what feeds them."""

import collections
import itertools
import threading
import weakref

from . import _payloads, _raw, _tasks
from ._async import Arrivals
from ._primitives import taker_of
from ._raw import GLib, Mp, SLICE_US, TimeoutError, deadline_after, remaining_us
from ._results import job_failure, value_of

__all__ = ["IMapIterator", "IMapUnorderedIterator", "Feeder"]

# How many tasks are handed over with one call where the input cannot block.
BATCH = 128
# How long the thread that reads waits at first, and at most, before it looks again how many tasks
# are done, in seconds.
_SHORT_PAUSE, _LONG_PAUSE = 0.001, 0.05
# Inputs whose iterator neither runs foreign code nor waits for anything.
_INSTANT = (list, tuple, range, str, bytes, set, frozenset, dict, collections.deque)


class IMapIterator:
    """The results of imap(), in the order of the input."""

    _ordered = True

    def __init__(self, feeder):
        self._feeder = feeder
        self._ready = collections.deque()
        self._lock = threading.RLock()
        self._arrivals = None
        weakref.finalize(self, feeder.abandon).atexit = False

    def __iter__(self):
        return self

    @property
    def gobject(self):
        """The Mp.raw.Job behind it."""
        return self._feeder.job

    @property
    def progress(self):
        """How much is done of what was read of the input, from 0 to 1."""
        return self._feeder.job.get_progress()

    def cancel(self):
        """Cancels what is left; the results that are there can still be taken."""
        return self._feeder.job.cancel()

    def next(self, timeout=None):
        """The next result; TimeoutError if there is none in time."""
        deadline = deadline_after(timeout)
        # Another thread may be waiting in here, for longer.
        if not self._lock.acquire(timeout=-1 if timeout is None else max(0, timeout)):
            raise TimeoutError
        try:
            if not self._ready:
                self._fetch(deadline)
            success, value = self._ready.popleft()
        finally:
            self._lock.release()
        if success:
            return value
        raise value

    __next__ = next

    def __aiter__(self):
        return self

    async def __anext__(self):
        """The next result, in asyncio."""
        while True:
            # Another thread may be waiting in here: it gets the next one.
            if self._lock.acquire(blocking=False):
                try:
                    if self._ready or self._take():
                        success, value = self._ready.popleft()
                        break
                finally:
                    self._lock.release()
                if self._feeder.exhausted():
                    raise StopAsyncIteration
            if self._arrivals is None:
                self._arrivals = Arrivals(self, self._feeder)
            await self._arrivals.wait()
        if success:
            return value
        raise value

    def _take(self):
        """Puts what the results that are there stand for into _ready; False if there are none."""
        for status, codec, data in self._feeder.fetch():
            if status is None:
                self._ready.append((False, data))
            else:
                self._expand(*value_of(status, codec, data))
        return bool(self._ready)

    def _fetch(self, deadline):
        """Waits until something is ready."""
        while not self._take():
            if self._feeder.exhausted():
                raise StopIteration
            left = remaining_us(deadline)
            if left == 0:
                raise TimeoutError
            self._feeder.wait(left)

    def _expand(self, success, value):
        if success and self._feeder.chunked:
            self._ready.extend((True, item) for item in value)
        else:
            self._ready.append((success, value))


class IMapUnorderedIterator(IMapIterator):
    """The results of imap_unordered(), as they come."""

    _ordered = False


def _raise(error):
    """An iterator that raises."""
    raise error
    yield  # makes this a generator


class Feeder:
    """The input side of an imap(): reads the iterable and pushes tasks, within a limit.

    Where reading the input cannot block, whoever fetches results reads it, in batches;
    otherwise a thread does, item by item. When the pool is closed all of the input has to run,
    whether or not somebody fetches results: then the limit is one on long tasks that are
    unfinished. When nobody can fetch results any more they are dropped, and the limit is one
    on unfinished tasks.
    """

    def __init__(self, job, iterable, chunksize, ordered, limit, busy=2):
        self.job = job
        self._take = taker_of(job)
        self.chunked = chunksize > 1
        self._chunksize = chunksize
        self._ordered = ordered
        self._limit = limit - BATCH  # as many may have been fetched and wait
        self._condition = threading.Condition()
        # The rest is under the condition's lock, but the iterator is its reader's.
        self._position = 0         # of the next task or failure in the order of input
        self._next = 0             # of the next result to hand out
        self._failures = {}        # position: exception of what was not pushed
        self._outstanding = 0      # pushed and not fetched
        self._long_ones = _payloads.LongOnes(busy)
        self._ended = False        # all of the input was read
        self._unlimited = False
        self._abandoned = False
        self._instant = isinstance(iterable, _INSTANT)  # and there is no thread yet
        try:
            self._iterator = iter(iterable)
        except Exception as error:
            # It is the first thing that comes out.
            self._iterator = _raise(error)
            self._instant = True
        except BaseException:
            job.end_input()
            raise

    def start(self):
        """Begins to read."""
        if self._instant:
            with self._condition:
                self._read_instantly()
        else:
            self._start_thread()

    # Reading.

    def _payload(self):
        """The payload of the next task, an exception, or None at the end."""
        try:
            if self.chunked:
                item = tuple(itertools.islice(self._iterator, self._chunksize))
                if not item:
                    return None
            else:
                item = next(self._iterator)
        except StopIteration:
            return None
        except Exception as error:
            # What the input raises comes out at its place, and nothing after it.
            self._iterator = iter(())
            return error
        try:
            return _payloads.dump_result(item)
        except Exception as error:
            return error

    def _push(self, payload):
        """Pushes a list of payloads or a long one; False when the pool takes none any more."""
        n = len(payload) if type(payload) is list else 1
        self._position += n
        self._outstanding += n
        try:
            _payloads.push(self.job, payload)
        except GLib.Error as error:
            self._position -= n
            self._outstanding -= n
            # It may be that the pool was terminated.
            ended = _raw.is_mp_error(error, Mp.Error.CLOSED) and self.job.get_finished()
            self._fail(job_failure(self.job) if ended else _raw.convert_error(error))
            return False
        self._long_ones.add(payload)
        return True

    def _forget(self, index):
        """A task is not outstanding any more."""
        self._outstanding -= 1
        self._long_ones.forget(index)

    def _fail(self, exception):
        """Keeps the exception of what cannot be pushed, at its place."""
        self._failures[self._position] = exception
        self._position += 1

    fail = _fail

    def _end(self):
        self._ended = True
        self._iterator = None
        self._condition.notify_all()
        self.job.end_input()

    def _room(self):
        if self._unlimited:
            self._long_ones.forget_all_but(self.job.get_n_total() - self.job.get_n_done())
        if self._long_ones.are_enough():
            return 0
        return BATCH if self._unlimited else self._limit - self._outstanding

    def _read_instantly(self):
        """Reads as much of an input that cannot block as the limit allows."""
        while not self._ended:
            room, batch, payload = min(BATCH, self._room()), [], b""
            if room <= 0:
                return
            while len(batch) < room:
                payload = self._payload()
                if not isinstance(payload, bytes) or _payloads.is_long(payload):
                    break
                batch.append(payload)
                payload = b""
            if batch and not self._push(batch):
                payload = None
            if isinstance(payload, Exception):
                self._fail(payload)
            elif payload is None or (payload and not self._push(payload)):
                self._end()

    def _start_thread(self):
        self._instant = False
        threading.Thread(target=self._read_in_thread, name="PoolFeederThread",
                         daemon=True).start()

    def _read_in_thread(self):
        try:
            while self._wait_for_room():
                payload = self._payload()
                with self._condition:
                    if payload is None:
                        break
                    if isinstance(payload, Exception):
                        self._fail(payload)
                    elif not self._push(payload if _payloads.is_long(payload) else [payload]):
                        break
                    self._condition.notify_all()
        finally:
            with self._condition:
                self._end()

    def _wait_for_room(self):
        """Waits until the thread may read on; False when the pool has ended."""
        pause = _SHORT_PAUSE
        while True:
            with self._condition:
                if self._abandoned:
                    for index, *_ in _tasks.iterate_packed(self.job.take_packed(0),
                                                           self._take):
                        self._forget(index)
                if self._room() > 0:
                    return True
                if self.job.get_finished():
                    return False
                if not self._abandoned:
                    # Nobody tells that a task is done whose result is not fetched.
                    self._condition.wait(pause if self._unlimited else 1)
                    pause = min(2 * pause, _LONG_PAUSE)
                    continue
            self.job.wait_result(SLICE_US)

    # What the pool and the iterator ask for.

    def lift_limit(self):
        """The pool is being closed: all of the input is to be read."""
        with self._condition:
            self._unlimited = True
            self._condition.notify_all()
            if self._instant:
                self._read_instantly()
                if not self._ended:
                    self._start_thread()

    def has_ended(self):
        """Whether all of the input was read."""
        return self._ended

    def wait_until_ended(self):
        """Waits until all of the input was read."""
        with self._condition:
            while not self._ended:
                self._condition.wait(1)

    def abandon(self):
        """Nobody will fetch results any more."""
        with self._condition:
            self._abandoned = True
            self._condition.notify_all()
            if self._instant and not self._ended:
                self._start_thread()

    def fetch(self):
        """The (status, codec, data) that can be handed out now; status None: an exception."""
        with self._condition:
            out, limit = self._fetch_failures()
            if out and self._ordered:
                return out
            # Asked before the results are taken: the last ones may come in between.
            finished = self.job.get_finished()
            for index, status, codec, data in _tasks.iterate_packed(
                    self.job.take_packed(min(limit, BATCH) or BATCH), self._take):
                out.append((status, codec, data))
                self._forget(index)
                self._next += 1
            if not out and self._outstanding and finished:
                # The pool was terminated: this stands for all that is missing.
                out.append((None, None, job_failure(self.job)))
                self._outstanding, self._next, self._ended = 0, self._position, True
            if out:
                self._condition.notify_all()
                if self._instant:
                    self._read_instantly()
            return out

    def _fetch_failures(self):
        """(what is due of them, how many results may come before the next: 0 any)."""
        out = []
        if not self._ordered:
            out.extend((None, None, error) for error in self._failures.values())
            self._next += len(out)
            self._failures.clear()
            return out, 0
        while self._next in self._failures:
            out.append((None, None, self._failures.pop(self._next)))
            self._next += 1
        return out, min(self._failures) - self._next if self._failures else 0

    def exhausted(self):
        """Whether everything was handed out."""
        with self._condition:
            return self._ended and self._next >= self._position

    def wait(self, microseconds):
        """Waits for a result or news of the input."""
        with self._condition:
            if not self._outstanding:
                # What comes next is up to the input.
                if not self._ended and not self._failures:
                    self._condition.wait(microseconds / 1_000_000)
                return
        self.job.wait_result(microseconds)
