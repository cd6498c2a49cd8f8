"""Delivery in three calls that every carrier uses: `check` (who I am -> offer or none), `answer` (sync point -> piece) and
`heard`. It knows the way from a check-in to a file; it must never know a carrier, and never leave a torn terminal without
its file. Contract: tests/contracts/delivery.py."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from neurath.ids import FIRMWARE, Version
from neurath.server.delivery import tickets, veils
from neurath.server.delivery.choice import choose
from neurath.server.delivery.decision import Asking as Asking
from neurath.server.delivery.decision import Building as Building
from neurath.server.delivery.decision import Decision as Decision
from neurath.server.delivery.decision import Nothing as Nothing
from neurath.server.delivery.decision import Offered as Offered
from neurath.server.delivery.decision import stands as stands
from neurath.server.delivery.pace import Need
from neurath.server.delivery.sightings import Sighting, Sightings
from neurath.server.delivery.veils import Veils
from neurath.server.fleet import access, actions, budget, life, progress, recall, remind, selection, standing
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action, Draft
from neurath.server.fleet.budget import Account
from neurath.server.fleet.progress import FINAL, Key
from neurath.server.fleet.standing import Standing
from neurath.server.software import catalog, handed
from neurath.server.software.catalog import Release
from neurath.server.software.deltas import Deltas, Files
from neurath.server.software.hopeless import RETRY
from neurath.server.store import Store
from neurath.server.store.sql import upsert
from neurath.server.store.tables import component as components
from neurath.wire import piece
from neurath.wire.check import Check
from neurath.wire.keys import SigningKey
from neurath.wire.offer import Kind, Offer
from neurath.wire.piece import MAX_PIECE, Piece
from neurath.wire.report import Report, Verdict
from neurath.wire.veil import Recipient

#: What a piece carries beside its data.
PIECE_HEADER = 10

#: Verdicts after which a release is no step any more.
UNFIT = (Verdict.REFUSED.value, Verdict.FAILED.value, Verdict.RESTORATION.value)


@dataclass(frozen=True, slots=True)
class Sync:
    """A terminal's download state: the file it wants (4 to 32 bytes of its digest) and the byte it wants next."""

    file: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one view of the store has of a component: its standing, the action that a torn terminal is back for, where a new
    one may be opened, its account, and whom its files are hidden for."""

    view: Standing
    torn: Action | None
    account: Account | None
    veil: Recipient | None


class Delivery:
    """One store's deliveries. Safe to call from any thread."""

    def __init__(self, store: Store, deltas: Deltas, key: SigningKey, need: Need) -> None:
        self.store = store
        self.deltas = deltas
        self.key = key
        self.need = need
        self.sightings = Sightings(store)
        self.veils = Veils(store, deltas.clock)

    # ---- the three calls ---------------------------------------------------------------------------------------------

    def check(self, terminal: Terminal, check: Check, now: float) -> Offer | None:
        """Takes a check-in and gives the offer it leads to; None: nothing newer, or not built yet."""
        self.record(terminal, check, now)
        decision = self.decide(terminal, check.component, now)
        return self.offer(terminal, decision.action, now) if isinstance(decision, Offered) else None

    def answer(self, terminal: Terminal, state: Sync, room: int, now: float) -> bytes:
        """The next piece for a terminal's download state, at most `room` bytes; b"" when there is none, no room for one, or
        the terminal has not said that it secured room for the file (A6)."""
        with self.store.read() as db:
            found = [a for a in actions.current_actions(db, terminal.n) if bytes.fromhex(a.file).startswith(state.file)]
        count = min(room - PIECE_HEADER, MAX_PIECE)
        if len(state.file) < 4 or len(found) != 1 or count <= 0:
            return b""
        if not self.may_fetch(found[0]) or not self.may_have(found[0]):
            return b""
        action = found[0]
        with self.store.files.verified(action.file).open("rb") as source:
            source.seek(state.offset)
            data = source.read(count)
        if not data:
            return b""
        self.served(action, state.offset, len(data), now)
        return piece.encode(Piece(bytes.fromhex(action.file)[:4], state.offset, data))

    def heard(self, terminal: Terminal, carrier: str, address: str, now: float, room: int = 0) -> None:
        """Notes that a terminal was heard, and what room its carrier was seen to have; written with others by flush()."""
        self.sightings.note(terminal.n, Sighting(carrier, address, now, room))

    # ---- what they are made of, for carriers with more steps (DDI) ---------------------------------------------------

    def flush(self) -> None:
        """Writes what heard() noted."""
        self.sightings.flush()

    def last_heard(self, terminal: Terminal) -> float | None:
        """When a terminal was last heard, what is not written yet included."""
        seen = self.sightings.last(terminal.n)
        return terminal.heard if seen is None else seen

    def record(self, terminal: Terminal, check: Check, now: float) -> None:
        """Keeps what a terminal says. Where its bank holds a release that was offered, confirmed, that is written down
        whatever became of the report."""
        values: dict[str, object] = {
            "model": check.model,
            "bank": check.bank.hex(),
            "bank_size": check.bank_size,
            "word": check.version,
            "ram": check.ram,
            "stage": check.stage,
            "spare": check.spare,
            "profiles": check.profiles,
            "key_list": check.key_list,
            "link": check.link,
            "nonce": check.nonce.hex(),
            "envelope": check.envelope.hex(),
            "epoch": check.floor.epoch,
            "sequence": check.floor.sequence,
            "state": check.state,
            "open_file": check.open_file.hex(),
            "staged": check.staged.hex(),
            "staged_bytes": check.staged_bytes,
            "checked": now,
            "confirmed": 0,
        }
        with self.store.write(terminal.n) as db:
            values |= life.heard_nonce(db, terminal, check.component, check.nonce.hex(), now)
            query = upsert(components).values(terminal=terminal.n, name=check.component, **values)
            db.execute(query.on_conflict_do_update(index_elements=["terminal", "name"], set_=values))
            if terminal.model is not None and not check.open_file:
                self._settle_by_bank(db, terminal, check, now)

    def _settle_by_bank(self, db: Connection, terminal: Terminal, check: Check, now: float) -> None:
        model = str(terminal.model)
        release = catalog.confirmed(db, model, check)
        if release is None:
            return
        progress.found_installed(db, Key(terminal.n, check.component, release.id), now)
        current = actions.current_action(db, terminal.n, check.component)
        if current is not None and current.release == release.id:
            actions.end(db, current, "closed", now)
            actions.settle(db, current)

    def decide(self, terminal: Terminal, component: str, now: float) -> Decision:
        """What there is for one component now. Opens the action it leads to, and withdraws one that leads nowhere."""
        with self.store.read() as db:
            seen = self._seen(db, terminal, component, now)
        return self._decided(seen, now)

    def decide_all(self, terminal: Terminal, now: float) -> dict[str, Decision]:
        """The same for every component that a poll is about."""
        with self.store.read() as db:
            every = [self._seen(db, terminal, name, now) for name in selection.components_of(db, terminal)]
        return {one.view.component: self._decided(one, now) for one in every}

    def _seen(self, db: Connection, terminal: Terminal, component: str, now: float) -> _Seen:
        view = standing.read(db, terminal, component)
        account = budget.account(db, terminal, now) if _may_open(view, now) else None
        to = veils.of(db, terminal.n) if veils.wanted(view) else None
        return _Seen(view, self._torn(db, view), account, to)

    def _decided(self, seen: _Seen, now: float) -> Decision:
        view, torn = seen.view, seen.torn
        if torn is not None:
            return self._reopened(torn)
        if view.current is not None and view.current.insists and view.current.state == "open":
            return Offered(view.current)  # its client would not be cancelled
        reason = standing.obstacle(view, now)
        if reason:
            self._withdraw(view, now)
            hours = standing.hours(view, now)
            return Nothing(reason, standing.lasts(view, now), None if hours.open else hours.changes)
        if self._stands(view):
            assert view.current is not None
            return _given(view.current)
        draft = self._choose(seen, self.deltas.get)
        if isinstance(draft, Draft):
            dear = self._dear(seen, draft, now)
            return Nothing(dear, budget.turn(now)) if dear else self._open(view, self.veils.hidden(seen.veil, draft), now)
        return replace(draft, until=now + RETRY) if isinstance(draft, Nothing) else draft

    def why(self, terminal: Terminal, component: str, now: float) -> str:
        """Why a terminal has, or has not, been offered something: what decide() would say, changing nothing."""
        with self.store.read() as db:
            seen = self._seen(db, terminal, component, now)
        view = seen.view
        reason = self._why(seen, now)
        if view.selected is None or view.selected.back is None:
            return reason
        return f"{reason}; rollout {view.selected.rollout} takes rollout {view.selected.back} back"

    def _why(self, seen: _Seen, now: float) -> str:
        view, torn = seen.view, seen.torn
        if torn is not None:
            return f"in mid-rewrite: it is served file {torn.file[:16]}… of action {torn.id}"
        reason = standing.obstacle(view, now)
        if reason:
            return reason
        if _continues(view) and view.current is not None and view.entry is not None:
            closed = standing.closed_until(view, now)
            if view.current.state == "confirming":
                return f"waits for its user, or an operator, to confirm action {view.current.id}"
            if closed:
                return f"{closed}; until then it is told not to install action {view.current.id}"
            return f"offered as action {view.current.id}: {view.entry.phase}, {view.entry.sync:,} of {view.entry.size:,} bytes"
        draft = self._choose(seen, self.deltas.peek)
        if isinstance(draft, Nothing):
            return draft.reason
        if isinstance(draft, Building):
            return "its update file is not built yet"
        return self._dear(seen, draft, now) or "will be offered at its next check-in"

    def offer(self, terminal: Terminal, action: Action, now: float) -> Offer:
        """The offer of an action of ours, with a fresh ticket: a terminal takes a higher serial for the same file, never the
        same one twice."""
        with self.store.write(terminal.n) as db:
            release = catalog.find_release(db, str(action.release))
            said = standing.last_said(db, terminal, action.component)
            serial = access.next_serial(db, terminal, now)
            reminder = remind.taken(db, terminal)
            actions.fetched(db, action, now)
        blocks = tickets.block_hashes(self.store.files.verified(action.file))
        to = tickets.For(terminal.id, bytes(8), serial)
        if said is not None:
            to = tickets.For(terminal.id, bytes.fromhex(said.nonce), serial, said.key_list)
        signed = tickets.issue(self.key, to, action, release, blocks)
        return Offer(
            kind=Kind.DELTA if action.kind == "delta" else Kind.FULL,
            file=bytes.fromhex(action.file),
            size=action.size,
            need=action.need,
            envelope=release.envelope,
            ticket=signed,
            version=Version(release.version),
            action=str(action.id),
            component=action.component,
            blocks=blocks,
            remind=reminder,
        )

    def may_fetch(self, action: Action) -> bool:
        """A6: our own agent says that it secured room for the whole file before a byte of it leaves."""
        return action.state != "confirming" and (action.kind == "package" or action.secured >= action.size)

    def may_have(self, action: Action) -> bool:
        """Whether any more of it may be given out: not what was revoked, called off or stopped, but to who was torn."""
        with self.store.read() as db:
            return recall.may_have(db, action)

    def served(self, action: Action, start: int, count: int, now: float) -> bool:
        """Counts bytes that left for a terminal; False where it is to have no more of them."""
        with self.store.write(action.terminal) as db:
            progress.served(db, action, start, count, now)
            return actions.by_id(db, action.id).state == "open" and recall.may_have(db, action)

    def reported(self, action: Action, report: Report, now: float) -> Verdict:
        """Takes a terminal's word about an action; gives the verdict it amounts to."""
        with self.store.write(action.terminal) as db:
            if report.secured:
                actions.secure(db, action, report.secured)
            release = catalog.find_release(db, str(action.release))
            # What a third-party client installs a package into cannot be read: its word is all there is.
            image = "" if action.kind == "package" else release.image
            verdict = progress.reported(db, action, report, image, now)
            if verdict in FINAL:
                if action.state in actions.ACTIVE:
                    actions.end(db, action, "closed", now)
                actions.settle(db, action)
        return verdict

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _choose(self, seen: _Seen, files: Files) -> Draft | Building | Nothing:
        none = veils.obstacle(seen.view, seen.veil)
        if none:
            return Nothing(none)
        if seen.view.model is not None and seen.view.model.signed:
            files = handed.only(self.store)
        return choose(seen.view, veils.grown(files, seen.veil), self.need, lambda: self._between(seen.view))

    def _stands(self, view: Standing) -> bool:
        """The open action is still the right one, and its file is still here: one that was lost is built again, one that is to
        be hidden by now, or for another key, is given out so."""
        current = view.current
        if not _continues(view) or current is None or not self.veils.right(view, current):
            return False
        return current.kind == "package" or (self._is_signed(view, current) and self.store.files.sound(current.file))

    def _is_signed(self, view: Standing, action: Action) -> bool:
        """Whether a release key signed its file, where its model takes no others."""
        if view.model is None or not view.model.signed or view.component != FIRMWARE:
            return True
        with self.store.read() as db:
            return handed.is_one(db, veils.hidden_in(db, action.file))

    def _dear(self, seen: _Seen, draft: Draft, now: float) -> str:
        """Why its budget has no room for this file; "" when it has."""
        account = seen.account
        if account is None:  # its file went meanwhile
            with self.store.read() as db:
                account = budget.account(db, seen.view.terminal, now)
        return budget.obstacle(account, draft.size, now)

    def _torn(self, db: Connection, view: Standing) -> Action | None:
        """A terminal with an open state log is served that same file, whatever rollouts say by now."""
        if view.said is None or not view.said.open_file:
            return None
        return actions.of_file(db, view.terminal.n, view.component, view.said.open_file)

    def _reopened(self, action: Action) -> Offered:
        if action.state == "open":
            return Offered(action)
        with self.store.write(action.terminal) as db:
            return Offered(actions.reopen(db, action))

    def _withdraw(self, view: Standing, now: float) -> None:
        """Ends an open action that its terminal is not meant to follow any more."""
        current = view.current
        if current is None or current.state == "cancelling" or current.insists:
            return
        wanted = None if view.selected is None else view.selected.release.id
        if (current.release == wanted or view.step is not None) and current.kind != "package":
            return  # in judgement, or waiting: the verdict is still to come
        with self.store.write(current.terminal) as db:
            if current.kind == "package" and current.fetched is not None:
                actions.cancel(db, current)
            else:
                actions.end(db, current, "superseded", now)

    def _between(self, view: Standing) -> list[Release]:
        """Releases that could be a step on the way, the one in the middle first; none that failed this terminal."""
        if view.base is None or view.selected is None:
            return []
        base, goal = view.base, view.selected.release
        with self.store.read() as db:
            found = [one for one in catalog.list_releases(db, goal.model) if standing.lies_between(one, base, goal)]
            tried = [progress.entry(db, Key(view.terminal.n, view.component, one.id)) for one in found]
        failed = {one.id for one, entry in zip(found, tried, strict=True) if entry is not None and entry.verdict in UNFIT}
        middle = (base.sequence + goal.sequence) / 2
        return sorted((one for one in found if one.id not in failed), key=lambda one: abs(one.sequence - middle))

    def _open(self, view: Standing, draft: Draft, now: float) -> Decision:
        with self.store.write(view.terminal.n) as db:
            # Another poll of the same terminal may have been first, and a rollout may have been stopped meanwhile.
            again = standing.read(db, view.terminal, view.component)
            reason = standing.obstacle(again, now)
            if reason:
                return Nothing(reason)
            if self._stands(again):
                assert again.current is not None
                return _given(again.current)
            if again.selected is None or again.selected != view.selected or again.said != view.said:
                return Building()
            if again.selected.terms.confirm and access.by_number(db, view.terminal.n).auto_confirm.at is None:
                draft = replace(draft, state="confirming")
            action = actions.open_after(db, again.current, draft, now)
            progress.offered(db, action, now)
        return _given(action)


def _may_open(view: Standing, now: float) -> bool:
    """Whether deciding may come to a new action."""
    return not _continues(view) and not standing.obstacle(view, now)


def _given(action: Action) -> Offered | Asking:
    return Asking(action) if action.state == "confirming" else Offered(action)


def _continues(view: Standing) -> bool:
    """True where the open action is still the right one: same release, made for what the bank holds now."""
    current, selected = view.current, view.selected
    if current is None or selected is None or current.state == "cancelling":
        return False
    if current.release != selected.release.id and view.step is None:
        return False
    return current.kind == "package" or (view.said is not None and current.base == view.said.bank)
