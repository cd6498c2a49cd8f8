/* statelog.c - spans and seals of the state log (docs/spec/statelog.md). It knows that a record cut while it was written may
 * read differently every time, and that the trace of a program stays where it is. A span is written by one power-up alone;
 * it must never program the same place twice, and never erase a span before the other one counts for good. */
#include <string.h>

#include "medium.h"
#include "statelog.h"

#define GRID 8u      /* records begin at multiples of this, or of the write unit */
#define PIECE 32u    /* most bytes of one program operation, and so the reach of one that left no trace */
#define WHITE 0x5Au  /* payload is stored XOR this: runs of 0x00 or 0xFF never look erased */
#define HEAD 2u
#define CHECK 4u

/* A span being read. */
struct scan {
    uint32_t next;        /* behind the last trace */
    uint32_t count;       /* records that count: the next one has this sequence */
    uint32_t generation;
    uint32_t sealed;      /* place behind the SEAL, 0: there is none, or nothing was begun behind it */
    uint8_t built;        /* 1: something was begun behind the MARK */
    uint8_t doubt;        /* 1: it would count if anything stood behind its seal */
    uint8_t again;        /* 1: a mark set by a later power-up can be read */
    uint8_t spoilt;       /* 1: the last cell has a trace: the span was given up */
};

static uint32_t grid_of(const struct nrt_layout *l)
{
    return l->write_unit > GRID ? l->write_unit : GRID;
}

int nrt_record_len(uint8_t type)
{
    static const struct {
        uint8_t type;
        uint8_t len;
    } lens[] = {{NRT_REC_SEAL, 4},     {NRT_REC_INSTALLED, 65}, {NRT_REC_CONFIRMED, 60}, {NRT_REC_CONFIRM, 0},
                {NRT_REC_COUNTERS, 8}, {NRT_REC_BOOTS, 1},      {NRT_REC_FAILED, 17},    {NRT_REC_PLAN, 122},
                {NRT_REC_COMMIT, 10},  {NRT_REC_DONE, 1},       {NRT_REC_BROKEN, 1},   {NRT_REC_MARK, 0},
                {NRT_REC_JOIN, 10},    {NRT_REC_HOLD, 10}};
    for (uint32_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
        if (lens[i].type == type)
            return lens[i].len;
    return -1;
}

static uint32_t padded(const struct nrt_layout *l, uint32_t len)
{
    uint32_t g = grid_of(l);
    return (len + g - 1) / g * g;
}

uint32_t nrt_log_need(const struct nrt_layout *l)
{
    uint32_t longest = padded(l, HEAD + (uint32_t)nrt_record_len(NRT_REC_PLAN) + CHECK);
    uint32_t cell = grid_of(l);
    uint32_t n = longest + PIECE + cell + cell;
    for (uint32_t type = NRT_REC_SEAL; type <= NRT_REC_MARK; type++)
        if (type != NRT_REC_CONFIRM)
            n += padded(l, HEAD + (uint32_t)nrt_record_len((uint8_t)type) + CHECK);
    return n + (NRT_MAX_JOINT - 1) * padded(l, HEAD + (uint32_t)nrt_record_len(NRT_REC_JOIN) + CHECK);
}

/* Bytes of a span that records may fill: its last cell is kept for the one program that gives the span up. */
static uint32_t room_of(const struct nrt_layout *l, uint32_t span)
{
    uint32_t g = grid_of(l);
    return (l->log[span].len / g - 1) * g;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (uint32_t i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* Builds a record with its padding in `out`; gives the padded length. */
static uint32_t build(const struct nrt_layout *l, uint8_t type, uint32_t sequence, const uint8_t *payload, uint8_t *out)
{
    uint32_t n = (uint32_t)nrt_record_len(type);
    out[0] = type;
    out[1] = (uint8_t)sequence;
    for (uint32_t i = 0; i < n; i++)
        out[HEAD + i] = (uint8_t)(payload[i] ^ WHITE);
    put32(out + HEAD + n, nrt_crc32(0, out, HEAD + n));
    uint32_t end = padded(l, HEAD + n + CHECK);
    memset(out + HEAD + n + CHECK, l->erased, end - (HEAD + n + CHECK));
    return end;
}

/* Programs a built record piece by piece: a piece is visible before the next is begun. */
static int write_record(struct nrt_core *c, uint32_t span, uint32_t at, const uint8_t *record, uint32_t len)
{
    const struct nrt_layout *l = c->layout;
    for (uint32_t i = 0; i < len;) {
        uint32_t addr = l->log[span].base + at + i;
        uint32_t n = l->page - addr % l->page;
        n = n < PIECE ? n : PIECE;
        n = n < len - i ? n : len - i;
        int rc = nrt_flash_program(c, addr, record + i, n);
        if (rc < 0)
            return rc;
        i += n;
    }
    return NRT_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

/* The record at `at`, in one read: its length, 0 when there is none. */
static uint32_t read_record(struct nrt_core *c, uint32_t span, uint32_t at, uint8_t *record)
{
    const struct nrt_layout *l = c->layout;
    int n = nrt_record_len(record[0]);
    if (n < 0)
        return 0;
    uint32_t len = HEAD + (uint32_t)n + CHECK;
    if (padded(l, len) > l->log[span].len - at)
        return 0;
    if (nrt_flash_read(c, l->log[span].base + at, record, padded(l, len)) < 0)
        return 0;
    if (nrt_record_len(record[0]) != n || get32(record + HEAD + n) != nrt_crc32(0, record, HEAD + (uint32_t)n))
        return 0;
    return padded(l, len);
}

/* The record at `at` counts where it is the next one; the first stands at 0, or the span's beginning was erased. */
static void take(struct nrt_core *c, struct scan *s, uint32_t at, const uint8_t *record, uint32_t len)
{
    uint8_t payload[NRT_LOG_RECORD];
    uint32_t n = (uint32_t)nrt_record_len(record[0]);
    s->again |= record[0] == NRT_REC_MARK && record[1] == 0 && at != room_of(c->layout, c->log.active);
    if (record[1] != (uint8_t)s->count || (s->count == 0 && at != 0))
        return;
    s->count++;
    for (uint32_t i = 0; i < n; i++)
        payload[i] = (uint8_t)(record[HEAD + i] ^ WHITE);
    nrt_facts_apply(c, record[0], payload);
    if (record[0] == NRT_REC_SEAL) {
        s->sealed = at + len;
        s->generation = get32(payload);
    }
}

static void scan_span(struct nrt_core *c, uint32_t span, struct scan *s)
{
    const struct nrt_layout *l = c->layout;
    uint32_t g = grid_of(l);
    uint8_t record[NRT_LOG_RECORD];
    memset(s, 0, sizeof *s);
    memset(&c->facts, 0, sizeof c->facts);
    memset(&c->log, 0, sizeof c->log);
    c->log.active = span;
    for (uint32_t at = 0; at + g <= l->log[span].len; at = s->next > at ? s->next : at + g) {
        uint32_t len = 0;
        int rc = nrt_flash_read(c, l->log[span].base + at, record, g);
        if (rc == NRT_OK && nrt_all_erased(l, record, g))
            continue;
        if (rc == NRT_OK)
            len = read_record(c, span, at, record);
        s->built |= s->sealed != 0 && at == s->sealed + g;
        s->spoilt |= at == room_of(l, span);
        if (len > 0)
            take(c, s, at, record, len);
        s->next = at + (len > 0 ? len : g);
    }
    /* A seal that is the last trace may be torn. Whatever stands behind it, readable or not, was begun after it was whole. */
    s->doubt = s->sealed != 0 && s->next <= s->sealed && !s->spoilt;
    if (s->next <= s->sealed || (s->spoilt && !s->again))
        s->sealed = 0;
}

static int keep(struct nrt_core *c, uint32_t span, const struct scan *s, const struct scan *other)
{
    c->log.active = span;
    c->log.generation = s->generation;
    c->log.next = s->next;
    c->log.count = s->count;
    c->log.built = s->built;
    c->log.doubt = other->doubt;
    c->log.mounted = 1;
    return NRT_OK;
}

int nrt_log_mount(struct nrt_core *c)
{
    struct scan first;
    struct scan second;
    struct nrt_facts facts;
    struct nrt_log log;
    scan_span(c, 0, &first);
    facts = c->facts;
    log = c->log;
    scan_span(c, 1, &second);
    if (second.sealed && (!first.sealed || second.generation > first.generation))
        return keep(c, 1, &second, &first);
    c->facts = facts;
    c->log = log;
    if (first.sealed)
        return keep(c, 0, &first, &second);
    memset(&c->facts, 0, sizeof c->facts);
    memset(&c->log, 0, sizeof c->log);
    return NRT_E_STATE;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* Writes the next record of the live span. */
static int put(struct nrt_core *c, uint8_t type, const uint8_t *payload)
{
    struct nrt_log *g = &c->log;
    uint8_t record[NRT_LOG_RECORD];
    uint32_t len = build(c->layout, type, g->count, payload, record);
    if (g->next + len > room_of(c->layout, g->active))
        return NRT_E_SPACE;
    uint32_t at = g->next;
    g->next += len;
    g->count++;
    return write_record(c, g->active, at, record, len);
}

static int erase_span(struct nrt_core *c, uint32_t span)
{
    const struct nrt_span *s = &c->layout->log[span];
    struct nrt_span at;
    for (uint32_t a = s->base; a - s->base < s->len; a = at.base + at.len) {
        int rc = nrt_sector_of(c->layout, a, &at);
        if (rc == NRT_OK)
            rc = nrt_flash_erase(c, a);
        if (rc < 0)
            return rc;
    }
    return NRT_OK;
}

static int write_live(struct nrt_core *c)
{
    uint8_t payload[NRT_LOG_RECORD];
    int rc = NRT_OK;
    for (uint8_t type; rc == NRT_OK && (type = nrt_facts_live(c, c->log.count, payload)) != 0;)
        rc = put(c, type, payload);
    put32(payload, c->log.generation);
    if (rc == NRT_OK)
        rc = put(c, NRT_REC_SEAL, payload);
    return rc == NRT_OK ? put(c, NRT_REC_MARK, payload) : rc;
}

/* A span that lacks nothing but a trace behind its seal is given up for good before it is erased: a torn erase may leave the
 * seal readable and make an uncorrectable read, which is a trace, of the blank cell behind it. */
static void give_up(struct nrt_core *c, uint32_t span)
{
    uint8_t record[NRT_LOG_RECORD] = {0};
    uint32_t len = build(c->layout, NRT_REC_MARK, 0, record, record);
    if (c->log.doubt)
        (void)write_record(c, span, room_of(c->layout, span), record, len); /* or the erase will find the flash at fault */
    c->log.doubt = 0; /* once: where that erase fails this is come to again, and no cell may be programmed twice */
}

/* Copies the live set to the other span and seals it. From the first trace of the MARK on, and not before, it is the truth:
 * a trace cannot go away again as the sense of a torn seal can. Where it fails the old span stays what is written to. */
static int compact(struct nrt_core *c)
{
    give_up(c, 1 - c->log.active);
    struct nrt_log old = c->log;
    int rc = erase_span(c, 1 - old.active);
    if (rc < 0)
        return rc;
    c->log.active = 1 - old.active;
    c->log.next = 0;
    c->log.count = 0;
    c->log.generation++;
    rc = write_live(c);
    if (rc < 0)
        c->log = old;
    else
        c->log.settled = 1;
    return rc;
}

int nrt_log_create(struct nrt_core *c)
{
    memset(&c->log, 0, sizeof c->log);
    c->log.active = 1;
    int rc = erase_span(c, 1);
    if (rc == NRT_OK)
        rc = compact(c);
    c->log.mounted = rc == NRT_OK;
    return rc;
}

/* Where nothing was begun behind the MARK, its trace may be one that comes and goes: another one is set that stays. It is
 * always the same bytes, behind a gap: an earlier attempt that cannot be seen has left them or nothing there. */
static void mark_again(struct nrt_core *c)
{
    uint8_t record[NRT_LOG_RECORD] = {0};
    uint32_t len = build(c->layout, NRT_REC_MARK, 0, record, record);
    uint32_t at = c->log.next + PIECE;
    if (!c->log.built && at + len <= room_of(c->layout, c->log.active))
        (void)write_record(c, c->log.active, at, record, len); /* what cannot be programmed is no reason to stop */
    c->log.built = 1; /* where the other span fails this is come to again, and no cell may be programmed twice */
}

int nrt_log_settle(struct nrt_core *c)
{
    if (!c->log.mounted)
        return NRT_E_STATE;
    if (c->log.settled)
        return NRT_OK;
    mark_again(c);
    nrt_forget_joined(c);
    return compact(c);
}

int nrt_log_append(struct nrt_core *c, uint8_t type, const uint8_t *payload)
{
    int rc = nrt_log_settle(c);
    if (rc < 0)
        return rc;
    uint32_t len = padded(c->layout, HEAD + (uint32_t)nrt_record_len(type) + CHECK);
    if (c->log.next + len > room_of(c->layout, c->log.active) && (rc = compact(c)) < 0)
        return rc;
    rc = put(c, type, payload);
    if (rc == NRT_E_FLASH && (rc = compact(c)) == NRT_OK)
        rc = put(c, type, payload);
    if (rc == NRT_OK)
        nrt_facts_apply(c, type, payload);
    return rc;
}
