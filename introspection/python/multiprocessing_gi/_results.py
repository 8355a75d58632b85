# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The results of a pool's calls, to come."""

import sys
import threading
import types

from . import _async, _raw, _tasks
from ._primitives import taker_of
from ._raw import GLib, Mp, SLICE_US, TimeoutError, deadline_after, remaining_us, wait_until
from ._serialize import PICKLE, decode, loads

__all__ = ["AsyncResult", "ApplyResult", "MapResult"]

_OK = _tasks.OK
# How long results of a map() wait to be taken together; up to the other one while they are fewer
# bytes than this.
_SHORT_WAIT_US, _LONG_WAIT_US = 5_000, 40_000
_FEW_BYTES = 32_768


class AsyncResult:
    """The result of apply_async(), to come."""

    def __init__(self, pool, job, callback=None, error_callback=None):
        self._pool = pool
        self._job = job
        self._callback = callback
        self._error_callback = error_callback
        self._lock = threading.Lock()
        self._done = False
        self._success = None
        self._value = None
        # Set when the callback has run, for results that have one.
        self._event = None
        self._waiters = []

    @property
    def gobject(self):
        """The Mp.raw.Job behind it; None when the task could not be sent."""
        return self._job

    @property
    def state(self):
        """"queued", "running", "succeeded", "failed", "cancelled", "timed-out", "worker-died" or
        "limit"."""
        if self._job is None:
            return "succeeded" if self._success else "failed"
        return self._job.get_state().value_nick

    @property
    def progress(self):
        """How much is done, from 0 to 1: whole tasks, and what those that run report."""
        return self._job.get_progress() if self._job is not None else 1.0

    @property
    def attempts(self):
        """How many attempts it had: of its tasks, the one that had the most."""
        return self._job.get_attempts() if self._job is not None else 0

    def ready(self):
        """Whether the result is there."""
        if self._event is not None:
            return self._event.is_set()
        return self._done or self._job.get_finished()

    def successful(self):
        """Whether it ended without an exception; ValueError before it has ended."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        self._finish()
        return self._success

    def wait(self, timeout=None):
        """Waits for the result, for timeout seconds at most."""
        self._wait(timeout)

    def _wait(self, timeout):
        if self._event is not None:
            return self._event.wait(timeout if timeout is None else max(0, timeout))
        return self._done or wait_until(self._job.wait_ready, timeout)

    def get(self, timeout=None):
        """The result; its exception if it has one; TimeoutError if it is not there in time."""
        if not self._wait(timeout):
            raise TimeoutError
        self._finish()
        if self._success:
            return self._value
        raise self._value

    def __await__(self):
        """get() for a coroutine: no thread waits. To cancel the waiting does not cancel the job."""
        pool = self._pool
        if not self.ready() and pool is not None:
            yield from _async.wait_for_result(
                lambda wake: pool._callbacks.add_waiter(self, wake))
        return self.get()

    def cancel(self):
        """Cancels: what is queued is dropped, what runs is asked to end, see current_task().

        A worker whose task goes on is ended and replaced. False if it was ready before.
        """
        return self._job is not None and self._job.cancel()

    def _finish(self):
        """Fetches the value of a finished job, once."""
        if self._done:
            return
        with self._lock:
            if not self._done:
                self._resolve(*self._collect())

    def _resolve(self, success, value):
        """Sets the outcome."""
        self._success, self._value, self._done = success, value, True
        self._pool = None

    def _collect(self):
        for _index, status, codec, data in _tasks.iterate_packed(self._job.take_packed(0),
                                                                 taker_of(self._job)):
            return value_of(status, codec, data)
        return False, job_failure(self._job)

    def _notify(self):
        """Runs the callback and makes the result ready; on the callback thread."""
        try:
            self._finish()
        except BaseException as error:
            # Unpickling is foreign code. There is no Ctrl-C on this thread that could be meant.
            self._resolve(False, error)
        callback = self._callback if self._success else self._error_callback
        self._callback = self._error_callback = None
        try:
            if callback is not None:
                callback(self._value)
        except BaseException:
            threading.excepthook(threading.ExceptHookArgs(
                (*sys.exc_info(), threading.current_thread())))
        finally:
            self._event.set()
            for wake in self._waiters:
                wake()

    __class_getitem__ = classmethod(types.GenericAlias)


ApplyResult = AsyncResult


class MapResult(AsyncResult):
    """The result of map_async() and starmap_async(), to come."""

    def __init__(self, pool, job, length, chunksize, callback=None, error_callback=None,
                 supply=None):
        super().__init__(pool, job, callback, error_callback)
        self._chunksize = chunksize  # 0: each item is a task of its own
        self._total = 0
        self._values = [None] * length
        self._seen = 0
        self._failure = None
        # What was taken and not unpickled yet: Ctrl-C may interrupt that, and is no loss.
        self._taken = []
        self._buffers = {}
        self._take = taker_of(job) if job is not None else None
        # The tasks that are not sent yet.
        self._supply = supply
        if job is not None and supply is None:
            self._end_input()

    def get_here(self):
        """get() in the thread that sends what is not sent yet."""
        try:
            return self.get()
        finally:
            # It may have been Ctrl-C.
            with self._lock:
                if self._supply is not None:
                    self._end_input()

    def send_rest(self):
        """Has what is not sent yet sent as results come; gives the result."""
        if self._supply is not None:
            threading.Thread(target=self._send_rest, name="PoolFeederThread",
                             daemon=True).start()
        return self

    def _send_rest(self):
        while self._send_more(SLICE_US):
            pass

    def _send_more(self, microseconds):
        """Waits for results, takes them, and sends more; False if nothing is left to be sent."""
        if self._supply is not None:
            self._job.wait_result(microseconds)
            with self._lock:
                self._gather()
                self._feed()
        return self._supply is not None

    def _feed(self):
        failure = None
        try:
            if self._supply is None:
                return
            if self._job.get_finished():
                # It was cancelled, or its pool was terminated: nothing more comes back.
                failure = job_failure(self._job)
            elif not self._supply.feed(self._job):
                return
        except GLib.Error as error:
            # It may be that this happens now.
            ended = _raw.is_mp_error(error, Mp.Error.CLOSED) and self._job.get_finished()
            failure = job_failure(self._job) if ended else _raw.convert_error(error)
        except Exception as error:
            failure = error
        self._failure = self._failure or failure
        self._end_input()

    def _end_input(self):
        self._supply = None
        self._total = self._job.get_n_total()
        self._job.end_input()

    def _wait(self, timeout):
        if self._done or self._event is not None:
            return super()._wait(timeout)
        # What is there is taken while the workers go on, but not each result by itself.
        deadline, pause = deadline_after(timeout), _SHORT_WAIT_US
        while True:
            left = remaining_us(deadline)
            if not self._send_more(left) and self._job.wait_ready(min(left, pause)):
                return True
            if left == 0:
                return False
            with self._lock:
                many = self._gather() > _FEW_BYTES
            pause = _SHORT_WAIT_US if many else min(2 * pause, _LONG_WAIT_US)

    def _gather(self):
        """Takes the results that are there, and tells about how many bytes these were."""
        if self._done:
            return 0
        if not self._taken:
            # In one call, for a signal's handler runs as soon as one has returned.
            self._taken.extend(map(self._job.take_packed, (0,)))
        packed = self._taken[0]
        length = len(packed)
        values, size, seen, supply = self._values, self._chunksize, self._seen, self._supply
        for index, status, codec, data in _tasks.iterate_packed(packed, self._take_buffer):
            seen += 1
            if supply is not None:
                supply.forget(index)
            # The first failure that came in decides, whatever its place.
            if self._failure is not None or data is None:
                continue
            try:
                if status != _OK:
                    self._failure = _tasks.failure_from(data)
                    continue
                value = loads(data) if codec == PICKLE else decode(data, codec)
                if size:
                    values[index * size:(index + 1) * size] = value
                else:
                    values[index] = value
            except Exception as error:
                self._failure = error
            if self._buffers:
                length += _FEW_BYTES
                self._buffers.pop(index, None)
                data = None
        self._seen, self._taken, self._buffers = seen, [], {}
        return length

    def _take_buffer(self, index):
        """The buffer of a long result; None if it was unpickled before Ctrl-C."""
        if index not in self._buffers:
            # In one call, too.
            self._buffers.update(zip((index,), map(self._take, (index,))))
        return self._buffers[index]

    def _resolve(self, success, value):
        super()._resolve(success, value)
        self._values = self._failure = None

    def _collect(self):
        while self._seen < self._total and self._gather():
            pass
        values, failure = self._values, self._failure
        if failure is None and self._seen < self._total:
            failure = job_failure(self._job)
        if failure is not None:
            return False, failure
        return True, values


def value_of(status, codec, data):
    """(True, value) or (False, exception) of one result."""
    if status == _tasks.OK:
        try:
            return True, (loads(data) if codec == PICKLE else decode(data, codec))
        except Exception as error:
            return False, error
    return False, _tasks.failure_from(data)


def job_failure(job):
    """The exception of a job that has no result of its own."""
    try:
        job.get_result()
    except GLib.Error as error:
        return _raw.convert_error(error)
    return _raw.TaskError("the job ended without a result")
