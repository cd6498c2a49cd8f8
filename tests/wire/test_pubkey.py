"""Public keys are read the same way with and without `cryptography`."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.flash.trust import PublicKey
from neurath.wire import keys, pubkey
from neurath.wire.keys import Alg

KEYS = {alg: keys.create(alg).public for alg in Alg}


def read(pem: bytes, folder: Path) -> PublicKey | None:
    (folder / "k.pem").write_bytes(pem)
    try:
        return pubkey.load_public(folder / "k.pem")
    except DataError:
        return None


def reference(pem: bytes) -> PublicKey | None:
    try:
        return keys.public_from_pem(pem)
    except DataError:
        return None


@pytest.mark.parametrize("alg", list(Alg))
def test_our_own_files_are_read_without_cryptography(alg: Alg, tmp_path: Path) -> None:
    path = tmp_path / "k.pub.pem"
    path.write_bytes(keys.public_pem(KEYS[alg]))
    words = (
        "import sys, pathlib; from neurath.wire import pubkey; k = pubkey.load_public(pathlib.Path(sys.argv[1]));"
        "print(k.alg.name, k.data.hex()); assert 'cryptography' not in sys.modules"
    )
    said = subprocess.run([sys.executable, "-c", words, str(path)], capture_output=True, text=True, check=True).stdout
    assert said.split() == [alg.name, KEYS[alg].data.hex()]


@pytest.mark.parametrize("alg", list(Alg))
def test_private_halves_and_other_forms_are_read_as_well(alg: Alg, tmp_path: Path) -> None:
    key = keys.create(alg)
    assert read(key.pem(), tmp_path) == key.public
    if alg is Alg.ES256:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public.data)
        squeezed = b"".join((bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200"), compressed(point)))
        assert read(armoured(squeezed), tmp_path) == key.public


def compressed(point: ec.EllipticCurvePublicKey) -> bytes:
    return point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)


def armoured(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize("alg", list(Alg))
@given(place=st.integers(0, 200), change=st.integers(1, 255))
def test_a_changed_byte_is_read_as_cryptography_reads_it(
    alg: Alg, tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    der = bytearray(base64.b64decode(b"".join(keys.public_pem(KEYS[alg]).splitlines()[1:-1])))
    der[place % len(der)] ^= change
    pem = armoured(bytes(der))
    assert read(pem, tmp_path_factory.getbasetemp()) == reference(pem)


@given(data=st.binary(max_size=200))
def test_no_byte_string_crashes_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for pem in (data, armoured(data)):
        assert read(pem, tmp_path_factory.getbasetemp()) == reference(pem)
