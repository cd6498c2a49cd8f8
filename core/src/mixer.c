/* mixer.c - several opinions on one bit become one: logistic mixing in integers, the same on every machine. It knows
 * probabilities and weights; what an opinion is about is the model's business (docs/spec/delta.md 8). */
#include "mixer.h"

/* 65536 / (1 + 2^(-i / 8)), rounded, at most 65535. */
static const uint16_t squashed[130] = {
    32768, 34187, 35600, 37003, 38390, 39757, 41099, 42411, 43691, 44934, 46138, 47300,
    48418, 49491, 50517, 51497, 52429, 53314, 54152, 54944, 55691, 56394, 57055, 57674,
    58254, 58796, 59303, 59774, 60214, 60622, 61002, 61354, 61681, 61984, 62264, 62523,
    62762, 62984, 63188, 63376, 63550, 63710, 63858, 63994, 64119, 64234, 64340, 64438,
    64528, 64610, 64686, 64756, 64820, 64879, 64933, 64982, 65028, 65070, 65108, 65144,
    65176, 65206, 65233, 65258, 65281, 65302, 65321, 65339, 65355, 65370, 65384, 65397,
    65408, 65419, 65429, 65437, 65446, 65453, 65460, 65466, 65472, 65477, 65482, 65487,
    65491, 65495, 65498, 65501, 65504, 65507, 65509, 65511, 65513, 65515, 65517, 65519,
    65520, 65521, 65523, 65524, 65525, 65526, 65526, 65527, 65528, 65529, 65529, 65530,
    65530, 65531, 65531, 65532, 65532, 65532, 65533, 65533, 65533, 65533, 65534, 65534,
    65534, 65534, 65534, 65534, 65535, 65535, 65535, 65535, 65535, 65535};

/* 256 * log2(1 + i / 64), rounded. */
static const uint8_t fraction[64] = {
    0, 6, 11, 17, 22, 28, 33, 38, 44, 49, 54, 59, 63, 68, 73, 78,
    82, 87, 92, 96, 100, 105, 109, 113, 118, 122, 126, 130, 134, 138, 142, 146,
    150, 154, 157, 161, 165, 169, 172, 176, 179, 183, 186, 190, 193, 197, 200, 203,
    207, 210, 213, 216, 220, 223, 226, 229, 232, 235, 238, 241, 244, 247, 250, 253};

#define LIMIT 4095

/* The place of the highest bit of 1 <= p < 65536: an instruction where the machine has one, else without a branch, for it is
 * as good as random. */
#if defined __ARM_FEATURE_CLZ || defined __aarch64__ || defined __x86_64__
static uint32_t place_of(uint32_t p)
{
    return 31u ^ (uint32_t)__builtin_clz(p);
}
#else
static uint32_t place_of(uint32_t p)
{
    uint32_t e = (uint32_t)(p > 255u) << 3;
    e += (uint32_t)(p >> e > 15u) << 2;
    e += (uint32_t)(p >> e > 3u) << 1;
    return e + (p >> e > 1u);
}
#endif

/* 256 * log2(p), 1 <= p < 65536. */
static int32_t log_of(uint32_t p)
{
    uint32_t e = place_of(p);
    return (int32_t)(e << 8) + fraction[(p << (16u - e)) >> 10 & 63u];
}

/* 256 * log2(p / (1 - p)). */
int32_t nrt_stretch(uint32_t p)
{
    if (p < 1)
        p = 1;
    if (p > 65535)
        p = 65535;
    return log_of(p) - log_of(65536u - p);
}

uint32_t nrt_squash(int32_t x)
{
    uint32_t a = (uint32_t)(x < 0 ? -x : x);
    uint32_t i = a >> 5;
    uint32_t p = squashed[i] + (((uint32_t)(squashed[i + 1] - squashed[i]) * (a & 31u)) >> 5);
    return x < 0 ? 65536u - p : p;
}

int32_t nrt_within(int32_t x, int32_t limit)
{
    return x > limit ? limit : x < -limit ? -limit : x;
}

/* A young opinion leans on the first one. */
static int32_t lean(int32_t x, int32_t first, uint32_t seen)
{
    static const uint8_t trust[8] = {0, 110, 150, 180, 200, 215, 228, 240};
    if (seen >= 8)
        return x;
    return (x * trust[seen] + first * (256 - trust[seen])) / 256;
}

int nrt_mix(struct nrt_bits *b, int32_t *weights, const struct nrt_opinion *o, uint32_t n, int bit)
{
    int32_t x[NRT_OPINIONS];
    int32_t sum = 0;
    uint32_t i, p;
    for (i = 0; i < n; i++) {
        x[i] = nrt_stretch(o[i].p);
        if (i > 0)
            x[i] = lean(x[i], x[0], o[i].seen);
        sum += weights[i] / 16 * x[i] / 4096;
    }
    p = nrt_squash(nrt_within(sum, LIMIT));
    p = p < 24 ? 24 : p > 65536 - 24 ? 65536 - 24 : p;
    bit = b->code(b, p, bit);
    for (i = 0; i < n; i++) {
        int32_t error = (bit != 0 ? 65536 : 0) - (int32_t)p;
        weights[i] = nrt_within(weights[i] + error * (x[i] / 4) / 8192, 1 << 18);
    }
    return bit;
}
