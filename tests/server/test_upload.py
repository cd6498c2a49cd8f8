"""Long uploads: taken without being held, in the form their client wants, and refused when they are too long."""

from __future__ import annotations

import io
import mmap
import tempfile
import tracemalloc

import pytest

from neurath.ids import digest
from neurath.server.software import catalog
from neurath.server.software.models import add_plain_model
from neurath.server.software.upload import contents, read_upload

LENGTH = 70 << 20


def cpio(name: bytes, data: bytes) -> bytes:
    head = b"070702" + b"".join(b"%08x" % n for n in (1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
    head += name + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


@pytest.fixture
def package():
    """A package that is longer than an image may be, as the framework that reads forms gives it: in a file of its own."""
    with tempfile.SpooledTemporaryFile(max_size=1 << 20) as file:
        file.write(cpio(b"sw-description", b'software =\n{\n  version = "7.1";\n}\n'))
        block = bytes(range(256)) * 4096
        for _ in range(LENGTH // len(block)):
            file.write(block)
        file.write(cpio(b"TRAILER!!!", b""))
        yield file


def test_a_long_package_is_taken_without_being_held_in_memory(world, package):
    with world.store.write() as db:
        add_plain_model(db, "box", 1.0)
    tracemalloc.start()
    data = contents(package, 1 << 30)
    assert isinstance(data, mmap.mmap)
    taken = read_upload(data, "big.swu", None)
    made = catalog.add(world.store, catalog.Upload(taken.data, "box", taken.says, "swu", "big.swu"), 2.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20
    assert (made.version, made.size > LENGTH) == ("7.1", True)
    assert world.store.files.path(made.image).stat().st_size == made.size
    package.seek(0)
    assert digest(package.read()).hex() == made.image


def test_what_is_short_is_read_and_what_is_too_long_is_not(package):
    assert contents(io.BytesIO(b"abc"), 3) == b"abc"
    assert contents(io.BytesIO(b"abc"), 2) is None
    assert contents(io.BytesIO(b""), 2) == b""
    assert contents(package, LENGTH) is None
