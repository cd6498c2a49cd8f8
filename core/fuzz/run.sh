#!/bin/sh
# Fuzzes the decoder (from the golden files in vectors/delta) or, with `match` as second word, the matcher, under address and
# undefined-behaviour sanitizers: for SECONDS (default 30), or so many inputs where RUNS is set. Exit 1 on any finding.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${FUZZ_WORK:-$root/build/fuzz}
what=${2:-unpack}
mkdir -p "$work/corpus"
if [ "$what" = match ]; then
    sources="$root/core/fuzz/fuzz_match.c $root/core/ports/match.c $root/core/ports/suffix.c"
else
    sources="$root/core/fuzz/fuzz_unpack.c $root/core/ports/decode.c $root/core/src/*.c"
fi
cp "$root"/vectors/delta/*.nru "$work/corpus/" 2>/dev/null || true
# shellcheck disable=SC2086 # a list of files
clang -std=c11 -DNRT_WITH_LARGE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -I"$root/core/include" -I"$root/core/src" -I"$root/core/ports" $sources -o "$work/fuzz_$what"
cd "$work"
exec "./fuzz_$what" -max_total_time="${1:-30}" -runs="${RUNS:--1}" -max_len=70000 -timeout=10 -rss_limit_mb=1024 \
    -print_final_stats=1 corpus
