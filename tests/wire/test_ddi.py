"""DDI documents are values and back, and no document from outside crashes the reader."""

import json
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.ids import Version
from neurath.wire import check, confirmation, ddi, offer, report
from neurath.wire.offer import Kind, Offer

WORDS = st.text(alphabet="abcXYZ0189-._ ", min_size=1, max_size=20)
ARTIFACTS = st.builds(ddi.Artifact, WORDS, st.integers(0, 1 << 31), WORDS, st.just("ab" * 32), st.just("cd" * 20), st.just(""))
CHUNKS = st.builds(
    ddi.Chunk,
    WORDS,
    WORDS,
    st.lists(ARTIFACTS, max_size=2).map(tuple),
    WORDS,
    st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "status", "execution", "result", "finished", "progress", "cnt", "details", "data", "mode", "_links",
                 "config", "polling", "sleep", "deployment", "chunks", "artifacts", "size", "deploymentBase", "href",
                 "metadata", "confirmation", "initiator", "remark", "name", "version", "code"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.builds(ddi.Poll, st.integers(0, ddi.MAX_SLEEP), WORDS | st.just(""), WORDS | st.just(""), WORDS, st.just("")))
def test_a_poll_survives_the_round_trip(poll):
    assert ddi.poll_from(json.loads(json.dumps(ddi.poll_to(poll)))) == poll


@given(st.builds(ddi.Deployment, WORDS, st.lists(CHUNKS, max_size=2).map(tuple)))
def test_a_deployment_survives_the_round_trip(deployment):
    assert ddi.deployment_from(json.loads(json.dumps(ddi.deployment_to(deployment)))) == deployment


@given(JSON)
def test_no_document_crashes_a_reader(document):
    readers = (ddi.poll_from, ddi.deployment_from, ddi.feedback_from, ddi.attributes_from, confirmation.confirmation_from)
    for read in (*readers, confirmation.installed_from, lambda found: confirmation.auto_confirm_from(found, 1.0)):
        try:
            read(document)
        except DataError:
            continue


@given(st.binary(max_size=64))
def test_no_byte_string_crashes_the_parser(data):
    for form in ("", "application/cbor"):
        try:
            ddi.parse(data, form)
        except DataError:
            continue


@given(JSON)
def test_a_document_is_the_same_in_both_forms(document):
    assert ddi.parse(cbor2.dumps(document), "application/cbor; charset=x") == document
    assert ddi.parse(json.dumps(document).encode(), "application/json") == json.loads(json.dumps(document))


def test_a_short_document_that_stands_for_a_very_long_one_is_refused():
    with pytest.raises(DataError):
        ddi.parse(bomb(), "application/cbor")


def bomb() -> bytes:
    """Lists that are shared: the n-th holds the one before it a hundred times (tags 28 and 29 of the CBOR registry)."""
    parts = b"\xd8\x1c\x81\x00"
    for number in range(8):
        parts += b"\xd8\x1c\x98\x64" + (b"\xd8\x1d" + cbor2.dumps(number)) * 100
    return b"\x89" + parts


def test_an_empty_poll_has_no_links():
    assert ddi.poll_to(ddi.Poll(300)) == {"config": {"polling": {"sleep": "00:05:00"}}}


def test_an_offer_travels_in_a_chunk_and_must_name_an_artifact_that_is_there():
    made = Offer(Kind.DELTA, b"\x07" * 32, 5, 100, b"E", b"T", Version("1.1"), action="9")
    words = tuple((m["key"], m["value"]) for m in offer.to_metadata(made))
    right = ddi.Artifact("x.nru", 5, "http://h/x", sha256="07" * 32)
    chunk = ddi.Chunk("firmware", "1.1", (right,), metadata=words)
    assert ddi.offered(ddi.Deployment("9", (chunk,))) == (made, right)
    wrong = ddi.Chunk("firmware", "1.1", (ddi.Artifact("x.nru", 6, "http://h/x", sha256="07" * 32),), metadata=words)
    with pytest.raises(DataError):
        ddi.offered(ddi.Deployment("9", (wrong,)))
    assert ddi.offered(ddi.Deployment("9", (ddi.Chunk("a", "1", (right,)),))) is None


def test_ids_and_times_are_taken_in_every_form_clients_use():
    status = {"execution": "closed", "result": {"finished": "success"}}
    for head in ({"id": 4, "time": "20260101T000000"}, {"id": "4", "timestamp": 1}, {}):
        assert ddi.feedback_from({**head, "status": status}).finished is ddi.Finished.SUCCESS
    assert ddi.deployment_from({"id": 12, "deployment": {"chunks": []}}).action == "12"


def test_attributes_merge_replace_and_remove():
    known = {"a": "1", "b": "2"}
    assert ddi.Attributes({"b": "3"}).onto(known) == {"a": "1", "b": "3"}
    assert ddi.Attributes({"b": "3"}, "replace").onto(known) == {"b": "3"}
    assert ddi.Attributes({"b": "3"}, "remove").onto(known) == {"a": "1"}
    with pytest.raises(ddi.TooMuch):
        ddi.Attributes({str(n): "x" for n in range(101)}).onto({})


def test_the_vector_reads_as_the_page_says_and_is_written_again_byte_for_byte():
    vector = json.loads((Path(__file__).parents[2] / "vectors/ddi.json").read_text())
    poll = ddi.poll_from(vector["poll"])
    assert (poll.sleep, poll.deployment.endswith("/DEFAULT/controller/v1/T-0001/deploymentBase/12")) == (300, True)
    assert ddi.poll_from(vector["nothing"]) == ddi.Poll(300)
    deployment = ddi.deployment_from(vector["deployment"])
    found, artifact = ddi.offered(deployment)
    assert (found.action, found.version, found.size, artifact.filename) == (
        "12",
        "1.4.1",
        5000,
        f"{bytes(range(32)).hex()}.nru",
    )
    said = check.from_attributes(ddi.attributes_from(vector["attributes"]).data)
    assert (said.model, said.floor.sequence, said.link) == ("phone", 7, 1200)
    feedback = ddi.feedback_from(vector["feedback"])
    word = report.from_feedback("12", feedback.details)
    assert (word.secured, word.done, word.total) == (5000, 1024, 5000)
    again = {
        "poll": ddi.poll_to(poll),
        "nothing": ddi.poll_to(ddi.Poll(300)),
        "deployment": ddi.deployment_to(deployment),
        "attributes": ddi.attributes_to(ddi.Attributes(check.to_attributes(said))),
        "feedback": report.to_feedback(word),
    }
    assert again == vector
