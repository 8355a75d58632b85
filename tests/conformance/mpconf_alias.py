# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Facades that stand for `multiprocessing` and its submodules in test code.

A drop-in rarely has the exact module layout of CPython.  multiprocessing.S.X
is looked up, in this order:

1. the drop-in's own submodule S: named with run.py --submodule S=MODULE, or
   attribute S of the drop-in, or importable as DROPIN.S;
2. for submodules whose documented contents also make sense in a flat
   namespace (FLAT below): attribute X of the drop-in itself;
3. for private names that only the suite's scaffolding needs (set-up,
   tear-down, module-level constants): a harmless placeholder;
4. while the suite is being imported: a Missing object, so that one absent
   name does not prevent every other test from running.  Calling it in a test
   raises ConformanceMissing, reported as status "missing".

Otherwise AttributeError / ImportError, as for any module, in subclasses that
are reported as "missing" too.
"""
import importlib
import importlib.machinery
import importlib.util
import sys
import types

import mpconf_config as config

LENIENT = False
RECORD = {"submodules": {}, "flat": set(), "placeholders": set(),
          "missing": set()}

KNOWN = ("connection context dummy forkserver heap managers pool popen_fork "
         "popen_forkserver popen_spawn_posix process queues reduction "
         "resource_sharer resource_tracker shared_memory sharedctypes spawn "
         "synchronize util").split()
FLAT = frozenset("connection context managers pool process queues "
                 "shared_memory sharedctypes synchronize".split())


_ROUTINES = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


class ConformanceMissing(Exception):
    """The drop-in lacks a name that the running test needs."""


class ConformanceMissingName(AttributeError):
    """The same, where AttributeError is expected (hasattr, getattr)."""


class ConformanceMissingModule(ModuleNotFoundError):
    """The same, where ImportError is expected."""


# --------------------------------------------------------------------------
# placeholders for scaffolding

def _placeholder_table():
    import tempfile
    import weakref

    def nothing(*args, **kwds):
        return None

    return {
        ("process", "_dangling"): weakref.WeakSet(),
        ("process", "_cleanup"): nothing,
        ("util", "SUBWARNING"): 25,
        ("util", "DEBUG"): 10,
        ("util", "abstract_sockets_supported"): sys.platform == "linux",
        ("util", "get_temp_dir"): tempfile.gettempdir,
        ("util", "_cleanup_tests"): nothing,
        ("reduction", "HAVE_SEND_HANDLE"): True,
        ("resource_sharer", "stop"): nothing,
        ("connection", "families"): ["AF_INET", "AF_UNIX"],
    }


_placeholders = None


def _placeholder(sub, name):
    global _placeholders
    if _placeholders is None:
        _placeholders = _placeholder_table()
    return _placeholders.get((sub, name), _placeholders)


def _has_placeholders(sub):
    _placeholder(sub, "")
    return any(s == sub for s, _ in _placeholders)


# --------------------------------------------------------------------------
# Missing

class _MissingMeta(type):
    def __getattr__(cls, name):
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return _missing("%s.%s" % (cls._path, name))

    def __call__(cls, *args, **kwds):
        if LENIENT or _in_set_up(sys._getframe(1)):
            return None
        raise ConformanceMissing("%s has no %s"
                                 % (config.MODULE, cls._path))


def _in_set_up(frame):
    """What the suite makes while it is set up is not what a test is about."""
    return frame.f_code.co_name == "setUpModule"


def _missing(path):
    RECORD["missing"].add(path)
    return _MissingMeta("Missing", (), {"_path": path,
                                        "__module__": __name__})


# --------------------------------------------------------------------------
# facades

_top_target = None
_facades = {}


def top_target():
    global _top_target
    if _top_target is None:
        if config.GI_VERSIONS:
            import gi
            for namespace, version in config.GI_VERSIONS.items():
                gi.require_version(namespace, version)
        _top_target = importlib.import_module(config.MODULE)
    return _top_target


def _find_sub(sub):
    """The drop-in's object for multiprocessing.<sub>, or None."""
    top = top_target()
    if sub in config.SUBMODULES:
        return importlib.import_module(config.SUBMODULES[sub])
    obj = top
    for part in sub.split("."):
        obj = getattr(obj, part, None)
        if obj is None:
            break
    if obj is not None and not isinstance(obj, _ROUTINES):
        return obj
    name = "%s.%s" % (config.MODULE, sub)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name and (exc.name == name or name.startswith(exc.name + ".")):
            return None
        raise


_subs = {}


def sub_target(sub):
    if sub not in _subs:
        _subs[sub] = _find_sub(sub)
        RECORD["submodules"][sub] = (
            None if _subs[sub] is None
            else getattr(_subs[sub], "__name__", repr(type(_subs[sub]))))
    return _subs[sub]


def provides(sub):
    return sub_target(sub) is not None


class _Facade(types.ModuleType):
    def __init__(self, sub):
        target = top_target() if not sub else sub_target(sub)
        # Not "multiprocessing...": `from M import X` falls back to
        # sys.modules[M.__name__ + ".X"], which must not find the stdlib.
        name = getattr(target, "__name__", None) or "mpconf.missing." + sub
        super().__init__(name)
        d = self.__dict__
        d.pop("__doc__", None)
        d["_mpconf_sub"] = sub
        d["_mpconf_target"] = target

    def __getattr__(self, name):
        sub = self.__dict__["_mpconf_sub"]
        target = self.__dict__["_mpconf_target"]
        dunder = name.startswith("__") and name.endswith("__")
        if not sub and name in KNOWN:
            return facade(name)
        if sub == "dummy" and name == "connection":
            return facade("dummy.connection")
        if target is not None:
            try:
                return getattr(target, name)
            except AttributeError:
                pass
        if dunder:
            raise AttributeError(name)
        if sub in FLAT:
            try:
                value = getattr(top_target(), name)
            except AttributeError:
                pass
            else:
                RECORD["flat"].add("%s.%s" % (sub, name))
                return value
        value = _placeholder(sub, name)
        if value is not _placeholders:
            RECORD["placeholders"].add("%s.%s" % (sub, name))
            return value
        path = ".".join(filter(None, ("multiprocessing", sub, name)))
        if LENIENT or _in_set_up(sys._getframe(1)):
            return _missing(path)
        RECORD["missing"].add(path)
        raise ConformanceMissingName("%s, standing for %s, has no attribute %r" % (
            config.MODULE, ".".join(filter(None, ("multiprocessing", sub))),
            name))

    def __setattr__(self, name, value):
        target = self.__dict__.get("_mpconf_target")
        if target is None or name.startswith("__"):
            self.__dict__[name] = value
        else:
            setattr(target, name, value)

    def __delattr__(self, name):
        target = self.__dict__.get("_mpconf_target")
        if target is None or name.startswith("__"):
            super().__delattr__(name)
        else:
            delattr(target, name)

    def __dir__(self):
        return dir(self.__dict__["_mpconf_target"])


def facade(sub):
    if sub not in _facades:
        if (sub and sub_target(sub) is None and sub not in FLAT
                and not _has_placeholders(sub) and not LENIENT):
            RECORD["missing"].add("multiprocessing." + sub)
            raise ConformanceMissingModule(
                "%s has no counterpart of multiprocessing.%s"
                % (config.MODULE, sub), name="multiprocessing." + sub)
        _facades[sub] = _Facade(sub)
    return _facades[sub]


def import_(name, fromlist):
    sub = name[16:]
    top = facade("")
    if not sub:
        return top
    for i in range(sub.count(".") + 1):
        leaf = facade(sub if i == sub.count(".") else sub.split(".")[0])
    return leaf if fromlist else top


# --------------------------------------------------------------------------
# the suite

def _shim_support():
    """What newer suites expect of test.support, for an older test.support."""
    import time
    from test import support
    if not hasattr(support, "HAVE_ASAN_FORK_BUG"):
        support.HAVE_ASAN_FORK_BUG = support.check_sanitizer(address=True)
    if not hasattr(support, "sleeping_retry"):
        def sleeping_retry(timeout, err_msg=None, /, *, init_delay=0.010,
                           max_delay=1.0, error=True):
            deadline = time.monotonic() + timeout
            delay = init_delay
            while True:
                yield
                if time.monotonic() >= deadline:
                    break
                time.sleep(delay)
                delay = min(delay * 2, max_delay)
            if error:
                raise AssertionError(err_msg or "timed out")
        support.sleeping_retry = sleeping_retry
    if config.MODULE != "multiprocessing":
        # It would import the stdlib package into the test process.
        support.skip_if_broken_multiprocessing_synchronize = lambda: None


class _SuiteLoader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        global LENIENT
        _shim_support()
        LENIENT = config.MODULE != "multiprocessing"
        try:
            super().exec_module(module)
        finally:
            LENIENT = False


def suite_spec(fullname, path):
    return importlib.util.spec_from_file_location(
        fullname, path, loader=_SuiteLoader(fullname, path))
