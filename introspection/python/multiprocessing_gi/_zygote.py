# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The Python zygote: imports what its children need, once, and forks them on request.

libmp runs it as ``python3 -m multiprocessing_gi._zygote`` with a socket as descriptor 3.
It is one loop in one thread, for only then is forking safe, and waits for nobody but
poll. libmp/process/mp-zygote-protocol-private.h says what the messages are, and
mp-zygote.c does the same for programs in C: change all three together.

take_start() is for the other way to start Python: an interpreter of its own per task.
"""

import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback

from ._raw import Mp

__all__ = ["main", "take_start"]

VERSION = 1
KIND_PYTHON = 2

MESSAGE = struct.Struct("=IIQiiII")  # magic, type, id, code, value, length of text, reserved
MESSAGE_MAGIC = 0x315A504D
MAX_TEXT = 4096
HELLO, CONFIGURE, READY, START, STARTED, FAILED, SIGNAL, EXITED = range(1, 9)

# magic, kind, codec, flags, length of data and of preparation, number of arguments and
# of environment variables, fingerprint
BODY = struct.Struct("=IIIIQQIIQ")
BODY_MAGIC = 0x3153504D
TASK, COMMAND, EXEC_TASK, CONFIGURATION = range(4)
HAS_DATA, HAS_PREPARATION, HAS_ENVIRONMENT = 1, 2, 4
START_FDS = 5
MAX_FDS = 253

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15

_libc = ctypes.CDLL(None)


def _pad(length):
    return (length + 7) & ~7


class Body:
    """What is to be started, out of the memory file that describes it."""

    def __init__(self, fd):
        (magic, self.kind, self.codec, flags, data_length, preparation_length,
         n_argv, n_env, self.fingerprint) = BODY.unpack(_read(fd, BODY.size, 0))
        if magic != BODY_MAGIC:
            raise ValueError("not a request to start a process")
        offset = BODY.size
        self.data = _read(fd, data_length, offset) if flags & HAS_DATA else None
        offset += _pad(data_length)
        self.preparation = None
        if flags & HAS_PREPARATION:
            self.preparation = _read(fd, preparation_length, offset)
        offset += _pad(preparation_length)
        strings = _read(fd, os.fstat(fd).st_size - offset, offset).split(b"\0")
        self.task = os.fsdecode(strings[0])
        self.argv = [os.fsdecode(text) for text in strings[1:1 + n_argv]]
        self.environment = None
        if flags & HAS_ENVIRONMENT:
            self.environment = strings[1 + n_argv:1 + n_argv + n_env]


def _read(fd, length, offset):
    """All of the bytes; one call of pread() gives two gibibytes at most."""
    parts = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            raise ValueError("a request to start a process that is cut")
        parts.append(part)
        length -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _count_threads():
    # Not as costly as listing the directory: it has a link for each entry.
    return os.stat("/proc/self/task").st_nlink - 2


def die_with(parent):
    """Has the kernel kill this process when its parent is killed."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def set_name(name):
    """What process listings show."""
    _libc.prctl(PR_SET_NAME, os.fsencode(name))


def _warn(text):
    print(f"multiprocessing_gi: {text}", file=sys.stderr, flush=True)


# The life of a forked child.


def _close_others(keep):
    first = 3
    for fd in sorted(keep):
        if fd >= first:
            os.closerange(first, fd)
            first = fd + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _set_environment(strings):
    os.environ.clear()
    for text in strings:
        name, equals, value = text.partition(b"=")
        if equals and name:
            os.environb[name] = value


def _announce_link(kind, fd, fingerprint):
    """Tells libmp in this process which zygote it comes from.

    Only its own environment is changed, not what os.environ hands to other programs.
    """
    os.putenv("MP_LINK", f"{os.getpid()}:{kind}:{fd}:{os.fstat(fd).st_ino}:{fingerprint}")


def _enter(body, cwd_fd, std_fds):
    """Gives a child the surroundings of the process that asked for it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number, fd in enumerate([null, *std_fds[1:]]):
        os.dup2(fd, number)
    os.close(null)
    os.fchdir(cwd_fd)
    if body.environment is not None:
        _set_environment(body.environment)


def receive_start(link):
    """Waits in a child for what it is to do, and goes where that is to be done.

    Gives what it is, the descriptor from which that was read, and those that came with it.
    """
    _, fds, _, _ = socket.recv_fds(link, 16, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
    if len(fds) < START_FDS:
        # The zygote goes, and no start will come.
        os._exit(0)
    body_fd, cwd_fd, *rest = fds
    std_fds, user_fds = rest[:3], rest[3:]
    body = Body(body_fd)
    _enter(body, cwd_fd, std_fds)
    for fd in (cwd_fd, *std_fds):
        os.close(fd)
    return body, body_fd, user_fds


def _rehearse():
    """Touches what a start will touch, so that this need not be copied then."""
    fd = os.memfd_create("mp-start")
    os.write(fd, BODY.pack(BODY_MAGIC, TASK, 0, 0, 0, 0, 0, 0, 0) + b"rehearsal\0")
    body = Body(fd)
    os.close(fd)
    directory = os.open(".", os.O_PATH | os.O_CLOEXEC)
    _enter(body, directory, [0, 1, 2])
    os.close(directory)
    _flush()


def _run(body, fds, preparation):
    from . import _child
    return _child.run(body.task, body.codec, body.data, fds,
                      body.preparation if body.preparation is not None else preparation)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def _execute(body_fd, link_fd, fds):
    """Continues in an interpreter of its own, where no thread was left behind."""
    os.environ["MP_START"] = (f"{os.getpid()}:{KIND_PYTHON}:{body_fd}:{link_fd}:"
                              + ",".join(map(str, fds)))
    for fd in (body_fd, link_fd, *fds):
        os.set_inheritable(fd, True)
    options = sys.orig_argv[1:sys.orig_argv.index("-m")]
    os.execv(sys.executable, [sys.executable, *options, "-c",
                              "from multiprocessing_gi._child import spawn_main; spawn_main()"])


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
    _announce_link(kind, link_fd, 0)
    return body.task, body.codec, body.data, fds, body.preparation


# The zygote itself.


class Requester:
    """Who may ask for processes: who started the zygote, and each task process."""

    def __init__(self, sock):
        self.sock = sock
        self.answers = []
        sock.setblocking(False)


class Child:
    """A process that was forked; owner is None when nobody wants to hear of it."""

    def __init__(self, pid, link):
        self.owner = None
        self.number = 0
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.link = link

    def kill(self, number=signal.SIGKILL):
        """Sends a signal; it is not reaped yet, so the descriptor is its own."""
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            pass


class Zygote:
    """The loop; see the module's description."""

    def __init__(self, fd, requester_pid):
        self.pid = os.getpid()
        self.first = Requester(socket.socket(fileno=fd))
        self.epoll = select.epoll()
        self.handlers = {}
        self.children = set()
        self.spare = None
        self.preparation = None
        self.fingerprint = 0
        self.requester_pidfd = os.pidfd_open(requester_pid)

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
        self.watch(requester.sock.fileno(), lambda events: self.on_socket(requester, events))

    # Answers

    def send(self, requester, kind, number=0, code=0, value=0, text="", fd=None):
        """Sends a message now, or keeps it until the other end reads."""
        if requester is None or requester.sock is None:
            return
        raw = text.encode(errors="replace")[:MAX_TEXT]
        data = MESSAGE.pack(MESSAGE_MAGIC, kind, number, code, value, len(raw), 0) + raw
        if not requester.answers and self.try_send(requester, data, fd):
            return
        requester.answers.append((data, os.dup(fd) if fd is not None else None))
        self.epoll.modify(requester.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    @staticmethod
    def try_send(requester, data, fd):
        """False when it has to wait. A reader that is gone is noticed elsewhere."""
        try:
            if fd is None:
                requester.sock.send(data)
            else:
                socket.send_fds(requester.sock, [data], [fd])
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
        self.epoll.modify(requester.sock.fileno(), select.EPOLLIN)

    # Events

    def run(self):
        """Serves until the requester goes. One event at a time: what one of them frees is
        not in hand for the next."""
        self.watch(self.requester_pidfd, lambda events: self.leave())
        self.watch_requester(self.first)
        self.send(self.first, READY, value=self.pid)
        self.fork_spare()
        while True:
            for fd, events in self.epoll.poll(maxevents=1):
                self.handlers[fd](events)

    def leave(self):
        """Ends, with everything that was forked."""
        for child in self.children:
            child.kill()
        os._exit(0)

    def on_socket(self, requester, events):
        """It asks for something, or can be answered, or is gone."""
        if events & select.EPOLLOUT:
            self.send_kept(requester)
        if not events & ~select.EPOLLOUT:
            return
        try:
            data, fds, _, _ = socket.recv_fds(requester.sock, MESSAGE.size, MAX_FDS,
                                              socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if len(data) == MESSAGE.size:
            _, kind, number, _, value, _, _ = MESSAGE.unpack(data)
            if kind == START:
                self.on_start(requester, number, fds)
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
        if requester.sock is not None:
            self.unwatch(requester.sock.fileno())
            requester.sock.close()
            requester.sock = None
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
        """A child ended: says so, and kills what it had asked for."""
        result = os.waitid(os.P_PIDFD, child.pidfd, os.WEXITED | os.WNOHANG)
        if result is None:
            return
        self.send(child.owner, EXITED, child.number, result.si_code, result.si_status)
        for other in self.children:
            if other.owner is child.link:
                other.kill()
                other.owner = None
        if self.spare is child:
            self.spare = None
        self.hang_up(child.link)
        self.unwatch(child.pidfd)
        os.close(child.pidfd)
        self.children.remove(child)

    def on_start(self, requester, number, fds):
        """Gives a process what it is to do."""
        if len(fds) < START_FDS:
            self.send(requester, FAILED, number, int(Mp.Error.LIMIT),
                      text="Too many open files in the zygote")
            return
        try:
            child = self.take_spare() or self.fork()
            socket.send_fds(child.link.sock, [b"start"], fds)
        except Exception as error:  # pylint: disable=broad-except
            self.send(requester, FAILED, number, int(Mp.Error.FAILED),
                      text=f"Cannot fork: {error}")
            return
        child.owner, child.number = requester, number
        self.watch_requester(child.link)
        self.send(requester, STARTED, number, value=child.pid, fd=child.pidfd)
        self.fork_spare()

    # A child that was forked ahead. Most of the time until a task begins goes into the
    # copying of the pages that a new child touches: a spare has that behind it.

    def take_spare(self):
        """The spare; None when there is none, or one that died."""
        spare, self.spare = self.spare, None
        if spare is not None and not select.select([spare.pidfd], [], [], 0)[0]:
            return spare
        return None

    def fork_spare(self):
        """Has one at hand for the next start."""
        if self.spare is None:
            try:
                self.spare = self.fork()
            except OSError:
                # The next start tries, and says what is wrong.
                pass

    def fork(self):
        """The new child, in the zygote; does not return in the child."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A thread that something left behind makes the forked copy unreliable.
        afresh = _count_threads() > 1
        # Blocked signals wait: none that is sent to the child before it has its own
        # handlers is lost to those of the zygote.
        mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        try:
            pid = os.fork()
        finally:
            if os.getpid() == self.pid:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if pid == 0:
            code = 1
            try:
                code = self.run_child(theirs, ours, afresh)
            except BaseException:  # pylint: disable=broad-except
                traceback.print_exc()
            finally:
                _flush()
                os._exit(code & 0xFF)
        theirs.close()
        child = Child(pid, Requester(ours))
        self.children.add(child)
        self.watch(child.pidfd, lambda events: self.on_exit(child))
        return child

    def run_child(self, link, other_end, afresh):
        """All of a child's life; gives its exit code."""
        die_with(self.pid)
        for sock in [self.first.sock, other_end, *(child.link.sock for child in self.children)]:
            if sock is not None:
                sock.detach()
        self.epoll.close()
        _close_others([link.fileno()])
        set_name(os.path.basename(sys.executable))
        _rehearse()
        body, body_fd, user_fds = receive_start(link)
        link_fd = link.detach()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if afresh:
            _execute(body_fd, link_fd, user_fds)
        os.close(body_fd)
        _announce_link(KIND_PYTHON, link_fd, self.fingerprint)
        return _run(body, user_fds, self.preparation)


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
        if "__main__" in self.skipped:
            preparation = without_main(preparation)
        try:
            _child.prepare_zygote(preparation)
        except Exception as error:  # pylint: disable=broad-except
            # Each child tries again, and reports it where it can be seen.
            _warn(f"cannot prepare the zygote: {type(error).__name__}: {error}")
        if _count_threads() > 1:
            self.start_over("__main__")


def without_main(preparation):
    """The same preparation, but for the import of the main module."""
    import pickle
    data = pickle.loads(preparation)
    data["preload_main"] = False
    return pickle.dumps(data)


def _receive_configuration(sock):
    data, fds, _, _ = socket.recv_fds(sock, MESSAGE.size, 1, socket.MSG_CMSG_CLOEXEC)
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
        zygote.first.sock.setblocking(True)
        body_fd, skipped = _receive_configuration(zygote.first.sock), []
        zygote.first.sock.setblocking(False)
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
    _flush()
    gc.collect()
    gc.freeze()
    zygote.run()


if __name__ == "__main__":
    main()
