/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* What a Vala program sees: errors as exceptions, async as yield. */
async int64 take (Mp.Queue queue) throws Error {
  var item = yield queue.get_async (null);
  return item.get_int64 ();
}

int main (string[] args) {
  var loop = new MainLoop ();
  try {
    var queue = new Mp.Queue (0, 0);
    queue.put (new Variant.int64 (42), -1, null);
    take.begin (queue, (source, result) => {
      try {
        assert (take.end (result) == 42);
      } catch (Error error) {
        assert_not_reached ();
      }
      loop.quit ();
    });
    loop.run ();
    assert (queue.length == 0);
    try {
      queue.get (0, null);
      assert_not_reached ();
    } catch (Mp.Error.EMPTY error) {
      return 0;
    }
  } catch (Error error) {
    stderr.printf ("%s\n", error.message);
  }
  return 1;
}
