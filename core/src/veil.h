/* veil.h - update files under a key that one terminal can open (docs/spec/veil.md). An optional part of the core: nothing else of
 * it calls this, so that a board which does without leaves veil.c and aes.c out. */
#ifndef NRT_VEIL_H
#define NRT_VEIL_H

#include "aes.h"
#include "nrt.h"

#define NRT_VEIL_KEY 16
#define NRT_VEIL_WRAPPED 24
#define NRT_VEIL_HEADER 64   /* before the file itself, where its key is wrapped under a derived key */

/* Reads a veiled file; nothing that was decrypted is kept but one pair of blocks of key stream. */
struct nrt_veil {
    const struct nrt_file *file;   /* as it was staged */
    uint32_t start;                /* where in it the hidden one begins */
    uint32_t pair;                 /* of blocks whose key stream is held, plus 1; 0: none */
    struct nrt_aes aes;
    uint8_t stream[2 * NRT_AES_BLOCK];
};

/* The key that a terminal's files are wrapped under, from its device key (docs/spec/veil.md 3). */
void nrt_veil_derive(const uint8_t device_key[32], uint8_t out[NRT_VEIL_KEY]);
/* RFC 3394, a key of 16 bytes; NRT_E_TRUST where it was wrapped under another one, or changed. */
int nrt_veil_unwrap(const uint8_t kek[NRT_VEIL_KEY], const uint8_t wrapped[NRT_VEIL_WRAPPED], uint8_t out[NRT_VEIL_KEY]);
/* `plain` becomes the file inside `f` from `start` on, read with this key. `v` and `f` live as long as it. */
int nrt_veil_begin(struct nrt_veil *v, const struct nrt_file *f, uint32_t start, const uint8_t key[NRT_VEIL_KEY],
                   struct nrt_file *plain);
/* The same with the key in the file's own header. NRT_MORE: the file is not veiled, and `plain` is the file. NRT_E_FORMAT: veiled
 * in a way that is not known here; NRT_E_TRUST: for another terminal; NRT_E_READ. */
int nrt_veil_open(struct nrt_veil *v, const struct nrt_file *f, const uint8_t device_key[32], struct nrt_file *plain);

#endif
