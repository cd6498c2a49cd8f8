/* verify_main.c - gives hostile bytes to the readers of envelope, ticket and birth record, where a sanitizer watches. It
 * checks no signature: its port says yes to every one, so that the code behind the signature is reached too.
 * Usage: verify_main SEED ROUNDS FILE... : each file, each of its truncations, bit flips and ROUNDS random mutations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nrt.h"

#define ROOM 4096

static uint32_t state;

static uint32_t dice(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

static int yes(void *ctx, int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len,
               const uint8_t *sig)
{
    volatile uint8_t sum = 0;
    uint32_t i;

    (void)ctx;
    (void)alg;
    for (i = 0; i < key_len; i++) {
        sum = (uint8_t)(sum + key[i]);
    }
    for (i = 0; i < msg_len; i++) {
        sum = (uint8_t)(sum + msg[i]);
    }
    for (i = 0; i < 64; i++) {
        sum = (uint8_t)(sum + sig[i]);
    }
    return NRT_OK;
}

struct flash {
    const uint8_t *data;
    uint32_t len;
};

static int read_flash(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len)
{
    const struct flash *f = ctx;
    uint32_t i;

    for (i = 0; i < len; i++) {
        buf[i] = addr + i < f->len ? f->data[addr + i] : 0xFF;
    }
    return NRT_OK;
}

/* The bytes lie in a block of their own, so that one byte too far is seen. */
static unsigned try_all(const uint8_t *data, uint32_t len)
{
    static const struct nrt_key keys[2] = {{NRT_ES256, {4}, 65}, {NRT_ED25519, {1}, 32}};
    struct flash flash = {data, len};
    struct nrt_port port = {&flash, read_flash, 0, 0, yes, 0};
    struct nrt_layout layout = {.region = {{0, 4096, 1}}, .n_regions = 1, .birth = {0, 4096}, .erased = 0xFF};
    struct nrt_envelope envelope;
    struct nrt_ticket ticket;
    struct nrt_birth birth;
    uint8_t *copy = malloc(len > 0 ? len : 1);
    unsigned taken = 0;

    if (copy == 0) {
        exit(2);
    }
    memcpy(copy, data, len);
    taken |= nrt_suit_verify(&port, copy, len, keys, 2) == NRT_OK ? 1u : 0;
    taken |= nrt_envelope_read(&port, copy, len, keys, 2, &envelope) == NRT_OK ? 2u : 0;
    taken |= nrt_ticket_read(&port, copy, len, keys, 2, &ticket) == NRT_OK ? 4u : 0;
    taken |= nrt_birth_read(&layout, &port, &birth) == NRT_OK ? 8u : 0;
    (void)nrt_cbor_strict(copy, len);
    free(copy);
    return taken;
}

static unsigned hurt(uint8_t *data, uint32_t len, uint32_t rounds)
{
    uint8_t work[ROOM + 8];
    uint32_t i, n;
    unsigned taken = 0;

    for (i = 0; i < len; i++) {
        taken |= try_all(data, i);
    }
    for (i = 0; i < 8 * len; i++) {
        data[i / 8] ^= (uint8_t)(1u << i % 8);
        taken |= try_all(data, len);
        data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (i = 0; i < rounds; i++) {
        memcpy(work, data, len);
        for (n = dice() % 6; n > 0; n--) {
            work[dice() % (len > 0 ? len : 1)] = (uint8_t)dice();
        }
        taken |= try_all(work, len > 0 ? dice() % (len + 1) : 0);
        taken |= try_all(work, len);
    }
    return taken;
}

int main(int argc, char **argv)
{
    unsigned taken = 0;
    int i;

    state = argc > 3 ? (uint32_t)strtoul(argv[1], 0, 10) | 1u : 1u;
    for (i = 3; i < argc; i++) {
        uint8_t data[ROOM];
        FILE *f = fopen(argv[i], "rb");
        uint32_t len = f != 0 ? (uint32_t)fread(data, 1, sizeof data, f) : 0;
        unsigned whole;

        if (f == 0 || len == 0) {
            fprintf(stderr, "cannot read %s\n", argv[i]);
            return 2;
        }
        fclose(f);
        whole = try_all(data, len);
        printf("%s %u\n", argv[i], whole);
        taken |= whole | hurt(data, len, (uint32_t)strtoul(argv[2], 0, 10));
    }
    return argc > 3 && taken != 0 ? 0 : 1;
}
