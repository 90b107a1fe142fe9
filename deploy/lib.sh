# shellcheck shell=bash
# What deploy/up and deploy/down share: where things are, what is running, how it is stopped, how steps are shown.
# Expects `top`, the checkout. A process is known by its pid and its start time, so that a pid used again by another program is never taken for ours.

data=$top/.autodb
run=$data/run
logs=$data/log

# --- what is shown ---

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' plain=''
fi
step_text='' step_from=0

now_ms() { local t=${EPOCHREALTIME/[^0-9]/}; echo "${t%???}"; }
seconds_since() { local ms=$(($(now_ms) - $1)); printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100)); }

step() { # text: what happens from now on
  step_text=$1 step_from=$(now_ms)
  if [ -t 1 ]; then printf '  %s·%s %s' "$dim" "$plain" "$1"; fi
}
step_note() { # shown beside a running step, on terminals
  if [ -t 1 ]; then printf '\r\e[K  %s·%s %s %s%s%s' "$dim" "$plain" "$step_text" "$dim" "$1" "$plain"; fi
}
done_step() { # [text in place of the step's]
  if [ -t 1 ]; then printf '\r\e[K'; fi
  printf '  %s✓%s %s %s%s%s\n' "$green" "$plain" "${1:-$step_text}" "$dim" "$(seconds_since "$step_from")" "$plain"
  step_text=''
}
say() { printf '  %s %s\n' "${dim}·${plain}" "$1"; }

# die MESSAGE [WHAT TO DO] [LOG]: the log's end first, so that the message is what stands last.
die() {
  if [ -n "$step_text" ]; then
    if [ -t 1 ]; then printf '\r\e[K'; fi
    printf '  %s✗%s %s\n' "$red" "$plain" "$step_text"
    step_text=''
  fi
  if [ -n "${3:-}" ] && [ -s "$3" ]; then
    printf -- '--- the end of %s\n' "$3" >&2
    tail -n 25 "$3" >&2
    printf -- '---\n' >&2
  fi
  printf '%s: %s%s%s\n' "${0##*/}" "$red" "$1" "$plain" >&2
  if [ -n "${2:-}" ]; then printf '  %s\n' "$2" >&2; fi
  exit 1
}

# --- processes ---

# When a process started, in a form that no other process of this machine has: boot and clock tick. Fails when there is none (or only its zombie).
identity() { # pid
  local stat boot
  { read -r stat <"/proc/$1/stat" && read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086
  set -- $stat # fields from the third on: state first, start time is the twentieth
  [ "$1" != Z ] && [ "$1" != X ] || return 1
  echo "$boot ${20}"
}

pid_of() { # name: prints the pid when that process runs
  local pid known
  { read -r pid <"$run/$1.pid" && read -r known <"$run/$1.start"; } 2>/dev/null || return 1
  [ "$(identity "$pid")" = "$known" ] || return 1
  echo "$pid"
}

record() { # name pid
  local id
  id=$(identity "$2") || return 1
  echo "$id" >"$run/$1.start"
  echo "$2" >"$run/$1.pid"
}

forget() { rm -f "$run/$1.pid" "$run/$1.start" "$run/$1.settings"; }

stop() { # name signal seconds: ends it, hard when it takes longer
  local pid until
  pid=$(pid_of "$1") || { forget "$1"; return 0; }
  kill "-$2" "$pid" 2>/dev/null || true
  kill -CONT "$pid" 2>/dev/null || true
  until=$(($(now_ms) + $3 * 1000))
  while pid_of "$1" >/dev/null; do
    if [ "$(now_ms)" -gt "$until" ]; then
      say "$1 did not stop within $3 s and was killed (log: $logs/$1.log)"
      kill -KILL "$pid" 2>/dev/null || true
      until=$((until + 60000))
    fi
    sleep 0.05
  done
  forget "$1"
}

running_workers() { # names, by number
  local file
  for file in "$run"/worker-*.pid; do
    [ -e "$file" ] || continue
    file=${file##*/}
    echo "${file%.pid}"
  done | sort -t- -k2n
}

# Workers first, so that nothing is claimed any more; the record last.
stop_all() {
  local name pid
  for name in $(running_workers); do # all are told before any is waited for
    if pid=$(pid_of "$name"); then kill -TERM "$pid" 2>/dev/null || true; fi
  done
  for name in $(running_workers); do stop "$name" TERM 30; done
  stop api TERM 20
  stop redis TERM 20
  stop postgres INT 60
  rm -rf --one-file-system -- "${own_sandbox_dirs[@]}" # never one that AUTODB_SANDBOX_DIR names
}

anything_running() {
  local name
  for name in postgres redis api $(running_workers); do
    if pid_of "$name" >/dev/null; then return 0; fi
  done
  return 1
}

# --- places ---

# Sandboxes live in memory where there is enough of it, in a folder of this checkout's own; their sockets need a short path.
sandbox_id=$(id -u)-$(printf '%s' "$top" | cksum | cut -d' ' -f1)
own_sandbox_dirs=("/dev/shm/autodb-$sandbox_id" "$data/sandbox" "/tmp/autodb-$sandbox_id")
sandbox_dir() {
  local free
  if [ -n "${AUTODB_SANDBOX_DIR:-}" ]; then echo "$AUTODB_SANDBOX_DIR"; return; fi
  free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1) || free=0
  if [ -w /dev/shm ] && [ "${free:-0}" -gt 262144 ]; then echo "${own_sandbox_dirs[0]}"
  elif [ ${#data} -le 64 ]; then echo "${own_sandbox_dirs[1]}"
  else echo "${own_sandbox_dirs[2]}"; fi
}

# One `up` or `down` per checkout at a time. Released with the shell; what is started is given no copy (9>&-).
lock() {
  exec 9>>"$run/lock"
  flock -n 9 || {
    say "another deploy/up or deploy/down works on this checkout; waiting for it"
    flock -w 900 9 || die "it did not end within 15 minutes" "look for it with: fuser -v '$run/lock'"
  }
}

# As root: the rest of the script runs as the user "autodb", who owns .autodb. Returns only when there is nothing to drop.
become_service() { # script arguments…
  [ "$(id -u)" = 0 ] || return 0
  exec "$top/deploy/as-service" "$@"
}
