#!/bin/bash
# Writes requirements/*.txt anew: every package that is installed here, with the version constraints.txt names and the hashes of
# its files. Asks the package index; changes no version by itself: for that, change constraints.txt first.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/pip --disable-pip-version-check -q install -c constraints.txt uv
compile() {
  local to=requirements/$1.txt from=$2
  shift 2
  .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
    --constraint constraints.txt "$from" "$@" -o "$to.part"
  { echo "# Written by \`make pins\` from pyproject.toml and constraints.txt."; cat "$to.part"; } >"$to"
  rm "$to.part"
}
mkdir -p requirements
rm -f requirements/*.part
# What builds packages is hashed as well, and goes first: nothing is drawn in the middle of a build.
compile build - < <(printf 'setuptools>=80\ncffi>=2.0\n')
compile develop pyproject.toml --extra server --extra station --extra carriers --extra agent --extra site --extra dev
compile server pyproject.toml --extra server --extra postgres --extra objects --extra carriers
