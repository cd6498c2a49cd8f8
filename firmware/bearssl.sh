#!/bin/bash
# bearssl.sh DIR: the source of BearSSL, out of Debian's source package, checked against its hash. Nothing of it is committed.
# It is looked for where this machine gets its Debian packages from. The numbers of two curves that no terminal uses are left out of its
# table: 0.4 KB of every boot core.
set -euo pipefail
NAME=bearssl_0.6+dfsg.1.orig.tar.xz
HASH=102a625bd8f6155260867a50c508df8d8c3f796985dd744df1a68e5cd1a79004
out=$(mkdir -p "$1" && cd "$1" && pwd)
one_curve() { ! grep -q '{ P384_P,' "$1" || sed -i '/{ P384_P,/d; /{ P521_P,/d' "$1"; }
if [ -e "$out/.whole" ]; then
  one_curve "$out/src/ec/ec_prime_i15.c"
  exit 0
fi

said() {
  echo "error NRT-153: $1" >&2
  echo "  why   $2" >&2
  echo "  try   $3" >&2
  exit 1
}
command -v apt-get >/dev/null || said "no source of BearSSL" "apt-get is not on this machine" "put $NAME into $out and run again"
if [ ! -e "$out/$NAME" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | sort -u | while read -r site; do
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site bookworm main"
  done >"$work/sources.list"
  options=(-q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  (cd "$work" && apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only bearssl) >"$work/log" 2>&1 ||
    said "the source of BearSSL cannot be fetched" "$(grep -m1 '^E:' "$work/log" || tail -1 "$work/log")" "check the network, then make firmware again"
  mv "$work/$NAME" "$out/$NAME"
fi
echo "$HASH  $out/$NAME" | sha256sum -c --quiet - 2>/dev/null || {
  rm -f "$out/$NAME"
  said "the source of BearSSL is not the one this build is pinned to" "$NAME has another hash" "make firmware again"
}
tar -C "$out" --strip-components=1 -xf "$out/$NAME"
one_curve "$out/src/ec/ec_prime_i15.c"
touch "$out/.whole"
