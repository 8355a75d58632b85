# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The start method fork: os.fork(), so that Python does what it needs around a fork.

libmp does the same for itself: its handlers run with every fork, and its thread rests
between Mp.fork_begin() and Mp.fork_end(). Nothing is pickled: the child has the process
object as it is, with everything that can be reached from it.
"""

import fcntl
import os
import re
import select
import signal
import struct
import threading
import traceback
import warnings

from . import _raw, process, util
from ._raw import GLib, Mp

__all__ = ["forking", "start", "Started"]

_SIGNALS = {"terminate": signal.SIGTERM, "kill": signal.SIGKILL, "interrupt": signal.SIGINT}
_EXIT_CODE_UNKNOWN = 255
# One call of poll() takes so many milliseconds at most.
_POLL_LIMIT = 2**31 - 1

# Linux 6.15: how a process ended that somebody else has reaped.
_INFO = struct.Struct("=QQ44si")
_INFO_EXIT = 1 << 3
_GET_INFO = 3 << 30 | _INFO.size << 16 | 0xff << 8 | 11


class Started(process.Started):
    """A child of our own that runs or ran; see process.Started."""

    # The fork leaves it in our process group, where it hears Ctrl-C itself.
    hears_terminal = True

    def __init__(self, pid, pidfd):  # pylint: disable=super-init-not-called
        self.gobject = None
        self.pid = pid
        self.sentinel = pidfd
        self._code = None
        util.Finalize(self, os.close, (pidfd,))

    def exit_code(self):
        """The exit code, None while the process runs; 255 if somebody else took it."""
        if self._code is None and self._poll(0):
            # Looked at first and reaped then: another thread, or a signal handler, that
            # asks in between gets the same answer.
            try:
                result = os.waitid(os.P_PIDFD, self.sentinel, os.WEXITED | os.WNOWAIT)
                code = result.si_status
                if result.si_code != os.CLD_EXITED:
                    code = -code
            except ChildProcessError:
                code = _code_of_reaped(self.sentinel)
            if self._code is None:
                self._code = code
            try:
                os.waitid(os.P_PIDFD, self.sentinel, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                pass
        return self._code

    def wait(self, timeout):
        """Whether the process ends in time (None: for ever)."""
        if self._code is None:
            deadline = _raw.deadline_after(timeout)
            while not self._poll(_POLL_LIMIT if deadline is None else
                                 min(_POLL_LIMIT, (deadline - GLib.get_monotonic_time()) / 1000)):
                if deadline is not None and GLib.get_monotonic_time() >= deadline:
                    return False
        return self.exit_code() is not None

    def _poll(self, milliseconds):
        poll = select.poll()
        poll.register(self.sentinel, select.POLLIN)
        return bool(poll.poll(max(0, milliseconds)))

    def send_signal(self, method):
        """Sends the signal of that name; a process that has ended is left in peace."""
        if self.exit_code() is None:
            try:
                signal.pidfd_send_signal(self.sentinel, _SIGNALS[method])
            except ProcessLookupError:
                pass


def _code_of_reaped(pidfd):
    info = bytearray(_INFO.pack(_INFO_EXIT, 0, b"", 0))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, info)
    except OSError:
        return _EXIT_CODE_UNKNOWN
    mask, _, _, status = _INFO.unpack(info)
    return os.waitstatus_to_exitcode(status) if mask & _INFO_EXIT else _EXIT_CODE_UNKNOWN


class forking:
    """While this process is forked; who enters it learns whether that can be done.

    RuntimeError when GLib has threads here, a DeprecationWarning when others have.
    """

    def __init__(self, stacklevel=1):
        self._stacklevel = stacklevel + 1

    def __enter__(self):
        try:
            _possible, threads = Mp.fork_check_threads()
        except GLib.Error as error:
            raise RuntimeError(error.message) from error
        if threads:
            warnings.warn(
                f"the process {os.getpid()} is forked while it has other threads: "
                f"{', '.join(map(_name_of_thread, threads))}. The child lacks them, and locks "
                "that they hold now stay locked in it for ever. The start method 'forkserver' "
                "has no such problem", DeprecationWarning, stacklevel=self._stacklevel)
        util.flush_std_streams()
        Mp.fork_begin()

    def __exit__(self, *_exc):
        Mp.fork_end()


def start(obj, stacklevel=1):
    """Forks this process to run a process object; gives its Started."""
    with forking(stacklevel + 1):
        return _fork(obj)


def _name_of_thread(label):
    """What Python calls a thread that libmp has called "name (thread id)"."""
    thread_id = int(re.search(r"\((\d+)\)$", label)[1])
    for thread in threading.enumerate():
        if thread.native_id == thread_id:
            return f"{thread.name} ({thread_id})"
    return label


def _fork(obj):
    parent = os.getpid(), process.current_process().name
    # The child begins when the parent watches it: nobody can reap it before that.
    ready, go = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _live(obj, parent, ready, go)
        try:
            started = Started(pid, os.pidfd_open(pid))
        except OSError:
            os.close(go)
            go = None
            os.waitpid(pid, 0)
            raise
        os.write(go, b"!")
        return started
    finally:
        os.close(ready)
        if go is not None:
            os.close(go)


def _live(obj, parent, ready, go):
    """All of the child's life. Nothing of the parent's stack is unwound."""
    code = 1
    try:
        os.close(go)
        Mp.fork_bind_to_parent(parent[0])
        released = os.read(ready, 1)
        os.close(ready)
        if released:
            if obj._start_method is not None:
                from . import context
                context._default_context.set_start_method(obj._start_method, force=True)
            code = obj._bootstrap(*parent, forked=True)
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()
    finally:
        util.flush_std_streams()
        os._exit(code & 0xff)
