"""A component that is a Debian package: dpkg installs it, the package before is kept until the new one is confirmed. It knows
dpkg's own status and checksums; a package that dpkg left half configured is put back by installing the one before again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from neurath.errors import DataError, RefusedError
from neurath.terminal.identity import Held
from neurath.terminal.setup import Component
from neurath.terminal.software.component import NOTHING, Data
from neurath.terminal.software.file import file_held
from neurath.terminal.software.fs import Fs
from neurath.terminal.software.hooks import Said, run


class Debian:
    """`store` holds `now.deb` (what is installed, as it came), `before.deb` and `next.deb`. `root` is where dpkg installs to
    (None: this system)."""

    def __init__(self, store: Path, fs: Fs, seconds: float, root: Path | None = None) -> None:
        self._store = store
        self._fs = fs
        self._seconds = seconds
        self._where = () if root is None else (f"--root={root}", "--force-script-chrootless", "--force-not-root")
        self._now, self._before, self._next = (store / f"{name}.deb" for name in ("now", "before", "next"))
        self._none = store / "before.none"

    def held(self) -> Held:
        """The package file's digest, where dpkg says that this very version is installed and none of its files differs."""
        for deb in (self._next, self._now, self._before):
            if deb.exists() and self._stands(deb):
                return file_held(deb)
        about = self._status(self._name()) if self._name() else ""
        return NOTHING if not about else Held(hashlib.sha256(about.encode()).digest(), len(about))

    def _name(self) -> str:
        for deb in (self._now, self._next, self._before):
            if deb.exists():
                return self._field(deb, "Package")
        return ""

    def _stands(self, deb: Path) -> bool:
        name, version = self._field(deb, "Package"), self._field(deb, "Version")
        if self._status(name) != f"{name} {version} install ok installed":
            return False
        said = self._dpkg("--verify", name)
        return said.good and not said.text

    def _status(self, name: str) -> str:
        admin = [word.replace("--root=", "--admindir=") + "/var/lib/dpkg" for word in self._where if word.startswith("--root")]
        said = run(["dpkg-query", *admin, "-W", "-f", "${Package} ${Version} ${Status}", name], self._seconds)
        return said.text if said.good and not said.text.endswith("not-installed") else ""

    def _field(self, deb: Path, name: str) -> str:
        said = run(["dpkg-deb", "-f", str(deb), name], self._seconds)
        return said.text if said.good else ""

    def _dpkg(self, *words: str) -> Said:
        more = {"DEBIAN_FRONTEND": "noninteractive"}
        return run(["dpkg", *self._where, "--force-confdef", "--force-confold", *words], self._seconds, more)

    def contents(self) -> bytes | None:
        return self._now.read_bytes() if self._now.exists() else None

    def check(self, data: Data) -> None:
        self._fs.mkdir(self._store, 0o700)
        probe = self._store / "check.deb"
        self._fs.write(probe, data, 0o600)
        try:
            found = self._field(probe, "Package")
            if not found:
                raise DataError("this is not a Debian package", "dpkg-deb cannot read it", "build it again", id="NRT-297")
            known = self._name()
            if known and known != found:
                raise RefusedError(f"this is package {found}", f"the component is {known}", "sign it as another component")
        finally:
            self._fs.remove(probe)

    def put(self, data: Data, name: bytes) -> None:
        fs = self._fs
        fs.mkdir(self._store, 0o700)
        if self._now.exists():
            fs.link(self._now, self._before)
        else:
            fs.put(self._none, b"")
        draft = self._store / "draft.deb"
        fs.write(draft, data, 0o600)
        fs.replace(draft, self._next)
        said = self._dpkg("-i", str(self._next))
        if not said.good:
            raise RefusedError("dpkg did not install the package", said.text, "dpkg -i it by hand to see why", id="NRT-387")
        fs.replace(self._next, self._now)

    def back(self) -> None:
        fs = self._fs
        if self._before.exists():
            if not self._stands(self._before):
                said = self._dpkg("--force-downgrade", "-i", str(self._before))
                if not said.good:
                    raise RefusedError("dpkg did not install the package before", said.text, "dpkg --configure -a")
            fs.replace(self._before, self._now)
        elif self._none.exists():
            name = self._name()
            if name:
                self._dpkg("--force-remove-reinstreq", "--purge", name)
            fs.remove(self._now)
            fs.remove(self._none)
        fs.remove(self._next)

    def tidy(self) -> None:
        if self._store.is_dir():
            if self._next.exists() and self._stands(self._next):
                self._fs.replace(self._next, self._now)  # power failed when dpkg had done it and put() had not come to its end
            for path in (self._next, self._before, self._none, self._store / "draft.deb", self._store / "check.deb"):
                self._fs.remove(path)


def form(component: Component, store: Path, fs: Fs) -> Debian:
    """The form a setup describes; `store` is its own place in the agent's state."""
    return Debian(store, fs, component.hooks.time, component.root)
