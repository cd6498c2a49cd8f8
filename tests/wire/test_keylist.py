"""Lists of keys: two roots of three sign, each list follows the one before, and nothing else is ever believed."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError, NeurathError, NotFound, RefusedError, TrustError
from neurath.flash.listed import Listed
from neurath.flash.native import Core, Nor
from neurath.flash.trust import Birth
from neurath.terminal.keyring import Keyring, Source
from neurath.wire import cbor, keylist, keys
from neurath.wire.keylist import Family, KeyList, Roots, SignedList
from neurath.wire.keys import Alg, SigningKey
from tests.parts import ASSURANCE
from tests.station.device import SMALL, birth_of
from tests.wire.vectors import cases, load, refused


def seeded(name: str) -> SigningKey:
    return keys.from_seed(hashlib.sha256(name.encode()).digest())


A, B, C, D = (seeded(f"root {letter}") for letter in "abcd")
RELEASE, OTHER, TICKET = seeded("release"), seeded("other release"), seeded("ticket")
ROOTS = Roots((A.public, B.public, C.public))
FIRST = KeyList(1, ROOTS, ROOTS, (Family(("lamp", "lantern"), (RELEASE.public,)),), TICKET.public, 1_700_000_000)


def signed(found: KeyList, *signers: SigningKey) -> bytes:
    made = keylist.draft(found)
    for key in signers:
        made = made.signed(key.public, key.sign(made.message))
    return keylist.pack(made)


def after(found: KeyList, **changes: object) -> KeyList:
    return replace(found, version=found.version + 1, roots=found.successors, **changes)


@pytest.mark.parametrize("signers", [(A, B), (B, C), (C, A), (A, B, C)])
def test_two_roots_of_three_make_a_list_that_is_believed(signers: tuple[SigningKey, ...]) -> None:
    found = keylist.accept(signed(FIRST, *signers), ROOTS.digest, 0)
    assert found == FIRST
    assert (found.release("lamp"), found.release("phone")) == ((RELEASE.public,), ())


@pytest.mark.parametrize("signers", [(), (A,), (A, A), (A, D), (RELEASE, TICKET), (D, RELEASE, A)])
def test_one_root_alone_changes_nothing_whoever_else_signs(signers: tuple[SigningKey, ...]) -> None:
    with pytest.raises(TrustError):
        keylist.accept(signed(FIRST, *signers), ROOTS.digest, 0)


def test_no_signature_counts_twice() -> None:
    alone = keylist.draft(FIRST).signed(A.public, A.sign(keylist.draft(FIRST).message))
    twice = replace(alone, signatures=alone.signatures * 2)
    lent = replace(alone, signatures=tuple(sorted([*alone.signatures, (keylist.mark(B.public), alone.signatures[0][1])])))
    for forged in (twice, lent):
        with pytest.raises(DataError):
            keylist.accept(keylist.pack(forged), ROOTS.digest, 0)
    with pytest.raises(DataError):
        Roots((A.public, A.public, B.public))


def test_lists_are_taken_in_order_and_never_back() -> None:
    second = after(FIRST, ticket=None)
    with pytest.raises(RefusedError):
        keylist.accept(signed(second, A, B), ROOTS.digest, 0)
    with pytest.raises(RefusedError):
        keylist.accept(signed(FIRST, A, B), ROOTS.digest, 1)
    assert keylist.accept(signed(second, A, B), ROOTS.digest, 1).ticket is None


def test_an_exchange_of_roots_is_signed_by_the_old_and_by_the_new() -> None:
    fresh = Roots((D.public, OTHER.public, C.public))
    second = after(FIRST, successors=fresh)
    for short in ((A, B), (C, D), (D, OTHER)):
        with pytest.raises(TrustError):
            keylist.accept(signed(second, *short), ROOTS.digest, 1)
    assert keylist.accept(signed(second, A, C, D), ROOTS.digest, 1).successors == fresh
    third = after(second)
    assert keylist.accept(signed(third, D, OTHER), fresh.digest, 2) == third
    with pytest.raises(TrustError):
        keylist.accept(signed(third, A, B), ROOTS.digest, 2)


def test_fifty_exchanges_of_roots_are_followed_and_a_gap_is_not() -> None:
    people = [seeded(f"person {n}") for n in range(53)]
    chain, found = [], None
    for n in range(50):
        mine, theirs = people[n : n + 3], people[n + 1 : n + 4]
        found = KeyList(n + 1, *(Roots(tuple(key.public for key in some)) for some in (mine, theirs)), issued=n)
        chain.append(signed(found, *mine[1:], theirs[-1]))
    first = Roots(tuple(key.public for key in people[:3]))
    assert keylist.follow(chain, first.digest) == found
    with pytest.raises(NeurathError):
        keylist.follow(chain[:20] + chain[21:], first.digest)


KEYS = st.binary(min_size=32, max_size=32).map(lambda seed: keys.PublicKey(Alg.ED25519, seed))
ROOTED = st.lists(KEYS, min_size=2, max_size=5, unique=True).map(lambda some: Roots(tuple(some)))
NAMES = st.text(alphabet="abcxyz019.-", min_size=1, max_size=8)
FAMILIES = st.lists(NAMES, unique=True, max_size=6).flatmap(
    lambda names: st.lists(KEYS, min_size=1, max_size=4, unique=True).map(
        lambda some: tuple(Family((name,), tuple(some)) for name in names)
    )
)
LISTS = st.builds(KeyList, st.integers(1, 2**32 - 1), ROOTED, ROOTED, FAMILIES, st.none() | KEYS, st.integers(0, 2**32 - 1))


@given(LISTS)
def test_every_list_reads_back_equal(found: KeyList) -> None:
    assert keylist.unpack(keylist.pack(keylist.draft(found))) == (keylist.draft(found), found)


@given(st.binary(max_size=300))
def test_no_byte_string_crashes_the_reader(data: bytes) -> None:
    for raw in (data, cbor.pack({1: data, 2: []}), keylist.pack(SignedList(data, ((data[:8], data[:64]),)))):
        with pytest.raises(DataError):
            keylist.unpack(raw)


def test_no_flipped_bit_and_no_missing_byte_is_believed() -> None:
    raw = signed(FIRST, A, B)
    for bit in range(0, len(raw) * 8, 1 if ASSURANCE else 7):
        broken = bytearray(raw)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((DataError, RefusedError)):
            keylist.accept(bytes(broken), ROOTS.digest, 0)
    for end in range(0, len(raw), 1 if ASSURANCE else 7):
        with pytest.raises(DataError):
            keylist.accept(raw[:end], ROOTS.digest, 0)


@pytest.mark.parametrize("case", cases("keylist"))
def test_the_vectors_of_the_key_list_page_hold(case: dict[str, str]) -> None:
    found = keylist.accept(bytes.fromhex(case["list"]), bytes.fromhex(case["root"]), int(case["version"]) - 1)
    assert found.ticket is not None
    assert (found.ticket.data.hex(), found.families[0].keys[0].data.hex()) == (case["ticket"], case["release"])
    assert found.families[0].models == tuple(case["models"].split())


# ---- the same list before the C of a bare terminal -----------------------------------------------------------------------


def bare(root: bytes, version: int, model: str = "lamp") -> Listed:
    """The core's reader, which has taken `version` lists."""
    core = Core(SMALL.layout, Nor.memory(SMALL.layout))
    core.power_up()
    listed = Listed(core, replace(birth_of(SMALL), model=model, root=root))
    listed.raw.version = version
    return listed


def both(raw: bytes, root: bytes = ROOTS.digest, version: int = 0) -> KeyList | None:
    """The list where Python and C alike believe it, None where neither does."""
    listed = bare(root, version)
    try:
        found = keylist.accept(raw, root, version)
    except NeurathError as fault:
        with pytest.raises(type(fault)):
            listed.take(raw)
        assert listed.version == version
        return None
    listed.take(raw)
    assert listed.version == found.version
    assert (listed.birth.release, listed.birth.ticket) == (found.release("lamp"), found.ticket)
    assert bytes(listed.raw.root) == found.successors.digest
    return found


@pytest.mark.parametrize("case", cases("keylist"))
def test_the_core_believes_the_vectors_as_well(case: dict[str, str]) -> None:
    assert both(bytes.fromhex(case["list"]), bytes.fromhex(case["root"]), int(case["version"]) - 1)


@pytest.mark.parametrize("case", refused("keylist"), ids=lambda case: case["what"])
def test_neither_believes_what_the_vectors_say_is_refused(case: dict[str, str]) -> None:
    assert both(bytes.fromhex(case["list"]), bytes.fromhex(case["root"]), int(case["version"]) - 1) is None


@given(LISTS)
def test_the_core_reads_every_list_as_python_does(found: KeyList) -> None:
    listed = replace(found, version=1, roots=ROOTS)
    more = replace(listed, successors=ROOTS)
    people = (A, B, C)
    assert both(signed(more, *people)) == more
    assert both(signed(listed, *people)) is (listed if listed.successors == ROOTS else None)  # the new have not signed


def test_where_the_roots_sign_what_is_malformed_neither_takes_another_form_than_the_other() -> None:
    dice, taken = random.Random(5), 0
    fresh = Roots((A.public, B.public, D.public))
    two = (Family(("lamp", "lantern"), (RELEASE.public,)), Family(("phone",), (OTHER.public, RELEASE.public)))
    bodies = [
        keylist.draft(replace(FIRST, families=two, **more)).body for more in ({}, {"successors": fresh}, {"ticket": None})
    ]
    for _ in range(20000 if ASSURANCE else 1200):
        body = bytearray(dice.choice(bodies))
        for _ in range(dice.randrange(1, 3)):
            at = dice.randrange(len(body))
            match dice.randrange(4):
                case 0:
                    body[at] = dice.randrange(256)
                case 1:
                    body[at] ^= 1 << dice.randrange(8)
                case 2:
                    del body[at]
                case 3:
                    body.insert(at, dice.choice((0, 1, 2, body[at])))
        made = SignedList(bytes(body))
        for key in (A, B, D):
            made = made.signed(key.public, key.sign(made.message))
        taken += both(keylist.pack(made)) is not None
    assert taken > 20, "nothing that came through was judged"


@pytest.mark.parametrize("case", load("keylist")["times"], ids=lambda case: case["what"])
def test_the_vectors_of_a_lists_time_hold(case: dict[str, str]) -> None:
    """The core reads past it: a bare terminal has no TLS."""
    found = both(bytes.fromhex(case["list"]), bytes.fromhex(case["root"]), int(case["version"]) - 1)
    assert found is not None
    assert found.issued == int(case["issued"])


def test_a_terminal_goes_by_the_time_of_the_list_it_holds_and_none_is_kept_beside_it(tmp_path: Path) -> None:
    """Versions order, times do not: a later list of a lower time is what mends a wrong one."""
    birth = Birth("t", "lamp", bytes(16), bytes(16), bytes(32), root=ROOTS.digest)
    lists, log = [signed(replace(FIRST, issued=4_000_000_000), A, B)], Log()
    ring = Keyring(birth, tmp_path / "keys", log)
    assert (ring.signed_at, ring.catch_up(source(lists)), ring.signed_at) == (0.0, 1, 4e9)
    assert Keyring(birth, tmp_path / "keys", log).signed_at == 4e9
    lists.append(signed(after(FIRST, issued=1_800_000_000), A, B))
    assert (ring.catch_up(source(lists)), ring.signed_at) == (1, 1.8e9)
    lists.append(signed(after(after(FIRST), issued=0), A, B))
    assert (ring.catch_up(source(lists)), ring.signed_at) == (1, 0.0)
    # Nobody brings the first back: whoever puts its file there has the terminal take the others anew.
    (tmp_path / "keys").write_bytes(lists[0])
    put_back = Keyring(birth, tmp_path / "keys", log)
    assert put_back.current is None
    assert (put_back.catch_up(source(lists)), put_back.signed_at) == (2, 0.0)


class Log:
    """The version that a state log would have."""

    def __init__(self) -> None:
        self.facts = SimpleNamespace(key_list=0)

    def accept_key_list(self, version: int) -> None:
        self.facts.key_list = version


def source(lists: list[bytes]) -> Source:
    def give(version: int) -> bytes:
        if version > len(lists):
            raise NotFound("none")
        return lists[version - 1]

    return give
