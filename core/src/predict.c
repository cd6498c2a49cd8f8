/* predict.c - the fields every instruction set has: calls, pointers into the image, words whose range grew, and what was
 * learned of them (docs/spec/delta.md 9). It knows no probabilities. */
#include "predict.h"

#include "sections.h"

#ifdef NRT_WITH_LARGE   /* only profile 3 has sections */
#define SECTIONS(p) ((p)->sections != NULL)
#else
#define SECTIONS(p) 0
#endif

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

int nrt_guessed(struct nrt_guess *out, uint32_t kind, uint32_t length)
{
    out->kind = (uint16_t)kind;
    out->length = length;
    return 1;
}

int nrt_moved(const struct nrt_predictor *p, uint32_t target, uint32_t *now)
{
    if (SECTIONS(p))
        return nrt_section_moved(p, target, now);
    if (target >= p->map.old_size)
        return 0;
    return nrt_map_to(&p->map, target, now) == NRT_FOUND_COVERED ? 2 : 1;
}

static int predict_call(const struct nrt_predictor *p, const struct nrt_tongue *t, const struct nrt_site *s, struct nrt_guess *f)
{
    uint32_t target;
    uint32_t now;
    uint32_t length = t->call(s->old, s->left, s->from, &target);
    if (length == 0)
        return 0;
    const struct nrt_pairing *seen = call_slot(p, target);
    int found = nrt_moved(p, target, &now);
    f->kind = found == 2 ? NRT_CALL : NRT_CALL_NEAR;
    if (found == 0) {
        if (t->strict != 0)
            return 0;
        now = target - s->from + s->at;
    }
    if (known(seen, target)) {
        now = seen->value;
        f->kind = NRT_CALL_SEEN;
    }
    t->aim(s->old, s->at, now, f->byte);
    f->length = length;
    f->key = target;
    return 1;
}

/* The address a pointer counts from: where the image is mapped, or where another part of it is. */
static int base_of(const struct nrt_predictor *p, uint32_t word, uint32_t *base)
{
    *base = word - p->address < p->map.old_size ? p->address : p->also;
    return word - *base < p->map.old_size && (*base == p->address || p->also != 0);
}

/* 2 and 1 as nrt_moved() for a pointer; 0: it is none. */
static int pointed(const struct nrt_predictor *p, uint32_t word, uint32_t odd, uint32_t *now)
{
    uint32_t base;
    if (SECTIONS(p))
        return nrt_section_moved(p, word - odd, now);
    if (!base_of(p, word, &base))
        return 0;
    int found = nrt_map_to(&p->map, word - base - odd, now) == NRT_FOUND_COVERED ? 2 : 1;
    *now += base;
    return found;
}

int nrt_value(const struct nrt_predictor *p, uint32_t word, uint32_t odd, struct nrt_guess *f, uint32_t *now)
{
    uint32_t by = 0;
    int found = pointed(p, word, odd, now);
    if (found == 0 && !nrt_map_word(&p->map, word, &by))
        return 0;
    const struct nrt_pairing *seen = word_slot(p, word);
    if (found != 0) {
        *now += odd;
        f->kind = known(seen, word) ? NRT_POINTER_SEEN : found == 2 ? NRT_POINTER : NRT_POINTER_NEAR;
    } else {
        *now = word + by;
        f->kind = known(seen, word) ? NRT_WORD_SEEN : by != 0 ? NRT_WORD : NRT_WORD_SAME;
    }
    if (known(seen, word))
        *now = seen->value;
    f->key = word;
    return 1;
}

static int predict_word(const struct nrt_predictor *p, const uint8_t *old, uint32_t odd, struct nrt_guess *f)
{
    uint32_t word = nrt_get32(old);
    uint32_t now;
    if (!nrt_value(p, word, word & odd, f, &now))
        return 0;
    nrt_put32(f->byte, now);
    f->length = 4;
    return 1;
}

static int predict_code(const struct nrt_predictor *p, const struct nrt_site *s, int aligned, struct nrt_guess *out)
{
    const struct nrt_tongue *t = nrt_tongue(out->isa);
    if (t == NULL || ((s->from | s->at) & (t->step - 1u)) != 0 || s->left < 2)
        return 0;
    if (predict_call(p, t, s, out))
        return 1;
    if (t->early != NULL && t->early(p, s, out))
        return 1;
    if (s->left >= 4 && aligned && predict_word(p, s->old, t->odd, out))
        return 1;
    out->key = 0;   /* what failed may have left one */
    return t->late != NULL && t->late(p, s, out);
}

void nrt_predict(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, uint32_t left,
                 struct nrt_guess *out)
{
    struct nrt_site s = {old, from, at, left};
    int aligned = ((from | at) & 3u) == 0;
    int done = 0;
    out->isa = (uint16_t)p->isa;
    out->lift = 0;
    out->key = 0;
    if (SECTIONS(p))
        done = nrt_section_predict(p, &s, out);
    if (!done && out->isa != NRT_ISA_NONE)
        done = predict_code(p, &s, aligned && !SECTIONS(p), out);
    if (!done) {
        out->length = 0;
        out->kind = NRT_PLAIN;
        out->key = 0;
    }
}

void nrt_predict_learn(struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh)
{
    const struct nrt_tongue *t = nrt_tongue(f->isa);
    uint32_t target;
    if (f->kind >= NRT_CALL && f->kind <= NRT_CALL_NEAR) {
        if (t != NULL && t->call(fresh, f->length, at + f->lift, &target)) {
            struct nrt_pairing *c = call_slot(p, f->key);
            c->key = f->key + 1u;
            c->value = target;
        }
    } else if ((f->kind >= NRT_POINTER && f->kind <= NRT_WORD_SEEN) || f->kind == NRT_POINTER_NEAR || f->kind == NRT_WORD_SAME) {
        struct nrt_pairing *c = word_slot(p, f->key);
        c->key = f->key + 1u;
        c->value = nrt_get32(fresh);
    } else if (t != NULL && t->learn != NULL) {
        t->learn(p, f, at + f->lift, fresh);
    }
}
