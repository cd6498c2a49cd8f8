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

/* Everything before the last certain trace that is part of no record is junk. */
static void level(struct nrt_nor *n, struct span_view *v)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < v->cells; i++)
        if ((mark_of(n, v, i) & NOR_META) == 0 && !cell_is(n->mem + v->base + i * v->cell, n->layout.erased, v->cell))
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

/* A span with torn units that no reading turns into a sealed one: it reads as blank or not, and may read the other way. */
static void faint(struct nrt_nor *n, const struct span_view *v, int blank)
{
    uint32_t wu = n->layout.write_unit;
    for (uint32_t i = 0; i < v->cells; i++)
        if ((mark_of(n, v, i) & NOR_META) == 0 &&
            !cell_is(n->mem + v->base + i * v->cell, n->layout.erased, v->cell)) {
            junk(n, v->base, v->cells * v->cell);
            return;
        }
    junk(n, v->base, v->cells * v->cell);
    memset(n->mem + v->base, n->layout.erased, v->cells * v->cell);
    memset(n->other + v->base, n->layout.erased, v->cells * v->cell);
    memset((blank ? n->other : n->mem) + v->base, JUNK, v->cell);
    n->mark[v->base / wu] = NOR_PROGRAMMED | NOR_META;
}

/* The span that can never be chosen again: all that matters is whether it reads as sealed, as blank or as neither. */
static void older(struct nrt_nor *n, const struct span_view *v, uint32_t generation)
{
    uint32_t len = v->cells * v->cell;
    int blank = cell_is(n->mem + v->base, n->layout.erased, len);
    if (v->metas && highest(v, 0) == 0) {
        faint(n, v, blank);
        return;
    }
    if (v->metas || blank)
        return;
    int sealed = highest(v, 1) != 0;
    junk(n, v->base, len);
    if (sealed)
        write_seal(n, v->base, generation - 1);
}

/* ---- the span in force --------------------------------------------------------------------------------------------------- */

/* Writes a record into `out`; its padded length. */
static uint32_t compose(const struct nrt_layout *l, uint8_t type, uint32_t sequence, const uint8_t *payload, uint8_t *out)
{
    uint32_t grid = l->write_unit > 8 ? l->write_unit : 8;
    uint32_t len = (uint32_t)nrt_record_len(type);
    out[0] = type;
    out[1] = (uint8_t)sequence;
    for (uint32_t i = 0; i < len; i++)
        out[2 + i] = (uint8_t)(payload[i] ^ WHITE);
    uint32_t crc = nrt_crc32(0, out, len + 2);
    for (uint32_t i = 0; i < 4; i++)
        out[len + 2 + i] = (uint8_t)(crc >> (8 * i));
    uint32_t whole = (len + 6 + grid - 1) / grid * grid;
    memset(out + len + 6, l->erased, whole - (len + 6));
    return whole;
}

/* All that counts in a span without torn units is: what it says, its last record, and where it ends. So it is written again
 * as its live set, a seal, junk, and the last record; numbered from 0. Left alone where that does not fit. */
static void restate(struct nrt_nor *n, const struct nrt_core *c, int renumber)
{
    static uint8_t span[MAX_CELLS * NRT_MAX_WRITE];
    uint8_t payload[NRT_LOG_RECORD];
    uint8_t record[NRT_LOG_RECORD];
    const struct nrt_layout *l = &n->layout;
    uint32_t base = l->log[c->log.active].base - n->base;
    uint32_t at = 0;
    uint32_t i = 0;
    uint32_t first = 0;
    /* Where something torn follows, the last record keeps its number and the others count down to it. */
    while (!renumber && nrt_facts_live(c, i, payload) != 0)
        i++;
    first = renumber ? 0 : c->log.sequence - (i + 1);
    i = 0;
    for (uint8_t type; (type = nrt_facts_live(c, i, payload)) != 0; i++) {
        uint32_t len = compose(l, type, first + i, payload, record);
        if (at + len + c->log.tail_len > c->log.next)
            return;
        memcpy(span + at, record, len);
        at += len;
    }
    for (uint32_t k = 0; k < 4; k++)
        payload[k] = (uint8_t)(c->log.generation >> (8 * k));
    uint32_t len = compose(l, NRT_REC_SEAL, first + i, payload, record);
    if (at + len + c->log.tail_len > c->log.next)
        return;
    memcpy(span + at, record, len);
    at += len;
    memset(span + at, JUNK, c->log.next - at);
    uint32_t n_tail = (uint32_t)nrt_record_len(c->log.tail[0]);
    for (uint32_t k = 0; k < n_tail; k++)
        payload[k] = (uint8_t)(c->log.tail[2 + k] ^ WHITE);
    (void)compose(l, c->log.tail[0], first + i + 1, payload, span + c->log.next - c->log.tail_len);
    memcpy(n->mem + base, span, c->log.next);
    memcpy(n->other + base, span, c->log.next);
    memset(n->mark + base / l->write_unit, NOR_PROGRAMMED, c->log.next / l->write_unit);
}

/* End of the last certain record before the first torn unit, as an offset in the span. */
static uint32_t certain_part(const struct nrt_nor *n, const struct span_view *v)
{
    uint32_t end = 0;
    uint32_t torn = 0;
    while (torn < v->cells && (mark_of(n, v, torn) & NOR_META) == 0)
        torn++;
    for (uint32_t i = 0; i < v->n && v->found[i].at + v->found[i].cells <= torn; i++)
        if (v->found[i].stable)
            end = v->found[i].at + v->found[i].cells;
    return end * v->cell;
}

/* Mounts what stands before offset `end` of a span alone. */
static int mount_part(struct nrt_nor *n, uint32_t base, uint32_t len, uint32_t end, struct nrt_core *c)
{
    static uint8_t kept[MAX_CELLS * NRT_MAX_WRITE];
    static uint8_t marks[MAX_CELLS];
    uint32_t wu = n->layout.write_unit;
    memcpy(kept, n->mem + base + end, len - end);
    memcpy(marks, n->mark + (base + end) / wu, (len - end) / wu);
    memset(n->mem + base + end, n->layout.erased, len - end);
    memset(n->mark + (base + end) / wu, 0, (len - end) / wu);
    memset(c, 0, sizeof *c);
    c->layout = &n->layout;
    c->port = &n->port;
    int rc = nrt_log_mount(c);
    memcpy(n->mem + base + end, kept, len - end);
    memcpy(n->mark + (base + end) / wu, marks, (len - end) / wu);
    return rc;
}

static void canon_active(struct nrt_nor *n, const struct span_view *v, uint32_t span, int keep_scratch)
{
    struct nrt_core c;
    uint32_t len = v->cells * v->cell;
    uint32_t end = v->metas ? certain_part(n, v) : len;
    if (mount_part(n, v->base, len, end, &c) != NRT_OK || c.log.active != span)
        return;
    if (!v->metas || c.log.next == end)
        restate(n, &c, !v->metas);
    if (!v->metas && c.facts.commit == c.facts.done && !keep_scratch)
        junk(n, n->layout.scratch.base - n->base, n->layout.scratch.len);
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

void nrt_canon(struct nrt_nor *n, int keep_scratch)
{
    static struct span_view view_of[2];   /* the enumerator walks alone */
    struct span_view *v = view_of;
    if (n->layout.write_unit >= 8 && n->layout.log[0].len / n->layout.write_unit <= MAX_CELLS) {
        for (uint32_t s = 0; s < 2; s++) {
            view(n, s, &v[s]);
            drop_cancelled(n, &v[s]);
            level(n, &v[s]);
            view(n, s, &v[s]);
        }
        for (uint32_t s = 0; s < 2; s++) {
            uint32_t g = highest(&v[s], 1);
            if (g == 0 || highest(&v[1 - s], 0) >= g)
                continue;
            older(n, &v[1 - s], g);
            canon_active(n, &v[s], s, keep_scratch);
            break;
        }
    }
    count_from_lowest(n);
}
