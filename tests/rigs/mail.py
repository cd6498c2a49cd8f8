"""A real SMTP server (aiosmtpd) on loopback that asks who sends, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult


@dataclass
class Box:
    """What arrived."""

    port: int = 0
    got: list[Any] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.got.append(envelope)
        return "250 taken"


@contextlib.contextmanager
def running(name: str, password: str) -> Iterator[Box]:
    """It takes mail of whoever gives this name and password."""
    box, loop = Box(), asyncio.new_event_loop()

    def known(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == (name.encode(), password.encode()))

    def made() -> SMTP:
        return SMTP(box, authenticator=known, auth_require_tls=False, auth_required=True, loop=loop)

    server = loop.run_until_complete(loop.create_server(made, "127.0.0.1", 0))
    box.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
