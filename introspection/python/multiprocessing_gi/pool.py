# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pools of worker processes, over MpPool."""

import os
import threading
import warnings
import weakref

from . import _raw, _tasks, context as _context, process, util
from ._imap import Feeder, IMapIterator, IMapUnorderedIterator
from ._raw import GLib, Mp, SLICE_US, wait_until
from ._results import ApplyResult, AsyncResult, MapResult
from ._serialize import PICKLE, dump_all, dumps, spawning

__all__ = ["Pool", "AsyncResult", "ApplyResult", "MapResult", "IMapIterator",
           "IMapUnorderedIterator"]

INIT, RUN, CLOSE, TERMINATE = "INIT", "RUN", "CLOSE", "TERMINATE"

# How many tasks of an imap() may be unfinished or not yet fetched.
READ_AHEAD = 1024
# How many items of a map() are pickled before the workers get them.
_BATCH_ITEMS = 2048
# Inputs whose slices are as good as lists, and that do not change by being read.
_SLICEABLE = (list, tuple, range)
_WORKER_NAMES = {"forkserver": "ForkServerPoolWorker", "spawn": "SpawnPoolWorker"}


def __getattr__(name):
    if name in ("MaybeEncodingError", "RemoteTraceback"):
        return getattr(_tasks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
        return self._submit(AsyncResult, (), _tasks.CALL, func, [[(args, kwds)]],
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
            items = iterable if isinstance(iterable, _SLICEABLE) else list(iterable)
        except Exception as error:
            if not hasattr(iterable, "__len__"):
                raise
            return _failed(MapResult(None, None, 0, 0, callback, error_callback), error)
        if not items:
            result = MapResult(None, None, 0, 0)
            result._resolve(True, [])
            return result
        if chunksize is None:
            chunksize = -(-len(items) // (4 * self._processes))
        if chunksize == 1 and mode == _tasks.ITEMS:
            mode, chunksize = _tasks.ITEM, 0
        return self._submit(MapResult, (len(items), chunksize), mode, func,
                            _Batches(items, chunksize), callback, error_callback)

    def _submit(self, kind, arguments, mode, func, batches, callback, error_callback):
        """Sends the tasks of one job, some at a time; gives its result object."""
        job = None
        more = len(batches) > 1
        try:
            function = mode + dumps(func)
            for batch in batches:
                pickled = dump_all(batch)
                if job is None:
                    job = self._send(function, pickled, ordered=False, more=more)
                elif not _push(job, pickled):
                    break
        except _raw.ProcessError:
            raise
        except Exception as error:
            if job is not None:
                job.end_input()
            return _failed(kind(None, None, *arguments, callback, error_callback), error)
        if more:
            job.end_input()
        result = kind(self, job, *arguments, callback, error_callback)
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
        feeder = Feeder(job, iterable, chunksize, kind._ordered,
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


class _Batches:
    """The payloads of a map(), as many at a time as are sent with one call."""

    def __init__(self, items, chunksize):
        self._items = items
        self._chunksize = chunksize
        self._step = max(chunksize, _BATCH_ITEMS // max(chunksize, 1) * chunksize) or _BATCH_ITEMS

    def __len__(self):
        return -(-len(self._items) // self._step)

    def __iter__(self):
        items, size = self._items, self._chunksize
        for begin in range(0, len(items), self._step):
            end = min(begin + self._step, len(items))
            if size:
                yield [items[at:min(at + size, end)] for at in range(begin, end, size)]
            else:
                yield items[begin:end]


def _push(job, payloads):
    """Adds tasks to a job; False if it has ended, because its pool was terminated."""
    try:
        return job.push_packed(b"".join(payloads), _tasks.pack_lengths(payloads))
    except GLib.Error as error:
        if not _raw.is_mp_error(error, Mp.Error.CLOSED):
            raise _raw.convert_error(error) from error
        return False


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
    initargs = tuple(initargs)
    util.flush_std_streams()
    if method == "fork":
        # Imports _zygote, which must not be there yet in a process that is to be one.
        from . import _fork_pool
        # The warning is for who called Pool().
        properties["context"] = _fork_pool.make_context(initializer, initargs, stacklevel=4)
    else:
        preparation = _context.prepare_data(method)
        preparation["worker_name"] = _WORKER_NAMES[method]
        preparation["identity"] = process.current_process()._identity
        with spawning() as fd_list:
            data = dumps(preparation) + dumps((initializer, initargs))
        properties.update(context=ctx.gobject, worker_data=GLib.Bytes.new(data),
                          worker_fd_list=fd_list)
    pool = Mp.Pool(n_workers=processes, **properties)
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
