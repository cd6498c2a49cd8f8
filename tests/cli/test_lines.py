"""Every command with --json: each line is one that the published schema knows, and whatever fails says so in one."""

from __future__ import annotations

import contextlib
import io
import json
import random
from pathlib import Path

import jsonschema
import pytest

from neurath.cli.main import main
from neurath.cli.tree import children, tree
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from neurath.sim.processes import free_port
from neurath.station.stock import Index, Stock
from tests.cli.bad import recorded

SCHEMA = json.loads((Path(__file__).parents[2] / "vectors/lines.schema.json").read_text())
JUDGE = jsonschema.Draft202012Validator(SCHEMA)
#: A whole life, top to bottom: what each command needs, an earlier one has made.
WORKS = """
key create release -o keys
key create ticket -o keys
key show keys/release.pub.pem
key delegate --root keys/release.pub.pem --root keys/ticket.pub.pem --ticket keys/ticket.pub.pem -o 1.keys --dry-run
sign image.bin --model lamp.toml --version 1 --sequence 1 --key keys/release.pem -o image.env
sign other.bin --model lamp.toml --version 2 --sequence 2 --key keys/release.pem -o other.env
verify image.bin image.env --key keys/release.pub.pem
model add lamp.toml --release-key keys/release.pub.pem
model show lamp
model list
model header lamp.toml -o lamp.h
image add image.bin --model lamp --version 1 --envelope image.env
image add other.bin --model lamp --version 2 --envelope other.env
image show lamp/1
image list
image priority lamp/1 3
image channels lamp/1 beta
terminal add t-1 --model lamp
terminal import list.csv
terminal enrol made.jsonl
terminal tag t-1 field
terminal pin t-1 lamp/1
terminal list
terminal place t-1
terminal show t-1
terminal why t-1
terminal timeline t-1
terminal channel t-1 beta
terminal replace t-2 t-9
terminal budget t-1 20M
terminal veil t-1 none
terminal key t-1 02d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a
terminal revoke t-1
terminal decommission t-3
terminal recommission t-3
filter save field tag:field
filter list
filter remove field
rollout create --release lamp/2 --all
rollout start 1
rollout pause 1
rollout resume 1
rollout show
rollout stop-all
rollout go-on
rollout abort 1
image revoke lamp/2
watch add drop --model lamp
watch list
watch remove drop
tenant set --first-contact on
tenant show
token add ci --role viewer
token list
token revoke ci
gateway add osaka t-1
gateway assign osaka t-9
gateway list
gateway revoke osaka
store show
store prune
doctor
config show
operator add aya --role admin --password-file word.txt
operator add mila --password-file word.txt
operator list
operator set mila --role operator
operator remove mila
operator oidc --issuer https://id.example --client n
alert add webhook hook http://127.0.0.1:9/
alert list
alert test hook --dry-run
alert show --standing
alert remove hook
backup create -o saved
backup show saved
backup restore saved --data elsewhere
serve --dry-run --port 0 --coap 5683
carrier mqtt --broker mqtt://h --server http://h --token t --dry-run
carrier lwm2m --server http://h --token t --dry-run
audit show
audit head
audit verify
audit export -o audit.jsonl
delta create image.bin other.bin -o made.nru
delta show made.nru
delta apply image.bin made.nru -o again.bin
delta explain image.bin other.bin
delta sign made.nru other.env --key keys/release.pem -o made.nrs
agent provision --bank t-1.bank --model lamp.toml {born}
agent status --bank t-1.bank --model lamp.toml
agent key --bank t-1.bank --model lamp.toml
key veil t-1.bank --model lamp.toml --derived -o t-1.veil
station list --stock stock
station records --stock stock
station package image.bin image.env -o image.nrp
completion bash
sim images
sim link
sim power image.bin other.bin --kinds before --every 4000
sim fleet --old image.bin --new other.bin --dry-run
"""
BORN = "--image image.bin --envelope image.env --id t-1 --release-key keys/release.pub.pem"
#: Those that serve for ever, reach another machine or need one of a kind: what they say when it is not there.
FAILS = """
repository create --root absent --online absent -o documents
repository add absent absent --name lamp/1 -o 1.json
repository sign absent --key absent
repository publish absent --data data
repository mirror --server {dead} --root absent -o mirror
serve --port 99999
terminal work nobody
terminal one t-1
key rotate --after absent keys/release.pub.pem keys/ticket.pub.pem -o 2.keys
key revoke --after absent keys/release.pub.pem -o 2.keys
key sign absent --key keys/release.pem
key publish absent
delta add absent --model lamp
rollout back 9
import hawkbit http://127.0.0.1:9 --user u --password-file word.txt
alert test nobody
terminal remind nobody
terminal confirm t-1
rollout approve 9
rollout deny 9
rollout retry 9
backup show absent
carrier lwm2m --listen x --server {dead} --token t
carrier mobileip agent --config absent
carrier mobileip node --config absent
carrier pair --config absent
carrier mqtt --broker nowhere --server {dead} --token t
carrier dhcp --config absent
agent run --bank t-1.bank --model lamp.toml --server {dead} --once
agent answer lamp now --socket absent
agent remind lamp --socket absent
station run --port absent --stock stock --once
station sync --server {dead} --stock stock
station identify --port absent
station provision --port absent --id x --model lamp.toml --release-key keys/release.pub.pem --records new.jsonl
station enrol --port absent --id x --model lamp.toml --release-key keys/release.pub.pem
sim images nothing
sim phone --board nothing
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    image = random.Random(7).randbytes(20_000)
    (folder / "image.bin").write_bytes(image)
    (folder / "other.bin").write_bytes(image[:9_000] + bytes(2_000) + image[11_000:])
    (folder / "lamp.toml").write_text(model_to_toml(Model(ModelName("lamp"), simple_layout(32_768), ram=65_536)))
    (folder / "word.txt").write_text("correct horse battery staple\n")
    (folder / "list.csv").write_text("id,model\nt-2,lamp\nt-3,lamp\n")
    (folder / "made.jsonl").write_bytes(recorded())
    (folder / "drop").mkdir()
    Stock(folder / "stock").keep(Index())
    return folder


def said(words: str, fails: bool) -> None:
    """Runs a command and judges every line of it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words.split(), "--json"])
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    errors = [json.loads(line) for line in err.getvalue().splitlines()[-1:]]
    # Nothing to do is no failure; what a doctor finds is about the machine.
    assert (code != 0) is fails or code == 3 or words == "doctor", (words, code, err.getvalue())
    assert bool(errors) is fails, words
    for line in [*lines, *errors]:
        JUDGE.validate(line)
    assert all("error" in line and "try" in line for line in errors), words
    assert lines or fails or words.split()[-1] in ("--standing", "list", "records", "stock", "timeline", "t-1"), (
        f"{words} said nothing"
    )


def test_every_command_says_lines_that_the_schema_knows(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    monkeypatch.delenv("NEURATH_TOKEN", raising=False)
    for line in WORKS.strip().splitlines():
        said(line.format(born=BORN), fails=False)
    for line in FAILS.strip().splitlines():
        said(line.format(dead=f"http://127.0.0.1:{free_port()}"), fails=True)


def test_no_command_is_left_out() -> None:
    """A command without a line above is red."""
    leaves = [" ".join(words) for words, parser in tree() if not children(parser)]
    tried = [line for text in (WORKS, FAILS) for line in text.strip().splitlines()]
    assert [leaf for leaf in leaves if not any(f"{line} ".startswith(f"{leaf} ") for line in tried)] == []


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"Event": 1},
        {"event": "begin"},
        {"error": "NRT-1", "what": "w", "why": "", "try": ""},
        {"what": "w", "try": "t"},
        [],
    ],
    ids=str,
)
def test_the_schema_knows_what_is_no_line(line: object) -> None:
    assert not JUDGE.is_valid(line)
