"""The list of keys that roots sign, two of three people: whose releases a terminal believes, whose tickets it takes, and who
signs the next list. It knows the bytes, how signatures are counted and what may follow what; it must never hold a private key,
nor load more than a terminal has. Spec: docs/spec/keylist.md."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from neurath.errors import DataError, RefusedError, TrustError
from neurath.flash.trust import MAX_KEYS, Alg, PublicKey, signature_holds
from neurath.wire import cbor
from neurath.wire.cbor import Fields, malformed

WHAT = "key list"
MAX_ROOTS = 5
MAX_FAMILIES = 64
MAX_MODELS = 256
#: One person alone never changes what a fleet believes.
LEAST = 2
_DOMAIN = b"neurath key list 1\0"


def mark(key: PublicKey) -> bytes:
    """How a list names the key of a signature: the first 8 bytes of its fingerprint."""
    return hashlib.sha256(bytes([key.alg]) + key.data).digest()[:8]


@dataclass(frozen=True, slots=True)
class Roots:
    """Who signs a list: `threshold` of `keys`, each of them another."""

    keys: tuple[PublicKey, ...]
    threshold: int = LEAST

    def __post_init__(self) -> None:
        if not LEAST <= self.threshold <= len(self.keys) <= MAX_ROOTS or len(set(self.keys)) != len(self.keys):
            why = (
                f"{self.threshold} of {len(set(self.keys))} keys; at least {LEAST} of at most {MAX_ROOTS} different ones sign"
            )
            raise DataError("these are no roots", why, "three roots, two of which sign", id="NRT-242")

    @property
    def digest(self) -> bytes:
        """SHA-256 that stands for them in a birth record."""
        return hashlib.sha256(cbor.pack(self.fields())).digest()

    def fields(self) -> dict[int, object]:
        return {1: self.threshold, 2: [_octets(key) for key in self.keys]}


@dataclass(frozen=True, slots=True)
class Family:
    """Models whose releases the same keys sign."""

    models: tuple[str, ...]
    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class KeyList:
    """What a list says. `roots` sign it, `successors` sign the next one: the same, unless roots are exchanged. `issued` is
    in seconds since 1970. `ticket` None: tickets of nobody are taken."""

    version: int
    roots: Roots
    successors: Roots
    families: tuple[Family, ...] = ()
    ticket: PublicKey | None = None
    issued: int = 0

    def __post_init__(self) -> None:
        names = [name for family in self.families for name in family.models]
        if not 1 <= self.version <= cbor.MAX_NUMBER or not 0 <= self.issued <= cbor.MAX_NUMBER:
            raise malformed(WHAT, "a number is negative, nought or above 32 bits")
        if len(set(names)) != len(names) or len(self.families) > MAX_FAMILIES or len(names) > MAX_MODELS:
            raise malformed(WHAT, "a model is named twice, or there are too many")
        if any(not 1 <= len(family.keys) <= MAX_KEYS or len(set(family.keys)) != len(family.keys) for family in self.families):
            raise malformed(WHAT, f"a family has no key, more than {MAX_KEYS}, or one twice")
        cbor.demand_texts(WHAT, 64, *names)

    def release(self, model: str) -> tuple[PublicKey, ...]:
        """Whose releases a terminal of this model takes; none where no family has it."""
        return next((family.keys for family in self.families if model in family.models), ())


@dataclass(frozen=True, slots=True)
class SignedList:
    """A list as its file has it: the signed bytes, and who has signed them so far by `mark`."""

    body: bytes
    signatures: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def message(self) -> bytes:
        """What a root signs. It begins as no envelope and no ticket does (docs/spec/envelope.md 2)."""
        return _DOMAIN + hashlib.sha256(self.body).digest()

    def signed(self, key: PublicKey, signature: bytes) -> SignedList:
        """With this signature too; TrustError where it does not hold."""
        if not signature_holds(key.alg, key.data, self.message, signature):
            raise TrustError("this signature does not hold", "the key and the list do not belong together", id="NRT-243")
        others = [pair for pair in self.signatures if pair[0] != mark(key)]
        return replace(self, signatures=tuple(sorted([*others, (mark(key), signature)])))

    def count(self, roots: Roots) -> int:
        """How many of these roots have signed, each counted once."""
        given = dict(self.signatures)
        return sum(
            signature_holds(key.alg, key.data, self.message, given[mark(key)]) for key in roots.keys if mark(key) in given
        )


def draft(found: KeyList) -> SignedList:
    """The list, signed by nobody yet."""
    return SignedList(
        cbor.pack(
            {
                1: found.version,
                2: found.roots.fields(),
                3: None if found.successors == found.roots else found.successors.fields(),
                4: [[list(family.models), [_octets(key) for key in family.keys]] for family in found.families],
                5: None if found.ticket is None else _octets(found.ticket),
                6: found.issued,
            }
        )
    )


def pack(signed: SignedList) -> bytes:
    return cbor.pack({1: signed.body, 2: [list(pair) for pair in signed.signatures]})


def unpack(raw: bytes) -> tuple[SignedList, KeyList]:
    """The file and what it says, whoever signed it or not; DataError where it is none, or spelt in a second way."""
    fields = cbor.unpack(raw, WHAT)
    fields.only(frozenset({1, 2}))
    pairs = [_pair(one) for one in fields.need(2, list)]
    if pairs != sorted(set(pairs)) or len({name for name, _ in pairs}) != len(pairs) or len(pairs) > 2 * MAX_ROOTS:
        raise malformed(WHAT, "signatures come in order, one a key")
    signed = SignedList(fields.octets(1), tuple(pairs))
    found = _read(cbor.unpack(signed.body, WHAT))
    if draft(found).body != signed.body:
        raise malformed(WHAT, "a default value is spelled out")
    return signed, found


def accept(raw: bytes, root: bytes, version: int) -> KeyList:
    """The list that follows number `version` where roots of this digest are believed. TrustError: another's, too few
    signatures; RefusedError: not the next one."""
    signed, found = unpack(raw)
    if found.version != version + 1:
        why = f"number {found.version}, and {version + 1} is the next"
        raise RefusedError("this key list is not the next one", why, "lists are taken one after the other", id="NRT-314")
    if found.roots.digest != root:
        raise _untrusted("its roots are not those that are believed here")
    for roots in {found.roots, found.successors}:
        if signed.count(roots) < roots.threshold:
            raise _untrusted(f"{signed.count(roots)} of its roots have signed, {roots.threshold} are needed")
    return found


def follow(lists: Iterable[bytes], root: bytes) -> KeyList | None:
    """The last of a chain that begins with number 1, signed by roots of this digest; None where it is empty."""
    found: KeyList | None = None
    for raw in lists:
        found = accept(raw, root if found is None else found.successors.digest, 0 if found is None else found.version)
    return found


def _untrusted(why: str) -> TrustError:
    return TrustError("this key list is not to be trusted", why, "neurath key show FILE  says who has signed", id="NRT-259")


def _octets(key: PublicKey) -> bytes:
    return bytes([key.alg]) + key.data


def _key(data: object) -> PublicKey:
    if type(data) is not bytes or len(data) < 2 or data[0] not in tuple(Alg):
        raise malformed(WHAT, "a key is its algorithm's number and the key")
    return PublicKey(Alg(data[0]), data[1:])


def _keys(data: object) -> tuple[PublicKey, ...]:
    return tuple(_key(one) for one in _items(data))


def _items(data: object) -> Sequence[object]:
    if type(data) is not list:
        raise malformed(WHAT, "a list is missing")
    return data


def _pair(data: object) -> tuple[bytes, bytes]:
    match data:
        case [bytes() as name, bytes() as signature] if len(name) == 8 and len(signature) == 64:
            return name, signature
    raise malformed(WHAT, "a signature is 8 bytes of a key's fingerprint and 64")


def _family(data: object) -> Family:
    match data:
        case [list() as models, list() as keys] if models and all(type(name) is str for name in models):
            return Family(tuple(models), _keys(keys))
    raise malformed(WHAT, "a family is its models and its keys")


def _roots(data: object) -> Roots:
    if type(data) is not dict:
        raise malformed(WHAT, "roots are missing")
    fields = Fields(data, WHAT)
    fields.only(frozenset({1, 2}))
    return Roots(_keys(fields.need(2, list)), fields.uint(1, MAX_ROOTS))


def _read(fields: Fields) -> KeyList:
    fields.only(frozenset(range(1, 7)))
    roots = _roots(fields.need(2, dict))
    following = fields.get(3, dict, {})
    ticket = fields.octets(5, default=b"")
    return KeyList(
        version=fields.uint(1),
        roots=roots,
        successors=_roots(following) if following else roots,
        families=tuple(_family(one) for one in fields.need(4, list)),
        ticket=_key(ticket) if ticket else None,
        issued=fields.uint(6),
    )
