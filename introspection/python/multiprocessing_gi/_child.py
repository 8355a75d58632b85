# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What happens in a process that libmp has started for Python, before and after its task.

The zygote (_zygote.py) calls prepare_zygote() once, and run() in each process it
forks; an interpreter that was started afresh calls spawn_main().
"""

import importlib
import io
import os
import pickle
import runpy
import signal
import sys
import traceback
import types

from . import context, process, util
from ._raw import GLib
from ._serialize import GVARIANT, decode, fd_list_from, inheriting, loads

__all__ = ["run", "prepare_zygote", "spawn_main"]

WORKER_TASK = "multiprocessing_gi._worker:main"


def run(task, codec, data, fds, preparation):
    """Runs a task in this process, which is there for nothing else; gives the exit code.

    task names it, data and codec are its argument, fds the descriptors that came with
    it (now owned here), preparation is what the context was given for its processes.
    """
    _restore_interpreter()
    fd_list = fd_list_from(fds) if fds else None
    try:
        if task == context.PROCESS_TASK:
            return _run_process(data, fd_list)
        if task == WORKER_TASK:
            from . import _worker
            return _worker.main(variant_of(data, codec), fd_list, preparation)
        return _run_function(task, data, codec, preparation)
    except SystemExit as error:
        return process.exit_code_of(error)
    except BaseException:
        _print_failure(process.current_process().name)
        return 1
    finally:
        util.flush_std_streams()


def spawn_main():
    """What an interpreter executes that was started afresh for one task."""
    from ._zygote import take_start
    sys.exit(run(*take_start()))


def variant_of(data, codec):
    """The GLib.Variant of a payload; None if there is none."""
    if codec != GVARIANT or not data:
        return None
    boxed = GLib.Variant.new_from_bytes(GLib.VariantType("v"), GLib.Bytes.new(data), False)
    return boxed.get_variant()


def _print_failure(name):
    try:
        sys.stderr.write(f"Process {name}:\n")
        traceback.print_exc()
    except (AttributeError, ValueError, OSError):
        pass


def _restore_interpreter():
    """Gives a forked process the signals and streams of a fresh one."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    util.forget_parent()
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _open_standard(fd, mode))
        elif mode == "w" and hasattr(stream, "reconfigure"):
            # The one it was made for may have been another kind of file.
            try:
                stream.reconfigure(line_buffering=fd == 2 or os.isatty(fd))
            except (ValueError, OSError):
                pass


def _open_standard(fd, mode):
    """A stream on a standard descriptor; None where there is no such descriptor."""
    try:
        os.fstat(fd)
        return open(fd, mode, closefd=False, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None


def _run_process(data, fd_list):
    """Runs a process object: the two pickles of context.start_process()."""
    stream = io.BytesIO(data)
    current = process.current_process()
    current._inheriting = True
    try:
        preparation = pickle.load(stream)
        prepare(preparation)
        with inheriting(fd_list):
            obj = pickle.load(stream)
    finally:
        del current._inheriting
    return obj._bootstrap(*preparation["parent"])


def _run_function(task, data, codec, preparation):
    """Calls "package.module:function" for a program in another language."""
    apply_preparation(preparation)
    obj = process.BaseProcess(name=task)
    arguments = () if not data else (decode(data, codec),)
    obj._target, obj._args = _call_by_name, (task, arguments)
    return obj._bootstrap(os.getppid(), "parent")


def _call_by_name(task, arguments):
    find_function(task)(*arguments)


class FunctionNotFoundError(LookupError):
    """There is no such module, or no such function in it."""


def find_function(name):
    """The callable named "package.module:function"."""
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise ValueError(f"{name!r} does not name a function: it must be "
                         "'package.module:function'")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise FunctionNotFoundError(f"No module named {error.name!r}") from error
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise FunctionNotFoundError(f"module {module_name!r} has no {path!r}") from error
    if not callable(found):
        raise TypeError(f"{name!r} is not callable")
    return found


# Becoming like the parent.


def apply_preparation(pickled):
    """prepare() from the bytes that a context hands to its processes; None for none."""
    if pickled:
        current = process.current_process()
        current._inheriting = True
        try:
            prepare(loads(bytes(pickled)))
        finally:
            del current._inheriting


def prepare(data):
    """Makes this process like the one that made data with context.prepare_data()."""
    if data["name"] is not None:
        process.current_process().name = data["name"]
    process.current_process().authkey = data["authkey"]
    util.restore_logging(data["logging"])
    sys.path[:] = data["sys_path"]
    sys.argv[:] = data["sys_argv"]
    process.ORIGINAL_DIR = data["original_dir"]
    context._starter.restore(data["starter"])
    if data["dir"] is not None:
        try:
            os.chdir(data["dir"])
        except OSError:
            pass
    context._default_context.set_start_method(data["start_method"], force=True)
    if data["main"] is not None:
        import_main(*data["main"])
    if sys.modules["__main__"].__name__ != "__mp_main__":
        # Nobody must find what the zygote has there.
        sys.modules["__main__"] = sys.modules["__mp_main__"] = _NoMain("__main__")


class _NoMain(types.ModuleType):
    """In the place of a main module that cannot be imported."""

    def __repr__(self):
        return ("<module '__main__' of a program that is no file: what was defined with -c, on "
                "standard input or in a package's __main__ cannot be imported by its children>")


def import_main(kind, value):
    """Imports the parent's main module as __mp_main__, unless that has been done."""
    current = sys.modules["__main__"]
    if kind == "name":
        # A package's, folder's or archive's __main__ has no guard and is not for import.
        if value == "__main__" or value.endswith(".__main__"):
            return
        if getattr(getattr(current, "__spec__", None), "name", None) == value:
            return
        content = runpy.run_module(value, run_name="__mp_main__", alter_sys=True)
    else:
        name = os.path.splitext(os.path.basename(value))[0]
        if name == "__main__":
            name = os.path.basename(os.path.dirname(value))
        if name == "ipython" or getattr(current, "__file__", None) == value:
            return
        content = runpy.run_path(value, run_name="__mp_main__")
    main = types.ModuleType("__mp_main__")
    main.__dict__.update(content)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main


def prepare_zygote(preparation):
    """Prepares the process whose forks are to run Python: called once, before any fork.

    A main module that cannot be imported here is left to the forked processes, which
    report what is wrong with it where it can be seen.
    """
    data = loads(bytes(preparation))
    # The rest is for each process to take over.
    data.update(name=None, logging=(None, False))
    main, data["main"] = data["main"], None
    prepare(data)
    if main is None or not data.get("preload_main"):
        return
    current = process.current_process()
    current._inheriting = True
    try:
        import_main(*main)
    except BaseException:
        pass
    finally:
        del current._inheriting
        util.flush_std_streams()
