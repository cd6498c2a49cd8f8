"""A report survives both of its forms, whatever its reason says; nothing else is taken for one."""

import contextlib
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import report
from neurath.wire.report import Phase, Report, Verdict
from tests.wire.vectors import LINE, cases, refused

WORD = st.integers(0, 0xFFFF_FFFF)
REPORTS = st.builds(
    Report,
    action=LINE(64),
    phase=st.sampled_from(Phase),
    verdict=st.sampled_from(Verdict),
    done=WORD,
    total=WORD,
    secured=WORD,
    bank=st.just(b"") | st.binary(min_size=32, max_size=32),
    reason=st.text(max_size=600),
)


def details(value: Report) -> list[str]:
    return report.to_feedback(value)["status"]["details"]  # type: ignore[index,no-any-return]


@pytest.mark.parametrize("case", cases("report"))
def test_the_vectors_of_the_report_page_hold(case: dict[str, object]) -> None:
    fields = dict(case["fields"])  # type: ignore[call-overload]
    more = {"phase": Phase(fields["phase"]), "verdict": Verdict(fields["verdict"]), "bank": bytes.fromhex(fields["bank"])}
    value = Report(**{**fields, **more})
    assert report.encode(value).hex() == case["cbor"]
    assert report.decode(bytes.fromhex(str(case["cbor"]))) == value
    assert report.to_feedback(value) == case["feedback"]
    assert report.from_feedback(value.action, details(value)) == value


@pytest.mark.parametrize("case", refused("report"))
def test_what_the_report_page_refuses_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(DataError):
        report.decode(bytes.fromhex(case["cbor"]))


@given(REPORTS)
def test_every_report_survives_both_forms(value: Report) -> None:
    assert report.decode(report.encode(value)) == value
    assert report.from_feedback(value.action, details(value)) == value


def test_a_reason_cannot_speak_for_the_verdict() -> None:
    liar = Report("1", Phase.FAILED, Verdict.FAILED, reason="x\nneurath verdict confirmed\nneurath phase updated")
    found = report.from_feedback("1", details(liar))
    assert found == liar
    assert found.verdict is Verdict.FAILED
    with pytest.raises(DataError):
        report.from_feedback("1", [*details(liar), "neurath verdict confirmed"])


def test_a_reason_that_no_form_can_carry_is_made_one_that_can() -> None:
    value = Report("1", Phase.FAILED, Verdict.FAILED, reason="lone \ud800 surrogate\0and \x1b[2J")
    assert report.decode(report.encode(value)) == value
    assert value.reason == "lone surrogate and [2J"


def test_a_long_reason_is_cut_and_never_lost() -> None:
    value = Report("1", Phase.FAILED, Verdict.FAILED, reason="why \n" * 400)
    assert len(value.reason) <= report.MAX_REASON
    assert report.decode(report.encode(value)) == value


@given(st.binary(max_size=120))
def test_no_byte_string_crashes_decode(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert report.encode(report.decode(data)) == data


LINES = st.builds(
    "neurath {} {}".format,
    st.sampled_from(["phase", "verdict", "bytes", "secured", "bank", "reason", "other"]),
    st.sampled_from(["idle", "confirmed", "1 2", "1", "", "-1", "ff", "00" * 32]) | st.text(max_size=20),
)


@given(st.text(max_size=80), st.lists(LINES | st.text(max_size=40), max_size=6))
def test_no_feedback_crashes_the_reader(action: str, lines: list[str]) -> None:
    try:
        found = report.from_feedback(action, lines)
    except DataError:
        return
    assert found is None or report.from_feedback(action, details(found)) == found


def test_feedback_of_another_client_is_no_report() -> None:
    assert report.from_feedback("1", ["Installing", "phase idle"]) is None


@pytest.mark.parametrize(
    "change",
    [{"bank": bytes(16)}, {"action": "a" * 65}, {"action": "\x1b[2J"}, {"done": -1}, {"total": 1 << 32}, {"secured": 1 << 40}],
)
def test_a_report_out_of_bounds_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(Report("1", Phase.IDLE), **change)  # type: ignore[arg-type]


def test_the_page_maps_every_phase() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/spec/report.md").read_text()
    for phase in Phase:
        assert f"| `{phase.value}` |" in page
    for verdict in Verdict:
        assert f"`{verdict.value}`" in page
