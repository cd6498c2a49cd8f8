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

static void view(const struct nrt_nor *n, uint32_t span, struct span_view *v)
{
    memset(v, 0, sizeof *v);
    v->base = n->layout.log[span].base - n->base;
    v->cell = n->layout.write_unit;
    v->cells = n->layout.log[span].len / v->cell;
    for (uint32_t i = 0; i < v->cells;) {
        struct found f;
        v->metas |= (mark_of(n, v, i) & NOR_META) != 0;
        if (v->n == MAX_RECORDS || !find(n, v, i, &f)) {
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

/* Records that a stable later one cancels for good are junk. */
static void drop_cancelled(struct nrt_nor *n, struct span_view *v)
{
    for (uint32_t j = 1; j < v->n; j++)
        for (uint32_t i = 0; v->found[j].stable && i < j; i++) {
            uint8_t above = (uint8_t)(v->found[i].sequence - v->found[j].sequence);
            if (above > 1 || v->found[i].cells == 0)
                continue;
            junk(n, v->base + v->found[i].at * v->cell, v->found[i].cells * v->cell);
            memset(v->part + v->found[i].at, 0, v->found[i].cells);
            v->found[i].cells = 0;
        }
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

/* Everything before the last certain trace that is part of no record is junk. */
static void level(struct nrt_nor *n, struct span_view *v)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < v->cells; i++)
        if (always_seen(n, v, i))
            end = i + 1;
    for (uint32_t i = 0; i < end; i++)
        if (!v->part[i])
            junk(n, v->base + i * v->cell, v->cell);
}

static uint32_t highest(const struct span_view *v, int stable_only)
{
    uint32_t g = 0;
    for (uint32_t i = 0; i < v->n; i++)
        if (v->found[i].type == NRT_REC_SEAL && v->found[i].cells != 0 && (v->found[i].stable || !stable_only) &&
            v->found[i].generation > g)
            g = v->found[i].generation;
    return g;
}

static void write_seal(struct nrt_nor *n, uint32_t off, uint32_t generation)
{
    uint8_t r[SEAL_LEN] = {NRT_REC_SEAL, 0};
    for (uint32_t i = 0; i < 4; i++)
        r[2 + i] = (uint8_t)((generation >> (8 * i)) ^ WHITE);
    uint32_t crc = nrt_crc32(0, r, SEAL_LEN - 4);
    for (uint32_t i = 0; i < 4; i++)
        r[6 + i] = (uint8_t)(crc >> (8 * i));
    memcpy(n->mem + off, r, SEAL_LEN);
    memcpy(n->other + off, r, SEAL_LEN);
}

/* What a reader makes of a span that can never be chosen again: certain, because it is sealed or blank, or doubtful. */
static int is_certain(const struct nrt_nor *n, const struct span_view *v)
{
    struct nrt_core c;
    struct nrt_layout l = n->layout;
    uint32_t len = v->cells * v->cell;
    int blank = cell_is(n->mem + v->base, l.erased, len);
    for (uint32_t i = 0; n->ecc && i < v->cells; i++)
        blank = blank && (mark_of(n, v, i) & NOR_TORN) == 0;
    if (blank)
        return 1;
    l.log[l.log[0].base - n->base == v->base ? 1 : 0].len = 0;
    memset(&c, 0, sizeof c);
    c.layout = &l;
    c.port = &n->port;
    return nrt_log_mount(&c) == NRT_OK;
}

/* The span that can never be chosen again: all that matters is whether it is certain, now and at the next power-up. Where
 * torn units may change that, both are taken for possible. */
static void older(struct nrt_nor *n, const struct span_view *v, uint32_t generation)
{
    uint32_t len = v->cells * v->cell;
    int certain = is_certain(n, v);
    if (!v->metas && certain && cell_is(n->mem + v->base, n->layout.erased, len))
        return;
    int always = highest(v, 1) != 0 || (!v->metas && certain);
    junk(n, v->base, len);
    if (always)
        write_seal(n, v->base, generation - 1);
    if (always || !v->metas)
        return;
    memset(n->mem + v->base, n->layout.erased, len);
    memset(n->other + v->base, n->layout.erased, len);
    memset((certain ? n->other : n->mem) + v->base, JUNK, v->cell);
    n->mark[v->base / n->layout.write_unit] = NOR_PROGRAMMED | NOR_META;
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

static int is_readable(const struct nrt_nor *n)
{
    return n->layout.write_unit >= 8 && n->layout.log[0].len / n->layout.write_unit <= MAX_CELLS;
}

uint32_t nrt_canon_log(struct nrt_nor *n)
{
    static struct span_view view_of[2];   /* the enumerator walks alone */
    struct span_view *v = view_of;
    uint32_t old = NEITHER;
    for (uint32_t s = 0; s < 2 && is_readable(n); s++) {
        view(n, s, &v[s]);
        drop_cancelled(n, &v[s]);
        level(n, &v[s]);
        view(n, s, &v[s]);
    }
    for (uint32_t s = 0; s < 2 && old == NEITHER && is_readable(n); s++) {
        uint32_t g = highest(&v[s], 1);
        if (g == 0 || highest(&v[1 - s], 0) >= g)
            continue;
        old = 1 - s;
        older(n, &v[old], g);
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
