/* encode_full.c - full images, group after group: a shortest path over each group, by prices that the model itself named the
 * time before. What a copy and a literal cost is guessed; what the decoder is told is not. */
#include "encode_full.h"

#include <stdlib.h>
#include <string.h>

#include "price.h"
#include "small.h"
#include "writer.h"

#define NOWHERE 0xFFFFFFFFu
#define HEADS 65536u
#define CHAIN 200u      /* places looked at for one byte */
#define LONGEST 512u    /* bytes of a copy */
#define PASSES 3
#define UNIT NRT_PRICE_BIT
#define CLASSES 16u     /* bit lengths of a number that are priced apart */

/* How a byte is reached on the cheapest way: by a copy of `len` bytes from `distance` before; 0: it is a literal. */
struct step {
    uint32_t cost;
    uint32_t len;
    uint32_t distance;
    uint32_t last;      /* distance of the last copy on this way */
};

struct prices {
    uint32_t item[2];
    uint32_t far[CLASSES];
    uint32_t len[CLASSES];
};

struct counts {
    uint32_t item[2];
    uint32_t far[CLASSES];
    uint32_t len[CLASSES];
};

struct nrt_whole {
    const uint8_t *image;
    uint32_t size;
    uint32_t group;
    uint32_t window;
    uint32_t at;                /* the next group begins here */
    uint32_t last;
    struct nrt_small *model;
    struct step *steps;         /* one more than bytes in a group */
    uint32_t *literal;          /* price of each byte as a literal */
    uint32_t *copy;             /* of each byte: length of the copy that begins here, 0: literal */
    uint32_t *distance;
    uint32_t *head;
    uint32_t *next;
    struct prices price;
    struct counts count;
    struct nrt_prices decision;
};

/* ---- prices ---------------------------------------------------------------------------------------------------------- */

static uint32_t class_of(uint32_t v)
{
    uint32_t n = nrt_length_of(v);
    return n < CLASSES ? n : CLASSES - 1;
}

static uint32_t number(const uint32_t *classes, uint32_t v)
{
    uint32_t n = nrt_length_of(v);
    return classes[n < CLASSES ? n : CLASSES - 1] + (n > 1 ? (n - 1) * UNIT : 0);
}

static uint32_t half_of(uint32_t distance, uint32_t last)
{
    return distance == last ? 0 : (distance + 1) >> 1;
}

static uint32_t copy_price(const struct nrt_whole *w, uint32_t distance, uint32_t last)
{
    return w->price.item[1] + number(w->price.far, half_of(distance, last)) + (distance == last ? 0 : UNIT);
}

static void price_of(const uint32_t *count, uint32_t *price, uint32_t n)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += count[i] + 1u;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t p = ((uint64_t)count[i] + 1u) * 65535u / total;
        price[i] = nrt_price(p > 0 ? (uint32_t)p : 1u);
    }
}

static void price_anew(struct nrt_whole *w)
{
    price_of(w->count.item, w->price.item, 2);
    price_of(w->count.far, w->price.far, CLASSES);
    price_of(w->count.len, w->price.len, CLASSES);
    memset(&w->count, 0, sizeof w->count);
}

/* ---- the cheapest way through a group -------------------------------------------------------------------------------- */

static void reach(struct nrt_whole *w, uint32_t i, uint32_t len, uint32_t distance, uint32_t cost)
{
    struct step *to = &w->steps[i + (len > 0 ? len : 1)];
    if (cost >= to->cost)
        return;
    *to = (struct step){cost, len, distance, len > 0 ? distance : w->steps[i].last};
}

static uint32_t equal(const struct nrt_whole *w, uint32_t at, uint32_t from, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && w->image[at + n] == w->image[from + n])
        n++;
    return n;
}

/* Copies from `distance` back, longer than `from` bytes; the longest there is. */
static uint32_t offer(struct nrt_whole *w, uint32_t start, uint32_t i, uint32_t distance, uint32_t from, uint32_t most)
{
    uint32_t at = start + i;
    uint32_t n = equal(w, at, at - distance, most);
    uint32_t base = w->steps[i].cost + copy_price(w, distance, w->steps[i].last);
    for (uint32_t len = from + 1; len <= n; len++)
        reach(w, i, len, distance, base + number(w->price.len, len - 1));
    return n;
}

static uint32_t pair_at(const struct nrt_whole *w, uint32_t at)
{
    return (uint32_t)w->image[at] | (uint32_t)w->image[at + 1] << 8;
}

static void find_ways(struct nrt_whole *w, uint32_t start, uint32_t end)
{
    for (uint32_t i = 0; i <= end - start; i++)
        w->steps[i] = (struct step){NOWHERE, 0, 0, 0};
    w->steps[0] = (struct step){0, 0, 0, w->last};
    for (uint32_t at = start; at < end; at++) {
        uint32_t i = at - start;
        uint32_t most = end - at < LONGEST ? end - at : LONGEST;
        uint32_t longest = 1;
        uint32_t tried = 0;
        reach(w, i, 0, 0, w->steps[i].cost + w->price.item[0] + w->literal[at]);
        if (w->steps[i].last != 0 && w->steps[i].last <= at)
            (void)offer(w, start, i, w->steps[i].last, 0, most);
        if (at + 2 > w->size)
            continue;
        uint32_t *head = &w->head[pair_at(w, at)];
        for (uint32_t p = *head; p != NOWHERE && at - p <= w->window && tried < CHAIN && longest < most; p = w->next[p], tried++) {
            uint32_t n = longest > 1 && w->image[p + longest] != w->image[at + longest] ? 0 : offer(w, start, i, at - p, longest, most);
            longest = n > longest ? n : longest;
        }
        w->next[at] = *head;
        *head = at;
    }
}

static void take_way(struct nrt_whole *w, uint32_t start, uint32_t end)
{
    for (uint32_t i = end - start; i > 0;) {
        const struct step *s = &w->steps[i];
        i -= s->len > 0 ? s->len : 1;
        w->copy[start + i] = s->len;
        w->distance[start + i] = s->distance;
    }
    w->last = w->steps[end - start].last;
}

static void choose(struct nrt_whole *w)
{
    memset(w->head, 0xFF, HEADS * sizeof *w->head);
    w->last = 0;
    for (uint32_t at = 0; at < w->size; at += w->group) {
        uint32_t end = w->size - at < w->group ? w->size : at + w->group;
        find_ways(w, at, end);
        take_way(w, at, end);
    }
}

/* ---- coding ---------------------------------------------------------------------------------------------------------- */

struct scale {
    struct nrt_bits bits;
    const struct nrt_prices *decision;
    struct nrt_bits *behind;   /* NULL: only weighed */
    uint64_t weight;
};

static int weigh(struct nrt_bits *b, uint32_t p1, int bit)
{
    struct scale *s = (struct scale *)(void *)b;
    s->weight += nrt_price_of(s->decision, p1, bit);
    return s->behind != NULL ? s->behind->code(s->behind, p1, bit) : bit;
}

static void code_literal(struct nrt_whole *w, struct scale *s, uint32_t at)
{
    s->weight = 0;
    (void)nrt_small_literal(w->model, &s->bits, at, w->image[at]);
    w->literal[at] = (uint32_t)s->weight;
}

static void code_copy(struct nrt_whole *w, struct scale *s, uint32_t at)
{
    uint32_t distance = w->distance[at];
    uint32_t len = w->copy[at];
    w->count.far[class_of(half_of(distance, w->model->back))]++;
    w->count.len[class_of(len - 1)]++;
    (void)nrt_small_back(w->model, &s->bits, &distance, &len);
    for (uint32_t i = 0; i < w->copy[at]; i++)
        nrt_small_remember(w->model, w->image[at + i]);
}

static void code_group(struct nrt_whole *w, struct nrt_bits *behind)
{
    struct scale s = {{weigh}, &w->decision, behind, 0};
    uint32_t end = w->size - w->at < w->group ? w->size : w->at + w->group;
    if (w->at == 0)
        nrt_small_reset(w->model);
    else
        nrt_small_rest(w->model);
    (void)s.bits.code(&s.bits, 0x8000u, 0);   /* not primed */
    while (w->at < end) {
        uint32_t len = w->copy[w->at];
        w->count.item[len > 0]++;
        (void)nrt_small_item(w->model, &s.bits, w->at, len > 0);
        if (len > 0)
            code_copy(w, &s, w->at);
        else
            code_literal(w, &s, w->at);
        w->at += len > 0 ? len : 1;
    }
}

int64_t nrt_whole_group(struct nrt_whole *w, uint8_t *out, uint32_t cap)
{
    struct nrt_writer to;
    nrt_writer_open(&to, out, cap);
    code_group(w, &to.bits);
    return nrt_writer_close(&to);
}

/* What each byte costs where nothing is copied; then ways by prices that the way before had. */
static void settle(struct nrt_whole *w)
{
    struct scale s = {{weigh}, &w->decision, NULL, 0};
    nrt_prices_open(&w->decision);
    nrt_small_reset(w->model);
    for (uint32_t at = 0; at < w->size; at++)
        code_literal(w, &s, at);
    w->count = (struct counts){{6, 1}, {2, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3}, {2, 3, 3, 2, 1, 1}};
    for (int pass = 0; pass < PASSES; pass++) {
        price_anew(w);
        choose(w);
        if (pass + 1 == PASSES)
            break;
        for (w->at = 0; w->at < w->size;)
            code_group(w, NULL);
    }
    w->at = 0;
}

void nrt_whole_close(struct nrt_whole *w)
{
    if (w == NULL)
        return;
    free(w->model);
    free(w->steps);
    free(w->literal);
    free(w->copy);
    free(w->distance);
    free(w->head);
    free(w->next);
    free(w);
}

struct nrt_whole *nrt_whole_open(const uint8_t *image, uint32_t size, uint32_t group, uint32_t window)
{
    struct nrt_whole *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->image = image;
    w->size = size;
    w->group = group;
    w->window = window;
    w->model = calloc(1, sizeof *w->model);
    w->steps = calloc(group + 1u, sizeof *w->steps);
    w->literal = calloc(size, sizeof *w->literal);
    w->copy = calloc(size, sizeof *w->copy);
    w->distance = calloc(size, sizeof *w->distance);
    w->head = calloc(HEADS, sizeof *w->head);
    w->next = calloc(size, sizeof *w->next);
    if (w->model == NULL || w->steps == NULL || w->literal == NULL || w->copy == NULL || w->distance == NULL || w->head == NULL ||
        w->next == NULL) {
        nrt_whole_close(w);
        return NULL;
    }
    settle(w);
    return w;
}
