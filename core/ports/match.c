/* match.c - approximate matching: places found in the suffix array become candidates, stretches of one diagonal; the cheapest
 * way through all of them is what is kept. Costs are those of the coders, in bits, roughly. It never knows flash or code. */
#include "match.h"

#include <stdlib.h>
#include <string.h>

#include "suffix.h"

#define LEAST 8u            /* bytes that must be equal more than where it stands already */
#define CERTAIN 32u         /* so many equal bytes on the diagonal: nothing better is looked for */
#define PATIENCE 512u       /* places without a find, after which fewer are tried */
#define STRIDE 32u
#define ACTIVE 8u           /* candidates that are weighed at one place */
#define HIT 6               /* a copied byte that is equal saves so much against a literal */
#define MISS 5              /* and one that differs loses: below one in two a copy is rather harmful to the map */
#define OPEN 44             /* a segment; one on the diagonal of the last one */
#define REOPEN 40
#define DROP 160            /* a candidate that has lost so much since its best place ends there */
#define AHEAD 16384u        /* bytes a candidate goes on at most from where it was found; then it is found again */
#define BACK 4096u
#define NOTHING 0xFFFFFFFFu

/* New bytes [at, end) against old bytes `turn` further on, modulo 2^32. */
struct candidate {
    uint32_t at;
    uint32_t end;
    uint32_t turn;
};

/* A copy on the cheapest way: begins at `at` on a candidate, after `before`, which ended at `before_end`. */
struct step {
    uint32_t turn;
    uint32_t at;
    uint32_t before;
    uint32_t before_end;
};

struct matching {
    const struct nrt_likeness *task;
    struct nrt_suffixes suffixes;
    struct candidate *found;
    uint32_t n_found;
    uint32_t room_found;
    struct step *steps;
    uint32_t n_steps;
    uint32_t room_steps;
};

static int equal_at(const struct nrt_likeness *t, uint32_t at, uint32_t turn)
{
    return t->old_image[at + turn] == t->new_image[at];
}

/* The stretch of the new image for which a diagonal stays within the old one: from *low up to what is returned. */
static uint32_t reach(const struct nrt_likeness *t, uint32_t turn, uint32_t *low)
{
    *low = turn >> 31 != 0 ? 0u - turn : 0;
    uint32_t high = t->old_size - turn;
    return high < t->new_size ? high : t->new_size;
}

/* ---- candidates ------------------------------------------------------------------------------------------------------ */

static struct candidate extended(const struct nrt_likeness *t, uint32_t at, uint32_t turn)
{
    struct candidate c = {at, at, turn};
    uint32_t low;
    uint32_t high = reach(t, turn, &low);
    int score = 0;
    int best = 0;
    for (uint32_t i = at; i < high && i - at < AHEAD && score > best - DROP; i++) {
        score += equal_at(t, i, turn) ? HIT : -MISS;
        if (score > best) {
            best = score;
            c.end = i + 1;
        }
    }
    score = best = 0;
    for (uint32_t i = at; i > low && at - i < BACK && score > best - DROP; i--) {
        score += equal_at(t, i - 1, turn) ? HIT : -MISS;
        if (score > best) {
            best = score;
            c.at = i - 1;
        }
    }
    return c;
}

/* The candidate that the diagonal is part of at `at` already, among the last ones; NULL: none. */
static struct candidate *known(const struct matching *m, uint32_t at, uint32_t turn)
{
    for (uint32_t k = m->n_found; k-- > 0 && m->n_found - k <= 64;)
        if (m->found[k].turn == turn && m->found[k].at <= at && at < m->found[k].end)
            return &m->found[k];
    return NULL;
}

static int add(struct matching *m, const struct candidate *c)
{
    if (m->n_found == m->room_found) {
        uint32_t room = m->room_found * 2u + 256u;
        struct candidate *more = realloc(m->found, room * sizeof *more);
        if (more == NULL)
            return -1;
        m->found = more;
        m->room_found = room;
    }
    m->found[m->n_found++] = *c;
    return 0;
}

static uint32_t hits(const struct nrt_likeness *t, uint32_t at, uint32_t end, uint32_t turn)
{
    uint32_t low;
    uint32_t high = reach(t, turn, &low);
    uint32_t n = 0;
    for (uint32_t i = at < low ? low : at; i < end && i < high; i++)
        n += (uint32_t)equal_at(t, i, turn);
    return n;
}

/* Equal bytes from `at` on along the diagonal, as far as a candidate goes. */
static uint32_t run_of(const struct nrt_likeness *t, uint32_t at, uint32_t turn)
{
    uint32_t low;
    uint32_t high = reach(t, turn, &low);
    if (at < low || at >= high)
        return 0;
    high = high - at < AHEAD ? high : at + AHEAD;
    return nrt_common(t->old_image + (uint32_t)(at + turn), t->new_image + at, high - at);
}

/* The longest equal bytes here or from the next byte on: suffixes begin at even offsets alone. */
static struct nrt_place longest(const struct matching *m, uint32_t at, uint32_t turn)
{
    const struct nrt_likeness *t = m->task;
    struct nrt_place p = nrt_suffixes_find(&m->suffixes, t->new_image + at, t->new_size - at, at + turn);
    struct nrt_place q = nrt_suffixes_find(&m->suffixes, t->new_image + at + 1, t->new_size - at - 1, at + 1 + turn);
    if (q.len > p.len && q.from > 0) {
        p.from = q.from - 1;
        p.len = q.len;
    }
    return p;
}

/* A diagonal on which more is equal than on the one under way, if there is one. */
static int look(struct matching *m, uint32_t at, uint32_t run, uint32_t *turn)
{
    const struct nrt_likeness *t = m->task;
    int under_way = known(m, at, *turn) != NULL;
    if (under_way || run < CERTAIN) {
        struct nrt_place p = longest(m, at, *turn);
        if (p.len < LEAST || (under_way && p.len <= hits(t, at, at + p.len, *turn) + LEAST))
            return 0;
        *turn = p.from - at;
    }
    if (known(m, at, *turn) != NULL)
        return 0;
    struct candidate c = extended(t, at, *turn);
    return add(m, &c);
}

static int search(struct matching *m)
{
    const struct nrt_likeness *t = m->task;
    uint32_t turn = 0;
    uint32_t idle = 0;
    for (uint32_t at = 0; at + LEAST <= t->new_size;) {
        uint32_t run = run_of(t, at, turn);
        if (run < CERTAIN || known(m, at, turn) == NULL) {
            if (look(m, at, run, &turn) < 0)
                return -1;
            run = run_of(t, at, turn);
        }
        idle = run >= LEAST ? 0 : idle + 1;
        const struct candidate *here = known(m, at, turn);
        if (here != NULL && run > here->end - at)
            run = here->end - at;
        uint32_t stride = 1u + idle / PATIENCE;
        at += run + (stride < STRIDE ? stride : STRIDE);
    }
    return 0;
}

/* ---- the cheapest way ------------------------------------------------------------------------------------------------ */

struct lane {
    const struct candidate *c;
    int64_t cost;
    uint32_t step;
};

/* What is known at one place of the new image. */
struct front {
    struct lane lane[ACTIVE];
    uint32_t n;
    uint32_t next;          /* candidate that comes next */
    int64_t plain;          /* cost of a way that ends in literals */
    uint32_t step;          /* and its last copy */
    uint32_t step_end;
};

static int by_start(const void *a, const void *b)
{
    const struct candidate *c = a;
    const struct candidate *d = b;
    if (c->at != d->at)
        return c->at < d->at ? -1 : 1;
    if (c->turn != d->turn)
        return c->turn < d->turn ? -1 : 1;
    return (c->end > d->end) - (c->end < d->end);
}

/* Candidates that begin here come in, those that are over go out; when too many are there, the dearest goes. */
static void turn_over(struct matching *m, struct front *f, uint32_t at)
{
    for (uint32_t k = f->n; k-- > 0;)
        if (f->lane[k].c->end <= at)
            f->lane[k] = f->lane[--f->n];
    for (; f->next < m->n_found && m->found[f->next].at <= at; f->next++) {
        uint32_t place = f->n;
        if (m->found[f->next].end <= at)
            continue;
        if (place == ACTIVE) {
            place = 0;
            for (uint32_t k = 1; k < ACTIVE; k++)
                if (f->lane[k].cost > f->lane[place].cost)
                    place = k;
        } else {
            f->n++;
        }
        f->lane[place] = (struct lane){&m->found[f->next], INT64_MAX / 2, NOTHING};
    }
}

static int enter(struct matching *m, struct lane *lane, const struct front *f, uint32_t at, int64_t cost)
{
    if (m->n_steps == m->room_steps) {
        uint32_t room = m->room_steps * 2u + 1024u;
        struct step *more = room > m->task->new_size / 4u + 2048u ? NULL : realloc(m->steps, room * sizeof *more);
        if (more == NULL)
            return -1;
        m->steps = more;
        m->room_steps = room;
    }
    m->steps[m->n_steps] = (struct step){lane->c->turn, at, f->step, f->step_end};
    lane->step = m->n_steps++;
    lane->cost = cost;
    return 0;
}

/* One byte further: each way goes on or begins, then pays. */
static void advance(struct matching *m, struct front *f, uint32_t at)
{
    for (uint32_t k = 0; k < f->n; k++) {
        struct lane *lane = &f->lane[k];
        int equal = equal_at(m->task, at, lane->c->turn);
        int again = f->step != NOTHING && m->steps[f->step].turn == lane->c->turn;
        int64_t cost = f->plain + (again ? REOPEN : OPEN);
        if (equal && cost < lane->cost)
            (void)enter(m, lane, f, at, cost);   /* without room the way goes on as it was */
        lane->cost += equal ? 0 : HIT + MISS;
    }
    f->plain += HIT;
    for (uint32_t k = 0; k < f->n; k++)
        if (f->lane[k].cost < f->plain) {
            f->plain = f->lane[k].cost;
            f->step = f->lane[k].step;
            f->step_end = at + 1;
        }
}

static uint32_t cheapest(struct matching *m, uint32_t *end)
{
    struct front f = {.plain = 0, .step = NOTHING};
    if (m->n_found > 0)
        qsort(m->found, m->n_found, sizeof *m->found, by_start);
    for (uint32_t at = 0; at < m->task->new_size; at++) {
        if (f.n == 0) {
            if (f.next == m->n_found)
                break;
            if (m->found[f.next].at > at) {
                f.plain += (int64_t)(m->found[f.next].at - at) * HIT;
                at = m->found[f.next].at;
            }
        }
        turn_over(m, &f, at);
        advance(m, &f, at);
    }
    *end = f.step_end;
    return f.step;
}

/* Writes the copies of the way that ends with `step`, in image order. */
static int64_t told(const struct matching *m, uint32_t step, uint32_t end)
{
    const struct nrt_likeness *t = m->task;
    uint32_t n = 0;
    for (uint32_t s = step; s != NOTHING; s = m->steps[s].before)
        n++;
    if (n > t->room)
        return -2;
    for (uint32_t k = n; k-- > 0; step = m->steps[step].before) {
        const struct step *s = &m->steps[step];
        t->out[3 * k] = s->at;
        t->out[3 * k + 1] = s->at + s->turn;
        t->out[3 * k + 2] = end - s->at;
        end = s->before_end;
    }
    return n;
}

int64_t nrt_match(const struct nrt_likeness *task)
{
    struct matching m = {.task = task};
    int64_t n = -1;
    if (nrt_suffixes_open(&m.suffixes, task->old_image, task->old_size) == 0 && search(&m) == 0) {
        nrt_suffixes_close(&m.suffixes);
        uint32_t end = 0;
        uint32_t step = cheapest(&m, &end);
        n = told(&m, step, end);
    }
    nrt_suffixes_close(&m.suffixes);
    free(m.found);
    free(m.steps);
    return n;
}
