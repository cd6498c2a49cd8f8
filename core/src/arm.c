/* arm.c - fields of 32-bit ARM instructions that name another place of the image (docs/spec/delta.md 9.2). */
#include "predict.h"

/* B, BL, BLX to an immediate. */
int nrt_arm_call(const uint8_t *code, uint32_t at, uint32_t *target)
{
    uint32_t w = nrt_get32(code);
    if ((w & 0x0E000000u) != 0x0A000000u || w >> 28 == 15u)
        return 0;
    *target = at + 8 + (((w & 0xFFFFFFu) ^ 0x800000u) - 0x800000u) * 4u;
    return 1;
}

void nrt_arm_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    nrt_put32(out, (nrt_get32(code) & 0xFF000000u) | ((target - at - 8) >> 2 & 0xFFFFFFu));
}

/* LDR relative to the program counter. */
int nrt_arm_load(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, struct nrt_guess *out)
{
    uint32_t w = nrt_get32(old);
    uint32_t target = from + 8 + ((w >> 23 & 1u) != 0 ? w & 0xFFFu : 0u - (w & 0xFFFu));
    uint32_t now;
    if ((w & 0x0F7F0000u) != 0x051F0000u || target >= p->map.old_size)
        return 0;
    (void)nrt_map_to(&p->map, target, &now);
    now -= at + 8;
    uint32_t down = now >> 31;
    now = down != 0 ? 0u - now : now;
    if (now > 0xFFFu)
        return 0;
    nrt_put32(out->byte, (w & ~0x00800FFFu) | (down ^ 1u) << 23 | now);
    out->kind = NRT_LOAD;
    out->length = 4;
    out->key = 0;
    return 1;
}
