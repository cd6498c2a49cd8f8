"""hawkBit's query language, the part of it that is read here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import NeurathError
from neurath.server import rsql
from neurath.server.fleet import target
from neurath.server.hawkbit_api import _said
from neurath.server.rsql import BadSyntax, Comparison


def test_and_binds_more_than_or_as_in_hawkbit():
    found = rsql.parse("name==a*;version!=2,id==7 or name=='b c'")
    assert found == (
        (Comparison("name", True, "a*"), Comparison("version", False, "2")),
        (Comparison("id", True, "7"),),
        (Comparison("name", True, "b c"),),
    )
    assert rsql.agrees(found, {"name": "Able", "version": "1", "id": 3})
    assert not rsql.agrees(found, {"name": "Able", "version": "2", "id": 3})
    assert rsql.agrees(found, {"name": "x", "version": "2", "id": 7})


def test_only_the_star_means_more_than_itself():
    assert not rsql.agrees(rsql.parse("name==a?c"), {"name": "abc"})
    assert not rsql.agrees(rsql.parse("name==[a]"), {"name": "a"})
    assert rsql.agrees(rsql.parse("name==[a*"), {"name": "[abc"})


@pytest.mark.parametrize(
    "text", ["name", "name==", "name=gt=3", "(name==a)", "name==a;", "name==a name==b", 'name=="a', "name=a"]
)
def test_what_is_not_read_is_refused_and_not_guessed(text):
    with pytest.raises(BadSyntax):
        rsql.parse(text)


@given(st.text(max_size=80) | st.from_regex(r"[a-z.]{1,9}(==|!=)[^;,]{0,20}([;,][a-zA-Z.]{1,12}==.{0,9})?", fullmatch=True))
def test_no_text_crashes_the_reader_and_what_it_reads_a_target_filter_reads_too(text):
    try:
        ours = rsql.written(rsql.parse(text), _said)
        target.clause(ours)
    except NeurathError:
        return
