"""Keys that never leave a token: PKCS #11, a smart card, an HSM, or SoftHSM. It knows the file that names such a key and how
one is asked to sign; it must never read a private key out, nor keep a PIN."""

from __future__ import annotations

import getpass
import hashlib
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurath.errors import DataError, NotFound, RefusedError, UsageError
from neurath.wire import keys
from neurath.wire.keys import Alg, PublicKey, Signer

if TYPE_CHECKING:
    import pkcs11

PIN = "NEURATH_PIN"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A P-256 key on a token, by the label both have there."""

    module: str
    token: str
    label: str
    public: PublicKey

    @property
    def alg(self) -> Alg:
        return Alg.ES256

    def sign(self, message: bytes) -> bytes:
        """r and s, 32 bytes each, made by the token."""
        import pkcs11

        with _session(self.module, self.token) as session:
            try:
                private: Any = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=self.label)
            except pkcs11.NoSuchKey:
                raise _absent(self.label, self.token) from None
            return bytes(private.sign(hashlib.sha256(message).digest(), mechanism=pkcs11.Mechanism.ECDSA))

    def text(self) -> str:
        """The file that names it; nothing in it is secret."""
        lines = {"module": self.module, "token": self.token, "label": self.label}
        named = "".join(f"{key} = {_quoted(value)}\n" for key, value in lines.items())
        return f'{named}public = """\n{keys.public_pem(self.public).decode()}"""\n'


def create(module: str, token: str, label: str) -> TokenKey:
    """A new key, made on the token; RefusedError where it has one of that label."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    with _session(module, token, write=True) as session:
        if any(True for _ in session.get_objects({pkcs11.Attribute.LABEL: label})):
            raise RefusedError(
                f"{token} has a key {label}", "a key is never written over", "choose another name", id="NRT-301"
            )
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        shown, _ = parameters.generate_keypair(mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN, store=True, label=label)
        point = bytes(shown[pkcs11.Attribute.EC_POINT])
    # An octet string around the point (PKCS #11 2.40, 2.3.3); its length is one byte for this curve.
    return TokenKey(module, token, label, PublicKey(Alg.ES256, point[-65:]))


def load(path: Path) -> Signer:
    """What signs: a private key in a PEM file, or one on a token that the file names."""
    data = path.read_bytes()
    if b"-----BEGIN" in data[:64]:
        return keys.private_from_pem(data)
    try:
        found = tomllib.loads(data.decode())
        module, token, label, pem = (str(found[name]) for name in ("module", "token", "label", "public"))
    except (ValueError, KeyError):
        return keys.private_from_pem(data)  # which says what is wrong
    return TokenKey(module, token, label, keys.public_from_pem(pem.encode()))


@contextmanager
def _session(module: str, token: str, *, write: bool = False) -> Iterator[pkcs11.Session]:
    try:
        import pkcs11
    except ModuleNotFoundError:
        raise UsageError("keys on tokens need one more package", "python-pkcs11", "pip install 'neurath[tokens]'") from None
    try:
        with pkcs11.lib(module).get_token(token_label=token).open(user_pin=_pin(token), rw=write) as session:
            yield session
    except pkcs11.NoSuchToken:
        raise NotFound(f"no token {token}", f"{module} shows none of that label", "put it in; --token LABEL") from None
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked):
        raise RefusedError(f"{token} does not take this PIN", "wrong, or locked", f"{PIN}, or type it when asked") from None
    except (pkcs11.PKCS11Error, RuntimeError) as fault:
        raise DataError(f"{token} cannot do this", f"{type(fault).__name__} {fault}".strip(), "another token?") from None


def _pin(token: str) -> str:
    return os.environ.get(PIN) or getpass.getpass(f"PIN of {token}: ")


def _absent(label: str, token: str) -> NotFound:
    return NotFound(f"no key {label} on {token}", "it was made on another token, or deleted", "put the right token in")


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
