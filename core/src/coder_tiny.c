/* coder_tiny.c - profile 4: copies whose bytes are predicted, literals with copies among them, through the chained contexts of
 * tiny.c. It feeds that model with old bytes from nrt_old(); it has no other way to them. */
#include <string.h>

#include "coder.h"
#include "tiny.h"

static void tiny_open(struct nrt_unpack *u)
{
    struct nrt_tiny *m = u->tiny;
    memset(m, 0, sizeof *m);
    m->isa = u->head.isa;
    m->address = u->head.address;
    m->map.segments = u->segments;
    m->map.by_old = u->by_old;
    m->map.shifts = m->shifts;
    m->map.old_size = u->head.old_size;
}

static int tiny_begin(struct nrt_unpack *u)
{
    nrt_tiny_reset(u->tiny);
    nrt_range_open(&u->range, &u->reader);
    return u->range.fault;
}

static int copy_part(struct nrt_unpack *u, const struct nrt_segment *s, uint32_t from, uint32_t left)
{
    uint32_t start = from;   /* old offset of u->old[0] */
    uint32_t have = 0;
    int rc = NRT_OK;
    nrt_tiny_here(u->tiny, s);
    for (; left > 0; from++, left--) {
        if (start + have - from < NRT_TINY_AHEAD && start + have - from < left) {
            start = from;
            have = left < NRT_UNPACK_CHUNK ? left : NRT_UNPACK_CHUNK;
            if ((rc = nrt_old(u->core, start, u->old, have)) < 0)
                return rc;
        }
        struct nrt_spot c = {u->old + (from - start), from, u->at, left};
        rc = nrt_unpack_put(u, nrt_tiny_copied(u->tiny, &u->range.bits, &c, 0));
        if (rc < 0 || (rc = u->range.fault) < 0)
            return rc;
    }
    return rc;
}

static int tiny_copy(struct nrt_unpack *u, uint32_t from, uint32_t len)
{
    return copy_part(u, &u->here, from, len);
}

/* A copy among literals: inside the old image and the stretch of literals, or refused. */
static int far_copy(struct nrt_unpack *u, uint32_t room)
{
    struct nrt_segment s = {u->at, 0, 0};
    int rc = nrt_tiny_far(u->tiny, &u->range.bits, &s);
    if (rc < 0 || (rc = u->range.fault) < 0)
        return rc;
    if (s.len == 0 || s.len > room || s.from > u->head.old_size || s.len > u->head.old_size - s.from)
        return NRT_E_BOUND;
    return copy_part(u, &s, s.from, s.len);
}

static int tiny_literal(struct nrt_unpack *u, uint32_t len)
{
    uint32_t end = u->at + len;
    int rc = NRT_OK;
    while (rc == NRT_OK && u->at < end) {
        if (u->head.old_size > 0 && nrt_tiny_item(u->tiny, &u->range.bits, u->at, 0))
            rc = far_copy(u, end - u->at);
        else
            rc = nrt_unpack_put(u, nrt_tiny_literal(u->tiny, &u->range.bits, u->at, 0));
        if (rc == NRT_OK)
            rc = u->range.fault;
    }
    return rc;
}

static int tiny_end(struct nrt_unpack *u)
{
    return nrt_range_close(&u->range);
}

static int tiny_number(struct nrt_unpack *u, int field, uint32_t *value)
{
    int fault = NRT_OK;
    *value = nrt_tiny_number(u->tiny, &u->range.bits, (uint32_t)field, 0, &fault);
    return u->range.fault < 0 ? u->range.fault : fault;
}

/* The words' shifts; with them the map is whole. */
static int tiny_rest(struct nrt_unpack *u)
{
    struct nrt_tiny *m = u->tiny;
    struct nrt_bits *b = &u->range.bits;
    uint32_t from = 0;
    int fault = NRT_OK;
    uint32_t n = nrt_tiny_number(m, b, NRT_NUMBER_SHIFTS, 0, &fault);
    if (n > NRT_TINY_SHIFTS)
        return NRT_E_BOUND;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t step = nrt_tiny_number(m, b, NRT_NUMBER_STEP, 0, &fault);
        if (step > ~from)
            return NRT_E_BOUND;
        from += step;
        m->shifts[i].from = from;
        m->shifts[i].by = nrt_unzigzag(nrt_tiny_number(m, b, NRT_NUMBER_BY, 0, &fault));
    }
    m->also = nrt_tiny_number(m, b, NRT_NUMBER_ALSO, 0, &fault);
    m->map.n_shifts = n;
    m->map.n_segments = u->head.n_segments;
    nrt_map_sort(&m->map, u->by_old);
    return u->range.fault < 0 ? u->range.fault : fault;
}

const struct nrt_coder nrt_coder_tiny = {tiny_begin, tiny_copy, tiny_literal, tiny_end, tiny_number, NULL, tiny_rest, tiny_open, NRT_TINY_ROOM};
