# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The Python face of libmp: the classes of multiprocessing_gi in the place of the
introspected ones, which stay reachable as Mp.raw.Pool, Mp.raw.Queue and so on."""

from gi.module import get_introspection_module

raw = get_introspection_module("Mp")

# Made before this module has others under their names: PyGObject looks a class up
# by name when it meets the first object of a type, such as a queue from a handle.
for _name in dir(raw):
    getattr(raw, _name)

import multiprocessing_gi as _package  # noqa: E402
from multiprocessing_gi import *  # noqa: E402,F401,F403
from multiprocessing_gi.shared_memory import ShareableList, SharedMemory  # noqa: E402,F401

__all__ = ["raw", "ShareableList", "SharedMemory"] + _package.__all__
