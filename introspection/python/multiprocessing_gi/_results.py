# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The results of a pool's calls, to come."""

import sys
import threading
import types

from . import _raw, _tasks
from ._raw import GLib, SLICE_US, TimeoutError, deadline_after, remaining_us, wait_until
from ._serialize import PICKLE, decode, loads

__all__ = ["AsyncResult", "ApplyResult", "MapResult"]

_OK = _tasks.OK
# How long results of a map() wait to be taken together.
_SHORT_WAIT_US = 5_000


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

    @property
    def gobject(self):
        """The Mp.raw.Job behind it; None when the task could not be sent."""
        return self._job

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

    def cancel(self):
        """Cancels: what is queued is dropped, a worker that has it is replaced."""
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
        for _index, status, codec, data in _tasks.iterate_packed(self._job.take_packed(0)):
            return value_of(status, codec, data)
        return False, job_failure(self._job)

    def _notify(self):
        """Runs the callback and makes the result ready; on the callback thread."""
        self._finish()
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

    __class_getitem__ = classmethod(types.GenericAlias)


ApplyResult = AsyncResult


class MapResult(AsyncResult):
    """The result of map_async() and starmap_async(), to come."""

    def __init__(self, pool, job, length, chunksize, callback=None, error_callback=None):
        super().__init__(pool, job, callback, error_callback)
        self._chunksize = chunksize  # 0: each item is a task of its own
        self._total = job.get_n_total() if job is not None else 0
        self._values = [None] * length
        self._seen = 0
        self._failure = None
        # What was taken and not unpickled yet: Ctrl-C may interrupt that, and is no loss.
        self._taken = []

    def _wait(self, timeout):
        if self._done or self._event is not None:
            return super()._wait(timeout)
        # What is there is taken while the workers go on, but not each result by itself.
        deadline, pause = deadline_after(timeout), _SHORT_WAIT_US
        while True:
            left = remaining_us(deadline)
            if self._job.wait_ready(min(left, pause)):
                return True
            if left == 0:
                return False
            with self._lock:
                pause = _SHORT_WAIT_US if self._gather() else min(2 * pause, SLICE_US)

    def _gather(self):
        """Takes the results that are there; False if there were none."""
        if self._done:
            return False
        if not self._taken:
            # In one call, for a signal's handler runs as soon as one has returned.
            self._taken.extend(map(self._job.take_packed, (0,)))
        packed = self._taken[0]
        values, size, seen = self._values, self._chunksize, self._seen
        for index, status, codec, data in _tasks.iterate_packed(packed):
            seen += 1
            # The first failure that came in decides, whatever its place.
            if self._failure is not None:
                continue
            try:
                if status != _OK:
                    self._failure = _tasks.failure_from(data)
                elif size:
                    values[index * size:(index + 1) * size] = loads(data)
                else:
                    values[index] = loads(data)
            except Exception as error:
                self._failure = error
        self._seen, self._taken = seen, []
        return bool(packed)

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
