/* string.h - for proofs alone: what of the C library the core calls, over bytes, with contracts a prover reads. */
#ifndef PROVE_STRING_H
#define PROVE_STRING_H
#include <stddef.h>
#include <stdint.h>

/*@ requires n == 0 || \valid_read(a + (0 .. n - 1));
    requires n == 0 || \valid_read(b + (0 .. n - 1));
    assigns \result \from a[0 .. n - 1], b[0 .. n - 1]; */
int memcmp(const uint8_t *a, const uint8_t *b, size_t n);
/*@ requires n == 0 || \valid(to + (0 .. n - 1));
    requires n == 0 || \valid_read(from + (0 .. n - 1));
    requires n == 0 || \separated(to + (0 .. n - 1), from + (0 .. n - 1));
    assigns to[0 .. n - 1]; */
void memcpy(uint8_t *to, const uint8_t *from, size_t n);
#endif
