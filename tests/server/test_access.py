"""Who may speak: tokens, registration, lists."""

from __future__ import annotations

import pytest

from neurath.errors import DataError, NotFound
from neurath.server.fleet import access
from neurath.server.fleet.access import Enrolment, Stranger
from neurath.server.store.tables import terminal


def register(world, *given, **more):
    with world.store.write() as db:
        return access.register(db, Enrolment(*given, **more), 0.0)


def admit(world, name, header, tenant="DEFAULT"):
    with world.store.read() as db:
        return access.admit(db, tenant, name, header)


def test_the_token_that_is_printed_opens_and_no_other(world):
    token = register(world, "t1", "phone")
    assert admit(world, "t1", f"TargetToken {token}").id == "t1"
    assert admit(world, "t1", f"targettoken  {token} ").id == "t1"
    other = register(world, "t2", "phone")
    for header in (
        "",
        "TargetToken",
        "TargetToken ",
        f"Bearer {token}",
        token,
        f"TargetToken {other}",
        f"TargetToken {token}x",
    ):
        with pytest.raises(Stranger):
            admit(world, "t1", header)


def test_the_token_is_not_kept(world):
    token = register(world, "t1", "phone")
    raw = b"".join(p.read_bytes() for p in world.store.directory.glob("neurath.db*"))
    assert token.encode() not in raw
    with world.store.read() as db:
        assert token not in str(db.execute(terminal.select()).all())


def test_the_same_id_in_two_tenants_is_two_terminals(world):
    one = register(world, "t1", "phone")
    two = register(world, "t1", "phone", tenant="ACME")
    assert admit(world, "t1", f"TargetToken {two}", "ACME").n != admit(world, "t1", f"TargetToken {one}").n
    with pytest.raises(Stranger):
        admit(world, "t1", f"TargetToken {one}", "ACME")


def test_a_renewed_token_replaces_the_old_one(world):
    old = register(world, "t1", "phone")
    with world.store.write() as db:
        new = access.renew_token(db, access.find(db, "t1"))
    assert admit(world, "t1", f"TargetToken {new}")
    with pytest.raises(Stranger):
        admit(world, "t1", f"TargetToken {old}")


@pytest.mark.parametrize(
    ("enrolment", "kind"),
    [
        (Enrolment("t 1", "phone"), DataError),
        (Enrolment("", "phone"), DataError),
        (Enrolment("../x", "phone"), DataError),
        (Enrolment("t1", "nothing"), NotFound),
        (Enrolment("t1", "phone", token="short"), DataError),
        (Enrolment("t1", "phone", token="-" * 40), DataError),
        (Enrolment("t1", "phone", "a/b"), DataError),
    ],
)
def test_a_registration_that_makes_no_sense_is_refused(world, enrolment, kind):
    with pytest.raises(kind), world.store.write() as db:
        access.register(db, enrolment, 0.0)


def test_an_unregistered_model_comes_from_the_check_in_only_where_none_was_given(world):
    with world.store.write() as db:
        first = access.admit_anyone(db, "DEFAULT", "fresh", "", 0.0)
        access.configure(db, first, {"neurath.model": "unheard-of"}, 1.0)
        assert access.find(db, "fresh").model is None
        access.configure(db, first, {"neurath.model": "phone"}, 2.0)
        assert access.find(db, "fresh").model == "phone"


def test_a_terminal_that_sends_only_id_and_version_gets_its_model_from_registration(world):
    register(world, "t1", "phone")
    with world.store.write() as db:
        access.configure(db, access.find(db, "t1"), {"version": "1.0"}, 1.0)
        assert access.find(db, "t1").model == "phone"
