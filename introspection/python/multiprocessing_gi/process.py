# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Processes: the class of multiprocessing.Process, and who runs around it."""

import itertools
import os
import select
import signal
import sys
import threading
import traceback
import weakref

from . import _raw, util

__all__ = ["BaseProcess", "current_process", "active_children", "parent_process"]

try:
    ORIGINAL_DIR = os.path.abspath(os.getcwd())
except OSError:
    ORIGINAL_DIR = None

# What the C library reports before an exit code is known.
_NO_EXIT_CODE = -2**31

_current = None
_parent = None
_counter = itertools.count(1)
_children = set()
_dangling = weakref.WeakSet()
_signal_names = {-number: f"-{number.name}" for number in signal.Signals}


def current_process():
    """The object of the process that asks."""
    return _current


def parent_process():
    """An object that watches the process which started this one; None in the main one."""
    return _parent


def active_children():
    """The children of this process that are alive; those that have ended are dropped."""
    _cleanup()
    return list(_children)


def _cleanup():
    for child in list(_children):
        if child._started.exit_code() is not None:
            _children.discard(child)


class AuthenticationString(bytes):
    """An authentication key, which does not leave the process by accident."""

    def __reduce__(self):
        from ._serialize import is_spawning
        if not is_spawning():
            raise TypeError("an AuthenticationString is not pickled outside of the start of a "
                            "process, for security")
        return AuthenticationString, (bytes(self),)


class Started:
    """A process that runs or ran: the GObject and the thread-safe ways to ask it."""

    # Whether a Ctrl-C on the terminal reaches it.
    hears_terminal = False

    def __init__(self, gobject):
        self.gobject = gobject
        self.pid = gobject.get_pid()
        self.sentinel = gobject.get_sentinel()

    def __reduce__(self):
        raise TypeError("a started process object cannot be pickled")

    def exit_code(self):
        """The exit code, None while the process runs."""
        code = self.gobject.get_exit_code()
        return None if code == _NO_EXIT_CODE else code

    def wait(self, timeout):
        """Whether the process ends in time (None: for ever)."""
        return _raw.wait_until(self.gobject.wait_ready, timeout)

    def send_signal(self, method):
        """Calls a method of the GObject; a process that has ended is left in peace."""
        if self.exit_code() is not None:
            return
        try:
            getattr(self.gobject, method)()
        except _raw.GLib.Error as error:
            if not self.wait(0.1):
                raise OSError(error.message) from error


class BaseProcess:
    """An activity that runs in a process of its own.

    The signature and the methods are those of multiprocessing.Process. The GObject
    behind a started process is .gobject; connect() and .props reach its signals and
    properties.

    More keywords, none of them for the start method fork:

    umask, nice, cpus: its file mode mask; how much nicer it is than this process; the numbers
        of the processors that it may use.
    limits: a dictionary. "memory" (bytes that it shares with nobody; with more it is killed),
        "address_space", "cpu_time" (seconds), "files", "processes", "file_size", "core",
        "stack". start() raises LimitError for one that the system refuses.
    outlive_parent: if true, it goes on when this process is killed.
    stdin, stdout, stderr: as in subprocess.Popen DEVNULL, PIPE, STDOUT, a file or a descriptor;
        the name of a file, which is made anew; or a function that is called with each line, in
        the GLib main context of the thread that calls start(). What is a PIPE is a
        binary file in the attribute of that name after start().
    """

    _start_method = None
    stdin = stdout = stderr = None

    def __init__(self, group=None, target=None, name=None, args=(), kwargs={}, *, daemon=None,
                 **options):
        if group is not None:
            raise AssertionError("group must be None: there are no process groups")
        self._identity = _current._identity + (next(_counter),)
        self._config = _current._config.copy()
        self._parent_pid = os.getpid()
        self._parent_name = _current.name
        self._started = None
        self._closed = False
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs)
        self._name = name or "{}-{}".format(type(self).__name__,
                                            ":".join(map(str, self._identity)))
        if daemon is not None:
            self.daemon = daemon
        if options:
            from . import _surroundings
            _extras[self] = _surroundings.split(options, "a process")
        _dangling.add(self)

    def _check_open(self):
        if self._closed:
            raise ValueError("process object is closed")

    def _check_ours(self, action):
        if self._parent_pid != os.getpid():
            raise AssertionError(f"can only {action} a child process")

    def _check_started(self):
        self._check_open()
        if self._started is None:
            raise ValueError("process not started")
        return self._started

    def run(self):
        """What the process does; subclasses may override it."""
        if self._target:
            self._target(*self._args, **self._kwargs)

    def start(self):
        """Starts the process."""
        self._check_open()
        if self._started is not None:
            raise AssertionError("cannot start a process twice")
        if self._parent_pid != os.getpid():
            raise AssertionError("can only start a process object that this process created")
        if _current._config.get("daemon"):
            raise AssertionError("daemonic processes are not allowed to have children")
        _cleanup()
        from . import context
        if self in _handlers:
            context.check_has_gobject(self._start_method)
        surroundings, streams = _extras.get(self, (None, None))
        started = context.start_process(self, self._start_method, surroundings, streams)
        _children.add(self)
        self._started = started
        # The parent needs them no longer: let them be collected.
        del self._target, self._args, self._kwargs
        _extras.pop(self, None)
        if streams is not None:
            for name, file in streams.pipes(started.gobject):
                setattr(self, name, file)
        for signal_name, callback, args in _handlers.pop(self, ()):
            self._connect(signal_name, callback, args)

    def terminate(self):
        """Sends SIGTERM."""
        self._check_started().send_signal("terminate")

    def kill(self):
        """Sends SIGKILL."""
        self._check_started().send_signal("kill")

    def interrupt(self):
        """Sends SIGINT, which Python turns into KeyboardInterrupt."""
        self._check_started().send_signal("interrupt")

    def join(self, timeout=None):
        """Waits until the process has ended, or for timeout seconds."""
        self._check_open()
        self._check_ours("join")
        if self._started is None:
            raise AssertionError("can only join a started process")
        if self._started.wait(timeout):
            _children.discard(self)

    def is_alive(self):
        """Whether the process runs."""
        self._check_open()
        if self is _current:
            return True
        self._check_ours("test")
        if self._started is None:
            return False
        if self._started.exit_code() is None:
            return True
        _children.discard(self)
        return False

    def close(self):
        """Lets go of what the object holds; an error while the process runs."""
        if self._started is not None:
            if self._started.exit_code() is None:
                raise ValueError("cannot close a process while it is still running; first call "
                                 "join() or terminate()")
            _children.discard(self)
            self._started = None
        self._closed = True

    @property
    def gobject(self):
        """The Mp.raw.Process behind it; None before start(), and for start method fork."""
        return self._started.gobject if self._started is not None else None

    @property
    def props(self):
        """The GObject's properties; only of a started process."""
        started = self._check_started()
        from . import context
        context.check_has_gobject(self._start_method)
        return started.gobject.props

    def connect(self, signal_name, callback, *args):
        """Connects to a signal of the GObject; the callback gets this object first.

        Before start() the connection is kept for later, and the id returned is 0.
        """
        self._check_open()
        from . import context
        context.check_has_gobject(self._start_method)
        if self._started is None:
            _handlers.setdefault(self, []).append((signal_name, callback, args))
            return 0
        return self._connect(signal_name, callback, args)

    def _connect(self, signal_name, callback, args):
        return self._started.gobject.connect(
            signal_name, lambda _gobject, *values: callback(self, *values, *args))

    @property
    def name(self):
        return self._name

    @name.setter
    def name(self, name):
        if not isinstance(name, str):
            raise AssertionError("name must be a string")
        self._name = name

    @property
    def daemon(self):
        """Whether it is ended with the process that started it."""
        return self._config.get("daemon", False)

    @daemon.setter
    def daemon(self, daemonic):
        if self._started is not None:
            raise AssertionError("process has already started")
        self._config["daemon"] = daemonic

    @property
    def authkey(self):
        return self._config["authkey"]

    @authkey.setter
    def authkey(self, authkey):
        self._config["authkey"] = AuthenticationString(authkey)

    @property
    def exitcode(self):
        """The exit code, minus the signal that killed it, or None."""
        self._check_open()
        if self is _current or self._started is None:
            return None
        self._check_ours("ask the exit code of")
        code = self._started.exit_code()
        if code is not None:
            _children.discard(self)
        return code

    @property
    def ident(self):
        """The process id; None before start()."""
        self._check_open()
        if self is _current:
            return os.getpid()
        return self._started.pid if self._started is not None else None

    pid = ident

    @property
    def sentinel(self):
        """A file descriptor that becomes readable when the process ends."""
        self._check_open()
        if self._started is None:
            raise ValueError("process not started")
        return self._started.sentinel

    def __repr__(self):
        code, pid = None, None
        if self is _current:
            status, pid = "started", os.getpid()
        elif self._closed:
            status = "closed"
        elif self._parent_pid != os.getpid():
            status = "unknown"
        elif self._started is None:
            status = "initial"
        else:
            pid, code = self._started.pid, self._started.exit_code()
            status = "started" if code is None else "stopped"
        parts = [type(self).__name__, f"name={self._name!r}"]
        if pid is not None:
            parts.append(f"pid={pid}")
        parts += [f"parent={self._parent_pid}", status]
        if code is not None:
            parts.append(f"exitcode={_signal_names.get(code, code)}")
        if self.daemon:
            parts.append("daemon")
        return "<" + " ".join(parts) + ">"

    def _bootstrap(self, parent_pid, parent_name, forked=False):
        """Runs in the child: becomes the current process, runs, and gives the exit code."""
        become(self, parent_pid, parent_name, forked)
        try:
            if forked:
                util.replace_stdin()
                util.forget_parent()
            util.info("child process calling self.run()")
            self.run()
            code = 0
        except SystemExit as error:
            code = exit_code_of(error)
        except BaseException:
            code = 1
            try:
                sys.stderr.write(f"Process {self.name}:\n")
                traceback.print_exc()
            except (AttributeError, ValueError, OSError):
                pass
        util.leave_child()
        return code


# Connections made before start(); beside the objects, which are pickled as they are.
_handlers = weakref.WeakKeyDictionary()
# The Surroundings and Streams of processes that were not started: not part of what is pickled.
_extras = weakref.WeakKeyDictionary()


def exit_code_of(error):
    """The exit code that a SystemExit stands for; prints what is not a number."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xff
    try:
        sys.stderr.write(f"{code}\n")
    except (AttributeError, ValueError, OSError):
        pass
    return 1


def become(process, parent_pid, parent_name, forked=False):
    """Makes process the current process, in a child that has just been started."""
    global _current, _parent, _counter, _children
    _counter = itertools.count(1)
    _children = set()
    process._started = None
    process._closed = False
    _current = process
    _parent = _ParentProcess(parent_name, parent_pid, forked)
    _raw.tell_logging(process.name)
    thread = threading.current_thread()
    thread.name = "MainThread"
    # A fork has changed it, which threading does not notice.
    thread._set_native_id()


class _MainProcess(BaseProcess):
    """The process that nobody of us started."""

    def __init__(self):
        self._identity = ()
        self._name = "MainProcess"
        self._parent_pid = None
        self._parent_name = None
        self._started = None
        self._closed = False
        self._config = {"authkey": AuthenticationString(os.urandom(32))}

    def close(self):
        pass


class _ParentProcess:
    """The process that started this one, as its child sees it."""

    # Until it has one, which an interrupt may prevent.
    _pidfd = None
    _failure = None

    def __init__(self, name, pid, forked):
        self._name = name
        self._pid = pid
        self._forked = forked
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            pass
        except OSError as error:
            self._failure = error.errno

    def __del__(self, close=os.close):
        if self._pidfd is not None:
            close(self._pidfd)

    @property
    def name(self):
        return self._name

    @property
    def ident(self):
        return self._pid

    pid = ident

    def _ended(self, timeout):
        if self._failure is not None:
            raise OSError(self._failure, os.strerror(self._failure))
        if self._pidfd is None:
            return True
        if self._forked:
            # Who looks for its parent is to see its end: not to be killed at once then.
            try:
                _raw.Mp.fork_bid_farewell()
            except _raw.GLib.Error:
                # No thread to be had for it: it still lives as long as its parent.
                pass
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0, timeout * 1000)))

    def is_alive(self):
        """Whether the parent runs."""
        return not self._ended(0)

    def join(self, timeout=None):
        """Waits until the parent has ended, or for timeout seconds."""
        self._ended(timeout)

    def __repr__(self):
        if self._failure is not None:
            status = "unknown"
        else:
            status = "started" if self.is_alive() else "stopped"
        return f"<{type(self).__name__} name={self._name!r} pid={self._pid} {status}>"


_current = _MainProcess()
