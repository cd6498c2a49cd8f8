"""What operators are given works as it lies there: units, board, rules, compose file, and a Debian package that starts."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
import yaml

from neurath.cli.main import Parser
from neurath.cli.serve import configure
from neurath.server.metrics import Board
from neurath.server.operating import Figures
from neurath.server.store import Store
from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
#: What `systemd-analyze security` may find at most, of 10 (tenths are 1, as it counts).
EXPOSED = 20
NAME = re.compile(r"\bneurath_[a-z_]+")


def queries(text: str) -> set[str]:
    """The metrics that a board or rules ask for."""
    return set(NAME.findall(text))


def understood(line: str) -> None:
    """`serve ...` is what the command line takes."""
    parser = Parser()
    configure(parser)
    parser.parse_args(line.split()[1:])


@pytest.mark.parametrize("name", ["grafana.json", "alerts.yml"])
def test_every_metric_that_is_shown_or_watched_is_there(name: str, tmp_path: Path) -> None:
    asked = queries((DEPLOY / name).read_text())
    store = Store(tmp_path)
    there = queries(Figures(store, Board()).page())
    store.close()
    assert len(asked) > 5
    assert asked <= there, asked - there


def test_board_and_rules_are_what_grafana_and_prometheus_read() -> None:
    board = json.loads((DEPLOY / "grafana.json").read_text())
    assert len({one["id"] for one in board["panels"]}) == len(board["panels"]) > 8
    assert all(target["expr"] for one in board["panels"] for target in one["targets"])
    rules = [one for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"] for one in group["rules"]]
    assert all({"alert", "expr", "labels", "annotations"} <= one.keys() for one in rules)
    assert all(text.count("(") == text.count(")") for text in (one["expr"] for one in rules))


def test_the_compose_file_names_what_it_uses_and_holds_no_secret() -> None:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services, volumes = found["services"], set(found["volumes"])
    assert {"neurath", "database", "objects"} <= services.keys()
    for one in services.values():
        assert {name.partition(":")[0] for name in one.get("volumes", ())} <= volumes
        assert set(one.get("depends_on", ())) <= services.keys()
        for key, value in one.get("environment", {}).items():
            if "PASSWORD" in key or "SECRET" in key or "KEY" in key:
                assert value.startswith("${"), f"{key} is a secret in a file"
    assert (DEPLOY / "Containerfile").exists()
    store = urllib.parse.urlsplit(services["neurath"]["environment"]["NEURATH_STORE"])
    assert store.scheme == "s3"
    understood(services["neurath"]["command"])


def test_the_server_unit_leaves_little_exposed() -> None:
    need("systemd-analyze")
    words = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED}", "--no-pager"]
    done = subprocess.run([*words, str(DEPLOY / "neurath.service")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr
    said = "".join(path.read_text() for path in (DEPLOY / "neurath.service", DEPLOY / "neurath.socket"))
    line = re.search(r"^ExecStart=/usr/bin/neurath (serve .*) \$OPTIONS$", said, re.MULTILINE)
    assert line is not None
    understood(line[1])


def test_systemd_understands_every_line_of_the_units(tmp_path: Path) -> None:
    need("systemd-analyze")
    units = [*DEPLOY.glob("*.service"), *DEPLOY.glob("*.socket")]
    assert len(units) == 3
    for unit in units:  # the command itself is not on a machine that only tests
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/neurath", "/bin/true"))
    words = ["systemd-analyze", "verify", "--man=no", *sorted(str(path) for path in tmp_path.iterdir())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.heavy
def test_the_debian_package_installs_and_its_server_answers(tmp_path: Path) -> None:
    need("dpkg-deb")
    spec = importlib.util.spec_from_file_location("debian_build", ROOT / "packaging/debian/build.py")
    assert spec is not None
    assert spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    made = builder.build(tmp_path)
    root = tmp_path / "root"
    for name in ("info", "updates", "parts", "triggers"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    words = ["dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", "--force-not-root", "-i", str(made)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | {"DPKG_FORCE": ""})
    assert done.returncode == 0, done.stderr
    assert "install ok installed" in (root / "var/lib/dpkg/status").read_text()
    assert (root / "lib/systemd/system/neurath.service").exists()

    # Nothing of this checkout: an empty environment, another directory.
    own = {"PATH": "/usr/bin:/bin", "NEURATH_ROOT": str(root), "HOME": str(tmp_path)}
    command = [str(root / "usr/bin/neurath")]
    if not Path(f"/usr/bin/python3.{sys.version_info.minor}").exists():  # a machine whose Python is not Debian's
        command = [str(Path(sys.base_prefix) / "bin/python3"), "-m", "neurath.cli.main"]
        own["PYTHONPATH"] = str(root / builder.HOME)
    words = [*command, "serve", "--data", str(tmp_path / "data"), "--port", "0", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own, cwd=tmp_path)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=60)[1]
        link = http.client.HTTPConnection("127.0.0.1", json.loads(line)["port"], timeout=120)
        link.request("GET", "/health/ready")
        assert link.getresponse().read() == b"ready\n"
        link.close()
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert process.returncode == 0
