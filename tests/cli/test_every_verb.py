"""Every command, found by its parser and not by a list: what it does with a file that is absent or something else, a store
that is none, a disk that is full; that --dry-run changes nothing. A command without a line here is red."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.cli.tree import children, tree
from tests.cli.bad import World, refused
from tests.cli.test_bad_input import CASES

#: One command that does its work in the world of tests.cli.bad, for each that comes to an end by itself there; every file that
#: a command can be given stands in one of its lines. `=> N`: its exit code where that is not 0.
LINES = """
image add {image} --model lamp --version 3 --envelope {envelope} --data {data}
image show lamp/1 --data {data}
image list --data {data}
image priority lamp/1 3 --data {data}
image channels lamp/1 beta --data {data}
image revoke lamp/2 --data {data}
watch add drop --model lamp --data {data}
watch remove drop --data {data} => 4
watch list --data {data}
sign {image} --model {model} --version 3 --sequence 3 --key {key} -o {new}
verify {image} {envelope} --key {public} --model {model}
key create fresh -o {keys}
key show {public}
key veil {bank} --model {model} --derived -o {new}
key delegate {roots} --ticket {public} -o {new}
key delegate --after 1.keys --ticket {foreign} -o {new}
key rotate --after 1.keys {public} {foreign} -o {new}
key revoke --after 1.keys {public} -o {new}
key sign 1.keys --key keys/r2.pem
repository create {roots} --online {foreign} --release lamp={public} -o {new}
repository add {image} {envelope} --name lamp/1 -o {new}
repository add {other} {envelope} --name lamp/2 --after 1.lamp.json -o {new}
repository sign 1.lamp.json --key keys/release.pem
repository mirror --server {dead} --root documents/1.root.json -o {new} => 6
delta create {image} {other} -o {new} --model {model}
delta apply {image} {delta} -o {new} --model {model}
delta show {delta}
delta sign {delta} other.env --key {key} -o {new}
delta add {delta} --model lamp --data {data} => 1
delta explain {image} {other} --model {model}
model add {model2} --release-key {public} --data {data}
model show lamp --data {data}
model header {model} -o {new}
model list --data {data}
tenant show --data {data}
tenant set --first-contact on --data {data}
terminal add t-10 --model lamp --data {data}
terminal import more.csv --data {data}
terminal enrol made.jsonl --data {data}
terminal pin t-1 lamp/1 --data {data}
terminal tag t-1 field --data {data}
terminal place t-1 hall --data {data}
terminal budget t-1 20M --data {data}
terminal veil t-1 device:5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a --data {data}
terminal key t-1 02d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a --data {data}
terminal revoke t-1 --data {data} => 5
terminal remind t-1 --data {data} => 3
terminal decommission t-2 --data {data}
terminal recommission t-8 --data {data}
terminal replace t-3 t-11 --data {data}
terminal one t-1 --data {data} => 3
terminal channel t-1 beta --data {data}
terminal confirm t-1 --data {data} => 3
terminal list --data {data}
terminal work --data {data}
terminal show t-1 --data {data}
terminal why t-1 --data {data}
terminal timeline t-1 --data {data}
import hawkbit {dead} --user u --password-file word.txt --data {data} => 6
filter save mine tag:mine --data {data}
filter remove field --data {data}
filter list --data {data}
rollout create --release lamp/2 --all --data {data}
rollout start 1 --data {data}
rollout approve 4 --by mila --data {data}
rollout deny 4 --by mila --data {data}
rollout pause 2 --data {data}
rollout resume 3 --data {data}
rollout retry 2 --data {data}
rollout abort 2 --data {data}
rollout back 2 --data {data} => 5
rollout stop-all --data {data}
rollout go-on --data {data} => 3
rollout show --data {data}
store show --data {data}
store prune --data {data} => 3
backup create -o {new} --data {data}
backup show saved
backup restore saved --data {fresh}
alert add mail post smtp://127.0.0.1:{sat} --from a@b.c --to d@e.f --secret-file word.txt --data {data}
alert list --data {data}
alert remove hook --data {data}
alert test hook --data {data} => 6
alert show --data {data}
agent provision --bank {new} --model {model} --image {image} {rest} --ticket-key {public}
agent status {unit}
agent key {unit}
completion bash
config show
doctor --data {data} --server {dead} => 1
operator add kenji --role viewer --password-file word.txt --data {data}
operator list --data {data}
operator set aya --password-file word.txt --data {data}
operator remove mila --data {data}
operator oidc --issuer https://id.example --client n --client-secret-file word.txt --data {data}
audit verify --against audit.jsonl --data {data}
audit show --data {data}
audit head --data {data}
audit export -o {new} --data {data}
token add new --role viewer --data {data}
token list --data {data}
token revoke ci --data {data}
gateway add kobe t-2 --data {data}
gateway assign osaka t-2 --data {data}
gateway revoke osaka --data {data}
gateway list --data {data}
station list --stock {stock}
station records --stock {stock} --csv {new}
station package {image} {envelope} --key {public} -o {new}
station sync --server {dead} --stock {stock} => 6
sim fleet --old {image} --new {other} --dry-run
sim images
sim link
sim power {image} {other} --kinds before --every 4000
"""
#: Commands that go on until they are told to stop, or need a device on a wire or a server that
#: ran: what can be wrong with each is in CASES alone.
LASTING = {
    "serve", "agent run", "agent answer", "agent remind", "station run", "station identify", "station enrol",
    "station provision",
    "carrier lwm2m", "carrier mobileip agent", "carrier mobileip node", "carrier pair", "carrier mqtt", "carrier dhcp",
    "sim phone", "key publish", "repository publish",
}  # fmt: skip
#: Commands that change nothing but where they are told to write, and so have nothing to try without changing it.
READS = {
    "image show", "image list", "watch list", "verify", "key show", "delta show", "delta explain", "model show", "model list",
    "tenant show", "terminal list", "terminal work", "terminal show", "terminal why", "terminal timeline", "filter list",
    "rollout show", "store show", "backup show", "alert list", "alert show", "agent status", "doctor", "config show",
    "completion", "operator list", "audit verify", "audit show", "audit head", "token list", "gateway list", "station list",
    "station records", "station identify", "agent key", "sim link", "sim power",
}  # fmt: skip
#: A server's data that is not there is made by these.
MAKES = {"model add", "operator add", "backup restore"}
LEAVES = {" ".join(words): made for words, made in tree() if not children(made)}


def leaf_of(words: str) -> str:
    """The command that a line begins with."""
    return max((one for one in LEAVES if f"{words} ".startswith(f"{one} ")), key=len, default="")


def lines() -> Iterator[tuple[str, str, int]]:
    """(command, words, exit code) of each line."""
    for line in LINES.strip().splitlines():
        words, _, code = line.partition(" => ")
        yield leaf_of(words), words, int(code or 0)


#: Where something is written or kept, or a place that need not be there.
PLACES = {"data", "out", "output", "csv", "records", "keep", "dir", "trace", "wire", "socket"}


def files_of(made: argparse.ArgumentParser) -> list[argparse.Action]:
    """What names a file or directory that is read."""
    return [one for one in made._actions if one.type is Path and one.dest not in PLACES]


TOLD = list(lines())
NAMES = [words for _, words, _ in TOLD]


def has(leaf: str, option: str) -> bool:
    return option in LEAVES[leaf]._option_string_actions


def test_every_command_has_a_line_or_goes_on_for_ever() -> None:
    assert {leaf for leaf, _, _ in TOLD} | LASTING == set(LEAVES)
    assert {leaf for leaf, _, _ in TOLD} & LASTING == set()


def test_every_command_that_changes_something_can_be_tried_without() -> None:
    assert {leaf for leaf in LEAVES if not has(leaf, "--dry-run")} == READS


@pytest.mark.parametrize(("leaf", "words", "code"), TOLD, ids=NAMES)
def test_it_does_its_work_and_with_dry_run_changes_nothing(world: World, leaf: str, words: str, code: int) -> None:
    before = world.held()
    if leaf not in READS and "--dry-run" not in words:
        done = world.run([*world.words(words), "--dry-run"])
        assert done.returncode in (0, code), done.stderr
        assert world.held() == before
    done = world.run(world.words(words))
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    if leaf in READS:
        assert {name: kept for name, kept in world.held().items() if name in before} == before


#: What files are called in a line; those of which any contents will do; those that may also be a name that is no file's.
FILES = re.compile(
    r"\{(?:image|other|envelope|model2?|key|public|foreign|delta)\}|\S+\.(?:csv|txt|jsonl|keys|json)|keys/r2\.pem|\bsaved\b"
)
ANYTHING = ("{image}", "{other}", "word.txt")
NAMED = {("sign", "{model}"), ("verify", "{model}")}
#: Commands whose line writes nothing to a disk.
WRITES_NOTHING = {"sim fleet", "sim images"}


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A line with one thing of it spoilt, and the exit codes that say so."""

    what: str
    words: str
    codes: tuple[int, ...]


def spoilt(leaf: str, words: str, code: int) -> Iterator[Spoilt]:
    """Each way to spoil a line that there is."""
    if has(leaf, "--data") and leaf != "doctor":
        there = re.sub(r"--data \S+", "--data {hollow}", words)
        yield Spoilt("store that is none", there, (1,))
        if leaf not in MAKES:
            yield Spoilt("no store", there.replace("{hollow}", "{absent}"), (4,))
    for file in FILES.findall(words.partition(" --data ")[0]):
        if (leaf, file) not in NAMED:
            yield Spoilt(f"{file} is not there", words.replace(file, "{absent}", 1), (4,))
            if file not in ANYTHING:
                yield Spoilt(f"{file} is something else", words.replace(file, "{wrong}", 1), (1, 2, 7))
    if has(leaf, "--dry-run") and not code and leaf not in WRITES_NOTHING:
        yield Spoilt("full disk", words, (1,))


BROKEN = {words: (leaf, list(spoilt(leaf, words, code))) for leaf, words, code in TOLD}


@pytest.mark.parametrize("words", [words for words, (_, ways) in BROKEN.items() if ways])
def test_what_is_wrong_is_said_in_three_lines_and_nothing_is_lost(world: World, words: str) -> None:
    before = world.held()
    for way in BROKEN[words][1]:
        done = world.run(world.words(way.words), 0 if way.what == "full disk" else None)
        assert done.returncode in way.codes, (way, done)
        assert refused(done, done.returncode) == "", way
        after = world.held()
        assert {name: kept for name, kept in after.items() if name in before} == before, way
        left = [name for name in after if name not in before]
        assert all(name.startswith(("new.out/", "fresh/", "hollow/")) for name in left), (way, left)


#: Which word of a line in CASES stands for which kind of fault.
FAULTS = {
    "absent file": ("{absent}",), "wrong file": ("{wrong}", "{empty}", "{hollow}"), "dead server": ("{dead}", "{sat}"),
    "busy port": ("{busy}", "{busy_udp}"), "bad key": ("key {wrong}",), "no store": ("--data {absent}",),
}  # fmt: skip


def faces(leaf: str) -> set[str]:
    """The faults that a command's own parser says it can meet."""
    made = LEAVES[leaf]
    options = {name for action in made._actions for name in action.option_strings}
    found = set[str]()
    if files_of(made) or "--setup" in options:
        found |= {"absent file", "wrong file"}
    if options & {"--server", "--broker"} or any(action.metavar == "URL" and action.dest == "url" for action in made._actions):
        found.add("dead server")
    if options & {"--listen", "--coap"}:
        found.add("busy port")
    if any(name.endswith("-key") or name == "--key" for name in options):
        found.add("bad key")
    if "--data" in options and leaf not in {*MAKES, "serve", "doctor"}:
        found.add("no store")
    return found


def shown(leaf: str) -> set[str]:
    """The faults that some line, here or in CASES, gives to it."""
    mine = [way.words for one, ways in BROKEN.values() if one == leaf for way in ways]
    mine += [words for one, words, _ in TOLD if one == leaf]
    mine += [case.words for case in CASES if leaf_of(case.words) == leaf]
    return {fault for fault, marks in FAULTS.items() for mark in marks for words in mine if mark in words}


GATEWAY = "it answers from what it keeps, and asks its server again: nothing has failed"
#: What a parser seems to say, and is not so: (command, fault) -> why.
NOT_SO = {
    ("station sync", "absent file"): "it makes its stock",
    ("station sync", "wrong file"): "the server is asked first, and its stock is made after that",
    ("sim fleet", "wrong file"): "any bytes are an image",
    ("carrier mobileip agent", "dead server"): GATEWAY,
    ("carrier pair", "dead server"): GATEWAY,
    ("carrier dhcp", "dead server"): GATEWAY,
}


@pytest.mark.parametrize("leaf", LEAVES)
def test_no_fault_that_a_command_can_meet_is_left_out(leaf: str) -> None:
    assert faces(leaf) - shown(leaf) - {fault for one, fault in NOT_SO if one == leaf} == set()
