"""What the bad-input table needs: a small world on disk, ways to be refused, and the rule for how a refusal looks."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from neurath.station.stock import Index, Stock
from neurath.wire import enrolment, keys
from neurath.wire.enrolment import BEGINNING, ENROLLED, Record
from tests.rigs.verbs import Done, Verbs

#: What a verb did until then may stand before it; the error itself is three lines, and the last ones.
THREE_LINES = re.compile(r"((?!error|  why|  try).*\n)*error NRT-\d{3}: .+\n  why   .+\n  try   .+\n")
#: Files that a server's store may change when it is only looked into.
LIVELY = ("-wal", "-shm", ".log", ".lock")


@dataclass(frozen=True, slots=True)
class Case:
    """One verb given one kind of bad input. Words in braces name things of the world; `disk` is what the disk still takes.
    `leaves` are files that may be left behind, `lives` files that a terminal at work may change."""

    name: str
    words: str
    code: int
    disk: int | None = None
    leaves: tuple[str, ...] = ()
    lives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Files of a test and a port nobody answers on, another somebody sits on."""

    folder: Path
    verbs: Verbs
    things: dict[str, str]

    def words(self, template: str) -> list[str]:
        return template.format_map(self.things).split()

    def run(self, words: list[str], disk: int | None = None) -> Done:
        """The verb, as a person would start it; with `disk`, no file may grow beyond so many bytes, as on a full disk."""
        return self.verbs.run(words, self.folder, disk)

    def held(self) -> dict[str, str]:
        """Digest of each file of the world, to see that nothing was lost."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.name.endswith(LIVELY):
                found[str(path.relative_to(self.folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def refused(done: Done, code: int) -> str:
    """What is wrong with a refusal: "" when it is three lines, the right code, and no traceback."""
    if "Traceback" in done.stderr or "Traceback" in done.stdout:
        return f"a traceback:\n{done.stderr[-1500:]}"
    if done.returncode != code:
        return f"exit code {done.returncode} instead of {code}: {done.stderr[-600:]}{done.stdout[-300:]}"
    if not THREE_LINES.fullmatch(done.stderr):
        return f"not three lines (what, why, try):\n{done.stderr[-1500:]}"
    return ""


#: What stands in a world, by verbs alone: each line needs those above it.
MADE = """
key create release -o keys
key create foreign -o keys
key create ticket -o keys
key create r1 -o keys
key create r2 -o keys
key create r3 -o keys
key delegate {roots} --release lamp=keys/release.pub.pem --ticket keys/ticket.pub.pem -o 1.keys
key sign 1.keys --key keys/r1.pem
sign image.bin --model lamp.toml --version 1 --sequence 1 --key keys/release.pem -o image.env
sign other.bin --model lamp.toml --version 2 --sequence 2 --key keys/release.pem -o other.env
model add lamp.toml --release-key keys/release.pub.pem --data data
image add image.bin --model lamp --version 1 --envelope image.env --data data
image add other.bin --model lamp --version 2 --envelope other.env --data data
terminal add t-1 --model lamp --data data
terminal import list.csv --data data
terminal decommission t-8 --data data
rollout create --release lamp/1 --all --data data
rollout create --release lamp/1 --all --start --data data
rollout create --release lamp/2 --all --start --data data
rollout pause 3 --data data
rollout create --release lamp/1 --all --policy approve=yes --by aya --start --data data
filter save field tag:field --data data
token add ci --role viewer --data data
gateway add osaka t-1 --data data
operator add aya --role admin --password-file word.txt --data data
operator add mila --role admin --password-file word.txt --data data
alert add webhook hook http://127.0.0.1:{sat}/ --data data
audit export -o audit.jsonl --data data
backup create -o saved --data data
agent provision --bank t-1.bank --model lamp.toml --image image.bin {rest}
delta create image.bin other.bin -o image.nru
repository create {roots} --online keys/ticket.pub.pem --release lamp=keys/release.pub.pem -o documents
repository sign documents/1.root.json --key keys/r1.pem
repository sign documents/1.root.json --key keys/r2.pem
repository add image.bin image.env --name lamp/1 -o 1.lamp.json
"""
ROOTS = "--root keys/r1.pub.pem --root keys/r2.pub.pem --root keys/r3.pub.pem"
REST = "--envelope image.env --id t-1 --release-key keys/release.pub.pem"


def recorded(name: str = "t-30", model: str = "lamp") -> bytes:
    """What a factory's station kept of one terminal."""
    key = enrolment.key_text(keys.from_seed(bytes(32)).public)
    one = Record(1, BEGINNING, 1_795_334_400_000, ENROLLED, "aya", "line-3", name, model, key, 64 * "5")
    return enrolment.written(one, keys.from_seed(bytes([1]) * 32))


def build(folder: Path, verbs: Verbs, sat: int) -> World:
    """Images, keys, envelopes, a model, and a server's data with one of everything, made by the verbs themselves; at the port
    `sat` nobody listens and nobody can begin to."""
    rng = random.Random(7)
    image = rng.randbytes(20_000)
    lamp, torch = (Model(ModelName(name), simple_layout(32_768), ram=65_536) for name in ("lamp", "torch"))
    files = {
        "image.bin": image,
        "other.bin": image[:9_000] + rng.randbytes(2_000) + image[11_000:],
        "wrong.bin": b"neither a key nor a model = [\n",
        "empty.bin": b"",
        "torch.toml": model_to_toml(torch).encode(),
        "lamp.toml": model_to_toml(lamp).encode(),
        "list.csv": b"id,model\n" + b"".join(b"t-%d,lamp\n" % n for n in range(2, 9)),
        "more.csv": b"id,model\nt-20,lamp\n",
        "made.jsonl": recorded(),
        "word.txt": b"correct horse battery staple\n",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "drop").mkdir()
    for line in MADE.strip().splitlines():
        done = verbs.run(line.format(rest=REST, roots=ROOTS, sat=sat).split(), folder)
        assert done.returncode == 0, (line, done.stderr)
    Stock(folder / "stock").keep(Index())
    (folder / "hollow").mkdir()
    (folder / "hollow" / "neurath.db").write_bytes(b"no database at all, only words" * 40)
    return World(folder, verbs, {"dead": f"http://127.0.0.1:{sat}", "sat": str(sat)})


@contextmanager
def another(first: World, folder: Path) -> Iterator[World]:
    """The world once more, in this folder."""
    shutil.copytree(first.folder, folder, dirs_exist_ok=True)
    things = {
        "image": "image.bin", "other": "other.bin", "wrong": "wrong.bin", "empty": "empty.bin", "model": "lamp.toml",
        "key": "keys/release.pem", "public": "keys/release.pub.pem", "foreign": "keys/foreign.pub.pem", "keys": "keys",
        "ticket": "keys/ticket.pem", "envelope": "image.env", "new": "new.out", "absent": "absent.bin", "data": "data",
        "model2": "torch.toml", "fresh": "fresh", "hollow": "hollow", "stock": "stock", "delta": "image.nru",
        "bank": "t-1.bank", "unit": "--bank t-1.bank --model lamp.toml", "rest": REST, "roots": ROOTS,
        "node": "t-1 --home 10.10.0.7 --agent 10.10.0.1 --user a@b.c -o new.out",
    }  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as held, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        busy = {"busy": str(held.getsockname()[1]), "busy_udp": str(datagrams.getsockname()[1])}
        yield World(folder, first.verbs, first.things | things | busy)
