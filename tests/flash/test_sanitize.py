"""The readers of hostile bytes stay inside their memory: the same C under the address and undefined-behaviour sanitizers."""

import json
import os
import subprocess
from pathlib import Path

import cbor2

from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]


def test_no_hostile_byte_makes_the_readers_leave_their_memory(tmp_path: Path, seed: int) -> None:
    compiler = need("gcc")
    files = sorted((ROOT / "vectors/suit-draft").glob("*.suit"))
    for name, key in (("envelope", "envelope"), ("ticket", "ticket"), ("birth", "record")):
        for number, case in enumerate(json.loads((ROOT / f"vectors/{name}.json").read_text())["cases"]):
            files.append(tmp_path / f"{name}{number}")
            files[-1].write_bytes(bytes.fromhex(case[key]))
    # A signature one byte short, at the very end of the memory.
    tag = cbor2.loads(files[-6].read_bytes())
    files.append(tmp_path / "short")
    files[-1].write_bytes(cbor2.dumps(cbor2.CBORTag(18, [*tag.value[:3], tag.value[3][:63]])))
    rounds = "200000" if os.environ.get("NEURATH_ASSURANCE") == "1" else "500"
    done = subprocess.run(
        ["sh", str(ROOT / "core/test/sanitize.sh"), str(seed), rounds, *map(str, files)],
        capture_output=True, text=True, check=False, env={**os.environ, "CC": compiler},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    taken = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    # Each file was taken for what it is: the code behind the signature was reached.
    assert [int(taken[str(file)]) for file in files] == [1] * 6 + [3] * 6 + [4] * 4 + [8] * 2 + [0]
