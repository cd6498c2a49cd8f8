#!/bin/bash
# Makes .venv at the root of the clone. A Debian package that is missing is installed when root, else named in three lines.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-python3}

# pip answers Ctrl-C by itself; without this the next try would begin.
trap 'exit 130' INT TERM
missing=()
command -v "$PY" >/dev/null || missing+=(python3)
if command -v "$PY" >/dev/null; then
  "$PY" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
  "$PY" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' \
    || missing+=(python3-dev)
fi
printf 'int main(void){return 0;}\n' | cc -x c - -o /dev/null 2>/dev/null || missing+=(gcc libc6-dev)

if ((${#missing[@]})); then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}"
    bash tools/packages.sh "${missing[@]}"
  else
    echo "error NRT-150: a package is missing: ${missing[*]}" >&2
    echo "  why   the C core is compiled here, and Python lives in a virtual environment at the root of the clone" >&2
    echo "  try   sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi
if ! "$PY" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error NRT-151: $("$PY" --version) is too old" >&2
  echo "  why   Neurath needs Python 3.11 or later" >&2
  echo "  try   make PY=python3.11" >&2
  exit 1
fi

[ -x .venv/bin/python ] || "$PY" -m venv .venv
echo "setting up .venv (once; about a minute)"
# Each file that pip draws is one whose hash is in requirements/ (`make pins` writes them); what builds packages goes first, so
# that no build draws anything. Our own package is built from this tree.
pip() { .venv/bin/pip --disable-pip-version-check -q install --use-pep517 "$@"; }
for try in 1 2 3; do
  if pip --require-hashes -r requirements/build.txt \
    && pip --require-hashes --no-deps --no-build-isolation -r requirements/develop.txt \
    && pip --no-deps --no-build-isolation -e .; then
    exit 0
  fi
  echo "try $try of 3 failed" >&2
  sleep $((try * 2))
done
echo "error NRT-152: the Python packages could not be installed" >&2
echo "  why   pip failed three times; its own words are above" >&2
echo "  try   make setup again when the package index can be reached" >&2
exit 1
