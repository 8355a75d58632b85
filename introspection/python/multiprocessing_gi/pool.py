# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pools of worker processes, over MpPool."""

import collections
import itertools
import os
import sys
import threading
import types
import warnings
import weakref

from . import _raw, _tasks, context as _context, process, util
from ._raw import GLib, Mp, SLICE_US, TimeoutError, deadline_after, remaining_us, wait_until
from ._serialize import PICKLE, decode, dumps, loads, spawning
from ._tasks import MaybeEncodingError, RemoteTraceback

__all__ = ["Pool", "AsyncResult", "ApplyResult", "MapResult", "IMapIterator",
           "IMapUnorderedIterator", "MaybeEncodingError", "RemoteTraceback"]

INIT, RUN, CLOSE, TERMINATE = "INIT", "RUN", "CLOSE", "TERMINATE"

# How many tasks of an imap() may be unfinished or not yet fetched.
READ_AHEAD = 1024
# How many tasks are handed over with one call where the input cannot block.
BATCH = 128
_WORKER_NAMES = {"forkserver": "ForkServerPoolWorker", "spawn": "SpawnPoolWorker"}
# Inputs whose iterator neither runs foreign code nor waits for anything.
_INSTANT = (list, tuple, range, str, bytes, set, frozenset, dict, collections.deque)


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
            return _value_of(status, codec, data)
        return False, _job_failure(self._job)

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

    def __init__(self, pool, job, chunked, callback=None, error_callback=None):
        super().__init__(pool, job, callback, error_callback)
        self._chunked = chunked

    def _collect(self):
        job = self._job
        total = job.get_n_total()
        values = [None] * total
        seen, failure = 0, None
        while seen < total:
            packed = job.take_packed(0)
            if not packed:
                break
            for index, status, codec, data in _tasks.iterate_packed(packed):
                seen += 1
                # The first failure that came in decides, whatever its place.
                if failure is None:
                    success, value = _value_of(status, codec, data)
                    if success:
                        values[index] = value
                    else:
                        failure = value
        if failure is None and seen < total:
            failure = _job_failure(job)
        if failure is not None:
            return False, failure
        if self._chunked:
            values = [value for chunk in values for value in chunk]
        return True, values


def _value_of(status, codec, data):
    """(True, value) or (False, exception) of one result."""
    if status == _tasks.OK:
        try:
            return True, (loads(data) if codec == PICKLE else decode(data, codec))
        except Exception as error:
            return False, error
    return False, _tasks.failure_from(data)


def _job_failure(job):
    """The exception of a job that has no result of its own."""
    try:
        job.get_result()
    except GLib.Error as error:
        return _raw.convert_error(error)
    return _raw.TaskError("the job ended without a result")


class IMapIterator:
    """The results of imap(), in the order of the input."""

    _ordered = True

    def __init__(self, feeder):
        self._feeder = feeder
        self._ready = collections.deque()
        self._lock = threading.RLock()
        weakref.finalize(self, feeder.abandon).atexit = False

    def __iter__(self):
        return self

    @property
    def gobject(self):
        """The Mp.raw.Job behind it."""
        return self._feeder.job

    def next(self, timeout=None):
        """The next result; TimeoutError if there is none in time."""
        with self._lock:
            if not self._ready:
                self._fetch(timeout)
            success, value = self._ready.popleft()
        if success:
            return value
        raise value

    __next__ = next

    def _fetch(self, timeout):
        """Waits for results and puts what they stand for into _ready."""
        feeder = self._feeder
        deadline = deadline_after(timeout)
        while True:
            for status, codec, data in feeder.fetch():
                if status is None:
                    self._ready.append((False, data))
                else:
                    self._expand(*_value_of(status, codec, data))
            if self._ready:
                return
            if feeder.exhausted():
                raise StopIteration
            left = remaining_us(deadline)
            if left == 0:
                raise TimeoutError
            feeder.wait(left)

    def _expand(self, success, value):
        if success and self._feeder.chunked:
            self._ready.extend((True, item) for item in value)
        else:
            self._ready.append((success, value))


class IMapUnorderedIterator(IMapIterator):
    """The results of imap_unordered(), as they come."""

    _ordered = False


class _Feeder:
    """The input side of an imap(): reads the iterable and pushes tasks, within a limit.

    Where reading the input cannot block, whoever fetches results reads it, in batches;
    otherwise a thread does, item by item. When the pool is closed the limit is lifted,
    because then all of the input has to run; when nobody can fetch results any more
    they are dropped, and the limit is one on unfinished tasks.
    """

    def __init__(self, job, iterable, chunksize, ordered, limit):
        self.job = job
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
        self._ended = False        # all of the input was read
        self._unlimited = False
        self._abandoned = False
        self._instant = isinstance(iterable, _INSTANT)
        try:
            self._iterator = iter(iterable)
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
        """The payload of the next task: bytes, an exception, or None at the end."""
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
            return dumps(item)
        except Exception as error:
            return error

    def _push(self, payloads):
        """Pushes tasks; False when the pool takes none any more."""
        self._position += len(payloads)
        self._outstanding += len(payloads)
        try:
            self.job.push_packed(b"".join(payloads), _tasks.pack_lengths(payloads))
        except GLib.Error as error:
            self._position -= len(payloads)
            self._outstanding -= len(payloads)
            self._fail(_raw.convert_error(error))
            return False
        return True

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
        return BATCH if self._unlimited else self._limit - self._outstanding

    def _read_instantly(self):
        """Reads as much of an input that cannot block as the limit allows."""
        while not self._ended:
            room, batch, payload = min(BATCH, self._room()), [], b""
            if room <= 0:
                return
            while len(batch) < room:
                payload = self._payload()
                if not isinstance(payload, bytes):
                    break
                batch.append(payload)
            if batch and not self._push(batch):
                payload = None
            if isinstance(payload, Exception):
                self._fail(payload)
            elif payload is None:
                self._end()

    def _start_thread(self):
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
                    elif not self._push([payload]):
                        break
                    self._condition.notify_all()
        finally:
            with self._condition:
                self._end()

    def _wait_for_room(self):
        """Waits until the thread may read on; False when the pool has ended."""
        while True:
            with self._condition:
                if self._abandoned:
                    taken = self.job.take_packed(0)
                    self._outstanding -= sum(1 for _ in _tasks.iterate_packed(taken))
                if self._room() > 0:
                    return True
                if self.job.get_finished():
                    return False
                if not self._abandoned:
                    self._condition.wait(1)
                    continue
            self.job.wait_result(SLICE_US)

    # What the pool and the iterator ask for.

    def lift_limit(self):
        """The pool is being closed: all of the input is to be read."""
        with self._condition:
            self._unlimited = True
            self._condition.notify_all()
            if self._instant and not self._abandoned:
                self._read_instantly()

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
            for _index, status, codec, data in _tasks.iterate_packed(
                    self.job.take_packed(min(limit, BATCH) or BATCH)):
                out.append((status, codec, data))
                self._outstanding -= 1
                self._next += 1
            if not out and self._outstanding and self.job.get_finished():
                # The pool was terminated: this stands for all that is missing.
                out.append((None, None, _job_failure(self.job)))
                self._outstanding, self._next, self._ended = 0, self._position, True
            if out:
                self._condition.notify_all()
                if self._instant and not self._abandoned:
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


class _Callbacks:
    """The thread that runs the callbacks of a pool's results, in the order they finish."""

    def __init__(self, gobject):
        self._gobject = gobject
        self._results = {}
        self._condition = threading.Condition()
        self._stopped = False
        self._thread = None

    def add(self, result):
        """Has a result's callbacks run when its job has finished."""
        result._event = threading.Event()
        with self._condition:
            self._results[result._job.get_id()] = result
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True,
                                                name="PoolCallbackThread")
                self._thread.start()
        result._job.set_notify(True)

    def _run(self):
        while not self._stopped or self._results:
            job = self._gobject.take_finished(SLICE_US)
            if job is None:
                continue
            number, job = job.get_id(), None
            self._results[number]._notify()
            with self._condition:
                del self._results[number]
                self._condition.notify_all()

    def stop(self):
        """Ends the thread when every callback has run."""
        self._stopped = True

    def join(self):
        """Waits until every callback has run."""
        if threading.current_thread() is self._thread:
            return
        with self._condition:
            while self._results:
                self._condition.wait(1)


class Pool:
    """A pool of processes that run functions, with the interface of multiprocessing.Pool.

    A worker that dies fails the task it had (WorkerDiedError) and is replaced; every
    other task completes. With max_attempts above 1 such a task is tried again. The
    GObject behind it is .gobject; connect() and .props reach its signals and properties.
    """

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None,
                 context=None, *, max_attempts=1):
        self._state = INIT
        if processes is None:
            processes = _available_cpus()
        if processes < 1:
            raise ValueError("number of processes must be at least 1")
        if maxtasksperchild is not None and (
                not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if not isinstance(max_attempts, int) or max_attempts < 1:
            raise ValueError("max_attempts must be a positive int")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if process.current_process().daemon:
            raise AssertionError("daemonic processes are not allowed to have children")
        self._ctx = context or _context._default_context.get_context()
        self._processes = processes
        self._gobject = _make_pool(self._ctx, processes, initializer, initargs,
                                   max_tasks_per_worker=maxtasksperchild or 0,
                                   max_attempts=max_attempts)
        self._callbacks = _Callbacks(self._gobject)
        self._feeders = weakref.WeakSet()
        self._lock = threading.Lock()
        self._terminate = util.Finalize(self, _end_pool, (self._gobject, self._callbacks),
                                        exitpriority=15)
        self._state = RUN

    def __del__(self, _warn=warnings.warn, RUN=RUN):
        if getattr(self, "_state", None) == RUN:
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning,
                  source=self)

    def __repr__(self):
        return (f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} "
                f"pool_size={getattr(self, '_processes', 0)}>")

    def __reduce__(self):
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def __enter__(self):
        self._check_running()
        return self

    def __exit__(self, *_exc):
        self.terminate()

    @property
    def gobject(self):
        """The Mp.raw.Pool behind it."""
        return self._gobject

    @property
    def props(self):
        """The GObject's properties."""
        return self._gobject.props

    def connect(self, signal_name, callback, *args):
        """Connects to a signal of the GObject; the callback gets this object first."""
        reference = weakref.ref(self)
        return self._gobject.connect(
            signal_name, lambda _gobject, *values: callback(reference(), *values, *args))

    @property
    def _pool(self):
        return [_Worker(pid) for pid in self._gobject.get_worker_pids()]

    def _check_running(self):
        if self._state != RUN:
            raise ValueError("Pool not running")

    # One call.

    def apply(self, func, args=(), kwds={}):
        """Calls func(*args, **kwds) in a worker and waits for the result."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None):
        """Calls func(*args, **kwds) in a worker; the result comes later."""
        self._check_running()
        return self._submit(AsyncResult, (), _tasks.CALL, func, ((args, kwds),),
                            callback, error_callback)

    # Many calls.

    def map(self, func, iterable, chunksize=None):
        """The list of func(item) for the items of iterable."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None):
        """map() whose list comes later."""
        return self._map_async(func, iterable, _tasks.ITEMS, chunksize, callback,
                               error_callback)

    def starmap(self, func, iterable, chunksize=None):
        """The list of func(*item) for the items of iterable."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(self, func, iterable, chunksize=None, callback=None,
                      error_callback=None):
        """starmap() whose list comes later."""
        return self._map_async(func, iterable, _tasks.STAR_ITEMS, chunksize, callback,
                               error_callback)

    def _map_async(self, func, iterable, mode, chunksize, callback, error_callback):
        self._check_running()
        if chunksize is not None and chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, not {chunksize}")
        try:
            items = iterable if isinstance(iterable, (list, tuple)) else list(iterable)
        except Exception as error:
            if not hasattr(iterable, "__len__"):
                raise
            return _failed(MapResult(None, None, False, callback, error_callback), error)
        if not items:
            result = MapResult(None, None, False)
            result._resolve(True, [])
            return result
        if chunksize is None:
            chunksize = -(-len(items) // (4 * self._processes))
        chunked = chunksize > 1 or mode == _tasks.STAR_ITEMS
        if chunked:
            payloads = (tuple(items[at:at + chunksize])
                        for at in range(0, len(items), chunksize))
        else:
            mode, payloads = _tasks.ITEM, items
        return self._submit(MapResult, (chunked,), mode, func, payloads, callback,
                            error_callback)

    def _submit(self, kind, arguments, mode, func, payloads, callback, error_callback):
        """Sends the tasks of one job with one call; gives its result object."""
        try:
            function = mode + dumps(func)
            pickled = list(map(dumps, payloads))
        except Exception as error:
            result = kind(None, None, *arguments, callback, error_callback)
            return _failed(result, error)
        result = kind(self, self._send(function, pickled, ordered=False), *arguments,
                      callback, error_callback)
        if callback is not None or error_callback is not None:
            self._callbacks.add(result)
        return result

    def _send(self, function, pickled, ordered, more=False):
        try:
            return self._gobject.submit_packed(
                function, b"".join(pickled), _tasks.pack_lengths(pickled), PICKLE, ordered,
                more)
        except GLib.Error as error:
            raise _raw.convert_error(error) from error

    # Lazily.

    def imap(self, func, iterable, chunksize=1):
        """An iterator of func(item), in order; reads ahead in the input, within bounds."""
        return self._imap(IMapIterator, func, iterable, chunksize)

    def imap_unordered(self, func, iterable, chunksize=1):
        """imap() whose results come as they are finished."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize)

    def _imap(self, kind, func, iterable, chunksize):
        self._check_running()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        mode = _tasks.ITEMS if chunksize > 1 else _tasks.ITEM
        failure = None
        try:
            function = mode + dumps(func)
        except Exception as error:
            function, iterable, failure = mode, (), error
        job = self._send(function, (), kind._ordered, more=True)
        feeder = _Feeder(job, iterable, chunksize, kind._ordered,
                         max(READ_AHEAD, 16 * self._processes))
        if failure is not None:
            feeder.fail(failure)
        feeder.start()
        self._feeders.add(feeder)
        return kind(feeder)

    # The end.

    def close(self):
        """No more work; the workers leave when what was given to the pool is done."""
        with self._lock:
            if self._state != RUN:
                return
            self._state = CLOSE
        feeders = [feeder for feeder in self._feeders if not feeder.has_ended()]
        for feeder in feeders:
            feeder.lift_limit()
        if all(feeder.has_ended() for feeder in feeders):
            self._gobject.close()
        else:
            # An input that may block is still being read: its tasks belong to the pool.
            threading.Thread(target=_close_after, args=(self._gobject, feeders),
                             name="PoolCloserThread", daemon=True).start()

    def terminate(self):
        """Drops what is queued and kills the workers; open results are cancelled."""
        self._state = TERMINATE
        self._terminate()

    def join(self):
        """Waits until the workers have left, after close() or terminate()."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        wait_until(self._gobject.wait_ready, None)
        self._callbacks.join()
        self._callbacks.stop()


def _failed(result, error):
    """Ends a result whose task cannot be sent."""
    result._resolve(False, error)
    if result._error_callback is not None:
        result._event = threading.Event()
        threading.Thread(target=result._notify, name="PoolCallbackThread", daemon=True).start()
    return result


class _Worker:
    """A worker process of a pool, as far as Python can see it."""

    def __init__(self, pid):
        self.pid = self.ident = pid

    def is_alive(self):
        """Whether a process of this id exists."""
        return os.path.exists(f"/proc/{self.pid}")


def _available_cpus():
    try:
        return len(os.sched_getaffinity(0)) or 1
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def _make_pool(ctx, processes, initializer, initargs, **properties):
    """Makes the GObject, whose workers start at once."""
    method = ctx.get_start_method()
    preparation = _context.prepare_data(method)
    preparation["worker_name"] = _WORKER_NAMES[method]
    preparation["identity"] = process.current_process()._identity
    util.flush_std_streams()
    with spawning() as fd_list:
        data = dumps(preparation) + dumps((initializer, tuple(initargs)))
    pool = Mp.Pool(context=ctx.gobject, n_workers=processes, worker_data=GLib.Bytes.new(data),
                   worker_fd_list=fd_list, **properties)
    try:
        pool.init(None)
    except GLib.Error as error:
        raise _raw.convert_error(error) from error
    return pool


def _close_after(gobject, feeders):
    for feeder in feeders:
        feeder.wait_until_ended()
    gobject.close()


def _end_pool(gobject, callbacks):
    """The finalizer of a pool; holds no reference to the Pool itself."""
    gobject.terminate()
    callbacks.stop()
