/* a64.c - fields of AArch64 instructions that name another place of the image (docs/spec/delta.md 9.2). */
#include "halves.h"

/* B, BL. */
static uint32_t call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target)
{
    if (left < 4)
        return 0;
    uint32_t w = nrt_get32(code);
    if ((w & 0x7C000000u) != 0x14000000u)
        return 0;
    *target = at + nrt_extend(w, 26) * 4u;
    return 4;
}

static void aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    nrt_put32(out, (nrt_get32(code) & 0xFC000000u) | ((target - at) >> 2 & 0x3FFFFFFu));
}

/* ADRP: a page of 4 KiB. */
static int upper(const uint8_t *code, uint32_t at, struct nrt_half *h)
{
    uint32_t w = nrt_get32(code);
    if ((w & 0x9F000000u) != 0x90000000u)
        return 0;
    h->reg = w & 31u;
    h->value = (at & ~0xFFFu) + ((w >> 5 & 0x7FFFFu) << 2 | (w >> 29 & 3u)) * 4096u;
    h->absolute = 0;
    h->over = 0;
    return 1;
}

static int set_upper(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    uint32_t pages = nrt_extend((target >> 12) - (at >> 12), 20);
    nrt_put32(out, (nrt_get32(code) & 0x9F00001Fu) | (pages & 3u) << 29 | (pages >> 2 & 0x7FFFFu) << 5);
    return 1;
}

/* What the offset of a load or store counts: log2 of its bytes; the ADD counts bytes. */
static uint32_t scale(uint32_t w)
{
    if ((w & 0x3B000000u) != 0x39000000u)
        return 0;
    return (w & 0x04800000u) == 0x04800000u ? 4u : w >> 30;
}

/* ADD to an immediate; loads and stores with an unsigned offset. */
static int lower(const uint8_t *code, struct nrt_half *h)
{
    uint32_t w = nrt_get32(code);
    int add = (w & 0xFFC00000u) == 0x91000000u;
    if (!add && (w & 0x3B000000u) != 0x39000000u)
        return 0;
    h->reg = w >> 5 & 31u;
    h->value = (w >> 10 & 0xFFFu) << scale(w);
    h->absolute = 0;
    h->over = (w & 31u) == h->reg && (add || (w & 0x04C00000u) == 0x00400000u);
    return 1;
}

static int set_lower(const uint8_t *code, uint32_t value, uint8_t *out)
{
    uint32_t w = nrt_get32(code);
    uint32_t n = scale(w);
    if (value >> n > 0xFFFu || (value & ((1u << n) - 1u)) != 0)
        return 0;
    nrt_put32(out, (w & ~0x003FFC00u) | value >> n << 10);
    return 1;
}

static uint32_t length(const uint8_t *code)
{
    (void)code;
    return 4;
}

static const struct nrt_halves halves = {upper, lower, set_upper, set_lower, length};

/* `bits` at bit `low`, counting instructions. */
static int branch(const struct nrt_predictor *p, const struct nrt_site *s, uint32_t low, uint32_t bits, struct nrt_guess *out)
{
    uint32_t w = nrt_get32(s->old);
    uint32_t mask = ((1u << bits) - 1u) << low;
    uint32_t now;
    if (!nrt_moved(p, s->from + nrt_extend(w >> low, bits) * 4u, &now))
        return 0;
    now -= s->at;
    if (!nrt_fits(now, bits + 2u) || (now & 3u) != 0)
        return 0;
    nrt_put32(out->byte, (w & ~mask) | (now >> 2 << low & mask));
    return 1;
}

static int adr(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    uint32_t w = nrt_get32(s->old);
    uint32_t now;
    if (!nrt_moved(p, s->from + nrt_extend((w >> 5 & 0x7FFFFu) << 2 | (w >> 29 & 3u), 21), &now) || !nrt_fits(now - s->at, 21))
        return 0;
    now -= s->at;
    nrt_put32(out->byte, (w & 0x9F00001Fu) | (now & 3u) << 29 | (now >> 2 & 0x7FFFFu) << 5);
    return 1;
}

/* B.cond, CBZ, CBNZ; TBZ, TBNZ; LDR from a literal; ADR; halves. */
static int early(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    if (s->left < 4)
        return 0;
    uint32_t w = nrt_get32(s->old);
    if ((w & 0xFF000010u) == 0x54000000u || (w & 0x7E000000u) == 0x34000000u)
        return branch(p, s, 5, 19, out) && nrt_guessed(out, NRT_BRANCH, 4);
    if ((w & 0x7E000000u) == 0x36000000u)
        return branch(p, s, 5, 14, out) && nrt_guessed(out, NRT_TEST, 4);
    if ((w & 0x3B000000u) == 0x18000000u)
        return branch(p, s, 5, 19, out) && nrt_guessed(out, NRT_LOAD, 4);
    if ((w & 0x9F000000u) == 0x10000000u)
        return adr(p, s, out) && nrt_guessed(out, NRT_LOAD, 4);
    return nrt_halves_predict(&halves, p, s, out);
}

static void learn(struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh)
{
    nrt_halves_learn(&halves, p, f, at, fresh);
}

const struct nrt_tongue nrt_a64 = {4, 0, 1, call, aim, early, NULL, learn, &halves};
