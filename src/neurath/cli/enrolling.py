"""How a verb registers a list of terminals: says what it would do, or does it and prints tokens as they come to be. It knows
the list that was read; it must never read one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurath.cli.output import Output
from neurath.clock import agreed

if TYPE_CHECKING:
    from neurath.server.fleet.enrol import Import


def write(found: Import, out: Output, *, skip_known: bool, dry: bool) -> None:
    """Registers what was read; RefusedError where some are known and are not to be left as they are."""
    if dry:
        out.talk("nothing was changed (--dry-run)")
        out.data(f"{found.count:,} terminals, {found.known:,} of them known", count=found.count, known=found.known)
        return
    done = 0
    # Each batch is printed when it is on the disk: a token that was seen is a token that works.
    for batch in found.write(agreed(), skip_known=skip_known):
        for one in batch:
            out.data(f"{one.id} {one.token}".strip(), id=one.id, tenant=one.tenant, token=one.token)
        done += len(batch)
        if done < found.count:
            out.progress("import", done, found.count)
