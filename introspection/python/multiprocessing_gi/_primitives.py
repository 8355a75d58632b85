# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What is called most often: in C where the accelerator is there, else over introspection.

The accelerator is an extension module, _multiprocessing_gi. With MP_ACCELERATOR=0 in the
environment it is not used.
"""

import functools
import os

from ._pure import Barrier, Condition

__all__ = ["ACCELERATED", "Barrier", "Condition", "Event", "Lock", "Queue", "RLock",
           "Semaphore", "Synchronized", "Worker", "announce_link", "fork_child",
           "locked_attribute", "push_parts", "read_start", "receive_message", "receive_soon",
           "receive_start", "send_message", "taker_of"]

ACCELERATED = os.environ.get("MP_ACCELERATOR", "1") != "0"
if ACCELERATED:
    try:
        from _multiprocessing_gi import (Event, Lock, Queue, RLock, Semaphore, Synchronized,
                                         Worker, announce_link, fork_child, locked_attribute,
                                         push_parts, read_start, receive_message,
                                         receive_soon, receive_start, send_message,
                                         take_result)
    except ImportError:
        ACCELERATED = False
if not ACCELERATED:
    from ._pure import (Event, Lock, Queue, RLock, Semaphore, Synchronized,  # noqa: F401
                        Worker, announce_link, fork_child, locked_attribute, push_parts,
                        read_start, receive_message, receive_soon, receive_start, send_message,
                        taker_of)
else:
    def taker_of(job):
        """What gives (memory, codec) of the long result of an index, or None; no Python code."""
        return functools.partial(take_result, job)
