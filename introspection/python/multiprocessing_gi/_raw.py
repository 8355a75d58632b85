# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The introspected library, without its Python override, and its errors.

Everything else in the package takes ``Mp``, ``Gio`` and ``GLib`` from here.
"""

import sys

try:
    from gi import require_version
except ImportError as error:
    raise ImportError(f"multiprocessing_gi needs PyGObject (the package python3-gi), which "
                      f"{sys.executable} does not have") from error

require_version("Mp", "1")

from gi.repository import Gio, GLib, GObject  # noqa: E402
from gi.module import get_introspection_module  # noqa: E402

# The exceptions are the standard library's own, so that the except clauses of
# existing programs match whichever of the two packages raised.
from multiprocessing import (AuthenticationError, BufferTooShort,  # noqa: E402
                             ProcessError, TimeoutError)
from multiprocessing import current_process as _stdlib_current_process  # noqa: E402

__all__ = ["Gio", "GLib", "GObject", "Mp", "AuthenticationError", "BufferTooShort",
           "ProcessError", "TimeoutError", "CancelledError", "LimitError",
           "TaskError", "WorkerDiedError", "convert_error",
           "deadline_after", "remaining_us"]

Mp = get_introspection_module("Mp")


def _make_classes():
    """Makes all introspected classes now.

    When C returns an instance whose class does not exist yet, PyGObject looks it up in
    gi.repository.Mp: past the override, where ours of the same name is no GObject class.
    The same import would happen here, for interfaces; it is shown what it needs.
    """
    key = "gi.repository.Mp"
    before = sys.modules.get(key)
    sys.modules[key] = Mp
    try:
        for name in dir(Mp):
            if name[:1].isupper():
                getattr(Mp, name)
    finally:
        if before is None:
            del sys.modules[key]
        else:
            sys.modules[key] = before


_make_classes()

MP_ERROR = "mp-error-quark"
IO_ERROR = "g-io-error-quark"

# How long one wait in C lasts at most. A signal ends it early; the limit is for
# the signal that arrives just before the call.
SLICE_US = 500_000


class TaskError(ProcessError):
    """A task failed for a reason that is not an exception of its own."""


class WorkerDiedError(TaskError):
    """The worker process died while it had the task; the text says which and how."""


class LimitError(TaskError):
    """The task took more memory or processor time than it may."""


class CancelledError(TaskError):
    """The task was cancelled, or dropped when its pool was terminated."""


def tell_logging(name):
    """Sets what logging writes for %(processName)s: it asks the standard library."""
    _stdlib_current_process()._name = name


def convert_failure(domain, code, message):
    """The Python exception for a GLib error, given by its parts."""
    if domain == MP_ERROR:
        if code == Mp.Error.PROCESS_DIED:
            return WorkerDiedError(message)
        if code == Mp.Error.LIMIT:
            return LimitError(message)
        if code == Mp.Error.TIMED_OUT:
            return TimeoutError(message)
        if code in (Mp.Error.INVALID_ARGUMENT, Mp.Error.CLOSED):
            return ValueError(message)
        if code == Mp.Error.TYPE:
            return TypeError(message)
    elif domain == IO_ERROR and code == Gio.IOErrorEnum.CANCELLED:
        return CancelledError(message)
    return TaskError(message)


def convert_error(error):
    """The Python exception for a GLib.Error."""
    return convert_failure(error.domain, error.code, error.message)


def is_mp_error(error, code):
    """Whether a GLib.Error is libmp's with this code."""
    return error.domain == MP_ERROR and error.code == code


def deadline_after(timeout):
    """The monotonic time in microseconds when a Python timeout is over; None for never."""
    if timeout is None:
        return None
    microseconds = (timeout + 0.0) * 1e6
    if microseconds >= 2**62:
        return None
    return GLib.get_monotonic_time() + max(0, int(microseconds))


def remaining_us(deadline):
    """How long the next wait in C may last, in microseconds: 0 when time is over."""
    if deadline is None:
        return SLICE_US
    return min(SLICE_US, max(0, deadline - GLib.get_monotonic_time()))


def wait_until(wait_ready, timeout):
    """Calls wait_ready(timeout_us) until it is true or the time is over.

    wait_ready returns early when a signal handler has to run, and Python runs it
    between two turns: that is how Ctrl-C ends any wait at once.
    """
    deadline = deadline_after(timeout)
    while True:
        left = remaining_us(deadline)
        if wait_ready(left):
            return True
        if left == 0:
            return False
