// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// What the tests in JavaScript need: checks, and a run that prints TAP.

import GLib from 'gi://GLib';
import System from 'system';

export function check(condition, text) {
  if (!condition)
    throw new Error(`check failed: ${text}`);
}

export function equal(got, wanted) {
  const text = value => JSON.stringify(value, (_, part) =>
    typeof part === 'bigint' ? `${part}n` : part);

  check(text(got) === text(wanted), `${text(got)} is not ${text(wanted)}`);
}

// The error of a function, which may be asynchronous; one that has none fails.
export async function errorOf(func) {
  let result;

  try {
    result = await func();
  } catch (error) {
    return error;
  }
  throw new Error(`no error, but ${result}`);
}

export async function run(tests) {
  let failed = 0;
  let number = 0;

  print(`1..${Object.keys(tests).length}`);
  for (const [name, test] of Object.entries(tests)) {
    number++;
    try {
      await test();
      print(`ok ${number} - ${name}`);
    } catch (error) {
      failed++;
      print(`not ok ${number} - ${name}`);
      printerr(`${error}\n${error.stack}`);
    }
  }
  System.exit(failed > 0 ? 1 : 0);
}

export const folder = GLib.path_get_dirname(GLib.filename_from_uri(import.meta.url)[0]);
