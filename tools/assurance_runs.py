"""The last results of claims and of tests that stand for a promise, as docs/assurance/runs.json keeps them. It knows the form
of that file and of JUnit's; it must never make a result better than it was."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "docs/assurance/runs.json"


@dataclass(frozen=True)
class Run:
    """One claim's: `seconds` by the clock and `processor` of the processor, `load` of the last quarter of an hour; `sources`:
    digest of what it rests on."""

    date: str
    commit: str
    seconds: int
    processor: int
    load: float
    seed: int
    outcome: str
    figure: str
    sources: str

    def line(self) -> str:
        spent = f"{self.seconds} s, {self.processor} s of the processor, load {self.load}"
        return f"{self.outcome} {self.date} at {self.commit[:7]}, seed {self.seed} ({spent})"


@dataclass(frozen=True)
class Seen:
    """One test's, over all that it was given: how many passed, and how many did not (skipped ones included); `full`: at full
    counts, otherwise a sample."""

    date: str
    commit: str
    full: bool
    passed: int
    other: int


@dataclass
class Runs:
    """All of them. `tests`: by the name that the tables of promises use."""

    path: Path
    claims: dict[str, Run] = field(default_factory=dict)
    tests: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = RUNS) -> Runs:
        raw = json.loads(path.read_text()) if path.exists() else {"claims": {}, "tests": {}}
        claims = {name: Run(**one) for name, one in raw["claims"].items()}
        return cls(path, claims, {name: Seen(*one) for name, one in raw["tests"].items()})

    def holds(self, claim: str, sources: str) -> bool:
        """Whether its last result is a good one of these sources."""
        last = self.claims.get(claim)
        return last is not None and last.outcome == "passed" and last.sources == sources

    def write(self) -> None:
        claims = {name: asdict(self.claims[name]) for name in sorted(self.claims)}
        tests = [
            f"    {json.dumps(name)}: {json.dumps(list(asdict(one).values()))}" for name, one in sorted(self.tests.items())
        ]
        head = json.dumps({"claims": claims}, indent=1).removesuffix("\n}")
        self.path.write_text(head + ',\n "tests": {\n' + ",\n".join(tests) + "\n }\n}\n")

    def take(self, report: Path, full: bool, date: str, commit: str) -> None:
        """The results of a run of pytest for the tests that stand for a promise."""
        counts: dict[str, list[int]] = {}
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            held = all(child.tag not in ("failure", "error", "skipped") for child in case)
            count = counts.setdefault(_name(case), [0, 0])
            count[0 if held else 1] += 1
        for test in promised():
            hits = [count for name, count in counts.items() if _is(name, test)]
            if hits:
                self.tests[test] = Seen(date, commit, full, sum(c[0] for c in hits), sum(c[1] for c in hits))

    def last(self, tests: list[str]) -> str:
        """What was last seen of them together: how many held, when, and how many of them at full counts."""
        seen = [self.tests[test] for test in tests if test in self.tests]
        if not seen:
            return "not yet"
        held = sum(1 for one in seen if one.passed and not one.other)
        full = sum(1 for one in seen if one.full)
        first = min(seen, key=lambda one: one.date)
        text = f"{held} of {len(tests)} held, {first.date} at {first.commit[:7]}"
        return text + (f", {full} at full counts" if full else "")


def promised() -> list[str]:
    """Every test that a table of promises names."""
    found: set[str] = set()
    for kind in ("fault", "attack"):
        for row in tomllib.loads((ROOT / f"tests/{kind}s.toml").read_text())[kind]:
            found |= set(row["tests"])
    return sorted(found)


def _name(case: ElementTree.Element) -> str:
    """tests/a/test_b.py::Class::test_c of a case of JUnit, without what it was given and without the group it shares a worker
    with."""
    parts = case.get("classname", "").split(".")
    end = next((k for k, part in enumerate(parts) if part.startswith("test_")), len(parts) - 1)
    file = "/".join(parts[: end + 1]) + ".py"
    return "::".join([file, *parts[end + 1 :], case.get("name", "").partition("[")[0].partition("@")[0]])


def _is(name: str, test: str) -> bool:
    """A test of a contract is run by every class that keeps it, in other files: those are told by the function alone."""
    plain = test.partition("[")[0]
    if plain.startswith("tests/contracts/"):
        return name.rsplit("::", 1)[1] == plain.rsplit("::", 1)[1]
    return name == plain
