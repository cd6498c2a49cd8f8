"""A real nginx in front of a server, with the file that operators are given (deploy/nginx.conf). It listens on a Unix socket,
so that no port has to be free; it must never touch one that runs on this machine already."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.parts import need
from tests.rigs.net import until

CHECKING = Path(__file__).resolve().parents[2] / "deploy/nginx-certificates.conf"
GIVEN = Path(__file__).resolve().parents[2] / "deploy/nginx.conf"
#: What an operator's nginx.conf has around it.
AROUND = """daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
user {user};
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{given}
}}
"""


@contextlib.contextmanager
def running(folder: Path, port: int, data: Path) -> Iterator[Path]:
    """The socket at which it answers for the server of this port and data directory, until the end of the block."""
    program = need("nginx")
    folder.mkdir()
    socket = folder / "socket"
    given = GIVEN.read_text()
    for printed, own in (
        ("127.0.0.1:8642", f"127.0.0.1:{port}"),
        ("listen 443 ssl", f"listen unix:{socket}"),
        ("/var/lib/neurath/", f"{data}/"),
    ):
        assert printed in given
        given = given.replace(printed, own)
    given = "".join(line for line in given.splitlines(keepends=True) if "ssl_certificate" not in line)
    with _started(program, folder, given) as own:
        assert own == socket
        yield socket


@contextlib.contextmanager
def checking(folder: Path, port: int, authority: Path, known: str) -> Iterator[Path]:
    """The same for terminals with certificates of this authority, known to the server by this word; the socket speaks TLS."""
    program = need("nginx")
    folder.mkdir()
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
    made += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "chain.pem")]
    subprocess.run([need("openssl"), *made[1:]], check=True, capture_output=True)
    given = CHECKING.read_text()
    for printed, own in (
        ("listen 8443 ssl", f"listen unix:{folder / 'socket'} ssl"),
        ("/etc/neurath/terminals-ca.pem", str(authority)),
        ("/etc/neurath/", f"{folder}/"),
        ("0" * 40, known),
    ):
        assert printed in given
        given = given.replace(printed, own)
    upstream = f"upstream neurath {{ server 127.0.0.1:{port}; }}\n"
    with _started(program, folder, upstream + given) as socket:
        yield socket


@contextlib.contextmanager
def _started(program: str, folder: Path, given: str) -> Iterator[Path]:
    socket = folder / "socket"
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user="root", given=given))
    words = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(words, stdout=said, stderr=said)
    try:
        until(lambda: socket.exists() or process.poll() is not None, "nginx listens", 60)
        assert process.poll() is None, (folder / "said").read_text()
        yield socket
    finally:
        process.terminate()
        process.wait(60)
