"""axe-core, which judges whether a page can be read and used by everybody: fetched once through npm, pinned, kept in the cache
of real parts. It must never be part of the product."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from neurath.sim import corpus
from tests.parts import absent, need

VERSION, MEMBER = "4.10.3", "package/axe.min.js"
DIGEST = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"


@functools.cache
def source() -> str:
    """The script; the calling test is skipped, or fails when strict, where it can be had neither from the cache nor by npm."""
    kept = corpus.cache() / f"axe-{VERSION}.js"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(_fetched())
        part.replace(kept)
    script = kept.read_bytes()
    assert hashlib.sha256(script).hexdigest() == DIGEST, f"{kept} is not axe-core {VERSION}"
    return script.decode()


def _fetched() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        words = [need("npm"), "pack", "--silent", f"axe-core@{VERSION}"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            absent(f"axe-core {VERSION} cannot be fetched: {done.stderr.strip()[-200:]}")
            raise AssertionError
        with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as tape:
            found = tape.extractfile(MEMBER)
            assert found is not None
            return found.read()
