#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""Run CPython's own multiprocessing test-suite against a drop-in module.

    run.py --module NAME [--start-method spawn|forkserver|fork]
           [--suite DIR|auto] [--only REGEX] [--jobs N] [--timeout S]
           [--json OUT] ...                                 (see --help)

Every test runs in an interpreter, session and (where allowed) /dev/shm of its
own, with a hard time limit; whatever it leaves running is killed.  README.md
in this folder explains the aliasing, the statuses and the classification.
"""
import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True

SUITE_FILE = "_test_multiprocessing.py"
MAIN_FILE = "test_multiprocessing_main_handling.py"
COMPANIONS = ("mp_fork_bomb.py", "mp_preload.py")
MAX_PROCESSES = 500          # of one test; the suite's own maximum is ~205
STATUSES = ("pass", "fail", "error", "missing", "timeout", "crash", "skip")
CASE_SOURCE = """\
from test import _test_multiprocessing
_test_multiprocessing.install_tests_in_module_dict(globals(), {method!r})
"""
MAIN_SOURCE = """\
import test.support
from test import test_multiprocessing_main_handling as _m


class CmdLineTest(_m.{klass}):
    pass


def tearDownModule():
    test.support.reap_children()
"""
MAIN_CLASSES = {"spawn": "SpawnCmdLineTest", "fork": "ForkCmdLineTest",
                "forkserver": "ForkServerCmdLineTest"}


class Usage(Exception):
    pass


def find_adapt(wanted):
    """The module that edits private names out of the suite, or None."""
    if wanted == "none":
        return None
    path = wanted
    if wanted == "auto":
        path = os.environ.get("MPCONF_ADAPT") or os.path.join(
            HERE, "../../../shared/tools/conformance/adapt.py")
        if not os.path.exists(path):
            return None
    spec = importlib.util.spec_from_file_location("adapt", path)
    if spec is None or not os.path.exists(path):
        raise Usage("no module to adapt the suite with: %s" % path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------
# The environment a run takes place in

PROBE = """
import json, os, sys, test
print(json.dumps({"exe": getattr(sys, "_base_executable", None)
                         or sys.executable,
                  "version": list(sys.version_info[:3]),
                  "test": list(test.__path__),
                  "lib": os.path.dirname(os.__file__)}))
"""


class Workplace:
    """A throw-away virtual environment plus the chosen copy of the suite."""

    def __init__(self, args):
        self.args = args
        # realpath: the import hook compares __file__ prefixes.
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="mpc"))
        self.work = os.path.join(self.root, "w")
        self.suite_dir = os.path.join(self.root, "suite")
        os.mkdir(self.work)
        os.mkdir(self.suite_dir)
        try:
            probe = json.loads(subprocess.check_output(
                [args.python, "-c", PROBE], text=True))
        except (OSError, subprocess.CalledProcessError) as exc:
            self.close()
            raise Usage("%s cannot import `test`: %s" % (args.python, exc))
        self.version = "%d.%d.%d" % tuple(probe["version"])
        self.feature = "%d.%d" % tuple(probe["version"][:2])
        self.lib = probe["lib"]
        self.dropin = args.module != "multiprocessing"
        self._find_suite(probe)
        self._make_venv(probe)

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def _find_suite(self, probe):
        native = next((d for d in probe["test"] if os.path.exists(
            os.path.join(d, SUITE_FILE))), None)
        if self.args.suite == "auto":
            if native is None:
                raise Usage("this interpreter has no test/%s; install its "
                            "test-suite package or give --suite" % SUITE_FILE)
            self.suite_src = native
        else:
            path = os.path.abspath(self.args.suite)
            if os.path.isfile(path):
                path = os.path.dirname(path)
            for sub in ("", "test", "Lib/test"):
                if os.path.exists(os.path.join(path, sub, SUITE_FILE)):
                    path = os.path.normpath(os.path.join(path, sub))
                    break
            else:
                raise Usage("no %s under %s" % (SUITE_FILE, self.args.suite))
            self.suite_src = path
        self.native = (native is not None
                       and os.path.realpath(native)
                       == os.path.realpath(self.suite_src))
        if self.args.suite_version:
            self.suite_version = self.args.suite_version
        elif self.native:
            self.suite_version = self.feature
        else:
            found = re.search(r"python(\d\.\d+)", self.suite_src)
            self.suite_version = found.group(1) if found else "unknown"
        with open(os.path.join(self.suite_src, SUITE_FILE), "rb") as f:
            self.suite_sha256 = hashlib.sha256(f.read()).hexdigest()
        self.adapted = []
        adapt = find_adapt(self.args.adapt)
        adapt_it = self.dropin and adapt is not None
        self.suite_map = {}
        if self.native and not self.dropin:
            return
        for name in (SUITE_FILE, MAIN_FILE) + COMPANIONS:
            src = os.path.join(self.suite_src, name)
            if not os.path.exists(src):
                continue
            with open(src, encoding="utf-8") as f:
                text = f.read()
            if name == SUITE_FILE and adapt_it:
                text, self.adapted = adapt.adapt(text)
            elif name == SUITE_FILE and adapt is not None:
                text = adapt.keep_site(text)
            dest = os.path.join(self.suite_dir, name)
            with open(dest, "w", encoding="utf-8") as f:
                f.write(text)
            if name not in COMPANIONS:
                self.suite_map["test." + name[:-3]] = dest

    def _make_venv(self, probe):
        venv = os.path.join(self.root, "venv")
        site = os.path.join(venv, "lib", "python" + self.feature,
                            "site-packages")
        os.makedirs(site)
        os.mkdir(os.path.join(venv, "bin"))
        self.exe = os.path.join(venv, "bin", "python3")
        os.symlink(probe["exe"], self.exe)
        os.symlink("python3", os.path.join(venv, "bin", "python"))
        with open(os.path.join(venv, "pyvenv.cfg"), "w") as f:
            f.write("home = %s\ninclude-system-site-packages = true\n"
                    "version = %s\n" % (os.path.dirname(probe["exe"]),
                                        self.version))
        for name in ("mpconf_boot.py", "mpconf_alias.py", "mpconf_driver.py"):
            shutil.copy(os.path.join(HERE, name), site)
        with open(os.path.join(site, "mpconf_config.py"), "w") as f:
            for key, value in (
                    ("MODULE", self.args.module),
                    ("GI_VERSIONS", self.args.gi_versions),
                    ("SUBMODULES", self.args.submodules),
                    ("SUITE_MAP", self.suite_map),
                    ("SUITE_DIR", self.suite_dir + os.sep),
                    ("WORK", self.work + os.sep),
                    ("DENY_STDLIB", self.args.deny_stdlib and self.dropin)):
                f.write("%s = %r\n" % (key, value))
        self.cases = "mpconf_cases_" + self.args.start_method
        with open(os.path.join(site, self.cases + ".py"), "w") as f:
            f.write(CASE_SOURCE.format(method=self.args.start_method))
        self.main_cases = "mpconf_cases_main_" + self.args.start_method
        with open(os.path.join(site, self.main_cases + ".py"), "w") as f:
            f.write(MAIN_SOURCE.format(
                klass=MAIN_CLASSES[self.args.start_method]))
        # Paths of the drop-in go into the .pth too: isolated interpreters
        # (-I, -E) do not read PYTHONPATH.
        self.paths = [os.path.abspath(p) for p in self.args.path]
        for p in os.environ.get("PYTHONPATH", "").split(os.pathsep):
            if p:
                self.paths.append(os.path.abspath(p))
        with open(os.path.join(site, "mpconf.pth"), "w") as f:
            for p in self.paths:
                f.write(p + "\n")
            f.write("import mpconf_boot; mpconf_boot.install()\n")
        # For a child started with another python than sys.executable.
        with open(os.path.join(site, "sitecustomize.py"), "w") as f:
            f.write("import mpconf_boot\nmpconf_boot.install()\n")
        self.site = site
        subprocess.run([self.exe, "-I", "-m", "compileall", "-q", site,
                        self.suite_dir], check=False)

    def environ(self, folder, token):
        env = dict(os.environ)
        for name in ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS",
                     "PYTHONSAFEPATH", "PYTHONDONTWRITEBYTECODE",
                     "PYTHONOPTIMIZE", "PYTHONINSPECT"):
            env.pop(name, None)
        env["PYTHONPATH"] = os.pathsep.join(self.paths + [self.site])
        env["TMPDIR"] = folder
        env["MPCONF_TOKEN"] = token
        env["PYTHONUNBUFFERED"] = "1"
        return env

    def list_ids(self, part):
        ids = []
        for cases, wanted in ((self.cases, part in ("core", "all")),
                              (self.main_cases, part in ("main", "all"))):
            if not wanted:
                continue
            folder = os.path.join(self.work, "list")
            os.makedirs(folder, exist_ok=True)
            got = subprocess.run(
                [self.exe, "-m", "mpconf_driver", "list", cases],
                cwd=folder, env=self.environ(folder, "list"), text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
            if got.returncode:
                raise Usage("the suite cannot be loaded on %s:\n%s"
                            % (self.args.module, got.stderr[-3000:]))
            ids += [(cases, i)
                    for i in json.loads(got.stdout.splitlines()[-1])]
        return ids

    def scrub(self, text):
        for path, name in ((self.suite_dir, "<suite>"), (self.root, "<run>"),
                           (self.suite_src, "<suite>"), (self.lib, "<stdlib>"),
                           (HERE, "<conformance>"),
                           (os.path.expanduser("~"), "~")):
            text = text.replace(path, name)
        return text


# ---------------------------------------------------------------------------
# Processes

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper():
    """Orphans of tests become our children: we can see and reap them."""
    PR_SET_CHILD_SUBREAPER = 36
    return _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def plain_signals():
    """In the child, before exec: a background shell ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def private_shm():
    """In the child, before exec: also a /dev/shm of its own."""
    plain_signals()
    CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
    MS_NOSUID, MS_NODEV = 2, 4
    if _libc.unshare(CLONE_NEWNS) != 0:
        return
    if _libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        return
    _libc.mount(b"mpconf", b"/dev/shm", b"tmpfs", MS_NOSUID | MS_NODEV,
                b"mode=1777")


def can_have_private_shm():
    if not sys.platform.startswith("linux"):
        return False
    pid = os.fork()
    if pid == 0:
        try:
            private_shm()
            with open("/proc/self/mounts") as f:
                ok = any(line.startswith("mpconf /dev/shm ") for line in f)
            os._exit(0 if ok else 1)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def _stat(pid):
    """(ppid, session, state) of a process."""
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[1]), int(fields[3]), fields[0]


def snapshot():
    procs = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                procs[int(name)] = _stat(int(name))
            except (OSError, ValueError, IndexError):
                pass
    return procs


def has_token(pid, token):
    try:
        with open("/proc/%d/environ" % pid, "rb") as f:
            return b"MPCONF_TOKEN=" + token.encode() in f.read().split(b"\0")
    except OSError:
        return False


def belongings(token, sid):
    """Live processes of one test: those that carry its token (which survives
    double forks and setsid) or are in its session."""
    found = []
    for pid, (ppid, session, state) in snapshot().items():
        if state in "ZX" or pid == os.getpid():
            continue
        if session == sid or has_token(pid, token):
            found.append(pid)
    return found


def kill_belongings(token, sid):
    for _ in range(20):
        pids = belongings(token, sid)
        if not pids:
            return
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
            except OSError:
                continue
            try:                       # still the process we mean?
                if _stat(pid)[1] == sid or has_token(pid, token):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            except (OSError, ValueError):
                pass
            finally:
                os.close(fd)
        time.sleep(0.02)


def reap_orphans(known):
    """Reap adopted zombies, never those subprocess is waiting for."""
    for pid, (ppid, session, state) in snapshot().items():
        if ppid == os.getpid() and state == "Z" and pid not in known:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def command_line(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().replace(b"\0", b" ").decode("utf-8", "replace")[:200]
    except OSError:
        return "?"


# ---------------------------------------------------------------------------
# One test

class Job:
    def __init__(self, place, cases, test_id, number, limit, run_token, shm):
        self.id = test_id
        self.cases = cases
        self.place = place
        self.limit = limit
        self.token = "%s-%d" % (run_token, number)
        self.folder = os.path.join(place.work, str(number))
        os.mkdir(self.folder)
        self.out = os.path.join(self.folder, ".result.json")
        self.log_name = os.path.join(self.folder, ".log")
        self.killed = None
        self.leftover = []
        with open(self.log_name, "wb") as log:
            self.proc = subprocess.Popen(
                [place.exe, "-m", "mpconf_driver", "run", cases, test_id,
                 self.out, str(max(1.0, limit - 2))],
                cwd=self.folder, env=place.environ(self.folder, self.token),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
                preexec_fn=private_shm if shm else plain_signals)
        self.start = time.monotonic()
        self.next_census = self.start + 1.0
        self.ended = None

    def poll(self):
        """True once the test and all its processes are gone."""
        now = time.monotonic()
        if self.proc.poll() is None:
            if now - self.start > self.limit:
                self.killed = "timeout"
            elif now >= self.next_census:
                self.next_census = now + 1.0
                count = sum(1 for _, s, state in snapshot().values()
                            if s == self.proc.pid and state not in "ZX")
                if count > MAX_PROCESSES:
                    self.killed = "more than %d processes" % MAX_PROCESSES
            if self.killed:
                self.ended = now
                kill_belongings(self.token, self.proc.pid)
                self.proc.wait()
                return True
            return False
        if self.ended is None:
            self.ended = now
        # Helpers (resource tracker, fork server) end a moment later by
        # themselves; anything else is a leftover.
        left = belongings(self.token, self.proc.pid)
        if not left:
            return True
        if now - self.ended > 3.0:
            self.leftover = [command_line(p) for p in left]
            kill_belongings(self.token, self.proc.pid)
            return True
        return False

    def result(self):
        outcome = {"status": None, "detail": "", "flags": []}
        try:
            with open(self.out) as f:
                outcome = json.load(f)
        except (OSError, ValueError):
            pass
        rc = self.proc.returncode
        said = outcome["status"]
        if self.killed == "timeout":
            outcome["status"] = "timeout"
            if said:
                outcome["detail"] = ("the test ended (%s) but its process did "
                                     "not exit\n%s" % (said, outcome["detail"]))
            else:
                outcome["detail"] = "killed after %.0f s" % self.limit
        elif self.killed:
            outcome["status"] = "crash"
            outcome["detail"] = "killed: " + self.killed
        elif rc != 0 or said is None:
            how = "signal %d" % -rc if rc < 0 else "exit status %d" % rc
            outcome["status"] = "crash"
            outcome["detail"] = ("ended with %s%s\n%s" % (
                how, " after the test (%s)" % said if said
                else " before reporting", outcome["detail"]))
        if os.path.exists(self.out + ".escaped"):
            outcome["status"] = "crash"
            outcome["flags"].append("a forked child returned into the harness")
        if self.leftover:
            outcome["flags"].append("left %d process(es) running: %s" % (
                len(self.leftover), "; ".join(self.leftover[:3])))
        if outcome["status"] not in ("pass", "skip"):
            with open(self.log_name, "rb") as f:
                f.seek(0, 2)
                f.seek(max(0, f.tell() - 4000))
                outcome["log"] = self.place.scrub(
                    f.read().decode("utf-8", "replace"))
        outcome["detail"] = self.place.scrub(outcome["detail"])[:6000]
        outcome["flags"] = [self.place.scrub(x) for x in outcome["flags"]]
        outcome["seconds"] = round(
            (self.ended or time.monotonic()) - self.start, 2)
        shutil.rmtree(self.folder, ignore_errors=True)
        return outcome


# ---------------------------------------------------------------------------
# All tests

def run_all(place, todo, jobs, limit_of, report):
    """todo: list of (cases, id).  Returns {id: outcome}."""
    shm = place.args.private_shm
    token = secrets.token_hex(8)
    results = {}
    waiting = list(todo)
    running = []
    run_all.number = getattr(run_all, "number", 0)
    last_reap = 0.0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                cases, test_id = waiting.pop(0)
                run_all.number += 1
                running.append(Job(place, cases, test_id, run_all.number,
                                   limit_of(test_id), token, shm))
            for job in list(running):
                if job.poll():
                    running.remove(job)
                    results[job.id] = job.result()
                    report(job.id, results[job.id], len(results), len(todo))
            now = time.monotonic()
            if now - last_reap > 0.5:
                last_reap = now
                reap_orphans({j.proc.pid for j in running})
            time.sleep(0.02)
    finally:
        for job in running:            # interrupted
            kill_belongings(job.token, job.proc.pid)
            job.proc.wait()
    reap_orphans(set())
    return results


def load_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def classification(place):
    path = os.path.join(HERE, "classify.json")
    if not os.path.exists(path):
        return {}
    data = load_json(path)
    tests = dict(data["tests"])
    extra = data.get("suites", {}).get(place.suite_version)
    if extra:
        tests.update(extra)
    return tests


def load_baseline(args, place):
    if args.baseline == "none":
        return {}
    if args.baseline != "auto":
        return load_json(args.baseline)["tests"]
    known = {}
    # Of a newer suite only the new and changed tests have a baseline.
    for version in ("3.11", place.suite_version):
        path = os.path.join(HERE, "baseline-%s-%s.json"
                            % (version, args.start_method))
        if os.path.exists(path):
            known.update(load_json(path)["tests"])
    return known


def summarise(tests, classes, baseline, out=sys.stdout):
    """Prints the tables; returns {"by_class": ..., "by_kind": ...}."""
    def status(test_id):
        s = tests[test_id]["status"]
        if (s == "skip" and baseline.get(test_id, {}).get("status")
                not in (None, "skip")):
            return "skip!"              # CPython runs it, the drop-in does not
        return s

    columns = STATUSES + ("skip!",)
    by_class = {}
    for test_id in sorted(tests):
        row = by_class.setdefault(test_id.split(".")[0],
                                  dict.fromkeys(columns, 0))
        row[status(test_id)] += 1
    total = {c: sum(r[c] for r in by_class.values()) for c in columns}
    shown = [c for c in columns if total[c] or c in ("pass", "fail")]
    width = max(map(len, by_class), default=10)
    line = "%-*s " + " %8s" * (len(shown) + 1)
    print(line % ((width, "class") + tuple(shown) + ("total",)), file=out)
    for name, row in list(by_class.items()) + [("TOTAL", total)]:
        print(line % ((width, name)
                      + tuple(row[c] or "." for c in shown)
                      + (sum(row.values()),)), file=out)
    by_kind = {}
    for test_id in tests:
        entry = classes.get(test_id)
        if entry is None:
            kind = "unclassified"
        else:
            kind = entry["kind"]
            if entry.get("vacuous"):
                kind += " (vacuous)"
            elif entry.get("later"):
                kind += " (later)"
        row = by_kind.setdefault(kind, dict.fromkeys(columns, 0))
        row[status(test_id)] += 1
    print(file=out)
    for kind in sorted(by_kind):
        row = by_kind[kind]
        run = sum(row.values()) - row["skip"]
        print("%-18s %4d of %4d that apply pass" % (kind, row["pass"], run),
              file=out)
    return {"totals": total, "by_class": by_class, "by_kind": by_kind}


def parse(argv):
    ap = argparse.ArgumentParser(
        description="Run CPython's multiprocessing test-suite against NAME.")
    a = ap.add_argument
    a("--module", required=True, metavar="NAME",
      help="module under test, e.g. multiprocessing or gi.repository.Mp")
    a("--start-method", default="spawn", choices=sorted(MAIN_CLASSES))
    a("--suite", default="auto", metavar="DIR",
      help="folder with %s; auto: that of the interpreter" % SUITE_FILE)
    a("--suite-version", help="label of the suite when its path has none")
    a("--part", default="all", choices=("core", "main", "all"),
      help="core: %s; main: also-public tests of __main__ handling (%s)"
           % (SUITE_FILE, MAIN_FILE))
    a("--only", metavar="REGEX", help="ids to run (re.search)")
    a("--ids", metavar="FILE", help="file with one id per line to run")
    a("--kind", default="public",
      help="comma-separated: public,protocol,internal")
    a("--area", metavar="REGEX", help="areas of the classification")
    a("--new", action="store_true",
      help="of a newer suite, only the tests that are new or changed")
    a("--jobs", type=int, default=2)
    a("--timeout", type=float, default=90.0, metavar="S",
      help="hard limit of one test; where a baseline is known the limit is "
           "min(S, 20 + 10 * the baseline's time)")
    a("--retries", type=int, default=1,
      help="re-run failing tests alone this often; passing then is `flaky`")
    a("--retry-limit", type=int, default=15, metavar="N",
      help="no re-runs when more than N tests failed")
    a("--json", metavar="OUT")
    a("--python", default=sys.executable, help="interpreter to test with")
    a("--path", action="append", default=[], metavar="DIR",
      help="put DIR on sys.path of every interpreter (also: PYTHONPATH)")
    a("--submodule", action="append", default=[], metavar="S=MODULE",
      help="MODULE stands for multiprocessing.S")
    a("--gi-version", action="append", default=[], metavar="NS=VERSION",
      help="gi.require_version() before importing NAME")
    a("--deny-stdlib", action="store_true",
      help="the drop-in may not import the stdlib's multiprocessing")
    a("--adapt", metavar="FILE|auto|none", default="auto",
      help="module that edits the suite for drop-ins; auto: $MPCONF_ADAPT or "
           "../shared/tools/conformance/adapt.py beside the tree, if there is one")
    a("--pristine", dest="adapt", action="store_const", const="none",
      help="do not adapt the suite")
    a("--no-private-shm", dest="private_shm", action="store_false")
    a("--baseline", default="auto", metavar="FILE|auto|none")
    a("--list", action="store_true", help="print the ids and stop")
    a("--keep", action="store_true", help="keep the temporary folder")
    a("-q", "--quiet", action="store_true")
    args = ap.parse_args(argv)
    args.submodules = dict(s.split("=", 1) for s in args.submodule)
    args.gi_versions = dict(s.split("=", 1) for s in args.gi_version)
    return args


def main(argv=None):
    args = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))   # clean up
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = Workplace(args)
    try:
        return run(args, place)
    finally:
        if args.keep:
            print("kept", place.root, file=sys.stderr)
        else:
            place.close()


def run(args, place):
    classes = classification(place)
    baseline = load_baseline(args, place)
    todo = [t for t in place.list_ids(args.part) if t[1] in classes]
    if args.only:
        todo = [t for t in todo if re.search(args.only, t[1])]
    if args.ids:
        with open(args.ids) as f:
            wanted = {line.strip() for line in f}
        todo = [t for t in todo if t[1] in wanted]
    if args.kind:
        todo = [t for t in todo if classes.get(t[1], {}).get("kind")
                in args.kind.split(",")]
    if args.area:
        todo = [t for t in todo
                if re.search(args.area, classes.get(t[1], {}).get("area", ""))]
    if args.new:
        todo = [t for t in todo if classes.get(t[1], {}).get("new")
                or classes.get(t[1], {}).get("changed")]
    if args.list:
        print("\n".join(i for _, i in todo))
        return 0
    if not todo:
        raise Usage("no test selected")
    args.private_shm = args.private_shm and can_have_private_shm()
    become_subreaper()

    def limit_of(test_id):
        known = baseline.get(test_id)
        if known is None or known["status"] not in ("pass", "skip"):
            return args.timeout
        return min(args.timeout, 20 + 10 * known["seconds"])

    def report(test_id, outcome, done, total):
        if not args.quiet:
            extra = ""
            if outcome["status"] not in ("pass", "skip"):
                lines = outcome["detail"].strip().splitlines() or [""]
                extra = "  " + (lines[-1] if len(lines) > 1 else lines[0])[:150]
            if outcome["flags"]:
                extra += "  {%s}" % "; ".join(outcome["flags"])[:150]
            print("[%3d/%d] %-7s %6.1fs  %s%s" % (
                done, total, outcome["status"], outcome["seconds"], test_id,
                extra), flush=True)

    # Longest first, so that the last tests do not leave a job idle.
    order = sorted(todo, key=lambda t: -baseline.get(t[1], {}).get(
        "seconds", 0))
    start = time.monotonic()
    tests = run_all(place, order, args.jobs, limit_of, report)
    flaky = []
    for attempt in range(args.retries):
        failed = [t for t in order
                  if tests[t[1]]["status"] in ("fail", "error", "timeout",
                                               "crash")]
        if not failed or len(failed) > args.retry_limit:
            break
        if not args.quiet:
            print("-- running %d failed test(s) again, one at a time"
                  % len(failed))
        for test_id, outcome in run_all(place, failed, 1, limit_of,
                                        report).items():
            if outcome["status"] in ("pass", "skip"):
                outcome["flags"].append(
                    "flaky: at first " + tests[test_id]["status"])
                outcome["first"] = {
                    k: tests[test_id].get(k)
                    for k in ("status", "detail", "log", "seconds")}
                flaky.append(test_id)
                tests[test_id] = outcome
    seconds = time.monotonic() - start

    alias = {"submodules": {}, "flat": [], "placeholders": [], "missing": []}
    stdlib = set()
    for outcome in tests.values():
        found = outcome.pop("alias", None) or {}
        alias["submodules"].update(found.get("submodules", {}))
        for key in ("flat", "placeholders", "missing"):
            alias[key] = sorted(set(alias[key]) | set(found.get(key, ())))
        stdlib.update(outcome.pop("stdlib", ()))
    print()
    summary = summarise(tests, classes, baseline)
    print("\n%s, start method %s, suite %s%s on Python %s: %d tests in %.0f s"
          " with %d job(s)" % (
              args.module, args.start_method, place.suite_version,
              " (adapted)" if place.adapted else "", place.version,
              len(tests), seconds, args.jobs))
    if flaky:
        print("flaky: " + ", ".join(flaky))
    if place.dropin:
        if alias["missing"]:
            print("names the suite asked for in vain: "
                  + ", ".join(alias["missing"]))
        print("stdlib multiprocessing modules loaded in test processes: "
              + (", ".join(sorted(stdlib)) or "none"))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({
                "module": args.module, "start_method": args.start_method,
                "python": place.version, "suite": place.suite_version,
                "suite_sha256": place.suite_sha256,
                "adapted_tests": place.adapted, "part": args.part,
                "jobs": args.jobs, "timeout": args.timeout,
                "private_shm": args.private_shm,
                "seconds": round(seconds, 1), "summary": summary,
                "flaky": flaky, "alias": alias if place.dropin else None,
                "stdlib_loaded": sorted(stdlib) if place.dropin else None,
                "tests": {i: tests[i] for i in sorted(tests)},
            }, f, indent=1, sort_keys=True)
            f.write("\n")

    def bad(test_id):
        entry = classes.get(test_id, {})
        if entry.get("kind") == "internal" or entry.get("later"):
            return False
        s = tests[test_id]["status"]
        return s not in ("pass", "skip") or (
            s == "skip" and baseline.get(test_id, {}).get("status")
            not in (None, "skip"))
    return 1 if any(map(bad, tests)) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Usage as exc:
        print("run.py: %s" % exc, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
