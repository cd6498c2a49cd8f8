"""Who may speak, for every carrier of the server alike: a terminal by its device key's signature, by its token, by its
tenant's gateway token, by a certificate that a proxy read, or, where the operator says so, anyone; and whether that is enough
for its tenant. It knows the policy; it must never tell a stranger whether a terminal exists."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from neurath.errors import DataError
from neurath.flash.trust import signature_holds
from neurath.ids import checked_name
from neurath.server import links
from neurath.server.fleet import access, signing, tenants
from neurath.server.fleet.access import Enrolment, Stranger, Terminal
from neurath.server.links import Proof, Rule
from neurath.server.proxy import Certificate
from neurath.server.store import Store
from neurath.server.store.marks import NOBODY
from neurath.wire import enrolment, httpsig
from neurath.wire.httpsig import Message


@dataclass(frozen=True, slots=True)
class Admission:
    """One server's rule. Called in any thread."""

    store: Store
    plug_and_play: bool
    _rules: dict[str, tuple[int, Rule]] = field(default_factory=dict)

    def admit(self, tenant: str, name: str, given: str, now: float, shown: Certificate | None = None) -> Terminal:
        """The terminal of this name, that showed this `Authorization` or certificate; Stranger otherwise."""
        proof = _proof(given, shown)
        return self.weighed(self._admitted(tenant, name, given, now, shown), proof)

    def _admitted(self, tenant: str, name: str, given: str, now: float, shown: Certificate | None) -> Terminal:
        with self.store.read() as db:
            if shown is not None or given[:13].lower() == "gatewaytoken ":
                return self._vouched(db, tenant, name, given, shown) or self._first(tenant, name, now)
            if not self.plug_and_play:
                return access.admit(db, tenant, name, given)
            if access.is_known(db, tenant, name):
                return access.admit_anyone(db, tenant, name, given, now)  # writes nothing for one that is known
        with self.store.write() as db:
            return access.admit_anyone(db, tenant, name, given, now)

    def admit_signed(self, tenant: str, name: str, message: Message) -> Terminal:
        """The terminal of this name, whose device key signed this message; Stranger otherwise, and Stale where it may have
        been sent before."""
        with self.store.read() as db:
            found = access.find(db, name, tenant) if access.is_known(db, tenant, name) else None
        told = httpsig.read(message.headers.get("signature-input", ""), message.headers.get("signature", ""))
        fresh = httpsig.fresh(told.parameters.get("nonce", ""))
        if not set(httpsig.COVERED) <= set(told.covered):
            raise httpsig.malformed(f"it has to cover {', '.join(httpsig.COVERED)}")
        if found is None or not found.key or found.decommissioned is not None or not _signed(found.key, told, message):
            raise Stranger("this terminal is not known here", "unknown id or another's signature", "neurath terminal key ID")
        with self.store.write(NOBODY) as db:
            word = signing.taken(db, found.n, fresh)
        if word:
            raise signing.Stale(word)
        return self.weighed(found, Proof.SIGNATURE)

    def weighed(self, terminal: Terminal, proof: Proof) -> Terminal:
        """The same terminal, where this proof is enough for it; Stranger otherwise."""
        if terminal.revoked is not None:
            raise _revoked(terminal)
        wanted = self._wanted(terminal.tenant)
        if not links.enough(proof, wanted, has_key=bool(terminal.key)):
            raise Stranger(
                f"{terminal.id} has to prove itself by more than a {proof.value}",
                f"its tenant lets pass what is {wanted.name.lower()}",
                "sign = true in its setup, or neurath tenant set --links token",
                id="NRT-335",
            )
        if terminal.proof != proof and (terminal.key or terminal.proof or links.WORTH[proof].rule > links.Rule.TOKEN):
            with self.store.write(NOBODY) as db:
                signing.seen(db, terminal, proof.value)
        return terminal

    def _wanted(self, tenant: str) -> Rule:
        """The tenant's rule; asked for again only where something was written that may have changed it."""
        mark = self.store.marks.of(NOBODY)[0]
        kept = self._rules.get(tenant)
        if kept is None or kept[0] != mark:
            with self.store.read() as db:
                kept = self._rules[tenant] = mark, links.rule(tenants.find(db, tenant).links)
        return kept[1]

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


def _proof(given: str, shown: Certificate | None) -> Proof:
    if shown is not None:
        return Proof.CERTIFICATE
    scheme = given.partition(" ")[0].lower()
    return {"gatewaytoken": Proof.GATEWAY, "targettoken": Proof.TOKEN}.get(scheme, Proof.NOTHING)


def _signed(key: str, told: httpsig.Signed, message: Message) -> bool:
    """Whether the holder of this key signed this message with this body."""
    public = enrolment.key_of(key)
    if not httpsig.holds_digest(message.headers.get("content-digest", ""), message.body):
        return False
    if told.parameters.get("alg", httpsig.NAMES[public.alg]) != httpsig.NAMES[public.alg]:
        return False
    try:
        text = httpsig.base(told.covered, message, told.text)
    except DataError:
        return False
    return signature_holds(int(public.alg), public.data, text, told.signature)


def _revoked(terminal: Terminal) -> Stranger:
    why = "nobody speaks for it until it is given another"
    return Stranger(f"the device key of {terminal.id} was revoked", why, "neurath terminal key ID PUB.pem", id="NRT-336")
