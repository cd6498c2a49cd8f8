/* rewrite.c - the rewrite itself, in scratch mode (docs/spec/statelog.md 5; resume mode: direct.c): whole commit units into
 * scratch (redo.c), COMMIT, their sectors from scratch and DONE (commit.c). It must never erase what the log has not committed,
 * never trust RAM for anything a cut may need, and never act on a figure of the plan that is not as it was proven. */
#include <string.h>

#include "medium.h"
#include "plan.h"
#include "statelog.h"

/* One unit's redo log is a struct nrt_member: taken out of the plan once, checked, and acted on as it was then. */

static uint32_t sectors_of(const struct nrt_scratch *s, uint32_t mask)
{
    return (nrt_ones(mask) + s->per - 1) / s->per;
}

/* Scratch sector where the next redo log begins: after the last one, so that all wear alike. */
static uint32_t next_first(const struct nrt_core *c, const struct nrt_plan *p, const struct nrt_scratch *s, uint32_t sectors)
{
    uint32_t first = c->facts.installs % p->ring;
    if (c->facts.commit > 0)
        first = c->log.last.first + sectors_of(s, c->log.last.mask);
    return first + sectors <= p->ring ? first : 0;
}

/* Units that are committed at once: those of plan positions k to `end` that change. */
struct batch {
    uint32_t n;
    uint32_t at[NRT_MAX_JOINT];            /* plan position */
    struct nrt_member member[NRT_MAX_JOINT];
};

/* What the plan says about these units, as it was proven. */
static int take_batch(struct nrt_core *c, const struct nrt_plan *p, uint32_t k, uint32_t end, struct batch *b)
{
    struct nrt_scratch s;
    uint32_t sectors = 0;
    int rc = nrt_scratch_of(c->layout, &s);
    b->n = 0;
    for (; rc == NRT_OK && k < end; k++) {
        uint32_t unit;
        rc = nrt_unpack_order(p->unpack, k, &unit);
        if (rc < 0 || unit >= p->n_units)
            return rc < 0 ? rc : NRT_E_DIGEST;
        if (p->changed[unit] == 0)
            continue;
        b->at[b->n] = k;
        b->member[b->n++] = (struct nrt_member){(uint16_t)unit, (uint16_t)sectors, p->changed[unit]};
        sectors += sectors_of(&s, p->changed[unit]);
    }
    uint32_t first = rc == NRT_OK ? next_first(c, p, &s, sectors) : 0;
    for (uint32_t i = 0; i < b->n; i++)
        b->member[i].first = (uint16_t)(b->member[i].first + first);
    return rc == NRT_OK ? nrt_plan_whole(c) : rc;
}

/* From here on what lies in scratch is the truth: all of these units, or none. */
static int commit(struct nrt_core *c, const struct batch *b, uint32_t end)
{
    int rc = NRT_OK;
    for (uint32_t i = 0; rc == NRT_OK && i + 1 < b->n; i++)
        rc = nrt_log_join(c, end - 1, &b->member[i]);
    return rc == NRT_OK ? nrt_log_commit(c, end - 1, &b->member[b->n - 1]) : rc;
}

static int rewrite_units(struct nrt_core *c, struct nrt_plan *p, uint32_t k, uint32_t end)
{
    struct batch b;
    p->position = k;
    int rc = nrt_make_saves(c, p);
    if (rc == NRT_OK)
        rc = take_batch(c, p, k, end, &b);
    if (rc < 0 || b.n == 0)
        return rc;
    for (uint32_t i = 0; rc == NRT_OK && i < b.n; i++) {
        p->position = b.at[i];
        rc = nrt_write_member(c, p, &b.member[i]);
    }
    if (rc == NRT_OK)
        rc = commit(c, &b, end);
    if (rc < 0)
        return rc;
    rc = nrt_finish_commit(c);
    if (rc == NRT_E_FLASH)
        (void)nrt_log_broken(c, NRT_WHY_FLASH);
    return rc;
}

static int rewrite_from(struct nrt_core *c, struct nrt_plan *p)
{
    /* Copies: where RAM forgets how far the plan goes, it would end early, and what is left half-done be judged as a bad bank. */
    const uint32_t end = p->header.n_order;
    const uint32_t step = p->header.joint;
    const uint32_t direct = p->header.resume;
    uint32_t k = p->from;
    int rc = nrt_plan_whole(c);
    if (rc == NRT_OK && p->header.slide != 0) {
        rc = nrt_slide(c, p);
        k = end;
    }
    for (; rc == NRT_OK && k < end; k += step)
        rc = direct ? nrt_rewrite_direct(c, p, k) : rewrite_units(c, p, k, step < end - k ? k + step : end);
    c->plan = NULL;
    return rc == NRT_OK ? nrt_judge(c) : rc;
}

/* Positions up to and including the last that changes a sector. */
static uint32_t last_change(const struct nrt_plan *p)
{
    uint32_t units = 0;
    for (uint32_t u = 0; u < p->n_units; u++)
        if (p->place[u] != NRT_NOT_PLANNED && p->changed[u] != 0 && p->place[u] + 1u > units)
            units = p->place[u] + 1u;
    return units;
}

static int is_proven(const struct nrt_core *c, const struct nrt_target *t, uint32_t from)
{
    const struct nrt_plan *p = c->plan;
    return p != NULL && p->proven && p->from == from && memcmp(&p->target, t, sizeof *t) == 0;
}

int nrt_rewrite(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram)
{
    (void)f;
    (void)ram;
    if (!is_proven(c, t, 0) || c->facts.commit != 0)
        return NRT_E_STATE;
    struct nrt_plan *p = c->plan;
    int rc = c->port->ready == NULL ? NRT_OK : c->port->ready(c->port->ctx);
    if (rc == NRT_OK)
        rc = nrt_log_plan(c, t, last_change(p), p->header.resume ? NRT_PLAN_RESUME : 0u);
    if (rc == NRT_OK)
        rc = rewrite_from(c, p);
    if (rc < 0 && c->facts.commit == 0)
        nrt_drop_plan(c);
    return rc;
}

int nrt_resume(struct nrt_core *c, const struct nrt_file *f, struct nrt_ram ram)
{
    struct nrt_target target = c->facts.target;
    int open = c->facts.commit > c->facts.done;
    if (c->facts.restoring || (c->facts.commit == 0 && !c->facts.hybrid) || (open && !c->facts.resume))
        return NRT_E_STATE;
    int rc = nrt_rehearse(c, f, &target, ram, open ? c->facts.commit - 1 : c->facts.done);
    if (rc == NRT_OK && c->port->ready != NULL)
        rc = c->port->ready(c->port->ctx);
    if (rc == NRT_OK)
        rc = nrt_log_settle(c);
    return rc == NRT_OK ? rewrite_from(c, c->plan) : rc;
}

int nrt_rescue(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram)
{
    const struct nrt_facts *facts = &c->facts;
    int began = facts->target.file_size != 0 && !facts->restoring && (facts->commit != 0 || facts->hybrid);
    if (!began || (facts->commit > facts->done && !facts->resume))
        return NRT_E_STATE;
    int rc = nrt_rehearse(c, f, t, ram, NRT_ON_HYBRID);
    if (rc == NRT_OK && c->port->ready != NULL)
        rc = c->port->ready(c->port->ctx);
    if (rc < 0)
        return rc;
    struct nrt_plan *p = c->plan;
    rc = nrt_log_plan(c, t, last_change(p), NRT_PLAN_HYBRID | (p->header.resume ? NRT_PLAN_RESUME : 0u));
    return rc == NRT_OK ? rewrite_from(c, p) : rc;
}
