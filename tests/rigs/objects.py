"""An S3-compatible object store of the tests' own: moto in server mode, on this machine. It knows how one is begun and
ended."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "of-the-tests-own"}
_CODE = """
import sys, werkzeug.serving
from moto.server import DomainDispatcherApplication, create_backend_app
made = werkzeug.serving.make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(made.server_port, flush=True)
made.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket; `env` is what its clients' environment holds."""

    port: int
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}/files?endpoint=http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        return dict(KEYS)


@contextlib.contextmanager
def bucket(name: str = "software") -> Iterator[Bucket]:
    own = os.environ | KEYS
    process = subprocess.Popen(
        [sys.executable, "-c", _CODE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=own
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert re.fullmatch(r"\d+\n", said), said
        made = Bucket(int(said), name)
        address = f"http://127.0.0.1:{made.port}/{name}"
        urllib.request.urlopen(urllib.request.Request(address, method="PUT"), timeout=60).close()
        yield made
    finally:
        process.terminate()
        process.communicate(timeout=60)
