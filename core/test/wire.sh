#!/bin/sh
# Builds the restoration responder under the address and undefined-behaviour sanitizers and gives it a session, whole and
# mutated. Usage: wire.sh SEED ROUNDS FLASH MESSAGES
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"${CC:-gcc}" -std=c11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    -I"$here/include" -I"$here/src" -o "$out/wire" "$here/test/wire_main.c" "$here"/src/*.c
"$out/wire" "$@"
