/* large_mix.c - many opinions on one bit become one: two sets of weights, then two corrections, in integers, the same on
 * every machine (docs/spec/delta.md 11). */
#include "large_mix.h"

#include "mixer.h"

static const uint8_t trust[8] = {0, 110, 150, 180, 200, 215, 228, 240};

int32_t nrt_opinion(uint32_t p, uint32_t seen)
{
    return seen >= 8 ? nrt_stretch(p) : nrt_stretch(p) * trust[seen] / 256;
}

int32_t nrt_lean(uint32_t p, int32_t first, uint32_t seen)
{
    int32_t x = nrt_stretch(p);
    return seen >= 8 ? x : (x * trust[seen] + first * (256 - trust[seen])) / 256;
}

void nrt_mixing_reset(struct nrt_mixing *m, uint32_t n, int32_t first, int32_t others)
{
    m->n = n;
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t i = 0; i < NRT_LARGE_SETS_A; i++)
            m->a[i][k] = k == 0 ? first : others;
        for (uint32_t i = 0; i < NRT_LARGE_SETS_B; i++)
            m->b[i][k] = k == 0 ? first : others;
    }
    for (uint32_t j = 0; j < NRT_LARGE_STEPS; j++) {
        uint32_t p = nrt_squash(((int32_t)j - 16) * 256);
        for (uint32_t i = 0; i < 1024; i++)
            m->fix[0][i][j] = m->fix[1][i][j] = (uint16_t)p;
    }
}

static int32_t sum_of(const int32_t *w, const struct nrt_say *say)
{
    int64_t sum = 0;
    for (uint32_t k = 0; k < say->n; k++)
        sum += (int64_t)w[k] * say->x[k];
    return nrt_within(sum / 65536 > 8190 ? 8190 : sum / 65536 < -8190 ? -8190 : (int32_t)(sum / 65536), 4095);
}

static void weigh(int32_t *w, const struct nrt_say *say, int32_t error)
{
    for (uint32_t k = 0; k < say->n; k++)
        w[k] = nrt_within(w[k] + (int32_t)((int64_t)error * say->x[k] / 32768), 1 << 19);
}

/* A correction: 33 points over the range, two of them next to where it is. */
struct point {
    uint16_t *low;
    uint32_t part;
};

static uint32_t correct(uint16_t row[NRT_LARGE_STEPS], int32_t x, struct point *at)
{
    uint32_t place = (uint32_t)(x + 4096);
    at->low = &row[place >> 8];
    at->part = place & 255u;
    return (at->low[0] * (256u - at->part) + at->low[1] * at->part) >> 8;
}

static void settle(const struct point *at, int bit)
{
    uint16_t *p = at->part < 128 ? at->low : at->low + 1;
    if (bit != 0)
        *p = (uint16_t)(*p + ((65535u - *p) >> 6));
    else
        *p = (uint16_t)(*p - (*p >> 6));
}

int nrt_mix_large(struct nrt_bits *b, struct nrt_mixing *m, const struct nrt_say *say, int bit)
{
    int32_t *wa = m->a[say->set[0]];
    int32_t *wb = m->b[say->set[1]];
    struct point one, two;
    int32_t xa = sum_of(wa, say);
    int32_t xb = sum_of(wb, say);
    int32_t x = (xa + xb) / 2;
    uint32_t p = nrt_squash(x);
    uint32_t q = correct(m->fix[0][say->fix[0]], x, &one) + correct(m->fix[1][say->fix[1]], x, &two);
    p = (2 * p + q) / 4;
    p = p < 2 ? 2 : p > 65534 ? 65534 : p;
    bit = b->code(b, p, bit);
    int32_t goal = bit != 0 ? 65536 : 0;
    weigh(wa, say, goal - (int32_t)nrt_squash(xa));
    weigh(wb, say, goal - (int32_t)nrt_squash(xb));
    settle(&one, bit);
    settle(&two, bit);
    return bit;
}
