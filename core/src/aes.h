/* aes.h - AES-128 (FIPS 197) for files under a terminal's own key. Private to veil.c; no table is looked up at a secret place. */
#ifndef NRT_AES_H
#define NRT_AES_H

#include <stdint.h>

#define NRT_AES_BLOCK 16
#define NRT_AES_ROUNDS 10

/* The eleven round keys. */
struct nrt_aes {
    uint8_t round[NRT_AES_ROUNDS + 1][NRT_AES_BLOCK];
};

void nrt_aes_key(struct nrt_aes *a, const uint8_t key[NRT_AES_BLOCK]);
/* Two blocks side by side: as fast as one. */
void nrt_aes_encrypt2(const struct nrt_aes *a, uint8_t blocks[2 * NRT_AES_BLOCK]);
void nrt_aes_decrypt(const struct nrt_aes *a, uint8_t block[NRT_AES_BLOCK]);

#endif
