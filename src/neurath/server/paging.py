"""Pages of the management plane: so many of a list after the last one of the page before, and where the next page is. It knows
the Link header (RFC 8288); it must never count what comes before a page, which takes as long wherever it lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field

Row = TypeVar("Row")
#: Of one page, at the most.
MOST = 1000
Limit = Annotated[int, Field(ge=1, le=MOST)]
#: What is named by a number, in a path: no database has larger ones.
Number = Annotated[int, Path(ge=1, le=1 << 53)]


@dataclass(frozen=True, slots=True)
class Pages:
    """One request's list."""

    request: Request
    response: Response

    def cut(self, found: list[Row], limit: int, **mark: Callable[[Row], object]) -> list[Row]:
        """The page; what was read beyond it (one more than `limit` is asked for) says that there is another. `mark`: the query
        parameter that names the last one, and how it is named."""
        if len(found) <= limit:
            return found
        found = found[:limit]
        address = self.request.url.include_query_params(**{name: say(found[-1]) for name, say in mark.items()})
        self.response.headers["Link"] = f'<{address.path}?{address.query}>; rel="next"'
        return found


def _of(request: Request, response: Response) -> Pages:
    return Pages(request, response)


#: A parameter of a route whose answer has pages.
Paged = Annotated[Pages, Depends(_of)]


class Before(BaseModel):
    """A page of a list whose newest comes first: those before this number."""

    before: Annotated[int | None, Field(ge=1, le=1 << 53)] = None
    limit: Limit = 100


class After(BaseModel):
    """A page of a list in order of tenant and id: those after TENANT/ID."""

    after: Annotated[str, Field(max_length=130, examples=["DEFAULT/T-0001"])] = ""
    limit: Limit = MOST

    @property
    def last(self) -> tuple[str, str]:
        tenant, _, name = self.after.partition("/")
        return tenant, name
