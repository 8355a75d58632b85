# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""multiprocessing.dummy: the same names over threads.

There is no process in it and nothing to do better, so it is the standard library's own.
"""

import sys
import multiprocessing.dummy
import multiprocessing.dummy.connection

sys.modules[__name__] = multiprocessing.dummy
sys.modules[__name__ + ".connection"] = multiprocessing.dummy.connection
