/* sections.c - fields of images that are made of sections (docs/spec/delta.md 9.5). It knows addresses, not encodings. */
#include "sections.h"

static const struct nrt_section *section_of(const struct nrt_predictor *p, uint32_t from)
{
    const struct nrt_section *found = NULL;
    for (uint32_t i = 0; i < p->sections->n && p->sections->at[i].from <= from; i++)
        found = &p->sections->at[i];
    return found;
}

static uint32_t end_of(const struct nrt_predictor *p, uint32_t i)
{
    return i + 1u < p->sections->n ? p->sections->at[i + 1u].from : p->map.old_size;
}

/* The section an old address lies in, and the old offset. */
static const struct nrt_section *addressed(const struct nrt_predictor *p, uint32_t target, uint32_t *offset)
{
    for (uint32_t i = 0; i < p->sections->n; i++) {
        const struct nrt_section *s = &p->sections->at[i];
        *offset = target - s->lift;
        if (s->kind < NRT_SECTION_APART && *offset - s->from < end_of(p, i) - s->from)
            return s;
    }
    return NULL;
}

int nrt_section_moved(const struct nrt_predictor *p, uint32_t target, uint32_t *now)
{
    uint32_t offset;
    uint32_t by;
    const struct nrt_section *s = addressed(p, target, &offset);
    if (s != NULL) {
        int found = nrt_map_to(&p->map, offset, now) == NRT_FOUND_COVERED ? 2 : 1;
        *now += s->lift_now;
        return found;
    }
    if (!nrt_map_word(&p->map, target, &by))
        return 0;
    *now = target + by;
    return 1;
}

/* A word that counts from where it stands, to code, or from where its section begins. */
static int relative(const struct nrt_predictor *p, const struct nrt_site *s, const struct nrt_section *own, struct nrt_guess *out)
{
    int self = own->kind % NRT_SECTION_APART == NRT_SECTION_SELF;
    uint32_t now = self ? s->at : own->at + own->lift_now;
    uint32_t offset;
    uint32_t target = (self ? s->from : own->from + own->lift) + nrt_get32(s->old);
    const struct nrt_section *to = addressed(p, target, &offset);
    if (to == NULL || (self && (to->kind == NRT_SECTION_PLAIN || to->kind >= NRT_SECTION_WORDS)))
        return 0;
    out->key = target;
    out->kind = nrt_section_moved(p, target, &target) == 2 ? NRT_CALL : NRT_CALL_NEAR;
    nrt_put32(out->byte, target - now);
    out->length = 4;
    return 1;
}

static int word(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out)
{
    uint32_t now;
    if (!nrt_value(p, nrt_get32(s->old), 0, out, &now))
        return 0;
    nrt_put32(out->byte, now);
    out->length = 4;
    return 1;
}

int nrt_section_predict(const struct nrt_predictor *p, struct nrt_site *s, struct nrt_guess *out)
{
    const struct nrt_section *own = section_of(p, s->from);
    int aligned = ((s->from | s->at) & 3u) == 0 && s->left >= 4;
    out->isa = NRT_ISA_NONE;
    if (own == NULL)
        return 0;
    s->from += own->lift;
    s->at += own->lift_now;
    out->lift = own->lift_now;
    switch (own->kind % NRT_SECTION_APART) {
    case NRT_SECTION_WORDS:
        return aligned && word(p, s, out);
    case NRT_SECTION_SELF:
    case NRT_SECTION_TABLE:
        return aligned && relative(p, s, own, out);
    default:
        out->isa = (uint16_t)(own->kind % NRT_SECTION_APART);
        return 0;
    }
}
