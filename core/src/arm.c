/* arm.c - fields of 32-bit ARM instructions that name another place of the image (docs/spec/delta.md 9). */
#include "arm.h"

/* LDR relative to the program counter. */
static int early(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    if (s->left < 4)
        return 0;
    uint32_t w = nrt_get32(s->old);
    uint32_t target = s->from + 8 + ((w >> 23 & 1u) != 0 ? w & 0xFFFu : 0u - (w & 0xFFFu));
    uint32_t now;
    if ((w & 0x0F7F0000u) != 0x051F0000u || !nrt_moved(p, target, &now))
        return 0;
    now -= s->at + 8;
    uint32_t down = now >> 31;
    now = down != 0 ? 0u - now : now;
    if (now > 0xFFFu)
        return 0;
    nrt_put32(out->byte, (w & ~0x00800FFFu) | (down ^ 1u) << 23 | now);
    return nrt_guessed(out, NRT_LOAD, 4);
}

const struct nrt_tongue nrt_arm = {4, 0, 0, nrt_arm_call, nrt_arm_aim, early, NULL, NULL, NULL};
