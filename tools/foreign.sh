#!/bin/bash
# Makes a Debian root for another processor, run under QEMU's user emulation, builds this tree's wheel in it and installs the
# agent from that wheel: /wheels and /venv in the root. Needs root, mmdebstrap, qemu-user-static, and some minutes.
#   tools/foreign.sh arm64|armhf DIRECTORY
set -euo pipefail
arch=$1
root=$2
here=$(cd "$(dirname "$0")/.." && pwd)
case "$arch" in
  arm64) emulator=qemu-aarch64 ;;
  armhf) emulator=qemu-arm ;;
  *) echo "tools/foreign.sh arm64|armhf DIRECTORY" >&2; exit 2 ;;
esac

misc=/proc/sys/fs/binfmt_misc
[ -e "$misc/register" ] || mount -t binfmt_misc none "$misc"
[ -e "$misc/$emulator" ] || cat "/usr/lib/binfmt.d/$emulator.conf" >"$misc/register"

if [ ! -e "$root/.rooted" ]; then
  rm -rf "$root"
  mmdebstrap --quiet --arch="$arch" --variant=minbase --include=ca-certificates,gcc,libc6-dev,libffi-dev,python3-dev,python3-venv \
    bookworm "$root" "$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -1)"
  touch "$root/.rooted"
fi
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt" # as this machine believes
[ -e /etc/pip.conf ] && cp -L /etc/pip.conf "$root/etc/pip.conf"

inside() { env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 chroot "$root" "$@"; }
rm -rf "$root/src" "$root/wheels"
mkdir -p "$root/src"
git -C "$here" ls-files -z --cached --others --exclude-standard | tar -C "$here" --null -T - --ignore-failed-read -cf - | tar -C "$root/src" -xf -
[ -e "$root/venv/bin/pip" ] || inside python3 -m venv /venv
inside /venv/bin/pip -q wheel --no-deps -w /wheels /src
# What has no wheel for armv7 is built there by gcc: cbor2 from 6 on wants a new Rust, the one before is taken; dbus-fast goes
# without its compiled parts.
grep -v '^cbor2=' "$root/src/constraints.txt" >"$root/src/pins.txt"
[ "$arch" = armhf ] && echo 'cbor2<6' >>"$root/src/pins.txt"
inside sh -c '/venv/bin/pip -q install --no-deps --force-reinstall /wheels/neurath-*.whl'
inside sh -c 'SKIP_CYTHON=1 /venv/bin/pip -q install -c /src/pins.txt "$(echo /wheels/neurath-*.whl)[agent]"'
ls "$root/wheels"
