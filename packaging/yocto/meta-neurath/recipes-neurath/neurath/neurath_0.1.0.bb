SUMMARY = "Agent of a terminal for updates in one firmware bank"
DESCRIPTION = "Takes signed updates over the air into the only bank there is, and keeps files, directories and packages beside it, without getting in the way of what runs."
HOMEPAGE = "https://${NEURATH_REPOSITORY}"
BUGTRACKER = "https://${NEURATH_REPOSITORY}"
SECTION = "admin"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"
CVE_PRODUCT = "neurath"

DEPENDS = "python3-cffi-native"

# Where the source is, without the scheme, and which commit of it: local.conf says both.
NEURATH_REPOSITORY ??= "example.invalid/neurath"
NEURATH_REVISION ??= "0000000000000000000000000000000000000000"
NEURATH_PROTOCOL ??= "https"
NEURATH_BRANCH ??= "main"
SRC_URI = "git://${NEURATH_REPOSITORY};protocol=${NEURATH_PROTOCOL};branch=${NEURATH_BRANCH}"
SRCREV = "${NEURATH_REVISION}"

inherit python_setuptools_build_meta systemd

# A terminal without its agent.toml has nothing to run: whoever installs that enables the unit.
SYSTEMD_SERVICE:${PN} = "neurath-agent.service"
SYSTEMD_AUTO_ENABLE = "disable"

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${datadir}/dbus-1/system.d
    install -m 0644 ${S}/deploy/neurath-agent.service ${D}${systemd_system_unitdir}/
    install -m 0644 ${S}/deploy/org.neurath.Agent1.conf ${D}${datadir}/dbus-1/system.d/
    install -d -m 0750 ${D}${sysconfdir}/neurath
}

FILES:${PN} += "${datadir}/dbus-1"

RDEPENDS:${PN} += "\
    python3-cbor2 \
    python3-cffi \
    python3-cryptography \
    python3-modules \
    python3-psutil \
"
RRECOMMENDS:${PN} += "python3-dbus-fast"
