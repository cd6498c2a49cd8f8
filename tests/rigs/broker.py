"""A real MQTT broker (mosquitto) for one test, with users and rights as docs/how-to/mqtt.md tells operators to set them. It
can be killed and started again at the same port."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from neurath.sim.processes import free_port
from tests.parts import need

#: The rights are those of the page, word for word.
PAGE = Path(__file__).parents[2] / "docs/how-to/mqtt.md"
ACL = re.findall(r"^```acl\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
SERVER = ("neurath", "the-servers-own-password")


class Mosquitto:
    """`users` are names and passwords of terminals, TENANT/ID each; the server's is SERVER. With `tls` (certificate, key) it
    also listens at `secure_port`."""

    def __init__(self, place: Path, users: dict[str, str], tls: tuple[Path, Path] | None = None) -> None:
        self.program = need("mosquitto")
        place.mkdir(parents=True, exist_ok=True)
        self.place = place
        self.port = free_port()
        passwords = place / "passwords"
        passwords.write_text("".join(f"{name}:{word}\n" for name, word in (*users.items(), SERVER)))
        subprocess.run([need("mosquitto_passwd"), "-U", str(passwords)], check=True)
        (place / "acl").write_text(ACL)
        secure = ""
        if tls is not None:
            self.secure_port = free_port()
            secure = f"listener {self.secure_port} 127.0.0.1\ncertfile {tls[0]}\nkeyfile {tls[1]}\n"
        (place / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nuser root\nallow_anonymous false\npersistence false\n"
            f"password_file {passwords}\nacl_file {place / 'acl'}\n{secure}"
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def admit(self, user: str) -> None:
        """One user more, NAME:PASSWORD; the broker reads its list again."""
        name, _, password = user.partition(":")
        words = [need("mosquitto_passwd"), "-b", str(self.place / "passwords"), name, password]
        subprocess.run(words, check=True, capture_output=True)
        if self.process is not None:
            self.process.send_signal(signal.SIGHUP)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def servers(self) -> str:
        """The address with the server's user and password in it."""
        return f"mqtt://{SERVER[0]}:{SERVER[1]}@127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.place / "mosquitto.log").open("ab") as log:
            words = [self.program, "-c", str(self.place / "mosquitto.conf")]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError((self.place / "mosquitto.log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def broker(place: Path, **users: str) -> Iterator[Mosquitto]:
    """A broker that knows the server, and terminals of the default tenant by id and token."""
    made = Mosquitto(place, {f"DEFAULT/{name}": token for name, token in users.items()})
    try:
        yield made
    finally:
        made.kill()
