# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""multiprocessing over libmp: the names, signatures and semantics of Python's package.

    from multiprocessing_gi import Pool

    def square(x):
        return x * x

    if __name__ == "__main__":
        with Pool() as pool:
            print(pool.map(square, range(10)))

The same classes are there as Mp.Pool, Mp.Process and Mp.Queue after
``from gi.repository import Mp``; each holds the GObject behind it as .gobject.
"""

import sys as _sys

from . import context
from .connection import Pipe
from .context import Process
from .pool import Pool, current_task
from .queues import CarryingQueue, JoinableQueue, Queue, SimpleQueue
from .sharedctypes import Array, RawArray, RawValue, Value
from .synchronize import BoundedSemaphore, Barrier, Condition, Event, Lock, RLock, Semaphore
from .process import active_children, current_process, parent_process
from ._raw import (AuthenticationError, BufferTooShort, CancelledError, LimitError,
                   ProcessError, TaskError, TimeoutError, WorkerDiedError)

_default = context._default_context

allow_connection_pickling = _default.allow_connection_pickling
cpu_count = _default.cpu_count
freeze_support = _default.freeze_support
get_all_start_methods = _default.get_all_start_methods
get_context = _default.get_context
get_logger = _default.get_logger
get_start_method = _default.get_start_method
log_to_stderr = _default.log_to_stderr
reducer = _default.reducer
set_executable = _default.set_executable
set_forkserver_preload = _default.set_forkserver_preload
set_start_method = _default.set_start_method

__all__ = ["Array", "AuthenticationError", "Barrier", "BoundedSemaphore", "BufferTooShort",
           "CancelledError", "CarryingQueue", "Condition", "Event", "JoinableQueue", "LimitError",
           "Lock", "Pipe", "Pool", "Process", "ProcessError", "Queue", "RLock", "RawArray",
           "RawValue", "Semaphore", "SimpleQueue", "TaskError", "TimeoutError", "Value",
           "WorkerDiedError", "active_children", "allow_connection_pickling", "context",
           "cpu_count",
           "current_process", "current_task", "freeze_support", "get_all_start_methods",
           "get_context", "get_logger", "get_start_method", "log_to_stderr", "parent_process",
           "reducer", "set_executable", "set_forkserver_preload", "set_start_method"]

# In a child the main module is known by both names.
if "__main__" in _sys.modules:
    _sys.modules.setdefault("__mp_main__", _sys.modules["__main__"])
