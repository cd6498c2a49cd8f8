"""`neurath delta`: makes, applies and shows update files. It knows files and options; it must never build or decode by itself,
and never leaves a half-written file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurath.cli import data
from neurath.cli.output import Output
from neurath.clock import agreed
from neurath.disk import write_whole
from neurath.errors import DataError, NotFound, RefusedError, TrustError, UsageError
from neurath.flash.geometry import Layout

if TYPE_CHECKING:
    from neurath.delta.budget import Wish

#: Bytes of the largest bank `apply` draws by itself, without a model.
LARGEST = 1 << 28


def configure(parser: argparse.ArgumentParser) -> None:
    """create, apply, show, explain."""
    verbs = parser.add_subparsers(dest="command", required=True, metavar="create|apply|show|explain|sign|add")
    create = verbs.add_parser("create", help="make an update file from OLD to NEW (raw images)")
    create.add_argument("old", metavar="OLD")
    create.add_argument("new", metavar="NEW")
    create.add_argument("-o", "--output", required=True, metavar="FILE")
    create.add_argument("--profile", choices=("large", "small", "quick", "tiny"), default="small", help="default: small")
    create.add_argument("--ram", type=int, metavar="BYTES", help="RAM the decoder may take at most, instead of the profile's")
    create.add_argument("--in-place", action="store_true", help="for a terminal with one bank (the default)")
    create.add_argument("--sequential", action="store_true", help="for an old image that stays whole elsewhere")
    create.add_argument("--buffers", type=int, default=0, metavar="N", help="scratch mode: planner cache only; 0 is enough")
    create.add_argument("--mode", choices=("scratch", "resume"), default="scratch")
    create.add_argument("--dry-run", action="store_true", help="make it, try it, write nothing")
    apply = verbs.add_parser("apply", help="turn OLD into NEW the way a terminal does")
    apply.add_argument("old", metavar="OLD")
    apply.add_argument("file", metavar="FILE")
    apply.add_argument("-o", "--output", required=True, metavar="NEW")
    apply.add_argument("--dry-run", action="store_true", help="do it in memory, write nothing")
    show = verbs.add_parser("show", help="what an update file is")
    show.add_argument("file", metavar="FILE")
    why = verbs.add_parser("explain", help="which update file a terminal would get, what was weighed, and what decided")
    why.add_argument("old", metavar="OLD")
    why.add_argument("new", metavar="NEW")
    why.add_argument("--lend", type=int, metavar="BYTES", help="RAM the terminal lends in all; default: no limit")
    why.add_argument("--sequential", action="store_true", help="for an old image that stays whole elsewhere")
    why.add_argument("--sector", type=int, default=None, metavar="BYTES", help="equal sectors of a plain chip, default 4096")
    for sub in (create, apply, why):
        sub.add_argument("--model", metavar="FILE", help="memory map (TOML) of the terminals")
    create.add_argument(
        "--sector", type=int, default=None, metavar="BYTES", help="equal sectors of a plain chip, default 4096"
    )
    sign = verbs.add_parser("sign", help="where the release key is: say that FILE makes the release of ENVELOPE")
    sign.add_argument("file", metavar="FILE", help="made by `neurath delta create`")
    sign.add_argument("envelope", metavar="ENVELOPE", help="of the release it makes, by `neurath sign`")
    sign.add_argument(
        "--key", type=Path, required=True, metavar="K", help="the key that signed the envelope: a file, or a token"
    )
    sign.add_argument("-o", "--output", required=True, metavar="SIGNED")
    sign.add_argument("--dry-run", action="store_true", help="sign it, write nothing")
    add = verbs.add_parser("add", help="hand a signed file in, for a model that takes only such")
    add.add_argument("file", metavar="SIGNED")
    add.add_argument("--model", required=True, metavar="M")
    data.dry_run(add)
    data.option(add)
    for sub in (create, apply, show, why, sign, add):
        sub.formatter_class = argparse.RawDescriptionHelpFormatter


def run(args: argparse.Namespace, out: Output) -> int:
    actions = {"create": _create, "apply": _apply, "show": _show, "explain": _explain, "sign": _sign, "add": _add}
    return actions[args.command](args, out)


def _sign(args: argparse.Namespace, out: Output) -> int:
    from neurath.cli import key_token
    from neurath.delta.format import parse
    from neurath.wire import manifest, signed

    key = key_token.load(args.key)
    envelope = manifest.verify(_read(args.envelope), [key.public])
    data = _read(args.file)
    head, _frames = parse(data)
    if head.new_size != envelope.image_size:
        why = f"it makes {head.new_size} B, the release has {envelope.image_size} B"
        raise TrustError("this file does not make the release of this envelope", why, "give the other one", id="NRT-238")
    made = signed.sign(data, envelope.digest[:16], key)
    signed.verify(made, [key.public])
    if not args.dry_run:
        _write(args.output, made)
    text = f"{args.output}: {len(made)} B, for {envelope.version} sequence {envelope.sequence}"
    text += " (dry run, not written)" if args.dry_run else ""
    out.data(text, file=args.output, size=len(made), version=envelope.version, written=not args.dry_run)
    return 0


def _add(args: argparse.Namespace, out: Output) -> int:
    from neurath.server.software import handed

    store = data.store(args, create=False)
    found = handed.hand_in(store, args.model, _read(args.file), agreed(), dry=args.dry_run)
    text = f"{found.model}/{found.new} from {found.old or 'anything'}: {found.size} B{' (dry run)' if args.dry_run else ''}"
    out.data(text, **asdict(found))
    return 0


def _create(args: argparse.Namespace, out: Output) -> int:
    from neurath.delta.budget import Wish
    from neurath.delta.build import build

    _check_wish(args)
    old, new = _read(args.old), _read(args.new)
    model = _model(args.model)
    layout = model.layout if model else _plain(max(len(old), len(new)), 4096 if args.sector is None else args.sector)
    layout = replace(layout, resume=args.mode == "resume" or (model is not None and layout.resume))
    wish = Wish(apart=args.sequential, address=model.address or None if model else None)
    wish = _sized(wish, args.profile)
    delta = build(old, new, layout, wish if args.ram is None else replace(wish, workspace=args.ram))
    largest = _after_cut(old, new, delta.data, layout)
    if not args.dry_run:
        _write(args.output, delta.data)
    share = len(delta.data) / len(new)
    out.data(
        f"{args.output}: {len(delta.data)} B, {share:.1%} of the image; {delta.sectors} sectors get new content; "
        f"a terminal lends {delta.ram_needed(layout)} B of RAM"
        + (f"; after a power cut it asks for at most {largest} B more" if largest else "")
        + (" (dry run, not written)" if args.dry_run else "")
        + (f"\n{delta.advice}" if delta.advice else ""),
        file=args.output,
        size=len(delta.data),
        kind=delta.kind,
        advice=delta.advice,
        image_size=len(new),
        sectors=delta.sectors,
        workspace=delta.workspace,
        ram=delta.ram_needed(layout),
        lost=delta.lost,
        largest_resume=largest,
        in_place=not args.sequential,
        written=not args.dry_run,
    )
    return 0


def _after_cut(old: bytes, new: bytes, data: bytes, layout: Layout) -> int:
    """Resume mode: bytes of the largest file that a cut may ask for; 0 in scratch mode."""
    from neurath.delta import hybrid

    if not layout.resume or not old:
        return 0
    return hybrid.largest(hybrid.Goal(old, new, data), layout).size


def _sized(wish: Wish, profile: str) -> Wish:
    """What the decoder may lend: 6 KiB, 20 KiB, or 4 MB where the terminal runs Linux."""
    from neurath.flash.profiles import LARGE_WORKSPACE, TINY, TINY_WORKSPACE

    if profile == "tiny":
        return replace(wish, profile=TINY, workspace=TINY_WORKSPACE)
    return replace(wish, workspace=LARGE_WORKSPACE) if profile == "large" else replace(wish, quick=profile == "quick")


def _check_wish(args: argparse.Namespace) -> None:
    if args.in_place and args.sequential:
        raise UsageError("--in-place and --sequential exclude each other", "one bank or two", "leave one of them out")
    if args.model and args.sector is not None:
        raise UsageError("--model and --sector exclude each other", "a model names its own sectors", "leave --sector out")
    if args.ram is not None and not 0 < args.ram < 1 << 32:
        raise UsageError("--ram is a number of bytes", f"{args.ram} is none a terminal has", "--ram 20480")
    if args.buffers < 0:
        raise UsageError("--buffers is a number of sectors", f"{args.buffers} is below 0", "--buffers 0")
    if args.mode == "resume":
        least = max(1, -(-16384 // (args.sector or 4096)))
        why = f"a commit unit is {least} sectors, --buffers {args.buffers} holds none"
        if args.buffers < least:
            raise RefusedError(
                "resume mode keeps a commit unit in RAM", why, f"--buffers {least}, or --mode scratch", id="NRT-382"
            )
        if args.sequential:
            raise UsageError("--mode resume is for one bank", "--sequential is for two", "leave one of them out")


def _apply(args: argparse.Namespace, out: Output) -> int:
    from neurath.delta.format import parse

    old, data = _read(args.old), _read(args.file)
    head, _frames = parse(data)
    model = _model(args.model)
    layout = model.layout if model else _layout_of(head.group, head.unit_shift, max(head.old_size, head.new_size, 1))
    if head.hybrid:
        raise RefusedError(
            "this file is for a terminal in mid-rewrite",
            "its base is what a power cut left",
            "give the update file itself",
            id="NRT-384",
        )
    layout = replace(layout, resume=layout.resume or (head.resume and model is None))
    new, operations = _applied(old, data, layout)
    if not args.dry_run:
        _write(args.output, new)
    out.data(
        f"{args.output}: {len(new)} B"
        + (f", {operations} flash operations in place" if operations else "")
        + (" (dry run, not written)" if args.dry_run else ""),
        file=args.output,
        size=len(new),
        in_place=not head.apart,
        operations=operations,
        written=not args.dry_run,
    )
    return 0


def _applied(old: bytes, data: bytes, layout: Layout) -> tuple[bytes, int]:
    """The new image and the flash operations it took; none where the file is not for one bank."""
    import zlib

    from neurath.delta import native, simulate

    head = native.header(data, layout)
    tag = zlib.crc32(old) & 0xFFFF if old else 0
    if head.old_size == 0:
        # A full image asks nothing of what was there: `delta create` makes one where no delta would be smaller.
        new = native.decode_apart(b"", data, layout)
        if zlib.crc32(new) != head.crc:
            raise DataError("this update file is damaged", "what it makes is not what it says", "fetch it again", id="NRT-283")
        return (new, 0) if head.apart else simulate.rewrite(old, new, layout, data)
    if len(old) != head.old_size or tag != head.base:
        raise TrustError(
            "this update file is made for another image",
            f"its base has {head.old_size} B and tag {head.base:04x}, OLD has {len(old)} B and tag {tag:04x}",
            "give the image the terminal runs",
            id="NRT-286",
        )
    new = native.decode_apart(old, data, layout)
    if zlib.crc32(new, zlib.crc32(old)) != head.crc:
        raise DataError("this update file is damaged", "what it makes is not what it says", "fetch it again", id="NRT-283")
    if head.apart:
        return new, 0
    return simulate.rewrite(old, new, layout, data)


def _explain(args: argparse.Namespace, out: Output) -> int:
    from neurath.delta.budget import Wish
    from neurath.delta.explain import explain

    old, new, model = _read(args.old), _read(args.new), _model(args.model)
    layout = model.layout if model else _plain(max(len(old), len(new)), 4096 if args.sector is None else args.sector)
    told = explain(old, new, layout, Wish(apart=args.sequential, address=model.address or None if model else None), args.lend)
    others = [
        f"  {w.name:27} {w.size:>9} B, lends {w.ram:>9} B" + ("" if w.fits else ", not there")
        if w.size
        else f"  {w.name:27} {w.why}"
        for w in told.weighed
    ]
    weighed = [{"name": w.name, "size": w.size, "ram": w.ram, "fits": w.fits, "why": w.why} for w in told.weighed]
    out.data("\n".join([*told.sentences(), "weighed:", *others]), **told.facts(), chosen=told.name, weighed=weighed)
    return 0


def _show(args: argparse.Namespace, out: Output) -> int:
    from neurath.delta.format import PROFILES, parse

    data = _read(args.file)
    head, frames = parse(data)
    place = "for an old image elsewhere" if head.apart else "in place without scratch" if head.resume else "in place"
    place += ", for what a power cut left" if head.hybrid else ""
    together = (
        f", {head.joint} committed at once"
        if head.joint > 1
        else ", each before the one ahead of it is committed"
        if head.slide
        else ""
    )
    control, body = len(head.control), sum(map(len, frames))
    text = (
        f"{head.kind}, profile {head.profile} ({PROFILES[head.profile]}), {place}\n"
        f"  file    {len(data)} B: {control} B of control table, {body} B in {len(frames)} groups\n"
        f"  base    {head.old_size} B, tag {head.base:04x}\n"
        f"  makes   {head.new_size} B\n"
        f"  order   {' '.join(map(str, head.order)) or 'nothing changes'}{together}\n"
        f"  copies  {head.segments}"
        + (f"\n  model   goes on from group to group, looks back {head.window} B" if head.flow else "")
        + (f"\n  largest {_largest(frames)}" if frames else "")
    )
    out.data(
        text,
        kind=head.kind,
        profile=head.profile,
        in_place=not head.apart,
        size=len(data),
        old_size=head.old_size,
        new_size=head.new_size,
        base=head.base,
        crc=head.crc,
        group=head.group,
        order=list(head.order),
        segments=head.segments,
        saves=len(head.saves),
        joint=head.joint,
        slide=head.slide,
        flow=head.flow,
        window=head.window,
        groups=len(frames),
        frames=[len(frame) for frame in frames],
    )
    return 0


def _largest(frames: Sequence[bytes]) -> str:
    """Where the bytes of the groups are: the largest ones, by their place in the file."""
    ranked = sorted(range(len(frames)), key=lambda i: -len(frames[i]))[:5]
    return ", ".join(f"group {i}: {len(frames[i])} B" for i in ranked)


def _plain(room: int, sector: int) -> Layout:
    """A flat chip of equal sectors with room for the image, as `simple_layout` draws it."""
    from neurath.flash.geometry import GROUP, simple_layout

    if sector < 1024 or sector & (sector - 1) or sector > 1 << 20:
        raise UsageError("--sector is a power of two from 1024 to 1048576", f"{sector} is not", "--sector 4096")
    return simple_layout(room, sector=sector, scratch_sectors=max(8, 2 * GROUP // sector))


def _layout_of(group: int, shift: int, room: int) -> Layout:
    from neurath.delta.format import IRREGULAR
    from neurath.flash.geometry import GROUP

    if room > LARGEST:
        why = f"its header speaks of {room} B, a bank holds at most {LARGEST} B"
        raise DataError("this is not a whole update file", why, "fetch it again", id="NRT-284")
    if shift == IRREGULAR or group != GROUP:
        raise UsageError("only the memory map tells how to apply this file", "its sectors are irregular", "--model FILE")
    return _plain(room, (group << shift) if shift else 4096)


def _model(path: str | None):  # type: ignore[no-untyped-def]
    from neurath.flash.geometry import model_from_toml

    return model_from_toml(_read(path).decode(errors="replace")) if path else None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no file {path}", "it does not exist", "check the path") from None


def _write(path: str, data: bytes) -> None:
    """All or nothing: a full disk leaves what was there. What is no plain file (a pipe, a device) is written as it is."""
    goal = Path(path)
    if not goal.parent.is_dir():
        raise NotFound(f"no folder {goal.parent}", f"{goal.name} cannot be written there", "make the folder first")
    try:
        _put(goal, data)
    except OSError as fault:
        fault.filename = path
        raise


def _put(goal: Path, data: bytes) -> None:
    if goal.exists() and not goal.is_file():
        goal.write_bytes(data)
        return
    write_whole(goal, data)
