/* facts.c - what the records of the state log mean. It knows which record sets which fact and which records make a whole
 * set of facts; it must never touch flash but through nrt_log_append(). */
#include <string.h>

#include "statelog.h"

#define IMAGE 60u

static void put_le(uint8_t **p, uint32_t v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        *(*p)++ = (uint8_t)(v >> (8 * i));
}

static uint32_t get_le(const uint8_t **p, uint32_t n)
{
    uint32_t v = 0;
    for (uint32_t i = 0; i < n; i++)
        v |= (uint32_t) * (*p)++ << (8 * i);
    return v;
}

static void put_bytes(uint8_t **p, const uint8_t *from, uint32_t n)
{
    memcpy(*p, from, n);
    *p += n;
}

static void get_bytes(const uint8_t **p, uint8_t *to, uint32_t n)
{
    memcpy(to, *p, n);
    *p += n;
}

/* Images and targets stand in a record as they stand in memory, but for their numbers, which are little-endian there: `numbers` has a
 * bit for each word that is one. The same both ways. */
#define IMAGE_NUMBERS 0x00007000u
#define TARGET_NUMBERS 0x18700000u
_Static_assert(sizeof(struct nrt_image) == IMAGE && sizeof(struct nrt_target) == 116, "a record has no gaps");

static void carry(void *to, const void *from, uint32_t size, uint32_t numbers)
{
    const uint8_t *in = from;
    uint8_t *out = to;
    for (; size > 0; size -= 4u, numbers >>= 1, out += 4) {
        const uint8_t *p = in;
        uint32_t value = get_le(&p, 4);
        memcpy(out, (numbers & 1u) != 0 ? (const void *)&value : in, 4);
        in = p;
    }
}

static void put_image(uint8_t **p, const struct nrt_image *i)
{
    carry(*p, i, IMAGE, IMAGE_NUMBERS);
    *p += IMAGE;
}

static void get_image(const uint8_t **p, struct nrt_image *i)
{
    carry(i, *p, IMAGE, IMAGE_NUMBERS);
    *p += IMAGE;
}

static void put_target(uint8_t **p, const struct nrt_target *t)
{
    carry(*p, t, sizeof *t, TARGET_NUMBERS);
    *p += sizeof *t;
}

static void get_target(const uint8_t **p, struct nrt_target *t)
{
    carry(t, *p, sizeof *t, TARGET_NUMBERS);
    *p += sizeof *t;
}

/* ---- members of a commit ----------------------------------------------------------------------------------------------- */

/* Those of a COMMIT that has not come do not count; they are kept while this power-up may still write it. */
static uint32_t joined(const struct nrt_core *c)
{
    return c->facts.commit != 0 && c->log.joined_by == c->facts.commit - 1 ? c->log.n_joined : 0;
}

const struct nrt_member *nrt_held(const struct nrt_core *c, uint32_t position)
{
    /* It was decoded while the unit ahead of it was still old: that one's COMMIT makes it the only way to these bytes. */
    return position != 0 && c->facts.commit == position && c->log.held_at[position & 1u] == position + 1 ? &c->log.held[position & 1u] : NULL;
}

void nrt_forget_joined(struct nrt_core *c)
{
    c->log.n_joined = (uint16_t)joined(c);
    for (uint32_t i = 0; i < 2; i++)
        if (c->log.held_at[i] == 0 || nrt_held(c, c->log.held_at[i] - 1u) == NULL)
            c->log.held_at[i] = 0;
}

uint32_t nrt_members(const struct nrt_core *c)
{
    return joined(c) + 1;
}

const struct nrt_member *nrt_member(const struct nrt_core *c, uint32_t i)
{
    return i < joined(c) ? &c->log.joined[i] : &c->log.last;
}

uint32_t nrt_member_sector(const struct nrt_member *m, uint32_t n)
{
    for (uint32_t i = 0; i < NRT_UNIT_SECTORS; i++) {
        uint32_t sector = (m->first + i) % NRT_UNIT_SECTORS;
        if ((m->mask & 1u << sector) != 0 && n-- == 0)
            return sector;
    }
    return NRT_UNIT_SECTORS;
}

uint16_t nrt_torn_at(const struct nrt_core *c, uint8_t *sector)
{
    const struct nrt_facts *f = &c->facts;
    *sector = 0;
    if (f->resume && f->commit > f->done) {
        *sector = (uint8_t)nrt_member_sector(&c->log.last, c->log.parts);
        return *sector < NRT_UNIT_SECTORS ? c->log.last.unit : NRT_NO_UNIT;
    }
    if (!f->hybrid || f->commit != 0)
        return NRT_NO_UNIT;
    *sector = f->torn_sector;
    return f->torn_unit;
}

static uint32_t parts_of(const struct nrt_core *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < nrt_members(c); i++)
        n += nrt_ones(nrt_member(c, i)->mask);
    return n;
}

/* ---- records to facts ------------------------------------------------------------------------------------------------ */

static void close_plan(struct nrt_core *c)
{
    struct nrt_facts *f = &c->facts;
    memset(&f->target, 0, sizeof f->target);
    f->commit = 0;
    f->done = 0;
    f->restoring = 0;
    f->resume = 0;
    f->hybrid = 0;
    f->torn_unit = 0;
    f->torn_sector = 0;
    c->log.units = 0;
    c->log.parts = 0;
    c->log.last.mask = 0;
    c->log.n_joined = 0;
    c->log.held_at[0] = c->log.held_at[1] = 0;
}

static void apply_installed(struct nrt_core *c, const uint8_t *p)
{
    struct nrt_facts *f = &c->facts;
    get_image(&p, &f->installed);
    f->installs = get_le(&p, 4);
    f->candidate = *p;
    if (!f->candidate)
        f->confirmed = f->installed;
    f->boots = 0;
    f->broken = NRT_WHY_NONE;
    close_plan(c);
}

static void apply_plan(struct nrt_core *c, const uint8_t *p)
{
    close_plan(c);
    struct nrt_facts *f = &c->facts;
    get_target(&p, &f->target);
    c->log.units = (uint16_t)get_le(&p, 2);
    uint32_t kind = get_le(&p, 1);
    f->restoring = (kind & NRT_PLAN_RESTORING) != 0;
    f->resume = (kind & NRT_PLAN_RESUME) != 0;
    f->hybrid = (kind & NRT_PLAN_HYBRID) != 0;
    f->torn_unit = (uint16_t)get_le(&p, 2);
    f->torn_sector = *p;
}

static void get_member(const uint8_t **p, struct nrt_member *m)
{
    m->unit = (uint16_t)get_le(p, 2);
    m->first = (uint16_t)get_le(p, 2);
    m->mask = get_le(p, 4);
}

/* A unit joined twice to the same commit is what was said last. */
static void apply_join(struct nrt_core *c, const uint8_t *p)
{
    uint16_t by = (uint16_t)get_le(&p, 2);
    struct nrt_member m;
    uint32_t i = 0;
    get_member(&p, &m);
    if (c->log.joined_by != by)
        c->log.n_joined = 0;
    c->log.joined_by = by;
    while (i < c->log.n_joined && c->log.joined[i].unit != m.unit)
        i++;
    if (i == NRT_MAX_JOINT - 1)
        return;
    c->log.joined[i] = m;
    if (i == c->log.n_joined)
        c->log.n_joined++;
}

static void apply_hold(struct nrt_core *c, const uint8_t *p)
{
    uint32_t position = get_le(&p, 2);
    get_member(&p, &c->log.held[position & 1u]);
    c->log.held_at[position & 1u] = (uint16_t)(position + 1);
}

static void apply_commit(struct nrt_core *c, const uint8_t *p)
{
    c->facts.commit = get_le(&p, 2) + 1;
    get_member(&p, &c->log.last);
    c->log.parts = 0;
    /* From here on the plan says what the bank is; before, it was what had been broken. */
    c->facts.broken = NRT_WHY_NONE;
}

void nrt_facts_apply(struct nrt_core *c, uint8_t type, const uint8_t *p)
{
    struct nrt_facts *f = &c->facts;
    switch (type) {
    case NRT_REC_INSTALLED:
        apply_installed(c, p);
        break;
    case NRT_REC_CONFIRMED:
        get_image(&p, &f->confirmed);
        break;
    case NRT_REC_CONFIRM:
        f->confirmed = f->installed;
        f->candidate = 0;
        f->boots = 0;
        f->broken = NRT_WHY_NONE;
        break;
    case NRT_REC_COUNTERS:
        f->serial = get_le(&p, 4);
        f->key_list = get_le(&p, 4);
        break;
    case NRT_REC_BOOTS:
        f->boots = *p;
        break;
    case NRT_REC_FAILED:
        get_bytes(&p, f->failed, NRT_SHORT);
        f->failed_proofs = *p;
        break;
    case NRT_REC_PLAN:
        apply_plan(c, p);
        break;
    case NRT_REC_JOIN:
        apply_join(c, p);
        break;
    case NRT_REC_HOLD:
        apply_hold(c, p);
        break;
    case NRT_REC_COMMIT:
        apply_commit(c, p);
        break;
    case NRT_REC_DONE:
        c->log.parts = *p;
        if (c->log.parts >= parts_of(c))
            f->done = f->commit;
        break;
    case NRT_REC_BROKEN:
        f->broken = *p;
        break;
    default:
        break;
    }
}

/* ---- facts to records ------------------------------------------------------------------------------------------------ */

static int is_open(const struct nrt_core *c)
{
    return c->facts.target.file_size != 0 || c->facts.restoring;
}

static void put_plan(uint8_t *p, const struct nrt_target *t, uint32_t units, uint32_t kind, uint32_t unit, uint8_t sector)
{
    put_target(&p, t);
    put_le(&p, units, 2);
    put_le(&p, kind, 1);
    put_le(&p, unit, 2);
    *p = sector;
}

static uint32_t kind_of(const struct nrt_facts *f)
{
    return (f->restoring ? NRT_PLAN_RESTORING : 0u) | (f->resume ? NRT_PLAN_RESUME : 0u) | (f->hybrid ? NRT_PLAN_HYBRID : 0u);
}

static void put_member(uint8_t *p, uint32_t position, const struct nrt_member *m)
{
    put_le(&p, position, 2);
    put_le(&p, m->unit, 2);
    put_le(&p, m->first, 2);
    put_le(&p, m->mask, 4);
}

/* Writes the payload of a live record; 0 when these facts do not need it. */
static int live(const struct nrt_core *c, uint8_t type, uint8_t *p)
{
    const struct nrt_facts *f = &c->facts;
    switch (type) {
    case NRT_REC_INSTALLED:
        put_image(&p, &f->installed);
        put_le(&p, f->installs, 4);
        *p = f->candidate;
        return 1;
    case NRT_REC_CONFIRMED:
        put_image(&p, &f->confirmed);
        return f->candidate && f->confirmed.size != 0;
    case NRT_REC_COUNTERS:
        put_le(&p, f->serial, 4);
        put_le(&p, f->key_list, 4);
        return 1;
    case NRT_REC_BOOTS:
        *p = f->boots;
        return f->boots != 0;
    case NRT_REC_FAILED:
        put_bytes(&p, f->failed, NRT_SHORT);
        *p = (uint8_t)f->failed_proofs;
        return f->failed_proofs != 0;
    case NRT_REC_PLAN:
        put_plan(p, &f->target, c->log.units, kind_of(f), f->torn_unit, f->torn_sector);
        return is_open(c);
    case NRT_REC_COMMIT:
        put_member(p, f->commit - 1, &c->log.last);
        return is_open(c) && f->commit != 0;
    case NRT_REC_DONE:
        *p = c->log.parts;
        return is_open(c) && c->log.parts != 0;
    default:
        *p = f->broken;
        return f->broken != NRT_WHY_NONE;
    }
}

uint8_t nrt_facts_live(const struct nrt_core *c, uint32_t i, uint8_t *payload)
{
    static const uint8_t order[] = {NRT_REC_INSTALLED, NRT_REC_CONFIRMED, NRT_REC_COUNTERS, NRT_REC_BOOTS,
                                    NRT_REC_FAILED,    NRT_REC_PLAN,      NRT_REC_JOIN,     NRT_REC_COMMIT,
                                    NRT_REC_DONE,      NRT_REC_BROKEN};
    for (uint32_t k = 0; k < sizeof order; k++) {
        uint32_t n = order[k] == NRT_REC_JOIN && is_open(c) ? c->log.n_joined : 0;
        if (i < n) {
            put_member(payload, c->log.joined_by, &c->log.joined[i]);
            return NRT_REC_JOIN;
        }
        i -= n;
        for (uint32_t h = 0; order[k] == NRT_REC_JOIN && is_open(c) && h < 2; h++)
            if (c->log.held_at[h] > c->facts.commit && i-- == 0) {
                put_member(payload, c->log.held_at[h] - 1u, &c->log.held[h]);
                return NRT_REC_HOLD;
            }
        if (order[k] != NRT_REC_JOIN && live(c, order[k], payload) && i-- == 0)
            return order[k];
    }
    return 0;
}

/* ---- appends --------------------------------------------------------------------------------------------------------- */

int nrt_log_plan(struct nrt_core *c, const struct nrt_target *t, uint32_t units, uint32_t kind)
{
    uint8_t payload[NRT_LOG_RECORD];
    uint8_t sector;
    uint32_t unit = nrt_torn_at(c, &sector);
    put_plan(payload, t, units, kind, unit, sector);
    return nrt_log_append(c, NRT_REC_PLAN, payload);
}

int nrt_log_join(struct nrt_core *c, uint32_t position, const struct nrt_member *m)
{
    uint8_t payload[NRT_LOG_RECORD];
    put_member(payload, position, m);
    return nrt_log_append(c, NRT_REC_JOIN, payload);
}

int nrt_log_hold(struct nrt_core *c, uint32_t position, const struct nrt_member *m)
{
    uint8_t payload[NRT_LOG_RECORD];
    put_member(payload, position, m);
    return nrt_log_append(c, NRT_REC_HOLD, payload);
}

int nrt_log_commit(struct nrt_core *c, uint32_t position, const struct nrt_member *m)
{
    uint8_t payload[NRT_LOG_RECORD];
    put_member(payload, position, m);
    return nrt_log_append(c, NRT_REC_COMMIT, payload);
}

int nrt_log_done(struct nrt_core *c, uint32_t parts)
{
    uint8_t payload[1] = {(uint8_t)parts};
    return nrt_log_append(c, NRT_REC_DONE, payload);
}

int nrt_log_installed(struct nrt_core *c, const struct nrt_image *image, int candidate)
{
    uint8_t payload[NRT_LOG_RECORD];
    uint8_t *p = payload;
    put_image(&p, image);
    put_le(&p, c->facts.installs + 1, 4);
    *p = (uint8_t)candidate;
    return nrt_log_append(c, NRT_REC_INSTALLED, payload);
}

int nrt_log_broken(struct nrt_core *c, int why)
{
    uint8_t payload[1] = {(uint8_t)why};
    return nrt_log_append(c, NRT_REC_BROKEN, payload);
}

int nrt_log_boots(struct nrt_core *c, uint32_t boots)
{
    uint8_t payload[1] = {(uint8_t)boots};
    return nrt_log_append(c, NRT_REC_BOOTS, payload);
}

int nrt_log_failed(struct nrt_core *c, const uint8_t envelope[NRT_SHORT])
{
    uint8_t payload[NRT_SHORT + 1];
    uint32_t count = memcmp(envelope, c->facts.failed, NRT_SHORT) == 0 ? c->facts.failed_proofs + 1 : 1;
    memcpy(payload, envelope, NRT_SHORT);
    payload[NRT_SHORT] = (uint8_t)(count > 255 ? 255 : count);
    return nrt_log_append(c, NRT_REC_FAILED, payload);
}

static int append_counters(struct nrt_core *c, uint32_t serial, uint32_t key_list)
{
    uint8_t payload[8];
    uint8_t *p = payload;
    put_le(&p, serial, 4);
    put_le(&p, key_list, 4);
    return nrt_log_append(c, NRT_REC_COUNTERS, payload);
}

int nrt_accept_serial(struct nrt_core *c, uint32_t serial)
{
    return serial > c->facts.serial ? append_counters(c, serial, c->facts.key_list) : NRT_E_TRUST;
}

int nrt_accept_key_list(struct nrt_core *c, uint32_t version)
{
    return version > c->facts.key_list ? append_counters(c, c->facts.serial, version) : NRT_E_TRUST;
}

/* R1: nothing was committed, so nothing was erased. The record stays where it is and means nothing. */
void nrt_drop_plan(struct nrt_core *c)
{
    memset(&c->facts.target, 0, sizeof c->facts.target);
    c->facts.resume = 0;
    c->log.units = 0;
}
