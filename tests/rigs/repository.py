"""A repository with everybody who signs for it, for tests that attack it: three roots, the families lamp and pump, a
server. It is asked as a server would be, and can be made to lie."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neurath.errors import NotFound
from neurath.flash.geometry import Model, simple_layout
from neurath.ids import ModelName
from neurath.repository import roles
from neurath.repository.roles import Image
from neurath.repository.shelf import Shelf
from neurath.wire import keys, manifest
from neurath.wire.keys import Alg, SigningKey

DAYS = 86400.0
LAMP = Model(ModelName("lamp"), simple_layout(8192, sector=1024, group=2048, leaf=1024), ram=65536)
PUMP = Model(ModelName("pump"), simple_layout(8192, sector=1024, group=2048, leaf=1024), ram=65536)


def key(word: str) -> SigningKey:
    return keys.from_seed(hashlib.sha256(word.encode()).digest())


def image(model: Model, sequence: int, signer: SigningKey, size: int = 5000) -> Image:
    data = hashlib.shake_128(f"{model.name} {sequence}".encode()).digest(size)
    contents = manifest.contents_of(data, model, sequence=sequence, version=f"1.{sequence}")
    return Image(f"{model.name}/1.{sequence}", data, manifest.sign(contents, signer))


@dataclass
class Rig:
    """Who publishes, and what was published. `lies` answers in the server's place where it has the path."""

    folder: Path
    now: float = field(default_factory=time.time)
    roots: list[SigningKey] = field(default_factory=lambda: [key("root a"), key("root b"), key("root c")])
    online: SigningKey = field(default_factory=lambda: keys.create(Alg.ES256))
    lamp: SigningKey = field(default_factory=lambda: keys.create(Alg.ES256))
    pump: SigningKey = field(default_factory=lambda: key("pump"))
    files: dict[str, bytes] = field(default_factory=dict)
    lies: dict[str, Callable[[], Iterator[bytes]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.folder)

    def version(self, role: str) -> int:
        newest = self.shelf.newest(role)
        assert newest is not None
        return int(newest.signed.version)

    def begin(self) -> bytes:
        """The ceremony: roots, who may publish what; the first document of the roots."""
        until = roles.in_days(365, self.now)
        first = self.by_two(roles.root([one.public for one in self.roots], self.online.public, until))
        self.shelf.take(first)
        families = {("lamp", "lantern"): (self.lamp.public,), ("pump",): (self.pump.public,)}
        self.shelf.take(self.by_two(roles.targets(families, self.online.public, until)))
        return first

    def by_two(self, document: roles.Document) -> bytes:
        return roles.signed(roles.read(roles.signed(document, self.roots[0])), self.roots[1])

    def release(self, *images: Image, family: str = "release-lamp", by: SigningKey | None = None) -> bytes:
        """A family's next document, not yet taken in."""
        made = roles.published(images, roles.in_days(90, self.now), self.shelf.newest(family))
        for one in images:
            self.files[hashlib.sha256(one.data).hexdigest()] = one.data
        return roles.signed(made, by or (self.pump if family == "release-pump" else self.lamp))

    def publish(self, *documents: bytes, now: float | None = None) -> None:
        for one in documents:
            self.shelf.take(one)
        self.shelf.refresh(self.online, {}, {}, self.now if now is None else now)

    def ask(self, path: str) -> Iterator[bytes]:
        self.asked.append(path)
        if path in self.lies:
            return self.lies[path]()
        return iter([self.honest(path)])

    def honest(self, path: str) -> bytes:
        kind, _, rest = path.partition("/")
        if kind == "metadata":
            return self.shelf.read(rest)
        name = rest.rpartition("/")[2].partition(".")[0]
        index = (self.folder / roles.INDEX).read_bytes()
        if hashlib.sha256(index).hexdigest() == name:
            return index
        if name not in self.files:
            raise NotFound("no such file", path)
        return self.files[name]
