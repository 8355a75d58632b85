#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What the orders of memory allow (TAP): checks the *.litmus files of a folder.

    litmus.py                    the tests of litmus/
    litmus.py FILE…              those
    litmus.py --own FILE…        by this program, even if there is herd7

With herd7 on the path, herd7 decides. Without it, this program does: for a
small subset of herd7's format, it makes all candidate executions (which write
each read sees, in which order the writes of a place come) and keeps those that
the axioms of x86-TSO or of AArch64 allow. `~exists` wants that none of them
meets the condition, `exists` that at least one does.
"""

import argparse
import collections
import glob
import itertools
import os
import re
import shutil
import subprocess
import sys

import litmus_isa

HERE = os.path.dirname(os.path.abspath(__file__))


class Event:
    """A read, a write, or a fence, of one execution."""

    def __init__(self, thread, kind, place=None, value=None, **more):
        self.thread = thread
        self.kind = kind
        self.place = place
        self.value = value
        self.acquire = more.get('acquire', False)    # A: ldar and its relatives
        self.acquire_pc = more.get('acquire_pc', False)  # Q: ldapr
        self.release = more.get('release', False)    # L
        self.atomic = more.get('atomic', False)      # of one instruction
        self.addr = more.get('addr', frozenset())    # reads on which it depends
        self.data = more.get('data', frozenset())
        self.ctrl = more.get('ctrl', frozenset())
        self.isb = more.get('isb', frozenset())      # reads that an isb is between
        self.partner = more.get('partner')           # of a write: the read of the same update
        self.index = -1


class Test:
    """A parsed file."""

    def __init__(self, text):
        text = re.sub(r'\(\*.*?\*\)', '', text, flags=re.S)
        head = re.match(r'\s*(\S+)\s+(\S+)\s*(?:"[^"]*"\s*)?\{(.*?)\}(.*?)'
                        r'(~exists|exists)\s*(.*)$', text, re.S)
        if not head:
            raise ValueError('not a litmus test')
        self.arch, self.name, initial, code, self.quantifier, self.condition = head.groups()
        self.registers = collections.defaultdict(dict)
        self.memory = {}
        for item in filter(None, (part.strip() for part in initial.split(';'))):
            left, right = (side.strip() for side in item.split('='))
            if ':' in left:
                thread, register = left.split(':')
                register = litmus_isa.register(self.arch, register)
                self.registers[int(thread)][register] = int(right) if right.isdigit() else right
            else:
                self.memory[left.strip('[]')] = int(right)
        rows = [[cell.strip() for cell in row.split('|')]
                for row in code.strip().split(';') if row.strip()]
        self.threads = [[row[column] for row in rows[1:] if column < len(row) and row[column]]
                        for column in range(len(rows[0]))]
        # Places that are only named.
        for registers in self.registers.values():
            for value in registers.values():
                if isinstance(value, str):
                    self.memory.setdefault(value, 0)
        for name in re.findall(r'\[(\w+)\]', code + self.condition):
            if not litmus_isa.is_register(self.arch, name):
                self.memory.setdefault(name, 0)
        self.holds = self.compile_condition()

    def compile_condition(self):
        """The condition as a function of (final registers, final memory)."""
        text = self.condition.strip().rstrip(';')

        def term(match):
            thread, register, place, value = match.groups()
            if thread is not None:
                name = litmus_isa.register(self.arch, register)
                return f'(registers[{thread}].get({name!r}, 0) == {value})'
            return f'(memory[{place!r}] == {value})'

        text = re.sub(r'(?:(\d+):(\w+)|\[?([A-Za-z_]\w*)\]?)\s*=\s*(\d+)', term, text)
        text = text.replace('/\\', ' and ').replace('\\/', ' or ')
        text = re.sub(r'(?<![=!])~', ' not ', text)
        return eval(f'lambda registers, memory: {text}')  # of files of this tree


def close(edges, count):
    """Whether the relation has no cycle."""
    after = [[] for _ in range(count)]
    into = [0] * count
    for one, two in edges:
        after[one].append(two)
        into[two] += 1
    free = [node for node in range(count) if not into[node]]
    seen = 0
    while free:
        node = free.pop()
        seen += 1
        for other in after[node]:
            into[other] -= 1
            if not into[other]:
                free.append(other)
    return seen == count


def fixed_edges_aarch64(events, before):
    """dob without the parts that need rf, bob, and aob's rmw: what the program alone orders."""
    edges = set()
    by_id = {id(event): event for event in events}
    for one, two in before:
        memory = one.kind in 'RW' and two.kind in 'RW'
        if memory:
            if id(one) in two.addr or id(one) in two.data:
                edges.add((one, two))
            if two.kind == 'W' and id(one) in two.ctrl:
                edges.add((one, two))
            if two.kind == 'R' and id(one) in two.isb:
                edges.add((one, two))
            if (one.acquire or one.acquire_pc) and one.kind == 'R':
                edges.add((one, two))
            if two.release and two.kind == 'W':
                edges.add((one, two))
            if one.release and one.kind == 'W' and two.acquire and two.kind == 'R':
                edges.add((one, two))
            if two.partner is one:
                edges.add((one, two))
    for middle in events:
        if middle.kind == 'W' and middle.partner is not None and middle.atomic \
                and middle.release and middle.partner.acquire:
            # An update of one instruction with both: all before it comes before its
            # write, and its write before all after it. An exclusive pair is less.
            edges.update((middle, two) for two in after_of(before, middle))
        if middle.kind in ('sy', 'ld', 'st'):
            for one in before_of(before, middle):
                for two in after_of(before, middle):
                    if middle.kind == 'sy' or (middle.kind == 'ld' and one.kind == 'R') or \
                            (middle.kind == 'st' and one.kind == two.kind == 'W'):
                        edges.add((one, two))
        # addr; po; [W]
        for source in middle.addr:
            for two in after_of(before, middle):
                if two.kind == 'W':
                    edges.add((by_id[source], two))
    return edges


def before_of(before, event):
    """The memory accesses of its thread that come before it."""
    return [one for one, two in before if two is event and one.kind in 'RW']


def after_of(before, event):
    """Those that come after it."""
    return [two for one, two in before if one is event and two.kind in 'RW']


def fixed_edges_x86(events, before):
    """ppo and what fences and locked instructions order."""
    edges = set()
    for one, two in before:
        if one.kind in 'RW' and two.kind in 'RW' and \
                ((one.kind, two.kind) != ('W', 'R') or one.atomic or two.atomic):
            edges.add((one, two))
    for fence in events:
        if fence.kind == 'sy':
            edges.update(itertools.product(before_of(before, fence), after_of(before, fence)))
    return edges


class Candidate:
    """One choice of what each thread does, before rf and co are chosen."""

    def __init__(self, test, traces):
        self.test = test
        self.registers = [trace.registers for trace in traces]
        self.initial = [Event(-1, 'W', place, value) for place, value in test.memory.items()]
        self.events = self.initial + [event for trace in traces for event in trace.events]
        for index, event in enumerate(self.events):
            event.index = index
        self.before = [(one, two) for trace in traces
                       for one, two in itertools.combinations(trace.events, 2)]
        self.reads = [event for event in self.events if event.kind == 'R']
        self.writes = collections.defaultdict(list)
        for event in self.events:
            if event.kind == 'W':
                self.writes[event.place].append(event)
        x86 = test.arch.startswith('X86')
        self.fixed = (fixed_edges_x86 if x86 else fixed_edges_aarch64)(self.events, self.before)
        self.x86 = x86

    def executions(self):
        """The final memory of each allowed choice of rf and co."""
        sources = [[write for write in self.writes[read.place] if write.value == read.value]
                   for read in self.reads]
        orders = [[(writes[0],) + rest for rest in itertools.permutations(writes[1:])]
                  for writes in self.writes.values()]
        for choice in itertools.product(*sources):
            rf = dict(zip(self.reads, choice))
            for order in itertools.product(*orders):
                if self.allowed(rf, order):
                    yield {writes[-1].place: writes[-1].value for writes in order}

    def allowed(self, rf, orders):
        """The axioms."""
        rank = {write: number for order in orders for number, write in enumerate(order)}
        co = [pair for order in orders for pair in itertools.combinations(order, 2)]
        fr = [(read, write) for read, source in rf.items() for write in self.writes[read.place]
              if rank[write] > rank[source]]
        from_rf = [(source, read) for read, source in rf.items()]
        local = [(one, two) for one, two in self.before
                 if one.kind in 'RW' and two.kind in 'RW' and one.place == two.place]
        count = len(self.events)
        if not self.acyclic(local + co + fr + from_rf, count):
            return False
        for write in self.events:
            if write.kind == 'W' and write.partner is not None and \
                    rank[write] != rank[rf[write.partner]] + 1:
                # Somebody else's write came between the two halves of an update.
                between = [other for other in self.writes[write.place]
                           if rank[rf[write.partner]] < rank[other] < rank[write]]
                if any(other.thread != write.thread for other in between):
                    return False
        if self.x86:
            external = [(one, two) for one, two in from_rf if one.thread != two.thread]
            return self.acyclic(list(self.fixed) + external + co + fr, count)
        return self.acyclic(list(self.fixed) + self.ordered_by_rf(rf)
                            + [(one, two) for one, two in co + fr + from_rf
                               if one.thread != two.thread], count)

    def ordered_by_rf(self, rf):
        """The parts of dob and aob that go through a read of one's own write."""
        edges = []
        by_id = {id(event): event for event in self.events}
        for read, source in rf.items():
            if source.thread != read.thread:
                continue
            edges += [(by_id[one], read) for one in source.addr | source.data]
            if source.partner is not None and (read.acquire or read.acquire_pc):
                edges.append((source, read))
        return edges

    @staticmethod
    def acyclic(edges, count):
        """Whether these pairs of events have no cycle."""
        return close({(one.index, two.index) for one, two in edges}, count)


def observe(test):
    """Whether some allowed execution meets the condition."""
    for traces in itertools.product(*litmus_isa.traces(test, Event)):
        candidate = Candidate(test, traces)
        for memory in candidate.executions():
            if test.holds(candidate.registers, memory):
                return True
    return False


def check_text(text):
    """(name, whether it is as its quantifier says, whether it was observed)."""
    test = Test(text)
    seen = observe(test)
    return test.name, seen == (test.quantifier == 'exists'), seen


def check_with_herd(path):
    """The same, by herd7."""
    report = subprocess.run(['herd7', path], capture_output=True, text=True, check=False).stdout
    name = re.search(r'^Test (\S+)', report, re.M)
    seen = re.search(r'^Observation \S+ (\w+)', report, re.M)
    if not name or not seen:
        raise ValueError(f'herd7 says: {report}')
    return name.group(1), bool(re.search(r'^Ok$', report, re.M)), seen.group(1) != 'Never'


def main():
    """Check the files."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--own', action='store_true')
    parser.add_argument('files', nargs='*')
    arguments = parser.parse_args()
    files = arguments.files or sorted(glob.glob(os.path.join(HERE, 'litmus', '*.litmus')))
    herd = shutil.which('herd7') is not None and not arguments.own
    failed = 0
    print(f'1..{len(files)}')
    for number, path in enumerate(files, 1):
        try:
            if herd:
                name, good, seen = check_with_herd(path)
            else:
                with open(path, encoding='utf-8') as stream:
                    name, good, seen = check_text(stream.read())
        except (ValueError, KeyError) as error:
            name, good, seen = os.path.basename(path), False, error
        verdict = {True: 'seen', False: 'never seen'}.get(seen, seen)
        print(f'{"ok" if good else "not ok"} {number} - {name}: {verdict}', flush=True)
        failed += not good
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
