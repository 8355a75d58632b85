# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Finalizers, the orderly exit of a process, and logging."""

import atexit
import itertools
import os
import sys
import threading
import traceback
import weakref

__all__ = ["sub_debug", "debug", "info", "sub_warning", "get_logger", "log_to_stderr",
           "Finalize", "ForkAwareLocal", "ForkAwareThreadLock", "SUBDEBUG", "SUBWARNING",
           "register_after_fork"]

NOTSET, SUBDEBUG, DEBUG, INFO, SUBWARNING = 0, 5, 10, 20, 25
LOGGER_NAME = "multiprocessing"
LOGGING_FORMAT = "[%(levelname)s/%(processName)s] %(message)s"

_logger = None
_log_to_stderr = False


def _log(level, message, *args):
    if _logger is not None:
        _logger.log(level, message, *args)


def sub_debug(message, *args):
    """Logs below debug level."""
    _log(SUBDEBUG, message, *args)


def debug(message, *args):
    """Logs on debug level."""
    _log(DEBUG, message, *args)


def info(message, *args):
    """Logs on info level."""
    _log(INFO, message, *args)


def sub_warning(message, *args):
    """Logs just below a warning."""
    _log(SUBWARNING, message, *args)


def get_logger():
    """The package's logger, made with the first call."""
    global _logger
    if _logger is None:
        # Here, for few processes log, and each fork has to see to it that logging works.
        import logging
        logging.addLevelName(SUBDEBUG, "SUBDEBUG")
        logging.addLevelName(SUBWARNING, "SUBWARNING")
        _logger = logging.getLogger(LOGGER_NAME)
        _logger.propagate = False
        # What the exit function logs must come before logging shuts down.
        atexit.unregister(exit_function)
        atexit.register(exit_function)
    return _logger


def log_to_stderr(level=None):
    """Makes the logger write to the standard error stream, and returns it."""
    global _log_to_stderr
    import logging
    logger = get_logger()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOGGING_FORMAT))
    logger.addHandler(handler)
    if level:
        logger.setLevel(level)
    _log_to_stderr = True
    return logger


def logging_state():
    """What a child needs to log as this process does: (level or None, to stderr)."""
    return (_logger.getEffectiveLevel() if _logger is not None else None, _log_to_stderr)


def restore_logging(state):
    """Makes a child log as its parent does."""
    level, to_stderr = state
    if level is not None:
        get_logger().setLevel(level)
    if to_stderr and not _log_to_stderr:
        log_to_stderr(level)


class Finalize:
    """Calls a function once: when called itself, when obj is collected, or at exit.

    With an exitpriority it also runs when the process that made it exits orderly,
    the highest first; without one it does not. obj may be None if there is one.
    """

    _registry = {}
    _counter = itertools.count()

    def __init__(self, obj, callback, args=(), kwargs=None, exitpriority=None):
        if exitpriority is not None and not isinstance(exitpriority, int):
            raise TypeError(f"exitpriority must be None or an int, not {type(exitpriority)}")
        if obj is None and exitpriority is None:
            raise ValueError("a finalizer without an object needs an exitpriority")
        self._callback = callback
        self._args = args
        self._kwargs = kwargs or {}
        self._pid = os.getpid()
        self._key = (exitpriority, next(self._counter))
        self._weakref = weakref.ref(obj, self) if obj is not None else None
        self._registry[self._key] = self

    def __call__(self, _reference=None):
        # pop() decides which of several threads runs the callback.
        if self._registry.pop(self._key, None) is None:
            return None
        callback, args, kwargs = self._callback, self._args, self._kwargs
        self._clear()
        if self._pid != os.getpid():
            return None
        return callback(*args, **kwargs)

    def _clear(self):
        self._weakref = self._callback = self._args = self._kwargs = None

    def cancel(self):
        """Makes it never run."""
        if self._registry.pop(self._key, None) is not None:
            self._clear()

    def still_active(self):
        """Whether it is still to run."""
        return self._key in self._registry

    def __repr__(self):
        if not self.still_active():
            return f"<{type(self).__name__} object, dead>"
        name = getattr(self._callback, "__name__", self._callback)
        return f"<{type(self).__name__} object, callback={name}, exitpriority={self._key[0]}>"


def run_finalizers(minimum=None):
    """Runs the finalizers that have an exit priority of at least minimum (None: any)."""
    while True:
        keys = [key for key in list(Finalize._registry)
                if key[0] is not None and (minimum is None or key[0] >= minimum)]
        if not keys:
            return
        # Highest priority first, of equal ones the youngest.
        for key in sorted(keys, reverse=True):
            finalizer = Finalize._registry.get(key)
            if finalizer is None:
                continue
            try:
                finalizer()
            except Exception:
                traceback.print_exc()


_temp_dir = None, None


def get_temp_dir():
    """A directory of this process that only its user can enter; removed at its exit."""
    global _temp_dir
    path, pid = _temp_dir
    if pid != os.getpid():
        # Here, for few processes need it, and with it come more modules than this package has.
        import shutil
        import tempfile
        path = tempfile.mkdtemp(prefix="libmp-")
        Finalize(None, shutil.rmtree, args=(path,), kwargs={"ignore_errors": True},
                 exitpriority=-100)
        _temp_dir = path, os.getpid()
    return path


def flush_std_streams():
    """Flushes stdout and stderr, whatever state they are in."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass


_exiting = False


def is_exiting():
    """Whether this process is on its way out."""
    return _exiting


def is_interrupted():
    """Whether a Ctrl-C ends this process."""
    return getattr(sys, "last_type", None) is KeyboardInterrupt


def exit_function():
    """Ends what this process started: finalizers, daemons, children, in this order."""
    global _exiting
    if _exiting:
        return
    _exiting = True
    from . import process
    info("process shutting down")
    run_finalizers(0)
    # Ctrl-C reaches the whole foreground group, but not those of our children that have
    # a group of their own: pass on what ended this process.
    interrupted = is_interrupted()
    for child in process.active_children():
        try:
            if child.daemon:
                child.terminate()
            elif interrupted and not child._started.hears_terminal:
                child.interrupt()
        except OSError:
            pass
    for child in process.active_children():
        info("calling join() for process %s", child.name)
        child.join()
    run_finalizers()


def forget_parent():
    """In a child that was forked: what the parent registered is not ours to run.

    Then runs what was registered for this moment.
    """
    global _forgotten
    if not _forgotten:
        _forget_registered()
    _forgotten = False
    if _has_after_forkers:
        _run_after_forkers()


# Whether a child that is forked now has nothing to forget.
_forgotten = False


def forget_ahead():
    """What the children of this process would have to forget, it forgets: it never needs it."""
    global _forgotten
    _forget_registered()
    _forgotten = True


def _forget_registered():
    global _exiting
    _exiting = False
    Finalize._registry.clear()
    atexit._clear()
    atexit.register(exit_function)


_after_fork = weakref.WeakValueDictionary()
_after_fork_counter = itertools.count()
_has_after_forkers = False


def register_after_fork(obj, func):
    """Has func(obj) called in every child that is forked while obj exists."""
    global _has_after_forkers
    _has_after_forkers = True
    _after_fork[next(_after_fork_counter), id(obj), func] = obj


def _run_after_forkers():
    for (_, _, func), obj in sorted(_after_fork.items(), key=lambda item: item[0][:2]):
        try:
            func(obj)
        except Exception as error:
            info("after forker raised exception %s", error)


class ForkAwareThreadLock:
    """A lock between threads that is free in a forked child."""

    def __init__(self):
        self._lock = threading.Lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        register_after_fork(self, ForkAwareThreadLock._at_fork)

    def _at_fork(self):
        self._lock._at_fork_reinit()

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)


class ForkAwareLocal(threading.local):
    """Attributes of each thread, of which a forked child has none."""

    def __init__(self):
        register_after_fork(self, lambda obj: obj.__dict__.clear())

    def __reduce__(self):
        return type(self), ()


def replace_stdin():
    """In a forked child: what there is to read is the parent's."""
    fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    if fd != 0:
        os.dup2(fd, 0)
        os.close(fd)
    else:
        os.set_inheritable(fd, True)
    sys.stdin = open(0, encoding="utf-8", closefd=False)


def leave_child():
    """The orderly end of a child: threads, finalizers, exit handlers, streams."""
    try:
        threading._shutdown()
        exit_function()
        atexit._run_exitfuncs()
    except Exception:
        traceback.print_exc()
    finally:
        flush_std_streams()


atexit.register(exit_function)
