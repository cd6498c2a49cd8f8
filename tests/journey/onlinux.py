"""What somebody who reads the page of the Linux agent has beforehand, and what he looks at: a terminal in a bank, and a
gateway whose recorder is a file. It knows the small programs that stand for the machine's own services; it must never reach
those."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from neurath.flash.geometry import model_from_toml
from neurath.flash.native import Nor
from tests.journey.test_tls import Authority
from tests.parts import need
from tests.rigs.net import until
from tests.rigs.reader import ROOT, Inside, Play, page, shown

SETUP = "--setup /etc/neurath/agent.toml"
KILLED = -9
PLACES = ("/etc/neurath", "/var/lib/neurath", "/run/neurath", "/opt/recorder")

#: A system bus with the rules of one: nobody owns a name or is called but as the agent's own file says.
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>{rules}</include>
</busconfig>
"""
#: A service that is restarted answers with the program it was started from; words to people go to a file.
SYSTEMCTL = """#!/bin/sh
test "$*" = "restart recorder" || exit 1
cp {program} {served}/health && echo "$*" >> {served}/restarts
"""
WALL = '#!/bin/sh\necho "$*" >> {told}\n'


def _terminal(reader: Inside) -> None:
    """OLD and its envelope, and T-0001 known to a server that runs; certificates for the server of the setup."""
    folder = reader.folder
    shutil.copy(folder / "app-1.bin", folder / "OLD")
    shutil.copy(folder / "app-1.env", folder / "old.env")
    folder.joinpath("t1.bank").unlink()
    reader.fills["TOKEN"] = max(reader.types("neurath terminal add T-0001 --model board").split(), key=len)
    authority = Authority(folder, "own-authority")
    for made, name in zip(authority.vouch(folder, "updates.example"), ("chain.pem", "key.pem"), strict=True):
        shutil.copy(made, folder / name)
    reader.more["SSL_CERT_FILE"] = str(authority.file)
    _gateway(reader)
    reader.stays("neurath serve", "serving at")


def _gateway(reader: Inside) -> None:
    """The setup as the page shows it, what it names beside it, and the recorder's first version."""
    folder = reader.folder
    for name in ("release.pem", "release.pub.pem"):
        shutil.copy(folder / "keys" / name, folder)
    own = {place: folder / place.lstrip("/").replace("/", "-") for place in PLACES}
    for place in own.values():
        place.mkdir()
    reader.fills |= {place: str(path) for place, path in own.items()}
    (setup,) = shown(page("linux-agent.md"), "ini")
    (own["/etc/neurath"] / "agent.toml").write_text('dbus = "system"\n' + reader.filled(setup))
    shutil.copy(folder / "release.pub.pem", own["/etc/neurath"])
    shutil.copy(folder / "neurath-data/ticket.pub.pem", own["/etc/neurath"])
    (own["/opt/recorder"] / "recorder").write_text("recorder 1\n" * 900)
    (folder / "recorder").write_text("recorder 2\n" * 900)
    _services(reader, own["/opt/recorder"] / "recorder")


def _services(reader: Inside, program: Path) -> None:
    """systemctl, the recorder's own health, a system bus, and wall."""
    folder = reader.folder
    served, programs = folder / "served", folder / "bin"
    for place in (served, programs):
        place.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("wall", WALL)):
        (programs / name).write_text(text.format(program=program, served=served, told=folder / "told"))
        (programs / name).chmod(0o755)
    (folder / "bus.conf").write_text(BUS.format(socket=folder / "bus", rules=ROOT / "deploy/org.neurath.Agent1.conf"))
    reader.net.start(need("dbus-daemon"), f"--config-file={folder / 'bus.conf'}", "--nofork", "--nopidfile")
    reader.net.start("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory", served)
    reader.net.listens(8080)
    until((folder / "bus").exists, "the bus", 60)
    need("busctl")
    reader.more |= {"PATH": f"{programs}:{os.environ['PATH']}", "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder / 'bus'}"}


def _told(reader: Inside, name: str) -> dict[str, Any]:
    return dict(json.loads(reader.types(f"neurath terminal show {name} --json")))


def _confirmed(reader: Inside, name: str, component: str, version: str) -> None:
    """The server's own line about that update; it may come a moment after the terminal's."""
    wanted = [(component, version, "confirmed")]
    found = lambda: [(one["component"], one["version"], one["verdict"]) for one in _told(reader, name)["ledger"]]  # noqa: E731
    until(lambda: found() == wanted, f"{name}: {wanted}", 60)


def _holds(reader: Inside, name: str) -> bool:
    """Whether that image is what lies in the bank."""
    layout = model_from_toml((reader.folder / "board.toml").read_text()).layout
    image = (reader.folder / name).read_bytes()
    nor = Nor.file(layout, reader.folder / "t1.bank")
    found = nor.read_raw(layout.bank[0].base, len(image))
    nor.close()
    return found == image


def _made_or_cut(reader: Inside, said: str) -> None:
    """The page looks twice: at what the factory made, and at a terminal that lost power in mid-rewrite."""
    assert "T-0001" in said, said
    if any("--kill-at" in line for line in reader.typed):
        assert "is in mid-rewrite and needs its file" in said, said
    else:
        assert "runs its image" in said, said
        assert _holds(reader, "app-1.bin")


def _heard(reader: Inside, _said: str) -> None:
    agent = reader.last
    until(lambda: (_told(reader, "T-0001")["heard"] or 0) >= agent.begun or reader.warm.over(agent.pid), "T-0001", 60)
    assert not reader.warm.over(agent.pid), agent.log.read_text()


def _its_token(reader: Inside, said: str) -> None:
    Path(reader.fills["/etc/neurath"], "token").write_text(max(said.split(), key=len))


def _over_tls(reader: Inside, _said: str) -> None:
    """The setup's server is the same one under its own name."""
    words = "neurath serve --tls-cert chain.pem --tls-key key.pem"
    reader.stays(words, "serving at https")


def _status(reader: Inside) -> str:
    return reader.types(f"neurath agent status {SETUP}", None)


def _asks(reader: Inside, _said: str) -> None:
    """Nothing is installed before somebody has said so."""
    until(lambda: "waiting-for-user" in _status(reader), "the recorder waits for somebody", 60)
    assert "recorder 1" in Path(reader.fills["/opt/recorder"], "recorder").read_text()
    called = lambda: "org.neurath.Agent1" in reader.types("busctl list --acquired", None)  # noqa: E731
    until(called, "the agent is on the bus", 60)


def _on_the_bus(_reader: Inside, said: str) -> None:
    (listed,) = json.loads(said)["data"]
    (recorder,) = listed
    assert recorder["component"]["data"] == "recorder", said


def _tonight(reader: Inside, _said: str) -> None:
    assert "(said: tonight)" in _status(reader)


def _switched(reader: Inside, _said: str) -> None:
    """Somebody says now: the file is the new one, its service was restarted from it, and server and terminal say the same."""
    reader.types(f"neurath agent answer recorder now {SETUP}")
    until(lambda: "confirmed" in _status(reader), "the recorder is confirmed", 100)
    new = (reader.folder / "recorder").read_bytes()
    assert Path(reader.fills["/opt/recorder"], "recorder").read_bytes() == new
    assert (reader.folder / "served/health").read_bytes() == new
    assert (reader.folder / "served/restarts").read_text() == "restart recorder\n"
    _confirmed(reader, "G-0001", "recorder", "2")
    reader.ends(next(one for one in reader.staying if SETUP in one.line))
    reader.stays("neurath serve", "serving at")
    reader.types("neurath rollout create --release board/2.0 --all --start")


def _whole_again(reader: Inside, said: str) -> None:
    assert _holds(reader, "app-2.bin"), said
    _confirmed(reader, "T-0001", "firmware", "2.0")


LINUX = Play(
    _terminal,
    codes={"--kill-at": KILLED},
    after={
        "agent status": _made_or_cut,
        "terminal add": _its_token,
        "rollout create": _over_tls,
        "--kill-at": lambda _reader, _said: None,
        "--once": _whole_again,
        "--setup": _asks,
        "agent run": _heard,
        "Status": _on_the_bus,
        "Answer": _tonight,
        "Busy": _switched,
    },
)
