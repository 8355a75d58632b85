# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""How objects are turned into bytes to travel; register() adds reducers for types.

The table of reducers is the standard library's, so that what other packages
have registered with multiprocessing counts here too.
"""

# Descriptors over a socket are sent by the standard library's own functions.
from multiprocessing.reduction import (HAVE_SEND_HANDLE, AbstractReducer, ForkingPickler,
                                       recv_handle, recvfds, send_handle, sendfds)

from ._serialize import dumps
from .resource_sharer import DupFd

__all__ = ["HAVE_SEND_HANDLE", "AbstractReducer", "DupFd", "ForkingPickler", "dump", "dumps",
           "recv_handle", "recvfds", "register", "send_handle", "sendfds"]

register = ForkingPickler.register


def dump(obj, file, protocol=None):
    """Pickles obj into a file with the registered reducers."""
    ForkingPickler(file, protocol).dump(obj)
