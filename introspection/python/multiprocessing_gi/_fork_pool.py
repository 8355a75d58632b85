# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Pools whose workers inherit what their parent had.

The pool replaces workers at any time, from libmp's thread, where Python cannot be forked.
So the calling process is forked once, when the pool is made. This copy, the template,
does nothing but fork workers on request, as a zygote does: each begins with what the
caller had when it made the pool, the initializer among it, which need not be pickled.
"""

import gc
import os
import signal
import socket
import traceback

from . import _fork, _worker, _zygote, context, process, util
from ._pure import die_with, set_name
from ._raw import GLib, Mp, convert_error

__all__ = ["make_context"]

_OWN_HANDLERS = {signal.SIGINT: signal.SIG_IGN, signal.SIGHUP: signal.SIG_IGN,
                 signal.SIGPIPE: signal.SIG_IGN, signal.SIGTERM: signal.SIG_DFL}


def make_context(initializer, initargs, daemon, stacklevel=1):
    """The GObject context whose processes are forked from a copy of this process."""
    current = process.current_process()
    parent = os.getpid(), current.name
    inherited = _worker.Inherited("ForkPoolWorker", current._identity, parent, daemon, initializer,
                                  initargs)
    with _fork.forking(stacklevel + 1):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            _serve(ours, theirs, inherited)
    theirs.close()
    try:
        return Mp.Context.new_for_zygote(ours.detach(), pid)
    except GLib.Error as error:
        # It leaves, for its socket is closed.
        os.waitpid(pid, 0)
        raise convert_error(error) from error


def _serve(ours, theirs, inherited):
    """All of the template's life."""
    try:
        ours.close()
        # The group of a terminal's Ctrl-C is not ours, as in other pools.
        os.setpgid(0, 0)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        handlers = {number: signal.signal(number, handler)
                    for number, handler in _OWN_HANDLERS.items()}
        template = _Template(theirs.detach(), inherited, handlers, mask)
        set_name("mp-template")
        _worker.rehearse()
        gc.freeze()
        template.run()
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()
    finally:
        util.flush_std_streams()
        os._exit(1)


class _Template(_zygote.Zygote):
    """A copy of the process that made a pool, and what its workers are to begin with."""

    def __init__(self, fd, inherited, handlers, mask):
        super().__init__(fd, inherited.parent[0])
        self.inherited = inherited
        # A child has what its parent has, descriptors, too.
        self.worker_name, self.child_name = self.child_name, None
        self.handlers_of_parent = handlers
        self.mask_of_parent = mask
        if os.getppid() != inherited.parent[0]:
            os._exit(1)

    def fork_spare(self):
        """None: it would be one more copy of what may be big."""

    def run_child(self, link_fd, has_start, afresh):
        """All of a worker's life; gives its exit code."""
        die_with(self.pid)
        for fd in [self.first.fd, *(child.link.fd for child in self.children)]:
            if fd >= 0:
                os.close(fd)
        for child in self.children:
            os.close(child.pidfd)
        os.close(self.requester_pidfd)
        self.epoll.close()
        set_name(self.worker_name)
        (_, _, handle, _), body_fd, fds = _zygote.take_up(link_fd)
        os.close(body_fd)
        os.close(link_fd)
        for number, handler in self.handlers_of_parent.items():
            # None: it was not Python that set it.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask_of_parent)
        util.replace_stdin()
        util.forget_parent()
        context._default_context.set_start_method("fork", force=True)
        try:
            return _worker.main(handle, fds, None, self.inherited)
        except SystemExit as error:
            return process.exit_code_of(error)
