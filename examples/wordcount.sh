#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
#
# Counts the words of every text file below some directories, in the worker
# processes of the libmp service: nothing is used but gdbus and the tools of a
# shell. What the workers run is count_part() of wordcount_tasks.py.

set -eu
export LC_ALL=C

usage () {
  cat <<'EOF'
Usage: wordcount.sh [OPTION…] [DIRECTORY…]
Counts the words of all text files below the directories.

  -j, --workers N        count in N processes (default: one a processor)
      --no-baseline      do not count again in one worker process
      --files-from FILE  count the files named in FILE, a NUL after each
  -o, --output FILE      write all words with their numbers to FILE
  -h, --help             show this text
EOF
}

die () {
  echo "wordcount: $1" >&2
  exit 2
}

# method OBJECT INTERFACE.METHOD ARGUMENT… calls the service, which the bus
# starts when nobody has, and prints its reply.
method () {
  object=$1 name=$2
  shift 2
  gdbus call --session --dest org.libmp.Mp1 --object-path "$object" --method "$name" "$@"
}

# The object path in a reply: (objectpath '/org/libmp/…',)
object_path () {
  sed "s/.*'\(.*\)'.*/\1/"
}

# count WORKERS TABLE makes a pool and counts in it; lines "number word" go to TABLE.
count () {
  pool=$(method /org/libmp/Mp1 org.libmp.Mp1.Manager.CreatePool "$1" \
    "{'name': <'wordcount-$$-$1'>, 'runtime': <'python'>, 'python-path': <['$here']>, 'max-attempts': <uint32 3>}" |
    object_path)
  job=$(method "$pool" org.libmp.Mp1.Pool.Map wordcount_tasks:count_part "$parts" \
    "{'chunk-size': <uint32 1>}" | object_path)

  until [ "$(method "$job" org.libmp.Mp1.Job.Wait "{'timeout': <$interval>}")" = '(true,)' ]
  do
    [ ! -t 1 ] || method "$job" org.freedesktop.DBus.Properties.Get org.libmp.Mp1.Job Progress |
      awk -F'[<>]' '{ printf "\rcounting %3.0f %%", $2 * 100 }'
  done
  [ ! -t 1 ] || printf '\r\033[K'

  # Each result is a string of " word=number word=number … ".
  method "$job" org.libmp.Mp1.Job.GetResult '{}' | tr ' ' '\n' |
    awk -F= 'NF == 2 { n[$1] += $2 } END { for (word in n) printf "%.0f %s\n", n[word], word }' |
    sort -k1,1nr -k2 >"$2"
  forget
}

# Ends the pool of count(); its name would keep it alive after this program.
forget () {
  [ -z "$pool" ] || method "$pool" org.libmp.Mp1.Object.Close '{}' >/dev/null
  pool=
}

finish () {
  status=$?
  trap - EXIT
  forget
  rm -rf "$scratch"
  exit "$status"
}

found () {
  awk -v key="#$1" '$2 == key { n = $1 } END { print n + 0 }' "$scratch/table"
}

now () {
  date +%s.%N
}

seconds () {
  awk -v start="$1" -v end="$2" 'BEGIN { printf "%.2f", end - start }'
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
workers=$(getconf _NPROCESSORS_ONLN)
baseline=yes list='' output=''
while [ $# -gt 0 ]
do
  case $1 in
    -j | --workers) [ $# -gt 1 ] || die "$1 needs a number"; workers=$2; shift ;;
    --workers=*) workers=${1#*=} ;;
    --no-baseline) baseline= ;;
    --files-from) [ $# -gt 1 ] || die "$1 needs a file"; list=$2; shift ;;
    --files-from=*) list=${1#*=} ;;
    -o | --output) [ $# -gt 1 ] || die "$1 needs a file"; output=$2; shift ;;
    --output=*) output=${1#*=} ;;
    -h | --help) usage; exit ;;
    --) shift; break ;;
    -*) die "unknown option $1 (see --help)" ;;
    *) break ;;
  esac
  shift
done
case $workers in
  '' | *[!0-9]* | 0) die "--workers must be a number from 1, not '$workers'" ;;
esac

pool=
scratch=$(mktemp -d)
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "$list" ]
then
  cat -- "$list" >"$scratch/list" || exit 2
else
  if [ $# -eq 0 ]
  then
    for directory in /usr/share/doc /usr/share/perl /usr/include /usr/lib/python3*
    do
      [ ! -d "$directory" ] || set -- "$@" "$directory"
    done
  fi
  for directory
  do
    [ -e "$directory" ] || die "$directory: No such file or directory"
    find -H "$directory" -type f -print0 || : # it has said what it could not read
  done >"$scratch/list"
fi

# 8 parts a worker: small enough tasks that the workers end together.
parts=$(awk -v list="$scratch/list" -v n="$((workers * 8))" 'BEGIN {
  if (n > 1024) n = 1024 # what fits into one argument of a command
  for (i = 0; i < n; i++) printf "%s<(\"%s\", %d, %d)>", i ? ", " : "[", list, i, n
  print "]"
}')

interval=20.0
[ ! -t 1 ] || interval=0.2

start=$(now)
count "$workers" "$scratch/table"
end=$(now)
grep -v '#' "$scratch/table" >"$scratch/words" || :

head -n 20 "$scratch/words" | awk '{ printf "%10d %s\n", $1, $2 }'
echo "$(found files) text files, $(found bytes) bytes, $(wc -l <"$scratch/words") different words;" \
  "left out: $(found binary) binary files, $(found unreadable) unreadable ones"
echo "$workers worker processes: $(seconds "$start" "$end") seconds"

if [ -n "$baseline" ]
then
  alone=$(now)
  count 1 "$scratch/alone"
  alone=$(seconds "$alone" "$(now)")
  echo "one worker process: $alone seconds, speed-up" \
    "$(awk -v one="$alone" -v many="$(seconds "$start" "$end")" 'BEGIN { printf "%.2f", one / many }')"
  cmp -s "$scratch/table" "$scratch/alone" || die 'one worker process counts something else'
fi
[ -z "$output" ] || cp "$scratch/words" "$output"
