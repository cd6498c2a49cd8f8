#!/bin/sh
# Fuzzes the decoder for SECONDS (default 30) from the golden files in vectors/delta. Exit 1 on any finding.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${FUZZ_WORK:-$root/build/fuzz}
mkdir -p "$work/corpus"
cp "$root"/vectors/delta/*.nru "$work/corpus/" 2>/dev/null || true
clang -std=c11 -DNRT_WITH_LARGE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -I"$root/core/include" -I"$root/core/src" -I"$root/core/ports" \
    "$root/core/fuzz/fuzz_unpack.c" "$root/core/ports/decode.c" "$root"/core/src/*.c -o "$work/fuzz_unpack"
cd "$work"
exec ./fuzz_unpack -max_total_time="${1:-30}" -max_len=70000 -timeout=10 -print_final_stats=1 corpus
