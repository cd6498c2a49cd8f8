"""Each verb given an absent file, a wrong file, a dead server, a busy port, a full disk: three lines, the right exit code,
no traceback, nothing lost."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.cli.bad import Case, World, another, refused
from tests.rigs.disk import BALLAST, PAGE, disk

PROVISION = "station provision --port {{absent}} --id x --model {model} --release-key {key} --records {{new}}"
CASES = [
    Case("an unknown verb", "sing {image}", 2),
    Case("sign: no image there", "sign {absent} --model lamp --version 2 --sequence 2 --key {key} -o {new}", 4),
    Case("sign: no key there", "sign {image} --model lamp --version 2 --sequence 2 --key {absent} -o {new}", 4),
    Case("sign: not a key", "sign {image} --model lamp --version 2 --sequence 2 --key {wrong} -o {new}", 1),
    Case("sign: an empty image", "sign {empty} --model lamp --version 2 --sequence 2 --key {key} -o {new}", 1),
    Case("sign: not a model", "sign {image} --model {wrong} --version 2 --sequence 2 --key {key} -o {new}", 1),
    Case("sign: no sequence", "sign {image} --model lamp --version 2 --key {key} -o {new}", 2),
    Case("sign: disk full", "sign {image} --model lamp --version 2 --sequence 2 --key {key} -o {envelope}", 1, disk=0),
    Case("sign: no such folder", "sign {image} --model lamp --version 2 --sequence 2 --key {key} -o {absent}/e", 4),
    Case("verify: no envelope there", "verify {image} {absent} --key {public}", 4),
    Case("verify: not an envelope", "verify {image} {wrong} --key {public}", 7),
    Case("verify: another image", "verify {other} {envelope} --key {public}", 7),
    Case("verify: another key", "verify {image} {envelope} --key {foreign}", 7),
    Case("key: already there", "key create release -o {keys}", 5),
    Case("key: disk full", "key create fresh -o {keys}", 1, disk=0),
    Case("key show: absent", "key show {absent}", 4),
    Case("key show: not a key", "key show {wrong}", 1),
    Case("serve: busy port", "serve --data {data} --port {busy}", 1),
    Case("serve: not a port", "serve --data {data} --port 99999", 2),
    Case("serve: data is a file", "serve --data {wrong} --port 0", 1),
    Case("serve: disk full", "serve --data {fresh} --port 0", 1, disk=0, leaves=("fresh/neurath.db",)),
    Case("model: absent", "model add {absent} --data {data}", 4),
    Case("model: not a model", "model add {wrong} --data {data}", 1),
    Case("model: key absent", "model add {model} --release-key {absent} --data {data}", 4),
    Case("model: not a key", "model add {model} --release-key {wrong} --data {data}", 1),
    Case("model: disk full", "model add {model2} --data {data}", 1, disk=0),
    Case("model: unknown", "model show nothing --data {data}", 4),
    Case("model: no store", "model list --data {absent}", 4),
    Case("model: a store that is not one", "model list --data {hollow}", 1),
    Case("image: absent", "image add {absent} --model lamp --version 2 --data {data}", 4),
    Case("image: empty", "image add {empty} --model lamp --version 2 --data {data}", 1),
    Case("image: unknown model", "image add {other} --model nothing --version 2 --data {data}", 4),
    Case(
        "image: another image's envelope", "image add {other} --model lamp --version 2 --envelope {envelope} --data {data}", 7
    ),
    Case("image: not an envelope", "image add {other} --model lamp --version 2 --envelope {wrong} --data {data}", 1),
    Case("image: disk full", "image add {other} --model lamp --version 2 --data {data}", 1, disk=4096),
    Case("image: same version, other contents", "image add {other} --model lamp --version 1 --data {data}", 5),
    Case("image: unknown", "image show lamp/9 --data {data}", 4),
    Case("terminal: unknown model", "terminal add t-2 --model nothing --data {data}", 4),
    Case("terminal: already there", "terminal add t-1 --model lamp --data {data}", 5),
    Case("terminal: not a name", "terminal add a/b --model lamp --data {data}", 1),
    Case("terminal: list absent", "terminal import {absent} --data {data}", 4),
    Case("terminal: not a list", "terminal import {wrong} --data {data}", 1),
    Case("terminal: disk full", "terminal add t-2 --model lamp --data {data}", 1, disk=0),
    Case("terminal: unknown", "terminal why nobody --data {data}", 4),
    Case("rollout: unknown release", "rollout create --release lamp/9 --all --data {data}", 4),
    Case("rollout: unknown terminal", "rollout create --release lamp/1 --terminals nobody --data {data}", 4),
    Case("rollout: unknown", "rollout start 99 --data {data}", 4),
    Case("rollout: to whom", "rollout create --release lamp/1 --data {data}", 2),
    Case("station sync: dead server", "station sync --server {dead} --stock {stock}", 6),
    Case("station sync: not an address", "station sync --server nowhere --stock {stock}", 1),
    Case("station run: no port", "station run --port {absent} --stock {stock} --once", 6),
    Case("station run: no stock", "station run --port {absent} --stock {absent} --once", 4),
    Case("station identify: no port", "station identify --port {absent}", 6),
    Case("station identify: not a port", "station identify --port {wrong}", 6),
    Case("station list: no stock", "station list --stock {absent}", 4),
    Case("station package: absent", "station package {absent} {envelope} -o {new}", 4),
    Case("station package: not an envelope", "station package {image} {wrong} -o {new}", 1),
    Case("station package: another image", "station package {other} {envelope} --key {public} -o {new}", 7),
    Case("station package: disk full", "station package {image} {envelope} -o {new}", 1, disk=0),
    Case("delta create: absent", "delta create {absent} {other} -o {new}", 4),
    Case("delta create: the same", "delta create {image} {image} -o {new}", 3),
    Case("delta create: not a model", "delta create {image} {other} -o {new} --model {wrong}", 1),
    Case("delta create: disk full", "delta create {image} {other} -o {delta}", 1, disk=0),
    Case("delta apply: wrong base", "delta apply {other} {delta} -o {new}", 7),
    Case("delta apply: not an update file", "delta apply {image} {wrong} -o {new}", 1),
    Case("delta apply: absent", "delta apply {image} {absent} -o {new}", 4),
    Case("delta apply: disk full", "delta apply {image} {delta} -o {envelope}", 1, disk=0),
    Case("delta show: not an update file", "delta show {wrong}", 1),
    Case("delta show: absent", "delta show {absent}", 4),
    Case("agent: no bank there", "agent run --bank {absent} --model {model} --server {dead} --once", 4),
    Case("agent: not a bank", "agent run --bank {wrong} --model {model} --server {dead} --once", 1),
    Case("agent: not a model", "agent run --bank {bank} --model {wrong} --server {dead} --once", 1),
    Case("agent: dead server", "agent run --bank {bank} --model {model} --server {dead} --once", 6, lives=("t-1.bank",)),
    Case("agent: not an address", "agent run --bank {bank} --model {model} --server nowhere --once", 2, lives=("t-1.bank",)),
    Case("agent: dead CoAP server", "agent run {unit} --server coap://127.0.0.1:1 --once", 6, lives=("t-1.bank",)),
    Case("agent: not a CoAP address", "agent run {unit} --server coap://h/x --once", 2, lives=("t-1.bank",)),
    Case(
        "agent: no such heartbeat",
        "agent run {unit} --server {dead} --trickle 1 --stage {new} --heartbeat pigeon",
        2,
        lives=("t-1.bank",),
        leaves=("*",),
    ),
    Case("serve: no such carrier", "serve --carrier pigeon --port 0 --data {data}", 2),
    Case("serve: not a CoAP port", "serve --coap x --port 0 --data {data}", 2),
    Case("serve: not a broker", "serve --carrier mqtt:nowhere --port 0 --data {data}", 2),
    Case("carrier mqtt: not a broker", "carrier mqtt --broker nowhere --server {dead} --token t", 2),
    Case("serve: no certificate there", "serve --data {data} --port 0 --tls-cert {absent} --tls-key {absent}", 2),
    Case("serve: not a certificate's key", "serve --data {data} --port 0 --tls-cert {wrong} --tls-key {wrong}", 2),
    Case("serve: busy CoAP port", "serve --data {data} --port 0 --coap 127.0.0.1:{busy_udp}", 1, lives=("data/*",)),
    Case("carrier mobileip agent: absent", "carrier mobileip agent --config {absent} --server {dead} --token t", 4),
    Case("carrier mobileip agent: wrong", "carrier mobileip agent --config {wrong} --server {dead} --token t", 2),
    Case("carrier mobileip node: no password", "carrier mobileip node {node} --password-file {absent} --config {wrong}", 4),
    Case("carrier mobileip node: wrong", "carrier mobileip node {node} --password-file word.txt --config {wrong}", 2),
    Case("carrier pair: absent", "carrier pair --config {absent} --server {dead} --token t", 4),
    Case("carrier pair: wrong", "carrier pair --config {wrong} --server {dead} --token t", 2),
    Case("carrier dhcp: absent", "carrier dhcp --config {absent} --server {dead} --token t", 4),
    Case("carrier dhcp: wrong", "carrier dhcp --config {wrong} --server {dead} --token t", 2),
    Case("carrier dhcp: no clients there", "carrier dhcp --interface lo --clients {absent} --server {dead} --token t", 4),
    Case("carrier dhcp: not clients", "carrier dhcp --interface lo --clients {wrong} --server {dead} --token t", 2),
    Case("carrier lwm2m: busy port", "carrier lwm2m --listen 127.0.0.1:{busy_udp} --server {dead} --token t", 1),
    Case("agent: no setup there", "agent run --setup {absent}", 4),
    Case("agent: not a setup", "agent run --setup {wrong}", 1),
    Case("agent answer: no setup there", "agent answer lamp now --setup {absent}", 4),
    Case("agent answer: not a setup", "agent answer lamp now --setup {wrong}", 1),
    Case("agent answer: no agent", "agent answer lamp now --socket {absent}", 6),
    Case("agent remind: no setup there", "agent remind lamp --setup {absent}", 4),
    Case("agent remind: not a setup", "agent remind lamp --setup {wrong}", 1),
    Case("agent remind: no agent", "agent remind lamp --socket {wrong}", 6),
    Case("doctor: no setup there", "doctor --setup {absent}", 4),
    Case("doctor: not a setup", "doctor --setup {wrong}", 1),
    Case("station list: not a stock", "station list --stock {wrong}", 4),
    Case("station records: no stock", "station records --stock {absent}", 4),
    Case("station records: not a stock", "station records --stock {wrong}", 4),
    Case("station run: not a stock", "station run --port {absent} --stock {wrong} --once", 4),
    Case("station provision: no port", PROVISION.format(model="{model}", key="{public}"), 6),
    Case("station provision: no model there", PROVISION.format(model="{absent}", key="{public}"), 4),
    Case("station provision: not a model", PROVISION.format(model="{wrong}", key="{public}"), 1),
    Case("station provision: not a key", PROVISION.format(model="{model}", key="{wrong}"), 1),
    Case("station provision: bad key", PROVISION.format(model="{model}", key="{public} --key {wrong}"), 1),
    Case("terminal enrol: bad key", "terminal enrol made.jsonl --station-key {wrong} --data {data}", 1),
    Case("terminal enrol: another's key", "terminal enrol made.jsonl --station-key {public} --data {data}", 7),
    Case("station enrol: no model there", "station enrol --port {absent} --id x --model {absent} --release-key {public}", 4),
    Case("station enrol: not a model", "station enrol --port {absent} --id x --model {wrong} --release-key {public}", 1),
    Case("station enrol: not a key", "station enrol --port {absent} --id x --model {model} --release-key {wrong}", 1),
    Case("key publish: no store", "key publish 1.keys --data {absent}", 4),
    Case("repository publish: absent", "repository publish {absent} --data {data}", 4),
    Case("repository publish: no document", "repository publish {wrong} --data {data}", 1),
    Case("repository publish: no roots yet", "repository publish 1.lamp.json --data {data}", 5),
    Case("repository publish: not signed", "repository publish documents/1.targets.json --data {data}", 5),
    Case("repository sign: bad key", "repository sign 1.lamp.json --key {wrong}", 1),
    Case(
        "repository mirror: no server",
        "repository mirror --server {dead} --root documents/1.root.json -o {new}",
        6,
        leaves=("*",),
    ),
    Case("repository create: key of nothing", "repository create {roots} --online {wrong} -o {new}", 1),
    Case(
        "station sync: not a certificate",
        "station sync --server https://127.0.0.1:9 --stock {fresh} --certificate {wrong} --key {wrong}",
        2,
    ),
    Case("station sync: no list of keys", "station sync --server {dead} --stock {fresh} --key-roots {absent}", 4),
    Case("station sync: not a list of keys", "station sync --server {dead} --stock {fresh} --key-roots {wrong}", 1),
    Case("terminal key: not a key", "terminal key t-1 nonsense --data {data}", 1),
    Case("station sync: roots of nothing", "station sync --server {dead} --stock {fresh} --root {wrong}", 1),
    Case("repository publish: no store", "repository publish 1.lamp.json --data {absent}", 4),
    Case("key publish: absent", "key publish {absent} --data {data}", 4),
    Case("key publish: not a list", "key publish {wrong} --data {data}", 1),
    Case("sim phone: nothing built", "sim phone --built {absent} --once --dir {new}", 4),
    Case("sim phone: not a folder", "sim phone --built {wrong} --once --dir {new}", 4),
    Case("carrier lwm2m: not a port", "carrier lwm2m --listen x --server {dead} --token t", 2),
    Case("agent: no such operation", "agent run --bank {bank} --model {model} --server {dead} --kill-at 0", 2),
    Case("agent provision: no image", "agent provision --bank {new} --model {model} --image {absent} {rest}", 4),
    Case("agent provision: another image", "agent provision --bank {new} --model {model} --image {other} {rest}", 7),
    Case("agent provision: a terminal is there", "agent provision --bank {bank} --model {model} --image {image} {rest}", 5),
    Case("agent provision: disk full", "agent provision --bank {new} --model {model} --image {image} {rest}", 1, disk=4096),
    Case("agent key: no bank", "agent key --bank {absent} --model {model}", 4),
    Case("agent key: not a bank", "agent key --bank {wrong} --model {model}", 1),
    Case("agent key: no setup", "agent key --setup {absent}", 4),
    Case("agent key: not a setup", "agent key --setup {wrong}", 1),
    Case("agent status: absent", "agent status --bank {absent} --model {model}", 4),
    Case("agent status: not a bank", "agent status --bank {wrong} --model {model}", 1),
    Case("sim power: absent", "sim power {absent} {other}", 4),
    Case("sim power: empty", "sim power {image} {empty}", 2),
    Case("sim power: the same", "sim power {image} {image}", 3),
    Case("sim power: no such tear", "sim power {image} {other} --kinds sideways", 2),
    Case("sim images: no such pair", "sim images nothing -o {new}", 4),
    Case("sim fleet: absent", "sim fleet --old {absent} --new {image} --once", 4),
    Case("sim fleet: the same image twice", "sim fleet --old {image} --new {image} --once", 3),
    Case("sim fleet: more than fits", "sim fleet --old {image} --new {other} --once --ram 1", 5),
    Case("sim fleet: busy port", "sim fleet --old {image} --new {other} --once --dir {new} --port {busy}", 1, leaves=("*",)),
    Case("sim fleet: one image", "sim fleet --old {image} --once", 2),
    Case("sim fleet: a folder of mine", "sim fleet --old {image} --new {other} --once --dir {keys}", 2),
]


def judge(world: World, case: Case, disk: int | None) -> None:
    """The verb is refused as it should be, and nothing is lost or left half-made."""
    before = world.held()
    done = world.run(world.words(case.words), disk)
    assert refused(done, case.code) == ""
    kept = {name: digest for name, digest in before.items() if not any(fnmatch(name, live) for live in case.lives)}
    assert {name: digest for name, digest in world.held().items() if name in kept} == kept
    # Nothing half-made is left behind either; an empty database is made anew by the next start.
    if case.leaves != ("*",):
        assert [name for name in world.held() if name not in (*before, *case.leaves)] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_answered_in_three_lines_and_loses_nothing(world: World, case: Case) -> None:
    judge(world, case, case.disk)


@pytest.mark.parametrize("case", [case for case in CASES if case.disk is not None], ids=lambda case: case.name)
def test_a_file_system_that_is_really_full_is_answered_in_three_lines_and_loses_nothing(
    first_world: World, tmp_path: Path, case: Case
) -> None:
    assert case.disk is not None
    with disk(tmp_path / "disk", 8 << 20) as full, another(first_world, tmp_path / "disk") as world:
        full.fill(case.disk // PAGE * PAGE)
        judge(world, replace(case, leaves=(*case.leaves, BALLAST)), None)
