"""The one error tree. It knows whose fault a failure is and what a person can do about it; it must never format for a
particular screen (cli.main does that).

    NeurathError
    ├── DataError        what came in is not what it claims to be; never retried
    │   └── TrustError   a signature, a key, a class or the floor says no            exit 7
    ├── UsageError       the caller asked for something that makes no sense          exit 2
    ├── NothingToDo      the work is already done                                    exit 3
    ├── NotFound         the thing named does not exist                              exit 4
    ├── RefusedError     a person, a policy or a budget said no                      exit 5
    ├── LinkError        the other side did not answer; the machine retries          exit 6
    └── FlashError       the memory did not do what it was told; leads to restoration

Each carries *what* happened, *why*, and what to *try*: the three lines a person sees. Ids are stable: `NRT-nnn`, listed in
docs/reference/errors.md.
"""

from __future__ import annotations

from typing import ClassVar


class NeurathError(Exception):
    """Something failed; says what, why and what to try."""

    exit_code: ClassVar[int] = 1
    default_id: ClassVar[str] = "NRT-100"

    def __init__(self, what: str, why: str = "", hint: str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(what)
        self.what = what
        self.why = why
        self.hint = hint
        self.id = id or self.default_id

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders (delta workers) whole."""
        return (_rebuild, (type(self), self.what, self.why, self.hint, self.id))


def _rebuild(kind: type[NeurathError], what: str, why: str, hint: str, id: str) -> NeurathError:  # noqa: A002
    return kind(what, why, hint, id=id)


class DataError(NeurathError):
    """Bytes from outside are not what they claim to be."""

    default_id = "NRT-200"


class TrustError(DataError):
    """A signature, a key, a class or the floor refuses this software."""

    exit_code = 7
    default_id = "NRT-250"


class UsageError(NeurathError):
    """The request makes no sense as asked."""

    exit_code = 2
    default_id = "NRT-110"


class NothingToDo(NeurathError):  # noqa: N818 (not a fault)
    """What was asked for is already so."""

    exit_code = 3
    default_id = "NRT-120"


class NotFound(NeurathError):  # noqa: N818 (reads better in a raise)
    """The thing named does not exist."""

    exit_code = 4
    default_id = "NRT-130"


class RefusedError(NeurathError):
    """A person, a policy or a budget said no."""

    exit_code = 5
    default_id = "NRT-300"


class LinkError(NeurathError):
    """The other side did not answer, or stopped answering."""

    exit_code = 6
    default_id = "NRT-400"


class FlashError(NeurathError):
    """The memory did not do what it was told."""

    default_id = "NRT-500"
