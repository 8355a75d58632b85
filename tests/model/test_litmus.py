#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Whether litmus.py knows the two models: classic tests, whose verdicts are known (TAP).

Each is a shape with the way in which its accesses are written; the verdict says
whether the relaxed outcome may be seen.
"""

import sys

import litmus

X86 = 'X86'
ARM = 'AArch64'
NEVER, SEEN = False, True


def arm(test, *threads):
    """The text of a test, of threads as lists of lines; the places are x, y and z."""
    registers = ' '.join(f'{number}:X0=x; {number}:X1=y; {number}:X2=z; {number}:X9=1;'
                         for number in range(len(threads)))
    return text_of(ARM, test, registers, threads)


def x86(test, *threads):
    """The same for x86."""
    return text_of(X86, test, 'x=0; y=0; z=0;', threads)


def text_of(arch, condition, initial, threads):
    """The text of a test."""
    length = max(len(thread) for thread in threads)
    rows = [' | '.join(f'P{number}' for number in range(len(threads))) + ' ;']
    for index in range(length):
        rows.append(' | '.join(thread[index] if index < len(thread) else ''
                               for thread in threads) + ' ;')
    return f'{arch} classic\n{{ {initial} }}\n' + '\n'.join(rows) + f'\nexists ({condition})\n'


def sb_arm(write, fence, read):
    """Store buffering: each writes one place and reads the other's."""
    return arm('0:X5=0 /\\ 1:X5=0',
               [f'{write} W9,[X0]', fence, f'{read} W5,[X1]'],
               [f'{write} W9,[X1]', fence, f'{read} W5,[X0]'])


def mp_arm(write, between, read, after, last='LDR W6,[X0]'):
    """Message passing: data in x, a flag in y."""
    return arm('1:X5=1 /\\ 1:X6=0',
               ['STR W9,[X0]', *between, f'{write} W9,[X1]'],
               [f'{read} W5,[X1]', *after, last])


def lb_arm(write, after):
    """Load buffering: each reads one place and writes the other."""
    return arm('0:X5=1 /\\ 1:X5=1',
               ['LDR W5,[X0]', *after, f'{write} W8,[X1]'],
               ['LDR W5,[X1]', *after, f'{write} W8,[X0]'])


def iriw_arm(read, after, last='LDR W6,{}'):
    """Independent reads of independent writes."""
    return arm('2:X5=1 /\\ 2:X6=0 /\\ 3:X5=1 /\\ 3:X6=0',
               ['STR W9,[X0]'], ['STR W9,[X1]'],
               [f'{read} W5,[X0]', *after, last.format('[X1]')],
               [f'{read} W5,[X1]', *after, last.format('[X0]')])


def two_two_arm(write, between):
    """Two writes each, in opposite orders."""
    return arm('[x]=1 /\\ [y]=1',
               ['MOV W8,#2', 'STR W9,[X0]', *between, f'{write} W8,[X1]'],
               ['MOV W8,#2', 'STR W9,[X1]', *between, f'{write} W8,[X0]'])


ADDRESS = ['EOR W7,W5,W5']
DATA = ['EOR W7,W5,W5', 'ADD W8,W7,#1']
CONTROL = ['MOV W8,#1', 'CBNZ W5,L1', 'L1:']

CLASSICS = [
    # Store buffering
    ('SB', sb_arm('STR', 'NOP', 'LDR'), SEEN),
    ('SB+dmb.sys', sb_arm('STR', 'DMB SY', 'LDR'), NEVER),
    ('SB+dmb.ishs', sb_arm('STR', 'DMB ISH', 'LDR'), NEVER),
    ('SB+dmb.sts', sb_arm('STR', 'DMB ST', 'LDR'), SEEN),
    ('SB+dmb.lds', sb_arm('STR', 'DMB LD', 'LDR'), SEEN),
    ('SB+rel-acqs', sb_arm('STLR', 'NOP', 'LDAR'), NEVER),
    ('SB+rel-acqpcs', sb_arm('STLR', 'NOP', 'LDAPR'), SEEN),
    ('SB+rel-plains', sb_arm('STLR', 'NOP', 'LDR'), SEEN),
    ('SB+swp-plains', arm('0:X5=0 /\\ 1:X5=0', ['SWP W9,W4,[X0]', 'LDR W5,[X1]'],
                          ['SWP W9,W4,[X1]', 'LDR W5,[X0]']), SEEN),
    ('SB+swpals', arm('0:X5=0 /\\ 1:X5=0', ['SWPAL W9,W4,[X0]', 'LDR W5,[X1]'],
                      ['SWPAL W9,W4,[X1]', 'LDR W5,[X0]']), NEVER),
    ('SB+swpal elsewhere', arm('0:X5=0 /\\ 1:X5=0',
                               ['STR W9,[X0]', 'SWPAL W9,W4,[X3]', 'LDR W5,[X1]'],
                               ['STR W9,[X1]', 'SWPAL W9,W4,[X2]', 'LDR W5,[X0]'])
     .replace('0:X9=1;', '0:X9=1; 0:X3=w;'), NEVER),
    ('SB+exclusives', arm('0:X5=0 /\\ 1:X5=0',
                          ['LDAXR W6,[X0]', 'STLXR W7,W9,[X0]', 'LDR W5,[X1]'],
                          ['LDAXR W6,[X1]', 'STLXR W7,W9,[X1]', 'LDR W5,[X0]']), SEEN),
    ('SB+exclusives elsewhere', arm('0:X5=0 /\\ 1:X5=0',
                            ['STR W9,[X0]', 'LDAXR W6,[X3]', 'STLXR W7,W9,[X3]', 'LDR W5,[X1]'],
                            ['STR W9,[X1]', 'LDAXR W6,[X2]', 'STLXR W7,W9,[X2]', 'LDR W5,[X0]'])
     .replace('0:X9=1;', '0:X9=1; 0:X3=w;'), SEEN),
    # Message passing
    ('MP', mp_arm('STR', [], 'LDR', []), SEEN),
    ('MP+dmb.sys', mp_arm('STR', ['DMB SY'], 'LDR', ['DMB SY']), NEVER),
    ('MP+dmb.st+dmb.ld', mp_arm('STR', ['DMB ST'], 'LDR', ['DMB LD']), NEVER),
    ('MP+dmb.ld+dmb.ld', mp_arm('STR', ['DMB LD'], 'LDR', ['DMB LD']), SEEN),
    ('MP+dmb.sy+po', mp_arm('STR', ['DMB SY'], 'LDR', []), SEEN),
    ('MP+po+dmb.sy', mp_arm('STR', [], 'LDR', ['DMB SY']), SEEN),
    ('MP+rel+acq', mp_arm('STLR', [], 'LDAR', []), NEVER),
    ('MP+rel+acqpc', mp_arm('STLR', [], 'LDAPR', []), NEVER),
    ('MP+rel+po', mp_arm('STLR', [], 'LDR', []), SEEN),
    ('MP+dmb.sy+addr', mp_arm('STR', ['DMB SY'], 'LDR', ADDRESS, 'LDR W6,[X0,W7,SXTW]'), NEVER),
    ('MP+dmb.sy+ctrl', mp_arm('STR', ['DMB SY'], 'LDR', CONTROL[1:]), SEEN),
    ('MP+dmb.sy+ctrl-isb', mp_arm('STR', ['DMB SY'], 'LDR', CONTROL[1:] + ['ISB']), NEVER),
    # Load buffering
    ('LB', lb_arm('STR', ['MOV W8,#1']), SEEN),
    ('LB+datas', lb_arm('STR', DATA), NEVER),
    ('LB+ctrls', lb_arm('STR', CONTROL), NEVER),
    ('LB+rels', lb_arm('STLR', ['MOV W8,#1']), NEVER),
    ('LB+addrs', arm('0:X5=1 /\\ 1:X5=1',
                     ['LDR W5,[X0]', 'EOR W7,W5,W5', 'STR W9,[X1,W7,SXTW]'],
                     ['LDR W5,[X1]', 'EOR W7,W5,W5', 'STR W9,[X0,W7,SXTW]']), NEVER),
    # Independent reads
    ('IRIW', iriw_arm('LDR', []), SEEN),
    ('IRIW+dmb.sys', iriw_arm('LDR', ['DMB SY']), NEVER),
    ('IRIW+acqs', iriw_arm('LDAR', []), NEVER),
    ('IRIW+addrs', iriw_arm('LDR', ADDRESS, 'LDR W6,{}').replace(
        'LDR W6,[X1]', 'LDR W6,[X1,W7,SXTW]').replace('LDR W6,[X0]', 'LDR W6,[X0,W7,SXTW]'), NEVER),
    # Two writes each
    ('2+2W', two_two_arm('STR', []), SEEN),
    ('2+2W+dmb.sts', two_two_arm('STR', ['DMB ST']), NEVER),
    ('2+2W+rels', two_two_arm('STLR', []), NEVER),
    # Through a third one
    ('WRC+data+addr', arm('1:X5=1 /\\ 2:X5=1 /\\ 2:X6=0', ['STR W9,[X0]'],
                          ['LDR W5,[X0]', *DATA, 'STR W8,[X1]'],
                          ['LDR W5,[X1]', *ADDRESS, 'LDR W6,[X0,W7,SXTW]']), NEVER),
    ('WRC+po+addr', arm('1:X5=1 /\\ 2:X5=1 /\\ 2:X6=0', ['STR W9,[X0]'],
                        ['LDR W5,[X0]', 'STR W9,[X1]'],
                        ['LDR W5,[X1]', *ADDRESS, 'LDR W6,[X0,W7,SXTW]']), SEEN),
    # One place
    ('CoRR', arm('1:X5=1 /\\ 1:X6=0', ['STR W9,[X0]'], ['LDR W5,[X0]', 'LDR W6,[X0]']), NEVER),
    ('CoWR', arm('0:X5=0', ['STR W9,[X0]', 'LDR W5,[X0]']), NEVER),
    # Updates
    ('two ldadd', arm('~([x]=2)', ['LDADD W9,W5,[X0]'], ['LDADD W9,W5,[X0]']), NEVER),
    ('two exclusives', arm('~([x]=2)', *[['LDXR W5,[X0]', 'ADD W6,W5,#1', 'STXR W7,W6,[X0]']] * 2),
     NEVER),
    ('two load, add, store', arm('[x]=1', *[['LDR W5,[X0]', 'ADD W6,W5,#1', 'STR W6,[X0]']] * 2),
     SEEN),
    ('two cas', arm('0:X5=0 /\\ 1:X5=0', *[['MOV W5,#0', 'CAS W5,W9,[X0]']] * 2), NEVER),
    ('swp in message passing', mp_arm('STR', ['SWPL W9,W4,[X2]'], 'LDAR', []), SEEN),
    # x86: only store buffering is ever seen.
    ('x86 SB', x86('0:EAX=0 /\\ 1:EAX=0', ['MOV [x],$1', 'MOV EAX,[y]'],
                   ['MOV [y],$1', 'MOV EAX,[x]']), SEEN),
    ('x86 SB+mfences', x86('0:EAX=0 /\\ 1:EAX=0', ['MOV [x],$1', 'MFENCE', 'MOV EAX,[y]'],
                           ['MOV [y],$1', 'MFENCE', 'MOV EAX,[x]']), NEVER),
    ('x86 SB+mfence+po', x86('0:EAX=0 /\\ 1:EAX=0', ['MOV [x],$1', 'MFENCE', 'MOV EAX,[y]'],
                             ['MOV [y],$1', 'MOV EAX,[x]']), SEEN),
    ('x86 SB+xchgs', x86('0:EAX=0 /\\ 1:EAX=0', ['MOV EBX,$1', 'XCHG [x],EBX', 'MOV EAX,[y]'],
                         ['MOV EBX,$1', 'XCHG [y],EBX', 'MOV EAX,[x]']), NEVER),
    ('x86 SB+locked elsewhere', x86('0:EAX=0 /\\ 1:EAX=0',
                                    ['MOV [x],$1', 'LOCK INC [z]', 'MOV EAX,[y]'],
                                    ['MOV [y],$1', 'LOCK INC [z]', 'MOV EAX,[x]']), NEVER),
    ('x86 MP', x86('1:EAX=1 /\\ 1:EBX=0', ['MOV [x],$1', 'MOV [y],$1'],
                   ['MOV EAX,[y]', 'MOV EBX,[x]']), NEVER),
    ('x86 LB', x86('0:EAX=1 /\\ 1:EAX=1', ['MOV EAX,[x]', 'MOV [y],$1'],
                   ['MOV EAX,[y]', 'MOV [x],$1']), NEVER),
    ('x86 IRIW', x86('2:EAX=1 /\\ 2:EBX=0 /\\ 3:EAX=1 /\\ 3:EBX=0', ['MOV [x],$1'],
                     ['MOV [y],$1'], ['MOV EAX,[x]', 'MOV EBX,[y]'],
                     ['MOV EAX,[y]', 'MOV EBX,[x]']), NEVER),
    ('x86 2+2W', x86('[x]=1 /\\ [y]=1', ['MOV [x],$1', 'MOV [y],$2'],
                     ['MOV [y],$1', 'MOV [x],$2']), NEVER),
    ('x86 n6', x86('0:EAX=1 /\\ 0:EBX=0 /\\ [x]=1', ['MOV [x],$1', 'MOV EAX,[x]', 'MOV EBX,[y]'],
                   ['MOV [y],$2', 'MOV [x],$2']), SEEN),
    ('x86 two locked inc', x86('~([x]=2)', ['LOCK INC [x]'], ['LOCK INC [x]']), NEVER),
]


def main():
    """Compare."""
    failed = 0
    print(f'1..{len(CLASSICS)}')
    for number, (name, text, verdict) in enumerate(CLASSICS, 1):
        seen = litmus.observe(litmus.Test(text))
        good = seen == verdict
        failed += not good
        print(f'{"ok" if good else "not ok"} {number} - {name}: '
              f'{"seen" if seen else "never seen"}', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
