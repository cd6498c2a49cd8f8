"""A site with DHCP, for tests: a server's network, a clients' network, our relay between them, and real unmodified programs at
both ends. It knows how each is configured and started; it must never change what they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from neurath.server.delivery.calls import Offered
from neurath.server.fleet import access, gateway
from tests.parts import need
from tests.rigs.net import Namespace, Net, until
from tests.server.world import KEY, MODEL, open_world

ROOT = Path(__file__).resolve().parents[2]
HOOKS = ROOT / "deploy/dhcp"
SERVER, SECOND, NEAR, FAR = "10.78.0.1", "10.78.0.3", "10.77.0.2", "10.78.0.2"
LEASE, T1, T2 = 8, 2, 6
NEURATH = (sys.executable, "-m", "neurath.cli.main")


@dataclass
class Site:
    """Namespaces `server` (10.78.0.1) and `relay` (10.78.0.2, and 10.77.0.2 on the bridge `near`, where clients are)."""

    net: Net
    path: Path
    server: Namespace = field(init=False)
    relay: Namespace = field(init=False)
    clients: dict[str, Namespace] = field(default_factory=dict)
    keas: dict[Path, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server, self.relay = self.net.namespace("srv"), self.net.namespace("rel")
        self.net.veth(self.server, "wan0", self.relay, "far0")
        self.server.up("wan0", f"{SERVER}/24")
        self.relay.up("far0", f"{FAR}/24")
        self.relay.bridge("near")
        self.relay.up("near", f"{NEAR}/24")
        self.relay.set("net/ipv4/ip_forward", 1)
        self.server.ip("route", "add", "10.77.0.0/24", "via", FAR)

    def client(self, name: str, mac: str) -> Namespace:
        """A machine on the clients' network: interface `eth0`."""
        made = self.net.namespace(name)
        self.net.veth(made, "eth0", self.relay, f"p-{name}"[:15])
        made.ip("link", "set", "eth0", "address", mac)
        made.ip("link", "set", "eth0", "up")
        self.relay.ip("link", "set", f"p-{name}"[:15], "master", "near")
        self.relay.ip("link", "set", f"p-{name}"[:15], "up")
        self.clients[name] = made
        return made

    # ---- servers

    def kea(self, where: Namespace | None = None, interface: str = "wan0", extra: dict[str, object] | None = None) -> Path:
        """Kea, leases of 8 s renewed after 2; gives its log."""
        where = where or self.server
        folder = self.path / f"kea-{where.name}"
        folder.mkdir()
        dhcp: dict[str, object] = {
            "interfaces-config": {"interfaces": [interface], "dhcp-socket-type": "udp"},
            "lease-database": {"type": "memfile", "persist": False},
            "valid-lifetime": LEASE,
            "renew-timer": T1,
            "rebind-timer": T2,
            "option-data": [{"name": "routers", "data": NEAR}],
            "subnet4": [
                {
                    "subnet": "10.77.0.0/24",
                    "pools": [{"pool": "10.77.0.20 - 10.77.0.250"}],
                    "relay": {"ip-addresses": [NEAR]},
                }
            ],
            "loggers": [
                {"name": "kea-dhcp4", "output_options": [{"output": str(folder / "log")}], "severity": "INFO"},
            ],
        }
        (folder / "kea.json").write_text(json.dumps({"Dhcp4": dhcp | (extra or {})}))
        words = (
            "env",
            f"KEA_PIDFILE_DIR={folder}",
            f"KEA_LOCKFILE_DIR={folder}",
            need("kea-dhcp4"),
            "-c",
            folder / "kea.json",
        )
        self.keas[folder / "log"] = where.start(*words, log=folder / "out")
        where.listens(67, "udp")
        return folder / "log"

    def dnsmasq(self, lease: int = 120) -> Path:
        log = self.path / "dnsmasq.log"
        self.server.start(
            need("dnsmasq"), "-k", "-p", "0", "-i", "wan0", "-u", "root", "-C", "/dev/null",
            f"--dhcp-range=10.77.0.50,10.77.0.99,255.255.255.0,{lease}", "--log-dhcp", f"--log-facility={log}",
            f"--dhcp-leasefile={self.path}/dnsmasq.leases", f"--pid-file={self.path}/dnsmasq.pid",
        )  # fmt: skip
        self.server.listens(67, "udp")
        return log

    # ---- our relay

    def enrol(self, *lines: str) -> Path:
        """The list of clients, e.g. 'terminal = "t1"\\nmac = "..."'."""
        path = self.path / "clients.toml"
        path.write_text("\n".join(f"[[client]]\n{line}\n" for line in lines))
        return path

    def carrier(self, *words: object, ready: bool = True) -> subprocess.Popen[bytes]:
        """`neurath carrier dhcp` at the clients' side; what it says: relay.log."""
        log = self.path / "relay.log"
        made = self.relay.start(
            *NEURATH, "carrier", "dhcp", "--interface", "near", "--clients", self.path / "clients.toml",
            "--keep", self.path / "keep", "--period", "0.5", "--json", *words, log=log,
        )  # fmt: skip
        if ready:
            self.relay.listens(67, "udp")
        return made

    def config(self, text: str) -> Path:
        """The relay's file, its clients those that were enrolled."""
        path = self.path / "dhcp.toml"
        path.write_text(f'interface = "near"\n{text}\n' + (self.path / "clients.toml").read_text())
        return path

    def said(self) -> list[dict[str, object]]:
        lines = (self.path / "relay.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    # ---- clients

    def dhclient(self, where: Namespace, *, trickle: bool = True, router: str = NEAR, vendor: str = "") -> Path:
        """ISC dhclient; gives its spool. `vendor` "-vendor": what rides stands under an enterprise number."""
        folder = self._hooks(where, "dhclient-exit-hook")
        conf = (HOOKS / f"dhclient{vendor}.conf.part").read_text() if trickle else ""
        (folder / "conf").write_text("request subnet-mask, routers;\n" + conf)
        script = "#!/bin/sh\n" + _address("$reason", "BOUND|RENEW|REBIND|REBOOT", ("$new_ip_address", "$interface", router))
        self._script(folder / "script", script + f". {folder}/dhclient-exit-hook\nexit 0\n")
        where.start(
            need("dhclient"), "-d", "-4", "-cf", folder / "conf", "-lf", folder / "leases", "-pf", folder / "pid",
            "-sf", folder / "script", "eth0", log=folder / "out",
        )  # fmt: skip
        return folder / "spool"

    def dhcpcd(self, where: Namespace, vendor: str = "") -> Path:
        folder = self._hooks(where, "dhcpcd-hook")
        (folder / "conf").write_text("noarp\nnoipv6\n" + (HOOKS / f"dhcpcd{vendor}.conf.part").read_text())
        self._script(folder / "script", f"#!/bin/sh\n. {folder}/dhcpcd-hook\nexit 0\n")
        # Its state lies at fixed places: this mount is seen by nobody else.
        private = (
            "mkdir -p /run/dhcpcd /var/lib/dhcpcd; for d in /run/dhcpcd /var/lib/dhcpcd; do mount -t tmpfs none $d; done;"
        )
        words = f"{private} exec {need('dhcpcd')} -B -d -4 -f {folder}/conf -c {folder}/script eth0"
        where.start("sh", "-c", words, log=folder / "out")
        return folder / "spool"

    def udhcpc(self, where: Namespace, every: float = 2.0, option: int = 225) -> Path:
        """busybox udhcpc, which takes no T1 from the server: renewed by its own signal."""
        folder = self._hooks(where, "udhcpc-hook")
        script = "#!/bin/sh\n" + _address("$1", "bound|renew", ("$ip", "$interface", NEAR)) + "exit 0\n"
        self._script(folder / "next", script)
        process = where.start(
            "env", f"NEURATH_UDHCPC_NEXT={folder}/next", need("udhcpc"), "-f", "-i", "eth0", "-s", folder / "udhcpc-hook",
            "-O", option, "-t", "5", "-T", "1", "-p", folder / "pid", log=folder / "out",
        )  # fmt: skip
        code = "import os, sys, time\nwhile True:\n time.sleep(float(sys.argv[2]))\n os.kill(int(sys.argv[1]), 10)"
        del process
        until(lambda: (folder / "pid").exists(), "udhcpc says its id")
        where.start(sys.executable, "-c", code, (folder / "pid").read_text().strip(), every)
        return folder / "spool"

    def _hooks(self, where: Namespace, name: str) -> Path:
        """The hook as it is shipped, at this test's paths."""
        folder = self.path / where.name
        folder.mkdir()
        for each in (name, "neurath-spool"):
            text = (HOOKS / each).read_text().replace("/usr/lib/neurath", str(folder))
            text = text.replace("/var/lib/neurath/spool", str(folder / "spool"))
            (folder / each).write_text(text)
            shutil.copymode(HOOKS / each, folder / each)
        (folder / "leases").touch()
        return folder

    @staticmethod
    def _script(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)


def _address(word: str, cases: str, words: tuple[str, str, str]) -> str:
    address, interface, router = words
    route = f"ip route replace default via {router}"
    return f'case "{word}" in {cases}) ip addr replace {address}/24 dev {interface}; {route};; esac\n'


def address(where: Namespace) -> str:
    """The DHCP address of a client; "" none."""
    out = where.run("ip", "-4", "-o", "addr", "show", "dev", "eth0").stdout.split()
    return out[3].partition("/")[0] if len(out) > 3 else ""


@dataclass
class Source:
    """A Neurath server with an update for each terminal, and a gateway's token. `carrier`: the file of a relay or pool that
    runs inside its process, on the clients' side."""

    site: Site
    names: tuple[str, ...]
    size: int = 4096
    carrier: Path | None = None
    file: str = field(init=False)
    token: str = field(init=False)
    url: str = field(init=False)

    def __post_init__(self) -> None:
        import random

        world = open_world(self.site.path / "data")
        old, new = (random.Random(n).randbytes(self.size) for n in (1, 2))
        world.now = time.time()
        world.release("1.0", old, 1)
        made = world.release("1.1", new, 2)
        for name in self.names:
            terminal = world.terminal(name)
            world.delivery.record(terminal, world.says(old, stage=1 << 20), world.now)
            world.start(made, terminal)
        with world.store.read() as db:
            first = access.find(db, self.names[0])
        decided = world.delivery.decide(first, "firmware", world.now)
        assert isinstance(decided, Offered)
        self.file = decided.action.file
        self.bytes = world.store.files.verified(self.file).read_bytes()
        with world.store.write() as db:
            self.token = gateway.add(db, "site", now=world.now)
            gateway.assign(db, "site", self.names)
        world.delivery.deltas.close()
        world.store.close()
        self.host = NEAR if self.carrier else SERVER
        self.url = f"http://{self.host}:8642"
        self.start()

    def start(self) -> None:
        words = (*NEURATH, "serve", "--data", self.site.path / "data", "--host", self.host)
        words = (*words, *(("--carrier", f"dhcp:{self.carrier}") if self.carrier else ()))
        where = self.site.relay if self.carrier else self.site.server
        self.process = where.start(*words, log=self.site.path / "serve.log")
        where.listens(8642, limit=60)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    @property
    def words(self) -> tuple[str, ...]:
        return ("--server", self.url, "--token", self.token)


assert MODEL.name == "phone"
assert KEY
