# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Interpreter start-up hook of the conformance runner.

run.py copies this file into the site-packages of a throw-away virtual
environment and a .pth line there calls install() at the start of *every*
interpreter launched through that environment's python: the process that runs
a test, the children the drop-in spawns, and the helper interpreters the suite
starts with -I or -E (which ignore PYTHONPATH but not a venv's site-packages).

Two things are installed:

* a finder that maps "test._test_multiprocessing" (and friends) to the copy of
  the suite chosen by run.py;
* when the module under test is not "multiprocessing" itself, an import hook
  that answers `import multiprocessing[.x]` *made by test code only* with a
  facade over the module under test.  Imports made by anybody else (the
  standard library, PyGObject, the drop-in itself) see the real package, so a
  drop-in that borrows, say, multiprocessing.reduction keeps working -- unless
  the run was started with --deny-stdlib, which makes such imports fail.

This file is imported by every interpreter: keep it light.
"""
import builtins
import sys

_TEST_MODULES = frozenset((
    "test._test_multiprocessing", "test.mp_preload", "test.mp_fork_bomb",
    "test.test_multiprocessing_fork", "test.test_multiprocessing_spawn",
    "test.test_multiprocessing_forkserver",
    "test.test_multiprocessing_main_handling",
))
# `python -c "from multiprocessing.spawn import spawn_main; ..."`: how the
# standard library starts its own helpers.  If the drop-in builds on the
# standard library these must reach the real thing.
_STDLIB_HELPERS = frozenset(("spawn", "forkserver", "resource_tracker"))

config = None
_real_import = builtins.__import__


def _is_test_code(name, glob):
    if glob is None:
        return False
    modname = glob.get("__name__")
    if modname in _TEST_MODULES:
        return True
    if isinstance(modname, str) and modname.startswith("mpconf_cases"):
        return True
    filename = glob.get("__file__")
    if modname in ("__main__", "__mp_main__") and filename is None:
        if name[16:] in _STDLIB_HELPERS:
            import mpconf_alias
            return mpconf_alias.provides(name[16:])
        return True                       # python -c ...
    if isinstance(filename, str):
        return filename.startswith((config.WORK, config.SUITE_DIR))
    return False


def _import(name, globals=None, locals=None, fromlist=(), level=0):
    if (level == 0 and name.startswith("multiprocessing")
            and (len(name) == 15 or name[15] == ".")
            and _is_test_code(name, globals)):
        import mpconf_alias
        return mpconf_alias.import_(name, fromlist)
    return _real_import(name, globals, locals, fromlist, level)


class _Finder:
    """Maps suite modules to files; optionally denies the stdlib package."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in config.SUITE_MAP:
            import mpconf_alias
            return mpconf_alias.suite_spec(fullname, config.SUITE_MAP[fullname])
        if config.DENY_STDLIB and (fullname == "multiprocessing"
                                   or fullname.startswith("multiprocessing.")):
            raise ImportError("the stdlib package %r is denied to the module "
                              "under test (--deny-stdlib)" % fullname)
        return None


def install():
    global config
    if config is not None:
        return
    import mpconf_config
    config = mpconf_config
    if config.SUITE_MAP or config.DENY_STDLIB:
        sys.meta_path.insert(0, _Finder)
    if config.MODULE != "multiprocessing":
        builtins.__import__ = _import
