"""Real firmware to update from and to, fetched once by package name with the ordinary client and kept in a cache. It knows
where in a package an image lies and what its digest is; it must never run code that it fetched, and never pass a built-in
image off as a real one. Licences: MIT (MicroPython, pybricks, rpds, ruff), BSD-3-Clause (GreatFET,
Cynthion, msgspec), Apache-2.0 (Particle's tool)."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from neurath.errors import DataError, LinkError, NotFound
from neurath.server.software.images import read_image
from neurath.sim import program

#: pip waits so long for a registry that does not answer, and tries so often again.
PATIENCE = ("--timeout", "20", "--retries", "1")
#: Seconds for one package: a download, on a slow line.
FETCH_TIME = 180


@dataclass(frozen=True, slots=True)
class Pair:
    """Two builds of the same firmware: what terminals run, and what they are to run."""

    name: str
    old_version: str
    new_version: str
    old: bytes
    new: bytes
    real: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Where one pair comes from. `versions` maps each version, older first, to the SHA-256 of its image;
    `more` are words for the client."""

    client: str
    package: str
    versions: dict[str, str]
    unpack: Callable[[bytes], bytes]
    more: tuple[str, ...] = ()


def _from_uflash(package: bytes) -> bytes:
    """The micro:bit (v1) MicroPython inside the module's source; the module is parsed, never run."""
    tree = ast.parse(_member(package, "/uflash.py"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_RUNTIME":
            return bytes(read_image(str(ast.literal_eval(node.value)).encode(), "uflash.py").image)
    raise DataError("uflash.py holds no runtime", "the package is not the one this was written for", "clear the cache")


def _from_greatfet(package: bytes) -> bytes:
    return _member(package, "greatfet/assets/greatfet_usb.bin")


def _from_pybricks(hub: str) -> Callable[[bytes], bytes]:
    def unpack(package: bytes) -> bytes:
        inner = _member(package, f"package/build/{hub}.zip")
        return _member(inner, "firmware-base.bin")

    return unpack


def _from_particle(part: str) -> Callable[[bytes], bytes]:
    """The system firmware of a Particle device inside its command-line tool; the file's name ends in its own version."""

    def unpack(package: bytes) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(package)) as tape:
            found = [tape.extractfile(m) for m in tape.getmembers() if f"/assets/updates/{part}@" in m.name]
            if len(found) == 1 and found[0] is not None:
                return found[0].read()
        raise DataError(
            f"no {part} in the package", "it is not the package this was written for", "clear the cache", id="NRT-241"
        )

    return unpack


def _from_cynthion(package: bytes) -> bytes:
    return _member(package, "cynthion/assets/moondancer.bin")


def _pybricks(hub: str, old: str, new: str) -> Source:
    return Source("npm", "@pybricks/firmware", {"7.27.0": old, "7.28.0": new}, _from_pybricks(hub))


def _from_wheel(package: bytes) -> bytes:
    """The one shared object of a wheel."""
    return _member(package, ".so")


def _from_ruff(package: bytes) -> bytes:
    """The one program of the wheel."""
    return _member(package, "/scripts/ruff")


def _shared_object(package: str, machine: str, versions: dict[str, str]) -> Source:
    """A wheel for 64-bit Linux on this machine, whatever runs here."""
    tags = ("2014", "_2_17", "_2_28")
    more = [word for tag in tags for word in ("--platform", f"manylinux{tag}_{machine}")]
    return Source("pip", package, versions, _from_wheel, ("--only-binary", ":all:", "--python-version", "311", *more))


SOURCES: dict[str, Source] = {
    "microbit": Source(
        "pip",
        "uflash",
        {
            "1.2.0": "e33be42029091ff9bd544d1ac18bc80d63cee47b9cb6204e2ff6251b14f4a82a",
            "1.2.4": "6630ef657c55afb6c5a63d04458d7b7d3f12932509246cc2d98cda670696b323",
        },
        _from_uflash,
    ),
    "greatfet": Source(
        "pip",
        "greatfet",
        {
            "2021.2.1": "bd4b75e92f8e91d1ba44108447df9a08feaf2347e684d09c18c26e2289266c8b",
            "2025.0.0": "8b9eb0939f96cbdb2f9dcf068bcfb2a0f9079b282e422f04f10e77c03b391fcb",
        },
        _from_greatfet,
    ),
    "primehub": _pybricks(
        "primehub",
        "c3a35aac165c75ac5cfb2938ce1253258b9602ab51c128cd3b28dddc85a75431",
        "e5fd8bbd1030d7db5569b40f0758184ac04175c156ef2c4f72130bfd9e4c6316",
    ),
    "movehub": _pybricks(
        "movehub",
        "849ecc23b5ab8ed532cf3d442b6825b84c6248bc8ea496f375f8818be59be040",
        "a7a4c4f78c369a66a20e150e44bfd7c96d7ba7ed60f2ecce4d27001a9bddd7fb",
    ),
    "nxt": _pybricks(
        "nxt",
        "01555595718978710a748f77e8a43c720cadb9294ae57ae2a33f3fe14050d36e",
        "a35ff5ef86de06e5b187198a6e3ef8bb3ef85f503a698f440e03e4c1bd6d87c8",
    ),
    "primehub-7": Source(
        "npm",
        "@pybricks/firmware",
        {
            "6.2.0": "b6bfc19c1454524b3f45a059f2b2a991a0cc9745aa3c673186fd78eaae7a31ae",
            "7.2.0": "498c39667b98dff18bef09b45c33a6af0db37f833ae4ec390fc6a3bec60f275e",
        },
        _from_pybricks("primehub"),
    ),
    "nxt-4": Source(
        "npm",
        "@pybricks/firmware",
        {
            "7.28.0": "a35ff5ef86de06e5b187198a6e3ef8bb3ef85f503a698f440e03e4c1bd6d87c8",
            "4.0.0": "efdb49e7316a3c78276d2cc00d9c6d7957bad2e6f21fb8099d673279a6c9ccbc",
        },
        _from_pybricks("nxt"),
    ),
    "ev3": Source(
        "npm",
        "@pybricks/firmware",
        {
            "7.27.0": "cf4f6aa28a994b2f61021925016f1bb46e535f479418085bac67ba938bbcbfbe",
            "7.28.0": "490e8556f1bf11bc12de7ffa1aee15b85921c215988cd3a3071fb92707eb97be",
        },
        _from_pybricks("ev3"),
    ),
    "technichub": Source(
        "npm",
        "@pybricks/firmware",
        {
            "4.0.0": "f41274c80f1162aecbd563c1e2f61ea69be4111c8fbaa153efcbbc53e74e2f08",
            "4.0.1": "a96b2a365d31ce8cf4c5731f849ed6deac82fc0b73ed0829d7c63c93224d2490",
        },
        _from_pybricks("technichub"),
    ),
    "cityhub": Source(
        "npm",
        "@pybricks/firmware",
        {
            "7.22.0": "19ea492928ca8e40ea4b0137ffc8eae25c98eb0eee900ca69799858b0e301c17",
            "7.27.0": "54b34fb2035cc22f57eaec48e54b9a38d6772e563f0bfcf9b084e45a88d073f3",
        },
        _from_pybricks("cityhub"),
    ),
    "essentialhub": Source(
        "npm",
        "@pybricks/firmware",
        {
            "7.27.0": "663c925390e334054fd94642796ca4558b4462ea85e0fb53dafe065b7b0372fa",
            "7.28.0": "fd3bf86d1dbad6e561232016e0238b69383f22a2e955cf5dcbf6f1cf17ab562f",
        },
        _from_pybricks("essentialhub"),
    ),
    "movehub-4": Source(
        "npm",
        "@pybricks/firmware",
        {
            "7.28.0": "a7a4c4f78c369a66a20e150e44bfd7c96d7ba7ed60f2ecce4d27001a9bddd7fb",
            "4.0.0": "bd29287982a84dbe891f1686e090e6306e683c851332bafc4dc234b87c647b3b",
        },
        _from_pybricks("movehub"),
    ),
    "boron": Source(
        "npm",
        "particle-cli",
        {
            "2.12.0": "963080141910a46b8c0077b35d9f6202ad605aac0d85f2d754f882c2ff8cb07f",
            "3.0.0": "9cabf1002a47267e7647ba8f283beeae0b34abb0082199565f5321fe5f1cc723",
        },
        _from_particle("boron-system-part1"),
    ),
    "p1": Source(
        "npm",
        "particle-cli",
        {
            "2.12.0": "2642eb2888349eda0dbcf5716c4aa4159eb088f2ec7b7088c1effab12c832ea2",
            "3.0.0": "02dc6c980c37d21445dc8eb522709e3df57737f03c8bfedfb80779926c8556a5",
        },
        _from_particle("p1-system-part1"),
    ),
    "electron": Source(
        "npm",
        "particle-cli",
        {
            "2.12.0": "261e2a6dfdf7e0efa371c75b424c76d4d8c4f9d4ed5f386e7284c17b2096ee69",
            "3.0.0": "a57472735c5fb80ebdfb11e78a5393f9db21bc093eb56957f30fe380548f5e05",
        },
        _from_particle("electron-system-part2"),
    ),
    "moondancer": Source(
        "pip",
        "cynthion",
        {
            "0.2.3": "abd05e2e9b09096a60701bd21a11eb861f537056706596b98cf1e82f7ccaf609",
            "0.2.4": "da3fde545f9dd25f1eadd1b065f9bfd2290b62953f8f5b84808af2ccaf29426c",
        },
        _from_cynthion,
    ),
    "msgspec-a64": _shared_object(
        "msgspec",
        "aarch64",
        {
            "0.19.0": "dd8b35ad2e7d767af73e3297a228e4bbad78de5d6958bf01dbdee0cd82814960",
            "0.20.0": "a775b44f54b1102ca19d027b4faf118f2645d44b2d9558f43eb45bc3b1be8a27",
        },
    ),
    "msgspec-x86": _shared_object(
        "msgspec",
        "x86_64",
        {
            "0.19.0": "6a6211b1e1e47f505c8b79cb8b191ba1169b99f917cd874de883cffd11aa9883",
            "0.20.0": "9fa1cf8a6b4aae3fba9677b0b20bbd07349cecd99608167e86ad967b9fb01cc1",
        },
    ),
    "ruff-x86": Source(
        "pip",
        "ruff",
        {
            "0.9.4": "96572a0e98d5b1598312579ab1f4db7362bdd1e5d09f541f2bab129e3ba39b44",
            "0.9.5": "6f5f6cc27c6c73e2343c5b6d45724dbc39eed03e36f03f17f8df6ea22420bd16",
        },
        _from_ruff,
        ("--only-binary", ":all:", "--python-version", "311", "--platform", "manylinux2014_x86_64"),
    ),
    "rpds-a64": _shared_object(
        "rpds-py",
        "aarch64",
        {
            "0.28.0": "b3da5ce2658cb7988cefe5100b3088c817ed0a5ee452a09d7b97d65eeed2097d",
            "0.29.0": "eab9d48ba26c0bfbf1e08f38815bac3556b0d322b36250352117e49f482347fd",
        },
    ),
    "rpds-x86": _shared_object(
        "rpds-py",
        "x86_64",
        {
            "0.28.0": "8abdcb647d3f297a048fc86f72c5aa91abb9d846b851f06065dc5e1d08997521",
            "0.29.0": "60d83495460f29e4695b739abd70f1f29a93bf59ea10a24c20b815e388f37cf8",
        },
    ),
}


def cache() -> Path:
    """The folder where images are kept: $NEURATH_CACHE, or neurath in the user's cache folder."""
    named = os.environ.get("NEURATH_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neurath"


def pair(name: str) -> Pair:
    """The two real images of this name. NotFound: no such pair; LinkError: no registry could be reached and the cache is
    empty; DataError: what came is not what was pinned."""
    if name not in SOURCES:
        raise NotFound(f"no firmware pair {name!r}", "the pairs are: " + " ".join(SOURCES), "choose one of them", id="NRT-149")
    source = SOURCES[name]
    (old_version, _), (new_version, _) = source.versions.items()
    return Pair(name, old_version, new_version, _image(name, old_version), _image(name, new_version), real=True)


def first_of(names: Iterable[str]) -> Pair:
    """The first pair that can be had; the built-in one (`real` is False) when none can."""
    for name in names:
        try:
            return pair(name)
        except (LinkError, DataError):
            continue
    return built_in()


def _image(name: str, version: str) -> bytes:
    source = SOURCES[name]
    kept = cache() / f"{name}-{version}.bin"
    if kept.exists() and _matches(kept.read_bytes(), source.versions[version]):
        return kept.read_bytes()
    image = source.unpack(_fetch(source, version))
    if not _matches(image, source.versions[version]):
        raise DataError(
            f"{source.package} {version} does not hold the image it should",
            f"its SHA-256 is {hashlib.sha256(image).hexdigest()}",
            f"look at {source.package} yourself before you trust it",
            id="NRT-240",
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(image)
    part.replace(kept)
    return image


def _matches(image: bytes, wanted: str) -> bool:
    return hashlib.sha256(image).hexdigest() == wanted


def _fetch(source: Source, version: str) -> bytes:
    """The package file, through the registry's ordinary client."""
    clients = {
        "pip": [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", *PATIENCE],
        "npm": [shutil.which("npm") or "npm", "pack", "--silent"],
    }
    mark = "==" if source.client == "pip" else "@"
    with tempfile.TemporaryDirectory() as folder:
        words = [*clients[source.client], *source.more, f"{source.package}{mark}{version}"]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIME, check=False)
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise _unreachable(source, version, str(fault)) from None
        files = [p for p in Path(folder).iterdir() if p.suffix in (".whl", ".gz", ".tgz", ".zip")]
        if done.returncode or len(files) != 1:
            raise _unreachable(source, version, (done.stderr.strip().splitlines() or ["no file came"])[-1])
        return files[0].read_bytes()


def _unreachable(source: Source, version: str, why: str) -> LinkError:
    return LinkError(
        f"cannot fetch {source.package} {version}",
        f"{source.client}: {why[:200]}",
        "check the network, or give your own images: --old OLD --new NEW",
        id="NRT-410",
    )


def _member(archive: bytes, end: str) -> bytes:
    """The one member of a zip or tar archive whose name ends so."""
    stream = io.BytesIO(archive)
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as packed:
            names = [name for name in packed.namelist() if name.endswith(end)]
            if len(names) == 1:
                return packed.read(names[0])
    else:
        stream.seek(0)
        with tarfile.open(fileobj=stream) as tape:
            members = [m for m in tape.getmembers() if m.isfile() and m.name.endswith(end)]
            found = tape.extractfile(members[0]) if len(members) == 1 else None
            if found is not None:
                return found.read()
    raise DataError(f"no {end} in the package", "it is not the package this was written for", "clear the cache", id="NRT-241")


def built_in(functions: int = 700, seed: int = 1) -> Pair:
    """Two deterministic builds of a program that never existed: functions with branches to each other and a table of their
    addresses; the second has some functions changed, some added, and everything behind them moved."""
    old, new = program.images(functions, seed)
    return Pair("built-in", "1.0.0", "1.1.0", old, new, real=False)
