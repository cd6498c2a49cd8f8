/* layout_check.c - what the core can keep its promises on (docs/spec/layout.md): asked at every power-up. Pure arithmetic over struct
 * nrt_layout; it must never touch flash. A build whose map was checked when it was made may link core/lean/sure.c instead. */
#include "layout.h"

static int span_check(const struct nrt_layout *l, const struct nrt_span *s)
{
    struct nrt_span first;
    struct nrt_span last;
    if (s->len == 0)
        return NRT_OK;
    if (s->base + s->len < s->base || nrt_sector_of(l, s->base, &first) < 0 ||
        nrt_sector_of(l, s->base + s->len - 1, &last) < 0)
        return NRT_E_ARG;
    if (first.base != s->base || last.base + last.len != s->base + s->len)
        return NRT_E_ARG;
    struct nrt_span at;
    for (uint32_t a = s->base; a != s->base + s->len; a = at.base + at.len)
        if (nrt_sector_of(l, a, &at) < 0 || at.base != a)
            return NRT_E_ARG;
    return NRT_OK;
}

static int spans_check(const struct nrt_layout *l)
{
    struct nrt_span all[NRT_MAX_BANK + 5];
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n_bank; i++)
        all[n++] = l->bank[i];
    all[n++] = l->birth;
    all[n++] = l->log[0];
    all[n++] = l->log[1];
    all[n++] = l->scratch;
    all[n++] = l->stage;
    for (uint32_t i = 0; i < n; i++) {
        if (span_check(l, &all[i]) < 0)
            return NRT_E_ARG;
        for (uint32_t j = 0; j < i; j++)
            if (all[i].len != 0 && all[j].len != 0 && all[i].base < all[j].base + all[j].len &&
                all[j].base < all[i].base + all[i].len)
                return NRT_E_ARG;
    }
    return NRT_OK;
}

static int numbers_check(const struct nrt_layout *l)
{
    if (l->n_regions == 0 || l->n_regions > NRT_MAX_REGIONS || l->n_bank == 0 || l->n_bank > NRT_MAX_BANK)
        return NRT_E_ARG;
    if (l->erased != 0xFF && l->erased != 0x00)
        return NRT_E_ARG;
    if (l->write_unit == 0 || l->write_unit > NRT_MAX_WRITE || (l->write_unit & (l->write_unit - 1)) != 0)
        return NRT_E_ARG;
    if (l->page == 0 || l->page > NRT_MAX_PAGE || l->page % l->write_unit != 0)
        return NRT_E_ARG;
    if (l->leaf == 0 || l->group == 0 || l->group % l->leaf != 0)
        return NRT_E_ARG;
    for (uint32_t i = 0; i < l->n_regions; i++) {
        const struct nrt_region *r = &l->region[i];
        if (r->size == 0 || r->count == 0 || r->size % l->page != 0 || r->base % l->page != 0)
            return NRT_E_ARG;
        if ((uint64_t)r->base + (uint64_t)r->size * r->count > 0xFFFFFFFFu)
            return NRT_E_ARG;
    }
    return NRT_OK;
}

static int scratch_check(const struct nrt_layout *l, uint32_t most)
{
    struct nrt_scratch s;
    struct nrt_span at;
    if (l->scratch.len == 0)
        return NRT_OK;
    if (nrt_scratch_of(l, &s) < 0 || s.count * s.per < most)
        return NRT_E_ARG;
    for (uint32_t i = 0; i < s.count; i++)
        if (nrt_sector_of(l, l->scratch.base + i * s.sector, &at) < 0 || at.len != s.sector)
            return NRT_E_ARG;
    return NRT_OK;
}

int nrt_layout_check(const struct nrt_layout *l)
{
    if (numbers_check(l) < 0 || spans_check(l) < 0)
        return NRT_E_ARG;
    if (l->log[0].len != l->log[1].len || l->log[0].len < nrt_log_need(l))
        return NRT_E_ARG;
    for (uint32_t i = 0; i < l->n_bank; i++)
        if (l->bank[i].len == 0 || (i + 1 < l->n_bank && l->bank[i].len % l->leaf != 0))
            return NRT_E_ARG;
    uint32_t most = nrt_most_sectors(l);
    if (most > NRT_UNIT_SECTORS)
        return NRT_E_ARG;
    if (nrt_unit_count(l) >= 0xFFFFu)
        return NRT_E_ARG;
    return scratch_check(l, most);
}
