"""Files of many servers in one object store: what one puts the others have, whole or not at all, and memory does not grow with
them."""

from __future__ import annotations

import hashlib
import http.client
import random
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from neurath.errors import LinkError, NeurathError, NotFound, UsageError
from neurath.server.store import Files
from neurath.server.store.objects import Objects
from tests.rigs import objects
from tests.rigs.objects import Bucket


@pytest.fixture(scope="module")
def shared() -> Iterator[Bucket]:
    with objects.bucket() as made:
        yield made


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in objects.KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def two(shared: Bucket, tmp_path: Path) -> tuple[Files, Files]:
    return Files(tmp_path / "a", Objects(shared.url)), Files(tmp_path / "b", Objects(shared.url))


def test_what_one_server_puts_the_other_has_and_keeps(two: tuple[Files, Files], tmp_path: Path) -> None:
    here, there = two
    name = here.put(b"an image of a phone").hex()
    assert there.sound(name)
    assert there.read(name) == b"an image of a phone"
    # Fetched once: from then on it is this server's own.
    assert Files(tmp_path / "b").read(name) == b"an image of a phone"
    assert not there.sound("ab" * 32)
    with pytest.raises(NotFound):
        there.verified("ab" * 32)
    assert [p.name for p in (tmp_path / "b").rglob("*") if p.is_file()] == [name]


def test_an_object_that_rotted_is_no_file_and_one_that_rotted_here_comes_again(
    two: tuple[Files, Files], shared: Bucket
) -> None:
    here, there = two
    name = here.put(b"an image that will rot").hex()
    here.path(name).write_bytes(b"an image that has rot.")
    assert here.read(name) == b"an image that will rot"
    spoiled = hashlib.sha256(b"what it should be").hexdigest()
    link = http.client.HTTPConnection("127.0.0.1", shared.port)
    link.request("PUT", f"/{shared.name}/files/{spoiled[:2]}/{spoiled}", b"what it is not..")
    assert link.getresponse().status == 200
    link.close()
    assert not there.sound(spoiled)
    assert list(there.root.rglob("*.??????????*")) == []


def test_a_large_file_goes_up_and_comes_down_whole(two: tuple[Files, Files], shared: Bucket) -> None:
    here, there = two
    data = random.Random(7).randbytes(20 << 20)
    name = here.put(data).hex()
    assert there.verified(name).stat().st_size == len(data)
    tag = obstore.head(Objects(shared.url)._store, f"{name[:2]}/{name}")["e_tag"]
    assert tag is not None
    assert tag.strip('"').endswith("-3")  # as S3 names what came in three parts


def test_a_link_opens_one_file_without_a_token_and_nothing_else(two: tuple[Files, Files]) -> None:
    here = two[0]
    name = here.put(b"a package").hex()
    assert here.behind is not None
    asked = urllib.parse.urlsplit(here.behind.link(name, "a.swu", 600))
    link = http.client.HTTPConnection(asked.netloc)
    link.request("GET", f"{asked.path}?{asked.query}", headers={"Range": "bytes=2-"})
    got = link.getresponse()
    assert (got.status, got.read()) == (206, b"package")
    assert "X-Amz-Expires=600" in asked.query
    link.close()


def test_a_store_that_cannot_be_reached_or_is_none_is_said_in_words(tmp_path: Path) -> None:
    files = Files(tmp_path, Objects("s3://software?endpoint=http://127.0.0.1:9"))
    with pytest.raises(LinkError) as caught:
        files.put(b"x")
    assert "object store" in caught.value.what
    for url in ("http://host/x", "s3://", "s3://b?secret=x"):
        with pytest.raises(UsageError):
            Objects(url)
    with pytest.raises(NeurathError):
        files.sound("cd" * 32)
