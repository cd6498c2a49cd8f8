"""A ceremony from the first key to the updated terminal: three roots, each on a machine of its own, one of them and the next
release key on a token; lists that change what a running terminal believes; and no key of theirs anywhere on the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.sim import leak
from neurath.sim.processes import COMMAND
from neurath.wire import keys
from tests.journey.site import Site
from tests.parts import need
from tests.rigs.verbs import verb
from tests.server.world import KEY, image

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A SoftHSM token of this test alone."""
    need("softhsm2-util")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("NEURATH_PIN", "1234")
    words = ["softhsm2-util", "--init-token", "--free", "--label", "vault", "--pin", "1234", "--so-pin", "0000"]
    subprocess.run(words, check=True, capture_output=True)
    return "vault"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "site").mkdir()
    made = Site(tmp_path / "site")
    yield made
    made.end()


def say(*words: str | Path) -> int:
    return main([str(word) for word in words])


def ceremony(place: Path, token: str, site: Site) -> tuple[Path, ...]:
    """The private halves of roots a and b, and what names root c on the token."""
    machines = [place / name for name in ("alice", "bob", "carol")]
    assert say("key", "create", "a", "-o", machines[0], "--alg", "ed25519") == 0
    assert say("key", "create", "b", "-o", machines[1]) == 0
    assert say("key", "create", "c", "-o", machines[2], "--token", token, "--module", MODULE) == 0
    shown = [machine / f"{name}.pub.pem" for machine, name in zip(machines, "abc", strict=True)]
    roots = [word for path in shown for word in ("--root", path)]
    release, ticket = f"phone={site.place}/release.pub.pem", site.place / "data/ticket.pub.pem"
    assert say("key", "delegate", *roots, "--release", release, "--ticket", ticket, "-o", place / "1.keys") == 0
    return machines[0] / "a.pem", machines[1] / "b.pem", machines[2] / "c.token"


def provision(site: Site, lists: Path) -> tuple[str | Path, ...]:
    bank = ("--bank", site.place / "t1.bank", "--model", site.place / "phone.toml")
    first = ("--image", site.place / "1.bin", "--envelope", site.place / "1.env", "--id", "t1")
    trust = ("--release-key", site.place / "release.pub.pem", "--ticket-key", site.place / "data/ticket.pub.pem")
    verb("agent", "provision", *bank, *first, *trust, "--roots", lists)
    return bank


def test_a_release_key_is_exchanged_by_two_of_three_and_never_touches_the_server(
    tmp_path: Path, token: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, c = ceremony(tmp_path, token, site)
    bank = provision(site, tmp_path / "1.keys")
    publish = ("key", "publish", *site.data)
    assert say("key", "sign", tmp_path / "1.keys", "--key", a) == 0
    assert say(*publish, tmp_path / "1.keys") == 7  # one of three
    assert say("key", "sign", tmp_path / "1.keys", "--key", c) == 0
    assert say(*publish, tmp_path / "1.keys") == 0

    # The release key is taken for stolen: the next one is made on the token, and never leaves it.
    assert say("key", "create", "next", "-o", tmp_path, "--token", token, "--module", MODULE) == 0
    turned = (site.place / "release.pub.pem", tmp_path / "next.pub.pem", "-o", tmp_path / "2.keys")
    assert say("key", "rotate", "--after", tmp_path / "1.keys", *turned) == 0
    for root in (b, c):
        assert say("key", "sign", tmp_path / "2.keys", "--key", root) == 0
    assert say(*publish, tmp_path / "2.keys") == 0
    assert say(*publish, tmp_path / "2.keys") == 5  # it is there already

    (site.place / "2.bin").write_bytes(image(2))
    stolen, true = tmp_path / "stolen.env", tmp_path / "true.env"
    sign = ("sign", site.place / "2.bin", "--model", site.place / "phone.toml", "--version", "2", "--sequence", "2")
    assert say(*sign, "--key", site.place / "release.pem", "-o", stolen) == 0
    assert say(*sign, "--key", tmp_path / "next.token", "-o", true) == 0
    added = ("image", "add", site.place / "2.bin", "--model", "phone", "--version", "2", *site.data)
    assert say(*added, "--envelope", stolen) == 7
    assert say(*added, "--envelope", true) == 0
    assert say("rollout", "create", "--release", "phone/2", "--all", "--start", *site.data) == 0
    reach = (*bank, "--server", site.url, "--token", site.token, "--poll", "1")
    done = subprocess.run([*COMMAND, "agent", "run", *map(str, reach), "--once"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verb("agent", "status", *bank)[0]["sequence"] == 2
    capsys.readouterr()
    assert say("key", "show", tmp_path / "2.keys", "--json") == 0
    assert '"complete": true' in capsys.readouterr().out.replace('":true', '": true')

    for private in (KEY, keys.load_private(a), keys.load_private(b)):
        looked, held = leak.found(site.place / "data", private)
        assert held == []
        assert looked > 3
    # The same search finds the one key that the server does have, and the release key where it is.
    assert leak.found(site.place / "data", keys.load_private(site.place / "data/ticket.pem"))[1]
    assert leak.found(site.place, KEY)[1] == [site.place / "release.pem"]


def test_ceremony_verbs_load_nothing_that_could_reach_a_network(tmp_path: Path) -> None:
    for name in "abc":
        assert say("key", "create", name, "-o", tmp_path) == 0
    roots = [word for name in "abc" for word in ("--root", f"{tmp_path}/{name}.pub.pem")]
    steps = [
        ["key", "delegate", *roots, "-o", f"{tmp_path}/1.keys"],
        ["key", "sign", f"{tmp_path}/1.keys", "--key", f"{tmp_path}/a.pem"],
        ["key", "sign", f"{tmp_path}/1.keys", "--key", f"{tmp_path}/b.pem"],
        [
            "key",
            "rotate",
            "--after",
            f"{tmp_path}/1.keys",
            f"{tmp_path}/a.pub.pem",
            f"{tmp_path}/c.pub.pem",
            "-o",
            "/dev/null",
        ],
        ["key", "show", f"{tmp_path}/1.keys"],
    ]
    code = (
        "import sys; from neurath.cli.main import main\n"
        f"codes = [main(words) for words in {steps!r}]\n"
        "loaded = {'_socket', 'socket', 'ssl', 'http.client', 'neurath.carriers', 'neurath.server'} & set(sys.modules)\n"
        "print(codes, sorted(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    # A root exchanged for one that is a root already would leave two: refused.
    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 1, 0] []", done.stdout + done.stderr


def test_a_key_is_found_in_every_form_and_across_the_border_of_two_blocks(tmp_path: Path) -> None:
    key = keys.from_seed(bytes(range(32)))
    for number, form in enumerate(sorted(leak.forms(key))):
        for before in (0, (1 << 20) - 5):
            (tmp_path / "data").write_bytes(b"\xee" * before + form + b"\xee" * 10)
            assert leak.found(tmp_path, key) == (1, [tmp_path / "data"]), number
    (tmp_path / "data").write_bytes(b"\xee" * 2_000_000)
    assert leak.found(tmp_path, key) == (1, [])
