"""Terminals that show a client certificate to a real nginx in front: whom it lets in, and that nobody else can say so."""

from __future__ import annotations

import datetime
import socket
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from neurath.server.device import Policy
from neurath.server.fleet import tenants
from neurath.server.fleet.tenants import Tenant
from tests.rigs import nginx
from tests.server.test_http import serving

CA_HASH, OTHER = "ab" * 20, "cd" * 20
Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(name: str, by: Pair | None = None) -> Pair:
    """One of this name, by an authority or by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    whose = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "field"), x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signer = (whose, key) if by is None else (by[0].subject, by[1])
    made = x509.CertificateBuilder().subject_name(whose).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    made = made.not_valid_after(now + datetime.timedelta(days=3))
    made = made.add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    return made.sign(signer, hashes.SHA256()), key


def written(folder: Path, name: str, pair: Pair) -> Path:
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / f"{name}.pem").write_bytes(pair[0].public_bytes(pem))
    both = pair[0].public_bytes(pem) + pair[1].private_bytes(pem, kind, serialization.NoEncryption())
    (folder / f"{name}.both").write_bytes(both)
    return folder / f"{name}.both"


def status(where: Path, shown: Path | None, name: str, *said: str, tenant: str = "mtls") -> int:
    """What a check-in of this name is answered with; `said`: headers of the client's own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shown is not None:
        context.load_cert_chain(shown)
    with socket.socket(socket.AF_UNIX) as bare:
        bare.settimeout(60)
        bare.connect(str(where))
        with context.wrap_socket(bare) as link:
            lines = [f"GET /{tenant}/controller/v1/{name} HTTP/1.1", "Host: x", "Connection: close", *said]
            link.sendall("\r\n".join([*lines, "", ""]).encode())
            return int(link.makefile("rb").readline().split()[1])


def test_a_terminal_is_whom_nginx_read_in_its_certificate(tmp_path: Path) -> None:
    ours, others = certificate("the fleet's authority"), certificate("somebody")
    written(tmp_path, "ca", ours)
    good = written(tmp_path, "good", certificate("c1", ours))
    false = written(tmp_path, "false", certificate("c1", others))
    with serving(tmp_path / "data", Policy(300, proxies=("127.0.0.1",))) as running:
        with running.world.store.write() as db:
            tenants.keep(db, "mtls", Tenant(authorities=(CA_HASH,)))
            tenants.keep(db, "other", Tenant(authorities=(OTHER,)))
        with nginx.checking(tmp_path / "nginx", running.port, tmp_path / "ca.pem", CA_HASH) as where:
            assert status(where, good, "c1") == 200
            assert status(where, good, "c2") == 401  # another's name
            # What it says of itself gets through nowhere: with no certificate, somebody else's, or in another tenant.
            assert status(where, None, "c1", "X-Controller-Id: c1", f"X-Authority: {CA_HASH}") == 401
            assert status(where, false, "c1", "X-Controller-Id: c1", f"X-Authority: {CA_HASH}") in (400, 401)
            assert status(where, good, "c1", f"X-Authority: {OTHER}", tenant="other") == 401
            for number in range(16):
                assert status(where, good, "c1", f"X-Authority-{number}: {OTHER}", tenant="other") == 401, number
