"""Real parts that some tests need: programs, privileges, real firmware. It knows how to look for each and how to get it; it
must never let a test pass that did not run."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.errors import NeurathError
from neurath.sim import corpus
from neurath.sim.corpus import Pair

STRICT = os.environ.get("NEURATH_STRICT") == "1"
ASSURANCE = os.environ.get("NEURATH_ASSURANCE") == "1"

#: part -> the Debian package (or words) that brings it, where it is not called the same.
SOURCES = {"gcc": "gcc libc6-dev", "nginx": "nginx-light", "smpmgr": "the dev extra of this package", "root": "root rights"}
SOURCES |= {"namespaces": "root rights and iproute2", "tun": "root rights and /dev/net/tun", "ip": "iproute2"}
SOURCES |= {"ping": "iputils-ping", "loop": "root rights, util-linux and a kernel with loop devices"}
SOURCES |= {"arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"}
SOURCES |= {"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"}
SOURCES |= {"qemu-arm-static": "qemu-user-static", "qemu-aarch64-static": "qemu-user-static"}
SOURCES |= {"mksquashfs": "squashfs-tools"}
SOURCES |= {"linux.uml": "user-mode-linux", "modprobe": "kmod"}
SOURCES |= {"dbus-daemon": "dbus", "dbus-send": "dbus"}
SOURCES |= {"dockerd": "docker.io", "docker": "docker.io", "frama-c": "frama-c-base"}
SOURCES |= {"postgres": "postgresql", "softhsm2-util": "softhsm2"}
SOURCES |= {"busctl": "systemd", "gdbus": "libglib2.0-bin", "notify-send": "libnotify-bin", "fc-list": "fontconfig"}


@functools.cache
def _there(part: str) -> bool:
    if part == "root":
        return os.geteuid() == 0
    if part == "namespaces":
        words = ["unshare", "--net", "true"]
        return shutil.which("unshare") is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0
    if part == "loop":
        return _there("root") and subprocess.run(["losetup", "--find"], capture_output=True, check=False).returncode == 0
    if part == "tun":
        return _there("namespaces") and os.access("/dev/net/tun", os.R_OK | os.W_OK)
    if part == "postgres":  # Debian keeps it out of the path
        return any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    beside = Path(sys.executable).parent / part
    return shutil.which(part) is not None or beside.exists()


def absent(why: str) -> None:
    """Skips the calling test with this reason; under NEURATH_STRICT=1 it fails instead."""
    if STRICT:
        pytest.fail(f"did not run: {why} (NEURATH_STRICT=1)", pytrace=False)
    pytest.skip(why)


def module(name: str) -> None:
    """A Python package that not every machine can have; without it the test is skipped, or fails when strict."""
    if importlib.util.find_spec(name) is None:
        absent(f"the package {name} is not on this machine (the dev extra brings it where there is a wheel)")


def need(part: str) -> str:
    """The path of a program, or "" for a privilege; a test on a machine without it is skipped, or fails when strict."""
    if not _there(part):
        absent(f"{part} is not on this machine (apt: {SOURCES.get(part, part)})")
    beside = Path(sys.executable).parent / part
    return str(beside) if beside.exists() else shutil.which(part) or ""


@functools.cache
def images(name: str) -> Pair:
    """Two real builds of one firmware (see neurath.sim.corpus); the test is skipped, or fails when strict, where they can
    be had neither from the cache nor from a registry."""
    try:
        return corpus.pair(name)
    except NeurathError as fault:
        absent(f"{fault.what}: {fault.why}")
        raise
