"""What all tests share: one seed for everything random, printed and repeatable with --seed; hypothesis profiles by tier; the
list of what did not run. It must never make a failing test pass."""

from __future__ import annotations

import datetime
import gc
import hashlib
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from tests.rigs.net import Net, laid

ROOT = Path(__file__).resolve().parent.parent
ASSURANCE = os.environ.get("NEURATH_ASSURANCE") == "1"
TIER = os.environ.get("NEURATH_TIER", "assurance" if ASSURANCE else "quick")
#: Seconds a test may take with full counts, where none of its own are given.
PATIENCE = 14_400
#: Characters, or bytes, of a parameter that stand in the name of its test.
LONGEST_NAME = 60
EXAMPLES = {"quick": 60, "test": 200, "assurance": 5000}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="the seed of everything random in the tests")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    seed = config.getoption("--seed")
    if seed is None:
        seed = int(os.environ.get("NEURATH_SEED") or secrets.randbelow(2**31))
    # Workers of pytest-xdist are separate processes: they inherit the same seed.
    os.environ["NEURATH_SEED"] = str(seed)
    # What this run was told is not for a pytest that one of its tests starts.
    os.environ.pop("PYTEST_ADDOPTS", None)
    config.option.hypothesis_seed = str(seed)
    if ASSURANCE and config.option.timeout is None:
        config.option.timeout = PATIENCE
    for name, count in EXAMPLES.items():
        hypothesis.settings.register_profile(
            name, max_examples=count, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], database=None
        )
    hypothesis.settings.load_profile(TIER if TIER in EXAMPLES else "quick")


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed {os.environ['NEURATH_SEED']} (again: --seed {os.environ['NEURATH_SEED']}), tier {TIER}"


def pytest_make_parametrize_id(val: object) -> str | None:
    """What is long is named by its length and its digest: whole images would stand in what a worker tells of each test."""
    if isinstance(val, bytes | str) and len(val) > LONGEST_NAME:
        raw = val if isinstance(val, bytes) else val.encode(errors="surrogatepass")
        return f"{len(val)}-{hashlib.sha256(raw).hexdigest()[:8]}"
    return None


def pytest_collection_finish() -> None:
    """Nothing that was collected ends before the run does: to look through it again and again takes up to a second each
    time, in the middle of some test."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One heavy part at a time: emulators, kernels, browsers and others' servers share a worker. A journey runs our own
    # server and agents: it goes wherever there is room (decision 0446).
    for item in items:
        part = item.get_closest_marker("heavy") and "journey" not in item.path.parts
        if part and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("heavy"))


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of this run."""
    return int(os.environ["NEURATH_SEED"])


@pytest.fixture
def net() -> Iterator[Net]:
    """Namespaces and cables of one test (tests/rigs/net.py); skipped, or failing when strict, where none can be made."""
    with laid() as made:
        yield made


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`figures(name, markdown)` writes docs/assurance/NAME.md with date, commit and duration; only in the assurance tier."""
    begin = time.monotonic()
    # Now and not at the end: a run takes an hour, and whoever works on meanwhile has another commit by then.
    commit = _commit()
    node = request.node.nodeid
    node = node if node.rfind("@") < node.rfind("]") else node.partition("@")[0]  # xdist adds the group

    def write(name: str, text: str) -> None:
        if not ASSURANCE:
            return
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        page = ROOT / "docs/assurance" / f"{name}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(
            f"# {name}\n\n{today}, commit {commit or 'unknown'}, {time.monotonic() - begin:.0f} s, "
            f"seed {os.environ['NEURATH_SEED']}; `make assurance`, {node}\n\n{text.strip()}\n"
        )

    return write


@cache
def _commit() -> str:
    """The commit that this process has loaded."""
    words = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _skipped(reporter: pytest.TerminalReporter) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for report in reporter.stats.get("skipped", []):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(why.removeprefix("Skipped: "), []).append(report.nodeid)
    return reasons


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Ends by naming what did not run on this machine and why."""
    reasons = _skipped(terminalreporter)
    left_out = len(terminalreporter.stats.get("deselected", []))
    out = terminalreporter
    out.section(f"did not run (seed {os.environ['NEURATH_SEED']}, tier {TIER})")
    for why, tests in sorted(reasons.items()):
        out.line(f"did not run: {len(tests)} test(s), because {why}")
        for name in tests[:5]:
            out.line(f"    {name}")
    if left_out or config.getoption("-m"):
        out.line(f"left out by choice: -m {config.getoption('-m')!r} (make test runs them)")
    elif not reasons:
        out.line("nothing: every test ran")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("NEURATH_STRICT") == "1" and reporter is not None and _skipped(reporter) and session.exitstatus == 0:
        # "Did not run" is a failure where every part is installed.
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
