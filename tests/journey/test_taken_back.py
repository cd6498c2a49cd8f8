"""A rollout taken back on real parts: server, command line, agents and their banks, each a process of its own. The terminal
that confirmed the new image ends on the old one, in its bank, under an envelope that was signed for the way back."""

from __future__ import annotations

import shlex

import httpx
import pytest

from neurath.errors import NeurathError
from tests.journey.site import Site, digest_of
from tests.rigs.verbs import verb
from tests.server.world import image


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.end()


def test_a_confirmed_terminal_is_taken_back_by_what_the_refusal_says_to_sign(site: Site, monkeypatch) -> None:
    (site.place / "2.bin").write_bytes(image(2))
    (site.place / "2.env").write_bytes(site.seal(image(2), 2))
    envelope = ("--envelope", site.place / "2.env")
    verb("image", "add", site.place / "2.bin", "--model", "phone", "--version", "2", *envelope, *site.data)
    verb("rollout", "create", "--release", "phone/2", "--all", "--start", *site.data)
    verb("agent", "run", *site.reach(), "--once")
    assert site.status()["image"] == digest_of(2)
    with pytest.raises(NeurathError, match=r"no signed way back from phone/2 for 1 terminal$") as refused:
        verb("rollout", "back", "1", "--dry-run", *site.data)
    assert shown(site, 1)["state"] == "running"
    # What it says is run as it stands, where the key and the image are.
    monkeypatch.chdir(site.place)
    sign, add = (shlex.split(one)[1:] for one in refused.value.hint.split(" && "))
    verb(*sign)
    verb(*add, *site.data)
    back = verb("rollout", "back", "1", "--why", "the screen stays dark", *site.data)
    assert [(one["back"], one["name"]) for one in back if "back" in one] == [(1, "phone/1-again-3")]
    verb("agent", "run", *site.reach(), "--once")
    assert site.status()["image"] == digest_of(1)
    assert shown(site, 2)["tally"] == {"targets": 1, "admitted": 1, "confirmed": 1, "failed": 0, "silent": 0}
    assert shown(site, 1)["why"] == "taken back: the screen stays dark"


def shown(site: Site, number: int) -> dict[str, object]:
    return dict(httpx.get(f"{site.url}/api/v1/rollouts/{number}", trust_env=False, timeout=30).json())
