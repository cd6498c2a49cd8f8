"""A station that shows a certificate of its own to a real server over TLS: made where it stands, known by an admin's word,
revoked alone; and it opens what a station needs, nothing else."""

from __future__ import annotations

import contextlib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.errors import LinkError, RefusedError, UsageError
from neurath.sim.processes import verb
from neurath.station.stock import Stock
from neurath.station.sync import Source, sync
from tests.journey.site import Site, until
from tests.journey.test_tls import Authority
from tests.wire.test_keylist import FIRST, A, B, signed


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    certificate, key = Authority(tmp_path, "own authority").vouch(tmp_path)
    (tmp_path / "site").mkdir()
    made = Site(tmp_path / "site", serve=("--tls-cert", str(certificate), "--tls-key", str(key)))
    (tmp_path / "word").write_text("seven words that nobody has said")
    verb("operator", "add", "mila", "--role", "admin", "--password-file", tmp_path / "word", *made.data)
    yield made
    made.end()


def made(place: Path, name: str) -> tuple[str, str]:
    assert main(["key", "create", name, "-o", str(place), "--certificate", "30"]) == 0
    return str(place / f"{name}.crt.pem"), str(place / f"{name}.pem")


def opens(site: Site, ca: str, shown: tuple[str, str], method: str, path: str) -> int:
    """The status; 0 where the link ended without one, as it may while the server takes a new list of certificates."""
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(*shown)
    request = urllib.request.Request(f"{site.url}/api/v1/{path}", method=method)
    try:
        return int(urllib.request.urlopen(request, timeout=60, context=context).status)
    except urllib.error.HTTPError as fault:
        return int(fault.code)
    except ConnectionError:
        return 0


@pytest.mark.heavy
def test_a_station_shows_its_own_certificate_over_tls_and_is_revoked_alone(site: Site, tmp_path: Path) -> None:
    ca, stock = str(tmp_path / "own authority.pem"), Stock(tmp_path / "stock")
    osaka, kobe, nara = (made(tmp_path / where, "station") for where in ("osaka", "kobe", "nara"))
    with pytest.raises(RefusedError):
        sync(stock, Source(site.url, "", ca, osaka))  # nobody knows it yet
    for name, shown in (("osaka", osaka), ("kobe", kobe)):
        verb("token", "add", name, "--role", "operator", "--certificate", shown[0], *site.data)

    def known() -> bool:
        with contextlib.suppress(RefusedError, LinkError):
            return sync(stock, Source(site.url, "", ca, osaka)).releases == 1
        return False

    until(known, 120.0)
    stock.record({"at": time.time(), "terminal": "t1", "verdict": "restored"})
    assert sync(stock, Source(site.url, "", ca, osaka)).records == 1
    assert [(one["name"], one["station"]) for one in verb("token", "list", *site.data)] == [("kobe", True), ("osaka", True)]
    for method, path in (
        ("GET", "terminals"),
        ("GET", "tokens"),
        ("POST", "models"),
        ("DELETE", "tokens/kobe"),
        ("PUT", "stop"),
    ):
        assert opens(site, ca, osaka, method, path) == 401, path
    assert opens(site, ca, osaka, "GET", "stock") == 200
    # Of the same name, and made by somebody else: TLS does not let it in. And a certificate is nothing without its key.
    with pytest.raises(LinkError):
        sync(stock, Source(site.url, "", ca, nara))
    with pytest.raises(UsageError, match="no certificate with its key"):
        sync(stock, Source(site.url, "", ca, (osaka[0], nara[1])))
    with pytest.raises(RefusedError):
        sync(stock, Source(site.url, "", ca))
    # A list of keys that was signed after the server's certificate ends: it is later than this machine's clock says.
    late = stock.root / "newest.keys"
    late.write_bytes(signed(replace(FIRST, issued=int(time.time()) + 60 * 86400), A, B))
    with pytest.raises(LinkError) as met:
        sync(stock, Source(site.url, "", ca, osaka))
    assert "ended before the list of keys held here was signed" in str(met.value.why)
    late.unlink()
    verb("token", "revoke", "osaka", *site.data)
    with pytest.raises(RefusedError):
        sync(stock, Source(site.url, "", ca, osaka))
    until(lambda: opens(site, ca, kobe, "GET", "stock") == 200, 60.0)
