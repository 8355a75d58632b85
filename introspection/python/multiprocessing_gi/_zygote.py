# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The Python zygote: imports what its children need, once, and forks them on request.

libmp runs it as ``python3 -m multiprocessing_gi._zygote`` with a socket as descriptor 3.
It is one loop in one thread, for only then is forking safe, and waits for nobody but
poll. libmp/process/mp-zygote-protocol-private.h says what the messages are, and
mp-zygote.c does the same for programs in C: change all three together.

take_start() is for the other way to start Python: an interpreter of its own per task.
"""

# The module signal makes an enumeration of each number, which takes longer than a fork.
import _signal
import gc
import importlib
import os
import select
import signal
import struct
import sys
import threading
import time
import traceback

from ._body import Body, make_rehearsal
from ._primitives import (announce_link, fork_child, read_start, receive_message, receive_start,
                          send_message)
from ._pure import die_with, libc, set_name
from ._raw import Mp

__all__ = ["main", "take_start"]

VERSION = 2
KIND_PYTHON = 2

MESSAGE = struct.Struct("=IIQiiII")  # magic, type, id, code, value, length of text, reserved
MESSAGE_MAGIC = 0x315A504D
MAX_TEXT = 4096
HELLO, CONFIGURE, READY, START, STARTED, FAILED, SIGNAL, EXITED = range(1, 9)

# In the code of a START message.
START_OUTLIVES = 1
START_FDS = 5
# Until the interpreter has specialized what it executes.
REHEARSALS = 10

# Of starts in a row the first are never held; of those after them, out of so many, as many go on at
# once as there are processors beside the zygote's. No more wait at one gate than that.
FREE_STARTS = 3
FREE_OUT_OF = 3
MAX_HELD = 48

# How long what has lost its parent lives on, in seconds.
FAREWELL = 0.25


def _count_threads():
    # Not as costly as listing the directory: it has a link for each entry.
    return os.stat("/proc/self/task").st_nlink - 2


def _warn(text):
    print(f"multiprocessing_gi: {text}", file=sys.stderr, flush=True)


# What the module threading does in each forked child is for locks that other threads had, and
# for threads that are not there any more. Where there never was another one it changes nothing,
# but is a part of Python's code that a child would not have to copy otherwise.

_after_fork = getattr(threading, "_after_fork", None)
_whole_code = getattr(_after_fork, "__code__", None)


def _nothing():
    pass


def _need_after_fork(needed):
    """Whether threading is to do anything in the children that are forked from now on."""
    if getattr(_whole_code, "co_freevars", None) == ():
        _after_fork.__code__ = _whole_code if needed else _nothing.__code__


# The life of a forked child.


def _set_environment(strings):
    os.environ.clear()
    for text in strings:
        name, equals, value = text.partition(b"=")
        if equals and name:
            os.environb[name] = value


def _enter(environment, surroundings):
    """Gives a child the surroundings of the process that asked for it."""
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.signal(_signal.SIGHUP, _signal.SIG_DFL)
    if environment is not None:
        _set_environment(environment)
    if surroundings:
        _apply_surroundings(surroundings)


def _apply_surroundings(surroundings):
    """Changes what is not simply inherited, see mp-surroundings-private.h."""
    import resource
    for text in surroundings:
        word, *numbers = text.split()
        numbers = [int(number) for number in numbers]
        if word == "umask":
            os.umask(numbers[0])
        elif word == "nice":
            os.nice(numbers[0])
        elif word == "cpus":
            os.sched_setaffinity(0, numbers)
        elif word == "limit":
            resource.setrlimit(numbers[0], tuple(numbers[1:]))


def take_up(link_fd):
    """Waits in a child for what it is to do, and goes where that is to be done.

    Gives that as (task, codec, data, preparation), the descriptor from which it was read, and
    those that came with it.
    """
    body_fd, user_fds = receive_start(link_fd)
    return _take_up(body_fd), body_fd, user_fds


def _take_up(body_fd):
    codec, data, preparation, [task], _, environment, surroundings = read_start(body_fd)
    _enter(environment, surroundings)
    return task, codec, data, preparation


def _rehearse():
    """Touches what a start will touch, so that this need not be copied then."""
    fd = make_rehearsal()
    _take_up(fd)
    os.close(fd)
    _flush()


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def _execute(body_fd, link_fd, fds, preparation):
    """Continues in an interpreter of its own, where no thread was left behind."""
    if preparation is not None:
        fd = os.memfd_create("mp-preparation", 0)
        with open(fd, "wb", closefd=False) as file:
            file.write(preparation)
        os.environ["MP_PREPARATION"] = str(fd)
    os.environ["MP_START"] = (f"{os.getpid()}:{KIND_PYTHON}:{body_fd}:{link_fd}:"
                              + ",".join(map(str, fds)))
    for fd in (body_fd, link_fd, *fds):
        os.set_inheritable(fd, True)
    arguments = []
    if not getattr(sys, "frozen", False):
        arguments = [*sys.orig_argv[1:sys.orig_argv.index("-m")], "-c",
                     "from multiprocessing_gi._child import spawn_main; spawn_main()"]
    os.execv(sys.executable, [sys.executable, *arguments])


def take_start():
    """What an interpreter that was started for one task is to run.

    Gives (task, codec, data, fds, preparation), the arguments of _child.run().
    """
    marker = os.environ.pop("MP_START", "")
    try:
        pid, kind, body_fd, link_fd, fds = marker.split(":")
        fds = [int(fd) for fd in fds.split(",") if fd]
        body_fd, link_fd = int(body_fd), int(link_fd)
        if int(pid) != os.getpid():
            raise ValueError
    except ValueError:
        raise SystemExit("multiprocessing_gi: only libmp starts a process this way") from None
    for fd in (link_fd, *fds):
        os.set_inheritable(fd, False)
    body = Body(body_fd)
    os.close(body_fd)
    # It is known by its preload and interpreter, which only its own forks share.
    announce_link(int(kind), link_fd, 0)
    preparation = body.preparation
    if "MP_PREPARATION" in os.environ:
        with open(int(os.environ.pop("MP_PREPARATION")), "rb") as file:
            file.seek(0)
            preparation = file.read()
    return body.task, body.codec, body.data, fds, preparation


# The zygote itself.


class Requester:
    """Who may ask for processes: who started the zygote, and each task process."""

    def __init__(self, fd):
        self.fd = fd  # -1: it hung up
        self.answers = []
        os.set_blocking(fd, False)


class Child:
    """A process that was forked; owner is None when nobody wants to hear of it."""

    def __init__(self, pid, pidfd, link):
        self.owner = None
        self.number = 0
        self.outlives = False
        self.pid = pid
        self.pidfd = pidfd
        self.link = link

    def kill(self, number=signal.SIGKILL):
        """Sends a signal; it is not reaped yet, so the descriptor is its own."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except OSError:
            # It has ended, or is another user's now, or there is no such signal.
            pass


class Zygote:
    """The loop; see the module's description."""

    def __init__(self, fd, requester_pid):
        self.pid = os.getpid()
        self.first = Requester(fd)
        self.epoll = select.epoll()
        self.handlers = {}
        self.children = set()
        self.doomed = {}
        self.spare = None
        self.settled = True
        self.n_in_a_row = 0
        self.gate = None
        self.n_held = 0
        self.n_processors = len(os.sched_getaffinity(0))
        self.preparation = None
        self.fingerprint = 0
        self.requester_pidfd = os.pidfd_open(requester_pid)
        self.run_task = None
        self.child_name = os.path.basename(sys.executable)

    def watch(self, fd, handler):
        """Has handler(events) called when there is something to read from fd."""
        self.handlers[fd] = handler
        self.epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd):
        """Must come before fd is closed: a child may still hold a copy."""
        if self.handlers.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def watch_requester(self, requester):
        """Listens to what it asks for."""
        self.watch(requester.fd, lambda events: self.on_socket(requester, events))

    # Answers

    def send(self, requester, kind, number=0, code=0, value=0, text="", fd=None):
        """Sends a message now, or keeps it until the other end reads."""
        if requester is None or requester.fd < 0:
            return
        raw = text.encode(errors="replace")[:MAX_TEXT] if text else b""
        data = MESSAGE.pack(MESSAGE_MAGIC, kind, number, code, value, len(raw), 0) + raw
        if not requester.answers and self.try_send(requester, data, fd):
            return
        requester.answers.append((data, os.dup(fd) if fd is not None else None))
        self.epoll.modify(requester.fd, select.EPOLLIN | select.EPOLLOUT)

    @staticmethod
    def try_send(requester, data, fd):
        """False when it has to wait. A reader that is gone is noticed elsewhere."""
        try:
            send_message(requester.fd, data, [] if fd is None else [fd])
        except (BrokenPipeError, ConnectionError):
            return True
        except OSError:
            return False
        return True

    def send_kept(self, requester):
        """Sends what had to wait."""
        while requester.answers:
            data, fd = requester.answers[0]
            if not self.try_send(requester, data, fd):
                return
            del requester.answers[0]
            if fd is not None:
                os.close(fd)
        self.epoll.modify(requester.fd, select.EPOLLIN)

    # Events

    def run(self):
        """Serves until the requester goes. One event at a time: what one of them frees is
        not in hand for the next."""
        self.watch(self.requester_pidfd, lambda events: self.leave())
        self.watch_requester(self.first)
        self.send(self.first, READY, value=self.pid)
        self.fork_spare()
        while True:
            timeout = self.kill_doomed()
            happened = self.epoll.poll(timeout if self.settled else 0, maxevents=1)
            if not happened and not self.settled:
                self.settle()
            for fd, events in happened:
                self.handlers[fd](events)

    def settle(self):
        """After starts, when there is nothing else to do."""
        self.settled = True
        self.n_in_a_row = 0
        self.open_gate()
        self.fork_spare()

    def kill_doomed(self):
        """Gives how many seconds there are until there is something to do, None for ever."""
        if not self.doomed:
            return None
        now = time.monotonic()
        for child, when in list(self.doomed.items()):
            if when <= now:
                child.kill()
                del self.doomed[child]
        return max(0, min(self.doomed.values()) - now) if self.doomed else None

    def leave(self):
        """Ends, with everything that was forked."""
        for child in self.children:
            if not child.outlives:
                child.kill()
        os._exit(0)

    def on_socket(self, requester, events):
        """It asks for something, or can be answered, or is gone."""
        if events & select.EPOLLOUT:
            self.send_kept(requester)
        if not events & ~select.EPOLLOUT:
            return
        try:
            data, fds = receive_message(requester.fd, MESSAGE.size)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if len(data) == MESSAGE.size:
            _, kind, number, code, value, _, _ = MESSAGE.unpack(data)
            if kind == START:
                self.on_start(requester, number, fds, bool(code & START_OUTLIVES))
            elif kind == SIGNAL:
                self.on_signal(requester, number, value)
        elif requester is self.first:
            self.leave()
        else:
            self.hang_up(requester)
        for fd in fds:
            os.close(fd)

    def hang_up(self, requester):
        """What it asked for lives as long as its process does."""
        if requester.fd >= 0:
            self.unwatch(requester.fd)
            os.close(requester.fd)
            requester.fd = -1
        for _, fd in requester.answers:
            if fd is not None:
                os.close(fd)
        requester.answers.clear()

    def on_signal(self, requester, number, value):
        """Passes a signal on."""
        for child in self.children:
            if child.owner is requester and child.number == number:
                child.kill(value)

    def on_exit(self, child):
        """A child ended: says so, and soon kills what it had asked for.

        In the moment between, that can see that its parent has ended.
        """
        result = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        if result is None:
            return
        self.send(child.owner, EXITED, child.number, result.si_code, result.si_status)
        for other in self.children:
            if other.owner is child.link:
                if not other.outlives:
                    self.doomed[other] = time.monotonic() + FAREWELL
                other.owner = None
        if self.spare is child:
            self.spare = None
        self.doomed.pop(child, None)
        self.hang_up(child.link)
        self.unwatch(child.pidfd)
        os.close(child.pidfd)
        self.children.remove(child)

    def on_start(self, requester, number, fds, outlives):
        """Gives a process what it is to do."""
        if len(fds) < START_FDS:
            self.send(requester, FAILED, number, int(Mp.Error.LIMIT),
                      text="Too many open files in the zygote")
            return
        try:
            child = self.hand_over(fds, outlives)
        except Exception as error:  # pylint: disable=broad-except
            self.send(requester, FAILED, number, int(Mp.Error.FAILED),
                      text=f"Cannot fork: {error}")
            return
        child.owner, child.number, child.outlives = requester, number, outlives
        self.watch_requester(child.link)
        self.send(requester, STARTED, number, value=child.pid, fd=child.pidfd)
        self.settled = False
        self.n_in_a_row += 1

    # A child that was forked ahead. Most of the time until a task begins goes into the
    # copying of the pages that a new child touches: a spare has that behind it.

    def hand_over(self, fds, outlives):
        """Gives the process that has got them: the spare, unless it died, or a new one.

        The spare ends with the zygote, and so cannot outlive it.
        """
        if outlives:
            child = self.fork(bound=False)
            send_message(child.link.fd, b"start", fds)
            return child
        if self.spare is not None:
            try:
                return self.send_start(fds)
            except ConnectionError:
                pass
        self.spare = self.fork(self.choose_gate())
        return self.send_start(fds)

    def send_start(self, fds):
        """Gives the spare, which is none any more; if it cannot be reached, it stays one."""
        send_message(self.spare.link.fd, b"start", fds)
        child, self.spare = self.spare, None
        return child

    def fork_spare(self):
        """Has one at hand for the next start."""
        if self.spare is None:
            try:
                self.spare = self.fork()
            except OSError:
                # The next start tries, and says what is wrong.
                pass

    # The first steps of a child take about twice as long as to fork it. Where many are wanted at
    # once and there are few processors, they would keep the zygote from the rest, and with that
    # whoever waits until all are started: some of them wait until it has nothing else to do.

    def choose_gate(self):
        """Where the next child waits first; -1: it does not."""
        turn = self.n_in_a_row % FREE_OUT_OF
        # One that keeps all descriptors would keep the gate as well.
        if (self.child_name is None or self.n_in_a_row < FREE_STARTS
                or turn < self.n_processors - 1):
            return -1
        if self.n_held >= MAX_HELD:
            self.open_gate()
        if self.gate is None:
            try:
                self.gate = os.pipe()
            except OSError:
                return -1
        self.n_held += 1
        return self.gate[0]

    def open_gate(self):
        """One byte that nobody reads lets all go on that wait, or come to wait."""
        self.n_held = 0
        if self.gate is not None:
            os.write(self.gate[1], b"x")
            for fd in self.gate:
                os.close(fd)
            self.gate = None

    def fork(self, gate=-1, bound=True):
        """The new child, in the zygote; does not return in the child."""
        # A thread that something left behind makes the forked copy unreliable.
        afresh = _count_threads() > 1
        if afresh:
            _need_after_fork(True)
        pid, link, more = fork_child(self.child_name, bound, gate)
        if pid == 0:
            code = 1
            try:
                code = self.run_child(link, more, afresh)
            except BaseException:  # pylint: disable=broad-except
                traceback.print_exc()
            finally:
                _flush()
                os._exit(code & 0xFF)
        child = Child(pid, more, Requester(link))
        self.children.add(child)
        self.watch(child.pidfd, lambda events: self.on_exit(child))
        return child

    def run_child(self, link_fd, has_start, afresh):
        """All of a child's life; gives its exit code.

        The descriptors of the zygote are closed without their objects, which live as long as
        this process does.
        """
        _need_after_fork(True)
        if not has_start:
            _rehearse()
        (task, codec, data, preparation), body_fd, user_fds = take_up(link_fd)
        if preparation is None:
            preparation = self.preparation
        announce_link(KIND_PYTHON, link_fd, self.fingerprint)
        if afresh:
            _execute(body_fd, link_fd, user_fds, preparation)
        os.close(body_fd)
        return self.run_task(task, codec, data, user_fds, preparation)


# Getting ready.


class Preloader:
    """Imports what the children will need, and does without what leaves a thread behind."""

    def __init__(self, fd, requester_pid, body_fd, skipped):
        self.fd = fd
        self.requester_pid = requester_pid
        self.body_fd = body_fd
        self.skipped = skipped

    def start_over(self, culprit):
        """Nothing gets rid of a thread but a new process image. It never returns."""
        what = "the main module" if culprit == "__main__" else f"the module {culprit!r}"
        _warn(f"{what} starts a thread when it is imported, so that it cannot be preloaded")
        _flush()
        os.environ["MP_ZYGOTE"] = f"{KIND_PYTHON}:{self.fd}:{self.requester_pid}"
        os.environ["MP_ZYGOTE_AGAIN"] = f"{self.body_fd}:" + ",".join([*self.skipped, culprit])
        os.set_inheritable(self.body_fd, True)
        os.set_inheritable(self.fd, True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    def preload(self, names):
        """Imports the modules that can be imported."""
        for name in names:
            if name in self.skipped:
                continue
            try:
                importlib.import_module(name)
            except BaseException as error:  # pylint: disable=broad-except
                _warn(f"cannot preload {name!r}: {type(error).__name__}: {error}")
            if _count_threads() > 1:
                self.start_over(name)

    def prepare(self, preparation):
        """Makes the zygote like the process that starts it."""
        from . import _child
        try:
            _child.prepare_zygote(preparation, "__main__" not in self.skipped)
        except Exception as error:  # pylint: disable=broad-except
            # Each child tries again, and reports it where it can be seen.
            _warn(f"cannot prepare the zygote: {type(error).__name__}: {error}")
        if _count_threads() > 1:
            self.start_over("__main__")


def _rehearse_worker():
    from . import _worker
    for _ in range(REHEARSALS):
        _worker.rehearse()


def _receive_configuration(fd):
    data, fds = receive_message(fd, MESSAGE.size)
    if len(data) != MESSAGE.size or MESSAGE.unpack(data)[1] != CONFIGURE or not fds:
        raise SystemExit(1)
    return fds[0]


def main():
    """Becomes a zygote."""
    marker = os.environ.pop("MP_ZYGOTE", "")
    again = os.environ.pop("MP_ZYGOTE_AGAIN", None)
    try:
        _, fd, requester_pid = map(int, marker.split(":"))
    except ValueError:
        raise SystemExit("multiprocessing_gi: libmp runs this module itself, "
                         "there is no use in calling it") from None
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    set_name("mp-zygote")
    os.set_inheritable(fd, False)

    zygote = Zygote(fd, requester_pid)
    die_with(requester_pid)
    if again is None:
        zygote.send(zygote.first, HELLO, code=VERSION, value=zygote.pid)
        os.set_blocking(fd, True)
        body_fd, skipped = _receive_configuration(fd), []
        os.set_blocking(fd, False)
    else:
        body_fd, _, names = again.partition(":")
        body_fd, skipped = int(body_fd), names.split(",")
    body = Body(body_fd)
    zygote.preparation = body.preparation
    zygote.fingerprint = body.fingerprint
    preloader = Preloader(fd, requester_pid, body_fd, skipped)
    if body.preparation is not None:
        preloader.prepare(body.preparation)
    # Everything that every child needs.
    preloader.preload(["multiprocessing_gi._child", "multiprocessing_gi._worker",
                       "gi.repository.Mp", *body.argv])
    os.close(body_fd)
    from . import _child, util
    if body.preparation is not None:
        _child.finish_zygote(body.preparation)
    zygote.run_task = _child.run
    util.forget_ahead()
    _rehearse_worker()
    _flush()
    gc.collect()
    # What is mapped here is written into the page tables of each child.
    libc.malloc_trim(0)
    _need_after_fork(threading.active_count() > 1)
    gc.freeze()
    zygote.run()


if __name__ == "__main__":
    main()
