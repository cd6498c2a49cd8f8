/* aes.c - AES-128 (FIPS 197) without a table: the S-box is worked out, bit by bit of 32 bytes at once, as the inverse in
 * GF(2^8) and an affine map. So no address and no branch depends on a secret, at the price of speed (docs/spec/veil.md 5). It
 * knows blocks; it must never know what they are part of. */
#include "aes.h"

#include <string.h>

#define WIDE (2 * NRT_AES_BLOCK) /* bytes that are substituted at once: two blocks */

/* Bit i of byte b is bit b of word i. */
typedef uint32_t slices[8];

static void slice(slices q, const uint8_t *s)
{
    memset(q, 0, sizeof(slices));
    for (uint32_t b = 0; b < WIDE; b++)
        for (uint32_t i = 0; i < 8; i++)
            q[i] |= (uint32_t)(s[b] >> i & 1u) << b;
}

static void unslice(uint8_t *s, const slices q)
{
    for (uint32_t b = 0; b < WIDE; b++) {
        uint32_t byte = 0;
        for (uint32_t i = 0; i < 8; i++)
            byte |= (q[i] >> b & 1u) << i;
        s[b] = (uint8_t)byte;
    }
}

/* out = a b modulo x^8 + x^4 + x^3 + x + 1, for 32 bytes. */
static void multiply(slices out, const slices a, const slices b)
{
    uint32_t p[15] = {0};
    for (uint32_t i = 0; i < 8; i++)
        for (uint32_t k = 0; k < 8; k++)
            p[i + k] ^= a[i] & b[k];
    for (uint32_t i = 14; i >= 8; i--) {
        p[i - 4] ^= p[i];
        p[i - 5] ^= p[i];
        p[i - 7] ^= p[i];
        p[i - 8] ^= p[i];
    }
    memcpy(out, p, sizeof(slices));
}

/* q = q^254: the inverse, and 0 for 0. */
static void invert(slices q)
{
    slices two, three, twelve, high;
    multiply(two, q, q);
    multiply(three, two, q);
    multiply(twelve, three, three);
    multiply(twelve, twelve, twelve);
    multiply(high, twelve, three); /* 15 */
    for (uint32_t i = 0; i < 4; i++)
        multiply(high, high, high); /* 240 */
    multiply(high, high, twelve);
    multiply(q, high, two);
}

/* Each bit of the result is the sum of the bits at these places behind it; `add` is the constant. */
static void affine(slices q, uint32_t places, uint32_t add)
{
    slices from;
    memcpy(from, q, sizeof from);
    for (uint32_t i = 0; i < 8; i++) {
        q[i] = 0u - (add >> i & 1u);
        for (uint32_t k = 0; k < 8; k++)
            q[i] ^= from[(i + k) & 7u] & (0u - (places >> k & 1u));
    }
}

static void substitute(uint8_t s[WIDE])
{
    slices q;
    slice(q, s);
    invert(q);
    affine(q, 0xF1, 0x63); /* places 0, 4, 5, 6, 7 */
    unslice(s, q);
}

static void substitute_back(uint8_t s[WIDE])
{
    slices q;
    slice(q, s);
    affine(q, 0xA4, 0x05); /* places 2, 5, 7 */
    invert(q);
    unslice(s, q);
}

static uint8_t twice(uint8_t x)
{
    return (uint8_t)((uint32_t)x << 1 ^ (0x1Bu & (0u - (uint32_t)(x >> 7))));
}

static void mix_columns(uint8_t s[NRT_AES_BLOCK])
{
    for (uint32_t c = 0; c < NRT_AES_BLOCK; c += 4) {
        uint8_t *x = s + c;
        uint8_t first = x[0];
        uint8_t all = (uint8_t)(x[0] ^ x[1] ^ x[2] ^ x[3]);
        x[0] = (uint8_t)(x[0] ^ all ^ twice((uint8_t)(x[0] ^ x[1])));
        x[1] = (uint8_t)(x[1] ^ all ^ twice((uint8_t)(x[1] ^ x[2])));
        x[2] = (uint8_t)(x[2] ^ all ^ twice((uint8_t)(x[2] ^ x[3])));
        x[3] = (uint8_t)(x[3] ^ all ^ twice((uint8_t)(x[3] ^ first)));
    }
}

/* Byte i of the result is byte i * by mod 16 of the block: 5 shifts the rows, 13 shifts them back. */
static void shift_rows(uint8_t s[NRT_AES_BLOCK], uint32_t by)
{
    uint8_t from[NRT_AES_BLOCK];
    memcpy(from, s, sizeof from);
    for (uint32_t i = 0; i < NRT_AES_BLOCK; i++)
        s[i] = from[i * by & 15u];
}

static void add_key(uint8_t s[NRT_AES_BLOCK], const uint8_t key[NRT_AES_BLOCK])
{
    for (uint32_t i = 0; i < NRT_AES_BLOCK; i++)
        s[i] ^= key[i];
}

void nrt_aes_key(struct nrt_aes *a, const uint8_t key[NRT_AES_BLOCK])
{
    uint8_t word[WIDE] = {0};
    uint8_t constant = 1;
    memcpy(a->round[0], key, NRT_AES_BLOCK);
    for (uint32_t r = 1; r <= NRT_AES_ROUNDS; r++) {
        const uint8_t *last = a->round[r - 1];
        uint8_t *next = a->round[r];
        for (uint32_t i = 0; i < 4; i++)
            word[i] = last[12 + ((i + 1) & 3u)];
        substitute(word);
        for (uint32_t i = 0; i < 4; i++)
            next[i] = (uint8_t)(last[i] ^ word[i]);
        next[0] ^= constant;
        for (uint32_t i = 4; i < NRT_AES_BLOCK; i++)
            next[i] = (uint8_t)(last[i] ^ next[i - 4]);
        constant = twice(constant);
    }
}

void nrt_aes_encrypt2(const struct nrt_aes *a, uint8_t blocks[WIDE])
{
    uint8_t *other = blocks + NRT_AES_BLOCK;
    add_key(blocks, a->round[0]);
    add_key(other, a->round[0]);
    for (uint32_t r = 1; r <= NRT_AES_ROUNDS; r++) {
        substitute(blocks);
        shift_rows(blocks, 5);
        shift_rows(other, 5);
        if (r < NRT_AES_ROUNDS) {
            mix_columns(blocks);
            mix_columns(other);
        }
        add_key(blocks, a->round[r]);
        add_key(other, a->round[r]);
    }
}

void nrt_aes_decrypt(const struct nrt_aes *a, uint8_t block[NRT_AES_BLOCK])
{
    uint8_t s[WIDE] = {0};
    memcpy(s, block, NRT_AES_BLOCK);
    add_key(s, a->round[NRT_AES_ROUNDS]);
    for (uint32_t r = NRT_AES_ROUNDS; r-- > 0;) {
        shift_rows(s, 13);
        substitute_back(s);
        add_key(s, a->round[r]);
        for (uint32_t i = 0; i < 3 && r > 0; i++)
            mix_columns(s); /* three times more is the way back */
    }
    memcpy(block, s, NRT_AES_BLOCK);
}
