"""P14: the whole way over TLS, with a certificate authority of the operator's own, also through a proxy; who is not registered
gets nothing. Certificates are made here; server and agent are processes of their own."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from neurath.carriers.http import Place
from neurath.carriers.stream import Ear
from neurath.errors import NeurathError
from neurath.sim.processes import COMMAND
from tests.contracts.push import PATIENCE
from tests.journey.site import Site, digest_of
from tests.rigs.clock import shifted
from tests.rigs.verbs import verb
from tests.server.world import image

PEM = serialization.Encoding.PEM
PLAIN = (PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """One that vouches for servers on loopback, in files."""

    def __init__(self, place: Path, title: str, span: tuple[datetime.datetime, datetime.datetime] | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.title = name(title)
        now = datetime.datetime.now(datetime.UTC)
        self.span = span or (now - datetime.timedelta(days=1), now + datetime.timedelta(days=30))
        made = self._draft(self.title, self.key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        own = made.add_extension(usage, critical=True).sign(self.key, hashes.SHA256())
        self.file = place / f"{title}.pem"
        self.file.write_bytes(own.public_bytes(PEM))

    def _draft(self, title: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(title).issuer_name(self.title).public_key(key.public_key())
        subject = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(self.span[0]).not_valid_after(self.span[1])
        return made.add_extension(subject, critical=False).add_extension(issuer, critical=False)

    def vouch(self, place: Path, *names: str) -> tuple[Path, Path]:
        """A server's certificate and its key, on loopback and under these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        called: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *called])
        made = self._draft(name("server"), key).add_extension(here, critical=False).sign(self.key, hashes.SHA256())
        (place / "server.pem").write_bytes(made.public_bytes(PEM))
        (place / "server.key").write_bytes(key.private_bytes(*PLAIN))
        return place / "server.pem", place / "server.key"


class Proxy(threading.Thread):
    """An HTTP proxy that knows CONNECT and asks for a name; `seen` is what it was asked for, `passed` the bytes it saw."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://someone:word@127.0.0.1:{self.listener.getsockname()[1]}"
        self.seen: list[bytes] = []
        self.passed = bytearray()
        self.start()

    def run(self) -> None:
        while True:
            try:
                inner, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(inner,), daemon=True).start()

    def _serve(self, inner: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += inner.recv(4096)
        self.seen.append(head)
        if b"Proxy-Authorization: Basic c29tZW9uZTp3b3Jk" not in head:
            inner.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            inner.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        outer = socket.create_connection((host, int(port)))
        inner.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self._pass, args=(outer, inner), daemon=True).start()
        self._pass(inner, outer)

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        try:
            while data := here.recv(65536):
                self.passed += data
                there.sendall(data)
        except OSError:
            pass
        for one in (here, there):
            one.close()


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "own authority")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, ca: Authority) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("site")
    certificate, key = ca.vouch(place)
    made = Site(place, serve=("--tls-cert", str(certificate), "--tls-key", str(key)))
    yield made
    made.end()


def publish(site: Site, number: int) -> None:
    file, envelope = site.place / f"{number}.bin", site.place / f"{number}.env"
    file.write_bytes(image(number))
    envelope.write_bytes(site.seal(image(number), number))
    verb("image", "add", file, "--model", "phone", "--version", str(number), "--envelope", envelope, *site.data)
    verb("rollout", "create", "--release", f"phone/{number}", "--all", "--start", *site.data)


def client(ca: Authority) -> httpx.Client:
    return httpx.Client(verify=ssl.create_default_context(cafile=str(ca.file)), trust_env=False, timeout=20)


@pytest.mark.heavy
def test_an_update_over_tls_and_one_through_a_proxy_that_sees_nothing_of_it(site: Site, ca: Authority) -> None:
    assert site.url.startswith("https://127.0.0.1:")
    publish(site, 2)
    verb("agent", "run", *site.reach(), "--ca", ca.file, "--once")
    assert site.status()["image"] == digest_of(2)
    proxy = Proxy()
    publish(site, 3)
    verb("agent", "run", *site.reach(), "--ca", ca.file, "--proxy", proxy.url, "--once")
    assert site.status()["image"] == digest_of(3)
    assert {b" ".join(head.split()[:2]) for head in proxy.seen} == {f"CONNECT {site.url[8:]}".encode()}
    assert site.token.encode() not in bytes(proxy.passed)
    assert len(proxy.passed) > 1000
    proxy.listener.close()


@pytest.mark.heavy
def test_notices_come_over_tls_too(site: Site, ca: Authority) -> None:
    heard = threading.Semaphore(0)
    ear = Ear(Place(site.url, "t1", site.token, ca=str(ca.file)), heard.release)
    assert heard.acquire(timeout=PATIENCE)
    publish(site, 4)
    assert heard.acquire(timeout=PATIENCE)
    ear.close()


@pytest.mark.heavy
def test_a_server_that_nobody_known_vouches_for_is_told_nothing(site: Site, ca: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "somebody else")
    before = site.status()
    for trusted in ((), ("--ca", stranger.file)):
        with pytest.raises(NeurathError, match="does not answer"):
            verb("agent", "run", *site.reach(), *trusted, "--once", "--poll", "1")
    assert site.status() == before


@pytest.mark.heavy
def test_who_is_not_registered_gets_nothing_and_learns_nothing(site: Site, ca: Authority) -> None:
    publish(site, 5)
    base, ours = "/DEFAULT/controller/v1/{}", "/DEFAULT/neurath/v1/{}"
    asked = [
        ("GET", base), ("PUT", base + "/configData"), ("GET", base + "/deploymentBase/1"), ("GET", base + "/cancelAction/1"),
        ("POST", base + "/deploymentBase/1/feedback"), ("GET", base + "/softwaremodules/1/artifacts"),
        ("GET", base + "/softwaremodules/1/artifacts/x.nru"), ("GET", ours + "/events"), ("POST", ours + "/heartbeat"),
    ]  # fmt: skip
    with client(ca) as asking:
        for method, path in asked:
            answers = []
            for who, token in (("nobody", ""), ("nobody", site.token), ("t1", ""), ("t1", "x" * 48)):
                shown = {"Authorization": f"TargetToken {token}"} if token else {}
                answer = asking.request(method, site.url + path.format(who), headers=shown, json={})
                answers.append((answer.status_code, answer.content))
            # A wrong token and an unknown name are the same answer.
            assert {status for status, _ in answers} == {401}, path
            assert len(set(answers)) == 1, path
        held = asking.get(site.url + ours.format("file") + "/" + "0" * 64)
        assert held.status_code == 404
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://{site.url[8:]}/DEFAULT/controller/v1/t1", trust_env=False, timeout=5)


@pytest.mark.parametrize("missing", ["--tls-key", "--tls-cert"])
def test_half_of_what_tls_takes_is_refused_in_three_lines(missing: str, tmp_path: Path, ca: Authority) -> None:
    certificate, key = ca.vouch(tmp_path)
    given = {"--tls-cert": str(certificate), "--tls-key": str(key)}
    del given[missing]
    words = [word for pair in given.items() for word in pair]
    with pytest.raises(NeurathError, match="TLS takes a certificate and its key"):
        verb("serve", "--data", tmp_path / "data", "--port", "0", *words)
    with pytest.raises(NeurathError, match="are no certificate and its key"):
        verb("serve", "--data", tmp_path / "data", "--port", "0", "--tls-cert", key, "--tls-key", certificate)


@pytest.fixture
def in_1970(tmp_path: Path) -> dict[str, str]:
    """The environment of a process for which it is 1970."""
    return shifted(tmp_path, 86400 - time.time())


def in_1970_it_runs(env: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    words = (*COMMAND, "agent", "run", *words, "--once", "--poll", "1")
    return subprocess.run(list(map(str, words)), env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.heavy
def test_a_terminal_whose_clock_was_never_set_takes_an_update_over_tls(
    site: Site, ca: Authority, in_1970: dict[str, str], tmp_path: Path
) -> None:
    year = "import time, ssl; print(time.gmtime().tm_year)"
    said = subprocess.run([sys.executable, "-c", year], env=in_1970, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout == "1970\n"
    publish(site, 6)
    stranger = Authority(tmp_path, "somebody else")
    assert in_1970_it_runs(in_1970, *site.reach(), "--ca", stranger.file).returncode == 6, "a stranger was believed"
    done = in_1970_it_runs(in_1970, *site.reach(), "--ca", ca.file)
    assert done.returncode == 0, done.stderr
    assert site.status()["image"] == digest_of(6)


@pytest.mark.heavy
@pytest.mark.parametrize(("clock", "number"), [("before it was built", 7), ("an hour slow", 8), ("an hour fast", 9)])
def test_a_clock_that_is_off_takes_an_update_over_tls_all_the_same(
    clock: str, number: int, site: Site, ca: Authority, tmp_path: Path
) -> None:
    """Fault 12: judged by the later of the clock and the moment this software was made."""
    by = {"before it was built": 1_577_836_800 - time.time(), "an hour slow": -3600.0, "an hour fast": 3600.0}[clock]
    publish(site, number)
    done = in_1970_it_runs(shifted(tmp_path, by), *site.reach(), "--ca", ca.file)
    assert done.returncode == 0, done.stderr
    assert site.status()["image"] == digest_of(number)


@pytest.mark.heavy
def test_a_clock_in_2106_believes_no_certificate_changes_nothing_and_goes_on_once_it_is_set(
    site: Site, ca: Authority, tmp_path: Path
) -> None:
    """The later of the two is the clock here, and by it each certificate has ended: it fails closed, and says so."""
    publish(site, 10)
    before = site.status()["image"]
    done = in_1970_it_runs(shifted(tmp_path, 4_294_967_290 - time.time()), *site.reach(), "--ca", ca.file)
    assert done.returncode == 6
    assert "expired" in done.stderr
    assert site.status()["image"] == before
    done = in_1970_it_runs(dict(os.environ), *site.reach(), "--ca", ca.file)
    assert done.returncode == 0, done.stderr
    assert site.status()["image"] == digest_of(10)


@pytest.mark.heavy
def test_a_certificate_that_ended_before_this_software_was_made_is_refused_with_any_clock(
    site: Site, ca: Authority, in_1970: dict[str, str]
) -> None:
    """The same certificate, and software that was made a year later."""
    later = "import sys, time; from neurath.carriers import tls; tls.EARLIEST = float(sys.argv.pop(1)); "
    later += "from neurath.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = ["agent", "run", *map(str, site.reach()), "--ca", str(ca.file), "--once", "--poll", "1"]
    argv = [sys.executable, "-c", later, str(time.time() + 365 * 86400), *words]
    done = subprocess.run(argv, env=in_1970, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 6
    assert "ended before this software was made" in done.stderr
