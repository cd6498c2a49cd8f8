"""Attacks on the software store as TUF names them, each against a copy kept by python-tuf's client: nothing that its
families did not sign is ever taken, and what was there before stays."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from neurath.errors import DataError, LinkError, NeurathError, NotFound, RefusedError, TrustError
from neurath.repository import roles
from neurath.repository.client import Copy, mirror, said
from neurath.wire import keys
from neurath.wire.keys import Alg
from tests.rigs.repository import DAYS, LAMP, PUMP, Rig, image


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path / "server")
    root = made.begin()
    (tmp_path / "root").write_bytes(root)
    made.publish(made.release(image(LAMP, 1, made.lamp)))
    return made


def copy(tmp_path: Path, name: str = "station") -> Copy:
    made = Copy(tmp_path / name / "tuf")
    made.begin((tmp_path / "root").read_bytes())
    return made


def held(tmp_path: Path, name: str = "station") -> set[str]:
    """Digests of the images in a stock; each file is what its name says."""
    files = [path for path in (tmp_path / name / "files").rglob("*") if path.is_file()]
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in files)
    return {path.name for path in files}


def says(data: bytes) -> Callable[[], Iterator[bytes]]:
    return lambda: iter([data])


def test_what_the_families_signed_arrives_whole_with_the_keys_that_the_roots_delegate(rig: Rig, tmp_path: Path) -> None:
    pump = image(PUMP, 1, rig.pump)
    rig.publish(rig.release(pump, family="release-pump"))
    found = {one.name: one for one in copy(tmp_path).sync(rig.ask)}
    assert set(found) == {"lamp/1.1", "pump/1.1"}
    assert found["lamp/1.1"].keys == (rig.lamp.public,)
    assert found["pump/1.1"].keys == (rig.pump.public,)
    assert (found["pump/1.1"].size, found["pump/1.1"].envelope) == (len(pump.data), pump.envelope)
    assert held(tmp_path) == set(rig.files)
    rig.asked.clear()
    copy(tmp_path).sync(rig.ask)
    assert not [path for path in rig.asked if path.startswith("targets/lamp")], "what is here is not fetched again"


def test_wrong_hash_another_image_under_a_signed_name_is_not_kept(rig: Rig, tmp_path: Path) -> None:
    good = next(iter(rig.files))
    for wrong in (b"", bytes(5000), rig.files[good][:-1], rig.files[good][:-1] + b"x"):
        rig.lies[f"targets/lamp/{good}.1.1"] = says(wrong)
        with pytest.raises((TrustError, LinkError)):
            copy(tmp_path).sync(rig.ask)
        assert held(tmp_path) == set()


def test_unsigned_target_of_a_mirror_is_not_believed(rig: Rig, tmp_path: Path) -> None:
    document = roles.read(rig.shelf.read("1.release-lamp.json"))
    evil = image(LAMP, 9, keys.create(Alg.ES256))
    rig.files[hashlib.sha256(evil.data).hexdigest()] = evil.data
    forged = roles.published([evil], roles.in_days(9, rig.now), document)
    forged.signed.version = 1
    forged.signatures = document.signatures
    rig.lies["metadata/1.release-lamp.json"] = says(forged.to_bytes())
    with pytest.raises(TrustError):
        copy(tmp_path).sync(rig.ask)
    assert held(tmp_path) == set()


def test_a_repository_of_somebody_elses_roots_gives_an_empty_stock_nothing(rig: Rig, tmp_path: Path) -> None:
    other = Rig(tmp_path / "hostile", roots=[keys.create(Alg.ES256) for _ in range(3)])
    other.begin()
    other.publish(other.release(image(LAMP, 9, other.lamp)))
    with pytest.raises(TrustError):
        copy(tmp_path).sync(other.ask)
    assert held(tmp_path) == set()


def test_rollback_of_any_document_is_refused_by_who_has_seen_the_newer(rig: Rig, tmp_path: Path) -> None:
    old = {path.name: path.read_bytes() for path in rig.folder.glob("*.json")}
    rig.publish(rig.release(image(LAMP, 2, rig.lamp)))
    mine = copy(tmp_path)
    assert len(mine.sync(rig.ask)) == 2
    rig.lies["metadata/timestamp.json"] = says(old["timestamp.json"])
    with pytest.raises(TrustError):
        mine.sync(rig.ask)
    # A snapshot that the server's key signed anew over an older document of a family is refused too: it was seen newer.
    next_, own = rig.version("snapshot") + 9, rig.version("online")
    shot = roles.snapshot({"targets": 1, "release-lamp": 1, "online": own}, next_, roles.in_days(1, rig.now))
    rig.lies[f"metadata/{next_}.snapshot.json"] = says(roles.signed(shot, rig.online))
    rig.lies["metadata/timestamp.json"] = says(
        roles.signed(roles.timestamp(next_, next_, roles.in_days(1, rig.now)), rig.online)
    )
    with pytest.raises(TrustError):
        mine.sync(rig.ask)
    assert len(held(tmp_path)) == 2


def test_freeze_a_server_that_repeats_itself_is_found_out_when_its_word_expires(rig: Rig, tmp_path: Path) -> None:
    rig.publish(rig.release(image(LAMP, 2, rig.lamp)), now=rig.now - 4 * DAYS)
    with pytest.raises(TrustError, match="too old"):
        copy(tmp_path).sync(rig.ask)
    assert held(tmp_path) == set()
    rig.publish()  # it signs anew
    assert len(copy(tmp_path).sync(rig.ask)) == 2


def test_mix_and_match_of_documents_of_different_days_is_refused(rig: Rig, tmp_path: Path) -> None:
    before = {role: rig.shelf.read(f"{rig.version(role)}.{role}.json") for role in ("release-lamp", "snapshot", "online")}
    rig.publish(rig.release(image(LAMP, 2, rig.lamp)))
    for role, word in before.items():
        name = f"{rig.version(role)}.{role}.json"
        rig.lies = {f"metadata/{name}": says(word)}
        with pytest.raises(TrustError):
            copy(tmp_path, name).sync(rig.ask)
        assert held(tmp_path, name) == set()


def test_endless_data_is_cut_off_at_what_was_announced(rig: Rig, tmp_path: Path) -> None:
    taken = itertools.count()

    def endless() -> Iterator[bytes]:
        for _ in taken:
            yield bytes(65536)

    good = next(iter(rig.files))
    for path, most in ((f"targets/lamp/{good}.1.1", 1), ("metadata/timestamp.json", 1), ("metadata/1.release-lamp.json", 80)):
        rig.lies = {path: endless}
        before = next(taken)
        name = path.rpartition("/")[2]
        with pytest.raises(NeurathError):
            copy(tmp_path, name).sync(rig.ask)
        assert next(taken) - before <= most + 2, f"{path}: read on"
        assert held(tmp_path, name) == set()


def test_fast_forward_by_a_stolen_online_key_ends_with_the_next_roots(rig: Rig, tmp_path: Path) -> None:
    mine = copy(tmp_path)
    far = roles.in_days(999, rig.now)
    high = 2**31
    shot = roles.snapshot({"targets": 1, "release-lamp": 1, "online": rig.version("online")}, high, far)
    rig.lies["metadata/timestamp.json"] = says(roles.signed(roles.timestamp(high, high, far), rig.online))
    rig.lies[f"metadata/{high}.snapshot.json"] = says(roles.signed(shot, rig.online))
    assert len(mine.sync(rig.ask)) == 1
    rig.lies.clear()
    # Two roots name another key for the server; it begins where it stood, far below.
    fresh = keys.create(Alg.ES256)
    until = roles.in_days(365, rig.now)
    rig.shelf.take(rig.by_two(roles.root([one.public for one in rig.roots], fresh.public, until, rig.shelf.newest("root"))))
    families = {("lamp", "lantern"): (rig.lamp.public,), ("pump",): (rig.pump.public,)}
    rig.shelf.take(rig.by_two(roles.targets(families, fresh.public, until, rig.shelf.newest("targets"))))
    rig.online = fresh
    rig.publish(rig.release(image(LAMP, 2, rig.lamp)))
    assert {one.name for one in mine.sync(rig.ask)} == {"lamp/1.1", "lamp/1.2"}


def test_a_stolen_online_key_names_no_image(rig: Rig, tmp_path: Path) -> None:
    evil = image(LAMP, 9, rig.online)
    rig.files[hashlib.sha256(evil.data).hexdigest()] = evil.data
    index = json.dumps({"releases": ["lamp/1.1", "lamp/1.9"], "assigned": {}}).encode()
    until = roles.in_days(1, rig.now)
    own = roles.published([evil], until)
    far = own.signed.version = rig.version("online") + 9
    own.signed.targets[roles.INDEX] = roles.TargetFile.from_data(roles.INDEX, index, ["sha256"])
    rig.files[hashlib.sha256(index).hexdigest()] = index
    shot = roles.snapshot({"targets": 1, "release-lamp": 1, "online": far}, far, until)
    rig.lies[f"metadata/{far}.online.json"] = says(roles.signed(own, rig.online))
    rig.lies[f"metadata/{far}.snapshot.json"] = says(roles.signed(shot, rig.online))
    rig.lies["metadata/timestamp.json"] = says(roles.signed(roles.timestamp(far, far, until), rig.online))
    with pytest.raises(TrustError, match=r"lamp/1.9"):
        copy(tmp_path).sync(rig.ask)
    assert hashlib.sha256(evil.data).hexdigest() not in held(tmp_path)


def test_the_key_of_one_family_publishes_for_no_other(rig: Rig, tmp_path: Path) -> None:
    rig.publish(rig.release(image(PUMP, 1, rig.pump), family="release-pump"))
    foreign = image(PUMP, 9, rig.lamp)
    document = rig.release(foreign)
    with pytest.raises(RefusedError, match=r"pump/1.9"):
        rig.shelf.take(document)
    # A server that took it all the same: a client's own delegations judge it.
    (rig.folder / "2.release-lamp.json").write_bytes(document)
    rig.publish()
    with pytest.raises(TrustError, match=r"pump/1.9"):
        copy(tmp_path).sync(rig.ask)
    assert hashlib.sha256(foreign.data).hexdigest() not in held(tmp_path)


def test_one_root_alone_and_a_key_that_nobody_named_change_nothing(rig: Rig) -> None:
    until = roles.in_days(365, rig.now)
    evil = keys.create(Alg.ES256)
    another = roles.root([one.public for one in rig.roots], evil.public, until, rig.shelf.newest("root"))
    with pytest.raises(RefusedError):
        rig.shelf.take(roles.signed(another, rig.roots[0]))
    with pytest.raises(RefusedError):
        rig.shelf.take(rig.release(image(LAMP, 9, evil), by=evil))
    again = rig.shelf.read("1.release-lamp.json")
    with pytest.raises(RefusedError, match="does not follow"):
        rig.shelf.take(again)


def test_a_mirror_hands_on_what_it_believed_and_who_reads_it_believes_no_more_than_the_server(
    rig: Rig, tmp_path: Path
) -> None:
    place = tmp_path / "mirror"
    place.mkdir()
    assert len(mirror(place, (tmp_path / "root").read_bytes(), rig.ask)) == 1
    rig.publish(rig.release(image(LAMP, 2, rig.lamp)))
    assert len(mirror(place, (tmp_path / "root").read_bytes(), rig.ask)) == 2

    def from_mirror(path: str) -> Iterator[bytes]:
        try:
            return iter([(place / path).read_bytes()])
        except FileNotFoundError:
            raise NotFound("no such file", path) from None

    assert {one.name for one in copy(tmp_path).sync(from_mirror)} == {"lamp/1.1", "lamp/1.2"}
    good = next(path for path in (place / "targets/lamp").iterdir())
    good.write_bytes(bytes(good.stat().st_size))
    with pytest.raises((TrustError, LinkError)):
        copy(tmp_path, "other").sync(from_mirror)
    assert len(held(tmp_path, "other")) < 2


@pytest.mark.parametrize("digest", ["../../../" + "0" * 55, "", "00" * 31, "00" * 33, "é" * 64])
def test_a_digest_that_a_family_signed_names_a_file_of_the_stock_and_nothing_else(digest: str) -> None:
    info = TargetFile(5, {"sha256": digest}, "lamp/1.1", {"custom": {"envelope": "00", "revoked": False}})
    with pytest.raises(DataError):
        said(info)
