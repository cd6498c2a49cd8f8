"""The book of pictures: which script made each PNG in docs/img, and the digest it had then. It must never enter a picture
that its caller did not make in this run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/img"
BOOK = IMAGES / "made.json"


def enter(by: str, pictures: list[Path]) -> None:
    """What this script made before and did not make now is struck out."""
    known = json.loads(BOOK.read_text()) if BOOK.exists() else {}
    kept = {name: one for name, one in known.items() if one["by"] != by}
    made = {path.name: {"by": by, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in pictures}
    BOOK.write_text(json.dumps(dict(sorted({**kept, **made}.items())), indent=1) + "\n")


def problems(root: Path = ROOT) -> list[str]:
    """Every PNG of docs/img was made by the script that the book names, and a page shows it; every one that a page shows is
    there."""
    images = root / "docs/img"
    known = json.loads((images / "made.json").read_text())
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in images.glob("*.png")}
    pages = [*root.glob("README*.md"), *(root / "docs").rglob("*.md")]
    shown = {name for page in pages for name in re.findall(r"img/([\w.-]+\.png)", page.read_text())}
    found = [f"{name}: no script says it made it" for name in sorted(there.keys() - known.keys())]
    found += [f"{name}: a page shows it, and it is not there" for name in sorted(shown - there.keys())]
    found += [f"{name}: made by {known[name]['by']}, and not there" for name in sorted(known.keys() - there.keys())]
    found += [f"{name}: no page shows it" for name in sorted(there.keys() - shown)]
    for name in sorted(there.keys() & known.keys()):
        by, digest = known[name]["by"], known[name]["sha256"]
        if there[name] != digest:
            found.append(f"{name}: not as {by} made it")
        if not (root / by).is_file():
            found.append(f"{name}: made by {by}, which is not there")
    return found
