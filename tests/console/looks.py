"""How the main pages look: the lightness of each field of a grid laid over a picture. They are set in a font of blocks, since
another machine's fonts break its lines elsewhere; what is left is the style's own doing. Coarse on purpose: another build of
the browser moves the fields by a step, a page without its style or its chart by dozens. `python -m tests.console.looks` keeps
what it sees now in looks.json (decision 0422)."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.console import blocks
from tests.console.browser import Browser, browser
from tests.console.fleet import every_state
from tests.console.serving import served

KEPT = Path(__file__).parent / "looks.json"
#: name -> (path, screen, dark)
LOOKS = {
    "overview": ("?lang=en", (1280, 800), False),
    "overview-dark": ("?lang=en", (1280, 800), True),
    "rollout": ("rollouts/1?lang=en", (1280, 800), False),
    "terminal": ("terminals/hub-01?lang=en", (1280, 800), False),
    "software": ("software?lang=en", (1280, 800), False),
}
#: The moment of every look, noon of some day: at midnight a timeline has one line more.
NOON = 1_795_003_200.0
ACROSS, DOWN = 16, 10
#: Steps of 255 by which all fields may differ on average, and by which few of them may.
MEAN, FIELD, FEW = 3.0, 30, 3
#: Draws a picture small, so that each pixel is the mean of one field, in a page that has no policy against it.
_SHRINK = """(async () => { const picture = new Image(); picture.src = "data:image/png;base64,%s"; await picture.decode();
  const canvas = document.createElement("canvas"); const sum = [], w = picture.width, h = picture.height;
  canvas.width = w; canvas.height = h; const pen = canvas.getContext("2d"); pen.drawImage(picture, 0, 0);
  for (let y = 0; y < %d; y++) for (let x = 0; x < %d; x++) {
    const l = Math.floor(x * w / %d), t = Math.floor(y * h / %d);
    const r = Math.floor((x + 1) * w / %d), b = Math.floor((y + 1) * h / %d);
    const data = pen.getImageData(l, t, r - l, b - t).data; let all = 0;
    for (let i = 0; i < data.length; i += 4) all += 0.2126 * data[i] + 0.7152 * data[i + 1] + 0.0722 * data[i + 2];
    sum.push(Math.round(all / (data.length / 4))); }
  return sum; })()"""


#: Sets the page in blocks; neither part is fetched, so that no policy stands against it.
_SET = """(async () => { const bytes = Uint8Array.from(atob("%s"), (one) => one.charCodeAt(0));
  const face = new FontFace("Blocks", bytes.buffer); await face.load(); document.fonts.add(face);
  const sheet = new CSSStyleSheet(); sheet.replaceSync("*, ::before, ::after { font-family: Blocks !important }");
  document.adoptedStyleSheets = [sheet]; await document.fonts.ready;
  await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
  return document.fonts.check("16px Blocks"); })()"""


def grid(page: Browser, url: str, size: tuple[int, int], dark: bool) -> list[int]:
    """The lightness of each field, 0 to 255, of the page's first screen."""
    page.look(*size, dark=dark)
    page.open(url)
    assert page.run(_SET % base64.b64encode(blocks.font()).decode()) is True
    shot = page.ask("Page.captureScreenshot", format="png")["data"]
    page.open("about:blank")
    seen: list[int] = page.run(_SHRINK % (shot, DOWN, ACROSS, ACROSS, DOWN, ACROSS, DOWN))
    return seen


def far(seen: list[int], kept: list[int]) -> str:
    """Why two looks are not the same, "" where they are."""
    apart = [abs(one - other) for one, other in zip(seen, kept, strict=True)]
    mean, many = sum(apart) / len(apart), sum(step > FIELD for step in apart)
    if mean <= MEAN and many <= FEW:
        return ""
    return f"{mean:.1f} steps on average (at most {MEAN}), {many} fields by more than {FIELD} (at most {FEW})"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        fleet = every_state(Path(folder), NOON)
        with (
            served(fleet.store, fleet.delivery.why, lambda: NOON + 1) as address,
            browser(shutil.which("chromium") or "") as page,
        ):
            found = {name: grid(page, address + path, size, dark) for name, (path, size, dark) in LOOKS.items()}
        fleet.close()
    if KEPT.exists():
        before = json.loads(KEPT.read_text())
        for name in sorted(set(found) & set(before)):
            sys.stdout.write(f"{name}: {far(found[name], before[name]) or 'the same'}\n")
    KEPT.write_text(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
