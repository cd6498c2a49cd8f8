/* canon.c - one representative for flash states that no power-up can tell apart: what cannot be read as a record is junk
 * whatever its bits are, a record cancelled for good is junk too, a span that can never be chosen again is only "older", and
 * scratch without an open commit is erased before use. Junk counts as programmed, so that a write over it is still seen.
 * It must never touch what a torn unit could still turn into a record. */
#include "canon.h"

#include <string.h>

#include "statelog.h"

#define SEAL_LEN 10u
#define WHITE 0x5Au
#define JUNK 0x77u
#define MAX_CELLS 512u
#define MAX_RECORDS 256u
#define NEITHER 2u

struct found {
    uint32_t at;         /* cell */
    uint32_t cells;
    uint8_t type;
    uint8_t sequence;
    uint8_t stable;      /* 1: no torn unit in it */
    uint32_t generation; /* of a seal */
};

struct span_view {
    uint32_t base;       /* offset on the chip */
    uint32_t cells;
    uint32_t cell;       /* bytes */
    struct found found[MAX_RECORDS];
    uint32_t n;
    uint8_t part[MAX_CELLS];   /* 1: the cell belongs to a record or a possible one */
    int metas;
};

/* ---- reading every way ------------------------------------------------------------------------------------------------- */

static uint8_t mark_of(const struct nrt_nor *n, const struct span_view *v, uint32_t cell)
{
    return n->mark[(v->base + cell * v->cell) / n->layout.write_unit];
}

static int cell_is(const uint8_t *p, uint8_t value, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if (p[i] != value)
            return 0;
    return 1;
}

/* Reads `cells` cells with torn ones taken from `other` where `pick` says so; 0 where ECC would stop it. */
static int assemble(const struct nrt_nor *n, const struct span_view *v, uint32_t at, uint32_t cells, uint32_t pick, uint8_t *out)
{
    uint32_t torn = 0;
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t off = v->base + (at + i) * v->cell;
        uint8_t m = mark_of(n, v, at + i);
        int from_other = 0;
        if (m & NOR_META)
            from_other = (pick >> torn++ & 1u) != 0;
        if (n->ecc && (m & (from_other ? NOR_OTHER_TORN : NOR_TORN)))
            return 0;
        memcpy(out + i * v->cell, (from_other ? n->other : n->mem) + off, v->cell);
    }
    return 1;
}

static uint32_t crc_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* A record of this type that some reading shows at cell `at`. */
static int find_as(const struct nrt_nor *n, const struct span_view *v, uint32_t at, uint8_t type, struct found *f)
{
    uint8_t r[NRT_LOG_RECORD + 64];
    int len = nrt_record_len(type);
    if (len < 0)
        return 0;
    uint32_t whole = (uint32_t)len + 6;
    uint32_t cells = (whole + v->cell - 1) / v->cell;
    uint32_t torn = 0;
    if (at + cells > v->cells)
        return 0;
    for (uint32_t i = 0; i < cells; i++)
        torn += (mark_of(n, v, at + i) & NOR_META) != 0;
    for (uint32_t pick = 0; torn <= 10 && pick < 1u << torn; pick++) {
        if (!assemble(n, v, at, cells, pick, r) || r[0] != type || crc_at(r + whole - 4) != nrt_crc32(0, r, whole - 4))
            continue;
        *f = (struct found){at, cells, type, r[1], torn == 0, 0};
        for (uint32_t i = 0; type == NRT_REC_SEAL && i < 4; i++)
            f->generation |= (uint32_t)(r[2 + i] ^ WHITE) << (8 * i);
        return 1;
    }
    return 0;
}

static int find(const struct nrt_nor *n, const struct span_view *v, uint32_t at, struct found *f)
{
    uint32_t off = v->base + at * v->cell;
    if (find_as(n, v, at, n->mem[off], f))
        return 1;
    return (mark_of(n, v, at) & NOR_META) != 0 && find_as(n, v, at, n->other[off], f);
}

/* 1: some reading of this cell does not look erased. */
static int ever_seen(const struct nrt_nor *n, const struct span_view *v, uint32_t cell)
{
    uint32_t off = v->base + cell * v->cell;
    uint8_t m = mark_of(n, v, cell);
    return (m & (NOR_TORN | NOR_OTHER_TORN)) != 0 || !cell_is(n->mem + off, n->layout.erased, v->cell) ||
           ((m & NOR_META) && !cell_is(n->other + off, n->layout.erased, v->cell));
}

static void view(const struct nrt_nor *n, uint32_t span, struct span_view *v)
{
    memset(v, 0, sizeof *v);
    v->base = n->layout.log[span].base - n->base;
    v->cell = n->layout.write_unit;
    v->cells = n->layout.log[span].len / v->cell;
    int given_up = ever_seen(n, v, v->cells - 1);
    for (uint32_t i = 0; i < v->cells;) {
        struct found f;
        v->metas |= (mark_of(n, v, i) & NOR_META) != 0;
        /* A mark set again by a later power-up counts by its trace alone, where the span was not given up. */
        if (v->n == MAX_RECORDS || !find(n, v, i, &f) || (f.type == NRT_REC_MARK && f.sequence == 0 && !given_up)) {
            i++;
            continue;
        }
        v->found[v->n++] = f;
        memset(v->part + i, 1, f.cells);
        for (uint32_t k = 0; k < f.cells; k++)
            v->metas |= (mark_of(n, v, i + k) & NOR_META) != 0;
        i += f.cells;
    }
}

/* ---- junk ---------------------------------------------------------------------------------------------------------------- */

static void junk(struct nrt_nor *n, uint32_t off, uint32_t len)
{
    memset(n->mem + off, JUNK, len);
    memset(n->other + off, JUNK, len);
    memset(n->mark + off / n->layout.write_unit, NOR_PROGRAMMED, len / n->layout.write_unit);
}

/* 1: no reading of this cell looks erased. */
static int always_seen(const struct nrt_nor *n, const struct span_view *v, uint32_t cell)
{
    uint32_t off = v->base + cell * v->cell;
    uint8_t m = mark_of(n, v, cell);
    int now = (n->ecc && (m & NOR_TORN)) || !cell_is(n->mem + off, n->layout.erased, v->cell);
    int then = (n->ecc && (m & NOR_OTHER_TORN)) || !cell_is(n->other + off, n->layout.erased, v->cell);
    return now && ((m & NOR_META) == 0 || then);
}

/* A trace that is always seen and part of no record is junk. */
static void level(struct nrt_nor *n, struct span_view *v)
{
    for (uint32_t i = 0; i < v->cells; i++)
        if (!v->part[i] && always_seen(n, v, i))
            junk(n, v->base + i * v->cell, v->cell);
}

/* 1: the core's reader takes this span for sealed, as it reads now. */
static int is_certain(const struct nrt_nor *n, const struct span_view *v)
{
    struct nrt_core c;
    struct nrt_layout l = n->layout;
    l.log[l.log[0].base - n->base == v->base ? 1 : 0].len = 0;
    memset(&c, 0, sizeof c);
    c.layout = &l;
    c.port = &n->port;
    return nrt_log_mount(&c) == NRT_OK;
}

/* Highest generation that some reading of the span may count by: a seal, and a trace behind it; 0: none. */
static uint32_t possible(const struct nrt_nor *n, const struct span_view *v)
{
    uint32_t g = 0;
    int again = 0;
    for (uint32_t i = 0; i < v->n; i++)
        again |= v->found[i].type == NRT_REC_MARK && v->found[i].sequence == 0 && v->found[i].at != v->cells - 1;
    if (always_seen(n, v, v->cells - 1) && !again)
        return 0;   /* given up */
    /* Without its first record no reading of the span says anything. */
    for (uint32_t i = 0; i < v->n && v->found[0].at == 0; i++) {
        const struct found *f = &v->found[i];
        int traced = 0;
        for (uint32_t cell = f->at + f->cells; f->type == NRT_REC_SEAL && f->cells != 0 && cell < v->cells; cell++)
            traced |= ever_seen(n, v, cell);
        if (traced && f->generation > g)
            g = f->generation;
    }
    return g;
}

/* The generation that every reading of the span counts by, 0 where there is none: nothing torn up to its seal, a trace
 * behind it that no reading hides, and the core's own reader agrees. */
static uint32_t certain(const struct nrt_nor *n, const struct span_view *v)
{
    if (ever_seen(n, v, v->cells - 1))
        return 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct found *f = &v->found[i];
        int traced = 0;
        if (f->type != NRT_REC_SEAL || f->cells == 0)
            continue;
        for (uint32_t cell = 0; cell < f->at + f->cells; cell++)
            if (mark_of(n, v, cell) & NOR_META)
                return 0;
        for (uint32_t cell = f->at + f->cells; cell < v->cells; cell++)
            traced |= always_seen(n, v, cell);
        return traced && is_certain(n, v) ? f->generation : 0;
    }
    return 0;
}

/* 1: some reading of the span lacks nothing but a trace behind its seal: it is given up before it is erased. */
static int is_doubtful(const struct nrt_nor *n, const struct span_view *v)
{
    int sealed = 0;
    if (v->n == 0 || v->found[0].at != 0 || always_seen(n, v, v->cells - 1))
        return 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct found *f = &v->found[i];
        int traced = 0;
        for (uint32_t cell = f->at + f->cells; cell < v->cells; cell++)
            traced |= always_seen(n, v, cell);
        sealed |= f->type == NRT_REC_SEAL && !traced;
    }
    return sealed;
}

/* A doubtful span says no more than a seal in its first cell, torn where its own is (1: it was said so; 0: it is torn
 * elsewhere too, and left as it is). */
static int shorten(struct nrt_nor *n, const struct span_view *v)
{
    uint8_t r[SEAL_LEN] = {NRT_REC_SEAL, 0, WHITE ^ 1, WHITE, WHITE, WHITE};
    uint32_t crc = nrt_crc32(0, r, SEAL_LEN - 4);
    uint32_t len = v->cells * v->cell;
    uint32_t seal = 0;
    for (uint32_t i = 0; i < v->n; i++)
        seal = v->found[i].type == NRT_REC_SEAL ? v->found[i].at : seal;
    for (uint32_t i = 0; i < v->cells; i++)
        if (i != seal && (mark_of(n, v, i) & NOR_META))
            return 0;
    uint8_t mark = mark_of(n, v, seal);
    const uint8_t *now = n->mem + v->base + seal * v->cell;
    int torn = (mark & NOR_META) != 0;
    int shown = !(n->ecc && (mark & NOR_TORN)) && now[0] == NRT_REC_SEAL && crc_at(now + 6) == nrt_crc32(0, now, 6);
    for (uint32_t i = 0; i < 4; i++)
        r[6 + i] = (uint8_t)(crc >> (8 * i));
    memset(n->mem + v->base, n->layout.erased, len);
    memset(n->mark + v->base / n->layout.write_unit, NOR_PROGRAMMED, v->cells - 1);
    memcpy(n->mem + v->base, r, SEAL_LEN);
    memcpy(n->other + v->base, n->mem + v->base, len);
    if (torn) {
        memset((shown ? n->other : n->mem) + v->base, JUNK, v->cell);
        n->mark[v->base / n->layout.write_unit] = NOR_PROGRAMMED | NOR_META;
    }
    return 1;
}

/* A span that can never be chosen again is erased before anything else is written to it, whatever it holds. */
static void older(struct nrt_nor *n, const struct span_view *v)
{
    if (is_doubtful(n, v))
        (void)shorten(n, v);
    else
        junk(n, v->base, v->cells * v->cell);
}

/* ---- generations --------------------------------------------------------------------------------------------------------- */

/* Units of a seal at `off` that together read as one: bit i of *pick says that unit i is taken from `other`. 0: none. */
static int find_seal(const struct nrt_nor *n, uint32_t off, uint32_t *pick, uint8_t *record)
{
    uint32_t wu = n->layout.write_unit;
    uint32_t units = (SEAL_LEN + wu - 1) / wu;
    if (off + units * wu > n->size)
        return 0;
    for (*pick = 0; *pick < 1u << units; (*pick)++) {
        for (uint32_t i = 0; i < units; i++)
            memcpy(record + i * wu, (*pick & 1u << i ? n->other : n->mem) + off + i * wu, wu);
        uint32_t crc = nrt_crc32(0, record, SEAL_LEN - 4);
        if (record[0] == NRT_REC_SEAL && crc == ((uint32_t)record[6] | (uint32_t)record[7] << 8 | (uint32_t)record[8] << 16 |
                                                 (uint32_t)record[9] << 24))
            return 1;
    }
    return 0;
}

static void set_seal(struct nrt_nor *n, uint32_t off, uint32_t pick, uint8_t *record, uint32_t generation)
{
    uint32_t wu = n->layout.write_unit;
    for (uint32_t i = 0; i < 4; i++)
        record[2 + i] = (uint8_t)((generation >> (8 * i)) ^ WHITE);
    uint32_t crc = nrt_crc32(0, record, SEAL_LEN - 4);
    for (uint32_t i = 0; i < 4; i++)
        record[6 + i] = (uint8_t)(crc >> (8 * i));
    for (uint32_t i = 0; i * wu < SEAL_LEN; i++) {
        uint32_t u = off / wu + i;
        memcpy((pick & 1u << i ? n->other : n->mem) + off + i * wu, record + i * wu, wu);
        if ((n->mark[u] & NOR_META) == 0)
            memcpy(n->other + off + i * wu, n->mem + off + i * wu, wu);
    }
}

/* Counts generations from the lowest on: the core only ever compares them, so nothing else changes. */
static void count_from_lowest(struct nrt_nor *n)
{
    uint8_t record[64];
    uint32_t pick;
    uint32_t lowest = UINT32_MAX;
    uint32_t wu = n->layout.write_unit;
    for (uint32_t pass = 0; pass < 2; pass++)
        for (uint32_t s = 0; s < 2; s++) {
            uint32_t base = n->layout.log[s].base - n->base;
            for (uint32_t off = base; off < base + n->layout.log[s].len; off += wu) {
                if ((n->mem[off] != NRT_REC_SEAL && n->other[off] != NRT_REC_SEAL) || !find_seal(n, off, &pick, record))
                    continue;
                uint32_t g = 0;
                for (uint32_t i = 0; i < 4; i++)
                    g |= (uint32_t)(record[2 + i] ^ WHITE) << (8 * i);
                if (pass == 0)
                    lowest = g < lowest ? g : lowest;
                else
                    set_seal(n, off, pick, record, g - lowest + 1);
            }
        }
}

/* A torn unit that reads the same either way is not torn. */
static void calm(struct nrt_nor *n)
{
    uint32_t wu = n->layout.write_unit;
    uint32_t units = n->size / wu;
    for (uint32_t u = 0; u < units; u++) {
        uint8_t m = n->mark[u];
        if ((m & NOR_META) == 0)
            continue;
        int torn = (m & NOR_TORN) != 0;
        if (torn == ((m & NOR_OTHER_TORN) != 0) && memcmp(n->mem + u * wu, n->other + u * wu, wu) == 0)
            n->mark[u] = (uint8_t)(m & ~(NOR_META | NOR_OTHER_TORN));
    }
}

static int is_readable(const struct nrt_nor *n)
{
    return n->layout.write_unit >= 8 && n->layout.log[0].len / n->layout.write_unit <= MAX_CELLS;
}

uint32_t nrt_canon_log(struct nrt_nor *n)
{
    static struct span_view view_of[2];   /* the enumerator walks alone */
    struct span_view *v = view_of;
    uint32_t old = NEITHER;
    calm(n);
    for (uint32_t s = 0; s < 2 && is_readable(n); s++) {
        view(n, s, &v[s]);
        level(n, &v[s]);
        view(n, s, &v[s]);
    }
    for (uint32_t s = 0; s < 2 && old == NEITHER && is_readable(n); s++) {
        uint32_t g = certain(n, &v[s]);
        if (g == 0 || possible(n, &v[1 - s]) >= g)
            continue;
        old = 1 - s;
        older(n, &v[old]);
    }
    for (uint32_t s = 0; s < 2 && is_readable(n); s++)
        if (s != old)
            (void)nrt_restate(n, s);
    count_from_lowest(n);
    return old;
}

void nrt_canon(struct nrt_nor *n, int keep_scratch)
{
    uint32_t old = nrt_canon_log(n);
    if (is_readable(n))
        nrt_bury(n, keep_scratch, old);
}
