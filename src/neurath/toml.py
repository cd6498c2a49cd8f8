"""TOML documents as plain values: tables, lists, texts, numbers, truths. It knows where to read them so that little stays in
memory; it must never know what one is about."""

from __future__ import annotations

import importlib
import marshal
import os
import threading
from typing import Any


def parse(text: str) -> dict[str, Any]:
    """The document; ValueError where it is none, or has a date. Where this process has no other threads a child of it reads:
    the library's reader, with dates and their arithmetic, ends with that (docs/decisions/0270)."""
    if threading.active_count() > 1:
        return _read(text)
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        with open(mouth, "wb") as out:
            out.write(_answer(text))
        os._exit(0)
    os.close(mouth)
    with open(ear, "rb") as heard:
        said = heard.read()
    os.waitpid(child, 0)
    # Our own child wrote it, a line above.
    found = marshal.loads(said) if said else "the process that read it ended"  # nosec B302
    if isinstance(found, str):
        raise ValueError(found)
    return dict(found)


def _answer(text: str) -> bytes:
    """In the child: the document, or a text that says why there is none. Nothing may come out of here but an answer."""
    try:
        return marshal.dumps(_read(text))
    except ValueError as fault:
        return marshal.dumps(str(fault))
    except BaseException as fault:
        return marshal.dumps(f"{type(fault).__name__}: {fault}")


def _read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = importlib.import_module("tomllib").loads(text)
    try:
        marshal.dumps(found)
    except ValueError:
        raise ValueError("a date stands where none has a meaning") from None
    return found
