"""A container engine of the tests' own (Debian's docker.io) on images made here: no registry of images is asked. It knows how
the bases that deploy/ names are made of Debian's packages; it must never touch an engine that runs on this machine already.
The server's own image is built by deploy/Containerfile; the database is Debian's PostgreSQL under the name of the usual image,
the object store moto under that of MinIO, with a `mc` that knows two words."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.parts import need

PYTHON, POSTGRES, MINIO, MC = "python:3.11-slim", "postgres:16", "minio/minio", "minio/mc"
#: What the base needs to be the official image's equal: Python with headers, under its usual name.
PACKAGES = "python3,python3-venv,python3-dev,python3-pip,python-is-python3,passwd,ca-certificates"
#: How this machine reaches its package registries, where that is not the usual way.
WAYS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")

_POSTGRES = """FROM {base}
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/postgresql/* \\
  && ln -s /usr/lib/postgresql/15/bin/* /usr/local/bin/
COPY entry /entry
ENTRYPOINT ["sh", "/entry"]
"""
#: What the official image's entry does with these two variables: a first start behind the socket alone, then for everybody.
_ENTRY = """set -e
D=/var/lib/postgresql/data
mkdir -p $D; chown postgres $D
if [ ! -e $D/PG_VERSION ]; then
  printf %s "$POSTGRES_PASSWORD" > /var/tmp/word; chown postgres /var/tmp/word
  su postgres -c "initdb -D $D -U $POSTGRES_USER -A scram-sha-256 --pwfile=/var/tmp/word -E UTF8"; rm /var/tmp/word
  echo "host all all all scram-sha-256" >> $D/pg_hba.conf
  sed -i 's/^local.*/local all all trust/' $D/pg_hba.conf
  su postgres -c "pg_ctl -D $D -o '-c listen_addresses=' -w start"
  su postgres -c "createdb -U $POSTGRES_USER $POSTGRES_USER; pg_ctl -D $D -w stop"
fi
exec su postgres -c "exec postgres -D $D -c listen_addresses='*'"
"""
_MOTO = """FROM {base}
RUN pip install --break-system-packages 'moto[server]' boto3
COPY mc /usr/local/bin/mc
RUN chmod 755 /usr/local/bin/mc
{entry}
"""
_MC = """#!/usr/bin/python3
import json, sys, boto3
words = [word for word in sys.argv[1:] if word != "-p"]
if words[:2] == ["alias", "set"]:
    json.dump(words[3:], open("/var/tmp/mc", "w"))
url, key, secret = json.load(open("/var/tmp/mc"))
store = boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1")
store.create_bucket(Bucket=words[1].partition("/")[2]) if words[0] == "mb" else store.list_buckets()
"""
_SERVER = 'ENTRYPOINT ["sh", "-c", "exec moto_server -H 0.0.0.0 -p 9000"]'


@dataclass(slots=True)
class Engine:
    """One daemon, in a folder of its own."""

    folder: Path

    @property
    def surroundings(self) -> dict[str, str]:
        return os.environ | {"DOCKER_HOST": f"unix://{self.folder}/socket", "DOCKER_BUILDKIT": "0"}

    def run(self, *words: str, extra: Mapping[str, str] | None = None, given: str | None = None) -> str:
        """What a command says; its failure is told with the end of what it said."""
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env=self.surroundings | dict(extra or {}), input=given
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def image(self, name: str, recipe: str, **files: str) -> None:
        """Builds one of a recipe and texts beside it."""
        place = self.folder / "recipe"
        place.mkdir()
        (place / "Dockerfile").write_text(recipe)
        for file, text in files.items():
            (place / file).write_text(text)
        self.run("docker", "build", "-q", "-t", name, str(place))
        shutil.rmtree(place)

    def bases(self) -> None:
        """The images that deploy/ names."""
        self.run(
            "mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(self.folder / "base.tar")
        )
        self.run("docker", "import", str(self.folder / "base.tar"), PYTHON)
        ways = {Path(way).name: way for way in WAYS if Path(way).exists()}
        lines = "".join(f"COPY {name} {way}\n" for name, way in ways.items())
        self.image(PYTHON, f"FROM {PYTHON}\n{lines}", **{name: Path(way).read_text() for name, way in ways.items()})
        self.image(POSTGRES, _POSTGRES.format(base=PYTHON), entry=_ENTRY)
        self.image(MINIO, _MOTO.format(base=PYTHON, entry=_SERVER), mc=_MC)
        self.image(MC, f"FROM {MINIO}\n")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Engine]:
    """An engine until the end of the block."""
    for part in ("root", "dockerd", "docker", "docker-compose", "mmdebstrap", "iptables"):
        need(part)
    engine = Engine(folder)
    words = ["dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    words += ["-H", f"unix://{folder}/socket", "-p", str(folder / "pid")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while subprocess.run(["docker", "info"], capture_output=True, check=False, env=engine.surroundings).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text()[-3000:])
            time.sleep(0.2)
        yield engine
    finally:
        process.terminate()
        process.wait(120)
