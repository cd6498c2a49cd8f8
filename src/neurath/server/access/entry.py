"""Signing in and setting up, for console and API alike: the order of the steps. It knows passwords only while it looks at
them; it must never say which of name and password was wrong."""

from __future__ import annotations

import anyio
from anyio import CapacityLimiter, to_thread

from neurath.clock import agreed
from neurath.errors import RefusedError
from neurath.server.access import people, sessions, throttle
from neurath.server.access.people import Newcomer, Operator
from neurath.server.access.roles import Role
from neurath.server.store import Store, acts
from neurath.server.store.marks import NOBODY

#: Each look at a password takes 64 MiB and a processor: so many at once, and so many may wait. They have threads of their own:
#: no guesser holds up a terminal.
AT_ONCE, WAITING = 2, 32


class Wrong(RefusedError):  # noqa: N818 (what it was)
    """Name or password; the API answers 401."""

    default_id = "NRT-363"


class Entry:
    """The way in of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._limiter: CapacityLimiter | None = None

    async def sign_in(self, name: str, password: str, address: str) -> str:
        """The secret for the cookie of a new session; Wrong, or TooMany."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        if self._limiter.statistics().tasks_waiting >= WAITING:
            raise RefusedError("too many sign in at once", "each takes a moment", "try again in a few seconds", id="NRT-310")
        return await to_thread.run_sync(self._sign_in, name, password, address, limiter=self._limiter)

    def _sign_in(self, name: str, password: str, address: str) -> str:
        now = agreed()
        with self.store.write(NOBODY) as db:
            throttle.begin(db, name, address, now)
            found, kept = people.password_of(db, name)
        if not people.right(kept, password) or found is None:
            self._note_failure(name if found is not None else "", address, now)
            raise Wrong("name or password is wrong", "", "an admin can set a new password: neurath operator set NAME")
        with acts.acting(acts.Act(name, found.role.word, "session", address, "sign in")), self.store.write(NOBODY) as db:
            throttle.passed(db, name, address)
            return sessions.begin(db, found, address, agreed())

    def _note_failure(self, name: str, address: str, now: float) -> None:
        """Into the audit log; a name that nobody has is not written down: it may be a password."""
        with acts.acting(acts.Act(name, "", "nobody", address, "sign in failed")) as act, self.store.write(NOBODY) as db:
            act.signed = not throttle.is_told(db, now)

    def set_up(self, name: str, password: str, address: str) -> str:
        """The first operator, once; signed in."""
        now = agreed()
        with acts.acting(acts.Act(name, Role.ADMIN.word, "local", address, "set up")), self.store.write(NOBODY) as db:
            if people.any_there(db):
                raise RefusedError("set-up is over", "there is an operator already", "sign in", id="NRT-364")
            found = people.add(db, Newcomer(name, Role.ADMIN, people.checked(password)), now)
            return sessions.begin(db, found, address, now)

    async def change_password(self, operator: Operator, old: str, new: str, address: str) -> str:
        """A new password for whoever knows the old one; every other session of his ends. Gives the secret of a new one."""
        act = acts.now()
        ended = await self.sign_in(operator.name, old, address)
        if act is not None:
            act.signed = False  # the old password was looked at; the change itself is to come

        def change() -> str:
            with self.store.write(NOBODY) as db:
                sessions.end(db, ended)
                people.set_password(db, operator, new)
                return sessions.begin(db, operator, address, agreed())

        return await to_thread.run_sync(change)
