#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""The XML of the tree is well formed, and what the D-Bus interfaces promise is written in it."""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import tree

ANNOTATED_BYTES = 'org.gtk.GDBus.C.ForceGVariant'


def documented(text, kind, name):
    """Whether a comment stands right before the element."""
    return re.search(rf'-->\s*<{kind}\s[^>]*name=["\']{re.escape(name)}["\']', text) is not None


def check_interface(path, text):
    """One file of introspection/dbus."""
    problems = []
    node = ElementTree.fromstring(text)
    interfaces = node.findall('interface')
    if len(interfaces) != 1:
        problems.append(f'{path}: holds {len(interfaces)} interfaces, not one')
    for interface in interfaces:
        name = interface.get('name')
        if os.path.basename(path) != name + '.xml':
            problems.append(f'{path}: is not named after its interface {name}')
        if not documented(text, 'interface', name):
            problems.append(f'{path}: {name}: no comment that documents it')
        for kind in ('method', 'signal', 'property'):
            for member in interface.findall(kind):
                if not documented(text, kind, member.get('name')):
                    problems.append(f'{path}: {kind} {member.get("name")}: '
                                    'no comment that documents it')
        for member in interface.iter('arg'):
            notes = {note.get('name') for note in member.findall('annotation')}
            if member.get('type') == 'ay' and ANNOTATED_BYTES not in notes:
                problems.append(f'{path}: argument {member.get("name")} of type ay '
                                f'without {ANNOTATED_BYTES}')
    return problems


def main():
    """All of them."""
    problems = []
    xmllint = shutil.which('xmllint')
    for path in tree.files('.xml'):
        text = tree.read(path)
        if xmllint:
            run = subprocess.run([xmllint, '--nonet', '--noout', os.path.join(tree.TOP, path)],
                                 stderr=subprocess.PIPE, text=True, check=False)
            if run.returncode != 0:
                problems.append(run.stderr.strip())
                continue
        try:
            ElementTree.fromstring(text)
        except ElementTree.ParseError as error:
            problems.append(f'{path}: {error}')
            continue
        if path.startswith('introspection/dbus/'):
            problems += check_interface(path, text)
    tree.report(problems)


if __name__ == '__main__':
    main()
