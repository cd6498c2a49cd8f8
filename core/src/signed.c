/* signed.c - the signature of a release key over one update file (docs/spec/signed.md): which file it is, and for which release. It
 * checks all of it before a byte is decoded; it must never take the place of the rehearsal, nor choose a key. */
#include "signed.h"

#include <string.h>

#include "cose.h"

#define CHUNK 128
#define MAGIC 4

/* What is signed: {1: envelope, 2: file}, byte strings of 16 and 32. */
static const uint8_t FRONT[3] = {0xA2, 0x01, 0x50};
static const uint8_t MIDDLE[3] = {0x02, 0x58, 0x20};
#define ENVELOPE (sizeof FRONT)
#define FILE_AT (ENVELOPE + NRT_SHORT + sizeof MIDDLE)
#define STATEMENT (FILE_AT + NRT_DIGEST)

static int signed_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct nrt_file *f = ((const struct nrt_signed *)ctx)->file;
    uint32_t size = f->size - NRT_SIGNED_HEADER;
    if (off > size || len > size - off)
        return NRT_E_READ;
    return f->read(f->ctx, NRT_SIGNED_HEADER + off, buf, len);
}

static int digest_of(const struct nrt_file *f, uint8_t out[NRT_DIGEST])
{
    struct nrt_sha256 hash;
    uint8_t buf[CHUNK];
    nrt_sha256_init(&hash);
    for (uint32_t off = 0, n; off < f->size; off += n) {
        n = f->size - off < sizeof buf ? f->size - off : (uint32_t)sizeof buf;
        if (f->read(f->ctx, off, buf, n) < 0)
            return NRT_E_READ;
        nrt_sha256_add(&hash, buf, n);
    }
    nrt_sha256_end(&hash, out);
    return NRT_OK;
}

/* The statement in a header, its signature checked. */
static int statement_of(const struct nrt_port *p, const uint8_t header[NRT_SIGNED_HEADER], const struct nrt_key *keys,
                        uint32_t n, const uint8_t **out)
{
    struct nrt_view all = {header + MAGIC, NRT_SIGNED_HEADER - MAGIC};
    struct nrt_cbor c = nrt_cbor_in(all);
    struct nrt_cose cose;
    if (nrt_cose_read(&c, &cose) != NRT_OK || nrt_cbor_end(&c) != NRT_OK || cose.detached || cose.payload.len != STATEMENT)
        return NRT_E_FORMAT;
    *out = cose.payload.at;
    if (memcmp(*out, FRONT, sizeof FRONT) != 0 || memcmp(*out + ENVELOPE + NRT_SHORT, MIDDLE, sizeof MIDDLE) != 0)
        return NRT_E_FORMAT;
    return nrt_cose_verify(p, &cose, cose.payload, keys, n);
}

int nrt_signed_open(const struct nrt_port *p, struct nrt_signed *s, const struct nrt_file *f, const struct nrt_key *keys,
                    uint32_t n, const uint8_t envelope[NRT_SHORT], struct nrt_file *plain)
{
    static const uint8_t magic[MAGIC] = {'N', 'R', 'S', 1};
    uint8_t header[NRT_SIGNED_HEADER], digest[NRT_DIGEST];
    const uint8_t *said;
    *plain = *f;
    if (f->size < MAGIC)
        return NRT_MORE;
    if (f->read(f->ctx, 0, header, MAGIC) < 0)
        return NRT_E_READ;
    if (memcmp(header, magic, MAGIC) != 0)
        return NRT_MORE;
    if (f->size <= NRT_SIGNED_HEADER)
        return NRT_E_FORMAT;
    if (f->read(f->ctx, 0, header, sizeof header) < 0)
        return NRT_E_READ;
    int rc = statement_of(p, header, keys, n, &said);
    if (rc < 0)
        return rc;
    if (memcmp(said + ENVELOPE, envelope, NRT_SHORT) != 0)
        return NRT_E_TRUST;
    s->file = f;
    *plain = (struct nrt_file){s, f->size - NRT_SIGNED_HEADER, signed_read, f->whole != NULL ? f->whole : f};
    rc = digest_of(plain, digest);
    if (rc < 0)
        return rc;
    return memcmp(said + FILE_AT, digest, NRT_DIGEST) == 0 ? NRT_OK : NRT_E_DIGEST;
}
