/* numbers.h - what the numbers of the control table are about, and how signed ones and lengths are said, profiles 2 to 4
 * (docs/spec/delta.md 8.6). */
#ifndef NRT_NUMBERS_H
#define NRT_NUMBERS_H

#include <stdint.h>

enum nrt_number { NRT_NUMBER_GAP = 0, NRT_NUMBER_LENGTH = 1, NRT_NUMBER_TURN = 2, NRT_NUMBER_SHIFTS = 4, NRT_NUMBER_STEP = 5,
                  NRT_NUMBER_BY = 6, NRT_NUMBER_ALSO = 7, NRT_NUMBER_SECTION = 8, NRT_NUMBER_LIFT = 9, NRT_NUMBERS = 10 };

static inline uint32_t nrt_zigzag(uint32_t d)
{
    return d >> 31 != 0 ? ~(d << 1) : d << 1;
}

static inline uint32_t nrt_unzigzag(uint32_t z)
{
    return (z & 1u) != 0 ? ~(z >> 1) : z >> 1;
}

/* Bits of a number without leading zeros; 0 has none. */
static inline uint32_t nrt_length_of(uint32_t value)
{
    uint32_t n = 0;
    for (; value != 0; value >>= 1)
        n++;
    return n;
}

#endif
