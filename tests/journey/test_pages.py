"""Every page of docs/how-to is a program: each of its commands is typed, in its order, in a network where all that it names is
there. What a page says cannot be run is counted here."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from neurath.server.fleet import access, actions, progress
from neurath.server.fleet.actions import Draft
from neurath.server.software import catalog
from neurath.server.store import Store
from neurath.server.store.tables import component as components
from neurath.server.store.tables import delta
from tests.journey.factory import FACTORY
from tests.journey.onlinux import LINUX
from tests.journey.roamer import MOBILE_IP
from tests.journey.stationed import RESTORE
from tests.journey.test_howto import images
from tests.journey.test_tls import Authority
from tests.parts import need
from tests.rigs import warm
from tests.rigs.net import Namespace, until
from tests.rigs.reader import PAGES, After, Inside, Play, lines, page, shown
from tests.server.test_images import swu

pytestmark = [pytest.mark.heavy, pytest.mark.xdist_group("pages")]

BOARD = """name = "board"
ram = 98304
page = 256
write_unit = 4
birth = { base = 0x0, length = 0x1000 }
log = [{ base = 0x1000, length = 0x1000 }, { base = 0x2000, length = 0x1000 }]
scratch = { base = 0x8000, length = 0x8000 }
bank = [{ base = 0x10000, length = 0x10000 }]

[[region]]
base = 0x0
size = 4096
count = 32
"""


@pytest.fixture(scope="module")
def room() -> Iterator[tuple[Namespace, warm.Warm]]:
    """A network, and a process that is warm in it."""
    need("namespaces")
    net = Namespace("page")
    names = Path("/etc/netns", net.name)  # `ip netns exec` puts what lies here in the place of /etc/...
    names.mkdir(parents=True)
    (names / "hosts").write_text("127.0.0.1 localhost " + " ".join(HOSTS) + "\n")
    try:
        with warm.running(net.words()) as ready:
            yield net, ready
    finally:
        shutil.rmtree(names)
        net.close()


@pytest.fixture(scope="module")
def workshop(room: tuple[Namespace, warm.Warm], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody who reads the later pages has: a board, a key, two signed releases that a server knows, a terminal."""
    net, ready = room
    reader = Inside(tmp_path_factory.mktemp("workshop"), warm=ready, net=net)
    reader.folder.joinpath("board.toml").write_text(BOARD)
    images(reader.folder, 7)
    for name, own in (("OLD", "app-1.bin"), ("NEW", "app-2.bin")):
        reader.folder.joinpath(name).rename(reader.folder / own)
    reader.types("neurath key create release -o keys")
    reader.types("neurath model add board.toml --release-key keys/release.pub.pem")
    for n in (1, 2):
        words = f"app-{n}.bin --model board.toml --version {n}.0 --sequence {n} --key keys/release.pem -o app-{n}.env"
        reader.types(f"neurath sign {words}")
        reader.types(f"neurath image add app-{n}.bin --model board --version {n}.0 --envelope app-{n}.env")
    reader.folder.joinpath("token").write_text(_token(reader.types("neurath terminal add t1 --model board")))
    words = "--model board.toml --image app-1.bin --envelope app-1.env --id t1 --release-key keys/release.pub.pem"
    reader.ends(reader.stays("neurath serve", "serving at"))  # makes the key of tickets
    reader.types(f"neurath agent provision --bank t1.bank {words} --ticket-key neurath-data/ticket.pub.pem")
    shutil.rmtree(reader.folder / "said")
    return reader.folder


@pytest.fixture
def reader(room: tuple[Namespace, warm.Warm], workshop: Path, tmp_path: Path) -> Iterator[Inside]:
    folder = tmp_path / "r"
    shutil.copytree(workshop, folder)
    net, ready = room
    made = Inside(folder, warm=ready, net=net)
    made.fills["TOKEN"] = (folder / "token").read_text()
    try:
        yield made
    finally:
        made.goes()


def _token(said: str) -> str:
    return max(said.split(), key=len)


def _nothing(reader: Inside) -> None:
    """All that the page names is in every workshop."""


def _in_the_folder(reader: Inside, *places: str) -> None:
    """Directories of the system's are the reader's own."""
    for place in places:
        own = reader.folder / place.lstrip("/").replace("/", "-")
        own.mkdir()
        reader.fills[place] = str(own)


# ---- what readers have beforehand, and what they look at -------------------------------------------------------------------


def _serving(reader: Inside, *words: str) -> None:
    reader.stays(" ".join(("neurath serve", *words)), "serving at")


def _vouched(reader: Inside) -> None:
    """Certificates for the names of the page, by an authority that this reader believes."""
    authority = Authority(reader.folder, "own-authority")
    chain, key = authority.vouch(reader.folder, *HOSTS)
    shutil.copy(chain, reader.folder / "chain.pem")
    shutil.copy(key, reader.folder / "key.pem")
    reader.more |= {"CURL_CA_BUNDLE": str(authority.file), "SSL_CERT_FILE": str(authority.file)}


def _access(reader: Inside) -> None:
    reader.input = WORD
    (reader.folder / "secret.txt").write_text("the client's secret")
    _vouched(reader)
    _serving(reader, "--tls-cert chain.pem --tls-key key.pem")


def _scripted(reader: Inside, said: str) -> None:
    reader.fills["nrt_..."] = re.findall(r"nrt_\S+", said)[0]


def _shows(words: str) -> After:
    def look(_reader: Inside, said: str) -> None:
        assert words in said, said

    return look


def _hawkbit(reader: Inside) -> None:
    """Another server stands for hawkBit, with a terminal to be moved."""
    _vouched(reader)
    reader.input = WORD
    for words in ("model add --plain pump", "terminal add pump-1 --model pump", "operator add admin --role admin"):
        reader.types(f"neurath {words} --data other")
    said = reader.types("neurath token add admin --role viewer --data other")
    (reader.folder / "word.txt").write_text(re.findall(r"nrt_\S+", said)[0])
    reader.stays("neurath serve --data other --port 443 --tls-cert chain.pem --tls-key key.pem", "serving at")


def _moved(reader: Inside, _said: str) -> None:
    assert "pump-1" in reader.types("neurath terminal list")


def _own_server(reader: Inside, said: str) -> None:
    _scripted(reader, said)
    reader.types("neurath operator add mila --role admin")  # before, other machines are not answered
    _serving(reader, "--tls-cert chain.pem --tls-key key.pem")


def _keys(reader: Inside) -> None:
    shutil.rmtree(reader.folder / "keys")
    reader.folder.joinpath("t1.bank").unlink()
    shutil.copy(reader.folder / "neurath-data/ticket.pub.pem", reader.folder)
    for name in ("neurath.db", "neurath.db-wal", "neurath.db-shm"):
        (reader.folder / "neurath-data" / name).unlink(missing_ok=True)


def _signed(reader: Inside, _said: str) -> None:
    words = "--model board.toml --version 1.0 --sequence 1 --key keys/release.pem -o app-1.env"
    reader.folder.joinpath("app-1.env").unlink()
    reader.types(f"neurath sign app-1.bin {words}")


def _rolled_out(reader: Inside, _said: str = "") -> None:
    reader.types("neurath rollout create --release board/2.0 --all --start")


def _heard(reader: Inside, _said: str, name: str = "t1") -> None:
    """The terminal of the line has spoken to the server since it was started, and goes on."""
    agent = reader.last

    def heard() -> bool:
        said = json.loads(reader.types(f"neurath terminal show {name} --json"))
        return bool(said["heard"] and said["heard"] >= agent.begun)

    until(lambda: reader.warm.over(agent.pid) or heard(), "a word of the terminal", 100)
    assert not reader.warm.over(agent.pid), agent.log.read_text()


def _broker(reader: Inside) -> None:
    """What /etc/mosquitto holds, with the page's own rights."""
    _in_the_folder(reader, "/etc/mosquitto")
    own = Path(reader.fills["/etc/mosquitto"])
    (own / "passwords").touch()
    (own / "acl").write_text(shown(page("mqtt.md"), "acl")[0])
    reader.fills |= {"neurath PASSWORD": "neurath its-own-word", "neurath:PASSWORD": "neurath:its-own-word"}
    reader.fills["DEFAULT/T-0001"] = "DEFAULT/t1"


def _broker_runs(reader: Inside, _said: str) -> None:
    own = Path(reader.fills["/etc/mosquitto"])
    lines = f"password_file {own}/passwords\nacl_file {own}/acl\nuser root\nallow_anonymous false\npersistence false\n"
    (own / "mosquitto.conf").write_text(f"listener 1883 127.0.0.1\n{lines}")
    reader.net.start(need("mosquitto"), "-c", own / "mosquitto.conf")
    reader.net.listens(1883)


def _gateway(reader: Inside, _said: str) -> None:
    reader.fills["GATEWAY-TOKEN"] = _token(reader.types("neurath gateway add plant t1"))


def _at_a_site(reader: Inside, said: str) -> None:
    """The page's gateway stands elsewhere: here it takes the place of the server's own carrier."""
    _gateway(reader, said)
    _serving(reader)


def _packages(reader: Inside) -> None:
    reader.fills |= {"--version 2.0": "--version 2026.11-3", "gateway/2.0": "gateway/2026.11-3"}  # what the bundle says
    shutil.copy(VECTORS / "plain.raucb", reader.folder / "update-2.raucb")
    description = b'software = { version = "1.0"; hardware-compatibility: [ "1.0" ]; }'
    (reader.folder / "update-1.swu").write_bytes(swu(description))


def _watched(reader: Inside) -> None:
    _in_the_folder(reader, *(f"/srv/{name}" for name in ("firmware", "tests", "gauges", "radio", "beta")), "/mnt/firmware")
    text = (reader.folder / "board.toml").read_text()
    for name in ("phone", "lab", "gauge", "beta"):
        (reader.folder / f"{name}.toml").write_text(text.replace('"board"', f'"{name}"'))
        reader.types(f"neurath model add {name}.toml --release-key keys/release.pub.pem")
    for name in ("G-1", "G-2"):
        reader.types(f"neurath terminal add {name} --model beta")
    shutil.copy(reader.folder / "keys/release.pem", reader.folder)
    shutil.copy(reader.folder / "app-1.bin", Path(reader.fills["/mnt/firmware"]))


def _signs(reader: Inside, _said: str) -> None:
    made = Path(reader.fills["/mnt/firmware"]) / "app-1.bin.suit"
    until(made.exists, "the envelope beside the file", 60)


def _fleet(reader: Inside) -> None:
    """Five phones, and three releases of which one was signed again."""
    text = (reader.folder / "board.toml").read_text()
    (reader.folder / "phone.toml").write_text(text.replace('"board"', '"phone"'))
    shutil.copy(reader.folder / "keys/release.pem", reader.folder)
    reader.types("neurath model add phone.toml --release-key keys/release.pub.pem")
    for n in (1, 2):
        words = f"app-{n}.bin --model phone.toml --version {n}.0 --sequence {n} --key release.pem -o {n}.env"
        reader.types(f"neurath sign {words}")
        reader.types(f"neurath image add app-{n}.bin --model phone --version {n}.0 --envelope {n}.env")
    (reader.folder / "list.csv").write_text("id,model\n" + "".join(f"T-000{n},phone\n" for n in range(1, 6)))


def _installs(reader: Inside, _said: str) -> None:
    """The part of a terminal: it had 1.0, was given 2.0 by rollout 1, and runs it."""
    store = Store(reader.folder / "neurath-data")
    with store.write() as db:
        old, new = (catalog.find_release(db, f"phone/{version}") for version in ("1.0", "2.0"))
        found = access.find(db, "T-0003")
        db.execute(components.insert().values(terminal=found.n, name="firmware", bank=new.image, sequence=2, checked=1.0))
        given = Draft(found.n, "firmware", new.id, 1, "delta", new.image, new.size, base=old.image)
        progress.offered(db, actions.open_action(db, given, 1.0), 1.0)
    store.close()


def _operations(reader: Inside) -> None:
    _in_the_folder(reader, "/srv/neurath")


def _dhcp(reader: Inside) -> None:
    """The relay's two networks, and its files as the page shows them."""
    for near, far, address in (("eth1", "clients", "10.77.0.2/24"), ("eth2", "servers", "10.0.0.9/24")):
        reader.net.ip("link", "add", near, "type", "veth", "peer", "name", far)
        reader.net.up(near, address)
        reader.net.up(far)
    _in_the_folder(reader, "/var/lib/neurath-gateway", "/var/lib/neurath-dhcp", "/var/lib/neurath")
    (Path(reader.fills["/var/lib/neurath"]) / "spool").mkdir()
    clients, own = shown(page("dhcp.md"), "ini")
    (reader.folder / "clients.toml").write_text(clients)
    (reader.folder / "dhcp.toml").write_text(reader.filled(own))
    text = (reader.folder / "board.toml").read_text()
    (reader.folder / "phone.toml").write_text(text.replace('"board"', '"phone"'))
    reader.types("neurath model add phone.toml --release-key keys/release.pub.pem")
    _serving(reader, "--host 10.0.0.9")


def _relays(reader: Inside, _said: str) -> None:
    reader.net.listens(67, "udp")


def _at_the_site(reader: Inside, said: str) -> None:
    reader.fills["TOKEN"] = _token(said)


def _relays_too(reader: Inside, said: str) -> None:
    """What the page says next is of another machine again: the server stands where it stood, and the terminal is ours."""
    _relays(reader, said)
    _serving(reader, "--host 10.0.0.9")
    reader.fills["TOKEN"] = (reader.folder / "token").read_text()


def _narrow(reader: Inside) -> None:
    reader.fills["--token T "] = f"--token {reader.fills['TOKEN']} "
    _serving(reader)


def _phone(reader: Inside) -> None:
    """T-0001 of the model phone, which runs 1.4.0, and a release 1.4.1 of it."""
    text = (reader.folder / "board.toml").read_text()
    (reader.folder / "phone.toml").write_text(text.replace('"board"', '"phone"'))
    reader.types("neurath model add phone.toml --release-key keys/release.pub.pem")
    for n in (1, 2):
        words = f"app-{n}.bin --model phone.toml --version 1.4.{n - 1} --sequence {n} --key keys/release.pem -o phone-{n}.env"
        reader.types(f"neurath sign {words}")
        reader.types(f"neurath image add app-{n}.bin --model phone --version 1.4.{n - 1} --envelope phone-{n}.env")
    reader.folder.joinpath("t1.bank").unlink()
    words = "--model phone.toml --image app-1.bin --envelope phone-1.env --id T-0001 --release-key keys/release.pub.pem"
    reader.types(f"neurath agent provision --bank t1.bank {words} --ticket-key neurath-data/ticket.pub.pem")
    reader.fills["--token T "] = f"--token {_token(reader.types('neurath terminal add T-0001 --model phone'))} "


def _component(reader: Inside, model: str, name: str) -> None:
    """Version 2 of a component that is a file, of terminals without a memory map."""
    (reader.folder / name).write_text(f"{name} 2")
    words = f"{name} --model {model} --component {name} --version 2"
    reader.types(f"neurath sign {words} --sequence 2 --key keys/release.pem -o {name}.env")
    reader.types(f"neurath model add --plain {model} --release-key keys/release.pub.pem")
    reader.types(f"neurath image add {words} --envelope {name}.env")


def _trickles(reader: Inside) -> None:
    _phone(reader)
    _component(reader, "box", "table")
    _serving(reader)
    reader.types("neurath terminal pin T-0001 phone/1.4.1")
    words = "--server http://server:8642 --bank t1.bank --model phone.toml --token T --once --dry-run"
    assert "1.4.1" in reader.types(f"neurath agent run {words}")


def _rides(reader: Inside, said: str) -> None:
    _heard(reader, said, "T-0001")


def _recorder(reader: Inside) -> None:
    (reader.folder / "in-use").mkdir()
    reader.fills["/opt/recorder"] = str(reader.folder / "in-use")
    _serving(reader)


def _asks(reader: Inside, said: str) -> None:
    """The page goes on with an agent that has a setup file: a recorder that is in use, and whose user is asked."""
    _heard(reader, said)
    shutil.copy(reader.folder / "neurath-data/ticket.pub.pem", reader.folder)
    _component(reader, "gateway", "recorder")
    program = reader.folder / "in-use/recorder"
    shutil.copy(shutil.which("sleep") or "", program)
    token = _token(reader.types("neurath terminal add T-0002 --model gateway"))
    reader.folder.joinpath("agent.toml").write_text(SETUP.format(token=token, program=program))
    for verb in ("status", "answer", "remind"):
        reader.fills[f"neurath agent {verb}"] = f"neurath agent {verb} --socket agent.sock"
    reader.net.start(str(program), "600")
    reader.types("neurath rollout create --release gateway/2/recorder --all --start")
    reader.stays("neurath agent run --setup agent.toml", "")
    until(lambda: '"waiting-for-user"' in reader.types("neurath agent status --json", None), "the question", 100)


def _several(reader: Inside) -> None:
    _in_the_folder(reader, "/srv/neurath")


def _for_coap(reader: Inside, _said: str) -> None:
    """Another terminal was offered an update and has not ended: its file may be had by digest."""
    token = _token(reader.types("neurath terminal add t2 --model board"))
    words = "--model board.toml --image app-1.bin --envelope app-1.env --id t2 --release-key keys/release.pub.pem"
    reader.types(f"neurath agent provision --bank t2.bank {words} --ticket-key neurath-data/ticket.pub.pem")
    _rolled_out(reader)
    words = f"--server http://127.0.0.1:8642 --bank t2.bank --model board.toml --token {token}"
    offered = lambda: "2.0" in reader.types(f"neurath agent run {words} --once --dry-run", None)  # noqa: E731
    until(offered, "the file is built", 100)
    wanted = hashlib.sha256((reader.folder / "app-2.bin").read_bytes()).hexdigest()
    store = Store(reader.folder / "neurath-data")
    with store.read() as db:
        reader.fills["DIGEST"] = str(db.scalar(select(delta.c.file).where(delta.c.new == wanted)))
    store.close()


SETUP = """server = "http://127.0.0.1:8642"
token = "{token}"
id = "T-0002"
model = "gateway"
state = "state"
control = "agent.sock"
notify = false
release_keys = ["keys/release.pub.pem"]
ticket_key = "ticket.pub.pem"

[[component]]
name = "recorder"
installer = "file"
path = "{program}"
in_use = ["{program}"]
consent = "ask"
"""
WORD = "a long enough password\n" * 2
HOSTS = ("updates.example", "hawkbit.example", "server", "hooks.example", "mail.example", "id.example")
VECTORS = Path(__file__).resolve().parents[2] / "vectors/raucb"
TLS = {"neurath serve": "serving at https"}

SITE = {"neurath serve": _relays_too, "neurath carrier": _relays, "gateway add": _at_the_site, "agent run": _heard}
HAWKBIT = {
    "moved --dry-run": _shows("1 terminals are new"),
    "import hawkbit": _moved,
    "token add": _own_server,
    "curl": _shows('"content"'),
}
PLAYS = {
    "access.md": Play(_access, after={"token add": _scripted, "curl": _shows('"t1"')}),
    "alerts.md": Play(_nothing, after={"alert list": _shows("on-call")}),
    "coap.md": Play(_nothing, after={"neurath serve": _for_coap, "agent run": _heard, "well-known": _shows("</h>")}),
    "dhcp.md": Play(_dhcp, after=SITE),
    "factory.md": FACTORY,
    "fleet.md": Play(_fleet, codes={"rollout back 1 --dry-run": 5}, after={"rollout approve": _installs}),
    "from-hawkbit.md": Play(_hawkbit, after=HAWKBIT),
    "in-use.md": Play(_recorder, after={"agent run": _asks, "agent status": _shows("somebody is asked")}),
    "keys.md": Play(_keys, codes={"doctor": None}, after={"key create": _signed, "doctor": _shows("ok     ticket key")}),
    "linux-agent.md": LINUX,
    "lwm2m.md": Play(_nothing, after={"neurath serve": _at_a_site, "agent run": _heard}),
    "mobile-ip.md": MOBILE_IP,
    "mqtt.md": Play(_broker, after={"passwords DEFAULT": _broker_runs, "--carrier mqtt": _gateway, "agent run": _heard}),
    "narrowband.md": Play(_narrow, after={"explain": _shows("delta"), "terminal why": _shows("t-1"), "agent run": _heard}),
    "operations.md": Play(_operations, codes={"store prune": 3}),
    "restore.md": RESTORE,
    "several-servers.md": Play(_several),
    "swupdate-rauc.md": Play(_packages),
    "tls.md": Play(_vouched, says=TLS, after={"agent run": _heard}),
    "trickle.md": Play(_trickles, after={"agent run": _rides, "image priority": _shows("9")}),
    "watched-folders.md": Play(_watched, after={"watch list": _shows("gauges"), "sign --watch": _signs}),
}  # fmt: skip


#: Pages that other tests read whole.
ELSEWHERE = {"first-update.md": "tests/journey/test_howto.py", "port.md": "tests/journey/test_port.py"}
#: What pages say that no test can run; each says why beside the command.
EXCUSED = {"keys.md": 2, "port.md": 2, "several-servers.md": 6, "tls.md": 1}


@pytest.mark.parametrize("name", sorted(PLAYS))
def test_a_page_does_what_it_says_from_top_to_bottom(name: str, reader: Inside) -> None:
    PLAYS[name].read(reader, name)


def test_each_page_with_a_command_is_read_by_a_test() -> None:
    found = {path.name: lines(path.read_text()) for path in PAGES.glob("*.md")}
    assert {name for name, typed in found.items() if typed} == {*PLAYS, *ELSEWHERE}
    excused = {name: sum(1 for line in typed if line.excuse) for name, typed in found.items()}
    assert {name: count for name, count in excused.items() if count} == EXCUSED
    assert all(len(line.excuse) > 5 or not line.excuse for typed in found.values() for line in typed)
