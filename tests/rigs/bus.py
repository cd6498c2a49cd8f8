"""A D-Bus of a test's own: the real daemon, with its own configuration and address, ended with the test."""

from __future__ import annotations

import subprocess
from pathlib import Path

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class Bus:
    """`address` is what clients are given."""

    def __init__(self, place: Path) -> None:
        self.address = f"unix:path={place / 'bus'}"
        self._config = place / "bus.conf"
        self._config.write_text(CONFIG.format(socket=place / "bus"))
        self.start()

    def start(self) -> None:
        """Up when it has said its address."""
        words = ["dbus-daemon", f"--config-file={self._config}", "--nofork", "--print-address=1", "--nopidfile"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("unix:")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()
