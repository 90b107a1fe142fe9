#!/usr/bin/env bash
# deploy/up and deploy/down as somebody meets them: from nothing, again, after a crash, in the foreground, and away.
. "$(dirname "$0")/lib.sh"
make_tree
cd "$tree"
out=$(mktemp)
trap 'rm -f "$out"; leave' EXIT

up() { # text argument…: what it prints goes to $out
  local text=$1
  shift
  if ./deploy/up "$@" >"$out" 2>&1 </dev/null; then ok "$text"; return; fi
  no "$text"
  tail -n 60 "$out"
  exit 1
}

# Something else has the default port.
if ! (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; then
  python3 -m http.server 8080 --bind 127.0.0.1 >/dev/null 2>&1 &
  squatter=$!
  within 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080' || true
fi

echo 'from nothing'
up 'deploy/up ends well' --reset --detach
holds 'the report is printed' "$out" 'Risk ' 'Blast radius' 'Sandbox' 'passed on postgres' 'Rollback' 'AccessExclusiveLock' 'shop.orders'
holds 'a busy default port is avoided, and said' "$out" 'port 8080 is in use'
. .autodb/env
for name in AUTODB_URL AUTODB_API_KEY AUTODB_METRICS_URL AUTODB_DATABASE_URL AUTODB_REDIS_URL DEMO_DATABASE_URL DEMO_CONNECTION_ID DEMO_READER_CONNECTION_ID; do
  check ".autodb/env names $name" test -n "${!name:-}"
done
for file in env api-key master-key state; do check ".autodb/$file is for its owner alone" test "$(stat -c %a ".autodb/$file")" = 600; done
for name in api worker-1 postgres redis; do
  check "$name.pid is a running process" test -n "$(started_at "$(pid_of "$name")")"
  check "$name does not run as root" test "$(stat -c %U "/proc/$(pid_of "$name")")" != root
done

echo 'the server'
call() { curl -s --noproxy '*' -m 60 -H "X-API-Key: $AUTODB_API_KEY" "$@"; }
code() { call -o /dev/null -w '%{http_code}' "$@"; }
check '/healthz is 200' test "$(code "$AUTODB_URL/healthz")" = 200
check '/readyz is 200' test "$(code "$AUTODB_URL/readyz")" = 200
check 'no key is 401' test "$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "$AUTODB_URL/api/v1/jobs")" = 401
check 'metrics have a listener of their own' test "$(code "$AUTODB_METRICS_URL")" = 200
check 'an echo comes back' grep -q '"status" *: *"succeeded"' <(call -H 'Prefer: wait=20' -H 'Content-Type: application/json' -d '{"payload":1}' "$AUTODB_URL/api/v1/jobs/echo")
grep '^  curl ' "$out" | while read -r line; do
  if bash -c "$line -s" 2>/dev/null | grep -q '"success" *: *true'; then ok "works as printed: ${line:0:60}…"; else no "works as printed: $line"; exit 1; fi
done || bad=1

for id in "$DEMO_CONNECTION_ID" "$DEMO_READER_CONNECTION_ID"; do
  check 'the demo document is found' grep -q 'handbook.md' <(build/release/autodb context query 'Until when may customers send goods back?' --connection "$id" 2>/dev/null)
done
check 'a question without a connection is asked of the one that reads' grep -q 'handbook.md' <(build/release/autodb context query 'Until when may customers send goods back?' 2>/dev/null)
check 'a question is answered from the demo' grep -q 'Customer' <(build/release/autodb ask 'Which five customers spent the most?' 2>/dev/null)

echo 'again'
key=$AUTODB_API_KEY connection=$DEMO_CONNECTION_ID api=$(pid_of api) from=$SECONDS
up 'a second up ends well' --detach
check 'it takes seconds' test $((SECONDS - from)) -lt 30
holds 'it says what runs already, and shows the report' "$out" 'already running' 'Risk '
. .autodb/env
check 'key, connection and processes are the same' test "$key $connection $api" = "$AUTODB_API_KEY $DEMO_CONNECTION_ID $(pid_of api)"

echo 'after a crash'
worker=$(pid_of worker-1)
mapfile -t kin < <(family "$worker")
kill -9 "$worker"
check 'nothing of a killed worker lives on' within 10 gone "${kin[@]}"
mapfile -t kin < <(family "$(pid_of postgres)")
slow=${kin[-1]%%:*} # a backend that notices its server's death late
kill -STOP "$slow"
kill -9 "$(pid_of postgres)" "$(pid_of redis)"
(sleep 2; kill -CONT "$slow") &
up 'up repairs what was killed' --detach
. .autodb/env
check 'the key still works' test "$(code "$AUTODB_URL/api/v1/jobs")" = 200
check 'the demo is still there' test "$(code "$AUTODB_URL/api/v1/connections/$connection/schema")" = 200

echo 'down'
mapfile -t kin < <(for name in api worker-1 postgres redis; do family "$(pid_of "$name")"; done)
must 'deploy/down ends well' ./deploy/down
check 'no process is left' within 5 gone "${kin[@]}"
check 'no pid file is left' test -z "$(ls .autodb/run/*.pid 2>/dev/null)"
check 'the data is kept' test -s .autodb/postgres/PG_VERSION
check 'a second down has nothing to do' ./deploy/down

echo 'in the foreground, from a clean start'
setsid ./deploy/up --reset --no-demo >"$out" 2>&1 </dev/null &
front=$!
must 'it serves' within 120 grep -q 'Ctrl-C stops everything' "$out"
. .autodb/env
check 'the reset made another key' test "$key" != "$AUTODB_API_KEY"
check 'it answers' test "$(code "$AUTODB_URL/readyz")" = 200
mapfile -t kin < <(for name in api worker-1 postgres redis; do family "$(pid_of "$name")"; done)
kill -TERM "$front" # a shell's background job ignores SIGINT; both are handled alike
check 'a signal ends it' within 60 gone "$front:$(started_at "$front")"
check 'and everything it started' within 5 gone "${kin[@]}"
exit "$bad"
