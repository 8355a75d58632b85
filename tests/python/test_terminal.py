# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Programs on a terminal of their own, and what Ctrl-C does to them."""

import os
import pty
import select
import signal
import sys
import textwrap
import time
import unittest

import tasks

HERE = os.path.dirname(os.path.abspath(__file__))

PROGRAM = '''\
import concurrent.futures
import os
import sys
sys.path.insert(0, {here!r})
import multiprocessing_gi as mp
from multiprocessing_gi.futures import ProcessPoolExecutor
import tasks

def tell(*pids):
    print('these:', *pids, flush=True)

if __name__ == '__main__':
{body}
'''

PROGRAMS = {
    f'Pool.map, {method}': f'''
        with mp.get_context({method!r}).Pool(4) as pool:
            tell(*pool.map(tasks.own_pid, range(4), 1))
            pool.map(tasks.wait_for_ever, range(100), 1)
    ''' for method in ('forkserver', 'spawn', 'fork')}
PROGRAMS.update({
    'Pool, not ended': '''
        pool = mp.Pool(2)
        tell(*pool.map(tasks.own_pid, range(2), 1))
        pool.map_async(tasks.wait_for_ever, range(100), 1).get()
    ''',
    'Executor': '''
        with ProcessPoolExecutor(2) as executor:
            tell(*executor.map(tasks.own_pid, range(2)))
            concurrent.futures.wait([executor.submit(tasks.wait_for_ever) for _ in range(9)])
    ''',
    'Executor, not shut down': '''
        executor = ProcessPoolExecutor(2)
        tell(*executor.map(tasks.own_pid, range(2)))
        list(executor.map(tasks.wait_for_ever, range(9)))
    ''',
    'Process, daemon': '''
        process = mp.Process(target=tasks.wait_for_ever, daemon=True)
        process.start()
        tell(process.pid)
        process.join()
    ''',
    'Process.join': '''
        process = mp.Process(target=tasks.wait_for_ever)
        process.start()
        tell(process.pid)
        process.join()
    ''',
    'Queue.get': '''
        queue = mp.Queue()
        process = mp.Process(target=tasks.wait_for_ever, daemon=True)
        process.start()
        tell(process.pid)
        queue.get()
    ''',
    'Lock.acquire': '''
        lock = mp.Lock()
        lock.acquire()
        process = mp.Process(target=tasks.wait_for_ever, daemon=True)
        process.start()
        tell(process.pid)
        lock.acquire()
    ''',
    'asyncio': '''
        import asyncio
        async def main():
            with mp.Pool(2) as pool:
                tell(*pool.map(tasks.own_pid, range(2), 1))
                async for _ in pool.imap(tasks.wait_for_ever, range(9)):
                    pass
        asyncio.run(main())
    ''',
})


class Terminal:
    """A program on a terminal."""

    def __init__(self, arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.execv(sys.executable, [sys.executable, '-W', 'ignore', *arguments])
        self.text = ''

    def read_until(self, text, seconds=30):
        """Whether this text appears in time; None: the end."""
        deadline = time.monotonic() + seconds
        while text is None or text not in self.text:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return False
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b''
            if not data:
                return text is None
            self.text += data.decode(errors='replace').replace('\r', '')
        return True

    def type(self, text):
        """Press some keys."""
        os.write(self.fd, text)

    def wait(self):
        """How it ended, once its end was read; killed if it has not."""
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class TestCtrlC(unittest.TestCase):
    """The key, on a keyboard."""

    def test_programs(self):
        for name, body in PROGRAMS.items():
            with self.subTest(name):
                self.interrupt(PROGRAM.format(
                    here=HERE, body=textwrap.indent(textwrap.dedent(body), '    ')),
                    n_told=1 if name == 'Process.join' else 0)

    def interrupt(self, program, n_told):
        terminal = Terminal(['-c', program])
        try:
            self.assertTrue(terminal.read_until('these:'), terminal.text)
            self.assertTrue(terminal.read_until('\n'), terminal.text)
            pids = [int(word) for word in terminal.text.split(':')[1].split()]
            time.sleep(0.2)  # into the wait
            begun = time.monotonic()
            terminal.type(b'\x03')
            self.assertTrue(terminal.read_until(None), terminal.text)
            seconds = time.monotonic() - begun
        finally:
            code = terminal.wait()
        self.assertTrue(pids)
        self.assertEqual(code, -signal.SIGINT, terminal.text)
        self.assertEqual(terminal.text.count('KeyboardInterrupt\n'), 1 + n_told, terminal.text)
        # A process that is waited for at the end is interrupted, too, and says so.
        self.assertEqual(terminal.text.count('Process '), n_told, terminal.text)
        self.assertLess(seconds, 1.5, terminal.text)
        self.assertTrue(tasks.wait_until(lambda: not any(map(tasks.is_alive, pids))))

    def test_interactive(self):
        terminal = Terminal(['-i', '-q'])
        try:
            self.assertTrue(terminal.read_until('>>> '))
            terminal.type(b'import sys, time; sys.path.insert(0, %a)\n' % HERE)
            terminal.type(b'import tasks, multiprocessing_gi as mp; pool = mp.Pool(2)\n')
            terminal.type(b'print("sum" + ":", sum(pool.map(tasks.square, range(10))))\n')
            self.assertTrue(terminal.read_until('sum: 285'), terminal.text)
            terminal.type(b'print("in", "it"); pool.map(tasks.wait_for_ever, range(9))\n')
            self.assertTrue(terminal.read_until('in it'), terminal.text)
            time.sleep(0.2)  # into the wait
            terminal.type(b'\x03')
            self.assertTrue(terminal.read_until('KeyboardInterrupt\n>>> ', 2), terminal.text)
            terminal.type(b'pool.terminate(); print("still", "here")\n')
            self.assertTrue(terminal.read_until('still here'), terminal.text)
            terminal.type(b'exit()\n')
            self.assertTrue(terminal.read_until(None), terminal.text)
        finally:
            terminal.wait()


if __name__ == '__main__':
    unittest.main()
