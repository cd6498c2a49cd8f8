/* thumb_far.c - the far branches of Thumb and Thumb-2 (docs/spec/delta.md 9.1); where only the tiny profile is linked, all it
 * predicts of their instructions. It knows encodings; where a target went its caller asks the map. */
#include "thumb.h"

/* BL, BLX to an immediate, B.W. */
uint32_t nrt_thumb_call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target)
{
    if (left < 4)
        return 0;
    uint32_t a = nrt_get16(code);
    uint32_t b = nrt_get16(code + 2);
    uint32_t s = a >> 10 & 1u;
    if ((a & 0xF800u) != 0xF000u || ((b & 0xC000u) != 0xC000u && (b & 0xD000u) != 0x9000u))
        return 0;
    uint32_t i1 = (b >> 13 & 1u) ^ s ^ 1u;
    uint32_t i2 = (b >> 11 & 1u) ^ s ^ 1u;
    *target = at + 4 + nrt_extend(s << 24 | i1 << 23 | i2 << 22 | (a & 0x3FFu) << 12 | (b & 0x7FFu) << 1, 25);
    return 4;
}

void nrt_thumb_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    uint32_t o = target - at - 4;
    uint32_t s = o >> 31;
    nrt_put16(out, (nrt_get16(code) & 0xF800u) | s << 10 | (o >> 12 & 0x3FFu));
    nrt_put16(out + 2, (nrt_get16(code + 2) & 0xD000u) | ((o >> 23 & 1u) ^ 1u ^ s) << 13 | ((o >> 22 & 1u) ^ 1u ^ s) << 11 |
                           (o >> 1 & 0x7FFu));
}

#ifdef NRT_TINY_ONLY   /* thumb.c stays out */
const struct nrt_tongue nrt_thumb = {2, 1, 0, nrt_thumb_call, nrt_thumb_aim, NULL, NULL, NULL, NULL};
#endif
