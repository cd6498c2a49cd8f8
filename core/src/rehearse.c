/* rehearse.c - gates G4 and G5: the file's digest, then the real decoder with the real plan, writing nowhere (docs/design.md,
 * "The proof before the first erase"). It leaves proven leaves and a map of changed sectors in the plan; it must never
 * write flash except the count of failed proofs in the log, and reads old bytes through nrt_old() alone. */
#include <string.h>

#include "plan.h"
#include "statelog.h"

#define CHUNK 128

/* Hashes image bytes that come in order, leaf by leaf, into the plan's leaf list. */
struct leaves {
    struct nrt_core *core;
    struct nrt_sha256 hash;
    uint32_t at;     /* image offset of the next byte */
    int decoded;     /* 1: bytes come from the decoder and are compared with the bank */
};

static struct nrt_plan *plan_of(const struct nrt_core *c)
{
    return (struct nrt_plan *)c->plan;
}

static void end_leaf(struct leaves *s, uint32_t leaf, uint32_t filled)
{
    static const uint8_t blank[16] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                      0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    uint32_t size = s->core->layout->leaf;
    uint8_t digest[NRT_DIGEST];
    while (filled < size) {
        uint32_t n = size - filled < sizeof blank ? size - filled : (uint32_t)sizeof blank;
        nrt_sha256_add(&s->hash, blank, n);
        filled += n;
    }
    nrt_sha256_end(&s->hash, digest);
    memcpy(plan_of(s->core)->leaves + leaf * NRT_SHORT, digest, NRT_SHORT);
    nrt_sha256_init(&s->hash);
}

static int take(void *ctx, const uint8_t *data, uint32_t len)
{
    struct leaves *s = (struct leaves *)ctx;
    struct nrt_plan *p = plan_of(s->core);
    uint32_t size = s->core->layout->leaf;
    if (len > p->target.image_size - s->at)
        return NRT_E_BOUND;
    if (s->decoded) {
        int rc = nrt_plan_mark(s->core, s->at, data, len);
        if (rc < 0)
            return rc;
    }
    while (len > 0) {
        uint32_t in = s->at % size;
        uint32_t n = size - in < len ? size - in : len;
        nrt_sha256_add(&s->hash, data, n);
        s->at += n;
        data += n;
        len -= n;
        if (in + n == size || s->at == p->target.image_size)
            end_leaf(s, (s->at - 1) / size, in + n);
    }
    return NRT_OK;
}

/* The leaves of image bytes [s->at, end) as the bank holds them now, or as it will once `held` is copied. */
static int hash_bank(struct leaves *s, uint32_t end, const struct nrt_member *held)
{
    const struct nrt_port *port = s->core->port;
    uint8_t buf[CHUNK];
    while (s->at < end) {
        uint32_t addr, run;
        int rc = held != NULL ? nrt_future_addr(s->core, held, s->at, &addr, &run) : nrt_image_addr(s->core->layout, s->at, &addr, &run);
        if (rc < 0)
            return rc;
        if (run > sizeof buf)
            run = sizeof buf;
        if (run > end - s->at)
            run = end - s->at;
        if ((rc = port->read(port->ctx, addr, buf, run)) < 0 || (rc = take(s, buf, run)) < 0)
            return rc;
    }
    return NRT_OK;
}

/* One unit: what the plan rewrites from `from` on is decoded, but for the one that lies in scratch; the rest is hashed from
 * the bank. */
static int prove_unit(struct nrt_core *c, uint32_t unit, int decoded, const struct nrt_member *held)
{
    struct nrt_plan *p = plan_of(c);
    struct nrt_sink sink;
    struct leaves s;
    struct nrt_span span;
    uint32_t end;
    int rc = nrt_unit_span(c->layout, unit, &span);
    if (rc < 0)
        return rc;
    if (span.base >= p->target.image_size)
        return NRT_OK;
    if (span.base % c->layout->leaf != 0)
        return NRT_E_ARG;
    end = p->target.image_size - span.base < span.len ? p->target.image_size : span.base + span.len;
    s.core = c;
    s.at = span.base;
    s.decoded = decoded;
    nrt_sha256_init(&s.hash);
    if (!decoded)
        return hash_bank(&s, end, held);
    sink.ctx = &s;
    sink.put = take;
    rc = nrt_unpack_unit(p->unpack, c, p->position, sink);
    if (rc < 0)
        return rc;
    return s.at == end ? NRT_OK : NRT_E_FORMAT;
}

static int prove_units(struct nrt_core *c, uint32_t from)
{
    struct nrt_plan *p = plan_of(c);
    uint32_t unit;
    int rc;
    for (unit = 0; unit < p->n_units; unit++) {
        if (p->place[unit] != NRT_NOT_PLANNED && p->place[unit] >= from)
            continue;
        if ((rc = prove_unit(c, unit, 0, NULL)) < 0)
            return rc;
    }
    for (p->position = from; p->position < p->header.n_order; p->position++) {
        const struct nrt_member *held = p->header.slide != 0 && p->position == from ? nrt_held(c, from) : NULL;
        if ((rc = nrt_unpack_order(p->unpack, p->position, &unit)) < 0)
            return rc;
        if (held != NULL && held->unit != unit)
            return NRT_E_FORMAT;
        if (held != NULL)
            p->changed[unit] = held->mask;
        if ((rc = prove_unit(c, unit, held == NULL, held)) < 0)
            return rc;
    }
    return NRT_OK;
}

/* The bank is what the file was made for: size and the header's tag of the old image. */
static int check_base(struct nrt_core *c)
{
    const struct nrt_header *h = &plan_of(c)->header;
    uint8_t buf[CHUNK];
    uint32_t crc = 0;
    uint32_t off, n;
    if (h->hybrid) {
        int rc = nrt_hybrid_tag(c, &crc);
        return rc < 0 ? rc : (crc & 0xFFFFu) == h->base ? NRT_OK : NRT_E_BASE;
    }
    if (h->old_size == 0)
        return NRT_OK;
    if (c->facts.installed.size != 0 && c->facts.installed.size != h->old_size)
        return NRT_E_BASE;
    for (off = 0; off < h->old_size; off += n) {
        int rc;
        n = h->old_size - off < sizeof buf ? h->old_size - off : (uint32_t)sizeof buf;
        if ((rc = nrt_old(c, off, buf, n)) < 0)
            return rc;
        crc = nrt_crc32(crc, buf, n);
    }
    return (crc & 0xFFFFu) == h->base ? NRT_OK : NRT_E_BASE;
}

/* G4: over the file as it came, whatever lies inside of it. */
static int check_file(const struct nrt_file *given, const struct nrt_target *t)
{
    const struct nrt_file *f = given->whole != NULL ? given->whole : given;
    struct nrt_sha256 hash;
    uint8_t buf[CHUNK];
    uint8_t digest[NRT_DIGEST];
    uint32_t off, n;
    if (f->size != t->file_size)
        return NRT_E_DIGEST;
    nrt_sha256_init(&hash);
    for (off = 0; off < f->size; off += n) {
        n = f->size - off < sizeof buf ? f->size - off : (uint32_t)sizeof buf;
        if (f->read(f->ctx, off, buf, n) < 0)
            return NRT_E_READ;
        nrt_sha256_add(&hash, buf, n);
    }
    nrt_sha256_end(&hash, digest);
    return memcmp(digest, t->file, NRT_SHORT) == 0 ? NRT_OK : NRT_E_DIGEST;
}

static int check_leaves(const struct nrt_plan *p)
{
    uint8_t digest[NRT_DIGEST];
    nrt_sha256(p->leaves, p->n_leaves * NRT_SHORT, digest);
    return memcmp(digest, p->target.leaves, NRT_DIGEST) == 0 ? NRT_OK : NRT_E_DIGEST;
}

/* G5 and R3, after G4. */
static int rehearse(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram,
                    uint32_t from)
{
    struct nrt_header h;
    int rc = nrt_unpack_header(c->layout, f, &h);
    if (rc < 0)
        return rc;
    int anew = from == NRT_ON_HYBRID || c->facts.hybrid;
    if (h.new_size != t->image_size || h.apart || h.hybrid != (uint32_t)anew)
        return NRT_E_FORMAT;
    rc = nrt_plan_open(c, f, t, ram, from);
    if (rc < 0)
        return rc;
    /* A plan that goes on with its own file is checked by the leaves alone. */
    int fresh = from == NRT_ON_HYBRID || (from == 0 && !anew && plan_of(c)->lost == NRT_NO_UNIT);
    if (fresh && (rc = check_base(c)) < 0)
        return rc;
    from = plan_of(c)->from;
    if ((rc = prove_units(c, from)) < 0 || (rc = check_leaves(plan_of(c))) < 0 || (rc = nrt_plan_budget(c)) < 0)
        return rc;
    plan_of(c)->position = from;
    nrt_plan_seal(c);
    return NRT_OK;
}

int nrt_rehearse(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram, uint32_t from)
{
    int rc = check_file(f, t);
    return rc < 0 ? rc : rehearse(c, f, t, ram, from);
}

/* What the file itself is to blame for; too little RAM or a lost link says nothing about it. */
static int is_fault_of_file(int rc)
{
    return rc == NRT_E_FORMAT || rc == NRT_E_GONE || rc == NRT_E_DIGEST || rc == NRT_E_BASE || rc == NRT_E_BOUND;
}

int nrt_prove(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram)
{
    int rc;
    if (c->facts.target.file_size != 0)
        return NRT_E_STATE;   /* a plan is open: nrt_resume() */
    rc = check_file(f, t);
    if (rc < 0)
        return rc;
    rc = rehearse(c, f, t, ram, 0);
    if (is_fault_of_file(rc) && nrt_log_failed(c, t->envelope) == NRT_E_FLASH)
        return NRT_E_FLASH;
    return rc;
}
