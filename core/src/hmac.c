/* hmac.c - the nonce of a check-in: HMAC-SHA-256 (RFC 2104) over what the bank holds. No storage, no random source: the
 * same through a trickle of weeks, new when the bank changes. */
#include <string.h>

#include "nrt.h"

static void start(struct nrt_sha256 *s, const uint8_t key[32], uint8_t mask)
{
    uint8_t block[64];
    unsigned i;

    memset(block, mask, sizeof block);
    for (i = 0; i < 32; i++) {
        block[i] = (uint8_t)(key[i] ^ mask);
    }
    nrt_sha256_init(s);
    nrt_sha256_add(s, block, sizeof block);
}

void nrt_nonce(const uint8_t key[32], const uint8_t envelope[NRT_SHORT], uint32_t installs, uint8_t out[8])
{
    const uint8_t count[4] = {(uint8_t)(installs >> 24), (uint8_t)(installs >> 16), (uint8_t)(installs >> 8),
                              (uint8_t)installs};
    uint8_t digest[NRT_DIGEST];
    struct nrt_sha256 s;

    start(&s, key, 0x36);
    nrt_sha256_add(&s, envelope, NRT_SHORT);
    nrt_sha256_add(&s, count, sizeof count);
    nrt_sha256_end(&s, digest);
    start(&s, key, 0x5C);
    nrt_sha256_add(&s, digest, sizeof digest);
    nrt_sha256_end(&s, digest);
    memcpy(out, digest, 8);
}
