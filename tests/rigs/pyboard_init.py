#!/usr/bin/python3.11
"""Process 1 of the board of `pyboard`: file systems, modules, network, then the words of /words, then "end"."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import time
from pathlib import Path

FINIT_MODULE = 379  # of 32-bit ARM
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
libc = ctypes.CDLL(None, use_errno=True)


def mount(kind: str, place: str) -> None:
    libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None)


def address(text: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def there(true: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.1)


def up(name: str, own: str, mask: str) -> None:
    there(Path("/sys/class/net", name).exists)
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    named = name.encode().ljust(16, b"\0")
    fcntl.ioctl(link, SIOCSIFADDR, named + address(own))
    fcntl.ioctl(link, SIOCSIFNETMASK, named + address(mask))
    (flags,) = struct.unpack("=H", fcntl.ioctl(link, SIOCGIFFLAGS, named + bytes(16))[16:18])
    fcntl.ioctl(link, SIOCSIFFLAGS, named + struct.pack("=H14x", flags | 1))


for each in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp"), ("tmpfs", "/run")):
    mount(*each)
out = os.open("/dev/ttymxc1", os.O_RDWR | os.O_NOCTTY)
os.dup2(out, 1)
os.dup2(out, 2)
for module in sorted(Path("/modules").iterdir()):
    with module.open("rb") as code:
        if libc.syscall(FINIT_MODULE, code.fileno(), b"", 0):
            os.write(out, f"no module {module.name}\n".encode())
up("lo", "127.0.0.1", "255.0.0.0")
up("eth0", "10.0.2.15", "255.255.255.0")
there(lambda: Path("/sys/class/net/eth0/carrier").read_text().strip() == "1")
there(Path("/dev/mtd0").exists)
code = subprocess.run(Path("/words").read_text().split("\n"), check=False).returncode
os.write(out, f"agent ended with {code}\nend\n".encode())
time.sleep(3600)
