"""A certificate that a station makes for itself: its key, its name and an end, vouched for by nobody else. Whoever believes it
has it beforehand. It knows X.509; it must never say whom a certificate belongs to."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from neurath.errors import DataError

if TYPE_CHECKING:
    from neurath.wire.keys import SigningKey

MOST_DAYS = 3650


def make(key: SigningKey, name: str, days: int, now: float) -> bytes:
    """The certificate of this key, in PEM. It begins a day ago: clocks differ."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    digest = hashes.SHA256() if isinstance(key.private, EllipticCurvePrivateKey) else None
    whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    at, day = datetime.datetime.fromtimestamp(now, datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(whose).issuer_name(whose).public_key(key.private.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(at - day).not_valid_after(at + days * day)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    # Two of the same name are told apart by these.
    mark = x509.SubjectKeyIdentifier.from_public_key(key.private.public_key())
    made = made.add_extension(mark, critical=False)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mark), critical=False)
    return made.sign(key.private, digest).public_bytes(serialization.Encoding.PEM)


def read(pem: bytes) -> tuple[bytes, float]:
    """The one certificate in a file: its bytes (DER), and when it ends; DataError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError as fault:
        raise DataError(
            "this is no certificate", str(fault)[:120], "NAME.crt.pem, of neurath key create", id="NRT-202"
        ) from None
    return found.public_bytes(serialization.Encoding.DER), found.not_valid_after_utc.timestamp()
