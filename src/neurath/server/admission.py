"""Who may speak, for every carrier of the server alike: a terminal by its token, by its tenant's gateway token, by a
certificate that a proxy read, or, where the operator says so, anyone. It knows the policy; it must never tell a stranger
whether a terminal exists."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from neurath.ids import checked_name
from neurath.server.fleet import access, tenants
from neurath.server.fleet.access import Enrolment, Stranger, Terminal
from neurath.server.proxy import Certificate
from neurath.server.store import Store


@dataclass(frozen=True, slots=True)
class Admission:
    """One server's rule. Called in any thread."""

    store: Store
    plug_and_play: bool

    def admit(self, tenant: str, name: str, given: str, now: float, shown: Certificate | None = None) -> Terminal:
        """The terminal of this name, that showed this `Authorization` or certificate; Stranger otherwise."""
        with self.store.read() as db:
            if shown is not None or given[:13].lower() == "gatewaytoken ":
                return self._vouched(db, tenant, name, given, shown) or self._first(tenant, name, now)
            if not self.plug_and_play:
                return access.admit(db, tenant, name, given)
            if access.is_known(db, tenant, name):
                return access.admit_anyone(db, tenant, name, given, now)  # writes nothing for one that is known
        with self.store.write() as db:
            return access.admit_anyone(db, tenant, name, given, now)

    def admit_to_files(self, tenant: str, name: str, now: float) -> Terminal:
        """Anyone, to the packages of a terminal of a tenant that says so."""
        with self.store.read() as db:
            if tenants.find(db, tenant).anonymous and access.is_known(db, tenant, name):
                found = access.find(db, name, tenant)
                if found.decommissioned is None:
                    return found
        return self.admit(tenant, name, "", now)

    def _vouched(self, db: Connection, tenant: str, name: str, given: str, shown: Certificate | None) -> Terminal | None:
        """The terminal that its tenant's gateway or its certificate speaks for; None where it is to be registered."""
        rules = tenants.find(db, tenant)
        if shown is not None:
            sound = shown.name == name and tenants.takes_issuer(rules, shown.authorities)
        else:
            sound = tenants.takes_token(rules, given[13:].strip())
        known = access.find(db, name, tenant) if sound and access.is_known(db, tenant, name) else None
        if known is not None and known.decommissioned is None:
            return known
        if sound and known is None and rules.first_contact:
            return None
        raise Stranger("this terminal is not known here", "unknown id or wrong token", "neurath terminal add ID --model M")

    def _first(self, tenant: str, name: str, now: float) -> Terminal:
        """First contact of one that a gateway or an issuer speaks for."""
        checked_name(name, "terminal id")
        with self.store.write() as db:
            if not access.is_known(db, tenant, name):
                model = tenants.find(db, tenant).model or None
                access.register(db, Enrolment(name, model, tenant), now)
            return access.find(db, name, tenant)
