#!/bin/sh
# Builds the readers of envelope, ticket and birth record under the address and undefined-behaviour sanitizers and gives
# them the files named, whole, cut, flipped and mutated. Usage: sanitize.sh SEED ROUNDS FILE...
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"${CC:-gcc}" -std=c11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    -I"$here/include" -I"$here/src" -o "$out/verify" "$here/test/verify_main.c" \
    "$here/src/birth.c" "$here/src/cbor.c" "$here/src/cose.c" "$here/src/crc32.c" "$here/src/sha256.c" \
    "$here/src/suit.c" "$here/src/ticket.c"
"$out/verify" "$@"
