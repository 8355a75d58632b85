# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the tests run in other processes, and what they need to look at them."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

import multiprocessing_gi as mp


def square(number):
    """A function of one argument."""
    return number * number


def add(left, right=1000):
    """A function of two arguments, one with a default."""
    return left + right


def nothing():
    """Do nothing."""


def start_method():
    """How this process starts others."""
    return mp.get_start_method()


def own_pid(_item=None):
    """The process that runs this."""
    return os.getpid()


def fail(message):
    """Raise."""
    raise ValueError(message)


def fail_if(number, bad):
    """Raise for one number."""
    if number == bad:
        raise ValueError(f'it is {number}')
    return number


def fail_at_three(number):
    """Raise for three."""
    return fail_if(number, 3)


def slow_square(number):
    """Take a while."""
    time.sleep(0.05)
    return number * number


def wait_for_ever(*_items):
    """Do not come back."""
    while True:
        time.sleep(60)


def wait_for_sigterm(path, ignore=False):
    """Say so in a file when SIGTERM comes, and leave if that is not to be ignored."""
    def handle(_number, _frame):
        write_text(path, 'handled')
        if not ignore:
            sys.exit()

    signal.signal(signal.SIGTERM, handle)
    write_text(path, 'ready')
    while True:  # a signal right before one long sleep would wait for its end
        time.sleep(0.01)


def tell_and_wait(q):
    """Do not come back, once it is known that this runs."""
    q.put(None)
    wait_for_ever()


def die(signal_number=signal.SIGKILL):
    """Be killed."""
    os.kill(os.getpid(), signal_number)
    wait_for_ever()


def die_at_three(number):
    """Be killed for three."""
    if number == 3:
        die()
    return number


def leave_at_once(code):
    """End the process without telling anybody."""
    os._exit(code)


def leave(code):
    """Call sys.exit()."""
    sys.exit(code)


def interrupt():
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


def temporary_file(test):
    """The path of a new file, which is removed when the test is done."""
    fd, path = tempfile.mkstemp(prefix='mp-test-')
    os.close(fd)
    test.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
    return path


def text_of(path):
    """What is in a file."""
    with open(path, encoding='utf-8') as file:
        return file.read()


def write_text(path, text):
    """Have nothing else in a file."""
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def wait_while_exists(path):
    """Come back when the file is gone."""
    wait_until(lambda: not os.path.exists(path), 60)


class ExitsWhenUnpickled:
    """Calls sys.exit() where it arrives."""

    def __reduce__(self):
        return sys.exit, (1,)


def exits_when_unpickled():
    """Return what ends who takes it."""
    return ExitsWhenUnpickled()


def unpicklable_result():
    """Return what cannot be pickled."""
    return lambda: None


class Unpicklable:
    """Cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError('not to be pickled')


class OneWayError(Exception):
    """Can be pickled, but not unpickled: it wants two arguments and keeps one."""

    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


def fail_one_way():
    """Raise what cannot be unpickled."""
    raise OneWayError('first', 'second')


class UnpicklableError(Exception):
    """Cannot be pickled."""

    def __reduce__(self):
        raise RuntimeError('not to be pickled')


def fail_unpicklable():
    """Raise what cannot be pickled."""
    raise UnpicklableError('lost on the way')


class Counter:
    """A callable with a state."""

    def __init__(self):
        self.calls = 0

    def __call__(self, _item):
        self.calls += 1
        return self.calls


_STATE = {}


def remember(**values):
    """An initializer."""
    _STATE.update(values)


def remember_pair(name, value):
    """An initializer with arguments by position."""
    _STATE[name] = value


def recall(name):
    """What remember() was told."""
    return _STATE.get(name)


def report_from_a_thread():
    """From now on a thread reports progress, whichever task the worker has."""
    task = mp.current_task()

    def report():
        while True:
            task.report_progress(0.5)
            time.sleep(0)

    threading.Thread(target=report, daemon=True).start()


def meet_at(name, _item=None):
    """Waits at the barrier that remember_pair() was told; its place there."""
    return _STATE[name].wait(60)


def echo(incoming, outgoing):
    """Send everything back, doubled, until None comes."""
    while True:
        item = incoming.get()
        if item is None:
            return
        outgoing.put((item, item))


def put(queue, *items):
    """Put items."""
    for item in items:
        queue.put(item)


def finish(queue, number):
    """Takes so many items and says that they are done."""
    for _ in range(number):
        queue.get()
        queue.task_done()


class NotToBeRead:
    """Can be pickled, but not unpickled."""

    def __reduce__(self):
        return int, ('not a number',)


def watch_parent(q):
    """Tell that the parent has ended, and do not come back."""
    parent = mp.parent_process()
    q.put((os.getpid(), parent.is_alive()))
    # It has looked once, which is enough to live on when the parent ends outside of join().
    wait_until(lambda: not is_alive(parent.pid))
    parent.join()
    q.put(parent.is_alive())
    wait_for_ever()


def start_watcher(method, q):
    """Start a process that watches this one, and do not come back."""
    mp.get_context(method).Process(target=watch_parent, args=(q,)).start()
    wait_for_ever()


def start_another(q):
    """Start a process that waits, and wait for it."""
    process = mp.Process(target=wait_for_ever)
    process.start()
    q.put(process.pid)
    process.join()


def is_alive(pid):
    """Whether a process runs; a zombie does not."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as file:
            return file.read().rpartition(')')[2].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


def check_timeout(test, start, timeout):
    """What began at `start` has ended after the timeout; on a busy machine, well after."""
    took = time.monotonic() - start
    test.assertGreater(took, timeout - 0.05)
    test.assertLess(took, timeout + 2)


def wait_until(condition, timeout=10):
    """Wait until condition() is true; what it gave last."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.005)


def open_fds():
    """How many descriptors this process has."""
    return len(os.listdir('/proc/self/fd'))


def put_reprs(queue, *objects):
    """Send how objects describe themselves here."""
    queue.put([repr(obj) for obj in objects])


def release(lock):
    """Release a lock that somebody else acquired."""
    lock.release()


def add_slowly(lock, value, number):
    """Add one to a value that has no lock of its own, number times."""
    for _ in range(number):
        with lock:
            seen = value.value
            value.value = seen + 1


def hold_for_ever(lock, ready):
    """Acquire a lock, and never end."""
    lock.acquire()
    ready.set()
    signal.pause()


def try_acquire_and_release(lock, queue):
    """Send whether a lock can be acquired, and what its release raises."""
    got = lock.acquire(False)
    try:
        lock.release()
        queue.put((got, None))
    except Exception as error:
        queue.put((got, type(error).__name__))


def wait_for_number(condition, value, ready, number):
    """Wait until a value has got that far."""
    with condition:
        ready.release()
        if not condition.wait_for(lambda: value.value >= number, 20):
            sys.exit(3)


def wait_on(condition, ready):
    """Wait until notified."""
    with condition:
        ready.release()
        if not condition.wait(20):
            sys.exit(3)


def answer(there, back):
    """Set one event when the other one is set."""
    if there.wait(20):
        back.set()


def meet(barrier, queue, number):
    """Meet the others at a barrier several times, and send the places."""
    for _ in range(number):
        queue.put(barrier.wait(20))


def hold_at_barrier(barrier, ready):
    """Wait at a barrier that is never complete."""
    ready.set()
    barrier.wait()


def run_script(text, *arguments, without=(), **kwargs):
    """Run Python in a process that has nothing of this one; give (code, stdout, stderr).

    Nor has it the environment's variables `without`.
    """
    environment = {name: value for name, value in os.environ.items() if name not in without}
    with tempfile.NamedTemporaryFile('w', suffix='.py') as file:
        file.write(textwrap.dedent(text))
        file.flush()
        done = subprocess.run([sys.executable, '-W', 'always', file.name, *arguments],
                              capture_output=True, text=True, timeout=60, check=False,
                              env={**environment, 'PYTHONWARNINGS': ''}, **kwargs)
    return done.returncode, done.stdout, done.stderr
