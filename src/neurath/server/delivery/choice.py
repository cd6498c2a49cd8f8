"""What file a terminal gets for the release that is selected for it: package, delta or the whole, in which profile, and
whether there is a way back. It knows a standing and what is built; it must never write, nor open an action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from neurath.flash.geometry import file_layout
from neurath.flash.profiles import LARGE, LARGE_WORKSPACE, QUICK, TINY
from neurath.ids import FIRMWARE
from neurath.server.delivery import pace
from neurath.server.delivery.decision import Building, Nothing
from neurath.server.delivery.pace import Built, Choice, File, Need, Pending, Refuse, Situation, Take, Unbuilt, Wait
from neurath.server.fleet.actions import Draft
from neurath.server.fleet.standing import Said, Standing
from neurath.server.software.catalog import IMAGE, Release
from neurath.server.software.deltas import LEAN, PROFILE, Files, usual

#: Releases on the way that are tried at most: each costs two files or more.
WAYS = 3


def choose(
    view: Standing, files: Files, need_of: Need, between: Callable[[], Sequence[Release]] = list
) -> Draft | Building | Nothing:
    """The draft of an action for the release that is selected; that its file is being built, or why there is none.
    `need_of` is the core's own count of RAM; `between`: releases that could be a step on the way, the best first."""
    assert view.selected is not None
    release = view.selected.release
    package = Draft(
        terminal=view.terminal.n,
        component=view.component,
        release=release.id,
        rollout=view.selected.rollout,
        kind="package",
        file=release.image,
        size=release.size,
    )
    if release.kind != IMAGE:
        return package
    assert view.said is not None
    if view.component != FIRMWARE:
        return _choose_file(view, package, files)
    choice = _weighed(view, files, need_of)
    match choice:
        case Wait():
            return Building()
        case Refuse(reason=reason, ram=ram):
            way = _by_way_of(view, files, need_of, between()) if ram else None
            return way or Nothing(reason)
        case Take():
            return _drafted(view, files, choice)


def _weighed(view: Standing, files: Files, need_of: Need) -> Choice:
    """The choice between full image and delta, in the first profile whose decoder the lent memory holds."""
    assert view.said is not None
    assert view.selected is not None
    situation = _situation(view)
    profiles = _profiles_of_bank(view.said, max(view.selected.release.size, view.said.bank_size))
    choice = pace.choose(situation, _asker(view, files, profiles[0]), need_of)
    for profile in profiles[1:]:
        if isinstance(choice, Refuse) and choice.ram:
            choice = pace.choose(situation, _asker(view, files, profile), need_of)
    return choice


def _by_way_of(view: Standing, files: Files, need_of: Need, between: Sequence[Release]) -> Draft | Building | None:
    """The first of two steps, by way of a signed release between, where no direct file fits: only when both do."""
    assert view.selected is not None
    for release in between[:WAYS]:
        first = replace(view, selected=replace(view.selected, release=release))
        choices = [_weighed(one, files, need_of) for one in (first, replace(view, base=release))]
        if any(isinstance(choice, Wait) for choice in choices):
            return Building()
        step = choices[0]
        if isinstance(step, Take) and step.kind == "delta" and isinstance(choices[1], Take):
            found = _drafted(first, files, step)
            return found if isinstance(found, Draft | Building) else None
    return None


def _drafted(view: Standing, files: Files, take: Take) -> Draft | Building | Nothing:
    assert view.said is not None
    assert view.selected is not None
    return _way_back(view, files) or Draft(
        terminal=view.terminal.n,
        component=view.component,
        release=view.selected.release.id,
        rollout=view.selected.rollout,
        kind=take.kind,
        file=take.built.file,
        size=take.built.size,
        need=take.need,
        base=view.said.bank,
    )


def _choose_file(view: Standing, whole: Draft, files: Files) -> Draft | Building | Nothing:
    """A component that is a file: a delta to it where that is known to be worth it, else the file as it is."""
    assert view.said is not None
    room = max(view.said.ram, view.said.stage, view.said.spare)
    layout = file_layout()
    sizes = (view.base.size if view.base else 0, whole.size)
    for profile in profiles_of_file(view.said.ram, *sizes):
        if view.base is None:
            break
        match files(view.base.image, whole.file, layout, profile):
            case Pending():
                return Building()
            case Built() as built:
                need = built.workspace + sum(sizes)
                if built.size < whole.size and need <= view.said.ram and built.size <= room:
                    return replace(whole, kind="delta", file=built.file, size=built.size, need=need, base=view.said.bank)
    if whole.size > room:
        return Nothing(f"has no room for {whole.size:,} bytes: it could stage {room:,}")
    return replace(whole, kind="full", base=view.said.bank)


def _situation(view: Standing) -> Situation:
    assert view.said is not None
    assert view.selected is not None
    assert view.model is not None
    return Situation(
        layout=view.model.layout,
        image_size=view.selected.release.size,
        speed=view.said.link or view.terminal.link,
        limit=view.selected.limit,
        ram=view.said.ram,
        stage=max(view.said.stage, view.said.spare),
        base=view.base is not None,
    )


def _way_back(view: Standing, files: Files) -> Building | Nothing | None:
    """A terminal is offered nothing before the return delta to what it runs is built (docs/spec/rescue.md). Where it can be
    rescued over the air there is no offer without it; where its wire brings it back, it is enough that it was tried."""
    assert view.selected is not None
    assert view.model is not None
    if view.base is None:
        return None
    match files(
        view.selected.release.image, view.base.image, view.model.layout, usual(view.said.profiles if view.said else 0)
    ):
        case Pending():
            return Building()
        case Unbuilt(reason=reason) if view.model.rescue != "wire":
            return Nothing(f"there would be no way back: {reason}")
    return None


def profiles_of_file(ram: int, old: int, new: int) -> tuple[int, ...]:
    """What to build between two files of these sizes, best first. Who has components that are files runs Linux, with all
    profiles in its core; the large one takes seconds of the server's time a megabyte, so it is for files of some."""
    if max(old, new) > pace.DELTA_MOST:
        return ()
    if max(old, new) <= pace.LARGE_MOST and LARGE_WORKSPACE + old + new <= ram:
        return LARGE, PROFILE
    return (PROFILE,)


def _profiles_of_bank(said: Said, size: int) -> tuple[int, ...]:
    """What to build for a bank with an image of this size, best first; a lesser one where its decoder asks for too much RAM.
    A check-in that names no profiles has the first three. Where the tiny one is spoken the simple one has no use: its decoder
    takes more. The quick one takes the RAM of the usual one, a third of its steps, and some hundredths more of file."""
    lean = TINY if said.profiles >> TINY & 1 else LEAN
    if lean == usual(said.profiles):
        return (lean,)
    if said.profiles >> LARGE & 1 and size <= pace.LARGE_MOST and said.ram >= LARGE_WORKSPACE:
        return LARGE, PROFILE, lean
    return QUICK if said.profiles >> QUICK & 1 else PROFILE, lean


def _asker(view: Standing, files: Files, profile: int) -> Callable[[Literal["full", "delta"]], File]:
    def ask(kind: Literal["full", "delta"]) -> File:
        assert view.selected is not None
        assert view.model is not None
        old = view.base.image if kind == "delta" and view.base is not None else ""
        # Where nothing is copied there is nothing to be quick about.
        return files(old, view.selected.release.image, view.model.layout, profile if old or profile != QUICK else PROFILE)

    return ask
