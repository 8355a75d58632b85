#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
#
# Each translation is complete, sound, and has exactly the texts of the sources.
set -u

top=$(dirname -- "$(readlink -f -- "$0")")/../..
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0

cd "$top" || exit 1
xgettext --from-code=UTF-8 --add-comments --keyword=_ --keyword=N_ --keyword=C_:1c,2 \
  --keyword=NC_:1c,2 --files-from=po/POTFILES.in --output="$dir/all.pot" || exit 1
for po in po/*.po; do
  msgfmt --check --output-file="$dir/mo" "$po" || status=1
  msgcmp --no-fuzzy-matching "$po" "$dir/all.pot" || status=1
  if msgattrib --untranslated --no-obsolete "$po" | grep -q '^msgid' ||
    msgattrib --only-fuzzy "$po" | grep -q '^msgid' ||
    msgattrib --only-obsolete "$po" | grep -q '^#~'; then
    echo "$po: untranslated, fuzzy or obsolete texts"
    status=1
  fi
done
exit $status
