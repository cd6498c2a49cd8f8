"""Keys: whose signature counts for which model, and what this server signs tickets with. It shows fingerprints of public
halves; it must never touch a private one."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from neurath.console.frame import Frame
from neurath.console.sheet import Sheet
from neurath.server.delivery.tickets import PUBLIC_FILE
from neurath.server.software.models import list_models, model_keys
from neurath.units import UnixTime
from neurath.wire import keys


@dataclass(frozen=True, slots=True)
class Keys:
    """(model, fingerprints of its release keys) and the fingerprint of the ticket key ("": none was made yet)."""

    models: list[tuple[str, list[str]]]
    ticket: str


def keys_routes(frame: Frame) -> list[BaseRoute]:
    """`/keys` and its twin."""
    store = frame.desk.store

    def read(_request: Request, _now: UnixTime) -> Keys:
        with store.read() as db:
            found = [(name, [_print(pem) for pem in model_keys(db, name)]) for name in list_models(db)]
        shown = store.directory / PUBLIC_FILE
        return Keys(found, _print(shown.read_bytes()) if shown.exists() else "")

    return frame.both(("/keys", "keys.html"), read, _shown)


def _print(pem: bytes) -> str:
    return keys.fingerprint(keys.public_from_pem(pem))


def _shown(seen: Keys, sheet: Sheet) -> dict[str, object]:
    return {"title": sheet.t("Keys"), "section": "/people", "seen": seen}
