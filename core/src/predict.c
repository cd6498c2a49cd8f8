/* predict.c - the fields every instruction set has: calls, pointers into the image, words whose range grew, and what was
 * learned of them (docs/spec/delta.md 9). It knows no probabilities. */
#include "predict.h"

#include <string.h>

uint32_t nrt_hash(uint32_t a, uint32_t b)
{
    uint32_t x = (a * 0x9E3779B1u) ^ ((b + 0x7F4A7C15u) * 0x85EBCA6Bu);
    x ^= x >> 15;
    x *= 0x2C1B3C6Du;
    return x ^ x >> 13;
}

static struct nrt_pairing *call_slot(const struct nrt_predictor *p, uint32_t target)
{
    return &p->calls[nrt_hash(target, 77) & (p->slots - 1u)];
}

static struct nrt_pairing *word_slot(const struct nrt_predictor *p, uint32_t word)
{
    return &p->words[nrt_hash(word, 99) & (p->slots - 1u)];
}

/* Whether the slot speaks of this key; kept plus 1, so that 0 is an empty slot. */
static int known(const struct nrt_pairing *slot, uint32_t key)
{
    return slot->key != 0 && slot->key == key + 1u;
}

static int call_target(uint32_t isa, const uint8_t *code, uint32_t at, uint32_t *target)
{
    return isa == NRT_ISA_ARM ? nrt_arm_call(code, at, target) : nrt_thumb_call(code, at, target);
}

static int predict_call(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, struct nrt_guess *f)
{
    uint32_t target;
    uint32_t now;
    if (!call_target(p->isa, old, from, &target))
        return 0;
    const struct nrt_pairing *seen = call_slot(p, target);
    f->kind = NRT_CALL_NEAR;
    if (known(seen, target)) {
        now = seen->value;
        f->kind = NRT_CALL_SEEN;
    } else if (target >= p->map.old_size) {
        now = target - from + at;
    } else if (nrt_map_to(&p->map, target, &now) == NRT_FOUND_COVERED) {
        f->kind = NRT_CALL;
    }
    if (p->isa == NRT_ISA_ARM)
        nrt_arm_aim(old, at, now, f->byte);
    else
        nrt_thumb_aim(old, at, now, f->byte);
    f->length = 4;
    f->key = target;
    return 1;
}

/* The address a pointer counts from: where the image is mapped, or where another part of it is. */
static int base_of(const struct nrt_predictor *p, uint32_t word, uint32_t *base)
{
    *base = word - p->address < p->map.old_size ? p->address : p->also;
    return word - *base < p->map.old_size && (*base == p->address || p->also != 0);
}

static int predict_word(const struct nrt_predictor *p, const uint8_t *old, struct nrt_guess *f)
{
    uint32_t word = nrt_get32(old);
    const struct nrt_pairing *seen = word_slot(p, word);
    uint32_t by;
    uint32_t base;
    if (base_of(p, word, &base)) {
        uint32_t odd = p->isa == NRT_ISA_THUMB ? word & 1u : 0;
        uint32_t now;
        f->kind = NRT_POINTER_NEAR;
        if (nrt_map_to(&p->map, word - base - odd, &now) == NRT_FOUND_COVERED)
            f->kind = NRT_POINTER;
        now += base + odd;
        if (known(seen, word)) {
            f->kind = NRT_POINTER_SEEN;
            now = seen->value;
        }
        nrt_put32(f->byte, now);
    } else if (nrt_map_word(&p->map, word, &by)) {
        f->kind = by != 0 ? NRT_WORD : NRT_WORD_SAME;
        if (known(seen, word))
            f->kind = NRT_WORD_SEEN;
        nrt_put32(f->byte, known(seen, word) ? seen->value : word + by);
    } else {
        return 0;
    }
    f->length = 4;
    f->key = word;
    return 1;
}

void nrt_predict(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, uint32_t left,
                 struct nrt_guess *out)
{
    uint32_t step = p->isa == NRT_ISA_ARM ? 3u : 1u;
    out->length = 0;
    out->kind = NRT_PLAIN;
    if (p->isa == NRT_ISA_NONE || ((from | at) & step) != 0 || left < 2)
        return;
    if (left >= 4 && predict_call(p, old, from, at, out))
        return;
    if (left >= 4 && p->isa == NRT_ISA_ARM && nrt_arm_load(p, old, from, at, out))
        return;
    if (left >= 4 && ((from | at) & 3u) == 0 && predict_word(p, old, out))
        return;
    if (p->isa == NRT_ISA_THUMB && nrt_thumb_short(p, old, from, at, left, out))
        return;
    out->length = 0;
    out->kind = NRT_PLAIN;
}

void nrt_predict_learn(struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh)
{
    uint32_t target;
    if (f->kind >= NRT_CALL && f->kind <= NRT_CALL_NEAR) {
        if (call_target(p->isa, fresh, at, &target)) {
            struct nrt_pairing *c = call_slot(p, f->key);
            c->key = f->key + 1u;
            c->value = target;
        }
    } else if ((f->kind >= NRT_POINTER && f->kind <= NRT_WORD_SEEN) || f->kind >= NRT_POINTER_NEAR) {
        struct nrt_pairing *c = word_slot(p, f->key);
        c->key = f->key + 1u;
        c->value = nrt_get32(fresh);
    }
}
