/* match.h - which pieces of the new image look like pieces of the old one, host code. */
#ifndef NRT_MATCH_H
#define NRT_MATCH_H

#include <stdint.h>

/* Two images, and room for `room` triples (new offset, old offset, length) of 32 bits. */
struct nrt_likeness {
    const uint8_t *old_image;
    const uint8_t *new_image;
    uint32_t old_size;
    uint32_t new_size;
    uint32_t *out;
    uint32_t room;
};

/* Pieces that resemble each other, ascending in the new image, apart, chosen so that what they cost and what they save
 * is least in all. How many; -1 without memory, -2 where `room` is too small. Images below 2^31 bytes. */
int64_t nrt_match(const struct nrt_likeness *task);

#endif
