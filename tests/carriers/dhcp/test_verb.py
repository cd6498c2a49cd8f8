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
        ((*RELAY, "--enterprise", "-1"), 2),
        ((*RELAY, "--enterprise", "32473", "--piece-option", "230"), 2),
        ((*RELAY, "--enterprise", "32473"), 0),
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


WHOLE = 'interface = "lo"\nrelay-to = ["127.0.0.1"]\n[[client]]\nterminal = "t1"\nmac = "52:54:00:00:00:01"\n'


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (WHOLE, 0),
        ('relay-to = ["127.0.0.1"]', 2),
        ('interface = "lo"\nrelay-to = "127.0.0.1"', 2),
        ('interface = "lo"\nrelay-to = [1]', 2),
        ('interface = "lo"\nrelay = ["127.0.0.1"]', 2),
        ("interface = ", 2),
        (WHOLE.replace("52:54", "52"), 2),
        ('interface = "lo"\npool = "127.0.0.5-127.0.0.9"\nlease = true', 2),
    ],
)
def test_a_file_says_the_same_apart_from_the_server_and_inside_it(text, code, tmp_path, capsys):
    need("ip")
    file = tmp_path / "dhcp.toml"
    file.write_text(text)
    assert main(["carrier", "dhcp", "--config", str(file), "--dry-run"]) == code
    if code:
        said = capsys.readouterr().err
        assert len(said.strip().splitlines()) == 3
        assert main(["serve", "--data", str(tmp_path / "data"), "--carrier", f"dhcp:{file}"]) == code
        assert capsys.readouterr().err == said, "and nothing was opened"
        assert not (tmp_path / "data").exists()


def test_what_the_command_line_says_goes_before_the_file(tmp_path):
    file = tmp_path / "dhcp.toml"
    file.write_text(WHOLE + "[unknown]\n")
    assert main(["carrier", "dhcp", "--config", str(file), "--dry-run"]) == 2
    file.write_text(WHOLE)
    assert main(["carrier", "dhcp", "--config", str(file), "--interface", "none0", "--dry-run"]) == 1
