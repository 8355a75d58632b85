#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Check the models of this folder with spin (TAP).

A case holds when spin has seen every state and found nothing wrong; for a case
with a mistake made on purpose, and for what is known not to hold, spin must
find it. README.md explains the models and their settings.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# Beyond this a model is no small one any more, and a machine may have no more.
MEGABYTES = 1500
# For those in FULL.
BIG_MEGABYTES = 3000

TWO = '-DN=2 -DROUNDS=2 -DKILLS=2'
ONE_ROUND = '-DROUNDS=1'
HANDED = '-DN=2 -DROUNDS=1 -DKILLS=1 -DHANDOVER'
LOOPS = '-DPUTS=1 -DSLEEPERS=0 -DLOOPS=2'
PAIR = '-DPUTS=1 -DSLEEPERS=2 -DLOOPS=0'
SLEEPERS = PAIR + ' -DNO_RESETS'
CHAIN = SLEEPERS + ' -DLEAVES -DSPINS'
CLAIMS = '-DSLEEPERS=1 -DLOOPS=0 -DNO_RESETS -DCLAIMS -DBIG=2 -DCAPACITY=2'
ROOM = CLAIMS + ' -DROOM_LOOPS=2'
LEFT = '-DPUTS=2 -DCAPACITY=4 -DSLEEPERS=0 -DLOOPS=2 -DLEAVES'
RESET = '-DKILLED_SLEEPERS=1 -DMAX_IDLE_WAKES=0'
KILLED = '-DCAPACITY=4 -DSLEEPERS=1 -DLOOPS=0 ' + RESET

# (model, settings, what it says). Those in FULL take longer than all the others.
HOLDS = [
    ('lock', TWO + ' -DSLICES_ANYTIME', 'one holder, one thief, whenever slices end'),
    ('lock', ONE_ROUND + ' -DKILLS=1 -DSLICES_ANYTIME', 'the same for three'),
    ('lock', TWO + ' -DSLICES_LATE', 'one slice is enough after any death'),
    ('lock', ONE_ROUND + ' -DKILLS=1 -DSLICES_LATE', 'the same for three'),
    ('lock', ONE_ROUND + ' -DKILLS=1 -DSLICES_LATE -DGIVE_UP', 'who loses patience loses no wake'),
    ('lock', HANDED + ' -DSLICES_ANYTIME', 'a section is handed over and released elsewhere'),
    ('lock', HANDED + ' -DSLICES_LATE', 'and nobody waits longer than a slice'),
    ('lock', ONE_ROUND + ' -DKILLS=0', 'without deaths nobody needs slices'),
    ('lock', '-DN=2 -DROUNDS=2 -DKILLS=1 -DKILL_RELEASING',
     'nor if one dies in its release and nobody barges in: the kernel wakes'),
    ('lock-async', '', 'a pending operation is not forgotten, nor does it strand others'),
    ('micro-lock', '-DSLICES_ANYTIME', 'one holder, whenever slices end'),
    ('micro-lock', '-DSLICES_LATE -DKILLS=2', 'one slice is enough after two deaths'),
    ('micro-lock', TWO + ' -DSLICES_LATE', 'the same in two rounds of two'),
    ('micro-lock', '-DROUNDS=2 -DKILLS=0', 'without deaths nobody needs slices'),
    ('micro-lock', TWO, 'two threads never do'),
    ('ring', '-DPUTS=1 -DNO_RESETS', 'a sleeper and a main loop'),
    ('ring', SLEEPERS, 'two sleepers'),
    ('ring', LOOPS + ' -DKILLS=1 -DFIRST_VICTIM=2', 'two main loops, one of which dies'),
    ('ring', '-DPUTS=1 -DCAPACITY=1 -DSLEEPERS=1 -DLOOPS=0 -DKILLS=1',
     'a full ring, and one death'),
    ('ring', '-DPUTS=1 ' + KILLED, 'the count starts afresh after killed sleepers'),
    ('ring', SLEEPERS + ' -DGIVE_UP', 'who goes without a message passes its wake on'),
    ('ring', CHAIN, 'who comes passes on what it leaves'),
    ('ring', CLAIMS + ' -DPUTS=1 -DKILLS=1', 'a claim holds nobody up after a death'),
    ('ring', ROOM + ' -DPUTS=1 -DKILLS=1', 'two main loops that wait for room, and one death'),
    ('ring', CLAIMS + ' -DPUTS=1 -DKILLS=1 -DROOM_LOOPS=1', 'one beside a sleeper, and one death'),
    ('ring', LEFT, 'a main loop that empties the eventfd wakes the others again'),
    ('journal', '', 'a committed transaction is there once, whoever dies when'),
]
FULL = [
    ('lock', ONE_ROUND + ' -DKILLS=2 -DSLICES_LATE', 'one slice is enough for three, if two die'),
    ('lock', '-DROUNDS=2 -DKILLS=0', 'three in two rounds, without deaths and slices'),
    ('lock', ONE_ROUND + ' -DKILLS=2 -DSLICES_ANYTIME', 'three, two of which die'),
    ('lock', '-DROUNDS=1 -DKILLS=1 -DHANDOVER -DSLICES_ANYTIME', 'three that hand over'),
    ('lock', '-DROUNDS=2 -DKILLS=1 -DSLICES_LATE', 'three in two rounds'),
    ('ring', '-DPUTS=1 -DNO_RESETS -DKILLS=1', 'a sleeper and a main loop, and one death'),
    ('ring', SLEEPERS + ' -DKILLS=1', 'two sleepers, and one death'),
    ('ring', LOOPS + ' -DKILLS=1', 'two main loops, and one death'),
    ('ring', CLAIMS + ' -DPUTS=2', 'a claim, and one that needs less'),
    ('ring', ROOM + ' -DPUTS=2', 'who claims room is woken, whoever looks beside it'),
    ('ring', ROOM + ' -DPUTS=2 -DLEAVES', 'who leaves its claim wakes the others'),
    ('ring', CLAIMS + ' -DPUTS=2 -DROOM_LOOPS=1', 'a main loop and a sleeper wait for room'),
    ('ring', CHAIN + ' -DKILLS=1', 'who comes is killed'),
    ('ring', '-DPUTS=2 ' + KILLED, 'the count starts afresh, and goes on'),
    ('ring', '-DPUTS=1 -DGIVE_UP', 'a sleeper goes without, beside a main loop'),
    ('ring', '-DPUTS=1 -DNO_RESETS -DCAPACITY=1', 'a full ring, a sleeper and a main loop'),
]
# What is true, and must be known.
DOES_NOT_HOLD = [
    ('lock', '-DN=2 -DROUNDS=1 -DKILLS=1', 'without slices nobody notices a dead holder'),
    ('lock', '-DROUNDS=2 -DKILLS=1 -DKILL_RELEASING',
     'nor a death in a release when a third one barges in'),
    ('lock', HANDED + ' -DSLICES_ANYTIME -DMISTAKE_DIES_AFTER_HANDOVER',
     'a section that was handed over is stolen when its acquirer dies'),
    ('micro-lock', '-DKILLS=1', 'without slices a killed waiter strands another one'),
]
MISTAKES = [
    ('lock', '-DROUNDS=2 -DKILLS=0', 'NO_COMPARE'),
    ('lock', '-DROUNDS=2 -DKILLS=0', 'FORGETS_WAITERS'),
    ('lock', '-DROUNDS=2 -DKILLS=0', 'GIVES_UP_WOKEN'),
    ('lock', TWO + ' -DSLICES_ANYTIME', 'NO_PROBE'),
    ('lock', TWO + ' -DSLICES_ANYTIME', 'NO_CAS'),
    ('lock', '-DN=2 -DROUNDS=2 -DKILLS=1 -DKILL_RELEASING', 'NO_PENDING'),
    ('lock-async', '', 'TRUSTS_WAITERS'),
    ('lock-async', '', 'ANNOUNCES_FIRST'),
    ('micro-lock', '-DROUNDS=2 -DKILLS=0', 'FORGETS_WAITERS'),
    ('micro-lock', '-DROUNDS=2 -DKILLS=0', 'GIVES_UP_WOKEN'),
    ('micro-lock', '-DSLICES_LATE', 'NO_PENDING'),
    ('micro-lock', '-DSLICES_LATE', 'NO_CAS'),
    ('micro-lock', TWO, 'KERNEL_KEEPS_WAKES'),
    ('ring', '-DPUTS=1', 'NO_RECHECK'),
    ('ring', LOOPS, 'NO_RECHECK'),
    ('ring', '-DPUTS=1', 'WAKES_FIRST'),
    ('ring', SLEEPERS, 'SAME_SEQUENCE'),
    ('ring', LOOPS, 'ARMS_FIRST'),
    ('ring', LEFT, 'NO_REARM'),
    ('ring', '-DPUTS=2 ' + KILLED, 'QUIET_RESET'),
    ('ring', '-DPUTS=2 ' + KILLED, 'NO_EPOCH'),
    ('ring', SLEEPERS + ' -DGIVE_UP', 'KEEPS_THE_WAKE'),
    ('ring', CHAIN, 'NO_CHAIN'),
    ('ring', CHAIN, 'NO_ARRIVAL'),
    ('ring', CHAIN, 'LATE_ANNOUNCEMENT'),
    ('ring', CHAIN, 'STAYS_ANNOUNCED'),
    ('ring', CHAIN, 'NO_SECOND_LOOK'),
    ('ring', CHAIN, 'SPINNER_STAYS'),
    ('ring', CLAIMS + ' -DPUTS=2', 'CLAIM_STAYS'),
    ('ring', CLAIMS + ' -DPUTS=2 -DLEAVES', 'QUIET_UNCLAIM'),
    ('ring', ROOM + ' -DPUTS=2', 'SWALLOWS'),
    ('ring', ROOM + ' -DPUTS=2 -DLEAVES', 'QUIET_UNCLAIM'),
    ('journal', '', 'INCREMENTS'),
    ('journal', '', 'COMMITS_FIRST'),
    ('journal', '', 'APPLIES_FIRST'),
    ('journal', '', 'CLEARS_FIRST'),
    ('journal', '', 'NO_REPLAY'),
]


def cases(full):
    """(model, settings, title, whether it holds) of each case."""
    for model, settings, title in HOLDS + (FULL if full else []):
        yield model, settings, f'{model}: {title}', True
    for model, settings, title in DOES_NOT_HOLD:
        yield model, settings, f'{model}: it is seen that {title}', False
    for model, settings, name in MISTAKES:
        title = name.lower().replace('_', ' ')
        settings = f'{settings} -DMISTAKE_{name}'
        yield model, settings, f'{model}: the mistake is found: {title}', False


def run(command, folder):
    """What a command prints, after it has worked."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(command)}\n{done.stdout}')
    return done.stdout


def explain(model, settings, folder):
    """The end of the way to the error."""
    shutil.copy(model, folder)  # the trail is looked for beside it
    text = run(['spin', '-t', '-p', '-g', *settings.split(), os.path.basename(model)], folder)
    return '\n'.join(text.split('\n')[-120:])


def check(case):
    """(title, whether all is as it should be, what to say about it)."""
    model, settings, title, holds = case
    # What optimising takes is only won back by many states.
    big = (model, settings) in {each[:2] for each in FULL}
    optimise = ['-O2', '-DCOLLAPSE'] if big else ['-O0']
    path = os.path.join(HERE, model + '.pml')
    with tempfile.TemporaryDirectory(prefix='mp-model-') as folder:
        try:
            run(['spin', '-a', *settings.split(), path], folder)
            run(['gcc', *optimise, '-w', '-DSAFETY', '-DNOFAIR', '-DVECTORSZ=512',
                 f'-DMEMLIM={BIG_MEGABYTES if big else MEGABYTES}', '-o', 'pan', 'pan.c'], folder)
            report = run(['./pan', '-E', '-n', '-m1000000', '-w22'], folder)
            found = re.search(r'errors: (\d+)', report)
            complete = not re.search(r'max search depth too small|MEMLIM|aborting|out of'
                                     r' memory|invalid array index|interrupted', report)
            states = re.search(r'(\d+) states, stored', report)
            if not found or not complete:
                return title, False, report
            if (found.group(1) == '0') != holds:
                return title, False, report + ('' if not holds else explain(path, settings, folder))
        except (RuntimeError, OSError) as error:
            return title, False, str(error)
    return title, True, f'{states.group(1)} states' if states else ''


def main():
    """Run the cases, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--full', action='store_true', help='the big ones, too')
    parser.add_argument('--jobs', type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument('pattern', nargs='?', default='', help='only cases whose title has this')
    arguments = parser.parse_args()
    missing = [name for name in ('spin', 'gcc') if not shutil.which(name)]
    if missing:
        print(f'1..0 # SKIP {" and ".join(missing)} not found')
        return 0
    chosen = [case for case in cases(arguments.full) if arguments.pattern in case[2]]
    failed = 0
    print(f'1..{len(chosen)}', flush=True)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for number, (title, good, text) in enumerate(pool.map(check, chosen), 1):
            failed += not good
            print(f'{"ok" if good else "not ok"} {number} - {title}')
            for line in text.split('\n'):
                print(f'# {line}' if line else '#', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
