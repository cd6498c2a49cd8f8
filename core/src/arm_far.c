/* arm_far.c - the far branches of 32-bit ARM (docs/spec/delta.md 9); where only the tiny profile is linked, all it predicts of
 * their instructions. It knows encodings; where a target went its caller asks the map. */
#include "arm.h"

/* B, BL to an immediate. */
uint32_t nrt_arm_call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target)
{
    if (left < 4)
        return 0;
    uint32_t w = nrt_get32(code);
    if ((w & 0x0E000000u) != 0x0A000000u || w >> 28 == 15u)
        return 0;
    *target = at + 8 + nrt_extend(w, 24) * 4u;
    return 4;
}

void nrt_arm_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    nrt_put32(out, (nrt_get32(code) & 0xFF000000u) | ((target - at - 8) >> 2 & 0xFFFFFFu));
}

#ifdef NRT_TINY_ONLY   /* arm.c stays out */
const struct nrt_tongue nrt_arm = {4, 0, 0, nrt_arm_call, nrt_arm_aim, NULL, NULL, NULL, NULL};
#endif
