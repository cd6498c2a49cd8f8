"""The responder stays inside its memory: the same C under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import cbor2

from tests.parts import need
from tests.station.device import KEY, SMALL, Device, birth_of, image_of, package_of

ROOT = Path(__file__).resolve().parents[2]


def message(op: int, group: int, command: int, body: dict[str, object]) -> bytes:
    raw = cbor2.dumps(body, canonical=True)
    head = bytes([8 | op, 0, len(raw) >> 8, len(raw) & 255, group >> 8, group & 255, 1, command])
    return len(head + raw).to_bytes(2, "big") + head + raw


def session() -> bytes:
    """Everything a good tool says, one after the other."""
    data = package_of(image_of(2, 3500), SMALL, 6)
    birth = birth_of(SMALL)
    enrol: dict[str, object] = {
        "id": birth.id, "model": birth.model, "vendor": birth.vendor, "klass": birth.klass, "key": birth.device_key,
        "release": bytes([KEY.public.alg]) + KEY.public.data, "ticket": b"",
    }  # fmt: skip
    said = [message(0, 64, 0, {}), message(2, 64, 1, enrol), message(2, 0, 0, {"d": "hello"}), message(0, 0, 6, {})]
    said.append(message(0, 1, 0, {}))
    for off in range(0, len(data), 380):
        first: dict[str, object] = {"len": len(data), "sha": hashlib.sha256(data).digest(), "image": 0} if off == 0 else {}
        said.append(message(2, 1, 1, {"off": off, "data": data[off : off + 380], **first}))
    return b"".join([*said, message(2, 0, 5, {})])


def test_no_hostile_message_makes_the_responder_leave_its_memory(tmp_path: Path, seed: int) -> None:
    compiler = need("gcc")
    device = Device()
    device.break_it()
    (tmp_path / "flash").write_bytes(device.nor.read_raw(0, 9216))
    (tmp_path / "session").write_bytes(session())
    rounds = "200000" if os.environ.get("NEURATH_ASSURANCE") == "1" else "2000"
    done = subprocess.run(
        ["sh", str(ROOT / "core/test/wire.sh"), str(seed), rounds, str(tmp_path / "flash"), str(tmp_path / "session")],
        capture_output=True, text=True, check=False, env={**os.environ, "CC": compiler},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    # The good session restored it: the mutations reach all of the code.
    assert done.stdout.startswith("whole 1 "), done.stdout
    assert 0 < int(done.stdout.split()[3]) < int(rounds)
