/* sha256.c - SHA-256 (FIPS 180-4), written for a small footprint: no unrolling, and all 64 words of the schedule on the stack,
 * where they are reached without counting in circles. It knows nothing of what it digests. */
#include "nrt.h"

#include <string.h>

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, unsigned n) { return (x >> n) | (x << (32u - n)); }

static uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void store(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

static void compress(uint32_t state[8], const uint8_t *block)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    uint32_t w[64];
    unsigned i;

    for (i = 0; i < 16; i++) {
        w[i] = load(block + 4 * i);
    }
    for (; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];

        w[i] = w[i - 16] + (ror(x, 7) ^ ror(x, 18) ^ (x >> 3)) + w[i - 7] + (ror(y, 17) ^ ror(y, 19) ^ (y >> 10));
    }
    for (i = 0; i < 64; i++) {
        uint32_t t1 = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + (g ^ (e & (f ^ g))) + k[i] + w[i];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) | (c & (a | b)));

        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void nrt_sha256_init(struct nrt_sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    memcpy(s->h, start, sizeof start);
    s->n = 0;
}

void nrt_sha256_add(struct nrt_sha256 *s, const uint8_t *data, uint32_t len)
{
    while (len > 0) {
        uint32_t held = (uint32_t)(s->n & 63);
        uint32_t take = 64 - held < len ? 64 - held : len;

        if (take == 64) {
            compress(s->h, data);
        } else {
            memcpy(s->block + held, data, take);
            if (held + take == 64) {
                compress(s->h, s->block);
            }
        }
        s->n += take;
        data += take;
        len -= take;
    }
}

void nrt_sha256_end(struct nrt_sha256 *s, uint8_t out[NRT_DIGEST])
{
    uint64_t bits = s->n * 8;
    uint32_t held = (uint32_t)(s->n & 63);
    unsigned i;

    s->block[held++] = 0x80;
    if (held > 56) {
        memset(s->block + held, 0, 64 - held);
        compress(s->h, s->block);
        held = 0;
    }
    memset(s->block + held, 0, 56 - held);
    store(s->block + 56, (uint32_t)(bits >> 32));
    store(s->block + 60, (uint32_t)bits);
    compress(s->h, s->block);
    for (i = 0; i < 8; i++) {
        store(out + 4 * i, s->h[i]);
    }
}

void nrt_sha256(const uint8_t *data, uint32_t len, uint8_t out[NRT_DIGEST])
{
    struct nrt_sha256 s;

    nrt_sha256_init(&s);
    nrt_sha256_add(&s, data, len);
    nrt_sha256_end(&s, out);
}
