# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What a process can be given beside its task: limits, processors, streams; by keyword."""

import os
import subprocess
from collections.abc import Mapping

from ._options import integer
from ._raw import Mp

__all__ = ["Surroundings", "Streams", "split"]

_LIMITS = {"memory": Mp.Limit.MEMORY, "address_space": Mp.Limit.ADDRESS_SPACE,
           "cpu_time": Mp.Limit.CPU_TIME, "files": Mp.Limit.FILES,
           "processes": Mp.Limit.PROCESSES, "file_size": Mp.Limit.FILE_SIZE,
           "core": Mp.Limit.CORE, "stack": Mp.Limit.STACK}
_SURROUNDINGS = ("umask", "nice", "cpus", "limits", "outlive_parent")
_STREAMS = ("stdin", "stdout", "stderr")
_HOW = {subprocess.DEVNULL: Mp.Stdio.NULL, subprocess.PIPE: Mp.Stdio.PIPE,
        subprocess.STDOUT: Mp.Stdio.STDOUT}
_MAX_CPU = 8191
_MAX_LIMIT = (1 << 63) - 1
_MAX_FD = (1 << 31) - 1


def _limits(limits):
    if not isinstance(limits, Mapping):
        raise TypeError(f"limits must be a dictionary, not {type(limits).__name__}")
    for name, value in limits.items():
        if name not in _LIMITS:
            raise ValueError(f"there is no limit {name!r}, only {', '.join(_LIMITS)}")
        yield _LIMITS[name], integer(f"the limit {name!r}", value, 0, _MAX_LIMIT)


class Surroundings:
    """What a Mp.raw.Context has for its processes."""

    def __init__(self, umask=None, nice=None, cpus=None, limits=None, outlive_parent=None):
        self._umask = None if umask is None else integer("umask", umask, 0, 0o777)
        self._nice = None if nice is None else integer("nice", nice, -40, 40)
        self._cpus = None if cpus is None else sorted({integer("a processor", cpu, 0, _MAX_CPU)
                                                       for cpu in cpus})
        if self._cpus == []:
            raise ValueError("cpus must name a processor")
        self._limits = dict(_limits(limits or {}))
        self._outlive_parent = outlive_parent

    def apply_to(self, base):
        """A context like base, with these. It has the same zygote."""
        context = Mp.Context.new(base.get_start_method(), base.get_runtime())
        context.set_interpreter(base.get_interpreter())
        if base.get_environment():
            # None is that of this process.
            context.set_environment(base.get_environment())
        context.set_working_directory(base.get_working_directory())
        if base.get_start_method() == Mp.StartMethod.FORKSERVER:
            context.set_preload(base.get_preload())
        context.set_preparation(base.get_preparation())
        context.set_umask(base.get_umask() if self._umask is None else self._umask)
        context.set_nice(base.get_nice() if self._nice is None else self._nice)
        context.set_cpus(base.get_cpus() if self._cpus is None else self._cpus)
        context.set_outlive_parent(base.get_outlive_parent() if self._outlive_parent is None
                                   else bool(self._outlive_parent))
        for limit in _LIMITS.values():
            context.set_limit(limit, self._limits.get(limit, base.get_limit(limit)))
        return context


class Streams:
    """The standard streams of a process."""

    def __init__(self, **given):
        self._given = given
        self._listeners = {}
        for name, how in given.items():
            if how == subprocess.STDOUT and isinstance(how, int) and name != "stderr":
                raise ValueError(f"{name} cannot be STDOUT, which is for stderr")
            if callable(how) and name == "stdin":
                raise TypeError("stdin is nothing that a function could be called with")
            if isinstance(how, int):
                integer(name, how, min(_HOW), _MAX_FD)
            elif not (callable(how) or isinstance(how, (str, bytes, os.PathLike)) or
                      hasattr(how, "fileno")):
                raise TypeError(f"{name} cannot be {type(how).__name__}")

    def prepare(self, gobject):
        """Tells a process that is about to start."""
        for name, how in self._given.items():
            number = _STREAMS.index(name)
            if callable(how):
                gobject.set_stdio(number, Mp.Stdio.LINES)
                self._listeners[number] = how
            elif isinstance(how, int) and how in _HOW:
                gobject.set_stdio(number, _HOW[how])
            elif isinstance(how, (str, bytes, os.PathLike)):
                gobject.set_stdio_file(number, os.fsdecode(how), False)
            else:
                gobject.set_stdio_fd(number, how if isinstance(how, int) else how.fileno())
        if self._listeners:
            gobject.connect("line", self._tell)

    def _tell(self, _gobject, stream, text):
        if stream in self._listeners:
            self._listeners[stream](text)

    def pipes(self, gobject):
        """(name, binary file) of each stream of a started process that is a pipe."""
        for name, how in self._given.items():
            if isinstance(how, int) and how == subprocess.PIPE:
                stream = getattr(gobject, f"get_{name}_stream")()
                file = open(os.dup(stream.get_fd()), "wb" if name == "stdin" else "rb")
                stream.close(None)
                yield name, file


def split(options, what):
    """The Surroundings and Streams of keyword arguments; None each if there are none."""
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if name not in _SURROUNDINGS and name not in _STREAMS:
            raise TypeError(f"{what} has no keyword {name!r}")
    surroundings = {name: options[name] for name in _SURROUNDINGS if name in options}
    streams = {name: options[name] for name in _STREAMS if name in options}
    return (Surroundings(**surroundings) if surroundings else None,
            Streams(**streams) if streams else None)
