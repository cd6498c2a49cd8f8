"""Debian's swupdate, in hawkBit mode, is updated by a server of ours."""

import contextlib
import os
import signal
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
    # A session of its own: whatever the script started ends with it, also when it is too late.
    running = subprocess.Popen(
        [script, sys.executable], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        said, complained = running.communicate(timeout=200)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0, said + complained
    assert "closed" in said
    assert "updated confirmed" in said
