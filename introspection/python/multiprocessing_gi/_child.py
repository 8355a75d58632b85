# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""What happens in a process that libmp has started for Python, before and after its task.

The zygote (_zygote.py) calls prepare_zygote() once, and run() in each process it
forks; an interpreter that was started afresh calls spawn_main().
"""

import _signal
import importlib
import io
import os
import pickle
import runpy
import sys
import traceback
import types

from . import context, process, util
from ._serialize import decode, inheriting, loads

__all__ = ["run", "prepare_zygote", "spawn_main"]

WORKER_TASK = "multiprocessing_gi._worker:main"


def run(task, codec, data, fds, preparation):
    """Runs a task in this process, which is there for nothing else; gives the exit code.

    task names it, data and codec are its argument, fds the descriptors that came with
    it (now owned here), preparation is what the context was given for its processes.
    """
    _restore_interpreter()
    try:
        if task == context.PROCESS_TASK:
            return _run_process(data, fds, preparation)
        if task == WORKER_TASK:
            import multiprocessing_gi._worker as worker
            return worker.main(data, fds, preparation)
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


def run_frozen():
    """What freeze_support() does: nothing, in a process that its user started."""
    if "MP_ZYGOTE" in os.environ:
        from . import _zygote
        _zygote.main()
    elif "MP_START" in os.environ:
        spawn_main()


def complain(text):
    """Writes to the standard error, if there is one."""
    try:
        sys.stderr.write(text)
    except (AttributeError, ValueError, OSError):
        pass


def _print_failure(name):
    complain(f"Process {name}:\n{traceback.format_exc()}")


def _restore_interpreter():
    """Gives a forked process the signals and streams of a fresh one."""
    if _signal.getsignal(_signal.SIGINT) is not _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    util.forget_parent()
    if sys.stdin is None:
        sys.stdin = _open_standard(0, "r")
    if sys.stdout is None:
        sys.stdout = _open_standard(1, "w")
    else:
        # The file it was made for may have been another kind.
        try:
            by_line = os.isatty(1)
            if sys.stdout.line_buffering != by_line:
                sys.stdout.reconfigure(line_buffering=by_line)
        except (AttributeError, ValueError, OSError):
            pass
    if sys.stderr is None:
        sys.stderr = _open_standard(2, "w")


def _open_standard(fd, mode):
    """A stream on a standard descriptor; None where there is no such descriptor."""
    try:
        os.fstat(fd)
        return open(fd, mode, closefd=False, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None


def _run_process(data, fds, preparation):
    """Runs a process object: the two pickles of context.start_process()."""
    stream = io.BytesIO(data)
    changes, parent = pickle.load(stream)
    prepare_like(preparation, changes)
    current = process.current_process()
    current._inheriting = True
    try:
        with inheriting(fds):
            obj = pickle.load(stream)
    finally:
        del current._inheriting
    return obj._bootstrap(*parent)


def _run_function(task, data, codec, preparation):
    """Calls "package.module:function" for a program in another language."""
    prepare_like(preparation, {})
    obj = context.Process(name=task)
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
        raise FunctionNotFoundError(f"No module named {error.name!r}, for the function "
                                    f"{path!r}") from error
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise FunctionNotFoundError(f"module {module_name!r} has no {path!r}") from error
    if not callable(found):
        raise TypeError(f"{name!r} is not callable")
    return found


# Becoming like the parent.


# A preparation that this process has from its zygote, and what is left of it to be done.
_prepared = None
_left = {}


def prepare_like(pickled, changes):
    """Makes this process like the one that started it.

    That is as context.prepare_data() told when it made the context (None: it did not), but
    for some changes.
    """
    if pickled is None:
        data = changes
    elif pickled is _prepared:
        data = {**_left, **changes}
    else:
        data = {**loads(bytes(pickled)), **changes}
    if data:
        current = process.current_process()
        current._inheriting = True
        try:
            prepare(data)
        finally:
            del current._inheriting


def prepare(data):
    """Makes this process like the one that made data, or a part of it, with prepare_data()."""
    current = process.current_process()
    if data.get("name") is not None:
        current.name = data["name"]
    if "authkey" in data:
        current.authkey = data["authkey"]
    if "logging" in data:
        util.restore_logging(data["logging"])
    if "sys_path" in data:
        sys.path[:] = data["sys_path"]
    if "sys_argv" in data:
        sys.argv[:] = data["sys_argv"]
    if "original_dir" in data:
        process.ORIGINAL_DIR = data["original_dir"]
    if "starter" in data:
        context._starter.restore(data["starter"])
    if data.get("dir") is not None:
        try:
            os.chdir(data["dir"])
        except OSError:
            pass
    if "start_method" in data:
        context._default_context.set_start_method(data["start_method"], force=True)
    if "main" in data:
        _take_main(data["main"], data.get("frozen"))


def _take_main(main, frozen):
    """Has the main module of the parent in the place of this one's."""
    if main is not None:
        try:
            import_main(*main)
        except Exception as error:
            raise MainModuleError(f"the main module {main[1]!r} cannot be imported in a "
                                  f"child: {type(error).__name__}: {error}") from error
    if frozen:
        # It has run as far as freeze_support() already.
        sys.modules["__mp_main__"] = sys.modules["__main__"]
    elif sys.modules["__main__"].__name__ != "__mp_main__":
        # Nobody must find what the zygote has there.
        sys.modules["__main__"] = sys.modules["__mp_main__"] = _NoMain("__main__")


class MainModuleError(ImportError):
    """What the parent has as its main module raises when a child imports it."""


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


def prepare_zygote(preparation, with_main):
    """Prepares the process whose forks are to run Python: called once, before any fork.

    A main module that cannot be imported here is left to the forked processes, which
    report what is wrong with it where it can be seen.
    """
    data = loads(bytes(preparation))
    prepare({**data, "name": None, "logging": (None, False), "main": None})
    if data["main"] is None or not (with_main and data.get("preload_main")):
        return
    current = process.current_process()
    current._inheriting = True
    try:
        import_main(*data["main"])
    except BaseException:
        pass
    finally:
        del current._inheriting
        util.flush_std_streams()


def finish_zygote(preparation):
    """Called when everything is imported: what is prepared here need not be in each fork."""
    global _prepared, _left
    data = loads(bytes(preparation))
    # Modules may have changed what is the parent's to say.
    prepare({**data, "name": None, "logging": (None, False), "main": None})
    _left = {} if data["logging"] == (None, False) else {"logging": data["logging"]}
    if data["main"] is not None and sys.modules["__main__"].__name__ != "__mp_main__":
        _left.update(main=data["main"], frozen=data["frozen"])
    _prepared = preparation
