"""Terminals that cannot boot: the file made for what a cut left of a rewrite, and the return delta for an image that did not
confirm. It knows questions of docs/spec/rescue.md; it must never leave one without a file that can be made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from neurath.delta.format import is_hybrid
from neurath.errors import NotFound, RefusedError
from neurath.flash.geometry import Layout
from neurath.ids import FIRMWARE
from neurath.server.delivery import tickets, veils
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.pace import Built, File, Pending, Unbuilt
from neurath.server.fleet import access, actions, progress, standing
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.actions import Action, Draft
from neurath.server.software import catalog, handed
from neurath.server.software.catalog import Release
from neurath.server.software.deltas import Cut, usual
from neurath.server.software.models import find_model
from neurath.wire import rescue, ticket
from neurath.wire.report import Phase, Report, Verdict
from neurath.wire.rescue import Question

WIRE = "restore it over the wire"


@dataclass(frozen=True, slots=True)
class Way:
    """From what to what: the image the bank held before, the release it is to hold, the one it was meant to, and the action
    it was cut in, None where that is not known here; `profile` is what its core decodes, `key_list` what it goes by."""

    terminal: Terminal
    layout: Layout
    old: str
    goal: Release
    meant: Release
    action: Action | None
    profile: int
    key_list: int


class Rescue:
    """One store's rescues. Safe to call from any thread."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.store = delivery.store

    def answer(self, tenant: str, name: str, body: bytes, now: float) -> bytes | None:
        """The answer to a question; None: its file is being built, ask again. DataError, NotFound, RefusedError."""
        asked = rescue.question_from(body)
        with self.store.read() as db:
            terminal = access.find(db, name, tenant)
            way = self._forward(db, terminal, asked) if asked.description else self._back(db, terminal, asked)
        found = self._file(way, asked)
        if isinstance(found, Pending):
            return None
        if isinstance(found, Unbuilt):
            raise RefusedError("no file can be made for this bank", found.reason, WIRE, id="NRT-332")
        return self._issue(way, asked, found, now)

    # ---- where it is to go -------------------------------------------------------------------------------------------

    def _forward(self, db: Connection, terminal: Terminal, asked: Question) -> Way:
        """In mid-rewrite: on to the release of the open plan, or, where that was revoked, to the newest it may have."""
        said = standing.last_said(db, terminal, FIRMWARE)
        if said is None or said.nonce != asked.nonce.hex():
            raise _unknown(terminal.id)
        release, layout = self._release(db, terminal, asked), self._layout(db, terminal)
        action = self._cut(db, terminal, release)
        # A server that was restored from a backup may know nothing of the action; the nonce says that the bank held what
        # the terminal said last.
        base = said.bank if action is None else action.base
        old = self._image(db, terminal, base)
        if old is None:
            raise RefusedError("what this bank held is not known here", base[:16], WIRE, id="NRT-332")
        view = standing.read(db, terminal, FIRMWARE)
        goal = release
        if release.revoked is not None and view.selected is not None and view.selected.release.revoked is None:
            goal = view.selected.release
        return Way(terminal, layout, old.image, goal, release, action, usual(said.profiles), said.key_list)

    def _back(self, db: Connection, terminal: Terminal, asked: Question) -> Way:
        """An image that did not confirm: back to what the bank held before it. Its nonce nobody has seen: what the answer
        says is of use to this terminal alone."""
        release, layout = self._release(db, terminal, asked), self._layout(db, terminal)
        action = self._cut(db, terminal, release)
        if action is None:
            raise _unknown(terminal.id)
        before = self._image(db, terminal, action.base)
        if before is None or before.id == release.id or before.revoked is not None:
            raise RefusedError("no image is known to go back to", release.name, WIRE, id="NRT-332")
        said = standing.last_said(db, terminal, FIRMWARE)
        profile, key_list = (usual(0), 0) if said is None else (usual(said.profiles), said.key_list)
        return Way(terminal, layout, release.image, before, release, action, profile, key_list)

    def _cut(self, db: Connection, terminal: Terminal, release: Release) -> Action | None:
        """The action whose file brought, or was bringing, this release: the last that was made for a bank that was whole."""
        for action in actions.of_release(db, terminal.n, FIRMWARE, release.id):
            if action.base and not self._is_hybrid(action.file):
                return action
        return None

    def _is_hybrid(self, file: str) -> bool:
        file = self._plain(file)
        if not self.store.files.sound(file):
            return False
        with self.store.files.verified(file).open("rb") as source:
            return is_hybrid(source.read(6))

    def _plain(self, file: str) -> str:
        """The file as it was built."""
        with self.store.read() as db:
            return veils.hidden_in(db, file)

    def _release(self, db: Connection, terminal: Terminal, asked: Question) -> Release:
        for one in catalog.list_releases(db, str(terminal.model)):
            if one.component == FIRMWARE and one.envelope_digest[:32] == asked.envelope.hex():
                return one
        raise _unknown(terminal.id)

    def _image(self, db: Connection, terminal: Terminal, image: str) -> Release | None:
        every = catalog.list_releases(db, str(terminal.model))
        return next((one for one in every if one.component == FIRMWARE and one.image == image), None)

    def _layout(self, db: Connection, terminal: Terminal) -> Layout:
        model = find_model(db, str(terminal.model))
        if model is None:
            raise _unknown(terminal.id)
        return model.layout

    # ---- the file and the word for it ---------------------------------------------------------------------------------

    def _file(self, way: Way, asked: Question) -> File:
        deltas = self.delivery.deltas
        if self._takes_signed(way.terminal):
            only = handed.only(self.store)
            return Unbuilt(handed.NONE) if asked.description else only(way.old, way.goal.image, way.layout, way.profile)
        if not asked.description:
            return deltas.get(way.old, way.goal.image, way.layout, way.profile)
        cut = way.action
        file = self._plain(cut.file) if cut is not None and cut.kind == "delta" else ""
        file = file if file and self.store.files.sound(file) else ""
        left = Cut(asked.description, file) if way.goal == way.meant else Cut(asked.description, meant=way.meant.image)
        return deltas.resumed(way.old, way.goal.image, way.layout, left, way.profile)

    def _issue(self, way: Way, asked: Question, built: Built, now: float) -> bytes:
        back = not asked.description
        built = self._hidden(way.terminal, built)
        with self.store.write(way.terminal.n) as db:
            action = self._held(db, way, built, back, now)
            serial = access.next_serial(db, way.terminal, now)
        blocks = tickets.block_hashes(self.store.files.verified(built.file))
        to = tickets.For(way.terminal.id, asked.nonce, serial, way.key_list)
        signed = ticket.sign(
            ticket.Ticket(
                device=ticket.device_of(to.terminal),
                nonce=to.nonce,
                serial=to.serial,
                kind=ticket.DELTA if back else ticket.RESUME,
                envelope=bytes.fromhex(way.goal.envelope_digest)[:16],
                file=bytes.fromhex(action.file)[:16],
                file_size=built.size,
                base=bytes.fromhex(way.old)[:16] if back else hashlib.sha256(asked.description).digest()[:16],
                blocks=hashlib.sha256(blocks).digest()[:16],
                key_list=to.key_list,
            ),
            self.delivery.key,
        )
        other = way.goal.envelope_digest[:32] != asked.envelope.hex()
        return rescue.answer_to(signed, way.goal.envelope if other else b"")

    def _takes_signed(self, terminal: Terminal) -> bool:
        with self.store.read() as db:
            model = find_model(db, str(terminal.model))
        return model is not None and model.signed

    def _hidden(self, terminal: Terminal, built: Built) -> Built:
        """The same file veiled, where its model's files are."""
        with self.store.read() as db:
            if not veils.is_veiled_model(db, terminal.model):
                return built
            to = veils.of(db, terminal.n)
        if to is None:
            raise RefusedError("no file can be given out for this bank", veils.NO_KEY, WIRE, id="NRT-332")
        file = self.delivery.veils.hide(terminal.n, to, built.file)
        return replace(built, file=file, size=built.size + to.header)

    def _held(self, db: Connection, way: Way, built: Built, back: bool, now: float) -> Action:
        """The file stays until the terminal gives a verdict: an action of its own holds it, once."""
        held = actions.of_file(db, way.terminal.n, FIRMWARE, built.file)
        if held is not None and held.held:
            return held
        cut = way.action
        if back and cut is not None and cut.state in actions.ACTIVE:
            said = Report(str(cut.id), Phase.FAILED, Verdict.FAILED, reason="it did not confirm, and goes back")
            progress.reported(db, cut, said, "", now)
        draft = Draft(
            terminal=way.terminal.n,
            component=FIRMWARE,
            release=way.goal.id,
            rollout=None if cut is None else cut.rollout,
            kind="delta",
            file=built.file,
            size=built.size,
            need=0 if cut is None else cut.need,
            base=way.old,
        )
        action = actions.open_action(db, draft, now)
        return replace(action, held=True)


def _unknown(name: str) -> NotFound:
    return NotFound(f"nothing is known of {name[:40]} that helps it", "another server's, or another nonce", id="NRT-159")
