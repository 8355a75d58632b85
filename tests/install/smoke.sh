#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
#
# smoke.sh BUILD PREFIX LIBDIR PYTHON PYTHONDIR VALAC
#
# Installs a built tree below a temporary root and uses what is there: from C
# and Vala through pkg-config, and from Python. VALAC may be empty.
set -eu

build=$1 prefix=$2 libdir=$3 python=$4 python_dir=$5 valac=$6
here=$(dirname -- "$(readlink -f -- "$0")")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
lib=$root$prefix/$libdir

meson install -C "$build" --no-rebuild --quiet --destdir "$root" >"$root/install.log" 2>&1 ||
  { cat "$root/install.log"; exit 1; }

# As if the root were the prefix; a DESTDIR is not known to pkg-config.
mkdir "$root/pkgconfig"
sed "s,^prefix=.*,prefix=$root$prefix," "$lib/pkgconfig/libmp-1.pc" >"$root/pkgconfig/libmp-1.pc"
export PKG_CONFIG_PATH="$root/pkgconfig"
# The tree's own must not be found instead.
unset PYTHONPATH
export LD_LIBRARY_PATH="$lib" GI_TYPELIB_PATH="$lib/girepository-1.0"
MP_LIBEXECDIR=$(pkg-config --variable=libexecdir libmp-1)
export MP_LIBEXECDIR

echo '1..4'

# shellcheck disable=SC2046 # lists of words
${CC:-cc} -Wall -Werror -o "$root/smoke" "$here/smoke.c" $(pkg-config --cflags --libs libmp-1)
"$root/smoke"
echo 'ok 1 - a C program by pkg-config'

PYTHONPATH="$root$python_dir" "$python" "$here/smoke.py"
echo 'ok 2 - Python'

if [ -n "$valac" ]; then
  "$valac" --vapidir "$root$prefix/share/vala/vapi" --pkg libmp-1 \
    -X -I"$root$prefix/include/libmp-1" -X -L"$lib" -X -w -o "$root/smoke-vala" "$here/smoke.vala"
  "$root/smoke-vala"
  echo 'ok 3 - Vala'
else
  echo 'ok 3 - Vala # SKIP no valac'
fi

for file in include/libmp-1/libmp.h share/gir-1.0/Mp-1.gir \
  share/gjs-1.0/overrides/Mp.js \
  share/dbus-1/services/org.libmp.Mp1.service \
  share/dbus-1/interfaces/org.libmp.Mp1.Manager.xml \
  share/locale/de/LC_MESSAGES/libmp-1.mo; do
  [ -e "$root$prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
for file in mp-helper mp-gjs.js; do
  [ -e "$MP_LIBEXECDIR/$file" ] || { echo "not installed: $file"; exit 1; }
done
service=$(sed -n 's/^Exec=\([^ ]*\).*/\1/p' "$root$prefix/share/dbus-1/services/org.libmp.Mp1.service")
[ -x "$root$service" ] || { echo "the activation file names $service, which is not installed"; exit 1; }
echo "# $("$root$service" --version)"
text=$(LC_ALL=C.UTF-8 LANGUAGE=de TEXTDOMAINDIR="$root$prefix/share/locale" gettext -d libmp-1 'SECONDS')
[ "$text" = SEKUNDEN ] || { echo "not translated: $text"; exit 1; }
echo 'ok 4 - the files are where they belong'
