"""A list of all parts (SBOM, CycloneDX 1.6, JSON): this product, the Python packages it is installed with here and what needs
what, the C core, and what is linked into the boot core. It knows distributions and files; it writes neither the time nor the
place, so that the same parts give the same bytes. `sbom.py FILE`."""

from __future__ import annotations

import hashlib
import importlib.metadata as metadata
import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
#: What somebody runs who installs the product; the other packages build and test it.
SHIPPED = ("server", "postgres", "objects", "carriers", "agent", "station", "tokens")
_CORE = ("core/include", "core/src", "core/lean", "core/ports", "firmware")
_SPACE = uuid.UUID("7b1c1f0e-3c52-5d0e-9d1a-5e0f3a4d7c11")


def named(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(one: metadata.Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    """What a distribution needs on this machine, with these extras."""
    for line in one.requires or ():
        need = Requirement(line)
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield need


def closure(found: dict[str, metadata.Distribution], extras: tuple[str, ...]) -> dict[str, set[str]]:
    """What needs what, from the product on: name to names."""
    needs: dict[str, set[str]] = {}
    done: set[tuple[str, str]] = set()
    todo = [("neurath", extra) for extra in ("", *extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in done or name not in found:
            continue
        done.add((name, extra))
        for need in wanted(found[name], (extra,)):
            other = named(need.name)
            if other in found:
                needs.setdefault(name, set()).add(other)
                todo += [(other, part) for part in ("", *need.extras)]
    return needs


def licence(one: metadata.Distribution) -> list[LicenseExpression | DisjunctiveLicense]:
    """As the package says it: an expression, else its classifier; long texts are no names."""
    if one.metadata["License-Expression"]:
        return [LicenseExpression(one.metadata["License-Expression"])]
    said = [line.rpartition(" :: ")[2] for line in one.metadata.get_all("Classifier", []) if line.startswith("License ::")]
    short = one.metadata["License"] or ""
    names = sorted(set(said)) or ([short] if 0 < len(short) < 60 and "\n" not in short else [])
    return [DisjunctiveLicense(name=name) for name in names]


def package(one: metadata.Distribution, shipped: bool) -> Component:
    name = named(one.name)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=one.version,
        bom_ref=f"pypi:{name}",
        purl=PackageURL("pypi", None, name, one.version),
        licenses=licence(one),
        scope=ComponentScope.REQUIRED if shipped else ComponentScope.EXCLUDED,
    )


def tree(folder: str) -> HashType:
    """One digest for the C sources of a folder: over the names and digests of its files, in order."""
    whole = hashlib.sha256()
    for path in sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in (".c", ".h", ".S", ".ld")):
        whole.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return HashType(alg=HashAlgorithm.SHA_256, content=whole.hexdigest())


def sources(version: str) -> list[Component]:
    """Our own C, as source: the same bytes come of it in any folder (tests/tools/test_reproducible.py)."""
    return [
        Component(
            type=ComponentType.FIRMWARE if folder == "firmware" else ComponentType.LIBRARY,
            name=f"neurath/{folder}",
            version=version,
            bom_ref=f"source:{folder}",
            licenses=[LicenseExpression("Apache-2.0")],
            hashes=[tree(folder)],
            properties=[Property(name="neurath:hash", value="SHA-256 over lines of path and SHA-256, sorted by path")],
        )
        for folder in _CORE
    ]


def bearssl() -> Component:
    """What the boot core verifies signatures with, by the archive and hash that firmware/bearssl.sh demands."""
    script = (ROOT / "firmware/bearssl.sh").read_text()
    archive, digest = (re.search(rf"^{word}=(\S+)$", script, re.MULTILINE) for word in ("NAME", "HASH"))
    assert archive is not None
    assert digest is not None
    version = archive[1].partition("_")[2].removesuffix(".orig.tar.xz")
    return Component(
        type=ComponentType.LIBRARY,
        name="bearssl",
        version=version,
        bom_ref="deb:bearssl",
        purl=PackageURL("deb", "debian", "bearssl", version),
        licenses=[LicenseExpression("MIT")],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest[1])],
        scope=ComponentScope.REQUIRED,
    )


def bom() -> Bom:
    """The list; its serial number comes of its contents."""
    found = {named(one.name): one for one in metadata.distributions()}
    needs = closure(found, SHIPPED)
    shipped = set(needs) | {name for those in needs.values() for name in those}
    own = found.pop("neurath")
    root = Component(
        type=ComponentType.APPLICATION,
        name="neurath",
        version=own.version,
        bom_ref="neurath",
        licenses=[LicenseExpression("Apache-2.0")],
    )
    parts = {name: package(one, name in shipped) for name, one in found.items()}
    ours, linked = sources(own.version), bearssl()
    made = Bom(components=[*parts.values(), *ours, linked])
    made.metadata.component = root
    made.metadata.timestamp = None  # type: ignore[assignment]  # the same parts, the same bytes
    everything = closure(found | {"neurath": own}, (*SHIPPED, "dev", "site"))
    made.register_dependency(root, [*ours, *(parts[name] for name in sorted(everything["neurath"]))])
    made.register_dependency(next(one for one in ours if one.name.endswith("firmware")), [linked])
    for name, part in parts.items():
        made.register_dependency(part, [parts[other] for other in sorted(everything.get(name, ())) if other != name])
    stated = "\n".join(
        sorted(f"{one.bom_ref} {one.version} {sorted(h.content for h in one.hashes)}" for one in made.components)
    )
    made.serial_number = uuid.uuid5(_SPACE, stated)
    return made


def main() -> int:
    to = Path(sys.argv[1])
    text = JsonV1Dot6(bom()).output_as_string(indent=1) + "\n"
    faults = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if faults is not None:
        print(f"the list does not keep to CycloneDX 1.6: {faults}", file=sys.stderr)
        return 1
    to.write_text(text)
    print(f"{to} ({text.count('bom-ref')} parts)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
