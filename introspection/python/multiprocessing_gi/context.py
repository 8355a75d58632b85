# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Contexts: the whole interface of the package, bound to a way to start processes."""

import os
import sys
import threading

from . import _fork, _raw, process, reduction, util
from ._raw import GLib, Mp
from ._serialize import PICKLE, dumps, spawning

__all__ = ["BaseContext", "DefaultContext", "ForkContext", "ForkServerContext", "SpawnContext",
           "Process", "ForkProcess", "ForkServerProcess", "SpawnProcess"]

# The task of a process whose payload is two pickles, see _child.py.
PROCESS_TASK = "multiprocessing_gi._child:process"

_METHODS = {"forkserver": Mp.StartMethod.FORKSERVER, "spawn": Mp.StartMethod.SPAWN}

class BaseContext:
    """What the package offers, for one way to start processes."""

    ProcessError = _raw.ProcessError
    BufferTooShort = _raw.BufferTooShort
    TimeoutError = _raw.TimeoutError
    AuthenticationError = _raw.AuthenticationError
    TaskError = _raw.TaskError
    WorkerDiedError = _raw.WorkerDiedError
    CancelledError = _raw.CancelledError
    LimitError = _raw.LimitError

    current_process = staticmethod(process.current_process)
    parent_process = staticmethod(process.parent_process)
    active_children = staticmethod(process.active_children)
    reducer = reduction
    _name = None

    def cpu_count(self):
        """The number of processors of the machine."""
        count = os.cpu_count()
        if count is None:
            raise NotImplementedError("cannot determine number of cpus")
        return count

    def Pipe(self, duplex=True):
        """Two connected ends; not duplex: (receives, sends)."""
        from .connection import Pipe
        return Pipe(duplex)

    def Queue(self, maxsize=0):
        """A queue that many processes may put into and get from."""
        from .queues import Queue
        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize=0):
        """A queue whose items can be waited for until they are dealt with."""
        from .queues import JoinableQueue
        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self):
        """A queue with put, get, empty and close only."""
        from .queues import SimpleQueue
        return SimpleQueue(ctx=self.get_context())

    def Lock(self):
        """A lock that any thread of any process may release."""
        from .synchronize import Lock
        return Lock(ctx=self.get_context())

    def RLock(self):
        """A lock that the thread which holds it may acquire again."""
        from .synchronize import RLock
        return RLock(ctx=self.get_context())

    def Semaphore(self, value=1, *, recover=False):
        """A semaphore; with recover, what a dead process had acquired comes back."""
        from .synchronize import Semaphore
        return Semaphore(value, ctx=self.get_context(), recover=recover)

    def BoundedSemaphore(self, value=1, *, recover=False):
        """A semaphore that never has more than it had at the start."""
        from .synchronize import BoundedSemaphore
        return BoundedSemaphore(value, ctx=self.get_context(), recover=recover)

    def Condition(self, lock=None):
        """A condition over a lock, a new RLock if none is given."""
        from .synchronize import Condition
        return Condition(lock, ctx=self.get_context())

    def Event(self):
        """A flag that can be waited for."""
        from .synchronize import Event
        return Event(ctx=self.get_context())

    def Barrier(self, parties, action=None, timeout=None):
        """A place where a number of threads and processes wait for each other."""
        from .synchronize import Barrier
        return Barrier(parties, action, timeout, ctx=self.get_context())

    def RawValue(self, typecode_or_type, *args):
        """A ctypes object in shared memory."""
        from .sharedctypes import RawValue
        return RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type, size_or_initializer):
        """A ctypes array in shared memory."""
        from .sharedctypes import RawArray
        return RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type, *args, lock=True):
        """A ctypes object in shared memory, with a lock."""
        from .sharedctypes import Value
        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type, size_or_initializer, *, lock=True):
        """A ctypes array in shared memory, with a lock."""
        from .sharedctypes import Array
        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def Pool(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None,
             **options):
        """A pool of worker processes; for the other keywords see pool.Pool."""
        from .pool import Pool
        return Pool(processes, initializer, initargs, maxtasksperchild,
                    context=self.get_context(), **options)

    def freeze_support(self):
        """In a frozen program, becomes what its parent started it for; to be called first."""
        if is_frozen():
            from . import _child
            _child.run_frozen()

    def get_logger(self):
        """The package's logger."""
        return util.get_logger()

    def log_to_stderr(self, level=None):
        """Makes the package's logger write to the standard error stream."""
        return util.log_to_stderr(level)

    def allow_connection_pickling(self):
        """Does nothing: always allowed."""

    def set_executable(self, executable):
        """Which Python interpreter processes started from now on run."""
        _starter.set_executable(executable)

    def set_forkserver_preload(self, module_names):
        """Which modules the forkserver imports before it forks its first process."""
        _starter.set_preload(module_names)

    def get_context(self, method=None):
        """The context of a start method; of this one when it is bound to one."""
        if method is None:
            return self
        try:
            return _contexts[method]
        except KeyError:
            raise ValueError(f"cannot find context for {method!r}") from None

    def get_start_method(self, allow_none=False):
        """The name of the start method."""
        return self._name

    def set_start_method(self, method, force=False):
        """Not possible for a context that is bound to a start method."""
        raise ValueError("cannot set start method of concrete context")

    @property
    def gobject(self):
        """The Mp.raw.Context that starts this context's processes from now on.

        None for the start method fork, which is Python's own.
        """
        method = self.get_start_method()
        return _starter.context(method) if method in _METHODS else None


class Process(process.BaseProcess):
    """A process that starts in the way which is the default when it is started."""


class ForkServerProcess(process.BaseProcess):
    """A process that is forked from a single-threaded server."""

    _start_method = "forkserver"


class SpawnProcess(process.BaseProcess):
    """A process in a fresh interpreter."""

    _start_method = "spawn"


class ForkProcess(process.BaseProcess):
    """A process that is forked from the calling one, with all that it has."""

    _start_method = "fork"


class ForkServerContext(BaseContext):
    """Processes are forked from a preloaded server without threads."""

    _name = "forkserver"
    Process = ForkServerProcess


class SpawnContext(BaseContext):
    """Each process is a fresh interpreter."""

    _name = "spawn"
    Process = SpawnProcess


class ForkContext(BaseContext):
    """Each process is forked from the calling one, and inherits what it has.

    Refused while GLib has threads in the calling process. GLib's default main context
    stays the parent's: in the child, use one of its own.
    """

    _name = "fork"
    Process = ForkProcess


_contexts = {"forkserver": ForkServerContext(), "fork": ForkContext(), "spawn": SpawnContext()}


class DefaultContext(BaseContext):
    """The context whose start method can be chosen, once."""

    Process = Process

    def __init__(self):
        self._actual = None

    def get_context(self, method=None):
        if method is not None:
            return super().get_context(method)
        if self._actual is None:
            self._actual = _contexts["forkserver"]
        return self._actual

    def set_start_method(self, method, force=False):
        """Chooses how processes start; a second time only with force."""
        if self._actual is not None and not force:
            raise RuntimeError("context has already been set")
        if method is None and force:
            self._actual = None
        else:
            self._actual = self.get_context(method)

    def get_start_method(self, allow_none=False):
        if self._actual is None and allow_none:
            return None
        return self.get_context()._name

    def get_all_start_methods(self):
        """The names of the start methods, the default first."""
        return list(_contexts)


class _Starter:
    """The GObject contexts of this process, and how interpreters are called."""

    def __init__(self):
        self._lock = threading.Lock()
        # In a forked child, whoever held it is not there.
        os.register_at_fork(after_in_child=self._lock._at_fork_reinit)
        self._contexts = {}
        self._preparations = {}
        self._preload = ["__main__"]
        self._executable = os.environ.get("MP_PYTHON") if not sys.executable else None

    def executable(self):
        """The interpreter of processes to come."""
        return self._executable or sys.executable

    def set_executable(self, executable):
        executable = None if executable is None else os.fsdecode(executable)
        with self._lock:
            if executable != self.executable():
                self._executable = executable
                self._contexts.clear()
                self._preparations.clear()

    def set_preload(self, module_names):
        if not isinstance(module_names, list) or not all(
                isinstance(name, str) for name in module_names):
            raise TypeError("module_names must be a list of strings")
        self._preload = list(module_names)

    def context(self, method):
        """The GObject context of a start method."""
        with self._lock:
            if method not in self._contexts:
                self._contexts[method] = self._make(method)
            return self._contexts[method]

    def changes(self, method, preparation):
        """What a preparation has beyond that of the context, which the zygote has taken over."""
        base = self._preparations.get(method, {})
        return {key: value for key, value in preparation.items()
                if key not in base or base[key] != value}

    def state(self):
        """What a child needs to start its own children in the same way."""
        return self._executable, self._preload

    def restore(self, state):
        """Makes this process start its children as its parent does."""
        executable, self._preload = state
        if executable is not None:
            self.set_executable(executable)

    def _make(self, method):
        executable = self.executable()
        if not executable:
            raise RuntimeError("sys.executable is not set: name the interpreter of child "
                               "processes with set_executable()")
        context = Mp.Context.new(_METHODS[method], Mp.Runtime.PYTHON)
        import subprocess
        context.set_interpreter([executable] + subprocess._args_from_interpreter_flags())
        path = _path_for_children()
        if path is not None:
            environment = {**os.environ, "PYTHONPATH": path}
            context.set_environment([f"{name}={value}" for name, value in environment.items()])
        if method == "forkserver":
            context.set_preload([name for name in self._preload if name != "__main__"])
            preparation = self._preparations[method] = prepare_data(method)
            preparation["preload_main"] = "__main__" in self._preload
            context.set_preparation(GLib.Bytes.new(dumps(preparation)))
        return context


def _path_for_children():
    """The PYTHONPATH with which a child finds this package; None if it does anyway."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    inherited = os.environ.get("PYTHONPATH", "")
    if (os.path.basename(home) in ("site-packages", "dist-packages")
            or home in inherited.split(os.pathsep)):
        return None
    return os.pathsep.join(filter(None, (inherited, home)))


def is_frozen():
    """Whether the interpreter is part of a program that has its main module with it."""
    return bool(getattr(sys, "frozen", False))


def _main_module():
    """How a child imports the main module: ("name", n), ("path", p), or None."""
    if is_frozen():
        return None
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name is not None:
        return "name", spec.name
    path = getattr(main, "__file__", None)
    if path is None or path == "<stdin>":
        return None
    if not os.path.isabs(path) and process.ORIGINAL_DIR is not None:
        path = os.path.join(process.ORIGINAL_DIR, path)
    return "path", os.path.normpath(path)


def prepare_data(method, name=None):
    """What a child needs to know of this process before it unpickles anything else."""
    if getattr(process.current_process(), "_inheriting", False):
        raise RuntimeError(
            "an attempt has been made to start a new process before the current process has "
            "finished its bootstrapping phase: the main module starts processes while it is "
            "imported. Put that under:\n\n"
            "    if __name__ == '__main__':\n"
            "        ...")
    path = list(sys.path)
    if "" in path and process.ORIGINAL_DIR is not None:
        path[path.index("")] = process.ORIGINAL_DIR
    try:
        directory = os.getcwd()
    except OSError:
        directory = None
    return {
        "name": name,
        "start_method": method,
        "sys_path": path,
        "sys_argv": list(getattr(sys, "argv", ())),
        "original_dir": process.ORIGINAL_DIR,
        "dir": directory,
        "main": _main_module(),
        "frozen": is_frozen(),
        "logging": util.logging_state(),
        "authkey": bytes(process.current_process().authkey),
        "starter": _starter.state(),
        "parent": (os.getpid(), process.current_process().name),
    }


_starter = _Starter()
_default_context = DefaultContext()


def check_has_gobject(method):
    """Forked by Python, a process has no GObject behind it."""
    if (method or _default_context.get_start_method()) == "fork":
        raise NotImplementedError("a process of the start method 'fork' has no GObject: wait for "
                                  "its sentinel instead of connecting to a signal")


def check_can_have(method, extras):
    """Forked by Python, a process has what its parent has."""
    if method == "fork" and extras is not None:
        raise NotImplementedError("a process of the start method 'fork' has the limits and the "
                                  "streams of its parent: it cannot be given its own")


def start_process(obj, method, surroundings=None, streams=None):
    """Starts the process of a process object; gives its process.Started."""
    method = method or _default_context.get_start_method()
    check_can_have(method, surroundings or streams)
    if method == "fork":
        # The warning is for who called Process.start().
        return _fork.start(obj, stacklevel=3)
    context = _starter.context(method)
    preparation = prepare_data(method, obj.name)
    if surroundings is not None:
        context = surroundings.apply_to(context)
    util.flush_std_streams()
    with spawning() as fd_list:
        # Two pickles: the second needs what the first one prepares.
        data = dumps((_starter.changes(method, preparation), preparation["parent"])) + dumps(obj)
    gobject = Mp.Process.new_data(context, PROCESS_TASK, data, PICKLE)
    gobject.set_fd_list(fd_list)
    try:
        if streams is not None:
            streams.prepare(gobject)
        gobject.start(None)
    except GLib.Error as error:
        raise _raw.convert_error(error) from error
    return process.Started(gobject)
