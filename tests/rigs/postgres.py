"""A PostgreSQL of the tests' own: Debian's server in a temporary folder, on a Unix socket, as a user without rights. It knows
how one is made, stopped in the middle of work, and ended; it must never touch one that runs on this machine already."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts import need

#: It forgets what a machine's power cut would cost; it does not forget what its own end would.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "autovacuum": "off",
}
_BIN = "/usr/lib/postgresql/*/bin"


def programs() -> Path:
    """The folder of Debian's newest server."""
    need("postgres")
    return max(Path("/").glob(_BIN.lstrip("/")), key=lambda found: int(found.parent.name))


@dataclass(slots=True)
class Postgres:
    """One server; databases of it by name."""

    folder: Path
    user: str
    programs: Path
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    process: subprocess.Popen[bytes] | None = None
    _names: Iterator[int] = field(default_factory=itertools.count)
    _empties: dict[str, str] = field(default_factory=dict)

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://{self.user}@/{name}?host={self.folder}"

    def start(self) -> None:
        words = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder)]
        for name, value in self.settings.items():
            words += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder, **self._as())
        deadline = time.monotonic() + 120
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: whoever is connected is thrown out; SIGQUIT: as if it had crashed."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def run(self, sql: str, name: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(self.url(name), autocommit=True) as link:
            done = link.execute(sql)
            return done.fetchall() if done.description else []

    def database(self, template: str = "template0") -> str:
        """The URL of a new database."""
        name = f"db{next(self._names)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def empty(self, name: str) -> None:
        """Throws everybody out of a database, and every row but the mark of its migration; numbers begin anew."""
        if name not in self._empties:
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            counters = "SELECT sequencename FROM pg_sequences"
            words = ["SET session_replication_role = replica"]  # in any order
            words += [f'DELETE FROM "{row[0]}"' for row in self.run(tables, name)]
            words += [f'ALTER SEQUENCE "{row[0]}" RESTART' for row in self.run(counters, name)]
            self._empties[name] = "; ".join(words)
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname ="
        self.run(f"{others} '{name}'; {self._empties[name]}", name)

    def drop(self, url: str) -> None:
        name = url.rpartition("/")[2] if "?" not in url else url.partition("?")[0].rpartition("/")[2]
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _as(self) -> dict[str, object]:
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if os.getuid() == 0 else {}

    def _answers(self) -> bool:
        words = [str(self.programs / "pg_isready"), "-q", "-h", str(self.folder)]
        return subprocess.run(words, check=False).returncode == 0


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """A server until the end of the block."""
    where = programs()
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="nrt-pg-", dir="/tmp"))  # a socket's name is short
    server = Postgres(folder, user, where)
    try:
        if os.getuid() == 0:
            shutil.chown(folder, user)
        words = [where / "initdb", "-D", folder / "data", "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([str(word) for word in words], check=True, capture_output=True, cwd=folder, **server._as())
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
