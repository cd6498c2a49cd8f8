"""The files of a home agent and its nodes: made in pairs, read back, refused with the field's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurath.carriers.mobileip import settings
from neurath.cli.main import main
from neurath.errors import UsageError
from neurath.wire import mobileip
from neurath.wire.mobileip import Address, Algorithm

AGENT = 'address = "10.10.0.1"\nhome_link = "eth0"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.toml").write_text(AGENT)
    (tmp_path / "password").write_text("correct horse\n")
    return tmp_path


def made(name: str, home: str, *more: str) -> int:
    words = ["carrier", "mobileip", "node", name, "--home", home, "--agent", "10.10.0.1", "--user", f"{name}@example.org"]
    return main([*words, "--password-file", "password", "-o", f"{name}.toml", "--config", "agent.toml", *more])


def test_a_node_and_its_agent_share_what_was_made_and_no_password(folder: Path) -> None:
    assert made("one", "10.10.0.7") == 0
    assert made("two", "10.10.0.8", "--algorithm", "hmac-md5", "--tenant", "plant") == 0
    agent = settings.agent("agent.toml")
    assert agent.interface == "eth0"
    for name, home in (("one", "10.10.0.7"), ("two", "10.10.0.8")):
        told = settings.home(f"{name}.toml")
        own = told.home
        node = agent.agent.nodes[Address(home)]
        assert (node.terminal, node.user, own.agent) == (name, f"{name}@example.org", agent.agent.address)
        assert (node.security, node.verifier) == (own.security, own.secret)
        assert own.secret == mobileip.secret("correct horse", own.user)
        assert told.tunnel
        assert told.tunnels == "auto"
        assert (folder / f"{name}.toml").stat().st_mode & 0o077 == 0
    assert agent.agent.nodes[Address("10.10.0.8")].security.algorithm is Algorithm.HMAC_MD5
    assert agent.agent.nodes[Address("10.10.0.8")].tenant == "plant"
    assert not any(b"horse" in file.read_bytes() for file in folder.glob("*.toml"))


def test_nothing_is_overwritten_and_a_dry_run_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert made("one", "10.10.0.7", "--dry-run") == 0
    assert not (folder / "one.toml").exists()
    assert (folder / "agent.toml").read_text() == AGENT
    assert made("one", "10.10.0.7") == 0
    assert made("two", "10.10.0.7") == 2
    assert "has a node already" in capsys.readouterr().err
    before = (folder / "one.toml").read_text()
    assert made("one", "10.10.0.9") == 2
    assert (folder / "one.toml").read_text() == before
    assert made("two", "10.10.0") == 2
    (folder / "password").write_text("\n")
    assert made("two", "10.10.0.8") == 2


def test_an_agents_file_is_told_without_running_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made("one", "10.10.0.7")
    capsys.readouterr()
    words = ["carrier", "mobileip", "agent", "--config", "agent.toml", "--server", "http://127.0.0.1:1", "--dry-run"]
    assert main(words) == 0
    assert "10.10.0.7 is one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("address = 5\n", "address"), ('address = "10.10.0"\n', "address"), ('address = "10.10.0.1"\n', "home_link"),
        (AGENT + "lifetime = 0\n", "lifetime"), (AGENT + "node = 5\n", "node"), (AGENT + "[[node]]\n", "home"),
        ("address = ", "TOML"), (AGENT + 'tunnels = "ipsec"\n', "tunnels"),
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused_by_the_fields_name(folder: Path, text: str, field: str) -> None:
    (folder / "agent.toml").write_text(text)
    with pytest.raises(UsageError, match=field):
        settings.agent("agent.toml")
