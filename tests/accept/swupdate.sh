#!/bin/bash
# Starts a server of its own and passes accept_swupdate.sh with Debian's swupdate, a DDI client that nobody here wrote.
#   tests/accept/swupdate.sh [PYTHON]        exit 0: installed byte for byte, closed with success, and the ledger says so
set -u
HERE=$(dirname "$(realpath "$0")"); PYTHON=${1:-python3}
WORK=$(mktemp -d); SERVER=
export TMPDIR=$WORK  # the sockets of swupdate too: another one may run on this machine
trap '[ -n "$SERVER" ] && kill "$SERVER" 2>/dev/null && wait "$SERVER" 2>/dev/null; rm -rf "$WORK"' EXIT
neurath() { "$PYTHON" -m neurath.cli.main "$@" --data "$WORK/data"; }
neurath model add --plain lab >/dev/null || exit 2
TOKEN=$(neurath terminal add dev1 --model lab --json | "$PYTHON" -c 'import json,sys; print(json.load(sys.stdin)["token"])') || exit 2
"$PYTHON" -m neurath.cli.main serve --data "$WORK/data" --port 0 --sleep 3 --json >"$WORK/serve.log" 2>"$WORK/serve.err" & SERVER=$!
for _ in $(seq 150); do grep -q '"url"' "$WORK/serve.log" && break; sleep 0.1; done
URL=$("$PYTHON" -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["url"])' "$WORK/serve.log") || { cat "$WORK/serve.err"; exit 2; }
cat >"$WORK/publish.sh" <<P
set -e
"$PYTHON" -m neurath.cli.main image add "\$1" --model lab --version 2.0.0 --data "$WORK/data"
"$PYTHON" -m neurath.cli.main rollout create --release lab/2.0.0 --terminals dev1 --start --data "$WORK/data"
P
"$HERE/accept_swupdate.sh" "$URL" DEFAULT dev1 2.0.0 "bash $WORK/publish.sh %s" "-k $TOKEN" || { cat "$WORK/serve.err"; exit 1; }
neurath terminal show dev1 --json | "$PYTHON" -c '
import json, sys
line = json.load(sys.stdin)["ledger"][0]
print("ledger:", line["phase"], line["verdict"], line["sync"], "of", line["size"], "bytes; sent", line["bytes"])
sys.exit(0 if line["verdict"] == "confirmed" and line["bytes"] >= line["size"] else 1)'
