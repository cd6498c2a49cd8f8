"""Dates of certificates are read as the library reads them, and nothing is loaded for it."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurath.carriers import tls


def written(moment: int) -> str:
    """As OpenSSL writes it."""
    at = time.gmtime(moment)
    return time.strftime(f"%b {at.tm_mday:2} %H:%M:%S {at.tm_year:04} GMT", at)


@given(st.one_of(st.integers(0, 253_402_300_799), st.integers(-100, 100).map(lambda by: int(tls.EARLIEST) + by)))
@example(int(tls.EARLIEST))
@example(int(tls.EARLIEST) - 1)
def test_a_date_is_read_to_the_second_as_the_library_reads_it(moment: int) -> None:
    text = written(moment)
    assert ssl.cert_time_to_seconds(text) == moment
    assert tls.ended(text) is (moment < tls.EARLIEST)


@pytest.mark.parametrize("text", ["soon", "", "Nov 1 00:00:00 2099", "nov  1 00:00:00 2099 GMT", "Nov  1 00:00 2099 GMT"])
def test_what_is_no_date_has_ended_unless_openssl_writes_it_so(text: str) -> None:
    assert tls.ended(text) is (text != "Nov 1 00:00:00 2099")


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    assert tls.ended(text) in (True, False)


def test_nothing_is_loaded_for_it() -> None:
    code = "import sys; from neurath.carriers import tls\n"
    code += "print(tls.ended('Nov  1 00:00:00 2099 GMT'), '_strptime' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == "False False\n"
