"""What the reader of docs/how-to/mobile-ip.md has: a machine on a home link with a neighbour, and a node in another network.
It knows where each line of the page is typed and what the page promises after it; reading the page is test_pages'."""

from __future__ import annotations

import json
import re
import time

from neurath.carriers.mobileip import kernel
from tests.parts import need
from tests.rigs.net import Net, until
from tests.rigs.reader import Inside, Play, commands, page, shown

HOME, AGENT, NEIGHBOUR, AWAY = "10.10.0.7", "10.10.0.1", "10.10.0.9", "10.31.0.7"


def _before(reader: Inside) -> None:
    """The home link and the way to the node; its terminal and bank, the files that the page shows, an update for it."""
    need("tun")
    need("ping")
    laid = reader.ending.enter_context(Net())
    neighbour, node = laid.namespace("neighbour"), laid.namespace("node")
    laid.veth(neighbour, "eth0", reader.net, "eth0")
    neighbour.up("eth0", f"{NEIGHBOUR}/24")
    reader.net.up("eth0", f"{AGENT}/24")
    laid.veth(node, "eth0", reader.net, "up0")
    reader.net.up("up0", "10.31.0.254/24")
    node.up("eth0", f"{AWAY}/24")
    node.ip("route", "add", "default", "via", "10.31.0.254")
    reader.net.set("net/ipv4/ip_forward", 0)
    reader.elsewhere["agent run"] = node
    reader.fills["NEIGHBOUR"] = neighbour.name
    (reader.folder / "password").write_text("correct horse\n")
    (reader.folder / "home-agent.toml").write_text(shown(page("mobile-ip.md"), "ini")[0])
    (reader.folder / "t1.bank").unlink()
    reader.fills["TOKEN"] = _token(reader.types("neurath terminal add T-0001 --model board"))
    (reader.folder / "token").write_text(reader.fills["TOKEN"])
    words = "--model board.toml --image app-1.bin --envelope app-1.env --id T-0001 --release-key keys/release.pub.pem"
    reader.types(f"neurath agent provision --bank t1.bank {words} --ticket-key neurath-data/ticket.pub.pem")
    reader.types("neurath rollout create --release board/2.0 --all --start")


def _token(said: str) -> str:
    return max(said.split(), key=len)


def _refused(reader: Inside, _said: str) -> None:
    """An agent on a machine that does not forward refuses to start; passwords are in neither file."""
    server = f"http://{AGENT}:8642"
    said = reader.types(f"neurath carrier mobileip agent --config home-agent.toml --server {server} --token none", 5)
    assert "does not forward packets" in said, said
    assert "sysctl -w net.ipv4.ip_forward=1" in said, said
    files = [(reader.folder / name).read_text() for name in ("home-agent.toml", "T-0001.toml")]
    assert all(HOME in text and "correct horse" not in text for text in files)


def _tunnels(reader: Inside, said: str) -> None:
    """The agent says which tunnels it uses: the kernel's where it has them."""
    wanted = "its own" if reader.net.call(kernel.why_not) else "the kernel's"
    assert re.search(rf"home agent .*with {wanted} tunnels", said), said


def _inside(reader: Inside, said: str) -> None:
    """The agent in the server's process: a node as the page has it, but with a stage for now, is heard by registrations."""
    _tunnels(reader, said)
    (line,) = (line for line in commands(page("mobile-ip.md")) if line.startswith("neurath agent run"))
    # Once the update's file is built a node checks in once, and what is heard of it later are its registrations.
    assert "2.0" in reader.types(f"{line.partition(' --trickle')[0]} --once --dry-run")
    agent = reader.stays(line.replace("--stage stage", "--stage for-now"), "")
    _registered(reader, agent.begun)
    reader.ends(agent)


def _gateway(reader: Inside, said: str) -> None:
    """The server without its carrier; the next token on the page is the gateway's."""
    reader.fills["TOKEN"] = _token(said)
    reader.stays("neurath serve --host 10.10.0.1", "serving at")


def _apart(reader: Inside, said: str) -> None:
    _tunnels(reader, said)
    reader.fills["TOKEN"] = (reader.folder / "token").read_text()


def _node(reader: Inside, _said: str) -> None:
    """It is heard through the gateway, pieces ride to it, and its home address answers a neighbour at home."""
    _registered(reader, reader.last.begun)
    until(lambda: _pieces(reader), "a piece that rode on a registration", 150)


def _registered(reader: Inside, since: float) -> None:
    def heard() -> bool:
        time.sleep(0.2)  # a look costs a process, and a gateway tells the server every 5 s
        said = json.loads(reader.types("neurath terminal show T-0001 --json"))
        rode = (said["carrier"], said["address"]) == ("mobile ip", f"{HOME} at {AWAY}")
        return bool(rode and said["heard"] >= since)

    agent = reader.last
    until(lambda: reader.warm.over(agent.pid) or heard(), "a registration of the node", 100)
    assert not reader.warm.over(agent.pid), agent.log.read_text()
    reader.types(f"ip netns exec NEIGHBOUR ping -c 1 -w 20 {HOME}")


def _pieces(reader: Inside) -> int:
    time.sleep(0.2)
    said = json.loads(reader.types("neurath agent status --bank t1.bank --model board.toml --stage stage --json"))
    return sum(one["pieces"] for one in said["on_its_way"])


LOOKS = {
    "mobileip node": _refused,
    "neurath serve": _inside,
    "gateway add": _gateway,
    "mobileip agent": _apart,
    "agent run": _node,
}
MOBILE_IP = Play(_before, says={"mobileip agent": "home agent at"}, after=LOOKS)
