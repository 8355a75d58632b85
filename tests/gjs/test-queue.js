// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 the libmp authors

// Queues that carry descriptors, and what is shared by such.

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import Mp from 'gi://Mp?version=1';

import {check, equal, run} from './tap.js';

await run({
  async 'every asynchronous method gives a promise'() {
    const [, text] = GLib.file_get_contents(`${GLib.getenv('MP_BUILDDIR')}/libmp/Mp-1.gir`);
    let type = null;
    let n = 0;

    for (const [, tag, name] of new TextDecoder().decode(text)
      .matchAll(/<(class|interface|record|method|function) name="(\w+)"/g)) {
      if (!['method', 'function'].includes(tag)) {
        type = name;
      } else if (name.endsWith('_async')) {
        const owner = tag === 'method' ? Mp[type].prototype : Mp[type];
        check(`_original_${name}` in owner, `${type}.${name}() without a callback is a promise`);
        n++;
      }
    }
    check(n > 20, `there are more than ${n}`);
  },

  async 'leases and the end of work are waited for by promises'() {
    const queue = Mp.Queue.new(0, 0);

    const leased = queue.get_leased_async(null);
    queue.put(new GLib.Variant('s', 'work'), -1, null);
    let joined = false;
    const end = queue.join_async(null).then(() => (joined = true));
    const lease = await leased;
    check(!joined, 'it is not done yet');
    lease.ack();
    await end;
  },

  async 'objects are put and taken by promises'() {
    const queue = Mp.Queue.new_carrying_fds(0, 0);
    const semaphore = Mp.Semaphore.new(0, Mp.SemaphoreFlags.NONE);
    const got = queue.get_shareable_async(null);

    check(queue.carries_fds, 'it carries descriptors');
    await queue.put_shareable_async(semaphore, null);
    (await got).release(3);
    equal(semaphore.get_value(), 3);
  },

  async 'descriptors go with values'() {
    const queue = Mp.Queue.new_carrying_fds(0, 0);
    const [, , stdin, stdout] = GLib.spawn_async_with_pipes(null, ['cat'], null,
      GLib.SpawnFlags.SEARCH_PATH, null);
    const list = Gio.UnixFDList.new_from_array([stdin]);

    await queue.put_with_fds_async(new GLib.Variant('(sh)', ['cat', 0]), list, null);
    list.steal_fds().forEach(fd => GLib.close(fd));
    const [value, received] = await queue.get_with_fds_async(null);
    equal(value.recursiveUnpack(), ['cat', 0]);
    const [fd] = received.steal_fds();
    const stream = new Gio.DataOutputStream({
      base_stream: new Gio.UnixOutputStream({fd, close_fd: true}),
    });
    stream.put_string('meow\n', null);
    stream.close(null);
    const lines = new Gio.DataInputStream({
      base_stream: new Gio.UnixInputStream({fd: stdout, close_fd: true}),
    });
    equal(lines.read_line_utf8(null)[0], 'meow');
    // Nobody else has the other end.
    equal(lines.read_line_utf8(null)[0], null);
  },
});
