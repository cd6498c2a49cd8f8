/* restate.c - a span of the state log said again in as few records as it means, and the units nobody will read (decision 0015).
 * It asks the core's own reader what every reading of a span says, writes the shortest span that says the same, asks again,
 * and keeps what it found where the answers differ. */
#include "canon.h"

#include <string.h>

#include "statelog.h"

#define WHITE 0x5Au
#define JUNK 0x77u
#define MOST_TORN 6u        /* torn units of a span that are read every way */
#define MAX_SPAN 4096u
#define NOBODY 2u

/* What the reader makes of one span, whatever the other one holds. */
struct said {
    struct nrt_core core;
    int sealed;
};

struct span_state {
    uint8_t mem[MAX_SPAN];
    uint8_t other[MAX_SPAN];
    uint8_t mark[MAX_SPAN];
};

static void save(const struct nrt_nor *n, uint32_t off, uint32_t len, struct span_state *s)
{
    memcpy(s->mem, n->mem + off, len);
    memcpy(s->other, n->other + off, len);
    memcpy(s->mark, n->mark + off / n->layout.write_unit, len / n->layout.write_unit);
}

static void load(struct nrt_nor *n, uint32_t off, uint32_t len, const struct span_state *s)
{
    memcpy(n->mem + off, s->mem, len);
    memcpy(n->other + off, s->other, len);
    memcpy(n->mark + off / n->layout.write_unit, s->mark, len / n->layout.write_unit);
}

void nrt_swap_unit(struct nrt_nor *n, uint32_t u)
{
    uint32_t w = n->layout.write_unit;
    uint8_t t[NRT_MAX_WRITE];
    uint8_t m = n->mark[u];
    memcpy(t, n->mem + u * w, w);
    memcpy(n->mem + u * w, n->other + u * w, w);
    memcpy(n->other + u * w, t, w);
    n->mark[u] = (uint8_t)((m & ~(NOR_TORN | NOR_OTHER_TORN)) | (m & NOR_TORN ? NOR_OTHER_TORN : 0) |
                           (m & NOR_OTHER_TORN ? NOR_TORN : 0));
}

/* Torn units of the spans `from` to `to`; MOST_TORN + 1 where there are more than can be read every way. */
static uint32_t torn_units(const struct nrt_nor *n, uint32_t from, uint32_t to, uint32_t *unit)
{
    uint32_t found = 0;
    for (uint32_t s = from; s <= to; s++) {
        uint32_t first = (n->layout.log[s].base - n->base) / n->layout.write_unit;
        uint32_t units = n->layout.log[s].len / n->layout.write_unit;
        for (uint32_t u = first; u < first + units; u++) {
            if ((n->mark[u] & NOR_META) == 0)
                continue;
            if (found == MOST_TORN)
                return MOST_TORN + 1;
            unit[found++] = u;
        }
    }
    return found;
}

static void flip(struct nrt_nor *n, const uint32_t *unit, uint32_t torn, uint32_t pick)
{
    for (uint32_t i = 0; i < torn; i++)
        if (pick & 1u << i)
            nrt_swap_unit(n, unit[i]);
}

/* ---- what a span says ---------------------------------------------------------------------------------------------------- */

static void read_alone(struct nrt_nor *n, uint32_t span, struct said *out)
{
    struct nrt_layout l = n->layout;
    memset(out, 0, sizeof *out);
    l.log[1 - span].len = 0;
    out->core.layout = &l;
    out->core.port = &n->port;
    out->sealed = nrt_log_mount(&out->core) == NRT_OK;
    nrt_forget_joined(&out->core);   /* as every power-up does before it writes */
    out->core.layout = NULL;
}

/* Where a commit is open, which one was finished before it is forgotten by a compaction, and asked by nobody. */
static void forget(struct nrt_facts *f)
{
    if (f->done != f->commit)
        f->done = 0;
}

static int same_commit(const struct nrt_core *a, const struct nrt_core *b)
{
    uint32_t n = nrt_members(a);
    if (n != nrt_members(b))
        return 0;
    for (uint32_t i = 0; i < n; i++)
        if (memcmp(nrt_member(a, i), nrt_member(b, i), sizeof(struct nrt_member)) != 0)
            return 0;
    const struct nrt_member *x = nrt_held(a, a->facts.commit);
    const struct nrt_member *y = nrt_held(b, b->facts.commit);
    return (x != NULL) == (y != NULL) && (x == NULL || memcmp(x, y, sizeof *x) == 0);
}

/* The same to everything the core does later. A span that was built on is never written again: its end is nothing. */
static int same(const struct said *a, const struct said *b)
{
    const struct nrt_log *x = &a->core.log;
    const struct nrt_log *y = &b->core.log;
    struct nrt_facts f = a->core.facts;
    struct nrt_facts g = b->core.facts;
    forget(&f);
    forget(&g);
    if (a->sealed != b->sealed)
        return 0;
    if (!a->sealed)
        return 1;
    return memcmp(&f, &g, sizeof f) == 0 && x->built == y->built && (x->built || x->next == y->next) &&
           x->generation == y->generation &&
           (!f.hybrid || x->units == y->units) && (f.commit == 0 || (x->parts == y->parts && x->units == y->units && same_commit(&a->core, &b->core)));
}

/* ---- said again ---------------------------------------------------------------------------------------------------------- */

struct text {
    struct nrt_nor *n;
    uint32_t base;
    uint32_t at;
    uint32_t end;
    uint32_t sequence;
    int full;
};

static void record(struct text *t, uint8_t type, const uint8_t *payload)
{
    uint8_t r[NRT_LOG_RECORD];
    const struct nrt_layout *l = &t->n->layout;
    uint32_t grid = l->write_unit > 8 ? l->write_unit : 8;
    uint32_t len = (uint32_t)nrt_record_len(type);
    uint32_t whole = (len + 6 + grid - 1) / grid * grid;
    if (t->full || t->at + whole > t->end) {
        t->full = 1;
        return;
    }
    r[0] = type;
    r[1] = (uint8_t)t->sequence++;
    for (uint32_t i = 0; i < len; i++)
        r[2 + i] = (uint8_t)(payload[i] ^ WHITE);
    uint32_t crc = nrt_crc32(0, r, len + 2);
    for (uint32_t i = 0; i < 4; i++)
        r[len + 2 + i] = (uint8_t)(crc >> (8 * i));
    memset(r + len + 6, l->erased, whole - (len + 6));
    memcpy(t->n->mem + t->base + t->at, r, whole);
    t->at += whole;
}

static void live_of(struct text *t, const struct said *s)
{
    uint8_t payload[NRT_LOG_RECORD];
    uint8_t type;
    for (uint32_t i = 0; (type = nrt_facts_live(&s->core, i, payload)) != 0; i++)
        record(t, type, payload);
}

static void seal_of(struct text *t, const struct said *s)
{
    uint8_t payload[4];
    for (uint32_t k = 0; k < 4; k++)
        payload[k] = (uint8_t)(s->core.log.generation >> (8 * k));
    record(t, NRT_REC_SEAL, payload);
}

/* What turns one into the other when it is read behind it: the record that is there or not; 0: it is none of one byte less. */
static uint8_t step_of(const struct said *sure, const struct said *maybe, uint8_t *payload)
{
    static const uint8_t types[] = {NRT_REC_DONE, NRT_REC_COMMIT, NRT_REC_PLAN, NRT_REC_INSTALLED, NRT_REC_CONFIRM,
                                    NRT_REC_BROKEN, NRT_REC_COUNTERS};
    uint8_t type;
    for (uint32_t t = 0; t < sizeof types; t++)
        for (uint32_t i = 0; (type = nrt_facts_live(&maybe->core, i, payload)) != 0 || i == 0; i++) {
            struct said one = *sure;
            if (types[t] == NRT_REC_CONFIRM)
                type = NRT_REC_CONFIRM;
            if (type != types[t])
                continue;
            nrt_facts_apply(&one.core, type, payload);
            if (same(&one, maybe))
                return type;
        }
    return 0;
}

/* The span says `sure`; with `maybe` its last record is torn between being there and not. `shown`: it reads as there now. */
static int write_span(struct nrt_nor *n, uint32_t span, const struct said *sure, const struct said *maybe, int shown)
{
    uint8_t payload[NRT_LOG_RECORD];
    uint32_t wu = n->layout.write_unit;
    uint32_t base = n->layout.log[span].base - n->base;
    struct text t = {n, base, 0, n->layout.log[span].len - wu, 0, 0};   /* the last cell stays blank */
    uint8_t step = maybe != NULL ? step_of(sure, maybe, payload) : 0;
    uint8_t kept[NRT_LOG_RECORD];
    memcpy(kept, payload, sizeof kept);
    memset(n->mem + base, JUNK, t.end);
    live_of(&t, sure);
    seal_of(&t, sure);
    record(&t, NRT_REC_MARK, payload);
    if (maybe != NULL && step == 0)
        return 0;
    if (step != 0)
        record(&t, step, kept);
    uint32_t end = sure->core.log.built ? t.end : sure->core.log.next;
    if (t.full || t.at > end)
        return 0;
    if (!sure->core.log.built && end - t.at > wu)
        memset(n->mem + base + t.at, n->layout.erased, end - t.at - wu);
    memset(n->mem + base + end, n->layout.erased, t.end + wu - end);
    memcpy(n->other + base, n->mem + base, t.end + wu);
    memset(n->mark + base / wu, NOR_PROGRAMMED, end / wu);
    memset(n->mark + (base + end) / wu, 0, (t.end + wu - end) / wu);
    if (step != 0) {
        uint32_t last = base + t.at - wu;
        memset((shown ? n->other : n->mem) + last, JUNK, wu);
        n->mark[last / wu] = NOR_PROGRAMMED | NOR_META;
    }
    return 1;
}

static int says(struct nrt_nor *n, uint32_t span, const struct said *sure, const struct said *maybe, int shown)
{
    struct said now;
    struct said then;
    uint32_t unit[MOST_TORN];
    uint32_t torn = torn_units(n, span, span, unit);
    read_alone(n, span, &now);
    if (maybe == NULL)
        return torn == 0 && same(&now, sure);
    flip(n, unit, torn, 1);
    read_alone(n, span, &then);
    flip(n, unit, torn, 1);
    return torn == 1 && same(shown ? &now : &then, maybe) && same(shown ? &then : &now, sure);
}

/* The different things that the readings of a span say, what it says now first; NOBODY + 1 where there are more. */
static uint32_t all_said(struct nrt_nor *n, uint32_t span, const uint32_t *unit, uint32_t torn, struct said *said)
{
    static struct said one;
    uint32_t found = 0;
    for (uint32_t pick = 0; pick < 1u << torn; pick++) {
        uint32_t i = 0;
        flip(n, unit, torn, pick);
        read_alone(n, span, &one);
        flip(n, unit, torn, pick);
        while (i < found && !same(&said[i], &one))
            i++;
        if (i == NOBODY)
            return NOBODY + 1;
        if (i == found)
            said[found++] = one;
    }
    return found;
}

int nrt_restate(struct nrt_nor *n, uint32_t span)
{
    static struct span_state kept;
    static struct said said[NOBODY];
    uint32_t unit[MOST_TORN];
    uint32_t len = n->layout.log[span].len;
    uint32_t base = n->layout.log[span].base - n->base;
    uint32_t torn = torn_units(n, span, span, unit);
    if (torn > MOST_TORN || len > MAX_SPAN)
        return 0;
    uint32_t found = all_said(n, span, unit, torn, said);
    if (found > NOBODY || !said[0].sealed || (found == 2 && !said[1].sealed))
        return 0;
    save(n, base, len, &kept);
    for (uint32_t shown = 0; shown < found; shown++) {
        const struct said *sure = &said[shown];
        const struct said *maybe = found == 2 ? &said[1 - shown] : NULL;
        if (write_span(n, span, sure, maybe, (int)shown) && says(n, span, sure, maybe, (int)shown))
            return 1;
        load(n, base, len, &kept);
    }
    return 0;
}

/* ---- units nobody will read ---------------------------------------------------------------------------------------------- */

/* One unit of an open commit, less the sectors that are done. */
static void mark_member(struct nrt_nor *n, const struct nrt_scratch *s, const struct nrt_member *m, uint32_t *done, uint8_t *live)
{
    const struct nrt_layout *l = &n->layout;
    struct nrt_span unit;
    struct nrt_span part;
    uint32_t addr;
    uint32_t run;
    uint32_t slot = 0;
    if (nrt_unit_span(l, m->unit, &unit) < 0)
        return;
    for (uint32_t i = 0; i < 32 && m->mask >> i != 0; i++) {
        if ((m->mask & 1u << i) == 0)
            continue;
        slot++;
        if (*done > 0) {
            (*done)--;
            continue;
        }
        if (nrt_unit_sector(l, &unit, i, &part) < 0 || nrt_image_addr(l, part.base, &addr, &run) < 0)
            return;
        memset(live + (addr - n->base), 2, part.len);
        uint32_t from = l->scratch.base + (m->first + (slot - 1) / s->per) * s->sector + (slot - 1) % s->per * s->slot;
        memset(live + (from - n->base), 1, s->slot);
    }
}

/* Resume mode: the sector that is open is erased before it is read. */
static void mark_torn(const struct nrt_nor *n, const struct nrt_core *c, uint8_t *live)
{
    struct nrt_span torn;
    uint32_t addr;
    uint32_t run;
    if (nrt_torn(c, &torn) == NRT_OK && torn.len != 0 && nrt_image_addr(c->layout, torn.base, &addr, &run) == NRT_OK)
        memset(live + (addr - n->base), 2, torn.len);
}

/* A unit decoded ahead: what its bank sectors hold may still be read, and scratch is where its new bytes are. */
static void mark_held(struct nrt_nor *n, const struct nrt_scratch *s, const struct nrt_member *m, uint8_t *live)
{
    const struct nrt_layout *l = &n->layout;
    uint32_t sectors = 0;
    for (uint32_t mask = m->mask; mask != 0; mask &= mask - 1)
        sectors++;
    for (uint32_t i = 0; i < sectors; i++)
        memset(live + (l->scratch.base + (m->first + i / s->per) * s->sector + i % s->per * s->slot - n->base), 1, s->slot);
}

/* Marks in `live` what a power-up with this log may read of bank and scratch before it erases it. */
static void mark_live(struct nrt_nor *n, const struct nrt_core *c, uint8_t *live, int keep_scratch)
{
    const struct nrt_layout *l = &n->layout;
    struct nrt_scratch s;
    uint32_t done = c->log.parts;
    for (uint32_t i = 0; i < l->n_bank; i++)
        memset(live + (l->bank[i].base - n->base), 1, l->bank[i].len);
    mark_torn(n, c, live);
    if (nrt_scratch_of(l, &s) < 0)
        return;
    if (keep_scratch)
        memset(live + (l->scratch.base - n->base), 1, l->scratch.len);
    const struct nrt_member *held = nrt_held(c, c->facts.commit);
    if (held != NULL)
        mark_held(n, &s, held, live);
    if (c->facts.commit <= c->facts.done || c->facts.resume)
        return;
    for (uint32_t i = 0; i < nrt_members(c); i++)
        mark_member(n, &s, nrt_member(c, i), &done, live);
}

static void kill_span(struct nrt_nor *n, const struct nrt_span *s, const uint8_t *live)
{
    uint32_t wu = n->layout.write_unit;
    for (uint32_t off = s->base - n->base; off < s->base - n->base + s->len; off += wu) {
        if (live[off] != 0)
            continue;
        memset(n->mem + off, JUNK, wu);
        memset(n->other + off, JUNK, wu);
        n->mark[off / wu] = NOR_PROGRAMMED | NOR_DEAD;
    }
}

void nrt_bury(struct nrt_nor *n, int keep_scratch, uint32_t old)
{
    static uint8_t live[1u << 16];
    static uint8_t one[1u << 16];
    uint32_t unit[MOST_TORN];
    uint32_t torn = torn_units(n, old == 0 ? 1 : 0, old == 1 ? 0 : 1, unit);
    if (torn > MOST_TORN || n->size > sizeof live)
        return;
    memset(live, 0, n->size);
    for (uint32_t pick = 0; pick < 1u << torn; pick++) {
        struct nrt_core c;
        memset(&c, 0, sizeof c);
        c.layout = &n->layout;
        c.port = &n->port;
        flip(n, unit, torn, pick);
        int rc = nrt_log_mount(&c);
        flip(n, unit, torn, pick);
        if (rc != NRT_OK || c.facts.broken || c.facts.restoring)
            return;
        memset(one, 0, n->size);
        mark_live(n, &c, one, keep_scratch);
        for (uint32_t i = 0; i < n->size; i++)
            live[i] |= one[i] == 1;
    }
    kill_span(n, &n->layout.scratch, live);
    for (uint32_t i = 0; i < n->layout.n_bank; i++)
        kill_span(n, &n->layout.bank[i], live);
}
