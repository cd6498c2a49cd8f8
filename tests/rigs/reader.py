"""Somebody who types what a page says. It knows what on a page is a command, and fills in only what nobody can know
beforehand; it must never leave out a line without the page saying so."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.rigs.net import Namespace, until
from tests.rigs.warm import Warm

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/how-to"
PRINTED = "http://127.0.0.1:8642"
#: What a page says beside a command that no test can run; the reason follows.
EXCUSE = "# not run by the tests: "
#: What a program that stays says once it is at work, by how its line begins.
AT_WORK = {"neurath serve": "serving at", "neurath sign": "watching", "neurath station run": "", "neurath carrier": ""}
AT_WORK |= {"neurath agent run": ""}


@dataclass(frozen=True, slots=True)
class Typed:
    """One command of a page; `excuse` is why no test runs it."""

    text: str
    excuse: str = ""


def lines(page: str) -> list[Typed]:
    """Every command on a page: the lines of its blocks that name no language or `sh`, continued ones joined, remarks off."""
    blocks = re.findall(r"^```([a-z]*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    found = [line for name, block in blocks if name in ("", "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [
        Typed(re.sub(r"\s&?\s*(#.*)?$", "", f"{line} "), line.partition(EXCUSE)[2].strip())
        for line in found
        if line.strip() and not line.startswith("#")
    ]


def commands(page: str) -> list[str]:
    """Those that are ours."""
    return [line.text for line in lines(page) if line.text.startswith("neurath ")]


def shown(page: str, language: str) -> list[str]:
    """The blocks of a page that name a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def page(name: str) -> str:
    return (PAGES / name).read_text()


@dataclass
class Reader:
    """Each command is a process of its own. Only the printed token is filled in, and a free port for the default one."""

    folder: Path
    url: str = PRINTED
    token: str = "TOKEN"

    def argv(self, line: str) -> list[str]:
        words = [self.url if word == PRINTED else self.token if word == "TOKEN" else word for word in shlex.split(line)]
        assert words[0] == "neurath"
        return [*self.program(words[1]), *words[1:]]

    def program(self, verb: str) -> list[str]:
        """What `neurath` is for somebody who types this verb."""
        return [sys.executable, "-m", "neurath.cli.main"]

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("NEURATH_")}

    def types(self, line: str, code: int = 0) -> str:
        done = subprocess.run(
            self.argv(line), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == code, (line, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def server(self, line: str) -> Iterator[None]:
        with subprocess.Popen(
            self.argv(line + " --port 0"), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                while (found := re.search(r"http://127\.0\.0\.1:\d+", line := process.stdout.readline())) is None:
                    assert line, "the server said nothing of an address"
                self.url = found[0]
                yield
            finally:
                process.terminate()


@dataclass
class Stays:
    """A program that goes on."""

    line: str
    pid: int
    log: Path
    begun: float


@dataclass
class Inside(Reader):
    """The same in a network of his own, where every port and address is free as printed, and with programs that are warm.
    `fills` stands for what differs from reader to reader: a token, a device, a directory of the system's; what begins with
    words of `elsewhere` is typed on another machine, in that network; `ending` is what is done when all of it is over."""

    warm: Warm = field(kw_only=True)
    net: Namespace = field(kw_only=True)
    fills: dict[str, str] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)  # environment
    input: str = ""
    elsewhere: dict[str, Namespace] = field(default_factory=dict)
    ending: ExitStack = field(default_factory=ExitStack)
    typed: list[str] = field(default_factory=list)
    staying: list[Stays] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.more

    def filled(self, line: str) -> str:
        if not self.fills:
            return line
        printed = sorted(self.fills, key=len, reverse=True)
        any_of = "|".join(rf"(?<!\w){re.escape(one)}" + (r"(?!\w)" if one[-1].isalnum() else "") for one in printed)
        return re.sub(any_of, lambda found: self.fills[found[0]], line)

    def types(self, line: str, code: int | None = 0) -> str:
        self.typed.append(line)
        line = self.filled(line)
        if line.startswith("export "):
            name, _, value = shlex.split(line)[1].partition("=")
            self.more[name] = value
            return ""
        own, rest = _assigned(line)
        log = self._log()
        if rest[0] == "neurath":
            ended = self.warm.wait(self._start(rest[1:], own, log))
        else:
            words = self.net.words("bash", "-o", "pipefail", "-c", line)
            with log.open("ab") as out:
                done = subprocess.run(words, cwd=self.folder, env=self.environment, stdout=out, stderr=out, timeout=240)
            ended = done.returncode
        said = log.read_text()
        assert code is None or ended == code, f"{line}\nended with {ended}\n{said}"
        return said

    def stays(self, line: str, says: str, *, beside: bool = False) -> Stays:
        """Starts a program that goes on, and waits until it said so; those of its kind before it were ended by Ctrl-C, if it
        was not to run beside them."""
        self.typed.append(line)
        own, rest = _assigned(self.filled(line))
        for one in [one for one in self.staying if not beside and one.line.split()[:2] == line.split()[:2]]:
            self.ends(one)
        log = self._log()
        made = Stays(line, self._start(rest[1:], own, log), log, time.time())
        self.staying.append(made)
        until(lambda: re.search(says, log.read_text()) or self.warm.over(made.pid), f"{line}: {says}", 100)
        assert re.search(says, log.read_text()), f"{line}\n{log.read_text()}"
        return made

    def ends(self, one: Stays) -> str:
        self.staying.remove(one)
        assert not self.warm.over(one.pid), f"{one.line} ended by itself\n{one.log.read_text()}"
        os.kill(one.pid, signal.SIGINT)
        until(lambda: self.warm.over(one.pid), f"the end of {one.line}", 60)
        self.warm.wait(one.pid)
        said = one.log.read_text()
        assert "Traceback" not in said, f"{one.line}\n{said}"
        return said

    @property
    def last(self) -> Stays:
        """What was started last and goes on."""
        return self.staying[-1]

    def goes(self) -> None:
        """Ends what still runs."""
        with self.ending:
            for one in reversed(self.staying[:]):
                self.ends(one)

    def _start(self, words: list[str], own: Mapping[str, str], log: Path) -> int:
        line = " ".join(words)
        net = next((net.name for begin, net in self.elsewhere.items() if line.startswith(begin)), "")
        return self.warm.start(words, self.folder, self.environment | own, log, self.input, net=net)

    def _log(self) -> Path:
        (self.folder / "said").mkdir(exist_ok=True)
        made = self.folder / "said" / f"{len(self.typed)}"
        made.touch()
        return made


def _assigned(line: str) -> tuple[dict[str, str], list[str]]:
    """What stands before a command as NAME=VALUE, and its words."""
    words = shlex.split(line)
    count = next(place for place, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
    return dict(word.split("=", 1) for word in words[:count]), words[count:]


T = TypeVar("T")
#: What happens after a line of a page was typed.
After = Callable[[Inside, str], object]


@dataclass(frozen=True)
class Play:
    """How a page is read: what its reader has beforehand, what else a program says once it is at work, which lines end with
    another code than 0 (None: whichever), and what he looks at after a line; each by words of the line."""

    before: Callable[[Inside], object]
    says: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, int | None] = field(default_factory=dict)
    after: Mapping[str, After] = field(default_factory=dict)

    def read(self, reader: Inside, name: str) -> None:
        """The page from its first line to its last; what has an excuse is left out."""
        self.before(reader)
        begun = len(reader.typed)
        wanted = [line.text for line in lines(page(name)) if not line.excuse]
        for line in wanted:
            if (says := self._says(line)) is not None:
                said = reader.stays(line, says).log.read_text()
            else:
                said = reader.types(line, _of(self.codes, line, 0))
            _of(self.after, line, lambda _reader, _said: None)(reader, said)
        assert [line for line in reader.typed[begun:] if line in wanted] == wanted
        reader.goes()

    def _says(self, line: str) -> str | None:
        """None where the command comes to its end by itself."""
        known = AT_WORK
        kind = next((says for begin, says in known.items() if line.startswith(begin)), None)
        if kind is None or "--once" in line or "--dry-run" in line or ("neurath sign" in line and "--watch" not in line):
            return None
        if line.startswith("neurath carrier mobileip node"):
            return None
        return _of(self.says, line, kind)


def _of(found: Mapping[str, T], line: str, default: T) -> T:
    return next((value for words, value in found.items() if words in line), default)
