/* halves.c - addresses made by two instructions (docs/spec/delta.md 9.1): the upper part is predicted with the lower one in sight,
 * the lower one with what became of the upper part. It knows no encodings. */
#include "halves.h"

#define NEAR 64u   /* bytes after which a register is no longer believed to hold it */

uint32_t nrt_halves_target(const struct nrt_halves *t, const struct nrt_site *s, const struct nrt_half *upper)
{
    struct nrt_half lower;
    uint32_t end = s->left < NRT_AHEAD ? s->left : NRT_AHEAD;
    for (uint32_t i = t->length(s->old); i + 4 <= end; i += t->length(s->old + i))
        if (t->lower(s->old + i, &lower) && lower.reg == upper->reg)
            return upper->value + lower.value;
    return upper->value;
}

static int target_now(const struct nrt_predictor *p, uint32_t target, int absolute, struct nrt_guess *out, uint32_t *now)
{
    if (absolute)
        return nrt_value(p, target, 0, out, now);
    out->key = target;
    return nrt_moved(p, target, now);
}

int nrt_halves_predict(const struct nrt_halves *t, const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    struct nrt_half h;
    uint32_t now;
    if (s->left < 4)
        return 0;
    if (t->upper(s->old, s->from, &h)) {
        uint32_t target = nrt_halves_target(t, s, &h);
        if (!target_now(p, target, h.absolute != 0, out, &now) || !t->set_upper(s->old, s->at, now, out->byte))
            return 0;
        out->key = h.value;
        return nrt_guessed(out, NRT_UPPER, 4);
    }
    if (!t->lower(s->old, &h))
        return 0;
    const struct nrt_upper *u = &p->uppers[h.reg % NRT_UPPER_SLOTS];
    if (u->reg != h.reg + 1u || ((s->at - u->at) & 0xFFFFu) > NEAR)
        return 0;
    if (!target_now(p, u->before + h.value, u->absolute != 0, out, &now) || !t->set_lower(s->old, now - u->now, out->byte))
        return 0;
    return nrt_guessed(out, NRT_LOWER, 4);
}

void nrt_halves_learn(const struct nrt_halves *t, struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh)
{
    struct nrt_half h;
    if (f->kind == NRT_UPPER && t->upper(fresh, at, &h)) {
        struct nrt_upper u = {(uint8_t)(h.reg + 1u), (uint8_t)h.absolute, (uint16_t)at, f->key, h.value};
        p->uppers[h.reg % NRT_UPPER_SLOTS] = u;
    } else if (f->kind == NRT_LOWER && t->lower(fresh, &h) && h.over != 0) {
        p->uppers[h.reg % NRT_UPPER_SLOTS].reg = 0;
    }
}
