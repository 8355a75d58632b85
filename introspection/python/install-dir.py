# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""install-dir.py PREFIX: print where below a prefix this Python looks for packages."""

import os
import site
import sys
import sysconfig


def package_dir(prefix):
    """Where `site` looks, else the place that has this name below any prefix."""
    for directory in site.getsitepackages():
        if os.path.dirname(os.path.dirname(directory)) in (os.path.join(prefix, 'lib'),
                                                           prefix):
            return directory
    return sysconfig.get_path('purelib', 'posix_prefix', {'base': prefix})


if __name__ == '__main__':
    print(package_dir(sys.argv[1]))
