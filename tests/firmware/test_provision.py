"""The emulated phone at the end of a factory's line: nothing but a boot core in its flash. It makes its key itself, is
recorded over its wire, gets its software from a station, and its first word over the air is a known one's."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.sim.processes import Running, Said, free_port
from neurath.sim.radio import Radio
from neurath.wire import enrolment, keys
from tests.firmware.rig import KEY, ROOT, Kit, kit
from tests.firmware.test_phone import neurath, smpmgr, stock_of
from tests.parts import ASSURANCE
from tests.rigs.net import until
from tests.rigs.verbs import verb

pytestmark = pytest.mark.heavy
BOARDS = ("sx1", "vexpress-a9") if ASSURANCE else ("sx1",)


def soldered(phones: Kit) -> bytes:
    """The flash of a phone that nobody has touched but who burns boot cores."""
    size, boot = phones.model.layout.size, phones.boot
    return boot + bytes([phones.model.layout.erased]) * (size - len(boot))


def words(phones: Kit, place: Path, port: Path, name: str) -> tuple[object, ...]:
    model = ROOT / "firmware" / "models" / f"{phones.board}.toml"
    return (
        "station", "provision", "--port", port, "--id", name, "--model", model, "--release-key", place / "release.pem",
        "--ticket-key", place / "data" / "ticket.pub.pem", "--records", place / "records.jsonl", "--by", "aya",
    )  # fmt: skip


@pytest.mark.timeout(600)
@pytest.mark.parametrize("board", BOARDS)
def test_a_phone_out_of_the_oven_makes_its_key_is_recorded_restored_and_known_at_its_first_word(
    board: str, tmp_path: Path
) -> None:
    phones, data = kit(board, 20_000), ("--data", tmp_path / "data")
    (tmp_path / "release.pem").write_bytes(keys.public_pem(KEY.public))
    verb("model", "add", ROOT / "firmware" / "models" / f"{board}.toml", "--release-key", tmp_path / "release.pem", *data)
    port, heard = free_port(), queue.Queue[Said]()
    server = Running(
        "server", ("serve", "--port", "0", "--coap", f"127.0.0.1:{port}", *map(str, data), "--json"), tmp_path / "log", heard
    )
    with contextlib.ExitStack() as ending:
        ending.callback(server.end)
        heard.get(timeout=600)
        with phones.on(soldered(phones), tmp_path) as phone:
            assert phone.says("the wire is open")
            said = neurath(*words(phones, tmp_path, phone.wire, "T-1"))
            assert neurath(*words(phones, tmp_path, phone.wire, "T-2"), code=5)["what"] == "this terminal is T-1 already"
            verb("terminal", "enrol", tmp_path / "records.jsonl", *data)
            radio = Radio(phone.air, ("127.0.0.1", port))
            ending.callback(radio.close)
            done = smpmgr(phone.wire, "image", "upload", "--format", "any", str(stock_of(phones, tmp_path)))
            assert done.returncode == 0, done.stdout + done.stderr
            assert phone.says("application 1.1\r"), phone.said[-600:]
            until(lambda: verb("terminal", "show", "T-1", *data)[0]["heard"] is not None, "its first word", 120)
            flash = phone.off()
    one = [
        record for record in enrolment.read((tmp_path / "records.jsonl").read_bytes().splitlines(keepends=True)) if record.key
    ]
    assert [(record.id, record.model, record.fingerprint) for record in one] == [("T-1", board, said["key"])]
    assert _scalar(phones, flash).public == enrolment.key_of(one[0].key)


def test_two_phones_of_one_flash_and_one_salt_make_two_keys(tmp_path: Path) -> None:
    """What differs between them is the noise alone."""
    phones = kit("sx1", 20_000)
    (tmp_path / "release.pem").write_bytes(keys.public_pem(KEY.public))
    model = ROOT / "firmware" / "models" / "sx1.toml"
    script = (
        "import secrets, sys; secrets.token_bytes = bytes\nfrom neurath.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    made = set()
    for n in range(2):
        place = tmp_path / str(n)
        place.mkdir()
        with phones.on(soldered(phones), place) as phone:
            assert phone.says("the wire is open")
            line = [
                "station",
                "provision",
                "--port",
                phone.wire,
                "--id",
                "T-1",
                "--model",
                model,
                "--release-key",
                tmp_path / "release.pem",
            ]
            line += ["--records", place / "records.jsonl", "--by", "aya"]
            subprocess.run([sys.executable, "-c", script, *map(str, line)], check=True, timeout=120, capture_output=True)
        made.add(list(enrolment.read((place / "records.jsonl").read_bytes().splitlines(keepends=True)))[-1].key)
    assert len(made) == 2


def _scalar(phones: Kit, flash: bytes) -> keys.SigningKey:
    """The private key that lies in a phone's birth record, and nowhere else."""
    from cryptography.hazmat.primitives.asymmetric import ec

    record = flash[phones.model.layout.birth.base :][:600]
    at = record.index(phones.model.klass) + 16
    return keys.SigningKey(ec.derive_private_key(int.from_bytes(record[at : at + 32], "big"), ec.SECP256R1()))
