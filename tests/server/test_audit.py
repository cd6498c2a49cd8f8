"""The audit log: every change is in it with its change, nobody alters it unseen, and nothing secret is in it."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import astuple
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from neurath.cli.main import main
from neurath.errors import DataError, NeurathError
from neurath.server.access.roles import Role
from neurath.server.fleet import stop
from neurath.server.store import Store, acts, audit
from neurath.server.store.audit import Head
from neurath.server.store.tables import audit as entries
from neurath.wire.report import Verdict
from tests.server.test_operators import PASSWORD, admin, browser, proof, quick_hashes, signed_in, token
from tests.server.test_waves import Fleet

VECTOR = Path(__file__).parents[2] / "vectors/audit.json"
__all__ = ["quick_hashes"]


def found(store):
    with store.read() as db:
        return list(audit.everything(db))


def act(what="test"):
    return acts.Act("mila", "admin", "session", "192.0.2.1", what)


def written(store, count):
    for number in range(count):
        with acts.acting(act(f"change {number}")), store.write() as db:
            db.execute(text("SELECT 1"))
    with store.read() as db:
        return audit.the_head(db)


def examined(store, *known):
    with store.read() as db:
        return audit.verify(db, known).broken


def test_a_change_by_api_console_command_and_server_is_in_the_log(world, monkeypatch):
    admin(world)
    client, _ = signed_in(world)
    shown = {"Authorization": f"Bearer {token(world, Role.RELEASER)}"}
    client.put("/api/v1/stop?x=1", json={"why": "drill"}, headers=shown)
    client.delete("/api/v1/stop", headers=shown)
    made = {"csrf": proof(client, "/people"), "name": "otto", "role": "viewer", "password": PASSWORD}
    assert client.post("/people/operators", data=made).status_code == 303
    assert main(["rollout", "stop-all", "--why", "once more", "--data", str(world.store.directory)]) == 0
    with acts.acting(acts.by_server("rollout", "7", state="halted")), world.store.write():
        pass
    kept = [(one.who, one.role, one.way, one.what) for one in found(world.store)]
    assert kept[0] == ("mila", "admin", "session", "sign in")
    assert kept[1:4] == [
        ("t-releaser-90", "releaser", "token", "PUT /api/v1/stop"),
        ("t-releaser-90", "releaser", "token", "DELETE /api/v1/stop"),
        ("mila", "admin", "session", "POST /people/operators"),
    ]
    assert (kept[4][1:], kept[5]) == (("admin", "command", "neurath rollout stop-all"), ("server", "", "server", "rollout"))
    put = found(world.store)[1]
    assert (put.address, put.subject, json.loads(put.detail)) == ("127.0.0.1", "/api/v1/stop?x=1", {"why": "drill"})
    assert examined(world.store) == ""
    assert client.get("/audit").text.count("once more") == 1


def test_what_came_to_nothing_is_not_in_the_log_and_neither_is_reading(world):
    admin(world)
    client = browser(world)
    shown = {"Authorization": f"Bearer {token(world, Role.RELEASER)}"}
    before = len(found(world.store))
    assert client.delete("/api/v1/stop", headers=shown).status_code == 409
    assert client.post("/api/v1/rollouts/9/start", headers=shown).status_code == 404
    assert client.get("/api/v1/terminals", headers=shown).status_code == 200
    assert main(["rollout", "stop-all", "--dry-run", "--data", str(world.store.directory)]) == 0
    assert main(["rollout", "show", "--data", str(world.store.directory)]) == 0
    assert len(found(world.store)) == before
    mine = act()
    with pytest.raises(KeyError):
        broken(world.store, mine)
    assert (len(found(world.store)), mine.signed) == (before, False)


def broken(store, mine):
    with acts.acting(mine), store.write() as db:
        stop.stop(db, stop.Stop(1.0))
        raise KeyError


def test_a_halt_by_the_server_is_in_the_log(world):
    fleet = Fleet(world, 8, "waves=4 go-on=75% halt=25% patience=1h")
    for one in fleet.admitted()[:2]:
        fleet.ends(one, Verdict.FAILED)
    fleet.advance()
    fleet.advance()
    (kept,) = [one for one in found(world.store) if one.who == "server"]
    assert json.loads(kept.detail) == {"state": "halted", "step": 0, "why": "wave 1: 2 of 4 failed"}


def test_no_secret_is_in_the_log(world):
    admin(world)
    client, _ = signed_in(world)
    csrf = client.get("/api/v1/session").json()["csrf"]
    head = {"X-CSRF-Token": csrf}
    body = {"name": "otto", "role": "viewer", "password": "a secret of seven words"}
    assert client.post("/api/v1/operators", json=body, headers=head).status_code == 201
    new = {"old": PASSWORD, "new": "another seven words of hers"}
    assert client.put("/api/v1/session/password", json=new, headers=head).status_code == 200
    log = "\n".join(audit.line(one) for one in found(world.store))
    for secret in ("a secret of seven words", PASSWORD, "another seven words", csrf):
        assert secret not in log
    assert '"what":"PUT /api/v1/session/password"' in log


def test_the_database_itself_refuses_to_change_or_delete_an_entry(world):
    written(world.store, 3)
    for statement in (
        update(entries).values(who="nobody"),
        delete(entries).where(entries.c.n == 2),
        text("DELETE FROM audit_head"),
    ):
        with pytest.raises((NeurathError, DBAPIError)), world.store.write() as db:
            db.execute(statement)
    assert examined(world.store) == ""
    assert len(found(world.store)) == 3


def test_postgresql_refuses_it_too_and_many_writers_make_one_chain(postgresql, tmp_path):
    store = Store(tmp_path / "data", postgresql.url("migrated"))
    try:
        threads = [threading.Thread(target=written, args=(store, 5)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (examined(store), len(found(store))) == ("", 15)
        for words in ("UPDATE audit SET who = ''", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM audit_head"):
            with pytest.raises((NeurathError, DBAPIError)), store.write() as db:
                db.execute(text(words))
        assert (examined(store), len(found(store))) == ("", 15)
    finally:
        store.close()
        postgresql.empty("migrated")


def tampering(store, *statements):
    """As somebody who has the file: without the triggers."""
    link = sqlite3.connect(store.directory / "neurath.db")
    for name in ("audit_stays_update", "audit_stays_delete", "audit_head_stays"):
        link.execute(f"DROP TRIGGER IF EXISTS {name}")
    for statement in statements:
        link.execute(statement)
    link.commit()
    link.close()


def test_an_entry_that_was_edited_in_any_field_is_found(world):
    written(world.store, 5)
    before = found(world.store)[2]
    for column in audit.Entry.__slots__[1:]:
        value = "1" if column == "at" else f"'{'0' * 64}'"
        tampering(world.store, f"UPDATE audit SET {column} = {value} WHERE n = 3")
        assert "entry 3 " in examined(world.store), column
        kept = getattr(before, column)
        tampering(world.store, f"UPDATE audit SET {column} = '{kept}' WHERE n = 3")
        assert examined(world.store) == ""


def test_an_entry_that_was_taken_out_put_in_or_moved_is_found(world):
    written(world.store, 6)
    tampering(world.store, "UPDATE audit SET n = -1 WHERE n = 2", "UPDATE audit SET n = 2 WHERE n = 3",
              "UPDATE audit SET n = 3 WHERE n = -1")  # fmt: skip
    assert "not bound" in examined(world.store)
    tampering(world.store, "DELETE FROM audit WHERE n = 2")
    assert examined(world.store) == "entry 2 is missing; the next one is 3"


def test_an_end_that_was_cut_off_is_found(world, tmp_path, capsys):
    kept = written(world.store, 4)
    export = tmp_path / "log.jsonl"
    where = ["--data", str(world.store.directory)]
    assert main(["audit", "export", "-o", str(export), *where]) == 0
    head = written(world.store, 2)
    tampering(world.store, "DELETE FROM audit WHERE n > 3")
    assert examined(world.store) == "entries after 3 are missing: there were 6"
    # Somebody thorough moves the head with it: then what was kept elsewhere shows it.
    third = found(world.store)[-1]
    tampering(world.store, f"UPDATE audit_head SET n = 3, hash = '{third.hash}'")
    assert examined(world.store) == ""
    assert "missing" in examined(world.store, kept)
    assert "missing" in examined(world.store, head)
    assert main(["audit", "verify", *where]) == 0
    assert main(["audit", "verify", "--head", str(kept), *where]) == 7
    assert main(["audit", "verify", "--against", str(export), *where]) == 7
    # And with another story in its place.
    written(world.store, 5)
    assert "not the one that was there before" in examined(world.store, kept)
    assert main(["audit", "verify", "--against", str(export), *where]) == 7
    assert "NRT-258" in capsys.readouterr().err


def test_a_whole_log_is_sound_and_contains_what_was_exported(world, tmp_path, capsys):
    written(world.store, 3)
    export = tmp_path / "log.jsonl"
    where = ["--data", str(world.store.directory)]
    assert main(["audit", "export", "-o", str(export), *where]) == 0
    kept = written(world.store, 1200)
    assert main(["audit", "verify", "--against", str(export), "--head", str(kept), *where]) == 0
    assert main(["audit", "show", "--limit", "2", *where]) == 0
    assert "change 1199" in capsys.readouterr().out
    lines = export.read_text().splitlines()
    for broken in ("{}", lines[1].replace("mila", "otto")):
        with pytest.raises(DataError):
            list(audit.heads_of([lines[0], broken]))
    for broken in ("", "3", f"3:{'g' * 64}", f"x:{'0' * 64}"):
        with pytest.raises(DataError):
            audit.parsed(broken)


def test_threads_that_write_at_once_make_one_chain(world):
    threads = [threading.Thread(target=written, args=(world.store, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert examined(world.store) == ""
    assert len(found(world.store)) == 40


def test_the_vector_of_the_spec_is_what_is_written():
    given = json.loads(VECTOR.read_text())
    entry = audit.Entry(**given["entry"])
    assert audit.hashed(astuple(entry)[:-1]) == entry.hash
    assert json.loads(audit.line(entry)) == given["entry"]


def test_pages_are_newest_first_and_hold_together(world):
    written(world.store, 7)
    client = browser(world)
    seen, address = [], "/api/v1/audit?limit=3"
    while address:
        answer = client.get(address)
        seen += [one["n"] for one in answer.json()]
        address = answer.links.get("next", {}).get("url", "")
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert client.get("/api/v1/audit/verify").json()["sound"]
    assert len(client.get("/api/v1/audit/export").text.splitlines()) == 7
    assert client.get(f"/api/v1/audit/verify?head={Head(9, 64 * '0')}").json()["sound"] is False
