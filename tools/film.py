"""Films the demonstration: clones this repository as it was committed, runs `make demo` in the clone, and takes pictures of
its console at fixed moments of the story, in the browser that the tests use; then one of what it printed. It writes them to
where the README shows them. It must never show anything that this run did not do: a story that does not end with every bank
new leaves the pictures that were there. `--here` leaves the clone out, `--check` looks at all pictures."""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.console.browser import Browser, browser  # noqa: E402  (the repository's root is put on the path first)
from tools import made  # noqa: E402

WIDTH, HEIGHT = 1100, 640
#: A story in which a terminal goes on by itself and another needs the wire.
SEED = 7
LINE = re.compile(r"^ *(\d+\.\d) s  (.*)$")
WHOLE = "every bank holds the new software"
#: On the page, the places where a run happened to lie are nobody's business.
SHELL = """<!doctype html><meta charset=utf-8><style>body{{margin:0;background:#14181c;color:#d8dee4;
font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace}}pre{{margin:16px 20px;white-space:pre-wrap}}b{{color:#f2b8a0}}
i{{color:#8fd6a4;font-style:normal}}</style><pre>$ make demo SEED={seed}\n{lines}</pre>"""


@dataclass(frozen=True, slots=True)
class Moment:
    """One picture: the first line of the story that `when` is found in, and the page that is looked at then. `{who}` in the
    path is the terminal whose link died."""

    name: str
    when: str
    path: str


MOMENTS = (
    Moment("demo-1", r"^terminal-\d+: downloading", ""),
    Moment("demo-2", r"^station: stock taken", ""),
    Moment("demo-3", r"^console: ", "terminals/{who}"),
    Moment("demo-4", r"^console: ", "rollouts/1"),
)


@dataclass
class Film:
    """What is heard of a story, and what was taken of it. `take(name, address)` takes a picture of a page of the console."""

    take: Callable[[str, str], None]
    lines: list[tuple[float, str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    address: str = ""
    who: str = ""

    def hear(self, printed: str) -> bool:
        """One printed line; True once the story is over."""
        told = LINE.match(printed)
        if told is None:
            return False
        at, text = float(told[1]), told[2]
        self.lines.append((at, text))
        if found := re.match(r"server and console: (http\S+)", text):
            self.address = found[1].rstrip("/") + "/"
        if found := re.match(r"(\S+): its link is dead", text):
            self.who = found[1]
        for moment in MOMENTS:
            if re.search(moment.when, text) and moment.name not in self.taken:
                self.taken.append(moment.name)
                self.take(moment.name, self.address + moment.path.format(who=self.who) + "?lang=en")
        return text.startswith(("console: ", "NOT "))

    def lacks(self) -> list[str]:
        """What a whole film has and this one has not."""
        found = [f"no picture {one.name}: nothing printed has {one.when}" for one in MOMENTS if one.name not in self.taken]
        return found + ([] if any(text == WHOLE for _, text in self.lines) else [f"nobody said that {WHOLE}"])


#: Lines that a picture has no room for.
SMALL = re.compile(
    r": (offered|downloading|downloaded|updating|judging|restoring)|^station: (connect|identify|choose|judge|un)"
)


def shell(film: Film, seed: int) -> str:
    """What was printed, as a page: without the bytes on their way, and without where it lay."""
    said = []
    for at, text in film.lines:
        if SMALL.search(text):
            continue
        text = re.sub(r"(?:/[\w.-]+)+/(?=demo\b)", "out/", text)
        mark = "b" if re.search("POWER CUT|link is dead", text) else "i" if re.search(f"confirmed|{WHOLE}", text) else "span"
        said.append(f"<{mark}>{at:6.1f} s  {html.escape(text)}</{mark}>")
    return SHELL.format(seed=seed, lines="\n".join(said))


@contextlib.contextmanager
def clean(here: bool) -> Iterator[Path]:
    """A clone of what was committed, set up by `make` itself; or this folder."""
    if here:
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="neurath-film-") as place:
        clone = Path(place, "neurath")
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        yield clone


def run(film: Film, folder: Path, seed: int) -> None:
    """`make demo` in that folder, until its story is told; then the interrupt that a person would type."""
    with tempfile.TemporaryDirectory(prefix="neurath-film-") as out:
        words = ["make", "--no-print-directory", "demo", f"SEED={seed}", f"OUT={out}"]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("NEURATH_DATA", "MAKE", "VIRTUAL"))}
        env["PYTHONUNBUFFERED"] = "1"
        with subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True) as demo:
            try:
                assert demo.stdout is not None
                for printed in demo.stdout:
                    print(printed, end="", flush=True)
                    if film.hear(printed):
                        break
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(demo.pid, signal.SIGINT)
                demo.communicate()


def shoot(view: Browser, place: Path) -> Callable[[str, str], None]:
    def take(name: str, address: str) -> None:
        view.look(WIDTH, HEIGHT)
        view.open(address)
        view.until(lambda: view.run('document.getElementById("pulse").classList.contains("on")'))
        view.picture(place / f"{name}.png", height=HEIGHT)

    return take


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="look whether every picture is as its script made it")
    parser.add_argument("--here", action="store_true", help="no clone: run the demonstration of this folder")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--program", default=shutil.which("chromium") or "chromium", help="the browser")
    parser.add_argument("--out", type=Path, default=made.IMAGES, help="folder for the pictures")
    args = parser.parse_args()
    if args.check:
        found = made.problems()
        print("\n".join(found))
        return 1 if found else 0
    with tempfile.TemporaryDirectory() as taken, browser(args.program) as view, clean(args.here) as folder:
        place = Path(taken)
        film = Film(shoot(view, place))
        run(film, folder, args.seed)
        if lacking := film.lacks():
            print("\n".join(lacking), file=sys.stderr)
            return 1
        (place / "shell.html").write_text(shell(film, args.seed))
        view.look(WIDTH, 200)
        view.open((place / "shell.html").as_uri())
        view.picture(place / "demo.png")
        args.out.mkdir(parents=True, exist_ok=True)
        pictures = [Path(shutil.copy(one, args.out)) for one in sorted(place.glob("*.png"))]
    if args.out == made.IMAGES:
        made.enter("tools/film.py", pictures)
    print("\n".join(map(str, pictures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
