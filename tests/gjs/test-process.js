// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// Processes that run a function in JavaScript.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Mp from 'gi://Mp?version=1';

import {check, equal, errorOf, folder, run} from './tap.js';

const TASKS = `${folder}/tasks.js`;
const scratch = GLib.dir_make_tmp('mp-gjs-XXXXXX');
const context = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.GJS);

function start(where, name, argument) {
  const packed = argument === undefined ? null : Mp.pack(argument);
  const process = Mp.Process.new_task(where, name, packed);

  process.start(null);
  return process;
}

async function exitCodeOf(...args) {
  const process = start(...args);

  await process.join_async(null);
  return process.exit_code;
}

async function ask(where, what) {
  const path = `${scratch}/answer`;

  equal(await exitCodeOf(where, `${TASKS}:write`, [path, what]), 0);
  return new TextDecoder().decode(GLib.file_get_contents(path)[1]);
}

// Whether a process is there and has not ended.
function lives(pid) {
  try {
    return !/^State:\s+[ZX]/m.test(
      new TextDecoder().decode(GLib.file_get_contents(`/proc/${pid}/status`)[1]));
  } catch {
    return false;
  }
}

async function until(condition, text) {
  const end = GLib.get_monotonic_time() + 20e6;

  while (!condition()) {
    check(GLib.get_monotonic_time() < end, text);
    await new Promise(resolve => GLib.timeout_add(GLib.PRIORITY_DEFAULT, 2, () => {
      resolve();
      return GLib.SOURCE_REMOVE;
    }));
  }
}

await run({
  async 'exit codes'() {
    for (const method of [Mp.StartMethod.FORKSERVER, Mp.StartMethod.SPAWN]) {
      const where = Mp.Context.new(method, Mp.Runtime.GJS);
      equal(await exitCodeOf(where, `${TASKS}:square`, 2), 0);
      equal(await exitCodeOf(where, `${TASKS}:later`, 2), 0);
      equal(await exitCodeOf(where, `${TASKS}:die`), 7);
      equal(await exitCodeOf(where, `${TASKS}:boom`, 'as it is told to'), 1);
      equal(await exitCodeOf(where, '/no/such/file.js:f'), 1);
    }
  },

  async 'surroundings, ahead or not'() {
    const environment = [...GLib.get_environ(), 'MP_TEST_VALUE=given'];
    const given = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.GJS);

    context.set_working_directory('/usr');
    equal(await ask(context, 'cwd'), '/usr');
    context.set_working_directory(null);
    equal(await ask(context, 'cwd'), GLib.get_current_dir());
    equal(await ask(context, 'env'), '(none)');
    // The interpreter that waits does not have it: another one is executed.
    GLib.setenv('MP_TEST_VALUE', 'changed', true);
    equal(await ask(context, 'env'), 'changed');
    GLib.unsetenv('MP_TEST_VALUE');
    equal(await ask(context, 'env'), '(none)');
    given.set_environment(environment);
    equal(await ask(given, 'env'), 'given');
    equal(await ask(given, 'env'), 'given');
  },

  async 'limits, also of an interpreter that is there already'() {
    const limited = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.GJS);

    limited.set_umask(0o27);
    limited.set_cpus([0]);
    limited.set_limit(Mp.Limit.FILES, 222);
    for (let i = 0; i < 2; i++) {
      equal(await ask(limited, 'umask'), '0027');
      equal(await ask(limited, 'cpus'), '0');
      equal(await ask(limited, 'files'), '222');
    }
    limited.set_limit(Mp.Limit.CPU_TIME, 1);
    const spinning = start(limited, `${TASKS}:spin`, 100000);
    await spinning.join_async(null);
    equal(spinning.limit_hit, Mp.Limit.CPU_TIME);
    check((await errorOf(() => spinning.check_exit())).matches(Mp.Error, Mp.Error.LIMIT), 'limit');
  },

  async 'a preloaded file'() {
    const preloading = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.GJS);

    equal(await ask(context, 'preloaded'), 'false');
    preloading.set_preload([`${folder}/preloaded.js`, '/no/such/file.js']);
    equal(await ask(preloading, 'preloaded'), 'true');
    equal(await ask(preloading, 'preloaded'), 'true');
  },

  async 'killed while it waits for a task, the next start does without'() {
    context.warm_up(null);
    const children = `/proc/${context.zygote_pid}/task/${context.zygote_pid}/children`;
    const spares = () => new TextDecoder().decode(GLib.file_get_contents(children)[1]).trim();

    for (let i = 0; i < 3; i++) {
      await until(() => /^\d+$/.test(spares()), 'an interpreter waits');
      const pid = spares();
      Gio.Subprocess.new(['kill', '-9', pid], Gio.SubprocessFlags.NONE).wait(null);
      await until(() => !GLib.file_test(`/proc/${pid}`, GLib.FileTest.EXISTS), 'it ends');
      equal(await exitCodeOf(context, `${TASKS}:square`, i), 0);
    }
  },

  async 'of three generations, the youngest ends with the middle one'() {
    const path = `${scratch}/child`;
    const middle = start(context, `${TASKS}:parent`, path);

    await until(() => GLib.file_test(path, GLib.FileTest.EXISTS), 'the child runs');
    const pid = Number(new TextDecoder().decode(GLib.file_get_contents(path)[1]));
    check(lives(pid), 'the child lives');
    middle.kill();
    await middle.join_async(null);
    equal(middle.exit_code, -9);
    await until(() => !lives(pid), 'the child ends');
  },

  async 'an interpreter that is not there: its package is named'() {
    const missing = Mp.Context.new(Mp.StartMethod.FORKSERVER, Mp.Runtime.GJS);

    missing.set_interpreter(['/no/such/gjs']);
    const error = await errorOf(() => start(missing, `${TASKS}:square`, 1));
    check(error.matches(Mp.Error, Mp.Error.NOT_FOUND), `${error}`);
    check(error.message.includes('/no/such/gjs') && error.message.includes('package gjs'),
      error.message);
    const forked = Mp.Context.new(Mp.StartMethod.FORK, Mp.Runtime.GJS);
    check((await errorOf(() => start(forked, `${TASKS}:square`, 1)))
      .matches(Mp.Error, Mp.Error.NOT_SUPPORTED), 'fork');
  },
});
