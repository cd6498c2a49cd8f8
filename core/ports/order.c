/* order.c - a walk over orders that takes steps uphill too, ever smaller ones, and remembers the best place it has seen. */
#include "order.h"

#include <stdlib.h>
#include <string.h>

struct debt {
    uint32_t other;
    uint32_t takes;
    uint32_t gives;
};

struct search {
    const uint32_t *needs;
    uint32_t n_needs;
    uint32_t units;
    uint32_t joint;
    uint32_t *first;      /* of each unit's debts; one more at the end */
    struct debt *debts;
    uint32_t *order;
    uint32_t *place;
    uint32_t *tried;
    uint32_t *best;
    uint64_t work;
    uint64_t seed;
};

static uint32_t dice(struct search *s, uint32_t n)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(((s->seed >> 32) * n) >> 32);
}

/* 1: what stands at place `from` is gone when what stands at place `at` is decoded. */
static int gone(const struct search *s, uint32_t from, uint32_t at)
{
    return s->joint == 0 ? from + 1 < at : from / s->joint < at / s->joint;
}

static uint64_t owed(struct search *s, uint32_t unit)
{
    uint64_t total = 0;
    uint32_t at = s->place[unit];
    for (uint32_t i = s->first[unit]; i < s->first[unit + 1]; i++) {
        const struct debt *d = &s->debts[i];
        uint32_t there = s->place[d->other];
        total += gone(s, there, at) ? d->takes : gone(s, at, there) ? d->gives : 0;
    }
    s->work += s->first[unit + 1] - s->first[unit] + 1u;
    return total;
}

static uint64_t between(const struct search *s, uint32_t unit, uint32_t other)
{
    for (uint32_t i = s->first[unit]; i < s->first[unit + 1]; i++)
        if (s->debts[i].other == other)
            return gone(s, s->place[other], s->place[unit])   ? s->debts[i].takes
                   : gone(s, s->place[unit], s->place[other]) ? s->debts[i].gives
                                                              : 0;
    return 0;
}

static uint64_t lost(struct search *s)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < s->n_needs; i++)
        if (gone(s, s->place[s->needs[3 * i + 1]], s->place[s->needs[3 * i]]))
            total += s->needs[3 * i + 2];
    s->work += s->n_needs;
    return total;
}

static void settle(struct search *s)
{
    for (uint32_t i = 0; i < s->units; i++)
        s->place[s->order[i]] = i;
}

static void set(struct search *s, uint32_t i, uint32_t unit)
{
    s->order[i] = unit;
    s->place[unit] = i;
}

/* Two change places: what that costs, unless it is more than `bound`; then they do not. */
static int64_t exchange(struct search *s, uint32_t i, uint32_t k, int64_t bound)
{
    uint32_t u = s->order[i];
    uint32_t v = s->order[k];
    int64_t before = (int64_t)(owed(s, u) + owed(s, v) - between(s, u, v));
    set(s, i, v);
    set(s, k, u);
    int64_t cost = (int64_t)(owed(s, u) + owed(s, v) - between(s, u, v)) - before;
    if (cost <= bound)
        return cost;
    set(s, i, u);
    set(s, k, v);
    return 0;
}

/* One goes to another place, those between move up. */
static int64_t move(struct search *s, uint32_t from, uint32_t to, int64_t now, int64_t bound)
{
    uint32_t unit = s->order[from];
    memcpy(s->tried, s->order, s->units * sizeof *s->order);
    if (from < to)
        memmove(s->order + from, s->order + from + 1, (to - from) * sizeof *s->order);
    else
        memmove(s->order + to + 1, s->order + to, (from - to) * sizeof *s->order);
    s->order[to] = unit;
    settle(s);
    int64_t cost = (int64_t)lost(s) - now;
    if (cost <= bound)
        return cost;
    memcpy(s->order, s->tried, s->units * sizeof *s->order);
    settle(s);
    return 0;
}

/* Uphill by less and less: `heat` falls with the square of what is left of the work. */
static uint64_t walk(struct search *s, uint64_t work, uint64_t heat)
{
    uint64_t now = lost(s);
    uint64_t best = now;
    uint64_t begun = s->work;
    memcpy(s->best, s->order, s->units * sizeof *s->order);
    while (best > 0 && s->work - begun < work) {
        uint64_t left = 1024u - (s->work - begun) * 1024u / work;
        uint64_t warm = (heat * left >> 10) * left >> 10;
        int64_t bound = (int64_t)(warm * dice(s, 1024) / 1024u * dice(s, 1024) / 1024u);
        uint32_t i = dice(s, s->units);
        uint32_t k = dice(s, s->units);
        if (i == k)
            continue;
        int64_t cost = dice(s, 4) == 0 ? move(s, i, k, (int64_t)now, bound) : exchange(s, i, k, bound);
        now = (uint64_t)((int64_t)now + cost);
        if (now < best) {
            best = now;
            memcpy(s->best, s->order, s->units * sizeof *s->order);
        }
    }
    memcpy(s->order, s->best, s->units * sizeof *s->order);
    settle(s);
    return best;
}

static void owe(struct search *s, uint32_t *used, uint32_t unit, uint32_t other, uint32_t takes, uint32_t gives)
{
    for (uint32_t i = s->first[unit]; i < s->first[unit] + used[unit]; i++)
        if (s->debts[i].other == other) {
            s->debts[i].takes += takes;
            s->debts[i].gives += gives;
            return;
        }
    s->debts[s->first[unit] + used[unit]++] = (struct debt){other, takes, gives};
}

/* Debts of each unit, both ways, one after the other: `first` is room for the most there can be, then what there is. */
static int list_debts(struct search *s)
{
    uint32_t *used = calloc(s->units + 1u, sizeof *used);
    if (used == NULL)
        return 0;
    for (uint32_t i = 0; i < s->n_needs; i++) {
        s->first[s->needs[3 * i] + 1]++;
        s->first[s->needs[3 * i + 1] + 1]++;
    }
    for (uint32_t u = 0; u < s->units; u++)
        s->first[u + 1] += s->first[u];
    for (uint32_t i = 0; i < s->n_needs; i++) {
        const uint32_t *n = s->needs + 3 * i;
        owe(s, used, n[0], n[1], n[2], 0);
        owe(s, used, n[1], n[0], 0, n[2]);
    }
    free(used);
    return 1;
}

static uint64_t heat_of(const struct search *s)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < s->n_needs; i++)
        total += s->needs[3 * i + 2];
    return s->n_needs > 0 ? 2u * total / s->n_needs + 1u : 1u;
}

uint64_t nrt_order(const uint32_t *needs, uint32_t n_needs, uint32_t units, uint32_t joint, uint32_t *order, uint32_t work)
{
    struct search s = {needs, n_needs, units, joint, NULL, NULL, order, NULL, NULL, NULL, 0, 1};
    uint64_t best = UINT64_MAX;
    s.first = calloc(units + 2u, sizeof *s.first);
    s.debts = calloc(2u * n_needs + 1u, sizeof *s.debts);
    s.place = calloc(units + 1u, sizeof *s.place);
    s.tried = calloc(units + 1u, sizeof *s.tried);
    s.best = calloc(units + 1u, sizeof *s.best);
    if (s.first != NULL && s.debts != NULL && s.place != NULL && s.tried != NULL && s.best != NULL && list_debts(&s)) {
        settle(&s);
        best = units > 1 ? walk(&s, work, heat_of(&s)) : lost(&s);
    }
    free(s.first);
    free(s.debts);
    free(s.place);
    free(s.tried);
    free(s.best);
    return best;
}
