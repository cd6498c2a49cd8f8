"""The tests of the responder can fail: each way to break a restoration is caught by them. A sample of two in `make test`,
all of them in `make assurance`."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import need

ROOT = Path(__file__).resolve().parents[2]
RESTORE, SMP = "restore.c", "smp.c"
OPENS = "rc = nrt_log_commit(c, unit, &(struct nrt_member){(uint16_t)unit, 0, 1});"
#: What is broken: (file, text that occurs once, what stands there instead).
MUTANTS = {
    "a unit is erased before it is recorded as open": (
        RESTORE,
        OPENS,
        "rc = NRT_OK; c->facts.commit = unit + 1;",
    ),
    "a unit is recorded as done when it is opened": (
        RESTORE,
        OPENS,
        OPENS + "\n if (rc == NRT_OK) rc = nrt_log_done(c, 1);",
    ),
    "an open unit is not erased": (RESTORE, "rc = erase_unit(c, unit, r->target.image_size);", "rc = NRT_OK;"),
    "leaves are not checked": (RESTORE, "if (!leaf_is(r, off / leaf, whole)) {", "if (0) {"),
    "what was done is not read again": (
        RESTORE,
        "return NRT_E_DIGEST; /* a unit that was DONE has rotted */",
        "{ *held = off + len; continue; }",
    ),
    "the unit left open is forgotten": (
        RESTORE,
        "rc = erase_unit(c, c->facts.commit - 1u, nrt_bank_size(c->layout));",
        "rc = NRT_OK;",
    ),
    "the bank is not judged": (RESTORE, "int rc = nrt_judge(r->core);", "int rc = NRT_OK;"),
    "a healthy terminal takes a package": (
        RESTORE,
        "return f->restoring || f->broken ||",
        "return 1 || f->restoring || f->broken ||",
    ),
    "class and floor are not looked at": (
        RESTORE,
        "rc = nrt_gate_envelope(&e, r->birth->vendor, r->birth->klass, &c->facts);",
        "rc = NRT_OK;",
    ),
    "the leaf list is believed": (RESTORE, "if (memcmp(leaves, e.leaves, NRT_DIGEST) != 0)", "if (0)"),
    "another image is resumed as this one": (
        RESTORE,
        "memcmp(f->target.envelope, t->envelope, NRT_SHORT) == 0 &&",
        "1 &&",
    ),
    "a nameless terminal takes a package": (
        SMP,
        "if (!s->birth)\n        return NRT_E_STATE;",
        "if (0)\n        return NRT_E_STATE;",
    ),
    "an offset that is not wanted is taken": (SMP, "if (off != s->restore.next)", "if (0)"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone's sources elsewhere: the mutants are built there."""
    need("gcc")
    folder = tmp_path_factory.mktemp("mutants")
    for part in ("core", "src", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, folder / part)
    return folder


def caught(folder: Path) -> subprocess.CompletedProcess[str]:
    """Builds what is there and runs the responder's tests on it."""
    fast = {**os.environ, "CFLAGS": "-O0", "PYTHONPATH": str(folder / "src"), "NEURATH_TIER": "quick"}
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"]
    subprocess.run(build, cwd=folder, env=fast, check=True, capture_output=True, timeout=250)
    tests = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/station/test_responder.py"]
    return subprocess.run(tests, cwd=folder, env=fast, check=False, capture_output=True, text=True, timeout=250)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_every_way_to_break_a_restoration_is_caught(copy: Path, seed: int) -> None:
    everything = os.environ.get("NEURATH_ASSURANCE") == "1"
    names = list(MUTANTS) if everything else random.Random(seed).sample(list(MUTANTS), 2)
    sound = caught(copy)
    assert sound.returncode == 0, sound.stdout[-2000:]
    for name in names:
        file, old, new = MUTANTS[name]
        path = copy / "core/src" / file
        text = path.read_text()
        assert text.count(old) == 1, name
        path.write_text(text.replace(old, new))
        broken = caught(copy)
        path.write_text(text)
        # Tests that failed, or a core that ran out of its memory: not a build that went wrong.
        assert broken.returncode == 1 or broken.returncode < 0, f"{name}: {broken.stdout[-500:]}"
