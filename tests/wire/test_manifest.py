"""Envelopes are written in one way, read by the core, and stay within 350 bytes."""

import dataclasses
import hashlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError, TrustError
from neurath.flash.geometry import Model, simple_layout
from neurath.ids import ModelName
from neurath.wire import keys, manifest
from neurath.wire.keys import Alg, PublicKey
from neurath.wire.manifest import Contents, Envelope
from tests.wire.vectors import ROOT, cases

MODEL = Model(ModelName("lamp"), simple_layout(65536), ram=32768)
SIGNERS = {alg: keys.create(alg) for alg in Alg}
WORD = st.integers(0, 0xFFFF_FFFF)
CONTENTS = st.builds(
    Contents,
    vendor=st.binary(min_size=16, max_size=16),
    klass=st.binary(min_size=16, max_size=16),
    image=st.binary(min_size=32, max_size=32),
    image_size=st.integers(1, 0xFFFF_FFFF),
    leaves=st.binary(min_size=32, max_size=32),
    leaf=st.sampled_from([1 << n for n in range(32)]),
    sequence=WORD,
    epoch=WORD,
    version=st.text(alphabet=[chr(c) for c in range(0x21, 0x7F)], max_size=32),
)


@given(CONTENTS, st.sampled_from(list(Alg)))
def test_whatever_is_signed_reads_back_equal_and_fits_350_bytes(contents: Contents, alg: Alg) -> None:
    signer = SIGNERS[alg]
    raw = manifest.sign(contents, signer)
    assert len(raw) <= 350
    found = manifest.verify(raw, [signer.public])
    digest = hashlib.sha256(cbor2.dumps(manifest.manifest(contents))).digest()
    assert found == Envelope(**dataclasses.asdict(contents), raw=raw, digest=digest)
    manifest.verify_any(raw, [signer.public])


@pytest.mark.parametrize("case", cases("envelope"))
def test_the_vectors_of_the_envelope_page_hold(case: dict[str, object]) -> None:
    key = PublicKey(Alg[str(case["alg"]).upper()], bytes.fromhex(str(case["public"])))
    raw = bytes.fromhex(str(case["envelope"]))
    found = manifest.verify(raw, [key])
    assert found.digest.hex() == case["digest"]
    for name in ("vendor", "image", "leaves"):
        assert getattr(found, name).hex() == case[name]
    assert found.klass.hex() == case["class"]
    for name in ("image_size", "leaf", "sequence", "epoch", "version"):
        assert getattr(found, name) == case[name]
    contents = Contents(**{f.name: getattr(found, f.name) for f in dataclasses.fields(Contents)})
    assert manifest.manifest(contents).hex() == case["manifest"]
    if key.alg is Alg.ED25519:  # deterministic signatures: the whole envelope is the same again
        signer = keys.from_seed(hashlib.sha256(b"neurath vector release key").digest())
        assert manifest.sign(contents, signer) == raw


@pytest.mark.parametrize(
    "change",
    [
        {"vendor": b""},
        {"klass": bytes(17)},
        {"image": bytes(31)},
        {"leaves": bytes(33)},
        {"image_size": 0},
        {"image_size": 1 << 32},
        {"sequence": -1},
        {"epoch": 1 << 32},
        {"leaf": 0},
        {"leaf": 4095},
        {"version": "v" * 33},
        {"version": "1 0"},
        {"version": "é"},
    ],
)
def test_contents_that_do_not_fit_are_not_signed(change: dict[str, object]) -> None:
    contents = manifest.contents_of(b"image", MODEL, sequence=1)
    with pytest.raises(DataError, match="cannot be signed"):
        manifest.sign(dataclasses.replace(contents, **change), SIGNERS[Alg.ED25519])  # type: ignore[arg-type]


def resigned(change: dict[int, object], shared: list[object] | None = None) -> bytes:
    """An envelope of ours with other manifest members, signed as it is: conforming, but not our profile."""
    members = cbor2.loads(manifest.manifest(manifest.contents_of(b"image", MODEL, sequence=1, version="1")))
    members = {**members, **change}
    if shared is not None:
        common = cbor2.loads(members[3])
        members[3] = cbor2.dumps({**common, 4: cbor2.dumps(shared, canonical=True)}, canonical=True)
    return sealed(cbor2.dumps(members, canonical=True))


def sealed(statement: bytes) -> bytes:
    """These bytes as the manifest of an envelope, truly signed."""
    signer = SIGNERS[Alg.ED25519]
    named = cbor2.dumps([-16, hashlib.sha256(cbor2.dumps(statement)).digest()])
    wrapper = cbor2.dumps([named, manifest.sign1(named, signer, detached=True)])
    return cbor2.dumps(cbor2.CBORTag(107, {2: wrapper, 3: statement}))


SHARED = cbor2.loads(cbor2.loads(cbor2.loads(manifest.manifest(manifest.contents_of(b"image", MODEL, sequence=1)))[3])[4])
WITHOUT = {k: v for k, v in SHARED[1].items() if k != -256}


@pytest.mark.parametrize(
    ("why", "raw"),
    [
        ("another command sequence", resigned({9: cbor2.dumps([23, 3])})),
        ("a second component", resigned({3: cbor2.dumps({2: [[b"\0"], [b"\1"]], 4: cbor2.dumps(SHARED)})})),
        ("another component", resigned({3: cbor2.dumps({2: [[b"\1"]], 4: cbor2.dumps(SHARED)})})),
        ("an install sequence", resigned({20: cbor2.dumps([3, 15])})),
        ("no class condition", resigned({}, [20, SHARED[1], 1, 15])),
        ("an unknown parameter", resigned({}, [20, {**SHARED[1], -300: 1}, 1, 15, 2, 15])),
        ("no leaf list", resigned({}, [20, WITHOUT, 1, 15, 2, 15])),
        ("a version instead of the leaf list", resigned({}, [20, {**WITHOUT, -259: "1"}, 1, 15, 2, 15])),
        ("a version under another key", resigned({}, [20, {**SHARED[1], -300: "1"}, 1, 15, 2, 15])),
        ("an empty image", resigned({}, [20, {**SHARED[1], 14: 0}, 1, 15, 2, 15])),
        ("a leaf of no bytes", resigned({}, [20, {**SHARED[1], -257: 0}, 1, 15, 2, 15])),
        ("an empty version", resigned({}, [20, {**SHARED[1], -259: ""}, 1, 15, 2, 15])),
        ("a version with a line break", resigned({}, [20, {**SHARED[1], -259: "1\n"}, 1, 15, 2, 15])),
    ],
    ids=lambda value: value if isinstance(value, str) else "signed",  # anew in each process
)
def test_a_conforming_envelope_of_another_profile_verifies_but_is_not_read(why: str, raw: bytes) -> None:
    known = [SIGNERS[Alg.ED25519].public]
    manifest.verify_any(raw, known)
    with pytest.raises(DataError, match="malformed"):
        manifest.verify(raw, known)


def test_the_resigned_envelope_without_a_change_is_read() -> None:
    # The attacks above are refused for what they change, not for how they are made.
    assert manifest.verify(resigned({}), [SIGNERS[Alg.ED25519].public]).version == "1"


OURS = manifest.manifest(manifest.contents_of(b"image", MODEL, sequence=1, version="1"))


@pytest.mark.parametrize(
    ("why", "statement"),
    [
        ("a byte follows", OURS + b"\0"),
        ("keys out of order", cbor2.dumps(dict(reversed(cbor2.loads(OURS).items())))),
        ("a sequence number in a longer form", OURS.replace(b"\xa5\x01\x01\x02\x01", b"\xa5\x01\x01\x02\x18\x01")),
        ("another manifest version", OURS.replace(b"\xa5\x01\x01", b"\xa5\x01\x02")),
        ("no common block", cbor2.dumps({1: 1, 2: 1, 9: b"", 10: b""})),
        ("a float", cbor2.dumps({**cbor2.loads(OURS), 24: 1.5})),
        ("a tag", cbor2.dumps({**cbor2.loads(OURS), 24: cbor2.CBORTag(1, 1)})),
        ("a list", cbor2.dumps([1, 2, 3])),
        ("nothing", b""),
    ],
)
def test_a_signed_manifest_that_is_not_strict_is_refused(why: str, statement: bytes) -> None:
    known = [SIGNERS[Alg.ED25519].public]
    manifest.verify_any(sealed(OURS), known)
    assert statement != OURS
    for read in (manifest.verify, manifest.verify_any):
        with pytest.raises(DataError, match="malformed"):
            read(sealed(statement), known)


def test_one_of_several_keys_is_enough_and_none_is_not() -> None:
    raw = manifest.sign(manifest.contents_of(b"image", MODEL, sequence=1), SIGNERS[Alg.ES256])
    others = [keys.create(alg).public for alg in (Alg.ES256, Alg.ED25519, Alg.ES256)]
    assert manifest.verify(raw, [*others, SIGNERS[Alg.ES256].public]).sequence == 1
    with pytest.raises(TrustError):
        manifest.verify(raw, others)
    with pytest.raises(TrustError):
        manifest.verify(raw, [])


def test_the_sizes_on_the_page_are_true() -> None:
    longest = manifest.contents_of(bytes(70000), MODEL, sequence=0xFFFF_FFFF, epoch=0xFFFF_FFFF, version="v" * 32)
    longest = dataclasses.replace(longest, image_size=0xFFFF_FFFF, leaf=1 << 31)
    page = (ROOT.parent / "docs/spec/envelope.md").read_text()
    for signer in SIGNERS.values():
        assert f"| longest possible | {len(manifest.sign(longest, signer))} |" in page
    assert f"epoch 0 | {len(cases('envelope')[0]['envelope']) // 2} |" in page
