#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: 2026 the libmp authors
#
# test-run.sh PRIVATE-BUS SESSION.CONF DEV: what `./dev run` promises.
set -u

launcher=$1 conf=$2 dev=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0

run()
{
  "$launcher" "$conf" "$dir/bus.log" "$@"
}

# check NAME GOT WANTED
check()
{
  count=$((count + 1))
  if [ "$2" = "$3" ]; then
    echo "ok $count - $1"
  else
    echo "not ok $count - $1"
    printf '# got %s, wanted %s\n' "$2" "$3"
  fi
}

status_of()
{
  "$@" >"$dir/out" 2>"$dir/err"
  echo $?
}

check 'exit status' "$(status_of run sh -c 'exit 7')" 7
check 'says nothing' "$(cat "$dir/out" "$dir/err")" ''
# shellcheck disable=SC2016 # for the inner shell
check 'killed by a signal' "$(status_of run sh -c 'kill -9 $$')" 137
check 'says nothing of that either' "$(cat "$dir/out" "$dir/err")" ''
check 'no such command' "$(status_of run /nonexistent)" 127
check 'not a program' "$(status_of run /etc/passwd)" 126
check 'working directory' "$(cd "$dir" && run pwd)" "$dir"
check 'standard input' "$(echo hello | run cat)" hello
check 'arguments' "$(run printf '%s|' 'a b' '' '*')" 'a b||*|'
check 'the bus works' "$(run gdbus call --session -d org.freedesktop.DBus \
  -o / -m org.freedesktop.DBus.NameHasOwner org.freedesktop.DBus)" '(true,)'
# shellcheck disable=SC2016
check 'and is another each time' \
  "$(run sh -c 'echo "$DBUS_SESSION_BUS_ADDRESS"' | grep -cF "$(run sh -c 'echo "$DBUS_SESSION_BUS_ADDRESS"')")" 0

# SIGTERM reaches the command, which may take its time; the bus is gone after it.
mkfifo "$dir/ready" "$dir/go"
# shellcheck disable=SC2016
"$launcher" "$conf" "$dir/bus.log" sh -c 'dir=$1
  sleep 100 >/dev/null &
  trap "kill $!; read -r line <\$dir/go; echo \$line; exit 3" TERM
  echo "$DBUS_SESSION_BUS_ADDRESS" >"$dir/ready"
  wait' sh "$dir" >"$dir/out" &
pid=$!
read -r address <"$dir/ready"
kill -TERM $pid
echo finished >"$dir/go"
wait $pid
check 'SIGTERM is handed on' "$?" 3
check 'and waited for' "$(cat "$dir/out")" finished
check 'the bus is gone' \
  "$(status_of gdbus call --address "$address" -d org.freedesktop.DBus -o / -m org.freedesktop.DBus.GetId)" 1

check 'dev help' "$(status_of "$dev" help)" 0
check 'dev without a command' "$(status_of "$dev")" 2
check 'dev with an unknown one' "$(status_of "$dev" nonsense)" 2
check 'which it names on stderr' "$(head -n 1 "$dir/err")$(cat "$dir/out")" 'dev: unknown command: nonsense'
check 'dev run without one' "$(status_of "$dev" run)" 2
check 'dev deps of nothing known' "$(status_of "$dev" deps nonsense)" 1
echo "1..$count"
