#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
#
# One job, three callers: runs the word count in C, in Python and over D-Bus on
# the same files, and fails unless all three found the same. Each of them also
# counts in one process alone and compares. `./dev demo` runs this.
#
#   demo.sh [--limit MIB] [DIRECTORY…]      default: the directories of wordcount

set -eu
export LC_ALL=C

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
wordcount=${MP_BUILD:-$here/../build}/examples/wordcount
limit=

case ${1-} in
  -h | --help) sed -n '5,9s/^# \{0,1\}//p' "$0"; exit ;;
  --limit) limit=${2:?--limit needs a number of MiB}; shift 2 ;;
  --limit=*) limit=${1#*=}; shift ;;
esac
if [ $# -eq 0 ]
then
  for directory in /usr/share/doc /usr/share/perl /usr/include /usr/lib/python3*
  do
    [ ! -d "$directory" ] || set -- "$@" "$directory"
  done
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The list is taken once. A limit takes every n-th file, so that all kinds remain.
find -H "$@" -type f -print0 >"$scratch/list" || : # it has said what it could not read
if [ -n "$limit" ]
then
  size=$(xargs -0 -r stat -c %s <"$scratch/list" | awk '{ n += $1 } END { print int (n / 1048576) + 1 }')
  step=$(((size + limit - 1) / limit))
  tr '\n\0' '\0\n' <"$scratch/list" | awk -v step="$step" 'NR % step == 0' | tr '\n\0' '\0\n' >"$scratch/some"
  mv "$scratch/some" "$scratch/list"
  echo "Taken: one file in $step of $size MiB."
fi
printf 'Counting the words of %d files below' "$(tr -cd '\0' <"$scratch/list" | wc -c)"
printf ' %s' "$@"
printf '.\n'

run () {
  title=$1 table=$scratch/$2
  shift 2
  printf '\n%s\n' "== $title"
  "$@" --files-from "$scratch/list" --output "$table"
}

run 'C: a registered task, mp_pool_imap_unordered()' c "$wordcount"
run 'Python: a function, Mp.Pool' python python3 "$here/wordcount.py"
run 'Shell: gdbus and a pool of the service' shell "$here/wordcount.sh"

for other in python shell
do
  if ! cmp "$scratch/c" "$scratch/$other"
  then
    echo "DIFFERENT: C and $other do not find the same words." >&2
    exit 1
  fi
done
echo
echo "EQUAL: C, Python and D-Bus found the same $(wc -l <"$scratch/c") words, as did one process alone."
