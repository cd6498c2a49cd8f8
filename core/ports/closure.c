/* closure.c - the enumerator: every flash state that power cuts can leave in an update, each brought back by the core itself
 * (docs/assurance/README.md). Recovery is a pure function of the flash, so states are nodes and cuts are edges; equal states
 * are walked once. It must never help the core: it only cuts, powers up, hands over the same file and looks. */
#include "closure.h"
#include "veil.h"

#include <stdlib.h>
#include <string.h>

#include "canon.h"
#include "pool.h"

struct node {
    uint32_t *state;
    uint32_t depth;
    uint32_t kind;       /* the cut that led here */
    uint32_t ghosts;     /* programs without a trace on the way here */
    int reading;         /* 1: another reading of what a cut left */
    uint64_t operation;
};

struct walk {
    const struct nrt_story *story;
    struct nrt_closure *out;
    struct nrt_nor *nor;
    struct nrt_pool *pool;
    struct nrt_seen *raw;      /* states as cuts leave them */
    struct nrt_seen *walked;   /* states with generations counted from the lowest */
    struct node *queue;
    uint64_t head;             /* first node not walked yet */
    uint64_t used;
    uint64_t room;
    uint32_t *now;             /* the chip as of the operation about to begin */
    uint32_t dirty;            /* sector the last operation changed, or NRT_POOL_FULL */
    uint64_t operation;        /* of this run */
    struct node at;            /* being walked */
    uint8_t *foreign;          /* the chip as it was in the beginning */
    uint8_t *bank;             /* room for an image */
    int first;                 /* the state pushed is the next to be walked */
    int failed;                /* memory ran out */
};

/* Adds a key as met after so many ghosts; 0 where it was met after as many or fewer: from there more was tried. */
static int add_new(struct nrt_seen *seen, struct nrt_state_key k, uint32_t ghosts)
{
    struct nrt_state_key at = k;
    for (uint32_t g = 0; g < ghosts; g++) {
        at.b = k.b + g * 0x9E3779B97F4A7C15u;
        if (nrt_seen_has(seen, at))
            return 0;
    }
    at.b = k.b + ghosts * 0x9E3779B97F4A7C15u;
    return nrt_seen_add(seen, at);
}

/* ---- pushing states ---------------------------------------------------------------------------------------------------- */

static void push(struct walk *w, const uint32_t *state, uint32_t kind)
{
    uint32_t n = w->nor->sectors;
    uint32_t ghosts = w->at.ghosts + (!w->first && kind == NRT_CUT_GHOST);
    int is_new = add_new(w->raw, nrt_pool_key(w->pool, state), ghosts);
    if (is_new <= 0) {
        w->failed |= is_new < 0;
        return;
    }
    if (w->used == w->room && w->head > w->room / 2) {
        memmove(w->queue, w->queue + w->head, (w->used - w->head) * sizeof *w->queue);
        w->used -= w->head;
        w->head = 0;
    }
    if (w->used == w->room) {
        uint64_t room = w->room ? w->room * 2 : 256;
        struct node *more = realloc(w->queue, room * sizeof *more);
        if (more == NULL) {
            w->failed = 1;
            return;
        }
        w->queue = more;
        w->room = room;
    }
    uint32_t *copy = malloc(n * sizeof *copy);
    if (copy == NULL) {
        w->failed = 1;
        return;
    }
    memcpy(copy, state, n * sizeof *copy);
    nrt_pool_hold(w->pool, copy, n);
    struct node *to = w->first && w->head > 0 ? &w->queue[--w->head] : &w->queue[w->used++];
    *to = (struct node){copy, w->at.depth + 1, kind, ghosts, w->first, w->operation};
}

static uint32_t torn_units(const struct nrt_nor *n)
{
    uint32_t torn = 0;
    for (uint32_t u = 0; u < n->size / n->layout.write_unit; u++)
        torn += (n->mark[u] & NOR_META) != 0;
    return torn;
}

/* One torn outcome of the operation that is about to begin: the touched sector is kept as torn and put back. */
static void try_kind(struct walk *w, uint32_t sector, uint32_t kind)
{
    uint32_t before = w->now[sector];
    w->now[sector] = nrt_pool_keep(w->pool, w->nor, sector, NRT_POOL_FULL);
    if (w->now[sector] == NRT_POOL_FULL) {
        w->failed = 1;
    } else {
        w->out->edges++;
        push(w, w->now, kind);
        nrt_pool_drop(w->pool, &w->now[sector], 1);
    }
    w->now[sector] = before;
}

static void refresh(struct walk *w)
{
    if (w->dirty == NRT_POOL_FULL)
        return;
    uint32_t fresh = nrt_pool_keep(w->pool, w->nor, w->dirty, NRT_POOL_FULL);
    if (fresh == NRT_POOL_FULL) {
        w->failed = 1;
        return;
    }
    nrt_pool_drop(w->pool, &w->now[w->dirty], 1);
    w->now[w->dirty] = fresh;
    w->dirty = NRT_POOL_FULL;
}

static void watch(struct nrt_nor *n, uint32_t off, const uint8_t *to, uint32_t len, int erase)
{
    struct walk *w = n->watcher;
    uint32_t wu = n->layout.write_unit;
    uint32_t sector = nrt_pool_sector(w->pool, off);
    w->operation++;
    if (w->story->depth != 0 && w->at.depth >= w->story->depth) {
        w->out->closed = 0;
        return;   /* nothing has to be kept of a run that is not cut again */
    }
    refresh(w);
    int asked = w->story->stride <= 1 || (w->operation + w->story->seed) % w->story->stride == 0;
    if (asked) {
        uint8_t *spare = malloc(2 * (size_t)len + len / wu);
        for (uint32_t kind = 1; spare != NULL && kind <= NRT_CUT_KINDS; kind++) {
            /* Programs in a row that leave no trace cannot be told apart by any recovery (decision 0010). */
            if ((w->story->kinds & 1u << kind) == 0 ||
                (kind == NRT_CUT_GHOST && (erase || w->at.ghosts >= w->story->ghosts)))
                continue;
            memcpy(spare, n->mem + off, len);
            memcpy(spare + len, n->other + off, len);
            memcpy(spare + 2 * (size_t)len, n->mark + off / wu, len / wu);
            nrt_nor_tear(n, off, to, len, erase, (int)kind, w->story->seed ^ off * 2654435761u ^ kind << 24);
            try_kind(w, sector, kind);
            memcpy(n->mem + off, spare, len);
            memcpy(n->other + off, spare + len, len);
            memcpy(n->mark + off / wu, spare + 2 * (size_t)len, len / wu);
        }
        w->failed |= spare == NULL;
        free(spare);
    } else {
        w->out->closed = 0;
    }
    w->dirty = sector;
}

/* ---- one state ----------------------------------------------------------------------------------------------------------- */

static int harm(struct walk *w, int what, int result)
{
    struct nrt_closure *o = w->out;
    o->bricks++;
    if (o->harm == NRT_HARM_NONE) {
        o->harm = what;
        o->result = result;
        o->harm_operation = w->at.operation;
        o->harm_kind = (int)w->at.kind;
        o->harm_depth = w->at.depth;
    }
    return 0;
}

/* The new image runs: it is whole, it confirms, and that is remembered. */
static int confirm_new(struct walk *w, struct nrt_core *c)
{
    const struct nrt_story *s = w->story;
    int fate = 0;
    if (memcmp(c->facts.installed.image, s->target->image, NRT_DIGEST) != 0 || !nrt_bank_is(w->nor, s->new_image, s->new_size))
        return harm(w, NRT_HARM_MIXED, fate);
    int rc = nrt_confirm(c);
    if (rc < 0)
        return harm(w, NRT_HARM_STUCK, rc);
    rc = nrt_power_up(c, &w->nor->layout, &w->nor->port, NRT_RESET_POWER, &fate);
    if (rc < 0 || fate != NRT_FATE_BOOT || c->facts.candidate ||
        memcmp(c->facts.confirmed.image, s->target->image, NRT_DIGEST) != 0)
        return harm(w, NRT_HARM_FORGOT, rc);
    if (!nrt_foreign_kept(w->nor, w->foreign))
        return harm(w, NRT_HARM_FOREIGN, 0);
    return w->nor->violations == 0 ? 1 : harm(w, NRT_HARM_RULES, 0);
}

static int file_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct nrt_cure *s = ctx;
    if (off > s->size || len > s->size - off)
        return NRT_E_READ;
    memcpy(buf, s->file + off, len);
    return NRT_OK;
}

/* The file that the core reads: the one that was staged, or what is hidden in it. */
static int opened(const struct nrt_story *s, struct nrt_veil *v, const struct nrt_file *whole, struct nrt_file *f)
{
    *f = *whole;
    return s->device_key == NULL ? NRT_OK : nrt_veil_open(v, whole, s->device_key, f);
}

static int update(struct walk *w, struct nrt_core *c)
{
    const struct nrt_story *s = w->story;
    struct nrt_cure all = {0, s->file, s->file_size, s->target};
    struct nrt_file f, whole = {&all, s->file_size, file_read, NULL};
    struct nrt_veil v;
    int rc = opened(s, &v, &whole, &f);
    rc = rc < 0 ? rc : nrt_prove(c, &f, s->target, s->ram);
    return rc < 0 ? rc : nrt_rewrite(c, &f, s->target, s->ram);
}

/* A plan is open. What a cut left open asks for the file made for just that; else the file of the plan goes on. */
static int go_on(struct walk *w, struct nrt_core *c)
{
    const struct nrt_story *s = w->story;
    struct nrt_cure use = {0, s->file, s->file_size, s->target};
    struct nrt_span torn;
    int rc = nrt_torn(c, &torn);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < s->n_cures; i++) {
        const struct nrt_cure *cure = &s->cures[i];
        if (torn.len != 0 ? cure->torn == torn.base : memcmp(cure->target->file, c->facts.target.file, NRT_SHORT) == 0)
            use = *cure;
    }
    struct nrt_file f, whole = {&use, use.size, file_read, NULL};
    struct nrt_veil v;
    if ((rc = opened(s, &v, &whole, &f)) < 0)
        return rc;
    w->out->rescues += torn.len != 0;
    return torn.len != 0 ? nrt_rescue(c, &f, use.target, s->ram) : nrt_resume(c, &f, s->ram);
}

/* A power-up finds the chip like this. 1: it ended, by itself and with the same file, in the new image, confirmed. */
static int live_through(struct walk *w)
{
    const struct nrt_story *s = w->story;
    struct nrt_core c;
    int fate;
    int again;
    int rc = nrt_power_up(&c, &w->nor->layout, &w->nor->port, NRT_RESET_POWER, &fate);
    if (rc < 0)
        return harm(w, NRT_HARM_STUCK, rc);
    if (fate == NRT_FATE_RESTORE)
        return harm(w, NRT_HARM_RESTORE, c.facts.broken);
    int is_new = fate == NRT_FATE_BOOT && memcmp(c.facts.installed.image, s->target->image, NRT_DIGEST) == 0;
    w->out->fetches += fate == NRT_FATE_FETCH;
    w->out->new_boots += (uint64_t)is_new;
    w->out->old_boots += fate == NRT_FATE_BOOT && !is_new;
    if (is_new)
        return confirm_new(w, &c);
    if (fate == NRT_FATE_BOOT && !nrt_bank_is(w->nor, s->old_image, s->old_size))
        return harm(w, NRT_HARM_MIXED, fate);
    /* The file is gone for now: nothing else may come of another power-up. */
    rc = nrt_power_up(&c, &w->nor->layout, &w->nor->port, NRT_RESET_POWER, &again);
    if (rc < 0 || again != fate)
        return harm(w, NRT_HARM_FORGOT, rc);
    rc = fate == NRT_FATE_FETCH ? go_on(w, &c) : update(w, &c);
    if (rc < 0)
        return harm(w, NRT_HARM_STUCK, rc);
    rc = nrt_power_up(&c, &w->nor->layout, &w->nor->port, NRT_RESET_POWER, &fate);
    if (rc < 0 || fate != NRT_FATE_BOOT)
        return harm(w, NRT_HARM_STUCK, rc);
    return confirm_new(w, &c);
}

/* ---- the walk ------------------------------------------------------------------------------------------------------------ */

/* Keeps every sector of the chip in `state`; `was` is the state it was loaded from, NULL for none, and may be the same. */
static void keep_all(struct walk *w, uint32_t *state, const uint32_t *was)
{
    for (uint32_t s = 0; s < w->nor->sectors; s++) {
        uint32_t kept = nrt_pool_keep(w->pool, w->nor, s, was != NULL ? was[s] : NRT_POOL_FULL);
        if (kept == NRT_POOL_FULL) {
            w->failed = 1;
            return;
        }
        if (was == state)
            nrt_pool_drop(w->pool, &state[s], 1);
        state[s] = kept;
    }
}

static void push_now(struct walk *w, uint32_t *scratch)
{
    keep_all(w, scratch, w->now);
    if (w->failed)
        return;
    w->at.depth--;
    w->first = 1;   /* no cut more: before all that have one more */
    push(w, scratch, w->at.kind);
    w->first = 0;
    w->at.depth++;
    nrt_pool_drop(w->pool, scratch, w->nor->sectors);
}

/* Torn units may read otherwise when the power comes back: each way is a state of its own. Few are turned one by one, from
 * state to state until all ways were seen; a state of many is not called closed, some more of its ways are looked at (few is
 * 0: these only). */
static void push_other_readings(struct walk *w, uint32_t *scratch, uint32_t torn)
{
    static const uint32_t ways[] = {1, 0x5EED1, 0x5EED2};
    uint32_t few = w->story->few;
    int each = torn <= few || (few > 0 && !w->at.reading);
    if (few == 0 && w->at.reading)
        return;
    for (uint32_t u = 0; u < w->nor->size / w->nor->layout.write_unit && !w->failed && each; u++) {
        if ((w->nor->mark[u] & NOR_META) == 0)
            continue;
        nrt_swap_unit(w->nor, u);
        push_now(w, scratch);
        nrt_swap_unit(w->nor, u);
    }
    if (torn <= few)
        return;
    w->out->closed = 0;
    for (uint32_t i = 0; i < sizeof ways / sizeof ways[0] && !w->failed; i++) {
        nrt_nor_power(w->nor, ways[i]);
        push_now(w, scratch);
        nrt_pool_load(w->pool, w->now, w->nor);
    }
}

static void visit(struct walk *w, uint32_t *scratch)
{
    nrt_pool_load(w->pool, w->at.state, w->nor);
    if (w->story->as_found)
        nrt_pool_hold(w->pool, w->at.state, w->nor->sectors);
    nrt_canon(w->nor, w->story->keep_scratch);
    memcpy(w->now, w->at.state, w->nor->sectors * sizeof *w->now);
    keep_all(w, w->now, w->now);
    if (w->failed)
        return;
    int is_new = add_new(w->walked, nrt_pool_key(w->pool, w->now), w->at.ghosts);
    if (is_new > 0)
        w->out->digest += nrt_pool_key(w->pool, w->now).a;
    w->out->forms += is_new > 0;
    if (w->story->as_found) {
        nrt_pool_drop(w->pool, w->now, w->nor->sectors);
        nrt_pool_load(w->pool, w->at.state, w->nor);
        memcpy(w->now, w->at.state, w->nor->sectors * sizeof *w->now);
        is_new |= 1;
    }
    if (is_new > 0) {
        w->out->states++;
        w->out->deepest = w->at.depth > w->out->deepest ? w->at.depth : w->out->deepest;
        uint32_t torn = torn_units(w->nor);
        if (torn > 0)
            push_other_readings(w, scratch, torn);
        w->dirty = NRT_POOL_FULL;
        w->operation = 0;
        w->nor->violations = 0;
        w->nor->looked = 0;
        int ended = live_through(w);
        if (ended && w->nor->violations > 0)
            (void)harm(w, NRT_HARM_RULES, 0);
        else if (ended && w->nor->looked > 0)
            (void)harm(w, NRT_HARM_LOOKED, 0);
        refresh(w);
    }
    w->failed |= is_new < 0;
    nrt_pool_drop(w->pool, w->now, w->nor->sectors);
}

/* The next state: the oldest, so that all states of n cuts come before those of n + 1. A sample looks everywhere. */
static void pick(struct walk *w)
{
    uint64_t i = (w->out->states * 0x9E3779B97F4A7C15u + w->story->seed * 0xD6E8FEB86659FD93u) >> 17;
    if (w->story->most != 0) {
        struct node first = w->queue[w->head];
        i = w->head + i % (w->used - w->head);
        w->queue[w->head] = w->queue[i];
        w->queue[i] = first;
    }
    w->at = w->queue[w->head++];
}

static void walk_all(struct walk *w)
{
    int first_only = w->out->closed < 0;
    uint32_t *scratch = malloc(w->nor->sectors * sizeof *scratch);
    w->failed |= scratch == NULL;
    w->out->closed = 1;
    while (w->head < w->used && !w->failed && !(first_only && w->out->bricks > 0)) {
        if (w->story->most != 0 && w->out->states >= w->story->most) {
            w->out->closed = 0;
            break;
        }
        pick(w);
        visit(w, scratch);
        if (w->out->states == 1 && w->out->operations == 0)
            w->out->operations = w->operation;
        free(w->at.state);
    }
    w->out->closed = w->out->closed && w->head == w->used;
    while (w->head < w->used)
        free(w->queue[w->head++].state);
    free(scratch);
}

/* The chip before the update: the old image, confirmed, and something foreign wherever nothing of ours lies. */
static int prepare(struct walk *w, uint32_t *state)
{
    const struct nrt_story *s = w->story;
    const struct nrt_layout *l = &w->nor->layout;
    struct nrt_image image;
    struct nrt_core c;
    uint32_t at = 0;
    for (uint32_t off = 0; off < w->nor->size; off += 4)
        memcpy(w->nor->mem + off, "FORE", 4);
    for (uint32_t i = 0; i < 2; i++)
        memset(w->nor->mem + (l->log[i].base - w->nor->base), l->erased, l->log[i].len);
    memset(w->nor->mem + (l->scratch.base - w->nor->base), l->erased, l->scratch.len);
    for (uint32_t i = 0; i < l->n_bank; i++) {
        uint32_t n = s->old_size - at < l->bank[i].len ? s->old_size - at : l->bank[i].len;
        memset(w->nor->mem + (l->bank[i].base - w->nor->base), l->erased, l->bank[i].len);
        memcpy(w->nor->mem + (l->bank[i].base - w->nor->base), s->old_image + at, n);
        at += n;
    }
    memcpy(w->foreign, w->nor->mem, w->nor->size);
    memcpy(w->bank, w->nor->mem, w->nor->size);
    if (nrt_nor_poke(w->nor, w->nor->base, w->bank, w->nor->size) < 0)
        return NRT_E_ARG;
    struct nrt_sha256 sha;
    memset(&image, 0x11, sizeof image);
    nrt_sha256_init(&sha);
    nrt_sha256_add(&sha, s->old_image, s->old_size);
    nrt_sha256_end(&sha, image.image);
    image.size = s->old_size;
    image.sequence = 1;
    image.epoch = 0;
    int rc = nrt_provision(&c, l, &w->nor->port, &image);
    keep_all(w, state, NULL);
    return rc;
}

static int begin(struct walk *w)
{
    uint32_t *state = malloc(w->nor->sectors * sizeof *state);
    if (state == NULL)
        return NRT_E_SPACE;
    int rc = prepare(w, state);
    if (rc == NRT_OK && !w->failed) {
        w->at.depth = UINT32_MAX;   /* the first state was reached by 0 cuts */
        push(w, state, 0);
        w->nor->watch = watch;
        w->nor->watcher = w;
        walk_all(w);
    }
    free(state);
    return rc < 0 ? rc : w->failed ? NRT_E_SPACE : NRT_OK;
}

int nrt_closure_walk(const struct nrt_layout *l, const struct nrt_story *s, struct nrt_closure *out)
{
    struct walk w;
    int closed = out->closed;
    int rc = NRT_E_SPACE;
    memset(&w, 0, sizeof w);
    memset(out, 0, sizeof *out);
    out->closed = closed;
    w.story = s;
    w.out = out;
    w.nor = nrt_nor_open(l, NULL, 0, s->ecc);
    if (w.nor == NULL)
        return rc;
    w.pool = nrt_pool_open(w.nor);
    w.raw = nrt_seen_open();
    w.walked = nrt_seen_open();
    w.now = malloc(w.nor->sectors * sizeof *w.now);
    w.foreign = malloc(w.nor->size);
    w.bank = malloc(w.nor->size);
    if (w.pool != NULL && w.raw != NULL && w.walked != NULL && w.now != NULL && w.foreign != NULL && w.bank != NULL)
        rc = begin(&w);
    free(w.now);
    free(w.foreign);
    free(w.bank);
    free(w.queue);
    nrt_seen_close(w.raw);
    nrt_seen_close(w.walked);
    nrt_pool_close(w.pool);
    nrt_nor_close(w.nor);
    return rc;
}
