/* coder_small.c - profile 2: copies whose bytes are predicted, literals with copies among them, all through the mixed model
 * of small.c. It feeds that model with old bytes from nrt_old(); it has no other way to them. */
#include <string.h>

#include "coder.h"
#include "small.h"

/* A byte before the cursor and AHEAD bytes from it on are always in the window. */
#define LEAD 1u
/* What is looked at from the last byte of a quiet stretch on. */
#define AHEAD (NRT_QUIET + NRT_AHEAD)

void nrt_small_coder_open(struct nrt_unpack *u)
{
    struct nrt_predictor *p = &u->small->predictor;
    memset(u->small, 0, sizeof *u->small);
    u->voice = &nrt_small_voice;
    p->slots = NRT_CACHE_SLOTS;
    p->calls = u->small->calls;
    p->words = u->small->words;
    p->isa = u->head.isa;
    p->address = u->head.address;
    p->map.segments = u->segments;
    p->map.by_old = u->by_old;
    p->map.shifts = u->small->shifts;
    p->map.old_size = u->head.old_size;
}

static int small_begin(struct nrt_unpack *u)
{
    if (u->fresh != 0) {
        nrt_small_reset(u->small);
        u->past = 0;
    } else {
        nrt_small_rest(u->small);
    }
    nrt_range_open(&u->range, &u->reader);
    return u->range.fault;
}

/* The literals may be taught with the unit's own old bytes, which are there until it is committed. */
static int small_start(struct nrt_unpack *u, uint32_t end)
{
    uint32_t at = u->at;
    uint32_t stop = end - at < NRT_PRIME ? end : at + NRT_PRIME;
    if (u->range.bits.code(&u->range.bits, 0x8000u, 0) == 0)
        return u->range.fault;
    if (stop > u->head.old_size)
        stop = u->head.old_size;
    while (at < stop) {
        uint32_t n = stop - at < NRT_UNPACK_CHUNK ? stop - at : NRT_UNPACK_CHUNK;
        int rc = nrt_old(u->core, at, u->old, n);
        if (rc < 0)
            return rc;
        nrt_small_prime(u->small, at, u->old, n);
        at += n;
    }
    return u->range.fault;
}

/* Old bytes that are looked at from the cursor on are in the window [*start, *stop). */
static int look(struct nrt_unpack *u, struct nrt_cursor *c, uint32_t *start, uint32_t *stop)
{
    int rc = NRT_OK;
    if (*stop - c->from < (c->left < AHEAD ? c->left : AHEAD)) {
        *start = c->done > 0 ? c->from - LEAD : c->from;
        *stop = c->from + c->left;
        if (*stop - *start > NRT_UNPACK_CHUNK)
            *stop = *start + NRT_UNPACK_CHUNK;
        rc = nrt_old(u->core, *start, u->old, *stop - *start);
    }
    c->old = u->old + (c->from - *start);
    c->at = u->at;
    return rc;
}

static int copy_part(struct nrt_unpack *u, uint32_t from, uint32_t len)
{
    struct nrt_cursor c = {u->old, from, u->at, 0, len};
    uint32_t start = from;   /* old offset of the window's first byte */
    uint32_t stop = from;    /* and one past the last byte there */
    uint32_t quiet = 0;      /* bytes that have no flag */
    while (c.left > 0) {
        uint32_t n = 1;
        int rc = look(u, &c, &start, &stop);
        if (rc < 0)
            return rc;
        if (quiet == 0 && u->head.profile == NRT_PROFILE_QUICK)
            quiet = nrt_small_quiet(u->small, &u->range.bits, c.at, c.left, 0);
        if (quiet > 0) {
            n = NRT_UNPACK_CHUNK - u->filled < quiet ? NRT_UNPACK_CHUNK - u->filled : quiet;
            nrt_small_still(u->small, &c, u->out + u->filled, n);
            quiet -= n;
            rc = nrt_unpack_made(u, n);
        } else {
            rc = nrt_unpack_put(u, u->voice->copied(u->small, &u->range.bits, &c, 0));
        }
        if (rc < 0 || u->range.fault < 0)
            return rc < 0 ? rc : u->range.fault;
        c.from += n;
        c.done += n;
        c.left -= n;
    }
    return NRT_OK;
}

int nrt_small_coder_copy(struct nrt_unpack *u, uint32_t from, uint32_t len)
{
    nrt_small_here(u->small, &u->here);
    return copy_part(u, from, len);
}

/* A copy among literals: inside the old image and the stretch of literals, or refused. */
static int far_copy(struct nrt_unpack *u, uint32_t room)
{
    struct nrt_segment s = {u->at, 0, 0};
    int rc = nrt_small_far(u->small, &u->range.bits, &s);
    if (rc == NRT_OK)
        rc = u->range.fault;
    if (rc < 0)
        return rc;
    if (s.len == 0 || s.len > room || s.from > u->head.old_size || s.len > u->head.old_size - s.from)
        return NRT_E_BOUND;
    nrt_small_here(u->small, &s);
    return copy_part(u, s.from, s.len);
}

/* The same from what was made before: inside the window and the stretch of literals, or refused. */
static int back_copy(struct nrt_unpack *u, uint32_t room)
{
    uint32_t distance = 0;
    uint32_t len = 0;
    int rc = nrt_small_back(u->small, &u->range.bits, &distance, &len);
    if (rc == NRT_OK)
        rc = u->range.fault;
    if (rc == NRT_OK && (len == 0 || len > room || distance == 0 || distance > u->past))
        rc = NRT_E_BOUND;
    while (rc == NRT_OK && len-- > 0) {
        uint8_t byte = u->window[u->turn < distance ? u->turn + u->head.window - distance : u->turn - distance];
        nrt_small_remember(u->small, byte);
        rc = nrt_unpack_put(u, byte);
    }
    return rc;
}

int nrt_small_coder_literal(struct nrt_unpack *u, uint32_t len)
{
    uint32_t end = u->at + len;
    while (u->at < end) {
        int rc = NRT_OK;
        if ((u->head.old_size > 0 || u->window != NULL) && nrt_small_item(u->small, &u->range.bits, u->at, 0)) {
            int back = u->window != NULL && (u->head.old_size == 0 || nrt_small_which(u->small, &u->range.bits, 0));
            rc = back ? back_copy(u, end - u->at) : far_copy(u, end - u->at);
        }
        else
            rc = nrt_unpack_put(u, u->voice->literal(u->small, &u->range.bits, u->at, 0));
        if (rc < 0 || u->range.fault < 0)
            return rc < 0 ? rc : u->range.fault;
    }
    return NRT_OK;
}

static int small_end(struct nrt_unpack *u)
{
    return nrt_range_close(&u->range);
}

int nrt_small_coder_number(struct nrt_unpack *u, int field, uint32_t *value)
{
    int fault = NRT_OK;
    if (field == NRT_FIELD_FROM)
        *value = nrt_small_turn(u->small, &u->range.bits, 0, &fault);
    else
        *value = nrt_small_number(u->small, &u->range.bits, (uint32_t)field, 0, &fault);
    return u->range.fault < 0 ? u->range.fault : fault;
}

/* The words' shifts; with them the map is whole. */
int nrt_small_coder_rest(struct nrt_unpack *u)
{
    struct nrt_small *m = u->small;
    struct nrt_map *map = &m->predictor.map;
    int fault = NRT_OK;
    uint32_t from = 0;
    uint32_t n = nrt_small_number(m, &u->range.bits, NRT_NUMBER_SHIFTS, 0, &fault);
    if (n > NRT_MAX_SHIFTS)
        return NRT_E_BOUND;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t step = nrt_small_number(m, &u->range.bits, NRT_NUMBER_STEP, 0, &fault);
        uint32_t by = nrt_small_number(m, &u->range.bits, NRT_NUMBER_BY, 0, &fault);
        if (step > 0xFFFFFFFFu - from)
            return NRT_E_BOUND;
        from += step;
        m->shifts[i].from = from;
        m->shifts[i].by = (by & 1u) != 0 ? ~(by >> 1) : by >> 1;
    }
    m->predictor.also = nrt_small_number(m, &u->range.bits, NRT_NUMBER_ALSO, 0, &fault);
    map->n_shifts = n;
    map->n_segments = u->head.n_segments;
    nrt_map_sort(map, u->by_old);
    return u->range.fault < 0 ? u->range.fault : fault;
}

const struct nrt_coder nrt_coder_small = {small_begin,  nrt_small_coder_copy,  nrt_small_coder_literal, small_end,
                                          nrt_small_coder_number, small_start, nrt_small_coder_rest, nrt_small_coder_open, NRT_SMALL_ROOM};
