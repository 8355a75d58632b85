/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* boost::interprocess::message_queue. */

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstdio>
#include <string>
#include <unistd.h>

#include "bench-peers.h"

using boost::interprocess::message_queue;

static void *
peer_open (size_t size, unsigned n_messages)
{
  std::string name = "libmp-bench-" + std::to_string (getpid ());
  message_queue *queue = nullptr;

  try
    {
      message_queue::remove (name.c_str ());
      queue = new message_queue (boost::interprocess::create_only, name.c_str (), n_messages, size);
    }
  catch (const std::exception &error)
    {
      std::fprintf (stderr, "boost: %s\n", error.what ());
    }
  /* Who has it mapped keeps it; the children are forked. */
  message_queue::remove (name.c_str ());
  return queue;
}

static void
peer_put (void *self, const void *data, size_t size)
{
  static_cast<message_queue *> (self)->send (data, size, 0);
}

static void
peer_get (void *self, void *data, size_t size)
{
  message_queue::size_type length;
  unsigned priority;

  static_cast<message_queue *> (self)->receive (data, size, length, priority);
}

static void
peer_close (void *self)
{
  delete static_cast<message_queue *> (self);
}

extern "C" const BenchPeer bench_peer_boost = { "boost", 0, peer_open, peer_put, peer_get,
                                                peer_close };
