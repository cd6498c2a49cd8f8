"""Who is believed over TLS, and when: contexts for every carrier of a terminal. It knows authorities and the dates of
certificates; it must never believe one without the former, nor ask a clock that is behind what it knows to be past: when this
software was made, and when the keys were signed that a terminal goes by (docs/decisions/0233, 0432)."""

from __future__ import annotations

import functools
import os
import re
import ssl
import time

from neurath.errors import UsageError
from neurath.units import EARLIEST

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
#: A date as OpenSSL writes it (ASN1_TIME_print).
_DATE = re.compile(r"([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d{4})(?: GMT)?")
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME (OpenSSL, x509_vfy.h)


def never() -> float:
    """When the list of keys was signed, where there is none."""
    return 0.0


def trust(ca: str, since: float = 0.0) -> ssl.SSLContext:
    """Believes the authorities in this file, "": those of the system. It is not earlier than EARLIEST, nor than `since`,
    whatever the clock says. With a clock that is behind no date of a chain is looked at, but for one: the other side's own
    certificate must not have ended before then."""
    try:
        made = ssl.create_default_context(cafile=ca or None, capath=None if ca else _one_by_one())
    except (OSError, ssl.SSLError) as fault:
        raise UsageError(f"{ca} holds no certificates", str(fault), "--ca FILE.pem") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    ask_dates(made, since)
    return made


def ask_dates(context: ssl.SSLContext, since: float = 0.0) -> None:
    """Whether dates are asked for, by the clock of this moment: before each connection of a context that is kept."""
    flag = ssl.VerifyFlags(_NO_CHECK_TIME)
    behind = time.time() < max(EARLIEST, since)
    context.verify_flags = context.verify_flags | flag if behind else context.verify_flags & ~flag
    context.sslsocket_class = _dated(since)


def trusted(ca: str, since: float = 0.0) -> ssl.SSLContext:
    """One context for all connections of this process that believe the same, with the clock as it is now."""
    made = _kept(ca, since)
    ask_dates(made, since)
    return made


@functools.lru_cache(maxsize=4)  # of one terminal there are two at the most: before and after a list of keys was taken
def _kept(ca: str, since: float) -> ssl.SSLContext:
    return trust(ca, since)


@functools.lru_cache(maxsize=4)
def _dated(since: float) -> type[ssl.SSLSocket]:
    """Made with the first context: an agent without TLS has not loaded it."""

    class Dated(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            ends = str((self.getpeercert() or {}).get("notAfter", ""))
            if ends and ended(ends, since):
                when = "this software was made" if ended(ends) else "the list of keys held here was signed"
                raise ssl.SSLError(f"the server's certificate ended before {when}: {ends}")

    return Dated


def ended(text: str, since: float = 0.0) -> bool:
    """Whether a certificate that ends then ("Nov  1 00:00:00 2026 GMT") ended before EARLIEST or `since`, or nobody can tell.
    The library's reader of such texts loads four modules, and they stay: half a megabyte (docs/decisions/0350)."""
    found = _DATE.fullmatch(text)
    if found is None or found[1] not in _MONTHS:
        return True
    month, day, hour, minute, second, year = found.groups()
    parts = (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    return parts < time.gmtime(max(EARLIEST, since))[:6]


def _one_by_one() -> str | None:
    """The directory in which OpenSSL finds the system's authorities by name, where the file of all of them lies in it (Debian
    makes both from one list): read whole it would stay in memory, 2 MB of it. None: as OpenSSL does it."""
    paths = ssl.get_default_verify_paths()
    if os.environ.get(paths.openssl_cafile_env) or not (paths.cafile and paths.capath):
        return None
    bundled = os.path.dirname(os.path.realpath(paths.cafile)) == os.path.realpath(paths.capath)
    return paths.capath if bundled and any(name.endswith(".0") for name in os.listdir(paths.capath)) else None
