"""Clients of every released wire version are understood: their recorded requests, byte by byte, against the server of today,
and its answers read by the rules of then (docs/spec/compat.md)."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest

from tests.rigs import sessions, veterans

FILES = sorted(veterans.ROOT.glob("*/*.jsonl"))


def test_every_session_of_the_first_version_is_there():
    assert {file.stem for file in FILES if file.parent.name == "1"} == {"agent", "bootcore", "gateway", "phone", "swupdate"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_client_of_then_is_understood_and_understands(file: Path, tmp_path: Path, migrated: Path) -> None:
    head, steps = sessions.load(file)
    assert sum(1 for step in steps if step.send) == head["requests"] > 0
    shutil.copyfile(migrated, tmp_path / "neurath.db")
    with veterans.site(tmp_path, file.parent.name, head) as site, contextlib.ExitStack() as end:
        client = sessions.Http(site.port) if head["plane"] == "http" else sessions.Coap(site.port)
        if isinstance(client, sessions.Coap):
            end.callback(client.close)
        for number, step in enumerate(steps, 2):
            if step.do:
                site.do(step.do)
                continue
            assert client.say(step) == [], f"{file.name} line {number}: {step.send[:80]!r}"


def test_what_a_client_would_miss_is_named_and_what_it_would_not_is_passed_over():
    then = {"status": "200", "words": {"content-type": "application/json"}, "fields": {"a.b": 1}, "links": {"l.href": "/x"}}
    same = then | {"fields": {"a.b": 1, "new": 2}, "links": {"l.href": "/y", "m.href": "/z"}}
    assert sessions.lacking(then, same) == []
    for changed in ({"fields": {"a.c": 1}}, {"fields": {}}, {"links": {}}, {"status": "404"}, {"words": {}}):
        assert len(sessions.lacking(then, then | changed)) == 1
    assert sessions.lacking({"every_field": {"1": 2}}, {"every_field": {"1": 2, "9": 0}}), "our own agents refuse a key more"
