"""What `make assurance` writes down is what it saw, of these sources and of this run; each file of tests is run by a claim."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool over a repository of its own: one source, no page."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    module = import_module("assurance")
    (tmp_path / "source").write_text("one\n")
    (tmp_path / "docs/assurance").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("out\ndocs\n")
    for words in (["init", "-q"], ["config", "user.email", "a@b"], ["config", "user.name", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "PAGES", tmp_path / "docs/assurance")
    commit(tmp_path)
    return module


def commit(place: Path) -> None:
    for words in (["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run(["git", *words], cwd=place, check=True)


def one(module: ModuleType, command: str, **more: object) -> Any:
    return module.Claim("it", "it holds", command, ("source",), **more)


def ran(module: ModuleType, claim: Any, names: tuple[str, ...] = (), again: bool = False) -> tuple[int, Any]:
    """Exit code of a run over this claim alone, and its result as it was kept."""
    path = module.ROOT / "docs/assurance/runs.json"
    runs = module.Runs.read(path)
    code = module.every(module.Table("before", "after", [claim]), runs, list(names), again)
    return code, module.Runs.read(path).claims.get("it")


def test_the_table_is_whole_and_its_page_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    module = import_module("assurance")
    table, runs = module.Table.read(), module.Runs.read()
    assert table.wrong(runs) == []
    less = module.Table(table.before, table.after, [claim for claim in table.claims if claim.name != "closure"])
    assert "no claim runs tests/power/test_closure.py" in less.wrong(runs)
    wrong = replace(table.claims[0], rests_on=("core/never",), command="pytest tests/never.py")
    told = module.Table(table.before, table.after, [wrong, *table.claims]).wrong(runs)
    assert f"claim {wrong.name} is there twice" in told
    assert f"claim {wrong.name} rests on core/never, which is not there" in told
    assert f"claim {wrong.name} names no test: tests/never.py" in told
    assert any("make docs" in line for line in told)
    assert {f"atheris-{name}" for name in TARGETS} <= {claim.name for claim in table.claims}


def test_a_result_has_its_figure_and_is_kept_until_what_it_rests_on_changes(here: ModuleType) -> None:
    claim = one(here, "echo once >> out/count; echo Done 7 runs", says=r"Done (\d+) runs")
    code, run = ran(here, claim)
    assert (code, run.outcome, run.figure) == (0, "passed", "7")
    assert "| it holds | `echo once" in (here.ROOT / "docs/assurance/README.md").read_text()
    assert run.line() in (here.ROOT / "docs/assurance/README.md").read_text()
    count = here.ROOT / "out/count"
    ran(here, claim)
    assert count.read_text() == "once\n"
    ran(here, claim, again=True)
    assert count.read_text() == "once\n" * 2
    (here.ROOT / "source").write_text("two\n")
    commit(here.ROOT)
    assert ran(here, claim)[1].sources != run.sources
    assert count.read_text() == "once\n" * 3


def test_what_is_not_committed_is_not_run(here: ModuleType) -> None:
    (here.ROOT / "source").write_text("two\n")
    code, run = ran(here, one(here, "true"))
    assert (code, run) == (1, None)


def test_a_claim_that_fails_has_no_figure_and_is_run_again(here: ModuleType) -> None:
    claim = one(here, "test -e out/mended; code=$?; echo Done 7 runs; touch out/mended; exit $code", says=r"Done (\d+) runs")
    code, run = ran(here, claim)
    assert (code, run.outcome, run.figure) == (1, "failed, exit 1", "")
    code, run = ran(here, claim)
    assert (code, run.outcome, run.figure) == (0, "passed", "7")


@pytest.mark.parametrize("said", ["Done 9,999 runs", "Done no runs"])
def test_a_claim_that_came_to_less_than_it_says_does_not_hold(here: ModuleType, said: str) -> None:
    claim = one(here, f"echo {said}", says=r"Done ([\d,]+) runs", least=10_000)
    code, run = ran(here, claim)
    assert (code, run.outcome) == (1, "failed, fewer than 10,000")
    code, run = ran(here, replace(claim, command="echo Done 10,000 runs"), again=True)
    assert (code, run.outcome, run.figure) == (0, "passed", "10,000")


def test_what_needs_one_processor_goes_beside_the_tests_and_what_has_to_be_alone_comes_last(here: ModuleType) -> None:
    waits = "echo {0}1 >> out/order; until grep -q {1}1 out/order; do sleep 0.02; done; echo {0}2 >> out/order"
    small = replace(one(here, waits.format("s", "t")), name="small", processors=1)
    tests = replace(one(here, waits.format("t", "s")), name="tests")
    alone = replace(one(here, "echo once >> out/alone; cp out/order out/before"), name="alone", alone=True, processors=1)
    fails = replace(one(here, "false"), name="fails", processors=1)
    path = here.PAGES / "runs.json"
    code = here.every(here.Table("before", "after", [alone, small, tests, fails]), here.Runs.read(path), [], False)
    found = {name: run.outcome for name, run in here.Runs.read(path).claims.items()}
    assert (code, found) == (1, {"small": "passed", "tests": "passed", "alone": "passed", "fails": "failed, exit 1"})
    assert (here.ROOT / "out/alone").read_text() == "once\n"
    assert sorted((here.ROOT / "out/before").read_text().split()) == ["s1", "s2", "t1", "t2"]


#: A child, and one that leads a session of its own and whose parent is gone.
TWO = "sleep 600 & echo $! > out/child; (setsid sleep 600 & echo $! > out/orphan); "


@pytest.mark.parametrize("which", ["child", "orphan"])
def test_a_claim_that_does_not_end_is_ended_with_all_it_started(here: ModuleType, which: str) -> None:
    claim = one(here, f"{TWO} wait", limit=1)
    code, run = ran(here, claim)
    assert (code, run.outcome) == (1, "ended after 1 s")
    child = Path("/proc") / (here.ROOT / "out" / which).read_text().strip()
    await_that(lambda: gone(child))


def test_what_a_claim_leaves_behind_is_ended_and_said(here: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    code, run = ran(here, one(here, f"{TWO} true"))
    assert (code, run.outcome) == (0, "passed")
    assert capsys.readouterr().out.count("left behind, and ended: sleep 600") == 2
    for which in ("child", "orphan"):
        assert gone(Path("/proc") / (here.ROOT / "out" / which).read_text().strip())


def test_a_page_of_another_run_is_no_figure_of_this_one(here: ModuleType) -> None:
    table = "| cuts | bricks |\n|---|---|\n| 1,000 | 0 |\n| 234 | 0 |\n"
    old = here.PAGES / "old.md"
    old.write_text(table)
    claim = one(here, f"printf '{table}' > docs/assurance/new.md", pages=("*.md",), sums=("cuts", "bricks"))
    assert claim.figure("", 0) == "1,234 cuts, 0 bricks"
    until = time.time()
    while old.stat().st_mtime >= until:
        until = time.time()
    assert ran(here, claim)[1].figure == "1,234 cuts, 0 bricks"
    old.unlink()
    assert ran(here, replace(claim, command="true"))[1].figure == "1,234 cuts, 0 bricks"
    assert ran(here, replace(claim, command="true"), again=True)[1].figure == "0 cuts, 0 bricks"


def test_results_of_tests_are_counted_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    module = import_module("assurance_runs")
    a, b, c = "tests/x/test_a.py::test_one", "tests/contracts/gate.py::Gate::test_two", "tests/x/test_a.py::test_three"
    monkeypatch.setattr(module, "promised", lambda: [a, b, c])
    report = tmp_path / "junit.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="tests.x.test_a" name="test_one[1]"/>'
        '<testcase classname="tests.x.test_a" name="test_one[2]@a b"><failure/></testcase>'
        '<testcase classname="tests.y.test_b.TestHere" name="test_two"/>'
        '<testcase classname="tests.x.test_a" name="test_three@heavy"><skipped/></testcase></testsuite></testsuites>'
    )
    runs = module.Runs(tmp_path / "runs.json")
    assert runs.last([a]) == "not yet"
    runs.take(report, full=False, date="2026-01-02", commit="c" * 12)
    runs.write()
    again = module.Runs.read(tmp_path / "runs.json")
    assert {name: (seen.passed, seen.other) for name, seen in again.tests.items()} == {a: (1, 1), b: (1, 0), c: (0, 1)}
    assert again.last([a, b, c]) == "1 of 3 held, 2026-01-02 at ccccccc"
    again.take(report, full=True, date="2026-01-03", commit="d" * 12)
    assert again.last([b]) == "1 of 1 held, 2026-01-03 at ddddddd, 1 at full counts"


@pytest.mark.parametrize("processors", [1, 2])
@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_who_ends_the_run_ends_what_it_started(here: ModuleType, how: signal.Signals, aside: bool, processors: int) -> None:
    # A signal may come to another thread than the first, or to the first a moment before it waits: either way it wakes nobody.
    listens = (
        "aside = lambda: (sys.stdin.read(1), signal.pthread_kill(threading.get_ident(), "
        f"{int(how)}))\nthreading.Thread(target=aside).start()\n"
    )
    program = (
        "import signal, sys, threading; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{listens if aside else ''}"
        f"sys.path.insert(0, {str(ROOT / 'tools')!r}); import assurance; from pathlib import Path\n"
        f"assurance.ROOT = Path({str(here.ROOT)!r}); assurance.PAGES = assurance.ROOT / 'docs/assurance'\n"
        "assurance.RUNS = assurance.PAGES / 'runs.json'\n"
        f"claim = assurance.Claim('it', 'it holds', '{TWO} wait', ('source',), "
        f"processors={processors})\n"
        "assurance.Table.read = classmethod(lambda cls: cls('', '', [claim]))\n"
        "sys.argv = ['assurance', 'run', 'it']; sys.exit(assurance.main())\n"
    )
    voice, nobody = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", program], stdin=voice, stderr=nobody, stdout=nobody) as running:
        told = [here.ROOT / "out/child", here.ROOT / "out/orphan"]
        await_that(lambda: all(one.exists() and one.read_text().strip() != "" for one in told))
        if aside:
            assert running.stdin is not None
            time.sleep(1)  # the first thread waits by now
            running.stdin.close()
        else:
            running.send_signal(how)
        assert running.wait(60) != 0
    assert "it" not in here.Runs.read(here.PAGES / "runs.json").claims
    for one in told:
        child = Path("/proc") / one.read_text().strip()
        await_that(lambda child=child: gone(child))  # type: ignore[misc]


def gone(process: Path) -> bool:
    try:
        return "\nState:\tZ" in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def await_that(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
