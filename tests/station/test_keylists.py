"""Lists of keys at a station: what a revoked key signed is not sent to a terminal, whatever the server says of it now."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.errors import TrustError
from neurath.server.app import Server
from neurath.server.software import keylists as published
from neurath.server.software.models import add_key
from neurath.server.store.tables import key_list
from neurath.station import keylists
from neurath.station.stock import Stock
from neurath.station.sync import Source, sync
from neurath.wire import keys
from neurath.wire.keylist import Family, KeyList
from neurath.wire.keys import SigningKey
from tests.station.test_sync import KEY, server  # noqa: F401 (a fixture)
from tests.wire.test_keylist import RELEASE, ROOTS, A, B, C, after, signed

Site = tuple[str, Server]


def names(key: SigningKey) -> tuple[Family, ...]:
    return (Family(("phone",), (key.public,)),)


FIRST = KeyList(1, ROOTS, ROOTS, names(KEY))
SECOND = after(FIRST, families=names(RELEASE))


def publish(site: Site, found: KeyList) -> None:
    with site[1].store.write() as db:
        published.publish(db, signed(found, A, B), site[1].delivery.key.public, 1.0)


def sends(stock: Stock) -> bool:
    """Whether the station would send the release that the first key signed."""
    try:
        stock.package(stock.index().entries[0])
    except TrustError:
        return False
    return True


def test_what_a_revoked_key_signed_is_not_sent_although_the_server_vouches_for_it(
    server: Site,  # noqa: F811
    tmp_path: Path,
) -> None:
    stock = Stock(tmp_path / "stock")
    publish(server, FIRST)
    sync(stock, Source(server[0]))
    assert sends(stock)
    publish(server, SECOND)
    with server[1].store.write() as db:  # it was taken over, with the stolen key's owner
        add_key(db, "phone", keys.public_pem(KEY.public).decode(), 2.0)
    sync(stock, Source(server[0]))
    assert not sends(stock)
    assert [pem for _, pem in stock.index().keys] == [keys.public_pem(RELEASE.public).decode()]


def test_a_server_that_withholds_lists_or_forges_one_changes_nothing_that_was_revoked(
    server: Site,  # noqa: F811
    tmp_path: Path,
) -> None:
    stock = Stock(tmp_path / "stock")
    for one in (FIRST, SECOND):
        publish(server, one)
    sync(stock, Source(server[0]))
    with server[1].store.write() as db:
        db.execute(key_list.delete())
        add_key(db, "phone", keys.public_pem(KEY.public).decode(), 2.0)
    sync(stock, Source(server[0]))
    assert not sends(stock)
    forged = signed(after(SECOND, families=names(KEY)), A, RELEASE)
    with server[1].store.write() as db:
        db.execute(key_list.insert().values(version=3, body=forged, added=3.0))
    with pytest.raises(TrustError):
        sync(stock, Source(server[0]))
    assert not sends(stock)


def test_a_stock_that_has_keys_takes_lists_only_from_roots_that_a_person_named(
    server: Site,  # noqa: F811
    tmp_path: Path,
) -> None:
    stock = Stock(tmp_path / "stock")
    sync(stock, Source(server[0]))
    publish(server, FIRST)
    sync(stock, Source(server[0]))
    assert keylists.kept(stock) is None
    (tmp_path / "1.keys").write_bytes(signed(FIRST, A, C))  # the list in its owner's hand need not be signed by the same two
    words = ["station", "sync", "--server", server[0], "--stock", str(tmp_path / "stock"), "--key-roots"]
    assert main([*words, str(tmp_path / "1.keys")]) == 0
    assert keylists.kept(stock) == FIRST
    publish(server, SECOND)
    sync(stock, Source(server[0]))
    assert not sends(stock)
