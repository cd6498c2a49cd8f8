"""Runs what the product promises at full counts and writes down what came of each claim: `make assurance`, which goes on where
it was ended. Beside the tests, one after the other, goes what needs one processor; what has to be alone comes last. It reads
tests/assurance.toml (what is claimed, by which command, resting on which sources), keeps the last result of each claim in
docs/assurance/runs.json and writes docs/assurance/README.md from both. `status` says which results are older than what they
rest on; `seen FILE` takes the results of a run of the tests (JUnit) for the tables of faults and attacks. It must never write
a result that it did not see, nor call one of other sources a result of these."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kin
from assurance_runs import RUNS, Run, Runs
from drawings import figures

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests/assurance.toml"
PAGES = ROOT / "docs/assurance"
#: Seconds after which a claim that says nothing else is ended: longer than any took.
LIMIT = 6 * 3600
#: The exit code of what was ended by us; no program's own.
ENDED = -1000
#: What every figure rests on beside what its claim names.
BASE = ("pyproject.toml", "constraints.txt", "setup.py")


@dataclass(frozen=True)
class Claim:
    """One promise and the one command that shows it at full counts. `pages`: names, or patterns, of what it writes in
    docs/assurance; `sums`: columns of their tables; `says`: a pattern of the figure, looked for in the pages and then in what
    was printed; `least`: what the first number of the figure has to be, or it did not hold; `rests_on`: files, folders whose
    change makes the figure old; `processors`: how many it keeps busy; `alone`: its figure is worth something only on a machine
    that does nothing else."""

    name: str
    promise: str
    command: str
    rests_on: tuple[str, ...]
    pages: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    says: str = ""
    least: int = 0
    limit: int = LIMIT
    processors: int = 2
    alone: bool = False

    def written(self, since: float) -> list[Path]:
        """Its pages that were written after that moment, seconds since 1970: others say nothing of this run."""
        found = (page for pattern in self.pages for page in sorted(PAGES.glob(pattern)))
        return [page for page in found if page.stat().st_mtime >= since]

    def figure(self, printed: str, since: float) -> str:
        """What a run since that moment came to: the sums of its columns, or the words that its pattern finds."""
        pages = self.written(since)
        if self.sums:
            total = sum((figures(page) for page in pages), start=Counter[str]())
            return ", ".join(f"{total[name]:,} {name.replace('-', ' ')}" for name in self.sums)
        for text in [*(page.read_text() for page in pages), printed]:
            if self.says and (hit := re.search(self.says, text)):
                return " ".join((hit.group(1) if hit.groups() else hit.group()).split()).strip("* .")
        return ""

    def short(self, figure: str) -> bool:
        """Whether the figure is less than what was claimed."""
        number = re.search(r"\d[\d,]*", figure)
        return self.least > 0 and (number is None or int(number.group().replace(",", "")) < self.least)

    def sources(self) -> str:
        """Digest of what it rests on, as the commit has it: names and contents."""
        words = ["git", "ls-files", "-s", "--", *BASE, *self.rests_on]
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
        return subprocess.run(
            ["git", "hash-object", "--stdin"], cwd=ROOT, input=listed, capture_output=True, check=True
        ).stdout.decode()[:16]

    def tests(self) -> tuple[list[str], list[str]]:
        """The files and folders whose tests its command runs, and those that it leaves out."""
        words = shlex.split(self.command)
        if "pytest" not in words:
            return [], []
        after = words[words.index("pytest") + 1 :]
        out = [word.partition("=")[2] for word in after if word.startswith("--ignore=")]
        return [word for word in after if word.startswith("tests/")], out


@dataclass
class Table:
    """tests/assurance.toml."""

    before: str
    after: str
    claims: list[Claim] = field(default_factory=list)

    @classmethod
    def read(cls) -> Table:
        raw = tomllib.loads(TABLE.read_text())
        rows: list[dict[str, Any]] = raw["claim"]
        claims = [Claim(**{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}) for row in rows]
        return cls(raw["before"], raw["after"], claims)

    def wrong(self, runs: Runs) -> list[str]:
        """What is wrong with the table or the page, in words."""
        names = [claim.name for claim in self.claims]
        found = [f"claim {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
        found += [f"claim {name}: a result of a claim that is not there" for name in runs.claims if name not in names]
        for claim in self.claims:
            missing = [word for word in claim.rests_on if not (ROOT / word).exists()]
            found += [f"claim {claim.name} rests on {word}, which is not there" for word in missing]
            found += [f"claim {claim.name} names no test: {word}" for word in claim.tests()[0] if not (ROOT / word).exists()]
        found += [f"no claim runs {file}" for file in self.nobody()]
        if not (PAGES / "README.md").exists() or (PAGES / "README.md").read_text() != self.page(runs):
            found.append("docs/assurance/README.md is not what tests/assurance.toml and runs.json say: run `make docs`")
        return found

    def nobody(self) -> list[str]:
        """Files of tests that `make assurance` would not run."""
        covered = []
        for file in sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")):
            for claim in self.claims:
                inside, out = claim.tests()
                if any(_under(file, one) for one in inside) and not any(_under(file, one) for one in out):
                    break
            else:
                covered.append(file)
        return covered

    def page(self, runs: Runs) -> str:
        """docs/assurance/README.md."""
        lines = [self.before.strip(), "", "| promise | again by | last | figure | pages |", "|---|---|---|---|---|"]
        for claim in self.claims:
            run = runs.claims.get(claim.name)
            links = " ".join(_link(pattern) for pattern in claim.pages)
            command = claim.command.replace("|", "\\|")
            lines.append(
                f"| {claim.promise} | `{command}` | {run.line() if run else 'not yet by `make assurance`'} "
                f"| {run.figure.replace('|', '/') if run else ''} | {links} |"
            )
        return "\n".join([*lines, "", self.total(runs), "", self.after.strip()]) + "\n"

    def total(self, runs: Runs) -> str:
        """How long all of it takes, as far as it was seen."""
        seen = [runs.claims[claim.name] for claim in self.claims if claim.name in runs.claims]
        hours = [sum(run.seconds for run in seen) / 3600, sum(run.processor for run in seen) / 3600]
        text = f"**How long it takes**: {len(seen)} of {len(self.claims)} claims were run by the command; together they took "
        text += (
            f"{hours[0]:.1f} h by the clock and {hours[1]:.1f} h of the processor, on {len({r.commit for r in seen})} commits."
        )
        if left := [claim.name for claim in self.claims if claim.name not in runs.claims]:
            text += f" Not yet: {', '.join(left)}."
        return text


def _under(file: str, one: str) -> bool:
    return file == one or file.startswith(one.rstrip("/") + "/")


def _link(pattern: str) -> str:
    """A pattern is named, one page is linked."""
    return f"`{pattern}`" if "*" in pattern else f"[{pattern.removesuffix('.md')}]({pattern})"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _changed(claim: Claim) -> list[str]:
    """What it rests on that is not as the commit has it."""
    return _git("status", "--porcelain", "--", *BASE, *claim.rests_on).splitlines()


class Going:
    """What runs now, in whatever thread: nothing of it outlives the run, and what was ended so has no result."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._marks: dict[int, str] = {}
        self._over = False

    def start(self, words: list[str], env: dict[str, str], printed: int) -> int:
        """The process id of the command, which leads a session of its own; SystemExit once all is over."""
        with self.lock:
            if self._over:
                raise SystemExit(1)
            mark = secrets.token_hex(8)
            told = env | {kin.NAME: mark}
            child = subprocess.Popen(words, cwd=ROOT, env=told, stdout=printed, stderr=printed, start_new_session=True)
            self._marks[child.pid] = mark
            child.returncode = 0  # it is waited for by its id (reap), for what it used is to be known
            return child.pid

    def reap(self, pid: int, limit: float) -> tuple[int, float]:
        """Its exit code, or ENDED, and the seconds of the processor that it and all it waited for have used. What it leaves
        behind is ended too, and said where it ended by itself: a test should end what it starts."""
        until, code = time.monotonic() + limit, None
        while True:
            found, status, used = os.wait4(pid, os.WNOHANG)
            if found:
                with self.lock:
                    for left in kin.end(self._marks.pop(pid)).values():
                        if code is None and not self._over:
                            print(f"     left behind, and ended: {left[:150]}", flush=True)
                    if self._over:
                        raise SystemExit(1)
                ended = os.waitstatus_to_exitcode(status) if code is None else code
                return ended, used.ru_utime + used.ru_stime
            if code is None and time.monotonic() >= until:
                code = ENDED
                kin.end(self._marks[pid])
            time.sleep(0.1)

    def end(self) -> None:
        with self.lock:
            self._over = True
            for mark in self._marks.values():
                kin.end(mark)


def run(claim: Claim, runs: Runs, out: Path, going: Going) -> bool:
    """One claim, with its output in a file; its result is kept at once. True if it held."""
    if changed := _changed(claim):
        print(f"     not run: {changed[0]} is not committed, and no result could say what it is of", flush=True)
        return False
    seed = int(os.environ.get("NEURATH_SEED") or secrets.randbelow(2**31))
    report, log = out / f"{claim.name}.xml", out / f"{claim.name}.log"
    report.unlink(missing_ok=True)
    sources, commit = claim.sources(), _git("rev-parse", "--short=12", "HEAD")
    since, begin = time.time(), time.monotonic()
    with log.open("wb") as printed:
        child = going.start(["bash", "-c", claim.command], _told(seed, report), printed.fileno())
        code, used = going.reap(child, claim.limit)
    figure = claim.figure(log.read_text(errors="replace"), since) if code == 0 else ""
    outcome = {0: "passed", ENDED: f"ended after {claim.limit} s"}.get(code, f"failed, exit {code}")
    if code == 0 and claim.short(figure):
        outcome = f"failed, fewer than {claim.least:,}"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    with going.lock:
        runs.claims[claim.name] = Run(
            date=today, commit=commit, seconds=round(time.monotonic() - begin), processor=round(used),
            load=round(os.getloadavg()[2], 1), seed=seed, outcome=outcome, sources=sources,
            figure=figure,
        )  # fmt: skip
        if report.exists():
            runs.take(report, full=True, date=today, commit=commit)
        runs.write()
    return outcome == "passed"


def _told(seed: int, report: Path) -> dict[str, str]:
    """The environment of a claim's command."""
    env = os.environ | {"NEURATH_ASSURANCE": "1", "NEURATH_TIER": "assurance", "NEURATH_SEED": str(seed)}
    env |= {"PATH": f"{ROOT / '.venv/bin'}:{env['PATH']}", "PYTHONPATH": str(ROOT)}
    return env | {"PYTEST_ADDOPTS": f"-q -n 2 --dist loadgroup --junitxml={report}"}


@dataclass
class Whole:
    """All that is to be run, in three lanes."""

    table: Table
    runs: Runs
    going: Going = field(default_factory=Going)
    failed: list[str] = field(default_factory=list)

    def lane(self, claims: list[Claim]) -> None:
        """One after the other."""
        out = ROOT / "out/assurance"
        out.mkdir(parents=True, exist_ok=True)
        for claim in claims:
            print(f"run  {claim.name}: {claim.command}", flush=True)
            held = run(claim, self.runs, out, self.going)
            with self.going.lock:
                self.failed += [] if held else [claim.name]
                if last := self.runs.claims.get(claim.name):
                    said = last.figure or f"see out/assurance/{claim.name}.log"
                    print(f"{'ok  ' if held else 'FAIL'} {claim.name}: {last.line()}; {said}", flush=True)
                (PAGES / "README.md").write_text(self.table.page(self.runs))


def every(table: Table, runs: Runs, names: list[str], again: bool) -> int:
    """Those named, or all whose last result is missing, failed or of other sources. Exit 1 if one does not hold."""
    chosen = [claim for claim in table.claims if not names or claim.name in names]
    kept = [claim for claim in chosen if not again and runs.holds(claim.name, claim.sources())]
    for claim in kept:
        print(f"kept {claim.name}: {runs.claims[claim.name].line()}", flush=True)
    left = [claim for claim in chosen if claim not in kept]
    whole = Whole(table, runs)
    with ThreadPoolExecutor(1) as pool:
        try:
            small = pool.submit(whole.lane, [claim for claim in left if claim.processors == 1 and not claim.alone])
            whole.lane([claim for claim in left if claim.processors > 1 and not claim.alone])
            while not small.done():
                time.sleep(0.1)  # no long wait: a signal that came just before it would be heard only after it
            small.result()
            whole.lane([claim for claim in left if claim.alone])
        finally:
            whole.going.end()
    (PAGES / "README.md").write_text(table.page(runs))
    print(table.total(runs).replace("**", ""))
    failed = whole.failed
    print(f"{len(failed)} did not hold: {', '.join(failed)}" if failed else "all that was run holds")
    return 1 if failed else 0


def status(table: Table, runs: Runs) -> None:
    """A line a claim: how old its result is, in sources and not in days."""
    for claim in table.claims:
        last = runs.claims.get(claim.name)
        state = "never" if not last else "fresh" if last.sources == claim.sources() else "old"
        print(f"{state:6} {claim.name:16} {last.line() if last else claim.command}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="check", choices=["check", "write", "run", "status", "seen"])
    parser.add_argument("names", nargs="*", help="claims (run); files of JUnit (seen)")
    parser.add_argument("--commit", help="what such a file is of, if not of the commit at hand (seen)")
    parser.add_argument("--again", action="store_true", help="those too whose last result is of these sources")
    parser.add_argument("--check", action="store_true", help="what is done where nothing is said")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended with us, as by Ctrl-C
    table, runs = Table.read(), Runs.read(RUNS)
    if given.what == "run":
        if unknown := sorted(set(given.names) - {claim.name for claim in table.claims}):
            parser.error(f"no such claim: {', '.join(unknown)}; there are {', '.join(c.name for c in table.claims)}")
        return every(table, runs, given.names, given.again)
    if given.what == "seen":
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        for name in given.names:
            runs.take(Path(name), full=False, date=today, commit=given.commit or _git("rev-parse", "--short=12", "HEAD"))
        runs.write()
    if given.what in ("write", "seen"):
        (PAGES / "README.md").write_text(table.page(runs))
    if given.what == "status":
        status(table, runs)
        return 0
    found = table.wrong(runs)
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
