"""What an agent costs: seconds of CPU until its first session has ended, memory and CPU at rest before and after an update it
has taken, over HTTP and over HTTPS. Beside it, in the same run, a bare Python that has loaded what any client of a server over
TLS loads.

    python bench/agent.py [seconds at rest]

The tree is installed first, as a user installs it, into an environment of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurath.sim.processes import verb

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 7
PATIENCE = 120.0
#: The peer: a program of the standard library that could be an agent and is none; it has asked the server one thing.
PEER = "import argparse, asyncio, dataclasses, http.client, json, ssl"
ASKS = """
import sys, time, urllib.parse
to = urllib.parse.urlsplit(sys.argv[1])
kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
more = {"context": ssl.create_default_context(cafile=sys.argv[3])} if to.scheme == "https" else {}
link = kind(to.hostname, to.port, **more)
link.request("GET", "/DEFAULT/controller/v1/nobody")
link.getresponse().read()
link.close()
time.sleep(float(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Rests:
    """A process that waits: resident and private megabytes (10^6), seconds of CPU an hour."""

    resident: float
    own: float
    busy: float


def environment() -> dict[str, str]:
    """As a service has it: no byte code held back, no authorities named from outside."""
    out = ("PYTHONDONTWRITEBYTECODE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in out}


def installed(place: Path) -> Path:
    """The command of this tree, installed."""
    subprocess.run([sys.executable, "-m", "venv", place / "venv"], check=True)
    pip = [place / "venv/bin/pip", "-q", "install", "-c", ROOT / "constraints.txt", ROOT]
    subprocess.run(pip, check=True)
    return place / "venv/bin/neurath"


def vouched(certificate: Path, key: Path, more: str) -> None:
    """A certificate that vouches for itself, and its key."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench".split()
    words += ["-addext", more, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(words, check=True, capture_output=True)


class Site:
    """A server with one terminal `t` of a plain model, whose one component is a file of 20,000 bytes."""

    def __init__(self, place: Path, *, tls: bool) -> None:
        from neurath.wire import keys

        place.mkdir()
        self.ca = place / "ca.pem"
        vouched(self.ca, place / "ca.key", "subjectAltName=IP:127.0.0.1")
        self.place, self.data = place, ("--data", place / "data")
        key = keys.from_seed(bytes(range(32)))
        keys.write_private(place / "release.pem", key)
        (place / "release.pub.pem").write_bytes(keys.public_pem(key.public))
        verb("model", "add", "--plain", "m", "--release-key", place / "release.pub.pem", *self.data)
        token = verb("terminal", "add", "t", "--model", "m", *self.data)[0]["token"]
        (place / "home").mkdir()
        (place / "home/tool").write_bytes(os.urandom(20_000))
        secure = ["--tls-cert", str(self.ca), "--tls-key", str(place / "ca.key")] if tls else []
        words = [sys.executable, "-m", "neurath.cli.main", "serve", "--port", "0", *map(str, self.data), *secure, "--json"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.url = str(json.loads(self.process.stdout.readline())["url"])
        (place / "agent.toml").write_text(
            f'server = "{self.url}"\ntoken = "{token}"\nid = "t"\nmodel = "m"\nstate = "state"\npoll = 3600\ntrace = "trace"\n'
            'release_keys = ["release.pub.pem"]\nticket_key = "data/ticket.pub.pem"\ncontrol = "agent.sock"\n'
            'ca = "ca.pem"\n[[component]]\nname = "tool"\ninstaller = "file"\npath = "home/tool"\n'
        )

    def publish(self) -> bytes:
        file, sealed, about = self.place / "new", self.place / "new.env", ("--model", "m", "--component", "tool")
        file.write_bytes((self.place / "home/tool").read_bytes()[:15_000] + os.urandom(6_000))
        verb("sign", file, *about, "--version", "2", "--sequence", "2", "--key", self.place / "release.pem", "-o", sealed)
        verb("image", "add", file, *about, "--version", "2", "--envelope", sealed, *self.data)
        verb("rollout", "create", "--release", "m/2/tool", "--all", "--start", *self.data)
        return file.read_bytes()

    def traced(self, word: str) -> None:
        """Waits until the agent's trace has this line."""
        end = time.monotonic() + PATIENCE
        while word not in ((self.place / "trace").read_text() if (self.place / "trace").exists() else ""):
            assert time.monotonic() < end, f"the agent never said {word!r}"
            time.sleep(0.1)


def took(words: list[str]) -> float:
    """The least CPU time of a few runs, seconds: what others do on the machine counts little."""
    found = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=False, capture_output=True, env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


@contextmanager
def running(words: list[str], place: Path | None = None) -> Iterator[int]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(words, stdout=quiet, stderr=quiet, env=environment(), cwd=place, start_new_session=True)
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def rest(pid: int, seconds: float) -> Rests:
    """What a process does when there is nothing to do; it is given time to come to rest first."""
    time.sleep(3)
    before = cpu(pid)
    time.sleep(seconds)
    used = cpu(pid) - before
    resident, shared = map(int, Path(f"/proc/{pid}/statm").read_text().split()[1:3])
    page = os.sysconf("SC_PAGE_SIZE") / 1e6
    return Rests(resident * page, (resident - shared) * page, used * 3600 / seconds)


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its children."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in below for one in family(int(child)))]


def compare(site: Site, command: Path, seconds: float) -> None:
    """Everything over one kind of link."""
    python = str(command.with_name("python"))
    asks = [python, "-c", PEER + ASKS, site.url]
    peer = took([*asks, "0", str(site.ca)])
    with running([*asks, "600", str(site.ca)]) as pid:
        peer_rests = rest(pid, seconds)
    words = [str(command), "agent", "run", "--setup", str(site.place / "agent.toml")]
    whole = took([*words, "--once"])
    (site.place / "trace").unlink()
    with running(words) as pid:
        site.traced("nothing newer")
        before = rest(pid, seconds)
        new = site.publish()
        site.traced('"told"')
        after = rest(pid, seconds)
    assert (site.place / "home/tool").read_bytes() == new
    scheme = site.url.partition(":")[0]
    for name, one in (("bare Python, at rest", peer_rests), ("agent, at rest", before), ("after an update", after)):
        ratio = one.resident / peer_rests.resident
        line = f"{one.resident:5.1f} MB resident ({one.own:.1f} its own)  {one.busy:4.1f} s of CPU an hour  ratio {ratio:.2f}"
        print(f"{scheme:6} {name:22} {line}")
    print(f"{scheme:6} {'bare Python, one question':26} {peer:.3f} s of CPU")
    print(f"{scheme:6} {'agent, one session':26} {whole:.3f} s of CPU  ratio {whole / peer:.2f}  (aim: 0.15 s to start)")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        command = installed(place)
        subprocess.run([str(command), "--version"], check=True, stdout=subprocess.DEVNULL)
        print(f"{'':6} {'python -c pass':26} {took([str(command.with_name('python')), '-c', 'pass']):.3f} s of CPU")
        for tls in (False, True):
            site = Site(place / ("tls" if tls else "plain"), tls=tls)
            try:
                compare(site, command, seconds)
            finally:
                site.process.terminate()
                site.process.wait()


if __name__ == "__main__":
    main()
