// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// Functions that the tests run in other processes.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Mp from 'gi://Mp?version=1';
import System from 'system';

function inner(text) {
  throw new RangeError(text);
}

export function square(x) {
  return x * x;
}

export function echo(value) {
  return value;
}

export function boom(text) {
  inner(text);
}

export function refuse() {
  throw new GLib.Error(Gio.IOErrorEnum, Gio.IOErrorEnum.PERMISSION_DENIED, 'not for you');
}

export function throwText(text) {
  throw text;
}

export function useless() {
  return Symbol('nothing');
}

export async function later(x) {
  await new Promise(resolve => GLib.timeout_add(GLib.PRIORITY_DEFAULT, 1, () => {
    resolve();
    return GLib.SOURCE_REMOVE;
  }));
  return x + 1;
}

export function add(a, b, {scale = 1} = {}) {
  return (a + b) * scale;
}

export const nested = {
  factor: 3,
  times(x) {
    return this.factor * x;
  },
};

export function talk(x) {
  print(`out ${x}`);
  printerr(`err ${x}`);
  return x;
}

export function pid() {
  return new Gio.Credentials().get_unix_pid();
}

export function spin(ms) {
  const end = GLib.get_monotonic_time() + ms * 1000;

  while (GLib.get_monotonic_time() < end)
    ;
  return ms;
}

export function die() {
  System.exit(7);
}

function find(name, pattern) {
  return pattern.exec(new TextDecoder().decode(GLib.file_get_contents(`/proc/self/${name}`)[1]))[1];
}

// Writes to the file at a path what it sees.
export function write([path, what]) {
  const values = {
    cwd: () => GLib.get_current_dir(),
    env: () => GLib.getenv('MP_TEST_VALUE') ?? '(none)',
    files: () => find('limits', /Max open files\s+(\d+)/),
    umask: () => find('status', /Umask:\s+(\d+)/),
    cpus: () => find('status', /Cpus_allowed_list:\s+(\S+)/),
    preloaded: () => `${globalThis.preloaded ?? false}`,
  };

  GLib.file_set_contents(path, values[what]());
}

// A process of a process: starts a command, says which, and never ends.
export async function parent(path) {
  const command = Mp.Process.new(null, ['sleep', '1000']);

  command.start(null);
  GLib.file_set_contents(path, `${command.pid}`);
  await command.join_async(null);
}
