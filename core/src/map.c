/* map.c - the address map: from an old offset to a new one, by the copies of the control table (docs/spec/delta.md 9). It
 * knows offsets only; what an instruction does with them is predict.c's business. */
#include "map.h"

#define LOOK_BACK 8u

static int before(const struct nrt_segment *a, const struct nrt_segment *b)
{
    return a->from < b->from || (a->from == b->from && a->len < b->len);
}

void nrt_map_sort(const struct nrt_map *m, uint16_t *by_old)
{
    /* Copies mostly keep their order, so that inserting from the end is nearly linear. */
    for (uint32_t i = 0; i < m->n_segments; i++) {
        uint32_t j = i;
        for (; j > 0 && before(&m->segments[i], &m->segments[by_old[j - 1]]); j--)
            by_old[j] = by_old[j - 1];
        by_old[j] = (uint16_t)i;
    }
}

/* How many segments begin at or before `old`. */
static uint32_t rank(const struct nrt_map *m, uint32_t old)
{
    uint32_t low = 0;
    uint32_t high = m->n_segments;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (m->segments[m->by_old[mid]].from <= old)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int covers(const struct nrt_segment *s, uint32_t old)
{
    return old - s->from < s->len;
}

enum nrt_found nrt_map_to(const struct nrt_map *m, uint32_t old, uint32_t *out)
{
    uint32_t n = rank(m, old);
    const struct nrt_segment *last = n > 0 ? &m->segments[m->by_old[n - 1]] : NULL;
    const struct nrt_segment *best = NULL;
    if (last != NULL && last->len == 0 && last->from == old) {
        *out = last->at;
        return NRT_FOUND_COVERED;
    }
    if (covers(&m->here, old)) {
        *out = old - m->here.from + m->here.at;
        return NRT_FOUND_COVERED;
    }
    if (last == NULL) {
        *out = old;
        return NRT_FOUND_NOTHING;
    }
    for (uint32_t k = 0; k < LOOK_BACK && k < n; k++) {
        const struct nrt_segment *s = &m->segments[m->by_old[n - 1 - k]];
        if (covers(s, old) && (best == NULL || s->len > best->len))
            best = s;
    }
    if (best == NULL)
        best = last;
    *out = old - best->from + best->at;
    return best->len != 0 && covers(best, old) ? NRT_FOUND_COVERED : NRT_FOUND_NEAR;
}

int nrt_map_word(const struct nrt_map *m, uint32_t word, uint32_t *by)
{
    uint32_t i = m->n_shifts;
    while (i > 0 && m->shifts[i - 1].from > word)
        i--;
    if (i == 0 || i == m->n_shifts)
        return 0;
    *by = m->shifts[i - 1].by;
    return 1;
}
