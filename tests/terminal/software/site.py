"""One component of each kind for tests: signed releases, true tickets, an installer on a directory of its own."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

from neurath import delta
from neurath.flash.geometry import file_layout, plain_model
from neurath.ids import Version, digest
from neurath.terminal.setup import Component, Hooks, Setup
from neurath.terminal.software.component import Software
from neurath.terminal.software.fs import Fs
from neurath.terminal.software.kinds import software
from neurath.wire import keys, manifest, ticket
from neurath.wire.keys import public_pem
from neurath.wire.offer import Kind, Offer

RELEASE = keys.from_seed(b"r" * 32)
TICKET = keys.from_seed(b"t" * 32)
KINDS = ("file", "tar", "zip", "deb", "command")


def archive(kind: str, files: dict[str, bytes]) -> bytes:
    """A tar.gz or a zip of these files."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as made:
            for name, data in files.items():
                made.writestr(name, data)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(data), 0o755 if name.startswith("bin/") else 0o644
            tar.addfile(about, io.BytesIO(data))
        link = tarfile.TarInfo("tool")
        link.type, link.linkname = tarfile.SYMTYPE, "bin/tool"
        tar.addfile(link)
    return out.getvalue()


def package(place: Path, version: str, content: str) -> bytes:
    """A Debian package with one file."""
    tree = place / f"deb-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "opt").mkdir()
    (tree / "opt/tool").write_text(content)
    about = (
        f"Package: neurath-tool\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@example.com>\nDescription: a tool\n"
    )
    (tree / "DEBIAN/control").write_text(about)
    out = place / f"{version}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, out], check=True, capture_output=True)
    return out.read_bytes()


class SoftwareSite:
    """A component that runs release 1 and is offered release 2."""

    def __init__(self, place: Path, kind: str, *, hooks: Hooks | None = None, as_delta: bool = False) -> None:
        self.place = place
        self.kind = kind
        self.state = place / "state"
        self.state.mkdir()
        (place / "release.pem").write_bytes(public_pem(RELEASE.public))
        (place / "ticket.pem").write_bytes(public_pem(TICKET.public))
        self.path = place / "tool"
        self.root = place / "root"
        self.hooks = hooks or Hooks()
        self.old, self.new = self._versions()
        self.ram = 1 << 22
        self.lends = 1000 if kind in ("file", "deb") else 0
        self.installer = self.made()
        self._first()
        self.installer = self.made()
        self.offer, self.file = self.offered(self.new, 2, as_delta=as_delta)

    def _versions(self) -> tuple[bytes, bytes]:
        if self.kind == "deb":
            for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates"):
                (self.root / folder).mkdir(parents=True)
            (self.root / "var/lib/dpkg/status").touch()
            (self.root / "var/lib/dpkg/available").touch()
            return package(self.place, "1.0", "old"), package(self.place, "2.0", "new")
        if self.kind in ("tar", "zip"):
            old = {"bin/tool": b"#!/bin/sh\necho old\n", "share/data": b"1" * 5000}
            return archive(self.kind, old), archive(self.kind, old | {"share/data": b"2" * 5000, "share/more": b"m"})
        return b"old " * 4000, b"old " * 3000 + b"new " * 500

    def setup(self) -> tuple[Setup, Component]:
        installer = {"tar": "directory", "zip": "directory"}.get(self.kind, self.kind)
        copy = ("sh", "-c", f"cp {{file}} {self.path}.part && mv {self.path}.part {self.path}")
        component = Component(
            name="tool", installer=installer, path=self.path, hooks=self.hooks, root=self.root, install=copy,
            installed=("sh", "-c", f"sha256sum {self.path}"), back=("cp", f"{self.place}/first", str(self.path)),
        )  # fmt: skip
        setup = Setup(
            "http://127.0.0.1:1", (component,), id="t1", model="box", state=self.state,
            release_keys=(self.place / "release.pem",), ticket_key=self.place / "ticket.pem",
        )  # fmt: skip
        return setup, component

    def made(self, fs: Fs | None = None) -> Software:
        return software(*self.setup(), fs)

    def made_and_started(self) -> Software:
        unit = self.made()
        unit.start()
        return unit

    def _first(self) -> None:
        """Release 1, installed and confirmed as any other."""
        (self.place / "first").write_bytes(self.old)
        offer, file = self.offered(self.old, 1)
        assert self.install(self.installer, offer, file)

    def install(self, unit: Software, offer: Offer, file: bytes) -> bool:
        unit.start()
        unit.weigh(offer, in_ram=False)
        unit.prove(file, self.ram)
        unit.rewrite(file, self.ram)
        if not unit.judge().good:
            return False
        unit.start()
        unit.self_test()
        unit.confirm()
        return True

    def offered(self, data: bytes, sequence: int, *, as_delta: bool = False) -> tuple[Offer, bytes]:
        """A true offer of this software to this component as it is now."""
        self.installer.start()
        facts, held = self.installer.facts, self.installer.form.held()
        model = plain_model("box").of_component("tool")
        contents = manifest.contents_of(data, model, sequence=sequence, version=f"{sequence}.0")
        envelope = manifest.sign(contents, RELEASE)
        before = self.installer.form.contents()
        file = data
        if as_delta and before is not None:
            file = delta.build(before, data, file_layout(), delta.Wish(apart=True)).data
        kind = Kind.DELTA if file is not data else Kind.FULL
        signed = ticket.sign(
            ticket.Ticket(
                device=ticket.device_of("t1"),
                nonce=ticket.nonce(self.installer.birth.device_key, facts.installed.envelope, facts.installs),
                serial=sequence,
                kind=kind.value,
                envelope=manifest.verify(envelope, [RELEASE.public]).digest[:16],
                file=digest(file)[:16],
                file_size=len(file),
                base=held.digest[:16] if kind is Kind.DELTA else b"",
                blocks=digest(b"")[:16],
            ),
            TICKET,
        )
        version = Version(f"{sequence}.0")
        return Offer(
            kind, digest(file), len(file), 0, envelope, signed, version, str(sequence), self.installer.component
        ), file

    # ---- what the contract asks -------------------------------------------------------------------------------------

    def holds(self, data: bytes) -> bool:
        """Whether this very version is there, whole, by the world's eyes."""
        if self.kind in ("file", "command"):
            return self.path.read_bytes() == data
        if self.kind == "deb":
            return (self.root / "opt/tool").read_text() == ("old" if data == self.old else "new")
        return (self.path / "share/data").read_bytes() == (b"1" if data == self.old else b"2") * 5000 and (
            self.path / "share/more"
        ).exists() is (data == self.new)

    def untouched(self) -> bool:
        return self.holds(self.old)

    def updated(self) -> bool:
        return self.holds(self.new)

    def damage(self) -> None:
        where = {"deb": self.root / "opt/tool", "tar": self.path / "share/data", "zip": self.path / "share/data"}
        target = where.get(self.kind, self.path)
        data = bytearray(target.read_bytes())
        data[1] ^= 1
        target.write_bytes(bytes(data))
