"""Good inputs for fuzz_words and fuzz_smp, out of the vectors: seeds.py words|smp DIR, or session FILE.h. It knows the form of
those targets' inputs; it needs nothing but Python itself."""

import hashlib
import json
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAD = ">4sHHII"
CBOR, ENVELOPE, MANIFEST, TICKET, BIRTH, STATELOG, ANSWER, KEYLIST = range(8)


def cases(name):
    return json.loads((ROOT / f"vectors/{name}.json").read_text())["cases"]


def words():
    for one in cases("envelope"):
        yield bytes([ENVELOPE]) + bytes.fromhex(one["envelope"])
        yield bytes([MANIFEST]) + bytes.fromhex(one["manifest"])
        yield bytes([CBOR]) + bytes.fromhex(one["manifest"])
    for one in cases("ticket"):
        yield bytes([TICKET]) + bytes.fromhex(one["ticket"])
    for one in cases("birth"):
        yield bytes([BIRTH]) + bytes.fromhex(one["record"])
    for one in cases("keylist"):
        yield bytes([KEYLIST]) + bytes.fromhex(one["list"])
    log = json.loads((ROOT / "vectors/statelog.json").read_text())
    yield bytes([STATELOG]) + bytes.fromhex(log["span"])
    parts = [bytes.fromhex(cases("envelope")[-1]["envelope"]), bytes.fromhex(cases("ticket")[-1]["ticket"])]
    yield bytes([ANSWER]) + b"NRA\x01" + b"".join(len(part).to_bytes(2, "little") + part for part in parts)


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    size, bits = (1, 24) if value < 256 else (2, 25)
    return bytes([major << 5 | bits]) + value.to_bytes(size, "big")


def cbor(value):
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(key) + cbor(one) for key, one in value.items())
    if isinstance(value, str):
        return head(3, len(value)) + value.encode()
    return head(2, len(value)) + value if isinstance(value, bytes) else head(0, value)


def message(op, group, command, body):
    raw = cbor(body)
    whole = bytes([8 | op, 0, len(raw) >> 8, len(raw) & 255, group >> 8, group & 255, 1, command]) + raw
    return len(whole).to_bytes(2, "big") + whole


def package():
    """An image of 1,200 bytes, signed for the nameless class that fuzz_smp.c enrols: an envelope of the vectors with others
    in the place of its fields, each as long as before, and its digest made anew."""
    one, image = cases("envelope")[-1], bytes(range(200)) * 6
    leaves = b"".join(
        hashlib.sha256(image[at : at + 512].ljust(512, b"\xff")).digest()[:16] for at in range(0, len(image), 512)
    )
    fields = {
        one["vendor"]: bytes(16).hex(),
        one["class"]: bytes(16).hex(),
        one["image"]: hashlib.sha256(image).hexdigest(),
        one["leaves"]: hashlib.sha256(leaves).hexdigest(),
        "0e19" + int(one["image_size"]).to_bytes(2, "big").hex(): "0e19" + len(image).to_bytes(2, "big").hex(),
        "39010019" + int(one["leaf"]).to_bytes(2, "big").hex(): "39010019" + (512).to_bytes(2, "big").hex(),
    }
    statement = one["manifest"]
    for old, new in fields.items():
        statement = statement.replace(old, new)
    manifest = bytes.fromhex(statement)
    digest = hashlib.sha256(head(2, len(manifest)) + manifest).hexdigest()
    envelope = bytes.fromhex(one["envelope"].replace(one["manifest"], statement).replace(one["digest"], digest))
    return struct.pack(HEAD, b"NRP\x01", len(envelope), 0, 512, len(image)) + envelope + leaves + image


def restoration():
    """A whole restoration, message by message."""
    data = package()
    talk = [message(0, 64, 0, {}), message(2, 0, 0, {"d": "hello"}), message(0, 0, 6, {}), message(0, 1, 0, {})]
    for off in range(0, len(data), 380):
        first = {} if off else {"len": len(data), "sha": hashlib.sha256(data).digest(), "image": 0}
        talk.append(message(2, 1, 1, {"off": off, "data": data[off : off + 380], **first}))
    return talk


def smp():
    """It, and each of its messages alone: to a terminal that is empty, to one that runs, to one without a name."""
    key, talk = b"\x01\x04" + bytes(64), restoration()
    enrol = {"id": "a", "model": "m", "vendor": bytes(16), "klass": bytes(16), "key": bytes(32), "release": key, "ticket": b""}
    for state in (0, 4):
        yield bytes([state]) + b"".join(talk)
        yield from (bytes([state]) + one for one in talk)
    yield bytes([2]) + message(2, 64, 1, enrol) + message(2, 0, 5, {})


def main():
    what, place = sys.argv[1], Path(sys.argv[2])
    if what == "session":
        numbers = ", ".join(str(byte) for byte in b"".join(restoration()))
        place.write_text(f"static const uint8_t SESSION[] = {{{numbers}}};\n")
        return
    place.mkdir(parents=True, exist_ok=True)
    for seed in {"words": words, "smp": smp}[what]():
        (place / f"seed-{hashlib.sha256(seed).hexdigest()[:16]}").write_bytes(seed)


if __name__ == "__main__":
    main()
