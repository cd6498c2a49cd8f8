#!/bin/sh
# Fuzzes, under address and undefined-behaviour sanitizers: `unpack` the decoder with all profiles, `small` the decoder of
# microcontrollers (no large profile: a hundred times as many inputs a second), both from the golden files in vectors/delta; `match`
# the matcher; `deep` the decoder without the large profile behind headers that are always right, some ten thousand inputs for each
# second of the processor; `deep-large` with it, some hundreds; `words` what a terminal reads beside update files (CBOR, envelopes, tickets,
# birth records, state logs, lists of keys), `smp` the restoration wire, `coap` the answers that a boot core takes from the air. run.sh [SECONDS, default 30] [WHAT, default unpack]; RUNS: so many inputs at
# most; SEED: of the inputs. Exit 1 on any finding.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${FUZZ_WORK:-$root/build/fuzz}
what=${2:-unpack}
sources="$root/core/fuzz/fuzz_unpack.c $root/core/ports/decode.c $root/core/src/*.c"
large=-DNRT_WITH_LARGE
compared=
seeds=corpus long=70000 late=300 memory=1024
case $what in
# Behind right headers, or beside whole sessions to begin from, no constant has to be guessed: to watch every comparison took two
# thirds of the time.
deep* | smp) compared=-fno-sanitize-coverage=trace-cmp ;;
esac
case $what in
deep) sources="$root/core/fuzz/fuzz_deep.c $root/core/ports/decode.c $root/core/src/*.c" large= seeds=deep long=400 late=10 memory=256 ;;
deep-large) sources="$root/core/fuzz/fuzz_deep.c $root/core/ports/decode.c $root/core/src/*.c" seeds=deep long=400 late=60 ;;
words) sources="$root/core/fuzz/fuzz_words.c $root/core/src/*.c" seeds=words long=2048 late=10 memory=256 ;;
smp) sources="-I$work $root/core/fuzz/fuzz_smp.c $root/core/src/*.c" seeds=smp long=3000 late=10 memory=256 ;;
coap) sources="-I$root/firmware/include $root/core/fuzz/fuzz_coap.c" seeds=coap long=4000 late=10 memory=256 ;;
match) sources="$root/core/fuzz/fuzz_match.c $root/core/ports/match.c $root/core/ports/suffix.c" ;;
small) large= ;;
esac
mkdir -p "$work/$seeds"
[ $seeds != corpus ] || cp "$root"/vectors/delta/*.nru "$work/corpus/" 2>/dev/null || true
good() { "${PYTHON:-python3}" "$root/core/fuzz/seeds.py" "$@"; }
case $what in
words) good words "$work/words" ;;
smp) good smp "$work/smp" && good session "$work/smp_session.h" ;;
esac
# shellcheck disable=SC2086 # a list of files, and words or none
clang -std=c11 $large -DNRT_WITH_TINY -g -O2 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $compared \
    -I"$root/core/include" -I"$root/core/src" -I"$root/core/ports" $sources -o "$work/fuzz_$what"
cd "$work"
# What was given back waits in the sanitizer's quarantine, 256 MB of it by default: that is not memory of the product.
export ASAN_OPTIONS="quarantine_size_mb=16${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
# The time of one input is that of the clock, on machines that may do ten other things.
# Not in place of this shell: what a process is said to have used at most begins with what its caller had.
"./fuzz_$what" -max_total_time="${1:-30}" -runs="${RUNS:--1}" -max_len=$long -timeout=$late -rss_limit_mb=$memory \
    -print_final_stats=1 ${SEED:+-seed=$SEED} $seeds
