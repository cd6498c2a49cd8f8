/* rv32_far.c - the far branches of RV32 (docs/spec/delta.md 9.3); where only the tiny profile is linked, all it predicts of
 * their instructions. It knows encodings; where a target went its caller asks the map. */
#include "rv32.h"

/* JAL: 20 bits in four pieces. */
uint32_t nrt_rv32_call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target)
{
    if (left < 4 || (code[0] & 0x7Fu) != 0x6Fu)
        return 0;
    uint32_t w = nrt_get32(code);
    *target = at + nrt_extend((w >> 31) << 20 | (w >> 12 & 0xFFu) << 12 | (w >> 20 & 1u) << 11 | (w >> 21 & 0x3FFu) << 1, 21);
    return 4;
}

void nrt_rv32_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    uint32_t o = target - at;
    nrt_put32(out, (nrt_get32(code) & 0xFFFu) | (o >> 20 & 1u) << 31 | (o >> 1 & 0x3FFu) << 21 | (o >> 11 & 1u) << 20 |
                       (o >> 12 & 0xFFu) << 12);
}

#ifdef NRT_TINY_ONLY   /* rv32.c stays out */
const struct nrt_tongue nrt_rv32 = {2, 0, 1, nrt_rv32_call, nrt_rv32_aim, NULL, NULL, NULL, NULL};
#endif
