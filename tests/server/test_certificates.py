"""Terminals that show a client certificate to a real nginx in front: whom it lets in, and that nobody else can say so."""

from __future__ import annotations

import datetime
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from neurath.cli.serving import let_in
from neurath.errors import RefusedError, UsageError
from neurath.server.access import people, tokens
from neurath.server.access.people import Newcomer
from neurath.server.access.roles import Actor, Role
from neurath.server.access.tokens import Asked
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
    return asked(where, shown, f"GET /{tenant}/controller/v1/{name}", *said)


def asked(where: Path, shown: Path | None, what: str, *said: str) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shown is not None:
        context.load_cert_chain(shown)
    with socket.socket(socket.AF_UNIX) as bare:
        bare.settimeout(60)
        bare.connect(str(where))
        with context.wrap_socket(bare) as link:
            lines = [f"{what} HTTP/1.1", "Host: x", "Connection: close", *said]
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


def test_a_station_is_known_by_its_own_certificate_behind_nginx_and_opens_four_routes(tmp_path: Path) -> None:
    written(tmp_path, "ca", certificate("the fleet's authority"))
    osaka, kobe = certificate("osaka"), certificate("osaka")
    ours, others = written(tmp_path, "osaka", osaka), written(tmp_path, "kobe", kobe)
    header = "X-Client-Cert: " + quote((tmp_path / "osaka.pem").read_text())
    maker = Actor("", Role.ADMIN, "command")
    with serving(tmp_path / "data", Policy(300, proxies=("127.0.0.1",))) as running:
        with running.world.store.write() as db:
            people.add(db, Newcomer("mila", Role.ADMIN, "seven words that nobody has said"), 1.0)
            pem = (tmp_path / "osaka.pem").read_text()
            with pytest.raises(UsageError):
                tokens.add(db, Asked("osaka", Role.RELEASER, certificate=pem), maker, time.time())
            assert tokens.add(db, Asked("osaka", Role.OPERATOR, certificate=pem), maker, time.time()) == ""
            with pytest.raises(RefusedError, match="known already"):
                tokens.add(db, Asked("twice", Role.OPERATOR, certificate=pem), maker, time.time())
            assert [(one.name, one.station) for one in tokens.everyone(db)] == [("osaka", True)]
        with nginx.checking(tmp_path / "nginx", running.port, tmp_path / "ca.pem", CA_HASH) as where:
            assert asked(where, ours, "GET /api/v1/stock") == 200
            for what in ("GET /api/v1/terminals", "GET /api/v1/tokens", "DELETE /api/v1/tokens/osaka", "GET /metrics"):
                assert asked(where, ours, what) == 401, what
            # Somebody else's of the same name; nobody's; and its words without its private key: it is public.
            assert asked(where, others, "GET /api/v1/stock") == 401
            assert asked(where, None, "GET /api/v1/stock") == 401
            for shown in (None, others):
                assert asked(where, shown, "GET /api/v1/stock", header) == 401
            assert status(where, ours, "osaka", header) == 401  # nor is it a terminal's
            with running.world.store.write() as db:
                tokens.revoke(db, "osaka")
            assert asked(where, ours, "GET /api/v1/stock") == 401
        # Straight to the server, from where no proxy is: the header says nothing.
    with serving(tmp_path / "other", Policy(300)) as running:
        with running.world.store.write() as db:
            people.add(db, Newcomer("mila", Role.ADMIN, "seven words that nobody has said"), 1.0)
            tokens.add(db, Asked("osaka", Role.OPERATOR, certificate=(tmp_path / "osaka.pem").read_text()), maker, time.time())
        answer = httpx.get(
            f"http://127.0.0.1:{running.port}/api/v1/stock", headers=dict([header.split(": ")]), trust_env=False
        )
        assert answer.status_code == 401


def test_a_stations_certificate_that_cannot_be_read_keeps_no_other_out(caplog: pytest.LogCaptureFixture) -> None:
    """It may stand in the database since another version of OpenSSL, which took it."""
    good = [certificate(name)[0].public_bytes(serialization.Encoding.DER) for name in ("s1", "s2")]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    let_in(context, {b"\x30\x03\x02\x01"})
    assert (context.verify_mode, context.get_ca_certs()) == (ssl.CERT_NONE, [])
    let_in(context, {b"\x30\x03\x02\x01", *good})
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert set(context.get_ca_certs(binary_form=True)) == set(good)
    assert "cannot be read" in caplog.text
