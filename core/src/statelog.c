/* statelog.c - spans, seals and torn tails of the state log (docs/spec/statelog.md). It knows that the last thing written
 * before a power cut may read differently every time; it must never program the same place twice, and never erase a span
 * before the other one is certain. */
#include <string.h>

#include "medium.h"
#include "statelog.h"

#define GRID 8u      /* records begin at multiples of this, or of the write unit */
#define PIECE 32u    /* most bytes of one program operation, and so the reach of an invisible torn one */
#define WHITE 0x5Au  /* payload is stored XOR this: runs of 0x00 or 0xFF never look erased */
#define HEAD 2u
#define CHECK 4u

/* A span being read: the last record is held back until the next one proves it was not cancelled. */
struct scan {
    uint32_t at;          /* of the record being taken: the first stands at 0, or the span's beginning was erased */
    uint32_t next;
    uint32_t generation;
    int sealed;
    int held;
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
                {NRT_REC_COUNTERS, 8}, {NRT_REC_BOOTS, 1},      {NRT_REC_FAILED, 17},    {NRT_REC_PLAN, 119},
                {NRT_REC_COMMIT, 10},  {NRT_REC_DONE, 1},       {NRT_REC_BROKEN, 1}};
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

static void take_held(struct nrt_core *c, struct scan *s)
{
    uint8_t payload[NRT_LOG_RECORD];
    const uint8_t *r = c->log.tail;
    uint32_t n = (uint32_t)nrt_record_len(r[0]);
    for (uint32_t i = 0; i < n; i++)
        payload[i] = (uint8_t)(r[HEAD + i] ^ WHITE);
    nrt_facts_apply(c, r[0], payload);
    if (r[0] == NRT_REC_SEAL) {
        s->sealed = 1;
        s->generation = get32(payload);
    }
}

/* One more readable record: follows the one held back, or cancels it (a record cancels all earlier ones whose sequence is
 * not below its own; only the last one can be such). */
static void take(struct nrt_core *c, struct scan *s, const uint8_t *record, uint32_t len)
{
    uint8_t step = s->held ? (uint8_t)(record[1] - c->log.tail[1]) : (uint8_t)(s->at == 0 && record[1] == 0 ? 1 : 2);
    if (step != 1 && step != 0 && step != 0xFF)
        return;
    if (s->held && step == 1)
        take_held(c, s);
    memcpy(c->log.tail, record, len);
    c->log.tail_len = len;
    s->held = 1;
}

static void scan_span(struct nrt_core *c, uint32_t span, struct scan *s)
{
    const struct nrt_layout *l = c->layout;
    uint32_t g = grid_of(l);
    uint8_t record[NRT_LOG_RECORD];
    memset(s, 0, sizeof *s);
    memset(&c->facts, 0, sizeof c->facts);
    memset(&c->log, 0, sizeof c->log);
    for (uint32_t at = 0; at + g <= l->log[span].len;) {
        uint32_t len = 0;
        int rc = nrt_flash_read(c, l->log[span].base + at, record, g);
        if (rc == NRT_OK && nrt_all_erased(l, record, g)) {
            at += g;
            continue;
        }
        if (rc == NRT_OK)
            len = read_record(c, span, at, record);
        s->at = at;
        if (len > 0)
            take(c, s, record, len);
        at += len > 0 ? len : g;
        s->next = at;
    }
    if (s->held)
        take_held(c, s);
}

static int keep(struct nrt_core *c, uint32_t span, const struct scan *s, const struct scan *other)
{
    c->log.active = span;
    c->log.generation = s->generation;
    c->log.next = s->next;
    c->log.sequence = c->log.tail[1];
    c->log.mounted = 1;
    /* Certain is only a span that reads as sealed and older, or one that reads as never written. */
    c->log.doubt = !(other->sealed || other->next == 0);
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

/* Writes a record at the next place of the live span and remembers it as the tail. */
static int put(struct nrt_core *c, uint8_t type, uint32_t sequence, const uint8_t *payload)
{
    struct nrt_log *g = &c->log;
    uint32_t len = build(c->layout, type, sequence, payload, g->tail);
    if (g->next + len > c->layout->log[g->active].len)
        return NRT_E_SPACE;
    uint32_t at = g->next;
    g->next += len;
    g->tail_len = len;
    g->sequence = (uint8_t)sequence;
    return write_record(c, g->active, at, g->tail, len);
}

static int put_seal(struct nrt_core *c, uint32_t sequence, uint32_t generation)
{
    uint8_t payload[4];
    put32(payload, generation);
    c->log.generation = generation;
    return put(c, NRT_REC_SEAL, sequence, payload);
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

/* Copies the live set to the other span and seals it last. */
static int compact(struct nrt_core *c, uint32_t generation)
{
    uint8_t payload[NRT_LOG_RECORD];
    uint32_t target = 1 - c->log.active;
    int rc = erase_span(c, target);
    if (rc < 0)
        return rc;
    c->log.active = target;
    c->log.next = 0;
    uint32_t i = 0;
    for (;; i++) {
        uint8_t type = nrt_facts_live(c, i, payload);
        if (type == 0)
            break;
        rc = put(c, type, i, payload);
        if (rc < 0)
            return rc;
    }
    rc = put_seal(c, i, generation);
    c->log.settled = rc == NRT_OK;
    return rc;
}

int nrt_log_create(struct nrt_core *c)
{
    memset(&c->log, 0, sizeof c->log);
    c->log.active = 1;
    int rc = erase_span(c, 1);
    if (rc == NRT_OK)
        rc = compact(c, 1);
    c->log.mounted = rc == NRT_OK;
    return rc;
}

int nrt_log_settle(struct nrt_core *c)
{
    struct nrt_log *g = &c->log;
    uint32_t room = c->layout->log[g->active].len;
    if (!g->mounted)
        return NRT_E_STATE;
    if (g->settled)
        return NRT_OK;
    uint32_t most = PIECE + g->tail_len + padded(c->layout, HEAD + 4 + CHECK);
    if (g->next + most > room)
        return compact(c, g->generation + 4);
    /* An operation cut before it left a trace may have reached one piece beyond what can be seen. */
    uint32_t at = g->next + PIECE;
    g->next = at + g->tail_len;
    int rc = write_record(c, g->active, at, g->tail, g->tail_len);
    /* This span is certain now. The other one may be a torn younger one that nothing was built on: it goes, so that it is
     * never read (docs/decisions/0016-doubt-is-erased.md). */
    if (rc == NRT_OK && g->doubt)
        rc = erase_span(c, 1 - g->active);
    g->settled = rc == NRT_OK;
    return rc;
}

int nrt_log_append(struct nrt_core *c, uint8_t type, const uint8_t *payload)
{
    struct nrt_log *g = &c->log;
    int rc = nrt_log_settle(c);
    if (rc < 0)
        return rc;
    uint32_t room = c->layout->log[g->active].len;
    uint32_t len = padded(c->layout, HEAD + (uint32_t)nrt_record_len(type) + CHECK);
    if (g->next + len > room - room / 4) {
        rc = compact(c, g->generation + 1);
        if (rc < 0)
            return rc;
    }
    rc = put(c, type, g->sequence + 1, payload);
    if (rc == NRT_E_FLASH && (rc = compact(c, g->generation + 1)) == NRT_OK)
        rc = put(c, type, g->sequence + 1, payload);
    if (rc == NRT_OK)
        nrt_facts_apply(c, type, payload);
    return rc;
}
