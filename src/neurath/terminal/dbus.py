"""The control socket's questions over D-Bus, for desktops and for programs that speak it already. It knows a bus and which
method is which question; it must never know an answer of its own, and an agent without a bus works as it did. Needs the extra
`agent`. Spec: docs/spec/dbus.md."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from dbus_fast import BusType, Message, MessageType, RequestNameReply, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from neurath.errors import NeurathError, UsageError
from neurath.terminal.control import Ask

NAME = INTERFACE = "org.neurath.Agent1"
PATH = "/org/neurath/Agent1"
#: A bus that is not there is looked for again after so many seconds.
AGAIN = 30.0
#: Longest line of signals that waits for a bus that does not take them.
MOST = 256

#: method -> (signature of what comes in, signature of what goes out, words of the request, in the order they come in)
METHODS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "Status": ("", "aa{sv}", "status", ()),
    "Answer": ("ss", "", "answer", ("component", "answer")),
    "Remind": ("s", "", "remind", ("component",)),
    "Busy": ("ssd", "", "busy", ("component", "why", "for")),
    "Free": ("s", "", "free", ("component",)),
    "Check": ("", "", "check", ()),
}
_ARGUMENTS = {"for": "seconds"}
#: event -> (signal, its signature, the words it carries); every other event is the signal Event.
SIGNALS = {
    "prompt": ("Prompt", "sssssd", ("word", "component", "version", "text", "reason", "deadline")),
}


def introspection() -> str:
    """What the object says of itself (org.freedesktop.DBus.Introspectable)."""
    lines = ["<node>", f'  <interface name="{INTERFACE}">']
    for name, (taken, given, _, words) in METHODS.items():
        arguments = [
            f'<arg name="{_ARGUMENTS.get(w, w)}" type="{t}" direction="in"/>' for w, t in zip(words, taken, strict=True)
        ]
        arguments += [f'<arg name="components" type="{given}" direction="out"/>'] if given else []
        lines.append(f'    <method name="{name}">{"".join(arguments)}</method>')
    for name, taken, words in SIGNALS.values():
        arguments = [f'<arg name="{w}" type="{t}"/>' for w, t in zip(words, taken, strict=True)]
        lines.append(f'    <signal name="{name}">{"".join(arguments)}</signal>')
    lines.append('    <signal name="Event"><arg name="kind" type="s"/><arg name="words" type="a{sv}"/></signal>')
    return "\n".join([*lines, "  </interface>", "</node>", ""])


class Facade:
    """Serves the object on a bus in a thread of its own; `gone(who)` is called when a program that held something has left the
    bus. `spec`: system, session, or the address of a bus."""

    def __init__(
        self, spec: str, ask: Ask, gone: Callable[[str], None], note: Callable[[str], None] = lambda text: None
    ) -> None:
        self._spec = spec
        self._ask = ask
        self._gone = gone
        self._note = note
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._bus: MessageBus | None = None
        self._waiting = 0
        self._held: set[str] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def tell(self, event: Mapping[str, object]) -> None:
        """Says something to everybody on the bus; with no bus, or one that takes nothing, it is not said."""
        if self._bus is None or self._waiting > MOST:
            return
        self._waiting += 1
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            self._loop.call_soon_threadsafe(self._say, dict(event))

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._for_ever())
        finally:
            self._loop.close()

    async def _for_ever(self) -> None:
        said = ""
        while not self._ended.is_set():
            try:
                await self._serve()
                why = "the bus went away"
            except (OSError, DBusError, ValueError, EOFError) as fault:
                why = str(fault) or type(fault).__name__
            self._bus = None
            for who in [*self._held]:
                self._left(who)
            if why != said and not self._ended.is_set():
                said = why
                self._note(why)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), AGAIN)

    async def _serve(self) -> None:
        bus = await self._connected()
        try:
            bus.add_message_handler(self._hear)
            await bus.call(_match("member='NameOwnerChanged',arg2=''"))
            if await bus.request_name(NAME) not in (RequestNameReply.PRIMARY_OWNER, RequestNameReply.ALREADY_OWNER):
                raise OSError(f"another program has the name {NAME}")
            self._bus = bus
            ended = asyncio.ensure_future(self._ended.wait())
            left = asyncio.ensure_future(_gone(bus))
            await asyncio.wait({ended, left}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
        finally:
            bus.disconnect()

    async def _connected(self) -> MessageBus:
        if self._spec == "system":
            return await MessageBus(bus_type=BusType.SYSTEM).connect()
        address = os.environ.get("DBUS_SESSION_BUS_ADDRESS", "") if self._spec == "session" else self._spec
        if not address:
            raise OSError("there is no session bus")
        return await MessageBus(bus_address=address).connect()

    # ---- what is heard and said ---------------------------------------------------------------------------------------

    def _hear(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            if message.sender == "org.freedesktop.DBus" and message.body and message.body[0] in self._held:
                self._left(message.body[0])
            return None
        if message.message_type is not MessageType.METHOD_CALL or message.path != PATH:
            return None
        if message.interface == "org.freedesktop.DBus.Introspectable" and message.member == "Introspect":
            return Message.new_method_return(message, "s", [introspection()])
        if message.interface != INTERFACE:
            return None
        return self._answer(message)

    def _answer(self, message: Message) -> Message:
        known = METHODS.get(message.member or "")
        if known is None:
            return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", f"no method {message.member}")
        taken, given, do, words = known
        if message.signature != taken:
            why = f"{message.member} takes {taken!r}, not {message.signature!r}"
            return Message.new_error(message, "org.freedesktop.DBus.Error.InvalidArgs", why)
        request = {"do": do} | dict(zip(words, message.body, strict=True))
        if request.get("for") == 0:
            del request["for"]
        who = str(message.sender)
        try:
            found = self._ask(who, request)
        except NeurathError as fault:
            name = f"org.neurath.Error.{fault.id.replace('-', '')}"
            return Message.new_error(message, name, "; ".join(filter(None, (fault.what, fault.why, fault.hint))))
        if do == "busy":
            self._held.add(who)
        if not given:
            return Message.new_method_return(message)
        return Message.new_method_return(message, given, [[_variants(one) for one in _components(found)]])

    def _left(self, who: str) -> None:
        self._held.discard(who)
        self._gone(who)

    def _say(self, event: Mapping[str, object]) -> None:
        self._waiting -= 1
        if self._bus is None:
            return
        words = dict(event)
        kind = str(words.pop("event", ""))
        if kind in SIGNALS:
            name, signature, order = SIGNALS[kind]
            body: list[Any] = [_plain(words.get(word, "")) for word in order]
        else:
            name, signature, body = "Event", "sa{sv}", [kind, _variants(words)]
        with contextlib.suppress(OSError, ValueError):
            self._bus.send(Message.new_signal(PATH, INTERFACE, name, signature, body))


async def _gone(bus: MessageBus) -> None:
    with contextlib.suppress(OSError, EOFError):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # it is a coroutine without a word about it


def _match(rule: str) -> Message:
    text = f"type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',{rule}"
    call = {"destination": "org.freedesktop.DBus", "path": "/org/freedesktop/DBus", "interface": "org.freedesktop.DBus"}
    return Message(**call, member="AddMatch", signature="s", body=[text])  # type: ignore[arg-type]  # a str each


def _components(found: Mapping[str, object]) -> list[Mapping[str, object]]:
    """What status lists, the restart of the machine last where one is wanted."""
    listed, restart = found.get("components"), found.get("restart")
    shown = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    if isinstance(restart, Mapping):
        wanted = ", ".join(sorted(restart.get("wanted", ())))
        shown.append({"component": "restart", **restart, "wanted": wanted})
    return shown


def _variants(words: Mapping[str, object]) -> dict[str, Variant]:
    return {name: _variant(value) for name, value in words.items() if value is not None}


def _variant(value: object) -> Variant:
    match _plain(value):
        case bool(flag):
            return Variant("b", flag)
        case int(number):
            return Variant("x", number) if -(2**63) <= number < 2**63 else Variant("d", float(number))
        case float(number):
            return Variant("d", number)
        case text:
            return Variant("s", str(text))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, bool | int | float | str) else str(value)


def facade(spec: str, ask: Ask, gone: Callable[[str], None], note: Callable[[str], None]) -> Facade:
    """The facade `spec` asks for; UsageError for what is no bus."""
    if spec not in ("system", "session") and ":" not in spec:
        raise UsageError(f"{spec!r} is no bus", "system, session, or an address as unix:path=/run/bus", "dbus in the setup")
    return Facade(spec, ask, gone, note)
