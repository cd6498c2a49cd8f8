"""Fault 12 with a list of keys: dates of certificates are judged by the date that two roots signed, whatever the clock says.
Server and agent are processes of their own and speak TLS; each of five clocks meets a certificate that ended before the list
was signed, and one that did not."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.cli.key_time import DAY, date
from neurath.cli.main import main
from neurath.sim.processes import COMMAND, free_port, verb
from neurath.units import EARLIEST
from tests.journey.site import Site, digest_of
from tests.journey.test_tls import Authority, in_1970_it_runs, publish
from tests.rigs.clock import at

#: The certificate ends, then the list is signed; it is later now.
ENDED, SIGNED, NOW, ENDS = (int(EARLIEST) + days * DAY for days in (10, 20, 30, 400))
CLOCKS = {"1970": 86400, "2020": 1_577_836_800, "an hour slow": NOW - 3600, "an hour fast": NOW + 3600, "2106": 4_294_967_290}


def moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


@dataclass
class Lasting:
    """A site whose server shows one certificate or the other."""

    site: Site
    ca: Authority
    bank: tuple[str | Path, ...]

    def shows(self, ends: int) -> None:
        """The server, begun again with a certificate that ends then."""
        self.site.end()
        self.site.running.clear()
        self.ca.span = (self.ca.span[0], moment(ends))
        certificate, key = self.ca.vouch(self.site.place)
        tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
        self.site.run("server", "serve", "--port", str(free_port()), *tls, *self.site.data)
        while "url" not in (said := self.site.heard.get(timeout=60).record):
            pass  # the last words of the one before
        self.site.url = str(said["url"])

    def reach(self) -> tuple[str | Path, ...]:
        return (*self.bank, "--server", self.site.url, "--token", self.site.token, "--ca", self.ca.file)

    def runs(self, clock: str, place: Path) -> subprocess.CompletedProcess[str]:
        return in_1970_it_runs(at(place, CLOCKS[clock]), *self.reach())

    def asks(self, clock: str, place: Path) -> subprocess.CompletedProcess[str]:
        """What there is for it, and nothing is changed."""
        words = [str(word) for word in (*COMMAND, "agent", "run", *self.reach(), "--dry-run")]
        env = at(place, CLOCKS[clock])
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)

    def runs_image(self) -> str:
        return str(verb("agent", "status", *self.bank)[0]["image"])


def signed_list(site: Site, place: Path) -> Path:
    """Number 1, signed by two of three on SIGNED; it is passed on."""
    made, said = place / "1.keys", ("--time", date(SIGNED))
    for name in "abc":
        assert main(["key", "create", name, "-o", str(place), "--alg", "ed25519"]) == 0
    roots = [word for name in "abc" for word in ("--root", f"{place}/{name}.pub.pem")]
    who = ("--release", f"phone={site.place}/release.pub.pem", "--ticket", f"{site.place}/data/ticket.pub.pem")
    assert main(["key", "delegate", *roots, *who, *said, *said, "-o", str(made)]) == 0
    for name in "ab":
        assert main(["key", "sign", str(made), "--key", f"{place}/{name}.pem", *said]) == 0
    assert main(["key", "publish", str(made), *said, *map(str, site.data)]) == 0
    return made


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Lasting]:
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site")
    made = signed_list(site, tmp_path)
    bank = ("--bank", site.place / "t1.bank", "--model", site.place / "phone.toml")
    first = ("--image", site.place / "1.bin", "--envelope", site.place / "1.env", "--id", "t1")
    trust = ("--release-key", site.place / "release.pub.pem", "--ticket-key", site.place / "data/ticket.pub.pem")
    verb("agent", "provision", *bank, *first, *trust, "--roots", made)
    yield Lasting(site, Authority(tmp_path, "own authority", (moment(int(EARLIEST) - DAY), moment(ENDS))), bank)
    site.end()


@pytest.mark.heavy
def test_with_any_clock_a_certificate_that_ended_before_the_keys_were_signed_is_refused_and_a_later_one_believed(
    lasting: Lasting, tmp_path: Path
) -> None:
    lasting.shows(ENDED)
    publish(lasting.site, 2)
    held, before = lasting.site.place / "t1.bank.keys", digest_of(1)
    # Without a list a clock that was never set knows no better; over this very link it takes the list, and then it does.
    assert not held.exists()
    assert lasting.runs("1970", tmp_path).returncode == 6
    assert held.exists()
    for clock, seconds in CLOCKS.items():
        done = lasting.runs(clock, tmp_path)
        assert done.returncode == 6, clock
        why = "ended before the list of keys held here was signed" if seconds < SIGNED else "certificate has expired"
        assert why in done.stderr, clock
        assert lasting.runs_image() == before, clock
    lasting.shows(ENDS)
    done = lasting.runs("2106", tmp_path)
    assert (done.returncode, lasting.runs_image()) == (6, before), "a clock far ahead is the later of the three"
    done = lasting.runs("1970", tmp_path)
    assert (done.returncode, lasting.runs_image()) == (0, digest_of(2)), done.stderr
    for clock in list(CLOCKS)[1:4]:
        done = lasting.asks(clock, tmp_path)
        assert (done.returncode, done.stdout) == (3, "nothing newer\n"), clock + done.stderr
