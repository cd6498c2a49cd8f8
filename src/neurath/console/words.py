"""The console's words in English and Japanese, and how numbers and times are written. English is the key; a word without a
translation stays English. It must never see a request or a store."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from neurath.console.japanese import JAPANESE
from neurath.server.fleet.figures import Line

LANGUAGES = ("en", "ja")
Speak = Callable[..., str]


def speaker(language: str) -> Speak:
    """`t("{n} failed", n=2)` in the language."""

    def speak(text: str, **values: object) -> str:
        said = JAPANESE.get(text, text) if language == "ja" else text
        return said.format(**values) if values else said

    return speak


def choose(asked: str, kept: str, accepted: str) -> str:
    """The language of a page: asked for in the address, else kept in the cookie, else what the browser accepts most."""
    for word in (asked, kept):
        if word in LANGUAGES:
            return word
    ranked = []
    for place, part in enumerate(accepted.lower()[:200].split(",")):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            weight = 0.0
        if tag[:2] in LANGUAGES:
            ranked.append((-weight, place, tag[:2]))
    return min(ranked)[2] if ranked else "en"


def amount(count: float) -> str:
    """Bytes for people: 512 B, 12.4 KiB, 1.5 MiB."""
    if count < 1024:
        return f"{int(count)} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}" if count < 100 else f"{count:.0f} {unit}"
    return f"{count / 1024:.1f} TiB"


def span(seconds: float, t: Speak) -> str:
    """A length of time in one unit: 24 s, 3 min, 5 h, 12 days."""
    whole = max(0, round(seconds))
    if whole < 100:
        return t("{n} s", n=whole)
    if whole < 5700:
        return t("{n} min", n=round(whole / 60))
    if whole < 172800:
        return t("{n} h", n=round(whole / 3600))
    return t("{n} days", n=round(whole / 86400))


def ago(then: float | None, now: float, t: Speak) -> str:
    """`heard n ago`, in words."""
    if then is None:
        return t("never")
    if now - then < 2:
        return t("just now")
    return t("{span} ago", span=span(now - then, t))


def moment(then: float | None) -> str:
    """A moment as ISO 8601, UTC, seconds."""
    if then is None:
        return ""
    return datetime.datetime.fromtimestamp(then, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(then: float | None, now: float, t: Speak) -> str:
    """A day to come: today, tomorrow, or its date (UTC); "" where it cannot be told."""
    if then is None:
        return ""
    days = int(then // 86400) - int(now // 86400)
    return t("today") if days <= 0 else t("tomorrow") if days == 1 else moment(then)[:10]


def because(line: Line, t: Speak) -> str:
    """Why the newest offer is a delta or the full image (rule A5), from what the rule went by; "" when there is no more to
    say."""
    basis = line.basis
    if line.kind == "full":
        if not basis.based:
            return t("what its bank held is not known here")
        return t(
            "arrives in {span}, the limit is {limit}", span=span(line.size / (basis.speed or 1), t), limit=span(basis.limit, t)
        )
    if line.kind != "delta":
        return ""
    if not basis.speed:
        return t("the speed of its link is not known")
    needed = (basis.full or line.whole) / basis.speed
    if needed > basis.limit:
        return t("the full image would take {span}, the limit is {limit}", span=span(needed, t), limit=span(basis.limit, t))
    return t("the full image would arrive in time, but does not fit what it lends")
