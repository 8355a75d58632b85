# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The few instructions of AArch64 and x86-64 that the litmus tests use.

A thread is run once for each choice of the values that its reads could see;
what comes of it is a trace: its events, with their dependencies, and its final
registers. Exclusive stores succeed: a loop that tries again is written without
the loop, since an attempt that fails writes nothing. Branches go forward only.
"""

import itertools
import re

# More rounds would mean that values grow for ever.
MAX_ROUNDS = 6


def is_register(arch, name):
    """Whether the name is a register."""
    if arch.startswith('X86'):
        return re.fullmatch(r'[ER]?[ABCD]X|[ER][SD]I|R\d+D?', name, re.I) is not None
    return re.fullmatch(r'[XW](\d+|ZR)', name, re.I) is not None


def register(arch, name):
    """The register's name, whatever its width."""
    if not is_register(arch, name):
        raise ValueError(f'not a register: {name}')
    name = name.upper()
    if arch.startswith('X86'):
        return name[1:] if name[0] in 'ER' and not name[1:2].isdigit() else name.rstrip('D')
    return name[1:]


class Trace:
    """What one thread did."""

    def __init__(self):
        self.events = []
        self.registers = {}


class Thread:
    """A thread that runs with given values for its reads; ValueError if it asks for more."""

    def __init__(self, test, number, event, guesses):
        self.test = test
        self.number = number
        self.event = event
        self.guesses = list(guesses)
        self.values = dict(test.registers[number])
        self.taint = {}
        self.ctrl = frozenset()
        self.isb = frozenset()
        self.flags = (0, frozenset())  # the difference of the last comparison
        self.monitor = None
        self.trace = Trace()

    def value(self, operand):
        """(value, the reads it depends on) of a register or a number."""
        operand = operand.strip()
        if operand[0] in '#$' or operand.lstrip('-').isdigit():
            return int(operand.lstrip('#$'), 0), frozenset()
        name = register(self.test.arch, operand)
        if name == 'ZR':
            return 0, frozenset()
        return self.values.get(name, 0), self.taint.get(name, frozenset())

    def set(self, operand, value, taint=frozenset()):
        """Sets a register."""
        name = register(self.test.arch, operand)
        self.values[name] = value
        self.taint[name] = taint

    def address(self, text):
        """(place, the reads it depends on)."""
        parts = [part.strip() for part in text.strip('[]').split(',')]
        if not is_register(self.test.arch, parts[0]):
            return parts[0], frozenset()
        place, taint = self.value(parts[0])
        if len(parts) > 1:
            offset, more = self.value(parts[1])
            if offset != 0:
                raise ValueError(f'an offset in {text}')
            taint |= more
        if not isinstance(place, str):
            raise ValueError(f'{text} is no address')
        return place, taint

    def add(self, kind, place=None, value=None, **more):
        """One more event."""
        event = self.event(self.number, kind, place, value, ctrl=self.ctrl, isb=self.isb, **more)
        self.trace.events.append(event)
        return event

    def read(self, place, addr, **more):
        """A read, of the next value that was guessed."""
        if not self.guesses:
            raise MoreReads(place)
        return self.add('R', place, self.guesses.pop(0), addr=addr, **more)

    def run(self, program):
        """Runs to the end. False if the guesses are not all used."""
        labels = {line[:-1]: index for index, line in enumerate(program) if line.endswith(':')}
        index = 0
        step = x86 if self.test.arch.startswith('X86') else aarch64
        while index < len(program):
            line = program[index]
            target = None if line.endswith(':') else step(self, line)
            index = index + 1 if target is None else labels[target]
        self.trace.registers = self.values
        return not self.guesses


class MoreReads(Exception):
    """Another value has to be guessed, for this place."""


def operands(text):
    """The operands of an instruction; what is in brackets is one."""
    return [part.strip() for part in re.findall(r'\[[^]]*\]|[^,\[\]]+', text) if part.strip()]


def jump(self, taken, taint, label):
    """A conditional branch."""
    self.ctrl |= taint
    return label if taken else None


def update(self, place, addr, change, flags, data):
    """A read and a write in one instruction; returns the read. No write for None."""
    got = self.read(place, addr, acquire=flags[0], atomic=True)
    value = change(got.value)
    if value is not None:
        self.add('W', place, value, addr=addr, release=flags[1], atomic=True, partner=got,
                 data=data)
    return got


ORDERS = {'': (False, False), 'A': (True, False), 'L': (False, True), 'AL': (True, True)}
CONDITIONS = {'EQ': lambda difference: difference == 0, 'NE': lambda difference: difference != 0}
ARITHMETIC = {
    'EOR': lambda one, two: one ^ two,
    'ADD': lambda one, two: one + two,
    'SUB': lambda one, two: one - two,
    'AND': lambda one, two: one & two,
    'ORR': lambda one, two: one | two,
}
UPDATES = {
    'SWP': lambda operand, old: operand,
    'LDADD': lambda operand, old: old + operand,
    'LDSET': lambda operand, old: old | operand,
    'LDCLR': lambda operand, old: old & ~operand,
}
LOADS = {'LDR': {}, 'LDAR': {'acquire': True}, 'LDAPR': {'acquire_pc': True}, 'LDXR': {},
         'LDAXR': {'acquire': True}}
FENCES = {'SY': 'sy', 'ISH': 'sy', 'LD': 'ld', 'ISHLD': 'ld', 'ST': 'st', 'ISHST': 'st'}


def aarch64_memory(self, name, args):
    """Loads and stores; False if it is none."""
    if name in LOADS:
        place, addr = self.address(args[1])
        got = self.read(place, addr, **LOADS[name])
        self.set(args[0], got.value, frozenset([id(got)]))
        if name.endswith('XR'):
            self.monitor = got
    elif name in ('STR', 'STLR'):
        place, addr = self.address(args[1])
        value, data = self.value(args[0])
        self.add('W', place, value, addr=addr, data=data, release=name == 'STLR')
    elif name in ('STXR', 'STLXR'):
        place, addr = self.address(args[2])
        value, data = self.value(args[1])
        if self.monitor is None or self.monitor.place != place:
            raise ValueError('an exclusive store without its load')
        self.add('W', place, value, addr=addr, data=data, release=name == 'STLXR',
                 partner=self.monitor)
        self.monitor = None
        self.set(args[0], 0)
    else:
        return aarch64_update(self, name, args)
    return True


def aarch64_update(self, name, args):
    """The updates of one instruction; False if it is none."""
    match = re.fullmatch(r'(SWP|LDADD|LDSET|LDCLR|CAS)(A?L?)', name)
    if not match:
        return False
    flags = ORDERS[match.group(2)]
    place, addr = self.address(args[2])
    if match.group(1) == 'CAS':
        expected, one = self.value(args[0])
        wanted, two = self.value(args[1])
        got = update(self, place, addr, lambda old: wanted if old == expected else None, flags,
                     one | two)
        self.set(args[0], got.value, frozenset([id(got)]))
    else:
        operand, data = self.value(args[0])
        got = update(self, place, addr, lambda old: UPDATES[match.group(1)](operand, old), flags,
                     data)
        if match.group(1) != 'SWP':
            # What is written depends on what was read.
            self.trace.events[-1].data |= {id(got)}
        if not args[1].upper().endswith('ZR'):
            self.set(args[1], got.value, frozenset([id(got)]))
    return True


def aarch64(self, line):
    """One instruction; the label if it jumps."""
    name, _, rest = line.partition(' ')
    name = name.upper()
    args = operands(rest)
    if name in ARITHMETIC:
        one, two = self.value(args[1]), self.value(args[2])
        self.set(args[0], ARITHMETIC[name](one[0], two[0]), one[1] | two[1])
    elif name == 'MOV':
        self.set(args[0], *self.value(args[1]))
    elif name == 'CMP':
        one, two = self.value(args[0]), self.value(args[1])
        self.flags = (one[0] - two[0], one[1] | two[1])
    elif name in ('CBZ', 'CBNZ'):
        value, taint = self.value(args[0])
        return jump(self, (value == 0) == (name == 'CBZ'), taint, args[1])
    elif name == 'B':
        return args[0]
    elif name.startswith('B.'):
        return jump(self, CONDITIONS[name[2:]](self.flags[0]), self.flags[1], args[0])
    elif name == 'DMB':
        self.add(FENCES[args[0].upper()])
    elif name == 'ISB':
        # ctrl; [ISB]; po; [R], and the same after an address.
        self.isb |= self.ctrl | frozenset().union(*(event.addr for event in self.trace.events))
    elif name != 'NOP' and not aarch64_memory(self, name, args):
        raise ValueError(f'unknown instruction: {line}')
    return None


def x86(self, line):
    """One instruction; the label if it jumps."""
    words = line.upper().split(None, 1)
    if words[0] == 'LOCK':
        return x86_locked(self, line.split(None, 1)[1])
    args = operands(line.split(None, 1)[1]) if len(words) > 1 else []
    if words[0] == 'MOV' and args[0].startswith('['):
        place, _ = self.address(args[0])
        self.add('W', place, self.value(args[1])[0])
    elif words[0] == 'MOV' and args[1].startswith('['):
        place, _ = self.address(args[1])
        self.set(args[0], self.read(place, frozenset()).value)
    elif words[0] == 'MOV':
        self.set(args[0], *self.value(args[1]))
    elif words[0] == 'XCHG':
        place, _ = self.address(args[0])
        operand = self.value(args[1])[0]
        got = update(self, place, frozenset(), lambda old: operand, (False, False), frozenset())
        self.set(args[1], got.value)
    elif words[0] == 'MFENCE':
        self.add('sy')
    elif words[0] == 'CMP':
        self.flags = (self.value(args[0])[0] - self.value(args[1])[0], frozenset())
    elif words[0] in ('JE', 'JNE'):
        return jump(self, (self.flags[0] == 0) == (words[0] == 'JE'), frozenset(), args[0])
    elif words[0] != 'NOP':
        raise ValueError(f'unknown instruction: {line}')
    return None


def x86_locked(self, line):
    """An instruction with the prefix."""
    name, rest = line.split(None, 1)
    args = operands(rest)
    place, _ = self.address(args[0])
    if name.upper() == 'INC':
        update(self, place, frozenset(), lambda old: old + 1, (False, False), frozenset())
    elif name.upper() == 'CMPXCHG':
        operand, expected = self.value(args[1])[0], self.value('EAX')[0]
        got = update(self, place, frozenset(), lambda old: operand if old == expected else None,
                     (False, False), frozenset())
        self.flags = (got.value - expected, frozenset())
        self.set('EAX', got.value)
    else:
        raise ValueError(f'unknown instruction: LOCK {line}')


def runs(test, number, event, values):
    """The traces of one thread, for all values that a place could have."""
    pending, found = [()], []
    while pending:
        guesses = pending.pop()
        thread = Thread(test, number, event, guesses)
        try:
            if thread.run(test.threads[number]):
                found.append(thread.trace)
        except MoreReads as more:
            pending += [guesses + (value,) for value in values[more.args[0]]]
    return found


def traces(test, event):
    """For each thread its traces. The values grow until nothing new is written."""
    values = {place: {value} for place, value in test.memory.items()}
    for _ in range(MAX_ROUNDS):
        found = [runs(test, number, event, values) for number in range(len(test.threads))]
        more = {place: set(known) for place, known in values.items()}
        for trace in itertools.chain(*found):
            for one in trace.events:
                if one.kind == 'W':
                    more[one.place].add(one.value)
        if more == values:
            break
        values = more
    return found
