# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The gdbus lines in the documentation of the interfaces work exactly as they stand there."""

import glob
import os
import re
import unittest
import xml.etree.ElementTree as ElementTree

from bus import SOURCE, ServiceCase

# In the order of use: the method, the exit status, what is printed.
SESSION = [
    ("Manager.CreatePool", 0, r"\(objectpath '/org/libmp/Mp1/pool/p',\)"),
    ("Pool.Apply", 0, r"\(<int64 2432902008176640000>,\)"),
    ("Pool.ApplyAsync", 0, r"\(objectpath '/org/libmp/Mp1/pool/p/job/gcd',\)"),
    ("Job.Cancel", 0, r"\((true|false),\)"),
    ("Pool.Map", 0, r"\(objectpath '/org/libmp/Mp1/pool/p/job/roots',\)"),
    ("Job.Wait", 0, r"\(true,\)"),
    ("Job.GetResult", 0, r"\(<\[<1\.0>, <2\.0>, <3\.0>\]>,\)"),
    ("Pool.CloseIntake", 0, r"\(\)"),
    ("Pool.Join", 0, r"\(true,\)"),
    ("Pool.Terminate", 0, r"\(\)"),
    ("Pool.Run", 0, r"\(objectpath '/org/libmp/Mp1/pool/c/job/expr',\)"),
    ("Manager.CreateQueue", 0, r"\(objectpath '/org/libmp/Mp1/queue/jobs',\)"),
    ("Manager.Lookup", 0, r"\(objectpath '/org/libmp/Mp1/queue/jobs',\)"),
    ("Manager.ListNames", 0, r"\(\[\('jobs', objectpath '/org/libmp/Mp1/queue/jobs'\)\],\)"),
    ("Queue.Put", 0, r"\(\)"),
    ("Queue.Get", 0, r"\(<'hello'>,\)"),
    ("Queue.PutMany", 0, r"\(uint32 3,\)"),
    ("Queue.GetMany", 0, r"\(\[<'a'>, <'b'>, <3>\],\)"),
    ("Queue.Open", 0, r"\('queue', uint32 \d+, \{.*\}, \[handle 0.*\]\)"),
    ("Queue.CloseIntake", 0, r"\(\)"),
    ("Object.Ref", 0, r"\(\)"),
    ("Object.Unref", 1, r"org\.libmp\.Mp1\.Error\.NotOwner"),
    ("Object.Unlink", 0, r"\(\)"),
    ("Manager.CreateQueue", 0, r"\(objectpath '/org/libmp/Mp1/queue/jobs',\)"),
    ("Object.Close", 0, r"\(\)"),
    ("Request.Cancel", 1, r"org\.freedesktop\.DBus\.Error\.UnknownMethod"),
]

# Made before its line is run, by the line of another method with other words.
POOL_C = ("gdbus call -e -d org.libmp.Mp1 -o /org/libmp/Mp1 -m org.libmp.Mp1.Manager.CreatePool "
          """1 '{"name": <"c">, "runtime": <"command">}'""")


def documented_lines():
    """METHOD: the gdbus lines in the comment in front of it."""
    found = {}
    for path in glob.glob(os.path.join(SOURCE, "introspection", "dbus", "*.xml")):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        interface = ElementTree.fromstring(text).find("interface")
        short = interface.get("name").rpartition(".")[2]
        for method in interface.findall("method"):
            comment = re.search(rf'<!--((?:(?!-->).)*)-->\s*<method name="{method.get("name")}"',
                                text, re.S).group(1)
            joined = re.sub(r"\\\n\s*", "", comment)
            found[f"{short}.{method.get('name')}"] = re.findall(r"^\s*(gdbus call .*)$", joined,
                                                                re.M)
    return found


class DocumentedTest(ServiceCase):
    """The documentation from the point of view of a shell."""

    def test_each_method_has_a_line(self):
        """One line, which calls that method, and which is run below."""
        lines = documented_lines()
        for method, found in lines.items():
            self.assertEqual(len(found), 1, method)
            self.assertRegex(found[0], rf" -m org\.libmp\.Mp1\.{re.escape(method)}(\s|$)")
        self.assertEqual(set(lines), {method for method, _, _ in SESSION})

    def test_session(self):
        """All of them, on a bus where nobody started the service."""
        lines = documented_lines()
        self.assertFalse(self.peer.has_service())
        for method, status, printed in SESSION:
            with self.subTest(method=method):
                if method == "Pool.Run":
                    self.assertEqual(self.bus.run("sh", "-c", POOL_C).returncode, 0)
                run = self.bus.run("sh", "-c", lines[method][0])
                self.assertEqual(run.returncode, status, run.stderr)
                self.assertRegex(run.stderr if status else run.stdout.strip(),
                                 printed if status else f"^{printed}$")
            if method == "Pool.Run":
                self.peer.call("/pool/c", "Object.Unlink")
            if method == "Pool.Terminate":
                self.peer.call("/pool/p", "Object.Unlink")


if __name__ == "__main__":
    unittest.main()
