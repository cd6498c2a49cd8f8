"""The decoders a core may have: the numbers of their profiles, and the RAM they take. How they read is docs/spec/delta.md's;
it must never know how a file is made."""

#: As they stand in an update file, and as bits of what a terminal says it has.
RAW, SIMPLE, SMALL, LARGE, TINY, QUICK = 0, 1, 2, 3, 4, 5
#: Those of one model and one decoder: QUICK says a long stretch as predicted in one bit.
SMALL_KIND = (SMALL, QUICK)
#: RAM in bytes that covers LARGE with every table at its longest; it is for terminals that run Linux.
LARGE_WORKSPACE = 4_000_000
#: RAM in bytes that the decoder of a chip with 16 KiB of it may take.
TINY_WORKSPACE = 6144
