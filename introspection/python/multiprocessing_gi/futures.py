# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""concurrent.futures over a pool: for whatever takes an executor, asyncio's among them.

    with ProcessPoolExecutor() as executor:
        future = executor.submit(pow, 2, 10)
        print(future.result())

A call whose worker dies is the only one that fails: its future has a WorkerDiedError, which
is a BrokenProcessPool for the except clauses of existing programs, and the executor goes
on. Only an initializer that fails breaks an executor.
"""

import collections
import concurrent.futures
import functools
import itertools
import operator
import os
import threading
import time
import types
import weakref
from concurrent.futures.process import BrokenProcessPool, _RemoteTraceback

from . import _raw, _tasks, context, pool as _pool, util
from ._primitives import taker_of
from ._raw import Mp
from ._results import job_failure, value_of

__all__ = ["ProcessPoolExecutor", "WorkerDiedError", "BrokenProcessPool"]

# Their pickle is a name.
_NAMED = (types.FunctionType, types.BuiltinFunctionType, type)
_CANCELLED = object()
# How long workers may take that were told to end, in seconds.
_KILL_GRACE = 5
# Those that are to finish what they were given before the interpreter exits.
_pools = weakref.WeakSet()
_interpreter_exits = False


class WorkerDiedError(_raw.WorkerDiedError, BrokenProcessPool):
    """The worker process died while it had the call; the text says which and how."""


class ProcessPoolExecutor(concurrent.futures.Executor):
    """An executor whose calls run in the worker processes of a Pool.

    The workers start with the first call, all of them; they may have children of their
    own. The Pool's GObject is .gobject, None before.
    """

    def __init__(self, max_workers=None, mp_context=None, initializer=None, initargs=(), *,
                 max_tasks_per_child=None):
        if max_workers is None:
            max_workers = _pool._available_cpus()
        max_workers = operator.index(max_workers)
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be at least 1")
        self._max_workers = max_workers
        if mp_context is None or not isinstance(mp_context, context.BaseContext):
            # One of the standard library's stands for its start method.
            method = mp_context.get_start_method() if mp_context is not None else None
            mp_context = context._default_context.get_context(method)
        self._mp_context = mp_context
        self._initializer = initializer
        self._initargs = initargs
        self._max_tasks_per_child = max_tasks_per_child
        self._pool = None
        self._futures = weakref.WeakSet()
        self._lock = threading.Lock()
        self._shut_down = False
        self._function = self._pickled = None

    @property
    def gobject(self):
        """The Mp.raw.Pool behind it; None before the first call."""
        return self._pool.gobject if self._pool is not None else None

    def submit(self, fn, /, *args, **kwargs):
        with self._lock:
            if self._shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if _interpreter_exits:
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            if self._pool is None:
                self._start()
            future = Future(self._pool)
            if fn is not self._function:
                self._function, self._pickled = None, None
                if not future._try(self._pickle, fn):
                    return future
            future._try(future._submit, self._pickled, args, kwargs)
            self._futures.add(future)
        return future

    def _pickle(self, fn):
        """Keeps the pickle of a function, if it is no more than its name."""
        self._pickled = _tasks.EXECUTE + _pool.dumps(fn)
        if isinstance(fn, _NAMED):
            self._function = fn

    def map(self, fn, *iterables, timeout=None, chunksize=1, buffersize=None):
        """The results of fn(*items) for the items of the iterables, in their order.

        All of the input is read now; with a buffersize, so much of it as is that far ahead of
        the results. With a chunksize above 1, as many calls are sent together. After timeout
        seconds from now, TimeoutError.
        """
        chunksize = _pool.check_chunksize(chunksize)
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or at least 1")
        if chunksize > 1:
            chunks = iter(functools.partial(_take_chunk, zip(*iterables), chunksize), ())
            return _chain(self._map(functools.partial(_call_each, fn), (chunks,), timeout,
                                    buffersize))
        return self._map(fn, iterables, timeout, buffersize)

    def _map(self, fn, iterables, timeout, buffersize):
        if buffersize is None:
            return super().map(fn, *iterables, timeout=timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        items = zip(*iterables)
        futures = collections.deque(self.submit(fn, *args)
                                    for args in itertools.islice(items, buffersize))
        return self._map_on(fn, items, futures, deadline)

    def _map_on(self, fn, items, futures, deadline):
        try:
            while futures:
                for args in itertools.islice(items, 1):
                    futures.append(self.submit(fn, *args))
                yield _take_result(futures, deadline)
        finally:
            for future in futures:
                future.cancel()

    def shutdown(self, wait=True, *, cancel_futures=False):
        with self._lock:
            self._shut_down = True
            pool, futures = self._pool, list(self._futures)
        if pool is None:
            return
        if cancel_futures:
            for future in reversed(sorted(futures, key=_number_of)):
                future.cancel()
        pool.close()
        if wait:
            pool.join()

    def terminate_workers(self):
        """Ends the workers by SIGTERM: what runs fails, what waits is cancelled.

        A worker that is still there some seconds later is killed.
        """
        self.shutdown(wait=False, cancel_futures=True)
        if self._pool is not None:
            self._pool.terminate()

    def kill_workers(self):
        """Ends the workers by SIGKILL: what runs fails, what waits is cancelled."""
        self.shutdown(wait=False, cancel_futures=True)
        if self._pool is not None:
            self._pool.kill()

    def __exit__(self, exc_type, exc_value, exc_traceback):
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            # The workers have not heard of it, and the calls may take for ever.
            self.kill_workers()
        return super().__exit__(exc_type, exc_value, exc_traceback)

    def _start(self):
        initializer = self._initializer
        if initializer is not None:
            initializer = functools.partial(_initialize, initializer)
        self._pool = _pool.Pool(self._max_workers, initializer, self._initargs,
                                self._max_tasks_per_child, self._mp_context, daemon=False,
                                kill_grace=_KILL_GRACE)
        _pools.add(self._pool)
        # The pool lives on while there are futures to be done.
        weakref.finalize(self, self._pool.close).atexit = False


class Future(concurrent.futures.Future):
    """A call that was given to a pool; its own pool result, too."""

    def __init__(self, pool):
        super().__init__()
        self._pool = pool
        self._job = None

    def __repr__(self):
        text = super().__repr__()
        return text.replace("state=pending", "state=running") if self.running() else text

    def _try(self, call, *args):
        """Whether a call succeeds; what it raises becomes the exception of the future."""
        try:
            call(*args)
        except Exception as error:
            gobject, self._pool = self._pool.gobject, None
            if gobject.get_broken():
                raise BrokenProcessPool(gobject.dup_broken_reason()) from error
            self.set_running_or_notify_cancel()
            self.set_exception(error)
            return False
        return True

    def _submit(self, function, args, kwargs):
        self._job = self._pool._send_call(function, args, kwargs)
        self._pool._callbacks.add(self)

    def cancel(self):
        """Cancels the call if it has not begun; False if it has."""
        if not self.done():
            if self._job.get_state() != Mp.JobState.QUEUED or not self._job.cancel():
                return self.cancelled()
        return super().cancel()

    def running(self):
        """Whether the call is being executed."""
        job = self._job
        return (not self.done() and job is not None
                and job.get_state() == Mp.JobState.RUNNING)

    def _notify(self):
        """The job has finished; on the callback thread of the pool."""
        pool, self._pool = self._pool, None
        try:
            success, value = self._outcome(pool)
        except BaseException as error:
            # Unpickling is foreign code. There is no Ctrl-C on this thread that could be meant.
            success, value = False, error
        if value is _CANCELLED:
            super().cancel()
        if not self.set_running_or_notify_cancel():
            return
        if success:
            self.set_result(value)
        else:
            self.set_exception(value)
        # This frame is there until the next one is done.
        pool = value = None

    def _outcome(self, pool):
        for _index, status, codec, data in _tasks.iterate_packed(self._job.take_packed(0),
                                                                 taker_of(self._job)):
            success, value = value_of(status, codec, data)
            break
        else:
            success, value = False, job_failure(self._job)
        if success:
            return True, value
        if isinstance(value.__cause__, _tasks.RemoteTraceback):
            value.__cause__ = _RemoteTraceback(value.__cause__.tb)
        if isinstance(value, _raw.WorkerDiedError):
            value = WorkerDiedError(*value.args)
        elif pool.gobject.get_broken():
            value, cause = BrokenProcessPool(pool.gobject.dup_broken_reason()), value
            value.__cause__ = cause
        elif self._job.get_state() == Mp.JobState.CANCELLED:
            value = _CANCELLED
            if pool._state == _pool.TERMINATE:
                value = BrokenProcessPool("the executor's workers were ended")
        return False, value


def _number_of(future):
    return future._job.get_id() if future._job is not None else 0


def _take_result(futures, deadline):
    """The result of the first; nothing of it is kept."""
    future = futures.popleft()
    try:
        return future.result(None if deadline is None else deadline - time.monotonic())
    finally:
        future.cancel()


def _take_chunk(items, size):
    return tuple(itertools.islice(items, size))


def _call_each(fn, chunk):
    return [fn(*items) for items in chunk]


def _chain(lists):
    for values in lists:
        # Nothing that was handed out is kept.
        values.reverse()
        while values:
            yield values.pop()


def _initialize(initializer, *initargs):
    """In a worker: what fails here is in the log as with concurrent.futures."""
    try:
        initializer(*initargs)
    except BaseException:
        concurrent.futures._base.LOGGER.critical("Exception in initializer:", exc_info=True)
        raise


def _finish_pools():
    """Before the interpreter exits, what was submitted is executed: not after a Ctrl-C."""
    global _interpreter_exits
    _interpreter_exits = True
    for pool in list(_pools):
        if util.is_interrupted():
            pool.kill()
        else:
            pool.close()
        pool.join()


def _forget_pools():
    """In a forked child, the pools are the parent's."""
    global _interpreter_exits
    _interpreter_exits = False
    _pools.clear()


# Earlier than what is registered with atexit: pools are terminated there.
threading._register_atexit(_finish_pools)
os.register_at_fork(after_in_child=_forget_pools)
