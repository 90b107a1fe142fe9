# shellcheck shell=bash
# What the end-to-end scripts share: a copy of the tree to run deploy/up in, checks that say what they check, processes of that copy.
set -euo pipefail
source_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

bad=0
ok() { printf '  ok    %s\n' "$1"; }
no() { printf '  NOT   %s\n' "$1"; bad=1; }
check() { # text command…
  local text=$1
  shift
  if "$@" >/dev/null 2>&1; then ok "$text"; else no "$text"; fi
}
holds() { # text file pattern…: every pattern (fixed text) occurs in the file
  local text=$1 file=$2 pattern
  shift 2
  for pattern in "$@"; do
    grep -qF -- "$pattern" "$file" || { no "$text: \"$pattern\" is missing"; return; }
  done
  ok "$text"
}
must() { # text command…: what follows makes no sense without it
  local text=$1
  shift
  "$@" || { no "$text"; exit 1; }
}
within() { # seconds command…: polls
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

# A path with a space, outside the checkout. tests/run gives one to all scripts, so that it is built once.
make_tree() {
  if [ -n "${AUTODB_E2E_TREE:-}" ] && [ -d "$AUTODB_E2E_TREE" ]; then tree=$AUTODB_E2E_TREE; return; fi
  if [ -z "${AUTODB_E2E_TREE:-}" ]; then
    tree_parent=$(mktemp -d /tmp/autodb-e2e-XXXXXX)
    chmod 755 "$tree_parent"
    tree="$tree_parent/check out"
  else tree=$AUTODB_E2E_TREE; fi
  mkdir -p "$tree"
  tar -C "$source_top" --exclude=./build --exclude=./.autodb --exclude=./.git --exclude=./tests/.work -cf - . | tar -C "$tree" -xf -
}

# Whatever happens, nothing stays behind.
leave() {
  local status=$?
  "$tree/deploy/down" >/dev/null 2>&1 || true
  if [ -n "${squatter:-}" ]; then kill "$squatter" 2>/dev/null || true; fi
  if [ -n "${tree_parent:-}" ]; then rm -rf "$tree_parent"; fi
  if [ "$bad" != 0 ]; then status=1; fi
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT TERM

pid_of() { cat "$tree/.autodb/run/$1.pid"; }
started_at() { # pid: nothing when it is gone
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  stat=${stat##*) }
  case "$stat" in Z* | X*) return 0 ;; esac
  # shellcheck disable=SC2086
  set -- $stat
  echo "${20}"
}
# Every process below a pid, as "pid:start".
family() { # pid
  local child
  echo "$1:$(started_at "$1")"
  for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do family "$child"; done
}
gone() { # "pid:start"…
  local member
  for member in "$@"; do
    if [ -n "${member#*:}" ] && [ "$(started_at "${member%%:*}")" = "${member#*:}" ]; then return 1; fi
  done
}
