"""A terminal's requests signed with its device key: numbers under the server's word, so that none is taken twice. It knows one
key and one word, in memory alone; it must never go by a clock, nor be loaded where nobody signs. Spec: docs/spec/links.md."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

from neurath.wire import httpsig, keys
from neurath.wire.httpsig import Fresh, Message
from neurath.wire.keys import SigningKey

_open: dict[bytes, Signing] = {}
_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class Headers:
    """What signs one request, and under which word."""

    fields: dict[str, str]
    epoch: str


class Signing:
    """One device key, of either algorithm. All links of one terminal share it: its numbers are one row."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._id = keys.fingerprint(self._key.public)[:32]
        self._epoch, self._number = httpsig.NONE, 0
        self._lock = threading.Lock()

    def headers(self, method: str, target: str, body: bytes | None) -> Headers:
        """Those of one request, signed under the next number."""
        with self._lock:
            self._number += 1
            fresh = Fresh(self._epoch, self._number)
        url = urlsplit(target)
        message = Message(method, url.path, url.query, body or b"", {})
        return Headers(httpsig.headers(message, self._id, self._key.alg, fresh, self._key.sign), fresh.epoch)

    def again(self, used: str, asked: str) -> bool:
        """Whether a request that was signed under one word is to be signed again: the server asked for another, or somebody
        here has learnt a newer one since."""
        epoch = httpsig.asked(asked)
        if not epoch:
            return False
        with self._lock:
            if self._epoch == used:
                self._epoch, self._number = epoch, 0
        return True


def signing(seed: bytes) -> Signing:
    """That of this seed, the same for all who ask."""
    with _guard:
        found = _open.get(seed)
        if found is None:
            found = _open[seed] = Signing(keys.from_seed(seed))
        return found
