"""Attacks on envelopes: everything an attacker can do without the release key, written as the attack. The draft's own six
envelopes verify; whatever differs from what was signed does not."""

import itertools
import random
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.errors import DataError, TrustError
from neurath.flash import gates
from neurath.flash.geometry import Model, simple_layout
from neurath.ids import ModelName
from neurath.wire import keys, manifest, ticket
from neurath.wire.cose import sign1
from neurath.wire.keys import Alg
from tests.flash.test_gates import BANK, BIRTH, FACTS, TICKET, standing

DRAFT = Path(__file__).resolve().parents[2] / "vectors/suit-draft"
DRAFT_KEY = keys.load_public(DRAFT / "signer-es256.pub.pem")
EXAMPLES = [DRAFT / f"example{n}.suit" for n in range(6)]
MODEL = Model(ModelName("lamp"), simple_layout(65536), ram=32768)
RELEASE = {alg: keys.create(alg) for alg in Alg}
OURS = {
    alg: manifest.sign(manifest.contents_of(b"image", MODEL, sequence=6, epoch=0, version="1.0"), key)
    for alg, key in RELEASE.items()
}
#: The order of P-256: an ECDSA signature (r, s) holds as (r, order - s) too.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def refused(raw: bytes, known: list[keys.PublicKey]) -> bool:
    try:
        manifest.verify_any(raw, known)
    except DataError:
        return True
    return False


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_the_envelopes_of_the_draft_verify_with_its_key_only(path: Path) -> None:
    raw = path.read_bytes()
    manifest.verify_any(raw, [DRAFT_KEY])
    with pytest.raises(TrustError):
        manifest.verify_any(raw, [RELEASE[Alg.ES256].public])
    with pytest.raises(DataError, match="malformed"):  # true, but none is of our profile
        manifest.verify(raw, [DRAFT_KEY])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_single_bit_flip_and_every_truncation_of_the_drafts_envelopes_is_rejected(path: Path) -> None:
    raw = path.read_bytes()
    hurt = bytearray(raw)
    for bit in range(8 * len(raw)):
        hurt[bit // 8] ^= 1 << bit % 8
        assert refused(bytes(hurt), [DRAFT_KEY]), f"bit {bit}"
        hurt[bit // 8] ^= 1 << bit % 8
    assert bytes(hurt) == raw
    for length in range(len(raw)):
        assert refused(raw[:length], [DRAFT_KEY]), f"cut at {length}"
    for more in range(256):
        assert refused(raw + bytes([more]), [DRAFT_KEY]), f"{more} follows"


@pytest.mark.parametrize("alg", list(Alg))
def test_every_single_bit_flip_and_every_truncation_of_ours_is_rejected(alg: Alg) -> None:
    raw, known = OURS[alg], [RELEASE[alg].public]
    for bit in range(8 * len(raw)):
        hurt = bytearray(raw)
        hurt[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DataError):
            manifest.verify(bytes(hurt), known)
    for length in range(len(raw)):
        with pytest.raises(DataError):
            manifest.verify(raw[:length], known)


@given(st.binary(max_size=400))
def test_no_byte_string_crashes_the_verifier(data: bytes) -> None:
    assert refused(data, [DRAFT_KEY, RELEASE[Alg.ED25519].public])
    for read in (manifest.verify, ticket.verify):
        with pytest.raises(DataError):
            read(data, [DRAFT_KEY])


@given(
    st.sampled_from(EXAMPLES), st.lists(st.tuples(st.integers(0, 999), st.binary(max_size=6), st.integers(0, 6)), min_size=1)
)
@settings(max_examples=300)
def test_no_mutation_of_an_envelope_verifies_unless_it_is_the_same(path: Path, edits: list[tuple[int, bytes, int]]) -> None:
    raw = path.read_bytes()
    hurt = bytearray(raw)
    for place, put, gone in edits:
        at = place % len(hurt) if hurt else 0
        hurt[at : at + gone] = put
    assert bytes(hurt) == raw or refused(bytes(hurt), [DRAFT_KEY])


def parts(raw: bytes) -> tuple[bytes, list[object], bytes]:
    """The signed digest, the COSE_Sign1 array and the manifest of an envelope."""
    envelope = cbor2.loads(raw).value
    named, block = cbor2.loads(envelope[2])
    return named, list(cbor2.loads(block).value), envelope[3]


def built(named: bytes, block: object, statement: bytes, *, tag: int = 107, more: dict[object, object] | None = None) -> bytes:
    wrapper = cbor2.dumps([named, cbor2.dumps(block)])
    return cbor2.dumps(cbor2.CBORTag(tag, {2: wrapper, 3: statement, **(more or {})}))


def test_the_parts_put_together_again_are_the_envelope() -> None:
    # The attacks below are refused for what they change, not for how they are put together.
    named, block, statement = parts(OURS[Alg.ES256])
    assert built(named, cbor2.CBORTag(18, block), statement) == OURS[Alg.ES256]


def attacks() -> dict[str, bytes]:
    named, block, statement = parts(OURS[Alg.ES256])
    other = manifest.manifest(manifest.contents_of(b"evil", MODEL, sequence=7))
    header, _, _, signature = block
    evil_digest = cbor2.dumps([-16, bytes(32)])
    return {
        "no tag on the envelope": built(named, cbor2.CBORTag(18, block), statement)[2:],
        "another tag on the envelope": built(named, cbor2.CBORTag(18, block), statement, tag=1070),
        "no tag on the signature": built(named, block, statement),
        "another COSE structure": built(named, cbor2.CBORTag(98, block), statement),
        "another manifest": built(named, cbor2.CBORTag(18, block), other),
        "a digest of zeros": built(evil_digest, cbor2.CBORTag(18, block), statement),
        "a payload inside": built(named, cbor2.CBORTag(18, [header, {}, named, signature]), statement),
        "an empty payload inside": built(named, cbor2.CBORTag(18, [header, {}, b"", signature]), statement),
        "an unprotected header": built(named, cbor2.CBORTag(18, [header, {4: b"kid"}, None, signature]), statement),
        "no protected header": built(named, cbor2.CBORTag(18, [b"", {1: -7}, None, signature]), statement),
        "algorithm none": built(named, cbor2.CBORTag(18, [cbor2.dumps({1: 0}), {}, None, signature]), statement),
        "algorithm exchanged": built(named, cbor2.CBORTag(18, [cbor2.dumps({1: -8}), {}, None, signature]), statement),
        "a key inside": built(named, cbor2.CBORTag(18, [header, {-1: b"key"}, None, signature]), statement),
        "a signature of zeros": built(named, cbor2.CBORTag(18, [header, {}, None, bytes(64)]), statement),
        "an empty signature": built(named, cbor2.CBORTag(18, [header, {}, None, b""]), statement),
        "a DER signature": built(named, cbor2.CBORTag(18, [header, {}, None, b"\x30\x44" + bytes(70)]), statement),
        "an integrated payload": built(named, cbor2.CBORTag(18, block), statement, more={"#file": b"evil"}),
        "a member the manifest does not name": built(named, cbor2.CBORTag(18, block), statement, more={20: b"evil"}),
        "a delegation chain": cbor2.dumps(cbor2.CBORTag(107, {1: b"", **cbor2.loads(OURS[Alg.ES256]).value})),
        "no signature": cbor2.dumps(cbor2.CBORTag(107, {2: cbor2.dumps([named]), 3: statement})),
        "members exchanged": cbor2.dumps(cbor2.CBORTag(107, dict(reversed(cbor2.loads(OURS[Alg.ES256]).value.items())))),
        "an indefinite map": b"\xd8\x6b\xbf" + OURS[Alg.ES256][3:] + b"\xff",
    }


@pytest.mark.parametrize("attack", attacks())
def test_arbitrary_software_is_refused(attack: str) -> None:
    raw = attacks()[attack]
    known = [RELEASE[Alg.ES256].public, RELEASE[Alg.ED25519].public]
    for read in (manifest.verify, manifest.verify_any):
        with pytest.raises(DataError):
            read(raw, known)


def test_a_severed_member_is_checked_and_may_be_left_out() -> None:
    raw = EXAMPLES[2].read_bytes()
    members = dict(cbor2.loads(raw).value)
    for keep in itertools.product((True, False), repeat=2):
        kept = {k: v for k, v in members.items() if k in (2, 3) or (k == 20 and keep[0]) or (k == 23 and keep[1])}
        manifest.verify_any(cbor2.dumps(cbor2.CBORTag(107, kept)), [DRAFT_KEY])
    for key in (20, 23):
        assert refused(cbor2.dumps(cbor2.CBORTag(107, {**members, key: members[key] + b"\0"})), [DRAFT_KEY])
    assert refused(cbor2.dumps(cbor2.CBORTag(107, {**members, 20: members[23], 23: members[20]})), [DRAFT_KEY])


def test_the_other_signature_of_the_same_statement_names_the_same_release() -> None:
    # ECDSA is malleable (docs/decisions/0031): the twin verifies, and is the same release by the name that counts.
    named, block, statement = parts(OURS[Alg.ES256])
    signature = block[3]
    assert isinstance(signature, bytes)
    twin = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    raw = built(named, cbor2.CBORTag(18, [block[0], {}, None, twin]), statement)
    known = [RELEASE[Alg.ES256].public]
    assert raw != OURS[Alg.ES256]
    assert manifest.verify(raw, known).digest == manifest.verify(OURS[Alg.ES256], known).digest


@pytest.mark.parametrize("alg", list(Alg))
def test_a_signature_of_another_message_does_not_carry_over(alg: Alg) -> None:
    signer, known = RELEASE[alg], [RELEASE[alg].public]
    named, block, statement = parts(OURS[alg])
    loose = cbor2.loads(sign1(statement, signer, detached=True)).value  # the manifest itself, not its digest
    assert refused(built(named, cbor2.CBORTag(18, list(loose)), statement), known)
    # A ticket signed by the same key is no envelope, an envelope no ticket.
    with pytest.raises(DataError):
        ticket.verify(OURS[alg], known)
    assert refused(ticket.sign(TICKET, signer), known)
    with pytest.raises(DataError):
        ticket.verify(cbor2.dumps(cbor2.CBORTag(18, block)), known)
    with pytest.raises(DataError):  # a signed digest, embedded as if it were a ticket
        ticket.verify(cbor2.dumps(cbor2.CBORTag(18, [block[0], {}, named, block[3]])), known)


def test_rollback_replay_and_mix_and_match_are_refused() -> None:
    signer = RELEASE[Alg.ED25519]
    known = [signer.public]
    old, new = (
        manifest.verify(manifest.sign(manifest.contents_of(image, MODEL, sequence=n), signer), known)
        for image, n in ((b"old", 5), (b"new", 6))
    )
    with pytest.raises(TrustError):
        gates.gate_envelope(old, MODEL.vendor, MODEL.klass, standing(5))
    gates.gate_envelope(new, MODEL.vendor, MODEL.klass, standing(5))
    other = Model(ModelName("heater"), MODEL.layout, ram=1)
    with pytest.raises(TrustError):  # the right envelope at the wrong kind of terminal
        gates.gate_envelope(new, other.vendor, other.klass, standing(5))
    for envelope in (old, new):  # a true ticket of a third release beside a true envelope
        with pytest.raises(TrustError):
            gates.gate_ticket(TICKET, envelope, BIRTH, FACTS, BANK)


def test_a_ticket_key_signs_no_software() -> None:
    server = keys.create(Alg.ES256)
    raw = manifest.sign(manifest.contents_of(b"evil", MODEL, sequence=99), server)
    with pytest.raises(TrustError):
        manifest.verify(raw, [RELEASE[Alg.ES256].public, RELEASE[Alg.ED25519].public])


def test_random_pairs_of_parts_never_verify(seed: int) -> None:
    rng = random.Random(seed)
    pool = [parts(OURS[alg]) for alg in Alg] + [parts(path.read_bytes()) for path in EXAMPLES]
    known = [DRAFT_KEY, *(key.public for key in RELEASE.values())]
    for _ in range(300):
        i, j, k = (rng.randrange(len(pool)) for _ in range(3))
        raw = built(pool[i][0], cbor2.CBORTag(18, pool[j][1]), pool[k][2])
        belong = pool[i][0] == pool[j][0] and pool[k][2] == pool[j][2]  # both of ours sign the same statement
        assert refused(raw, known) == (not belong)
