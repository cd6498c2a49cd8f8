/* encode_choose.c - what a group is made of: parts of segments, copies among the literals between them, literals. It chooses
 * before anything is coded, and once, however often the group is then coded; it must never know the model's bits. */
#include <stdlib.h>

#include "encoder.h"

#define NOISE_FROM 2048u    /* literals from which it is seen whether they are compressed or encrypted: */
#define NOISE 1996u         /* each costs so much by how often it occurs, 7.8 bits in prices */
#define LAZY 8              /* half bits by which a copy from the next byte on must be better */

/* The best copy at one place; `gain` 0: none. */
struct pick {
    int gain;
    struct nrt_item item;
};

static struct pick best_at(struct nrt_encoder *e, uint32_t at, uint32_t end)
{
    struct nrt_segment s = {at, 0, 0};
    uint32_t distance = 0;
    uint32_t len = 0;
    int far = e->task.old_size > 0 ? nrt_find_copy(e, at, end, &s) : 0;
    int back = nrt_find_back(e, at, end, &distance, &len);
    if (back > far)
        return (struct pick){back, {NRT_BACK, {at, distance, len}}};
    return (struct pick){far, {NRT_FAR, s}};
}

static void add(struct nrt_encoder *e, enum nrt_item_kind kind, struct nrt_segment s)
{
    struct nrt_item *last = e->n_items > 0 ? &e->items[e->n_items - 1] : NULL;
    if (kind == NRT_LITERALS && last != NULL && last->kind == NRT_LITERALS)
        last->s.len += s.len;
    else
        e->items[e->n_items++] = (struct nrt_item){kind, s};
}

/* Literals of the group, where no model makes them fewer; 0 where they are few or one might. */
static uint32_t noise_of(const struct nrt_encoder *e)
{
    uint32_t count[256] = {0};
    uint32_t n = 0;
    uint64_t cost = 0;
    for (uint32_t i = 0; i < e->n_items; i++) {
        const struct nrt_segment *s = &e->items[i].s;
        for (uint32_t k = 0; e->items[i].kind == NRT_LITERALS && k < s->len; k++, n++)
            count[e->task.new_image[s->at + k]]++;
    }
    for (uint32_t c = 0; n >= NOISE_FROM && c < 256; c++) {
        uint64_t share = ((uint64_t)count[c] << 16) / n;
        /* One of more than 65,536 rounds to nothing, which has no price. */
        cost += count[c] > 0 ? (uint64_t)count[c] * nrt_price(share > 0 ? (uint32_t)share : 1u) : 0;
    }
    return cost > (uint64_t)n * NOISE ? n : 0;
}

/* Between two segments. */
static void fill(struct nrt_encoder *e, uint32_t at, uint32_t end)
{
    struct pick here = best_at(e, at, end);
    while (at < end) {
        struct pick next = {0, {NRT_LITERALS, {at, 0, 1}}};
        int is_known = here.gain > 0 && at + 1 < end;
        if (is_known)
            next = best_at(e, at + 1, end);
        if (here.gain <= 0 || next.gain > here.gain + LAZY) {
            add(e, NRT_LITERALS, (struct nrt_segment){at, 0, 1});
            at++;
        } else {
            add(e, here.item.kind, here.item.s);
            if (here.item.kind == NRT_FAR)
                e->diagonal = here.item.s.from - at;
            else
                e->back = here.item.s.from;
            at += here.item.s.len;
            is_known = 0;
        }
        if (at < end)
            here = is_known ? next : best_at(e, at, end);
    }
}

int nrt_choose(struct nrt_encoder *e, uint32_t start, uint32_t end)
{
    uint32_t i = 0;
    struct nrt_item *room = realloc(e->items, (end - start + 1u) * sizeof *room);
    if (room == NULL)
        return -1;
    e->items = room;
    e->n_items = 0;
    while (i < e->task.n_segments && e->segments[i].at + e->segments[i].len <= start)
        i++;
    for (uint32_t at = start; at < end;) {
        const struct nrt_segment *s = i < e->task.n_segments ? &e->segments[i] : NULL;
        uint32_t stop = end;
        if (s != NULL && s->len == 0) {
            i++;   /* it only tells the map something */
            continue;
        }
        if (s != NULL && s->at <= at) {
            stop = s->at + s->len < end ? s->at + s->len : end;
            e->items[e->n_items++] = (struct nrt_item){NRT_SEGMENT, {at, i, stop - at}};
            e->diagonal = s->from - s->at;
            i++;
        } else {
            stop = s != NULL && s->at < end ? s->at : end;
            fill(e, at, stop);
        }
        at = stop;
    }
    e->noise = noise_of(e);
    return 0;
}
