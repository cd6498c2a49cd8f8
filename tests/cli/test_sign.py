"""`neurath key`, `sign` and `verify` as scripts use them: exit codes, --json, three lines on stderr, files never lost."""

import json
from pathlib import Path
from typing import Any

import pytest
from intelhex import IntelHex

from neurath.cli.main import main
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from neurath.wire import keys, manifest

IMAGE = bytes(range(256)) * 40


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an image and the key pairs `rel` (es256) and `ed` (ed25519)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.bin").write_bytes(IMAGE)
    assert main(["key", "create", "rel", "--alg", "es256"]) == 0
    assert main(["key", "create", "ed", "--alg", "ed25519"]) == 0
    return tmp_path


def sign(*more: str, key: str = "rel.pem", sequence: str = "3") -> int:
    words = ["sign", "app.bin", "--model", "lamp", "--version", "1.0", "--key", key, "-o", "app.env"]
    return main([*words, *(["--sequence", sequence] if sequence else []), *more])


def json_of(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("key", ["rel", "ed"])
def test_what_is_signed_verifies_and_says_what_it_is(bench: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sign("--json", key=f"{key}.pem") == 0
    signed = json_of(capsys)
    assert main(["verify", "app.bin", "app.env", "--key", f"{key}.pub.pem", "--model", "lamp", "--json"]) == 0
    verified = json_of(capsys)
    assert verified["sequence"] == 3
    assert verified["version"] == "1.0"
    assert {k: verified[k] for k in ("image", "envelope", "bytes")} == {k: signed[k] for k in ("image", "envelope", "bytes")}
    assert verified["bytes"] <= 350


def test_one_of_several_keys_is_enough(bench: Path) -> None:
    sign()
    assert main(["verify", "app.bin", "app.env", "--key", "ed.pub.pem", "--key", "rel.pub.pem"]) == 0


def test_what_is_not_to_be_trusted_ends_with_7(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign()
    (bench / "other.bin").write_bytes(IMAGE[:-1] + b"\0")
    hurt = bytearray((bench / "app.env").read_bytes())
    hurt[60] ^= 1
    (bench / "hurt.env").write_bytes(hurt)
    (bench / "empty.env").write_bytes(b"")
    attempts = [
        ["app.bin", "app.env", "--key", "ed.pub.pem"],
        ["other.bin", "app.env", "--key", "rel.pub.pem"],
        ["app.bin", "hurt.env", "--key", "rel.pub.pem"],
        ["app.bin", "empty.env", "--key", "rel.pub.pem"],
        ["app.bin", "app.bin", "--key", "rel.pub.pem"],
        ["app.bin", "app.env", "--key", "rel.pub.pem", "--model", "heater"],
    ]
    capsys.readouterr()
    for words in attempts:
        assert main(["verify", *words]) == 7
        said = capsys.readouterr()
        assert [line.split()[0] for line in said.err.splitlines()] == ["error", "why", "try"]
        assert not said.out


def test_after_counts_on_in_the_same_epoch(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign("--epoch", "2")
    words = [
        "sign",
        "app.bin",
        "--model",
        "lamp",
        "--version",
        "1.1",
        "--key",
        "rel.pem",
        "-o",
        "next.env",
        "--after",
        "app.env",
    ]
    assert main([*words, "--json"]) == 0
    found = json_of(capsys)
    assert (found["epoch"], found["sequence"]) == (2, 4)
    assert main([*words, "--epoch", "1"]) == 2
    assert main([w.replace("rel.pem", "ed.pem") for w in words]) == 7


def test_a_model_file_gives_its_own_ids_and_leaf(bench: Path) -> None:
    model = Model(ModelName("lamp"), simple_layout(65536, leaf=1024, group=4096), ram=32768, vendor=b"v" * 16, klass=b"k" * 16)
    (bench / "lamp.toml").write_text(model_to_toml(model))
    words = ["sign", "app.bin", "--model", "lamp.toml", "--version", "1", "--sequence", "1", "--key", "rel.pem", "-o", "e"]
    assert main(words) == 0
    found = manifest.verify((bench / "e").read_bytes(), [keys.load_public(bench / "rel.pub.pem")])
    assert (found.vendor, found.klass, found.leaf) == (b"v" * 16, b"k" * 16, 1024)
    assert main(["verify", "app.bin", "e", "--key", "rel.pub.pem", "--model", "lamp.toml"]) == 0


def test_a_dry_run_writes_nothing(bench: Path) -> None:
    assert sign("--dry-run") == 0
    assert main(["key", "create", "x", "--dry-run"]) == 0
    assert sorted(p.name for p in bench.iterdir()) == ["app.bin", "ed.pem", "ed.pub.pem", "rel.pem", "rel.pub.pem"]


def test_bad_requests_end_with_their_codes(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    (bench / "empty.bin").write_bytes(b"")
    for code, words in (
        (2, ["sign", "app.bin"]),
        (2, ["sign", "app.bin", "--model", "m", "--version", "1", "--key", "rel.pem", "-o", "e", "--sequence", "-1"]),
        (2, ["key"]),
        (2, ["key", "create", "k", "--alg", "rsa"]),
        (4, ["sign", "absent.bin", "--model", "m", "--version", "1", "--key", "rel.pem", "-o", "e", "--sequence", "1"]),
        (4, ["sign", "app.bin", "--model", "m", "--version", "1", "--key", "absent.pem", "-o", "e", "--sequence", "1"]),
        (4, ["sign", "app.bin", "--model", "m.toml", "--version", "1", "--key", "rel.pem", "-o", "e", "--sequence", "1"]),
        (4, ["key", "show", "absent.pem"]),
        (1, ["key", "show", "app.bin"]),
        (1, ["key", "create", "../k"]),
        (1, ["sign", "app.bin", "--model", "m", "--version", "1", "--key", "rel.pub.pem", "-o", "e", "--sequence", "1"]),
        (1, ["sign", "app.bin", "--model", "m", "--version", "1 0", "--key", "rel.pem", "-o", "e", "--sequence", "1"]),
        (1, ["sign", "empty.bin", "--model", "m", "--version", "1", "--key", "rel.pem", "-o", "e", "--sequence", "1"]),
        (1, ["sign", "app.bin", "--model", "m", "--version", "1", "--key", "rel.pem", "-o", "no/e", "--sequence", "1"]),
        (5, ["sign", "app.bin", "--model", "m", "--version", "1", "--key", "rel.pem", "-o", "app.bin", "--sequence", "1"]),
        (5, ["key", "create", "rel"]),
    ):
        found = main(words)
        assert found == code or (found == 4 and "no/e" in words), words
        assert [line.split()[0] for line in capsys.readouterr().err.splitlines() if line[:3] != "   "] == [
            "error",
            "why",
            "try",
        ]
    assert (bench / "app.bin").read_bytes() == IMAGE
    assert not (bench / "e").exists()


def test_a_full_disk_leaves_the_envelope_that_was_there(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign()
    before = (bench / "app.env").read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurath.disk.os.fsync", full)
    assert sign(sequence="4") == 1
    assert (bench / "app.env").read_bytes() == before
    assert not list(bench.glob(".app.env*"))


def test_show_tells_both_halves_of_a_pair_by_one_fingerprint(bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marks = set()
    for name, private in (("rel.pem", True), ("rel.pub.pem", False)):
        assert main(["key", "show", name, "--json"]) == 0
        found = json_of(capsys)
        assert found["private"] is private
        assert found["alg"] == "es256"
        marks.add(found["fingerprint"])
    assert len(marks) == 1
    secret = (bench / "rel.pem").read_text().splitlines()[1]
    assert main(["key", "show", "rel.pem"]) == 0
    assert secret not in capsys.readouterr().out


def test_a_factory_takes_the_hex_file_that_was_signed(bench: Path) -> None:
    whole = IntelHex()
    whole.frombytes(IMAGE)
    whole.write_hex_file("app.hex")
    Path("lamp.toml").write_text(model_to_toml(Model(ModelName("lamp"), simple_layout(32768), ram=65536)))
    words = ["--model", "lamp.toml", "--version", "1", "--sequence", "1", "--key", "rel.pem", "-o", "app.env"]
    assert main(["sign", "app.hex", *words]) == 0
    bank = ["--bank", "t.bank", "--model", "lamp.toml"]
    made = ["--id", "t", "--envelope", "app.env", "--release-key", "rel.pub.pem", "--image", "app.hex"]
    assert main(["agent", "provision", *bank, *made]) == 0
    assert IMAGE in Path("t.bank").read_bytes()
