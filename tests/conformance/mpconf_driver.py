# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Runs exactly one test of the suite in this process and writes the outcome.

    python -m mpconf_driver list CASES          names of all tests, as JSON
    python -m mpconf_driver run CASES ID OUT S  run one; S: seconds before the
                                                stacks of a hang are printed

Imported again by spawned children as __mp_main__, so: nothing at top level.
"""
import sys


def _flatten(suite):
    for item in suite:
        if hasattr(item, "__iter__"):
            yield from _flatten(item)
        else:
            yield item


def _list(cases):
    import importlib
    import json
    import unittest
    module = importlib.import_module(cases)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    names = sorted(t.id().split(".", 1)[1] for t in _flatten(suite))
    print(json.dumps(names))


def _run(cases, test_id, out, dump_after):
    import faulthandler
    import importlib
    import json
    import os
    import re
    import time
    import traceback
    import unittest

    main_pid = os.getpid()
    faulthandler.enable()
    if dump_after > 0:
        faulthandler.dump_traceback_later(dump_after, exit=False)
    outcome = {"status": None, "detail": "", "flags": []}

    def missing():
        alias = sys.modules.get("mpconf_alias")
        return alias.RECORD["missing"] if alias else ()

    class Result(unittest.TestResult):
        def __init__(self):
            super().__init__()
            self.problems = []            # (status, where, text)
            self.ran = False
            self.skips = []

        def startTest(self, test):
            self.ran = True
            super().startTest(test)

        def _problem(self, kind, test, err):
            name = err[0].__name__
            if name.startswith("ConformanceMissing"):
                kind = "missing"
            elif issubclass(err[0], ImportError):
                # from multiprocessing.x import absent
                absent = re.match(r"cannot import name '(\w+)'", str(err[1]))
                if absent and any(m.endswith("." + absent[1])
                                  for m in missing()):
                    kind = "missing"
            text = "".join(traceback.format_exception(*err))
            self.problems.append((kind, str(test), text))

        def addError(self, test, err):
            self._problem("error", test, err)

        def addFailure(self, test, err):
            self._problem("fail", test, err)

        def addSubTest(self, test, subtest, err):
            if err is not None:
                kind = ("fail" if issubclass(err[0], test.failureException)
                        else "error")
                self._problem(kind, subtest, err)

        def addSkip(self, test, reason):
            self.skips.append(reason)

        def addExpectedFailure(self, test, err):
            self.skips.append("expected failure")

        def addUnexpectedSuccess(self, test):
            self.problems.append(("fail", str(test), "unexpected success"))

    result = Result()
    start = time.monotonic()
    try:
        importlib.import_module(cases)
        suite = unittest.defaultTestLoader.loadTestsFromName(
            "%s.%s" % (cases, test_id))
        suite.run(result)
    except unittest.SkipTest as exc:
        result.skips.append(str(exc))
    except BaseException as exc:
        if os.getpid() == main_pid:
            result._problem("error", "harness", sys.exc_info())
            if isinstance(exc, KeyboardInterrupt):
                outcome["flags"].append("KeyboardInterrupt reached the driver")
    if os.getpid() != main_pid:
        # A forked child came back out of the drop-in into the harness.
        with open(out + ".escaped", "w") as f:
            f.write("a forked child returned into the test harness\n")
        os._exit(99)

    outcome["seconds"] = round(time.monotonic() - start, 3)
    order = ("missing", "error", "fail")
    if result.problems:
        kinds = [p[0] for p in result.problems]
        outcome["status"] = next(k for k in order if k in kinds)
        outcome["detail"] = "\n".join(
            "[%s] %s\n%s" % p for p in result.problems)
    elif result.skips:
        outcome["status"] = "skip"
        outcome["detail"] = result.skips[0]
    elif result.ran:
        outcome["status"] = "pass"
    else:
        outcome["status"] = "error"
        outcome["detail"] = "the test did not run"
    support = sys.modules.get("test.support")
    if support is not None and getattr(support, "environment_altered", False):
        outcome["flags"].append("environment altered")
    alias = sys.modules.get("mpconf_alias")
    if alias is not None:
        outcome["alias"] = {k: (sorted(v) if isinstance(v, set) else v)
                            for k, v in alias.RECORD.items()}
    outcome["stdlib"] = sorted(m for m in sys.modules
                               if m == "multiprocessing"
                               or m.startswith("multiprocessing."))
    with open(out + ".part", "w") as f:
        json.dump(outcome, f)
    os.replace(out + ".part", out)


def main():
    if sys.argv[1] == "list":
        _list(sys.argv[2])
    else:
        cases, test_id, out, dump_after = sys.argv[2:6]
        del sys.argv[1:]
        _run(cases, test_id, out, float(dump_after))


if __name__ == "__main__":
    main()
