// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// libmp as a GJS program sees it: a queue, its errors, a promise, and a pool
// whose workers run Python.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import Mp from 'gi://Mp?version=1';
import System from 'system';

Gio._promisify(Mp.Queue.prototype, 'get_async', 'get_finish');

function check(condition, text) {
  if (!condition)
    throw new Error(`check failed: ${text}`);
}

async function queue() {
  const items = Mp.Queue.new(2, 0);

  items.put(new GLib.Variant('s', 'hello'), -1, null);
  check(items.length === 1, 'one item is in the queue');
  check(items.get(-1, null).deepUnpack() === 'hello', 'the item comes out');
  try {
    items.get(0, null);
    check(false, 'an empty queue is an error');
  } catch (error) {
    check(error.matches(Mp.Error, Mp.Error.EMPTY), `EMPTY, not ${error}`);
  }

  const later = items.get_async(null);
  items.put(new GLib.Variant('x', 42), -1, null);
  check((await later).deepUnpack() === 42, 'a promise gets the next item');
}

function pool() {
  const context = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.PYTHON);
  const workers = Mp.Pool.new(context, 2);
  const numbers = new GLib.Variant('av', [5, 6].map(n => new GLib.Variant('x', n)));
  const result = workers.map('math:factorial', numbers, 0, -1, null).recursiveUnpack();

  check(JSON.stringify(result) === '[120,720]', `factorials, not ${result}`);
  workers.close();
  workers.join(-1, null);
}

const loop = new GLib.MainLoop(null, false);
let status = 0;

(async () => {
  await queue();
  pool();
})().catch(error => {
  printerr(`${error}\n${error.stack}`);
  status = 1;
}).finally(() => loop.quit());
loop.run();
System.exit(status);
