/* thumb.c - fields of Thumb and Thumb-2 instructions that name another place of the image (docs/spec/delta.md 9.1). It knows
 * encodings; where a target went it asks the map. */
#include "thumb.h"

/* Where the old target went, counted from `origin`; 0 when it is outside the old image. */
static int moved(const struct nrt_predictor *p, uint32_t target, uint32_t origin, uint32_t *offset)
{
    uint32_t now;
    if (!nrt_moved(p, target, &now))
        return 0;
    *offset = now - origin;
    return 1;
}

/* B<cond>.W */
static int wide_branch(const struct nrt_predictor *p, uint32_t a, uint32_t b, uint32_t from, uint32_t at, struct nrt_guess *out)
{
    uint32_t o = (a >> 10 & 1u) << 20 | (b >> 11 & 1u) << 19 | (b >> 13 & 1u) << 18 | (a & 0x3Fu) << 12 | (b & 0x7FFu) << 1;
    if ((a & 0xF800u) != 0xF000u || (b & 0xD000u) != 0x8000u || (a & 0x380u) == 0x380u)
        return 0;
    if (!moved(p, from + 4 + nrt_extend(o, 21), at + 4, &o) || !nrt_fits(o, 21))
        return 0;
    nrt_put16(out->byte, (a & 0xFBC0u) | (o >> 20 & 1u) << 10 | (o >> 12 & 0x3Fu));
    nrt_put16(out->byte + 2, (b & 0xD000u) | (o >> 19 & 1u) << 11 | (o >> 18 & 1u) << 13 | (o >> 1 & 0x7FFu));
    return nrt_guessed(out, NRT_JUMP, 4);
}

/* LDR.W from a literal */
static int wide_load(const struct nrt_predictor *p, uint32_t a, uint32_t b, uint32_t from, uint32_t at, struct nrt_guess *out)
{
    uint32_t o = (a & 0x80u) != 0 ? b & 0xFFFu : 0u - (b & 0xFFFu);
    if ((a & 0xFF7Fu) != 0xF85Fu || !moved(p, ((from + 4) & ~3u) + o, (at + 4) & ~3u, &o) || !nrt_fits(o, 13))
        return 0;
    uint32_t down = o >> 31;
    o = down != 0 ? 0u - o : o;
    if (o > 0xFFFu)
        return 0;
    nrt_put16(out->byte, (a & ~0x80u) | (down ^ 1u) << 7);
    nrt_put16(out->byte + 2, (b & 0xF000u) | o);
    return nrt_guessed(out, NRT_LOAD, 4);
}

/* LDR from a literal, ADR */
static int load(const struct nrt_predictor *p, uint32_t a, uint32_t from, uint32_t at, struct nrt_guess *out)
{
    uint32_t o;
    if (!moved(p, ((from + 4) & ~3u) + (a & 255u) * 4u, (at + 4) & ~3u, &o) || o >= 1024 || (o & 3u) != 0)
        return 0;
    nrt_put16(out->byte, (a & 0xFF00u) | o >> 2);
    return nrt_guessed(out, NRT_LOAD, 2);
}

/* B (11 bits), B<cond> (8 bits) */
static int branch(const struct nrt_predictor *p, uint32_t a, uint32_t from, uint32_t at, struct nrt_guess *out)
{
    int plain = (a & 0xF800u) == 0xE000u;
    uint32_t bits = plain ? 11u : 8u;
    uint32_t field = (1u << bits) - 1u;
    uint32_t o;
    if (!moved(p, from + 4 + nrt_extend((a & field) << 1, bits + 1), at + 4, &o) || !nrt_fits(o, bits + 1))
        return 0;
    nrt_put16(out->byte, (a & (0xFFFFu ^ field)) | (o >> 1 & field));
    return nrt_guessed(out, plain ? NRT_JUMP : NRT_BRANCH, 2);
}

/* CBZ, CBNZ */
static int test(const struct nrt_predictor *p, uint32_t a, uint32_t from, uint32_t at, struct nrt_guess *out)
{
    uint32_t o = (a >> 9 & 1u) << 6 | (a >> 3 & 31u) << 1;
    if (!moved(p, from + 4 + o, at + 4, &o) || o >= 128)
        return 0;
    nrt_put16(out->byte, (a & 0xFD07u) | (o >> 6 & 1u) << 9 | (o >> 1 & 31u) << 3);
    return nrt_guessed(out, NRT_TEST, 2);
}

static int late(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    uint32_t a = nrt_get16(s->old);
    if ((0xEC10u >> (a >> 12) & 1u) == 0)
        return 0;   /* its highest four bits: none of those below */
    if (s->left >= 4 && a >= 0xF000u) {
        uint32_t b = nrt_get16(s->old + 2);
        if (wide_branch(p, a, b, s->from, s->at, out) || wide_load(p, a, b, s->from, s->at, out))
            return 1;
    }
    if ((a & 0xF800u) == 0x4800u || (a & 0xF800u) == 0xA000u)
        return load(p, a, s->from, s->at, out);
    if ((a & 0xF800u) == 0xE000u || ((a & 0xF000u) == 0xD000u && (a & 0xF00u) < 0xE00u))
        return branch(p, a, s->from, s->at, out);
    if ((a & 0xF500u) == 0xB100u)
        return test(p, a, s->from, s->at, out);
    return 0;
}

const struct nrt_tongue nrt_thumb = {2, 1, 0, nrt_thumb_call, nrt_thumb_aim, NULL, late, NULL, NULL};
