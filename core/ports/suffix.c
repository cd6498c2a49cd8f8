/* suffix.c - a suffix array by induced sorting (Nong, Zhang and Chan 2009) over pairs of bytes, and the search in it. It knows
 * one text; what is done with a place found there is match.c's business. */
#include "suffix.h"

#include <stdlib.h>
#include <string.h>

#define NONE 0xFFFFFFFFu
#define PAIRS 65536u
#define LOOK 6u             /* neighbours looked at on either side for one that is nearer */
#define LONGEST 4096u       /* bytes compared at most: longer ones are found by going on along their diagonal */

/* A text of numbers below `symbols`; the last one is 0 and stands nowhere else. */
struct numbers {
    const uint32_t *text;
    uint32_t *sorted;
    uint32_t n;
    uint32_t symbols;
    uint32_t *bucket;
    uint8_t *small;         /* one bit a place: its suffix is smaller than the next one's */
};

static int is_small(const struct numbers *t, uint32_t i)
{
    return t->small[i >> 3] >> (i & 7u) & 1;
}

/* A smaller suffix whose neighbour to the left is a larger one. */
static int is_leftmost(const struct numbers *t, uint32_t i)
{
    return i > 0 && is_small(t, i) && !is_small(t, i - 1);
}

static void classify(struct numbers *t)
{
    memset(t->small, 0, t->n / 8 + 1);
    t->small[(t->n - 1) >> 3] |= (uint8_t)(1u << ((t->n - 1) & 7u));
    for (uint32_t i = t->n - 1; i-- > 0;)
        if (t->text[i] < t->text[i + 1] || (t->text[i] == t->text[i + 1] && is_small(t, i + 1)))
            t->small[i >> 3] |= (uint8_t)(1u << (i & 7u));
}

/* Where each symbol's suffixes begin, or end. */
static void fill_buckets(struct numbers *t, int ends)
{
    uint32_t sum = 0;
    memset(t->bucket, 0, t->symbols * sizeof *t->bucket);
    for (uint32_t i = 0; i < t->n; i++)
        t->bucket[t->text[i]]++;
    for (uint32_t c = 0; c < t->symbols; c++) {
        uint32_t count = t->bucket[c];
        t->bucket[c] = ends ? sum + count : sum;
        sum += count;
    }
}

static void induce(struct numbers *t)
{
    fill_buckets(t, 0);
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t j = t->sorted[i];
        if (j != NONE && j > 0 && !is_small(t, j - 1))
            t->sorted[t->bucket[t->text[j - 1]]++] = j - 1;
    }
    fill_buckets(t, 1);
    for (uint32_t i = t->n; i-- > 0;) {
        uint32_t j = t->sorted[i];
        if (j != NONE && j > 0 && is_small(t, j - 1))
            t->sorted[--t->bucket[t->text[j - 1]]] = j - 1;
    }
}

static int same_piece(const struct numbers *t, uint32_t a, uint32_t b)
{
    for (uint32_t d = 0;; d++) {
        if (a + d >= t->n || b + d >= t->n || t->text[a + d] != t->text[b + d] || is_small(t, a + d) != is_small(t, b + d))
            return 0;
        if (d > 0 && (is_leftmost(t, a + d) || is_leftmost(t, b + d)))
            return is_leftmost(t, a + d) && is_leftmost(t, b + d);
    }
}

/* Gives the sorted pieces between leftmost places their ranks; sorted[count..] holds them by half their place. How many ranks. */
static uint32_t name_pieces(struct numbers *t, uint32_t count)
{
    uint32_t names = 0;
    uint32_t last = NONE;
    memset(t->sorted + count, 0xFF, (t->n - count) * sizeof *t->sorted);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = t->sorted[i];
        if (last == NONE || !same_piece(t, last, place))
            names++;
        last = place;
        t->sorted[count + place / 2] = names - 1;
    }
    for (uint32_t i = t->n, j = t->n; i-- > count;)
        if (t->sorted[i] != NONE)
            t->sorted[--j] = t->sorted[i];
    return names;
}

static int sort(struct numbers *t);

/* Sorts the suffixes that begin at leftmost places, given the ranks of their pieces at the end of `sorted`. */
static int sort_leftmost(struct numbers *t, uint32_t count, uint32_t names)
{
    uint32_t *ranks = t->sorted + (t->n - count);
    if (names < count) {
        struct numbers shorter = {ranks, t->sorted, count, names, NULL, NULL};
        return sort(&shorter);
    }
    for (uint32_t i = 0; i < count; i++)
        t->sorted[ranks[i]] = i;
    return 0;
}

static void put_leftmost(struct numbers *t, uint32_t count)
{
    uint32_t *places = t->sorted + (t->n - count);
    for (uint32_t i = 1, j = 0; i < t->n; i++)
        if (is_leftmost(t, i))
            places[j++] = i;
    for (uint32_t i = 0; i < count; i++)
        t->sorted[i] = places[t->sorted[i]];
    memset(t->sorted + count, 0xFF, (t->n - count) * sizeof *t->sorted);
    fill_buckets(t, 1);
    for (uint32_t i = count; i-- > 0;) {
        uint32_t j = t->sorted[i];
        t->sorted[i] = NONE;
        t->sorted[--t->bucket[t->text[j]]] = j;
    }
}

static int sort(struct numbers *t)
{
    uint32_t count = 0;
    int rc = -1;
    t->bucket = malloc(t->symbols * sizeof *t->bucket);
    t->small = malloc(t->n / 8 + 1);
    if (t->bucket != NULL && t->small != NULL) {
        classify(t);
        memset(t->sorted, 0xFF, t->n * sizeof *t->sorted);
        fill_buckets(t, 1);
        for (uint32_t i = 1; i < t->n; i++)
            if (is_leftmost(t, i))
                t->sorted[--t->bucket[t->text[i]]] = i;
        induce(t);
        for (uint32_t i = 0; i < t->n; i++)
            if (t->sorted[i] != NONE && is_leftmost(t, t->sorted[i]))
                t->sorted[count++] = t->sorted[i];
        rc = sort_leftmost(t, count, name_pieces(t, count));
        if (rc == 0) {
            put_leftmost(t, count);
            induce(t);
        }
    }
    free(t->bucket);
    free(t->small);
    return rc;
}

static uint32_t pair_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

int nrt_suffixes_open(struct nrt_suffixes *s, const uint8_t *text, uint32_t size)
{
    uint32_t n = size / NRT_SUFFIX_STEP;
    uint32_t *pairs = malloc((n + 1u) * sizeof *pairs);
    struct numbers t = {pairs, NULL, n + 1u, PAIRS + 1u, NULL, NULL};
    int rc = -1;
    memset(s, 0, sizeof *s);
    s->text = text;
    s->size = n * NRT_SUFFIX_STEP;
    s->n = n;
    s->sorted = t.sorted = malloc((n + 1u) * sizeof *t.sorted);
    s->first = calloc(PAIRS + 1u, sizeof *s->first);
    if (pairs != NULL && s->sorted != NULL && s->first != NULL) {
        for (uint32_t i = 0; i < n; i++) {
            pairs[i] = pair_at(text + 2 * i) + 1u;
            s->first[pair_at(text + 2 * i) + 1u]++;
        }
        pairs[n] = 0;
        for (uint32_t c = 1; c <= PAIRS; c++)
            s->first[c] += s->first[c - 1];
        rc = n == 0 ? 0 : sort(&t);
    }
    free(pairs);
    if (rc < 0)
        nrt_suffixes_close(s);
    return rc;
}

void nrt_suffixes_close(struct nrt_suffixes *s)
{
    free(s->sorted);
    free(s->first);
    memset(s, 0, sizeof *s);
}

uint32_t nrt_common(const uint8_t *a, const uint8_t *b, uint32_t most)
{
    uint32_t i = 0;
    while (most - i >= 16 && memcmp(a + i, b + i, 16) == 0)
        i += 16;
    while (i < most && a[i] == b[i])
        i++;
    return i;
}

/* The suffix of rank i (the end of the text has rank 0 and is left out). */
static uint32_t offset_of(const struct nrt_suffixes *s, uint32_t i)
{
    return s->sorted[i + 1u] * NRT_SUFFIX_STEP;
}

static uint32_t equal_from(const struct nrt_suffixes *s, uint32_t i, const uint8_t *want, uint32_t len, uint32_t known)
{
    uint32_t at = offset_of(s, i);
    uint32_t most = s->size - at < len ? s->size - at : len;
    return known + nrt_common(s->text + at + known, want + known, most - known);
}

static uint32_t distance(uint32_t a, uint32_t b)
{
    return a < b ? b - a : a - b;
}

/* Among the neighbours of rank i that share `best.len` bytes with it, the one nearest to `near`. */
static struct nrt_place nearest(const struct nrt_suffixes *s, uint32_t i, struct nrt_place best, const uint8_t *want, uint32_t near)
{
    for (int down = 0; down < 2; down++)
        for (uint32_t k = 1; k <= LOOK; k++) {
            uint32_t j = down ? i - k : i + k;
            if (j >= s->n || s->size - offset_of(s, j) < best.len || memcmp(s->text + offset_of(s, j), want, best.len) != 0)
                break;
            if (distance(offset_of(s, j), near) < distance(best.from, near))
                best.from = offset_of(s, j);
        }
    return best;
}

struct nrt_place nrt_suffixes_find(const struct nrt_suffixes *s, const uint8_t *want, uint32_t len, uint32_t near)
{
    struct nrt_place best = {0, 0};
    uint32_t rank = 0;
    if (len < 2 || s->n == 0)
        return best;
    if (len > LONGEST)
        len = LONGEST;
    uint32_t low = s->first[pair_at(want)];
    uint32_t high = s->first[pair_at(want) + 1u];
    uint32_t below = 2;     /* bytes known to be equal at low - 1 and at high, within these */
    uint32_t above = 2;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        uint32_t equal = equal_from(s, mid, want, len, below < above ? below : above);
        uint32_t at = offset_of(s, mid);
        if (equal > best.len) {
            best.from = at;
            best.len = equal;
            rank = mid;
        }
        if (equal == len)
            break;
        if (at + equal >= s->size || s->text[at + equal] < want[equal]) {
            low = mid + 1;
            below = equal;
        } else {
            high = mid;
            above = equal;
        }
    }
    return best.len == 0 ? best : nearest(s, rank, best, want, near);
}
