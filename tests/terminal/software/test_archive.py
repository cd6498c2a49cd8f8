"""What may be unpacked: nothing that lies, or leads, outside; no device, no name twice, no bomb."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.terminal.software.archive import members
from tests.terminal.software.site import archive

MOST = 1 << 20


def tar(*made: tarfile.TarInfo, data: bytes = b"x") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as target:
        for one in made:
            one.size = len(data) if one.isreg() else 0
            target.addfile(one, io.BytesIO(data))
    return out.getvalue()


def one(name: str, kind: bytes = tarfile.REGTYPE, leads: str = "") -> tarfile.TarInfo:
    about = tarfile.TarInfo(name)
    about.type, about.linkname = kind, leads
    return about


def zipped(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr(name, b"x")
    return out.getvalue()


ATTACKS: dict[str, Callable[[], bytes]] = {
    "a name that climbs": lambda: tar(one("../evil")),
    "a name that climbs in the middle": lambda: tar(one("a/../../evil")),
    "an absolute name": lambda: tar(one("/etc/passwd")),
    "a link that leads outside": lambda: tar(one("a", tarfile.SYMTYPE, "../../etc")),
    "an absolute link": lambda: tar(one("a", tarfile.SYMTYPE, "/etc")),
    "a file behind a link": lambda: tar(one("a", tarfile.SYMTYPE, "b"), one("a/evil")),
    "a file in place of a link": lambda: tar(one("a", tarfile.SYMTYPE, "b"), one("a")),
    "a hard link": lambda: tar(one("a", tarfile.LNKTYPE, "/etc/shadow")),
    "a device": lambda: tar(one("a", tarfile.CHRTYPE)),
    "a named pipe": lambda: tar(one("a", tarfile.FIFOTYPE)),
    "a name twice": lambda: tar(one("a"), one("a")),
    "a bomb": lambda: tar(one("a"), data=bytes(MOST + 1)),
    "a zip that climbs": lambda: zipped("../evil"),
    "a zip with an absolute name": lambda: zipped("/evil"),
    "a zip with a name of another system": lambda: zipped("..\\evil"),
    "no archive": lambda: b"no archive",
    "a cut archive": lambda: archive("tar", {"a": bytes(9000)})[:-40],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_is_unpacked_that_lies_or_leads_outside(attack: str) -> None:
    with pytest.raises(DataError):
        list(members(ATTACKS[attack](), MOST))


def test_a_link_to_a_sibling_is_no_attack() -> None:
    names = [member.name for member in members(tar(one("lib/a"), one("lib/b", tarfile.SYMTYPE, "../lib/a")), MOST)]
    assert names == ["lib/a", "lib/b"]


@given(st.binary(max_size=2000))
def test_no_byte_string_crashes_the_reader(data: bytes) -> None:
    try:
        list(members(data, MOST))
    except DataError:
        return
