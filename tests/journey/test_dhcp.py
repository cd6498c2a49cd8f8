"""An update from upload to confirmed that reaches its terminal in nothing but the lease renewals of a stock client: dhclient,
its hook, our relay with its gateway, Kea unmodified, the real agent, a real server."""

import hashlib

import pytest

from neurath.flash.geometry import model_to_toml
from neurath.wire import manifest
from neurath.wire.keys import public_pem
from tests.rigs.dhcp import NEURATH, SERVER, Site
from tests.rigs.net import laid, until
from tests.rigs.verbs import verb
from tests.server.world import KEY, MODEL, image

MAC = "52:54:00:00:03:01"
IMAGES = {n: image(n, 3000) for n in (1, 2)}


@pytest.mark.heavy
def test_an_update_rides_on_renewals_of_a_stock_client_and_is_installed(tmp_path):
    """B7, T1 to T5, T16."""
    data = ("--data", tmp_path / "data")
    (tmp_path / "phone.toml").write_text(model_to_toml(MODEL))
    (tmp_path / "release.pub.pem").write_bytes(public_pem(KEY.public))
    verb("model", "add", tmp_path / "phone.toml", "--release-key", tmp_path / "release.pub.pem", *data)
    for n, content in IMAGES.items():
        (tmp_path / f"{n}.bin").write_bytes(content)
        (tmp_path / f"{n}.env").write_bytes(
            manifest.sign(manifest.contents_of(content, MODEL, sequence=n, version=str(n)), KEY)
        )
        words = ("--model", "phone", "--version", str(n), "--envelope", tmp_path / f"{n}.env")
        verb("image", "add", tmp_path / f"{n}.bin", *words, *data)
    token = verb("terminal", "add", "t1", "--model", "phone", *data)[0]["token"]
    gateway = verb("gateway", "add", "site", "t1", *data)[0]["token"]
    verb("rollout", "create", "--release", "phone/2", "--all", "--start", *data)
    with laid() as net:
        site = Site(net, tmp_path)
        machine = site.client("unit", MAC)
        site.enrol(f'terminal = "t1"\nmac = "{MAC}"')
        site.kea()
        site.server.start(*NEURATH, "serve", *data, "--host", SERVER, log=tmp_path / "serve.log")
        site.server.listens(8642, limit=60)
        until((tmp_path / "data/ticket.pub.pem").exists, "a server that is set up, and not just listening", 60)
        bank = ("--bank", tmp_path / "t1.bank", "--model", tmp_path / "phone.toml")
        first = ("--image", tmp_path / "1.bin", "--envelope", tmp_path / "1.env", "--id", "t1")
        keys = ("--release-key", tmp_path / "release.pub.pem", "--ticket-key", tmp_path / "data/ticket.pub.pem")
        verb("agent", "provision", *bank, *first, *keys)
        site.carrier("--relay-to", SERVER, "--server", f"http://{SERVER}:8642", "--token", gateway)
        spool = site.dhclient(machine)
        bulk = site.net.capture(site.server, "wan0", tmp_path / "wan.pcap")
        agent = machine.start(
            *NEURATH, "agent", "run", *bank, "--server", f"http://{SERVER}:8642", "--token", token, "--trickle", "0.5",
            "--heartbeat", f"spool:{spool}", "--stage", tmp_path / "stage", "--once", "--json", log=tmp_path / "agent.log",
        )  # fmt: skip
        until(lambda: agent.poll() is not None, "the agent has ended", 240)
        assert agent.returncode == 0, (tmp_path / "agent.log").read_text()[-2000:]
        bulk.close()
        assert b"GET /DEFAULT/controller/v1/t1/softwaremodules/" not in (tmp_path / "wan.pcap").read_bytes().replace(
            b'"http', b""
        ), "no bulk transfer"
    status = verb("agent", "status", *bank)[0]
    assert status["image"] == hashlib.sha256(IMAGES[2]).hexdigest()
    ledger = verb("terminal", "show", "t1", *data)[0]["ledger"]
    assert [(entry["version"], entry["verdict"]) for entry in ledger] == [("2", "confirmed")]
