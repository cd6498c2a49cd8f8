"""The images that tests and the demonstration update from and to."""

import zlib
from pathlib import Path

import pytest

from neurath.errors import DataError, LinkError, NotFound
from neurath.sim import corpus
from tests.parts import images


def test_built_in_pair_is_the_same_on_every_machine_and_not_called_real() -> None:
    pair = corpus.built_in()
    assert (zlib.crc32(pair.old), zlib.crc32(pair.new)) == (2052897222, 2784486636)
    assert not pair.real
    assert 100_000 < len(pair.old) < 150_000


def test_no_registry_and_no_cache_gives_the_built_in_pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEURATH_CACHE", str(tmp_path))

    def dead(source: corpus.Source, version: str) -> bytes:
        raise LinkError("no registry")

    monkeypatch.setattr(corpus, "_fetch", dead)
    assert corpus.first_of(["microbit", "greatfet"]).name == "built-in"
    with pytest.raises(LinkError):
        corpus.pair("microbit")
    with pytest.raises(NotFound):
        corpus.pair("never heard of")


def test_a_package_with_another_image_inside_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEURATH_CACHE", str(tmp_path))
    source = corpus.Source("pip", "uflash", corpus.SOURCES["microbit"].versions, lambda package: b"not it")
    monkeypatch.setitem(corpus.SOURCES, "microbit", source)
    monkeypatch.setattr(corpus, "_fetch", lambda source, version: b"")
    with pytest.raises(DataError, match="does not hold the image"):
        corpus.pair("microbit")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.network
@pytest.mark.parametrize("name", sorted(corpus.SOURCES))
def test_real_pairs_are_two_different_images_of_a_size_worth_measuring(name: str) -> None:
    pair = images(name)
    assert pair.real
    assert pair.old != pair.new
    assert min(len(pair.old), len(pair.new)) > 50_000


@pytest.mark.network
def test_a_damaged_image_in_the_cache_is_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = images("greatfet")
    monkeypatch.setenv("NEURATH_CACHE", str(tmp_path))
    (tmp_path / "greatfet-2021.2.1.bin").write_bytes(b"torn")
    monkeypatch.setattr(corpus, "_fetch", lambda source, version: version.encode())
    kept = {b"2021.2.1": whole.old, b"2025.0.0": whole.new}
    source = corpus.SOURCES["greatfet"]
    monkeypatch.setitem(
        corpus.SOURCES, "greatfet", corpus.Source(source.client, source.package, source.versions, kept.__getitem__)
    )
    assert corpus.pair("greatfet") == whole
    assert (tmp_path / "greatfet-2021.2.1.bin").read_bytes() == whole.old
