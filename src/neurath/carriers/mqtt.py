"""One connection to an MQTT broker (version 5), kept up by itself, for terminals and servers alike: heartbeats ride on it, and
notices are sent over it. It knows topics, and who may write where; it must never know what a payload means, nor lose its
subscriptions when the broker comes back. Spec: docs/spec/mqtt.md."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from neurath.carriers import tls
from neurath.errors import RefusedError, UsageError

PORT, SECURE_PORT = 1883, 8883
#: First level of every topic of ours.
ROOT = "neurath"
#: Last levels: what a terminal writes, what it reads, what wakes it.
HEARTBEAT, ANSWER, NOTICE = "heartbeat", "answer", "notice"
#: Seconds until a lost broker is tried again, at first and at most.
AGAIN, AGAIN_AT_MOST = 0.2, 60
KEEP_ALIVE = 60
#: Correlation data has at most so many bytes.
MAX_CORRELATION = 64
#: The broker took a message and nobody listens to its topic (MQTT 5.0, 3.4.2.1).
NOBODY = 0x10
_REFUSALS = frozenset({"Bad user name or password", "Not authorized", "Banned"})


def topic(tenant: str, terminal: str, leaf: str) -> str:
    """`neurath/TENANT/ID/LEAF`: ids have no slash and no wildcard."""
    return f"{ROOT}/{tenant}/{terminal}/{leaf}"


def who(name: str, leaf: str) -> tuple[str, str] | None:
    """(tenant, terminal) that a topic with this leaf names; None for any other topic."""
    levels = name.split("/")
    if len(levels) != 4 or (levels[0], levels[3]) != (ROOT, leaf) or not (levels[1] and levels[2]):
        return None
    return levels[1], levels[2]


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and as whom it is spoken to."""

    host: str
    port: int = PORT
    user: str = ""
    password: str = field(default="", repr=False)
    secure: bool = False
    ca: str = ""  # a file of certificates that vouch for it; "": those of the system
    signed_at: Callable[[], float] = tls.never  # when the list of keys was signed that a terminal goes by

    @property
    def place(self) -> str:
        return f"{'mqtts' if self.secure else 'mqtt'}://{self.host}:{self.port}"


def broker(text: str, user: str = "", password: str = "") -> Broker:
    """The broker at `mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT]`; a user in the text comes before the one given."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/"):
        raise UsageError(f"{text!r} is no broker", "mqtt://[USER:PASSWORD@]HOST[:PORT] is", "mqtt://127.0.0.1:1883")
    secure = parts.scheme == "mqtts"
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
    return Broker(parts.hostname, port or (SECURE_PORT if secure else PORT), user, password, secure)


@dataclass(frozen=True, slots=True)
class Heard:
    """One message: its topic and payload, where it wants its answer, and by what the answer is known."""

    topic: str
    payload: bytes
    answer_to: str = ""
    correlation: bytes = b""


class Connection:
    """A link to a broker in a thread of its own. Taken up again whenever it is lost, with its subscriptions; what is published
    meanwhile is refused, not kept. `heard` is called in that thread and must not wait; so are `on_up`, each time the link is
    there (again), and `on_taken`, with a message's number and whether the broker handed it to a subscriber. Both are set
    before open()."""

    def __init__(
        self,
        to: Broker,
        name: str,
        subscriptions: Sequence[str] = (),
        heard: Callable[[Heard], None] | None = None,
        *,
        opened: bool = True,
    ) -> None:
        self.broker = to
        self.on_up: Callable[[], None] = lambda: None
        self.on_taken: Callable[[int, bool], None] = lambda _number, _handed: None
        self.up = threading.Event()
        #: Why the broker said no, "" while it has not.
        self.refusal = ""
        self._subscriptions = tuple(subscriptions)
        self._heard = heard
        self._client = client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        if to.user:
            client.username_pw_set(to.user, to.password or None)
        if to.secure:
            context = tls.trust(to.ca, to.signed_at())
            client.tls_set_context(context)
            # A clock may be set meanwhile, a newer list be taken.
            client.on_pre_connect = lambda *_: tls.ask_dates(context, to.signed_at())
        # Not all at the same moment, when a broker comes back.
        client.reconnect_delay_set(AGAIN * (0.5 + random.random()), AGAIN_AT_MOST)  # type: ignore[arg-type]  # fractions work
        client.on_connect = self._connected
        client.on_disconnect = self._lost
        client.on_subscribe = self._subscribed
        client.on_message = self._message
        client.on_publish = self._published
        if opened:
            self.open()

    def open(self) -> None:
        """Begins to connect, and never stops until closed."""
        self._client.connect_async(self.broker.host, self.broker.port, KEEP_ALIVE)
        self._client.loop_start()

    def publish(self, message: Heard, qos: int = 0) -> bool:
        """Sends a message; False where there is no broker just now."""
        return self.send(message, qos) is not None

    def send(self, message: Heard, qos: int = 0) -> int | None:
        """Sends a message; its number, None where there is no broker just now."""
        if not self.up.is_set():
            return None
        properties = None
        if message.answer_to or message.correlation:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if message.answer_to:
                properties.ResponseTopic = message.answer_to
            if message.correlation:
                properties.CorrelationData = message.correlation
        done = self._client.publish(message.topic, message.payload, qos, properties=properties)
        return done.mid if done.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def demand(self) -> None:
        """RefusedError where the broker does not let this user in."""
        if self.refusal:
            hint = "docs/how-to/mqtt.md says which users and topics the broker must know"
            raise RefusedError("the broker does not let us in", f"{self.broker.place}: {self.refusal}", hint, id="NRT-348")

    def close(self) -> None:
        self.up.clear()
        with contextlib.suppress(ValueError, RuntimeError):
            self._client.disconnect()
        self._client.loop_stop()

    # ---- called by the client's thread

    def _connected(self, client: Client, _data: object, _flags: ConnectFlags, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            self.refusal = str(reason) if str(reason) in _REFUSALS else ""
            return
        self.refusal = ""
        if not self._subscriptions:
            self.up.set()
            self.on_up()
            return
        client.subscribe([(one, SubscribeOptions(qos=1)) for one in self._subscriptions])

    def _subscribed(self, _c: Client, _data: object, _mid: int, reasons: list[ReasonCode], _p: object) -> None:
        bad = [str(reason) for reason in reasons if reason.is_failure]
        if bad:
            self.refusal = bad[0]
            return
        self.up.set()
        self.on_up()

    def _published(self, _c: Client, _data: object, mid: int, reason: ReasonCode, _p: object) -> None:
        self.on_taken(mid, not reason.is_failure and reason.value != NOBODY)

    def _lost(self, _c: Client, _data: object, _flags: DisconnectFlags, _reason: ReasonCode, _p: object) -> None:
        self.up.clear()

    def _message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if self._heard is None:
            return
        properties = message.properties
        answer_to = getattr(properties, "ResponseTopic", "") if properties else ""
        correlation = getattr(properties, "CorrelationData", b"") if properties else b""
        self._heard(Heard(message.topic, bytes(message.payload), str(answer_to), bytes(correlation)))
