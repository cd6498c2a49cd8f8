/* rv32.c - fields of RV32 instructions, compressed ones too, that name another place of the image (docs/spec/delta.md 9.3). */
#include "halves.h"
#include "rv32.h"

static uint32_t length(const uint8_t *code)
{
    return (code[0] & 3u) == 3u ? 4u : 2u;
}

/* LUI, AUIPC. */
static int upper(const uint8_t *code, uint32_t at, struct nrt_half *h)
{
    uint32_t w = nrt_get32(code);
    h->absolute = (w & 0x7Fu) == 0x37u;
    h->reg = w >> 7 & 31u;
    h->value = (w & 0xFFFFF000u) + (h->absolute != 0 ? 0 : at);
    h->over = 0;
    return h->absolute != 0 || (w & 0x7Fu) == 0x17u;
}

static int set_upper(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out)
{
    uint32_t w = nrt_get32(code);
    target -= (w & 0x7Fu) == 0x37u ? 0 : at;
    nrt_put32(out, (w & 0xFFFu) | ((target + 0x800u) & 0xFFFFF000u));
    return 1;
}

static int stores(uint32_t w)
{
    return (w & 0x7Bu) == 0x23u;
}

/* ADDI, JALR, loads and stores. */
static int lower(const uint8_t *code, struct nrt_half *h)
{
    uint32_t w = nrt_get32(code);
    uint32_t kind = w & 0x707Fu;
    int load = (w & 0x7Bu) == 0x03u;
    h->reg = w >> 15 & 31u;
    h->value = nrt_extend(stores(w) ? w >> 25 << 5 | (w >> 7 & 31u) : w >> 20, 12);
    h->absolute = 0;
    h->over = !stores(w) && (w & 0x7Fu) != 0x07u && (w >> 7 & 31u) == h->reg;
    return h->reg != 0 && (load || stores(w) || kind == 0x13u || kind == 0x67u);
}

static int set_lower(const uint8_t *code, uint32_t value, uint8_t *out)
{
    uint32_t w = nrt_get32(code);
    if (!nrt_fits(value, 12))
        return 0;
    if (stores(w))
        nrt_put32(out, (w & 0x01FFF07Fu) | (value >> 5 & 0x7Fu) << 25 | (value & 31u) << 7);
    else
        nrt_put32(out, (w & 0x000FFFFFu) | value << 20);
    return 1;
}

static const struct nrt_halves halves = {upper, lower, set_upper, set_lower, length};

/* Where a near target went, from the place that is coded. */
static int moved(const struct nrt_predictor *p, const struct nrt_site *s, uint32_t distance, uint32_t bits, uint32_t *now)
{
    if (!nrt_moved(p, s->from + nrt_extend(distance, bits), now))
        return 0;
    *now -= s->at;
    return nrt_fits(*now, bits) && (*now & 1u) == 0;
}

/* BEQ and its like. */
static int branch(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    uint32_t w = nrt_get32(s->old);
    uint32_t o;
    if (!moved(p, s, (w >> 31) << 12 | (w >> 7 & 1u) << 11 | (w >> 25 & 0x3Fu) << 5 | (w >> 8 & 15u) << 1, 13, &o))
        return 0;
    nrt_put32(out->byte, (w & 0x01FFF07Fu) | (o >> 12 & 1u) << 31 | (o >> 5 & 0x3Fu) << 25 | (o >> 1 & 15u) << 8 | (o >> 11 & 1u) << 7);
    return nrt_guessed(out, NRT_BRANCH, 4);
}

/* C.J, C.JAL */
static int short_jump(const struct nrt_predictor *p, const struct nrt_site *s, uint32_t h, struct nrt_guess *out)
{
    uint32_t o = (h >> 12 & 1u) << 11 | (h >> 11 & 1u) << 4 | (h >> 9 & 3u) << 8 | (h >> 8 & 1u) << 10 | (h >> 7 & 1u) << 6 |
                 (h >> 6 & 1u) << 7 | (h >> 3 & 7u) << 1 | (h >> 2 & 1u) << 5;
    if (!moved(p, s, o, 12, &o))
        return 0;
    nrt_put16(out->byte, (h & 0xE003u) | (o >> 11 & 1u) << 12 | (o >> 4 & 1u) << 11 | (o >> 8 & 3u) << 9 | (o >> 10 & 1u) << 8 |
                             (o >> 6 & 1u) << 7 | (o >> 7 & 1u) << 6 | (o >> 1 & 7u) << 3 | (o >> 5 & 1u) << 2);
    return nrt_guessed(out, NRT_JUMP, 2);
}

/* C.BEQZ, C.BNEZ */
static int short_branch(const struct nrt_predictor *p, const struct nrt_site *s, uint32_t h, struct nrt_guess *out)
{
    uint32_t o = (h >> 12 & 1u) << 8 | (h >> 10 & 3u) << 3 | (h >> 5 & 3u) << 6 | (h >> 3 & 3u) << 1 | (h >> 2 & 1u) << 5;
    if (!moved(p, s, o, 9, &o))
        return 0;
    nrt_put16(out->byte, (h & 0xE383u) | (o >> 8 & 1u) << 12 | (o >> 3 & 3u) << 10 | (o >> 6 & 3u) << 5 | (o >> 1 & 3u) << 3 |
                             (o >> 5 & 1u) << 2);
    return nrt_guessed(out, NRT_TEST, 2);
}

static int early(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    uint32_t h = nrt_get16(s->old);
    if ((h & 0x6003u) == 0x2001u)
        return short_jump(p, s, h, out);
    if ((h & 0xC003u) == 0xC001u)
        return short_branch(p, s, h, out);
    if (s->left < 4)
        return 0;
    return (h & 0x7Fu) == 0x63u ? branch(p, s, out) : nrt_halves_predict(&halves, p, s, out);
}

/* An instruction of four bytes is a field as it is, so that its second half is not taken for one. */
static int late(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    (void)p;
    if (s->left < 4 || length(s->old) != 4)
        return 0;
    nrt_put32(out->byte, nrt_get32(s->old));
    return nrt_guessed(out, NRT_LOAD, 4);
}

static void learn(struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh)
{
    nrt_halves_learn(&halves, p, f, at, fresh);
}

const struct nrt_tongue nrt_rv32 = {2, 0, 1, nrt_rv32_call, nrt_rv32_aim, early, late, learn, &halves};
