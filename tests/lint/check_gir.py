#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
"""check_gir.py GIR: what bindings need of the introspected interface."""

import sys
import xml.etree.ElementTree as ElementTree

import tree

CORE = '{http://www.gtk.org/introspection/core/1.0}'
C = '{http://www.gtk.org/introspection/c/1.0}'
GLIB = '{http://www.gtk.org/introspection/glib/1.0}'

# Methods with these names would hide GObject's own in Python (or are keywords).
DENIED = set('''
    bind_property bind_property_full chain compat_control connect connect_after connect_data
    connect_object connect_object_after disconnect disconnect_by_func emit emit_stop_by_name
    find_property force_floating freeze_notify get_data get_properties get_property
    handler_block handler_block_by_func handler_disconnect handler_is_connected handler_unblock
    handler_unblock_by_func install_properties install_property interface_find_property
    interface_install_property interface_list_properties is_floating list_properties notify
    notify_by_pspec override_property props qdata ref ref_count ref_sink replace_data
    replace_qdata run_dispose set_data set_properties set_property steal_data steal_qdata
    stop_emission stop_emission_by_name thaw_notify unref watch_closure weak_ref
    and as assert async await break class continue def del elif else except finally for from
    global if import in is lambda nonlocal not or pass raise return try while with yield None
    True False print exec
'''.split())

CALLABLES = ('function', 'method', 'constructor', 'virtual-method')
DOCUMENTED = CALLABLES + ('property', 'constant', 'callback', 'class', 'interface', 'enumeration',
                          'bitfield', 'record', 'alias')


class Checker:
    """Walks over the namespace and collects what is wrong."""

    def __init__(self, path):
        self.namespace = ElementTree.parse(path).getroot().find(CORE + 'namespace')
        self.problems = []
        self.boxed = {'Mp.' + node.get('name') for node in self.namespace.findall(CORE + 'record')}

    def problem(self, name, text):
        """Note one."""
        self.problems.append(f'{name}: {text}')

    def check(self):
        """The whole namespace."""
        self.check_container(self.namespace, 'Mp')
        for kind in ('class', 'interface', 'record', 'enumeration', 'bitfield'):
            for node in self.namespace.findall(CORE + kind):
                name = 'Mp.' + node.get('name')
                if node.get(GLIB + 'is-gtype-struct-for') or node.get('disguised') == '1':
                    continue
                self.check_container(node, name)
                self.check_clashes(node, name)

    def check_container(self, node, name):
        """What stands directly in the namespace or in one type."""
        for child in node:
            kind = child.tag.replace(CORE, '').replace(GLIB, 'glib:')
            if child.get(GLIB + 'is-gtype-struct-for') or child.get('disguised') == '1':
                continue
            full = f'{name}.{child.get("name")}'
            if kind in DOCUMENTED or kind == 'glib:signal':
                self.check_documented(child, full)
            if kind in CALLABLES:
                self.check_callable(child, full)
        self.check_async(node, name)

    def check_documented(self, node, name):
        """Documentation, and since when."""
        if node.find(CORE + 'doc') is None:
            self.problem(name, 'no documentation')
        # What the scanner makes of an error domain's quark function has none of its own.
        if not node.get('version'):
            self.problem(name, 'no "Since:"')

    def check_callable(self, node, name):
        """Names and ownership."""
        # What is no GObject has its own.
        boxed = name.rpartition('.')[0] in self.boxed and node.get('name') in ('ref', 'unref')
        if node.get('name') in DENIED and not boxed:
            self.problem(name, 'hides a method of GObject, or is a keyword')
        values = [('returns', node.find(CORE + 'return-value'))]
        values += [(item.get('name'), item) for item in node.iter(CORE + 'parameter')]
        for role, value in values:
            array = value.find(CORE + 'array') if value is not None else None
            if array is None or array.get('name') != 'GLib.PtrArray':
                continue
            if value.get('transfer-ownership') == 'full':
                # Bindings free the elements, and so does the array's own free function.
                self.problem(name, f'{role}: a GPtrArray (transfer full) is freed twice')

    def check_async(self, node, name):
        """Each x_async() has its x_finish(), and is what bindings can await."""
        names = {child.get('name') for child in node}
        for child in node:
            own = child.get('name') or ''
            if child.tag not in (CORE + 'method', CORE + 'function') or \
                    not own.endswith('_async'):
                continue
            full = f'{name}.{own}'
            if own[:-len('_async')] + '_finish' not in names:
                self.problem(full, 'has no _finish')
            returned = child.find(f'{CORE}return-value/{CORE}type')
            if returned is None or returned.get('name') != 'none':
                self.problem(full, 'must return nothing')
            parameters = child.findall(f'{CORE}parameters/{CORE}parameter')
            if any(item.get('direction', 'in') != 'in' for item in parameters):
                self.problem(full, 'must have no out argument')
            types = [item.find(CORE + 'type') for item in parameters]
            kinds = [kind.get('name') for kind in types if kind is not None]
            if kinds.count('Gio.Cancellable') != 1 or kinds.count('Gio.AsyncReadyCallback') != 1:
                self.problem(full, 'must have one GCancellable and one GAsyncReadyCallback')

    def check_clashes(self, node, name):
        """Properties, signals and methods of one type have different names."""
        named = {}
        for kind in ('property', 'glib:signal', 'method'):
            tag = GLIB + 'signal' if kind == 'glib:signal' else CORE + kind
            for child in node.findall(tag):
                own = child.get('name').replace('-', '_')
                if own in named:
                    self.problem(f'{name}.{own}', f'is both a {named[own]} and a {kind}')
                named[own] = kind.replace('glib:', '')
        for child in node.findall(CORE + 'property'):
            own = child.get('name').replace('-', '_')
            getter = child.get('getter') or f'get_{own}'
            if child.get('readable', '1') == '1' and getter not in named:
                self.problem(f'{name}:{own}', f'has no getter {getter}()')


def main(path):
    """Check one GIR."""
    checker = Checker(path)
    checker.check()
    tree.report(checker.problems)


if __name__ == '__main__':
    main(sys.argv[1])
