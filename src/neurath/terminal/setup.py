"""What an agent is to be, as people write it (TOML) and as values: server, identity, components, and for each how it is
installed, when it is in use, who is asked. It knows names and bounds; it must never open a file it names, nor a link. The
whole of it: docs/reference/agent.md."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from neurath import toml
from neurath.errors import DataError
from neurath.ids import FIRMWARE, checked_name

INSTALLERS = ("bank", "file", "directory", "deb", "command")
CONSENTS = ("none", "wait", "ask")


@dataclass(frozen=True, slots=True)
class Uses:
    """What has to end before a component is installed: files run, mapped or open, locks held, systemd units active, commands
    that end with 0."""

    paths: tuple[Path, ...] = ()
    locks: tuple[Path, ...] = ()
    units: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.paths or self.locks or self.units or self.commands)


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked, and how long that may take. `consent`: none (install whatever is in use), wait (until it is free), ask (a
    person as well). `window`: seconds of the day from and to. `deadline`: seconds after the first asking at which it is
    installed whatever anybody said; 0: never. `warning`: seconds before it of the last warning."""

    consent: str = "wait"
    window: tuple[int, int] | None = None
    deadline: float = 0.0
    warning: float = 900.0
    again: float = 86400.0


@dataclass(frozen=True, slots=True)
class Ahead:
    """Download before the gate says yes: at once, or when others send and receive less than `below` bytes a second on
    `interface`; `rate` bounds it, bytes a second. 0: no bound."""

    interface: str = ""
    below: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """Commands of the operator, each with `time` seconds at most: before and after the switch, and the health check that
    confirms what is new."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    time: float = 60.0


@dataclass(frozen=True, slots=True)
class Component:
    """One component and how it comes to be what it shall be. `path` is what is replaced; `take`: "present" leaves a component
    that is not there alone, "assigned" installs it too. `install`, `installed` and `back` are the commands of a component
    that another program installs."""

    name: str = str(FIRMWARE)
    installer: str = "bank"
    path: Path = Path()
    model: Path | None = None
    stage: Path | None = None
    take: str = "present"
    mode: int | None = None
    ram: int | None = None
    most: int = 1 << 30
    uses: Uses = field(default_factory=Uses)
    asking: Asking = field(default_factory=Asking)
    ahead: Ahead | None = None
    hooks: Hooks = field(default_factory=Hooks)
    install: tuple[str, ...] = ()
    installed: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class Restart:
    """How this machine is restarted where a component needs it, and who may say no. `components`: what each needs, "always" or
    a file that is there when one is needed; `boot`: a file that says another thing after each start of the machine."""

    command: tuple[str, ...] = ("systemctl", "reboot")
    asking: Asking = field(default_factory=lambda: Asking("ask"))
    uses: Uses = field(default_factory=Uses)
    boot: Path = Path("/proc/sys/kernel/random/boot_id")
    components: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setup:
    """One agent. `state` is the only directory it writes to, beside what it installs. `poll` None: as the server wishes."""

    server: str
    components: tuple[Component, ...]
    id: str = ""
    model: str = ""
    token: str = ""
    tenant: str = "DEFAULT"
    ca: str = ""
    proxy: str = ""
    oscore: bool = False  # messages over CoAP are protected under keys made from the token
    narrow: bool = False  # messages over CoAP carry a tag and no token
    sign: bool = False  # requests over HTTP are signed with the device key, and no token is sent
    state: Path | None = None
    release_keys: tuple[Path, ...] = ()
    ticket_key: Path | None = None
    poll: float | None = None
    push: bool = True
    broker: str = ""  # mqtt://... that brings notices; "": the server's own stream
    once: bool = False
    trickle: float | None = None
    hurry: float = 0.0  # seconds: where room alone holds pieces back, heartbeats may come as often as that; 0: never oftener
    spare: int = 0  # bytes of RAM that no tenant wants, for files that trickle where there is no directory
    heartbeat: str = "http"
    wire: Path | None = None
    trace: Path | None = None
    control: Path | None = None
    control_group: str = ""
    dbus: str = ""  # system, session, or the address of a bus on which the control socket's questions are answered too
    notify: bool = True
    confirm_by_contact: bool = True
    lend: tuple[dict[str, Any], ...] = ()
    restart: Restart | None = None  # None: no component needs one


_DAY = 86400
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": _DAY}


def setup_from_toml(text: str, folder: Path) -> Setup:
    """The agent a TOML file describes; DataError that names the field. Relative paths count from `folder`."""
    try:
        return _setup(toml.parse(text), folder)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        word = f"{fault.args[0]} is missing" if isinstance(fault, KeyError) else str(fault)
        raise not_a_setup(word) from None


def not_a_setup(why: str) -> DataError:
    return DataError("this is not an agent's setup", why, "see docs/reference/agent.md", id="NRT-278")


def _setup(raw: dict[str, Any], folder: Path) -> Setup:
    given = dict(raw)
    listed = [dict(one) for one in given.pop("component")]
    restart = _restart(dict(given.pop("restart", {})), listed, folder)
    parts = tuple(_component(one, folder) for one in listed)
    names = [one.name for one in parts]
    if not names or len(set(names)) != len(names):
        raise ValueError("an agent has at least one component, and no two of one name")
    token_file = given.pop("token_file", None)
    if token_file is not None:
        given["token"] = (folder / token_file).read_text(encoding="utf-8").strip()
    read = _reader(given, folder)
    made = Setup(
        server=str(given.pop("server")),
        components=parts,
        release_keys=tuple(folder / key for key in given.pop("release_keys", ())),
        ticket_key=read("ticket_key", _path(folder)),
        state=read("state", _path(folder)),
        trace=read("trace", _path(folder)),
        control=read("control", _path(folder)),
        wire=read("wire", _path(folder)),
        poll=read("poll", seconds),
        trickle=read("trickle", seconds),
        hurry=read("hurry", seconds) or 0.0,
        confirm_by_contact=given.pop("confirm", "contact") == "contact",
        ca=str(read("ca", _path(folder)) or ""),
        restart=restart,
        lend=tuple(dict(one) for one in given.pop("lend", {}).get("service", ())),
        **_rest(
            given, Setup, "id model token tenant proxy oscore narrow sign push broker heartbeat control_group dbus notify"
        ),
    )
    if made.state is None or (any(one.installer != "bank" for one in parts) and not (made.id and made.model)):
        raise ValueError("state is needed; so are id and model where a component is not a bank")
    if (made.oscore or made.narrow) and not (made.token and made.server.startswith("coap:")):
        raise ValueError("oscore and narrow are for a server at coap://, and for a terminal with a token")
    if made.oscore and made.narrow:
        raise ValueError("oscore or narrow, not both: OSCORE does all that the narrow profile does")
    if made.sign and not (made.server.startswith("http") and len({one.installer == "bank" for one in parts}) == 1):
        raise ValueError("sign is for a server at http:// or https://, and for components that are all banks, or none")
    return made


def _component(raw: dict[str, Any], folder: Path) -> Component:
    read = _reader(raw, folder)
    ahead = None
    download = raw.pop("download", "free")
    if download not in ("free", "ahead", "quiet"):
        raise ValueError("download is free, ahead or quiet")
    if download != "free":
        ahead = Ahead(str(raw.pop("interface", "")), float(raw.pop("below", 0)), float(raw.pop("rate", 0)))
        if (download == "quiet") is not (ahead.below > 0):
            raise ValueError("download = 'quiet' needs below = BYTES_A_SECOND")
    made = Component(
        name=checked_name(str(raw.pop("name")), "component"),
        installer=_one_of(str(raw.pop("installer", "bank")), INSTALLERS, "installer"),
        path=folder / str(raw.pop("path", "")),
        model=read("model", _path(folder)),
        stage=read("stage", _path(folder)),
        root=read("root", _path(folder)),
        take=_one_of(str(raw.pop("take", "present")), ("present", "assigned"), "take"),
        mode=read("mode", lambda text: int(str(text), 8)),
        uses=_uses(raw, folder),
        asking=_asking(raw, read),
        ahead=ahead,
        hooks=Hooks(
            before=words(raw.pop("before", "")),
            after=words(raw.pop("after", "")),
            health=words(raw.pop("health", "")),
            time=seconds(raw.pop("hook_time", 60)),
        ),
        install=words(raw.pop("install", "")),
        installed=words(raw.pop("installed", "")),
        back=words(raw.pop("back", "")),
        **_rest(raw, Component, "ram most"),
    )
    if made.installer == "command" and not made.install:
        raise ValueError("installer = 'command' needs install = 'PROGRAM {file}'")
    if made.installer == "bank" and made.model is None:
        raise ValueError("installer = 'bank' needs model = 'MODEL.toml'")
    return made


def _restart(raw: dict[str, Any], components: list[dict[str, Any]], folder: Path) -> Restart | None:
    """The restart that components need (their word `restart`), None where none does; the word is taken from them."""
    named = {str(one.get("name")): str(one.pop("restart")) for one in components if one.get("restart", "never") != "never"}
    for one in components:
        if one.pop("restart", "never") != "never" or (named and str(one.get("name")) == "restart"):
            raise ValueError("restart is no name for a component where one needs a restart")
        if str(one.get("name")) in named and one.get("installer", "bank") == "bank":
            raise ValueError("a bank restarts by itself: restart is for components that are none")
    read = _reader(raw, folder)
    made = Restart(
        command=words(raw.pop("command", "systemctl reboot")),
        asking=_asking(raw, read, "ask"),
        uses=_uses(raw, folder),
        boot=read("boot", _path(folder)) or Restart().boot,
        components={name: rule if rule == "always" else str(folder / rule) for name, rule in named.items()},
    )
    if raw:
        raise ValueError(f"nobody knows {sorted(raw)[0]!r} of a restart")
    return made if named else None


def _uses(raw: dict[str, Any], folder: Path) -> Uses:
    return Uses(
        paths=tuple(folder / one for one in _list(raw.pop("in_use", ()))),
        locks=tuple(folder / one for one in _list(raw.pop("in_use_lock", ()))),
        units=_list(raw.pop("in_use_unit", ())),
        commands=tuple(words(one) for one in _list(raw.pop("in_use_command", ()))),
    )


def _asking(raw: dict[str, Any], read: Callable[..., Any], consent: str = "wait") -> Asking:
    return Asking(
        consent=_one_of(str(raw.pop("consent", consent)), CONSENTS, "consent"),
        window=read("window", _window),
        deadline=seconds(raw.pop("deadline", 0)),
        warning=seconds(raw.pop("warning", 900)),
        again=seconds(raw.pop("ask_again", _DAY)),
    )


def _reader(raw: dict[str, Any], folder: Path) -> Callable[..., Any]:
    def read(key: str, make: Callable[[Any], Any]) -> Any:
        return make(raw.pop(key)) if key in raw else None

    return read


def _rest(raw: dict[str, Any], kind: type[Setup] | type[Component], names: str) -> dict[str, Any]:
    """What is taken as it is; anything else that is left was misspelt."""
    left = set(raw) - set(names.split())
    if left:
        raise ValueError(f"nobody knows {sorted(left)[0]!r}")
    default = {one.name: one.default for one in fields(kind)}
    for name, value in raw.items():
        expected = type(default[name]) if default[name] is not None else int
        if type(value) is not expected:
            raise ValueError(f"{name} is of type {expected.__name__}")
    return dict(raw)


def _path(folder: Path) -> Callable[[str], Path]:
    return lambda text: folder / text


def _list(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value)  # type: ignore[attr-defined]  # or TypeError


def _one_of(value: str, known: tuple[str, ...], name: str) -> str:
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}")
    return value


def words(value: object) -> tuple[str, ...]:
    """A command as one text or as a list of words."""
    return tuple(shlex.split(value)) if isinstance(value, str) else tuple(str(one) for one in value)  # type: ignore[attr-defined]


def seconds(value: object) -> float:
    """A span of time: a number of seconds, or a text as `15min`, `8h`, `3d`."""
    if isinstance(value, int | float) and value >= 0:
        return float(value)
    text = str(value)
    for unit in sorted(_UNITS, key=len, reverse=True):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * _UNITS[unit]
    raise ValueError(f"{text!r} is no span of time: 90, '15min', '8h', '3d'")


def _window(text: str) -> tuple[int, int]:
    """`02:00-04:30` as seconds of the day; it may span midnight."""
    found = []
    for part in str(text).split("-"):
        hour, _, minute = part.strip().partition(":")
        if not (hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
            raise ValueError(f"window is HH:MM-HH:MM, not {text!r}")
        found.append(int(hour) * 3600 + int(minute) * 60)
    if len(found) != 2 or found[0] == found[1]:
        raise ValueError(f"window is HH:MM-HH:MM, not {text!r}")
    return found[0], found[1]
