"""Debian's swupdate, in hawkBit mode, is updated by a server of ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import need


@pytest.mark.heavy
def test_debians_swupdate_installs_byte_for_byte_and_the_ledger_says_confirmed():
    for part in ("swupdate", "openssl", "cpio"):
        need(part)
    script = Path(__file__).with_name("swupdate.sh")
    done = subprocess.run([script, sys.executable], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "closed" in done.stdout
    assert "updated confirmed" in done.stdout
