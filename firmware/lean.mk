# lean.mk - the parts of a lean boot core, by file. Read by examples/lean-m3 and tools/footprint_boot.py; a board of your own begins
# with this list and links further files, or the ones in core/lean that stand in for what it leaves out (docs/how-to/port.md).
# LEAN_DECODER: small (profiles 2 and 5) or tiny (profile 4, for less flash and RAM and larger files).
LEAN_DECODER ?= small
DECODER_small := coder_small small mixer predict thumb
INSTEAD_small := coders_small
FLAGS_small :=
DECODER_tiny := coders coder_tiny tiny
INSTEAD_tiny :=
FLAGS_tiny := -DNRT_TINY_ONLY
# What makes it a per cent smaller, by measure: each alone, then together (decision 0437).
LEAN_FLAGS := -fno-tree-vrp -fno-tree-tail-merge -fno-schedule-insns2 -fno-move-loop-invariants -fno-caller-saves \
  -fno-thread-jumps -fno-ipa-modref $(FLAGS_$(LEAN_DECODER))
LEAN_CORE := $(DECODER_$(LEAN_DECODER)) reader rangecoder unpack units map tongue thumb_far \
  old rehearse rewrite redo slide commit recover judge seal statelog facts layout medium need parity crc32 sha256 \
  cbor cose suit ticket birth gate hmac question smp smp_frame smp_identify smp_wire restore
LEAN_INSTEAD := $(INSTEAD_$(LEAN_DECODER)) no_resume no_saves no_enrol sure
LEAN_BOOT := lean air es256 memory
