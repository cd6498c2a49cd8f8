"""What `neurath carrier dhcp` refuses before it opens anything."""

import pytest

from neurath.cli.main import main
from tests.parts import need

HERE = ("carrier", "dhcp", "--interface", "lo", "--dry-run")
RELAY = ("--relay-to", "127.0.0.1")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        ((*RELAY, "--pool", "127.0.0.5-127.0.0.9"), 2),
        (("--relay-to", "localhost"), 2),
        ((*RELAY, "--piece-option", "43"), 2),
        ((*RELAY, "--piece-option", "224"), 2),
        ((*RELAY, "--observe", "--drain", "--keep", "."), 2),
        (("--pool", "10.0.0.5-10.0.0.9"), 2),
        (("--pool", "127.0.0.5-127.0.0.9", "--lease", "0"), 2),
        (("--pool", "127.0.0.5-127.0.0.9", "--observe"), 2),
        ((*RELAY, "--clients", "nothing.toml"), 4),
        ((*RELAY, "--drain"), 5),
        ((*RELAY, "--drain", "--keep", "."), 5),
        ((*RELAY, "--observe"), 0),
        (("--pool", "127.0.0.5-127.0.0.9"), 0),
    ],
)
def test_what_makes_no_sense_is_said_in_three_lines(words, code, tmp_path, monkeypatch, capsys):
    need("ip")
    monkeypatch.chdir(tmp_path)
    assert main([*HERE, *words]) == code
    said = capsys.readouterr()
    if code:
        assert said.err.startswith("error NRT-")
        assert len(said.err.strip().splitlines()) == 3
    else:
        assert "nothing was opened" in said.out
    assert list(tmp_path.iterdir()) == []


def test_an_interface_that_is_not_there_is_named(capsys):
    assert main(["carrier", "dhcp", "--interface", "none0", *RELAY, "--dry-run"]) == 1
    assert "none0 has no IPv4 address" in capsys.readouterr().err


def test_draining_takes_a_record_that_was_kept(tmp_path, capsys):
    (tmp_path / "pointing").touch()
    assert main([*HERE, *RELAY, "--drain", "--keep", str(tmp_path)]) == 0
