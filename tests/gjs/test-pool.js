// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// Pools whose workers run JavaScript.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Mp from 'gi://Mp?version=1';

import {check, equal, errorOf, folder, run} from './tap.js';

const TASKS = `${folder}/tasks.js`;
const context = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.GJS);
const pool = Mp.Pool.new(context, 2);

await run({
  async 'values there and back'() {
    equal(await pool.map(`${TASKS}:square`, [1, 2, 3]), [1, 4, 9]);
    equal(await pool.map(`${TASKS}:square`, []), []);
    equal(await pool.map(`${TASKS}:echo`, new Set(['a', null, {b: [true]}])),
      ['a', null, {b: [true]}]);
    equal(await pool.apply(`${TASKS}:echo`, 2n ** 63n), 2n ** 63n);
    equal(await pool.apply(`${TASKS}:echo`), null);
    const many = await pool.map(`${TASKS}:square`, Array.from({length: 3000}, (_, i) => i));
    check(many.length === 3000 && many[2999] === 2999 ** 2, 'many of them');
  },

  async 'functions of every kind'() {
    equal(await pool.map(`${TASKS}:later`, [1, 2], {chunkSize: 1}), [2, 3]);
    equal(await pool.map(`${TASKS}:later`, [1, 2], {chunkSize: 2}), [2, 3]);
    equal(await pool.apply(`${TASKS}:nested.times`, 5), 15);
    equal(await pool.apply(`${folder}/script.js:half`, 5), 2.5);
    equal(await pool.apply(`file://${TASKS}:square`, 5), 25);
    equal(await pool.starmap(`${TASKS}:add`, [[1, 2], [3, 4]]), [3, 7]);
    equal(await pool.starmap(`${TASKS}:add`, [[[1, 2], {scale: 10}]]), [30]);
  },

  async 'results as they come'() {
    const results = [];

    for await (const result of pool.imap(`${TASKS}:square`, [3, 1, 2]))
      results.push(result);
    equal(results, [9, 1, 4]);
    results.length = 0;
    for await (const result of pool.imap_unordered(`${TASKS}:square`, [3, 1, 2]))
      results.push(result);
    equal(results.sort(), [1, 4, 9]);
  },

  async 'GVariants, as C has it'() {
    const numbers = new GLib.Variant('av', [5, 6].map(n => new GLib.Variant('x', n)));

    equal(pool.map(`${TASKS}:square`, numbers, 0, -1, null).recursiveUnpack(), [25, 36]);
    equal(pool.apply(`${TASKS}:square`, new GLib.Variant('x', 7), -1, null).unpack(), 49);
    equal((await pool.map_async(`${TASKS}:square`, numbers, 0, null)).recursiveUnpack(), [25, 36]);
  },

  async 'a function that throws: the error has its stack'() {
    const error = await errorOf(() => pool.apply(`${TASKS}:boom`, 'too far'));
    check(error instanceof GLib.Error, `${error}`);
    equal(GLib.quark_to_string(error.domain), 'javascript');
    check(error.message.startsWith('RangeError: too far\n'), error.message);
    check(/^inner@.*tasks\.js:\d+:\d+\nboom@.*tasks\.js:\d+:\d+$/m.test(error.message),
      error.message);
    check(!error.message.includes('mp-gjs'), error.message);

    const job = pool.submit(`${TASKS}:boom`, 'again');
    await errorOf(() => job.wait_async(null).then(() => job.get_result()));
    check(job.dup_traceback().includes('inner@'), 'the traceback of the job');
    equal((await errorOf(() => pool.apply(`${TASKS}:throwText`, 'no error'))).message, 'no error');
  },

  async 'an error of GLib stays what it is'() {
    const error = await errorOf(() => pool.apply(`${TASKS}:refuse`));

    check(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.PERMISSION_DENIED), `${error}`);
    equal(error.message, 'not for you');
  },

  async 'what is missing is named'() {
    for (const [name, code, ...texts] of [
      ['/no/such/file.js:f', 'NOT_FOUND', '/no/such/file.js', '“f”'],
      [`${TASKS}:none`, 'NOT_FOUND', 'tasks.js', '“none”', 'square'],
      [`${TASKS}:nested.none`, 'NOT_FOUND', 'tasks.js', 'nested.none'],
      ['nonsense', 'INVALID_ARGUMENT', 'nonsense'],
    ]) {
      const error = await errorOf(() => pool.apply(name, 1));
      check(error.matches(Mp.Error, Mp.Error[code]), `${error}`);
      for (const text of texts)
        check(error.message.includes(text), `${text} in ${error.message}`);
    }
    const error = await errorOf(() => pool.apply(`${folder}/broken.js:nothing`));
    check(error.message.includes('cannot be imported'), error.message);
    check(error.message.includes('broken.js:4'), error.message);
  },

  async 'a result without a form, and a worker that leaves, end one job each'() {
    let error = await errorOf(() => pool.apply(`${TASKS}:useless`));
    check(error.matches(Mp.Error, Mp.Error.TYPE), `${error}`);
    error = await errorOf(() => pool.apply(`${TASKS}:die`));
    check(error.matches(Mp.Error, Mp.Error.PROCESS_DIED), `${error}`);
    equal(await pool.map(`${TASKS}:square`, [1, 2, 3]), [1, 4, 9]);
  },

  async 'a map that is cancelled'() {
    const cancellable = new Gio.Cancellable();
    const result = pool.map(`${TASKS}:spin`, [100000, 100000], {chunkSize: 1, cancellable});

    cancellable.cancel();
    const error = await errorOf(() => result);
    check(error.matches(Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED), `${error}`);
    equal(await pool.map(`${TASKS}:square`, [1, 2, 3]), [1, 4, 9]);
  },

  async 'the main loop goes on'() {
    let ticks = 0;
    const source = GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
      ticks++;
      return GLib.SOURCE_CONTINUE;
    });

    equal(await pool.map(`${TASKS}:spin`, [100, 100]), [100, 100]);
    GLib.source_remove(source);
    check(ticks > 10, `${ticks} ticks`);
  },

  async 'what workers write, and whose it is'() {
    const talking = new Mp.Pool({context, n_workers: 2, capture_output: true});
    const heard = new Map();
    let n = 0;

    talking.init(null);
    const all = new Promise(resolve => talking.connect('output', (_, job, pid, stream, text) => {
      heard.set(job, (heard.get(job) ?? '') + `${stream}:${text}|`);
      if (++n === 20)
        resolve();
    }));
    const jobs = Array.from({length: 10}, (_, i) => talking.submit(`${TASKS}:talk`, i));
    await all;
    jobs.forEach((job, i) => equal(heard.get(job.id).split('|').sort().join('|'),
      `|1:out ${i}|2:err ${i}`));
    talking.close();
    check(await talking.join_async(null), 'joined');
  },

  async 'the end'() {
    pool.close();
    check(await pool.join_async(null), 'joined');
  },
});
