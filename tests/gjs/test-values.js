// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// What becomes of the values of JavaScript, as docs/gjs.md has it.

import GLib from 'gi://GLib';
import Mp from 'gi://Mp?version=1';

import {check, equal, errorOf, run} from './tap.js';

function roundTrip(value, type) {
  const variant = Mp.pack(value);

  equal(variant.get_type_string(), type);
  return Mp.unpack(variant);
}

await run({
  'each asynchronous method gives a promise'() {
    // By name: only then are they looked up.
    const owners = Object.keys(Mp).map(name => Mp[name])
      .filter(value => typeof value === 'function' && value.prototype)
      .flatMap(type => [type, type.prototype]);
    let n = 0;

    for (const owner of owners) {
      for (const name of Object.getOwnPropertyNames(owner)) {
        if (!name.endsWith('_async') || name.startsWith('_'))
          continue;
        check(Object.hasOwn(owner, `_original_${name}`), `a promise for ${name}`);
        n++;
      }
    }
    check(n > 20, `${n} of them`);
  },

  'each value has its type, and comes back'() {
    for (const [value, type] of [
      [null, 'g'], [true, 'b'], [5, 'x'], [-(2 ** 53 - 1), 'x'], [2.5, 'd'], [2 ** 60, 'd'],
      [Infinity, 'd'], [2n ** 62n, 'x'], [2n ** 63n, 't'], ['text 🙂', 's'], ['', 's'],
      [[1, 'two', [3]], 'av'], [[], 'av'], [{a: 1, b: {c: null}}, 'a{sv}'], [{}, 'a{sv}'],
    ])
      equal(roundTrip(value, type), value);
    equal(roundTrip(undefined, 'g'), null);
    equal(roundTrip(7n, 'x'), 7);
    check(Object.is(roundTrip(-0, 'd'), -0), 'minus zero');
    check(Number.isNaN(roundTrip(NaN, 'd')), 'not a number');
  },

  'containers of other kinds'() {
    const bytes = roundTrip(new Uint8Array([0, 1, 255]), 'ay');
    check(bytes instanceof Uint8Array, 'bytes');
    equal([...bytes], [0, 1, 255]);
    equal([...roundTrip(new GLib.Bytes([7, 0]), 'ay')], [7, 0]);
    equal(roundTrip(new Set([1, 2]), 'av'), [1, 2]);
    equal(roundTrip(new Map([['a', 1]]), 'a{sv}'), {a: 1});
    const map = roundTrip(new Map([[1, 'a'], [-2, 'b']]), 'a{xv}');
    check(map instanceof Map, 'a map with numbers');
    equal([...map], [[1, 'a'], [-2, 'b']]);
    equal(roundTrip(Object.assign(Object.create(null), {a: 1}), 'a{sv}'), {a: 1});
    equal(roundTrip(new GLib.Variant('(si)', ['a', 1]), 'v'), ['a', 1]);
  },

  'types that only others make'() {
    for (const [type, value, wanted] of [
      ['(sx)', ['a', 1], ['a', 1]], ['y', 7, 7], ['ms', null, null], ['ms', 'a', 'a'],
      ['o', '/a', '/a'], ['as', ['x'], ['x']], ['g', 'ai', 'ai'], ['aau', [[1], []], [[1], []]],
    ])
      equal(Mp.unpack(new GLib.Variant(type, value)), wanted);
    equal([...Mp.unpack(new GLib.Variant('a{ub}', {1: true}))], [[1, true]]);
  },

  async 'what has no form is a TypeError that says what'() {
    class Point {}
    const deep = depth => depth === 0 ? 1 : [deep(depth - 1)];

    for (const [value, text] of [
      [() => 1, 'function'], [Symbol('a'), 'symbol'], [new Point(), 'Point'], ['a\0b', 'NUL'],
      ['\ud800', 'surrogate'], [2n ** 64n, '64 bits'], [new Map([[1, 1], ['a', 2]]), 'keys'],
      [deep(61), '60'], [new Date(), 'Date'],
    ]) {
      const error = await errorOf(() => Mp.pack(value));
      check(error.matches(Mp.Error, Mp.Error.TYPE), `${error}`);
      check(error.message.includes(text), error.message);
    }
    Mp.pack(deep(60));
  },
});
