"""Every static check, one line each with its seconds: the same that continuous integration runs. It knows which tools look
at what; it must never change a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
#: The C core allows itself these four functions of the outside world, and nothing else.
OUTSIDE = {"memcpy", "memset", "memcmp", "memmove"}
C_FLAGS = (
    "-std=c11 -O2 -ffreestanding -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Werror -Wno-unused-parameter "
    "-fno-strict-aliasing -fno-stack-protector -U_FORTIFY_SOURCE"
).split()
#: Directories at the root of any Debian system; another one that exists here is a path of this machine only.
SYSTEM = set(
    "bin boot dev etc home lib lib32 lib64 libx32 lost+found media mnt opt proc root run sbin srv sys tmp usr var".split()
)


def tool(*words: str) -> list[str]:
    """Runs a tool of the virtual environment; its output lines when it fails."""
    done = subprocess.run([str(BIN / words[0]), *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines() or ["failed"]


def script(name: str) -> list[str]:
    done = subprocess.run([sys.executable, f"tools/{name}", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines() or ["failed"]


def core() -> list[str]:
    """The C core compiles freestanding without a warning and asks the outside world for four functions only."""
    problems: list[str] = []
    sources = sorted((ROOT / "core/src").glob("*.c"))
    ports = sorted((ROOT / "core/ports").glob("*.c"))
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for source in [*sources, *ports]:
            flags = [f for f in C_FLAGS if source in sources or f != "-ffreestanding"]
            target = Path(folder) / f"{source.stem}.o"
            done = subprocess.run(
                ["gcc", *flags, "-Icore/include", "-Icore/src", "-Icore/ports", "-c", str(source), "-o", str(target)],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            problems += done.stderr.strip().splitlines()[:12]
            objects += [str(target)] if done.returncode == 0 and source in sources else []
        if objects and not problems:
            problems += symbols(objects)
    for source in [*sources, *sorted((ROOT / "core/src").glob("*.h"))]:
        problems += shape(source)
    return problems


def symbols(objects: list[str]) -> list[str]:
    """Undefined symbols the core does not define itself, and data that can change."""
    text = subprocess.run(["nm", *objects], capture_output=True, text=True, check=True).stdout
    found = [line.split()[-2:] for line in text.splitlines() if len(line.split()) >= 2]
    defined = {name for kind, name in found if kind in "TtRrDdBbVvWw"}
    missing = sorted({name for kind, name in found if kind == "U"} - defined - OUTSIDE - {"_GLOBAL_OFFSET_TABLE_"})
    mutable = sorted({name for kind, name in found if kind in "BbC"})
    problems = [f"the core calls {name}" for name in missing]
    return problems + [f"static data that can change: {name}" for name in mutable]


def shape(source: Path) -> list[str]:
    """At most 500 lines, no `#if` inside a function."""
    lines = source.read_text().splitlines()
    problems = [f"{source.name}: {len(lines)} lines (500 at most)"] if len(lines) > 500 else []
    inside = False
    for number, line in enumerate(lines, 1):
        if line.startswith("{") or (line.endswith("{") and re.match(r"[a-z].*\)\s*{$", line)):
            inside = True
        elif line.startswith("}"):
            inside = False
        elif inside and re.match(r"\s*#\s*(if|else|elif)", line):
            problems.append(f"{source.name}:{number}: #if inside a function")
    return problems


def tracked() -> list[Path]:
    text = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in text.splitlines() if (ROOT / name).is_file()]


def spec_pages() -> list[str]:
    """Every page of docs/ that a source or a page names exists."""
    problems = []
    for path in tracked():
        if path.suffix not in (".py", ".c", ".h", ".md", ".toml", ".sh"):
            continue
        text = path.read_text(errors="replace")
        for page in sorted(set(re.findall(r"\bdocs/[\w./-]+\.md\b", text))):
            if not (ROOT / page).exists() and not page.startswith("docs/assurance/"):
                problems.append(f"{path.relative_to(ROOT)} names {page}, which does not exist")
        if path.suffix == ".md":
            problems += links(path, text)
    return problems


def links(page: Path, text: str) -> list[str]:
    """Relative links of a page lead somewhere inside the repository."""
    problems = []
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if re.match(r"[a-z]+:", target):
            continue
        end = (page.parent / target).resolve()
        if not end.is_relative_to(ROOT) or not end.exists():
            problems.append(f"{page.relative_to(ROOT)}: the link {target} leads nowhere")
    return problems


def stands_alone() -> list[str]:
    """Nothing names a path of this machine, leaves the repository or names a registry's host."""
    here = {name for name in os.listdir("/") if (Path("/") / name).is_dir() and not name.startswith(".")} - SYSTEM
    local = "|".join(sorted(re.escape(name) for name in here)) or "[^\\s\\S]"
    private = re.compile(rf"(?<![\w./}})>-])/(?:{local})/\w|(?<![\w.])/(?:tmp|home|root)/\w")
    hosts = re.compile(r"pypi[.]org|registry[.]npm|pythonhosted[.]|registry[.]yarn")
    problems = []
    for path in tracked():
        if (
            path.suffix not in (".py", ".c", ".h", ".md", ".toml", ".sh", ".yaml", ".yml", ".html", "")
            or path == ROOT / "LICENSE"
        ):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            name = f"{path.relative_to(ROOT)}:{number}"
            if found := private.search(line):
                problems.append(f"{name}: names a path of one machine: {found.group()}")
            if hosts.search(line):
                problems.append(f"{name}: names a registry's host")
            for up in re.findall(r"(?:\.\./)+[\w.-]*", line):
                if path.suffix == ".md" and not (path.parent / up).resolve().is_relative_to(ROOT):
                    problems.append(f"{name}: {up} leaves the repository")
    return problems


CHECKS: dict[str, Callable[[], list[str]]] = {
    "ruff": lambda: tool("ruff", "check", "-q", "."),
    "format": lambda: tool("ruff", "format", "-q", "--check", "."),
    "types": lambda: tool("mypy", "--no-error-summary"),
    "bandit": lambda: tool("bandit", "-q", "-ll", "-r", "src"),
    "imports": lambda: tool("lint-imports"),
    "core": core,
    "rows": lambda: script("rows.py"),
    "promises": lambda: script("promises.py"),
    "assurance": lambda: script("assurance.py"),
    "pages": spec_pages,
    "cli reference": lambda: script("cli_reference.py"),
    "drawings": lambda: script("drawings.py"),
    "pictures": lambda: script("film.py"),
    "error list": lambda: script("error_list.py"),
    "stands alone": stands_alone,
}


def main() -> int:
    """Runs the checks named on the command line, or all; exit code 1 when one fails."""
    failed = []
    for name, check in CHECKS.items():
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        begin = time.monotonic()
        problems = check()
        print(f"{'FAIL' if problems else 'ok  '} {name:14} {time.monotonic() - begin:5.1f} s", flush=True)
        for line in problems[:60]:
            print(f"     {line}")
        failed += [name] if problems else []
    print(f"{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
