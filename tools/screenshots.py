"""Takes the pictures in docs/img from the console itself, with a fleet in every state, in the browser that the tests use:
`python tools/screenshots.py [--program chromium]`. It pretends a fleet; it must never be shown as a real one."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.console.browser import browser  # noqa: E402  (the repository's root is put on the path first)
from tests.console.fleet import every_state  # noqa: E402
from tests.console.serving import served  # noqa: E402
from tools import made  # noqa: E402

#: name -> (path, width, height, dark)
PICTURES = {
    "console": ("?lang=en", 1280, 900, False),
    "console-dark": ("?lang=en", 1280, 900, True),
    "console-ja": ("?lang=ja", 1280, 900, False),
    "console-rollout": ("rollouts/1?lang=en", 1280, 800, False),
    "console-rollout-dark": ("rollouts/1?lang=en", 1280, 800, True),
    "console-terminal": ("terminals/hub-01?lang=en", 1280, 760, False),
    "console-terminal-dark": ("terminals/hub-01?lang=en", 1280, 760, True),
    "console-software": ("software?lang=en", 1280, 800, False),
    "console-narrow": ("?lang=en", 390, 1000, False),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=shutil.which("chromium") or "chromium", help="the browser")
    parser.add_argument("--out", type=Path, default=made.IMAGES, help="folder for the pictures")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        fleet = every_state(Path(folder), time.time())
        with served(fleet.store, fleet.delivery.why) as address, browser(args.program) as page:
            for name, (path, width, height, dark) in PICTURES.items():
                page.look(width, height, dark=dark)
                page.open(address + path)
                page.until(lambda: page.run('document.getElementById("pulse").classList.contains("on")'))
                page.picture(args.out / f"{name}.png", height=height)
                print(args.out / f"{name}.png")
        fleet.close()
    if args.out == made.IMAGES:
        made.enter("tools/screenshots.py", [args.out / f"{name}.png" for name in PICTURES])
    return 0


if __name__ == "__main__":
    sys.exit(main())
