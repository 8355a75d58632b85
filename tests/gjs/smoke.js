// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// libmp as a GJS program sees it: a queue, its errors, a promise, connections, and a pool
// whose workers run Python.

import GLib from 'gi://GLib';
import Mp from 'gi://Mp?version=1';
import System from 'system';

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

async function connection() {
  const key = new GLib.Bytes('key');
  const listener = Mp.Listener.new('tcp:127.0.0.1:0', key);
  const accepting = listener.accept_async(null);
  const client = await Mp.Connection.open_async(listener.address, key, -1, null);
  const server = await accepting;

  await client.send_async(new GLib.Variant('(si)', ['hello', 5]), null);
  const value = await server.recv_async(null);
  check(JSON.stringify(value.recursiveUnpack()) === '["hello",5]', 'a variant over TCP');
  server.send_data('back', -1, null);
  check(new TextDecoder().decode(client.recv_bytes(-1, null).toArray()) === 'back', 'bytes');
  server.close();
  try {
    client.recv(-1, null);
    check(false, 'the end of a connection is an error');
  } catch (error) {
    check(error.matches(Mp.Error, Mp.Error.CLOSED), `CLOSED, not ${error}`);
  }

  const [, a, b] = Mp.pipe_new(true);
  a.send_shareable(Mp.Queue.new(0, 0), -1, null);
  check(b.recv_shareable(-1, null) instanceof Mp.Queue, 'a queue through a pipe');
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
  await connection();
  pool();
})().catch(error => {
  printerr(`${error}\n${error.stack}`);
  status = 1;
}).finally(() => loop.quit());
loop.run();
System.exit(status);
