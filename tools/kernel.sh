#!/bin/bash
# Fetches Debian's kernel for 32-bit ARM boards, with the modules that drive a NOR chip on SPI and a network card, into a directory: for tests
# that need Linux's own MTD. Uses apt with lists of its own, so the machine's stay as they are. Needs no root.
#   tools/kernel.sh DIRECTORY
set -euo pipefail
out=$1
[ -e "$out/.whole-2" ] && exit 0
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$place/lists/partial" "$place/archives/partial" "$out"
cat >"$place/apt.conf" <<END
APT::Architecture "armhf";
APT::Architectures { "armhf"; };
APT::Sandbox::User "root";
Dir::State "$place";
Dir::State::Lists "$place/lists";
Dir::State::status "/dev/null";
Dir::Cache "$place";
END
export APT_CONFIG=$place/apt.conf
cd "$place"
for try in 1 2 3; do
  apt-get -qq update >/dev/null 2>&1 || true # a list that is missing shows below
  package=$(apt-cache depends linux-image-armmp 2>/dev/null | sed -n 's/^  Depends: \(linux-image-[^ ]*\)$/\1/p' | head -1)
  [ -n "$package" ] && apt-get -qq download "$package" >/dev/null 2>&1 && break
  [ "$try" = 3 ] && { echo "no kernel: apt offers no linux-image-armmp for armhf" >&2; exit 1; }
  sleep $((try * 3))
done
dpkg-deb -x "$package"_*.deb tree
cp tree/boot/vmlinuz-* "$out/vmlinuz"
cp tree/usr/lib/linux-image-*/imx6q-sabrelite.dtb "$out/board.dtb"
for module in gpio/gpio-mxc mtd/spi-nor/spi-nor spi/spi-imx; do
  cp tree/lib/modules/*/kernel/drivers/"$module.ko" "$out/"
done
for module in drivers/net/phy/{libphy,fixed_phy,micrel} drivers/net/mdio/{fwnode_mdio,of_mdio} net/core/selftests drivers/net/ethernet/freescale/fec; do
  cp tree/lib/modules/*/kernel/"$module.ko" "$out/"
done
echo "$package" >"$out/.whole-2"
