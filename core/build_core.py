"""Builds core/ and its host ports into neurath.flash._core. It knows where the C files are and how a header becomes a
cffi declaration; it must never hold C code of its own."""

import re
from pathlib import Path

import cffi

CORE = Path(__file__).resolve().parent
ROOT = CORE.parent
#: Headers whose declarations Python sees, in this order. Each is plain C that cffi's parser understands.
HEADERS = (
    "include/nrt.h",
    "include/nrt_aid.h",
    "include/nrt_keys.h",
    "src/unpack.h",
    "src/aes.h",
    "src/veil.h",
    "src/signed.h",
    "ports/nor.h",
    "ports/device.h",
    "ports/closure.h",
    "ports/host.h",
    "ports/encode.h",
    "ports/encode_small.h",
    "ports/encode_full.h",
    "ports/order.h",
    "ports/decode.h",
    "ports/match.h",
    "ports/sight.h",
)
FLAGS = [
    "-std=c11",
    "-DNRT_WITH_LARGE",
    "-DNRT_WITH_TINY",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wconversion",
    "-Wshadow",
    "-Wno-unused-parameter",
    "-fno-strict-aliasing",
    "-fvisibility=hidden",
    f"-ffile-prefix-map={ROOT}=.",  # the same bytes wherever the clone lies
]
#: The glue that cffi writes is not held to our warnings; our sources are.
QUIET = "".join(f'#pragma GCC diagnostic ignored "-W{w}"\n' for w in ("pedantic", "conversion"))


def declarations(text: str) -> str:
    """Turns a header into cffi's language: comments, guards and includes go, integer macros stay."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    kept = []
    for line in text.splitlines():
        if re.match(r"\s*#\s*define\s+\w+\s+\(?-?(0x[0-9a-fA-F]+|\d+)[uU]?\)?\s*$", line):
            name, value = line.split()[1:3]
            kept.append(f"#define {name} {value.strip('()').rstrip('uU')}")
        elif not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept)


def builder() -> cffi.FFI:
    ffi = cffi.FFI()
    sources = sorted([*(CORE / "src").glob("*.c"), *(CORE / "ports").glob("*.c")])
    ffi.cdef("\n".join(declarations((CORE / h).read_text()) for h in HEADERS))
    ffi.set_source(
        "neurath.flash._core",
        QUIET + "\n".join(f'#include "{Path(h).name}"' for h in HEADERS),
        sources=[str(s.relative_to(ROOT)) for s in sources],
        include_dirs=[str(CORE / "include"), str(CORE / "ports"), str(CORE / "src")],
        depends=[str(h) for h in CORE.rglob("*.h")],
        extra_compile_args=FLAGS,
        libraries=["dl"],  # of its own before glibc 2.34
    )
    return ffi


ffi = builder()
