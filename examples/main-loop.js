#!/usr/bin/env -S gjs -m
// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// A program with a main loop, as one with windows has it, and much to compute: two
// workers count primes, and the loop ticks on. What they run is in primes.js.
//
// Usage: main-loop.js [LIMIT [PARTS]]

import GLib from 'gi://GLib';
import Mp from 'gi://Mp?version=1';
import System from 'system';

const TICK_MS = 16;

const limit = Number(ARGV[0] ?? 3000000);
const nParts = Number(ARGV[1] ?? 40);
const folder = GLib.path_get_dirname(GLib.filename_from_uri(import.meta.url)[0]);

// What an interface would do: it notes how long it was kept waiting.
function startTicking() {
  let last = GLib.get_monotonic_time();
  const ticking = {count: 0, longest: 0};

  ticking.source = GLib.timeout_add(GLib.PRIORITY_DEFAULT, TICK_MS, () => {
    const now = GLib.get_monotonic_time();
    ticking.count++;
    ticking.longest = Math.max(ticking.longest, (now - last) / 1000);
    last = now;
    return GLib.SOURCE_CONTINUE;
  });
  return ticking;
}

async function countPrimes(pool) {
  const size = Math.ceil(limit / nParts);
  const parts = Array.from({length: nParts}, (_, i) =>
    [i * size, Math.min((i + 1) * size, limit)]);
  let total = 0;

  for await (const count of pool.imap_unordered(`${folder}/primes.js:count`, parts))
    total += count;
  return total;
}

async function main() {
  const context = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.GJS);
  const pool = Mp.Pool.new(context, 2);
  const ticking = startTicking();
  const total = await countPrimes(pool);

  GLib.source_remove(ticking.source);
  pool.close();
  await pool.join_async(null);
  print(`${total} primes below ${limit}`);
  printerr(`${ticking.count} ticks meanwhile; the loop never waited longer than ` +
    `${ticking.longest.toFixed(1)} ms`);
}

const loop = new GLib.MainLoop(null, false);
let status = 0;

main().catch(error => {
  printerr(error.message);
  status = 1;
}).finally(() => loop.quit());
loop.run();
System.exit(status);
