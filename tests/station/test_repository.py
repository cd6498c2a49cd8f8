"""The software store as a repository, by the verbs: documents made and signed where the keys are, published at a real
server, a stock and a mirror kept in step over HTTP; nothing that the server alone says is believed."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from neurath.cli.main import main
from neurath.errors import NotFound
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from neurath.server.app import application, open_server
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_model
from neurath.sim.processes import free_port
from neurath.station.stock import Stock
from neurath.station.sync import Source
from neurath.wire import keys, manifest, package
from neurath.wire.keys import Alg

MODEL = Model(ModelName("phone"), simple_layout(8192, sector=1024, group=2048, leaf=1024), ram=65536)
IMAGES = {n: bytes([n]) * 5000 for n in (1, 2)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder with keys, images and envelopes, and a server's address; the working directory is that folder."""
    monkeypatch.chdir(tmp_path)
    made = {name: keys.create(Alg.ES256) for name in ("a", "b", "c", "release")}
    for name, key in made.items():
        keys.write_private(Path(f"{name}.pem"), key)
        Path(f"{name}.pub.pem").write_bytes(keys.public_pem(key.public))
    opened = open_server(Path("data"))
    with opened.store.write() as db:
        add_model(db, model_to_toml(MODEL), [Path("release.pub.pem").read_text()], time.time())
    for n, image in IMAGES.items():
        sealed = manifest.sign(manifest.contents_of(image, MODEL, sequence=n, version=f"1.{n}"), made["release"])
        catalog.add(opened.store, Upload(image, "phone", f"1.{n}", envelope=sealed), time.time())
        Path(f"{n}.bin").write_bytes(image)
        Path(f"{n}.env").write_bytes(sealed)
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(application(opened), port=port, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(10)


def does(words: str, code: int = 0) -> None:
    assert main(words.split()) == code, words


def ceremony() -> None:
    roots = "--root a.pub.pem --root b.pub.pem --root c.pub.pem"
    does(f"repository create {roots} --online data/repository.pub.pem --release phone=release.pub.pem -o docs")
    for document in ("root", "targets"):
        for root in ("a", "c"):
            does(f"repository sign docs/1.{document}.json --key {root}.pem")
    does("repository add 1.bin 1.env --name phone/1.1 -o docs/1.phone.json")
    does("repository sign docs/1.phone.json --key release.pem")
    does("repository publish docs/1.root.json docs/1.targets.json docs/1.phone.json --data data")


def versions(stock: str) -> list[str]:
    return sorted(entry.version for entry in Stock(Path(stock)).index().entries)


def test_a_stock_holds_what_the_family_published_and_nothing_that_the_server_alone_says(place: str) -> None:
    ceremony()
    does(f"station sync --server {place} --stock stock --root docs/1.root.json")
    assert versions("stock") == ["1.1"], "the catalog has 1.2 as well: its family has not published it"
    stock = Stock(Path("stock"))
    assert package.read(stock.package(stock.index().entries[0])).image == IMAGES[1]
    does("repository add 2.bin 2.env --name phone/1.2 --after docs/1.phone.json -o docs/2.phone.json")
    does("repository publish docs/2.phone.json --data data", 5)  # nobody signed it
    does(f"station sync --server {place} --stock stock")
    assert versions("stock") == ["1.1"]
    does("repository sign docs/2.phone.json --key release.pem")
    does("repository publish docs/2.phone.json --data data --dry-run")
    does(f"station sync --server {place} --stock stock")
    assert versions("stock") == ["1.1"], "a dry run publishes nothing"
    does("repository publish docs/2.phone.json --data data")
    does(f"station sync --server {place} --stock stock")
    assert versions("stock") == ["1.1", "1.2"]
    does(f"station sync --server {place} --stock stock --root docs/1.targets.json", 7)
    does("repository add 1.bin 1.env --name phone/1.1 --after docs/2.phone.json --revoked -o docs/3.phone.json")
    does("repository sign docs/3.phone.json --key release.pem")
    does("repository publish docs/3.phone.json --data data")
    does(f"station sync --server {place} --stock stock")
    assert {entry.version: entry.revoked for entry in stock.index().entries} == {"1.1": True, "1.2": False}


def test_a_mirror_is_a_folder_and_a_station_that_has_never_met_the_server_believes_the_roots_alone(place: str) -> None:
    ceremony()
    does(f"repository mirror --server {place} --root docs/1.root.json -o copy")
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory="copy")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{web.server_address[1]}/"
        does(f"station sync --server {address} --stock stock --root docs/1.root.json")
        assert versions("stock") == ["1.1"]
        image = next(Path("copy/targets/phone").iterdir())
        image.write_bytes(bytes(image.stat().st_size))
        does(f"station sync --server {address} --stock other --root docs/1.root.json", 7)
        assert not list(Path("other").rglob("stock.json"))
        assert not [path for path in Path("other/files").rglob("*") if path.is_file()]
        web.shutdown()


def test_the_server_asks_for_no_key_of_a_root_or_a_family_and_names_only_what_it_has(place: str) -> None:
    ceremony()
    held = b"".join(path.read_bytes() for path in Path("data").rglob("*") if path.is_file())
    for name in ("a", "b", "c", "release"):
        assert Path(f"{name}.pem").read_bytes() not in held
    source = Source(place)
    for path in ("metadata/../neurath.db", "metadata/index.json", "targets/phone/" + 64 * "0" + ".1.1", "other"):
        with pytest.raises(NotFound):
            b"".join(source.repository(path))
