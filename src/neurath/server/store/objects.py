"""An S3-compatible object store that all servers share. It knows addresses and streams; it must never hold a whole object in
memory, nor take an object for what its name says: whoever asked compares."""

from __future__ import annotations

import datetime
import urllib.parse
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from neurath.errors import LinkError, UsageError

#: Parts of an upload and of a download, bytes.
PART = 8 << 20
_HINT = "--store s3://BUCKET[/PREFIX][?endpoint=http://HOST:PORT&region=R], keys in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"


class Objects:
    """One bucket, or a part of it, at `s3://BUCKET/PREFIX?endpoint=...&region=...`; keys come from the environment, as
    everywhere."""

    def __init__(self, url: str) -> None:
        found = urllib.parse.urlsplit(url)
        asked = dict(urllib.parse.parse_qsl(found.query))
        if found.scheme != "s3" or not found.hostname or asked.keys() - {"endpoint", "region"}:
            raise UsageError("this is no object store", f"{url[:80]!r}", _HINT)
        endpoint = asked.get("endpoint", "")
        given = {"endpoint": endpoint} if endpoint else {}
        self._store = S3Store(
            found.hostname,
            prefix=found.path.strip("/") or None,
            region=asked.get("region", "us-east-1"),
            client_options={"allow_http": endpoint.startswith("http:"), "connect_timeout": "5s", "timeout": "300s"},
            retry_config={"max_retries": 3, "retry_timeout": datetime.timedelta(seconds=20)},
            **given,  # type: ignore[arg-type]  # one of its many options
        )

    def put(self, name: str, file: Path) -> None:
        try:
            if self._size(name) != file.stat().st_size:
                obstore.put(self._store, _place(name), file, use_multipart=True, chunk_size=PART, max_concurrency=2)
        except BaseError as fault:
            raise _away(fault) from None

    def get(self, name: str, into: Path) -> bool:
        try:
            with into.open("xb") as out:
                for block in obstore.get(self._store, _place(name)).stream(min_chunk_size=PART):
                    out.write(block)
        except FileNotFoundError:
            return False
        except BaseError as fault:
            raise _away(fault) from None
        return True

    def remove(self, name: str) -> None:
        try:
            obstore.delete(self._store, _place(name))
        except FileNotFoundError:
            return
        except BaseError as fault:
            raise _away(fault) from None

    def link(self, name: str, _called: str, seconds: int) -> str:
        return obstore.sign(self._store, "GET", _place(name), datetime.timedelta(seconds=seconds))

    def _size(self, name: str) -> int | None:
        try:
            return int(obstore.head(self._store, _place(name))["size"])
        except FileNotFoundError:
            return None


def _place(name: str) -> str:
    return f"{name[:2]}/{name}"


def _away(fault: Exception) -> LinkError:
    return LinkError("the object store cannot be used", str(fault).partition("\n")[0][:300], _HINT, id="NRT-360")
