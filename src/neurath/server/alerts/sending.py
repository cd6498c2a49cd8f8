"""Events as messages: a signed request to a webhook, a mail, alerts of Alertmanager's second interface. It knows the three
forms (docs/spec/alerts.md); it must never decide what is sent, nor try twice."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import asdict
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from neurath.errors import LinkError
from neurath.server.alerts.channels import Channel
from neurath.server.alerts.journal import Event
from neurath.server.proxy import is_loopback

#: Seconds that the other side has for an answer.
TIMEOUT = 10.0
#: Lines of one mail.
LINES = 100
#: An Alertmanager is told of what stands again and again, and takes it for over when it was not told for so long, seconds.
LASTS = 300.0
FORM = 1


def send(channel: Channel, events: Sequence[Event], now: float) -> None:
    """One message with these events; on return the other side has it. LinkError."""
    try:
        match channel.kind:
            case "webhook":
                _webhook(channel, events, now)
            case "mail":
                _mail(channel, events, now)
            case _:
                _alertmanager(channel, events, now)
    except (OSError, smtplib.SMTPException, ValueError) as fault:
        raise _away(channel, str(fault) or type(fault).__name__) from None


def signature(secret: str, body: bytes, at: int) -> str:
    """What a webhook's receiver compares: HMAC-SHA256 over the moment, a dot and the body, under the channel's secret."""
    return f"t={at},v1={hmac.digest(secret.encode(), b'%d.' % at + body, hashlib.sha256).hex()}"


def _webhook(channel: Channel, events: Sequence[Event], now: float) -> None:
    body = json.dumps({"form": FORM, "channel": channel.name, "alerts": [asdict(one) for one in events]}).encode()
    _post(channel, channel.url, body, {"Neurath-Signature": signature(channel.secret, body, int(now))})


def _alertmanager(channel: Channel, events: Sequence[Event], now: float) -> None:
    said = [_alert(one, now) for one in events]
    _post(channel, channel.url.rstrip("/") + "/api/v2/alerts", json.dumps(said).encode(), {})


def _alert(one: Event, now: float) -> dict[str, object]:
    labels = {"alertname": f"neurath_{one.cause}", "cause": one.cause, "subject": one.subject}
    ends = one.at if one.over else now + LASTS
    said: dict[str, object] = {"labels": labels, "annotations": {"summary": one.text}, "endsAt": _iso(ends)}
    return said if one.over else said | {"startsAt": _iso(one.at)}


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds")


def _post(channel: Channel, url: str, body: bytes, headers: dict[str, str]) -> None:
    import httpx

    given = headers | {"Content-Type": "application/json", "User-Agent": "neurath"}
    here = is_loopback(urlsplit(url).hostname or "")
    try:
        with httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=not here) as client:
            answer = client.post(url, content=body, headers=given)
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise _away(channel, str(fault) or type(fault).__name__) from None
    if not answer.is_success:
        raise _away(channel, f"it answered {answer.status_code}: {answer.text[:200]}")


def _mail(channel: Channel, events: Sequence[Event], now: float) -> None:
    place = urlsplit(channel.url)
    message = _message(channel, events, now)
    host, safe = place.hostname or "", ssl.create_default_context()
    if place.scheme == "smtps":
        link: smtplib.SMTP = smtplib.SMTP_SSL(host, place.port or 465, timeout=TIMEOUT, context=safe)
    else:
        link = smtplib.SMTP(host, place.port or 25, timeout=TIMEOUT)
    with link:
        link.ehlo()
        if place.scheme == "smtp" and link.has_extn("starttls"):
            link.starttls(context=safe)
            link.ehlo()
        elif place.scheme == "smtp" and place.username and not is_loopback(host):
            raise _away(channel, "it offers no TLS, and a password is not sent without")
        if place.username:
            link.login(unquote(place.username), channel.secret)
        link.send_message(message)


def _message(channel: Channel, events: Sequence[Event], now: float) -> EmailMessage:
    made = EmailMessage()
    fresh = [one for one in events if not one.over]
    first = (fresh or list(events))[0]
    more = f" (and {len(events) - 1} more)" if len(events) > 1 else ""
    made["Subject"] = f"[neurath] {'over: ' if first.over else ''}{' '.join(first.text.split())[:150]}{more}"
    made["From"], made["To"] = channel.sender, ", ".join(channel.to)
    made["Date"], made["Message-ID"] = formatdate(now), make_msgid(domain=channel.sender.rpartition("@")[2])
    lines = [f"{_iso(one.at)[:19]}Z  {'over: ' if one.over else ''}{one.text}" for one in events[:LINES]]
    lines += [f"... and {len(events) - LINES:,} more"] if len(events) > LINES else []
    made.set_content("\n".join(lines) + "\n")
    return made


def _away(channel: Channel, why: str) -> LinkError:
    return LinkError(f"channel {channel.name} cannot be reached", why, f"neurath alert test {channel.name}", id="NRT-356")
