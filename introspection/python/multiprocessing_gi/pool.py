# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pools of worker processes, over MpPool."""

import os
import sys
import threading
import warnings
import weakref
from operator import index

from . import _payloads, _raw, _tasks, context as _context, process, util
from ._imap import Feeder, IMapIterator, IMapUnorderedIterator
from ._options import job_options, pool_properties
from ._raw import GLib, Mp, SLICE_US, wait_until
from ._results import ApplyResult, AsyncResult, MapResult
from ._serialize import PICKLE, dumps, spawning

__all__ = ["Pool", "ThreadPool", "current_task", "AsyncResult", "ApplyResult", "MapResult",
           "IMapIterator", "IMapUnorderedIterator"]

INIT, RUN, CLOSE, TERMINATE = "INIT", "RUN", "CLOSE", "TERMINATE"

# How many tasks of an imap() may be unfinished or not yet fetched.
READ_AHEAD = 1024
# How many items of a map() are pickled before the workers get them.
_BATCH_ITEMS = 2048
# Inputs whose slices are as good as lists, and that do not change by being read.
_SLICEABLE = (list, tuple, range)
_WORKER_NAMES = {"forkserver": "ForkServerPoolWorker", "spawn": "SpawnPoolWorker"}


def current_task():
    """The task that is run here; None in a process that is no worker, or between two tasks.

    It has id, attempt (0 the first time), cancelled (whether its job was cancelled or it
    takes too long: it had better end) and report_progress(fraction), which becomes part
    of the progress of its result.
    """
    worker = sys.modules.get("multiprocessing_gi._worker")
    return worker.current_task() if worker is not None else None


def __getattr__(name):
    if name in ("MaybeEncodingError", "RemoteTraceback"):
        return getattr(_tasks, name)
    if name == "ThreadPool":
        # Of threads, there is nothing to do better than the standard library does.
        from multiprocessing.pool import ThreadPool
        return ThreadPool
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Callbacks:
    """The thread that runs the callbacks of a pool's results, in the order they finish."""

    def __init__(self, gobject):
        self._gobject = gobject
        self._results = {}
        self._condition = threading.Condition(threading.RLock())
        self._stopped = False
        self._thread = None

    def add(self, result):
        """Has result._notify() called when its job has finished."""
        with self._condition:
            self._results[result._job] = result
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True,
                                                name="PoolCallbackThread")
                self._thread.start()
        result._job.set_notify(True)

    def add_waiter(self, result, wake):
        """Has wake() called when a result is ready."""
        with self._condition:
            if result._event is None:
                result._event = threading.Event()
                self.add(result)
        result._waiters.append(wake)
        # It may have been set before there was anybody to wake.
        if result._event.is_set():
            wake()

    def _run(self):
        while True:
            job = self._gobject.take_finished(SLICE_US)
            if job is None:
                if self._may_end():
                    return
                continue
            self._results[job]._notify()
            with self._condition:
                del self._results[job]
                if not self._results:
                    self._condition.notify_all()
            job = None

    def _may_end(self):
        """Whether the thread has nothing to do, and most likely will not have anything."""
        with self._condition:
            if self._results or not (self._stopped or self._gobject.wait_ready(0)):
                return False
            self._thread = None
            return True

    def stop(self):
        """Ends the thread when every callback has run."""
        self._stopped = True

    def join(self):
        """Waits until every callback has run."""
        thread = self._thread
        if threading.current_thread() is thread:
            return
        with self._condition:
            while self._results:
                self._condition.wait(1)
        self.stop()
        if thread is not None:
            thread.join()


class Pool:
    """A pool of processes that run functions, with the interface of multiprocessing.Pool.

    A worker that dies fails the task it had (WorkerDiedError) and is replaced; every
    other task completes. The GObject behind it is .gobject; connect() and .props reach its
    signals and properties.

    Long arrays that come as arguments or results lie in shared memory, which is used again when
    they go. A process that forks copies those that it has, once.

    Of the keywords, times are in seconds and memory is in bytes:

    daemon: if false, workers may have children of their own.
    max_attempts: how often a task is started, when the workers that run it die; 1.
    retry_delay: what it waits for before the second attempt; twice as long before each
        further one.
    task_timeout: how long an attempt may take; TimeoutError then.
    cancel_grace, kill_grace: how long a task that was cancelled, or takes too long, may go
        on before its worker gets SIGTERM (0.1), and how long after that SIGKILL (1), as
        with terminate().
    min_workers, idle_timeout: so many workers stay, others leave when they were not needed
        for so long, and come back when they are.
    max_worker_age, max_worker_memory: a worker that is older, or uses more, is replaced
        between two tasks.
    worker_memory_limit: a worker that uses more is killed, and its task is a LimitError.
    umask, nice, cpus, limits: of each worker, as of a Process.
    capture_output: what workers write is told line by line by the signal "output".

    The calls of a pool take keywords, too:

    priority: calls with a greater number come first; 0.
    timeout, max_attempts, retry_delay: instead of the pool's.
    retry_failed: if true, another attempt is also made when the function raised, took too
        long or hit a limit.
    after: a result, or several, of this pool that have to succeed first; if one does not,
        the call is not made, and fails.
    """

    def __init__(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None,
                 context=None, *, daemon=True, **options):
        self._state = INIT
        processes = _available_cpus() if processes is None else _check_processes(processes)
        if maxtasksperchild is not None and (
                not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if process.current_process().daemon:
            raise AssertionError("daemonic processes are not allowed to have children")
        surroundings, options = _take_surroundings(options)
        properties = pool_properties(options)
        self._ctx = context or _context._default_context.get_context()
        self._processes = processes
        self._gobject = _make_pool(self._ctx, processes, initializer, initargs, daemon,
                                   surroundings, **properties,
                                   max_tasks_per_worker=maxtasksperchild or 0)
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

    def apply(self, func, args=(), kwds={}, **options):
        """Calls func(*args, **kwds) in a worker and waits for the result."""
        return self.apply_async(func, args, kwds, **options).get()

    def apply_async(self, func, args=(), kwds={}, callback=None, error_callback=None, **options):
        """Calls func(*args, **kwds) in a worker; the result comes later."""
        self._check_running()
        options = job_options(options)
        try:
            job = self._send_call(_tasks.CALL + dumps(func), args, kwds, options)
        except _raw.ProcessError:
            raise
        except Exception as error:
            return _failed(AsyncResult(None, None, callback, error_callback), error)
        return self._follow(AsyncResult(self, job, callback, error_callback))

    def _send_call(self, function, args, kwds, options=None):
        """Sends the task of a job that has one."""
        payload = _payloads.dump_call(args, kwds)
        if not _payloads.is_long(payload):
            return self._send(function, [payload], ordered=False, options=options)
        job = self._send(function, (), ordered=False, more=True, options=options)
        try:
            _payloads.push(job, payload)
        except GLib.Error as error:
            # If it has ended already, its pool was terminated.
            if not _raw.is_mp_error(error, Mp.Error.CLOSED):
                raise _raw.convert_error(error) from error
        finally:
            job.end_input()
        return job

    # Many calls.

    def map(self, func, iterable, chunksize=None, **options):
        """The list of func(item) for the items of iterable."""
        return self._map_async(func, iterable, _tasks.ITEMS, chunksize, None, None,
                               options).get_here()

    def map_async(self, func, iterable, chunksize=None, callback=None, error_callback=None,
                  **options):
        """map() whose list comes later."""
        return self._map_async(func, iterable, _tasks.ITEMS, chunksize, callback,
                               error_callback, options).send_rest()

    def starmap(self, func, iterable, chunksize=None, **options):
        """The list of func(*item) for the items of iterable."""
        return self._map_async(func, iterable, _tasks.STAR_ITEMS, chunksize, None, None,
                               options).get_here()

    def starmap_async(self, func, iterable, chunksize=None, callback=None,
                      error_callback=None, **options):
        """starmap() whose list comes later."""
        return self._map_async(func, iterable, _tasks.STAR_ITEMS, chunksize, callback,
                               error_callback, options).send_rest()

    def _map_async(self, func, iterable, mode, chunksize, callback, error_callback, options):
        self._check_running()
        options = job_options(options)
        if chunksize is not None:
            chunksize = check_chunksize(chunksize)
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
        supply = _payloads.Supply(_Batches(items, chunksize), self._processes + 2)
        job = None
        try:
            function = mode + dumps(func)
            job = self._send(function, supply.take_first(), ordered=False, more=True,
                             options=options)
            if supply.feed(job):
                supply = None
        except _raw.ProcessError:
            raise
        except GLib.Error as error:
            # If it has ended already, its pool was terminated, and the result will say so.
            if not _raw.is_mp_error(error, Mp.Error.CLOSED):
                job.end_input()
                raise _raw.convert_error(error) from error
        except Exception as error:
            if job is not None:
                job.end_input()
            return _failed(MapResult(None, None, 0, 0, callback, error_callback), error)
        return self._follow(MapResult(self, job, len(items), chunksize, callback, error_callback,
                                      supply))

    def _follow(self, result):
        """Has the callbacks of a result called."""
        if result._callback is not None or result._error_callback is not None:
            result._event = threading.Event()
            self._callbacks.add(result)
        return result

    def _send(self, function, pickled, ordered, more=False, options=None):
        try:
            return self._gobject.submit_packed(
                function, b"".join(pickled), _tasks.pack_lengths(pickled), PICKLE, ordered,
                more, options)
        except GLib.Error as error:
            raise _raw.convert_error(error) from error

    # Lazily.

    def imap(self, func, iterable, chunksize=1, **options):
        """An iterator of func(item), in order; reads ahead in the input, within bounds."""
        return self._imap(IMapIterator, func, iterable, chunksize, options)

    def imap_unordered(self, func, iterable, chunksize=1, **options):
        """imap() whose results come as they are finished."""
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize, options)

    def _imap(self, kind, func, iterable, chunksize, options):
        self._check_running()
        options = job_options(options)
        chunksize = check_chunksize(chunksize)
        mode = _tasks.ITEMS if chunksize > 1 else _tasks.ITEM
        failure = None
        try:
            function = mode + dumps(func)
        except Exception as error:
            function, iterable, failure = mode, (), error
        job = self._send(function, (), kind._ordered, more=True, options=options)
        feeder = Feeder(job, iterable, chunksize, kind._ordered,
                         max(READ_AHEAD, 16 * self._processes), self._processes + 2)
        if failure is not None:
            feeder.fail(failure)
        feeder.start()
        self._feeders.add(feeder)
        return kind(feeder)

    # Its size.

    def resize(self, processes):
        """Changes the number of workers; those that are too many leave between two tasks."""
        processes = _check_processes(processes)
        try:
            self._gobject.resize(processes)
        except GLib.Error as error:
            raise _raw.convert_error(error) from error
        self._processes = processes

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
        """Drops what is queued and ends the workers by SIGTERM; open results are cancelled.

        A worker that is still there kill_grace seconds later is killed.
        """
        self._state = TERMINATE
        self._terminate()

    def kill(self):
        """As terminate(), but by SIGKILL."""
        self._state = TERMINATE
        self._gobject.kill()
        self._terminate()

    def join(self):
        """Waits until the workers have left, after close() or terminate()."""
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        wait_until(self._gobject.wait_ready, None)
        self._callbacks.join()


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


def check_chunksize(chunksize):
    """The size of chunks as an int."""
    chunksize = index(chunksize)
    if chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize}")
    return chunksize


def _check_processes(processes):
    processes = index(processes)
    if processes < 1:
        raise ValueError("number of processes must be at least 1")
    return processes


def _available_cpus():
    try:
        return len(os.sched_getaffinity(0)) or 1
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def _take_surroundings(options):
    """The Surroundings among the keywords of a pool, None for none; and the other keywords."""
    names = {"umask", "nice", "cpus", "limits"} & options.keys()
    if not names:
        return None, options
    from . import _surroundings
    surroundings, _ = _surroundings.split({name: options[name] for name in names}, "a pool")
    return surroundings, {name: options[name] for name in options.keys() - names}


def _make_pool(ctx, processes, initializer, initargs, daemon, surroundings, **properties):
    """Makes the GObject, whose workers start at once."""
    method = ctx.get_start_method()
    _context.check_can_have(method, surroundings)
    initargs = tuple(initargs)
    util.flush_std_streams()
    if method == "fork":
        # Imports _zygote, which must not be there yet in a process that is to be one.
        from . import _fork_pool
        # The warning is for who called Pool().
        properties["context"] = _fork_pool.make_context(initializer, initargs, daemon, stacklevel=4)
    else:
        context = ctx.gobject
        preparation = _context.prepare_data(method)
        worker = (_WORKER_NAMES[method], process.current_process()._identity,
                  preparation["parent"], daemon)
        with spawning() as fd_list:
            start = None if initializer is None else dumps((initializer, initargs))
            data = dumps((_context._starter.changes(method, preparation), worker, start))
        if surroundings is not None:
            context = surroundings.apply_to(context)
        properties.update(context=context, worker_data=GLib.Bytes.new(data),
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
