"""Who may speak, for every carrier of the server alike: a terminal by its token, or, where the operator says so, anyone. It
knows the policy; it must never tell a stranger whether a terminal exists."""

from __future__ import annotations

from dataclasses import dataclass

from neurath.server.fleet import access
from neurath.server.fleet.access import Terminal
from neurath.server.store import Store


@dataclass(frozen=True, slots=True)
class Admission:
    """One server's rule. Called in any thread."""

    store: Store
    plug_and_play: bool

    def admit(self, tenant: str, name: str, authorization: str, now: float) -> Terminal:
        """The terminal of this name, that showed this `Authorization`; Stranger otherwise."""
        with self.store.read() as db:
            if not self.plug_and_play:
                return access.admit(db, tenant, name, authorization)
            if access.is_known(db, tenant, name):
                return access.admit_anyone(db, tenant, name, authorization, now)  # writes nothing for one that is known
        with self.store.write() as db:
            return access.admit_anyone(db, tenant, name, authorization, now)
