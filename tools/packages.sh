#!/bin/bash
# Installs Debian packages: three tries, no recommendations, behind a policy that starts no service. Needs root.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
POLICY=/usr/sbin/policy-rc.d
made=
if [ ! -e "$POLICY" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$POLICY"
  chmod 755 "$POLICY"
  made=1
fi
trap '[ -z "$made" ] || rm -f "$POLICY"' EXIT

wanted=()
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || wanted+=("$package")
done
((${#wanted[@]})) || exit 0
for try in 1 2 3; do
  if { [ "$try" = 1 ] && [ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] || apt-get -qq update; } \
    && apt-get -qq install -y --no-install-recommends "${wanted[@]}" >/dev/null; then
    exit 0
  fi
  echo "apt-get: try $try of 3 failed" >&2
  sleep $((try * 3))
done
echo "error NRT-153: cannot install ${wanted[*]}" >&2
echo "  why   apt-get failed three times; its own words are above" >&2
echo "  try   apt-get update, then again" >&2
exit 1
