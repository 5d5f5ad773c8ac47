#!/bin/sh
# Holdfast's embedded Temporal server: finds (else fetches, else builds) the `temporal` CLI and becomes the server.
#
#   temporal-dev.sh [start [FLAG...]]   starts the server; this process turns into it (exec), so its end is the server's
#                                       end. Flags go to `temporal server start-dev`, after ours
#   temporal-dev.sh bin                 only finds the CLI and prints its path
#
# stdout carries one line, when everything below is in place, and is then closed by us:
#   temporal ready address=127.0.0.1:PORT ui=http://127.0.0.1:PORT|off pid=N
# stderr carries what we do and the server's log.
#
# Environment (all optional)
#   HOLDFAST_TEMPORAL_BIN        the CLI to use; nothing else is tried then
#   HOLDFAST_HOME                data; default $XDG_STATE_HOME/holdfast, else ~/.local/state/holdfast
#   HOLDFAST_TEMPORAL_PORT       gRPC, default 7233; 0 takes a free one
#   HOLDFAST_TEMPORAL_UI_PORT    Web UI, default 8233; 0 takes a free one; `off` leaves it out
#   HOLDFAST_TEMPORAL_LOG_LEVEL  debug, info, warn (default), error, never
#
# Exit codes of our own: 64 bad configuration, 69 no CLI can be had, 75 the database is in use.
set -eu
unset CDPATH

# The newest version that go can build from its module alone: later ones have replace directives. It holds server 1.29.1.
version=1.5.1
# With the SQLite driver of that version (1.34.1) a query whose deadline passes at a bad moment is never closed: from then on the
# database is never checkpointed, and after the next such query everything fails, "interrupted (9)". Not so with 1.40.1; the
# supervisor looks out for both where the CLI is another (src/supervisor/temporal-pulse.ts).
driver_version=1.40.1
# Another number is another name in the cache: what was put there before is not used any more.
cached=temporal-v$version-2
# The dev server keeps a finished workflow for a day, which is too short to look into last week's trouble.
retention_days=90
search_attributes='HoldfastState=Keyword HoldfastTable=Keyword HoldfastProvider=Keyword HoldfastTurnStartedAt=Datetime HoldfastQuiet=Bool'

say() { printf 'temporal-dev: %s\n' "$*" >&2; }
die() {
  exit_code=$1
  shift
  say "$*"
  exit "$exit_code"
}

# --- The CLI ------------------------------------------------------------------------------------------------

# A file of that name proves nothing: it may be another program, for another processor, or too old.
works() { "$1" server start-dev --help 2>/dev/null | grep -q -- --search-attribute; }

# Runs a program so that a signal to us is obeyed at once and takes it along; a shell defers its traps while it runs one
# in the foreground. What it says goes to the log.
attend() {
  before=${!:-}
  child=unnoted
  "$@" >"$work/log" 2>&1 &
  child=$!
  seconds=0
  while kill -0 "$child" 2>/dev/null; do
    sleep 1
    seconds=$((seconds + 1))
    [ $((seconds % 10)) -ne 0 ] || say "still at it after $seconds s: $(tail -n 1 "$work/log")"
  done
  wait "$child" || {
    child=
    return 1
  }
  child=
}

download() {
  command -v curl >/dev/null || {
    say 'no download: there is no curl'
    return 1
  }
  case $(uname -s) in
    Linux) platform=linux ;;
    Darwin) platform=darwin ;;
    *) return 1 ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) return 1 ;;
  esac
  say "downloading the temporal CLI $version from temporal.download"
  # gives up on a network that does not answer, and on one that answers with a trickle
  attend curl -fsSL --connect-timeout 5 --speed-limit 10000 --speed-time 10 --max-time 300 -o "$work/archive.tar.gz" \
    "https://temporal.download/cli/archive/v$version?platform=$platform&arch=$arch" &&
    tar -xzf "$work/archive.tar.gz" -C "$work" temporal 2>>"$work/log" &&
    works "$work/temporal" && return
  say "no download: $(tail -n 1 "$work/log")"
  return 1
}

build() {
  command -v go >/dev/null || {
    say 'no build: there is no go'
    return 1
  }
  say "building the temporal CLI $version, once (1.5 minutes on 4 cores)"
  mkdir "$work/module"
  cat >"$work/module/go.mod" <<END
module temporal

go 1.25.0

require (
	github.com/temporalio/cli v$version
	modernc.org/sqlite v$driver_version
)
END
  # -v names each package as it is built, which tells how far it is; without cgo no C compiler is needed
  attend env CGO_ENABLED=0 GOWORK=off go -C "$work/module" build -v -mod=mod -o "$work/temporal" \
    github.com/temporalio/cli/cmd/temporal && works "$work/temporal" && return
  say "no build: $(tail -n 5 "$work/log")"
  return 1
}

# Leaves nothing of an unfinished search behind.
clean_up() {
  # A signal may come between the start of a program and the note of its pid.
  if [ "${child:-}" = unnoted ]; then
    child=
    [ "${!:-}" = "$before" ] || child=${!:-}
  fi
  [ -z "${child:-}" ] || kill "$child" 2>/dev/null || :
  [ -z "${work:-}" ] || rm -rf "$work"
  [ -z "${lock:-}" ] || rm -rf "$lock"
  child= work= lock=
  trap - EXIT HUP INT TERM
}

# Sets `binary` to the CLI in our cache, which it fills first when need be.
use_cache() {
  [ -n "${XDG_CACHE_HOME:-}" ] || [ -n "${HOME:-}" ] ||
    die 69 'there is neither HOME nor XDG_CACHE_HOME to keep the temporal CLI in; set one, or HOLDFAST_TEMPORAL_BIN'
  cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/holdfast
  binary=$cache/$cached
  # The lock only spares the second of two starters the work: each works in a folder of its own and
  # moves the result into place whole, so even a lock that was lost to a crash cannot spoil the cache.
  waited=0
  while :; do
    ! works "$binary" || return 0
    mkdir -p "$cache" || die 69 "cannot write to $cache"
    if mkdir "$binary.lock" 2>/dev/null; then break; fi
    owner=$(cat "$binary.lock/pid" 2>/dev/null || :)
    # a lock without a number is being made, or its maker died in between
    if { [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; } || { [ -z "$owner" ] && [ "$waited" -gt 5 ]; }; then
      rm -rf "$binary.lock"
      continue
    fi
    [ $((waited % 10)) -ne 0 ] || say "waiting for process ${owner:-?}, which fetches the temporal CLI"
    sleep 1
    waited=$((waited + 1))
  done

  lock=$binary.lock
  trap clean_up EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  echo $$ >"$lock/pid"
  # The owner before us may have finished between our look and our lock.
  if works "$binary"; then
    clean_up
    return 0
  fi
  work=$cache/.$cached.$$
  rm -rf "$work"
  mkdir "$work"
  download || build || die 69 "there is no temporal CLI on PATH or in $cache, and it could be neither downloaded nor built; \
install it (https://docs.temporal.io/cli), or go 1.25 or newer, or name it in HOLDFAST_TEMPORAL_BIN"
  chmod 755 "$work/temporal"
  mv -f "$work/temporal" "$binary"
  clean_up
}

# Sets `binary`.
find_binary() {
  if [ -n "${HOLDFAST_TEMPORAL_BIN:-}" ]; then
    binary=$HOLDFAST_TEMPORAL_BIN
    works "$binary" || die 69 "HOLDFAST_TEMPORAL_BIN=$binary is not a temporal CLI that can start a server"
  elif binary=$(command -v temporal) && works "$binary"; then
    :
  else
    [ -z "$binary" ] || say "$binary cannot start a server with search attributes; looking further"
    use_cache
  fi
}

# --- The server ---------------------------------------------------------------------------------------------

# Two free ports. Not those the system would give: they are in the range that every outgoing connection draws from,
# and this one must still be free in a second, and again when the server is restarted.
free_ports() {
  PATH=$PATH:$root/node_modules/.bin
  command -v node >/dev/null || die 64 'port 0 needs node, to find a free one'
  node -e '
    const { createServer } = require("node:net");
    const found = new Set();
    (function next() {
      if (found.size === 2) return console.log([...found].join(" "));
      const port = 10000 + Math.floor(Math.random() * 22000);
      const server = createServer().once("error", next);
      server.listen(port, "127.0.0.1", () => server.close(() => next(found.add(port))));
    })();'
}

port_of() { # name, value, free port
  case $2 in
    0) printf '%s\n' "$3" && return ;;
    *[!0-9]* | 0* | ??????*) ;;
    *) [ "$2" -gt 65535 ] || { printf '%s\n' "$2" && return; } ;;
  esac
  die 64 "$1=$2 is not a port"
}

# Asks the server, undisturbed by anyone's Temporal profile, TLS settings or address.
ask() {
  env -i "$binary" "$@" --disable-config-file --disable-config-env --env-file /dev/null \
    --address "127.0.0.1:$port" --command-timeout 5s 2>&1
}

# Runs beside the server until it is ready, and ends with it. $$ is the server: a subshell keeps its parent's.
finish_start() {
  attempts=0
  until namespace=$(ask operator namespace describe --namespace default -o json); do
    kill -0 $$ 2>/dev/null || return
    attempts=$((attempts + 1))
    [ "$attempts" -lt 600 ] || {
      say "the server does not answer: $namespace"
      kill -TERM $$
      return
    }
    sleep 0.1
  done
  # The flags below take effect only in a new database; an older one may lack what was added since.
  missing=
  for attribute in $search_attributes; do
    case $namespace in
      *"\"${attribute%=*}\""*) ;;
      *) missing="$missing --name ${attribute%=*} --type ${attribute#*=}" ;;
    esac
  done
  case $namespace in
    *"\"$((retention_days * 86400))s\""*) ;;
    *) failure=$(ask operator namespace update --namespace default --retention "${retention_days}d") || {
      say "cannot raise the retention: $failure"
      kill -TERM $$
      return
    } ;;
  esac
  # shellcheck disable=SC2086 # words are what is wanted
  [ -z "$missing" ] || failure=$(ask operator search-attribute create --namespace default $missing) || {
    say "cannot register search attributes: $failure"
    kill -TERM $$
    return
  }
  rm -f temporal.db.unready
  printf 'temporal ready address=127.0.0.1:%s ui=%s pid=%s\n' "$port" "$ui" $$
}

# The kernel gives this lock back when the server ends, however it ends: it is held by an open file that exec leaves open.
lock_database() {
  exec 9>>temporal.db.lock
  if command -v flock >/dev/null; then
    flock -n 9 || die 75 "$home/temporal.db is in use by the server with process id $(cat temporal.db.lock)"
  else
    owner=$(cat temporal.db.lock)
    case $([ -z "$owner" ] || ps -p "$owner" -o comm= 2>/dev/null || :) in
      *temporal*) die 75 "$home/temporal.db is in use by the server with process id $owner" ;;
    esac
  fi
  echo $$ >temporal.db.lock
}

start() {
  root=$(cd "$(dirname "$0")" && pwd -P)
  [ -n "${HOLDFAST_HOME:-}" ] || [ -n "${XDG_STATE_HOME:-}" ] || [ -n "${HOME:-}" ] ||
    die 64 'there is no HOME to keep data in; set HOLDFAST_HOME'
  home=${HOLDFAST_HOME:-${XDG_STATE_HOME:-${HOME:-}/.local/state}/holdfast}
  log_level=${HOLDFAST_TEMPORAL_LOG_LEVEL:-warn}
  case $log_level in
    debug | info | warn | error | never) ;;
    *) die 64 "HOLDFAST_TEMPORAL_LOG_LEVEL=$log_level is not debug, info, warn, error or never" ;;
  esac

  free=
  case ${HOLDFAST_TEMPORAL_PORT:-},${HOLDFAST_TEMPORAL_UI_PORT:-} in
    0,* | *,0) free=$(free_ports) ;;
  esac
  port=$(port_of HOLDFAST_TEMPORAL_PORT "${HOLDFAST_TEMPORAL_PORT:-7233}" "${free% *}")
  ui=off
  if [ "${HOLDFAST_TEMPORAL_UI_PORT:-}" != off ]; then
    ui_port=$(port_of HOLDFAST_TEMPORAL_UI_PORT "${HOLDFAST_TEMPORAL_UI_PORT:-8233}" "${free#* }")
    ui=http://127.0.0.1:$ui_port
  fi

  # Else the questions below would go to that one, and change it.
  ! ask operator cluster health >/dev/null ||
    die 75 "another Temporal server has port $port; set HOLDFAST_TEMPORAL_PORT (0 takes a free one)"

  # What people write is in that database.
  umask 077
  mkdir -p "$home" || die 64 "cannot write to $home"
  # The server puts the database's name into a URL unescaped: a plain name works wherever the folder is.
  cd "$home"
  home=$(pwd -P)
  lock_database

  # A server that is killed while it makes its tables never starts on them again. Nothing is lost with such a
  # database: the mark is taken away before anyone is told that the server is there.
  if [ -e temporal.db.unready ]; then
    say 'the last start was cut short before it was ready; starting with a new database'
    rm -f temporal.db temporal.db-wal temporal.db-shm
  elif [ ! -e temporal.db ]; then
    : >temporal.db.unready
  fi
  built=$("$binary" --version | sed 's/.*(\(Server [^,)]*\).*/\1/')
  wrote=$(cat temporal.db.version 2>/dev/null || :)
  [ -z "$wrote" ] || [ "$wrote" = "$built" ] ||
    say "temporal.db was made by $wrote and this is $built, which does not migrate it; if it fails, move $home/temporal.db* away"
  printf '%s\n' "$built" >temporal.db.version

  if [ "$ui" = off ]; then
    set -- --headless "$@"
  else
    set -- --ui-port "$ui_port" "$@"
  fi
  for attribute in $search_attributes; do
    set -- --search-attribute "$attribute" "$@"
  done
  # `full`, since `normal` may lose acknowledged signals at a power cut; it costs half a millisecond a signal.
  # A write-ahead log that has once been long is cut when it is begun again.
  set -- --sqlite-pragma journal_mode=wal --sqlite-pragma synchronous=full --sqlite-pragma journal_size_limit=16777216 "$@"
  # The default of 20 polls a second, with the dev server's one shard, holds back every second task by 70-100 ms.
  for queue in transfer timer visibility; do
    set -- --dynamic-config-value "history.${queue}ProcessorMaxPollRPS=2000" "$@"
  done
  # With the default of 4 partitions one new workflow in a hundred waits 2 s for its first task.
  set -- --dynamic-config-value matching.numTaskqueueReadPartitions=1 \
    --dynamic-config-value matching.numTaskqueueWritePartitions=1 "$@"
  # Its HTTP API takes any Host, so a web page could reach it by a name that resolves to 127.0.0.1. One pattern only:
  # of several the server anchors just the ends of the list.
  set -- --dynamic-config-value 'frontend.httpAllowedHosts=["127.0.0.1:*"]' "$@"
  set -- --ip 127.0.0.1 --port "$port" --db-filename temporal.db --log-level "$log_level" "$@"

  # Twice in the background, so that it is nobody's zombie; without the lock, which is the server's alone.
  (finish_start 9>&- &)
  exec "$binary" server start-dev "$@" >&2
}

case ${1:-start} in
  bin)
    find_binary
    printf '%s\n' "$binary"
    ;;
  start)
    find_binary
    [ $# -eq 0 ] || shift
    start "$@"
    ;;
  *)
    say 'usage: temporal-dev.sh [start [flag...] | bin]'
    exit 64
    ;;
esac
