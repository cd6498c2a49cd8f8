"""A Linux of Debian's that runs as a process (user-mode-linux), for what the kernel of this machine may not have: tunnels of
IP in IP, memory control of cgroup v2. Its root is this machine's, read only; what is written goes to memory, but for one
folder. It knows how to boot it, run one command and hand on what that said; it must never write elsewhere on this machine."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
#: Seconds for a boot and a command; it boots in two, but machines are shared.
PATIENCE = 280.0
_SETUP = """#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run LANG=C.UTF-8
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t tmpfs tmp /run && mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/net /dev/pts /dev/shm /run/netns /run/lib/modules /run/tmp
mount -t devpts pts /dev/pts && mount -t tmpfs shm /dev/shm && mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /usr/lib/uml/modules/$(uname -r) /run/lib/modules/
for module in {modules}; do modprobe -d /run $module || echo "no module $module"; done
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
mount -t hostfs out {out} -o {out}
cd {root}
export TMPDIR=/run/tmp {variables}
{words} > {out}/said 2>&1
echo $? > {out}/code
sync
echo o > /proc/sysrq-trigger
sleep 60
"""


def pytest_inside(
    out: Path, *what: object, modules: tuple[str, ...] = (), memory: int = 512, patience: float = PATIENCE
) -> str:
    """These tests, run strictly inside; what pytest said."""
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp=/run/pytest", *what)
    told = {"NEURATH_STRICT": "1", "PYTHONDONTWRITEBYTECODE": "1", "NEURATH_SLOWER": "4"}
    return inside(out, *words, modules=modules, memory=memory, variables=told, patience=patience)


def inside(
    out: Path,
    *words: object,
    modules: tuple[str, ...] = (),
    memory: int = 512,
    variables: dict[str, str] | None = None,
    patience: float = PATIENCE,
) -> str:
    """What a command said that ended well inside, with these kernel modules loaded and so many MiB; `out` is the one folder
    that it can write to. Fails the test with what it said otherwise, and after so many seconds."""
    kernel = need("linux.uml")
    need("modprobe")
    out.mkdir(exist_ok=True)
    told = " ".join(f"{key}={shlex.quote(value)}" for key, value in (variables or {}).items())
    script = out / "init"
    command = shlex.join(map(str, words))
    script.write_text(_SETUP.format(modules=" ".join(modules), out=out, root=ROOT, words=command, variables=told))
    script.chmod(0o755)
    boot = [kernel, f"mem={memory}M", "rootfstype=hostfs", "ro", "quiet", f"init={script}", "con0=null,fd:1", "con=null"]
    printed = _boot(boot, out / "printed", patience)
    said = (out / "said").read_text(errors="replace") if (out / "said").exists() else ""
    code = (out / "code").read_text().strip() if (out / "code").exists() else "none"
    assert code == "0", f"{command} ended with {code}:\n{said}\n{printed[-3000:]}"
    return said


def _boot(words: list[str], log: Path, patience: float) -> str:
    """What the kernel printed until it ended, or was ended for its time was over, with each process
    that it runs one of its own in: those outlive it where it is killed alone."""
    with log.open("wb") as printed:
        kernel = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True)
        late = ""
        try:
            kernel.wait(patience)
        except subprocess.TimeoutExpired:
            late = f"\nended after {patience:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(kernel.pid, signal.SIGKILL)
            kernel.wait()
    return log.read_text(errors="replace") + late
