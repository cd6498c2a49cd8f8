/* veil.c - an update file that one terminal alone can read: AES-128-CTR, its key wrapped (RFC 3394) under one derived from the
 * device key (docs/spec/veil.md). It decrypts what is read, wherever that lies, and keeps nothing; it must never judge what it
 * reads: digests of the file and of the image do that. */
#include "veil.h"

#include <string.h>

/* COSE_Encrypt with A128CTR from block 0, the payload apart, and one recipient by A128KW: all of it but the wrapped key. */
static const uint8_t HEADER[NRT_VEIL_HEADER - NRT_VEIL_WRAPPED] = {
    'N', 'R', 'V', 1, 0xD8, 0x60, 0x84, 0x40, 0xA2, 0x01, 0x39, 0xFF, 0xFD, 0x05, 0x50, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xF6, 0x81, 0x83, 0x40, 0xA1, 0x01, 0x22, 0x58, NRT_VEIL_WRAPPED};
#define MAGIC 4

void nrt_veil_derive(const uint8_t device_key[32], uint8_t out[NRT_VEIL_KEY])
{
    static const uint8_t label[NRT_SHORT] = "neurath veil";
    nrt_nonce(device_key, label, 0, out);
    nrt_nonce(device_key, label, 1, out + 8);
}

int nrt_veil_unwrap(const uint8_t kek[NRT_VEIL_KEY], const uint8_t wrapped[NRT_VEIL_WRAPPED], uint8_t out[NRT_VEIL_KEY])
{
    struct nrt_aes a;
    uint8_t block[NRT_AES_BLOCK];
    uint8_t wrong = 0;
    nrt_aes_key(&a, kek);
    memcpy(block, wrapped, 8);
    memcpy(out, wrapped + 8, NRT_VEIL_KEY);
    for (uint32_t t = 12; t > 0; t--) {
        uint8_t *half = out + 8 * (1 - (t & 1u));
        block[7] ^= (uint8_t)t;
        memcpy(block + 8, half, 8);
        nrt_aes_decrypt(&a, block);
        memcpy(half, block + 8, 8);
    }
    for (uint32_t i = 0; i < 8; i++)
        wrong |= block[i] ^ 0xA6u;
    memset(&a, 0, sizeof a);
    return wrong == 0 ? NRT_OK : NRT_E_TRUST;
}

/* Brings the key stream of a pair of blocks: the counter is the number of the block in the hidden file. */
static void bring(struct nrt_veil *v, uint32_t pair)
{
    if (v->pair == pair + 1)
        return;
    memset(v->stream, 0, sizeof v->stream);
    for (uint32_t b = 0; b < 2; b++)
        for (uint32_t i = 0; i < 4; i++)
            v->stream[NRT_AES_BLOCK * b + 12 + i] = (uint8_t)((2 * pair + b) >> (24 - 8 * i));
    nrt_aes_encrypt2(&v->aes, v->stream);
    v->pair = pair + 1;
}

static int veil_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    struct nrt_veil *v = ctx;
    uint32_t size = v->file->size - v->start;
    if (off > size || len > size - off || v->file->read(v->file->ctx, v->start + off, buf, len) < 0)
        return NRT_E_READ;
    for (uint32_t i = 0; i < len; i++) {
        bring(v, (off + i) / sizeof v->stream);
        buf[i] ^= v->stream[(off + i) % sizeof v->stream];
    }
    return NRT_OK;
}

int nrt_veil_begin(struct nrt_veil *v, const struct nrt_file *f, uint32_t start, const uint8_t key[NRT_VEIL_KEY],
                   struct nrt_file *plain)
{
    if (start >= f->size)
        return NRT_E_FORMAT;
    v->file = f;
    v->start = start;
    v->pair = 0;
    nrt_aes_key(&v->aes, key);
    *plain = (struct nrt_file){v, f->size - start, veil_read, f};
    return NRT_OK;
}

int nrt_veil_open(struct nrt_veil *v, const struct nrt_file *f, const uint8_t device_key[32], struct nrt_file *plain)
{
    uint8_t header[NRT_VEIL_HEADER], kek[NRT_VEIL_KEY], key[NRT_VEIL_KEY];
    *plain = *f;
    if (f->size < MAGIC)
        return NRT_MORE;
    if (f->read(f->ctx, 0, header, MAGIC) < 0)
        return NRT_E_READ;
    if (memcmp(header, HEADER, MAGIC) != 0)
        return NRT_MORE;
    if (f->size <= NRT_VEIL_HEADER)
        return NRT_E_FORMAT;
    if (f->read(f->ctx, 0, header, sizeof header) < 0)
        return NRT_E_READ;
    if (memcmp(header, HEADER, sizeof HEADER) != 0)
        return NRT_E_FORMAT;
    nrt_veil_derive(device_key, kek);
    int rc = nrt_veil_unwrap(kek, header + sizeof HEADER, key);
    if (rc == NRT_OK)
        rc = nrt_veil_begin(v, f, NRT_VEIL_HEADER, key, plain);
    memset(kek, 0, sizeof kek);
    memset(key, 0, sizeof key);
    return rc;
}
