"""Transfer tickets: made and signed by the server with a key of its own. It knows the ticket key; it can sign no release, and
a stolen one costs air time, nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from neurath.ids import TerminalId
from neurath.server.fleet.actions import Action
from neurath.server.software.catalog import Release
from neurath.wire import keys, ticket
from neurath.wire.keys import Alg, SigningKey

KEY_FILE = "ticket.pem"
#: What a factory puts into birth records.
PUBLIC_FILE = "ticket.pub.pem"
BLOCK = 4096


@dataclass(frozen=True, slots=True)
class For:
    """Whom a ticket is for: terminal, its nonce, the serial, and the version of the key list it goes by."""

    terminal: TerminalId
    nonce: bytes
    serial: int
    key_list: int = 0


def load_key(directory: Path) -> SigningKey:
    """The server's ticket key, made at the first start; its public half lies beside it."""
    path = directory / KEY_FILE
    if not path.exists():
        # Whole or not at all: another process may be at the same place.
        draft = directory / f".{KEY_FILE}.{secrets.token_hex(4)}"
        keys.write_private(draft, keys.create(Alg.ES256))  # what bare terminals verify
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    key = keys.load_private(path)
    shown = directory / PUBLIC_FILE
    if not shown.exists():
        part = directory / f".{PUBLIC_FILE}.{secrets.token_hex(4)}"
        part.write_bytes(keys.public_pem(key.public))
        part.replace(shown)
    return key


def issue(key: SigningKey, to: For, action: Action, release: Release, blocks: bytes) -> bytes:
    """The signed ticket for an action's file."""
    return ticket.sign(
        ticket.Ticket(
            device=ticket.device_of(to.terminal),
            nonce=to.nonce,
            serial=to.serial,
            kind=ticket.DELTA if action.kind == "delta" else ticket.FULL,
            envelope=bytes.fromhex(release.envelope_digest)[:16],
            file=bytes.fromhex(action.file)[:16],
            file_size=action.size,
            base=bytes.fromhex(action.base)[:16] if action.kind == "delta" else b"",
            blocks=hashlib.sha256(blocks).digest()[:16],
            key_list=to.key_list,
        ),
        key,
    )


@lru_cache(maxsize=256)
def block_hashes(path: Path) -> bytes:
    """16 bytes of SHA-256 for each 4 KiB of an immutable file."""
    with path.open("rb") as source:
        return b"".join(hashlib.sha256(block).digest()[:16] for block in iter(lambda: source.read(BLOCK), b""))
