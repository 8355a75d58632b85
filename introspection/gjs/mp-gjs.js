// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// What libmp executes for a task in JavaScript, mostly before there is one: it imports
// the files that it is given, waits for a task, and runs it; or, in a pool, many.

import GLib from 'gi://GLib';
import Gio from 'gi://Gio';
import Mp from 'gi://Mp?version=1';
import System from 'system';

const POOL_WORKER = 'mp.pool-worker';
const DOMAIN = 'javascript';
const HEAD_LENGTH = 16;
const FLAG_CHUNK = 1;
const FLAG_STAR = 2;
const YIELD_US = 10000;

function uriOf(file) {
  return /^(file|resource):/.test(file) ? file : Gio.File.new_for_path(file).get_uri();
}

// What a script without exports defines, as older programs for GJS do.
function legacyModule(uri) {
  const file = Gio.File.new_for_uri(uri);
  const folder = file.get_parent().get_path() ?? file.get_parent().get_uri();
  const name = file.get_basename().replace(/\.js$/, '');

  imports.searchPath.unshift(folder);
  try {
    return imports[name];
  } finally {
    imports.searchPath.shift();
  }
}

async function load(file, name) {
  const uri = uriOf(file);

  if (!Gio.File.new_for_uri(uri).query_exists(null)) {
    throw new GLib.Error(Mp.Error, Mp.Error.NOT_FOUND,
      `The file “${file}”, which should have the function “${name}”, does not exist; ` +
      `it is looked for in ${GLib.get_current_dir()}`);
  }
  const module = await import(uri);
  return Object.keys(module).length > 0 ? module : legacyModule(uri);
}

const functions = new Map();

async function find(task) {
  const at = task.lastIndexOf(':');
  const file = task.slice(0, at);
  const name = task.slice(at + 1);

  if (at < 1 || !name) {
    throw new GLib.Error(Mp.Error, Mp.Error.INVALID_ARGUMENT,
      `A function is named file.js:function, not “${task}”`);
  }
  const module = await load(file, name);
  let found = module;
  let owner;
  for (const part of name.split('.'))
    [owner, found] = [found, found?.[part]];
  if (typeof found !== 'function') {
    throw new GLib.Error(Mp.Error, Mp.Error.NOT_FOUND,
      `The file “${file}” exports no function “${name}”; ` +
      `it exports: ${Object.keys(module).join(', ') || 'nothing'}`);
  }
  const call = owner === module ? found : found.bind(owner);
  functions.set(task, call);
  return call;
}

// The part of the stack that is not ours.
function stackOf(error) {
  return (error?.stack ?? '').split('\n')
    .filter(line => line && !/\/mp-gjs\.js:|modules\/internal\//.test(line)).join('\n');
}

// Where a text could not even be parsed is in no stack.
function textOf(error) {
  if (error instanceof GLib.Error)
    return error.message;
  const text = `${error}`.replaceAll('\0', '\\0');
  return error instanceof SyntaxError
    ? `${text} (${error.fileName}, line ${error.lineNumber})` : text;
}

function report(worker, error) {
  const stack = stackOf(error);

  if (error instanceof GLib.Error)
    worker.fail(GLib.quark_to_string(error.domain), error.code, error.message, stack, null);
  else
    worker.fail(DOMAIN, 0, `${textOf(error)}\n${stack}`.trimEnd(), stack, null);
}

function callStar(call, argument) {
  if (!Array.isArray(argument))
    throw new TypeError('the arguments must be a tuple');
  // By position and by name, (ava{sv}): the names make the last argument, an object.
  if (argument.length === 2 && Array.isArray(argument[0]) && argument[1] !== null &&
      Object.getPrototypeOf(argument[1]) !== null && argument[1].constructor?.name === 'Object') {
    const [positional, named] = argument;
    return Object.keys(named).length > 0 ? call(...positional, named) : call(...positional);
  }
  return call(...argument);
}

async function callEach(apply, call, items) {
  const results = [];

  for (const item of items) {
    const result = apply(call, item);
    results.push(result instanceof Promise ? await result : result);
  }
  return results;
}

function decode(bytes) {
  return GLib.Variant.new_from_bytes(new GLib.VariantType('v'), new GLib.Bytes(bytes), false)
    .get_variant();
}

// The task in a record, applied: a value, or a promise of one.
function run(record) {
  const head = new Uint32Array(record.slice(0, HEAD_LENGTH).buffer);
  const [codec, flags, length] = head;
  const payloadAt = HEAD_LENGTH + Math.ceil(length / 8) * 8;
  const task = new TextDecoder().decode(record.subarray(HEAD_LENGTH, HEAD_LENGTH + length));
  const payload = record.subarray(payloadAt);

  if (codec !== Mp.Codec.GVARIANT) {
    throw new GLib.Error(Mp.Error, Mp.Error.TYPE,
      'A task in JavaScript takes a GVariant, and nothing else');
  }
  const apply = flags & FLAG_STAR ? callStar : (call, argument) => call(argument);
  const begin = call => {
    if (payload.length === 0)
      return call();
    const argument = Mp.unpack(decode(payload));
    return flags & FLAG_CHUNK ? callEach(apply, call, argument) : apply(call, argument);
  };
  const known = functions.get(task);
  return known ? begin(known) : find(task).then(begin);
}

function encode(value) {
  return GLib.Variant.new_variant(Mp.pack(value)).get_data_as_bytes().toArray();
}

// What GJS does in its main loop, such as to free what is no longer used, has to be
// done between tasks that never return there.
function turnLoop() {
  const context = GLib.MainContext.default();

  while (context.iteration(false))
    ;
}

async function work(handle, fdList) {
  const worker = Mp.Worker.new_from_handle(handle, fdList);
  let turned = GLib.get_monotonic_time();
  let record = worker.next();

  while (record?.length > 0) {
    let value, answer;
    try {
      value = run(record);
      answer = encode(value instanceof Promise ? await value : value);
      record = worker.succeed_and_next(answer, Mp.Codec.GVARIANT);
    } catch (error) {
      if (worker.get_task_id() === 0)
        throw error;
      report(worker, error);
      record = worker.next();
    }
    if (GLib.get_monotonic_time() - turned > YIELD_US) {
      turnLoop();
      turned = GLib.get_monotonic_time();
    }
  }
}

async function main() {
  for (const file of ARGV) {
    try {
      await load(file, '*');
    } catch (error) {
      printerr(`libmp: “${file}” cannot be preloaded: ${textOf(error)}`);
    }
  }

  const [task, argument] = Mp.bootstrap_take_task();
  if (task.name === POOL_WORKER) {
    await work(argument, task.fd_list);
    return;
  }
  try {
    const call = await find(task.name);
    await (argument === null ? call() : call(Mp.unpack(argument)));
  } catch (error) {
    printerr(`${System.programInvocationName}: task ${task.name}: ${textOf(error)}`);
    const stack = stackOf(error);
    if (stack)
      printerr(stack);
    System.exit(1);
  }
}

try {
  await main();
  System.exit(0);
} catch (error) {
  printerr(`libmp: ${textOf(error)}`);
  System.exit(1);
}
