"""Generated requests against everything the server answers (schemathesis): the whole OpenAPI of the management plane and a
description of the device plane. No server error, no answer that its description does not allow, whatever comes."""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from types import SimpleNamespace

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure, FlakyStrategyDefinition, Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from starlette.testclient import TestClient

from neurath.server.access import people
from neurath.server.access.roles import Role
from neurath.server.fleet.access import Enrolment, register
from neurath.server.software.catalog import Upload, add
from neurath.server.software.models import add_plain_model
from tests.parts import ASSURANCE
from tests.server.schemas import app, device_plane, furnished
from tests.server.test_operators import token

#: Cases for each operation and mode: in sum at least 20,000 of them.
EACH = 130 if ASSURANCE else 2
#: Without them: of every two operations one is asked what it allows, the other what it does not.
TURNS = 1 if ASSURANCE else 2
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
#: Runs of one operation, each after the first with its own seed, before a generator that contradicts itself is a failure.
SESSIONS = 5
SETTINGS = settings(
    max_examples=EACH, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture
def site(world, monkeypatch):
    """A server with something of everything; the admin's token and a terminal's."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(people, "_hasher", lambda: PasswordHasher(1, 64, 1))
    with world.store.write() as db:
        add_plain_model(db, "box", 1.0)
    for version in ("1", "2"):
        add(world.store, Upload(version.encode() * 900, "box", version, kind="swu", filename=f"box-{version}.swu"), 1.0)
    with world.store.write() as db:
        shown = register(db, Enrolment("t1", "box"), 1.0)
    furnished(world)
    return app(world), token(world, Role.ADMIN, days=3650), shown


def walked(schema, checks, headers, counted):
    """Every operation, both with what its description allows and with what it does not."""
    load_all_checks()
    chosen = [CHECKS.get_one(name) for name in checks]
    broken = []
    for number, found in enumerate(schema.get_all_operations()):
        operation = found.ok()
        for mode in MODES if TURNS == 1 else MODES[number % TURNS :][:1]:
            try:
                asked(operation, mode, chosen, headers, counted)
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # nothing can be wrong about a request that holds nothing
            except (Exception, BaseExceptionGroup) as fault:
                broken.append(f"{operation.label} ({mode.value}): {told(fault)}")
    assert broken == [], "\n\n".join(broken)


def told(fault):
    """What failed, and by which request: a group's members each."""
    members = getattr(fault, "exceptions", [fault])
    return "; ".join(f"{type(one).__name__} {one}" for one in members)[:900]


def asked(operation, mode, checks, headers, counted):
    """`one`, again where the generator contradicts itself: schemathesis builds its strategies as it draws, and where one comes
    out otherwise the second time, hypothesis ends the run. That is nothing the server said, and what it did say was looked at
    before; schemathesis' own runner goes on with another seed too. A generator that never comes to an end is a fault."""
    for number in range(SESSIONS):
        try:
            one(operation, mode, checks, headers, counted, number)
        except (FlakyStrategyDefinition, FlakyFailure) as fault:
            if number + 1 == SESSIONS or not contradicted(fault):
                raise
        else:
            break


def contradicted(fault):
    """Whether it is the generator's, and nothing else."""
    return isinstance(fault, FlakyStrategyDefinition) or fault.split(FlakyStrategyDefinition)[1] is None


def one(operation, mode, checks, headers, counted, number=0):
    @SETTINGS
    @given(data=st.data())
    def run(data):
        case = data.draw(operation.as_strategy(generation_mode=mode))
        answer = case.call(headers=headers)
        counted[answer.status_code] += 1
        case.validate_response(answer, checks=checks)

    if number:
        hypothesis.seed(number)(run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run()


def report(write, name, counted, begun):
    words = ", ".join(f"{count} x {status}" for status, count in sorted(counted.items()))
    words = f"{name}: {sum(counted.values()):,} cases in {time.monotonic() - begun:.0f} s: {words}"
    sys.stdout.write(f"\n{words}\n")
    write(f"schema-{name.partition(' ')[0]}", f"No server error, no answer that its description does not allow.\n\n{words}")


@pytest.mark.timeout(3600 if ASSURANCE else 900)
def test_the_management_plane_answers_as_it_is_described_and_never_fails(site, figures):
    served, admin, _ = site
    shown = {"Authorization": f"Bearer {admin}"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", served, headers=shown)
    counted, begun = Counter(), time.monotonic()
    names = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    walked(schema, names, shown, counted)
    report(figures, "management plane", counted, begun)
    assert {200, 404, 422} <= set(counted)


def test_what_no_route_and_no_store_can_hold_is_answered_with_a_problem_document(site):
    served, admin, _ = site
    client = TestClient(served, raise_server_exceptions=False)
    shown = {"Authorization": f"Bearer {admin}"}
    # A dot of a pattern is no line break: such a path went past every route.
    asked = [("DELETE", "/tokens/a%0Ab", 404), ("GET", "/releases/%0A", 404), ("GET", f"/rollouts/{1 << 64}", 422)]
    asked += [
        ("POST", f"/rollouts/{1 << 64}/abort", 422),
        ("DELETE", f"/folders/{1 << 64}", 422),
        ("GET", "/rollouts/-1", 422),
    ]
    for method, path, status in asked:
        answer = client.request(method, f"/api/v1{path}", headers=shown)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path


@pytest.mark.timeout(3600 if ASSURANCE else 900)
def test_the_device_plane_never_fails(site, figures):
    served, _, shown = site
    schema = schemathesis.openapi.from_dict(device_plane(shown))
    schema.app = served
    counted, begun = Counter(), time.monotonic()
    for headers in ({"Authorization": f"TargetToken {shown}"}, {}):
        walked(schema, ["not_a_server_error"], headers, counted)
    report(figures, "device plane", counted, begun)
    assert {200, 400, 401, 404} <= set(counted)


class Contradicts(st.SearchStrategy):
    """A generator that draws otherwise in every other case, for its first `times` cases."""

    def __init__(self, times, case):
        super().__init__()
        self.times, self.case, self.made = times, case, 0

    def as_strategy(self, generation_mode):
        return self

    def do_draw(self, data):
        self.made += 1
        data.draw_integer(0, 9 if self.made <= self.times and self.made % 2 else 1)
        return self.case


class Case:
    def call(self, headers):
        return SimpleNamespace(status_code=200)

    def validate_response(self, answer, checks):
        assert not checks, "the server's fault"


def test_a_generator_that_contradicts_itself_is_run_again_and_no_fault_of_the_server_is_passed_over():
    counted = Counter()
    asked(Contradicts(2, Case()), MODES[0], [], {}, counted)
    assert counted[200] >= 2, "a whole run came after the one that was broken off"
    with pytest.raises((FlakyStrategyDefinition, FlakyFailure)):
        asked(Contradicts(1000, Case()), MODES[0], [], {}, counted)
    with pytest.raises(AssertionError, match="the server's fault"):
        asked(Contradicts(2, Case()), MODES[0], ["a check"], {}, counted)
