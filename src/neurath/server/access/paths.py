"""The table of rights held against the routes of an application. It knows paths; it must never let an application be made that
has a route without a role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlette.routing import BaseRoute, Mount, Route, compile_path

from neurath.errors import NeurathError
from neurath.server.access.rights import ROUTES
from neurath.server.access.roles import Role


@dataclass(frozen=True, slots=True)
class Right:
    """One line of the table, as a request is held against it."""

    key: str
    methods: frozenset[str]
    path: re.Pattern[str]
    needed: Role


@dataclass(frozen=True, slots=True)
class Rights:
    """The lines for the routes of one application, in their order."""

    lines: tuple[Right, ...]

    @classmethod
    def of(cls, routes: Iterable[BaseRoute]) -> Rights:
        """Every route of an application has its role, or the application is not made."""
        found = []
        for method, path in walked(routes):
            key = f"{method} {path}"
            if key not in ROUTES:
                raise NeurathError(f"the route {key} has no role", "server/access/rights.py does not name it", "add it there")
            methods = ("GET", "HEAD") if method == "GET" else (method,)
            found.append(Right(key, frozenset(methods), compiled(path), ROUTES[key]))
        return cls(tuple(found))

    def find(self, method: str, path: str) -> Right | None:
        """The line of a request; None: there is no such route, nobody gets further than being told so."""
        return next((one for one in self.lines if method in one.methods and one.path.fullmatch(path)), None)


def compiled(path: str) -> re.Pattern[str]:
    return compile_path(path)[0]


def walked(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(method, path) of every route there is, those of mounted applications too."""
    for one in routes:
        if isinstance(one, Mount):
            inner = getattr(one.app, "routes", None)
            if inner is None:
                yield "GET", f"{prefix}{one.path}/{{path:path}}"
            else:
                yield from walked(inner, prefix + one.path)
        elif isinstance(one, Route):
            for method in sorted((one.methods or {"GET"}) - {"HEAD", "OPTIONS"}):
                yield method, prefix + one.path
        else:
            yield "GET", f"{prefix}{getattr(one, 'path', one)}"
