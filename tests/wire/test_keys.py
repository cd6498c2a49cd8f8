"""Keys survive their files; a file that is not one of our keys is refused in words."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.flash.trust import signature_holds
from neurath.wire import keys
from neurath.wire.keys import Alg, PublicKey, SigningKey


@pytest.mark.parametrize("alg", list(Alg))
def test_a_key_pair_survives_its_two_files(alg: Alg, tmp_path: Path) -> None:
    key = keys.create(alg)
    keys.write_private(tmp_path / "k.pem", key)
    assert (tmp_path / "k.pem").stat().st_mode & 0o777 == 0o600
    again = keys.load_private(tmp_path / "k.pem")
    assert again.public == key.public
    (tmp_path / "k.pub.pem").write_bytes(keys.public_pem(key.public))
    assert keys.load_public(tmp_path / "k.pub.pem") == key.public
    assert keys.load_public(tmp_path / "k.pem") == key.public


@pytest.mark.parametrize("alg", list(Alg))
@given(message=st.binary(max_size=200))
def test_a_signature_holds_for_its_message_and_for_no_other(alg: Alg, message: bytes) -> None:
    key, other = SIGNERS[alg], OTHERS[alg]
    signature = key.sign(message)
    assert len(signature) == 64
    assert signature_holds(alg, key.public.data, message, signature)
    assert not signature_holds(alg, key.public.data, message + b"\0", signature)
    assert not signature_holds(alg, other.public.data, message, signature)


SIGNERS = {alg: keys.create(alg) for alg in Alg}
OTHERS = {alg: keys.create(alg) for alg in Alg}


def test_an_existing_key_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "k.pem"
    keys.write_private(path, keys.create(Alg.ES256))
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        keys.write_private(path, keys.create(Alg.ES256))
    assert path.read_bytes() == before


def test_other_kinds_of_keys_are_refused() -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    plain = serialization.NoEncryption()
    p384 = ec.generate_private_key(ec.SECP384R1()).private_bytes(*form, plain)
    rsa_key = rsa.generate_private_key(65537, 2048).private_bytes(*form, plain)
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(*form, serialization.BestAvailableEncryption(b"x"))
    for pem in (p384, rsa_key, locked, b"", b"\x30\x82", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        for read in (keys.private_from_pem, keys.public_from_pem):
            with pytest.raises(DataError, match="not a"):
                read(pem)


@given(st.binary(max_size=300))
def test_no_byte_string_crashes_the_key_reader(data: bytes) -> None:
    for read in (keys.private_from_pem, keys.public_from_pem):
        with pytest.raises(DataError):
            read(data)


@pytest.mark.parametrize(("alg", "length"), [(Alg.ES256, 64), (Alg.ED25519, 33), (Alg.ED25519, 0)])
def test_a_public_key_has_its_length(alg: Alg, length: int) -> None:
    with pytest.raises(DataError):
        PublicKey(alg, bytes(length))


@given(st.integers(-5, 300), st.binary(max_size=70), st.binary(max_size=20), st.binary(min_size=64, max_size=64))
def test_the_verify_port_answers_no_to_nonsense(alg: int, key: bytes, message: bytes, signature: bytes) -> None:
    assert signature_holds(alg, key, message, signature) is False


def test_a_private_key_shows_nothing_of_itself() -> None:
    key: SigningKey = SIGNERS[Alg.ED25519]
    assert key.private.private_bytes_raw().hex() not in repr(key)  # type: ignore[union-attr]
